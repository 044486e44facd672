//! What a HyperLogLog is, by its bytes; the comparison with a redis-server is the differential run's.

use proptest::prelude::*;

use super::*;

const USUAL: usize = 3000;

fn of(elements: impl IntoIterator<Item = u32>, sparse_bytes_max: usize) -> Vec<u8> {
    let mut text = Cow::Owned(empty());
    for element in elements {
        note(&mut text, Observation::of(&element.to_le_bytes()), sparse_bytes_max).unwrap();
    }
    text.into_owned()
}

#[test]
fn the_hash_is_that_of_its_author() {
    // Of MurmurHash64A with this seed, from redis-server 7.0 by way of PFADD and PFDEBUG DECODE.
    for (element, before, value) in [("a", 12_711, 2), ("hello", 9_216, 1), ("0123456789abcdef", 5_949, 1)] {
        let mut text = Cow::Owned(empty());
        note(&mut text, Observation::of(element.as_bytes()), USUAL).unwrap();
        let rest = REGISTERS - before - 1;
        assert_eq!(describe(&text), format!("Z:{before} v:{value},1 Z:{rest}"), "{element}");
    }
}

#[test]
fn an_empty_one_is_one_run_of_zeros() {
    let text = empty();
    assert_eq!(text, b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff");
    assert_eq!(encoding(&text), Some(Encoding::Sparse));
    assert_eq!((cached(&text), count(&text)), (Some(0), Ok(0)));
}

#[test]
fn a_count_is_cached_until_it_is_forgotten() {
    let mut text = empty();
    cache(&mut text, 42);
    assert_eq!(cached(&text), Some(42));
    forget_cached(&mut text);
    assert_eq!(cached(&text), None);
    assert_eq!(text[CACHE_AT], 42, "only the top bit says so");
}

#[test]
fn runs_are_cut_and_joined() {
    let mut text = Cow::Owned(empty());
    for (register, value, runs) in [
        (100, 5, "Z:100 v:5,1 Z:16283"),
        (101, 5, "Z:100 v:5,2 Z:16282"),
        (103, 5, "Z:100 v:5,2 z:1 v:5,1 Z:16280"),
        (102, 5, "Z:100 v:5,4 Z:16280"),
        (104, 5, "Z:100 v:5,4 v:5,1 Z:16279"),
        (101, 9, "Z:100 v:5,1 v:9,1 v:5,3 Z:16279"),
        (0, 32, "v:32,1 Z:99 v:5,1 v:9,1 v:5,3 Z:16279"),
        (40, 1, "v:32,1 z:39 v:1,1 z:59 v:5,1 v:9,1 v:5,3 Z:16279"),
        (16_383, 1, "v:32,1 z:39 v:1,1 z:59 v:5,1 v:9,1 v:5,3 Z:16278 v:1,1"),
    ] {
        assert_eq!(note(&mut text, Observation { register, value }, USUAL), Ok(true));
        assert_eq!(describe(&text), runs);
    }
    assert_eq!(note(&mut text, Observation { register: 0, value: 33 }, USUAL), Ok(true));
    assert_eq!(encoding(&text), Some(Encoding::Dense), "33 is too large for a run");
}

#[test]
fn it_becomes_dense_past_its_bound_and_counts_the_same() {
    let (sparse, dense) = (of(0..2000, 1 << 20), of(0..2000, 100));
    assert_eq!((encoding(&sparse), encoding(&dense)), (Some(Encoding::Sparse), Some(Encoding::Dense)));
    assert_eq!(count(&sparse), count(&dense));
    assert_eq!(to_dense(&sparse).unwrap()[HEADER..], dense[HEADER..]);
    assert!((1950..2050).contains(&count(&dense).unwrap()));
    let bound = of(0..5000, USUAL);
    assert_eq!(encoding(&bound), Some(Encoding::Dense));
}

#[test]
fn a_union_is_of_all_elements() {
    let mut union = Union::default();
    for part in [of(0..1000, USUAL), of(500..3000, 100), of([], USUAL)] {
        union.merge(&part).unwrap();
    }
    let all = of(0..3000, USUAL);
    assert_eq!(Ok(union.count()), count(&all));
    let mut again = Cow::Owned(empty());
    for seen in union.observations() {
        assert_eq!(note(&mut again, seen, 1 << 20), Ok(true));
    }
    assert_eq!(count(&again), count(&all));
}

#[test]
fn what_is_no_hyperloglog_is_none() {
    let dense = to_dense(&empty()).unwrap();
    for text in
        [&b""[..], b"HYLL", b"hyll\x01\0\0\0\0\0\0\0\0\0\0\0", b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0", &dense[1..]]
    {
        assert_eq!(encoding(text), None);
    }
    assert_eq!(encoding(&dense[..dense.len() - 1]), None);
    assert_eq!(encoding(&dense), Some(Encoding::Dense));
}

#[test]
fn every_run_is_as_long_to_the_walk_as_it_is_to_the_reader() {
    for byte in 0..=u8::MAX {
        // The first register behind the run is found in the next, which covers all others.
        let mut text = empty();
        text.truncate(HEADER);
        text.extend([byte, 3]);
        let described = describe(&text);
        let len: usize =
            described.split([':', ',', ' ']).nth(if byte < 0x80 { 1 } else { 2 }).unwrap().parse().unwrap();
        text.extend(b"\x7f\xff");
        let mut text = Cow::Owned(text);
        let behind = if byte >> 6 == 1 { len } else { len + 4 };
        for (register, value) in [(len - 1, 32), (behind, 32)] {
            let raised = note(&mut text, Observation { register, value }, USUAL);
            assert_eq!(raised, Ok(value > before(byte, register < len)), "{byte:x}");
        }
    }
}

/// The value of a run's registers.
fn before(byte: u8, inside: bool) -> u8 {
    if inside && byte >= 0x80 { (byte >> 2 & 0x1F) + 1 } else { 0 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands behind a header: no panic, and what is counted is whole.
    #[test]
    fn no_string_is_too_odd(
        runs in proptest::collection::vec(any::<u8>(), 0..300),
        zeros in 0usize..=REGISTERS,
        registers in proptest::collection::vec((0..REGISTERS, 1u8..=51), 1..20),
        bytes_max in 0usize..400,
    ) {
        let mut text = empty();
        text.truncate(HEADER);
        text.extend_from_slice(&runs);
        if zeros > 0 {
            push_zeros_for_test(&mut text, zeros);
        }
        describe(&text);
        let counted = count(&text);
        let mut union = Union::default();
        prop_assert_eq!(union.merge(&text).is_ok(), counted.is_ok());
        prop_assert_eq!(to_dense(&text).is_ok(), counted.is_ok());
        let mut text = Cow::Owned(text);
        for (register, value) in registers {
            let noted = note(&mut text, Observation { register, value }, bytes_max);
            prop_assert!(noted.is_ok() || counted.is_err());
        }
        prop_assert!(encoding(&text).is_some());
        let _ = count(&text);
    }

    #[test]
    fn sparse_and_dense_agree_on_every_register(
        registers in proptest::collection::vec((0..REGISTERS, 1u8..=32), 0..400),
    ) {
        let (mut sparse, mut dense) = (Cow::Owned(empty()), Cow::Owned(to_dense(&empty()).unwrap()));
        for (register, value) in registers {
            // Near each other, so that runs meet.
            let seen = Observation { register: register % 200, value: value % 4 + 1 };
            prop_assert_eq!(note(&mut sparse, seen, 1 << 20), note(&mut dense, seen, 0));
        }
        prop_assert_eq!(encoding(&sparse), Some(Encoding::Sparse));
        prop_assert_eq!(&to_dense(&sparse).unwrap()[HEADER..], &dense[HEADER..]);
        prop_assert_eq!(count(&sparse), count(&dense));
    }
}

fn push_zeros_for_test(text: &mut Vec<u8>, len: usize) {
    sparse::push_zeros(text, len);
}
