//! A planned switchover: the primary stops for good, its successor catches up to where it stopped, the log decides.
//!
//! The stop is the old primary's promise: it goes on only behind a committed `SwitchAbort`, which is a compare-and-set on (e, v) as
//! `Promote` is. So this leader may lose patience, or its office, at any moment.

use std::time::Duration;

use super::{AGAIN, Effect, Failover, Note, Phase, SWITCH_PATIENCE};
use crate::{
    control::{Entry, ShardState, entry::How},
    ids::{Epoch, NodeId},
    pulse::wire::{Part, ToNode},
    shard::{Member, Position},
};

/// The shard stands still while its target catches up, so the target is asked where it is more often than it is pinged.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(super) struct Switch {
    to: Member,
    epoch: Epoch,
    pub(super) version: u64,
    pub(super) since: Duration,
    sent: Option<Duration>,
    /// When the target was asked last where it is.
    asked: Option<Duration>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Stopping,
    Stopped(Position),
    /// Why it is called off.
    Aborting(String),
}

impl Switch {
    /// The primary has stopped: all that is waited for is its successor.
    pub(super) fn waits_for_target(&self) -> bool {
        matches!(self.stage, Stage::Stopped(_))
    }

    /// Whether the log did what this switchover wants, of a primary that was seen to stand stopped: only then is no grant waited for. The
    /// version would have moved on by more had the primary been let go on since, or had another leader changed the rule before it promoted.
    pub(super) fn led_to(&self, was: &ShardState, is: &ShardState) -> bool {
        matches!(self.stage, Stage::Stopped(_))
            && was.epoch == self.epoch
            && is.epoch == self.epoch.next()
            && is.version == self.version + 1
            && is.rule.primary == self.to
    }

    /// The rule's version moved on. It ends with the abort; of anything else a new stop must be asked for, since the old one counts no more.
    pub(super) fn moved(&mut self, is: &ShardState) -> Option<String> {
        match &self.stage {
            Stage::Aborting(why) => return Some(why.clone()),
            Stage::Stopping | Stage::Stopped(_) if !is.rule.sync.contains(&self.to) => {
                return Some(format!("{} left the sync set", self.to.node));
            }
            Stage::Stopping | Stage::Stopped(_) => {}
        }
        (self.version, self.stage, self.sent) = (is.version, Stage::Stopping, None);
        None
    }
}

impl Failover {
    pub(super) fn switch(&mut self, to: Option<NodeId>, now: Duration, out: &mut Vec<Effect>) {
        let shard = self.shard;
        match self.switch_target(to) {
            Ok((to, epoch, version)) => {
                out.push(Effect::Note(Note::SwitchStarted { shard, to: to.node.clone() }));
                let stage = Stage::Stopping;
                self.phase = Phase::Switching(Switch {
                    to,
                    epoch,
                    version,
                    since: now,
                    sent: None,
                    asked: None,
                    stage,
                });
            }
            Err(why) => out.push(Effect::Note(Note::SwitchAborted { shard, why })),
        }
    }

    /// Who shall lead, and in which place of the log that is decided; or why not.
    fn switch_target(&self, to: Option<NodeId>) -> Result<(Member, Epoch, u64), String> {
        let state = self.state().ok_or("there is no such shard")?;
        if !self.leads {
            return Err("this proxy does not lead".into());
        }
        if state.pending.is_some() || !matches!(self.phase, Phase::Quiet) {
            return Err("the shard's primary is being changed already".into());
        }
        if !state.activated {
            return Err("the shard's epoch has not spread yet".into());
        }
        if to.as_ref() == Some(&state.rule.primary.node) {
            return Err("it is the primary already".into());
        }
        let position = |member: &&Member| self.status(member).map(|status| status.position);
        let to = match &to {
            Some(node) => state.rule.sync.iter().find(|member| member.node == *node),
            // Nobody who is to leave: whoever leads stays.
            None => {
                let may = |member: &&Member| {
                    self.status(member).is_some() && !self.cluster.leaving.contains(&member.node)
                };
                state.rule.sync.iter().filter(may).max_by_key(position)
            }
        };
        let to = to.ok_or("no member of the sync set can take over")?;
        Ok((to.clone(), state.epoch, state.version))
    }

    pub(super) fn drive_switch(&mut self, now: Duration, out: &mut Vec<Effect>) {
        let shard = self.shard;
        let Some(state) = self.cluster.shards.get(&shard) else { return };
        let primary = &state.rule.primary;
        let part = self.status(primary).map(|status| status.part);
        let Phase::Switching(switch) = &self.phase else { return };
        let held = self.status(&switch.to).map(|status| status.position);
        let Phase::Switching(switch) = &mut self.phase else { return };
        let (epoch, version) = (switch.epoch, switch.version);

        if now >= switch.since + SWITCH_PATIENCE && !matches!(switch.stage, Stage::Aborting(_)) {
            let why = match switch.stage {
                Stage::Stopped(position) => format!("{} does not hold {position}", switch.to.node),
                Stage::Stopping | Stage::Aborting(_) => format!("{} does not stop", primary.node),
            };
            switch.stage = Stage::Aborting(why);
        }
        if let (Stage::Stopping, Some(Part::Stopped { epoch: of, version: by, position })) =
            (&switch.stage, part)
            && (of, by) == (epoch, version)
        {
            switch.stage = Stage::Stopped(position);
            out.push(Effect::Note(Note::SwitchStopped { shard, position }));
        }
        match &switch.stage {
            Stage::Stopping => {
                if switch.sent.is_none_or(|sent| now >= sent + AGAIN) {
                    switch.sent = Some(now);
                    let word = ToNode::Stop { shard, epoch, version };
                    out.push(Effect::Send { node: primary.node.clone(), word });
                }
            }
            Stage::Stopped(position) if held.is_some_and(|held| held >= *position) => {
                let (winner, how) = (switch.to.clone(), How::Switchover);
                let mut sync: Vec<Member> = state.rule.members().cloned().collect();
                sync.retain(|member| *member != winner);
                sync.sort();
                let epoch = epoch.next();
                self.propose(Entry::Promote { shard, epoch, version, winner, sync, how }, now, out);
            }
            Stage::Stopped(_) if switch.asked.is_none_or(|asked| now >= asked + ASK_AGAIN) => {
                switch.asked = Some(now);
                out.push(Effect::Ask { node: switch.to.node.clone() });
            }
            Stage::Stopped(_) => {}
            // Also when it never stopped: the word may still be on its way.
            Stage::Aborting(_) => self.propose(Entry::SwitchAbort { shard, epoch, version }, now, out),
        }
    }
}
