//! CLIENT PAUSE: commands wait, for a time or until CLIENT UNPAUSE; writes wait, too, while the node is about to end or to
//! change places with a replica. And they wait when the disk cannot keep up with them.
//!
//! A connection whose next command has to wait sleeps with that command unread, and with all behind it: nothing is
//! reordered. Meanwhile no key goes by eviction, or by its deadline unless it is asked for: what an operator pauses
//! writes for may not change by itself. That does not hold for [`Congestion`]: there it is only a matter of pace.

use slotway_commands::{
    Command, Id,
    row::{Flag, Group},
};

use crate::{
    call::Millis,
    client::Client,
    dispatch::{self, Handler},
};

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Pause {
    #[default]
    None,
    /// What may change keys, until then.
    Writes(Millis),
    /// Everything but what members say to each other, until then.
    All(Millis),
}

impl Pause {
    pub(crate) fn is_none(self) -> bool {
        self == Pause::None
    }

    /// When it ends by itself.
    pub(crate) fn until(self) -> Option<Millis> {
        match self {
            Pause::None => None,
            Pause::Writes(until) | Pause::All(until) => Some(until),
        }
    }

    pub(crate) fn is_over(self, now: Millis) -> bool {
        self.until().is_none_or(|until| until <= now)
    }

    /// A further pause: the longer and the stricter one holds.
    pub(crate) fn and(self, other: Pause) -> Pause {
        let until = self.until().max(other.until());
        match (self, other, until) {
            (_, _, None) => Pause::None,
            (Pause::All(_), _, Some(until)) | (_, Pause::All(_), Some(until)) => Pause::All(until),
            (_, _, Some(until)) => Pause::Writes(until),
        }
    }

    /// Whether a command of this client has to wait.
    pub(crate) fn holds(self, client: &Client, row: &Command, now: Millis) -> bool {
        if self.is_over(now) || row.group == Group::Internal {
            return false;
        }
        match self {
            Pause::None => false,
            Pause::All(_) => true,
            Pause::Writes(_) => is_write(client, row),
        }
    }
}

/// Who had commands wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// CLIENT PAUSE
    Operator,
    /// The node ends as soon as replicas hold everything.
    Ending,
    /// The node changes places with a replica as soon as that holds everything.
    Handing,
}

/// What waits for whose sake. Each ends his own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Pauses {
    operator: Pause,
    ending: Pause,
    handing: Pause,
    /// All together.
    present: Pause,
}

impl Pauses {
    #[inline]
    pub(crate) fn present(&self) -> Pause {
        self.present
    }

    #[inline]
    pub(crate) fn is_none(&self) -> bool {
        self.present.is_none()
    }

    pub(crate) fn add(&mut self, whose: Purpose, pause: Pause) {
        let of = self.of(whose);
        *of = of.and(pause);
        self.sum_up();
    }

    pub(crate) fn end(&mut self, whose: Purpose) {
        *self.of(whose) = Pause::None;
        self.sum_up();
    }

    /// Ends those whose time is over. True: there were such.
    pub(crate) fn end_old(&mut self, now: Millis) -> bool {
        let before = *self;
        for pause in [&mut self.operator, &mut self.ending, &mut self.handing] {
            if pause.is_over(now) {
                *pause = Pause::None;
            }
        }
        self.sum_up();
        *self != before
    }

    /// When the first of them ends.
    pub(crate) fn next_end(&self) -> Option<Millis> {
        [self.operator, self.ending, self.handing].into_iter().filter_map(Pause::until).min()
    }

    fn of(&mut self, whose: Purpose) -> &mut Pause {
        match whose {
            Purpose::Operator => &mut self.operator,
            Purpose::Ending => &mut self.ending,
            Purpose::Handing => &mut self.handing,
        }
    }

    fn sum_up(&mut self) {
        self.present = self.operator.and(self.ending).and(self.handing);
    }
}

/// Whether a command of this client may change keys.
pub(crate) fn is_write(client: &Client, row: &Command) -> bool {
    [Flag::Write, Flag::MayReplicate]
        .into_iter()
        .any(|flag| row.flags.has(flag) || row.id == Id::Exec && client.transaction.holds(flag))
}

/// Whether a command reads or changes keys, or tells of who holds them.
pub(crate) fn is_about_data(row: &Command) -> bool {
    runs_on_data(row) || matches!(row.id, Id::Exec | Id::Wait | Id::Waitaof | Id::Debug)
}

/// Whether what a command does is done to keys, or its answer tells of them. What an EXEC does is what its commands do; what a
/// DEBUG does its words say.
pub(crate) fn runs_on_data(row: &Command) -> bool {
    matches!(dispatch::of(row.id), Handler::Data(_))
        || row.flags.has(Flag::Write)
        || row.flags.has(Flag::Readonly)
        || matches!(row.id, Id::ClusterCountkeysinslot | Id::ClusterGetkeysinslot)
}

/// Why writes wait although nobody asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Congested {
    /// A snapshot holds as many old values as it may ([`crate::snapshot`]).
    Snapshot,
    /// The append-only file's thread has as much to write as it may.
    Log,
    /// Too few members of the shard hold what is written.
    Copies,
}

/// How many reasons of each kind there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Congestion {
    snapshots: u16,
    logs: u16,
    copies: u16,
}

impl Congestion {
    #[inline]
    pub(crate) fn is_none(self) -> bool {
        self == Congestion::default()
    }

    /// Whether writes of this client have to wait. A proxy's do not for want of copies: they are refused at once, and it keeps them
    /// for whoever serves next, while all others that use its link go on.
    pub(crate) fn holds(self, client: &Client) -> bool {
        let for_all = Congestion { copies: 0, ..self };
        !for_all.is_none() || self.copies > 0 && client.link.get().is_none()
    }

    pub(crate) fn has(mut self, why: Congested) -> bool {
        *self.of(why) > 0
    }

    pub(crate) fn of(&mut self, why: Congested) -> &mut u16 {
        match why {
            Congested::Snapshot => &mut self.snapshots,
            Congested::Log => &mut self.logs,
            Congested::Copies => &mut self.copies,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_pauses_the_longer_and_the_stricter_hold() {
        let (writes, all) = (|at| Pause::Writes(Millis(at)), |at| Pause::All(Millis(at)));
        assert_eq!(Pause::None.and(writes(5)), writes(5));
        assert_eq!(writes(5).and(writes(3)), writes(5));
        assert_eq!(writes(5).and(all(3)), all(5));
        assert_eq!(all(3).and(writes(5)), all(5));
        assert_eq!(Pause::None.and(Pause::None), Pause::None);
        let mut pauses = Pauses::default();
        pauses.add(Purpose::Operator, all(5));
        pauses.add(Purpose::Ending, writes(9));
        assert_eq!((pauses.present(), pauses.next_end()), (all(9), Some(Millis(5))));
        assert!(!pauses.end_old(Millis(4)) && pauses.end_old(Millis(5)));
        assert_eq!(pauses.present(), writes(9), "each ends his own");
        pauses.add(Purpose::Operator, all(20));
        pauses.end(Purpose::Ending);
        assert_eq!(pauses.present(), all(20));
        assert!(all(5).is_over(Millis(5)) && !all(5).is_over(Millis(4)) && Pause::None.is_over(Millis(0)));
    }
}
