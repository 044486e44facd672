//! Reading RDB: keys of a file or a stream one by one, each built as an entry that only needs to be inserted.
//!
//! Reading touches no keyspace, so a helper thread does it, and hands records over in batches. Every byte may be wrong:
//! whatever comes is a record or a [`ReadError`] that says what is wrong and where, never a panic, and never more memory than
//! what has come asks for.

mod error;
mod value;

use std::io::Read;

use slotway_cluster::Database;
use slotway_cluster::slot::DATABASES;

pub(crate) use error::{Flaw, ReadError};

use super::source::{BUFFER_BYTES, Source};
use super::{Checksum, MAGIC, VERSION_CHECKSUM, VERSION_MAX, opcode};
use crate::call::Millis;
use crate::keyspace::Settings;
use crate::keyspace::entry::Entry;
use crate::keyspace::load::{Builder, Record};
use crate::keyspace::seed::Seed;
use crate::keyspace::usage::Known;
use value::Values;

/// What a file holds, in its order.
pub(crate) enum Item {
    Key(Record),
    /// Something that is known of the file.
    Aux {
        name: Vec<u8>,
        value: Vec<u8>,
    },
    /// How many keys are said to come in a database, and how many of them with a deadline.
    Resize {
        database: Database,
        keys: u64,
        deadlines: u64,
    },
}

/// Reads one file or stream to its end mark.
pub(crate) struct Reader<R> {
    source: Source<R>,
    values: Values,
    stage: Stage,
    database: Database,
    /// The name of the key that is being read.
    key: Vec<u8>,
    skipped_empty: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    /// Of a file of this version.
    Body(u16),
    Ended,
}

/// What stood in front of a key.
#[derive(Default)]
struct Facts {
    deadline: Option<Millis>,
    known: Option<Known>,
}

impl<R: Read> Reader<R> {
    /// `seed` and `settings` are those of the keyspace that the keys are for.
    pub(crate) fn new(reader: R, seed: Seed, settings: Settings) -> Reader<R> {
        Reader {
            source: Source::new(reader, BUFFER_BYTES),
            values: Values::new(Builder::new(seed, settings)),
            stage: Stage::Header,
            database: Database(0),
            key: Vec::new(),
            skipped_empty: 0,
        }
    }

    /// The next item; None: the end mark was read, and the checksum behind it was right.
    pub(crate) fn next(&mut self) -> Result<Option<Item>, ReadError> {
        self.read_next().map_err(|flaw| ReadError { offset: self.source.offset(), flaw })
    }

    /// Bytes that were read so far.
    pub(crate) fn offset(&self) -> u64 {
        self.source.offset()
    }

    /// Keys whose collections had no elements: they are passed over, as Redis does.
    pub(crate) fn skipped_empty(&self) -> u64 {
        self.skipped_empty
    }

    /// The reader, and what was read from it that lies behind the end mark.
    pub(crate) fn into_parts(self) -> (R, Vec<u8>) {
        self.source.into_parts()
    }

    fn read_next(&mut self) -> Result<Option<Item>, Flaw> {
        let version = match self.stage {
            Stage::Header => self.read_header()?,
            Stage::Body(version) => version,
            Stage::Ended => return Ok(None),
        };
        let mut facts = Facts::default();
        loop {
            match self.source.byte()? {
                opcode::DEADLINE_MILLIS => {
                    facts.deadline = Some(deadline(i64::from_le_bytes(self.source.array()?)));
                }
                opcode::DEADLINE_SECONDS => {
                    facts.deadline =
                        Some(deadline(i64::from(i32::from_le_bytes(self.source.array()?)) * 1000));
                }
                opcode::IDLE => facts.known = Some(Known::Idle(self.source.count()?)),
                opcode::FREQUENCY => facts.known = Some(Known::Count(self.source.byte()?)),
                opcode::SELECT => self.database = database(self.source.count()?)?,
                opcode::RESIZE => {
                    let (keys, deadlines) = (self.source.count()?, self.source.count()?);
                    return Ok(Some(Item::Resize { database: self.database, keys, deadlines }));
                }
                opcode::AUX => return self.read_aux().map(Some),
                opcode::MODULE_AUX => return Err(value::module(&mut self.source, "data of its own")),
                opcode::FUNCTION | opcode::FUNCTION_EARLY => self.read_function()?,
                opcode::END => return self.read_end(version),
                kind => match self.read_key(kind, &facts)? {
                    Some(record) => return Ok(Some(Item::Key(record))),
                    None => {
                        self.skipped_empty += 1;
                        facts = Facts::default();
                    }
                },
            }
        }
    }

