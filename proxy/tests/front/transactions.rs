//! MULTI and EXEC: collected by the proxy, run by one node as one piece.

use crate::{
    backend::Redis,
    commands::Three,
    front::Front,
    keys::key_of,
    peer::{Peer, until},
    scripts::{ABORTED, read_all},
};

/// Proxy and redis-server are told the same and say the same.
#[track_caller]
fn check_as_redis(lines: &[&str]) {
    let three = Three::start();
    let redis = Redis::start();
    for version in ["HELLO 2", "HELLO 3"] {
        let (mut client, mut direct) = (three.client(), redis.client());
        client.ask(version);
        direct.ask(version);
        for line in lines {
            assert_eq!(client.ask(line), direct.ask(line), "{line} after {version}");
        }
    }
}

#[test]
fn a_transaction_is_answered_as_by_redis() {
    check_as_redis(&[
        "FLUSHALL",
        "MULTI",
        "SET {t}a 1",
        "INCR {t}a",
        "HSET {t}h f v",
        "HGETALL {t}h",
        "GET {t}none",
        "LPOP {t}a",
        "GET {t}a",
        "EXEC",
        "GET {t}a",
        "MULTI",
        "EXEC",
        "EXEC",
        "DISCARD",
        "MULTI",
        "SET {t}a 5",
        "DISCARD",
        "GET {t}a",
        "UNWATCH",
        "MULTI",
        "MULTI",
        "WATCH a",
        "SET {t}a 7",
        "EXEC",
        "GET {t}a",
    ]);
}

#[test]
fn a_command_that_cannot_be_queued_aborts_the_transaction() {
    check_as_redis(&[
        "SET {t}a 1",
        "MULTI",
        "SET {t}a 2",
        "NOSUCH a b",
        "SET {t}a 3",
        "EXEC",
        "GET {t}a",
        "MULTI",
        "GET",
        "PING",
        "EXEC",
        "MULTI",
        "CONFIG NOSUCH",
        "DISCARD",
        "MULTI",
        "SET {t}a 9",
        "DISCARD x",
        "MULTI",
        "EXEC x",
        "GET {t}a",
        "EXEC",
        "EXEC x",
        "MULTI",
        "SET {t}a 4",
        "SET {t}a",
        "RESET",
        "EXEC",
        "GET {t}a",
    ]);
}

#[test]
fn what_the_proxy_answers_itself_runs_in_its_place_among_the_others() {
    check_as_redis(&[
        "SET {t}a 1",
        "MULTI",
        "PING",
        "ECHO hello",
        "INCR {t}a",
        "PING there",
        "PING a b",
        "SELECT 99",
        "SELECT x",
        "CLIENT SETNAME before",
        "CLIENT GETNAME",
        "MGET {t}a {t}a",
        "CLIENT SETNAME after",
        "UNWATCH",
        "AUTH x",
        "CLIENT NO-EVICT on",
        "CLIENT GETNAME",
        "EXEC",
        "CLIENT GETNAME",
        "MULTI",
        "PING",
        "CLIENT SETNAME alone",
        "CLIENT GETNAME",
        "EXEC",
        "CLIENT GETNAME",
        "MULTI",
        "CLIENT SETNAME never",
        "SET a",
        "EXEC",
        "CLIENT GETNAME",
    ]);
}

#[test]
fn the_replies_of_a_pipeline_come_in_order() {
    let three = Three::start();
    let mut client = three.client();
    for round in 0..50 {
        client.send(&[
            "SET {t}n 0",
            "GET other",
            "MULTI",
            "INCR {t}n",
            "PING",
            "INCR {t}n",
            "EXEC",
            "GET {t}n",
            "MGET a b c",
            "MULTI",
            "CLIENT SETNAME x",
            "SET {t}n done",
            "EXEC",
            "CLIENT GETNAME",
            "GET {t}n",
            "CLIENT SETNAME y",
        ]);
        assert_eq!(
            read_all(&mut client, 16),
            "+OK nil +OK +QUEUED +QUEUED +QUEUED [:1 +PONG :2] 2 [nil nil nil] +OK +QUEUED +QUEUED [+OK +OK] x done +OK",
            "round {round}"
        );
    }
}

