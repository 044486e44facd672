//! Starting and stopping: addresses, orderly ends, settings read anew.

use std::net::TcpStream;

use slotway_resp::Frame;

use crate::support::{TestNode, bulk, config, error, fresh_dir, ok, wait_until};

#[test]
fn a_port_in_use_is_named_with_address_and_flag() {
    let node = TestNode::start(&[]);
    let port = node.port.to_string();
    let error = slotway_node::start(config(&fresh_dir(), &[("port", &port)])).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on 127.0.0.1:{port} (--port): address in use"));
}

#[test]
fn a_node_json_that_makes_no_sense_is_named() {
    let dir = fresh_dir();
    std::fs::write(dir.join("node.json"), "{\"node_id\": \"n1\", \"topology\": 5}").unwrap();
    let error = slotway_node::start(config(&dir, &[])).unwrap_err().to_string();
    assert!(error.contains("node.json: "), "{error}");
}

#[test]
fn every_address_of_bind_is_served_on_one_port() {
    let node = TestNode::start(&[("bind", "127.0.0.1 127.0.0.2")]);
    for host in ["127.0.0.1", "127.0.0.2"] {
        let mut client = crate::support::Client::new(TcpStream::connect((host, node.port)).unwrap());
        assert_eq!(client.say("PING"), Frame::Simple(b"PONG".to_vec()));
    }
    let mut client = node.client();
    let port = Frame::Array(vec![bulk("port"), bulk(&node.port.to_string())]);
    assert_eq!(client.say("CONFIG GET port"), port, "the port that was got, not the 0 that was asked for");
}

#[test]
fn a_stop_answers_what_has_arrived_and_closes() {
    let mut node = TestNode::start(&[]);
    let mut client = node.client();
    let value = "x".repeat(1000);
    assert_eq!(client.call(&["SET", "k", &value]), ok());
    client.send("GET k\r\n".repeat(1000));
    node.stop();
    for _ in 0..1000 {
        assert_eq!(client.reply(), bulk(&value));
    }
    assert!(client.until_closed().is_empty());
    assert!(TcpStream::connect(("127.0.0.1", node.port)).is_err());
}

#[test]
fn a_client_can_shut_the_node_down() {
    let mut node = TestNode::start(&[]);
    let mut client = node.client();
    assert_eq!(client.say("SHUTDOWN ABORT"), error("ERR No shutdown in progress."));
    assert_eq!(client.say("SHUTDOWN NOSAVE SAVE"), error("ERR syntax error"));
    client.send("SHUTDOWN NOSAVE\r\n");
    assert!(client.until_closed().is_empty());
    node.running.take().unwrap().join().unwrap();
}

#[test]
fn settings_are_read_anew_while_clients_stay_connected() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    assert_eq!(client.say("PING"), Frame::Simple(b"PONG".to_vec()));
    let fresh = config(&fresh_dir(), &[("timeout", "77"), ("tcp-backlog", "1000")]).settings;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(node.running.as_ref().unwrap().adopt(fresh));
    let value = |name: &str, value: &str| Frame::Array(vec![bulk(name), bulk(value)]);
    wait_until("the fresh setting holds", || client.say("CONFIG GET timeout") == value("timeout", "77"));
    assert_eq!(client.say("CONFIG GET tcp-backlog"), value("tcp-backlog", "511"), "needs a restart");
    assert_eq!(client.say("CONFIG GET port"), value("port", &node.port.to_string()));
}
