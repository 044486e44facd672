//! Everything that a node holds, as text: keys with type, deadline and value, of all databases.
//!
//! Not how values are encoded: what is left of a large SPOP is packed where it was taken, and not where it is replayed.

use std::collections::BTreeMap;

use slotway_node::measure::Alone;
use slotway_resp::{Frame, Limits};

/// How each type is read as a whole, and whether the order of its elements is its own business.
const READS: &[(&str, &[&str], &[&str], Order)] = &[
    ("string", &["GET"], &[], Order::Meant),
    ("hash", &["HGETALL"], &[], Order::OfPairs),
    ("list", &["LRANGE"], &["0", "-1"], Order::Meant),
    ("set", &["SMEMBERS"], &[], Order::Free),
    ("zset", &["ZRANGE"], &["0", "-1", "WITHSCORES"], Order::Meant),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Meant,
    Free,
    OfPairs,
}

/// By database and key.
pub(crate) type Contents = BTreeMap<(u8, Vec<u8>), String>;

/// What the node holds at this time. Asked by its second client, which leaves its transaction.
pub(crate) fn contents(node: &mut Alone, now_ms: u64) -> Contents {
    let mut found = Contents::new();
    ask(node, &[b"RESET"], now_ms);
    for database in 0..16 {
        ask(node, &[b"SELECT", database.to_string().as_bytes()], now_ms);
        let Frame::Array(keys) = ask(node, &[b"KEYS", b"*"], now_ms) else { panic!("KEYS") };
        for key in keys.iter().filter_map(Frame::as_bytes) {
            found.insert((database, key.to_vec()), value(node, key, now_ms));
        }
    }
    ask(node, &[b"SELECT", b"0"], now_ms);
    found
}

fn value(node: &mut Alone, key: &[u8], now_ms: u64) -> String {
    let kind = ask(node, &[b"TYPE", key], now_ms);
    let kind = String::from_utf8_lossy(kind.as_bytes().unwrap_or_default()).into_owned();
    let (_, before, behind, order) = READS.iter().find(|row| row.0 == kind).expect("a type that has values");
    let words: Vec<&[u8]> = before
        .iter()
        .map(|word| word.as_bytes())
        .chain([key])
        .chain(behind.iter().map(|word| word.as_bytes()))
        .collect();
    let whole = ask(node, &words, now_ms);
    let deadline = ask(node, &[b"PEXPIRETIME", key], now_ms);
    let elements = whole.as_array().map(<[Frame]>::to_vec).unwrap_or_default();
    let mut texts: Vec<String> = match order {
        Order::OfPairs => elements.chunks(2).map(|pair| format!("{pair:?}")).collect(),
        Order::Meant | Order::Free => elements.iter().map(|element| format!("{element:?}")).collect(),
    };
    match order {
        Order::Meant => {}
        Order::Free | Order::OfPairs => texts.sort_unstable(),
    }
    let text = if whole.as_array().is_some() { texts.join(" ") } else { format!("{whole:?}") };
    format!("{kind} until {deadline:?}: {text}")
}

fn ask(node: &mut Alone, words: &[&[u8]], now_ms: u64) -> Frame {
    let reply = node.run(1, words, now_ms);
    let (frame, _) = Frame::parse(&reply, &Limits::REPLY).unwrap().expect("a whole reply");
    frame
}

/// Panics with the first few keys that differ.
pub(crate) fn assert_same(one: &Contents, other: &Contents, why: &str) {
    let keys = one.keys().chain(other.keys());
    let mut wrong: Vec<_> = keys.filter(|key| one.get(key) != other.get(key)).collect();
    wrong.dedup();
    let told: Vec<String> = wrong
        .iter()
        .take(5)
        .map(|key| {
            format!("{} {}:\n  {:?}\n  {:?}", key.0, key.1.escape_ascii(), one.get(key), other.get(key))
        })
        .collect();
    assert!(wrong.is_empty(), "{why}\n{}", told.join("\n"));
}
