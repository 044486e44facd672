//! What the leader concludes from the opinions of all voters and from how a primary's replicas see it.
//!
//! A single observer never decides: with one voter a primary is down only when its replicas say so, too. With several a
//! majority decides; replicas that still hear their primary can only delay it, from *refused* to *silent*, because clients reach
//! the primary through proxies and not through replicas.

use std::{collections::BTreeMap, time::Duration};

use super::{Cause, Down, Opinion, SILENCE, Verdict};
use crate::{
    control::Cluster,
    ids::{NodeId, ProxyId},
    pulse::wire::{Status, Upstream, UpstreamState},
};

/// How often a voter tells all its opinions again; changes it tells at once.
pub const RENEW_EVERY: Duration = Duration::from_millis(250);

/// An opinion that was not renewed for so long is none.
pub const STALE_AFTER: Duration = Duration::from_secs(1);

/// What a replica said of its primary counts for so long.
const REPLICA_STALE_AFTER: Duration = Duration::from_millis(300);

/// All that the leader has been told.
#[derive(Debug, Default)]
pub struct Jury {
    opinions: BTreeMap<(NodeId, ProxyId), Held>,
    upstreams: BTreeMap<NodeId, (Duration, Option<Upstream>)>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    opinion: Opinion,
    since: Duration,
    renewed: Duration,
}

/// What the live replicas of a primary say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replicas {
    /// None that follows it was heard lately.
    Nobody,
    /// All that were heard have lost it.
    Lost,
    /// One has not.
    Linked,
}

impl Jury {
    /// A voter's opinion, new or renewed; the leader's own, too.
    pub fn opinion(&mut self, voter: &ProxyId, node: &NodeId, opinion: Opinion, now: Duration) {
        let key = (node.clone(), voter.clone());
        let before = self.opinions.get(&key).filter(|held| held.opinion == opinion && held.is_fresh(now));
        let since = before.map_or(now, |held| held.since);
        self.opinions.insert(key, Held { opinion, since, renewed: now });
    }

    /// What a node says of itself: a replica tells how it sees its primary.
    pub fn status(&mut self, node: &NodeId, status: &Status, now: Duration) {
        self.upstreams.insert(node.clone(), (now, status.upstream.clone()));
    }

    /// Of one node, by these voters.
    pub fn verdict(&self, node: &NodeId, cluster: &Cluster, voters: &[ProxyId], now: Duration) -> Verdict {
        let held: Vec<&Held> = voters
            .iter()
            .filter_map(|voter| self.opinions.get(&(node.clone(), voter.clone())))
            .filter(|held| held.is_fresh(now))
            .collect();
        let count = |one: &dyn Fn(&Held) -> bool| held.iter().filter(|held| one(held)).count();
        let is = |opinion: Opinion| count(&|held| held.opinion == opinion);
        let (gone, unheard) = (is(Opinion::Gone), count(&|held| held.is_unheard(now)));
        let (all, majority) = (voters.len(), voters.len() / 2 + 1);
        let down = |cause, why: String| Verdict::Down(Down { cause, why });

        if is(Opinion::Restarted) > 0 {
            return down(Cause::Restarted, "it was started anew".into());
        }
        if is(Opinion::Stuck) >= majority {
            return down(Cause::Stuck, "its keyspace makes no progress".into());
        }
        let replicas = self.replicas(node, cluster, now);
        let is_single = all == 1;
        let agree = match replicas {
            None => true,
            Some(Replicas::Lost) => true,
            Some(Replicas::Linked) => false,
            Some(Replicas::Nobody) => !is_single,
        };
        let and_replicas = if replicas == Some(Replicas::Lost) { " and its replicas" } else { "" };
        if gone >= majority && agree {
            return down(Cause::Gone, format!("refused or reset: {gone} of {all} proxies{and_replicas}"));
        }
        if unheard >= majority && (agree || !is_single) {
            return down(Cause::Silent, format!("silent: {unheard} of {all} proxies{and_replicas}"));
        }
        match count(&|held| matches!(held.opinion, Opinion::Silent | Opinion::Gone | Opinion::Stuck)) {
            0 => Verdict::Up,
            _ => Verdict::Suspected,
        }
    }

    /// None: it is no primary, or one without sync members, of whom nobody could be asked.
    fn replicas(&self, node: &NodeId, cluster: &Cluster, now: Duration) -> Option<Replicas> {
        let shard = cluster.shards.get(&cluster.nodes.get(node)?.shard)?;
        if shard.rule.primary.node != *node || shard.rule.sync.is_empty() {
            return None;
        }
        let states = shard.rule.sync.iter().filter_map(|member| {
            let (told, upstream) = self.upstreams.get(&member.node)?;
            let upstream = upstream.as_ref().filter(|upstream| upstream.node == *node)?;
            (now.saturating_sub(*told) < REPLICA_STALE_AFTER).then_some(upstream.state)
        });
        Some(states.fold(Replicas::Nobody, |so_far, state| match (so_far, state) {
            (Replicas::Linked, _) | (_, UpstreamState::Up | UpstreamState::Syncing) => Replicas::Linked,
            (_, UpstreamState::Refused | UpstreamState::Silent) => Replicas::Lost,
        }))
    }
}

impl Held {
    fn is_fresh(&self, now: Duration) -> bool {
        now.saturating_sub(self.renewed) < STALE_AFTER
    }

