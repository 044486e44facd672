//! Which life a process has: a new one, or that of the process before it.
//!
//! A node that is started again with everything that it had acknowledged and promised is the member that it was; any other is
//! somebody else, and says so by another incarnation. `node.json` names a life that may be gone on with ([`Keeper`]); whether that is
//! true shows when the data are loaded: they must say themselves that they reach as far as the file says, so that a file in a directory
//! whose data were removed or put back is not believed. With `appendfsync always` the file knows no position, and the data alone
//! say it.
//!
//! At a clean end the position is noted, if everything is on the disk.

use std::{io, time::Duration};

use slotway_cluster::{
    Position,
    pulse::{Boot, Identity, Life, wire::Part},
};
use slotway_config::Key;
use slotway_link::boottime;

use crate::{
    feed::Source,
    identity,
    membership::{self, Held, KeptIn, LedBy},
    node::Node,
};

impl Node {
    /// Before the data are loaded. None: they decide.
    pub(crate) fn be_born(&mut self) -> io::Result<Option<Boot>> {
        let file = self.membership.keeper.file();
        match file.is_some_and(|file| file.life.is_some()) {
            true => Ok(None),
            false => self.begin_life(None).map(Some),
        }
    }

    /// Behind the loading, if [`Node::be_born`] could not tell.
    pub(crate) fn come_back(&mut self) -> io::Result<Boot> {
        let life = self.membership.keeper.file().and_then(|file| file.life);
        let stands = self.persistence.loaded.position();
        let kept = life.filter(|life| self.is_true(life, stands));
        match (&kept, stands) {
            (Some(life), Some(position)) => {
                tracing::info!(incarnation = %life.incarnation, %position, "goes on with the life of the process before");
                let told = self.persistence.loaded.stands.clone();
                match (&life.held, told) {
                    (Some(held), _) => self.stand_at(held.lineage.clone(), held.position, held.database),
                    (None, Some(told)) => self.stand_at(told.lineage, told.position, told.database),
                    (None, None) => {}
                }
                self.vitals.publish(position);
            }
            _ => {
                tracing::info!("the data are not known to hold all that was acknowledged: a new life begins")
            }
        }
        self.begin_life(kept)
    }

    /// Whether the data bear out what the file says.
    fn is_true(&self, life: &membership::Life, stands: Option<Position>) -> bool {
        match &life.held {
            Some(held) => stands == Some(held.position) && held.kept_in == self.keeps_in(),
            None => stands.is_some() && self.is_synced(),
        }
    }

    fn begin_life(&mut self, kept: Option<membership::Life>) -> io::Result<Boot> {
        let incarnation = kept.as_ref().map_or_else(identity::fresh_incarnation, |life| life.incarnation);
        let keeper = &self.membership.keeper;
        keeper.begin(incarnation, self.is_synced())?;
        let promised = keeper.file().map(|file| file.promised).unwrap_or_default();
        self.identity.incarnation = Some(incarnation);
        let identity = self.membership.adopted().and_then(|adopted| {
            Some(Identity {
                cluster_id: adopted.topology.cluster_id.clone(),
                shard: adopted.shard()?.id,
                node: adopted.me.clone(),
            })
        });
        let life = match kept {
            Some(_) => {
                self.vitals.see(promised);
                Life::Kept { promised }
            }
            None => Life::New,
        };
        let boot = Boot { incarnation, identity, life };
        self.boot = Some(boot.clone());
        Ok(boot)
    }

    /// Everything is synced before it is acknowledged.
    fn is_synced(&self) -> bool {
        self.settings.flag(Key::Appendonly) && self.settings.text(Key::Appendfsync) == "always"
    }

    fn keeps_in(&self) -> KeptIn {
        if self.settings.flag(Key::Appendonly) { KeptIn::Log } else { KeptIn::Snapshot }
    }

    /// Settings have changed, nothing was acknowledged since, and they are not in effect yet.
    ///
    /// # Errors
    /// The disk's: the log must go on syncing, because a restart would rely on it.
    pub(crate) fn heed_syncing(&self) -> io::Result<()> {
        if self.is_synced() { Ok(()) } else { self.membership.keeper.syncs_no_more() }
    }

    /// The node has ended, and `kept_in` holds all that it has.
    pub(crate) fn end_life(&self, kept_in: KeptIn) {
        let database = match self.keyspace.feed.source() {
            Source::Primary => self.following.database(),
            Source::Own => self.keyspace.feed.selected().unwrap_or_default(),
        };
        let Some(position) = self.position_in_stream() else { return };
        let held = Held { position, lineage: self.replication.lineage.clone(), database, kept_in };
        match self.membership.keeper.end(held) {
            Ok(()) => tracing::info!(%position, "node.json says where the node stood"),
            Err(error) => tracing::warn!(%error, "node.json does not say where the node stood"),
        }
    }

    /// What INFO says of a member of a shard: what it does, in which epoch, and how far it has come. None: it takes no orders.
    pub(crate) fn seat_fact(&self, name: &str) -> Option<String> {
        let adopted = self.membership.adopted().filter(|adopted| adopted.led_by == LedBy::Orders)?;
        Some(match name {
            "slotway_part" => part_name(self.vitals.told().part).into(),
            "slotway_epoch" => adopted.shard()?.epoch.to_string(),
            "slotway_epoch_seen" => self.vitals.seen().to_string(),
            "slotway_position" => self.vitals.position().to_string(),
            "slotway_lease_ms_left" => match self.vitals.lease() {
                // Without replicas it needs none.
                (_, Duration::MAX) => "-1".into(),
                (_, until) => until.saturating_sub(boottime()).as_millis().to_string(),
            },
            _ => return None,
        })
    }
}

/// The word of INFO for a part.
fn part_name(part: Part) -> &'static str {
    match part {
        Part::None => "none",
        Part::Loading => "loading",
        Part::Learner { .. } => "learner",
        Part::Replica { .. } => "replica",
        Part::Opening { .. } => "opening",
        Part::Serving { .. } => "serving",
        Part::Returned { .. } => "returned",
        Part::Parked { .. } => "parked",
        Part::Stopped { .. } => "stopped",
    }
}
