//! The pulse port of a node: who may speak there, what is answered while the keyspace thread is busy, adoption, fences, and which
//! life a restart goes on with.

use std::{
    net::{Shutdown, TcpStream},
    path::Path,
    time::Instant,
};

use slotway_cluster::{
    Epoch, Incarnation, Member, NodeId, Placement, ProxyId, Rule, ShardId, Topology,
    control::{Durability, ShardState},
    pulse::{
        FromNode, Orders, Status, ToNode,
        wire::{Heartbeat, Part},
    },
    replication::Offset,
    topology::{Kind, Node, Shard},
};
use slotway_resp::Frame;

use crate::support::{Client, TestNode, config, error, fresh_dir, ok, text, wait_until};

/// Starts a node with a secret, and with `flags`, in a directory.
fn start_in(dir: &Path, flags: &[(&str, &str)]) -> TestNode {
    std::fs::write(dir.join("secret"), "among us\n").unwrap();
    let file = dir.join("secret");
    let mut all = vec![("secret-file", file.to_str().unwrap())];
    all.extend_from_slice(flags);
    TestNode::start_in(dir, &all)
}

fn start(flags: &[(&str, &str)]) -> TestNode {
    start_in(&fresh_dir(), flags)
}

/// A connection to the pulse port that has proved nothing.
fn stranger(node: &TestNode) -> Client<TcpStream> {
    let port = node.running.as_ref().unwrap().pulse_port().unwrap();
    Client::new(TcpStream::connect(("127.0.0.1", port)).unwrap())
}

fn member(node: &TestNode) -> Client<TcpStream> {
    let mut member = stranger(node);
    assert_eq!(member.call(&["AUTH", "slotway", "among us"]), ok());
    member
}

fn tell(link: &mut Client<TcpStream>, word: &ToNode) {
    let mut bytes = Vec::new();
    let word = serde_json::to_string(word).unwrap();
    slotway_resp::write::request(&mut bytes, &["SLOTWAY", "PULSE", "1", &word]);
    link.send(bytes);
}

fn hear(link: &mut Client<TcpStream>) -> FromNode {
    serde_json::from_str(&text(&link.reply())).unwrap()
}

/// What it answers; what it said unasked meanwhile is passed over.
fn ask(link: &mut Client<TcpStream>, word: &ToNode) -> FromNode {
    tell(link, word);
    loop {
        match hear(link) {
            FromNode::Pong { seq: None, .. } => {}
            word => return word,
        }
    }
}

/// How the node is, asked with a number that no other ping had; what it said unasked meanwhile is passed over.
fn ping(link: &mut Client<TcpStream>, number: u64) -> Status {
    tell(link, &ToNode::Ping { seq: number, proxy: ProxyId("p1".into()) });
    loop {
        if let FromNode::Pong { seq: Some(seq), status } = hear(link)
            && seq == number
        {
            return *status;
        }
    }
}

/// Of a shard whose primary is n2, and n1 a replica.
fn orders(version: u64, cluster: &str, me: &str) -> ToNode {
    orders_of(version, cluster, me, Member::new(&NodeId("n2".into()), Incarnation(2)))
}

/// Of a shard with this primary, whose other node is n1 or n2.
fn orders_of(version: u64, cluster: &str, me: &str, primary: Member) -> ToNode {
    let other = if primary.node.0 == "n1" { "n2" } else { "n1" };
    let node = |id: &str| Node { id: NodeId(id.into()), addr: "127.0.0.1:1".into(), admin_addr: None };
    let shard = Shard {
        id: ShardId(1),
        kind: Kind::Slotway,
        epoch: Epoch(3),
        primary: primary.node.clone(),
        replicas: vec![NodeId(other.into())],
        slots: vec!["0-16383".parse().unwrap()],
    };
    let topology = Topology {
        version,
        cluster_id: cluster.repeat(40),
        placement: Placement::default(),
        shards: vec![shard],
        nodes: vec![node("n1"), node("n2")],
        proxies: Vec::new(),
    };
    let state = ShardState {
        epoch: Epoch(3),
        version: 1,
        rule: Rule::new(primary, Vec::new()),
        kept: Vec::new(),
        activated: true,
        pending: None,
        slots: vec!["0-16383".parse().unwrap()],
        min_copies: None,
        clean_stop: None,
    };
    ToNode::Orders(Box::new(Orders {
        topology,
        me: NodeId(me.into()),
        shard: ShardId(1),
        state,
        durability: Durability::Quorum,
        pulse_addrs: Vec::new(),
        leaving: Vec::new(),
    }))
}

/// Has the node adopted by orders, and waits until its keyspace thread has obeyed.
fn adopt(link: &mut Client<TcpStream>, version: u64) {
    tell(link, &orders(version, "c", "n1"));
    let mut number = 1000 * version;
    wait_until("obedience", || {
        number += 1;
        ping(link, number).index == version
    });
}

