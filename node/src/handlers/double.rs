//! Doubles as arguments: what C's `strtod` reads, and Redis's two opinions on what to do with it.
//!
//! Scores, weights and coordinates must be numbers from their first to their last byte and within the range of a double.
//! The bounds of a range of scores go through `strtod` as they are: white space may stand in front, a zero byte ends them,
//! nothing at all is 0, and what is out of range is infinite or 0.
//!
//! Source: C11, 7.22.1.3, and what a redis-server answers.

use std::borrow::Cow;

use slotway_commands::errors;

use crate::call::Refusal;

/// Redis reads no longer text as a number.
const TEXT_MAX: usize = 5 * 1024;

/// Whole numbers of so many digits are exact in a double.
const EXACT_DIGITS: usize = 15;

/// Hexadecimal digits that are kept: 60 bits, more than a double's 53 and a bit to round by.
const HEX_DIGITS: i64 = 15;

/// Beyond these exponents of two a double is infinite or 0 whatever its digits are.
const EXPONENT_LIMIT: i64 = 5_000;

/// A word that must be a number.
pub(super) fn double(word: &[u8]) -> Result<f64, Refusal> {
    double_or(word, errors::NOT_FLOAT)
}

pub(super) fn double_or(word: &[u8], refusal: &'static str) -> Result<f64, Refusal> {
    parse(word).ok_or(Cow::Borrowed(refusal))
}

fn parse(word: &[u8]) -> Option<f64> {
    if let Some(number) = parse_digits(word) {
        return Some(number);
    }
    let read = read(word).filter(|_| word.len() < TEXT_MAX)?;
    (!read.out_of_range).then_some(read.value)
}

/// The bound of a range of scores, without the bracket that excludes it.
pub(super) fn parse_bound(word: &[u8]) -> Option<f64> {
    read_c_string(word).map(|read| read.value)
}

fn read_c_string(word: &[u8]) -> Option<Read> {
    let end = word.iter().position(|&byte| byte == 0).unwrap_or(word.len());
    if end == 0 {
        return Some(Read { value: 0.0, out_of_range: false });
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = word[..end].iter().position(|byte| !is_space(byte))?;
    read(&word[start..end])
}

/// The weight of an element that is sorted: read as a bound is, but within the range of a double, and not among the numbers
/// too small for all digits.
pub(super) fn parse_weight(word: &[u8]) -> Option<f64> {
    if let Some(number) = parse_digits(word) {
        return Some(number);
    }
    let read = read_c_string(word)?;
    (!read.out_of_range && !read.value.is_subnormal()).then_some(read.value)
}

/// Most scores are short whole numbers.
fn parse_digits(word: &[u8]) -> Option<f64> {
    if word.is_empty() || word.len() > EXACT_DIGITS {
        return None;
    }
    word.iter()
        .try_fold(0.0, |number, byte| byte.is_ascii_digit().then(|| number * 10.0 + f64::from(byte - b'0')))
}

struct Read {
    value: f64,
    /// Written with digits, and infinite; or not with zeros only, and 0.
    out_of_range: bool,
}

fn read(text: &[u8]) -> Option<Read> {
    let (sign, rest) = match text {
        [b'-', rest @ ..] => (-1.0, rest),
        [b'+', rest @ ..] => (1.0, rest),
        rest => (1.0, rest),
    };
    if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") {
        return Some(Read { value: sign * f64::INFINITY, out_of_range: false });
    }
    let (size, is_zero) = match rest {
        [b'0', b'x' | b'X', digits @ ..] => read_hexadecimal(digits)?,
        digits => read_decimal(digits)?,
    };
    Some(Read { value: sign * size, out_of_range: size.is_infinite() || size == 0.0 && !is_zero })
}

/// The number, and whether all its digits are zeros.
fn read_decimal(text: &[u8]) -> Option<(f64, bool)> {
    let is_number = text.first().is_some_and(|first| first.is_ascii_digit() || *first == b'.');
    let text = std::str::from_utf8(text).ok().filter(|_| is_number)?;
    let size = text.parse().ok()?;
    let digits = text.split(['e', 'E']).next()?;
    Some((size, !digits.bytes().any(|byte| matches!(byte, b'1'..=b'9'))))
}

fn read_hexadecimal(text: &[u8]) -> Option<(f64, bool)> {
    let end = text.iter().position(|byte| matches!(byte, b'p' | b'P')).unwrap_or(text.len());
    let (mut mantissa, mut kept, mut exponent) = (0u64, 0, 0i64);
    let (mut has_digits, mut behind_point) = (false, false);
    for &byte in &text[..end] {
        if byte == b'.' && !behind_point {
            behind_point = true;
            continue;
        }
        let digit = u64::from(char::from(byte).to_digit(16)?);
        has_digits = true;
        if kept < HEX_DIGITS {
            mantissa = mantissa << 4 | digit;
            kept += i64::from(mantissa != 0);
            exponent -= 4 * i64::from(behind_point);
        } else {
            // What is cut off can only make a tie larger.
            mantissa |= u64::from(digit != 0);
            exponent += 4 * i64::from(!behind_point);
        }
    }
    if end < text.len() {
        exponent = exponent.saturating_add(read_exponent(&text[end + 1..])?);
    }
    has_digits.then(|| (scale(mantissa, exponent), mantissa == 0))
}

