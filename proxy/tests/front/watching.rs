//! WATCH: a link of one's own, and never a transaction that runs unwatched.

use std::sync::Arc;

use crate::{
    backend::{Closed, Fake, Redis},
    commands::Three,
    front::{Front, topology},
    keys::key_of,
    peer::{Peer, until},
};

fn leased(front: &Front, state: &str) -> f64 {
    front.metric("slotway_proxy_leased_links", &[("state", state)])
}

#[test]
fn a_transaction_runs_only_if_nothing_watched_has_changed() {
    let three = Three::start();
    for version in ["HELLO 2", "HELLO 3"] {
        let null = if version == "HELLO 2" { "nil" } else { "_" };
        let (mut client, mut other) = (three.client(), three.client());
        client.ask(version);
        client.check_all(&[
            ("SET {t}a 1", "+OK"),
            ("WATCH {t}a {t}b", "+OK"),
            ("GET {t}a", "1"),
            ("MULTI", "+OK"),
            ("INCR {t}a", "+QUEUED"),
            ("PING", "+QUEUED"),
            ("EXEC", "[:2 +PONG]"),
            ("GET {t}a", "2"),
            ("WATCH {t}a", "+OK"),
            ("WATCH {t}b", "+OK"),
        ]);
        other.check("SET {t}b changed", "+OK");
        client.check_all(&[
            ("MULTI", "+OK"),
            ("CLIENT SETNAME never", "+QUEUED"),
            ("INCR {t}a", "+QUEUED"),
            ("EXEC", null),
            ("GET {t}a", "2"),
            ("CLIENT GETNAME", null),
            // EXEC has ended the watching.
            ("MULTI", "+OK"),
            ("INCR {t}a", "+QUEUED"),
            ("EXEC", "[:3]"),
        ]);
        for end in ["UNWATCH", "DISCARD"] {
            client.check("WATCH {t}b", "+OK");
            other.check("INCR {t}counter", if end == "UNWATCH" { ":1" } else { ":2" });
            other.check("SET {t}b again", "+OK");
            if end == "DISCARD" {
                client.check_all(&[("MULTI", "+OK"), ("GET {t}a", "+QUEUED")]);
            }
            client.check_all(&[(end, "+OK"), ("MULTI", "+OK"), ("GET {t}a", "+QUEUED"), ("EXEC", "[3]")]);
        }
        client.check("DEL {t}a {t}b {t}counter", ":3");
    }
}

#[test]
fn an_empty_transaction_says_whether_something_changed() {
    let three = Three::start();
    let (mut client, mut other) = (three.client(), three.client());
    client.check_all(&[("WATCH a", "+OK"), ("MULTI", "+OK"), ("EXEC", "[]"), ("WATCH a", "+OK")]);
    other.check("SET a 1", "+OK");
    client.check_all(&[("MULTI", "+OK"), ("PING", "+QUEUED"), ("EXEC", "nil")]);
}

#[test]
fn in_a_whole_database_any_keys_are_watched() {
    let three = Three::start();
    let (mut client, mut other) = (three.client(), three.client());
    client.check_all(&[
        ("SELECT 7", "+OK"),
        ("WATCH a b c", "+OK"),
        ("MGET a b c d", "[nil nil nil nil]"),
        ("DBSIZE", ":0"),
        ("MULTI", "+OK"),
        ("MSET a 1 d 2", "+QUEUED"),
        ("EXEC", "[+OK]"),
        ("WATCH a b c", "+OK"),
    ]);
    other.check_all(&[("SELECT 7", "+OK"), ("SET c 1", "+OK")]);
    client.check_all(&[("MULTI", "+OK"), ("SET a 2", "+QUEUED"), ("EXEC", "nil"), ("GET a", "1")]);
}

