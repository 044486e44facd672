//! What must hold at every step, and the witness that sees everything and forgets nothing.
//!
//! PROTOCOL.md's I1 to I9, each where it can be broken. The strongest check is the witness' list of all that clients were ever shown: a log
//! that somebody is promoted with, serves from, or shows a reply of, must extend it, and be extended by it.

use std::collections::{BTreeMap, BTreeSet};

use slotway_cluster::{
    Cluster, Entry, Epoch, Member, Position, Rule, pulse::wire::FromNode, replication::Offset,
};

use crate::{clients::OpId, group::SHARD, net::Word, stream::Stream, world::World};

/// A rule was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub rule: &'static str,
    pub how: String,
}

#[derive(Debug, Default)]
pub struct Witness {
    /// Where units end, and the digest of everything up to there, of all that was ever shown to a client.
    shown: Vec<(Offset, u64)>,
    /// Who began an epoch: node and life.
    begun: BTreeMap<Epoch, (usize, u32)>,
    /// The highest epoch in which somebody served.
    served: Epoch,
    promises: BTreeMap<Member, Epoch>,
    /// What members said they hold, by epoch.
    held: BTreeMap<(Member, Epoch), Offset>,
    /// All rules that the log had in force.
    rules: Vec<(Epoch, Rule)>,
    activated: BTreeSet<Epoch>,
    /// The rule and those kept when the last failover began.
    rules_at_begin: Vec<Rule>,
    pub promotions: u64,
    /// Somebody accepted that writes may be lost: nothing is promised about those before.
    pub loss_accepted: bool,
    /// In the end a promotion was rightly refused.
    pub blocked: bool,
}

impl Witness {
    pub fn promised(&mut self, member: &Member, epoch: Epoch, _held: Position) {
        let highest = self.promises.entry(member.clone()).or_default();
        *highest = epoch.max(*highest);
    }

    pub fn holds(&mut self, member: &Member, held: Position) {
        let most = self.held.entry((member.clone(), held.epoch)).or_default();
        *most = held.offset.max(*most);
    }

    pub fn shown_end(&self) -> Offset {
        self.shown.last().map_or(Offset(0), |(end, _)| *end)
    }

    /// Everything that clients were shown is in this log.
    fn is_extended_by(&self, stream: &Stream) -> bool {
        self.shown.last().is_none_or(|(end, digest)| stream.digest_at(*end) == Some(*digest))
    }

    /// What this log has up to `offset` is shown to a client. False if something else was.
    fn show(&mut self, stream: &Stream, offset: Offset) -> bool {
        let end = self.shown_end();
        if offset <= end {
            let at = self.shown.binary_search_by_key(&offset, |(end, _)| *end);
            let known = at.ok().map(|at| self.shown[at].1);
            return offset == Offset(0) || known == stream.digest_at(offset);
        }
        if !self.is_extended_by(stream) {
            return false;
        }
        let from = stream.units.partition_point(|unit| unit.end <= end);
        let new = stream.units[from..].iter().take_while(|unit| unit.end <= offset);
        self.shown.extend(new.map(|unit| (unit.end, unit.digest)));
        true
    }
}

impl World {
    /// I1: an epoch of the shard has one primary, and that in one life.
    pub fn i1_one_primary_per_epoch(&mut self, node: usize, epoch: Epoch) {
        let life = self.nodes[node].life;
        let first = *self.witness.begun.entry(epoch).or_insert((node, life));
        if first != (node, life) {
            self.break_rule("I1", format!("epoch {epoch} was begun by {first:?} and by {:?}", (node, life)));
        }
    }

    /// I2: nothing of an epoch is acknowledged once a higher one was promised.
    pub fn i2_no_acknowledgement_of_an_epoch_below_the_promised_one(
        &mut self,
        node: usize,
        epoch: Epoch,
        held: Position,
    ) {
        let Some(member) = self.nodes[node].member() else { return };
        self.witness.holds(&member, held);
        let promised = self.witness.promises.get(&member).copied().unwrap_or_default();
        if promised > epoch {
            let how = format!("{member} acknowledges {held} in epoch {epoch} and has promised {promised}");
            self.break_rule("I2", how);
        }
    }

