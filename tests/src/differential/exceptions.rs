//! THE table of where Slotway differs from redis-server 7.0: it behaves as Redis 7.2.
//!
//! Each row changes a reply of 7.0 into what 7.2 says, or leaves it alone. What 7.2 does not say either is no exception but
//! a mistake of ours.

use slotway_commands::errors;
use slotway_resp::{Frame, Version, double, write};

use super::question::is;

/// One difference.
#[derive(Debug)]
pub struct Exception {
    pub name: &'static str,
    pub reason: &'static str,
    /// Request, our reply, their reply: what theirs ought to be. None: this row has nothing to do with it.
    mend: fn(&[Vec<u8>], &Frame, &Frame) -> Option<Frame>,
}

pub const ALL: &[Exception] = &[
    Exception {
        name: "scores",
        reason: "7.0 prints scores with 17 digits, 7.2 the shortest text that is the same number",
        mend: scores,
    },
    Exception {
        name: "small lists",
        reason: "since 7.2 a list of few elements is one listpack; 7.0 knows quicklists only",
        mend: |words, ours, theirs| encoding(words, ours, theirs, "listpack", "quicklist"),
    },
    Exception {
        name: "small sets",
        reason: "since 7.2 a set of few short members is a listpack; in 7.0 it is a hash table",
        mend: |words, ours, theirs| encoding(words, ours, theirs, "listpack", "hashtable"),
    },
    Exception {
        name: "the least rank",
        reason: "7.0 counts from the end with a RANK that has no negative, 7.2 refuses it",
        mend: least_rank,
    },
    Exception {
        name: "weights after a number out of range",
        reason: "7.0's SORT takes the errno of an earlier command (ZADD z 1e400 m) for its own; which weights are refused has \
                 tests of the node",
        mend: |words, ours, theirs| {
            let refused = theirs.as_error() == Some(b"ERR One or more scores can't be converted into double");
            let is_sort = is(words, "sort") || is(words, "sort_ro");
            (is_sort && refused && ours.as_error().is_none()).then(|| ours.clone())
        },
    },
    Exception {
        name: "sorted sets that were sorted",
        reason: "redis-server unpacks a sorted set that SORT looks at; reading changes nothing here. Keys of group sort only",
        mend: |words, ours, theirs| {
            let key = words.last()?;
            let is_sorts = key.strip_prefix(b"{t}").unwrap_or(key).starts_with(b"v");
            if is_sorts { encoding(words, ours, theirs, "listpack", "skiplist") } else { None }
        },
    },
    Exception {
        name: "texts with a zero byte",
        reason: "SORT ALPHA compares C strings, which end at a zero byte: what is behind it is in no certain order",
        mend: zero_bytes_sorted,
    },
    Exception {
        name: "bits of no string",
        reason: "since 7.2 BITCOUNT and BITPOS look at their words first and at the key then; 7.0 the other way round",
        mend: bits_of_no_string,
    },
];

/// Their reply as 7.2 would have given it.
#[must_use]
pub fn as_it_should_be(words: &[Vec<u8>], ours: &Frame, theirs: Frame) -> Frame {
    ALL.iter().fold(theirs, |theirs, exception| (exception.mend)(words, ours, &theirs).unwrap_or(theirs))
}

/// Replies of the commands that print scores: every number in them is printed anew.
fn scores(words: &[Vec<u8>], ours: &Frame, theirs: &Frame) -> Option<Frame> {
    let name = words.first()?.to_ascii_lowercase();
    let prints = name.starts_with(b"z") || name.starts_with(b"geo");
    (prints && ours != theirs).then(|| shortest(theirs))
}

/// Whether 7.0 may have printed a score so, and 7.2 otherwise: up to 17 digits with a point or an exponent, no zeros at
/// their end. Members that are so are the same in both spellings.
fn is_long(text: &str) -> bool {
    let (mantissa, exponent) =
        text.split_once('e').map_or((text, None), |(mantissa, exponent)| (mantissa, Some(exponent)));
    let digits = mantissa.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit).count();
    let is_short_form = digits <= 17 && !(mantissa.contains('.') && mantissa.ends_with(['0', '.']));
    let is_placed = match exponent {
        Some(exponent) => exponent.len() >= 3 && exponent.starts_with(['-', '+']),
        None => mantissa.contains('.') && !mantissa.trim_start_matches('-').starts_with("0.0000"),
    };
    is_short_form && is_placed
}

fn shortest(frame: &Frame) -> Frame {
    let all = |elements: &[Frame]| elements.iter().map(shortest).collect();
    match frame {
        Frame::Bulk(text) if std::str::from_utf8(text).is_ok_and(is_long) => match double::parse(text) {
            Some(number) => printed(number),
            None => frame.clone(),
        },
        Frame::Array(elements) => Frame::Array(all(elements)),
        Frame::Set(elements) => Frame::Set(all(elements)),
        Frame::Map(pairs) => {
            Frame::Map(pairs.iter().map(|(key, value)| (shortest(key), shortest(value))).collect())
        }
        // RESP3's doubles are numbers here already.
        other => other.clone(),
    }
}

