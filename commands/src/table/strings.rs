//! Rows of the string commands.

use crate::id::Id;
use crate::row::Flag::{Denyoom, Fast, Readonly, Write};
use crate::row::KeyFlag::{Access, Delete, Insert, Ow, Ro, Rw, Update, VariableFlags};
use crate::row::Policy::{OneSlot, Split};
use crate::row::Replay::{Kept, Same, SameWithout};
use crate::row::keyspec::{key, keys};
use crate::row::{Category, Command, Search, SplitRule, command};

#[rustfmt::skip]
pub(crate) const ROWS: &[Command] = &[
    command(Id::Append, "append", 3, "2.0.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::String])
        .keys(&[key(1, &[Rw, Insert])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Decr, "decr", 2, "1.0.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::String])
        .keys(&[key(1, &[Rw, Access, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Decrby, "decrby", 3, "1.0.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::String])
        .keys(&[key(1, &[Rw, Access, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Get, "get", 2, "1.0.0").flags(&[Readonly, Fast]).acl(&[Category::String])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Getdel, "getdel", 2, "6.2.0").flags(&[Write, Fast]).acl(&[Category::String])
        .keys(&[key(1, &[Rw, Access, Delete])]).proxy(OneSlot).replay(Kept).here(),
    command(Id::Getex, "getex", -2, "6.2.0").flags(&[Write, Fast]).acl(&[Category::String])
        .keys(&[key(1, &[Rw, Access, Update])]).proxy(OneSlot).replay(Kept).here(),
    command(Id::Getrange, "getrange", 4, "2.4.0").flags(&[Readonly]).acl(&[Category::String])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Getset, "getset", 3, "1.0.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::String])
        .deprecated("6.2.0").keys(&[key(1, &[Rw, Access, Update])]).proxy(OneSlot).replay(Kept).here(),
    command(Id::Incr, "incr", 2, "1.0.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::String])
        .keys(&[key(1, &[Rw, Access, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Incrby, "incrby", 3, "1.0.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::String])
        .keys(&[key(1, &[Rw, Access, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Incrbyfloat, "incrbyfloat", 3, "2.6.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::String])
        .keys(&[key(1, &[Rw, Access, Update])]).proxy(OneSlot).replay(Kept).here(),
    command(Id::Lcs, "lcs", -3, "7.0.0").flags(&[Readonly]).acl(&[Category::String])
        .keys(&[keys(1, 1, 1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Mget, "mget", -2, "1.0.0").flags(&[Readonly, Fast]).acl(&[Category::String])
        .tips(&["request_policy:multi_shard"]).keys(&[keys(1, -1, 1, &[Ro, Access])])
        .proxy(Split(SplitRule::MultiGet)).here(),
    command(Id::Mset, "mset", -3, "1.0.1").flags(&[Write, Denyoom]).acl(&[Category::String])
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"]).keys(&[keys(1, -1, 2, &[Ow, Update])])
        .proxy(Split(SplitRule::MultiSet)).replay(Same).here(),
    command(Id::Msetnx, "msetnx", -3, "1.0.1").flags(&[Write, Denyoom]).acl(&[Category::String])
        .tips(&["request_policy:multi_shard", "response_policy:agg_min"]).keys(&[keys(1, -1, 2, &[Ow, Insert])])
        .proxy(OneSlot).replay(Same).here(),
    command(Id::Psetex, "psetex", 4, "2.6.0").flags(&[Write, Denyoom]).acl(&[Category::String])
        .keys(&[key(1, &[Ow, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Set, "set", -3, "1.0.0").flags(&[Write, Denyoom]).acl(&[Category::String])
        .keys(&[key(1, &[Rw, Access, Update, VariableFlags])]).search(Search::Set).proxy(OneSlot)
        .replay(SameWithout("get")).here(),
    command(Id::Setex, "setex", 4, "2.0.0").flags(&[Write, Denyoom]).acl(&[Category::String])
        .keys(&[key(1, &[Ow, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Setnx, "setnx", 3, "1.0.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::String])
        .keys(&[key(1, &[Ow, Insert])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Setrange, "setrange", 4, "2.2.0").flags(&[Write, Denyoom]).acl(&[Category::String])
        .keys(&[key(1, &[Rw, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Strlen, "strlen", 2, "2.2.0").flags(&[Readonly, Fast]).acl(&[Category::String]).keys(&[key(1, &[Ro])])
        .proxy(OneSlot).here(),
    command(Id::Substr, "substr", 4, "1.0.0").flags(&[Readonly]).acl(&[Category::String]).deprecated("2.0.0")
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
];
