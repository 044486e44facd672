//! Where a command's keys stand: Redis's key specifications.
//!
//! A specification says in two steps where some keys are: how to find the first one (`begin_search`), and how to
//! walk on from there (`find_keys`). A few commands cannot be told this way; their rows name a [`Search`] of their
//! own beside the specifications.

/// What a command does with a key, in Redis's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFlag {
    /// Reads the value, writes none.
    Ro,
    /// Changes the value or its metadata.
    Rw,
    /// Writes over the value without looking.
    Ow,
    /// Removes the key.
    Rm,
    /// What is stored reaches the client (or another key).
    Access,
    /// What is stored may change.
    Update,
    /// Adds without changing what is there.
    Insert,
    /// Removes parts of it, or all.
    Delete,
    /// A word that is hashed to a slot like a key, but is none: a shard channel.
    NotKey,
    /// The specification does not find every key.
    Incomplete,
    /// Which flags hold depends on the command's other words.
    VariableFlags,
}

impl KeyFlag {
    /// All flags in the order in which COMMAND lists them.
    pub const ALL: [KeyFlag; 11] = [
        KeyFlag::Ro,
        KeyFlag::Rw,
        KeyFlag::Ow,
        KeyFlag::Rm,
        KeyFlag::Access,
        KeyFlag::Update,
        KeyFlag::Insert,
        KeyFlag::Delete,
        KeyFlag::NotKey,
        KeyFlag::Incomplete,
        KeyFlag::VariableFlags,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            KeyFlag::Ro => "RO",
            KeyFlag::Rw => "RW",
            KeyFlag::Ow => "OW",
            KeyFlag::Rm => "RM",
            KeyFlag::Access => "access",
            KeyFlag::Update => "update",
            KeyFlag::Insert => "insert",
            KeyFlag::Delete => "delete",
            KeyFlag::NotKey => "not_key",
            KeyFlag::Incomplete => "incomplete",
            KeyFlag::VariableFlags => "variable_flags",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of [`KeyFlag`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyFlags(u16);

impl KeyFlags {
    pub const NONE: KeyFlags = KeyFlags(0);

    pub const fn of(flags: &[KeyFlag]) -> KeyFlags {
        let mut set = KeyFlags::NONE;
        let mut at = 0;
        while at < flags.len() {
            set.0 |= flags[at].bit();
            at += 1;
        }
        set
    }

    pub const fn has(self, flag: KeyFlag) -> bool {
        self.0 & flag.bit() != 0
    }

    pub fn iter(self) -> impl Iterator<Item = KeyFlag> + Clone {
        KeyFlag::ALL.into_iter().filter(move |flag| self.has(*flag))
    }
}

/// How the first key is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// It is this word of the request.
    Index(u8),
    /// It is the word behind a keyword, which is looked for from word `from` on; negative: from that word of the
    /// end backwards.
    Keyword { word: &'static str, from: i32 },
    /// Not to be told from the words alone.
    Unknown,
}

/// How further keys are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Find {
    /// Every `step`-th word up to `last`: counted from the first key, or negative from the end of the request. With
    /// a `limit` above 1 and `last` -1 only the first part of the words in that many (XREAD: the first half).
    Range { last: i32, step: u8, limit: u8 },
    /// Word `count_at` says how many, the first is word `first`, both counted from where the search began.
    Counted { count_at: u8, first: u8, step: u8 },
    /// Not to be told from the words alone.
    Unknown,
}

/// One key specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpec {
    pub begin: Begin,
    pub find: Find,
    pub flags: KeyFlags,
}

/// How keys are found when the specifications do not say all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// The specifications say all.
    Specs,
    /// SET: the flags depend on GET.
    Set,
    /// BITFIELD: only reads if every operation is a GET.
    Bitfield,
    /// SORT: the last STORE names a destination; the keys of BY and GET follow from the data and are not looked for.
    Sort,
    /// SORT_RO: as SORT, without STORE.
    SortRo,
    /// GEORADIUS, GEORADIUSBYMEMBER: the last STORE or STOREDIST names a destination.
    Georadius,
    /// MIGRATE: word 3, or, if that is empty, all words behind KEYS.
    Migrate,
}

/// The word at `index` alone.
pub(crate) const fn key(index: u8, flags: &[KeyFlag]) -> KeySpec {
    keys(index, 0, 1, flags)
}

/// Words from `index` to `last` (see [`Find::Range`]) in steps.
pub(crate) const fn keys(index: u8, last: i32, step: u8, flags: &[KeyFlag]) -> KeySpec {
    KeySpec {
        begin: Begin::Index(index),
        find: Find::Range { last, step, limit: 0 },
        flags: KeyFlags::of(flags),
    }
}

/// A number at `index`, followed by so many keys.
pub(crate) const fn counted(index: u8, flags: &[KeyFlag]) -> KeySpec {
    KeySpec {
        begin: Begin::Index(index),
        find: Find::Counted { count_at: 0, first: 1, step: 1 },
        flags: KeyFlags::of(flags),
    }
}

/// Keys behind a keyword.
pub(crate) const fn behind(
    word: &'static str,
    from: i32,
    last: i32,
    limit: u8,
    flags: &[KeyFlag],
) -> KeySpec {
    KeySpec {
        begin: Begin::Keyword { word, from },
        find: Find::Range { last, step: 1, limit },
        flags: KeyFlags::of(flags),
    }
}

/// Keys that the words do not tell.
pub(crate) const fn unknown(flags: &[KeyFlag]) -> KeySpec {
    KeySpec { begin: Begin::Unknown, find: Find::Unknown, flags: KeyFlags::of(flags) }
}

/// What clients before Redis 7 read: (first, last, step), and whether that misses keys (`movablekeys`).
///
/// A single range is told as it is. Several are told together as long as each is plain (step 1) and starts right
/// behind the one before; whatever does not fit is left out and makes the keys movable.
pub(crate) const fn legacy_range(specs: &[KeySpec]) -> ((i32, i32, i32), bool) {
    let (mut first, mut last, mut step) = (0, 0, 0);
    let mut movable = false;
    let mut at = 0;
    while at < specs.len() {
        let spec = &specs[at];
        at += 1;
        if spec.flags.has(KeyFlag::Incomplete) {
            movable = true;
        }
        let (Begin::Index(index), Find::Range { last: last_key, step: key_step, .. }) =
            (spec.begin, spec.find)
        else {
            movable = true;
            continue;
        };
        let index = index as i32;
        let alone = specs.len() == 1;
        if !alone && (key_step != 1 || (last != 0 && last != index - 1)) {
            movable = true;
            continue;
        }
        if first == 0 {
            first = index;
        }
        last = if last_key >= 0 { index + last_key } else { last_key };
        step = key_step as i32;
    }
    ((first, last, step), movable)
}
