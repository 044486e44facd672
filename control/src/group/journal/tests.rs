//! What is there after a crash at any byte, with damage at any byte, and on a full disk.

use openraft::{CommittedLeaderId, EntryPayload};
use slotway_cluster::{Entry, ProxyId};

use super::*;

fn id(index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(1, 7), index)
}

fn entries(indexes: std::ops::Range<u64>) -> Record {
    let entry = |index| LogEntry {
        log_id: id(index),
        payload: EntryPayload::Normal(Entry::RemoveProxy { proxy: ProxyId(format!("p{index}")) }),
    };
    Record::Entries(indexes.map(entry).collect())
}

/// What a log says, in short.
fn told(log: &Log) -> (Option<u64>, Option<u64>, Vec<u64>) {
    let vote = log.vote.map(|vote| vote.leader_id().term);
    (vote, log.purged.map(|purged| purged.index), log.entries.keys().copied().collect())
}

fn reopened(dir: &Path) -> (Option<u64>, Option<u64>, Vec<u64>) {
    told(&Journal::open(dir).unwrap().1)
}

fn vote(term: u64) -> Record {
    Record::Vote(Vote::new(term, 7))
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let write = |records: &[Record]| {
        let (mut journal, _) = Journal::open(dir.path()).unwrap();
        for record in records {
            journal.write(record).unwrap();
        }
    };
    write(&[vote(3), entries(1..4)]);
    assert_eq!(reopened(dir.path()), (Some(3), None, vec![1, 2, 3]));
    write(&[Record::Truncate(3), entries(3..5), vote(4), Record::Purge(id(1))]);
    assert_eq!(reopened(dir.path()), (Some(4), Some(1), vec![2, 3, 4]));
    assert_eq!(Journal::open(dir.path()).unwrap().1.last(), Some(id(4)));
    write(&[Record::Purge(id(4))]);
    assert_eq!(Journal::open(dir.path()).unwrap().1.last(), Some(id(4)));
}

#[test]
fn a_write_torn_at_any_byte_leaves_what_was_before_it_and_room_for_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path()).unwrap();
    journal.write(&vote(1)).unwrap();
    journal.write(&entries(1..3)).unwrap();
    let good = journal.end;
    journal.write(&entries(3..5)).unwrap();
    let whole = journal.end;
    drop(journal);
    let path = dir.path().join(FILE_NAME);
    let bytes = fs::read(&path).unwrap();
    for len in good..whole {
        fs::write(&path, &bytes[..usize::try_from(len).unwrap()]).unwrap();
        let (mut journal, log) = Journal::open(dir.path()).unwrap();
        assert_eq!(told(&log), (Some(1), None, vec![1, 2]), "{len}");
        journal.write(&entries(3..4)).unwrap();
        drop(journal);
        assert_eq!(reopened(dir.path()), (Some(1), None, vec![1, 2, 3]), "{len}");
    }
}

#[test]
fn damage_before_the_end_is_refused_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path()).unwrap();
    journal.write(&vote(1)).unwrap();
    let second = journal.end;
    journal.write(&entries(1..2)).unwrap();
    let third = journal.end;
    journal.write(&entries(2..3)).unwrap();
    drop(journal);
    let path = dir.path().join(FILE_NAME);
    let good = fs::read(&path).unwrap();
    for at in second..third {
        let mut bytes = good.clone();
        bytes[usize::try_from(at).unwrap()] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        let error = Journal::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("is damaged at byte {second}")), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "a damaged file is left as it is");
    }
}

#[test]
fn a_full_disk_is_an_error_and_whatever_fits_later_is_written() {
    let dir = tempfile::tempdir().unwrap();
    for room in 0..60 {
        let (mut journal, before) = Journal::open(dir.path()).unwrap();
        let next = before.last().map_or(1, |last| last.index + 1);
        journal.leave_room(room);
        let error = journal.write(&entries(next..next + 1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(journal.rewrite(&before).is_err() || before.entries.is_empty());
        drop(journal);
        assert_eq!(reopened(dir.path()), told(&before));
        let (mut journal, _) = Journal::open(dir.path()).unwrap();
        journal.leave_room(0);
        journal.write(&vote(9)).unwrap_err();
        journal.leave_room(1 << 20);
        journal.write(&entries(next..next + 1)).unwrap();
        drop(journal);
        assert_eq!(reopened(dir.path()).2.len(), usize::try_from(next).unwrap());
    }
}

#[test]
fn a_rewrite_keeps_what_counts_and_forgets_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, mut log) = Journal::open(dir.path()).unwrap();
    for record in [vote(1), entries(1..50), vote(2), Record::Purge(id(40))] {
        journal.write(&record).unwrap();
        log.apply(record);
    }
    let long = journal.end;
    journal.rewrite_if_long(&log).unwrap();
    assert_eq!(journal.end, long, "not yet");
    journal.rewrite(&log).unwrap();
    assert!(journal.end < long / 2);
    journal.write(&entries(50..51)).unwrap();
    drop(journal);
    assert_eq!(reopened(dir.path()), (Some(2), Some(40), (41..51).collect()));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn one_process_has_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let held = Journal::open(dir.path()).unwrap();
    assert!(matches!(Journal::open(dir.path()), Err(JournalError::InUse(_))));
    drop(held);
    Journal::open(dir.path()).unwrap();
    assert!(matches!(Journal::open(&dir.path().join("missing")), Err(JournalError::Open { .. })));
}
