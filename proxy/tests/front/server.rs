//! CONFIG and INFO: what is the proxy's own and what is the nodes'.

use slotway_resp::Frame;

use crate::{
    backend::Redis,
    commands::{Three, mset},
    front::Front,
    peer::{Peer, shown},
};

#[test]
fn config_get_shows_the_proxys_own_settings_over_the_nodes() {
    let three = Three::with(&[("maxclients", "77")]);
    let mut client = three.client();
    client.check_all(&[
        ("CONFIG GET maxclients", "[maxclients 77]"),
        ("CONFIG GET maxmemory-policy", "[maxmemory-policy noeviction]"),
        ("CONFIG GET hold-ms-max", "[hold-ms-max 5000]"),
        ("CONFIG GET nosuch", "[]"),
    ]);
    let port = three.front.port;
    client.check("CONFIG GET MAXCLIENTS slowlog-max-len", "[MAXCLIENTS 77 slowlog-max-len 128]");
    client.ask("HELLO 3");
    client.check("CONFIG GET maxclients", "{maxclients=77}");
    client.send(&["CONFIG GET *"]);
    let Frame::Map(pairs) = client.frame() else { panic!("not a map") };
    let value = |name: &str| pairs.iter().find(|(key, _)| shown(key) == name).map(|(_, value)| shown(value));
    assert_eq!(value("maxclients").as_deref(), Some("77"));
    assert_eq!(value("appendonly").as_deref(), Some("no"));
    assert!(port != 0);
}

#[test]
fn config_set_goes_to_whoever_owns_the_setting() {
    let three = Three::start();
    let mut client = three.client();
    client.check_all(&[
        ("CONFIG SET maxmemory-policy allkeys-lru", "+OK"),
        ("CONFIG GET maxmemory-policy", "[maxmemory-policy allkeys-lru]"),
        ("CONFIG SET request-timeout-ms 1234 hold-ms-max 4321", "+OK"),
        ("CONFIG GET request-timeout-ms", "[request-timeout-ms 1234]"),
        ("CONFIG RESETSTAT", "+OK"),
    ]);
    for server in &three.servers {
        server.client().check("CONFIG GET maxmemory-policy", "[maxmemory-policy allkeys-lru]");
    }
    let mixed = client.ask("CONFIG SET timeout 0 maxmemory-policy noeviction");
    assert!(mixed.starts_with("-ERR CONFIG SET of the proxy's and the nodes'"), "{mixed}");
    let mut redis = three.servers[0].client();
    for line in ["CONFIG SET nosuch 1", "CONFIG SET maxmemory-policy nosuch", "CONFIG SET timeout x"] {
        assert_eq!(client.ask(line), redis.ask(line), "{line}");
    }
    // New settings reach threads that have links under way.
    let mut other = three.client();
    other.check("GET a", "nil");
    for number in 1..50 {
        client.check(&format!("CONFIG SET link-idle-close-s {number}"), "+OK");
        other.check("MGET a b c", "[nil nil nil]");
    }
}

#[test]
fn a_setting_that_one_node_refuses_is_an_error_that_names_it() {
    let servers =
        [Redis::start(), Redis::with(&["--enable-debug-command", "yes", "--rename-command", "CONFIG", ""])];
    let front = Front::of(&servers.each_ref().map(|server| server.port));
    let reply = front.client().ask("CONFIG SET maxmemory-policy allkeys-lru");
    assert!(reply.starts_with("-ERR CONFIG SET failed on shard 2 only: ERR unknown command"), "{reply}");
}

fn info(client: &mut Peer, words: &str) -> Vec<(String, String)> {
    let text = client.ask(words);
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn info_merges_the_nodes_and_speaks_of_the_proxy() {
    let three = Three::start();
    let mut client = three.client();
    client.check(&mset(300), "+OK");
    for words in ["INFO", "INFO everything"] {
        let fields = info(&mut client, words);
        let value = |wanted: &str| {
            let values: Vec<&str> =
                fields.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str()).collect();
            assert_eq!(values.len(), 1, "{wanted}: {values:?}");
            values[0]
        };
        assert_eq!(value("redis_version"), "7.2.0");
        assert_eq!(value("redis_mode"), "standalone");
        assert_eq!(value("role"), "master");
        assert_eq!(value("loading"), "0");
        assert_eq!(value("connected_clients"), "1");
        assert_eq!(value("tcp_port"), three.front.port.to_string());
        assert!(value("db0").starts_with("keys=300,"), "{}", value("db0"));
    }
    client.ask("HELLO 3");
    assert!(client.ask("INFO server").contains("slotway_version:"));
}

#[test]
fn info_answers_while_a_shard_is_down() {
    let mut three = Three::with(&[("hold-ms-max", "50")]);
    drop(three.servers.pop());
    let mut client = three.client();
    let fields = info(&mut client, "INFO");
    assert!(fields.contains(&("loading".to_owned(), "0".to_owned())), "{fields:?}");
    three.servers.clear();
    let reply = client.ask("INFO");
    assert!(reply.starts_with("-TRYAGAIN shard") || reply.starts_with("-INDETERMINATE"), "{reply}");
}
