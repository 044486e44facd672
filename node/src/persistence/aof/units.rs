//! The log's bytes cut into units: pure, a piece of the file after the other.
//!
//! A unit is one command, or MULTI ... EXEC with what is between: what is there in part at the end of the last file was
//! never acknowledged as a whole, and is cut off as a whole. So commands are handed on only when their unit is complete.
//! Which row of the command table a command names, and in which database it runs, is found out here, because here is
//! where another thread has the time for it.
//!
//! The log of a member of a shard says from time to time how far the shard's stream has come there (a MARK); behind one what the log
//! holds is the stream to the byte, so the end of the last whole unit is a position in it ([`Stands`]).
//!
//! The format is stricter than that of clients: arrays of bulks, and lines that begin with `#` between them.

use std::fmt;

use slotway_cluster::{
    Database, Position,
    replication::{EpochRecord, Lineage, record::Mark},
    slot::DATABASES,
};
use slotway_commands::{Command, Id, lookup};
use slotway_resp::{Limits, Parser, Request, RequestAt, number};

/// What the log holds was within the limits when it was written.
const ANY: Limits = Limits { bulk_bytes_max: usize::MAX, words_max: usize::MAX, ..Limits::CLIENT };

/// A command of the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Logged {
    pub(crate) at: RequestAt,
    pub(crate) row: &'static Command,
    pub(crate) database: Database,
}

/// Whole units, ready to run: without SELECT, MULTI and EXEC, which say nothing beside that.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    parser: Parser,
    pub(crate) commands: Vec<Logged>,
}

impl Batch {
    pub(crate) fn request(&self, logged: &Logged) -> Request<'_> {
        self.parser.request(&self.bytes, logged.at)
    }
}

/// Where in its shard's stream the log stands behind its last whole unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stands {
    pub(crate) position: Position,
    /// The stream's names, as far back as the log tells.
    pub(crate) lineage: Lineage,
    /// What the stream has selected.
    pub(crate) database: Database,
}

/// What is wrong with the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Corrupt {
    /// Of the file.
    pub(crate) offset: u64,
    pub(crate) what: String,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.what, self.offset)
    }
}

/// Cuts one file. The database is carried over from file to file by nobody: each begins with a SELECT.
#[derive(Debug)]
pub(crate) struct Units {
    /// What is not part of a whole unit yet.
    rest: Vec<u8>,
    /// Where it begins in the file.
    offset: u64,
    database: Database,
    stands: Option<Stands>,
}

/// Where parsing stands within a piece.
struct Cut {
    batch: Batch,
    database: Database,
    /// In an open transaction: where it began, how many commands there were, and the database.
    open: Option<(usize, usize, Database)>,
    /// Behind the last whole unit.
    end: usize,
    stands: Option<Stands>,
    /// In the unit that is being cut: bytes that are not of the stream, and what it says of it.
    noted: usize,
    record: Option<EpochRecord>,
    mark: Option<Mark>,
}

impl Units {
    /// The file's bytes from `offset` on are cut.
    pub(crate) fn new(offset: u64) -> Units {
        Units { rest: Vec::new(), offset, database: Database::default(), stands: None }
    }

    /// Where the log stands behind its last whole unit; None: this file does not say.
    pub(crate) fn stands(&self) -> Option<&Stands> {
        self.stands.as_ref()
    }

    /// The end of the last whole unit, as an offset of the file.
    pub(crate) fn whole_until(&self) -> u64 {
        self.offset
    }

