//! A few dozen entries whose hashes begin with the same bits.
//!
//! A part is what a table grows, splits, walks and sets aside by. It is one allocation: a header and one to fifteen
//! cache lines of eight entries each. Sixteen bits of the hash are the tag that an entry's pointer carries, and the
//! tag says in which line the entry has its home; where that is full, it stands in the next line. So a lookup reads one
//! line of the part, seldom two, and then almost always no entry but the right one.
//!
//! Invariant: an entry stands outside its home only while its home is full. A lookup may therefore stop at a home with
//! a free place, and a removal brings back what had to stand outside.

use super::entry::{self, Entry};
use super::seed::Seed;
use super::table::KnownHash;
use crate::call::Millis;

/// Entries of a line: a cache line of pointers.
const LINE_ENTRIES: usize = 8;

/// Lines of the largest part.
pub(super) const LINES_MAX: usize = 15;

/// Places of the largest part: no part has more entries.
pub(super) const PART_ENTRIES_MAX: usize = LINES_MAX * LINE_ENTRIES;

/// Two neighbours with no more entries than this together become one part.
pub(super) const MERGE_ENTRIES: usize = 48;

/// No deadline, no visit.
pub(super) const NEVER: u64 = u64::MAX;

/// A part of any number of lines; [`Part<[Line; N]>`] is one that knows it.
#[repr(C)]
pub(super) struct Part<Lines: ?Sized = [Line]> {
    pub(super) header: Header,
    lines: Lines,
}

/// What a part knows of itself, in a line of its own: most lookups do not read it.
#[repr(align(64))]
pub(super) struct Header {
    /// No entry's deadline is earlier: it may lie before the earliest, never behind. Unix ms, [`NEVER`].
    pub(super) earliest: u64,
    /// When the wheel comes to look at this part, [`NEVER`] if nobody asked it to. Unix ms.
    pub(super) due: u64,
    /// No walk that began after this has to be told before the part changes: see [`super::walk`].
    pub(super) version: u64,
    /// Until this version, if it is later, walks have been told of some of the entries: those whose places are marked.
    told_until: u64,
    /// A bit for each place. What comes into the part is marked, too: no walk has to be told of it.
    told: u128,
    entries: u16,
    /// How many of the hash's top bits all entries share.
    depth: u8,
}

/// Eight places.
#[repr(align(64))]
#[derive(Default)]
pub(super) struct Line([Option<Entry>; LINE_ENTRIES]);

const _: () = assert!(size_of::<Part<[Line; LINES_MAX]>>() == 1024);
const _: () = assert!(PART_ENTRIES_MAX <= 128, "a place has a bit");

/// Where in a part an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    line: usize,
    place: usize,
}

impl At {
    fn bit(self) -> u128 {
        1 << (self.line * LINE_ENTRIES + self.place)
    }
}

/// An entry on its way to another part, and whether its place was marked.
pub(super) struct Moving {
    pub(super) entry: Entry,
    told: bool,
}

