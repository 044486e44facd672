//! What is written reads back: the same values, kept the same way, whatever their types and sizes.

use std::io::Read;

use proptest::prelude::*;

use super::*;
use crate::keyspace::Keyspace;
use crate::keyspace::eviction::Policy;
use crate::keyspace::load::{Builder, Came};
use crate::keyspace::usage::{Usage, idle_seconds};
use slotway_cluster::Placement;

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => any::<i16>().prop_map(|number| number.to_string().into_bytes()),
        2 => any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        4 => "[a-z]{0,12}".prop_map(String::into_bytes),
        2 => proptest::collection::vec(any::<u8>(), 0..70),
        1 => (any::<u8>(), 0usize..6000).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-1000i32..1000).prop_map(f64::from),
        any::<f64>().prop_filter("scores are numbers", |score| !score.is_nan()
            && score.to_bits() != (-0.0f64).to_bits()),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
    ]
}

fn plain() -> impl Strategy<Value = Plain> {
    use proptest::collection::{btree_map, btree_set, vec};
    prop_oneof![
        word().prop_map(Plain::Text),
        (65_000usize..70_000).prop_map(|len| Plain::Text(vec![b'x'; len])),
        btree_map(word(), word(), 1..40).prop_map(Plain::Hash),
        vec(word(), 1..60).prop_map(Plain::List),
        btree_set(any::<i32>(), 1..40)
            .prop_map(|all| Plain::Set(all.iter().map(|one| one.to_string().into_bytes()).collect())),
        btree_set(word(), 1..40).prop_map(Plain::Set),
        btree_map(word(), score(), 1..40).prop_map(|all| {
            let mut elements: Vec<_> = all.into_iter().map(|(member, score)| (score, member)).collect();
            elements.sort_by(|one, other| one.partial_cmp(other).unwrap());
            Plain::SortedSet(elements)
        }),
    ]
}

