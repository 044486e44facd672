//! Replies that wait for the log: what is told only once it is on the disk, and what a failing disk tells.

use std::net::Shutdown;

use super::{
    simulated::{Faults, Simulated},
    *,
};
use crate::client::Fate;

const ALWAYS: &[(&str, &str)] = &[("appendfsync", "always")];
const FILE: &str = "appendonlydir/appendonly.aof.1.incr.aof";

fn always(disk: &Simulated, test: impl AsyncFnOnce(&mut Hall)) {
    in_hall_on(disk, ALWAYS, test).unwrap();
}

fn content(disk: &Simulated) -> String {
    String::from_utf8(disk.content(FILE).unwrap_or_default()).unwrap()
}

/// Lets everything happen that can.
async fn settle(hall: &Hall) {
    for _ in 0..200 {
        hall.turn().await;
    }
}

#[test]
fn a_write_is_acknowledged_when_it_is_on_the_disk_and_not_before() {
    let disk = Simulated::new();
    always(&disk, async |hall| {
        let [mut writer] = hall.peers().await;
        disk.stall(true);
        writer.send(b"SET k v\r\n");
        hall.until("it is executed", || hall.thread.node.borrow().keys() == 1).await;
        settle(hall).await;
        writer.receive();
        assert!(writer.received.is_empty() && writer.client.output_bytes.get() == 5);
        disk.stall(false);
        hall.expect(&mut writer, "+OK\r\n").await;
        assert!(content(&disk).ends_with("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"));
        assert_eq!(hall.thread.node.borrow().gate.waiting(), 0);
    });
}

#[test]
fn that_a_watched_key_has_changed_is_not_told_before_the_change_is_on_the_disk() {
    let disk = Simulated::new();
    always(&disk, async |hall| {
        let [mut writer, mut watcher] = hall.peers().await;
        watcher.send(b"WATCH k\r\nMULTI\r\nPING\r\n");
        hall.expect(&mut watcher, "+OK\r\n+OK\r\n+QUEUED\r\n").await;
        disk.stall(true);
        writer.send(b"SET k v\r\n");
        hall.until("it is executed", || hall.thread.node.borrow().keys() == 1).await;
        watcher.send(b"EXEC\r\n");
        settle(hall).await;
        watcher.receive();
        assert!(watcher.received.is_empty());
        disk.stall(false);
        hall.expect(&mut watcher, "*-1\r\n").await;
    });
}

#[test]
fn nobody_reads_what_is_not_on_the_disk_and_what_touches_no_data_is_answered_at_once() {
    let disk = Simulated::new();
    always(&disk, async |hall| {
        let [mut writer, mut reader, mut other] = hall.peers().await;
        disk.stall(true);
        writer.send(b"SET k v\r\n");
        hall.until("it is executed", || hall.thread.node.borrow().keys() == 1).await;
        reader.send(b"GET k\r\nPING\r\n");
        other.send(b"PING\r\nCONFIG GET appendfsync\r\n");
        hall.expect(&mut other, "+PONG\r\n*2\r\n$11\r\nappendfsync\r\n$6\r\nalways\r\n").await;
        settle(hall).await;
        reader.receive();
        assert!(reader.received.is_empty());
        // Behind what waits, everything does.
        reader.send(b"ECHO x\r\n");
        settle(hall).await;
        reader.receive();
        assert!(reader.received.is_empty());
        disk.stall(false);
        hall.expect(&mut reader, "$1\r\nv\r\n+PONG\r\n$1\r\nx\r\n").await;
        hall.expect(&mut writer, "+OK\r\n").await;
        reader.send(b"GET k\r\n");
        hall.expect(&mut reader, "$1\r\nv\r\n").await;
    });
}

