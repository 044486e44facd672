//! A control group replaces the primary of a shard: clients see a pause, and unknown outcomes of writes that were in flight.

use std::time::{Duration, Instant};

use slotway_cluster::{NodeId, ShardId, SlotRange};

use crate::{
    backend::{Closed, Fake, bulk},
    front::Front,
    holding::check_no_primary,
    keys::key_of,
    member::{Member, Part, shard},
    peer::until,
};

const INDETERMINATE: &str = "-INDETERMINATE the write may or may not have been applied";

/// Nothing here is waited for as long as this: it is far beyond what these tests may take, and below every timer that could
/// help instead of the news.
const AT_ONCE: Duration = Duration::from_secs(4);

/// What is held here would be held for ever.
const PATIENT: [(&str, &str); 3] =
    [("hold-ms-max", "60000"), ("reconnect-backoff-ms-min", "30000"), ("reconnect-backoff-ms-max", "30000")];

fn held(front: &Front) -> f64 {
    front.metric("slotway_proxy_held_requests", &[("shard", "1")])
}

fn links(front: &Front, state: &str) -> f64 {
    front.metric("slotway_proxy_links", &[("state", state)])
}

#[test]
fn a_link_says_which_reign_it_is_for_before_anything_else() {
    let node = Fake::start_raw(|conn| {
        while let Some(words) = conn.words() {
            conn.note(&words.join(" "));
            conn.reply(match words[0].as_str() {
                "HELLO" => "%1\r\n+proto\r\n:3\r\n",
                _ => "+OK\r\n",
            });
        }
    });
    let front = Front::of_group(shard(7, 3, &[node.port]), &[]);
    let mut client = front.client();
    client.ask("HELLO 3");
    client.check("SELECT 5", "+OK");
    client.check("SET a 1", "+OK");
    let link = format!("SLOTWAY LINK {} 1 3 7", "c".repeat(40));
    assert_eq!(node.log(), ["HELLO 3", &link, "SELECT 5", "PING", "SET a 1"]);
}

#[test]
fn nobody_else_is_told_of_reigns() {
    let node = Member::serving();
    Front::of(&[node.port()]).client().check("GET a", "GET a");
    assert!(node.links().is_empty());
}

#[test]
fn what_is_held_for_a_dead_primary_leaves_as_soon_as_another_is_named() {
    let (dead, next) = (Closed::new(), Member::serving());
    let front = Front::of_group(shard(1, 1, &[dead.port]), &PATIENT);
    let mut client = front.client();
    client.send(&["SET a 1", "GET a", "MGET a b", "INCR n"]);
    until("they are held", || held(&front) == 4.0);
    let since = Instant::now();
    front.learn(shard(2, 2, &[next.port()]));
    for line in ["SET a 1", "GET a", "MGET a b", "INCR n"] {
        assert_eq!(client.read(), line);
    }
    assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
    assert_eq!(next.asked(), ["SET a 1", "GET a", "MGET a b", "INCR n"]);
    until("the old link is gone", || links(&front, "up") == 1.0 && links(&front, "down") == 0.0);
}

#[test]
fn the_same_node_in_another_reign_gets_new_links() {
    let node = Member::serving();
    let front = Front::of_group(shard(1, 1, &[node.port()]), &[]);
    let mut client = front.client();
    client.check("SET a 1", "SET a 1");
    front.learn(shard(2, 1, &[node.port()]));
    client.check("SET a 2", "SET a 2");
    front.learn(shard(3, 2, &[node.port()]));
    until("the proxy knows", || {
        client.check("GET a", "GET a");
        node.links().len() == 2
    });
    let link = |epoch, version| format!("SLOTWAY LINK {} 1 {epoch} {version}", "c".repeat(40));
    assert_eq!(node.links(), [link(1, 1), link(2, 3)]);
    until("the old link is closed", || links(&front, "up") == 1.0);
}

#[test]
fn of_what_was_in_flight_at_a_killed_primary_reads_go_to_the_next_and_writes_are_told_at_once() {
    let node = Fake::start_raw(|conn| {
        if conn.number == 0 && conn.welcome() {
            (0..4).for_each(|_| drop(conn.next()));
        }
    });
    let next = Member::serving();
    let front = Front::of_group(shard(1, 1, &[node.port]), &PATIENT);
    let mut client = front.client();
    client.send(&["GET a", "SET a 1", "GET a", "GET b"]);
    // What was read before the write may have seen it by now.
    assert_eq!([client.read(), client.read()], [INDETERMINATE, INDETERMINATE]);
    until("the others are held", || held(&front) == 2.0);
    front.learn(shard(2, 2, &[next.port()]));
    assert_eq!([client.read(), client.read()], ["GET a", "GET b"]);
    assert_eq!(next.asked(), ["GET a", "GET b"]);
}

