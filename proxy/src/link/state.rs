//! How a link stands, what moves it from one state to the next, and what it does with requests meanwhile.
//!
//! ```text
//!              Connected                 owes and brings nothing (a member's link)
//!   Opening ---------------> Up <------------------------------------------------> Quiet or Busy
//!      |  Failed             | ^ heard                                                | for longer than may be held
//!      v         Connected   | +--------------------------------- Silent <------------+
//!     Down <-----------------+ Broke (whatever the state was)
//! ```
//!
//! | state | sends | takes on | unsent waits for | sent waits for |
//! |---|---|---|---|---|
//! | Opening | nothing | as if up | a hold, or a connection's time (*) | - |
//! | Up | all | up to the limits of what is in flight | a hold | a request's time |
//! | Quiet | the rest of what was begun | up to the limits of what is held | a hold | a request's time |
//! | Busy | the rest of what was begun | up to the limits of what is held | a request's time | a request's time |
//! | Silent | a member: the rest of what was begun | nothing | a hold | a member: a hold |
//! | Down | nothing | up to the limits of what is held | a hold (*) | - |
//!
//! (*) A request's time, if the node's pulse says that it is at one command: it welcomes nobody meanwhile.
//!
//! A member that parks and one that is at a long command look alike from here; which of the two it is its pulse tells
//! ([`super::silence`]). Pure: [`super::look`] is told what happens, [`super::loss`] and [`super::Link`] ask what follows.

use super::silence::{Look, PulseSays};
use crate::limits::Limits;

/// Is there a connection, and does it bring what it owes? With the time since when it does not (thread clock, microseconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The first attempt to connect is under way: nobody knows whether the node is there.
    Opening {
        since_us: u64,
    },
    Up,
    Down {
        since_us: u64,
    },
    /// Up, but a member of a control group's shard owes replies and has brought nothing for a while: what comes is held.
    Quiet {
        since_us: u64,
    },
    /// As quiet, and its pulse says why: it is at one command, and will answer.
    Busy {
        since_us: u64,
    },
    /// Up, but it owes replies and has brought nothing for too long.
    Silent {
        since_us: u64,
    },
}

/// What happens to a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// There is a connection, and it is in the state that requests expect.
    Connected,
    /// An attempt to connect failed.
    Failed,
    /// The connection is gone.
    Broke,
    /// Bytes have come.
    Heard,
    /// The node answers, only not here: a new connection is made.
    AnswersElsewhere,
    /// The sweep has looked.
    Looked(Look),
}

/// What the node at the end of a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// Of a control group's shard: what is not sent to it may go to its successor.
    Member,
    Other,
}

/// What of the unsent is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sends {
    All,
    /// A node that has half a request would wait for the rest as we wait for it.
    RestOfBegun,
}

/// How much more a link takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intake {
    /// As much as may be in flight.
    Sent,
    /// As much as may be held. Without answers since then.
    Held { since_us: u64 },
    /// Nothing: it would be held for too long. Without answers since then.
    None { since_us: u64 },
}

/// What of a link's requests counts as held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Nothing,
    Unsent,
    All,
}

impl State {
    #[must_use]
    pub(super) fn on(self, event: Event, now_us: u64) -> State {
        match (self, event) {
            (_, Event::Connected) => State::Up,
            (State::Opening { .. }, Event::Failed) => State::Down { since_us: now_us },
            // What was silent has been down for so long.
            (State::Quiet { since_us } | State::Silent { since_us }, Event::Broke) => {
                State::Down { since_us }
            }
            (_, Event::Broke) => State::Down { since_us: now_us },
            (State::Quiet { .. } | State::Busy { .. }, Event::Heard) => State::Up,
            (_, Event::AnswersElsewhere) => State::Quiet { since_us: now_us },
            (state, Event::Looked(look)) if state.is_open() => match look {
                Look::Answers => State::Up,
                Look::Quiet { since_us } => State::Quiet { since_us },
                Look::Busy { since_us } => State::Busy { since_us },
                Look::Silent { since_us } => State::Silent { since_us },
            },
            (state, Event::Failed | Event::Heard | Event::Looked(_)) => state,
        }
    }

