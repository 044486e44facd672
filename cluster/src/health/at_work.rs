//! Which primaries are at one long command and will answer, for data threads: on their links such a node brings as little as one that has
//! lost its lease, and only its pulse tells the two apart.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    ids::Epoch,
    pulse::wire::{Part, Status},
};

/// Shorter tasks of a keyspace are nobody's business.
pub(super) const BUSY_AFTER: Duration = Duration::from_millis(500);

/// Addresses for clients of the primaries that are at work, each with the epoch in which it serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AtWork(BTreeMap<String, Epoch>);

impl AtWork {
    /// Whether the node at `address` is at one command and serves in `epoch`.
    pub fn has(&self, address: &str, epoch: Epoch) -> bool {
        self.0.get(address) == Some(&epoch)
    }
}

impl FromIterator<(String, Epoch)> for AtWork {
    fn from_iter<I: IntoIterator<Item = (String, Epoch)>>(nodes: I) -> AtWork {
        AtWork(nodes.into_iter().collect())
    }
}

/// The epoch in which a node serves that has just said this, if it is at one command for a while and has what it needs to answer.
pub fn works_in(status: &Status) -> Option<Epoch> {
    let busy = status.busy.as_ref()?;
    let works = busy.under_lease && Duration::from_millis(busy.for_ms) >= BUSY_AFTER;
    match status.part {
        Part::Serving { epoch } if works => Some(epoch),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{health::tests::status, pulse::wire::Busy};

    #[test]
    fn a_node_is_at_work_while_it_is_at_one_command_and_will_answer() {
        let said = |part, for_ms, under_lease| {
            let busy = Some(Busy { for_ms, command: "keys".into(), under_lease });
            works_in(&Status { part, busy, ..status(1) })
        };
        let serving = Part::Serving { epoch: Epoch(3) };
        assert_eq!(said(serving, 500, true), Some(Epoch(3)));
        assert_eq!(said(serving, 499, true), None, "it may have just begun");
        assert_eq!(said(serving, 9000, false), None, "what it executes now is told to nobody");
        assert_eq!(said(Part::Parked { epoch: Epoch(3) }, 9000, true), None);
        assert_eq!(works_in(&Status { part: serving, ..status(1) }), None);
    }

    #[test]
    fn whoever_is_at_work_is_so_in_its_epoch() {
        let at_work = AtWork::from_iter([("a:1".to_owned(), Epoch(3))]);
        assert!(at_work.has("a:1", Epoch(3)));
        assert!(!at_work.has("a:1", Epoch(4)) && !at_work.has("a:2", Epoch(3)));
    }
}
