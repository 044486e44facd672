//! A slot stopped half-way between two masters: some of its keys here, some there. Whatever a plain client asks, it gets the
//! answer one server would give; what cannot be asked key by key is answered when the move has ended.

use slotway_resp::{Frame, Version};
use slotway_tests::front::Front;
use slotway_tests::real_cluster::RealCluster;

use crate::{ok, texts};

/// Keys of the slot that are moved before a test looks, and keys that stay until the move ends.
const THERE: [&str; 6] = ["{s}there1", "{s}there2", "{s}there3", "{s}setthere", "{s}old", "{s}gone"];
const HERE: [&str; 5] = ["{s}here1", "{s}here2", "{s}here3", "{s}sethere", "{s}stay"];

/// A cluster with a slot half moved, a proxy in front that has not heard of it yet.
struct Frozen {
    cluster: RealCluster,
    front: Front,
    slot: u16,
    to: usize,
}

impl Frozen {
    fn start() -> Frozen {
        let cluster = RealCluster::start(3);
        let front = Front::of_cluster(
            &cluster.address(0),
            &["--hold-ms-max", "20000", "--request-timeout-ms", "40000"],
        );
        for key in THERE.iter().chain(&HERE) {
            let request =
                if key.contains("set") { format!("SADD {key} {key}") } else { format!("SET {key} {key}") };
            let reply = front.ask(&request);
            assert!(reply.as_error().is_none(), "{request}: {reply:?}");
        }
        let slot = front.ask("CLUSTER KEYSLOT {s}").as_integer().unwrap();
        let slot = u16::try_from(slot).unwrap();
        let to = (cluster.owner_of(slot) + 1) % 3;
        cluster.begin_move(slot, to);
        cluster.move_keys(slot, to, &THERE);
        Frozen { cluster, front, slot, to }
    }

    fn thaw(&self) {
        self.cluster.end_move(self.slot, self.to);
    }
}

#[test]
fn one_key_is_found_on_either_side() {
    let frozen = Frozen::start();
    for version in [Version::Resp2, Version::Resp3] {
        let mut client = frozen.front.client(version);
        for key in ["{s}here1", "{s}there1", "{s}here2", "{s}there2"] {
            assert_eq!(client.ask(&format!("GET {key}")).unwrap(), Frame::bulk(key));
        }
        assert!(client.ask("GET {s}missing").unwrap().is_null());
        let pipelined =
            ["SET {s}here3 a", "GET {s}here3", "SET {s}there3 b", "GET {s}there3", "INCR {s}count"];
        let replies = client.ask_all(&pipelined).unwrap();
        assert_eq!(replies[..4], [ok(), Frame::bulk("a"), ok(), Frame::bulk("b")]);
        let counted = if version == Version::Resp2 { 1 } else { 2 };
        assert_eq!(replies[4], Frame::Integer(counted), "a new key is made once, on the other side");
    }
    frozen.thaw();
    assert_eq!(frozen.front.ask("GET {s}count"), Frame::bulk("2"));
}

#[test]
fn many_keys_on_both_sides_are_asked_key_by_key() {
    let frozen = Frozen::start();
    for version in [Version::Resp2, Version::Resp3] {
        let mut client = frozen.front.client(version);
        let got = client.ask("MGET {s}here1 {s}there1 {s}missing {s}there2 {s}here2 other").unwrap();
        assert_eq!(texts(&got), ["{s}here1", "{s}there1", "nil", "{s}there2", "{s}here2", "nil"]);
        assert_eq!(client.ask("EXISTS {s}here1 {s}there1 {s}missing other").unwrap(), Frame::Integer(2));
        assert_eq!(client.ask("MSET {s}here3 x {s}there3 y {s}new z other2 w").unwrap(), ok());
        assert_eq!(
            texts(&client.ask("MGET {s}here3 {s}there3 {s}new other2").unwrap()),
            ["x", "y", "z", "w"]
        );
        assert_eq!(client.ask("DEL {s}here3 {s}there3 {s}new {s}missing other2").unwrap(), Frame::Integer(4));
        assert_eq!(client.ask("EXISTS {s}here3 {s}there3 {s}new other2").unwrap(), Frame::Integer(0));
    }
    frozen.thaw();
    let got = frozen.front.ask("MGET {s}here1 {s}there1 {s}here3 {s}there3");
    assert_eq!(texts(&got), ["{s}here1", "{s}there1", "nil", "nil"]);
}

