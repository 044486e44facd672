//! MULTI to EXEC, seen from one connection and from two.

use slotway_resp::Frame;

use crate::{
    cluster::{adopt, node_with_member},
    support::{Client, Redis, TestNode, bulk, error, ok, text, wait_until},
};

const QUEUED: &str = "QUEUED";

fn queued() -> Frame {
    Frame::Simple(QUEUED.into())
}

fn abort() -> Frame {
    error("EXECABORT Transaction discarded because of previous errors.")
}

#[test]
fn queued_requests_run_together_and_answer_together() {
    let node = TestNode::start(&[]);
    let (mut client, mut other) = (node.client(), node.client());
    assert_eq!(client.say("MULTI"), ok());
    for line in ["SET k 1", "INCR k", "LCS k", "INCR k"] {
        assert_eq!(client.say(line).as_error().is_some(), line == "LCS k", "{line}");
    }
    assert_eq!(client.say("EXEC"), abort());
    assert_eq!(client.say("MULTI"), ok());
    for line in ["SET k 1", "INCR k", "HSET k f v", "INCR k"] {
        assert_eq!(client.say(line), queued(), "{line}");
    }
    assert_eq!(other.say("GET k"), Frame::NullBulk, "nothing runs before EXEC");
    let wrong_type = error("WRONGTYPE Operation against a key holding the wrong kind of value");
    let replies = vec![ok(), Frame::Integer(2), wrong_type, Frame::Integer(3)];
    assert_eq!(client.say("EXEC"), Frame::Array(replies), "an error does not stop the others");
    assert_eq!(other.say("GET k"), bulk("3"));
}

#[test]
fn a_pipelined_transaction_runs_in_its_database() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    client.send(
        "SELECT 3\r\nMULTI\r\nSET k 3\r\nSELECT 4\r\nSET k 4\r\nEXEC\r\nGET k\r\nSELECT 3\r\nGET k\r\n",
    );
    let replies: Vec<Frame> = (0..9).map(|_| client.reply()).collect();
    let ran = Frame::Array(vec![ok(), ok(), ok()]);
    let (q, three, four) = (queued(), bulk("3"), bulk("4"));
    assert_eq!(replies, [ok(), ok(), q.clone(), q.clone(), q, ran, four, ok(), three]);
    client.send("SET k 3\r\nMULTI\r\nSWAPDB 3 5\r\nEXEC\r\nGET k\r\nSELECT 5\r\nGET k\r\n");
    let replies: Vec<Frame> = (0..7).map(|_| client.reply()).collect();
    assert_eq!(replies[3], Frame::Array(vec![ok()]));
    assert_eq!(
        (&replies[4], &replies[6]),
        (&Frame::NullBulk, &bulk("3")),
        "places found before are not used"
    );
}

/// One client does `before`, another watches, the first does `between`: does the EXEC of the other run?
fn check_watch(before: &[&str], watch: &str, between: &[&str], runs: bool) {
    let node = TestNode::start(&[]);
    let (mut watcher, mut changer) = (node.client(), node.client());
    for line in before {
        changer.say(line);
    }
    assert_eq!(watcher.say(watch), ok());
    for line in between {
        let reply = changer.say(line);
        assert!(reply.as_error().is_none(), "{line}: {reply:?}");
    }
    watcher.say("MULTI");
    watcher.say("PING");
    let expected = if runs { Frame::Array(vec![Frame::Simple(b"PONG".to_vec())]) } else { Frame::NullArray };
    assert_eq!(watcher.say("EXEC"), expected, "{before:?}, {watch}, {between:?}");
    watcher.say("MULTI");
    assert_eq!(watcher.say("EXEC"), Frame::Array(vec![]), "the watch ends with the EXEC");
}

