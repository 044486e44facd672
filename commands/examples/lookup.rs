//! Prints what finding a command and its first key costs: `cargo run --release -p slotway-commands --example lookup`.

#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::hint::black_box;
use std::time::Instant;

use slotway_commands::{keys, lookup};
use slotway_resp::request::OwnedRequest;

const ROUNDS: u32 = 2_000_000;

fn main() {
    let lines =
        ["GET key", "set key value", "HGETALL key", "mget a b c d", "georadiusbymember_ro k m 1 m", "nope x"];
    println!("{:32} {:>8} {:>8} {:>8} {:>10}  ns each", "request", "find", "resolve", "first", "positions");
    for line in lines {
        let request = OwnedRequest::new(line.split(' '));
        let request = request.view();
        let find = measure(|| lookup::find(black_box(request.word(0))).is_some());
        let Some(row) = lookup::find(request.word(0)) else {
            println!("{line:32} {find:8.1}");
            continue;
        };
        let resolve = measure(|| lookup::resolve(black_box(request)).is_ok());
        let first = measure(|| keys::first(row, black_box(request)).is_some());
        let positions = measure(|| keys::positions(row, black_box(request)).map_or(0, Iterator::count));
        println!("{line:32} {find:8.1} {resolve:8.1} {first:8.1} {positions:10.1}");
    }
}

fn measure<R>(mut work: impl FnMut() -> R) -> f64 {
    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(work());
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
}
