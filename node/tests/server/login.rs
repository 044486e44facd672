//! Who a client is: passwords, HELLO, RESET, members.

use slotway_resp::Frame;

use crate::support::{Client, Socket, TestNode, bulk, error, fresh_dir, ok, text};

const NOAUTH: &str = "NOAUTH Authentication required.";
const WRONGPASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";

fn secured() -> TestNode {
    TestNode::start(&[("requirepass", "s3cret")])
}

/// The fields of HELLO's reply.
fn hello<S: Socket>(client: &mut Client<S>, line: &str) -> Vec<(String, Frame)> {
    match client.say(line) {
        Frame::Map(pairs) => pairs.into_iter().map(|(name, value)| (text(&name), value)).collect(),
        Frame::Array(items) => items.chunks(2).map(|pair| (text(&pair[0]), pair[1].clone())).collect(),
        other => panic!("no map: {other:?}"),
    }
}

#[test]
fn a_stranger_may_only_introduce_itself() {
    let node = secured();
    let mut client = node.client();
    for line in ["GET k", "PING", "CLIENT ID", "COMMAND"] {
        assert_eq!(client.say(line), error(NOAUTH), "{line}");
    }
    assert_eq!(client.say("NONSENSE"), error("ERR unknown command 'NONSENSE', with args beginning with: "));
    assert_eq!(client.say("AUTH wrong"), error(WRONGPASS));
    assert_eq!(client.say("AUTH default wrong"), error(WRONGPASS));
    assert_eq!(client.say("AUTH nobody s3cret"), error(WRONGPASS));
    assert_eq!(client.say("AUTH a b c"), error("ERR syntax error"));
    assert_eq!(client.say("AUTH s3cret"), ok());
    assert_eq!(client.say("GET k"), Frame::NullBulk);
    assert_eq!(client.say("RESET"), Frame::Simple(b"RESET".to_vec()));
    assert_eq!(client.say("GET k"), error(NOAUTH));
    assert_eq!(client.say("AUTH default s3cret"), ok());
    assert_eq!(client.say("QUIT"), ok());
    assert!(client.until_closed().is_empty());
}

#[test]
fn a_stranger_may_send_little() {
    let check = |sent: &str, expected: &str| {
        let node = secured();
        let mut client = node.client();
        client.send(sent);
        assert_eq!(String::from_utf8(client.until_closed()).unwrap(), expected);
    };
    check("*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n");
    check("*2\r\n$4\r\nAUTH\r\n$16385\r\n", "-ERR Protocol error: unauthenticated bulk length\r\n");
}

#[test]
fn an_auth_in_a_pipeline_holds_for_what_follows_it() {
    let node = secured();
    let mut client = node.client();
    let wide = format!("*12\r\n$3\r\nDEL\r\n{}", "$1\r\na\r\n".repeat(11));
    client.send(format!("GET k\r\nAUTH s3cret\r\n{wide}GET k\r\n"));
    assert_eq!(client.reply(), error(NOAUTH));
    assert_eq!(client.reply(), ok());
    assert_eq!(client.reply(), Frame::Integer(0));
    assert_eq!(client.reply(), Frame::NullBulk);
}

#[test]
fn a_password_can_be_set_and_removed_while_clients_are_connected() {
    let node = TestNode::start(&[]);
    let mut old = node.client();
    assert!(
        text(&old.say("AUTH x")).starts_with("ERR AUTH <password> called without any password configured")
    );
    assert_eq!(old.say("AUTH default anything"), ok());
    assert_eq!(old.say("CONFIG SET requirepass s3cret"), ok());
    assert_eq!(old.say("PING"), Frame::Simple(b"PONG".to_vec()), "who is in stays in");
    let mut new = node.client();
    assert_eq!(new.say("PING"), error(NOAUTH));
    assert_eq!(old.call(&["CONFIG", "SET", "requirepass", ""]), ok());
    assert_eq!(new.say("PING"), Frame::Simple(b"PONG".to_vec()), "without a password nobody is a stranger");
}

#[test]
fn hello_switches_the_protocol_and_says_who_answers() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    let fields = hello(&mut client, "HELLO");
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["server", "version", "proto", "id", "mode", "role", "modules"]);
    assert_eq!(fields[0].1, bulk("redis"));
    assert_eq!(fields[1].1, bulk("7.2.0"));
    assert_eq!(fields[2].1, Frame::Integer(2));
    assert_eq!(fields[4].1, bulk("standalone"));
    assert_eq!(fields[5].1, bulk("master"));
    assert_eq!(fields[6].1, Frame::Array(vec![]));
    assert_eq!(client.say("GET k"), Frame::NullBulk);
    assert_eq!(hello(&mut client, "HELLO 3 SETNAME worker")[2].1, Frame::Integer(3));
    assert_eq!(client.say("GET k"), Frame::Null);
    assert_eq!(client.say("CLIENT GETNAME"), bulk("worker"));
    assert!(matches!(client.say("CLIENT INFO"), Frame::Verbatim { .. }));
    assert_eq!(client.say("HELLO 4"), error("NOPROTO unsupported protocol version"));
    assert_eq!(client.say("HELLO x"), error("ERR Protocol version is not an integer or out of range"));
    assert_eq!(client.say("HELLO 2 NAME x"), error("ERR Syntax error in HELLO option 'NAME'"));
    assert_eq!(client.say("GET k"), Frame::Null, "a HELLO that fails changes nothing");
    assert_eq!(hello(&mut client, "HELLO 2")[2].1, Frame::Integer(2));
    assert_eq!(client.say("GET k"), Frame::NullBulk);
}

#[test]
fn hello_can_authenticate() {
    let node = secured();
    let mut client = node.client();
    assert!(text(&client.say("HELLO 3")).starts_with("NOAUTH HELLO must be called with the client already"));
    assert_eq!(client.say("HELLO 3 AUTH default wrong"), error(WRONGPASS));
    assert_eq!(hello(&mut client, "HELLO 3 AUTH default s3cret SETNAME x")[2].1, Frame::Integer(3));
    assert_eq!(client.say("CLIENT GETNAME"), bulk("x"));
}

#[test]
fn only_a_member_with_the_secret_speaks_slotway() {
    let dir = fresh_dir();
    std::fs::write(dir.join("secret"), "cluster secret\n").unwrap();
    let file = dir.join("secret");
    let node = TestNode::start(&[("secret-file", file.to_str().unwrap()), ("requirepass", "s3cret")]);
    let mut client = node.client();
    assert_eq!(client.say("SLOTWAY STATE"), error(NOAUTH));
    assert_eq!(client.say("AUTH s3cret"), ok());
    assert!(text(&client.say("SLOTWAY STATE")).starts_with("NOPERM "));
    assert_eq!(client.call(&["AUTH", "slotway", "s3cret"]), error(WRONGPASS));
    assert_eq!(client.call(&["AUTH", "slotway", "cluster secret"]), ok());
    let state: serde_json::Value = serde_json::from_str(&text(&client.say("SLOTWAY STATE"))).unwrap();
    assert_eq!(state["role"], "none");
    assert!(state["id"].is_null() && state["version"].is_null());
    assert_eq!(state["incarnation"].as_str().unwrap().len(), 16);
    assert_eq!(state["keys"], 0);
    assert!(text(&client.say("CLIENT INFO")).contains(" user=slotway "));
    let without = TestNode::start(&[]);
    assert_eq!(without.client().say("AUTH slotway "), error(WRONGPASS), "no secret, no members");
}
