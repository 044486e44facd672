//! Everything that lives on the keyspace thread, as one value: no locks, because nobody else can reach it.

use std::{rc::Rc, sync::Arc};

use slotway_cluster::{
    Database, NodeId, Placement, Topology, pulse::Boot, replication::HistoryId, slot::DATABASES,
};
use slotway_commands::{Command, errors};
use slotway_config::{Key, Secret, Settings};
use tokio::sync::{Notify, watch};

use crate::{
    bounds::{self, Bounds},
    call::Millis,
    client::{Client, Clients, Standing},
    condition::Condition,
    eviction::Exceeded,
    feed::Position,
    gate::{BEGINNING, Gate},
    identity::{self, Identity},
    keyspace::Keyspace,
    latency::Latency,
    membership::{LedBy, Membership, Outcome},
    memory::Memory,
    migrate::Migrations,
    output::AT_ONCE,
    pause::{self, Congested, Congestion, Pause, Pauses, Purpose},
    persistence::{self, Persistence, aof},
    replication::{Replication, handing, replica::Following},
    shard::Seat,
    shutdown,
    slow_log::SlowLog,
    snapshot::Snapshots,
    splices::Splices,
    statistics::Statistics,
    timing::Timing,
    transaction,
    vitals::Vitals,
};

/// The state of one node.
pub(crate) struct Node {
    pub(crate) keyspace: Keyspace,
    pub(crate) clients: Clients,
    pub(crate) statistics: Statistics,
    pub(crate) transaction_room: transaction::Room,
    /// Of the replies of this turn.
    pub(crate) splices: Splices,
    pub(crate) settings: Settings,
    /// Follows `settings`: see [`Node::settings_changed`].
    pub(crate) bounds: Bounds,
    pub(crate) membership: Membership,
    /// Shared with the pulse thread.
    pub(crate) vitals: Arc<Vitals>,
    /// What this process is to a cluster; None: that is not known before the data are loaded.
    pub(crate) boot: Option<Boot>,
    /// Its place in a shard of the control group's; None: nobody has given it one.
    pub(crate) seat: Option<Box<Seat>>,
    /// Requests on keys wait, as of the last look at the lease.
    pub(crate) is_parked: bool,
    pub(crate) memory: Memory,
    pub(crate) timing: Timing,
    pub(crate) slow_log: SlowLog,
    pub(crate) latency: Latency,
    /// What was told to wait.
    pub(crate) pauses: Pauses,
    /// Why writes wait for the disk.
    pub(crate) congestion: Congestion,
    /// What keeps it from serving everything.
    pub(crate) condition: Condition,
    pub(crate) migrations: Migrations,
    pub(crate) persistence: Persistence,
    /// Where replies wait for what they tell of to be certain.
    pub(crate) gate: Gate,
    /// Whom it follows.
    pub(crate) following: Following,
    pub(crate) snapshots: Snapshots,
    /// It is ending, and what still changes is to be saved.
    pub(crate) saves_at_end: bool,
    /// How long memory was above `maxmemory`.
    pub(crate) exceeded: Exceeded,
    pub(crate) identity: Identity,
    pub(crate) replication: Replication,
    /// What members prove themselves with; without one there are no members.
    pub(crate) secret: Option<Secret>,
    /// The client port.
    pub(crate) port: u16,
    pub(crate) started_at: Millis,
    /// Where members of the cluster ask how it is; None: it has no such port.
    pub(crate) pulse_port: Option<u16>,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub(crate) active_expiry: bool,
    /// Told what `loglevel` is.
    pub(crate) log_level: Option<watch::Sender<String>>,
    /// How it ends.
    pub(crate) ending: shutdown::Desk,
    /// How it changes places with a replica.
    pub(crate) handing: handing::Desk,
    /// Rung when it is to end.
    pub(crate) stop: Rc<Notify>,
    /// What listeners were handed.
    #[cfg(test)]
    pub(crate) handed_on: Vec<u8>,
}

