//! Writing RDB: records of keys, and what stands around them, appended to whatever `out` is.
//!
//! A small collection is written as the one string that Redis 7.0 keeps in memory (listpack, intset), where that is what it is
//! here too; sets have no listpack before 7.2 and are written member by member, as is all that is large. redis-server turns
//! what it reads into what its own limits ask for, so OBJECT ENCODING there is what it would have been.
//!
//! A collection may also be written head first and element by element, which a walk over a large one does.

use std::cell::RefCell;

use slotway_cluster::Database;

use super::compact::listpack;
use super::length::{
    CODED, CODED_1_BYTE, CODED_2_BYTES, CODED_4_BYTES, CODED_LZF, EIGHT_BYTES, FOUR_BYTES, FOURTEEN_BITS,
    FOURTEEN_BITS_MAX, SIX_BITS_MAX,
};
use super::lzf::Compressor;
use super::{Checksum, Form, MAGIC, Noted, VERSION, container, kind, opcode};
use crate::call::Millis;
use crate::keyspace::entry::{Entry, Value};
use crate::keyspace::hash::Hash;
use crate::keyspace::list::{Element, List, Run};
use crate::keyspace::object::Object;
use crate::keyspace::set::{Integers, Set};
use crate::keyspace::sorted_set::SortedSet;
use crate::keyspace::text::parse_integer;
use crate::keyspace::usage::idle_seconds_of;

/// Shorter strings are never compressed, as in Redis.
const COMPRESSED_BYTES_MIN: usize = 21;

/// Nor are strings longer than this: that would hold up everybody else for more than a millisecond.
const COMPRESSED_BYTES_MAX: usize = 256 << 10;

/// The longest text that may be a number of 32 bits.
const INTEGER_TEXT_MAX: usize = 11;

/// What is packed here but longer than this goes element by element.
const LISTPACK_BYTES_MAX: usize = 1 << 20;

/// A listpack of more elements does not say how many it has.
const LISTPACK_ELEMENTS_MAX: usize = 65_534;

/// redis-server has no listpack of such a length: an only element as long stands by itself.
const PLAIN_BYTES_MIN: usize = 1 << 30;

/// A collection that is written head first and then element by element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Hash,
    /// Its elements are runs: see [`run`].
    List,
    Set,
    SortedSet,
}

/// What compressing needs, kept for the next string.
struct Room {
    compressor: Compressor,
    /// The string that is being made.
    blob: Vec<u8>,
    compressed: Vec<u8>,
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::new(Room {
        compressor: Compressor::new(),
        blob: Vec::new(),
        compressed: Vec::new(),
    });
}

/// The beginning of a file, with what is to be known of it by name.
pub(crate) fn header(out: &mut Vec<u8>, facts: &[(&str, &[u8])]) {
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(format!("{VERSION:04}").as_bytes());
    for (name, value) in facts {
        out.push(opcode::AUX);
        plain(out, name.as_bytes());
        if !integer_string(out, value) {
            plain(out, value);
        }
    }
}

/// What follows is of this database.
pub(crate) fn select(out: &mut Vec<u8>, database: Database) {
    out.push(opcode::SELECT);
    length(out, u64::from(database.0));
}

/// How many keys are to come in this database, and how many of them have a deadline: a hint.
pub(crate) fn resize(out: &mut Vec<u8>, keys: u64, deadlines: u64) {
    out.push(opcode::RESIZE);
    length(out, keys);
    length(out, deadlines);
}

/// The end of a file. `checksum` is that of everything in front of it; None: the file shall have none.
pub(crate) fn end(out: &mut Vec<u8>, checksum: Option<Checksum>) {
    out.push(opcode::END);
    let value = checksum.map_or(0, |mut checksum| {
        checksum.update(&[opcode::END]);
        checksum.value()
    });
    out.extend_from_slice(&value.to_le_bytes());
}

/// A key with everything that is known of it.
pub(crate) fn record(out: &mut Vec<u8>, entry: &Entry, form: Form) {
    facts(out, entry.deadline(), entry.clock(), form);
    out.push(kind_of(entry));
    string(out, entry.key(), form);
    value(out, entry, form);
}

