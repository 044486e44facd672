//! SORT and SORT_RO: the elements of a list, set or sorted set in an order, which may come from other keys.
//!
//! The elements are copied first: looking up other keys may delete what has expired. Then each gets its weight, their
//! numbers are sorted, and what they stand for is written or stored.

mod elements;
mod options;
mod pattern;

use std::cmp::Ordering;
use std::ops::Range;

use slotway_resp::write;

use elements::{Kind, Texts};
use options::{Direction, Options, Sorting, Stores};
use pattern::Pattern;

use super::arguments::{WRONG_TYPE, count};
use super::double::parse_weight;
use crate::call::{Call, Done, Refusal};
use crate::keyspace::entry::Entry;
use crate::keyspace::list::Limit;

const NOT_DOUBLE: &str = "ERR One or more scores can't be converted into double";

/// SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC|DESC] [ALPHA] [STORE destination]
pub(crate) fn sort(call: &mut Call<'_>) -> Done {
    run(call, Stores::Allowed)
}

/// SORT without STORE.
pub(crate) fn sort_ro(call: &mut Call<'_>) -> Done {
    run(call, Stores::Refused)
}

fn run(call: &mut Call<'_>, stores: Stores) -> Done {
    let mut options = Options::parse(call, stores)?;
    let (elements, order) = sorted(call, &mut options)?;
    match options.store {
        None => answer(call, &options, &elements, &order),
        Some(destination) => store(call, &options, &elements, &order, destination),
    }
    Ok(())
}

/// The elements, and the numbers of those that are wanted, in order.
fn sorted(call: &mut Call<'_>, options: &mut Options<'_>) -> Result<(Texts, Vec<usize>), Refusal> {
    let key = call.key();
    let Some(entry) = call.keyspace.read(key, call.now) else { return Ok((Texts::default(), Vec::new())) };
    let kind = elements::kind(entry).ok_or(WRONG_TYPE)?;
    // A set that is stored must not depend on the order it happens to be kept in.
    if options.sorting == Sorting::Not && kind == Kind::Set && options.store.is_some() {
        options.sorting = Sorting::ByThemselves;
        options.is_alpha = true;
    }
    let wanted = options.limit(elements::len(entry));
    if options.sorting == Sorting::Not {
        let elements = elements::range(entry, wanted, options.direction);
        let order = (0..elements.len()).collect();
        return Ok((elements, order));
    }
    let elements = elements::all(entry);
    let weights = weigh(call, options, &elements)?;
    let mut order: Vec<usize> = (0..elements.len()).collect();
    order.sort_by(|&one, &other| {
        let compared = compare(options, &elements, &weights, one, other);
        if options.direction == Direction::Descending { compared.reverse() } else { compared }
    });
    Ok((elements, cut(order, wanted)))
}

fn cut(mut order: Vec<usize>, wanted: Range<usize>) -> Vec<usize> {
    order.truncate(wanted.end);
    order.drain(..wanted.start);
    order
}

/// What elements are compared by.
enum Weights {
    Numbers(Vec<f64>),
    Themselves,
    /// Of other keys. None: there is no such key.
    Texts(Texts, Vec<Option<usize>>),
}

fn weigh(call: &mut Call<'_>, options: &Options<'_>, elements: &Texts) -> Result<Weights, Refusal> {
    let mut key = Vec::new();
    match (options.sorting, options.is_alpha) {
        (Sorting::By(pattern), true) => {
            let (mut texts, mut found) = (Texts::default(), Vec::with_capacity(elements.len()));
            for element in elements.iter() {
                found
                    .push(pattern.look_up(call, element, &mut key, |text| text.map(|text| texts.push(text))));
            }
            Ok(Weights::Texts(texts, found))
        }
        (Sorting::ByThemselves | Sorting::Not, true) => Ok(Weights::Themselves),
        (sorting, false) => {
            let number = |element: &[u8]| match sorting {
                Sorting::By(pattern) => {
                    pattern.look_up(call, element, &mut key, |text| text.map_or(Some(0.0), parse_weight))
                }
                Sorting::ByThemselves | Sorting::Not => parse_weight(element),
            };
            let numbers: Option<Vec<f64>> = elements.iter().map(number).collect();
            numbers.map(Weights::Numbers).ok_or(Refusal::Borrowed(NOT_DOUBLE))
        }
    }
}

/// Equal numbers are ordered by their elements, equal texts of other keys stay as they were.
fn compare(options: &Options<'_>, elements: &Texts, weights: &Weights, one: usize, other: usize) -> Ordering {
    match weights {
        Weights::Numbers(numbers) => numbers[one]
            .partial_cmp(&numbers[other])
            .unwrap_or(Ordering::Equal)
            .then_with(|| elements.get(one).cmp(elements.get(other))),
        Weights::Themselves => compare_texts(options, elements.get(one), elements.get(other)),
        Weights::Texts(texts, found) => match (found[one], found[other]) {
            (Some(one), Some(other)) => compare_texts(options, texts.get(one), texts.get(other)),
            (one, other) => one.is_some().cmp(&other.is_some()),
        },
    }
}

/// What is only answered is compared as C compares strings, up to the first zero byte; what is stored as bytes.
fn compare_texts(options: &Options<'_>, one: &[u8], other: &[u8]) -> Ordering {
    match options.store {
        Some(_) => one.cmp(other),
        None => c_string(one).cmp(c_string(other)),
    }
}

/// The bytes up to the first zero byte: what a text is to C.
fn c_string(text: &[u8]) -> &[u8] {
    memchr::memchr(0, text).map_or(text, |end| &text[..end])
}

/// Calls `each` with what is wanted for every element, in order: itself, or what is found by the patterns.
fn for_each_result(
    call: &mut Call<'_>,
    options: &Options<'_>,
    elements: &Texts,
    order: &[usize],
    mut each: impl FnMut(&mut Vec<u8>, Option<&[u8]>),
) {
    let itself = [Pattern::Element];
    let patterns = if options.gets.is_empty() { &itself } else { options.gets.as_slice() };
    let (mut key, mut out) = (Vec::new(), std::mem::take(call.out));
    for &nth in order {
        for pattern in patterns {
            pattern.look_up(call, elements.get(nth), &mut key, |found| each(&mut out, found));
        }
    }
    *call.out = out;
}

fn answer(call: &mut Call<'_>, options: &Options<'_>, elements: &Texts, order: &[usize]) {
    let version = call.version;
    write::array(call.out, order.len() * options.gets.len().max(1));
    for_each_result(call, options, elements, order, |out, found| match found {
        Some(text) => write::bulk(out, text),
        None => write::null(out, version),
    });
}

/// The results as a list; without any, the destination is deleted.
fn store(call: &mut Call<'_>, options: &Options<'_>, elements: &Texts, order: &[usize], destination: &[u8]) {
    let mut results = Texts::default();
    for_each_result(call, options, elements, order, |_, found| {
        results.push(found.unwrap_or_default());
    });
    let key = call.keyspace.key(call.database, destination);
    let stored = results.len();
    if stored > 0 {
        let limit = Limit::new(call.keyspace.settings.list_packed_max);
        let entry = Entry::with_list_of(destination, limit, results.iter());
        call.keyspace.put(key, entry, call.now);
        call.keyspace.changed(key, u64::try_from(stored).unwrap_or(0));
    } else if call.keyspace.delete(key, call.now) {
        call.keyspace.changed(key, 1);
    }
    write::integer(call.out, count(stored));
}
