//! Pulse threads that ask each other, over real connections.

use std::time::Instant;

use slotway_cluster::{
    Epoch, Incarnation, Member, NodeId, ProxyId, Rule, ShardId,
    pulse::{FromNode, Identity, LEASE, Life, Order, ToNode},
    replication::Offset,
};
use slotway_config::Bind;
use slotway_link::boottime;
use slotway_resp::{Frame, Limits, write};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::vitals::tests::orders;

const PATIENCE: Duration = Duration::from_secs(20);
const ONE: Epoch = Epoch(1);

/// A pulse without a keyspace thread.
struct Alone {
    vitals: Arc<Vitals>,
    port: u16,
    member: Member,
    thread: Option<PulseThread>,
    _directory: TempDir,
}

impl Alone {
    fn start(number: u64) -> Alone {
        let directory = tempfile::tempdir().unwrap();
        let bind = [Bind { host: "127.0.0.1".into(), optional: false }];
        let listening = slotway_link::bind(&bind, 0, "--pulse-port", 16).unwrap();
        let (port, vitals) = (listening.port, Arc::new(Vitals::default()));
        let keeper = Arc::new(Keeper::load(directory.path()).unwrap());
        let given = Given {
            listening,
            secret: Secret::new("among us"),
            keepalive: None,
            vitals: Arc::clone(&vitals),
            keeper,
        };
        let mut thread = start(given).unwrap();
        let member = Member::new(&NodeId(format!("n{number}")), Incarnation(number));
        let identity = Identity { cluster_id: "c".repeat(40), shard: ShardId(1), node: member.node.clone() };
        let (incarnation, identity) = (member.incarnation, Some(identity));
        thread.begin(Boot { incarnation, identity, life: Life::New });
        Alone { vitals, port, member, thread: Some(thread), _directory: directory }
    }

    /// Tells it that it is the primary of a shard of these, as the control group and its keyspace thread would.
    async fn lead(&self, others: &[&Alone], version: u64) {
        let sync = others.iter().map(|other| other.member.clone()).collect();
        let rule = Rule::new(self.member.clone(), sync);
        let mut orders = orders(version);
        orders.me = self.member.node.clone();
        orders.state.rule = rule.clone();
        let address = |other: &&Alone| (other.member.node.clone(), format!("127.0.0.1:{}", other.port));
        orders.pulse_addrs = others.iter().map(address).collect();
        let mut link = self.link().await;
        link.tell(&ToNode::Orders(orders)).await;
        // Orders that are taken are not answered; behind the answer to a ping they were taken.
        link.tell(&ToNode::Ping { seq: 1, proxy: ProxyId("p1".into()) }).await;
        assert!(matches!(link.hear().await, FromNode::Pong { .. }));
        self.vitals.tell(|told| told.rules = (ONE, vec![rule]));
    }

    async fn link(&self) -> Link {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let mut link = Link { stream, received: Vec::new() };
        link.say(&["AUTH", "slotway", "among us"]).await;
        assert_eq!(link.frame().await, Frame::Simple(b"OK".to_vec()));
        link
    }

    fn has_lease(&self) -> bool {
        self.vitals.holds_lease(ONE, boottime())
    }

    async fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            let thread = thread.stop();
            tokio::task::spawn_blocking(move || thread.join().unwrap().unwrap()).await.unwrap();
        }
    }
}

/// A proxy's link.
struct Link {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Link {
    async fn say(&mut self, words: &[&str]) {
        let mut bytes = Vec::new();
        write::request(&mut bytes, words);
        self.stream.write_all(&bytes).await.unwrap();
    }

    async fn tell(&mut self, word: &ToNode) {
        self.say(&["SLOTWAY", "PULSE", "1", &serde_json::to_string(word).unwrap()]).await;
    }

