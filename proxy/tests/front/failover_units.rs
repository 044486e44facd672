//! A shard's primary is replaced: transactions, watched keys, reads of replicas, and writes that lack copies.

use crate::{
    backend::Closed,
    front::Front,
    large_requests::{set, streamed},
    member::{Member, Part, shard},
    peer::until,
};

const PATIENT: [(&str, &str); 3] =
    [("hold-ms-max", "60000"), ("reconnect-backoff-ms-min", "30000"), ("reconnect-backoff-ms-max", "30000")];
const NOREPLICAS: &str = "NOREPLICAS Not enough good replicas to write.";

fn held(front: &Front) -> f64 {
    front.metric("slotway_proxy_held_requests", &[("shard", "1")])
}

#[test]
fn a_transaction_that_was_refused_is_sent_again_as_a_whole() {
    for refusal in ["STALE 2 5", NOREPLICAS] {
        let (one, next) = (Member::start(Part::Refuses(refusal)), Member::serving());
        let front = Front::of_group(shard(1, 1, &[one.port()]), &PATIENT);
        let mut client = front.client();
        client.send(&["MULTI", "SET {t}a 1", "GET {t}b", "EXEC"]);
        assert_eq!([client.read(), client.read(), client.read()], ["+OK", "+QUEUED", "+QUEUED"]);
        until("it is held", || held(&front) == 1.0);
        front.learn(shard(5, 2, &[next.port()]));
        assert_eq!(client.read(), "[ran]", "{refusal}");
        assert_eq!(next.asked(), ["MULTI", "SET {t}a 1", "GET {t}b", "EXEC"]);
    }
}

#[test]
fn one_that_was_in_flight_at_a_primary_that_is_cut_off_is_of_unknown_outcome() {
    let (one, next) = (Member::start(Part::Parked), Member::serving());
    let front = Front::of_group(shard(1, 1, &[one.port()]), &PATIENT);
    let mut client = front.client();
    client.send(&["MULTI", "INCR a", "EXEC"]);
    assert_eq!([client.read(), client.read()], ["+OK", "+QUEUED"]);
    until("it is quiet", || front.metric("slotway_proxy_links", &[("state", "quiet")]) == 1.0);
    front.learn(shard(2, 2, &[next.port()]));
    assert_eq!(client.read(), "-INDETERMINATE the write may or may not have been applied");
    assert!(next.asked().is_empty());
}

#[test]
fn what_was_watched_in_an_earlier_reign_has_changed() {
    let (one, next) = (Member::serving(), Member::serving());
    let front = Front::of_group(shard(1, 1, &[one.port()]), &PATIENT);
    let mut client = front.client();
    client.check("WATCH k", "+OK");
    front.learn(shard(2, 2, &[next.port(), one.port()]));
    client.check_all(&[("MULTI", "+OK"), ("INCR k", "+QUEUED"), ("EXEC", "nil")]);
    assert_eq!((one.count("INCR k"), next.count("INCR k")), (0, 0));
    client.check_all(&[("WATCH k", "+OK"), ("MULTI", "+OK"), ("INCR k", "+QUEUED"), ("EXEC", "[ran]")]);
    assert_eq!(next.count("INCR k"), 1);
    until("the link of the earlier reign is gone", || {
        front.metric("slotway_proxy_links", &[("state", "up")])
            == front.metric("slotway_proxy_leased_links", &[("state", "free")])
    });
    assert!(one.links().iter().all(|link| link.ends_with(" 1 1 1")), "{:?}", one.links());
}

#[test]
fn a_watch_that_no_node_has_seen_when_the_reign_ends_is_lost_not_late() {
    let (dead, next) = (Closed::new(), Member::serving());
    let front = Front::of_group(shard(1, 1, &[dead.port]), &PATIENT);
    let mut client = front.client();
    client.send(&["WATCH k"]);
    until("it is held", || held(&front) == 1.0);
    front.learn(shard(2, 2, &[next.port()]));
    assert_eq!(client.read(), "+OK");
    client.check_all(&[("MULTI", "+OK"), ("INCR k", "+QUEUED"), ("EXEC", "nil")]);
    client.check_all(&[("WATCH k", "+OK"), ("MULTI", "+OK"), ("INCR k", "+QUEUED"), ("EXEC", "[ran]")]);
}

#[test]
fn a_watch_in_flight_at_a_primary_that_is_cut_off_is_lost() {
    let (one, next) = (Member::start(Part::Parked), Member::serving());
    let front = Front::of_group(shard(1, 1, &[one.port()]), &PATIENT);
    let mut client = front.client();
    client.send(&["WATCH k"]);
    until("it has it", || one.count("WATCH k") == 1);
    front.learn(shard(2, 2, &[next.port()]));
    assert_eq!(client.read(), "+OK");
    client.check_all(&[("MULTI", "+OK"), ("INCR k", "+QUEUED"), ("EXEC", "nil")]);
    assert_eq!(next.count("INCR k"), 0);
}

