//! Bits and bit fields in strings.

use super::Group;
use crate::differential::question::Compare::Bytes;
use crate::differential::source::{Row, Source};

pub const GROUP: Group = Group { name: "bits", grammar: GRAMMAR, words, chosen: CHOSEN };

const GRAMMAR: &[Row] = &[
    (8, Bytes, "SETBIT <bits> <bitoffset> (0|1|1)"),
    (1, Bytes, "SETBIT <bits> <bitoffset> <integer>"),
    (3, Bytes, "GETBIT <bits> <bitoffset>"),
    (2, Bytes, "(SET|APPEND) <bits> <pattern8>"),
    (2, Bytes, "(SET|APPEND|SETNX) <bits> <value>"),
    (1, Bytes, "SETRANGE <bits> <smalloffset> <value>"),
    (2, Bytes, "BITCOUNT <bits>"),
    (6, Bytes, "BITCOUNT <bits> <bitindex> <bitindex> [BYTE|BIT]"),
    (1, Bytes, "BITCOUNT <bits> <index> <index> [BYTE|BIT|BITS|x]"),
    (1, Bytes, "BITCOUNT <bits> <index>*"),
    (3, Bytes, "BITPOS <bits> (0|1)"),
    (6, Bytes, "BITPOS <bits> (0|1) <bitindex> [<bitindex>] [BYTE|BIT]"),
    (2, Bytes, "BITPOS <bits> (0|1) <bitindex> <bitindex> (BYTE|BIT)"),
    (2, Bytes, "BITPOS <bits> <integer> <index>* [BYTE|BIT|x]"),
    (6, Bytes, "BITOP (AND|OR|XOR) <bits> <bits> <bits>*"),
    (2, Bytes, "BITOP NOT <bits> <bits>"),
    (2, Bytes, "BITOP (AND|OR|XOR|NOT) <key> <key> <key>*"),
    (1, Bytes, "BITOP (NOR|AND|NOT) <bits>*"),
    (8, Bytes, "BITFIELD <bits> <fieldop>+"),
    (5, Bytes, "BITFIELD <bits> <fieldop>* OVERFLOW <overflow> <fieldop>+"),
    (1, Bytes, "BITFIELD <bits> <badop>*"),
    (1, Bytes, "BITFIELD <bits> <fieldop>* <badop> <fieldop>*"),
    (3, Bytes, "BITFIELD_RO <bits> <getop>*"),
    (1, Bytes, "BITFIELD_RO <bits> <getop>* [<fieldop>] [<badop>]"),
    (2, Bytes, "(GET|STRLEN) <bits>"),
    (2, Bytes, "OBJECT (ENCODING|REFCOUNT) <bits>"),
    (1, Bytes, "DEL <bits>"),
    (1, Bytes, "(SETBIT|GETBIT|BITOP|BITFIELD|BITFIELD_RO) <bits>*"),
];

fn words(source: &mut Source, name: &str) -> Option<Vec<Vec<u8>>> {
    Some(match name {
        "pattern8" => {
            source.one_of(&["\u{0}\u{0}", "abcdefghijklmnopqrstuvwxyz0123456789", "\u{7f}", "\u{0}\u{1}"])
        }
        "smalloffset" => vec![source.below(300).to_string().into_bytes()],
        "bitoffset" => match source.below(30) {
            0 => source.one_of(&["-1", "4294967296", "9223372036854775807", "#1", "x", "", "1.5", "01"]),
            1 => vec![source.below(600_000).to_string().into_bytes()],
            2..8 => vec![source.below(3_000).to_string().into_bytes()],
            _ => vec![source.below(70).to_string().into_bytes()],
        },
        "bitindex" => match source.below(8) {
            0 => source.one_of(&["9223372036854775807", "-9223372036854775808", "100", "-100", "70000"]),
            1 => vec![source.below(3_000).to_string().into_bytes()],
            2 | 3 => vec![format!("-{}", source.below(80)).into_bytes()],
            _ => vec![source.below(80).to_string().into_bytes()],
        },
        "overflow" => match source.below(25) {
            0 => source.one_of(&["x", "", "GET"]),
            _ => source.one_of(&["WRAP", "SAT", "FAIL", "sat", "Fail"]),
        },
        "kind" => match source.below(4) {
            0 => source.one_of(&["u1", "i1", "u63", "i64", "i63", "u62", "i2"]),
            1 => source.one_of(&["u8", "i8", "u16", "i32"]),
            2 => vec![format!("u{}", 1 + source.below(63)).into_bytes()],
            _ => vec![format!("i{}", 1 + source.below(64)).into_bytes()],
        },
        "at" => match source.below(6) {
            0 | 1 => vec![format!("#{}", source.below(12)).into_bytes()],
            2 => vec![source.below(3_000).to_string().into_bytes()],
            _ => vec![source.below(70).to_string().into_bytes()],
        },
        "amount" => match source.below(4) {
            0 => source.one_of(&["9223372036854775807", "-9223372036854775808", "4611686018427387904", "-1"]),
            1 => vec![format!("-{}", source.below(1 << 20)).into_bytes()],
            2 => vec![(source.below(1 << 40) << 20).to_string().into_bytes()],
            _ => vec![source.below(300).to_string().into_bytes()],
        },
        "getop" => source.expand("GET <kind> <at>"),
        "fieldop" => source.rule_of(&[
            "GET <kind> <at>",
            "SET <kind> <at> <amount>",
            "INCRBY <kind> <at> <amount>",
            "INCRBY <kind> <at> <amount>",
        ]),
        "badop" => source.rule_of(&[
            "GET",
            "GET u8",
            "SET u8 0",
            "SET u8 0 x",
            "SET u64 0 1",
            "GET i65 0",
            "GET u0 0",
            "GET 8 0",
            "GET U8 0",
            "GET \"\" 0",
            "INCRBY u8 #x 1",
            "INCRBY u8 -1 1",
            "GET u8 4294967296",
            "GET u8 #536870912",
            "OVERFLOW",
            "OVERFLOW NONSENSE",
            "NONSENSE u8 0",
            "x",
        ]),
        _ => return None,
    })
}

