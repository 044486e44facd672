//! Numbers as RESP writes them: one spelling for each.
//!
//! Redis reads the same strict way everywhere (lengths, INCR, EXPIRE, ...): no sign but `-`, no leading zeros, no
//! spaces, no `-0`, nothing outside of 64 bits.

/// A whole text as an integer, or None.
pub fn integer(text: &[u8]) -> Option<i64> {
    let (digits, negative) = match text {
        [b'-', digits @ ..] => (digits, true),
        digits => (digits, false),
    };
    match digits {
        b"0" if !negative => return Some(0),
        // Nineteen digits always fit in 64 bits without a sign; twenty never in 63.
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut value = 0u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    if negative { 0i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
}

/// The length that starts at `at`, if it is written as nearly all are: up to eight digits, then a line end of which
/// both bytes have come. Returns it with the place behind the line end.
///
/// None says only that it is not this simple: not whole, longer, negative, or wrong.
#[inline(always)]
pub(crate) fn short_length(buffer: &[u8], at: usize) -> Option<(usize, usize)> {
    let line = buffer.get(at..)?;
    let first = line.first()?.wrapping_sub(b'0');
    if first > 9 {
        return None;
    }
    let mut value = usize::from(first);
    for index in 1..9 {
        let byte = *line.get(index)?;
        if byte == b'\r' {
            let whole = line.get(index + 1) == Some(&b'\n');
            return whole.then_some((value, at + index + 2));
        }
        let digit = byte.wrapping_sub(b'0');
        // A zero before another digit: one spelling only.
        if digit > 9 || value == 0 {
            return None;
        }
        value = value * 10 + usize::from(digit);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        for value in [0, 1, -1, 9, 10, -10, i64::MAX, i64::MIN, i64::MAX - 1, 1_000_000_000_000_000_000] {
            assert_eq!(integer(value.to_string().as_bytes()), Some(value));
        }
        let wrong = "|-|+1|-0|00|01|-01| 1|1 |1a|0x1|1.0|9223372036854775808|-9223372036854775809|18446744073709551617";
        for text in wrong.split('|').chain(["99999999999999999999", "1\0"]) {
            assert_eq!(integer(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_short_length_is_read_only_when_whole_and_plain() {
        assert_eq!(short_length(b"$0\r\n", 1), Some((0, 4)));
        assert_eq!(short_length(b"12345678\r\n", 0), Some((12_345_678, 10)));
        for not_simple in
            ["", "1", "1\r", "123456789\r\n", "01\r\n", "-1\r\n", "x\r\n", "1x\r\n", "\r\n", "1\rx"]
        {
            assert_eq!(short_length(not_simple.as_bytes(), 0), None, "{not_simple:?}");
        }
        assert_eq!(short_length(b"1\r\n", 7), None);
    }
}