#[test]
fn exec_runs_nothing_when_a_watched_key_changed() {
    for change in [
        "SET k 1",
        "DEL k",
        "APPEND k x",
        "EXPIRE k 100",
        "PEXPIREAT k 1",
        "RENAME k other",
        "RENAME other k",
        "COPY other k REPLACE",
        "MOVE k 1",
        "FLUSHDB",
        "FLUSHALL",
        "SWAPDB 0 1",
        "MSET x 1 k 2",
        "GETDEL k",
        "GETEX k EX 10",
    ] {
        check_watch(&["SET k 1", "SET other 2"], "WATCH a k", &[change], false);
    }
    check_watch(&[], "WATCH k", &["SET k 1"], false);
    check_watch(&["HSET k f v"], "WATCH k", &["HDEL k f"], false);
    check_watch(&["SET k 1"], "WATCH k", &["SET k 2", "SET k 1"], false);
    check_watch(&["SET k 1"], "WATCH k k k", &["SET k 1"], false);
    check_watch(&["SELECT 1", "SET k 1", "SELECT 0"], "WATCH k", &["SWAPDB 0 1"], false);
}

#[test]
fn exec_runs_when_no_watched_key_changed() {
    for change in [
        "GET k",
        "SET other 1",
        "DEL none",
        "EXPIRE none 1",
        "SETNX k 5",
        "PERSIST k",
        "TOUCH k",
        "RENAME other another",
        "SWAPDB 2 3",
        "SWAPDB 0 0",
        "GETEX k",
    ] {
        check_watch(&["SET k 1", "SET other 2"], "WATCH a k", &[change], true);
    }
    check_watch(&["SET other 2"], "WATCH k", &["FLUSHALL"], true);
    check_watch(&["SELECT 1", "SET k 1", "SELECT 0"], "WATCH k", &["SELECT 1", "SET k 2"], true);
}

#[test]
fn a_watched_key_that_expires_has_changed_and_one_that_had_expired_has_not() {
    // Active expiry stands still, so that only EXEC itself can notice.
    let node = TestNode::start(&[("enable-debug-command", "yes")]);
    let (mut watcher, mut other) = (node.client(), node.client());
    assert_eq!(other.say("DEBUG SET-ACTIVE-EXPIRE 0"), ok());
    other.say("SET k 1 PX 1");
    wait_until("the key has expired", || other.say("EXISTS k") == Frame::Integer(0));
    watcher.say("WATCH k");
    watcher.say("MULTI");
    assert_eq!(watcher.say("EXEC"), Frame::Array(vec![]));
    // As much time as it takes to watch the key while it is there.
    let mut life_ms = 20;
    while {
        other.say(&format!("SET k 1 PX {life_ms}"));
        watcher.say("WATCH k");
        other.say("EXISTS k") != Frame::Integer(1)
    } {
        watcher.say("UNWATCH");
        life_ms *= 2;
    }
    other.say(&format!("SET marker 1 PX {}", life_ms + 1));
    wait_until("the marker has expired after it", || other.say("EXISTS marker") == Frame::Integer(0));
    watcher.say("MULTI");
    assert_eq!(watcher.say("EXEC"), Frame::NullArray);
}

#[test]
fn watches_end_with_unwatch_discard_reset_and_the_connection() {
    let node = TestNode::start(&[]);
    let mut changer = node.client();
    for end in ["UNWATCH", "RESET", "EXEC x", "MULTI\r\nDISCARD"] {
        let mut watcher = node.client();
        watcher.say("WATCH k");
        watcher.send(format!("{end}\r\n"));
        watcher.reply();
        if end.contains("DISCARD") {
            watcher.reply();
        }
        changer.say("INCR k");
        watcher.say("MULTI");
        assert_eq!(watcher.say("EXEC"), Frame::Array(vec![]), "{end}");
    }
    let mut watcher = node.client();
    watcher.say("WATCH k");
    drop(watcher);
    assert_eq!(changer.say("SET k 1"), ok());
}