#[test]
fn what_needs_both_sides_at_once_is_answered_when_the_move_ends() {
    let frozen = Frozen::start();
    let mut waiting: Vec<_> = [
        vec!["SUNION {s}sethere {s}setthere"],
        vec!["RENAME {s}old {s}stay"],
        vec!["MULTI", "SET {s}here2 1", "SET {s}there2 2", "MGET {s}here2 {s}there2", "EXEC"],
        vec!["RENAMENX {s}here1 {s}there1"],
        vec!["COPY {s}there1 {s}fresh"],
    ]
    .into_iter()
    .map(|requests| {
        let mut client = frozen.front.client(Version::Resp2);
        client.send(&requests).unwrap();
        (client, requests.len())
    })
    .collect();
    // Whoever waits holds up nobody else.
    assert_eq!(frozen.front.ask("GET {s}here3"), Frame::bulk("{s}here3"));
    assert_eq!(frozen.front.ask("GET {s}there3"), Frame::bulk("{s}there3"));
    frozen.thaw();
    let last: Vec<Frame> = waiting
        .iter_mut()
        .map(|(client, count)| {
            (1..*count).for_each(|_| drop(client.reply().unwrap()));
            client.reply().unwrap()
        })
        .collect();
    assert_eq!(last[0].as_array().map(<[Frame]>::len), Some(2), "{:?}", last[0]);
    assert_eq!(last[1], ok());
    let executed = last[2].as_array().unwrap_or_else(|| panic!("{:?}", last[2]));
    assert_eq!(texts(&executed[2]), ["1", "2"]);
    assert_eq!(last[3..], [Frame::Integer(0), Frame::Integer(1)]);
    assert_eq!(frozen.front.ask("GET {s}stay"), Frame::bulk("{s}old"));
}

#[test]
fn a_transaction_on_one_side_runs_there() {
    let frozen = Frozen::start();
    for (side, version) in [("here", Version::Resp2), ("there", Version::Resp3)] {
        let mut client = frozen.front.client(version);
        let requests = [
            "MULTI".to_owned(),
            format!("SET {{s}}{side}1 1"),
            format!("INCR {{s}}{side}1"),
            format!("MGET {{s}}{side}1 {{s}}{side}2"),
            "EXEC".to_owned(),
        ];
        let executed = client.ask_all(&requests).unwrap().remove(4);
        let replies = executed.as_array().unwrap_or_else(|| panic!("{side}: {executed:?}"));
        assert_eq!(replies[1], Frame::Integer(2), "{side}");
        assert_eq!(texts(&replies[2]), ["2".to_owned(), format!("{{s}}{side}2")]);
    }
    frozen.thaw();
    assert_eq!(texts(&frozen.front.ask("MGET {s}here1 {s}there1")), ["2", "2"]);
}

#[test]
fn a_watched_key_on_either_side_is_watched() {
    let frozen = Frozen::start();
    for key in ["{s}here1", "{s}there1"] {
        let mut client = frozen.front.client(Version::Resp2);
        assert_eq!(client.ask(&format!("WATCH {key}")).unwrap(), ok());
        assert_eq!(frozen.front.ask(&format!("SET {key} changed")), ok());
        let block = ["MULTI".to_owned(), format!("SET {key} mine"), "EXEC".to_owned()];
        let executed = client.ask_all(&block).unwrap().remove(2);
        assert!(executed.is_null(), "{key}: {executed:?}");
        assert_eq!(frozen.front.ask(&format!("GET {key}")), Frame::bulk("changed"));
    }
}

/// A value that is not waited for but streams.
const LARGE: usize = 300_000;

#[test]
fn large_values_are_written_wherever_their_slot_is_on_its_way() {
    let cluster = RealCluster::start(3);
    let patient = ["--hold-ms-max", "20000", "--request-timeout-ms", "40000"];
    let front = Front::of_cluster(&cluster.address(0), &patient);
    let keys = ["{s}a", "{s}b", "{s}c"];
    let slot = front.ask("CLUSTER KEYSLOT {s}").as_integer().unwrap();
    let slot = u16::try_from(slot).unwrap();
    let to = (cluster.owner_of(slot) + 1) % 3;
    let mut clients = [Version::Resp2, Version::Resp3].map(|version| front.client(version));
    let mut round = 0;
    let mut write_all = || {
        round += 1;
        for (number, client) in clients.iter_mut().enumerate() {
            let value = "v".repeat(LARGE + round);
            let fresh = format!("{{s}}fresh{number}:{round}");
            for key in keys.iter().copied().chain([fresh.as_str()]) {
                let replies =
                    client.ask_all(&[format!("SET {key} {value}"), format!("STRLEN {key}")]).unwrap();
                let len = i64::try_from(LARGE + round).unwrap();
                assert_eq!(replies, [ok(), Frame::Integer(len)], "{key} in round {round}");
            }
        }
    };
    write_all();
    cluster.begin_move(slot, to);
    write_all();
    for key in keys {
        cluster.move_keys(slot, to, &[key]);
        write_all();
    }
    cluster.end_move(slot, to);
    write_all();
    let (_, metrics) = front.get("/metrics");
    let streamed = format!("slotway_proxy_requests_streamed_total {}\n", 2 * 4 * round);
    assert!(metrics.contains(&streamed), "{metrics}");
}
