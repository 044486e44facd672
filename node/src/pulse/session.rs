//! One connection to the pulse port: who is it, and what does it say.
//!
//! `AUTH slotway <secret>` first, then `SLOTWAY PULSE 1 <json>` again and again; answers are bulks of JSON, and come unasked, too. Whoever
//! says anything else is told so and closed: members say nothing else, and nobody else has anything to say here. Until it has
//! proved itself a peer has little time and little room.

use std::{rc::Rc, time::Duration};

use slotway_cluster::pulse::{Peer, ToNode};
use slotway_link::{End, MEMBER};
use slotway_resp::{Limits, Parser, Request};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{core::Core, outbox::Outbox};
use crate::handlers::connection::same_secret;

/// Within this time a peer proves itself.
const PROOF_PATIENCE: Duration = Duration::from_secs(5);

/// A member says something every 100 ms. One that says nothing for so long has gone, or was replaced by a newer connection.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// The longest word carries the topology of a thousand shards.
const WORD_BYTES_MAX: usize = 16 << 20;

/// Bytes of room made for each read: what is kept grows with what has come, not with what was announced.
const READ_BYTES: usize = 16 * 1024;

const OF_STRANGERS: Limits = Limits {
    bulk_bytes_max: 4096,
    words_max: 4,
    inline_bytes_max: 4096,
    nesting_max: 1,
    unauthenticated: true,
};

const OF_MEMBERS: Limits = Limits { bulk_bytes_max: WORD_BYTES_MAX, unauthenticated: false, ..OF_STRANGERS };

/// The version of what is said here.
const VERSION: &[u8] = b"1";

pub(super) async fn run(
    (mut stream, end): (TcpStream, End),
    (peer, outbox): (Peer, Rc<Outbox>),
    core: Rc<Core>,
) {
    let mut session =
        Session { peer, end, is_member: false, core: Rc::clone(&core), outbox: Rc::clone(&outbox) };
    let (mut reading, mut writing) = stream.split();
    let listens = async {
        let mut bytes = Vec::new();
        let mut parser = Parser::default();
        loop {
            bytes.reserve(READ_BYTES);
            let patience = if session.is_member { SILENCE_MAX } else { PROOF_PATIENCE };
            match timeout(patience, reading.read_buf(&mut bytes)).await {
                Ok(Ok(count)) if count > 0 => {}
                Ok(_) => return,
                Err(_) => break outbox.refuse("ERR nothing was heard for too long"),
            }
            if session.take_all(&mut bytes, &mut parser).is_err() {
                break;
            }
        }
        // The other half ends the connection when the last word is written.
        std::future::pending::<()>().await;
    };
    let speaks = async {
        while let Some(bytes) = outbox.next().await {
            if !matches!(timeout(PROOF_PATIENCE, writing.write_all(&bytes)).await, Ok(Ok(()))) {
                return;
            }
        }
    };
    tokio::select! {
        () = listens => {}
        () = speaks => {}
    }
    core.part(peer);
}

/// The connection is to end; what is to be said was said.
struct Ends;

struct Session {
    peer: Peer,
    end: End,
    is_member: bool,
    core: Rc<Core>,
    outbox: Rc<Outbox>,
}

impl Session {
    /// Takes the whole requests in `bytes`, and leaves the beginning of the next.
    fn take_all(&mut self, bytes: &mut Vec<u8>, parser: &mut Parser) -> Result<(), Ends> {
        loop {
            let limits = if self.is_member { &OF_MEMBERS } else { &OF_STRANGERS };
            match parser.next(bytes, limits) {
                Ok(Some(at)) => self.take(parser.request(bytes, at))?,
                Ok(None) => break,
                Err(broken) => return self.refuse(&format!("ERR {broken}")),
            }
        }
        bytes.drain(..parser.consumed());
        parser.rebase();
        Ok(())
    }

    fn take(&mut self, request: Request<'_>) -> Result<(), Ends> {
        let is = |at: usize, word: &str| {
            request.get(at).is_some_and(|given| given.eq_ignore_ascii_case(word.as_bytes()))
        };
        if is(0, "AUTH") && request.len() == 3 {
            return self.prove(request.word(1), request.word(2));
        }
        if !self.is_member {
            return self.refuse("NOAUTH Authentication required.");
        }
        if !(is(0, "SLOTWAY") && is(1, "PULSE") && request.len() == 4) {
            return self.refuse("ERR only SLOTWAY PULSE is spoken here");
        }
        if request.word(2) != VERSION {
            return self.refuse("ERR only version 1 of SLOTWAY PULSE is spoken here");
        }
        match serde_json::from_slice::<ToNode>(request.word(3)) {
            Ok(word) => {
                self.core.said(self.peer, &self.outbox, &word);
                Ok(())
            }
            Err(error) => self.refuse(&format!("ERR invalid word: {error}")),
        }
    }

    fn prove(&mut self, user: &[u8], secret: &[u8]) -> Result<(), Ends> {
        if user != MEMBER.as_bytes() || !same_secret(self.core.secret(), secret) {
            return self.refuse("WRONGPASS invalid username-password pair or user is disabled.");
        }
        self.is_member = true;
        self.outbox.ok();
        Ok(())
    }

    fn refuse(&self, text: &str) -> Result<(), Ends> {
        tracing::warn!(peer = %self.end, "closing a connection to the pulse port: {text}");
        self.outbox.refuse(text);
        Err(Ends)
    }
}