#[test]
fn a_client_shows_what_it_queues_and_what_it_missed() {
    let node = TestNode::start(&[]);
    let (mut client, mut other) = (node.client(), node.client());
    let mut shows = |fields: [&str; 2]| {
        let list = text(&other.say("CLIENT LIST ID 1"));
        for field in fields {
            assert!(list.contains(field), "{field} in {list}");
        }
    };
    client.say("WATCH k");
    shows([" flags=N ", " multi=-1 "]);
    client.say("MULTI");
    shows([" flags=x ", " multi=0 "]);
    client.say("GET k");
    client.say("CLIENT INFO");
    shows([" flags=x ", " multi=2 "]);
    let Frame::Array(replies) = client.say("EXEC") else { panic!("it ran") };
    let own = text(&replies[1]);
    assert!(own.contains(" flags=x ") && own.contains(" multi=2 ") && own.contains(" cmd=exec "), "{own}");
    client.say("WATCH k");
    client.say("SET k 1");
    client.say("MULTI");
    shows([" flags=xd ", " multi=0 "]);
    client.say("DISCARD");
    shows([" flags=N ", " multi=-1 "]);
}

#[test]
fn a_queue_counts_as_unread_input() {
    let node = TestNode::start(&[("client-query-buffer-limit", "1mb")]);
    let (mut client, mut other) = (node.client(), node.client());
    let value = "v".repeat(300_000);
    client.say("MULTI");
    for _ in 0..3 {
        assert_eq!(client.call(&["SET", "k", &value]), queued());
    }
    let list = text(&other.say("CLIENT LIST ID 1"));
    assert!(list.contains(" multi-mem=9"), "{list}");
    client.send(format!("SET k {}\r\nSET k {}\r\n", &value[..60_000], &value[..60_000]));
    client.send(format!("SET k {}\r\nSET k {}\r\n", &value[..60_000], &value[..60_000]));
    client.until_closed();
    assert_eq!(other.say("GET k"), Frame::NullBulk);
    let cut = "redis_client_query_buffer_limit_disconnections_total";
    wait_until("it is counted", || (node.metric(cut) - 1.0).abs() < f64::EPSILON);
}

#[test]
fn a_managed_node_runs_a_transaction_in_one_of_its_slots_only() {
    let (node, mut member) = node_with_member();
    assert_eq!(adopt(&mut member, 5, "n1"), ok());
    let mut client = node.client();
    let crossslot = error("CROSSSLOT Keys in request don't hash to the same slot");
    let run = |client: &mut Client<_>, lines: &[&str]| {
        client.say("MULTI");
        for line in lines {
            assert_eq!(client.say(line), queued(), "{line}");
        }
        client.say("EXEC")
    };
    let done = Frame::Array(vec![ok(), ok(), ok()]);
    assert_eq!(run(&mut client, &["SET {bar}1 1", "SET bar 1", "SET {bar}2 2"]), done);
    // bar is slot 5061, b 3300: both are here.
    assert_eq!(run(&mut client, &["SET bar 2", "SET b 2"]), crossslot);
    assert_eq!(client.say("EXEC"), error("ERR EXEC without MULTI"), "it is discarded");
    assert_eq!(client.say("GET bar"), bulk("1"));
    assert_eq!(client.say("WATCH bar b"), crossslot);
    // Database 2 is whole and at home in slot 3868, database 1 in slot 10126, which is elsewhere.
    assert_eq!(run(&mut client, &["SELECT 2", "SET bar 1", "SET b 2"]), done);
    assert_eq!(run(&mut client, &["SET bar 1", "SELECT 0", "SET bar 1"]), crossslot);
    client.say("SELECT 0");
    for (lines, reply) in [
        (&["MSETNX bar 1 b 2"][..], &crossslot),
        (&["SELECT 1", "SET bar 1"], &error("MOVED 10126 10.0.0.2:7002")),
        (&["SET foo 1"], &error("MOVED 12182 10.0.0.2:7002")),
    ] {
        client.say("MULTI");
        let last = lines.iter().map(|line| client.say(line)).last();
        assert_eq!(last.as_ref(), Some(reply), "{lines:?}");
        assert_eq!(client.say("EXEC"), abort(), "{lines:?}");
    }
    assert_eq!(client.say("DBSIZE"), Frame::Integer(3));
}

#[test]
fn a_transaction_answers_in_the_protocol_that_it_switches_to() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    client.say("MULTI");
    client.say("HGETALL none");
    client.say("HELLO 3");
    client.say("HGETALL none");
    let Frame::Array(replies) = client.say("EXEC") else { panic!("it ran") };
    assert_eq!((&replies[0], &replies[2]), (&Frame::Array(vec![]), &Frame::Map(vec![])));
    client.say("WATCH k");
    client.say("SET k 1");
    client.say("MULTI");
    assert_eq!(client.say("EXEC"), Frame::Null);
}