    /// There is a connection.
    pub(crate) fn is_open(self) -> bool {
        match self {
            State::Up | State::Quiet { .. } | State::Busy { .. } | State::Silent { .. } => true,
            State::Opening { .. } | State::Down { .. } => false,
        }
    }

    pub(crate) fn is_silent(self) -> bool {
        matches!(self, State::Silent { .. })
    }

    /// As metrics and PROXY EXPLAIN have it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            State::Opening { .. } => "opening",
            State::Up => "up",
            State::Down { .. } => "down",
            State::Quiet { .. } => "quiet",
            State::Busy { .. } => "busy",
            State::Silent { .. } => "silent",
        }
    }

    pub(super) fn sends(self, peer: Peer) -> Sends {
        match (self, peer) {
            (State::Quiet { .. } | State::Busy { .. }, _) | (State::Silent { .. }, Peer::Member) => {
                Sends::RestOfBegun
            }
            (
                State::Opening { .. } | State::Up | State::Down { .. } | State::Silent { .. },
                Peer::Member | Peer::Other,
            ) => Sends::All,
        }
    }

    pub(super) fn intake(self, now_us: u64, pulse: PulseSays, limits: &Limits) -> Intake {
        match self {
            State::Opening { .. } | State::Up => Intake::Sent,
            State::Silent { since_us } => Intake::None { since_us },
            State::Quiet { since_us } | State::Busy { since_us } | State::Down { since_us } => {
                match now_us.saturating_sub(since_us) > self.unsent_within_us(pulse, limits) {
                    true => Intake::None { since_us },
                    false => Intake::Held { since_us },
                }
            }
        }
    }

    /// How long what no socket has seen of waits since it was taken on.
    pub(super) fn unsent_within_us(self, pulse: PulseSays, limits: &Limits) -> u64 {
        match (self, pulse) {
            // The shard has a primary, and one command of it may take so long.
            (State::Busy { .. }, _) | (State::Opening { .. } | State::Down { .. }, PulseSays::AtWork) => {
                limits.hold_us_max.max(limits.request_us_max)
            }
            (State::Opening { .. }, PulseSays::Nothing) => limits.hold_us_max.max(limits.connect_us_max),
            (State::Down { .. }, PulseSays::Nothing)
            | (State::Up | State::Quiet { .. } | State::Silent { .. }, _) => limits.hold_us_max,
        }
    }

    /// How long the reply to what was sent may take. At a member that hangs it is no longer than what was not sent is held:
    /// with no successor it may be parked for ever, and nobody tells.
    pub(super) fn sent_within_us(self, peer: Peer, limits: &Limits) -> u64 {
        match (self, peer) {
            (State::Silent { .. }, Peer::Member) => limits.request_us_max.min(limits.hold_us_max),
            _ => limits.request_us_max,
        }
    }

    pub(super) fn holds(self) -> Holds {
        match self {
            State::Up | State::Silent { .. } => Holds::Nothing,
            State::Quiet { .. } | State::Busy { .. } => Holds::Unsent,
            State::Opening { .. } | State::Down { .. } => Holds::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use slotway_config::{Key, ProxyConfig, Settings};

    use super::*;

    const THEN: u64 = 1_000_000;
    const NOW: u64 = 9_000_000;
    const SECOND: u64 = 1_000_000;

    const OPENING: State = State::Opening { since_us: THEN };
    const UP: State = State::Up;
    const QUIET: State = State::Quiet { since_us: THEN };
    const BUSY: State = State::Busy { since_us: THEN };
    const SILENT: State = State::Silent { since_us: THEN };
    const DOWN: State = State::Down { since_us: THEN };
    const ALL: [State; 6] = [OPENING, UP, QUIET, BUSY, SILENT, DOWN];

    /// What becomes of each of [`ALL`].
    #[track_caller]
    fn check(event: Event, expected: [State; 6]) {
        for (state, expected) in ALL.into_iter().zip(expected) {
            assert_eq!(state.on(event, NOW), expected, "{state:?} {event:?}");
        }
    }

    #[test]
    fn every_state_knows_what_every_event_makes_of_it() {
        let (quiet, down) = (State::Quiet { since_us: NOW }, State::Down { since_us: NOW });
        check(Event::Connected, [UP; 6]);
        check(Event::Failed, [down, UP, QUIET, BUSY, SILENT, DOWN]);
        check(Event::Broke, [down, down, DOWN, down, DOWN, down]);
        check(Event::Heard, [OPENING, UP, UP, UP, SILENT, DOWN]);
        check(Event::AnswersElsewhere, [quiet; 6]);
        let since_us = 4 * SECOND;
        for (look, found) in [
            (Look::Answers, UP),
            (Look::Quiet { since_us }, State::Quiet { since_us }),
            (Look::Busy { since_us }, State::Busy { since_us }),
            (Look::Silent { since_us }, State::Silent { since_us }),
        ] {
            check(Event::Looked(look), [OPENING, found, found, found, found, DOWN]);
        }
    }

    fn limits(hold_ms: &str, request_ms: &str, connect_ms: &str) -> Limits {
        let flags = [
            ("hold-ms-max", hold_ms),
            ("request-timeout-ms", request_ms),
            ("connect-timeout-ms", connect_ms),
        ];
        let flags = flags.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let config = ProxyConfig::load(None, std::iter::empty(), flags).unwrap();
        let settings: Arc<Settings> = Arc::new(config.settings);
        assert_eq!(settings.integer(Key::HoldMsMax).to_string(), hold_ms);
        Limits::of(&settings, 1)
    }

    #[test]
    fn only_who_is_busy_keeps_what_was_not_sent_for_as_long_as_a_reply_may_take() {
        let limits = limits("5000", "15000", "1000");
        let unsent = |pulse| ALL.map(|state| state.unsent_within_us(pulse, &limits) / SECOND);
        assert_eq!(unsent(PulseSays::Nothing), [5, 5, 5, 15, 5, 5]);
        assert_eq!(unsent(PulseSays::AtWork), [15, 5, 5, 15, 5, 15], "who is at work welcomes nobody");
        let slow = super::tests::limits("200", "100", "1000");
        let unsent = [OPENING, BUSY].map(|state| state.unsent_within_us(PulseSays::Nothing, &slow) / 1000);
        assert_eq!(unsent, [1000, 200]);
    }

    #[test]
    fn a_silent_member_is_waited_for_no_longer_than_requests_are_held() {
        let limits = limits("5000", "15000", "1000");
        let sent = |peer| ALL.map(|state| state.sent_within_us(peer, &limits) / SECOND);
        assert_eq!(sent(Peer::Member), [15, 15, 15, 15, 5, 15]);
        assert_eq!(sent(Peer::Other), [15; 6]);
    }

    #[test]
    fn what_is_taken_on_depends_on_how_long_it_could_be_held() {
        let limits = limits("5000", "15000", "1000");
        let intake =
            |after_s: u64, pulse| ALL.map(|state| state.intake(THEN + after_s * SECOND, pulse, &limits));
        let (held, none) = (Intake::Held { since_us: THEN }, Intake::None { since_us: THEN });
        assert_eq!(intake(5, PulseSays::Nothing), [Intake::Sent, Intake::Sent, held, held, none, held]);
        assert_eq!(intake(6, PulseSays::Nothing), [Intake::Sent, Intake::Sent, none, held, none, none]);
        assert_eq!(intake(6, PulseSays::AtWork), [Intake::Sent, Intake::Sent, none, held, none, held]);
        assert_eq!(intake(16, PulseSays::AtWork), [Intake::Sent, Intake::Sent, none, none, none, none]);
    }

    #[test]
    fn a_member_that_may_be_replaced_is_sent_nothing_more() {
        let (all, rest) = (Sends::All, Sends::RestOfBegun);
        assert_eq!(ALL.map(|state| state.sends(Peer::Member)), [all, all, rest, rest, rest, all]);
        assert_eq!(ALL.map(|state| state.sends(Peer::Other)), [all, all, rest, rest, all, all]);
        let held = [Holds::All, Holds::Nothing, Holds::Unsent, Holds::Unsent, Holds::Nothing, Holds::All];
        assert_eq!(ALL.map(State::holds), held);
    }
}