fn beat(epoch: u64, seq: u64) -> ToNode {
    ToNode::Heartbeat(Heartbeat {
        cluster_id: "c".repeat(40),
        shard: ShardId(1),
        epoch: Epoch(epoch),
        primary: Member::new(&NodeId("n2".into()), Incarnation(2)),
        seq,
        committed: Offset(0),
    })
}

#[test]
fn a_ping_is_answered_while_the_keyspace_thread_is_at_a_long_command() {
    let node = start(&[("enable-debug-command", "yes")]);
    let mut link = member(&node);
    assert_eq!(ping(&mut link, 1).busy, None);
    let mut client = node.client();
    let asked = Instant::now();
    client.send("DEBUG SLEEP 1\r\n");
    let mut number = 1;
    let mut busy = None;
    wait_until("word of what it is at", || {
        number += 1;
        busy = ping(&mut link, number).busy.filter(|busy| busy.for_ms >= 50);
        busy.is_some()
    });
    assert_eq!(busy.unwrap().command, "debug");
    assert!(asked.elapsed().as_secs_f64() < 1.0, "it said so while the command ran");
    assert_eq!(client.reply(), ok());
    wait_until("rest", || {
        number += 1;
        ping(&mut link, number).busy.is_none()
    });
}

#[test]
fn a_node_that_loads_its_data_says_so() {
    let dir = fresh_dir();
    let mut node = start_in(&dir, &[]);
    let mut client = node.client();
    for key in 0..200 {
        assert_eq!(client.say(&format!("SET key:{key} value")), ok());
    }
    assert_eq!(client.say("SAVE"), ok());
    node.stop();
    let node = start_in(&dir, &[("key-load-delay", "10000")]);
    let mut link = member(&node);
    assert_eq!(ping(&mut link, 1).part, Part::Loading);
    let mut client = node.client();
    assert_eq!(client.say("CONFIG SET key-load-delay 0"), ok());
    let mut number = 1;
    wait_until("the data", || {
        number += 1;
        ping(&mut link, number).part == Part::None
    });
}

#[test]
fn nobody_but_a_member_is_heard_and_nonsense_is_answered_and_closed() {
    let node = start(&[]);
    let ends = |mut client: Client<TcpStream>, bytes: &str, answer: &str| {
        client.send(bytes);
        let said = String::from_utf8(client.until_closed()).unwrap();
        assert!(said.starts_with(&format!("-{answer}")), "{bytes:?}: {said:?}");
    };
    let before = [
        ("SLOTWAY PULSE 1 {}\r\n", "NOAUTH "),
        ("PING\r\n", "NOAUTH "),
        ("AUTH slotway guess\r\n", "WRONGPASS "),
        ("AUTH default among\r\n", "WRONGPASS "),
        ("GET / HTTP/1.1\r\n", "NOAUTH "),
        ("*2000000\r\n", "ERR Protocol error: "),
        ("*1\r\n$1000000\r\n", "ERR Protocol error: "),
        ("*1\r\n$-3\r\n", "ERR Protocol error: "),
        (&"x".repeat(5000), "ERR Protocol error: "),
    ];
    for (bytes, answer) in before {
        ends(stranger(&node), bytes, answer);
    }
    let behind = [
        ("GET k\r\n", "ERR only SLOTWAY PULSE is spoken here"),
        ("SLOTWAY PULSE 2 {}\r\n", "ERR only version 1 "),
        ("SLOTWAY PULSE 1 {}\r\n", "ERR invalid word: "),
        ("SLOTWAY PULSE 1 []\r\n", "ERR invalid word: "),
        ("*4\r\n$7\r\nSLOTWAY\r\n$5\r\nPULSE\r\n$1\r\n1\r\n$999999999\r\n", "ERR Protocol error: "),
    ];
    for (bytes, answer) in behind {
        ends(member(&node), bytes, answer);
    }
    let leaving = member(&node);
    leaving.stream.shutdown(Shutdown::Write).unwrap();
    // All the while others are answered.
    assert_eq!(ping(&mut member(&node), 7).node, None);
}

#[test]
fn the_number_of_connections_is_bounded() {
    let node = start(&[]);
    let mut first = member(&node);
    let _others: Vec<_> = (1..256).map(|_| stranger(&node)).collect();
    // They are taken one after the other, so the one behind them is too many.
    let mut last = stranger(&node);
    let said = String::from_utf8(last.until_closed()).unwrap();
    assert_eq!(said, "-ERR max number of connections reached\r\n");
    assert_eq!(ping(&mut first, 1).node, None, "who is in is served");
}

