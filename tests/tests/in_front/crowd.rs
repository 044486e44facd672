//! The crowd itself: where all is well it says so, and what it must notice it notices.

use slotway_tests::crowd::{Crowd, Walks};
use slotway_tests::in_front::PlainServers;

/// Answers after which every client had many turns.
const ENOUGH: u64 = 3000;

#[test]
fn a_crowd_at_one_plain_server_has_nothing_to_say() {
    let servers = PlainServers::start(1);
    let crowd = Crowd::start(servers.servers[0].port(), Walks::Complete);
    crowd.wait_for(ENOUGH);
    let outcome = crowd.stop();
    outcome.must_be_clean();
    assert!(outcome.requests >= ENOUGH && outcome.errors.is_empty(), "{outcome}");
}

#[test]
fn a_crowd_notices_that_acknowledged_writes_are_gone() {
    let servers = PlainServers::start(1);
    let crowd = Crowd::start(servers.servers[0].port(), Walks::Complete);
    crowd.wait_for(ENOUGH);
    servers.servers[0].must("FLUSHALL");
    crowd.wait_for(ENOUGH);
    let outcome = crowd.stop();
    for key in ["count:", "own:", "list:", "many:", "account:", "watched:", "KEYS"] {
        assert!(outcome.lost.iter().any(|text| text.contains(key)), "nothing lost of {key} in {outcome}");
    }
}

#[test]
fn a_crowd_notices_what_was_done_twice_or_by_nobody() {
    let servers = PlainServers::start(1);
    let server = &servers.servers[0];
    let crowd = Crowd::start(server.port(), Walks::Complete);
    crowd.wait_for(ENOUGH);
    server.must("INCR count:c1:3");
    server.must("SET own:o0:2 999999999");
    server.must("RPUSH list:l0:1 1");
    server.must("INCR account:{a0}:1");
    let outcome = crowd.stop();
    for key in ["count:c1:3", "own:o0:2", "list:l0:1", "account:{a0}"] {
        assert!(outcome.wrong.iter().any(|text| text.contains(key)), "nothing wrong with {key} in {outcome}");
    }
}

#[test]
fn a_crowd_notices_errors_and_closed_connections() {
    let mut servers = PlainServers::start(1);
    let server = &mut servers.servers[0];
    let crowd = Crowd::start(server.port(), Walks::Complete);
    crowd.wait_for(ENOUGH);
    server.must("CONFIG SET maxmemory 1");
    crowd.wait_for(ENOUGH);
    server.must("CONFIG SET maxmemory 0");
    server.must("CLIENT KILL TYPE normal SKIPME yes");
    crowd.wait_until_all_are_closed();
    let outcome = crowd.stop();
    assert!(outcome.errors_with("OOM") > 0, "{outcome}");
    assert!(outcome.closed > 5 && outcome.other_errors() >= outcome.errors_with("OOM"), "{outcome}");
}
