//! Sets: members, and what several sets have in common.

use super::Group;
use crate::differential::question::Compare::{AnyOrder, Bytes, Nothing, Popped, Scan, Shape};
use crate::differential::source::{Row, Source};

pub const GROUP: Group = Group { name: "sets", grammar: GRAMMAR, words, chosen: CHOSEN };

const GRAMMAR: &[Row] = &[
    (12, Bytes, "SADD <set> <one>+"),
    (3, Bytes, "SADD <set> <number>+"),
    (2, Bytes, "SADD <set> <numbers>"),
    (2, Bytes, "SADD <set> <texts>"),
    (1, Bytes, "SADD <set> <member>+"),
    (6, Bytes, "SREM <set> <one>+"),
    (1, Bytes, "SREM <set> (<numbers>|<texts>)"),
    (4, Bytes, "SISMEMBER <set> <one>"),
    (3, Bytes, "SMISMEMBER <set> <one>+"),
    (3, Bytes, "SCARD <set>"),
    (3, AnyOrder, "SMEMBERS <set>"),
    (5, Bytes, "SMOVE <set> <set> <one>"),
    (4, Popped, "SPOP <set>"),
    (3, Popped, "SPOP <set> <popcount>"),
    (1, Bytes, "SPOP <set> (-1|x|9223372036854775808|1 1|-9223372036854775808)"),
    (2, Shape, "SRANDMEMBER <set>"),
    (3, Shape, "SRANDMEMBER <set> <count>"),
    (1, AnyOrder, "SRANDMEMBER <set> 100000"),
    (1, Bytes, "SRANDMEMBER <set> (x|1 1|9223372036854775808|-9223372036854775808)"),
    (6, AnyOrder, "SINTER <set>+"),
    (6, AnyOrder, "SUNION <set>+"),
    (8, AnyOrder, "SDIFF <set>+"),
    (4, Bytes, "SINTERSTORE <set> <set>+"),
    (3, Bytes, "SUNIONSTORE <set> <set>+"),
    (4, Bytes, "SDIFFSTORE <set> <set>+"),
    (2, Bytes, "(SINTERSTORE|SUNIONSTORE|SDIFFSTORE) <set> (<set>|<absent>)+"),
    (2, AnyOrder, "(SINTER|SUNION|SDIFF) (<set>|<absent>|<key>)+"),
    (5, Bytes, "SINTERCARD 2 <set> <set> [LIMIT <limit>]"),
    (3, Bytes, "SINTERCARD <numkeys> <set>+ [LIMIT <limit>] [LIMIT|LIMIT <limit>|x|x 1]"),
    (2, Bytes, "OBJECT ENCODING <set>"),
    (1, Bytes, "SSCAN <set> <badcursor> [<scanopt>]"),
    (2, Bytes, "SSCAN <set> <badcursor> <scanopt> <scanopt>"),
    (3, Scan, "SSCAN <onenumber> 0 [<scanopt>] [<scanopt>]"),
    (2, Bytes, "(SADD|SREM|SCARD|SISMEMBER) <onenumber> 5"),
    (1, Bytes, "(PERSIST|TYPE|EXISTS) <set>"),
    (1, Bytes, "EXPIRE <set> 100000"),
    (1, Bytes, "COPY <set> <set> REPLACE"),
    (2, Bytes, "DEL <set>+"),
    (1, Nothing, "SMEMBERS <set> x"),
    (
        1,
        AnyOrder,
        "(SADD|SREM|SISMEMBER|SMISMEMBER|SCARD|SMEMBERS|SMOVE|SRANDMEMBER|SINTER|SINTERCARD|SINTERSTORE|SUNION|SUNIONSTORE|SDIFF|SDIFFSTORE|SSCAN)",
    ),
];

