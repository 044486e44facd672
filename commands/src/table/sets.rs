//! Rows of the set commands.

use crate::id::Id;
use crate::row::Flag::{Denyoom, Fast, Readonly, Write};
use crate::row::KeyFlag::{Access, Delete, Insert, Ow, Ro, Rw, Update};
use crate::row::Policy::OneSlot;
use crate::row::Replay::{Kept, Same};
use crate::row::keyspec::{counted, key, keys};
use crate::row::{Category, Command, command};

#[rustfmt::skip]
pub(crate) const ROWS: &[Command] = &[
    command(Id::Sadd, "sadd", -3, "1.0.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::Set])
        .keys(&[key(1, &[Rw, Insert])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Scard, "scard", 2, "1.0.0").flags(&[Readonly, Fast]).acl(&[Category::Set]).keys(&[key(1, &[Ro])])
        .proxy(OneSlot).here(),
    command(Id::Sdiff, "sdiff", -2, "1.0.0").flags(&[Readonly]).acl(&[Category::Set])
        .tips(&["nondeterministic_output_order"]).keys(&[keys(1, -1, 1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Sdiffstore, "sdiffstore", -3, "1.0.0").flags(&[Write, Denyoom]).acl(&[Category::Set])
        .keys(&[key(1, &[Ow, Update]), keys(2, -1, 1, &[Ro, Access])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Sinter, "sinter", -2, "1.0.0").flags(&[Readonly]).acl(&[Category::Set])
        .tips(&["nondeterministic_output_order"]).keys(&[keys(1, -1, 1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Sintercard, "sintercard", -3, "7.0.0").flags(&[Readonly]).acl(&[Category::Set])
        .keys(&[counted(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Sinterstore, "sinterstore", -3, "1.0.0").flags(&[Write, Denyoom]).acl(&[Category::Set])
        .keys(&[key(1, &[Rw, Update]), keys(2, -1, 1, &[Ro, Access])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Sismember, "sismember", 3, "1.0.0").flags(&[Readonly, Fast]).acl(&[Category::Set])
        .keys(&[key(1, &[Ro])]).proxy(OneSlot).here(),
    command(Id::Smembers, "smembers", 2, "1.0.0").flags(&[Readonly]).acl(&[Category::Set])
        .tips(&["nondeterministic_output_order"]).keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Smismember, "smismember", -3, "6.2.0").flags(&[Readonly, Fast]).acl(&[Category::Set])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Smove, "smove", 4, "1.0.0").flags(&[Write, Fast]).acl(&[Category::Set])
        .keys(&[key(1, &[Rw, Access, Delete]), key(2, &[Rw, Insert])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Spop, "spop", -2, "1.0.0").flags(&[Write, Fast]).acl(&[Category::Set])
        .tips(&["nondeterministic_output"]).keys(&[key(1, &[Rw, Access, Delete])]).proxy(OneSlot).replay(Kept).here(),
    command(Id::Srandmember, "srandmember", -2, "1.0.0").flags(&[Readonly]).acl(&[Category::Set])
        .tips(&["nondeterministic_output"]).keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Srem, "srem", -3, "1.0.0").flags(&[Write, Fast]).acl(&[Category::Set]).keys(&[key(1, &[Rw, Delete])])
        .proxy(OneSlot).replay(Same).here(),
    command(Id::Sscan, "sscan", -3, "2.8.0").flags(&[Readonly]).acl(&[Category::Set])
        .tips(&["nondeterministic_output"]).keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Sunion, "sunion", -2, "1.0.0").flags(&[Readonly]).acl(&[Category::Set])
        .tips(&["nondeterministic_output_order"]).keys(&[keys(1, -1, 1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Sunionstore, "sunionstore", -3, "1.0.0").flags(&[Write, Denyoom]).acl(&[Category::Set])
        .keys(&[key(1, &[Ow, Update]), keys(2, -1, 1, &[Ro, Access])]).proxy(OneSlot).replay(Same).here(),
];
