//! How a walk writes what it takes: in pieces, each small.
//!
//! A record of a key may not be interrupted by another, but the caller may be between two pieces of it: so what is under
//! way comes first, then what was set aside (it costs memory), then the next part of keys. Long strings are shared and
//! written slice by slice; they are not compressed, for which they would have to be read as a whole.

use slotway_cluster::slot::DATABASES;
use slotway_cluster::{Database, Slot};

use super::Progress;
use super::frozen::{FreezeId, Rest};
use super::walks::{COPY_BYTES, Estate, Position, Waiting, Walk};
use super::wording::{Head, Tail, Wording};
use crate::keyspace::contents::Contents;
use crate::keyspace::entry::{Entry, Form, Value};
use crate::keyspace::garbage::Garbage;
use crate::keyspace::list::{Chunk, Chunks, Element, Link};
use crate::keyspace::long_text::LongText;
use crate::keyspace::object::Object;
use crate::keyspace::seed::Seed;

/// What a step costs beside what it writes, in bytes that it could have written in that time.
const STEP_BYTES: usize = 128;

/// Strings above this are written in slices.
const LONG_BYTES: usize = if cfg!(test) { 100 << 10 } else { 256 << 10 };

const SLICE_BYTES: usize = 16 << 10;

/// Elements that were set aside and are written in one step.
const ELEMENTS_PER_STEP: usize = 32;

/// What a walk has begun to write.
#[derive(Default)]
pub(super) struct UnderWay {
    selected: Option<Database>,
    /// The databases of which the sizes are written, as bits.
    announced: u32,
    collection: Option<Begun>,
    string: Option<Long>,
    /// Keys that are written, or begun.
    pub(super) keys: u64,
}

struct Begun {
    id: FreezeId,
    /// Pieces that are written.
    written: usize,
}

/// The rest of a long string.
struct Long {
    string: Shared,
    from: usize,
    /// What stands behind it.
    tail: Tail,
}

enum Shared {
    /// Of a key.
    Value(LongText),
    /// Of a hash.
    Field(LongText),
    /// The only element of a chunk.
    Element(Link),
}

impl Shared {
    fn bytes(&self) -> &[u8] {
        match self {
            Shared::Value(text) | Shared::Field(text) => text,
            Shared::Element(chunk) => only_text(chunk).unwrap_or_default(),
        }
    }
}

/// The text of a chunk that holds nothing else.
fn only_text(chunk: &Chunk) -> Option<&[u8]> {
    let run = chunk.as_run();
    match run.elements().next() {
        Some(Element::Text(text)) if run.len == 1 => Some(text),
        _ => None,
    }
}

/// A walk that goes on, and all that it goes through.
pub(super) struct Pieces<'a> {
    pub(super) walk: &'a mut Walk,
    pub(super) clock: &'a mut u64,
    pub(super) contents: &'a mut [Contents],
    pub(super) estate: &'a mut Estate,
    pub(super) seed: &'a Seed,
    pub(super) garbage: &'a mut Garbage,
    pub(super) out: &'a mut Vec<u8>,
}

