//! A primary's epoch, from its opening to its end: what is committed, when it serves, what it proposes.
//!
//! Two rules may count at once: the one in force, and the one that a proposal would put in its place. Until the log is seen to have moved
//! either may be what others go by, so both acknowledge (I5); and as long as that is open nothing else is proposed but the same once more.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Effect, PROPOSE_AGAIN, Parked, RETURN_AFTER,
    change::{Grounds, Wish, wish},
    replicas::{Measure, Replicas},
};
use crate::{
    control::{Entry, ShardState},
    ids::{Epoch, NodeId, ShardId},
    mutants::{self, Mutant},
    replication::Offset,
    shard::{Member, Position, Rule},
};

/// How long a stopped primary waits that goes on by itself, if that rule is left out.
const MUTANT_RESUMES_AFTER: Duration = Duration::from_millis(200);

/// The primary of an epoch.
#[derive(Debug, Clone)]
pub(super) struct Leading {
    pub(super) epoch: Epoch,
    pub(super) stage: Stage,
    version: u64,
    rule: Rule,
    activated: bool,
    /// A failover of this epoch is pending: the log takes no changes of S any more.
    is_pending: bool,
    copies_min: usize,
    /// The end of the EPOCH record, and by the watch since when it stands.
    start: Option<(Offset, Duration)>,
    committed: Option<Offset>,
    released: Option<Offset>,
    /// By the watch: since when something waits to be committed and nothing was.
    stuck: Option<Duration>,
    proposal: Option<Proposal>,
    /// After a proposal that the log declined, the next one waits a little.
    quiet_until: Duration,
    /// By the watch: who left S when.
    left: BTreeMap<Member, Duration>,
    has_too_few: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Opening,
    Serving,
    Stopped {
        version: u64,
        position: Position,
        since: Duration,
    },
    /// A higher epoch was seen: this one is over, whatever comes.
    Fenced,
}

/// What is proposed and was not yet seen in the log.
#[derive(Debug, Clone)]
struct Proposal {
    entry: Entry,
    /// Of a change of S.
    rule: Option<Rule>,
    sent: Duration,
}

/// What the node knows beside.
pub(super) struct Scene<'s> {
    pub(super) shard: ShardId,
    pub(super) mates: &'s [NodeId],
    pub(super) replicas: &'s Replicas,
    pub(super) end: Offset,
    pub(super) now: Duration,
    pub(super) watched: Duration,
    /// Before this moment the epoch is not served; None: nobody has said.
    pub(super) activate: Option<Duration>,
}

impl Leading {
    pub(super) fn new(state: &ShardState, nodes: usize) -> Leading {
        Leading {
            epoch: state.epoch,
            stage: Stage::Opening,
            version: state.version,
            rule: state.rule.clone(),
            activated: state.activated,
            is_pending: state.pending.is_some(),
            copies_min: state.copies_needed(nodes),
            start: None,
            committed: None,
            released: None,
            stuck: None,
            proposal: None,
            quiet_until: Duration::ZERO,
            left: BTreeMap::new(),
            has_too_few: None,
        }
    }

    pub(super) fn begun(&mut self, start: Offset, watched: Duration) {
        self.start = Some((start, watched));
        self.stuck = Some(watched);
    }

    pub(super) fn committed(&self) -> Option<Offset> {
        self.committed
    }

    pub(super) fn proposal(&self) -> Option<&Entry> {
        self.proposal.as_ref().map(|proposal| &proposal.entry)
    }

    /// By which acknowledgements and the lease count: the rule in force first.
    pub(super) fn rules(&self) -> Vec<Rule> {
        self.rules_ref().cloned().collect()
    }

    fn rules_ref(&self) -> impl Iterator<Item = &Rule> {
        let proposed = self.proposal.as_ref().and_then(|proposal| proposal.rule.as_ref());
        [&self.rule].into_iter().chain(proposed)
    }

    /// The log says something new about this epoch.
    pub(super) fn learn(
        &mut self,
        state: &ShardState,
        nodes: usize,
        now: Duration,
        effects: &mut Vec<Effect>,
    ) {
        self.copies_min = state.copies_needed(nodes);
        self.is_pending = state.pending.is_some();
        self.activated |= state.activated;
        let was = self.proposal.is_some();
        if self.activated {
            self.proposal.take_if(|proposal| matches!(proposal.entry, Entry::Activated { .. }));
        }
        if state.version > self.version {
            let proposed = self.proposal.take_if(|proposal| proposal.rule.is_some());
            if proposed.and_then(|proposal| proposal.rule).is_some_and(|rule| rule != state.rule) {
                self.quiet_until = now + PROPOSE_AGAIN;
            }
            self.version = state.version;
            self.rule = state.rule.clone();
            effects.push(Effect::LeaseBy { epoch: self.epoch, rules: self.rules() });
            self.resume(state.version, effects);
        }
        if was && self.proposal.is_none() {
            effects.push(Effect::ProposalEnded);
        }
    }

