//! Strings: SET in all its forms, numbers in strings, parts of strings.

use super::Group;
use crate::differential::question::Compare::Bytes;
use crate::differential::source::{Row, Source};

pub const GROUP: Group = Group { name: "strings", grammar: GRAMMAR, words, chosen: CHOSEN };

const GRAMMAR: &[Row] = &[
    (8, Bytes, "SET <string> <value>"),
    (6, Bytes, "SET <string> <value> <setopt>*"),
    (8, Bytes, "GET <string>"),
    (2, Bytes, "SETNX <string> <value>"),
    (2, Bytes, "(SETEX|PSETEX) <string> <time> <value>"),
    (2, Bytes, "GETSET <string> <value>"),
    (2, Bytes, "GETDEL <string>"),
    (4, Bytes, "GETEX <string> [<getopt>] [<getopt>]"),
    (2, Bytes, "MGET <string> <string>*"),
    (2, Bytes, "MGET <key>+"),
    (2, Bytes, "(MSET|MSETNX) <string> <value> [<string>] [<value>]"),
    (2, Bytes, "MSETNX <absent> <value> <string> <value>"),
    (4, Bytes, "APPEND <string> <value>"),
    (2, Bytes, "STRLEN <string>"),
    (4, Bytes, "SETRANGE <string> <offset> <value>"),
    (4, Bytes, "(GETRANGE|SUBSTR) <string> <index> <index>"),
    (4, Bytes, "(INCR|DECR) <string>"),
    (4, Bytes, "(INCRBY|DECRBY) <string> <integer>"),
    (5, Bytes, "INCRBYFLOAT <string> <float>"),
    (6, Bytes, "LCS <string> <string> <lcsopt>*"),
    (2, Bytes, "OBJECT (ENCODING|REFCOUNT) <string>"),
    (
        1,
        Bytes,
        "(SET|GET|APPEND|STRLEN|SETRANGE|GETRANGE|INCR|INCRBY|INCRBYFLOAT|LCS|GETEX|SETNX|MGET|MSET) <string>*",
    ),
];

fn words(source: &mut Source, name: &str) -> Option<Vec<Vec<u8>>> {
    Some(match name {
        "setopt" => source.rule_of(&[
            "NX",
            "XX",
            "GET",
            "KEEPTTL",
            "EX <time>",
            "PX <time>",
            "EXAT <unix>",
            "PXAT <unix>",
            "EX",
            "x",
        ]),
        "getopt" => source.rule_of(&[
            "PERSIST",
            "EX <time>",
            "PX <time>",
            "EXAT <unix>",
            "PXAT <unix>",
            "PX",
            "KEEPTTL",
            "x",
        ]),
        "lcsopt" => source.rule_of(&[
            "LEN",
            "IDX",
            "IDX",
            "WITHMATCHLEN",
            "MINMATCHLEN <integer>",
            "MINMATCHLEN",
            "x",
        ]),
        _ => return None,
    })
}

const CHOSEN: &str = r#"
    SET a 10
    INCRBYFLOAT a 0.1
    OBJECT ENCODING a
    INCRBYFLOAT a -10.1
    OBJECT ENCODING a
    SET a 0.1
    INCRBYFLOAT a 0.2
    INCRBYFLOAT a 1e17
    INCRBYFLOAT a 123456789012345678901234567890
    INCRBYFLOAT a 1e4900
    INCRBYFLOAT a 1.18973149535723176502e4932
    INCRBYFLOAT a 1.18973149535723176502e4932
    SET a 1e-4940
    INCRBYFLOAT a 1e-4950
    INCRBYFLOAT a 1e-5000
    SET a 3.14159265358979323846264338327950288
    INCRBYFLOAT a 2.71828182845904523536028747135266250
    SET a 0x1.8p1
    INCRBYFLOAT a 0xA
    INCRBYFLOAT a 0x
    INCRBYFLOAT a 0x.p1
    INCRBYFLOAT a 1e
    INCRBYFLOAT a .
    INCRBYFLOAT a 5.
    INCRBYFLOAT a .5
    INCRBYFLOAT a +3
    INCRBYFLOAT a nan(1)
    INCRBYFLOAT a infinity
    INCRBYFLOAT a -INF
    SET b 1
    APPEND b 2
    OBJECT ENCODING b
    INCR b
    OBJECT ENCODING b
    SET b 9999
    OBJECT REFCOUNT b
    INCR b
    OBJECT REFCOUNT b
    SETRANGE c 5 x
    OBJECT ENCODING c
    SETRANGE c 536870911 xx
    SETRANGE d 536870912 x
    LCS a b IDX LEN
    LCS c b LEN
    SET one ohmytext
    SET two mynewtext
    LCS one two
    LCS one two LEN
    LCS one two IDX
    LCS one two IDX WITHMATCHLEN
    LCS one two IDX MINMATCHLEN 4 WITHMATCHLEN
    LCS one two IDX MINMATCHLEN -1
    LCS one absent
    LCS absent absent IDX
    SET e 1 EX 10 EX 20 NX
    TTL e
    SET e 2 KEEPTTL GET
    TTL e
    SET e 3 NX GET
    GET e
    SET f 1 NX GET
    GET f
    SET f 2 XX GET EX 100
    SET f 2 KEEPTTL KEEPTTL
    SET f 2 EX 10 PX 10
    SET f 2 PXAT 1
    EXISTS f
    SET g 1
    GETEX g EXAT 1
    EXISTS g
    SET e 3
    MSET a
    MSET a 1 b
    MSETNX a 1 b
    SET long x**70000
    APPEND long x**70000
    SETRANGE long 150000 end
    GETRANGE long 139990 -1
    STRLEN long
"#;
