//! Nodes that say that a request belongs elsewhere, or not yet: the proxy finds the way, clients see only the answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    backend::{Closed, Fake, bulk},
    front::{Front, topology},
    keys::key_of,
    peer::{Peer, until},
};

const INDETERMINATE: &str = "-INDETERMINATE the write may or may not have been applied";

/// Answers the requests that `reply` knows an answer to, and echoes the others.
pub(crate) fn saying(reply: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Fake {
    Fake::start(move |conn| {
        while let Some(line) = conn.next() {
            match reply(&line) {
                Some(reply) => conn.reply(&reply),
                None => conn.reply(&echo(&line)),
            }
        }
    })
}

/// An echo that is a reply to ASKING, too.
pub(crate) fn echo(line: &str) -> String {
    if line == "ASKING" { "+OK\r\n".to_owned() } else { bulk(line) }
}

pub(crate) fn echoing() -> Fake {
    saying(|_| None)
}

#[track_caller]
pub(crate) fn check_given_up(reply: &str, at_least_ms: u64) {
    let held = reply
        .strip_prefix("-TRYAGAIN shard 1 has no primary, held ")
        .and_then(|rest| rest.strip_suffix(" ms"));
    let held: u64 = held.unwrap_or_else(|| panic!("{reply}")).parse().unwrap();
    assert!(held >= at_least_ms, "{reply}");
}

pub(crate) fn lines(fake: &Fake) -> Vec<String> {
    fake.log()
}

#[test]
fn a_request_that_has_moved_is_answered_by_its_new_owner() {
    let there = echoing();
    let here = saying({
        let port = there.port;
        move |line| line.ends_with("moved").then(|| format!("-MOVED 7 127.0.0.1:{port}\r\n"))
    });
    let front = Front::of(&[here.port]);
    let mut client = front.client();
    client.check_all(&[("SET a moved", "SET a moved"), ("GET b", "GET b"), ("GET moved", "GET moved")]);
    assert_eq!(lines(&there), ["SET a moved", "GET moved"]);
    assert!(front.metric("slotway_proxy_redirects_total", &[("kind", "moved")]) >= 2.0);
    // RESP3 clients' requests travel on links that said HELLO 3, there, too.
    client.ask("HELLO 3");
    client.check("GET moved", "GET moved");
}

#[test]
fn an_empty_host_is_the_host_that_said_it() {
    let there = echoing();
    let port = there.port;
    let here = saying(move |line| line.starts_with("SET").then(|| format!("-MOVED 7 :{port}\r\n")));
    Front::of(&[here.port]).client().check("SET a 1", "SET a 1");
}

#[test]
fn asking_goes_in_front_of_the_one_request_that_was_sent_over() {
    let there = echoing();
    let port = there.port;
    let here = saying(move |line| line.contains("away").then(|| format!("-ASK 7 127.0.0.1:{port}\r\n")));
    let front = Front::of(&[here.port]);
    front.client().check_all(&[("SET away 1", "SET away 1"), ("GET a", "GET a"), ("GET away", "GET away")]);
    assert_eq!(lines(&there), ["ASKING", "SET away 1", "ASKING", "GET away"]);
}

#[test]
fn a_node_that_does_not_know_asking_refuses_the_request_itself() {
    let there = saying(|line| (line == "ASKING").then(|| "-ERR unknown command\r\n".to_owned()));
    let port = there.port;
    let here = saying(move |_| Some(format!("-ASK 7 127.0.0.1:{port}\r\n")));
    Front::of(&[here.port]).client().check("GET a", "GET a");
}

#[test]
fn two_nodes_that_name_each_other_are_asked_less_and_less_often_until_the_time_is_up() {
    let other = Closed::new();
    let port = other.port;
    let here = saying(move |_| Some(format!("-MOVED 7 127.0.0.1:{port}\r\n")));
    let back = here.port;
    let there = other.open(move |conn| {
        while conn.next().is_some() {
            conn.reply(&format!("-MOVED 7 127.0.0.1:{back}\r\n"));
        }
    });
    let front = Front::with(&[here.port], &[("hold-ms-max", "400")]);
    let mut client = front.client();
    check_given_up(&client.ask("SET a 1"), 400);
    client.check("PING", "+PONG");
    let hops = here.log().len() + there.log().len();
    assert!((10..80).contains(&hops), "{hops}");
}

#[test]
fn redirections_to_nowhere_end_with_the_hold() {
    for line in ["MOVED", "MOVED 1", "MOVED 1 x", "MOVED 99999 a:1", "ASK 1 :0", "MOVED 1 a b c:7", "STALE"] {
        let here = saying(move |_| Some(format!("-{line} \r\n")));
        let front = Front::with(&[here.port], &[("hold-ms-max", "150")]);
        let mut client = front.client();
        check_given_up(&client.ask("GET a"), 150);
        client.check("PING", "+PONG");
    }
}

#[test]
fn one_to_a_node_that_is_not_there_ends_with_the_hold() {
    let nobody = Closed::new();
    let port = nobody.port;
    let here = saying(move |_| Some(format!("-MOVED 1 127.0.0.1:{port}\r\n")));
    let front = Front::with(&[here.port], &[("hold-ms-max", "300"), ("connect-timeout-ms", "100")]);
    check_given_up(&front.client().ask("SET a 1"), 300);
}

#[test]
fn a_cluster_that_is_not_ready_is_waited_for() {
    for error in ["CLUSTERDOWN x", "LOADING x", "READONLY x", "MASTERDOWN x", "STALE x", "TRYAGAIN x"] {
        let asked = AtomicUsize::new(0);
        let here =
            saying(move |_| (asked.fetch_add(1, Ordering::SeqCst) < 4).then(|| format!("-{error}\r\n")));
        let front = Front::of(&[here.port]);
        front.client().check("SUNIONSTORE {a}d {a}1 {a}2", "SUNIONSTORE {a}d {a}1 {a}2");
        assert_eq!(here.log().len(), 5, "{error}");
        let kind = error.split(' ').next().unwrap().to_lowercase();
        assert_eq!(front.metric("slotway_proxy_redirects_total", &[("kind", &kind)]), 4.0);
    }
}

#[test]
fn requests_of_a_client_reach_their_new_owner_in_their_order() {
    let there = echoing();
    let port = there.port;
    let here = saying(move |_| Some(format!("-MOVED 7 127.0.0.1:{port}\r\n")));
    let front = Front::of(&[here.port]);
    let mut client = front.client();
    let requests: Vec<String> =
        (0..300).map(|n| if n % 3 == 2 { "GET a".to_owned() } else { format!("SET a {n}") }).collect();
    let exchanges: Vec<(&str, &str)> = requests.iter().map(|line| (line.as_str(), line.as_str())).collect();
    client.check_all(&exchanges);
    assert_eq!(lines(&there), requests);
}

/// A node that refuses the first request of its life with `error`.
fn refusing_once(error: &'static str) -> Fake {
    let refused = AtomicBool::new(false);
    saying(move |_| (!refused.swap(true, Ordering::SeqCst)).then(|| format!("-{error}\r\n")))
}

#[test]
fn what_a_later_request_has_overtaken_does_not_run() {
    let here = refusing_once("CLUSTERDOWN x");
    let front = Front::of(&[here.port]);
    let mut client = front.client();
    client.send(&["SET a 1", "SET a 2", "SET b 3"]);
    check_given_up(&client.read(), 0);
    assert_eq!([client.read(), client.read()], ["SET a 2", "SET b 3"]);
    assert_eq!(lines(&here), ["SET a 1", "SET a 2", "SET b 3"]);

    let here = refusing_once("CLUSTERDOWN x");
    let front = Front::of(&[here.port]);
    front.client().check_all(&[("GET a", INDETERMINATE), ("SET a 2", "SET a 2")]);
    assert_eq!(front.metric("slotway_proxy_errors_total", &[("kind", "indeterminate")]), 1.0);
    assert_eq!(here.count("GET a"), 1);
}

#[test]
fn what_no_later_request_touches_runs_all_the_same() {
    let here = refusing_once("CLUSTERDOWN x");
    let front = Front::of(&[here.port]);
    front.client().check_all(&[("SET a 1", "SET a 1"), ("SET b 2", "SET b 2"), ("GET c", "GET c")]);
    assert_eq!(lines(&here), ["SET a 1", "SET b 2", "GET c", "SET a 1"]);
    let here = refusing_once("LOADING x");
    let front = Front::of(&[here.port]);
    front.client().check_all(&[("GET a", "GET a"), ("STRLEN a", "STRLEN a")]);
}

#[test]
fn a_client_whose_request_looks_for_its_way_sends_nothing_more() {
    let ready = Arc::new(AtomicBool::new(false));
    let here = saying({
        let ready = Arc::clone(&ready);
        move |_| (!ready.load(Ordering::SeqCst)).then(|| "-CLUSTERDOWN x\r\n".to_owned())
    });
    let front = Front::with(&[here.port], &[("threads", "1"), ("hold-ms-max", "20000")]);
    let mut client = front.client();
    client.send(&["SET a 1"]);
    until("it was refused", || here.count("SET a 1") >= 2);
    client.send(&["SET a 2", "GET a"]);
    until("it is held", || front.metric("slotway_proxy_held_requests", &[("shard", "1")]) == 1.0);
    assert_eq!((here.count("SET a 2"), here.count("GET a")), (0, 0));
    ready.store(true, Ordering::SeqCst);
    assert_eq!([client.read(), client.read(), client.read()], ["SET a 1", "SET a 2", "GET a"]);
    // Other clients do not wait for it.
    assert_eq!(here.log().last().unwrap(), "GET a");
}

#[test]
fn what_is_held_moves_to_the_new_owner_when_the_topology_changes() {
    let gone = Closed::new();
    let front = Front::with(&[gone.port], &[("threads", "1"), ("hold-ms-max", "20000")]);
    let mut clients: Vec<Peer> = (0..3).map(|_| front.client()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(&[&format!("SET a {n}"), &format!("MGET a {n}"), &format!("INCR b{n}")]);
    }
    until("they are held", || front.metric("slotway_proxy_held_requests", &[]) == 9.0);
    let there = echoing();
    front.topology.store(Arc::new(topology(2, &[format!("127.0.0.1:{}", there.port)])));
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.read(), format!("SET a {n}"));
        assert_eq!(client.read(), format!("MGET a {n}"));
        assert_eq!(client.read(), format!("INCR b{n}"));
        let own: Vec<String> =
            lines(&there).into_iter().filter(|line| line.ends_with(&n.to_string())).collect();
        assert_eq!(own, [format!("SET a {n}"), format!("MGET a {n}"), format!("INCR b{n}")]);
    }
}

