//! The leader's machine against a log that applies what it proposes, in virtual time.

use super::*;
use crate::{
    Placement, SlotRange,
    control::{Durability, NodeFact, Outcome},
    health::Down,
    ids::NodeId,
    replication::Offset,
    shard::{Incarnation, Rule},
};

mod cases;

mod rounds;

pub(crate) fn id(number: u64) -> NodeId {
    NodeId(format!("n{number}"))
}

/// Node `number` in the life of the same number.
pub(crate) fn member(number: u64) -> Member {
    Member::new(&id(number), Incarnation(number))
}

/// What node `number` says when nothing is to be said.
pub(crate) fn status(number: u64) -> Status {
    Status {
        cluster_id: None,
        node: None,
        incarnation: Incarnation(number),
        index: u64::MAX,
        seen: Epoch(1),
        position: Position::default(),
        part: if number == 1 { Part::Serving { epoch: Epoch(1) } } else { Part::Replica { epoch: Epoch(1) } },
        proposal: None,
        busy: None,
        upstream: None,
        keys: None,
        memory_bytes: None,
        software: String::new(),
    }
}

const SHARD: ShardId = ShardId(1);

/// Shard 1 of n1, the primary, and so many replicas, all of them in S; activated.
pub(crate) fn cluster(replicas: u64) -> Cluster {
    let mut cluster = Cluster::default();
    let fact = |number: u64| NodeFact {
        shard: SHARD,
        addr: format!("10.0.0.{number}:7000"),
        pulse_addr: None,
        admin_addr: None,
        incarnation: Some(Incarnation(number)),
    };
    let (placement, durability) = (Placement::default(), Durability::Quorum);
    let mut entries = vec![Entry::Create { cluster_id: "c".repeat(40), placement, durability }];
    entries.extend((1..=replicas + 1).map(|number| Entry::AddNode { node: id(number), fact: fact(number) }));
    entries.push(Entry::AddShard { shard: SHARD, primary: member(1), slots: vec![SlotRange::full()] });
    entries.push(Entry::Activated { shard: SHARD, epoch: Epoch(1) });
    if replicas > 0 {
        let sync = (2..=replicas + 1).map(member).collect();
        entries.push(Entry::ChangeSync { shard: SHARD, epoch: Epoch(1), version: 1, sync });
    }
    for (index, entry) in (1..).zip(&entries) {
        assert_eq!(cluster.apply(index, entry), Outcome::Done, "{entry:?}");
    }
    cluster
}

fn at(epoch: u64, offset: u64) -> Position {
    Position { epoch: Epoch(epoch), offset: Offset(offset) }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A leader, its log, and what it did.
struct Rig {
    cluster: Cluster,
    index: u64,
    machine: Failover,
    now: Duration,
    log_is_stuck: bool,
    outcomes: Vec<(Entry, Outcome)>,
    sent: Vec<(NodeId, ToNode)>,
    asked: Vec<NodeId>,
    notes: Vec<Note>,
}

impl Rig {
    fn of(cluster: Cluster) -> Rig {
        let index = cluster.index;
        let mut rig = Rig {
            cluster,
            index,
            machine: Failover::new(SHARD),
            now: ms(10_000),
            log_is_stuck: false,
            outcomes: Vec::new(),
            sent: Vec::new(),
            asked: Vec::new(),
            notes: Vec::new(),
        };
        rig.tell_log();
        rig.on(Event::Leads);
        rig
    }

    fn new(replicas: u64) -> Rig {
        Rig::of(cluster(replicas))
    }

    fn state(&self) -> &ShardState {
        &self.cluster.shards[&SHARD]
    }

    fn on(&mut self, event: Event<'_>) {
        let effects = self.machine.on(event, self.now);
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { node, word } => self.sent.push((node, word)),
                Effect::Ask { node } => self.asked.push(node),
                Effect::Note(note) => self.notes.push(note),
                Effect::Propose(entry) if self.log_is_stuck => {
                    self.outcomes.push((entry, Outcome::Again));
                }
                Effect::Propose(entry) => self.log(&entry),
            }
        }
    }

    fn log(&mut self, entry: &Entry) {
        self.index += 1;
        let outcome = self.cluster.apply(self.index, entry);
        self.cluster.validate().unwrap();
        self.outcomes.push((entry.clone(), outcome));
        self.tell_log();
    }

    fn tell_log(&mut self) {
        let cluster = Arc::new(self.cluster.clone());
        self.on(Event::Applied(&cluster));
    }

    /// Time passes, with all the ticks that the machine asks for.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(wake) = self.machine.wake_at().filter(|wake| *wake <= end) {
            self.now = wake;
            let effects = self.machine.tick(self.now);
            self.perform(effects);
        }
        self.now = end;
        let effects = self.machine.tick(self.now);
        self.perform(effects);
    }

    fn down(&mut self, number: u64, cause: Cause) {
        let verdict = Verdict::Down(Down { cause, why: "as the test says".into() });
        self.on(Event::Verdict { node: &id(number), verdict: &verdict });
    }

    fn up(&mut self, number: u64) {
        self.on(Event::Verdict { node: &id(number), verdict: &Verdict::Up });
    }

    fn promise(&mut self, member: &Member, position: Position, grant_left_ms: u64) {
        let epoch = self.state().pending.unwrap_or(Epoch(0));
        let word = FromNode::Promise { shard: SHARD, epoch, member: member.clone(), position, grant_left_ms };
        self.on(Event::Word { node: &member.node, word: &word });
    }

    fn pong(&mut self, number: u64, status: Status) {
        let word = FromNode::Pong { seq: None, status: Box::new(status) };
        self.on(Event::Word { node: &id(number), word: &word });
    }

    fn serves(&mut self, number: u64) {
        let epoch = self.state().epoch;
        self.pong(number, Status { part: Part::Serving { epoch }, ..status(number) });
    }

    /// To whom this kind of word was sent since it was asked last.
    fn take_sent(&mut self, kind: impl Fn(&ToNode) -> bool) -> Vec<String> {
        let taken = self.sent.iter().filter(|(_, word)| kind(word)).map(|(node, _)| node.0.clone());
        let taken = taken.collect();
        self.sent.retain(|(_, word)| !kind(word));
        taken
    }

    fn fenced(&mut self) -> Vec<String> {
        self.take_sent(|word| matches!(word, ToNode::Fence { .. }))
    }

    /// The waits of all activations since.
    fn activations(&mut self) -> Vec<(String, u64)> {
        let sent = std::mem::take(&mut self.sent);
        let waits = sent.into_iter().filter_map(|(node, word)| match word {
            ToNode::Activate { wait_ms, .. } => Some((node.0, wait_ms)),
            _ => None,
        });
        waits.collect()
    }

    fn proposed(&self, kind: impl Fn(&Entry) -> bool) -> usize {
        self.outcomes.iter().filter(|(entry, _)| kind(entry)).count()
    }

    /// The shard's primary, epoch and S.
    fn led(&self) -> (u64, Vec<Member>, Member) {
        let state = self.state();
        (state.epoch.0, state.rule.sync.clone(), state.rule.primary.clone())
    }
}

/// The rule of shard 1, for states that are made by hand.
fn rule(primary: u64, sync: &[u64]) -> Rule {
    Rule::new(member(primary), sync.iter().map(|&number| member(number)).collect())
}
