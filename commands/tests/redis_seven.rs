//! The table against a real redis-server 7.0: what COMMAND says of every command, which keys it finds, how it
//! refuses. Where the table follows Redis 7.2, the difference is listed here with its reason.

#[path = "redis_seven/server.rs"]
mod server;

use std::collections::BTreeSet;

use server::Server;
use slotway_commands::describe::{self, Answer, Scope};
use slotway_commands::{errors, glob, lookup, table};
use slotway_resp::request::OwnedRequest;
use slotway_resp::{Frame, Limits, Version};

/// Rows that Redis 7.0 does not have.
const NEWER: [(&str, &str); 4] = [
    ("client|no-touch", "came with 7.2"),
    ("client|setinfo", "came with 7.2"),
    ("cluster|myshardid", "came with 7.2"),
    ("waitaof", "came with 7.2"),
];

/// Rows that say something else than Redis 7.0.
const CHANGED: [(&str, &str); 3] = [
    ("wait", "since 7.2 it is marked as blocking and scripts may call it"),
    ("zrank", "WITHSCORE of 7.2: arity -3"),
    ("zrevrank", "WITHSCORE of 7.2: arity -3"),
];

const VERSIONS: [Version; 2] = [Version::Resp2, Version::Resp3];

fn is_newer(name: &str) -> bool {
    NEWER.iter().any(|(newer, _)| *newer == name)
}

fn is_changed(name: &str) -> bool {
    CHANGED.iter().any(|(changed, _)| *changed == name)
}

/// What `write` writes, as a frame.
fn ours(write: impl FnOnce(&mut Vec<u8>)) -> Frame {
    let mut bytes = Vec::new();
    write(&mut bytes);
    let (frame, len) = Frame::parse(&bytes, &Limits::REPLY).expect("well-formed").expect("whole");
    assert_eq!(len, bytes.len(), "one reply");
    frame
}

fn elements(frame: Frame) -> Vec<Frame> {
    match frame {
        Frame::Array(elements) | Frame::Set(elements) => elements,
        other => panic!("not an array: {other:?}"),
    }
}

fn text(frame: &Frame) -> String {
    match frame {
        Frame::Bulk(bytes) | Frame::Simple(bytes) => String::from_utf8(bytes.clone()).expect("a name"),
        other => panic!("not a text: {other:?}"),
    }
}

/// A command's name, if the frame is one entry of COMMAND.
fn name_of(frame: &Frame) -> Option<String> {
    match frame {
        Frame::Array(facts) if facts.len() == 10 => Some(text(&facts[0])),
        _ => None,
    }
}

/// An order for what has none (sets and, in RESP2, their arrays; subcommands), and no prose: the notes beside key
/// specifications are not part of the table. Key specifications keep their order.
fn canonical(frame: Frame) -> Frame {
    let is_note = |frame: &Frame| *frame == Frame::Bulk(b"notes".to_vec());
    let sorted = |elements: Vec<Frame>| {
        let mut elements: Vec<Frame> = elements
            .into_iter()
            .filter(|element| !name_of(element).is_some_and(|name| is_newer(&name) || is_changed(&name)))
            .map(canonical)
            .collect();
        let words = elements.iter().all(|element| matches!(element, Frame::Simple(_) | Frame::Bulk(_)));
        if words || elements.iter().all(|element| name_of(element).is_some()) {
            elements.sort_by_key(|element| name_of(element).unwrap_or_else(|| format!("{element:?}")));
        }
        elements
    };
    match frame {
        Frame::Set(elements) => Frame::Set(sorted(elements)),
        Frame::Array(mut elements) => {
            if elements.first().is_some_and(is_note) {
                elements.drain(..2);
            }
            Frame::Array(sorted(elements))
        }
        Frame::Map(pairs) => {
            let pairs = pairs.into_iter().filter(|(name, _)| !is_note(name));
            Frame::Map(pairs.map(|(name, value)| (name, canonical(value))).collect())
        }
        other => other,
    }
}

