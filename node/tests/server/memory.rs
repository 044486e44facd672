//! `maxmemory` and `maxmemory-clients`: what goes, what is refused, and that memory stays where it should.

use std::io::Write;

use slotway_commands::{Command, table::COMMANDS};
use slotway_resp::{Frame, write};

use crate::support::{TestNode, bulk, error, ok, text, wait_until};

const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";
const MIB: u64 = 1 << 20;

fn number(node: &TestNode, section: &str, name: &str) -> u64 {
    let info = text(&node.client().say(&format!("INFO {section}")));
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {info}")).parse().unwrap()
}

fn used(node: &TestNode) -> u64 {
    number(node, "memory", "used_memory")
}

/// A node whose data may take this much.
fn node_with(room: u64, policy: &str) -> TestNode {
    let node = TestNode::start(&[("maxmemory-policy", policy)]);
    let limit = used(&node) + room;
    assert_eq!(node.client().say(&format!("CONFIG SET maxmemory {limit}")), ok());
    node
}

/// Writes so many values of this size; returns how many were refused.
fn fill(node: &TestNode, prefix: &str, count: usize, size: usize, ttl: bool) -> usize {
    let mut client = node.client();
    let value = "x".repeat(size);
    // What this client is about to send is memory of the same process.
    let together = (100_000 / size).clamp(1, 64);
    let mut refused = 0;
    for from in (0..count).step_by(together) {
        let batch = from..count.min(from + together);
        let mut bytes = Vec::new();
        for number in batch.clone() {
            let key = format!("{prefix}{number}");
            match ttl {
                true => write::request(&mut bytes, &["SET", &key, &value, "EX", "10000"]),
                false => write::request(&mut bytes, &["SET", &key, &value]),
            }
        }
        client.send(bytes);
        for _ in batch {
            match client.reply() {
                Frame::Error(text) => {
                    assert_eq!(text, OOM.as_bytes());
                    refused += 1;
                }
                reply => assert_eq!(reply, ok()),
            }
        }
    }
    refused
}

#[test]
fn memory_stays_at_the_limit_under_writes_of_small_and_big_values() {
    for (size, count) in [(100, 200_000), (3000, 20_000), (200_000, 500)] {
        let node = node_with(16 * MIB, "allkeys-lru");
        let limit = number(&node, "memory", "maxmemory");
        assert_eq!(fill(&node, "k", count, size, false), 0, "an eviction makes room for every write");
        wait_until("memory is at its limit again", || used(&node) <= limit + MIB / 4);
        assert!(
            used(&node) > limit - 4 * MIB,
            "{size}: more was evicted than had to be: {} of {limit}",
            used(&node)
        );
        let info = text(&node.client().say("INFO everything"));
        let after =
            |what: &str| info.split_once(what).unwrap().1.split([',', '\r']).next().unwrap().to_owned();
        let [evicted, left] =
            ["evicted_keys:", "db0:keys="].map(|what| after(what).parse::<usize>().unwrap());
        assert!(evicted > 0 && evicted + left == count, "{size}: {evicted} evicted, {left} left");
    }
}

#[test]
fn without_eviction_writes_are_refused_and_everything_else_runs() {
    let node = node_with(4 * MIB, "noeviction");
    let refused = fill(&node, "k", 20_000, 1000, false);
    assert!(refused > 10_000, "{refused} were refused");
    let mut client = node.client();
    assert_eq!(client.say("SET another value"), error(OOM));
    assert_eq!(client.say("GET k0"), bulk(&"x".repeat(1000)));
    assert_eq!(client.say("EXPIRE k0 100"), Frame::Integer(1));
    assert_eq!(client.say("DEL k0"), Frame::Integer(1));
    assert_eq!(client.say("NONSENSE"), error("ERR unknown command 'NONSENSE', with args beginning with: "));
    assert_eq!(client.say("CONFIG SET maxmemory-policy allkeys-random"), ok());
    assert_eq!(client.say("SET another value"), ok(), "a policy takes effect at once");
    assert!(number(&node, "stats", "evicted_keys") > 0);
    assert_eq!(client.say("CONFIG SET maxmemory 0"), ok());
    assert_eq!(fill(&node, "k", 20_000, 1000, false), 0);
}

