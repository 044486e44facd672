//! LPOS: where an element is.

use slotway_commands::errors;
use slotway_resp::{Request, write};

use super::find;
use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{SYNTAX, count, integer, is};
use crate::keyspace::list::{Element, List};

const RANK_ZERO: &str = "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use \
                         negative to start from the end of the list";
const COUNT_NEGATIVE: &str = "ERR COUNT can't be negative";
const MAXLEN_NEGATIVE: &str = "ERR MAXLEN can't be negative";

struct Options {
    /// From 1; from the end with a negative one.
    rank: i64,
    /// None: one position, and no array. 0: all.
    count: Option<usize>,
    /// Elements that are compared; 0: all.
    elements_max: usize,
}

/// LPOS key element [RANK rank] [COUNT num-matches] [MAXLEN len]
pub(crate) fn lpos(call: &mut Call<'_>) -> Done {
    let options = Options::parse(call.request.skip(3))?;
    let element = Element::new(call.request.word(2));
    let found = find(call)?.map_or_else(Vec::new, |list| options.search(list, element));
    match (options.count, found.first()) {
        (None, Some(&index)) => write::integer(call.out, count(index)),
        (None, None) => write::null(call.out, call.version),
        (Some(_), _) => {
            write::array(call.out, found.len());
            found.iter().for_each(|&index| write::integer(call.out, count(index)));
        }
    }
    Ok(())
}

impl Options {
    fn parse(words: Request<'_>) -> Result<Options, Refusal> {
        let mut options = Options { rank: 1, count: None, elements_max: 0 };
        let mut words = words.words();
        while let Some(word) = words.next() {
            let value = words.next().ok_or(SYNTAX)?;
            if is(word, "RANK") {
                options.rank = rank(value)?;
            } else if is(word, "COUNT") {
                options.count = Some(not_negative(value, COUNT_NEGATIVE)?);
            } else if is(word, "MAXLEN") {
                options.elements_max = not_negative(value, MAXLEN_NEGATIVE)?;
            } else {
                return Err(SYNTAX);
            }
        }
        Ok(options)
    }

    fn search(&self, list: List<'_>, element: Element<'_>) -> Vec<usize> {
        if self.rank > 0 {
            self.choose(list.iter().enumerate(), element)
        } else {
            self.choose((0..list.len()).rev().zip(list.iter().rev()), element)
        }
    }

    fn choose<'l>(
        &self,
        elements: impl Iterator<Item = (usize, Element<'l>)>,
        element: Element<'_>,
    ) -> Vec<usize> {
        let all_if_zero = |number: usize| if number == 0 { usize::MAX } else { number };
        let skipped = usize::try_from(self.rank.unsigned_abs() - 1).unwrap_or(usize::MAX);
        elements
            .take(all_if_zero(self.elements_max))
            .filter(|&(_, one)| one == element)
            .map(|(index, _)| index)
            .skip(skipped)
            .take(self.count.map_or(1, all_if_zero))
            .collect()
    }
}

fn rank(word: &[u8]) -> Result<i64, Refusal> {
    match integer(word)? {
        0 => Err(RANK_ZERO.into()),
        i64::MIN => Err(errors::RANDOM_COUNT_RANGE.into()),
        rank => Ok(rank),
    }
}

fn not_negative(word: &[u8], refusal: &'static str) -> Result<usize, Refusal> {
    let number = integer(word).ok().and_then(|number| usize::try_from(number).ok());
    number.ok_or(Refusal::Borrowed(refusal))
}
