//! MULTI and EXEC: collected by the proxy, run by one node as one piece.

use std::time::Duration;

use crate::{
    backend::{Fake, Redis},
    commands::Three,
    front::Front,
    keys::key_of,
    peer::{Peer, until},
};

const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.";
const INDETERMINATE: &str = "-INDETERMINATE the write may or may not have been applied";

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
        let replies: Vec<String> = (0..16).map(|_| client.read()).collect();
        assert_eq!(
            replies.join(" "),
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
    assert_eq!((0..5).map(|_| client.read()).collect::<Vec<_>>().join(" "), "+OK +OK +QUEUED [+OK] 5");
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
    assert_eq!(
        (0..4).map(|_| client.read()).collect::<Vec<_>>().join(" "),
        "1 +OK +QUEUED -ERR Command not allowed inside a transaction"
    );
    assert!(client.read().starts_with("-EXECABORT "));
    client.send(&["MULTI", "CLIENT GETNAME", "INCR {t}a", "EXEC"]);
    assert_eq!((0..4).map(|_| client.read()).collect::<Vec<_>>().join(" "), "+OK +QUEUED +QUEUED [nil :2]");
}

// ---- nodes that misbehave ----

/// A node whose first connection gets a piece of one command and answers this; later connections echo.
fn answering(replies: &'static str) -> Fake {
    Fake::start(move |conn| {
        if conn.number > 0 {
            return conn.echo();
        }
        (0..3).for_each(|_| _ = conn.next());
        conn.reply(replies);
        conn.echo();
    })
}

#[test]
fn the_piece_is_sent_whole_and_only_execs_reply_is_passed_on() {
    let fake = answering("+OK\r\n+QUEUED\r\n*1\r\n+ran\r\n");
    let front = Front::of(&[fake.port]);
    front.client().check_all(&[
        ("MULTI", "+OK"),
        ("SET a 1", "+QUEUED"),
        ("EXEC", "[+ran]"),
        ("GET a", "GET a"),
    ]);
    assert_eq!(fake.log(), ["MULTI", "SET a 1", "EXEC", "GET a"]);
}

#[test]
fn what_a_faulty_node_says_to_a_transaction_is_told_honestly() {
    let unknown = "-ERR unknown command 'MULTI', with args beginning with: ";
    for (replies, told) in [
        ("+OK\r\n-ERR x\r\n-EXECABORT y\r\n", ABORTED),
        ("+OK\r\n-OOM x\r\n-EXECABORT y\r\n", ABORTED),
        ("+OK\r\n+QUEUED\r\n-EXECABORT because\r\n", "-EXECABORT because"),
        ("+OK\r\n+QUEUED\r\n*-1\r\n", "nil"),
        ("-ERR unknown command 'MULTI', with args beginning with: \r\n-ERR x\r\n-ERR y\r\n", unknown),
        ("-ERR no MULTI\r\n+OK\r\n-ERR EXEC without MULTI\r\n", INDETERMINATE),
    ] {
        let fake = answering(replies);
        let front = Front::of(&[fake.port]);
        let mut client = front.client();
        client.check_all(&[("MULTI", "+OK"), ("SET a 1", "+QUEUED"), ("EXEC", told), ("GET a", "GET a")]);
        assert_eq!((fake.connections(), fake.count("SET a 1")), (1, 1), "{replies:?}");
    }
}

#[test]
fn a_piece_whose_connection_breaks_is_of_unknown_outcome_and_never_sent_again() {
    for replies in [
        "",
        "+OK\r\n",
        "+OK\r\n+QUEUED\r\n",
        "+OK\r\n+QUEUED\r\n*1\r\n$5\r\nab",
        "?!\r\n",
        "+OK\r\n?",
        "+OK\r\n+OK\r\n*1\r\n+OK\r\n",
        "$1\r\na\r\n",
    ] {
        let fake = Fake::start(move |conn| {
            if conn.number > 0 {
                return conn.echo();
            }
            (0..3).for_each(|_| _ = conn.next());
            conn.reply(replies);
        });
        let front = Front::of(&[fake.port]);
        let mut client = front.client();
        client.check_all(&[
            ("MULTI", "+OK"),
            ("GET a", "+QUEUED"),
            ("EXEC", INDETERMINATE),
            ("GET b", "GET b"),
        ]);
        assert_eq!((fake.count("MULTI"), fake.count("GET a"), fake.count("EXEC")), (1, 1, 1), "{replies:?}");
        assert_eq!(front.metric("slotway_proxy_errors_total", &[("kind", "indeterminate")]), 1.0);
    }
}

