//! Which words of a request are keys.
//!
//! The key specifications of the row are walked, as Redis does before it looks at anything else; the few commands
//! whose keys they do not tell have a search of their own. What comes out is at most three runs of words
//! ([`Run`]), held in place: nothing is allocated, whatever the number of keys.
//!
//! An error here means that the command itself will answer a syntax error. It is never guessed at: a proxy sends
//! such a request to any node to have it answered in Redis's words.

use slotway_resp::Request;

use crate::row::{Begin, Command, Find, Flag, KeyFlag, KeyFlags, KeySpec, Search};

/// Most key specifications a command has (GEORADIUS, SORT).
const RUNS_MAX: usize = 3;

/// The words do not say where the keys are: a count that is no number or too large, a keyword without its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyError;

/// Words `first`, `first + step`, ... up to `last`, with what the command does to these keys.
///
/// Small numbers on purpose: a request's words are counted in 32 bits, and [`Positions`] is made for every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    first: u32,
    last: u32,
    step: u8,
    pub flags: KeyFlags,
}

impl Run {
    const NONE: Run = Run { first: 1, last: 0, step: 1, flags: KeyFlags::NONE };

    #[inline]
    fn is_empty(self) -> bool {
        self.first > self.last
    }

    pub fn positions(self) -> impl Iterator<Item = usize> {
        (self.first as usize..=self.last as usize).step_by(usize::from(self.step))
    }

    fn one(position: u32, flags: KeyFlags) -> Run {
        Run { first: position, last: position, step: 1, flags }
    }
}

/// The key positions of one request: an iterator over word indexes, in Redis's order.
///
/// Nearly all requests have one run: it lies in front, where the compiler can keep it in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positions {
    /// What is left of the current run. Empty ([`Run::NONE`]) only when nothing is left at all.
    run: Run,
    more: u8,
    rest: [Run; RUNS_MAX - 1],
}

impl Positions {
    const NONE: Positions = Positions { run: Run::NONE, more: 0, rest: [Run::NONE; RUNS_MAX - 1] };

    #[inline]
    const fn of(run: Run) -> Positions {
        Positions { run, ..Positions::NONE }
    }

    fn push(&mut self, run: Run) {
        if self.run.is_empty() {
            self.run = run;
        } else {
            self.rest[usize::from(self.more)] = run;
            self.more += 1;
        }
    }

    /// The runs that are left, for callers that want the flags, too.
    pub fn runs(&self) -> impl Iterator<Item = Run> {
        let rest = self.rest.into_iter().take(usize::from(self.more));
        std::iter::once(self.run).chain(rest).filter(|run| !run.is_empty())
    }
}

impl Iterator for Positions {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.run.is_empty() {
            return None;
        }
        let position = self.run.first;
        // Not `position + step > last`: the last word may be the last that 32 bits can count.
        if self.run.last - position >= u32::from(self.run.step) {
            self.run.first += u32::from(self.run.step);
        } else if self.more == 0 {
            self.run = Run::NONE;
        } else {
            self.run = self.rest[0];
            self.rest.rotate_left(1);
            self.more -= 1;
        }
        Some(position as usize)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.runs().map(|run| ((run.last - run.first) / u32::from(run.step) + 1) as usize).sum();
        (left, Some(left))
    }
}

impl ExactSizeIterator for Positions {}

/// The key positions of a request whose arity has been checked. Without keys: an empty iterator.
#[inline]
pub fn positions(command: &Command, request: Request<'_>) -> Result<Positions, KeyError> {
    match (command.key_specs, command.search) {
        ([spec], Search::Specs) => match walk(spec, request) {
            Ok(Some(run)) => Ok(Positions::of(run)),
            Ok(None) => Ok(Positions::NONE),
            Err(NoRun::NoneAsked) if command.flags.has(Flag::NoMandatoryKeys) => Ok(Positions::NONE),
            Err(_) => Err(KeyError),
        },
        (_, Search::Set) => Ok(Positions::of(Run::one(1, set_flags(request)))),
        (specs, search) => searched(specs, search, request),
    }
}

/// The key positions of a request of `words` words of which only the first have come. None: they do not tell all of the
/// keys, or only the whole request could. Never other keys than [`positions`] names.
pub fn positions_in_head(command: &Command, head: Request<'_>, words: usize) -> Option<Positions> {
    let words = u32::try_from(words).ok()?;
    // The options of these change what happens to the key, not which it is.
    if !matches!(command.search, Search::Specs | Search::Set | Search::Bitfield) {
        return None;
    }
    let mut found = Positions::NONE;
    for spec in command.key_specs.iter().filter(|spec| !spec.flags.has(KeyFlag::NotKey)) {
        let Begin::Index(index) = spec.begin else { return None };
        let begin = u32::from(index);
        let (first, last, step) = match spec.find {
            Find::Range { last, step, limit } => (begin, range_end(begin, last, limit, words)?, step),
            Find::Counted { count_at, first, step } => {
                let first = begin + u32::from(first);
                let others = count(head, begin + u32::from(count_at))?.checked_sub(1)?;
                (first, first.checked_add(others)?, step)
            }
            Find::Unknown => return None,
        };
        if first > last || last >= words {
            return None;
        }
        let last_key = last - (last - first) % u32::from(step);
        if last_key >= self::words(head) {
            return None;
        }
        found.push(Run { first, last, step, flags: spec.flags });
    }
    Some(found)
}

