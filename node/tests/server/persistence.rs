//! Saving, loading and ending: what is on disk, what clients see meanwhile, what becomes of failures.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use slotway_node::{Cause, EndError};
use slotway_resp::Frame;

use crate::support::{PATIENCE, Redis, TestNode, bulk, config, error, fresh_dir, ok, text, wait_until};

/// Each key that is saved takes a millisecond or more.
const SLOW_SAVE: (&str, &str) = ("rdb-key-save-delay", "1000");
const NO_SAVE_POINTS: (&str, &str) = ("save", "");

fn dump_of(dir: &Path) -> PathBuf {
    dir.join("dump.rdb")
}

/// A field of INFO persistence.
fn field(node: &TestNode, name: &str) -> Option<String> {
    let info = text(&node.client().say("INFO persistence"));
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.to_owned())
}

fn number(node: &TestNode, name: &str) -> u64 {
    field(node, name).unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

fn fill(node: &TestNode, keys: usize) {
    let mut client = node.client();
    for number in 0..keys {
        client.send(format!("SET key:{number} value-of-{number}\r\n"));
    }
    for _ in 0..keys {
        assert_eq!(client.reply(), ok());
    }
}

fn started() -> Frame {
    Frame::Simple(b"Background saving started".to_vec())
}

fn wait_for_save(node: &TestNode) {
    wait_until("the save ends", || number(node, "rdb_bgsave_in_progress") == 0);
}

fn wait_until_loaded(node: &TestNode) {
    wait_until("the data are loaded", || field(node, "loading").as_deref() == Some("0"));
}

#[test]
fn what_was_saved_is_there_after_a_restart() {
    let mut node = TestNode::start(&[NO_SAVE_POINTS]);
    let mut client = node.client();
    let lines = [
        "SET text value",
        "SET integer 12345",
        "HSET hash f v g w",
        "RPUSH list a b c",
        "SADD integers 1 2 3",
        "SADD members x y z",
        "ZADD scores 1.5 one -inf least",
        "SELECT 3",
        "SET there 3",
        "SELECT 0",
        "SET dies v PX 1",
        "SET lives v EX 1000",
    ];
    for line in lines {
        assert!(client.say(line).as_error().is_none(), "{line}");
    }
    wait_until("a key expires", || client.say("EXISTS dies") == Frame::Integer(0));
    assert_eq!(client.say("SAVE"), ok());
    assert_eq!(client.say("SET later v"), ok());
    node.stop();

    let node = TestNode::start_in(&node.dir, &[NO_SAVE_POINTS]);
    wait_until_loaded(&node);
    let mut client = node.client();
    assert_eq!(client.say("GET text"), bulk("value"));
    assert_eq!(client.say("OBJECT ENCODING integer"), bulk("int"));
    assert_eq!(client.say("HMGET hash f g"), Frame::Array(vec![bulk("v"), bulk("w")]));
    assert_eq!(client.say("LRANGE list 0 -1"), Frame::Array(vec![bulk("a"), bulk("b"), bulk("c")]));
    assert_eq!(client.say("OBJECT ENCODING integers"), bulk("intset"));
    assert_eq!(client.say("SCARD members"), Frame::Integer(3));
    assert_eq!(client.say("ZSCORE scores least"), bulk("-inf"));
    assert!(matches!(client.say("TTL lives"), Frame::Integer(900..=1000)));
    assert_eq!(client.say("EXISTS later dies"), Frame::Integer(0));
    assert_eq!(client.say("DBSIZE"), Frame::Integer(8));
    client.say("SELECT 3");
    assert_eq!(client.say("GET there"), bulk("3"));
    assert_eq!(number(&node, "rdb_last_load_keys_loaded"), 9);
}

#[test]
fn a_save_in_the_background_holds_what_was_there_when_it_was_asked_for() {
    let node = TestNode::start(&[NO_SAVE_POINTS, SLOW_SAVE]);
    fill(&node, 300);
    let mut client = node.client();
    assert_eq!(client.say("BGSAVE"), started());
    assert_eq!(client.say("BGSAVE"), error("ERR Background save already in progress"));
    assert_eq!(client.say("BGSAVE SCHEDULE"), error("ERR Background save already in progress"));
    assert_eq!(client.say("SAVE"), error("ERR Background save already in progress"));
    for number in 0..300 {
        assert_eq!(client.say(&format!("SET key:{number} changed")), ok());
    }
    assert_eq!(client.say("SET late v"), ok());
    assert_eq!(number(&node, "rdb_bgsave_in_progress"), 1);
    assert_eq!(number(&node, "current_save_keys_total"), 300);
    assert!(number(&node, "current_cow_size") > 0, "old values are kept for it");
    wait_until("a metric tells", || node.metric("redis_rdb_bgsave_in_progress") == 1.0);
    client.say("CONFIG SET rdb-key-save-delay 0");
    wait_for_save(&node);
    assert_eq!(number(&node, "rdb_changes_since_last_save"), 301);
    assert!(number(&node, "rdb_last_cow_size") > 0);

    let copy = fresh_dir();
    fs::copy(dump_of(&node.dir), dump_of(&copy)).unwrap();
    let other = TestNode::start_in(&copy, &[NO_SAVE_POINTS]);
    wait_until_loaded(&other);
    let mut client = other.client();
    assert_eq!(client.say("DBSIZE"), Frame::Integer(300));
    for number in 0..300 {
        assert_eq!(client.say(&format!("GET key:{number}")), bulk(&format!("value-of-{number}")));
    }
}

#[test]
fn a_save_point_saves_by_itself() {
    let node = TestNode::start(&[("save", "1 10")]);
    let before = number(&node, "rdb_last_save_time");
    fill(&node, 10);
    wait_until("the save point is met", || number(&node, "rdb_saves") == 1);
    wait_for_save(&node);
    assert!(number(&node, "rdb_last_save_time") > before);
    assert_eq!(number(&node, "rdb_changes_since_last_save"), 0);
    assert!(dump_of(&node.dir).exists());
    assert_eq!(node.client().call(&["CONFIG", "SET", "save", "10000 1"]), ok());
    fill(&node, 10);
    wait_until("a metric tells", || node.metric("redis_rdb_changes_since_last_save") == 10.0);
    assert_eq!(number(&node, "rdb_saves"), 1);
}

#[test]
fn a_save_within_a_transaction_begins_behind_it() {
    let node = TestNode::start(&[NO_SAVE_POINTS]);
    let mut client = node.client();
    client.send("MULTI\r\nSET a 1\r\nBGSAVE\r\nSET b 2\r\nEXEC\r\n");
    let replies: Vec<Frame> = (0..5).map(|_| client.reply()).collect();
    let scheduled = Frame::Simple(b"Background saving scheduled".to_vec());
    assert_eq!(replies[4], Frame::Array(vec![ok(), scheduled, ok()]));
    wait_until("it is saved", || number(&node, "rdb_saves") == 1);
    wait_for_save(&node);
    let copy = fresh_dir();
    fs::copy(dump_of(&node.dir), dump_of(&copy)).unwrap();
    let other = TestNode::start_in(&copy, &[NO_SAVE_POINTS]);
    wait_until_loaded(&other);
    assert_eq!(other.client().say("MGET a b"), Frame::Array(vec![bulk("1"), bulk("2")]));
}

#[test]
fn a_flush_stops_a_save_and_with_save_points_empties_the_file() {
    let node = TestNode::start(&[("save", "3600 1"), SLOW_SAVE]);
    fill(&node, 200);
    let mut client = node.client();
    assert_eq!(client.say("BGSAVE"), started());
    assert_eq!(client.say("FLUSHALL"), ok());
    wait_for_save(&node);
    assert_eq!(field(&node, "rdb_last_bgsave_status").unwrap(), "ok");
    let len = fs::metadata(dump_of(&node.dir)).unwrap().len();
    assert!(len < 200, "{len} bytes hold no keys");
    // Without save points the file stays.
    assert_eq!(client.say("SET k v"), ok());
    assert_eq!(client.say("SAVE"), ok());
    let saved = fs::read(dump_of(&node.dir)).unwrap();
    client.call(&["CONFIG", "SET", "save", ""]);
    assert_eq!(client.say("FLUSHALL"), ok());
    assert_eq!(fs::read(dump_of(&node.dir)).unwrap(), saved);
    let names: Vec<_> = fs::read_dir(&node.dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["dump.rdb"], "nothing else is left");
}

#[test]
fn clients_of_a_node_that_loads_are_told_so_and_served_afterwards() {
    let mut node = TestNode::start(&[("save", "3600 1")]);
    fill(&node, 2000);
    node.stop();

    let node = TestNode::start_in(&node.dir, &[("save", "3600 1"), ("key-load-delay", "10000")]);
    let mut client = node.client();
    let loading = error("LOADING Redis is loading the dataset in memory");
    for line in ["GET key:1", "SET key:1 v", "PING", "DBSIZE", "BGSAVE", "SAVE", "KEYS *"] {
        assert_eq!(client.say(line), loading, "{line}");
    }
    assert!(!node.running.as_ref().unwrap().readiness()());
    let info = text(&client.say("INFO persistence"));
    for name in ["loading_start_time", "loading_total_bytes", "loading_loaded_perc", "loading_eta_seconds"] {
        assert!(info.contains(&format!("\r\n{name}:")), "{info}");
    }
    assert!(info.contains("\r\nloading:1\r\n"), "{info}");
    wait_until("a metric tells", || node.metric("redis_loading_dump_file") == 1.0);
    assert_eq!(client.say("SHUTDOWN ABORT"), error("ERR No shutdown in progress."));
    assert_eq!(client.say("CONFIG SET key-load-delay 0"), ok());
    wait_until_loaded(&node);
    assert_eq!(client.say("GET key:1"), bulk("value-of-1"));
    assert_eq!(client.say("DBSIZE"), Frame::Integer(2000));
    assert!(node.running.as_ref().unwrap().readiness()());
    assert_eq!(field(&node, "loading_start_time"), None);
}

#[test]
fn a_node_that_is_stopped_while_it_loads_leaves_the_file_alone() {
    let mut node = TestNode::start(&[("save", "3600 1")]);
    fill(&node, 2000);
    node.stop();
    let saved = fs::read(dump_of(&node.dir)).unwrap();
    let mut node = TestNode::start_in(&node.dir, &[("save", "3600 1"), ("key-load-delay", "10000")]);
    wait_until("it loads", || field(&node, "loading").as_deref() == Some("1"));
    node.client().send("SHUTDOWN SAVE\r\n");
    node.running.take().unwrap().join().unwrap();
    assert_eq!(fs::read(dump_of(&node.dir)).unwrap(), saved);
}

/// A node with this file does not start, says why, and leaves the file as it was.
fn check_refused(bytes: &[u8], why: &[&str]) {
    let dir = fresh_dir();
    fs::write(dump_of(&dir), bytes).unwrap();
    let running = slotway_node::start(config(&dir, &[])).unwrap();
    let error = running.join().unwrap_err();
    assert!(matches!(error, EndError::Data(_)));
    let said = error.to_string();
    for part in why.iter().chain(&[dump_of(&dir).to_str().unwrap(), "nothing was changed"]) {
        assert!(said.contains(part), "{said:?} does not say {part:?}");
    }
    assert_eq!(fs::read(dump_of(&dir)).unwrap(), bytes);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
}

#[test]
fn a_file_that_cannot_be_read_to_its_end_is_refused_and_left_alone() {
    let mut node = TestNode::start(&[("save", "3600 1")]);
    fill(&node, 100);
    node.stop();
    let whole = fs::read(dump_of(&node.dir)).unwrap();
    let end = whole.len();
    check_refused(&[], &["at byte 0", "ends here"]);
    check_refused(&whole[..end - 20], &["ends here"]);
    check_refused(&whole[..end - 8], &["ends here"]);
    check_refused(b"a file of somebody else", &["no RDB file"]);
    let mut changed = whole.clone();
    changed[..9].copy_from_slice(b"REDIS0099");
    check_refused(&changed, &["version 99"]);
    let mut changed = whole.clone();
    let at = changed.windows(10).position(|bytes| bytes == b"value-of-7").unwrap();
    changed[at] = b'V';
    check_refused(&changed, &["checksum"]);
    // A stream: the type, and a key.
    let mut changed = whole[..9].to_vec();
    changed.extend_from_slice(&[15, 6]);
    changed.extend_from_slice(b"stream");
    check_refused(&changed, &["stream"]);
    // A key twice.
    let mut changed = whole[..9].to_vec();
    for _ in 0..2 {
        changed.extend_from_slice(&[0, 1, b'k', 1, b'v']);
    }
    changed.push(255);
    changed.extend_from_slice(&[0; 8]);
    check_refused(&changed, &["key 'k' in database 0", "twice"]);
}

#[test]
fn a_failed_save_is_told_to_writers_until_one_succeeds() {
    let node = TestNode::start(&[("save", "3600 1")]);
    let mut client = node.client();
    assert_eq!(client.say("SET k v"), ok());
    fs::remove_dir_all(&node.dir).unwrap();
    assert_eq!(client.say("SAVE"), error("ERR"));
    assert_eq!(client.say("SET k v"), ok(), "a SAVE has told its own client");
    assert_eq!(client.say("BGSAVE"), started());
    wait_for_save(&node);
    assert_eq!(field(&node, "rdb_last_bgsave_status").unwrap(), "err");
    for line in ["SET k w", "DEL k", "PING"] {
        let reply = client.say(line);
        assert!(
            reply.as_error().is_some_and(|text| text.starts_with(b"MISCONF Redis is configured")),
            "{line}"
        );
    }
    assert_eq!(client.say("GET k"), bulk("v"));
    client.send("MULTI\r\nGET k\r\nSET k w\r\nEXEC\r\n");
    let replies: Vec<Frame> = (0..4).map(|_| client.reply()).collect();
    assert_eq!(replies[3], error("EXECABORT Transaction discarded because of previous errors."));
    // The setting decides.
    assert_eq!(client.say("CONFIG SET stop-writes-on-bgsave-error no"), ok());
    assert_eq!(client.say("SET k w"), ok());
    assert_eq!(client.say("CONFIG SET stop-writes-on-bgsave-error yes"), ok());
    assert!(client.say("SET k x").as_error().is_some());
    fs::create_dir_all(&node.dir).unwrap();
    assert_eq!(client.say("BGSAVE"), started());
    wait_for_save(&node);
    assert_eq!(client.say("SET k y"), ok());
    assert_eq!(field(&node, "rdb_last_bgsave_status").unwrap(), "ok");
}

#[test]
fn a_node_that_cannot_save_does_not_end_unless_it_must() {
    let mut node = TestNode::start(&[("save", "3600 1")]);
    let mut client = node.client();
    assert_eq!(client.say("SET k v"), ok());
    fs::remove_dir_all(&node.dir).unwrap();
    let refused = error("ERR Errors trying to SHUTDOWN. Check logs.");
    assert_eq!(client.say("SHUTDOWN"), refused);
    assert_eq!(client.say("SHUTDOWN SAVE"), refused);
    node.running.as_ref().unwrap().stop(Cause::Terminate);
    assert_eq!(client.say("GET k"), bulk("v"), "it goes on");
    assert_eq!(client.say("CONFIG SET shutdown-on-sigint nosave"), ok());
    fs::create_dir_all(&node.dir).unwrap();
    node.running.as_ref().unwrap().stop(Cause::Interrupt);
    node.running.take().unwrap().join().unwrap();
    assert!(!dump_of(&node.dir).exists());
}

#[test]
fn how_a_node_ends_says_whether_it_saves() {
    let check = |save: &str, end: &str, saves: bool| {
        let mut node = TestNode::start(&[("save", save)]);
        node.client().say("SET k v");
        node.client().send(format!("{end}\r\n"));
        node.running.take().unwrap().join().unwrap();
        assert_eq!(dump_of(&node.dir).exists(), saves, "{end} with save points {save:?}");
    };
    check("3600 1", "SHUTDOWN", true);
    check("3600 1", "SHUTDOWN NOSAVE", false);
    check("", "SHUTDOWN NOW", false);
    check("", "SHUTDOWN SAVE", true);
}

#[test]
fn what_clients_change_while_a_node_ends_is_saved_too() {
    let mut node = TestNode::start(&[("save", "3600 1")]);
    let mut client = node.client();
    assert_eq!(client.say("SET k 0"), ok());
    client.send("INCR k\r\n".repeat(5000));
    node.stop();
    let last = (0..5000).map(|_| client.reply()).last().unwrap();
    assert_eq!(last, Frame::Integer(5000));
    let node = TestNode::start_in(&node.dir, &[NO_SAVE_POINTS]);
    wait_until_loaded(&node);
    assert_eq!(node.client().say("GET k"), bulk("5000"));
}

#[test]
fn writers_wait_for_a_save_that_has_set_aside_as_much_as_it_may() {
    let node = TestNode::start(&[NO_SAVE_POINTS, SLOW_SAVE, ("snapshot-memory-max", "100kb")]);
    let (mut client, value) = (node.client(), "x".repeat(1000));
    for number in 0..1000 {
        assert_eq!(client.call(&["SET", &format!("key:{number}"), &value]), ok());
    }
    assert_eq!(client.say("BGSAVE"), started());
    let port = node.port;
    let writing = thread::spawn(move || {
        let mut client =
            crate::support::Client::new(std::net::TcpStream::connect(("127.0.0.1", port)).unwrap());
        for number in 0..1000 {
            assert_eq!(client.say(&format!("SET key:{number} changed")), ok());
        }
    });
    let blocked = || text(&node.client().say("INFO clients")).contains("\r\nblocked_clients:1\r\n");
    wait_until("the writer waits", blocked);
    assert_eq!(client.say("GET no-such-key"), Frame::NullBulk, "readers are served");
    let kept = number(&node, "current_cow_peak");
    assert!((100 << 10..400 << 10).contains(&kept), "{kept} bytes are kept");
    client.say("CONFIG SET rdb-key-save-delay 0");
    writing.join().unwrap();
    wait_for_save(&node);
    assert_eq!(field(&node, "rdb_last_bgsave_status").unwrap(), "ok");
    assert!(!blocked());
}

/// Two accounts exchange money in transactions as fast as they can; whatever moment a file is of, none is missing.
#[test]
fn a_save_beside_transactions_holds_whole_ones() {
    const ACCOUNTS: u64 = 2000;
    let node = TestNode::start(&[NO_SAVE_POINTS]);
    let mut client = node.client();
    for account in 0..ACCOUNTS {
        client.send(format!("SET account:{account} 1000\r\nHSET book:{account} balance 1000\r\n"));
    }
    for _ in 0..2 * ACCOUNTS {
        client.reply();
    }
    let port = node.port;
    let until = Instant::now() + PATIENCE;
    let (stop, stopped) = std::sync::mpsc::sync_channel::<()>(0);
    let transfers = thread::spawn(move || {
        let mut client =
            crate::support::Client::new(std::net::TcpStream::connect(("127.0.0.1", port)).unwrap());
        let mut turn: u64 = 1;
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) && Instant::now() < until {
            turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (one, other, sum) = (turn >> 33 & 1023, 1024 + (turn >> 43 & 511), turn >> 60);
            client.send(format!(
                "MULTI\r\nDECRBY account:{one} {sum}\r\nINCRBY account:{other} {sum}\r\n\
                 HINCRBY book:{other} balance -{sum}\r\nHINCRBY book:{one} balance {sum}\r\nEXEC\r\n"
            ));
            for _ in 0..6 {
                client.reply();
            }
        }
    });
    for _ in 0..3 {
        assert_eq!(client.say("BGSAVE"), started());
        wait_for_save(&node);
        let copy = fresh_dir();
        fs::copy(dump_of(&node.dir), dump_of(&copy)).unwrap();
        let other = TestNode::start_in(&copy, &[NO_SAVE_POINTS]);
        wait_until_loaded(&other);
        let mut reader = other.client();
        let (mut accounts, mut books) = (0, 0);
        for account in 0..ACCOUNTS {
            accounts += text(&reader.say(&format!("GET account:{account}"))).parse::<i64>().unwrap();
            books += text(&reader.say(&format!("HGET book:{account} balance"))).parse::<i64>().unwrap();
        }
        assert_eq!((accounts, books), (2_000_000, 2_000_000));
    }
    drop(stop);
    transfers.join().unwrap();
}

