//! Which request comes next.
//!
//! Requests are templates in which only the twelve digits of the key change, so that making one costs a copy and a
//! random number. Keys are `key:100000000000` and up: all of one length, as many as asked for. The same seed makes
//! the same requests. Requests of other commands are made in the same way from their text ([`Template`]).

use super::failure::Failure;
use super::template::{DIGITS, FIRST_NUMBER, Made, Template};
use std::str::FromStr;

/// `key:` and twelve digits.
pub const KEY_BYTES: usize = 16;
/// Where the digits lie: `*2 $3 GET $16 key:` with its line ends is 22 bytes, and SET's opening as long.
const DIGITS_AT: usize = 22;

/// What the requests are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    Get,
    Set,
    /// SET of every key once, in order.
    Load,
    /// GET in so many of 100 requests, else SET.
    Mixed {
        get_percent: u8,
    },
    Ping,
    /// This request, its numbers at random.
    Template(Template),
    /// This request, its numbers in order.
    InOrder(Template),
}

impl FromStr for Mix {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Mix, Failure> {
        let wrong =
            || Failure::Usage(format!("no such mix: {text} (get, set, load, ping, mixed or mixed:PERCENT)"));
        match text {
            "get" => Ok(Mix::Get),
            "set" => Ok(Mix::Set),
            "load" => Ok(Mix::Load),
            "ping" => Ok(Mix::Ping),
            "mixed" => Ok(Mix::Mixed { get_percent: 90 }),
            _ => match text.strip_prefix("mixed:").and_then(|percent| percent.parse().ok()) {
                Some(get_percent @ 0..=100) => Ok(Mix::Mixed { get_percent }),
                _ => Err(wrong()),
            },
        }
    }
}

#[derive(Debug)]
pub struct Workload {
    mix: Mix,
    keys: u64,
    random: Random,
    next_in_order: u64,
    get: Vec<u8>,
    set: Vec<u8>,
    /// Of a mix that is a template.
    made: Option<Made>,
}

impl Workload {
    #[must_use]
    pub fn new(mix: Mix, value_bytes: usize, keys: u64, seed: u64) -> Workload {
        let mut random = Random::new(seed);
        let value: Vec<u8> =
            (0..value_bytes).map(|_| b"abcdefghijklmnopqrstuvwxyz"[random.below_usize(26)]).collect();
        let mut set = b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000000\r\n$".to_vec();
        set.extend_from_slice(value_bytes.to_string().as_bytes());
        set.extend_from_slice(b"\r\n");
        set.extend_from_slice(&value);
        set.extend_from_slice(b"\r\n");
        let get = b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000000\r\n".to_vec();
        let made = match mix {
            Mix::Template(template) | Mix::InOrder(template) => Some(template.make()),
            Mix::Get | Mix::Set | Mix::Load | Mix::Mixed { .. } | Mix::Ping => None,
        };
        Workload { mix, keys: keys.max(1), random, next_in_order: 0, get, set, made }
    }

    /// Appends the next request.
    #[inline]
    pub fn append(&mut self, out: &mut Vec<u8>) {
        let key = match self.mix {
            Mix::Load => {
                self.next_in_order += 1;
                self.next_in_order - 1
            }
            Mix::Ping => return out.extend_from_slice(b"*1\r\n$4\r\nPING\r\n"),
            Mix::Get | Mix::Set | Mix::Mixed { .. } => self.random.below(self.keys),
            Mix::Template(_) | Mix::InOrder(_) => return self.append_made(out),
        };
        let template = match self.mix {
            Mix::Get => &self.get,
            Mix::Mixed { get_percent } if self.random.below(100) < u64::from(get_percent) => &self.get,
            Mix::Set | Mix::Load | Mix::Mixed { .. } | Mix::Ping | Mix::Template(_) | Mix::InOrder(_) => {
                &self.set
            }
        };
        let digits = out.len() + DIGITS_AT;
        out.extend_from_slice(template);
        write_digits(&mut out[digits..digits + DIGITS], FIRST_NUMBER + key);
    }

    fn append_made(&mut self, out: &mut Vec<u8>) {
        let Some(made) = &self.made else { return };
        let begin = out.len();
        out.extend_from_slice(&made.bytes);
        let mut value = 0;
        for number in &made.numbers {
            if !number.again {
                value = if matches!(self.mix, Mix::InOrder(_)) {
                    self.next_in_order += 1;
                    self.next_in_order - 1
                } else {
                    self.random.below(self.keys)
                };
            }
            let digits = begin + number.at;
            write_digits(&mut out[digits..digits + DIGITS], FIRST_NUMBER + value);
        }
    }
}

