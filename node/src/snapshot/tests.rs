//! A snapshot beside writers, in one runtime with them: the test decides what happens between two pieces.

use slotway_cluster::Database;
use slotway_config::{Program, Settings};
use tokio::runtime::LocalOptions;

use super::*;
use crate::{keyspace::Deadline, membership::Membership};

const KEYS: u32 = 2000;

/// Runs a test beside a node that holds some keys of a hundred bytes.
fn with_node(test: impl AsyncFnOnce(&Thread)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .unwrap();
    runtime.block_on(async {
        let membership = Membership::load(&std::env::temp_dir().join("no directory of a node")).unwrap();
        let node = Node::new(Settings::defaults(Program::Node), None, membership, 0);
        let (thread, helper) = Thread::new(node).unwrap();
        overwrite(&thread, "old");
        test(&thread).await;
        let node = thread.node.borrow();
        assert_eq!(node.snapshots.running, 0, "none is left");
        assert!(node.congestion.is_none(), "nobody waits any more");
        assert_eq!(node.keyspace.walk_bytes(), 0, "nothing is kept");
        drop(node);
        drop(thread);
        helper.join().unwrap();
    });
}

fn overwrite(thread: &Thread, text: &str) {
    let node = &mut *thread.node.borrow_mut();
    let text = text.repeat(30);
    for number in 0..KEYS {
        let name = format!("key:{number}");
        let key = node.keyspace.key(Database(0), name.as_bytes());
        node.keyspace.set_text(key, text.as_bytes(), Deadline::Clear, node::now());
    }
}

fn limit(thread: &Thread, bytes: u32) {
    let node = &mut *thread.node.borrow_mut();
    node.settings.record(Key::SnapshotMemoryMax, &bytes.to_string()).unwrap();
    // So little that many pieces are needed.
    node.settings.record(Key::RdbKeySaveDelay, "1").unwrap();
}

fn begin(thread: &Thread, aim: Aim) -> Snapshot {
    Snapshot::begin(&mut thread.node.borrow_mut(), aim, &[("a-fact", b"told")]).unwrap()
}

#[test]
fn a_snapshot_is_a_whole_stream_of_what_there_was_when_it_began() {
    with_node(async |thread| {
        let snapshot = begin(thread, Aim::Disk);
        overwrite(thread, "new");
        let (sink, mut pieces) = mpsc::channel::<Vec<u8>>(QUEUE_PIECES);
        let receive = async {
            let mut all = Vec::new();
            while let Some(piece) = pieces.recv().await {
                all.extend_from_slice(&piece);
            }
            all
        };
        let (taken, bytes) = tokio::join!(snapshot.run(thread, sink), receive);
        let taken = taken.unwrap();
        assert_eq!(usize::try_from(taken.bytes).unwrap(), bytes.len());
        assert!(taken.set_aside_bytes_max > 100 * 1000, "the old values were kept");
        let (seed, settings) = (thread.node.borrow().keyspace.seed(), thread.node.borrow().keyspace.settings);
        let mut reader = rdb::read::Reader::new(&bytes[..], seed, settings);
        let (mut keys, mut is_told) = (0, false);
        while let Some(item) = reader.next().unwrap() {
            match item {
                rdb::read::Item::Key(record) => {
                    assert_eq!(record.entry.text(), Some("old".repeat(30).as_bytes()));
                    keys += 1;
                }
                rdb::read::Item::Aux { name, value } => {
                    is_told |= (&name[..], &value[..]) == (b"a-fact", b"told")
                }
                rdb::read::Item::Resize { .. } => {}
            }
        }
        assert_eq!((keys, is_told), (KEYS, true));
    });
}

#[test]
fn a_snapshot_for_a_replica_is_given_up_rather_than_keep_too_much() {
    with_node(async |thread| {
        limit(thread, 10_000);
        let snapshot = begin(thread, Aim::Replica);
        overwrite(thread, "new");
        let (sink, _pieces) = mpsc::channel::<Vec<u8>>(QUEUE_PIECES);
        assert_eq!(snapshot.run(thread, sink).await, Err(Broken::TooMuchSetAside));
    });
}

