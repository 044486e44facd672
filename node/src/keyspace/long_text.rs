//! A long string: bytes of a counted buffer.
//!
//! A long string is not copied for those who only read it: a copy that COPY makes, a reply on its way out and a snapshot
//! hold the same buffer. Nor is it copied when it comes: the buffer may be the one into which its request was read, of
//! which the string is a part. Whoever changes the string while others hold it gets bytes of its own first.

use std::{
    ops::{Deref, Range},
    sync::Arc,
};

/// A string shares the buffer of its request if no more than an eighth of it is something else: what is around the string
/// lives as long as the string does.
const AROUND_MAX: usize = 8;

/// Cloning it copies nothing.
#[derive(Debug, Clone)]
pub(crate) struct LongText {
    buffer: Arc<Vec<u8>>,
    /// Within the buffer.
    range: Range<usize>,
}

impl LongText {
    pub(crate) fn new(text: Vec<u8>) -> LongText {
        LongText { range: 0..text.len(), buffer: Arc::new(text) }
    }

    /// The string that `text` is, if it is nearly all of this buffer.
    pub(crate) fn within(buffer: &Arc<Vec<u8>>, text: &[u8]) -> Option<LongText> {
        let (whole, part) = (buffer.as_ptr_range(), text.as_ptr_range());
        let lies_within = whole.start <= part.start && part.end <= whole.end;
        if !lies_within || buffer.capacity() - text.len() > buffer.capacity() / AROUND_MAX {
            return None;
        }
        let start = part.start.addr() - whole.start.addr();
        Some(LongText { buffer: Arc::clone(buffer), range: start..start + text.len() })
    }

    /// Its bytes in a buffer that holds nothing else and that nobody else holds.
    pub(crate) fn own(&mut self) -> &mut Vec<u8> {
        if let Some(buffer) = Arc::get_mut(&mut self.buffer) {
            buffer.truncate(self.range.end);
            buffer.drain(..self.range.start);
        } else {
            self.buffer = Arc::new(self.to_vec());
        }
        self.range = 0..self.buffer.len();
        // Asked above or made just now: there is no other owner.
        Arc::make_mut(&mut self.buffer)
    }

    /// Changes its bytes, and with them its length.
    pub(crate) fn edit(&mut self, act: impl FnOnce(&mut Vec<u8>)) {
        let bytes = self.own();
        act(bytes);
        self.range = 0..self.buffer.len();
    }

    /// Whether it has another owner.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.buffer) > 1
    }

    /// Bytes that are freed with its last owner.
    pub(crate) fn allocated(&self) -> usize {
        self.buffer.capacity()
    }
}

impl Deref for LongText {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Arc<Vec<u8>> {
        Arc::new([b"*3 SET k ".as_slice(), &[b'v'; 1000], b"\r\n"].concat())
    }

    #[test]
    fn a_string_that_is_nearly_all_of_its_request_is_not_copied() {
        let buffer = request();
        let mut text = LongText::within(&buffer, &buffer[9..1009]).unwrap();
        assert_eq!(&*text, [b'v'; 1000]);
        assert!(std::ptr::eq(text.as_ptr(), &raw const buffer[9]));
        drop(buffer);
        let mut copy = text.clone();
        text.edit(|bytes| bytes.push(b'x'));
        assert_eq!((text.len(), copy.len()), (1001, 1000), "the other owner sees nothing of it");
        copy.edit(|bytes| bytes.truncate(3));
        assert_eq!(&*copy, b"vvv");
    }

    #[test]
    fn what_would_keep_much_else_alive_or_lies_elsewhere_is_not_shared() {
        let buffer = request();
        assert!(LongText::within(&buffer, &buffer[9..800]).is_none());
        let other = request();
        assert!(LongText::within(&buffer, &other[9..1009]).is_none());
    }

    #[test]
    fn what_is_around_a_string_goes_when_it_is_changed() {
        let buffer = request();
        let mut text = LongText::within(&buffer, &buffer[9..1009]).unwrap();
        drop(buffer);
        assert_eq!(text.own().len(), 1000);
        assert_eq!(&*text, [b'v'; 1000]);
    }
}
