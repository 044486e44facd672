//! One row of the command table, and the words it is written in.
//!
//! A row states what cannot be derived: `finish` adds what follows from it (ACL categories that every write or
//! every fast command has, the `movablekeys` flag, the first/last/step that old clients read), so that a row cannot
//! contradict itself. Rows are constants: whoever matches over them pays nothing at run time.
//!
//! Source of the facts: COMMAND and COMMAND DOCS of a redis-server 7.0, and the 7.2 additions; `tests/` holds the
//! comparison and lists every difference.

pub mod flags;
pub mod keyspec;
pub mod policy;

pub use flags::{Categories, Category, Flag, Flags, Group};
pub use keyspec::{Begin, Find, KeyFlag, KeyFlags, KeySpec, Search};
pub use policy::{MergeRule, Policy, Replay, SplitRule, Support};

use crate::id::Id;
use crate::table::COMMANDS;

/// One command or subcommand.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    pub id: Id,
    /// Lower case; a subcommand with its container: `client|setname`.
    pub name: &'static str,
    /// Words of a request with the name (and the container's name): exactly `n`, or at least `-n`.
    pub arity: i32,
    pub flags: Flags,
    pub acl: Categories,
    pub group: Group,
    /// The Redis version that brought it.
    pub since: &'static str,
    /// The Redis version that deprecated it.
    pub deprecated: Option<&'static str>,
    /// Redis's hints to cluster-aware clients, as COMMAND reports them.
    pub tips: &'static [&'static str],
    pub key_specs: &'static [KeySpec],
    /// How its keys are found where the key specs do not say all.
    pub search: Search,
    /// How a proxy treats it.
    pub proxy: Policy,
    /// Whether it has a handler yet.
    pub node: Support,
    /// Whether a session must keep its reply.
    pub replay: Replay,
    /// First key, last key (negative: from the end) and step as clients before Redis 7 read them; zeros: no keys
    /// that this form can tell.
    pub first_last_step: (i32, i32, i32),
    /// Its subcommands are the rows behind it.
    pub(crate) subcommand_count: usize,
}

/// A row with everything that most rows have in common; the table's groups fill in the rest.
pub(crate) const fn command(id: Id, name: &'static str, arity: i32, since: &'static str) -> Command {
    Command {
        id,
        name,
        arity,
        flags: Flags::NONE,
        acl: Categories::NONE,
        group: Group::Generic,
        since,
        deprecated: None,
        tips: &[],
        key_specs: &[],
        search: Search::Specs,
        proxy: Policy::Local,
        node: Support::Later,
        replay: Replay::NoWrite,
        first_last_step: (0, 0, 0),
        subcommand_count: 0,
    }
}

/// The builders of a row.
impl Command {
    pub(crate) const fn flags(mut self, flags: &[Flag]) -> Self {
        self.flags = Flags::of(flags);
        self
    }

    /// The categories that do not follow from the flags.
    pub(crate) const fn acl(mut self, categories: &[Category]) -> Self {
        self.acl = Categories::of(categories);
        self
    }

    pub(crate) const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    pub(crate) const fn keys(mut self, specs: &'static [KeySpec]) -> Self {
        self.key_specs = specs;
        self
    }

    pub(crate) const fn search(mut self, search: Search) -> Self {
        self.search = search;
        self
    }

    pub(crate) const fn proxy(mut self, policy: Policy) -> Self {
        self.proxy = policy;
        self
    }

    /// It has a handler.
    pub(crate) const fn here(mut self) -> Self {
        self.node = Support::Here;
        self
    }

    pub(crate) const fn replay(mut self, replay: Replay) -> Self {
        self.replay = replay;
        self
    }

    pub(crate) const fn deprecated(mut self, since: &'static str) -> Self {
        self.deprecated = Some(since);
        self
    }

    /// Adds what follows from the row.
    pub(crate) const fn finish(mut self, group: Group) -> Self {
        self.group = group;
        self.acl = self.acl.with_implied(self.flags);
        let (first_last_step, movable) = keyspec::legacy_range(self.key_specs);
        self.first_last_step = first_last_step;
        if movable {
            self.flags = self.flags.with(Flag::Movablekeys);
        }
        self
    }
}

impl Command {
    pub fn row(id: Id) -> &'static Command {
        &COMMANDS[id.index()]
    }

    pub fn is_write(&self) -> bool {
        self.flags.has(Flag::Write)
    }

    /// May change keys, or say something that replicas would hear of: writes, PUBLISH, scripts.
    pub fn may_write(&self) -> bool {
        self.is_write() || self.flags.has(Flag::MayReplicate)
    }

    pub fn is_readonly(&self) -> bool {
        self.flags.has(Flag::Readonly)
    }

    /// Refused when memory is above its limit and nothing can be evicted.
    pub fn is_deny_oom(&self) -> bool {
        self.flags.has(Flag::Denyoom)
    }

    /// May be sent before authentication: AUTH, HELLO, RESET, QUIT.
    pub fn is_no_auth(&self) -> bool {
        self.flags.has(Flag::NoAuth)
    }

    pub fn is_blocking(&self) -> bool {
        self.flags.has(Flag::Blocking)
    }

    pub fn is_admin(&self) -> bool {
        self.flags.has(Flag::Admin)
    }

    pub fn is_here(&self) -> bool {
        matches!(self.node, Support::Here)
    }

    /// Has subcommands that [`crate::lookup::resolve`] looks into.
    pub fn is_container(&self) -> bool {
        self.subcommand_count > 0
    }

    pub fn subcommands(&self) -> &'static [Command] {
        let first = self.id.index() + 1;
        &COMMANDS[first..first + self.subcommand_count]
    }

    /// The subcommand called `name`, any case. Containers have few: looked through one by one.
    pub fn subcommand(&self, name: &[u8]) -> Option<&'static Command> {
        self.subcommands().iter().find(|row| row.short_name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// `setname` of `client|setname`; the whole name of everything else.
    pub fn short_name(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, short)| short)
    }

    /// `client` of `client|setname`.
    pub fn container_name(&self) -> Option<&'static str> {
        self.name.split_once('|').map(|(container, _)| container)
    }

    pub fn is_subcommand(&self) -> bool {
        self.name.contains('|')
    }

    /// Whether a request of `words` words (names included) passes the arity.
    pub fn accepts(&self, words: usize) -> bool {
        let bound = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { words >= bound } else { words == bound }
    }

    /// Has key specs that name keys (a shard channel's name is in the key specs, but is no key).
    pub fn has_keys(&self) -> bool {
        self.key_specs.iter().any(|spec| !spec.flags.has(KeyFlag::NotKey))
    }
}
