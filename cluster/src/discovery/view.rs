//! What one node says about its cluster, put together from its replies.
//!
//! Owners, epochs and replicas come from CLUSTER NODES, one reply and so one moment; addresses for clients from CLUSTER SHARDS
//! or SLOTS where that answered. A node that refuses CLUSTER NODES is believed by its SHARDS or SLOTS alone, without epochs.

use std::collections::BTreeMap;

use super::{
    BadReply, Member, MemberId,
    nodes::Nodes,
    state::{ClusterState, State},
};
use crate::{ids::Epoch, ranges::SlotRange, slot::Slot};

/// A range of slots and who holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) range: SlotRange,
    pub(crate) owner: MemberId,
}

impl Held {
    /// Takes `next` in if it continues this one.
    pub(crate) fn absorb(&mut self, next: &Held) -> bool {
        let joined = self.range.joined(next.range).filter(|_| self.owner == next.owner);
        self.range = joined.unwrap_or(self.range);
        joined.is_some()
    }
}

/// What one node says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The `host:port` under which it was asked.
    pub(crate) asked: String,
    /// Who it says it is.
    pub(crate) myself: Option<MemberId>,
    pub(crate) state: ClusterState,
    /// Those with an address.
    pub(crate) members: BTreeMap<MemberId, Member>,
    /// In the order of slots, neighbours with one owner joined.
    pub(crate) held: Vec<Held>,
    pub(crate) moving: bool,
}

impl View {
    /// # Errors
    /// The view contradicts itself, or neither reply could be read.
    pub fn new(
        asked: &str,
        nodes: Result<Nodes, BadReply>,
        layout: Result<Vec<Member>, BadReply>,
        state: ClusterState,
    ) -> Result<View, BadReply> {
        let (mut said, layout) = match (nodes, layout) {
            (Ok(nodes), layout) => (nodes, layout.unwrap_or_default()),
            (Err(_), Ok(layout)) => (Nodes { myself: None, members: layout, moving: Vec::new() }, Vec::new()),
            (Err(error), Err(_)) => return Err(error),
        };
        for told in layout {
            let Some(address) = told.address else { continue };
            if let Some(member) = said.members.iter_mut().find(|member| member.id == told.id) {
                member.address = Some(address);
            }
        }
        let myself = said.myself.or_else(|| {
            let at_asked = |member: &&Member| member.address.as_deref() == Some(asked);
            said.members.iter().find(at_asked).map(|member| member.id.clone())
        });
        let mut members = BTreeMap::new();
        for member in said.members.into_iter().filter(|member| member.address.is_some()) {
            if let Some(twice) = members.insert(member.id.clone(), member) {
                return Err(BadReply::new(format_args!("node {:.40} is listed twice", twice.id.0)));
            }
        }
        let held = held_by(&members)?;
        Ok(View { asked: asked.to_owned(), myself, state, members, held, moving: !said.moving.is_empty() })
    }

    /// Whether it is good enough to begin with.
    pub fn is_whole(&self) -> bool {
        self.state.state == State::Ok && !self.held.is_empty()
    }

    /// The address under which it was asked.
    pub fn asked(&self) -> &str {
        &self.asked
    }

    /// Every address it names.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.members.values().filter_map(|member| member.address.as_deref())
    }

    pub(crate) fn owner(&self, slot: Slot) -> Option<&MemberId> {
        let at = self.held.partition_point(|held| held.range.last() < slot);
        self.held.get(at).filter(|held| held.range.first() <= slot).map(|held| &held.owner)
    }

    /// The config epoch of a member.
    pub(crate) fn epoch(&self, id: &MemberId) -> Epoch {
        self.members.get(id).map_or(Epoch::default(), |member| member.epoch)
    }
}

fn held_by(members: &BTreeMap<MemberId, Member>) -> Result<Vec<Held>, BadReply> {
    let each = members
        .values()
        .flat_map(|member| member.slots.iter().map(|&range| Held { range, owner: member.id.clone() }));
    let mut held: Vec<Held> = each.collect();
    held.sort_by_key(|held| held.range);
    if let Some(pair) = held.windows(2).find(|pair| pair[1].range.first() <= pair[0].range.last()) {
        return Err(BadReply::new(format_args!("slot {} is listed twice", pair[1].range.first())));
    }
    held.dedup_by(|next, held| held.absorb(next));
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{layout, nodes, value::Value},
        *,
    };

    const OK: ClusterState = ClusterState { state: State::Ok, current_epoch: 1 };

    const NODES: &str = "aa 10.0.0.1:1@2 myself,master - 0 0 1 connected 0-9 11-20 10\n\
                         bb 10.0.0.2:1@2 master - 0 0 2 connected 21\ncc :0@0 noaddr,master - 0 0 3 connected 30\n";

    fn parsed(text: &str) -> Result<Nodes, BadReply> {
        nodes::parse(text, "h")
    }

    fn refused() -> BadReply {
        BadReply("NOPERM".into())
    }

    fn owner(view: &View, slot: u16) -> Option<&str> {
        view.owner(Slot::new(slot).unwrap()).map(|id| id.0.as_str())
    }

    #[test]
    fn slots_have_owners_and_those_of_a_node_without_address_have_none() {
        let view = View::new("h:1", parsed(NODES), Err(refused()), OK).unwrap();
        assert_eq!(view.held.len(), 2, "neighbouring ranges of one owner are one");
        assert_eq!(
            [owner(&view, 0), owner(&view, 20), owner(&view, 21)],
            [Some("aa"), Some("aa"), Some("bb")]
        );
        assert_eq!([owner(&view, 22), owner(&view, 30), owner(&view, 16383)], [None, None, None]);
        assert_eq!(view.myself, Some(MemberId("aa".into())));
        assert!(view.is_whole());
    }

    #[test]
    fn clients_are_sent_where_the_layout_says_and_a_layout_alone_is_enough() {
        let at =
            |host: &str, id: &str| Value::List(vec![Value::text(host), Value::Integer(1), Value::text(id)]);
        let entry =
            |id: &str, host: &str| Value::List(vec![Value::Integer(0), Value::Integer(9), at(host, id)]);
        let told = |id, host| layout::slots(&Value::List(vec![entry(id, host)]), "h");
        let view = View::new("h:1", parsed(NODES), told("bb", "db.example"), OK).unwrap();
        assert_eq!(view.addresses().collect::<Vec<_>>(), ["10.0.0.1:1", "db.example:1"]);
        assert_eq!(owner(&view, 5), Some("aa"), "who owns what is taken from one reply");
        let view = View::new("h:1", Err(refused()), told("aa", ""), OK).unwrap();
        assert_eq!((owner(&view, 5), view.myself.clone()), (Some("aa"), Some(MemberId("aa".into()))));
        assert_eq!(View::new("h:1", Err(refused()), Err(BadReply("other".into())), OK), Err(refused()));
    }

    #[test]
    fn a_view_that_contradicts_itself_is_refused() {
        let error = |text| View::new("h:1", parsed(text), Err(refused()), OK).unwrap_err().to_string();
        let twice =
            "aa 1.1.1.1:1@2 master - 0 0 1 connected 0-9\nbb 1.1.1.2:1@2 master - 0 0 2 connected 9-12\n";
        assert_eq!(error(twice), "slot 9 is listed twice");
        let same = "aa 1.1.1.1:1@2 master - 0 0 1 connected 0-9\naa 1.1.1.2:1@2 master - 0 0 2 connected\n";
        assert_eq!(error(same), "node aa is listed twice");
    }
}
