//! The gate: replies wait here until what they tell of can be relied upon.
//!
//! Who makes changes reliable holds the gate and releases it up to a [`Position`] of the feed: the log with `appendfsync
//! always`, which syncs them to the disk, and the quorum of a shard, whose replicas hold them ([`crate::shard`]). A reply is
//! written when its turn has run, but it leaves its connection only when all that hold the gate have released everything fed
//! up to that moment: that of a write tells of itself, that of a read may tell of a write of somebody else, and neither may be
//! told before it is certain. While nobody holds the gate every position is released, and passing costs one comparison.
//!
//! A managed primary answers under a lease (I6): while it has none nothing leaves that tells of data, however certain. The clock
//! is read when a reply is about to leave.
//!
//! What touches no data passes in any case (PING, INFO, CONFIG ...), so that a node whose disk hangs can still be asked.
//! The order of a client's replies is kept by its [`crate::output::Output`], where they wait.

use std::{collections::VecDeque, rc::Rc, sync::Arc};

use slotway_cluster::{
    Epoch,
    mutants::{Mutant, left_out},
};
use slotway_link::clock::boottime;

use crate::{
    client::{Client, Fate},
    feed::Position,
    output::AT_ONCE,
    vitals::Vitals,
};

/// Everything is released.
const OPEN: Position = Position(u64::MAX);
/// What was there before anything was fed. Not [`AT_ONCE`], which is for what tells of nothing.
pub(crate) const BEGINNING: Position = Position(1);

/// Who may hold the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The append-only log, until what was fed is on the disk.
    Log,
    /// The shard, until what was fed is committed.
    Quorum,
}

/// Under which a managed primary answers.
pub(crate) struct Lease {
    pub(crate) vitals: Arc<Vitals>,
    pub(crate) epoch: Epoch,
}

impl Lease {
    /// Now. What the pulse has promised ends it, too (I2).
    pub(crate) fn is_valid(&self) -> bool {
        if left_out(Mutant::NoLease) {
            return true;
        }
        self.vitals.seen() <= self.epoch && self.vitals.holds_lease(self.epoch, boottime())
    }
}

pub(crate) struct Gate {
    by_log: Position,
    by_quorum: Position,
    /// The lesser of the two.
    released: Position,
    lease: Option<Lease>,
    /// Who waits for what, in the order of positions.
    waiting: VecDeque<(Position, Rc<Client>)>,
    /// Since [`Gate::begin`] a request has read or written data.
    is_touched: bool,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate {
            by_log: OPEN,
            by_quorum: OPEN,
            released: OPEN,
            lease: None,
            waiting: VecDeque::new(),
            is_touched: false,
        }
    }
}

impl Gate {
    /// Up to here replies may leave now.
    #[inline]
    pub(crate) fn released(&self) -> Position {
        match &self.lease {
            None => self.released,
            Some(lease) if lease.is_valid() => self.released,
            Some(_) => AT_ONCE,
        }
    }

    /// Nobody holds it, and no lease is asked for.
    #[cfg(test)]
    pub(crate) fn is_open(&self) -> bool {
        self.released == OPEN && self.lease.is_none()
    }

    /// Clients whose replies wait, each once for every turn.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// From now on what is fed behind `position` has to be released by `holder`. What was fed before was told without, and
    /// is.
    pub(crate) fn hold_from(&mut self, holder: Holder, position: Position) {
        let by = self.by(holder);
        if *by == OPEN {
            *by = position.max(BEGINNING);
            self.settle();
        }
    }

    /// From now on everything has to be released by `holder`, whenever it was fed.
    pub(crate) fn hold_all(&mut self, holder: Holder) {
        *self.by(holder) = AT_ONCE;
        self.settle();
    }

    /// As far as `holder` is concerned, what was fed up to `position` may be told. Nothing is held again that was released.
    pub(crate) fn release(&mut self, holder: Holder, position: Position) {
        let by = self.by(holder);
        if position > *by {
            *by = position;
            self.settle();
        }
    }

    /// It holds nothing any more.
    pub(crate) fn open(&mut self, holder: Holder) {
        *self.by(holder) = OPEN;
        self.settle();
    }

    fn by(&mut self, holder: Holder) -> &mut Position {
        match holder {
            Holder::Log => &mut self.by_log,
            Holder::Quorum => &mut self.by_quorum,
        }
    }

    fn settle(&mut self) {
        self.released = self.by_log.min(self.by_quorum);
        self.wake();
    }

    /// From now on a lease is asked for, or none.
    pub(crate) fn lease(&mut self, lease: Option<Lease>) {
        self.lease = lease;
        self.wake();
    }

