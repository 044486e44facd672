//! PFSELFTEST: does this machine count as it should?

use std::borrow::Cow;

use super::{Encoding, Observation, Union, count, empty, encoding, note, to_dense};

/// Elements that are counted.
const ELEMENTS: u64 = 100_000;

/// The estimate may be wrong by so many standard errors of 1.04 / sqrt(16384), in hundredths of a percent each.
const ERRORS_MAX: u64 = 6;
const STANDARD_ERROR: u64 = 81;

/// Until the sparse one is as long as this, both encodings are compared.
const SPARSE_BYTES_MAX: usize = 3000;

/// Adds elements and counts them at every power of ten: sparse, dense and merged must agree and be near the truth.
/// What is wrong is told.
pub(crate) fn self_test() -> Result<(), String> {
    let (mut one, mut dense) = (Cow::Owned(empty()), Cow::Owned(to_dense(&empty()).map_err(|_| "empty")?));
    let mut next = 1;
    for element in 1..=ELEMENTS {
        let seen = Observation::of(&element.to_le_bytes());
        let noted = [&mut one, &mut dense].map(|text| note(text, seen, SPARSE_BYTES_MAX));
        if noted[0] != noted[1] {
            return Err(format!("element {element} changed {:?} of sparse and dense", noted));
        }
        if element == next {
            next *= 10;
            check(&one, &dense, element)?;
        }
    }
    if encoding(&one) == Some(Encoding::Dense) { Ok(()) } else { Err("it never became dense".to_owned()) }
}

fn check(one: &[u8], dense: &[u8], elements: u64) -> Result<(), String> {
    let mut union = Union::default();
    let merged = union.merge(one).and_then(|()| union.merge(dense)).map(|()| union.count());
    let counts = [count(one), count(dense), merged];
    let error = counts[0].map_or(u64::MAX, |count| count.abs_diff(elements));
    let allowed = elements * ERRORS_MAX * STANDARD_ERROR / 10_000 + 1;
    if counts[0] == counts[1] && counts[1] == counts[2] && error <= allowed {
        return Ok(());
    }
    Err(format!("{elements} elements were counted as {counts:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_counts_as_it_should() {
        assert_eq!(self_test(), Ok(()));
    }
}
