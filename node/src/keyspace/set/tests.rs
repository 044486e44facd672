//! A set behaves as a set in all encodings, and changes from one to another exactly where its limits say.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

fn seed() -> Seed {
    Seed::new(*b"a seed for tests")
}

fn settings(integers: usize, members: usize, value: usize) -> Settings {
    Settings {
        set_integers_max: integers,
        set_packed_members_max: members,
        set_packed_value_bytes_max: value,
        ..Settings::default()
    }
}

/// A set as SADD makes it, one member at a time.
fn set_of<M: AsRef<[u8]>>(settings: Settings, members: impl IntoIterator<Item = M>) -> Entry {
    let mut entry: Option<Entry> = None;
    for member in members {
        let member = member.as_ref();
        let entry =
            entry.get_or_insert_with(|| Entry::with_set(b"s", Encoding::of_first(member, 1, &settings)));
        entry.set_mut(seed(), settings).unwrap().add(member);
    }
    entry.unwrap()
}

fn numbers(range: std::ops::Range<i64>) -> impl Iterator<Item = String> {
    range.map(|number| number.to_string())
}

fn words(range: std::ops::Range<i64>) -> impl Iterator<Item = String> {
    range.map(|number| format!("word{number}"))
}

fn members(entry: &Entry) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    entry.set().unwrap().for_each(|member| all.push(member.with_text(<[u8]>::to_vec)));
    all.sort_unstable();
    all
}

#[track_caller]
fn check(entry: &Entry, encoding: Encoding, len: usize) {
    let set = entry.set().unwrap();
    assert_eq!((set.encoding(), set.len()), (encoding, len));
}

#[test]
fn integers_stay_integers_up_to_their_limit_and_then_are_a_table() {
    let settings = settings(4, 8, 8);
    check(&set_of(settings, numbers(0..4)), Encoding::Integers, 4);
    check(&set_of(settings, numbers(0..5)), Encoding::Table, 5);
    check(&set_of(settings, ["9223372036854775807", "-9223372036854775808"]), Encoding::Integers, 2);
    check(&set_of(settings, ["9223372036854775808"]), Encoding::Table, 1);
    check(&set_of(settings, ["007"]), Encoding::Packed, 1);
}

#[test]
fn a_string_among_integers_packs_them_if_all_are_short_and_few() {
    let settings = settings(8, 4, 4);
    check(&set_of(settings, ["1", "2", "a"]), Encoding::Packed, 3);
    check(&set_of(settings, ["1", "2", "-9999"]), Encoding::Integers, 3);
    check(&set_of(settings, ["1", "-9999", "a"]), Encoding::Table, 3);
    check(&set_of(settings, ["1", "12345", "a"]), Encoding::Table, 3);
    check(&set_of(settings, ["1", "2", "too long"]), Encoding::Table, 3);
    check(&set_of(settings, ["1", "2", "3", "a"]), Encoding::Packed, 4);
    check(&set_of(settings, ["1", "2", "3", "4", "a"]), Encoding::Table, 5);
}

#[test]
fn packed_members_become_a_table_past_their_limits() {
    let settings = settings(8, 4, 5);
    check(&set_of(settings, ["a", "b", "c", "12345"]), Encoding::Packed, 4);
    check(&set_of(settings, ["a", "b", "c", "d", "d"]), Encoding::Packed, 4);
    check(&set_of(settings, ["a", "b", "c", "d", "e"]), Encoding::Table, 5);
    check(&set_of(settings, ["a", "123456"]), Encoding::Table, 2);
}

