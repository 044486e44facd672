//! A primary, its members and its log, driven at random: whoever a promotion may choose holds everything whose replies have left.
//!
//! The other end of each link is nothing but what it holds; the log takes a proposal at any moment, or never, and is learnt at any
//! moment later. At each step every rule that the log has in force is asked: is there a complete fence set whose best member
//! lacks what was released?

use proptest::prelude::*;

use super::*;

/// Node 0 leads, and these follow.
const REPLICAS: u64 = 4;

#[derive(Debug, Clone)]
enum Step {
    Grows(u64),
    Acks {
        number: u64,
        behind: u64,
    },
    Attaches {
        number: u64,
    },
    Detaches {
        number: u64,
    },
    /// The node was started again and holds nothing.
    Restarts {
        number: u64,
    },
    Passes(u64),
    LogTakes,
    /// A refusal moves the version, too.
    LogDeclines,
    Learns,
    Unheard {
        numbers: Vec<u64>,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let one = || 1..=REPLICAS;
    prop_oneof![
        6 => (1..50u64).prop_map(Step::Grows),
        10 => (one(), prop_oneof![3 => Just(0), 1 => 1..60u64])
            .prop_map(|(number, behind)| Step::Acks { number, behind }),
        3 => one().prop_map(|number| Step::Attaches { number }),
        2 => one().prop_map(|number| Step::Detaches { number }),
        1 => one().prop_map(|number| Step::Restarts { number }),
        4 => (1..400u64).prop_map(Step::Passes),
        3 => Just(Step::LogTakes),
        1 => Just(Step::LogDeclines),
        3 => Just(Step::Learns),
        1 => proptest::sample::subsequence(vec![1, 2, 3, 4], 0..=2).prop_map(|numbers| Step::Unheard { numbers }),
    ]
}

struct Scene {
    bench: Bench,
    end: u64,
    /// Each node's life, whether it is attached, and how much of epoch 1 it really holds.
    lives: Vec<u64>,
    attached: Vec<bool>,
    held: Vec<u64>,
    log: ShardState,
    /// The largest offset whose replies may have left.
    released: u64,
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap() - 1
}

impl Scene {
    fn new() -> Scene {
        let count = index(REPLICAS) + 1;
        let mut bench = Bench::new(0, REPLICAS + 1);
        let log = ShardState { min_copies: Some(1), ..moved(1, &[]) };
        bench.learns(log.clone()).activated(1);
        bench.on(Event::EpochBegun { epoch: Epoch(1), start: Offset(10) });
        bench.take();
        let (lives, attached, held) = (vec![0; count], vec![false; count], vec![0; count]);
        Scene { bench, end: 10, lives, attached, held, log, released: 0 }
    }

    fn member(&self, number: u64) -> Member {
        Member::new(&member(number).node, Incarnation(number + 10 * self.lives[index(number)]))
    }

    fn detach(&mut self, number: u64) {
        if std::mem::take(&mut self.attached[index(number)]) {
            let member = self.member(number);
            self.bench.on(Event::Detached { member });
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Grows(by) => {
                self.end += by;
                self.bench.grows(self.end);
            }
            Step::Acks { number, behind } if self.attached[index(*number)] => {
                let at_least = self.held[index(*number)];
                let holds = self.end.saturating_sub(*behind).max(at_least).max(10);
                self.held[index(*number)] = holds;
                let member = self.member(*number);
                self.bench.on(Event::Acked { member, held: at(1, holds) });
            }
            Step::Attaches { number } if !self.attached[index(*number)] => {
                self.attached[index(*number)] = true;
                let holds = self.held[index(*number)];
                let member = self.member(*number);
                self.bench.on(Event::Attached { member, held: at(u64::from(holds > 0), holds) });
            }
            Step::Acks { .. } | Step::Attaches { .. } => {}
            Step::Detaches { number } => self.detach(*number),
            Step::Restarts { number } => {
                self.detach(*number);
                self.lives[index(*number)] += 1;
                self.held[index(*number)] = 0;
            }
            Step::Passes(millis) => {
                self.bench.passes(*millis);
            }
            Step::LogTakes => self.log_takes(),
            Step::LogDeclines if self.bench.shard.proposal().is_some() => self.log.version += 1,
            Step::LogDeclines => {}
            Step::Learns => {
                let log = self.log.clone();
                self.bench.learns(log);
            }
            Step::Unheard { numbers } => {
                let members: Vec<Member> = numbers.iter().map(|&number| self.member(number)).collect();
                self.bench.on(Event::Unheard { epoch: Epoch(1), members: &members });
            }
        }
        for effect in self.bench.take() {
            if let Effect::Release { committed } = effect {
                self.released = self.released.max(committed.0);
            }
        }
    }

    /// Compare and set on the version, as the log judges it.
    fn log_takes(&mut self) {
        let Some(Entry::ChangeSync { version, sync, .. }) = self.bench.shard.proposal() else { return };
        if *version == self.log.version {
            self.log.version += 1;
            self.log.rule = Rule::new(member(0), sync.clone());
        }
    }

    /// How much a member in the life that a rule means would bring into the next epoch.
    fn brings(&self, member: &Member) -> Option<u64> {
        let number = (1..=REPLICAS).find(|&number| self.member(number) == *member)?;
        Some(self.held[index(number)])
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let rule = &self.log.rule;
        // The worst complete fence set: those who hold least.
        let mut promised: Vec<u64> = rule.sync.iter().filter_map(|member| self.brings(member)).collect();
        promised.sort_unstable();
        if rule.sync.is_empty() || promised.len() < rule.fence_needed() {
            return Ok(());
        }
        let best = promised[rule.fence_needed() - 1];
        prop_assert!(best >= self.released, "{} was released and {best} is held by {rule:?}", self.released);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]
    #[test]
    fn whoever_a_fence_set_chooses_holds_all_that_was_released(steps in prop::collection::vec(step(), 1..200)) {
        let mut scene = Scene::new();
        let mut committed = None;
        for step in &steps {
            scene.step(step);
            scene.check()?;
            let now = scene.bench.shard.committed();
            prop_assert!(now >= committed, "committed went back from {committed:?} to {now:?}");
            committed = now;
        }
    }
}

/// The property is worth something only if it fails without the rules.
#[cfg(feature = "mutants")]
mod without {
    use proptest::test_runner::TestRunner;

    use super::*;
    use crate::mutants::{Mutant, leave_out};

    #[track_caller]
    fn is_noticed(mutant: Mutant) {
        leave_out(Some(mutant));
        let mut runner = TestRunner::new(ProptestConfig {
            cases: 20_000,
            failure_persistence: None,
            max_shrink_iters: 0,
            ..ProptestConfig::default()
        });
        let verdict = runner.run(&prop::collection::vec(step(), 1..200), |steps| {
            let mut scene = Scene::new();
            let mut committed = None;
            for step in &steps {
                scene.step(step);
                scene.check()?;
                let now = scene.bench.shard.committed();
                prop_assert!(now >= committed);
                committed = now;
            }
            Ok(())
        });
        leave_out(None);
        assert!(verdict.is_err(), "{mutant:?} was not noticed");
    }

    #[test]
    fn each_rule_of_committing_that_is_left_out_is_noticed() {
        for mutant in [
            Mutant::AckOneShort,
            Mutant::ShrinkWithoutHolding,
            Mutant::AckByNewRuleOnly,
            Mutant::CommittedGoesBack,
            Mutant::ProposeAnother,
        ] {
            is_noticed(mutant);
        }
    }
}
