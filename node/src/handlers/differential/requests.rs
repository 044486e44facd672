//! Where the requests come from: a grammar and a seed, and a list of chosen ones.

use crate::keyspace::seed::Random;

pub(super) struct Question {
    pub(super) words: Vec<Vec<u8>>,
    pub(super) compare: Compare,
}

/// How far two answers must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Bytes,
    /// The same elements.
    AnyOrder,
    /// The same number, about.
    Time,
    /// Equally many elements.
    Shape,
    Nothing,
}

use Compare::{AnyOrder, Bytes, Nothing, Shape, Time};

impl Question {
    pub(super) fn new<'w>(compare: Compare, words: impl IntoIterator<Item = &'w str>) -> Question {
        Question { words: words.into_iter().map(|word| word.as_bytes().to_vec()).collect(), compare }
    }
}

/// Each row: how often, how to compare, and the request. What a word in angle brackets stands for see
/// [`Source::word`]; `[a|b]` is one of them or nothing; `(a|b)` one of them; `*` behind a word repeats it.
const GRAMMAR: &[(u64, Compare, &str)] = &[
    (8, Bytes, "SET <key> <value>"),
    (6, Bytes, "SET <key> <value> [<setopt>] [<setopt>] [<setopt>]"),
    (8, Bytes, "GET <key>"),
    (2, Bytes, "SETNX <key> <value>"),
    (2, Bytes, "(SETEX|PSETEX) <key> <time> <value>"),
    (2, Bytes, "GETSET <key> <value>"),
    (2, Bytes, "GETDEL <key>"),
    (4, Bytes, "GETEX <key> [<getopt>] [<getopt>]"),
    (2, Bytes, "MGET <key> <key>*"),
    (2, Bytes, "(MSET|MSETNX) <key> <value> [<key>] [<value>]"),
    (4, Bytes, "APPEND <key> <value>"),
    (2, Bytes, "STRLEN <key>"),
    (4, Bytes, "SETRANGE <key> <offset> <value>"),
    (4, Bytes, "(GETRANGE|SUBSTR) <key> <index> <index>"),
    (4, Bytes, "(INCR|DECR) <key>"),
    (4, Bytes, "(INCRBY|DECRBY) <key> <integer>"),
    (5, Bytes, "INCRBYFLOAT <key> <float>"),
    (6, Bytes, "LCS <key> <key> [<lcsopt>] [<lcsopt>] [<lcsopt>]"),
    (4, Bytes, "(DEL|UNLINK|EXISTS|TOUCH) <key> <key>*"),
    (3, Bytes, "TYPE <key>"),
    (6, Bytes, "(EXPIRE|PEXPIRE) <key> <ttl> [<expopt>] [<expopt>]"),
    (6, Bytes, "(EXPIREAT|PEXPIREAT) <key> <unix> [<expopt>] [<expopt>]"),
    (6, Time, "(TTL|PTTL|EXPIRETIME|PEXPIRETIME) <key>"),
    (3, Bytes, "PERSIST <key>"),
    (3, Bytes, "(RENAME|RENAMENX) <key> <key>"),
    (4, Bytes, "COPY <key> <key> [<copyopt>] [<copyopt>]"),
    (3, Bytes, "MOVE <key> <db>"),
    (1, Bytes, "SELECT (0|0|0|1|2)"),
    (1, Bytes, "SWAPDB <db> <db>"),
    (2, AnyOrder, "KEYS <pattern>"),
    (1, Nothing, "DBSIZE"),
    (1, Nothing, "RANDOMKEY"),
    (2, Bytes, "OBJECT (ENCODING|REFCOUNT|FREQ) <key>"),
    (2, Time, "OBJECT IDLETIME <key>"),
    (1, Bytes, "SCAN <badcursor> [<scanopt>] [<scanopt>]"),
    (1, Bytes, "SCAN 0 [<scanopt>] NONSENSE x"),
    (10, Bytes, "HSET <hash> <field> <value> [<field>] [<value>]"),
    (3, Bytes, "HMSET <hash> <field> <value> <field> <value>"),
    (3, Bytes, "HSETNX <hash> <field> <value>"),
    (4, Bytes, "HGET <hash> <field>"),
    (3, Bytes, "HMGET <hash> <field> <field>*"),
    (3, Nothing, "HGETALL <hash>"),
    (3, AnyOrder, "(HKEYS|HVALS) <hash>"),
    (3, Bytes, "(HLEN|TYPE) <hash>"),
    (3, Bytes, "(HSTRLEN|HEXISTS) <hash> <field>"),
    (4, Bytes, "HDEL <hash> <field> <field>*"),
    (4, Bytes, "HINCRBY <hash> <field> <integer>"),
    (5, Bytes, "HINCRBYFLOAT <hash> <field> <finite>"),
    (3, Shape, "HRANDFIELD <hash> <count> [WITHVALUES]"),
    (1, Nothing, "HRANDFIELD <hash>"),
    (1, Bytes, "HSCAN <hash> <badcursor> [<scanopt>]"),
    (3, Bytes, "HSCAN <packed> 0 [<scanopt>] [<scanopt>]"),
    (3, Bytes, "(HSET|HGET|GET|STRLEN|HDEL|TYPE|EXISTS) <packed> f"),
    (1, Bytes, "(FLUSHDB|FLUSHALL) (x|ASYNC|SYNC)"),
    (1, Bytes, "FLUSHDB ASYNC x"),
];

