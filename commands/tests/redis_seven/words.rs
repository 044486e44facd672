//! How Redis refuses, and what its patterns match.

use std::collections::BTreeSet;

use slotway_commands::row::Group;
use slotway_commands::{errors, glob, lookup, table};
use slotway_resp::Frame;
use slotway_resp::request::OwnedRequest;

use crate::server::Server;
use crate::{elements, is_newer, text};

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
        let foreign = row.group == Group::Internal || is_newer(row.name);
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

/// A request, and the text that refuses it. Before: `k` is a string, `n` the largest integer, `l` a list, `h` a hash.
const REFUSED: &[(&str, &str)] = &[
    ("get l", errors::WRONGTYPE),
    ("set k v nope", errors::SYNTAX),
    ("incr k", errors::NOT_INTEGER),
    ("incrbyfloat k 1", errors::NOT_FLOAT),
    ("incr n", errors::OVERFLOW),
    ("decrby n -9223372036854775808", errors::DECREMENT_OVERFLOW),
    ("incrbyfloat n inf", errors::NAN_OR_INFINITY),
    ("hincrby h f 1", errors::HASH_NOT_INTEGER),
    ("hincrbyfloat h f 1", errors::HASH_NOT_FLOAT),
    ("hrandfield h -9223372036854775808 withvalues", errors::RANDOM_COUNT_RANGE),
    ("setrange k -1 x", errors::OFFSET_OUT_OF_RANGE),
    ("setrange k 536870912 x", errors::STRING_TOO_LONG),
    ("setbit k 1 2", errors::BIT_NOT_INTEGER),
    ("getbit k x", errors::BIT_OFFSET_NOT_INTEGER),
    ("lcs k l", errors::LCS_NOT_STRINGS),
    ("lcs k k len idx", errors::LCS_LEN_AND_IDX),
    ("rename nope x", errors::NO_SUCH_KEY),
    ("lset l 9 x", errors::INDEX_OUT_OF_RANGE),
    ("lpop l -1", errors::NOT_POSITIVE),
    ("copy k k", errors::SAME_OBJECT),
    ("restore k 0 x", errors::BUSYKEY),
    ("scan x", errors::INVALID_CURSOR),
    ("expire k 1 nx xx", errors::EXPIRE_NX_AND_OTHERS),
    ("expire k 1 gt lt", errors::EXPIRE_GT_AND_LT),
    ("select 99", errors::DB_OUT_OF_RANGE),
    ("swapdb x 1", errors::SWAPDB_FIRST),
    ("swapdb 1 x", errors::SWAPDB_SECOND),
    ("sintercard 0 k", errors::NUMKEYS_NOT_POSITIVE),
    ("eval x -1", errors::NUMKEYS_NEGATIVE),
    ("eval x 5 a", errors::NUMKEYS_TOO_MANY),
    ("auth x", errors::NO_PASSWORD_SET),
    ("auth x y", errors::WRONGPASS),
    ("hello 4", errors::NOPROTO),
    ("hello x", errors::PROTOCOL_NOT_INTEGER),
    ("client setname a\nb", errors::CLIENT_NAME),
    ("client kill 1.1.1.1:1", errors::NO_SUCH_CLIENT),
    ("client kill id 0", errors::CLIENT_ID_NOT_POSITIVE),
    ("client list id x", errors::INVALID_CLIENT_ID),
    ("exec", errors::EXEC_WITHOUT_MULTI),
    ("discard", errors::DISCARD_WITHOUT_MULTI),
    ("evalsha x 0", errors::NOSCRIPT),
    ("blpop l x", errors::TIMEOUT_NOT_FLOAT),
    ("client pause x", errors::TIMEOUT_NOT_INTEGER),
    ("blpop l -1", errors::TIMEOUT_NEGATIVE),
    ("cluster info", errors::CLUSTER_DISABLED),
];

fn filled() -> Server {
    let mut server = Server::start();
    for words in ["set k v", "set n 9223372036854775807", "rpush l a", "hset h f v"] {
        server.ask(&words.split(' ').collect::<Vec<_>>());
    }
    server
}

#[test]
fn error_texts_are_redis_words() {
    let mut server = filled();
    for (words, text) in REFUSED {
        let theirs = server.ask(&words.split(' ').collect::<Vec<_>>());
        assert_eq!(theirs, Frame::Error(text.as_bytes().to_vec()), "{words}");
    }
}

#[test]
fn error_texts_that_quote_are_redis_words() {
    let mut server = filled();
    let mut check = |words: &str, ours: &[u8]| {
        let theirs = server.ask(&words.split(' ').collect::<Vec<_>>());
        assert_eq!(theirs, Frame::Error(ours.to_vec()), "{words}");
    };
    check("set k v ex 0", errors::invalid_expire_time("set").as_bytes());
    check("mset a 1 b", errors::wrong_number_of_arguments("mset").as_bytes());
    check("object freq k", errors::lfu_not_selected().as_bytes());
    check("expire k 1 x", &errors::unsupported_option(b"x"));
    check("hello 2 x", &errors::hello_option(b"x"));
    check("client list type x", &errors::unknown_client_type(b"x"));
    check("client kill user x", &errors::no_such_user(b"x"));
    check("config set x y", &errors::config_unknown(b"x"));
    let why = "argument must be a memory value";
    check("config set maxmemory x", &errors::config_set_failed(b"maxmemory", why));
}

#[test]
fn error_texts_that_depend_on_settings_are_redis_words() {
    let mut server = filled();
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
