//! DUMP and RESTORE: what a redis-server dumped is restored on both sides; what is broken is refused in the same words.

use super::Group;
use crate::differential::question::Compare::{Bytes, Nothing, Time};
use crate::differential::source::{Row, Source};

pub const GROUP: Group = Group { name: "dump", grammar: GRAMMAR, words, chosen: CHOSEN };

const GRAMMAR: &[Row] = &[
    (3, Bytes, "SET <key> <value>"),
    (2, Bytes, "RPUSH <key> <value>+"),
    (2, Bytes, "SADD <key> <value>+"),
    (2, Bytes, "ZADD <key> <integer> <value>"),
    (2, Bytes, "HSET <key> <field> <value>"),
    // Large sets are in no order, and how well strings are compressed is left to whoever writes them.
    (6, Nothing, "DUMP <key>"),
    (
        12,
        Bytes,
        "RESTORE <key> (0|0|1000000|99999999999999) <payload> [REPLACE] [<restoreopt>] [<restoreopt>]",
    ),
    (2, Bytes, "RESTORE <key> (-1|x|0) (<payload>|<broken>) [REPLACE] [<restoreopt>]"),
    (2, Bytes, "RESTORE <key> 0 <broken> [REPLACE]"),
    (1, Bytes, "RESTORE <key>*"),
    (1, Bytes, "RESTORE-ASKING <key> (0|1000000) (<payload>|<broken>) [REPLACE]"),
    (2, Time, "(TTL|PTTL) <key>"),
    (2, Bytes, "TYPE <key>"),
    (2, Bytes, "OBJECT ENCODING <key>"),
    (2, Time, "OBJECT IDLETIME <key>"),
    (2, Bytes, "DEL <key>"),
];

fn words(source: &mut Source, name: &str) -> Option<Vec<Vec<u8>>> {
    Some(match name {
        "payload" => one_of(source, PAYLOADS),
        "broken" => one_of(source, BROKEN),
        "restoreopt" => source.rule_of(&[
            "ABSTTL",
            "REPLACE",
            "IDLETIME (0|77|-1|x)",
            "FREQ (0|7|256|x)",
            "FREQ",
            "NONSENSE",
        ]),
        _ => return None,
    })
}

fn one_of(source: &mut Source, all: &[&[u8]]) -> Vec<Vec<u8>> {
    vec![all[source.index(all.len())].to_vec()]
}

/// What redis-server 7.0 says to DUMP.
const PAYLOADS: &[&[u8]] = &[
    // A string.
    b"\x00\x05\x68\x65\x6c\x6c\x6f\x0a\x00\x63\x72\xdf\x76\x65\x34\x20\x0a",
    // A number.
    b"\x00\xc1\x2e\xfb\x0a\x00\x9d\xab\x25\xf0\xf7\x53\xe9\xb6",
    // A compressed string.
    b"\x00\xc3\x09\x28\x01\x78\x78\xe0\x1b\x00\x01\x78\x78\x0a\x00\x7a\x1d\x6c\xce\xa5\x40\x13\x33",
    // A hash, packed.
    b"\x10\x15\x15\x00\x00\x00\x04\x00\x81\x66\x02\x01\x01\x81\x67\x02\x84\x77\x6f\x72\x64\x05\xff\x0a\x00\x8f\x98\x4e\x3c\x52\x88\xe7\xd3",
    // A list.
    b"\x12\x01\x02\x0f\x0f\x00\x00\x00\x03\x00\x81\x61\x02\x07\x01\x81\x62\x02\xff\x0a\x00\x08\xda\xc0\xfb\x97\x8e\x55\x8c",
    // Integers.
    b"\x0b\x14\x04\x00\x00\x00\x03\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x70\x11\x01\x00\x0a\x00\x85\xd5\xc1\x06\x5b\x1d\xd0\x55",
    // A set.
    b"\x02\x02\x03\x6f\x6e\x65\x03\x74\x77\x6f\x0a\x00\x74\x4e\x49\x72\x24\x85\xfa\x71",
    // A sorted set, packed.
    b"\x11\x15\x15\x00\x00\x00\x04\x00\x81\x6e\x02\xdf\xfe\x02\x81\x6d\x02\x83\x31\x2e\x35\x04\xff\x0a\x00\x3a\xab\x26\x76\xca\xce\x66\x60",
    // A hash with a long value.
    b"\x04\x01\x01\x66\xc3\x09\x40\x46\x01\x79\x79\xe0\x39\x00\x01\x79\x79\x0a\x00\xee\x85\xcb\x01\xa5\xbb\xf4\x09",
    // A sorted set with a long member.
    b"\x05\x01\xc3\x09\x40\x46\x01\x7a\x7a\xe0\x39\x00\x01\x7a\x7a\x00\x00\x00\x00\x00\x00\x08\x40\x0a\x00\x6f\x5c\xc1\x7e\xa2\xee\xfb\x03",
];

