//! Binding: every address of a program's `bind` setting, one port, and errors that name address and flag.
//!
//! Port 0 means any free port: the first address chooses it and the others follow, so that one number is reported.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs},
    path::Path,
};

use slotway_config::{Bind, Key, Settings};
use socket2::{Domain, Protocol, Socket, Type};

use crate::unix::{UnixSocket, bind_unix};

/// How often port 0 is tried anew when the number that the first address chose is taken on another one.
const FREE_PORT_ATTEMPTS: usize = 16;

/// Sockets that listen, not yet known to any runtime (they are non-blocking).
#[derive(Debug)]
pub struct Listening {
    /// The real port, also when 0 was asked for.
    pub port: u16,
    pub sockets: Vec<TcpListener>,
    /// Listens at a path too.
    pub unix: Option<UnixSocket>,
}

/// What could not be bound, and which flag says so.
#[derive(Debug)]
pub struct BindError {
    /// `host:port` as it was asked for.
    pub address: String,
    /// The setting that holds the port, e.g. `--port`.
    pub flag: &'static str,
    pub source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {} ({}): {}", self.address, self.flag, reason(&self.source))
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The reasons a user meets, in words; others as the system puts them.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address in use".into(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::NotFound => "no such host".into(),
        _ => error.to_string(),
    }
}

/// Listens for a program's clients: on `port` of every one of `hosts`, and where its `unixsocket` says.
pub fn bind_for_clients(settings: &Settings, hosts: &[Bind], port: u16) -> Result<Listening, BindError> {
    let backlog = u32::try_from(settings.count(Key::TcpBacklog)).unwrap_or(u32::MAX);
    let mut listening = bind(hosts, port, "--port", backlog)?;
    let path = settings.text(Key::Unixsocket);
    if !path.is_empty() {
        let permissions = u32::try_from(settings.integer(Key::Unixsocketperm)).unwrap_or(0);
        listening.unix = Some(bind_unix(Path::new(path), permissions, backlog)?);
    }
    Ok(listening)
}

/// Listens on `port` of every one of `hosts`. `flag` is named in errors; `backlog` is Redis's `tcp-backlog`.
pub fn bind(hosts: &[Bind], port: u16, flag: &'static str, backlog: u32) -> Result<Listening, BindError> {
    let mut attempt = 1;
    loop {
        match bind_once(hosts, port, flag, backlog) {
            Err(error) if port == 0 && retry(&error, attempt) => attempt += 1,
            outcome => return outcome,
        }
    }
}

fn retry(error: &BindError, attempt: usize) -> bool {
    error.source.kind() == io::ErrorKind::AddrInUse && attempt < FREE_PORT_ATTEMPTS
}

fn bind_once(hosts: &[Bind], port: u16, flag: &'static str, backlog: u32) -> Result<Listening, BindError> {
    let mut listening = Listening { port, sockets: Vec::new(), unix: None };
    for Bind { host, optional } in hosts {
        match bind_host(host, listening.port, backlog) {
            Ok((real_port, sockets)) => {
                listening.port = real_port;
                listening.sockets.extend(sockets);
            }
            Err(error) if *optional && is_missing(&error) => {}
            Err(source) => {
                return Err(BindError { address: show(host, listening.port), flag, source });
            }
        }
    }
    if listening.sockets.is_empty() {
        let source = io::Error::from(io::ErrorKind::AddrNotAvailable);
        let names: Vec<&str> = hosts.iter().map(|bind| bind.host.as_str()).collect();
        return Err(BindError { address: show(&names.join(" "), port), flag, source });
    }
    Ok(listening)
}

/// What an optional address may fail with: the machine does not have it, or not its family.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// Linux's number for "address family not supported".
const EAFNOSUPPORT: i32 = 97;

/// A host name may have several addresses: all are bound.
fn bind_host(host: &str, mut port: u16, backlog: u32) -> io::Result<(u16, Vec<TcpListener>)> {
    let mut sockets = Vec::new();
    for address in addresses(host)? {
        let socket = bind_address(SocketAddr::new(address, port), backlog)?;
        port = socket.local_addr()?.port();
        sockets.push(socket);
    }
    Ok((port, sockets))
}

fn addresses(host: &str) -> io::Result<Vec<IpAddr>> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let resolved = (host, 0).to_socket_addrs().map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
    let mut addresses: Vec<IpAddr> = resolved.map(|address| address.ip()).collect();
    addresses.dedup();
    Ok(addresses)
}

fn bind_address(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Without this a restarted program could not listen until the connections of its last life are forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `0.0.0.0` and `::` may both be listed.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

fn show(host: &str, port: u16) -> String {
    match host.contains(':') && !host.starts_with('[') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(hosts: &[&str], port: u16) -> Result<Listening, BindError> {
        let host = |word: &&str| match word.strip_prefix('-') {
            Some(host) => Bind { host: host.to_owned(), optional: true },
            None => Bind { host: (*word).to_owned(), optional: false },
        };
        let hosts: Vec<Bind> = hosts.iter().map(host).collect();
        bind(&hosts, port, "--port", 511)
    }

    #[test]
    fn port_0_is_one_free_port_on_every_address() {
        let listening = local(&["127.0.0.1", "127.0.0.2"], 0).unwrap();
        assert_ne!(listening.port, 0);
        for socket in &listening.sockets {
            assert_eq!(socket.local_addr().unwrap().port(), listening.port);
        }
        assert_eq!(listening.sockets.len(), 2);
    }

    #[test]
    fn a_port_in_use_is_named_with_its_address_and_flag() {
        let first = local(&["127.0.0.1"], 0).unwrap();
        let error = local(&["127.0.0.1"], first.port).unwrap_err();
        let expected = format!("cannot listen on 127.0.0.1:{} (--port): address in use", first.port);
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn an_optional_address_may_be_missing_and_another_may_not() {
        // 192.0.2.0/24 is reserved for documentation: no machine has it.
        assert_eq!(local(&["127.0.0.1", "-192.0.2.1"], 0).unwrap().sockets.len(), 1);
        let error = local(&["127.0.0.1", "192.0.2.1"], 0).unwrap_err();
        assert!(error.to_string().ends_with("(--port): this machine has no such address"), "{error}");
        assert!(local(&["-192.0.2.1"], 0).is_err(), "at least one address has to listen");
    }
}
