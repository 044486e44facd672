//! Whole databases: everything of one on one shard, so that what spans keys works as on a single Redis.

use crate::{
    backend::{Conn, Fake},
    commands::Three,
    front::Front,
};

#[test]
fn in_a_whole_database_every_command_works_whatever_its_keys() {
    let three = Three::start();
    let mut client = three.client();
    client.check_all(&[
        ("MSET a zero b zero c zero", "+OK"),
        ("SELECT 1", "+OK"),
        ("DBSIZE", ":0"),
        ("MSETNX a 1 b 2 c 3", ":1"),
        ("MSETNX c 1 d 2", ":0"),
        ("RENAME a z", "+OK"),
        ("COPY z y", ":1"),
        ("MGET a b c z y", "[nil 2 3 1 1]"),
        ("EXISTS b c z y", ":4"),
        ("DEL b y none", ":2"),
        ("DBSIZE", ":2"),
        ("SELECT 2", "+OK"),
        ("DBSIZE", ":0"),
        ("KEYS *", "[]"),
        ("RANDOMKEY", "nil"),
        ("SCAN 0", "[0 []]"),
        ("SET only two", "+OK"),
        ("KEYS *", "[only]"),
        ("RANDOMKEY", "only"),
        ("SCAN 0", "[0 [only]]"),
        ("FLUSHDB", "+OK"),
        ("DBSIZE", ":0"),
        ("SELECT 1", "+OK"),
        ("DBSIZE", ":2"),
        ("SELECT 0", "+OK"),
        ("DBSIZE", ":3"),
        ("MGET a b c", "[zero zero zero]"),
        ("FLUSHALL", "+OK"),
        ("DBSIZE", ":0"),
        ("SELECT 1", "+OK"),
        ("DBSIZE", ":0"),
    ]);
}

#[test]
fn the_keys_of_a_whole_database_lie_on_its_home_shard_only() {
    let three = Three::start();
    let mut client = three.client();
    for database in 1..16 {
        client.check(&format!("SELECT {database}"), "+OK");
        let pairs: String = (0..50).fold("MSET".to_owned(), |line, key| format!("{line} k{key} v"));
        client.check(&pairs, "+OK");
        let holds = |server: &crate::backend::Redis| {
            let mut direct = server.client();
            direct.check(&format!("SELECT {database}"), "+OK");
            direct.ask("DBSIZE")
        };
        let mut sizes: Vec<String> = three.servers.iter().map(holds).collect();
        sizes.sort();
        assert_eq!(sizes, [":0", ":0", ":50"], "database {database}");
    }
}

#[test]
fn a_select_between_pipelined_requests_takes_effect_in_its_place() {
    let three = Three::start();
    let mut client = three.client();
    let mut exchanges: Vec<(String, String)> = Vec::new();
    for round in 0..200 {
        for database in [0, 3, 3, 7, 0] {
            exchanges.push((format!("SELECT {database}"), "+OK".to_owned()));
            exchanges.push((format!("SET k{round} {database}-{round}"), "+OK".to_owned()));
            exchanges.push((format!("GET k{round}"), format!("{database}-{round}")));
        }
        exchanges.push(("SELECT 99".to_owned(), "-ERR DB index is out of range".to_owned()));
        exchanges.push((format!("MGET k{round} none"), format!("[0-{round} nil]")));
    }
    let exchanges: Vec<(&str, &str)> =
        exchanges.iter().map(|(line, reply)| (line.as_str(), reply.as_str())).collect();
    client.check_all(&exchanges);
}

#[test]
fn in_front_of_a_redis_cluster_there_is_only_database_0() {
    let fake = Fake::start(Conn::echo);
    let front =
        Front::with(&[fake.port], &[("backends", ""), ("cluster", &format!("127.0.0.1:{}", fake.port))]);
    let mut client = front.client();
    client.check_all(&[
        ("SELECT 0", "+OK"),
        ("SELECT 1", "-ERR SELECT is not allowed in cluster mode"),
        ("SELECT -1", "-ERR SELECT is not allowed in cluster mode"),
        ("SELECT x", "-ERR value is not an integer or out of range"),
        ("GET a", "GET a"),
        ("MULTI", "+OK"),
        ("SELECT 15", "+QUEUED"),
    ]);
    assert_eq!(fake.count("SELECT 1"), 0);
}
