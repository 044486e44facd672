//! A set that is asked for one member after the other, by a command on several sets.
//!
//! Integers are searched by halves and a table by its hashes, but a packed run can only be walked: to look for each of a
//! hundred words in a run of a hundred is ten thousand steps. So a run that is asked more than a few times gets an index
//! for the time of the command: open addressing over outlines of its members, half full at most. It is built
//! when it pays, which a LIMIT or a set with one member may never reach, in room that the keyspace keeps: once warm nothing
//! is allocated for it.
//!
//! The outlines are not secret. Who makes members with equal ones gets the walk back, which is what packed sets are
//! limited for.

use super::member::Wanted;
use super::{Set, Strings};
use crate::keyspace::seed::Seed;

/// Runs of fewer members are walked.
const INDEXED_FROM: usize = 8;

/// Walks before an index is built: it costs about as much as so many.
const WALKS_MAX: u32 = 2;

/// Room that is kept between commands, in slots: for two dozen sets of the default limit.
const KEPT_SLOTS_MAX: usize = 8192;

/// Below an outline in a slot: where the member begins in its run. No run is longer than 2^30 bytes, and nothing begins
/// at 0, so that a slot of 0 is free.
const OUTLINE_SHIFT: u32 = 32;
const PLACE_MASK: u64 = (1 << OUTLINE_SHIFT) - 1;

/// Room for the indexes of one command, kept for the next.
#[derive(Default)]
pub(crate) struct IndexRoom(Vec<u64>);

impl IndexRoom {
    /// For another command.
    pub(super) fn clear(&mut self) {
        self.0.clear();
        self.0.shrink_to(KEPT_SLOTS_MAX);
    }
}

pub(super) struct Asked<'a> {
    set: Set<'a>,
    look_up: LookUp,
}

/// How members of a run are looked for; other sets need no help.
enum LookUp {
    Walk { walks: u32 },
    Index(Index),
}

impl<'a> Asked<'a> {
    pub(super) fn new(set: Set<'a>) -> Asked<'a> {
        Asked { set, look_up: LookUp::Walk { walks: 0 } }
    }

    #[inline]
    pub(super) fn has(&mut self, seed: &Seed, room: &mut IndexRoom, wanted: &mut Wanted<'_>) -> bool {
        match self.set {
            Set::Integers(integers) => {
                wanted.member().integer().is_some_and(|member| integers.contains(member))
            }
            Set::Packed(strings) => {
                wanted.member().with_text(|text| self.look_up.contains(strings, room, text))
            }
            Set::Table(table) => wanted.is_in(table, seed),
        }
    }
}

impl LookUp {
    #[inline]
    fn contains(&mut self, strings: Strings<'_>, room: &mut IndexRoom, text: &[u8]) -> bool {
        match self {
            LookUp::Index(index) => index.contains(strings, room, text),
            LookUp::Walk { walks } => {
                if *walks < WALKS_MAX || strings.len() < INDEXED_FROM {
                    *walks += 1;
                    return strings.contains(text);
                }
                let index = Index::new(strings, room);
                let found = index.contains(strings, room, text);
                *self = LookUp::Index(index);
                found
            }
        }
    }
}

/// Where the members of a run begin, by their outlines.
struct Index {
    /// Its first slot in the room.
    start: usize,
    /// Its number of slots, less one: a power of two.
    mask: usize,
}

impl Index {
    fn new(strings: Strings<'_>, room: &mut IndexRoom) -> Index {
        let slots = (strings.len() * 2).next_power_of_two();
        let index = Index { start: room.0.len(), mask: slots - 1 };
        room.0.resize(index.start + slots, 0);
        let slots = &mut room.0[index.start..];
        for (place, text) in strings.iter_placed() {
            let outline = outline(text);
            let mut at = index.first_slot(outline);
            while slots[at] != 0 {
                at = (at + 1) & index.mask;
            }
            let place = u64::try_from(place).expect("a run has at most 2^30 bytes");
            slots[at] = outline << OUTLINE_SHIFT | place;
        }
        index
    }

