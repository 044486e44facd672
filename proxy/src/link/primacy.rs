//! Whether the node at the end of a link was replaced while it hung.
//!
//! Of a Redis Cluster, what such a node says when it wakes up is not to be believed: it may run and acknowledge what lay in its
//! sockets, and then throw it away for its successor's state. A member of a control group's shard says nothing then, but it may
//! be cut off, and no TCP timeout is waited for: that its epoch is over is the sign that nothing will come. A node that
//! handed over by agreement answers what it had taken on, or says that it will not. Looked at by the sweep. Pure.

use std::time::Duration;

/// How long who was replaced is listened to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// A node that has owed replies for so long and was replaced was replaced because it hangs.
    quiet_us: u64,
    /// One that handed over by agreement answers what it had taken on so soon after.
    grace_us: u64,
}

/// Nodes of a Redis Cluster.
pub(super) const OTHERS: Patience = Patience { quiet_us: 500_000, grace_us: 200_000 };

/// Members: a shorter silence than any after which one is replaced; a switchover takes less.
pub(super) const MEMBERS: Patience = Patience { quiet_us: super::silence::QUIET_US, grace_us: 25_000 };

/// When to look again once members were replaced.
pub(crate) const GRACE: Duration = Duration::from_micros(MEMBERS.grace_us);

/// What the topology has said of the link's node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Primacy {
    /// Nothing yet: a redirection may have named a node that owns no slot so far.
    Never,
    Present,
    /// It was a primary until then. Thread clock, microseconds.
    Lost {
        since_us: u64,
    },
}

impl Primacy {
    /// As the topology has it now.
    pub(super) fn look(self, is_present: bool, now_us: u64) -> Primacy {
        match self {
            _ if is_present => Primacy::Present,
            Primacy::Present => Primacy::Lost { since_us: now_us },
            other => other,
        }
    }

    /// `quiet_us`: for how long it has owed replies and brought nothing.
    pub(super) fn is_beyond_belief(self, now_us: u64, quiet_us: u64, patience: Patience) -> bool {
        let Primacy::Lost { since_us } = self else { return false };
        now_us.saturating_sub(since_us) >= patience.grace_us && quiet_us > patience.quiet_us
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
        assert!(!replaced.is_beyond_belief(2 * SECOND, SECOND, OTHERS), "it may be about to answer");
        assert!(replaced.look(false, 3 * SECOND).is_beyond_belief(3 * SECOND, SECOND, OTHERS));
        assert!(!replaced.is_beyond_belief(3 * SECOND, 0, OTHERS), "it answers");
        assert!(
            !replaced.look(true, 3 * SECOND).is_beyond_belief(9 * SECOND, SECOND, OTHERS),
            "it is one again"
        );
    }

    #[test]
    fn a_member_that_hung_is_given_up_as_soon_as_its_epoch_is_over() {
        let over = Primacy::Present.look(false, SECOND);
        assert!(!over.is_beyond_belief(SECOND, SECOND, MEMBERS), "it may be about to refer what waits");
        assert!(over.is_beyond_belief(SECOND + 25_000, SECOND, MEMBERS));
        assert!(!over.is_beyond_belief(2 * SECOND, 20_000, MEMBERS), "a switchover takes so long");
    }

    #[test]
    fn a_node_that_never_was_a_primary_was_not_replaced() {
        assert!(!Primacy::Never.look(false, 0).is_beyond_belief(9 * SECOND, 9 * SECOND, OTHERS));
    }
}
