//! Bad input and every limit of a client: what it gets, and that the others do not notice.

use std::io::Write;

use slotway_resp::Frame;

use crate::support::{PATIENCE, TestNode, bulk, error, ok, text, wait_until};

/// Sends bytes and expects just this before the connection is closed.
fn check_closed_with(sent: &[u8], answer: &str) {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    client.send(sent);
    assert_eq!(String::from_utf8(client.until_closed()).unwrap(), answer, "{}", sent.escape_ascii());
    assert_eq!(node.client().say("PING"), Frame::Simple(b"PONG".to_vec()));
}

/// What CLIENT LIST says of the memory of client 1.
fn memory_of_first_client(node: &TestNode) -> usize {
    memory_of(node, 1)
}

fn memory_of(node: &TestNode, id: u32) -> usize {
    let line = text(&node.client().say(&format!("CLIENT LIST ID {id}")));
    let field = line.split(' ').find_map(|field| field.strip_prefix("tot-mem="));
    field.unwrap().parse().unwrap()
}

#[test]
fn half_a_request_then_silence_disturbs_nobody_and_can_be_finished() {
    let node = TestNode::start(&[]);
    let mut slow = node.client();
    slow.send("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nva");
    let mut other = node.client();
    assert_eq!(other.say("SET other 1"), ok());
    assert_eq!(other.say("GET key"), Frame::NullBulk);
    slow.send("lue\r\n");
    assert_eq!(slow.reply(), ok());
    assert_eq!(other.say("GET key"), bulk("value"));
}

#[test]
fn a_request_may_arrive_byte_by_byte() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    for byte in b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nabc\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n" {
        client.send([*byte]);
    }
    assert_eq!(client.reply(), ok());
    assert_eq!(client.reply(), Frame::Simple(b"PONG".to_vec()));
    assert_eq!(client.reply(), bulk("abc"));
}

#[test]
fn a_bulk_above_the_limit_is_refused_before_a_byte_of_it_is_waited_for() {
    check_closed_with(
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1073741824\r\n",
        "-ERR Protocol error: invalid bulk length\r\n",
    );
}

#[test]
fn what_is_only_announced_takes_no_memory() {
    for announced in
        ["*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$500000000\r\nabc", "*10000000\r\n$3\r\nDEL\r\n$1\r\na\r\n"]
    {
        let node = TestNode::start(&[]);
        let mut client = node.client();
        client.send(announced);
        wait_until("the request's beginning has arrived", || {
            text(&node.client().say("CLIENT LIST ID 1")).contains(&format!("qbuf={}", announced.len()))
        });
        assert!(memory_of_first_client(&node) < 4096, "{}", text(&node.client().say("CLIENT LIST ID 1")));
    }
}

#[test]
fn ten_million_words_are_executed_when_they_come() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    let count = 10_000_000;
    let mut request = format!("*{}\r\n$6\r\nEXISTS\r\n", count + 1).into_bytes();
    request.extend_from_slice(b"$0\r\n\r\n".repeat(count).as_slice());
    client.send(&request);
    assert_eq!(client.reply(), Frame::Integer(0));
    wait_until("an idle client holds no buffer", || memory_of_first_client(&node) < 4096);
}

#[test]
fn negative_lengths_and_nested_arrays_are_answered_as_redis_does() {
    check_closed_with(b"*1\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length\r\n");
    check_closed_with(
        b"*-5\r\n*0\r\nPING\r\n*1\r\n$x\r\n",
        "+PONG\r\n-ERR Protocol error: invalid bulk length\r\n",
    );
    check_closed_with(b"*1\r\n*1\r\n$4\r\nPING\r\n", "-ERR Protocol error: expected '$', got '*'\r\n");
    check_closed_with(b"*99999999999\r\n", "-ERR Protocol error: invalid multibulk length\r\n");
}

