//! MIGRATE: keys go to another server and away from here, in both directions between this node and redis-server, and no
//! write is lost on the way.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::net::UnixStream,
    sync::mpsc,
    thread,
};

use slotway_resp::Frame;

use crate::support::{Client, Redis, TestNode, bulk, error, ok, text};

/// A port that leads to a redis-server, which listens on a socket file only.
fn port_of(redis: &Redis) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let path = redis.socket();
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let Ok(socket) = UnixStream::connect(&path) else { return };
            let (mut from, mut to) = (stream.try_clone().unwrap(), socket.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            let (mut from, mut to) = (socket, stream);
            thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
    });
    port
}

fn migrate<S: crate::support::Socket>(client: &mut Client<S>, port: u16, rest: &[&str]) -> Frame {
    let port = port.to_string();
    client.call(&[&["MIGRATE", "127.0.0.1", &port][..], rest].concat())
}

/// One key of each type, and what asks for its value.
const KEYS: [(&str, &str, &str); 5] = [
    ("text", "SET text a-value-that-is-longer-than-twenty-bytes", "GET text"),
    ("hash", "HSET hash f 1 g word", "HGETALL hash"),
    ("list", "RPUSH list a 7 b", "LRANGE list 0 -1"),
    ("integers", "SADD integers 3 1 2", "SMEMBERS integers"),
    ("sorted", "ZADD sorted 1.5 m -2 n", "ZRANGE sorted 0 -1 WITHSCORES"),
];

#[test]
fn keys_of_every_type_go_from_a_node_to_redis_and_back() {
    let (node, redis) =
        (TestNode::start(&[("appendonly", "yes"), ("appendfsync", "always")]), Redis::start(&[]));
    let (mut ours, mut theirs) = (node.client(), redis.client());
    let redis_port = port_of(&redis);
    let values: Vec<Frame> = KEYS
        .iter()
        .map(|(_, make, ask)| {
            ours.say(make);
            ours.say(ask)
        })
        .collect();
    ours.say("PEXPIRE hash 1000000");
    let all = ["", "0", "5000", "KEYS", "text", "hash", "absent", "list", "integers", "sorted"];
    assert_eq!(migrate(&mut ours, redis_port, &all), ok());
    assert_eq!(ours.say("DBSIZE"), Frame::Integer(0));
    let log = std::fs::read(node.dir.join("appendonlydir/appendonly.aof.1.incr.aof")).unwrap();
    let told =
        b"*6\r\n$3\r\nDEL\r\n$4\r\ntext\r\n$4\r\nhash\r\n$4\r\nlist\r\n$8\r\nintegers\r\n$6\r\nsorted\r\n";
    assert!(log.ends_with(told), "{}", String::from_utf8_lossy(&log));
    for ((_, _, ask), value) in KEYS.iter().zip(&values) {
        assert_eq!(theirs.say(ask), *value, "{ask}");
    }
    let Frame::Integer(left) = theirs.say("PTTL hash") else { panic!("a number") };
    assert!((900_000..=1_000_000).contains(&left), "{left}");
    for (name, _, _) in KEYS {
        assert_eq!(migrate(&mut theirs, node.port, &[name, "2", "5000", "REPLACE"]), ok());
    }
    assert_eq!(theirs.say("DBSIZE"), Frame::Integer(0));
    ours.say("SELECT 2");
    for ((_, _, ask), value) in KEYS.iter().zip(&values) {
        assert_eq!(ours.say(ask), *value, "{ask}");
    }
    let Frame::Integer(left) = ours.say("PTTL hash") else { panic!("a number") };
    assert!((900_000..=1_000_000).contains(&left), "{left}");
}

#[test]
fn errors_are_those_of_redis_and_keys_stay() {
    let (node, target) = (TestNode::start(&[]), TestNode::start(&[("requirepass", "secret")]));
    let redis = Redis::start(&[]);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (mut ours, mut theirs) = (node.client(), redis.client());
    let mut there = target.client();
    assert_eq!(there.say("AUTH secret"), ok());
    assert_eq!(there.say("SET taken theirs"), ok());
    for (one, other) in [(&mut ours as &mut dyn Asks, target.port), (&mut theirs, target.port)] {
        one.ask(&["SET", "taken", "ours"]);
        one.ask(&["SET", "k", "v"]);
        let mut check = |port: u16, rest: &[&str], reply: Frame| {
            let port = port.to_string();
            assert_eq!(one.ask(&[&["MIGRATE", "127.0.0.1", &port][..], rest].concat()), reply, "{rest:?}");
        };
        check(other, &["absent", "0", "5000"], Frame::Simple(b"NOKEY".to_vec()));
        check(other, &["", "0", "5000", "KEYS"], Frame::Simple(b"NOKEY".to_vec()));
        check(closed, &["k", "0", "5000"], error("IOERR error or timeout writing to target instance"));
        let stranger = "ERR Target instance replied with error: NOAUTH Authentication required.";
        check(other, &["k", "0", "5000"], error(stranger));
        let wrong = "ERR Target instance replied with error: WRONGPASS invalid username-password pair or user is disabled.";
        check(other, &["k", "0", "5000", "AUTH", "wrong"], error(wrong));
        let busy = "ERR Target instance replied with error: BUSYKEY Target key name already exists.";
        check(other, &["taken", "0", "5000", "AUTH", "secret"], error(busy));
        let beyond = "ERR Target instance replied with error: ERR DB index is out of range";
        check(other, &["k", "99", "5000", "AUTH2", "default", "secret"], error(beyond));
        // redis-server has sent the key all the same.
        there.say("DEL k");
        check(other, &["k", "x", "5000"], error("ERR value is not an integer or out of range"));
        check(other, &["k", "0", "x"], error("ERR value is not an integer or out of range"));
        check(other, &["k", "0", "5000", "AUTH2", "default"], error("ERR syntax error"));
        check(other, &["k", "0", "5000", "MOVE"], error("ERR syntax error"));
        let both = "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string";
        check(other, &["k", "0", "5000", "KEYS", "k"], error(both));
        // What the target refuses stays, the others go.
        check(other, &["", "0", "5000", "AUTH", "secret", "KEYS", "taken", "k"], error(busy));
        assert_eq!(one.ask(&["EXISTS", "taken", "k"]), Frame::Integer(1));
        assert_eq!(there.say("DEL k"), Frame::Integer(1));
        assert_eq!(one.ask(&["SET", "k", "v"]), ok());
        let mut check = |rest: &[&str], reply: Frame| {
            let port = other.to_string();
            assert_eq!(one.ask(&[&["MIGRATE", "127.0.0.1", &port][..], rest].concat()), reply, "{rest:?}");
        };
        check(&["taken", "0", "5000", "AUTH", "secret", "REPLACE", "COPY"], ok());
        assert_eq!((there.say("GET taken"), one.ask(&["GET", "taken"])), (bulk("ours"), bulk("ours")));
        there.say("SET taken theirs");
        there.say("DEL k");
    }
}

