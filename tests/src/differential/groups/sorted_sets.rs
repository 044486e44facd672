//! Sorted sets: every form of range, scores good and bad.
//!
//! Ranges by member of members with different scores are left open by Redis. It answers the same only while a sorted set is
//! a listpack, so there are three kinds of keys: any (`z`), small ones (`zm`), and such whose scores are all equal (`zl`).

use super::Group;
use crate::differential::question::Compare::{AnyOrder, Bytes, Nothing, Scan, Shape};
use crate::differential::source::{Row, Source};

pub const GROUP: Group = Group { name: "sorted_sets", grammar: GRAMMAR, words, chosen: CHOSEN };

const GRAMMAR: &[Row] = &[
    (12, Bytes, "ZADD <zset> <pair>+"),
    (8, Bytes, "ZADD <zset> <zaddopt>* <pair>+"),
    (6, Bytes, "ZADD <zset> <zaddopt>* INCR <pair>"),
    (2, Bytes, "ZADD <zset> <zaddopt>* <pair> <odd>"),
    (2, Bytes, "ZADD <zset> <pairs>"),
    (5, Bytes, "ZADD <small> <score> <few>"),
    (5, Bytes, "ZADD <lex> <zeros>"),
    (4, Bytes, "ZINCRBY (<zset>|<small>) <score> <few>"),
    (3, Bytes, "ZCARD <anyz>"),
    (5, Bytes, "ZSCORE <anyz> <one>"),
    (3, Bytes, "ZMSCORE <anyz> <one>+"),
    (5, Bytes, "(ZRANK|ZREVRANK) <anyz> <one>"),
    (8, Bytes, "(ZRANGE|ZREVRANGE) <anyz> <index> <index> [WITHSCORES]"),
    (3, Bytes, "ZRANGE <anyz> <index> <index> <rangeopt>*"),
    (8, Bytes, "(ZRANGEBYSCORE|ZREVRANGEBYSCORE) <anyz> <bound> <bound> [WITHSCORES] [<limit>]"),
    (8, Bytes, "ZRANGE <anyz> <bound> <bound> BYSCORE [REV] [<limit>] [WITHSCORES]"),
    (8, Bytes, "(ZRANGEBYLEX|ZREVRANGEBYLEX) <byte> <lexbound> <lexbound> [<limit>]"),
    (8, Bytes, "ZRANGE <byte> <lexbound> <lexbound> BYLEX [REV] [<limit>] [WITHSCORES|x]"),
    (6, Bytes, "ZCOUNT <anyz> <bound> <bound>"),
    (
        1,
        Bytes,
        "(ZRANGEBYLEX|ZREVRANGEBYLEX|ZLEXCOUNT|ZREMRANGEBYLEX) (<set>|<hash>|<absent>) <lexbound> <lexbound>",
    ),
    (4, Bytes, "ZLEXCOUNT <byte> <lexbound> <lexbound>"),
    (6, Bytes, "ZRANGESTORE <zset> <anyz> <index> <index> [REV] [<limit>]"),
    (4, Bytes, "ZRANGESTORE <zset> <anyz> <bound> <bound> BYSCORE [REV] [<limit>]"),
    (3, Bytes, "ZRANGESTORE <lex> <lex> <lexbound> <lexbound> BYLEX [REV] [<limit>]"),
    (1, Bytes, "ZRANGESTORE <zset> <anyz> <index> <index> <rangeopt>*"),
    (6, Bytes, "ZREM <anyz> <one>+"),
    (3, Bytes, "ZREMRANGEBYRANK <anyz> <index> <index>"),
    (3, Bytes, "ZREMRANGEBYSCORE <anyz> <bound> <bound>"),
    (2, Bytes, "ZREMRANGEBYLEX <byte> <lexbound> <lexbound>"),
    (6, Bytes, "(ZPOPMIN|ZPOPMAX) <anyz> [<popcount>]"),
    (4, Bytes, "ZMPOP 2 <anyz> <anyz> (MIN|MAX) [COUNT <popcount>]"),
    (2, Bytes, "ZMPOP <numkeys> <anyz>+ (MIN|MAX|x) [COUNT <popcount>|COUNT|x]"),
    (2, Shape, "ZRANDMEMBER <anyz> <count> [WITHSCORES|x]"),
    (1, Shape, "ZRANDMEMBER <anyz>"),
    (2, AnyOrder, "ZRANDMEMBER <anyz> 100000"),
    (1, Bytes, "ZSCAN <anyz> <badcursor> [<scanopt>]"),
    (3, Scan, "ZSCAN <small> 0 [<scanopt>] [<scanopt>]"),
    (8, Bytes, "(ZUNION|ZINTER) 2 <input> <input> <weights2>"),
    (4, Bytes, "(ZUNION|ZINTER|ZDIFF) 1 <input> [WITHSCORES]"),
    (6, Bytes, "ZDIFF 3 <input> <input> <input> [WITHSCORES]"),
    (4, Bytes, "(ZUNION|ZINTER) 3 <input> <input> <input> [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]"),
    (3, Bytes, "(ZUNION|ZINTER|ZDIFF) <numkeys> <input>+ <combineopt>*"),
    (
        6,
        Bytes,
        "(ZUNIONSTORE|ZINTERSTORE) <zset> 2 <input> <input> [WEIGHTS <score> <score>] [AGGREGATE (SUM|MIN|MAX|x)]",
    ),
    (3, Bytes, "ZDIFFSTORE <zset> 2 <input> <input>"),
    (2, Bytes, "(ZUNIONSTORE|ZINTERSTORE|ZDIFFSTORE) <zset> <numkeys> <input>+ <combineopt>*"),
    (5, Bytes, "ZINTERCARD 2 <input> <input> [LIMIT <popcount>]"),
    (2, Bytes, "ZINTERCARD <numkeys> <input>+ [LIMIT|LIMIT <popcount>] [LIMIT 1|x]"),
    (3, Bytes, "SADD <set> <one>+"),
    (2, Bytes, "SADD <set> <integer>+"),
    (3, Bytes, "OBJECT ENCODING <anyz>"),
    (2, Bytes, "(TYPE|EXISTS|PERSIST) <anyz>"),
    (2, Bytes, "COPY <zset> <zset> REPLACE"),
    (1, Bytes, "RENAME <zset> <zset>"),
    (1, Bytes, "EXPIRE <zset> 100000"),
    (2, Bytes, "DEL <anyz>+"),
    (1, Nothing, "ZRANGE <anyz>"),
    (
        1,
        Bytes,
        "(ZADD|ZINCRBY|ZCARD|ZSCORE|ZMSCORE|ZRANK|ZREVRANK|ZRANGE|ZREVRANGE|ZRANGEBYSCORE|ZREVRANGEBYSCORE|ZRANGEBYLEX|ZREVRANGEBYLEX)",
    ),
    (
        1,
        Bytes,
        "(ZRANGESTORE|ZCOUNT|ZLEXCOUNT|ZREM|ZREMRANGEBYRANK|ZREMRANGEBYSCORE|ZREMRANGEBYLEX|ZPOPMIN|ZMPOP|ZUNION|ZINTERSTORE|ZSCAN)",
    ),
];

