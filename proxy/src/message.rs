//! What data threads and the accepting task say to each other. Every queue of these is bounded.

use std::net::TcpStream;

use tokio::sync::oneshot;

use crate::client::card::Card;

/// Messages that a data thread has not looked at yet.
pub(crate) const MESSAGES_MAX: usize = 1024;

pub(crate) enum Message {
    /// A new client of this thread.
    Client {
        stream: TcpStream,
        id: u64,
    },
    /// CLIENT LIST and CLIENT KILL ask all threads.
    ListClients {
        answer: oneshot::Sender<Vec<Card>>,
    },
    KillClients {
        ids: Vec<u64>,
    },
    /// CLIENT PAUSE or UNPAUSE has changed what is in force.
    LookAtPause {
        answer: oneshot::Sender<()>,
    },
}
