//! What the data path takes from the allocator: nothing per request once warm, little per idle client, and a bounded amount
//! for replies of any size.
//!
//! Threads of the test exempt themselves; what remains are the proxy's own.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

#[path = "../support/backend.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod backend;
#[path = "../support/front.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod front;
#[path = "../support/peer.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod peer;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::{Read, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Instant,
};

use slotway_resp::write;

use crate::{
    backend::{Conn, Fake},
    front::Front,
    peer::{Peer, until},
};

/// Calls that took memory, and the bytes that are taken at present, of all threads that are not exempt.
static CALLS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicI64 = AtomicI64::new(0);

/// The most that was taken since a test set it.
static PEAK: AtomicI64 = AtomicI64::new(0);

/// The tests measure one process: one after the other.
static ALONE: Mutex<()> = Mutex::new(());

thread_local! {
    static EXEMPT: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

fn count(calls: u64, bytes: usize, sign: i64) {
    // A thread that is ending has no locals any more.
    if !EXEMPT.try_with(Cell::get).unwrap_or(true) {
        CALLS.fetch_add(calls, Ordering::Relaxed);
        let change = sign * i64::try_from(bytes).unwrap_or(0);
        let taken = BYTES.fetch_add(change, Ordering::Relaxed) + change;
        PEAK.fetch_max(taken, Ordering::Relaxed);
    }
}

#[allow(
    unsafe_code,
    reason = "a global allocator cannot be written without; all it does is count and pass on"
)]
// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size(), 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(0, layout.size(), -1);
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(0, layout.size(), -1);
        count(1, size, 1);
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the calling thread takes is not counted from now on.
fn exempt() {
    EXEMPT.with(|exempt| exempt.set(true));
}

/// A node that answers everything with OK.
fn node() -> Fake {
    Fake::start(|conn: &mut Conn| {
        exempt();
        while conn.next().is_some() {
            conn.reply("+OK\r\n");
        }
    })
}

/// Sends `rounds` times `depth` requests of one kind and reads their replies.
fn exchange(client: &mut Peer, words: &[&str], depth: usize, rounds: usize) {
    let mut bytes = Vec::new();
    (0..depth).for_each(|_| write::request(&mut bytes, words));
    for _ in 0..rounds {
        client.send_bytes(&bytes);
        (0..depth).for_each(|_| assert_eq!(client.read(), "+OK"));
    }
}

#[test]
fn nothing_is_allocated_per_request_once_warm() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    exempt();
    let fake = node();
    let front = Front::with(&[fake.port], &[("threads", "1")]);
    let mut client = front.client();
    for depth in [1, 16, 64] {
        for words in
            [&["GET", "some-key"][..], &["SET", "some-key", &"v".repeat(64)], &["hset", "h", "f", "v"]]
        {
            exchange(&mut client, words, depth, 20);
            let rounds = 4000 / depth;
            let (calls, since) = (CALLS.load(Ordering::Relaxed), Instant::now());
            exchange(&mut client, words, depth, rounds);
            let calls = CALLS.load(Ordering::Relaxed) - calls;
            // Twenty times a second the sweep writes down how links stand.
            let sweeps = u64::try_from(since.elapsed().as_millis() / 50).unwrap() + 2;
            assert!(
                calls <= 16 * sweeps,
                "{words:?} x {depth}: {calls} allocations in {rounds} rounds, {sweeps} sweeps"
            );
        }
    }
}

#[test]
fn an_idle_client_costs_little_memory_also_after_a_busy_time() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    exempt();
    let files = slotway_link::descriptors::raise_to(21_000).unwrap();
    // Each takes two files of this process.
    let count = usize::try_from((files - 400) / 2).unwrap().min(10_000);
    let fake = node();
    let front = Front::with(&[fake.port], &[("threads", "1"), ("maxclients", "20000")]);
    exchange(&mut front.client(), &["GET", "k"], 64, 20);
    until("nobody is there", || front.clients() == 0);
    let before = BYTES.load(Ordering::Relaxed);
    let per_client = || {
        let grown = usize::try_from((BYTES.load(Ordering::Relaxed) - before).max(0)).unwrap();
        grown / count
    };
    let mut clients: Vec<Peer> = (0..count).map(|_| front.client()).collect();
    clients.iter_mut().for_each(|client| exchange(client, &["GET", "k"], 1, 1));
    println!("{count} idle clients: {} bytes each", per_client());
    assert!(per_client() < 2048, "{} bytes for each idle client", per_client());
    clients.iter_mut().for_each(|client| exchange(client, &["GET", "k"], 20, 1));
    println!("after 20 requests at once: {} bytes each", per_client());
    until("idle clients give back what their busy time took", || per_client() < 1536);
    println!("idle again: {} bytes each", per_client());
}

