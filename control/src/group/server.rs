//! The control port: who may speak, and what is answered.
//!
//! A peer says `AUTH slotway <secret>` first (if the cluster has a secret), then `SLOTWAY RAFT 1 json` as often as it likes; `PING`
//! is answered, too. One request at a time per connection, every wait has a deadline, and before AUTH hardly anything is read.

use std::{sync::Arc, time::Duration};

use slotway_config::Secret;
use slotway_link::{Acceptor, MEMBER, tune};
use slotway_resp::{Frame, Limits, write};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
};

use super::{desk::Desk, journal::PAYLOAD_BYTES_MAX, wire::VERSION};

/// Connections at a time; five voters and their learners need a handful each.
const CONNECTIONS_MAX: usize = 512;

/// A connection that asks nothing for so long is closed.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(60);

/// How long a peer may take to say who it is.
const INTRODUCTION: Duration = Duration::from_secs(5);

/// How long the rest of a request, or the taking of an answer, may take.
const PATIENCE: Duration = Duration::from_secs(10);

const READ_BYTES: usize = 16 * 1024;

const LIMITS: Limits = Limits {
    bulk_bytes_max: PAYLOAD_BYTES_MAX,
    words_max: 8,
    inline_bytes_max: 4096,
    nesting_max: 2,
    unauthenticated: false,
};

/// Before AUTH.
const STRANGER: Limits = Limits { bulk_bytes_max: 4096, ..LIMITS };

/// Serves whoever connects. Ends only by being dropped, and its connections with it.
pub(super) async fn run(mut acceptor: Acceptor, desk: Arc<Desk>, secret: Option<Secret>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let secret: Option<Arc<Secret>> = secret.map(Arc::new);
    let mut connections = JoinSet::new();
    loop {
        let (stream, end) = tokio::select! {
            accepted = acceptor.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(peer = %end, "the control port has {CONNECTIONS_MAX} connections: no more");
            continue;
        };
        let session = Session {
            stream,
            input: Vec::new(),
            is_member: secret.is_none(),
            secret: secret.clone(),
            desk: Arc::clone(&desk),
        };
        connections.spawn(async move {
            session.serve().await;
            drop(place);
        });
    }
}

struct Session {
    stream: TcpStream,
    input: Vec<u8>,
    is_member: bool,
    secret: Option<Arc<Secret>>,
    desk: Arc<Desk>,
}

impl Session {
    async fn serve(mut self) {
        if tune(&self.stream, Some(IDLE_MAX)).is_err() {
            return;
        }
        while let Some(words) = self.request().await {
            let mut reply = Vec::new();
            let goes_on = self.answer(&words, &mut reply).await;
            let sent = tokio::time::timeout(PATIENCE, self.stream.write_all(&reply)).await;
            if !goes_on || !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    }

    /// The next request; None: the peer is gone, silent for too long, or makes no sense.
    async fn request(&mut self) -> Option<Vec<Vec<u8>>> {
        loop {
            let limits = if self.is_member { &LIMITS } else { &STRANGER };
            match Frame::parse(&self.input, limits).ok()? {
                Some((Frame::Array(words), len)) => {
                    self.input.drain(..len);
                    self.input.shrink_to(READ_BYTES);
                    return words.into_iter().map(word).collect();
                }
                Some(_) => return None,
                None => {}
            }
            let patience = match (self.is_member, self.input.is_empty()) {
                (false, _) => INTRODUCTION,
                (true, true) => IDLE_MAX,
                (true, false) => PATIENCE,
            };
            self.input.reserve(READ_BYTES);
            let read = tokio::time::timeout(patience, self.stream.read_buf(&mut self.input)).await;
            if !matches!(read, Ok(Ok(1..))) {
                return None;
            }
        }
    }

    /// Writes the answer; returns whether the connection may go on.
    async fn answer(&mut self, words: &[Vec<u8>], reply: &mut Vec<u8>) -> bool {
        let texts: Vec<&str> = words.iter().filter_map(|word| std::str::from_utf8(word).ok()).collect();
        let is = |word: &str, name: &str| word.eq_ignore_ascii_case(name);
        match texts.as_slice() {
            [auth, user, password] if is(auth, "AUTH") => {
                self.is_member = self.admits(user, password);
                if self.is_member {
                    write::simple(reply, "OK");
                } else {
                    write::error(
                        reply,
                        b"WRONGPASS this is the control port of a cluster with another secret",
                    );
                }
                self.is_member
            }
            _ if !self.is_member => {
                write::error(reply, b"NOAUTH members of the cluster authenticate first");
                false
            }
            [ping] if is(ping, "PING") => {
                write::simple(reply, "PONG");
                true
            }
            [slotway, raft, version, json] if is(slotway, "SLOTWAY") && is(raft, "RAFT") => {
                if *version != VERSION {
                    let text = format!("ERR this control port speaks version {VERSION}, not {version}");
                    write::error(reply, text.replace(['\r', '\n'], " ").as_bytes());
                    return true;
                }
                write::bulk(reply, &self.desk.answer(json).await);
                true
            }
            _ => {
                write::error(reply, b"ERR the control port knows AUTH, PING and SLOTWAY RAFT");
                true
            }
        }
    }

    /// Takes as long whatever is wrong: every byte is compared.
    fn admits(&self, user: &str, password: &str) -> bool {
        let Some(secret) = &self.secret else { return true };
        let (given, known) = (password.as_bytes(), secret.reveal().as_bytes());
        let differences = given.iter().zip(known).fold(0, |seen, (one, other)| seen | (one ^ other));
        user == MEMBER && given.len() == known.len() && differences == 0
    }
}

fn word(frame: Frame) -> Option<Vec<u8>> {
    match frame {
        Frame::Bulk(word) => Some(word),
        _ => None,
    }
}
