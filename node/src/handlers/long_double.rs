//! The numbers of INCRBYFLOAT and HINCRBYFLOAT: extended precision with 64 bits of mantissa.
//!
//! Redis computes with the `long double` of x86-64 and prints 17 decimals without the zeros at the end. Both show:
//! `0.1 + 0.2` is 0.3 there, and not in 64-bit floating point. So sums are rounded here to the same 64 bits, and digits are
//! read and written exactly. Only what these two commands need: read, add, print.
//!
//! Source: IEEE 754 (double extended), and what a redis-server 7.0 on x86-64 answers.

mod big;

use big::Big;

/// `mantissa * 2^exponent`, with the mantissa's top bit set unless the number is tiny or zero; or infinite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LongDouble {
    negative: bool,
    size: Size,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Finite { mantissa: u64, exponent: i32 },
    Infinite,
}

/// The exponents of a 64-bit mantissa: the least is that of denormal numbers too.
const EXPONENT_MIN: i32 = -16_445;
const EXPONENT_MAX: i32 = 16_320;

/// Redis reads no longer text as a number.
const TEXT_MAX: usize = 5 * 1024;

/// A number of more digits before its point is infinite, one of more zeros behind it is zero.
const DECIMAL_MAGNITUDE_MAX: i64 = 5_000;

/// Exponents of text are cut off here: no number that short can make up for it.
const EXPONENT_READ_MAX: i64 = 20_000_000;

/// Decimals that are printed.
const DECIMALS: usize = 17;
const TEN_TO_DECIMALS: u64 = 100_000_000_000_000_000;

impl LongDouble {
    pub(crate) const ZERO: LongDouble =
        LongDouble { negative: false, size: Size::Finite { mantissa: 0, exponent: 0 } };

    /// A number as C's `strtold` reads it, if that takes the whole text and the number is neither NaN nor out of range.
    pub(crate) fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() >= TEXT_MAX {
            return None;
        }
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let size = if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") {
            Size::Infinite
        } else if let [b'0', b'x' | b'X', digits @ ..] = rest {
            parse_hexadecimal(digits)?
        } else {
            parse_decimal(rest)?
        };
        Some(LongDouble { negative, size })
    }

    pub(crate) fn is_finite(&self) -> bool {
        self.size != Size::Infinite
    }

    /// The sum; None: it is infinite or no number.
    pub(crate) fn checked_add(self, other: LongDouble) -> Option<LongDouble> {
        let (
            Size::Finite { mantissa: mine, exponent: my_exponent },
            Size::Finite { mantissa: others, exponent: other_exponent },
        ) = (self.size, other.size)
        else {
            return None;
        };
        if mine == 0 || others == 0 {
            let mut sum = if mine == 0 { other } else { self };
            sum.negative &= mine != 0 || others != 0 || self.negative && other.negative;
            return Some(sum);
        }
        let ordered = (my_exponent, mine) >= (other_exponent, others);
        let (large, small) = if ordered { (self, other) } else { (other, self) };
        let (large_mantissa, exponent) = if ordered { (mine, my_exponent) } else { (others, other_exponent) };
        let small_mantissa = if ordered { others } else { mine };
        let distance = my_exponent.abs_diff(other_exponent);
        // 63 more bits: enough for the exact sum, or for a remainder that only has to be known not to be zero.
        let (large_bits, mut small_bits) =
            (u128::from(large_mantissa) << 63, u128::from(small_mantissa) << 63);
        let whole = small_bits;
        small_bits = small_bits.checked_shr(distance).unwrap_or(0);
        let lost = small_bits.checked_shl(distance).is_none_or(|back| back != whole);
        let sum = if large.negative == small.negative {
            large_bits + small_bits
        } else {
            large_bits - small_bits - u128::from(lost)
        };
        let size = round(sum, exponent - 63, lost);
        let is_zero = matches!(size, Size::Finite { mantissa: 0, .. });
        Some(LongDouble { negative: large.negative && !is_zero, size }).filter(LongDouble::is_finite)
    }

    /// The number with up to 17 decimals, without zeros at its end.
    pub(crate) fn print(self) -> String {
        let Size::Finite { mantissa, exponent } = self.size else {
            return if self.negative { "-inf" } else { "inf" }.to_owned();
        };
        let mut text = String::new();
        if self.negative {
            text.push('-');
        }
        if let Ok(shift) = u32::try_from(exponent) {
            text.push_str(&(Big::from(mantissa) << shift).to_decimal());
        } else {
            let scaled = u128::from(mantissa) * u128::from(TEN_TO_DECIMALS);
            let rounded = shift_right_to_even(scaled, exponent.unsigned_abs(), false);
            let (whole, decimals) =
                (rounded / u128::from(TEN_TO_DECIMALS), rounded % u128::from(TEN_TO_DECIMALS));
            let digits = format!("{decimals:0DECIMALS$}");
            text.push_str(&whole.to_string());
            let digits = digits.trim_end_matches('0');
            if !digits.is_empty() {
                text.push('.');
                text.push_str(digits);
            }
        }
        if text == "-0" { "0".to_owned() } else { text }
    }
}

