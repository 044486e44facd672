//! A disk in memory that forgets what was not synced, for tests.
//!
//! It keeps what a program sees and what would be left if the power went now. Every operation has a number; at a chosen
//! one the power goes: that operation and all behind it fail, and [`Simulated::after_crash`] is the disk that is found
//! afterwards. Of written but unsynced bytes a random prefix is left, of unsynced names (new, renamed, removed) the
//! first few, in their order, as a journalling file system keeps them. It can also be full, refuse to sync, and take
//! only a part of what is written.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Read, Write},
    sync::{Arc, Mutex, MutexGuard},
};

use super::disk::{Disk, DiskFile};

/// Shared by whoever has a file of it open.
#[derive(Clone, Default)]
pub(crate) struct Simulated(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    contents: HashMap<u64, Content>,
    next_inode: u64,
    names: BTreeMap<String, u64>,
    /// As of the last sync, and what has happened since.
    durable_names: BTreeMap<String, u64>,
    journal: Vec<Change>,
    operations: u64,
    /// At this operation the power goes.
    crash_at: Option<u64>,
    faults: Faults,
    syncs: u64,
    /// Held back: syncs wait until this is given back.
    stalled: bool,
    stalls_writes: bool,
}

/// What goes wrong while it is set.
#[derive(Clone, Default)]
pub(crate) struct Faults {
    /// Bytes that still fit.
    pub(crate) room_bytes: Option<u64>,
    pub(crate) syncs_fail: bool,
    pub(crate) renames_fail: bool,
    pub(crate) truncates_fail: bool,
    /// A write takes no more than this at once.
    pub(crate) write_bytes_max: Option<usize>,
}

#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Clone)]
enum Change {
    Named(String, u64),
    Gone(String),
    Renamed(String, String),
}

fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}

impl Simulated {
    pub(crate) fn new() -> Simulated {
        Simulated::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn set(&self, faults: Faults) {
        self.state().faults = faults;
    }

    pub(crate) fn crash_at(&self, operation: u64) {
        self.state().crash_at = Some(operation);
    }

    /// The power goes before the next operation.
    pub(crate) fn crash_now(&self) {
        let mut state = self.state();
        state.crash_at = Some(state.operations);
    }

    pub(crate) fn has_crashed(&self) -> bool {
        let state = self.state();
        state.crash_at.is_some_and(|at| state.operations >= at)
    }

    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Files synced so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// While it is stalled, a sync of a file does not return.
    pub(crate) fn stall(&self, stalled: bool) {
        self.state().stalled = stalled;
    }

    /// While it is stalled, a write does not return either.
    pub(crate) fn stall_writes_too(&self) {
        self.state().stalls_writes = true;
    }

    fn wait_while_stalled(&self) {
        while self.state().stalled {
            std::thread::yield_now();
        }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    pub(crate) fn content(&self, path: &str) -> Option<Vec<u8>> {
        let state = self.state();
        Some(state.contents[state.names.get(path)?].bytes.clone())
    }

    /// Puts a file there, durably.
    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        let mut state = self.state();
        let inode = state.next_inode;
        state.next_inode += 1;
        state.contents.insert(inode, Content { bytes: bytes.to_vec(), durable: bytes.to_vec() });
        state.names.insert(path.to_owned(), inode);
        state.durable_names.insert(path.to_owned(), inode);
    }

    /// What is found when the power is back. `random` gives numbers below its argument.
    pub(crate) fn after_crash(&self, mut random: impl FnMut(usize) -> usize) -> Simulated {
        let state = self.state();
        let mut names = state.durable_names.clone();
        for change in &state.journal[..random(state.journal.len() + 1)] {
            apply(&mut names, change.clone());
        }
        let mut contents = HashMap::new();
        for inode in names.values() {
            let content = &state.contents[inode];
            let mut left = content.durable.clone();
            // What was appended and not synced may be there in part.
            if let Some(unsynced) = content.bytes.strip_prefix(content.durable.as_slice()) {
                left.extend_from_slice(&unsynced[..random(unsynced.len() + 1)]);
            }
            contents.insert(*inode, Content { bytes: left.clone(), durable: left });
        }
        let next_inode = state.next_inode;
        Simulated(Arc::new(Mutex::new(State {
            contents,
            next_inode,
            durable_names: names.clone(),
            names,
            ..State::default()
        })))
    }
}

fn apply(names: &mut BTreeMap<String, u64>, change: Change) {
    match change {
        Change::Named(name, inode) => {
            names.insert(name, inode);
        }
        Change::Gone(name) => {
            names.remove(&name);
        }
        Change::Renamed(from, to) => {
            if let Some(inode) = names.remove(&from) {
                names.insert(to, inode);
            }
        }
    }
}

impl State {
    /// Counts an operation; fails if there is no power for it.
    fn operate(&mut self) -> io::Result<()> {
        if self.crash_at.is_some_and(|at| self.operations >= at) {
            return Err(power_is_off());
        }
        self.operations += 1;
        match self.crash_at.is_some_and(|at| self.operations >= at) {
            true => Err(power_is_off()),
            false => Ok(()),
        }
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.names, change.clone());
        self.journal.push(change);
    }

