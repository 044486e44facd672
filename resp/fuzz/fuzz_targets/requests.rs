//! Any bytes as requests: the parser neither panics nor hangs nor allocates beyond what came, and finds the same
//! requests and the same error however the stream is cut.
//!
//! The first two bytes of an input choose the cuts and the limits, the rest is the stream.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slotway_resp::{Limits, Parser, ProtocolError};

type Found = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

fn feed(stream: &[u8], piece: usize, limits: &Limits) -> Found {
    let (mut parser, mut buffer, mut requests) = (Parser::default(), Vec::new(), Vec::new());
    for piece in stream.chunks(piece) {
        buffer.extend_from_slice(piece);
        let mut batch = Vec::new();
        let error = loop {
            match parser.next(&buffer, limits) {
                Ok(Some(at)) => batch.push(at),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        for at in batch {
            let request = parser.request(&buffer, at);
            assert!(!request.is_empty());
            let mut written = Vec::new();
            request.write(&mut written);
            assert!(request.raw().is_none_or(|raw| raw == written));
            requests.push(request.words().map(<[u8]>::to_vec).collect());
        }
        if error.is_some() {
            return (requests, error);
        }
        assert!(parser.missing() > 0);
        buffer.drain(..parser.consumed());
        parser.rebase();
    }
    (requests, None)
}

fuzz_target!(|input: &[u8]| {
    let [piece, limits, stream @ ..] = input else { return };
    let limits = match limits % 3 {
        0 => Limits::CLIENT,
        1 => Limits::CLIENT.unauthenticated(),
        _ => Limits { bulk_bytes_max: 20, words_max: 4, inline_bytes_max: 16, ..Limits::CLIENT },
    };
    let whole = feed(stream, stream.len().max(1), &limits);
    assert_eq!(feed(stream, 1, &limits), whole);
    assert_eq!(feed(stream, usize::from(*piece) + 1, &limits), whole);
});
