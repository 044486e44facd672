//! What happened in the cluster, as people and programs follow it: a bounded list of [`Event`]s.
//!
//! The problem: the control log says what was decided and nothing else, and only as long as it is not compacted; an operator wants the story
//! of the last hour, told alike by every proxy. The idea: an entry that was applied and changed something is told by each proxy that applied
//! it ([`of_entry`]); what only the leader knows (how a node is, how far a failover has come) is told by the leader ([`of_note`],
//! [`of_verdict`]).
//!
//! The number of an event is made of the time it was told and never goes back, so that whoever follows may go on at another proxy, or behind
//! a restart, without hearing everything again. Events are not stored: a proxy that starts has none.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::{
    control::{Cluster, Entry, How},
    failover::Note,
    health::Verdict,
    ids::{Epoch, NodeId, ProxyId, ShardId},
    shard::Member,
};

/// Events that are kept; the oldest goes first.
pub const EVENTS_MAX: usize = 4096;

/// Numbers that one millisecond has.
const NUMBERS_PER_MS: u64 = 1000;

/// Its place among the others of the same proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventId(pub u64);

/// `E` of `GET /v1/events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    pub time_ms: u64,
    #[serde(rename = "type")]
    pub kind: Kind,
    pub shard: Option<ShardId>,
    pub node: Option<NodeId>,
    pub epoch: Option<Epoch>,
    pub migration: Option<String>,
    pub text: String,
}

/// The body of `GET /v1/events?format=json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsView {
    pub events: Vec<Event>,
    pub last_id: EventId,
}

/// An event that has no number yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    pub kind: Kind,
    pub shard: Option<ShardId>,
    pub node: Option<NodeId>,
    pub epoch: Option<Epoch>,
    pub text: String,
}

/// What sort of event; the name is that of the admin API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Kind {
    NodeSuspected,
    NodeDown,
    NodeUp,
    NodeBusy,
    NodeAdded,
    NodeRemoved,
    ReplicaJoined,
    ReplicaDropped,
    FailoverStarted,
    FailoverFenced,
    FailoverPromoted,
    FailoverEnded,
    FailoverRefused,
    SwitchoverStarted,
    SwitchoverStopped,
    SwitchoverPromoted,
    SwitchoverEnded,
    SwitchoverAborted,
    ShardAdded,
    ShardRemoved,
    ProxyAdded,
    ProxyRemoved,
    LeaderChanged,
}

/// Every kind and its name.
const NAMES: [(Kind, &str); 23] = [
    (Kind::NodeSuspected, "node.suspected"),
    (Kind::NodeDown, "node.down"),
    (Kind::NodeUp, "node.up"),
    (Kind::NodeBusy, "node.busy"),
    (Kind::NodeAdded, "node.added"),
    (Kind::NodeRemoved, "node.removed"),
    (Kind::ReplicaJoined, "replica.joined"),
    (Kind::ReplicaDropped, "replica.dropped"),
    (Kind::FailoverStarted, "failover.started"),
    (Kind::FailoverFenced, "failover.fenced"),
    (Kind::FailoverPromoted, "failover.promoted"),
    (Kind::FailoverEnded, "failover.ended"),
    (Kind::FailoverRefused, "failover.refused"),
    (Kind::SwitchoverStarted, "switchover.started"),
    (Kind::SwitchoverStopped, "switchover.stopped"),
    (Kind::SwitchoverPromoted, "switchover.promoted"),
    (Kind::SwitchoverEnded, "switchover.ended"),
    (Kind::SwitchoverAborted, "switchover.aborted"),
    (Kind::ShardAdded, "shard.added"),
    (Kind::ShardRemoved, "shard.removed"),
    (Kind::ProxyAdded, "proxy.added"),
    (Kind::ProxyRemoved, "proxy.removed"),
    (Kind::LeaderChanged, "leader.changed"),
];

impl Kind {
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(kind, _)| *kind == self).map_or("unknown", |(_, name)| name)
    }
}

/// The last events.
#[derive(Debug, Default)]
pub struct Events {
    kept: VecDeque<Event>,
    last: EventId,
    /// The last epoch of each shard that began by a switchover: what follows belongs to it.
    switched: BTreeMap<ShardId, Epoch>,
}

impl Events {
    /// Gives it its number and keeps it; returns the number.
    pub fn tell(&mut self, news: News, now_ms: u64) -> EventId {
        let News { mut kind, shard, node, epoch, text } = news;
        if let (Some(shard), Some(epoch)) = (shard, epoch) {
            if kind == Kind::SwitchoverPromoted {
                self.switched.insert(shard, epoch);
            } else if kind == Kind::FailoverEnded && self.switched.get(&shard) == Some(&epoch) {
                kind = Kind::SwitchoverEnded;
            }
        }
        let by_time = now_ms.saturating_mul(NUMBERS_PER_MS);
        let id = EventId(by_time.max(self.last.0.saturating_add(1)));
        self.last = id;
        if self.kept.len() == EVENTS_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(Event { id, time_ms: now_ms, kind, shard, node, epoch, migration: None, text });
        id
    }

