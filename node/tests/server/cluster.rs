//! A managed node: which slots it answers for, what it says of the others, what it refuses.

use slotway_resp::Frame;

use crate::support::{Client, TestNode, bulk, error, fresh_dir, ok, text};

/// Two shards of one node each and a replica of the first: n1 has the lower half of the slots, n2 most of the upper.
fn topology(version: u64, cluster: &str) -> String {
    serde_json::json!({
        "version": version,
        "cluster_id": cluster.repeat(40),
        "placement": {"spread": [0]},
        "shards": [
            {"id": 1, "kind": "slotway", "epoch": 1, "primary": "n1", "replicas": ["n3"], "slots": ["0-8191"]},
            {"id": 2, "kind": "slotway", "epoch": 1, "primary": "n2", "replicas": [], "slots": ["8192-16000"]},
        ],
        "nodes": [
            {"id": "n1", "addr": "10.0.0.1:7001", "admin_addr": null},
            {"id": "n2", "addr": "10.0.0.2:7002", "admin_addr": null},
            {"id": "n3", "addr": "10.0.0.3:7003", "admin_addr": null},
        ],
        "proxies": [],
    })
    .to_string()
}

/// A node with a secret in a directory of its own, and a client that is a member.
pub(crate) fn node_with_member() -> (TestNode, Client<std::net::TcpStream>) {
    let dir = fresh_dir();
    std::fs::write(dir.join("secret"), "among us\n").unwrap();
    let node = start_in(&dir);
    let member = member(&node);
    (node, member)
}

fn start_in(dir: &std::path::Path) -> TestNode {
    TestNode::start_in(dir, &[("secret-file", dir.join("secret").to_str().unwrap())])
}

fn member(node: &TestNode) -> Client<std::net::TcpStream> {
    let mut member = node.client();
    assert_eq!(member.call(&["AUTH", "slotway", "among us"]), ok());
    member
}

pub(crate) fn adopt(member: &mut Client<std::net::TcpStream>, version: u64, id: &str) -> Frame {
    let version_text = version.to_string();
    member.call(&["SLOTWAY", "TOPOLOGY", &version_text, &topology(version, "c"), id])
}

#[test]
fn a_lone_node_is_a_plain_redis_server() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    assert_eq!(client.say("MSET foo 1 bar 2"), ok());
    let disabled = "ERR This instance has cluster support disabled";
    for line in ["CLUSTER SLOTS", "CLUSTER INFO", "CLUSTER KEYSLOT foo", "CLUSTER MYID", "CLUSTER HELP"] {
        assert_eq!(client.say(line), error(disabled), "{line}");
    }
}

#[test]
fn a_managed_node_refers_to_the_owner_of_a_foreign_slot() {
    let (node, mut member) = node_with_member();
    assert_eq!(adopt(&mut member, 5, "n1"), ok());
    let mut client = node.client();
    // foo is slot 12182, bar 5061; {z} is slot 8157... and {unassigned} is looked for below.
    assert_eq!(client.say("SET bar 1"), ok());
    assert_eq!(client.say("SET foo 1"), error("MOVED 12182 10.0.0.2:7002"));
    assert_eq!(
        client.say("MSET bar 1 foo 2"),
        error("CROSSSLOT Keys in request don't hash to the same slot")
    );
    assert_eq!(client.say("MGET {bar}a {bar}b"), Frame::Array(vec![Frame::NullBulk, Frame::NullBulk]));
    assert_eq!(client.say("PING"), Frame::Simple(b"PONG".to_vec()), "no keys, no slot");
    assert_eq!(client.say("DBSIZE"), Frame::Integer(1));
    client.send("GET bar\r\nGET foo\r\nGET bar\r\n");
    assert_eq!(client.reply(), bulk("1"));
    assert_eq!(client.reply(), error("MOVED 12182 10.0.0.2:7002"), "also in a batch");
    assert_eq!(client.reply(), bulk("1"));
    // Database 1 is whole and lives in slot 10126, database 2 in slot 3868.
    client.say("SELECT 1");
    assert_eq!(client.say("SET bar 1"), error("MOVED 10126 10.0.0.2:7002"));
    client.say("SELECT 2");
    assert_eq!(client.say("MSET foo 1 bar 2"), ok());
}

