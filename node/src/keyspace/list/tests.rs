//! A list behaves as a deque in both encodings, and changes from one to the other exactly where its limits say.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

fn texts(list: List<'_>) -> Vec<Vec<u8>> {
    let mut digits = itoa::Buffer::new();
    list.iter().map(|one| one.text(&mut digits).to_vec()).collect()
}

fn push(entry: &mut Entry, limit: Limit, end: End, words: &[&[u8]]) {
    let mut list = entry.list_mut(limit).unwrap();
    list.make_room_for(words.iter().copied());
    list.push(end, words.iter().copied());
}

fn pop(entry: &mut Entry, limit: Limit, end: End) {
    let mut list = entry.list_mut(limit).unwrap();
    let len = list.len();
    list.remove(if end == End::Head { 0..1 } else { len - 1..len });
    list.settle();
}

fn is_packed(entry: &Entry) -> bool {
    entry.list().unwrap().is_packed()
}

/// The limits' arithmetic is in the bytes of Redis's listpacks.
#[test]
fn an_element_takes_as_many_bytes_as_in_a_listpack_and_reads_back() {
    let text = |len: usize| "x".repeat(len);
    for (word, size) in [
        (String::new(), 2),
        ("0".to_owned(), 2),
        ("127".to_owned(), 2),
        ("128".to_owned(), 3),
        ("-1".to_owned(), 3),
        ("4095".to_owned(), 3),
        ("-4096".to_owned(), 3),
        ("4096".to_owned(), 4),
        ("-4097".to_owned(), 4),
        ("32767".to_owned(), 4),
        ("-32769".to_owned(), 5),
        ("8388607".to_owned(), 5),
        ("-8388609".to_owned(), 6),
        ("2147483647".to_owned(), 6),
        ("-2147483649".to_owned(), 10),
        (i64::MAX.to_string(), 10),
        (i64::MIN.to_string(), 10),
        ("9223372036854775808".to_owned(), 21),
        ("007".to_owned(), 5),
        (text(63), 65),
        (text(64), 67),
        (text(125), 128),
        (text(126), 130),
        (text(4095), 4099),
        (text(4096), 4103),
        (text(16_377), 16_384),
        (text(16_378), 16_386),
        (text(2_097_200), 2_097_209),
    ] {
        let element = Element::new(word.as_bytes());
        assert_eq!(element.size(), size, "{:.30}", word);
        let mut entry = Entry::with_list(b"l");
        for (limit, end) in [(-5, End::Tail), (1, End::Head)] {
            push(&mut entry, Limit::new(limit), end, &[b"a", word.as_bytes(), b"b"]);
        }
        let w = word.as_bytes();
        assert_eq!(texts(entry.list().unwrap()), [b"b", w, b"a", b"a", w, b"b"]);
        let mut back: Vec<_> = entry.list().unwrap().iter().rev().collect();
        back.reverse();
        assert_eq!(back, entry.list().unwrap().iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_list_becomes_chunks_past_its_limit_and_one_run_again_at_half_of_it() {
    let limit = Limit::new(-1);
    let mut entry = Entry::with_list(b"l");
    // Redis counts 7 bytes, 102 per element, and what comes without overhead: 7 + 40 * 102 = 4087.
    let word = [b'x'; 99];
    for _ in 0..40 {
        push(&mut entry, limit, End::Tail, &[&word]);
        assert!(is_packed(&entry));
    }
    push(&mut entry, limit, End::Tail, &[b"abcdefghi"]);
    assert!(is_packed(&entry), "4096 bytes are the limit");
    push(&mut entry, limit, End::Tail, &[b""]);
    assert!(!is_packed(&entry), "what it costs to keep the last one counts now");
    pop(&mut entry, limit, End::Tail);
    pop(&mut entry, limit, End::Tail);
    for left in (21..40).rev() {
        pop(&mut entry, limit, End::Head);
        assert_eq!((entry.list().unwrap().len(), is_packed(&entry)), (left, false));
    }
    pop(&mut entry, limit, End::Head);
    assert!(is_packed(&entry), "7 + 20 * 102 = 2047");
    let few = Limit::new(4);
    let mut entry = Entry::with_list(b"l");
    push(&mut entry, few, End::Head, &[b"1", b"2", b"3", b"4"]);
    assert!(is_packed(&entry));
    push(&mut entry, few, End::Head, &[b"5"]);
    assert!(!is_packed(&entry));
    pop(&mut entry, few, End::Head);
    pop(&mut entry, few, End::Head);
    assert!(!is_packed(&entry));
    pop(&mut entry, few, End::Head);
    assert!(is_packed(&entry) && texts(entry.list().unwrap()) == [b"2", b"1"]);
}

#[test]
fn a_limit_of_nothing_is_one_element_and_one_below_minus_five_is_64_kib() {
    let mut entry = Entry::with_list(b"l");
    push(&mut entry, Limit::new(0), End::Head, &[b"a"]);
    assert!(is_packed(&entry));
    push(&mut entry, Limit::new(0), End::Head, &[b"b"]);
    assert!(!is_packed(&entry));
    let mut entry = Entry::with_list(b"l");
    push(&mut entry, Limit::new(i64::MIN), End::Head, &[&[b'x'; 65_529]]);
    assert!(is_packed(&entry));
    push(&mut entry, Limit::new(-100), End::Head, &[b"x"]);
    assert!(!is_packed(&entry));
}

#[test]
fn more_tiny_elements_at_once_than_a_packed_list_counts_become_chunks() {
    let words = vec![b"".as_slice(); 200_000];
    let mut entry = Entry::with_list(b"l");
    push(&mut entry, Limit::new(-2), End::Head, &words);
    assert!(!is_packed(&entry));
    assert_eq!(entry.list().unwrap().len(), 200_000);
}

#[test]
fn pushing_at_the_head_moves_the_list_only_when_its_size_class_is_full() {
    let mut entry = Entry::with_list(b"l");
    let (mut moves, mut start) = (0, 0);
    for _ in 0..600 {
        push(&mut entry, Limit::new(-2), End::Head, &[b"0123456789"]);
        let before = start;
        start = Packed(&mut entry).start();
        moves += usize::from(start > before);
    }
    assert!(moves < 60, "{moves} moves for 600 pushes");
    let mut entry = Entry::with_list(b"l");
    for _ in 0..100_000 {
        push(&mut entry, Limit::new(-2), End::Head, &[b"0123456789"]);
    }
    let Value::Object(Object::List(chunks)) = entry.value() else { panic!("a large list is chunks") };
    let held: usize = chunks.chunks().iter().map(|chunk| chunk.allocated()).sum();
    assert!(held < 100_000 * 12 * 103 / 100, "{held} bytes are more than 3 % above the elements'");
}

/// How many elements each chunk has.
fn chunk_lens(entry: &Entry) -> Vec<usize> {
    let Value::Object(Object::List(chunks)) = entry.value() else { panic!("a large list is chunks") };
    chunks.chunks().iter().map(|chunk| chunk.len()).collect()
}

/// Under a wider limit than they were made with all chunks may merge: those that did not were not looked at.
#[test]
fn removing_equal_elements_looks_only_at_the_chunks_around_them() {
    let (narrow, wide) = (Limit::new(4), Limit::new(-2));
    let jobs: Vec<String> = (0..400).map(|nth| format!("job {nth}")).collect();
    // Chunks of 4, but for the one in the middle.
    let lens =
        |before: usize, len: usize, after: usize| [vec![4; before], vec![len], vec![4; after]].concat();
    for (done, from, count, limit, lens_after) in [
        (0..1, End::Head, 1, wide, lens(0, 7, 98)),
        (0..1, End::Tail, 1, wide, lens(0, 7, 98)),
        (399..400, End::Tail, 1, wide, lens(98, 7, 0)),
        (201..202, End::Head, 1, wide, lens(49, 11, 48)),
        (201..202, End::Tail, 1, wide, lens(49, 11, 48)),
        (201..202, End::Head, usize::MAX, wide, lens(49, 11, 48)),
        (200..209, End::Head, 9, wide, lens(49, 11, 46)),
        (200..209, End::Head, 2, wide, lens(49, 10, 48)),
        (200..209, End::Tail, 2, wide, lens(50, 14, 46)),
        (200..208, End::Tail, usize::MAX, narrow, lens(50, 4, 47)),
    ] {
        let mut entry = Entry::with_list(b"l");
        for (nth, job) in jobs.iter().enumerate() {
            let job = if done.contains(&nth) { "done" } else { job };
            push(&mut entry, narrow, End::Tail, &[job.as_bytes()]);
        }
        assert_eq!(chunk_lens(&entry), [4; 100]);
        let gone = entry.list_mut(limit).unwrap().remove_equal(b"done", from, count);
        assert_eq!(gone, count.min(done.len()));
        assert_eq!(chunk_lens(&entry), lens_after, "{count} of {done:?} from {from:?}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Push(End, Vec<u8>, u8),
    Pop(End, u8),
    Insert(u16, Vec<u8>),
    Replace(u16, Vec<u8>),
    Remove(u16, u16),
    RemoveEqual(End, Vec<u8>, u8),
    Range(u16, u16),
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0u8..4).prop_map(|one| vec![b'a' + one]),
        3 => any::<i16>().prop_map(|number| number.to_string().into_bytes()),
        1 => any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        3 => (0usize..200).prop_map(|len| vec![b'm'; len]),
        1 => (0usize..6000).prop_map(|len| vec![b'l'; len]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let end = || prop_oneof![Just(End::Head), Just(End::Tail)];
    prop_oneof![
        6 => (end(), word(), 1u8..60).prop_map(|(end, word, times)| Step::Push(end, word, times)),
        3 => (end(), 1u8..40).prop_map(|(end, count)| Step::Pop(end, count)),
        4 => (any::<u16>(), word()).prop_map(|(at, word)| Step::Insert(at, word)),
        4 => (any::<u16>(), word()).prop_map(|(at, word)| Step::Replace(at, word)),
        1 => (any::<u16>(), any::<u16>()).prop_map(|(at, count)| Step::Remove(at, count)),
        2 => (end(), word(), any::<u8>()).prop_map(|(end, word, count)| Step::RemoveEqual(end, word, count)),
        3 => (any::<u16>(), any::<u16>()).prop_map(|(from, to)| Step::Range(from, to)),
    ]
}

/// Does the same to both.
fn act(list: &mut ListMut<'_>, model: &mut VecDeque<Vec<u8>>, step: &Step) {
    let within = |number: u16| usize::from(number) % model.len().max(1);
    match step {
        Step::Push(end, word, times) => {
            let words = std::iter::repeat_n(word.as_slice(), usize::from(*times));
            list.make_room_for(words.clone());
            list.push(*end, words.clone());
            for word in words {
                if *end == End::Head {
                    model.push_front(word.to_vec())
                } else {
                    model.push_back(word.to_vec())
                }
            }
        }
        Step::Pop(end, count) => {
            let count = usize::from(*count).min(model.len());
            let range = if *end == End::Head { 0..count } else { model.len() - count..model.len() };
            list.remove(range.clone());
            drop(model.drain(range));
        }
        Step::Insert(at, word) => {
            let at = usize::from(*at) % (model.len() + 1);
            list.make_room_for([word.as_slice()].into_iter());
            list.insert(at, word);
            model.insert(at, word.clone());
        }
        Step::Replace(at, word) if !model.is_empty() => {
            list.make_room_for([word.as_slice()].into_iter());
            list.replace(within(*at), word);
            let at = within(*at);
            model[at] = word.clone();
        }
        Step::Remove(at, count) if !model.is_empty() => {
            let start = within(*at);
            let range = start..start + usize::from(*count) % (model.len() - start + 1);
            list.remove(range.clone());
            drop(model.drain(range));
        }
        Step::RemoveEqual(end, word, count) => {
            let equal: Vec<usize> = (0..model.len()).filter(|&at| model[at] == *word).collect();
            let count = usize::from(*count % 10);
            let taken = count.min(equal.len());
            let gone = if *end == End::Head { &equal[..taken] } else { &equal[equal.len() - taken..] };
            assert_eq!(list.remove_equal(word, *end, count), taken);
            gone.iter().rev().for_each(|&at| drop(model.remove(at)));
        }
        Step::Range(from, to) => {
            let (from, to) = (within(*from), within(*to));
            let mut digits = itoa::Buffer::new();
            let range = from.min(to)..from.max(to);
            let ours: Vec<_> =
                list.view().range(range.clone()).rev().map(|one| one.text(&mut digits).to_vec()).collect();
            assert!(ours.iter().eq(model.range(range).rev()));
        }
        Step::Replace(..) | Step::Remove(..) => {}
    }
    list.settle();
}

/// What must hold of chunks, whatever was done to them.
fn check_chunks(entry: &Entry, limit: Limit) {
    let Value::Object(Object::List(chunks)) = entry.value() else { return };
    let lens: Vec<usize> = chunks.chunks().iter().map(|chunk| chunk.len()).collect();
    assert_eq!(lens.iter().sum::<usize>(), chunks.len());
    assert!(lens.iter().all(|&len| len > 0), "no chunk is empty: {lens:?}");
    for chunk in chunks.chunks() {
        assert_eq!(chunk.run().elements().count(), chunk.len());
        let run = chunk.run();
        let longest = run.elements().map(Element::size).max().unwrap_or(0);
        let without = run.redis_bytes() - longest;
        assert!(!limit.is_exceeded_by(without, run.len), "{} bytes, {} elements", run.bytes.len(), run.len);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_list_is_a_deque(
        setting in prop_oneof![Just(-2i64), Just(-1), Just(-5), Just(1), Just(5), Just(128)],
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        let limit = Limit::new(setting);
        let mut entry = Entry::with_list(b"some key");
        let mut model = VecDeque::new();
        for step in &steps {
            act(&mut entry.list_mut(limit).unwrap(), &mut model, step);
            prop_assert_eq!(entry.list().unwrap().len(), model.len());
            check_chunks(&entry, limit);
        }
        prop_assert!(texts(entry.list().unwrap()).iter().eq(model.iter()));
        let mut digits = itoa::Buffer::new();
        let back: Vec<_> = entry.list().unwrap().iter().rev().map(|one| one.text(&mut digits).to_vec()).collect();
        prop_assert!(back.iter().eq(model.iter().rev()));
    }
}
