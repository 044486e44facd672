//! The machine of the keyspace thread: one role at a time, and what moves it from one to the next.

use std::time::Duration;

use super::{
    Effect, Event, LOOK, Parked,
    leading::{Leading, Scene, Stage},
    may_acknowledge,
    replicas::Replicas,
};
use crate::{
    control::{Entry, ShardState},
    ids::{Epoch, NodeId, ShardId},
    mutants::{self, Mutant},
    pulse::{
        Boot, Life,
        wire::{Orders, Part},
    },
    replication::Offset,
    shard::{Incarnation, Member, Position},
    watch::Watch,
};

/// See the module [`crate::member`].
#[derive(Debug, Clone)]
pub struct Shard {
    incarnation: Incarnation,
    /// Epochs up to this one may have been led by an earlier process of this incarnation: they are not led again.
    led_before: Epoch,
    /// The highest epoch seen or promised.
    seen: Epoch,
    position: Position,
    known: Option<Known>,
    role: Role,
    replicas: Replicas,
    /// The moment before which an epoch is not served.
    activate: Option<(Epoch, Duration)>,
    watch: Watch,
}

/// What the newest orders say.
#[derive(Debug, Clone)]
struct Known {
    index: u64,
    shard: ShardId,
    me: Member,
    /// The nodes of the shard that stay in it.
    mates: Vec<NodeId>,
    state: ShardState,
}

#[derive(Debug, Clone)]
enum Role {
    /// Follows nobody: knows of no primary, or has promised a higher epoch than that of the one it knows.
    Idle,
    /// It was the primary before its process was started again.
    Returned {
        epoch: Epoch,
    },
    Following {
        primary: Member,
        epoch: Epoch,
    },
    Leading(Box<Leading>),
}

impl Shard {
    /// `position`: what the node's files hold.
    pub fn new(boot: &Boot, position: Position) -> Shard {
        let before = match boot.life {
            Life::New => Epoch::default(),
            Life::Kept { promised } => promised,
        };
        Shard {
            incarnation: boot.incarnation,
            led_before: if mutants::left_out(Mutant::ResumeInSameLife) { Epoch::default() } else { before },
            seen: before,
            position,
            known: None,
            role: Role::Idle,
            replicas: Replicas::default(),
            activate: None,
            watch: Watch::new(LOOK),
        }
    }

    pub fn on(&mut self, event: Event<'_>, now: Duration) -> Vec<Effect> {
        let watched = self.watch.advance(now);
        let mut effects = Vec::new();
        match event {
            Event::Ordered(orders) => self.on_orders(orders, now, &mut effects),
            Event::Activate { epoch, not_before } => self.on_activate(epoch, not_before),
            Event::Stop { epoch, version } => {
                let end = self.position.offset;
                if let Some(leading) = self.leading_of(epoch) {
                    leading.stop(version, end, now, &mut effects);
                }
            }
            Event::Seen(epoch) => self.on_seen(epoch, &mut effects),
            Event::Unheard { epoch, members } => {
                if self.leading_of(epoch).is_some() {
                    self.replicas.set_unheard(members);
                }
            }
            Event::EpochBegun { epoch, start } => {
                self.position = Position { epoch, offset: start };
                if let Some(leading) = self.leading_of(epoch) {
                    leading.begun(start, watched);
                }
            }
            Event::Grew { end } => {
                self.replicas.grew(end, watched);
                self.hold(Position { offset: end, ..self.position }, &mut effects);
            }
            Event::EpochApplied { epoch, end } => self.hold(Position { epoch, offset: end }, &mut effects),
            Event::Replaced { position } => self.hold(position, &mut effects),
            Event::Attached { member, held } => {
                self.replicas.attach(&member, held, self.position.offset, watched);
            }
            Event::Acked { member, held } => {
                self.replicas.ack(&member, held, self.position.offset, watched);
            }
            Event::Detached { member } => self.replicas.detach(&member, watched),
        }
        self.settle(now, &mut effects);
        effects
    }

