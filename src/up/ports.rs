//! Whether the planned ports can be listened on, and where free ones come from.
//!
//! Free ports are taken from below the range that the kernel gives to outgoing connections. From inside it, any
//! connection of any program could take the port of a child between its end and its restart; and a proxy that tries to
//! reach a node that is down could by chance connect to itself.

use std::{fs, io::Read};

use anyhow::{Context, bail};
use slotway_config::Bind;

use super::plan::{Claim, Whose};

/// Where free ports are looked for. Linux gives 32768 and above to outgoing connections.
const FREE: std::ops::Range<u16> = 20_000..32_000;

const ATTEMPTS: usize = 1000;

/// A port that nobody listens on now, neither where proxies would nor where nodes would.
pub(super) fn free(proxy_bind: &[Bind], node_bind: &[Bind]) -> anyhow::Result<u16> {
    let span = FREE.end - FREE.start;
    for _ in 0..ATTEMPTS {
        let port = FREE.start + random_u16()? % span;
        // One after the other: the same address may be in both.
        if [proxy_bind, node_bind].iter().all(|bind| slotway_link::bind(bind, port, "", 1).is_ok()) {
            return Ok(port);
        }
    }
    bail!("no free port was found between {} and {}", FREE.start, FREE.end);
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
    fn a_free_port_can_be_listened_on() {
        let port = free(&loopback(), &loopback()).unwrap();
        assert!(FREE.contains(&port));
        let claim = Claim { port, whose: Whose::Proxy, origin: "--port".into() };
        check(&[claim], &loopback(), &loopback()).unwrap();
    }
}