#[test]
fn reads_of_a_broken_link_move_to_the_new_owner_and_writes_are_told() {
    let here = Fake::start_raw(|conn| {
        if conn.number == 0 && conn.welcome() {
            conn.next();
            conn.next();
        }
    });
    let front = Front::with(&[here.port], &[("threads", "1"), ("hold-ms-max", "20000")]);
    let mut client = front.client();
    client.send(&["SET a 1", "GET a"]);
    assert_eq!(client.read(), INDETERMINATE);
    until("the read is held", || front.metric("slotway_proxy_held_requests", &[]) == 1.0);
    let there = echoing();
    front.topology.store(Arc::new(topology(2, &[format!("127.0.0.1:{}", there.port)])));
    assert_eq!(client.read(), "GET a");
}

#[test]
fn no_more_bytes_look_for_their_way_than_may_be_held() {
    let here = saying(|_| Some("-CLUSTERDOWN x\r\n".to_owned()));
    let settings = [("threads", "1"), ("hold-bytes-max", "10000"), ("hold-ms-max", "1500")];
    let front = Front::with(&[here.port], &settings);
    let value = "v".repeat(6000);
    let (mut one, mut two) = (front.client(), front.client());
    one.send(&[&format!("SET a {value}")]);
    until("it is held", || front.metric("slotway_proxy_held_requests", &[]) == 1.0);
    check_given_up(&two.ask(&format!("SET b {value}")), 0);
    check_given_up(&one.read(), 1500);
}

