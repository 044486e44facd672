//! A node as the primary of real redis-servers, and of connections that behave as replicas should not.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use slotway_resp::Frame;
use slotway_tests::{
    cluster::{signal, wait_until},
    replicas::{Client, Server, assert_same, contents},
};

/// Values of every type, small and large, in several databases, with and without deadlines.
fn fill(client: &mut Client, keys: usize) {
    let words = |text: String| text.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    let mut requests = Vec::new();
    for number in 0..keys {
        requests.push(words(match number % 10 {
            0 => format!("SET string:{number} {number}"),
            1 => format!("SET string:{number} {} PX {}", "long".repeat(number % 50), 10_000_000 + number),
            2 => format!("RPUSH list:{number} a b {number}"),
            3 => format!("SADD set:{number} 1 2 {number}"),
            4 => format!("SADD set:{number} one two {number}"),
            5 => format!("ZADD zset:{number} 1 a 2.5 b -inf c {number} d"),
            6 => format!("HSET hash:{number} f v g {number}"),
            7 => format!("SETRANGE bits:{number} 3 x"),
            8 => format!("PFADD hll:{number} {number} a b"),
            _ => format!("SET {{tag}}:{number} v"),
        }));
        let large = number % 100;
        requests.push(words(match number % 5 {
            0 => format!("HSET large:hash field{large} {number}"),
            1 => format!("SADD large:set member{large}"),
            2 => format!("ZADD large:zset {number} member{large}"),
            3 => format!("RPUSH large:list element{number}"),
            _ => format!("APPEND large:string {number}"),
        }));
    }
    requests.push(words("SELECT 9".into()));
    requests.push(words("SET other database".into()));
    requests.push(words("SELECT 0".into()));
    client.ask_all(&requests);
}

/// What a stream has to carry besides plain writes.
fn change(client: &mut Client) {
    for request in [
        "SET gone 1 PX 30",
        "SET kept 1 EX 1000",
        "EXPIRE string:0 500",
        "MULTI",
        "INCR counter",
        "SELECT 9",
        "RPUSH queue a b c",
        "SELECT 0",
        "EXEC",
        "SPOP large:set 3",
        "INCRBYFLOAT float 1.5",
        "HINCRBYFLOAT large:hash f 2.25",
        "GETEX kept PX 900000",
        "LMPOP 1 large:list LEFT COUNT 2",
        "ZMPOP 1 large:zset MAX",
        "RENAME string:10 renamed",
        "SELECT 3",
        "SET third 3",
        "SWAPDB 3 4",
        "MOVE nothing 5",
        "SELECT 0",
        "COPY list:2 copied",
        "SORT list:2 ALPHA STORE sorted",
        "BITOP NOT inverted bits:7",
        "SETRANGE large:string 100000 end",
    ] {
        client.ask(request);
    }
}

#[test]
fn a_redis_replica_comes_to_hold_every_type_by_snapshot_and_by_stream() {
    let (node, redis, behind) = (Server::node(&[]), Server::redis(&[]), Server::redis(&[]));
    let mut client = node.client();
    fill(&mut client, 100_000);
    redis.follow(&node);
    // While the snapshot is made and sent.
    change(&mut client);
    behind.follow(&redis);
    wait_until("the deadline has passed", || client.ask("EXISTS gone").as_integer() == Some(0));
    redis.catch_up(&node);
    let ours = contents(&node);
    assert!(ours.len() > 100_000);
    assert_same(&ours, &contents(&redis));

    fill(&mut client, 1000);
    change(&mut client);
    wait_until("the deadline has passed", || client.ask("EXISTS gone").as_integer() == Some(0));
    redis.catch_up(&node);
    assert_same(&contents(&node), &contents(&redis));
    behind.catch_up(&node);
    assert_same(&contents(&node), &contents(&behind));
    assert_eq!(node.info("sync_full"), 1);
}

#[test]
fn what_is_evicted_goes_at_the_replica_too() {
    let (node, redis) = (Server::node(&["--maxmemory-policy", "allkeys-lru"]), Server::redis(&[]));
    redis.follow(&node);
    let mut client = node.client();
    fill(&mut client, 20_000);
    let room = node.info("used_memory") - 1_000_000;
    client.ask(&format!("CONFIG SET maxmemory {room}"));
    client.ask("SET one more");
    wait_until("keys were evicted", || node.info("evicted_keys") > 100);
    client.ask("CONFIG SET maxmemory 0");
    redis.catch_up(&node);
    assert_same(&contents(&node), &contents(&redis));
}