#[test]
fn every_command_that_may_need_memory_is_refused_and_no_other() {
    let node = TestNode::start(&[("maxmemory", "1")]);
    let mut client = node.client();
    let served = |row: &&Command| row.is_here() && row.has_keys() && !row.is_container();
    for row in COMMANDS.iter().filter(served) {
        let mut words: Vec<String> = row.name.split('|').map(str::to_owned).collect();
        words.resize(words.len().max(row.arity.unsigned_abs() as usize), "1".to_owned());
        let reply = client.call(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(reply == error(OOM), row.is_deny_oom(), "{}: {reply:?}", row.name);
    }
    let info = text(&client.say("INFO commandstats"));
    let set = info.lines().find(|line| line.starts_with("cmdstat_set:")).unwrap();
    assert!(set.starts_with("cmdstat_set:calls=0,") && set.contains("rejected_calls=1"), "{set}");
}

#[test]
fn nothing_is_queued_at_the_limit_and_an_exec_that_may_need_memory_is_refused() {
    let node = TestNode::start(&[]);
    let (mut client, mut setter) = (node.client(), node.client());
    let mut limit = |bytes: &str| assert_eq!(setter.say(&format!("CONFIG SET maxmemory {bytes}")), ok());
    let queued = Frame::Simple(b"QUEUED".to_vec());
    limit("1");
    assert_eq!(client.say("EXEC"), error("ERR EXEC without MULTI"));
    assert_eq!(client.say("MULTI"), ok());
    assert_eq!(client.say("GET k"), error(OOM), "a queue takes room, too");
    assert!(text(&client.say("EXEC")).starts_with("EXECABORT"));
    for (request, runs) in [("SET k v", false), ("GET k", true)] {
        limit("0");
        assert_eq!(client.say("MULTI"), ok());
        assert_eq!(client.say(request), queued);
        limit("1");
        let reply = client.say("EXEC");
        assert_eq!(matches!(reply, Frame::Array(_)), runs, "{request}: {reply:?}");
        if !runs {
            assert_eq!(reply, error(&format!("EXECABORT Transaction discarded because of: {OOM}")));
        }
    }
    assert_eq!(client.say("EXEC"), error("ERR EXEC without MULTI"));
}

#[test]
fn volatile_policies_evict_keys_with_a_deadline_and_then_refuse() {
    for policy in ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] {
        let node = node_with(8 * MIB, policy);
        assert_eq!(fill(&node, "stays", 2000, 1000, false), 0, "{policy}");
        assert_eq!(fill(&node, "goes", 20_000, 1000, true), 0, "{policy}");
        let refused = fill(&node, "more", 20_000, 1000, false);
        assert!(refused > 10_000, "{policy}: {refused} were refused");
        let mut client = node.client();
        for number in 0..2000 {
            assert_eq!(client.say(&format!("EXISTS stays{number}")), Frame::Integer(1), "{policy}");
        }
        let info = text(&client.say("INFO keyspace"));
        assert!(info.contains(",expires=0,"), "{policy}: {info}");
    }
}

#[test]
fn how_often_or_when_a_key_was_used_depends_on_the_policy() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    client.say("SET k v");
    assert!(text(&client.say("OBJECT FREQ k")).starts_with("ERR An LFU maxmemory policy is not selected"));
    assert_eq!(client.say("OBJECT IDLETIME k"), Frame::Integer(0));
    assert_eq!(client.say("CONFIG SET maxmemory-policy allkeys-lfu lfu-log-factor 0"), ok());
    assert!(text(&client.say("OBJECT IDLETIME k")).starts_with("ERR An LFU maxmemory policy is selected"));
    client.say("DEL k");
    client.say("SET k v");
    assert_eq!(client.say("OBJECT FREQ k"), Frame::Integer(5));
    (0..10).for_each(|_| drop(client.say("GET k")));
    assert_eq!(client.say("OBJECT FREQ k"), Frame::Integer(15));
    assert_eq!(client.say("CLIENT NO-TOUCH on"), ok());
    (0..10).for_each(|_| drop(client.say("GET k")));
    assert_eq!(client.say("OBJECT FREQ k"), Frame::Integer(15), "this client leaves no trace");
    client.say("TOUCH k");
    assert_eq!(client.say("OBJECT FREQ k"), Frame::Integer(16), "but by TOUCH");
    client.say("SET new v");
    assert_eq!(client.say("OBJECT FREQ new"), Frame::Integer(5));
    client.say("RENAME k other");
    assert_eq!(client.say("OBJECT FREQ other"), Frame::Integer(16), "a name does not change its use");
    client.say("COPY other copy");
    assert_eq!(client.say("OBJECT FREQ copy"), Frame::Integer(5));
    assert_eq!(client.say("OBJECT FREQ nothing"), Frame::NullBulk);
}

/// What makes `k` and perhaps `k2`, a command, and how often both were used by it; None: there is no such key then.
type Uses = (&'static [&'static str], &'static str, [Option<i64>; 2]);

