//! Whether a node that has a connection has stopped answering on it: stopped, cut off, or busy with one long command.
//!
//! A link that is up takes requests on and hands them to the socket, and a node that hangs makes all who ask it wait for as
//! long as a reply may take. So once a link that owes replies has brought nothing for longer than a request may be held, it
//! takes on nothing more until it is heard again, or until a new connection to the node is ([`super::drive::probe`]).
//! To a member of a control group's shard nothing more is *sent* much sooner: it may be about to be replaced, and what no
//! socket has seen goes to its successor whatever it is.
//!
//! A member at one long command brings as little as one that has parked for ever. The difference is known elsewhere: its
//! pulse says that it is at work under a lease, and the control group passes that on ([`slotway_cluster::health::AtWork`]). As
//! long as it does, and a hold beyond, so that the last reply has its time to come, the link is busy and not silent.
//!
//! Looked at by the sweep; nothing on the way of a request keeps a clock for it. Pure.

use super::state::Peer;

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
    /// When the node was last known to be at work on what it owes. 0: never.
    at_work_us: u64,
}

/// How a link stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    pub(super) now_us: u64,
    pub(super) answered: u64,
    pub(super) owed: Owed,
    /// When bytes came last.
    pub(super) heard_us: u64,
    pub(super) peer: Peer,
    pub(super) pulse: PulseSays,
}

/// Whether the node has been sent anything that it has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owed {
    Nothing,
    /// What has its time: it blocks, or its client has not sent it to its end.
    Whenever,
    /// It has the beginning of a request.
    Begun,
    /// It has all of one.
    Whole,
}

/// What is known of the node beside this link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PulseSays {
    Nothing,
    /// It is at one command, and serves under a lease.
    AtWork,
}

/// What a look finds. Each with the time since when (thread clock, microseconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Answers,
    Quiet { since_us: u64 },
    Busy { since_us: u64 },
    Silent { since_us: u64 },
}

impl Silence {
    /// For how long the node has owed replies and brought nothing, as far as the last look knows.
    pub(super) fn quiet_us(&self, sight: Sight) -> u64 {
        match sight.owed {
            Owed::Whenever | Owed::Begun | Owed::Whole if sight.answered == self.answered => {
                sight.now_us.saturating_sub(self.since_us.max(sight.heard_us))
            }
            _ => 0,
        }
    }

