//! The machine of the pulse thread: what a node has promised, whom it granted a lease, and the lease it holds itself.
//!
//! Every word is judged by one number, the highest epoch seen or promised: what belongs to a lower one is refused, and whoever asked is told the
//! number; a higher one is written down and published first, before anything is said (I2).

use std::time::Duration;

use super::{
    Boot, Effect, Event, GRANT, HEARTBEAT, Identity, Lease, Life, Order, Orders, Peer,
    lease::{Leases, News},
    wire::{FromNode, Heartbeat, ToNode},
};
use crate::{
    ids::{Epoch, ShardId},
    mutants::{self, Mutant},
    replication::Offset,
    shard::{Incarnation, Member},
    watch::Watch,
};

/// See the module.
#[derive(Debug, Clone)]
pub struct Pulse {
    incarnation: Incarnation,
    identity: Option<Identity>,
    /// The highest epoch seen or promised.
    seen: Epoch,
    /// The highest epoch that is known to be on the disk, where it has to be.
    kept: Epoch,
    /// Until when this node keeps its word to primaries of epochs below the one it will promise next.
    granted_until: Duration,
    /// Of the newest orders: the index of the log, and who is the primary of which epoch.
    known: Option<(u64, Epoch, Member)>,
    leads: Option<Leases>,
    committed: Offset,
    watch: Watch,
}

impl Pulse {
    pub fn new(boot: &Boot, now: Duration) -> Pulse {
        let (seen, granted_until) = match boot.life {
            Life::New => (Epoch::default(), now),
            Life::Kept { promised } => (promised, now + GRANT),
        };
        Pulse {
            incarnation: boot.incarnation,
            identity: boot.identity.clone(),
            seen,
            kept: seen,
            granted_until,
            known: None,
            leads: None,
            committed: Offset(0),
            watch: Watch::new(HEARTBEAT),
        }
    }

    pub fn on(&mut self, event: Event<'_>, now: Duration) -> Vec<Effect> {
        self.watch.advance(now);
        let mut effects = Vec::new();
        match event {
            Event::Said { by, word } => self.on_word(by, word, now, &mut effects),
            Event::Answered(word) => self.on_answer(word, now, &mut effects),
            Event::LeaseBy { epoch, rules } if epoch >= self.seen => {
                self.see(epoch, &mut effects);
                let watched = self.watch.watched();
                let leads = self.leads.get_or_insert_with(|| Leases::new(epoch, now));
                leads.count_by(rules, now, watched);
            }
            // From before a promise that the keyspace thread has not seen yet.
            Event::LeaseBy { .. } => {}
            Event::Committed(committed) => self.committed = committed,
            Event::Seen(epoch) => self.see(epoch, &mut effects),
        }
        self.beat(now, &mut effects);
        effects
    }

    /// To be called when [`Pulse::wake_at`] has come.
    pub fn tick(&mut self, now: Duration) -> Vec<Effect> {
        self.watch.advance(now);
        let mut effects = Vec::new();
        self.beat(now, &mut effects);
        effects
    }

    /// None: nothing comes with time.
    pub fn wake_at(&self) -> Option<Duration> {
        self.leads.as_ref()?.wake_at(&self.watch)
    }

    /// What [`Effect::Persist`] wanted is done. Until then it is wanted again before everything that depends on it.
    pub fn persisted(&mut self, promised: Epoch) {
        self.kept = self.kept.max(promised);
    }

    /// The highest epoch seen or promised.
    pub fn seen(&self) -> Epoch {
        self.seen
    }

    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    pub fn member(&self) -> Option<Member> {
        self.identity.as_ref().map(|identity| Member::new(&identity.node, self.incarnation))
    }

    /// Index of the log up to which it knows what concerns it.
    pub fn index(&self) -> u64 {
        self.known.as_ref().map_or(0, |(index, ..)| *index)
    }

    /// What is left of the grants that this node gave, or may have given.
    pub fn grant_left(&self, now: Duration) -> Duration {
        self.granted_until.saturating_sub(now)
    }

    fn on_word(&mut self, by: Peer, word: &ToNode, now: Duration, effects: &mut Vec<Effect>) {
        match word {
            ToNode::Ping { .. } => {}
            ToNode::Fence { shard, epoch } => self.on_fence(by, *shard, *epoch, now, effects),
            ToNode::Orders(orders) => self.on_orders(by, orders, effects),
            ToNode::Activate { shard, epoch, wait_ms } => {
                if self.heeds(by, *shard, *epoch, effects) {
                    let not_before = now.saturating_add(Duration::from_millis(*wait_ms));
                    effects.push(Effect::Obey(Order::Activate { epoch: *epoch, not_before }));
                }
            }
            ToNode::Stop { shard, epoch, version } => {
                if self.heeds(by, *shard, *epoch, effects) {
                    effects.push(Effect::Obey(Order::Stop { epoch: *epoch, version: *version }));
                }
            }
            ToNode::Heartbeat(beat) => self.on_heartbeat(by, beat, now, effects),
        }
    }

    fn on_fence(&mut self, by: Peer, shard: ShardId, epoch: Epoch, now: Duration, effects: &mut Vec<Effect>) {
        if !self.heeds(by, shard, epoch, effects) {
            return;
        }
        let Some(member) = self.member() else { return };
        let promise = Effect::Promise { to: by, shard, epoch, member, grant_left: self.grant_left(now) };
        // By then the promise is published, and the position that the shell reads for it is final.
        match mutants::left_out(Mutant::PositionBeforePromise) {
            true => effects.insert(0, promise),
            false => effects.push(promise),
        }
    }

