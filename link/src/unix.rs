//! Listening on a Unix socket (Redis's `unixsocket` and `unixsocketperm`).
//!
//! Its connections are handed on as the same type as those of TCP: reading, writing and waiting are the same calls on
//! both kinds of socket, so nothing behind the acceptor need know. Only names and options differ ([`crate::End`],
//! [`crate::tune`]).

use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{FileTypeExt, MetadataExt, PermissionsExt},
            net::UnixStream,
        },
    },
    path::{Path, PathBuf},
    task::{Context, Poll, ready},
};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpStream, UnixListener};

use crate::listen::BindError;

/// The setting that names the path.
const FLAG: &str = "--unixsocket";

/// A socket that listens at a path; its file goes with it.
#[derive(Debug)]
pub struct UnixSocket {
    listener: std::os::unix::net::UnixListener,
    file: SocketFile,
}

/// The file, as it was when it was made.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

/// Listens at `path`. What a process that is gone has left there is replaced; a socket that somebody listens on, or a
/// file of another kind, is not. `permissions`: those of the file, 0 for what the system gives.
pub fn bind_unix(path: &Path, permissions: u32, backlog: u32) -> Result<UnixSocket, BindError> {
    let listen = || {
        make_way(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let file = SocketFile { path: path.to_owned(), inode: inode(path)? };
        if permissions != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(permissions))?;
        }
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(UnixSocket { listener: OwnedFd::from(socket).into(), file })
    };
    listen().map_err(|source| BindError { address: path.display().to_string(), flag: FLAG, source })
}

fn make_way(path: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(there) => there.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !kind.is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is there"));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let there = fs::symlink_metadata(path)?;
    Ok((there.dev(), there.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            // Best effort: the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A [`UnixSocket`] within a runtime.
#[derive(Debug)]
pub(crate) struct UnixAcceptor {
    listener: UnixListener,
    _file: SocketFile,
}

impl UnixAcceptor {
    pub(crate) fn new(socket: UnixSocket) -> io::Result<UnixAcceptor> {
        Ok(UnixAcceptor { listener: UnixListener::from_std(socket.listener)?, _file: socket.file })
    }

    pub(crate) fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        let (stream, _) = ready!(self.listener.poll_accept(context))?;
        let stream = OwnedFd::from(stream.into_std()?);
        Poll::Ready(TcpStream::from_std(stream.into()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::{Acceptor, End, Listening};

    fn listening(path: &Path, permissions: u32) -> Listening {
        let mut listening = crate::bind(
            &[slotway_config::Bind { host: "127.0.0.1".to_owned(), optional: false }],
            0,
            "--port",
            16,
        )
        .unwrap();
        listening.unix = Some(bind_unix(path, permissions, 16).unwrap());
        listening
    }

    #[tokio::test(flavor = "current_thread")]
    async fn both_kinds_of_connections_are_accepted_and_speak() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let listening = listening(&path, 0o700);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let port = listening.port;
        let mut acceptor = Acceptor::new(listening).unwrap();
        let mut client = tokio::net::UnixStream::connect(&path).await.unwrap();
        let (mut stream, peer) = acceptor.accept().await;
        assert_eq!((peer.to_string(), peer.is_local()), (format!("{}:0", path.display()), true));
        crate::tune(&stream, Some(std::time::Duration::from_secs(300))).unwrap();
        client.write_all(b"ping").await.unwrap();
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        client.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"ping");
        let over_tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (stream, peer) = acceptor.accept().await;
        assert_eq!(End::both(&stream).unwrap(), (peer, End::Tcp(over_tcp.peer_addr().unwrap())));
        drop(acceptor);
        assert!(!path.exists(), "the file goes with the listener");
    }

    #[test]
    fn what_a_dead_process_left_is_replaced_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left behind");
        let first = bind_unix(&path, 0, 16).unwrap();
        let error = bind_unix(&path, 0, 16).unwrap_err().to_string();
        assert_eq!(error, format!("cannot listen on {} (--unixsocket): address in use", path.display()));
        drop(first);
        fs::write(&path, "precious").unwrap();
        let error = bind_unix(&path, 0, 16).unwrap_err().to_string();
        assert!(error.ends_with("a file that is no socket is there"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        let long = dir.path().join("x".repeat(200));
        assert!(bind_unix(&long, 0, 16).is_err(), "longer than a socket's path may be");
    }
}
