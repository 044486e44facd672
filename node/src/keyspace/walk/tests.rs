//! Walks against a deep copy of the keyspace, taken when each began, whatever is written meanwhile.

mod history;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use slotway_cluster::Placement;
use slotway_cluster::slot::DATABASES;
use slotway_commands::lookup;
use slotway_resp::{Limits, OwnedRequest, Parser, Version};

use super::*;
use crate::call::{Call, Millis};
use crate::dispatch::{self, Handler};
use crate::keyspace::eviction::Policy;
use crate::keyspace::object::Object;
use crate::keyspace::{Expired, Settings};
use crate::rdb::read::{Item, Reader};
use crate::rdb::{Form, Noted, write};

const SPREAD: Database = Database(0);
const WHOLE: Database = Database(3);
const NOW: Millis = Millis(1_700_000_000_000);
const FORM: Form = Form { compress: true, noted: Noted::Nothing };
const RECORDS: Wording = Wording::Records(FORM);

/// A value, however it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Text(Vec<u8>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    List(Vec<Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    /// Scores by their bits.
    SortedSet(BTreeMap<Vec<u8>, u64>),
}

/// Keys, by database and name, with their deadlines.
type Copy = HashMap<(u8, Vec<u8>), (Value, Option<Millis>)>;

fn value_of(entry: &Entry) -> Value {
    if let Some(text) = entry.text() {
        return Value::Text(text.to_vec());
    }
    if let Some(hash) = entry.hash() {
        let mut fields = BTreeMap::new();
        hash.for_each(|field, value| _ = fields.insert(field.to_vec(), value.to_vec()));
        return Value::Hash(fields);
    }
    if let Some(list) = entry.list() {
        let mut digits = itoa::Buffer::new();
        return Value::List(list.iter().map(|element| element.text(&mut digits).to_vec()).collect());
    }
    if let Some(set) = entry.set() {
        let mut members = BTreeSet::new();
        set.for_each(|member| member.with_text(|text| _ = members.insert(text.to_vec())));
        return Value::Set(members);
    }
    let mut scores = BTreeMap::new();
    let set = entry.sorted_set().expect("there are five types");
    set.for_each(|score, member| _ = scores.insert(member.to_vec(), score.to_bits()));
    Value::SortedSet(scores)
}

/// Everything that the keyspace holds, expired or not.
fn copy_of(keyspace: &Keyspace) -> Copy {
    let mut copy = Copy::new();
    for number in 0..DATABASES {
        for entry in keyspace.contents[usize::from(number)].tables().flat_map(|table| table.iter()) {
            copy.insert((number, entry.key().to_vec()), (value_of(entry), entry.deadline()));
        }
    }
    copy
}

/// What a walk has written, each key of which must be there once.
fn read(keyspace: &Keyspace, pieces: &[u8]) -> Copy {
    let mut copy = Copy::new();
    for (database, entry) in read_entries(keyspace, pieces) {
        let before = copy.insert((database.0, entry.key().to_vec()), (value_of(&entry), entry.deadline()));
        assert!(before.is_none(), "{:?} is in the walk twice", String::from_utf8_lossy(entry.key()));
    }
    copy
}

/// What the commands of a walk make, where nothing was before.
fn obey(pieces: &[u8]) -> Copy {
    let (mut keyspace, mut database, mut from) = (keyspace(), SPREAD, 0);
    keyspace.expired = Expired::Present;
    while from < pieces.len() {
        let mut parser = Parser::default();
        let at =
            parser.next(&pieces[from..], &Limits::CLIENT).unwrap().expect("a walk writes whole commands");
        let request = parser.request(&pieces[from..], at);
        let words: Vec<&[u8]> = request.words().collect();
        assert!(words.len() <= 2 + 2 * 64, "no command is long");
        if words[0] == b"SELECT" {
            database = Database(std::str::from_utf8(words[1]).unwrap().parse().unwrap());
        } else {
            let reply = run(&mut keyspace, database, NOW, &words);
            assert!(matches!(reply[0], b'+' | b':'), "{}", String::from_utf8_lossy(&reply));
        }
        from += at.end();
    }
    copy_of(&keyspace)
}

