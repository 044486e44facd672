//! BITFIELD: integers of any width anywhere in a string.
//!
//! A request is read twice, once to refuse what is wrong anywhere in it and to learn how long the string must be, once to
//! run: so nothing is kept in between, however many operations there are.

#[cfg(test)]
use slotway_commands::errors;
use slotway_resp::{Request, write};

use super::{bit_offset, edit, within};
use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{SYNTAX, WRONG_TYPE, integer, is};
use crate::keyspace::text::parse_integer;

const BAD_TYPE: &str =
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.";
const BAD_OVERFLOW: &str = "ERR Invalid OVERFLOW type specified";
const ONLY_GET: &str = "ERR BITFIELD_RO only supports the GET subcommand";

/// An integer's width and whether it has a sign: u1 to u63, i1 to i64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    signed: bool,
    bits: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field {
    kind: Kind,
    /// Its first bit.
    offset: usize,
}

/// What happens to a number that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Get(Field),
    Set(Field, i64, Overflow),
    Increment(Field, i64, Overflow),
}

pub(crate) fn bitfield(call: &mut Call<'_>) -> Done {
    let plan = plan(call)?;
    match plan.write_bytes {
        Some(len_min) => change(call, plan.operations, len_min),
        None => read(call, plan.operations),
    }
}

pub(crate) fn bitfield_ro(call: &mut Call<'_>) -> Done {
    let plan = plan(call)?;
    match plan.write_bytes {
        Some(_) => Err(ONLY_GET.into()),
        None => read(call, plan.operations),
    }
}

/// What a whole request comes to.
struct Plan {
    operations: usize,
    /// Bytes that the string must have for all that is written; None: nothing is.
    write_bytes: Option<usize>,
}

fn plan(call: &Call<'_>) -> Result<Plan, Refusal> {
    let mut plan = Plan { operations: 0, write_bytes: None };
    for operation in Operations::of(call) {
        plan.operations += 1;
        match operation? {
            Operation::Get(_) => {}
            Operation::Set(field, ..) | Operation::Increment(field, ..) => {
                plan.write_bytes = plan.write_bytes.max(Some(field.end().div_ceil(8)));
            }
        }
    }
    Ok(plan)
}

/// Runs a request that only gets.
fn read(call: &mut Call<'_>, operations: usize) -> Done {
    let fields = Operations::of(call);
    let text = match call.keyspace.read(call.key(), call.now) {
        Some(entry) => entry.text().ok_or(WRONG_TYPE)?,
        None => &[],
    };
    write::array(call.out, operations);
    for operation in fields.flatten() {
        if let Operation::Get(field) = operation {
            write::integer(call.out, field.get(text));
        }
    }
    Ok(())
}

fn change(call: &mut Call<'_>, operations: usize, len_min: usize) -> Done {
    let (key, fields, version) = (call.key(), Operations::of(call), call.version);
    let out = &mut *call.out;
    let changes = edit(call.keyspace, key, call.now, len_min, |text, is_longer| {
        write::array(out, operations);
        let mut changes = 0;
        for operation in fields.flatten() {
            let did = operation.run(text);
            match did.reply {
                Some(reply) => write::integer(out, reply),
                None => write::null(out, version),
            }
            changes += u64::from(did.wrote && (did.changed || is_longer));
        }
        // Redis keeps silent about a string that grew for writes that all failed, and its replicas do not learn of it. But it
        // did change.
        changes.max(u64::from(is_longer))
    })?;
    call.keyspace.changed(key, changes);
    Ok(())
}

/// The operations of a request, one after the other, up to the first that is wrong.
struct Operations<'a> {
    request: Request<'a>,
    next: usize,
    overflow: Overflow,
    text_bytes_max: usize,
}

