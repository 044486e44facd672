//! The file of a snapshot: under another name until it is whole and on the disk.
//!
//! Whatever happens meanwhile, a full disk, a kill, a power cut, under the file's own name stands either the old snapshot
//! or the new one. What a dead process has left under a temporary name is removed at the next start.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
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

    /// Everything is on the disk, and under its name, when this returns.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.target)?;
        self.is_finished = true;
        File::open(directory_of(&self.target))?.sync_all()
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

/// Writes what comes, on a thread of its own. None: it was given up.
pub(crate) fn receive(
    target: &Path,
    syncs: Syncs,
    mut pieces: mpsc::Receiver<Vec<u8>>,
    verdict: oneshot::Receiver<Complete>,
) -> io::Result<Option<()>> {
    let mut file = Unfinished::create(target, syncs)?;
    while let Some(piece) = pieces.blocking_recv() {
        file.write_all(&piece)?;
    }
    match verdict.blocking_recv() {
        Ok(Complete) => file.finish().map(Some),
        Err(_) => Ok(None),
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
        file.finish().unwrap();
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
        assert_eq!(receive(&target, Syncs::AtTheEnd, pieces, verdict).unwrap(), None);
        assert_eq!(names(&directory), [""; 0]);
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
