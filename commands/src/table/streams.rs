//! Rows of the stream commands.

use crate::id::Id;
use crate::row::Flag::{Blocking, Denyoom, Fast, Loading, Readonly, Stale, Write};
use crate::row::KeyFlag::{Access, Delete, Insert, Ro, Rw, Update};
use crate::row::Policy::{LeasedWith, OneSlot};
use crate::row::Replay::{Kept, Same};
use crate::row::keyspec::{behind, key};
use crate::row::{Category, Command, command};

#[rustfmt::skip]
pub(crate) const ROWS: &[Command] = &[
    command(Id::Xack, "xack", -4, "5.0.0").flags(&[Write, Fast]).acl(&[Category::Stream])
        .keys(&[key(1, &[Rw, Update])]).proxy(OneSlot).replay(Same),
    command(Id::Xadd, "xadd", -5, "5.0.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::Stream])
        .tips(&["nondeterministic_output"]).keys(&[key(1, &[Rw, Update])]).proxy(OneSlot).replay(Kept),
    command(Id::Xautoclaim, "xautoclaim", -6, "6.2.0").flags(&[Write, Fast]).acl(&[Category::Stream])
        .tips(&["nondeterministic_output"]).keys(&[key(1, &[Rw, Delete])]).proxy(OneSlot).replay(Kept),
    command(Id::Xclaim, "xclaim", -6, "5.0.0").flags(&[Write, Fast]).acl(&[Category::Stream])
        .tips(&["nondeterministic_output"]).keys(&[key(1, &[Rw, Update])]).proxy(OneSlot).replay(Kept),
    command(Id::Xdel, "xdel", -3, "5.0.0").flags(&[Write, Fast]).acl(&[Category::Stream])
        .keys(&[key(1, &[Rw, Delete])]).proxy(OneSlot).replay(Same),
    command(Id::Xgroup, "xgroup", -2, "5.0.0"),
    command(Id::XgroupCreate, "xgroup|create", -5, "5.0.0").flags(&[Write, Denyoom]).acl(&[Category::Stream])
        .keys(&[key(2, &[Rw, Insert])]).proxy(OneSlot).replay(Same),
    command(Id::XgroupCreateconsumer, "xgroup|createconsumer", 5, "6.2.0").flags(&[Write, Denyoom])
        .acl(&[Category::Stream]).keys(&[key(2, &[Rw, Insert])]).proxy(OneSlot).replay(Same),
    command(Id::XgroupDelconsumer, "xgroup|delconsumer", 5, "5.0.0").flags(&[Write]).acl(&[Category::Stream])
        .keys(&[key(2, &[Rw, Delete])]).proxy(OneSlot).replay(Same),
    command(Id::XgroupDestroy, "xgroup|destroy", 4, "5.0.0").flags(&[Write]).acl(&[Category::Stream])
        .keys(&[key(2, &[Rw, Delete])]).proxy(OneSlot).replay(Same),
    command(Id::XgroupHelp, "xgroup|help", 2, "5.0.0").flags(&[Loading, Stale]).acl(&[Category::Stream]),
    command(Id::XgroupSetid, "xgroup|setid", -5, "5.0.0").flags(&[Write]).acl(&[Category::Stream])
        .keys(&[key(2, &[Rw, Update])]).proxy(OneSlot).replay(Same),
    command(Id::Xinfo, "xinfo", -2, "5.0.0"),
    command(Id::XinfoConsumers, "xinfo|consumers", 4, "5.0.0").flags(&[Readonly]).acl(&[Category::Stream])
        .tips(&["nondeterministic_output"]).keys(&[key(2, &[Ro, Access])]).proxy(OneSlot),
    command(Id::XinfoGroups, "xinfo|groups", 3, "5.0.0").flags(&[Readonly]).acl(&[Category::Stream])
        .keys(&[key(2, &[Ro, Access])]).proxy(OneSlot),
    command(Id::XinfoHelp, "xinfo|help", 2, "5.0.0").flags(&[Loading, Stale]).acl(&[Category::Stream]),
    command(Id::XinfoStream, "xinfo|stream", -3, "5.0.0").flags(&[Readonly]).acl(&[Category::Stream])
        .keys(&[key(2, &[Ro, Access])]).proxy(OneSlot),
    command(Id::Xlen, "xlen", 2, "5.0.0").flags(&[Readonly, Fast]).acl(&[Category::Stream]).keys(&[key(1, &[Ro])])
        .proxy(OneSlot),
    command(Id::Xpending, "xpending", -3, "5.0.0").flags(&[Readonly]).acl(&[Category::Stream])
        .tips(&["nondeterministic_output"]).keys(&[key(1, &[Ro, Access])]).proxy(OneSlot),
    command(Id::Xrange, "xrange", -4, "5.0.0").flags(&[Readonly]).acl(&[Category::Stream])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot),
    command(Id::Xread, "xread", -4, "5.0.0").flags(&[Readonly, Blocking]).acl(&[Category::Stream])
        .keys(&[behind("STREAMS", 1, -1, 2, &[Ro, Access])]).proxy(LeasedWith("block")),
    command(Id::Xreadgroup, "xreadgroup", -7, "5.0.0").flags(&[Write, Blocking]).acl(&[Category::Stream])
        .keys(&[behind("STREAMS", 4, -1, 2, &[Ro, Access])]).proxy(LeasedWith("block")).replay(Kept),
    command(Id::Xrevrange, "xrevrange", -4, "5.0.0").flags(&[Readonly]).acl(&[Category::Stream])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot),
    command(Id::Xsetid, "xsetid", -3, "5.0.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::Stream])
        .keys(&[key(1, &[Rw, Update])]).proxy(OneSlot).replay(Same),
    command(Id::Xtrim, "xtrim", -4, "5.0.0").flags(&[Write]).acl(&[Category::Stream])
        .tips(&["nondeterministic_output"]).keys(&[key(1, &[Rw, Delete])]).proxy(OneSlot).replay(Kept),
];