#[test]
fn what_many_clients_have_written_meanwhile_is_synced_once() {
    let disk = Simulated::new();
    always(&disk, async |hall| {
        let mut peers = hall.peers::<50>().await;
        let [mut first] = hall.peers().await;
        let before = disk.syncs();
        disk.stall(true);
        first.send(b"INCR first\r\n");
        hall.until("the disk is at work", || content(&disk).contains("first")).await;
        peers.iter_mut().for_each(|peer| peer.send(b"INCR n\r\n"));
        let changes = || hall.thread.node.borrow().keyspace.stats.changes;
        hall.until("all are executed", || changes() == 51).await;
        disk.stall(false);
        for (peer, expected) in peers.iter_mut().zip(1..) {
            hall.expect(peer, &format!(":{expected}\r\n")).await;
        }
        hall.expect(&mut first, ":1\r\n").await;
        assert_eq!(disk.syncs() - before, 2, "that of the first, and one for fifty");
    });
}

#[test]
fn a_pipeline_is_executed_on_while_its_first_replies_wait() {
    let disk = Simulated::new();
    always(&disk, async |hall| {
        let [mut writer] = hall.peers().await;
        disk.stall(true);
        for n in 1..=20 {
            writer.send(b"INCR n\r\n");
            let changes = || hall.thread.node.borrow().keyspace.stats.changes;
            hall.until("it is executed", || changes() == n).await;
        }
        disk.stall(false);
        let expected: String = (1..=20).map(|n| format!(":{n}\r\n")).collect();
        hall.expect(&mut writer, &expected).await;
    });
}

#[test]
fn who_quits_or_sends_no_more_gets_what_waits_and_who_is_killed_does_not() {
    let disk = Simulated::new();
    always(&disk, async |hall| {
        let [mut quits, mut half, mut killed, mut boss, mut broken] = hall.peers().await;
        disk.stall(true);
        quits.send(b"SET a 1\r\nQUIT\r\n");
        half.send(b"SET b 1\r\n");
        killed.send(b"SET c 1\r\n");
        broken.send(b"SET d 1\r\n*x\r\n");
        hall.until("all are executed", || hall.thread.node.borrow().keys() == 4).await;
        half.stream.shutdown(Shutdown::Write).unwrap();
        boss.send(format!("CLIENT KILL ID {}\r\n", killed.client.id.0).as_bytes());
        hall.expect(&mut boss, ":1\r\n").await;
        hall.expect_end(&mut killed).await;
        hall.until("its end is noticed", || half.client.fate.get() == Fate::CloseAfterReply).await;
        disk.stall(false);
        for (peer, expected) in [
            (&mut quits, "+OK\r\n+OK\r\n"),
            (&mut half, "+OK\r\n"),
            (&mut broken, "+OK\r\n-ERR Protocol error: invalid multibulk length\r\n"),
        ] {
            hall.expect_end(peer).await;
            assert_eq!(String::from_utf8_lossy(&peer.received), expected);
        }
        assert!(killed.received.is_empty());
        hall.until("they are gone", || hall.thread.node.borrow().clients.len() == 1).await;
    });
}

#[test]
fn replies_that_wait_count_against_the_output_limit() {
    let disk = Simulated::new();
    let limits = [ALWAYS[0], ("client-output-buffer-limit", "normal 100 0 0")];
    in_hall_on(&disk, &limits, async |hall| {
        let [mut writer] = hall.peers().await;
        disk.stall(true);
        writer.send(&b"INCR n\r\n".repeat(50));
        hall.expect_end(&mut writer).await;
        assert!(writer.received.is_empty());
        disk.stall(false);
    })
    .unwrap();
}

#[test]
fn without_always_nothing_waits_and_the_change_of_it_lets_go_who_does() {
    let disk = Simulated::new();
    always(&disk, async |hall| {
        let [mut writer, mut boss] = hall.peers().await;
        disk.stall(true);
        writer.send(b"SET k v\r\n");
        hall.until("it is executed", || hall.thread.node.borrow().keys() == 1).await;
        boss.send(b"CONFIG SET appendfsync everysec\r\n");
        hall.expect(&mut boss, "+OK\r\n").await;
        hall.expect(&mut writer, "+OK\r\n").await;
        writer.send(b"SET k w\r\n");
        hall.expect(&mut writer, "+OK\r\n").await;
        boss.send(b"CONFIG SET appendfsync always\r\n");
        hall.expect(&mut boss, "+OK\r\n").await;
        writer.send(b"SET k x\r\n");
        settle(hall).await;
        writer.receive();
        assert!(writer.received.is_empty());
        disk.stall(false);
        hall.expect(&mut writer, "+OK\r\n").await;
    });
}