impl Pieces<'_> {
    pub(super) fn take(mut self, bytes: usize) -> Progress {
        let mut left = bytes;
        loop {
            let before = self.out.len();
            if self.step() == Progress::Ended {
                return Progress::Ended;
            }
            left = left.saturating_sub(self.out.len() - before + STEP_BYTES);
            if left == 0 {
                return Progress::More;
            }
        }
    }

    fn step(&mut self) -> Progress {
        let under_way = &mut self.walk.under_way;
        if let Some(long) = under_way.string.take() {
            self.slice(long);
        } else if let Some(begun) = under_way.collection.take() {
            self.go_on_with(begun);
        } else if let Some((database, waiting)) = self.walk.waiting.pop_front() {
            select(self.walk, self.out, database);
            match waiting {
                Waiting::Copy(entry) => self.copied(entry),
                Waiting::Collection(id) => self.begin(id),
            }
        } else {
            return self.next_part();
        }
        Progress::More
    }

    fn slice(&mut self, long: Long) {
        let rest = &long.string.bytes()[long.from..];
        let slice = &rest[..rest.len().min(SLICE_BYTES)];
        self.out.extend_from_slice(slice);
        let from = long.from + slice.len();
        if slice.len() < rest.len() {
            self.walk.under_way.string = Some(Long { from, ..long });
            return;
        }
        self.out.extend_from_slice(&long.tail);
        if let Shared::Value(text) = long.string {
            self.give_back(text);
        }
    }

    /// Lets go of a long string.
    fn give_back(&mut self, text: LongText) {
        if self.walk.texts.give_back(&text) {
            self.garbage.add_object(Box::new(Object::Text(text)));
        }
    }

    /// Writes a key that was set aside.
    fn copied(&mut self, mut entry: Entry) {
        let wording = self.walk.wording;
        self.walk.under_way.keys += 1;
        self.walk.held.give_back(entry.allocated() + COPY_BYTES);
        let Value::Object(Object::Text(text)) = entry.value() else {
            return wording.record(self.out, &entry);
        };
        if text.len() <= LONG_BYTES {
            wording.record(self.out, &entry);
            if let Some(Object::Text(text)) = entry.take_object().map(|object| *object) {
                self.give_back(text);
            }
            return;
        }
        let tail = wording.long_text(self.out, &entry, text.len());
        self.walk.under_way.string = Some(Long { string: Shared::Value(text.clone()), from: 0, tail });
    }

    fn begin(&mut self, id: FreezeId) {
        let Some(frozen) = self.walk.frozen.get(&id) else { return };
        self.walk.wording.collection_head(self.out, &frozen.head());
        self.walk.under_way.keys += 1;
        self.walk.under_way.collection = Some(Begun { id, written: 0 });
    }

    /// Writes some more of a collection: what was set aside of it, then from itself.
    fn go_on_with(&mut self, mut begun: Begun) {
        let Pieces { walk, contents, estate, seed, out, garbage, .. } = self;
        let Some(frozen) = walk.frozen.get(&begun.id) else { return };
        let (head, wording) = (frozen.head(), walk.wording);
        let mut writer = Elements { head, wording, out, written: &mut begun.written, long: None };
        let mut rest = frozen.handle.rest();
        if !rest.elements.is_empty() {
            writer.kept(&mut rest);
        } else if let Some(chunk) = rest.chunks.pop_front() {
            writer.chunk(chunk);
        } else if let Some(from) = rest.from {
            rest.from = match estate.find(frozen, contents, seed) {
                Some(Object::List(list)) => writer.next_chunk(list, from),
                Some(object) => writer.next_part(object, from, begun.id, seed, &mut rest),
                None => unreachable!("a frozen collection is known wherever it goes, or sets itself aside"),
            };
        } else {
            drop(rest);
            debug_assert_eq!(begun.written, frozen.count, "a collection is written as it was");
            wording.collection_end(out, &frozen.head());
            estate.thaw(frozen, begun.id, contents, seed, garbage);
            walk.frozen.remove(&begun.id);
            return;
        }
        let long = writer.long;
        drop(rest);
        walk.under_way.string = long;
        walk.under_way.collection = Some(begun);
    }

    /// Writes the next part of keys, and lets its collections and long strings wait until it is written.
    fn next_part(&mut self) -> Progress {
        let Pieces { walk, clock, contents, estate, seed, out, .. } = self;
        let Some(position) = walk.position else { return Progress::Ended };
        let source = walk.sources[usize::from(position.database.0)];
        let home = Slot::new(0).expect("the first slot");
        let found = estate.contents_of(source, contents).and_then(|contents| {
            let slot = contents.next_slot(position.slot, home)?;
            Some((slot.number(), contents.table_mut(slot)?))
        });
        let Some((slot, table)) = found else {
            let next = Database(position.database.0 + 1);
            let start = Position { database: next, slot: 0, hash: 0 };
            walk.position = (next.0 < DATABASES).then_some(start);
            return Progress::More;
        };
        let hash = if slot == position.slot { position.hash } else { 0 };
        table.lighten(hash, seed);
        let mut end = None;
        if let Some(part) = table.part_mut(hash) {
            end = part.end(hash);
            if !walk.has_version(part.header.version) {
                select(walk, out, position.database);
                for entry in part.untold_mut(walk.version()) {
                    match entry.form() {
                        Form::Object => walk.keep(position.database, source, entry, clock, seed),
                        _ => {
                            walk.under_way.keys += 1;
                            walk.wording.record(out, entry);
                        }
                    }
                }
            }
        }
        walk.position = Some(match end {
            Some(hash) => Position { slot, hash, ..position },
            None => Position { slot: slot + 1, hash: 0, ..position },
        });
        Progress::More
    }
}