#[test]
fn watched_keys_and_transaction_lie_in_one_slot() {
    let three = Three::start();
    let mut client = three.client();
    let refused = "-CROSSSLOT Keys in request don't hash to the same slot (a, b); \
                   use a database from 1 to 15, a hash tag or a placement rule";
    client.check_all(&[
        ("WATCH a b", refused),
        ("WATCH a", "+OK"),
        ("WATCH b", refused),
        // Reads elsewhere are free.
        ("MGET a b c", "[nil nil nil]"),
        ("MULTI", "+OK"),
        ("SET b 1", "+QUEUED"),
        ("EXEC", refused),
        ("EXISTS a b", ":0"),
        ("WATCH a", "+OK"),
        ("SELECT 1", "+OK"),
        ("MULTI", "+OK"),
        ("SET b 1", "+QUEUED"),
        ("EXEC", refused),
        ("EXISTS b", ":0"),
    ]);
}

#[test]
fn replies_of_a_client_that_moves_between_links_come_in_order() {
    let three = Three::start();
    let mut client = three.client();
    for round in 0..50 {
        client.send(&[
            "SET {t}n 1",
            "GET x",
            "WATCH {t}n",
            "INCR {t}n",
            "GET {t}n",
            "MULTI",
            "INCR {t}n",
            "EXEC",
            "GET {t}n",
            "UNWATCH",
            "WATCH {t}n",
            "GET {t}n",
            "UNWATCH",
            "INCR {t}n",
        ]);
        let replies: Vec<String> = (0..14).map(|_| client.read()).collect();
        // The client's own INCR changes what it watches: as with Redis.
        assert_eq!(replies.join(" "), "+OK nil +OK :2 2 +OK +QUEUED nil 2 +OK +OK 2 +OK :3", "round {round}");
    }
}

#[test]
fn a_link_is_given_back_and_used_again_by_others() {
    let three = Three::with(&[("threads", "1")]);
    for _ in 0..20 {
        let mut client = three.client();
        client.check_all(&[("WATCH a", "+OK"), ("MULTI", "+OK"), ("GET a", "+QUEUED"), ("EXEC", "[nil]")]);
        client.check_all(&[("WATCH a", "+OK"), ("UNWATCH", "+OK"), ("WATCH a", "+OK"), ("RESET", "+RESET")]);
        client.check("WATCH a", "+OK");
    }
    until("all are free", || leased(&three.front, "leased") == 0.0 && leased(&three.front, "free") >= 1.0);
    assert!(leased(&three.front, "free") <= 4.0, "{}", leased(&three.front, "free"));
    // What somebody watched and left must not trouble who gets the link next.
    let (mut leaving, mut next) = (three.client(), three.client());
    leaving.check("WATCH a", "+OK");
    drop(leaving);
    until("it has left", || leased(&three.front, "leased") == 0.0);
    next.check_all(&[("SET a 1", "+OK"), ("WATCH b{a}", "+OK"), ("MULTI", "+OK"), ("EXEC", "[]")]);
}

#[test]
fn leased_links_are_closed_when_nobody_has_used_them_for_long() {
    let three = Three::with(&[("link-idle-close-s", "1")]);
    three.client().check_all(&[("WATCH a", "+OK"), ("UNWATCH", "+OK")]);
    until("one is free", || leased(&three.front, "free") == 1.0);
    until("none is left", || leased(&three.front, "free") == 0.0);
}

#[test]
fn more_watching_clients_than_links_may_be_leased_are_refused() {
    let three = Three::with(&[("leased-links-per-node-max", "2"), ("threads", "1")]);
    let mut clients: Vec<Peer> = (0..3).map(|_| three.client()).collect();
    let busy = "-BUSY proxy limit leased-links-per-node-max reached";
    clients[0].check("WATCH a", "+OK");
    clients[1].check("WATCH a", "+OK");
    clients[2].check_all(&[("WATCH a", busy), ("GET a", "nil")]);
    // On another node there is room.
    let elsewhere = (0..)
        .map(|number| key_of(number % 3, 3, 0))
        .find(|key| clients[2].ask(&format!("WATCH {key}")) == "+OK");
    assert!(elsewhere.is_some());
    clients[2].check("UNWATCH", "+OK");
    assert_eq!(three.front.metric("slotway_proxy_leases_refused_total", &[]), {
        three.front.metric("slotway_proxy_errors_total", &[("kind", "busy")])
    });
    clients[0].check("UNWATCH", "+OK");
    until("there is room again", || clients[2].ask("WATCH a") == "+OK");
    // A free link for another database makes room for one that is needed.
    clients[1].check_all(&[("UNWATCH", "+OK"), ("HELLO 4", "-NOPROTO unsupported protocol version")]);
    clients[1].ask("HELLO 3");
    until("the one that was free has made room", || clients[1].ask("WATCH a") == "+OK");
}