fn tag_of(hash: u64) -> u16 {
    let [low, high, ..] = hash.to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// The line in which an entry of this tag has its home.
fn home(tag: u16, lines: usize) -> usize {
    (usize::from(tag) * lines) >> u16::BITS
}

fn next(line: usize, lines: usize) -> usize {
    if line + 1 == lines { 0 } else { line + 1 }
}

impl<const LINES: usize> Part<[Line; LINES]> {
    pub(super) fn new(header: Header) -> Part<[Line; LINES]> {
        Part { header, lines: std::array::from_fn(|_| Line::default()) }
    }
}

impl Header {
    pub(super) fn new(depth: u32) -> Header {
        let depth = u8::try_from(depth).expect("a hash has 64 bits");
        Header { earliest: NEVER, due: NEVER, version: 0, told_until: 0, told: 0, entries: 0, depth }
    }
}

impl Part {
    pub(super) fn len(&self) -> usize {
        usize::from(self.header.entries)
    }

    pub(super) fn depth(&self) -> u32 {
        u32::from(self.header.depth)
    }

    pub(super) fn lines(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> + Clone {
        self.lines.iter().flat_map(|line| line.0.iter().flatten())
    }

    #[cfg(test)]
    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.lines.iter_mut().flat_map(|line| line.0.iter_mut().flatten())
    }

    /// Every entry once, beginning at one chosen by a random number.
    pub(super) fn entries_from(&self, random: u64) -> impl Iterator<Item = &Entry> {
        let [first, ..] = random.to_le_bytes();
        let first = usize::from(first) % self.len().max(1);
        self.entries().skip(first).chain(self.entries().take(first))
    }

    /// The entry of whatever key has this hash.
    pub(super) fn find_hash(&self, hash: u64, seed: &Seed) -> Option<&Entry> {
        let tag = tag_of(hash);
        self.entries().find(|entry| entry.tag() == tag && seed.hash(entry.key()) == hash)
    }

    /// The first hash of the range of a part that holds `hash`.
    pub(super) fn start(&self, hash: u64) -> u64 {
        hash & !self.span_mask()
    }

    /// The first hash behind the range of a part that holds `hash`; None: the last range.
    pub(super) fn end(&self, hash: u64) -> Option<u64> {
        (hash | self.span_mask()).checked_add(1)
    }

    fn span_mask(&self) -> u64 {
        u64::MAX.checked_shr(self.depth()).unwrap_or(0)
    }

    /// Whether it has so few entries that it should shrink, or merge with a neighbour.
    pub(super) fn is_sparse(&self) -> bool {
        let may_shrink = self.lines() > 1 && self.len() * 8 <= self.lines() * LINE_ENTRIES * 3;
        let may_merge = self.depth() > 0 && self.len() <= MERGE_ENTRIES / 2;
        may_shrink || may_merge
    }

    /// Where the entry of `key` stands.
    #[inline]
    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<At> {
        self.find_by(hash, |found| found == key)
    }

    /// Where the entry stands whose key `is_sought` knows; it is asked about almost no key but that.
    #[inline]
    pub(super) fn find_by(&self, hash: u64, is_sought: impl Fn(&[u8]) -> bool) -> Option<At> {
        let tag = tag_of(hash);
        let line = home(tag, self.lines.len());
        match self.lines[line].find(tag, &is_sought) {
            Some(place) => Some(At { line, place }),
            None if self.lines[line].is_full() => {
                let line = next(line, self.lines.len());
                self.lines[line].find(tag, &is_sought).map(|place| At { line, place })
            }
            None => None,
        }
    }

    #[inline]
    pub(super) fn entry(&self, at: At) -> Option<&Entry> {
        self.lines[at.line].0[at.place].as_ref()
    }

    #[inline]
    pub(super) fn entry_mut(&mut self, at: At) -> Option<&mut Entry> {
        self.lines[at.line].0[at.place].as_mut()
    }

    /// Adds an entry whose key is not there; gives it back if its home and the next line are full.
    pub(super) fn push(&mut self, hash: u64, mut entry: Entry) -> Result<(), Entry> {
        entry.set_tag(tag_of(hash));
        let line = home(entry.tag(), self.lines.len());
        for line in [line, next(line, self.lines.len())] {
            if let Some(place) = self.lines[line].free() {
                self.lines[line].0[place] = Some(entry);
                self.header.told |= At { line, place }.bit();
                self.header.entries += 1;
                return Ok(());
            }
        }
        Err(entry)
    }

    pub(super) fn remove(&mut self, at: At) -> Option<Entry> {
        self.take(at).map(|moving| moving.entry)
    }

    fn take(&mut self, at: At) -> Option<Moving> {
        let was_full = self.lines[at.line].is_full();
        let entry = self.lines[at.line].0[at.place].take()?;
        let told = self.header.told & at.bit() != 0;
        let entry = Moving { entry, told };
        self.header.entries -= 1;
        if was_full {
            self.bring_home(at);
        }
        Some(entry)
    }

    /// Takes out an entry by its number in the order of [`Part::entries`].
    pub(super) fn remove_nth(&mut self, nth: usize) -> Option<Entry> {
        let places = self.lines.iter().enumerate().flat_map(|(line, places)| {
            let taken = places.0.iter().enumerate().filter(|(_, place)| place.is_some());
            taken.map(move |(place, _)| At { line, place })
        });
        let at = { places }.nth(nth)?;
        self.remove(at)
    }

    /// What is known of the hash of an entry of this part, whose range starts at `start`.
    pub(super) fn known_hash(&self, start: u64, entry: &Entry) -> KnownHash {
        KnownHash { bits: start | u64::from(entry.tag()), top: self.depth() }
    }

    /// Fills a place that has become free in a full line with an entry of that line which stands in the next.
    fn bring_home(&mut self, mut free: At) {
        let lines = self.lines.len();
        loop {
            let behind = next(free.line, lines);
            let was_full = self.lines[behind].is_full();
            let is_stray = |entry: &Entry| home(entry.tag(), lines) == free.line;
            let stray = self.lines[behind].0.iter().position(|place| place.as_ref().is_some_and(is_stray));
            let Some(place) = stray.filter(|_| behind != free.line) else { return };
            self.lines[free.line].0[free.place] = self.lines[behind].0[place].take();
            let from = At { line: behind, place };
            self.mark(free, self.header.told & from.bit() != 0);
            if !was_full {
                return;
            }
            free = from;
        }
    }

    /// Moves all entries into another part, whose layout was made for them; header and all.
    pub(super) fn move_into(&mut self, other: &mut Part, layout: &mut Layout) {
        for (line, places) in self.lines.iter_mut().enumerate() {
            for (place, taken) in places.0.iter_mut().enumerate() {
                if let Some(entry) = taken.take() {
                    let told = self.header.told & At { line, place }.bit() != 0;
                    other.add(layout, Moving { entry, told });
                }
            }
        }
        other.header.told_until = other.header.told_until.max(self.header.told_until);
        other.header.earliest = other.header.earliest.min(self.header.earliest);
        other.header.due = other.header.due.min(self.header.due);
        other.header.version = other.header.version.max(self.header.version);
        self.header.entries = 0;
    }

    /// Adds one of the entries that the layout was made for.
    pub(super) fn add(&mut self, layout: &mut Layout, Moving { entry, told }: Moving) {
        let line = layout.line_of(&entry);
        let free = self.lines[line].free();
        let place = free.expect("a layout gives no line more entries than it has places");
        self.lines[line].0[place] = Some(entry);
        self.mark(At { line, place }, told);
        self.header.entries += 1;
    }

    fn mark(&mut self, at: At, told: bool) {
        match told {
            true => self.header.told |= at.bit(),
            false => self.header.told &= !at.bit(),
        }
    }

    // What walks have been told: see [`super::walk`].

    /// Whether a walk that began at this version has been told of the entry, or came after it.
    pub(super) fn has_told(&self, at: At, version: u64) -> bool {
        let Header { told_until, told, .. } = self.header;
        self.header.version >= version || told_until >= version && told & at.bit() != 0
    }

    /// Whether walks have been told of some entries and not of the others.
    pub(super) fn is_told_in_part(&self) -> bool {
        self.header.told_until > self.header.version
    }

    /// Until which version they were, then.
    pub(super) fn told_until(&self) -> u64 {
        self.header.told_until
    }

    /// Walks are told of all of the part's entries up to this version.
    pub(super) fn tell_all(&mut self, version: u64) {
        self.header.version = self.header.version.max(version);
    }

    /// From here on walks up to this version are told entry by entry. None that began later than the part's own version was
    /// told of any.
    pub(super) fn begin_telling(&mut self, version: u64) {
        debug_assert!(!self.is_told_in_part(), "what was told would be forgotten");
        self.header.told_until = version;
        self.header.told = 0;
    }

    pub(super) fn note_told(&mut self, at: At) {
        self.header.told |= at.bit();
    }

    /// The entries that a walk which began at this version has not been told of.
    pub(super) fn untold_mut(&mut self, version: u64) -> impl Iterator<Item = &mut Entry> {
        let told = match (self.header.version >= version, self.header.told_until >= version) {
            (true, _) => u128::MAX,
            (false, true) => self.header.told,
            (false, false) => 0,
        };
        self.lines.iter_mut().enumerate().flat_map(move |(line, places)| {
            let untold = move |place| told & At { line, place }.bit() == 0;
            let entries = places.0.iter_mut().enumerate().filter(move |(place, _)| untold(*place));
            entries.filter_map(|(_, entry)| entry.as_mut())
        })
    }

    /// Takes out the entries of the upper half of the range, which keeps the lower half. The header of the upper half
    /// comes along; its entries are counted when they are added to it.
    pub(super) fn split(&mut self, seed: &Seed) -> (Header, Vec<Moving>) {
        self.entries().for_each(Entry::prefetch);
        let bit = 1 << (u64::BITS - 1 - self.depth());
        self.header.depth += 1;
        let mut upper = Vec::with_capacity(self.len());
        self.drain(|entry| seed.hash(entry.key()) & bit != 0, |moving| upper.push(moving));
        let Header { earliest, due, version, told_until, .. } = self.header;
        (Header { earliest, due, version, told_until, ..Header::new(self.depth()) }, upper)
    }

    /// Takes out every entry past its deadline, and looks anew for the earliest of the others.
    pub(super) fn take_expired(&mut self, now: Millis, mut taken: impl FnMut(Entry)) {
        self.entries().for_each(Entry::prefetch);
        let is_over = |entry: &Entry| entry.deadline().is_some_and(|deadline| deadline < now);
        self.drain(is_over, |moving| taken(moving.entry));
        let deadlines = self.entries().filter_map(|entry| entry.deadline());
        self.header.earliest = deadlines.map(|Millis(deadline)| deadline).min().unwrap_or(NEVER);
    }

    /// Takes out the entries that `wanted` holds for. What is brought home meanwhile is looked at too: it comes from a
    /// line behind, or from one that has been looked at already.
    fn drain(&mut self, wanted: impl Fn(&Entry) -> bool, mut taken: impl FnMut(Moving)) {
        for line in 0..self.lines.len() {
            for place in 0..LINE_ENTRIES {
                let at = At { line, place };
                while self.entry(at).is_some_and(&wanted) {
                    self.take(at).into_iter().for_each(&mut taken);
                }
            }
        }
    }

    /// Asks for the cache line that a lookup reads.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        entry::prefetch(&self.lines[home(tag_of(hash), self.lines.len())]);
    }

    /// Asks for the header, which a lookup reads where there are deadlines.
    pub(super) fn prefetch_header(&self) {
        entry::prefetch(&self.header);
    }

    /// Asks for the entry that has this tag. (One outside its home is waited for.)
    #[inline]
    pub(super) fn prefetch_entry(&self, hash: u64) {
        let tag = tag_of(hash);
        let line = &self.lines[home(tag, self.lines.len())];
        line.0.iter().flatten().filter(|entry| entry.tag() == tag).for_each(Entry::prefetch);
    }

    /// Panics where the part breaks its own rules.
    #[cfg(test)]
    pub(super) fn check(&self, seed: &Seed) {
        assert_eq!(self.entries().count(), self.len());
        for (line, places) in self.lines.iter().enumerate() {
            for entry in places.0.iter().flatten() {
                assert_eq!(entry.tag(), tag_of(seed.hash(entry.key())));
                let home = home(entry.tag(), self.lines());
                let is_stray = next(home, self.lines()) == line && self.lines[home].is_full();
                assert!(home == line || is_stray, "an entry stands outside its home only while that is full");
            }
        }
    }
}