#[test]
fn every_fact_of_command_is_redis_sevens_but_for_the_listed_differences() {
    let mut server = Server::start();
    for version in VERSIONS {
        server.speak(version);
        let theirs = elements(canonical(server.ask(&["command"])));
        let all = OwnedRequest::default();
        let ours = elements(canonical(ours(|out| describe::info(all.view(), Scope::Known, version, out))));
        let names = |frames: &[Frame]| frames.iter().filter_map(name_of).collect::<Vec<_>>();
        assert_eq!(names(&ours), names(&theirs));
        assert!(ours.len() > 230, "{}", ours.len());
        for (our, their) in ours.iter().zip(&theirs) {
            assert_eq!(our, their);
        }
    }
}

#[test]
fn every_listed_difference_is_one() {
    let mut server = Server::start();
    for (name, _) in NEWER {
        let theirs = server.ask(&["command", "info", name]);
        assert_eq!(theirs, Frame::Array(vec![Frame::NullBulk]), "{name}");
        assert!(lookup::find_full(name.as_bytes()).is_some(), "{name}");
    }
    for (name, _) in CHANGED {
        let theirs = canonical(elements(server.ask(&["command", "info", name])).remove(0));
        let request = OwnedRequest::new([name]);
        let ours = ours(|out| describe::info(request.view(), Scope::Known, Version::Resp2, out));
        assert_ne!(canonical(elements(ours).remove(0)), theirs, "{name}");
    }
}

#[test]
fn command_info_answers_names_in_any_case_subcommands_and_nonsense_as_redis_does() {
    let mut server = Server::start();
    let names =
        ["GET", "nope", "Config|Get", "config", "get|x", "|", "config|", "", "xread", "client|nope", "set"];
    for version in VERSIONS {
        server.speak(version);
        let theirs = server.ask(&[&["command", "info"], &names[..]].concat());
        let request = OwnedRequest::new(names);
        let ours = ours(|out| describe::info(request.view(), Scope::Known, version, out));
        assert_eq!(canonical(ours), canonical(theirs));
    }
}

#[test]
fn command_count_and_list_filter_as_redis_does() {
    let mut server = Server::start();
    let top_level_newer = NEWER.iter().filter(|(name, _)| !name.contains('|')).count();
    let Frame::Integer(theirs) = server.ask(&["command", "count"]) else { panic!("not a number") };
    let Frame::Integer(count) = ours(|out| describe::count(Scope::Known, out)) else {
        panic!("not a number")
    };
    assert_eq!(count, theirs + i64::try_from(top_level_newer).unwrap());

    let mut check = |filter: &[&str]| {
        let words = [&["command", "list"], filter].concat();
        let theirs = server.ask(&words);
        let request = OwnedRequest::new(&words);
        let ours = ours(|out| describe::list(request.view(), Scope::Known, out));
        let (Frame::Array(ours), Frame::Array(theirs)) = (&ours, &theirs) else {
            return assert_eq!(ours, theirs, "{words:?}");
        };
        let names = |frames: &[Frame]| frames.iter().map(text).collect::<BTreeSet<_>>();
        let older = |name: &String| !is_newer(name) && !is_changed(name);
        let filtered = |frames: &[Frame]| names(frames).into_iter().filter(older).collect::<Vec<_>>();
        assert_eq!(filtered(ours), filtered(theirs), "{words:?}");
    };
    check(&[]);
    for category in slotway_commands::row::Category::ALL {
        check(&["filterby", "aclcat", category.name()]);
    }
    for pattern in ["*", "x*", "X*", "config|*", "*|help", "[a-c]*t", "z?????", "", "nope"] {
        check(&["FILTERBY", "pattern", pattern]);
    }
    for odd in [&["filterby"][..], &["filterby", "x", "y"], &["x"], &["filterby", "module", "x"]] {
        check(odd);
    }
    check(&["filterby", "aclcat", "nope"]);
    check(&["filterby", "aclcat", "@read"]);
    check(&["filterby", "pattern", "x", "y"]);
}

