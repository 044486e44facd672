//! Keys of any type: deadlines, names, copies, databases, encodings, scans.

use super::Group;
use crate::differential::question::Compare::{AnyOrder, Bytes, Nothing, Time};
use crate::differential::source::{Row, Source};

pub const GROUP: Group = Group { name: "keys", grammar: GRAMMAR, words, chosen: CHOSEN };

const GRAMMAR: &[Row] = &[
    (6, Bytes, "SET <key> <value>"),
    (3, Bytes, "RPUSH <key> <value>+"),
    (3, Bytes, "SADD <key> <value>+"),
    (3, Bytes, "ZADD <key> <integer> <value>"),
    (3, Bytes, "HSET <key> <field> <value>"),
    (4, Bytes, "(DEL|UNLINK|EXISTS|TOUCH) <key> <key>*"),
    (3, Bytes, "TYPE <key>"),
    (6, Bytes, "(EXPIRE|PEXPIRE) <key> <time> [<expopt>] [<expopt>]"),
    (6, Bytes, "(EXPIREAT|PEXPIREAT) <key> <unix> [<expopt>] [<expopt>]"),
    (6, Time, "(TTL|PTTL|EXPIRETIME|PEXPIRETIME) <key>"),
    (3, Bytes, "PERSIST <key>"),
    (4, Bytes, "(RENAME|RENAMENX) <key> <key>"),
    (5, Bytes, "COPY <key> <key> [<copyopt>] [<copyopt>]"),
    (3, Bytes, "MOVE <key> <db>"),
    (1, Bytes, "SELECT (0|0|0|1|2)"),
    (1, Bytes, "SWAPDB <db> <db>"),
    (2, AnyOrder, "KEYS <keypattern>"),
    (1, Nothing, "(DBSIZE|RANDOMKEY)"),
    (4, Bytes, "OBJECT (ENCODING|REFCOUNT|FREQ) <key>"),
    (2, Time, "OBJECT IDLETIME <key>"),
    (1, Bytes, "OBJECT (ENCODING|REFCOUNT|FREQ|NONSENSE) [<key>] [<key>]"),
    (1, Bytes, "SCAN <badcursor> [<scanopt>] [<scanopt>]"),
    (1, Bytes, "SCAN 0 [<scanopt>] NONSENSE x"),
    (1, Bytes, "(FLUSHDB|FLUSHALL) (x|ASYNC|SYNC)"),
    (1, Bytes, "FLUSHDB ASYNC x"),
    (1, Bytes, "(EXPIRE|TYPE|RENAME|COPY|PERSIST|DEL|TOUCH|MOVE|OBJECT) <key>*"),
];

fn words(source: &mut Source, name: &str) -> Option<Vec<Vec<u8>>> {
    Some(match name {
        "copyopt" => source.rule_of(&["REPLACE", "DB <db>", "DB", "x"]),
        _ => return None,
    })
}

const CHOSEN: &str = r#"
    SET one ohmytext
    SET two mynewtext
    SET e 3 EX 10000
    EXPIRE e 100 NX
    EXPIRE e 100 GT LT
    EXPIRE e 100 NX GT
    EXPIRE e 200 GT
    EXPIRE e 100 LT XX
    EXPIRE e 100 what
    EXPIRE e 9223372036854775807
    EXPIRE e -9223372036854775808
    PEXPIRE e 9223372036854775807
    EXPIRE e -1
    EXISTS e
    COPY one one
    COPY absent absent
    COPY one absent2 DB 99
    COPY one absent2 DB x
    COPY one two
    COPY one two REPLACE
    COPY one one DB 3
    MOVE one 3
    MOVE one 0
    MOVE one 99
    MOVE one x
    SWAPDB x 1
    SWAPDB 1 x
    SWAPDB 1 99
    SWAPDB 0 3
    GET one
    SWAPDB 0 3
    FLUSHALL NOW
    FLUSHDB
    RANDOMKEY
"#;