    /// Silent; or gone for as long as silence takes.
    fn is_unheard(&self, now: Duration) -> bool {
        match self.opinion {
            Opinion::Silent => true,
            Opinion::Gone => now.saturating_sub(self.since) >= SILENCE,
            Opinion::Unknown
            | Opinion::Up
            | Opinion::Busy
            | Opinion::Loading
            | Opinion::Stuck
            | Opinion::Restarted => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::tests::{cluster, id, status};

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn voters(count: u64) -> Vec<ProxyId> {
        (1..=count).map(|number| ProxyId(format!("p{number}"))).collect()
    }

    /// At 0 each voter says its opinion of n1, the primary, and each of `replicas` (n2, n3 ...) how it sees it; judged `later`.
    fn judged(opinions: &[Opinion], replicas: &[UpstreamState], later: u64) -> Verdict {
        let (cluster, voters) = (cluster(2), voters(u64::try_from(opinions.len()).unwrap()));
        let mut jury = Jury::default();
        for moment in (0..=later).step_by(100) {
            for (voter, &opinion) in voters.iter().zip(opinions) {
                jury.opinion(voter, &id(1), opinion, at(moment));
            }
            for (number, &state) in (2..).zip(replicas) {
                let upstream = Some(Upstream { node: id(1), state, for_ms: 0 });
                jury.status(&id(number), &Status { upstream, ..status(number) }, at(moment));
            }
        }
        jury.verdict(&id(1), &cluster, &voters, at(later))
    }

    fn check(opinions: &[Opinion], replicas: &[UpstreamState], cause: Option<Cause>) {
        let found = match judged(opinions, replicas, 0) {
            Verdict::Down(down) => Some(down.cause),
            Verdict::Up | Verdict::Suspected => None,
        };
        assert_eq!(found, cause, "{opinions:?} {replicas:?}");
    }

    use Opinion::{Gone, Loading, Restarted, Silent, Stuck, Unknown, Up};
    use UpstreamState::{Refused, Silent as Unheard, Syncing, Up as Linked};

    #[test]
    fn a_majority_of_voters_decides_and_a_minority_suspects() {
        check(&[Silent, Silent, Up], &[Linked], Some(Cause::Silent));
        check(&[Silent, Up, Up], &[Unheard], None);
        assert_eq!(judged(&[Silent, Up, Up], &[], 0), Verdict::Suspected);
        assert_eq!(judged(&[Up, Unknown, Loading], &[], 0), Verdict::Up);
        check(&[Silent, Up], &[Unheard], None);
        check(&[Silent, Silent], &[], Some(Cause::Silent));
    }

    #[test]
    fn a_refused_connection_is_death_at_once_if_the_live_replicas_agree() {
        check(&[Gone, Gone, Up], &[Refused, Unheard], Some(Cause::Gone));
        check(&[Gone, Gone, Up], &[Refused, Linked], None);
        check(&[Gone, Gone, Up], &[], Some(Cause::Gone));
        check(&[Gone, Up, Up], &[Refused, Refused], None);
        check(&[Gone, Silent, Up], &[Refused, Refused], None);
        let later = judged(&[Gone, Gone, Up], &[Linked, Linked], 600);
        assert!(matches!(later, Verdict::Down(Down { cause: Cause::Silent, .. })), "{later:?}");
    }

    #[test]
    fn a_single_proxy_never_decides_without_the_replicas() {
        check(&[Gone], &[], None);
        check(&[Gone], &[Refused], Some(Cause::Gone));
        check(&[Gone], &[Refused, Linked], None);
        check(&[Silent], &[Syncing], None);
        check(&[Silent], &[Unheard], Some(Cause::Silent));
        assert_eq!(judged(&[Gone], &[Linked], 5000), Verdict::Suspected);
    }

    #[test]
    fn another_life_and_a_stuck_keyspace_need_no_replicas() {
        check(&[Restarted], &[Linked], Some(Cause::Restarted));
        check(&[Up, Up, Restarted], &[], Some(Cause::Restarted));
        check(&[Stuck], &[Linked], Some(Cause::Stuck));
        check(&[Stuck, Up, Up], &[Linked], None);
    }

    #[test]
    fn opinions_that_are_not_renewed_count_no_more() {
        let (cluster, voters) = (cluster(2), voters(3));
        let mut jury = Jury::default();
        for voter in &voters {
            jury.opinion(voter, &id(1), Silent, at(0));
        }
        assert!(matches!(jury.verdict(&id(1), &cluster, &voters, at(999)), Verdict::Down(_)));
        assert_eq!(jury.verdict(&id(1), &cluster, &voters, at(1000)), Verdict::Up);
        let strangers = [ProxyId("p9".into())];
        assert_eq!(jury.verdict(&id(1), &cluster, &strangers, at(10)), Verdict::Up);
    }

    #[test]
    fn replicas_that_were_not_heard_lately_or_follow_another_say_nothing() {
        let (cluster, voters) = (cluster(2), voters(1));
        let mut jury = Jury::default();
        let refused = |node: u64| Some(Upstream { node: id(node), state: Refused, for_ms: 0 });
        jury.status(&id(2), &Status { upstream: refused(1), ..status(2) }, at(0));
        jury.status(&id(3), &Status { upstream: refused(2), ..status(3) }, at(400));
        jury.opinion(&voters[0], &id(1), Gone, at(400));
        assert_eq!(jury.verdict(&id(1), &cluster, &voters, at(400)), Verdict::Suspected);
        jury.status(&id(2), &Status { upstream: refused(1), ..status(2) }, at(400));
        assert!(matches!(jury.verdict(&id(1), &cluster, &voters, at(400)), Verdict::Down(_)));
    }

    #[test]
    fn a_node_that_is_no_primary_is_judged_by_the_voters_alone() {
        let (cluster, voters) = (cluster(2), voters(1));
        let mut jury = Jury::default();
        jury.opinion(&voters[0], &id(2), Gone, at(0));
        assert!(matches!(jury.verdict(&id(2), &cluster, &voters, at(0)), Verdict::Down(_)));
    }
}
