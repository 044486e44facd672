//! Rows of the hash commands.

use crate::id::Id;
use crate::row::Flag::{Denyoom, Fast, Readonly, Write};
use crate::row::KeyFlag::{Access, Delete, Insert, Ro, Rw, Update};
use crate::row::Policy::OneSlot;
use crate::row::Replay::{Kept, Same};
use crate::row::keyspec::key;
use crate::row::{Category, Command, command};

#[rustfmt::skip]
pub(crate) const ROWS: &[Command] = &[
    command(Id::Hdel, "hdel", -3, "2.0.0").flags(&[Write, Fast]).acl(&[Category::Hash]).keys(&[key(1, &[Rw, Delete])])
        .proxy(OneSlot).replay(Same).here(),
    command(Id::Hexists, "hexists", 3, "2.0.0").flags(&[Readonly, Fast]).acl(&[Category::Hash]).keys(&[key(1, &[Ro])])
        .proxy(OneSlot).here(),
    command(Id::Hget, "hget", 3, "2.0.0").flags(&[Readonly, Fast]).acl(&[Category::Hash])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Hgetall, "hgetall", 2, "2.0.0").flags(&[Readonly]).acl(&[Category::Hash])
        .tips(&["nondeterministic_output_order"]).keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Hincrby, "hincrby", 4, "2.0.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::Hash])
        .keys(&[key(1, &[Rw, Access, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Hincrbyfloat, "hincrbyfloat", 4, "2.6.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::Hash])
        .keys(&[key(1, &[Rw, Access, Update])]).proxy(OneSlot).replay(Kept).here(),
    command(Id::Hkeys, "hkeys", 2, "2.0.0").flags(&[Readonly]).acl(&[Category::Hash])
        .tips(&["nondeterministic_output_order"]).keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Hlen, "hlen", 2, "2.0.0").flags(&[Readonly, Fast]).acl(&[Category::Hash]).keys(&[key(1, &[Ro])])
        .proxy(OneSlot).here(),
    command(Id::Hmget, "hmget", -3, "2.0.0").flags(&[Readonly, Fast]).acl(&[Category::Hash])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Hmset, "hmset", -4, "2.0.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::Hash]).deprecated("4.0.0")
        .keys(&[key(1, &[Rw, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Hrandfield, "hrandfield", -2, "6.2.0").flags(&[Readonly]).acl(&[Category::Hash])
        .tips(&["nondeterministic_output"]).keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Hscan, "hscan", -3, "2.8.0").flags(&[Readonly]).acl(&[Category::Hash])
        .tips(&["nondeterministic_output"]).keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Hset, "hset", -4, "2.0.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::Hash])
        .keys(&[key(1, &[Rw, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Hsetnx, "hsetnx", 4, "2.0.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::Hash])
        .keys(&[key(1, &[Rw, Insert])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Hstrlen, "hstrlen", 3, "3.2.0").flags(&[Readonly, Fast]).acl(&[Category::Hash]).keys(&[key(1, &[Ro])])
        .proxy(OneSlot).here(),
    command(Id::Hvals, "hvals", 2, "2.0.0").flags(&[Readonly]).acl(&[Category::Hash])
        .tips(&["nondeterministic_output_order"]).keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
];
