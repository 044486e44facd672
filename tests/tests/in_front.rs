//! A proxy in front of what people already run: a real Redis Cluster and plain servers of Debian's redis-server 7.0.
//!
//! The scenarios under load are rows of `slotway_tests::in_front`; here each is one test. `SLOTWAY_IN_FRONT_SECONDS=60`
//! disturbs each for as long.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

#[path = "in_front/cluster.rs"]
mod cluster;
#[path = "in_front/crowd.rs"]
mod crowd;
#[path = "in_front/frozen.rs"]
mod frozen;
#[path = "in_front/rig.rs"]
mod rig;
#[path = "in_front/servers.rs"]
mod servers;

use slotway_resp::Frame;
use slotway_tests::crowd::client::Client;
use slotway_tests::in_front::{SCENARIOS, Scenario, length};

macro_rules! scenarios {
    ($($test:ident: $name:literal),* $(,)?) => {
        $(#[test]
        fn $test() {
            let scenario = Scenario::named($name);
            let outcome = scenario.run(length());
            println!("{}: {outcome}", scenario.what);
            scenario.judge(&outcome);
        })*

        #[test]
        fn every_scenario_is_run() {
            let run = [$($name),*];
            let known: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            assert_eq!(known, run);
        }
    };
}

scenarios![
    slots_move_there_and_back_unseen: "reshard",
    a_master_and_its_replica_change_places_unseen: "failover",
    a_master_comes_and_goes_unseen: "grow",
    a_node_with_an_old_view_flips_nothing: "old-view",
    a_killed_master_costs_writes_in_flight_at_most: "kill",
    a_stopped_master_costs_writes_in_flight_at_most: "stop",
    a_killed_plain_server_costs_writes_in_flight_at_most: "servers",
    without_a_proxy_the_same_clients_see_redirections: "no-proxy",
];

fn ok() -> Frame {
    Frame::Simple(b"OK".to_vec())
}

/// The strings of an array, `nil` for a null.
fn texts(reply: &Frame) -> Vec<String> {
    let items = reply.as_array().unwrap_or_else(|| panic!("{reply:?}"));
    items.iter().map(|item| item.as_str().unwrap_or("nil").to_owned()).collect()
}

/// All keys that SCAN meets, in its order.
fn walk(client: &mut Client) -> Vec<String> {
    let (mut cursor, mut keys) = ("0".to_owned(), Vec::new());
    loop {
        let reply = client.ask(&format!("SCAN {cursor} COUNT 500")).unwrap();
        let page = reply.as_array().unwrap_or_else(|| panic!("{reply:?}"));
        keys.extend(texts(&page[1]));
        cursor = page[0].as_str().unwrap().to_owned();
        if cursor == "0" {
            return keys;
        }
    }
}
