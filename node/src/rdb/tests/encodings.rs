//! Values in encodings that we do not write: those of 2.8 to 6.2, built here byte by byte, and of 7.2.

#![allow(clippy::cast_possible_truncation, reason = "lengths that the tests choose themselves")]

use super::*;
use crate::rdb::kind;

/// A string of up to 63 bytes, or one longer, with its length.
fn string(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).unwrap();
    let head = if len < 64 { vec![bytes.len() as u8] } else { [&[0x80][..], &len.to_be_bytes()].concat() };
    [&head, bytes].concat()
}

/// A key `k` of this type.
fn key(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], b"\x01k", value].concat()
}

/// A ziplist of entries, each coded without the length of the one before it.
fn ziplist(entries: &[&[u8]]) -> Vec<u8> {
    let (mut body, mut before, mut last) = (Vec::new(), 0usize, 10);
    for entry in entries {
        last = 10 + body.len();
        if before < 254 {
            body.push(before as u8);
        } else {
            body.push(254);
            body.extend_from_slice(&(before as u32).to_le_bytes());
        }
        body.extend_from_slice(entry);
        before = 10 + body.len() - last;
    }
    let total = (10 + body.len() + 1) as u32;
    let count = (entries.len() as u16).to_le_bytes();
    [&total.to_le_bytes()[..], &(last as u32).to_le_bytes(), &count, &body, &[0xFF]].concat()
}

/// A text of a ziplist.
fn text(text: &[u8]) -> Vec<u8> {
    let head = match text.len() {
        len @ ..64 => vec![len as u8],
        len @ ..16_384 => vec![0x40 | (len >> 8) as u8, len as u8],
        len => [&[0x80][..], &(len as u32).to_be_bytes()].concat(),
    };
    [&head, text].concat()
}

/// A listpack of elements that have the length behind them already.
fn listpack(elements: &[&[u8]]) -> Vec<u8> {
    let body = elements.concat();
    let total = (6 + body.len() + 1) as u32;
    [&total.to_le_bytes()[..], &(elements.len() as u16).to_le_bytes(), &body, &[0xFF]].concat()
}

#[track_caller]
fn check(body: &[u8], expected: &Plain) -> Entry {
    for version in ["0006", "0009", "0011"] {
        let bytes = finish([b"REDIS", version.as_bytes(), body].concat());
        let mut records = read_all(&bytes, Settings::default()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(records.len(), 1);
        assert_eq!(Plain::of(&records[0].entry), *expected);
        if version == "0011" {
            return records.remove(0).entry;
        }
    }
    unreachable!()
}

fn words(words: &[&[u8]]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.to_vec()).collect()
}

/// One entry of each coding, and the words they stand for.
fn every_ziplist_coding() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let long = vec![b'x'; 300];
    let longer = vec![b'y'; 20_000];
    let coded: Vec<(Vec<u8>, Vec<u8>)> = vec![
        (text(b"short"), b"short".to_vec()),
        (text(b""), b"".to_vec()),
        (text(&long), long.clone()),
        (text(b"after a long one"), b"after a long one".to_vec()),
        (text(&longer), longer.clone()),
        (vec![0xF1], b"0".to_vec()),
        (vec![0xFD], b"12".to_vec()),
        (vec![0xFE, 0x80], b"-128".to_vec()),
        (vec![0xC0, 0x00, 0x80], b"-32768".to_vec()),
        (vec![0xF0, 0xFF, 0xFF, 0x7F], b"8388607".to_vec()),
        (vec![0xF0, 0x00, 0x00, 0x80], b"-8388608".to_vec()),
        (vec![0xD0, 0x00, 0x00, 0x00, 0x80], b"-2147483648".to_vec()),
        ([&[0xE0][..], &i64::MIN.to_le_bytes()].concat(), i64::MIN.to_string().into_bytes()),
    ];
    coded.into_iter().unzip()
}

#[test]
fn a_list_of_2_8_is_a_ziplist_with_every_coding() {
    let (coded, plain) = every_ziplist_coding();
    let coded: Vec<&[u8]> = coded.iter().map(Vec::as_slice).collect();
    check(&key(kind::LIST_ZIPLIST, &string(&ziplist(&coded))), &Plain::List(plain.clone()));
    let nodes = [&[2][..], &string(&ziplist(&coded)), &string(&ziplist(&[&text(b"tail")]))].concat();
    let both = [plain, words(&[b"tail"])].concat();
    check(&key(kind::QUICKLIST, &nodes), &Plain::List(both));
}