const BROKEN: &[&[u8]] = &[
    b"",
    b"short",
    // A wrong checksum.
    b"\x00\x05hellO\x0a\x00\x63\x72\xdf\x76\x65\x34\x20\x0a",
    // Of a version that is yet to come.
    b"\x00\x05\x68\x65\x6c\x6c\x6f\x0c\x00\xa8\x04\xeb\xb6\x9f\x1e\xbe\x43",
    // Of no type.
    b"\xff\x00\x0a\x00\x35\x52\xb4\x81\x36\x68\xf3\xf2",
    // Cut off.
    b"\x00\x20\x68\x65\x6c\x0a\x00\x10\x3f\x03\x04\x7b\xa8\xcd\x26",
    // A hash without fields.
    b"\x04\x00\x0a\x00\x93\x31\x96\xc0\x27\x92\x95\xbf",
];

const CHOSEN: &str = r#"
    SET text hello
    DUMP text
    SET number -1234
    DUMP number
    SET long -99999999999
    DUMP long
    HSET hash f 1 g word h 70000
    DUMP hash
    RPUSH list a 7 b -4096
    DUMP list
    SADD integers 1 2 70000
    DUMP integers
    ZADD sorted 15 m -2 n
    DUMP sorted
    DUMP absent
    MIGRATE 127.0.0.1 1 absent 0 100
    MIGRATE 127.0.0.1 1 text x 100
    MIGRATE 127.0.0.1 1 text 0 100 NONSENSE
    DUMP
    DUMP text hash
    RESTORE text 0 "\x00\xc1\x2e\xfb\x0a\x00\x9d\xab\x25\xf0\xf7\x53\xe9\xb6"
    RESTORE text 0 "\x00\xc1\x2e\xfb\x0a\x00\x9d\xab\x25\xf0\xf7\x53\xe9\xb6" REPLACE
    GET text
    RESTORE fresh 0 "\x00\x05\x68\x65\x6c\x6c\x6f\x0a\x00\x63\x72\xdf\x76\x65\x34\x20\x0a" IDLETIME 1000
    @OBJECT IDLETIME fresh
    RESTORE fresh 1 "\x00\x05\x68\x65\x6c\x6c\x6f\x0a\x00\x63\x72\xdf\x76\x65\x34\x20\x0a" REPLACE ABSTTL
    EXISTS fresh
    RESTORE fresh 5000000 "\x00\x05\x68\x65\x6c\x6c\x6f\x0a\x00\x63\x72\xdf\x76\x65\x34\x20\x0a" FREQ 200
    @PTTL fresh
    RESTORE fresh 0 "\x00\x05\x68\x65\x6c\x6c\x6f\x0a\x00\x63\x72\xdf\x76\x65\x34\x20\x0a" REPLACE IDLETIME 1 FREQ 1
    RESTORE fresh 0 "\x00\x05\x68\x65\x6c\x6c\x6f\x0a\x00\x63\x72\xdf\x76\x65\x34\x20\x0a" REPLACE FREQ 1 IDLETIME 1
    RESTORE fresh 0 "\x00\x05\x68\x65\x6c\x6c\x6f\x0a\x00\x63\x72\xdf\x76\x65\x34\x20\x0a" REPLACE IDLETIME -1
    RESTORE fresh 0 "\x00\x05\x68\x65\x6c\x6c\x6f\x0a\x00\x63\x72\xdf\x76\x65\x34\x20\x0a" REPLACE FREQ 256
    RESTORE fresh 9223372036854775807 "\x00\x05\x68\x65\x6c\x6c\x6f\x0a\x00\x63\x72\xdf\x76\x65\x34\x20\x0a" REPLACE ABSTTL
    RESTORE fresh 9223372036854775808 "\x00\x05\x68\x65\x6c\x6c\x6f\x0a\x00\x63\x72\xdf\x76\x65\x34\x20\x0a" REPLACE
    RESTORE fresh -1 "\x00\x05\x68\x65\x6c\x6c\x6f\x0a\x00\x63\x72\xdf\x76\x65\x34\x20\x0a" REPLACE
    RESTORE fresh 0 "\x00\x05\x68\x65\x6c\x6c\x6f\x0a\x00\x63\x72\xdf\x76\x65\x34\x20\x0a" REPLACE NONSENSE
    RESTORE fresh 0 "\x05\x02\x01\x61\x00\x00\x00\x00\x00\x00\x00\x00\x01\x62\x00\x00\x00\x00\x00\x00\xf8\x7f\x0a\x00\x3f\x54\xe9\x78\xc6\x63\xc4\x20" REPLACE
    RESTORE fresh 0 "" REPLACE
    GET fresh
"#;
