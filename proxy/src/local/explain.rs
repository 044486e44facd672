//! PROXY EXPLAIN: how a request would be routed, split and merged, and what atomicity it would have, without running it.
//!
//! It is answered from what dispatching reads (the command's row, its keys, placement, topology), so that it says what
//! would happen now, in the database that the client has selected. Of a shard that a control group leads it says in which epoch
//! the proxy would ask whom, and how its link there is: `quiet` and `down` mean that requests are held.

use slotway_cluster::{Epoch, Placement, Slot};
use slotway_commands::{
    Command, errors, keys, lookup,
    row::{MergeRule, Policy, SplitRule},
};
use slotway_resp::{Request, write};

use crate::{dispatch, dispatch::Case, every_shard, wait};

/// Keys that are quoted for each part.
const KEYS_SHOWN_MAX: usize = 16;

const ATOMIC: &str = "atomic";
const APART: &str = "each part is atomic on its shard, the parts together are not";

/// What would become of a request.
struct Plan<'a> {
    route: &'static str,
    link: &'static str,
    parts: Vec<Part<'a>>,
    merge: &'static str,
    atomicity: &'static str,
    /// The client would be told this, and nothing would be sent.
    error: Option<Vec<u8>>,
}

/// What one shard would get.
struct Part<'a> {
    /// None: no shard owns the slot.
    shard: Option<usize>,
    slots: Vec<Slot>,
    keys: Vec<&'a [u8]>,
}

pub(super) fn run(case: &mut Case<'_>) {
    let inner = case.request.skip(2);
    let command = match lookup::resolve(inner) {
        Ok(command) => command,
        Err(error) => return case.refuse(&error.text),
    };
    let mut plan = Plan::of(case, command, inner);
    if plan.link == "shared" && case.client_reads_from_replicas(command) {
        plan.link = "shared, to a replica";
    }
    let mut reply = Vec::new();
    plan.write(case, command, &mut reply);
    case.say(|out| out.extend_from_slice(&reply));
}