#[test]
fn wait_ends_with_its_primary() {
    let (one, next) = (Member::start(Part::Parked), Member::serving());
    let front = Front::of_group(shard(1, 1, &[one.port()]), &PATIENT);
    let mut client = front.client();
    client.send(&["WAIT 1 0"]);
    until("it waits", || one.count("WAIT 1 0") == 1);
    front.learn(shard(2, 2, &[next.port()]));
    let told = client.read();
    assert!(told.starts_with("-TRYAGAIN shard 1 has no primary"), "{told}");
    client.check("GET a", "GET a");
}

#[test]
fn a_member_that_lacks_copies_is_waited_for() {
    let node = Member::start(Part::Refuses(NOREPLICAS));
    let front = Front::of_group(shard(1, 1, &[node.port()]), &PATIENT);
    let mut client = front.client();
    client.send(&["SET a 1", "GET a"]);
    until("it is held", || held(&front) >= 1.0 && node.count("SET a 1") >= 2);
    node.turns(Part::Serves);
    assert_eq!([client.read(), client.read()], ["SET a 1", "GET a"]);
}

#[test]
fn a_write_that_lacked_copies_for_too_long_is_told_so() {
    let node = Member::start(Part::Refuses(NOREPLICAS));
    let front = Front::of_group(shard(1, 1, &[node.port()]), &[("hold-ms-max", "300")]);
    front.client().check("SET a 1", &format!("-{NOREPLICAS}"));
    assert!(node.count("SET a 1") > 2);
    // Whom no control group leads says it for good.
    let front = Front::of(&[node.port()]);
    let asked = node.count("SET b 1");
    front.client().check("SET b 1", &format!("-{NOREPLICAS}"));
    assert_eq!(node.count("SET b 1"), asked + 1);
}

#[test]
fn reads_of_replicas_follow_the_reign_too() {
    let (primary, replica) = (Member::serving(), Member::serving());
    let settings = [("read-from", "replica"), ("hold-ms-max", "60000")];
    let front = Front::of_group(shard(1, 1, &[primary.port(), replica.port()]), &settings);
    let mut client = front.client();
    client.check("GET a", "GET a");
    assert_eq!((primary.count("GET a"), replica.count("GET a")), (0, 1));
    // They change parts.
    front.learn(shard(2, 2, &[replica.port(), primary.port()]));
    until("the other is read", || {
        client.check("GET a", "GET a");
        primary.count("GET a") > 0
    });
    let asked = replica.count("GET a");
    client.check("GET a", "GET a");
    assert_eq!(replica.count("GET a"), asked);
    assert!(primary.links().iter().all(|link| link.ends_with(" 1 2 2")), "{:?}", primary.links());
}

#[test]
fn a_read_in_flight_at_a_replica_that_is_cut_off_goes_to_another() {
    let (primary, cut_off, other) = (Member::serving(), Member::start(Part::Parked), Member::serving());
    let settings = [("read-from", "replica"), ("hold-ms-max", "60000")];
    let front = Front::of_group(shard(1, 1, &[primary.port(), cut_off.port()]), &settings);
    let mut client = front.client();
    client.send(&["GET a"]);
    until("it has it", || cut_off.count("GET a") == 1);
    front.learn(shard(2, 2, &[primary.port(), other.port()]));
    assert_eq!(client.read(), "GET a");
    assert_eq!((primary.count("GET a"), other.count("GET a")), (0, 1));
}

#[test]
fn a_large_request_waits_for_a_primary_before_its_first_byte_leaves() {
    let (dead, next) = (Closed::new(), Member::serving());
    let front = Front::of_group(shard(1, 1, &[dead.port]), &PATIENT);
    let mut client = front.client();
    client.send_bytes(&set("k", 300_000, 0));
    until("it is asked where it belongs", || held(&front) == 1.0);
    assert_eq!(streamed(&front), 0.0);
    front.learn(shard(2, 2, &[next.port()]));
    assert!(client.read().starts_with("SET k vvv"));
    // Another one need not ask.
    client.send_bytes(&set("k", 300_000, 0));
    assert!(client.read().starts_with("SET k vvv"));
    let asked: Vec<String> = next.asked().iter().map(|line| line.chars().take(8).collect()).collect();
    assert_eq!(asked, ["exists k", "SET k vv", "SET k vv"]);
}

#[test]
fn a_request_of_several_keys_stays_whole_while_a_member_may_not_serve() {
    let node = Member::start(Part::Refuses("TRYAGAIN no lease"));
    let front = Front::of_group(shard(1, 1, &[node.port()]), &PATIENT);
    let mut client = front.client();
    client.send(&["DEL {t}a {t}b"]);
    until("it was asked again", || node.asked().len() >= 3);
    node.turns(Part::Serves);
    assert_eq!(client.read(), "DEL {t}a {t}b");
    assert!(node.asked().iter().all(|line| line == "DEL {t}a {t}b"));
}
