//! In which words a walk says what it takes: as records of a snapshot, or as the commands that make the keys.
//!
//! Commands are what a log begins with whose owner wants to read it (`aof-use-rdb-preamble no`): SET, RPUSH, SADD, ZADD and
//! HMSET, of [`ELEMENTS_MAX`] elements at most, so that no command is long, then PEXPIREAT. They say nothing of how a value was
//! kept or used. A collection that is taken piece by piece is as many commands as it has pieces; its deadline stands behind the
//! last.

use slotway_cluster::Database;
use slotway_resp::{double, write as resp};

use crate::call::Millis;
use crate::keyspace::entry::Entry;
use crate::keyspace::list::Run;
use crate::rdb::Form;
use crate::rdb::write::{self, Kind};

/// Elements of one command at most, as in Redis.
const ELEMENTS_MAX: usize = 64;

/// How a walk writes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wording {
    Records(Form),
    Commands,
}

/// A collection as it was when the walk began.
pub(super) struct Head<'a> {
    pub(super) kind: Kind,
    pub(super) key: &'a [u8],
    pub(super) deadline: Option<Millis>,
    /// What its entry says of its use.
    pub(super) clock: u32,
    /// Elements, or runs of a list.
    pub(super) count: usize,
}

/// What stands behind the last byte of a long string. Records have nothing there.
pub(super) type Tail = Vec<u8>;

impl Wording {
    /// What follows is of this database.
    pub(super) fn select(self, out: &mut Vec<u8>, database: Database) {
        match self {
            Wording::Records(_) => write::select(out, database),
            Wording::Commands => {
                resp::request(out, &["SELECT", itoa::Buffer::new().format(database.0)]);
            }
        }
    }

    /// How many keys are to come, and how many of them have a deadline: a hint.
    pub(super) fn sizes(self, out: &mut Vec<u8>, keys: u64, deadlines: u64) {
        match self {
            Wording::Records(_) => write::resize(out, keys, deadlines),
            Wording::Commands => {}
        }
    }

    /// A key with all that is known of it.
    pub(super) fn record(self, out: &mut Vec<u8>, entry: &Entry) {
        match self {
            Wording::Records(form) => write::record(out, entry, form),
            Wording::Commands => {
                value(out, entry);
                deadline(out, entry.key(), entry.deadline());
            }
        }
    }

    /// The beginning of a key that is a string, whose `len` bytes are to follow, and then what is returned.
    pub(super) fn long_text(self, out: &mut Vec<u8>, entry: &Entry, len: usize) -> Tail {
        match self {
            Wording::Records(form) => {
                write::text_head(out, entry.key(), entry.deadline(), entry.clock(), len, form);
                Tail::new()
            }
            Wording::Commands => {
                let mut tail = long(out, &[b"SET", entry.key()], len);
                deadline(&mut tail, entry.key(), entry.deadline());
                tail
            }
        }
    }

    /// The beginning of a collection whose elements are to follow.
    pub(super) fn collection_head(self, out: &mut Vec<u8>, head: &Head<'_>) {
        match self {
            Wording::Records(form) => {
                let count = u64::try_from(head.count).expect("a count fits 64 bits");
                write::collection_head(out, head.kind, head.key, head.deadline, head.clock, count, form);
            }
            Wording::Commands => {}
        }
    }

    /// Behind the last element.
    pub(super) fn collection_end(self, out: &mut Vec<u8>, head: &Head<'_>) {
        match self {
            Wording::Records(_) => {}
            Wording::Commands => deadline(out, head.key, head.deadline),
        }
    }

    /// Elements of a table. Returns how many there were.
    pub(super) fn elements<'e>(
        self,
        out: &mut Vec<u8>,
        head: &Head<'_>,
        elements: impl Iterator<Item = &'e Entry> + Clone,
    ) -> usize {
        let mut count = 0;
        match self {
            Wording::Records(form) => elements.for_each(|element| {
                count += 1;
                write::element(out, head.kind, element, form);
            }),
            Wording::Commands => {
                count = elements.clone().count();
                let mut adding = Adding::new(head.kind, head.key, count);
                elements.for_each(|element| adding.element(out, element));
            }
        }
        count
    }

    /// The beginning of a field whose value, `len` bytes, is to follow, and then what is returned.
    pub(super) fn long_field(self, out: &mut Vec<u8>, head: &Head<'_>, field: &[u8], len: usize) -> Tail {
        match self {
            Wording::Records(form) => {
                write::string(out, field, form);
                write::long_string(out, len);
                Tail::new()
            }
            Wording::Commands => long(out, &[b"HMSET", head.key, field], len),
        }
    }

    /// Elements of a list.
    pub(super) fn run(self, out: &mut Vec<u8>, head: &Head<'_>, run: Run<'_>) {
        match self {
            Wording::Records(form) => write::run(out, run, form),
            Wording::Commands => pushed(out, head.key, run, run.len),
        }
    }

    /// The beginning of a list's element, whose `len` bytes are to follow, and then what is returned.
    pub(super) fn long_run(self, out: &mut Vec<u8>, head: &Head<'_>, len: usize) -> Tail {
        match self {
            Wording::Records(_) => {
                write::long_run(out, len);
                Tail::new()
            }
            Wording::Commands => long(out, &[b"RPUSH", head.key], len),
        }
    }
}

