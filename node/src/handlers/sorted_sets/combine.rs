//! Unions, intersections and differences of sorted sets, and of sets, whose members all score 1.
//!
//! Inputs are taken from the smallest to the largest, as in Redis: sums of doubles depend on the order.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::ControlFlow;

use slotway_commands::errors;
use slotway_resp::{Request, write};

use super::{Scores, store, write_element, write_head};
use crate::call::{Call, Done, Millis, Refusal};
use crate::handlers::arguments::{SYNTAX, WRONG_TYPE, count, integer, is};
use crate::handlers::double::double_or;
use crate::keyspace::entry::Entry;
use crate::keyspace::seed::Seed;
use crate::keyspace::set::{Member, Set};
use crate::keyspace::sorted_set::{SortedSet, compare};
use crate::keyspace::{Key, Keyspace};

const WEIGHT_NOT_FLOAT: &str = "ERR weight value is not a float";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

use Operation::{Difference, Intersection, Union};

/// What a member's scores become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

#[derive(Clone, Copy)]
enum Input<'k> {
    Missing,
    Sorted(SortedSet<'k>),
    Set(Set<'k>),
}

struct Source<'k> {
    input: Input<'k>,
    weight: f64,
}

/// The options behind the keys.
struct Options {
    /// Empty: 1 for each.
    weights: Vec<f64>,
    aggregate: Aggregate,
    scores: Scores,
}

/// Which options there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// WITHSCORES
    Elements,
    /// To be stored.
    Length,
}

type Element<'k> = (f64, Cow<'k, [u8]>);

pub(crate) fn zunion(call: &mut Call<'_>) -> Done {
    answer(call, Union, "zunion")
}

pub(crate) fn zinter(call: &mut Call<'_>) -> Done {
    answer(call, Intersection, "zinter")
}

pub(crate) fn zdiff(call: &mut Call<'_>) -> Done {
    answer(call, Difference, "zdiff")
}

pub(crate) fn zunionstore(call: &mut Call<'_>) -> Done {
    answer_stored(call, Union, "zunionstore")
}

pub(crate) fn zinterstore(call: &mut Call<'_>) -> Done {
    answer_stored(call, Intersection, "zinterstore")
}

pub(crate) fn zdiffstore(call: &mut Call<'_>) -> Done {
    answer_stored(call, Difference, "zdiffstore")
}

/// ZUNION numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM | MIN | MAX] [WITHSCORES]
fn answer(call: &mut Call<'_>, operation: Operation, command: &str) -> Done {
    let keys = read_keys(call, 1, command)?;
    let options = parse(call.request.skip(2 + keys.len()), operation, keys.len(), Answer::Elements)?;
    let elements = combine(call.keyspace, &keys, operation, &options, call.now);
    write_head(call.out, call.version, elements.len(), options.scores);
    for (score, member) in &elements {
        write_element(call.out, call.version, (*score, member), options.scores);
    }
    Ok(())
}

/// ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM | MIN | MAX]
fn answer_stored(call: &mut Call<'_>, operation: Operation, command: &str) -> Done {
    let keys = read_keys(call, 2, command)?;
    let options = parse(call.request.skip(3 + keys.len()), operation, keys.len(), Answer::Length)?;
    let (destination, seed, settings) = (call.key(), call.keyspace.seed(), call.keyspace.settings);
    let elements = combine(call.keyspace, &keys, operation, &options, call.now);
    let entry = Entry::with_sorted_elements(destination.bytes, &elements, &seed, &settings);
    let len = elements.len();
    drop(elements);
    store(call, destination, entry, len)
}