/// Compares COMMAND GETKEYS and GETKEYSANDFLAGS of many requests, sent as one pipeline.
fn check_keys(server: &mut Server, requests: &[Vec<String>]) {
    let forms = [("getkeys", Answer::Keys), ("getkeysandflags", Answer::KeysAndFlags)];
    for version in VERSIONS {
        server.speak(version);
        for (subcommand, answer) in forms {
            for batch in requests.chunks(200) {
                for words in batch {
                    let front = ["command".to_owned(), subcommand.to_owned()];
                    server.send(&[&front[..], words].concat());
                }
                for words in batch {
                    let theirs = server.receive();
                    let request = OwnedRequest::new(words);
                    let ours =
                        ours(|out| describe::getkeys(request.view(), Scope::Known, answer, version, out));
                    assert_eq!(ours, theirs, "{subcommand} {words:?} {version:?}");
                }
            }
        }
    }
}

#[test]
fn the_keys_of_every_form_are_those_that_redis_finds() {
    let requests = [
        "set k v",
        "set k v get",
        "set k v ex 1 GET",
        "set get get",
        "get k",
        "mget a b c",
        "mset a 1 b 2",
        "mset a 1 b",
        "msetnx a 1",
        "del a b",
        "lcs a b",
        "bitop and d a b c",
        "bitfield k get u8 0",
        "bitfield k set u8 0 1",
        "bitfield k overflow sat get u8 0",
        "bitfield k get u8 0 incrby u8 0 1",
        "bitfield k",
        "bitfield k get",
        "bitfield_ro k get u8 0",
        "blpop a b 0",
        "blmove a b left right 0",
        "blmpop 0 2 a b left",
        "blmpop 0 3 a b left",
        "lmpop 1 a left",
        "lmpop 0 a left",
        "lmpop x a left",
        "zunionstore d 2 a b",
        "zunionstore d 2 a",
        "zunionstore d 0 a",
        "zunionstore d -1 a",
        "zunionstore d 1 a weights 1",
        "zunion 2 a b",
        "zinter 1 a",
        "zdiff 1 a withscores",
        "zdiffstore d 1 a",
        "sintercard 2 a b limit 1",
        "zintercard 1 a",
        "zmpop 1 a min",
        "bzmpop 0 2 a b min",
        "eval s 2 a b c",
        "eval s 0",
        "eval s 0 a",
        "eval s 9 a",
        "eval s -1",
        "eval_ro s 1 a",
        "evalsha s 1 a",
        "fcall f 2 a b",
        "fcall_ro f 0",
        "xread streams a b 0 0",
        "xread streams a b 0",
        "xread count 1 block 0 streams a 0",
        "xread count 1 streams",
        "xread count 1 a 0",
        "xreadgroup group g c streams k >",
        "xreadgroup group streams c streams k >",
        "xreadgroup group g c count 1 noack streams a b > >",
        "xgroup create k g 0",
        "xinfo stream k",
        "xinfo help",
        "xadd k * a b",
        "sort k",
        "sort k store d",
        "sort k by store get x store d",
        "sort k limit 0 1 store d",
        "sort k store a store b",
        "sort k store",
        "sort k get store",
        "sort k limit store d",
        "sort_ro k by x",
        "georadius k 0 0 1 m",
        "georadius k 0 0 1 m store d",
        "georadius k 0 0 1 m storedist d",
        "georadius k 0 0 1 m store",
        "georadius k 0 0 1 m count 1 store d",
        "georadius_ro k 0 0 1 m",
        "georadiusbymember k m 1 m store d",
        "georadiusbymember k m 1 m",
        "georadiusbymember k m 1 store d",
        "geosearchstore d s frommember m",
        "migrate h 1 k 0 1",
        "migrate h 1 k 0 1 copy",
        "migrate h 1 k 0 1 keys a",
        "migrate h 1 k 0 1 auth keys keys a",
        "migrate h 1 k 0 1 replace",
        "memory usage k",
        "object encoding k",
        "object help",
        "object nope",
        "debug object k",
        "pfcount a b",
        "pfmerge d a b",
        "pfdebug x k",
        "rename a b",
        "copy a b",
        "smove a b m",
        "watch a b",
        "spublish c m",
        "ssubscribe a b",
        "publish c m",
        "ping x",
        "config get x",
        "config nope x",
        "nope x",
        "get a b",
        "mset a",
        "zadd k 1 m",
        "zrangestore d s 0 1",
        "restore k 0 x",
        "dump k",
        "touch a b",
        "client kill a",
        "command getkeys get",
        "shutdown x",
        "xautoclaim k g c 0 0",
        "xclaim k g c 0 1",
    ];
    let mut requests: Vec<Vec<String>> =
        requests.iter().map(|line| line.split(' ').map(str::to_owned).collect()).collect();
    let empty = "".to_owned();
    for tail in
        ["keys a b", "copy keys a", "auth p keys a", "auth2 u p keys a b", "auth keys keys b", "keys", ""]
    {
        let mut words = ["migrate", "h", "1", "", "0", "1"].map(str::to_owned).to_vec();
        words.extend(tail.split(' ').filter(|word| !word.is_empty()).map(str::to_owned));
        requests.push(words);
    }
    requests.push(vec!["get".to_owned(), empty]);
    check_keys(&mut Server::start(), &requests);
}

