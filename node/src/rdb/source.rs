//! The bytes of a snapshot, wherever they come from, as the numbers and strings of the format.
//!
//! Knows at which byte it is and the checksum up to there. A string that is announced costs no memory before its bytes come: a
//! broken length is found out by the end of the file, not by the end of memory.

use std::io::{ErrorKind, Read};

use super::length::{CODED, CODED_1_BYTE, CODED_2_BYTES, CODED_4_BYTES, CODED_LZF, EIGHT_BYTES, FOUR_BYTES};
use super::read::Flaw;
use super::{Checksum, lzf};

/// Bytes that are read at once.
pub(super) const BUFFER_BYTES: usize = 128 << 10;

/// No string is longer: what keeps keys and values counts their bytes so.
const STRING_BYTES_MAX: u64 = u32::MAX as u64 - 64;

pub(super) struct Source<R> {
    reader: R,
    buffer: Box<[u8]>,
    /// The next byte.
    at: usize,
    /// Behind the last byte that was read.
    end: usize,
    /// Up to here the buffer is in the checksum.
    summed: usize,
    checksum: Checksum,
    /// Where in the file the buffer begins.
    base: u64,
    compressed: Vec<u8>,
}

/// A length, or how a string is coded instead.
enum Length {
    Plain(u64),
    Coded(u8),
}

impl<R: Read> Source<R> {
    pub(super) fn new(reader: R, buffer_bytes: usize) -> Source<R> {
        Source {
            reader,
            buffer: vec![0; buffer_bytes].into(),
            at: 0,
            end: 0,
            summed: 0,
            checksum: Checksum::new(),
            base: 0,
            compressed: Vec::new(),
        }
    }

    /// How many bytes were read so far.
    pub(super) fn offset(&self) -> u64 {
        self.base + u64::try_from(self.at).expect("a length fits 64 bits")
    }

    /// The checksum of all bytes so far.
    pub(super) fn checksum(&mut self) -> u64 {
        self.sum_up();
        self.checksum.value()
    }

    /// The reader, and what was read from it too many.
    pub(super) fn into_parts(self) -> (R, Vec<u8>) {
        (self.reader, self.buffer[self.at..self.end].to_vec())
    }

    fn sum_up(&mut self) {
        self.checksum.update(&self.buffer[self.summed..self.at]);
        self.summed = self.at;
    }

    /// Has at least so many bytes in the buffer, which must be as large.
    #[cold]
    fn fill(&mut self, count: usize) -> Result<(), Flaw> {
        self.sum_up();
        self.base += u64::try_from(self.at).expect("a length fits 64 bits");
        self.buffer.copy_within(self.at..self.end, 0);
        (self.end, self.at, self.summed) = (self.end - self.at, 0, 0);
        while self.end < count {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Err(Flaw::Truncated),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Flaw::Unreadable(error)),
            }
        }
        Ok(())
    }

    /// So many bytes, which must not be more than the buffer has.
    #[inline]
    pub(super) fn bytes(&mut self, count: usize) -> Result<&[u8], Flaw> {
        if self.end - self.at < count {
            self.fill(count)?;
        }
        let start = self.at;
        self.at += count;
        Ok(&self.buffer[start..start + count])
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, Flaw> {
        Ok(self.bytes(1)?[0])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        Ok(*self.bytes(N)?.first_chunk().expect("as many were taken"))
    }

    /// A number that counts something.
    pub(super) fn count(&mut self) -> Result<u64, Flaw> {
        match self.length()? {
            Length::Plain(count) => Ok(count),
            Length::Coded(_) => Err(Flaw::Malformed("a number is coded as only strings are")),
        }
    }

    #[inline]
    fn length(&mut self) -> Result<Length, Flaw> {
        let first = self.byte()?;
        Ok(match first {
            0..=0x3F => Length::Plain(u64::from(first)),
            0x40..=0x7F => Length::Plain(u64::from(first & 0x3F) << 8 | u64::from(self.byte()?)),
            FOUR_BYTES => Length::Plain(u64::from(u32::from_be_bytes(self.array()?))),
            EIGHT_BYTES => Length::Plain(u64::from_be_bytes(self.array()?)),
            CODED.. => Length::Coded(first & !CODED),
            _ => return Err(Flaw::Malformed("a length of an unknown form")),
        })
    }

    /// A string, in the buffer or in `room`.
    #[inline]
    pub(super) fn string<'s>(&'s mut self, room: &'s mut Vec<u8>) -> Result<&'s [u8], Flaw> {
        Ok(self.string_or(room)?.unwrap_or(room))
    }

    /// A string in the buffer; None: it is in `room`.
    #[inline]
    pub(super) fn string_or(&mut self, room: &mut Vec<u8>) -> Result<Option<&[u8]>, Flaw> {
        room.clear();
        match self.length()? {
            Length::Plain(len) => match usize::try_from(len) {
                Ok(len) if len <= self.buffer.len() => return self.bytes(len).map(Some),
                _ => self.copy_to(len, room)?,
            },
            Length::Coded(code) => self.coded(code, room)?,
        }
        Ok(None)
    }

    /// Reads a string into `room`.
    pub(super) fn string_to(&mut self, room: &mut Vec<u8>) -> Result<(), Flaw> {
        room.clear();
        match self.length()? {
            Length::Plain(len) => self.copy_to(len, room),
            Length::Coded(code) => self.coded(code, room),
        }
    }

    /// Appends so many bytes to `room`, which grows as they come.
    fn copy_to(&mut self, len: u64, room: &mut Vec<u8>) -> Result<(), Flaw> {
        let mut left = usize::try_from(len).ok().filter(|_| len <= STRING_BYTES_MAX).ok_or(TOO_LONG)?;
        while left > 0 {
            let step = left.min(self.buffer.len());
            room.extend_from_slice(self.bytes(step)?);
            left -= step;
        }
        Ok(())
    }

    fn coded(&mut self, code: u8, room: &mut Vec<u8>) -> Result<(), Flaw> {
        let integer = match code {
            CODED_1_BYTE => i32::from(i8::from_le_bytes(self.array()?)),
            CODED_2_BYTES => i32::from(i16::from_le_bytes(self.array()?)),
            CODED_4_BYTES => i32::from_le_bytes(self.array()?),
            CODED_LZF => return self.lzf(room),
            _ => return Err(Flaw::Malformed("a string of an unknown coding")),
        };
        room.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
        Ok(())
    }

    fn lzf(&mut self, room: &mut Vec<u8>) -> Result<(), Flaw> {
        let (compressed_len, len) = (self.count()?, self.count()?);
        let len = usize::try_from(len)
            .ok()
            .filter(|_| len.max(compressed_len) <= STRING_BYTES_MAX)
            .ok_or(TOO_LONG)?;
        let done = match usize::try_from(compressed_len) {
            Ok(compressed_len) if compressed_len <= self.buffer.len() => {
                lzf::decompress(self.bytes(compressed_len)?, len, room)
            }
            _ => {
                let mut compressed = std::mem::take(&mut self.compressed);
                compressed.clear();
                self.copy_to(compressed_len, &mut compressed)?;
                let done = lzf::decompress(&compressed, len, room);
                self.compressed = compressed;
                done
            }
        };
        done.ok_or(Flaw::Malformed("a compressed string that does not decompress"))
    }
}

const TOO_LONG: Flaw = Flaw::Malformed("a string of 4 GiB or more");