const CHOSEN: &str = r#"
    SETBIT a 8000007 1
    STRLEN a
    GETBIT a 8000007
    GETBIT a 8000006
    SETBIT a 4294967296 1
    BITCOUNT a
    BITPOS a 1
    BITPOS a 1 -1
    BITPOS a 0 -1
    BITPOS a 1 -1 -1 BIT
    BITPOS a 1 0 -2 BIT
    BITOP NOT b a
    BITCOUNT b
    BITPOS b 0
    BITOP AND c a b
    BITCOUNT c
    BITOP OR c a b
    BITPOS c 0
    BITPOS c 0 0
    BITPOS c 0 0 -1
    BITFIELD a GET u8 8000000 GET i63 4294967295 GET u8 4294967296
    BITFIELD a SET u63 8000007 1
    BITFIELD a SET u63 4294967296 1
    STRLEN a
    DEL a b c
    SET i 12
    OBJECT ENCODING i
    GETBIT i 2
    BITFIELD i GET u8 0
    OBJECT ENCODING i
    SETBIT i 2 1
    OBJECT ENCODING i
    BITOP OR i2 i
    OBJECT ENCODING i2
    GET i2
    SET e ""
    BITCOUNT e
    BITPOS e 0
    BITPOS e 1
    BITOP NOT e2 e
    EXISTS e2
    SET d 1 EX 1000
    BITOP NOT d d
    TTL d
    BITOP NOT d absent
    EXISTS d
    SET d 1 EX 1000
    SETBIT d 100 1
    BITFIELD d SET u8 #30 1
    PERSIST d
    BITFIELD absent OVERFLOW FAIL SET u8 0 256
    STRLEN absent
    BITFIELD absent OVERFLOW FAIL INCRBY u8 #9 -1 GET u8 #9
    STRLEN absent
    BITFIELD f SET u8 0 -1
    BITFIELD f OVERFLOW SAT SET u8 0 -1 SET i8 8 -200 SET i8 16 200
    BITFIELD f OVERFLOW SAT INCRBY i64 0 -9223372036854775808 INCRBY i64 0 -9223372036854775808
    BITFIELD f OVERFLOW SAT INCRBY i64 0 9223372036854775807 INCRBY i64 0 9223372036854775807 INCRBY i64 0 1
    BITFIELD f OVERFLOW WRAP INCRBY i64 0 9223372036854775807 INCRBY u63 1 9223372036854775807 INCRBY u63 1 1
    BITFIELD f OVERFLOW FAIL INCRBY i64 0 1 INCRBY u63 1 9223372036854775807 SET i1 0 1 SET u1 0 2
    BITFIELD f SET "u8\x00x" 0 7 GET u8 0
    BITFIELD f
    BITFIELD_RO f
    BITFIELD_RO f SET u8 0 1
    BITFIELD_RO f SET u8 0 x
    BITFIELD_RO f OVERFLOW SAT
    BITFIELD_RO f OVERFLOW x
    SET long x**100000
    SET long2 y**70000
    BITOP XOR r long long2
    BITCOUNT r
    BITCOUNT r 69999 70000
    BITOP AND r long long2
    BITPOS r 1 70000
    BITPOS r 0 -1 -1
    BITOP OR r long long2 i absent
    GET r
    BITCOUNT r 3 799990 BIT
    BITPOS r 0 560001 799990 BIT
    RPUSH list a
    BITCOUNT list
    BITPOS list 1
    BITOP AND r long list
    GETBIT list 0
    BITFIELD list
    BITFIELD list GET u8 0
    BITFIELD list SET u8 0 1
    BITFIELD list SET x 0 1
    SETBIT list 0 1
    SETBIT list 0 2
    SETBIT list x 1
    BITOP NOT list i
    TYPE list
"#;