    fn inode(&self, path: &str) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for Simulated {
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.operate()?;
        let inode = state.next_inode;
        state.next_inode += 1;
        state.contents.insert(inode, Content::default());
        state.change(Change::Named(path.to_owned(), inode));
        Ok(Box::new(Open { disk: self.clone(), inode, read: 0 }))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.operate()?;
        Ok(Box::new(Open { disk: self.clone(), inode: state.inode(path)?, read: 0 }))
    }

    fn len(&self, path: &str) -> io::Result<Option<u64>> {
        let mut state = self.state();
        state.operate()?;
        let inode = state.names.get(path);
        Ok(inode.map(|inode| u64::try_from(state.contents[inode].bytes.len()).unwrap()))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        if state.faults.renames_fail {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        state.inode(from)?;
        state.change(Change::Renamed(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        state.inode(path)?;
        state.change(Change::Gone(path.to_owned()));
        Ok(())
    }

    fn make_directory(&self, _path: &str) -> io::Result<()> {
        self.state().operate()
    }

    fn sync_directory(&self, _path: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        if state.faults.syncs_fail {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        state.durable_names = state.names.clone();
        state.journal.clear();
        Ok(())
    }
}

struct Open {
    disk: Simulated,
    inode: u64,
    read: usize,
}

impl Open {
    fn with<T>(&self, act: impl FnOnce(&mut State, &mut Content) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state();
        let mut content = state.contents.remove(&self.inode).unwrap();
        let done = act(&mut state, &mut content);
        state.contents.insert(self.inode, content);
        done
    }
}

impl Read for Open {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let from = self.read;
        let len = self.with(|state, content| {
            state.operate()?;
            let left = content.bytes.get(from..).unwrap_or_default();
            let len = left.len().min(into.len());
            into[..len].copy_from_slice(&left[..len]);
            Ok(len)
        })?;
        self.read += len;
        Ok(len)
    }
}

impl Write for Open {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.disk.state().stalls_writes {
            self.disk.wait_while_stalled();
        }
        self.with(|state, content| {
            let mut taken = bytes.len().min(state.faults.write_bytes_max.unwrap_or(usize::MAX));
            if let Some(room) = &mut state.faults.room_bytes {
                let fits = usize::try_from(*room).unwrap();
                if fits == 0 && taken > 0 {
                    return Err(io::Error::from_raw_os_error(libc::ENOSPC));
                }
                taken = taken.min(fits);
                *room -= u64::try_from(taken).unwrap();
            }
            // Without power some of the bytes may have got through before.
            let powered = state.operate();
            if powered.is_err() {
                taken /= 2;
            }
            content.bytes.extend_from_slice(&bytes[..taken]);
            powered.map(|()| taken)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for Open {
    fn sync(&mut self) -> io::Result<()> {
        self.disk.wait_while_stalled();
        self.with(|state, content| {
            state.operate()?;
            if state.faults.syncs_fail {
                return Err(io::Error::from_raw_os_error(libc::EIO));
            }
            state.syncs += 1;
            content.durable = content.bytes.clone();
            Ok(())
        })
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.with(|state, content| {
            state.operate()?;
            if state.faults.truncates_fail {
                return Err(io::Error::from_raw_os_error(libc::EIO));
            }
            if let Some(room) = &mut state.faults.room_bytes {
                let len = usize::try_from(len).unwrap();
                *room += u64::try_from(content.bytes.len().saturating_sub(len)).unwrap();
            }
            content.bytes.truncate(usize::try_from(len).unwrap());
            Ok(())
        })
    }
}