#[test]
fn a_replica_that_was_cut_off_goes_on_from_the_backlog_and_one_that_missed_too_much_starts_anew() {
    let (node, redis) = (Server::node(&[]), Server::redis(&[]));
    redis.follow(&node);
    redis.catch_up(&node);
    let mut client = node.client();
    for round in 1..=3 {
        assert_eq!(client.ask("CLIENT KILL TYPE replica").as_integer(), Some(1));
        fill(&mut client, 100);
        redis.catch_up(&node);
        assert_eq!((node.info("sync_full"), node.info("sync_partial_ok")), (1, round));
    }
    assert_same(&contents(&node), &contents(&redis));

    client.ask("CONFIG SET repl-backlog-size 16384");
    signal("STOP", redis.pid());
    client.ask("CLIENT KILL TYPE slave");
    fill(&mut client, 10_000);
    assert!(node.info("repl_backlog_histlen") < 200_000, "trimmed, since nobody needs it");
    signal("CONT", redis.pid());
    redis.catch_up(&node);
    assert_eq!((node.info("sync_full"), node.info("sync_partial_err")), (2, 2));
    assert_same(&contents(&node), &contents(&redis));
}

/// The stream behind a snapshot that `client` has asked for; the snapshot itself.
fn snapshot(client: &mut Client) -> Vec<u8> {
    let mut head = client.line();
    while head.is_empty() {
        head = client.line();
    }
    if let Some(mark) = head.strip_prefix("$EOF:") {
        let mut bytes = Vec::new();
        while !bytes.ends_with(mark.as_bytes()) {
            bytes.extend(client.bytes(1));
        }
        bytes.truncate(bytes.len() - mark.len());
        return bytes;
    }
    let len: usize = head.strip_prefix('$').unwrap().parse().unwrap();
    client.bytes(len)
}

#[test]
fn sync_and_psync_answer_as_redis_does() {
    let node = Server::node(&[]);
    node.ask("SET key value");
    let mut old = node.client();
    old.send(b"SYNC\r\n");
    assert!(snapshot(&mut old).starts_with(b"REDIS00"));
    node.ask("SET key other");
    assert_eq!(old.reply(), words("SELECT 0"), "the stream follows at once");
    assert_eq!(old.reply(), words("SET key other"));

    let mut new = node.client();
    assert_eq!(new.ask("REPLCONF listening-port 1234").as_str(), Some("OK"));
    assert_eq!(new.ask("REPLCONF capa eof capa psync2 capa unheard-of").as_str(), Some("OK"));
    new.send(b"PSYNC ? -1\r\n");
    let resync = new.line();
    let [told, history, offset] = resync.split(' ').collect::<Vec<_>>()[..] else { panic!("{resync}") };
    assert_eq!((told, history.len()), ("+FULLRESYNC", 40));
    let offset: u64 = offset.parse().unwrap();
    assert!(snapshot(&mut new).starts_with(b"REDIS00"));
    node.ask("SET key third");
    assert!(new.is_silent_for(Duration::from_millis(100)), "its end would not be found otherwise");
    new.send(format!("REPLCONF ACK {offset}\r\n").as_bytes());
    assert_eq!([new.reply(), new.reply()], [words("SELECT 0"), words("SET key third")]);

    // By the same name it goes on, by another it does not, nor from a byte that does not exist yet.
    let ask = |request: &str| {
        let mut client = node.client();
        client.ask("REPLCONF capa psync2");
        client.send(format!("{request}\r\n").as_bytes());
        client.line()
    };
    assert_eq!(ask(&format!("PSYNC {history} {}", offset + 1)), format!("+CONTINUE {history}"));
    let others = "0123456789012345678901234567890123456789";
    for refused in [
        format!("PSYNC {others} {offset}"),
        format!("PSYNC {history} {}", offset + 100_000),
        format!("PSYNC {history} 0"),
        format!("PSYNC {history} -5"),
        "PSYNC nonsense 1".into(),
    ] {
        assert!(ask(&refused).starts_with("+FULLRESYNC "), "{refused}");
    }
    assert_eq!(ask("PSYNC ? x"), "-ERR value is not an integer or out of range");
    assert_eq!(ask("REPLCONF unheard-of 1"), "-ERR Unrecognized REPLCONF option: unheard-of");
    assert_eq!(ask("REPLCONF capa"), "-ERR syntax error");
}

fn words(text: &str) -> Frame {
    Frame::Array(text.split(' ').map(Frame::bulk).collect())
}

