//! LATENCY over several shards.

use crate::{backend::Redis, front::Front, keys::key_of};

#[test]
fn latency_speaks_of_all_shards_together() {
    let settings = ["--enable-debug-command", "yes", "--latency-monitor-threshold", "1"];
    let servers = [Redis::with(&settings), Redis::with(&settings)];
    let front = Front::of(&servers.each_ref().map(|server| server.port));
    let mut client = front.client();
    client.check_all(&[
        ("LATENCY LATEST", "[]"),
        ("LATENCY HISTORY command", "[]"),
        ("LATENCY GRAPH command", "-ERR No samples available for event 'command'"),
        ("LATENCY HISTOGRAM get", "[]"),
        ("LATENCY RESET", ":0"),
    ]);
    for (server, seconds) in servers.iter().zip(["0.01", "0.05"]) {
        server.client().check(&format!("DEBUG SLEEP {seconds}"), "+OK");
    }
    for (shard, number) in [(0, 0), (0, 1), (1, 0)] {
        client.check(&format!("GET {}", key_of(shard, 2, number)), "nil");
    }
    let histogram = client.ask("LATENCY HISTOGRAM get nosuch");
    assert!(histogram.starts_with("[get [calls :3 histogram_usec ["), "{histogram}");
    let latest = client.ask("LATENCY LATEST");
    assert!(latest.starts_with("[[command :") && latest.matches('[').count() == 2, "{latest}");
    let max: u64 = latest.trim_end_matches(']').rsplit(':').next().unwrap().parse().unwrap();
    assert!(max >= 50, "the longest of any shard: {latest}");
    let history = client.ask("LATENCY HISTORY command");
    assert!(history.starts_with("[[:"), "{history}");
    for line in ["LATENCY GRAPH command", "LATENCY DOCTOR"] {
        let text = client.ask(line);
        let (one, two) = (text.find("shard 1:\n"), text.find("shard 2:\n"));
        assert!(one == Some(0) && two > one, "{line}: {text}");
    }
    client.ask("HELLO 3");
    assert!(client.ask("LATENCY HISTOGRAM get").starts_with("{get={calls=:3 histogram_usec={"));
    client.check("LATENCY RESET command", ":2");
    client.check("LATENCY LATEST", "[]");
}

#[test]
fn a_proxy_before_one_shard_passes_its_words_on() {
    let server = Redis::start();
    let front = Front::of(&[server.port]);
    let (mut client, mut direct) = (front.client(), server.client());
    for line in ["LATENCY DOCTOR", "LATENCY GRAPH command", "LATENCY HISTORY command", "LATENCY NOSUCH"] {
        assert_eq!(client.ask(line), direct.ask(line), "{line}");
    }
}