/// Two digits at a time: half the divisions.
#[inline]
fn write_digits(out: &mut [u8], mut value: u64) {
    for pair in out.chunks_exact_mut(2).rev() {
        let two = usize::try_from(value % 100).unwrap_or(0);
        value /= 100;
        pair.copy_from_slice(&PAIRS[two]);
    }
}

static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut tens: u8 = 0;
    while tens < 10 {
        let mut ones: u8 = 0;
        while ones < 10 {
            pairs[(tens * 10 + ones) as usize] = [b'0' + tens, b'0' + ones];
            ones += 1;
        }
        tens += 1;
    }
    pairs
};

/// Marsaglia's xorshift64: three shifts a number, and good enough to choose keys with.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        // The state must not be zero; the odd factor spreads small seeds over all bits.
        let state = 88_172_645_463_325_252 ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Random(if state == 0 { 1 } else { state })
    }

    #[inline]
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`, by multiplication instead of the slower remainder.
    #[inline]
    fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    fn below_usize(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire;
    use super::*;
    use std::collections::HashSet;

    fn requests(mix: Mix, keys: u64, seed: u64, count: usize) -> Vec<u8> {
        let mut workload = Workload::new(mix, 64, keys, seed);
        let mut out = Vec::new();
        (0..count).for_each(|_| workload.append(&mut out));
        out
    }

    /// Each request's first letter and key.
    fn taken_apart(mut bytes: &[u8]) -> Vec<(char, String)> {
        let mut all = Vec::new();
        while let Some(request) = wire::request(bytes) {
            all.push((char::from(request.initial), String::from_utf8_lossy(request.key).into_owned()));
            bytes = &bytes[request.len..];
        }
        assert!(bytes.is_empty(), "nothing but whole requests");
        all
    }

    #[test]
    fn load_sets_every_key_once_in_order() {
        let all = taken_apart(&requests(Mix::Load, 1000, 1, 1000));
        assert_eq!(all[0], ('s', "key:100000000000".to_owned()));
        assert_eq!(all[999], ('s', "key:100000000999".to_owned()));
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 1000);
    }

    #[test]
    fn random_keys_stay_below_the_number_of_keys_and_reach_all_of_it() {
        let all = taken_apart(&requests(Mix::Get, 10, 1, 1000));
        let keys: HashSet<_> = all.iter().map(|(_, key)| key.as_str()).collect();
        let expected: Vec<String> = (0..10).map(|key| format!("key:10000000000{key}")).collect();
        assert_eq!(keys, expected.iter().map(String::as_str).collect());
        assert!(all.iter().all(|(initial, _)| *initial == 'g'));
    }

    #[test]
    fn mixed_keeps_its_ratio() {
        let all = taken_apart(&requests(Mix::Mixed { get_percent: 80 }, 1000, 1, 10_000));
        let gets = all.iter().filter(|(initial, _)| *initial == 'g').count();
        assert!((7800..8200).contains(&gets), "{gets}");
    }

    #[test]
    fn the_same_seed_makes_the_same_requests_and_another_seed_others() {
        let one = requests(Mix::Set, 1_000_000, 1, 100);
        assert_eq!(one, requests(Mix::Set, 1_000_000, 1, 100));
        assert_ne!(one, requests(Mix::Set, 1_000_000, 2, 100));
    }

    #[test]
    fn a_template_in_order_counts_and_a_random_one_stays_below_the_number_of_keys() {
        let template = Template { name: "x", text: "get key:# =" };
        let all = taken_apart(&requests(Mix::InOrder(template), 1, 1, 3));
        let keys: Vec<&str> = all.iter().map(|(_, key)| key.as_str()).collect();
        assert_eq!(keys, ["key:100000000000", "key:100000000001", "key:100000000002"]);
        let all = taken_apart(&requests(Mix::Template(template), 2, 1, 100));
        let keys: HashSet<_> = all.iter().map(|(_, key)| key.as_str()).collect();
        assert_eq!(keys, ["key:100000000000", "key:100000000001"].into_iter().collect());
    }

    #[test]
    fn a_mix_is_named_by_its_word() {
        assert_eq!("mixed:50".parse::<Mix>().unwrap(), Mix::Mixed { get_percent: 50 });
        assert!("mixed:101".parse::<Mix>().is_err());
        assert!("got".parse::<Mix>().unwrap_err().to_string().contains("no such mix: got"));
    }
}
