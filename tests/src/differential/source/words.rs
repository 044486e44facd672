//! The words that all groups share: keys of every type, values, numbers good and bad.
//!
//! No deadline here falls into the time that a run takes: each side reads its own clock. What expires is made to
//! expire by the run itself, and waited for.

use super::Source;

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
    &["1000000", "5000000", "0", "-1", "x", "9223372036854775807", "9223372036854775", "1000000000000"];
const UNIX: &[&str] =
    &["9999999999", "9999999999000", "1", "0", "-5", "x", "9223372036854775807", "5000000000000"];
const INDEXES: &[&str] =
    &["0", "1", "3", "-1", "-3", "100", "-100", "9223372036854775807", "-9223372036854775808", "x"];
const OFFSETS: &[&str] = &["0", "1", "5", "60", "-1", "70000", "536870912", "9223372036854775807", "x"];
const PATTERNS: &[&str] =
    &["*", "k*", "k?", "[kh]1", "*1", "nothing", "", "k[^1]", "\\k1", "**", "h*", "k[0-3", "f*", "*[1-3]*"];
const COUNTS: &[&str] =
    &["0", "1", "5", "1000", "-1", "-7", "x", "-9223372036854775808", "9223372036854775807"];

/// Keys of each type: the word, their prefix, how many.
const KEYS: &[(&str, &str, u64)] = &[
    ("string", "k", 12),
    ("hash", "h", 6),
    // A hash that never grows: scanned at once.
    ("packed", "p", 3),
    ("list", "l", 6),
    ("set", "s", 6),
    ("zset", "z", 6),
    ("bits", "b", 5),
    ("hll", "y", 5),
    ("geo", "g", 4),
];

impl Source {
    pub(super) fn shared_word(&mut self, name: &str) -> Option<Vec<Vec<u8>>> {
        if let Some((_, prefix, count)) = KEYS.iter().find(|(word, _, _)| *word == name) {
            return Some(self.key_named(prefix, *count));
        }
        Some(match name {
            "key" => vec![self.any_key()],
            "absent" => vec![self.spell(b"absent")],
            "value" | "member" => vec![self.value()],
            "field" => match self.below(20) {
                0 => vec![self.value()],
                _ => vec![format!("f{}", self.below(30)).into_bytes()],
            },
            "keypattern" => {
                let pattern = PATTERNS[self.index(PATTERNS.len())];
                vec![self.spell(pattern.as_bytes())]
            }
            "expopt" => self.rule_of(&["NX", "XX", "GT", "LT", "NX", "XX", "GT", "LT", "x"]),
            "scanopt" => self.rule_of(&["MATCH <pattern>", "COUNT <count>", "TYPE string", "TYPE", "x y"]),
            "integer" => self.one_of(INTEGERS),
            "float" => match self.below(8) {
                0 => self.one_of(&["inf", "-inf", "1e4931"]),
                _ => self.one_of(FLOATS),
            },
            "finite" => self.one_of(FLOATS),
            "time" => self.one_of(TIMES),
            "unix" => self.one_of(UNIX),
            "index" => self.one_of(INDEXES),
            "offset" => self.one_of(OFFSETS),
            "pattern" => self.one_of(PATTERNS),
            "count" => self.one_of(COUNTS),
            "db" => self.one_of(&["0", "1", "2", "15", "16", "-1", "x", "99999999999"]),
            "badcursor" => self.one_of(&["x", "1x", " 1", "99999999999999999999999", "-"]),
            _ => return None,
        })
    }

    /// A key of any type: wrong types are half of the tests.
    pub fn any_key(&mut self) -> Vec<u8> {
        let key = match self.below(40) {
            0 => b"\x00\xff\r\n".to_vec(),
            1 => Vec::new(),
            2 => b"absent".to_vec(),
            _ => {
                let (_, prefix, count) = KEYS[self.index(KEYS.len())];
                format!("{prefix}{}", self.below(count)).into_bytes()
            }
        };
        self.spell(&key)
    }

    /// Any value: small numbers most often, odd texts, binary, long.
    pub fn value(&mut self) -> Vec<u8> {
        match self.below(40) {
            0 => (0..=255).collect(),
            1 => vec![b'v'; 65],
            2 => vec![b'w'; 1000],
            3 => b"\x00\xff\r\n".to_vec(),
            4..16 => {
                let bits = self.below(40);
                self.below(1 << bits).to_string().into_bytes()
            }
            _ => VALUES[self.index(VALUES.len())].as_bytes().to_vec(),
        }
    }
}
