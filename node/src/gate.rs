//! The gate: replies wait here until what they tell of can be relied upon.
//!
//! Who makes changes reliable (the log with `appendfsync always`, which syncs them to the disk) holds the gate and
//! releases it up to a [`Position`] of the feed. A reply is written when its turn has run, but it leaves its connection
//! only when everything fed up to that moment is released: that of a write tells of itself, that of a read may tell of
//! a write of somebody else, and neither may be told before it is certain. While nobody holds the gate every position
//! is released, and passing costs one comparison.
//!
//! What touches no data passes in any case (PING, INFO, CONFIG ...), so that a node whose disk hangs can still be asked.
//! The order of a client's replies is kept by its [`crate::output::Output`], where they wait.

use std::{collections::VecDeque, rc::Rc};

use crate::{
    client::{Client, Fate},
    feed::Position,
};

/// Everything is released.
const OPEN: Position = Position(u64::MAX);

pub(crate) struct Gate {
    released: Position,
    /// Who waits for what, in the order of positions.
    waiting: VecDeque<(Position, Rc<Client>)>,
    /// Since [`Gate::begin`] a request has read or written data.
    is_touched: bool,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate { released: OPEN, waiting: VecDeque::new(), is_touched: false }
    }
}

impl Gate {
    /// Up to here replies may leave.
    #[inline]
    pub(crate) fn released(&self) -> Position {
        self.released
    }

    pub(crate) fn is_open(&self) -> bool {
        self.released == OPEN
    }

    /// Clients whose replies wait, each once for every turn.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// From now on what is fed behind `position` has to be released. What was fed before was told without, and is.
    pub(crate) fn hold_from(&mut self, position: Position) {
        if self.is_open() {
            self.released = position;
        }
    }

    /// What was fed up to `position` may be told. Nothing is held again that was released.
    pub(crate) fn release(&mut self, position: Position) {
        if self.is_open() || position <= self.released {
            return;
        }
        self.released = position;
        self.wake();
    }

    /// Nothing is held any more.
    pub(crate) fn open(&mut self) {
        self.released = OPEN;
        self.wake();
    }

    /// What waits will never be certain: whoever waits is not told, and closed.
    pub(crate) fn cut(&mut self) {
        for (_, client) in self.waiting.drain(..) {
            client.decide(Fate::CloseNow);
        }
    }

    fn wake(&mut self) {
        while let Some((_, client)) = self.waiting.pop_front_if(|(position, _)| *position <= self.released) {
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

    /// Whether replies that tell of what was fed up to `position` have to wait.
    #[inline]
    pub(crate) fn holds(&self, position: Position) -> bool {
        position > self.released
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
    use super::*;

    #[test]
    fn what_was_fed_before_anybody_held_it_and_what_was_released_passes() {
        let mut gate = Gate::default();
        assert!(!gate.holds(Position(u64::MAX - 1)));
        gate.release(Position(5));
        assert!(gate.is_open(), "releasing does not hold");
        gate.hold_from(Position(10));
        assert!(!gate.holds(Position(10)) && gate.holds(Position(11)));
        gate.release(Position(20));
        gate.release(Position(15));
        assert!(!gate.holds(Position(20)) && gate.holds(Position(21)), "never back");
        gate.hold_from(Position(3));
        assert!(!gate.holds(Position(20)));
        gate.open();
        assert!(!gate.holds(Position(1000)));
    }

    #[test]
    fn a_client_waits_once_for_a_position() {
        let mut gate = Gate::default();
        let client = Rc::new(Client::for_tests());
        gate.hold_from(Position(0));
        for (position, waiting) in [(5, 1), (5, 1), (8, 2), (9, 3)] {
            gate.wait(Position(position), &client);
            assert_eq!(gate.waiting(), waiting);
        }
        gate.release(Position(8));
        assert_eq!(gate.waiting(), 1);
        gate.open();
        assert_eq!(gate.waiting(), 0);
    }
}
