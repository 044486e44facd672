//! Commands about the server and its memory, as far as two servers can agree: what there is not, what is refused, and
//! what every command answers when memory is full.

use super::Group;
use crate::differential::question::Compare::{Bytes, Nothing, Shape};
use crate::differential::source::{Row, Source};

pub const GROUP: Group = Group { name: "server", grammar: GRAMMAR, words, chosen: CHOSEN };

const GRAMMAR: &[Row] = &[
    (8, Bytes, "SET <key> <value>"),
    (4, Bytes, "(GET|TYPE|EXISTS|STRLEN|DEL|PERSIST) <key>"),
    (4, Bytes, "(HSET|HSETNX) <hash> <field> <value>"),
    (3, Bytes, "(APPEND|GETSET|SETNX|LPUSH|SADD) <key> <value>"),
    // Above the limit every command is asked: other groups' requests come in between.
    (2, Bytes, "CONFIG SET maxmemory (1|x|-1)"),
    (4, Bytes, "CONFIG SET maxmemory 0"),
    (
        2,
        Bytes,
        "CONFIG SET (maxmemory-samples|lfu-log-factor|slowlog-max-len|maxmemory-eviction-tenacity) <limit>",
    ),
    (1, Bytes, "CONFIG SET (maxmemory-policy|maxmemory-clients) x"),
    (1, Bytes, "CONFIG SET maxmemory-clients 0"),
    (2, Shape, "SLOWLOG GET <slowcount>"),
    (1, Nothing, "SLOWLOG (LEN|GET)"),
    (1, Bytes, "SLOWLOG (RESET|NONSENSE|GET 1 2|LEN x|RESET x)"),
    (1, Bytes, "LATENCY (HISTORY|RESET|GRAPH|HISTOGRAM) nonsense"),
    (1, Bytes, "LATENCY (HISTORY|GRAPH|NONSENSE|LATEST x|DOCTOR x)"),
    (2, Shape, "MEMORY USAGE <key> [SAMPLES <samples>]"),
    (1, Bytes, "MEMORY (USAGE|NONSENSE|STATS x|DOCTOR x|PURGE|PURGE x)"),
    (2, Bytes, "CLIENT (GETREDIR|TRACKINGINFO|CACHING (yes|no|x)|UNPAUSE|GETNAME)"),
    (1, Bytes, "CLIENT (GETREDIR x|TRACKINGINFO x|CACHING|UNPAUSE x|PAUSE|ID x|NONSENSE)"),
    (1, Bytes, "CLIENT PAUSE (0|1|-1|x) [WRITE|ALL|x]"),
    (1, Bytes, "CLIENT NO-EVICT (on|off|x)"),
    (1, Bytes, "CLIENT SETNAME (name|a)"),
    (
        1,
        Bytes,
        "CLIENT KILL (ID 0|ID x|ID 99999999|TYPE x|USER nobody|SKIPME x|ADDR 1.2.3.4:5|1.2.3.4:5|x y|ID)",
    ),
    (1, Bytes, "CLIENT LIST (TYPE x|TYPE|ID x|ID|x)"),
    (1, Bytes, "DEBUG (SLEEP 0|OBJECT never|HTSTATS 99|NONSENSE)"),
    (1, Shape, "DEBUG OBJECT <key>"),
    (1, Bytes, "DEBUG QUICKLIST-PACKED-THRESHOLD (100b|1k)"),
    (
        1,
        Nothing,
        "(INFO|TIME|LATENCY LATEST|LATENCY DOCTOR|MEMORY DOCTOR|MEMORY STATS|CLIENT LIST|CLIENT INFO)",
    ),
];

fn words(source: &mut Source, name: &str) -> Option<Vec<Vec<u8>>> {
    Some(match name {
        "limit" => source.rule_of(&["1", "5", "10", "50", "x", "-1", "101"]),
        "slowcount" => source.rule_of(&["0", "-1", "-2", "x", "9223372036854775808"]),
        "samples" => source.rule_of(&["0", "1", "5", "-1", "x", "9223372036854775808"]),
        _ => return None,
    })
}

const CHOSEN: &str = r#"
    CONFIG SET maxmemory-policy allkeys-lfu lfu-log-factor 0 lfu-decay-time 0
    SET often v
    GET often
    GET often
    TOUCH often
    OBJECT FREQ often
    @OBJECT IDLETIME often
    EXISTS often
    TTL often
    TYPE often
    OBJECT FREQ often
    SET often w
    OBJECT FREQ often
    APPEND often x
    OBJECT FREQ often
    RENAME often other
    OBJECT FREQ other
    COPY other copy
    OBJECT FREQ copy
    OBJECT FREQ other
    300: GET copy
    OBJECT FREQ copy
    OBJECT FREQ absent
    HSET hash f v
    OBJECT FREQ hash
    HGET hash f
    HGETALL hash
    OBJECT FREQ hash
    INCRBY number 1000000
    INCRBY number 1000000
    OBJECT FREQ number
    MGET other number absent hash
    OBJECT FREQ number
    CONFIG SET maxmemory-policy noeviction lfu-log-factor 10 lfu-decay-time 1
    OBJECT FREQ other
    SET full v
    CONFIG SET maxmemory 1
    SET full w
    GET full
    MULTI
    GET full
    EXEC
    MULTI
    PING
    DISCARD
    EXPIRE full 100000
    DEL full
    CONFIG SET maxmemory 0
    SET full v
    CONFIG SET slowlog-log-slower-than 0
    SLOWLOG RESET
    GET full
    INCR full
    NONSENSE
    GET
    SLOWLOG LEN
    MULTI
    GET full
    EXEC
    SLOWLOG LEN
    CONFIG SET slowlog-max-len 2
    SLOWLOG LEN
    CONFIG SET slowlog-log-slower-than -1 slowlog-max-len 128
    SLOWLOG RESET
    SLOWLOG GET
    LATENCY RESET
    LATENCY LATEST
    LATENCY GRAPH command
    MEMORY USAGE absent
    MEMORY USAGE absent SAMPLES 5
    MEMORY USAGE full SAMPLES
    CLIENT KILL
    CLIENT KILL ID
    CLIENT KILL ID 1 ID
    CLIENT KILL MAXAGE 1
    CLIENT TRACKINGINFO
"#;