const VALUES: &[&str] = &[
    "",
    "a",
    "hello",
    "0",
    "1",
    "-1",
    "12",
    "9999",
    "10000",
    "9223372036854775807",
    "-9223372036854775808",
    "3.5",
    "1e3",
    "0x10",
    " 1",
    "01",
    "-0",
    "inf",
    "nan",
    "18446744073709551616",
    "0.1",
    "2.718281828459045",
    "1e-17",
    "ohmytext",
    "mynewtext",
    "exactly-forty-four-bytes-long-aaaaaaaaaaaaaa",
    "exactly-forty-five-bytes-long-aaaaaaaaaaaaaaa",
];
const INTEGERS: &[&str] =
    &["0", "1", "-1", "7", "100", "-100", "9223372036854775807", "-9223372036854775808", "x", "1.5", ""];
const FLOATS: &[&str] = &[
    "0.1",
    "0.2",
    "-0.3",
    "1",
    "1e3",
    "1.5e-5",
    "3.0e0",
    "-5",
    "1e17",
    "123456789.987654321",
    "x",
    "",
    " 1",
    "1 ",
    "nan",
    "0x1p3",
    "1e400",
    "1e-400",
    "5e-324",
    "0.00000000000000001",
];
const TIMES: &[&str] =
    &["1000", "5000000", "0", "-1", "x", "9223372036854775807", "9223372036854775", "1000000000000"];
const UNIX: &[&str] =
    &["9999999999", "9999999999000", "1", "0", "-5", "x", "9223372036854775807", "5000000000000"];
const INDEXES: &[&str] =
    &["0", "1", "3", "-1", "-3", "100", "-100", "9223372036854775807", "-9223372036854775808", "x"];
const OFFSETS: &[&str] = &["0", "1", "5", "60", "-1", "536870911", "536870912", "9223372036854775807", "x"];
const PATTERNS: &[&str] =
    &["*", "k*", "k?", "[kh]1", "*1", "nothing", "", "k[^1]", "\\k1", "**", "h*", "k[0-3"];
const COUNTS: &[&str] =
    &["0", "1", "5", "1000", "-1", "-7", "x", "-9223372036854775808", "9223372036854775807"];

pub(super) struct Source {
    random: Random,
}

