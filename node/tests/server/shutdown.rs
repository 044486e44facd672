//! How a server ends that has replicas which lag: the same conversation with redis-server.

use std::time::{Duration, Instant};

use crate::support::{Client, PATIENCE, Redis, Socket, TestNode, bulk, error, ok, text, wait_until};

/// What a line of INFO says; None: there is none.
fn info<S: Socket>(client: &mut Client<S>, field: &str) -> Option<String> {
    let info = text(&client.say("INFO everything"));
    let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.map(str::to_owned)
}

/// A connection that follows the server and says how far it is only when it is asked to.
struct Replica<S>(Client<S>);

impl<S: Socket> Replica<S> {
    fn attach(connect: &impl Fn() -> Client<S>) -> Replica<S> {
        let mut replica = Replica(connect());
        replica.0.send("PSYNC ? -1\r\n");
        let mut client = connect();
        wait_until("it is online", || {
            info(&mut client, "slave0").is_some_and(|line| line.contains("state=online"))
        });
        replica.hold_all(&mut client);
        replica
    }

    fn hold_all(&mut self, client: &mut Client<S>) {
        let offset = info(client, "master_repl_offset").unwrap();
        self.0.send(format!("REPLCONF ACK {offset}\r\n"));
        wait_until("its word is heard", || {
            info(client, "slave0").is_some_and(|line| line.contains(&format!("offset={offset},")))
        });
    }
}

fn wait_for_end_to_begin<S: Socket>(client: &mut Client<S>) {
    wait_until("it is about to end", || info(client, "shutdown_in_milliseconds").is_some());
}

fn check_waiting<S: Socket>(connect: impl Fn() -> Client<S>) {
    let refused = error("ERR Errors trying to SHUTDOWN. Check logs.");
    let (mut asks, mut writer, mut other) = (connect(), connect(), connect());
    let mut replica = Replica::attach(&connect);
    assert_eq!(writer.say("SET k v"), ok());
    asks.send("SHUTDOWN NOSAVE\r\n");
    wait_for_end_to_begin(&mut other);
    writer.send("SET k w\r\n");
    assert_eq!(other.say("GET k"), bulk("v"), "readers are served, and writers wait");
    let left: u64 = info(&mut other, "shutdown_in_milliseconds").unwrap().parse().unwrap();
    assert!(left <= 1_000_000 && left > 900_000, "{left}");
    assert_eq!(other.say("SHUTDOWN ABORT"), ok());
    assert_eq!(asks.reply(), refused);
    assert_eq!(writer.reply(), ok());
    assert_eq!(other.say("SHUTDOWN ABORT"), error("ERR No shutdown in progress."));
    // Who asks a second time waits, too.
    let mut second = connect();
    asks.send("SHUTDOWN NOSAVE\r\n");
    wait_for_end_to_begin(&mut other);
    second.send("SHUTDOWN NOSAVE NOW\r\n");
    assert_eq!(other.say("CLIENT UNPAUSE"), ok());
    writer.send("SET k x\r\n");
    assert_eq!(other.say("GET k"), bulk("w"), "an operator's word does not end that pause");
    let offset = info(&mut other, "master_repl_offset").unwrap();
    replica.0.send(format!("REPLCONF ACK {offset}\r\n"));
    assert!(asks.until_closed().is_empty() && second.until_closed().is_empty());
}

fn check_now<S: Socket>(connect: impl Fn() -> Client<S>) {
    let (mut asks, mut writer) = (connect(), connect());
    let _replica = Replica::attach(&connect);
    assert_eq!(writer.say("SET k v"), ok());
    let began = Instant::now();
    asks.send("SHUTDOWN NOSAVE NOW\r\n");
    assert!(asks.until_closed().is_empty());
    assert!(began.elapsed() < PATIENCE);
}

fn check_timeout<S: Socket>(connect: impl Fn() -> Client<S>) {
    let (mut asks, mut writer) = (connect(), connect());
    let _replica = Replica::attach(&connect);
    assert_eq!(writer.say("SET k v"), ok());
    let began = Instant::now();
    asks.send("SHUTDOWN NOSAVE\r\n");
    assert!(asks.until_closed().is_empty());
    assert!(began.elapsed() > Duration::from_millis(900), "{:?}", began.elapsed());
}

const LONG: &[(&str, &str)] = &[("shutdown-timeout", "1000"), ("save", "")];
const SHORT: &[(&str, &str)] = &[("shutdown-timeout", "1"), ("save", "")];

#[test]
fn an_end_waits_for_replicas_that_lag_and_may_be_aborted_meanwhile() {
    let redis = Redis::start(&["--shutdown-timeout", "1000", "--repl-diskless-sync", "no"]);
    check_waiting(|| redis.client());
    let mut node = TestNode::start(LONG);
    check_waiting(|| node.client());
    node.running.take().unwrap().join().unwrap();
}

#[test]
fn an_end_that_is_wanted_now_waits_for_no_replica() {
    let redis = Redis::start(&["--shutdown-timeout", "1000", "--repl-diskless-sync", "no"]);
    check_now(|| redis.client());
    let mut node = TestNode::start(LONG);
    check_now(|| node.client());
    node.running.take().unwrap().join().unwrap();
}

#[test]
fn a_replica_that_never_catches_up_delays_the_end_for_its_time_only() {
    let redis = Redis::start(&["--shutdown-timeout", "1", "--repl-diskless-sync", "no"]);
    check_timeout(|| redis.client());
    let mut node = TestNode::start(SHORT);
    check_timeout(|| node.client());
    node.running.take().unwrap().join().unwrap();
}
