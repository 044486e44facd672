//! WATCH: a link of the client's own, because the node remembers for its connection what is watched.

use std::rc::Rc;

use slotway_cluster::Slot;
use slotway_commands::{errors, keys};
use slotway_resp::write;

use crate::{
    client::{Client, Leased, Watch},
    dispatch::Case,
    lease,
    link::{Errand, unit::Unit},
    thread::Thread,
    transaction::{Spot, abandon},
};

/// Nothing of the client is in flight: it may take another link.
pub(super) fn watch(case: &mut Case<'_>) {
    let client = case.client;
    if client.transaction.borrow().is_some() {
        return case.refuse(errors::WATCH_INSIDE_MULTI.as_bytes());
    }
    let spot = match watched(case) {
        Ok(spot) => spot,
        Err(text) => return case.refuse(&text),
    };
    let Some(shard) = spot.slot.and_then(|slot| case.thread.owner(slot)) else {
        return case.homeless = true;
    };
    if client.lease.borrow().is_none() {
        match lease::take(case.thread, client, shard, client.database.get()) {
            Ok(lease) => {
                let watch = Some(Watch { spot, began: Rc::default() });
                *client.lease.borrow_mut() = Some(Box::new(Leased { lease, watch }));
                client.apart.set(true);
            }
            Err(line) => return case.say(|out| out.extend_from_slice(&line)),
        }
    }
    let leased = client.lease.borrow();
    let good = leased.as_deref().filter(|leased| is_good(case.thread, client, leased));
    let Some((lease, watch)) = good.and_then(|leased| Some((&leased.lease, leased.watch.as_ref()?))) else {
        // What was watched before is lost already: EXEC will say so, whatever is watched now.
        return case.say(|out| write::simple(out, "OK"));
    };
    let ticket = case.replies.expect(case.heard);
    let errand = Errand { client, command: case.command, ticket, part: None };
    let (unit, request) = (Unit::Watch(Rc::clone(&watch.began)), case.request);
    lease.link.send_unit(case.thread, case.replies, errand, unit, |out| request.write(out));
}

/// Nothing of the client is in flight, and it is not about to begin a transaction (which may have been sent together with
/// its WATCH and must not run without it): its next request is another, or it is silent. A link on which no WATCH
/// succeeded is of no use then, and binds it to no slot.
pub(crate) fn forget_failed_watch(thread: &Thread, client: &Client) {
    let is_failed = |leased: &Leased| leased.watch.as_ref().is_some_and(|watch| !watch.began.get());
    if client.transaction.borrow().is_none() && client.lease.borrow().as_deref().is_some_and(is_failed) {
        abandon(thread, client);
    }
}

/// Where the keys of a WATCH lie: all in one slot, together with what is watched already.
fn watched(case: &Case<'_>) -> Result<Spot, Vec<u8>> {
    let database = case.client.database.get();
    let positions =
        keys::positions(case.command, case.request).map_err(|_| errors::SYNTAX.as_bytes().to_vec())?;
    let placement = case.thread.placement();
    let mut first =
        case.client.lease.borrow().as_ref().and_then(|leased| Some(leased.watch.as_ref()?.spot.clone()));
    for index in positions {
        let key = case.request.word(index);
        let spot = Spot { database, slot: Some(case.slot_of(&placement, key)), key: key.to_vec() };
        match &first {
            Some(first) if !first.agrees(&spot) => return Err(errors::cross_slot(&first.key, key)),
            Some(_) => {}
            None => first = Some(spot),
        }
    }
    first.ok_or_else(|| errors::SYNTAX.as_bytes().to_vec())
}

/// Whether what the node knows of the client's own link still counts.
pub(super) fn is_good(thread: &Thread, client: &Client, leased: &Leased) -> bool {
    !leased.lease.is_lost()
        && leased.lease.link.key.version == client.version.get()
        && leased.watch.as_ref().is_none_or(|watch| leads_to_owner(thread, leased, watch.spot.slot))
}

/// Whether the client's own link leads to who owns the slot. None: any node will do.
pub(super) fn leads_to_owner(thread: &Thread, leased: &Leased, slot: Option<Slot>) -> bool {
    let leads_to = |shard| thread.leads_to(&leased.lease.link, shard);
    slot.is_none_or(|slot| thread.owner(slot).is_some_and(leads_to))
}
