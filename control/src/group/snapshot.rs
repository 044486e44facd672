//! `raft.snapshot`: the whole state at one entry of the log, so that the log before it can be forgotten.
//!
//! One frame ([`super::journal`]) of JSON, replaced as a whole: the old file or the new one is there, never half of one.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use slotway_cluster::{Cluster, control::Contradiction};

use super::{
    journal::{framed, unframed},
    kind::SnapshotMeta,
};
use crate::topology_file::replace;

pub(super) const FILE_NAME: &str = "raft.snapshot";

/// Larger ones would not fit into a frame, nor into a message between proxies.
const FILE_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) meta: SnapshotMeta,
    pub(super) cluster: Cluster,
}

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is damaged: {why}", path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("{} contradicts itself: {source}", path.display())]
    Contradiction { path: PathBuf, source: Contradiction },
}

/// None: there is none yet.
pub(super) fn load(dir: &Path) -> Result<Option<Stored>, SnapshotError> {
    let path = dir.join(FILE_NAME);
    let damaged = |why: String| SnapshotError::Damaged { path: path.clone(), why };
    match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
            return Err(damaged(format!("{} bytes are no snapshot", metadata.len())));
        }
        Ok(_) | Err(_) => {}
    }
    let bytes = fs::read(&path).map_err(|source| SnapshotError::Read { path: path.clone(), source })?;
    let text = unframed(&bytes).ok_or_else(|| damaged("its checksum does not fit".into()))?;
    let stored: Stored = serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
    stored
        .cluster
        .validate()
        .map_err(|source| SnapshotError::Contradiction { path: path.clone(), source })?;
    Ok(Some(stored))
}

/// Returns once it would survive a power cut.
pub(super) fn store(dir: &Path, stored: &Stored) -> io::Result<()> {
    let too_large = || io::Error::new(io::ErrorKind::InvalidInput, "a snapshot of more than 64 MiB");
    let frame = framed(&serde_json::to_vec(stored)?).ok_or_else(too_large)?;
    replace(&dir.join(FILE_NAME), &frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_reads_back_and_a_changed_byte_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path()).unwrap().is_none());
        let stored =
            Stored { meta: SnapshotMeta::default(), cluster: Cluster { index: 7, ..Cluster::default() } };
        store(dir.path(), &stored).unwrap();
        assert_eq!(load(dir.path()).unwrap().unwrap().cluster, stored.cluster);
        let path = dir.path().join(FILE_NAME);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            let error = load(dir.path()).unwrap_err().to_string();
            assert!(error.contains("is damaged: its checksum"), "{error}");
        }
        fs::write(&path, &good[..good.len() / 2]).unwrap();
        assert!(load(dir.path()).is_err());
    }
}