/// GEORADIUS with STORE and STOREDIST, or one of them twice: the last one is where the command stores. Redis names
/// the first of each and may miss the key that is written; the table names that key alone.
fn has_two_destinations(words: &[String]) -> bool {
    let is_store =
        |word: &&String| word.eq_ignore_ascii_case("store") || word.eq_ignore_ascii_case("storedist");
    words[0].starts_with("georadius") && words.iter().filter(is_store).count() > 1
}

#[test]
fn of_two_destinations_georadius_stores_in_the_last() {
    let row = lookup::find(b"georadius").expect("a row");
    for tail in ["store a store b", "store a storedist b", "storedist a store b"] {
        let words = format!("georadius k 0 0 1 m {tail}");
        let request = OwnedRequest::new(words.split(' '));
        let positions: Vec<usize> =
            slotway_commands::keys::positions(row, request.view()).expect("keys").collect();
        assert_eq!(positions, [1, 9], "{tail}");
    }
}

/// Every command with a dozen tails of words that mean something somewhere.
#[test]
fn the_keys_of_generated_requests_are_those_that_redis_finds() {
    const WORDS: [&str; 16] = [
        "a",
        "b",
        "0",
        "1",
        "2",
        "3",
        "STORE",
        "storedist",
        "streams",
        "KEYS",
        "get",
        "by",
        "limit",
        "auth",
        "u8",
        "c",
    ];
    let mut seed: u64 = 0x1234_5678_9abc_def1;
    let mut random = move |below: usize| {
        // xorshift64: any scattering will do, the same one every time.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % u64::try_from(below).unwrap()).unwrap()
    };
    let mut requests = Vec::new();
    for row in table::COMMANDS.iter() {
        let (known, changed) = (!is_newer(row.name), is_changed(row.name));
        if row.group == slotway_commands::row::Group::Internal || !known || changed || row.is_container() {
            continue;
        }
        for _ in 0..12 {
            let mut words: Vec<String> = row.name.split('|').map(str::to_owned).collect();
            words.extend((0..random(9)).map(|_| WORDS[random(WORDS.len())].to_owned()));
            if words.len() > 1 || !table::top_level().any(|row| row.name == words[0] && row.arity == -1) {
                requests.push(words);
            }
        }
    }
    requests.retain(|words| words.len() > 1 && !has_two_destinations(words));
    assert!(requests.len() > 3000);
    check_keys(&mut Server::start(), &requests);
}

