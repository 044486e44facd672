//! CLUSTER: the topology in the words of Redis Cluster, for clients in cluster mode.
//!
//! Node ids of Redis Cluster are 40 hexadecimal digits; ours (`n1`) are shown as such digits made of cluster id and
//! node id, the same on every node.

use std::{fmt::Write, hash::Hasher};

use siphasher::sip128::{Hasher128, SipHasher13};
use slotway_cluster::{
    NodeId, Slot, Topology,
    slot::{SLOTS, spread_slot},
    topology::{Node, Shard},
};
use slotway_resp::write;

use super::{connection::integer, help::write_help};
use crate::{
    call::{Done, Refusal},
    membership::{Adopted, Reads},
    server_call::ServerCall,
};

/// A lone node is a plain Redis server.
fn adopted<'a>(call: &'a ServerCall<'_>) -> Result<&'a Adopted, Refusal> {
    call.node.membership.adopted().ok_or("ERR This instance has cluster support disabled".into())
}

/// 40 hexadecimal digits that stand for a node.
fn digits(topology: &Topology, id: &NodeId) -> String {
    let mut text = String::new();
    for part in [0, 1] {
        let mut hasher = SipHasher13::new_with_keys(part, 0);
        hasher.write(topology.cluster_id.as_bytes());
        hasher.write(id.0.as_bytes());
        let hash = hasher.finish128();
        let written = write!(text, "{:016x}{:016x}", hash.h1, hash.h2);
        debug_assert!(written.is_ok(), "a String takes every character");
    }
    text.truncate(40);
    text
}

/// Host and port of `host:port`; an IPv6 host without its brackets.
fn split(addr: &str) -> (&str, i64) {
    let (host, port) = addr.rsplit_once(':').unwrap_or((addr, "0"));
    (host.trim_start_matches('[').trim_end_matches(']'), port.parse().unwrap_or(0))
}

/// A shard's nodes, its primary first.
fn members<'a>(topology: &'a Topology, shard: &'a Shard) -> impl Iterator<Item = &'a Node> {
    std::iter::once(&shard.primary).chain(&shard.replicas).filter_map(|id| topology.node(id))
}

fn number(slot: Slot) -> i64 {
    i64::from(slot.number())
}

fn text(out: &mut Vec<u8>, text: &str) {
    write::bulk(out, text.as_bytes());
}

pub(crate) fn slots(call: &mut ServerCall<'_>) -> Done {
    let topology = adopted(call)?.topology.clone();
    let version = call.version();
    let out = &mut *call.out;
    write::array(out, topology.shards.iter().map(|shard| shard.slots.len()).sum());
    for shard in &topology.shards {
        for range in &shard.slots {
            write::array(out, 2 + members(&topology, shard).count());
            write::integer(out, number(range.first()));
            write::integer(out, number(range.last()));
            for node in members(&topology, shard) {
                let (host, port) = split(&node.addr);
                write::array(out, 4);
                text(out, host);
                write::integer(out, port);
                text(out, &digits(&topology, &node.id));
                write::map(out, version, 0);
            }
        }
    }
    Ok(())
}

pub(crate) fn shards(call: &mut ServerCall<'_>) -> Done {
    let topology = adopted(call)?.topology.clone();
    let version = call.version();
    let out = &mut *call.out;
    write::array(out, topology.shards.len());
    for shard in &topology.shards {
        write::map(out, version, 2);
        text(out, "slots");
        write::array(out, 2 * shard.slots.len());
        for range in &shard.slots {
            write::integer(out, number(range.first()));
            write::integer(out, number(range.last()));
        }
        text(out, "nodes");
        write::array(out, members(&topology, shard).count());
        for node in members(&topology, shard) {
            let (host, port) = split(&node.addr);
            write::map(out, version, 7);
            text(out, "id");
            text(out, &digits(&topology, &node.id));
            text(out, "port");
            write::integer(out, port);
            text(out, "ip");
            text(out, host);
            text(out, "endpoint");
            text(out, host);
            text(out, "role");
            text(out, if node.id == shard.primary { "master" } else { "replica" });
            text(out, "replication-offset");
            write::integer(out, 0);
            text(out, "health");
            text(out, "online");
        }
    }
    Ok(())
}

/// One line per node: id, address, flags, its primary's id, times, epoch, link, slots.
pub(crate) fn nodes(call: &mut ServerCall<'_>) -> Done {
    let adopted = adopted(call)?;
    let topology = &adopted.topology;
    let mut lines = String::new();
    for shard in &topology.shards {
        for node in members(topology, shard) {
            let (_, port) = split(&node.addr);
            let is_primary = node.id == shard.primary;
            let primary = if is_primary { "-".to_owned() } else { digits(topology, &shard.primary) };
            let flags = match (node.id == adopted.me, is_primary) {
                (true, true) => "myself,master",
                (true, false) => "myself,slave",
                (false, true) => "master",
                (false, false) => "slave",
            };
            let (id, addr, epoch) = (digits(topology, &node.id), &node.addr, shard.epoch);
            let bus = port + 10_000;
            let _ = write!(lines, "{id} {addr}@{bus} {flags} {primary} 0 0 {epoch} connected");
            if is_primary {
                for range in &shard.slots {
                    let _ = write!(lines, " {range}");
                }
            }
            lines.push('\n');
        }
    }
    write::verbatim(call.out, call.version(), "txt", lines.as_bytes());
    Ok(())
}

