//! Sorted sets of both forms against a model, and the moment when one becomes the other.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn seed() -> Seed {
    Seed::new(*b"a seed for tests")
}

fn elements(entry: &Entry) -> Vec<(f64, Vec<u8>)> {
    let set = entry.sorted_set().unwrap();
    let mut elements = Vec::new();
    set.for_each(|score, member| elements.push((score, member.to_vec())));
    assert_eq!(elements.len(), set.len());
    elements
}

fn sorted(model: &BTreeMap<Vec<u8>, f64>) -> Vec<(f64, Vec<u8>)> {
    let mut elements: Vec<_> = model.iter().map(|(member, score)| (*score, member.clone())).collect();
    elements.sort_by(|one, other| compare((one.0, &one.1), (other.0, &other.1)));
    elements
}

fn check(entry: &Entry, model: &BTreeMap<Vec<u8>, f64>) {
    let expected = sorted(model);
    assert_eq!(elements(entry), expected);
    let (set, seed) = (entry.sorted_set().unwrap(), seed());
    let mut falling = Vec::new();
    set.for_each_in(0..set.len(), Order::Falling, |score, member| falling.push((score, member.to_vec())));
    falling.reverse();
    assert_eq!(falling, expected);
    for (rank, (score, member)) in expected.iter().enumerate() {
        assert_eq!(set.score(&seed, member), Some(*score));
        assert_eq!(set.rank(Edge::Element(*score, member)), rank);
        assert_eq!(set.nth(rank), Some((*score, &member[..])));
    }
    assert_eq!(set.score(&seed, b"nobody"), None);
    let mut scanned: Vec<Vec<u8>> = Vec::new();
    let mut position = 0;
    loop {
        position = set.scan(position, 3, |_, member| scanned.push(member.to_vec()));
        if position == 0 {
            break;
        }
    }
    scanned.sort();
    assert_eq!(scanned, model.keys().cloned().collect::<Vec<_>>());
}

#[derive(Debug, Clone)]
enum Step {
    Set(u16, i8),
    Remove(u16),
    RemoveRanks(u8, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..400u16, any::<i8>()).prop_map(|(member, score)| Step::Set(member, score)),
        2 => (0..400u16).prop_map(Step::Remove),
        1 => (any::<u8>(), 0..9u8).prop_map(|(from, count)| Step::RemoveRanks(from, count)),
    ];
    prop::collection::vec(step, 1..600)
}

fn member_of(number: u16) -> Vec<u8> {
    match number % 3 {
        0 => number.to_string().into_bytes(),
        1 => format!("a member with a longer name {number}").into_bytes(),
        _ => number.to_be_bytes().to_vec(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn a_sorted_set_is_a_map_in_the_order_of_its_scores(steps in steps(), packed_max in 0..200usize) {
        let (seed, mut model) = (seed(), BTreeMap::new());
        let settings = Settings { sorted_set_packed_members_max: packed_max, ..Settings::default() };
        let mut entry = Entry::with_sorted_set(b"z", &settings, 0, 0);
        let mut most = 0;
        for step in steps {
            let mut set = entry.sorted_set_mut(seed, settings).unwrap();
            match step {
                Step::Set(number, score) => {
                    let (member, score) = (member_of(number), f64::from(score) / 4.0);
                    set.update(&member, |old| {
                        assert_eq!(old, model.get(&member).copied());
                        Some(score)
                    });
                    model.insert(member, score);
                }
                Step::Remove(number) => {
                    let member = member_of(number);
                    prop_assert_eq!(set.remove(&member), model.remove(&member).is_some());
                }
                Step::RemoveRanks(from, count) => {
                    let start = usize::from(from).min(model.len());
                    let end = (start + usize::from(count)).min(model.len());
                    let gone: Vec<_> = sorted(&model).drain(start..end).collect();
                    set.remove_ranks(start..end);
                    model.retain(|member, _| !gone.iter().any(|(_, other)| other == member));
                }
            }
            most = most.max(model.len());
            let is_packed = entry.sorted_set().unwrap().is_packed();
            prop_assert_eq!(is_packed, most <= packed_max, "never back");
        }
        check(&entry, &model);
        let copy = crate::keyspace::object::duplicate(&entry, b"copy", &seed);
        check(&copy, &model);
        let expected = sorted(&model);
        let borrowed: Vec<_> = expected.iter().map(|(score, member)| (*score, &member[..])).collect();
        check(&Entry::with_sorted_elements(b"z", &borrowed, &seed, &settings), &model);
    }
}

#[test]
fn one_member_too_many_or_too_long_unpacks() {
    let settings = Settings::default();
    for (count, len, is_packed) in [(128, 64, true), (129, 3, false), (1, 65, false)] {
        let mut entry = Entry::with_sorted_set(b"z", &settings, 0, 0);
        let mut set = entry.sorted_set_mut(seed(), settings).unwrap();
        for number in 0..count {
            set.update(format!("{number:0len$}").as_bytes(), |_| Some(1.0));
        }
        assert_eq!(entry.sorted_set().unwrap().is_packed(), is_packed, "{count} of {len} bytes");
        assert_eq!(elements(&entry).len(), count);
    }
}

#[test]
fn a_change_of_a_score_never_unpacks() {
    let settings = Settings::default();
    let mut entry = Entry::with_sorted_set(b"z", &settings, 1, 3);
    let narrow = Settings { sorted_set_packed_members_max: 0, ..settings };
    entry.sorted_set_mut(seed(), settings).unwrap().update(b"one", |_| Some(1.0));
    entry.sorted_set_mut(seed(), narrow).unwrap().update(b"one", |_| Some(f64::NEG_INFINITY));
    assert_eq!(elements(&entry), [(f64::NEG_INFINITY, b"one".to_vec())]);
    assert!(entry.sorted_set().unwrap().is_packed());
    entry.sorted_set_mut(seed(), narrow).unwrap().update(b"two", |_| Some(1.0));
    assert!(!entry.sorted_set().unwrap().is_packed());
}

#[test]
fn zeros_of_both_signs_are_equal_and_keep_their_sign_unless_packed() {
    for packed_max in [0, 128] {
        let settings = Settings { sorted_set_packed_members_max: packed_max, ..Settings::default() };
        let mut entry = Entry::with_sorted_set(b"z", &settings, 3, 1);
        let mut set = entry.sorted_set_mut(seed(), settings).unwrap();
        for (member, score) in [(b"c", -0.0), (b"b", 0.0), (b"a", -0.0)] {
            set.update(member, |_| Some(score));
        }
        let signs: Vec<_> =
            elements(&entry).iter().map(|(score, member)| (score.is_sign_negative(), member[0])).collect();
        let sign = packed_max == 0;
        assert_eq!(signs, [(sign, b'a'), (false, b'b'), (sign, b'c')]);
        assert_eq!(entry.sorted_set().unwrap().rank(Edge::BelowScore(0.0)), 0);
        assert_eq!(entry.sorted_set().unwrap().rank(Edge::AboveScore(-0.0)), 3);
    }
}
