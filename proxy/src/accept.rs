//! Takes connections and gives each to the data thread with the fewest clients.

use std::sync::{Arc, atomic::Ordering};

use slotway_config::Key;
use slotway_link::Acceptor;
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::mpsc};

use crate::{message::Message, shared::Shared};

/// Accepts until its owner drops it.
pub(crate) async fn run(shared: Arc<Shared>, mut acceptor: Acceptor, threads: Vec<mpsc::Sender<Message>>) {
    loop {
        let (stream, peer) = acceptor.accept().await;
        let maximum = shared.settings.load().count(Key::Maxclients);
        if shared.connected() >= maximum {
            shared.clients_refused.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%peer, maximum, "connection refused: maxclients reached");
            refuse(stream).await;
            continue;
        }
        let Ok(stream) = stream.into_std() else { continue };
        let id = shared.next_client_id.fetch_add(1, Ordering::Relaxed);
        // Counted here and not where it is served, so that a burst is spread, too.
        let (least, clients) = shared.least_loaded();
        clients.fetch_add(1, Ordering::Relaxed);
        if threads[least].send(Message::Client { stream, id }).await.is_err() {
            return;
        }
    }
}

async fn refuse(mut stream: TcpStream) {
    let text = format!("-{}\r\n", slotway_commands::errors::MAXCLIENTS);
    // The peer may have gone already; it is refused either way.
    let _ = stream.write_all(text.as_bytes()).await;
}