#[test]
fn many_at_once_make_a_table_at_once() {
    let settings = settings(4, 2, 8);
    assert_eq!(Encoding::of_first(b"1", 4, &settings), Encoding::Integers);
    assert_eq!(Encoding::of_first(b"1", 5, &settings), Encoding::Table);
    assert_eq!(Encoding::of_first(b"a", 2, &settings), Encoding::Packed);
    assert_eq!(Encoding::of_first(b"a", 3, &settings), Encoding::Table);
    let mut entry = set_of(settings, ["1"]);
    entry.set_mut(seed(), settings).unwrap().make_room_for(4);
    check(&entry, Encoding::Integers, 1);
    entry.set_mut(seed(), settings).unwrap().make_room_for(5);
    check(&entry, Encoding::Table, 1);
    let mut entry = set_of(settings, ["a"]);
    entry.set_mut(seed(), settings).unwrap().make_room_for(3);
    check(&entry, Encoding::Table, 1);
}

#[test]
fn only_what_is_all_integers_is_made_integers() {
    for (max, members, encoding) in [
        (8, vec!["a", "1"], Encoding::Packed),
        (8, vec!["a"; 1], Encoding::Packed),
        (1, vec!["1", "2"], Encoding::Table),
    ] {
        let mut entry = set_of(settings(max, 4, 8), &members);
        entry.set_mut(seed(), settings(max, 4, 8)).unwrap().make_integers();
        check(&entry, encoding, members.len());
    }
    let mut entry = set_of(settings(1, 4, 8), numbers(0..50));
    check(&entry, Encoding::Table, 50);
    entry.set_mut(seed(), settings(512, 4, 8)).unwrap().make_integers();
    check(&entry, Encoding::Integers, 50);
}

#[test]
fn choices_are_fair_in_every_encoding() {
    let settings = settings(512, 128, 64);
    let mut random = Random::new(7);
    for entry in
        [set_of(settings, numbers(0..100)), set_of(settings, words(0..100)), set_of(settings, words(0..1000))]
    {
        let set = entry.set().unwrap();
        let per_member = 200;
        let mut drawn: HashMap<Vec<u8>, usize> = HashMap::new();
        for _ in 0..per_member * set.len() {
            let member = set.random(&mut random).unwrap();
            *drawn.entry(member.with_text(<[u8]>::to_vec)).or_default() += 1;
        }
        assert_eq!(drawn.len(), set.len());
        let (least, most) = (drawn.values().min().unwrap(), drawn.values().max().unwrap());
        assert!(*least > 100 && *most < 320, "{:?}: {least} to {most}", set.encoding());
    }
}

#[test]
fn members_are_popped_until_none_is_left() {
    let settings = settings(512, 128, 64);
    let mut random = Random::new(7);
    for mut entry in
        [set_of(settings, numbers(0..100)), set_of(settings, words(0..100)), set_of(settings, words(0..3000))]
    {
        let all: HashSet<_> = members(&entry).into_iter().collect();
        let mut popped = HashSet::new();
        for _ in 0..all.len() {
            let mut set = entry.set_mut(seed(), settings).unwrap();
            set.pop(&mut random, |member| {
                assert!(popped.insert(member.with_text(<[u8]>::to_vec)), "a member leaves once");
            });
        }
        assert_eq!(popped, all);
        assert_eq!(entry.set().unwrap().len(), 0);
        assert!(entry.set().unwrap().random(&mut random).is_none());
    }
}

#[test]
fn a_large_set_is_scanned_in_steps() {
    let entry = set_of(settings(4, 4, 8), words(0..5000));
    let (mut seen, mut position, mut steps) = (HashSet::new(), 0, 0);
    loop {
        position = entry.set().unwrap().scan(position, 10, |member| {
            seen.insert(member.with_text(<[u8]>::to_vec));
        });
        steps += 1;
        if position == 0 {
            break;
        }
    }
    assert_eq!(seen.len(), 5000);
    assert!(steps > 20);
}

fn intersect(entries: &[&Entry]) -> Vec<Vec<u8>> {
    let mut sets: Vec<_> = entries.iter().map(|entry| entry.set().unwrap()).collect();
    let mut found = Vec::new();
    intersection(&mut sets, &seed(), &mut IndexRoom::default(), |member| {
        found.push(member.with_text(<[u8]>::to_vec));
        ControlFlow::Continue(())
    });
    found.sort_unstable();
    found
}

