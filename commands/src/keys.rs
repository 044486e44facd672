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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub first: usize,
    pub last: usize,
    pub step: usize,
    pub flags: KeyFlags,
}

/// The key positions of one request: an iterator over word indexes, in Redis's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positions {
    runs: [Run; RUNS_MAX],
    count: u8,
    /// The run and the word that come next.
    run: u8,
    next: usize,
}

impl Positions {
    const EMPTY: Run = Run { first: 0, last: 0, step: 1, flags: KeyFlags::NONE };

    fn new() -> Self {
        Positions { runs: [Self::EMPTY; RUNS_MAX], count: 0, run: 0, next: 0 }
    }

    fn push(&mut self, run: Run) {
        if self.count == 0 {
            self.next = run.first;
        }
        self.runs[usize::from(self.count)] = run;
        self.count += 1;
    }

    /// The runs of words, for callers that want the flags, too.
    pub fn runs(&self) -> &[Run] {
        &self.runs[..usize::from(self.count)]
    }
}

impl Iterator for Positions {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.run == self.count {
            return None;
        }
        let run = &self.runs[usize::from(self.run)];
        let position = self.next;
        self.next += run.step;
        if self.next > run.last {
            self.run += 1;
            if self.run < self.count {
                self.next = self.runs[usize::from(self.run)].first;
            }
        }
        Some(position)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let mut left = 0;
        for (at, run) in self.runs().iter().enumerate().skip(usize::from(self.run)) {
            let from = if at == usize::from(self.run) { self.next } else { run.first };
            left += (run.last - from) / run.step + 1;
        }
        (left, Some(left))
    }
}

impl ExactSizeIterator for Positions {}

/// The key positions of a request whose arity has been checked. Without keys: an empty iterator.
#[inline]
pub fn positions(command: &Command, request: Request<'_>) -> Result<Positions, KeyError> {
    let mut found = Positions::new();
    if let ([spec], Search::Specs) = (command.key_specs, command.search) {
        match walk(spec, request) {
            Ok(Some(run)) => found.push(run),
            Ok(None) => {}
            Err(NoRun::NoneAsked) if command.flags.has(Flag::NoMandatoryKeys) => {}
            Err(_) => return Err(KeyError),
        }
        return Ok(found);
    }
    match command.search {
        Search::Specs => by_specs(command.key_specs, request, &mut found)?,
        Search::Set => found.push(one(1, set_flags(request))),
        Search::Bitfield => found.push(one(1, bitfield_flags(request))),
        Search::Sort => sort(command.key_specs, request, &mut found),
        Search::SortRo => found.push(one(1, command.key_specs[0].flags)),
        Search::Georadius => georadius(command.key_specs, request, &mut found),
        Search::Migrate => found.push(migrate(command.key_specs, request)?),
    }
    Ok(found)
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
    let mut found = Positions::new();
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
    NotFound,
}

impl From<NoRun> for KeyError {
    fn from(_: NoRun) -> Self {
        KeyError
    }
}

fn by_specs(specs: &[KeySpec], request: Request<'_>, found: &mut Positions) -> Result<(), KeyError> {
    for spec in specs {
        if let Some(run) = walk(spec, request)? {
            found.push(run);
        }
    }
    Ok(())
}

/// The run of one specification; None: it names channels, not keys.
#[inline]
fn walk(spec: &KeySpec, request: Request<'_>) -> Result<Option<Run>, NoRun> {
    if spec.flags.has(KeyFlag::NotKey) { Ok(None) } else { walk_any(spec, request).map(Some) }
}

#[inline]
fn walk_any(spec: &KeySpec, request: Request<'_>) -> Result<Run, NoRun> {
    let len = request.len();
    let begin = match spec.begin {
        Begin::Index(index) => usize::from(index),
        Begin::Keyword { word, from } => behind_keyword(word, from, request).ok_or(NoRun::NotFound)?,
        Begin::Unknown => return Err(NoRun::NotFound),
    };
    let (first, last, step) = match spec.find {
        Find::Range { last, step, limit } => {
            (begin, range_end(begin, last, limit, len).ok_or(NoRun::NotFound)?, step)
        }
        Find::Counted { count_at, first, step } => {
            let count = count(request, begin + usize::from(count_at)).ok_or(NoRun::NotFound)?;
            if count == 0 {
                return Err(NoRun::NoneAsked);
            }
            let first = begin + usize::from(first);
            (first, first.checked_add(count - 1).ok_or(NoRun::NotFound)?, step)
        }
        Find::Unknown => return Err(NoRun::NotFound),
    };
    if first > last || last >= len {
        return Err(NoRun::NotFound);
    }
    Ok(Run { first, last, step: usize::from(step), flags: spec.flags })
}