/// As redis-server 7.0 counts; where a source is the destination, too, it counts both.
const USES: &[Uses] = &[
    (&["SET k 12345"], "SET k v XX", [Some(1), None]),
    (&["SET k 12345"], "SET k v NX", [Some(1), None]),
    (&["SET k 12345"], "SET k v GET", [Some(2), None]),
    (&["SET k 12345"], "INCR k", [Some(1), None]),
    (&["SET k 12345"], "APPEND k v", [Some(1), None]),
    (&["SET k 12345"], "SETRANGE k 9 v", [Some(1), None]),
    (&["SET k 12345"], "SETBIT k 3 1", [Some(1), None]),
    (&["SET k 12345"], "SETBIT k 333 1", [Some(1), None]),
    (&["SET k 12345"], "BITFIELD k SET u8 80 3 GET u8 0", [Some(1), None]),
    (&["SET k 12345"], "RENAMENX k k", [Some(1), None]),
    (&["SET k 12345", "SET k2 v"], "COPY k k2 REPLACE", [Some(1), Some(0)]),
    (&["RPUSH k a b c"], "LMOVE k k LEFT RIGHT", [Some(2), None]),
    (&["RPUSH k a b c"], "LMOVE k k2 LEFT LEFT", [Some(1), Some(0)]),
    (&["RPUSH k a b c", "RPUSH k2 a"], "LMOVE k k2 LEFT LEFT", [Some(1), Some(1)]),
    (&["RPUSH k a b c", "RPUSH k2 a"], "RPOPLPUSH k k2", [Some(1), Some(1)]),
    (&["RPUSH k a b c", "RPUSH k2 a"], "SORT k ALPHA STORE k2", [Some(1), Some(1)]),
    (&["HSET k f 1"], "HINCRBY k f 2", [Some(1), None]),
    (&["HSET k f 1"], "HINCRBYFLOAT k n 2", [Some(1), None]),
    (&["SADD k a b c d e f"], "SPOP k 5", [Some(1), None]),
    (&["SADD k a b c"], "SMOVE k k2 a", [Some(1), Some(0)]),
    (&["SADD k a b c", "SADD k2 b"], "SMOVE k k2 a", [Some(1), Some(1)]),
    (&["SADD k a b c", "SADD k2 b"], "SMOVE k k2 b", [Some(1), Some(1)]),
    (&["SADD k a b c", "SADD k2 b"], "SUNIONSTORE k2 k k", [Some(2), Some(1)]),
    (&["SADD k a b c", "SADD k2 b"], "SINTERSTORE k k k2", [Some(2), Some(1)]),
    (&["ZADD k 1 a 2 b"], "ZPOPMIN k", [Some(1), None]),
    (&["ZADD k 1 a 2 b 3 c"], "ZPOPMAX k 2", [Some(1), None]),
    (&["ZADD k 1 a 2 b"], "ZMPOP 1 k MIN", [Some(1), None]),
    (&["ZADD k 1 a 2 b", "SET k2 v"], "ZRANGESTORE k2 k 0 -1", [Some(1), Some(1)]),
    (&["ZADD k 1 a 2 b"], "ZUNIONSTORE k 1 k", [Some(2), None]),
    (&["PFADD k a"], "PFCOUNT k", [Some(1), None]),
    (&["PFADD k a", "PFADD k2 b"], "PFMERGE k k2", [Some(2), Some(1)]),
];

#[test]
fn a_command_counts_one_use_of_a_key_for_each_part_that_the_key_has_in_it() {
    let lfu = [("maxmemory-policy", "allkeys-lfu"), ("lfu-log-factor", "0"), ("lfu-decay-time", "0")];
    let node = TestNode::start(&lfu);
    let mut client = node.client();
    for &(fills, command, expected) in USES {
        client.say("FLUSHALL");
        for fill in fills {
            client.say(fill);
        }
        let reply = client.say(command);
        assert!(reply.as_error().is_none(), "{command}: {reply:?}");
        let uses = ["k", "k2"].map(|key| match client.say(&format!("OBJECT FREQ {key}")) {
            // A new key begins with 5.
            Frame::Integer(count) => Some(count - 5),
            _ => None,
        });
        assert_eq!(uses, expected, "{fills:?}, {command}");
    }
}

#[test]
fn the_largest_clients_go_when_all_together_hold_too_much() {
    let node = TestNode::start(&[]);
    let mut setter = node.client();
    assert_eq!(setter.call(&["SET", "large", &"x".repeat(4 << 20)]), ok());
    assert_eq!(setter.say("CONFIG SET maxmemory-clients 40mb"), ok());
    let mut spared = node.client();
    assert_eq!(spared.say("CLIENT NO-EVICT on"), ok());
    spared.send("GET large\r\n".repeat(6));
    let mut small = node.client();
    small.send("GET large\r\n".repeat(2));
    let mut big = node.client();
    big.send("GET large\r\n".repeat(20));
    wait_until("a client is evicted", || number(&node, "stats", "evicted_clients") == 1);
    while big.stream.write_all(b"PING\r\n").is_ok() {}
    for (client, count) in [(&mut spared, 6), (&mut small, 2)] {
        (0..count).for_each(|_| assert_eq!(client.reply(), bulk(&"x".repeat(4 << 20))));
    }
    assert_eq!(setter.say("PING"), Frame::Simple(b"PONG".to_vec()));
}