    /// A stop counts for one (e, v). Once v has moved, nobody can be promoted by it any more.
    fn resume(&mut self, version: u64, effects: &mut Vec<Effect>) {
        if matches!(self.stage, Stage::Stopped { version: of, .. } if of < version) {
            self.stage = Stage::Serving;
            effects.push(Effect::Note(format!(
                "goes on as the primary of epoch {}: the switchover is off",
                self.epoch
            )));
            effects.push(Effect::Serve { epoch: self.epoch });
        }
    }

    /// A planned switchover: for good, unless the log says otherwise. While a change of S is open there is no stopping: one of
    /// the two would be refused, and the leader asks again.
    pub(super) fn stop(&mut self, version: u64, end: Offset, now: Duration, effects: &mut Vec<Effect>) {
        let has_open_change = self.proposal.as_ref().is_some_and(|proposal| proposal.rule.is_some());
        if self.stage != Stage::Serving || version != self.version || has_open_change || self.is_pending {
            return;
        }
        let position = Position { epoch: self.epoch, offset: end };
        self.stage = Stage::Stopped { version, position, since: now };
        effects.push(Effect::Park(Parked::Stopped { position }));
        effects.push(Effect::Note(format!("stopped at {position} for a switchover")));
    }

    /// A higher epoch was seen.
    pub(super) fn fence(&mut self, seen: Epoch, effects: &mut Vec<Effect>) {
        if self.stage == Stage::Fenced {
            return;
        }
        self.stage = Stage::Fenced;
        effects.push(Effect::Park(Parked::Fenced));
        if self.proposal.take().is_some() {
            effects.push(Effect::ProposalEnded);
        }
        effects.push(Effect::Note(format!("epoch {seen} was seen: epoch {} is over here", self.epoch)));
    }

    /// Everything that follows from how things stand now.
    pub(super) fn settle(&mut self, scene: &Scene<'_>, effects: &mut Vec<Effect>) {
        if self.stage == Stage::Fenced || self.start.is_none() {
            return;
        }
        self.count(scene);
        self.serve(scene, effects);
        self.release(effects);
        self.propose(scene, effects);
        self.count_copies(scene, effects);
    }

    /// When time alone may change something, given that the machine was run at `last`.
    pub(super) fn wake_at(&self, scene: &Scene<'_>, last: Duration) -> Option<Duration> {
        if self.stage == Stage::Fenced || self.start.is_none() {
            return None;
        }
        let activation = scene.activate.filter(|&at| self.stage == Stage::Opening && at > last);
        let resend = self.proposal.as_ref().map(|proposal| proposal.sent + PROPOSE_AGAIN);
        let replicas = scene.replicas;
        let is_watching = self.stuck.is_some()
            || !self.left.is_empty()
            || replicas.attached().any(|member| !self.rule.has(member))
            || self.rule.sync.iter().any(|member| {
                replicas.held(member, self.epoch) < scene.end || !scene.mates.contains(&member.node)
            });
        let look = is_watching.then(|| last + super::LOOK);
        [activation, resend, look].into_iter().flatten().min()
    }

    /// I3: the largest offset that ever satisfied the rule, both of them while a change is open.
    fn count(&mut self, scene: &Scene<'_>) {
        let Some((start, _)) = self.start else { return };
        let skipped = match mutants::left_out(Mutant::AckByNewRuleOnly) {
            true => self.rules_ref().count() - 1,
            false => 0,
        };
        let held_by = |rule: &Rule| rule.held(scene.end, |member| scene.replicas.held(member, self.epoch));
        let held = self.rules_ref().skip(skipped).map(held_by).min().unwrap_or_default();
        let before = self.committed;
        if held >= start {
            self.committed = self.committed.max(Some(held));
        }
        if mutants::left_out(Mutant::CommittedGoesBack) && before.is_some() {
            self.committed = Some(held.max(start));
        }
        let waits = self.committed.is_none_or(|committed| committed < scene.end);
        self.stuck = match self.stuck {
            _ if !waits => None,
            Some(since) if self.committed == before => Some(since),
            _ => Some(scene.watched),
        };
    }

    /// I7, but for the lease, which the requests themselves are compared with.
    fn serve(&mut self, scene: &Scene<'_>, effects: &mut Vec<Effect>) {
        if self.stage != Stage::Opening {
            return;
        }
        let is_over = Leading::grants_are_over(scene);
        // (c) k of S hold the start, so that no promotion passes this epoch over.
        let is_held = self.committed.is_some() || mutants::left_out(Mutant::ServeBeforeHeld);
        // With nobody to ask, the log is asked whether the epoch is still the latest: it has taken our `Activated`.
        let is_confirmed =
            self.rule.acks_needed > 0 || self.activated || mutants::left_out(Mutant::ServeAloneUnconfirmed);
        if is_over && is_held && is_confirmed {
            self.stage = Stage::Serving;
            effects.push(Effect::Note(format!("serves epoch {}", self.epoch)));
            effects.push(Effect::Serve { epoch: self.epoch });
        }
    }

