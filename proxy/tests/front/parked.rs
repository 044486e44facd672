//! A member that answers nothing for longer than requests are held: it has parked, or it is at one long command and its pulse says so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    backend::Fake,
    front::Front,
    holding::check_no_primary,
    member::{Member, Part, shard},
    peer::until,
};

const INDETERMINATE: &str = "-INDETERMINATE the write may or may not have been applied";

/// Nothing here is waited for as long as this: it is far beyond what these tests may take.
const AT_ONCE: Duration = Duration::from_secs(4);

/// A request may take far longer than it may be held; the shortest silence there is.
const HOLDS_SHORTLY: [(&str, &str); 2] = [("hold-ms-max", "1000"), ("request-timeout-ms", "60000")];

fn links(front: &Front, state: &str) -> f64 {
    front.metric("slotway_proxy_links", &[("state", state)])
}

/// Looks on for longer than requests are held, and a member may be silent.
fn look_on(what: &str, mut check: impl FnMut()) {
    let since = Instant::now();
    until(what, || {
        check();
        since.elapsed() > Duration::from_millis(2500)
    });
}

#[test]
fn a_primary_that_parks_is_no_error_before_a_request_is_due() {
    let node = Member::start(Part::Parked);
    let settings = [("hold-ms-max", "200"), ("request-timeout-ms", "4000"), ("connect-timeout-ms", "200")];
    let front = Front::of_group(shard(1, 1, &[node.port()]), &settings);
    let (mut one, mut other) = (front.client(), front.client());
    one.send(&["SET a 1"]);
    until("nothing is held any more", || links(&front, "silent") == 1.0);
    check_no_primary(&other.ask("GET a"), 200);
    node.turns(Part::Serves);
    assert_eq!(one.read(), "SET a 1", "on the same connection");
    assert_eq!(node.links().iter().filter(|link| link.contains(" LINK ")).count(), node.links().len());
    until("it is up", || links(&front, "up") == 1.0);
    other.check("GET a", "GET a");
}

#[test]
fn a_parked_primary_without_a_successor_delays_nobody_for_longer_than_requests_are_held() {
    let parked = Member::start(Part::Parked);
    let settings = [("threads", "1"), ("hold-ms-max", "1000"), ("request-timeout-ms", "60000")];
    let front = Front::of_group(shard(1, 1, &[parked.port()]), &settings);
    let (mut reader, mut writer, mut late) = (front.client(), front.client(), front.client());
    let since = Instant::now();
    reader.send(&["GET a"]);
    writer.send(&["SET b 1"]);
    until("it is quiet", || links(&front, "quiet") == 1.0);
    late.send(&["SET c 1"]);
    check_no_primary(&reader.read(), 1000);
    assert_eq!(writer.read(), INDETERMINATE);
    check_no_primary(&late.read(), 1000);
    assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
    check_no_primary(&late.ask("GET a"), 1000);
    parked.turns(Part::Serves);
    until("it is up", || links(&front, "up") == 1.0);
    late.check("GET c", "GET c");
    assert_eq!(parked.count("SET c 1"), 0, "what was given back is not sent");
}

#[test]
fn a_transaction_at_a_parked_primary_ends_with_the_time_that_requests_are_held() {
    let parked = Member::serving();
    let settings = [("threads", "1"), ("hold-ms-max", "1000"), ("request-timeout-ms", "60000")];
    let front = Front::of_group(shard(1, 1, &[parked.port()]), &settings);
    let mut client = front.client();
    client.check("WATCH k", "+OK");
    client.check("MULTI", "+OK");
    client.check("SET k 1", "+QUEUED");
    parked.turns(Part::Parked);
    let since = Instant::now();
    assert_eq!(client.ask("EXEC"), INDETERMINATE);
    assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
}

#[test]
fn what_blocks_at_a_member_is_not_taken_for_its_silence() {
    let member = Member::start(Part::Parked);
    let settings = [("threads", "1"), ("hold-ms-max", "200"), ("request-timeout-ms", "60000")];
    let front = Front::of_group(shard(1, 1, &[member.port()]), &settings);
    let mut client = front.client();
    client.send(&["WAIT 1 0"]);
    let since = Instant::now();
    until("it has waited for longer than a member may be silent", || {
        assert_eq!(links(&front, "quiet") + links(&front, "silent"), 0.0);
        since.elapsed() > Duration::from_millis(1600)
    });
    member.turns(Part::Serves);
    assert!(!client.read().is_empty());
}

#[test]
fn a_member_at_one_long_command_is_waited_for_on_its_link() {
    let member = Member::start(Part::Parked);
    let front = Front::of_group(shard(1, 3, &[member.port()]), &HOLDS_SHORTLY);
    front.hears_of_work(&[(member.port(), 3)]);
    let (mut long, mut other, mut own) = (front.client(), front.client(), front.client());
    long.send(&["KEYS *"]);
    until("it is busy", || links(&front, "busy") == 1.0);
    other.send(&["SET a 1", "GET a"]);
    own.check("MULTI", "+OK");
    look_on("requests wait for it, and come", || {
        assert_eq!(links(&front, "silent"), 0.0);
        // One that comes now is held, too.
        let mut late = front.client();
        late.send(&["GET b"]);
    });
    assert_eq!(member.links().len(), 1, "nobody looks on another connection whether it lives");
    assert_eq!(member.asked(), ["KEYS *"], "it may be replaced all the same: the others are not sent");
    member.turns(Part::Serves);
    front.hears_of_work(&[]);
    assert_eq!(long.read(), "KEYS *");
    assert_eq!([other.read(), other.read()], ["SET a 1", "GET a"]);
    until("its link is up", || links(&front, "up") == 1.0);
    assert_eq!(member.links().len(), 1);
}

