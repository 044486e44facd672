//! The answers of COMMAND and its subcommands, written from the table.
//!
//! What clients read: COMMAND and COMMAND INFO (ten facts per command), COUNT, LIST, GETKEYS, and DOCS without prose
//! (no summaries, no arguments; the notes beside key specifications are left out of COMMAND INFO, too).
//!
//! A server shows what it serves: [`Scope::Served`]. The whole table, [`Scope::Known`], serves tests and tools.
//! Neither shows Slotway's own commands.

use slotway_resp::Request;
use slotway_resp::write::{self, Version};

use crate::row::{Begin, Category, Command, Find, Flag, Group, KeyFlag, KeyFlags, KeySpec};
use crate::{errors, glob, help, id::Id, keys, lookup, table};

/// Which rows are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those with a handler.
    Served,
    /// All of Redis 7.2.
    Known,
}

impl Scope {
    fn shows(self, row: &Command) -> bool {
        row.group != Group::Internal && (self == Scope::Known || row.is_here())
    }

    fn top_level(self) -> impl Iterator<Item = &'static Command> + Clone {
        table::top_level().filter(move |row| self.shows(row))
    }

    fn subcommands(self, row: &Command) -> impl Iterator<Item = &'static Command> + Clone + use<> {
        row.subcommands().iter().filter(move |row| self.shows(row))
    }

    fn find_full(self, name: &[u8]) -> Option<&'static Command> {
        lookup::find_full(name).filter(|row| self.shows(row))
    }
}

/// Answers a request whose row is COMMAND's or one of its subcommands'; arity checked.
pub fn answer(row: &Command, request: Request<'_>, scope: Scope, version: Version, out: &mut Vec<u8>) {
    match row.id {
        Id::CommandCount => count(scope, out),
        Id::CommandList => list(request, scope, out),
        Id::CommandDocs => docs(request.skip(2), scope, version, out),
        Id::CommandGetkeys => getkeys(request.skip(2), scope, Answer::Keys, version, out),
        Id::CommandGetkeysandflags => getkeys(request.skip(2), scope, Answer::KeysAndFlags, version, out),
        Id::CommandHelp => help::answer(row, out),
        // COMMAND alone is COMMAND INFO without names.
        _ => info(request.skip(request.len().min(2)), scope, version, out),
    }
}

/// The number of top-level commands.
pub fn count(scope: Scope, out: &mut Vec<u8>) {
    write::integer(out, i64::try_from(scope.top_level().count()).unwrap_or(i64::MAX));
}

/// COMMAND and COMMAND INFO: `names` are the words behind; none: all commands. An unknown name is a null.
pub fn info(names: Request<'_>, scope: Scope, version: Version, out: &mut Vec<u8>) {
    if names.is_empty() {
        write::array(out, scope.top_level().count());
        scope.top_level().for_each(|row| ten_facts(row, scope, version, out));
        return;
    }
    write::array(out, names.len());
    for name in names.words() {
        match scope.find_full(name) {
            Some(row) => ten_facts(row, scope, version, out),
            None => write::null(out, version),
        }
    }
}

fn ten_facts(row: &Command, scope: Scope, version: Version, out: &mut Vec<u8>) {
    let (first, last, step) = row.first_last_step;
    // Redis knows this flag, but does not show it.
    let flags = row.flags.iter().filter(|flag| *flag != Flag::MayReplicate);
    write::array(out, 10);
    write::bulk(out, row.name.as_bytes());
    write::integer(out, row.arity.into());
    names(flags.map(Flag::name), version, out);
    write::integer(out, first.into());
    write::integer(out, last.into());
    write::integer(out, step.into());
    write::set(out, version, row.acl.iter().count());
    for category in row.acl.iter() {
        write::simple(out, &format!("@{}", category.name()));
    }
    write::set(out, version, row.tips.len());
    row.tips.iter().for_each(|tip| write::bulk(out, tip.as_bytes()));
    write::set(out, version, row.key_specs.len());
    row.key_specs.iter().for_each(|spec| key_spec(spec, version, out));
    // No subcommands are an empty set, some are an array: so does Redis.
    match scope.subcommands(row).count() {
        0 => write::set(out, version, 0),
        count => write::array(out, count),
    }
    scope.subcommands(row).for_each(|row| ten_facts(row, scope, version, out));
}

fn names(names: impl Iterator<Item = &'static str> + Clone, version: Version, out: &mut Vec<u8>) {
    write::set(out, version, names.clone().count());
    names.for_each(|name| write::simple(out, name));
}

fn key_flags(flags: KeyFlags, version: Version, out: &mut Vec<u8>) {
    names(flags.iter().map(KeyFlag::name), version, out);
}

fn key_spec(spec: &KeySpec, version: Version, out: &mut Vec<u8>) {
    write::map(out, version, 3);
    write::bulk(out, b"flags");
    key_flags(spec.flags, version, out);
    write::bulk(out, b"begin_search");
    match spec.begin {
        Begin::Index(index) => step(out, version, "index", &[("index", Fact::Number(index.into()))]),
        Begin::Keyword { word, from } => {
            let facts = [("keyword", Fact::Word(word)), ("startfrom", Fact::Number(from))];
            step(out, version, "keyword", &facts);
        }
        Begin::Unknown => step(out, version, "unknown", &[]),
    }
    write::bulk(out, b"find_keys");
    match spec.find {
        Find::Range { last, step: by, limit } => {
            let facts = [("lastkey", last), ("keystep", by.into()), ("limit", limit.into())];
            step(out, version, "range", &facts.map(|(name, number)| (name, Fact::Number(number))));
        }
        Find::Counted { count_at, first, step: by } => {
            let facts = [("keynumidx", count_at), ("firstkey", first), ("keystep", by)];
            step(out, version, "keynum", &facts.map(|(name, number)| (name, Fact::Number(number.into()))));
        }
        Find::Unknown => step(out, version, "unknown", &[]),
    }
}

