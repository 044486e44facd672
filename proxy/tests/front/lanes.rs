//! A long reply on a shared link: others do not wait for the rest of it, and nobody's requests change places.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use crate::{
    backend::{Fake, bulk},
    front::Front,
    peer::{Peer, until},
    scripts::Gate,
};

const LONG: usize = 3_000_000;

/// What came on which connection.
type Log = Arc<Mutex<Vec<(usize, String)>>>;

/// A node that echoes. Of `GET long` it sends most when `begin` is open and the rest when `end` is; `GET slow` waits for `end`.
fn node(begin: &Gate, end: &Gate) -> (Fake, Log) {
    let (log, begin, end) = (Log::default(), begin.clone(), end.clone());
    let seen = Arc::clone(&log);
    let fake = Fake::start(move |conn| {
        let mut queues = false;
        while let Some(line) = conn.next() {
            seen.lock().unwrap().push((conn.number, line.clone()));
            match line.as_str() {
                "GET long" => {
                    begin.wait();
                    let reply = bulk(&"v".repeat(LONG));
                    let (first, rest) = reply.as_bytes().split_at(LONG - 1000);
                    conn.stream().write_all(first).unwrap();
                    end.wait();
                    conn.stream().write_all(rest).unwrap();
                }
                "GET slow" => {
                    end.wait();
                    conn.reply(&bulk(&line));
                }
                "MULTI" => {
                    queues = true;
                    conn.reply("+OK\r\n");
                }
                "EXEC" => {
                    queues = false;
                    conn.reply("*1\r\n+OK\r\n");
                }
                _ if queues => conn.reply("+QUEUED\r\n"),
                _ => conn.reply(&bulk(&line)),
            }
        }
    });
    (fake, log)
}

fn open() -> Gate {
    let gate = Gate::default();
    gate.open();
    gate
}

/// Where the requests that begin so came, in their order.
fn places(log: &Log, start: &str) -> Vec<usize> {
    let log = log.lock().unwrap();
    log.iter().filter(|(_, line)| line.starts_with(start)).map(|(number, _)| *number).collect()
}

/// A client whose long reply has come in part, and the link beside is up.
fn reading(front: &Front, node: &Fake) -> Peer {
    let mut reader = front.client();
    reader.send(&["GET long"]);
    until("a second link is up", || {
        node.connections() == 2 && front.metric("slotway_proxy_links", &[("state", "up")]) == 2.0
    });
    reader
}

#[test]
fn who_comes_while_a_long_reply_arrives_takes_the_link_beside() {
    let end = Gate::default();
    let (node, log) = node(&open(), &end);
    let front = Front::with(&[node.port], &[("threads", "1")]);
    let mut reader = reading(&front, &node);
    for _ in 0..3 {
        front.client().check_all(&[("GET a", "GET a"), ("SET a 1", "SET a 1")]);
    }
    assert_eq!(places(&log, "GET a"), [1, 1, 1]);
    end.open();
    assert_eq!(reader.read().len(), LONG);
    until("the usual link is used again", || {
        front.client().check("SET b 1", "SET b 1");
        places(&log, "SET b").contains(&0)
    });
}

#[test]
fn who_reads_long_replies_leaves_the_usual_link_to_others() {
    let end = open();
    let (node, log) = node(&open(), &end);
    let front = Front::with(&[node.port], &[("threads", "1")]);
    let mut reader = reading(&front, &node);
    assert_eq!(reader.read().len(), LONG);
    for _ in 0..3 {
        assert_eq!(reader.ask("GET long").len(), LONG);
        front.client().check("GET a", "GET a");
    }
    assert_eq!(places(&log, "GET long"), [0, 1, 1, 1]);
    assert_eq!(places(&log, "GET a"), [0, 0, 0]);
    assert_eq!(node.connections(), 2);
}

#[test]
fn who_has_something_in_flight_stays_on_its_link() {
    let (begin, end) = (Gate::default(), Gate::default());
    let (node, log) = node(&begin, &end);
    let front = Front::with(&[node.port], &[("threads", "1")]);
    let (mut reader, mut early) = (front.client(), front.client());
    reader.send(&["GET long"]);
    until("it is asked for", || places(&log, "GET long") == [0]);
    early.send(&["GET early"]);
    begin.open();
    until("a second link is up", || {
        node.connections() == 2 && front.metric("slotway_proxy_links", &[("state", "up")]) == 2.0
    });
    early.send(&["SET early 1", "MULTI", "SET early 2", "EXEC"]);
    front.client().check("GET other", "GET other");
    assert_eq!(places(&log, "SET early"), Vec::<usize>::new(), "nothing overtakes");
    end.open();
    assert_eq!(early.read(), "GET early");
    assert_eq!(early.read(), "SET early 1");
    assert_eq!([early.read(), early.read(), early.read()], ["+OK", "+QUEUED", "[+OK]"]);
    assert_eq!((places(&log, "SET early"), places(&log, "GET other")), (vec![0, 0], vec![1]));
    assert_eq!(reader.read().len(), LONG);
}

#[test]
fn a_transaction_behind_what_is_in_flight_beside_goes_beside() {
    let end = Gate::default();
    let (node, log) = node(&open(), &end);
    let front = Front::with(&[node.port], &[("threads", "1")]);
    let mut reader = reading(&front, &node);
    let mut client = front.client();
    client.send(&["GET slow", "MULTI", "SET slow 1", "EXEC", "MGET slow slower", "SET slow 2"]);
    until("the first has come", || places(&log, "GET slow") == [1]);
    end.open();
    assert_eq!(client.read(), "GET slow");
    assert_eq!([client.read(), client.read(), client.read()], ["+OK", "+QUEUED", "[+OK]"]);
    client.read();
    assert_eq!(client.read(), "SET slow 2");
    assert_eq!(places(&log, "SET slow"), [1, 1]);
    assert_eq!(reader.read().len(), LONG);
}
