//! One reply made of several: the parts of a split request, or the same request to every shard.
//!
//! A [`Gather`] stands in the client's queue until all parts are here, then merges them by its rule. An error of any
//! part is the answer (the first in the order of parts), because a caller cannot tell half an answer from a whole one.
//! Only what is put together one behind the other may leave before all of it is here ([`concat`]).
//! This is the slow path: parts are parsed and allocated freely. Pure.

use slotway_commands::row::MergeRule;
use slotway_resp::{Frame, Limits, write};

use crate::{
    errors::MALFORMED,
    gather::concat::{Concat, Head},
    replies::large::Begun,
};

mod concat;

/// Puts the parts together.
pub(crate) enum Merge {
    /// By a rule of the command table.
    Rule(MergeRule),
    /// MGET: element `i` of the reply is the next one of part `order[i]`.
    Interleave(Vec<u32>),
    /// What only the caller knows: the parts in order, and where to write.
    Custom(Custom),
}

pub(crate) type Custom = Box<dyn FnOnce(Vec<Vec<u8>>, &mut Vec<u8>)>;

/// Parts that have come, parts that have not, and the rule.
pub(crate) struct Gather {
    parts: Vec<Vec<u8>>,
    missing: usize,
    merge: Option<Merge>,
    /// The beginning of the one reply has been handed on.
    begun: Option<Concat>,
    /// What chooses where the rule says "at random".
    random: u64,
}

impl std::fmt::Debug for Gather {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gather")
            .field("parts", &self.parts)
            .field("missing", &self.missing)
            .finish_non_exhaustive()
    }
}

impl Gather {
    pub(crate) fn new(parts: usize, merge: Merge, random: u64) -> Gather {
        Gather { parts: vec![Vec::new(); parts], missing: parts, merge: Some(merge), begun: None, random }
    }

    /// The reply of part `number`, or the rest of it.
    pub(crate) fn part(&mut self, number: u32, reply: &[u8]) {
        self.parts[number as usize].extend_from_slice(reply);
        self.missing -= 1;
    }

    /// The next bytes of the reply of part `number`, of which more will come.
    pub(crate) fn piece(&mut self, number: u32, piece: &[u8]) {
        self.parts[number as usize].extend_from_slice(piece);
    }

    /// Forgets what has come of part `number`, which will come again; its bytes.
    pub(crate) fn restart(&mut self, number: u32) -> Result<usize, Begun> {
        match self.begun {
            Some(_) => Err(Begun),
            None => Ok(std::mem::take(&mut self.parts[number as usize]).len()),
        }
    }

    /// Appends what may leave although parts are missing.
    pub(crate) fn hand_on(&mut self, out: &mut Vec<u8>) {
        if self.begun.is_none() && matches!(self.merge, Some(Merge::Rule(MergeRule::Concat))) {
            self.begun = Concat::begin(&mut self.parts, out);
        }
        if let Some(concat) = &mut self.begun {
            concat.hand_on(&mut self.parts, out);
        }
    }

    /// The parts are needed even if nobody hears the reply.
    pub(crate) fn has_effects(&self) -> bool {
        matches!(self.merge, Some(Merge::Custom(_)))
    }

