//! I6 at a primary: what it counts on, and until when.

use super::*;
use proptest::prelude::*;

const ONE: Epoch = Epoch(1);

fn until(millis: u64) -> Option<Lease> {
    Some(Lease { epoch: ONE, until: ms(millis) })
}

#[test]
fn it_asks_every_member_at_once_and_then_each_75_ms() {
    let mut bench = Bench::new(0);
    let both = |seq| vec![(member(1), seq), (member(2), seq)];
    assert_eq!(bench.leads(1, &[&[1, 2]]).beats(), both(1));
    assert_eq!(bench.passes(74).beats(), []);
    assert_eq!(bench.passes(1).beats(), both(2));
    // Whoever comes into the rules is asked at once.
    bench.passes(10).leads(1, &[&[1, 2], &[1, 2, 3]]);
    assert_eq!(bench.beats(), [(member(1), 3), (member(2), 3), (member(3), 3)]);
}

#[test]
fn a_grant_counts_from_the_sending_of_its_heartbeat() {
    let mut bench = Bench::new(0);
    bench.leads(1, &[&[1]]).passes(60);
    bench.take();
    assert_eq!(bench.granted(1, 1, 1).lease(), until(1_300));
    bench.passes(15).take();
    assert_eq!(bench.passes(40).granted(1, 2, 1).lease(), until(1_375));
    // An older one that comes later takes nothing back.
    assert_eq!(bench.granted(1, 1, 1).lease(), None);
}

#[test]
fn grants_of_another_epoch_of_strangers_and_to_what_was_never_asked_are_nothing() {
    let mut bench = Bench::new(0);
    bench.leads(1, &[&[1]]).take();
    bench.granted(2, 1, 1).granted(1, 9, 1).granted(1, 1, 5).wants(&[]);
    let word = FromNode::Grant { epoch: ONE, seq: 1, member: Member::new(&member(1).node, Incarnation(77)) };
    bench.on(Event::Answered(&word)).wants(&[]);
}

#[test]
fn it_holds_as_long_as_k_members_granted_it() {
    let mut bench = Bench::new(0);
    bench.leads(1, &[&[1, 2, 3]]);
    assert_eq!(bench.lease(), until(0));
    assert_eq!(bench.granted(1, 1, 1).lease(), None, "one of two");
    assert_eq!(bench.passes(75).granted(1, 2, 2).lease(), until(1_300), "the second best");
    assert_eq!(bench.granted(1, 2, 3).lease(), until(1_375));
}

#[test]
fn with_nobody_to_ask_none_is_needed() {
    let mut bench = Bench::new(0);
    assert_eq!(bench.leads(1, &[&[]]).lease(), Some(Lease { epoch: ONE, until: Duration::MAX }));
    assert_eq!(bench.pulse.wake_at(), None);
}

#[test]
fn while_a_change_is_open_it_holds_by_both_rules_only() {
    let mut bench = Bench::new(0);
    bench.leads(1, &[&[1, 2]]).granted(1, 1, 2).take();
    assert_eq!(
        bench.leads(1, &[&[1, 2], &[1]]).lease(),
        until(0),
        "the new rule wants the one who is silent"
    );
    assert_eq!(bench.granted(1, 1, 1).lease(), until(1_300));
    assert_eq!(bench.leads(1, &[&[1]]).lease(), None);
    assert_eq!(bench.leads(1, &[&[1], &[]]).lease(), None, "the old one still counts");
    assert_eq!(bench.leads(1, &[&[]]).lease().map(|lease| lease.until), Some(Duration::MAX));
}

#[test]
fn a_higher_epoch_ends_it_and_a_rule_of_a_lower_one_begins_nothing() {
    let mut bench = Bench::new(0);
    bench.leads(1, &[&[1]]).granted(1, 1, 1).take();
    bench.on(Event::Seen(Epoch(2))).wants(&[
        Effect::Persist { identity: identity(0), promised: Epoch(2) },
        Effect::Publish { promised: Epoch(2) },
        Effect::Lease(Lease { epoch: ONE, until: Duration::ZERO }),
    ]);
    bench.leads(1, &[&[1]]).wants(&[]);
    assert_eq!(bench.pulse.wake_at(), None);
}

