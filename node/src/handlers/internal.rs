//! SLOTWAY: what members of the cluster say to each other. Refused to everybody else. PROXY, which only a proxy knows.

use serde_json::json;
use slotway_cluster::{Epoch, NodeId, ShardId, Topology};
use slotway_commands::errors;
use slotway_config::{Address, Key};
use slotway_link::End;
use slotway_resp::write;

use crate::{
    call::{Done, Refusal},
    client::{Client, Standing},
    identity::SOFTWARE,
    membership::{LedBy, LinkSaid},
    node::Node,
    server_call::ServerCall,
};

/// PROXY is answered by proxies; a node, as any server that is none, does not know it.
pub(crate) fn proxy(call: &mut ServerCall<'_>) -> Done {
    let text = errors::unknown_command(call.request).text;
    Err(String::from_utf8_lossy(&text).into_owned().into())
}

fn only_members(call: &ServerCall<'_>) -> Result<(), Refusal> {
    match call.client.standing.get() {
        Standing::Member => Ok(()),
        Standing::User | Standing::Stranger | Standing::Primary => {
            Err("NOPERM SLOTWAY is spoken among members only: AUTH slotway <the cluster's secret>".into())
        }
    }
}

/// `SLOTWAY TOPOLOGY version json [node-id]`: this is the cluster's topology, and this node is `node-id` in it.
///
/// `version` is the topology's own, so that a stale one is refused before it is read. The node's id may be left out
/// once the node is adopted. Answers OK, also when the node already has this version or a later one. A topology of
/// another cluster, one that contradicts itself, one that does not list the node, or one with another placement than
/// the node's keys are laid out by, is an error and changes nothing.
pub(crate) fn topology(call: &mut ServerCall<'_>) -> Done {
    only_members(call)?;
    let request = call.request;
    let version: u64 = super::connection::integer(request.word(2))
        .and_then(|number| u64::try_from(number).ok())
        .ok_or("ERR value is not an integer or out of range")?;
    let topology: Topology =
        serde_json::from_slice(request.word(3)).map_err(|error| format!("ERR invalid topology: {error}"))?;
    if topology.version != version {
        return Err(
            format!("ERR invalid topology: version {} was announced as {version}", topology.version).into()
        );
    }
    let adopted = call.node.membership.adopted();
    let me = match (request.get(4), adopted) {
        (Some(id), _) => NodeId(String::from_utf8_lossy(id).into_owned()),
        (None, Some(adopted)) => adopted.me.clone(),
        (None, None) => return Err("ERR this node has not been adopted: say which node it is".into()),
    };
    call.node.take_topology(topology, me, LedBy::Topology)?;
    write::simple(call.out, "OK");
    Ok(())
}

/// `SLOTWAY LINK cluster-id shard epoch version`: whoever uses this connection sends by this topology. Answers OK, `-STALE epoch
/// version` to who is behind. Who is ahead of this node is answered, and its requests wait until the node has that topology.
pub(crate) fn link(call: &mut ServerCall<'_>) -> Done {
    only_members(call)?;
    let number = |index: usize| {
        super::connection::integer(call.request.word(index)).and_then(|number| u64::try_from(number).ok())
    };
    let (Some(shard), Some(epoch), Some(version)) = (number(3), number(4), number(5)) else {
        return Err(errors::NOT_INTEGER.into());
    };
    let shard = ShardId(u32::try_from(shard).map_err(|_| errors::NOT_INTEGER)?);
    let said = LinkSaid { epoch: Epoch(epoch), version };
    call.node.hear_link(call.client, call.request.word(2), shard, said)?;
    write::simple(call.out, "OK");
    Ok(())
}

/// `SLOTWAY STATE`: a bulk of JSON: who this node is, what it holds, which topology it follows. What is unknown is
/// null.
pub(crate) fn state(call: &mut ServerCall<'_>) -> Done {
    only_members(call)?;
    let node = &mut *call.node;
    let pulse_address = node.pulse_port.and_then(|port| pulse_address(node, call.client, port));
    let keys = node.keys();
    let memory_bytes = node.memory.read().allocated;
    let adopted = node.membership.adopted();
    let shard = adopted.and_then(|adopted| adopted.shard());
    let role = match (adopted, shard) {
        (None, _) | (Some(_), None) => "none",
        (Some(adopted), Some(_)) if adopted.is_primary() => "primary",
        (Some(_), Some(_)) => "replica",
    };
    let state = json!({
        "id": adopted.map(|adopted| &adopted.me),
        "cluster_id": adopted.map(|adopted| &adopted.topology.cluster_id),
        "version": adopted.map(|adopted| adopted.topology.version),
        "shard": shard.map(|shard| shard.id),
        "epoch": shard.map(|shard| shard.epoch),
        "role": role,
        "incarnation": node.identity.incarnation,
        "pulse_addr": pulse_address,
        "part": node.vitals.told().part,
        "position": node.vitals.position(),
        "seen": node.vitals.seen(),
        "keys": keys,
        "memory_bytes": memory_bytes,
        "software": SOFTWARE,
    });
    write::bulk(call.out, state.to_string().as_bytes());
    Ok(())
}

/// Where members reach the pulse: at the address that the node announces, else at the one that this member has reached.
fn pulse_address(node: &Node, client: &Client, port: u16) -> Option<String> {
    let host = match (node.settings.text(Key::Announce).parse::<Address>(), &client.local) {
        (Ok(announced), _) => announced.host,
        (Err(_), End::Tcp(local)) => local.ip().to_string(),
        (Err(_), End::Unix(_)) => return None,
    };
    Some(Address { host, port }.to_string())
}