/// ZINTERCARD numkeys key [key ...] [LIMIT limit]
pub(crate) fn zintercard(call: &mut Call<'_>) -> Done {
    let keys = read_keys(call, 1, "zintercard")?;
    let mut limit = usize::MAX;
    let options = call.request.skip(2 + keys.len());
    for at in (0..options.len()).step_by(2) {
        if at + 1 == options.len() || !is(options.word(at), "LIMIT") {
            return Err(SYNTAX);
        }
        let number = integer(options.word(at + 1)).ok().and_then(|number| usize::try_from(number).ok());
        let number = number.ok_or(Refusal::Borrowed(errors::LIMIT_NEGATIVE))?;
        // 0 is no limit.
        limit = if number == 0 { usize::MAX } else { number };
    }
    let seed = call.keyspace.seed();
    let mut sources = sources(call.keyspace, &keys, &[], call.now);
    sources.sort_by_key(|source| source.input.len());
    let mut found = 0;
    let (first, others) = sources.split_first().expect("at least one key was asked for");
    let _ = first.input.try_for_each(|_, member| {
        let is_in = |source: &Source<'_>| source.input.score(&seed, &member).is_some();
        found += usize::from(others.iter().all(is_in));
        if found == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    write::integer(call.out, count(found));
    Ok(())
}

/// The keys behind the word that says how many; all of them are sorted sets, sets, or not there.
fn read_keys<'a>(call: &mut Call<'a>, numkeys: usize, command: &str) -> Result<Vec<Key<'a>>, Refusal> {
    let number = integer(call.request.word(numkeys))?;
    if number < 1 {
        return Err(format!("ERR at least 1 input key is needed for '{command}' command").into());
    }
    let number = usize::try_from(number).ok().filter(|&number| number < call.request.len() - numkeys);
    let number = number.ok_or(SYNTAX)?;
    let mut keys = Vec::with_capacity(number);
    for nth in 0..number {
        let key = call.nth_key(numkeys - 1 + nth, numkeys + 1 + nth);
        match call.keyspace.read(key, call.now) {
            Some(entry) if entry.sorted_set().is_none() && entry.set().is_none() => return Err(WRONG_TYPE),
            _ => keys.push(key),
        }
    }
    Ok(keys)
}

fn parse(words: Request<'_>, operation: Operation, keys: usize, answer: Answer) -> Result<Options, Refusal> {
    let mut options = Options { weights: Vec::new(), aggregate: Aggregate::Sum, scores: Scores::Without };
    let mut at = 0;
    while at < words.len() {
        let (word, left) = (words.word(at), words.len() - at);
        if operation != Difference && left > keys && is(word, "WEIGHTS") {
            let weight = |nth: usize| double_or(words.word(at + 1 + nth), WEIGHT_NOT_FLOAT);
            options.weights = (0..keys).map(weight).collect::<Result<_, _>>()?;
            at += keys;
        } else if operation != Difference && left >= 2 && is(word, "AGGREGATE") {
            at += 1;
            options.aggregate = match words.word(at) {
                word if is(word, "SUM") => Aggregate::Sum,
                word if is(word, "MIN") => Aggregate::Min,
                word if is(word, "MAX") => Aggregate::Max,
                _ => return Err(SYNTAX),
            };
        } else if answer == Answer::Elements && is(word, "WITHSCORES") {
            options.scores = Scores::With;
        } else {
            return Err(SYNTAX);
        }
        at += 1;
    }
    Ok(options)
}

/// What the keys hold, each with its weight.
fn sources<'k>(keyspace: &'k Keyspace, keys: &[Key<'_>], weights: &[f64], now: Millis) -> Vec<Source<'k>> {
    let source = |(nth, key): (usize, &Key<'_>)| {
        let entry = keyspace.seen(*key, now);
        let sorted = entry.and_then(Entry::sorted_set).map(Input::Sorted);
        let input = sorted.or_else(|| entry.and_then(Entry::set).map(Input::Set)).unwrap_or(Input::Missing);
        Source { input, weight: weights.get(nth).copied().unwrap_or(1.0) }
    };
    keys.iter().enumerate().map(source).collect()
}

/// The elements of the result, in order.
fn combine<'k>(
    keyspace: &'k Keyspace,
    keys: &[Key<'_>],
    operation: Operation,
    options: &Options,
    now: Millis,
) -> Vec<Element<'k>> {
    let (seed, mut sources) = (keyspace.seed(), sources(keyspace, keys, &options.weights, now));
    if operation != Difference {
        sources.sort_by_key(|source| source.input.len());
    }
    let mut elements = match operation {
        Union => unite(&sources, options.aggregate),
        Intersection => intersect(&sources, options.aggregate, &seed),
        Difference => subtract(&mut sources, &seed),
    };
    elements.sort_unstable_by(|one, other| compare((one.0, &one.1), (other.0, &other.1)));
    elements
}

