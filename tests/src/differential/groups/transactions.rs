//! Transactions: what is queued, refused, watched.
//!
//! The second connection comes between WATCH and EXEC of the first.

use super::Group;
use crate::differential::question::Compare::Bytes;
use crate::differential::source::{Row, Source};

pub const GROUP: Group = Group { name: "transactions", grammar: GRAMMAR, words, chosen: CHOSEN };

const GRAMMAR: &[Row] = &[
    (8, Bytes, "MULTI"),
    (8, Bytes, "EXEC"),
    (2, Bytes, "DISCARD"),
    (4, Bytes, "WATCH <key> <key>*"),
    (1, Bytes, "UNWATCH"),
    (6, Bytes, "SET <key> <value>"),
    (3, Bytes, "(INCR|GET|DEL|EXISTS|TYPE|STRLEN|PERSIST) <key>"),
    (2, Bytes, "(HSET|HSETNX) <hash> <field> <value>"),
    (2, Bytes, "(RENAME|RENAMENX|COPY) <key> <key>"),
    (2, Bytes, "MOVE <key> (1|2)"),
    (1, Bytes, "SWAPDB 0 (0|1)"),
    (1, Bytes, "SELECT (0|0|1|99|x)"),
    (1, Bytes, "(FLUSHDB|FLUSHALL)"),
    (1, Bytes, "(EXEC|MULTI|DISCARD|UNWATCH) x"),
    (1, Bytes, "(WATCH|GET|SET|NONSENSE|OBJECT)"),
    (1, Bytes, "(DEBUG SLEEP 0|OBJECT NONSENSE x)"),
    (2, Bytes, "@other SET <key> <value>"),
    (2, Bytes, "@other (INCR|GET|DEL|EXISTS|EXPIRE) <key>"),
    (1, Bytes, "@other (EXPIRE|PEXPIRE) <key> <time>"),
    (1, Bytes, "@other (HSET|HDEL) <hash> <field> [<value>]"),
    (1, Bytes, "@other (MSET|MSETNX|COPY|RENAME) <string> <string>"),
    (1, Bytes, "@other (SETRANGE|SETBIT) <string> 0 1"),
    (1, Bytes, "@other GETEX <string> [PERSIST|EX 1000000]"),
    (1, Bytes, "@other (WATCH|MULTI|EXEC|DISCARD|UNWATCH) <key>*"),
    (1, Bytes, "@other (FLUSHDB|FLUSHALL|SWAPDB 0 1)"),
];

fn words(_source: &mut Source, _name: &str) -> Option<Vec<Vec<u8>>> {
    None
}

const CHOSEN: &str = r#"
    EXEC
    EXEC x
    DISCARD
    DISCARD x
    MULTI x
    WATCH
    UNWATCH x
    UNWATCH
    MULTI
    MULTI
    WATCH a
    SET k v
    EXEC
    GET k
    MULTI
    NONSENSE a
    SET k w
    EXEC
    EXEC
    GET k
    MULTI
    SET k w
    EXEC x
    GET k
    MULTI
    GET
    DISCARD
    MULTI
    EXEC
    MULTI
    DEBUG SLEEP 0
    EXEC
    MULTI
    OBJECT NONSENSE x
    EXEC
    MULTI
    HSET k f v
    INCR k
    SET k 1
    INCR k
    EXEC
    WATCH k k other
    SET k 1
    MULTI
    SET k 2
    EXEC
    GET k
    WATCH k
    SET k 1
    UNWATCH
    MULTI
    SET k 3
    EXEC
    WATCH k
    MULTI
    UNWATCH
    SET k 4
    EXEC
    WATCH absent
    DEL absent
    MULTI
    PING
    EXEC
    WATCH absent
    FLUSHALL
    MULTI
    PING
    EXEC
    SET k 1
    WATCH k
    FLUSHALL
    MULTI
    PING
    EXEC
    WATCH k
    EXEC x
    SET k 1
    MULTI
    PING
    EXEC
    MULTI
    300: SET key# x**1000
    EXEC
    MULTI
    300: STRLEN key#
    EXEC
    MULTI
    SET big x**300000
    STRLEN big
    EXEC
"#;
