//! Rows of the transaction commands. A proxy collects what stands between MULTI and EXEC; only WATCH needs a link of its
//! own, because what it watches is remembered by the node's connection.

use crate::id::Id;
use crate::row::Flag::{AllowBusy, Fast, Loading, Noscript, SkipSlowlog, Stale};
use crate::row::KeyFlag::Ro;
use crate::row::Policy::Transaction;
use crate::row::keyspec::keys;
use crate::row::{Category, Command, command};

#[rustfmt::skip]
pub(crate) const ROWS: &[Command] = &[
    command(Id::Discard, "discard", 1, "2.0.0").flags(&[Noscript, Loading, Stale, Fast, AllowBusy])
        .acl(&[Category::Transaction]).proxy(Transaction).here(),
    command(Id::Exec, "exec", 1, "1.2.0").flags(&[Noscript, Loading, Stale, SkipSlowlog])
        .acl(&[Category::Transaction]).proxy(Transaction).here(),
    command(Id::Multi, "multi", 1, "1.2.0").flags(&[Noscript, Loading, Stale, Fast, AllowBusy])
        .acl(&[Category::Transaction]).proxy(Transaction).here(),
    command(Id::Unwatch, "unwatch", 1, "2.2.0").flags(&[Noscript, Loading, Stale, Fast, AllowBusy])
        .acl(&[Category::Transaction]).proxy(Transaction).here(),
    command(Id::Watch, "watch", -2, "2.2.0").flags(&[Noscript, Loading, Stale, Fast, AllowBusy])
        .acl(&[Category::Transaction]).keys(&[keys(1, -1, 1, &[Ro])]).proxy(Transaction).here(),
];
