//! Prints what parsing costs: nanoseconds per request of a pipelined batch, and per reply scanned.
//!
//! `cargo run --release -p slotway-resp --example parse_cost`

#![allow(clippy::disallowed_methods, reason = "a stopwatch looks at the clock")]

use std::hint::black_box;
use std::time::Instant;

use slotway_resp::{Limits, Parser, Scanner, Version, write};

const BATCH: usize = 64;
const ROUNDS: usize = 20_000;

fn main() {
    let key = |index: usize| format!("key:{:012}", index * 7919 % 1_000_000);
    let value = [b'v'; 64];
    requests("GET, 16 B key", |index, out| write::request(out, &[b"GET", key(index).as_bytes()]));
    requests("SET, 16 B key, 64 B value", |index, out| {
        write::request(out, &[b"SET", key(index).as_bytes(), &value]);
    });
    requests("PING, inline", |_, out| out.extend_from_slice(b"PING\r\n"));
    replies("bulk, 64 B", |out| write::bulk(out, &value));
    replies("+OK", |out| write::simple(out, "OK"));
    replies("integer", |out| write::integer(out, 12_345));
    replies("null, RESP3", |out| write::null(out, Version::Resp3));
    replies("array of 3 bulks of 64 B", |out| {
        write::array(out, 3);
        (0..3).for_each(|_| write::bulk(out, &value));
    });
}

/// The cheapest of some passes: what else runs on the machine only ever adds.
fn cheapest(name: &str, mut batch: impl FnMut()) {
    let mut best = f64::INFINITY;
    for _ in 0..7 {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| batch());
        best = best.min(start.elapsed().as_secs_f64());
    }
    let each = best * 1e9 / (ROUNDS * BATCH) as f64;
    println!("{name:<40} {each:7.1} ns");
}

fn requests(name: &str, write: impl Fn(usize, &mut Vec<u8>)) {
    let mut buffer = Vec::new();
    (0..BATCH).for_each(|index| write(index, &mut buffer));
    let mut parser = Parser::default();
    cheapest(&format!("request {name}"), || {
        let buffer = black_box(&buffer);
        while let Some(at) = parser.next(buffer, &Limits::CLIENT).expect("a valid request") {
            black_box(parser.request(buffer, at).word(1.min(parser.request(buffer, at).len() - 1)));
        }
        parser.rebase();
    });
}

fn replies(name: &str, write: impl Fn(&mut Vec<u8>)) {
    let mut buffer = Vec::new();
    (0..BATCH).for_each(|_| write(&mut buffer));
    let mut scanner = Scanner::default();
    cheapest(&format!("reply {name}"), || {
        let mut rest = black_box(&buffer[..]);
        while let Some(scanned) = scanner.next(rest, &Limits::REPLY).expect("a valid reply") {
            rest = &rest[black_box(scanned.len)..];
        }
    });
}