fn read_entries(keyspace: &Keyspace, pieces: &[u8]) -> Vec<(Database, Entry)> {
    let mut file = Vec::new();
    write::header(&mut file, &[]);
    file.extend_from_slice(pieces);
    write::end(&mut file, None);
    let mut reader = Reader::new(file.as_slice(), keyspace.seed(), keyspace.settings);
    let mut entries = Vec::new();
    while let Some(item) = reader.next().expect("a walk writes what can be read") {
        if let Item::Key(record) = item {
            entries.push((record.database, record.entry));
        }
    }
    assert_eq!(reader.skipped_empty(), 0);
    entries
}

/// Says how two copies differ, rather than printing both.
fn assert_same(walked: &Copy, expected: &Copy) {
    for (key, value) in expected {
        let name = String::from_utf8_lossy(&key.1);
        let found = walked.get(key).unwrap_or_else(|| panic!("{name} of database {} is missing", key.0));
        assert!(
            found == value,
            "{name} of database {} is not as it was: {}",
            key.0,
            difference(found, value)
        );
    }
    let more = walked.keys().find(|key| !expected.contains_key(*key));
    assert!(more.is_none(), "{more:?} was not there");
}

fn difference(found: &(Value, Option<Millis>), value: &(Value, Option<Millis>)) -> String {
    if found.1 != value.1 {
        return format!("deadline {:?} instead of {:?}", found.1, value.1);
    }
    let len = |value: &Value| match value {
        Value::Text(text) => text.len(),
        Value::Hash(fields) => fields.len(),
        Value::List(elements) => elements.len(),
        Value::Set(members) => members.len(),
        Value::SortedSet(scores) => scores.len(),
    };
    format!("{} elements or bytes instead of {}", len(&found.0), len(&value.0))
}

/// Small thresholds, so that most collections are tables and lists of chunks.
fn settings() -> Settings {
    Settings {
        hash_packed_fields_max: 6,
        set_integers_max: 6,
        set_packed_members_max: 6,
        sorted_set_packed_members_max: 6,
        list_packed_max: 6,
        ..Settings::default()
    }
}

fn keyspace() -> Keyspace {
    Keyspace::new(Placement::default(), *b"a seed for tests", settings())
}

/// Runs a command as a client would. What it answers does not matter here.
fn run<W: AsRef<[u8]>>(keyspace: &mut Keyspace, database: Database, now: Millis, words: &[W]) -> Vec<u8> {
    let request = OwnedRequest::new(words.iter().map(AsRef::as_ref));
    let request = request.view();
    let Ok(row) = lookup::resolve(request) else {
        panic!("no such command: {:?}", String::from_utf8_lossy(words[0].as_ref()))
    };
    let Handler::Data(act) = dispatch::of(row.id) else { panic!("{} does not work on keys", row.name) };
    let mut out = Vec::new();
    let call = &mut Call {
        request,
        database,
        version: Version::Resp2,
        keyspace,
        now,
        out: &mut out,
        splices: None,
        places: &[],
    };
    match act(call) {
        Ok(()) => out,
        Err(refusal) => refusal.as_bytes().to_vec(),
    }
}

fn set(keyspace: &mut Keyspace, database: Database, key: &str, value: &str) {
    assert_eq!(run(keyspace, database, NOW, &["SET", key, value]), b"+OK\r\n");
}

fn finish(keyspace: &mut Keyspace, id: WalkId, out: &mut Vec<u8>) {
    while keyspace.walk(id, out, 5000) == Progress::More {}
}

/// Nothing is left of any walk.
fn assert_clean(keyspace: &mut Keyspace) {
    assert!(!keyspace.walks.is_on());
    assert_eq!(keyspace.walks.estate_len(), 0, "nothing is kept for walks that are over");
    assert!(keyspace.garbage.take_frozen().is_empty());
    for contents in &mut keyspace.contents {
        contents.for_each_mut(|entry| {
            let frozen = entry.object_mut().and_then(Object::frozen_mut);
            assert!(frozen.is_none_or(|frozen| frozen.is_none()), "nobody walks, nothing is frozen");
        });
    }
}

