//! The replies of CLUSTER SHARDS (Redis 7.0 and later) and CLUSTER SLOTS (all versions): who holds which slots, and under
//! which address *clients* are to reach each node, which CLUSTER NODES does not tell.
//!
//! Neither tells config epochs. A missing, empty or unknown (`?`) endpoint means the address under which the answering node
//! was asked; `?` with an address in the metadata means that address. Unknown fields are passed over, and so are nodes
//! without a port for clients.

use super::{BadReply, Member, MemberId, Value, join};
use crate::{ids::Epoch, ranges::SlotRange, slot::Slot};

/// Reads a reply of CLUSTER SHARDS.
pub fn shards(reply: &Value, asked_host: &str) -> Result<Vec<Member>, BadReply> {
    let bad = |what: &str| BadReply::new(format_args!("CLUSTER SHARDS: {what}"));
    let mut members = Vec::new();
    for shard in reply.as_list().ok_or_else(|| bad("not a list"))? {
        let slots =
            shard.field("slots").and_then(Value::as_list).ok_or_else(|| bad("a shard without slots"))?;
        let slots = pairs(slots).ok_or_else(|| bad("slots that are no ranges"))?;
        let nodes =
            shard.field("nodes").and_then(Value::as_list).ok_or_else(|| bad("a shard without nodes"))?;
        let Some(owner) = primary_of(nodes) else {
            // Replicas of a primary that is not listed: nobody to hold the slots.
            continue;
        };
        let owner = MemberId(owner.to_owned());
        for node in nodes {
            let id = node.field("id").and_then(Value::as_text).ok_or_else(|| bad("a node without id"))?;
            let id = MemberId(id.to_owned());
            let is_owner = id == owner;
            members.push(Member {
                address: shard_node_address(node, asked_host),
                follows: (!is_owner).then(|| owner.clone()),
                epoch: Epoch::default(),
                slots: if is_owner { slots.clone() } else { Vec::new() },
                id,
            });
        }
    }
    Ok(members)
}

/// A shard whose primary failed may list two: the one that is online speaks for it.
fn primary_of(nodes: &[Value]) -> Option<&str> {
    let text = |node: &'_ Value, name| node.field(name).and_then(Value::as_text).map(str::to_owned);
    let is_primary = |node: &&Value| matches!(text(node, "role").as_deref(), Some("master" | "primary"));
    let is_online = |node: &&Value| text(node, "health").as_deref() == Some("online");
    let mut primaries = nodes.iter().filter(is_primary);
    let owner = primaries.clone().find(is_online).or_else(|| primaries.next())?;
    owner.field("id").and_then(Value::as_text)
}

fn shard_node_address(node: &Value, asked_host: &str) -> Option<String> {
    let port = node.field("port").and_then(Value::as_number).filter(|&port| port != 0)?;
    let named = |name| node.field(name).and_then(Value::as_text);
    Some(join(endpoint(named("endpoint"), named("ip"), asked_host), port))
}

/// Reads a reply of CLUSTER SLOTS: `[first, last, primary, replica...]`, each node `[endpoint, port, id, metadata]`.
pub fn slots(reply: &Value, asked_host: &str) -> Result<Vec<Member>, BadReply> {
    let bad = |what: &str| BadReply::new(format_args!("CLUSTER SLOTS: {what}"));
    let mut members: Vec<Member> = Vec::new();
    for entry in reply.as_list().ok_or_else(|| bad("not a list"))? {
        let Some([first, last, nodes @ ..]) = entry.as_list() else {
            return Err(bad("not a range of slots"));
        };
        let range = range(first, last).ok_or_else(|| bad("not a range of slots"))?;
        let mut owner: Option<MemberId> = None;
        for node in nodes {
            let (id, address) = slots_node(node, asked_host).ok_or_else(|| bad("a node that is none"))?;
            let held = if owner.is_none() { vec![range] } else { Vec::new() };
            match members.iter_mut().find(|member| member.id == id) {
                Some(member) => member.slots.extend(held),
                None => members.push(Member {
                    id: id.clone(),
                    address,
                    follows: owner.clone(),
                    epoch: Epoch::default(),
                    slots: held,
                }),
            }
            owner.get_or_insert(id);
        }
    }
    Ok(members)
}

/// Servers before 4.0 name no id: the address has to do.
fn slots_node(node: &Value, asked_host: &str) -> Option<(MemberId, Option<String>)> {
    let [host, port, rest @ ..] = node.as_list()? else { return None };
    let ip = rest.get(1).and_then(|metadata| metadata.field("ip")).and_then(Value::as_text);
    let port = port.as_number()?;
    let address = join(endpoint(host.as_text(), ip, asked_host), port);
    let id = rest.first().and_then(Value::as_text).map_or_else(|| address.clone(), str::to_owned);
    Some((MemberId(id), (port != 0).then_some(address)))
}

fn endpoint<'t>(given: Option<&'t str>, ip: Option<&'t str>, asked_host: &'t str) -> &'t str {
    match given {
        Some("?") => ip.filter(|ip| !ip.is_empty()).unwrap_or(asked_host),
        Some("") | None => asked_host,
        Some(host) => host,
    }
}

fn pairs(numbers: &[Value]) -> Option<Vec<SlotRange>> {
    if !numbers.len().is_multiple_of(2) {
        return None;
    }
    numbers.chunks_exact(2).map(|pair| range(&pair[0], &pair[1])).collect()
}

