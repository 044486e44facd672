//! Floating point numbers as text, as Redis 7.2 prints them.
//!
//! The choice: 7.2's spelling (the fewest digits that read back the same), not 7.0's (`%.17g`, which prints 0.1 as
//! 0.10000000000000001). The rules:
//! - a whole number up to 2^62 has neither point nor exponent: `3`, `-17`, `1000000000000`;
//! - beyond, and for all others, the digits decide: plain while that is short, otherwise `1e+20`, `1.5e-9`,
//!   `1.2345678901234567e+4`;
//! - `inf`, `-inf`, `nan` (without a sign), `-0`.

/// Up to here a whole number is printed as an integer: half of what 64 bits hold with a sign.
const INTEGER_MAX: f64 = 4_611_686_018_427_387_904.0;

/// Appends the text of `value`.
pub fn write(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"nan");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
    } else if value == 0.0 {
        out.extend_from_slice(if value.is_sign_negative() { b"-0" } else { b"0" });
    } else if value.abs() <= INTEGER_MAX && value.trunc() == value {
        #[allow(clippy::cast_possible_truncation, reason = "a whole number of at most 2^62")]
        let integer = value as i64;
        out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
    } else {
        if value < 0.0 {
            out.push(b'-');
        }
        write_digits(out, &Digits::of(value.abs()), value < 0.0);
    }
}

/// The text of a double as a peer wrote it, or None.
pub fn parse(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A number as digits * 10^exponent, without leading or trailing zeros.
struct Digits {
    bytes: [u8; 20],
    len: usize,
    exponent: i32,
}

impl Digits {
    /// `value` is finite and above 0. The library prints digits with a point and an exponent of its own taste; only
    /// the digits and their place are taken from it.
    fn of(value: f64) -> Self {
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(value).as_bytes();
        let mut digits = Digits { bytes: [0; 20], len: 0, exponent: 0 };
        let mut after_point = false;
        for (index, &byte) in text.iter().enumerate() {
            match byte {
                b'.' => after_point = true,
                b'e' => {
                    let exponent = std::str::from_utf8(&text[index + 1..])
                        .ok()
                        .and_then(|text| text.parse::<i32>().ok());
                    digits.exponent += exponent.unwrap_or(0);
                    break;
                }
                _ => {
                    digits.exponent -= i32::from(after_point);
                    if digits.len > 0 || byte != b'0' {
                        digits.bytes[digits.len] = byte;
                        digits.len += 1;
                    }
                }
            }
        }
        while digits.len > 1 && digits.bytes[digits.len - 1] == b'0' {
            digits.len -= 1;
            digits.exponent += 1;
        }
        digits
    }
}

/// Where the point goes, by the thresholds of Redis 7.2 (which are not those of C's `%g`).
fn write_digits(out: &mut Vec<u8>, digits: &Digits, negative: bool) {
    let text = &digits.bytes[..digits.len];
    let count = i32::try_from(text.len()).expect("at most 17 digits");
    let scientific = digits.exponent + count - 1;
    if digits.exponent >= 0 && scientific < count + 7 {
        out.extend_from_slice(text);
        out.resize(out.len() + digits.exponent.unsigned_abs() as usize, b'0');
    } else if digits.exponent < 0 && (digits.exponent > -7 || scientific.abs() < 4) {
        match usize::try_from(count + digits.exponent) {
            Ok(whole) if whole > 0 => {
                out.extend_from_slice(&text[..whole]);
                out.push(b'.');
                out.extend_from_slice(&text[whole..]);
            }
            _ => {
                out.extend_from_slice(b"0.");
                out.resize(out.len() + (count + digits.exponent).unsigned_abs() as usize, b'0');
                out.extend_from_slice(text);
            }
        }
    } else {
        let text = &text[..text.len().min(18 - usize::from(negative))];
        out.push(text[0]);
        if text.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&text[1..]);
        }
        out.extend_from_slice(if scientific < 0 { b"e-" } else { b"e+" });
        out.extend_from_slice(itoa::Buffer::new().format(scientific.unsigned_abs()).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(value: f64, text: &str) {
        let mut out = Vec::new();
        write(&mut out, value);
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }

    #[test]
    fn doubles_are_spelled_as_redis_7_2_spells_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (-f64::NAN, "nan"),
            (3.0, "3"),
            (-17.0, "-17"),
            (1e18, "1000000000000000000"),
            (4_611_686_018_427_387_904.0, "4611686018427387904"),
            (9.3e18, "9.3e+18"),
            (1e20, "1e+20"),
            (-1e20, "-1e+20"),
            (1e100, "1e+100"),
            (0.1, "0.1"),
            (-0.1, "-0.1"),
            (3.25, "3.25"),
            (0.1 + 0.2, "0.30000000000000004"),
            (0.0001, "0.0001"),
            (0.000015, "0.000015"),
            (1e-7, "1e-7"),
            (1.5e-9, "1.5e-9"),
            (1_234.567_890_123_456_7, "1234.5678901234567"),
            (12_345.678_901_234_567, "1.2345678901234567e+4"),
            (1.797_693_134_862_315_7e308, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
        ] {
            check(value, text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            let mut out = Vec::new();
            write(&mut out, value);
            let read = parse(&out).unwrap();
            prop_assert!(read.to_bits() == bits || read.is_nan() && value.is_nan());
        }
    }
}
