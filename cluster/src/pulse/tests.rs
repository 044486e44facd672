//! The pulse's machine in virtual time.

use super::*;
use crate::member::SILENT_MEMBER;

mod lease;

mod promise;

pub(super) const SHARD: ShardId = ShardId(1);

pub(super) fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

pub(super) fn member(number: u64) -> Member {
    Member::new(&NodeId(format!("n{number}")), Incarnation(number))
}

pub(super) fn rule(sync: &[u64]) -> Rule {
    Rule::new(member(0), sync.iter().copied().map(member).collect())
}

pub(super) fn identity(number: u64) -> Identity {
    Identity { cluster_id: "c".into(), shard: SHARD, node: member(number).node }
}

/// The machine of node `me`, its clock, and the effects that it was not asked for yet.
pub(super) struct Bench {
    pub(super) pulse: Pulse,
    pub(super) now: Duration,
    pub(super) wanted: Vec<Effect>,
    pub(super) disk_fails: bool,
}

/// Who speaks.
pub(super) const BY: Peer = Peer(7);

impl Bench {
    pub(super) fn new(me: u64) -> Bench {
        Bench::in_life(me, Life::New)
    }

    pub(super) fn in_life(me: u64, life: Life) -> Bench {
        let boot = Boot { incarnation: member(me).incarnation, identity: Some(identity(me)), life };
        let now = ms(1_000);
        Bench { pulse: Pulse::new(&boot, now), now, wanted: Vec::new(), disk_fails: false }
    }

    pub(super) fn on(&mut self, event: Event<'_>) -> &mut Bench {
        let effects = self.pulse.on(event, self.now);
        for effect in &effects {
            if let Effect::Persist { promised, .. } = effect
                && !self.disk_fails
            {
                self.pulse.persisted(*promised);
            }
        }
        self.wanted.extend(effects);
        self
    }

    pub(super) fn hears(&mut self, word: &ToNode) -> &mut Bench {
        self.on(Event::Said { by: BY, word })
    }

    pub(super) fn fence(&mut self, epoch: u64) -> &mut Bench {
        self.hears(&ToNode::Fence { shard: SHARD, epoch: Epoch(epoch) })
    }

    pub(super) fn heartbeat(&mut self, epoch: u64, seq: u64) -> &mut Bench {
        self.hears(&ToNode::Heartbeat(beat(epoch, seq)))
    }

    pub(super) fn leads(&mut self, epoch: u64, syncs: &[&[u64]]) -> &mut Bench {
        let rules: Vec<Rule> = syncs.iter().map(|sync| rule(sync)).collect();
        self.on(Event::LeaseBy { epoch: Epoch(epoch), rules: &rules })
    }

    pub(super) fn granted(&mut self, epoch: u64, seq: u64, number: u64) -> &mut Bench {
        let word = FromNode::Grant { epoch: Epoch(epoch), seq, member: member(number) };
        self.on(Event::Answered(&word))
    }

    /// Time goes by, and the machine is run when it asks to be.
    pub(super) fn passes(&mut self, millis: u64) -> &mut Bench {
        let until = self.now + ms(millis);
        while let Some(wake) = self.pulse.wake_at().filter(|&wake| wake <= until) {
            self.now = self.now.max(wake);
            let effects = self.pulse.tick(self.now);
            self.wanted.extend(effects);
        }
        self.now = until;
        self
    }

    pub(super) fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.wanted)
    }

    #[track_caller]
    pub(super) fn wants(&mut self, wanted: &[Effect]) -> &mut Bench {
        assert_eq!(self.take(), wanted);
        self
    }

    /// The heartbeats sent since it was last asked: when is not told.
    pub(super) fn beats(&mut self) -> Vec<(Member, u64)> {
        let beats = self.take().into_iter().filter_map(|effect| match effect {
            Effect::Beat { to, beat } => Some((to, beat.seq)),
            _ => None,
        });
        beats.collect()
    }

    /// The last lease it told of.
    pub(super) fn lease(&mut self) -> Option<Lease> {
        let mut leases = self.take().into_iter().filter_map(|effect| match effect {
            Effect::Lease(lease) => Some(lease),
            _ => None,
        });
        leases.next_back()
    }
}

pub(super) fn beat(epoch: u64, seq: u64) -> wire::Heartbeat {
    wire::Heartbeat {
        cluster_id: "c".into(),
        shard: SHARD,
        epoch: Epoch(epoch),
        primary: member(0),
        seq,
        committed: Offset(0),
    }
}

pub(super) fn refusal(effects: &[Effect]) -> Option<(u64, u64)> {
    match effects {
        [Effect::Say { to: BY, word: FromNode::Refused { epoch, seen, .. } }] => Some((epoch.0, seen.0)),
        _ => None,
    }
}

#[test]
fn a_lease_allows_its_epoch_until_its_end_and_nothing_once_a_higher_one_was_promised() {
    let lease = Lease { epoch: Epoch(2), until: ms(300) };
    let check = |epoch, promised, now, allowed| {
        assert_eq!(lease.allows(Epoch(epoch), Epoch(promised), ms(now)), allowed, "{epoch} {promised} {now}");
    };
    check(2, 2, 299, true);
    check(2, 2, 300, false);
    check(2, 3, 100, false);
    check(3, 3, 100, false);
    check(1, 1, 100, false);
    assert!(!Lease::default().allows(Epoch(0), Epoch(0), ms(0)));
}

#[test]
fn silence_is_noticed_while_the_lease_still_holds() {
    assert!(SILENT_MEMBER + HEARTBEAT < LEASE);
}
