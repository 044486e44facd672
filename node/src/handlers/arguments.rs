//! Arguments as Redis reads them, and its words for what it cannot read.

use slotway_cluster::Database;
use slotway_cluster::slot::DATABASES;
use slotway_commands::errors;

use super::long_double::LongDouble;
use crate::call::Refusal;
use crate::keyspace::text::parse_integer;

pub(super) const WRONG_TYPE: Refusal = Refusal::Borrowed(errors::WRONGTYPE);
pub(super) const SYNTAX: Refusal = Refusal::Borrowed(errors::SYNTAX);

const INT_RANGE: &str = "ERR value is out of range, value must between -2147483648 and 2147483647";

/// Whether a word is this option, in any case. `option` is in capitals.
pub(super) fn is(word: &[u8], option: &str) -> bool {
    word.eq_ignore_ascii_case(option.as_bytes())
}

pub(super) fn integer(word: &[u8]) -> Result<i64, Refusal> {
    parse_integer(word).ok_or(Refusal::Borrowed(errors::NOT_INTEGER))
}

pub(super) fn float(word: &[u8]) -> Result<LongDouble, Refusal> {
    LongDouble::parse(word).ok_or(Refusal::Borrowed(errors::NOT_FLOAT))
}

/// A number that is a C `int` to Redis.
pub(super) fn int(word: &[u8]) -> Result<i32, Refusal> {
    i32::try_from(integer(word)?).map_err(|_| Refusal::Borrowed(INT_RANGE))
}

pub(super) fn database(number: i32) -> Result<Database, Refusal> {
    u8::try_from(number)
        .ok()
        .filter(|&number| number < DATABASES)
        .map(Database)
        .ok_or(Refusal::Borrowed(errors::DB_OUT_OF_RANGE))
}

pub(super) fn wrong_number_of_arguments(name: &str) -> Refusal {
    errors::wrong_number_of_arguments(name).into()
}

/// A length or count for a reply.
pub(super) fn count(len: usize) -> i64 {
    i64::try_from(len).expect("no length in memory is past 2^63")
}
