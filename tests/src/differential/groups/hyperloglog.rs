//! HyperLogLog: sparse and dense, the same bytes.

use super::Group;
use crate::differential::question::Compare::Bytes;
use crate::differential::source::{Row, Source};

pub const GROUP: Group = Group { name: "hyperloglog", grammar: GRAMMAR, words, chosen: CHOSEN };

const GRAMMAR: &[Row] = &[
    (14, Bytes, "PFADD <hll> <element>*"),
    (8, Bytes, "PFADD <hll> <elements>"),
    (10, Bytes, "PFCOUNT <hll>"),
    (6, Bytes, "PFCOUNT <hll>+ [<key>]"),
    (6, Bytes, "PFMERGE <hll> <hll>*"),
    (2, Bytes, "PFMERGE <hll> (<hll>|<absent>|<key>)+"),
    (6, Bytes, "GET <hll>"),
    (2, Bytes, "PFDEBUG (GETREG|TODENSE) <hll>"),
    (4, Bytes, "PFDEBUG (DECODE|ENCODING|nonsense) <hll>"),
    (1, Bytes, "PFDEBUG (GETREG|DECODE|ENCODING|TODENSE) (<absent>|<key>)"),
    (1, Bytes, "(PFADD|PFCOUNT|PFMERGE|PFDEBUG|PFDEBUG ENCODING)"),
    (2, Bytes, "(OBJECT ENCODING|STRLEN|EXISTS|TYPE) <hll>"),
    (3, Bytes, "DEL <hll>"),
    (1, Bytes, "COPY <hll> <hll> REPLACE"),
    (1, Bytes, "EXPIRE <hll> 100000"),
    (2, Bytes, "SETRANGE <hll> <place> <odd>"),
    (2, Bytes, "APPEND <hll> <odd>"),
    (2, Bytes, "SET <hll> <broken>"),
];

fn words(source: &mut Source, name: &str) -> Option<Vec<Vec<u8>>> {
    match name {
        "element" => Some(vec![match source.below(10) {
            0 => source.value(),
            _ => format!("element{}", source.below(5000)).into_bytes(),
        }]),
        "elements" => {
            let (from, len) =
                (source.below(100_000), source.one_of(&["5", "20", "50", "100", "300", "1500"]));
            let len: u64 = std::str::from_utf8(&len[0]).ok()?.parse().ok()?;
            Some((from..from + len).map(|number| number.to_string().into_bytes()).collect())
        }
        "place" => Some(source.one_of(&["0", "4", "5", "8", "15", "5000", "12303", "12304"])),
        "odd" => {
            let len = 1 + source.below(4);
            Some(vec![(0..len).map(|_| u8::try_from(source.below(256)).unwrap_or(0)).collect()])
        }
        "broken" => Some(vec![broken(source)]),
        _ => None,
    }
}

/// A string that calls itself a HyperLogLog, and is one now and then. No run of two bytes lacks its second where PFADD
/// might come to it: what Redis reads there is what another string left behind its own end.
fn broken(source: &mut Source) -> Vec<u8> {
    let mut text = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80".to_vec();
    let (runs, mut left) = (source.below(30), 16_384);
    for _ in 0..runs {
        let (bytes, len) = match source.below(3) {
            0 => zeros(1 + source.below(64)),
            1 => zeros(1 + source.below(2000)),
            _ => {
                let (value, len) = (source.below(32), 1 + source.below(4));
                (vec![0x80 | byte(value << 2) | byte(len - 1)], len)
            }
        };
        text.extend(bytes);
        left = i64::saturating_sub(left, len.cast_signed());
    }
    // Exactly as many registers as there must be, one too few, or one too many.
    let rest = left + [0, 0, -1, 1][source.index(4)];
    if let Ok(rest) = u64::try_from(rest)
        && rest > 0
    {
        text.extend(zeros(rest.min(16_384)).0);
    }
    match source.below(12) {
        0 => text.push(0x7F),
        1 => text[4] = byte(source.below(4)),
        _ => {}
    }
    text
}

/// A run of zeros in two bytes, or in one where that is enough, now and then.
fn zeros(len: u64) -> (Vec<u8>, u64) {
    let low = byte((len - 1) & 0xFF);
    let bytes =
        if len <= 64 && !len.is_multiple_of(3) { vec![low] } else { vec![0x40 | byte((len - 1) >> 8), low] };
    (bytes, len)
}

fn byte(number: u64) -> u8 {
    u8::try_from(number).expect("eight bits")
}

const CHOSEN: &str = r#"
    PFADD y
    PFADD y
    GET y
    OBJECT ENCODING y
    PFCOUNT y
    GET y
    PFADD y a b c
    PFADD y a b c
    PFADD y ""
    GET y
    PFCOUNT y
    GET y
    PFDEBUG DECODE y
    PFDEBUG ENCODING y
    PFADD z c d
    PFCOUNT y z absent
    PFMERGE m y z absent
    GET m
    PFMERGE m
    PFMERGE new
    GET new
    PFDEBUG TODENSE z
    PFDEBUG TODENSE z
    GET z
    PFDEBUG DECODE z
    PFMERGE m z
    GET m
    PFCOUNT m
    GET m
    PFCOUNT absent
    PFCOUNT absent absent2
    SET text HYLL
    PFADD text a
    PFCOUNT text
    PFCOUNT y text
    PFMERGE y text
    PFDEBUG ENCODING text
    LPUSH list a
    PFADD list a
    PFCOUNT list
    PFCOUNT y list
    PFMERGE list y
    PFMERGE y list
    PFDEBUG ENCODING list
    PFDEBUG ENCODING absent
    PFDEBUG what y
    PFDEBUG ENCODING
    SET short "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    PFCOUNT short
    PFADD short a
    PFCOUNT short y
    PFMERGE y short
    PFMERGE short y
    PFDEBUG GETREG short
    PFDEBUG TODENSE short
    PFDEBUG DECODE short
    SET magic "HYLX\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff"
    PFCOUNT magic
    SET encoding "HYLL\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff"
    PFCOUNT encoding
    SET good "HYLL\x01\x01\x02\x03\x05\x00\x00\x00\x00\x00\x00\x00\x7f\xff"
    PFCOUNT good
    OBJECT ENCODING good
    PFADD good a
    PFDEBUG TODENSE good
    GETRANGE good 0 15
    SET full "HYLL\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80"
    SETRANGE full 12303 "\xff"
    PFCOUNT full
    APPEND full "\xff"
    PFCOUNT full
    300: PFADD grows element# #
    GET grows
    PFCOUNT grows
    2500: PFADD grows more#
    GET grows
    PFCOUNT grows
"#;
