//! A primary is killed or stopped under a client that writes: another leads, nothing acknowledged is lost, the old one joins again.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

#[path = "failover/campaign.rs"]
mod campaign;

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::Value;
use slotway_tests::cluster::{PATIENCE, UpCluster, ask, signal, wait_until};

/// One connection that writes one key after the other and notes what was acknowledged.
struct Writer {
    stream: BufReader<TcpStream>,
    next: u64,
    acknowledged: BTreeSet<u64>,
    /// Of unknown outcome.
    indeterminate: u64,
    /// The longest time between two acknowledgements.
    gap: Duration,
    last: Instant,
}

impl Writer {
    fn connect(port: u16) -> Writer {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Writer {
            stream: BufReader::new(stream),
            next: 0,
            acknowledged: BTreeSet::new(),
            indeterminate: 0,
            gap: Duration::ZERO,
            last: Instant::now(),
        }
    }

    fn write(&mut self) {
        let number = self.next;
        self.next += 1;
        write!(self.stream.get_mut(), "SET key:{number} {number}\r\n").unwrap();
        let mut answer = String::new();
        self.stream.read_line(&mut answer).unwrap();
        match answer.trim_end() {
            "+OK" => {
                self.acknowledged.insert(number);
                self.gap = self.gap.max(self.last.elapsed());
                self.last = Instant::now();
            }
            error if error.starts_with("-INDETERMINATE") => self.indeterminate += 1,
            other => panic!("write {number}: {other}"),
        }
    }

    /// Writes until so many more are acknowledged.
    fn go_on(&mut self, writes: usize) {
        let wanted = self.acknowledged.len() + writes;
        while self.acknowledged.len() < wanted {
            self.write();
        }
    }
}

fn shard(cluster: &UpCluster) -> Value {
    cluster.get_json("/v1/shards")["shards"][0].clone()
}

fn is_whole(cluster: &UpCluster) -> bool {
    cluster.get_json("/v1/cluster")["state"] == "ok"
        && shard(cluster)["sync_set"].as_array().unwrap().len() == 2
}

/// Everything that was acknowledged is there.
fn check_nothing_is_lost(cluster: &UpCluster, writer: &Writer) {
    for number in &writer.acknowledged {
        let found = ask(cluster.port(), &format!("STRLEN key:{number}")).unwrap();
        assert_eq!(found, format!(":{}", number.to_string().len()), "key:{number}");
    }
}

/// A cluster that writes go to, its shard as it was, and its primary.
fn whole(cluster: &UpCluster) -> (Value, String) {
    wait_until("both replicas are in the sync set", || is_whole(cluster));
    let before = shard(cluster);
    let primary = before["primary"].as_str().unwrap().to_owned();
    (before, primary)
}

fn check_another_leads(cluster: &UpCluster, writer: &Writer, before: &Value) {
    let after = shard(cluster);
    assert!(
        after["epoch"].as_u64() > before["epoch"].as_u64() && after["primary"] != before["primary"],
        "{after}"
    );
    assert!(writer.indeterminate <= 1, "one was in flight at most: {}", writer.indeterminate);
    println!("longest time between two acknowledged writes: {:?}", writer.gap);
}

#[test]
fn a_killed_primary_is_replaced_and_nothing_acknowledged_is_lost() {
    let mut cluster = UpCluster::start(&["--shards", "1", "--replicas", "2"]);
    let (before, primary) = whole(&cluster);
    let mut writer = Writer::connect(cluster.port());
    writer.go_on(300);
    let killed = cluster.kill(&primary);
    writer.go_on(300);
    check_another_leads(&cluster, &writer, &before);

    cluster.wait_for("the killed node runs again", |file| {
        let row = UpCluster::row(file, &primary)?;
        (row["state"] == "up" && row["pid"] != killed).then_some(())
    });
    wait_until("it is in the sync set again", || is_whole(&cluster));
    writer.go_on(100);
    check_nothing_is_lost(&cluster, &writer);
}

#[test]
fn a_primary_that_stands_still_is_replaced_and_follows_when_it_wakes() {
    let cluster = UpCluster::start(&["--shards", "1", "--replicas", "2"]);
    let (before, primary) = whole(&cluster);
    let mut writer = Writer::connect(cluster.port());
    writer.go_on(300);
    let row = UpCluster::row(&cluster.file().unwrap(), &primary).unwrap();
    let pid = u32::try_from(row["pid"].as_u64().unwrap()).unwrap();
    signal("STOP", pid);
    writer.go_on(300);
    check_another_leads(&cluster, &writer, &before);
    signal("CONT", pid);
    wait_until("it is in the sync set again", || is_whole(&cluster));
    writer.go_on(100);
    check_nothing_is_lost(&cluster, &writer);
}
