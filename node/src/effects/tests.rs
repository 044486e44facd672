//! Requests and what stands in the stream for them, at a time that the test decides.
//!
//! The texts are redis-server's: `tests/tests/effects.rs` asks it for many more.

use slotway_resp::{Limits, Parser};

use super::*;
use crate::measure::Alone;

/// The time of a test's first request: 1000 seconds after 1970.
const START_MS: u64 = 1_000_000;

/// Runs requests, and compares what each leaves in the stream: commands between bars. In front of a request may stand
/// `+5` milliseconds that pass before it, and `other` for the second client.
fn check(history: &[(&str, &str)]) {
    let (mut node, mut now) = (Alone::new(), START_MS);
    for (request, expected) in history {
        let mut words: Vec<&str> = request.split(' ').collect();
        if let Some(passed) = words[0].strip_prefix('+') {
            now += passed.parse::<u64>().unwrap();
            words.remove(0);
        }
        let client = usize::from(words[0] == "other");
        let reply = node.run(client, &words[client..], now);
        let told = commands(&node.fed()).join(" | ");
        assert_eq!(told, *expected, "{request} was answered {}", reply.escape_ascii());
    }
}

/// As [`check`], with database 0 selected before.
fn check_selected(history: &[(&str, &str)]) {
    let selected = [("SET selected 0", "SELECT 0 | SET selected 0"), ("DEL selected", "DEL selected")];
    check(&selected.iter().chain(history).copied().collect::<Vec<_>>());
}

/// The commands of a stream, words joined by spaces.
fn commands(bytes: &[u8]) -> Vec<String> {
    let mut parser = Parser::default();
    let mut commands = Vec::new();
    while let Some(at) = parser.next(bytes, &Limits::CLIENT).expect("a stream of commands") {
        let words: Vec<_> = parser
            .request(bytes, at)
            .words()
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        commands.push(words.join(" "));
    }
    commands
}

#[test]
fn a_request_stands_there_as_it_came_if_it_changed_something() {
    check_selected(&[
        ("set a 1", "set a 1"),
        ("SET a 1 NX", ""),
        ("GET a", ""),
        ("SETNX a 1", ""),
        ("sAdd s x", "sAdd s x"),
        ("SADD s x", ""),
        ("DEL none", ""),
        ("HSET h f 1", "HSET h f 1"),
        ("HSET h f 1", "HSET h f 1"),
        ("LPUSH a 1", ""),
        ("NONSENSE a", ""),
        ("DEL a none", "DEL a none"),
    ]);
}

#[test]
fn deadlines_are_told_as_points_in_time() {
    check_selected(&[
        ("set a 1 ex 100", "SET a 1 PXAT 1100000"),
        ("SET a 1 XX GET PX 7", "SET a 1 PXAT 1000007"),
        ("SET a 1 EXAT 2000", "SET a 1 PXAT 2000000"),
        ("SET a 1 PXAT 2000000", "SET a 1 PXAT 2000000"),
        ("SET a 1 keepttl", "SET a 1 keepttl"),
        ("SETEX a 100 v", "SET a v PXAT 1100000"),
        ("PSETEX a 100 v", "SET a v PXAT 1000100"),
        ("GETEX a", ""),
        ("GETEX a EX 100", "PEXPIREAT a 1100000"),
        ("GETEX a PERSIST", "PERSIST a"),
        ("GETEX a PERSIST", ""),
        ("EXPIRE a 100", "PEXPIREAT a 1100000"),
        ("EXPIRE a 100 nx", ""),
        ("EXPIRE a 200 gt", "PEXPIREAT a 1200000 gt"),
        ("PEXPIRE a 100", "PEXPIREAT a 1000100"),
        ("EXPIREAT a 2000 XX", "PEXPIREAT a 2000000 XX"),
        ("pexpireat a 2000001 xx", "pexpireat a 2000001 xx"),
        ("PERSIST a", "PERSIST a"),
        ("PERSIST a", ""),
    ]);
}

#[test]
fn a_time_that_has_passed_is_told_as_a_deletion() {
    check_selected(&[
        ("SET a 1", "SET a 1"),
        ("EXPIRE a -1", "DEL a"),
        ("SET a 1", "SET a 1"),
        ("GETEX a PXAT 5", "DEL a"),
        ("CONFIG SET lazyfree-lazy-expire yes", ""),
        ("SET a 1", "SET a 1"),
        ("PEXPIREAT a 5", "UNLINK a"),
        ("SET a 1", "SET a 1"),
        ("GETEX a EXAT 5", "UNLINK a"),
        // Not deleted, but set: it expires when it is asked for.
        ("SET a 1 EXAT 5", "SET a 1 PXAT 5000"),
        ("GET a", "UNLINK a"),
    ]);
}

