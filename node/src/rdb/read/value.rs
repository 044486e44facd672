//! The values of keys in every encoding that Redis 2.8 to 7.2 writes.

use std::io::Read;

use super::Flaw;
use crate::keyspace::entry::Entry;
use crate::keyspace::list::Element;
use crate::keyspace::load::{Builder, Came};
use crate::keyspace::seed::Seed;
use crate::keyspace::set::Member;
use crate::rdb::compact::{Listpack, integers, ziplist, zipmap};
use crate::rdb::source::Source;
use crate::rdb::{container, kind};

/// Reads values, one after the other.
pub(super) struct Values {
    builder: Builder,
    /// The string that is being looked at.
    text: Vec<u8>,
    /// The field or member in front of it.
    name: Vec<u8>,
}

/// Whether values of this type are known here or at least have a name.
pub(super) fn check_kind(kind: u8) -> Result<(), Flaw> {
    match kind {
        kind::STRING..=kind::MODULE | kind::HASH_ZIPMAP..=kind::STREAM_3 => Ok(()),
        _ => Err(Flaw::Malformed("neither a type of value nor anything else that is known")),
    }
}

/// The name of a module whose data come next.
pub(super) fn module<R: Read>(source: &mut Source<R>, what: &str) -> Flaw {
    match source.count() {
        Ok(id) => Flaw::Unsupported(format!("{what} of the module type '{}'", module_name(id))),
        Err(flaw) => flaw,
    }
}

/// Nine letters of six bits each, above ten bits of a version.
fn module_name(id: u64) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let letter = |nth: u32| {
        let index = usize::try_from(id >> (58 - 6 * nth) & 0x3F).expect("six bits");
        char::from(LETTERS[index])
    };
    (0..9).map(letter).collect()
}

impl Values {
    pub(super) fn new(builder: Builder) -> Values {
        Values { builder, text: Vec::new(), name: Vec::new() }
    }

    pub(super) fn seed(&self) -> &Seed {
        self.builder.seed()
    }

    /// The value of a key as its entry; None: it is a collection without elements.
    pub(super) fn read<R: Read>(
        &mut self,
        source: &mut Source<R>,
        kind: u8,
        key: &[u8],
    ) -> Result<Option<Entry>, Flaw> {
        match kind {
            kind::STRING => self.string(source, key).map(Some),
            kind::HASH => self.hash(source, key),
            kind::HASH_LISTPACK | kind::HASH_ZIPLIST | kind::HASH_ZIPMAP => {
                self.packed_hash(source, kind, key)
            }
            kind::SET => self.set(source, key),
            kind::SET_INTEGERS | kind::SET_LISTPACK => self.packed_set(source, kind, key),
            kind::SORTED_SET | kind::SORTED_SET_2 => self.sorted_set(source, kind, key),
            kind::SORTED_SET_LISTPACK | kind::SORTED_SET_ZIPLIST => self.packed_sorted_set(source, kind, key),
            kind::LIST => self.list(source, key),
            kind::LIST_ZIPLIST | kind::QUICKLIST | kind::QUICKLIST_2 => self.list_of_nodes(source, kind, key),
            kind::STREAM | kind::STREAM_2 | kind::STREAM_3 => Err(Flaw::Unsupported("a stream".to_owned())),
            kind::MODULE | kind::MODULE_EARLY => Err(module(source, "a value")),
            _ => Err(Flaw::Malformed("an unknown type of value")),
        }
    }

    fn string<R: Read>(&mut self, source: &mut Source<R>, key: &[u8]) -> Result<Entry, Flaw> {
        Ok(match source.string_or(&mut self.text)? {
            Some(text) => Builder::text(key, text),
            None => Builder::own_text(key, &mut self.text),
        })
    }

    fn hash<R: Read>(&mut self, source: &mut Source<R>, key: &[u8]) -> Result<Option<Entry>, Flaw> {
        let fields = source.count()?;
        let mut hash = self.builder.hash(fields);
        for _ in 0..fields {
            source.string_to(&mut self.name)?;
            hash.push(&self.name, source.string(&mut self.text)?)?;
        }
        Ok(hash.finish(key)?)
    }

    fn packed_hash<R: Read>(
        &mut self,
        source: &mut Source<R>,
        kind: u8,
        key: &[u8],
    ) -> Result<Option<Entry>, Flaw> {
        let bytes = source.string(&mut self.text)?;
        let mut hash = self.builder.hash(0);
        let pairs = Pairs::default();
        let push = |field: Element<'_>, value: Element<'_>| {
            let (mut one, mut other) = (itoa::Buffer::new(), itoa::Buffer::new());
            Ok(hash.push(field.text(&mut one), value.text(&mut other))?)
        };
        match kind {
            kind::HASH_ZIPMAP => zipmap(bytes, |field, value| Ok::<(), Flaw>(hash.push(field, value)?))?,
            kind::HASH_ZIPLIST => pairs.of(|each| ziplist(bytes, each), push)?,
            _ => pairs.of(|each| Listpack::new(bytes)?.for_each(each), push)?,
        }
        Ok(hash.finish(key)?)
    }

    fn set<R: Read>(&mut self, source: &mut Source<R>, key: &[u8]) -> Result<Option<Entry>, Flaw> {
        let members = source.count()?;
        let mut set = self.builder.set(members);
        for _ in 0..members {
            set.push(Member::Text(source.string(&mut self.text)?))?;
        }
        Ok(set.finish(key)?)
    }