    /// I2: no lease is granted for an epoch once a higher one was promised.
    pub fn i2_no_grant_of_an_epoch_below_the_promised_one(&mut self, node: usize, word: &FromNode) {
        let (FromNode::Grant { epoch, .. }, Some(member)) = (word, self.nodes[node].member()) else { return };
        let promised = self.witness.promises.get(&member).copied().unwrap_or_default();
        if promised > *epoch {
            self.break_rule("I2", format!("{member} grants {epoch} and has promised {promised}"));
        }
    }

    /// I3 and I8: a reply leaves once k of S (by a rule that is or was in force in the epoch) hold all that it could have seen, and
    /// what it tells is what everybody else was told.
    pub fn i3_a_reply_tells_only_of_what_is_committed(&mut self, node: usize, word: &Word, offset: Offset) {
        let Some(process) = &self.nodes[node].process else { return };
        let Some(epoch) = process.serving else { return };
        let holds = |member: &&Member| {
            let held = self.witness.held.get(&((*member).clone(), epoch));
            held.is_some_and(|held| *held >= offset)
        };
        let rules = self.witness.rules.iter().filter(|(of, _)| *of == epoch);
        let is_held =
            rules.into_iter().any(|(_, rule)| rule.sync.iter().filter(holds).count() >= rule.acks_needed);
        if !is_held {
            let how = format!("n{} says {word:?} at {offset} of epoch {epoch}, which too few hold", node + 1);
            return self.break_rule("I3", how);
        }
        if !self.witness.loss_accepted && !self.witness.show(&process.stream, offset) {
            let how =
                format!("n{} says {word:?} at {offset} out of another log than was shown before", node + 1);
            self.break_rule("I3", how);
        }
    }

    /// I4, when a Promote is applied: a complete fence set has promised, for the rule and every kept one, and the winner holds all that
    /// was shown to clients.
    fn i4_a_promotion_has_a_fence_and_the_winner_holds_all(&mut self, before: &Cluster, winner: &Member) {
        let Some(old) = before.shards.get(&SHARD) else { return };
        let next = old.epoch.next();
        if old.pending.is_some() {
            let promised =
                |member: &Member| self.witness.promises.get(member).is_some_and(|epoch| *epoch >= next);
            let open = [&old.rule].into_iter().chain(&old.kept).find(|rule| !rule.is_fenced_by(promised));
            if let Some(rule) = open {
                let how = format!("{winner} begins {next} without a complete fence set of {rule:?}");
                return self.break_rule("I4", how);
            }
        }
        let node = self.nodes.iter().find(|node| node.member().as_ref() == Some(winner));
        let stream = node.and_then(|node| node.process.as_ref()).map(|process| &process.stream);
        if stream.is_some_and(|stream| !self.witness.is_extended_by(stream)) {
            let how = format!("{winner} is promoted to {next} and lacks what clients were shown");
            self.break_rule("I4", how);
        }
    }

    /// I4: an operator, or what stands for one, is asked only when the promises cannot be complete.
    fn i4_a_loss_is_accepted_only_where_no_fence_set_can_be_had(&mut self, before: &Cluster) {
        let Some(old) = before.shards.get(&SHARD) else { return };
        let next = old.epoch.next();
        let promised = |member: &Member| {
            let promise = self.witness.promises.get(member);
            promise.is_some_and(|epoch| *epoch >= next) && self.lives(member)
        };
        if self.witness.rules_at_begin.iter().all(|rule| rule.is_fenced_by(promised)) {
            let how =
                format!("a loss is accepted to begin {next}; a complete fence set lives and has promised");
            self.break_rule("I4", how);
        }
    }

    /// Whether a process of this node runs in this life.
    pub fn lives(&self, member: &Member) -> bool {
        self.nodes.iter().any(|node| node.member().as_ref() == Some(member))
    }

    /// I5: k of the new S hold everything that was shown to clients.
    fn i5_a_new_sync_set_holds_what_was_shown(&mut self, rule: &Rule) {
        let lacks = |member: &&Member| {
            let node = self.nodes.iter().find(|node| node.member().as_ref() == Some(member));
            let process = node.and_then(|node| node.process.as_ref());
            process.is_some_and(|process| !self.witness.is_extended_by(&process.stream))
        };
        let holders = rule.sync.len() - rule.sync.iter().filter(lacks).count();
        if holders < rule.acks_needed {
            let how = format!("only {holders} of {rule:?} hold what clients were shown");
            self.break_rule("I5", how);
        }
    }