fn searched(specs: &[KeySpec], search: Search, request: Request<'_>) -> Result<Positions, KeyError> {
    match search {
        Search::Specs => by_specs(specs, request),
        Search::Set => Ok(Positions::of(Run::one(1, set_flags(request)))),
        Search::Bitfield => Ok(Positions::of(Run::one(1, bitfield_flags(request)))),
        Search::Sort => Ok(sort(specs, request)),
        Search::SortRo => Ok(Positions::of(Run::one(1, specs[0].flags))),
        Search::Georadius => Ok(georadius(specs, request)),
        Search::Migrate => migrate(specs, request).map(Positions::of),
    }
}

/// The first key. For the simple rows a look at one number.
#[inline]
pub fn first<'b>(command: &Command, request: Request<'b>) -> Option<&'b [u8]> {
    let position = match command.key_specs.first()? {
        KeySpec { begin: Begin::Index(index), find: Find::Range { .. }, flags }
            if !flags.has(KeyFlag::NotKey) && !matches!(command.search, Search::Migrate) =>
        {
            usize::from(*index)
        }
        _ => positions(command, request).ok()?.next()?,
    };
    (position < request.len()).then(|| request.word(position))
}

/// The shard channels of SPUBLISH, SSUBSCRIBE and SUNSUBSCRIBE: hashed to a slot like keys.
pub fn channels(command: &Command, request: Request<'_>) -> Positions {
    let mut found = Positions::NONE;
    for spec in command.key_specs.iter().filter(|spec| spec.flags.has(KeyFlag::NotKey)) {
        if let Ok(run) = walk_any(spec, request) {
            found.push(run);
        }
    }
    found
}

/// Why a specification gives no run.
enum NoRun {
    /// A count of zero: right for a script, a syntax error for everything else.
    NoneAsked,
    /// The words end where the run would begin: PFMERGE may have a destination and no sources.
    NoneLeft,
    NotFound,
}

impl From<NoRun> for KeyError {
    fn from(_: NoRun) -> Self {
        KeyError
    }
}

fn by_specs(specs: &[KeySpec], request: Request<'_>) -> Result<Positions, KeyError> {
    let mut found = Positions::NONE;
    for spec in specs {
        match walk(spec, request) {
            Ok(Some(run)) => found.push(run),
            Ok(None) | Err(NoRun::NoneLeft) => {}
            Err(missing @ (NoRun::NoneAsked | NoRun::NotFound)) => return Err(missing.into()),
        }
    }
    Ok(found)
}

/// The run of one specification; None: it names channels, not keys.
#[inline]
fn walk(spec: &KeySpec, request: Request<'_>) -> Result<Option<Run>, NoRun> {
    if spec.flags.has(KeyFlag::NotKey) { Ok(None) } else { walk_any(spec, request).map(Some) }
}

#[inline]
fn walk_any(spec: &KeySpec, request: Request<'_>) -> Result<Run, NoRun> {
    let len = words(request);
    let begin = match spec.begin {
        Begin::Index(index) => u32::from(index),
        Begin::Keyword { word, from } => behind_keyword(word, from, request).ok_or(NoRun::NotFound)?,
        Begin::Unknown => return Err(NoRun::NotFound),
    };
    let (first, last, step) = match spec.find {
        Find::Range { last, step, limit } => {
            (begin, range_end(begin, last, limit, len).ok_or(NoRun::NotFound)?, step)
        }
        Find::Counted { count_at, first, step } => {
            let count = count(request, begin + u32::from(count_at)).ok_or(NoRun::NotFound)?;
            if count == 0 {
                return Err(NoRun::NoneAsked);
            }
            let first = begin + u32::from(first);
            (first, first.checked_add(count - 1).ok_or(NoRun::NotFound)?, step)
        }
        Find::Unknown => return Err(NoRun::NotFound),
    };
    if first > last || last >= len {
        let ends_here = matches!(spec.begin, Begin::Index(_)) && first == len && last + 1 == first;
        return Err(if ends_here { NoRun::NoneLeft } else { NoRun::NotFound });
    }
    Ok(Run { first, last, step, flags: spec.flags })
}

/// The number of words. A parser finds no more than 2^31 - 1 in a request.
#[inline]
fn words(request: Request<'_>) -> u32 {
    u32::try_from(request.len()).unwrap_or(u32::MAX)
}

