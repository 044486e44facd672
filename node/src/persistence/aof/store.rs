//! The log's directory: its manifest on the disk, and the steps by which files come and go.
//!
//! Every step leaves a directory from which the log can be loaded, whenever the power goes: a file is complete and synced
//! before the manifest names it, the manifest is replaced in one step (written beside, synced, renamed, directory
//! synced), and a file is deleted only after a durable manifest has stopped naming it for loading.
//!
//! When replacing it fails halfway, nobody knows which of the two manifests a crash would leave; then the store is
//! *unsure*, and writes the one that it goes by again before it does anything else. Both lead to the same data until then:
//! see [`Store::next_increment`] and [`Store::adopt_base`].
//!
//! Runs on helper threads, never on the keyspace thread: each step may take as long as the disk likes.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::{
    disk::{Disk, DiskFile},
    manifest::{BaseFormat, Entry, Manifest, Names},
};

pub(crate) struct Store {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) names: Names,
    state: Mutex<State>,
}

struct State {
    manifest: Manifest,
    /// The disk may hold another manifest than ours.
    is_unsure: bool,
}

/// Where the writer goes on while a base is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Increment {
    /// In a file that the manifest names: the log is on.
    Listed,
    /// In one that it does not name yet: the log has no base, and is nothing without.
    OnItsWay,
    /// Nowhere: the log is off, and the base is all there is.
    None,
}

/// Why the log's directory cannot be used.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// The file and what is wrong with it.
    Manifest(String, String),
    /// The manifest names a file that is not there.
    Missing(String),
    Io(String, io::Error),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Manifest(path, what) => {
                write!(f, "{path} is no manifest of an append-only log: {what}")
            }
            StoreError::Missing(path) => write!(
                f,
                "{path} is missing, which the manifest names: restore it from a backup, or mend the manifest if it is known to be dispensable"
            ),
            StoreError::Io(path, error) => write!(f, "{path}: {error}"),
        }
    }
}

/// What the log's files hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sizes {
    pub(crate) base_bytes: u64,
    pub(crate) all_bytes: u64,
}

impl Store {
    /// Reads the manifest; a log of one file, as versions of Redis before 7 wrote it, becomes the base of a new one.
    pub(crate) fn open(disk: Arc<dyn Disk>, names: Names) -> Result<Store, StoreError> {
        let path = names.path(&names.manifest());
        let manifest = match read(&*disk, &path) {
            Ok(Some(text)) => {
                let parsed = Manifest::parse(&text);
                Some(parsed.map_err(|error| StoreError::Manifest(path, error.to_string()))?)
            }
            Ok(None) => None,
            Err(error) => return Err(StoreError::Io(path, error)),
        };
        let is_upgrade = is_upgrade(&*disk, &names, manifest.as_ref())
            .map_err(|error| StoreError::Io(names.file.clone(), error))?;
        let manifest = manifest.unwrap_or_default();
        let store = Store { disk, names, state: Mutex::new(State { manifest, is_unsure: false }) };
        if is_upgrade {
            store.upgrade().map_err(|error| StoreError::Io(store.names.file.clone(), error))?;
        }
        store.sweep();
        Ok(store)
    }

    /// A crash between the steps is found by the next start, which takes the rest of them.
    fn upgrade(&self) -> io::Result<()> {
        let base = Entry { name: self.names.file.clone(), seq: 1 };
        let mut state = self.lock();
        self.replace(&mut state, Manifest { base: Some(base), ..Manifest::default() })?;
        self.disk.rename(&self.names.file, &self.names.path(&self.names.file))?;
        self.disk.sync_directory(&self.names.directory)?;
        self.disk.sync_directory("")?;
        tracing::info!(
            file = self.names.file,
            "the append-only file of an older version is the base of a new log"
        );
        Ok(())
    }