#[test]
fn small_requests_that_look_for_their_way_count_for_more_than_their_bytes() {
    let here = saying(|_| Some("-CLUSTERDOWN x\r\n".to_owned()));
    let settings = [("threads", "1"), ("hold-bytes-max", "10000"), ("hold-ms-max", "300")];
    let front = Front::with(&[here.port], &settings);
    let mut client = front.client();
    let requests: Vec<String> = (0..200).map(|n| format!("SET {n} 1")).collect();
    client.send(&requests.iter().map(String::as_str).collect::<Vec<_>>());
    let replies: Vec<String> = requests.iter().map(|_| client.read()).collect();
    replies.iter().for_each(|reply| check_given_up(reply, 0));
    assert!(front.metric("slotway_proxy_errors_total", &[("kind", "busy")]) > 0.0, "not all were held");
    check_given_up(&replies[0], 300);
}

#[test]
fn a_write_does_not_run_behind_what_has_counted_the_keys() {
    for line in ["DBSIZE", "KEYS *", "RANDOMKEY"] {
        let refused = AtomicBool::new(false);
        let here = saying(move |line| match line.starts_with("SET") {
            true => (!refused.swap(true, Ordering::SeqCst)).then(|| "-CLUSTERDOWN x\r\n".to_owned()),
            false => Some(if line == "DBSIZE" { ":0\r\n".to_owned() } else { "*0\r\n".to_owned() }),
        });
        let front = Front::of(&[here.port]);
        let mut client = front.client();
        client.send(&["SET k v", line]);
        check_given_up(&client.read(), 0);
        client.read();
        assert_eq!(lines(&here), ["SET k v", line]);
    }
}

