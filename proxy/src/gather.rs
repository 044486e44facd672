//! One reply made of several: the parts of a split request, or the same request to every shard.
//!
//! A [`Gather`] stands in the client's queue until all parts are here, then merges them by its rule. An error of any
//! part is the answer (the first in the order of parts), because a caller cannot tell half an answer from a whole one.
//! This is the slow path: parts are parsed and allocated freely. Pure.

use slotway_commands::row::MergeRule;
use slotway_resp::{Frame, Limits, write};

/// Puts the parts together.
pub(crate) enum Merge {
    /// By a rule of the command table.
    Rule(MergeRule),
    /// MGET: element `i` of the reply is the next one of part `order[i]`.
    Interleave(Vec<u32>),
    /// What only the caller knows: the parts in order, and where to write.
    Custom(Box<dyn FnOnce(Vec<Vec<u8>>, &mut Vec<u8>)>),
}

/// Parts that have come, parts that have not, and the rule.
pub(crate) struct Gather {
    parts: Vec<Vec<u8>>,
    missing: usize,
    merge: Option<Merge>,
    /// What chooses where the rule says "at random".
    random: u64,
}

impl std::fmt::Debug for Gather {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gather").field("parts", &self.parts).field("missing", &self.missing).finish_non_exhaustive()
    }
}

impl Gather {
    pub(crate) fn new(parts: usize, merge: Merge, random: u64) -> Gather {
        Gather { parts: vec![Vec::new(); parts], missing: parts, merge: Some(merge), random }
    }

    /// The whole reply of part `number`.
    pub(crate) fn part(&mut self, number: u32, reply: &[u8]) {
        let part = &mut self.parts[number as usize];
        debug_assert!(part.is_empty(), "one reply for each part");
        *part = reply.to_vec();
        self.missing -= 1;
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Appends the one reply.
    pub(crate) fn merge(&mut self, out: &mut Vec<u8>) {
        let parts = std::mem::take(&mut self.parts);
        match self.merge.take() {
            Some(Merge::Rule(rule)) => merge_by_rule(rule, &parts, self.random, out),
            Some(Merge::Interleave(order)) => match first_error(&parts) {
                Some(error) => out.extend_from_slice(error),
                None => interleave(&order, &parts, out),
            },
            Some(Merge::Custom(merge)) => merge(parts, out),
            None => debug_assert!(false, "merged twice"),
        }
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
        MergeRule::Sum => write::integer(out, integers(parts).fold(0, i64::saturating_add)),
        MergeRule::Min => minimum(parts, out),
        MergeRule::Concat => concat(parts, out),
        MergeRule::Random => {
            let known: Vec<&Vec<u8>> = parts.iter().filter(|part| !is_null(part)).collect();
            let chosen = match known.len() {
                0 => &parts[0],
                count => known[usize::try_from(random % count as u64).expect("a remainder of a length fits")],
            };
            out.extend_from_slice(chosen);
        }
        MergeRule::SumFields => sum_fields(parts, out),
    }
}

fn frames(parts: &[Vec<u8>]) -> impl Iterator<Item = Frame> {
    // A part is a whole reply that the scanner has passed, within the same limits.
    parts.iter().filter_map(|part| Frame::parse(part, &Limits::REPLY).ok().flatten()).map(|(frame, _)| frame)
}

fn integers(parts: &[Vec<u8>]) -> impl Iterator<Item = i64> {
    frames(parts).filter_map(|frame| match frame {
        Frame::Integer(value) => Some(value),
        _ => None,
    })
}

fn is_null(part: &[u8]) -> bool {
    matches!(part, b"$-1\r\n" | b"*-1\r\n" | b"_\r\n")
}

fn minimum(parts: &[Vec<u8>], out: &mut Vec<u8>) {
    let arrays: Vec<Vec<Frame>> = frames(parts)
        .filter_map(|frame| match frame {
            Frame::Array(items) => Some(items),
            _ => None,
        })
        .collect();
    if arrays.is_empty() {
        return write::integer(out, integers(parts).min().unwrap_or(0));
    }
    let shortest = arrays.iter().map(Vec::len).min().unwrap_or(0);
    write::array(out, shortest);
    for index in 0..shortest {
        let least = arrays.iter().filter_map(|items| match &items[index] {
            Frame::Integer(value) => Some(*value),
            _ => None,
        });
        write::integer(out, least.min().unwrap_or(0));
    }
}

/// Arrays or sets, one behind the other, without copying their elements twice.
fn concat(parts: &[Vec<u8>], out: &mut Vec<u8>) {
    let heads: Vec<(usize, usize)> = parts.iter().map(|part| aggregate_head(part)).collect();
    let total: usize = heads.iter().map(|(count, _)| count).sum();
    out.push(parts.first().and_then(|part| part.first()).copied().unwrap_or(b'*'));
    out.extend_from_slice(total.to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
    for (part, (_, body)) in parts.iter().zip(&heads) {
        out.extend_from_slice(&part[*body..]);
    }
}

/// Number of elements of an array or set, and where they begin.
fn aggregate_head(part: &[u8]) -> (usize, usize) {
    let end = memchr::memchr(b'\n', part).map_or(part.len(), |at| at + 1);
    let digits = part.get(1..end.saturating_sub(2)).unwrap_or_default();
    let count = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    (count, end)
}

fn interleave(order: &[u32], parts: &[Vec<u8>], out: &mut Vec<u8>) {
    let mut rest: Vec<&[u8]> = parts.iter().map(|part| &part[aggregate_head(part).1..]).collect();
    write::array(out, order.len());
    for &part in order {
        let rest = &mut rest[part as usize];
        let mut scanner = slotway_resp::Scanner::default();
        let len = scanner.next(rest, &Limits::REPLY).ok().flatten().map_or(0, |scanned| scanned.len);
        out.extend_from_slice(&rest[..len]);
        *rest = &rest[len..];
    }
}

/// RESP2 lists of name, value and RESP3 maps alike: numbers under the same name are added.
fn sum_fields(parts: &[Vec<u8>], out: &mut Vec<u8>) {
    let mut frames = frames(parts);
    let Some(mut first) = frames.next() else { return };
    for frame in frames {
        match (&mut first, frame) {
            (Frame::Map(into), Frame::Map(from)) => {
                for (name, value) in from {
                    match into.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, known)) => add(known, &value),
                        None => into.push((name, value)),
                    }
                }
            }
            (Frame::Array(into), Frame::Array(from)) => {
                for pair in from.chunks_exact(2) {
                    match into.chunks_exact_mut(2).find(|known| known[0] == pair[0]) {
                        Some(known) => add(&mut known[1], &pair[1]),
                        None => into.extend_from_slice(pair),
                    }
                }
            }
            _ => {}
        }
    }
    first.write(out);
}