#[test]
fn keys_of_one_transaction_lie_in_one_slot() {
    let three = Three::start();
    let mut client = three.client();
    let refused = "-CROSSSLOT Keys in request don't hash to the same slot (a, b); \
                   use a database from 1 to 15, a hash tag or a placement rule";
    client.check_all(&[
        ("MULTI", "+OK"),
        ("SET a 1", "+QUEUED"),
        ("SET b 1", "+QUEUED"),
        ("SET a 2", "+QUEUED"),
        ("EXEC", refused),
        ("EXISTS a b", ":0"),
        ("EXEC", "-ERR EXEC without MULTI"),
        ("MULTI", "+OK"),
        ("MGET a b", refused),
        ("SET a 1", "+QUEUED"),
        ("EXEC", ABORTED),
        ("EXISTS a", ":0"),
        ("MULTI", "+OK"),
        ("MSET {t}a 1 {t}b 2", "+QUEUED"),
        ("DEL {t}a {t}b none{t}", "+QUEUED"),
        ("EXEC", "[+OK :2]"),
    ]);
}

#[test]
fn in_a_whole_database_a_transaction_has_any_keys_and_commands_over_all_of_them() {
    let three = Three::start();
    let mut client = three.client();
    client.check_all(&[
        ("SELECT 3", "+OK"),
        ("MULTI", "+OK"),
        ("MSET a 1 b 2 c 3", "+QUEUED"),
        ("RENAME a d", "+QUEUED"),
        ("DBSIZE", "+QUEUED"),
        ("FLUSHDB", "+QUEUED"),
        ("SET only 1", "+QUEUED"),
        ("KEYS *", "+QUEUED"),
        ("RANDOMKEY", "+QUEUED"),
        ("SCAN 0", "+QUEUED"),
        ("EXEC", "[+OK +OK :3 +OK +OK [only] only [0 [only]]]"),
        ("DBSIZE", ":1"),
        ("SELECT 0", "+OK"),
        ("DBSIZE", ":0"),
    ]);
}

#[test]
fn a_transaction_may_select_its_database_and_has_only_one() {
    let three = Three::start();
    let mut client = three.client();
    client.check_all(&[
        ("MULTI", "+OK"),
        ("SELECT 5", "+QUEUED"),
        ("SET a 5", "+QUEUED"),
        ("SET b 5", "+QUEUED"),
        ("EXEC", "[+OK +OK +OK]"),
        ("MGET a b", "[5 5]"),
        ("SELECT 0", "+OK"),
        ("MGET a b", "[nil nil]"),
        ("MULTI", "+OK"),
        ("SET a 0", "+QUEUED"),
        ("SELECT 5", "+QUEUED"),
        ("SET b 0", "+QUEUED"),
    ]);
    assert!(client.ask("EXEC").starts_with("-CROSSSLOT "));
    client.check_all(&[("GET a", "nil"), ("SELECT 5", "+OK"), ("GET b", "5")]);
    client.send(&["SELECT 0", "MULTI", "SELECT 5", "EXEC", "GET b"]);
    assert_eq!(read_all(&mut client, 5), "+OK +OK +QUEUED [+OK] 5");
}

#[test]
fn what_cannot_be_atomic_is_refused_at_once() {
    let three = Three::start();
    let mut client = three.client();
    let name = |name: &str| {
        format!("-ERR '{name}' concerns every shard and cannot be atomic with other commands through a proxy")
    };
    let not_allowed = "-ERR Command not allowed inside a transaction";
    let text = |line: &str, expected: &str, client: &mut Peer| {
        client.check_all(&[("MULTI", "+OK"), (line, expected), ("SET a 1", "+QUEUED"), ("EXEC", ABORTED)]);
    };
    for line in ["DBSIZE", "KEYS *", "SCAN 0", "RANDOMKEY", "FLUSHALL", "FLUSHDB"] {
        text(line, &name(&line.split(' ').next().unwrap().to_lowercase()), &mut client);
    }
    text("INFO", &name("info"), &mut client);
    text("CONFIG GET maxclients", &name("config|get"), &mut client);
    for line in ["HELLO 3", "CLIENT REPLY OFF", "CLIENT LIST", "CLIENT KILL ID 1"] {
        text(line, not_allowed, &mut client);
    }
    client.check("GET a", "nil");
}

