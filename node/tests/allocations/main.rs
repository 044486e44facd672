//! Nothing is allocated per request once warm: GET, and SET over a value of the same size class, alone and in pipelines;
//! short transactions; bits changed in place.
//!
//! Every allocation of this process is counted for the thread that makes it; the node's thread is the one called
//! `keyspace`. Housekeeping runs on that thread too and may allocate a little now and then, so the promise is
//! tested as far fewer allocations than requests, not as none at all.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use slotway_config::NodeConfig;
use slotway_node::Cause;
use slotway_resp::write;

/// The system's allocator, counting what the keyspace thread asks of it.
struct Counting;

/// Allocations and reallocations of the keyspace thread.
static COUNTED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Whether this is the keyspace thread; None: not found out yet.
    static IS_KEYSPACE: Cell<Option<bool>> = const { Cell::new(None) };
}

fn count() {
    let is_keyspace = IS_KEYSPACE.try_with(|known| match known.get() {
        Some(is_keyspace) => is_keyspace,
        None => {
            // Asking for the thread may allocate: the answer for that moment is no.
            known.set(Some(false));
            let named =
                std::fs::read_to_string("/proc/thread-self/comm").is_ok_and(|name| name.trim() == "keyspace");
            known.set(Some(named));
            named
        }
    });
    if is_keyspace.unwrap_or(false) {
        COUNTED.fetch_add(1, Relaxed);
    }
}

#[allow(unsafe_code, reason = "an allocator is unsafe by its trait; every call is passed on unchanged")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Requests in one check.
const REQUESTS: u64 = 10_000;
/// What housekeeping may allocate meanwhile: a hundredth of an allocation per request.
const ALLOWED: u64 = REQUESTS / 100;
const KEYS: usize = 1000;

fn start() -> (slotway_node::Running, TcpStream) {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).to_str().unwrap().to_owned();
    let flags = vec![
        ("port".to_owned(), "0".to_owned()),
        ("dir".to_owned(), dir),
        ("save".to_owned(), String::new()),
    ];
    let running = slotway_node::start(NodeConfig::load(None, std::iter::empty(), flags).unwrap()).unwrap();
    let stream = TcpStream::connect(("127.0.0.1", running.port())).unwrap();
    stream.set_nodelay(true).unwrap();
    (running, stream)
}

/// Sends `pipeline` requests at a time, each made by `request`, and reads replies of `reply_bytes` each, until
/// `requests` are answered.
fn drive(
    stream: &mut TcpStream,
    requests: u64,
    pipeline: usize,
    reply_bytes: usize,
    request: impl Fn(&mut Vec<u8>, usize),
) {
    let mut batch = Vec::new();
    let mut replies = vec![0; pipeline * reply_bytes];
    for round in 0..usize::try_from(requests).unwrap() / pipeline {
        batch.clear();
        for nth in 0..pipeline {
            request(&mut batch, (round * pipeline + nth) % KEYS);
        }
        stream.write_all(&batch).unwrap();
        stream.read_exact(&mut replies).unwrap();
    }
}

fn check(what: &str, pipeline: usize, reply_bytes: usize, request: impl Fn(&mut Vec<u8>, usize)) {
    let (running, mut stream) = start();
    let set =
        |batch: &mut Vec<u8>, key: usize| write::request(batch, &["SET", &key_name(key), &"v".repeat(64)]);
    drive(&mut stream, REQUESTS, 10, "+OK\r\n".len(), set);
    drive(&mut stream, REQUESTS, pipeline, reply_bytes, &request);
    let before = COUNTED.load(Relaxed);
    drive(&mut stream, REQUESTS, pipeline, reply_bytes, &request);
    let counted = COUNTED.load(Relaxed) - before;
    assert!(counted <= ALLOWED, "{what}, pipeline {pipeline}: {counted} allocations in {REQUESTS} requests");
    running.stop(Cause::Terminate);
    running.join().unwrap();
}

fn key_name(key: usize) -> String {
    format!("key:{key:012}")
}

/// One test, because the counter is the process's: tests that ran beside each other would count for each other.
#[test]
fn get_and_set_allocate_nothing_once_warm() {
    let (running, mut stream) = start();
    let before = COUNTED.load(Relaxed);
    drive(&mut stream, 100, 1, 64, |batch, key| {
        write::request(batch, &["ECHO", &format!("{key:057}")]);
    });
    running.stop(Cause::Terminate);
    running.join().unwrap();
    assert!(
        COUNTED.load(Relaxed) > before,
        "the counter counts: starting and stopping a connection allocates"
    );

    let get = |batch: &mut Vec<u8>, key: usize| write::request(batch, &["GET", &key_name(key)]);
    let set =
        |batch: &mut Vec<u8>, key: usize| write::request(batch, &["SET", &key_name(key), &"w".repeat(64)]);
    let transaction = |batch: &mut Vec<u8>, key: usize| {
        write::request(batch, &["MULTI"]);
        write::request(batch, &["SET", &key_name(key), &"w".repeat(64)]);
        write::request(batch, &["EXEC"]);
    };
    let bits = |batch: &mut Vec<u8>, key: usize| {
        write::request(batch, &["SETBIT", &key_name(key), "7", "1"]);
        write::request(batch, &["BITFIELD", &key_name(key), "SET", "u1", "7", "0", "GET", "u1", "7"]);
    };
    for pipeline in [1, 16, 50] {
        check("MULTI and EXEC", pipeline, "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n".len(), transaction);
        check("SETBIT and BITFIELD", pipeline, ":0\r\n*2\r\n:1\r\n:0\r\n".len(), bits);
        check("GET", pipeline, "$64\r\n".len() + 64 + 2, get);
        check("SET", pipeline, "+OK\r\n".len(), set);
    }
}