impl<'a> Operations<'a> {
    fn of(call: &Call<'a>) -> Operations<'a> {
        let text_bytes_max = call.keyspace.settings.text_bytes_max;
        Operations { request: call.request, next: 2, overflow: Overflow::Wrap, text_bytes_max }
    }

    /// The field whose words are `at` and behind.
    fn field(&self, at: usize) -> Result<Field, Refusal> {
        let kind = Kind::parse(self.request.word(at)).ok_or(BAD_TYPE)?;
        let offset = field_offset(self.request.word(at + 1), kind, self.text_bytes_max)?;
        Ok(Field { kind, offset })
    }

    fn parse(&mut self) -> Result<Option<Operation>, Refusal> {
        loop {
            let at = self.next;
            let Some(name) = self.request.get(at) else { return Ok(None) };
            let arguments = self.request.len() - at - 1;
            if is(name, "GET") && arguments >= 2 {
                self.next += 3;
                return self.field(at + 1).map(|field| Some(Operation::Get(field)));
            }
            if (is(name, "SET") || is(name, "INCRBY")) && arguments >= 3 {
                self.next += 4;
                let (field, value) = (self.field(at + 1)?, integer(self.request.word(at + 3))?);
                let make = if is(name, "SET") { Operation::Set } else { Operation::Increment };
                return Ok(Some(make(field, value, self.overflow)));
            }
            if !is(name, "OVERFLOW") || arguments == 0 {
                return Err(SYNTAX);
            }
            self.next += 2;
            self.overflow = match self.request.word(at + 1) {
                word if is(word, "WRAP") => Overflow::Wrap,
                word if is(word, "SAT") => Overflow::Saturate,
                word if is(word, "FAIL") => Overflow::Fail,
                _ => return Err(BAD_OVERFLOW.into()),
            };
        }
    }
}

impl Iterator for Operations<'_> {
    type Item = Result<Operation, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        self.parse().transpose()
    }
}

/// A bit's number, or with `#` the number of a field of this kind.
fn field_offset(word: &[u8], kind: Kind, text_bytes_max: usize) -> Result<usize, Refusal> {
    let Some(number) = word.strip_prefix(b"#") else { return bit_offset(word, text_bytes_max) };
    // Redis multiplies past 2^63 and so writes to the string's front what was meant for its far end.
    let offset = parse_integer(number).and_then(|number| number.checked_mul(i64::from(kind.bits)));
    within(offset, text_bytes_max)
}

/// What an operation did.
#[derive(Debug, PartialEq, Eq)]
struct Did {
    /// None: it failed because of an overflow.
    reply: Option<i64>,
    wrote: bool,
    /// What it wrote is not what was there.
    changed: bool,
}

impl Operation {
    /// The text reaches to the end of every field that is written.
    fn run(self, text: &mut [u8]) -> Did {
        let (field, wanted, overflow) = match self {
            Operation::Get(field) => {
                return Did { reply: Some(field.get(text)), wrote: false, changed: false };
            }
            Operation::Set(field, value, overflow) => (field, field.kind.wide(value), overflow),
            Operation::Increment(field, by, overflow) => {
                (field, i128::from(field.get(text)) + i128::from(by), overflow)
            }
        };
        let old = field.get(text);
        let Some(new) = field.kind.fit(wanted, overflow) else {
            return Did { reply: None, wrote: false, changed: false };
        };
        field.set(text, new);
        let reply = if matches!(self, Operation::Set(..)) { old } else { new };
        Did { reply: Some(reply), wrote: true, changed: old != new }
    }
}

impl Kind {
    fn parse(word: &[u8]) -> Option<Kind> {
        let (signed, digits, bits_max) = match word {
            [b'i', digits @ ..] => (true, digits, 64),
            [b'u', digits @ ..] => (false, digits, 63),
            _ => return None,
        };
        // A text ends at its first zero byte, as the C string that it is to Redis.
        let digits = digits.split(|&byte| byte == 0).next().unwrap_or_default();
        let bits = parse_integer(digits).filter(|bits| (1..=bits_max).contains(bits));
        bits.and_then(|bits| u8::try_from(bits).ok()).map(|bits| Kind { signed, bits })
    }