#[test]
fn a_lone_shard_runs_them_all() {
    let redis = Redis::start();
    let front = Front::of(&[redis.port]);
    front.client().check_all(&[
        ("SET old 1", "+OK"),
        ("MULTI", "+OK"),
        ("DBSIZE", "+QUEUED"),
        ("FLUSHALL", "+QUEUED"),
        ("SET a 1", "+QUEUED"),
        ("KEYS *", "+QUEUED"),
        ("EXEC", "[:1 +OK +OK [a]]"),
    ]);
}

#[test]
fn transactions_of_many_clients_do_not_mix() {
    let three = Three::with(&[("threads", "1")]);
    let mut clients: Vec<Peer> = (0..20).map(|_| three.client()).collect();
    for _ in 0..50 {
        for client in &mut clients {
            client.send(&["MULTI", "INCR {t}n", "INCR {t}n", "INCR {t}m", "EXEC", "INCR {t}x"]);
        }
        for client in &mut clients {
            (0..4).for_each(|_| _ = client.read());
            let reply = client.read();
            let numbers: Vec<i64> = reply
                .trim_matches(['[', ']'])
                .split(' ')
                .map(|number| number[1..].parse().unwrap())
                .collect();
            assert_eq!((numbers[1] - numbers[0], numbers[1]), (1, 2 * numbers[2]), "{reply}");
            client.read();
        }
    }
}

#[test]
fn a_client_that_leaves_between_multi_and_exec_has_changed_nothing() {
    let three = Three::start();
    let mut client = three.client();
    client.check_all(&[("MULTI", "+OK"), ("SET a 1", "+QUEUED")]);
    drop(client);
    until("it has left", || three.front.clients() == 0);
    three.client().check("GET a", "nil");
}

#[test]
fn client_list_shows_who_is_in_a_transaction() {
    let three = Three::start();
    let (mut client, mut other) = (three.client(), three.client());
    client.check_all(&[
        ("CLIENT SETNAME busy", "+OK"),
        ("MULTI", "+OK"),
        ("GET a", "+QUEUED"),
        ("PING", "+QUEUED"),
    ]);
    let list = other.ask("CLIENT LIST");
    let line = list.lines().find(|line| line.contains("name=busy")).unwrap();
    assert!(line.contains(" flags=x ") && line.contains(" multi=2 "), "{line}");
    assert!(!line.contains(" multi-mem=0 "), "{line}");
    until("the metric shows it", || {
        three.front.metric("slotway_proxy_client_buffer_bytes", &[("direction", "queued")]) > 20.0
    });
    let line = list.lines().find(|line| !line.contains("name=busy")).unwrap();
    assert!(line.contains(" flags=N ") && line.contains(" multi=-1 "), "{line}");
}

#[test]
fn replies_can_be_switched_off_around_a_transaction() {
    let three = Three::start();
    let mut client = three.client();
    client.send(&["CLIENT REPLY OFF", "MULTI", "SET {t}a 1", "EXEC", "CLIENT REPLY ON", "GET {t}a"]);
    assert_eq!([client.read(), client.read()], ["+OK", "1"]);
    client.send(&[
        "GET {t}a",
        "CLIENT REPLY SKIP",
        "WATCH {t}a",
        "MULTI",
        "GET {t}a",
        "CLIENT REPLY SKIP",
        "EXEC",
    ]);
    assert_eq!(read_all(&mut client, 4), "1 +OK +QUEUED -ERR Command not allowed inside a transaction");
    assert!(client.read().starts_with("-EXECABORT "));
    client.send(&["MULTI", "CLIENT GETNAME", "INCR {t}a", "EXEC"]);
    assert_eq!(read_all(&mut client, 4), "+OK +QUEUED +QUEUED [nil :2]");
}

#[test]
fn a_transaction_follows_its_slot() {
    let three = Three::start();
    let key = key_of(0, 3, 0);
    let mut client = three.client();
    client.check_all(&[("MULTI", "+OK"), (&format!("SET {key} 1"), "+QUEUED")]);
    // The shards change places while the transaction is collected.
    let ports: Vec<String> =
        three.servers.iter().rev().map(|server| format!("127.0.0.1:{}", server.port)).collect();
    three.front.topology.store(std::sync::Arc::new(crate::front::topology(2, &ports)));
    client.check("EXEC", "[+OK]");
    three.servers[2].client().check(&format!("GET {key}"), "1");
}
