//! Whether this node belongs to a cluster, which slots it serves, and what it answers for the others.
//!
//! A node started alone is a plain Redis server: it owns every slot and knows no CROSSSLOT. A member of the control
//! group adopts it, with orders on the pulse port or with `SLOTWAY TOPOLOGY version json node-id`; from then on it is
//! managed: it answers only for the slots of the shard whose primary it is, and refuses another cluster's topology, also
//! after a restart, because what it belongs to is kept in `DIR/node.json` ([`keeper`]). A replica owns no slot; it answers reads of its shard's slots for clients that
//! said READONLY, as replicas of a Redis Cluster do.

use std::{path::Path, sync::Arc};

use slotway_cluster::{
    Database, Epoch, NodeId, Slot, Topology, slot_of,
    topology::{Shard, SlotMap},
};
use slotway_commands::{Command, Id, keys, row::Policy};
use slotway_resp::Request;

use crate::{
    call::Refusal,
    client::{Client, Standing},
    condition::PARKED,
    keyspace::Place,
    pause,
};

mod file;
mod keeper;

pub(crate) use self::{
    file::{Held, KeptIn, LedBy, Life},
    keeper::Keeper,
};

/// The user name that members authenticate as.
pub(crate) const MEMBER: &str = "slotway";

/// The answer to what only the control group may do.
pub(crate) const MANAGED: &str = "ERR this node is managed; use slotway ctl ...";

const CROSSSLOT: &str = "CROSSSLOT Keys in request don't hash to the same slot";

/// A node's place in a cluster, if it has one.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) keeper: Arc<Keeper>,
    adopted: Option<Adopted>,
}

/// A topology and what follows from it for this node.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub(crate) topology: Topology,
    pub(crate) me: NodeId,
    pub(crate) led_by: LedBy,
    /// That of the shard it belongs to.
    pub(crate) epoch: Epoch,
    slots: SlotMap,
    /// Index of the shard whose primary this node is.
    serves: Option<usize>,
    /// Index of the shard whose replica it is.
    copies: Option<usize>,
    /// Whether that may be read from.
    shows: Shows,
}

/// What a replica shows of its copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    Copy,
    /// Nobody tells it how much of that is committed: it is no member of S.
    Nothing,
}

/// What a client accepts as an answer to its reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Reads {
    /// Those of the slot's owner only.
    #[default]
    Owner,
    /// READONLY: those of a replica too.
    Copies,
}

/// What SLOTWAY LINK said: the epoch and the topology by which whoever uses the link sends its requests here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinkSaid {
    pub(crate) epoch: Epoch,
    pub(crate) version: u64,
}

/// The slot of a transaction's keys, once there is a key.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OneSlot(Option<Slot>);

/// What became of a topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Taken,
    /// The node already has this version or a later one.
    Old,
}

impl Shows {
    /// Who takes orders is told when it is a member of S.
    fn at_first(led_by: LedBy) -> Shows {
        match led_by {
            LedBy::Topology => Shows::Copy,
            LedBy::Orders => Shows::Nothing,
        }
    }
}

impl Membership {
    /// Reads `node.json` of `dir`, if there is one.
    pub(crate) fn load(dir: &Path) -> Result<Membership, String> {
        let keeper = Arc::new(Keeper::load(dir)?);
        let adopted = keeper.file().map(|kept| Adopted::new(kept.topology, kept.node_id, kept.led_by));
        Ok(Membership { keeper, adopted })
    }

    pub(crate) fn adopted(&self) -> Option<&Adopted> {
        self.adopted.as_ref()
    }

    /// Takes a topology if it is newer. The error is the reply's text.
    pub(crate) fn adopt(&mut self, topology: Topology, me: NodeId, led_by: LedBy) -> Result<Outcome, String> {
        topology.validate().map_err(|bad| format!("ERR invalid topology: {bad}"))?;
        if topology.node(&me).is_none() {
            return Err(format!("ERR invalid topology: node {me} is not listed"));
        }
        if let Some(current) = &self.adopted {
            if current.topology.cluster_id != topology.cluster_id {
                let (own, other) = (&current.topology.cluster_id, &topology.cluster_id);
                return Err(format!("ERR this node belongs to cluster {own}, not to {other}"));
            }
            if current.me != me {
                return Err(format!("ERR this node is {}, not {me}", current.me));
            }
            match (current.led_by, led_by) {
                (LedBy::Orders, LedBy::Topology) => {
                    return Err("ERR this node takes orders of a control group and no topology".into());
                }
                // Versions of a file and of a log have nothing to do with each other.
                (LedBy::Topology, LedBy::Orders) => {}
                _ if current.topology.version >= topology.version => return Ok(Outcome::Old),
                _ => {}
            }
        }
        let shown = self.adopted.as_ref().filter(|current| current.led_by == led_by);
        let shows = shown.map_or(Shows::at_first(led_by), |current| current.shows);
        // Kept before it is answered: a node that restarts must know which cluster it belongs to.
        self.keeper
            .adopt(&me, &topology, led_by)
            .map_err(|error| format!("ERR cannot write node.json: {error}"))?;
        self.adopted = Some(Adopted { shows, ..Adopted::new(topology, me, led_by) });
        Ok(Outcome::Taken)
    }

