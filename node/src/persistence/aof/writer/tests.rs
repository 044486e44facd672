//! The helper that writes and syncs, on a simulated disk.

use super::*;
use crate::persistence::aof::{
    manifest::Names,
    simulated::{Faults, Simulated},
};

const FILE: &str = "appendonlydir/appendonly.aof.1.incr.aof";

fn manner(fsync: Fsync) -> Manner {
    Manner { fsync, holds_syncs: false, notes_time: false, slow: Duration::MAX }
}

/// The loop, run step by step by the test.
fn on(disk: &Simulated, fsync: Fsync) -> Loop {
    let names = Names { directory: "appendonlydir".into(), file: "appendonly.aof".into() };
    let store = Arc::new(Store::open(Arc::new(disk.clone()), names).unwrap());
    let (file, len) = store.last_increment().unwrap();
    let line = Arc::new(Line::new(manner(fsync), Position(0)));
    Loop::new(line, store, Writer::new(file, len, Position(0)))
}

fn add(work: &mut Loop, units: &str, end: u64) {
    let then = work.follow(Order::Append(units.into(), Position(end)), manner(Fsync::Always));
    assert_eq!(then, Then::GoOn);
}

fn content(disk: &Simulated) -> String {
    String::from_utf8(disk.content(FILE).unwrap()).unwrap()
}

#[test]
fn what_has_gathered_is_written_and_synced_once() {
    let disk = Simulated::new();
    let mut work = on(&disk, Fsync::Always);
    let before = disk.syncs();
    for end in 1..=100 {
        add(&mut work, "x", end);
    }
    work.commit(manner(Fsync::Always), node::instant()).unwrap();
    assert_eq!(disk.syncs() - before, 1);
    assert_eq!((work.writer.synced, content(&disk).len()), (Position(100), 100));
}

#[test]
fn with_everysec_a_sync_is_due_once_a_second_and_with_no_never() {
    let disk = Simulated::new();
    let mut work = on(&disk, Fsync::EverySecond);
    let (start, before) = (work.synced_at, disk.syncs());
    let mut at = |millis, manner| {
        add(&mut work, "x", millis);
        work.commit(manner, start + Duration::from_millis(millis)).unwrap();
        assert_eq!(work.writer.written, Position(millis), "written at once");
        (disk.syncs() - before, work.writer.synced.0)
    };
    assert_eq!(at(10, manner(Fsync::EverySecond)), (0, 0));
    assert_eq!(at(1000, manner(Fsync::EverySecond)), (1, 1000));
    assert_eq!(at(1999, manner(Fsync::EverySecond)), (1, 1000));
    let held = Manner { holds_syncs: true, ..manner(Fsync::EverySecond) };
    assert_eq!(at(2500, held), (1, 1000), "a rewrite runs, and no-appendfsync-on-rewrite");
    assert_eq!(at(2501, manner(Fsync::EverySecond)), (2, 2501));
    assert_eq!(at(9000, manner(Fsync::Never)), (2, 2501));
}

#[test]
fn a_full_disk_leaves_whole_units_and_the_rest_follows_when_there_is_room() {
    let disk = Simulated::new();
    let mut work = on(&disk, Fsync::Always);
    add(&mut work, "first", 5);
    work.commit(manner(Fsync::Always), node::instant()).unwrap();
    disk.set(Faults { room_bytes: Some(3), ..Faults::default() });
    add(&mut work, "second", 11);
    for _ in 0..3 {
        let error = work.commit(manner(Fsync::Always), node::instant()).unwrap_err();
        assert_eq!(reason(&error), "No space left on device");
        assert_eq!((content(&disk).as_str(), work.writer.synced), ("first", Position(5)));
    }
    disk.set(Faults { room_bytes: Some(3), truncates_fail: true, ..Faults::default() });
    work.commit(manner(Fsync::Always), node::instant()).unwrap_err();
    assert_eq!(content(&disk), "firstsec", "half a unit, which nothing follows");
    disk.set(Faults { write_bytes_max: Some(2), ..Faults::default() });
    add(&mut work, "third", 16);
    work.commit(manner(Fsync::Always), node::instant()).unwrap();
    assert_eq!((content(&disk).as_str(), work.writer.synced), ("firstsecondthird", Position(16)));
}