    /// To be called when [`Shard::wake_at`] has come.
    pub fn tick(&mut self, now: Duration) -> Vec<Effect> {
        self.watch.advance(now);
        let mut effects = Vec::new();
        self.settle(now, &mut effects);
        effects
    }

    /// None: nothing comes with time.
    pub fn wake_at(&self) -> Option<Duration> {
        let (Role::Leading(leading), Some(known)) = (&self.role, &self.known) else { return None };
        let last = self.watch.last();
        leading.wake_at(&self.scene(known, leading.epoch, last), last)
    }

    /// What is told of it. That a serving primary without a lease is parked, and that a node loads, is known elsewhere.
    pub fn part(&self) -> Part {
        match &self.role {
            Role::Idle => Part::None,
            Role::Returned { epoch } => Part::Returned { epoch: *epoch },
            Role::Following { epoch, .. } => {
                let is_sync = self.known.as_ref().is_some_and(|known| known.state.rule.has(&known.me));
                if is_sync { Part::Replica { epoch: *epoch } } else { Part::Learner { epoch: *epoch } }
            }
            Role::Leading(leading) => {
                let epoch = leading.epoch;
                match leading.stage {
                    Stage::Opening => Part::Opening { epoch },
                    Stage::Serving => Part::Serving { epoch },
                    Stage::Stopped { version, position, .. } => Part::Stopped { epoch, version, position },
                    Stage::Fenced => Part::Parked { epoch },
                }
            }
        }
    }

    /// What it proposes to the log and has not seen there.
    pub fn proposal(&self) -> Option<&Entry> {
        self.leading()?.proposal()
    }

    /// What it holds, for promises and acknowledgements.
    pub fn position(&self) -> Position {
        self.position
    }

    /// As a primary: what k of S were ever seen to hold in this epoch.
    pub fn committed(&self) -> Option<Offset> {
        self.leading()?.committed()
    }

    /// The highest epoch seen or promised.
    pub fn seen(&self) -> Epoch {
        self.seen
    }

    /// Index of the log up to which it knows what concerns it.
    pub fn index(&self) -> u64 {
        self.known.as_ref().map_or(0, |known| known.index)
    }

    fn on_orders(&mut self, orders: &Orders, now: Duration, effects: &mut Vec<Effect>) {
        if self.known.as_ref().is_some_and(|known| orders.topology.version <= known.index) {
            return;
        }
        let of_shard = orders.topology.shards.iter().find(|shard| shard.id == orders.shard);
        let mates = of_shard.into_iter().flat_map(|shard| shard.replicas.iter().chain([&shard.primary]));
        let mates = mates.filter(|mate| !orders.leaving.contains(mate));
        self.known = Some(Known {
            index: orders.topology.version,
            shard: orders.shard,
            me: Member::new(&orders.me, self.incarnation),
            mates: mates.cloned().collect(),
            state: orders.state.clone(),
        });
        self.on_seen(orders.state.epoch, effects);
        // What was promised counts for more than what the log says of an earlier epoch (I2).
        if orders.state.epoch == self.seen {
            self.take_part(now, effects);
        }
    }

    /// The part that the log gives this node in the latest epoch.
    fn take_part(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let Some(Known { me, state, mates, .. }) = self.known.clone() else { return };
        let epoch = state.epoch;
        if let Some(leading) = self.leading_of(epoch) {
            return leading.learn(&state, mates.len(), now, effects);
        }
        let leads = state.rule.primary.is(&me);
        let was_primary = !leads && state.rule.primary.node == me.node;
        if leads && epoch > self.led_before {
            return self.begin(&state, mates.len(), effects);
        }
        if matches!(self.role, Role::Leading(_)) {
            effects.push(Effect::Depose);
            effects.push(Effect::Note(format!("{} is the primary of epoch {epoch}", state.rule.primary)));
        }
        if leads || was_primary {
            if !matches!(self.role, Role::Idle | Role::Returned { .. }) {
                effects.push(Effect::Halt);
            }
            self.role = if leads { Role::Returned { epoch } } else { Role::Idle };
            return;
        }
        let primary = state.rule.primary;
        let is_known = matches!(&self.role, Role::Following { primary: known, epoch: of } if *known == primary && *of == epoch);
        if is_known {
            return;
        }
        if mutants::left_out(Mutant::EpochByHandshake) {
            self.position.epoch = epoch;
        }
        effects.push(Effect::Note(format!("follows {primary} in epoch {epoch}")));
        self.role = Role::Following { primary: primary.clone(), epoch };
        effects.push(Effect::Follow { primary, epoch });
    }

