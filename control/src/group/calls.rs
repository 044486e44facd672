//! Asking another proxy: one request and its answer, on connections that are kept for the next.
//!
//! Every question has a deadline. A kept connection may have been closed by the other end in the meantime: then the question is asked once
//! more on a new one, which is harmless, since every question of this protocol may be asked twice.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::de::DeserializeOwned;
use slotway_config::Secret;
use slotway_link::{Connection, Credentials, LinkError, Target};
use slotway_resp::{Frame, Version};
use tokio::time::Instant;

use super::{
    server::IDLE_MAX,
    wire::{Message, Sorry, VERSION},
};

/// Connections kept per address while nobody uses them.
const IDLE_PER_ADDRESS: usize = 8;

/// Kept for less long than the other end keeps them.
const KEEP: Duration = Duration::from_secs(IDLE_MAX.as_secs() / 2);

#[derive(Debug)]
pub(super) struct Calls {
    secret: Option<Secret>,
    idle: Mutex<HashMap<String, Vec<(Instant, Connection)>>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("{address}: {source}")]
    Link { address: String, source: LinkError },
    #[error("{address} answers: {text}")]
    Refused { address: String, text: String },
    #[error(transparent)]
    Sorry(#[from] Sorry),
}

impl Calls {
    pub(super) fn new(secret: Option<Secret>) -> Calls {
        Calls { secret, idle: Mutex::default() }
    }

    /// What the proxy at `address` answers, within `patience`.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        address: &str,
        message: &Message,
        patience: Duration,
    ) -> Result<T, CallError> {
        let text = serde_json::to_string(message).map_err(|error| refused(address, error.to_string()))?;
        let deadline = Instant::now() + patience;
        let words = ["SLOTWAY", "RAFT", VERSION, &text];
        let (reply, connection) = self
            .request(address, &words, deadline)
            .await
            .map_err(|source| CallError::Link { address: address.to_owned(), source })?;
        self.keep(address, connection);
        match reply {
            Frame::Bulk(json) => serde_json::from_slice::<Result<T, Sorry>>(&json)
                .map_err(|error| refused(address, error.to_string()))?
                .map_err(CallError::Sorry),
            Frame::Error(text) => Err(refused(address, String::from_utf8_lossy(&text).into_owned())),
            other => Err(refused(address, format!("{other:?}"))),
        }
    }

    async fn request(
        &self,
        address: &str,
        words: &[&str],
        deadline: Instant,
    ) -> Result<(Frame, Connection), LinkError> {
        let left = || deadline.saturating_duration_since(Instant::now());
        if let Some(mut connection) = self.kept(address) {
            match connection.request(words, left()).await {
                Ok(reply) => return Ok((reply, connection)),
                Err(LinkError::Closed) => {}
                Err(error) => return Err(error),
            }
        }
        let credentials = self.secret.as_ref().map(|secret| Credentials::member(secret.reveal()));
        let target = Target { address: address.to_owned(), credentials, version: Version::Resp2 };
        let mut connection = Connection::open(&target, left()).await?;
        let reply = connection.request(words, left()).await?;
        Ok((reply, connection))
    }

    fn kept(&self, address: &str) -> Option<Connection> {
        let mut idle = self.idle();
        let kept = idle.get_mut(address)?;
        while let Some((since, connection)) = kept.pop() {
            if since.elapsed() < KEEP {
                return Some(connection);
            }
        }
        None
    }

    fn keep(&self, address: &str, connection: Connection) {
        if connection.is_broken() {
            return;
        }
        let mut idle = self.idle();
        idle.retain(|_, kept| kept.last().is_some_and(|(since, _)| since.elapsed() < KEEP));
        let kept = idle.entry(address.to_owned()).or_default();
        if kept.len() < IDLE_PER_ADDRESS {
            kept.push((Instant::now(), connection));
        }
    }

    /// Each change is one step: a panic leaves it whole.
    fn idle(&self) -> MutexGuard<'_, HashMap<String, Vec<(Instant, Connection)>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(address: &str, text: String) -> CallError {
    CallError::Refused { address: address.to_owned(), text }
}
