//! The log rewritten beside running clients.

use super::{simulated::Faults, *};
use crate::connection::tests::Peer;

const MANIFEST: &str = "appendonlydir/appendonly.aof.manifest";

fn manifest(disk: &Simulated) -> String {
    String::from_utf8(disk.content(MANIFEST).unwrap_or_default()).unwrap()
}

/// Sends a line and waits for its reply.
async fn say(hall: &Hall, peer: &mut Peer, line: &str, expected: &str) {
    peer.send(format!("{line}\r\n").as_bytes());
    hall.expect(peer, &format!("{expected}\r\n")).await;
}

async fn rewritten(hall: &Hall) {
    hall.until("the rewrite ends", || {
        let rewrites = &hall.thread.node.borrow().persistence.log.rewrites;
        !rewrites.is_running() && !rewrites.is_scheduled()
    })
    .await;
}

fn keys(disk: &Simulated) -> u64 {
    let mut keys = 0;
    in_hall_on(disk, &[], async |hall| keys = hall.thread.node.borrow().keys()).unwrap();
    keys
}

#[test]
fn a_rewrite_leaves_a_base_and_what_was_written_meanwhile() {
    let disk = Simulated::new();
    in_hall_on(&disk, &[], async |hall| {
        let [mut peer] = hall.peers().await;
        for n in 0..100 {
            say(hall, &mut peer, &format!("SET k {n}"), "+OK").await;
        }
        say(hall, &mut peer, "BGREWRITEAOF", "+Background append only file rewriting started").await;
        say(hall, &mut peer, "SET l 1", "+OK").await;
        rewritten(hall).await;
        say(hall, &mut peer, "SET m 1", "+OK").await;
        {
            let log = &hall.thread.node.borrow().persistence.log;
            assert!(!log.rewrites.has_failed() && log.rewrites.count == 1);
            assert!(log.facts().current_bytes < 400, "{:?}", log.facts());
        }
        // That is done beside, once the base stands in the manifest.
        let replaced = || disk.names().iter().any(|name| name.ends_with(".1.incr.aof"));
        hall.until("what the base replaces is deleted", || !replaced()).await;
    })
    .unwrap();
    hall_less_files(&disk, &["1.base.rdb", "2.incr.aof"]);
    assert_eq!(keys(&disk), 3);
}

/// The files of the log, besides the manifest.
fn hall_less_files(disk: &Simulated, expected: &[&str]) {
    let found: Vec<String> = disk.names().iter().filter(|name| *name != MANIFEST).cloned().collect();
    let expected: Vec<String> =
        expected.iter().map(|name| format!("appendonlydir/appendonly.aof.{name}")).collect();
    assert_eq!(found, expected, "{}", manifest(disk));
}

#[test]
fn history_is_kept_if_asked_for() {
    let disk = Simulated::new();
    in_hall_on(&disk, &[("aof-disable-auto-gc", "yes")], async |hall| {
        let [mut peer] = hall.peers().await;
        say(hall, &mut peer, "BGREWRITEAOF", "+Background append only file rewriting started").await;
        rewritten(hall).await;
    })
    .unwrap();
    hall_less_files(&disk, &["1.base.rdb", "1.incr.aof", "2.incr.aof"]);
    assert!(manifest(&disk).contains("file appendonly.aof.1.incr.aof seq 1 type h"));
}

#[test]
fn a_log_that_has_grown_is_rewritten_by_itself() {
    let disk = Simulated::new();
    let settings = [("auto-aof-rewrite-min-size", "10000"), ("auto-aof-rewrite-percentage", "100")];
    in_hall_on(&disk, &settings, async |hall| {
        let [mut peer] = hall.peers().await;
        for n in 0..1000 {
            say(hall, &mut peer, &format!("SET k {n}"), "+OK").await;
        }
        let count = || hall.thread.node.borrow().persistence.log.rewrites.count;
        hall.until("it is due", || count() >= 1).await;
        rewritten(hall).await;
    })
    .unwrap();
    assert!(disk.names().iter().any(|name| name.ends_with(".1.base.rdb")), "{:?}", disk.names());
    assert_eq!(keys(&disk), 1);
}

#[test]
fn a_log_is_turned_on_and_off_while_the_node_runs() {
    let disk = Simulated::new();
    in_hall_on(&disk, &[("appendonly", "no"), ("appendfsync", "always")], async |hall| {
        let [mut peer] = hall.peers().await;
        say(hall, &mut peer, "SET before 1", "+OK").await;
        say(hall, &mut peer, "CONFIG SET appendonly yes", "+OK").await;
        say(hall, &mut peer, "SET meanwhile 1", "+OK").await;
        rewritten(hall).await;
        say(hall, &mut peer, "SET behind 1", "+OK").await;
        assert!(!hall.thread.node.borrow().gate.is_open());
        let found = disk.after_crash(|_| 0);
        assert!(manifest(&found).contains("type b") && manifest(&found).contains("type i"));
        say(hall, &mut peer, "CONFIG SET appendonly no", "+OK").await;
        say(hall, &mut peer, "SET unlogged 1", "+OK").await;
        hall.until("the last is written", || hall.thread.node.borrow().gate.is_open()).await;
        say(hall, &mut peer, "CONFIG SET appendonly yes", "+OK").await;
        rewritten(hall).await;
        say(hall, &mut peer, "SET last 1", "+OK").await;
    })
    .unwrap();
    hall_less_files(&disk, &["2.base.rdb", "2.incr.aof"]);
    assert_eq!(keys(&disk), 5);
}