/// A client of either kind of server.
trait Asks {
    fn ask(&mut self, words: &[&str]) -> Frame;
}

impl<S: crate::support::Socket> Asks for Client<S> {
    fn ask(&mut self, words: &[&str]) -> Frame {
        self.call(words)
    }
}

/// A server that says nothing to the RESTOREs until it is told to, then OK to all. Tells when everything has come.
fn slow_target(restores: usize) -> (u16, mpsc::Receiver<()>, mpsc::SyncSender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let ((came, has_come), (go_on, may_go_on)) = (mpsc::sync_channel(1), mpsc::sync_channel(1));
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = Vec::new();
        let mut read = |lines: usize| {
            for _ in 0..lines {
                reader.read_until(b'\n', &mut line).unwrap();
            }
        };
        // SELECT.
        read(5);
        (&stream).write_all(b"+OK\r\n").unwrap();
        // A RESTORE; the values that tests send have no line end in them.
        read(9 * restores);
        came.send(()).unwrap();
        may_go_on.recv().unwrap();
        (&stream).write_all(b"+OK\r\n".repeat(restores).as_slice()).unwrap();
        // Open until the other end closes.
        let _ = std::io::copy(&mut reader, &mut std::io::sink());
    });
    (port, has_come, go_on)
}

#[test]
fn others_are_served_meanwhile_and_what_they_write_is_not_lost() {
    let node = TestNode::start(&[]);
    let (mut asker, mut other) = (node.client(), node.client());
    other.say("SET one 1");
    other.say("SET two 2");
    let (port, has_come, go_on) = slow_target(2);
    let port = port.to_string();
    let mut request = Vec::new();
    let words = ["MIGRATE", "127.0.0.1", &port, "", "0", "20000", "KEYS", "one", "two"];
    slotway_resp::write::request(&mut request, &words);
    // What stands behind it waits with it.
    slotway_resp::write::request(&mut request, &["GET", "one"]);
    asker.send(&request);
    has_come.recv().unwrap();
    assert_eq!(other.say("APPEND one 1"), Frame::Integer(2));
    assert!(text(&other.say("CLIENT LIST")).lines().any(|line| line.contains("flags=b")));
    go_on.send(()).unwrap();
    let told = text(&asker.reply());
    assert!(told.starts_with("ERR 1 keys have changed on their way"), "{told}");
    assert_eq!(asker.reply(), bulk("11"), "the written one stays");
    assert_eq!(asker.say("EXISTS two"), Frame::Integer(0));
}

#[test]
fn a_client_that_leaves_meanwhile_leaves_its_request_behind() {
    let node = TestNode::start(&[]);
    let mut other = node.client();
    other.say("SET one 1");
    other.say("SET two 2");
    let (port, has_come, go_on) = slow_target(2);
    let mut asker = node.client();
    let mut request = Vec::new();
    let port = port.to_string();
    let words = ["MIGRATE", "127.0.0.1", &port, "", "0", "20000", "KEYS", "one", "two"];
    slotway_resp::write::request(&mut request, &words);
    asker.send(&request);
    has_come.recv().unwrap();
    drop(asker);
    go_on.send(()).unwrap();
    crate::support::wait_until("both keys have gone", || other.say("DBSIZE") == Frame::Integer(0));
}

#[test]
fn a_target_that_says_nothing_is_given_up_and_no_key_goes() {
    let node = TestNode::start(&[]);
    let mut asker = node.client();
    asker.say("SET one 1");
    let (port, _has_come, _go_on) = slow_target(1000);
    let reply = migrate(&mut asker, port, &["one", "0", "50"]);
    assert_eq!(reply, error("IOERR error or timeout reading to target instance"));
    assert_eq!(asker.say("GET one"), bulk("1"));
}

#[test]
fn a_transaction_cannot_wait_for_another_server() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    client.say("SET one 1");
    client.say("MULTI");
    client.say("MIGRATE 127.0.0.1 1 one 0 1000");
    let Frame::Array(replies) = client.say("EXEC") else { panic!("replies") };
    assert_eq!(replies, [error("ERR MIGRATE waits for another server, which a transaction cannot")]);
}