#[test]
fn an_inline_command_without_an_end_is_cut_at_64_kib() {
    let endless = vec![b'a'; 128 * 1024];
    check_closed_with(&endless, "-ERR Protocol error: too big inline request\r\n");
}

#[test]
fn a_browser_that_was_made_to_send_a_request_is_closed_without_an_answer() {
    check_closed_with(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nSET a b\r\n", "");
    check_closed_with(b"Host: 127.0.0.1\r\nSET a b\r\n", "");
}

#[test]
fn a_large_value_travels_in_both_directions() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    let value = "0123456789abcdef".repeat(2 * 1024 * 1024);
    assert_eq!(client.call(&["SET", "large", &value]), ok());
    assert_eq!(client.say("STRLEN large"), Frame::Integer(i64::try_from(value.len()).unwrap()));
    assert!(client.say("GET large") == bulk(&value), "another value came back");
    wait_until("an idle client holds no buffer", || memory_of_first_client(&node) < 4096);
}

#[test]
fn replies_that_wait_share_a_long_value_and_do_not_change_with_it() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    let value = "v".repeat(16 << 20);
    assert_eq!(client.call(&["SET", "large", &value]), ok());
    // The metric is as old as the last round of housekeeping.
    wait_until("the value is counted", || node.metric("redis_memory_used_bytes") > f64::from(16 << 20));
    let before = node.metric("redis_memory_used_bytes");
    let mut slow = node.client();
    slow.send("GET large\r\nMGET none large\r\n".repeat(4));
    wait_until("all replies wait", || {
        let list = text(&client.say("CLIENT LIST"));
        let waiting =
            list.split(" omem=").skip(1).filter_map(|rest| rest.split(' ').next()?.parse::<u32>().ok());
        waiting.sum::<u32>() > 120 << 20
    });
    let grown = node.metric("redis_memory_used_bytes") - before;
    assert!(grown < f64::from(16 << 20), "{grown} bytes more for replies of 128 MiB");
    assert_eq!(client.say("SETRANGE large 0 changed"), Frame::Integer(16 << 20));
    for _ in 0..4 {
        assert!(slow.reply() == bulk(&value), "another value came");
        let both = slow.reply();
        assert!(matches!(&both, Frame::Array(both) if both[1] == bulk(&value)), "another value came");
    }
    assert!(client.say("GET large") == bulk(&value.replacen("vvvvvvv", "changed", 1)));
}

#[test]
fn a_client_that_never_reads_is_cut_at_the_hard_limit_and_counted() {
    let node = TestNode::start(&[("client-output-buffer-limit", "normal 4mb 0 0")]);
    let mut other = node.client();
    assert_eq!(other.call(&["SET", "large", &"x".repeat(1024 * 1024)]), ok());
    let mut deaf = node.client();
    // Every request is small, so the client can send them without reading a reply; at some point it is cut.
    while deaf.stream.write_all(b"*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n").is_ok() {}
    wait_until("the cut is counted", || {
        node.metric("redis_client_output_buffer_limit_disconnections_total") == 1.0
    });
    assert_eq!(other.say("PING"), Frame::Simple(b"PONG".to_vec()));
}

#[test]
fn a_client_that_asks_for_all_of_a_long_list_and_never_reads_is_cut_and_the_node_lives_on() {
    let node = TestNode::start(&[("client-output-buffer-limit", "normal 4mb 0 0")]);
    let mut other = node.client();
    let element = "x".repeat(1000);
    let mut request = vec!["RPUSH", "list"];
    request.resize(1002, &element);
    for pushed in 1..=20 {
        assert_eq!(other.call(&request), Frame::Integer(pushed * 1000));
    }
    let mut deaf = node.client();
    // Twenty megabytes are past the limit at the first reply, however much the sockets hold.
    deaf.send("LRANGE list 0 -1\r\n".repeat(10));
    wait_until("the cut is counted", || {
        node.metric("redis_client_output_buffer_limit_disconnections_total") == 1.0
    });
    assert_eq!(other.say("LLEN list"), Frame::Integer(20_000));
    assert_eq!(other.say("LINDEX list -1"), bulk(&element));
    wait_until("what it was owed is given back", || !text(&other.say("CLIENT LIST")).contains("id=2"));
}

