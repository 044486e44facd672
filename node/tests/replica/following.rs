//! What a replica of a real redis-server holds is what that holds.

use std::net::TcpStream;

use slotway_resp::write;

use crate::{
    dump::{info, wait_for, wait_until_same},
    redis::RedisServer,
    support::{Client, TestNode, text, wait_until},
};

/// A few keys of each type, small and large, with and without deadlines, in several databases.
fn fill(client: &mut Client<TcpStream>) {
    let long = "x".repeat(100_000);
    for database in [0, 3, 15] {
        client.say(&format!("SELECT {database}"));
        client.call(&["SET", "long", &long]);
        for line in [
            "SET text hello",
            "SET number 12345",
            "SET soon gone PX 3600000",
            "SETRANGE sparse 1000 x",
            "RPUSH list a b c 1 2 3",
            "SADD integers 1 2 3 70000",
            "SADD words one two three",
            "HSET hash field value other 1",
            "ZADD scores 1 one 2.5 two -inf least",
            "PFADD visitors a b c",
            "SETBIT bits 1000 1",
            "GEOADD places 13.361389 38.115556 Palermo",
            "EXPIRE words 10000",
        ] {
            client.say(line);
        }
        for key in ["big-list", "big-set", "big-hash", "big-scores"] {
            for chunk in 0..10 {
                let mut words = vec![];
                for item in chunk * 100..chunk * 100 + 100 {
                    match key {
                        "big-hash" => words.extend([format!("f{item}"), format!("v{item}")]),
                        "big-scores" => words.extend([format!("{item}.25"), format!("m{item}")]),
                        _ => words.push(format!("item-{item}")),
                    }
                }
                let command = match key {
                    "big-list" => "RPUSH",
                    "big-set" => "SADD",
                    "big-hash" => "HSET",
                    _ => "ZADD",
                };
                let words: Vec<&str> =
                    [command, key].into_iter().chain(words.iter().map(String::as_str)).collect();
                client.call(&words);
            }
        }
    }
    client.say("SELECT 0");
}

/// Changes of many kinds, after which keys are compared.
fn change(client: &mut Client<TcpStream>) {
    for line in [
        "SELECT 3",
        "APPEND text more",
        "INCRBYFLOAT number 0.5",
        "SPOP words 2",
        "LPOP big-list 100",
        "HDEL big-hash f1 f2 f3",
        "ZINCRBY scores 1 one",
        "RENAME hash hash2",
        "COPY list list2",
        "MOVE text 9",
        "SELECT 0",
        "MULTI",
        "SET a 1",
        "SELECT 7",
        "SET b 2",
        "EXEC",
        "SWAPDB 7 8",
        "EVAL redis.call('set','from-script','1');redis.call('incr','from-script') 0",
        "PERSIST soon",
        "SORT list ALPHA STORE sorted",
        "BITOP NOT inverted bits",
        "SELECT 15",
        "FLUSHDB",
        "SET last one EX 5000",
    ] {
        client.say(line);
    }
    client.say("SELECT 0");
}

fn follow(node: &TestNode, port: u16) -> Client<TcpStream> {
    let mut client = node.client();
    assert_eq!(text(&client.say(&format!("REPLICAOF 127.0.0.1 {port}"))), "OK");
    wait_for(&mut client, "master_link_status", "up");
    client
}

fn check_follows(flags: &[&str]) {
    let redis = RedisServer::start(flags);
    let mut there = redis.client();
    fill(&mut there);
    let node = TestNode::start(&[]);
    let mut here = follow(&node, redis.port);
    wait_until_same(&mut there, &mut here);
    change(&mut there);
    wait_until_same(&mut there, &mut here);
    assert_eq!(info(&mut here, "unexpected_error_replies").as_deref(), Some("0"));
    assert_eq!(info(&mut here, "role").as_deref(), Some("slave"));
    assert_eq!(info(&mut there, "connected_slaves").as_deref(), Some("1"));
    let theirs = info(&mut there, "slave0").unwrap();
    assert!(theirs.contains(&format!("port={},state=online", node.port)), "{theirs}");
    let history = info(&mut there, "master_replid");
    assert_eq!(info(&mut here, "master_replid"), history);
}

