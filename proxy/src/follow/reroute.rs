//! Where a request belongs by the present topology, judged anew from its bytes.
//!
//! When a request was dispatched its words were looked at once, and only bytes and its row were kept. A request that comes
//! back, or whose link no longer leads to the owner of its keys, is read again here. Everything in this file is the slow path.

use std::hash::{DefaultHasher, Hash, Hasher};

use slotway_cluster::{Database, Placement, ShardId, Slot, slot::slot_of};
use slotway_commands::{
    Command, Id, keys, lookup,
    row::{Policy, SplitRule},
};
use slotway_resp::{Limits, Parser, Request, request::OwnedRequest};

use crate::{
    dispatch,
    follow::order::Uses,
    split::{Cut, Place},
    thread::Thread,
};

/// What is read again.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) command: &'static Command,
    pub(crate) database: Database,
    /// One request, or `MULTI`, commands, `EXEC`.
    pub(crate) bytes: &'a [u8],
    /// The shard that it was sent to.
    pub(crate) shard: ShardId,
    /// Changes from one attempt to the next.
    pub(crate) attempt: usize,
}

/// Who is to run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The shard with this index.
    Shard(usize),
    /// Its keys lie apart, and it may be cut.
    Several,
    /// No shard owns its slot, its keys lie apart, or the shard is gone.
    Nobody,
}

