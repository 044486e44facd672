//! Requests too large for a shared link: they stream, and nobody else notices.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use slotway_resp::write;

use crate::{
    backend::{Fake, Redis},
    commands::Three,
    front::Front,
    peer::until,
};

pub(crate) const MB: usize = 1_000_000;

/// A request as RESP.
pub(crate) fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write::request(&mut bytes, words);
    bytes
}

/// `SET key` with a value of so many bytes, without the last `missing` bytes.
pub(crate) fn set(key: &str, len: usize, missing: usize) -> Vec<u8> {
    let mut bytes = request(&[b"SET", key.as_bytes(), &vec![b'v'; len]]);
    bytes.truncate(bytes.len() - missing);
    bytes
}

pub(crate) fn streamed(front: &Front) -> f64 {
    front.metric("slotway_proxy_requests_streamed_total", &[])
}

pub(crate) fn leased(front: &Front, state: &str) -> f64 {
    front.metric("slotway_proxy_leased_links", &[("state", state)])
}

fn cut(front: &Front) -> f64 {
    front.metric("slotway_proxy_clients_cut_total", &[("limit", "request-timeout-ms")])
}

/// Sends what the proxy takes, until it is so.
fn send_until(stream: &TcpStream, mut bytes: &[u8], what: &str, mut holds: impl FnMut() -> bool) {
    stream.set_nonblocking(true).unwrap();
    until(what, || {
        while let Ok(count @ 1..) = (&mut &*stream).write(bytes) {
            bytes = &bytes[count..];
        }
        holds()
    });
    stream.set_nonblocking(false).unwrap();
}

/// Resident bytes of this process, in which the proxy runs; the servers behind it are others.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn large_requests_of_every_kind_do_what_small_ones_do() {
    let three = Three::start();
    for version in ["2", "3"] {
        let mut client = three.client();
        client.ask(&format!("HELLO {version}"));
        client.ask("FLUSHALL");
        let value = "v".repeat(300_000);
        let items = (0..50_000).map(|number| format!(" item{number}")).collect::<String>();
        client.check(&format!("SET s {value}"), "+OK");
        client.check(&format!("APPEND s {value}"), ":600000");
        client.check(&format!("SETRANGE s 100 {value}"), ":600000");
        client.check(&format!("GETSET g {value}"), if version == "2" { "nil" } else { "_" });
        client.check(&format!("RPUSH l{items}"), ":50000");
        client.check(&format!("SADD t{items}"), ":50000");
        client.check(&format!("HSET h{items}"), ":25000");
        client.check("LRANGE l 49998 -1", "[item49998 item49999]");
        client.check(&format!("MSET m {value}"), "+OK");
        client.check(&format!("MSET m1 {value} m2 {value}"), "+OK");
        client.check(&format!("SET s {value} NX"), if version == "2" { "nil" } else { "_" });
        client.check("STRLEN m2", ":300000");
        assert_eq!(client.ask("GET g"), value);
    }
    assert_eq!(streamed(&three.front), 2.0 * 9.0, "MSET of two keys was collected");
}

#[test]
fn what_is_around_a_large_request_keeps_its_order() {
    let three = Three::start();
    let mut client = three.client();
    let mut bytes = Vec::new();
    for round in 0..20 {
        let key = format!("k{}", round % 3);
        bytes.extend(request(&[b"SET", key.as_bytes(), round.to_string().as_bytes()]));
        bytes.extend(request(&[b"GETSET", key.as_bytes(), &vec![b'v'; 70_000 + round * 1000]]));
        bytes.extend(request(&[b"STRLEN", key.as_bytes()]));
        bytes.extend(request(&[b"ECHO", b"between"]));
    }
    let stream = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || (&mut &stream).write_all(&bytes).unwrap());
    for round in 0..20 {
        assert_eq!(client.read(), "+OK");
        assert_eq!(client.read(), round.to_string());
        assert_eq!(client.read(), format!(":{}", 70_000 + round * 1000));
        assert_eq!(client.read(), "between");
    }
    sending.join().unwrap();
    until("its link is free", || leased(&three.front, "leased") == 0.0);
}