    /// All bits that a number of this kind has.
    fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    fn max(self) -> i128 {
        i128::from(self.mask() >> u8::from(self.signed))
    }

    fn min(self) -> i128 {
        if self.signed { -self.max() - 1 } else { 0 }
    }

    /// A value to be set. To a field without a sign a negative number is one far above its greatest. So it is to a
    /// narrow field with a sign if their distance is past 2^63, because Redis subtracts in 64 bits: SAT makes of it the
    /// greatest, not the least.
    fn wide(self, value: i64) -> i128 {
        let too_far = self.bits < 64 && self.max() - i128::from(value) > i128::from(i64::MAX);
        if self.signed && !too_far { i128::from(value) } else { i128::from(value.cast_unsigned()) }
    }

    /// The number as this kind can hold it. None: it cannot, and shall not.
    fn fit(self, wanted: i128, overflow: Overflow) -> Option<i64> {
        let fitting = match overflow {
            _ if (self.min()..=self.max()).contains(&wanted) => wanted,
            Overflow::Wrap => {
                let low = u64::try_from(wanted & i128::from(self.mask())).expect("64 bits at most");
                return Some(self.signed_value(low));
            }
            Overflow::Saturate => wanted.clamp(self.min(), self.max()),
            Overflow::Fail => return None,
        };
        Some(i64::try_from(fitting).expect("no kind holds more than 64 bits"))
    }

    /// The number that these bits mean.
    fn signed_value(self, bits: u64) -> i64 {
        let unused = 64 - self.bits;
        let value = bits.cast_signed();
        if self.signed { value << unused >> unused } else { value }
    }
}

/// Bytes that a field can touch: 64 bits that begin within a byte.
const TOUCHED: usize = 9;

impl Field {
    /// The bit behind its last.
    fn end(self) -> usize {
        self.offset + usize::from(self.kind.bits)
    }

    /// The bytes that it touches, the first of them highest; behind the text are zeros.
    fn window(self, text: &[u8]) -> u128 {
        let mut bytes = [0; 16];
        let there = text.get(self.offset / 8..).unwrap_or_default();
        let len = there.len().min(TOUCHED);
        bytes[..len].copy_from_slice(&there[..len]);
        u128::from_be_bytes(bytes)
    }

    /// How far its last bit is from the window's.
    fn shift(self) -> usize {
        128 - self.offset % 8 - usize::from(self.kind.bits)
    }

    fn get(self, text: &[u8]) -> i64 {
        let low = self.window(text) >> self.shift() & u128::from(self.kind.mask());
        self.kind.signed_value(u64::try_from(low).expect("64 bits at most"))
    }