    fn read_header(&mut self) -> Result<u16, Flaw> {
        let header: [u8; 9] = self.source.array()?;
        let digits = header.strip_prefix(MAGIC).ok_or(Flaw::NotRdb)?;
        let digits = digits
            .iter()
            .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u16::from(byte - b'0')));
        let version = digits.ok_or(Flaw::NotRdb)?;
        if !(1..=VERSION_MAX).contains(&version) {
            return Err(Flaw::Version(version));
        }
        self.stage = Stage::Body(version);
        Ok(version)
    }

    fn read_aux(&mut self) -> Result<Item, Flaw> {
        let (mut name, mut value) = (Vec::new(), Vec::new());
        self.source.string_to(&mut name)?;
        self.source.string_to(&mut value)?;
        Ok(Item::Aux { name, value })
    }

    /// A library of functions: none of them can run here.
    fn read_function(&mut self) -> Result<(), Flaw> {
        let mut code = Vec::new();
        self.source.string_to(&mut code)?;
        if code.is_empty() { Ok(()) } else { Err(Flaw::Unsupported("a library of functions".to_owned())) }
    }

    fn read_key(&mut self, kind: u8, facts: &Facts) -> Result<Option<Record>, Flaw> {
        value::check_kind(kind)?;
        self.source.string_to(&mut self.key)?;
        let entry = match self.values.read(&mut self.source, kind, &self.key) {
            Ok(entry) => entry,
            Err(flaw) => {
                let key = String::from_utf8_lossy(&self.key).into_owned();
                return Err(Flaw::Key { key, database: self.database, flaw: Box::new(flaw) });
            }
        };
        Ok(entry.map(|entry| {
            let entry = match facts.deadline {
                Some(deadline) => entry.with_deadline(deadline),
                None => entry,
            };
            Record::new(self.database, entry, facts.known, self.values.seed())
        }))
    }

    fn read_end(&mut self, version: u16) -> Result<Option<Item>, Flaw> {
        if version >= VERSION_CHECKSUM {
            let computed = self.source.checksum();
            let written = u64::from_le_bytes(self.source.array()?);
            // 0: whoever wrote it was told to leave the checksum out.
            if written != 0 && written != computed {
                return Err(Flaw::Checksum { written, computed });
            }
        }
        self.stage = Stage::Ended;
        Ok(None)
    }
}

/// Redis takes a time before 1970 for one, and so for long past.
fn deadline(millis: i64) -> Millis {
    Millis(u64::try_from(millis).unwrap_or(0))
}

fn database(number: u64) -> Result<Database, Flaw> {
    let number = u8::try_from(number).ok().filter(|&number| number < DATABASES);
    number.map(Database).ok_or(Flaw::Malformed("a database beyond the sixteen that there are"))
}

/// Bytes behind the value of a DUMP: version and checksum.
const DUMP_FOOTER: usize = 10;

/// The footer of a DUMP says a version that is newer than any we know, or a wrong checksum.
#[derive(Debug)]
pub(crate) struct BadFooter;

/// The value of a DUMP without its footer, which is right.
pub(crate) fn dump_body(payload: &[u8]) -> Result<&[u8], BadFooter> {
    let (body, footer) =
        payload.len().checked_sub(DUMP_FOOTER).map(|at| payload.split_at(at)).ok_or(BadFooter)?;
    let [low, high, checksum @ ..] = footer else { return Err(BadFooter) };
    let version = u16::from_le_bytes([*low, *high]);
    let is_right = checksum == Checksum::of(&payload[..payload.len() - size_of::<u64>()]).to_le_bytes();
    if version > VERSION_MAX || !is_right {
        return Err(BadFooter);
    }
    Ok(body)
}

/// The value of a DUMP as a key's entry; None: it is a collection without elements.
pub(crate) fn dump(
    body: &[u8],
    key: &[u8],
    seed: Seed,
    settings: Settings,
) -> Result<Option<Entry>, ReadError> {
    let mut source = Source::new(body, body.len().min(BUFFER_BYTES));
    let mut values = Values::new(Builder::new(seed, settings));
    let entry = source.byte().and_then(|kind| {
        value::check_kind(kind)?;
        values.read(&mut source, kind, key)
    });
    entry.map_err(|flaw| ReadError { offset: source.offset(), flaw })
}