#[test]
fn a_primary_that_was_cut_off_is_given_up_when_its_reign_is_over() {
    let (cut_off, next) = (Member::start(Part::Parked), Member::serving());
    let front = Front::of_group(shard(1, 1, &[cut_off.port()]), &PATIENT);
    let (mut reader, mut writer) = (front.client(), front.client());
    reader.send(&["GET a"]);
    writer.send(&["SET b 1"]);
    until("it has owed them replies for a while", || links(&front, "quiet") == 1.0);
    let since = Instant::now();
    front.learn(shard(2, 2, &[next.port()]));
    assert_eq!((reader.read().as_str(), writer.read().as_str()), ("GET a", INDETERMINATE));
    assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
    cut_off.turns(Part::Serves);
    writer.check("SET b 2", "SET b 2");
    assert_eq!(next.asked(), ["GET a", "SET b 2"], "nothing was sent twice");
}

#[test]
fn what_comes_while_a_primary_is_quiet_is_not_sent_there() {
    let (cut_off, next) = (Member::start(Part::Parked), Member::serving());
    let front = Front::of_group(shard(1, 1, &[cut_off.port()]), &PATIENT);
    let (mut first, mut second) = (front.client(), front.client());
    first.send(&["GET a"]);
    until("it is quiet", || links(&front, "quiet") == 1.0);
    second.send(&["SET b 1", "INCR b"]);
    until("they are held", || held(&front) == 2.0);
    front.learn(shard(2, 2, &[next.port()]));
    assert_eq!((second.read().as_str(), second.read().as_str()), ("SET b 1", "INCR b"));
    assert_eq!(first.read(), "GET a");
    assert_eq!(cut_off.asked(), ["GET a"]);
}