impl<'a> Plan<'a> {
    fn of(case: &Case<'a>, command: &Command, request: Request<'a>) -> Plan<'a> {
        let shared = |parts| Plan::to("one slot", "shared", parts, "none", ATOMIC);
        match command.proxy {
            Policy::Local | Policy::ClientState | Policy::Transaction if !command.has_keys() => {
                Plan::to("proxy", "none", Vec::new(), "none", "answered by the proxy alone")
            }
            Policy::LeasedWith(option) if !has_option(request, option) => {
                shared(keyed(case, command, request)).in_one_slot(case)
            }
            Policy::Leased
            | Policy::LeasedWith(_)
            | Policy::Transaction
            | Policy::Local
            | Policy::ClientState => {
                let parts = keyed(case, command, request);
                Plan::to("one slot", "leased", parts, "none", ATOMIC).in_one_slot(case)
            }
            Policy::OneSlot => shared(keyed(case, command, request)).in_one_slot(case),
            Policy::Split(rule) => match keyed(case, command, request) {
                parts if parts.len() > 1 => {
                    Plan::to("split by shard", "shared", parts, of_split(rule), APART)
                }
                parts => shared(parts),
            },
            Policy::EveryShard(rule) if every_shard::is_of_database(command.id) => {
                Plan::everywhere(of_database(case), rule)
            }
            Policy::EveryShard(rule) if command.is_blocking() => match wait::refused_by(case.thread.kind()) {
                Some(text) => Plan::refused(text.as_bytes().to_vec()),
                None => Plan { link: "leased", ..Plan::everywhere(all(case), rule) },
            },
            Policy::EveryShard(rule) => Plan::everywhere(all(case), rule),
            Policy::Scan => {
                let parts = of_database(case);
                let merge = "the cursor names the shard, one after the other";
                Plan::to("scan", "shared", parts, merge, "each page is atomic on its shard")
            }
            Policy::Config => Plan::to(
                "proxy and every shard",
                "shared",
                all(case),
                "the proxy's own settings over the nodes'",
                APART,
            ),
            Policy::Info => Plan::to("every shard", "shared", all(case), "field by field", APART),
            Policy::Latency => {
                Plan::to("every shard", "shared", all(case), "numbers added, texts shard by shard", APART)
            }
            Policy::AnyNode => Plan::to("any shard", "shared", any(case), "none", ATOMIC),
            Policy::NamedSlot => match dispatch::named(request) {
                Ok(slot) => shared(vec![Part::of_slot(case, slot)]),
                Err(text) => Plan::refused(text.as_bytes().to_vec()),
            },
            Policy::Refused(reason) => Plan::refused(errors::refused(reason).into_bytes()),
        }
    }

    fn to(
        route: &'static str,
        link: &'static str,
        parts: Vec<Part<'a>>,
        merge: &'static str,
        atomicity: &'static str,
    ) -> Plan<'a> {
        let unserved = parts.iter().any(|part| part.shard.is_none());
        let error = unserved.then(|| errors::SLOT_NOT_SERVED.as_bytes().to_vec());
        Plan { route, link, parts, merge, atomicity, error }
    }

    fn everywhere(parts: Vec<Part<'a>>, rule: MergeRule) -> Plan<'a> {
        match parts.len() {
            0 | 1 => Plan::to("one shard", "shared", parts, "none", ATOMIC),
            _ => Plan::to("every shard", "shared", parts, of_merge(rule), APART),
        }
    }

    fn refused(text: Vec<u8>) -> Plan<'a> {
        let atomicity = "nothing is executed";
        Plan {
            route: "refused",
            link: "none",
            parts: Vec::new(),
            merge: "none",
            atomicity,
            error: Some(text),
        }
    }

    /// What must not be cut is refused when its keys lie apart, also on one shard: slots move.
    fn in_one_slot(self, case: &Case<'_>) -> Plan<'a> {
        let database = case.client.database.get();
        let placement = case.thread.placement();
        if !placement.is_spread(database) {
            return self;
        }
        let keys: Vec<&[u8]> = self.parts.iter().flat_map(|part| part.keys.iter().copied()).collect();
        let Some((first, others)) = keys.split_first() else { return self };
        let slot = case.slot_of(&placement, first);
        match others.iter().find(|key| case.slot_of(&placement, key) != slot) {
            Some(other) => Plan::refused(errors::cross_slot(first, other)),
            None => self,
        }
    }

    fn write(&self, case: &Case<'_>, command: &Command, out: &mut Vec<u8>) {
        let (version, database) = (case.client.version.get(), case.client.database.get());
        let spread = if case.thread.placement().is_spread(database) { "spread" } else { "whole" };
        let topology = case.thread.topology();
        write::map(out, version, 7 + 1 + usize::from(self.error.is_some()));
        let text = |out: &mut Vec<u8>, name: &str, value: &[u8]| {
            write::bulk(out, name.as_bytes());
            write::bulk(out, value);
        };
        text(out, "command", command.name.as_bytes());
        write::bulk(out, b"database");
        write::integer(out, i64::from(database.0));
        text(out, "placement", spread.as_bytes());
        text(out, "route", self.route.as_bytes());
        text(out, "link", self.link.as_bytes());
        write::bulk(out, b"parts");
        write::array(out, self.parts.len());
        for part in &self.parts {
            let shard = part.shard.and_then(|index| topology.shards.get(index));
            let name = shard.map_or_else(|| "none".to_owned(), |shard| format!("shard-{}", shard.id));
            let node = part.shard.map_or_else(|| "none".into(), |index| case.thread.address(index));
            let standing = part.shard.and_then(|index| case.standing(index));
            write::map(out, version, 4 + if standing.is_some() { 2 } else { 0 });
            text(out, "shard", name.as_bytes());
            text(out, "node", node.as_bytes());
            if let Some((epoch, state)) = standing {
                write::bulk(out, b"epoch");
                write::integer(out, i64::try_from(epoch.0).unwrap_or(i64::MAX));
                text(out, "state", state.as_bytes());
            }
            part.write_places(out);
        }
        text(out, "merge", self.merge.as_bytes());
        text(out, "atomicity", self.atomicity.as_bytes());
        if let Some(error) = &self.error {
            text(out, "error", error);
        }
    }
}

