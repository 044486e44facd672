//! The primary's side of the pulse: heartbeats out, grants in, and how long the lease is.
//!
//! A grant counts from the moment its heartbeat was *sent*, and for [`LEASE`], which is shorter than what the member keeps its word for. The lease
//! holds while k members of S granted it: it ends when the k-th best grant does. While a change of S is open it must hold by both
//! rules (I5): whichever of them the log has settled on, the fence set of that one shares a member with those who granted.
//!
//! Who grants nothing is told to the keyspace thread once the lease lives on old grants only ([`Leases::unheard`]): it may propose a sync set
//! without them while there is still time.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{HEARTBEAT, LEASE, Lease};
use crate::{
    ids::Epoch,
    member::SILENT_MEMBER,
    mutants::{self, Mutant},
    shard::{Member, Rule},
    watch::Watch,
};

/// A heartbeat that is older than the lease is worth nothing any more, so no more than these are remembered.
const OUTSTANDING_MAX: usize = 5;

const _: () = assert!(HEARTBEAT.as_millis() * (OUTSTANDING_MAX as u128 - 1) >= LEASE.as_millis());

/// What the primary of an epoch counts.
#[derive(Debug, Clone)]
pub(super) struct Leases {
    pub(super) epoch: Epoch,
    /// The one in force first; while a change is open, the proposed one behind it.
    rules: Vec<Rule>,
    members: BTreeMap<Member, Beats>,
    seq: u64,
    next_beat: Duration,
    told: Lease,
    unheard: Vec<Member>,
}

/// One sync member's heartbeats.
#[derive(Debug, Clone)]
struct Beats {
    /// Number and time of those that are not answered, oldest first.
    outstanding: VecDeque<(u64, Duration)>,
    /// When the last one that was granted was sent.
    granted: Option<Duration>,
    /// By the watch: when it last granted, or began to be asked.
    heard: Duration,
}

/// What is new.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) lease: Option<Lease>,
    pub(super) unheard: Option<Vec<Member>>,
}

impl Leases {
    pub(super) fn new(epoch: Epoch, now: Duration) -> Leases {
        Leases {
            epoch,
            rules: Vec::new(),
            members: BTreeMap::new(),
            seq: 0,
            next_beat: now,
            told: Lease::default(),
            unheard: Vec::new(),
        }
    }

    /// Counts by these from now on. Who is new in them is asked at once.
    pub(super) fn count_by(&mut self, rules: &[Rule], now: Duration, watched: Duration) {
        self.rules = rules.to_vec();
        let of_rules = |member: &Member| rules.iter().any(|rule| rule.sync.contains(member));
        self.members.retain(|member, _| of_rules(member));
        for member in rules.iter().flat_map(|rule| &rule.sync) {
            if !self.members.contains_key(member) {
                self.members.insert(member.clone(), Beats::new(watched));
                self.next_beat = now;
            }
        }
    }

    /// The heartbeats that are due: to whom, and their number.
    pub(super) fn beat(&mut self, now: Duration) -> Vec<(Member, u64)> {
        if now < self.next_beat || self.members.is_empty() {
            return Vec::new();
        }
        self.seq += 1;
        self.next_beat = now + HEARTBEAT;
        for beats in self.members.values_mut() {
            if beats.outstanding.len() == OUTSTANDING_MAX {
                beats.outstanding.pop_front();
            }
            beats.outstanding.push_back((self.seq, now));
        }
        self.members.keys().map(|member| (member.clone(), self.seq)).collect()
    }

    /// A heartbeat was granted.
    pub(super) fn granted(&mut self, member: &Member, seq: u64, now: Duration, watched: Duration) {
        let Some(beats) = self.members.get_mut(member) else { return };
        while let Some(&(number, sent)) = beats.outstanding.front() {
            if number > seq {
                break;
            }
            beats.outstanding.pop_front();
            if number == seq {
                let since = if mutants::left_out(Mutant::LeaseFromArrival) { now } else { sent };
                beats.granted = beats.granted.max(Some(since));
                beats.heard = watched;
            }
        }
    }

    /// What has changed since this was last asked.
    pub(super) fn news(&mut self, watched: Duration) -> News {
        let lease = Lease { epoch: self.epoch, until: self.until() };
        let unheard = self.unheard(watched);
        let lease = (lease != self.told).then(|| std::mem::replace(&mut self.told, lease)).map(|_| lease);
        let unheard = (unheard != self.unheard).then(|| {
            self.unheard.clone_from(&unheard);
            unheard
        });
        News { lease, unheard }
    }

    /// At the next heartbeat, or when somebody will have been silent for too long.
    pub(super) fn wake_at(&self, watch: &Watch) -> Option<Duration> {
        let patience = |beats: &Beats| (beats.heard + SILENT_MEMBER).checked_sub(watch.watched());
        let silences = self.members.values().filter_map(patience).filter(|left| !left.is_zero());
        let first_silence = silences.min().map(|left| watch.last() + left);
        let next_beat = (!self.members.is_empty()).then_some(self.next_beat)?;
        Some(first_silence.map_or(next_beat, |silence| silence.min(next_beat)))
    }

    /// When the lease ends: by whichever rule it ends first.
    fn until(&self) -> Duration {
        let skipped = match mutants::left_out(Mutant::LeaseByNewRuleOnly) {
            true => self.rules.len().saturating_sub(1),
            false => 0,
        };
        self.rules.iter().skip(skipped).map(|rule| self.until_by(rule)).min().unwrap_or_default()
    }

    fn until_by(&self, rule: &Rule) -> Duration {
        let Some(nth) = rule.acks_needed.checked_sub(1) else { return Duration::MAX };
        let of = |member| self.members.get(member).and_then(|beats: &Beats| beats.granted);
        let mut ends: Vec<Duration> = rule.sync.iter().filter_map(of).map(|sent| sent + LEASE).collect();
        ends.sort_unstable_by(|one, other| other.cmp(one));
        ends.get(nth).copied().unwrap_or_default()
    }

    /// Who has granted nothing for [`SILENT_MEMBER`], if fewer than k others have.
    fn unheard(&self, watched: Duration) -> Vec<Member> {
        let is_silent = |member: &&Member| {
            self.members.get(*member).is_some_and(|beats| watched >= beats.heard + SILENT_MEMBER)
        };
        let of_rule = |rule: &Rule| -> Vec<Member> {
            let silent: Vec<Member> = rule.sync.iter().filter(is_silent).cloned().collect();
            match rule.sync.len() - silent.len() < rule.acks_needed {
                true => silent,
                false => Vec::new(),
            }
        };
        let mut silent: Vec<Member> = self.rules.iter().flat_map(of_rule).collect();
        silent.sort();
        silent.dedup();
        silent
    }
}

impl Beats {
    fn new(watched: Duration) -> Beats {
        Beats { outstanding: VecDeque::new(), granted: None, heard: watched }
    }
}
