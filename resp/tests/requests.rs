//! The request parser seen from outside: what it finds does not depend on how the stream was cut, what it refuses
//! has Redis's text, and its work is bounded by the bytes that came.

use proptest::prelude::*;
use slotway_resp::{Limits, OwnedRequest, Parser, Piece, RequestAt, write};

type Words = Vec<Vec<u8>>;

/// All that a parser made of a stream.
#[derive(Debug, Default, PartialEq, Clone)]
struct Outcome {
    requests: Vec<Words>,
    /// The bytes that may be forwarded, per request.
    raw: Vec<Option<Vec<u8>>>,
    error: Option<String>,
    consumed: usize,
}

/// How a connection uses its parser.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Turn {
    /// All requests at hand, then one rebase: the normal way.
    Batch,
    /// A rebase behind every request.
    Single,
    /// Never a rebase.
    Hoard,
}

/// Feeds `pieces` one behind the other.
fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: &Limits, turn: Turn) -> Outcome {
    let (mut parser, mut buffer, mut outcome) = (Parser::default(), Vec::new(), Outcome::default());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let mut batch = Vec::new();
        loop {
            match parser.next(&buffer, limits) {
                Ok(Some(at)) => batch.push(at),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(parser.next(&buffer, limits), Err(error.clone()), "an error is final");
                    outcome.error = Some(error.text);
                    break;
                }
            }
            if turn == Turn::Single {
                take(&parser, &buffer, &batch, &mut outcome);
                batch.clear();
                outcome.consumed += drop_consumed(&mut parser, &mut buffer);
            }
        }
        take(&parser, &buffer, &batch, &mut outcome);
        if turn != Turn::Hoard {
            outcome.consumed += drop_consumed(&mut parser, &mut buffer);
        }
        if outcome.error.is_some() {
            break;
        }
        assert!(parser.missing() > 0);
    }
    outcome.consumed += parser.consumed();
    outcome
}

fn take(parser: &Parser, buffer: &[u8], batch: &[RequestAt], outcome: &mut Outcome) {
    for &at in batch {
        let request = parser.request(buffer, at);
        outcome.requests.push(request.words().map(<[u8]>::to_vec).collect());
        outcome.raw.push(request.raw().map(<[u8]>::to_vec));
    }
}

fn drop_consumed(parser: &mut Parser, buffer: &mut Vec<u8>) -> usize {
    let consumed = parser.consumed();
    buffer.drain(..consumed);
    parser.rebase();
    assert_eq!(parser.consumed(), 0);
    consumed
}

/// The outcome of a stream, after seeing that it is the same for every cut and every way of use.
#[track_caller]
fn outcome(stream: &[u8], limits: &Limits) -> Outcome {
    let whole = feed([stream], limits, Turn::Batch);
    for turn in [Turn::Batch, Turn::Single, Turn::Hoard] {
        assert_eq!(feed([stream], limits, turn), whole, "{turn:?}, whole");
        assert_eq!(feed(stream.chunks(1), limits, turn), whole, "{turn:?}, byte by byte");
        for cut in 0..=stream.len() {
            let (head, tail) = stream.split_at(cut);
            assert_eq!(feed([head, tail], limits, turn), whole, "{turn:?}, cut at {cut}");
        }
    }
    whole
}

#[track_caller]
fn check(stream: &[u8], requests: &[&[&str]]) {
    let found = outcome(stream, &Limits::CLIENT);
    let expected: Vec<Words> =
        requests.iter().map(|words| words.iter().map(|word| word.as_bytes().to_vec()).collect()).collect();
    assert_eq!((found.requests, found.error), (expected, None));
}

#[track_caller]
fn check_error(stream: &[u8], limits: &Limits, text: &str) {
    let found = outcome(stream, limits);
    assert_eq!(found.error.as_deref(), Some(&*format!("Protocol error: {text}")));
}

