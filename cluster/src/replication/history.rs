//! Whose stream a node holds: histories, offsets, and whether a replica may go on where it stopped.
//!
//! A stream of changes is named by a history id and counted in bytes. When a replica is promoted it gives the stream a new
//! name and goes on counting: up to that offset both names mean the same bytes. So a node keeps a short list of
//! names with the offset at which each began, its [`Lineage`]. Redis keeps two of them (`master_replid` and
//! `master_replid2`); a Slotway node keeps [`ERAS_MAX`], so that a replica that missed several promotions resumes, too.
//!
//! An [`Offset`] here always counts the bytes that somebody *has*. PSYNC names the byte that is wanted next, one more:
//! [`Offset::next_byte`] and [`Offset::before_byte`] are the only places where one becomes the other.

use std::{collections::VecDeque, fmt};

use serde::{Deserialize, Serialize};

use crate::Epoch;

/// Names of one stream that a node remembers.
pub const ERAS_MAX: usize = 16;

/// The name of a stream: 40 hexadecimal digits, `master_replid`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HistoryId([u8; 20]);

/// Bytes of a stream from its beginning on: `master_repl_offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub u64);

/// What a backlog holds: everything behind `first` bytes up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub first: Offset,
    pub end: Offset,
}

/// A name of the stream, and from which offset on it is the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Era {
    pub history: HistoryId,
    pub epoch: Epoch,
    pub start: Offset,
}

/// The names of the stream that a node holds, oldest first; the last one is the present one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Era>", into = "Vec<Era>")]
pub struct Lineage {
    eras: VecDeque<Era>,
}

/// Why a replica cannot go on where it stopped, and needs everything anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It holds another stream.
    OtherHistory,
    /// It holds bytes that are not of this stream: it went on by its old name after that had ended at `common`.
    Diverged { common: Offset },
    /// It holds more than there is.
    Ahead { end: Offset },
    /// What it misses is no longer kept.
    Missed { first: Offset },
    /// Nothing is kept.
    NoBacklog,
}

impl Lineage {
    /// Of a stream that begins now, or of which nothing earlier is known.
    pub fn new(history: HistoryId, epoch: Epoch, start: Offset) -> Lineage {
        Lineage { eras: VecDeque::from([Era { history, epoch, start }]) }
    }

    /// All names, oldest first; never none.
    pub fn eras(&self) -> impl Iterator<Item = &Era> {
        self.eras.iter()
    }

    /// The present name: `master_replid`.
    pub fn present(&self) -> HistoryId {
        self.last().history
    }

    /// The present epoch.
    pub fn epoch(&self) -> Epoch {
        self.last().epoch
    }

    /// The name before, and the offset up to which it is one: `master_replid2`.
    pub fn previous(&self) -> Option<(HistoryId, Offset)> {
        let previous = self.eras.len().checked_sub(2)?;
        Some((self.eras[previous].history, self.last().start))
    }

    /// The stream has another name from `start` on: this node was promoted, or its primary was. All names before stay
    /// names of what came before.
    pub fn rename(&mut self, history: HistoryId, epoch: Epoch, start: Offset) {
        if history == self.present() {
            return;
        }
        if self.eras.len() == ERAS_MAX {
            self.eras.pop_front();
        }
        self.eras.push_back(Era { history, epoch, start });
    }

    /// An EPOCH record begins at `start`: from there on the stream has this name and this epoch. A replica may have heard the
    /// name before, when it held less than that and took it for the name of all that followed.
    pub fn begin_epoch(&mut self, history: HistoryId, epoch: Epoch, start: Offset) {
        self.rename(history, epoch, start);
        if let Some(last) = self.eras.back_mut() {
            last.epoch = last.epoch.max(epoch);
            last.start = last.start.max(start);
        }
    }

    /// The epoch of the last EPOCH record that whoever holds `offset` bytes of this stream holds.
    pub fn epoch_at(&self, offset: Offset) -> Epoch {
        let at = self.eras.iter().rfind(|era| era.start < offset);
        at.or(self.eras.front()).map_or(Epoch::default(), |era| era.epoch)
    }

    /// Whether somebody at `held` of `history` holds nothing but bytes of this stream.
    pub fn shares(&self, history: HistoryId, held: Offset) -> Result<(), Refusal> {
        // The latest of that name: a name may come twice if an operator gives one back.
        let at = self.eras.iter().rposition(|era| era.history == history).ok_or(Refusal::OtherHistory)?;
        match self.eras.get(at + 1) {
            Some(next) if held > next.start => Err(Refusal::Diverged { common: next.start }),
            _ => Ok(()),
        }
    }

