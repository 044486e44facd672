//! CLIENT PAUSE: requests of this proxy's clients wait, for a time or until CLIENT UNPAUSE.
//!
//! What is in force is kept where all data threads see it ([`crate::shared::Shared::pause`]), and each works with a copy
//! that it takes when it is told. A client whose next request has to wait stalls with that request set aside and all
//! behind it unread: nothing is reordered, nothing is lost. The sweep ends a pause whose time is over.
//!
//! Whoever pauses is answered when every data thread has seen it and every write that had been taken on before has been
//! answered or given up ([`Ebb`]): from then on nothing changes by this proxy's clients. The shell is `local/pause.rs`.

use std::cell::Cell;

use slotway_commands::{Command, Id};
use tokio::sync::Notify;

/// What waits. Times are those of the threads' clocks, which all count from the proxy's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Pause {
    #[default]
    None,
    /// What may change keys or speaks to replicas, until then.
    Writes { until_us: u64 },
    /// Everything, CLIENT UNPAUSE too, until then.
    All { until_us: u64 },
}

impl Pause {
    pub(crate) fn is_none(self) -> bool {
        self == Pause::None
    }

    /// What of it is left.
    #[must_use]
    pub(crate) fn at(self, now_us: u64) -> Pause {
        match self {
            Pause::Writes { until_us } | Pause::All { until_us } if until_us > now_us => self,
            Pause::None | Pause::Writes { .. } | Pause::All { .. } => Pause::None,
        }
    }

    /// A further pause: the longer and the stricter one holds.
    #[must_use]
    pub(crate) fn and(self, other: Pause) -> Pause {
        use Pause::{All, None, Writes};
        match (self, other) {
            (None, only) | (only, None) => only,
            (Writes { until_us: one }, Writes { until_us: two }) => Writes { until_us: one.max(two) },
            (
                Writes { until_us: one } | All { until_us: one },
                Writes { until_us: two } | All { until_us: two },
            ) => All { until_us: one.max(two) },
        }
    }

    /// Whether a request waits. `queued_writes`: what its client has queued since MULTI may write.
    pub(crate) fn holds(self, command: &Command, queued_writes: bool) -> bool {
        match self {
            Pause::None => false,
            Pause::All { .. } => true,
            Pause::Writes { .. } => command.may_write() || command.id == Id::Exec && queued_writes,
        }
    }
}

/// A thread's requests in flight, for whoever waits until some of them are over.
#[derive(Debug, Default)]
pub(crate) struct Ebb {
    waiting: Cell<usize>,
    changed: Notify,
}

impl Ebb {
    /// Requests may have come to their end: after each read of replies, and wherever requests are given up.
    #[inline]
    pub(crate) fn look(&self) {
        if self.waiting.get() > 0 {
            self.changed.notify_waiters();
        }
    }

    /// Waits until it is so.
    pub(crate) async fn until(&self, over: impl Fn() -> bool) {
        self.waiting.set(self.waiting.get() + 1);
        loop {
            let changed = self.changed.notified();
            if over() {
                break;
            }
            changed.await;
        }
        self.waiting.set(self.waiting.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn writes(until_us: u64) -> Pause {
        Pause::Writes { until_us }
    }

    const fn all(until_us: u64) -> Pause {
        Pause::All { until_us }
    }

    #[test]
    fn of_two_pauses_the_longer_and_the_stricter_hold() {
        let none = Pause::None;
        for (one, two, both) in [
            (none, none, none),
            (none, writes(5), writes(5)),
            (writes(5), writes(3), writes(5)),
            (writes(5), all(3), all(5)),
            (all(3), all(9), all(9)),
        ] {
            assert_eq!((one.and(two), two.and(one)), (both, both));
        }
    }

    #[test]
    fn a_pause_ends_by_itself() {
        assert_eq!([writes(5).at(4), writes(5).at(5), all(5).at(6)], [writes(5), Pause::None, Pause::None]);
        assert_eq!(all(5).at(5).and(writes(9)), writes(9), "what is over makes no other stricter");
    }

    #[tokio::test]
    async fn who_waits_for_the_ebb_looks_when_something_has_ended_and_not_in_between() {
        let (ebb, looks, over) = (Ebb::default(), Cell::new(0), Cell::new(false));
        let waiting = ebb.until(|| {
            looks.set(looks.get() + 1);
            over.get()
        });
        let ending = async {
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
            assert_eq!(looks.get(), 1);
            ebb.look();
            tokio::task::yield_now().await;
            assert_eq!(looks.get(), 2);
            over.set(true);
            ebb.look();
        };
        tokio::join!(waiting, ending);
        assert_eq!((looks.get(), ebb.waiting.get()), (3, 0));
    }

    #[test]
    fn writes_wait_and_what_else_replicas_would_hear_of() {
        let holds = |id, queued_writes| writes(1).holds(Command::row(id), queued_writes);
        for id in [Id::Set, Id::Del, Id::Flushall, Id::Getex, Id::Sort, Id::Publish, Id::Eval, Id::Pfcount] {
            assert!(holds(id, false), "{id:?}");
        }
        for id in [Id::Get, Id::Multi, Id::Exec, Id::ClientUnpause, Id::EvalRo, Id::Touch, Id::Ping] {
            assert!(!holds(id, false), "{id:?}");
        }
        assert!(holds(Id::Exec, true) && !holds(Id::Get, true));
        assert!(all(1).holds(Command::row(Id::ClientUnpause), false));
        assert!(!Pause::None.holds(Command::row(Id::Set), true));
    }
}
