//! The reply scanner and frames seen from outside: ends do not depend on how the stream was cut, what is not RESP is
//! refused, and frames survive the wire.

use proptest::prelude::*;
use slotway_resp::{Frame, Limits, Scanned, Scanner, write};

/// All that a scanner made of a stream: the replies, and the error that ended it.
type Outcome = (Vec<Scanned>, Option<String>);

/// Whether what an unfinished reply has passed is dropped from the buffer at once.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Large {
    Kept,
    PassedOn,
}

fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: &Limits, large: Large) -> Outcome {
    let (mut scanner, mut buffer, mut replies) = (Scanner::default(), Vec::new(), Vec::new());
    let mut gone = 0;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match scanner.next(&buffer, limits) {
                Ok(Some(scanned)) => {
                    buffer.drain(..scanned.len);
                    replies.push(Scanned { len: scanned.len + gone, ..scanned });
                    gone = 0;
                }
                Ok(None) => break,
                Err(error) => return (replies, Some(error.text)),
            }
        }
        assert!(scanner.missing() > 0);
        if large == Large::PassedOn {
            let passed = scanner.passed();
            buffer.drain(..passed);
            scanner.advance(passed);
            gone += passed;
        }
    }
    (replies, None)
}

#[track_caller]
fn outcome(stream: &[u8], limits: &Limits) -> Outcome {
    let whole = feed([stream], limits, Large::Kept);
    for large in [Large::Kept, Large::PassedOn] {
        assert_eq!(feed(stream.chunks(1), limits, large), whole, "{large:?}, byte by byte");
        for cut in 0..=stream.len() {
            let (head, tail) = stream.split_at(cut);
            assert_eq!(feed([head, tail], limits, large), whole, "{large:?}, cut at {cut}");
        }
    }
    whole
}

/// Every reply alone, and all in one stream.
#[track_caller]
fn check_whole(replies: &[&str], push: bool, error: bool) {
    for reply in replies {
        let expected = Scanned { len: reply.len(), push, error };
        assert_eq!(outcome(reply.as_bytes(), &Limits::REPLY), (vec![expected], None), "{reply:?}");
        let mut partly = reply.as_bytes().to_vec();
        partly.pop();
        assert_eq!(outcome(&partly, &Limits::REPLY), (vec![], None), "{reply:?} without its end");
    }
    let found = outcome(replies.concat().as_bytes(), &Limits::REPLY).0;
    assert_eq!(found.iter().map(|scanned| scanned.len).collect::<Vec<_>>(), {
        replies.iter().map(|reply| reply.len()).collect::<Vec<_>>()
    });
}

#[track_caller]
fn check_error(stream: &str, limits: &Limits, text: &str) {
    let (replies, error) = outcome(stream.as_bytes(), limits);
    assert_eq!(
        (replies.len(), error.as_deref()),
        (0, Some(&*format!("Protocol error: {text}"))),
        "{stream:?}"
    );
}

#[test]
fn replies_of_all_types_end_where_they_end() {
    let replies = [
        "+OK\r\n",
        "+\r\n",
        ":0\r\n",
        ":-9223372036854775808\r\n",
        ":1234567890123\r\n",
        "$-1\r\n",
        "$0\r\n\r\n",
        "$5\r\na\r\nb\r\r\n",
        "*-1\r\n",
        "*0\r\n",
        "*2\r\n$1\r\na\r\n:1\r\n",
        "*2\r\n*2\r\n*0\r\n*-1\r\n*1\r\n$-1\r\n",
        "*3\r\n-ERR in EXEC\r\n+OK\r\n!3\r\nERR\r\n",
        "_\r\n",
        "#t\r\n",
        "#f\r\n",
        ",1.5e-9\r\n",
        "(12345678901234567890123\r\n",
        "=8\r\ntxt:some\r\n",
        "%0\r\n",
        "%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n%1\r\n_\r\n_\r\n",
        "~2\r\n#t\r\n~0\r\n",
        "|0\r\n+OK\r\n",
        "|1\r\n+ttl\r\n:3600\r\n*2\r\n:1\r\n|1\r\n+a\r\n*1\r\n+b\r\n:2\r\n",
        "|1\r\n+a\r\n+b\r\n|1\r\n+c\r\n+d\r\n$1\r\nx\r\n",
    ];
    check_whole(&replies, false, false);
}

#[test]
fn errors_and_pushes_are_told_apart() {
    check_whole(&["-ERR no\r\n", "!5\r\nERR a\r\n", "|1\r\n+a\r\n+b\r\n-ERR no\r\n"], false, true);
    check_whole(&[">2\r\n+message\r\n-x\r\n", ">0\r\n", "|1\r\n+a\r\n:1\r\n>1\r\n*0\r\n"], true, false);
}

