//! The oracle: redis-server writes files that we read, and reads files that we write.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// A redis-server in a directory of its own, which is stopped with the test.
struct Server {
    process: Child,
    stream: BufReader<UnixStream>,
}

impl Server {
    fn start(directory: &Path) -> Server {
        let socket = directory.join("socket");
        drop(std::fs::remove_file(&socket));
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--enable-debug-command", "yes", "--unixsocket"])
            .args([&socket, Path::new("--dir"), directory])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is needed for tests");
        let deadline = Instant::now() + Duration::from_secs(30);
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break BufReader::new(stream),
                Err(error) => assert!(Instant::now() < deadline, "no redis-server: {error}"),
            }
            std::thread::yield_now();
        };
        let mut server = Server { process, stream };
        while server.ask(&[b"PING"]).starts_with(b"LOADING") {
            assert!(Instant::now() < deadline, "redis-server does not end loading");
        }
        server
    }

    /// A reply as its first line or its bulk, without the sign in front.
    fn ask(&mut self, words: &[&[u8]]) -> Vec<u8> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            slotway_resp::write::bulk(&mut request, word);
        }
        self.stream.get_mut().write_all(&request).unwrap();
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).unwrap();
        assert!(line.ends_with(b"\r\n"), "redis-server has gone");
        line.truncate(line.len() - 2);
        let (sign, rest) = line.split_first().expect("a reply has a sign");
        let len = std::str::from_utf8(rest).ok().and_then(|len| len.parse().ok());
        match (sign, len) {
            (b'$', Some(len)) => {
                let mut bulk = vec![0; len];
                self.stream.read_exact(&mut bulk).unwrap();
                self.stream.read_exact(&mut [0; 2]).unwrap();
                bulk
            }
            _ => rest.to_vec(),
        }
    }

    fn fill(&mut self, key: &[u8], plain: &Plain) {
        let mut words: Vec<Vec<u8>> = Vec::new();
        let name = match plain {
            Plain::Text(text) => {
                words.push(text.clone());
                "SET"
            }
            Plain::Hash(fields) => {
                fields.iter().for_each(|(field, value)| words.extend([field.clone(), value.clone()]));
                "HSET"
            }
            Plain::List(all) => {
                words.extend(all.iter().cloned());
                "RPUSH"
            }
            Plain::Set(all) => {
                words.extend(all.iter().cloned());
                "SADD"
            }
            Plain::SortedSet(all) => {
                all.iter()
                    .for_each(|(score, member)| words.extend([score.to_string().into(), member.clone()]));
                "ZADD"
            }
        };
        let request: Vec<&[u8]> =
            [name.as_bytes(), key].into_iter().chain(words.iter().map(Vec::as_slice)).collect();
        let reply = self.ask(&request);
        assert!(!reply.starts_with(b"ERR"), "{}", String::from_utf8_lossy(&reply));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// All types, with sizes on either side of every limit.
fn values() -> Vec<(Vec<u8>, Plain)> {
    let word = |nth: usize| format!("word-{nth}").into_bytes();
    let mut values = vec![
        Plain::Text(b"".to_vec()),
        Plain::Text(b"-129".to_vec()),
        Plain::Text(b"12345678901".to_vec()),
        Plain::Text(b"a text that says the same again and again and again and again".to_vec()),
        Plain::Text((0..100_000u32).flat_map(u32::to_le_bytes).collect()),
    ];
    for len in [1, 10, 127, 128, 129, 511, 512, 513, 2000] {
        values.push(Plain::Hash((0..len).map(|nth| (word(nth), word(nth + 1))).collect()));
        values.push(Plain::List((0..len).map(word).collect()));
        values.push(Plain::Set((0..len).map(word).collect()));
        values.push(Plain::Set((0..len).map(|nth| (nth * 1001).to_string().into_bytes()).collect()));
        let scored = |nth: usize| (f64::from(u16::try_from(nth).unwrap()) / 4.0 - 7.0, word(nth));
        values.push(Plain::SortedSet((0..len).map(scored).collect()));
    }
    for len in [64, 65, 5000] {
        let long = vec![b'l'; len];
        values.push(Plain::Hash([(b"field".to_vec(), long.clone())].into()));
        values.push(Plain::List(vec![long.clone(), b"7".to_vec()]));
        values.push(Plain::Set([long.clone(), b"7".to_vec()].into()));
        values.push(Plain::SortedSet(vec![(f64::NEG_INFINITY, b"7".to_vec()), (1e300, long)]));
    }
    values.into_iter().enumerate().map(|(nth, plain)| (format!("key:{nth}").into_bytes(), plain)).collect()
}

#[test]
fn redis_reads_what_we_write_and_we_read_what_redis_writes() {
    let values = values();
    let deadline = b"4102444800123";
    let directory = tempfile::tempdir().unwrap();
    let mut filled = Server::start(directory.path());
    for (nth, (key, plain)) in values.iter().enumerate() {
        filled.fill(key, plain);
        if nth % 3 == 0 {
            assert_eq!(filled.ask(&[b"PEXPIREAT", key, deadline]), b"1");
        }
    }
    for compress in [true, false] {
        filled.ask(&[b"CONFIG", b"SET", b"rdbcompression", if compress { b"yes" } else { b"no" }]);
        assert_eq!(filled.ask(&[b"SAVE"]), b"OK");
        let theirs = std::fs::read(directory.path().join("dump.rdb")).unwrap();
        let mut records = read_all(&theirs, Settings::default()).unwrap();
        records.sort_by_key(|record| values.iter().position(|(key, _)| key == record.entry.key()));
        assert_eq!(records.len(), values.len());
        for (nth, (record, (key, plain))) in records.iter().zip(&values).enumerate() {
            assert_eq!(record.entry.key(), &key[..]);
            assert!(Plain::of(&record.entry) == *plain, "{}", String::from_utf8_lossy(key));
            assert_eq!(record.entry.deadline(), (nth % 3 == 0).then_some(Millis(4_102_444_800_123)));
        }
        let entries: Vec<Entry> = records.into_iter().map(|record| record.entry).collect();
        check_loaded(&mut filled, &file(&entries, Form { compress, noted: Noted::Nothing }), &values);
    }
}

/// A redis-server that starts with our file has the same keys as one that was told them, and keeps them the same way.
fn check_loaded(filled: &mut Server, ours: &[u8], values: &[(Vec<u8>, Plain)]) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dump.rdb");
    std::fs::write(&path, ours).unwrap();
    let checked = Command::new("redis-check-rdb").arg(&path).output().expect("it comes with redis-server");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    let mut loaded = Server::start(directory.path());
    assert_eq!(loaded.ask(&[b"DEBUG", b"DIGEST"]), filled.ask(&[b"DEBUG", b"DIGEST"]));
    for (key, _) in values {
        for question in [[&b"OBJECT"[..], b"ENCODING"], [b"PEXPIRETIME", b""]] {
            let words: Vec<&[u8]> =
                question.into_iter().filter(|word| !word.is_empty()).chain([&key[..]]).collect();
            let (theirs, reloaded) = (filled.ask(&words), loaded.ask(&words));
            assert_eq!(reloaded, theirs, "{:?} of {}", words[0], String::from_utf8_lossy(key));
        }
    }
}