#[test]
fn orders_adopt_a_node_and_another_cluster_is_refused() {
    let node = start(&[]);
    let mut link = member(&node);
    let stranger = ping(&mut link, 1);
    assert_eq!((stranger.cluster_id, stranger.node, stranger.index), (None, None, 0));
    adopt(&mut link, 5);
    let adopted = ping(&mut link, 2);
    assert_eq!((adopted.cluster_id, adopted.node), (Some("c".repeat(40)), Some(NodeId("n1".into()))));
    assert_eq!(adopted.seen, Epoch(3));
    for other in [orders(9, "d", "n1"), orders(9, "c", "n2")] {
        assert!(matches!(ask(&mut link, &other), FromNode::Refused { seen: Epoch(0), .. }));
    }
    adopt(&mut link, 6);

    let mut client = node.client();
    assert_eq!(client.call(&["AUTH", "slotway", "among us"]), ok());
    let state: serde_json::Value = serde_json::from_str(&text(&client.say("SLOTWAY STATE"))).unwrap();
    let port = node.running.as_ref().unwrap().pulse_port().unwrap();
    assert_eq!(state["pulse_addr"], format!("127.0.0.1:{port}"));
    assert_eq!(state["incarnation"], adopted.incarnation.to_string());
    assert_eq!((&state["id"], &state["version"], &state["seen"]), (&"n1".into(), &6.into(), &3.into()));
    assert_eq!(client.say("CONFIG GET pulse-port"), {
        let port = port.to_string();
        Frame::Array(vec![Frame::Bulk(b"pulse-port".to_vec()), Frame::Bulk(port.into())])
    });
    let info = text(&client.say("INFO"));
    for line in [
        format!("slotway_pulse_port:{port}"),
        format!("slotway_incarnation:{}", adopted.incarnation),
        "slotway_epoch:3".to_owned(),
        "slotway_epoch_seen:3".to_owned(),
        "slotway_lease_ms_left:0".to_owned(),
    ] {
        assert!(info.contains(&format!("{line}\r\n")), "{line}: {info}");
    }
    let ToNode::Orders(file) = orders(8, "c", "n1") else { unreachable!() };
    let given = client.call(&["SLOTWAY", "TOPOLOGY", "8", &serde_json::to_string(&file.topology).unwrap()]);
    assert_eq!(given, error("ERR this node takes orders of a control group and no topology"));
}

#[test]
fn a_node_that_a_topology_has_adopted_refuses_orders_of_another_cluster() {
    let node = start(&[]);
    let mut client = node.client();
    assert_eq!(client.call(&["AUTH", "slotway", "among us"]), ok());
    assert_eq!(crate::cluster::adopt(&mut client, 5, "n1"), ok());
    let mut link = member(&node);
    assert!(matches!(ask(&mut link, &orders(9, "d", "n1")), FromNode::Refused { .. }));
    // Of its own it takes them, whatever the versions: those of a file and of a log are two things.
    adopt(&mut link, 2);
}

#[test]
fn a_fence_is_promised_and_what_is_below_it_is_refused() {
    let node = start(&[]);
    let mut link = member(&node);
    let fence = |epoch| ToNode::Fence { shard: ShardId(1), epoch: Epoch(epoch) };
    assert!(matches!(ask(&mut link, &fence(4)), FromNode::Refused { .. }), "of no shard");
    adopt(&mut link, 5);
    let me = Member::new(&NodeId("n1".into()), ping(&mut link, 1).incarnation);
    let granted = FromNode::Grant { epoch: Epoch(3), seq: 8, member: me.clone() };
    assert_eq!(ask(&mut link, &beat(3, 8)), granted);
    let promise = ask(&mut link, &fence(4));
    let FromNode::Promise { epoch: Epoch(4), member: by, grant_left_ms, .. } = promise else {
        panic!("{promise:?}")
    };
    assert_eq!(by, me);
    assert!((1..=350).contains(&grant_left_ms), "{grant_left_ms} ms of the grant are left");
    for word in [beat(3, 9), fence(3)] {
        assert!(matches!(ask(&mut link, &word), FromNode::Refused { seen: Epoch(4), .. }));
    }
    assert!(matches!(ask(&mut link, &fence(4)), FromNode::Promise { .. }), "as often as it is asked");
    assert_eq!(ping(&mut link, 2).seen, Epoch(4));
}

#[test]
fn who_has_asked_once_is_told_of_changes_unasked() {
    let node = start(&[]);
    let (mut link, mut other) = (member(&node), member(&node));
    ping(&mut link, 1);
    adopt(&mut other, 5);
    wait_until(
        "word of the orders",
        || matches!(hear(&mut link), FromNode::Pong { seq: None, status } if status.index == 5),
    );
}