#[test]
fn a_large_bulk_tells_what_is_missing() {
    let mut scanner = Scanner::default();
    assert_eq!(scanner.missing(), 1);
    assert_eq!(scanner.next(b"$536870912\r\nabc", &Limits::REPLY), Ok(None));
    assert_eq!(scanner.missing(), 536_870_912 + 2 - 3);
    assert_eq!(scanner.passed(), 15);
    scanner.advance(15);
    assert_eq!(scanner.missing(), 536_870_912 + 2 - 3);
    assert_eq!(scanner.next(b"defg", &Limits::REPLY), Ok(None));
    assert_eq!(scanner.missing(), 536_870_912 + 2 - 7);
    let mut scanner = Scanner::default();
    assert_eq!(scanner.next(b"*2\r\n$4\r\nabcd\r\n$100\r\nx", &Limits::REPLY), Ok(None));
    assert_eq!(scanner.missing(), 101);
}

#[test]
fn what_is_not_a_reply_is_refused() {
    let limits = &Limits::REPLY;
    check_error("HTTP/1.1 400 Bad Request\r\n", limits, "expected a reply, got 'H'");
    check_error("\r\n", limits, "expected a reply, got ' '");
    check_error("*1\r\nx", limits, "expected a reply, got 'x'");
    check_error("+OK\rX", limits, "expected a line end, got 'X'");
    check_error("$1\r\nab\r\n", limits, "expected a line end, got 'b'");
    check_error("$1\r\na\rb", limits, "expected a line end, got 'b'");
    check_error("_a\r\n", limits, "expected a line end, got 'a'");
    check_error("#x\r\n", limits, "expected 't' or 'f', got 'x'");
    check_error("#t\n\n", limits, "expected a line end, got ' '");
    for text in ["", "x", "1x", "+1", "01", "-0", "1.0", "9223372036854775808"] {
        check_error(&format!(":{text}\r\n"), limits, "invalid integer");
        check_error(&format!("${text}\r\n"), limits, "invalid length in a reply");
        check_error(&format!("*{text}\r\n"), limits, "invalid length in a reply");
    }
    check_error("$-2\r\n", limits, "invalid length in a reply");
    check_error("!-1\r\n", limits, "invalid bulk length");
    check_error("%-1\r\n", limits, "invalid multibulk length");
    for kind in "$*~%>|".chars() {
        check_error(&format!("{kind}?\r\n"), limits, "streamed replies are not supported");
    }
    check_error(":000000000000000000000000000000000000", limits, "too long line in a reply");
}

#[test]
fn every_limit_is_reached() {
    let limits =
        &Limits { bulk_bytes_max: 5, words_max: 3, inline_bytes_max: 8, nesting_max: 2, ..Limits::REPLY };
    let fits = "$5\r\n12345\r\n*3\r\n:1\r\n:2\r\n:3\r\n+1234567\r\n*1\r\n*1\r\n*0\r\n%3\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n";
    assert_eq!(outcome(fits.as_bytes(), limits).0.len(), 5);
    check_error("$6\r\n", limits, "invalid bulk length");
    check_error("*4\r\n", limits, "invalid multibulk length");
    check_error("+12345678\r\n", limits, "too long line in a reply");
    check_error("+123456789", limits, "too long line in a reply");
    check_error("*1\r\n*1\r\n*1\r\n", limits, "nesting deeper than 2");
    check_error("|1\r\n*1\r\n*1\r\n", limits, "nesting deeper than 2");
}

#[test]
fn a_reply_nested_without_end_is_refused_at_the_limit() {
    let stream = b"*1\r\n".repeat(1_000_000);
    let error = feed(stream.chunks(1000), &Limits::REPLY, Large::Kept).1;
    assert_eq!(error.as_deref(), Some("Protocol error: nesting deeper than 10000"));
    let error = Frame::parse(&stream, &Limits::REPLY).unwrap_err();
    assert_eq!(error.text, "Protocol error: nesting deeper than 256");
}

#[test]
fn a_frame_is_read_with_its_value() {
    let parse = |text: &str| Frame::parse(text.as_bytes(), &Limits::REPLY).unwrap().unwrap();
    let whole = |text: &str| {
        let (frame, len) = parse(text);
        assert_eq!(len, text.len());
        frame
    };
    assert_eq!(parse("+OK\r\n:1\r\n"), (Frame::Simple(b"OK".to_vec()), 5));
    assert_eq!(whole("|1\r\n+ttl\r\n:1\r\n:7\r\n").as_integer(), Some(7));
    assert_eq!(whole(",inf\r\n").as_double(), Some(f64::INFINITY));
    assert_eq!(whole("$4\r\n1e-7\r\n").as_double(), Some(1e-7));
    assert_eq!(whole("=8\r\ntxt:some\r\n").as_str(), Some("some"));
    assert_eq!(whole("-ERR no\r\n").as_error(), Some(&b"ERR no"[..]));
    assert!(whole("*-1\r\n").is_null() && whole("$-1\r\n").is_null() && whole("_\r\n").is_null());
    let resp2 = whole("*4\r\n+a\r\n:1\r\n+b\r\n:2\r\n").into_pairs();
    assert_eq!(resp2, whole("%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n").into_pairs());
    assert_eq!(whole("*1\r\n:1\r\n").into_array(), Ok(vec![Frame::Integer(1)]));
    assert_eq!(whole(":1\r\n").into_array(), Err(Frame::Integer(1)));
    for wrong in [",\r\n", ",abc\r\n", "=3\r\ntxt\r\n", "=4\r\ntxt \r\n"] {
        assert!(Frame::parse(wrong.as_bytes(), &Limits::REPLY).is_err(), "{wrong:?}");
    }
    assert_eq!(Frame::parse(b"*2\r\n:1\r\n", &Limits::REPLY), Ok(None));
}