impl Line {
    #[inline]
    fn find(&self, tag: u16, is_sought: impl Fn(&[u8]) -> bool) -> Option<usize> {
        let is_it = |entry: &Entry| entry.tag() == tag && is_sought(entry.key());
        self.0.iter().position(|place| place.as_ref().is_some_and(is_it))
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }

    #[inline]
    fn free(&self) -> Option<usize> {
        self.0.iter().position(Option::is_none)
    }
}

/// Which entries of a set stand at home and which in the next line, so that none is left over.
///
/// To place them as they come is not enough: an entry that could have stood at home would take, in the next line, the
/// place of one that has no other. So the homes are counted first. A home with more entries than places leaves some to the
/// next line, which keeps places for them and may have to leave some of its own. There is such a layout whenever there is any
/// at all; in particular for every part of a set that stood in as many lines before.
pub(super) struct Layout {
    pub(super) lines: usize,
    /// How many entries each line still takes of those that have their home there.
    at_home: [usize; LINES_MAX],
}

impl Layout {
    /// In parts of so many lines. None: they do not fit.
    pub(super) fn of<'e>(entries: impl Iterator<Item = &'e Entry>, lines: usize) -> Option<Layout> {
        let mut homes = [0; LINES_MAX];
        for entry in entries {
            homes[home(entry.tag(), lines)] += 1;
        }
        if homes.iter().sum::<usize>() > lines * LINE_ENTRIES {
            return None;
        }
        let mut at_home = [0; LINES_MAX];
        let mut left_over = 0;
        // The first round does not know yet what the last line leaves to the first. Some line leaves nothing, as there
        // are places for all; from there on the second round is right.
        for _ in 0..2 {
            for line in 0..lines {
                at_home[line] = homes[line].min(LINE_ENTRIES.checked_sub(left_over)?);
                left_over = homes[line] - at_home[line];
            }
        }
        (left_over <= LINE_ENTRIES && (lines > 1 || left_over == 0)).then_some(Layout { lines, at_home })
    }

    /// The line of the next entry: call it once for each.
    fn line_of(&mut self, entry: &Entry) -> usize {
        let line = home(entry.tag(), self.lines);
        match self.at_home[line].checked_sub(1) {
            Some(left) => {
                self.at_home[line] = left;
                line
            }
            None => next(line, self.lines),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::entry::Form;
    use crate::keyspace::seed::Random;

    /// An entry whose home is `line` of a part of `lines`.
    fn entry_of(line: usize, lines: usize) -> Entry {
        let mut entry = Entry::new(b"key", Form::Text, b"");
        entry.set_tag(u16::try_from((line * 65_536).div_ceil(lines)).unwrap());
        assert_eq!(home(entry.tag(), lines), line);
        entry
    }

    /// Places entries of these homes in a part of `LINES` lines, and says how many stand in each.
    fn lines_of<const LINES: usize>(homes: &[usize]) -> Option<Vec<usize>> {
        let entries: Vec<Entry> = homes.iter().map(|&line| entry_of(line, LINES)).collect();
        let mut layout = Layout::of(entries.iter(), LINES)?;
        let mut part = Part::<[Line; LINES]>::new(Header::new(0));
        let part: &mut Part = &mut part;
        entries.into_iter().for_each(|entry| part.add(&mut layout, Moving { entry, told: false }));
        for (line, places) in part.lines.iter().enumerate() {
            for entry in places.0.iter().flatten() {
                let home = home(entry.tag(), LINES);
                assert!(home == line || next(home, LINES) == line && part.lines[home].is_full());
            }
        }
        Some(part.lines.iter().map(|line| line.0.iter().flatten().count()).collect())
    }

    #[test]
    fn an_entry_that_can_stand_at_home_does_not_take_the_only_place_of_another() {
        let mut homes = vec![1; 8];
        homes.extend([0; 9]);
        assert_eq!(lines_of::<3>(&homes), Some(vec![8, 8, 1]));
        // Around the end: what the last line leaves over stands in the first.
        let mut homes = vec![0; 8];
        homes.extend([2; 9]);
        assert_eq!(lines_of::<3>(&homes), Some(vec![8, 1, 8]));
        assert_eq!(lines_of::<1>(&[0; 8]), Some(vec![8]));
        assert_eq!(lines_of::<1>(&[0; 9]), None);
        assert_eq!(lines_of::<3>(&[1; 16]), Some(vec![0, 8, 8]));
        assert_eq!(lines_of::<3>(&[1; 17]), None);
        assert_eq!(lines_of::<2>(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]), Some(vec![8, 8]));
    }

    /// What a split relies on: with ten million keys it happens that hardly any order but one would do.
    #[test]
    fn what_stood_in_a_part_fits_again_in_any_order_and_without_any_of_its_entries() {
        let mut random = Random::new(7);
        for round in 0..20_000 {
            let mut part = Part::<[Line; LINES_MAX]>::new(Header::new(0));
            let part: &mut Part = &mut part;
            // Most in a few lines, and these around the end.
            let (first, width) = (random.index(LINES_MAX), 2 + random.index(LINES_MAX - 1));
            loop {
                let line = (first + random.index(width)) % LINES_MAX;
                let tag = entry_of(line, LINES_MAX).tag();
                if part.push(u64::from(tag), entry_of(line, LINES_MAX)).is_err() {
                    break;
                }
            }
            let kept = 1 + random.index(9);
            let mut homes = Vec::new();
            for entry in part.entries() {
                if random.index(9) < kept {
                    homes.insert(random.index(homes.len() + 1), home(entry.tag(), LINES_MAX));
                }
            }
            assert!(lines_of::<LINES_MAX>(&homes).is_some(), "round {round}: {homes:?}");
        }
    }
}
