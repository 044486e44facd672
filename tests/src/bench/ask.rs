//! One question to a server and its answer, for everything around a measurement: is it up, how much memory it uses.

use super::wire;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// How long an answer may take. Long, because a server may be busy with what is measured.
const ANSWER_MAX: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Asker {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Asker {
    /// # Errors
    /// When nobody listens on the port.
    pub fn connect(port: u16) -> io::Result<Asker> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        Ok(Asker { stream, received: Vec::new() })
    }

    /// The text of the answer: a line without its sign, or the content of a bulk.
    ///
    /// # Errors
    /// An error reply is an error with its text; so are silence and a closed connection.
    pub fn ask(&mut self, words: &[&str]) -> io::Result<String> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        self.stream.write_all(&request)?;
        let mut room = [0; 16 * 1024];
        let reply = loop {
            if let Some(reply) = wire::reply(&self.received) {
                break reply;
            }
            match self.stream.read(&mut room)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                bytes => self.received.extend_from_slice(&room[..bytes]),
            }
        };
        let whole: Vec<u8> = self.received.drain(..reply.len).collect();
        let text = String::from_utf8_lossy(&whole).into_owned();
        match (reply.kind, text.split_once("\r\n")) {
            (wire::ReplyKind::Error, _) => Err(io::Error::other(text.trim_end().to_owned())),
            (_, Some((header, body))) if header.starts_with('$') => {
                Ok(body.trim_end_matches("\r\n").to_owned())
            }
            (_, _) => Ok(text.get(1..).unwrap_or_default().trim_end().to_owned()),
        }
    }
}

/// One question on a connection of its own.
///
/// # Errors
/// As [`Asker`].
pub fn ask(port: u16, words: &[&str]) -> io::Result<String> {
    Asker::connect(port)?.ask(words)
}

/// A field of INFO's text, as a number.
#[must_use]
pub fn info_field(info: &str, name: &str) -> Option<u64> {
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_info_is_found_by_its_whole_name() {
        let info = "# Memory\r\nused_memory:1024\r\nused_memory_human:1K\r\nused_memory_rss:4096\r\n";
        assert_eq!(info_field(info, "used_memory"), Some(1024));
        assert_eq!(info_field(info, "used_memory_rss"), Some(4096));
        assert_eq!(info_field(info, "used"), None);
        assert_eq!(info_field(info, "used_memory_human"), None);
    }
}
