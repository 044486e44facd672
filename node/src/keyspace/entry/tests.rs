//! What must hold under Miri too: `cargo +nightly miri test -p slotway-node entry`.

use super::*;

fn text(entry: &Entry) -> &[u8] {
    match entry.value() {
        Value::Text(text) => text,
        _ => panic!("not a string"),
    }
}

fn object_text(entry: &Entry) -> &[u8] {
    match entry.value() {
        Value::Object(Object::Text(text)) => text,
        _ => panic!("not a long string"),
    }
}

fn long(byte: u8) -> Box<Object> {
    Box::new(Object::Text(crate::keyspace::long_text::LongText::new(vec![byte; 100])))
}

#[test]
fn a_pair_of_16_and_64_bytes_takes_96() {
    let entry = Entry::new(&[b'k'; 16], Form::Text, &[b'v'; 64]);
    assert_eq!(entry.allocated(), 96);
    assert_eq!(size_of::<Option<Entry>>(), 8);
}

#[test]
fn a_size_class_is_jemallocs() {
    for (size, class_bytes) in
        [(12, 16), (16, 16), (17, 32), (92, 96), (113, 128), (128, 128), (129, 160), (160, 160), (161, 192)]
    {
        assert_eq!(class(size), class_bytes, "{size}");
    }
    for (size, class_bytes) in
        [(256, 256), (257, 320), (512, 512), (513, 640), (65_536, 65_536), (65_537, 81_920)]
    {
        assert_eq!(class(size), class_bytes, "{size}");
    }
}

#[test]
fn a_value_of_the_same_class_is_written_in_place() {
    let mut entry = Entry::new(b"key", Form::Text, &[1; 40]);
    let before = entry.0;
    entry.set_bytes(Form::Text, &[2; 45]);
    assert_eq!(entry.0, before);
    assert_eq!((entry.key(), text(&entry)), (&b"key"[..], &[2; 45][..]));
    entry.set_bytes(Form::Text, &[3; 60]);
    assert_ne!(entry.0, before);
    assert_eq!((entry.key(), text(&entry)), (&b"key"[..], &[3; 60][..]));
}

#[test]
fn a_deadline_comes_changes_and_goes_without_touching_the_rest() {
    let mut entry = Entry::new(b"key", Form::Text, b"value");
    entry.touch(77);
    entry.set_mark(2);
    for deadline in [None, Some(Millis(5)), Some(Millis(u64::MAX)), None] {
        entry.set_deadline(deadline);
        assert_eq!(entry.deadline(), deadline);
        assert_eq!((entry.key(), text(&entry)), (&b"key"[..], &b"value"[..]));
        assert_eq!((entry.clock(), entry.mark()), (77, 2));
    }
    entry.set_deadline(Some(Millis(9)));
    entry.set_bytes(Form::PackedHash, &[9; 300]);
    assert_eq!((entry.deadline(), entry.mark()), (Some(Millis(9)), 0));
}

#[test]
fn bytes_grow_by_zeros_and_shrink() {
    let mut entry = Entry::new(b"k", Form::Text, b"ab");
    entry.resize(4);
    assert_eq!(text(&entry), b"ab\0\0");
    entry.bytes_mut().unwrap()[3] = b'd';
    entry.resize(200);
    assert_eq!((&text(&entry)[..5], text(&entry).len()), (&b"ab\0d\0"[..], 200));
    entry.resize(1);
    assert_eq!((text(&entry), entry.allocated()), (&b"a"[..], 16));
    entry.resize(0);
    assert_eq!((entry.key(), text(&entry)), (&b"k"[..], &b""[..]));
}

#[test]
fn an_object_is_owned_moved_and_dropped_once() {
    let mut entry = Entry::with_object(b"key", long(1));
    entry.set_deadline(Some(Millis(1)));
    entry.set_key(b"a much longer key than before, in another size class");
    assert_eq!((object_text(&entry)[0], entry.bytes_mut().is_none()), (1, true));
    let old = entry.set_object(long(2));
    assert!(matches!(old.as_deref(), Some(Object::Text(text)) if text[0] == 1));
    assert_eq!(object_text(&entry)[0], 2);
    entry.resize(7);
    assert_eq!(object_text(&entry)[0], 2);
    assert!(entry.take_object().is_some() && entry.take_object().is_none());
    assert_eq!(text(&entry), b"");
    drop(entry.set_object(long(3)));
    entry.set_bytes(Form::Text, b"plain");
    assert_eq!(text(&entry), b"plain");
    drop(Entry::with_object(b"", long(4)));
}

#[test]
fn a_tag_stays_whatever_happens_to_the_value() {
    let mut entry = Entry::new(b"key", Form::Text, b"value");
    for tag in [0, 1, 0x8000, u16::MAX] {
        entry.set_tag(tag);
        entry.set_bytes(Form::Text, &[1; 500]);
        entry.set_deadline(Some(Millis(3)));
        entry.resize(2);
        entry.set_key(b"another key, longer than the first was");
        drop(entry.set_object(long(5)));
        entry.set_bytes(Form::Text, b"value");
        entry.set_deadline(None);
        assert_eq!((entry.tag(), text(&entry)), (tag, &b"value"[..]));
    }
}

#[test]
fn an_empty_key_and_an_empty_value_are_entries() {
    let entry = Entry::new(b"", Form::Text, b"");
    assert_eq!((entry.key(), text(&entry), entry.allocated()), (&b""[..], &b""[..], 16));
}

#[test]
fn an_entry_with_two_owners_lives_until_both_are_gone() {
    for entry_goes_first in [true, false] {
        let mut entry = Entry::new(b"member", Form::Text, &[1; 8]);
        entry.set_tag(77);
        let member = entry.share();
        entry.bytes_mut().unwrap().copy_from_slice(&[2; 8]);
        entry.touch(9);
        assert_eq!((member.key(), entry.key(), text(&entry)), (&b"member"[..], &b"member"[..], &[2; 8][..]));
        if entry_goes_first {
            drop(entry);
            assert_eq!(member.key(), b"member");
        } else {
            drop(member);
            // Alone again, it may move.
            entry.set_bytes(Form::Text, &[3; 100]);
            assert_eq!((entry.key(), entry.tag()), (&b"member"[..], 77));
        }
    }
}

#[test]
#[should_panic(expected = "two owners is not moved")]
fn an_entry_with_two_owners_keeps_its_key() {
    let mut entry = Entry::new(b"member", Form::Text, &[1; 8]);
    let _member = entry.share();
    entry.set_key(b"another key, longer than the first was");
}