#[inline]
fn range_end(first: usize, last: i32, limit: u8, len: usize) -> Option<usize> {
    let back = usize::try_from(last.unsigned_abs()).ok()?;
    if last >= 0 {
        first.checked_add(back)
    } else if limit <= 1 {
        len.checked_sub(back)
    } else {
        // The first part of what is left: XREAD's keys are the first half of the words behind STREAMS.
        (first + len.saturating_sub(first) / usize::from(limit)).checked_sub(back)
    }
}

fn behind_keyword(keyword: &str, from: i32, request: Request<'_>) -> Option<usize> {
    let is_it = |at: &usize| request.word(*at).eq_ignore_ascii_case(keyword.as_bytes());
    let start = usize::try_from(from.unsigned_abs()).ok()?;
    let found = if from > 0 {
        (start..request.len()).find(is_it)
    } else {
        (1..=request.len().checked_sub(start)?).rev().find(is_it)
    };
    found.map(|at| at + 1)
}

/// The number of keys at word `at`, as Redis reads one: digits only, no sign, no leading zero.
fn count(request: Request<'_>, at: usize) -> Option<usize> {
    if at >= request.len() {
        return None;
    }
    let word = request.word(at);
    if word.len() > 1 && word[0] == b'0' || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn one(position: usize, flags: KeyFlags) -> Run {
    Run { first: position, last: position, step: 1, flags }
}

/// With GET the old value is read as well.
fn set_flags(request: Request<'_>) -> KeyFlags {
    const PLAIN: KeyFlags = KeyFlags::of(&[KeyFlag::Ow, KeyFlag::Update]);
    const WITH_GET: KeyFlags = KeyFlags::of(&[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update]);
    if request.words().skip(3).any(|word| word.eq_ignore_ascii_case(b"get")) { WITH_GET } else { PLAIN }
}

/// Reads only as long as every operation is a GET with its two words. OVERFLOW alone changes nothing.
fn bitfield_flags(request: Request<'_>) -> KeyFlags {
    const READS: KeyFlags = KeyFlags::of(&[KeyFlag::Ro, KeyFlag::Access]);
    const WRITES: KeyFlags = KeyFlags::of(&[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update]);
    let mut at = 2;
    while at < request.len() {
        let left = request.len() - at - 1;
        let word = request.word(at);
        if word.eq_ignore_ascii_case(b"get") && left >= 2 {
            at += 3;
        } else if word.eq_ignore_ascii_case(b"overflow") && left >= 1 {
            at += 2;
        } else {
            return WRITES;
        }
    }
    READS
}

/// The key, and the destination behind the last STORE that is not itself the word of another option.
fn sort(specs: &[KeySpec], request: Request<'_>, found: &mut Positions) {
    found.push(one(1, specs[0].flags));
    let mut destination = None;
    let mut at = 2;
    while at < request.len() {
        let left = request.len() - at - 1;
        let word = request.word(at);
        if word.eq_ignore_ascii_case(b"store") && left >= 1 {
            destination = Some(at + 1);
            at += 1;
        } else if word.eq_ignore_ascii_case(b"limit") {
            at += 2;
        } else if word.eq_ignore_ascii_case(b"get") || word.eq_ignore_ascii_case(b"by") {
            at += 1;
        }
        at += 1;
    }
    if let Some(position) = destination {
        found.push(one(position, KeyFlags::of(&[KeyFlag::Ow, KeyFlag::Update])));
    }
}

/// The key, and the destination behind the last STORE or STOREDIST: the command stores there. (Redis's own search
/// names the first of each, and misses the key that is written when an option stands twice.)
fn georadius(specs: &[KeySpec], request: Request<'_>, found: &mut Positions) {
    found.push(one(1, specs[0].flags));
    let Begin::Keyword { from, .. } = specs[1].begin else { return };
    let mut destination = None;
    let mut at = usize::try_from(from).unwrap_or(0);
    while at + 1 < request.len() {
        let word = request.word(at);
        if word.eq_ignore_ascii_case(b"store") || word.eq_ignore_ascii_case(b"storedist") {
            destination = Some(at + 1);
            at += 1;
        }
        at += 1;
    }
    if let Some(position) = destination {
        found.push(one(position, specs[1].flags));
    }
}

/// Word 3; or, if there is a KEYS among the options, everything behind it, and then word 3 must be empty. A KEYS with
/// nothing behind it is none.
fn migrate(specs: &[KeySpec], request: Request<'_>) -> Result<Run, KeyError> {
    let flags = specs[0].flags;
    let mut at = 6;
    while at + 1 < request.len() {
        let word = request.word(at);
        if word.eq_ignore_ascii_case(b"keys") {
            if !request.word(3).is_empty() {
                return Err(KeyError);
            }
            return Ok(Run { first: at + 1, last: request.len() - 1, step: 1, flags });
        } else if word.eq_ignore_ascii_case(b"auth") {
            at += 1;
        } else if word.eq_ignore_ascii_case(b"auth2") {
            at += 2;
        }
        at += 1;
    }
    Ok(one(3, flags))
}
