//! Rows of the commands that work on keys of every type.

use crate::id::Id;
use crate::row::Flag::{Blocking, Denyoom, Fast, Loading, Readonly, Stale, Write};
use crate::row::KeyFlag::{Access, Delete, Incomplete, Insert, Ow, Rm, Ro, Rw, Update};
use crate::row::Policy::{EveryShard, OneSlot, Refused, Scan, Split};
use crate::row::Replay::{Kept, Same};
use crate::row::keyspec::{behind, key, keys, unknown};
use crate::row::{Category, Command, MergeRule, Search, SplitRule, command};

/// It speaks of one node's inside, or names one as its target.
const ONE_NODE: &str = "this command is not available through a proxy; send it to a node";

#[rustfmt::skip]
pub(crate) const ROWS: &[Command] = &[
    command(Id::Copy, "copy", -3, "6.2.0").flags(&[Write, Denyoom]).acl(&[Category::Keyspace])
        .keys(&[key(1, &[Ro, Access]), key(2, &[Ow, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Del, "del", -2, "1.0.0").flags(&[Write]).acl(&[Category::Keyspace])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]).keys(&[keys(1, -1, 1, &[Rm, Delete])])
        .proxy(Split(SplitRule::Sum)).replay(Same).here(),
    command(Id::Dump, "dump", 2, "2.6.0").flags(&[Readonly]).acl(&[Category::Keyspace])
        .tips(&["nondeterministic_output"]).keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Exists, "exists", -2, "1.0.0").flags(&[Readonly, Fast]).acl(&[Category::Keyspace])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]).keys(&[keys(1, -1, 1, &[Ro])])
        .proxy(Split(SplitRule::Sum)).here(),
    command(Id::Expire, "expire", -3, "1.0.0").flags(&[Write, Fast]).acl(&[Category::Keyspace])
        .keys(&[key(1, &[Rw, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Expireat, "expireat", -3, "1.2.0").flags(&[Write, Fast]).acl(&[Category::Keyspace])
        .keys(&[key(1, &[Rw, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Expiretime, "expiretime", 2, "7.0.0").flags(&[Readonly, Fast]).acl(&[Category::Keyspace])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Keys, "keys", 2, "1.0.0").flags(&[Readonly]).acl(&[Category::Keyspace, Category::Dangerous])
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"]).proxy(EveryShard(MergeRule::Concat))
        .here(),
    command(Id::Migrate, "migrate", -6, "2.6.0").flags(&[Write]).acl(&[Category::Keyspace, Category::Dangerous])
        .tips(&["nondeterministic_output"])
        .keys(&[key(3, &[Rw, Access, Delete]), behind("KEYS", -2, -1, 0, &[Rw, Access, Delete, Incomplete])])
        .search(Search::Migrate).proxy(Refused(ONE_NODE)).replay(Kept).here(),
    command(Id::Move, "move", 3, "1.0.0").flags(&[Write, Fast]).acl(&[Category::Keyspace])
        .keys(&[key(1, &[Rw, Access, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Object, "object", -2, "2.2.3").here(),
    command(Id::ObjectEncoding, "object|encoding", 3, "2.2.3").flags(&[Readonly]).acl(&[Category::Keyspace])
        .tips(&["nondeterministic_output"]).keys(&[key(2, &[Ro])]).proxy(OneSlot).here(),
    command(Id::ObjectFreq, "object|freq", 3, "4.0.0").flags(&[Readonly]).acl(&[Category::Keyspace])
        .tips(&["nondeterministic_output"]).keys(&[key(2, &[Ro])]).proxy(OneSlot).here(),
    command(Id::ObjectHelp, "object|help", 2, "6.2.0").flags(&[Loading, Stale]).acl(&[Category::Keyspace]).here(),
    command(Id::ObjectIdletime, "object|idletime", 3, "2.2.3").flags(&[Readonly]).acl(&[Category::Keyspace])
        .tips(&["nondeterministic_output"]).keys(&[key(2, &[Ro])]).proxy(OneSlot).here(),
    command(Id::ObjectRefcount, "object|refcount", 3, "2.2.3").flags(&[Readonly]).acl(&[Category::Keyspace])
        .tips(&["nondeterministic_output"]).keys(&[key(2, &[Ro])]).proxy(OneSlot).here(),
    command(Id::Persist, "persist", 2, "2.2.0").flags(&[Write, Fast]).acl(&[Category::Keyspace])
        .keys(&[key(1, &[Rw, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Pexpire, "pexpire", -3, "2.6.0").flags(&[Write, Fast]).acl(&[Category::Keyspace])
        .keys(&[key(1, &[Rw, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Pexpireat, "pexpireat", -3, "2.6.0").flags(&[Write, Fast]).acl(&[Category::Keyspace])
        .keys(&[key(1, &[Rw, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Pexpiretime, "pexpiretime", 2, "7.0.0").flags(&[Readonly, Fast]).acl(&[Category::Keyspace])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Pttl, "pttl", 2, "2.6.0").flags(&[Readonly, Fast]).acl(&[Category::Keyspace])
        .tips(&["nondeterministic_output"]).keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Randomkey, "randomkey", 1, "1.0.0").flags(&[Readonly]).acl(&[Category::Keyspace])
        .tips(&["request_policy:all_shards", "nondeterministic_output"]).proxy(EveryShard(MergeRule::Random)).here(),
    command(Id::Rename, "rename", 3, "1.0.0").flags(&[Write]).acl(&[Category::Keyspace])
        .keys(&[key(1, &[Rw, Access, Delete]), key(2, &[Ow, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Renamenx, "renamenx", 3, "1.0.0").flags(&[Write, Fast]).acl(&[Category::Keyspace])
        .keys(&[key(1, &[Rw, Access, Delete]), key(2, &[Ow, Insert])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Restore, "restore", -4, "2.6.0").flags(&[Write, Denyoom])
        .acl(&[Category::Keyspace, Category::Dangerous]).keys(&[key(1, &[Ow, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Scan, "scan", -2, "2.8.0").flags(&[Readonly]).acl(&[Category::Keyspace])
        .tips(&["nondeterministic_output", "request_policy:special"]).proxy(Scan).here(),
    command(Id::Sort, "sort", -2, "1.0.0").flags(&[Write, Denyoom])
        .acl(&[Category::Set, Category::Sortedset, Category::List, Category::Dangerous])
        .keys(&[key(1, &[Ro, Access]), unknown(&[Ro, Access]), unknown(&[Ow, Update])]).search(Search::Sort)
        .proxy(OneSlot).replay(Kept).here(),
    command(Id::SortRo, "sort_ro", -2, "7.0.0").flags(&[Readonly])
        .acl(&[Category::Set, Category::Sortedset, Category::List, Category::Dangerous])
        .keys(&[key(1, &[Ro, Access]), unknown(&[Ro, Access])]).search(Search::SortRo).proxy(OneSlot)
        .here(),
    command(Id::Touch, "touch", -2, "3.2.1").flags(&[Readonly, Fast]).acl(&[Category::Keyspace])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]).keys(&[keys(1, -1, 1, &[Ro])])
        .proxy(Split(SplitRule::Sum)).here(),
    command(Id::Ttl, "ttl", 2, "1.0.0").flags(&[Readonly, Fast]).acl(&[Category::Keyspace])
        .tips(&["nondeterministic_output"]).keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Type, "type", 2, "1.0.0").flags(&[Readonly, Fast]).acl(&[Category::Keyspace]).keys(&[key(1, &[Ro])])
        .proxy(OneSlot).here(),
    command(Id::Unlink, "unlink", -2, "4.0.0").flags(&[Write, Fast]).acl(&[Category::Keyspace])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]).keys(&[keys(1, -1, 1, &[Rm, Delete])])
        .proxy(Split(SplitRule::Sum)).replay(Same).here(),
    command(Id::Wait, "wait", 3, "3.0.0").flags(&[Blocking]).acl(&[Category::Connection])
        .tips(&["request_policy:all_shards", "response_policy:agg_min"]).proxy(EveryShard(MergeRule::Min)).here(),
    command(Id::Waitaof, "waitaof", 4, "7.2.0").flags(&[Blocking]).acl(&[Category::Connection])
        .tips(&["request_policy:all_shards", "response_policy:agg_min"]).proxy(EveryShard(MergeRule::Min)).here(),
];