#[test]
fn a_full_disk_refuses_writes_and_keeps_what_it_has_not_acknowledged_until_there_is_room() {
    let disk = Simulated::new();
    always(&disk, async |hall| {
        let [mut writer, mut other] = hall.peers().await;
        other.send(b"SET safe 1\r\n");
        hall.expect(&mut other, "+OK\r\n").await;
        disk.set(Faults { room_bytes: Some(10), ..Faults::default() });
        writer.send(b"SET k v\r\n");
        let is_told = || !hall.thread.node.borrow().condition.is_sound();
        hall.until("the node knows", is_told).await;
        other.send(b"SET l w\r\nPING\r\nINFO persistence\r\n");
        let misconf = "-MISCONF Errors writing to the AOF file: No space left on device\r\n";
        hall.until("it is told", || {
            other.receive();
            other.received.len() > 2 * misconf.len() + 500
        })
        .await;
        let told = String::from_utf8_lossy(&other.received).into_owned();
        assert!(told.starts_with(&misconf.repeat(2)) && told.contains("aof_last_write_status:err"), "{told}");
        other.received.clear();
        writer.receive();
        assert!(writer.received.is_empty(), "neither acknowledged nor refused: it may yet be written");
        assert!(content(&disk).ends_with("safe\r\n$1\r\n1\r\n"), "whole units only");
        disk.set(Faults::default());
        hall.expect(&mut writer, "+OK\r\n").await;
        hall.until("writes are taken again", || !is_told()).await;
        other.send(b"SET l w\r\n");
        hall.expect(&mut other, "+OK\r\n").await;
    });
    let found = disk.after_crash(|_| 0);
    always(&found, async |hall| {
        assert_eq!(hall.thread.node.borrow().keys(), 3);
    });
}

#[test]
fn when_the_line_is_full_writers_wait_and_readers_are_served() {
    let disk = Simulated::new();
    in_hall_on(&disk, &[("appendfsync", "no"), ("save", "")], async |hall| {
        let [mut writer, mut reader] = hall.peers().await;
        disk.stall_writes_too();
        disk.stall(true);
        let line = Arc::clone(hall.thread.node.borrow().persistence.log.line().unwrap());
        let value = "x".repeat(1024 * 1024);
        let mut sent = 0;
        while line.bytes() <= QUEUE_BYTES_MAX {
            writer
                .send_all(
                    hall,
                    format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n{value}\r\n", value.len()).as_bytes(),
                )
                .await;
            hall.expect(&mut writer, "+OK\r\n").await;
            sent += 1;
            assert!(sent < 200);
        }
        writer.send(b"SET last 1\r\n");
        hall.until("it waits", || writer.client.is_paused.get()).await;
        reader.send(b"GET last\r\nSTRLEN k\r\n");
        hall.expect(&mut reader, &format!("$-1\r\n:{}\r\n", value.len())).await;
        disk.stall(false);
        hall.expect(&mut writer, "+OK\r\n").await;
        assert!(!hall.thread.node.borrow().is_holding());
    })
    .unwrap();
}