/// Walks at once and compares.
fn check_walk(keyspace: &mut Keyspace) {
    let expected = copy_of(keyspace);
    for wording in [RECORDS, Wording::Commands] {
        let id = keyspace.begin_walk(Scope::All, wording).expect("there is room for a walk");
        let mut out = Vec::new();
        finish(keyspace, id, &mut out);
        keyspace.end_walk(id);
        assert_same(&told(keyspace, &out, wording), &expected);
    }
}

/// What a walk has told in these words.
fn told(keyspace: &Keyspace, pieces: &[u8], wording: Wording) -> Copy {
    match wording {
        Wording::Records(_) => read(keyspace, pieces),
        Wording::Commands => obey(pieces),
    }
}

#[test]
fn an_empty_keyspace_ends_at_once_and_writes_nothing() {
    let mut keyspace = keyspace();
    let id = keyspace.begin_walk(Scope::All, RECORDS).unwrap();
    let mut out = Vec::new();
    assert_eq!(keyspace.walk(id, &mut out, usize::MAX), Progress::Ended);
    assert!(out.is_empty());
    keyspace.end_walk(id);
    assert_clean(&mut keyspace);
}

#[test]
fn eight_walks_may_go_at_once_and_a_ninth_is_refused() {
    let mut keyspace = keyspace();
    let mut walks = Vec::new();
    for number in 0..WALKS_MAX {
        set(&mut keyspace, SPREAD, "counter", &number.to_string());
        walks.push((keyspace.begin_walk(Scope::All, RECORDS).unwrap(), copy_of(&keyspace)));
    }
    assert_eq!(keyspace.begin_walk(Scope::All, RECORDS), None);
    for (id, expected) in walks {
        let mut out = Vec::new();
        finish(&mut keyspace, id, &mut out);
        keyspace.end_walk(id);
        assert_same(&read(&keyspace, &out), &expected);
    }
    let id = keyspace.begin_walk(Scope::All, RECORDS).expect("those that are over leave room");
    keyspace.end_walk(id);
    assert_clean(&mut keyspace);
}

#[test]
fn every_key_is_set_aside_once_when_all_are_overwritten() {
    let mut keyspace = keyspace();
    let keys: Vec<String> = (0..20_000).map(|number| format!("key:{number}")).collect();
    for key in &keys {
        set(&mut keyspace, WHOLE, key, "a value of some length");
    }
    let copied = |entry: &Entry| entry.allocated() + walks::COPY_BYTES;
    let bytes: usize = keyspace.contents[3].tables().flat_map(|table| table.iter()).map(copied).sum();
    let expected = copy_of(&keyspace);
    let id = keyspace.begin_walk(Scope::All, RECORDS).unwrap();
    assert_eq!(keyspace.set_aside_bytes(id), 0);
    set(&mut keyspace, WHOLE, &keys[0], "b");
    assert!(keyspace.set_aside_bytes(id) <= 88, "one key is set aside, not its neighbours");
    set(&mut keyspace, WHOLE, "a new key", "b");
    assert!(keyspace.set_aside_bytes(id) <= 88, "nothing for what was not there");
    for round in 0..3 {
        for key in &keys {
            set(&mut keyspace, WHOLE, key, &round.to_string());
        }
        assert_eq!(keyspace.set_aside_bytes(id), bytes, "each key once, as it was");
    }
    let mut out = Vec::new();
    finish(&mut keyspace, id, &mut out);
    assert_eq!(keyspace.set_aside_bytes(id), 0, "what is written is not kept");
    keyspace.end_walk(id);
    assert_same(&read(&keyspace, &out), &expected);
    assert_clean(&mut keyspace);
}

#[test]
fn while_a_walk_is_as_fast_as_its_writers_next_to_nothing_is_set_aside() {
    let mut keyspace = keyspace();
    let count = 50_000;
    for number in 0..count {
        set(&mut keyspace, WHOLE, &format!("key:{number}"), "a value of some length");
    }
    let expected = copy_of(&keyspace);
    let id = keyspace.begin_walk(Scope::All, RECORDS).unwrap();
    let (mut out, mut most, mut number) = (Vec::new(), 0, 0);
    // All keys are overwritten, far from each other, while the walk writes two for each of them.
    loop {
        for _ in 0..50 {
            number = (number + 7919) % count;
            set(&mut keyspace, WHOLE, &format!("key:{number}"), "another value of about this length");
        }
        most = most.max(keyspace.set_aside_bytes(id));
        if keyspace.walk(id, &mut out, 100 * 170) == Progress::Ended {
            break;
        }
    }
    assert!(most <= 50 * 120, "{most} bytes were set aside");
    keyspace.end_walk(id);
    assert_same(&read(&keyspace, &out), &expected);
    assert_clean(&mut keyspace);
}