    /// I7b: until then an epoch before may still be read from.
    fn grants_are_over(scene: &Scene<'_>) -> bool {
        scene.activate.is_some_and(|at| scene.now >= at) || mutants::left_out(Mutant::ActivateBeforeGrantsEnd)
    }

    fn release(&mut self, effects: &mut Vec<Effect>) {
        if matches!(self.stage, Stage::Opening | Stage::Fenced) {
            return;
        }
        if let Some(committed) = self.committed.filter(|_| self.committed > self.released) {
            self.released = Some(committed);
            effects.push(Effect::Release { committed });
        }
    }

    fn propose(&mut self, scene: &Scene<'_>, effects: &mut Vec<Effect>) {
        let now = scene.now;
        if let Stage::Stopped { version, since, .. } = self.stage
            && mutants::left_out(Mutant::ResumeOnItsOwn)
            && now >= since + MUTANT_RESUMES_AFTER
        {
            self.resume(version + 1, effects);
        }
        if mutants::left_out(Mutant::ProposeAnother) {
            self.proposal.take_if(|proposal| proposal.rule.is_some() && now >= proposal.sent + PROPOSE_AGAIN);
        }
        if let Some(proposal) = &mut self.proposal {
            if now >= proposal.sent + PROPOSE_AGAIN {
                proposal.sent = now;
                effects.push(Effect::Propose(proposal.entry.clone()));
            }
            return;
        }
        // Not before the grants are over: from an activated epoch the next one waits for the grants of that epoch alone.
        if self.committed.is_some() && !self.activated && Leading::grants_are_over(scene) {
            let entry = Entry::Activated { shard: scene.shard, epoch: self.epoch };
            self.open(entry, None, now, effects);
        } else if let Some(wish) = self.wish(scene) {
            let note = format!("wants {wish} in epoch {}", self.epoch);
            effects.push(Effect::Note(note));
            let sync = wish.rule.sync.clone();
            let Leading { epoch, version, .. } = *self;
            let entry = Entry::ChangeSync { shard: scene.shard, epoch, version, sync };
            self.left.extend(wish.out.into_iter().map(|(member, _)| (member, scene.watched)));
            self.open(entry, Some(wish.rule), now, effects);
        }
    }

    fn open(&mut self, entry: Entry, rule: Option<Rule>, now: Duration, effects: &mut Vec<Effect>) {
        let changes = rule.is_some();
        self.proposal = Some(Proposal { entry: entry.clone(), rule, sent: now });
        if changes {
            effects.push(Effect::LeaseBy { epoch: self.epoch, rules: self.rules() });
        }
        effects.push(Effect::Propose(entry));
    }

    /// A change of S, unless it would only be refused.
    fn wish(&mut self, scene: &Scene<'_>) -> Option<Wish> {
        let may_propose = matches!(self.stage, Stage::Opening | Stage::Serving)
            && !self.is_pending
            && scene.now >= self.quiet_until;
        let (start, begun) = self.start.filter(|_| may_propose)?;
        let Scene { replicas, watched, .. } = *scene;
        let is_away = |member: &Member, since: Duration| {
            let is_mute = replicas.is_attached(member) && !replicas.spoke_since(member, since);
            watched < since + RETURN_AFTER || is_mute
        };
        self.left.retain(|member, since| is_away(member, *since));
        let left: Vec<Member> = self.left.keys().cloned().collect();
        wish(&Grounds {
            rule: &self.rule,
            replicas,
            measure: Measure {
                epoch: self.epoch,
                end: scene.end,
                watched,
                begun,
                committed: self.committed,
                stuck: self.stuck,
            },
            required: self.committed.unwrap_or(start),
            mates: scene.mates,
            copies_min: self.copies_min,
            left: &left,
        })
    }

    /// Copies that are there: the primary's, and those of attached members that are in this epoch.
    fn count_copies(&mut self, scene: &Scene<'_>, effects: &mut Vec<Effect>) {
        let Some((start, _)) = self.start else { return };
        let is_copy = |member: &&Member| scene.replicas.held(member, self.epoch) >= start;
        let copies = 1 + self.rule.sync.iter().filter(is_copy).count();
        let too_few = copies < self.copies_min;
        if self.has_too_few != Some(too_few) {
            self.has_too_few = Some(too_few);
            effects.push(Effect::TooFewCopies(too_few));
        }
    }
}
