//! What a node says of sessions beside its data, and what a real redis-server makes of it: nothing.
//!
//! Markers stand in the stream that goes to every replica, and in files that a redis-server may be given: so it must
//! execute them as nothing, count them in its offset like any bytes, and miss no effect around them.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
};

use slotway_cluster::session::{
    Greeting, Marker, Number, Primary, Rebuilt, Reply, SessionId, Table, marker::Item,
};
use slotway_tests::{cluster::wait_until, replicas::Server};

/// An RDB file without keys; it says itself that it has no checksum.
const NOTHING: &[u8] = b"REDIS0010\xFF\0\0\0\0\0\0\0\0";

fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The stream of a primary with two sessions whose replies are of every kind.
fn stream() -> Vec<u8> {
    let (mut table, mut primary) = (Table::default(), Primary::default());
    let mut counters = [1, 2].map(|link| {
        let session = SessionId { proxy: slotway_cluster::Incarnation(7), link };
        primary.greet(&table, &Greeting { session, floor: Number::FIRST }).unwrap().0
    });
    let mut stream = command(&[b"SELECT", b"0"]);
    for turn in 0..200_u8 {
        let author = counters[usize::from(turn / 3 % 2)].count();
        let answer = match turn % 5 {
            0 => (Reply::of(&[b"$3\r\n\xFF,\0\r\n".as_slice(), &[turn]].concat()), Rebuilt::Not),
            1 => {
                primary.changed_nothing(&table, author, None, Reply::of(b"-ERR no\r\n"));
                continue;
            }
            _ => (Reply::Integer(1), Rebuilt::ByReplay),
        };
        let marker = primary.unit(&mut table, Some(author), None, answer);
        stream.extend(marker.iter().flat_map(Marker::unit));
        let unit = [command(&[b"INCR", b"counter"]), command(&[b"RPUSH", b"turns", &[turn]])].concat();
        stream.extend([command(&[b"MULTI"]), unit, command(&[b"EXEC"])].concat());
    }
    stream
}

#[test]
fn a_redis_replica_executes_markers_as_nothing_and_counts_their_bytes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let redis = Server::redis(&[]);
    redis.follow_port(listener.local_addr().unwrap().port());
    let mut socket = listener.accept().unwrap().0;
    let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
    let mut hears = |wanted: &str| {
        lines.by_ref().map(Result::unwrap).find(|line| line.eq_ignore_ascii_case(wanted)).unwrap();
    };
    hears("PING");
    socket.write_all(b"+PONG\r\n").unwrap();
    for _ in 0..2 {
        hears("REPLCONF");
        socket.write_all(b"+OK\r\n").unwrap();
    }
    hears("PSYNC");
    let full = format!("+FULLRESYNC {} 0\r\n${}\r\n", "5107".repeat(10), NOTHING.len());
    socket.write_all(full.as_bytes()).unwrap();
    socket.write_all(NOTHING).unwrap();
    // Within a transaction, too, whoever may write one there.
    let within = Marker { items: vec![Item::Turn(None)] }.unit();
    let tail =
        [command(&[b"MULTI"]), within, command(&[b"SET", b"last", b"1"]), command(&[b"EXEC"])].concat();
    let stream = [stream(), tail].concat();
    socket.write_all(&stream).unwrap();
    let end = u64::try_from(stream.len()).unwrap();
    wait_until("it holds everything", || redis.info("slave_repl_offset") == end);
    assert_eq!(redis.ask("GET counter").as_str(), Some("160"));
    assert_eq!(redis.ask("LLEN turns").as_integer(), Some(160));
    assert_eq!(redis.ask("GET last").as_str(), Some("1"));
    assert_eq!(redis.ask("DBSIZE").as_integer(), Some(3));
    assert!(!redis.log().contains("error"), "{}", redis.log());
}