    /// The first `limit` behind `since`; None: the last `limit` of all. `last_id` is where to go on.
    pub fn view(&self, since: Option<EventId>, limit: usize) -> EventsView {
        let events: Vec<Event> = match since {
            Some(since) => {
                let first = self.kept.partition_point(|event| event.id <= since);
                self.kept.iter().skip(first).take(limit).cloned().collect()
            }
            None => self.kept.iter().skip(self.kept.len().saturating_sub(limit)).cloned().collect(),
        };
        let last_id = events.last().map_or_else(|| since.unwrap_or(self.last), |event| event.id);
        EventsView { events, last_id }
    }
}

/// What an entry tells that has made `after` of `before`.
pub fn of_entry(before: &Cluster, entry: &Entry, after: &Cluster) -> Vec<News> {
    let mut told = of_decision(before, entry);
    let gone = before.nodes.iter().filter(|(node, _)| !after.nodes.contains_key(node));
    told.extend(gone.map(|(node, fact)| {
        let text = format!("{node} belongs to the cluster no more");
        News { shard: Some(fact.shard), node: Some(node.clone()), ..news(Kind::NodeRemoved, text) }
    }));
    told
}

fn of_decision(before: &Cluster, entry: &Entry) -> Vec<News> {
    match entry {
        Entry::AddNode { node, fact } if !before.nodes.contains_key(node) => {
            let text = format!("{node} at {} belongs to shard {} from now on", fact.addr, fact.shard);
            vec![News { shard: Some(fact.shard), node: Some(node.clone()), ..news(Kind::NodeAdded, text) }]
        }
        Entry::AddProxy { proxy, fact } if !before.proxies.contains_key(proxy) => {
            vec![news(Kind::ProxyAdded, format!("{proxy} at {} joined", fact.addr))]
        }
        Entry::RemoveProxy { proxy } => vec![news(Kind::ProxyRemoved, format!("{proxy} is gone for good"))],
        Entry::AddShard { shard, primary, .. } => {
            let text = format!("shard {shard} begins under {}", primary.node);
            vec![of_shard(Kind::ShardAdded, *shard, Epoch(1), &primary.node, text)]
        }
        Entry::RemoveShard { shard } => {
            vec![News { shard: Some(*shard), ..news(Kind::ShardRemoved, format!("shard {shard} is gone")) }]
        }
        Entry::ChangeSync { shard, sync, .. } => of_sync(before, *shard, sync),
        Entry::BeginFailover { .. }
        | Entry::Promote { .. }
        | Entry::AcceptLoss { .. }
        | Entry::Activated { .. } => of_reign(before, entry).into_iter().collect(),
        Entry::AddNode { .. }
        | Entry::RemoveNode { .. }
        | Entry::AddProxy { .. }
        | Entry::Create { .. }
        | Entry::NodeStarted { .. }
        | Entry::SwitchAbort { .. }
        | Entry::SetDurability { .. }
        | Entry::SetMinCopies { .. }
        | Entry::CleanStop { .. } => Vec::new(),
    }
}

/// Who came and who went.
fn of_sync(before: &Cluster, shard: ShardId, sync: &[Member]) -> Vec<News> {
    let Some(state) = before.shards.get(&shard) else { return Vec::new() };
    let was = &state.rule.sync;
    let joined = sync.iter().filter(|member| !was.contains(member)).map(|member| {
        let text = format!("{} holds everything and its acknowledgements count", member.node);
        of_shard(Kind::ReplicaJoined, shard, state.epoch, &member.node, text)
    });
    let dropped = was.iter().filter(|member| !sync.contains(member)).map(|member| {
        let text = format!("{} is waited for no more", member.node);
        of_shard(Kind::ReplicaDropped, shard, state.epoch, &member.node, text)
    });
    joined.chain(dropped).collect()
}