// ---- connections that break, nodes that change ----

/// What a node says to WATCH and to a transaction of one command.
fn play(conn: &mut crate::backend::Conn) {
    while let Some(line) = conn.next() {
        match line.as_str() {
            "MULTI" | "unwatch" => conn.reply("+OK\r\n"),
            "EXEC" => conn.reply("*1\r\n+ran\r\n"),
            line if line.starts_with("WATCH") => conn.reply("+OK\r\n"),
            line if line.starts_with("GET") => conn.reply("$1\r\nv\r\n"),
            _ => conn.reply("+QUEUED\r\n"),
        }
    }
}

#[test]
fn a_transaction_whose_watching_connection_was_lost_does_not_run() {
    let fake = Fake::start(|conn| {
        if conn.number > 0 {
            return play(conn);
        }
        conn.next();
        conn.reply("+OK\r\n");
    });
    let front = Front::with(&[fake.port], &[("threads", "1")]);
    let mut client = front.client();
    client.check("WATCH a", "+OK");
    until("the proxy has connected again", || fake.connections() == 2);
    client.check_all(&[
        ("GET a", "v"),
        ("WATCH b{a}", "+OK"),
        ("MULTI", "+OK"),
        ("SET a 1", "+QUEUED"),
        ("EXEC", "nil"),
        // The next attempt is a new one.
        ("WATCH a", "+OK"),
        ("MULTI", "+OK"),
        ("SET a 2", "+QUEUED"),
        ("EXEC", "[+ran]"),
    ]);
    assert_eq!((fake.count("SET a 1"), fake.count("SET a 2")), (0, 1));
}

#[test]
fn a_transaction_that_was_sent_on_the_watching_connection_is_of_unknown_outcome() {
    let fake = Fake::start(|conn| {
        if conn.number > 0 {
            return play(conn);
        }
        conn.next();
        conn.reply("+OK\r\n");
        (0..3).for_each(|_| _ = conn.next());
        conn.reply("+OK\r\n+QUEUED\r\n");
    });
    let front = Front::with(&[fake.port], &[("threads", "1")]);
    let mut client = front.client();
    client.check_all(&[
        ("WATCH a", "+OK"),
        ("MULTI", "+OK"),
        ("SET a 1", "+QUEUED"),
        ("EXEC", "-INDETERMINATE the write may or may not have been applied"),
        ("GET a", "v"),
    ]);
    assert_eq!(fake.count("EXEC"), 1);
}

/// As a master that becomes a replica does with every transaction that comes too late.
#[test]
fn a_connection_outlives_a_transaction_that_its_node_has_discarded() {
    let moved = "-MOVED 7 127.0.0.1:1";
    for (refusal, end, heard, connections) in [
        (moved, "-EXECABORT x", "nil", 1),
        ("-ERR x", "-EXECABORT x", "-EXECABORT Transaction discarded because of previous errors.", 1),
        // Whether the node still watches the key nobody knows.
        (moved, moved, "nil", 2),
        ("+QUEUED", moved, "nil", 2),
    ] {
        let fake = Fake::start(move |conn| {
            if conn.number == 0 {
                for reply in ["+OK", "+OK", refusal, end] {
                    conn.next();
                    conn.reply(&format!("{reply}\r\n"));
                }
            }
            play(conn);
        });
        let front = Front::with(&[fake.port], &[("threads", "1")]);
        let mut client = front.client();
        for (set, answer) in [("SET a 1", heard), ("SET a 2", "[+ran]")] {
            client.check_all(&[("WATCH a", "+OK"), ("MULTI", "+OK"), (set, "+QUEUED"), ("EXEC", answer)]);
        }
        assert_eq!((fake.connections(), fake.count("SET a 1")), (connections, 1), "{refusal} {end}");
    }
}

