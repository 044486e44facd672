//! Sets of named bits: command flags and ACL categories, under Redis's own names.

/// A command's flags. The names are those of COMMAND.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// May change the dataset.
    Write,
    /// Reads keys only.
    Readonly,
    /// Refused when memory is above `maxmemory`.
    Denyoom,
    Admin,
    Pubsub,
    /// Not allowed in scripts.
    Noscript,
    /// May block its client.
    Blocking,
    /// Allowed while the dataset is being loaded.
    Loading,
    /// Allowed on a replica whose link to its primary is down.
    Stale,
    SkipMonitor,
    SkipSlowlog,
    /// Asks for a slot that is being imported (RESTORE-ASKING).
    Asking,
    /// Constant or logarithmic time.
    Fast,
    /// Allowed before authentication.
    NoAuth,
    /// No write, but its effects may have to be replicated. Redis knows this flag without showing it in COMMAND.
    MayReplicate,
    /// Its keys can be absent (EVAL with `0` keys).
    NoMandatoryKeys,
    /// Refused while a replica loads beside its old dataset.
    NoAsyncLoading,
    /// Not allowed between MULTI and EXEC.
    NoMulti,
    /// Its keys are not told by first/last/step. Derived from the key specs, never written in a row.
    Movablekeys,
    /// Allowed while a script is being busy.
    AllowBusy,
}