const FEW: &[&str] =
    &["a", "b", "c", "d", "aa", "ab", "", "B", "zz", "7", "10", "exactly-14-chars", "a-longer-member-15"];
/// None of them out of range: that leaves redis-server with an `errno` which a later SORT takes for its own. Those are
/// among the chosen requests.
const FLOATS: &[&str] = &[
    "0.1",
    "0.2",
    "-0.3",
    "1e3",
    "1.5e-5",
    "3.0e0",
    "1e17",
    "123456789.987654321",
    "1e-17",
    "0x1p3",
    "x",
    "",
    " 1",
    "1 ",
    "nan",
    "infinity",
    "-",
];
const BOUNDS: &[&str] = &[
    "-inf", "+inf", "inf", "0", "(0", "1", "(1", "2.5", "(2.5", "-1", "(-1", "10", "(10", "-0", "", "(",
    " 1", "nan", "x", "(x", "1e400", "(+inf", "1 ", "((1", "0x1p3",
];
const LEX_BOUNDS: &[&str] = &[
    "-", "+", "[a", "(a", "[b", "(b", "[c", "(zz", "[", "(", "[m1", "(m2", "[m33", "(member", "a", "", "+x",
    "-x", "[aa", "(ab",
];
const POP_COUNTS: &[&str] = &["0", "1", "2", "3", "10", "100", "9223372036854775807", "-1", "x", "1.5"];