    /// Whether a replica that holds `held` bytes of `history` may go on, given what the backlog holds.
    ///
    /// # Errors
    /// Why it needs everything anew.
    pub fn may_continue(
        &self,
        history: HistoryId,
        held: Offset,
        backlog: Option<Range>,
    ) -> Result<(), Refusal> {
        self.shares(history, held)?;
        let backlog = backlog.ok_or(Refusal::NoBacklog)?;
        if held > backlog.end {
            return Err(Refusal::Ahead { end: backlog.end });
        }
        if held < backlog.first {
            return Err(Refusal::Missed { first: backlog.first });
        }
        Ok(())
    }

    fn last(&self) -> &Era {
        self.eras.back().expect("a lineage is made with one name and only gains")
    }
}

impl TryFrom<Vec<Era>> for Lineage {
    type Error = &'static str;

    /// From a file, which may say anything.
    fn try_from(eras: Vec<Era>) -> Result<Lineage, &'static str> {
        if eras.is_empty() || eras.len() > ERAS_MAX {
            return Err("a lineage has 1 to 16 histories");
        }
        if !eras.is_sorted_by(|one, next| one.start <= next.start && one.epoch <= next.epoch) {
            return Err("a lineage's offsets and epochs do not decrease");
        }
        Ok(Lineage { eras: eras.into() })
    }
}

impl From<Lineage> for Vec<Era> {
    fn from(lineage: Lineage) -> Vec<Era> {
        lineage.eras.into()
    }
}

impl HistoryId {
    /// No history's name; what `master_replid2` shows when there is none.
    pub const NONE: HistoryId = HistoryId([0; 20]);

    /// A fresh name out of random bytes.
    pub fn from_random(bytes: [u8; 20]) -> HistoryId {
        HistoryId(bytes)
    }

    /// From its 40 hexadecimal digits.
    pub fn parse(text: &[u8]) -> Option<HistoryId> {
        if text.len() != 40 {
            return None;
        }
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            let digit = |character: u8| char::from(character).to_digit(16);
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
        }
        Some(HistoryId(bytes))
    }
}

impl fmt::Display for HistoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for HistoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for HistoryId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<HistoryId, &'static str> {
        HistoryId::parse(text.as_bytes()).ok_or("a history is named by 40 hexadecimal digits")
    }
}

impl From<HistoryId> for String {
    fn from(history: HistoryId) -> String {
        history.to_string()
    }
}