#[test]
fn a_client_that_left_is_not_followed_any_further() {
    let here = saying(|_| Some("-CLUSTERDOWN x\r\n".to_owned()));
    let front = Front::with(&[here.port], &[("threads", "1"), ("hold-ms-max", "60000")]);
    let mut client = front.client();
    client.send(&["SET a 1"]);
    until("it is held", || front.metric("slotway_proxy_held_requests", &[]) == 1.0);
    let mut killer = front.client();
    killer.check("CLIENT KILL TYPE normal", ":1");
    until("nothing is held", || front.metric("slotway_proxy_held_requests", &[]) == 0.0);
    let asked = here.count("SET a 1");
    let since = Instant::now();
    until("some time has passed", || since.elapsed() > Duration::from_millis(300));
    assert!(here.count("SET a 1") <= asked + 1);
}

#[test]
fn a_node_that_a_redirection_named_stays_the_node_of_its_own_shard() {
    let there = {
        let first = AtomicBool::new(true);
        saying(move |line| match line {
            "FLUSHALL" if first.swap(false, Ordering::SeqCst) => Some("-LOADING x\r\n".to_owned()),
            "FLUSHALL" => Some("+OK\r\n".to_owned()),
            _ => None,
        })
    };
    let port = there.port;
    let here = saying(move |line| match line {
        "FLUSHALL" => Some("+OK\r\n".to_owned()),
        line if line.starts_with("GET") => Some(format!("-ASK 7 127.0.0.1:{port}\r\n")),
        _ => None,
    });
    let front = Front::with(&[here.port, there.port], &[("threads", "1")]);
    let mut client = front.client();
    let (own, other) = (key_of(0, 2, 0), key_of(1, 2, 0));
    client.check(&format!("GET {other}"), &format!("GET {other}"));
    client.check(&format!("GET {own}"), &format!("GET {own}"));
    client.check("FLUSHALL", "+OK");
    assert_eq!((here.count("FLUSHALL"), there.count("FLUSHALL")), (1, 2), "refused once, and run there");
}

#[test]
fn what_was_sent_to_a_node_that_is_not_there_goes_back_to_the_owner() {
    let nobody = Closed::new();
    let port = nobody.port;
    let first = AtomicBool::new(true);
    let here = saying(move |_| {
        first.swap(false, Ordering::SeqCst).then(|| format!("-MOVED 7 127.0.0.1:{port}\r\n"))
    });
    let front = Front::with(&[here.port], &[("hold-ms-max", "20000"), ("connect-timeout-ms", "100")]);
    let since = Instant::now();
    front.client().check("SET a 1", "SET a 1");
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
}

#[test]
fn a_node_that_names_ever_new_nodes_gets_links_to_a_few_of_them() {
    let here = saying(|line| {
        let number: u8 = line.strip_prefix("GET k")?.parse().unwrap();
        Some(format!("-MOVED 7 127.9.0.{number}:1\r\n"))
    });
    let front = Front::with(&[here.port], &[("hold-ms-max", "500"), ("threads", "1")]);
    let mut client = front.client();
    let lines: Vec<String> = (1..=200).map(|number| format!("GET k{number}")).collect();
    client.send(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    for _ in &lines {
        check_given_up(&client.read(), 500);
    }
    client.check("PING", "+PONG");
    let links = || front.metric("slotway_proxy_links", &[]);
    until("all links are counted", || links() >= 33.0);
    assert_eq!(links(), 33.0, "its own and those of 32 strangers");
}
