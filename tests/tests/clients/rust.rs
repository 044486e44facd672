//! The Rust crate `redis`: blocking, asynchronous on one connection, and in cluster mode, in both protocols.

use redis::{
    AsyncCommands, Client, Commands, ErrorKind, ProtocolVersion, RedisResult, ServerErrorKind,
    cluster::ClusterClient,
};
use slotway_cluster::slot;
use slotway_tests::cluster::UpCluster;

/// The asynchronous connection gives a reply half a second; a pipeline of all slots may take longer on a busy machine.
const PIPELINE: usize = 1_000;

fn start() -> (UpCluster, String) {
    let cluster = UpCluster::start(&["--shards", "3", "--replicas", "0"]);
    let address = format!("redis://127.0.0.1:{}", cluster.port());
    (cluster, address)
}

/// One key for every slot, in no order of slots.
fn a_key_for_every_slot() -> Vec<String> {
    let mut seen = vec![false; usize::from(slot::SLOTS)];
    let mut keys = Vec::new();
    for number in 0.. {
        let key = format!("every:{number}");
        let seen = &mut seen[usize::from(slot::spread_slot(key.as_bytes()).number())];
        if !std::mem::replace(seen, true) {
            keys.push(key);
        }
        if keys.len() == usize::from(slot::SLOTS) {
            break;
        }
    }
    keys
}

#[test]
fn the_redis_crate_works_blocking_over_all_slots() -> RedisResult<()> {
    let (_cluster, address) = start();
    for version in ["", "?protocol=resp3"] {
        let mut connection = Client::open(format!("{address}/{version}"))?.get_connection()?;
        let keys = a_key_for_every_slot();
        let pairs: Vec<(&String, &String)> = keys.iter().map(|key| (key, key)).collect();
        connection.mset::<_, _, ()>(&pairs)?;
        assert_eq!(connection.mget::<_, Vec<String>>(&keys)?, keys);
        let mut pipeline = redis::pipe();
        keys.iter().take(PIPELINE).for_each(|key| {
            pipeline.append(key, "!").ignore().get(key);
        });
        let wanted: Vec<String> = keys.iter().take(PIPELINE).map(|key| format!("{key}!")).collect();
        assert_eq!(pipeline.query::<Vec<String>>(&mut connection)?, wanted);
        let found: Vec<String> = connection.scan_match("every:*")?.collect::<RedisResult<_>>()?;
        assert_eq!(found.len(), keys.len());
        assert_eq!(connection.del::<_, usize>(&keys)?, keys.len());
    }
    Ok(())
}

#[test]
fn the_redis_crate_gets_databases_hashes_and_errors() -> RedisResult<()> {
    let (_cluster, address) = start();
    for database in [0, 1, 15] {
        let mut connection =
            Client::open(format!("{address}/{database}?protocol=resp3"))?.get_connection()?;
        connection.set::<_, _, ()>("who", database)?;
        assert_eq!(connection.get::<_, i64>("who")?, database);
        assert_eq!(redis::cmd("DBSIZE").query::<i64>(&mut connection)?, 1, "database {database}");
        connection.hset_multiple::<_, _, _, ()>("h", &[("a", 1), ("b", 2)])?;
        let fields: std::collections::BTreeMap<String, i64> = connection.hgetall("h")?;
        assert_eq!(fields.into_iter().collect::<Vec<_>>(), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        assert_eq!(connection.get::<_, Option<String>>("none")?, None);
        assert!(connection.expire::<_, bool>("h", 100)?);

        let error = connection.hget::<_, _, Option<String>>("who", "field").expect_err("a string is no hash");
        assert_eq!(error.code(), Some("WRONGTYPE"));
        let error = connection.incr::<_, _, i64>("h", 1).expect_err("a hash is no number");
        assert_eq!(error.code(), Some("WRONGTYPE"));
        let error = redis::cmd("NOSUCH").query::<()>(&mut connection).expect_err("nobody knows it");
        assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::ResponseError));
        assert!(error.to_string().contains("unknown command 'NOSUCH'"), "{error}");
    }
    Ok(())
}

#[test]
fn the_redis_crate_works_asynchronously_on_one_connection() -> RedisResult<()> {
    let (_cluster, address) = start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for version in ["", "?protocol=resp3"] {
            let client = Client::open(format!("{address}/{version}"))?;
            let connection = client.get_multiplexed_async_connection().await?;
            let mut tasks = tokio::task::JoinSet::new();
            for task in 0..50 {
                let mut connection = connection.clone();
                tasks.spawn(async move {
                    for turn in 0..100 {
                        let key = format!("task:{task}:{turn}");
                        connection.set::<_, _, ()>(&key, turn).await?;
                        assert_eq!(connection.get::<_, i64>(&key).await?, turn);
                        connection.incr::<_, _, ()>("shared", 1).await?;
                    }
                    RedisResult::Ok(())
                });
            }
            while let Some(ended) = tasks.join_next().await {
                ended.expect("the task did not panic")?;
            }
            let mut connection = connection;
            assert_eq!(connection.get::<_, i64>("shared").await?, 5_000);
            connection.del::<_, ()>("shared").await?;
        }
        Ok(())
    })
}

#[test]
fn the_redis_crate_works_in_cluster_mode() -> RedisResult<()> {
    let (_cluster, address) = start();
    for version in [ProtocolVersion::RESP2, ProtocolVersion::RESP3] {
        let client = ClusterClient::builder(vec![address.clone()]).use_protocol(version).build()?;
        let mut connection = client.get_connection()?;
        let keys = a_key_for_every_slot();
        for key in keys.iter().take(PIPELINE) {
            connection.set::<_, _, ()>(key, key)?;
        }
        for key in keys.iter().take(PIPELINE) {
            assert_eq!(&connection.get::<_, String>(key)?, key);
        }
        connection.hset::<_, _, _, ()>("{tag}h", "field", 1)?;
        assert_eq!(connection.exists::<_, usize>(&["{tag}h", "{tag}none"])?, 1);
        let error = connection.get::<_, String>("{tag}h").expect_err("a hash is no string");
        assert_eq!(error.code(), Some("WRONGTYPE"));
        connection.del::<_, ()>("{tag}h")?;
    }
    Ok(())
}

#[test]
fn the_redis_crate_works_asynchronously_in_cluster_mode() -> RedisResult<()> {
    let (_cluster, address) = start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = ClusterClient::new(vec![address])?;
        let mut connection = client.get_async_connection().await?;
        for key in a_key_for_every_slot().iter().take(PIPELINE) {
            connection.set::<_, _, ()>(key, key).await?;
            assert_eq!(&connection.get::<_, String>(key).await?, key);
        }
        Ok(())
    })
}
