//! Plain RESP for the campaign: requests as bytes, replies by their ends, and a connection for questions.
//!
//! The load finds replies with the benchmarks' `wire`; what it wants of one is a number at most. Questions before and after are read with
//! the product's own codec.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

use slotway_resp::{Frame, Limits};

use super::place::Door;

/// How long an answer may take, also one that a proxy holds back.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// SplitMix64: a seed is a sequence of requests.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    #[must_use]
    pub fn from_seed(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0xA076_1D64_78BD_642F))
    }

    /// One of `0..bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)).checked_rem(bound).unwrap_or(0)
    }
}

/// Appends a request.
pub fn command(out: &mut Vec<u8>, words: &[&str]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
}

/// The number in a reply that is an integer or a bulk of digits; 0 in any other.
#[must_use]
pub fn number(reply: &[u8]) -> u64 {
    let text = match reply {
        [b':', rest @ ..] => rest,
        [b'$', rest @ ..] => {
            rest.iter().position(|byte| *byte == b'\n').map_or(&[][..], |end| &rest[end + 1..])
        }
        _ => &[],
    };
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

/// The text of an error reply.
#[must_use]
pub fn error_text(reply: &[u8]) -> Option<String> {
    let text = reply.strip_prefix(b"-")?;
    Some(String::from_utf8_lossy(text).trim_end().to_owned())
}

/// A connection that asks one thing after the other.
#[derive(Debug)]
pub struct Asker {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Asker {
    /// # Errors
    /// When nobody listens behind the door, or in time.
    pub fn connect(door: &Door) -> io::Result<Asker> {
        let stream = door.connect(CONNECT_MAX)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        Ok(Asker { stream, received: Vec::new() })
    }

    /// # Errors
    /// When the connection breaks or nothing comes in time. An error reply is a reply.
    pub fn ask(&mut self, words: &[&str]) -> io::Result<Frame> {
        self.send(&[words])?;
        self.reply()
    }

    /// Sends requests at once.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn send(&mut self, requests: &[&[&str]]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for words in requests {
            command(&mut bytes, words);
        }
        self.stream.write_all(&bytes)
    }

    /// # Errors
    /// As [`Asker::ask`].
    pub fn reply(&mut self) -> io::Result<Frame> {
        let mut room = [0; 64 * 1024];
        loop {
            let parsed = Frame::parse(&self.received, &Limits::REPLY).map_err(io::Error::other)?;
            if let Some((frame, len)) = parsed {
                self.received.drain(..len);
                return Ok(frame);
            }
            match self.stream.read(&mut room)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                bytes => self.received.extend_from_slice(&room[..bytes]),
            }
        }
    }

    /// # Errors
    /// As [`Asker::ask`], and for an error reply.
    pub fn must(&mut self, words: &[&str]) -> io::Result<Frame> {
        let frame = self.ask(words)?;
        match frame.as_error() {
            Some(error) => Err(io::Error::other(format!("{words:?}: {}", String::from_utf8_lossy(error)))),
            None => Ok(frame),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_a_number_or_none() {
        for (reply, expected) in
            [(&b":17\r\n"[..], 17), (b"$3\r\n204\r\n", 204), (b"$-1\r\n", 0), (b"+OK\r\n", 0)]
        {
            assert_eq!(number(reply), expected);
        }
        assert_eq!(error_text(b"-ERR no\r\n").as_deref(), Some("ERR no"));
    }
}