#[test]
fn a_node_follows_a_redis_that_sends_its_snapshot_as_it_makes_it() {
    check_follows(&["--repl-diskless-sync", "yes"]);
}

#[test]
fn a_node_follows_a_redis_that_sends_its_snapshot_from_a_file() {
    check_follows(&["--repl-diskless-sync", "no", "--rdbcompression", "no"]);
}

#[test]
fn a_hundred_thousand_keys_arrive_while_others_are_written() {
    let redis = RedisServer::start(&[]);
    let mut there = redis.client();
    for chunk in 0..100 {
        let mut bytes = Vec::new();
        for key in chunk * 1000..chunk * 1000 + 1000 {
            write::request(&mut bytes, &["SET", &format!("key:{key}"), &format!("value-{key}")]);
        }
        there.send(bytes);
        (0..1000).for_each(|_| drop(there.reply()));
    }
    let node = TestNode::start(&[]);
    let mut here = node.client();
    here.say(&format!("REPLICAOF 127.0.0.1 {}", redis.port));
    let mut written = 0;
    wait_until("the link is up", || {
        (0..100).for_each(|_| {
            written += 1;
            there.say(&format!("SET key:{} changed-{written}", written * 7 % 100_000));
            there.say(&format!("SET new:{written} 1"));
        });
        info(&mut here, "master_link_status").as_deref() == Some("up")
    });
    wait_until_same(&mut there, &mut here);
}

#[test]
fn a_key_past_its_deadline_is_hidden_here_and_goes_when_the_primary_says_so() {
    let redis = RedisServer::start(&["--enable-debug-command", "yes"]);
    let mut there = redis.client();
    // The primary forgets about the deadline by itself; only a look at the key would remind it.
    there.say("DEBUG SET-ACTIVE-EXPIRE 0");
    let node = TestNode::start(&[]);
    let mut here = follow(&node, redis.port);
    there.say("SET brief x PX 1");
    wait_until("the key arrives and is hidden", || {
        text(&here.say("INFO keyspace")).contains("keys=1")
            && here.say("EXISTS brief") == slotway_resp::Frame::Integer(0)
    });
    assert!(text(&here.say("INFO keyspace")).contains("keys=1"));
    there.say("GET brief");
    wait_until("the primary's DEL arrives", || !text(&here.say("INFO keyspace")).contains("keys=1"));
    wait_until_same(&mut there, &mut here);
}

#[test]
fn no_client_sees_half_of_a_transaction() {
    let redis = RedisServer::start(&[]);
    let mut there = redis.client();
    let node = TestNode::start(&[]);
    let mut here = follow(&node, redis.port);
    there.say("MSET a 0 b 0");
    wait_until("both keys are here", || text(&here.say("INFO keyspace")).contains("keys=2"));
    let writer = std::thread::spawn(move || {
        for number in 1..2000 {
            let long = "y".repeat(number % 700);
            let mut bytes = Vec::new();
            write::request(&mut bytes, &["MULTI"]);
            write::request(&mut bytes, &["INCR", "a"]);
            write::request(&mut bytes, &["SET", "filler", &long]);
            write::request(&mut bytes, &["INCR", "b"]);
            write::request(&mut bytes, &["EXEC"]);
            there.send(bytes);
            (0..5).for_each(|_| drop(there.reply()));
        }
        there
    });
    while !writer.is_finished() {
        let slotway_resp::Frame::Array(pair) = here.say("MGET a b") else { panic!("MGET answers an array") };
        assert_eq!(pair[0], pair[1]);
    }
    wait_until_same(&mut writer.join().unwrap(), &mut here);
}
