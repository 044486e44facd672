//! The table against a real redis-server 7.0: what COMMAND says of every command, which keys it finds, how it
//! refuses. Where the table follows Redis 7.2, the difference is listed here with its reason.

#[path = "redis_seven/server.rs"]
mod server;

#[path = "redis_seven/info.rs"]
mod info;
#[path = "redis_seven/keys.rs"]
mod keys;
#[path = "redis_seven/words.rs"]
mod words;

use std::collections::BTreeSet;

use server::Server;
use slotway_commands::describe::{self, Scope};
use slotway_commands::lookup;
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