#[test]
fn more_replicas_than_walks_are_all_served_and_those_that_leave_leave_nothing_behind() {
    let node = Server::node(&[]);
    fill(&mut node.client(), 5000);
    let mut many: Vec<Client> = (0..12).map(|_| node.client()).collect();
    for client in &mut many {
        client.ask("REPLCONF capa eof");
        client.send(b"PSYNC ? -1\r\n");
    }
    // Half of them leave in the midst of it.
    for mut client in many.drain(..6) {
        client.bytes(30);
    }
    for client in &mut many {
        let mut line = client.line();
        while line.is_empty() {
            line = client.line();
        }
        assert!(line.starts_with("+FULLRESYNC "));
        assert!(snapshot(client).len() > 5000);
    }
    wait_until("those who left are forgotten", || node.info("connected_slaves") == 6);
    let mut files = std::fs::read_dir(node.dir()).unwrap();
    assert!(!files.any(|file| file.unwrap().file_name().to_string_lossy().starts_with("temp-")));
}

#[test]
fn a_replica_that_does_not_read_is_cut_at_its_limit_also_while_it_is_sent_everything() {
    let node = Server::node(&["--client-output-buffer-limit", "replica 2mb 0 0"]);
    let mut client = node.client();
    let value = vec![b'x'; 1_000_000];
    for already in [false, true] {
        let cut = || node.log().matches("closing a replica that reached client-output-buffer-limit").count();
        let before = cut();
        if already {
            // Its snapshot alone is more than a socket takes.
            for number in 0..40 {
                client.ask_words(&[b"SET", format!("large{number}").as_bytes(), &value]);
            }
        }
        let mut slow = node.client();
        slow.send(b"SYNC\r\n");
        wait_until("it is attached", || node.info("connected_slaves") == 1);
        wait_until("it is cut", || {
            client.ask_words(&[b"SET", &b"key"[..], &value]);
            node.info("connected_slaves") == 0
        });
        assert_eq!(cut(), before + 1);
        assert!(node.info("mem_replication_backlog") <= (1 << 20) + 65_536);
        while slow.read_more() > 0 {}
    }
}

#[test]
fn wait_counts_replicas_that_hold_what_the_client_wrote() {
    let (node, redis) = (Server::node(&[]), Server::redis(&[]));
    let mut client = node.client();
    assert_eq!(client.ask("WAIT 0 0").as_integer(), Some(0));
    assert_eq!(client.ask("WAIT 1 50").as_integer(), Some(0), "there is none");
    redis.follow(&node);
    redis.catch_up(&node);
    for number in 0..20 {
        client.ask(&format!("SET key {number}"));
        assert_eq!(client.ask("WAIT 1 0").as_integer(), Some(1));
        assert_eq!(redis.ask("GET key").as_str(), Some(number.to_string().as_str()));
    }
    // Asked for acknowledgements, the replica answers sooner than its second.
    let began = Instant::now();
    client.ask("SET key last");
    client.ask("WAIT 2 200");
    assert!(began.elapsed() >= Duration::from_millis(200));
    for request in ["MULTI", "INCR number", "WAIT 9 0"] {
        client.ask(request);
    }
    let replies = client.ask("EXEC");
    assert_eq!(replies.as_array().unwrap()[1].as_integer(), Some(1), "within a transaction it does not wait");
    for (request, error) in [
        ("WAIT x 0", "ERR value is not an integer or out of range"),
        ("WAIT 1 x", "ERR timeout is not an integer or out of range"),
        ("WAIT 1 -1", "ERR timeout is negative"),
    ] {
        assert_eq!(client.ask(request).as_error(), Some(error.as_bytes()));
    }
}

#[test]
fn a_client_in_wait_holds_up_nobody_but_itself_and_what_it_sent_behind() {
    let (node, redis) = (Server::node(&[]), Server::redis(&[]));
    redis.follow(&node);
    redis.catch_up(&node);
    signal("STOP", redis.pid());
    let mut waiting = node.client();
    waiting.send(b"SET a 1\r\nWAIT 1 0\r\nSET b 2\r\n");
    assert_eq!(waiting.reply().as_str(), Some("OK"));
    wait_until("it is blocked", || node.info("blocked_clients") == 1);
    assert_eq!(node.ask("EXISTS a b").as_integer(), Some(1), "what stands behind it has not run");
    // One that gives up is forgotten, one that is killed too.
    let mut leaving = node.client();
    leaving.send(b"SET c 1\r\nWAIT 1 0\r\nPING\r\n");
    wait_until("both are blocked", || node.info("blocked_clients") == 2);
    drop(leaving);
    wait_until("one has gone", || node.info("blocked_clients") == 1);
    signal("CONT", redis.pid());
    assert_eq!(waiting.reply().as_integer(), Some(1));
    assert_eq!(waiting.reply().as_str(), Some("OK"));
    assert_eq!(node.ask("GET b").as_str(), Some("2"));
}

