//! Rows of the HyperLogLog commands. PFCOUNT is a read that may rewrite its cached count, hence `Rw` and
//! `may_replicate`.

use crate::id::Id;
use crate::row::Flag::{Admin, Denyoom, Fast, MayReplicate, Readonly, Write};
use crate::row::KeyFlag::{Access, Insert, Ro, Rw};
use crate::row::Policy::{OneSlot, Refused};
use crate::row::Replay::{Kept, Same};
use crate::row::keyspec::{key, keys};
use crate::row::{Category, Command, command};

/// It speaks of one node's inside, or names one as its target.
const ONE_NODE: &str = "this command is not available through a proxy; send it to a node";

#[rustfmt::skip]
pub(crate) const ROWS: &[Command] = &[
    command(Id::Pfadd, "pfadd", -2, "2.8.9").flags(&[Write, Denyoom, Fast]).acl(&[Category::Hyperloglog])
        .keys(&[key(1, &[Rw, Insert])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Pfcount, "pfcount", -2, "2.8.9").flags(&[Readonly, MayReplicate]).acl(&[Category::Hyperloglog])
        .keys(&[keys(1, -1, 1, &[Rw, Access])]).proxy(OneSlot).here(),
    command(Id::Pfdebug, "pfdebug", 3, "2.8.9").flags(&[Write, Denyoom, Admin]).acl(&[Category::Hyperloglog])
        .keys(&[key(2, &[Rw, Access])]).proxy(Refused(ONE_NODE)).replay(Kept).here(),
    command(Id::Pfmerge, "pfmerge", -2, "2.8.9").flags(&[Write, Denyoom]).acl(&[Category::Hyperloglog])
        .keys(&[key(1, &[Rw, Access, Insert]), keys(2, -1, 1, &[Ro, Access])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Pfselftest, "pfselftest", 1, "2.8.9").flags(&[Admin]).acl(&[Category::Hyperloglog])
        .proxy(Refused(ONE_NODE)).here(),
];