#[test]
fn requests_that_no_handler_may_see_are_refused_in_redis_words() {
    let mut server = Server::start();
    let mut check = |words: &[&[u8]]| {
        let request = OwnedRequest::new(words);
        let ours = lookup::resolve(request.view()).expect_err("refused").text;
        let ours = ours.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect();
        assert_eq!(Frame::Error(ours), server.ask(words));
    };
    let long = [b'x'; 200];
    check(&[b"nope"]);
    check(&[b"Nope", b"a", b"b c", b""]);
    check(&[b"no\r\npe", b"a\nb"]);
    check(&[b"no\0pe", b"a\0b", b"c"]);
    check(&[&long, &long, b"a"]);
    check(&[b"nope", &long[..100], &long[..100], b"a"]);
    check(&[b"nope", &long[..120], b"abcdefgh"]);
    check(&[b"nope", &long[..128], b"a"]);
    check(&[b"", b"a"]);
    check(&[b"config", b"nope"]);
    check(&[b"Config", b"no\r\npe", b"x"]);
    check(&[b"object", &long]);
    check(&[b"client", b""]);
    check(&[b"config|get", b"x"]);
    for row in table::COMMANDS.iter().filter(|row| row.is_here()) {
        let foreign = row.group == slotway_commands::row::Group::Internal || is_newer(row.name);
        let names: Vec<&[u8]> = row.name.split('|').map(str::as_bytes).collect();
        if !foreign && !row.accepts(names.len()) {
            check(&names);
        }
        if !foreign && row.arity > 0 {
            check(&[&names[..], &[b"x".as_slice(); 8]].concat());
        }
    }
}

#[test]
fn globs_match_as_keys_does() {
    let mut server = Server::start();
    let texts =
        ["a", "b", "ab", "abc", "aab", "ba", "[", "]", "-", "^", "\\", "*", "?", "a-c", "", "A", "a]", "[a"];
    for text in texts {
        server.ask(&["set", text, "x"]);
    }
    // Every pattern of up to five of these signs: 19,607 of them.
    const SIGNS: [u8; 7] = *b"ab*[]^\\";
    let mut patterns: Vec<Vec<u8>> = vec![Vec::new()];
    let mut from = 0;
    for _ in 0..5 {
        let until = patterns.len();
        for at in from..until {
            patterns.extend(SIGNS.map(|sign| [&patterns[at][..], &[sign]].concat()));
        }
        from = until;
    }
    let more = [
        "[a-c]", "[c-a]b", "a-c", "[a-]", "[a-]b", "?b", "*?", "[^a-b]*", "[\\]a]", "[\\^]", "a?c", "*a*b*",
        "[--a]",
    ];
    patterns.extend(more.map(|pattern| pattern.as_bytes().to_vec()));
    for batch in patterns.chunks(500) {
        for pattern in batch {
            server.send(&[b"keys", &pattern[..]]);
        }
        for pattern in batch {
            let theirs: BTreeSet<String> = elements(server.receive()).iter().map(text).collect();
            let ours = texts.iter().filter(|text| glob::matches(pattern, text.as_bytes()));
            let ours: BTreeSet<String> = ours.map(|text| (*text).to_owned()).collect();
            assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(pattern));
        }
    }
}

