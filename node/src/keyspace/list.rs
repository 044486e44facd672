//! Lists: packed in their entry while they are small, a chain of packed chunks when they are not.

/// A list that is long in elements or bytes.
#[derive(Clone)]
pub(crate) struct List {
    len: usize,
}

impl List {
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}