#[test]
fn requests_are_found_one_behind_the_other() {
    check(b"*1\r\n$4\r\nPING\r\n", &[&["PING"]]);
    check(
        b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\nPING\r\n",
        &[&["GET", "k"], &["PING"], &["PING"]],
    );
    check(b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\n\r\n*1\r\n", &[&["SET", "", "\r\n*1"]]);
    check(b"*2\r\n$3\r\nGET\r\n$1\r\n", &[]);
}

#[test]
fn empty_requests_are_skipped() {
    check(b"\r\n\n  \r\n*0\r\n*-1\r\n*-9223372036854775808\r\nPING\r\n\r\n", &[&["PING"]]);
    assert_eq!(outcome(b"\r\n*0\r\n*-1\r\n\n", &Limits::CLIENT).consumed, 12);
}

#[test]
fn inline_commands_are_unquoted() {
    check(
        b"set k \"a b\"\r\nget 'k'\nECHO \"\\x41\\n\"\r\n",
        &[&["set", "k", "a b"], &["get", "k"], &["ECHO", "A\n"]],
    );
    check(b"a\nbb\n*1\r\n$3\r\nccc\r\ndddd\n", &[&["a"], &["bb"], &["ccc"], &["dddd"]]);
}

#[test]
fn lax_line_ends_are_accepted_but_not_forwarded() {
    for (stream, exact) in [
        (&b"*1\r\n$4\r\nPING\r\n"[..], true),
        (b"*1\rx$4\r\nPING\r\n", false),
        (b"*1\r\n$4\rxPING\r\n", false),
        (b"*1\r\n$4\r\nPINGxx", false),
        (b"PING\r\n", false),
    ] {
        let mut twice = stream.to_vec();
        twice.extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
        let found = outcome(&twice, &Limits::CLIENT);
        assert_eq!(found.requests, [[b"PING".to_vec()], [b"PING".to_vec()]]);
        assert_eq!(found.raw[0].is_some(), exact, "{}", stream.escape_ascii());
        assert_eq!(
            found.raw[1].as_deref(),
            Some(&b"*1\r\n$4\r\nPING\r\n"[..]),
            "the next one is exact again"
        );
    }
}

#[test]
fn what_is_wrong_is_answered_with_the_text_of_redis() {
    let limits = &Limits::CLIENT;
    for line in ["*", "*x", "*1x", "*01", "*+1", "*-0", "*2147483648", "*99999999999999999999", "* 1", "*?"] {
        check_error(format!("{line}\r\n").as_bytes(), limits, "invalid multibulk length");
    }
    for line in ["$", "$x", "$-1", "$01", "$+1", "$1x", "$536870913", "$99999999999999999999", "$?"] {
        check_error(format!("*1\r\n{line}\r\n").as_bytes(), limits, "invalid bulk length");
    }
    check_error(b"*1\r\nPING\r\n", limits, "expected '$', got 'P'");
    check_error(b"*1\r\n*1\r\n$4\r\nPING\r\n", limits, "expected '$', got '*'");
    check_error(b"*1\r\n\r\n", limits, "expected '$', got ' '");
    check_error(b"*1\r\n\n\r\n", limits, "expected '$', got ' '");
    check_error(b"*1\r\n\xff\r\n", limits, "expected '$', got '\\xff'");
    check_error(b"*2\r\n$3\r\nGET\r\n:1\r\n", limits, "expected '$', got ':'");
    check_error(b"GET \"k\r\n", limits, "unbalanced quotes in request");
    check_error(b"PING\r\nGET 'k'k\r\n", limits, "unbalanced quotes in request");
}

#[test]
fn requests_before_an_error_stay_valid() {
    let found = outcome(b"*1\r\n$4\r\nPING\r\nECHO hi\r\n*1\r\n$x\r\n", &Limits::CLIENT);
    assert_eq!(found.requests, [vec![b"PING".to_vec()], vec![b"ECHO".to_vec(), b"hi".to_vec()]]);
    assert_eq!(found.error.as_deref(), Some("Protocol error: invalid bulk length"));
    assert_eq!(found.consumed, 23);
}

#[test]
fn every_limit_is_reached() {
    let limits = &Limits { bulk_bytes_max: 5, words_max: 3, inline_bytes_max: 8, ..Limits::CLIENT };
    assert_eq!(outcome(b"*3\r\n$5\r\n12345\r\n$0\r\n\r\n$1\r\nx\r\n", limits).requests.len(), 1);
    check_error(b"*4\r\n", limits, "invalid multibulk length");
    check_error(b"*1\r\n$6\r\n123456\r\n", limits, "invalid bulk length");
    assert_eq!(outcome(b"12345678\n1234567\r\n", limits).requests.len(), 2);
    check_error(b"123456789\n", limits, "too big inline request");
    check_error(b"123456789", limits, "too big inline request");
    check_error(b"*00000000\r\n", limits, "too big mbulk count string");
    check_error(b"*1\r\n$00000000\r\n", limits, "too big bulk count string");
    check_error(b"*1\r\nxxxxxxxxx", limits, "too big bulk count string");
}

#[test]
fn before_authentication_a_request_is_small() {
    let limits = &Limits::CLIENT.unauthenticated();
    let word = vec![b'x'; 16_384];
    let mut stream = Vec::new();
    write::request(&mut stream, &[&word; 10]);
    assert_eq!(feed(stream.chunks(1000), limits, Turn::Batch).requests.len(), 1);
    check_error(b"*11\r\n", limits, "unauthenticated multibulk length");
    check_error(b"*2147483648\r\n", limits, "invalid multibulk length");
    check_error(b"*1\r\n$16385\r\n", limits, "unauthenticated bulk length");
    check_error(b"*1\r\n$536870913\r\n", limits, "invalid bulk length");
}

#[test]
fn what_spans_cannot_address_is_refused_when_announced() {
    let limits = &Limits { bulk_bytes_max: usize::MAX, ..Limits::CLIENT };
    check_error(b"*1\r\n$4294967296\r\n", limits, "request of 4 GiB or more");
    check_error(b"*1\r\n$9223372036854775807\r\n", limits, "request of 4 GiB or more");
    // Behind other requests the answer waits for the rebase that might make it fit.
    let mut parser = Parser::default();
    let stream = b"PING\r\n*1\r\n$4294967290\r\n";
    assert!(parser.next(stream, limits).unwrap().is_some());
    assert_eq!(parser.next(stream, limits), Ok(None));
    parser.rebase();
    assert!(parser.next(&stream[6..], limits).is_err());
}

#[test]
fn an_announced_word_tells_what_is_missing_and_allocates_nothing() {
    let mut parser = Parser::default();
    assert_eq!(parser.missing(), 1);
    let mut buffer = b"*2147483647\r\n$536870912\r\nabc".to_vec();
    assert_eq!(parser.next(&buffer, &Limits::CLIENT), Ok(None));
    assert_eq!(parser.missing(), 536_870_912 + 2 - 3);
    buffer.extend_from_slice(b"defg");
    assert_eq!(parser.next(&buffer, &Limits::CLIENT), Ok(None));
    assert_eq!(parser.missing(), 536_870_912 + 2 - 7);
}

#[test]
fn a_parser_is_idle_between_batches_only() {
    let mut parser = Parser::default();
    assert!(parser.is_idle());
    let at = parser.next(b"PING\r\n*1", &Limits::CLIENT).unwrap().unwrap();
    assert_eq!(at.end(), 6);
    assert!(!parser.is_idle());
    assert_eq!(parser.next(b"PING\r\n*1", &Limits::CLIENT), Ok(None));
    parser.rebase();
    assert!(!parser.is_idle());
    assert!(parser.next(b"*1\r\n$4\r\nPING\r\n", &Limits::CLIENT).unwrap().is_some());
    parser.rebase();
    assert!(parser.is_idle());
}

#[test]
fn ten_million_words_in_small_pieces_are_read_in_one_pass() {
    const WORDS: usize = 10_000_000;
    let mut stream = format!("*{WORDS}\r\n").into_bytes();
    stream.extend(std::iter::repeat_n(b"$0\r\n\r\n", WORDS).flatten());
    let mut parser = Parser::default();
    for end in (0..stream.len()).step_by(4096) {
        assert_eq!(parser.next(&stream[..end], &Limits::CLIENT), Ok(None));
        parser.rebase();
    }
    let at = parser.next(&stream, &Limits::CLIENT).unwrap().unwrap();
    assert_eq!(parser.request(&stream, at).len(), WORDS);
}

#[test]
fn a_million_empty_lines_and_requests_are_skipped_in_one_pass() {
    let stream = b"\r\n*0\r\n".repeat(1_000_000);
    let mut parser = Parser::default();
    assert_eq!(parser.next(&stream, &Limits::CLIENT), Ok(None));
    assert_eq!(parser.consumed(), stream.len());
}

#[test]
fn a_long_line_is_searched_once_byte_by_byte() {
    let mut stream = vec![b'x'; 64 * 1024];
    stream.push(b'\n');
    let limits = Limits { inline_bytes_max: stream.len() - 1, ..Limits::CLIENT };
    assert_eq!(feed(stream.chunks(1), &limits, Turn::Batch).requests[0][0].len(), 64 * 1024);
}

/// What a request's parser and tail make of a stream whose first `cut` bytes came before the request was found to be
/// large: the number of requests before it, and its words or what is wrong with it. None: nothing of it is known there.
fn by_its_tail(
    stream: &[u8],
    cut: usize,
    chunk: usize,
    limits: &Limits,
) -> Option<(usize, Result<Words, String>)> {
    let mut parser = Parser::default();
    let mut before = 0;
    while parser.next(&stream[..cut], limits).ok()?.is_some() {
        before += 1;
    }
    let start = parser.consumed();
    parser.rebase();
    let head = parser.head(&stream[start..cut])?;
    let mut words: Words = head.request.words().map(<[u8]>::to_vec).collect();
    let mut tail = head.tail();
    let (mut kept, mut rest) = (Vec::new(), &stream[start + head.end..]);
    while !tail.is_whole() && !rest.is_empty() {
        let (now, later) = rest.split_at(chunk.min(rest.len()));
        kept.extend_from_slice(now);
        rest = later;
        let mut bytes = &kept[..];
        loop {
            match tail.next(&mut bytes, limits) {
                Ok(Some(Piece::Word(_))) => words.push(Vec::new()),
                Ok(Some(Piece::Bytes(part))) => {
                    words.last_mut().expect("a word has begun").extend_from_slice(part)
                }
                Ok(Some(Piece::End)) => {}
                Ok(None) => break,
                Err(error) => return Some((before, Err(error.text))),
            }
        }
        kept = bytes.to_vec();
    }
    tail.is_whole().then_some((before, Ok(words)))
}

#[test]
fn the_tail_of_a_request_is_taken_as_it_comes() {
    let stream = b"PING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\n0123456789\r\n";
    let words = vec![b"SET".to_vec(), b"k".to_vec(), b"0123456789".to_vec()];
    for cut in 10..stream.len() {
        assert_eq!(by_its_tail(stream, cut, 4, &Limits::CLIENT), Some((1, Ok(words.clone()))), "{cut}");
    }
    assert_eq!(by_its_tail(stream, 8, 4, &Limits::CLIENT), None, "the number of words is not known");
    assert_eq!(by_its_tail(&stream[..40], 20, 4, &Limits::CLIENT), None, "not whole");
    let wrong = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$-1\r\n";
    let text = "Protocol error: invalid bulk length".to_owned();
    assert_eq!(by_its_tail(wrong, 24, 1, &Limits::CLIENT), Some((0, Err(text))));
    let huge = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870913\r\n";
    assert!(matches!(by_its_tail(huge, 24, 1, &Limits::CLIENT), Some((0, Err(_)))));
}

/// Pieces of streams: what clients send, and what they should not.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..12),
        "[a-z\r\n*$\"' ]{0,8}".prop_map(String::into_bytes),
    ];
    let request = proptest::collection::vec(word, 1..5).prop_map(|words| {
        let mut out = Vec::new();
        write::request(&mut out, &words);
        out
    });
    prop_oneof![
        8 => request,
        2 => "[a-zA-Z0-9 \t]{0,12}\r?\n".prop_map(String::into_bytes),
        1 => "[a-z \"'\\\\x0-9]{0,12}\r\n".prop_map(String::into_bytes),
        1 => "(\\*|\\$)-?[0-9]{0,3}\r?\n?".prop_map(String::into_bytes),
        1 => "\\*1\r.\\$1(\r\n|\rx)y(\r\n|xx)".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
    ]
}

