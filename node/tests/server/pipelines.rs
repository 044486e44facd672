//! Many requests at once: all answered, in order, and fairly among clients.

use std::{io::Write, thread};

use slotway_resp::{Frame, write};

use crate::support::{TestNode, bulk, error, ok, text, wait_until};

#[test]
fn a_hundred_thousand_requests_are_answered_in_order() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    let mut requests = Vec::new();
    for number in 0..50_000 {
        let (key, value) = (format!("key:{number}"), format!("value:{number}"));
        write::request(&mut requests, &["SET", &key, &value]);
        write::request(&mut requests, &["GET", &key]);
    }
    let mut sender = client.stream.try_clone().unwrap();
    let sending = thread::spawn(move || sender.write_all(&requests).unwrap());
    for number in 0..50_000 {
        assert_eq!(client.reply(), ok());
        assert_eq!(client.reply(), bulk(&format!("value:{number}")));
    }
    sending.join().unwrap();
}

#[test]
fn a_pipeline_may_be_sent_to_its_end_before_the_first_reply_is_read() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    assert_eq!(client.call(&["SET", "k", &"v".repeat(1000)]), ok());
    // 50 MB of replies: far more than sockets hold.
    let mut requests = Vec::new();
    for _ in 0..50_000 {
        write::request(&mut requests, &["GET", "k"]);
    }
    client.send(&requests);
    let value = bulk(&"v".repeat(1000));
    for _ in 0..50_000 {
        assert!(client.reply() == value, "another reply");
    }
    wait_until("nothing waits for the client any more", || {
        text(&client.say("CLIENT INFO")).contains(" oll=0 omem=0 ")
    });
}

#[test]
fn another_client_is_served_while_one_pipelines_without_end() {
    let node = TestNode::start(&[]);
    let greedy = node.client().stream;
    let mut requests = Vec::new();
    for _ in 0..100_000 {
        write::request(&mut requests, &["PING"]);
    }
    let mut sender = greedy.try_clone().unwrap();
    let sending = thread::spawn(move || while sender.write_all(&requests).is_ok() {});
    let mut receiver = greedy.try_clone().unwrap();
    let receiving = thread::spawn(move || {
        let mut piece = vec![0; 1 << 20];
        while std::io::Read::read(&mut receiver, &mut piece).is_ok_and(|len| len > 0) {}
    });
    let mut other = node.client();
    for _ in 0..100 {
        assert_eq!(other.say("PING"), Frame::Simple(b"PONG".to_vec()));
    }
    greedy.shutdown(std::net::Shutdown::Both).unwrap();
    sending.join().unwrap();
    receiving.join().unwrap();
}

#[test]
fn a_pipeline_keeps_its_order_over_commands_that_change_the_client() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    client.send(
        "SET k zero\r\nSELECT 1\r\nSET k one\r\nGET k\r\nSELECT 0\r\nGET k\r\nSWAPDB 0 1\r\nGET k\r\nHELLO 3\r\n\
         GET nothing\r\nRESET\r\nGET nothing\r\n",
    );
    for expected in [ok(), ok(), ok(), bulk("one"), ok(), bulk("zero"), ok(), bulk("one")] {
        assert_eq!(client.reply(), expected);
    }
    assert!(matches!(client.reply(), Frame::Map(_)));
    assert_eq!(client.reply(), Frame::Null);
    assert_eq!(client.reply(), Frame::Simple(b"RESET".to_vec()));
    assert_eq!(client.reply(), Frame::NullBulk);
}

#[test]
fn requests_before_a_protocol_error_or_quit_are_answered_and_those_behind_are_not() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    client.send("SET k 1\r\nINCR k\r\n*1\r\n!\r\nINCR k\r\n");
    let answer = client.until_closed();
    assert_eq!(answer, b"+OK\r\n:2\r\n-ERR Protocol error: expected '$', got '!'\r\n");
    let mut client = node.client();
    client.send("INCR k\r\nQUIT\r\nINCR k\r\n");
    assert_eq!(client.until_closed(), b":3\r\n+OK\r\n");
    assert_eq!(node.client().say("GET k"), bulk("3"));
}

#[test]
fn replies_can_be_switched_off_skipped_and_switched_on_again() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    client.send("CLIENT REPLY OFF\r\nSET a 1\r\nNONSENSE\r\nCLIENT REPLY ON\r\nGET a\r\n");
    assert_eq!(client.reply(), ok());
    assert_eq!(client.reply(), bulk("1"));
    client.send("CLIENT REPLY SKIP\r\nSET a 2\r\nGET a\r\n");
    assert_eq!(client.reply(), bulk("2"));
    client.send("CLIENT REPLY OFF\r\nCLIENT REPLY SKIP\r\nGET a\r\nRESET\r\nGET a\r\n");
    assert_eq!(client.reply(), Frame::Simple(b"RESET".to_vec()));
    assert_eq!(client.reply(), bulk("2"));
    assert_eq!(client.say("CLIENT REPLY maybe"), error("ERR syntax error"));
}