#[test]
fn a_member_that_welcomes_nobody_because_it_is_at_work_is_waited_for() {
    let done = Arc::new(AtomicBool::new(false));
    let node = Fake::start_raw({
        let done = Arc::clone(&done);
        move |conn| {
            until("it has done its work", || done.load(Ordering::SeqCst));
            if conn.welcome() {
                conn.echo();
            }
        }
    });
    let tries_often = [("connect-timeout-ms", "200"), ("reconnect-backoff-ms-max", "50")];
    let settings = [HOLDS_SHORTLY[0], HOLDS_SHORTLY[1], tries_often[0], tries_often[1]];
    let front = Front::of_group(shard(1, 1, &[node.port]), &settings);
    front.hears_of_work(&[(node.port, 1)]);
    let mut client = front.client();
    client.send(&["SET a 1"]);
    let mut late = front.client();
    look_on("it has been tried and tried", || {});
    late.send(&["GET a"]);
    until("both are held", || front.metric("slotway_proxy_held_requests", &[("shard", "1")]) == 2.0);
    front.hears_of_work(&[]);
    done.store(true, Ordering::SeqCst);
    assert_eq!((client.read().as_str(), late.read().as_str()), ("SET a 1", "GET a"));
}

#[test]
fn a_transaction_at_a_member_at_work_is_waited_for_too() {
    let member = Member::serving();
    let front = Front::of_group(shard(1, 1, &[member.port()]), &HOLDS_SHORTLY);
    let mut client = front.client();
    for (line, reply) in [("WATCH k", "+OK"), ("MULTI", "+OK"), ("SET k 1", "+QUEUED")] {
        client.check(line, reply);
    }
    front.hears_of_work(&[(member.port(), 1)]);
    member.turns(Part::Parked);
    client.send(&["EXEC"]);
    until("it is busy", || links(&front, "busy") == 1.0);
    look_on("EXEC is waited for", || assert_eq!(links(&front, "silent"), 0.0));
    member.turns(Part::Serves);
    assert!(!client.read().starts_with('-'));
}

#[test]
fn work_in_another_epoch_or_of_another_node_excuses_nothing() {
    let member = Member::start(Part::Parked);
    let front = Front::of_group(shard(1, 2, &[member.port()]), &HOLDS_SHORTLY);
    front.hears_of_work(&[(member.port(), 1), (1, 2)]);
    let mut client = front.client();
    let since = Instant::now();
    client.send(&["SET a 1"]);
    assert_eq!(client.read(), INDETERMINATE);
    assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
}

#[test]
fn a_member_that_ended_its_work_and_answers_nothing_is_given_up_after_a_hold() {
    let member = Member::start(Part::Parked);
    let front = Front::of_group(shard(1, 1, &[member.port()]), &HOLDS_SHORTLY);
    front.hears_of_work(&[(member.port(), 1)]);
    let (mut reader, mut late) = (front.client(), front.client());
    reader.send(&["GET a"]);
    until("it is busy", || links(&front, "busy") == 1.0);
    late.send(&["SET b 1"]);
    look_on("it is at work", || assert_eq!(links(&front, "silent"), 0.0));
    front.hears_of_work(&[]);
    let since = Instant::now();
    check_no_primary(&reader.read(), 1000);
    check_no_primary(&late.read(), 1000);
    let held = since.elapsed();
    assert!((Duration::from_millis(700)..AT_ONCE).contains(&held), "its reply may be on its way: {held:?}");
}

#[test]
fn work_that_takes_longer_than_a_reply_may_is_not_waited_for() {
    let member = Member::start(Part::Parked);
    let settings = [("hold-ms-max", "200"), ("request-timeout-ms", "2000")];
    let front = Front::of_group(shard(1, 1, &[member.port()]), &settings);
    front.hears_of_work(&[(member.port(), 1)]);
    let (mut reader, mut writer, mut late) = (front.client(), front.client(), front.client());
    reader.send(&["GET a"]);
    writer.send(&["SET b 1"]);
    until("it is busy", || links(&front, "busy") == 1.0);
    late.send(&["SET c 1"]);
    assert_eq!(reader.read(), "-TIMEOUT no reply from shard 1 within 2000 ms");
    assert_eq!(writer.read(), INDETERMINATE);
    check_no_primary(&late.read(), 2000);
    check_no_primary(&late.ask("GET d"), 2000);
}

#[test]
fn a_member_that_is_replaced_at_its_work_is_not_waited_for() {
    let (stuck, next) = (Member::start(Part::Parked), Member::serving());
    let front = Front::of_group(shard(1, 1, &[stuck.port()]), &[("hold-ms-max", "60000")]);
    front.hears_of_work(&[(stuck.port(), 1)]);
    let (mut reader, mut late) = (front.client(), front.client());
    reader.send(&["GET a"]);
    until("it is busy", || links(&front, "busy") == 1.0);
    late.send(&["SET b 1"]);
    until("this one is held", || front.metric("slotway_proxy_held_requests", &[("shard", "1")]) == 1.0);
    let since = Instant::now();
    front.learn(shard(2, 2, &[next.port()]));
    assert_eq!((reader.read().as_str(), late.read().as_str()), ("GET a", "SET b 1"));
    assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
}
