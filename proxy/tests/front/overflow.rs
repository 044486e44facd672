//! More is asked of a shard than may be held for it: by bytes, by count, on whatever links; who is told, and who is not.

use slotway_cluster::{NodeId, ShardId, SlotRange, Topology};

use crate::{
    backend::Closed,
    front::Front,
    holding::check_no_primary,
    keys::key_of,
    member::{Member, Part, shard},
    peer::{Peer, until},
};

/// What is held here would be held for ever. One data thread has all of the room.
const PATIENT: [(&str, &str); 4] = [
    ("threads", "1"),
    ("hold-ms-max", "60000"),
    ("reconnect-backoff-ms-min", "30000"),
    ("reconnect-backoff-ms-max", "30000"),
];

/// Shards 1 and 2, each with half of the slots and one member; the first in this epoch.
fn two(version: u64, epoch: u64, members: [u16; 2]) -> Topology {
    let (mut both, mut second) = (shard(version, epoch, &members[..1]), shard(version, 1, &members[1..]));
    let halves = SlotRange::equal(2);
    (both.shards[0].slots, second.shards[0].slots) = (vec![halves[0]], vec![halves[1]]);
    let id = NodeId("n9".into());
    (second.shards[0].id, second.shards[0].primary, second.nodes[0].id) = (ShardId(2), id.clone(), id);
    both.shards.append(&mut second.shards);
    both.nodes.append(&mut second.nodes);
    both
}

fn held(front: &Front, shard: &str) -> f64 {
    front.metric("slotway_proxy_held_requests", &[("shard", shard)])
}

fn front(topology: Topology, limit: (&str, &str)) -> Front {
    let settings: Vec<(&str, &str)> = PATIENT.into_iter().chain([limit]).collect();
    Front::of_group(topology, &settings)
}

/// A request of the first shard, of about 6,000 bytes.
fn large(name: usize) -> String {
    format!("SET {} {}", key_of(0, 2, name), "v".repeat(6000))
}

fn check_goes_on(client: &mut Peer) {
    let line = format!("SET {} 1", key_of(1, 2, 0));
    client.check(&line, &line);
}

#[test]
fn past_the_bytes_that_may_be_held_clients_are_told_to_try_again_and_other_shards_go_on() {
    let (dead, works, next) = (Closed::new(), Member::serving(), Member::serving());
    let front = front(two(1, 1, [dead.port, works.port()]), ("hold-bytes-max", "20000"));
    let (mut first, mut other) = (front.client(), front.client());
    first.send(&[&large(0)]);
    until("it is held", || held(&front, "1") == 1.0);
    until("the proxy knows that the member is away", || {
        front.metric("slotway_proxy_links", &[("state", "down")]) == 1.0
    });
    // On links of other kinds to the same shard, too: they have one room.
    let mut elsewhere = front.client();
    elsewhere.ask("HELLO 3");
    elsewhere.send(&[&large(1)]);
    until("it is held, too", || held(&front, "1") == 2.0);
    first.send(&[&large(2)]);
    until("so is the third", || held(&front, "1") == 3.0);
    check_no_primary(&front.client().ask(&large(3)), 0);
    check_no_primary(&front.client().ask(&format!("{}{}", large(4), "v".repeat(10_000))), 0);
    check_goes_on(&mut other);
    assert_eq!(held(&front, "2"), 0.0);

    front.learn(two(2, 2, [next.port(), works.port()]));
    assert_eq!([first.read(), first.read()], [large(0), large(2)]);
    assert_eq!(elsewhere.read(), large(1));
    assert_eq!(next.asked().len(), 3, "nothing of what was given back");
    other.check(&large(3), &large(3));
}

#[test]
fn past_the_requests_that_may_wait_clients_are_told_which_limit_is_reached() {
    let (dead, works, next) = (Closed::new(), Member::serving(), Member::serving());
    let front = front(two(1, 1, [dead.port, works.port()]), ("requests-in-flight-per-link", "3"));
    let lines: Vec<String> = (0..3).map(|name| format!("INCR {}", key_of(0, 2, name))).collect();
    let mut first = front.client();
    first.send(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    until("they are held", || held(&front, "1") == 3.0);
    let mut other = front.client();
    other.check(&lines[0], "-BUSY proxy limit requests-in-flight-per-link reached");
    check_goes_on(&mut other);
    front.learn(two(2, 2, [next.port(), works.port()]));
    lines.iter().for_each(|line| assert_eq!(first.read(), *line));
    other.check(&lines[0], &lines[0]);
    assert_eq!(next.asked().len(), 4);
}

#[test]
fn what_a_member_was_sent_before_it_fell_quiet_takes_no_room_from_what_is_held() {
    let (parked, works) = (Member::start(Part::Parked), Member::serving());
    let front = front(two(1, 1, [parked.port(), works.port()]), ("hold-bytes-max", "10000"));
    let (mut sent, mut held_one, mut other) = (front.client(), front.client(), front.client());
    sent.send(&[&large(0)]);
    until("it is quiet", || front.metric("slotway_proxy_links", &[("state", "quiet")]) == 1.0);
    held_one.send(&[&large(1)]);
    until("it is held", || held(&front, "1") == 1.0);
    check_no_primary(&front.client().ask(&large(2)), 0);
    check_goes_on(&mut other);
    parked.turns(Part::Serves);
    assert_eq!([sent.read(), held_one.read()], [large(0), large(1)]);
}