#[test]
fn a_refusal_tells_of_the_higher_epoch_and_one_of_another_shard_does_not() {
    let mut bench = Bench::new(0);
    bench.leads(1, &[&[1]]).take();
    let refused = |shard| FromNode::Refused { shard, epoch: ONE, seen: Epoch(4), why: String::new() };
    bench.on(Event::Answered(&refused(ShardId(2)))).wants(&[]);
    bench.on(Event::Answered(&refused(SHARD)));
    assert_eq!(bench.lease(), until(0));
    assert_eq!(bench.pulse.seen(), Epoch(4));
}

#[test]
fn heartbeats_carry_what_is_committed() {
    let mut bench = Bench::new(0);
    bench.leads(1, &[&[1]]).on(Event::Committed(Offset(77))).take();
    let wanted = bench.passes(75).take();
    let beat = wire::Heartbeat { committed: Offset(77), ..beat(1, 2) };
    assert_eq!(wanted, [Effect::Beat { to: member(1), beat }]);
}

fn unheard(bench: &mut Bench) -> Option<Vec<Member>> {
    let mut told = bench.take().into_iter().filter_map(|effect| match effect {
        Effect::Obey(Order::Unheard { epoch: ONE, members }) => Some(members),
        _ => None,
    });
    told.next_back()
}

#[test]
fn whoever_grants_nothing_is_named_after_the_silence_term_if_the_lease_needs_it_and_again_when_it_does() {
    let mut bench = Bench::new(0);
    bench.leads(1, &[&[1]]).passes(199);
    assert_eq!(unheard(&mut bench), None);
    bench.passes(1);
    assert_eq!(unheard(&mut bench), Some(vec![member(1)]));
    bench.granted(1, 3, 1);
    assert_eq!(unheard(&mut bench), Some(vec![]));

    let mut bench = Bench::new(0);
    bench.leads(1, &[&[1, 2]]);
    for seq in 1..20 {
        bench.granted(1, seq, 1).passes(75);
    }
    assert_eq!(unheard(&mut bench), None, "one of two is enough");
}

#[test]
fn an_own_pause_is_nobody_elses_silence() {
    let mut bench = Bench::new(0);
    bench.leads(1, &[&[1]]).granted(1, 1, 1);
    bench.now += ms(60_000);
    let wanted = bench.pulse.tick(bench.now);
    assert!(!wanted.iter().any(|effect| matches!(effect, Effect::Obey(_))), "{wanted:?}");
}

/// What happens between a primary and its three members.
#[derive(Debug, Clone)]
enum Step {
    Passes(u64),
    /// A heartbeat that is under way reaches this member, whose grant may be lost.
    Reaches {
        member: u64,
        nth: usize,
        grant_is_lost: bool,
    },
    /// A grant that is under way arrives.
    Returns {
        nth: usize,
    },
    Fence {
        member: u64,
    },
    Rules {
        sync: Vec<u64>,
        proposed: Option<Vec<u64>>,
    },
}

fn sync() -> impl Strategy<Value = Vec<u64>> {
    proptest::sample::subsequence(vec![1, 2, 3], 0..=3)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..120u64).prop_map(Step::Passes),
        6 => (1..=3u64, 0..4usize, prop::bool::weighted(0.2))
            .prop_map(|(member, nth, grant_is_lost)| Step::Reaches { member, nth, grant_is_lost }),
        6 => (0..4usize).prop_map(|nth| Step::Returns { nth }),
        1 => (1..=3u64).prop_map(|member| Step::Fence { member }),
        1 => (sync(), prop::option::of(sync())).prop_map(|(sync, proposed)| Step::Rules { sync, proposed }),
    ]
}

/// A primary, its members, and what is under way between them.
struct Scene {
    primary: Bench,
    members: Vec<Bench>,
    beats: Vec<(Member, wire::Heartbeat)>,
    grants: Vec<FromNode>,
    lease: Lease,
    rules: Vec<Vec<u64>>,
    /// Of those who promised epoch 2: when the last of their grants ends.
    promised: std::collections::BTreeMap<u64, Duration>,
}