/// The end of a primary, the begin of the next.
fn of_reign(before: &Cluster, entry: &Entry) -> Option<News> {
    match entry {
        Entry::BeginFailover { shard, epoch, why } => {
            let state = before.shards.get(shard)?;
            let text = format!("epoch {epoch} ends: {why}");
            Some(of_shard(Kind::FailoverStarted, *shard, *epoch, &state.rule.primary.node, text))
        }
        Entry::Promote { shard, epoch, winner, how, .. } => {
            let (kind, why) = match how {
                How::Failover => (Kind::FailoverPromoted, "holds most"),
                How::Switchover => (Kind::SwitchoverPromoted, "holds everything"),
            };
            let text = format!("{} {why} and leads shard {shard} in epoch {epoch}", winner.node);
            Some(of_shard(kind, *shard, *epoch, &winner.node, text))
        }
        Entry::AcceptLoss { shard, epoch, winner, position, by, .. } => {
            let text = format!(
                "{} leads shard {shard} in epoch {epoch} with what it holds ({position}): acknowledged writes may be lost, \
                 accepted by {by}",
                winner.node
            );
            Some(of_shard(Kind::FailoverPromoted, *shard, *epoch, &winner.node, text))
        }
        // The first epoch of a shard replaces nobody.
        Entry::Activated { shard, epoch } if *epoch > Epoch(1) => {
            let state = before.shards.get(shard)?;
            let text = format!("enough members hold the start of epoch {epoch}");
            Some(of_shard(Kind::FailoverEnded, *shard, *epoch, &state.rule.primary.node, text))
        }
        _ => None,
    }
}

/// What the leader's machines tell beyond the log.
pub fn of_note(note: &Note) -> Option<News> {
    match note {
        Note::Fenced { shard, epoch, after } => {
            let text = format!("enough members promised after {} ms", after.as_millis());
            let (shard, epoch) = (Some(*shard), Some(*epoch));
            Some(News { shard, epoch, ..news(Kind::FailoverFenced, text) })
        }
        Note::Refused { shard, epoch, missing } => {
            let missing: Vec<String> = missing.iter().map(|member| member.node.to_string()).collect();
            let text = format!(
                "nobody can lead without a possible loss until one is back of {}",
                missing.join(", ")
            );
            let (shard, epoch) = (Some(*shard), Some(*epoch));
            Some(News { shard, epoch, ..news(Kind::FailoverRefused, text) })
        }
        Note::SwitchStarted { shard, to } => {
            let text = format!("the primary is asked to stop for {to}");
            Some(News { shard: Some(*shard), node: Some(to.clone()), ..news(Kind::SwitchoverStarted, text) })
        }
        Note::SwitchStopped { shard, position } => {
            let text = format!("the primary has stopped at {position}");
            Some(News { shard: Some(*shard), ..news(Kind::SwitchoverStopped, text) })
        }
        Note::SwitchAborted { shard, why } => {
            Some(News { shard: Some(*shard), ..news(Kind::SwitchoverAborted, why.clone()) })
        }
        // The log tells these.
        Note::Started { .. }
        | Note::Promised { .. }
        | Note::Promoted { .. }
        | Note::Ended { .. }
        | Note::LossAccepted { .. } => None,
    }
}

/// What is concluded of a node, if it is another conclusion than `before`.
pub fn of_verdict(
    node: &NodeId,
    shard: Option<ShardId>,
    verdict: &Verdict,
    before: Option<&Verdict>,
) -> Option<News> {
    if before == Some(verdict) {
        return None;
    }
    let (kind, text) = match (verdict, before) {
        (Verdict::Down(down), _) => (Kind::NodeDown, format!("{node}: {down}")),
        (Verdict::Suspected, _) => (Kind::NodeSuspected, format!("{node} may be down")),
        (Verdict::Up, Some(_)) => (Kind::NodeUp, format!("{node} answers again")),
        (Verdict::Up, None) => return None,
    };
    Some(News { shard, node: Some(node.clone()), ..news(kind, text) })
}

/// A node that answers its pulse while one command runs for long.
pub fn of_busy(node: &NodeId, shard: Option<ShardId>) -> News {
    let text = format!("{node} runs a long command");
    News { shard, node: Some(node.clone()), ..news(Kind::NodeBusy, text) }
}

/// Who leads the control group from now on.
pub fn of_leader(leader: &ProxyId) -> News {
    news(Kind::LeaderChanged, format!("{leader} leads the control group"))
}

fn of_shard(kind: Kind, shard: ShardId, epoch: Epoch, node: &NodeId, text: String) -> News {
    News { shard: Some(shard), node: Some(node.clone()), epoch: Some(epoch), ..news(kind, text) }
}

fn news(kind: Kind, text: String) -> News {
    News { kind, shard: None, node: None, epoch: None, text }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> String {
        kind.name().to_owned()
    }
}

impl TryFrom<String> for Kind {
    type Error = String;

    fn try_from(text: String) -> Result<Kind, String> {
        let known = NAMES.iter().find(|(_, name)| *name == text);
        known.map(|(kind, _)| *kind).ok_or_else(|| format!("no kind of event: {text}"))
    }
}