/// A command up to the bytes of its last word. Returns what closes it.
fn long(out: &mut Vec<u8>, words: &[&[u8]], len: usize) -> Tail {
    resp::array(out, words.len() + 1);
    words.iter().for_each(|word| resp::bulk(out, word));
    resp::bulk_header(out, len);
    b"\r\n".to_vec()
}

fn deadline(out: &mut Vec<u8>, key: &[u8], deadline: Option<Millis>) {
    if let Some(Millis(deadline)) = deadline {
        resp::request(out, &[b"PEXPIREAT", key, itoa::Buffer::new().format(deadline).as_bytes()]);
    }
}

fn value(out: &mut Vec<u8>, entry: &Entry) {
    let key = entry.key();
    if let Some(text) = entry.text() {
        resp::request(out, &[b"SET", key, text]);
    } else if let Some(hash) = entry.hash() {
        let mut adding = Adding::new(Kind::Hash, key, hash.len());
        hash.for_each(|field, value| {
            adding.begin(out);
            resp::bulk(out, field);
            resp::bulk(out, value);
        });
    } else if let Some(list) = entry.list() {
        let mut adding = Adding::new(Kind::List, key, list.len());
        list.iter().for_each(|element| {
            adding.begin(out);
            element.write_bulk(out);
        });
    } else if let Some(set) = entry.set() {
        let mut adding = Adding::new(Kind::Set, key, set.len());
        set.for_each(|member| {
            adding.begin(out);
            member.with_text(|text| resp::bulk(out, text));
        });
    } else if let Some(set) = entry.sorted_set() {
        let mut adding = Adding::new(Kind::SortedSet, key, set.len());
        set.for_each(|score, member| {
            adding.begin(out);
            scored(out, score, member);
        });
    }
}

fn pushed(out: &mut Vec<u8>, key: &[u8], run: Run<'_>, count: usize) {
    let mut adding = Adding::new(Kind::List, key, count);
    run.elements().for_each(|element| {
        adding.begin(out);
        element.write_bulk(out);
    });
}

fn scored(out: &mut Vec<u8>, score: f64, member: &[u8]) {
    let mut digits = Vec::new();
    double::write(&mut digits, score);
    resp::bulk(out, &digits);
    resp::bulk(out, member);
}

/// Elements that are added to a collection, by as many commands as it takes.
struct Adding<'a> {
    kind: Kind,
    key: &'a [u8],
    /// Elements that are in no command yet.
    left: usize,
    /// Elements that the present command still takes.
    room: usize,
}

impl<'a> Adding<'a> {
    fn new(kind: Kind, key: &'a [u8], count: usize) -> Adding<'a> {
        Adding { kind, key, left: count, room: 0 }
    }

    /// The words of an element are to follow.
    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.room == 0 {
            let (command, words) = match self.kind {
                Kind::Hash => ("HMSET", 2),
                Kind::List => ("RPUSH", 1),
                Kind::Set => ("SADD", 1),
                Kind::SortedSet => ("ZADD", 2),
            };
            self.room = self.left.min(ELEMENTS_MAX);
            self.left -= self.room;
            resp::array(out, 2 + self.room * words);
            resp::bulk(out, command.as_bytes());
            resp::bulk(out, self.key);
        }
        self.room -= 1;
    }

    /// An element of a table.
    fn element(&mut self, out: &mut Vec<u8>, element: &Entry) {
        self.begin(out);
        let value = element.text().unwrap_or_default();
        match self.kind {
            Kind::Hash => {
                resp::bulk(out, element.key());
                resp::bulk(out, value);
            }
            Kind::SortedSet => {
                let bits = value.try_into().map_or(0, u64::from_le_bytes);
                scored(out, f64::from_bits(bits), element.key());
            }
            Kind::Set | Kind::List => resp::bulk(out, element.key()),
        }
    }
}
