//! Requests whose keys lie apart: cut by slot owner, sent side by side, put together in the order of the request.
//!
//! The parts run independently on their shards: a split request is not atomic, as the documentation says. Commands
//! that promise atomicity (MSETNX) are never split; their rows say so.

use std::collections::BTreeMap;

use slotway_cluster::{Slot, topology::Kind};
use slotway_commands::{
    keys,
    row::{MergeRule, SplitRule},
};
use slotway_resp::{Request, write};

use crate::{
    dispatch::Case,
    gather::{Gather, Merge},
    link::Errand,
    thread::Thread,
};

/// A request in parts.
pub(crate) struct Cut {
    pub(crate) parts: Vec<Part>,
    /// Which part has the next key.
    order: Vec<u32>,
    rule: SplitRule,
}

/// The words of one part: which key positions go to one place.
pub(crate) struct Part {
    /// The index of the shard; for parts of one key each, the key's first position.
    pub(crate) place: usize,
    keys: Vec<usize>,
}

/// Where a key goes, and what tells its part from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Keys of one shard travel together.
    Shard(usize),
    /// A node of a Redis Cluster takes several keys only if they have one slot.
    Slot { shard: usize, slot: Slot },
}

impl Place {
    /// None: nobody owns the slot.
    pub(crate) fn of(thread: &Thread, slot: Slot) -> Option<Place> {
        let shard = thread.owner(slot)?;
        let by_slot = thread.kind() == Kind::Cluster;
        Some(if by_slot { Place::Slot { shard, slot } } else { Place::Shard(shard) })
    }

    fn shard(self) -> usize {
        match self {
            Place::Shard(shard) | Place::Slot { shard, .. } => shard,
        }
    }
}

/// Words of one key.
fn step_of(rule: SplitRule) -> usize {
    match rule {
        SplitRule::MultiSet => 2,
        SplitRule::MultiGet | SplitRule::Sum => 1,
    }
}

/// Treats a request whose row allows splitting.
pub(crate) fn run(case: &mut Case<'_>, rule: SplitRule) {
    if !(case.request.len() - 1).is_multiple_of(step_of(rule)) {
        let text = slotway_commands::errors::wrong_arity(case.command).text;
        return case.refuse(&text);
    }
    let Ok(positions) = keys::positions(case.command, case.request) else {
        return case.refuse(slotway_commands::errors::SYNTAX.as_bytes());
    };
    let placement = case.thread.placement();
    let place = |index: usize| Place::of(case.thread, case.slot_of(&placement, case.request.word(index)));
    let cut = Cut::of(rule, positions, place);
    drop(placement);
    let Some(cut) = cut else { return case.homeless = true };
    if let [only] = cut.parts.as_slice() {
        return case.send_to_shard(only.place);
    }
    let gather = cut.gather(case.thread.random());
    let ticket = case.replies.gather(gather, case.heard);
    for (number, part) in (0u32..).zip(&cut.parts) {
        let link = case.link(part.place);
        let errand = Errand { client: case.client, command: case.command, ticket, part: Some(number) };
        let request = case.request;
        link.send_with(case.thread, case.replies, errand, |out| cut.write(part, request, out));
    }
}

impl Cut {
    /// Keys with the same place make a part. None: a key has no place.
    pub(crate) fn of(
        rule: SplitRule,
        positions: impl Iterator<Item = usize>,
        mut place: impl FnMut(usize) -> Option<Place>,
    ) -> Option<Cut> {
        Cut::by(rule, positions, |index| place(index).map(|place| (place, place.shard())))
    }

    /// Each key by itself. A key that stands there more than once makes one part: parts run in any order, and of its values
    /// the last must win.
    pub(crate) fn key_by_key(
        rule: SplitRule,
        positions: impl Iterator<Item = usize>,
        request: Request<'_>,
    ) -> Option<Cut> {
        Cut::by(rule, positions, |index| Some((request.word(index), index)))
    }

    /// `place` says what tells a key's part from the others, and the part's place if the key is its first.
    fn by<P: Ord>(
        rule: SplitRule,
        positions: impl Iterator<Item = usize>,
        mut place: impl FnMut(usize) -> Option<(P, usize)>,
    ) -> Option<Cut> {
        let mut cut = Cut { parts: Vec::new(), order: Vec::new(), rule };
        // A map, since in front of a cluster a request may have as many parts as keys.
        let mut numbers = BTreeMap::new();
        for index in positions {
            let (mark, place) = place(index)?;
            let number = *numbers.entry(mark).or_insert_with(|| {
                cut.parts.push(Part { place, keys: Vec::new() });
                cut.parts.len() - 1
            });
            cut.parts[number].keys.push(index);
            cut.order.push(u32::try_from(number).expect("a request has fewer keys"));
        }
        Some(cut)
    }

    /// What puts the replies together.
    pub(crate) fn gather(&self, random: u64) -> Gather {
        let merge = match self.rule {
            SplitRule::MultiGet => Merge::Interleave(self.order.clone()),
            SplitRule::MultiSet => Merge::Rule(MergeRule::AllOk),
            SplitRule::Sum => Merge::Rule(MergeRule::Sum),
        };
        Gather::new(self.parts.len(), merge, random)
    }

    /// One part as a request of its own.
    pub(crate) fn write(&self, part: &Part, request: Request<'_>, out: &mut Vec<u8>) {
        let step = step_of(self.rule);
        write::array(out, 1 + part.keys.len() * step);
        write::bulk(out, request.word(0));
        for &key in &part.keys {
            (key..key + step).for_each(|word| write::bulk(out, request.word(word)));
        }
    }
}