    /// Bytes of the parts that have come.
    pub(crate) fn bytes(&self) -> usize {
        self.parts.iter().map(Vec::len).sum()
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Appends the one reply.
    pub(crate) fn merge(&mut self, out: &mut Vec<u8>) {
        if self.begun.is_some() {
            return self.hand_on(out);
        }
        let parts = std::mem::take(&mut self.parts);
        match self.merge.take() {
            Some(Merge::Rule(rule)) => merge_by_rule(rule, &parts, self.random, out),
            Some(Merge::Interleave(order)) => match first_error(&parts) {
                Some(error) => out.extend_from_slice(error),
                None => whole(out, |out| interleave(&order, &parts, out)),
            },
            Some(Merge::Custom(merge)) => merge(parts, out),
            None => debug_assert!(false, "merged twice"),
        }
    }
}

/// Parts that do not fit together (a node that is broken, or no Redis) make an error, never half a reply: the client's
/// stream would be lost.
fn whole(out: &mut Vec<u8>, merge: impl FnOnce(&mut Vec<u8>) -> Option<()>) {
    let before = out.len();
    if merge(out).is_none() {
        out.truncate(before);
        out.extend_from_slice(MALFORMED);
    }
}

/// The first part that is an error.
pub(crate) fn first_error(parts: &[Vec<u8>]) -> Option<&[u8]> {
    parts.iter().map(Vec::as_slice).find(|part| matches!(part.first(), Some(b'-' | b'!')))
}

fn merge_by_rule(rule: MergeRule, parts: &[Vec<u8>], random: u64, out: &mut Vec<u8>) {
    if rule == MergeRule::AnyOk
        && let Some(ok) = parts.iter().find(|part| part.first() == Some(&b'+'))
    {
        return out.extend_from_slice(ok);
    }
    if let Some(error) = first_error(parts) {
        return out.extend_from_slice(error);
    }
    match rule {
        MergeRule::AllOk | MergeRule::AnyOk | MergeRule::First => out.extend_from_slice(&parts[0]),
        MergeRule::Sum => whole(out, |out| {
            let sum = integers(parts)?.into_iter().fold(0, i64::saturating_add);
            write::integer(out, sum);
            Some(())
        }),
        MergeRule::Min => whole(out, |out| minimum(parts, out)),
        MergeRule::Concat => whole(out, |out| concat::whole(parts, out)),
        MergeRule::Random => {
            let known: Vec<&Vec<u8>> = parts.iter().filter(|part| !is_null(part)).collect();
            let chosen = match known.len() {
                0 => &parts[0],
                count => known[usize::try_from(random % count as u64).expect("a remainder of a length fits")],
            };
            out.extend_from_slice(chosen);
        }
        MergeRule::SumFields => whole(out, |out| sum_fields(parts, out)),
    }
}

fn frames(parts: &[Vec<u8>]) -> impl Iterator<Item = Frame> {
    // A part is a whole reply that the scanner has passed, within the same limits.
    parts.iter().filter_map(|part| Frame::parse(part, &Limits::REPLY).ok().flatten()).map(|(frame, _)| frame)
}

/// The integers that all parts are.
fn integers(parts: &[Vec<u8>]) -> Option<Vec<i64>> {
    let numbers: Vec<i64> = frames(parts).map_while(|frame| frame.as_integer()).collect();
    (numbers.len() == parts.len()).then_some(numbers)
}

pub(crate) fn is_null(part: &[u8]) -> bool {
    matches!(part, b"$-1\r\n" | b"*-1\r\n" | b"_\r\n")
}

fn minimum(parts: &[Vec<u8>], out: &mut Vec<u8>) -> Option<()> {
    if let Some(numbers) = integers(parts) {
        write::integer(out, numbers.into_iter().min()?);
        return Some(());
    }
    let arrays: Vec<Vec<i64>> = frames(parts)
        .map_while(|frame| frame.as_array()?.iter().map(Frame::as_integer).collect::<Option<Vec<i64>>>())
        .collect();
    let len = arrays.first()?.len();
    if arrays.len() != parts.len() || arrays.iter().any(|array| array.len() != len) {
        return None;
    }
    write::array(out, len);
    (0..len)
        .for_each(|index| write::integer(out, arrays.iter().map(|array| array[index]).min().unwrap_or(0)));
    Some(())
}

fn interleave(order: &[u32], parts: &[Vec<u8>], out: &mut Vec<u8>) -> Option<()> {
    let heads: Vec<Head> = parts.iter().map(|part| Head::of(part)).collect::<Option<_>>()?;
    let mut asked = vec![0; parts.len()];
    order.iter().for_each(|&part| asked[part as usize] += 1);
    if heads.iter().zip(&asked).any(|(head, &asked)| head.count != asked) {
        return None;
    }
    let mut rest: Vec<&[u8]> = parts.iter().zip(&heads).map(|(part, head)| &part[head.len..]).collect();
    write::array(out, order.len());
    for &part in order {
        let rest = &mut rest[part as usize];
        let scanned = slotway_resp::Scanner::default().next(rest, &Limits::REPLY).ok()??;
        out.extend_from_slice(&rest[..scanned.len]);
        *rest = &rest[scanned.len..];
    }
    Some(())
}

/// RESP2 lists of name, value and RESP3 maps alike: numbers under the same name are added.
fn sum_fields(parts: &[Vec<u8>], out: &mut Vec<u8>) -> Option<()> {
    let mut frames = frames(parts);
    let mut first = frames.next()?;
    for frame in frames {
        match (&first, &frame) {
            (Frame::Map(_), Frame::Map(_)) | (Frame::Array(_), Frame::Array(_)) => add(&mut first, frame),
            _ => return None,
        }
    }
    first.write(out);
    Some(())
}

/// Adds an integer to another, or the fields of a map to those of another; what is neither stays as it is in the first.
fn add(into: &mut Frame, from: Frame) {
    match (into, from) {
        (Frame::Integer(into), Frame::Integer(from)) => *into = into.saturating_add(from),
        (Frame::Map(into), Frame::Map(from)) => {
            for (name, value) in from {
                match into.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, known)) => add(known, value),
                    None => into.push((name, value)),
                }
            }
        }
        (Frame::Array(into), Frame::Array(from)) => {
            let mut words = from.into_iter();
            while let (Some(name), Some(value)) = (words.next(), words.next()) {
                match into.chunks_exact_mut(2).find(|known| known[0] == name) {
                    Some(known) => add(&mut known[1], value),
                    None => into.extend([name, value]),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(merge: Merge, parts: &[&str], expected: &str) {
        let mut gather = Gather::new(parts.len(), merge, 7);
        for (number, part) in parts.iter().enumerate().rev() {
            assert!(!gather.is_complete());
            gather.part(u32::try_from(number).unwrap(), part.as_bytes());
        }
        let mut out = Vec::new();
        gather.merge(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn parts_merge_by_their_rule() {
        check(Merge::Rule(MergeRule::Sum), &[":1\r\n", ":41\r\n"], ":42\r\n");
        check(Merge::Rule(MergeRule::Min), &[":3\r\n", ":2\r\n"], ":2\r\n");
        check(
            Merge::Rule(MergeRule::Min),
            &["*2\r\n:1\r\n:0\r\n", "*2\r\n:0\r\n:1\r\n"],
            "*2\r\n:0\r\n:0\r\n",
        );
        check(Merge::Rule(MergeRule::AllOk), &["+OK\r\n", "+OK\r\n"], "+OK\r\n");
        check(Merge::Rule(MergeRule::AnyOk), &["-ERR x\r\n", "+OK\r\n"], "+OK\r\n");
        check(Merge::Rule(MergeRule::Random), &["$-1\r\n", "$1\r\na\r\n", "_\r\n"], "$1\r\na\r\n");
        check(Merge::Rule(MergeRule::Random), &["$-1\r\n", "$-1\r\n"], "$-1\r\n");
        let (one, two) = ("*1\r\n$1\r\na\r\n", "*2\r\n$1\r\nb\r\n$0\r\n\r\n");
        check(
            Merge::Rule(MergeRule::Concat),
            &[one, two, "*0\r\n"],
            "*3\r\n$1\r\na\r\n$1\r\nb\r\n$0\r\n\r\n",
        );
    }

    #[test]
    fn elements_return_to_the_order_of_the_request() {
        let parts = ["*2\r\n$1\r\na\r\n$-1\r\n", "*1\r\n$1\r\nb\r\n"];
        check(Merge::Interleave(vec![0, 1, 0]), &parts, "*3\r\n$1\r\na\r\n$1\r\nb\r\n$-1\r\n");
    }

    #[test]
    fn an_error_of_any_part_is_the_answer() {
        check(Merge::Rule(MergeRule::Sum), &[":1\r\n", "-ERR no\r\n"], "-ERR no\r\n");
        check(Merge::Interleave(vec![0, 1]), &["*1\r\n$-1\r\n", "-TIMEOUT no\r\n"], "-TIMEOUT no\r\n");
    }

    #[test]
    fn parts_that_do_not_fit_together_are_an_error() {
        let malformed = std::str::from_utf8(MALFORMED).unwrap();
        check(Merge::Rule(MergeRule::Sum), &[":1\r\n", "+OK\r\n"], malformed);
        check(Merge::Rule(MergeRule::Min), &["*1\r\n:1\r\n", "*0\r\n"], malformed);
        check(Merge::Rule(MergeRule::Concat), &["*1\r\n:1\r\n", ":1\r\n"], malformed);
        check(Merge::Interleave(vec![0, 1]), &["*1\r\n$1\r\na\r\n", "+OK\r\n"], malformed);
        check(Merge::Interleave(vec![0, 1, 1]), &["*1\r\n$-1\r\n", "*1\r\n$-1\r\n"], malformed);
        check(Merge::Interleave(vec![0, 1]), &["*1\r\n$-1\r\n", "*-1\r\n"], malformed);
    }

    #[test]
    fn numbers_under_one_name_are_added_in_both_versions() {
        let two = "*2\r\n$1\r\na\r\n:1\r\n";
        check(Merge::Rule(MergeRule::SumFields), &[two, two], "*2\r\n$1\r\na\r\n:2\r\n");
        let three = "%1\r\n$1\r\na\r\n:1\r\n";
        check(Merge::Rule(MergeRule::SumFields), &[three, three], "%1\r\n$1\r\na\r\n:2\r\n");
        let of_database =
            |name: &str, keys: u8| format!("%1\r\n${}\r\n{name}\r\n%1\r\n$1\r\nk\r\n:{keys}\r\n", name.len());
        let (one, same, other) = (of_database("db.0", 1), of_database("db.0", 2), of_database("db.11", 4));
        check(
            Merge::Rule(MergeRule::SumFields),
            &[&one, &same, &other],
            "%2\r\n$4\r\ndb.0\r\n%1\r\n$1\r\nk\r\n:3\r\n$5\r\ndb.11\r\n%1\r\n$1\r\nk\r\n:4\r\n",
        );
    }
}
