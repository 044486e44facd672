//! The table of all settings: first Redis's, then Slotway's own, each by name.
//!
//! One entry is two lines: facts, then meaning. The facts are key, name, `[section programs change effect]`,
//! default and type. Names, defaults and bounds of the Redis settings are those of Redis 7.2 (those it shares
//! with 7.0 are compared with a real server in `tests/`); where Slotway's default differs, `tests/redis.rs` says
//! why. Longer than other files because it is a table: nothing in it runs.

use crate::row::{Change, Effect, Kind, Origin, Program, Row, Section, TextRule};
use Effect::{Accepted, Acts, Fixed};

macro_rules! rows {
    ($($origin:ident { $($key:ident $name:literal [$section:ident $programs:ident $change:ident $effect:expr],
        $default:literal, $kind:expr, $meaning:literal;)* })*) => {
        /// A setting, as code names it. Its value is found by index.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Key { $($($key,)*)* }

        /// All settings, in the order of [`Key`].
        pub const ROWS: &[Row] = &[$($(Row {
            key: Key::$key,
            name: $name,
            origin: Origin::$origin,
            section: Section::$section,
            programs: $programs,
            kind: $kind,
            default: $default,
            change: Change::$change,
            effect: $effect,
            meaning: $meaning,
        },)*)*];
    };
}

const N: &[Program] = &[Program::Node];
const P: &[Program] = &[Program::Proxy];
const U: &[Program] = &[Program::Up];
const NP: &[Program] = &[Program::Node, Program::Proxy];
const PU: &[Program] = &[Program::Proxy, Program::Up];
const NU: &[Program] = &[Program::Node, Program::Up];
const NPU: &[Program] = &[Program::Node, Program::Proxy, Program::Up];

const I32: i64 = i32::MAX as i64;
const I64: i64 = i64::MAX;
const COUNT: Kind = int(0, I32);
const PORT: Kind = int(0, 65535);
const TEXT: Kind = Kind::Text(TextRule::Any);
const SECRET: Kind = Kind::Text(TextRule::Secret);
const FLAG: Kind = Kind::Flag;
const SIZE: Kind = size(0, i64::MAX as u64);
const YES_NO_LOCAL: Kind = choice(&["no", "yes", "local"]);
const ON_SIGNAL: Kind = Kind::Choices(&["default", "save", "nosave", "now", "force"]);
const FACILITIES: Kind =
    choice(&["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"]);
const POLICIES: Kind = choice(&[
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "noeviction",
]);
const OOM_SCORE_ADJ: Kind =
    Kind::Choice { words: &["no", "yes", "relative", "absolute"], same: &[("relative", "yes")] };

const fn int(min: i64, max: i64) -> Kind {
    Kind::Integer { min, max }
}

const fn size(min: u64, max: u64) -> Kind {
    Kind::Bytes { min, max }
}

const fn choice(words: &'static [&'static str]) -> Kind {
    Kind::Choice { words, same: &[] }
}

const NO_TLS: Effect = Fixed("TLS is not supported yet");
const MANAGED: Effect =
    Fixed("a node joins a cluster when a proxy's control group adopts it, not by a setting");
const FOREGROUND: Effect = Fixed("Slotway runs in the foreground; let systemd or a container keep it");

