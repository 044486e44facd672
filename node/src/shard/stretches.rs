//! Where a place in the feed is in the stream, and the other way round.
//!
//! The feed counts bytes since the process started, the stream counts bytes since its beginning, and not all of the stream's
//! come through the feed: pings and questions to replicas are put beside it, and a full synchronisation leads to another place
//! altogether. Between two such jumps both count the same bytes; that is a stretch.

use std::collections::VecDeque;

use slotway_cluster::replication::Offset;

use crate::feed::Position;

/// Stretches that are remembered. Beyond that the oldest is forgotten, and what was fed in it counts as fed where the next
/// begins: it is released later, never sooner.
const STRETCHES_MAX: usize = 1024;

/// Oldest first; begins count up in both numbers, but for the offset of a full synchronisation.
#[derive(Debug, Default)]
pub(super) struct Stretches {
    begins: VecDeque<(Offset, Position)>,
}

impl Stretches {
    /// These two are the same place, and from here on both count the same bytes.
    pub(super) fn jump(&mut self, offset: Offset, position: Position) {
        if let Some(&(last, from)) = self.begins.back() {
            if offset.0.checked_sub(last.0) == position.0.checked_sub(from.0) {
                return;
            }
            if offset < last {
                // Another stream: no place of the old one is one of this.
                self.begins.clear();
            }
        }
        if self.begins.len() == STRETCHES_MAX {
            self.begins.pop_front();
        }
        self.begins.push_back((offset, position));
    }

    /// All data are those of a snapshot that ends at `offset`: no earlier offset tells anything of them.
    pub(super) fn begin_anew(&mut self, offset: Offset, position: Position) {
        self.begins.clear();
        self.begins.push_back((offset, position));
    }

    /// What was fed up to there may be told of when so much of the stream is committed, and so much is held here. What is not here
    /// yet counts once it is: it may come as a snapshot, and then lies elsewhere in the feed than it would have.
    pub(super) fn told_by(&self, committed: Offset, held: Offset) -> Option<Position> {
        self.position_at(committed.min(held))
    }

    /// Everything that was fed up to there lies before `offset`. None: it is before all that is known.
    fn position_at(&self, offset: Offset) -> Option<Position> {
        let at = self.begins.iter().rposition(|(begin, _)| *begin <= offset)?;
        let (begin, position) = self.begins[at];
        let position = Position(position.0.saturating_add(offset.since(begin)));
        // Of what lies between two stretches the feed knows nothing.
        let next = self.begins.get(at + 1).map(|(_, next)| *next);
        Some(next.map_or(position, |next| position.min(next)))
    }

    /// How far the stream had come when so much was fed.
    pub(super) fn offset_at(&self, position: Position) -> Option<Offset> {
        let (offset, begin) = self.begins.iter().rfind(|(_, begin)| *begin <= position)?;
        Some(Offset(offset.0.saturating_add(position.0 - begin.0)))
    }

    /// What lies before `offset` is asked for no more.
    pub(super) fn forget_before(&mut self, offset: Offset) {
        while self.begins.get(1).is_some_and(|(begin, _)| *begin <= offset) {
            self.begins.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretches(begins: &[(u64, u64)]) -> Stretches {
        let mut stretches = Stretches::default();
        begins.iter().for_each(|(offset, position)| stretches.jump(Offset(*offset), Position(*position)));
        stretches
    }

    #[test]
    fn a_place_in_the_one_is_a_place_in_the_other() {
        // 14 bytes of a ping behind 50, twice.
        let stretches = stretches(&[(100, 1), (164, 51), (178, 51), (300, 173)]);
        for (offset, position) in
            [(99, None), (100, Some(1)), (150, Some(51)), (160, Some(51)), (164, Some(51)), (180, Some(53))]
        {
            assert_eq!(stretches.position_at(Offset(offset)), position.map(Position), "{offset}");
        }
        assert_eq!(stretches.begins.len(), 3, "what is no jump is no stretch");
        for (position, offset) in
            [(0, None), (1, Some(100)), (50, Some(149)), (51, Some(178)), (53, Some(180))]
        {
            assert_eq!(stretches.offset_at(Position(position)), offset.map(Offset), "{position}");
        }
    }

    #[test]
    fn of_another_stream_no_place_is_known_before_its_beginning() {
        let stretches = stretches(&[(1000, 1), (400, 60)]);
        assert_eq!(stretches.position_at(Offset(399)), None);
        assert_eq!(stretches.position_at(Offset(400)), Some(Position(60)));
        assert_eq!(stretches.offset_at(Position(59)), None);
    }

    #[test]
    fn a_snapshot_is_not_released_by_what_was_committed_before_its_end() {
        let mut stretches = stretches(&[(100, 1)]);
        stretches.begin_anew(Offset(500), Position(60));
        assert_eq!(stretches.position_at(Offset(499)), None);
        assert_eq!(stretches.position_at(Offset(500)), Some(Position(60)));
        assert_eq!(stretches.offset_at(Position(59)), None, "nor is it synced with what was fed before");
    }

    #[test]
    fn what_is_not_held_yet_is_not_told_of() {
        let stretches = stretches(&[(100, 1)]);
        assert_eq!(stretches.told_by(Offset(150), Offset(120)), Some(Position(21)));
        assert_eq!(stretches.told_by(Offset(150), Offset(160)), Some(Position(51)));
    }

    #[test]
    fn what_is_forgotten_is_released_later_and_never_sooner() {
        let mut stretches = stretches(&[(0, 1), (114, 101), (228, 201)]);
        stretches.forget_before(Offset(230));
        assert_eq!(stretches.position_at(Offset(227)), None);
        assert_eq!(stretches.position_at(Offset(230)), Some(Position(203)));
        for n in 0..2 * u64::try_from(STRETCHES_MAX).unwrap() {
            stretches.jump(Offset(1000 + 15 * n), Position(300 + n));
        }
        assert_eq!(stretches.begins.len(), STRETCHES_MAX);
    }
}