impl Node {
    pub(crate) fn new(settings: Settings, secret: Option<Secret>, membership: Membership, port: u16) -> Node {
        let now = now();
        let identity = Identity::new(secret.as_ref());
        let placement = membership.adopted().map(|adopted| adopted.topology.placement.clone());
        let placement = placement.unwrap_or_default();
        let keyspace = Keyspace::new(placement, identity.scan_seed, bounds::of_keyspace(&settings));
        let replication = Replication::new(HistoryId::from_random(identity::random()), &settings);
        let following = Following::new(&settings);
        let mut node = Node {
            keyspace,
            clients: Clients::default(),
            statistics: Statistics::new(now),
            transaction_room: transaction::Room::default(),
            splices: Splices::default(),
            bounds: Bounds::of(&settings),
            settings,
            membership,
            vitals: Arc::default(),
            boot: None,
            seat: None,
            is_parked: false,
            memory: Memory::new(),
            timing: Timing::new(),
            slow_log: SlowLog::default(),
            latency: Latency::default(),
            pauses: Pauses::default(),
            congestion: Congestion::default(),
            condition: Condition::default(),
            gate: Gate::default(),
            migrations: Migrations::default(),
            persistence: Persistence::new(now),
            following,
            snapshots: Snapshots::default(),
            saves_at_end: false,
            exceeded: Exceeded::default(),
            identity,
            replication,
            secret,
            port,
            started_at: now,
            pulse_port: None,
            active_expiry: true,
            log_level: None,
            ending: shutdown::Desk::default(),
            handing: handing::Desk::default(),
            stop: Rc::new(Notify::new()),
            #[cfg(test)]
            handed_on: Vec::new(),
        };
        node.take_role();
        node.follow_replication_settings();
        node.serve_owned_slots();
        node
    }

    /// The keyspace follows the topology: which slots this node answers for.
    pub(crate) fn serve_owned_slots(&mut self) {
        if let Some(adopted) = self.membership.adopted() {
            self.keyspace.serve(|slot| adopted.owns(slot));
            // Orders say more than a topology: whom to follow is decided where they are obeyed.
            if adopted.led_by == LedBy::Topology {
                self.follow_topology();
            }
        }
    }

    /// What has to be released at the gate before the replies may leave that were written since [`Gate::begin`].
    #[inline]
    pub(crate) fn told_from(&self) -> Position {
        if self.gate.is_touched() { self.keyspace.feed.position().max(BEGINNING) } else { AT_ONCE }
    }

    /// Takes over a topology, if it is newer. One with another placement than the node's keys are laid out by changes nothing.
    /// The error is a reply's text.
    pub(crate) fn take_topology(
        &mut self,
        topology: Topology,
        me: NodeId,
        led_by: LedBy,
    ) -> Result<(), String> {
        let (version, placement) = (topology.version, topology.placement.clone());
        let adopted = self.membership.adopted();
        let present = adopted.map_or_else(Placement::default, |adopted| adopted.topology.placement.clone());
        let is_other = present != placement;
        if is_other && self.persistence.loading.is_some() {
            return Err(errors::LOADING.into());
        }
        if is_other && self.keys() > 0 {
            return Err(
                "ERR invalid topology: its placement is not the one by which this node's keys are laid out"
                    .into(),
            );
        }
        match self.membership.adopt(topology, me, led_by)? {
            Outcome::Taken => {
                tracing::info!(version, "took over a topology");
                handing::end(self);
                if is_other {
                    self.place_by(placement);
                }
                self.serve_owned_slots();
            }
            Outcome::Old => tracing::debug!(version, "was sent a topology that is not newer"),
        }
        Ok(())
    }

    /// Whether some commands have to wait: [`Node::holds`] says which.
    #[inline]
    pub(crate) fn is_holding(&self) -> bool {
        !(self.pauses.is_none() & self.congestion.is_none() & !self.is_parked)
    }

    /// Whether a command of this client has to wait.
    #[cold]
    pub(crate) fn holds(&self, client: &Client, row: &Command, now: Millis) -> bool {
        self.pauses.present().holds(client, row, now)
            || self.congestion.holds(client) && pause::is_write(client, row)
            || self.is_parked && self.parks(client, row)
    }