/// The value of DUMP: its type and its bytes, then the version and a checksum.
pub(crate) fn dump(out: &mut Vec<u8>, entry: &Entry, form: Form) {
    let start = out.len();
    out.push(kind_of(entry));
    value(out, entry, form);
    out.extend_from_slice(&VERSION.to_le_bytes());
    let checksum = Checksum::of(&out[start..]);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// The beginning of a collection of which `count` elements are to follow, each by [`element`], of a list by [`run`].
/// `clock` is what its entry says of its use.
pub(crate) fn collection_head(
    out: &mut Vec<u8>,
    kind: Kind,
    key: &[u8],
    deadline: Option<Millis>,
    clock: u32,
    count: u64,
    form: Form,
) {
    facts(out, deadline, clock, form);
    out.push(match kind {
        Kind::Hash => kind::HASH,
        Kind::List => kind::QUICKLIST_2,
        Kind::Set => kind::SET,
        Kind::SortedSet => kind::SORTED_SET_2,
    });
    string(out, key, form);
    length(out, count);
}

/// An element of a table, as [`collection_head`] has announced it: a field with its value, a member, or a member with its
/// score (which the entry of a large sorted set has as its value).
pub(crate) fn element(out: &mut Vec<u8>, kind: Kind, entry: &Entry, form: Form) {
    string(out, entry.key(), form);
    let value = entry.text().unwrap_or_default();
    match kind {
        Kind::Hash => string(out, value, form),
        Kind::SortedSet => out.extend_from_slice(value),
        Kind::Set | Kind::List => {}
    }
}

/// The beginning of a key that is a long string: its `len` bytes are to follow as they are.
pub(crate) fn text_head(
    out: &mut Vec<u8>,
    key: &[u8],
    deadline: Option<Millis>,
    clock: u32,
    len: usize,
    form: Form,
) {
    facts(out, deadline, clock, form);
    out.push(kind::STRING);
    string(out, key, form);
    long_string(out, len);
}

/// The beginning of a string whose `len` bytes are to follow as they are.
pub(crate) fn long_string(out: &mut Vec<u8>, len: usize) {
    length(out, wide(len));
}

/// The beginning of a run that is one long element: its `len` bytes are to follow as they are.
pub(crate) fn long_run(out: &mut Vec<u8>, len: usize) {
    length(out, container::PLAIN);
    long_string(out, len);
}

/// A run of a list's elements.
pub(crate) fn run(out: &mut Vec<u8>, run: Run<'_>, form: Form) {
    if run.len == 1
        && run.bytes.len() >= PLAIN_BYTES_MIN
        && let Some(Element::Text(text)) = run.elements().next()
    {
        length(out, container::PLAIN);
        return string(out, text, form);
    }
    length(out, container::LISTPACK);
    blob(out, form, |blob| listpack(blob, run.len, |body| body.extend_from_slice(run.bytes)));
}

/// A string, coded in the shortest way that `form` allows.
pub(crate) fn string(out: &mut Vec<u8>, text: &[u8], form: Form) {
    if integer_string(out, text) {
        return;
    }
    if is_compressible(text, form) {
        return ROOM.with_borrow_mut(|Room { compressor, compressed, .. }| {
            compressed_or_plain(out, text, compressor, compressed);
        });
    }
    plain(out, text);
}

fn is_compressible(text: &[u8], form: Form) -> bool {
    form.compress && (COMPRESSED_BYTES_MIN..=COMPRESSED_BYTES_MAX).contains(&text.len())
}

fn compressed_or_plain(out: &mut Vec<u8>, text: &[u8], compressor: &mut Compressor, room: &mut Vec<u8>) {
    room.clear();
    if !compressor.compress(text, room) {
        return plain(out, text);
    }
    out.push(CODED | CODED_LZF);
    length(out, wide(room.len()));
    length(out, wide(text.len()));
    out.extend_from_slice(room);
}

/// A string that `fill` makes: never a number.
fn blob(out: &mut Vec<u8>, form: Form, fill: impl FnOnce(&mut Vec<u8>)) {
    ROOM.with_borrow_mut(|Room { compressor, blob, compressed }| {
        blob.clear();
        fill(blob);
        if is_compressible(blob, form) {
            compressed_or_plain(out, blob, compressor, compressed);
        } else {
            plain(out, blob);
        }
        if blob.capacity() > LISTPACK_BYTES_MAX {
            *blob = Vec::new();
        }
    });
}

fn plain(out: &mut Vec<u8>, text: &[u8]) {
    length(out, wide(text.len()));
    out.extend_from_slice(text);
}

/// A string that is a number of up to 32 bits; false, and nothing is written: it is none.
fn integer_string(out: &mut Vec<u8>, text: &[u8]) -> bool {
    if text.len() > INTEGER_TEXT_MAX {
        return false;
    }
    let Some(integer) = parse_integer(text).and_then(|integer| i32::try_from(integer).ok()) else {
        return false;
    };
    if let Ok(byte) = i8::try_from(integer) {
        out.push(CODED | CODED_1_BYTE);
        out.extend_from_slice(&byte.to_le_bytes());
    } else if let Ok(short) = i16::try_from(integer) {
        out.push(CODED | CODED_2_BYTES);
        out.extend_from_slice(&short.to_le_bytes());
    } else {
        out.push(CODED | CODED_4_BYTES);
        out.extend_from_slice(&integer.to_le_bytes());
    }
    true
}

fn length(out: &mut Vec<u8>, length: u64) {
    let [.., high, low] = length.to_be_bytes();
    if length <= SIX_BITS_MAX {
        out.push(low);
    } else if length <= FOURTEEN_BITS_MAX {
        out.extend_from_slice(&[FOURTEEN_BITS | high, low]);
    } else if let Ok(length) = u32::try_from(length) {
        out.push(FOUR_BYTES);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(EIGHT_BYTES);
        out.extend_from_slice(&length.to_be_bytes());
    }
}

fn wide(len: usize) -> u64 {
    u64::try_from(len).expect("a length fits 64 bits")
}

/// What stands in front of a key.
fn facts(out: &mut Vec<u8>, deadline: Option<Millis>, clock: u32, form: Form) {
    if let Some(Millis(deadline)) = deadline {
        out.push(opcode::DEADLINE_MILLIS);
        out.extend_from_slice(&deadline.to_le_bytes());
    }
    match form.noted {
        Noted::Nothing => {}
        Noted::Idle(now) => {
            out.push(opcode::IDLE);
            length(out, u64::from(idle_seconds_of(clock, now)));
        }
        Noted::Count(usage, now) => {
            out.extend_from_slice(&[opcode::FREQUENCY, usage.frequency_of(clock, now).unwrap_or(0)]);
        }
    }
}

/// The type of a value as [`value`] writes it.
fn kind_of(entry: &Entry) -> u8 {
    match entry.value() {
        Value::Text(_) | Value::Object(Object::Text(_)) => kind::STRING,
        Value::PackedHash(bytes) if is_listpack(entry, bytes) => kind::HASH_LISTPACK,
        Value::PackedHash(_) | Value::Object(Object::Hash(_)) => kind::HASH,
        Value::PackedList(_) | Value::Object(Object::List(_)) => kind::QUICKLIST_2,
        Value::IntegerSet(_) => kind::SET_INTEGERS,
        Value::PackedSet(_) | Value::Object(Object::Set(_)) => kind::SET,
        Value::PackedSortedSet(bytes) if is_listpack(entry, bytes) => kind::SORTED_SET_LISTPACK,
        Value::PackedSortedSet(_) | Value::Object(Object::SortedSet(_)) => kind::SORTED_SET_2,
    }
}

/// Whether a packed hash or sorted set becomes a listpack, in which each has two elements.
fn is_listpack(entry: &Entry, bytes: &[u8]) -> bool {
    let pairs = entry.hash().map(|hash| hash.len()).or_else(|| entry.sorted_set().map(|set| set.len()));
    bytes.len() <= LISTPACK_BYTES_MAX && pairs.is_some_and(|pairs| pairs <= LISTPACK_ELEMENTS_MAX / 2)
}

/// A value without its type.
fn value(out: &mut Vec<u8>, entry: &Entry, form: Form) {
    if let Some(text) = entry.text() {
        string(out, text, form);
    } else if let Some(hash) = entry.hash() {
        hash_value(out, hash, kind_of(entry), form);
    } else if let Some(list) = entry.list() {
        list_value(out, list, form);
    } else if let Some(set) = entry.set() {
        set_value(out, set, form);
    } else if let Some(set) = entry.sorted_set() {
        sorted_set_value(out, set, kind_of(entry), form);
    }
}

fn hash_value(out: &mut Vec<u8>, hash: Hash<'_>, kind: u8, form: Form) {
    if kind == kind::HASH_LISTPACK {
        return blob(out, form, |blob| {
            listpack(blob, 2 * hash.len(), |body| {
                hash.for_each(|field, value| {
                    Element::new(field).append_to(body);
                    Element::new(value).append_to(body);
                });
            });
        });
    }
    length(out, wide(hash.len()));
    hash.for_each(|field, value| {
        string(out, field, form);
        string(out, value, form);
    });
}

fn list_value(out: &mut Vec<u8>, list: List<'_>, form: Form) {
    length(out, wide(list.run_count()));
    list.runs().for_each(|one| run(out, one, form));
}

fn set_value(out: &mut Vec<u8>, set: Set<'_>, form: Form) {
    match set {
        Set::Integers(integers) => blob(out, form, |blob| intset(blob, integers)),
        Set::Packed(_) | Set::Table(_) => {
            length(out, wide(set.len()));
            set.for_each(|member| member.with_text(|text| string(out, text, form)));
        }
    }
}

fn intset(blob: &mut Vec<u8>, integers: Integers<'_>) {
    let (width, bytes) = (integers.width(), integers.bytes());
    let narrow = |number: usize| u32::try_from(number).expect("a set of integers is shorter than 4 GiB");
    blob.extend_from_slice(&narrow(width).to_le_bytes());
    blob.extend_from_slice(&narrow(bytes.len() / width).to_le_bytes());
    blob.extend_from_slice(bytes);
}

fn sorted_set_value(out: &mut Vec<u8>, set: SortedSet<'_>, kind: u8, form: Form) {
    if kind == kind::SORTED_SET_LISTPACK {
        return blob(out, form, |blob| {
            listpack(blob, 2 * set.len(), |body| {
                let mut digits = Vec::new();
                set.for_each(|score, member| {
                    digits.clear();
                    slotway_resp::double::write(&mut digits, score);
                    Element::new(member).append_to(body);
                    Element::new(&digits).append_to(body);
                });
            });
        });
    }
    length(out, wide(set.len()));
    set.for_each(|score, member| {
        string(out, member, form);
        out.extend_from_slice(&score.to_le_bytes());
    });
}