#[test]
fn without_a_limit_a_client_that_never_reads_holds_a_bounded_amount() {
    let node = TestNode::start(&[]);
    let mut other = node.client();
    assert_eq!(other.call(&["SET", "large", &"x".repeat(32 * 1024 * 1024)]), ok());
    let mut deaf = node.client();
    deaf.send("GET large\r\n".repeat(1000));
    let mut waiting = 0;
    wait_until("its requests rest", || {
        let before = std::mem::replace(&mut waiting, memory_of(&node, 2));
        waiting > 256 * 1024 * 1024 && waiting == before
    });
    assert!(waiting < 320 * 1024 * 1024, "{waiting} bytes wait");
}

#[test]
fn a_client_above_the_soft_limit_is_cut_after_its_seconds() {
    let node = TestNode::start(&[("client-output-buffer-limit", "normal 0 1mb 1")]);
    let mut other = node.client();
    assert_eq!(other.call(&["SET", "large", &"x".repeat(16 * 1024 * 1024)]), ok());
    let mut deaf = node.client();
    deaf.send("GET large\r\n");
    wait_until("the cut is counted", || {
        node.metric("redis_client_output_buffer_limit_disconnections_total") == 1.0
    });
}

#[test]
fn a_request_above_the_input_limit_is_cut_and_counted() {
    let node = TestNode::start(&[("client-query-buffer-limit", "1mb")]);
    let mut client = node.client();
    client.send("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000000\r\n");
    while client.stream.write_all(&[b'x'; 64 * 1024]).is_ok() {}
    wait_until("the cut is counted", || {
        node.metric("redis_client_query_buffer_limit_disconnections_total") == 1.0
    });
}

#[test]
fn one_client_too_many_is_told_so() {
    let node = TestNode::start(&[("maxclients", "2")]);
    let (mut first, mut second) = (node.client(), node.client());
    assert_eq!(first.say("PING"), Frame::Simple(b"PONG".to_vec()));
    assert_eq!(second.say("PING"), Frame::Simple(b"PONG".to_vec()));
    let mut third = node.client();
    assert_eq!(third.until_closed(), b"-ERR max number of clients reached\r\n");
    assert_eq!(first.say("CONFIG SET maxclients 3"), ok());
    assert_eq!(node.client().say("PING"), Frame::Simple(b"PONG".to_vec()));
    wait_until("the refusal is counted", || node.metric("redis_rejected_connections_total") == 1.0);
}

#[test]
fn an_idle_client_is_closed_after_the_timeout_and_a_busy_one_is_not() {
    let node = TestNode::start(&[("timeout", "1")]);
    let mut idle = node.client();
    let mut busy = node.client();
    idle.stream.set_nonblocking(true).unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut piece = [0; 16];
    while !matches!(std::io::Read::read(&mut idle.stream, &mut piece), Ok(0)) {
        assert_eq!(busy.say("PING"), Frame::Simple(b"PONG".to_vec()));
        assert!(std::time::Instant::now() < deadline, "the idle client is still connected");
    }
    wait_until("the closing is counted", || node.metric("slotway_node_idle_disconnections_total") == 1.0);
}

#[test]
fn a_value_longer_than_proto_max_bulk_len_is_an_error_of_the_protocol() {
    let node = TestNode::start(&[("proto-max-bulk-len", "1mb")]);
    let mut client = node.client();
    assert_eq!(client.say("CONFIG SET proto-max-bulk-len 2mb"), ok());
    client.send("*2\r\n$4\r\nECHO\r\n$2097153\r\n");
    assert_eq!(client.reply(), error("ERR Protocol error: invalid bulk length"));
    assert!(client.until_closed().is_empty());
}
