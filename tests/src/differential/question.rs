//! One request, who asks it, and how far two answers to it must agree.

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub words: Vec<Vec<u8>>,
    pub compare: Compare,
    pub by: Client,
}

/// How far two answers must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    Bytes,
    /// The same elements at every level.
    AnyOrder,
    /// As [`Compare::AnyOrder`], but in RESP2 the array is one of pairs.
    Pairs,
    /// The same number, about.
    Time,
    /// Equally many elements; or the same error; or both something that is neither.
    Shape,
    /// A page of a scan: the same elements in any order, if both sides found everything at once.
    Scan,
    /// SPOP: chance decides. What the system under test took is taken from the other, too.
    Popped,
    /// Asked again until both say 0: the moment of expiry differs.
    Gone,
    Nothing,
}

/// Two connections, so that one can come between the other's WATCH and EXEC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    One,
    Other,
}

impl Client {
    pub const ALL: [Client; 2] = [Client::One, Client::Other];

    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Client::One => 0,
            Client::Other => 1,
        }
    }
}

impl Question {
    pub fn new(compare: Compare, words: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Question {
        let words = words.into_iter().map(|word| word.as_ref().to_vec()).collect();
        Question { words, compare, by: Client::One }
    }

    /// The first word is `name`, in any case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        is(&self.words, name)
    }

    /// Must stand alone between two comparisons: what is asked next depends on the answer.
    #[must_use]
    pub fn stands_alone(&self) -> bool {
        matches!(self.compare, Compare::Popped | Compare::Gone)
    }
}

/// The first of the words is `name`, in any case.
#[must_use]
pub fn is(words: &[Vec<u8>], name: &str) -> bool {
    words.first().is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()))
}

/// A request as it could be typed; long words are cut.
#[must_use]
pub fn show(words: &[Vec<u8>]) -> String {
    let word = |word: &Vec<u8>| {
        let text = word[..word.len().min(SHOWN_BYTES_MAX)].escape_ascii().to_string();
        let cut =
            if word.len() > SHOWN_BYTES_MAX { format!("...({} bytes)", word.len()) } else { String::new() };
        let plain = !text.is_empty() && !text.contains([' ', '\\', '"', '\'']);
        if plain { format!("{text}{cut}") } else { format!("\"{text}\"{cut}") }
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

const SHOWN_BYTES_MAX: usize = 100;
