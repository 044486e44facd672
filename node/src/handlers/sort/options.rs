//! The options of SORT, of which most may stand several times: the last one counts, and every GET.

use std::ops::Range;

use super::pattern::Pattern;
use crate::call::{Call, Refusal};
use crate::handlers::arguments::{SYNTAX, integer, is};

const BY_DENIED: &str = "ERR BY option of SORT denied in cluster mode.";
const GET_DENIED: &str = "ERR GET option of SORT denied in cluster mode.";

/// Whether STORE is an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stores {
    Allowed,
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Ascending,
    Descending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sorting<'a> {
    ByThemselves,
    By(Pattern<'a>),
    /// BY something without a `*`: the elements as they lie. Stays so whatever other BY comes behind.
    Not,
}

pub(super) struct Options<'a> {
    pub(super) sorting: Sorting<'a>,
    pub(super) direction: Direction,
    /// Compared as texts, not as numbers.
    pub(super) is_alpha: bool,
    pub(super) gets: Vec<Pattern<'a>>,
    /// The destination.
    pub(super) store: Option<&'a [u8]>,
    offset: i64,
    /// Negative: all.
    count: i64,
}

impl<'a> Options<'a> {
    pub(super) fn parse(call: &Call<'a>, stores: Stores) -> Result<Options<'a>, Refusal> {
        let mut options = Options {
            sorting: Sorting::ByThemselves,
            direction: Direction::Ascending,
            is_alpha: false,
            gets: Vec::new(),
            store: None,
            offset: 0,
            count: -1,
        };
        let mut words = call.request.words().skip(2);
        while let Some(word) = words.next() {
            if is(word, "ASC") {
                options.direction = Direction::Ascending;
            } else if is(word, "DESC") {
                options.direction = Direction::Descending;
            } else if is(word, "ALPHA") {
                options.is_alpha = true;
            } else if is(word, "LIMIT") && words.len() >= 2 {
                options.offset = integer(words.next().ok_or(SYNTAX)?)?;
                options.count = integer(words.next().ok_or(SYNTAX)?)?;
            } else if is(word, "STORE") && stores == Stores::Allowed {
                options.store = Some(words.next().ok_or(SYNTAX)?);
            } else if is(word, "BY") {
                options.sort_by(call, Pattern::parse(words.next().ok_or(SYNTAX)?))?;
            } else if is(word, "GET") {
                let pattern = Pattern::parse(words.next().ok_or(SYNTAX)?);
                check_place(call, pattern, GET_DENIED)?;
                options.gets.push(pattern);
            } else {
                return Err(SYNTAX);
            }
        }
        Ok(options)
    }

    fn sort_by(&mut self, call: &Call<'_>, pattern: Pattern<'a>) -> Result<(), Refusal> {
        match pattern {
            Pattern::Element | Pattern::Nothing => self.sorting = Sorting::Not,
            Pattern::Key { .. } => {
                check_place(call, pattern, BY_DENIED)?;
                if self.sorting != Sorting::Not {
                    self.sorting = Sorting::By(pattern);
                }
            }
        }
        Ok(())
    }

    /// Which of so many elements, in order, are wanted.
    pub(super) fn limit(&self, len: usize) -> Range<usize> {
        let start = usize::try_from(self.offset.max(0)).unwrap_or(usize::MAX).min(len);
        let end = usize::try_from(self.count).map_or(len, |count| start.saturating_add(count).min(len));
        start..end
    }
}

/// Other nodes may hold what a pattern stands for: refused, but for patterns that are sure to stay where the key is.
fn check_place(call: &Call<'_>, pattern: Pattern<'_>, denied: &'static str) -> Result<(), Refusal> {
    match pattern {
        Pattern::Key { prefix, .. } if !call.keyspace.holds_all_like(call.key(), prefix) => {
            Err(denied.into())
        }
        Pattern::Key { .. } | Pattern::Element | Pattern::Nothing => Ok(()),
    }
}