/// Words that are one of several rules.
const RULES: &[(&str, &[&str])] = &[
    ("anyz", &["<zset>", "<zset>", "<small>", "<lex>"]),
    ("byte", &["<small>", "<lex>", "<lex>"]),
    ("input", &["<zset>", "<zset>", "<small>", "<lex>", "<set>", "<absent>"]),
    ("pair", &["<score> <one>"]),
    ("odd", &["<score>", "<one>", "<pair> NX", "x"]),
    ("zaddopt", &["NX", "XX", "GT", "LT", "CH", "XX", "GT", "CH"]),
    ("rangeopt", &["WITHSCORES", "REV", "<limit>", "BYSCORE", "LIMIT 0 -1", "x"]),
    ("limit", &["LIMIT <index> <index>", "LIMIT 0 3", "LIMIT 1 2", "LIMIT 0 -1", "LIMIT 1"]),
    ("numkeys", &["0", "1", "2", "3", "-1", "x", "9223372036854775807"]),
    (
        "weights2",
        &[
            "",
            "WITHSCORES",
            "WEIGHTS <score> <score> WITHSCORES",
            "WEIGHTS 2 -0.5 AGGREGATE (MIN|MAX|SUM) WITHSCORES",
            "WITHSCORES AGGREGATE (MIN|MAX|x)",
            "WEIGHTS inf 0 WITHSCORES",
        ],
    ),
    (
        "combineopt",
        &[
            "WITHSCORES",
            "WEIGHTS 1 2",
            "WEIGHTS <score>",
            "AGGREGATE (SUM|MIN|MAX)",
            "AGGREGATE",
            "LIMIT 1",
            "x",
        ],
    ),
];

fn words(source: &mut Source, name: &str) -> Option<Vec<Vec<u8>>> {
    if let Some((_, rules)) = RULES.iter().find(|(rule, _)| *rule == name) {
        return Some(source.rule_of(rules));
    }
    let numbered = |source: &Source, prefix: &str, number: u64| {
        Some(vec![source.spell(format!("{prefix}{number}").as_bytes())])
    };
    let run = |from: u64, len: u64, score: fn(u64) -> u64| {
        let pair = |number: u64| [score(number).to_string().into_bytes(), format!("m{number}").into_bytes()];
        Some((from..from + len).flat_map(pair).collect())
    };
    let number = source.below(200);
    match name {
        "small" => numbered(source, "zm", number % 3),
        "lex" => numbered(source, "zl", number % 3),
        "few" => Some(source.one_of(FEW)),
        "one" => Some(match source.below(30) {
            0 => vec![source.value()],
            1..12 => source.one_of(FEW),
            _ => vec![format!("m{}", number % 60).into_bytes()],
        }),
        "score" => Some(match source.below(12) {
            0 => source.one_of(FLOATS),
            1 => source.one_of(&["inf", "-inf", "-0", "0", "1e300", "4611686018427387905", "0.1", "-2.5"]),
            2 => vec![(source.below(1 << 40)).to_string().into_bytes()],
            _ => vec![(number % 12).to_string().into_bytes()],
        }),
        "pairs" => run(number % 60, 1 + source.below(140), |number| number % 7),
        "zeros" => run(number, 1 + source.below(30), |_| 0),
        "bound" => Some(source.one_of(BOUNDS)),
        "lexbound" => Some(source.one_of(LEX_BOUNDS)),
        "popcount" => Some(source.one_of(POP_COUNTS)),
        _ => None,
    }
}

