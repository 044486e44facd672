//! Bits: what the differential run cannot see, because it is not in a reply.

use slotway_resp::Frame;

use crate::support::{TestNode, error, ok, text};

#[test]
fn an_offset_behind_the_limit_is_refused_and_makes_no_room() {
    let node = TestNode::start(&[("proto-max-bulk-len", "1mb")]);
    let mut client = node.client();
    let refused = error("ERR bit offset is not an integer or out of range");
    for line in [
        "SETBIT k 8388608 1",
        "SETBIT k 4294967295 1",
        "SETBIT k 9223372036854775807 1",
        "GETBIT k 8388608",
        "BITFIELD k SET u8 8388608 1",
        "BITFIELD k SET u8 #1048576 1",
        "BITFIELD k GET u8 0 SET u8 4294967295 1",
        "BITFIELD k SET u8 0 1 SET u8 #2305843009213693952 1",
    ] {
        assert_eq!(client.say(line), refused, "{line}");
    }
    assert_eq!(client.say("EXISTS k"), Frame::Integer(0));
    assert_eq!(client.say("SETBIT k 8388607 1"), Frame::Integer(0));
    assert_eq!(client.say("STRLEN k"), Frame::Integer(1 << 20));
}

#[test]
fn a_bit_that_was_so_already_has_not_changed() {
    let node = TestNode::start(&[]);
    let (mut watcher, mut changer) = (node.client(), node.client());
    let mut check = |line: &str, changes: i64| {
        let before = changes_of(&mut changer);
        watcher.say("WATCH k");
        changer.say(line);
        watcher.say("MULTI");
        let ran = watcher.say("EXEC") == Frame::Array(vec![]);
        assert_eq!(ran, changes == 0, "{line}");
        assert_eq!(changes_of(&mut changer) - before, changes, "{line}");
    };
    check("SETBIT k 1 1", 1);
    check("SETBIT k 1 1", 0);
    check("SETBIT k 1 0", 1);
    check("SETBIT k 7 0", 0);
    check("SETBIT k 8 0", 1);
    check("BITFIELD k GET u8 0", 0);
    check("BITFIELD k SET u8 0 0 INCRBY u8 0 0", 0);
    check("BITFIELD k SET u8 0 5 INCRBY u8 0 1 INCRBY u8 8 0", 2);
    check("BITFIELD k OVERFLOW FAIL SET u8 0 256", 0);
    check("BITFIELD k SET u8 16 0 SET u8 0 6", 2);
    check("BITFIELD k OVERFLOW FAIL SET u8 100 256", 1);
    check("BITOP NOT k k", 1);
    check("BITOP AND k absent", 1);
    check("BITOP AND k absent", 0);
}

fn changes_of(client: &mut crate::support::Client<std::net::TcpStream>) -> i64 {
    let info = text(&client.say("INFO persistence"));
    let line = info.lines().find_map(|line| line.strip_prefix("rdb_changes_since_last_save:"));
    line.expect("INFO has the field").parse().unwrap()
}

#[test]
fn a_failed_write_answers_null_in_either_protocol() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    assert_eq!(client.say("BITFIELD k OVERFLOW FAIL SET u1 0 2"), Frame::Array(vec![Frame::NullBulk]));
    client.say("HELLO 3");
    assert_eq!(client.say("BITFIELD k OVERFLOW FAIL SET u1 0 2"), Frame::Array(vec![Frame::Null]));
    assert_eq!(client.say("SET k 1"), ok());
}
