//! SORT and SORT_RO: weights and values from other keys.
//!
//! Sorted sets of this group have names of their own (`v0` ...): redis-server unpacks a sorted set that it sorts, so
//! their encodings differ afterwards. Numbers out of range come last: 7.0 goes on to refuse whatever is sorted next,
//! because it never resets C's `errno`.

use super::Group;
use crate::differential::question::Compare::{AnyOrder, Bytes, Shape};
use crate::differential::source::{Row, Source};

pub const GROUP: Group = Group { name: "sort", grammar: GRAMMAR, words, chosen: CHOSEN };

const GRAMMAR: &[Row] = &[
    (5, Bytes, "(RPUSH|LPUSH) <numbers> <number> <number>* <number>*"),
    (5, Bytes, "SADD <numberset> <number> <number>* <number>*"),
    (5, Bytes, "ZADD <scored> <score> <number> <score> <number> <score> <number>"),
    (3, Bytes, "(RPUSH|LPUSH) <texts> <value> <value>*"),
    (4, Bytes, "SET <weight> <number>"),
    (1, Bytes, "SET <weight> <value>"),
    (3, Bytes, "HSET <weighthash> f <number> g <value>"),
    (2, Bytes, "DEL (<weight>|<weighthash>|<numbers>|<numberset>|<stored>)"),
    (9, Bytes, "(SORT|SORT_RO) (<numbers>|<numberset>|<scored>) <option>* [<get>] [<get>]"),
    (3, Bytes, "(SORT|SORT_RO) (<numbers>|<numberset>|<scored>) ALPHA <option>* <get>*"),
    (9, Bytes, "(SORT|SORT_RO) (<numbers>|<numberset>|<scored>) BY <by> <option>* <get>*"),
    (5, Bytes, "SORT (<numbers>|<numberset>|<scored>) [BY (<by>|nosort)] <option>* <get>* STORE <stored>"),
    (5, Bytes, "(SORT|SORT_RO) (<numbers>|<scored>) BY nosort <option>* <get>*"),
    (2, AnyOrder, "(SORT|SORT_RO) <numberset> BY nosort [DESC]"),
    (2, Shape, "(SORT|SORT_RO) <numberset> BY nosort <option>*"),
    // Equal texts stay in the order of a list; a set has none, and with LIMIT redis-server sorts in another way.
    (3, Bytes, "(SORT|SORT_RO) <numbers> ALPHA BY <by> [DESC] <get>*"),
    (2, AnyOrder, "(SORT|SORT_RO) (<numberset>|<scored>) ALPHA BY <by> [DESC]"),
    (4, Bytes, "SORT <texts> ALPHA [ASC|DESC] <limit>"),
    (3, Bytes, "SORT <texts> ALPHA [ASC|DESC] <limit> STORE <stored>"),
    (2, Bytes, "SORT <texts> [BY <by>]"),
    (2, Bytes, "LRANGE <stored> 0 -1"),
    (2, Bytes, "(SORT|SORT_RO) (<weight>|<weighthash>|<absent>) <option>* [STORE <stored>]"),
    (1, Bytes, "(SORT|SORT_RO) <numbers> (BY|GET|LIMIT|LIMIT 1|STORE|x)"),
    (1, Bytes, "(SORT|SORT_RO)"),
];

fn words(source: &mut Source, name: &str) -> Option<Vec<Vec<u8>>> {
    let mut own = |prefix: &str, count: u64| {
        let key = format!("{prefix}{}", source.below(count));
        Some(vec![source.spell(key.as_bytes())])
    };
    match name {
        "numbers" => own("n", 3),
        "numberset" => own("m", 3),
        "scored" => own("v", 3),
        "texts" => own("t", 3),
        "weight" => own("w_", 12),
        "weighthash" => own("wh_", 12),
        "stored" => own("o", 3),
        "by" => {
            let pattern =
                source.one_of(&["w_*", "w_*", "wh_*->f", "wh_*->g", "w_*->f", "wh_*", "x*y", "*", "w_*->"]);
            Some(vec![source.spell(&pattern[0])])
        }
        "number" => Some(match source.below(30) {
            0 => source.expand("<value>"),
            1 => source.one_of(&["x", "1.5e-5", "1e17", " 1", "1 ", "nan", "0x1p3", "infinity", "1e", "."]),
            2 => source.one_of(&["-1", "3.5", "1e3", "-0", "0.1", "0x10", "inf", "-inf"]),
            _ => vec![source.below(12).to_string().into_bytes()],
        }),
        "score" => Some(vec![source.below(100).to_string().into_bytes()]),
        "limit" => {
            Some(source.rule_of(&["", "LIMIT 0 3", "LIMIT <index> <index>", "LIMIT 2 100", "LIMIT -5 2"]))
        }
        "option" => Some(source.rule_of(&["ASC", "DESC", "<limit>", "LIMIT 0 2", "DESC", "LIMIT 1 1"])),
        "get" => {
            let pattern =
                source.one_of(&["#", "w_*", "wh_*->f", "wh_*->g", "absent", "*", "wh_*->x", "w_*->f"]);
            let pattern = if pattern[0] == b"#" { pattern } else { vec![source.spell(&pattern[0])] };
            Some([vec![b"GET".to_vec()], pattern].concat())
        }
        _ => None,
    }
}