#[test]
fn a_primary_that_was_only_busy_is_sent_what_came_meanwhile() {
    let busy = Member::start(Part::Parked);
    let front = Front::of_group(shard(1, 1, &[busy.port()]), &PATIENT);
    let (mut first, mut second) = (front.client(), front.client());
    first.send(&["KEYS *"]);
    until("it is quiet", || links(&front, "quiet") == 1.0);
    let lines: Vec<String> = (0..100).map(|n| format!("SET b {n}")).collect();
    second.send(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    until("they are held", || held(&front) == 100.0);
    busy.turns(Part::Serves);
    assert_eq!(first.read(), "KEYS *");
    lines.iter().for_each(|line| assert_eq!(second.read(), *line));
    until("its link is up", || links(&front, "up") == 1.0);
}

#[test]
fn a_primary_that_hands_over_refers_what_waits_and_no_client_sees_it() {
    let (one, next) = (Member::start(Part::Parked), Member::serving());
    let front = Front::of_group(shard(1, 1, &[one.port()]), &PATIENT);
    let mut client = front.client();
    client.send(&["SET a 1", "INCR a", "GET a"]);
    until("it has them", || one.asked().len() == 3 || one.asked().len() == 1);
    // Its word comes first, or the topology.
    one.turns(Part::Refuses("STALE 2 5"));
    until("it has refused them", || held(&front) == 3.0);
    front.learn(shard(5, 2, &[next.port(), one.port()]));
    assert_eq!([client.read(), client.read(), client.read()], ["SET a 1", "INCR a", "GET a"]);
    assert_eq!(next.asked(), ["SET a 1", "INCR a", "GET a"]);
    assert!(front.metric("slotway_proxy_redirects_total", &[("kind", "stale")]) >= 1.0);

    let third = Member::serving();
    next.turns(Part::Parked);
    client.send(&["SET a 2", "GET a"]);
    until("it has the first", || next.count("SET a 2") == 1);
    front.learn(shard(6, 3, &[third.port(), next.port()]));
    next.turns(Part::Refuses("STALE 3 6"));
    assert_eq!([client.read(), client.read()], ["SET a 2", "GET a"]);
    assert_eq!(third.asked(), ["SET a 2", "GET a"]);
}

#[test]
fn a_proxy_that_is_behind_waits_until_it_knows_what_a_member_knows() {
    let node = Member::start(Part::TakesNoLinks("STALE 2 9"));
    let front = Front::of_group(shard(1, 1, &[node.port()]), &PATIENT);
    let mut client = front.client();
    client.send(&["SET a 1"]);
    until("its link was refused", || {
        front.metric("slotway_proxy_redirects_total", &[("kind", "stale")]) == 1.0
    });
    node.turns(Part::Serves);
    // Whatever comes first: another version of the same reign has the member asked again, too.
    front.learn(shard(9, 1, &[node.port()]));
    assert_eq!(client.read(), "SET a 1");

    node.turns(Part::Refuses("STALE 1 12"));
    client.send(&["SET a 2"]);
    until("it was refused", || node.count("SET a 2") == 1 && held(&front) == 1.0);
    node.turns(Part::Serves);
    front.learn(shard(11, 1, &[node.port()]));
    front.client().check("GET b", "GET b");
    assert_eq!(node.count("SET a 2"), 1, "not before that version is known");
    front.learn(shard(12, 1, &[node.port()]));
    assert_eq!(client.read(), "SET a 2");
    assert_eq!(node.count("SET a 2"), 2);
}

#[test]
fn a_member_that_is_behind_is_asked_again_until_it_is_not() {
    let node = Member::start(Part::Refuses("STALE 1 3"));
    let front = Front::of_group(shard(7, 2, &[node.port()]), &[("hold-ms-max", "60000")]);
    let mut client = front.client();
    client.send(&["SET a 1"]);
    until("it was asked a few times", || node.count("SET a 1") >= 3);
    node.turns(Part::Serves);
    assert_eq!(client.read(), "SET a 1");
}

#[test]
fn words_that_name_no_news_are_waited_out_like_any_other_refusal() {
    for error in ["STALE ", "STALE 1", "STALE x y", "STALE 1 2 3", "LOADING x", "READONLY x", "MASTERDOWN x"]
    {
        let (node, next) = (Member::start(Part::Refuses(error)), Member::serving());
        let front = Front::of_group(shard(1, 1, &[node.port()]), &PATIENT);
        let mut client = front.client();
        client.send(&["SET a 1"]);
        until("it was refused", || held(&front) == 1.0);
        front.learn(shard(2, 2, &[next.port()]));
        assert_eq!(client.read(), "SET a 1", "{error}");
        assert_eq!(next.asked(), ["SET a 1"]);
    }
}

#[test]
fn what_two_failovers_have_met_is_not_sent_a_third_time() {
    let members = [Member::start(Part::Parked), Member::start(Part::Parked), Member::serving()];
    let front = Front::of_group(shard(1, 1, &[members[0].port()]), &PATIENT);
    let (mut reader, mut other) = (front.client(), front.client());
    reader.send(&["GET poison"]);
    until("the first is quiet", || links(&front, "quiet") == 1.0);
    front.learn(shard(2, 2, &[members[1].port()]));
    until("the second has it", || members[1].count("GET poison") == 1);
    let second = format!("127.0.0.1:{}", members[1].port());
    until("the second is quiet", || {
        front.metric("slotway_proxy_links", &[("node", &second), ("state", "quiet")]) == 1.0
    });
    other.send(&["SET a 1"]);
    until("this one was sent nowhere", || held(&front) == 1.0);
    front.learn(shard(3, 3, &[members[2].port()]));
    assert_eq!((reader.read().as_str(), other.read().as_str()), (INDETERMINATE, "SET a 1"));
    assert_eq!(members[2].asked(), ["SET a 1"]);
}

#[test]
fn two_failovers_in_a_row_lose_nothing_that_was_not_sent() {
    let (dead, also_dead, next) = (Closed::new(), Closed::new(), Member::serving());
    let front = Front::of_group(shard(1, 1, &[dead.port]), &PATIENT);
    let mut client = front.client();
    client.send(&["SET a 1", "INCR a"]);
    until("they are held", || held(&front) == 2.0);
    front.learn(shard(2, 2, &[also_dead.port]));
    until("they are held for the second", || links(&front, "down") == 1.0 && held(&front) == 2.0);
    client.send(&["GET a"]);
    front.learn(shard(3, 3, &[next.port()]));
    assert_eq!([client.read(), client.read(), client.read()], ["SET a 1", "INCR a", "GET a"]);
    assert_eq!(next.asked(), ["SET a 1", "INCR a", "GET a"]);
}

#[test]
fn thousands_that_are_held_are_sent_in_order() {
    const COUNT: usize = 5_000;
    let (dead, next) = (Closed::new(), Member::serving());
    let settings = [PATIENT[0], PATIENT[1], PATIENT[2], ("requests-in-flight-per-client-and-link", "10000")];
    let front = Front::of_group(shard(1, 1, &[dead.port]), &settings);
    let mut clients = [front.client(), front.client()];
    let lines = |client: usize| -> Vec<String> {
        (0..COUNT)
            .map(|n| match n % 3 {
                0 => format!("RPUSH list{client} {n}"),
                1 => format!("GET k{client}-{n}"),
                _ => format!("SET k{client}-{n} {n}"),
            })
            .collect()
    };
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&lines(number).iter().map(String::as_str).collect::<Vec<_>>());
    }
    until("all are held", || held(&front) == 2.0 * COUNT as f64);
    front.learn(shard(2, 2, &[next.port()]));
    for (number, client) in clients.iter_mut().enumerate() {
        lines(number).iter().for_each(|line| assert_eq!(client.read(), *line));
    }
    for number in 0..2 {
        let own =
            |line: &String| line.contains(&format!("list{number} ")) || line.contains(&format!("k{number}-"));
        assert_eq!(next.asked().into_iter().filter(own).collect::<Vec<_>>(), lines(number));
    }
}

