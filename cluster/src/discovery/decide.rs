//! Weighing what the nodes say: from the present [`Known`] and the newest views to the next.
//!
//! A *claim* is what a view says of a slot: its owner, and under which config epoch. Epochs only grow, and the cluster itself
//! decides between two claims by the greater. A claim replaces the present owner if its epoch is not lower and
//!
//! 1. most of the present primaries state it, or
//! 2. the former and the new owner both state it, as soon as a slot was handed over or a failover was asked for, or
//! 3. the former owner does not answer, all others that answer state it, and they are at least half of all;
//!
//! or, whatever the epochs, if all present primaries state it: such a cluster was reset. So one node that was cut off, restored
//! from an old disk or lies can change nothing as long as there are three primaries. That a slot has *no* owner is a claim without
//! epoch: only the first and the last way lead to it. Epochs themselves are believed as far as most state them, so that one
//! exaggeration cannot lock out what comes later.
//!
//! The epoch is kept for each slot and not for its owner: an owner's epoch grows with the next slot it takes, which would
//! make a slot it lost just before look newer than it is.
//!
//! At the start there is nobody to outvote: the first node that believes its cluster to be whole is believed, provisionally,
//! until most of the primaries it named have been heard; what these then say counts without regard to epochs.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    MemberId, View,
    numbering::{self, Numbers},
    view::Held,
};
use crate::{
    ids::{Epoch, cluster_id},
    ranges::SlotRange,
    slot::{SLOTS, Slot},
};

/// What is held to be true of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub(super) cluster_id: String,
    trust: Trust,
    /// In the order of slots; slots without an owner are absent.
    pub(super) holdings: Vec<Holding>,
    /// Owners of slots and their replicas.
    pub(super) members: BTreeMap<MemberId, Place>,
    pub(super) numbers: Numbers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// One node's word.
    Provisional,
    Checked,
}

/// A range of slots, who holds it, and the config epoch of the claim that was believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holding {
    pub(super) range: SlotRange,
    pub(super) owner: MemberId,
    pub(super) epoch: Epoch,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) address: String,
    /// None for an owner of slots.
    pub(super) follows: Option<MemberId>,
}

/// What is known next. None: nothing is known yet, and no view is good enough to begin with. The order of the views does not
/// matter; views of nodes that do not answer any more must not be among them.
pub fn decide(present: Option<&Known>, views: &[View]) -> Option<Known> {
    match present {
        Some(known) if !known.holdings.is_empty() => Some(known.next(views)),
        // Nobody owns anything any more: nobody is left to be heard. Names stay what they were.
        _ => {
            let whole = views.iter().filter(|view| view.is_whole());
            let first = whole.max_by_key(|view| (view.state.current_epoch, std::cmp::Reverse(&view.asked)));
            let begun = first.map(|first| Known::provisional(first, present).next(views));
            begun.or_else(|| present.cloned())
        }
    }
}

impl Known {
    fn provisional(view: &View, former: Option<&Known>) -> Known {
        let holdings = view.held.iter().map(|held| Holding {
            range: held.range,
            owner: held.owner.clone(),
            epoch: view.epoch(&held.owner),
        });
        let holdings: Vec<Holding> = holdings.collect();
        let members = view.members.values().filter_map(|member| {
            let place = Place { address: member.address.clone()?, follows: member.follows.clone() };
            Some((member.id.clone(), place))
        });
        let numbers = former.map_or_else(Numbers::default, |former| former.numbers.clone());
        let (members, numbers) = numbering::assign(&numbers, &BTreeMap::new(), &holdings, members.collect());
        let named = || cluster_id(members.keys().map(|id| id.0.as_str()));
        let cluster_id = former.map_or_else(named, |former| former.cluster_id.clone());
        Known { cluster_id, trust: Trust::Provisional, holdings, members, numbers }
    }

    fn next(&self, views: &[View]) -> Known {
        let council = Council::of(self, views);
        let holdings = self.holdings_by(&council);
        let places = self.places_by(&council, &holdings);
        let (members, numbers) = numbering::assign(&self.numbers, &self.members, &holdings, places);
        let trust = match council.is_quorate() {
            true => Trust::Checked,
            false => self.trust,
        };
        Known { cluster_id: self.cluster_id.clone(), trust, holdings, members, numbers }
    }