#[test]
fn of_walks_that_began_one_after_the_other_each_is_told_of_what_changed_since_its_start() {
    for (database, tag) in [(SPREAD, "{one slot}"), (WHOLE, "")] {
        let mut keyspace = keyspace();
        let name = |number: usize| format!("{tag}{number}");
        for number in 0..2000 {
            set(&mut keyspace, database, &name(number), "old");
        }
        let mut walks = Vec::new();
        for round in 0..5 {
            walks.push((keyspace.begin_walk(Scope::All, RECORDS).unwrap(), copy_of(&keyspace), Vec::new()));
            for number in (round..2000).step_by(7) {
                set(&mut keyspace, database, &name(number), &round.to_string());
            }
            for number in (round * 100..round * 100 + 40).chain(2000 + round..2300) {
                run(&mut keyspace, database, NOW, &["DEL", &name(number)]);
                set(&mut keyspace, database, &name(number + 1000), "new");
            }
            for (id, _, out) in &mut walks {
                keyspace.walk(*id, out, 3000);
            }
        }
        for (id, expected, mut out) in walks {
            finish(&mut keyspace, id, &mut out);
            keyspace.end_walk(id);
            assert_same(&read(&keyspace, &out), &expected);
        }
        assert_clean(&mut keyspace);
    }
}

#[test]
fn splits_and_merges_during_a_walk_lose_and_double_nothing() {
    for (database, tag) in [(SPREAD, "{one slot}"), (WHOLE, "")] {
        let mut keyspace = keyspace();
        for number in 0..3000 {
            set(&mut keyspace, database, &format!("{tag}{number}"), "old");
        }
        let expected = copy_of(&keyspace);
        let id = keyspace.begin_walk(Scope::All, RECORDS).unwrap();
        let mut out = Vec::new();
        for number in 3000..20_000 {
            set(&mut keyspace, database, &format!("{tag}{number}"), "new");
            if number % 100 == 0 {
                keyspace.walk(id, &mut out, 400);
            }
        }
        for number in 0..20_000 {
            run(&mut keyspace, database, NOW, &["DEL", &format!("{tag}{number}")]);
            if number % 100 == 0 {
                keyspace.walk(id, &mut out, 400);
            }
        }
        finish(&mut keyspace, id, &mut out);
        keyspace.end_walk(id);
        assert_same(&read(&keyspace, &out), &expected);
        assert_clean(&mut keyspace);
    }
}

#[test]
fn a_walk_given_up_half_way_leaves_nothing_and_the_next_is_right() {
    let mut keyspace = keyspace();
    for number in 0..500 {
        set(&mut keyspace, SPREAD, &format!("key:{number}"), "v");
        let (key, member) = (format!("set:{}", number % 5), format!("member:{number}"));
        run(&mut keyspace, WHOLE, NOW, &["SADD", &key, &member]);
        run(&mut keyspace, WHOLE, NOW, &["RPUSH", "list", &member]);
    }
    for pieces in 0..20 {
        let id = keyspace.begin_walk(Scope::All, RECORDS).unwrap();
        let mut out = Vec::new();
        for round in 0..pieces {
            keyspace.walk(id, &mut out, 300);
            run(&mut keyspace, WHOLE, NOW, &["SADD", &format!("set:{}", round % 5), &round.to_string()]);
            run(&mut keyspace, WHOLE, NOW, &["LPOP", "list"]);
            set(&mut keyspace, SPREAD, &format!("key:{round}"), "w");
        }
        run(&mut keyspace, WHOLE, NOW, &["DEL", "set:4"]);
        if pieces % 3 == 0 {
            run(&mut keyspace, WHOLE, NOW, &["FLUSHDB"]);
        }
        keyspace.end_walk(id);
        assert_clean(&mut keyspace);
        assert!(keyspace.take_garbage().is_none_or(|garbage| garbage.bytes() < 1 << 30));
        run(&mut keyspace, WHOLE, NOW, &["SADD", "set:4", "a", "b", "c", "d", "e", "f", "g", "h"]);
        check_walk(&mut keyspace);
        assert_clean(&mut keyspace);
    }
}

