//! Saves that are cancelled while the thread of their file hangs: the test holds the turn that the file needs for its place,
//! where a slow disk would hold its sync.

use std::{fs, time::Duration};

use slotway_cluster::Database;
use slotway_config::{Program, Settings};
use tokio::{runtime::LocalOptions, task::JoinSet};

use super::*;
use crate::{keyspace::Deadline, membership::Membership};

const KEYS: u32 = 500;

/// Runs a test beside a node that saves into a directory of its own, and holds some keys.
fn with_node(test: impl AsyncFnOnce(&Rc<Thread>, &Path)) {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .unwrap();
    runtime.block_on(async {
        let membership = Membership::load(&directory.path().join("no directory of a node")).unwrap();
        let mut node = Node::new(Settings::defaults(Program::Node), None, membership, 0);
        node.settings.record(Key::Dir, directory.path().to_str().unwrap()).unwrap();
        let (thread, helper) = Thread::new(node).unwrap();
        let thread = Rc::new(thread);
        overwrite(&thread, "old");
        let mut background = JoinSet::new();
        background.spawn_local(run(Rc::clone(&thread)));
        test(&thread, directory.path()).await;
        background.shutdown().await;
        assert!(thread.node.borrow().congestion.is_none(), "nobody waits any more");
        assert_eq!(thread.node.borrow().keyspace.walk_bytes(), 0, "nothing is kept");
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

/// Waits until something holds.
async fn seen(what: impl Fn() -> bool) {
    let looks = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looks).await.expect("it is seen in time");
}

fn begin_save(thread: &Thread) {
    assert!(begin(&mut thread.node.borrow_mut()).is_ok());
}

fn place(thread: &Thread) -> Arc<Place> {
    Arc::clone(&thread.node.borrow().persistence.desk.place)
}

/// Every piece was handed over, and that they are all.
fn is_handed_over(thread: &Thread) -> bool {
    thread.node.borrow().snapshots.running == 0
}

fn is_saving(thread: &Thread) -> bool {
    thread.node.borrow().persistence.saves.present().is_some()
}

fn has_unfinished(directory: &Path) -> bool {
    let mut names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    names.any(|name| name.to_string_lossy().starts_with("temp-"))
}

/// What all values in a file are, if they are one.
fn saved(thread: &Thread, directory: &Path) -> String {
    let bytes = fs::read(directory.join("dump.rdb")).unwrap();
    let (seed, settings) = (thread.node.borrow().keyspace.seed(), thread.node.borrow().keyspace.settings);
    let mut reader = crate::rdb::read::Reader::new(&bytes[..], seed, settings);
    let mut texts = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        if let crate::rdb::read::Item::Key(record) = item {
            texts.push(String::from_utf8(record.entry.text().unwrap()[..3].to_vec()).unwrap());
        }
    }
    assert_eq!(texts.len(), usize::try_from(KEYS).unwrap());
    texts.dedup();
    texts.concat()
}

#[test]
#[expect(clippy::await_holding_lock, reason = "only the file's thread waits for it, as for a slow disk")]
fn a_cancelled_save_puts_nothing_in_place_however_late_its_disk_is() {
    with_node(async |thread, directory| {
        let place = place(thread);
        let slow_disk = place.turn.lock().unwrap();
        begin_save(thread);
        seen(|| is_handed_over(thread)).await;
        cancel(&mut thread.node.borrow_mut());
        drop(slow_disk);
        seen(|| !has_unfinished(directory)).await;
        assert!(!directory.join("dump.rdb").exists(), "it was not wanted");
        overwrite(thread, "new");
        save_now(&mut thread.node.borrow_mut()).unwrap();
        assert_eq!(saved(thread, directory), "new");
    });
}

#[test]
#[expect(clippy::await_holding_lock, reason = "only the file's thread waits for it, as for a slow disk")]
fn what_is_saved_at_once_is_newer_than_what_is_under_way() {
    with_node(async |thread, directory| {
        let place = place(thread);
        let slow_disk = place.turn.lock().unwrap();
        begin_save(thread);
        seen(|| is_handed_over(thread)).await;
        overwrite(thread, "new");
        drop(slow_disk);
        save_now(&mut thread.node.borrow_mut()).unwrap();
        assert!(!is_saving(thread), "the older one is cancelled");
        seen(|| !has_unfinished(directory)).await;
        assert_eq!(saved(thread, directory), "new");
    });
}

#[test]
#[expect(clippy::await_holding_lock, reason = "only the file's thread waits for it, as for a slow disk")]
fn a_save_waits_for_the_file_of_a_cancelled_one_and_keeps_no_more_than_it_may() {
    with_node(async |thread, directory| {
        thread.node.borrow_mut().settings.record(Key::SnapshotMemoryMax, "10000").unwrap();
        let place = place(thread);
        let slow_disk = place.turn.lock().unwrap();
        begin_save(thread);
        seen(|| is_handed_over(thread)).await;
        cancel(&mut thread.node.borrow_mut());
        overwrite(thread, "new");
        begin_save(thread);
        overwrite(thread, "odd");
        seen(|| !thread.node.borrow().congestion.is_none()).await;
        cancel(&mut thread.node.borrow_mut());
        seen(|| thread.node.borrow().congestion.is_none()).await;
        begin_save(thread);
        drop(slow_disk);
        seen(|| !is_saving(thread)).await;
        assert_eq!(thread.node.borrow().persistence.saves.outcome(), Outcome::Good);
        assert_eq!(saved(thread, directory), "odd");
        assert!(!has_unfinished(directory));
    });
}

#[test]
fn writers_do_not_wait_for_a_save_that_flushall_cancels() {
    with_node(async |thread, directory| {
        let node = || thread.node.borrow_mut();
        node().settings.record(Key::SnapshotMemoryMax, "10000").unwrap();
        node().settings.record(Key::RdbKeySaveDelay, "1000000").unwrap();
        begin_save(thread);
        seen(|| has_unfinished(directory)).await;
        overwrite(thread, "new");
        seen(|| !node().congestion.is_none()).await;
        {
            let node = &mut *node();
            node.keyspace.flush_all();
            node.keyspace.flushes += 1;
            node.settings.record(Key::RdbKeySaveDelay, "0").unwrap();
            thread.end_turn(node);
        }
        seen(|| node().congestion.is_none()).await;
        seen(|| !is_saving(thread)).await;
        seen(|| !has_unfinished(directory)).await;
    });
}
