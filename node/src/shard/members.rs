//! What other members and proxies say to this node about the shard: introductions, acknowledgements, SLOTWAY LINK.
//!
//! Everything carries the cluster, the shard and an epoch. An epoch below what this node has seen is refused (I2), with the
//! higher one in the refusal, so that whoever is behind fetches. A higher one is believed: the pulse and the machine are told.

use slotway_cluster::{
    Epoch, Incarnation, Member, NodeId, Position, ShardId,
    member::Event,
    replication::{Offset, replica::MemberWords},
};

use crate::{call::Refusal, client::Client, membership::LinkSaid, node::Node};

/// What a replica says of itself as a member of the shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberSaid {
    pub(crate) member: Member,
    /// That of the last EPOCH record it holds.
    pub(crate) position_epoch: Epoch,
}

impl Node {
    /// `REPLCONF slotway cluster-id shard epoch node incarnation position-epoch`. None of the words makes sense: refused.
    pub(crate) fn hear_member(&mut self, words: [&str; 6]) -> Result<MemberSaid, Refusal> {
        let [cluster_id, shard, epoch, node, incarnation, position_epoch] = words;
        let Some(seat) = &self.seat else {
            return Err("NOMASTERLINK this node has no seat in a shard yet".into());
        };
        let bad = |_| Refusal::from("ERR invalid REPLCONF slotway");
        let shard = ShardId(shard.parse().map_err(|_| bad(()))?);
        let epoch = Epoch(epoch.parse().map_err(|_| bad(()))?);
        let position_epoch = Epoch(position_epoch.parse().map_err(|_| bad(()))?);
        let incarnation = Incarnation::try_from(incarnation.to_owned()).map_err(|_| bad(()))?;
        if cluster_id != seat.cluster_id() || shard != seat.shard() {
            let (own, of) = (seat.cluster_id(), seat.shard());
            return Err(format!("ERR this node is of shard {of} of cluster {own}").into());
        }
        let leads = seat.leads();
        let seen = self.vitals.seen().max(leads.unwrap_or_default());
        if epoch < seen {
            return Err(format!("STALE {seen}").into());
        }
        self.saw_epoch(epoch);
        match leads == Some(epoch) {
            true => {
                Ok(MemberSaid { member: Member::new(&NodeId(node.to_owned()), incarnation), position_epoch })
            }
            // It will, or somebody else does.
            false => Err("NOMASTERLINK this node does not lead that epoch".into()),
        }
    }

    /// Somebody said that this epoch has begun.
    pub(crate) fn saw_epoch(&mut self, epoch: Epoch) {
        if self.vitals.see(epoch) {
            self.tell_seat(Event::Seen(epoch));
        }
    }

    /// A member is attached, or acknowledges: it holds so much.
    pub(crate) fn member_holds(&mut self, said: &MemberSaid, is_new: bool, epoch: Epoch, offset: Offset) {
        let (member, held) = (said.member.clone(), Position { epoch, offset });
        if is_new {
            self.tell_seat(Event::Attached { member: member.clone(), held });
        }
        self.tell_seat(Event::Acked { member, held });
    }

    pub(crate) fn member_gone(&mut self, said: &MemberSaid) {
        self.tell_seat(Event::Detached { member: said.member.clone() });
    }

    /// What this node says of itself to the primary that it follows.
    pub(crate) fn member_words(&self) -> Option<MemberWords> {
        let seat = self.seat.as_ref()?;
        let (_, epoch) = seat.primary()?;
        Some(MemberWords {
            cluster_id: seat.cluster_id().to_owned(),
            shard: seat.shard(),
            epoch: *epoch,
            member: seat.me.clone(),
            position_epoch: self.held().epoch,
        })
    }

    /// `SLOTWAY LINK cluster-id shard epoch version`: a proxy says by which topology it sends what follows.
    pub(crate) fn hear_link(
        &mut self,
        client: &Client,
        cluster_id: &[u8],
        shard: ShardId,
        said: LinkSaid,
    ) -> Result<(), Refusal> {
        let Some(adopted) = self.membership.adopted() else {
            return Err("ERR this node has not been adopted".into());
        };
        if adopted.topology.cluster_id.as_bytes() != cluster_id {
            return Err(format!("ERR this node belongs to cluster {}", adopted.topology.cluster_id).into());
        }
        match adopted.shard() {
            Some(own) if own.id == shard => {}
            // Where it is, or is to be, whoever is behind has to learn.
            Some(_) | None if said.version > adopted.topology.version => {}
            Some(_) | None => return Err(adopted.stale()),
        }
        if said.epoch < adopted.epoch {
            return Err(adopted.stale());
        }
        client.link.set(Some(said));
        if let Some(seat) = &mut self.seat {
            seat.linked(said.version);
            self.saw_epoch(said.epoch);
            self.look_at_lease();
        }
        Ok(())
    }
}
