//! Groups over real sockets: they elect, decide, lose and regain members, and let no stranger in.

use std::{future::Future, path::Path, time::Duration};

use slotway_cluster::{
    Cluster, Entry, NodeId, Placement, ProxyId, ShardId,
    control::{Durability, NodeFact, Outcome, ProxyFact, Refused},
};
use slotway_config::{Bind, Secret};
use slotway_link::{Connection, Credentials, LinkError, Target};
use slotway_resp::{Frame, Version};
use tempfile::TempDir;
use tokio::{sync::mpsc, time::Instant};

use super::{
    Begin, Group, ProposeError, Running, Standing, Start, StartError, Started, Told, recover, start,
};

/// For whatever has to happen on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// One proxy's group and its directory.
struct Proxy {
    dir: TempDir,
    fact: ProxyFact,
    group: Group,
    running: Running,
    told: mpsc::Receiver<Told>,
}

fn secret() -> Option<Secret> {
    Some(Secret::new("the cluster's secret"))
}

fn listen(address: &str) -> slotway_link::Listening {
    let (host, port) = address.rsplit_once(':').unwrap();
    let hosts = [Bind { host: host.to_owned(), optional: false }];
    slotway_link::bind(&hosts, port.parse().unwrap(), "--control-port", 64).unwrap()
}

fn fact(port: u16) -> ProxyFact {
    let control_addr = format!("127.0.0.1:{port}");
    ProxyFact { addr: format!("127.0.0.1:{}", port - 1), control_addr, admin_addr: None, sentinel_addr: None }
}

fn form(digit: &str) -> Begin {
    let (placement, durability) = (Placement::default(), Durability::Quorum);
    let create = Entry::Create { cluster_id: digit.repeat(40), placement, durability };
    Begin::Form { proxy: ProxyId("p1".into()), first: vec![create] }
}

async fn try_start(dir: &Path, address: &str, begin: Begin) -> Result<(Started, ProxyFact), StartError> {
    let listening = listen(address);
    let fact = fact(listening.port);
    let dir = dir.to_owned();
    let started = start(Start { dir, secret: secret(), listening, fact: fact.clone(), begin }).await?;
    Ok((started, fact))
}

impl Proxy {
    async fn start_in(dir: TempDir, address: &str, begin: Begin) -> Proxy {
        let (Started { group, running, told, .. }, fact) =
            try_start(dir.path(), address, begin).await.unwrap();
        Proxy { dir, fact, group, running, told }
    }

    async fn start(begin: Begin) -> Proxy {
        Proxy::start_in(tempfile::tempdir().unwrap(), "127.0.0.1:0", begin).await
    }

    async fn join(to: &Proxy) -> Proxy {
        Proxy::start(Begin::Join { addresses: vec![to.fact.control_addr.clone()], wish: None }).await
    }

    /// As far as another process can tell, it was killed: nothing is said any more.
    async fn kill(self) -> (TempDir, String) {
        self.running.stop().await;
        (self.dir, self.fact.control_addr)
    }

    fn name(&self) -> &str {
        &self.group.own().0
    }

    fn cluster(&self) -> std::sync::Arc<Cluster> {
        self.group.watch().borrow().clone()
    }

    fn leads(&self) -> bool {
        self.group.leadership().borrow().am_i
    }
}

/// Three that all vote.
async fn three() -> Vec<Proxy> {
    let first = Proxy::start(form("a")).await;
    let (second, third) = (Proxy::join(&first).await, Proxy::join(&first).await);
    let proxies = vec![first, second, third];
    until("three vote", || proxies.iter().all(|proxy| proxy.group.voters().len() == 3)).await;
    proxies
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    until_async(what, || {
        let holds = holds();
        async move { holds }
    })
    .await;
}

async fn until_async<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn node(number: u64) -> Entry {
    let fact = NodeFact {
        shard: ShardId(1),
        addr: format!("h:{number}"),
        pulse_addr: None,
        admin_addr: None,
        incarnation: None,
    };
    Entry::AddNode { node: NodeId(format!("n{number}")), fact }
}