    /// Whether a unit is there in part.
    pub(crate) fn has_rest(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Bytes of the unit that is there in part: the next piece should be as long, so that a long unit is not looked at
    /// again and again.
    pub(crate) fn rest_bytes(&self) -> usize {
        self.rest.len()
    }

    /// Room for the next piece: the caller appends it, and nothing else.
    pub(crate) fn room(&mut self) -> &mut Vec<u8> {
        &mut self.rest
    }

    /// Cuts what is in the room. What is no whole unit yet stays there.
    pub(crate) fn cut(&mut self) -> Result<Batch, Corrupt> {
        let bytes = std::mem::take(&mut self.rest);
        let mut cut = Cut {
            batch: Batch::default(),
            database: self.database,
            open: None,
            end: 0,
            stands: self.stands.take(),
            noted: 0,
            record: None,
            mark: None,
        };
        loop {
            match cut.next(&bytes) {
                Ok(true) => {}
                Ok(false) => break,
                Err((at, what)) => {
                    return Err(Corrupt { offset: self.offset + u64::try_from(at).unwrap_or(0), what });
                }
            }
        }
        if let Some((_, commands, database)) = cut.open {
            // To be found again with its end.
            cut.batch.commands.truncate(commands);
            cut.database = database;
        }
        self.rest = bytes[cut.end..].to_vec();
        self.offset += u64::try_from(cut.end).unwrap_or(0);
        self.database = cut.database;
        self.stands = cut.stands;
        cut.batch.bytes = bytes;
        Ok(cut.batch)
    }
}

type Wrong = (usize, String);

impl Cut {
    /// False: what follows is not all there. The error says where in `bytes` it is.
    fn next(&mut self, bytes: &[u8]) -> Result<bool, Wrong> {
        let start = self.batch.parser.consumed();
        match bytes.get(start) {
            None => return Ok(false),
            Some(b'*') => {}
            Some(b'#') => return Ok(self.skip_line(bytes, start)),
            Some(other) => {
                return Err((start, format!("Bad file format: expected '*', got {:?}", char::from(*other))));
            }
        }
        let found = self
            .batch
            .parser
            .next(bytes, &ANY)
            .map_err(|error| (start, format!("Bad file format: {error}")))?;
        let Some(at) = found else { return Ok(false) };
        let request = self.batch.parser.request(bytes, at);
        let row = lookup::resolve(request).map_err(|_| {
            (
                start,
                format!("Unknown command '{}' reading the append only file", request.word(0).escape_ascii()),
            )
        })?;
        match row.id {
            Id::Select => self.database = database(request).map_err(|what| (start, what))?,
            Id::Multi if self.open.is_some() => return Err((start, "MULTI within a transaction".into())),
            Id::Multi => self.open = Some((start, self.batch.commands.len(), self.database)),
            Id::Exec if self.open.is_none() => return Err((start, "EXEC without MULTI".into())),
            Id::Exec => {
                let (begin, ..) = self.open.take().unwrap_or_default();
                self.end_unit(begin);
                return Ok(true);
            }
            Id::Ping if request.len() == 2 => {
                self.record = EpochRecord::parse(request.word(1)).or(self.record);
                self.mark = Mark::parse(request.word(1)).or(self.mark);
            }
            _ => self.batch.commands.push(Logged { at, row, database: self.database }),
        }
        if self.open.is_none() {
            self.end_unit(start);
        }
        Ok(true)
    }

    /// A unit that began there is whole.
    fn end_unit(&mut self, begin: usize) {
        self.end = self.batch.parser.consumed();
        let bytes = self.end - begin - std::mem::take(&mut self.noted);
        let (record, mark) = (self.record.take(), self.mark.take());
        if let Some(Mark { epoch, offset, history }) = mark {
            let position = Position { epoch, offset };
            let lineage = match self.stands.take() {
                Some(stands) if stands.lineage.present() == history => stands.lineage,
                Some(_) | None => Lineage::new(history, epoch, offset),
            };
            self.stands = Some(Stands { position, lineage, database: self.database });
        } else if let Some(stands) = &mut self.stands {
            stands.position.offset = stands.position.offset.plus(bytes);
            stands.database = self.database;
            if let Some(EpochRecord { epoch, start, history }) = record {
                stands.position.epoch = epoch;
                stands.lineage.begin_epoch(history, epoch, start);
            }
        }
    }

    /// A line that is no command: the time, or what later versions note.
    fn skip_line(&mut self, bytes: &[u8], start: usize) -> bool {
        let Some(len) = memchr::memchr(b'\n', &bytes[start..]) else { return false };
        self.batch.parser.skip_to(start + len + 1);
        match self.open {
            None => self.end = start + len + 1,
            Some(_) => self.noted += len + 1,
        }
        true
    }
}

fn database(select: Request<'_>) -> Result<Database, String> {
    let number = select.get(1).and_then(number::integer).and_then(|number| u8::try_from(number).ok());
    match number.filter(|&number| number < DATABASES) {
        Some(number) => Ok(Database(number)),
        None => Err("SELECT of a database that this node does not have".into()),
    }
}

#[cfg(test)]
mod tests {
    use slotway_cluster::{
        Epoch,
        replication::{HistoryId, Offset},
    };
    use slotway_resp::write;

    use super::*;

    fn request(out: &mut Vec<u8>, words: &str) {
        write::request(out, &words.split(' ').collect::<Vec<_>>());
    }

    /// Cuts `file`, which comes in pieces of `piece` bytes. What ran, and where the last whole unit ends.
    fn cut(file: &[u8], piece: usize) -> Result<(Vec<String>, u64), Corrupt> {
        let mut units = Units::new(0);
        let mut ran = Vec::new();
        for piece in file.chunks(piece) {
            units.room().extend_from_slice(piece);
            let batch = units.cut()?;
            for logged in &batch.commands {
                let words: Vec<_> = batch
                    .request(logged)
                    .words()
                    .map(|word| String::from_utf8_lossy(word).into_owned())
                    .collect();
                ran.push(format!("{} {}", logged.database.0, words.join(" ")));
            }
        }
        assert_eq!(units.has_rest(), units.whole_until() < u64::try_from(file.len()).unwrap());
        Ok((ran, units.whole_until()))
    }