impl Scene {
    fn new() -> Scene {
        let mut primary = Bench::new(0);
        primary.leads(1, &[&[1, 2, 3]]);
        let members = (1..=3).map(Bench::new).collect();
        let mut scene = Scene {
            primary,
            members,
            beats: Vec::new(),
            grants: Vec::new(),
            lease: Lease::default(),
            rules: vec![vec![1, 2, 3]],
            promised: std::collections::BTreeMap::new(),
        };
        scene.gather();
        scene
    }

    fn gather(&mut self) {
        for effect in self.primary.take() {
            match effect {
                Effect::Beat { to, beat } => self.beats.push((to, beat)),
                Effect::Lease(lease) => self.lease = lease,
                _ => {}
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Passes(millis) => {
                self.primary.passes(*millis);
                let now = self.primary.now;
                self.members.iter_mut().for_each(|one| one.now = now);
            }
            Step::Reaches { member: number, nth, grant_is_lost } => {
                let to = member(*number);
                let Some(at) = self
                    .beats
                    .iter()
                    .enumerate()
                    .filter(|(_, (of, _))| *of == to)
                    .map(|(at, _)| at)
                    .nth(*nth)
                else {
                    return;
                };
                let (_, beat) = self.beats.remove(at);
                let one = &mut self.members[usize::try_from(*number).unwrap() - 1];
                for effect in one.hears(&ToNode::Heartbeat(beat)).take() {
                    if let Effect::Say { word: word @ FromNode::Grant { .. }, .. } = effect
                        && !grant_is_lost
                    {
                        self.grants.push(word);
                    }
                }
            }
            Step::Returns { nth } if *nth < self.grants.len() => {
                let word = self.grants.remove(*nth);
                self.primary.on(Event::Answered(&word));
            }
            Step::Returns { .. } => {}
            Step::Fence { member: number } => {
                let one = &mut self.members[usize::try_from(*number).unwrap() - 1];
                let now = one.now;
                for effect in one.fence(2).take() {
                    if let Effect::Promise { grant_left, .. } = effect {
                        self.promised.entry(*number).or_insert(now + grant_left);
                    }
                }
            }
            Step::Rules { sync, proposed } => {
                self.rules = [Some(sync), proposed.as_ref()].into_iter().flatten().cloned().collect();
                let rules: Vec<&[u64]> = self.rules.iter().map(Vec::as_slice).collect();
                self.primary.leads(1, &rules);
            }
        }
        self.gather();
    }

    /// Once a complete fence set of one of the rules promised, and their grants have run out, the lease has.
    fn check(&self) -> Result<(), TestCaseError> {
        for sync in &self.rules {
            let rule = rule(sync);
            let fenced: Vec<Duration> =
                sync.iter().filter_map(|number| self.promised.get(number).copied()).collect();
            let Some(over) = fenced.iter().copied().max() else { continue };
            if fenced.len() >= rule.fence_needed() && rule.acks_needed > 0 {
                let serves = self.primary.now.max(over);
                prop_assert!(
                    self.lease.until <= serves,
                    "lease until {:?}, the next primary serves at {serves:?} by {sync:?}",
                    self.lease.until
                );
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    #[test]
    fn no_lease_outlives_the_grants_of_a_complete_fence_set(steps in prop::collection::vec(step(), 1..120)) {
        let mut scene = Scene::new();
        for step in &steps {
            scene.step(step);
            scene.check()?;
        }
    }
}

/// The property is worth something only if it fails without the rules.
#[cfg(feature = "mutants")]
#[test]
fn each_rule_of_the_lease_that_is_left_out_is_noticed() {
    use proptest::test_runner::TestRunner;

    use crate::mutants::{Mutant, leave_out};

    for mutant in [Mutant::LeaseByNewRuleOnly, Mutant::GrantAfterPromise, Mutant::LeaseFromArrival] {
        leave_out(Some(mutant));
        let mut runner = TestRunner::new(ProptestConfig {
            cases: 20_000,
            failure_persistence: None,
            max_shrink_iters: 0,
            ..ProptestConfig::default()
        });
        let verdict = runner.run(&prop::collection::vec(step(), 1..120), |steps| {
            let mut scene = Scene::new();
            steps.iter().try_for_each(|step| {
                scene.step(step);
                scene.check()
            })
        });
        leave_out(None);
        assert!(verdict.is_err(), "{mutant:?} was not noticed");
    }
}