#[test]
fn a_rewrite_that_fails_leaves_the_log_as_it_was_and_a_log_without_base_tries_again() {
    let disk = Simulated::new();
    in_hall_on(&disk, &[], async |hall| {
        let [mut peer] = hall.peers().await;
        say(hall, &mut peer, "SET a 1", "+OK").await;
        disk.set(Faults { renames_fail: true, ..Faults::default() });
        say(hall, &mut peer, "BGREWRITEAOF", "+Background append only file rewriting started").await;
        rewritten(hall).await;
        assert!(hall.thread.node.borrow().persistence.log.rewrites.has_failed());
        say(hall, &mut peer, "SET b 1", "+OK").await;
        disk.set(Faults::default());
        say(hall, &mut peer, "BGREWRITEAOF", "+Background append only file rewriting started").await;
        rewritten(hall).await;
        assert!(!hall.thread.node.borrow().persistence.log.rewrites.has_failed());
        say(hall, &mut peer, "CONFIG SET appendonly no", "+OK").await;
        disk.set(Faults { renames_fail: true, ..Faults::default() });
        say(hall, &mut peer, "CONFIG SET appendonly yes", "+OK").await;
        let failures = || hall.thread.node.borrow().persistence.log.rewrites.failures_in_a_row;
        hall.until("it is tried again", || failures() >= 1).await;
        disk.set(Faults::default());
        rewritten(hall).await;
        say(hall, &mut peer, "SET c 1", "+OK").await;
        assert!(!hall.thread.node.borrow().persistence.log.rewrites.has_failed());
    })
    .unwrap();
    assert_eq!(keys(&disk), 3);
}

#[test]
fn a_base_can_be_written_without_a_log() {
    let disk = Simulated::new();
    in_hall_on(&disk, &[("appendonly", "no")], async |hall| {
        let [mut peer] = hall.peers().await;
        say(hall, &mut peer, "SET a 1", "+OK").await;
        say(hall, &mut peer, "BGREWRITEAOF", "+Background append only file rewriting started").await;
        rewritten(hall).await;
    })
    .unwrap();
    assert_eq!(manifest(&disk), "file appendonly.aof.1.base.rdb seq 1 type b\n");
    assert_eq!(keys(&disk), 1);
}

/// Something of the base that is under way is on the disk, whose syncs are stalled.
async fn base_begun(hall: &Hall, disk: &Simulated) {
    hall.until("the base is begun", || disk.names().iter().any(|name| name.contains("temp"))).await;
}

#[test]
fn a_log_that_is_turned_on_while_a_base_is_written_without_one_begins_with_its_own() {
    let disk = Simulated::new();
    in_hall_on(&disk, &[("appendonly", "no")], async |hall| {
        let [mut peer] = hall.peers().await;
        say(hall, &mut peer, "SET a 1", "+OK").await;
        disk.stall(true);
        say(hall, &mut peer, "BGREWRITEAOF", "+Background append only file rewriting started").await;
        base_begun(hall, &disk).await;
        say(hall, &mut peer, "CONFIG SET appendonly yes", "+OK").await;
        say(hall, &mut peer, "SET b 1", "+OK").await;
        disk.stall(false);
        rewritten(hall).await;
        assert!(!hall.thread.node.borrow().persistence.log.is_starting());
        say(hall, &mut peer, "SET c 1", "+OK").await;
    })
    .unwrap();
    assert!(manifest(&disk).contains("type i"), "{}", manifest(&disk));
    assert_eq!(keys(&disk), 3);
}

#[test]
fn a_log_that_is_turned_off_and_on_while_its_first_base_is_written_begins_anew() {
    let disk = Simulated::new();
    in_hall_on(&disk, &[("appendonly", "no")], async |hall| {
        let [mut peer] = hall.peers().await;
        say(hall, &mut peer, "SET a 1", "+OK").await;
        disk.stall(true);
        say(hall, &mut peer, "CONFIG SET appendonly yes", "+OK").await;
        hall.until("it is rewritten", || hall.thread.node.borrow().persistence.log.rewrites.is_running())
            .await;
        say(hall, &mut peer, "CONFIG SET appendonly no", "+OK").await;
        say(hall, &mut peer, "SET b 1", "+OK").await;
        say(hall, &mut peer, "CONFIG SET appendonly yes", "+OK").await;
        say(hall, &mut peer, "SET c 1", "+OK").await;
        disk.stall(false);
        rewritten(hall).await;
        say(hall, &mut peer, "SET d 1", "+OK").await;
    })
    .unwrap();
    assert_eq!(keys(&disk), 4);
}