pub(crate) fn info(call: &mut ServerCall<'_>) -> Done {
    let adopted = adopted(call)?;
    let topology = &adopted.topology;
    let assigned = topology.slots_assigned();
    let state = if assigned == usize::from(SLOTS) { "ok" } else { "fail" };
    let size = topology.shards.iter().filter(|shard| !shard.slots.is_empty()).count();
    let epoch = topology.shards.iter().map(|shard| shard.epoch.0).max().unwrap_or(0);
    let own_epoch = adopted.shard().map_or(0, |shard| shard.epoch.0);
    let fields = [
        ("cluster_state", state.to_owned()),
        ("cluster_slots_assigned", assigned.to_string()),
        ("cluster_slots_ok", assigned.to_string()),
        ("cluster_slots_pfail", "0".into()),
        ("cluster_slots_fail", "0".into()),
        ("cluster_known_nodes", topology.nodes.len().to_string()),
        ("cluster_size", size.to_string()),
        ("cluster_current_epoch", epoch.to_string()),
        ("cluster_my_epoch", own_epoch.to_string()),
        ("cluster_stats_messages_sent", "0".into()),
        ("cluster_stats_messages_received", "0".into()),
        ("total_cluster_links_buffer_limit_exceeded", "0".into()),
    ];
    let lines: String = fields.iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect();
    write::verbatim(call.out, call.version(), "txt", lines.as_bytes());
    Ok(())
}

pub(crate) fn myid(call: &mut ServerCall<'_>) -> Done {
    let adopted = adopted(call)?;
    let id = digits(&adopted.topology, &adopted.me);
    text(call.out, &id);
    Ok(())
}

/// READONLY: a replica answers this client's reads of its primary's slots from its copy.
pub(crate) fn readonly(call: &mut ServerCall<'_>) -> Done {
    set_reads(call, Reads::Copies)
}

pub(crate) fn readwrite(call: &mut ServerCall<'_>) -> Done {
    set_reads(call, Reads::Owner)
}

fn set_reads(call: &mut ServerCall<'_>, reads: Reads) -> Done {
    adopted(call)?;
    call.client.reads.set(reads);
    write::simple(call.out, "OK");
    Ok(())
}

/// ASKING: a node answers for the slots it owns and for no others, so nothing changes.
pub(crate) fn asking(call: &mut ServerCall<'_>) -> Done {
    adopted(call)?;
    write::simple(call.out, "OK");
    Ok(())
}

pub(crate) fn keyslot(call: &mut ServerCall<'_>) -> Done {
    adopted(call)?;
    write::integer(call.out, number(spread_slot(call.request.word(2))));
    Ok(())
}

/// Of the selected database.
pub(crate) fn countkeysinslot(call: &mut ServerCall<'_>) -> Done {
    adopted(call)?;
    let slot = slot(call.request.word(2)).ok_or("ERR Invalid slot")?;
    let count = call.node.keyspace.slot_len(call.client.database.get(), slot);
    write::integer(call.out, i64::try_from(count).unwrap_or(i64::MAX));
    Ok(())
}

/// Of the selected database.
pub(crate) fn getkeysinslot(call: &mut ServerCall<'_>) -> Done {
    adopted(call)?;
    let max = integer(call.request.word(3)).and_then(|max| usize::try_from(max).ok());
    let (Some(slot), Some(max)) = (slot(call.request.word(2)), max) else {
        return Err("ERR Invalid slot or number of keys".into());
    };
    let keys = call.node.keyspace.slot_keys(call.client.database.get(), slot, max);
    write::array(call.out, keys.len());
    for key in keys {
        write::bulk(call.out, key);
    }
    Ok(())
}

fn slot(word: &[u8]) -> Option<Slot> {
    integer(word).and_then(|number| u16::try_from(number).ok()).and_then(Slot::new)
}

pub(crate) fn help(call: &mut ServerCall<'_>) -> Done {
    adopted(call)?;
    write_help(
        call.out,
        "CLUSTER",
        &[
            ("COUNTKEYSINSLOT <slot>", "How many keys of the selected database are in the slot."),
            ("GETKEYSINSLOT <slot> <count>", "Some keys of the selected database in the slot."),
            ("INFO", "State and size of the cluster."),
            ("KEYSLOT <key>", "The slot of a key in a spread database."),
            ("MYID", "The id of this node."),
            ("NODES", "All nodes, a line each."),
            ("SHARDS", "Slots and nodes of each shard."),
            ("SLOTS", "Ranges of slots and the nodes that hold them."),
        ],
    );
    Ok(())
}