impl Subject<'_> {
    pub(crate) fn owner(&self, thread: &Thread) -> Owner {
        let slots = match self.command.proxy {
            Policy::EveryShard(_) | Policy::Scan | Policy::Config | Policy::Info | Policy::Latency => {
                return thread.shard_with(self.shard).map_or(Owner::Nobody, Owner::Shard);
            }
            Policy::NamedSlot => self.named_slot().into_iter().collect(),
            Policy::OneSlot
            | Policy::LeasedWith(_)
            | Policy::Leased
            | Policy::Split(_)
            | Policy::Transaction
            | Policy::AnyNode
            | Policy::Local
            | Policy::ClientState
            | Policy::Refused(_) => self.slots(thread),
        };
        let mut owners = slots.into_iter().map(|slot| thread.owner(slot));
        let Some(first) = owners.next() else {
            // Any will do: another one each time.
            let count = thread.shard_count();
            return if count > 0 { Owner::Shard(self.attempt % count) } else { Owner::Nobody };
        };
        match first {
            Some(first) if owners.all(|owner| owner == Some(first)) => Owner::Shard(first),
            Some(_) if self.is_divisible() => Owner::Several,
            _ => Owner::Nobody,
        }
    }

    /// May be cut into requests that run independently.
    pub(crate) fn is_divisible(&self) -> bool {
        matches!(self.command.proxy, Policy::Split(_))
    }

    /// Whether it has more than one key. The same key again is none: it goes wherever the first goes.
    pub(crate) fn has_several_keys(&self) -> bool {
        let mut first: Option<Vec<u8>> = None;
        let mut several = false;
        self.for_each_key(|key| several |= first.get_or_insert_with(|| key.to_vec()) != key);
        several
    }

    /// Its parts, by owner. None: it is not to be cut, or a key has no owner.
    pub(crate) fn cut_by_owner(&self, thread: &Thread) -> Option<(Cut, OwnedRequest)> {
        self.cut(|rule, request, positions| {
            let placement = thread.placement();
            Cut::of(rule, positions, |index| {
                Place::of(thread, slot_of(&placement, self.database, request.word(index)))
            })
        })
    }

    /// One part for each of its keys.
    pub(crate) fn cut_by_key(&self) -> Option<(Cut, OwnedRequest)> {
        self.cut(|rule, request, positions| Cut::key_by_key(rule, positions, request))
    }

    fn cut(
        &self,
        cut: impl FnOnce(SplitRule, Request<'_>, keys::Positions) -> Option<Cut>,
    ) -> Option<(Cut, OwnedRequest)> {
        let Policy::Split(rule) = self.command.proxy else { return None };
        let mut request = None;
        for_each_request(self.bytes, |words| request = Some(OwnedRequest::from(words)));
        let request = request?;
        let positions = keys::positions(self.command, request.view()).ok()?;
        cut(rule, request.view(), positions).map(|cut| (cut, request))
    }

    /// What it touches. What reads or writes and names no key (DBSIZE, FLUSHALL, EVAL without keys) may touch any; so may
    /// what is not here as a whole.
    pub(crate) fn uses(&self) -> Uses {
        let mut keys = Vec::new();
        let (mut everything, mut whole) = (false, false);
        for_each_request(self.bytes, |request| {
            whole = true;
            let Ok(command) = lookup::resolve(request) else { return };
            let before = keys.len();
            for index in keys::positions(command, request).ok().into_iter().flatten() {
                let mut hasher = DefaultHasher::new();
                request.word(index).hash(&mut hasher);
                keys.push(hasher.finish());
            }
            everything |= keys.len() == before && (command.may_write() || command.is_readonly());
        });
        keys.sort_unstable();
        keys.dedup();
        let write = self.command.may_write() || self.command.id == Id::Exec;
        Uses { keys, everything: everything || !whole, write }
    }

    fn slots(&self, thread: &Thread) -> Vec<Slot> {
        let placement = thread.placement();
        if !placement.is_spread(self.database) {
            return vec![Placement::home(self.database)];
        }
        let mut slots = Vec::new();
        self.for_each_key(|key| {
            slots.push(slot_of(&placement, self.database, key));
        });
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    fn named_slot(&self) -> Option<Slot> {
        let mut slot = None;
        for_each_request(self.bytes, |request| slot = dispatch::named(request).ok());
        slot
    }

    fn for_each_key(&self, mut look: impl FnMut(&[u8])) {
        for_each_request(self.bytes, |request| {
            // What the node has refused for its words' sake would not have come back.
            let Ok(command) = lookup::resolve(request) else { return };
            for index in keys::positions(command, request).ok().into_iter().flatten() {
                look(request.word(index));
            }
        });
    }
}

/// Requests of this proxy, one behind the other.
fn for_each_request(bytes: &[u8], mut look: impl FnMut(Request<'_>)) {
    let limits = Limits { bulk_bytes_max: bytes.len(), ..Limits::CLIENT };
    let mut parser = Parser::default();
    while let Ok(Some(at)) = parser.next(bytes, &limits) {
        look(parser.request(bytes, at));
    }
}

#[cfg(test)]
mod tests {
    use slotway_resp::write;

    use super::*;

    fn subject<'a>(id: Id, bytes: &'a mut Vec<u8>, lines: &[&str]) -> Subject<'a> {
        for line in lines {
            write::request(bytes, &line.split(' ').collect::<Vec<_>>());
        }
        let command = Command::row(id);
        Subject { command, database: Database::default(), bytes, shard: ShardId(1), attempt: 0 }
    }

    fn written(cut: &Cut, request: &OwnedRequest) -> Vec<String> {
        let part = |part| {
            let mut out = Vec::new();
            cut.write(part, request.view(), &mut out);
            let mut words = Vec::new();
            for_each_request(&out, |request| {
                words.extend(request.words().map(|word| String::from_utf8(word.to_vec()).unwrap()));
            });
            words.join(" ")
        };
        cut.parts.iter().map(part).collect()
    }

    #[test]
    fn what_a_request_touches_is_read_from_its_bytes() {
        let keys = |id, lines: &[&str]| {
            let mut bytes = Vec::new();
            subject(id, &mut bytes, lines).uses()
        };
        let (set, get) = (keys(Id::Set, &["SET a 1"]), keys(Id::Get, &["GET a"]));
        assert_eq!((set.keys.len(), set.write, get.write), (1, true, false));
        assert_eq!(set.keys, get.keys);
        let piece = keys(Id::Exec, &["MULTI", "SET a 1", "GET {a}b", "EXEC"]);
        assert_eq!((piece.keys.contains(&set.keys[0]), piece.keys.len(), piece.write), (true, 2, true));
        let everything = |id, lines: &[&str]| (keys(id, lines).everything, keys(id, lines).write);
        for (id, line) in
            [(Id::Dbsize, "DBSIZE"), (Id::Keys, "KEYS *"), (Id::Scan, "SCAN 0"), (Id::Randomkey, "RANDOMKEY")]
        {
            assert_eq!(everything(id, &[line]), (true, false), "{line}");
        }
        assert_eq!(everything(Id::Flushall, &["FLUSHALL"]), (true, true));
        assert_eq!(everything(Id::Exec, &["MULTI", "SET a 1", "DBSIZE", "EXEC"]), (true, true));
        assert_eq!(keys(Id::Ping, &["PING"]), Uses::default());
        assert!(!everything(Id::Exec, &["MULTI", "SET a 1", "EXEC"]).0);
    }

    #[test]
    fn a_request_is_cut_key_by_key_if_its_row_allows_it() {
        let mut bytes = Vec::new();
        let mset = subject(Id::Mset, &mut bytes, &["MSET a 1 b 2 a 3"]);
        let (cut, request) = mset.cut_by_key().unwrap();
        assert_eq!(
            written(&cut, &request),
            ["MSET a 1 a 3", "MSET b 2"],
            "a key's values stay in their order"
        );
        let mut bytes = Vec::new();
        let mget = subject(Id::Mget, &mut bytes, &["MGET a b a"]);
        assert!(mget.has_several_keys());
        let (cut, _) = mget.cut_by_key().unwrap();
        let mut merged = Vec::new();
        let mut gather = cut.gather(0);
        gather.part(0, b"*2\r\n$1\r\n1\r\n$1\r\n1\r\n");
        gather.part(1, b"*1\r\n$1\r\n2\r\n");
        gather.merge(&mut merged);
        assert_eq!(merged, b"*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n1\r\n");
        let mut bytes = Vec::new();
        assert!(!subject(Id::Mget, &mut bytes, &["MGET a a"]).has_several_keys());
        let mut bytes = Vec::new();
        assert!(subject(Id::Sunion, &mut bytes, &["SUNION a b"]).cut_by_key().is_none());
    }
}