    /// I6 and I7, whenever something is executed: it is in an epoch that this process began, not beside a newer primary, and out of a
    /// log that extends everything that clients were shown.
    pub fn i6_i7_who_executes_is_the_latest_and_holds_all_that_was_shown(&mut self, node: usize, op: OpId) {
        let life = self.nodes[node].life;
        let Some(process) = &self.nodes[node].process else { return };
        let Some(epoch) = process.serving else { return };
        if self.witness.begun.get(&epoch) != Some(&(node, life)) {
            return self.break_rule("I7", format!("n{} serves {epoch}, which it did not begin", node + 1));
        }
        let served = self.witness.served;
        if epoch < served {
            let how = format!("n{} runs {op:?} in epoch {epoch}, and {served} is served", node + 1);
            return self.break_rule("I6", how);
        }
        // Afterwards the log only grows.
        if epoch == served {
            return;
        }
        if !self.is_open(epoch) {
            let how = format!("n{} serves {epoch}, and too few hold its beginning", node + 1);
            return self.break_rule("I7", how);
        }
        if !self.witness.loss_accepted && !self.witness.is_extended_by(&process.stream) {
            let how = format!("n{} serves {epoch} and lacks what clients were shown", node + 1);
            return self.break_rule("I7", how);
        }
        self.witness.served = epoch;
    }

    /// I7c: k of S hold the EPOCH record; with k = 0 the log has taken `Activated`.
    fn is_open(&self, epoch: Epoch) -> bool {
        let holds = |member: &&Member| self.witness.held.contains_key(&((*member).clone(), epoch));
        let mut rules = self.witness.rules.iter().filter(|(of, _)| *of == epoch);
        rules.any(|(_, rule)| match rule.acks_needed {
            0 => self.witness.activated.contains(&epoch),
            needed => rule.sync.iter().filter(holds).count() >= needed,
        })
    }

    /// I9: what a node says it holds is the epoch of the last EPOCH record in its stream, and the end of a unit.
    pub fn i9_a_position_is_that_of_the_last_epoch_record(&mut self, node: usize) {
        let Some(process) = &self.nodes[node].process else { return };
        let (says, holds) = (process.vitals.position, process.stream.position());
        if says != holds {
            self.break_rule("I9", format!("n{} says {says} and holds {holds}", node + 1));
        }
    }

    /// An entry has changed the log.
    pub fn judge_entry(&mut self, before: &Cluster, entry: &Entry) {
        let shard = self.group.latest().shards.get(&SHARD).map(|shard| (shard.epoch, shard.rule.clone()));
        if let Some((epoch, rule)) = shard
            && self.witness.rules.last() != Some(&(epoch, rule.clone()))
        {
            self.witness.rules.push((epoch, rule.clone()));
            if matches!(entry, Entry::ChangeSync { .. }) && !self.witness.loss_accepted {
                self.i5_a_new_sync_set_holds_what_was_shown(&rule);
            }
        }
        match entry {
            Entry::Promote { winner, .. } => {
                self.witness.promotions += 1;
                if !self.witness.loss_accepted {
                    self.i4_a_promotion_has_a_fence_and_the_winner_holds_all(before, winner);
                }
            }
            Entry::AcceptLoss { .. } => {
                self.i4_a_loss_is_accepted_only_where_no_fence_set_can_be_had(before);
                self.witness.loss_accepted = true;
                self.is_over |= self.plan.ends_with_loss;
            }
            Entry::BeginFailover { .. } => {
                let old = before.shards.get(&SHARD);
                let rules = old.map(|old| [&old.rule].into_iter().chain(&old.kept).cloned().collect());
                self.witness.rules_at_begin = rules.unwrap_or_default();
            }
            Entry::Activated { epoch, .. } => {
                self.witness.activated.insert(*epoch);
            }
            _ => {}
        }
    }

    /// The histories, and the log that is in force in the end: every acknowledged write once, no refused one, others at most once.
    pub fn conclude(&mut self) {
        self.is_over = true;
        if self.witness.loss_accepted {
            return;
        }
        if let Err(why) = self.book.check() {
            return self.break_rule("linearizability", why);
        }
        let Some(rule) = self.group.latest().shards.get(&SHARD).map(|shard| &shard.rule) else { return };
        // Not a later life of the same node.
        let primary = self.nodes.iter().find(|node| node.member().as_ref() == Some(&rule.primary));
        let Some(process) = primary.and_then(|node| node.process.as_ref()) else { return };
        if let Err(why) = self.book.check_log(&process.stream, !self.witness.blocked) {
            self.break_rule("exactly once", why);
        }
    }
}