fn unite<'k>(sources: &[Source<'k>], aggregate: Aggregate) -> Vec<Element<'k>> {
    let largest = sources.iter().map(|source| source.input.len()).max().unwrap_or(0);
    let mut scores: HashMap<Cow<'k, [u8]>, f64> = HashMap::with_capacity(largest);
    for source in sources {
        source.input.for_each(|score, member| {
            let score = not_nan(source.weight * score);
            let united = scores.entry(member);
            united.and_modify(|present| *present = aggregate.of(*present, score)).or_insert(score);
        });
    }
    scores.into_iter().map(|(member, score)| (score, member)).collect()
}

fn intersect<'k>(sources: &[Source<'k>], aggregate: Aggregate, seed: &Seed) -> Vec<Element<'k>> {
    let mut elements = Vec::new();
    let Some((first, others)) = sources.split_first() else { return elements };
    first.input.for_each(|score, member| {
        let start = not_nan(first.weight * score);
        let score = others.iter().try_fold(start, |sum, source| {
            let score = source.input.score(seed, &member)?;
            Some(aggregate.of(sum, source.weight * score))
        });
        elements.extend(score.map(|score| (score, member)));
    });
    elements
}

/// The first without the others.
fn subtract<'k>(sources: &mut [Source<'k>], seed: &Seed) -> Vec<Element<'k>> {
    let mut elements = Vec::new();
    let Some((first, others)) = sources.split_first_mut() else { return elements };
    // The largest knows most members.
    others.sort_by_key(|source| Reverse(source.input.len()));
    first.input.for_each(|score, member| {
        if others.iter().all(|source| source.input.score(seed, &member).is_none()) {
            elements.push((score, member));
        }
    });
    elements
}

/// Infinity times 0 counts as 0, and so does infinity less infinity.
fn not_nan(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

impl Aggregate {
    fn of(self, one: f64, other: f64) -> f64 {
        match self {
            Aggregate::Sum => not_nan(one + other),
            Aggregate::Min => {
                if other < one {
                    other
                } else {
                    one
                }
            }
            Aggregate::Max => {
                if other > one {
                    other
                } else {
                    one
                }
            }
        }
    }
}

impl<'k> Input<'k> {
    fn len(&self) -> usize {
        match self {
            Input::Missing => 0,
            Input::Sorted(set) => set.len(),
            Input::Set(set) => set.len(),
        }
    }

    fn score(&self, seed: &Seed, member: &[u8]) -> Option<f64> {
        match self {
            Input::Missing => None,
            Input::Sorted(set) => set.score(seed, member),
            Input::Set(set) => set.contains(seed, member).then_some(1.0),
        }
    }

    fn for_each(&self, mut each: impl FnMut(f64, Cow<'k, [u8]>)) {
        let _ = self.try_for_each(|score, member| {
            each(score, member);
            ControlFlow::Continue(())
        });
    }

    fn try_for_each(&self, mut each: impl FnMut(f64, Cow<'k, [u8]>) -> ControlFlow<()>) -> ControlFlow<()> {
        match self {
            Input::Missing => ControlFlow::Continue(()),
            Input::Sorted(set) => {
                set.try_for_each_in(0..set.len(), |score, member| each(score, Cow::Borrowed(member)))
            }
            Input::Set(set) => set.try_for_each(|wanted| match wanted.member() {
                Member::Text(text) => each(1.0, Cow::Borrowed(text)),
                Member::Integer(integer) => {
                    each(1.0, Cow::Owned(itoa::Buffer::new().format(integer).as_bytes().to_vec()))
                }
            }),
        }
    }
}
