//! `--cluster`: a Redis Cluster looks like one server of one database to a plain client.

use std::collections::BTreeSet;

use slotway_resp::{Frame, Version};
use slotway_tests::front::Front;
use slotway_tests::real_cluster::RealCluster;

use crate::{ok, texts, walk};

const KEYS: usize = 20_000;

/// Keys of one MSET.
const AT_ONCE: usize = 500;

#[test]
fn a_cluster_looks_like_one_server_of_one_database() {
    let cluster = RealCluster::start(3);
    let front = Front::of_cluster(&cluster.address(0), &[]);
    for version in [Version::Resp2, Version::Resp3] {
        let mut client = front.client(version);
        assert_eq!(client.ask("SELECT 0").unwrap(), ok());
        let refused = client.ask("SELECT 1").unwrap();
        assert_eq!(
            refused.as_error(),
            Some(&b"ERR SELECT is not allowed in cluster mode"[..]),
            "{refused:?}"
        );
        assert_eq!(client.ask("MSET a 1 b 2 c 3 d 4").unwrap(), ok());
        assert_eq!(texts(&client.ask("MGET d c nothing b a").unwrap()), ["4", "3", "nil", "2", "1"]);
        assert_eq!(client.ask("EXISTS a b c d nothing").unwrap(), Frame::Integer(4));
        assert_eq!(client.ask("DEL a b nothing").unwrap(), Frame::Integer(2));
        let crossing = client.ask("RENAME c d").unwrap();
        assert!(crossing.as_error().unwrap().starts_with(b"CROSSSLOT"), "{crossing:?}");
        let block = ["MULTI", "INCR {t}1", "INCR {t}2", "EXEC"];
        let executed = client.ask_all(&block).unwrap().remove(3);
        assert_eq!(executed.as_array().map(<[Frame]>::len), Some(2), "{executed:?}");
        assert_eq!(client.ask("HGETALL {t}h").unwrap().as_array().is_none(), version == Version::Resp3);
    }
    let mut seen = BTreeSet::new();
    for index in 0..3 {
        let size = cluster.server(index).must("DBSIZE").as_integer().unwrap();
        seen.insert(size > 0);
    }
    assert!(seen.contains(&true));
}

#[test]
fn every_shard_is_asked_for_what_concerns_all_keys() {
    let cluster = RealCluster::start(3);
    let front = Front::of_cluster(&cluster.address(4), &[]);
    let mut client = front.client(Version::Resp2);
    let keys: Vec<String> = (0..KEYS).map(|index| format!("key:{index}")).collect();
    for some in keys.chunks(AT_ONCE) {
        let pairs: Vec<String> = some.iter().map(|key| format!("{key} value")).collect();
        assert_eq!(client.ask(&format!("MSET {}", pairs.join(" "))).unwrap(), ok());
    }
    assert_eq!(client.ask("DBSIZE").unwrap().as_integer(), i64::try_from(KEYS).ok());
    let all: BTreeSet<String> = keys.into_iter().collect();
    for version in [Version::Resp2, Version::Resp3] {
        let met = walk(&mut front.client(version));
        assert_eq!(met.len(), KEYS, "SCAN met a key twice");
        assert!(met.into_iter().collect::<BTreeSet<_>>() == all, "SCAN met other keys");
    }
    let listed: BTreeSet<String> = texts(&client.ask("KEYS key:*").unwrap()).into_iter().collect();
    assert!(listed == all, "KEYS lists {} of {KEYS}", listed.len());
    let drawn = client.ask("RANDOMKEY").unwrap();
    assert!(drawn.as_str().is_some_and(|key| all.contains(key)), "{drawn:?}");
    assert_eq!(client.ask("FLUSHALL").unwrap(), ok());
    assert_eq!(client.ask("DBSIZE").unwrap(), Frame::Integer(0));
    for index in cluster.masters() {
        assert_eq!(cluster.server(index).must("DBSIZE"), Frame::Integer(0));
    }
}

#[test]
fn a_proxy_may_start_before_its_cluster_exists() {
    let mut cluster = RealCluster::unformed(6);
    let front =
        Front::of_cluster(&cluster.address(2), &["--hold-ms-max", "60000", "--request-timeout-ms", "90000"]);
    let mut client = front.client(Version::Resp2);
    client.send(&["SET early bird", "GET early", "MGET early late"]).unwrap();
    assert_eq!(front.ask("PING"), Frame::Simple(b"PONG".to_vec()));
    cluster.form();
    assert_eq!(client.reply().unwrap(), ok());
    assert_eq!(client.reply().unwrap(), Frame::bulk("bird"));
    assert_eq!(texts(&client.reply().unwrap()), ["bird", "nil"]);
}