impl Offset {
    /// With so many bytes more.
    #[must_use]
    pub fn plus(self, bytes: usize) -> Offset {
        Offset(self.0.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX)))
    }

    /// Bytes from `earlier` to here; 0 if it is not earlier.
    pub fn since(self, earlier: Offset) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The number of the byte that whoever holds this much wants next, as PSYNC and INFO's `second_repl_offset` count.
    pub fn next_byte(self) -> u64 {
        self.0.saturating_add(1)
    }

    /// What somebody holds who asks PSYNC for this byte.
    pub fn before_byte(number: u64) -> Offset {
        Offset(number.saturating_sub(1))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(number: u8) -> HistoryId {
        HistoryId::from_random([number; 20])
    }

    /// A stream that was called 1 up to 100, 2 up to 300, and 3 since.
    fn three_names() -> Lineage {
        let mut lineage = Lineage::new(id(1), Epoch(1), Offset(0));
        lineage.rename(id(2), Epoch(2), Offset(100));
        lineage.rename(id(3), Epoch(3), Offset(300));
        lineage
    }

    #[test]
    fn a_replica_goes_on_where_its_stream_is_ours_and_still_kept() {
        let lineage = three_names();
        let backlog = Some(Range { first: Offset(50), end: Offset(500) });
        let check = |history, held, expected| {
            assert_eq!(lineage.may_continue(history, Offset(held), backlog), expected, "{history} {held}");
        };
        check(id(3), 500, Ok(()));
        check(id(3), 50, Ok(()));
        check(id(3), 501, Err(Refusal::Ahead { end: Offset(500) }));
        check(id(3), 49, Err(Refusal::Missed { first: Offset(50) }));
        check(id(2), 300, Ok(()));
        check(id(2), 301, Err(Refusal::Diverged { common: Offset(300) }));
        check(id(1), 100, Ok(()));
        check(id(1), 101, Err(Refusal::Diverged { common: Offset(100) }));
        check(id(9), 100, Err(Refusal::OtherHistory));
        check(HistoryId::NONE, 0, Err(Refusal::OtherHistory));
        assert_eq!(lineage.may_continue(id(3), Offset(500), None), Err(Refusal::NoBacklog));
    }

    #[test]
    fn the_last_two_names_are_what_redis_knows() {
        let lineage = three_names();
        assert_eq!(lineage.present(), id(3));
        assert_eq!(lineage.epoch(), Epoch(3));
        assert_eq!(lineage.previous(), Some((id(2), Offset(300))));
        assert_eq!(Lineage::new(id(1), Epoch(0), Offset(0)).previous(), None);
    }

    #[test]
    fn the_seventeenth_name_pushes_the_first_out_and_the_same_name_adds_none() {
        let mut lineage = Lineage::new(id(0), Epoch(0), Offset(0));
        for number in 1..=16 {
            lineage.rename(id(number), Epoch(number.into()), Offset(u64::from(number) * 10));
            lineage.rename(id(number), Epoch(number.into()), Offset(u64::from(number) * 10 + 5));
        }
        assert_eq!(lineage.eras().count(), ERAS_MAX);
        assert_eq!(lineage.shares(id(0), Offset(0)), Err(Refusal::OtherHistory));
        assert_eq!(lineage.shares(id(1), Offset(20)), Ok(()));
        assert_eq!(lineage.shares(id(1), Offset(21)), Err(Refusal::Diverged { common: Offset(20) }));
    }

    #[test]
    fn an_epoch_begins_where_its_record_stands_also_if_its_name_was_heard_before() {
        let mut lineage = Lineage::new(id(1), Epoch(1), Offset(0));
        lineage.rename(id(2), Epoch(1), Offset(100));
        assert_eq!(lineage.epoch_at(Offset(140)), Epoch(1), "a name is no record");
        lineage.begin_epoch(id(2), Epoch(2), Offset(120));
        assert_eq!(lineage.previous(), Some((id(1), Offset(120))));
        assert_eq!(lineage.eras().count(), 2);
        assert_eq!(lineage.epoch_at(Offset(120)), Epoch(1));
        assert_eq!(lineage.epoch_at(Offset(121)), Epoch(2));
        lineage.begin_epoch(id(3), Epoch(5), Offset(200));
        assert_eq!((lineage.epoch_at(Offset(200)), lineage.epoch_at(Offset(201))), (Epoch(2), Epoch(5)));
        assert_eq!(Lineage::new(id(1), Epoch(7), Offset(50)).epoch_at(Offset(50)), Epoch(7), "a snapshot's");
    }

    #[test]
    fn a_name_is_forty_hexadecimal_digits_and_nothing_else() {
        let text = "0123456789abcdef0123456789abcdef01234567";
        let history = HistoryId::parse(text.as_bytes()).unwrap();
        assert_eq!(history.to_string(), text);
        assert_eq!(HistoryId::parse(text.to_uppercase().as_bytes()), Some(history));
        for bad in ["", "?", &text[1..], &format!("{text}0"), &text.replace('a', "g")] {
            assert_eq!(HistoryId::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_lineage_survives_a_file_and_a_file_that_lies_is_refused() {
        let lineage = three_names();
        let text = serde_json::to_string(&lineage).unwrap();
        assert_eq!(serde_json::from_str::<Lineage>(&text).unwrap(), lineage);
        let refused = |text: &str| serde_json::from_str::<Lineage>(text).is_err();
        assert!(refused("[]"));
        assert!(refused(&text.replace("100", "400")), "offsets that go back");
        assert!(refused(&text.replacen("01", "0x", 1)), "no digits");
    }

    proptest! {
        /// Nodes take turns as primary of one stream and write; one of them stops somewhere, goes on writing alone or
        /// not, and comes back: it is let in exactly if all it holds is the stream's.
        #[test]
        fn whoever_is_let_in_holds_nothing_foreign(
            reigns in prop::collection::vec(0_u64..50, 1..20),
            stopped in 0_usize..20,
            missing in 0_u64..60,
            alone in 0_u64..3,
        ) {
            let mut lineage = Lineage::new(id(0), Epoch(0), Offset(0));
            let mut ends = Vec::new();
            let mut end = Offset(0);
            for (number, bytes) in (0_u8..).zip(&reigns) {
                if number > 0 {
                    lineage.rename(id(number), Epoch(number.into()), end);
                }
                end = Offset(end.0 + bytes);
                ends.push(end);
            }
            let stopped = stopped % reigns.len();
            let common = ends[stopped].0.saturating_sub(missing);
            // Writes of its own follow upon all of its reign that it has seen.
            let held = Offset(common + alone);
            let is_ours = held <= ends[stopped] || stopped + 1 == reigns.len();
            let known = stopped + ERAS_MAX >= reigns.len();
            let shared = lineage.shares(id(u8::try_from(stopped).unwrap()), held);
            prop_assert_eq!(shared.is_ok(), known && is_ours);
        }
    }
}
