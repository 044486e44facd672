//! CLIENT: names, lists, and ending connections.

use slotway_resp::Frame;

use crate::support::{TestNode, bulk, error, ok, text, wait_until};

#[test]
fn a_client_has_a_name_and_a_library() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    assert_eq!(client.say("CLIENT GETNAME"), Frame::NullBulk);
    assert_eq!(client.say("CLIENT SETNAME worker-1"), ok());
    assert_eq!(client.say("CLIENT GETNAME"), bulk("worker-1"));
    assert_eq!(client.say("CLIENT SETINFO LIB-NAME redis-py"), ok());
    assert_eq!(client.say("CLIENT SETINFO lib-ver 5.1.0"), ok());
    let line = text(&client.say("CLIENT INFO"));
    assert!(
        line.contains(" name=worker-1 ") && line.ends_with(" lib-name=redis-py lib-ver=5.1.0\n"),
        "{line}"
    );
    assert!(line.contains(" cmd=client|info "), "{line}");
    let bad = "cannot contain spaces, newlines or special characters.";
    assert_eq!(client.call(&["CLIENT", "SETNAME", "a b"]), error(&format!("ERR Client names {bad}")));
    assert_eq!(
        client.call(&["CLIENT", "SETINFO", "LIB-NAME", "a\nb"]),
        error(&format!("ERR lib-name {bad}"))
    );
    assert_eq!(client.say("CLIENT SETINFO x y"), error("ERR Unrecognized option 'x'"));
    assert_eq!(client.call(&["CLIENT", "SETNAME", ""]), ok());
    assert_eq!(client.say("CLIENT GETNAME"), Frame::NullBulk);
}

#[test]
fn every_client_has_a_number_of_its_own_and_stands_in_the_list() {
    let node = TestNode::start(&[]);
    let mut clients: Vec<_> = (0..3).map(|_| node.client()).collect();
    let ids: Vec<Frame> = clients.iter_mut().map(|client| client.say("CLIENT ID")).collect();
    assert_eq!(ids, [Frame::Integer(1), Frame::Integer(2), Frame::Integer(3)]);
    let list = |line: &str, client: &mut crate::support::Client<_>| text(&client.say(line)).lines().count();
    assert_eq!(list("CLIENT LIST", &mut clients[0]), 3);
    assert_eq!(list("CLIENT LIST ID 3 1 99", &mut clients[0]), 2);
    assert_eq!(list("CLIENT LIST TYPE normal", &mut clients[0]), 3);
    assert_eq!(list("CLIENT LIST TYPE pubsub", &mut clients[0]), 0);
    assert_eq!(clients[0].say("CLIENT LIST TYPE x"), error("ERR Unknown client type 'x'"));
    assert_eq!(clients[0].say("CLIENT LIST ID x"), error("ERR Invalid client ID"));
    assert_eq!(clients[0].say("CLIENT LIST x y"), error("ERR syntax error"));
    drop(clients.pop());
    wait_until("the third is gone", || list("CLIENT LIST", &mut clients[0]) == 2);
}

#[test]
fn clients_are_killed_by_address_number_type_and_user() {
    let node = TestNode::start(&[]);
    let mut me = node.client();
    let mut victims: Vec<_> = (0..4).map(|_| node.client()).collect();
    for victim in &mut victims {
        victim.say("PING");
    }
    let address = |client: &crate::support::Client<std::net::TcpStream>| {
        client.stream.local_addr().unwrap().to_string()
    };
    assert_eq!(me.call(&["CLIENT", "KILL", &address(&victims[0])]), ok());
    assert!(victims.remove(0).until_closed().is_empty());
    assert_eq!(me.say("CLIENT KILL 127.0.0.1:1"), error("ERR No such client"));
    assert_eq!(me.call(&["CLIENT", "KILL", "ADDR", &address(&victims[0])]), Frame::Integer(1));
    assert!(victims.remove(0).until_closed().is_empty());
    assert_eq!(me.say("CLIENT KILL ID 4"), Frame::Integer(1));
    assert!(victims.remove(0).until_closed().is_empty());
    assert_eq!(me.say("CLIENT KILL ID 4"), Frame::Integer(0));
    assert_eq!(me.say("CLIENT KILL TYPE pubsub"), Frame::Integer(0));
    assert_eq!(me.say("CLIENT KILL USER default"), Frame::Integer(1), "the one who asks is spared");
    assert!(victims.remove(0).until_closed().is_empty());
    assert_eq!(me.say("CLIENT KILL USER nobody"), error("ERR No such user 'nobody'"));
    assert_eq!(me.say("CLIENT KILL ID 0"), error("ERR client-id should be greater than 0"));
    assert_eq!(me.say("CLIENT KILL ID"), error("ERR No such client"), "three words are the old form");
    assert_eq!(me.say("CLIENT KILL ID 1 SKIPME"), error("ERR syntax error"));
    assert_eq!(me.say("CLIENT KILL TYPE normal SKIPME no"), Frame::Integer(1), "answered, then closed");
    assert!(me.until_closed().is_empty());
}