impl Flag {
    /// All flags in the order in which COMMAND lists them.
    pub const ALL: [Flag; 20] = [
        Flag::Write,
        Flag::Readonly,
        Flag::Denyoom,
        Flag::Admin,
        Flag::Pubsub,
        Flag::Noscript,
        Flag::Blocking,
        Flag::Loading,
        Flag::Stale,
        Flag::SkipMonitor,
        Flag::SkipSlowlog,
        Flag::Asking,
        Flag::Fast,
        Flag::NoAuth,
        Flag::MayReplicate,
        Flag::NoMandatoryKeys,
        Flag::NoAsyncLoading,
        Flag::NoMulti,
        Flag::Movablekeys,
        Flag::AllowBusy,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Flag::Write => "write",
            Flag::Readonly => "readonly",
            Flag::Denyoom => "denyoom",
            Flag::Admin => "admin",
            Flag::Pubsub => "pubsub",
            Flag::Noscript => "noscript",
            Flag::Blocking => "blocking",
            Flag::Loading => "loading",
            Flag::Stale => "stale",
            Flag::SkipMonitor => "skip_monitor",
            Flag::SkipSlowlog => "skip_slowlog",
            Flag::Asking => "asking",
            Flag::Fast => "fast",
            Flag::NoAuth => "no_auth",
            Flag::MayReplicate => "may_replicate",
            Flag::NoMandatoryKeys => "no_mandatory_keys",
            Flag::NoAsyncLoading => "no_async_loading",
            Flag::NoMulti => "no_multi",
            Flag::Movablekeys => "movablekeys",
            Flag::AllowBusy => "allow_busy",
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of [`Flag`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u32);

impl Flags {
    pub const NONE: Flags = Flags(0);
    pub const ALL: Flags = Flags(u32::MAX);

    pub const fn of(flags: &[Flag]) -> Flags {
        let mut set = Flags::NONE;
        let mut at = 0;
        while at < flags.len() {
            set = set.with(flags[at]);
            at += 1;
        }
        set
    }

    #[must_use]
    pub const fn with(self, flag: Flag) -> Flags {
        Flags(self.0 | flag.bit())
    }

    #[must_use]
    pub const fn union(self, others: Flags) -> Flags {
        Flags(self.0 | others.0)
    }

    #[must_use]
    pub const fn intersection(self, others: Flags) -> Flags {
        Flags(self.0 & others.0)
    }

    pub const fn has(self, flag: Flag) -> bool {
        self.0 & flag.bit() != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Flag> + Clone {
        Flag::ALL.into_iter().filter(move |flag| self.has(*flag))
    }
}

/// An ACL category. COMMAND writes them with an `@` in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    Keyspace,
    Read,
    Write,
    Set,
    Sortedset,
    List,
    Hash,
    String,
    Bitmap,
    Hyperloglog,
    Geo,
    Stream,
    Pubsub,
    Admin,
    Fast,
    Slow,
    Blocking,
    Dangerous,
    Connection,
    Transaction,
    Scripting,
}

impl Category {
    /// All categories in the order in which ACL CAT lists them.
    pub const ALL: [Category; 21] = [
        Category::Keyspace,
        Category::Read,
        Category::Write,
        Category::Set,
        Category::Sortedset,
        Category::List,
        Category::Hash,
        Category::String,
        Category::Bitmap,
        Category::Hyperloglog,
        Category::Geo,
        Category::Stream,
        Category::Pubsub,
        Category::Admin,
        Category::Fast,
        Category::Slow,
        Category::Blocking,
        Category::Dangerous,
        Category::Connection,
        Category::Transaction,
        Category::Scripting,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Category::Keyspace => "keyspace",
            Category::Read => "read",
            Category::Write => "write",
            Category::Set => "set",
            Category::Sortedset => "sortedset",
            Category::List => "list",
            Category::Hash => "hash",
            Category::String => "string",
            Category::Bitmap => "bitmap",
            Category::Hyperloglog => "hyperloglog",
            Category::Geo => "geo",
            Category::Stream => "stream",
            Category::Pubsub => "pubsub",
            Category::Admin => "admin",
            Category::Fast => "fast",
            Category::Slow => "slow",
            Category::Blocking => "blocking",
            Category::Dangerous => "dangerous",
            Category::Connection => "connection",
            Category::Transaction => "transaction",
            Category::Scripting => "scripting",
        }
    }

    /// By name without `@`, any case.
    pub fn named(name: &[u8]) -> Option<Category> {
        Category::ALL.into_iter().find(|category| category.name().as_bytes().eq_ignore_ascii_case(name))
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of [`Category`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Categories(u32);

impl Categories {
    pub const NONE: Categories = Categories(0);

    pub const fn of(categories: &[Category]) -> Categories {
        let mut set = Categories::NONE;
        let mut at = 0;
        while at < categories.len() {
            set = set.with(categories[at]);
            at += 1;
        }
        set
    }

    #[must_use]
    pub const fn with(self, category: Category) -> Categories {
        Categories(self.0 | category.bit())
    }

    pub const fn has(self, category: Category) -> bool {
        self.0 & category.bit() != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Category> + Clone {
        Category::ALL.into_iter().filter(move |category| self.has(*category))
    }

    /// Adds the categories that a command has for its flags' sake. A script that only reads is not `@read`: what it
    /// reads is decided by its own commands.
    pub(crate) const fn with_implied(self, flags: Flags) -> Categories {
        let mut set = self;
        if flags.has(Flag::Write) {
            set = set.with(Category::Write);
        }
        if flags.has(Flag::Readonly) && !set.has(Category::Scripting) {
            set = set.with(Category::Read);
        }
        if flags.has(Flag::Admin) {
            set = set.with(Category::Admin).with(Category::Dangerous);
        }
        if flags.has(Flag::Pubsub) {
            set = set.with(Category::Pubsub);
        }
        if flags.has(Flag::Blocking) {
            set = set.with(Category::Blocking);
        }
        set.with(if flags.has(Flag::Fast) { Category::Fast } else { Category::Slow })
    }
}

/// The group under which COMMAND DOCS lists a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Bitmap,
    Cluster,
    Connection,
    Generic,
    Geo,
    Hash,
    Hyperloglog,
    List,
    Pubsub,
    Scripting,
    Server,
    Set,
    SortedSet,
    Stream,
    String,
    Transactions,
    /// Slotway's own: never shown by COMMAND.
    Internal,
}

impl Group {
    pub const fn name(self) -> &'static str {
        match self {
            Group::Bitmap => "bitmap",
            Group::Cluster => "cluster",
            Group::Connection => "connection",
            Group::Generic => "generic",
            Group::Geo => "geo",
            Group::Hash => "hash",
            Group::Hyperloglog => "hyperloglog",
            Group::List => "list",
            Group::Pubsub => "pubsub",
            Group::Scripting => "scripting",
            Group::Server => "server",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Stream => "stream",
            Group::String => "string",
            Group::Transactions => "transactions",
            Group::Internal => "slotway",
        }
    }
}