/// Limits that small collections exceed, and those of Redis.
fn settings() -> impl Strategy<Value = Settings> {
    prop_oneof![
        Just(Settings::default()),
        Just(Settings {
            hash_packed_fields_max: 5,
            hash_packed_value_bytes_max: 20,
            list_packed_max: 7,
            set_integers_max: 8,
            set_packed_members_max: 6,
            set_packed_value_bytes_max: 20,
            sorted_set_packed_members_max: 5,
            sorted_set_packed_value_bytes_max: 20,
            ..Settings::default()
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_value_reads_back_and_is_kept_as_it_was(
        values in proptest::collection::vec((plain(), any::<Option<u32>>()), 0..12),
        settings in settings(),
        compress: bool,
    ) {
        let form = Form { compress, noted: Noted::Nothing };
        let entries: Vec<Entry> = values.iter().enumerate().map(|(nth, (plain, deadline))| {
            let entry = plain.entry(format!("key:{nth}").as_bytes(), settings);
            match deadline {
                Some(at) => entry.with_deadline(Millis(u64::from(*at))),
                None => entry,
            }
        }).collect();
        let records = read_all(&file(&entries, form), settings).unwrap();
        prop_assert_eq!(records.len(), entries.len());
        for (record, entry) in records.iter().zip(&entries) {
            prop_assert_eq!(record.entry.key(), entry.key());
            prop_assert_eq!(record.entry.deadline(), entry.deadline());
            prop_assert_eq!(Plain::of(&record.entry), Plain::of(entry));
            prop_assert_eq!(kept(&record.entry), kept(entry));
        }
    }

    #[test]
    fn the_value_of_a_dump_reads_back(plain in plain(), settings in settings(), compress: bool) {
        let mut payload = Vec::new();
        write::dump(&mut payload, &plain.entry(b"from", settings), Form { compress, noted: Noted::Nothing });
        let body = crate::rdb::read::dump_body(&payload).unwrap();
        let entry = crate::rdb::read::dump(body, b"to", seed(), settings).unwrap().unwrap();
        prop_assert_eq!(entry.key(), b"to");
        prop_assert_eq!(Plain::of(&entry), plain);
    }
}

/// Gives a few bytes at a time.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1 = self.1 % 13 + 1;
        let count = self.1.min(buffer.len());
        self.0.read(&mut buffer[..count])
    }
}

#[test]
fn large_collections_and_strings_read_back_however_the_bytes_come() {
    let name = |nth: usize| format!("element number {nth}").into_bytes();
    let settings = Settings::default();
    let values = [
        Plain::Text(vec![b'l'; 3_000_000]),
        Plain::Hash((0..3000).map(|nth| (name(nth), name(nth * 2))).collect()),
        Plain::List((0..30_000).map(name).collect()),
        Plain::List(vec![vec![b'x'; 300_000], b"short".to_vec(), vec![b'y'; 100_000]]),
        Plain::Set((0..3000).map(name).collect()),
        Plain::Set((0..3000).map(|nth: u32| (nth * nth).to_string().into_bytes()).collect()),
        Plain::SortedSet((0..3000u32).map(|nth| (f64::from(nth) / 8.0, name(nth as usize))).collect()),
    ];
    for form in [PLAIN, COMPRESSED] {
        let entries: Vec<Entry> = values.iter().map(|plain| plain.entry(b"k", settings)).collect();
        let bytes = file(&entries, form);
        let stream = [&bytes[..], b"what follows"].concat();
        let mut reader = Reader::new(Trickle(&stream, 0), seed(), settings);
        let mut read = Vec::new();
        while let Some(item) = reader.next().unwrap() {
            if let Item::Key(record) = item {
                read.push(record.entry);
            }
        }
        assert_eq!(reader.offset(), u64::try_from(bytes.len()).unwrap());
        let (mut rest, mut tail) = reader.into_parts();
        rest.read_to_end(&mut tail).unwrap();
        assert_eq!(tail, b"what follows");
        for ((read, entry), plain) in read.iter().zip(&entries).zip(&values) {
            assert!(Plain::of(read) == *plain);
            assert_eq!(kept(read), kept(entry));
        }
    }
}

#[test]
fn a_collection_written_element_by_element_reads_back() {
    let settings = Settings::default();
    let long = |nth: u8| vec![nth; 70];
    let hash = Plain::Hash((0..9).map(|nth| (long(nth), long(nth + 1))).collect());
    let set = Plain::Set((0..9).map(long).collect());
    let list = Plain::List((0..200).map(long).collect());
    let sorted = Plain::SortedSet((0..9u8).map(|nth| (f64::from(nth), long(nth))).collect());
    let mut out = b"REDIS0010".to_vec();
    let head = |out: &mut Vec<u8>, kind, count| {
        write::collection_head(out, kind, b"k", Some(Millis(7)), 0, count, COMPRESSED);
    };
    for (kind, plain) in [(write::Kind::Hash, &hash), (write::Kind::Set, &set)] {
        let entry = plain.entry(b"k", settings);
        let crate::keyspace::entry::Value::Object(Object::Hash(table) | Object::Set(table)) = entry.value()
        else {
            panic!("long words make a table")
        };
        head(&mut out, kind, 9);
        table.iter().for_each(|element| write::element(&mut out, kind, element, COMPRESSED));
    }
    let entry = list.entry(b"k", settings);
    let whole = entry.list().unwrap();
    head(&mut out, write::Kind::List, u64::try_from(whole.run_count()).unwrap());
    whole.runs().for_each(|run| write::run(&mut out, run, COMPRESSED));
    head(&mut out, write::Kind::SortedSet, 9);
    for nth in [3, 1, 4, 0, 5, 8, 2, 6, 7u8] {
        let element = Entry::new(&long(nth), Kept::Text, &f64::from(nth).to_le_bytes());
        write::element(&mut out, write::Kind::SortedSet, &element, COMPRESSED);
    }
    let records = read_all(&finish(out), settings).unwrap();
    assert!(records.iter().all(|record| record.entry.deadline() == Some(Millis(7))));
    let read: Vec<Plain> = records.iter().map(|record| Plain::of(&record.entry)).collect();
    assert_eq!(read, [hash, set, list, sorted]);
}

#[test]
fn what_is_noted_of_a_keys_use_is_told_as_the_policy_asks_and_known_again() {
    let counts = Usage::Frequency { log_factor: 10, decay_minutes: 1 };
    let mut recent = Settings { policy: Policy::named("allkeys-lru"), ..Settings::default() };
    let mut frequent =
        Settings { policy: Policy::named("allkeys-lfu"), usage: counts, ..Settings::default() };
    for settings in [&mut recent, &mut frequent] {
        let mut keyspace = Keyspace::new(Placement::default(), [1; 16], *settings);
        let key = keyspace.key(Database(0), b"k");
        keyspace.insert(key, Entry::with_text(b"k", b"v"), NOW);
        (0..50).for_each(|_| assert!(keyspace.read(key, NOW).is_some()));
        let later = Millis(NOW.0 + 100_000);
        let before = keyspace.look(key, later).unwrap();
        let told = (settings.usage.frequency(before, later), idle_seconds(before, later));
        let form = Form::new(settings, later);
        let bytes = file(std::slice::from_ref(before), form);
        let record = read_all(&bytes, *settings).unwrap().remove(0);
        let mut other = Keyspace::new(Placement::default(), [2; 16], *settings);
        assert!(
            other
                .load(Record::new(record.database, record.entry, record.known, &other.seed()), later)
                .is_ok()
        );
        let key = other.key(Database(0), b"k");
        let after = other.look(key, later).unwrap();
        let is_same = match told.0 {
            Some(count) => settings.usage.frequency(after, later) == Some(count),
            None => idle_seconds(after, later) == told.1,
        };
        assert!(is_same, "{told:?}");
    }
    let silent = Form::new(&Settings::default(), NOW);
    assert!(matches!(silent.noted, Noted::Nothing));
}

#[test]
fn a_key_is_loaded_once_into_its_database_with_its_deadline() {
    // Database 0 is spread, 5 is whole.
    let mut keyspace = Keyspace::new(Placement::default(), [3; 16], Settings::default());
    let load = |keyspace: &mut Keyspace, database, text: &[u8]| {
        let entry = Entry::with_text(b"k", text).with_deadline(Millis(NOW.0 + 500));
        let record = Record::new(Database(database), entry, None, &keyspace.seed());
        keyspace.load(record, NOW).is_ok()
    };
    assert!(load(&mut keyspace, 0, b"zero") && load(&mut keyspace, 5, b"five"));
    assert!(!load(&mut keyspace, 5, b"again"));
    for (database, text) in [(0, &b"zero"[..]), (5, b"five")] {
        let key = keyspace.key(Database(database), b"k");
        assert_eq!(keyspace.read(key, NOW).and_then(Entry::text), Some(text));
        assert!(keyspace.read(key, Millis(NOW.0 + 501)).is_none());
    }
}

#[test]
fn a_sorted_set_may_come_in_any_order_unless_it_is_packed() {
    let mut builder = Builder::new(seed(), Settings::default());
    for (scores, came, fits) in [
        ([1.0, 2.0, 3.0], Came::InOrder, true),
        ([3.0, 2.0, 1.0], Came::InOrder, false),
        ([3.0, 2.0, 1.0], Came::InAnyOrder, true),
        ([2.0, 3.0, 1.0], Came::InAnyOrder, true),
    ] {
        let mut set = builder.sorted_set();
        for (score, member) in scores.iter().zip([b"a", b"b", b"c"]) {
            set.push(*score, member).unwrap();
        }
        assert_eq!(set.finish(b"z", came).is_ok(), fits, "{scores:?} {came:?}");
    }
}
