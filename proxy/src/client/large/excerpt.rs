//! The beginnings of the words of a request that is refused for them: enough for the error that quotes them.

use slotway_resp::{Head, Piece};

/// What unknown commands' error texts quote: this many bytes of their words, and so no more words than that.
const QUOTED_MAX: usize = 128;

/// The beginnings of a request's words.
#[derive(Debug)]
pub(in crate::client) struct Excerpt {
    words: Vec<Vec<u8>>,
}

impl Excerpt {
    pub(super) fn of(head: &Head<'_>) -> Excerpt {
        let begin = |word: &[u8]| word[..word.len().min(QUOTED_MAX)].to_vec();
        Excerpt { words: head.request.words().take(QUOTED_MAX).map(begin).collect() }
    }

    pub(super) fn words(&self) -> &[Vec<u8>] {
        &self.words
    }

    pub(super) fn note(&mut self, piece: &Piece<'_>) {
        match piece {
            Piece::Word(_) => {
                // Of the words behind these nothing is kept: bytes of theirs go nowhere.
                if self.words.len() <= QUOTED_MAX {
                    self.words.push(Vec::new());
                }
            }
            Piece::Bytes(bytes) => {
                if let Some(last) = self.words.last_mut() {
                    let room = QUOTED_MAX.saturating_sub(last.len());
                    last.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
            }
            Piece::End => {}
        }
    }
}