fn parse_decimal(text: &[u8]) -> Option<Size> {
    let (number, exponent) = split_exponent(text, |byte| byte.eq_ignore_ascii_case(&b'e'))?;
    let (digits, behind_point) = split_point(number, |byte| byte.is_ascii_digit())?;
    let ten_exponent = exponent - i64::try_from(behind_point).ok()?;
    let Some(first) = digits.iter().position(|&digit| digit != b'0') else {
        return Some(Size::Finite { mantissa: 0, exponent: 0 });
    };
    let magnitude = i64::try_from(digits.len() - first).ok()? + ten_exponent;
    if magnitude.abs() > DECIMAL_MAGNITUDE_MAX {
        return None;
    }
    let (mut value, mut divisor) = (Big::from_decimal(&digits[first..]), Big::from(1));
    let scaled = if ten_exponent < 0 { &mut divisor } else { &mut value };
    scaled.multiply_by_power_of_ten(ten_exponent.unsigned_abs());
    in_range(divide(value, divisor))
}

fn parse_hexadecimal(text: &[u8]) -> Option<Size> {
    let (number, exponent) = split_exponent(text, |byte| byte.eq_ignore_ascii_case(&b'p'))?;
    let (digits, behind_point) = split_point(number, |byte| byte.is_ascii_hexdigit())?;
    let mut value = Big::from(0);
    for &digit in &digits {
        value.multiply_add(16, char::from(digit).to_digit(16)?);
    }
    if value.is_zero() {
        return Some(Size::Finite { mantissa: 0, exponent: 0 });
    }
    let two_exponent = exponent - 4 * i64::try_from(behind_point).ok()?;
    let (mantissa, shift, lost) = top_bits(&value);
    let exponent = two_exponent.checked_add(i64::from(shift))?;
    in_range(round(mantissa, i32::try_from(exponent).ok()?, lost))
}

/// What `strtold` calls out of range: infinite, or not zero but rounded to zero.
fn in_range(size: Size) -> Option<Size> {
    (!matches!(size, Size::Infinite | Size::Finite { mantissa: 0, .. })).then_some(size)
}

/// A number without its exponent, and the exponent, 0 if there is none.
fn split_exponent(text: &[u8], is_mark: impl Fn(&u8) -> bool) -> Option<(&[u8], i64)> {
    let Some(mark) = text.iter().position(is_mark) else { return Some((text, 0)) };
    let (negative, digits) = match &text[mark + 1..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut exponent: i64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        exponent = (exponent * 10 + i64::from(digit - b'0')).min(EXPONENT_READ_MAX);
    }
    Some((&text[..mark], if negative { -exponent } else { exponent }))
}

/// The digits before and behind a point, and how many stand behind it. There must be one digit at least.
fn split_point(text: &[u8], is_digit: impl Fn(&u8) -> bool) -> Option<(Vec<u8>, usize)> {
    let point = text.iter().position(|&byte| byte == b'.');
    let (before, behind) = match point {
        Some(point) => (&text[..point], &text[point + 1..]),
        None => (text, &[][..]),
    };
    let digits = [before, behind].concat();
    (!digits.is_empty() && digits.iter().all(is_digit)).then_some((digits, behind.len()))
}

/// The quotient, rounded. Neither is zero.
fn divide(mut value: Big, mut by: Big) -> Size {
    // Makes the quotient 66 or 67 bits long: 64 for the mantissa, and the rest to round by.
    let shift = 66 - (i64::from(value.bits()) - i64::from(by.bits()));
    let distance = u32::try_from(shift.unsigned_abs()).expect("numbers have few bits");
    if shift >= 0 {
        value = value << distance
    } else {
        by = by << distance
    }
    let (quotient, remains) = value.divide(&by);
    round(quotient, i32::try_from(-shift).expect("numbers have few bits"), remains)
}

/// The top 128 bits of a number, how far they were shifted down, and whether bits below them were lost.
fn top_bits(value: &Big) -> (u128, u32, bool) {
    let shift = value.bits().saturating_sub(128);
    let (top, lost) = value.shift_right(shift);
    (top, shift, lost)
}

/// `bits * 2^exponent`, a little more if `more`, as the nearest number with a mantissa of 64 bits; ties to even.
fn round(bits: u128, exponent: i32, more: bool) -> Size {
    if bits == 0 {
        return Size::Finite { mantissa: 0, exponent: 0 };
    }
    let length = i32::try_from(u128::BITS - bits.leading_zeros()).expect("at most 128");
    let least_shift = EXPONENT_MIN.saturating_sub(exponent);
    let shift = (length - 64).max(least_shift);
    let mut exponent = exponent.saturating_add(shift);
    let rounded = match u32::try_from(shift) {
        Ok(down) => shift_right_to_even(bits, down, more),
        Err(_) => bits << shift.unsigned_abs(),
    };
    // Rounding up may have made the mantissa a bit longer: it is then a power of two.
    let mantissa = u64::try_from(rounded).unwrap_or_else(|_| {
        exponent += 1;
        1 << 63
    });
    if exponent > EXPONENT_MAX { Size::Infinite } else { Size::Finite { mantissa, exponent } }
}

/// `bits / 2^shift`, a little more if `more`, as the nearest integer; ties to even.
fn shift_right_to_even(bits: u128, shift: u32, more: bool) -> u128 {
    if shift == 0 {
        return bits;
    }
    let whole = bits.checked_shr(shift).unwrap_or(0);
    let Some(half) = 1u128.checked_shl(shift - 1) else { return whole };
    let rest = bits - whole.checked_shl(shift).unwrap_or(0);
    let up = rest > half || rest == half && (more || whole & 1 == 1);
    whole + u128::from(up)
}

#[cfg(test)]
mod tests;
