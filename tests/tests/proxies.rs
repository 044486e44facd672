//! What a proxy of a control group knows of its nodes beside what they answer it: that one is at a long command, that one may be parked for
//! ever, and that what it read at its start is old.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

use std::{
    fmt::Write as _,
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;
use slotway_tests::{
    cluster::{UpCluster, ask, signal, slotway, wait_until},
    front::Front,
    replicas::Client,
};

/// `hold-ms-max`, as it is by default.
const HOLD: Duration = Duration::from_secs(5);

fn shard(cluster: &UpCluster) -> Value {
    cluster.get_json("/v1/shards")["shards"][0].clone()
}

fn whole(replicas: usize, environment: &[(&str, &str)]) -> UpCluster {
    let count = replicas.to_string();
    let cluster = UpCluster::start_with(&["--shards", "1", "--replicas", &count], environment);
    wait_until("the replicas are in the sync set", || {
        cluster.get_json("/v1/cluster")["state"] == "ok"
            && shard(&cluster)["sync_set"].as_array().unwrap().len() == replicas
    });
    cluster
}

/// As soon as the epoch before has spread.
fn switch_over(cluster: &UpCluster) {
    let admin = format!("http://127.0.0.1:{}", cluster.admin_port());
    wait_until("the shard's primary was switched", || {
        let told = slotway().args(["ctl", "--admin", &admin, "switchover", "1"]).output().unwrap();
        told.status.success()
    });
}

/// Keeps the primary at one command for so many seconds, and asks through the proxy meanwhile: on the first connection with a link to the node that is open,
/// then on another with one that is not.
fn ask_while_it_works(cluster: &UpCluster, seconds: u32, during: impl FnOnce()) -> [String; 2] {
    let mut open = Client::connect(cluster.port());
    assert_eq!(open.ask("SET a 1").as_str(), Some("OK"));
    let id = shard(cluster)["primary"].as_str().unwrap().to_owned();
    let row = UpCluster::row(&cluster.file().unwrap(), &id).unwrap();
    let port = u16::try_from(row["port"].as_u64().unwrap()).unwrap();
    let mut works = Client::connect(port);
    works.send(format!("DEBUG SLEEP {seconds}\r\n").as_bytes());
    wait_until("the proxy knows that the node is busy", || {
        let found = cluster.get_json("/v1/nodes");
        found["nodes"].as_array().unwrap().iter().any(|node| node["health"] == "busy")
    });
    during();
    let mut not_open = Client::connect(cluster.port());
    assert_eq!(not_open.ask("SELECT 3").as_str(), Some("OK"));
    let asked = [&mut open, &mut not_open].map(|client| {
        client.send(b"SET b 1\r\n");
        client
    });
    let told = asked.map(|client| format!("{:?}", client.reply()));
    assert_eq!(works.reply().as_str(), Some("OK"));
    told
}

const MAY_DEBUG: [(&str, &str); 1] = [("SLOTWAY__REDIS__ENABLE_DEBUG_COMMAND", "yes")];

#[test]
fn one_command_may_take_longer_than_requests_are_held_and_nobody_is_replaced_or_refused_for_it() {
    let cluster = whole(1, &MAY_DEBUG);
    let before = shard(&cluster);
    for told in ask_while_it_works(&cluster, 7, || {}) {
        assert!(told.contains("OK"), "{told}");
    }
    let after = shard(&cluster);
    assert_eq!((&after["epoch"], &after["primary"]), (&before["epoch"], &before["primary"]));
}

#[test]
fn work_that_nobody_lets_a_primary_answer_keeps_clients_for_a_hold_and_no_longer() {
    let cluster = whole(1, &MAY_DEBUG);
    let before = shard(&cluster);
    let id = before["replicas"][0].as_str().unwrap();
    let pid = UpCluster::row(&cluster.file().unwrap(), id).unwrap()["pid"].as_u64().unwrap();
    let pid = u32::try_from(pid).unwrap();
    // Its lease ends with its grants: what it does now may be for nobody.
    for told in ask_while_it_works(&cluster, 11, || signal("STOP", pid)) {
        assert!(told.contains("INDETERMINATE") || told.contains("TRYAGAIN"), "{told}");
    }
    signal("CONT", pid);
}

#[test]
fn a_shard_that_stands_still_with_no_successor_keeps_clients_for_a_hold_and_no_longer() {
    let cluster = whole(1, &[]);
    let mut client = Client::connect(cluster.port());
    assert_eq!(client.ask("SET a 1").as_str(), Some("OK"));
    let file = cluster.file().unwrap();
    let pids: Vec<u32> = ["n1", "n2"]
        .iter()
        .map(|id| u32::try_from(UpCluster::row(&file, id).unwrap()["pid"].as_u64().unwrap()).unwrap())
        .collect();
    pids.iter().for_each(|pid| signal("STOP", *pid));
    let since = Instant::now();
    let told = client.ask("GET a");
    let told = told.as_error().map(|text| String::from_utf8_lossy(text).into_owned()).unwrap();
    assert!(told.starts_with("TRYAGAIN shard 1 has no primary"), "{told}");
    let waited = since.elapsed();
    assert!((HOLD..2 * HOLD).contains(&waited), "{waited:?}");
    pids.iter().for_each(|pid| signal("CONT", *pid));
    wait_until("it is served again", || ask(cluster.port(), "STRLEN a").unwrap() == ":1");
}

#[test]
fn a_proxy_that_starts_with_an_old_topology_answers_nothing_wrong() {
    let mut cluster = whole(1, &[]);
    let mut client = Client::connect(cluster.port());
    let topology = fs::read(cluster.dir().join("p1/topology.json")).unwrap();
    let mut expected = String::new();
    for number in 0..2 {
        switch_over(&cluster);
        write!(expected, "{number}").unwrap();
        assert!(client.ask(&format!("APPEND a {number}")).as_integer().is_some());
        wait_until("both are in step", || shard(&cluster)["sync_set"].as_array().unwrap().len() == 1);
    }
    switch_over(&cluster);
    assert_eq!(client.ask("APPEND a last").as_integer(), Some(6));
    expected.push_str("last");

    // In a group it begins from its plan, which is as old as the cluster, until it has read the log.
    let killed = cluster.kill("p1");
    cluster.wait_for("the proxy runs again", |file| {
        let row = UpCluster::row(file, "p1")?;
        (row["state"] != "exited" && row["pid"].as_u64()? != u64::from(killed)).then_some(())
    });
    wait_until("it listens", || std::net::TcpStream::connect(("127.0.0.1", cluster.port())).is_ok());
    assert_eq!(Client::connect(cluster.port()).ask("GET a").as_str(), Some(&*expected));

    // Alone nobody tells it more: nodes refuse it, and clients are told that nothing was done.
    let secret = cluster.dir().join("secret");
    let flags = ["--hold-ms-max", "1000", "--secret-file", secret.to_str().unwrap()];
    let alone = Front::of_topology(&topology, &flags);
    for line in ["GET a", "APPEND a wrong", "SET b 1"] {
        let told = ask(alone.port(), line).unwrap();
        assert!(told.starts_with("-TRYAGAIN shard 1 has no primary"), "{line}: {told}");
    }
    assert_eq!(Client::connect(cluster.port()).ask("GET a").as_str(), Some(&*expected));
}