#[test]
fn a_log_that_is_turned_off_acknowledges_what_it_has_still_written_and_nothing_else() {
    for fails in [false, true] {
        let disk = Simulated::new();
        always(&disk, async |hall| {
            let [mut writer, mut boss] = hall.peers().await;
            disk.stall(true);
            writer.send(b"SET k v\r\n");
            hall.until("it is executed", || hall.thread.node.borrow().keys() == 1).await;
            boss.send(b"CONFIG SET appendonly no\r\n");
            hall.expect(&mut boss, "+OK\r\n").await;
            settle(hall).await;
            writer.receive();
            assert!(writer.received.is_empty());
            disk.set(Faults { syncs_fail: fails, ..Faults::default() });
            disk.stall(false);
            if fails {
                hall.expect_end(&mut writer).await;
                assert!(writer.received.is_empty());
            } else {
                hall.expect(&mut writer, "+OK\r\n").await;
                assert!(disk.after_crash(|_| 0).content(FILE).unwrap().ends_with(b"$1\r\nv\r\n"));
            }
            boss.send(b"SET l w\r\n");
            hall.expect(&mut boss, "+OK\r\n").await;
            assert!(hall.thread.node.borrow().gate.is_open());
        });
    }
}

#[test]
fn a_disk_that_hangs_delays_an_end_for_its_time_and_nobody_else_at_all() {
    let disk = Simulated::new();
    in_hall_on(&disk, &[("shutdown-timeout", "1")], async |hall| {
        let [mut asks, mut other] = hall.peers().await;
        disk.stall(true);
        other.send(b"SET k v\r\n");
        hall.expect(&mut other, "+OK\r\n").await;
        asks.send(b"SHUTDOWN NOSAVE\r\n");
        hall.until("writes wait", || hall.thread.node.borrow().is_holding()).await;
        other.send(b"GET k\r\n");
        hall.expect(&mut other, "$1\r\nv\r\n").await;
        assert!(asks.received.is_empty());
        hall.expect(&mut asks, "-ERR Errors trying to SHUTDOWN. Check logs.\r\n").await;
        assert!(!hall.thread.node.borrow().is_holding());
        // It may be aborted, too, and the disk is not asked in vain when it answers again.
        asks.send(b"SHUTDOWN NOSAVE\r\n");
        hall.until("writes wait", || hall.thread.node.borrow().is_holding()).await;
        other.send(b"SHUTDOWN ABORT\r\nSET k w\r\n");
        hall.expect(&mut other, "+OK\r\n+OK\r\n").await;
        hall.expect(&mut asks, "-ERR Errors trying to SHUTDOWN. Check logs.\r\n").await;
        asks.send(b"SHUTDOWN NOSAVE\r\n");
        hall.until("writes wait", || hall.thread.node.borrow().is_holding()).await;
        disk.stall(false);
        hall.expect_end(&mut asks).await;
        assert!(asks.received.is_empty() && content(&disk).ends_with("$1\r\nw\r\n"));
    })
    .unwrap();
}

#[test]
fn a_node_that_is_to_end_whatever_happens_ends_although_the_disk_hangs() {
    let disk = Simulated::new();
    in_hall_on(&disk, &[("shutdown-timeout", "1")], async |hall| {
        let [mut asks] = hall.peers().await;
        disk.stall(true);
        asks.send(b"SET k v\r\nSHUTDOWN NOSAVE FORCE\r\n");
        hall.expect_end(&mut asks).await;
        assert_eq!(String::from_utf8_lossy(&asks.received), "+OK\r\n");
        disk.stall(false);
    })
    .unwrap();
}

#[test]
fn a_disk_that_is_slow_to_take_or_to_keep_the_log_is_seen_in_latency() {
    let (disk, all) = (Simulated::new(), [("appendfsync", "always"), ("latency-monitor-threshold", "1")]);
    in_hall_on(&disk, &all, async |hall| {
        let [mut writer] = hall.peers().await;
        disk.stall(true);
        writer.send(b"SET k v\r\n");
        hall.until("it is executed", || hall.thread.node.borrow().keys() == 1).await;
        let asked = node::instant();
        hall.until("that is long", || asked.elapsed() > Duration::from_millis(20)).await;
        disk.stall(false);
        hall.expect(&mut writer, "+OK\r\n").await;
        hall.until("it is noted", || {
            let latency = &hall.thread.node.borrow().latency;
            latency.of(Event::LogSync).is_some_and(|series| series.max_ms >= 10)
        })
        .await;
    })
    .unwrap();
}