#[test]
fn cuts_at_any_place_change_nothing() {
    let redis = Redis::start();
    let front = Front::with(&[redis.port], &[("shared-request-bytes-max", "1024"), ("threads", "1")]);
    let mut bytes = request(&[b"SET", b"a", b"1"]);
    bytes.extend(request(&[b"RPUSH", b"l", b"", &[b'v'; 1500], b"x", &[b'\r'; 300], b""]));
    // What Redis lets pass: other bytes for line ends.
    bytes.extend(b"*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1200\rx");
    bytes.extend([b'w'; 1200]);
    bytes.extend(b"xx");
    bytes.extend(request(&[b"GET", b"a"]));
    let mut client = front.client();
    let interesting = |cut: &usize| !(200..1500).contains(cut) && !(2200..3000).contains(cut);
    let count = |bytes: usize| f64::from(u32::try_from(bytes).unwrap());
    let mut all = 0.0;
    for at in (1..bytes.len()).filter(interesting).step_by(3) {
        client.send_bytes(&bytes[..at]);
        // The first part is read on its own.
        let read = || front.metric("slotway_proxy_bytes_total", &[("direction", "from_clients")]);
        until("it was read", || read() >= all + count(at));
        client.send_bytes(&bytes[at..]);
        assert_eq!([client.read(), client.read(), client.read(), client.read()][2..], ["+OK", "1"], "{at}");
        all += count(bytes.len());
    }
    let mut direct = redis.client();
    assert_eq!(direct.ask("GET b"), "w".repeat(1200));
    assert_eq!(direct.ask("LINDEX l -1"), "");
    assert_eq!(direct.ask("LINDEX l -4"), "v".repeat(1500));
    assert!(streamed(&front) >= 300.0, "{}", streamed(&front));
}

