//! The file of a snapshot: under another name until it is whole and on the disk.
//!
//! Whatever happens meanwhile, a full disk, a kill, a power cut, under the file's own name stands either the old snapshot
//! or the new one. What a dead process has left under a temporary name is removed at the next start.
//!
//! A save that is not wanted any more may be on its way to the disk for long. So each file asks, at the last moment and in
//! its turn ([`Place`]), whether it is still wanted: an older file never takes the place of a newer one.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::{mpsc, oneshot};

/// Written bytes after which they are forced to disk, so that the last step has little left to do. As in Redis.
const SYNC_EVERY_BYTES: usize = 4 << 20;

/// `rdb-save-incremental-fsync`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syncs {
    AlsoOnTheWay,
    AtTheEnd,
}

/// Where the files of one node go: one at a time, in the order in which they ask.
///
/// To say that a file is not wanted takes no turn, so the keyspace's thread does not wait for a rename that hangs. It may be
/// too late for that; but whoever puts a newer file in place takes a turn behind it.
#[derive(Debug, Default)]
pub(crate) struct Place {
    pub(super) turn: Mutex<()>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is on the disk, under its name.
    InPlace,
    GivenUp,
}

/// A file that is being written. Dropped before [`Unfinished::finish`], it leaves nothing.
#[derive(Debug)]
pub(crate) struct Unfinished {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    syncs: Syncs,
    /// Written and not forced to disk.
    unsynced_bytes: usize,
    is_finished: bool,
}