#[test]
fn a_frame_shows_itself_readably() {
    let (frame, _) = Frame::parse(b"%1\r\n$2\r\na\n\r\n*2\r\n:1\r\n_\r\n", &Limits::REPLY).unwrap().unwrap();
    assert_eq!(format!("{frame:?}"), r#"Map{Bulk("a\n"): Array[Integer(1), Null]}"#);
}

fn frame() -> impl Strategy<Value = Frame> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..20);
    let line = || "[ -~]{0,12}".prop_map(String::into_bytes);
    let flat = prop_oneof![
        line().prop_map(Frame::Simple),
        line().prop_map(Frame::Error),
        any::<i64>().prop_map(Frame::Integer),
        bytes().prop_map(Frame::Bulk),
        Just(Frame::NullBulk),
        Just(Frame::NullArray),
        Just(Frame::Null),
        any::<f64>().prop_filter("nan differs from itself", |value| !value.is_nan()).prop_map(Frame::Double),
        any::<bool>().prop_map(Frame::Boolean),
        "-?[1-9][0-9]{0,30}".prop_map(|digits| Frame::BigNumber(digits.into_bytes())),
        (any::<[u8; 3]>(), bytes()).prop_map(|(format, text)| Frame::Verbatim { format, text }),
        bytes().prop_map(Frame::BulkError),
    ];
    flat.prop_recursive(4, 24, 6, |inner| {
        let items = || proptest::collection::vec(inner.clone(), 0..6);
        prop_oneof![
            items().prop_map(Frame::Array),
            items().prop_map(Frame::Set),
            items().prop_map(Frame::Push),
            proptest::collection::vec((inner.clone(), inner.clone()), 0..4).prop_map(Frame::Map),
        ]
    })
}

proptest! {
    #[test]
    fn frames_survive_the_wire_and_end_where_they_end(frames in proptest::collection::vec(frame(), 1..4)) {
        let mut stream = Vec::new();
        let mut lens = Vec::new();
        for frame in &frames {
            let start = stream.len();
            frame.write(&mut stream);
            lens.push(stream.len() - start);
            let read = Frame::parse(&stream[start..], &Limits::REPLY).unwrap();
            prop_assert_eq!(read, Some((frame.clone(), stream.len() - start)));
        }
        let (found, error) = outcome(&stream, &Limits::REPLY);
        prop_assert_eq!(error, None);
        prop_assert_eq!(found.iter().map(|scanned| scanned.len).collect::<Vec<_>>(), lens);
    }

    #[test]
    fn garbage_is_the_same_garbage_however_it_is_cut(
        frame in frame(),
        at in any::<prop::sample::Index>(),
        garbage in proptest::collection::vec(prop_oneof![any::<u8>(), proptest::sample::select(&b"\r\n$*%|-0123?"[..])], 0..5),
    ) {
        let mut stream = frame.to_bytes();
        let at = at.index(stream.len() + 1);
        stream.splice(at..(at + garbage.len()).min(stream.len()), garbage);
        let limits = Limits { bulk_bytes_max: 1000, words_max: 50, inline_bytes_max: 40, nesting_max: 4, ..Limits::REPLY };
        outcome(&stream, &limits);
        let _ = Frame::parse(&stream, &limits);
    }

    #[test]
    fn any_bytes_are_survived(stream in proptest::collection::vec(any::<u8>(), 0..60)) {
        outcome(&stream, &Limits::REPLY);
        let _ = Frame::parse(&stream, &Limits::REPLY);
    }
}

#[test]
fn what_is_written_for_a_version_is_a_reply() {
    use slotway_resp::Version::{Resp2, Resp3};
    for version in [Resp2, Resp3] {
        let mut out = Vec::new();
        write::map(&mut out, version, 2);
        write::null(&mut out, version);
        write::double(&mut out, version, 0.1);
        write::boolean(&mut out, version, true);
        write::verbatim(&mut out, version, "txt", b"text");
        write::set(&mut out, version, 1);
        write::big_number(&mut out, version, "123");
        write::push(&mut out, version, 1);
        write::null_array(&mut out, version);
        let (found, error) = outcome(&out, &Limits::REPLY);
        assert_eq!((found.len(), error), (3, None), "{version:?}");
    }
}