fn add(into: &mut Frame, from: &Frame) {
    if let (Frame::Integer(into), Frame::Integer(from)) = (into, from) {
        *into = into.saturating_add(*from);
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
        check(Merge::Rule(MergeRule::Min), &["*2\r\n:1\r\n:0\r\n", "*2\r\n:0\r\n:1\r\n"], "*2\r\n:0\r\n:0\r\n");
        check(Merge::Rule(MergeRule::AllOk), &["+OK\r\n", "+OK\r\n"], "+OK\r\n");
        check(Merge::Rule(MergeRule::AnyOk), &["-ERR x\r\n", "+OK\r\n"], "+OK\r\n");
        check(Merge::Rule(MergeRule::Random), &["$-1\r\n", "$1\r\na\r\n", "_\r\n"], "$1\r\na\r\n");
        check(Merge::Rule(MergeRule::Random), &["$-1\r\n", "$-1\r\n"], "$-1\r\n");
        let (one, two) = ("*1\r\n$1\r\na\r\n", "*2\r\n$1\r\nb\r\n$0\r\n\r\n");
        check(Merge::Rule(MergeRule::Concat), &[one, two, "*0\r\n"], "*3\r\n$1\r\na\r\n$1\r\nb\r\n$0\r\n\r\n");
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
    fn numbers_under_one_name_are_added_in_both_versions() {
        let two = "*2\r\n$1\r\na\r\n:1\r\n";
        check(Merge::Rule(MergeRule::SumFields), &[two, two], "*2\r\n$1\r\na\r\n:2\r\n");
        let three = "%1\r\n$1\r\na\r\n:1\r\n";
        check(Merge::Rule(MergeRule::SumFields), &[three, three], "%1\r\n$1\r\na\r\n:2\r\n");
    }
}