rows! {
Redis {
AclPubsubDefault "acl-pubsub-default" [Redis N Live Accepted], "resetchannels", choice(&["allchannels", "resetchannels"]),
    "Rights on Pub/Sub channels that a new ACL user starts with";
Aclfile "aclfile" [Redis N AtStart Accepted], "", TEXT,
    "File with the ACL users";
AcllogMaxLen "acllog-max-len" [Redis N Live Accepted], "128", int(0, I64),
    "Entries that ACL LOG keeps";
ActiveDefragCycleMax "active-defrag-cycle-max" [Redis N Live Accepted], "25", int(1, 99),
    "Most CPU percent that defragmentation takes";
ActiveDefragCycleMin "active-defrag-cycle-min" [Redis N Live Accepted], "1", int(1, 99),
    "Least CPU percent that defragmentation takes";
ActiveDefragIgnoreBytes "active-defrag-ignore-bytes" [Redis N Live Accepted], "104857600", size(1, i64::MAX as u64),
    "Wasted bytes below which nothing is defragmented";
ActiveDefragMaxScanFields "active-defrag-max-scan-fields" [Redis N Live Accepted], "1000", int(1, I64),
    "Fields above which a collection is defragmented in steps";
ActiveDefragThresholdLower "active-defrag-threshold-lower" [Redis N Live Accepted], "10", int(0, 1000),
    "Percent of fragmentation at which defragmentation starts";
ActiveDefragThresholdUpper "active-defrag-threshold-upper" [Redis N Live Accepted], "100", int(0, 1000),
    "Percent of fragmentation at which it works hardest";
ActiveExpireEffort "active-expire-effort" [Redis N Live Accepted], "1", int(1, 10),
    "How eagerly expired keys are looked for, 1 to 10";
Activedefrag "activedefrag" [Redis N Live Fixed("memory is not defragmented; jemalloc returns what is free")], "no", FLAG,
    "Defragment memory while running";
Activerehashing "activerehashing" [Redis N Live Accepted], "yes", FLAG,
    "Grow tables in idle time; Slotway's tables grow in small parts and need no help";
AlwaysShowLogo "always-show-logo" [Redis N AtStart Accepted], "no", FLAG,
    "Print a picture at start";
AofDisableAutoGc "aof-disable-auto-gc" [Redis N Live Acts], "no", FLAG,
    "Keep append-only files that are no longer needed";
AofLoadTruncated "aof-load-truncated" [Redis N Live Acts], "yes", FLAG,
    "Start although the append-only file ends in half a command";
AofRewriteIncrementalFsync "aof-rewrite-incremental-fsync" [Redis N Live Acts], "yes", FLAG,
    "Sync to disk in steps while the append-only file is rewritten";
AofTimestampEnabled "aof-timestamp-enabled" [Redis N Live Acts], "no", FLAG,
    "Note the time in the append-only file, to restore to a moment";
AofUseRdbPreamble "aof-use-rdb-preamble" [Redis N Live Acts], "yes", FLAG,
    "A rewritten append-only file begins with a snapshot";
AofRewriteCpulist "aof_rewrite_cpulist" [Redis N AtStart Accepted], "", TEXT,
    "CPUs for the rewrite of the append-only file";
Appenddirname "appenddirname" [Redis N AtStart Acts], "appendonlydir", Kind::Text(TextRule::DirNameGiven),
    "Directory of the append-only files, inside dir";
Appendfilename "appendfilename" [Redis N AtStart Acts], "appendonly.aof", Kind::Text(TextRule::FileNameGiven),
    "First part of the names of the append-only files";
Appendfsync "appendfsync" [Redis N Live Acts], "everysec", choice(&["everysec", "always", "no"]),
    "When written data is forced to disk";
Appendonly "appendonly" [Redis NU Live Acts], "no", FLAG,
    "Log every write to disk";
AutoAofRewriteMinSize "auto-aof-rewrite-min-size" [Redis N Live Acts], "67108864", SIZE,
    "Size from which the append-only file is rewritten by itself";
AutoAofRewritePercentage "auto-aof-rewrite-percentage" [Redis N Live Acts], "100", COUNT,
    "Growth in percent after which it is rewritten by itself; 0: never";
BgsaveCpulist "bgsave_cpulist" [Redis N AtStart Accepted], "", TEXT,
    "CPUs for background saves";
Bind "bind" [Program NPU AtStart Acts], "127.0.0.1", Kind::Words { max: 16 },
    "Addresses to listen on; with - before it an address may be missing on this machine; * is all";
BindSourceAddr "bind-source-addr" [Redis N Live Acts], "", TEXT,
    "Address that outgoing connections come from";
BioCpulist "bio_cpulist" [Redis N AtStart Accepted], "", TEXT,
    "CPUs for background threads";
BusyReplyThreshold "busy-reply-threshold" [Redis N Live Accepted], "5000", int(0, I64),
    "Milliseconds after which a running script is answered with BUSY";
ClientOutputBufferLimit "client-output-buffer-limit" [Limits NP Live Acts],
    "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60", Kind::OutputLimits,
    "Bytes of replies that may wait for a client, by class: hard, soft, seconds above soft; 0: no limit";
ClientQueryBufferLimit "client-query-buffer-limit" [Limits NP Live Acts], "1073741824", size(1 << 20, i64::MAX as u64),
    "Bytes of one client's request that may be collected";
ClusterAllowPubsubshardWhenDown "cluster-allow-pubsubshard-when-down" [Redis N Live Accepted], "yes", FLAG,
    "Serve sharded Pub/Sub while slots are missing";
ClusterAllowReadsWhenDown "cluster-allow-reads-when-down" [Redis N Live Accepted], "no", FLAG,
    "Serve reads while slots are missing";
ClusterAllowReplicaMigration "cluster-allow-replica-migration" [Redis N Live Accepted], "yes", FLAG,
    "Let replicas move to a primary that has none";
ClusterAnnounceBusPort "cluster-announce-bus-port" [Redis N Live Accepted], "0", PORT,
    "Cluster bus port to tell others; 0: the real one";
ClusterAnnounceHostname "cluster-announce-hostname" [Redis N Live Accepted], "", Kind::Text(TextRule::HostName),
    "Host name to tell cluster clients";
ClusterAnnounceHumanNodename "cluster-announce-human-nodename" [Redis N Live Accepted], "",
    Kind::Text(TextRule::HostName),
    "Name of this node in logs";
ClusterAnnounceIp "cluster-announce-ip" [Redis N Live Accepted], "", TEXT,
    "Address to tell cluster clients";
ClusterAnnouncePort "cluster-announce-port" [Redis N Live Accepted], "0", PORT,
    "Port to tell cluster clients; 0: the real one";
ClusterAnnounceTlsPort "cluster-announce-tls-port" [Redis N Live Accepted], "0", PORT,
    "TLS port to tell cluster clients; 0: the real one";
ClusterConfigFile "cluster-config-file" [Redis N AtStart Accepted], "nodes.conf", TEXT,
    "File in which Redis Cluster keeps its nodes; Slotway keeps node.json";
ClusterEnabled "cluster-enabled" [Redis N AtStart MANAGED], "no", FLAG,
    "Be a member of a Redis Cluster";
ClusterLinkSendbufLimit "cluster-link-sendbuf-limit" [Redis N Live Accepted], "0", size(0, u64::MAX),
    "Bytes that may wait on a cluster bus connection; 0: no limit";
ClusterMigrationBarrier "cluster-migration-barrier" [Redis N Live Accepted], "1", COUNT,
    "Replicas a primary keeps before one may move away";
ClusterNodeTimeout "cluster-node-timeout" [Redis N Live Accepted], "15000", int(0, I64),
    "Milliseconds after which a silent Redis Cluster node counts as down";
ClusterPort "cluster-port" [Redis N AtStart Accepted], "0", PORT,
    "Port of the cluster bus; 0: port + 10000";
ClusterPreferredEndpointType "cluster-preferred-endpoint-type" [Redis N Live Accepted], "ip",
    choice(&["ip", "hostname", "unknown-endpoint"]),
    "What cluster clients are told to connect to";
ClusterReplicaNoFailover "cluster-replica-no-failover" [Redis N Live Accepted], "no", FLAG,
    "Never promote this replica by itself";
ClusterReplicaValidityFactor "cluster-replica-validity-factor" [Redis N Live Accepted], "10", COUNT,
    "How old a replica's data may be to be promoted, in node timeouts; 0: any age";
ClusterRequireFullCoverage "cluster-require-full-coverage" [Redis N Live Accepted], "yes", FLAG,
    "Refuse everything while a slot is not served";
CrashLogEnabled "crash-log-enabled" [Redis N Live Accepted], "yes", FLAG,
    "Write a report on a crash";
CrashMemcheckEnabled "crash-memcheck-enabled" [Redis N Live Accepted], "yes", FLAG,
    "Test the memory after a crash";
Daemonize "daemonize" [Redis N AtStart FOREGROUND], "no", FLAG,
    "Go to the background";
Databases "databases" [Redis NP AtStart Acts], "16", int(1, I32),
    "Number of databases that SELECT reaches";
Dbfilename "dbfilename" [Redis N Protected Acts], "dump.rdb", Kind::Text(TextRule::FileName),
    "File name of the snapshot, inside dir";
Dir "dir" [Program NPU Protected Acts], ".", TEXT,
    "Working directory: snapshots, append-only files, node.json, up.json";
DisableThp "disable-thp" [Redis N AtStart Accepted], "yes", FLAG,
    "Do without transparent huge pages";
DynamicHz "dynamic-hz" [Redis N Live Accepted], "yes", FLAG,
    "Raise hz when many clients are connected";
EnableDebugCommand "enable-debug-command" [Redis N AtStart Acts], "no", YES_NO_LOCAL,
    "Who may use DEBUG: no one, everyone, or connections from this machine";
EnableModuleCommand "enable-module-command" [Redis N AtStart Accepted], "no", YES_NO_LOCAL,
    "Who may use MODULE";
EnableProtectedConfigs "enable-protected-configs" [Redis N AtStart Accepted], "no", YES_NO_LOCAL,
    "Who may CONFIG SET dir and dbfilename";
HashMaxListpackEntries "hash-max-listpack-entries" [Redis N Live Acts], "512", int(0, I64),
    "Fields up to which a hash is packed into one allocation";
HashMaxListpackValue "hash-max-listpack-value" [Redis N Live Acts], "64", SIZE,
    "Bytes of the longest field or value in a packed hash";
HllSparseMaxBytes "hll-sparse-max-bytes" [Redis N Live Acts], "3000", SIZE,
    "Bytes up to which a HyperLogLog is kept sparse";
Hz "hz" [Redis N Live Acts], "10", Kind::Clamped { min: 1, max: 500 },
    "Rounds of background work per second, 1 to 500";
IgnoreWarnings "ignore-warnings" [Redis N Live Accepted], "", TEXT,
    "Start-up warnings not to heed";
IoThreads "io-threads" [Redis N AtStart Accepted], "1", int(1, 128),
    "Threads that read and write sockets; a Slotway shard scales by nodes";
IoThreadsDoReads "io-threads-do-reads" [Redis N AtStart Accepted], "no", FLAG,
    "Read sockets on those threads too";
JemallocBgThread "jemalloc-bg-thread" [Redis N Live Accepted], "yes", FLAG,
    "Let jemalloc return memory on a thread of its own";
KeyLoadDelay "key-load-delay" [Redis N Hidden Acts], "0", int(i32::MIN as i64, I32),
    "For tests: microseconds to wait after each key that is loaded";
LatencyMonitorThreshold "latency-monitor-threshold" [Redis N Live Acts], "0", int(0, I64),
    "Milliseconds from which LATENCY notes an event; 0: off";
LatencyTracking "latency-tracking" [Redis N Live Acts], "yes", FLAG,
    "Keep a histogram of times per command";
LatencyTrackingInfoPercentiles "latency-tracking-info-percentiles" [Redis N Live Acts], "50 99 99.9",
    Kind::Percentiles,
    "Percentiles that INFO latencystats shows";
LazyfreeLazyEviction "lazyfree-lazy-eviction" [Redis N Live Acts], "no", FLAG,
    "Tell of evicted keys by UNLINK, not DEL (values are always freed on another thread)";
LazyfreeLazyExpire "lazyfree-lazy-expire" [Redis N Live Acts], "no", FLAG,
    "Tell of expired keys by UNLINK, not DEL (values are always freed on another thread)";
LazyfreeLazyServerDel "lazyfree-lazy-server-del" [Redis N Live Accepted], "no", FLAG,
    "Free overwritten values on another thread";
LazyfreeLazyUserDel "lazyfree-lazy-user-del" [Redis N Live Acts], "no", FLAG,
    "Tell of GETDEL by UNLINK, not DEL (values are always freed on another thread)";
LazyfreeLazyUserFlush "lazyfree-lazy-user-flush" [Redis N Live Accepted], "no", FLAG,
    "FLUSHALL and FLUSHDB are ASYNC unless told otherwise";
LfuDecayTime "lfu-decay-time" [Redis N Live Acts], "1", COUNT,
    "Minutes after which an access counts one less";
LfuLogFactor "lfu-log-factor" [Redis N Live Acts], "10", COUNT,
    "How slowly the access counter grows";
ListCompressDepth "list-compress-depth" [Redis N Live Accepted], "0", COUNT,
    "Nodes at each end of a list that stay uncompressed; 0: all";
ListMaxListpackSize "list-max-listpack-size" [Redis N Live Acts], "-2", int(i32::MIN as i64, I32),
    "Size of one node of a list: entries, or -1 to -5 for 4 to 64 KiB";
LoadingProcessEventsIntervalBytes "loading-process-events-interval-bytes" [Redis N Hidden Accepted], "2097152",
    int(1024, I32),
    "For tests: bytes loaded between two looks at the clients";
LocaleCollate "locale-collate" [Redis N Live Accepted], "", TEXT,
    "Locale by which Lua compares strings";
Logfile "logfile" [Redis N AtStart Accepted], "", TEXT,
    "File for the log; empty: standard error";
Loglevel "loglevel" [Program NPU Live Acts], "notice", choice(&["debug", "verbose", "notice", "warning"]),
    "How much is logged";
LuaEnableDeprecatedApi "lua-enable-deprecated-api" [Redis N HiddenAtStart Accepted], "no", FLAG,
    "Let scripts use what Lua no longer recommends";
Masterauth "masterauth" [Redis N Live Acts], "", SECRET,
    "Password towards the primary";
Masteruser "masteruser" [Redis N Live Acts], "", TEXT,
    "User towards the primary";
Maxclients "maxclients" [Limits NP Live Acts], "10000", int(1, u32::MAX as i64),
    "Clients that may be connected at once";
Maxmemory "maxmemory" [Redis N Live Acts], "0", size(0, u64::MAX),
    "Bytes the data may take; 0: no limit";
MaxmemoryClients "maxmemory-clients" [Redis N Live Acts], "0", Kind::BytesOrPercent,
    "Bytes that all clients' buffers may take together; 0: no limit";
MaxmemoryEvictionTenacity "maxmemory-eviction-tenacity" [Redis N Live Acts], "10", int(0, 100),
    "How long one round of eviction may take, 0 to 100";
MaxmemoryPolicy "maxmemory-policy" [Redis N Live Acts], "noeviction", POLICIES,
    "What is removed when maxmemory is reached";
MaxmemorySamples "maxmemory-samples" [Redis N Live Acts], "5", int(1, I32),
    "Keys looked at to find one to evict";
MinReplicasMaxLag "min-replicas-max-lag" [Redis N Live Acts], "10", COUNT,
    "Seconds of silence after which a replica no longer counts";
MinReplicasToWrite "min-replicas-to-write" [Redis N Live Acts], "0", COUNT,
    "Replicas without which writes are refused";
NoAppendfsyncOnRewrite "no-appendfsync-on-rewrite" [Redis N Live Acts], "no", FLAG,
    "Do not force data to disk while a save or rewrite runs";
NotifyKeyspaceEvents "notify-keyspace-events" [Redis N Live Accepted], "", Kind::KeyspaceEvents,
    "Which changes of keys are published";
OomScoreAdj "oom-score-adj" [Redis N Live Accepted], "no", OOM_SCORE_ADJ,
    "Tell the kernel whom to kill first when memory ends";
OomScoreAdjValues "oom-score-adj-values" [Redis N Live Accepted], "0 200 800", Kind::OomScores,
    "Scores of a primary, a replica and a saving process";
Pidfile "pidfile" [Redis N AtStart Accepted], "", TEXT,
    "File for the process id";
Port "port" [Program NPU AtStart Acts], "6379", PORT,
    "Port for clients; 0: any free one";
ProcTitleTemplate "proc-title-template" [Redis N Live Accepted], "{title} {listen-addr} {server-mode}",
    Kind::Text(TextRule::ProcTitle),
    "How the process is called in ps";
PropagationErrorBehavior "propagation-error-behavior" [Redis N Live Acts], "ignore",
    choice(&["ignore", "panic", "panic-on-replicas"]),
    "What a replica does when a command of its primary fails";
ProtectedMode "protected-mode" [Program NPU Live Acts], "yes", FLAG,
    "Refuse to listen to other machines without a password";
ProtoMaxBulkLen "proto-max-bulk-len" [Limits NP Live Acts], "536870912", size(1 << 20, i64::MAX as u64),
    "Bytes of the largest single word of a request";
RdbDelSyncFiles "rdb-del-sync-files" [Redis N Live Accepted], "no", FLAG,
    "Remove snapshots that were made only to synchronise a replica";
RdbKeySaveDelay "rdb-key-save-delay" [Redis N Hidden Acts], "0", int(i32::MIN as i64, I32),
    "For tests: microseconds to wait after each key that is saved";
RdbSaveIncrementalFsync "rdb-save-incremental-fsync" [Redis N Live Acts], "yes", FLAG,
    "Sync to disk in steps while a snapshot is written";
Rdbchecksum "rdbchecksum" [Redis N AtStart Acts], "yes", FLAG,
    "End a snapshot with a checksum";
Rdbcompression "rdbcompression" [Redis N Live Acts], "yes", FLAG,
    "Compress strings in a snapshot and in DUMP";
ReplBacklogSize "repl-backlog-size" [Redis N Live Acts], "1048576", Kind::BytesRaised { floor: 16_384 },
    "Bytes of the history that a replica can catch up from";
ReplBacklogTtl "repl-backlog-ttl" [Redis N Live Acts], "3600", int(0, I64),
    "Seconds after the last replica left until the history is freed; 0: never";
ReplDisableTcpNodelay "repl-disable-tcp-nodelay" [Redis N Live Acts], "no", FLAG,
    "Collect small packets towards replicas";
ReplDisklessLoad "repl-diskless-load" [Redis N Live Accepted], "disabled", choice(&["disabled", "on-empty-db", "swapdb"]),
    "Whether a replica loads a full synchronisation without a file; Slotway always does, beside its old data";
ReplDisklessSync "repl-diskless-sync" [Redis N Live Acts], "yes", FLAG,
    "Send a full synchronisation without a file";
ReplDisklessSyncDelay "repl-diskless-sync-delay" [Redis N Live Accepted], "5", COUNT,
    "Seconds to wait for more replicas before a full synchronisation; not waited: each has a snapshot of its own";
ReplDisklessSyncMaxReplicas "repl-diskless-sync-max-replicas" [Redis N Live Accepted], "0", COUNT,
    "Replicas at which it starts without waiting; 0: always wait";
ReplPingReplicaPeriod "repl-ping-replica-period" [Redis N Live Acts], "10", int(1, I32),
    "Seconds between two pings to replicas";
ReplTimeout "repl-timeout" [Redis N Live Acts], "60", int(1, I32),
    "Seconds of silence after which a replication link is given up";
ReplicaAnnounceIp "replica-announce-ip" [Redis N Live Acts], "", TEXT,
    "Address that a replica tells its primary";
ReplicaAnnouncePort "replica-announce-port" [Redis N Live Acts], "0", PORT,
    "Port that a replica tells its primary; 0: the real one";
ReplicaAnnounced "replica-announced" [Redis N Live Acts], "yes", FLAG,
    "Whether Sentinel tells clients of this replica";
ReplicaIgnoreDiskWriteErrors "replica-ignore-disk-write-errors" [Redis N Live Accepted], "no", FLAG,
    "A replica goes on when it cannot write to disk";
ReplicaIgnoreMaxmemory "replica-ignore-maxmemory" [Redis N Live Acts], "yes", FLAG,
    "A replica evicts nothing by itself";
ReplicaLazyFlush "replica-lazy-flush" [Redis N Live Accepted], "no", FLAG,
    "A replica frees old data on another thread before a full synchronisation; Slotway always does, behind it";
ReplicaPriority "replica-priority" [Redis N Live Acts], "100", COUNT,
    "Lower is promoted first; 0: never";
ReplicaReadOnly "replica-read-only" [Redis N Live Acts], "yes", FLAG,
    "A replica refuses writes of clients";
ReplicaServeStaleData "replica-serve-stale-data" [Redis N Live Acts], "yes", FLAG,
    "A replica answers while it has lost its primary";
Replicaof "replicaof" [Redis N AtStart Acts], "", Kind::ReplicaOf,
    "Primary to follow, as host and port";
Requirepass "requirepass" [Program NPU Live Acts], "", SECRET,
    "Password that clients must give; empty: none";
SanitizeDumpPayload "sanitize-dump-payload" [Redis N Live Accepted], "no", choice(&["no", "yes", "clients"]),
    "Whose dumped values are checked deeply before they are loaded";
Save "save" [Redis N Live Acts], "3600 1 300 100 60 10000", Kind::SavePoints,
    "Save a snapshot after so many seconds if so many keys changed; empty: never";
ServerCpulist "server_cpulist" [Redis N AtStart Accepted], "", TEXT,
    "CPUs for the main thread";
SetMaxIntsetEntries "set-max-intset-entries" [Redis N Live Acts], "512", int(0, I64),
    "Members up to which a set of integers is packed";
SetMaxListpackEntries "set-max-listpack-entries" [Redis N Live Acts], "128", int(0, I64),
    "Members up to which a set is packed into one allocation";
SetMaxListpackValue "set-max-listpack-value" [Redis N Live Acts], "64", SIZE,
    "Bytes of the longest member of a packed set";
SetProcTitle "set-proc-title" [Redis N AtStart Accepted], "yes", FLAG,
    "Show what the process does in ps";
ShutdownOnSigint "shutdown-on-sigint" [Redis N Live Acts], "default", ON_SIGNAL,
    "How SIGINT ends the server";
ShutdownOnSigterm "shutdown-on-sigterm" [Redis N Live Acts], "default", ON_SIGNAL,
    "How SIGTERM ends the server";
ShutdownTimeout "shutdown-timeout" [Redis NP Live Acts], "10", COUNT,
    "Seconds that the end may wait for what is still in flight";
SlowlogLogSlowerThan "slowlog-log-slower-than" [Redis N Live Acts], "10000", int(-1, I64),
    "Microseconds from which SLOWLOG notes a command; 0: all, -1: none";
SlowlogMaxLen "slowlog-max-len" [Redis N Live Acts], "128", int(0, I64),
    "Entries that SLOWLOG keeps";
SocketMarkId "socket-mark-id" [Redis N AtStart Accepted], "0", int(0, u32::MAX as i64),
    "Mark of the sockets for the packet filter; 0: none";
StopWritesOnBgsaveError "stop-writes-on-bgsave-error" [Redis N Live Acts], "yes", FLAG,
    "Refuse writes after a snapshot failed";
StreamNodeMaxBytes "stream-node-max-bytes" [Redis N Live Accepted], "4096", SIZE,
    "Bytes of one node of a stream; 0: no limit";
StreamNodeMaxEntries "stream-node-max-entries" [Redis N Live Accepted], "100", int(0, I64),
    "Entries of one node of a stream; 0: no limit";
Supervised "supervised" [Redis N AtStart Accepted], "no", choice(&["upstart", "systemd", "auto", "no"]),
    "Which supervisor to tell that the start succeeded";
SyslogEnabled "syslog-enabled" [Redis N AtStart Accepted], "no", FLAG,
    "Log to syslog";
SyslogFacility "syslog-facility" [Redis N AtStart Accepted], "local0", FACILITIES,
    "Facility in syslog";
SyslogIdent "syslog-ident" [Redis N AtStart Accepted], "redis", TEXT,
    "Name in syslog";
TcpBacklog "tcp-backlog" [Limits NP AtStart Acts], "511", COUNT,
    "Connections that may wait to be accepted";
TcpKeepalive "tcp-keepalive" [Limits NP Live Acts], "300", COUNT,
    "Seconds of silence after which the kernel probes a client; 0: never";
Timeout "timeout" [Limits NP Live Acts], "0", COUNT,
    "Seconds of silence after which a client is disconnected; 0: never";
TlsAuthClients "tls-auth-clients" [Redis N Live Accepted], "yes", choice(&["no", "yes", "optional"]),
    "Whether TLS clients need a certificate";
TlsCaCertDir "tls-ca-cert-dir" [Redis N Live Accepted], "", TEXT,
    "Directory of trusted certificates";
TlsCaCertFile "tls-ca-cert-file" [Redis N Live Accepted], "", TEXT,
    "File of trusted certificates";
TlsCertFile "tls-cert-file" [Redis N Live Accepted], "", TEXT,
    "Certificate";
TlsCiphers "tls-ciphers" [Redis N Live Accepted], "", TEXT,
    "Ciphers up to TLS 1.2";
TlsCiphersuites "tls-ciphersuites" [Redis N Live Accepted], "", TEXT,
    "Cipher suites of TLS 1.3";
TlsClientCertFile "tls-client-cert-file" [Redis N Live Accepted], "", TEXT,
    "Certificate towards other servers";
TlsClientKeyFile "tls-client-key-file" [Redis N Live Accepted], "", TEXT,
    "Key towards other servers";
TlsClientKeyFilePass "tls-client-key-file-pass" [Redis N Live Accepted], "", SECRET,
    "Password of that key";
TlsCluster "tls-cluster" [Redis N Live NO_TLS], "no", FLAG,
    "TLS on the cluster bus";
TlsDhParamsFile "tls-dh-params-file" [Redis N Live Accepted], "", TEXT,
    "Diffie-Hellman parameters";
TlsKeyFile "tls-key-file" [Redis N Live Accepted], "", TEXT,
    "Key of the certificate";
TlsKeyFilePass "tls-key-file-pass" [Redis N Live Accepted], "", SECRET,
    "Password of that key";
TlsPort "tls-port" [Redis N Live NO_TLS], "0", PORT,
    "Port for TLS clients; 0: none";
TlsPreferServerCiphers "tls-prefer-server-ciphers" [Redis N Live Accepted], "no", FLAG,
    "The server's order of ciphers decides";
TlsProtocols "tls-protocols" [Redis N Live Accepted], "", TEXT,
    "Versions of TLS to offer";
TlsReplication "tls-replication" [Redis N Live NO_TLS], "no", FLAG,
    "TLS towards the primary";
TlsSessionCacheSize "tls-session-cache-size" [Redis N Live Accepted], "20480", COUNT,
    "TLS sessions to remember; 0: no limit";
TlsSessionCacheTimeout "tls-session-cache-timeout" [Redis N Live Accepted], "300", COUNT,
    "Seconds a TLS session is remembered";
TlsSessionCaching "tls-session-caching" [Redis N Live Accepted], "yes", FLAG,
    "Remember TLS sessions";
TrackingTableMaxKeys "tracking-table-max-keys" [Redis N Live Accepted], "1000000", int(0, I64),
    "Keys that CLIENT TRACKING remembers; 0: no limit";
Unixsocket "unixsocket" [Program NP AtStart Acts], "", TEXT,
    "Path of a Unix socket to listen on too; empty: none";
Unixsocketperm "unixsocketperm" [Program NP AtStart Acts], "0", Kind::Octal { max: 0o777 },
    "Permissions of that socket; 0: as the system gives";
UseExitOnPanic "use-exit-on-panic" [Redis N Hidden Accepted], "no", FLAG,
    "For tests: end without a core file on an internal error";
WatchdogPeriod "watchdog-period" [Redis N Hidden Accepted], "0", COUNT,
    "For tests: milliseconds after which a blocked server logs where it is";
ZsetMaxListpackEntries "zset-max-listpack-entries" [Redis N Live Acts], "128", int(0, I64),
    "Members up to which a sorted set is packed into one allocation";
ZsetMaxListpackValue "zset-max-listpack-value" [Redis N Live Acts], "64", SIZE,
    "Bytes of the longest member of a packed sorted set";
}

Slotway {
AdminBodyBytesMax "admin-body-bytes-max" [Limits NP AtStart Acts], "1048576", size(1024, 1 << 30),
    "Bytes of the largest body that the admin API takes";
AdminPort "admin-port" [Program NPU AtStart Acts], "off", Kind::PortOrOff,
    "Port for HTTP: admin API, dashboard, metrics";
AdminTokenFile "admin-token-file" [Program NPU AtStart Acts], "", TEXT,
    "File with the token that HTTP callers must show, except of the page, /healthz and /readyz; empty: none";
Announce "announce" [Program NP AtStart Acts], "", TEXT,
    "Address to tell others: host:port of a node, host of a proxy; empty: the one it listens on";
Backends "backends" [Program P AtStart Acts], "", Kind::Addresses,
    "Primaries to spread the slots over, in this order, in equal ranges";
BatchPrefetch "batch-prefetch" [Program N Live Acts], "yes", FLAG,
    "Fetch the entries of a whole read batch into the caches before its first request runs; no: to measure without";
BusyDownAfterMs "busy-down-after-ms" [Program PU AtStart Acts], "15000", int(1000, 3_600_000),
    "Milliseconds that one command may keep a primary from everything else before it is replaced";
BytesInFlightMax "bytes-in-flight-max" [Limits P Live Acts], "268435456", size(1 << 20, 1 << 40),
    "Bytes of requests that may wait for replies on one link";
Cluster "cluster" [Program P AtStart Acts], "", Kind::Addresses,
    "Some nodes of an existing Redis or Valkey Cluster to stand in front of";
ConnectTimeoutMs "connect-timeout-ms" [Limits P Live Acts], "1000", int(1, 600_000),
    "Milliseconds that opening a link to a node may take";
ControlPort "control-port" [Program P AtStart Acts], "off", Kind::PortOrOff,
    "Port on which the proxies' control groups speak to each other";
Durability "durability" [Program PU AtStart Acts], "quorum", choice(&["quorum", "async"]),
    "When a write is answered: once enough copies have it, or once the primary has it";
HoldBytesMax "hold-bytes-max" [Limits P Live Acts], "67108864", size(0, 1 << 40),
    "Bytes of requests held per shard while it has no primary";
HoldMsMax "hold-ms-max" [Limits P Live Acts], "5000", int(0, 600_000),
    "Milliseconds a request is held while its shard has no primary";
Join "join" [Program P AtStart Acts], "", Kind::Addresses,
    "Control ports of proxies whose group to join";
BackendKind "kind" [Program P AtStart Acts], "auto", choice(&["auto", "slotway", "redis", "cluster"]),
    "What the backends are; auto: ask them";
LeasedLinksPerNodeMax "leased-links-per-node-max" [Limits P Live Acts], "256", int(1, 65_536),
    "Links per data thread and node that may be leased to single clients";
LinkIdleCloseS "link-idle-close-s" [Limits P Live Acts], "300", int(1, 86_400),
    "Seconds without a request after which a link is closed";
MinCopies "min-copies" [Program PU AtStart Acts], "0", int(0, 17),
    "Copies a write needs, the primary's included, or it is refused; 0: one of two nodes, two of three or more";
NoRestart "no-restart" [Program U AtStart Acts], "no", FLAG,
    "Leave a child process that ended as it is";
NodePasswordFile "node-password-file" [Program P AtStart Acts], "", TEXT,
    "File with the password towards the nodes; one line end at its end is ignored";
NodePort "node-port" [Program U AtStart Acts], "7001", PORT,
    "Port of the first node, the others follow; 0: any free ones";
NodeUser "node-user" [Program P AtStart Acts], "", TEXT,
    "User towards the nodes; empty: the default user";
OnTotalLoss "on-total-loss" [Program PU AtStart Acts], "newest", choice(&["newest", "wait"]),
    "When all nodes of a shard lost what they acknowledged: newest goes on with the most there is, wait stops";
Proxies "proxies" [Program U AtStart Acts], "1", int(1, 64),
    "Number of proxies to start";
PulsePort "pulse-port" [Program N AtStart Acts], "off", Kind::PortOrOff,
    "Port on which members ask how the node is and give it orders; left out, with a secret-file: port + 10000";
ReadFrom "read-from" [Program P Live Acts], "primary", choice(&["primary", "prefer-replica", "replica"]),
    "Where reads outside transactions go; replicas may answer from a state that is a little older";
ReconnectBackoffMsMax "reconnect-backoff-ms-max" [Limits P Live Acts], "2000", int(1, 600_000),
    "Milliseconds, at most, between two attempts to reach a node";
ReconnectBackoffMsMin "reconnect-backoff-ms-min" [Limits P Live Acts], "50", int(1, 600_000),
    "Milliseconds before the second attempt to reach a node; doubles with every failure";
Replicas "replicas" [Program U AtStart Acts], "1", int(0, 16),
    "Replicas per shard to start";
RequestTimeoutMs "request-timeout-ms" [Limits P Live Acts], "15000", int(1, 3_600_000),
    "Milliseconds a request may wait for the reply of a node";
RequestsInFlightPerClientAndLink "requests-in-flight-per-client-and-link" [Limits P Live Acts], "1024", int(1, 65_536),
    "Requests of one client that may wait for replies on one link, so that no client crowds out others";
RequestsInFlightPerLink "requests-in-flight-per-link" [Limits P Live Acts], "65536", int(1, 1 << 24),
    "Requests of all clients that may wait for replies on one link";
SecretFile "secret-file" [Program NP AtStart Acts], "", TEXT,
    "File with the secret that all members of a cluster share";
SentinelPort "sentinel-port" [Program PU AtStart Accepted], "off", Kind::PortOrOff,
    "Port that answers like a Redis Sentinel";
Shards "shards" [Program U AtStart Acts], "3", int(1, 1000),
    "Shards to start, each a primary and its replicas";
SharedReplyBytesMax "shared-reply-bytes-max" [Limits P Live Acts], "65536", size(1024, 1 << 30),
    "Bytes up to which a reply is passed on whole; a larger one as it arrives";
SharedRequestBytesMax "shared-request-bytes-max" [Limits P Live Acts], "65536", size(1024, 1 << 30),
    "Bytes up to which a request travels on a shared link; a larger one on a leased link";
SnapshotMemoryMax "snapshot-memory-max" [Limits N Live Acts], "268435456", SIZE,
    "Bytes of old values kept for one snapshot; past it writes wait, or a new replica's snapshot is given up";
Threads "threads" [Program P AtStart Acts], "0", int(0, 64),
    "Data threads; 0: half of the cores, 1 to 8";
TransactionBytesMax "transaction-bytes-max" [Limits P Live Acts], "65536", size(1024, 1 << 30),
    "Bytes of a MULTI that are collected before it moves to a leased link";
TransactionCommandsMax "transaction-commands-max" [Limits P Live Acts], "1000", int(1, 1_000_000),
    "Commands of a MULTI that are collected before it moves to a leased link";
}
}

