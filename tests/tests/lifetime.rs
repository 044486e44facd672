//! A cluster over its lifetime: nodes come and go while clients write, everything is stopped and started, a proxy's directory is lost.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;
use slotway_tests::{
    cluster::{UpCluster, ask, http_get, signal, slotway, up, wait_until},
    replicas::Server,
};

/// Exit status, standard output and error of `slotway ctl`.
fn ctl(cluster: &UpCluster, words: &[&str]) -> (Option<i32>, String, String) {
    let admin = format!("http://127.0.0.1:{}", cluster.admin_port());
    let output = slotway().arg("ctl").args(["--admin", &admin]).args(words).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn shard(cluster: &UpCluster) -> Value {
    cluster.get_json("/v1/shards")["shards"][0].clone()
}

fn sync_set(cluster: &UpCluster) -> Vec<String> {
    let names = shard(cluster)["sync_set"].as_array().unwrap().clone();
    names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn write_keys(cluster: &UpCluster, numbers: std::ops::Range<u32>) {
    for number in numbers {
        assert_eq!(ask(cluster.port(), &format!("SET key:{number} {number}")).unwrap(), "+OK");
    }
}

fn check_keys(cluster: &UpCluster, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let found = ask(cluster.port(), &format!("STRLEN key:{number}")).unwrap();
        assert_eq!(found, format!(":{}", number.to_string().len()), "key:{number}");
    }
}

fn events(cluster: &UpCluster) -> Vec<(String, String)> {
    let events = cluster.get_json("/v1/events?format=json")["events"].as_array().unwrap().clone();
    let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    events.iter().map(|event| (text(event, "type"), text(event, "text"))).collect()
}

/// A node that belongs to nobody and may be added to this cluster.
fn fresh_node(cluster: &UpCluster) -> (Server, String) {
    let secret = cluster.dir().join("secret");
    let node = Server::node(&["--pulse-port", "0", "--secret-file", secret.to_str().unwrap()]);
    let addr = format!("127.0.0.1:{}", node.port());
    (node, addr)
}

#[test]
fn a_node_is_added_and_removed_while_clients_write_and_can_take_over() {
    let cluster = UpCluster::start(&["--shards", "1", "--replicas", "1", "--no-restart"]);
    wait_until("the replica counts", || sync_set(&cluster) == ["n2"]);
    write_keys(&cluster, 0..100);
    let (_third, addr) = fresh_node(&cluster);
    let (code, said, error) = ctl(&cluster, &["add-node", &addr, "--shard", "1"]);
    assert_eq!((code, said.trim()), (Some(0), "n3 is a replica of shard 1, and holds everything"), "{error}");
    assert_eq!(sync_set(&cluster), ["n2", "n3"]);
    let (code, again, _) = ctl(&cluster, &["add-node", &addr, "--shard", "1"]);
    assert_eq!((code, again), (Some(0), said), "twice is as good as once");
    write_keys(&cluster, 100..200);

    let (code, _, error) = ctl(&cluster, &["remove-node", "n1"]);
    assert!(code == Some(1) && error.contains("slotway ctl switchover 1"), "{error}");
    let (code, said, error) = ctl(&cluster, &["remove-node", "n2"]);
    assert_eq!((code, said.trim()), (Some(0), "n2 belongs to the cluster no more"), "{error}");
    assert_eq!(sync_set(&cluster), ["n3"]);
    let nodes = cluster.get_json("/v1/nodes");
    let names: Vec<&str> =
        nodes["nodes"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["n1", "n3"]);
    write_keys(&cluster, 200..300);

    cluster.kill("n1");
    wait_until("the added node leads", || shard(&cluster)["primary"] == "n3");
    check_keys(&cluster, 0..300);
    write_keys(&cluster, 300..310);
    let told: BTreeSet<String> = events(&cluster).into_iter().map(|(kind, _)| kind).collect();
    for kind in ["node.added", "replica.joined", "replica.dropped", "node.removed"] {
        assert!(told.contains(kind), "{kind} in {told:?}");
    }
    let jobs = cluster.get_json("/v1/jobs")["jobs"].as_array().unwrap().clone();
    let jobs: Vec<_> = jobs.iter().map(|job| (job["kind"].as_str().unwrap(), &job["state"])).collect();
    assert_eq!(
        jobs,
        [("add-node", &"done".into()), ("add-node", &"done".into()), ("remove-node", &"done".into())]
    );
}

#[test]
fn a_node_that_holds_something_belongs_to_somebody_or_does_not_answer_is_not_added() {
    let cluster = UpCluster::start(&["--shards", "1", "--replicas", "1"]);
    wait_until("the replica counts", || sync_set(&cluster) == ["n2"]);
    let refused = |words: &[&str], expected: &str| {
        let (code, _, error) = ctl(&cluster, words);
        assert!(code == Some(1) && error.contains(expected), "{words:?}: {error}");
    };
    let (full, addr) = fresh_node(&cluster);
    full.ask("SET a b");
    refused(&["add-node", &addr, "--shard", "1"], "holds 1 keys");
    full.ask("FLUSHALL");
    refused(&["add-node", &addr, "--shard", "7"], "there is no shard 7");
    refused(&["add-node", "nonsense", "--shard", "1"], "expected host:port");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    refused(&["add-node", &closed.to_string(), "--shard", "1"], "");
    let secret = cluster.dir().join("another-secret");
    fs::write(&secret, "nobody knows it").unwrap();
    let stranger = Server::node(&["--pulse-port", "0", "--secret-file", secret.to_str().unwrap()]);
    refused(&["add-node", &format!("127.0.0.1:{}", stranger.port()), "--shard", "1"], "");
    refused(&["remove-node", "n9"], "there is no node n9");
    refused(&["remove-node", "../n2"], "is no name of a node");
    // Removed, and with what it held still in its directory.
    let gone = format!("127.0.0.1:{}", cluster.port_of("nodes", 1, "port"));
    assert_eq!(ctl(&cluster, &["remove-node", "n2"]).0, Some(0));
    refused(&["add-node", &gone, "--shard", "1"], "belonged to this cluster before");
    assert_eq!(ctl(&cluster, &["add-node", &addr, "--shard", "1"]).0, Some(0));
    assert_eq!(sync_set(&cluster), ["n3"]);
}

/// Names of proxies that vote, as any of them says.
fn voters(cluster: &UpCluster) -> Vec<String> {
    let proxies = cluster.get_json("/v1/proxies")["proxies"].as_array().unwrap().clone();
    let votes = |proxy: &&Value| ["leader", "voter"].iter().any(|role| proxy["raft"] == *role);
    proxies.iter().filter(votes).map(|proxy| proxy["id"].as_str().unwrap().to_owned()).collect()
}

fn stop(mut cluster: UpCluster) {
    signal("INT", cluster.pid());
    assert_eq!(cluster.wait().code(), Some(0));
}

fn ports(cluster: &UpCluster) -> Vec<u16> {
    let of_proxy = |index| cluster.port_of("proxies", index, "control_port");
    (0..3).map(of_proxy).chain([cluster.port_of("nodes", 0, "port")]).collect()
}

const THREE: [&str; 6] = ["--shards", "1", "--replicas", "2", "--proxies", "3"];

#[test]
fn several_proxies_on_free_ports_come_back_where_they_were_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let first = UpCluster::start_in(dir.path(), &THREE);
    wait_until("all vote", || voters(&first).len() == 3);
    wait_until("both replicas count", || sync_set(&first).len() == 2);
    write_keys(&first, 0..200);
    // What proxies start from the next time names another primary than the log.
    let (code, _, error) = ctl(&first, &["switchover", "1"]);
    assert_eq!(code, Some(0), "{error}");
    write_keys(&first, 200..210);
    let (had, lives) = (ports(&first), incarnations(&first));
    stop(first);

    let second = UpCluster::start_in(dir.path(), &THREE);
    assert_eq!(ports(&second), had);
    check_keys(&second, 0..210);
    assert_eq!(incarnations(&second), lives, "nobody lost anything, so all are who they were");
    let lossy = events(&second).into_iter().find(|(_, text)| text.contains("may be lost"));
    assert_eq!(lossy, None);
    write_keys(&second, 210..220);
}