/// As in Redis: the weights may be anywhere. But a hash tag, or a database that is whole, says where they are.
#[test]
fn sort_looks_up_other_keys_only_where_they_are_sure_to_be_here() {
    let (node, mut member) = node_with_member();
    assert_eq!(adopt(&mut member, 5, "n1"), ok());
    let mut client = node.client();
    let denied = |option: &str| error(&format!("ERR {option} option of SORT denied in cluster mode."));
    assert_eq!(client.say("RPUSH {bar}list 1 2"), Frame::Integer(2));
    assert_eq!(client.say("MSET {bar}1 b {bar}2 a"), ok());
    let list = |words: &[&str]| Frame::Array(words.iter().map(|word| bulk(word)).collect());
    for (line, expected) in [
        ("SORT {bar}list BY w*", denied("BY")),
        ("SORT {bar}list BY {}bar* GET #", denied("BY")),
        ("SORT {bar}list BY {bar*", denied("BY")),
        ("SORT {bar}list BY {foo}*", denied("BY")),
        ("SORT {bar}list GET *", denied("GET")),
        ("SORT_RO {bar}list GET # GET w*->f", denied("GET")),
        (
            "SORT {bar}list BY nosort GET # GET fixed DESC LIMIT 0 1",
            Frame::Array(vec![bulk("2"), Frame::NullBulk]),
        ),
        ("SORT {bar}list BY {bar}* ALPHA GET {bar}*", list(&["a", "b"])),
    ] {
        assert_eq!(client.say(line), expected, "{line}");
    }
    client.say("SELECT 2");
    client.say("MSET w1 2 w2 1");
    client.say("RPUSH list 1 2");
    assert_eq!(client.say("SORT list BY w* GET w*"), list(&["1", "2"]));
}

#[test]
fn a_slot_that_nobody_holds_is_down() {
    let (node, mut member) = node_with_member();
    assert_eq!(adopt(&mut member, 5, "n1"), ok());
    let key = (0..)
        .map(|number| number.to_string())
        .find(|key| slotway_cluster::slot::spread_slot(key.as_bytes()).number() > 16000);
    let key = key.unwrap();
    assert_eq!(node.client().call(&["GET", &key]), error("CLUSTERDOWN Hash slot not served"));
}

#[test]
fn a_member_may_ask_for_keys_of_several_slots_of_this_node() {
    let (_node, mut member) = node_with_member();
    assert_eq!(adopt(&mut member, 5, "n1"), ok());
    assert_eq!(member.say("MSET bar 1 {a}x 2"), error("MOVED 15495 10.0.0.2:7002"));
    assert_eq!(member.say("MSET bar 1 {b}x 2"), ok(), "slots 5061 and 3300 are both here");
    assert_eq!(
        member.say("MSETNX bar 1 {b}x 2"),
        error("CROSSSLOT Keys in request don't hash to the same slot")
    );
}

#[test]
fn a_replica_owns_no_slot() {
    let (node, mut member) = node_with_member();
    assert_eq!(adopt(&mut member, 5, "n3"), ok());
    let mut client = node.client();
    assert_eq!(client.say("GET bar"), error("MOVED 5061 10.0.0.1:7001"));
    let info = text(&client.say("INFO replication"));
    assert!(info.contains("role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:7001\r\n"), "{info}");
}

#[test]
fn a_replica_answers_reads_of_its_shard_for_a_client_that_said_readonly() {
    let (node, mut member) = node_with_member();
    assert_eq!(adopt(&mut member, 5, "n3"), ok());
    let mut client = node.client();
    let moved = error("MOVED 5061 10.0.0.1:7001");
    assert_eq!(client.say("READONLY"), ok());
    assert_eq!(client.say("EXISTS bar"), Frame::Integer(0));
    assert_eq!(client.say("SET bar 1"), moved, "a write goes to the primary");
    assert!(text(&client.say("GET foo")).starts_with("MOVED 12182"), "that is another shard's");
    client.say("MULTI");
    client.say("EXISTS bar");
    assert_eq!(client.say("EXEC"), Frame::Array(vec![Frame::Integer(0)]));
    client.say("MULTI");
    assert_eq!(client.say("DEL bar"), moved);
    assert!(text(&client.say("EXEC")).starts_with("EXECABORT"));
    assert_eq!(client.say("READWRITE"), ok());
    assert_eq!(client.say("EXISTS bar"), moved);
    assert_eq!(client.say("READONLY"), ok());
    client.say("RESET");
    assert_eq!(client.say("EXISTS bar"), moved, "RESET forgets it");
}

