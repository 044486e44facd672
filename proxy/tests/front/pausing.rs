//! CLIENT PAUSE: whose requests wait, for how long, and that nothing of what waited is lost or changes places.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    backend::{Fake, Redis},
    front::Front,
    peer::{Peer, until},
    scripts::{Gate, read_all},
};

/// A node that answers each request with its words, and an operator on another data thread than the client.
fn scene() -> (Fake, Front, Peer, Peer) {
    let fake = Fake::start(|conn| conn.echo());
    // Connections are spread evenly over the two threads.
    let front = Front::of(&[fake.port]);
    let (mut operator, mut client) = (front.client(), front.client());
    operator.check("PING", "+PONG");
    client.check("CLIENT SETNAME client", "+OK");
    (fake, front, operator, client)
}

/// The operator sees that the client waits.
fn until_it_waits(operator: &mut Peer) {
    until("the client waits", || {
        let list = operator.ask("CLIENT LIST");
        list.lines().any(|line| {
            line.contains("name=client")
                && line.split(' ').any(|word| word == "flags=b" || word == "flags=xb")
        })
    });
}

#[test]
fn writes_of_other_threads_wait_until_unpause_and_keep_their_order() {
    let (fake, front, mut operator, mut client) = scene();
    operator.check("CLIENT PAUSE 1000000 WRITE", "+OK");
    client.send(&["GET a", "SET a 1", "GET b", "DEL a", "GET c"]);
    assert_eq!(client.read(), "GET a");
    until_it_waits(&mut operator);
    operator.check("GET z", "GET z");
    assert_eq!(fake.log(), ["GET a", "GET z"]);
    let mut other = front.client();
    other.send(&["PING", "INCR other"]);
    assert_eq!(other.read(), "+PONG");
    operator.check("CLIENT UNPAUSE", "+OK");
    for line in ["SET a 1", "GET b", "DEL a", "GET c"] {
        assert_eq!(client.read(), line);
    }
    assert_eq!(other.read(), "INCR other");
    client.check("SET a 2", "SET a 2");
}

#[test]
fn a_pause_is_in_force_when_the_writes_before_it_are_over() {
    let (gate, answered) = (Gate::default(), Arc::new(AtomicBool::new(false)));
    let fake = Fake::start({
        let (gate, answered) = (gate.clone(), Arc::clone(&answered));
        move |conn| {
            while let Some(line) = conn.next() {
                if line.starts_with("SET") {
                    gate.wait();
                    answered.store(true, Ordering::SeqCst);
                }
                conn.reply("+OK\r\n");
            }
        }
    });
    let front = Front::of(&[fake.port]);
    let (mut operator, mut client, mut watcher) = (front.client(), front.client(), front.client());
    client.send(&["GET a", "SET a 1", "GET a"]);
    until("the node has the write", || fake.count("SET a 1") == 1);
    std::thread::scope(|scope| {
        let paused = scope.spawn(|| {
            operator.check("CLIENT PAUSE 1000000 WRITE", "+OK");
            answered.load(Ordering::SeqCst)
        });
        until("it has been asked for", || watcher.ask("CLIENT LIST").contains(" cmd=client|pause "));
        gate.open();
        assert!(paused.join().unwrap(), "the write was answered before");
    });
    assert_eq!(read_all(&mut client, 3), "+OK +OK +OK");
    operator.check("CLIENT UNPAUSE", "+OK");
}

#[test]
fn everything_waits_for_the_end_of_a_pause_of_all() {
    let (_fake, front, mut operator, mut client) = scene();
    let started = Instant::now();
    operator.check("CLIENT PAUSE 300", "+OK");
    client.send(&["PING", "GET a"]);
    operator.send(&["CLIENT UNPAUSE"]);
    front.client().check_all(&[("NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: ")]);
    assert_eq!((client.read(), client.read()), ("+PONG".to_owned(), "GET a".to_owned()));
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
    assert_eq!(operator.read(), "+OK");
}