#[test]
fn reads_survive_the_loss_of_the_watching_connection() {
    let fake = Fake::start(|conn| {
        if conn.number > 0 {
            return play(conn);
        }
        conn.next();
        conn.reply("+OK\r\n");
        conn.next();
    });
    let front = Front::with(&[fake.port], &[("threads", "1")]);
    let mut client = front.client();
    client.send(&["WATCH a", "GET a"]);
    assert_eq!([client.read(), client.read()], ["+OK", "v"]);
    client.check_all(&[("MULTI", "+OK"), ("SET a 1", "+QUEUED"), ("EXEC", "nil")]);
    assert_eq!((fake.count("GET a"), fake.count("EXEC")), (2, 0));
}

#[test]
fn a_watch_that_was_given_back_takes_its_transaction_with_it() {
    let node = Closed::new();
    let settings = [("hold-ms-max", "300"), ("connect-timeout-ms", "100"), ("threads", "1")];
    let front = Front::with(&[node.port], &settings);
    let mut client = front.client();
    client.send(&["WATCH a", "GET a", "MULTI", "SET a 1", "EXEC", "PING"]);
    assert!(client.read().starts_with("-TRYAGAIN shard 1 has no primary, held "));
    assert!(client.read().starts_with("-TRYAGAIN "));
    assert_eq!([client.read(), client.read()], ["+OK", "+QUEUED"]);
    let exec = client.read();
    assert!(exec == "nil" || exec.starts_with("-TRYAGAIN "), "{exec}");
    assert_eq!(client.read(), "+PONG");
    let fake = node.open(play);
    until("the shard is back", || front.client().ask("GET a") == "v");
    assert_eq!(fake.count("EXEC"), 0);
}

/// The first WATCH on the first connection fails.
fn refuse_once(conn: &mut crate::backend::Conn) {
    if conn.number == 0 {
        conn.next();
        conn.reply("-ERR not now\r\n");
    }
    play(conn);
}

#[test]
fn a_failed_watch_keeps_no_link() {
    let fake = Fake::start(refuse_once);
    let front = Front::with(&[fake.port], &[("leased-links-per-node-max", "1"), ("threads", "1")]);
    let (mut client, mut other) = (front.client(), front.client());
    client.check("WATCH a", "-ERR not now");
    client.check("PING", "+PONG");
    until("the link is free", || other.ask("WATCH a") == "+OK");
}

#[test]
fn a_client_that_falls_silent_after_a_failed_watch_keeps_no_link_and_one_that_watches_keeps_its() {
    let fake = Fake::start(refuse_once);
    let front = Front::with(&[fake.port], &[("leased-links-per-node-max", "2"), ("threads", "1")]);
    let (mut client, mut watching, mut other) = (front.client(), front.client(), front.client());
    client.check("WATCH a", "-ERR not now");
    watching.check("WATCH a", "+OK");
    let busy = "-BUSY proxy limit leased-links-per-node-max reached";
    other.check("WATCH a", busy);
    until("the link is free", || other.ask("WATCH a") == "+OK");
    assert_eq!(leased(&front, "leased"), 2.0);
    front.client().check("WATCH a", busy);
    client.check_all(&[("MULTI", "+OK"), ("SET a 1", "+QUEUED"), ("EXEC", "[+ran]")]);
}

#[test]
fn a_watch_that_was_held_for_too_long_keeps_no_link() {
    let node = Closed::new();
    let settings = [("hold-ms-max", "300"), ("connect-timeout-ms", "100"), ("threads", "1")];
    let front = Front::with(&[node.port], &settings);
    let mut client = front.client();
    assert!(client.ask("WATCH a").starts_with("-TRYAGAIN "));
    until("it is the client's own", || leased(&front, "leased") == 1.0);
    client.check("PING", "+PONG");
    until("none is leased", || leased(&front, "leased") == 0.0);
}

