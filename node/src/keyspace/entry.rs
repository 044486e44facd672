//! One key with its value in one allocation.
//!
//! A small key and a small value must cost one allocation and, when they are looked up, one or two cache lines. Rust
//! has no safe type for "a header and two byte strings of lengths known at run time behind a pointer of eight bytes",
//! so this file, and only this file of the crate, holds `unsafe`. It knows nothing of commands or encodings.
//!
//! ```text
//! | meta 4 | key length 4 | value length 4 | deadline 8, if it has one | key | value |
//! meta: bits 0-3 form, 4-5 mark, 6 has a second owner, 7 has a deadline, 8-31 use: see [`super::usage`]
//! ```
//!
//! The value is bytes, or (form `Object`) the eight bytes of a `Box<Object>`. Nothing behind the header is aligned.
//! The allocation is rounded up to jemalloc's next size class, so a new value of the same class is written over the
//! old one and allocates nothing. The class follows from the lengths: there is no capacity to store.
//!
//! The pointer's upper 16 bits are a tag for whoever keeps entries, so that a part can tell most entries apart without
//! looking at them. User space has no addresses of more than 48 bits unless a program asks for them.
//!
//! A member of a large sorted set is looked up by its bytes and stands in the order of scores, and must not be stored
//! twice: such an entry has a second owner, a [`Member`], which sees nothing but the key.
//!
//! Invariants, which every function here keeps and may rely on:
//! 1. The pointer's lower 48 bits are the start of a live allocation of `layout(total())`, owned by this entry alone, or
//!    by it and one [`Member`] if bit 6 says so. The first of the two to be dropped clears the bit, the other one frees.
//! 2. The header and the first `total()` bytes are initialised.
//! 3. With form `Object`, the value's bytes are the pointer of a `Box<Object>` that this entry owns. It has one owner.
//! 4. While an entry has two owners, neither its allocation nor its key changes, and only the [`Entry`] reads or writes
//!    the value. Both owners lie in one [`super::sorted_set`], so they go from thread to thread together.
#![allow(
    unsafe_code,
    reason = "a thin pointer to a header and two byte strings; tested under Miri, see the invariants above"
)]

use std::alloc::{self, Layout};
use std::num::NonZeroUsize;
use std::ptr::{self, NonNull};

use super::object::Object;
use crate::call::Millis;

/// A key with its value: an owned pointer of eight bytes, with a tag in its upper 16 bits.
pub(crate) struct Entry(NonNull<u8>);

/// The second owner of an entry: it reads the key and keeps it alive.
pub(super) struct Member(Entry);

const ADDRESS_BITS: u32 = 48;
const ADDRESS: usize = (1 << ADDRESS_BITS) - 1;
const _: () = assert!(usize::BITS == 64, "a tag needs the upper bits of 64-bit pointers");

/// How a value is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A string in the entry.
    Text,
    /// A small hash in the entry: see [`super::packed`].
    PackedHash,
    /// A small list in the entry: see [`super::list`].
    PackedList,
    /// A small set of integers in the entry: see [`super::set`].
    IntegerSet,
    /// A small set in the entry: see [`super::set`].
    PackedSet,
    /// A small sorted set in the entry: see [`super::sorted_set`].
    PackedSortedSet,
    /// Anything behind a pointer of its own.
    Object,
}

