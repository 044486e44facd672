//! Rows of scripts and functions. A script counts as what its keys say; that it writes is known only when it does.

use crate::id::Id;
use crate::row::Flag::{
    AllowBusy, Denyoom, Loading, MayReplicate, NoMandatoryKeys, Noscript, Readonly, SkipMonitor, Stale, Write,
};
use crate::row::KeyFlag::{Access, Ro, Rw, Update};
use crate::row::Policy::{AnyNode, EveryShard, OneSlot, Refused};
use crate::row::Replay::Same;
use crate::row::keyspec::counted;
use crate::row::{Category, Command, MergeRule, command};

/// It speaks of one node's inside, or names one as its target.
const ONE_NODE: &str = "this command is not available through a proxy; send it to a node";

#[rustfmt::skip]
pub(crate) const ROWS: &[Command] = &[
    command(Id::Eval, "eval", -3, "2.6.0").flags(&[Noscript, Stale, SkipMonitor, MayReplicate, NoMandatoryKeys])
        .acl(&[Category::Scripting]).keys(&[counted(2, &[Rw, Access, Update])]).proxy(OneSlot),
    command(Id::EvalRo, "eval_ro", -3, "7.0.0").flags(&[Readonly, Noscript, Stale, SkipMonitor, NoMandatoryKeys])
        .acl(&[Category::Scripting]).keys(&[counted(2, &[Ro, Access])]).proxy(OneSlot),
    command(Id::Evalsha, "evalsha", -3, "2.6.0").flags(&[Noscript, Stale, SkipMonitor, MayReplicate, NoMandatoryKeys])
        .acl(&[Category::Scripting]).keys(&[counted(2, &[Rw, Access, Update])]).proxy(OneSlot),
    command(Id::EvalshaRo, "evalsha_ro", -3, "7.0.0")
        .flags(&[Readonly, Noscript, Stale, SkipMonitor, NoMandatoryKeys]).acl(&[Category::Scripting])
        .keys(&[counted(2, &[Ro, Access])]).proxy(OneSlot),
    command(Id::Fcall, "fcall", -3, "7.0.0").flags(&[Noscript, Stale, SkipMonitor, MayReplicate, NoMandatoryKeys])
        .acl(&[Category::Scripting]).keys(&[counted(2, &[Rw, Access, Update])]).proxy(OneSlot),
    command(Id::FcallRo, "fcall_ro", -3, "7.0.0").flags(&[Readonly, Noscript, Stale, SkipMonitor, NoMandatoryKeys])
        .acl(&[Category::Scripting]).keys(&[counted(2, &[Ro, Access])]).proxy(OneSlot),
    command(Id::Function, "function", -2, "7.0.0"),
    command(Id::FunctionDelete, "function|delete", 3, "7.0.0").flags(&[Write, Noscript]).acl(&[Category::Scripting])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]).proxy(EveryShard(MergeRule::AllOk))
        .replay(Same),
    command(Id::FunctionDump, "function|dump", 2, "7.0.0").flags(&[Noscript]).acl(&[Category::Scripting])
        .proxy(AnyNode),
    command(Id::FunctionFlush, "function|flush", -2, "7.0.0").flags(&[Write, Noscript]).acl(&[Category::Scripting])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]).proxy(EveryShard(MergeRule::AllOk))
        .replay(Same),
    command(Id::FunctionHelp, "function|help", 2, "7.0.0").flags(&[Loading, Stale]).acl(&[Category::Scripting]),
    command(Id::FunctionKill, "function|kill", 2, "7.0.0").flags(&[Noscript, AllowBusy]).acl(&[Category::Scripting])
        .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]).proxy(EveryShard(MergeRule::AnyOk)),
    command(Id::FunctionList, "function|list", -2, "7.0.0").flags(&[Noscript]).acl(&[Category::Scripting])
        .tips(&["nondeterministic_output_order"]).proxy(AnyNode),
    command(Id::FunctionLoad, "function|load", -3, "7.0.0").flags(&[Write, Denyoom, Noscript])
        .acl(&[Category::Scripting]).tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .proxy(EveryShard(MergeRule::First)).replay(Same),
    command(Id::FunctionRestore, "function|restore", -3, "7.0.0").flags(&[Write, Denyoom, Noscript])
        .acl(&[Category::Scripting]).tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .proxy(EveryShard(MergeRule::AllOk)).replay(Same),
    command(Id::FunctionStats, "function|stats", 2, "7.0.0").flags(&[Noscript, AllowBusy]).acl(&[Category::Scripting])
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]).proxy(AnyNode),
    command(Id::Script, "script", -2, "2.6.0"),
    command(Id::ScriptDebug, "script|debug", 3, "3.2.0").flags(&[Noscript]).acl(&[Category::Scripting])
        .proxy(Refused(ONE_NODE)),
    command(Id::ScriptExists, "script|exists", -3, "2.6.0").flags(&[Noscript]).acl(&[Category::Scripting])
        .tips(&["request_policy:all_shards", "response_policy:agg_logical_and"]).proxy(EveryShard(MergeRule::Min)),
    command(Id::ScriptFlush, "script|flush", -2, "2.6.0").flags(&[Noscript]).acl(&[Category::Scripting])
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]).proxy(EveryShard(MergeRule::AllOk)),
    command(Id::ScriptHelp, "script|help", 2, "5.0.0").flags(&[Loading, Stale]).acl(&[Category::Scripting]),
    command(Id::ScriptKill, "script|kill", 2, "2.6.0").flags(&[Noscript, AllowBusy]).acl(&[Category::Scripting])
        .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]).proxy(EveryShard(MergeRule::AnyOk)),
    command(Id::ScriptLoad, "script|load", 3, "2.6.0").flags(&[Noscript, Stale]).acl(&[Category::Scripting])
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]).proxy(EveryShard(MergeRule::First)),
];
