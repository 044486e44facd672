//! Rows of the sorted set commands.

use crate::id::Id;
use crate::row::Flag::{Blocking, Denyoom, Fast, Noscript, Readonly, Write};
use crate::row::KeyFlag::{Access, Delete, Ow, Ro, Rw, Update};
use crate::row::Policy::{Leased, OneSlot};
use crate::row::Replay::{Kept, Same};
use crate::row::keyspec::{counted, key, keys};
use crate::row::{Category, Command, command};

#[rustfmt::skip]
pub(crate) const ROWS: &[Command] = &[
    command(Id::Bzmpop, "bzmpop", -5, "7.0.0").flags(&[Write, Blocking]).acl(&[Category::Sortedset])
        .keys(&[counted(2, &[Rw, Access, Delete])]).proxy(Leased).replay(Kept),
    command(Id::Bzpopmax, "bzpopmax", -3, "5.0.0").flags(&[Write, Noscript, Blocking, Fast])
        .acl(&[Category::Sortedset]).keys(&[keys(1, -2, 1, &[Rw, Access, Delete])]).proxy(Leased).replay(Kept),
    command(Id::Bzpopmin, "bzpopmin", -3, "5.0.0").flags(&[Write, Noscript, Blocking, Fast])
        .acl(&[Category::Sortedset]).keys(&[keys(1, -2, 1, &[Rw, Access, Delete])]).proxy(Leased).replay(Kept),
    command(Id::Zadd, "zadd", -4, "1.2.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::Sortedset])
        .keys(&[key(1, &[Rw, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Zcard, "zcard", 2, "1.2.0").flags(&[Readonly, Fast]).acl(&[Category::Sortedset])
        .keys(&[key(1, &[Ro])]).proxy(OneSlot).here(),
    command(Id::Zcount, "zcount", 4, "2.0.0").flags(&[Readonly, Fast]).acl(&[Category::Sortedset])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Zdiff, "zdiff", -3, "6.2.0").flags(&[Readonly]).acl(&[Category::Sortedset])
        .keys(&[counted(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Zdiffstore, "zdiffstore", -4, "6.2.0").flags(&[Write, Denyoom]).acl(&[Category::Sortedset])
        .keys(&[key(1, &[Ow, Update]), counted(2, &[Ro, Access])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Zincrby, "zincrby", 4, "1.2.0").flags(&[Write, Denyoom, Fast]).acl(&[Category::Sortedset])
        .keys(&[key(1, &[Rw, Access, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Zinter, "zinter", -3, "6.2.0").flags(&[Readonly]).acl(&[Category::Sortedset])
        .keys(&[counted(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Zintercard, "zintercard", -3, "7.0.0").flags(&[Readonly]).acl(&[Category::Sortedset])
        .keys(&[counted(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Zinterstore, "zinterstore", -4, "2.0.0").flags(&[Write, Denyoom]).acl(&[Category::Sortedset])
        .keys(&[key(1, &[Ow, Update]), counted(2, &[Ro, Access])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Zlexcount, "zlexcount", 4, "2.8.9").flags(&[Readonly, Fast]).acl(&[Category::Sortedset])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Zmpop, "zmpop", -4, "7.0.0").flags(&[Write]).acl(&[Category::Sortedset])
        .keys(&[counted(1, &[Rw, Access, Delete])]).proxy(OneSlot).replay(Kept).here(),
    command(Id::Zmscore, "zmscore", -3, "6.2.0").flags(&[Readonly, Fast]).acl(&[Category::Sortedset])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Zpopmax, "zpopmax", -2, "5.0.0").flags(&[Write, Fast]).acl(&[Category::Sortedset])
        .keys(&[key(1, &[Rw, Access, Delete])]).proxy(OneSlot).replay(Kept).here(),
    command(Id::Zpopmin, "zpopmin", -2, "5.0.0").flags(&[Write, Fast]).acl(&[Category::Sortedset])
        .keys(&[key(1, &[Rw, Access, Delete])]).proxy(OneSlot).replay(Kept).here(),
    command(Id::Zrandmember, "zrandmember", -2, "6.2.0").flags(&[Readonly]).acl(&[Category::Sortedset])
        .tips(&["nondeterministic_output"]).keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Zrange, "zrange", -4, "1.2.0").flags(&[Readonly]).acl(&[Category::Sortedset])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Zrangebylex, "zrangebylex", -4, "2.8.9").flags(&[Readonly]).acl(&[Category::Sortedset])
        .deprecated("6.2.0").keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Zrangebyscore, "zrangebyscore", -4, "1.0.5").flags(&[Readonly]).acl(&[Category::Sortedset])
        .deprecated("6.2.0").keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Zrangestore, "zrangestore", -5, "6.2.0").flags(&[Write, Denyoom]).acl(&[Category::Sortedset])
        .keys(&[key(1, &[Ow, Update]), key(2, &[Ro, Access])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Zrank, "zrank", -3, "2.0.0").flags(&[Readonly, Fast]).acl(&[Category::Sortedset])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Zrem, "zrem", -3, "1.2.0").flags(&[Write, Fast]).acl(&[Category::Sortedset])
        .keys(&[key(1, &[Rw, Delete])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Zremrangebylex, "zremrangebylex", 4, "2.8.9").flags(&[Write]).acl(&[Category::Sortedset])
        .keys(&[key(1, &[Rw, Delete])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Zremrangebyrank, "zremrangebyrank", 4, "2.0.0").flags(&[Write]).acl(&[Category::Sortedset])
        .keys(&[key(1, &[Rw, Delete])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Zremrangebyscore, "zremrangebyscore", 4, "1.2.0").flags(&[Write]).acl(&[Category::Sortedset])
        .keys(&[key(1, &[Rw, Delete])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Zrevrange, "zrevrange", -4, "1.2.0").flags(&[Readonly]).acl(&[Category::Sortedset])
        .deprecated("6.2.0").keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Zrevrangebylex, "zrevrangebylex", -4, "2.8.9").flags(&[Readonly]).acl(&[Category::Sortedset])
        .deprecated("6.2.0").keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Zrevrangebyscore, "zrevrangebyscore", -4, "2.2.0").flags(&[Readonly]).acl(&[Category::Sortedset])
        .deprecated("6.2.0").keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Zrevrank, "zrevrank", -3, "2.0.0").flags(&[Readonly, Fast]).acl(&[Category::Sortedset])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Zscan, "zscan", -3, "2.8.0").flags(&[Readonly]).acl(&[Category::Sortedset])
        .tips(&["nondeterministic_output"]).keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Zscore, "zscore", 3, "1.2.0").flags(&[Readonly, Fast]).acl(&[Category::Sortedset])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Zunion, "zunion", -3, "6.2.0").flags(&[Readonly]).acl(&[Category::Sortedset])
        .keys(&[counted(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Zunionstore, "zunionstore", -4, "2.0.0").flags(&[Write, Denyoom]).acl(&[Category::Sortedset])
        .keys(&[key(1, &[Ow, Update]), counted(2, &[Ro, Access])]).proxy(OneSlot).replay(Same).here(),
];