    /// Removes what an earlier process has left unfinished.
    fn sweep(&self) {
        let names = &self.names;
        for name in [names.manifest_on_its_way(), names.increment_on_its_way(), names.base_on_its_way()] {
            let path = names.path(&name);
            if matches!(self.disk.len(&path), Ok(Some(_)))
                && let Err(error) = self.disk.remove(&path)
            {
                tracing::warn!(path, %error, "cannot remove what an earlier process has left");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked with it had not changed it: changes are single assignments.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn manifest(&self) -> Manifest {
        self.lock().manifest.clone()
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.names.path(name)
    }

    /// How much there is to load. Every file that the manifest names must be there.
    pub(crate) fn sizes(&self) -> Result<Sizes, StoreError> {
        let manifest = self.manifest();
        let mut sizes = Sizes::default();
        for entry in manifest.files() {
            let path = self.path(&entry.name);
            let bytes = match self.disk.len(&path) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return Err(StoreError::Missing(path)),
                Err(error) => return Err(StoreError::Io(path, error)),
            };
            sizes.all_bytes += bytes;
            if manifest.base.as_ref() == Some(entry) {
                sizes.base_bytes = bytes;
            }
        }
        Ok(sizes)
    }

    /// The increment that the log goes on in after a start, and its length; a first one if there is none.
    pub(crate) fn last_increment(&self) -> io::Result<(Box<dyn DiskFile>, u64)> {
        let last = self.manifest().increments.last().map(|last| self.path(&last.name));
        let Some(path) = last else { return Ok((self.next_increment()?, 0)) };
        let file = self.disk.open(&path)?;
        Ok((file, self.disk.len(&path)?.unwrap_or(0)))
    }

    /// Begins an increment. It is empty until the manifest that names it is durable, so it does not matter to what is
    /// loaded whether a crash leaves that manifest or the one before it; the writer writes to the new file only behind an
    /// `Ok`, and to the old one otherwise.
    pub(crate) fn next_increment(&self) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.lock();
        self.settle(&mut state)?;
        self.disk.make_directory(&self.names.directory)?;
        let next = state.manifest.with_increment(&self.names);
        let path = self.path(&self.names.increment(state.manifest.next_increment_seq()));
        let file = self.disk.create(&path)?;
        self.replace(&mut state, next)?;
        Ok(file)
    }

    /// Begins an increment that counts once there is a base before it. Not while a base is adopted, which names the
    /// increment that was on its way when it began.
    pub(crate) fn increment_on_its_way(&self) -> io::Result<Box<dyn DiskFile>> {
        let _state = self.lock();
        self.disk.make_directory(&self.names.directory)?;
        self.disk.create(&self.path(&self.names.increment_on_its_way()))
    }

    /// Begins a base. A manifest of which nobody knows whether it is durable is settled first: it might name the file
    /// that this base will replace.
    pub(crate) fn begin_base(&self) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.lock();
        self.settle(&mut state)?;
        self.disk.make_directory(&self.names.directory)?;
        self.disk.create(&self.path(&self.names.base_on_its_way()))
    }

