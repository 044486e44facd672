//! Records: what a Slotway primary writes into its stream beside changes of keys.
//!
//! A record is `PING word`, which every server that speaks Redis's protocol executes as nothing, alone as well as within
//! MULTI: so one stream serves Slotway nodes and Redis replicas alike, and records count in its offsets. Every epoch begins
//! with an EPOCH record (I9). A replica holds as much of an epoch as it holds of its stream, so the record is what raises
//! its [`crate::shard::Position`], and nothing that was said when it connected.
//!
//! A MARK stands in a node's own append-only file only, where that begins to be read: how far the stream has come there.

use super::{HistoryId, Offset};
use crate::Epoch;

const EPOCH: &str = "slotway:epoch:";
const MARK: &str = "slotway:mark:";

/// `slotway:epoch:<epoch>:<offset>:<history>`: here, behind `start` bytes of the stream, an epoch begins, and the stream has
/// another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochRecord {
    pub epoch: Epoch,
    /// Bytes of the stream before the record.
    pub start: Offset,
    pub history: HistoryId,
}

impl EpochRecord {
    /// The word of its PING.
    pub fn word(&self) -> String {
        format!("{EPOCH}{}:{}:{}", self.epoch, self.start, self.history)
    }

    /// None: it is another word.
    pub fn parse(word: &[u8]) -> Option<EpochRecord> {
        let (epoch, start, history) = parts(word, EPOCH)?;
        Some(EpochRecord { epoch: Epoch(epoch), start: Offset(start), history })
    }

    /// The record as it stands in the stream: one unit.
    pub fn unit(&self) -> Vec<u8> {
        unit(&self.word())
    }

    /// How far the stream has come behind it.
    pub fn end(&self) -> Offset {
        self.start.plus(self.unit().len())
    }
}

/// `slotway:mark:<epoch>:<offset>:<history>`: what follows in this file is the stream behind `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub epoch: Epoch,
    pub offset: Offset,
    pub history: HistoryId,
}

impl Mark {
    /// As it stands in the file.
    pub fn unit(&self) -> Vec<u8> {
        unit(&format!("{MARK}{}:{}:{}", self.epoch, self.offset, self.history))
    }

    /// None: it is another word.
    pub fn parse(word: &[u8]) -> Option<Mark> {
        let (epoch, offset, history) = parts(word, MARK)?;
        Some(Mark { epoch: Epoch(epoch), offset: Offset(offset), history })
    }
}

fn unit(word: &str) -> Vec<u8> {
    format!("*2\r\n$4\r\nPING\r\n${}\r\n{word}\r\n", word.len()).into_bytes()
}

fn parts(word: &[u8], kind: &str) -> Option<(u64, u64, HistoryId)> {
    let text = std::str::from_utf8(word.strip_prefix(kind.as_bytes())?).ok()?;
    let mut parts = text.split(':');
    let mut number = || {
        let digits = parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?;
        digits.parse().ok()
    };
    let (epoch, offset) = (number()?, number()?);
    let history = HistoryId::parse(parts.next()?.as_bytes())?;
    parts.next().is_none().then_some((epoch, offset, history))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_says_where_it_ends() {
        let history = HistoryId::from_random([7; 20]);
        let record = EpochRecord { epoch: Epoch(3), start: Offset(1234), history };
        assert_eq!(EpochRecord::parse(record.word().as_bytes()), Some(record));
        assert_eq!(record.end(), Offset(1234 + u64::try_from(record.unit().len()).unwrap()));
        let mark = Mark { epoch: Epoch(3), offset: Offset(9), history };
        let unit = mark.unit();
        let word = unit.split(|&byte| byte == b'\n').nth(4).unwrap().strip_suffix(b"\r").unwrap();
        assert_eq!(Mark::parse(word), Some(mark));
        assert_eq!(EpochRecord::parse(word), None);
    }

    #[test]
    fn what_a_client_pings_is_no_record() {
        let history = "07".repeat(20);
        let check = |word: &str| assert_eq!(EpochRecord::parse(word.as_bytes()), None, "{word}");
        check("");
        check("hello");
        check("slotway:epoch:");
        check(&format!("slotway:epoch:1:{history}"));
        check(&format!("slotway:epoch:1:2:{history}:"));
        check(&format!("slotway:epoch:-1:2:{history}"));
        check(&format!("slotway:epoch:+1:2:{history}"));
        check(&format!("slotway:epoch:99999999999999999999999:2:{history}"));
        check(&format!("slotway:epoch:1:2:{}", &history[1..]));
    }
}
