//! The command table: every command and subcommand of Redis 7.2, and Slotway's own.
//!
//! The rows are written by group, one file each, and put in the order of [`Id`] while compiling: a variant without
//! a row, with two rows, or out of order is a compile error. [`Id`] is sorted by name, so a container's subcommands
//! are the rows right behind it.

mod bitmaps;
mod cluster;
mod connection;
mod generic;
mod geo;
mod hashes;
mod hyperloglog;
mod internal;
mod lists;
mod pubsub;
mod scripting;
mod server;
mod sets;
mod sorted_sets;
mod streams;
mod strings;
mod transactions;

use crate::id::Id;
use crate::row::{Command, Group};

/// Every row, in the order of [`Id`]: sorted by name.
pub static COMMANDS: [Command; Id::COUNT] = build();

const GROUPS: [(Group, &[Command]); 17] = [
    (Group::Bitmap, bitmaps::ROWS),
    (Group::Cluster, cluster::ROWS),
    (Group::Connection, connection::ROWS),
    (Group::Generic, generic::ROWS),
    (Group::Geo, geo::ROWS),
    (Group::Hash, hashes::ROWS),
    (Group::Hyperloglog, hyperloglog::ROWS),
    (Group::Internal, internal::ROWS),
    (Group::List, lists::ROWS),
    (Group::Pubsub, pubsub::ROWS),
    (Group::Scripting, scripting::ROWS),
    (Group::Server, server::ROWS),
    (Group::Set, sets::ROWS),
    (Group::SortedSet, sorted_sets::ROWS),
    (Group::Stream, streams::ROWS),
    (Group::String, strings::ROWS),
    (Group::Transactions, transactions::ROWS),
];

/// The commands that are no subcommands.
pub fn top_level() -> impl Iterator<Item = &'static Command> + Clone {
    COMMANDS.iter().filter(|row| !row.is_subcommand())
}

const fn build() -> [Command; Id::COUNT] {
    let mut rows = [strings::ROWS[0]; Id::COUNT];
    let mut seen = [false; Id::COUNT];
    let mut group = 0;
    while group < GROUPS.len() {
        let (name, members) = GROUPS[group];
        let mut at = 0;
        while at < members.len() {
            let row = members[at].finish(name);
            assert!(!seen[row.id.index()], "an Id has two rows");
            seen[row.id.index()] = true;
            rows[row.id.index()] = row;
            at += 1;
        }
        group += 1;
    }
    let mut at = Id::COUNT;
    while at > 0 {
        at -= 1;
        assert!(seen[at], "an Id has no row");
        let mut behind = at + 1;
        while behind < Id::COUNT && is_inside(rows[at].name, rows[behind].name) {
            behind += 1;
        }
        rows[at].subcommand_count = behind - at - 1;
    }
    rows
}

/// `name` is a subcommand of `container`.
const fn is_inside(container: &str, name: &str) -> bool {
    let (container, name) = (container.as_bytes(), name.as_bytes());
    if name.len() <= container.len() || name[container.len()] != b'|' {
        return false;
    }
    let mut at = 0;
    while at < container.len() {
        if container[at] != name[at] {
            return false;
        }
        at += 1;
    }
    true
}