#[test]
fn a_failed_watch_binds_to_no_slot_and_spoils_no_later_transaction() {
    let fake = Fake::start(refuse_once);
    let front = Front::with(&[fake.port], &[("threads", "1")]);
    let mut client = front.client();
    client.check("WATCH a", "-ERR not now");
    client.check_all(&[("WATCH b", "+OK"), ("MULTI", "+OK"), ("SET b 1", "+QUEUED"), ("EXEC", "[+ran]")]);
}

#[test]
fn a_failed_watch_leaves_what_is_watched_already() {
    let fake = Fake::start(|conn| {
        conn.next();
        conn.reply("+OK\r\n");
        conn.next();
        conn.reply("-ERR not now\r\n");
        play(conn);
    });
    let front = Front::with(&[fake.port], &[("threads", "1")]);
    let mut client = front.client();
    client.check("WATCH a", "+OK");
    client.check("WATCH b{a}", "-ERR not now");
    client.check("PING", "+PONG");
    client.check_all(&[("MULTI", "+OK"), ("SET a 1", "+QUEUED"), ("EXEC", "[+ran]")]);
    assert_eq!(fake.log(), ["WATCH a", "WATCH b{a}", "MULTI", "SET a 1", "EXEC"]);
}

#[test]
fn a_slot_that_moved_while_it_was_watched_counts_as_changed() {
    let three = Three::start();
    let key = key_of(0, 3, 0);
    let mut client = three.client();
    client.check(&format!("WATCH {key}"), "+OK");
    let ports: Vec<String> =
        three.servers.iter().rev().map(|server| format!("127.0.0.1:{}", server.port)).collect();
    three.front.topology.store(Arc::new(topology(2, &ports)));
    client.check_all(&[
        (&format!("WATCH {key}"), "+OK"),
        ("MULTI", "+OK"),
        (&format!("SET {key} 1"), "+QUEUED"),
        ("EXEC", "nil"),
        (&format!("GET {key}"), "nil"),
        (&format!("WATCH {key}"), "+OK"),
        ("MULTI", "+OK"),
        (&format!("SET {key} 2"), "+QUEUED"),
        ("EXEC", "[+OK]"),
    ]);
    three.servers[2].client().check(&format!("GET {key}"), "2");
}

#[test]
fn a_change_of_the_protocol_counts_as_changed() {
    let three = Three::start();
    let mut client = three.client();
    client.check("WATCH a", "+OK");
    client.ask("HELLO 3");
    client.check_all(&[("MULTI", "+OK"), ("SET a 1", "+QUEUED"), ("EXEC", "_"), ("GET a", "_")]);
}

#[test]
fn a_large_watched_transaction_is_watched_too() {
    let redis = Redis::start();
    let front = Front::with(&[redis.port], &[("transaction-commands-max", "4")]);
    let (mut client, mut other) = (front.client(), front.client());
    for changed in [false, true] {
        client.check_all(&[("SET {t}n 0", "+OK"), ("WATCH {t}w", "+OK"), ("MULTI", "+OK")]);
        (0..20).for_each(|_| client.check("INCR {t}n", "+QUEUED"));
        if changed {
            other.check("SET {t}w 1", "+OK");
        }
        let exec = client.ask("EXEC");
        assert_eq!(exec == "nil", changed, "{exec}");
        client.check("GET {t}n", if changed { "0" } else { "20" });
    }
}

#[test]
fn counters_that_are_watched_lose_no_increment() {
    let three = Three::start();
    let port = three.front.port;
    let threads: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Peer::connect(port);
                for _ in 0..50 {
                    loop {
                        client.check("WATCH n", "+OK");
                        let value: u64 = client.ask("GET n").parse().unwrap_or(0);
                        client.check_all(&[("MULTI", "+OK"), (&format!("SET n {}", value + 1), "+QUEUED")]);
                        if client.ask("EXEC") != "nil" {
                            break;
                        }
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    three.client().check("GET n", "400");
}
