//! The same streams to this parser and to a redis-server: same requests, same error texts.
//!
//! Needs redis-server (7.0 or later) on the PATH. Two differences are known and left out of the streams: Redis looks
//! for line ends with C string functions, so a NUL byte in a line makes it wait for ever; and it checks the length of
//! a line only when a read ends without having brought the line's end, so that a line above 64 KiB passes when it
//! came at once. Here the limit is exact.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use slotway_resp::{Frame, Limits, Parser, Request, write};

/// A redis-server that listens on a socket file only, and ends with the test.
struct Redis {
    child: Child,
    dir: PathBuf,
    /// Kept open, lest the server write into a closed pipe.
    _log: BufReader<ChildStdout>,
}

impl Redis {
    fn start(name: &str, flags: &[&str]) -> Redis {
        let dir = std::env::temp_dir().join(format!("slotway-resp-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut child = Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--daemonize", "no"])
            .args(flags)
            .current_dir(&dir)
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server must be installed: it is the judge of these tests");
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("ready to accept connections at") {
            assert!(log.read_line(&mut said).unwrap() > 0, "redis-server ended: {said}");
        }
        Redis { child, dir, _log: log }
    }

    /// All bytes that the server answers to `stream` before it closes.
    fn answer(&self, stream: &[u8]) -> Vec<u8> {
        let mut socket = UnixStream::connect(self.dir.join("redis.sock")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // The server may close at an error before it has read everything: then what it said is still there.
        let _ = socket.write_all(stream);
        let _ = socket.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        loop {
            match socket.read(&mut piece) {
                Ok(0) => return answer,
                Ok(len) => answer.extend_from_slice(&piece[..len]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return answer,
                Err(error) => panic!("{error}, after {}", answer.escape_ascii()),
            }
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some((frame, len)) = Frame::parse(bytes, &Limits::REPLY).unwrap() {
        frames.push(frame);
        bytes = &bytes[len..];
    }
    assert_eq!(bytes, b"", "the server answered half a reply");
    frames
}

/// What a server that knows only ECHO would say: other commands are errors whose text does not matter here.
fn expected(stream: &[u8], limits: &Limits) -> Vec<Frame> {
    let (mut parser, mut replies) = (Parser::default(), Vec::new());
    loop {
        match parser.next(stream, limits) {
            Ok(Some(at)) => replies.push(reply(parser.request(stream, at), limits)),
            Ok(None) => return replies,
            Err(error) => {
                replies.push(Frame::Error(format!("ERR {error}").into_bytes()));
                return replies;
            }
        }
    }
}

fn reply(request: Request<'_>, limits: &Limits) -> Frame {
    if request.len() == 2 && request.word(0).eq_ignore_ascii_case(b"echo") && !limits.unauthenticated {
        Frame::bulk(request.word(1))
    } else {
        Frame::Error(Vec::new())
    }
}

/// Compares: errors that are not about the protocol only by being errors.
fn compare(redis: &Redis, stream: &[u8], limits: &Limits) -> (Vec<Frame>, Vec<Frame>) {
    let mut found = frames(&redis.answer(stream));
    for frame in &mut found {
        if let Frame::Error(text) = frame
            && !text.starts_with(b"ERR Protocol error")
        {
            text.clear();
        }
    }
    (found, expected(stream, limits))
}

#[track_caller]
fn check(redis: &Redis, stream: &[u8], limits: &Limits) {
    let (found, expected) = compare(redis, stream, limits);
    assert_eq!(found, expected, "{}", stream[..stream.len().min(200)].escape_ascii());
}

#[test]
fn protocol_errors_have_the_text_of_redis() {
    let redis = Redis::start("errors", &[]);
    for line in
        ["", "x", "1x", "01", "+1", "-0", "2147483648", "99999999999999999999", " 1", "?", "0", "-1", "-7"]
    {
        check(&redis, format!("*{line}\r\nECHO after\r\n").as_bytes(), &Limits::CLIENT);
    }
    for line in ["", "x", "-1", "01", "+1", "-0", "1x", "536870913", "99999999999999999999", "?", "0\r\n"] {
        check(&redis, format!("*2\r\n$4\r\nECHO\r\n${line}\r\nECHO after\r\n").as_bytes(), &Limits::CLIENT);
    }
    // Lines that do not end: where one ends somewhat late, Redis's answer depends on how it read.
    for start in ["x", "*", "*1\r\n", "*1\r\n$"] {
        check(&redis, format!("{start}{}", "0".repeat(100_000)).as_bytes(), &Limits::CLIENT);
    }
    for first in (1..=127u8).filter(|&byte| byte != b'$') {
        check(&redis, &[b"ECHO before\r\n*1\r\n", &[first][..], b"4\r\nECHO\r\n"].concat(), &Limits::CLIENT);
    }
}

#[test]
fn before_authentication_the_texts_are_those_of_redis() {
    let redis = Redis::start("unauthenticated", &["--requirepass", "secret"]);
    let limits = &Limits::CLIENT.unauthenticated();
    for stream in [
        "*10\r\n",
        "*11\r\n",
        "*2147483647\r\n",
        "*2147483648\r\n",
        "*1\r\n$16384\r\n",
        "*1\r\n$16385\r\n",
        "*1\r\n$536870912\r\n",
        "*1\r\n$536870913\r\n",
        "a b c d e f g h i j k l m\r\n",
    ] {
        check(&redis, stream.as_bytes(), limits);
    }
}

#[test]
fn quoting_is_that_of_redis() {
    let redis = Redis::start("quoting", &[]);
    for argument in [
        r#""a b""#,
        r#"a"b c"d"#,
        r#"a"b""#,
        "'a b'",
        r"'it\'s'",
        r"'a\nb\x41'",
        r#""\x41\xfF\x4\xg1\n\r\t\b\a\q\\\"""#,
        r#""open"#,
        "'open",
        r#""\"#,
        r#""\""#,
        r"'\'",
        r#""a"b"#,
        "'a'b",
        r#""""#,
        "''",
        "\"\"\"\"",
        r"\x41",
        "a\\",
        "a\x0bb",
        "\x0ba",
        "a\x0c",
        "\"a\"\x0b",
        "a\rb",
        "\u{e9}",
    ] {
        check(&redis, format!("ECHO {argument}\r\nECHO after\n").as_bytes(), &Limits::CLIENT);
    }
    // Every byte, bare and in both kinds of quotes, alone and behind a backslash.
    for byte in (1..=255u8).filter(|&byte| byte != b'\n') {
        for (open, close) in
            [("", ""), ("\"", "\""), ("'", "'"), ("\"\\", "\""), ("'\\", "'"), ("\"\\x", "\""), ("a", "b")]
        {
            let line = [b"ECHO ", open.as_bytes(), &[byte], close.as_bytes(), b"\r\n"].concat();
            check(&redis, &line, &Limits::CLIENT);
        }
    }
}

#[test]
fn random_streams_mean_the_same_to_redis() {
    let redis = Redis::start("random", &[]);
    let word = "[a-z\r\n*$\"' ]{0,8}";
    let piece = prop_oneof![
        6 => word.prop_map(|word| {
            let mut out = Vec::new();
            write::request(&mut out, &["ECHO", &word]);
            out
        }),
        2 => "echo [a-zA-Z0-9 \t\"'\\\\]{0,12}\r?\n".prop_map(String::into_bytes),
        2 => "(\\*|\\$)-?[0-9]{0,2}\r\n?".prop_map(String::into_bytes),
        2 => "\\*2\r[ -~\n]\\$4(\r\n|\rx)ECHO(\r\n|xx)\\$1\r\nx(\r\n|\n\n)".prop_map(String::into_bytes),
        1 => "[xyz0-9\r\n \"'$*-]{0,6}".prop_map(String::into_bytes),
    ];
    let streams = proptest::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat());
    let mut runner = TestRunner::new(Config { cases: 1000, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&streams, |stream| {
        let (found, expected) = compare(&redis, &stream, &Limits::CLIENT);
        prop_assert_eq!(found, expected, "{}", stream.escape_ascii());
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn replies_of_redis_in_both_versions_are_read() {
    let redis = Redis::start("types", &["--enable-debug-command", "yes"]);
    let types =
        ["string", "integer", "double", "null", "array", "set", "map", "verbatim", "true", "false", "bignum"];
    for version in ["2", "3"] {
        let mut stream = Vec::new();
        write::request(&mut stream, &["HELLO", version]);
        for kind in types {
            write::request(&mut stream, &["DEBUG", "PROTOCOL", kind]);
        }
        let answer = redis.answer(&stream);
        let found = frames(&answer);
        assert_eq!(found.len(), types.len() + 1);
        assert!(found.iter().all(|frame| frame.as_error().is_none()), "{found:?}");
        let written: Vec<u8> = found.iter().flat_map(Frame::to_bytes).collect();
        assert_eq!(written.escape_ascii().to_string(), answer.escape_ascii().to_string());
    }
    let mut stream = Vec::new();
    write::request(&mut stream, &["HELLO", "3"]);
    write::request(&mut stream, &["DEBUG", "PROTOCOL", "attrib"]);
    write::request(&mut stream, &["DEBUG", "PROTOCOL", "push"]);
    let found = frames(&redis.answer(&stream));
    assert_eq!(found.len(), 4, "hello, the reply behind the attribute, the push and its reply: {found:?}");
}