/// A value, as it is kept.
pub(crate) enum Value<'a> {
    Text(&'a [u8]),
    PackedHash(&'a [u8]),
    PackedList(&'a [u8]),
    IntegerSet(&'a [u8]),
    PackedSet(&'a [u8]),
    PackedSortedSet(&'a [u8]),
    Object(&'a Object),
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    meta: u32,
    key_len: u32,
    value_len: u32,
}

const HEADER: usize = size_of::<Header>();
const DEADLINE: usize = size_of::<u64>();
const POINTER: usize = size_of::<*mut Object>();

const FORM: u32 = 0xF;
const MARK_SHIFT: u32 = 4;
const MARK: u32 = 3 << MARK_SHIFT;
const SHARED: u32 = 1 << 6;
const HAS_DEADLINE: u32 = 1 << 7;
const CLOCK_SHIFT: u32 = 8;

/// What the bits of use hold. As a clock of seconds, as Redis has it: 194 days.
pub(crate) const CLOCK_MASK: u32 = (1 << 24) - 1;

// Safety: an entry owns all it points to (invariants 1 and 3), and an `Object` is Send.
unsafe impl Send for Entry {}

const fn assert_send<T: Send>() {}
const _: () = assert_send::<Object>();

impl Entry {
    /// An entry whose value is bytes. Form [`Form::Object`] is for [`Entry::with_object`] only.
    pub(crate) fn new(key: &[u8], form: Form, value: &[u8]) -> Entry {
        assert!(form != Form::Object, "an object is not bytes");
        let entry = Entry::allocate(key, form as u32, value.len(), None);
        // Safety: the value's `value.len()` bytes lie within the allocation, which nothing else points into.
        unsafe { ptr::copy_nonoverlapping(value.as_ptr(), entry.value_start(), value.len()) };
        entry
    }

    pub(crate) fn with_object(key: &[u8], object: Box<Object>) -> Entry {
        let entry = Entry::allocate(key, Form::Object as u32, POINTER, None);
        entry.write_object(object);
        entry
    }

    pub(crate) fn key(&self) -> &[u8] {
        let header = self.header();
        // Safety: the key's bytes are initialised (2) and borrowed as long as the entry is.
        unsafe { std::slice::from_raw_parts(self.key_start(header), header.key_len as usize) }
    }

    pub(crate) fn form(&self) -> Form {
        match self.header().meta & FORM {
            0 => Form::Text,
            1 => Form::PackedHash,
            2 => Form::PackedList,
            3 => Form::IntegerSet,
            4 => Form::PackedSet,
            5 => Form::PackedSortedSet,
            _ => Form::Object,
        }
    }

    pub(crate) fn value(&self) -> Value<'_> {
        match self.form() {
            Form::Text => Value::Text(self.bytes()),
            Form::PackedHash => Value::PackedHash(self.bytes()),
            Form::PackedList => Value::PackedList(self.bytes()),
            Form::IntegerSet => Value::IntegerSet(self.bytes()),
            Form::PackedSet => Value::PackedSet(self.bytes()),
            Form::PackedSortedSet => Value::PackedSortedSet(self.bytes()),
            // Safety: invariant 3; the object is borrowed as long as the entry is.
            Form::Object => Value::Object(unsafe { &*self.read_object() }),
        }
    }

    /// The value's bytes, to be changed in place; None when it is an object.
    pub(crate) fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        let len = self.header().value_len as usize;
        // Safety: the value's bytes are initialised (2), owned (1), and borrowed as long as the entry is.
        (self.form() != Form::Object)
            .then(|| unsafe { std::slice::from_raw_parts_mut(self.value_start(), len) })
    }

    /// The value's bytes, whatever they mean; None when it is an object.
    pub(crate) fn packed_bytes(&self) -> Option<&[u8]> {
        (self.form() != Form::Object).then(|| self.bytes())
    }

    /// Bytes by which the value can grow before its allocation must.
    pub(crate) fn spare(&self) -> usize {
        class(self.total()) - self.total()
    }

    pub(crate) fn object_mut(&mut self) -> Option<&mut Object> {
        // Safety: invariant 3; the object is borrowed as long as the entry is.
        (self.form() == Form::Object).then(|| unsafe { &mut *self.read_object() })
    }

    /// Replaces the value by bytes; key, deadline and clock stay, the mark becomes 0. In place if the size class stays.
    pub(crate) fn set_bytes(&mut self, form: Form, value: &[u8]) {
        assert!(form != Form::Object, "an object is not bytes");
        drop(self.make_room(form, value.len()));
        // Safety: `make_room` made the value `value.len()` bytes long; `value` cannot lie in an entry borrowed mutably.
        unsafe { ptr::copy_nonoverlapping(value.as_ptr(), self.value_start(), value.len()) };
    }

    /// Replaces the value by an object; gives back the object that was there.
    pub(crate) fn set_object(&mut self, object: Box<Object>) -> Option<Box<Object>> {
        self.assert_alone();
        let old = self.make_room(Form::Object, POINTER);
        self.write_object(object);
        old
    }

    /// Takes the object out; the value is then an empty string.
    pub(crate) fn take_object(&mut self) -> Option<Box<Object>> {
        if self.form() == Form::Object { self.make_room(Form::Text, 0) } else { None }
    }

    /// Gives an entry whose value is bytes its second owner.
    pub(super) fn share(&mut self) -> Member {
        let header = self.header();
        assert!(self.form() != Form::Object && header.meta & SHARED == 0, "bytes have at most two owners");
        self.set_header(Header { meta: header.meta | SHARED, ..header });
        let mut second = Entry(self.0);
        second.set_tag(0);
        Member(second)
    }

    /// Makes a value of bytes longer (by zeros) or shorter. An object has no such length: nothing happens.
    pub(crate) fn resize(&mut self, len: usize) {
        let header = self.header();
        if self.form() == Form::Object {
            return;
        }
        let (old_total, old_len) = (self.total(), header.value_len as usize);
        let new_total = old_total - old_len + len;
        let value_len = length(len);
        if class(new_total) != class(old_total) {
            self.assert_alone();
            // Safety: the allocation has layout(old_total) (1); the new size is not 0 and checked by `layout`.
            let moved = unsafe { alloc::realloc(self.start(), layout(old_total), layout(new_total).size()) };
            self.0 = tagged(moved, layout(new_total), self.tag());
        }
        if len > old_len {
            // Safety: the allocation now has at least new_total bytes, of which these are the last.
            unsafe { ptr::write_bytes(self.value_start().add(old_len), 0, len - old_len) };
        }
        self.set_header(Header { value_len, ..header });
    }

    pub(crate) fn deadline(&self) -> Option<Millis> {
        // Safety: the flag says that eight initialised bytes of deadline follow the header.
        let read = || unsafe { self.start().add(HEADER).cast::<u64>().read_unaligned() };
        (self.header().meta & HAS_DEADLINE != 0).then(|| Millis(read()))
    }

    /// Gives a deadline to an entry that is in no keyspace yet.
    pub(crate) fn with_deadline(mut self, deadline: Millis) -> Entry {
        self.set_deadline(Some(deadline));
        self
    }

    /// Sets or removes the deadline. Of an entry in a keyspace only [`super::contents`] calls it, which keeps count and
    /// tells the wheel.
    pub(super) fn set_deadline(&mut self, deadline: Option<Millis>) {
        match (self.deadline(), deadline) {
            (None, None) => {}
            (Some(_), Some(Millis(at))) => {
                // Safety: the entry has its eight bytes of deadline, owned by it alone (1).
                unsafe { self.start().add(HEADER).cast::<u64>().write_unaligned(at) };
            }
            (Some(_), None) | (None, Some(_)) => self.rebuild(None, deadline),
        }
    }

    /// Gives the entry another key.
    pub(crate) fn set_key(&mut self, key: &[u8]) {
        self.rebuild(Some(key), self.deadline());
    }

    /// Two bits for whoever understands the value; a new value resets them to 0.
    pub(crate) fn mark(&self) -> u32 {
        (self.header().meta & MARK) >> MARK_SHIFT
    }

    pub(crate) fn set_mark(&mut self, mark: u32) {
        let header = self.header();
        self.set_header(Header { meta: header.meta & !MARK | (mark << MARK_SHIFT) & MARK, ..header });
    }

    /// The 24 bits of [`super::usage`].
    pub(crate) fn clock(&self) -> u32 {
        self.header().meta >> CLOCK_SHIFT
    }

    /// Sets them. Writes only what differs, to leave the cache line clean.
    pub(crate) fn touch(&mut self, clock: u32) {
        let header = self.header();
        let meta = header.meta & ((1 << CLOCK_SHIFT) - 1) | clock << CLOCK_SHIFT;
        if meta != header.meta {
            self.set_header(Header { meta, ..header });
        }
    }

    /// The tag of whoever keeps the entry, 0 at first.
    #[inline]
    pub(super) fn tag(&self) -> u16 {
        u16::try_from(self.0.addr().get() >> ADDRESS_BITS).expect("16 of 64 bits are left")
    }

    #[inline]
    pub(super) fn set_tag(&mut self, tag: u16) {
        self.0 = self.0.map_addr(|address| {
            let address = address.get() & ADDRESS | usize::from(tag) << ADDRESS_BITS;
            NonZeroUsize::new(address).expect("an allocation is not at address 0")
        });
    }

    /// Bytes of the entry's own allocation.
    pub(crate) fn allocated(&self) -> usize {
        class(self.total())
    }

    /// The same key, value, deadline, mark and use in an allocation of its own. None: the value is an object.
    pub(super) fn copy(&self) -> Option<Entry> {
        if self.form() == Form::Object {
            return None;
        }
        let header = self.header();
        let layout = layout(header.total());
        // Safety: the layout's size is at least a header's, so not 0.
        let start = unsafe { alloc::alloc(layout) };
        let mut copy = Entry(tagged(start, layout, 0));
        // Safety: both allocations are of this layout and different; these bytes are initialised (2), and none of them
        // is an object's pointer, which must not be doubled (3).
        unsafe { ptr::copy_nonoverlapping(self.start().cast_const(), start, header.total()) };
        copy.set_header(Header { meta: header.meta & !SHARED, ..header });
        Some(copy)
    }

    /// Asks for the entry's cache lines: header, key and the start of the value.
    pub(super) fn prefetch(&self) {
        prefetch_line(self.start());
        prefetch_line(self.start().wrapping_add(64));
    }

    // From here on: private, and the only functions that know the layout.

    /// An entry with its header, deadline and key written. The caller must write the value's `value_len` bytes at once.
    fn allocate(key: &[u8], meta: u32, value_len: usize, deadline: Option<Millis>) -> Entry {
        let flag = if deadline.is_some() { HAS_DEADLINE } else { 0 };
        let header = Header {
            meta: meta & !HAS_DEADLINE | flag,
            key_len: length(key.len()),
            value_len: length(value_len),
        };
        let layout = layout(header.total());
        // Safety: the layout's size is at least a header's, so not 0.
        let start = unsafe { alloc::alloc(layout) };
        let entry = Entry(tagged(start, layout, 0));
        // Safety: header, deadline and key lie one behind the other in an allocation of at least their sum.
        unsafe {
            start.cast::<Header>().write(header);
            if let Some(Millis(at)) = deadline {
                start.add(HEADER).cast::<u64>().write_unaligned(at);
            }
            ptr::copy_nonoverlapping(key.as_ptr(), entry.key_start(header), key.len());
        }
        entry
    }

    /// Makes the value one of `form` and `len` bytes, which the caller must write at once. Gives back the object that
    /// was the value.
    fn make_room(&mut self, form: Form, len: usize) -> Option<Box<Object>> {
        let header = self.header();
        // Safety: invariant 3; the value is replaced below, so nothing else will own the object.
        let old = (self.form() == Form::Object).then(|| unsafe { Box::from_raw(self.read_object()) });
        let meta = header.meta & !(FORM | MARK) | form as u32;
        let (old_total, new_total) = (self.total(), self.total() - header.value_len as usize + len);
        if class(old_total) == class(new_total) {
            self.set_header(Header { meta, value_len: length(len), ..header });
        } else {
            let moved = Entry::allocate(self.key(), meta, len, self.deadline());
            self.replace(moved);
        }
        old
    }

    /// Builds the entry anew with another key or with or without a deadline; the value moves along.
    fn rebuild(&mut self, key: Option<&[u8]>, deadline: Option<Millis>) {
        let header = self.header();
        let len = header.value_len as usize;
        let moved = Entry::allocate(key.unwrap_or_else(|| self.key()), header.meta, len, deadline);
        // Safety: both values are `len` bytes in different allocations. An object's pointer is moved, not doubled:
        // `replace` does not drop the old value.
        unsafe { ptr::copy_nonoverlapping(self.value_start().cast_const(), moved.value_start(), len) };
        self.replace(moved);
    }

    /// Frees the allocation without dropping an object in it, and takes over that of `other`; the tag stays.
    fn replace(&mut self, mut other: Entry) {
        self.assert_alone();
        other.set_tag(self.tag());
        let old_layout = layout(self.total());
        // Safety: the allocation has that layout, no second owner (1), and is not used again.
        unsafe { alloc::dealloc(self.start(), old_layout) };
        self.0 = other.0;
        std::mem::forget(other);
    }

    /// Invariant 4: an allocation that a [`Member`] sees too stays where it is.
    fn assert_alone(&self) {
        assert_eq!(self.header().meta & SHARED, 0, "an entry with two owners is not moved");
    }

    #[inline]
    fn start(&self) -> *mut u8 {
        self.0.as_ptr().map_addr(|address| address & ADDRESS)
    }

    fn header(&self) -> Header {
        // Safety: the allocation starts with an initialised header and is aligned for it (1, 2).
        unsafe { self.start().cast::<Header>().read() }
    }

    fn set_header(&mut self, header: Header) {
        // Safety: as in `header`; the entry owns its allocation.
        unsafe { self.start().cast::<Header>().write(header) };
    }

    fn total(&self) -> usize {
        self.header().total()
    }

    fn key_start(&self, header: Header) -> *mut u8 {
        // Safety: stays within the allocation, which holds at least header and deadline (1).
        unsafe { self.start().add(header.key_offset()) }
    }

    fn value_start(&self) -> *mut u8 {
        let header = self.header();
        // Safety: stays within the allocation, or one past its end with an empty value (1).
        unsafe { self.start().add(header.key_offset() + header.key_len as usize) }
    }

    fn bytes(&self) -> &[u8] {
        // Safety: the value's bytes are initialised (2) and borrowed as long as the entry is.
        unsafe { std::slice::from_raw_parts(self.value_start(), self.header().value_len as usize) }
    }

    /// The object's pointer. Callers have checked the form.
    fn read_object(&self) -> *mut Object {
        // Safety: invariant 3.
        unsafe { self.value_start().cast::<*mut Object>().read_unaligned() }
    }

    fn write_object(&self, object: Box<Object>) {
        // Safety: callers have made the value as long as a pointer.
        unsafe { self.value_start().cast::<*mut Object>().write_unaligned(Box::into_raw(object)) };
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let header = self.header();
        if header.meta & SHARED != 0 {
            return self.set_header(Header { meta: header.meta & !SHARED, ..header });
        }
        if self.form() == Form::Object {
            // Safety: invariant 3; the entry is not used again.
            drop(unsafe { Box::from_raw(self.read_object()) });
        }
        // Safety: invariant 1; the entry is not used again.
        unsafe { alloc::dealloc(self.start(), layout(self.total())) };
    }
}

impl Member {
    #[inline]
    pub(super) fn key(&self) -> &[u8] {
        self.0.key()
    }
}

/// An allocation as an entry points to it, unless there was no memory for `layout`.
fn tagged(start: *mut u8, layout: Layout, tag: u16) -> NonNull<u8> {
    let start = NonNull::new(start).unwrap_or_else(|| alloc::handle_alloc_error(layout));
    assert!(start.addr().get() <= ADDRESS, "an address has 48 bits");
    start.map_addr(|address| address | usize::from(tag) << ADDRESS_BITS)
}

impl Header {
    fn key_offset(self) -> usize {
        if self.meta & HAS_DEADLINE == 0 { HEADER } else { HEADER + DEADLINE }
    }

    fn total(self) -> usize {
        self.key_offset() + self.key_len as usize + self.value_len as usize
    }
}

/// Keys and packed values stay far below 4 GiB: requests are limited, long strings are objects.
fn length(len: usize) -> u32 {
    u32::try_from(len).expect("keys and values in an entry are shorter than 4 GiB")
}

fn layout(total: usize) -> Layout {
    Layout::from_size_align(class(total), align_of::<u64>())
        .expect("an entry is smaller than the address space")
}

/// The size that jemalloc gives for `size` bytes (at least a header's): steps of 16 up to 128, then four per doubling.
pub(super) fn class(size: usize) -> usize {
    if size <= 128 {
        return size.next_multiple_of(16);
    }
    let step = 1 << ((size - 1).ilog2() - 2);
    size.next_multiple_of(step)
}

/// Asks for the cache line of a value.
pub(super) fn prefetch<T>(value: &T) {
    prefetch_line(ptr::from_ref(value).cast());
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
fn prefetch_line(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // Safety: a prefetch reads nothing; any address is allowed.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
fn prefetch_line(_address: *const u8) {}

#[cfg(test)]
mod tests;