#[test]
fn hashes_and_sorted_sets_of_3_2_are_ziplists() {
    let pairs = ziplist(&[&text(b"field"), &text(b"value"), &[0xF8], &[0xC0, 0xE8, 0x03]]);
    let hash =
        Plain::Hash([(b"field".to_vec(), b"value".to_vec()), (b"7".to_vec(), b"1000".to_vec())].into());
    let entry = check(&key(kind::HASH_ZIPLIST, &string(&pairs)), &hash);
    assert_eq!(entry.form(), Kept::PackedHash);
    let scored = ziplist(&[
        &text(b"low"),
        &text(b"-inf"),
        &[0xF6],
        &[0xF4],
        &text(b"m"),
        &text(b"3.25"),
        &text(b"high"),
        &text(b"inf"),
    ]);
    let set = Plain::SortedSet(vec![
        (f64::NEG_INFINITY, b"low".to_vec()),
        (3.0, b"5".to_vec()),
        (3.25, b"m".to_vec()),
        (f64::INFINITY, b"high".to_vec()),
    ]);
    let entry = check(&key(kind::SORTED_SET_ZIPLIST, &string(&scored)), &set);
    assert_eq!(entry.form(), Kept::PackedSortedSet);
}

#[test]
fn a_hash_of_2_4_is_a_zipmap() {
    let long = vec![b'v'; 300];
    let mut map = vec![3];
    map.extend_from_slice(b"\x01a\x01\x001");
    // Two bytes behind this value are not used.
    map.extend_from_slice(b"\x05other\x03\x02two..");
    map.extend_from_slice(b"\x04long\xFE\x2C\x01\x00\x00\x00");
    map.extend_from_slice(&long);
    map.push(0xFF);
    let fields =
        [(b"a".to_vec(), b"1".to_vec()), (b"other".to_vec(), b"two".to_vec()), (b"long".to_vec(), long)];
    check(&key(kind::HASH_ZIPMAP, &string(&map)), &Plain::Hash(fields.into()));
    map[0] = 254;
    check(&key(kind::HASH_ZIPMAP, &string(&map)), &check_hash(&map));
}

/// The same again, for a map that does not say how many fields it has.
fn check_hash(map: &[u8]) -> Plain {
    let records = read_all(&around(&key(kind::HASH_ZIPMAP, &string(map))), Settings::default()).unwrap();
    let plain = Plain::of(&records[0].entry);
    assert!(matches!(&plain, Plain::Hash(fields) if fields.len() == 3));
    plain
}

#[test]
fn integers_of_every_width_are_an_intset() {
    for (width, integers) in
        [(2u32, vec![-32_768i64, 0, 5]), (4, vec![-2_147_483_648, 7]), (8, vec![i64::MIN, 0, i64::MAX])]
    {
        let mut set = [width.to_le_bytes(), (integers.len() as u32).to_le_bytes()].concat();
        for integer in &integers {
            set.extend_from_slice(&integer.to_le_bytes()[..width as usize]);
        }
        let expected = Plain::Set(integers.iter().map(|one| one.to_string().into_bytes()).collect());
        let entry = check(&key(kind::SET_INTEGERS, &string(&set)), &expected);
        assert_eq!(entry.form(), Kept::IntegerSet);
    }
}

#[test]
fn listpacks_have_every_coding_and_sets_of_7_2_are_listpacks() {
    let middle = [&[0xE0 | 0x01, 0x2C][..], &[b'm'; 300], &[0x82, 0x2E]].concat();
    // Of 302 bytes in front of it: the first of the two digits has no mark.
    let middle = [&middle[..302], &[0x02, 0xAE]].concat();
    let long = [&[0xF0, 0x05, 0, 0, 0][..], b"hello", &[10]].concat();
    let elements: [&[u8]; 10] = [
        &[0x7F, 1],
        &[0x83, b'a', b'b', b'c', 4],
        &[0xDF, 0xFF, 2],
        &[0xC1, 0x00, 2],
        &middle,
        &long,
        &[0xF1, 0x00, 0x80, 3],
        &[0xF2, 0xFF, 0xFF, 0x7F, 4],
        &[0xF3, 0x00, 0x00, 0x00, 0x80, 5],
        &[0xF4, 0, 0, 0, 0, 0, 0, 0, 0x80, 9],
    ];
    let plain = words(&[
        b"127",
        b"abc",
        b"-1",
        b"256",
        &[b'm'; 300],
        b"hello",
        b"-32768",
        b"8388607",
        b"-2147483648",
        i64::MIN.to_string().as_bytes(),
    ]);
    let node = [&[1, 2][..], &string(&listpack(&elements))].concat();
    check(&key(kind::QUICKLIST_2, &node), &Plain::List(plain.clone()));
    let short = [&elements[..4], &elements[5..]].concat();
    let set = Plain::Set(plain.iter().filter(|word| word.len() < 100).cloned().collect());
    let entry = check(&key(kind::SET_LISTPACK, &string(&listpack(&short))), &set);
    assert_eq!(entry.form(), Kept::PackedSet);
    // Integers that Redis keeps as a listpack are kept as a run of members here, too.
    let integers = check(
        &key(kind::SET_LISTPACK, &string(&listpack(&[&[1, 1], &[2, 1]]))),
        &Plain::Set([b"1".to_vec(), b"2".to_vec()].into()),
    );
    assert_eq!(integers.form(), Kept::PackedSet);
}