fn subtract(first: &Entry, others: &[&Entry]) -> Vec<Vec<u8>> {
    let mut others: Vec<_> = others.iter().map(|entry| entry.set().unwrap()).collect();
    let mut found = Vec::new();
    difference(first.set().unwrap(), &mut others, &seed(), &mut IndexRoom::default(), |member| {
        found.push(member.with_text(<[u8]>::to_vec));
    });
    found.sort_unstable();
    found
}

/// All members, each of them once.
fn unite(entries: &[&Entry]) -> Vec<Vec<u8>> {
    let sets: Vec<_> = entries.iter().map(|entry| entry.set().unwrap()).collect();
    let mut found = Vec::new();
    union(&sets, &seed(), &mut IndexRoom::default(), |member| found.push(member.with_text(<[u8]>::to_vec)));
    found.sort_unstable();
    found
}

/// Sizes around every limit, and tables of very different depths.
#[test]
fn sets_of_any_encoding_are_intersected_subtracted_and_united() {
    let settings = settings(512, 128, 64);
    let ranges = [0..3, 0..100, 50..200, 90..700, 0..5000, 4000..12_000];
    let sets: Vec<(HashSet<Vec<u8>>, Entry)> = ranges
        .into_iter()
        .flat_map(|range| {
            let mixed = numbers(range.clone()).chain(words(range.start..range.start + 5));
            [
                set_of(settings, numbers(range.clone())),
                set_of(settings, mixed),
                set_of(settings, words(range)),
            ]
        })
        .map(|entry| (members(&entry).into_iter().collect(), entry))
        .collect();
    for (one, one_entry) in &sets {
        for (other, other_entry) in &sets {
            let mut both: Vec<_> = one.intersection(other).cloned().collect();
            both.sort_unstable();
            assert_eq!(intersect(&[one_entry, other_entry]), both);
            let mut rest: Vec<_> = one.difference(other).cloned().collect();
            rest.sort_unstable();
            assert_eq!(subtract(one_entry, &[other_entry]), rest);
            let mut all: Vec<_> = one.union(other).cloned().collect();
            all.sort_unstable();
            assert_eq!(unite(&[one_entry, other_entry, one_entry]), all);
        }
    }
    let [(_, a), .., (_, b)] = &sets[3..15] else { unreachable!() };
    let (of_two, of_three) = (intersect(&[a, b]), intersect(&[b, a, a]));
    assert_eq!(of_two, of_three);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_set_is_a_set(
        steps in proptest::collection::vec((-40i64..40, any::<bool>(), proptest::bool::weighted(0.7)), 0..300),
        word_share in 0u8..4,
        integers_max in 0usize..40,
        packed_max in 0usize..40,
        value_max in 2usize..8,
    ) {
        let settings = settings(integers_max, packed_max, value_max);
        let mut entry = Entry::with_set(b"s", Encoding::Integers);
        let mut model: HashSet<Vec<u8>> = HashSet::new();
        for (number, is_word, adds) in steps {
            let is_word = is_word && word_share > 1;
            let member = if is_word { format!("w{number}") } else { (number * 1000).to_string() }.into_bytes();
            let mut set = entry.set_mut(seed(), settings).unwrap();
            if adds {
                prop_assert_eq!(set.add(&member), model.insert(member));
            } else {
                prop_assert_eq!(set.remove(&member), model.remove(&member));
            }
            let set = entry.set().unwrap();
            prop_assert_eq!(set.len(), model.len());
            match set.encoding() {
                Encoding::Integers => prop_assert!(set.len() <= integers_max),
                Encoding::Packed => prop_assert!(set.len() <= packed_max),
                Encoding::Table => {}
            }
        }
        let mut expected: Vec<_> = model.into_iter().collect();
        expected.sort_unstable();
        let set = entry.set().unwrap();
        prop_assert!(expected.iter().all(|member| set.contains(&seed(), member)));
        prop_assert!(!set.contains(&seed(), b"absent"));
        prop_assert_eq!(members(&entry), expected);
    }
}