fn blocked(node: &TestNode) -> String {
    let info = text(&node.client().say("INFO clients"));
    info.lines().find_map(|line| line.strip_prefix("blocked_clients:")).unwrap().to_owned()
}

#[test]
fn writes_wait_for_the_end_of_a_pause_and_what_follows_them_with_them() {
    let node = TestNode::start(&[]);
    let (mut boss, mut worker, mut reader) = (node.client(), node.client(), node.client());
    assert_eq!(worker.say("SET k before"), ok());
    assert_eq!(boss.say("CLIENT PAUSE 1000000 WRITE"), ok());
    worker.send("GET k\r\nSET k after\r\nGET k\r\n");
    assert_eq!(worker.reply(), bulk("before"), "what stands before the write does not wait");
    wait_until("the write waits", || blocked(&node) == "1");
    let line = text(&boss.say("CLIENT LIST ID 2"));
    assert!(line.contains(" flags=b "), "{line}");
    assert_eq!(reader.say("GET k"), bulk("before"));
    assert_eq!(boss.say("CONFIG SET timeout 0"), ok(), "commands of operators run");
    // Another pause does not make it shorter or weaker.
    assert_eq!(boss.say("CLIENT PAUSE 1 WRITE"), ok());
    reader.send("MULTI\r\nGET k\r\nEXEC\r\nMULTI\r\nINCR n\r\n");
    assert_eq!([reader.reply(), reader.reply()], [ok(), Frame::Simple(b"QUEUED".to_vec())]);
    assert_eq!(reader.reply(), Frame::Array(vec![bulk("before")]));
    assert_eq!(reader.reply(), ok());
    wait_until("the transaction waits", || blocked(&node) == "2");
    assert_eq!(boss.say("CLIENT UNPAUSE"), ok());
    assert_eq!([worker.reply(), worker.reply()], [ok(), bulk("after")]);
    assert_eq!(reader.reply(), Frame::Simple(b"QUEUED".to_vec()));
    assert_eq!(reader.say("EXEC"), Frame::Array(vec![Frame::Integer(1)]));
    assert_eq!(blocked(&node), "0");
}

#[test]
fn an_exec_that_writes_waits_though_it_was_queued_before_the_pause() {
    let node = TestNode::start(&[]);
    let (mut boss, mut worker) = (node.client(), node.client());
    worker.say("MULTI");
    worker.say("SET k v");
    assert_eq!(boss.say("CLIENT PAUSE 1000000 write"), ok());
    worker.send("EXEC\r\n");
    wait_until("it waits", || blocked(&node) == "1");
    assert_eq!(boss.say("GET k"), Frame::NullBulk);
    assert_eq!(boss.say("CLIENT UNPAUSE"), ok());
    assert_eq!(worker.reply(), Frame::Array(vec![ok()]));
}

#[test]
fn a_pause_of_everything_ends_by_itself() {
    let node = TestNode::start(&[]);
    let (mut boss, mut worker) = (node.client(), node.client());
    let began = std::time::Instant::now();
    assert_eq!(boss.say("CLIENT PAUSE 200"), ok());
    assert_eq!(worker.say("PING"), Frame::Simple(b"PONG".to_vec()));
    assert!(began.elapsed().as_millis() >= 200, "{:?}", began.elapsed());
    assert_eq!(boss.say("CLIENT PAUSE 0 ALL"), ok());
    assert_eq!(boss.say("PING"), Frame::Simple(b"PONG".to_vec()));
    assert_eq!(boss.say("CLIENT PAUSE 1 x"), error("ERR CLIENT PAUSE mode must be WRITE or ALL"));
    assert_eq!(boss.say("CLIENT PAUSE x"), error("ERR timeout is not an integer or out of range"));
    assert_eq!(boss.say("CLIENT PAUSE -1"), error("ERR timeout is negative"));
    assert_eq!(boss.say("CLIENT PAUSE 9223372036854775807"), error("ERR timeout is out of range"));
    assert!(text(&boss.say("CLIENT PAUSE 1 ALL x")).starts_with("ERR unknown subcommand or wrong number"));
}

#[test]
fn a_node_that_stops_answers_those_who_wait_for_the_end_of_a_pause() {
    let mut node = TestNode::start(&[]);
    let (mut boss, mut worker) = (node.client(), node.client());
    worker.say("PING");
    assert_eq!(boss.say("CLIENT PAUSE 1000000 WRITE"), ok());
    worker.send("SET k v\r\n");
    wait_until("it waits", || blocked(&node) == "1");
    node.stop();
    assert_eq!(worker.reply(), ok());
}

#[test]
fn a_client_is_told_that_it_is_not_tracked() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    assert_eq!(client.say("CLIENT GETREDIR"), Frame::Integer(-1));
    assert!(text(&client.say("CLIENT CACHING YES")).starts_with("ERR CLIENT CACHING can be called only"));
    let info = vec![
        bulk("flags"),
        Frame::Array(vec![bulk("off")]),
        bulk("redirect"),
        Frame::Integer(-1),
        bulk("prefixes"),
        Frame::Array(vec![]),
    ];
    assert_eq!(client.say("CLIENT TRACKINGINFO"), Frame::Array(info));
}
