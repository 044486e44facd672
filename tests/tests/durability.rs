//! `kill -9` at random moments, while clients write and the log is written anew: a node started again on the same directory
//! has everything that it acknowledged with `appendfsync always`, and half of nothing.
//!
//! What a power failure takes besides (bytes that were not synced) is tested inside the node on a disk that forgets
//! (`node/src/persistence/aof/tests/crash.rs`). `SLOTWAY_KILLS` is how often a node is killed here; `docs/durability.md` tells
//! of a run with 500.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Stdio},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use slotway_tests::{bench::process::free_port, cluster::slotway};

const WRITERS: usize = 4;
const KILLS_DEFAULT: usize = 6;
/// How long a node may take until it serves.
const START_MAX: Duration = Duration::from_secs(30);
/// A node lives so long at most, milliseconds.
const LIFE_MS_MAX: u64 = 300;

struct Node {
    child: Child,
    port: u16,
}

impl Node {
    fn start(dir: &Path, fsync: &str) -> Node {
        let port = free_port().unwrap();
        let child = slotway()
            .arg("node")
            .args(["--port", &port.to_string(), "--admin-port", "off", "--appendonly", "yes"])
            .args(["--appendfsync", fsync, "--auto-aof-rewrite-min-size", "100000"])
            .arg("--dir")
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut node = Node { child, port };
        let deadline = Instant::now() + START_MAX;
        loop {
            if TcpStream::connect(("127.0.0.1", port)).is_ok()
                && Link::to(port).and_then(|mut link| link.say("PING")).is_some_and(|reply| reply == "+PONG")
            {
                return node;
            }
            let ended = node.child.try_wait().unwrap();
            assert!(ended.is_none(), "the node does not start on what it left: {ended:?}");
            assert!(Instant::now() < deadline, "the node does not serve in time");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// `kill -9`
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A connection that sends inline commands and reads lines.
struct Link {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Link {
    fn to(port: u16) -> Option<Link> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(START_MAX)).ok()?;
        let lines = BufReader::new(stream.try_clone().ok()?);
        Some(Link { stream, lines })
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let len = self.lines.read_line(&mut line).ok()?;
        (len > 0 && line.ends_with("\r\n")).then(|| line.trim_end().to_owned())
    }

    /// None: the node is gone.
    fn say(&mut self, line: &str) -> Option<String> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).ok()?;
        self.line()
    }

    fn number(&mut self, key: &str) -> u64 {
        match self.say(&format!("GET {key}")).unwrap().as_str() {
            "$-1" => 0,
            _ => self.line().unwrap().parse().unwrap(),
        }
    }
}

/// What a writer was told, and what it has asked for.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    acknowledged: u64,
    sent: u64,
}

/// Counts in two keys at once until the node is gone.
fn write(port: u16, nth: usize, mut count: Count, is_over: &AtomicBool) -> Count {
    let Some(mut link) = Link::to(port) else { return count };
    while !is_over.load(Relaxed) {
        count.sent += 1;
        let filler = count.sent % 100;
        let transaction = format!(
            "MULTI\r\nINCR a:{nth}\r\nSELECT 3\r\nINCR b:{nth}\r\nSELECT 0\r\nSET filler:{nth}:{filler} {}\r\nEXEC",
            "x".repeat(100)
        );
        let Some(first) = link.say(&transaction) else { return count };
        assert_eq!(first, "+OK");
        for expected in ["+QUEUED"; 5] {
            let Some(line) = link.line() else { return count };
            assert_eq!(line, expected);
        }
        for _ in 0..6 {
            if link.line().is_none() {
                return count;
            }
        }
        count.acknowledged += 1;
    }
    count
}

fn live(node: Node, life: Duration, counts: &mut [Count; WRITERS]) {
    let (port, is_over) = (node.port, AtomicBool::new(false));
    std::thread::scope(|scope| {
        let writers: Vec<_> = counts
            .iter()
            .enumerate()
            .map(|(nth, &count)| {
                let is_over = &is_over;
                scope.spawn(move || write(port, nth, count, is_over))
            })
            .collect();
        let rewrites = scope.spawn(|| {
            let mut link = Link::to(port)?;
            while !is_over.load(Relaxed) {
                link.say("BGREWRITEAOF")?;
            }
            Some(())
        });
        std::thread::park_timeout(life);
        node.kill();
        is_over.store(true, Relaxed);
        rewrites.join().unwrap();
        for (count, writer) in counts.iter_mut().zip(writers) {
            *count = writer.join().unwrap();
        }
    });
}

fn check(fsync: &str) {
    let kills = std::env::var("SLOTWAY_KILLS").map_or(KILLS_DEFAULT, |kills| kills.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut counts = [Count::default(); WRITERS];
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut acknowledged = 0;
    for kill in 0..=kills {
        let node = Node::start(dir.path(), fsync);
        let mut link = Link::to(node.port).unwrap();
        for (nth, count) in counts.iter_mut().enumerate() {
            let a = link.number(&format!("a:{nth}"));
            assert_eq!(link.say("SELECT 3").unwrap(), "+OK");
            let b = link.number(&format!("b:{nth}"));
            assert_eq!(link.say("SELECT 0").unwrap(), "+OK");
            assert_eq!(a, b, "half a transaction after kill {kill}");
            assert!(a <= count.sent, "{a} of {count:?} after kill {kill}");
            let is_kept = fsync != "always" || a >= count.acknowledged;
            assert!(is_kept, "{a} of {count:?} after kill {kill}");
            *count = Count { acknowledged: a, sent: a };
        }
        acknowledged = counts.iter().map(|count| count.acknowledged).sum::<u64>().max(acknowledged);
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        live(node, Duration::from_millis(random % LIFE_MS_MAX), &mut counts);
    }
    println!("appendfsync {fsync}: {kills} kills, {acknowledged} transactions acknowledged at the end");
}

#[test]
fn with_always_no_kill_loses_what_was_acknowledged() {
    check("always");
}

#[test]
fn with_everysec_no_kill_leaves_half_of_anything() {
    check("everysec");
}
