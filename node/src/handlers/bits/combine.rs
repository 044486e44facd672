//! BITOP: strings combined bit by bit into a new one. The short ones go on with zeros.

use std::ops::Range;

use slotway_resp::write;

use crate::call::{Call, Done};
use crate::handlers::arguments::{SYNTAX, WRONG_TYPE, count, is};

const ONE_SOURCE: &str = "ERR BITOP NOT must be called with a single source key.";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

/// So much of the result stays in the nearest cache while all sources go through it.
const BLOCK: usize = 16 << 10;

/// `BITOP operation destination source ...`
pub(crate) fn bitop(call: &mut Call<'_>) -> Done {
    let request = call.request;
    let operation = match request.word(1) {
        word if is(word, "AND") => Operation::And,
        word if is(word, "OR") => Operation::Or,
        word if is(word, "XOR") => Operation::Xor,
        word if is(word, "NOT") => Operation::Not,
        _ => return Err(SYNTAX),
    };
    if operation == Operation::Not && request.len() != 4 {
        return Err(ONE_SOURCE.into());
    }
    let keys = || (1..).zip(3..request.len());
    for (nth, word) in keys() {
        let key = call.nth_key(nth, word);
        if let Some(entry) = call.keyspace.read(key, call.now) {
            entry.text().ok_or(WRONG_TYPE)?;
        }
    }
    let source =
        |(nth, word)| call.keyspace.seen(call.nth_key(nth, word), call.now).and_then(|entry| entry.text());
    let sources: Vec<&[u8]> = keys().map(|key| source(key).unwrap_or_default()).collect();
    let result = combine(operation, &sources);
    let (key, len) = (call.nth_key(0, 2), result.len());
    if len > 0 {
        call.keyspace.set_made_text(key, result, call.now);
        call.keyspace.changed(key, 1);
    } else if call.keyspace.delete(key, call.now) {
        call.keyspace.changed(key, 1);
    }
    write::integer(call.out, count(len));
    Ok(())
}

/// As long as the longest source.
fn combine(operation: Operation, sources: &[&[u8]]) -> Vec<u8> {
    let len = sources.iter().map(|source| source.len()).max().unwrap_or(0);
    let mut result = vec![0; len];
    let (first, others) = sources.split_first().expect("the arity asks for one");
    for (nth, block) in result.chunks_mut(BLOCK).enumerate() {
        let range = nth * BLOCK..nth * BLOCK + block.len();
        let part = part(first, &range);
        block[..part.len()].copy_from_slice(part);
        for source in others {
            apply(operation, block, self::part(source, &range));
        }
        if operation == Operation::Not {
            block.iter_mut().for_each(|byte| *byte = !*byte);
        }
    }
    result
}

/// What a source has of a range.
fn part<'s>(source: &'s [u8], range: &Range<usize>) -> &'s [u8] {
    &source[range.start.min(source.len())..range.end.min(source.len())]
}

/// Works on whole vectors: the compiler sees equally long runs of bytes.
fn apply(operation: Operation, block: &mut [u8], source: &[u8]) {
    let (covered, behind) = block.split_at_mut(source.len());
    let pairs = covered.iter_mut().zip(source);
    match operation {
        Operation::And => {
            pairs.for_each(|(byte, other)| *byte &= other);
            behind.fill(0);
        }
        Operation::Or => pairs.for_each(|(byte, other)| *byte |= other),
        Operation::Xor => pairs.for_each(|(byte, other)| *byte ^= other),
        // Has one source.
        Operation::Not => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(operation: Operation, sources: &[&[u8]]) {
        let len = sources.iter().map(|source| source.len()).max().unwrap_or(0);
        let expected: Vec<u8> = (0..len)
            .map(|place| {
                let mut bytes = sources.iter().map(|source| source.get(place).copied().unwrap_or(0));
                match operation {
                    Operation::And => bytes.fold(0xFF, |all, byte| all & byte),
                    Operation::Or => bytes.fold(0, |all, byte| all | byte),
                    Operation::Xor => bytes.fold(0, |all, byte| all ^ byte),
                    Operation::Not => !bytes.next().unwrap(),
                }
            })
            .collect();
        assert_eq!(combine(operation, sources), expected, "{operation:?}");
    }

    proptest! {
        #[test]
        fn blocks_are_combined_as_single_bytes_are(
            sources in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 1..5)
        ) {
            let sources: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
            for operation in [Operation::And, Operation::Or, Operation::Xor] {
                check(operation, &sources);
            }
            check(Operation::Not, &sources[..1]);
        }
    }

    #[test]
    fn sources_may_end_on_either_side_of_a_block() {
        let long: Vec<u8> = (0..=250).cycle().take(2 * BLOCK + 7).collect();
        let sources: [&[u8]; 4] = [&long[..BLOCK], &long, &long[..BLOCK + 1], &[]];
        for operation in [Operation::And, Operation::Or, Operation::Xor] {
            check(operation, &sources);
            check(operation, &sources[..3]);
            check(operation, &sources[1..3]);
        }
        check(Operation::Not, &[&long]);
    }
}