    pub(super) fn look(&mut self, sight: Sight, hold_us: u64) -> Look {
        let Sight { now_us, answered, owed, heard_us, peer, pulse } = sight;
        if owed == Owed::Nothing || answered != self.answered {
            *self = Silence { answered, since_us: now_us, at_work_us: 0 };
            return Look::Answers;
        }
        let heard_us = self.since_us.max(heard_us);
        let quiet_us = now_us.saturating_sub(heard_us);
        let is_quiet = peer == Peer::Member && owed == Owed::Whole && quiet_us > QUIET_US;
        if is_quiet && pulse == PulseSays::AtWork {
            self.at_work_us = now_us;
        }
        let silent_us = now_us.saturating_sub(heard_us.max(self.at_work_us));
        match owed {
            Owed::Begun | Owed::Whole if silent_us > hold_us.max(SILENCE_US_MIN) => {
                Look::Silent { since_us: now_us - silent_us }
            }
            _ if is_quiet && self.at_work_us > heard_us => Look::Busy { since_us: heard_us },
            _ if is_quiet => Look::Quiet { since_us: heard_us },
            _ => Look::Answers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const HOLD: u64 = 5 * SECOND;

    /// Of a node that is no member.
    fn sight(now_s: u64, answered: u64, heard_s: u64) -> Sight {
        Sight {
            now_us: now_s * SECOND,
            answered,
            owed: Owed::Whole,
            heard_us: heard_s * SECOND,
            peer: Peer::Other,
            pulse: PulseSays::Nothing,
        }
    }

    fn of_member(now_s: u64, pulse: PulseSays) -> Sight {
        Sight { peer: Peer::Member, pulse, ..sight(now_s, 7, 1) }
    }

    fn silent(since_s: u64) -> Look {
        Look::Silent { since_us: since_s * SECOND }
    }

    #[test]
    fn a_link_that_owes_replies_and_brings_nothing_is_silent() {
        let mut silence = Silence::default();
        let mut look = |sight| silence.look(sight, HOLD);
        assert_eq!(look(sight(10, 7, 1)), Look::Answers);
        assert_eq!(look(sight(15, 7, 1)), Look::Answers);
        assert_eq!(look(sight(16, 7, 1)), silent(10));
        assert_eq!(look(sight(17, 8, 17)), Look::Answers, "a reply came");
        assert_eq!(look(sight(23, 8, 22)), Look::Answers, "a part of a long one did");
        assert_eq!(look(sight(28, 8, 22)), silent(22));
    }

    #[test]
    fn a_link_that_owes_nothing_is_not_silent() {
        let mut silence = Silence::default();
        let still = |now_s| Sight { owed: Owed::Nothing, ..sight(now_s, 7, 1) };
        assert_eq!(silence.look(still(100), HOLD), Look::Answers);
        assert_eq!(silence.look(sight(101, 7, 1), HOLD), Look::Answers, "its first reply is not late yet");
        assert_eq!(silence.look(sight(106, 7, 1), HOLD), silent(100));
    }

    #[test]
    fn what_has_its_time_is_not_silent_and_what_was_begun_is_not_quiet() {
        for (owed, soon, late) in [
            (Owed::Whole, Look::Quiet { since_us: 10 * SECOND }, silent(10)),
            (Owed::Begun, Look::Answers, silent(10)),
            (Owed::Whenever, Look::Answers, Look::Answers),
        ] {
            let mut silence = Silence::default();
            let mut look = |now_s| silence.look(Sight { owed, ..of_member(now_s, PulseSays::Nothing) }, HOLD);
            assert_eq!([look(10), look(11), look(16)], [Look::Answers, soon, late], "{owed:?}");
        }
    }

    #[test]
    fn a_command_may_take_a_second_however_short_requests_are_held() {
        let mut silence = Silence::default();
        silence.look(sight(10, 7, 1), 0);
        assert_eq!(silence.look(sight(11, 7, 1), 0), Look::Answers);
        assert_eq!(silence.look(sight(12, 7, 1), 0), silent(10));
    }

    #[test]
    fn a_member_at_work_is_busy_and_a_hold_beyond() {
        let mut silence = Silence::default();
        let mut look = |now_s, pulse| silence.look(of_member(now_s, pulse), HOLD);
        let busy = Look::Busy { since_us: 10 * SECOND };
        assert_eq!(look(10, PulseSays::AtWork), Look::Answers, "its reply is not late yet");
        assert_eq!(look(11, PulseSays::Nothing), Look::Quiet { since_us: 10 * SECOND });
        assert_eq!([look(12, PulseSays::AtWork), look(40, PulseSays::AtWork)], [busy; 2]);
        assert_eq!(look(45, PulseSays::Nothing), busy, "its reply is on its way");
        assert_eq!(look(46, PulseSays::Nothing), silent(40));
        assert_eq!(look(47, PulseSays::AtWork), busy, "heard of again");
        let Look::Silent { .. } = look(60, PulseSays::Nothing) else { panic!("not for ever") };
    }

    #[test]
    fn what_a_member_was_at_before_its_last_word_excuses_nothing() {
        let mut silence = Silence::default();
        silence.look(of_member(10, PulseSays::Nothing), HOLD);
        silence.look(of_member(20, PulseSays::AtWork), HOLD);
        let sight = Sight { heard_us: 21 * SECOND, ..of_member(22, PulseSays::Nothing) };
        assert_eq!(silence.look(sight, HOLD), Look::Quiet { since_us: 21 * SECOND });
        let sight = Sight { answered: 8, ..of_member(23, PulseSays::Nothing) };
        assert_eq!(silence.look(sight, HOLD), Look::Answers);
        let sight = Sight { answered: 8, ..of_member(24, PulseSays::Nothing) };
        assert_eq!(silence.look(sight, HOLD), Look::Quiet { since_us: 23 * SECOND });
    }

    #[test]
    fn that_some_other_server_is_at_work_is_not_known_and_changes_nothing() {
        let mut silence = Silence::default();
        let at_work = |now_s| Sight { pulse: PulseSays::AtWork, ..sight(now_s, 7, 1) };
        silence.look(at_work(10), HOLD);
        assert_eq!(silence.look(at_work(16), HOLD), silent(10));
    }
}
