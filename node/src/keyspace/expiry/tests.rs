//! What keys past their deadline are to a replica's clients, to the commands of its primary, and to a promoted replica.

use crate::measure::Alone;

const NOW_MS: u64 = 1_000_000;
const LATER_MS: u64 = NOW_MS + 10_000;

/// A replica that was told of `history`, and asks nobody.
fn replica(history: &[&str]) -> Alone {
    let mut replica = Alone::new();
    replica.follow();
    for request in history {
        tell(&mut replica, request, NOW_MS);
    }
    replica
}

/// A command of the primary.
fn tell(replica: &mut Alone, request: &str, now_ms: u64) {
    let words: Vec<&str> = request.split(' ').collect();
    replica.apply(slotway_resp::OwnedRequest::new(words).view().raw().unwrap(), now_ms);
}

/// What a client is answered, line ends as bars.
fn ask(replica: &mut Alone, request: &str, now_ms: u64) -> String {
    let reply = replica.run(1, &request.split(' ').collect::<Vec<_>>(), now_ms);
    String::from_utf8(reply).unwrap().trim_end().replace("\r\n", "|")
}

fn check(replica: &mut Alone, now_ms: u64, answers: &[(&str, &str)]) {
    for (request, expected) in answers {
        assert_eq!(ask(replica, request, now_ms), *expected, "{request}");
    }
}

const ABSENT: &[(&str, &str)] = &[
    ("GET a", "$-1"),
    ("MGET a b", "*2|$-1|$1|2"),
    ("STRLEN a", ":0"),
    ("EXISTS a a", ":0"),
    ("TOUCH a", ":0"),
    ("TTL a", ":-2"),
    ("PEXPIRETIME a", ":-2"),
    ("TYPE a", "+none"),
    ("OBJECT ENCODING a", "$-1"),
    ("SUNION s t", "*1|$1|y"),
    ("SINTERCARD 2 s t", ":0"),
    ("ZUNION 2 z s", "*0"),
    ("LLEN l", ":0"),
    ("KEYS [at]", "*1|$1|t"),
    ("SCAN 0 COUNT 1000 TYPE set", "*2|$1|0|*1|$1|t"),
];

#[test]
fn to_a_replicas_clients_an_expired_key_is_absent_and_yet_it_stays() {
    let history = [
        "SET a 1 PXAT 1000010",
        "SET b 2",
        "SADD s x",
        "PEXPIREAT s 1000010",
        "SADD t y",
        "ZADD z 1 m",
        "PEXPIREAT z 1000010",
        "RPUSH l e",
        "PEXPIREAT l 1000010",
    ];
    let mut replica = replica(&history);
    check(&mut replica, NOW_MS, &[("GET a", "$1|1"), ("EXISTS a s z l", ":4")]);
    check(&mut replica, LATER_MS, ABSENT);
    replica.expire(LATER_MS);
    check(&mut replica, LATER_MS, &[("DBSIZE", ":6")]);
    for key in ["a", "s", "z", "l"] {
        tell(&mut replica, &format!("DEL {key}"), LATER_MS);
    }
    check(&mut replica, LATER_MS, &[("DBSIZE", ":2")]);
}

#[test]
fn a_random_key_of_a_replica_is_an_expired_one_if_there_is_no_other() {
    let mut replica = replica(&["SET a 1 PXAT 1000010"]);
    check(&mut replica, LATER_MS, &[("RANDOMKEY", "$1|a"), ("DBSIZE", ":1")]);
}

#[test]
fn the_primarys_commands_see_keys_as_they_are() {
    let mut replica = replica(&["SET n 5 PXAT 1000010", "SET m 5", "PEXPIREAT m 1000010"]);
    for request in ["INCR n", "PERSIST n", "APPEND m 0", "PEXPIREAT m 1000020", "RENAME m k"] {
        tell(&mut replica, request, LATER_MS);
    }
    check(&mut replica, LATER_MS, &[("GET n", "$1|6"), ("GET k", "$-1"), ("DBSIZE", ":2")]);
    tell(&mut replica, "PERSIST k", LATER_MS);
    check(&mut replica, LATER_MS, &[("GET k", "$2|50")]);
}

#[test]
fn a_watched_key_that_expires_on_a_replica_has_changed() {
    let mut replica = replica(&["SET a 1 PXAT 1000010", "SET b 2"]);
    let history = [("WATCH a", "+OK"), ("MULTI", "+OK"), ("GET b", "+QUEUED")];
    check(&mut replica, NOW_MS, &history);
    check(&mut replica, LATER_MS, &[("EXEC", "*-1")]);
    // What was gone before it was watched has not.
    check(&mut replica, LATER_MS, &history);
    check(&mut replica, LATER_MS, &[("EXEC", "*1|$1|2")]);
    check(&mut replica, LATER_MS, &history);
    tell(&mut replica, "SET a 2", LATER_MS);
    check(&mut replica, LATER_MS, &[("EXEC", "*-1")]);
}

#[test]
fn a_promoted_replica_deletes_what_has_expired_and_tells_it() {
    let mut replica = replica(&["SET a 1 PXAT 1000010", "SET b 2 PXAT 1000010", "SET c 3"]);
    assert!(replica.fed().is_empty(), "a replica tells nothing of its own");
    check(&mut replica, LATER_MS, &[("GET a", "$-1")]);
    replica.lead();
    check(&mut replica, LATER_MS, &[("GET a", "$-1"), ("DBSIZE", ":2")]);
    assert_eq!(replica.fed(), b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*2\r\n$3\r\nDEL\r\n$1\r\na\r\n");
    replica.expire(NOW_MS + 100_000);
    assert_eq!(replica.fed(), b"*2\r\n$3\r\nDEL\r\n$1\r\nb\r\n");
}

#[test]
fn a_replica_evicts_nothing_and_refuses_nothing_unless_it_is_told_to() {
    let mut replica = replica(&["SET a 1", "SET b 2"]);
    // The allocator of a test counts nothing: so many bytes more were freed than were promised, and are missing.
    replica.node().memory.freed.keep(1000);
    let limits = [("CONFIG SET maxmemory 1 maxmemory-policy allkeys-random", "+OK"), ("DBSIZE", ":2")];
    check(&mut replica, NOW_MS, &limits);
    check(&mut replica, NOW_MS, &[("CONFIG SET replica-ignore-maxmemory no", "+OK"), ("PING", "+PONG")]);
    check(&mut replica, NOW_MS, &[("DBSIZE", ":0")]);
    assert!(replica.fed().is_empty(), "nor is that told");
}