fn knows(proxy: &Proxy, number: u64) -> bool {
    proxy.cluster().nodes.contains_key(&NodeId(format!("n{number}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_one_decides_and_goes_on_where_it_was() {
    let one = Proxy::start(form("a")).await;
    assert_eq!((one.cluster().cluster_id.as_str(), one.name()), ("a".repeat(40).as_str(), "p1"));
    assert_eq!(one.cluster().proxies[one.group.own()], one.fact);
    assert_eq!(one.group.propose(node(1)).await, Ok(Outcome::Done));
    assert_eq!(one.group.propose(node(1)).await, Ok(Outcome::Again));
    let moved = Entry::Activated { shard: ShardId(1), epoch: slotway_cluster::Epoch(1) };
    let unknown = Outcome::Refused(Refused::UnknownShard(ShardId(1)));
    assert_eq!(one.group.propose(moved).await, Ok(unknown));
    let version = one.cluster().index;
    let (dir, address) = one.kill().await;
    let one = Proxy::start_in(dir, &address, form("b")).await;
    assert!(knows(&one, 1), "what is in the directory goes before what the start says");
    assert!(one.cluster().index >= version);
    assert_eq!(one.group.propose(node(2)).await, Ok(Outcome::Done));
    until("it leads", || one.leads()).await;
    assert_eq!(one.group.voters(), [ProxyId("p1".into())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_decide_together_whoever_proposes() {
    let proxies = three().await;
    for (number, proxy) in (1..).zip(&proxies) {
        assert_eq!(proxy.group.propose(node(number)).await, Ok(Outcome::Done));
    }
    let all = |number| proxies.iter().all(|proxy| knows(proxy, number));
    until("everybody knows", || all(1) && all(2) && all(3)).await;
    let names: Vec<&str> = proxies.iter().map(Proxy::name).collect();
    assert_eq!(names, ["p1", "p2", "p3"]);
    assert_eq!(proxies.iter().filter(|proxy| proxy.leads()).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_dies_is_replaced_and_nothing_decided_is_lost() {
    let mut proxies = three().await;
    proxies[0].group.propose(node(1)).await.unwrap();
    let at = proxies.iter().position(Proxy::leads).unwrap();
    let leader = proxies.remove(at);
    let killed = Instant::now();
    let (dir, address) = leader.kill().await;
    assert_eq!(proxies[0].group.propose(node(2)).await, Ok(Outcome::Done));
    let gap = killed.elapsed();
    assert!(gap < Duration::from_millis(2500), "decided again after {gap:?}");
    println!("decided again {gap:?} after the leader's end");
    assert!(proxies.iter().any(Proxy::leads));
    until("both know both", || proxies.iter().all(|proxy| knows(proxy, 1) && knows(proxy, 2))).await;
    // It comes back from its files, as one of three.
    let back = Proxy::start_in(dir, &address, form("a")).await;
    until("it learns what it missed", || knows(&back, 1) && knows(&back, 2)).await;
    until("it votes", || *back.group.standing().borrow() == Standing::Voter).await;
    assert_eq!(back.group.propose(node(3)).await, Ok(Outcome::Done));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_nothing_is_decided_and_what_is_known_stays() {
    let mut proxies = three().await;
    proxies[0].group.propose(node(1)).await.unwrap();
    until("all know", || proxies.iter().all(|proxy| knows(proxy, 1))).await;
    let mut gone = Vec::new();
    for proxy in proxies.drain(1..) {
        gone.push(proxy.kill().await);
    }
    let left = proxies.pop().unwrap();
    let error = left.group.propose(node(2)).await.unwrap_err();
    assert!(matches!(error, ProposeError::NotLeader | ProposeError::Unavailable(_)), "{error}");
    assert!(knows(&left, 1) && !knows(&left, 2));
    let (dir, address) = left.kill().await;
    let left = Proxy::start_in(dir, &address, form("a")).await;
    assert!(knows(&left, 1), "also after a start without the others");
    let (dir, address) = gone.pop().unwrap();
    let _second = Proxy::start_in(dir, &address, form("a")).await;
    until_async("two of three decide", || async { left.group.propose(node(3)).await.is_ok() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_vote_the_sixth_learns_and_takes_the_place_of_one_that_leaves() {
    let mut proxies = three().await;
    for _ in 0..3 {
        let seventh = Proxy::join(&proxies[1]).await;
        proxies.push(seventh);
    }
    let voters = |proxies: &[Proxy]| proxies[0].group.voters().len();
    until("five vote", || voters(&proxies) == 5 && proxies[0].group.mates().len() == 6).await;
    proxies[5].group.propose(node(1)).await.unwrap();
    until("all know", || proxies.iter().all(|proxy| knows(proxy, 1))).await;
    let learner = proxies.iter().position(|one| *one.group.standing().borrow() == Standing::Learner).unwrap();
    // Another than the leader and the learner leaves.
    let leaving = (0..6).find(|at| *at != learner && !proxies[*at].leads()).unwrap();
    let name = proxies[leaving].group.own().clone();
    proxies[learner].group.leave(&name).await.unwrap();
    until("the learner votes", || *proxies[learner].group.standing().borrow() == Standing::Voter).await;
    let gone = proxies.remove(leaving);
    until("it knows that it was removed", || *gone.group.standing().borrow() == Standing::Removed).await;
    assert!(gone.group.propose(node(2)).await.is_err());
    assert!(!proxies[0].cluster().proxies.contains_key(&name));
    assert_eq!(proxies[0].group.propose(node(3)).await, Ok(Outcome::Done));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_itself_may_leave() {
    let mut proxies = three().await;
    let leader = proxies.remove(proxies.iter().position(Proxy::leads).unwrap());
    leader.group.leave(leader.group.own()).await.unwrap();
    until("two are left", || proxies.iter().all(|proxy| proxy.group.voters().len() == 2)).await;
    until("one of them leads", || proxies.iter().any(Proxy::leads)).await;
    assert_eq!(proxies[0].group.propose(node(1)).await, Ok(Outcome::Done));
    let last = proxies[0].group.own().clone();
    proxies[1].group.leave(&last).await.unwrap();
    until_async("one is left", || async { proxies[1].group.voters().len() == 1 }).await;
    let why = proxies[1].group.leave(proxies[1].group.own()).await.unwrap_err();
    assert!(why.to_string().contains("is the only proxy"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_lost_its_disk_joins_as_another() {
    let mut proxies = three().await;
    let follower = proxies.iter().position(|proxy| !proxy.leads()).unwrap();
    let lost = proxies.remove(follower);
    let name = ProxyId(lost.name().to_owned());
    let (dir, address) = lost.kill().await;
    drop(dir);
    let others = proxies.iter().map(|proxy| proxy.fact.control_addr.clone()).collect();
    let again = Proxy::start_in(
        tempfile::tempdir().unwrap(),
        &address,
        Begin::Join { addresses: others, wish: Some(name.clone()) },
    )
    .await;
    assert_ne!(again.name(), name.0, "its old seat has that name still");
    until("it votes", || *again.group.standing().borrow() == Standing::Voter).await;
    until("three vote", || proxies[0].group.voters().len() == 3).await;
    assert!(!proxies[0].group.voters().contains(&name), "no dead voter is left");
    assert_eq!(proxies[0].cluster().proxies.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_started_elsewhere_is_found() {
    let mut proxies = three().await;
    let follower = proxies.iter().position(|proxy| !proxy.leads()).unwrap();
    let (dir, old) = proxies.remove(follower).kill().await;
    let moved = Proxy::start_in(dir, "127.0.0.1:0", form("a")).await;
    assert_ne!(moved.fact.control_addr, old);
    let name = moved.group.own().clone();
    until("the log says where", || proxies[0].cluster().proxies[&name] == moved.fact).await;
    proxies[0].group.propose(node(1)).await.unwrap();
    until("it is told", || knows(&moved, 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_to_the_leader_arrives_there_from_anywhere() {
    let mut proxies = three().await;
    let leader = proxies.iter().position(Proxy::leads).unwrap();
    for proxy in &proxies {
        proxy.group.tell_leader(format!("from {}", proxy.name())).await.unwrap();
    }
    for _ in 0..3 {
        let Told { from, text } = proxies[leader].told.recv().await.unwrap();
        assert_eq!(text, format!("from {from}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_proxy_gets_the_state_by_a_snapshot_when_the_log_is_cut() {
    let one = Proxy::start(form("a")).await;
    for round in 0..1500u64 {
        let durability = if round % 2 == 0 { Durability::Async } else { Durability::Quorum };
        one.group.propose(Entry::SetDurability { durability }).await.unwrap();
    }
    one.group.propose(node(1)).await.unwrap();
    until("a snapshot is there", || one.dir.path().join(super::snapshot::FILE_NAME).exists()).await;
    let purged = || one.group.desk.raft.data_metrics().borrow().purged.is_some();
    until("the log is cut", purged).await;
    let two = Proxy::join(&one).await;
    until("it knows", || knows(&two, 1)).await;
    until("it votes", || *two.group.standing().borrow() == Standing::Voter).await;
    let (dir, address) = two.kill().await;
    let two = Proxy::start_in(dir, &address, form("a")).await;
    assert!(knows(&two, 1), "from its own files");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_forgiven() {
    let one = Proxy::start(form("a")).await;
    one.group.desk.store.leave_room(10);
    let error = one.group.propose(node(1)).await.unwrap_err().to_string();
    assert!(error.contains("the disk refuses what the control group writes"), "{error}");
    assert!(!knows(&one, 1));
    one.group.desk.store.leave_room(1 << 20);
    until_async("it decides again", || async { one.group.propose(node(2)).await.is_ok() }).await;
    let (dir, address) = one.kill().await;
    assert!(knows(&Proxy::start_in(dir, &address, form("a")).await, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_majority_that_can_write_decides_whoever_cannot_and_space_heals_it() {
    let proxies = three().await;
    proxies[0].group.propose(node(1)).await.unwrap();
    let leader = proxies.iter().position(Proxy::leads).unwrap();
    let follower = (leader + 1) % 3;
    for (full, number) in [(follower, 2), (leader, 3)] {
        proxies[full].group.desk.store.leave_room(10);
        let others = || (0..3).filter(|at| *at != full).map(|at| &proxies[at]);
        let asked = others().next().unwrap();
        until_async("the others decide", || async { asked.group.propose(node(number)).await.is_ok() }).await;
        until("the others know", || others().all(|proxy| knows(proxy, number))).await;
        proxies[full].group.desk.store.leave_room(1 << 20);
        until("it learns what it missed", || knows(&proxies[full], number)).await;
    }
    let leads = || proxies.iter().filter(|proxy| proxy.leads()).count() == 1;
    until("one leads", leads).await;
    assert_eq!(proxies[leader].group.propose(node(4)).await, Ok(Outcome::Done));
}

/// What the control port answers to one request, with these credentials.
async fn asked(address: &str, password: Option<&str>, words: &[&str]) -> Result<Frame, LinkError> {
    let credentials = password.map(Credentials::member);
    let target = Target { address: address.to_owned(), credentials, version: Version::Resp2 };
    Connection::open(&target, PATIENCE).await?.request(words, PATIENCE).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_without_the_secret_is_refused() {
    let one = Proxy::start(form("a")).await;
    let address = one.fact.control_addr.as_str();
    let refused = asked(address, None, &["SLOTWAY", "RAFT", "1", "{}"]).await.unwrap();
    assert!(refused.as_error().unwrap().starts_with(b"NOAUTH"), "{refused:?}");
    let refused = asked(address, Some("guess"), &["PING"]).await.unwrap_err();
    assert!(refused.to_string().contains("WRONGPASS"), "{refused}");
    let welcome = asked(address, secret().as_ref().map(Secret::reveal), &["PING"]).await.unwrap();
    assert_eq!(welcome, Frame::Simple(b"PONG".to_vec()));

    let (dir, listening) = (tempfile::tempdir().unwrap(), listen("127.0.0.1:0"));
    let begin = Begin::Join { addresses: vec![address.to_owned()], wish: None };
    let (fact, secret) = (fact(listening.port), Some(Secret::new("another")));
    let stranger = Start { dir: dir.path().to_owned(), secret, listening, fact, begin };
    let error = start(stranger).await.unwrap_err().to_string();
    assert!(error.contains("cannot join the control group") && error.contains("WRONGPASS"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_and_harms_nobody() {
    let one = Proxy::start(form("a")).await;
    let address = one.fact.control_addr.as_str();
    let member = || secret().map(|secret| secret.reveal().to_owned());
    let check = async |words: &[&str], expected: &str| {
        let answer = asked(address, member().as_deref(), words).await.unwrap();
        let text = format!(
            "{:?}",
            answer.as_str().map(str::to_owned).unwrap_or_else(|| {
                String::from_utf8_lossy(answer.as_bytes().or(answer.as_error()).unwrap_or_default())
                    .into_owned()
            })
        );
        assert!(text.contains(expected), "{text}");
    };
    check(&["GET", "k"], "the control port knows").await;
    check(&["SLOTWAY", "RAFT", "2", "{}"], "speaks version 1, not 2").await;
    check(&["SLOTWAY", "RAFT", "1", "no json"], "this is no message").await;
    check(&["SLOTWAY", "RAFT", "1", &"[".repeat(100_000)], "this is no message").await;
    let nobody = r#"{"group":null,"to":null,"from":"p9","ask":{"leave":{"proxy":"p1"}}}"#;
    check(&["SLOTWAY", "RAFT", "1", nobody], "a message to no group").await;

    // Announces more than is ever read.
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"*4\r\n$7\r\nSLOTWAY\r\n$4\r\nRAFT\r\n$1\r\n1\r\n$999999999\r\n").await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert_eq!(one.group.propose(node(1)).await, Ok(Outcome::Done));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_groups_do_not_mix() {
    let (one, other) = (Proxy::start(form("a")).await, Proxy::start(form("b")).await);
    let own = super::identity::load(other.dir.path()).unwrap().unwrap();
    let ask = super::wire::Ask::Propose { entry: node(1) };
    let message = super::wire::Message { group: Some(own.group), to: None, from: own.proxy, ask };
    let json = serde_json::to_string(&message).unwrap();
    let secret = secret();
    let words = ["SLOTWAY", "RAFT", "1", &json];
    let answer = asked(&one.fact.control_addr, secret.as_ref().map(Secret::reveal), &words).await.unwrap();
    let text = String::from_utf8_lossy(answer.as_bytes().unwrap()).into_owned();
    assert!(text.contains(&format!("this is cluster {}, not {}", "a".repeat(40), "b".repeat(40))), "{text}");
    assert!(!knows(&one, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_makes_a_new_group_of_what_one_proxy_has() {
    let mut proxies = three().await;
    proxies[0].group.propose(node(1)).await.unwrap();
    until("all know", || proxies.iter().all(|proxy| knows(proxy, 1))).await;
    let left = proxies.remove(1);
    let version = left.cluster().index;
    assert!(matches!(recover(left.dir.path()), Err(super::RecoverError::Journal(_))), "not while it runs");
    let (dir, address) = left.kill().await;
    let mut gone = Vec::new();
    for proxy in proxies {
        gone.push(proxy.kill().await);
    }
    let found = recover(dir.path()).unwrap();
    assert_eq!((found.proxy.0.as_str(), found.cluster.proxies.len()), ("p2", 1));
    // As if the first attempt had broken off.
    recover(dir.path()).unwrap();
    let one = Proxy::start_in(dir, &address, form("a")).await;
    assert!(knows(&one, 1) && one.cluster().index > version);
    assert_eq!(one.group.propose(node(2)).await, Ok(Outcome::Done));
    // A member of the old group is a stranger, until it joins anew.
    let (old, address) = gone.pop().unwrap();
    let seeds = vec![one.fact.control_addr.clone()];
    let stranger = Proxy::start_in(old, &address, Begin::Join { addresses: seeds.clone(), wish: None }).await;
    assert!(stranger.group.propose(node(3)).await.is_err());
    drop(stranger.kill().await);
    let again = Proxy::start(Begin::Join { addresses: seeds, wish: None }).await;
    until("it votes", || *again.group.standing().borrow() == Standing::Voter).await;
    assert!(knows(&again, 1) && knows(&again, 2) && !knows(&one, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_joiner_has_the_name_that_it_wishes_unless_somebody_else_has_it() {
    let one = Proxy::start(form("a")).await;
    let wishing = || {
        let (addresses, wish) = (vec![one.fact.control_addr.clone()], Some(ProxyId("p7".into())));
        Proxy::start(Begin::Join { addresses, wish })
    };
    let (first, second) = (wishing().await, wishing().await);
    assert_eq!((first.name(), second.name()), ("p7", "p8"));
    for proxy in [first, second, one] {
        proxy.running.stop().await;
    }
}
