//! What is broken is refused: with the place and the reason, without a panic, and without memory for what never comes.

use proptest::prelude::*;

use super::*;
use crate::rdb::read::{Flaw, dump, dump_body};

#[track_caller]
fn refuse(bytes: &[u8], reason: &str) {
    match read_all(bytes, Settings::default()) {
        Ok(_) => panic!("read, but: {reason}"),
        Err(error) => assert!(error.to_string().contains(reason), "{error}, not: {reason}"),
    }
}

/// A file with one of each kind of value.
fn small_file(form: Form) -> Vec<u8> {
    let name = |nth: u8| vec![nth; 3 + usize::from(nth)];
    let settings = Settings { set_integers_max: 20, hash_packed_fields_max: 20, ..Settings::default() };
    let values = [
        Plain::Text(b"12345".to_vec()),
        Plain::Text(b"abababababababababababababababababab".to_vec()),
        Plain::Hash((0..9).map(|nth| (name(nth), name(nth + 1))).collect()),
        Plain::Hash((0..30).map(|nth| (name(nth), name(nth + 1))).collect()),
        Plain::List((0..9).map(name).collect()),
        Plain::List((0..90).map(name).collect()),
        Plain::Set((0..9).map(name).collect()),
        Plain::Set((0..30u8).map(|nth| nth.to_string().into_bytes()).collect()),
        Plain::Set((0..9u8).map(|nth| nth.to_string().into_bytes()).collect()),
        Plain::SortedSet((0..9u8).map(|nth| (f64::from(nth) / 3.0, name(nth))).collect()),
        Plain::SortedSet((0..200u8).map(|nth| (f64::from(nth), vec![nth])).collect()),
    ];
    let entry = |(nth, plain): (usize, &Plain)| {
        plain.entry(format!("k{nth}").as_bytes(), settings).with_deadline(NOW)
    };
    file(&values.iter().enumerate().map(entry).collect::<Vec<_>>(), form)
}

#[test]
fn a_file_cut_off_anywhere_is_said_to_end_there() {
    let bytes = small_file(PLAIN);
    assert_eq!(read_all(&bytes, Settings::default()).unwrap().len(), 11);
    for len in 0..bytes.len() {
        let mut reader = Reader::new(&bytes[..len], seed(), Settings::default());
        let error = loop {
            match reader.next() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{len} of {} bytes were read to their end", bytes.len()),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("before its end mark"), "{len} bytes: {error}");
        assert!(error.offset <= u64::try_from(len).unwrap());
    }
}

#[test]
fn a_flipped_bit_is_found_out() {
    for bytes in [small_file(PLAIN), small_file(COMPRESSED)] {
        for at in 0..bytes.len() - 8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(read_all(&flipped, Settings::default()).is_err(), "byte {at}");
        }
    }
}

#[test]
fn a_file_without_checksum_is_taken_as_it_is() {
    let mut bytes = small_file(PLAIN);
    let at = bytes.len() - 8;
    bytes[at..].fill(0);
    assert_eq!(read_all(&bytes, Settings::default()).unwrap().len(), 11);
    bytes[at] = 1;
    refuse(&bytes, "the checksum is 0000000000000001, but that of the bytes is ");
    let mut out = b"REDIS0010".to_vec();
    write::end(&mut out, None);
    assert_eq!(out, b"REDIS0010\xFF\0\0\0\0\0\0\0\0");
    assert!(read_all(&out, Settings::default()).unwrap().is_empty());
    // Before version 5 there was none.
    assert!(read_all(b"REDIS0004\xFF", Settings::default()).unwrap().is_empty());
}

#[test]
fn what_is_no_file_of_ours_is_called_so() {
    refuse(b"RESP of course", "it is no RDB file");
    refuse(b"REDIS00x1\xFF", "it is no RDB file");
    refuse(b"REDIS0012\xFF", "it is of RDB version 12; versions 1 to 11 can be read");
    refuse(b"REDIS0000\xFF", "it is of RDB version 0;");
    refuse(b"", "before its end mark");
}