#[test]
fn what_lies_above_the_limit_is_told_and_a_lower_limit_is_reached_without_commands() {
    let node = TestNode::start(&[("maxmemory-policy", "allkeys-lru")]);
    let before = used(&node);
    fill(&node, "k", 30_000, 1000, false);
    let limit = before + 8 * MIB;
    assert_eq!(node.client().say(&format!("CONFIG SET maxmemory {limit}")), ok());
    wait_until("memory is below the limit", || node.metric("redis_memory_used_bytes") <= limit as f64);
    wait_until("the metric counts them", || node.metric("redis_evicted_keys_total") > 10_000.0);
    let node = TestNode::start(&[("maxmemory", "1")]);
    wait_until("the time above the limit is told", || {
        number(&node, "stats", "current_eviction_exceeded_time") > 0
            && number(&node, "stats", "total_eviction_exceeded_time") > 0
    });
}

#[test]
fn what_a_key_takes_follows_its_value() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    let mut usage = |line: &str| match client.say(line) {
        Frame::Integer(bytes) => bytes,
        Frame::NullBulk => -1,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(usage("MEMORY USAGE nothing"), -1);
    usage("APPEND small 12345");
    assert!((20..100).contains(&usage("MEMORY USAGE small")));
    assert!((20..100).contains(&usage("memory usage small samples 0")));
    for number in 0..20_000 {
        usage(&format!("HSET h {number} {number}"));
        usage(&format!("SADD s member-{number}"));
        usage(&format!("RPUSH l {number}"));
        usage(&format!("ZADD z {number} member-{number}"));
    }
    for key in ["h", "s", "l", "z"] {
        let (some, all) =
            (usage(&format!("MEMORY USAGE {key}")), usage(&format!("MEMORY USAGE {key} SAMPLES 0")));
        assert!(all > 20_000 * 2 && all < 20_000 * 100, "{key}: {all}");
        assert!((some - all).abs() < all / 3, "{key}: {some} judged by some, {all} by all");
    }
    let integer = "ERR value is not an integer or out of range";
    for (line, refusal) in [
        ("MEMORY USAGE k SAMPLES", "ERR syntax error"),
        ("MEMORY USAGE k SAMPLES -1", "ERR syntax error"),
        ("MEMORY USAGE k SAMPLES x", integer),
        ("MEMORY USAGE k x 1", "ERR syntax error"),
    ] {
        assert_eq!(client.say(line), error(refusal), "{line}");
    }
}

#[test]
fn memory_is_told_in_figures_and_in_words() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    assert!(text(&client.say("MEMORY DOCTOR")).contains("hardly any data"));
    fill(&node, "k", 5000, 2000, false);
    client.say("HELLO 3");
    let Frame::Map(stats) = client.say("MEMORY STATS") else { panic!("no map") };
    let of = |name: &str| stats.iter().find(|(key, _)| *key == bulk(name)).unwrap().1.clone();
    assert_eq!(of("keys.count"), Frame::Integer(5000));
    let Frame::Integer(each) = of("keys.bytes-per-key") else { panic!("no integer") };
    assert!((2000..4000).contains(&each), "{each}");
    let Frame::Map(tables) = of("db.0") else { panic!("no map") };
    let names = ["main", "expires", "slot-to-keys"].map(|name| bulk(&format!("overhead.hashtable.{name}")));
    assert_eq!(tables.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), names);
    let Frame::Integer(main) = tables[0].1 else { panic!("no integer") };
    assert!((5000 * 8..5_000_000).contains(&main), "{main}");
    assert_eq!(tables[1].1, Frame::Integer(0), "no key has a deadline");
    assert!(!stats.iter().any(|(name, _)| *name == bulk("db.1")), "a database without keys has no line");
    client.say("EXPIRE k1 1000");
    let Frame::Map(stats) = client.say("MEMORY STATS") else { panic!("no map") };
    let line = stats.iter().find(|(name, _)| *name == bulk("db.0"));
    let Some((_, Frame::Map(tables))) = line else { panic!("no map") };
    assert!(matches!(tables[1].1, Frame::Integer(bytes) if bytes > 0), "{tables:?}");
    assert!(!text(&client.say("MEMORY DOCTOR")).contains("hardly any data"));
    assert!(text(&client.say("MEMORY MALLOC-STATS")).contains("resident: "));
    assert_eq!(client.say("MEMORY PURGE"), ok());
    assert!(matches!(client.say("MEMORY HELP"), Frame::Array(_)));
}
