//! Large replies of every shard that make one: KEYS leaves as it comes.

use std::io::Read;

use crate::{
    backend::{Fake, bulk},
    front::Front,
    large::{buffered, in_halves, take, torn},
    peer::until,
    scripts::Gate,
};

/// Nodes that answer KEYS with `count` keys each, in two halves.
fn keyed(count: usize, gates: &[Gate]) -> Vec<Fake> {
    let node = |(number, gate): (usize, &Gate)| {
        let gate = gate.clone();
        Fake::start(move |conn| {
            conn.next();
            let keys: Vec<String> = (0..count).map(|key| bulk(&format!("{number}-{key}"))).collect();
            conn.reply(&format!("*{count}\r\n{}", keys[..count / 2].concat()));
            gate.wait();
            conn.reply(&keys[count / 2..].concat());
            conn.echo();
        })
    };
    gates.iter().enumerate().map(node).collect()
}

#[test]
fn keys_of_all_shards_leave_as_they_come_once_it_is_known_how_many_there_are() {
    let gates = [Gate::default(), Gate::default(), Gate::default()];
    let count = 40_000;
    let nodes = keyed(count, &gates);
    let ports: Vec<u16> = nodes.iter().map(|node| node.port).collect();
    let front = Front::with(&ports, &[("threads", "1")]);
    let mut client = front.client();
    client.send(&["KEYS *", "PING"]);
    // Half of the keys come although no shard has sent all.
    let head = format!("*{}\r\n", 3 * count);
    let half = 3 * (0..count / 2).map(|key| bulk(&format!("0-{key}")).len()).sum::<usize>();
    let mut received = take(&mut client, head.len() + half - 3 * 64);
    assert!(received.starts_with(head.as_bytes()));
    gates.iter().for_each(Gate::open);
    let whole = 3 * (0..count).map(|key| bulk(&format!("0-{key}")).len()).sum::<usize>();
    let rest = head.len() + whole - received.len();
    received.extend_from_slice(&take(&mut client, rest));
    let text = String::from_utf8(received).unwrap();
    let mut keys: Vec<&str> = text.lines().filter(|line| line.contains('-')).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 3 * count, "every key once");
    assert_eq!(client.read(), "+PONG");
    until("nothing waits", || buffered(&front) == 0.0);
}

#[test]
fn keys_of_which_a_shard_is_lost_are_asked_again_or_end_the_connection() {
    // One node has not said how many keys it has when another breaks: nobody has heard anything.
    let gate = Gate::default();
    let half = format!("*2000\r\n{}", bulk("a-key-that-is-not-short").repeat(1999));
    let breaking = |begun: String, gate: Gate| {
        Fake::start(move |conn| match conn.number {
            0 => {
                conn.next();
                conn.reply(&begun);
                gate.wait();
            }
            _ => {
                while conn.next().is_some() {
                    conn.reply("*1\r\n+again\r\n");
                }
            }
        })
    };
    let late = Gate::default();
    let (broken, slow) = (breaking(half.clone(), gate.clone()), in_halves("", 0, "*1\r\n+late\r\n", &late));
    let small = [("shared-reply-bytes-max", "1kb"), ("threads", "1")];
    let front = Front::with(&[broken.port, slow.port], &small);
    let mut client = front.client();
    client.send(&["KEYS *"]);
    until("a part waits", || buffered(&front) > 1000.0);
    gate.open();
    until("it was asked again", || broken.count("KEYS *") == 2);
    late.open();
    assert_eq!((client.read().as_str(), torn(&front)), ("[+again +late]", 0.0));
    // All have said so.
    let gate = Gate::default();
    let (broken, other) = (breaking(half, gate.clone()), in_halves("*1\r\n+b\r\n", 1, "+ok\r\n", &gate));
    let front = Front::with(&[broken.port, other.port], &small);
    let mut client = front.client();
    client.send(&["KEYS *"]);
    assert_eq!(take(&mut client, 7), b"*2001\r\n");
    gate.open();
    until("it is closed", || torn(&front) == 1.0);
    let mut rest = Vec::new();
    // Nothing but elements comes behind the first line.
    let _ = client.stream.read_to_end(&mut rest);
    assert!(!rest.windows(6).any(|bytes| bytes == b"+again"));
    assert_eq!(broken.count("KEYS *"), 1);
}

#[test]
fn an_error_of_one_shard_is_the_answer_however_much_the_others_send() {
    let gate = Gate::default();
    let begun = format!("*3\r\n$200000\r\n{}\r\n", "k".repeat(200_000));
    let behind = gate.clone();
    let node = Fake::start(move |conn| {
        conn.next();
        conn.reply(&begun);
        behind.wait();
        conn.reply("+a\r\n+b\r\n");
        conn.echo();
    });
    let refusing = Fake::start(|conn| {
        while conn.next().is_some() {
            conn.reply("-ERR not today\r\n");
        }
    });
    let front = Front::with(&[node.port, refusing.port], &[("threads", "1")]);
    let mut client = front.client();
    client.send(&["KEYS *", "PING"]);
    until("a part waits", || buffered(&front) > 200_000.0);
    gate.open();
    assert_eq!((client.read().as_str(), client.read().as_str()), ("-ERR not today", "+PONG"));
    until("nothing waits", || buffered(&front) == 0.0);
}