    /// What waits will never be certain: whoever waits is not told, and closed.
    pub(crate) fn cut(&mut self) {
        for (_, client) in self.waiting.drain(..) {
            client.decide(Fate::CloseNow);
        }
    }

    /// Lets those look who wait for what may leave now; also to be called when a lease was granted.
    pub(crate) fn wake(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let released = self.released();
        while let Some((_, client)) = self.waiting.pop_front_if(|(position, _)| *position <= released) {
            client.wake();
        }
    }

    /// The requests of one client begin.
    #[inline]
    pub(crate) fn begin(&mut self) {
        self.is_touched = false;
    }

    /// A request reads or writes data.
    #[inline]
    pub(crate) fn touch(&mut self) {
        self.is_touched = true;
    }

    /// Whether the requests since [`Gate::begin`] have read or written data.
    #[inline]
    pub(crate) fn is_touched(&self) -> bool {
        self.is_touched
    }

    /// Has the client woken when `position` is released.
    pub(crate) fn wait(&mut self, position: Position, client: &Rc<Client>) {
        debug_assert!(self.waiting.back().is_none_or(|(last, _)| *last <= position), "positions only grow");
        let waits_already =
            |(last, waiting): &(Position, Rc<Client>)| *last == position && Rc::ptr_eq(waiting, client);
        if !self.waiting.back().is_some_and(waits_already) {
            self.waiting.push_back((position, Rc::clone(client)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Holder::*, *};

    /// Whether replies that tell of what was fed up to `position` have to wait.
    fn holds(gate: &Gate, position: u64) -> bool {
        Position(position) > gate.released()
    }

    #[test]
    fn what_was_fed_before_anybody_held_it_and_what_was_released_passes() {
        let mut gate = Gate::default();
        assert!(!holds(&gate, u64::MAX - 1));
        gate.release(Log, Position(5));
        assert!(gate.is_open(), "releasing does not hold");
        gate.hold_from(Log, Position(10));
        assert!(!holds(&gate, 10) && holds(&gate, 11));
        gate.release(Log, Position(20));
        gate.release(Log, Position(15));
        assert!(!holds(&gate, 20) && holds(&gate, 21), "never back");
        gate.hold_from(Log, Position(3));
        assert!(!holds(&gate, 20));
        gate.open(Log);
        assert!(!holds(&gate, 1000));
    }

    #[test]
    fn a_reply_leaves_when_both_holders_have_released_it() {
        let mut gate = Gate::default();
        gate.hold_from(Log, Position(10));
        gate.hold_from(Quorum, Position(12));
        gate.release(Log, Position(30));
        assert!(!holds(&gate, 12) && holds(&gate, 13));
        gate.release(Quorum, Position(40));
        assert!(!holds(&gate, 30) && holds(&gate, 31));
        gate.open(Log);
        assert!(!holds(&gate, 40) && holds(&gate, 41));
        gate.open(Quorum);
        assert!(gate.is_open());
    }

    #[test]
    fn without_a_lease_only_what_tells_of_no_data_leaves() {
        let (mut gate, vitals) = (Gate::default(), Arc::new(Vitals::default()));
        let client = Rc::new(Client::for_tests());
        gate.lease(Some(Lease { vitals: Arc::clone(&vitals), epoch: Epoch(3) }));
        assert!(holds(&gate, BEGINNING.0) && !holds(&gate, AT_ONCE.0));
        gate.wait(BEGINNING, &client);
        let now = boottime();
        vitals.set_lease(Epoch(2), Duration::MAX, now);
        assert!(holds(&gate, BEGINNING.0), "of another epoch");
        vitals.set_lease(Epoch(3), now, now);
        assert!(holds(&gate, BEGINNING.0), "it has run out");
        vitals.set_lease(Epoch(3), Duration::MAX, now);
        assert!(!holds(&gate, 1_000_000));
        gate.wake();
        assert_eq!(gate.waiting(), 0);
        vitals.see(Epoch(4));
        assert!(holds(&gate, BEGINNING.0), "a higher epoch was promised");
    }

    #[test]
    fn a_client_waits_once_for_a_position() {
        let mut gate = Gate::default();
        let client = Rc::new(Client::for_tests());
        gate.hold_from(Log, Position(0));
        for (position, waiting) in [(5, 1), (5, 1), (8, 2), (9, 3)] {
            gate.wait(Position(position), &client);
            assert_eq!(gate.waiting(), waiting);
        }
        gate.release(Log, Position(8));
        assert_eq!(gate.waiting(), 1);
        gate.open(Log);
        assert_eq!(gate.waiting(), 0);
    }
}