const CHOSEN: &str = r#"
    SET one text
    ZADD one 1 a
    ZADD z NX XX 1 a
    ZADD z GT LT 1 a
    ZADD z INCR 1 a 2 b
    ZADD z CH
    ZADD z XX 1 a
    EXISTS z
    ZADD z 1e-320 tiny 0x1p3 hex inf i -inf j -0 minus 0 plus
    ZADD z nan a
    ZADD z 1 a 1e400 b
    ZRANGE z 0 -1 WITHSCORES
    ZADD z INCR -inf i
    ZINCRBY z inf j
    ZRANGEBYSCORE z "" ""
    ZRANGEBYSCORE z (1e400 1e400
    ZCOUNT z 1e-400 1e400
    ZRANGEBYSCORE z "1\x00" "2\x00"
    ZRANGEBYSCORE z "\x00" "\t1"
    ZLEXCOUNT z "-\x00x" "+\x00y"
    ZRANGE z 0 -1 LIMIT 0 1
    ZRANGE z 0 -1 LIMIT 0 -1
    ZRANGE z - + BYLEX WITHSCORES
    ZRANGE z 0 1 BYSCORE BYLEX
    ZREVRANGE z 0 1 REV
    ZRANGESTORE d absent 0 -1
    ZRANGESTORE one absent 0 -1
    EXISTS one
    SET one text
    ZPOPMIN one 0
    ZPOPMIN absent 0
    ZPOPMAX z -1
    ZMPOP 0 z MIN
    ZMPOP 2 absent one MIN
    ZMPOP 1 absent MIN
    ZUNION 0 z
    ZUNION 1 z WEIGHTS
    ZUNION 1 z WEIGHTS x
    ZUNION 2 z one WEIGHTS x
    ZINTERCARD 1 z LIMIT -1
    ZUNIONSTORE one 1 absent
    EXISTS one
    128: ZADD edge 1.5 m#
    OBJECT ENCODING edge
    ZADD edge 3 m5
    OBJECT ENCODING edge
    ZADD edge 1 one-more
    OBJECT ENCODING edge
    ZPOPMAX edge 100
    OBJECT ENCODING edge
    ZRANDMEMBER edge 5000 WITHSCORES
    ZADD wide 1 x**64
    OBJECT ENCODING wide
    ZADD wide 1 x**65
    OBJECT ENCODING wide
    ZUNIONSTORE small 1 edge
    OBJECT ENCODING small
    ZRANGESTORE small2 edge 0 -1
    OBJECT ENCODING small2
    2000: ZADD big # member#
    2000: ZADD flat 0 member#
    2000: ZINCRBY big 0.25 member#
    ZCOUNT big 100 (200.25
    ZRANGE big 990 1010 WITHSCORES
    ZREVRANGE big 990 1010
    ZREVRANGEBYSCORE big 1000.25 (990.25 WITHSCORES LIMIT 3 5
    ZRANGEBYLEX flat [member1 (member11
    ZREVRANGEBYLEX flat (member11 [member10 LIMIT 5 50
    ZLEXCOUNT flat (member19 +
    ZRANK big member1234
    ZREVRANK flat member1234
    ZREMRANGEBYLEX flat (member1 [member19
    ZREMRANGEBYRANK big 100 -200
    ZREMRANGEBYSCORE big -inf (50
    ZCARD big
    ZRANGE big 0 -1 WITHSCORES
    ZRANGE flat 0 -1
    ZUNIONSTORE both 2 big flat WEIGHTS 2 3 AGGREGATE MAX
    ZRANGE both 0 -1 WITHSCORES
    ZINTERSTORE both 2 big flat
    ZDIFFSTORE both 2 flat big
    ZRANGE both 0 -1 REV WITHSCORES
    ZPOPMIN both 1000000
    EXISTS both
    CONFIG SET zset-max-listpack-entries 3
    ZADD narrow 1 a 2 b 3 c
    OBJECT ENCODING narrow
    ZADD narrow 4 d
    OBJECT ENCODING narrow
    CONFIG SET zset-max-listpack-entries 128
    ZADD again 1 a
    OBJECT ENCODING again
"#;
