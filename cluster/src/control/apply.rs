//! Judging an entry at the moment it is applied: by the state that all before it have left, and by nothing else.
//!
//! Every proxy comes to the same conclusion, since nothing here asks a clock, chance or a socket. A proposer that was late finds that the
//! shard has moved on ([`Refused::Moved`]); one that repeats itself finds it done ([`Outcome::Again`]). Neither changes anything.
//!
//! One refusal does: a `ChangeSync` that names the present (e, v) and breaks a rule raises the version. Its proposer counts by
//! both rules, and may propose nothing else, until it sees (e, v) move (I5); if a refusal left it where it is, that would be for ever.

use self::nodes::{removed as was_there, set};
use super::{
    entry::{Entry, Outcome, Refused},
    state::{Cluster, ShardState},
};
use crate::{
    ids::{Epoch, NodeId, ShardId},
    shard::Member,
};

mod epochs;

mod nodes;

mod shards;

pub(super) use shards::overlap;

/// Names, addresses and reasons are short.
pub(super) const TEXT_BYTES_MAX: usize = 1024;

/// How an entry ended that was not plainly refused.
enum Judged {
    Changed,
    /// It was done before.
    Again,
    /// Refused, and the shard's version says so to its proposer.
    Declined(Refused),
}

type Judgement = Result<Judged, Refused>;

impl Cluster {
    /// Applies the entry at `index` of the log. Epochs, versions and the index never go back, and [`Cluster::validate`] holds
    /// before and behind it.
    pub fn apply(&mut self, index: u64, entry: &Entry) -> Outcome {
        let (changed, outcome) = match self.judge(entry) {
            Ok(Judged::Changed) => (true, Outcome::Done),
            Ok(Judged::Again) => (false, Outcome::Again),
            Ok(Judged::Declined(why)) => (true, Outcome::Refused(why)),
            Err(why) => (false, Outcome::Refused(why)),
        };
        if changed {
            self.let_go();
            self.welcome();
            self.index = self.index.max(index);
        }
        outcome
    }

    fn judge(&mut self, entry: &Entry) -> Judgement {
        if self.cluster_id.is_empty() && !matches!(entry, Entry::Create { .. }) {
            return Err(invalid("no cluster was created yet"));
        }
        match entry {
            Entry::Create { cluster_id, placement, durability } => {
                self.create(cluster_id, placement, *durability)
            }
            Entry::SetDurability { durability } => Ok(set(&mut self.durability, *durability)),
            Entry::AddNode { node, fact } => self.add_node(node, fact),
            Entry::RemoveNode { node } => self.remove_node(node),
            Entry::NodeStarted { node, before, incarnation } => {
                self.node_started(node, *before, *incarnation)
            }
            Entry::AddProxy { proxy, fact } => self.add_proxy(proxy, fact),
            Entry::RemoveProxy { proxy } => Ok(was_there(self.proxies.remove(proxy))),
            Entry::AddShard { shard, primary, slots } => self.add_shard(*shard, primary, slots),
            Entry::RemoveShard { shard } => self.remove_shard(*shard),
            Entry::SetMinCopies { shard, copies } => self.set_min_copies(*shard, *copies),
            Entry::ChangeSync { shard, epoch, version, sync } => {
                self.change_sync(*shard, (*epoch, *version), sync)
            }
            Entry::CleanStop { shard, epoch, version, position } => {
                self.clean_stop(*shard, (*epoch, *version), *position)
            }
            Entry::BeginFailover { shard, epoch, why } => self.begin_failover(*shard, *epoch, why),
            Entry::Promote { shard, epoch, version, winner, sync, how } => {
                self.promote(*shard, (*epoch, *version), winner, sync, *how)
            }
            Entry::Activated { shard, epoch } => self.activated(*shard, *epoch),
            Entry::SwitchAbort { shard, epoch, version } => self.switch_abort(*shard, (*epoch, *version)),
            Entry::AcceptLoss { shard, epoch, version, winner, position, by } => {
                bounded([by.as_str()])?;
                self.accept_loss(*shard, (*epoch, *version), winner, *position)
            }
        }
    }

    fn shard_mut(&mut self, shard: ShardId) -> Result<&mut ShardState, Refused> {
        self.shards.get_mut(&shard).ok_or(Refused::UnknownShard(shard))
    }

    fn shard_ref(&self, shard: ShardId) -> Result<&ShardState, Refused> {
        self.shards.get(&shard).ok_or(Refused::UnknownShard(shard))
    }

    /// A node of this shard, in the life that the log knows last.
    fn living_node_of(&self, shard: ShardId, member: &Member) -> Result<(), Refused> {
        let fact = self.nodes.get(&member.node).ok_or_else(|| Refused::UnknownNode(member.node.clone()))?;
        if fact.shard != shard {
            return Err(invalid(format!("node {} belongs to shard {}", member.node, fact.shard)));
        }
        let lives = fact.incarnation.is_some_and(|life| Member::new(&member.node, life).is(member));
        if lives { Ok(()) } else { Err(Refused::OtherLife(member.clone())) }
    }
}

impl ShardState {
    /// Compare and set: nothing has moved since the proposer looked, and no failover is pending.
    fn expect(&self, (epoch, version): (Epoch, u64)) -> Result<(), Refused> {
        if (self.epoch, self.version) != (epoch, version) {
            return Err(self.moved());
        }
        if self.pending.is_some() { Err(Refused::Pending) } else { Ok(()) }
    }

    fn moved(&self) -> Refused {
        Refused::Moved { epoch: self.epoch, version: self.version }
    }
}

fn invalid(why: impl Into<String>) -> Refused {
    Refused::Invalid(why.into())
}

fn bounded<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<(), Refused> {
    match texts.into_iter().any(|text| text.len() > TEXT_BYTES_MAX) {
        true => Err(invalid(format!("a name, an address or a reason of more than {TEXT_BYTES_MAX} bytes"))),
        false => Ok(()),
    }
}

/// The first node that two of these members share.
pub(super) fn node_twice<'m>(members: impl IntoIterator<Item = &'m Member>) -> Option<&'m NodeId> {
    let mut nodes: Vec<&NodeId> = members.into_iter().map(|member| &member.node).collect();
    nodes.sort();
    nodes.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod properties;
