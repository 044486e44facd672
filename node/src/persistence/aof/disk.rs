//! The few things that the log asks of a disk.
//!
//! What a log promises depends on what a disk forgets: written bytes before a sync, a new name before its directory is
//! synced. So the log speaks to a disk through these two traits only; [`System`] is the real one, and the tests have
//! one that loses its power at a chosen operation, is full, or fails to sync (`simulated.rs`).
//!
//! Paths are relative to the node's directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where the log's files are.
pub(crate) trait Disk: Send + Sync {
    /// A new file; one that is there loses its name, and whoever has it open goes on writing to it.
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;
    /// A file that is there, to be read from its beginning or written at its end.
    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Bytes of a file; None: there is none.
    fn len(&self, path: &str) -> io::Result<Option<u64>>;
    /// Replaces what has the new name. Durable once both directories are synced.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, path: &str) -> io::Result<()>;
    /// It may be there already.
    fn make_directory(&self, path: &str) -> io::Result<()>;
    /// Makes durable which names there are in it. The empty path is the node's directory itself.
    fn sync_directory(&self, path: &str) -> io::Result<()>;
}

/// An open file: reads go on from its beginning, writes are appended.
pub(crate) trait DiskFile: io::Read + io::Write + Send {
    /// Makes durable what was written.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file off; what is written next stands there.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// The operating system's.
#[derive(Debug)]
pub(crate) struct System {
    directory: PathBuf,
}

impl System {
    pub(crate) fn new(directory: &Path) -> System {
        System { directory: directory.to_owned() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }
}

impl Disk for System {
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        match fs::remove_file(self.at(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Appending writes need no position.
        let file = fs::OpenOptions::new().read(true).append(true).create_new(true).open(self.at(path))?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(fs::OpenOptions::new().read(true).append(true).open(self.at(path))?))
    }

    fn len(&self, path: &str) -> io::Result<Option<u64>> {
        match fs::metadata(self.at(path)) {
            Ok(file) if file.is_file() => Ok(Some(file.len())),
            Ok(_) => Err(io::Error::other("is not a file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.at(path))
    }

    fn make_directory(&self, path: &str) -> io::Result<()> {
        match fs::create_dir(self.at(path)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        fs::File::open(self.at(path))?.sync_all()
    }
}

impl DiskFile for fs::File {
    fn sync(&mut self) -> io::Result<()> {
        // Not the times of access and change; the length belongs to what is needed to read the bytes.
        self.sync_data()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}

#[cfg(test)]
mod tests {
    use io::Write as _;

    use super::*;

    #[test]
    fn who_still_writes_to_a_file_does_not_write_into_the_one_that_took_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let disk = System::new(dir.path());
        let mut old = disk.create("log").unwrap();
        old.write_all(b"old").unwrap();
        let mut new = disk.create("log").unwrap();
        new.write_all(b"new").unwrap();
        old.write_all(b"older").unwrap();
        old.truncate(0).unwrap();
        assert_eq!(fs::read(dir.path().join("log")).unwrap(), b"new");
    }
}
