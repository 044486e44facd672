//! The keyspace against a map, with expiry, scans and several databases.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

const SPREAD: Database = Database(0);
const WHOLE: Database = Database(3);

fn keyspace() -> Keyspace {
    Keyspace::new(Placement::default(), *b"a seed for tests", Settings::default())
}

/// What a map would know of a database.
#[derive(Default)]
struct Model(HashMap<Vec<u8>, (Vec<u8>, Option<u64>)>);

impl Model {
    fn live(&self, key: &[u8], now: u64) -> Option<&(Vec<u8>, Option<u64>)> {
        self.0.get(key).filter(|(_, deadline)| deadline.is_none_or(|deadline| deadline >= now))
    }

    fn live_keys(&self, now: u64) -> HashSet<Vec<u8>> {
        self.0.keys().filter(|key| self.live(key, now).is_some()).cloned().collect()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Set { key: u16, len: u8, ttl: Option<u16> },
    Keep { key: u16, len: u8 },
    Delete(u16),
    Expire { key: u16, ttl: Option<u16> },
    Rename { from: u16, to: u16 },
    Pass(u16),
    Cycle,
    Check,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0u16..600;
    let ttl = || proptest::option::of(0u16..3000);
    prop_oneof![
        8 => (key.clone(), any::<u8>(), ttl()).prop_map(|(key, len, ttl)| Step::Set { key, len, ttl }),
        3 => (key.clone(), any::<u8>()).prop_map(|(key, len)| Step::Keep { key, len }),
        4 => key.clone().prop_map(Step::Delete),
        4 => (key.clone(), ttl()).prop_map(|(key, ttl)| Step::Expire { key, ttl }),
        2 => (key.clone(), key).prop_map(|(from, to)| Step::Rename { from, to }),
        2 => (0u16..400).prop_map(Step::Pass),
        1 => Just(Step::Cycle),
        1 => Just(Step::Check),
    ]
}

fn name(key: u16) -> Vec<u8> {
    format!("key:{key}").into_bytes()
}

fn scan_all(keyspace: &Keyspace, database: Database, count: usize, now: Millis) -> Vec<Vec<u8>> {
    let (mut found, mut cursor) = (Vec::new(), 0);
    loop {
        cursor = keyspace.scan(database, cursor, count, now, |entry| found.push(entry.key().to_vec()));
        if cursor == 0 {
            return found;
        }
    }
}

fn check(keyspace: &mut Keyspace, database: Database, model: &Model, now: u64) -> Result<(), TestCaseError> {
    let now_ms = Millis(now);
    for number in 0..600 {
        let bytes = name(number);
        let key = keyspace.key(database, &bytes);
        let found = keyspace.peek(key, now_ms).map(|entry| {
            (entry.text().expect("all values are strings").to_vec(), entry.deadline().map(|Millis(at)| at))
        });
        prop_assert_eq!(found.as_ref(), model.live(&bytes, now), "{}", number);
    }
    // Everything expired has now been asked for, so the counts are exact.
    let live = model.live_keys(now);
    prop_assert_eq!(keyspace.len(database), live.len() as u64);
    let deadlines = live.iter().filter_map(|key| model.0[key].1).collect::<Vec<_>>();
    prop_assert_eq!(keyspace.deadlines(database), deadlines.len() as u64);
    let mean = deadlines.iter().sum::<u64>().checked_div(deadlines.len() as u64).unwrap_or(now) - now;
    prop_assert_eq!(keyspace.mean_ttl(database, now_ms), mean);
    for count in [1, 10, 5000] {
        let found = scan_all(keyspace, database, count, now_ms);
        prop_assert_eq!(found.len(), live.len(), "without changes a scan sees each key once");
        prop_assert_eq!(&found.into_iter().collect::<HashSet<_>>(), &live);
    }
    let in_slots: usize = Slot::all().map(|slot| keyspace.slot_keys(database, slot, usize::MAX).len()).sum();
    prop_assert_eq!(in_slots, live.len());
    let counted: u64 = Slot::all().map(|slot| keyspace.slot_len(database, slot)).sum();
    prop_assert_eq!(counted, live.len() as u64);
    match keyspace.random_key(database, now_ms) {
        Some(key) => prop_assert!(live.contains(&key)),
        None => prop_assert!(live.is_empty()),
    }
    Ok(())
}

fn act(keyspace: &mut Keyspace, database: Database, model: &mut Model, step: &Step, now: &mut u64) {
    let ms = Millis(*now);
    let at = |ttl: u16| *now + u64::from(ttl);
    match *step {
        Step::Set { key, len, ttl } => {
            let (bytes, value) = (name(key), vec![len; usize::from(len)]);
            let deadline = ttl.map_or(Deadline::Clear, |ttl| Deadline::At(Millis(at(ttl))));
            keyspace.set_text(keyspace.key(database, &bytes), &value, deadline, ms);
            model.0.insert(bytes, (value, ttl.map(at)));
        }
        Step::Keep { key, len } => {
            let (bytes, value) = (name(key), vec![len; usize::from(len)]);
            keyspace.set_text(keyspace.key(database, &bytes), &value, Deadline::Keep, ms);
            let deadline = model.live(&bytes, *now).and_then(|(_, deadline)| *deadline);
            model.0.insert(bytes, (value, deadline));
        }
        Step::Delete(key) => {
            let bytes = name(key);
            let deleted = keyspace.delete(keyspace.key(database, &bytes), ms);
            assert_eq!(deleted, model.live(&bytes, *now).is_some());
            model.0.remove(&bytes);
        }
        Step::Expire { key, ttl } => {
            let bytes = name(key);
            let key = keyspace.key(database, &bytes);
            if keyspace.write(key, ms).is_some() {
                keyspace.set_deadline(key, ttl.map(|ttl| Millis(at(ttl))), ms);
                model.0.get_mut(&bytes).expect("it is live").1 = ttl.map(at);
            }
        }
        Step::Rename { from, to } => {
            let (from, to) = (name(from), name(to));
            if let Some(entry) = keyspace.take(keyspace.key(database, &from), ms) {
                keyspace.put(keyspace.key(database, &to), entry, ms);
                let value = model.0.remove(&from).expect("it is live");
                model.0.insert(to, value);
            }
        }
        Step::Pass(ms) => *now += u64::from(ms),
        Step::Cycle => while keyspace.expire_cycle(ms, 100).more {},
        Step::Check => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_database_is_a_map_with_deadlines(steps in proptest::collection::vec(step(), 0..900)) {
        for database in [SPREAD, WHOLE] {
            let (mut keyspace, mut model) = (keyspace(), Model::default());
            let mut now = 1_700_000_000_000;
            for step in &steps {
                act(&mut keyspace, database, &mut model, step, &mut now);
                if matches!(step, Step::Check) {
                    check(&mut keyspace, database, &model, now)?;
                }
            }
            check(&mut keyspace, database, &model, now)?;
            let before = keyspace.deadlines(database);
            now += 1_000_000;
            while keyspace.expire_cycle(Millis(now), 1000).more {}
            prop_assert_eq!(keyspace.deadlines(database), 0, "active expiry misses nothing");
            prop_assert!(keyspace.next_expiry().is_none());
            prop_assert!(keyspace.stats.expired >= before);
            check(&mut keyspace, database, &model, now)?;
        }
    }

    /// What is there from a scan's start to its end is seen, whatever comes, goes and expires meanwhile.
    #[test]
    fn a_scan_misses_nothing_that_stays(
        stay in 0u32..4000,
        tagged in 0u32..3000,
        count in 1usize..300,
        changes in proptest::collection::vec((0u32..3, 0u32..6000), 0..200),
        database in prop_oneof![Just(SPREAD), Just(WHOLE)],
    ) {
        let mut keyspace = keyspace();
        let now = Millis(1_700_000_000_000);
        let mut staying = HashSet::new();
        for number in 0..stay {
            staying.insert(format!("stay:{number}").into_bytes());
        }
        for number in 0..tagged {
            staying.insert(format!("{{one slot}}:{number}").into_bytes());
        }
        for key in &staying {
            keyspace.set_text(keyspace.key(database, key), b"v", Deadline::Clear, now);
        }
        let (mut seen, mut cursor, mut changes) = (HashSet::new(), 0, changes.into_iter());
        loop {
            cursor = keyspace.scan(database, cursor, count, now, |entry| { seen.insert(entry.key().to_vec()); });
            if cursor == 0 {
                break;
            }
            if let Some((kind, number)) = changes.next() {
                for number in number..number + 300 {
                    let bytes = format!("{{one slot}}:come and go:{number}").into_bytes();
                    let key = keyspace.key(database, &bytes);
                    match kind {
                        0 => keyspace.set_text(key, b"v", Deadline::Clear, now),
                        1 => keyspace.set_text(key, b"v", Deadline::At(Millis(now.0 - 1)), now),
                        _ => { keyspace.delete(key, now); }
                    }
                }
            }
        }
        let missed: Vec<_> = staying.difference(&seen).collect();
        prop_assert!(missed.is_empty(), "{} keys missed", missed.len());
    }
}

#[test]
fn a_small_slot_is_scanned_in_one_step_and_a_large_one_in_many() {
    for keys in [1000u32, 1001] {
        let mut keyspace = keyspace();
        let now = Millis(5);
        for number in 0..keys {
            let bytes = format!("{{tag}}{number}");
            keyspace.set_text(keyspace.key(SPREAD, bytes.as_bytes()), b"v", Deadline::Clear, now);
        }
        let (mut cursor, mut taken) = (0, 0);
        loop {
            cursor = keyspace.scan(SPREAD, cursor, 10, now, |_| {});
            taken += 1;
            if cursor == 0 {
                break;
            }
        }
        assert!(if keys > 1000 { taken > 10 } else { taken == 1 }, "{keys} keys in {taken} steps");
    }
}

#[test]
fn a_key_lives_until_its_deadline_and_not_longer() {
    let mut keyspace = keyspace();
    let bytes = b"key";
    let key = keyspace.key(SPREAD, bytes);
    keyspace.set_text(key, b"v", Deadline::At(Millis(1000)), Millis(1));
    assert!(keyspace.peek(key, Millis(1000)).is_some());
    assert!(keyspace.peek(key, Millis(1001)).is_none());
    assert_eq!((keyspace.stats.expired, keyspace.len(SPREAD)), (1, 0));
}

#[test]
fn active_expiry_stops_when_its_budget_ends_and_finishes_later() {
    let mut keyspace = keyspace();
    for number in 0..20_000u32 {
        let bytes = number.to_be_bytes();
        keyspace.set_text(keyspace.key(SPREAD, &bytes), b"v", Deadline::At(Millis(500)), Millis(1));
    }
    let first = keyspace.expire_cycle(Millis(10_000), 1000);
    assert!(first.more && first.expired > 300 && first.expired < 1500, "{first:?}");
    let mut turns = 1;
    while keyspace.expire_cycle(Millis(10_000), 1000).more {
        turns += 1;
    }
    assert!(turns < 100, "{turns} turns");
    assert_eq!((keyspace.len(SPREAD), keyspace.stats.expired), (0, 20_000));
}

#[test]
fn a_part_with_many_deadlines_is_not_visited_for_each_of_them() {
    let mut keyspace = keyspace();
    for number in 0..60u64 {
        let bytes = number.to_be_bytes();
        let deadline = Deadline::At(Millis(1000 + number * 10));
        keyspace.set_text(keyspace.key(WHOLE, &bytes), b"v", deadline, Millis(1));
    }
    let mut visits = 0;
    for now in 1000..3000 {
        visits += u32::from(keyspace.expire_cycle(Millis(now), 1000).expired > 0);
    }
    assert!(visits < 8, "{visits} visits");
    assert_eq!(keyspace.len(WHOLE), 0);
}

#[test]
fn databases_are_swapped_and_flushed_with_all_they_have() {
    let (mut keyspace, now) = (keyspace(), Millis(1));
    for number in 0..500u32 {
        let bytes = number.to_be_bytes();
        keyspace.set_text(keyspace.key(SPREAD, &bytes), b"spread", Deadline::At(Millis(50)), now);
    }
    keyspace.set_text(keyspace.key(WHOLE, b"one"), b"whole", Deadline::Clear, now);
    keyspace.swap(SPREAD, WHOLE);
    assert_eq!((keyspace.len(SPREAD), keyspace.len(WHOLE)), (1, 500));
    let key = keyspace.key(SPREAD, b"one");
    assert_eq!(keyspace.read(key, now).and_then(Entry::text), Some(&b"whole"[..]));
    for number in 0..500u32 {
        let bytes = number.to_be_bytes();
        assert!(keyspace.read(keyspace.key(WHOLE, &bytes), now).is_some());
    }
    assert_eq!(scan_all(&keyspace, WHOLE, 10, now).len(), 500);
    while keyspace.expire_cycle(Millis(1000), 100).more {}
    assert_eq!((keyspace.len(SPREAD), keyspace.len(WHOLE)), (1, 0));
    assert!(keyspace.take_garbage().is_none());
    assert_eq!((keyspace.flush_all(), keyspace.len(SPREAD)), (1, 0));
    assert!(keyspace.take_garbage().is_some() && keyspace.take_garbage().is_none());
}

#[test]
fn looking_ahead_finds_the_same_places() {
    let (mut keyspace, now) = (keyspace(), Millis(1));
    let names: Vec<Vec<u8>> = (0..20_000).map(name).collect();
    for bytes in &names {
        keyspace.set_text(keyspace.key(SPREAD, bytes), b"v", Deadline::Clear, now);
    }
    let mut places = Vec::new();
    keyspace.prefetch(names.iter().map(|bytes| (SPREAD, bytes.as_slice())), &mut places);
    let expected: Vec<Place> = names.iter().map(|bytes| keyspace.place(SPREAD, bytes)).collect();
    assert_eq!(places, expected);
}

#[test]
fn a_long_string_keeps_the_buffer_of_its_request_and_a_short_or_small_part_does_not() {
    let mut keyspace = keyspace();
    let request = Arc::new([b"SET k ".as_slice(), &[b'v'; 100_000], b"\r\n"].concat());
    let own = &request[6..100_006];
    let key = keyspace.key(SPREAD, b"k");
    let place = |keyspace: &Keyspace| keyspace.seen(key, Millis(1)).and_then(Entry::text).map(<[u8]>::as_ptr);
    keyspace.lend(Some(&request));
    keyspace.set_text(key, own, Deadline::Clear, Millis(1));
    assert_eq!(place(&keyspace), Some(own.as_ptr()));
    keyspace.set_text(key, &own[..70_000], Deadline::Clear, Millis(1));
    assert_ne!(place(&keyspace), Some(own.as_ptr()), "too much else would be kept with it");
    keyspace.lend(None);
    keyspace.set_text(key, own, Deadline::Clear, Millis(1));
    assert_ne!(place(&keyspace), Some(own.as_ptr()), "nobody lent it");
}
