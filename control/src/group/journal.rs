//! The journal: the group's votes and log entries in one append-only file, `raft.log`.
//!
//! The problem: what was promised (a vote) or acknowledged (an entry) must be there after a crash at any moment, and what a full disk or a
//! crash left half-written must not be taken for it. The idea: one file, a frame per write ([`frame`]), synced before anybody is told.
//! Votes and entries share it, so their order is one. A write that failed is cut off again before the next is begun. At a purge the file is
//! written anew beside itself and renamed.
//!
//! What is in the file is in memory, too ([`Log`]): it is short, since snapshots cut it.

mod frame;

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

pub(super) use frame::PAYLOAD_BYTES_MAX;
use frame::{Found, HEAD_BYTES, decode, encode};

use super::kind::{LogEntry, LogId, Vote};

pub(super) const FILE_NAME: &str = "raft.log";

/// A purge writes the file anew once it is longer than this.
const REWRITE_BYTES: u64 = 1 << 20;

/// Snapshots keep the file far below this.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// One frame.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    Vote(Vote),
    Entries(Vec<LogEntry>),
    /// Entries from this index on are void.
    Truncate(u64),
    /// Entries up to this one are in a snapshot.
    Purge(LogId),
}

/// What the records add up to.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    pub(super) vote: Option<Vote>,
    pub(super) purged: Option<LogId>,
    pub(super) entries: BTreeMap<u64, LogEntry>,
}

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot open {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    #[error("{} is {bytes} bytes: no log of a control group is that long", path.display())]
    TooLong { path: PathBuf, bytes: u64 },
    #[error(
        "{} is damaged at byte {offset}, with good records behind it: {why}. Restore the file, or remove this proxy from the group and let it \
         join anew with an empty directory",
        path.display()
    )]
    Damaged { path: PathBuf, offset: u64, why: String },
}

#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Medium,
    /// Where the good part ends; whatever lies behind is cut off before the next write.
    end: u64,
}

impl Journal {
    /// Reads the file, or makes an empty one. A torn end is cut off.
    pub(super) fn open(dir: &Path) -> Result<(Journal, Log), JournalError> {
        let path = dir.join(FILE_NAME);
        let failed = |source| JournalError::Open { path: path.clone(), source };
        let file = Journal::open_file(&path).map_err(failed)?;
        file.try_lock().map_err(|_| JournalError::InUse(path.clone()))?;
        let len = file.metadata().map_err(failed)?.len();
        if len > FILE_BYTES_MAX {
            return Err(JournalError::TooLong { path, bytes: len });
        }
        let bytes = fs::read(&path).map_err(failed)?;
        let (log, end) = replay(&bytes).map_err(|(offset, why)| JournalError::Damaged {
            path: path.clone(),
            offset: bytes_of(offset),
            why,
        })?;
        let end = bytes_of(end);
        if end < len {
            tracing::warn!(path = %path.display(), from = end, bytes = len - end, "the end of the control group's \
                log was torn by a crash; what nobody was told of is cut off");
            file.set_len(end).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        Ok((Journal { path, file: Medium::new(file), end }, log))
    }

    fn open_file(path: &Path) -> io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        sync_dir(path)?;
        Ok(file)
    }

    /// Appends a record; returns once it would survive a power cut. After a failure nothing of it is there, and it may be tried again.
    pub(super) fn write(&mut self, record: &Record) -> io::Result<()> {
        let frame = frame_of(record)?;
        let written = self.file.write_at(&frame, self.end).and_then(|()| self.file.sync());
        if let Err(error) = written {
            // What a failed sync has left in memory would be taken for written: only cutting it off makes the next write a new one.
            // If that fails, too, the next write overwrites it, and opening would cut it off as torn.
            let _ = self.file.cut(self.end);
            return Err(error);
        }
        self.end += bytes_of(frame.len());
        Ok(())
    }

    /// Writes the file anew with what `log` holds, if it has become long.
    pub(super) fn rewrite_if_long(&mut self, log: &Log) -> io::Result<()> {
        if self.end < REWRITE_BYTES { Ok(()) } else { self.rewrite(log) }
    }

