//! PROXY EXPLAIN: what would become of a request.

use slotway_cluster::slot::spread_slot;

use crate::{commands::Three, keys::key_of, peer::Peer};

/// The answer as one line, the nodes' addresses left out.
fn explained(client: &mut Peer, line: &str) -> String {
    let text = client.ask(&format!("PROXY EXPLAIN {line}"));
    let words = text.split(' ').filter(|word| !word.starts_with("node=127.0.0.1:"));
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_request_is_explained_without_being_run() {
    let three = Three::start();
    let mut client = three.client();
    client.ask("HELLO 3");
    let keys: Vec<String> = (0..3).map(|shard| key_of(shard, 3, 0)).collect();
    let slot = |key: &str| spread_slot(key.as_bytes()).number();
    let part = |shard: usize| {
        format!("{{shard=shard-{} slots=[:{}] keys=[{}]}}", shard + 1, slot(&keys[shard]), keys[shard])
    };
    assert_eq!(
        explained(&mut client, &format!("SET {} 1", keys[1])),
        format!(
            "{{command=set database=:0 placement=spread route=one slot link=shared parts=[{}] merge=none atomicity=atomic}}",
            part(1)
        )
    );
    client.check(&format!("EXISTS {}", keys[1]), ":0");
    assert_eq!(
        explained(&mut client, &format!("MGET {} {}", keys[2], keys[0])),
        format!(
            "{{command=mget database=:0 placement=spread route=split by shard link=shared parts=[{} {}] \
             merge=values in the order of the keys \
             atomicity=each part is atomic on its shard, the parts together are not}}",
            part(2),
            part(0)
        )
    );
    assert_eq!(
        explained(&mut client, &format!("WATCH {}", keys[0])),
        format!(
            "{{command=watch database=:0 placement=spread route=one slot link=leased parts=[{}] merge=none \
             atomicity=atomic}}",
            part(0)
        )
    );
    assert_eq!(
        explained(&mut client, "PING"),
        "{command=ping database=:0 placement=spread route=proxy link=none parts=[] merge=none \
         atomicity=answered by the proxy alone}"
    );
}

#[test]
fn what_would_be_refused_is_said_with_its_error() {
    let three = Three::start();
    let mut client = three.client();
    client.ask("HELLO 3");
    let refused = "error=CROSSSLOT Keys in request don't hash to the same slot (a, b); \
                   use a database from 1 to 15, a hash tag or a placement rule}";
    for line in ["MSETNX a 1 b 2", "RENAME a b", "WATCH a b"] {
        let text = explained(&mut client, line);
        assert!(text.contains("route=refused") && text.ends_with(refused), "{text}");
    }
    assert!(explained(&mut client, "SHUTDOWN").contains("route=refused"));
    client.check("PROXY EXPLAIN NOSUCH a", "-ERR unknown command 'NOSUCH', with args beginning with: 'a' ");
    client.check("PROXY EXPLAIN GET", "-ERR wrong number of arguments for 'get' command");
    client.check("PROXY EXPLAIN", "-ERR wrong number of arguments for 'proxy|explain' command");
    client.check("PROXY NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try PROXY HELP.");
    assert!(client.ask("PROXY HELP").contains("EXPLAIN <full-command>"));
}

#[test]
fn in_a_whole_database_everything_is_one_place() {
    let three = Three::start();
    let mut client = three.client();
    client.check("SELECT 1", "+OK");
    for line in ["MSETNX a 1 b 2", "MGET a b c", "DBSIZE", "WATCH a b", "SCAN 0"] {
        let text = explained(&mut client, line);
        let shards = text.matches("shard-").count();
        assert!(text.contains("placement whole") && shards == 1 && !text.contains("error"), "{text}");
        assert!(text.contains("slots [:10126]"), "{text}");
    }
    client.check("SELECT 0", "+OK");
    for line in ["DBSIZE", "SCAN 0", "INFO", "CONFIG GET port", "FLUSHALL"] {
        assert_eq!(explained(&mut client, line).matches("shard-").count(), 3, "{line}");
    }
}
