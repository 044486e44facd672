//! Rows of the server commands: settings, statistics, persistence, replication, users.

use crate::id::Id;
use crate::row::Flag::{
    Admin, AllowBusy, Asking, Denyoom, Fast, Loading, NoAsyncLoading, NoMulti, Noscript, Readonly, Stale,
    Write,
};
use crate::row::KeyFlag::{Ow, Ro, Update};
use crate::row::Policy::{AnyNode, Config, EveryShard, Info, Leased, OneSlot, Refused};
use crate::row::Replay::{Kept, Same};
use crate::row::keyspec::key;
use crate::row::{Category, Command, MergeRule, Policy, command};

/// The home slots of databases belong to the topology.
const DATABASES: &str = "SWAPDB is not available through a proxy yet";
/// It would act on one node's process, of which the client sees none.
const PROCESS: &str = "this command acts on a single node; send it to the node itself";
/// Roles and slots are the control group's.
const TOPOLOGY: &str = "the topology is managed; use slotway ctl";
/// A replication stream is a node's.
const STREAM: &str = "replication goes to a node, not to a proxy";
/// It speaks of one node's inside, or names one as its target.
const ONE_NODE: &str = "this command is not available through a proxy; send it to a node";

#[rustfmt::skip]
pub(crate) const ROWS: &[Command] = &[
    command(Id::Acl, "acl", -2, "6.0.0"),
    command(Id::AclCat, "acl|cat", -2, "6.0.0").flags(&[Noscript, Loading, Stale]),
    command(Id::AclDeluser, "acl|deluser", -3, "6.0.0").flags(&[Admin, Noscript, Loading, Stale]),
    command(Id::AclDryrun, "acl|dryrun", -4, "7.0.0").flags(&[Admin, Noscript, Loading, Stale]),
    command(Id::AclGenpass, "acl|genpass", -2, "6.0.0").flags(&[Noscript, Loading, Stale]),
    command(Id::AclGetuser, "acl|getuser", 3, "6.0.0").flags(&[Admin, Noscript, Loading, Stale]),
    command(Id::AclHelp, "acl|help", 2, "6.0.0").flags(&[Loading, Stale]),
    command(Id::AclList, "acl|list", 2, "6.0.0").flags(&[Admin, Noscript, Loading, Stale]),
    command(Id::AclLoad, "acl|load", 2, "6.0.0").flags(&[Admin, Noscript, Loading, Stale]),
    command(Id::AclLog, "acl|log", -2, "6.0.0").flags(&[Admin, Noscript, Loading, Stale]),
    command(Id::AclSave, "acl|save", 2, "6.0.0").flags(&[Admin, Noscript, Loading, Stale]),
    command(Id::AclSetuser, "acl|setuser", -3, "6.0.0").flags(&[Admin, Noscript, Loading, Stale]),
    command(Id::AclUsers, "acl|users", 2, "6.0.0").flags(&[Admin, Noscript, Loading, Stale]),
    command(Id::AclWhoami, "acl|whoami", 2, "6.0.0").flags(&[Noscript, Loading, Stale]),
    command(Id::Bgrewriteaof, "bgrewriteaof", 1, "1.0.0").flags(&[Admin, Noscript, NoAsyncLoading])
        .proxy(EveryShard(MergeRule::First)).here(),
    command(Id::Bgsave, "bgsave", -1, "1.0.0").flags(&[Admin, Noscript, NoAsyncLoading])
        .proxy(EveryShard(MergeRule::First)).here(),
    command(Id::Command, "command", -1, "2.8.13").flags(&[Loading, Stale]).acl(&[Category::Connection])
        .tips(&["nondeterministic_output_order"]).here(),
    command(Id::CommandCount, "command|count", 2, "2.8.13").flags(&[Loading, Stale]).acl(&[Category::Connection])
        .here(),
    command(Id::CommandDocs, "command|docs", -2, "7.0.0").flags(&[Loading, Stale]).acl(&[Category::Connection])
        .tips(&["nondeterministic_output_order"]).here(),
    command(Id::CommandGetkeys, "command|getkeys", -4, "2.8.13").flags(&[Loading, Stale]).acl(&[Category::Connection])
        .here(),
    command(Id::CommandGetkeysandflags, "command|getkeysandflags", -4, "7.0.0").flags(&[Loading, Stale])
        .acl(&[Category::Connection]).here(),
    command(Id::CommandHelp, "command|help", 2, "5.0.0").flags(&[Loading, Stale]).acl(&[Category::Connection]).here(),
    command(Id::CommandInfo, "command|info", -2, "2.8.13").flags(&[Loading, Stale]).acl(&[Category::Connection])
        .tips(&["nondeterministic_output_order"]).here(),
    command(Id::CommandList, "command|list", -2, "7.0.0").flags(&[Loading, Stale]).acl(&[Category::Connection])
        .tips(&["nondeterministic_output_order"]).here(),
    command(Id::Config, "config", -2, "2.0.0").here(),
    command(Id::ConfigGet, "config|get", -3, "2.0.0").flags(&[Admin, Noscript, Loading, Stale]).proxy(Config).here(),
    command(Id::ConfigHelp, "config|help", 2, "5.0.0").flags(&[Loading, Stale]).here(),
    command(Id::ConfigResetstat, "config|resetstat", 2, "2.0.0").flags(&[Admin, Noscript, Loading, Stale])
        .proxy(EveryShard(MergeRule::AllOk)).here(),
    command(Id::ConfigRewrite, "config|rewrite", 2, "2.8.0").flags(&[Admin, Noscript, Loading, Stale])
        .proxy(EveryShard(MergeRule::AllOk)),
    command(Id::ConfigSet, "config|set", -4, "2.0.0").flags(&[Admin, Noscript, Loading, Stale])
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]).proxy(Config).here(),
    command(Id::Dbsize, "dbsize", 1, "1.0.0").flags(&[Readonly, Fast]).acl(&[Category::Keyspace])
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"]).proxy(EveryShard(MergeRule::Sum)).here(),
    command(Id::Debug, "debug", -2, "1.0.0").flags(&[Admin, Noscript, Loading, Stale]).proxy(Refused(PROCESS)).here(),
    command(Id::Failover, "failover", -1, "6.2.0").flags(&[Admin, Noscript, Stale]).proxy(Refused(TOPOLOGY)).here(),
    command(Id::Flushall, "flushall", -1, "1.0.0").flags(&[Write]).acl(&[Category::Keyspace, Category::Dangerous])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]).proxy(EveryShard(MergeRule::AllOk))
        .replay(Same).here(),
    command(Id::Flushdb, "flushdb", -1, "1.0.0").flags(&[Write]).acl(&[Category::Keyspace, Category::Dangerous])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]).proxy(EveryShard(MergeRule::AllOk))
        .replay(Same).here(),
    command(Id::Info, "info", -1, "1.0.0").flags(&[Loading, Stale]).acl(&[Category::Dangerous])
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]).proxy(Info).here(),
    command(Id::Lastsave, "lastsave", 1, "1.0.0").flags(&[Loading, Stale, Fast])
        .acl(&[Category::Admin, Category::Dangerous]).tips(&["nondeterministic_output"])
        .proxy(EveryShard(MergeRule::Min)).here(),
    command(Id::Latency, "latency", -2, "2.8.13").here(),
    command(Id::LatencyDoctor, "latency|doctor", 2, "2.8.13").flags(&[Admin, Noscript, Loading, Stale])
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
        .proxy(Policy::Latency).here(),
    command(Id::LatencyGraph, "latency|graph", 3, "2.8.13").flags(&[Admin, Noscript, Loading, Stale])
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
        .proxy(Policy::Latency).here(),
    command(Id::LatencyHelp, "latency|help", 2, "2.8.13").flags(&[Loading, Stale]).here(),
    command(Id::LatencyHistogram, "latency|histogram", -2, "7.0.0").flags(&[Admin, Noscript, Loading, Stale])
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
        .proxy(Policy::Latency).here(),
    command(Id::LatencyHistory, "latency|history", 3, "2.8.13").flags(&[Admin, Noscript, Loading, Stale])
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
        .proxy(Policy::Latency).here(),
    command(Id::LatencyLatest, "latency|latest", 2, "2.8.13").flags(&[Admin, Noscript, Loading, Stale])
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
        .proxy(Policy::Latency).here(),
    command(Id::LatencyReset, "latency|reset", -2, "2.8.13").flags(&[Admin, Noscript, Loading, Stale])
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .proxy(EveryShard(MergeRule::Sum)).here(),
    command(Id::Lolwut, "lolwut", -1, "5.0.0").flags(&[Readonly, Fast]),
    command(Id::Memory, "memory", -2, "4.0.0").here(),
    command(Id::MemoryDoctor, "memory|doctor", 2, "4.0.0")
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]).proxy(AnyNode).here(),
    command(Id::MemoryHelp, "memory|help", 2, "4.0.0").flags(&[Loading, Stale]).here(),
    command(Id::MemoryMallocStats, "memory|malloc-stats", 2, "4.0.0")
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]).proxy(AnyNode).here(),
    command(Id::MemoryPurge, "memory|purge", 2, "4.0.0")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]).proxy(EveryShard(MergeRule::AllOk)).here(),
    command(Id::MemoryStats, "memory|stats", 2, "4.0.0")
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .proxy(EveryShard(MergeRule::SumFields)).here(),
    command(Id::MemoryUsage, "memory|usage", -3, "4.0.0").flags(&[Readonly]).keys(&[key(2, &[Ro])]).proxy(OneSlot).here(),
    command(Id::Module, "module", -2, "4.0.0"),
    command(Id::ModuleHelp, "module|help", 2, "5.0.0").flags(&[Loading, Stale]),
    command(Id::ModuleList, "module|list", 2, "4.0.0").flags(&[Admin, Noscript])
        .tips(&["nondeterministic_output_order"]),
    command(Id::ModuleLoad, "module|load", -3, "4.0.0").flags(&[Admin, Noscript, NoAsyncLoading])
        .proxy(Refused(ONE_NODE)),
    command(Id::ModuleLoadex, "module|loadex", -3, "7.0.0").flags(&[Admin, Noscript, NoAsyncLoading])
        .proxy(Refused(ONE_NODE)),
    command(Id::ModuleUnload, "module|unload", 3, "4.0.0").flags(&[Admin, Noscript, NoAsyncLoading])
        .proxy(Refused(ONE_NODE)),
    command(Id::Monitor, "monitor", 1, "1.0.0").flags(&[Admin, Noscript, Loading, Stale]).proxy(Leased),
    command(Id::Psync, "psync", -3, "2.8.0").flags(&[Admin, Noscript, NoAsyncLoading, NoMulti]).proxy(Refused(STREAM))
        .here(),
    command(Id::Replconf, "replconf", -1, "3.0.0").flags(&[Admin, Noscript, Loading, Stale, AllowBusy])
        .proxy(Refused(STREAM)).here(),
    command(Id::Replicaof, "replicaof", 3, "5.0.0").flags(&[Admin, Noscript, Stale, NoAsyncLoading])
        .proxy(Refused(TOPOLOGY)).here(),
    command(Id::RestoreAsking, "restore-asking", -4, "3.0.0").flags(&[Write, Denyoom, Asking])
        .acl(&[Category::Keyspace, Category::Dangerous]).keys(&[key(1, &[Ow, Update])]).proxy(Refused(ONE_NODE))
        .replay(Kept).here(),
    command(Id::Role, "role", 1, "2.8.12").flags(&[Noscript, Loading, Stale, Fast])
        .acl(&[Category::Admin, Category::Dangerous]).here(),
    command(Id::Save, "save", 1, "1.0.0").flags(&[Admin, Noscript, NoAsyncLoading, NoMulti])
        .proxy(EveryShard(MergeRule::AllOk)).here(),
    command(Id::Shutdown, "shutdown", -1, "1.0.0").flags(&[Admin, Noscript, Loading, Stale, NoMulti, AllowBusy])
        .proxy(Refused(PROCESS)).here(),
    command(Id::Slaveof, "slaveof", 3, "1.0.0").flags(&[Admin, Noscript, Stale, NoAsyncLoading]).deprecated("5.0.0")
        .proxy(Refused(TOPOLOGY)).here(),
    command(Id::Slowlog, "slowlog", -2, "2.2.12").here(),
    command(Id::SlowlogGet, "slowlog|get", -2, "2.2.12").flags(&[Admin, Loading, Stale])
        .tips(&["request_policy:all_nodes", "nondeterministic_output"])
        .proxy(EveryShard(MergeRule::Concat)).here(),
    command(Id::SlowlogHelp, "slowlog|help", 2, "6.2.0").flags(&[Loading, Stale]).here(),
    command(Id::SlowlogLen, "slowlog|len", 2, "2.2.12").flags(&[Admin, Loading, Stale])
        .tips(&["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"])
        .proxy(EveryShard(MergeRule::Sum)).here(),
    command(Id::SlowlogReset, "slowlog|reset", 2, "2.2.12").flags(&[Admin, Loading, Stale])
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .proxy(EveryShard(MergeRule::AllOk)).here(),
    command(Id::Swapdb, "swapdb", 3, "4.0.0").flags(&[Write, Fast]).acl(&[Category::Keyspace, Category::Dangerous])
        .proxy(Refused(DATABASES)).replay(Same).here(),
    command(Id::Sync, "sync", 1, "1.0.0").flags(&[Admin, Noscript, NoAsyncLoading, NoMulti]).proxy(Refused(STREAM))
        .here(),
    command(Id::Time, "time", 1, "2.6.0").flags(&[Loading, Stale, Fast]).tips(&["nondeterministic_output"]).here(),
];