const CHOSEN: &str = r#"
    RPUSH n 3 1 2 10 -1 1
    SORT n
    SORT n DESC
    SORT n ALPHA
    SORT n ASC DESC ALPHA LIMIT 1 3
    SORT n LIMIT -1 2
    SORT n LIMIT 100 2
    SORT n LIMIT 2 -1
    SORT n LIMIT 0 0
    SORT n LIMIT 9223372036854775807 9223372036854775807
    SORT n LIMIT -9223372036854775808 -9223372036854775808
    SORT n LIMIT x 1
    SORT n LIMIT 1 x
    SORT n LIMIT 1
    SORT n LIMIT
    SORT n BY
    SORT n GET
    SORT n STORE
    SORT_RO n STORE o
    SORT n NONSENSE
    SORT n BY nosort
    SORT n BY nosort DESC
    SORT n BY nosort LIMIT 1 2
    SORT n BY nosort DESC LIMIT 1 2
    SORT n BY nosort GET # GET w*
    SORT n BY nosort BY w*
    SORT n BY w* BY nosort
    SORT n BY #
    MSET w1 30 w2 20 w3 10
    SORT n BY w*
    SORT n BY w* GET # GET w*
    SORT n BY w* GET w1
    HSET h1 f 1 g one
    HSET h2 f 0.5 g two
    HSET h3 f -1 g three
    SORT n BY h*->f GET h*->g
    SORT n BY h*->g
    SORT n BY h*->g ALPHA GET #
    SORT n BY h*-> GET h*->
    SORT n BY h*->absent
    SORT n BY h* GET h*
    SORT n STORE o
    LRANGE o 0 -1
    OBJECT ENCODING o
    SORT n GET absent* GET # STORE o
    LRANGE o 0 -1
    EXPIRE o 1000
    SORT n STORE o
    TTL o
    SORT absent STORE o
    EXISTS o
    SORT absent STORE o
    SORT n LIMIT 100 1 STORE n
    EXISTS n
    SORT absent
    SORT absent BY w* GET #
    SET text abc
    SORT text
    SORT text BY w* STORE o
    SORT h1
    RPUSH bad 1 x
    SORT bad
    SORT bad STORE o
    SORT bad ALPHA
    SORT bad BY nosort
    RPUSH odd 1 " 2" 0x3 "4\x00x" 5e-1 inf -inf ""
    SORT odd
    SORT odd DESC
    RPUSH odd1 1 "1 "
    SORT odd1
    RPUSH odd2 1 nan
    SORT odd2
    RPUSH odd6 1 " "
    SORT odd6
    RPUSH odd7 0 -0 +0 00 0.0
    SORT odd7
    RPUSH zeros "a\x00b" "a\x00a" "a" "A" "a\x00"
    SORT zeros ALPHA
    SORT zeros ALPHA DESC
    SORT zeros ALPHA STORE o
    LRANGE o 0 -1
    SADD s c a b 3 1 2
    SORT s
    SORT s ALPHA
    SORT s ALPHA DESC LIMIT 1 2
    ~SORT s BY nosort
    SORT s BY nosort STORE o
    LRANGE o 0 -1
    SORT s BY nosort DESC STORE o
    LRANGE o 0 -1
    SADD ints 3 1 2 10
    SORT ints
    SORT ints DESC GET #
    ZADD v 1 c 2 b 3 a 4 10 5 9
    SORT v
    SORT v ALPHA
    SORT v BY nosort
    SORT v BY nosort DESC
    SORT v BY nosort DESC LIMIT 1 2
    SORT v BY nosort LIMIT 1 2
    SORT v BY nosort LIMIT 3 100 STORE o
    LRANGE o 0 -1
    SORT v BY nosort LIMIT 100 100
    3000: RPUSH big #
    SORT big DESC LIMIT 10 20
    SORT big BY nosort DESC LIMIT 2990 20
    SORT big ALPHA LIMIT 100 50
    SORT big ALPHA STORE o
    LRANGE o 0 -1
    OBJECT ENCODING o
    SORT o STORE o
    LRANGE o 2990 -1
    SORT o LIMIT 0 100 STORE o
    OBJECT ENCODING o
    RPUSH odd3 1 1e400
    SORT odd3
    RPUSH odd4 1 1e-400
    SORT odd4
    RPUSH odd5 1 5e-324
    SORT odd5
"#;
