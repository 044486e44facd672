//! Sorted sets: packed in their entry while they are small, a table by member and a tree by score when they are not.

use super::seed::Seed;

/// A sorted set of many or long members.
pub(crate) struct SortedSet {
    len: usize,
}

impl SortedSet {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn duplicate(&self, _seed: &Seed) -> SortedSet {
        SortedSet { len: self.len }
    }
}