#[test]
fn a_node_without_a_secret_has_no_pulse_port_and_a_port_that_is_taken_is_named() {
    let node = TestNode::start(&[]);
    assert_eq!(node.running.as_ref().unwrap().pulse_port(), None);
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let dir = fresh_dir();
    std::fs::write(dir.join("secret"), "among us\n").unwrap();
    let secret = dir.join("secret");
    let flags = [("secret-file", secret.to_str().unwrap()), ("pulse-port", port.as_str())];
    let error = slotway_node::start(config(&dir, &flags)).unwrap_err().to_string();
    assert_eq!(error, format!("cannot listen on 127.0.0.1:{port} (--pulse-port): address in use"));
}

/// A node of a cluster that has stood at some position, in a directory, as it would be started again.
fn lived(dir: &Path, flags: &[(&str, &str)]) -> Incarnation {
    let mut node = start_in(dir, flags);
    let mut link = member(&node);
    adopt(&mut link, 5);
    assert!(matches!(
        ask(&mut link, &ToNode::Fence { shard: ShardId(1), epoch: Epoch(7) }),
        FromNode::Promise { .. }
    ));
    let incarnation = ping(&mut link, 1).incarnation;
    node.stop();
    incarnation
}

fn node_file(dir: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(dir.join("node.json")).unwrap()).unwrap()
}

#[test]
fn a_clean_end_keeps_the_life_and_its_promises_until_the_first_byte() {
    for flags in [[("save", "3600 1"), ("appendonly", "no")], [("save", ""), ("appendonly", "yes")]] {
        let dir = fresh_dir();
        let before = lived(&dir, &flags);
        assert_eq!(node_file(&dir)["incarnation"], before.to_string(), "{flags:?}");
        let mut node = start_in(&dir, &flags);
        let mut link = member(&node);
        let back = ping(&mut link, 1);
        assert_eq!((back.incarnation, back.seen, back.index), (before, Epoch(7), 0), "{flags:?}");
        assert!(matches!(ask(&mut link, &beat(6, 1)), FromNode::Refused { seen: Epoch(7), .. }));
        adopt(&mut link, 6);
        assert!(node_file(&dir)["incarnation"].is_null(), "from here on it would be untrue");
        node.stop();
        assert_eq!(node_file(&dir)["incarnation"], before.to_string());
    }
}

/// What a node leaves behind that is killed now.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// The files of a primary that was killed behind the beginning of epoch 3, how it was then, and how a node is that is started on
/// them.
fn killed(flags: &[(&str, &str)]) -> (Status, Status) {
    let (dir, files) = (fresh_dir(), fresh_dir());
    let node = start_in(&dir, flags);
    let mut link = member(&node);
    let me = Member::new(&NodeId("n1".into()), ping(&mut link, 1).incarnation);
    tell(&mut link, &orders_of(5, "c", "n1", me));
    let mut number = 2;
    wait_until("the epoch", || {
        number += 1;
        ping(&mut link, number).position.epoch == Epoch(3)
    });
    let before = ping(&mut link, number + 1);
    copy(&dir, &files);
    let again = start_in(&files, flags);
    let after = ping(&mut member(&again), 1);
    (before, after)
}

#[test]
fn a_killed_node_is_the_member_that_it_was_if_everything_was_synced() {
    let (before, after) = killed(&[("save", ""), ("appendonly", "yes"), ("appendfsync", "always")]);
    assert_eq!((after.incarnation, after.position), (before.incarnation, before.position));
    assert_eq!(after.seen, Epoch(3), "what it promised is promised");
    let (before, after) = killed(&[("save", ""), ("appendonly", "yes")]);
    assert_ne!(after.incarnation, before.incarnation, "something may be missing");
}

#[test]
fn a_life_is_not_gone_on_with_if_the_data_do_not_bear_it_out() {
    let flags = [("save", "3600 1"), ("appendonly", "no")];
    let gone = |spoil: fn(&Path), flags: &[(&str, &str)]| {
        let dir = fresh_dir();
        let before = lived(&dir, &[("save", "3600 1"), ("appendonly", "no")]);
        spoil(&dir);
        let node = start_in(&dir, flags);
        let status = ping(&mut member(&node), 1);
        assert_ne!(status.incarnation, before);
        assert_eq!(status.seen, Epoch(0), "what another has promised");
        assert_eq!(status.node, Some(NodeId("n1".into())), "it still belongs to its cluster");
    };
    gone(|dir| std::fs::remove_file(dir.join("dump.rdb")).unwrap(), &flags);
    gone(|_| {}, &[("save", ""), ("appendonly", "yes")]);
}

#[test]
fn a_node_that_did_not_end_cleanly_is_somebody_else() {
    let dir = fresh_dir();
    let mut node = start_in(&dir, &[("save", ""), ("appendonly", "no")]);
    let mut link = member(&node);
    adopt(&mut link, 5);
    let before = ping(&mut link, 1).incarnation;
    node.stop();
    let node = start_in(&dir, &[]);
    assert_ne!(ping(&mut member(&node), 1).incarnation, before, "nothing was saved");
}
