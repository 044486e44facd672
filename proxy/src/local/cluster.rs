//! CLUSTER, for clients that want to speak to a cluster: the proxies are its nodes, and this one serves every slot.

use std::{fmt::Write, net::Ipv4Addr};

use slotway_cluster::{slot, topology::Proxy};
use slotway_commands::Id;
use slotway_link::End;
use slotway_resp::{Version, write};

use crate::dispatch::Case;

/// One proxy as cluster clients see a node.
struct Seen {
    /// 40 hexadecimal digits.
    id: String,
    host: String,
    port: u16,
    me: bool,
}

pub(super) fn run(case: &mut Case<'_>) {
    let version = case.client.version.get();
    match case.command.id {
        Id::ClusterKeyslot => {
            let slot = i64::from(slot::spread_slot(case.request.word(2)).number());
            case.say(|out| write::integer(out, slot));
        }
        Id::ClusterMyid => {
            let id = case.thread.shared.run_id.clone();
            case.say(|out| write::bulk(out, id.as_bytes()));
        }
        Id::ClusterInfo => info(case),
        Id::ClusterSlots => {
            let seen = proxies(case);
            case.say(|out| slots(out, version, &seen));
        }
        Id::ClusterShards => {
            let seen = proxies(case);
            case.say(|out| shards(out, version, &seen));
        }
        _ => nodes(case),
    }
}

/// This proxy first: it serves all slots to whoever came to it; the others stand by as its replicas.
fn proxies(case: &Case<'_>) -> Vec<Seen> {
    let topology = case.thread.topology();
    let shared = &case.thread.shared;
    let host = match shared.announce.as_str() {
        "" => host(&case.client.local),
        announced => announced.to_owned(),
    };
    let me = Seen { id: shared.run_id.clone(), host, port: shared.port, me: true };
    let others = topology.proxies.iter().filter_map(|proxy| other(proxy, shared.port));
    [me].into_iter().chain(others).collect()
}

/// The address that a client came to. Who came through a Unix socket is on this machine.
fn host(local: &End) -> String {
    match local {
        End::Tcp(address) => address.ip().to_string(),
        End::Unix(_) => Ipv4Addr::LOCALHOST.to_string(),
    }
}

fn other(proxy: &Proxy, my_port: u16) -> Option<Seen> {
    let (host, port) = proxy.addr.rsplit_once(':')?;
    let port = port.parse().ok().filter(|&port| port != my_port)?;
    // Stable, and different for each proxy of a topology: the address in hexadecimal digits.
    let mut id: String = proxy.addr.bytes().fold(String::new(), |id, byte| format!("{id}{byte:02x}"));
    id.truncate(40);
    Some(Seen { id: format!("{id:0<40}"), host: host.to_owned(), port, me: false })
}

fn info(case: &mut Case<'_>) {
    let topology = case.thread.topology();
    let (assigned, known) = (topology.slots_assigned(), topology.proxies.len().max(1));
    let state = if assigned == usize::from(slot::SLOTS) { "ok" } else { "fail" };
    let text = format!(
        "cluster_enabled:1\r\ncluster_state:{state}\r\ncluster_slots_assigned:{assigned}\r\ncluster_slots_ok:{assigned}\r\n\
         cluster_slots_pfail:0\r\ncluster_slots_fail:0\r\ncluster_known_nodes:{known}\r\ncluster_size:1\r\n\
         cluster_current_epoch:{0}\r\ncluster_my_epoch:{0}\r\ncluster_stats_messages_sent:0\r\n\
         cluster_stats_messages_received:0\r\ntotal_cluster_links_buffer_limit_exceeded:0\r\n",
        topology.version
    );
    let version = case.client.version.get();
    case.say(|out| write::verbatim(out, version, "txt", text.as_bytes()));
}

fn slots(out: &mut Vec<u8>, version: Version, seen: &[Seen]) {
    write::array(out, 1);
    write::array(out, 2 + seen.len());
    write::integer(out, 0);
    write::integer(out, i64::from(slot::SLOTS) - 1);
    for proxy in seen {
        write::array(out, 4);
        write::bulk(out, proxy.host.as_bytes());
        write::integer(out, i64::from(proxy.port));
        write::bulk(out, proxy.id.as_bytes());
        write::map(out, version, 0);
    }
}

fn shards(out: &mut Vec<u8>, version: Version, seen: &[Seen]) {
    write::array(out, 1);
    write::map(out, version, 2);
    write::bulk(out, b"slots");
    write::array(out, 2);
    write::integer(out, 0);
    write::integer(out, i64::from(slot::SLOTS) - 1);
    write::bulk(out, b"nodes");
    write::array(out, seen.len());
    for proxy in seen {
        write::map(out, version, 7);
        let role = if proxy.me { "master" } else { "replica" };
        write::bulk(out, b"id");
        write::bulk(out, proxy.id.as_bytes());
        write::bulk(out, b"port");
        write::integer(out, i64::from(proxy.port));
        for (name, value) in [("ip", &proxy.host), ("endpoint", &proxy.host)] {
            write::bulk(out, name.as_bytes());
            write::bulk(out, value.as_bytes());
        }
        write::bulk(out, b"role");
        write::bulk(out, role.as_bytes());
        write::bulk(out, b"replication-offset");
        write::integer(out, 0);
        write::bulk(out, b"health");
        write::bulk(out, b"online");
    }
}

fn nodes(case: &mut Case<'_>) {
    let (seen, version) = (proxies(case), case.client.version.get());
    let mut text = String::new();
    for proxy in &seen {
        let Seen { id, host, port, me } = proxy;
        let (flags, primary, slots) =
            if *me { ("myself,master", "-", " 0-16383") } else { ("slave", seen[0].id.as_str(), "") };
        let bus = u32::from(*port) + 10_000;
        let written = writeln!(text, "{id} {host}:{port}@{bus} {flags} {primary} 0 0 1 connected{slots}");
        debug_assert!(written.is_ok(), "a String takes every character");
    }
    case.say(|out| write::verbatim(out, version, "txt", text.as_bytes()));
}
