//! Which function answers which command: one exhaustive match over the rows of the command table.

use slotway_commands::Id;

use crate::call::{Call, Done};
use crate::handlers::append_only;
use crate::handlers::bits;
use crate::handlers::client;
use crate::handlers::cluster;
use crate::handlers::command;
use crate::handlers::config;
use crate::handlers::connection;
use crate::handlers::debug;
use crate::handlers::geo;
use crate::handlers::hashes;
use crate::handlers::hyperloglog;
use crate::handlers::info;
use crate::handlers::internal;
use crate::handlers::keys;
use crate::handlers::latency;
use crate::handlers::lists;
use crate::handlers::memory;
use crate::handlers::migrate;
use crate::handlers::persistence;
use crate::handlers::replicaof;
use crate::handlers::replication;
use crate::handlers::server;
use crate::handlers::sets;
use crate::handlers::slowlog;
use crate::handlers::sort;
use crate::handlers::sorted_sets;
use crate::handlers::strings;
use crate::handlers::transactions;
use crate::server_call::ServerCall;

/// What answers a command.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// Works on keys.
    Data(fn(&mut Call<'_>) -> Done),
    /// Works on the connection or the node.
    Server(fn(&mut ServerCall<'_>) -> Done),
    /// A row without a handler yet, or a container that cannot stand alone: answered as an unknown command.
    Missing,
}

use Handler::{Data, Missing, Server};

/// The handler of a row.
#[allow(clippy::too_many_lines, reason = "one arm per row of the command table: a list, not a procedure")]
pub(crate) fn of(id: Id) -> Handler {
    match id {
        Id::Append => Data(strings::append),
        Id::Decr => Data(strings::decr),
        Id::Decrby => Data(strings::decrby),
        Id::Get => Data(strings::get),
        Id::Getdel => Data(strings::getdel),
        Id::Getex => Data(strings::getex),
        Id::Getrange => Data(strings::getrange),
        Id::Getset => Data(strings::getset),
        Id::Incr => Data(strings::incr),
        Id::Incrby => Data(strings::incrby),
        Id::Incrbyfloat => Data(strings::incrbyfloat),
        Id::Lcs => Data(strings::lcs),
        Id::Mget => Data(strings::mget),
        Id::Mset => Data(strings::mset),
        Id::Msetnx => Data(strings::msetnx),
        Id::Psetex => Data(strings::psetex),
        Id::Set => Data(strings::set),
        Id::Setex => Data(strings::setex),
        Id::Setnx => Data(strings::setnx),
        Id::Setrange => Data(strings::setrange),
        Id::Strlen => Data(strings::strlen),
        Id::Substr => Data(strings::substr),
        Id::Copy => Data(keys::copy),
        Id::Dbsize => Data(keys::dbsize),
        Id::Del => Data(keys::del),
        Id::Dump => Data(keys::dump),
        Id::Exists => Data(keys::exists),
        Id::Expire => Data(keys::expire),
        Id::Expireat => Data(keys::expireat),
        Id::Expiretime => Data(keys::expiretime),
        Id::Flushall => Data(keys::flushall),
        Id::Flushdb => Data(keys::flushdb),
        Id::Keys => Data(keys::keys),
        Id::Migrate => Server(migrate::migrate),
        Id::Move => Data(keys::move_),
        Id::ObjectEncoding => Data(keys::object_encoding),
        Id::ObjectFreq => Data(keys::object_freq),
        Id::ObjectHelp => Data(keys::object_help),
        Id::ObjectIdletime => Data(keys::object_idletime),
        Id::ObjectRefcount => Data(keys::object_refcount),
        Id::Persist => Data(keys::persist),
        Id::Pexpire => Data(keys::pexpire),
        Id::Pexpireat => Data(keys::pexpireat),
        Id::Pexpiretime => Data(keys::pexpiretime),
        Id::Pttl => Data(keys::pttl),
        Id::Randomkey => Data(keys::randomkey),
        Id::Rename => Data(keys::rename),
        Id::Renamenx => Data(keys::renamenx),
        Id::Restore | Id::RestoreAsking => Data(keys::restore),
        Id::Scan => Data(keys::scan),
        Id::Swapdb => Data(keys::swapdb),
        Id::Touch => Data(keys::touch),
        Id::Ttl => Data(keys::ttl),
        Id::Type => Data(keys::type_),
        Id::Unlink => Data(keys::unlink),
        Id::Hdel => Data(hashes::hdel),
        Id::Hexists => Data(hashes::hexists),
        Id::Hget => Data(hashes::hget),
        Id::Hgetall => Data(hashes::hgetall),
        Id::Hincrby => Data(hashes::hincrby),
        Id::Hincrbyfloat => Data(hashes::hincrbyfloat),
        Id::Hkeys => Data(hashes::hkeys),
        Id::Hlen => Data(hashes::hlen),
        Id::Hmget => Data(hashes::hmget),
        Id::Hmset => Data(hashes::hmset),
        Id::Hrandfield => Data(hashes::hrandfield),
        Id::Hscan => Data(hashes::hscan),
        Id::Hset => Data(hashes::hset),
        Id::Hsetnx => Data(hashes::hsetnx),
        Id::Hstrlen => Data(hashes::hstrlen),
        Id::Hvals => Data(hashes::hvals),
        Id::Sadd => Data(sets::sadd),
        Id::Scard => Data(sets::scard),
        Id::Sdiff => Data(sets::sdiff),
        Id::Sdiffstore => Data(sets::sdiffstore),
        Id::Sinter => Data(sets::sinter),
        Id::Sintercard => Data(sets::sintercard),
        Id::Sinterstore => Data(sets::sinterstore),
        Id::Sismember => Data(sets::sismember),
        Id::Smembers => Data(sets::smembers),
        Id::Smismember => Data(sets::smismember),
        Id::Smove => Data(sets::smove),
        Id::Spop => Data(sets::spop),
        Id::Srandmember => Data(sets::srandmember),
        Id::Srem => Data(sets::srem),
        Id::Sscan => Data(sets::sscan),
        Id::Sunion => Data(sets::sunion),
        Id::Sunionstore => Data(sets::sunionstore),
        Id::Pfadd => Data(hyperloglog::pfadd),
        Id::Pfcount => Data(hyperloglog::pfcount),
        Id::Pfdebug => Data(hyperloglog::pfdebug),
        Id::Pfmerge => Data(hyperloglog::pfmerge),
        Id::Pfselftest => Data(hyperloglog::pfselftest),
        Id::Auth => Server(connection::auth),
        Id::Echo => Server(connection::echo),
        Id::Hello => Server(connection::hello),
        Id::Ping => Server(connection::ping),
        Id::Quit => Server(connection::quit),
        Id::Reset => Server(connection::reset),
        Id::Select => Server(connection::select),
        Id::ClientGetname => Server(client::getname),
        Id::ClientId => Server(client::id),
        Id::ClientInfo => Server(client::info),
        Id::ClientKill => Server(client::kill),
        Id::ClientList => Server(client::list),
        Id::ClientNoEvict => Server(client::no_evict),
        Id::ClientNoTouch => Server(client::no_touch),
        Id::ClientReply => Server(client::reply),
        Id::ClientSetinfo => Server(client::setinfo),
        Id::ClientSetname => Server(client::setname),
        Id::Debug => Server(debug::debug),
        Id::Bgsave => Server(persistence::bgsave),
        Id::Lastsave => Server(persistence::lastsave),
        Id::Save => Server(persistence::save),
        Id::Shutdown => Server(server::shutdown),
        Id::Time => Server(server::time),
        Id::Info => Server(info::info),
        Id::Bgrewriteaof => Server(append_only::bgrewriteaof),
        Id::ConfigGet => Server(config::get),
        Id::ConfigHelp => Server(config::help),
        Id::ConfigResetstat => Server(config::resetstat),
        Id::ConfigSet => Server(config::set),
        Id::Command => Server(command::command),
        Id::CommandCount => Server(command::command),
        Id::CommandDocs => Server(command::command),
        Id::CommandGetkeys => Server(command::command),
        Id::CommandGetkeysandflags => Server(command::command),
        Id::CommandHelp => Server(command::command),
        Id::CommandInfo => Server(command::command),
        Id::CommandList => Server(command::command),
        Id::ClusterCountkeysinslot => Server(cluster::countkeysinslot),
        Id::ClusterGetkeysinslot => Server(cluster::getkeysinslot),
        Id::ClusterHelp => Server(cluster::help),
        Id::ClusterInfo => Server(cluster::info),
        Id::ClusterKeyslot => Server(cluster::keyslot),
        Id::ClusterMyid => Server(cluster::myid),
        Id::Asking => Server(cluster::asking),
        Id::Readonly => Server(cluster::readonly),
        Id::Readwrite => Server(cluster::readwrite),
        Id::ClusterNodes => Server(cluster::nodes),
        Id::ClusterShards => Server(cluster::shards),
        Id::ClusterSlots => Server(cluster::slots),
        Id::ProxyExplain | Id::ProxyHelp => Server(internal::proxy),
        Id::SlotwayLink => Server(internal::link),
        Id::SlotwayState => Server(internal::state),
        Id::SlotwayTopology => Server(internal::topology),
        Id::Lindex => Data(lists::lindex),
        Id::Linsert => Data(lists::linsert),
        Id::Llen => Data(lists::llen),
        Id::Lmove => Data(lists::lmove),
        Id::Lmpop => Data(lists::lmpop),
        Id::Lpop => Data(lists::lpop),
        Id::Lpos => Data(lists::lpos),
        Id::Lpush => Data(lists::lpush),
        Id::Lpushx => Data(lists::lpushx),
        Id::Lrange => Data(lists::lrange),
        Id::Lrem => Data(lists::lrem),
        Id::Lset => Data(lists::lset),
        Id::Ltrim => Data(lists::ltrim),
        Id::Rpop => Data(lists::rpop),
        Id::Rpoplpush => Data(lists::rpoplpush),
        Id::Rpush => Data(lists::rpush),
        Id::Rpushx => Data(lists::rpushx),
        Id::Bitcount => Data(bits::bitcount),
        Id::Bitfield => Data(bits::bitfield),
        Id::BitfieldRo => Data(bits::bitfield_ro),
        Id::Bitop => Data(bits::bitop),
        Id::Bitpos => Data(bits::bitpos),
        Id::Getbit => Data(bits::getbit),
        Id::Setbit => Data(bits::setbit),
        Id::Zadd => Data(sorted_sets::zadd),
        Id::Zcard => Data(sorted_sets::zcard),
        Id::Zcount => Data(sorted_sets::zcount),
        Id::Zdiff => Data(sorted_sets::zdiff),
        Id::Zdiffstore => Data(sorted_sets::zdiffstore),
        Id::Zincrby => Data(sorted_sets::zincrby),
        Id::Zinter => Data(sorted_sets::zinter),
        Id::Zintercard => Data(sorted_sets::zintercard),
        Id::Zinterstore => Data(sorted_sets::zinterstore),
        Id::Zlexcount => Data(sorted_sets::zlexcount),
        Id::Zmpop => Data(sorted_sets::zmpop),
        Id::Zmscore => Data(sorted_sets::zmscore),
        Id::Zpopmax => Data(sorted_sets::zpopmax),
        Id::Zpopmin => Data(sorted_sets::zpopmin),
        Id::Zrandmember => Data(sorted_sets::zrandmember),
        Id::Zrange => Data(sorted_sets::zrange),
        Id::Zrangebylex => Data(sorted_sets::zrangebylex),
        Id::Zrangebyscore => Data(sorted_sets::zrangebyscore),
        Id::Zrangestore => Data(sorted_sets::zrangestore),
        Id::Zrank => Data(sorted_sets::zrank),
        Id::Zrem => Data(sorted_sets::zrem),
        Id::Zremrangebylex => Data(sorted_sets::zremrangebylex),
        Id::Zremrangebyrank => Data(sorted_sets::zremrangebyrank),
        Id::Zremrangebyscore => Data(sorted_sets::zremrangebyscore),
        Id::Zrevrange => Data(sorted_sets::zrevrange),
        Id::Zrevrangebylex => Data(sorted_sets::zrevrangebylex),
        Id::Zrevrangebyscore => Data(sorted_sets::zrevrangebyscore),
        Id::Zrevrank => Data(sorted_sets::zrevrank),
        Id::Zscan => Data(sorted_sets::zscan),
        Id::Zscore => Data(sorted_sets::zscore),
        Id::Zunion => Data(sorted_sets::zunion),
        Id::Zunionstore => Data(sorted_sets::zunionstore),
        Id::Sort => Data(sort::sort),
        Id::SortRo => Data(sort::sort_ro),
        Id::Geoadd => Data(geo::geoadd),
        Id::Geodist => Data(geo::geodist),
        Id::Geohash => Data(geo::geohash),
        Id::Geopos => Data(geo::geopos),
        Id::Georadius => Data(geo::georadius),
        Id::GeoradiusRo => Data(geo::georadius_ro),
        Id::Georadiusbymember => Data(geo::georadiusbymember),
        Id::GeoradiusbymemberRo => Data(geo::georadiusbymember_ro),
        Id::Geosearch => Data(geo::geosearch),
        Id::Geosearchstore => Data(geo::geosearchstore),
        Id::Discard => Server(transactions::discard),
        Id::Exec => Server(transactions::exec),
        Id::Psync => Server(replication::psync),
        Id::Replconf => Server(replication::replconf),
        Id::Role => Server(replication::role),
        Id::Sync => Server(replication::sync),
        Id::Wait => Server(replication::wait),
        Id::Waitaof => Server(replication::waitaof),
        Id::Multi => Server(transactions::multi),
        Id::Unwatch => Server(transactions::unwatch),
        Id::Watch => Server(transactions::watch),
        Id::MemoryDoctor => Server(memory::doctor),
        Id::MemoryMallocStats => Server(memory::malloc_stats),
        Id::MemoryPurge => Server(memory::purge),
        Id::MemoryStats => Server(memory::stats),
        Id::MemoryUsage => Data(memory::usage),
        Id::Memory => Missing,
        Id::LatencyDoctor => Server(latency::doctor),
        Id::LatencyGraph => Server(latency::graph),
        Id::LatencyHistogram => Server(latency::histogram),
        Id::LatencyHistory => Server(latency::history),
        Id::LatencyLatest => Server(latency::latest),
        Id::LatencyReset => Server(latency::reset),
        Id::Failover => Server(replicaof::failover),
        Id::Replicaof | Id::Slaveof => Server(replicaof::replicaof),
        Id::SlowlogGet => Server(slowlog::get),
        Id::ClientHelp | Id::LatencyHelp | Id::MemoryHelp | Id::SlowlogHelp => Server(server::help),
        Id::SlowlogLen => Server(slowlog::len),
        Id::SlowlogReset => Server(slowlog::reset),
        Id::Latency | Id::Slowlog => Missing,
        Id::ClientCaching => Server(client::caching),
        Id::ClientGetredir => Server(client::getredir),
        Id::ClientPause => Server(client::pause),
        Id::ClientTrackinginfo => Server(client::trackinginfo),
        Id::ClientUnpause => Server(client::unpause),
        Id::Client | Id::ClientTracking | Id::ClientUnblock => Missing,
        Id::Acl
        | Id::AclCat
        | Id::AclDeluser
        | Id::AclDryrun
        | Id::AclGenpass
        | Id::AclGetuser
        | Id::AclHelp
        | Id::AclList
        | Id::AclLoad
        | Id::AclLog
        | Id::AclSave
        | Id::AclSetuser
        | Id::AclUsers
        | Id::AclWhoami
        | Id::Blmove
        | Id::Blmpop
        | Id::Blpop
        | Id::Brpop
        | Id::Brpoplpush
        | Id::Bzmpop
        | Id::Bzpopmax
        | Id::Bzpopmin
        | Id::Cluster
        | Id::ClusterAddslots
        | Id::ClusterAddslotsrange
        | Id::ClusterBumpepoch
        | Id::ClusterCountFailureReports
        | Id::ClusterDelslots
        | Id::ClusterDelslotsrange
        | Id::ClusterFailover
        | Id::ClusterFlushslots
        | Id::ClusterForget
        | Id::ClusterLinks
        | Id::ClusterMeet
        | Id::ClusterMyshardid
        | Id::ClusterReplicas
        | Id::ClusterReplicate
        | Id::ClusterReset
        | Id::ClusterSaveconfig
        | Id::ClusterSetConfigEpoch
        | Id::ClusterSetslot
        | Id::ClusterSlaves
        | Id::Config
        | Id::ConfigRewrite
        | Id::Eval
        | Id::EvalRo
        | Id::Evalsha
        | Id::EvalshaRo
        | Id::Fcall
        | Id::FcallRo
        | Id::Function
        | Id::FunctionDelete
        | Id::FunctionDump
        | Id::FunctionFlush
        | Id::FunctionHelp
        | Id::FunctionKill
        | Id::FunctionList
        | Id::FunctionLoad
        | Id::FunctionRestore
        | Id::FunctionStats
        | Id::Lolwut
        | Id::Module
        | Id::ModuleHelp
        | Id::ModuleList
        | Id::ModuleLoad
        | Id::ModuleLoadex
        | Id::ModuleUnload
        | Id::Monitor
        | Id::Object
        | Id::Proxy
        | Id::Psubscribe
        | Id::Publish
        | Id::Pubsub
        | Id::PubsubChannels
        | Id::PubsubHelp
        | Id::PubsubNumpat
        | Id::PubsubNumsub
        | Id::PubsubShardchannels
        | Id::PubsubShardnumsub
        | Id::Punsubscribe
        | Id::Script
        | Id::ScriptDebug
        | Id::ScriptExists
        | Id::ScriptFlush
        | Id::ScriptHelp
        | Id::ScriptKill
        | Id::ScriptLoad
        | Id::Slotway
        | Id::SlotwayActivate
        | Id::SlotwayFence
        | Id::SlotwayFollow
        | Id::SlotwayMigrate
        | Id::SlotwayNext
        | Id::SlotwaySession
        | Id::Spublish
        | Id::Ssubscribe
        | Id::Subscribe
        | Id::Sunsubscribe
        | Id::Unsubscribe
        | Id::Xack
        | Id::Xadd
        | Id::Xautoclaim
        | Id::Xclaim
        | Id::Xdel
        | Id::Xgroup
        | Id::XgroupCreate
        | Id::XgroupCreateconsumer
        | Id::XgroupDelconsumer
        | Id::XgroupDestroy
        | Id::XgroupHelp
        | Id::XgroupSetid
        | Id::Xinfo
        | Id::XinfoConsumers
        | Id::XinfoGroups
        | Id::XinfoHelp
        | Id::XinfoStream
        | Id::Xlen
        | Id::Xpending
        | Id::Xrange
        | Id::Xread
        | Id::Xreadgroup
        | Id::Xrevrange
        | Id::Xsetid
        | Id::Xtrim => Missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_that_says_it_has_a_handler_has_one_and_no_other() {
        for row in &slotway_commands::table::COMMANDS {
            // A container that cannot stand alone is only the way to its subcommands.
            let reachable = row.is_here() && (!row.is_container() || row.accepts(1));
            assert_eq!(!matches!(of(row.id), Missing), reachable, "{}", row.name);
        }
    }
}