#[test]
fn what_a_request_reads_besides_is_left_out() {
    check_selected(&[
        ("SET a 1 GET", "SET a 1"),
        ("SET a 1 xx get KEEPTTL", "SET a 1 xx KEEPTTL"),
        ("GETSET a 2", "SET a 2"),
        ("GETDEL a", "DEL a"),
        ("GETDEL a", ""),
        ("CONFIG SET lazyfree-lazy-user-del yes", ""),
        ("SET a 1", "SET a 1"),
        ("GETDEL a", "UNLINK a"),
    ]);
}

#[test]
fn sums_of_floats_are_told_as_their_results() {
    check_selected(&[
        ("SET a 1.5", "SET a 1.5"),
        ("INCRBYFLOAT a 1.25", "SET a 2.75 KEEPTTL"),
        ("INCRBYFLOAT new 3", "SET new 3 KEEPTTL"),
        ("HINCRBYFLOAT h f 1.5", "HSET h f 1.5"),
        ("HINCRBYFLOAT h f 1.5", "HSET h f 3"),
        ("HINCRBYFLOAT h f x", ""),
        ("INCRBY n 5", "INCRBY n 5"),
    ]);
}

#[test]
fn what_chance_has_taken_is_named() {
    check_selected(&[
        ("SADD s 7", "SADD s 7"),
        ("SPOP s", "SREM s 7"),
        ("SPOP s", ""),
        ("SADD s a", "SADD s a"),
        ("SPOP s 0", ""),
        ("SPOP s 1", "DEL s"),
        ("SADD s a b", "SADD s a b"),
        ("SPOP s 5", "DEL s"),
    ]);
    let mut node = Alone::new();
    node.run(0, &["SADD", "s", "1", "2", "3", "4", "5", "6", "7", "8", "9", "x"], START_MS);
    node.fed();
    // Few go, then nearly all: the set is made anew of those that stay.
    for (count, commands_told) in [("3", 5), ("6", 8)] {
        let before = node.run(0, &["SMEMBERS", "s"], START_MS);
        node.run(0, &["SPOP", "s", count], START_MS);
        let told = commands(&node.fed());
        assert_eq!(told.len(), commands_told, "{told:?}");
        assert_eq!((told[0].as_str(), told[commands_told - 1].as_str()), ("MULTI", "EXEC"));
        for removal in &told[1..commands_told - 1] {
            let member = removal.strip_prefix("SREM s ").unwrap();
            let bulk = format!("${}\r\n{member}\r\n", member.len());
            assert!(before.escape_ascii().to_string().contains(&bulk.as_bytes().escape_ascii().to_string()));
        }
    }
}

#[test]
fn pops_from_the_first_of_several_keys_name_it() {
    check_selected(&[
        ("RPUSH l a b c d e f", "RPUSH l a b c d e f"),
        ("LMPOP 2 none l LEFT", "LPOP l 1"),
        ("LMPOP 2 none l RIGHT COUNT 2", "RPOP l 2"),
        ("LMPOP 2 none l LEFT COUNT 200", "LPOP l 3"),
        ("LMPOP 2 none l LEFT", ""),
        ("ZADD z 1 a 2 b 3 c", "ZADD z 1 a 2 b 3 c"),
        ("ZMPOP 2 none z MIN", "ZPOPMIN z 1"),
        ("ZMPOP 2 none z MAX COUNT 20", "ZPOPMAX z 2"),
        ("ZMPOP 2 none z MAX", ""),
    ]);
}

#[test]
fn places_are_told_as_scores() {
    check_selected(&[
        ("GEOADD g nx CH 1 1 a 2 2 b", "zadd g nx CH 3377822707026402 a 3378191666521995 b"),
        ("GEOADD g xx 1 1 a", ""),
        ("GEORADIUS g 1 1 10 km STORE g2", "GEORADIUS g 1 1 10 km STORE g2"),
    ]);
}

#[test]
fn a_result_without_elements_is_told_if_it_deleted_something() {
    check_selected(&[
        ("SADD s a", "SADD s a"),
        ("SINTERSTORE d s s", "SINTERSTORE d s s"),
        ("SINTERSTORE d s none", "SINTERSTORE d s none"),
        ("SINTERSTORE d s none", ""),
        ("SORT none STORE d", ""),
    ]);
}

#[test]
fn flushing_is_told_even_of_nothing() {
    check(&[
        ("FLUSHDB", "SELECT 0 | FLUSHDB"),
        ("FLUSHALL async", "FLUSHALL async"),
        ("FLUSHALL x", ""),
        ("SWAPDB 1 1", "SWAPDB 1 1"),
    ]);
}

