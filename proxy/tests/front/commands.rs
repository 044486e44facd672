//! Requests over one and several slots, in front of three redis-servers.

use crate::{
    backend::Redis,
    front::Front,
    peer::{Peer, words},
};

/// Three redis-servers behind a proxy.
pub(crate) struct Three {
    pub(crate) servers: Vec<Redis>,
    pub(crate) front: Front,
}

impl Three {
    pub(crate) fn start() -> Three {
        Three::with(&[])
    }

    pub(crate) fn with(settings: &[(&str, &str)]) -> Three {
        let servers: Vec<Redis> = (0..3).map(|_| Redis::start()).collect();
        let ports: Vec<u16> = servers.iter().map(|server| server.port).collect();
        Three { servers, front: Front::with(&ports, settings) }
    }

    pub(crate) fn client(&self) -> Peer {
        self.front.client()
    }
}

/// `MSET k0 v0 k1 v1 ...`
pub(crate) fn mset(count: usize) -> String {
    (0..count).fold("MSET".to_owned(), |line, number| format!("{line} k{number} v{number}"))
}

#[test]
fn requests_over_many_slots_are_answered_in_the_order_of_their_keys() {
    let three = Three::start();
    let mut client = three.client();
    client.check("GET k1", "nil");
    client.check(&mset(100), "+OK");
    for server in &three.servers {
        let keys = server.client().ask("DBSIZE");
        assert!(keys != ":0" && keys != ":100", "the keys are spread: {keys}");
    }
    let get = (0..100).rev().fold("MGET".to_owned(), |line, number| format!("{line} k{number}"));
    let values: Vec<String> = (0..100).rev().map(|number| format!("v{number}")).collect();
    client.check(&get, &format!("[{}]", values.join(" ")));
    client.check_all(&[
        ("MGET k1 k1 none k2 k1 none", "[v1 v1 nil v2 v1 nil]"),
        ("MGET none", "[nil]"),
        ("EXISTS k1 k1 k2 none k3", ":4"),
        ("TOUCH k1 k2 none k3", ":3"),
        ("DEL k1 k1 k2 none", ":2"),
        ("UNLINK k3 k3 k4 k5 none", ":3"),
        ("MSET k1 a k2 b k1 c", "+OK"),
        ("MGET k1 k2", "[c b]"),
        ("INCR n", ":1"),
        ("SET k1 d GET", "c"),
        ("HSET {h}x f v", ":1"),
        ("COPY {h}x {h}y", ":1"),
        ("HGETALL {h}y", "[f v]"),
    ]);
}

#[test]
fn a_null_in_resp3_stays_one() {
    let three = Three::start();
    let mut client = three.client();
    client.ask("HELLO 3");
    client.check_all(&[
        ("MSET a 1 b 2 c 3", "+OK"),
        ("MGET a none b c", "[1 _ 2 3]"),
        ("HSET h f v", ":1"),
        ("HGETALL h", "{f=v}"),
        ("DEL a b c h", ":4"),
    ]);
}

#[test]
fn what_must_be_atomic_over_several_slots_is_refused_with_the_ways_out() {
    let three = Three::start();
    let mut client = three.client();
    let refused = "-CROSSSLOT Keys in request don't hash to the same slot (a, b); \
                   use a database from 1 to 15, a hash tag or a placement rule";
    client.check_all(&[
        ("SET a 1", "+OK"),
        ("MSETNX a 1 b 2", refused),
        ("RENAME a b", refused),
        ("COPY a b", refused),
        ("RENAMENX {t}a {t}b", "-ERR no such key"),
        ("MSETNX {t}a 1 {t}b 2", ":1"),
        ("RENAME {t}a {t}c", "+OK"),
        ("MGET {t}a {t}b {t}c a b", "[nil 2 1 1 nil]"),
    ]);
}

#[test]
fn errors_are_rediss_own() {
    let three = Three::start();
    let (mut client, mut redis) = (three.client(), three.servers[0].client());
    for line in [
        "NOSUCH a b",
        "GET",
        "GET a b",
        "MGET",
        "MSET a",
        "MSET a 1 b",
        "DEL",
        "SELECT x",
        "SELECT 16",
        "SCAN x",
        "CLIENT NOSUCH",
        "CONFIG GET",
        "HELLO 4",
        "HELLO x",
        "ECHO",
        "PING a b",
        "SET a",
        "SET a 1 NOSUCH",
        "INCRBY a x",
        "CLIENT REPLY MAYBE",
        "CLIENT SETNAME a\nb",
        "COMMAND GETKEYS",
        "OBJECT NOSUCH a",
    ] {
        let reply = client.ask(line);
        assert!(reply.starts_with('-'), "{line}: {reply}");
        assert_eq!(reply, redis.ask(line), "{line}");
    }
    client.check("SWAPDB 0 1", "-ERR SWAPDB is not available through a proxy yet");
    client.check("PING", "+PONG");
}

#[test]
fn large_values_travel_whole() {
    let three = Three::start();
    let mut client = three.client();
    for size in [1, 63_000, 64 * 1024, 1_000_003, 20_000_000] {
        let value = "v".repeat(size);
        client.check_all(&[
            (&format!("SET big{size} {value}"), "+OK"),
            (&format!("STRLEN big{size}"), &format!(":{size}")),
            (&format!("GET big{size}"), &value),
            ("ECHO after", "after"),
        ]);
    }
    assert_eq!(words("a b"), ["a", "b"]);
}