    fn on_orders(&mut self, by: Peer, orders: &Orders, effects: &mut Vec<Effect>) {
        let identity = Identity {
            cluster_id: orders.topology.cluster_id.clone(),
            shard: orders.shard,
            node: orders.me.clone(),
        };
        match &self.identity {
            Some(known) if *known != identity => {
                let why = format!(
                    "this is node {} of cluster {}, shard {}",
                    known.node, known.cluster_id, known.shard
                );
                return effects.push(refused(by, orders.shard, orders.state.epoch, Epoch(0), why));
            }
            Some(_) => {}
            None => {
                self.identity = Some(identity.clone());
                effects.push(Effect::Persist { identity, promised: self.seen });
            }
        }
        // The same again is passed on again: the leader says it to whoever has not followed it.
        let index = orders.topology.version;
        if self.known.as_ref().is_some_and(|(known, ..)| index < *known) {
            return;
        }
        self.known = Some((index, orders.state.epoch, orders.state.rule.primary.clone()));
        self.see(orders.state.epoch, effects);
        effects.push(Effect::Obey(Order::Follow(Box::new(orders.clone()))));
    }

    fn on_heartbeat(&mut self, by: Peer, beat: &Heartbeat, now: Duration, effects: &mut Vec<Effect>) {
        if self.identity.as_ref().is_some_and(|known| known.cluster_id != beat.cluster_id) {
            return effects.push(refused(by, beat.shard, beat.epoch, Epoch(0), "another cluster".into()));
        }
        let is_another = self
            .known
            .as_ref()
            .is_some_and(|(_, epoch, primary)| *epoch == beat.epoch && !primary.is(&beat.primary));
        if is_another {
            let why = format!("{} is not the primary of epoch {}", beat.primary, beat.epoch);
            return effects.push(refused(by, beat.shard, beat.epoch, self.seen, why));
        }
        let grants_to_any = self.is_in(beat.shard) && mutants::left_out(Mutant::GrantAfterPromise);
        if !grants_to_any && !self.heeds(by, beat.shard, beat.epoch, effects) {
            return;
        }
        let Some(member) = self.member() else { return };
        self.granted_until = self.granted_until.max(now + GRANT);
        let word = FromNode::Grant { epoch: beat.epoch, seq: beat.seq, member };
        effects.push(Effect::Say { to: by, word });
    }

    fn on_answer(&mut self, word: &FromNode, now: Duration, effects: &mut Vec<Effect>) {
        match word {
            FromNode::Grant { epoch, seq, member } => {
                let watched = self.watch.watched();
                if let Some(leads) = self.leads.as_mut().filter(|leads| leads.epoch == *epoch) {
                    leads.granted(member, *seq, now, watched);
                }
            }
            FromNode::Refused { shard, seen, .. } if self.is_in(*shard) => self.see(*seen, effects),
            FromNode::Refused { .. } | FromNode::Pong { .. } | FromNode::Promise { .. } => {}
        }
    }

    /// Whether a word of this epoch is taken; a higher epoch is seen by it, a lower one is refused (I2).
    fn heeds(&mut self, by: Peer, shard: ShardId, epoch: Epoch, effects: &mut Vec<Effect>) -> bool {
        if !self.is_in(shard) {
            let why = match &self.identity {
                Some(known) => format!("this node belongs to shard {}", known.shard),
                None => "this node belongs to no cluster yet".to_owned(),
            };
            effects.push(refused(by, shard, epoch, Epoch(0), why));
            return false;
        }
        if epoch < self.seen {
            let why = format!("epoch {} was seen", self.seen);
            effects.push(refused(by, shard, epoch, self.seen, why));
            return false;
        }
        self.see(epoch, effects);
        true
    }

    fn is_in(&self, shard: ShardId) -> bool {
        self.identity.as_ref().is_some_and(|identity| identity.shard == shard)
    }

    /// Written down, then published; the own lease of a lower epoch is over.
    fn see(&mut self, epoch: Epoch, effects: &mut Vec<Effect>) {
        let is_news = epoch > self.seen;
        self.seen = self.seen.max(epoch);
        // A disk that failed is asked again, and what it kept from being published is.
        let promised = self.seen;
        let is_unkept = self.kept < promised;
        if is_unkept && let Some(identity) = self.identity.clone() {
            effects.push(Effect::Persist { identity, promised });
        }
        if is_news || is_unkept {
            effects.push(Effect::Publish { promised });
        }
        if !is_news {
            return;
        }
        if let Some(leads) = self.leads.take() {
            effects.push(Effect::Lease(Lease { epoch: leads.epoch, until: Duration::ZERO }));
        }
    }

    /// Heartbeats that are due, and what is new about the lease.
    fn beat(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let (Some(leads), Some(identity)) = (&mut self.leads, &self.identity) else { return };
        let primary = Member::new(&identity.node, self.incarnation);
        for (to, seq) in leads.beat(now) {
            let beat = Heartbeat {
                cluster_id: identity.cluster_id.clone(),
                shard: identity.shard,
                epoch: leads.epoch,
                primary: primary.clone(),
                seq,
                committed: self.committed,
            };
            effects.push(Effect::Beat { to, beat });
        }
        let News { lease, unheard } = leads.news(self.watch.watched());
        effects.extend(lease.map(Effect::Lease));
        let epoch = leads.epoch;
        effects.extend(unheard.map(|members| Effect::Obey(Order::Unheard { epoch, members })));
    }
}

fn refused(by: Peer, shard: ShardId, epoch: Epoch, seen: Epoch, why: String) -> Effect {
    Effect::Say { to: by, word: FromNode::Refused { shard, epoch, seen, why } }
}