#[test]
fn a_hundred_megabytes_pass_through_little_memory() {
    let redis = Redis::start();
    let front = Front::of(&[redis.port]);
    let mut client = front.client();
    client.check("PING", "+PONG");
    let chunk = vec![b'v'; MB];
    let before = resident_bytes();
    let mut most = 0;
    client.send_bytes(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000000\r\n");
    for _ in 0..100 {
        client.send_bytes(&chunk);
        most = most.max(resident_bytes());
    }
    client.send_bytes(b"\r\n");
    assert_eq!(client.read(), "+OK");
    client.check("STRLEN k", ":100000000");
    assert!(most.saturating_sub(before) < 64 * 1024 * 1024, "{before} then {most} bytes");
}

#[test]
fn a_client_that_vanishes_midway_leaves_nothing_behind() {
    let redis = Redis::start();
    let front = Front::with(&[redis.port], &[("leased-links-per-node-max", "1"), ("threads", "1")]);
    for how in ["shutdown", "reset"] {
        let client = front.client();
        let bytes = set("k", 3 * MB, 10);
        send_until(&client.stream, &bytes, "half of it is on its way", || leased(&front, "leased") == 1.0);
        match how {
            "shutdown" => client.stream.shutdown(Shutdown::Write).unwrap(),
            _ => drop(client),
        }
        until("the link is closed", || leased(&front, "leased") == 0.0 && leased(&front, "leaving") == 0.0);
    }
    until("they have left", || front.clients() == 0);
    let mut next = front.client();
    next.send_bytes(&set("other", MB, 0));
    assert_eq!(next.read(), "+OK");
    next.check("EXISTS k", ":0");
}

#[test]
fn a_client_that_falls_silent_midway_is_cut() {
    let redis = Redis::start();
    let settings = [("leased-links-per-node-max", "1"), ("threads", "1"), ("request-timeout-ms", "500")];
    let front = Front::with(&[redis.port], &settings);
    let mut silent = front.client();
    silent.send_bytes(&set("k", 200_000, 100_000));
    let mut waiting = front.client();
    waiting.send_bytes(&set("other", MB, 0));
    assert_eq!(waiting.read(), "+OK");
    silent.check_closed();
    assert_eq!(cut(&front), 1.0);
    waiting.check("EXISTS k", ":0");
}

#[test]
fn a_client_that_pauses_midway_may_take_longer_than_a_silent_node() {
    let redis = Redis::start();
    let front = Front::with(&[redis.port], &[("threads", "1"), ("hold-ms-max", "100")]);
    let mut client = front.client();
    let bytes = set("k", MB, 0);
    client.send_bytes(&bytes[..MB / 2]);
    let began = std::time::Instant::now();
    until("a node would count as silent", || began.elapsed().as_millis() > 1500);
    assert_eq!(leased(&front, "leased"), 1.0);
    client.send_bytes(&bytes[MB / 2..]);
    assert_eq!(client.read(), "+OK");
}

/// A server that reads so many bytes of a first connection's large request and then does something else. Others answer.
fn node(read_max: usize, then: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Fake {
    let happened = Arc::new(AtomicBool::new(false));
    Fake::start(move |conn| {
        let mut chunk = vec![0; 64 * 1024];
        let mut left = read_max;
        while left > 0 {
            match conn.stream().read(&mut chunk[..left.min(64 * 1024)]) {
                Ok(count @ 1..) => left -= count,
                _ => return,
            }
        }
        if happened.swap(true, Ordering::SeqCst) {
            return;
        }
        then(conn.stream());
    })
}

const GONE: &str = "-TRYAGAIN shard 1 has no primary, held 0 ms";
const INDETERMINATE: &str = "-INDETERMINATE the write may or may not have been applied";

/// What a client is told of a SET of which the node reads `read_max` bytes before `then`.
fn told(read_max: usize, line: &[u8], then: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> String {
    let node = node(read_max, then);
    let front = Front::with(&[node.port], &[("threads", "1")]);
    let mut client = front.client();
    let stream = client.stream.try_clone().unwrap();
    let bytes = [line, &request(&[b"PING"])].concat();
    let sending = std::thread::spawn(move || (&mut &stream).write_all(&bytes).unwrap());
    let told = client.read();
    assert_eq!(client.read(), "+PONG", "the rest was read and dropped");
    sending.join().unwrap();
    until("no link is left", || leased(&front, "leased") == 0.0);
    told
}

#[test]
fn a_node_that_goes_midway_has_not_executed_the_request() {
    let close = |stream: &mut TcpStream| stream.shutdown(Shutdown::Both).unwrap();
    let all = set("k", 20 * MB, 0);
    assert_eq!(told(10 * MB, &all, close), GONE);
    assert_eq!(told(all.len(), &all, close), INDETERMINATE);
    // GETRANGE with a number that is none: a read, whatever the node would say to it.
    let read = request(&[b"GETRANGE", b"k", b"0", &vec![b'9'; 20 * MB]]);
    assert_eq!(told(read.len(), &read, close), GONE);
}

#[test]
fn a_node_that_refuses_midway_is_heard_and_left() {
    let all = set("k", 20 * MB, 0);
    let refuse = |text: &'static str| {
        move |stream: &mut TcpStream| {
            stream.write_all(text.as_bytes()).unwrap();
            // Whatever still comes is read, so that the answer is not lost.
            let _ = std::io::copy(stream, &mut std::io::sink());
        }
    };
    assert_eq!(told(10 * MB, &all, refuse("-ERR not this\r\n")), "-ERR not this");
    assert_eq!(told(10 * MB, &all, refuse("-MOVED 1 a:1\r\n")), GONE);
    assert_eq!(told(all.len(), &all, refuse("-MOVED 1 a:1\r\n")), GONE);
    assert_eq!(told(all.len(), &all, refuse("-OOM command not allowed\r\n")), "-OOM command not allowed");
    assert_eq!(told(all.len(), &all, refuse("+OK\r\n")), "+OK");
}

#[test]
fn a_node_that_takes_no_more_is_given_up_after_the_deadline() {
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&stopped);
    let node = node(MB, move |_| until("the test is over", || stop.load(Ordering::SeqCst)));
    let settings = [("threads", "1"), ("request-timeout-ms", "300")];
    let front = Front::with(&[node.port], &settings);
    let mut client = front.client();
    let stream = client.stream.try_clone().unwrap();
    let bytes = [set("k", 50 * MB, 0), request(&[b"PING"])].concat();
    let sending = std::thread::spawn(move || (&mut &stream).write_all(&bytes).unwrap());
    assert_eq!(client.read(), "-TIMEOUT no reply from shard 1 within 300 ms");
    assert_eq!(client.read(), "+PONG");
    sending.join().unwrap();
    stopped.store(true, Ordering::SeqCst);
    assert_eq!(cut(&front), 0.0);
}

#[test]
fn a_node_that_is_killed_midway() {
    let redis = Redis::start();
    let front = Front::with(&[redis.port], &[("threads", "1"), ("hold-ms-max", "100")]);
    let mut client = front.client();
    let bytes = set("k", 50 * MB, 0);
    client.send_bytes(&bytes[..10 * MB]);
    drop(redis);
    let stream = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || (&mut &stream).write_all(&bytes[10 * MB..]).unwrap());
    assert_eq!(client.read(), GONE);
    sending.join().unwrap();
    until("refused at once", || {
        client.send_bytes(&set("k", MB, 0));
        let told = client.read();
        assert!(told.starts_with("-TRYAGAIN shard 1 has no primary, held "), "{told}");
        told != GONE
    });
    client.check("PING", "+PONG");
}

