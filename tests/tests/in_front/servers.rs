//! `--kind redis`: slots in equal ranges over plain servers, whole databases on one of them each.

use std::collections::BTreeSet;

use crate::{ok, texts, walk};
use slotway_resp::{Frame, Version};
use slotway_tests::crowd::{Crowd, Walks};
use slotway_tests::front::Front;
use slotway_tests::in_front::PlainServers;

const KEYS: usize = 3000;

/// Three servers and a proxy in front, with as many keys in database 0.
fn filled() -> (PlainServers, Front) {
    let servers = PlainServers::start(3);
    let front = Front::of_servers(&servers.addresses(), &[]);
    let pairs: Vec<String> = (0..KEYS).map(|index| format!("key:{index} {index}")).collect();
    assert_eq!(front.ask(&format!("MSET {}", pairs.join(" "))), ok());
    (servers, front)
}

#[test]
fn database_0_is_spread_over_the_servers_and_looks_like_one() {
    let (servers, front) = filled();
    for version in [Version::Resp2, Version::Resp3] {
        let mut client = front.client(version);
        let reply = client.ask("MGET key:1 key:2 nothing key:2999").unwrap();
        assert_eq!(texts(&reply), ["1", "2", "nil", "2999"]);
        assert_eq!(client.ask("DBSIZE").unwrap().as_integer(), Some(3000));
        let met = walk(&mut client);
        assert_eq!(met.iter().collect::<BTreeSet<_>>().len(), KEYS);
        assert_eq!(met.len(), KEYS, "SCAN met a key twice");
    }
    for server in &servers.servers {
        let size = server.must("DBSIZE").as_integer().unwrap();
        assert!((800..1200).contains(&size), "one server holds {size} of {KEYS}");
    }
}

#[test]
fn every_other_database_is_whole_on_one_server() {
    let (servers, front) = filled();
    for database in 1..16 {
        let mut client = front.client(Version::Resp2);
        assert_eq!(client.ask(&format!("SELECT {database}")).unwrap(), ok());
        assert_eq!(client.ask("MSET a 1 b 2 c 3").unwrap(), ok());
        assert_eq!(client.ask("RENAME a d").unwrap(), ok(), "all keys are on one server");
        let holding = servers
            .servers
            .iter()
            .filter(|server| server.text("INFO keyspace").contains(&format!("db{database}:keys=3")));
        assert_eq!(holding.count(), 1, "database {database}");
        assert_eq!(
            walk(&mut client).into_iter().collect::<BTreeSet<_>>(),
            ["b", "c", "d"].map(str::to_owned).into()
        );
    }
    assert_eq!(front.ask("DBSIZE").as_integer(), Some(3000), "database 0 is untouched");
}

#[test]
fn a_request_waits_for_a_server_that_is_started_again() {
    let (mut servers, front) = filled();
    let mut client = front.client(Version::Resp3);
    servers.servers.iter_mut().for_each(|server| server.kill());
    client.send(&["GET key:7", "INCR key:8", "MGET key:1 key:2 key:3", "DBSIZE"]).unwrap();
    servers.servers.iter_mut().for_each(|server| server.restart());
    assert_eq!(client.reply().unwrap(), Frame::bulk("7"));
    assert_eq!(client.reply().unwrap(), Frame::Integer(9));
    assert_eq!(texts(&client.reply().unwrap()), ["1", "2", "3"]);
    assert_eq!(client.reply().unwrap(), Frame::Integer(3000));
}

#[test]
fn a_crowd_at_three_servers_has_nothing_to_say() {
    let (_servers, front) = filled();
    let crowd = Crowd::start(front.port(), Walks::Complete);
    crowd.wait_for(6000);
    crowd.stop().must_be_clean();
}