#[test]
fn what_has_no_place_here_is_called_by_its_name() {
    let stream = "key 'k' in database 2: a stream, for which this server has no place";
    for kind in [15, 19, 21] {
        refuse(&around(&[b"\xFE\x02", &[kind][..], b"\x01k"].concat()), stream);
    }
    // "ReJSON-RL", version 3.
    let id = b"RJSONRL  ".len() as u64;
    assert_eq!(id, 9);
    let module = module_id("ReJSON-RL", 3).to_be_bytes();
    refuse(
        &around(&[b"\x07\x01k\x81", &module[..]].concat()),
        "key 'k' in database 0: a value of the module type 'ReJSON-RL'",
    );
    refuse(&around(&[b"\xF7\x81", &module[..]].concat()), "data of its own of the module type 'ReJSON-RL'");
    refuse(&around(b"\xF5\x05#!lua"), "a library of functions, for which");
    assert!(read_all(&around(b"\xF5\x00"), Settings::default()).unwrap().is_empty());
    refuse(&around(b"\xF4\x00"), "neither a type of value nor anything else that is known");
    refuse(&around(b"\x08\x01k"), "neither a type of value");
    refuse(&around(b"\xFE\x10"), "a database beyond the sixteen");
}

fn module_id(name: &str, version: u64) -> u64 {
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    name.chars().fold(0, |id, letter| id << 6 | letters.find(letter).unwrap() as u64) << 10 | version
}

#[test]
fn collections_that_cannot_be_are_refused() {
    for (value, reason) in [
        (&b"\x04\x01k\x02\x01a\x01b\x01a\x01c"[..], "one of its elements twice"),
        (b"\x02\x01k\x02\x01a\x01a", "one of its elements twice"),
        (b"\x02\x01k\x02\x011\x011", "one of its elements twice"),
        (b"\x02\x01k\x03\x011\x011\x01a", "one of its elements twice"),
        (b"\x05\x01k\x02\x01a\0\0\0\0\0\0\0\0\x01a\0\0\0\0\0\0\xF0\x3F", "one of its elements twice"),
        (b"\x05\x01k\x01\x01a\0\0\0\0\0\0\xF8\x7F", "a score that is not a number"),
        (b"\x03\x01k\x01\x01a\xFD", "a score that is not a number"),
        (b"\x03\x01k\x01\x01a\x03abc", "a score that is not a number"),
        (b"\x0B\x01k\x0C\x02\0\0\0\x02\0\0\0\x05\0\x05\0", "do not rise"),
        (b"\x0B\x01k\x0A\x03\0\0\0\x01\0\0\0\x05\0", "an unknown width"),
        (b"\x0B\x01k\x0A\x02\0\0\0\x02\0\0\0\x05\0", "another length than it says"),
        (b"\x10\x01k\x09\x09\0\0\0\x01\0\x01\x01\xFF", "an odd number"),
        (b"\x10\x01k\x0F\x0F\0\0\0\x04\0\x01\x01\x02\x01\x01\x01\x03\x01\xFF", "one of its elements twice"),
        (b"\x11\x01k\x0F\x0F\0\0\0\x04\0\x01\x01\x02\x01\x02\x01\x01\x01\xFF", "not in its order"),
        (b"\x10\x01k\x09\x0A\0\0\0\x01\0\x01\x01\xFF", "another length than it says"),
        (b"\x10\x01k\x0B\x0B\0\0\0\x01\0\x01\x01\x02\x01\xFF", "another number of elements"),
        (b"\x10\x01k\x0B\x0B\0\0\0\x02\0\x01\x02\x02\x01\xFF", "a broken element"),
        (b"\x10\x01k\x0B\x0B\0\0\0\x02\0\x01\x01\x89\x01\xFF", "a broken element"),
        (b"\x12\x01k\x01\x03\x07\x07\0\0\0\0\0\xFF", "of an unknown kind"),
        (b"\x00\x01k\xC5\x01", "an unknown coding"),
        (b"\x00\x01k\x82\x01", "a length of an unknown form"),
        (b"\x04\x01k\xC0\x01", "as only strings are"),
        (b"\x00\x01k\xC3\x02\x05\x00a", "does not decompress"),
    ] {
        refuse(&around(value), reason);
    }
}