const MIB: usize = 1024 * 1024;

/// Bytes of large replies that the client has read.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// How far nodes run ahead of a client that keeps up, however the machine's cores are shared out.
const AHEAD_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    OfTheClient,
    OfTheNode,
}

/// So many chunks, as one of `nodes` that send at once. Each waits for the client for its own sake only: nothing leaves the
/// proxy before all of them have begun.
fn send_large(conn: &mut Conn, chunk: &str, count: usize, pace: Pace, nodes: u64) {
    let (before, mut sent) = (TAKEN.load(Ordering::SeqCst), 0);
    for _ in 0..count {
        if pace == Pace::OfTheClient {
            until("the client keeps up", || {
                sent * nodes <= TAKEN.load(Ordering::SeqCst) - before + AHEAD_BYTES_MAX
            });
        }
        conn.reply(chunk);
        sent += chunk.len() as u64;
    }
}

/// By how much the proxy grows at most while `run` runs.
fn growth(run: impl FnOnce()) -> usize {
    let before = BYTES.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    run();
    usize::try_from(PEAK.load(Ordering::Relaxed) - before).unwrap_or(0)
}

/// A node that answers with a bulk of `mib` MiB, or KEYS with so many MiB of keys of 1000 bytes; PING and others with OK.
fn node_of_large_replies(mib: usize, pace: Pace) -> Fake {
    Fake::start(move |conn: &mut Conn| {
        exempt();
        let chunk = "v".repeat(64 * 1024);
        let key = format!("$1000\r\n{}\r\n", "k".repeat(1000));
        let keys = key.repeat(64);
        while let Some(line) = conn.next() {
            match line.split(' ').next().unwrap_or("") {
                "GET" => {
                    conn.reply(&format!("${}\r\n", mib * MIB));
                    send_large(conn, &chunk, mib * 16, pace, 1);
                    conn.reply("\r\n");
                }
                "KEYS" => {
                    conn.reply(&format!("*{}\r\n", mib * 1024));
                    send_large(conn, &keys, mib * 16, pace, 3);
                }
                _ => conn.reply("+OK\r\n"),
            }
        }
    })
}

/// Asks and reads so many bytes, keeping none of them.
fn swallow(client: &mut Peer, line: &str, bytes: usize) {
    client.send(&[line]);
    let mut chunk = vec![0; MIB];
    let mut left = bytes;
    while left > 0 {
        let room = left.min(chunk.len());
        let count = client.stream.read(&mut chunk[..room]).unwrap();
        assert!(count > 0, "closed with {left} bytes to come");
        TAKEN.fetch_add(count as u64, Ordering::SeqCst);
        left -= count;
    }
}

#[test]
fn replies_of_any_size_pass_through_a_bounded_memory() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    exempt();
    TAKEN.store(0, Ordering::SeqCst);
    let nodes: Vec<Fake> = (0..3).map(|_| node_of_large_replies(100, Pace::OfTheClient)).collect();
    let ports: Vec<u16> = nodes.iter().map(|node| node.port).collect();
    let front = Front::with(&ports, &[("threads", "1")]);
    let mut client = front.client();
    let get = growth(|| swallow(&mut client, "GET k", format!("${}\r\n", 100 * MIB).len() + 100 * MIB + 2));
    let keys = 3 * 100 * 1024;
    let keys = growth(|| swallow(&mut client, "KEYS *", format!("*{keys}\r\n").len() + keys * 1009));
    client.check("SET a 1", "+OK");
    println!("at most {} KiB more for 100 MiB, {} KiB for 300 MiB of keys", get / 1024, keys / 1024);
    assert!(get < 32 * MIB && keys < 32 * MIB, "{get} and {keys} bytes more");
}

#[test]
fn who_never_reads_costs_no_more_than_its_limit() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    exempt();
    let node = node_of_large_replies(100, Pace::OfTheNode);
    let limit = ("client-output-buffer-limit", "normal 8mb 0 0");
    let front = Front::with(&[node.port], &[("threads", "1"), limit]);
    let mut lazy = front.client();
    let grown = growth(|| {
        let mut request = Vec::new();
        write::request(&mut request, &["GET", "k"]);
        lazy.stream.write_all(&request).unwrap();
        until("it was cut", || front.clients() == 0);
        front.client().check("SET a 1", "+OK");
    });
    println!("at most {} KiB more", grown / 1024);
    assert!(grown < 12 * MIB, "{grown} bytes more");
}
