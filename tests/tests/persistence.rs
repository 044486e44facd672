//! Snapshots on disk beside a real redis-server: each boots from the other's file and holds the same, and what a kill or a
//! full disk leaves behind is the file that was there before.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

use slotway_resp::{Frame, Version};
use slotway_tests::{
    cluster::{ask, binary, is_running, signal, slotway, wait_until},
    crowd::client::Client,
    syscall::die_with_parent,
};

/// A server of either kind on a directory of the test's. Dropping it kills it.
struct Server {
    child: Child,
    port: u16,
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

impl Server {
    fn node(dir: &Path, flags: &[&str]) -> Server {
        Server::start(slotway().arg("node").args(["--admin-port", "off"]), dir, flags)
    }

    fn redis(dir: &Path, flags: &[&str]) -> Server {
        Server::start(Command::new("redis-server").args(["--daemonize", "no"]), dir, flags)
    }

    fn start(command: &mut Command, dir: &Path, flags: &[&str]) -> Server {
        let port = free_port();
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]).arg(dir).args(flags);
        Server::spawn(command, dir, port)
    }

    fn spawn(command: &mut Command, dir: &Path, port: u16) -> Server {
        let log = File::options().create(true).append(true).open(dir.join("log")).expect("a log");
        command.stdin(Stdio::null()).stderr(log.try_clone().expect("a log")).stdout(log);
        die_with_parent(command);
        let mut server = Server { child: command.spawn().expect("the server starts"), port };
        wait_until("the server serves", || {
            assert!(server.child.try_wait().expect("a child").is_none(), "it ended: {}", said(dir));
            ask(port, "PING").is_ok_and(|answer| answer == "+PONG")
        });
        server
    }

    fn client(&self) -> Client {
        Client::connect(self.port, Version::Resp2).expect("the server takes connections")
    }

    fn ask(&self, request: &str) -> Frame {
        self.client().ask(request).expect("an answer")
    }

    fn info(&self, name: &str) -> String {
        let info = self.ask("INFO persistence");
        let info = info.as_str().unwrap_or_default();
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_else(|| panic!("no {name} in {info}")).to_owned()
    }

    fn wait_for_end(mut self) -> ExitStatus {
        self.child.wait().expect("its status")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

fn said(dir: &Path) -> String {
    fs::read_to_string(dir.join("log")).unwrap_or_default()
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

/// 100 000 keys: small and large values of every type, several databases, deadlines.
fn fill(server: &Server) {
    let mut client = server.client();
    let mut lines: Vec<String> = Vec::new();
    for number in 0..90_000 {
        lines.push(format!("SET key:{number} value-of-{number}"));
    }
    for number in 0..2000_u32 {
        lines.push(format!("SET number:{number} {}", i64::from(number) * 1_000_003 - 999_999_999));
        lines.push(format!("SET dies:{number} v PXAT 4{}", 100_000_000_000 + u64::from(number)));
        lines.push(format!("HSET hash:{number} a 1 b {number} c {}", "x".repeat(30)));
        lines.push(format!("RPUSH list:{number} one 2 three {number}"));
        lines.push(format!("ZADD scores:{number} {number}.5 half -inf least inf most"));
    }
    for number in 0..3000 {
        lines.push(format!("HSET large:hash field:{number} {number}"));
        lines.push(format!("RPUSH large:list element:{number}-{}", "y".repeat(50)));
        lines.push(format!("SADD large:set member:{number}"));
        lines.push(format!("SADD large:integers {number}"));
        lines.push(format!("ZADD large:scores {}.25 member:{number}", number % 7));
    }
    lines.extend(["SADD small:integers 1 -5 70000 5000000000", "SADD small:set a b c 1"].map(str::to_owned));
    lines.push(format!("SET large:text {}", "abcdefgh".repeat(50_000)));
    lines.extend(
        ["PFADD unique a b c", "SETBIT bits 1000 1", "GEOADD places 13.36 38.11 Palermo"].map(str::to_owned),
    );
    lines.push("SELECT 7".to_owned());
    lines.extend((0..100).map(|number| format!("SET other:{number} {number} EX 100000")));
    for piece in lines.chunks(1000) {
        for (line, reply) in piece.iter().zip(client.ask_all(piece).expect("answers")) {
            assert!(reply.as_error().is_none(), "{line}: {reply:?}");
        }
    }
}

/// Everything a server holds, in an order of its own: each key with its type, its value and its deadline.
fn contents(server: &Server) -> Vec<String> {
    let mut client = server.client();
    let mut all = Vec::new();
    for database in 0..16 {
        client.ask(&format!("SELECT {database}")).expect("an answer");
        let Ok(Frame::Array(keys)) = client.ask("KEYS *") else { panic!("no keys") };
        let keys: Vec<&str> = keys.iter().map(|key| key.as_str().expect("a name")).collect();
        for piece in keys.chunks(1000) {
            let questions =
                |ask: &dyn Fn(&str) -> String| piece.iter().map(|key| ask(key)).collect::<Vec<_>>();
            let types = client.ask_all(&questions(&|key| format!("TYPE {key}"))).expect("types");
            let deadlines =
                client.ask_all(&questions(&|key| format!("PEXPIRETIME {key}"))).expect("deadlines");
            let reads: Vec<String> = piece.iter().zip(&types).map(|(key, kind)| read(key, kind)).collect();
            let values = client.ask_all(&reads).expect("values");
            for (nth, key) in piece.iter().enumerate() {
                let value = in_order(&types[nth], values[nth].clone());
                all.push(format!("{database} {key} {:?} {:?} {value:?}", types[nth], deadlines[nth]));
            }
        }
    }
    all.sort();
    all
}

fn read(key: &str, kind: &Frame) -> String {
    match kind.as_str() {
        Some("string") => format!("GET {key}"),
        Some("hash") => format!("HGETALL {key}"),
        Some("list") => format!("LRANGE {key} 0 -1"),
        Some("set") => format!("SMEMBERS {key}"),
        Some("zset") => format!("ZRANGE {key} 0 -1 WITHSCORES"),
        other => panic!("{key} is of type {other:?}"),
    }
}

/// The elements of a hash or a set come in any order.
fn in_order(kind: &Frame, value: Frame) -> Vec<Frame> {
    let Frame::Array(elements) = value else { return vec![value] };
    let width = match kind.as_str() {
        Some("hash") => 2,
        Some("set") => 1,
        _ => return elements,
    };
    let mut pieces: Vec<&[Frame]> = elements.chunks(width).collect();
    pieces.sort_by_key(|piece| format!("{piece:?}"));
    pieces.concat()
}

/// A difference of 100 000 lines is of no use: the first is told.
fn must_be_same(one: &[String], other: &[String]) {
    if let Some((one, other)) = one.iter().zip(other).find(|(one, other)| one != other) {
        panic!("the first difference:\n{:.500}\n{:.500}", one, other);
    }
    assert_eq!(one.len(), other.len());
}

#[test]
fn redis_boots_from_our_snapshot_and_we_from_its() {
    let (ours, theirs) = (directory(), directory());
    let node = Server::node(ours.path(), &["--save", ""]);
    fill(&node);
    let expected = contents(&node);
    assert!(expected.len() > 100_000);
    assert_eq!(node.ask("SAVE").as_str(), Some("OK"));
    drop(node);
    let check =
        Command::new("redis-check-rdb").arg(ours.path().join("dump.rdb")).output().expect("redis-check-rdb");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));

    fs::copy(ours.path().join("dump.rdb"), theirs.path().join("dump.rdb")).expect("a copy");
    let redis = Server::redis(theirs.path(), &["--save", ""]);
    must_be_same(&expected, &contents(&redis));
    // And back, as it writes it.
    assert_eq!(redis.ask("SAVE").as_str(), Some("OK"));
    drop(redis);
    let node = Server::node(theirs.path(), &["--save", ""]);
    must_be_same(&expected, &contents(&node));
}