    fn packed_set<R: Read>(
        &mut self,
        source: &mut Source<R>,
        kind: u8,
        key: &[u8],
    ) -> Result<Option<Entry>, Flaw> {
        let bytes = source.string(&mut self.text)?;
        if kind == kind::SET_INTEGERS {
            let mut set = self.builder.set(0);
            integers(bytes, |integer| Ok::<(), Flaw>(set.push(Member::Integer(integer))?))?;
            return Ok(set.finish(key)?);
        }
        let mut set = self.builder.packed_set();
        Listpack::new(bytes)?.for_each(|element| {
            let member = match element {
                Element::Text(text) => Member::Text(text),
                Element::Integer(integer) => Member::Integer(integer),
            };
            Ok::<(), Flaw>(set.push(member)?)
        })?;
        Ok(set.finish(key)?)
    }

    fn sorted_set<R: Read>(
        &mut self,
        source: &mut Source<R>,
        kind: u8,
        key: &[u8],
    ) -> Result<Option<Entry>, Flaw> {
        let members = source.count()?;
        let mut set = self.builder.sorted_set();
        for _ in 0..members {
            source.string_to(&mut self.name)?;
            let score = match kind {
                kind::SORTED_SET_2 => f64::from_le_bytes(source.array()?),
                _ => decimal_score(source)?,
            };
            set.push(score, &self.name)?;
        }
        Ok(set.finish(key, Came::InAnyOrder)?)
    }

    fn packed_sorted_set<R: Read>(
        &mut self,
        source: &mut Source<R>,
        kind: u8,
        key: &[u8],
    ) -> Result<Option<Entry>, Flaw> {
        let bytes = source.string(&mut self.text)?;
        let mut set = self.builder.sorted_set();
        let pairs = Pairs::default();
        let push = |member: Element<'_>, score: Element<'_>| {
            Ok(set.push(score_of(score)?, member.text(&mut itoa::Buffer::new()))?)
        };
        match kind {
            kind::SORTED_SET_ZIPLIST => pairs.of(|each| ziplist(bytes, each), push)?,
            _ => pairs.of(|each| Listpack::new(bytes)?.for_each(each), push)?,
        }
        Ok(set.finish(key, Came::InOrder)?)
    }

    fn list<R: Read>(&mut self, source: &mut Source<R>, key: &[u8]) -> Result<Option<Entry>, Flaw> {
        let elements = source.count()?;
        let mut list = self.builder.list();
        for _ in 0..elements {
            list.push(source.string(&mut self.text)?);
        }
        Ok(list.finish(key))
    }

    fn list_of_nodes<R: Read>(
        &mut self,
        source: &mut Source<R>,
        kind: u8,
        key: &[u8],
    ) -> Result<Option<Entry>, Flaw> {
        let nodes = if kind == kind::LIST_ZIPLIST { 1 } else { source.count()? };
        let mut list = self.builder.list();
        for _ in 0..nodes {
            let container = if kind == kind::QUICKLIST_2 { source.count()? } else { container::LISTPACK };
            let node = source.string(&mut self.text)?;
            let mut push = |element: Element<'_>| {
                list.push(element.text(&mut itoa::Buffer::new()));
                Ok::<(), Flaw>(())
            };
            match (kind, container) {
                (kind::QUICKLIST_2, container::PLAIN) => list.push(node),
                (kind::QUICKLIST_2, container::LISTPACK) => {
                    let node = Listpack::new(node)?;
                    match node.run()? {
                        Some(run) => list.push_run(run),
                        None => node.for_each(push)?,
                    }
                }
                (kind::QUICKLIST_2, _) => return Err("a node of a list of an unknown kind".into()),
                _ => ziplist(node, &mut push)?,
            }
        }
        Ok(list.finish(key))
    }
}

/// Makes pairs of elements that come one by one.
#[derive(Default)]
struct Pairs<'a>(Option<Element<'a>>);

impl<'a> Pairs<'a> {
    /// Calls `push` with each two of the elements that `walk` brings.
    fn of(
        mut self,
        walk: impl FnOnce(&mut dyn FnMut(Element<'a>) -> Result<(), Flaw>) -> Result<(), Flaw>,
        mut push: impl FnMut(Element<'a>, Element<'a>) -> Result<(), Flaw>,
    ) -> Result<(), Flaw> {
        walk(&mut |element| match self.0.take() {
            Some(first) => push(first, element),
            None => {
                self.0 = Some(element);
                Ok(())
            }
        })?;
        match self.0 {
            Some(_) => Err("a collection of pairs with an odd number of elements".into()),
            None => Ok(()),
        }
    }
}

/// A score that stands where elements stand.
fn score_of(element: Element<'_>) -> Result<f64, Flaw> {
    match element {
        #[expect(clippy::cast_precision_loss, reason = "Redis takes a whole score for a double, too")]
        Element::Integer(integer) => Ok(integer as f64),
        Element::Text(text) => slotway_resp::double::parse(text).ok_or(NO_SCORE),
    }
}

const NO_SCORE: Flaw = Flaw::Malformed("a sorted set with a score that is not a number");

/// A score as it was written up to version 7: its digits behind their number, of which the last three stand for what has
/// no digits.
fn decimal_score<R: Read>(source: &mut Source<R>) -> Result<f64, Flaw> {
    match source.byte()? {
        253 => Ok(f64::NAN),
        254 => Ok(f64::INFINITY),
        255 => Ok(f64::NEG_INFINITY),
        len => slotway_resp::double::parse(source.bytes(usize::from(len))?).ok_or(NO_SCORE),
    }
}