/// Says which database the next record is of, and at first how large it was.
fn select(walk: &mut Walk, out: &mut Vec<u8>, database: Database) {
    let under_way = &mut walk.under_way;
    if under_way.selected == Some(database) {
        return;
    }
    under_way.selected = Some(database);
    walk.wording.select(out, database);
    let bit = 1 << database.0;
    if under_way.announced & bit == 0 {
        under_way.announced |= bit;
        let (keys, deadlines) = walk.sizes[usize::from(database.0)];
        walk.wording.sizes(out, keys, deadlines);
    }
}

/// Writes a collection's elements.
struct Elements<'a> {
    head: Head<'a>,
    wording: Wording,
    out: &'a mut Vec<u8>,
    written: &'a mut usize,
    /// An element whose last string is to be written slice by slice.
    long: Option<Long>,
}

impl Elements<'_> {
    /// Some of the elements that were set aside: up to the first long one.
    fn kept(&mut self, rest: &mut Rest) {
        let mut taken = Vec::with_capacity(ELEMENTS_PER_STEP);
        let mut long = None;
        while taken.len() < ELEMENTS_PER_STEP
            && let Some(element) = rest.take_element()
        {
            if matches!(element.value(), Value::Object(Object::Text(text)) if text.len() > LONG_BYTES) {
                long = Some(element);
                break;
            }
            taken.push(element);
        }
        *self.written += self.wording.elements(self.out, &self.head, taken.iter());
        if let Some(element) = long
            && let Value::Object(Object::Text(text)) = element.value()
        {
            *self.written += 1;
            let tail = self.wording.long_field(self.out, &self.head, element.key(), text.len());
            self.long = Some(Long { string: Shared::Field(text.clone()), from: 0, tail });
        }
    }

    /// The part of a table from this hash on; returns where the next begins.
    fn next_part(
        &mut self,
        object: &mut Object,
        from: u64,
        id: FreezeId,
        seed: &Seed,
        rest: &mut Rest,
    ) -> Option<u64> {
        let table = object.table_mut()?;
        table.lighten(from, seed);
        let part = table.part(from)?;
        if part.header.version < id.version() {
            let is_shared = |element: &&Entry| matches!(element.value(), Value::Object(_));
            part.entries().filter(is_shared).for_each(|element| rest.keep(element));
            let others = part.entries().filter(|element| !is_shared(element));
            *self.written += self.wording.elements(self.out, &self.head, others);
        }
        part.end(from)
    }

    /// The chunk of this number; returns that of the next.
    fn next_chunk(&mut self, list: &mut Chunks, from: u64) -> Option<u64> {
        let index = usize::try_from(from).ok()?;
        let chunk = list.chunks().get(index)?;
        if only_text(chunk).is_some_and(|text| text.len() > LONG_BYTES) {
            let shared = list.share_chunk(index)?;
            self.chunk(shared);
        } else {
            *self.written += 1;
            self.wording.run(self.out, &self.head, chunk.as_run());
        }
        Some(from + 1)
    }

    fn chunk(&mut self, chunk: Link) {
        *self.written += 1;
        match only_text(&chunk).map(<[u8]>::len) {
            Some(len) if len > LONG_BYTES => {
                let tail = self.wording.long_run(self.out, &self.head, len);
                self.long = Some(Long { string: Shared::Element(chunk), from: 0, tail });
            }
            _ => self.wording.run(self.out, &self.head, chunk.as_run()),
        }
    }
}