    /// The new file takes the name of the old one only when it is whole.
    pub(super) fn rewrite(&mut self, log: &Log) -> io::Result<()> {
        let beside = self.path.with_extension("log.new");
        let entries =
            (!log.entries.is_empty()).then(|| Record::Entries(log.entries.values().cloned().collect()));
        let records = [log.vote.map(Record::Vote), log.purged.map(Record::Purge), entries];
        let mut bytes = Vec::new();
        for record in records.iter().flatten() {
            bytes.extend_from_slice(&frame_of(record)?);
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&beside)?;
        let mut medium = self.file.like(file);
        let written = medium.write_at(&bytes, 0).and_then(|()| medium.sync());
        if let Err(error) =
            written.and_then(|()| medium.lock()).and_then(|()| fs::rename(&beside, &self.path))
        {
            let _ = fs::remove_file(&beside);
            return Err(error);
        }
        sync_dir(&self.path)?;
        self.file = medium;
        self.end = bytes_of(bytes.len());
        Ok(())
    }

    /// From now on the disk takes only so many bytes more.
    #[cfg(test)]
    pub(super) fn leave_room(&mut self, bytes: u64) {
        self.file.room = Some(bytes);
    }
}

impl Log {
    pub(super) fn apply(&mut self, record: Record) {
        match record {
            Record::Vote(vote) => self.vote = Some(vote),
            Record::Entries(entries) => {
                self.entries.extend(entries.into_iter().map(|entry| (entry.log_id.index, entry)));
            }
            Record::Truncate(from) => drop(self.entries.split_off(&from)),
            Record::Purge(upto) => {
                self.entries = self.entries.split_off(&upto.index.saturating_add(1));
                self.purged = Some(upto);
            }
        }
    }

    pub(super) fn last(&self) -> Option<LogId> {
        self.entries.last_key_value().map(|(_, entry)| entry.log_id).or(self.purged)
    }
}

fn frame_of(record: &Record) -> io::Result<Vec<u8>> {
    let payload = serde_json::to_vec(record)?;
    encode(&payload)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a record of more than 64 MiB"))
}

/// A frame of its own, for small files beside the journal.
pub(super) fn framed(payload: &[u8]) -> Option<Vec<u8>> {
    encode(payload)
}

/// What a frame at the beginning of `bytes` holds, if it is whole.
pub(super) fn unframed(bytes: &[u8]) -> Option<&[u8]> {
    match decode(bytes) {
        Found::Payload(payload) => Some(payload),
        Found::End | Found::Torn | Found::Damaged => None,
    }
}

/// All good records, and where they end; or where the damage is.
fn replay(bytes: &[u8]) -> Result<(Log, usize), (usize, String)> {
    let (mut log, mut at) = (Log::default(), 0);
    loop {
        match decode(&bytes[at..]) {
            Found::End | Found::Torn => return Ok((log, at)),
            Found::Damaged => return Err((at, "its checksum does not fit".into())),
            Found::Payload(payload) => {
                let record = serde_json::from_slice(payload).map_err(|error| (at, error.to_string()))?;
                log.apply(record);
                at += HEAD_BYTES + payload.len();
            }
        }
    }
}

fn bytes_of(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn sync_dir(path: &Path) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()
}

/// The file; in tests it may lie on a disk that becomes full.
#[derive(Debug)]
struct Medium {
    file: File,
    #[cfg(test)]
    room: Option<u64>,
}

impl Medium {
    fn new(file: File) -> Medium {
        Medium {
            file,
            #[cfg(test)]
            room: None,
        }
    }

    /// Another file on the same disk.
    fn like(&self, file: File) -> Medium {
        Medium {
            file,
            #[cfg(test)]
            room: self.room,
        }
    }

    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        #[cfg(test)]
        if let Some(room) = &mut self.room {
            let fits = usize::try_from(*room).unwrap().min(bytes.len());
            *room -= bytes_of(fits);
            self.file.write_all_at(&bytes[..fits], at)?;
            return if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) };
        }
        self.file.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn lock(&self) -> io::Result<()> {
        self.file.try_lock().map_err(io::Error::from)
    }
}

#[cfg(test)]
mod tests;
