//! A hash behaves as a map in both encodings, and changes from one to the other exactly where its limits say.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn seed() -> Seed {
    Seed::new(*b"a seed for tests")
}

fn settings(fields: usize, value: usize) -> Settings {
    Settings { hash_packed_fields_max: fields, hash_packed_value_bytes_max: value, ..Settings::default() }
}

fn set(entry: &mut Entry, settings: Settings, field: &[u8], value: &[u8]) -> bool {
    let mut hash = entry.hash_mut(seed(), settings).unwrap();
    hash.make_room_for([field, value].into_iter());
    hash.set(field, value)
}

fn scanned(entry: &Entry, count: usize) -> Vec<Vec<u8>> {
    let (mut seen, mut position) = (Vec::new(), 0);
    loop {
        position = entry.hash().unwrap().scan(position, count, |field, _| seen.push(field.to_vec()));
        if position == 0 {
            return seen;
        }
    }
}

#[test]
fn a_hash_unpacks_past_its_limits_and_not_before() {
    let mut entry = Entry::with_hash(b"h");
    for number in 0..4u8 {
        set(&mut entry, settings(4, 8), &[number], b"12345678");
        assert!(entry.hash().unwrap().is_packed());
    }
    assert!(set(&mut entry, settings(4, 8), b"more", b"x"));
    assert!(!entry.hash().unwrap().is_packed());
    let mut entry = Entry::with_hash(b"h");
    set(&mut entry, settings(4, 8), b"field", b"123456789");
    assert!(!entry.hash().unwrap().is_packed());
    assert_eq!(entry.hash().unwrap().get(&seed(), b"field"), Some(&b"123456789"[..]));
}

#[test]
fn a_large_hash_is_scanned_and_drawn_from() {
    let mut entry = Entry::with_hash(b"h");
    for number in 0..5000u32 {
        set(&mut entry, settings(4, 8), &number.to_be_bytes(), b"v");
    }
    let mut seen = scanned(&entry, 10);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 5000);
    let mut random = Random::new(3);
    let hash = entry.hash().unwrap();
    let mut drawn: Vec<_> = (0..2000).map(|_| hash.random(&mut random).unwrap().0.to_vec()).collect();
    drawn.sort_unstable();
    drawn.dedup();
    assert!(drawn.len() > 1300, "{} different of 2000", drawn.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_hash_is_a_map(
        steps in proptest::collection::vec((0u8..60, proptest::option::weighted(0.7, proptest::collection::vec(any::<u8>(), 0..20))), 0..400),
        fields_max in 0usize..40,
        value_max in 8usize..24,
    ) {
        let settings = settings(fields_max, value_max);
        let mut entry = Entry::with_hash(b"h");
        let mut model: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        for (field, value) in steps {
            let field = format!("f{field}").into_bytes();
            match value {
                Some(value) => {
                    let is_new = set(&mut entry, settings, &field, &value);
                    prop_assert_eq!(is_new, model.insert(field, value).is_none());
                }
                None => {
                    let removed = entry.hash_mut(seed(), settings).unwrap().remove(&field);
                    prop_assert_eq!(removed, model.remove(&field).is_some());
                }
            }
            let hash = entry.hash().unwrap();
            prop_assert_eq!(hash.len(), model.len());
            prop_assert!(!hash.is_packed() || hash.len() <= fields_max);
        }
        let hash = entry.hash().unwrap();
        let mut seen = HashMap::new();
        hash.for_each(|field, value| { seen.insert(field.to_vec(), value.to_vec()); });
        prop_assert_eq!(&seen, &model);
        for (field, value) in &model {
            prop_assert_eq!(hash.get(&seed(), field), Some(value.as_slice()));
        }
        let mut scanned = scanned(&entry, 1);
        scanned.sort_unstable();
        let mut fields: Vec<_> = model.into_keys().collect();
        fields.sort_unstable();
        prop_assert_eq!(scanned, fields);
    }
}