#[test]
fn a_set_of_a_million_members_is_walked_while_it_is_written_and_no_step_is_long() {
    let members = 1_000_000;
    let mut keyspace = keyspace();
    for first in (0..members).step_by(1000) {
        let mut words = vec!["SADD".to_owned(), "large".to_owned()];
        words.extend((first..first + 1000).map(|number| format!("member:{number}")));
        run(&mut keyspace, SPREAD, NOW, &words);
    }
    let id = keyspace.begin_walk(Scope::All, RECORDS).unwrap();
    let (mut out, mut longest, mut written) = (Vec::new(), 0, 0);
    loop {
        let before = out.len();
        let progress = keyspace.walk(id, &mut out, 10_000);
        longest = longest.max(out.len() - before);
        if progress == Progress::Ended {
            break;
        }
        for _ in 0..20 {
            let aside = keyspace.set_aside_bytes(id);
            let (old, new) = (format!("member:{}", (written * 7919) % members), format!("new:{written}"));
            run(&mut keyspace, SPREAD, NOW, &["SREM", "large", &old]);
            run(&mut keyspace, SPREAD, NOW, &["SADD", "large", &new]);
            written += 1;
            assert!(keyspace.set_aside_bytes(id) - aside <= 2 * 120 * 56, "two parts at most are set aside");
        }
    }
    assert!(longest <= 15_000, "{longest} bytes in one piece of 10,000");
    keyspace.end_walk(id);
    let entries = read_entries(&keyspace, &out);
    let [(SPREAD, entry)] = entries.as_slice() else { panic!("there is one key") };
    let (walked, seed) = (entry.set().expect("it is a set"), keyspace.seed());
    assert_eq!(walked.len(), members, "as many as there were at the start");
    assert!((0..members).all(|number| walked.contains(&seed, format!("member:{number}").as_bytes())));
    assert_clean(&mut keyspace);
}

