//! Hashes: fields, numbers in fields, what chance picks of them.

use super::Group;
use crate::differential::question::Compare::{AnyOrder, Bytes, Nothing, Pairs, Scan, Shape};
use crate::differential::source::{Row, Source};

pub const GROUP: Group = Group { name: "hashes", grammar: GRAMMAR, words, chosen: CHOSEN };

const GRAMMAR: &[Row] = &[
    (10, Bytes, "HSET <hash> <field> <value> [<field>] [<value>]"),
    (3, Bytes, "HMSET <hash> <field> <value> <field> <value>"),
    (3, Bytes, "HSETNX <hash> <field> <value>"),
    (4, Bytes, "HGET <hash> <field>"),
    (3, Bytes, "HMGET <hash> <field> <field>*"),
    (3, Pairs, "HGETALL <hash>"),
    (3, AnyOrder, "(HKEYS|HVALS) <hash>"),
    (3, Bytes, "(HLEN|TYPE) <hash>"),
    (3, Bytes, "(HSTRLEN|HEXISTS) <hash> <field>"),
    (4, Bytes, "HDEL <hash> <field> <field>*"),
    (4, Bytes, "HINCRBY <hash> <field> <integer>"),
    (5, Bytes, "HINCRBYFLOAT <hash> <field> <finite>"),
    (3, Shape, "HRANDFIELD <hash> <count> [WITHVALUES]"),
    (1, Nothing, "HRANDFIELD <hash>"),
    (1, Bytes, "HSCAN <hash> <badcursor> [<scanopt>]"),
    (3, Scan, "HSCAN <packed> 0 [<scanopt>] [<scanopt>]"),
    (3, Bytes, "(HSET|HGET|GET|STRLEN|HDEL|TYPE|EXISTS) <packed> f"),
    (3, Bytes, "HSET <packed> <field> <integer>"),
    (
        1,
        AnyOrder,
        "(HSET|HGET|HMGET|HDEL|HLEN|HKEYS|HVALS|HGETALL|HINCRBY|HEXISTS|HSTRLEN|HSETNX|HSCAN) <hash>*",
    ),
];

fn words(_source: &mut Source, _name: &str) -> Option<Vec<Vec<u8>>> {
    None
}

const CHOSEN: &str = r#"
    SET one ohmytext
    HINCRBY h f 5
    HINCRBY h f 9223372036854775807
    HINCRBYFLOAT h f 0.5
    HINCRBY h f 1
    HSET h g text
    HINCRBY h g 1
    HINCRBYFLOAT h g 1
    HSET h odd
    HSET h a b c
    HMSET h a b c
    HRANDFIELD h 1 WITHVALUES x
    HRANDFIELD h 1 x
    HRANDFIELD h -9223372036854775808
    HRANDFIELD h 9223372036854775807 WITHVALUES
    HRANDFIELD absent
    HRANDFIELD absent 3
    HSCAN absent x
    HSCAN absent 0 NONSENSE
    HSCAN one 0
    HGETALL absent
    HKEYS absent
    HMGET absent a b
    HDEL h f g
    EXISTS h
    700: HSET big field# value
    HLEN big
    OBJECT ENCODING big
    HSET wide f x**65
    OBJECT ENCODING wide
    HSET wide2 x**65 f
    OBJECT ENCODING wide2
    512: HSET edge f# v
    OBJECT ENCODING edge
    HSET edge f512 v
    OBJECT ENCODING edge
"#;