#[test]
fn a_piece_that_is_not_answered_in_time_is_of_unknown_outcome() {
    for replies in ["", "+OK\r\n", "+OK\r\n+QUEUED\r\n"] {
        let fake = Fake::start(move |conn| {
            if conn.number > 0 {
                return conn.echo();
            }
            (0..3).for_each(|_| _ = conn.next());
            conn.reply(replies);
            conn.stay_silent();
        });
        let front = Front::with(&[fake.port], &[("request-timeout-ms", "200"), ("threads", "1")]);
        let mut client = front.client();
        client.check_all(&[("MULTI", "+OK"), ("SET a 1", "+QUEUED"), ("EXEC", INDETERMINATE)]);
        until("the next link answers", || client.ask("GET b") == "GET b");
        assert_eq!(fake.count("SET a 1"), 1);
    }
}

#[test]
fn a_slow_node_is_waited_for_and_what_is_behind_comes_behind() {
    let fake = Fake::start(|conn| {
        while let Some(line) = conn.next() {
            let reply = match line.as_str() {
                "MULTI" => "+OK\r\n",
                "EXEC" => "*1\r\n+ran\r\n",
                "GET b" => "$1\r\nb\r\n",
                _ => "+QUEUED\r\n",
            };
            std::thread::park_timeout(Duration::from_millis(30));
            for byte in reply.chars() {
                conn.reply(&byte.to_string());
            }
        }
    });
    let front = Front::of(&[fake.port]);
    let mut client = front.client();
    client.send(&["MULTI", "SET a 1", "EXEC", "GET b", "MULTI", "GET a", "EXEC"]);
    assert_eq!(
        (0..7).map(|_| client.read()).collect::<Vec<_>>().join(" "),
        "+OK +QUEUED [+ran] b +OK +QUEUED [+ran]"
    );
}

#[test]
fn a_transaction_for_a_shard_that_is_down_is_held_and_given_back() {
    let node = crate::backend::Closed::new();
    let front = Front::with(&[node.port], &[("hold-ms-max", "300"), ("connect-timeout-ms", "100")]);
    let mut client = front.client();
    client.check_all(&[("MULTI", "+OK"), ("SET a 1", "+QUEUED")]);
    assert!(client.ask("EXEC").starts_with("-TRYAGAIN shard 1 has no primary, held "));
    client.check_all(&[("MULTI", "+OK"), ("EXEC", "[]")]);
}

#[test]
fn a_held_transaction_runs_once_its_shard_is_back() {
    let node = crate::backend::Closed::new();
    let front = Front::with(&[node.port], &[("hold-ms-max", "20000")]);
    let mut client = front.client();
    client.send(&["MULTI", "SET a 1", "EXEC"]);
    assert_eq!([client.read(), client.read()], ["+OK", "+QUEUED"]);
    let fake = node.open(|conn| {
        (0..3).for_each(|_| _ = conn.next());
        conn.reply("+OK\r\n+QUEUED\r\n*1\r\n+ran\r\n");
        conn.stay_silent();
    });
    assert_eq!(client.read(), "[+ran]");
    assert_eq!(fake.log(), ["MULTI", "SET a 1", "EXEC"]);
}

// ---- transactions too large to collect ----

/// Commands that a transaction of this front collects: four.
fn small_steps() -> [(&'static str, &'static str); 2] {
    [("transaction-commands-max", "4"), ("threads", "1")]
}

#[test]
fn a_large_transaction_is_sent_on_as_it_comes() {
    let three = Three::with(&small_steps());
    let mut client = three.client();
    for round in 1..4 {
        let mut lines = vec!["SET {t}n 0", "GET {t}other", "MULTI", "PING"];
        lines.extend(["INCR {t}n"; 100]);
        lines.extend(["PING", "EXEC", "GET {t}n"]);
        client.send(&lines);
        let replies: Vec<String> = lines.iter().map(|_| client.read()).collect();
        assert_eq!(replies[..3], ["+OK", "nil", "+OK"]);
        assert!(replies[3..105].iter().all(|reply| reply == "+QUEUED"), "{replies:?}");
        let numbers: Vec<String> = (1..=100).map(|number| format!(":{number}")).collect();
        assert_eq!(replies[105], format!("[+PONG {} +PONG]", numbers.join(" ")), "round {round}");
        assert_eq!(replies[106], "100");
        assert_eq!(three.front.metric("slotway_proxy_leases_refused_total", &[]), 0.0);
    }
    until("one link served all rounds", || {
        three.front.metric("slotway_proxy_leased_links", &[("state", "free")]) == 1.0
    });
}

#[test]
fn a_large_value_makes_a_transaction_large() {
    let three = Three::start();
    let mut client = three.client();
    let value = "v".repeat(1_000_000);
    client.check_all(&[
        ("MULTI", "+OK"),
        ("SET {t}a 1", "+QUEUED"),
        (&format!("SET {{t}}b {value}"), "+QUEUED"),
        ("STRLEN {t}b", "+QUEUED"),
        ("EXEC", "[+OK +OK :1000000]"),
    ]);
}

