//! ZADD and ZINCRBY.

use slotway_resp::{Request, write};

use super::find_mut;
use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{SYNTAX, count, is};
use crate::handlers::double::double;
use crate::keyspace::entry::Entry;
use crate::keyspace::sorted_set::SortedSetMut;

const XX_AND_NX: &str = "ERR XX and NX options at the same time are not compatible";
const GT_LT_NX: &str = "ERR GT, LT, and/or NX options at the same time are not compatible";
const INCR_ONE_PAIR: &str = "ERR INCR option supports a single increment-element pair";
const NAN: &str = "ERR resulting score is not a number (NaN)";

/// Which members may get a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::handlers) enum Members {
    All,
    /// NX
    New,
    /// XX
    Present,
}

/// Which new scores of a present member are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::handlers) enum Better {
    Any,
    /// GT
    Greater,
    /// LT
    Less,
}

/// What the score of the request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::handlers) enum Meaning {
    Score,
    /// INCR
    Increment,
}

/// What is counted in the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::handlers) enum Counted {
    Added,
    /// CH
    Changed,
}

#[derive(Debug, Clone, Copy)]
pub(in crate::handlers) struct Options {
    pub(in crate::handlers) members: Members,
    pub(in crate::handlers) better: Better,
    pub(in crate::handlers) meaning: Meaning,
    pub(in crate::handlers) counted: Counted,
}

const INCREMENT: Options = Options {
    members: Members::All,
    better: Better::Any,
    meaning: Meaning::Increment,
    counted: Counted::Added,
};

/// What becomes of one pair.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Verdict {
    /// An option forbids it.
    Refused,
    NotANumber,
    Same(f64),
    Added(f64),
    Updated(f64),
}

/// What became of all of them.
#[derive(Default)]
struct Outcome {
    added: usize,
    updated: usize,
    /// The last pair's, if it was not refused.
    score: Option<f64>,
    is_nan: bool,
}

/// ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]
pub(crate) fn zadd(call: &mut Call<'_>) -> Done {
    let (options, pairs) = parse(call.request)?;
    add(call, options, pairs)
}

/// ZINCRBY key increment member
pub(crate) fn zincrby(call: &mut Call<'_>) -> Done {
    let pairs = call.request.skip(2);
    add(call, INCREMENT, pairs)
}

fn parse(request: Request<'_>) -> Result<(Options, Request<'_>), Refusal> {
    let mut first = 2;
    let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
    let (mut counted, mut meaning) = (Counted::Added, Meaning::Score);
    for word in request.words().skip(2) {
        match word {
            _ if is(word, "NX") => nx = true,
            _ if is(word, "XX") => xx = true,
            _ if is(word, "GT") => gt = true,
            _ if is(word, "LT") => lt = true,
            _ if is(word, "CH") => counted = Counted::Changed,
            _ if is(word, "INCR") => meaning = Meaning::Increment,
            _ => break,
        }
        first += 1;
    }
    let words = request.len() - first;
    if words == 0 || !words.is_multiple_of(2) {
        return Err(SYNTAX);
    }
    if nx && xx {
        return Err(XX_AND_NX.into());
    }
    if nx && (gt || lt) || gt && lt {
        return Err(GT_LT_NX.into());
    }
    if meaning == Meaning::Increment && words > 2 {
        return Err(INCR_ONE_PAIR.into());
    }
    let members = if nx { Members::New } else { Members::All };
    let members = if xx { Members::Present } else { members };
    let better = if gt { Better::Greater } else { Better::Any };
    let better = if lt { Better::Less } else { better };
    Ok((Options { members, better, meaning, counted }, request.skip(first)))
}

/// Adds pairs of words.
fn add(call: &mut Call<'_>, options: Options, pairs: Request<'_>) -> Done {
    let number = pairs.len() / 2;
    // No pair is added if one of them has no score.
    for nth in 0..number {
        double(pairs.word(2 * nth))?;
    }
    add_elements(call, options, number, |nth| {
        (double(pairs.word(2 * nth)).expect("it was read before"), pairs.word(2 * nth + 1))
    })
}

/// Adds `number` elements and answers.
pub(in crate::handlers) fn add_elements<'a>(
    call: &mut Call<'_>,
    options: Options,
    number: usize,
    element: impl Fn(usize) -> (f64, &'a [u8]),
) -> Done {
    let key = call.key();
    let outcome = match find_mut(call.keyspace, key, call.now)? {
        Some(mut set) => change(&mut set, options, (0..number).map(element)),
        None if options.members == Members::Present => Outcome::default(),
        None => {
            let (seed, settings) = (call.keyspace.seed(), call.keyspace.settings);
            let longest = (0..number).map(|nth| element(nth).1.len()).max().unwrap_or(0);
            let mut entry = Entry::with_sorted_set(key.bytes, &settings, number, longest);
            let mut set = entry.sorted_set_mut(seed, settings).expect("it was made a sorted set");
            let outcome = change(&mut set, options, (0..number).map(element));
            call.keyspace.insert(key, entry, call.now);
            outcome
        }
    };
    if outcome.is_nan {
        return Err(NAN.into());
    }
    let changes = outcome.added + outcome.updated;
    call.keyspace.changed(key, u64::try_from(changes).unwrap_or(0));
    match (options.meaning, outcome.score) {
        (Meaning::Increment, Some(score)) => write::double(call.out, call.version, score),
        (Meaning::Increment, None) => write::null(call.out, call.version),
        (Meaning::Score, _) => {
            let counted = if options.counted == Counted::Changed { changes } else { outcome.added };
            write::integer(call.out, count(counted));
        }
    }
    Ok(())
}

fn change<'a>(
    set: &mut SortedSetMut<'_>,
    options: Options,
    elements: impl Iterator<Item = (f64, &'a [u8])>,
) -> Outcome {
    let mut outcome = Outcome::default();
    for (score, member) in elements {
        let mut verdict = Verdict::Refused;
        set.update(member, |old| {
            verdict = judge(options, old, score);
            match verdict {
                Verdict::Added(score) | Verdict::Updated(score) => Some(score),
                Verdict::Refused | Verdict::NotANumber | Verdict::Same(_) => None,
            }
        });
        outcome.note(verdict);
    }
    outcome
}

fn judge(options: Options, old: Option<f64>, score: f64) -> Verdict {
    let Some(old) = old else {
        return if options.members == Members::Present { Verdict::Refused } else { Verdict::Added(score) };
    };
    if options.members == Members::New {
        return Verdict::Refused;
    }
    let new = if options.meaning == Meaning::Increment { old + score } else { score };
    let is_better = match options.better {
        Better::Any => true,
        Better::Greater => new > old,
        Better::Less => new < old,
    };
    match new {
        _ if new.is_nan() => Verdict::NotANumber,
        _ if !is_better => Verdict::Refused,
        _ if new == old => Verdict::Same(new),
        _ => Verdict::Updated(new),
    }
}

impl Outcome {
    fn note(&mut self, verdict: Verdict) {
        self.score = None;
        match verdict {
            Verdict::Refused => {}
            Verdict::NotANumber => self.is_nan = true,
            Verdict::Same(score) => self.score = Some(score),
            Verdict::Added(score) => (self.score, self.added) = (Some(score), self.added + 1),
            Verdict::Updated(score) => (self.score, self.updated) = (Some(score), self.updated + 1),
        }
    }
}