#[test]
fn a_node_that_is_told_to_stop_saves_and_has_it_back() {
    let dir = directory();
    let flags = ["--save", "3600 1"];
    let node = Server::node(dir.path(), &flags);
    assert_eq!(node.ask("SET k v").as_str(), Some("OK"));
    signal("TERM", node.child.id());
    assert!(node.wait_for_end().success());
    let node = Server::node(dir.path(), &flags);
    assert_eq!(node.ask("GET k").as_str(), Some("v"));
}

#[test]
fn a_node_killed_in_the_midst_of_a_save_has_the_snapshot_before_it() {
    let dir = directory();
    let flags = ["--save", "", "--rdb-key-save-delay", "10000"];
    let node = Server::node(dir.path(), &flags);
    node.ask("SET k old");
    assert_eq!(node.ask("SAVE").as_str(), Some("OK"));
    node.ask("SET k new");
    for number in 0..500 {
        node.ask(&format!("SET key:{number} v"));
    }
    assert_eq!(node.ask("BGSAVE").as_str(), Some("Background saving started"));
    let temporary = || {
        let names = fs::read_dir(dir.path()).expect("the directory");
        names
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .any(|name| name.starts_with("temp-"))
    };
    wait_until("the new file is begun", temporary);
    assert_eq!(node.info("rdb_bgsave_in_progress"), "1");
    let pid = node.child.id();
    drop(node);
    assert!(!is_running(pid) && temporary());
    let node = Server::node(dir.path(), &["--save", ""]);
    assert_eq!(node.ask("GET k").as_str(), Some("old"));
    assert_eq!(node.ask("DBSIZE"), Frame::Integer(1));
    assert!(!temporary(), "what the dead one left is removed");
}