fn incarnations(cluster: &UpCluster) -> Vec<String> {
    let nodes = || cluster.get_json("/v1/nodes")["nodes"].as_array().unwrap().clone();
    wait_until("every node is known", || nodes().iter().all(|node| node["incarnation"].is_string()));
    nodes().iter().map(|node| node["incarnation"].as_str().unwrap().to_owned()).collect()
}

fn generation(dir: &Path, proxy: &str) -> Value {
    let text = fs::read(dir.join(proxy).join("group.json")).unwrap();
    serde_json::from_slice::<Value>(&text).unwrap()["group"].clone()
}

#[test]
fn a_first_proxy_that_lost_its_directory_joins_the_others_and_begins_no_second_group() {
    let dir = tempfile::tempdir().unwrap();
    let first = UpCluster::start_in(dir.path(), &THREE);
    wait_until("all vote", || voters(&first).len() == 3);
    write_keys(&first, 0..50);
    stop(first);
    let group = generation(dir.path(), "p2");
    fs::remove_dir_all(dir.path().join("p1")).unwrap();

    let second = UpCluster::start_in(dir.path(), &THREE);
    // Its seat went with its directory: it is somebody else to the group, and the old one has no vote.
    wait_until("all vote again", || voters(&second) == ["p2", "p3", "p4"]);
    assert_eq!(generation(dir.path(), "p1"), group);
    check_keys(&second, 0..50);
    // The others say the same of it.
    let told = http_get(second.port_of("proxies", 2, "admin_port"), "/v1/cluster").1;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["leader"], second.get_json("/v1/cluster")["leader"]);
}