fn printed(number: f64) -> Frame {
    let mut bytes = Vec::new();
    write::double(&mut bytes, Version::Resp2, number);
    Frame::parse(&bytes, &slotway_resp::Limits::REPLY).ok().flatten().expect("a bulk").0
}

/// 7.0 goes on to the other options.
fn least_rank(words: &[Vec<u8>], ours: &Frame, _theirs: &Frame) -> Option<Frame> {
    let is_refused = ours.as_error()?.starts_with(b"ERR value is out of range, value must between");
    let is_least = words.iter().any(|word| word == i64::MIN.to_string().as_bytes());
    (is(words, "lpos") && is_least && is_refused).then(|| ours.clone())
}

/// As many elements, and a zero byte in one of them.
fn zero_bytes_sorted(words: &[Vec<u8>], ours: &Frame, theirs: &Frame) -> Option<Frame> {
    let has = |wanted: &str| words.iter().any(|word| word.eq_ignore_ascii_case(wanted.as_bytes()));
    let sorts = (is(words, "sort") || is(words, "sort_ro")) && has("alpha") && !has("store");
    let (found, wanted) = (ours.as_array()?, theirs.as_array()?);
    let zero = |element: &Frame| element.as_bytes().is_some_and(|text| text.contains(&0));
    (sorts && found.len() == wanted.len() && found.iter().chain(wanted).any(zero)).then(|| ours.clone())
}

/// OBJECT ENCODING says `old` where 7.2 says `new`.
fn encoding(words: &[Vec<u8>], ours: &Frame, theirs: &Frame, new: &str, old: &str) -> Option<Frame> {
    let asked = is(words, "object") && words.get(1)?.eq_ignore_ascii_case(b"encoding");
    let differs = ours.as_str() == Some(new) && theirs.as_str() == Some(old);
    (asked && differs).then(|| ours.clone())
}

/// What is wrong with the words counts also where there is no string.
fn bits_of_no_string(words: &[Vec<u8>], ours: &Frame, theirs: &Frame) -> Option<Frame> {
    let asked = is(words, "bitcount") || is(words, "bitpos");
    let wrong_words = [errors::SYNTAX, errors::NOT_INTEGER];
    let refused =
        ours.as_error().is_some_and(|text| wrong_words.iter().any(|wrong| wrong.as_bytes() == text));
    let no_string = matches!(theirs, Frame::Integer(0 | -1))
        || theirs.as_error().is_some_and(|text| text == errors::WRONGTYPE.as_bytes());
    (asked && refused && no_string).then(|| ours.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(request: &str, ours: Frame, theirs: Frame) -> bool {
        let words: Vec<Vec<u8>> = request.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        as_it_should_be(&words, &ours, theirs) == ours
    }

    #[test]
    fn scores_are_those_of_seven_two() {
        let long = || Frame::bulk("0.10000000000000001");
        assert!(mended("ZSCORE z a", Frame::bulk("0.1"), long()));
        assert!(!mended("ZSCORE z a", Frame::bulk("0.100000000000000010"), long()), "longer than in 7.0");
        assert!(!mended("ZSCORE z a", Frame::bulk("0.2"), long()));
        assert!(!mended("GET k", Frame::bulk("0.1"), long()));
        assert!(mended("ZSCORE z a", Frame::bulk("1e-7"), Frame::bulk("9.9999999999999995e-08")));
        assert!(!mended(
            "ZRANGE z 0 0",
            Frame::bulk("9.223372036854776e+18"),
            Frame::bulk("9223372036854775807")
        ));
    }

    #[test]
    fn encodings_are_those_of_seven_two() {
        assert!(mended("OBJECT ENCODING l", Frame::bulk("listpack"), Frame::bulk("quicklist")));
        assert!(mended("object encoding s", Frame::bulk("listpack"), Frame::bulk("hashtable")));
        assert!(!mended("OBJECT ENCODING s", Frame::bulk("intset"), Frame::bulk("hashtable")));
        assert!(!mended("GET s", Frame::bulk("listpack"), Frame::bulk("hashtable")));
    }

    #[test]
    fn wrong_words_are_refused_before_the_key_is_looked_at() {
        let syntax = || Frame::Error(errors::SYNTAX.into());
        assert!(mended("BITCOUNT absent 0", syntax(), Frame::Integer(0)));
        assert!(mended(
            "BITPOS list 1 x",
            Frame::Error(errors::NOT_INTEGER.into()),
            Frame::Error(errors::WRONGTYPE.into())
        ));
        assert!(!mended("BITCOUNT k 0", syntax(), Frame::Integer(5)));
        assert!(!mended("BITCOUNT k", Frame::Integer(1), Frame::Integer(0)));
        assert!(!mended("STRLEN absent", syntax(), Frame::Integer(0)));
    }

    #[test]
    fn every_exception_has_a_name_of_its_own_and_a_reason() {
        for exception in ALL {
            let same = ALL.iter().filter(|other| other.name == exception.name).count();
            assert!(same == 1 && exception.reason.len() > 20, "{}", exception.name);
        }
    }
}