#[test]
fn a_large_transaction_is_discarded_or_aborted_as_any_other() {
    let three = Three::with(&small_steps());
    let mut client = three.client();
    let fill = |client: &mut Peer| {
        client.check("MULTI", "+OK");
        (0..10).for_each(|_| client.check("INCR {t}n", "+QUEUED"));
    };
    fill(&mut client);
    client.check_all(&[("DISCARD", "+OK"), ("GET {t}n", "nil")]);
    fill(&mut client);
    client.check_all(&[
        ("SET {t}n 1 NOSUCH", "+QUEUED"),
        ("INCR", "-ERR wrong number of arguments for 'incr' command"),
    ]);
    client.check_all(&[("INCR {t}n", "+QUEUED"), ("EXEC", ABORTED), ("GET {t}n", "nil")]);
    fill(&mut client);
    client.check("SET {t}n 1 NOSUCH", "+QUEUED");
    assert!(client.ask("EXEC").ends_with(":10 -ERR syntax error]"));
    client.check("GET {t}n", "10");
    fill(&mut client);
    client.check("INCR other", "+QUEUED");
    assert!(client.ask("EXEC").starts_with("-CROSSSLOT "));
    client.check("GET {t}n", "10");
    fill(&mut client);
    client.check_all(&[("RESET", "+RESET"), ("GET {t}n", "10")]);
    fill(&mut client);
    drop(client);
    until("it has left", || three.front.clients() == 0);
    three.client().check("GET {t}n", "10");
}

#[test]
fn a_large_transaction_whose_connection_breaks_before_exec_is_aborted() {
    let fake = Fake::start(|conn| {
        if conn.number > 0 {
            return conn.echo();
        }
        // MULTI and two commands, then the next one; and then it is gone.
        for reply in ["+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n"] {
            conn.next();
            conn.reply(reply);
        }
    });
    let front = Front::with(&[fake.port], &[("transaction-commands-max", "2"), ("threads", "1")]);
    let mut client = front.client();
    client.check("MULTI", "+OK");
    (0..3).for_each(|_| client.check("INCR n", "+QUEUED"));
    until("the proxy has noticed", || fake.connections() == 2);
    client.check_all(&[("INCR n", "+QUEUED"), ("EXEC", ABORTED), ("GET n", "GET n")]);
    assert_eq!(fake.log(), ["MULTI", "INCR n", "INCR n", "INCR n", "GET n"]);
}

#[test]
fn a_large_transaction_whose_exec_is_lost_is_of_unknown_outcome() {
    let fake = Fake::start(|conn| {
        if conn.number > 0 {
            return conn.echo();
        }
        for reply in ["+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n", ""] {
            conn.next();
            conn.reply(reply);
        }
    });
    let front = Front::with(&[fake.port], &[("transaction-commands-max", "2"), ("threads", "1")]);
    let mut client = front.client();
    client.check("MULTI", "+OK");
    (0..3).for_each(|_| client.check("INCR n", "+QUEUED"));
    client.check_all(&[("EXEC", INDETERMINATE), ("GET n", "GET n")]);
    assert_eq!(fake.count("EXEC"), 1);
}

#[test]
fn steps_of_a_node_that_does_not_queue_are_of_unknown_outcome() {
    let fake = Fake::start(|conn| {
        if conn.number > 0 {
            return conn.echo();
        }
        for reply in ["-ERR no MULTI\r\n", ":1\r\n", ":2\r\n", ":3\r\n"] {
            conn.next();
            conn.reply(reply);
        }
        conn.stay_silent();
    });
    let front = Front::with(&[fake.port], &[("transaction-commands-max", "2"), ("threads", "1")]);
    let mut client = front.client();
    client.check_all(&[("MULTI", "+OK"), ("INCR n", "+QUEUED"), ("INCR n", "+QUEUED")]);
    let step = client.ask("INCR n");
    assert!(step == INDETERMINATE || step.starts_with("-TRYAGAIN "), "{step}");
    client.check_all(&[("EXEC", ABORTED), ("GET n", "GET n")]);
}

#[test]
fn what_the_proxy_keeps_of_a_transaction_is_bounded() {
    let three = Three::with(&small_steps());
    let mut client = three.client();
    client.check("MULTI", "+OK");
    (0..4).for_each(|_| client.check("PING", "+QUEUED"));
    client.check_all(&[
        ("PING", "-BUSY proxy limit transaction-commands-max reached"),
        ("EXEC", ABORTED),
        ("PING", "+PONG"),
    ]);
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