#[test]
fn what_is_no_command_is_answered_in_order_and_never_collected() {
    let three = Three::with(&[("client-query-buffer-limit", "1mb")]);
    let mut client = three.client();
    let huge = vec![b'x'; 5 * MB];
    let mut direct = three.servers[0].client();
    let refused: [&[&[u8]]; 6] = [
        &[b"NOSUCH", b"a", &huge, b"b"],
        &[b"GET", b"a", &huge],
        &[b"GET", &huge, b"a"],
        &[b"SET", b"a", &huge, b"b", b"c"],
        &[&huge],
        &[b"CLIENT", b"NOSUCH", &huge],
    ];
    for words in refused {
        for peer in [&mut client, &mut direct] {
            peer.send_bytes(&[request(&[b"ECHO", b"before"]), request(words)].concat());
            peer.send_bytes(&request(&[b"ECHO", b"behind"]));
        }
        for _ in 0..3 {
            assert_eq!(client.read(), direct.read(), "{}", words[0][..words[0].len().min(20)].escape_ascii());
        }
    }
    assert_eq!(streamed(&three.front), 1.0, "only SET goes to a node");
    // Whether all of it can be sent before the proxy closes does not matter.
    let _ = client.stream.write_all(&request(&[b"RENAME", b"k1", &huge]));
    client.check_closed();
    assert_eq!(
        three.front.metric("slotway_proxy_clients_cut_total", &[("limit", "client-query-buffer-limit")]),
        1.0
    );
}

#[test]
fn keys_in_other_slots_are_seen_before_a_byte_leaves() {
    let three = Three::start();
    let mut client = three.client();
    let many = vec![b'x'; 200_000];
    // The keys come first, and one of them lies elsewhere.
    client.send_bytes(&request(&[b"ZUNIONSTORE", b"k1", b"2", b"k2", b"k3", b"WEIGHTS", b"1", &many]));
    assert!(client.read().starts_with("-CROSSSLOT "));
    client.check("PING", "+PONG");
    assert_eq!(streamed(&three.front), 0.0);
}