enum Fact {
    Number(i32),
    Word(&'static str),
}

/// One half of a key specification: its type and what the type needs to know.
fn step(out: &mut Vec<u8>, version: Version, kind: &str, facts: &[(&str, Fact)]) {
    write::map(out, version, 2);
    write::bulk(out, b"type");
    write::bulk(out, kind.as_bytes());
    write::bulk(out, b"spec");
    write::map(out, version, facts.len());
    for (name, fact) in facts {
        write::bulk(out, name.as_bytes());
        match fact {
            Fact::Number(number) => write::integer(out, (*number).into()),
            Fact::Word(word) => write::bulk(out, word.as_bytes()),
        }
    }
}

/// COMMAND DOCS: `names` are the words behind; none: all commands. Unknown names are left out.
pub fn docs(names: Request<'_>, scope: Scope, version: Version, out: &mut Vec<u8>) {
    let rows: Vec<&Command> = if names.is_empty() {
        scope.top_level().collect()
    } else {
        names.words().filter_map(|name| scope.find_full(name)).collect()
    };
    write::map(out, version, rows.len());
    rows.into_iter().for_each(|row| documented(row, scope, version, out));
}

fn documented(row: &Command, scope: Scope, version: Version, out: &mut Vec<u8>) {
    let subcommands = scope.subcommands(row).count();
    let entries = 3 + 2 * usize::from(row.deprecated.is_some()) + usize::from(subcommands > 0);
    write::bulk(out, row.name.as_bytes());
    write::map(out, version, entries);
    // Command lines print a summary without asking whether there is one.
    for (name, text) in [("summary", ""), ("since", row.since), ("group", row.group.name())] {
        write::bulk(out, name.as_bytes());
        write::bulk(out, text.as_bytes());
    }
    if let Some(since) = row.deprecated {
        write::bulk(out, b"doc_flags");
        write::set(out, version, 1);
        write::simple(out, "deprecated");
        write::bulk(out, b"deprecated_since");
        write::bulk(out, since.as_bytes());
    }
    if subcommands > 0 {
        write::bulk(out, b"subcommands");
        write::map(out, version, subcommands);
        scope.subcommands(row).for_each(|row| documented(row, scope, version, out));
    }
}

/// COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]: names, those of subcommands too.
pub fn list(request: Request<'_>, scope: Scope, out: &mut Vec<u8>) {
    let words: Vec<&[u8]> = request.words().skip(2).collect();
    let rows = table::COMMANDS.iter().filter(|row| scope.shows(row));
    let found: Vec<&Command> = match words[..] {
        [] => rows.collect(),
        [filter, kind, what] if filter.eq_ignore_ascii_case(b"filterby") => {
            if kind.eq_ignore_ascii_case(b"module") {
                // There are no modules.
                Vec::new()
            } else if kind.eq_ignore_ascii_case(b"aclcat") {
                let category = Category::named(what);
                rows.filter(|row| category.is_some_and(|category| row.acl.has(category))).collect()
            } else if kind.eq_ignore_ascii_case(b"pattern") {
                rows.filter(|row| glob::matches_nocase(what, row.name.as_bytes())).collect()
            } else {
                return write::error(out, errors::SYNTAX.as_bytes());
            }
        }
        _ => return write::error(out, errors::SYNTAX.as_bytes()),
    };
    write::array(out, found.len());
    found.into_iter().for_each(|row| write::bulk(out, row.name.as_bytes()));
}

/// What COMMAND GETKEYS and COMMAND GETKEYSANDFLAGS answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Keys,
    KeysAndFlags,
}

/// The keys of `inner`, the request behind COMMAND GETKEYS; it has at least one word.
pub fn getkeys(inner: Request<'_>, scope: Scope, answer: Answer, version: Version, out: &mut Vec<u8>) {
    let Some(row) = lookup::find_in(inner).filter(|row| scope.shows(row)) else {
        return write::error(out, errors::GETKEYS_UNKNOWN.as_bytes());
    };
    if !row.has_keys() {
        return write::error(out, errors::GETKEYS_NO_KEYS.as_bytes());
    }
    if !row.accepts(inner.len()) {
        return write::error(out, errors::GETKEYS_ARITY.as_bytes());
    }
    match keys::positions(row, inner) {
        Ok(positions) => found_keys(positions, inner, answer, version, out),
        // A script's keys may be none, and Redis does not tell that from a wrong count.
        Err(keys::KeyError) if row.flags.has(Flag::NoMandatoryKeys) => write::array(out, 0),
        Err(keys::KeyError) => write::error(out, errors::GETKEYS_ARGUMENTS.as_bytes()),
    }
}

fn found_keys(
    positions: keys::Positions,
    inner: Request<'_>,
    answer: Answer,
    version: Version,
    out: &mut Vec<u8>,
) {
    write::array(out, positions.len());
    for run in positions.runs() {
        for position in run.positions() {
            if answer == Answer::KeysAndFlags {
                write::array(out, 2);
            }
            write::bulk(out, inner.word(position));
            if answer == Answer::KeysAndFlags {
                key_flags(run.flags, version, out);
            }
        }
    }
}