#[test]
fn debug_reload_brings_back_what_was_there() {
    let node = TestNode::start(&[NO_SAVE_POINTS, ("enable-debug-command", "yes")]);
    let mut client = node.client();
    for line in ["SET k v", "HSET h f v", "RPUSH l 1 2 3", "SELECT 5", "ZADD z 1 one", "SET k five EX 100"] {
        client.say(line);
    }
    assert_eq!(client.say("DEBUG RELOAD"), ok());
    assert_eq!(client.say("GET k"), bulk("five"));
    assert!(matches!(client.say("TTL k"), Frame::Integer(90..=100)));
    client.say("SELECT 0");
    assert_eq!(client.say("LRANGE l 0 -1"), Frame::Array(vec![bulk("1"), bulk("2"), bulk("3")]));
    client.say("SET k changed");
    client.say("SET new v");
    assert_eq!(client.say("DEBUG RELOAD NOSAVE NOFLUSH MERGE"), ok());
    assert_eq!(client.say("MGET k new"), Frame::Array(vec![bulk("v"), bulk("v")]));
    let twice = client.say("DEBUG RELOAD NOSAVE NOFLUSH");
    assert_eq!(twice, error("ERR Error trying to load the RDB dump, check server logs."));
    fs::remove_file(dump_of(&node.dir)).unwrap();
    assert_eq!(client.say("DEBUG RELOAD NOSAVE"), twice);
}