fn words(source: &mut Source, name: &str) -> Option<Vec<Vec<u8>>> {
    let from = source.below(300);
    let run = |len: u64, name: &dyn Fn(u64) -> String| {
        Some((from..from + len).map(|number| name(number).into_bytes()).collect())
    };
    match name {
        "one" => Some(match source.below(30) {
            0 => vec![source.value()],
            1..15 => source.rule_of(&["<number>"]),
            _ => vec![format!("w{}", source.below(30)).into_bytes()],
        }),
        "number" => Some(match source.below(12) {
            0 => source.one_of(&[
                "32767",
                "32768",
                "-32769",
                "2147483648",
                "-2147483649",
                "9223372036854775807",
            ]),
            _ => vec![source.below(40).to_string().into_bytes()],
        }),
        "numbers" => run(1 + source.below(400), &|number| number.to_string()),
        "texts" => run(1 + source.below(130), &|number| format!("t{number}")),
        "popcount" => Some(source.one_of(&["0", "1", "2", "3", "10", "100", "300", "9223372036854775807"])),
        "limit" => Some(source.one_of(&["0", "1", "2", "100", "-1", "x", "9223372036854775808"])),
        "numkeys" => Some(source.one_of(&["1", "2", "3", "0", "-1", "100", "x", "9223372036854775807", ""])),
        // A set that never has more than one member: scanned at once.
        "onenumber" => Some(vec![source.spell(b"n")]),
        _ => None,
    }
}

const CHOSEN: &str = r#"
    SADD s 1 2 3
    OBJECT ENCODING s
    SADD s a
    OBJECT ENCODING s
    SREM s a
    OBJECT ENCODING s
    512: SADD edge #
    OBJECT ENCODING edge
    SADD edge 511
    SADD edge -1
    OBJECT ENCODING edge
    SREM edge -1
    OBJECT ENCODING edge
    129: SADD words word#
    SADD long x**65
    OBJECT ENCODING long
    SADD limits -9223372036854775808 9223372036854775807 9223372036854775808 007 -0 +1 1.0 ""
    ~SMEMBERS limits
    SREM limits 9223372036854775808 007 -0 +1 1.0 ""
    ~SMEMBERS limits
    SMISMEMBER limits -9223372036854775808 1 9223372036854775807
    SINTERSTORE back edge edge
    OBJECT ENCODING back
    SADD few 1 2 3 x
    SINTERSTORE back edge few
    OBJECT ENCODING back
    SDIFFSTORE back edge few
    OBJECT ENCODING back
    SUNIONSTORE back edge few
    OBJECT ENCODING back
    SUNIONSTORE back few s
    OBJECT ENCODING back
    SINTERSTORE back few absent
    EXISTS back
    EXPIRE few 1000
    SUNIONSTORE few few few
    TTL few
    EXPIRE edge 1000
    SINTERCARD 2 edge words
    SINTERCARD 2 edge few LIMIT 2
    SINTERCARD 2 edge few LIMIT
    SINTERCARD 2 edge few LIMIT -1
    SINTERCARD 2 edge few LIMIT 1 LIMIT 3
    SINTERCARD 3 edge few
    SINTERCARD 0 edge
    SINTERCARD x edge
    SMOVE few s x
    SMOVE few few 1
    SMOVE few few nothing
    SMOVE absent few 1
    SMOVE few absent 1
    SET text 1
    SMOVE text few 1
    SMOVE few text 1
    SMOVE few text nothing
    SMOVE absent text 1
    SINTER text absent
    SINTER absent text
    SUNION absent text
    SDIFF absent text
    SUNIONSTORE text s few
    ~SMEMBERS text
    SDIFF s s
    SDIFF s few s
    SDIFF absent s
    ~SDIFF edge few words
    ~SDIFF few edge words
    SPOP absent
    SPOP absent 3
    SPOP s 0
    SPOP s x
    SPOP s -1
    SPOP s 1 1
    ~SPOP text 1000000
    EXISTS text
    SRANDMEMBER absent
    SRANDMEMBER absent 0
    SRANDMEMBER absent -3
    SRANDMEMBER absent 3
    SRANDMEMBER s 0
    ~SRANDMEMBER s 100
    SRANDMEMBER s x
    SSCAN absent x
    SSCAN absent 0 NONSENSE
    SSCAN absent 0
"#;
