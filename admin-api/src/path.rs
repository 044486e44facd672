//! The parts of a path and a query, checked: what is wrong is named by field.
//!
//! 400 is for what cannot be read, 422 for what can be read and makes no sense.

use slotway_cluster::{
    Database, Slot,
    slot::{DATABASES, SLOTS},
    view::{ErrorCode, ErrorView},
};

/// `7` of `/v1/slots/7`
pub(crate) fn slot(text: &str) -> Result<Slot, ErrorView> {
    let number: u64 = number(text, "slot")?;
    u16::try_from(number).ok().and_then(Slot::new).ok_or_else(|| {
        ErrorView::new(ErrorCode::Invalid, format!("there is no slot {number}"))
            .hint(format!("slots are numbered 0 to {}", SLOTS - 1))
            .field("slot")
    })
}

/// `db` of `?db=0`; 0 when it is not given.
pub(crate) fn database(query: &str) -> Result<Database, ErrorView> {
    let given = query.split('&').find_map(|pair| pair.strip_prefix("db="));
    let number: u64 = number(given.unwrap_or("0"), "db")?;
    let known = u8::try_from(number).ok().filter(|&db| db < DATABASES);
    known.map(Database).ok_or_else(|| {
        ErrorView::new(ErrorCode::Invalid, format!("there is no database {number}"))
            .hint(format!("databases are numbered 0 to {}", DATABASES - 1))
            .field("db")
    })
}

/// The bytes of a percent-encoded key. A `+` is a plus: paths are not forms.
pub(crate) fn key(segment: &str) -> Result<Vec<u8>, ErrorView> {
    let mut key = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        key.push(match byte {
            b'%' => escaped(rest.next(), rest.next()).ok_or_else(|| {
                ErrorView::new(
                    ErrorCode::BadRequest,
                    "expected two hexadecimal digits behind each % of the key",
                )
                .hint("write a percent sign as %25")
                .field("key")
            })?,
            _ => byte,
        });
    }
    Ok(key)
}

fn escaped(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn number(text: &str, field: &str) -> Result<u64, ErrorView> {
    let digits_only = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let bad = || {
        ErrorView::new(ErrorCode::BadRequest, format!("expected {field} as a number, found \"{text}\""))
            .field(field)
    };
    if digits_only { text.parse().map_err(|_| bad()) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_hold_any_byte() {
        assert_eq!(key("user%3A1").unwrap(), b"user:1");
        assert_eq!(key("a+b%2F%00%fF").unwrap(), b"a+b/\x00\xff");
        assert_eq!(key("").unwrap(), b"");
        for bad in ["%", "%4", "%zz", "a%+1"] {
            assert_eq!(key(bad).unwrap_err().field.as_deref(), Some("key"), "{bad}");
        }
    }

    fn check_slot(text: &str, expected: Result<u16, ErrorCode>) {
        let found = slot(text).map(Slot::number).map_err(|error| {
            assert_eq!(error.field.as_deref(), Some("slot"), "{text}");
            error.code
        });
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_slot_is_a_number_up_to_16383() {
        check_slot("0", Ok(0));
        check_slot("16383", Ok(16383));
        check_slot("16384", Err(ErrorCode::Invalid));
        check_slot("65536", Err(ErrorCode::Invalid));
        check_slot("99999999999999999999999", Err(ErrorCode::BadRequest));
        for text in ["", "-1", "+1", "0x7", "seven", "1.5"] {
            check_slot(text, Err(ErrorCode::BadRequest));
        }
    }

    #[test]
    fn a_database_is_optional_and_below_16() {
        assert_eq!(database("").unwrap(), Database(0));
        assert_eq!(database("a=b&db=15").unwrap(), Database(15));
        assert_eq!(database("db=16").unwrap_err().code, ErrorCode::Invalid);
        assert_eq!(database("db=x").unwrap_err().code, ErrorCode::BadRequest);
    }
}