#[test]
fn writes_are_refused_while_too_few_replicas_are_near() {
    let flags = ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "1"];
    let (node, redis) = (Server::node(&flags), Server::redis(&[]));
    let refused =
        || node.ask("SET key value").as_error().is_some_and(|text| text.starts_with(b"NOREPLICAS "));
    wait_until("there is none", refused);
    assert!(node.ask("GET key").is_null(), "reads are served");
    redis.follow(&node);
    wait_until("there is one", || !refused());
    assert_eq!(node.info("min_slaves_good_slaves"), 1);
    signal("STOP", redis.pid());
    wait_until("it is silent for too long", refused);
    signal("CONT", redis.pid());
    wait_until("it is back", || !refused());
}

#[test]
fn what_info_role_and_client_list_say_is_said_as_redis_says_it() {
    let (node, redis) = (Server::node(&[]), Server::redis(&[]));
    let replicas = [Server::redis(&[]), Server::redis(&[])];
    replicas[0].follow(&node);
    replicas[1].follow(&redis);
    let names = |server: &Server| -> Vec<String> {
        let text = server.ask("INFO replication");
        let fields =
            text.as_str().unwrap().lines().filter_map(|line| Some(line.split_once(':')?.0.to_owned()));
        fields.collect()
    };
    for (server, replica) in [&node, &redis].into_iter().zip(&replicas) {
        replica.catch_up(server);
        wait_until("it is online", || server.info_text().contains("state=online"));
    }
    assert_eq!(names(&node), names(&redis));
    let slave = |server: &Server| {
        let text = server.info_text();
        let line = text.lines().find(|line| line.starts_with("slave0:")).unwrap();
        line.split(['=', ',']).step_by(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(slave(&node), slave(&redis));
    let role = node.ask("ROLE");
    let [name, _, attached] = role.as_array().unwrap() else { panic!("{role:?}") };
    assert_eq!(name.as_str(), Some("master"));
    let one = attached.as_array().unwrap()[0].as_array().unwrap();
    assert_eq!(one[1].as_str(), Some(replicas[0].port().to_string().as_str()));
    for kind in ["replica", "slave"] {
        let list = node.ask(&format!("CLIENT LIST TYPE {kind}"));
        assert!(list.as_str().unwrap().contains(" flags=S "), "{list:?}");
    }
    assert!(!node.ask("CLIENT LIST TYPE normal").as_str().unwrap().contains(" flags=S "));
}

/// A test that is a primary: a redis-server follows it, and is sent this stream.
fn feed_redis(stream: &[u8]) -> (Server, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let redis = Server::redis(&[]);
    redis.follow_port(listener.local_addr().unwrap().port());
    let (accepted, _) = listener.accept().unwrap();
    let mut link = Client::of(accepted);
    loop {
        let asked = link.reply();
        let asked = asked.as_array().unwrap();
        match asked[0].as_str().unwrap().to_ascii_uppercase().as_str() {
            "PING" => link.send(b"+PONG\r\n"),
            "PSYNC" => break,
            _ => link.send(b"+OK\r\n"),
        }
    }
    let empty = b"REDIS0010\xff\0\0\0\0\0\0\0\0";
    link.send(format!("+FULLRESYNC {} 0\r\n${}\r\n", "a".repeat(40), empty.len()).as_bytes());
    link.send(empty);
    link.send(stream);
    (redis, link)
}

#[test]
fn a_marker_in_the_stream_is_nothing_to_redis_also_within_a_transaction() {
    let mut stream = Vec::new();
    for request in [
        "SELECT 0",
        "PING marker:1",
        "SET a 1",
        "MULTI",
        "PING marker:2",
        "INCR a",
        "PING marker:3",
        "EXEC",
        "PING m",
    ] {
        slotway_resp::write::request(&mut stream, &request.split(' ').collect::<Vec<_>>());
    }
    let (redis, mut link) = feed_redis(&stream);
    wait_until("it is applied", || redis.ask("GET a").as_str() == Some("2"));
    // Counted in the offset, and answered by nothing.
    loop {
        let said = link.reply();
        let said = said.as_array().unwrap();
        assert_eq!(said[0].as_str(), Some("REPLCONF"));
        if said[2].as_str() == Some(stream.len().to_string().as_str()) {
            break;
        }
    }
}

#[test]
fn a_node_that_stops_lets_its_replicas_have_everything_first() {
    let (mut node, redis) = (Server::node(&[]), Server::redis(&[]));
    redis.follow(&node);
    redis.catch_up(&node);
    let mut client = node.client();
    fill(&mut client, 5000);
    signal("TERM", node.pid());
    node.wait();
    assert_eq!(redis.ask("GET {tag}:4999").as_str(), Some("v"));
    assert_eq!(redis.ask("LINDEX large:list -1").as_str(), Some("element4998"));
}
