//! What CLIENT LIST and CLIENT INFO say of a client: a copy that may travel to another thread.

use std::fmt::Write;

use slotway_cluster::Database;
use slotway_link::End;
use slotway_resp::Version;

use crate::{
    client::{Client, Fate, Identity, Stall},
    dispatch,
    link::Trace,
    thread::Thread,
};

/// One client at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Card {
    pub(crate) id: u64,
    pub(crate) peer: End,
    pub(crate) local: End,
    identity: Identity,
    pub(crate) age_s: u64,
    pub(crate) idle_s: u64,
    database: Database,
    version: Version,
    no_evict: bool,
    no_touch: bool,
    /// Commands between MULTI and EXEC.
    queued: Option<usize>,
    queued_bytes: usize,
    closing: bool,
    paused: bool,
    command: &'static str,
    input_bytes: usize,
    output_bytes: usize,
}

impl Client {
    pub(crate) fn card(&self, thread: &Thread) -> Card {
        // A client that asks about itself is being dispatched: its replies are in use, and what they hold is small.
        let output_bytes = self.replies.try_borrow().map_or(0, |replies| replies.bytes());
        let seconds_since = |us: u64| thread.now_us().saturating_sub(us) / 1_000_000;
        Card {
            id: self.id,
            peer: self.peer.clone(),
            local: self.local.clone(),
            identity: self.identity.borrow().clone(),
            age_s: seconds_since(self.created_us),
            idle_s: seconds_since(self.active_us.get()),
            database: self.database.get(),
            version: self.version.get(),
            no_evict: self.no_evict.get(),
            no_touch: self.trace() == Trace::None,
            queued: self
                .transaction
                .try_borrow()
                .ok()
                .and_then(|open| open.as_ref().map(|open| open.queued())),
            queued_bytes: self.queued_bytes(),
            closing: self.fate.get() != Fate::Open,
            paused: self.stall.get() == Some(Stall::Pause),
            command: dispatch::shown_name(self.last_command.get()),
            input_bytes: self.unparsed_bytes.get(),
            output_bytes,
        }
    }
}

impl Card {
    /// Redis 7.2's line, without a line end. Fields that a proxy has nothing for are zero.
    pub(crate) fn line(&self) -> String {
        let mut flags = String::new();
        for (set, flag) in [
            (self.queued.is_some(), 'x'),
            (self.paused, 'b'),
            (self.closing, 'c'),
            (self.no_evict, 'e'),
            (self.no_touch, 'T'),
        ] {
            if set {
                flags.push(flag);
            }
        }
        if flags.is_empty() {
            flags.push('N');
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut line = String::new();
        let written = write!(
            line,
            "id={} addr={} laddr={} fd=0 name={} age={} idle={} flags={} db={} sub=0 psub=0 ssub=0 multi={} \
             qbuf={} qbuf-free=0 argv-mem=0 multi-mem={} rbs=0 rbp=0 obl={} oll=0 omem=0 tot-mem={} events=r cmd={} \
             user=default redir=-1 resp={} lib-name={} lib-ver={}",
            self.id,
            self.peer,
            self.local,
            text(&self.identity.name),
            self.age_s,
            self.idle_s,
            flags,
            self.database.0,
            self.queued.map_or_else(|| "-1".to_owned(), |queued| queued.to_string()),
            self.input_bytes,
            self.queued_bytes,
            self.output_bytes,
            self.input_bytes + self.queued_bytes + self.output_bytes + std::mem::size_of::<Client>(),
            self.command,
            match self.version {
                Version::Resp2 => 2,
                Version::Resp3 => 3,
            },
            text(&self.identity.library_name),
            text(&self.identity.library_version),
        );
        debug_assert!(written.is_ok(), "a String takes every character");
        line
    }
}
