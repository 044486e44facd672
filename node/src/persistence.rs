//! What a node keeps on disk, and how it comes back from there.
//!
//! Two forms, as in Redis: a snapshot of everything at one moment ([`save`]), and a log of every change ([`aof`]). At a start
//! one of them is read ([`loading`]).

use std::sync::atomic::Ordering::Relaxed;

use slotway_cluster::Position;
use slotway_config::Key;

use crate::{call::Millis, node::Node};

pub(crate) mod aof;
pub(crate) mod save;

pub(crate) mod loading;

pub(crate) mod report;

/// The state of all of it.
pub(crate) struct Persistence {
    pub(crate) saves: save::Saves,
    pub(crate) desk: save::run::Desk,
    /// The FLUSHALLs that saves have taken note of.
    pub(crate) flushes: u64,
    /// While data are read.
    pub(crate) loading: Option<loading::Loading>,
    /// What was read last.
    pub(crate) loaded: loading::Loaded,
    pub(crate) log: aof::Log,
    pub(crate) reload: aof::reload::Desk,
    /// Where the last file that was saved at once says that the node stood.
    pub(crate) saved_at: Option<Position>,
}

impl Persistence {
    pub(crate) fn new(now: Millis) -> Persistence {
        Persistence {
            saves: save::Saves::new(now),
            desk: save::run::Desk::default(),
            flushes: 0,
            loading: None,
            loaded: loading::Loaded::default(),
            log: aof::Log::default(),
            reload: aof::reload::Desk::default(),
            saved_at: None,
        }
    }
}

/// Puts changed settings into effect.
pub(crate) fn settings_changed(node: &mut Node) {
    save::run::judge(node);
    if let Some(loading) = &node.persistence.loading {
        loading.meter.delay_micros.store(node.settings.integer(Key::KeyLoadDelay), Relaxed);
    }
}