    #[test]
    fn commands_are_handed_on_in_their_databases_however_the_file_comes() {
        let mut file = b"#TS:1700000000\r\n".to_vec();
        for words in ["SELECT 3", "SET a 1", "MULTI", "SET b 2", "SELECT 5", "SET c 3", "EXEC", "SET d 4"] {
            request(&mut file, words);
        }
        for piece in 1..file.len() + 1 {
            let (ran, end) = cut(&file, piece).unwrap();
            assert_eq!(ran, ["3 SET a 1", "3 SET b 2", "5 SET c 3", "5 SET d 4"], "pieces of {piece}");
            assert_eq!(end, u64::try_from(file.len()).unwrap());
        }
    }

    #[test]
    fn a_file_cut_off_anywhere_ends_with_its_last_whole_unit() {
        let (mut file, mut ends) = (Vec::new(), vec![0]);
        for unit in [&["SELECT 0"][..], &["SET a 1"], &["MULTI", "SET b 2", "SET c 3", "EXEC"], &["SET d 4"]]
        {
            unit.iter().for_each(|words| request(&mut file, words));
            ends.push(file.len());
        }
        for len in 0..=file.len() {
            let end = *ends.iter().rfind(|&&end| end <= len).unwrap();
            for piece in [1, 7, 1000] {
                assert_eq!(cut(&file[..len], piece).unwrap().1, u64::try_from(end).unwrap(), "{len} bytes");
            }
        }
    }

    /// Where a log stands that is cut in pieces of `piece` bytes.
    fn stands(file: &[u8], piece: usize) -> Option<Stands> {
        let mut units = Units::new(0);
        for piece in file.chunks(piece) {
            units.room().extend_from_slice(piece);
            units.cut().unwrap();
        }
        units.stands().cloned()
    }

    #[test]
    fn behind_a_mark_the_log_is_the_stream_to_the_byte() {
        let history = |number| HistoryId::from_random([number; 20]);
        let at = |epoch, offset| Position { epoch: Epoch(epoch), offset: Offset(offset) };
        let mut file = Vec::new();
        request(&mut file, "SET before anybody-asked");
        assert_eq!(stands(&file, 1000), None);
        // For the log alone.
        request(&mut file, "SELECT 3");
        let mark = Mark { epoch: Epoch(2), offset: Offset(1000), history: history(1) };
        file.extend_from_slice(&mark.unit());
        let mut ends = vec![(file.len(), at(2, 1000), Database(3))];
        let mut stream = 1000;
        let mut unit = |file: &mut Vec<u8>, bytes: &[u8], epoch, database| {
            file.extend_from_slice(bytes);
            stream += u64::try_from(bytes.len()).unwrap();
            ends.push((file.len(), at(epoch, stream), Database(database)));
        };
        let words = |lines: &[&str]| {
            let mut bytes = Vec::new();
            lines.iter().for_each(|line| request(&mut bytes, line));
            bytes
        };
        unit(&mut file, &words(&["SET a 1"]), 2, 3);
        file.extend_from_slice(b"#TS:1700000000\r\n");
        unit(&mut file, &words(&["SELECT 5"]), 2, 5);
        unit(&mut file, &words(&["MULTI", "SET b 2", "SET c 3", "EXEC"]), 2, 5);
        let start = Offset(stands(&file, 1000).unwrap().position.offset.0);
        let record = EpochRecord { epoch: Epoch(4), start, history: history(2) };
        unit(&mut file, &record.unit(), 4, 5);
        unit(&mut file, &words(&["SET d 4"]), 4, 5);
        for len in ends[0].0..=file.len() {
            let (_, position, database) = ends.iter().rfind(|(end, ..)| *end <= len).unwrap();
            for piece in [7, 1000] {
                let stands = stands(&file[..len], piece).unwrap();
                assert_eq!((&stands.position, &stands.database), (position, database), "{len} bytes");
            }
        }
        let lineage = stands(&file, 1000).unwrap().lineage;
        assert_eq!((lineage.present(), lineage.previous()), (history(2), Some((history(1), start))));
    }

    #[test]
    fn what_is_no_log_is_refused_with_its_offset() {
        let mut good = Vec::new();
        request(&mut good, "SET a 1");
        let at = good.len();
        for (bad, says) in [
            (&b"SET a 1\r\n"[..], "expected '*', got 'S'"),
            (b"\0\0\0", "Bad file format"),
            (b"*1\r\n:5\r\n", "Bad file format"),
            (b"*x\r\n", "Bad file format"),
            (b"*1\r\n$5\r\nNOSUC\r\n", "Unknown command 'NOSUC'"),
            (b"*2\r\n$6\r\nSELECT\r\n$2\r\n99\r\n", "SELECT of a database"),
            (b"*1\r\n$4\r\nEXEC\r\n", "EXEC without MULTI"),
        ] {
            let error = cut(&[&good, bad].concat(), 1000).unwrap_err();
            assert!(error.what.contains(says), "{error}");
            assert_eq!(error.offset, u64::try_from(at).unwrap(), "{error}");
        }
    }
}