    /// Where the nodes are that belong to it.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.members.values().map(|place| place.address.as_str())
    }

    /// Whether every primary answers and says just what is known: then nothing is about to change.
    pub fn is_settled(&self, views: &[View]) -> bool {
        let council = Council::of(self, views);
        let each =
            self.holdings.iter().map(|holding| Held { range: holding.range, owner: holding.owner.clone() });
        let mut held: Vec<Held> = each.collect();
        held.dedup_by(|next, held| held.absorb(next));
        self.trust == Trust::Checked
            && council.primaries.iter().all(|id| council.seats.contains_key(id))
            && council.primary_views().all(|view| view.held == held && !view.moving)
    }

    fn holding(&self, slot: Slot) -> Option<&Holding> {
        let at = self.holdings.partition_point(|holding| holding.range.last() < slot);
        self.holdings.get(at).filter(|holding| holding.range.first() <= slot)
    }

    /// Each run of slots in which nobody sees a border is judged once, by its first slot.
    fn holdings_by(&self, council: &Council) -> Vec<Holding> {
        let mut borders: BTreeSet<u16> = BTreeSet::from([0]);
        let held = council.seats.values().flat_map(|view| view.held.iter().map(|held| held.range));
        for range in held.chain(self.holdings.iter().map(|holding| holding.range)) {
            borders.extend([range.first().number(), range.last().number() + 1]);
        }
        borders.insert(SLOTS);
        let borders: Vec<u16> = borders.into_iter().collect();
        let mut holdings: Vec<Holding> = Vec::new();
        for pair in borders.windows(2) {
            let ends = Slot::new(pair[0]).zip(Slot::new(pair[1] - 1));
            let Some((first, range)) = ends.and_then(|(a, b)| Some((a, SlotRange::new(a, b)?))) else {
                continue;
            };
            let Some(Claim { owner, epoch }) = self.judge(council, first) else { continue };
            let last = holdings.last_mut().filter(|last| last.owner == owner && last.epoch == epoch);
            match last.and_then(|last| Some((last.range.joined(range)?, last))) {
                Some((joined, last)) => last.range = joined,
                None => holdings.push(Holding { range, owner, epoch }),
            }
        }
        holdings
    }

    /// Who holds the slot from now on.
    fn judge(&self, council: &Council, slot: Slot) -> Option<Claim> {
        let present =
            self.holding(slot).map(|holding| Claim { owner: holding.owner.clone(), epoch: holding.epoch });
        let claimed: BTreeSet<Option<&MemberId>> =
            council.seats.values().map(|view| view.owner(slot)).collect();
        let floor = present.as_ref().map_or(Epoch::default(), |present| present.epoch);
        let mut best: Option<Claim> = None;
        for owner in claimed {
            let votes = Votes::of(council, slot, owner, present.as_ref().map(|present| &present.owner));
            let Some(owner) = owner else {
                if votes.by_most.is_some() || votes.by_all.is_some() {
                    return None;
                }
                continue;
            };
            if let Some(epoch) = votes.by_all {
                return Some(Claim { owner: owner.clone(), epoch });
            }
            let believed = match self.trust {
                Trust::Provisional => votes.by_most.or(votes.otherwise.filter(|&epoch| epoch >= floor)),
                Trust::Checked => votes.by_most.max(votes.otherwise).filter(|&epoch| epoch >= floor),
            };
            // Two believed claims are the cluster's own dispute: it settles it by the greater epoch.
            if let Some(epoch) = believed
                && best.as_ref().is_none_or(|best| epoch > best.epoch)
            {
                best = Some(Claim { owner: owner.clone(), epoch });
            }
        }
        best.or(present)
    }

    /// Owners and replicas with their addresses. Who follows a node that holds no slots is sorted out with the numbers.
    fn places_by(&self, council: &Council, holdings: &[Holding]) -> BTreeMap<MemberId, Place> {
        let owners: BTreeSet<&MemberId> = holdings.iter().map(|holding| &holding.owner).collect();
        let told = council.seats.values().flat_map(|view| view.members.keys());
        let everybody: BTreeSet<&MemberId> = self.members.keys().chain(told).collect();
        let place = |id: &MemberId| {
            let present = self.members.get(id);
            let follows = match owners.contains(id) {
                true => None,
                false => Some(council.followed_by(id).unwrap_or_else(|| present?.follows.clone())?),
            };
            let agreed = council.agreed(|view| view.members.get(id)?.address.clone());
            let known = || present.map(|place| place.address.clone());
            let address = agreed.flatten().or_else(known).or_else(|| council.any_address(id))?;
            Some((id.clone(), Place { address, follows }))
        };
        everybody.into_iter().filter_map(place).collect()
    }
}

#[derive(Debug)]
struct Claim {
    owner: MemberId,
    epoch: Epoch,
}

/// The views that count: at most one for each member of the present [`Known`].
struct Council<'k> {
    seats: BTreeMap<&'k MemberId, &'k View>,
    /// Owners of slots, heard or not.
    primaries: BTreeSet<&'k MemberId>,
    members: usize,
}

