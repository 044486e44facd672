//! What was deleted and takes long to free: handed to a helper thread instead of being dropped where clients wait.

use super::contents::Contents;
use super::entry::{Entry, Value};
use super::object::Object;

/// Values taken out of the keyspace. Drop it on another thread.
#[derive(Default)]
pub(crate) struct Garbage {
    entries: Vec<Entry>,
    #[expect(clippy::vec_box, reason = "an object comes out of its entry in a box")]
    objects: Vec<Box<Object>>,
    contents: Vec<Contents>,
    /// About how many bytes the entries and objects hold. (Of whole databases nobody asks: nothing is left there that
    /// could be evicted instead.)
    bytes: u64,
}

/// Elements that a value's size is judged by.
const SAMPLES: usize = 5;

const fn assert_send<T: Send>() {}
const _: () = assert_send::<Garbage>();

impl Garbage {
    /// Small values are dropped at once: that is cheaper than to hand them on.
    pub(super) fn add_entry(&mut self, entry: Entry) {
        if let Value::Object(object) = entry.value()
            && object.is_slow_to_drop()
        {
            self.count(object);
            self.entries.push(entry);
        }
    }

    pub(super) fn add_object(&mut self, object: Box<Object>) {
        if object.is_slow_to_drop() {
            self.count(&object);
            self.objects.push(object);
        }
    }

    pub(super) fn add_contents(&mut self, contents: Contents) {
        self.contents.push(contents);
    }

    fn count(&mut self, object: &Object) {
        self.bytes = self.bytes.saturating_add(u64::try_from(object.bytes(SAMPLES)).unwrap_or(u64::MAX));
    }

    /// About how many bytes are freed with it.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All of it; None: there is nothing.
    pub(super) fn take(&mut self) -> Option<Garbage> {
        let is_empty = self.entries.is_empty() && self.objects.is_empty() && self.contents.is_empty();
        (!is_empty).then(|| std::mem::take(self))
    }
}