#[test]
fn commands_on_snapshots_answer_as_redis_does() {
    let node = TestNode::start(&[NO_SAVE_POINTS, ("enable-debug-command", "yes")]);
    let redis = Redis::start(&["--enable-debug-command", "yes"]);
    let (mut ours, mut theirs) = (node.client(), redis.client());
    for line in [
        "SAVE",
        "SAVE now",
        "BGSAVE now",
        "BGSAVE SCHEDULE now",
        "LASTSAVE x",
        "DEBUG RELOAD now",
        "DEBUG RELOAD",
        "SHUTDOWN x",
        "SHUTDOWN SAVE NOSAVE",
        "SHUTDOWN ABORT NOW",
        "SHUTDOWN ABORT",
        "MULTI",
        "SAVE",
        "SHUTDOWN",
        "DISCARD",
    ] {
        ours.send(format!("{line}\r\n"));
        theirs.send(format!("{line}\r\n"));
        assert_eq!(ours.reply(), theirs.reply(), "{line}");
    }
    let (ours, theirs) = (ours.say("LASTSAVE"), theirs.say("LASTSAVE"));
    let (Frame::Integer(ours), Frame::Integer(theirs)) = (ours, theirs) else { panic!("no seconds") };
    assert!(ours.abs_diff(theirs) <= Duration::from_secs(60).as_secs());
}

#[test]
fn info_persistence_has_the_fields_of_redis_in_its_order() {
    let node = TestNode::start(&[NO_SAVE_POINTS]);
    let redis = Redis::start(&[]);
    let names = |info: &str| -> Vec<String> {
        info.lines().filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
    };
    let ours = names(&text(&node.client().say("INFO persistence")));
    let theirs = names(&text(&redis.client().say("INFO persistence")));
    let shared: Vec<_> = ours.iter().filter(|name| theirs.contains(name)).collect();
    assert_eq!(shared, theirs.iter().collect::<Vec<_>>());
}