#[test]
fn a_key_that_expired_is_deleted_in_the_stream_before_the_request_that_met_it() {
    check_selected(&[
        ("SET a 1 PX 1", "SET a 1 PXAT 1000001"),
        ("+5 GET a", "DEL a"),
        ("SET a 1 PX 1", "SET a 1 PXAT 1000006"),
        ("+5 INCR a", "MULTI | DEL a | INCR a | EXEC"),
        ("SET a 1 PX 1", "SET a 1 PXAT 1000011"),
        ("SET b 1 PX 1", "SET b 1 PXAT 1000011"),
        ("+5 MGET a b", "MULTI | DEL a | DEL b | EXEC"),
        ("SET a 1 PX 1", "SET a 1 PXAT 1000016"),
        ("+5 SETEX a 1 1", "MULTI | DEL a | SET a 1 PXAT 1001020 | EXEC"),
        ("SET a 1 PX 1", "SET a 1 PXAT 1000021"),
        ("SET b 1", "SET b 1"),
        ("+5 RENAME b a", "MULTI | DEL a | RENAME b a | EXEC"),
        ("SET a 1 PX 1", "SET a 1 PXAT 1000026"),
        ("+5 DEL a", "DEL a"),
        ("CONFIG SET lazyfree-lazy-expire yes", ""),
        ("SET a 1 PX 1", "SET a 1 PXAT 1000031"),
        ("+5 EXISTS a", "UNLINK a"),
    ]);
}

#[test]
fn of_a_transaction_only_what_changed_stands_there_together() {
    check_selected(&[
        ("MULTI", ""),
        ("SET q 2", ""),
        ("GET q", ""),
        ("SELECT 1", ""),
        ("SET q 3", ""),
        ("SELECT 0", ""),
        ("EXPIRE q 100", ""),
        ("EXEC", "MULTI | SET q 2 | SELECT 1 | SET q 3 | SELECT 0 | PEXPIREAT q 1100000 | EXEC"),
        ("MULTI", ""),
        ("GET q", ""),
        ("EXEC", ""),
        ("MULTI", ""),
        ("SET q 2", ""),
        ("LPUSH q 3", ""),
        ("EXEC", "SET q 2"),
        ("MULTI", ""),
        ("SET q 3", ""),
        ("DISCARD", ""),
        ("WATCH q", ""),
        ("other SET q 4", "SET q 4"),
        ("MULTI", ""),
        ("SET q 5", ""),
        ("EXEC", ""),
        ("SELECT 5", ""),
        ("MULTI", ""),
        ("SET q 1", ""),
        ("SWAPDB 1 2", ""),
        ("EXEC", "SELECT 5 | MULTI | SET q 1 | SWAPDB 1 2 | EXEC"),
        ("other DEL q", "SELECT 0 | DEL q"),
    ]);
}

#[test]
fn keys_that_expire_while_nobody_asks_and_evicted_ones_are_units_of_their_own() {
    let mut node = Alone::new();
    for key in ["a", "b"] {
        node.run(0, &["SET", key, "1", "PX", "1"], START_MS);
    }
    node.run(0, &["SET", "c", "1"], START_MS);
    node.run(0, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"], START_MS);
    node.fed();
    node.expire(START_MS + 60_000);
    let mut told = commands(&node.fed());
    told.sort_unstable();
    assert_eq!(told, ["DEL a", "DEL b"]);
    assert!(node.evict(START_MS + 60_000));
    assert_eq!(commands(&node.fed()), ["DEL c"]);
    node.run(0, &["CONFIG", "SET", "lazyfree-lazy-eviction", "yes"], START_MS);
    node.run(0, &["SET", "c", "1"], START_MS);
    node.fed();
    assert!(node.evict(START_MS));
    assert_eq!(commands(&node.fed()), ["UNLINK c"]);
    assert!(!node.evict(START_MS) && node.fed().is_empty());
}

#[test]
fn a_reply_that_the_client_does_not_want_is_read_all_the_same() {
    check_selected(&[
        ("SADD s 7", "SADD s 7"),
        ("CLIENT REPLY OFF", ""),
        ("SPOP s", "SREM s 7"),
        ("INCRBYFLOAT f 1.5", "SET f 1.5 KEEPTTL"),
    ]);
}

#[test]
fn the_strings_of_a_reply_may_be_empty_or_hold_line_ends() {
    let reply = b"$0\r\n\r\n$4\r\na\r\nb\r\n$2\r\n12\r\n";
    let found: Vec<&[u8]> = strings(reply).collect();
    assert_eq!(found, [&b""[..], b"a\r\nb", b"12"]);
}