impl<'k> Council<'k> {
    /// A member is heard in the view of the node that says it is this member, or else (it was reset, or does not know who it
    /// is) of the one that was asked at its address. No view is heard for two.
    fn of(known: &'k Known, views: &'k [View]) -> Council<'k> {
        let heard = |(id, place): (&'k MemberId, &'k Place)| {
            let by_name = views
                .iter()
                .filter(|view| view.myself.as_ref() == Some(id))
                .min_by_key(|view| (view.asked != place.address, &view.asked));
            let by_address = || {
                let stranger =
                    |view: &View| view.myself.as_ref().is_none_or(|id| !known.members.contains_key(id));
                views.iter().find(|view| view.asked == place.address && stranger(view))
            };
            Some((id, by_name.or_else(by_address)?))
        };
        Council {
            seats: known.members.iter().filter_map(heard).collect(),
            primaries: known.holdings.iter().map(|holding| &holding.owner).collect(),
            members: known.members.len(),
        }
    }

    fn majority(&self) -> usize {
        self.primaries.len() / 2 + 1
    }

    fn primary_views(&self) -> impl Iterator<Item = &'k View> {
        self.primaries.iter().filter_map(|id| self.seats.get(id).copied())
    }

    fn is_quorate(&self) -> bool {
        self.primary_views().count() >= self.majority()
    }

    /// What most primaries state, or all that answer if these are at least half of all members.
    fn agreed<T: Ord>(&self, statement: impl Fn(&View) -> T) -> Option<T> {
        let mut counts: BTreeMap<T, usize> = BTreeMap::new();
        for view in self.primary_views() {
            *counts.entry(statement(view)).or_default() += 1;
        }
        let most = counts.into_iter().find(|(_, count)| *count >= self.majority());
        most.map(|(stated, _)| stated).or_else(|| {
            let mut stated: BTreeSet<T> = self.seats.values().map(|view| statement(view)).collect();
            let enough = stated.len() == 1 && self.seats.len() * 2 >= self.members;
            if enough { stated.pop_first() } else { None }
        })
    }

    /// Whom a node without slots replicates: as agreed, or as it and its primary both say. None: undecided.
    fn followed_by(&self, id: &MemberId) -> Option<Option<MemberId>> {
        let follows = |view: &View| view.members.get(id).and_then(|member| member.follows.clone());
        let both = || {
            let own = *self.seats.get(id)?;
            let primary = follows(own)?;
            let other = *self.seats.get(&primary)?;
            (!std::ptr::eq(own, other) && follows(other).as_ref() == Some(&primary)).then_some(Some(primary))
        };
        both().or_else(|| self.agreed(follows))
    }

    /// Of the addresses that are stated the one stated most.
    fn any_address(&self, id: &MemberId) -> Option<String> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let stated = self.seats.values().filter_map(|view| view.members.get(id)?.address.as_deref());
        stated.for_each(|address| *counts.entry(address).or_default() += 1);
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(address, _)| address.to_owned())
    }
}

/// In which of the ways of this file's head a claim is supported, and the epoch that so many state at least.
struct Votes {
    by_most: Option<Epoch>,
    by_all: Option<Epoch>,
    otherwise: Option<Epoch>,
}

impl Votes {
    fn of(council: &Council, slot: Slot, owner: Option<&MemberId>, former: Option<&MemberId>) -> Votes {
        let states = |view: &&View| view.owner(slot) == owner;
        let epoch = |view: &View| owner.map_or(Epoch::default(), |owner| view.epoch(owner));
        let mut epochs: Vec<Epoch> = council.primary_views().filter(states).map(epoch).collect();
        epochs.sort_unstable_by(|a, b| b.cmp(a));
        let by_most = epochs.get(council.majority() - 1).copied();
        let by_all = by_most.filter(|_| epochs.len() == council.primaries.len());

        let seat = |id: &MemberId| council.seats.get(id).copied();
        let handed_over = || {
            let (former, new) = (seat(former?)?, seat(owner?)?);
            let both = !std::ptr::eq(former, new) && states(&former) && states(&new);
            both.then(|| epoch(former).min(epoch(new)))
        };
        let left = || {
            owner?;
            let gone = former.is_some_and(|former| seat(former).is_none());
            let enough = council.seats.len() * 2 >= council.members;
            let all = gone && enough && council.seats.values().all(&states);
            if all { council.seats.values().map(|view| epoch(view)).min() } else { None }
        };
        Votes { by_most, by_all, otherwise: handed_over().max(left()) }
    }
}
