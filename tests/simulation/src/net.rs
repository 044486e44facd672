//! The network: who reaches whom, how long it takes, and connections that keep order and break.
//!
//! What is said on pulse links may be lost, late, or overtaken: a superset of what connections that break and are made anew can do.
//! Replication and data links are [`Conn`]ections: bytes arrive in order or not at all; while a direction is cut they wait, as TCP has
//! it; when a connection ends, what was under way may still arrive, and be read, before its end is seen.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    time::Duration,
};

use slotway_cluster::{
    Epoch, Member, Position, ShardId,
    replication::{HistoryId, Offset},
    session::{Greeting, Next},
};

use crate::{
    clients::{Answer, OpId},
    stream::{Stream, Unit},
};

/// A process of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    Node(usize),
    Proxy(usize),
    /// The majority of the control group: where entries are committed and learned from.
    Group,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Who connected.
    Caller,
    Callee,
}

#[derive(Debug)]
pub struct Conn {
    pub caller: End,
    pub callee: usize,
    /// The process that was called; a later one knows nothing of the connection.
    pub callee_life: u32,
    pub to_callee: Pipe,
    pub to_caller: Pipe,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub struct Pipe {
    pub words: VecDeque<(Duration, Word)>,
    last: Duration,
    pub is_closed: bool,
}

/// What is said on replication and data links.
#[derive(Debug, Clone)]
pub enum Word {
    /// A replica introduces itself.
    Sync {
        shard: ShardId,
        epoch: Epoch,
        member: Member,
        held: Position,
        history: HistoryId,
    },
    /// Go on: what follows is what follows upon `from`.
    Continue {
        epoch: Epoch,
        history: HistoryId,
        from: Offset,
    },
    /// Everything anew: the snapshot begins ...
    SnapshotBegun,
    /// ... and is complete; live units follow.
    Snapshot(Rc<Stream>),
    Units(Vec<Rc<Unit>>),
    /// As far as a broken connection came: the first half of a unit. A reader that waits for whole units has no use for it.
    Torn(Rc<Unit>),
    Ack(Position),
    /// This epoch is not (or no longer) what is followed here.
    NotNow {
        seen: Epoch,
    },
    /// A proxy introduces itself: `SLOTWAY LINK`, and SESSION behind it if it has one.
    Link {
        epoch: Epoch,
        version: u64,
        session: Option<Greeting>,
    },
    Linked,
    /// What SESSION is answered.
    Session(Vec<u8>),
    /// With NEXT before it, if any.
    Request(OpId, Option<Next>),
    Reply(OpId, Answer),
    /// Not executed: whoever is behind fetches.
    Stale {
        op: Option<OpId>,
        epoch: Epoch,
        version: u64,
    },
    /// The connection has ended.
    End,
}

#[derive(Debug, Default)]
pub struct Net {
    /// Nothing arrives from the first at the second.
    pub cuts: BTreeSet<(End, End)>,
    pub conns: BTreeMap<ConnId, Conn>,
    next: u32,
}

impl Net {
    pub fn reaches(&self, from: End, to: End) -> bool {
        !self.cuts.contains(&(from, to))
    }

    pub fn cut_both(&mut self, one: End, other: End) {
        self.cuts.insert((one, other));
        self.cuts.insert((other, one));
    }

    pub fn open(&mut self, caller: End, callee: usize, callee_life: u32) -> ConnId {
        self.next += 1;
        let id = ConnId(self.next);
        let conn =
            Conn { caller, callee, callee_life, to_callee: Pipe::default(), to_caller: Pipe::default() };
        self.conns.insert(id, conn);
        id
    }
}

impl Conn {
    pub fn pipe(&mut self, to: Side) -> &mut Pipe {
        match to {
            Side::Callee => &mut self.to_callee,
            Side::Caller => &mut self.to_caller,
        }
    }

    /// From whom and to whom words of this direction go.
    pub fn way(&self, to: Side) -> (End, End) {
        match to {
            Side::Callee => (self.caller, End::Node(self.callee)),
            Side::Caller => (End::Node(self.callee), self.caller),
        }
    }

    pub fn is_over(&self) -> bool {
        self.to_callee.is_closed && self.to_caller.is_closed
    }
}

impl Pipe {
    /// Puts a word behind what is under way; says when it arrives.
    pub fn push(&mut self, at: Duration, word: Word) -> Duration {
        self.last = self.last.max(at);
        self.words.push_back((self.last, word));
        self.last
    }

    /// Loses what is under way behind the first `kept` words, but for the end. Of the first that is lost a part may have arrived: some units, and
    /// a half of one.
    pub fn lose_behind(&mut self, kept: usize) {
        let end = self.words.pop_back_if(|(_, word)| matches!(word, Word::End));
        let mut part = Vec::new();
        if let Some((at, Word::Units(units))) = self.words.get(kept) {
            let (whole, rest) = units.split_at(units.len() / 2);
            if !whole.is_empty() {
                part.push((*at, Word::Units(whole.to_vec())));
            }
            let half = rest.first().and_then(|unit| unit.first_half());
            part.extend(half.map(|half| (*at, Word::Torn(Rc::new(half)))));
        }
        self.words.truncate(kept);
        self.words.extend(part);
        self.words.extend(end);
    }
}