/// A limit on the size of files stands for a full disk: it is had everywhere and by everybody.
#[test]
fn a_disk_that_takes_no_more_leaves_the_old_snapshot_and_is_told_to_writers() {
    let dir = directory();
    let port = free_port();
    // 512 blocks of 512 bytes; the signal that comes with the error is not of interest.
    let script = format!(
        "trap '' XFSZ; ulimit -f 512; exec {} node --admin-port off --bind 127.0.0.1 --port {port} --dir {} --save '3600 1'",
        binary().display(),
        dir.path().display(),
    );
    let node = Server::spawn(Command::new("sh").args(["-c", &script]), dir.path(), port);
    node.ask("SET k old");
    assert_eq!(node.ask("SAVE").as_str(), Some("OK"));
    let before = fs::read(dir.path().join("dump.rdb")).expect("the snapshot");
    // What cannot be compressed to less than the limit.
    for number in 0..2000_u64 {
        let noise: String = (0..50_u64)
            .map(|at| format!("{:x}", (number * 50 + at).wrapping_mul(0x9E37_79B9_7F4A_7C15)))
            .collect();
        assert_eq!(node.ask(&format!("SET key:{number} {noise}")).as_str(), Some("OK"));
    }
    assert_eq!(node.ask("BGSAVE").as_str(), Some("Background saving started"));
    wait_until("the save has ended", || node.info("rdb_bgsave_in_progress") == "0");
    assert_eq!(node.info("rdb_last_bgsave_status"), "err");
    assert_eq!(fs::read(dir.path().join("dump.rdb")).expect("the snapshot"), before);
    let refused = node.ask("SET k new");
    assert!(refused.as_error().is_some_and(|text| text.starts_with(b"MISCONF ")), "{refused:?}");
    assert_eq!(node.ask("GET k").as_str(), Some("old"));
    assert!(said(dir.path()).contains("background saving failed"), "{}", said(dir.path()));
    signal("TERM", node.child.id());
    wait_until("it says that it does not stop", || said(dir.path()).contains("not stopping"));
    // When there is room again it goes on by itself: nothing has to be repaired.
    for number in 0..2000 {
        node.ask(&format!("GET key:{number}"));
    }
    node.ask("CONFIG SET stop-writes-on-bgsave-error no");
    assert_eq!(node.ask("FLUSHALL").as_str(), Some("OK"));
    wait_until("the empty snapshot is saved", || node.info("rdb_last_bgsave_status") == "ok");
    assert_eq!(node.ask("SET k new").as_str(), Some("OK"));
}

#[test]
fn a_file_that_cannot_be_loaded_ends_the_program_with_its_name_and_status_1() {
    let dir = directory();
    let file = dir.path().join("dump.rdb");
    fs::write(&file, b"REDIS0011 and nothing that could follow").expect("a file");
    let output = slotway()
        .args(["node", "--admin-port", "off", "--port", &free_port().to_string(), "--dir"])
        .arg(dir.path())
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&file.display().to_string()) && said.contains("at byte"), "{said}");
}
