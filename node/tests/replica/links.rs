//! Links that break, hang or lie: what a replica holds stays, and it comes back.

use crate::{
    dump::{info, wait_for, wait_until_same},
    fake::{EMPTY, Fake, HISTORY, MARK, ack, request},
    redis::RedisServer,
    support::{TestNode, bulk, text, wait_until},
};
use slotway_resp::Frame;

#[test]
fn a_link_that_either_end_cuts_is_continued_where_it_was() {
    let redis = RedisServer::start(&[]);
    let node = TestNode::start(&[]);
    let (mut there, mut here) = (redis.client(), node.client());
    here.say(&format!("REPLICAOF 127.0.0.1 {}", redis.port));
    wait_for(&mut here, "master_link_status", "up");
    for number in 0..6 {
        there.say(&format!("SELECT {}", number % 3));
        there.say(&format!("SET key:{number} {number}"));
        let killed = match number % 2 {
            0 => here.say("CLIENT KILL TYPE master"),
            _ => there.say("CLIENT KILL TYPE replica"),
        };
        assert_eq!(killed, Frame::Integer(1));
        there.say(&format!("SET behind:{number} {number}"));
        wait_for(&mut there, "sync_partial_ok", &(number + 1).to_string());
        wait_for(&mut here, "master_link_status", "up");
    }
    wait_until_same(&mut there, &mut here);
    assert_eq!(info(&mut there, "sync_full").as_deref(), Some("1"));
}

#[test]
fn a_primary_that_hangs_is_given_up_after_repl_timeout_and_continued_later() {
    let redis = RedisServer::start(&[]);
    let node = TestNode::start(&[("repl-timeout", "1")]);
    let (mut there, mut here) = (redis.client(), node.client());
    there.say("CONFIG SET repl-ping-replica-period 1");
    there.say("SET key value");
    here.say(&format!("REPLICAOF 127.0.0.1 {}", redis.port));
    wait_for(&mut here, "master_link_status", "up");
    redis.signal("STOP");
    wait_for(&mut here, "master_link_status", "down");
    assert_eq!(here.say("GET key"), bulk("value"), "what it has is served");
    here.say("CONFIG SET repl-timeout 60");
    redis.signal("CONT");
    wait_for(&mut here, "master_link_status", "up");
    wait_until_same(&mut there, &mut here);
    assert_eq!(info(&mut there, "sync_full").as_deref(), Some("1"));
}

#[test]
fn a_primary_that_wants_a_password_gets_it() {
    let redis = RedisServer::start(&["--requirepass", "s3cret"]);
    let mut there = redis.client();
    there.say("AUTH s3cret");
    there.say("ACL SETUSER follower on >pass +psync +replconf +ping");
    let node = TestNode::start(&[]);
    let mut here = node.client();
    here.say("CONFIG SET masterauth wrong");
    here.say(&format!("REPLICAOF 127.0.0.1 {}", redis.port));
    wait_until("the password is refused", || format!("{:?}", there.say("ACL LOG")).contains("auth"));
    here.say("CONFIG SET masterauth s3cret");
    wait_for(&mut here, "master_link_status", "up");
    here.say("CONFIG SET masteruser follower masterauth pass");
    here.say("CLIENT KILL TYPE master");
    wait_until("the user has come", || text(&there.say("CLIENT LIST")).contains("user=follower"));
    wait_for(&mut here, "master_link_status", "up");
}

#[test]
fn a_snapshot_that_breaks_off_leaves_what_was_there_and_is_asked_for_again() {
    let fake = Fake::new();
    let node = TestNode::start(&[]);
    let mut here = node.client();
    here.say("SET old value");
    let history = info(&mut here, "master_replid").unwrap();
    here.say(&format!("REPLICAOF 127.0.0.1 {}", fake.port()));
    for broken in [&EMPTY[..4], b"REDIS9999", b"nonsense", &[EMPTY, b"x"].concat()[..5]] {
        let mut link = fake.accept();
        link.wait_for(&history);
        link.send(format!("+FULLRESYNC {HISTORY} 500\r\n$EOF:{MARK}\r\n"));
        link.send(broken);
        if broken.len() > 5 {
            link.send(MARK);
        }
        assert_eq!(here.say("GET old"), bulk("value"));
        drop(link);
    }
    let mut link = fake.accept();
    link.wait_for(&history);
    link.full_sync(500);
    assert_eq!(here.say("GET old"), Frame::NullBulk);
    assert_eq!(info(&mut here, "master_replid").as_deref(), Some(HISTORY));
    assert_eq!(info(&mut here, "master_repl_offset").as_deref(), Some("500"));
}

