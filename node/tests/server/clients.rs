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