#[test]
fn collections_without_elements_are_passed_over_as_redis_does() {
    let mut body = Vec::new();
    for empty in [
        &b"\x04\x01a\x00"[..],
        b"\x01\x01b\x00",
        b"\x02\x01c\x00",
        b"\x05\x01d\x00",
        b"\x10\x01e\x07\x07\0\0\0\0\0\xFF",
        b"\x12\x01f\x01\x02\x07\x07\0\0\0\0\0\xFF",
        b"\x0B\x01g\x08\x02\0\0\0\0\0\0\0",
        b"\x11\x01h\x07\x07\0\0\0\0\0\xFF",
    ] {
        // What is known of them is not known of the next key.
        body.extend_from_slice(b"\xFC\x01\0\0\0\0\0\0\0");
        body.extend_from_slice(empty);
    }
    body.extend_from_slice(b"\x00\x01k\x01v");
    let bytes = around(&body);
    let mut reader = Reader::new(&bytes[..], seed(), Settings::default());
    let Ok(Some(Item::Key(record))) = reader.next() else { panic!("there is one key") };
    assert_eq!((record.entry.key(), record.entry.deadline()), (&b"k"[..], None));
    assert!(reader.next().unwrap().is_none());
    assert_eq!(reader.skipped_empty(), 8);
}

/// A length of 1 TiB in front of nothing: were it believed, this test would die.
#[test]
fn a_length_costs_nothing_before_its_bytes_come() {
    let huge = b"\x81\0\0\x01\0\0\0\0\0";
    for kind in [0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14, 16, 17, 18, 20] {
        let body = [b"REDIS0011", &[kind][..], b"\x01k", huge].concat();
        assert!(read_all(&body, Settings::default()).is_err());
    }
    let just_below = b"\x80\xFF\xFF\xFF\x00abc";
    refuse(&[b"REDIS0011\x00\x01k", &just_below[..]].concat(), "before its end mark");
    let compressed = b"\xC3\x02\x80\xFF\xFF\xFF\x00\x00a";
    refuse(&around(&[b"\x00\x01k", &compressed[..]].concat()), "does not decompress");
}

#[test]
fn a_dump_with_a_wrong_footer_is_refused_before_it_is_looked_at() {
    let mut payload = Vec::new();
    write::dump(&mut payload, &Entry::with_text(b"k", b"value"), PLAIN);
    assert_eq!(dump_body(&payload).unwrap(), b"\x00\x05value");
    for len in 0..payload.len() {
        assert!(dump_body(&payload[..len]).is_err());
    }
    for at in 0..payload.len() {
        let mut flipped = payload.clone();
        flipped[at] ^= 4;
        assert!(dump_body(&flipped).is_err(), "byte {at}");
    }
    let newer = [&b"\x00\x05value\x0C\0"[..], &Checksum::of(b"\x00\x05value\x0C\0").to_le_bytes()].concat();
    assert!(dump_body(&newer).is_err());
    let cut = dump(b"\x00\x05val", b"k", seed(), Settings::default()).err().map(|error| error.flaw);
    assert!(matches!(cut, Some(Flaw::Truncated)));
    assert!(dump(b"\xFE\x00", b"k", seed(), Settings::default()).is_err());
    assert!(dump(b"", b"k", seed(), Settings::default()).is_err());
}

/// The file without its checksum, which would find nearly everything out.
fn unchecked(form: Form) -> Vec<u8> {
    let mut bytes = small_file(form);
    let at = bytes.len() - 8;
    bytes[at..].fill(0);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_is_read_or_refused_and_never_a_panic(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        doubled in any::<prop::sample::Index>(),
        compress: bool,
    ) {
        let mut bytes = unchecked(Form { compress, noted: Noted::Nothing });
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let (one, other) = (cut.index(bytes.len()), doubled.index(bytes.len()));
        let bytes = if one % 3 == 0 {
            [&bytes[..one.max(other)], &bytes[one.min(other)..]].concat()
        } else {
            bytes
        };
        // Whatever is accepted is a value that can be used.
        if let Ok(records) = read_all(&bytes, Settings::default()) {
            records.iter().for_each(|record| drop(Plain::of(&record.entry)));
        }
    }

    #[test]
    fn any_bytes_are_a_value_or_refused(kind in 0u8..22, bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let body = [&[kind][..], &bytes].concat();
        if let Ok(Some(entry)) = dump(&body, b"k", seed(), Settings::default()) {
            drop(Plain::of(&entry));
        }
    }
}
