//! `DIR/topology.json`: the topology as a file that is either the old one or the new one, never half of one.
//!
//! Stored beside itself first, synced, then renamed over the old one, and the directory synced: after a power cut at any
//! moment a whole file is there. A file that is read was written by a program of ours or by hand, so everything is
//! checked and a mistake is reported with the file's name and what is wrong.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use slotway_cluster::{Topology, topology::BadTopology};

/// The file's name within a data directory.
pub const FILE_NAME: &str = "topology.json";

/// A topology of 1,000 shards is about 300 KB; whatever is larger than this is something else.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Why a topology file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("there is no {}", .0.display())]
    Absent(PathBuf),
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is {bytes} bytes: no topology is that large", path.display())]
    TooLarge { path: PathBuf, bytes: u64 },
    #[error("{} is no topology: {source}", path.display())]
    Syntax { path: PathBuf, source: serde_json::Error },
    #[error("{} contradicts itself: {source}", path.display())]
    Contradiction { path: PathBuf, source: BadTopology },
    #[error("{} has the cluster id \"{found}\", expected 40 hexadecimal digits", path.display())]
    ClusterId { path: PathBuf, found: String },
}

/// Reads and checks `DIR/topology.json`.
pub fn load(dir: &Path) -> Result<Topology, FileError> {
    let path = dir.join(FILE_NAME);
    let bytes = match fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(FileError::Absent(path)),
        Err(source) => return Err(FileError::Read { path, source }),
    };
    if bytes > FILE_BYTES_MAX {
        return Err(FileError::TooLarge { path, bytes });
    }
    let text = fs::read(&path).map_err(|source| FileError::Read { path: path.clone(), source })?;
    let topology: Topology =
        serde_json::from_slice(&text).map_err(|source| FileError::Syntax { path: path.clone(), source })?;
    let id = &topology.cluster_id;
    if id.len() != 40 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(FileError::ClusterId { path, found: id.clone() });
    }
    topology.validate().map_err(|source| FileError::Contradiction { path, source })?;
    Ok(topology)
}

/// Writes `DIR/topology.json`; returns once it would survive a power cut.
pub fn store(dir: &Path, topology: &Topology) -> Result<(), FileError> {
    let path = dir.join(FILE_NAME);
    let text = serde_json::to_vec_pretty(topology)
        .map_err(|source| FileError::Syntax { path: path.clone(), source })?;
    replace(&path, &text).map_err(|source| FileError::Write { path, source })
}

/// Puts `text` in the place of whatever `path` held, all or nothing. Two writers at once do not disturb each other: each
/// has a name of its own until the rename.
pub fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = dir.join(name);
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(text)?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&beside, path));
    if renamed.is_err() {
        // Best effort: what matters is that the old file is still whole, and it is.
        let _ = fs::remove_file(&beside);
    }
    renamed?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use slotway_cluster::SlotRange;

    use super::*;
    use crate::discover;

    fn topology() -> Topology {
        discover::from_backends(&["127.0.0.1:7001".into(), "127.0.0.1:7002".into()], None)
    }

    #[test]
    fn what_was_stored_is_loaded_and_nothing_else_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        for version in [1, 2] {
            let topology = Topology { version, ..topology() };
            store(dir.path(), &topology).unwrap();
            assert_eq!(load(dir.path()).unwrap(), topology);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_write_that_broke_off_leaves_the_old_file_whole() {
        let dir = tempfile::tempdir().unwrap();
        store(dir.path(), &topology()).unwrap();
        // What a crash between write and rename leaves: half a file under the other name.
        let beside = dir.path().join(format!("{FILE_NAME}.{}.new", std::process::id()));
        fs::write(&beside, b"{\"version\": 2, \"clus").unwrap();
        assert_eq!(load(dir.path()).unwrap(), topology());
        store(dir.path(), &Topology { version: 3, ..topology() }).unwrap();
        assert_eq!(load(dir.path()).unwrap().version, 3);
        assert!(!beside.exists(), "the leftover is used up");
    }

    #[test]
    fn a_store_that_fails_keeps_the_old_file_and_says_where() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        let error = store(&missing, &topology()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot write {}", missing.join(FILE_NAME).display())), "{error}");
    }

    fn check_refused(text: &[u8], expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE_NAME), text).unwrap();
        let error = load(dir.path()).unwrap_err().to_string();
        let named = error.starts_with(&dir.path().join(FILE_NAME).display().to_string());
        assert!(named && error.contains(expected), "{error}");
    }

    #[test]
    fn a_file_that_is_no_topology_is_refused_by_name_and_reason() {
        check_refused(b"", "is no topology: EOF");
        check_refused(b"{\"version\": 1}", "missing field `cluster_id`");
        check_refused(b"\xff\xfe", "is no topology");
        let mut twice = topology();
        twice.shards[1].slots = vec![SlotRange::full()];
        check_refused(&serde_json::to_vec(&twice).unwrap(), "slot 0 is held by shards 1 and 2");
        let strange = Topology { cluster_id: "mine".into(), ..topology() };
        check_refused(&serde_json::to_vec(&strange).unwrap(), "has the cluster id \"mine\"");
        let text = serde_json::to_string(&topology()).unwrap().replace("16383", "16384");
        check_refused(text.as_bytes(), "16384");
    }

    #[test]
    fn a_missing_file_is_told_from_an_unreadable_one() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(load(dir.path()), Err(FileError::Absent(_))));
        fs::create_dir(dir.path().join(FILE_NAME)).unwrap();
        assert!(matches!(load(dir.path()), Err(FileError::Read { .. })));
    }
}
