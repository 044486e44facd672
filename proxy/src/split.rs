//! Requests whose keys lie apart: cut by slot owner, sent side by side, put together in the order of the request.
//!
//! The parts run independently on their shards: a split request is not atomic, as the documentation says. Commands
//! that promise atomicity (MSETNX) are never split; their rows say so.

use slotway_commands::{
    keys,
    row::{MergeRule, SplitRule},
};
use slotway_resp::write;

use crate::{
    dispatch::Case,
    errors,
    gather::{Gather, Merge},
    link::Errand,
};

/// The words of one part: which key positions go to one shard.
struct Part {
    shard: usize,
    keys: Vec<usize>,
}

/// Treats a request whose row allows splitting.
pub(crate) fn run(case: &mut Case<'_>, rule: SplitRule) {
    let step = match rule {
        SplitRule::MultiSet => 2,
        SplitRule::MultiGet | SplitRule::Sum => 1,
    };
    if !(case.request.len() - 1).is_multiple_of(step) {
        let text = slotway_commands::errors::wrong_arity(case.command).text;
        return case.refuse(&text);
    }
    let Ok(positions) = keys::positions(case.command, case.request) else {
        return case.refuse(slotway_commands::errors::SYNTAX.as_bytes());
    };
    let placement = case.thread.placement();
    let mut parts: Vec<Part> = Vec::new();
    let mut order: Vec<u32> = Vec::new();
    for index in positions {
        let slot = case.slot_of(&placement, case.request.word(index));
        let Some(shard) = case.thread.owner(slot) else {
            drop(placement);
            return case.say(|out| out.extend_from_slice(errors::NO_OWNER));
        };
        let known = parts.iter().position(|part| part.shard == shard);
        let part = known.unwrap_or_else(|| {
            parts.push(Part { shard, keys: Vec::new() });
            parts.len() - 1
        });
        parts[part].keys.push(index);
        order.push(u32::try_from(part).expect("fewer shards than slots"));
    }
    drop(placement);
    if let [only] = parts.as_slice() {
        return case.send_to_shard(only.shard);
    }
    let merge = match rule {
        SplitRule::MultiGet => Merge::Interleave(order),
        SplitRule::MultiSet => Merge::Rule(MergeRule::AllOk),
        SplitRule::Sum => Merge::Rule(MergeRule::Sum),
    };
    let gather = Gather::new(parts.len(), merge, case.thread.random());
    let ticket = case.replies.gather(gather, case.heard);
    for (number, part) in (0u32..).zip(&parts) {
        let link = case.link(part.shard);
        let errand = Errand { client: case.client, command: case.command, ticket, part: Some(number) };
        let request = case.request;
        link.send_with(case.thread, case.replies, errand, |out| {
            write::array(out, 1 + part.keys.len() * step);
            write::bulk(out, request.word(0));
            for &key in &part.keys {
                (key..key + step).for_each(|word| write::bulk(out, request.word(word)));
            }
        });
    }
}