#[test]
fn where_every_proxy_is_lost_or_no_two_would_meet_nothing_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let first = UpCluster::start_in(dir.path(), &THREE);
    wait_until("all vote", || voters(&first).len() == 3);
    stop(first);
    let refused = |flags: &[&str], expected: &str| {
        let status = up(dir.path(), flags).status().unwrap();
        let said = fs::read_to_string(dir.path().join("up.log")).unwrap();
        assert_eq!(status.code(), Some(1));
        assert!(said.contains(expected), "{said}");
    };
    refused(
        &["--shards", "1", "--replicas", "2", "--proxies", "1"],
        "find each other by their control ports",
    );
    for proxy in ["p1", "p2", "p3"] {
        fs::remove_dir_all(dir.path().join(proxy)).unwrap();
    }
    refused(&THREE, "ctl recover");
}

#[test]
fn settings_of_the_group_are_shown_act_and_are_refused_where_they_make_no_sense() {
    let dir = tempfile::tempdir().unwrap();
    for (flags, expected) in [
        (["--min-copies", "3"], "a write would need 3 copies, and a shard has 2 nodes"),
        (["--min-copies", "many"], "min-copies"),
        (["--on-total-loss", "pray"], "on-total-loss"),
        (["--busy-down-after-ms", "10"], "busy-down-after-ms"),
    ] {
        let output =
            up(dir.path(), &["--shards", "1", "--replicas", "1", flags[0], flags[1]]).output().unwrap();
        let said = fs::read_to_string(dir.path().join("up.log")).unwrap();
        assert!(!output.status.success() && said.contains(expected), "{said}");
    }
    let flags = ["--shards", "1", "--replicas", "1", "--min-copies", "2", "--on-total-loss", "wait"];
    let more = ["--busy-down-after-ms", "20000", "--no-restart"];
    let cluster = UpCluster::start_in(dir.path(), &[&flags[..], &more[..]].concat());
    wait_until("the replica counts", || sync_set(&cluster) == ["n2"]);
    let shown = cluster.get_json("/v1/cluster");
    let policy = (&shown["min_copies"], &shown["on_total_loss"], &shown["busy_down_after_ms"]);
    assert_eq!(policy, (&2.into(), &"wait".into(), &20_000.into()));
    write_keys(&cluster, 0..10);
    let (code, _, error) = ctl(&cluster, &["remove-node", "n2"]);
    assert!(code == Some(1) && error.contains("2 are needed"), "{error}");
    // One copy is too few, and the sync set is not given up for it: a write waits, and is refused then.
    cluster.kill("n2");
    let refused = ask(cluster.port(), "SET key:10 10").unwrap();
    assert!(refused.starts_with('-'), "{refused}");
}