#[test]
fn before_authentication_nothing_is_large() {
    let redis = Redis::start();
    let front = Front::with(&[redis.port], &[("requirepass", "secret")]);
    let mut client = front.client();
    client.send_bytes(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000000\r\n");
    assert_eq!(client.read(), "-ERR Protocol error: unauthenticated bulk length");
    client.check_closed();
    let mut client = front.client();
    client.send_bytes(&request(&[
        b"GET",
        &[b'x'; 16_000],
        &[b'x'; 16_000],
        &[b'x'; 16_000],
        &[b'x'; 16_000],
        &[b'x'; 16_000],
    ]));
    assert!(client.read().starts_with("-ERR wrong number"), "as Redis, the words are counted first");
    client.check("AUTH secret", "+OK");
    client.send_bytes(&set("k", MB, 0));
    assert_eq!(client.read(), "+OK");
}

#[test]
fn what_breaks_the_protocol_midway_is_answered_in_its_place() {
    let redis = Redis::start();
    let front = Front::with(&[redis.port], &[("threads", "1"), ("proto-max-bulk-len", "1mb")]);
    let check = |bytes: &[u8], error: &str| {
        let mut client = front.client();
        client.send_bytes(&[request(&[b"ECHO", b"before"]), bytes.to_vec()].concat());
        assert_eq!(client.read(), "before");
        assert_eq!(client.read(), format!("-ERR Protocol error: {error}"));
        client.check_closed();
    };
    let begin = [&b"*4\r\n$5\r\nRPUSH\r\n$1\r\nk\r\n$100000\r\n"[..], &[b'v'; 100_000], b"\r\n"].concat();
    check(&[&begin[..], b"$-1\r\n"].concat(), "invalid bulk length");
    check(&[&begin[..], b":1\r\n"].concat(), "expected '$', got ':'");
    check(&[&begin[..], b"PING\r\n"].concat(), "expected '$', got 'P'");
    check(&[&begin[..], b"$2000000\r\n"].concat(), "invalid bulk length");
    let refused =
        [&b"*4\r\n$5\r\nNOCOM\r\n$1\r\nk\r\n$100000\r\n"[..], &[b'v'; 100_000], b"\r\n:1\r\n"].concat();
    check(&refused, "expected '$', got ':'");
    let mut client = front.client();
    client.check("EXISTS k", ":0");
    until("no link is left", || leased(&front, "leased") == 0.0);
    let garbage = [&begin[..], b"$1\r\nx\r\nPING\r\nECHO \"a b\"\r\n*0\r\n"].concat();
    client.send_bytes(&garbage);
    assert_eq!([client.read(), client.read(), client.read()], [":2", "+PONG", "a b"]);
}

#[test]
fn large_requests_may_be_muted() {
    let redis = Redis::start();
    let front = Front::of(&[redis.port]);
    let mut client = front.client();
    client.send(&["CLIENT REPLY SKIP"]);
    client.send_bytes(&set("a", MB, 0));
    client.check("STRLEN a", ":1000000");
    client.send(&["CLIENT REPLY OFF"]);
    client.send_bytes(&[set("b", MB, 0), request(&[b"NOSUCH", &vec![b'x'; MB]])].concat());
    client.send(&["CLIENT REPLY ON"]);
    assert_eq!(client.read(), "+OK");
    client.check("STRLEN b", ":1000000");
}

#[test]
fn a_hundred_megabytes_inside_multi_and_behind_watch() {
    let redis = Redis::start();
    let front = Front::with(&[redis.port], &[("request-timeout-ms", "60000")]);
    let mut client = front.client();
    client.check("WATCH k", "+OK");
    client.send_bytes(&set("own", MB, 0));
    assert_eq!(client.read(), "+OK");
    client.check("MULTI", "+OK");
    client.send_bytes(&set("k", 100 * MB, 0));
    assert_eq!(client.read(), "+QUEUED");
    client.check("STRLEN k", "+QUEUED");
    client.check("EXEC", "[+OK :100000000]");
    assert_eq!(streamed(&front), 0.0);
    client.send_bytes(&set("k", MB, 0));
    assert_eq!(client.read(), "+OK");
    assert_eq!(streamed(&front), 1.0);
}

#[test]
fn a_topology_that_changes_midway_stops_nobody() {
    let (first, second) = (Redis::start(), Redis::start());
    let front = Front::with(&[first.port], &[("threads", "1")]);
    let mut client = front.client();
    let bytes = set("k", 5 * MB, 0);
    client.send_bytes(&bytes[..MB]);
    until("it has begun", || leased(&front, "leased") == 1.0);
    let addresses = [format!("127.0.0.1:{}", second.port)];
    front.topology.store(Arc::new(crate::front::topology(2, &addresses)));
    client.send_bytes(&bytes[MB..]);
    assert_eq!(client.read(), "+OK");
    client.check("EXISTS k", ":0");
    assert_eq!(first.client().ask("STRLEN k"), ":5000000");
}

#[test]
fn a_proxy_that_stops_does_not_wait_for_half_a_request() {
    let redis = Redis::start();
    let mut front = Front::with(&[redis.port], &[("threads", "1")]);
    let mut client = front.client();
    client.send_bytes(&set("k", MB, 10));
    until("it has begun", || leased(&front, "leased") == 1.0);
    front.stop(crate::peer::DEADLINE * 100);
    client.check_closed();
}