/// Second names, as Redis keeps them: CONFIG answers to them, files and flags take them.
pub const ALIASES: &[(&str, Key)] = &[
    ("cluster-slave-no-failover", Key::ClusterReplicaNoFailover),
    ("cluster-slave-validity-factor", Key::ClusterReplicaValidityFactor),
    ("hash-max-ziplist-entries", Key::HashMaxListpackEntries),
    ("hash-max-ziplist-value", Key::HashMaxListpackValue),
    ("list-max-ziplist-size", Key::ListMaxListpackSize),
    ("lua-time-limit", Key::BusyReplyThreshold),
    ("min-slaves-max-lag", Key::MinReplicasMaxLag),
    ("min-slaves-to-write", Key::MinReplicasToWrite),
    ("repl-ping-slave-period", Key::ReplPingReplicaPeriod),
    ("slave-announce-ip", Key::ReplicaAnnounceIp),
    ("slave-announce-port", Key::ReplicaAnnouncePort),
    ("slave-ignore-maxmemory", Key::ReplicaIgnoreMaxmemory),
    ("slave-lazy-flush", Key::ReplicaLazyFlush),
    ("slave-priority", Key::ReplicaPriority),
    ("slave-read-only", Key::ReplicaReadOnly),
    ("slave-serve-stale-data", Key::ReplicaServeStaleData),
    ("slaveof", Key::Replicaof),
    ("zset-max-ziplist-entries", Key::ZsetMaxListpackEntries),
    ("zset-max-ziplist-value", Key::ZsetMaxListpackValue),
];

/// Where one program's default is not the row's.
pub(crate) const DEFAULTS_OF: &[(Program, Key, &str)] = &[
    // One client of a proxy must not take the memory that all of them share.
    (
        Program::Proxy,
        Key::ClientOutputBufferLimit,
        "normal 1073741824 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
    ),
    (Program::Up, Key::AdminPort, "8080"),
    (Program::Up, Key::SentinelPort, "26379"),
    (Program::Up, Key::Dir, "slotway-data"),
    (Program::Up, Key::Appendonly, "yes"),
];

impl Key {
    pub fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The setting of this name or alias, in any case of letters. The name comes back as it is spelt.
    pub fn named(name: &str) -> Option<(&'static str, Self)> {
        let rows = ROWS.iter().map(|row| (row.name, row.key));
        rows.chain(ALIASES.iter().copied()).find(|(spelt, _)| spelt.eq_ignore_ascii_case(name))
    }
}