    /// This node is the primary of a new epoch.
    fn begin(&mut self, state: &ShardState, nodes: usize, effects: &mut Vec<Effect>) {
        let epoch = state.epoch;
        let leading = Leading::new(state, nodes);
        let rules = leading.rules();
        self.replicas.begin();
        if matches!(self.role, Role::Following { .. }) {
            effects.push(Effect::Halt);
        }
        self.role = Role::Leading(Box::new(leading));
        effects.push(Effect::Park(Parked::Opening));
        effects.push(Effect::Note(format!("opens epoch {epoch} at {}", self.position)));
        effects.push(Effect::LeaseBy { epoch, rules });
        effects.push(Effect::BeginEpoch { epoch });
    }

    /// Told twice, each is enough: whoever told has waited for nothing that the other has not.
    fn on_activate(&mut self, epoch: Epoch, not_before: Duration) {
        self.activate = match self.activate {
            Some((known, _)) if known > epoch => self.activate,
            Some((known, at)) if known == epoch => Some((known, at.min(not_before))),
            _ => Some((epoch, not_before)),
        };
    }

    fn on_seen(&mut self, seen: Epoch, effects: &mut Vec<Effect>) {
        if seen <= self.seen {
            return;
        }
        self.seen = seen;
        match &mut self.role {
            Role::Leading(leading) => leading.fence(seen, effects),
            Role::Following { epoch, .. } if !may_acknowledge(*epoch, seen) => {
                effects.push(Effect::Halt);
                self.role = Role::Idle;
            }
            Role::Following { .. } | Role::Returned { .. } | Role::Idle => {}
        }
    }

    /// The stream has come so far here; a replica says so.
    fn hold(&mut self, position: Position, effects: &mut Vec<Effect>) {
        self.position = position;
        if let Role::Following { epoch, .. } = self.role
            && may_acknowledge(epoch, self.seen)
        {
            effects.push(Effect::Acknowledge { epoch, held: position });
        }
    }

    fn settle(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        // Out of its place for a moment: what it looks at lies beside it.
        match std::mem::replace(&mut self.role, Role::Idle) {
            Role::Leading(mut leading) => {
                if let Some(known) = &self.known {
                    leading.settle(&self.scene(known, leading.epoch, now), effects);
                }
                self.role = Role::Leading(leading);
            }
            role => self.role = role,
        }
    }

    fn scene<'s>(&'s self, known: &'s Known, epoch: Epoch, now: Duration) -> Scene<'s> {
        Scene {
            shard: known.shard,
            mates: &known.mates,
            replicas: &self.replicas,
            end: self.position.offset,
            now,
            watched: self.watch.watched(),
            activate: self.activate.filter(|(of, _)| *of == epoch).map(|(_, at)| at),
        }
    }

    fn leading(&self) -> Option<&Leading> {
        match &self.role {
            Role::Leading(leading) => Some(leading),
            Role::Idle | Role::Returned { .. } | Role::Following { .. } => None,
        }
    }

    fn leading_of(&mut self, epoch: Epoch) -> Option<&mut Leading> {
        match &mut self.role {
            Role::Leading(leading) if leading.epoch == epoch => Some(leading),
            Role::Leading(_) | Role::Idle | Role::Returned { .. } | Role::Following { .. } => None,
        }
    }
}