impl From<EventId> for String {
    fn from(id: EventId) -> String {
        id.0.to_string()
    }
}

impl TryFrom<String> for EventId {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<EventId, Self::Error> {
        text.parse().map(EventId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::Incarnation;

    fn member(number: u64) -> Member {
        Member::new(&NodeId(format!("n{number}")), Incarnation(number))
    }

    fn names(cluster: &Cluster, entry: &Entry) -> Vec<&'static str> {
        let mut after = cluster.clone();
        after.apply(cluster.index + 1, entry);
        of_entry(cluster, entry, &after).iter().map(|news| news.kind.name()).collect()
    }

    #[test]
    fn an_applied_entry_tells_who_joined_who_left_and_who_leads() {
        let cluster = crate::failover::tests::cluster(2);
        let (shard, epoch) = (ShardId(1), Epoch(1));
        let sync = vec![member(2)];
        let version = cluster.shards[&shard].version;
        assert_eq!(
            names(&cluster, &Entry::ChangeSync { shard, epoch, version, sync: sync.clone() }),
            ["replica.dropped"]
        );
        let begin = Entry::BeginFailover { shard, epoch, why: "gone".into() };
        assert_eq!(names(&cluster, &begin), ["failover.started"]);
        let (winner, epoch) = (member(2), Epoch(2));
        let promote =
            |how| Entry::Promote { shard, epoch, version, winner: winner.clone(), sync: vec![], how };
        assert_eq!(names(&cluster, &promote(How::Failover)), ["failover.promoted"]);
        assert_eq!(names(&cluster, &promote(How::Switchover)), ["switchover.promoted"]);
        assert!(names(&cluster, &Entry::Activated { shard, epoch: Epoch(1) }).is_empty());
        // One whose acknowledgements count is gone when they count no more.
        let mut leaving = cluster.clone();
        let remove = Entry::RemoveNode { node: NodeId("n3".into()) };
        assert!(names(&leaving, &remove).is_empty());
        leaving.apply(leaving.index + 1, &remove);
        let without = Entry::ChangeSync { shard, epoch: Epoch(1), version, sync };
        assert_eq!(names(&leaving, &without), ["replica.dropped", "node.removed"]);
    }

    #[test]
    fn what_ends_belongs_to_what_began() {
        let mut events = Events::default();
        let node = NodeId("n2".into());
        for (epoch, begin) in [(2, Kind::SwitchoverPromoted), (3, Kind::FailoverPromoted)] {
            events.tell(of_shard(begin, ShardId(1), Epoch(epoch), &node, String::new()), 5);
            events.tell(of_shard(Kind::FailoverEnded, ShardId(1), Epoch(epoch), &node, String::new()), 5);
        }
        let kinds: Vec<Kind> = events.view(None, 10).events.iter().map(|event| event.kind).collect();
        assert_eq!(kinds[1], Kind::SwitchoverEnded);
        assert_eq!(kinds[3], Kind::FailoverEnded);
    }

    #[test]
    fn numbers_rise_also_when_the_clock_goes_back_and_the_oldest_are_forgotten() {
        let mut events = Events::default();
        let first = events.tell(of_leader(&ProxyId("p1".into())), 10);
        let second = events.tell(of_leader(&ProxyId("p2".into())), 3);
        assert_eq!((first, second), (EventId(10_000), EventId(10_001)));
        assert_eq!(events.view(Some(first), 10).events.len(), 1);
        assert_eq!(events.view(Some(second), 10), EventsView { events: vec![], last_id: second });
        for _ in 0..EVENTS_MAX {
            events.tell(of_leader(&ProxyId("p3".into())), 10);
        }
        let all = events.view(Some(EventId(0)), usize::MAX);
        assert_eq!(all.events.len(), EVENTS_MAX);
        assert!(all.events[0].id > second);
        assert_eq!(events.view(Some(EventId(0)), 2).last_id, all.events[1].id, "the first ones behind it");
        assert_eq!(events.view(None, 1).events, all.events[EVENTS_MAX - 1..]);
    }

    #[test]
    fn every_kind_has_one_name_and_is_read_back_by_it() {
        for (kind, name) in NAMES {
            assert_eq!(Kind::try_from(kind.name().to_owned()), Ok(kind));
            assert_eq!(kind.name(), name);
        }
        let event = r#"{"id":"7","time_ms":1,"type":"node.up","shard":1,"node":"n1","epoch":null,"migration":null,"text":""}"#;
        let read: Event = serde_json::from_str(event).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), event);
        assert!(serde_json::from_str::<Event>(&event.replace("node.up", "node.odd")).is_err());
        assert!(serde_json::from_str::<Event>(&event.replace("\"7\"", "\"x\"")).is_err());
    }
}
