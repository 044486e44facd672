//! The handlers against a real redis-server, request by request, to the byte.
//!
//! Requests are made from fixed seeds: every option of every data command, alone and in bad company, odd numbers, wrong
//! types, binary and long values. What chance or the clock decides is compared as far as it must agree: elements in any
//! order, times within a second.

mod oracle;
mod requests;

use oracle::Oracle;
use requests::{Compare, Question, Source};

use slotway_cluster::{Database, Placement};
use slotway_commands::lookup;
use slotway_resp::request::OwnedRequest;
use slotway_resp::{Frame, Limits, Version, write};

use crate::call::{Call, Millis};
use crate::dispatch::{self, Handler};
use crate::keyspace::{Keyspace, Settings};

const SEED: [u8; 16] = *b"differential run";

/// Times may differ by so much: both sides read the clock, one after the other. Milliseconds or seconds.
const TIME_TOLERANCE: i64 = 1000;

/// A node without its server: one client, database 0 at first.
struct Twin {
    keyspace: Keyspace,
    database: Database,
    version: Version,
}

impl Twin {
    fn new(version: Version) -> Twin {
        let keyspace = Keyspace::new(Placement::default(), SEED, Settings::default());
        Twin { keyspace, database: Database(0), version }
    }

    fn ask(&mut self, words: &[Vec<u8>]) -> Vec<u8> {
        let request = OwnedRequest::new(words);
        let mut out = Vec::new();
        if words[0].eq_ignore_ascii_case(b"select") {
            self.database = Database(std::str::from_utf8(&words[1]).unwrap().parse().unwrap());
            write::simple(&mut out, "OK");
            return out;
        }
        let row = match lookup::resolve(request.view()) {
            Ok(row) => row,
            Err(error) => {
                write::error(&mut out, &error.text);
                return out;
            }
        };
        let Handler::Data(act) = dispatch::of(row.id) else { panic!("{} is no command on data", row.name) };
        // Every other request comes with its first key looked up before, as in a batch.
        let mut places = Vec::new();
        if let Some(key) = slotway_commands::keys::first(row, request.view()).filter(|key| key.len() % 2 == 0)
        {
            self.keyspace.prefetch([(self.database, key)].into_iter(), &mut places);
        }
        let mut call = Call {
            request: request.view(),
            database: self.database,
            version: self.version,
            keyspace: &mut self.keyspace,
            now: now(),
            out: &mut out,
            places: &places,
        };
        if let Err(refusal) = act(&mut call) {
            assert!(out.is_empty(), "{words:?} wrote a reply and refused");
            write::error(&mut out, refusal.as_bytes());
        }
        out
    }
}

fn now() -> Millis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Millis(u64::try_from(since.as_millis()).unwrap())
}

fn frame(bytes: &[u8]) -> Frame {
    let (frame, len) = Frame::parse(bytes, &Limits::CLIENT).expect("RESP").expect("a whole reply");
    assert_eq!(len, bytes.len(), "one reply and no more");
    frame
}

/// Asks both and compares.
fn check(twin: &mut Twin, oracle: &mut Oracle, question: &Question) -> (Vec<u8>, Vec<u8>) {
    let (ours, theirs) = (twin.ask(&question.words), oracle.ask(&question.words));
    let agree = match question.compare {
        Compare::Bytes => ours == theirs,
        Compare::AnyOrder => ours == theirs || sorted(&frame(&ours)) == sorted(&frame(&theirs)),
        Compare::Time => times_agree(&frame(&ours), &frame(&theirs)),
        Compare::Shape => {
            frame(&ours).as_array().map(<[_]>::len) == frame(&theirs).as_array().map(<[_]>::len)
        }
        Compare::Nothing => true,
    };
    assert!(
        agree,
        "{:?}\n  ours:   {}\n  theirs: {}",
        show(&question.words),
        ours.escape_ascii(),
        theirs.escape_ascii()
    );
    (ours, theirs)
}

fn show(words: &[Vec<u8>]) -> Vec<String> {
    words.iter().map(|word| word[..word.len().min(200)].escape_ascii().to_string()).collect()
}

/// Elements and pairs in one order, whatever they came in.
fn sorted(frame: &Frame) -> Vec<String> {
    let mut elements: Vec<String> = match frame {
        Frame::Array(elements) | Frame::Set(elements) => {
            elements.iter().map(|one| format!("{one:?}")).collect()
        }
        Frame::Map(pairs) => pairs.iter().map(|pair| format!("{pair:?}")).collect(),
        other => vec![format!("{other:?}")],
    };
    elements.sort_unstable();
    elements
}

fn times_agree(ours: &Frame, theirs: &Frame) -> bool {
    match (ours, theirs) {
        (Frame::Integer(ours), Frame::Integer(theirs)) if *ours >= 0 && *theirs >= 0 => {
            (ours - theirs).abs() <= TIME_TOLERANCE
        }
        _ => ours == theirs,
    }
}