#[test]
fn a_node_of_a_list_may_be_one_large_element_or_coded_otherwise_than_ours() {
    // "12" as a text: a server would have made a number of it.
    let odd = listpack(&[&[0x82, b'1', b'2', 3], &[5, 1]]);
    let nodes = [&[2, 1][..], &string(&[b'p'; 100]), &[2], &string(&odd)].concat();
    let plain = words(&[&[b'p'; 100], b"12", b"5"]);
    check(&key(kind::QUICKLIST_2, &nodes), &Plain::List(plain));
}

#[test]
fn plain_lists_sets_and_decimal_scores_are_read() {
    check(&key(kind::LIST, b"\x02\x01a\xC0\xFF"), &Plain::List(words(&[b"a", b"-1"])));
    check(
        &key(kind::SET, b"\x02\x01a\xC1\xE8\x03"),
        &Plain::Set(words(&[b"a", b"1000"]).into_iter().collect()),
    );
    let scored = b"\x04\x01a\x031.5\x01b\xFE\x01c\xFF\x01d\x02-2";
    let set = vec![
        (f64::NEG_INFINITY, b"c".to_vec()),
        (-2.0, b"d".to_vec()),
        (1.5, b"a".to_vec()),
        (f64::INFINITY, b"b".to_vec()),
    ];
    check(&key(kind::SORTED_SET, scored), &Plain::SortedSet(set));
}

#[test]
fn every_length_and_every_coding_of_a_string_is_read() {
    for (coded, plain) in [
        (&b"\x03abc"[..], &b"abc"[..]),
        (b"\x40\x03abc", b"abc"),
        (b"\x80\0\0\0\x03abc", b"abc"),
        (b"\x81\0\0\0\0\0\0\0\x03abc", b"abc"),
        (b"\xC0\x80", b"-128"),
        (b"\xC1\x00\x80", b"-32768"),
        (b"\xC2\xFF\xFF\xFF\x7F", b"2147483647"),
        (b"\xC3\x05\x0A\x00a\xE0\x00\x00", b"aaaaaaaaaa"),
    ] {
        check(&key(kind::STRING, coded), &Plain::Text(plain.to_vec()));
    }
}

#[test]
fn what_stands_around_keys_is_read() {
    let mut body = Vec::new();
    body.extend_from_slice(b"\xFA\x09redis-ver\x052.8.0\xFA\x05ctime\xC2\0\0\0\x10");
    body.extend_from_slice(b"\xFE\x03\xFB\x02\x01");
    body.extend_from_slice(b"\xFD\x10\0\0\0\xF8\x05\0\x01a\x011");
    body.extend_from_slice(b"\xFC\x10\x27\0\0\0\0\0\0\xF9\x07\0\x01b\x012");
    body.extend_from_slice(b"\xFE\x00\0\x01c\x013");
    let bytes = around(&body);
    let mut reader = Reader::new(&bytes[..], seed(), Settings::default());
    let mut seen = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        seen.push(match item {
            Item::Aux { name, value } => {
                format!("{}={}", String::from_utf8_lossy(&name), String::from_utf8_lossy(&value))
            }
            Item::Resize { database, keys, deadlines } => format!("{} {keys} {deadlines}", database.0),
            Item::Key(Record { database, entry, known, .. }) => {
                format!(
                    "{} {} {:?} {known:?}",
                    database.0,
                    String::from_utf8_lossy(entry.key()),
                    entry.deadline()
                )
            }
        });
    }
    assert_eq!(
        seen,
        [
            "redis-ver=2.8.0",
            "ctime=268435456",
            "3 2 1",
            "3 a Some(Millis(16000)) Some(Idle(5))",
            "3 b Some(Millis(10000)) Some(Count(7))",
            "0 c None None",
        ]
    );
}
