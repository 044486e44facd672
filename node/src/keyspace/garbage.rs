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
}

const fn assert_send<T: Send>() {}
const _: () = assert_send::<Garbage>();

impl Garbage {
    /// Small values are dropped at once: that is cheaper than to hand them on.
    pub(super) fn add_entry(&mut self, entry: Entry) {
        if matches!(entry.value(), Value::Object(object) if object.is_slow_to_drop()) {
            self.entries.push(entry);
        }
    }

    pub(super) fn add_object(&mut self, object: Box<Object>) {
        if object.is_slow_to_drop() {
            self.objects.push(object);
        }
    }

    pub(super) fn add_contents(&mut self, contents: Contents) {
        self.contents.push(contents);
    }

    /// All of it; None: there is nothing.
    pub(super) fn take(&mut self) -> Option<Garbage> {
        let is_empty = self.entries.is_empty() && self.objects.is_empty() && self.contents.is_empty();
        (!is_empty).then(|| std::mem::take(self))
    }
}
