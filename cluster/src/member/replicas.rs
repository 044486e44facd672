//! Who is attached to a primary, how much each holds, and who is no good for S.
//!
//! What a member holds is what it said on the connection that it has now; when that ends, nothing is known of it. Committed does not go back for
//! it: that is a high-water mark elsewhere.
//!
//! Being slow is no reason to leave S: a slow member that others can stand in for costs nothing, and without it the shard survives one
//! death less. So silence counts against a member only while it keeps something from being committed, or the lease from going on.

use std::{collections::BTreeMap, time::Duration};

use super::{LAG_BYTES_MAX, LAG_MAX, SILENT_MEMBER, UNSEEN_MEMBER};
use crate::{
    ids::Epoch,
    mutants::{self, Mutant},
    replication::Offset,
    shard::{Member, Position},
};

/// Times are those of the machine's watch.
#[derive(Debug, Clone, Default)]
pub(super) struct Replicas {
    attached: BTreeMap<Member, Replica>,
    /// Whose connection ended since the epoch began.
    gone: BTreeMap<Member, Duration>,
    /// Who grants nothing any more, while the lease needs it.
    unheard: Vec<Member>,
}

#[derive(Debug, Clone)]
struct Replica {
    /// A member that lost its connection is often back before the loss is noticed.
    links: u32,
    held: Position,
    /// When it last said anything.
    heard: Duration,
    /// The end of the stream at a moment, until it holds that; and the moment. Once it holds that, the next mark is where the stream grows to.
    mark: (Offset, Duration),
    /// Its link is one of the epoch before: that it ends says nothing.
    is_of_before: bool,
}

/// What a replica is measured by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    pub(super) epoch: Epoch,
    pub(super) end: Offset,
    pub(super) watched: Duration,
    /// Since when the EPOCH record stands.
    pub(super) begun: Duration,
    /// What is committed, and since when something waits for more.
    pub(super) committed: Option<Offset>,
    pub(super) stuck: Option<Duration>,
}

impl Replicas {
    /// A new epoch: nobody has been missed in it yet.
    pub(super) fn begin(&mut self) {
        self.gone.clear();
        self.unheard.clear();
        self.attached.values_mut().for_each(|replica| replica.is_of_before = true);
    }

    pub(super) fn attach(&mut self, member: &Member, held: Position, end: Offset, watched: Duration) {
        self.gone.remove(member);
        let links = self.attached.get(member).map_or(1, |replica| replica.links + 1);
        let replica = Replica { links, held, heard: watched, mark: (end, watched), is_of_before: false };
        self.attached.insert(member.clone(), replica);
    }

    pub(super) fn ack(&mut self, member: &Member, held: Position, end: Offset, watched: Duration) {
        let Some(replica) = self.attached.get_mut(member) else { return };
        replica.held = held;
        replica.heard = watched;
        if held.offset >= replica.mark.0 {
            replica.mark = (end, watched);
        }
    }

    /// The stream goes on: whoever held all of it has something to catch up with from now on.
    pub(super) fn grew(&mut self, end: Offset, watched: Duration) {
        for replica in self.attached.values_mut().filter(|replica| replica.held.offset >= replica.mark.0) {
            replica.mark = (end, watched);
        }
    }

    pub(super) fn detach(&mut self, member: &Member, watched: Duration) {
        let Some(replica) = self.attached.get_mut(member) else { return };
        replica.links -= 1;
        if replica.links > 0 {
            return;
        }
        let is_of_before = replica.is_of_before;
        self.attached.remove(member);
        if !is_of_before {
            // One entry per node.
            self.gone.retain(|other, _| other.node != member.node);
            self.gone.insert(member.clone(), watched);
        }
    }

    pub(super) fn set_unheard(&mut self, members: &[Member]) {
        self.unheard = members.to_vec();
    }

    pub(super) fn attached(&self) -> impl Iterator<Item = &Member> {
        self.attached.keys()
    }

    pub(super) fn is_attached(&self, member: &Member) -> bool {
        self.attached.contains_key(member)
    }

    /// Whether it has said anything since.
    pub(super) fn spoke_since(&self, member: &Member, since: Duration) -> bool {
        self.attached.get(member).is_some_and(|replica| replica.heard > since)
    }

    /// How much of this epoch's stream a member holds. The epoch is that of its last EPOCH record: an offset of an earlier one says nothing.
    pub(super) fn held(&self, member: &Member, epoch: Epoch) -> Offset {
        let is_told = |held: Position| held.epoch == epoch || mutants::left_out(Mutant::AckOfAnyEpoch);
        let replica = self.attached.get(member).filter(|replica| is_told(replica.held));
        replica.map_or(Offset(0), |replica| replica.held.offset)
    }

    /// Why a member is no good for S, if it is not.
    pub(super) fn fault(&self, member: &Member, measure: &Measure) -> Option<&'static str> {
        let Measure { epoch, end, watched, begun, committed, stuck } = *measure;
        let Some(replica) = self.attached.get(member) else {
            let patience = if committed.is_none() { SILENT_MEMBER } else { UNSEEN_MEMBER };
            return match self.gone.contains_key(member) {
                true => Some("its connection ended"),
                false if watched >= begun + patience => Some("it has not come"),
                false => None,
            };
        };
        let held = self.held(member, epoch);
        let keeps_waiting = committed.is_none_or(|committed| held <= committed) && held < end;
        let waited = |since: Duration| watched.saturating_sub(since.max(replica.heard));
        if keeps_waiting && stuck.is_some_and(|since| waited(since) >= SILENT_MEMBER) {
            return Some("it acknowledges nothing");
        }
        if self.unheard.contains(member) {
            return Some("it grants nothing");
        }
        let (mark, since) = replica.mark;
        if held < mark && watched.saturating_sub(since) >= LAG_MAX {
            return Some("it is too far behind, in time");
        }
        let behind_bytes = end.0.saturating_sub(replica.held.offset.0);
        (behind_bytes > LAG_BYTES_MAX).then_some("it is too far behind, in bytes")
    }
}
