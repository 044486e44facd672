//! Clients that leave while their large requests are held back: the links that they leased are free at once.

use std::net::Shutdown;

use crate::{
    backend::{Closed, Redis},
    front::Front,
    large_requests::{MB, leased, set},
    peer::{Peer, until},
};

fn is_paused(operator: &mut Peer) -> bool {
    operator
        .ask("CLIENT LIST")
        .lines()
        .any(|line| line.contains("name=client ") && line.contains(" flags=b "))
}

/// A client whose large request is held back by a pause, with the last `missing` bytes not sent.
fn held_back(front: &Front, operator: &mut Peer, missing: usize) -> Peer {
    let mut client = front.client();
    client.check("CLIENT SETNAME client", "+OK");
    let bytes = set("k", MB, 0);
    client.send_bytes(&bytes[..MB / 2]);
    until("it has begun", || leased(front, "leased") == 1.0);
    operator.check("CLIENT PAUSE 60000 WRITE", "+OK");
    client.send_bytes(&bytes[MB / 2..bytes.len() - missing]);
    until("it waits for the pause", || is_paused(operator));
    client
}

#[test]
fn one_that_leaves_during_a_pause_gives_its_link_back() {
    let redis = Redis::start();
    let front = Front::with(&[redis.port], &[("threads", "1"), ("leased-links-per-node-max", "1")]);
    let mut operator = front.client();
    for how in ["closes", "closes its sending side"] {
        let client = held_back(&front, &mut operator, 10);
        match how {
            "closes" => drop(client),
            _ => client.stream.shutdown(Shutdown::Write).unwrap(),
        }
        until(how, || leased(&front, "leased") == 0.0 && leased(&front, "leaving") == 0.0);
        assert_eq!(front.clients(), 1);
        operator.check("CLIENT UNPAUSE", "+OK");
    }
    operator.send_bytes(&set("other", MB, 0));
    assert_eq!(operator.read(), "+OK");
    operator.check("EXISTS k", ":0");
}

#[test]
fn one_that_has_sent_everything_is_answered_after_the_pause() {
    let redis = Redis::start();
    let front = Front::with(&[redis.port], &[("threads", "1")]);
    let mut operator = front.client();
    let mut client = held_back(&front, &mut operator, 0);
    client.finish_sending();
    let list = operator.ask("CLIENT LIST");
    assert!(list.contains("name=client "), "{list}");
    operator.check("CLIENT UNPAUSE", "+OK");
    assert_eq!(client.read(), "+OK");
    client.check_closed();
    operator.check("STRLEN k", ":1000000");
}

#[test]
fn one_that_leaves_while_the_node_is_away_gives_its_link_back() {
    let nobody = Closed::new();
    let settings = [("threads", "1"), ("leased-links-per-node-max", "1"), ("hold-ms-max", "60000")];
    let front = Front::with(&[nobody.port], &settings);
    let mut client = front.client();
    // What the proxy's socket has no room for would hide the end of the stream behind it.
    client.send_bytes(&set("k", MB, 0)[..120_000]);
    until("it has begun", || leased(&front, "leased") == 1.0);
    drop(client);
    until("its link is gone", || leased(&front, "leased") == 0.0 && leased(&front, "leaving") == 0.0);
    let _node = nobody.open(|conn| conn.echo());
    let mut next = front.client();
    next.send_bytes(&set("other", MB, 0));
    assert!(next.read().starts_with("SET other v"));
}