/// Cut off where no digits that fit a request could make up for it.
fn read_exponent(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] => (1, digits),
        digits => (1, digits),
    };
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.is_empty())?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| sign * digits.parse().unwrap_or(i64::from(i32::MAX)))
}

#[expect(clippy::cast_precision_loss, reason = "this is where the digits are rounded")]
fn scale(mantissa: u64, exponent: i64) -> f64 {
    let mut value = mantissa as f64;
    let mut left = exponent.clamp(-EXPONENT_LIMIT, EXPONENT_LIMIT);
    while left != 0 && value != 0.0 && value.is_finite() {
        let step = i32::try_from(left.clamp(-500, 500)).expect("at most 500");
        value *= 2f64.powi(step);
        left -= i64::from(step);
    }
    value
}

/// `%.17g`: 17 digits without the zeros at their end.
pub(super) fn print_17_digits(value: f64) -> String {
    const DIGITS: i32 = 17;
    if !value.is_finite() || value == 0.0 {
        return if value == 0.0 && value.is_sign_negative() { "-0".into() } else { format!("{value}") };
    }
    let scientific = format!("{value:.16e}");
    let (digits, exponent) = scientific.split_once('e').expect("that format has an exponent");
    let exponent: i32 = exponent.parse().expect("a double's exponent");
    let trim = |text: &str| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    match usize::try_from(DIGITS - 1 - exponent) {
        Ok(0) => format!("{value:.0}"),
        Ok(decimals) if exponent >= -4 => trim(&format!("{value:.decimals$}")),
        _ => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{}e{sign}{:02}", trim(digits), exponent.unsigned_abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_read_as_c_reads_it_and_refused_where_a_double_cannot_hold_it() {
        for (word, weight) in [
            ("", Some(0.0)),
            ("12", Some(12.0)),
            (" 2.5", Some(2.5)),
            ("4\0x", Some(4.0)),
            ("0x1p3", Some(8.0)),
            ("-inf", Some(f64::NEG_INFINITY)),
            ("0e-999", Some(0.0)),
            (" ", None),
            ("1 ", None),
            ("x", None),
            ("nan", None),
            ("1e400", None),
            ("1e-400", None),
            ("5e-324", None),
        ] {
            assert_eq!(parse_weight(word.as_bytes()), weight, "{word:?}");
        }
    }

    #[test]
    fn a_score_is_read_as_strtod_reads_it() {
        for (word, value) in [
            ("1", Some(1.0)),
            ("007", Some(7.0)),
            ("999999999999999", Some(999_999_999_999_999.0)),
            ("9007199254740993", Some(9_007_199_254_740_992.0)),
            ("-3.5", Some(-3.5)),
            ("+.5", Some(0.5)),
            ("5.", Some(5.0)),
            ("1e3", Some(1000.0)),
            ("1E-2", Some(0.01)),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("0x10", Some(16.0)),
            ("-0x1.8p1", Some(-3.0)),
            ("0x.8", Some(0.5)),
            ("0x1p-1074", Some(5e-324)),
            ("0x1.fffffffffffff8p0", Some(2.0)),
            ("0x1.fffffffffffff7fffffffffp0", Some(1.999_999_999_999_999_8)),
            ("0x10000000000000000000p-76", Some(1.0)),
            ("1e-320", Some(1e-320)),
            ("0e999999", Some(0.0)),
            ("0x0p-9999", Some(0.0)),
            ("1e309", None),
            ("1e-400", None),
            ("0x1p-2000", None),
            ("0x1p99999999999", None),
            ("nan", None),
            ("", None),
            (".", None),
            ("-", None),
            ("+-1", None),
            ("1e", None),
            ("0x", None),
            ("0x1p", None),
            ("0x1.2.3", None),
            (" 1", None),
            ("1 ", None),
            ("infinit", None),
        ] {
            assert_eq!(parse(word.as_bytes()).map(f64::to_bits), value.map(f64::to_bits), "{word:?}");
        }
        assert_eq!(parse(&[b'0'; TEXT_MAX]), None);
    }

    #[test]
    fn a_bound_is_read_leniently() {
        for (word, value) in [
            ("", Some(0.0)),
            (" \t1.5", Some(1.5)),
            ("1e400", Some(f64::INFINITY)),
            ("1e-400", Some(0.0)),
            ("2\0junk", Some(2.0)),
            ("\0", Some(0.0)),
            (" ", None),
            ("nan", None),
            ("1 ", None),
            ("(1", None),
        ] {
            assert_eq!(parse_bound(word.as_bytes()), value, "{word:?}");
        }
    }

    #[test]
    fn seventeen_digits_are_printed_as_c_prints_them() {
        for (value, text) in [
            (0.1, "0.10000000000000001"),
            (1.0, "1"),
            (-0.0, "-0"),
            (1.5e-5, "1.5e-05"),
            (0.0001, "0.0001"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1e300, "1.0000000000000001e+300"),
            (-2.5, "-2.5"),
            (123_456_789.123_456_79, "123456789.12345679"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(print_17_digits(value), text);
        }
    }
}
