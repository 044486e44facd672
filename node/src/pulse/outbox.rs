//! What waits to be written on one connection to the pulse port.
//!
//! Words are appended by whatever makes them and written by the connection's task. A peer that takes nothing is given up when
//! [`WAITING_BYTES_MAX`] wait for it: it asks anew on another connection.

use std::cell::{Cell, RefCell};

use slotway_cluster::pulse::FromNode;
use slotway_resp::write;
use tokio::sync::Notify;

/// A few hundred words, of which the longest is a status with a proposal.
const WAITING_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: RefCell<Vec<u8>>,
    /// Too much waits, or the last word was said.
    is_closing: Cell<bool>,
    /// It has asked how the node is, and is told when that changes.
    pub(super) wants_news: Cell<bool>,
    news: Notify,
}

impl Outbox {
    pub(super) fn say(&self, word: &FromNode) {
        let Ok(json) = serde_json::to_vec(word) else {
            tracing::error!(?word, "a word has no form in JSON");
            return self.close();
        };
        self.put(|bytes| write::bulk(bytes, &json));
    }

    /// An error, and the end.
    pub(super) fn refuse(&self, text: &str) {
        self.put(|bytes| write::error(bytes, text.as_bytes()));
        self.close();
    }

    pub(super) fn ok(&self) {
        self.put(|bytes| write::simple(bytes, "OK"));
    }

    fn put(&self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.is_closing.get() {
            return;
        }
        let mut bytes = self.bytes.borrow_mut();
        write(&mut bytes);
        if bytes.len() > WAITING_BYTES_MAX {
            bytes.clear();
            self.is_closing.set(true);
        }
        self.news.notify_one();
    }

    /// What was said is written, then the connection ends.
    pub(super) fn close(&self) {
        self.is_closing.set(true);
        self.news.notify_one();
    }

    /// The next bytes to write; None: the connection is to end.
    pub(super) async fn next(&self) -> Option<Vec<u8>> {
        loop {
            let bytes = std::mem::take(&mut *self.bytes.borrow_mut());
            if !bytes.is_empty() {
                return Some(bytes);
            }
            if self.is_closing.get() {
                return None;
            }
            self.news.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use slotway_cluster::{Epoch, ShardId};

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn what_was_said_before_the_end_is_written_and_nothing_behind_it() {
        let outbox = Outbox::default();
        outbox.ok();
        outbox.refuse("ERR no");
        outbox.ok();
        assert_eq!(outbox.next().await.unwrap(), b"+OK\r\n-ERR no\r\n");
        assert_eq!(outbox.next().await, None);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let outbox = Outbox::default();
        let why = "x".repeat(1000);
        let word = FromNode::Refused { shard: ShardId(1), epoch: Epoch(1), seen: Epoch(2), why };
        for _ in 0..2000 {
            outbox.say(&word);
            assert!(outbox.bytes.borrow().len() <= WAITING_BYTES_MAX);
        }
        assert_eq!(outbox.next().await, None);
    }
}
