//! A node's machine in virtual time: what it does, clause by clause.

use super::*;
use crate::{
    control::{Durability, ShardState},
    ids::{NodeId, ShardId},
    pulse::{Boot, Identity, Life, wire::Part},
    shard::{Incarnation, Rule},
    topology::{self, Kind, Topology},
};

mod opening;

mod properties;

mod replica;

mod rules;

mod switchover;

pub(super) const SHARD: ShardId = ShardId(1);

pub(super) fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

pub(super) fn member(number: u64) -> Member {
    Member::new(&NodeId(format!("n{number}")), Incarnation(number))
}

/// Another life of it.
pub(super) fn reborn(number: u64) -> Member {
    Member::new(&NodeId(format!("n{number}")), Incarnation(number + 100))
}

pub(super) fn at(epoch: u64, offset: u64) -> Position {
    Position { epoch: Epoch(epoch), offset: Offset(offset) }
}

/// The state of the shard: node 0 is the primary.
pub(super) fn state(epoch: u64, version: u64, sync: &[u64]) -> ShardState {
    ShardState {
        epoch: Epoch(epoch),
        version,
        rule: Rule::new(member(0), sync.iter().copied().map(member).collect()),
        kept: Vec::new(),
        activated: false,
        pending: None,
        slots: Vec::new(),
        min_copies: None,
        clean_stop: None,
    }
}

/// What the log says to node `me` of a shard of so many nodes.
pub(super) fn orders(me: u64, nodes: u64, index: u64, state: ShardState) -> Orders {
    let primary = state.rule.primary.node.clone();
    let ids = (0..nodes).map(|number| member(number).node);
    let shard = topology::Shard {
        id: SHARD,
        kind: Kind::Slotway,
        epoch: state.epoch,
        primary: primary.clone(),
        replicas: ids.filter(|id| *id != primary).collect(),
        slots: Vec::new(),
    };
    Orders {
        topology: Topology {
            version: index,
            cluster_id: "c".into(),
            shards: vec![shard],
            placement: crate::Placement::default(),
            nodes: Vec::new(),
            proxies: Vec::new(),
        },
        me: member(me).node,
        shard: SHARD,
        state,
        durability: Durability::Quorum,
        pulse_addrs: Vec::new(),
        leaving: Vec::new(),
    }
}

/// A node's machine, its clock, and everything it wanted since it was last asked.
pub(super) struct Bench {
    pub(super) shard: Shard,
    pub(super) now: Duration,
    me: u64,
    nodes: u64,
    index: u64,
    wanted: Vec<Effect>,
}

impl Bench {
    pub(super) fn new(me: u64, nodes: u64) -> Bench {
        Bench::in_life(me, nodes, Life::New, at(0, 0))
    }

    pub(super) fn in_life(me: u64, nodes: u64, life: Life, position: Position) -> Bench {
        let identity = Identity { cluster_id: "c".into(), shard: SHARD, node: member(me).node };
        let boot = Boot { incarnation: member(me).incarnation, identity: Some(identity), life };
        let shard = Shard::new(&boot, position);
        Bench { shard, now: ms(1_000), me, nodes, index: 0, wanted: Vec::new() }
    }

    pub(super) fn on(&mut self, event: Event<'_>) -> &mut Bench {
        let effects = self.shard.on(event, self.now);
        self.wanted.extend(effects.into_iter().filter(|one| !matches!(one, Effect::Note(_))));
        self
    }

    pub(super) fn learns(&mut self, state: ShardState) -> &mut Bench {
        self.index += 1;
        let orders = orders(self.me, self.nodes, self.index, state);
        self.on(Event::Ordered(&orders))
    }

    /// The log says that another node is to leave the shard.
    pub(super) fn leaves(&mut self, number: u64, state: ShardState) -> &mut Bench {
        self.index += 1;
        let orders = orders(self.me, self.nodes, self.index, state);
        self.on(Event::Ordered(&Orders { leaving: vec![member(number).node], ..orders }))
    }

    /// Time goes by, and the machine is run when it asks to be.
    pub(super) fn passes(&mut self, millis: u64) -> &mut Bench {
        let until = self.now + ms(millis);
        while let Some(wake) = self.shard.wake_at().filter(|&wake| wake <= until) {
            self.now = self.now.max(wake);
            let effects = self.shard.tick(self.now);
            self.wanted.extend(effects.into_iter().filter(|one| !matches!(one, Effect::Note(_))));
        }
        self.now = until;
        self
    }

    pub(super) fn attaches(&mut self, number: u64, held: Position) -> &mut Bench {
        self.on(Event::Attached { member: member(number), held })
    }

    pub(super) fn acks(&mut self, number: u64, held: Position) -> &mut Bench {
        self.on(Event::Acked { member: member(number), held })
    }

    pub(super) fn detaches(&mut self, number: u64) -> &mut Bench {
        self.on(Event::Detached { member: member(number) })
    }

    pub(super) fn grows(&mut self, end: u64) -> &mut Bench {
        self.on(Event::Grew { end: Offset(end) })
    }

    pub(super) fn activated(&mut self, epoch: u64) -> &mut Bench {
        let not_before = self.now;
        self.on(Event::Activate { epoch: Epoch(epoch), not_before })
    }

    /// What it wanted since it was last asked.
    #[track_caller]
    pub(super) fn wants(&mut self, wanted: &[Effect]) -> &mut Bench {
        assert_eq!(self.take(), wanted);
        self
    }

    pub(super) fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.wanted)
    }

    /// The sync set that it proposes now.
    pub(super) fn proposed_sync(&self) -> Option<Vec<Member>> {
        match self.shard.proposal() {
            Some(Entry::ChangeSync { sync, .. }) => Some(sync.clone()),
            _ => None,
        }
    }

    #[track_caller]
    pub(super) fn proposes(&mut self, sync: &[u64]) -> &mut Bench {
        let sync: Vec<Member> = sync.iter().copied().map(member).collect();
        assert_eq!(self.proposed_sync(), Some(sync));
        self
    }

    #[track_caller]
    pub(super) fn proposes_nothing(&mut self) -> &mut Bench {
        assert_eq!(self.shard.proposal(), None);
        self
    }

    #[track_caller]
    pub(super) fn committed_is(&mut self, offset: u64) -> &mut Bench {
        assert_eq!(self.shard.committed(), Some(Offset(offset)));
        self
    }

    #[track_caller]
    pub(super) fn is(&mut self, part: Part) -> &mut Bench {
        assert_eq!(self.shard.part(), part);
        self
    }
}

/// Node 0 as the serving, activated primary of epoch 1 whose EPOCH record ends at 10, which all of `sync` hold; rule version 1.
pub(super) fn serving(nodes: u64, sync: &[u64]) -> Bench {
    let mut bench = Bench::new(0, nodes);
    bench.learns(state(1, 1, sync)).activated(1);
    bench.on(Event::EpochBegun { epoch: Epoch(1), start: Offset(10) });
    for &number in sync {
        bench.attaches(number, at(1, 10));
    }
    bench.learns(ShardState { activated: true, ..state(1, 1, sync) });
    bench.take();
    bench.is(Part::Serving { epoch: Epoch(1) }).proposes_nothing();
    bench
}

/// The same log, a version on.
pub(super) fn moved(version: u64, sync: &[u64]) -> ShardState {
    ShardState { activated: true, ..state(1, version, sync) }
}