/// Whole conversations in raw RESP, byte for byte as redis-server has them.
#[test]
fn conversations_are_those_of_redis() {
    let node = TestNode::start(&[]);
    let redis = Redis::start(&[]);
    for conversation in CONVERSATIONS {
        let (mut ours, mut theirs) = (node.client(), redis.client());
        let lines: String = conversation.iter().map(|line| format!("{line}\r\n")).collect();
        let lines = format!("{lines}CLIENT REPLY ON\r\nQUIT\r\n");
        ours.send(&lines);
        theirs.send(&lines);
        let (ours, theirs) = (ours.until_closed(), theirs.until_closed());
        assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(&theirs), "{conversation:?}");
    }
}

const CONVERSATIONS: &[&[&str]] = &[
    &["EXEC x", "EXEC", "DISCARD", "DISCARD x", "MULTI x", "WATCH", "UNWATCH x", "UNWATCH", "EXEC"],
    &["MULTI", "MULTI", "WATCH a", "SET k v", "EXEC x", "PING", "EXEC"],
    &["MULTI", "MULTI", "WATCH a", "SET k v", "UNWATCH", "EXEC"],
    &["MULTI", "NONSENSE a", "SET k v", "EXEC", "EXEC"],
    &["MULTI", "GET", "DISCARD", "MULTI", "EXEC"],
    &["MULTI", "CLIENT", "EXEC"],
    &["MULTI", "CLIENT NONSENSE", "EXEC"],
    &["MULTI", "SHUTDOWN", "EXEC", "PING"],
    &["MULTI", "DEBUG SLEEP 0", "EXEC"],
    &["MULTI", "PING", "CLIENT REPLY OFF", "PING", "EXEC", "PING"],
    &["MULTI", "PING", "CLIENT REPLY SKIP", "PING", "EXEC", "PING", "PING"],
    &["MULTI", "CLIENT REPLY SKIP", "CLIENT REPLY ON", "PING", "EXEC", "PING", "PING"],
    &["CLIENT REPLY SKIP", "MULTI", "PING", "CLIENT REPLY SKIP", "EXEC", "PING", "PING"],
    &["MULTI", "PING", "CLIENT REPLY SKIP", "EXEC", "EXEC", "PING"],
    &["CLIENT REPLY OFF", "MULTI", "PING", "CLIENT REPLY ON", "PING", "EXEC", "PING"],
    &["CLIENT REPLY OFF", "MULTI", "GET", "EXEC", "CLIENT REPLY ON"],
    &["CLIENT REPLY OFF", "WATCH k", "INCR k", "MULTI", "EXEC", "CLIENT REPLY ON"],
    &[
        "CLIENT REPLY SKIP",
        "CLIENT REPLY SKIP",
        "PING",
        "PING",
        "CLIENT REPLY SKIP",
        "CLIENT REPLY ON",
        "PING",
    ],
    &["CLIENT REPLY SKIP", "RESET", "PING", "CLIENT REPLY OFF", "RESET", "PING"],
    &["MULTI", "SET k v", "RESET", "EXEC", "GET k"],
    &["MULTI", "SET k v", "QUIT", "EXEC"],
    &["SELECT 4", "MULTI", "SELECT 99", "SELECT x", "SELECT 5", "ECHO hi", "EXEC", "SELECT 5"],
    &["MULTI", "SET k \"a b\"", "GET k", "ECHO \"\\x00\\xff\"", "EXEC"],
    &["WATCH wk", "SET wk 1", "WATCH wk", "MULTI", "SET wk 2", "EXEC", "GET wk", "DEL wk"],
    &["WATCH wk", "SET wk 1", "UNWATCH", "MULTI", "SET wk 2", "EXEC", "DEL wk"],
    &["MULTI", "UNWATCH", "EXPIRE nope 5", "EXEC"],
];
