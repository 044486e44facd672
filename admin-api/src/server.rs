//! Serving an [`Api`] on a port until told to stop.
//!
//! HTTP/1.1 with bounds: so many connections at once, so long for a request's head to arrive. A stop lets the answers
//! that are being made leave, up to a deadline; connections that only idle are closed at once.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Extension;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::Instant,
};

use crate::{events::Following, routes::Api};

/// Connections served at once; further ones wait in the listener's backlog.
const CONNECTIONS_MAX: usize = 256;

/// How long the head of a request may take, and an idle connection stay open.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait when the system has no file descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A running server. Dropping it closes everything at once; [`Server::stop`] is the polite way.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Serves `api` on sockets that listen already (binding is where errors about ports belong). Must be called within a
    /// tokio runtime.
    pub fn start(sockets: Vec<std::net::TcpListener>, api: Api) -> io::Result<Server> {
        let (stop, stopped) = watch::channel(false);
        let api = Api(api.0.layer(Extension(Following::new(stopped.clone()))));
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let (mut tasks, mut addresses) = (JoinSet::new(), Vec::new());
        for socket in sockets {
            socket.set_nonblocking(true)?;
            addresses.push(socket.local_addr()?);
            let listener = TcpListener::from_std(socket)?;
            tasks.spawn(accept(listener, api.clone(), Arc::clone(&places), stopped.clone()));
        }
        Ok(Server { addresses, stop, tasks })
    }

    /// Where it listens; with port 0 the port the system chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Takes no more connections, finishes the answers under way within `patience`, closes.
    pub async fn stop(mut self, patience: Duration) {
        self.stop.send_replace(true);
        let deadline = Instant::now() + patience;
        while let Ok(Some(_)) = tokio::time::timeout_at(deadline, self.tasks.join_next()).await {}
        self.tasks.shutdown().await;
    }
}

async fn accept(listener: TcpListener, api: Api, places: Arc<Semaphore>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|&stopped| stopped) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (api, stopped) = (api.clone(), stopped.clone());
                connections.spawn(async move {
                    serve(stream, api, stopped).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, api: Api, mut stopped: watch::Receiver<bool>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = TowerToHyperService::new(api.0);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return note(ended),
        _ = stopped.wait_for(|&stopped| stopped) => {}
    }
    connection.as_mut().graceful_shutdown();
    note(connection.await);
}

/// A peer that breaks off or talks nonsense is its own trouble; worth a line when someone looks for it.
fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}
