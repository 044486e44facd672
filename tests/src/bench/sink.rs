//! A replica that takes a full synchronisation no faster than it is told to, and keeps nothing of it: the same slow sink for
//! every server.
//!
//! It says that it takes a stream without a file (`capa eof`), reads up to the snapshot's end and hangs up.

use super::failure::{Failure, While};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may say nothing.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const PIECE_BYTES: usize = 64 * 1024;
const MARK_BYTES: usize = 40;

/// What came, and how long it took from the asking on.
#[derive(Clone, Copy, Debug)]
pub struct Drained {
    pub bytes: u64,
    pub elapsed: Duration,
}

/// Has itself sent everything, at `per_second` bytes at most.
///
/// # Errors
/// When the server sends something else, or stops before the snapshot's end.
pub fn drain(port: u16, per_second: u64) -> Result<Drained, Failure> {
    let began = Instant::now();
    let bytes = follow(port, per_second).during("being sent a snapshot")?;
    Ok(Drained { bytes, elapsed: began.elapsed() })
}

fn follow(port: u16, per_second: u64) -> io::Result<u64> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.write_all(b"REPLCONF capa eof capa psync2\r\n")?;
    expect(&line(&mut stream)?, "+OK")?;
    stream.write_all(b"PSYNC ? -1\r\n")?;
    expect(&line(&mut stream)?, "+FULLRESYNC ")?;
    let head = line(&mut stream)?;
    expect(&head, "$EOF:")?;
    let mark = head.as_bytes()["$EOF:".len()..].to_vec();
    if mark.len() != MARK_BYTES {
        return Err(io::Error::other(format!("{head} names no end")));
    }
    until(&mut stream, &mark, per_second)
}

/// Reads up to the mark. Returns how many bytes were before it.
fn until(stream: &mut impl Read, mark: &[u8], per_second: u64) -> io::Result<u64> {
    let (mut piece, mut tail) = (vec![0; PIECE_BYTES], Vec::new());
    let (began, mut taken) = (Instant::now(), 0);
    loop {
        let len = stream.read(&mut piece)?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        taken += len as u64;
        tail.extend_from_slice(&piece[..len]);
        // The stream of changes may follow at once.
        if let Some(at) = tail.windows(mark.len()).position(|window| window == mark) {
            return Ok(taken - (tail.len() - at) as u64);
        }
        tail.drain(..tail.len().saturating_sub(mark.len()));
        let due = Duration::from_secs_f64(taken as f64 / per_second as f64);
        thread::sleep(due.saturating_sub(began.elapsed()));
    }
}

/// The next line that is not empty: empty ones only say that somebody is there.
fn line(stream: &mut TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte)?;
        match byte[0] {
            b'\r' => {}
            b'\n' if line.is_empty() => {}
            b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
            other => line.push(other),
        }
    }
}

fn expect(line: &str, start: &str) -> io::Result<()> {
    match line.starts_with(start) {
        true => Ok(()),
        false => Err(io::Error::other(format!("{line} instead of {start}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_takes_no_more_in_a_second_than_it_is_told_and_ends_at_the_mark() {
        let mark = [b'm'; MARK_BYTES];
        let stream = [vec![b'x'; 1 << 20].as_slice(), &mark, b"and what follows"].concat();
        let began = Instant::now();
        assert_eq!(until(&mut stream.as_slice(), &mark, 10 << 20).unwrap(), 1 << 20);
        assert!(began.elapsed() >= Duration::from_millis(90), "{:?}", began.elapsed());
        let cut = &stream[..stream.len() - 40];
        assert!(until(&mut &cut[..], &mark, u64::MAX).is_err(), "it ended before the mark");
    }
}
