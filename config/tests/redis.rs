//! Redis's settings, compared with a real redis-server 7.0: names, defaults, what CONFIG SET takes, what CONFIG GET
//! says afterwards, and the text of every refusal. Where Slotway differs on purpose a table says why.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use slotway_config::{ALIASES, Effect, Kind, Origin, Program, ROWS, Row, Settings, TextRule};
use slotway_resp::{Frame, Limits, write};

/// A redis-server of its own in an empty directory, ended with the test.
struct Oracle {
    server: Child,
    stream: TcpStream,
    buffer: Vec<u8>,
    _dir: tempfile::TempDir,
}

impl Oracle {
    fn start() -> Self {
        Self::start_with("")
    }

    /// With the text of a redis.conf.
    fn start_with(conf: &str) -> Self {
        // Between finding a free port and using it another process may take it: then try again.
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("redis.conf");
            std::fs::write(&file, conf).unwrap();
            let mut server = Command::new("redis-server")
                .arg(&file)
                .args(["--port", &free.to_string(), "--bind", "127.0.0.1", "--dir"])
                .arg(dir.path())
                .stdout(Stdio::null())
                .spawn()
                .expect("these tests need redis-server 7.0 (Debian: redis-server)");
            let deadline = Instant::now() + Duration::from_secs(20);
            while server.try_wait().unwrap().is_none() {
                if let Ok(stream) = TcpStream::connect(("127.0.0.1", free)) {
                    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                    let mut oracle = Self { server, stream, buffer: Vec::new(), _dir: dir };
                    if oracle.is_mine() {
                        return oracle;
                    }
                    break;
                }
                assert!(Instant::now() < deadline, "redis-server does not listen on {free}");
                std::thread::yield_now();
            }
        }
        panic!("redis-server does not start");
    }

    /// Not a server that somebody else started on the port just before.
    fn is_mine(&mut self) -> bool {
        let info = self.call(&["INFO", "server"]);
        info.as_str().unwrap().contains(&format!("process_id:{}\r\n", self.server.id()))
    }

    fn call(&mut self, words: &[&str]) -> Frame {
        let mut request = Vec::new();
        write::request(&mut request, words);
        self.stream.write_all(&request).unwrap();
        loop {
            if let Some((frame, len)) = Frame::parse(&self.buffer, &Limits::default()).unwrap() {
                self.buffer.drain(..len);
                return frame;
            }
            let mut piece = [0; 16 * 1024];
            let len = self.stream.read(&mut piece).unwrap();
            assert!(len > 0, "redis-server closed the connection after {words:?}");
            self.buffer.extend_from_slice(&piece[..len]);
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let reply = self.call(&["CONFIG", "SET", name, value]);
        reply.as_error().map_or(Ok(()), |text| Err(String::from_utf8(text.to_vec()).unwrap()))
    }

    fn get(&mut self, name: &str) -> Option<String> {
        let pairs = self.pairs(name);
        pairs.into_iter().next().map(|(_, value)| value)
    }

    fn pairs(&mut self, pattern: &str) -> Vec<(String, String)> {
        let text = |frame: &Frame| frame.as_str().unwrap().to_owned();
        let reply = self.call(&["CONFIG", "GET", pattern]);
        reply.as_array().unwrap().chunks(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Names that Redis 7.2 added to those of 7.0.
const NEW_IN_7_2: [&str; 4] = [
    "cluster-announce-human-nodename",
    "locale-collate",
    "set-max-listpack-entries",
    "set-max-listpack-value",
];

/// Defaults that differ from Redis's, with the reason.
const OTHER_DEFAULTS: [(&str, &str); 3] = [
    ("bind", "all listeners bind to loopback unless told otherwise"),
    ("dir", "Redis prints the directory it was started in"),
    ("port", "the oracle runs on a free port"),
];

/// Settings whose change is answered differently, with the reason.
const OTHER_CHANGES: [(&str, &str); 10] = [
    ("bind", "listeners are opened once, at start"),
    ("port", "listeners are opened once, at start"),
    ("activedefrag", "needs Redis's own jemalloc; this oracle may or may not have it"),
    (
        "maxclients",
        "Redis asks the system for as many files at once; the node does so when it applies the value",
    ),
    ("oom-score-adj", "Redis writes /proc at once, which a container may refuse"),
    ("requirepass", "locks the test out; masterauth has the same type"),
    ("tls-cluster", "TLS is not supported"),
    ("tls-port", "TLS is not supported"),
    ("tls-replication", "TLS is not supported"),
    ("watchdog-period", "starts a timer of signals in Redis"),
];

/// Lines as people write them, in every form that the file's syntax has.
const CONF: &str = r#"
# a comment, and an empty line

maxmemory 100mb
  MaxMemory-Policy   allkeys-lru
masterauth "with \"quotes\", \x41, \t and \\"
masteruser 'it\'s \n'
save 60 5
save 10 7
client-output-buffer-limit normal 10mb 1mb 5
client-output-buffer-limit pubsub 1mb 1mb 5
slave-read-only no
repl-backlog-size 3m
notify-keyspace-events "KEA"
hash-max-ziplist-entries 77
timeout 1
timeout 30
oom-score-adj-values 1 2 3
replica-announce-ip ""
slaveof no one
"#;

#[test]
fn a_redis_conf_means_to_us_what_it_means_to_redis() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("redis.conf");
    std::fs::write(&file, CONF).unwrap();
    let ours = slotway_config::from_redis(&file).unwrap();
    assert_eq!(ours.refused, []);
    let toml = dir.path().join("node.toml");
    std::fs::write(&toml, ours.to_string()).unwrap();
    let loaded = slotway_config::NodeConfig::load(Some(&toml), std::iter::empty(), Vec::new()).unwrap();
    let mut oracle = Oracle::start_with(CONF);
    let same = |(name, value): &(String, String)| {
        NEW_IN_7_2.contains(&name.as_str())
            || differs(&OTHER_DEFAULTS, name)
            || loaded.settings.get(name).as_ref() == Some(value)
    };
    let others: Vec<_> = oracle.pairs("*").into_iter().filter(|pair| !same(pair)).collect();
    assert_eq!(others, []);
}

#[test]
fn lines_that_redis_cannot_read_are_refused() {
    for line in ["maxmemory \"1", "masteruser 'a", "masteruser \"a\"b", "nonsense 1", "port many", "timeout"]
    {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("redis.conf");
        std::fs::write(&file, line).unwrap();
        let theirs =
            Command::new("redis-server").arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(!theirs.unwrap().success(), "{line}");
        let ours = slotway_config::from_redis(&file);
        assert!(ours.is_err() || ours.is_ok_and(|conf| conf.refused.len() == 1), "{line}");
    }
}

fn differs(table: &[(&str, &str)], name: &str) -> bool {
    table.iter().any(|(listed, _)| *listed == name)
}

#[test]
fn every_name_of_redis_is_answered_with_the_same_default() {
    let mut oracle = Oracle::start();
    let node = Settings::node_defaults();
    let theirs = oracle.pairs("*");
    assert!(theirs.len() > 180, "only {} settings", theirs.len());
    for (name, default) in &theirs {
        let ours = node.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        if !differs(&OTHER_DEFAULTS, name) {
            assert_eq!(ours, *default, "{name}");
        }
    }
}

#[test]
fn no_name_is_called_redis_s_that_is_not() {
    let mut oracle = Oracle::start();
    let names = ROWS.iter().filter(|row| row.origin == Origin::Redis).map(|row| row.name);
    for name in names.chain(ALIASES.iter().map(|(alias, _)| *alias)) {
        let known = oracle.get(name).is_some();
        assert_eq!(known, !NEW_IN_7_2.contains(&name), "{name}");
    }
}

#[test]
fn a_pattern_finds_the_names_that_redis_shows_for_it() {
    let mut oracle = Oracle::start();
    let node = Settings::node_defaults();
    let is_redis = |name: &str| !NEW_IN_7_2.contains(&name) && of_redis(name);
    for (pattern, prefix) in [("*", ""), ("MAXMEM*", "maxmem"), ("slave*", "slave"), ("key*", "key")] {
        let mut theirs: Vec<_> = oracle.pairs(pattern).into_iter().map(|(name, _)| name).collect();
        let matching = node.matching(|name| name.starts_with(prefix)).map(|(name, _)| name.to_owned());
        let mut ours: Vec<_> = matching.filter(|name| is_redis(name)).collect();
        theirs.sort();
        ours.sort();
        assert_eq!(ours, theirs, "{pattern}");
    }
}

fn of_redis(name: &str) -> bool {
    slotway_config::Key::named(name).is_some_and(|(_, key)| key.row().origin == Origin::Redis)
}

#[test]
fn the_same_settings_may_change_while_the_server_runs() {
    let mut oracle = Oracle::start();
    let mut node = Settings::node_defaults();
    for (name, default) in oracle.pairs("*") {
        if differs(&OTHER_CHANGES, &name) || differs(&OTHER_DEFAULTS, &name) && name != "dir" {
            continue;
        }
        let ours = node.set(&[(&name, &default)]).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(ours, oracle.set(&name, &default), "{name}");
    }
}

/// Values to try on a type, good and bad ones, with a bar between.
const FLAGS: &str = "yes|no|YES|No|1|true||yes ";
const INTEGERS: &str = "0|1|7|-1|+1|01| 1|1 ||x|1x|1.5|1e3|1kb|-0|100|65535|65536|2147483647|2147483648|4294967296|\
    9223372036854775807|9223372036854775808|-2147483648|-2147483649";
const SIZES: &str = "0|1|100|1048576|2mb|2MB|2m|3k|3kb|3Kb|1g|1gb|5b|5B||kb|-1|-1kb|1.5gb|1 gb| 1|1tb|x|0x10|007|\
    9223372036854775807|9223372036854775808|18446744073709551615";
/// Small sizes would make Redis evict the connection of the test.
const SIZES_OR_PERCENTS: &str = "1gb|0|100%|101%|5%|0%|007%|-5%|%|x%|5 %|5.5%|9223372036854775807|-1";
const HOST_NAMES: &str = "|a|a-b.c|a_b|a b|é|UPPER.1";
const TITLES: &str = "|x|{title}|{title} {port}|{title} {server-mode}|{listen-addr}|{foo}|{|}|{title|{{|{{title}|{}|\
    {config-file} {server-mode} {listen-addr} {tls-port} {unixsocket}";
const TEXTS: &str = "|a|a b|a,b|a#b|é|\"quoted\"|a__b";
const SAVES: &str = "|60 1|60 1 5 2|60|60 1 5|0 1|-1 1|60 -1|60 0|x 1|60 x| |60  1|60 +5|060 07|60 1 |60 1.5";
const OUTPUT_LIMITS: &str = "|normal 1gb 2mb 10|slave 1k 1kb 1|replica 0 0 0|pubsub 32mb 8mb 60 normal 0 0 0|\
    NORMAL 0 0 0|master 0 0 0|nobody 0 0 0|normal 0 0|normal|normal x 0 0|normal 0 x 0|normal 0 0 x|normal 0 0 -1|\
    normal -1 0 0|normal 1gb 2mb 10 |normal  1gb 2mb 10";
const SCORES: &str = "0 200 800|1 2 3|-2000 0 2000|-2001 0 0|1 2|1 2 3 4||1 2 x|+1 2 3";
const EVENTS: &str = "|KEA|Elg$|AKE|AKEmnd|dKKnmt|g$lshzxetdKEmn|g$lshzxetd|n|q|K E|a";
const PERCENTILES: &str = "|50|0 100|50 99 99.9|99.99999 1e1|-1|100.1|x|50  60|nan|.5";
const CHOICES: &str = "|x|no such|yes|save now|now SAVE save|default now";

fn values_for(row: &Row) -> Vec<String> {
    let fixed = match row.kind {
        Kind::Flag => FLAGS,
        Kind::Integer { .. } | Kind::Clamped { .. } => INTEGERS,
        Kind::Bytes { .. } | Kind::BytesRaised { .. } => SIZES,
        Kind::BytesOrPercent => SIZES_OR_PERCENTS,
        Kind::Text(TextRule::HostName) => HOST_NAMES,
        Kind::Text(TextRule::ProcTitle) => TITLES,
        Kind::Text(_) => TEXTS,
        Kind::SavePoints => SAVES,
        Kind::OutputLimits => OUTPUT_LIMITS,
        Kind::OomScores => SCORES,
        Kind::KeyspaceEvents => EVENTS,
        Kind::Percentiles => PERCENTILES,
        Kind::Choice { .. } | Kind::Choices(_) => CHOICES,
        Kind::Octal { .. } | Kind::Words { .. } | Kind::ReplicaOf | Kind::PortOrOff | Kind::Addresses => {
            panic!("{} cannot change", row.name)
        }
    };
    let mut values: Vec<String> = fixed.split('|').map(str::to_owned).collect();
    match row.kind {
        Kind::Choice { words, .. } | Kind::Choices(words) => {
            values.extend(words.iter().map(|word| (*word).to_owned()));
            values.extend(words.iter().map(|word| word.to_uppercase()));
        }
        Kind::Integer { min, max } => values.extend([min, max].map(|bound| bound.to_string())),
        _ => {}
    }
    values
}

#[test]
fn config_set_takes_and_refuses_what_redis_does_in_the_same_words() {
    let mut oracle = Oracle::start();
    let mut node = Settings::node_defaults();
    let comparable = |row: &&Row| {
        row.origin == Origin::Redis
            && row.belongs_to(Program::Node)
            && row.change.is_live()
            && !matches!(row.effect, Effect::Fixed(_))
            && !NEW_IN_7_2.contains(&row.name)
            && !differs(&OTHER_CHANGES, row.name)
    };
    let mut tried = 0;
    let mut wrong = Vec::new();
    for row in ROWS.iter().filter(comparable) {
        for value in values_for(row) {
            tried += 1;
            let theirs = oracle.set(row.name, &value);
            let ours = node.set(&[(row.name, &value)]).map(|_| ()).map_err(|error| error.to_string());
            let (we_say, they_say) = (node.get(row.name), oracle.get(row.name));
            if ours != theirs || we_say != they_say {
                wrong.push(format!(
                    "{} {value:?}\n  {ours:?} {we_say:?}\n  {theirs:?} {they_say:?}",
                    row.name
                ));
                let now = they_say.unwrap();
                node.set(&[(row.name, &now)]).unwrap();
            }
        }
        oracle.set(row.name, row.default).unwrap();
        node.set(&[(row.name, row.default)]).unwrap();
    }
    assert!(tried > 1000, "only {tried} values tried");
    assert!(wrong.is_empty(), "{} of {tried} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn several_pairs_are_set_together_or_not_at_all() {
    let mut oracle = Oracle::start();
    let mut node = Settings::node_defaults();
    let requests: [&[(&str, &str)]; 10] = [
        &[("hz", "20"), ("timeout", "5000")],
        &[("hz", "30"), ("timeout", "x")],
        &[("hz", "30"), ("nosuch", "1"), ("timeout", "x")],
        &[("hz", "x"), ("nosuch", "1")],
        &[("HZ", "40"), ("hz", "41")],
        &[("hz", "40"), ("hz", "41"), ("nosuch", "1")],
        &[("databases", "1"), ("nosuch", "1")],
        &[("nosuch", "1"), ("databases", "1")],
        &[("slave-priority", "1"), ("replica-priority", "2")],
        &[("SLAVE-priority", "x"), ("replica-priority", "2")],
    ];
    for pairs in requests {
        let mut words = vec!["CONFIG", "SET"];
        words.extend(pairs.iter().flat_map(|(name, value)| [*name, *value]));
        let reply = oracle.call(&words);
        let theirs = reply.as_error().map(|text| String::from_utf8(text.to_vec()).unwrap());
        let ours = node.set(pairs).err().map(|error| error.to_string());
        assert_eq!(ours, theirs, "{pairs:?}");
        for name in ["hz", "timeout", "replica-priority", "slave-priority"] {
            assert_eq!(node.get(name), oracle.get(name), "{name} after {pairs:?}");
        }
    }
}

#[test]
fn a_number_too_large_for_its_type_is_refused_where_redis_would_store_another_one() {
    let mut node = Settings::node_defaults();
    for (name, value) in [("maxmemory", "99999999999gb"), ("maxmemory", "99999999999999999999999")] {
        let refused = node.set(&[(name, value)]).unwrap_err().to_string();
        assert!(refused.ends_with("argument must be a memory value"), "{refused}");
    }
}

#[test]
fn a_setting_that_cannot_act_takes_its_default_and_refuses_the_rest() {
    let mut node = Settings::node_defaults();
    assert_eq!(node.set(&[("tls-port", "0")]), Ok(Vec::new()));
    let refused = node.set(&[("tls-port", "6380")]).unwrap_err().to_string();
    assert_eq!(
        refused,
        "ERR CONFIG SET failed (possibly related to argument 'tls-port') - TLS is not supported yet"
    );
}