    async fn frame(&mut self) -> Frame {
        loop {
            if let Some((frame, len)) = Frame::parse(&self.received, &Limits::REPLY).unwrap() {
                self.received.drain(..len);
                return frame;
            }
            let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.received));
            assert!(read.await.unwrap().unwrap() > 0, "closed instead of an answer");
        }
    }

    async fn hear(&mut self) -> FromNode {
        match self.frame().await {
            Frame::Bulk(text) => serde_json::from_slice(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Nobody leads but the first.
async fn of_three() -> [Alone; 3] {
    let three = [1, 2, 3].map(Alone::start);
    let [primary, one, other] = &three;
    primary.lead(&[one, other], 5).await;
    three
}

#[tokio::test(flavor = "current_thread")]
async fn a_primary_has_a_lease_as_long_as_its_sync_members_grant_it_one() {
    let [mut primary, mut one, mut other] = of_three().await;
    wait_until("a lease", || primary.has_lease()).await;
    // One of two is enough.
    other.end().await;
    let (_, before) = primary.vitals.lease();
    wait_until("a longer lease", || primary.vitals.lease().1 > before + LEASE).await;
    assert!(primary.has_lease());
    one.end().await;
    wait_until("the end of the lease", || !primary.has_lease()).await;
    // The keyspace thread hears who is not heard.
    let mut unheard = Vec::new();
    wait_until("word of the silence", || {
        unheard.extend(primary.vitals.take_orders());
        unheard.iter().any(|order| matches!(order, Order::Unheard { members, .. } if members.len() == 2))
    })
    .await;
    primary.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_lease_ends_with_the_word_of_a_higher_epoch_and_a_promise_tells_the_position() {
    let [mut primary, mut one, mut other] = of_three().await;
    wait_until("a lease", || primary.has_lease()).await;
    for member in [&one, &other] {
        member.vitals.publish(slotway_cluster::Position { epoch: ONE, offset: Offset(77) });
        let mut link = member.link().await;
        link.tell(&ToNode::Fence { shard: ShardId(1), epoch: Epoch(2) }).await;
        match link.hear().await {
            FromNode::Promise { epoch, position, member: who, grant_left_ms, .. } => {
                assert_eq!((epoch, position.offset, &who), (Epoch(2), Offset(77), &member.member));
                assert!(grant_left_ms > 0, "it has granted something");
            }
            word => panic!("{word:?}"),
        }
        assert_eq!(member.vitals.seen(), Epoch(2));
    }
    // The next heartbeats are refused, and that ends the lease before its time.
    wait_until("word of the epoch", || primary.vitals.seen() == Epoch(2)).await;
    assert!(!primary.has_lease());
    for node in [&mut primary, &mut one, &mut other] {
        node.end().await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn what_the_primary_calls_committed_comes_with_its_heartbeats() {
    let [mut primary, mut one, mut other] = of_three().await;
    primary.vitals.publish_committed(Offset(900));
    wait_until("the number", || one.vitals.told_committed() == (ONE, Offset(900))).await;
    for node in [&mut primary, &mut one, &mut other] {
        node.end().await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_member_that_comes_back_on_its_port_is_asked_again() {
    let mut primary = Alone::start(1);
    let bind = [Bind { host: "127.0.0.1".into(), optional: false }];
    let mut member = Alone::start(2);
    primary.lead(&[&member], 5).await;
    wait_until("a lease", || primary.has_lease()).await;
    member.end().await;
    wait_until("the end of the lease", || !primary.has_lease()).await;
    let listening = slotway_link::bind(&bind, member.port, "--pulse-port", 16).unwrap();
    let keeper = Arc::new(Keeper::load(member._directory.path()).unwrap());
    let (vitals, secret) = (Arc::new(Vitals::default()), Secret::new("among us"));
    let mut again = start(Given { listening, secret, keepalive: None, vitals, keeper }).unwrap();
    let node = member.member.node.clone();
    let identity = Some(Identity { cluster_id: "c".repeat(40), shard: ShardId(1), node });
    again.begin(Boot { incarnation: member.member.incarnation, identity, life: Life::New });
    wait_until("a lease again", || primary.has_lease()).await;
    member.thread = Some(again);
    for node in [&mut primary, &mut member] {
        node.end().await;
    }
}
