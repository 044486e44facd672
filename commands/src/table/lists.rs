//! Rows of the list commands.

use crate::id::Id;
use crate::row::Flag::{Blocking, Denyoom, Fast, Noscript, Readonly, Write};
use crate::row::KeyFlag::{Access, Delete, Insert, Ro, Rw, Update};
use crate::row::Policy::{Leased, OneSlot};
use crate::row::Replay::{Kept, Same};
use crate::row::keyspec::{counted, key, keys};
use crate::row::{Category, Command, command};

#[rustfmt::skip]
pub(crate) const ROWS: &[Command] = &[
    command(Id::Blmove, "blmove", 6, "6.2.0").flags(&[Write, Denyoom, Noscript, Blocking]).acl(&[Category::List])
        .keys(&[key(1, &[Rw, Access, Delete]), key(2, &[Rw, Insert])]).proxy(Leased).replay(Kept),
    command(Id::Blmpop, "blmpop", -5, "7.0.0").flags(&[Write, Blocking]).acl(&[Category::List])
        .keys(&[counted(2, &[Rw, Access, Delete])]).proxy(Leased).replay(Kept),
    command(Id::Blpop, "blpop", -3, "2.0.0").flags(&[Write, Noscript, Blocking]).acl(&[Category::List])
        .keys(&[keys(1, -2, 1, &[Rw, Access, Delete])]).proxy(Leased).replay(Kept),
    command(Id::Brpop, "brpop", -3, "2.0.0").flags(&[Write, Noscript, Blocking]).acl(&[Category::List])
        .keys(&[keys(1, -2, 1, &[Rw, Access, Delete])]).proxy(Leased).replay(Kept),
    command(Id::Brpoplpush, "brpoplpush", 4, "2.2.0").flags(&[Write, Denyoom, Noscript, Blocking])
        .acl(&[Category::List]).deprecated("6.2.0").keys(&[key(1, &[Rw, Access, Delete]), key(2, &[Rw, Insert])])
        .proxy(Leased).replay(Kept),
    command(Id::Lindex, "lindex", 3, "1.0.0").flags(&[Readonly]).acl(&[Category::List]).keys(&[key(1, &[Ro, Access])])
        .proxy(OneSlot).here(),
    command(Id::Linsert, "linsert", 5, "2.2.0").flags(&[Write, Denyoom]).acl(&[Category::List])
        .keys(&[key(1, &[Rw, Insert])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Llen, "llen", 2, "1.0.0").flags(&[Readonly, Fast]).acl(&[Category::List]).keys(&[key(1, &[Ro])])
        .proxy(OneSlot).here(),
    command(Id::Lmove, "lmove", 5, "6.2.0").flags(&[Write, Denyoom]).acl(&[Category::List])
        .keys(&[key(1, &[Rw, Access, Delete]), key(2, &[Rw, Insert])]).proxy(OneSlot)
        .replay(Kept).here(),
    command(Id::Lmpop, "lmpop", -4, "7.0.0").flags(&[Write]).acl(&[Category::List])
        .keys(&[counted(1, &[Rw, Access, Delete])]).proxy(OneSlot).replay(Kept).here(),
    command(Id::Lpop, "lpop", -2, "1.0.0").flags(&[Write, Fast]).acl(&[Category::List])
        .keys(&[key(1, &[Rw, Access, Delete])]).proxy(OneSlot).replay(Kept).here(),
    command(Id::Lpos, "lpos", -3, "6.0.6").flags(&[Readonly]).acl(&[Category::List]).keys(&[key(1, &[Ro, Access])])
        .proxy(OneSlot).here(),
    command(Id::Lpush, "lpush", -3, "1.0.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::List])
        .keys(&[key(1, &[Rw, Insert])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Lpushx, "lpushx", -3, "2.2.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::List])
        .keys(&[key(1, &[Rw, Insert])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Lrange, "lrange", 4, "1.0.0").flags(&[Readonly]).acl(&[Category::List]).keys(&[key(1, &[Ro, Access])])
        .proxy(OneSlot).here(),
    command(Id::Lrem, "lrem", 4, "1.0.0").flags(&[Write]).acl(&[Category::List]).keys(&[key(1, &[Rw, Delete])])
        .proxy(OneSlot).replay(Same).here(),
    command(Id::Lset, "lset", 4, "1.0.0").flags(&[Write, Denyoom]).acl(&[Category::List])
        .keys(&[key(1, &[Rw, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Ltrim, "ltrim", 4, "1.0.0").flags(&[Write]).acl(&[Category::List]).keys(&[key(1, &[Rw, Delete])])
        .proxy(OneSlot).replay(Same).here(),
    command(Id::Rpop, "rpop", -2, "1.0.0").flags(&[Write, Fast]).acl(&[Category::List])
        .keys(&[key(1, &[Rw, Access, Delete])]).proxy(OneSlot).replay(Kept).here(),
    command(Id::Rpoplpush, "rpoplpush", 3, "1.2.0").flags(&[Write, Denyoom]).acl(&[Category::List])
        .deprecated("6.2.0").keys(&[key(1, &[Rw, Access, Delete]), key(2, &[Rw, Insert])]).proxy(OneSlot)
        .replay(Kept).here(),
    command(Id::Rpush, "rpush", -3, "1.0.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::List])
        .keys(&[key(1, &[Rw, Insert])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Rpushx, "rpushx", -3, "2.2.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::List])
        .keys(&[key(1, &[Rw, Insert])]).proxy(OneSlot).replay(Same).here(),
];
