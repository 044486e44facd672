//! Whether the node at the end of a link was replaced as a primary while it hung.
//!
//! What such a node says when it wakes up is not to be believed: it may run and acknowledge what lay in its sockets, and then
//! throw it away for its successor's state. Looked at by the sweep. Pure.

/// A node that has owed replies for so long and is no primary any more was replaced because it hangs.
const QUIET_US: u64 = 500_000;

/// One that handed over by agreement answers what it had taken on soon after.
const GRACE_US: u64 = 200_000;

/// What the topology has said of the link's node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Primacy {
    /// Nothing yet: a redirection may have named a node that owns no slot so far.
    #[default]
    Never,
    Present,
    /// It was a primary until then. Thread clock, microseconds.
    Lost {
        since_us: u64,
    },
}

impl Primacy {
    /// As the topology has it now.
    pub(super) fn look(self, is_primary: bool, now_us: u64) -> Primacy {
        match self {
            _ if is_primary => Primacy::Present,
            Primacy::Present => Primacy::Lost { since_us: now_us },
            other => other,
        }
    }

    /// `quiet_us`: for how long it has owed replies and brought nothing.
    pub(super) fn is_beyond_belief(self, now_us: u64, quiet_us: u64) -> bool {
        let Primacy::Lost { since_us } = self else { return false };
        now_us.saturating_sub(since_us) > GRACE_US && quiet_us > QUIET_US
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_primary_that_hung_and_was_replaced_is_beyond_belief() {
        let replaced = Primacy::Never.look(true, 0).look(true, SECOND).look(false, 2 * SECOND);
        assert_eq!(replaced, Primacy::Lost { since_us: 2 * SECOND });
        assert!(!replaced.is_beyond_belief(2 * SECOND, SECOND), "it may be about to answer");
        assert!(replaced.look(false, 3 * SECOND).is_beyond_belief(3 * SECOND, SECOND));
        assert!(!replaced.is_beyond_belief(3 * SECOND, 0), "it answers");
        assert!(!replaced.look(true, 3 * SECOND).is_beyond_belief(9 * SECOND, SECOND), "it is one again");
    }

    #[test]
    fn a_node_that_never_was_a_primary_was_not_replaced() {
        assert!(!Primacy::Never.look(false, 0).is_beyond_belief(9 * SECOND, 9 * SECOND));
    }
}