    /// The base is written and synced: from here on the log is this base and what follows it. After an error the log is
    /// what it was; the new base then lies there unnamed, or named by a manifest that a crash may leave, in which case
    /// base and increment say the same as the old files. A rewrite that `is_cancelled` adopts nothing: what is on its way
    /// then may belong to another.
    pub(crate) fn adopt_base(
        &self,
        format: BaseFormat,
        increment: Increment,
        is_cancelled: &AtomicBool,
    ) -> io::Result<()> {
        let mut state = self.lock();
        if is_cancelled.load(Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.settle(&mut state)?;
        let kept = match increment {
            Increment::Listed => 1,
            Increment::OnItsWay | Increment::None => 0,
        };
        let seq = state.manifest.next_base_seq();
        let on_its_way = self.path(&self.names.base_on_its_way());
        self.disk.rename(&on_its_way, &self.path(&self.names.base(seq, format)))?;
        let mut next = state.manifest.with_base(&self.names, format, kept);
        if increment == Increment::OnItsWay {
            // Behind the increments that have become history.
            let seq = state.manifest.next_increment_seq();
            let name = self.names.increment(seq);
            self.disk.rename(&self.path(&self.names.increment_on_its_way()), &self.path(&name))?;
            next.increments.push(Entry { name, seq });
        }
        self.replace(&mut state, next)
    }

    /// A base that did not come to its end.
    pub(crate) fn give_up_base(&self) {
        // Left lying, it is overwritten by the next one.
        let _ = self.disk.remove(&self.path(&self.names.base_on_its_way()));
    }

    /// Deletes what is no longer needed. May take long: files are large.
    pub(crate) fn collect_history(&self) -> io::Result<()> {
        let history = self.manifest().history;
        if history.is_empty() {
            return Ok(());
        }
        for entry in &history {
            match self.disk.remove(&self.path(&entry.name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let mut state = self.lock();
        self.settle(&mut state)?;
        let next = state.manifest.without_history();
        self.replace(&mut state, next)
    }

    fn settle(&self, state: &mut State) -> io::Result<()> {
        match state.is_unsure {
            true => self.replace(state, state.manifest.clone()),
            false => Ok(()),
        }
    }

    /// Makes `next` the manifest, on the disk and here.
    fn replace(&self, state: &mut State, next: Manifest) -> io::Result<()> {
        let (directory, names) = (&self.names.directory, &self.names);
        let fresh = self.path(&names.manifest_on_its_way());
        self.disk.make_directory(directory)?;
        if state.manifest == Manifest::default() {
            // The directory may be new, too.
            self.disk.sync_directory("")?;
        }
        let mut file = self.disk.create(&fresh)?;
        file.write_all(next.render().as_bytes())?;
        file.sync()?;
        // From here on a crash may leave the one or the other.
        state.is_unsure = true;
        self.disk.rename(&fresh, &self.path(&names.manifest()))?;
        self.disk.sync_directory(directory)?;
        *state = State { manifest: next, is_unsure: false };
        Ok(())
    }
}

/// Whether a log of one file is to be taken over: as Redis 7 decides it.
fn is_upgrade(disk: &dyn Disk, names: &Names, manifest: Option<&Manifest>) -> io::Result<bool> {
    if disk.len(&names.file).unwrap_or(None).is_none() {
        return Ok(false);
    }
    let Some(manifest) = manifest else { return Ok(true) };
    // Begun before and not ended: the manifest is there, the file has not been moved yet.
    let is_begun = manifest.increments.is_empty()
        && manifest.history.is_empty()
        && manifest.base.as_ref().is_some_and(|base| base.name == names.file);
    Ok(is_begun && disk.len(&names.path(&names.file))?.is_none())
}

/// A small file as a whole; None: there is none.
fn read(disk: &dyn Disk, path: &str) -> io::Result<Option<Vec<u8>>> {
    if disk.len(path)?.is_none() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    disk.open(path)?.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persistence::aof::simulated::{Faults, Simulated};

    fn names() -> Names {
        Names { directory: "appendonlydir".into(), file: "appendonly.aof".into() }
    }

    fn open(disk: &Simulated) -> Store {
        Store::open(Arc::new(disk.clone()), names()).unwrap()
    }

    fn manifest_on(disk: &Simulated) -> String {
        String::from_utf8(disk.content("appendonlydir/appendonly.aof.manifest").unwrap()).unwrap()
    }

    fn write_base(store: &Store) {
        let mut base = store.begin_base().unwrap();
        base.write_all(b"base").unwrap();
        base.sync().unwrap();
    }

    #[test]
    fn a_rewrite_leaves_its_base_and_the_increment_behind_it() {
        let disk = Simulated::new();
        let store = open(&disk);
        store.last_increment().unwrap().0.write_all(b"old").unwrap();
        store.next_increment().unwrap().write_all(b"new").unwrap();
        write_base(&store);
        store.adopt_base(BaseFormat::Snapshot, Increment::Listed, &AtomicBool::new(false)).unwrap();
        store.collect_history().unwrap();
        assert_eq!(
            disk.names(),
            [
                "appendonlydir/appendonly.aof.1.base.rdb",
                "appendonlydir/appendonly.aof.2.incr.aof",
                "appendonlydir/appendonly.aof.manifest",
            ]
        );
        assert_eq!(store.sizes().unwrap(), Sizes { base_bytes: 4, all_bytes: 7 });
        assert_eq!(open(&disk).manifest(), store.manifest());
    }

    #[test]
    fn a_log_that_is_turned_on_counts_from_its_first_base_on() {
        let disk = Simulated::new();
        let store = open(&disk);
        store.increment_on_its_way().unwrap().write_all(b"set").unwrap();
        write_base(&store);
        assert!(!disk.names().iter().any(|name| name.ends_with(".manifest")), "nothing to load yet");
        store.increment_on_its_way().unwrap().write_all(b"later").unwrap();
        assert!(store.adopt_base(BaseFormat::Snapshot, Increment::OnItsWay, &AtomicBool::new(true)).is_err());
        assert!(!disk.names().iter().any(|name| name.ends_with(".manifest")), "that of another");
        store.increment_on_its_way().unwrap().write_all(b"set").unwrap();
        store.adopt_base(BaseFormat::Snapshot, Increment::OnItsWay, &AtomicBool::new(false)).unwrap();
        assert_eq!(
            manifest_on(&disk),
            "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
        );
        assert_eq!(disk.content("appendonlydir/appendonly.aof.1.incr.aof").unwrap(), b"set");
    }

    #[test]
    fn a_log_of_one_file_becomes_the_base_wherever_the_upgrade_is_interrupted() {
        for crash_at in 1.. {
            let disk = Simulated::new();
            disk.put("appendonly.aof", b"old");
            disk.crash_at(crash_at);
            let is_through = Store::open(Arc::new(disk.clone()), names()).is_ok() && !disk.has_crashed();
            let mut turn = 0;
            let found = disk.after_crash(|below| {
                turn += 1;
                (usize::try_from(crash_at).unwrap() + turn) % below
            });
            let store = open(&found);
            assert_eq!(manifest_on(&found), "file appendonly.aof seq 1 type b\n", "crash at {crash_at}");
            assert_eq!(found.content("appendonlydir/appendonly.aof").unwrap(), b"old");
            assert_eq!(store.sizes().unwrap().all_bytes, 3);
            if is_through {
                return;
            }
        }
    }

    #[test]
    fn what_failed_is_done_anew_and_until_then_the_old_files_are_the_log() {
        let disk = Simulated::new();
        let store = open(&disk);
        drop(store.last_increment().unwrap());
        let before = store.manifest();
        write_base(&store);
        for faults in [
            Faults { renames_fail: true, ..Faults::default() },
            Faults { syncs_fail: true, ..Faults::default() },
            Faults { room_bytes: Some(10), ..Faults::default() },
        ] {
            disk.set(faults);
            assert!(store.next_increment().is_err());
            assert_eq!(store.manifest(), before);
        }
        disk.set(Faults::default());
        drop(store.next_increment().unwrap());
        assert_eq!(open(&disk).manifest(), store.manifest());
        assert_eq!(store.manifest().increments.len(), 2);
    }

    #[test]
    fn a_file_that_the_manifest_names_must_be_there() {
        let disk = Simulated::new();
        disk.put("appendonlydir/appendonly.aof.manifest", b"file appendonly.aof.1.incr.aof seq 1 type i\n");
        let error = open(&disk).sizes().unwrap_err().to_string();
        assert!(error.starts_with("appendonlydir/appendonly.aof.1.incr.aof is missing"), "{error}");
        disk.put("appendonlydir/appendonly.aof.manifest", b"rubbish\n");
        let error = Store::open(Arc::new(disk), names()).err().unwrap().to_string();
        assert!(error.contains("is no manifest") && error.contains("line 1"), "{error}");
    }
}