impl Source {
    pub(super) fn new(seed: u64) -> Source {
        Source { random: Random::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)) }
    }

    pub(super) fn next(&mut self) -> Question {
        let total: u64 = GRAMMAR.iter().map(|row| row.0).sum();
        let mut nth = self.random.below(total);
        for &(weight, compare, rule) in GRAMMAR {
            if nth < weight {
                let words = rule.split(' ').flat_map(|symbol| self.symbol(symbol)).collect();
                return Question { words, compare };
            }
            nth -= weight;
        }
        unreachable!("less than the sum of weights")
    }

    fn symbol(&mut self, symbol: &str) -> Vec<Vec<u8>> {
        if let Some(repeated) = symbol.strip_suffix('*') {
            return (0..self.random.below(4)).flat_map(|_| self.symbol(repeated)).collect();
        }
        if let Some(optional) = symbol.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return if self.random.below(2) == 0 { Vec::new() } else { self.symbol(optional) };
        }
        if let Some(choice) = symbol.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
            let choices: Vec<&str> = choice.split('|').collect();
            let chosen = self.random.index(choices.len());
            return vec![self.case(choices[chosen])];
        }
        match symbol.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
            Some(name) => self.word(name),
            None => vec![self.case(symbol)],
        }
    }

    fn word(&mut self, name: &str) -> Vec<Vec<u8>> {
        let rules: &[&str] = match name {
            "setopt" => &[
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
            ],
            "getopt" => {
                &["PERSIST", "EX <time>", "PX <time>", "EXAT <unix>", "PXAT <unix>", "PX", "KEEPTTL", "x"]
            }
            "expopt" => &["NX", "XX", "GT", "LT", "NX", "XX", "GT", "LT", "x"],
            "copyopt" => &["REPLACE", "DB <db>", "DB", "x"],
            "lcsopt" => &["LEN", "IDX", "IDX", "WITHMATCHLEN", "MINMATCHLEN <integer>", "MINMATCHLEN", "x"],
            "scanopt" => &["MATCH <pattern>", "COUNT <count>", "TYPE string", "TYPE", "x y"],
            "key" => return vec![self.key()],
            "hash" => return vec![if self.random.below(12) == 0 { self.key() } else { self.named("h", 6) }],
            "packed" => return vec![self.named("p", 3)],
            "field" => {
                return vec![if self.random.below(20) == 0 { self.value() } else { self.named("f", 30) }];
            }
            "value" => return vec![self.value()],
            list => return vec![self.of(list)],
        };
        let rule = rules[self.random.index(rules.len())];
        rule.split(' ').flat_map(|symbol| self.symbol(symbol)).collect()
    }

    fn of(&mut self, list: &str) -> Vec<u8> {
        let words = match list {
            "integer" => INTEGERS,
            "float" => [FLOATS, &["inf", "-inf", "1e4931"]][self.random.index(2)],
            "finite" => FLOATS,
            "time" | "ttl" => TIMES,
            "unix" => UNIX,
            "index" => INDEXES,
            "offset" => OFFSETS,
            "pattern" => PATTERNS,
            "count" => COUNTS,
            "db" => &["0", "1", "2", "15", "16", "-1", "x", "99999999999"],
            "badcursor" => &["x", "1x", " 1", "99999999999999999999999", "-"],
            other => panic!("no such word: {other}"),
        };
        words[self.random.index(words.len())].as_bytes().to_vec()
    }

    fn key(&mut self) -> Vec<u8> {
        match self.random.below(30) {
            0 => b"\x00\xff\r\n".to_vec(),
            1 => Vec::new(),
            2 | 3 => self.named("h", 6),
            _ => self.named("k", 12),
        }
    }

    fn named(&mut self, prefix: &str, count: u64) -> Vec<u8> {
        format!("{prefix}{}", self.random.below(count)).into_bytes()
    }

    fn value(&mut self) -> Vec<u8> {
        match self.random.below(40) {
            0 => (0..=255).collect(),
            1 => vec![b'v'; 65],
            2 => vec![b'w'; 1000],
            3 => b"\x00\xff\r\n".to_vec(),
            4..16 => {
                let bits = self.random.below(40);
                self.random.below(1 << bits).to_string().into_bytes()
            }
            _ => VALUES[self.random.index(VALUES.len())].as_bytes().to_vec(),
        }
    }

    /// A word of a command, sometimes in the other case.
    fn case(&mut self, word: &str) -> Vec<u8> {
        let lower = self.random.below(4) == 0;
        if lower { word.to_ascii_lowercase().into_bytes() } else { word.as_bytes().to_vec() }
    }
}

/// One request per line.
pub(super) const CHOSEN: &str = "
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
    MSET a
    MSET a 1 b
    MSETNX a 1 b
    FLUSHALL NOW
    FLUSHDB
    RANDOMKEY
";