fn stream(pieces: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(piece(), pieces).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_stream_is_the_same_however_it_is_cut(stream in stream(0..6)) {
        outcome(&stream, &Limits::CLIENT);
        outcome(&stream, &Limits { bulk_bytes_max: 9, words_max: 3, inline_bytes_max: 10, ..Limits::CLIENT });
    }

    #[test]
    fn a_tail_finds_the_words_that_the_parser_finds(stream in stream(1..5), chunk in 1usize..20) {
        for limits in [Limits::CLIENT, Limits { bulk_bytes_max: 9, inline_bytes_max: 10, ..Limits::CLIENT }] {
            let whole = feed([&stream[..]], &limits, Turn::Batch);
            for cut in 0..stream.len() {
                match by_its_tail(&stream, cut, chunk, &limits) {
                    Some((number, Ok(words))) => prop_assert_eq!(&words, &whole.requests[number]),
                    Some((number, Err(text))) => {
                        prop_assert_eq!((Some(text), number), (whole.error.clone(), whole.requests.len()));
                    }
                    None => {}
                }
            }
        }
    }

    #[test]
    fn requests_that_were_written_are_read_back(
        requests in proptest::collection::vec(proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..40), 1..6), 0..6),
        chunk in 1usize..50,
    ) {
        let mut stream = Vec::new();
        let mut raw = Vec::new();
        for words in &requests {
            let start = stream.len();
            write::request(&mut stream, words);
            raw.push(Some(stream[start..].to_vec()));
            let owned = OwnedRequest::new(words);
            prop_assert_eq!(owned.view().raw(), Some(&stream[start..]));
        }
        let found = feed(stream.chunks(chunk), &Limits::CLIENT, Turn::Batch);
        prop_assert_eq!(found, Outcome { requests, raw, error: None, consumed: stream.len() });
    }

    #[test]
    fn what_may_be_forwarded_is_the_request_to_the_letter(stream in stream(0..6)) {
        let found = feed([&stream[..]], &Limits::CLIENT, Turn::Batch);
        for (words, raw) in found.requests.iter().zip(&found.raw) {
            if let Some(raw) = raw {
                let mut written = Vec::new();
                write::request(&mut written, words);
                prop_assert_eq!(raw, &written);
            }
        }
    }
}