#[test]
fn who_pauses_waits_too() {
    let (_fake, _front, mut operator, _client) = scene();
    let started = Instant::now();
    operator.check_all(&[("CLIENT PAUSE 200 WRITE", "+OK"), ("GET a", "GET a"), ("SET a 1", "SET a 1")]);
    assert!(started.elapsed() >= Duration::from_millis(200), "{:?}", started.elapsed());
}

#[test]
fn a_further_pause_makes_it_longer_and_stricter_never_shorter() {
    let (fake, _front, mut operator, mut client) = scene();
    operator.check("CLIENT PAUSE 1000000 WRITE", "+OK");
    operator.check("CLIENT PAUSE 1 WRITE", "+OK");
    client.send(&["SET a 1"]);
    until_it_waits(&mut operator);
    let started = Instant::now();
    // What was paused for its time is over before long, and would let the write go if it had replaced the first.
    until("several sweeps have passed", || started.elapsed() > Duration::from_millis(200));
    until_it_waits(&mut operator);
    assert_eq!(fake.count("SET a 1"), 0);
    operator.check("CLIENT UNPAUSE", "+OK");
    assert_eq!(client.read(), "SET a 1");
}

#[test]
fn a_transaction_waits_where_it_writes() {
    let redis = Redis::start();
    let front = Front::of(&[redis.port]);
    let (mut operator, mut client) = (front.client(), front.client());
    let mut queued = front.client();
    client.check_all(&[("CLIENT SETNAME client", "+OK"), ("MULTI", "+OK"), ("SET a 1", "+QUEUED")]);
    queued.check_all(&[("MULTI", "+OK"), ("GET a", "+QUEUED")]);
    operator.check("CLIENT PAUSE 1000000 WRITE", "+OK");
    queued.check("EXEC", "[nil]");
    client.send(&["EXEC"]);
    until_it_waits(&mut operator);
    queued.check("MULTI", "+OK");
    queued.send(&["GET a", "DEL a", "EXEC"]);
    assert_eq!(queued.read(), "+QUEUED");
    operator.check("CLIENT UNPAUSE", "+OK");
    assert_eq!(client.read(), "[+OK]");
    assert_eq!(queued.read(), "+QUEUED");
    // Which of the two goes first is open.
    assert!(queued.read().starts_with('['));
}

#[test]
fn a_client_that_waits_is_not_idle_and_one_that_is_killed_is_gone() {
    let fake = Fake::start(|conn| conn.echo());
    let front = Front::with(&[fake.port], &[("timeout", "1")]);
    let (mut operator, mut client, mut victim) = (front.client(), front.client(), front.client());
    client.check("CLIENT SETNAME client", "+OK");
    let id = victim.ask("CLIENT ID").trim_start_matches(':').to_owned();
    operator.check("CLIENT PAUSE 1000000 WRITE", "+OK");
    client.send(&["SET a 1"]);
    victim.send(&["SET b 1"]);
    until_it_waits(&mut operator);
    operator.check(&format!("CLIENT KILL ID {id}"), ":1");
    victim.check_closed();
    let started = Instant::now();
    until("idle clients would be closed", || {
        operator.check("PING", "+PONG");
        started.elapsed() > Duration::from_millis(2500)
    });
    operator.check("CLIENT UNPAUSE", "+OK");
    assert_eq!(client.read(), "SET a 1");
    assert_eq!(fake.count("SET b 1"), 0);
}

#[test]
fn bad_requests_are_answered_as_redis_does() {
    let redis = Redis::start();
    let front = Front::of(&[redis.port]);
    let (mut client, mut oracle) = (front.client(), redis.client());
    for line in [
        "CLIENT PAUSE x",
        "CLIENT PAUSE -1",
        "CLIENT PAUSE 1 FOO",
        "CLIENT PAUSE 1 WRITE x",
        "CLIENT PAUSE 99999999999999999999",
        "CLIENT PAUSE",
        "CLIENT UNPAUSE 1",
        "CLIENT PAUSE 0",
        "CLIENT UNPAUSE",
    ] {
        assert_eq!(client.ask(line), oracle.ask(line), "{line}");
    }
    client.check_all(&[
        ("MULTI", "+OK"),
        ("CLIENT PAUSE 1", "-ERR Command not allowed inside a transaction"),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
    ]);
}