    #[inline]
    fn contains(&self, strings: Strings<'_>, room: &IndexRoom, text: &[u8]) -> bool {
        let slots = &room.0[self.start..=self.start + self.mask];
        let outline = outline(text);
        let mut at = self.first_slot(outline);
        loop {
            let slot = slots[at];
            if slot == 0 {
                return false;
            }
            if slot >> OUTLINE_SHIFT == outline {
                let place = usize::try_from(slot & PLACE_MASK).expect("32 bits");
                if strings.at(place) == text {
                    return true;
                }
            }
            at = (at + 1) & self.mask;
        }
    }

    fn first_slot(&self, outline: u64) -> usize {
        usize::try_from(outline).expect("32 bits") & self.mask
    }
}

/// 32 bits in which every byte of the text has a part. Up to 16 bytes its two ends are all of it.
#[inline]
fn outline(text: &[u8]) -> u64 {
    let len = u64::try_from(text.len()).expect("a length fits 64 bits");
    let (first, last) = match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => short_ends(text),
    };
    let inner = if text.len() > 16 { fold_inner(text) } else { 0 };
    fold(first ^ len, last ^ inner) >> 32
}

/// The two ends of a text of less than eight bytes.
#[inline]
fn short_ends(text: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        return (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)));
    }
    // The middle one of three may be one of the others.
    let byte = |at: usize| text.get(at).map_or(0, |byte| u64::from(*byte));
    (byte(0), byte(text.len() / 2) << 8 | byte(text.len().saturating_sub(1)))
}

/// What lies between the first eight bytes of a text and the last eight.
fn fold_inner(text: &[u8]) -> u64 {
    let (words, _) = text.as_chunks::<8>();
    words.iter().skip(1).fold(0, |before, word| fold(before, u64::from_le_bytes(*word)))
}

/// Both halves of a product: a difference anywhere reaches bits everywhere.
#[inline]
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one ^ 0x9E37_79B9_7F4A_7C15) * u128::from(other ^ 0xD1B5_4A32_D192_ED03);
    let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).expect("64 bits");
    half(product) ^ half(product >> 64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::keyspace::entry::{Entry, Form};
    use crate::keyspace::packed::{self, EMPTY};
    use crate::keyspace::set::Member;

    fn run_of(texts: &[Vec<u8>]) -> Entry {
        let mut entry = Entry::new(b"s", Form::PackedSet, EMPTY);
        texts.iter().for_each(|text| packed::push(&mut entry, text));
        entry
    }

    fn texts_of_every_length() -> Vec<Vec<u8>> {
        (0..200).map(|len: u8| (0..len).map(|byte| byte ^ 0x5A).collect()).collect()
    }

    #[test]
    fn a_run_has_what_it_has_however_often_it_is_asked() {
        let texts = texts_of_every_length();
        let (there, absent) = texts.split_at(130);
        let entry = run_of(there);
        let seed = Seed::new(*b"a seed for tests");
        let mut room = IndexRoom::default();
        let mut asked = Asked::new(entry.set().unwrap());
        for _ in 0..3 {
            for text in there {
                assert!(asked.has(&seed, &mut room, &mut Wanted::new(Member::Text(text))));
            }
            for text in absent {
                assert!(!asked.has(&seed, &mut room, &mut Wanted::new(Member::Text(text))));
            }
        }
        assert!(matches!(asked.look_up, LookUp::Index(_)));
    }

    /// A byte changed anywhere changes the outline, and words that differ in a digit rarely begin at one slot.
    #[test]
    fn outlines_differ_where_texts_do() {
        for text in texts_of_every_length() {
            for at in 0..text.len() {
                let mut other = text.clone();
                other[at] ^= 1;
                assert_ne!(outline(&text), outline(&other), "byte {at} of {}", text.len());
            }
        }
        for front in
            ["", "w", "w:0000", "word:", "w:00000000", "a rather long word with its number in front of "]
        {
            for behind in ["", ":", "some more"] {
                let text = |nth: u32| format!("{front}{nth:03}{behind}");
                let slots: HashSet<u64> = (0..128).map(|nth| outline(text(nth).as_bytes()) & 255).collect();
                assert!(slots.len() > 80, "{}: {} of 256 slots for 128 words", text(0), slots.len());
            }
        }
    }

    #[test]
    fn a_large_index_is_not_kept() {
        let mut room = IndexRoom(vec![0; 1 << 20]);
        room.clear();
        assert!(room.0.capacity() <= KEPT_SLOTS_MAX);
    }
}
