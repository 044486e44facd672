//! What the scripts of fake nodes have in common, and what transactions are told.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    backend::{Conn, Fake},
    peer::{Peer, until},
};

pub(crate) const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.";
pub(crate) const INDETERMINATE: &str = "-INDETERMINATE the write may or may not have been applied";

/// A node whose first connection does this; later ones echo.
pub(crate) fn at_first(script: impl Fn(&mut Conn) + Send + Sync + 'static) -> Fake {
    Fake::start(move |conn| match conn.number {
        0 => script(conn),
        _ => conn.echo(),
    })
}

/// A reply for each of the next requests.
pub(crate) fn answer(conn: &mut Conn, replies: &[&str]) {
    for reply in replies {
        conn.next();
        conn.reply(reply);
    }
}

/// These bytes when so many requests have come.
pub(crate) fn answer_together(conn: &mut Conn, requests: usize, replies: &str) {
    (0..requests).for_each(|_| _ = conn.next());
    conn.reply(replies);
}

/// The next replies, parted by spaces.
pub(crate) fn read_all(client: &mut Peer, count: usize) -> String {
    (0..count).map(|_| client.read()).collect::<Vec<_>>().join(" ")
}

/// What fake nodes wait for before they answer.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<AtomicBool>);

impl Gate {
    pub(crate) fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(crate) fn wait(&self) {
        until("it may answer", || self.0.load(Ordering::SeqCst));
    }
}

/// A node that knows what it was told on this connection: every command changes something and answers `:1`.
pub(crate) fn attend(conn: &mut Conn) {
    let mut queued: Option<usize> = None;
    while let Some(line) = conn.next() {
        let word = line.split(' ').next().unwrap_or_default().to_uppercase();
        match (word.as_str(), queued) {
            ("MULTI", None) => {
                queued = Some(0);
                conn.reply("+OK\r\n");
            }
            ("MULTI", Some(_)) => conn.reply("-ERR MULTI calls can not be nested\r\n"),
            ("DISCARD", Some(_)) => {
                queued = None;
                conn.reply("+OK\r\n");
            }
            ("EXEC", Some(count)) => {
                queued = None;
                conn.reply(&format!("*{count}\r\n{}", ":1\r\n".repeat(count)));
            }
            (_, Some(count)) => {
                queued = Some(count + 1);
                conn.reply("+QUEUED\r\n");
            }
            ("WATCH" | "UNWATCH", None) => conn.reply("+OK\r\n"),
            (_, None) => conn.reply(":1\r\n"),
        }
    }
}
