//! The append-only log as its users see it: after a restart everything is there, and a redis-server reads our directory as we
//! read its.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use slotway_resp::Frame;

use crate::dump::{Dump, dump, wait_for};
use crate::support::{Client, Redis, Socket, TestNode, bulk, ok, text, wait_until};

const ON: (&str, &str) = ("appendonly", "yes");

/// Changes of every kind, in several databases, and as transactions.
const CHANGES: &[&str] = &[
    "SET text value",
    "APPEND text more",
    "SETRANGE text 3 XYZ",
    "INCRBY number 41",
    "INCRBYFLOAT float 1.5",
    "SET later x EX 10000",
    "EXPIRE text 100000",
    "SETEX gone 1 x",
    "RPUSH list a b c d",
    "LPOP list",
    "HSET hash f 1 g 2",
    "HINCRBYFLOAT hash f 0.25",
    "SADD set a b c 1 2 3",
    "SPOP set 2",
    "ZADD sorted 1 a 2 b 3 c",
    "ZPOPMIN sorted",
    "PFADD hll a b c",
    "SETBIT bits 100 1",
    "GEOADD geo 13.361389 38.115556 Palermo",
    "SELECT 5",
    "SET elsewhere 1",
    "MOVE elsewhere 6",
    "MULTI",
    "SET in transaction",
    "SELECT 7",
    "RPUSH in:7 a b",
    "EXEC",
    "SELECT 0",
    "RENAME number renamed",
    "COPY hash copied DB 9",
    "DEL list",
    "RPUSH list x y z",
];

fn change<S: Socket>(client: &mut Client<S>) {
    for line in CHANGES {
        let reply = client.say(line);
        assert!(reply.as_error().is_none(), "{line}: {reply:?}");
    }
}

/// What is there once the key that lives for a second is gone.
fn settled<S: Socket>(client: &mut Client<S>) -> Dump {
    wait_until("it expires", || client.say("EXISTS gone") == Frame::Integer(0));
    let all = dump(client);
    assert_eq!(all.len(), 15, "{all:?}");
    all
}

/// A node that has its data.
fn start(dir: &Path) -> TestNode {
    let node = TestNode::start_in(dir, &[ON]);
    wait_until("it has its data", || node.client().say("PING").as_error().is_none());
    node
}

/// redis-check-aof's verdict on the log in `dir`.
fn check(dir: &Path) -> String {
    let manifest = dir.join("appendonlydir/appendonly.aof.manifest");
    let output =
        Command::new("redis-check-aof").arg(manifest).output().expect("redis-check-aof must be installed");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

fn increment(dir: &Path, seq: u32) -> PathBuf {
    dir.join(format!("appendonlydir/appendonly.aof.{seq}.incr.aof"))
}

/// What a field of INFO persistence says.
fn info<S: Socket>(client: &mut Client<S>, field: &str) -> String {
    let info = text(&client.say("INFO persistence"));
    let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field} in {info}")).to_owned()
}

#[test]
fn what_was_written_is_there_after_a_restart_and_a_redis_server_reads_it() {
    let own = tempfile::tempdir().unwrap();
    let dir = own.path();
    let mut node = start(dir);
    change(&mut node.client());
    let before = settled(&mut node.client());
    node.stop();
    let mut node = start(dir);
    assert_eq!(dump(&mut node.client()), before);
    assert_eq!(node.client().say("SET second life"), ok());
    let before = dump(&mut node.client());
    node.stop();
    assert!(check(dir).contains("All AOF files and manifest are valid"));
    let redis = Redis::start_in(dir, &["--appendonly", "yes"]);
    assert_eq!(dump(&mut redis.client()), before);
}

#[test]
fn a_log_of_redis_is_read_and_gone_on_with() {
    let own = tempfile::tempdir().unwrap();
    let dir = own.path();
    let before = {
        let redis = Redis::start_in(dir, &["--appendonly", "yes", "--aof-timestamp-enabled", "yes"]);
        let mut client = redis.client();
        for line in CHANGES {
            client.say(line);
        }
        client.say("BGREWRITEAOF");
        wait_until("it is rewritten", || {
            info(&mut client, "aof_rewrites") == "1" && info(&mut client, "aof_rewrite_in_progress") == "0"
        });
        client.say("SET behind it");
        client.say("DEL behind");
        client.say("HSET hash h 3");
        settled(&mut client)
    };
    let mut node = start(dir);
    assert_eq!(dump(&mut node.client()), before);
    assert_eq!(node.client().say("SET ours 1"), ok());
    node.stop();
    check(dir);
    let redis = Redis::start_in(dir, &["--appendonly", "yes"]);
    assert_eq!(redis.client().say("GET ours"), bulk("1"));
}

