//! `group.json`: which group a data directory belongs to, and as whom.
//!
//! Written before the group is first heard of, so that a restart goes on as the same member. A group that an operator made anew
//! ([`super::recover`]) has another generation: members of before are strangers to it.

use std::{
    fs,
    hash::{BuildHasher, Hasher, RandomState},
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use slotway_cluster::ProxyId;

use super::kind::SeatId;
use crate::topology_file::replace;

pub(super) const FILE_NAME: &str = "group.json";

/// Two names and two numbers.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// A group: of two with one of these differing, neither listens to the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GroupName {
    pub(super) cluster_id: String,
    pub(super) generation: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) group: GroupName,
    pub(super) proxy: ProxyId,
    pub(super) seat: SeatId,
    /// This directory's log is the group's first: nobody else can have begun it.
    pub(super) founder: bool,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is not what it should be: {why}", path.display())]
    Syntax { path: PathBuf, why: String },
}

/// None: the directory belongs to no group yet.
pub(super) fn load(dir: &Path) -> Result<Option<Identity>, IdentityError> {
    let path = dir.join(FILE_NAME);
    let syntax = |why: String| IdentityError::Syntax { path: path.clone(), why };
    match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
            return Err(syntax(format!("{} bytes long", metadata.len())));
        }
        Ok(_) | Err(_) => {}
    }
    let text = fs::read(&path).map_err(|source| IdentityError::Read { path: path.clone(), source })?;
    serde_json::from_slice(&text).map(Some).map_err(|error| syntax(error.to_string()))
}

pub(super) fn store(dir: &Path, identity: &Identity) -> Result<(), IdentityError> {
    let path = dir.join(FILE_NAME);
    let text = serde_json::to_vec_pretty(identity)
        .map_err(|error| IdentityError::Syntax { path: path.clone(), why: error.to_string() })?;
    replace(&path, &text).map_err(|source| IdentityError::Write { path, source })
}

/// A number that nobody else draws. Below 2^53, so that no JSON reader rounds it.
pub(super) fn draw() -> u64 {
    (RandomState::new().build_hasher().finish() >> 11).max(1)
}
