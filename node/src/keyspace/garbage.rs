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
    /// What walks are not through with: they take it over before anybody frees it.
    frozen: Vec<Object>,
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
    pub(super) fn add_entry(&mut self, mut entry: Entry) {
        if entry.object_mut().is_some_and(is_frozen) {
            return entry.take_object().into_iter().for_each(|object| self.add_object(object));
        }
        if let Value::Object(object) = entry.value()
            && object.is_slow_to_drop()
        {
            self.count(object);
            self.entries.push(entry);
        }
    }

    pub(super) fn add_object(&mut self, mut object: Box<Object>) {
        if is_frozen(&mut object) {
            let bytes = object.bytes(SAMPLES);
            match &mut *object {
                Object::List(list) => list.hand_over(),
                other => {
                    let frozen = other.frozen_mut().and_then(|frozen| frozen.as_ref());
                    frozen.iter().flat_map(|handles| handles.iter()).for_each(|one| one.keep_alone(bytes));
                    return self.frozen.push(*object);
                }
            }
        }
        if object.is_slow_to_drop() {
            self.count(&object);
            self.objects.push(object);
        }
    }

    pub(super) fn add_contents(&mut self, contents: Contents) {
        self.contents.push(contents);
    }

    /// What a walk had set aside when it was given up.
    pub(super) fn add_copies(&mut self, copies: impl Iterator<Item = Entry>, bytes: usize) {
        self.entries.extend(copies);
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Collections that were deleted while a walk was not through with them.
    pub(super) fn take_frozen(&mut self) -> Vec<Object> {
        std::mem::take(&mut self.frozen)
    }

    pub(super) fn add_all(&mut self, other: Garbage) {
        let Garbage { entries, objects, contents, frozen, bytes } = other;
        self.entries.extend(entries);
        self.objects.extend(objects);
        self.contents.extend(contents);
        self.frozen.extend(frozen);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn count(&mut self, object: &Object) {
        self.bytes = self.bytes.saturating_add(u64::try_from(object.bytes(SAMPLES)).unwrap_or(u64::MAX));
    }

    /// About how many bytes are freed with it.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All of it but what walks take over; None: there is nothing.
    pub(super) fn take(&mut self) -> Option<Garbage> {
        let is_empty = self.entries.is_empty() && self.objects.is_empty() && self.contents.is_empty();
        let frozen = std::mem::take(&mut self.frozen);
        let taken = (!is_empty).then(|| std::mem::take(self));
        self.frozen = frozen;
        taken
    }
}

fn is_frozen(object: &mut Object) -> bool {
    object.frozen_mut().is_some_and(|frozen| frozen.is_some())
}
