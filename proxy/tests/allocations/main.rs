//! What the data path takes from the allocator: nothing per request once warm, little per idle client.
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
        BYTES.fetch_add(sign * i64::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
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