impl Case<'_> {
    /// Of a shard that a control group leads: its epoch, and how the client's link to its primary is. None: of another.
    fn standing(&self, shard: usize) -> Option<(Epoch, &'static str)> {
        let epoch = Some(self.thread.epoch(shard)).filter(|&epoch| epoch != Epoch(0))?;
        let (version, database) = (self.client.version.get(), self.client.database.get());
        let link = self.thread.link(shard, version, database);
        Some((epoch, link.state().label()))
    }
}

impl<'a> Part<'a> {
    fn of_slot(case: &Case<'_>, slot: Slot) -> Part<'a> {
        Part { shard: case.thread.owner(slot), slots: vec![slot], keys: Vec::new() }
    }

    fn write_places(&self, out: &mut Vec<u8>) {
        write::bulk(out, b"slots");
        write::array(out, self.slots.len());
        self.slots.iter().for_each(|slot| write::integer(out, i64::from(slot.number())));
        write::bulk(out, b"keys");
        write::array(out, self.keys.len().min(KEYS_SHOWN_MAX));
        self.keys.iter().take(KEYS_SHOWN_MAX).for_each(|key| write::bulk(out, key));
    }
}

/// The shards of a request's keys, in the order in which they are first met.
fn keyed<'a>(case: &Case<'a>, command: &Command, request: Request<'a>) -> Vec<Part<'a>> {
    let database = case.client.database.get();
    let placement = case.thread.placement();
    let keys: Vec<&[u8]> = match keys::positions(command, request) {
        Ok(positions) => positions.map(|index| request.word(index)).collect(),
        Err(_) => Vec::new(),
    };
    if !placement.is_spread(database) {
        return vec![Part { keys, ..Part::of_slot(case, Placement::home(database)) }];
    }
    if keys.is_empty() {
        return any(case);
    }
    let mut parts: Vec<Part<'a>> = Vec::new();
    for key in keys {
        let slot = case.slot_of(&placement, key);
        let shard = case.thread.owner(slot);
        let known = parts.iter().position(|part| part.shard == shard);
        let at = known.unwrap_or_else(|| {
            parts.push(Part { shard, slots: Vec::new(), keys: Vec::new() });
            parts.len() - 1
        });
        let part = &mut parts[at];
        if !part.slots.contains(&slot) {
            part.slots.push(slot);
        }
        part.keys.push(key);
    }
    parts
}

/// The shards that hold keys of the selected database.
fn of_database<'a>(case: &Case<'_>) -> Vec<Part<'a>> {
    let database = case.client.database.get();
    match case.thread.placement().is_spread(database) {
        true => all(case),
        false => vec![Part::of_slot(case, Placement::home(database))],
    }
}

fn all<'a>(case: &Case<'_>) -> Vec<Part<'a>> {
    let shards = 0..case.thread.shard_count();
    shards.map(|shard| Part { shard: Some(shard), slots: Vec::new(), keys: Vec::new() }).collect()
}

fn any<'a>(case: &Case<'_>) -> Vec<Part<'a>> {
    let shard = (case.thread.shard_count() > 0).then_some(0);
    vec![Part { shard, slots: Vec::new(), keys: Vec::new() }]
}

fn has_option(request: Request<'_>, option: &str) -> bool {
    request.words().skip(1).any(|word| word.eq_ignore_ascii_case(option.as_bytes()))
}

fn of_split(rule: SplitRule) -> &'static str {
    match rule {
        SplitRule::MultiGet => "values in the order of the keys",
        SplitRule::MultiSet => "OK when all say OK",
        SplitRule::Sum => "sum",
    }
}

fn of_merge(rule: MergeRule) -> &'static str {
    match rule {
        MergeRule::Sum => "sum",
        MergeRule::Min => "smallest",
        MergeRule::AllOk => "OK when all say OK",
        MergeRule::AnyOk => "OK when one says OK",
        MergeRule::First => "the first reply",
        MergeRule::Concat => "one behind the other",
        MergeRule::Random => "one of them at random",
        MergeRule::SumFields => "numbers added field by field",
    }
}