    /// The text reaches to the field's end.
    fn set(self, text: &mut [u8], value: i64) {
        let mask = u128::from(self.kind.mask());
        let value = u128::from(value.cast_unsigned()) & mask;
        let window = self.window(text) & !(mask << self.shift()) | value << self.shift();
        let touched = self.offset / 8..self.end().div_ceil(8);
        let len = touched.len();
        text[touched].copy_from_slice(&window.to_be_bytes()[..len]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(word: &str) -> Kind {
        Kind::parse(word.as_bytes()).unwrap_or_else(|| panic!("{word}"))
    }

    #[test]
    fn kinds_are_u1_to_u63_and_i1_to_i64() {
        assert_eq!(kind("u63"), Kind { signed: false, bits: 63 });
        assert_eq!(kind("i64"), Kind { signed: true, bits: 64 });
        assert_eq!(kind("i1"), Kind { signed: true, bits: 1 });
        for word in
            ["u64", "i65", "u0", "i", "", "8", "U8", "u+8", "u08", "u-1", "u99999999999999999999", "u 8"]
        {
            assert_eq!(Kind::parse(word.as_bytes()), None, "{word:?}");
        }
        assert_eq!(Kind::parse(b"u8\0x"), Some(kind("u8")));
    }

    #[test]
    fn what_does_not_fit_wraps_saturates_or_fails() {
        use Overflow::{Fail, Saturate, Wrap};
        let check = |word: &str, wanted: i128, expected: [Option<i64>; 3]| {
            let fitted = [Wrap, Saturate, Fail].map(|overflow| kind(word).fit(wanted, overflow));
            assert_eq!(fitted, expected, "{wanted} as {word}");
        };
        check("u8", 255, [Some(255); 3]);
        check("u8", 256, [Some(0), Some(255), None]);
        check("u8", -1, [Some(255), Some(0), None]);
        check("i8", 127, [Some(127); 3]);
        check("i8", 128, [Some(-128), Some(127), None]);
        check("i8", -129, [Some(127), Some(-128), None]);
        check("u63", 1 << 63, [Some(0), Some(i64::MAX), None]);
        check("i64", 1 << 63, [Some(i64::MIN), Some(i64::MAX), None]);
        check("i64", i128::from(i64::MIN) - 1, [Some(i64::MAX), Some(i64::MIN), None]);
        check("i1", 1, [Some(-1), Some(0), None]);
        assert_eq!(kind("u8").wide(-1), i128::from(u64::MAX), "SET of a negative number is far above");
        assert_eq!(kind("i8").wide(-1), -1);
        assert_eq!(kind("i8").fit(kind("i8").wide(i64::MIN), Saturate), Some(127), "as Redis has it");
        assert_eq!(kind("i8").fit(kind("i8").wide(i64::MIN + 128), Saturate), Some(-128));
        assert_eq!(kind("i64").fit(kind("i64").wide(i64::MIN), Saturate), Some(i64::MIN));
    }

    #[test]
    fn offsets_may_count_fields_and_do_not_overflow() {
        let offset = |word: &[u8]| field_offset(word, kind("u8"), 512 << 20);
        assert_eq!(offset(b"17"), Ok(17));
        assert_eq!(offset(b"#17"), Ok(136));
        assert_eq!(offset(b"4294967295"), Ok(4_294_967_295));
        for bad in [
            &b"4294967296"[..],
            b"#536870912",
            b"#4611686018427387904",
            b"-1",
            b"#-1",
            b"#",
            b"##1",
            b"x",
            b"",
        ] {
            assert_eq!(offset(bad), Err(errors::BIT_OFFSET_NOT_INTEGER.into()), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_field_holds_what_it_was_given_and_leaves_its_neighbours_alone(
            noise in proptest::collection::vec(any::<u8>(), 24),
            signed: bool,
            bits in 1..=64_u8,
            offset in 0..128_usize,
            value: i64,
        ) {
            let kind = Kind { signed, bits: if signed { bits } else { bits.min(63) } };
            let field = Field { kind, offset };
            let value = kind.fit(i128::from(value), Overflow::Wrap).unwrap();
            let mut text = noise.clone();
            field.set(&mut text, value);
            prop_assert_eq!(field.get(&text), value);
            for place in 0..noise.len() * 8 {
                let bit = |text: &[u8]| text[place / 8] >> (7 - place % 8) & 1;
                if (field.offset..field.end()).contains(&place) {
                    let from_right = field.end() - place - 1;
                    prop_assert_eq!(i64::from(bit(&text)), value >> from_right & 1);
                } else {
                    prop_assert_eq!(bit(&text), bit(&noise), "bit {}", place);
                }
            }
        }
    }

    #[test]
    fn behind_the_text_a_field_reads_zeros() {
        let field = |offset| Field { kind: kind("u16"), offset };
        assert_eq!(field(0).get(b"\xff"), 0xFF00);
        assert_eq!(field(4).get(b"\xff"), 0xF000);
        assert_eq!(field(8).get(b"\xff"), 0);
        assert_eq!(field(4_294_967_295).get(b""), 0);
    }
}
