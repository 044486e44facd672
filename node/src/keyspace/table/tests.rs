//! A table of any size finds, scans and forgets what it should, whatever comes and goes; its parts stay full enough.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::keyspace::entry::{Form, Value};

fn seed() -> Seed {
    Seed::new(*b"a seed for tests")
}

fn key(number: u32) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

fn insert(table: &mut Table, key: &[u8]) {
    let seed = seed();
    table.insert(&seed, seed.hash(key), Entry::new(key, Form::Text, b"v"));
}

fn filled(count: u32) -> Table {
    let mut table = Table::default();
    (0..count).for_each(|number| insert(&mut table, &key(number)));
    table
}

fn check(table: &Table) {
    assert_eq!(table.root.check(0, 0, &seed()), table.len(), "no entry is lost in a split or a merge");
}

#[test]
fn a_table_of_any_size_finds_every_key_it_holds() {
    for count in [0, 1, 63, 64, 65, 1000, if cfg!(miri) { 1500 } else { 400_000 }] {
        let table = filled(count);
        check(&table);
        for number in 0..count {
            let found = table.find(seed().hash(&key(number)), &key(number)).expect("it was inserted");
            assert_eq!(found.key(), key(number));
        }
        assert!(table.find(seed().hash(b"absent"), b"absent").is_none());
        assert_eq!(table.iter().count(), table.len());
    }
}

#[test]
fn a_table_that_runs_empty_gives_everything_back() {
    let count = if cfg!(miri) { 1000 } else { 300_000 };
    let mut table = filled(count);
    for number in 0..count {
        assert!(table.remove(seed().hash(&key(number)), &key(number)).is_some());
        assert!(table.remove(seed().hash(&key(number)), &key(number)).is_none());
        if number % 10_000 == 0 {
            check(&table);
        }
        if number == count - 50 {
            let parts = table.parts(0).count();
            assert!(parts <= 8, "50 entries left in {parts} parts");
        }
    }
    assert!(matches!(table.root, Node::Same));
}

#[test]
fn a_table_costs_few_bytes_per_entry() {
    for (entries, bytes_max) in [(1, 128), (8, 18), (60, 13), (1000, 14), (100_000, 14)] {
        let table = filled(if cfg!(miri) { entries.min(1000) } else { entries });
        let bytes = table.root.bytes() / table.len();
        assert!(bytes <= bytes_max, "{bytes} bytes for each of {entries} entries");
    }
}

#[test]
fn every_entry_is_chosen_about_equally_often() {
    let table = filled(1000);
    let mut random = Random::new(7);
    let mut chosen: HashMap<Vec<u8>, u32> = HashMap::new();
    let draws = if cfg!(miri) { 100 } else { 400_000 };
    for _ in 0..draws {
        let entry = table.random(&mut random).expect("not empty");
        *chosen.entry(entry.key().to_vec()).or_default() += 1;
    }
    if cfg!(not(miri)) {
        assert_eq!(chosen.len(), 1000);
        let (least, most) = (chosen.values().min().unwrap(), chosen.values().max().unwrap());
        assert!(*least > 150 && *most < 900, "400 expected, {least} to {most} seen");
    }
    assert!(Table::default().random(&mut random).is_none());
    assert_eq!(filled(1).random(&mut random).map(|entry| entry.key().to_vec()), Some(key(0)));
}

/// One step of a life beside a scan.
#[derive(Debug, Clone)]
enum Step {
    Insert(u32),
    Remove(u32),
    Scan,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0u32..4000).prop_map(Step::Insert),
        3 => (0u32..4000).prop_map(Step::Remove),
        1 => Just(Step::Scan),
    ];
    proptest::collection::vec(step, 0..3000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 1 } else { 48 }, failure_persistence: None, ..ProptestConfig::default() })]

    /// Keys 10,000 and up are there all the time; the scan has to see each of them.
    #[test]
    fn a_scan_sees_all_that_stays_whatever_comes_and_goes(steps in steps(), stay in 0u32..3000, burst in 0u32..30_000) {
        let mut table = Table::default();
        let mut model: HashSet<Vec<u8>> = HashSet::new();
        for number in 10_000..10_000 + stay {
            insert(&mut table, &key(number));
            model.insert(key(number));
        }
        let mut seen = HashSet::new();
        let mut next = Some(0);
        for (at, step) in steps.iter().enumerate() {
            match step {
                Step::Insert(number) if model.insert(key(*number)) => insert(&mut table, &key(*number)),
                Step::Remove(number) => {
                    let removed = table.remove(seed().hash(&key(*number)), &key(*number)).is_some();
                    prop_assert_eq!(removed, model.remove(&key(*number)));
                }
                Step::Scan | Step::Insert(_) => {}
            }
            if at == steps.len() / 2 {
                // Splits every part between two steps of the scan.
                for number in 100_000..100_000 + burst {
                    if model.insert(key(number)) {
                        insert(&mut table, &key(number));
                    }
                }
            }
            if let (Step::Scan, Some(hash)) = (step, next) {
                next = visit(&table, hash, &mut seen);
            }
        }
        while let Some(hash) = next {
            next = visit(&table, hash, &mut seen);
        }
        check(&table);
        prop_assert_eq!(table.len(), model.len());
        for number in 10_000..10_000 + stay {
            prop_assert!(seen.contains(&key(number)), "{} was missed", number);
        }
        for key in &model {
            prop_assert!(table.find(seed().hash(key), key).is_some());
        }
    }
}

fn visit(table: &Table, hash: u64, seen: &mut HashSet<Vec<u8>>) -> Option<u64> {
    let part = table.part(hash)?;
    seen.extend(part.entries().map(|entry| entry.key().to_vec()));
    part.end(hash)
}

#[test]
fn values_live_in_their_entries() {
    let table = filled(10);
    let found = table.find(seed().hash(b"key:3"), b"key:3").unwrap();
    assert!(matches!(found.value(), Value::Text(b"v")));
}