    /// What it shows from now on, if it is a replica. Returns what it showed before.
    pub(crate) fn show(&mut self, shows: Shows) -> Option<Shows> {
        self.adopted.as_mut().map(|adopted| std::mem::replace(&mut adopted.shows, shows))
    }
}

impl Adopted {
    fn new(topology: Topology, me: NodeId, led_by: LedBy) -> Adopted {
        let slots = topology.slot_map();
        let serves = topology.shards.iter().position(|shard| shard.primary == me);
        let copies = topology.shards.iter().position(|shard| shard.replicas.contains(&me));
        let epoch = topology.shard_of(&me).map_or(Epoch::default(), |shard| shard.epoch);
        let shows = Shows::at_first(led_by);
        Adopted { topology, me, led_by, epoch, slots, serves, copies, shows }
    }

    /// The shard this node belongs to, as primary or replica.
    pub(crate) fn shard(&self) -> Option<&Shard> {
        self.topology.shard_of(&self.me)
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.serves.is_some()
    }

    /// Whether this node answers for a slot.
    pub(crate) fn owns(&self, slot: Slot) -> bool {
        self.serves.is_some() && self.slots.owner(slot) == self.serves
    }

    /// Whether it answers for a slot in this way.
    fn answers(&self, slot: Slot, reads: Reads) -> bool {
        let shows = self.shows == Shows::Copy;
        let copied = || shows && self.copies.is_some() && self.slots.owner(slot) == self.copies;
        self.owns(slot) || reads == Reads::Copies && copied()
    }

    /// Refuses a request whose keys are not all this node's to answer for. `places` may say where some of its keys
    /// lie.
    pub(crate) fn check(
        &self,
        row: &Command,
        request: Request<'_>,
        database: Database,
        places: &[Place],
        client: &Client,
    ) -> Result<(), Refusal> {
        if row.id == Id::Swapdb {
            // It would move keys of this node between slots that others may hold.
            return Err(MANAGED.into());
        }
        // A transaction was judged when its requests came.
        if let Some(said) = client.link.get()
            && said.epoch < self.epoch
            && row.id != Id::Exec
            && pause::is_about_data(row)
        {
            return Err(self.stale());
        }
        if !row.has_keys() {
            let hides = self.serves.is_none() && self.shows == Shows::Nothing;
            return if hides && pause::runs_on_data(row) {
                Err(self.refer_all(client.link.get()))
            } else {
                Ok(())
            };
        }
        // Keys that cannot be told: the command itself will answer a syntax error.
        let Ok(positions) = keys::positions(row, request) else { return Ok(()) };
        let link = client.link.get();
        let split = matches!(row.proxy, Policy::Split(_)) && client.standing.get() == Standing::Member;
        let reads = if row.is_readonly() { client.reads.get() } else { Reads::Owner };
        let mut first: Option<Slot> = None;
        for (nth, position) in positions.enumerate() {
            let slot = match places.get(nth) {
                Some(place) => place.slot,
                None => slot_of(&self.topology.placement, database, request.word(position)),
            };
            match first {
                // A proxy cuts such a request by shard: the slots may differ as long as all are served here.
                Some(seen) if seen != slot && !split => return Err(CROSSSLOT.into()),
                Some(seen) if seen == slot => continue,
                _ => {}
            }
            first = Some(slot);
            if !self.answers(slot, reads) {
                return Err(self.refer(slot, link));
            }
        }
        Ok(())
    }

    /// Adds the keys of a transaction's next request to those before: all must lie in one slot, whoever asks.
    pub(crate) fn add_keys(
        &self,
        row: &Command,
        request: Request<'_>,
        database: Database,
        slot: &mut OneSlot,
    ) -> Result<(), Refusal> {
        let Ok(positions) = keys::positions(row, request) else { return Ok(()) };
        for position in positions {
            let found = slot_of(&self.topology.placement, database, request.word(position));
            if *slot.0.get_or_insert(found) != found {
                return Err(CROSSSLOT.into());
            }
        }
        Ok(())
    }

    /// Refuses what is about all keys of a shard.
    #[cold]
    fn refer_all(&self, link: Option<LinkSaid>) -> Refusal {
        if link.is_some() { self.stale() } else { PARKED.into() }
    }

    /// Refuses a slot that is another node's.
    pub(crate) fn check_slot(
        &self,
        slot: OneSlot,
        reads: Reads,
        link: Option<LinkSaid>,
    ) -> Result<(), Refusal> {
        match slot.0 {
            Some(slot) if !self.answers(slot, reads) => Err(self.refer(slot, link)),
            _ => Ok(()),
        }
    }

    /// To a proxy that sends by an older topology: which one this node has.
    #[cold]
    pub(crate) fn stale(&self) -> Refusal {
        format!("STALE {} {}", self.epoch, self.topology.version).into()
    }

    /// Where the client should ask instead: a proxy looks in the topology.
    #[cold]
    fn refer(&self, slot: Slot, link: Option<LinkSaid>) -> Refusal {
        if link.is_some() {
            return self.stale();
        }
        let owner = self.slots.owner(slot).and_then(|index| self.topology.shards.get(index));
        let primary = owner.and_then(|shard| self.topology.node(&shard.primary));
        match primary {
            Some(node) => format!("MOVED {slot} {}", node.addr).into(),
            None => "CLUSTERDOWN Hash slot not served".into(),
        }
    }
}