#[test]
fn a_node_whose_log_has_no_base_yet_does_not_end_unless_it_must() {
    let disk = Simulated::new();
    in_hall_on(&disk, &[("appendonly", "no")], async |hall| {
        let [mut peer] = hall.peers().await;
        say(hall, &mut peer, "SET a 1", "+OK").await;
        disk.stall(true);
        say(hall, &mut peer, "CONFIG SET appendonly yes", "+OK").await;
        say(hall, &mut peer, "SHUTDOWN NOSAVE", "-ERR Errors trying to SHUTDOWN. Check logs.").await;
        disk.stall(false);
        rewritten(hall).await;
        peer.send(b"SET b 1\r\nSHUTDOWN NOSAVE\r\n");
        hall.expect_end(&mut peer).await;
    })
    .unwrap();
    assert_eq!(keys(&disk), 2);
}

#[test]
fn when_who_asked_for_the_end_is_left_what_was_acknowledged_is_on_the_disk() {
    let disk = Simulated::new();
    in_hall_on(&disk, &[("appendfsync", "no")], async |hall| {
        let [mut peer] = hall.peers().await;
        for n in 0..100 {
            say(hall, &mut peer, &format!("SET k{n} 1"), "+OK").await;
        }
        peer.send(b"SHUTDOWN NOSAVE\r\n");
        hall.expect_end(&mut peer).await;
        let found = disk.after_crash(|_| 0);
        let log = found.content("appendonlydir/appendonly.aof.1.incr.aof").unwrap();
        assert!(log.ends_with(b"$3\r\nk99\r\n$1\r\n1\r\n"));
    })
    .unwrap();
}

#[test]
fn a_log_in_doubt_is_rewritten_until_that_succeeds_and_acknowledges_nothing_before() {
    let disk = Simulated::new();
    in_hall_on(&disk, &[], async |hall| {
        let [mut peer, mut writer] = hall.peers().await;
        say(hall, &mut peer, "SET a 1", "+OK").await;
        let line = Arc::clone(hall.thread.node.borrow().persistence.log.line().unwrap());
        hall.until("it is written", || line.bytes() == 0).await;
        disk.set(Faults { syncs_fail: true, ..Faults::default() });
        say(hall, &mut peer, "CONFIG SET appendfsync always", "+OK").await;
        hall.until("its sync fails", || line.progress().doubts.load(Relaxed) > 0).await;
        let failures = || hall.thread.node.borrow().persistence.log.rewrites.failures_in_a_row;
        hall.until("a rewrite fails", || failures() >= 1).await;
        disk.set(Faults { renames_fail: true, ..Faults::default() });
        hall.until("it can be written again", || hall.thread.node.borrow().condition.is_sound()).await;
        writer.send(b"SET b 1\r\n");
        hall.until("it is synced", || {
            line.progress().synced() == hall.thread.node.borrow().keyspace.feed.position()
        })
        .await;
        for _ in 0..100 {
            hall.turn().await;
        }
        writer.receive();
        assert!(writer.received.is_empty(), "it stands behind what may be lacking");
        disk.set(Faults::default());
        // As an operator: earlier failures do not delay it.
        hall.thread.node.borrow_mut().persistence.log.rewrites.ask();
        hall.expect(&mut writer, "+OK\r\n").await;
        assert!(manifest(&disk).contains("type b"));
    })
    .unwrap();
}

/// The writer hangs in the sync before its new file.
#[test]
fn a_rewrite_that_waits_for_its_new_file_keeps_no_more_old_values_than_it_may() {
    let disk = Simulated::new();
    in_hall_on(&disk, &[], async |hall| {
        let [mut peer] = hall.peers().await;
        for n in 0..200 {
            say(hall, &mut peer, &format!("SET k:{n} {}", "x".repeat(1000)), "+OK").await;
        }
        hall.thread.node.borrow_mut().settings.record(Key::SnapshotMemoryMax, "10000").unwrap();
        disk.stall(true);
        say(hall, &mut peer, "BGREWRITEAOF", "+Background append only file rewriting started").await;
        hall.until("it has begun", || hall.thread.node.borrow().snapshots.running == 1).await;
        for n in 0..200 {
            peer.send(format!("SET k:{n} y\r\n").as_bytes());
        }
        hall.until("writes wait", || hall.thread.node.borrow().is_holding()).await;
        disk.stall(false);
        rewritten(hall).await;
        assert!(!hall.thread.node.borrow().is_holding());
    })
    .unwrap();
}
