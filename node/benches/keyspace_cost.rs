//! What the keyspace alone costs: nanoseconds per GET and SET of random keys, with and without looking ahead, the
//! longest insert, and bytes per key by the allocator's own count; and what it costs to tell a SET in the feed.
//!
//! `cargo bench -p slotway-node --features measure --bench keyspace_cost [-- keys ...]` (default 1M and 10M)

use std::time::{Duration, Instant};

use slotway_node::measure::{Act, Alone, Subject};
use tikv_jemalloc_ctl::{epoch, stats};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const VALUE: [u8; 64] = [b'v'; 64];
const KEY_BYTES: usize = 16;
const REQUESTS: usize = 4_000_000;

fn main() {
    measure_feed();
    let given: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let sizes = if given.is_empty() { vec![1_000_000, 10_000_000] } else { given };
    for keys in sizes {
        measure(keys);
    }
}

/// What it costs to tell a SET: the whole way of a request through the node, without sockets.
fn measure_feed() {
    let words = [&b"SET"[..], b"key:000000000001", &VALUE];
    let mut node = Alone::new();
    let cost = |node: &mut Alone| {
        node.repeat(&words, REQUESTS / 10, 0);
        let begin = on_cpu_ns();
        node.repeat(&words, REQUESTS, 0);
        (on_cpu_ns() - begin) as f64 / REQUESTS as f64
    };
    let told = cost(&mut node);
    node.leave();
    let untold = cost(&mut node);
    println!("SET of one key: {untold:.1} ns with nobody listening, {told:.1} ns with somebody");
}

fn measure(keys: u64) {
    let before = allocated();
    let mut subject = Subject::new(true);
    let (took, longest) = fill(&mut subject, keys);
    let bytes = allocated() - before;
    println!(
        "{keys} keys of {KEY_BYTES} + {} bytes: {:.1} bytes each, inserted in {:.0} ns each, the longest in {:.0} us",
        VALUE.len(),
        bytes as f64 / keys as f64,
        took.as_nanos() as f64 / keys as f64,
        longest.as_nanos() as f64 / 1000.0,
    );
    for batch in [1, 16, 64] {
        for prefetch in [false, true] {
            subject.set_prefetch(prefetch);
            let get = cost(&mut subject, keys, batch, Act::Get);
            let set = cost(&mut subject, keys, batch, Act::Set(&VALUE));
            let how = if prefetch { "looking ahead" } else { "one by one" };
            println!("  batches of {batch:2}, {how:13}: GET {get:5.0} ns, SET {set:5.0} ns");
        }
    }
}

fn fill(subject: &mut Subject, keys: u64) -> (Duration, Duration) {
    let (begin, mut longest) = (on_cpu_ns(), Duration::ZERO);
    for number in 0..keys {
        let key = key(number);
        let at = Instant::now();
        subject.batch([key.as_slice()].into_iter(), Act::Set(&VALUE));
        longest = longest.max(at.elapsed());
    }
    assert_eq!(subject.len(), keys);
    (Duration::from_nanos(on_cpu_ns() - begin), longest)
}

/// Nanoseconds per request.
fn cost(subject: &mut Subject, keys: u64, batch: usize, act: Act<'_>) -> f64 {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let chosen: Vec<[u8; KEY_BYTES]> = (0..REQUESTS)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            key(state % keys)
        })
        .collect();
    let begin = on_cpu_ns();
    for keys in chosen.chunks(batch) {
        assert_ne!(subject.batch(keys.iter().map(|key| key.as_slice()), act), 0);
    }
    (on_cpu_ns() - begin) as f64 / REQUESTS as f64
}

/// Time that this thread has run, as Linux counts it: what else the machine does matters less.
fn on_cpu_ns() -> u64 {
    let counts = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts");
    counts.split(' ').next().and_then(|count| count.parse().ok()).expect("nanoseconds")
}

/// `key:` and twelve digits, as redis-benchmark makes them.
fn key(number: u64) -> [u8; KEY_BYTES] {
    let mut key = *b"key:000000000000";
    let mut rest = number;
    for digit in key[4..].iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).expect("a digit");
        rest /= 10;
    }
    key
}

fn allocated() -> usize {
    epoch::advance().expect("jemalloc counts");
    stats::allocated::read().expect("jemalloc counts")
}