#[test]
fn what_could_not_be_synced_is_written_anew() {
    let disk = Simulated::new();
    let mut work = on(&disk, Fsync::Always);
    disk.set(Faults { syncs_fail: true, ..Faults::default() });
    add(&mut work, "first", 5);
    work.commit(manner(Fsync::Always), node::instant()).unwrap_err();
    add(&mut work, "second", 11);
    work.commit(manner(Fsync::Always), node::instant()).unwrap_err();
    assert_eq!(work.writer.synced, Position(0));
    disk.set(Faults::default());
    work.commit(manner(Fsync::Always), node::instant()).unwrap();
    assert_eq!((content(&disk).as_str(), work.writer.synced), ("firstsecond", Position(11)));
    assert!(!work.writer.is_doubtful, "nothing was let go");
}

#[test]
fn with_everysec_a_failed_sync_leaves_the_log_doubtful() {
    let disk = Simulated::new();
    let mut work = on(&disk, Fsync::EverySecond);
    add(&mut work, "first", 5);
    work.commit(manner(Fsync::EverySecond), work.synced_at).unwrap();
    disk.set(Faults { syncs_fail: true, ..Faults::default() });
    let later = work.synced_at + SYNC_EVERY;
    work.commit(manner(Fsync::EverySecond), later).unwrap_err();
    assert!(work.writer.is_doubtful);
    assert_eq!((content(&disk).as_str(), work.writer.synced), ("first", Position(0)));
}

#[test]
fn a_new_increment_begins_behind_a_whole_and_durable_one_or_not_at_all() {
    let disk = Simulated::new();
    let mut work = on(&disk, Fsync::Never);
    add(&mut work, "first", 5);
    disk.set(Faults { syncs_fail: true, ..Faults::default() });
    assert!(work.begin(Increment::Listed).is_err());
    disk.set(Faults::default());
    add(&mut work, "second", 11);
    assert_eq!(work.begin(Increment::Listed).unwrap(), Begun { len: 11, doubts: 0 });
    add(&mut work, "third", 16);
    work.commit(manner(Fsync::Never), node::instant()).unwrap();
    let found = disk.after_crash(|_| 0);
    assert_eq!(found.content(FILE).unwrap(), b"firstsecond");
    assert_eq!(disk.content("appendonlydir/appendonly.aof.2.incr.aof").unwrap(), b"third");
}

#[test]
fn the_time_is_noted_when_its_second_has_changed() {
    let disk = Simulated::new();
    let mut work = on(&disk, Fsync::Never);
    for (units, now_s) in [("a", 7), ("b", 7), ("c", 8)] {
        work.writer.add(units.into(), Position(1), Some(now_s));
    }
    work.commit(manner(Fsync::Never), node::instant()).unwrap();
    assert_eq!(content(&disk), "#TS:7\r\nab#TS:8\r\nc");
}

#[test]
fn the_thread_writes_what_is_put_into_its_line_and_ends_when_it_is_closed() {
    let disk = Simulated::new();
    let work = on(&disk, Fsync::Never);
    let line = Arc::clone(&work.line);
    let thread = std::thread::spawn(move || work.run());
    for (units, end) in [("one", 3), ("two", 6), ("three", 11)] {
        line.append(units.as_bytes(), Position(end));
    }
    line.order(Order::Close);
    thread.join().unwrap();
    assert_eq!(content(&disk), "onetwothree");
    assert_eq!(disk.after_crash(|_| 0).content(FILE).unwrap(), b"onetwothree", "synced at the end");
    assert_eq!(line.progress().synced(), Position(11));
}