#[test]
fn past_the_bound_what_was_never_sent_and_reads_may_be_repeated_and_writes_in_flight_may_not() {
    let dead = Closed::new();
    let settings = [("hold-ms-max", "400"), ("hold-bytes-max", "10000")];
    let front = Front::of_group(shard(1, 1, &[dead.port]), &settings);
    let mut client = front.client();
    client.send(&["SET a 1", "GET a"]);
    let value = "v".repeat(12_000);
    until("the link is down", || links(&front, "down") == 1.0);
    check_no_primary(&front.client().ask(&format!("SET a {value}")), 0);
    check_no_primary(&client.read(), 400);
    check_no_primary(&client.read(), 400);

    let node = Fake::start_raw(|conn| {
        if conn.number == 0 && conn.welcome() {
            (0..2).for_each(|_| drop(conn.next()));
        }
    });
    let front = Front::of_group(shard(1, 1, &[node.port]), &settings);
    let mut client = front.client();
    client.send(&["SET a 1", "GET a"]);
    assert_eq!(client.read(), INDETERMINATE);
    check_no_primary(&client.read(), 400);
}

#[test]
fn a_member_that_answers_on_a_new_connection_only_gets_one() {
    let node = Fake::start(|conn| {
        while let Some(line) = conn.next() {
            match line.as_str() {
                _ if conn.number == 0 => {}
                "DBSIZE" => conn.reply(":0\r\n"),
                _ => conn.reply(&bulk(&line)),
            }
        }
    });
    let settings = [("hold-ms-max", "200"), ("connect-timeout-ms", "200"), ("request-timeout-ms", "60000")];
    let front = Front::of_group(shard(1, 1, &[node.port]), &settings);
    let told = front.client().ask("SET a 1");
    assert_eq!(told, INDETERMINATE, "what was sent on the first is lost with it");
    until("it answers", || front.client().ask("GET b") == "GET b");
}

#[test]
fn a_killed_machine_that_answers_nobody_does_not_delay_its_successor() {
    // Nobody takes connections: the system does, and no LINK is ever answered.
    let hole = Fake::start_raw(|conn| conn.stay_silent());
    let next = Member::serving();
    let settings = [("hold-ms-max", "60000"), ("connect-timeout-ms", "60000")];
    let front = Front::of_group(shard(1, 1, &[hole.port]), &settings);
    let mut client = front.client();
    client.send(&["SET a 1"]);
    until("the proxy tries to connect", || hole.connections() == 1);
    let since = Instant::now();
    front.learn(shard(2, 2, &[next.port()]));
    assert_eq!(client.read(), "SET a 1");
    assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
}

#[test]
fn it_is_explained_in_which_reign_whom_the_proxy_would_ask() {
    let (dead, node) = (Closed::new(), Member::serving());
    let front = Front::of_group(shard(4, 3, &[dead.port]), &PATIENT);
    let mut client = front.client();
    client.ask("HELLO 3");
    until("it knows that the primary is away", || {
        client.ask("PROXY EXPLAIN GET a").contains("epoch=:3 state=down ")
    });
    front.learn(shard(5, 4, &[node.port()]));
    until("it knows the next", || client.ask("PROXY EXPLAIN GET a").contains("epoch=:4 state=up "));
}

#[test]
fn what_is_held_finds_its_slots_when_they_have_moved_meanwhile() {
    let (dead, one, two) = (Closed::new(), Member::serving(), Member::serving());
    let front = Front::of_group(shard(1, 1, &[dead.port]), &PATIENT);
    let mut client = front.client();
    let keys: Vec<String> = (0..2).map(|shard| key_of(shard, 2, 0)).collect();
    let lines: Vec<String> = (0..6).map(|n| format!("SET {} {n}", keys[n % 2])).collect();
    client.send(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    until("they are held", || held(&front) == 6.0);
    let mut both = shard(2, 2, &[one.port()]);
    let mut other = shard(2, 1, &[two.port()]);
    let halves = SlotRange::equal(2);
    both.shards[0].slots = vec![halves[0]];
    other.shards[0].slots = vec![halves[1]];
    (other.shards[0].id, other.shards[0].primary, other.nodes[0].id) =
        (ShardId(2), NodeId("n2".into()), NodeId("n2".into()));
    both.shards.append(&mut other.shards);
    both.nodes.append(&mut other.nodes);
    front.learn(both);
    lines.iter().for_each(|line| assert_eq!(client.read(), *line));
    let of = |parity| lines.iter().skip(parity).step_by(2).cloned().collect::<Vec<_>>();
    assert_eq!((one.asked(), two.asked()), (of(0), of(1)));
}