#[test]
fn a_log_that_ends_in_half_a_command_is_cut_and_one_that_is_wrong_in_the_middle_is_refused() {
    let own = tempfile::tempdir().unwrap();
    let dir = own.path();
    let mut node = start(dir);
    assert_eq!(node.client().say("SET k whole"), ok());
    node.stop();
    let whole = fs::read(increment(dir, 1)).unwrap();
    fs::write(increment(dir, 1), [&whole, &b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\nha"[..]].concat()).unwrap();
    let mut node = start(dir);
    assert_eq!(node.client().say("GET k"), bulk("whole"));
    assert_eq!(node.client().say("DBSIZE"), Frame::Integer(1));
    node.stop();
    assert_eq!(fs::read(increment(dir, 1)).unwrap(), whole, "cut behind the last whole command");
    check(dir);
}

#[test]
fn info_has_the_fields_of_redis_in_its_order() {
    let (node, redis) = (TestNode::start(&[ON]), Redis::start(&["--appendonly", "yes"]));
    let fields = |info: Frame| {
        let names = text(&info)
            .lines()
            .filter_map(|line| Some(line.split_once(':')?.0.to_owned()))
            .collect::<Vec<_>>();
        names.into_iter().filter(|name| name.starts_with("aof")).collect::<Vec<_>>()
    };
    let mut client = node.client();
    assert_eq!(fields(client.say("INFO persistence")), fields(redis.client().say("INFO persistence")));
    assert_eq!(info(&mut client, "aof_enabled"), "1");
    assert_eq!(client.say("SET k v"), ok());
    wait_until("it is written", || info(&mut client, "aof_current_size") == "50");
}

/// Who sees it may start another node on the same files.
#[test]
fn a_shutdown_ends_its_connection_when_everything_is_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start_in(dir.path(), &[ON]);
    let mut client = node.client();
    let value = "v".repeat(1000);
    for _ in 0..20 {
        client.send(format!("SET key {value}\r\n").repeat(1000));
        for _ in 0..1000 {
            assert_eq!(client.reply(), ok());
        }
    }
    client.send("SHUTDOWN NOSAVE\r\n");
    client.until_closed();
    let log = fs::read(dir.path().join("appendonlydir/appendonly.aof.1.incr.aof")).unwrap();
    assert_eq!(String::from_utf8(log).unwrap().matches("SET").count(), 20_000);
}

/// Collections that are tables, of many commands each, and strings that are written slice by slice.
fn fill_large<S: Socket>(client: &mut Client<S>) {
    let long = "l".repeat(700_000);
    for (command, words) in [("HSET", 2), ("RPUSH", 1), ("SADD", 1), ("ZADD", 2)] {
        let key = format!("large:{command}");
        let mut request = vec![command.to_owned(), key.clone()];
        for number in 0..1500 {
            if words == 2 {
                request.push(format!("{number}"));
            }
            request.push(format!("member:{number}"));
        }
        let request: Vec<&str> = request.iter().map(String::as_str).collect();
        assert!(client.call(&request).as_error().is_none(), "{command}");
        assert_eq!(client.call(&["PEXPIREAT", &key, "4000000000000"]), Frame::Integer(1));
    }
    assert!(client.call(&["ZADD", "large:ZADD", "-inf", "a", "+inf", "b", "0.5", "c"]).as_error().is_none());
    assert_eq!(client.call(&["SET", "large:text", &long, "PXAT", "4000000000000"]), ok());
    assert_eq!(client.call(&["HSET", "large:HSET", "long", &long]), Frame::Integer(1));
    assert_eq!(client.call(&["RPUSH", "large:RPUSH", &long]), Frame::Integer(1501));
}

/// Says what differs, rather than printing both.
fn assert_same(found: &Dump, expected: &Dump) {
    assert!(found.keys().eq(expected.keys()), "{:?}", found.keys());
    for (key, value) in expected {
        let at = value.bytes().zip(found[key].bytes()).take_while(|(one, other)| one == other).count();
        let part = |of: &str| {
            String::from_utf8_lossy(&of.as_bytes()[at.min(of.len())..]).chars().take(50).collect::<String>()
        };
        assert!(found[key] == *value, "{key:?} at {at}: {} for {}", part(&found[key]), part(value));
    }
}

fn copy_log(from: &Path, to: &Path) {
    fs::create_dir(to.join("appendonlydir")).unwrap();
    for entry in fs::read_dir(from.join("appendonlydir")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join("appendonlydir").join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_log_rewritten_as_commands_is_read_by_redis_and_by_us() {
    let own = tempfile::tempdir().unwrap();
    let dir = own.path();
    let settings = [ON, ("aof-use-rdb-preamble", "no"), ("aof-timestamp-enabled", "yes")];
    let mut node = TestNode::start_in(dir, &settings);
    let mut client = node.client();
    change(&mut client);
    assert_eq!(client.say("CONFIG SET list-max-listpack-size 8 hash-max-listpack-entries 8"), ok());
    fill_large(&mut client);
    let rewritten = |client: &mut Client<_>| {
        client.say("BGREWRITEAOF");
        wait_until("it is rewritten", || info(client, "aof_rewrite_in_progress") == "0");
        assert_eq!(info(client, "aof_last_bgrewrite_status"), "ok");
    };
    wait_until("it expires", || client.say("EXISTS gone") == Frame::Integer(0));
    rewritten(&mut client);
    assert_eq!(client.say("SET behind it"), ok());
    let before = dump(&mut client);
    drop(client);
    node.stop();
    let base = fs::read(dir.join("appendonlydir/appendonly.aof.1.base.aof")).unwrap();
    assert!(base.starts_with(b"#TS:"), "{}", String::from_utf8_lossy(&base[..20]));
    assert!(check(dir).contains("All AOF files and manifest are valid"));
    let copy = tempfile::tempdir().unwrap();
    copy_log(dir, copy.path());
    let redis = Redis::start_in(copy.path(), &["--appendonly", "yes"]);
    assert_same(&dump(&mut redis.client()), &before);
    let mut node = start(dir);
    assert_same(&dump(&mut node.client()), &before);
    // The setting acts on the next base, and what replaces the one of commands is a snapshot.
    rewritten(&mut node.client());
    node.stop();
    assert!(dir.join("appendonlydir/appendonly.aof.2.base.rdb").exists());
}

#[test]
fn debug_loadaof_makes_of_the_data_what_the_log_says() {
    let node = TestNode::start(&[ON, ("enable-debug-command", "yes")]);
    let mut client = node.client();
    change(&mut client);
    client.say("BGREWRITEAOF");
    wait_for(&mut client, "aof_rewrite_in_progress", "0");
    for line in ["RPUSH list behind the base", "MULTI", "DEL set", "SADD set a b", "EXEC", "EXPIRE list 1000"]
    {
        client.say(line);
    }
    let before = settled(&mut client);
    assert_eq!(client.say("DEBUG LOADAOF"), ok());
    assert_eq!(settled(&mut client), before);
    // What was read was not written again, and what follows is.
    let bytes = info(&mut client, "aof_current_size");
    assert_eq!(client.say("DEBUG LOADAOF"), ok());
    assert_eq!(info(&mut client, "aof_current_size"), bytes);
    assert_eq!(client.say("SET behind it"), ok());
    assert_eq!(client.say("DEBUG LOADAOF"), ok());
    assert_eq!(client.say("GET behind"), bulk("it"));
    assert_eq!(client.say("MULTI"), ok());
    client.say("DEBUG LOADAOF");
    assert!(matches!(&client.say("EXEC"), Frame::Array(replies) if replies[0].as_error().is_some()));
    let without = TestNode::start(&[("enable-debug-command", "yes")]);
    let mut client = without.client();
    client.say("SET k v");
    assert!(client.say("DEBUG LOADAOF").as_error().is_some());
    assert_eq!(client.say("GET k"), bulk("v"), "nothing was forgotten");
}