impl Unfinished {
    pub(crate) fn create(target: &Path, syncs: Syncs) -> io::Result<Unfinished> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("temp-{}-{}.rdb", process::id(), COUNT.fetch_add(1, Relaxed));
        let temporary = directory_of(target).join(name);
        let file = File::create(&temporary)?;
        let target = target.to_owned();
        Ok(Unfinished { file, temporary, target, syncs, unsynced_bytes: 0, is_finished: false })
    }

    /// Forces it to the disk and puts it in its place, if it is wanted when its turn comes.
    pub(crate) fn finish(mut self, place: &Place, is_wanted: impl FnOnce() -> bool) -> io::Result<Fate> {
        self.file.sync_all()?;
        {
            let _turn = place.turn.lock().unwrap_or_else(PoisonError::into_inner);
            if !is_wanted() {
                return Ok(Fate::GivenUp);
            }
            fs::rename(&self.temporary, &self.target)?;
            self.is_finished = true;
        }
        File::open(directory_of(&self.target))?.sync_all()?;
        Ok(Fate::InPlace)
    }
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.file.write(bytes)?;
        self.unsynced_bytes += len;
        if self.syncs == Syncs::AlsoOnTheWay && self.unsynced_bytes >= SYNC_EVERY_BYTES {
            self.file.sync_data()?;
            self.unsynced_bytes = 0;
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_finished {
            // It may be gone, or the disk may be: there is nothing more to do about it.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// What whoever sends the pieces says behind the last one. To say nothing is to give up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Complete;

/// What comes from whoever takes a snapshot.
pub(crate) struct Incoming {
    pub(crate) pieces: mpsc::Receiver<Vec<u8>>,
    pub(crate) verdict: oneshot::Receiver<Complete>,
}

/// Writes what comes, on a thread of its own.
pub(crate) fn receive(
    mut file: Unfinished,
    mut incoming: Incoming,
    place: &Place,
    is_wanted: impl FnOnce() -> bool,
) -> io::Result<Fate> {
    while let Some(piece) = incoming.pieces.blocking_recv() {
        file.write_all(&piece)?;
    }
    match incoming.verdict.blocking_recv() {
        Ok(Complete) => file.finish(place, is_wanted),
        Err(_) => Ok(Fate::GivenUp),
    }
}

/// Removes what processes that are dead have left in a directory. Returns the names.
pub(crate) fn remove_leftovers(directory: &Path) -> io::Result<Vec<String>> {
    let mut removed = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if writer_of(&name).is_some_and(|writer| writer == process::id() || !is_alive(writer)) {
            fs::remove_file(entry.path())?;
            removed.push(name);
        }
    }
    Ok(removed)
}

/// The process that a temporary name belongs to.
fn writer_of(name: &str) -> Option<u32> {
    let (process, count) = name.strip_prefix("temp-")?.strip_suffix(".rdb")?.split_once('-')?;
    count.parse::<u64>().ok()?;
    process.parse().ok()
}

fn is_alive(process: u32) -> bool {
    Path::new("/proc").join(process.to_string()).exists()
}

fn directory_of(target: &Path) -> &Path {
    target.parent().unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory for one test.
    fn directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("slotway-save-{}-{name}", process::id()));
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    fn names(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_old_file_stands_until_the_new_one_is_whole() {
        let directory = directory("whole");
        let target = directory.join("dump.rdb");
        fs::write(&target, b"old").unwrap();
        let mut file = Unfinished::create(&target, Syncs::AlsoOnTheWay).unwrap();
        file.write_all(&vec![7; SYNC_EVERY_BYTES + 1]).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"old");
        let place = Place::default();
        let is_wanted = || {
            assert!(
                place.turn.try_lock().is_err(),
                "nobody else's file comes between the answer and the place"
            );
            true
        };
        assert_eq!(file.finish(&place, is_wanted).unwrap(), Fate::InPlace);
        assert_eq!(fs::read(&target).unwrap().len(), SYNC_EVERY_BYTES + 1);
        assert_eq!(names(&directory), ["dump.rdb"]);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_file_that_was_given_up_leaves_nothing() {
        let directory = directory("nothing");
        let target = directory.join("dump.rdb");
        let (sender, pieces) = mpsc::channel(1);
        let (complete, verdict) = oneshot::channel::<Complete>();
        sender.try_send(b"half".to_vec()).unwrap();
        drop((sender, complete));
        let file = Unfinished::create(&target, Syncs::AtTheEnd).unwrap();
        let fate = receive(file, Incoming { pieces, verdict }, &Place::default(), || true);
        assert_eq!(fate.unwrap(), Fate::GivenUp);
        assert_eq!(names(&directory), [""; 0]);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_whole_file_that_is_not_wanted_any_more_leaves_nothing() {
        let directory = directory("unwanted");
        let target = directory.join("dump.rdb");
        fs::write(&target, b"newer").unwrap();
        let (sender, pieces) = mpsc::channel(1);
        let (complete, verdict) = oneshot::channel::<Complete>();
        sender.try_send(b"whole".to_vec()).unwrap();
        drop(sender);
        complete.send(Complete).unwrap();
        let file = Unfinished::create(&target, Syncs::AtTheEnd).unwrap();
        let fate = receive(file, Incoming { pieces, verdict }, &Place::default(), || false);
        assert_eq!(fate.unwrap(), Fate::GivenUp);
        assert_eq!(fs::read(&target).unwrap(), b"newer");
        assert_eq!(names(&directory), ["dump.rdb"]);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let target = directory("missing").join("no such directory").join("dump.rdb");
        assert!(Unfinished::create(&target, Syncs::AtTheEnd).is_err());
    }

    #[test]
    fn what_dead_processes_left_is_removed_and_nothing_else() {
        let directory = directory("left");
        // Process numbers end at 2^22.
        let dead = format!("temp-{}-3.rdb", 1 << 30);
        for name in [&dead, "temp-1-0.rdb", "dump.rdb", "temp-x-1.rdb", "temp-5.rdb", "temp-1-x.rdb"] {
            fs::write(directory.join(name), b"").unwrap();
        }
        assert_eq!(remove_leftovers(&directory).unwrap(), [dead]);
        assert_eq!(names(&directory).len(), 5);
        fs::remove_dir_all(directory).unwrap();
    }
}
