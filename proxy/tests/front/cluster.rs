//! Client libraries, plain and cluster mode; nodes of a Redis Cluster, which take keys of one slot at a time.

use std::sync::Arc;

use redis::{Commands, cluster::ClusterClient};
use slotway_cluster::topology::Kind;

use crate::{
    backend::Fake,
    commands::Three,
    front::{Front, topology},
};

#[test]
fn a_cluster_client_sees_one_node_that_serves_every_slot() {
    let three = Three::start();
    let client = ClusterClient::new(vec![format!("redis://127.0.0.1:{}", three.front.port)]).unwrap();
    let mut connection = client.get_connection().unwrap();
    for number in 0..200 {
        let _: () = connection.set(format!("k{number}"), number).unwrap();
    }
    for number in 0..200 {
        assert_eq!(connection.get::<_, i64>(format!("k{number}")).unwrap(), number);
    }
    let all: Vec<i64> =
        connection.mget((0..200).map(|number| format!("k{number}")).collect::<Vec<_>>()).unwrap();
    assert_eq!(all, (0..200).collect::<Vec<i64>>());
    let count: i64 = redis::cmd("DBSIZE").query(&mut connection).unwrap();
    assert_eq!(count, 200);
}

#[test]
fn what_cluster_clients_ask_for_names_the_proxy() {
    let three = Three::start();
    let mut client = three.client();
    let port = three.front.port;
    let id = client.ask("CLUSTER MYID");
    assert_eq!(id.len(), 40);
    client.check("CLUSTER SLOTS", &format!("[[:0 :16383 [127.0.0.1 :{port} {id} []]]]"));
    assert!(client.ask("CLUSTER NODES").starts_with(&format!("{id} 127.0.0.1:{port}@")));
    assert!(client.ask("CLUSTER INFO").contains("cluster_state:ok\r\n"));
    client.check_all(&[("CLUSTER KEYSLOT foo", ":12182"), ("CLUSTER KEYSLOT {user}.x", ":5474")]);
    let shards = client.ask("CLUSTER SHARDS");
    assert!(shards.contains("slots [:0 :16383]") && shards.contains(&format!("port :{port}")), "{shards}");
    client.ask("HELLO 3");
    client.check("CLUSTER SLOTS", &format!("[[:0 :16383 [127.0.0.1 :{port} {id} {{}}]]]"));
}

#[test]
fn a_multiplexed_client_works_in_both_versions() {
    let three = Three::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for version in ["resp2", "resp3"] {
        let url = format!("redis://127.0.0.1:{}/?protocol={version}", three.front.port);
        let client = redis::Client::open(url).unwrap();
        runtime.block_on(async {
            let connection = client.get_multiplexed_async_connection().await.unwrap();
            let ask = |number: usize| {
                let mut connection = connection.clone();
                async move {
                    let (key, value) = (format!("{version}{number}"), number.to_string());
                    let _: () =
                        redis::cmd("SET").arg(&key).arg(&value).query_async(&mut connection).await.unwrap();
                    let got: String = redis::cmd("GET").arg(&key).query_async(&mut connection).await.unwrap();
                    assert_eq!(got, value);
                }
            };
            let mut tasks = tokio::task::JoinSet::new();
            (0..200).for_each(|number| drop(tasks.spawn(ask(number))));
            while let Some(done) = tasks.join_next().await {
                done.unwrap();
            }
        });
    }
}

#[test]
fn a_node_of_a_redis_cluster_gets_keys_of_one_slot_at_a_time() {
    let fake = Fake::start(|conn| {
        while let Some(line) = conn.next() {
            match line.split(' ').next() {
                Some("MGET") => {
                    let keys = line.split(' ').count() - 1;
                    conn.reply(&format!("*{keys}\r\n{}", "$1\r\nx\r\n".repeat(keys)));
                }
                Some("DEL") => conn.reply(":1\r\n"),
                _ => conn.reply("+OK\r\n"),
            }
        }
    });
    let front = Front::of(&[fake.port]);
    let mut of_cluster = topology(2, &[format!("127.0.0.1:{}", fake.port)]);
    of_cluster.shards[0].kind = Kind::Cluster;
    front.topology.store(Arc::new(of_cluster));
    let mut client = front.client();
    client.check_all(&[("MGET a b a", "[x x x]"), ("MSET a 1 b 2", "+OK"), ("DEL a b {a}c", ":2")]);
    let asked = ["MGET a a", "MGET b", "MSET a 1", "MSET b 2", "DEL a {a}c", "DEL b"];
    assert_eq!(fake.log(), asked);
}