#[test]
fn a_collection_is_found_again_wherever_its_key_goes() {
    type Step = [&'static str; 3];
    let histories: &[&[Step]] = &[
        &[["RENAME", "large", "b"]],
        &[["RENAME", "large", "b"], ["RENAME", "b", "a"], ["SADD", "a", "x"]],
        &[["MOVE", "large", "3"], ["SET", "large", "v"]],
        &[["SWAPDB", "0", "3"], ["SADD", "large", "x"]],
        &[["MOVE", "large", "3"], ["SWAPDB", "0", "3"], ["SREM", "large", "member:1"]],
        &[["DEL", "large", "b"], ["SADD", "large", "x"]],
        &[["SET", "large", "v"], ["DEL", "large", "large"]],
        &[["COPY", "large", "b"], ["DEL", "large", "large"], ["RENAME", "b", "large"]],
        &[["SPOP", "large", "5000"], ["SADD", "large", "x"]],
        &[["SPOP", "large", "300"], ["SADD", "large", "x"]],
        &[["RENAME", "large", "b"], ["SET", "b", "v"]],
        &[["MOVE", "large", "5"], ["SWAPDB", "5", "6"], ["SWAPDB", "6", "0"], ["SREM", "large", "member:1"]],
    ];
    for history in histories {
        for begun in [0, 1, 2000] {
            for ending in ["", "FLUSHDB", "FLUSHALL"] {
                let mut keyspace = keyspace();
                let mut words = vec!["SADD".to_owned(), "large".to_owned()];
                words.extend((0..1000).map(|number| format!("member:{number}")));
                run(&mut keyspace, SPREAD, NOW, &words);
                let expected = copy_of(&keyspace);
                let id = keyspace.begin_walk(Scope::All, RECORDS).unwrap();
                let mut out = Vec::new();
                run(&mut keyspace, SPREAD, NOW, &["SADD", "large", "new"]);
                if begun > 0 {
                    keyspace.walk(id, &mut out, begun);
                }
                for step in *history {
                    run(&mut keyspace, SPREAD, NOW, step);
                }
                if !ending.is_empty() {
                    run(&mut keyspace, SPREAD, NOW, &[ending]);
                }
                let _ = keyspace.take_garbage();
                finish(&mut keyspace, id, &mut out);
                keyspace.end_walk(id);
                assert_same(&read(&keyspace, &out), &expected);
                assert_clean(&mut keyspace);
            }
        }
    }
}

#[test]
fn a_deleted_collection_is_not_copied_but_taken_over() {
    let mut keyspace = keyspace();
    let mut words = vec!["SADD".to_owned(), "large".to_owned()];
    words.extend((0..100_000).map(|number| format!("member:{number}")));
    run(&mut keyspace, SPREAD, NOW, &words);
    let ids = [0, 1].map(|_| keyspace.begin_walk(Scope::All, RECORDS).unwrap());
    run(&mut keyspace, SPREAD, NOW, &["DEL", "large"]);
    assert!(keyspace.take_garbage().is_none(), "the walks have it");
    for id in ids {
        let kept = keyspace.set_aside_bytes(id);
        assert!((100_000 * 32..100_000 * 80).contains(&kept), "{kept}");
        let mut out = Vec::new();
        finish(&mut keyspace, id, &mut out);
        assert_eq!(keyspace.set_aside_bytes(id), 0);
        keyspace.end_walk(id);
        assert_eq!(read(&keyspace, &out).len(), 1);
    }
    assert!(keyspace.take_garbage().is_some(), "the last walk gives it up");
    assert_clean(&mut keyspace);
}

#[test]
fn a_flushed_database_is_walked_to_its_end_and_then_freed() {
    let mut keyspace = keyspace();
    for number in 0..2000 {
        set(&mut keyspace, SPREAD, &format!("key:{number}"), "v");
        set(&mut keyspace, WHOLE, &format!("key:{number}"), "v");
    }
    let expected = copy_of(&keyspace);
    let id = keyspace.begin_walk(Scope::All, RECORDS).unwrap();
    let mut out = Vec::new();
    keyspace.walk(id, &mut out, 1000);
    run(&mut keyspace, SPREAD, NOW, &["FLUSHALL"]);
    assert!(keyspace.take_garbage().is_none(), "the walk has both");
    assert!(
        (4000 * 32..4000 * 48).contains(&keyspace.set_aside_bytes(id)),
        "{}",
        keyspace.set_aside_bytes(id)
    );
    set(&mut keyspace, SPREAD, "key:1", "w");
    while !out.windows(2).any(|bytes| bytes == [0xFE, 3]) {
        keyspace.walk(id, &mut out, 1000);
    }
    assert!(keyspace.take_garbage().is_some(), "the first is given up behind its last key");
    finish(&mut keyspace, id, &mut out);
    keyspace.end_walk(id);
    assert!(keyspace.take_garbage().is_some());
    assert_same(&read(&keyspace, &out), &expected);
    assert_clean(&mut keyspace);
}

#[test]
fn long_strings_and_elements_are_shared_and_written_in_slices() {
    let mut keyspace = keyspace();
    for wording in [RECORDS, Wording::Commands] {
        check_long(&mut keyspace, wording);
    }
}

fn check_long(keyspace: &mut Keyspace, wording: Wording) {
    let long = "v".repeat(3 << 20);
    run(keyspace, SPREAD, NOW, &["SET", "text", &long, "PX", "1000"]);
    run(keyspace, SPREAD, NOW, &["HSET", "hash", "field", &long, "other", "small"]);
    run(keyspace, SPREAD, NOW, &["DEL", "list"]);
    run(keyspace, SPREAD, NOW, &["RPUSH", "list", "small", &long, "small"]);
    let expected = copy_of(keyspace);
    let id = keyspace.begin_walk(Scope::All, wording).unwrap();
    let touched = keyspace.set_aside_bytes(id);
    run(keyspace, SPREAD, NOW, &["PERSIST", "text"]);
    run(keyspace, SPREAD, NOW, &["APPEND", "text", "x"]);
    assert!(keyspace.set_aside_bytes(id) - touched >= long.len(), "the walk is the old bytes' only owner");
    run(keyspace, SPREAD, NOW, &["HSET", "hash", "field", "x"]);
    run(keyspace, SPREAD, NOW, &["LSET", "list", "1", "x"]);
    let (mut out, mut longest) = (Vec::new(), 0);
    loop {
        let before = out.len();
        let progress = keyspace.walk(id, &mut out, 1000);
        longest = longest.max(out.len() - before);
        if progress == Progress::Ended {
            break;
        }
    }
    assert!(longest <= 20_000, "{longest} bytes in one piece of 1000");
    assert_eq!(keyspace.set_aside_bytes(id), 0);
    keyspace.end_walk(id);
    assert_same(&told(keyspace, &out, wording), &expected);
    assert_clean(keyspace);
}

/// Otherwise more would be evicted for what stays in memory all the same.
#[test]
fn long_strings_that_are_evicted_or_expire_are_counted_as_set_aside() {
    let long = "v".repeat(200_000);
    for goes in [evict, expire] {
        let mut keyspace = keyspace();
        for number in 0..10 {
            run(&mut keyspace, WHOLE, NOW, &["SET", &number.to_string(), &long, "PX", "5"]);
        }
        let expected = copy_of(&keyspace);
        let id = keyspace.begin_walk(Scope::All, RECORDS).unwrap();
        goes(&mut keyspace);
        let gone = usize::try_from(10 - keyspace.len(WHOLE)).unwrap();
        assert!(gone > 0);
        assert!(keyspace.walk_bytes() >= u64::try_from(gone * long.len()).unwrap(), "{gone} keys");
        let mut out = Vec::new();
        finish(&mut keyspace, id, &mut out);
        assert_eq!(keyspace.walk_bytes(), 0);
        keyspace.end_walk(id);
        assert_same(&read(&keyspace, &out), &expected);
        assert_clean(&mut keyspace);
    }
}

fn evict(keyspace: &mut Keyspace) {
    keyspace.configure(Settings { policy: Policy::named("allkeys-random"), ..settings() });
    assert!(keyspace.evict(NOW) && keyspace.evict(NOW));
}

fn expire(keyspace: &mut Keyspace) {
    keyspace.expire_cycle(Millis(NOW.0 + 3_600_000), usize::MAX);
}

#[test]
fn what_expires_is_set_aside_without_its_neighbours() {
    let mut keyspace = keyspace();
    for number in 0..10_000 {
        set(&mut keyspace, WHOLE, &format!("key:{number}"), "a value of some length");
        if number % 100 == 0 {
            run(&mut keyspace, WHOLE, NOW, &["PEXPIRE", &format!("key:{number}"), "5"]);
        }
    }
    let expected = copy_of(&keyspace);
    let id = keyspace.begin_walk(Scope::All, RECORDS).unwrap();
    expire(&mut keyspace);
    assert_eq!(keyspace.len(WHOLE), 9900);
    assert!(keyspace.set_aside_bytes(id) <= 100 * 120, "{}", keyspace.set_aside_bytes(id));
    let mut out = Vec::new();
    finish(&mut keyspace, id, &mut out);
    keyspace.end_walk(id);
    assert_same(&read(&keyspace, &out), &expected);
    assert_clean(&mut keyspace);
}

#[test]
fn a_part_of_many_long_values_is_split_before_it_is_copied_or_written() {
    let mut keyspace = keyspace();
    let value = "v".repeat(500);
    for number in 0..100 {
        set(&mut keyspace, WHOLE, &format!("key:{number}"), &value);
    }
    let expected = copy_of(&keyspace);
    let id = keyspace.begin_walk(Scope::All, Wording::Records(Form { compress: false, ..FORM })).unwrap();
    set(&mut keyspace, WHOLE, "key:7", "w");
    assert!(keyspace.set_aside_bytes(id) <= 3000, "{}", keyspace.set_aside_bytes(id));
    let (mut out, mut longest) = (Vec::new(), 0);
    loop {
        let before = out.len();
        let progress = keyspace.walk(id, &mut out, 1);
        longest = longest.max(out.len() - before);
        if progress == Progress::Ended {
            break;
        }
    }
    assert!(longest <= 3000, "{longest}");
    keyspace.end_walk(id);
    assert_same(&read(&keyspace, &out), &expected);
}
