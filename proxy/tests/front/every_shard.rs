//! What concerns every shard: counted, listed, scanned, emptied.

use std::collections::{BTreeMap, BTreeSet};

use slotway_resp::Frame;

use crate::{
    commands::{Three, mset},
    peer::{Peer, shown},
};

/// All keys that a scan with these options returns, each as often as it came.
fn scan(client: &mut Peer, options: &str) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    let mut cursor = "0".to_owned();
    loop {
        client.send(&[&format!("SCAN {cursor}{options}")]);
        let page = client.frame();
        let Some([next, Frame::Array(keys)]) = page.as_array() else { panic!("{page:?}") };
        keys.iter().for_each(|key| *seen.entry(shown(key)).or_default() += 1);
        cursor = shown(next);
        if cursor == "0" {
            return seen;
        }
        assert!(cursor.parse::<u64>().unwrap() < 1 << 53, "{cursor}");
    }
}

fn expected(count: usize) -> BTreeMap<String, usize> {
    (0..count).map(|number| (format!("k{number}"), 1)).collect()
}

#[test]
fn a_scan_returns_every_key_once() {
    let three = Three::start();
    let mut client = three.client();
    assert!(scan(&mut client, "").is_empty());
    client.check(&mset(1000), "+OK");
    client.check("HSET hash f v", ":1");
    let with_hash = |mut keys: BTreeMap<String, usize>| {
        keys.insert("hash".to_owned(), 1);
        keys
    };
    assert_eq!(scan(&mut client, ""), with_hash(expected(1000)));
    assert_eq!(scan(&mut client, " COUNT 1000"), with_hash(expected(1000)));
    assert_eq!(scan(&mut client, " COUNT 1"), with_hash(expected(1000)));
    assert_eq!(scan(&mut client, " TYPE string"), expected(1000));
    assert_eq!(scan(&mut client, " MATCH k1?").len(), 10);
    assert_eq!(scan(&mut client, " MATCH h* TYPE hash COUNT 5").len(), 1);
    client.ask("HELLO 3");
    assert_eq!(scan(&mut client, ""), with_hash(expected(1000)));
    // A cursor that no scan gives is the end, not an error.
    client.check("SCAN 18446744073709551615", "[0 []]");
}

#[test]
fn all_shards_are_counted_listed_and_emptied_together() {
    let three = Three::start();
    let mut client = three.client();
    client.check_all(&[
        ("DBSIZE", ":0"),
        ("KEYS *", "[]"),
        ("RANDOMKEY", "nil"),
        (&mset(200), "+OK"),
        ("DBSIZE", ":200"),
    ]);
    client.send(&["KEYS *"]);
    let frame = client.frame();
    let keys: BTreeSet<String> = frame.as_array().unwrap().iter().map(shown).collect();
    assert_eq!(keys, expected(200).into_keys().collect());
    client.send(&["KEYS k19?"]);
    assert_eq!(client.frame().as_array().unwrap().len(), 10);
    client.check_all(&[
        ("FLUSHDB", "+OK"),
        ("DBSIZE", ":0"),
        ("SET a 1", "+OK"),
        ("FLUSHALL ASYNC", "+OK"),
        ("DBSIZE", ":0"),
    ]);
    for server in &three.servers {
        server.client().check("DBSIZE", ":0");
    }
}

#[test]
fn every_key_is_as_likely_to_be_the_random_one() {
    let three = Three::start();
    let mut client = three.client();
    // One shard holds a single key, another none.
    client.check("MSET {a}0 x {a}1 x {a}2 x {a}3 x {a}4 x {a}5 x {a}6 x {b}0 x", "+OK");
    let draws = 8000;
    client.send(&vec!["RANDOMKEY"; draws]);
    let mut drawn: BTreeMap<String, usize> = BTreeMap::new();
    (0..draws).for_each(|_| *drawn.entry(client.read()).or_default() += 1);
    assert_eq!(drawn.len(), 8, "{drawn:?}");
    // 1,000 each on average; Redis's own choice within a shard is not quite uniform.
    assert!(drawn.values().all(|count| (500..1700).contains(count)), "{drawn:?}");
}
