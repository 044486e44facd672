//! Whether two answers agree.

use slotway_resp::{Frame, Limits};

use super::exceptions;
use super::question::Compare;

/// Times may differ by so much: both sides read the clock, one after the other. Milliseconds or seconds.
const TIME_TOLERANCE: i64 = 1000;

/// The answers of both to one request, as the bytes they were.
#[must_use]
pub fn agree(words: &[Vec<u8>], compare: Compare, ours: &[u8], theirs: &[u8]) -> bool {
    if ours == theirs || compare == Compare::Nothing {
        return true;
    }
    match (frame(ours), frame(theirs)) {
        (Some(ours), Some(theirs)) => frames_agree(words, compare, &ours, theirs),
        _ => false,
    }
}

/// As [`agree`], of what lies inside an answer, too.
#[must_use]
pub fn frames_agree(words: &[Vec<u8>], compare: Compare, ours: &Frame, theirs: Frame) -> bool {
    if compare == Compare::Nothing {
        return true;
    }
    let theirs = exceptions::as_it_should_be(words, ours, theirs);
    match compare {
        Compare::AnyOrder => in_order(ours) == in_order(&theirs),
        Compare::Pairs => in_order(&paired(ours)) == in_order(&paired(&theirs)),
        Compare::Time => times_agree(ours, &theirs),
        Compare::Scan => is_partial(ours) || is_partial(&theirs) || in_order(ours) == in_order(&theirs),
        Compare::Shape => shape(ours) == shape(&theirs),
        Compare::Bytes | Compare::Popped | Compare::Gone | Compare::Nothing => *ours == theirs,
    }
}

/// The one whole reply that the bytes are.
#[must_use]
pub fn frame(bytes: &[u8]) -> Option<Frame> {
    let (frame, len) = Frame::parse(bytes, &Limits::REPLY).ok()??;
    (len == bytes.len()).then_some(frame)
}

/// Elements and pairs in one order, whatever they came in, at every level.
#[must_use]
pub fn in_order(frame: &Frame) -> String {
    let sorted = |mut elements: Vec<String>| {
        elements.sort_unstable();
        elements.join(" ")
    };
    let all = |elements: &[Frame]| sorted(elements.iter().map(in_order).collect());
    match frame {
        Frame::Array(elements) => format!("[{}]", all(elements)),
        Frame::Set(elements) => format!("~[{}]", all(elements)),
        Frame::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("{} => {}", in_order(key), in_order(value)));
            format!("%[{}]", sorted(pairs.collect()))
        }
        other => format!("{other:?}"),
    }
}

/// A flat array as pairs; anything else as it is.
fn paired(frame: &Frame) -> Frame {
    match frame {
        Frame::Array(elements) if elements.iter().all(|element| element.as_array().is_none()) => {
            Frame::Array(elements.chunks(2).map(|pair| Frame::Array(pair.to_vec())).collect())
        }
        other => other.clone(),
    }
}

/// A page with more behind it.
fn is_partial(page: &Frame) -> bool {
    matches!(page.as_array(), Some([cursor, _]) if cursor.as_str() != Some("0"))
}

fn times_agree(ours: &Frame, theirs: &Frame) -> bool {
    match (ours, theirs) {
        (Frame::Integer(ours), Frame::Integer(theirs)) if *ours >= 0 && *theirs >= 0 => {
            (ours - theirs).abs() <= TIME_TOLERANCE
        }
        _ => ours == theirs,
    }
}

#[derive(PartialEq, Eq)]
enum Shape<'f> {
    Elements(char, usize),
    Error(&'f [u8]),
    Null,
    One,
}

fn shape(frame: &Frame) -> Shape<'_> {
    match frame {
        Frame::Array(elements) => Shape::Elements('*', elements.len()),
        Frame::Set(elements) => Shape::Elements('~', elements.len()),
        Frame::Map(pairs) => Shape::Elements('%', pairs.len()),
        other if other.is_null() => Shape::Null,
        other => other.as_error().map_or(Shape::One, Shape::Error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(compare: Compare, request: &str, ours: &str, theirs: &str) -> bool {
        let words: Vec<Vec<u8>> = request.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let wire = |text: &str| text.replace(' ', "\r\n").into_bytes();
        agree(&words, compare, &wire(ours), &wire(theirs))
    }

    #[test]
    fn what_is_compared_to_the_byte_differs_by_a_byte() {
        assert!(check(Compare::Bytes, "GET k", "$1 a ", "$1 a "));
        assert!(!check(Compare::Bytes, "GET k", "$1 a ", "$1 b "));
        assert!(!check(Compare::Bytes, "GET k", "$1 1 ", ":1 "));
        assert!(check(Compare::Nothing, "RANDOMKEY", "$1 a ", "$1 b "));
    }

    #[test]
    fn elements_and_pairs_may_change_places_but_not_partners() {
        assert!(check(Compare::AnyOrder, "SMEMBERS s", "*2 :1 :2 ", "*2 :2 :1 "));
        assert!(!check(Compare::AnyOrder, "SMEMBERS s", "*2 :1 :2 ", "*2 :2 :2 "));
        assert!(!check(Compare::AnyOrder, "SMEMBERS s", "*2 :1 :2 ", "~2 :1 :2 "));
        assert!(check(Compare::Pairs, "HGETALL h", "*4 :1 :2 :3 :4 ", "*4 :3 :4 :1 :2 "));
        assert!(!check(Compare::Pairs, "HGETALL h", "*4 :1 :2 :3 :4 ", "*4 :1 :4 :3 :2 "));
        assert!(check(Compare::Pairs, "HGETALL h", "%2 :1 :2 :3 :4 ", "%2 :3 :4 :1 :2 "));
    }

    #[test]
    fn pages_of_a_scan_are_compared_when_both_are_all_there_is() {
        assert!(check(Compare::Scan, "SSCAN s 0", "*2 $1 0 *2 :1 :2 ", "*2 $1 0 *2 :2 :1 "));
        assert!(!check(Compare::Scan, "SSCAN s 0", "*2 $1 0 *1 :1 ", "*2 $1 0 *2 :2 :1 "));
        assert!(check(Compare::Scan, "SSCAN s 0", "*2 $1 0 *2 :1 :2 ", "*2 $1 7 *1 :2 "));
        assert!(!check(Compare::Scan, "SSCAN s x", "-ERR a ", "-ERR b "));
    }

    #[test]
    fn times_may_differ_a_little_but_not_in_being_one() {
        assert!(check(Compare::Time, "PTTL k", ":99990 ", ":99995 "));
        assert!(!check(Compare::Time, "PTTL k", ":99990 ", ":999 "));
        assert!(!check(Compare::Time, "PTTL k", ":5 ", ":-1 "));
    }

    #[test]
    fn a_shape_is_kind_and_number_of_elements() {
        assert!(check(Compare::Shape, "HRANDFIELD h 2", "*2 :1 :2 ", "*2 :3 :3 "));
        assert!(!check(Compare::Shape, "HRANDFIELD h 2", "*1 :1 ", "*2 :3 :3 "));
        assert!(!check(Compare::Shape, "HRANDFIELD h 2", "-ERR a ", "-ERR b "));
        assert!(check(Compare::Shape, "HRANDFIELD h", "$1 a ", "$1 b "));
        assert!(!check(Compare::Shape, "HRANDFIELD h", "$1 a ", "$-1 "));
    }
}