    /// Has commands wait.
    pub(crate) fn pause(&mut self, whose: Purpose, pause: Pause) {
        self.pauses.add(whose, pause);
    }

    /// Lets those go on who wait for the end of this pause.
    pub(crate) fn unpause(&mut self, whose: Purpose) {
        self.pauses.end(whose);
        self.wake_paused();
    }

    /// Lets those go on who wait for the end of a pause whose time is over.
    pub(crate) fn end_old_pauses(&mut self, now: Millis) {
        if self.pauses.end_old(now) {
            self.wake_paused();
        }
    }

    /// Writes wait for the disk from now on, until [`Node::relieve`] is called as often for this reason.
    pub(crate) fn congest(&mut self, why: Congested) {
        *self.congestion.of(why) += 1;
    }

    pub(crate) fn relieve(&mut self, why: Congested) {
        let count = self.congestion.of(why);
        *count = count.saturating_sub(1);
        if self.congestion.is_none() {
            self.wake_paused();
        }
    }

    /// Who has to wait all the same finds out by trying again.
    pub(crate) fn wake_paused(&mut self) {
        for client in self.clients.iter().filter(|client| client.is_paused.replace(false)) {
            client.wake();
        }
    }

    /// Closes clients until the others hold no more than `maxmemory-clients`.
    pub(crate) fn evict_clients(&mut self) {
        if self.bounds.clients_bytes_max != 0 {
            self.statistics.evicted_clients += self.clients.evict(self.bounds.clients_bytes_max);
        }
    }

    /// Keys of all databases.
    pub(crate) fn keys(&self) -> u64 {
        (0..DATABASES).map(|number| self.keyspace.len(Database(number))).sum()
    }

    /// Bytes of all databases that are neither keys nor values.
    pub(crate) fn overhead_bytes(&self) -> u64 {
        let of = |number| self.keyspace.overhead(Database(number));
        let bytes =
            (0..DATABASES).map(of).map(|overhead| overhead.tables + overhead.deadlines).sum::<usize>();
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// Lays the keyspace out anew for another placement. There must be no keys.
    pub(crate) fn place_by(&mut self, placement: Placement) {
        debug_assert_eq!(self.keys(), 0, "keys would be lost");
        let (stats, flushes) = (self.keyspace.stats, self.keyspace.flushes);
        let feed = std::mem::take(&mut self.keyspace.feed);
        self.keyspace = Keyspace::new(placement, self.identity.scan_seed, self.keyspace.settings);
        (self.keyspace.stats, self.keyspace.flushes) = (stats, flushes);
        self.keyspace.feed = feed;
        // What is being loaded would be laid out by the old one.
        self.following.begin_anew();
        self.take_role();
    }

    /// Puts changed settings into effect.
    pub(crate) fn settings_changed(&mut self) {
        self.bounds = Bounds::of(&self.settings);
        persistence::settings_changed(self);
        self.keyspace.configure(bounds::of_keyspace(&self.settings));
        self.follow_replication_settings();
        aof::adjust(self);
        self.heed_following();
        let level = self.settings.text(Key::Loglevel);
        if let Some(told) = &self.log_level {
            told.send_if_modified(|known| {
                let changed = known != level;
                if changed {
                    level.clone_into(known);
                }
                changed
            });
        }
    }

    /// What a client that has just connected, or said RESET, is.
    pub(crate) fn fresh_standing(&self) -> Standing {
        match self.bounds.password_set {
            true => Standing::Stranger,
            false => Standing::User,
        }
    }
}

/// A reading of the clock that measures how long things take: never of what time it is.
#[inline]
#[allow(
    clippy::disallowed_methods,
    reason = "the one place where this crate's shell reads the monotonic clock"
)]
pub(crate) fn instant() -> std::time::Instant {
    std::time::Instant::now()
}

/// The present time: read once per batch of requests and once per round of housekeeping.
#[allow(clippy::disallowed_methods, reason = "the one place where this crate's shell reads the wall clock")]
pub(crate) fn now() -> Millis {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}
