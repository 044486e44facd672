//! Whether a node that has a connection has stopped answering on it: stopped, cut off, or busy with one long command.
//!
//! A link that is up takes requests on and hands them to the socket, and a node that hangs makes all who ask it wait for as
//! long as a reply may take. So once a link that owes replies has brought nothing for longer than a request may be held, it
//! takes on nothing more until it is heard again, or until a new connection to the node is ([`super::drive::probe`]).
//! To a member of a control group's shard nothing more is *sent* much sooner: it may be about to be replaced, and what no
//! socket has seen goes to its successor whatever it is.
//! Looked at by the sweep; nothing on the way of a request keeps a clock for it. Pure.

/// However short requests are held: a command may take so long.
const SILENCE_US_MIN: u64 = 1_000_000;

/// A member that has answered nothing for so long may have lost its lease, or its life.
pub(super) const QUIET_US: u64 = 250_000;

/// What the sweep saw last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Silence {
    /// Replies are counted by where in the stream of requests they end.
    answered: u64,
    /// Thread clock, microseconds: since when the reply behind it is owed.
    since_us: u64,
}

/// How a link stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    pub(super) now_us: u64,
    pub(super) answered: u64,
    pub(super) owed: Owed,
    /// When bytes came last.
    pub(super) heard_us: u64,
}

/// Whether the node has been sent anything that it has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owed {
    Nothing,
    Replies,
}

impl Silence {
    /// For how long the node has owed replies and brought nothing, as far as the last look knows.
    pub(super) fn quiet_us(&self, sight: Sight) -> u64 {
        match sight.owed {
            Owed::Replies if sight.answered == self.answered => {
                sight.now_us.saturating_sub(self.since_us.max(sight.heard_us))
            }
            _ => 0,
        }
    }

    /// Since when the node has been silent, if that is for too long.
    pub(super) fn look(&mut self, sight: Sight, hold_us: u64) -> Option<u64> {
        if sight.owed == Owed::Nothing || sight.answered != self.answered {
            *self = Silence { answered: sight.answered, since_us: sight.now_us };
            return None;
        }
        let quiet_us = self.quiet_us(sight);
        (quiet_us > hold_us.max(SILENCE_US_MIN)).then(|| sight.now_us - quiet_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn sight(now_s: u64, answered: u64, heard_s: u64) -> Sight {
        Sight { now_us: now_s * SECOND, answered, owed: Owed::Replies, heard_us: heard_s * SECOND }
    }

    #[test]
    fn a_link_that_owes_replies_and_brings_nothing_is_silent() {
        let mut silence = Silence::default();
        let mut look = |sight| silence.look(sight, 5 * SECOND);
        assert_eq!(look(sight(10, 7, 1)), None);
        assert_eq!(look(sight(15, 7, 1)), None);
        assert_eq!(look(sight(16, 7, 1)), Some(10 * SECOND));
        assert_eq!(look(sight(17, 8, 17)), None, "a reply came");
        assert_eq!(look(sight(23, 8, 22)), None, "a part of a long one did");
        assert_eq!(look(sight(28, 8, 22)), Some(22 * SECOND));
    }

    #[test]
    fn a_link_that_owes_nothing_is_only_quiet() {
        let mut silence = Silence::default();
        let quiet = |now_s| Sight { owed: Owed::Nothing, ..sight(now_s, 7, 1) };
        assert_eq!(silence.look(quiet(100), 5 * SECOND), None);
        assert_eq!(silence.look(sight(101, 7, 1), 5 * SECOND), None, "its first reply is not late yet");
        assert_eq!(silence.look(sight(106, 7, 1), 5 * SECOND), Some(100 * SECOND));
    }

    #[test]
    fn a_command_may_take_a_second_however_short_requests_are_held() {
        let mut silence = Silence::default();
        silence.look(sight(10, 7, 1), 0);
        assert_eq!(silence.look(sight(11, 7, 1), 0), None);
        assert_eq!(silence.look(sight(12, 7, 1), 0), Some(10 * SECOND));
    }
}