#[inline]
fn word(request: Request<'_>, at: u32) -> &[u8] {
    request.word(at as usize)
}

#[inline]
fn range_end(first: u32, last: i32, limit: u8, len: u32) -> Option<u32> {
    let back = last.unsigned_abs();
    if last >= 0 {
        first.checked_add(back)
    } else if limit <= 1 {
        len.checked_sub(back)
    } else {
        // The first part of what is left: XREAD's keys are the first half of the words behind STREAMS.
        (first + len.saturating_sub(first) / u32::from(limit)).checked_sub(back)
    }
}

fn behind_keyword(keyword: &str, from: i32, request: Request<'_>) -> Option<u32> {
    let is_it = |at: &u32| word(request, *at).eq_ignore_ascii_case(keyword.as_bytes());
    let start = from.unsigned_abs();
    let found = if from > 0 {
        (start..words(request)).find(is_it)
    } else {
        (1..=words(request).checked_sub(start)?).rev().find(is_it)
    };
    found.map(|at| at + 1)
}

/// The number of keys at word `at`, as Redis reads one: digits only, no sign, no leading zero.
fn count(request: Request<'_>, at: u32) -> Option<u32> {
    if at >= words(request) {
        return None;
    }
    let word = word(request, at);
    if word.len() > 1 && word[0] == b'0' || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// With GET the old value is read as well.
fn set_flags(request: Request<'_>) -> KeyFlags {
    const PLAIN: KeyFlags = KeyFlags::of(&[KeyFlag::Ow, KeyFlag::Update]);
    const WITH_GET: KeyFlags = KeyFlags::of(&[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update]);
    if request.words().skip(3).any(|word| word.eq_ignore_ascii_case(b"get")) { WITH_GET } else { PLAIN }
}

/// Whether word `at` is this option, any case.
fn is_option(request: Request<'_>, at: u32, option: &str) -> bool {
    word(request, at).eq_ignore_ascii_case(option.as_bytes())
}

/// Reads only as long as every operation is a GET with its two words. OVERFLOW alone changes nothing.
fn bitfield_flags(request: Request<'_>) -> KeyFlags {
    const READS: KeyFlags = KeyFlags::of(&[KeyFlag::Ro, KeyFlag::Access]);
    const WRITES: KeyFlags = KeyFlags::of(&[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update]);
    let mut at = 2;
    while at < words(request) {
        let left = words(request) - at - 1;
        if left >= 2 && is_option(request, at, "get") {
            at += 3;
        } else if left >= 1 && is_option(request, at, "overflow") {
            at += 2;
        } else {
            return WRITES;
        }
    }
    READS
}

/// The key, and the destination behind the last STORE that is not itself the word of another option.
fn sort(specs: &[KeySpec], request: Request<'_>) -> Positions {
    let mut found = Positions::of(Run::one(1, specs[0].flags));
    let mut destination = None;
    let mut at = 2;
    while at < words(request) {
        if is_option(request, at, "store") && at + 1 < words(request) {
            destination = Some(at + 1);
            at += 1;
        } else if is_option(request, at, "limit") {
            at += 2;
        } else if is_option(request, at, "get") || is_option(request, at, "by") {
            at += 1;
        }
        at += 1;
    }
    if let Some(position) = destination {
        found.push(Run::one(position, KeyFlags::of(&[KeyFlag::Ow, KeyFlag::Update])));
    }
    found
}

/// The key, and the destination behind the last STORE or STOREDIST: the command stores there. (Redis's own search
/// names the first of each, and misses the key that is written when an option stands twice.)
fn georadius(specs: &[KeySpec], request: Request<'_>) -> Positions {
    let mut found = Positions::of(Run::one(1, specs[0].flags));
    let Begin::Keyword { from, .. } = specs[1].begin else { return found };
    let mut destination = None;
    let mut at = from.unsigned_abs();
    while at + 1 < words(request) {
        if is_option(request, at, "store") || is_option(request, at, "storedist") {
            destination = Some(at + 1);
            at += 1;
        }
        at += 1;
    }
    if let Some(position) = destination {
        found.push(Run::one(position, specs[1].flags));
    }
    found
}

/// Word 3; or, if there is a KEYS among the options, everything behind it, and then word 3 must be empty. A KEYS with
/// nothing behind it is none.
fn migrate(specs: &[KeySpec], request: Request<'_>) -> Result<Run, KeyError> {
    let flags = specs[0].flags;
    let mut at = 6;
    while at + 1 < words(request) {
        if is_option(request, at, "keys") {
            let run = Run { first: at + 1, last: words(request) - 1, step: 1, flags };
            return if request.word(3).is_empty() { Ok(run) } else { Err(KeyError) };
        } else if is_option(request, at, "auth") {
            at += 1;
        } else if is_option(request, at, "auth2") {
            at += 2;
        }
        at += 1;
    }
    Ok(Run::one(3, flags))
}
