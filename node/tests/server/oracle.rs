//! The same requests to this node and to a redis-server: byte for byte the same replies, where they do not depend on
//! who answers.

use slotway_resp::Frame;

use crate::support::{Redis, TestNode};

/// Both get the same lines on one connection; every reply must be the same.
fn check(flags: &[(&str, &str)], lines: &[&str]) {
    let node = TestNode::start(flags);
    let redis_flags: Vec<String> =
        flags.iter().flat_map(|(name, value)| [format!("--{name}"), (*value).to_owned()]).collect();
    let redis = Redis::start(&redis_flags.iter().map(String::as_str).collect::<Vec<_>>());
    let (mut ours, mut theirs) = (node.client(), redis.client());
    for line in lines {
        ours.send(format!("{line}\r\n"));
        theirs.send(format!("{line}\r\n"));
        assert_eq!(in_order(ours.reply(), line), in_order(theirs.reply(), line), "{line}");
    }
}

/// CONFIG GET answers pairs in no certain order.
fn in_order(reply: Frame, line: &str) -> Frame {
    match reply {
        Frame::Array(items) if line.starts_with("CONFIG GET") => {
            let mut pairs: Vec<Frame> = items.chunks(2).map(|pair| Frame::Array(pair.to_vec())).collect();
            pairs.sort_by_key(|pair| format!("{pair:?}"));
            Frame::Array(pairs)
        }
        reply => reply,
    }
}

#[test]
fn connection_commands_answer_as_redis_does() {
    check(
        &[],
        &[
            "PING",
            "PING hello",
            "PING a b",
            "ECHO hello",
            "ECHO",
            "SELECT 0",
            "SELECT 15",
            "SELECT 16",
            "SELECT -1",
            "SELECT x",
            "SELECT 99999999999999999999",
            "AUTH",
            "AUTH x",
            "AUTH default x",
            "AUTH nobody x",
            "AUTH a b c",
            "HELLO 5",
            "HELLO x",
            "HELLO 2 AUTH",
            "HELLO 2 AUTH nobody x",
            "HELLO 2 SETNAME",
            "HELLO 2 SETNAME \"a b\"",
            "HELLO 2 OTHER",
            "RESET",
            "RESET x",
            "NONSENSE",
            "NONSENSE a b c",
            "\"\"",
            "GET",
            "GET a b",
        ],
    );
}

#[test]
fn client_commands_answer_as_redis_does() {
    check(
        &[],
        &[
            "CLIENT",
            "CLIENT NONSENSE",
            "CLIENT NONSENSE a b",
            "CLIENT ID x",
            "CLIENT GETNAME",
            "CLIENT SETNAME",
            "CLIENT SETNAME a",
            "CLIENT SETNAME \"a b\"",
            "CLIENT GETNAME",
            "CLIENT SETNAME \"\"",
            "CLIENT GETNAME",
            "CLIENT LIST TYPE nobody",
            "CLIENT LIST TYPE",
            "CLIENT LIST TYPE replica",
            "CLIENT LIST ID",
            "CLIENT LIST ID x",
            "CLIENT LIST ID 99999",
            "CLIENT LIST OTHER x",
            "CLIENT KILL",
            "CLIENT KILL 1.2.3.4:5",
            "CLIENT KILL ID x",
            "CLIENT KILL ID 0",
            "CLIENT KILL ID -1",
            "CLIENT KILL ID 12345",
            "CLIENT KILL TYPE nobody",
            "CLIENT KILL TYPE replica",
            "CLIENT KILL USER nobody",
            "CLIENT KILL ADDR 1.2.3.4:5 LADDR 1.2.3.4:5",
            "CLIENT KILL SKIPME maybe",
            "CLIENT KILL ID 1 TYPE",
            "CLIENT KILL OTHER x",
            "CLIENT REPLY maybe",
            "CLIENT REPLY ON",
            "CLIENT NO-EVICT on",
            "CLIENT NO-EVICT off",
            "CLIENT NO-EVICT maybe",
        ],
    );
}

#[test]
fn server_commands_answer_as_redis_does() {
    check(
        &[("enable-debug-command", "yes")],
        &[
            "CONFIG",
            "CONFIG NONSENSE",
            "CONFIG GET",
            "CONFIG GET nonsense",
            "CONFIG GET timeout",
            "CONFIG GET TIMEOUT",
            "CONFIG GET timeou? nonsense",
            "CONFIG GET hash-max-listpack-*",
            "CONFIG GET hash-max-ziplist-entries",
            "CONFIG SET",
            "CONFIG SET timeout",
            "CONFIG SET timeout 5",
            "CONFIG SET timeout 5 maxclients",
            "CONFIG SET timeout x",
            "CONFIG SET timeout -1",
            "CONFIG SET nonsense 5",
            "CONFIG SET timeout 5 timeout 6",
            "CONFIG GET timeout",
            "CONFIG RESETSTAT",
            "CONFIG RESETSTAT x",
            "TIME x",
            "DEBUG",
            "DEBUG NONSENSE",
            "DEBUG SLEEP 0",
            "SHUTDOWN ABORT",
            "SHUTDOWN NONSENSE",
            "SHUTDOWN SAVE NOSAVE",
            "SHUTDOWN ABORT NOW",
            "INFO nonsense",
            "INFO keyspace",
            "CLUSTER SLOTS",
            "CLUSTER KEYSLOT a",
            "CLUSTER HELP",
        ],
    );
}

#[test]
fn a_stranger_is_answered_as_redis_does() {
    check(
        &[("requirepass", "s3cret")],
        &[
            "PING",
            "GET k",
            "NONSENSE",
            "GET",
            "CLIENT NONSENSE",
            "HELLO 3 AUTH default wrong",
            "AUTH wrong",
            "AUTH default wrong",
            "RESET",
            "AUTH s3cret",
            "GET k",
            "CONFIG GET requirepass",
            "RESET",
            "GET k",
            "QUIT",
        ],
    );
}