#[test]
fn the_newest_topology_of_the_own_cluster_holds() {
    let (node, mut member) = node_with_member();
    let state = |member: &mut Client<_>| -> serde_json::Value {
        serde_json::from_str(&text(&member.say("SLOTWAY STATE"))).unwrap()
    };
    assert!(
        text(&member.call(&["SLOTWAY", "TOPOLOGY", "5", &topology(5, "c")])).contains("has not been adopted")
    );
    assert_eq!(adopt(&mut member, 5, "n1"), ok());
    assert_eq!(state(&mut member)["version"], 5);
    assert_eq!(adopt(&mut member, 4, "n1"), ok(), "an old one is no mistake, and changes nothing");
    assert_eq!(state(&mut member)["version"], 5);
    let again = member.call(&["SLOTWAY", "TOPOLOGY", "6", &topology(6, "c")]);
    assert_eq!(again, ok(), "an adopted node knows who it is");
    let state = state(&mut member);
    assert_eq!(
        (&state["version"], &state["id"], &state["role"]),
        (&6.into(), &"n1".into(), &"primary".into())
    );
    let other = text(&member.call(&["SLOTWAY", "TOPOLOGY", "7", &topology(7, "d"), "n1"]));
    assert!(other.starts_with("ERR this node belongs to cluster cccc"), "{other}");
    let stranger = text(&member.call(&["SLOTWAY", "TOPOLOGY", "7", &topology(7, "c"), "n9"]));
    assert_eq!(stranger, "ERR invalid topology: node n9 is not listed");
    assert_eq!(text(&adopt(&mut member, 7, "n2")), "ERR this node is n1, not n2");
    let version = text(&member.call(&["SLOTWAY", "TOPOLOGY", "9", &topology(8, "c"), "n1"]));
    assert_eq!(version, "ERR invalid topology: version 8 was announced as 9");
    assert!(
        text(&member.call(&["SLOTWAY", "TOPOLOGY", "9", "{}", "n1"])).starts_with("ERR invalid topology: ")
    );
    drop(node);
}

#[test]
fn a_managed_node_stays_managed_after_a_restart() {
    let (mut node, mut own) = node_with_member();
    assert_eq!(adopt(&mut own, 5, "n1"), ok());
    node.stop();
    let node = start_in(&node.dir);
    assert_eq!(node.client().say("SET foo 1"), error("MOVED 12182 10.0.0.2:7002"));
    let other = text(&member(&node).call(&["SLOTWAY", "TOPOLOGY", "7", &topology(7, "d"), "n1"]));
    assert!(other.starts_with("ERR this node belongs to cluster"), "{other}");
}

#[test]
fn only_the_control_group_changes_roles_and_slots() {
    let (node, mut member) = node_with_member();
    assert_eq!(adopt(&mut member, 5, "n1"), ok());
    let mut client = node.client();
    for line in [
        "REPLICAOF NO ONE",
        "SLAVEOF 127.0.0.1 6379",
        "FAILOVER",
        "CLUSTER MEET 127.0.0.1 7000",
        "CLUSTER ADDSLOTS 1",
        "CLUSTER SETSLOT 1 STABLE",
        "CLUSTER FAILOVER",
        "CLUSTER RESET",
        "SWAPDB 0 1",
    ] {
        assert_eq!(client.say(line), error("ERR this node is managed; use slotway ctl ..."), "{line}");
    }
}

#[test]
fn cluster_clients_learn_the_slots() {
    let (node, mut member) = node_with_member();
    assert_eq!(adopt(&mut member, 5, "n1"), ok());
    let mut client = node.client();
    assert_eq!(client.say("CLUSTER KEYSLOT foo"), Frame::Integer(12182));
    let id = text(&client.say("CLUSTER MYID"));
    assert!(id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    let Frame::Array(ranges) = client.say("CLUSTER SLOTS") else { panic!("an array") };
    let Frame::Array(first) = &ranges[0] else { panic!("a range") };
    assert_eq!(first[..2], [Frame::Integer(0), Frame::Integer(8191)]);
    let Frame::Array(primary) = &first[2] else { panic!("a node") };
    assert_eq!(primary[..3], [bulk("10.0.0.1"), Frame::Integer(7001), bulk(&id)]);
    assert_eq!(first.len(), 4, "the replica follows");
    let Frame::Array(shards) = client.say("CLUSTER SHARDS") else { panic!("an array") };
    assert_eq!(shards.len(), 2);
    let lines = text(&client.say("CLUSTER NODES"));
    let own = format!("{id} 10.0.0.1:7001@17001 myself,master - 0 0 1 connected 0-8191\n");
    assert!(lines.contains(&own), "{lines}");
    assert_eq!(lines.lines().filter(|line| line.contains(&format!(" slave {id} "))).count(), 1, "{lines}");
    let info = text(&client.say("CLUSTER INFO"));
    assert!(info.contains("cluster_state:fail\r\n"), "slots are missing: {info}");
    assert!(info.contains("cluster_slots_assigned:16001\r\n"), "{info}");
    client.say("SET bar 1");
    assert_eq!(client.say("CLUSTER COUNTKEYSINSLOT 5061"), Frame::Integer(1));
    assert_eq!(client.say("CLUSTER GETKEYSINSLOT 5061 10"), Frame::Array(vec![bulk("bar")]));
    assert_eq!(client.say("CLUSTER COUNTKEYSINSLOT 16384"), error("ERR Invalid slot"));
    assert!(text(&client.say("INFO cluster")).contains("cluster_enabled:1"));
}