/// Every key's type, encoding, deadline and value, on both sides.
fn check_contents(twin: &mut Twin, oracle: &mut Oracle) {
    let all = Question::new(Compare::AnyOrder, ["KEYS", "*"]);
    let (keys, _) = check(twin, oracle, &all);
    // KEYS has deleted what was expired there; active expiry does so here.
    twin.keyspace.expire_cycle(now(), usize::MAX);
    check(twin, oracle, &Question::new(Compare::Bytes, ["DBSIZE"]));
    for key in frame(&keys).as_array().unwrap() {
        let key = key.as_bytes().unwrap();
        let ask = |name: &str| Question { words: vec![name.into(), key.to_vec()], compare: Compare::Bytes };
        let (kind, _) = check(twin, oracle, &ask("TYPE"));
        check(twin, oracle, &Question { compare: Compare::Time, ..ask("PEXPIRETIME") });
        let object = |name: &str| vec![b"OBJECT".to_vec(), name.into(), key.to_vec()];
        for name in ["ENCODING", "REFCOUNT"] {
            check(twin, oracle, &Question { words: object(name), compare: Compare::Bytes });
        }
        if kind == b"+hash\r\n" {
            scan_all(twin, oracle, &[b"HSCAN", key], "");
            let (pairs, _) = check(twin, oracle, &Question { compare: Compare::Nothing, ..ask("HGETALL") });
            assert_eq!(pairs_of(&frame(&pairs)), pairs_of(&frame(&oracle.ask(&ask("HGETALL").words))));
        } else {
            check(twin, oracle, &ask("GET"));
        }
    }
}

fn pairs_of(reply: &Frame) -> Vec<String> {
    let mut pairs: Vec<String> = match reply {
        Frame::Array(elements) => {
            elements.chunks(2).map(|pair| format!("{:?}", (&pair[0], &pair[1]))).collect()
        }
        Frame::Map(pairs) => pairs.iter().map(|pair| format!("{pair:?}")).collect(),
        other => panic!("{other:?} is no map"),
    };
    pairs.sort_unstable();
    pairs
}

/// Scans both sides to the end; each must find the same, at least once.
fn scan_all(twin: &mut Twin, oracle: &mut Oracle, begin: &[&[u8]], options: &str) {
    let request = |cursor: &[u8]| -> Vec<Vec<u8>> {
        let options = options.split_whitespace().map(str::as_bytes);
        begin.iter().copied().chain([cursor]).chain(options).map(<[u8]>::to_vec).collect()
    };
    let all = |ask: &mut dyn FnMut(&[Vec<u8>]) -> Vec<u8>| {
        let (mut cursor, mut found) = (b"0".to_vec(), Vec::new());
        loop {
            let reply = frame(&ask(&request(&cursor)));
            let Some([next, elements]) = reply.as_array() else { panic!("{reply:?}") };
            found.extend(elements.as_array().unwrap().iter().map(|one| format!("{one:?}")));
            cursor = next.as_bytes().unwrap().to_vec();
            if cursor == b"0" {
                break;
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    };
    let ours = all(&mut |words| twin.ask(words));
    let theirs = all(&mut |words| oracle.ask(words));
    assert_eq!(ours, theirs, "{:?}", show(&request(b"0")));
}

/// One life of a server: requests of one seed, the contents compared now and then.
fn run(version: Version, seed: u64, requests: usize) {
    let (mut twin, mut oracle) = (Twin::new(version), Oracle::start(version));
    let mut source = Source::new(seed);
    for nth in 0..requests {
        let question = source.next();
        check(&mut twin, &mut oracle, &question);
        if nth % 200 == 199 {
            for options in ["", "MATCH k*", "TYPE HASH COUNT 3", "type x"] {
                scan_all(&mut twin, &mut oracle, &[b"SCAN"], options);
            }
            check_contents(&mut twin, &mut oracle);
        }
    }
}

const REQUESTS: usize = 12_000;

#[test]
fn resp2_replies_are_those_of_redis() {
    run(Version::Resp2, 1, REQUESTS);
    run(Version::Resp2, 2, REQUESTS);
}

#[test]
fn resp3_replies_are_those_of_redis() {
    run(Version::Resp3, 3, REQUESTS);
    run(Version::Resp3, 4, REQUESTS);
}

/// What is too rare or too long to come up by chance.
#[test]
fn chosen_requests_are_answered_as_redis_answers_them() {
    for version in [Version::Resp2, Version::Resp3] {
        let (mut twin, mut oracle) = (Twin::new(version), Oracle::start(version));
        for line in requests::CHOSEN.lines().filter(|line| !line.trim().is_empty()) {
            check(&mut twin, &mut oracle, &Question::new(Compare::Bytes, line.split_whitespace()));
        }
        for number in 0..700 {
            let field = format!("field{number}");
            check(&mut twin, &mut oracle, &Question::new(Compare::Bytes, ["HSET", "big", &field, "value"]));
        }
        let long = "x".repeat(70_000);
        check(&mut twin, &mut oracle, &Question::new(Compare::Bytes, ["SET", "long", &long]));
        check(&mut twin, &mut oracle, &Question::new(Compare::Bytes, ["APPEND", "long", &long]));
        check(&mut twin, &mut oracle, &Question::new(Compare::Bytes, ["SETRANGE", "long", "150000", "end"]));
        check(&mut twin, &mut oracle, &Question::new(Compare::Bytes, ["GETRANGE", "long", "139990", "-1"]));
        check_contents(&mut twin, &mut oracle);
        for options in ["COUNT 7", "MATCH *5*"] {
            scan_all(&mut twin, &mut oracle, &[b"HSCAN", b"big"], options);
        }
    }
}