#[test]
fn a_transaction_that_is_cut_off_is_not_applied_and_asked_for_from_its_begin() {
    let fake = Fake::new();
    let node = TestNode::start(&[]);
    let mut here = node.client();
    here.say(&format!("REPLICAOF 127.0.0.1 {}", fake.port()));
    let mut link = fake.accept();
    link.full_sync(0);
    let select = request("SELECT 5");
    let begin = [request("MULTI"), request("SET a 1")].concat();
    let rest = [request("SET b 2"), request("EXEC")].concat();
    link.send([&select[..], &begin].concat());
    let offset = u64::try_from(select.len()).unwrap();
    wait_for(&mut here, "slave_repl_offset", &offset.to_string());
    drop(link);

    let mut link = fake.accept();
    let asked =
        link.wait_for(&format!("{HISTORY}\r\n${}\r\n{}\r\n", (offset + 1).to_string().len(), offset + 1));
    assert!(asked.ends_with(&format!("{}\r\n", offset + 1)));
    here.say("SELECT 5");
    assert_eq!(here.say("EXISTS a b"), Frame::Integer(0));
    link.send(format!("+CONTINUE {HISTORY}\r\n"));
    link.send([&begin[..], &rest].concat());
    let offset = offset + u64::try_from(begin.len() + rest.len()).unwrap();
    wait_for(&mut here, "slave_repl_offset", &offset.to_string());
    assert_eq!(here.say("EXISTS a b"), Frame::Integer(2), "in the database of before the cut");
}

#[test]
fn pings_are_counted_and_nothing_else_and_a_question_for_the_offset_is_answered() {
    let fake = Fake::new();
    let node = TestNode::start(&[]);
    let mut here = node.client();
    here.say(&format!("REPLICAOF 127.0.0.1 {}", fake.port()));
    let mut link = fake.accept();
    link.full_sync(100);
    let units =
        [request("PING"), request("MULTI"), request("PING marker"), request("SET k v"), request("EXEC")];
    link.send(units.concat());
    link.say("REPLCONF GETACK *");
    let offset = 100 + u64::try_from(units.concat().len() + request("REPLCONF GETACK *").len()).unwrap();
    link.wait_for(&ack(offset));
    assert_eq!(here.say("GET k"), bulk("v"));
    assert_eq!(info(&mut here, "unexpected_error_replies").as_deref(), Some("0"));
}

#[test]
fn a_command_that_fails_here_is_counted_and_the_stream_goes_on() {
    let fake = Fake::new();
    let node = TestNode::start(&[]);
    let mut here = node.client();
    here.say(&format!("REPLICAOF 127.0.0.1 {}", fake.port()));
    let mut link = fake.accept();
    link.full_sync(0);
    for line in ["SET k text", "LPUSH k x", "NOSUCH command", "SELECT 99", "SET k", "SET done 1"] {
        link.say(line);
    }
    wait_until("the stream goes on", || here.say("GET done") == bulk("1"));
    assert_eq!(info(&mut here, "unexpected_error_replies").as_deref(), Some("4"));
    // What is no request ends the link, not the node.
    link.send("*1\r\n:nonsense\r\n");
    drop(fake.accept());
    assert_eq!(here.say("GET done"), bulk("1"));
}

#[test]
fn a_primary_from_before_psync_is_followed_by_sync() {
    let fake = Fake::new();
    let node = TestNode::start(&[]);
    let mut here = node.client();
    here.say(&format!("REPLICAOF 127.0.0.1 {}", fake.port()));
    let mut link = fake.accept();
    link.send("-ERR unknown command 'PSYNC'\r\n");
    link.wait_for("*1\r\n$4\r\nSYNC\r\n");
    link.send(format!("${}\r\n", EMPTY.len()));
    link.send(EMPTY);
    link.say("SET k v");
    wait_until("the stream is applied", || here.say("GET k") == bulk("v"));
}