#[test]
fn error_texts_are_redis_words() {
    let mut server = Server::start();
    for words in ["set k v", "set n 9223372036854775807", "rpush l a", "hset h f v"] {
        server.ask(&words.split(' ').collect::<Vec<_>>());
    }
    let mut check = |words: &str, ours: &[u8]| {
        let theirs = server.ask(&words.split(' ').collect::<Vec<_>>());
        assert_eq!(theirs, Frame::Error(ours.to_vec()), "{words}");
    };
    let mut same = |words: &str, ours: &str| check(words, ours.as_bytes());
    same("get l", errors::WRONGTYPE);
    same("set k v nope", errors::SYNTAX);
    same("incr k", errors::NOT_INTEGER);
    same("incrbyfloat k 1", errors::NOT_FLOAT);
    same("incr n", errors::OVERFLOW);
    same("decrby n -9223372036854775808", errors::DECREMENT_OVERFLOW);
    same("incrbyfloat n inf", errors::NAN_OR_INFINITY);
    same("hincrby h f 1", errors::HASH_NOT_INTEGER);
    same("hincrbyfloat h f 1", errors::HASH_NOT_FLOAT);
    same("hrandfield h -9223372036854775808 withvalues", errors::RANDOM_COUNT_RANGE);
    same("setrange k -1 x", errors::OFFSET_OUT_OF_RANGE);
    same("setrange k 536870912 x", errors::STRING_TOO_LONG);
    same("setbit k 1 2", errors::BIT_NOT_INTEGER);
    same("getbit k x", errors::BIT_OFFSET_NOT_INTEGER);
    same("lcs k l", errors::LCS_NOT_STRINGS);
    same("lcs k k len idx", errors::LCS_LEN_AND_IDX);
    same("rename nope x", errors::NO_SUCH_KEY);
    same("lset l 9 x", errors::INDEX_OUT_OF_RANGE);
    same("lpop l -1", errors::NOT_POSITIVE);
    same("copy k k", errors::SAME_OBJECT);
    same("restore k 0 x", errors::BUSYKEY);
    same("scan x", errors::INVALID_CURSOR);
    same("expire k 1 nx xx", errors::EXPIRE_NX_AND_OTHERS);
    same("expire k 1 gt lt", errors::EXPIRE_GT_AND_LT);
    same("select 99", errors::DB_OUT_OF_RANGE);
    same("swapdb x 1", errors::SWAPDB_FIRST);
    same("swapdb 1 x", errors::SWAPDB_SECOND);
    same("sintercard 0 k", errors::NUMKEYS_NOT_POSITIVE);
    same("eval x -1", errors::NUMKEYS_NEGATIVE);
    same("eval x 5 a", errors::NUMKEYS_TOO_MANY);
    same("auth x", errors::NO_PASSWORD_SET);
    same("auth x y", errors::WRONGPASS);
    same("hello 4", errors::NOPROTO);
    same("hello x", errors::PROTOCOL_NOT_INTEGER);
    same("client setname a\nb", errors::CLIENT_NAME);
    same("client kill 1.1.1.1:1", errors::NO_SUCH_CLIENT);
    same("client kill id 0", errors::CLIENT_ID_NOT_POSITIVE);
    same("client list id x", errors::INVALID_CLIENT_ID);
    same("exec", errors::EXEC_WITHOUT_MULTI);
    same("discard", errors::DISCARD_WITHOUT_MULTI);
    same("evalsha x 0", errors::NOSCRIPT);
    same("blpop l x", errors::TIMEOUT_NOT_FLOAT);
    same("client pause x", errors::TIMEOUT_NOT_INTEGER);
    same("blpop l -1", errors::TIMEOUT_NEGATIVE);
    same("cluster info", errors::CLUSTER_DISABLED);
    same("set k v ex 0", &errors::invalid_expire_time("set"));
    same("mset a 1 b", &errors::wrong_number_of_arguments("mset"));
    same("object freq k", &errors::lfu_not_selected());
    check("expire k 1 x", &errors::unsupported_option(b"x"));
    check("hello 2 x", &errors::hello_option(b"x"));
    check("client list type x", &errors::unknown_client_type(b"x"));
    check("client kill user x", &errors::no_such_user(b"x"));
    check("config set x y", &errors::config_unknown(b"x"));
    let why = "argument must be a memory value";
    check("config set maxmemory x", &errors::config_set_failed(b"maxmemory", why));
    for words in
        [&["config", "set", "maxmemory-policy", "allkeys-lfu"][..], &["config", "set", "requirepass", "p"]]
    {
        assert_eq!(server.ask(words), Frame::Simple(b"OK".to_vec()));
    }
    assert_eq!(server.ask(&["object", "idletime", "k"]), Frame::Error(errors::lfu_selected().into_bytes()));
    server.ask(&["reset"]);
    assert_eq!(server.ask(&["get", "k"]), Frame::Error(errors::NOAUTH.into()));
    // Redis 7.0 forgets the protocol's number where it explains HELLO; 7.2 names it.
    let theirs = errors::NOAUTH_HELLO.replace("<proto> ", "");
    assert_eq!(server.ask(&["hello", "3"]), Frame::Error(theirs.into()));
}