fn range(first: &Value, last: &Value) -> Option<SlotRange> {
    SlotRange::new(Slot::new(first.as_number()?)?, Slot::new(last.as_number()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(values: impl IntoIterator<Item = Value>) -> Value {
        Value::List(values.into_iter().collect())
    }

    fn int(number: i64) -> Value {
        Value::Integer(number)
    }

    /// A mapping in the shape of RESP2, or of RESP3.
    fn mapping(resp3: bool, pairs: Vec<(&str, Value)>) -> Value {
        let pairs = pairs.into_iter().map(|(name, value)| (Value::text(name), value));
        match resp3 {
            true => Value::Map(pairs.collect()),
            false => list(pairs.flat_map(|(name, value)| [name, value])),
        }
    }

    fn node(resp3: bool, id: &str, role: &str, health: &str, more: Vec<(&str, Value)>) -> Value {
        let mut pairs =
            vec![("id", Value::text(id)), ("role", Value::text(role)), ("health", Value::text(health))];
        pairs.extend(more);
        mapping(resp3, pairs)
    }

    fn told(members: &[Member]) -> Vec<String> {
        let line = |member: &Member| {
            let slots: Vec<String> = member.slots.iter().map(ToString::to_string).collect();
            let follows = member.follows.as_ref().map_or("-", |id| &id.0);
            format!(
                "{} {} {follows} {}",
                member.id,
                member.address.as_deref().unwrap_or("nowhere"),
                slots.join(",")
            )
        };
        members.iter().map(line).collect()
    }

    #[test]
    fn shards_are_read_in_both_protocol_versions() {
        for resp3 in [false, true] {
            let at = |ip: &str, port| {
                vec![
                    ("port", int(port)),
                    ("ip", Value::text(ip)),
                    ("endpoint", Value::text(ip)),
                    ("new", int(1)),
                ]
            };
            let nodes = list([
                node(resp3, "aa", "master", "online", at("10.0.0.1", 7001)),
                node(resp3, "bb", "replica", "loading", at("::1", 7002)),
            ]);
            let slots = list([0, 99, 200, 200].map(int));
            let empty = list([node(resp3, "cc", "master", "online", at("10.0.0.3", 7003))]);
            let reply = list([
                mapping(resp3, vec![("slots", slots), ("nodes", nodes), ("id", Value::text("s"))]),
                mapping(resp3, vec![("slots", list([])), ("nodes", empty)]),
            ]);
            let expected = ["aa 10.0.0.1:7001 - 0-99,200", "bb [::1]:7002 aa ", "cc 10.0.0.3:7003 - "];
            assert_eq!(told(&shards(&reply, "asked").unwrap()), expected);
        }
    }

    #[test]
    fn of_two_primaries_in_a_shard_the_one_online_holds_the_slots() {
        let port = || vec![("port", int(1)), ("endpoint", Value::Null)];
        let nodes = list([
            node(true, "old", "master", "failed", port()),
            node(true, "new", "master", "online", port()),
        ]);
        let reply = list([mapping(true, vec![("slots", list([int(0), int(9)])), ("nodes", nodes)])]);
        assert_eq!(told(&shards(&reply, "h").unwrap()), ["old h:1 new ", "new h:1 - 0-9"]);
    }

    #[test]
    fn an_endpoint_that_is_not_known_is_the_address_that_was_asked() {
        let at = |endpoint: Value, more: Vec<Value>| {
            let node = list([endpoint, int(7001), Value::text("aa")].into_iter().chain(more));
            let reply = list([list([int(0), int(5), node])]);
            slots(&reply, "asked").unwrap()[0].address.clone().unwrap()
        };
        let ip = || list([Value::text("ip"), Value::text("10.0.0.9")]);
        assert_eq!(at(Value::Null, vec![ip()]), "asked:7001");
        assert_eq!(at(Value::text(""), vec![]), "asked:7001");
        assert_eq!(at(Value::text("?"), vec![]), "asked:7001");
        assert_eq!(at(Value::text("?"), vec![ip()]), "10.0.0.9:7001");
        assert_eq!(at(Value::text("db.example"), vec![ip()]), "db.example:7001");
    }

    #[test]
    fn slots_of_one_owner_are_put_together_and_its_replicas_named_once() {
        let node = |id: &str, port| list([Value::text("h"), int(port), Value::text(id), list([])]);
        let reply = list([
            list([int(0), int(5), node("aa", 1), node("bb", 2)]),
            list([int(9), int(9), node("aa", 1), node("bb", 2)]),
            list([int(6), int(8), list([Value::text("old"), int(3)])]),
        ]);
        assert_eq!(
            told(&slots(&reply, "asked").unwrap()),
            ["aa h:1 - 0-5,9", "bb h:2 aa ", "old:3 old:3 - 6-8"]
        );
    }

    #[test]
    fn what_is_no_such_reply_is_refused() {
        let slots_refused = |reply: Value| slots(&reply, "asked").unwrap_err().to_string();
        assert!(slots_refused(Value::Null).contains("not a list"));
        assert!(slots_refused(list([int(1)])).contains("not a range"));
        assert!(slots_refused(list([list([int(5), int(1)])])).contains("not a range"));
        assert!(slots_refused(list([list([int(0), int(16384)])])).contains("not a range"));
        assert!(slots_refused(list([list([int(0), int(1), int(2)])])).contains("a node that is none"));
        let shards_refused = |reply: Value| shards(&reply, "asked").unwrap_err().to_string();
        assert!(shards_refused(Value::text("OK")).contains("not a list"));
        assert!(shards_refused(list([Value::Null])).contains("without slots"));
        let odd = mapping(true, vec![("slots", list([int(1)])), ("nodes", list([]))]);
        assert!(shards_refused(list([odd])).contains("no ranges"));
    }
}
