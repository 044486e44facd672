//! Any bytes as replies: scanner and frames neither panic nor hang nor allocate beyond what came; ends do not depend
//! on the cuts; a frame that was read is the same after it was written and read again.
//!
//! The first two bytes of an input choose the cuts and the limits, the rest is the stream.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slotway_resp::{Frame, Limits, ProtocolError, Scanned, Scanner};

type Found = (Vec<Scanned>, Option<ProtocolError>);

/// With `pass_on` the buffer loses at once what an unfinished reply has passed.
fn feed(stream: &[u8], piece: usize, limits: &Limits, pass_on: bool) -> Found {
    let (mut scanner, mut buffer, mut replies) = (Scanner::default(), Vec::new(), Vec::new());
    let mut gone = 0;
    for piece in stream.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match scanner.next(&buffer, limits) {
                Ok(Some(scanned)) => {
                    assert!(scanned.len > 0);
                    buffer.drain(..scanned.len);
                    replies.push(Scanned { len: scanned.len + gone, ..scanned });
                    gone = 0;
                }
                Ok(None) => break,
                Err(error) => return (replies, Some(error)),
            }
        }
        assert!(scanner.missing() > 0);
        if pass_on {
            let passed = scanner.passed();
            buffer.drain(..passed);
            scanner.advance(passed);
            gone += passed;
        }
    }
    (replies, None)
}

fuzz_target!(|input: &[u8]| {
    let [piece, limits, stream @ ..] = input else { return };
    let limits = match limits % 2 {
        0 => Limits::REPLY,
        _ => {
            Limits { bulk_bytes_max: 20, words_max: 4, inline_bytes_max: 16, nesting_max: 3, ..Limits::REPLY }
        }
    };
    let whole = feed(stream, stream.len().max(1), &limits, false);
    assert_eq!(feed(stream, 1, &limits, false), whole);
    assert_eq!(feed(stream, usize::from(*piece) + 1, &limits, true), whole);
    let mut rest = stream;
    for scanned in &whole.0 {
        // A frame may refuse what a scanner lets pass (a double that is none), but never disagree about its end.
        if let Ok(parsed) = Frame::parse(rest, &limits) {
            let (frame, len) = parsed.expect("the scanner found the end");
            assert_eq!(len, scanned.len);
            let written = frame.to_bytes();
            let (again, len) =
                Frame::parse(&written, &Limits::REPLY).expect("well written").expect("wholly written");
            assert_eq!(len, written.len());
            assert_eq!(again.to_bytes(), written);
        }
        rest = &rest[scanned.len..];
    }
});
