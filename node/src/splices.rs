//! Long strings on their way into replies without being copied.
//!
//! The replies of a turn are written into one buffer of the thread. A long string does not go there: its place in the
//! buffer is noted, and the connection sends the string itself between the bytes before and behind that place, straight
//! from the buffer that the keyspace holds. What the keyspace does with the key meanwhile does not matter: a string that
//! others hold is copied before it is changed ([`LongText`]).

use std::ops::Range;

use slotway_resp::write;

use crate::keyspace::{
    entry::{Entry, Value},
    long_text::LongText,
    object::Object,
};

/// What belongs into the replies of a turn, in their order.
#[derive(Default)]
pub(crate) struct Splices(Vec<Splice>);

/// A string and the place in the buffer of replies where it belongs.
pub(crate) struct Splice {
    pub(crate) at: usize,
    pub(crate) text: LongText,
}

impl Splices {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that belong behind this place.
    pub(crate) fn bytes_from(&self, place: usize) -> usize {
        self.0.iter().rev().take_while(|splice| splice.at >= place).map(|splice| splice.text.len()).sum()
    }

    /// Takes out what belongs into these replies.
    pub(crate) fn take(&mut self, replies: &Range<usize>) -> Vec<Splice> {
        let first = self.0.partition_point(|splice| splice.at < replies.start);
        let behind = self.0.partition_point(|splice| splice.at < replies.end);
        self.0.drain(first..behind).collect()
    }

    /// The replies are done with.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Answers with the string of an entry; false: it is something else, and nothing was written. Without `splices` the
/// reply may be dropped again, and is all in `out`.
#[inline]
pub(crate) fn write_text(out: &mut Vec<u8>, splices: Option<&mut Splices>, entry: &Entry) -> bool {
    match (entry.value(), splices) {
        (Value::Text(text), _) => write::bulk(out, text),
        (Value::Object(Object::Text(text)), Some(splices)) => {
            write::bulk_header(out, text.len());
            splices.0.push(Splice { at: out.len(), text: text.clone() });
            out.extend_from_slice(b"\r\n");
        }
        (Value::Object(Object::Text(text)), None) => write::bulk(out, text),
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_of_a_turn_gets_the_strings_of_its_own_replies() {
        let long = |byte| Entry::with_text(b"k", &[byte; 100_000]);
        let (mut out, mut splices) = (Vec::new(), Splices::default());
        assert!(write_text(&mut out, Some(&mut splices), &long(b'a')));
        assert!(write_text(&mut out, Some(&mut splices), &Entry::with_text(b"k", b"short")));
        let first = out.len();
        assert!(write_text(&mut out, Some(&mut splices), &long(b'b')));
        assert_eq!(out, b"$100000\r\n\r\n$5\r\nshort\r\n$100000\r\n\r\n");
        assert_eq!((splices.bytes_from(0), splices.bytes_from(first)), (200_000, 100_000));
        let taken = splices.take(&(0..first));
        assert_eq!((taken.len(), taken[0].at, taken[0].text[0]), (1, 9, b'a'));
        let taken = splices.take(&(first..out.len()));
        assert_eq!((taken.len(), taken[0].text[0]), (1, b'b'));
        assert!(splices.is_empty());
    }

    #[test]
    fn what_may_be_dropped_again_is_copied_and_what_is_no_string_refused() {
        let mut out = Vec::new();
        assert!(write_text(&mut out, None, &Entry::with_text(b"k", &[b'v'; 70_000])));
        assert_eq!(out.len(), 70_000 + "$70000\r\n\r\n".len());
        assert!(!write_text(&mut Vec::new(), None, &Entry::with_hash(b"k")));
    }
}