#[test]
fn a_snapshot_whose_sink_has_gone_ends_and_lets_waiting_writers_go_on() {
    with_node(async |thread| {
        limit(thread, 10_000);
        let snapshot = begin(thread, Aim::Disk);
        overwrite(thread, "new");
        let (sink, mut pieces) = mpsc::channel::<Vec<u8>>(1);
        let leave = async {
            pieces.recv().await.unwrap();
            assert!(!thread.node.borrow().congestion.is_none(), "writers wait for it");
            drop(pieces);
        };
        let (outcome, ()) = tokio::join!(snapshot.run(thread, sink), leave);
        assert_eq!(outcome, Err(Broken::SinkGone));
    });
}

#[test]
fn a_snapshot_that_is_dropped_midway_leaves_nothing_behind() {
    with_node(async |thread| {
        let snapshot = begin(thread, Aim::Disk);
        overwrite(thread, "new");
        let (sink, mut pieces) = mpsc::channel::<Vec<u8>>(1);
        tokio::select! {
            biased;
            _ = pieces.recv() => {}
            _ = snapshot.run(thread, sink) => panic!("it has more than a piece"),
        }
    });
}

/// Waits until something about the node holds.
async fn seen(thread: &Thread, what: impl Fn(&Node) -> bool) {
    let looks = async {
        while !what(&thread.node.borrow()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looks).await.expect("it is seen in time");
}

#[test]
fn writers_wait_for_a_disk_that_takes_nothing_while_they_overwrite() {
    with_node(async |thread| {
        limit(thread, 10_000);
        let snapshot = begin(thread, Aim::Disk);
        let (sink, mut pieces) = mpsc::channel::<Vec<u8>>(1);
        let disk = async {
            // A piece lies there, and there is no place for another.
            seen(thread, |_| !pieces.is_empty()).await;
            assert!(thread.node.borrow().congestion.is_none());
            overwrite(thread, "new");
            seen(thread, |node| !node.congestion.is_none()).await;
            let most = thread.node.borrow().snapshots.set_aside_bytes_max;
            assert!(most > 100 * 1000, "INFO says so: {most}");
            while pieces.recv().await.is_some() {}
        };
        let (outcome, ()) = tokio::join!(snapshot.run(thread, sink), disk);
        assert!(outcome.unwrap().set_aside_bytes_max > 100 * 1000);
    });
}

#[test]
fn a_snapshot_for_a_replica_that_reads_nothing_is_given_up_before_it_keeps_too_much() {
    with_node(async |thread| {
        limit(thread, 10_000);
        let snapshot = begin(thread, Aim::Replica);
        let (sink, pieces) = mpsc::channel::<Vec<u8>>(1);
        let overwrites = async {
            seen(thread, |_| !pieces.is_empty()).await;
            overwrite(thread, "new");
        };
        let run = tokio::time::timeout(Duration::from_secs(20), snapshot.run(thread, sink));
        let (outcome, ()) = tokio::join!(run, overwrites);
        assert_eq!(outcome.expect("it does not wait for the replica"), Err(Broken::TooMuchSetAside));
    });
}

#[test]
fn a_flush_of_more_than_may_be_kept_does_not_end_the_synchronisation_of_a_replica() {
    with_node(async |thread| {
        limit(thread, 10_000);
        let snapshot = begin(thread, Aim::Replica);
        let (sink, mut pieces) = mpsc::channel::<Vec<u8>>(1);
        let flushes = async {
            seen(thread, |_| !pieces.is_empty()).await;
            thread.node.borrow_mut().keyspace.flush(Database(0));
            seen(thread, |node| node.snapshots.set_aside_bytes_max > 100 * 1000).await;
            let mut bytes = 0;
            while let Some(piece) = pieces.recv().await {
                bytes += piece.len();
            }
            bytes
        };
        let (taken, bytes) = tokio::join!(snapshot.run(thread, sink), flushes);
        let taken = taken.expect("it goes on");
        assert_eq!(usize::try_from(taken.bytes).unwrap(), bytes);
        // Compressed: a key and what names its value.
        assert!(bytes > 15 * usize::try_from(KEYS).unwrap(), "all that there was: {bytes}");
    });
}
