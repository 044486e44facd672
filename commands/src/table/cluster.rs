//! Rows of the cluster commands. A proxy answers those that describe the cluster and refuses those that change it:
//! the topology belongs to the control group.

use crate::id::Id;
use crate::row::Flag::{Admin, Fast, Loading, NoAsyncLoading, Noscript, Stale};
use crate::row::Policy::{ClientState, NamedSlot, Refused};
use crate::row::{Category, Command, command};

/// Roles and slots are the control group's.
const TOPOLOGY: &str = "the topology is managed; use slotway ctl";

#[rustfmt::skip]
pub(crate) const ROWS: &[Command] = &[
    command(Id::Asking, "asking", 1, "3.0.0").flags(&[Fast]).acl(&[Category::Connection]).proxy(ClientState)
        .here(),
    command(Id::Cluster, "cluster", -2, "3.0.0").here(),
    command(Id::ClusterAddslots, "cluster|addslots", -3, "3.0.0").flags(&[Admin, Stale, NoAsyncLoading])
        .proxy(Refused(TOPOLOGY)),
    command(Id::ClusterAddslotsrange, "cluster|addslotsrange", -4, "7.0.0").flags(&[Admin, Stale, NoAsyncLoading])
        .proxy(Refused(TOPOLOGY)),
    command(Id::ClusterBumpepoch, "cluster|bumpepoch", 2, "3.0.0").flags(&[Admin, Stale, NoAsyncLoading])
        .tips(&["nondeterministic_output"]).proxy(Refused(TOPOLOGY)),
    command(Id::ClusterCountFailureReports, "cluster|count-failure-reports", 3, "3.0.0").flags(&[Admin, Stale])
        .tips(&["nondeterministic_output"]).proxy(Refused(TOPOLOGY)),
    command(Id::ClusterCountkeysinslot, "cluster|countkeysinslot", 3, "3.0.0").flags(&[Stale]).proxy(NamedSlot).here(),
    command(Id::ClusterDelslots, "cluster|delslots", -3, "3.0.0").flags(&[Admin, Stale, NoAsyncLoading])
        .proxy(Refused(TOPOLOGY)),
    command(Id::ClusterDelslotsrange, "cluster|delslotsrange", -4, "7.0.0").flags(&[Admin, Stale, NoAsyncLoading])
        .proxy(Refused(TOPOLOGY)),
    command(Id::ClusterFailover, "cluster|failover", -2, "3.0.0").flags(&[Admin, Stale, NoAsyncLoading])
        .proxy(Refused(TOPOLOGY)),
    command(Id::ClusterFlushslots, "cluster|flushslots", 2, "3.0.0").flags(&[Admin, Stale, NoAsyncLoading])
        .proxy(Refused(TOPOLOGY)),
    command(Id::ClusterForget, "cluster|forget", 3, "3.0.0").flags(&[Admin, Stale, NoAsyncLoading])
        .proxy(Refused(TOPOLOGY)),
    command(Id::ClusterGetkeysinslot, "cluster|getkeysinslot", 4, "3.0.0").flags(&[Stale])
        .tips(&["nondeterministic_output"]).proxy(NamedSlot).here(),
    command(Id::ClusterHelp, "cluster|help", 2, "5.0.0").flags(&[Loading, Stale]).here(),
    command(Id::ClusterInfo, "cluster|info", 2, "3.0.0").flags(&[Stale]).tips(&["nondeterministic_output"]).here(),
    command(Id::ClusterKeyslot, "cluster|keyslot", 3, "3.0.0").flags(&[Stale]).here(),
    command(Id::ClusterLinks, "cluster|links", 2, "7.0.0").flags(&[Stale]).tips(&["nondeterministic_output"]),
    command(Id::ClusterMeet, "cluster|meet", -4, "3.0.0").flags(&[Admin, Stale, NoAsyncLoading])
        .proxy(Refused(TOPOLOGY)),
    command(Id::ClusterMyid, "cluster|myid", 2, "3.0.0").flags(&[Stale]).here(),
    command(Id::ClusterMyshardid, "cluster|myshardid", 2, "7.2.0").flags(&[Stale]).tips(&["nondeterministic_output"]),
    command(Id::ClusterNodes, "cluster|nodes", 2, "3.0.0").flags(&[Stale]).tips(&["nondeterministic_output"]).here(),
    command(Id::ClusterReplicas, "cluster|replicas", 3, "5.0.0").flags(&[Admin, Stale])
        .tips(&["nondeterministic_output"]),
    command(Id::ClusterReplicate, "cluster|replicate", 3, "3.0.0").flags(&[Admin, Stale, NoAsyncLoading])
        .proxy(Refused(TOPOLOGY)),
    command(Id::ClusterReset, "cluster|reset", -2, "3.0.0").flags(&[Admin, Noscript, Stale]).proxy(Refused(TOPOLOGY)),
    command(Id::ClusterSaveconfig, "cluster|saveconfig", 2, "3.0.0").flags(&[Admin, Stale, NoAsyncLoading])
        .proxy(Refused(TOPOLOGY)),
    command(Id::ClusterSetConfigEpoch, "cluster|set-config-epoch", 3, "3.0.0").flags(&[Admin, Stale, NoAsyncLoading])
        .proxy(Refused(TOPOLOGY)),
    command(Id::ClusterSetslot, "cluster|setslot", -4, "3.0.0").flags(&[Admin, Stale, NoAsyncLoading])
        .proxy(Refused(TOPOLOGY)),
    command(Id::ClusterShards, "cluster|shards", 2, "7.0.0").flags(&[Stale]).tips(&["nondeterministic_output"]).here(),
    command(Id::ClusterSlaves, "cluster|slaves", 3, "3.0.0").flags(&[Admin, Stale]).tips(&["nondeterministic_output"])
        .deprecated("5.0.0"),
    command(Id::ClusterSlots, "cluster|slots", 2, "3.0.0").flags(&[Stale]).tips(&["nondeterministic_output"])
        .deprecated("7.0.0").here(),
    command(Id::Readonly, "readonly", 1, "3.0.0").flags(&[Loading, Stale, Fast]).acl(&[Category::Connection])
        .proxy(ClientState).here(),
    command(Id::Readwrite, "readwrite", 1, "3.0.0").flags(&[Loading, Stale, Fast]).acl(&[Category::Connection])
        .proxy(ClientState).here(),
];
