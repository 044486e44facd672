//! Whether the planned ports can be listened on, and where free ones come from.
//!
//! Free ports are taken from below the range that the kernel gives to outgoing connections. From inside it, any
//! connection of any program could take the port of a child between its end and its restart; and a proxy that tries to
//! reach a node that is down could by chance connect to itself.
//!
//! A free port stays kept from the moment it is chosen: two children of one plan must not get the same one, nor may
//! another `up` that starts at the same time. A port that a child of this directory had before is taken again if nobody listens
//! there: the proxies of a control group find each other where they were.

use std::{
    fs,
    io::{self, Read},
    net::{Ipv4Addr, SocketAddr},
};

use anyhow::{Context, bail};
use slotway_config::Bind;
use socket2::{Domain, Socket, Type};

use super::plan::{Claim, Whose};

/// Where free ports are looked for. Linux gives 32768 and above to outgoing connections.
const FREE: std::ops::Range<u16> = 20_000..32_000;

const ATTEMPTS: usize = 1000;

/// Ports that nobody else has, kept until this is dropped.
#[derive(Debug, Default)]
pub(super) struct FreePorts {
    kept: Vec<(u16, Socket)>,
}

impl FreePorts {
    /// A port that nobody listens on now, neither where proxies would nor where nodes would: that of `before`, if it is one.
    pub(super) fn take(
        &mut self,
        before: Option<u16>,
        proxy_bind: &[Bind],
        node_bind: &[Bind],
    ) -> anyhow::Result<u16> {
        let is_free =
            |port| [proxy_bind, node_bind].iter().all(|bind| slotway_link::bind(bind, port, "", 1).is_ok());
        let is_given = |port| self.kept.iter().any(|(given, _)| *given == port);
        // Connections of the last start linger there, and do not forbid to share.
        if let Some(port) = before.filter(|&port| !is_given(port) && is_free(port))
            && let Ok(socket) = keep(port, Alone::No)
        {
            self.kept.push((port, socket));
            return Ok(port);
        }
        let span = FREE.end - FREE.start;
        for _ in 0..ATTEMPTS {
            let port = FREE.start + random_u16()? % span;
            let Ok(socket) = keep(port, Alone::Yes) else { continue };
            if is_free(port) {
                self.kept.push((port, socket));
                return Ok(port);
            }
        }
        bail!("no free port was found between {} and {}", FREE.start, FREE.end);
    }
}

/// Whether nobody may have the port already, listening or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alone {
    Yes,
    No,
}

/// A socket that is bound and never listens. Binding it may ask for the port alone, so that it fails where anybody has one,
/// also one like it. From then on it shares, so that a child can listen there.
fn keep(port: u16, alone: Alone) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(alone == Alone::No)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

fn random_u16() -> anyhow::Result<u16> {
    let mut bytes = [0; 2];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
    Ok(u16::from_ne_bytes(bytes))
}

/// Names every port that is taken, before anything is started.
pub(super) fn check(claims: &[Claim], proxy_bind: &[Bind], node_bind: &[Bind]) -> anyhow::Result<()> {
    let mut taken = Vec::new();
    for claim in claims {
        let bind = match claim.whose {
            Whose::Proxy => proxy_bind,
            Whose::Node => node_bind,
        };
        match slotway_link::bind(bind, claim.port, "", 1) {
            Ok(_) => {}
            Err(error) if error.source.kind() == std::io::ErrorKind::AddrInUse => {
                taken.push(format!("port {} ({}) is already in use", claim.port, claim.origin));
            }
            Err(error) => bail!("cannot listen on {} ({}): {}", error.address, claim.origin, error.source),
        }
    }
    if taken.is_empty() {
        return Ok(());
    }
    taken.push("stop what listens there, or choose other ports by these flags (0: any free one)".into());
    bail!(taken.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> Vec<Bind> {
        vec![Bind { host: "127.0.0.1".into(), optional: false }]
    }

    #[test]
    fn every_taken_port_is_named_with_its_flag() {
        let listeners = [0, 0].map(|port| std::net::TcpListener::bind(("127.0.0.1", port)).unwrap());
        let ports = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
        let claims: Vec<Claim> = ports
            .iter()
            .zip(["--port", "--node-port + 1, the port of n2"])
            .map(|(&port, origin)| Claim { port, whose: Whose::Node, origin: origin.into() })
            .collect();
        let error = check(&claims, &loopback(), &loopback()).unwrap_err().to_string();
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines[0], format!("port {} (--port) is already in use", ports[0]));
        assert_eq!(
            lines[1],
            format!("port {} (--node-port + 1, the port of n2) is already in use", ports[1])
        );
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn a_free_port_can_be_listened_on_again_and_again() {
        let mut free = FreePorts::default();
        let port = free.take(None, &loopback(), &loopback()).unwrap();
        assert!(FREE.contains(&port));
        let claim = Claim { port, whose: Whose::Proxy, origin: "--port".into() };
        for _child in 0..2 {
            check(std::slice::from_ref(&claim), &loopback(), &loopback()).unwrap();
        }
    }

    #[test]
    fn a_port_that_was_given_away_is_not_given_again() {
        let mut free = FreePorts::default();
        let port = free.take(None, &loopback(), &loopback()).unwrap();
        assert_eq!(keep(port, Alone::Yes).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(free);
        assert!(keep(port, Alone::Yes).is_ok(), "whoever gave it away has ended");
    }

    #[test]
    fn a_port_of_the_last_start_is_taken_again_unless_somebody_listens_there() {
        let mut free = FreePorts::default();
        let port = free.take(None, &loopback(), &loopback()).unwrap();
        drop(free);
        let mut free = FreePorts::default();
        assert_eq!(free.take(Some(port), &loopback(), &loopback()).unwrap(), port);
        let other = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        assert_ne!(free.take(Some(port), &loopback(), &loopback()).unwrap(), port);
        drop(other);
    }
}
