//! Requests that concern every shard: sent to each primary, and the replies merged; SCAN, which visits one by one.

use slotway_cluster::{
    Placement, Slot,
    cursor::{BackendCursor, Cursor},
    topology::Kind,
};
use slotway_commands::{Id, row::MergeRule};
use slotway_resp::{Frame, Limits, write};

use crate::{
    dispatch::Case,
    gather::{self, Gather, Merge},
    link::Errand,
};

/// Sends the request to every shard that may hold keys of the client's database.
pub(crate) fn run(case: &mut Case<'_>, rule: MergeRule) {
    let shards = shards_of(case);
    match shards.as_slice() {
        [] => case.homeless = true,
        &[only] => case.send_to_shard(only),
        many if rule == MergeRule::Random => random_of(case, many),
        many => fan_out(case, many, Merge::Rule(rule)),
    }
}

/// Speaks of the selected database only.
pub(crate) fn is_of_database(id: Id) -> bool {
    matches!(id, Id::Dbsize | Id::Keys | Id::Flushdb | Id::Randomkey)
}

/// FLUSHALL and statistics speak of all databases; the others of the selected one, which a whole database keeps on
/// one shard.
fn shards_of(case: &Case<'_>) -> Vec<usize> {
    let database = case.client.database.get();
    if is_of_database(case.command.id) && !case.thread.placement().is_spread(database) {
        return case.thread.owner(Placement::home(database)).into_iter().collect();
    }
    (0..case.thread.shard_count()).collect()
}

/// The request as it is to all of `shards`.
pub(crate) fn fan_out(case: &mut Case<'_>, shards: &[usize], merge: Merge) {
    if shards.is_empty() {
        return case.homeless = true;
    }
    let gather = Gather::new(shards.len(), merge, case.thread.random());
    let ticket = case.replies.gather(gather, case.heard);
    for (part, &shard) in (0u32..).zip(shards) {
        let link = case.link(shard);
        let errand = Errand { client: case.client, command: case.command, ticket, part: Some(part) };
        link.send(case.thread, case.replies, errand, case.request);
    }
}

/// RANDOMKEY: each shard names one of its keys and its number of keys, so that every key is as likely as any other.
fn random_of(case: &mut Case<'_>, shards: &[usize]) {
    let random = case.thread.random();
    let count = shards.len();
    let choose = move |parts: Vec<Vec<u8>>, out: &mut Vec<u8>| {
        if let Some(error) = gather::first_error(&parts) {
            return out.extend_from_slice(error);
        }
        let (keys, sizes) = parts.split_at(count);
        let weight = |part: &[u8]| match Frame::parse(part, &Limits::REPLY) {
            Ok(Some((Frame::Integer(size), _))) => u64::try_from(size).unwrap_or(0),
            _ => 0,
        };
        // A shard may count keys and still name none: all of them have expired.
        let named = || keys.iter().zip(sizes).filter(|(key, _)| !gather::is_null(key));
        let total: u64 = named().map(|(_, size)| weight(size)).sum();
        let mut left = random % total.max(1);
        let mut chosen = named().next().map_or(&keys[0], |(key, _)| key);
        for (key, size) in named() {
            let size = weight(size);
            if left < size {
                chosen = key;
                break;
            }
            left -= size;
        }
        out.extend_from_slice(chosen);
    };
    let gather = Gather::new(2 * count, Merge::Custom(Box::new(choose)), random);
    let ticket = case.replies.gather(gather, case.heard);
    for (number, &shard) in (0u32..).zip(shards) {
        let link = case.link(shard);
        let mut part = number;
        for words in [[b"RANDOMKEY".as_slice()], [b"DBSIZE".as_slice()]] {
            let errand = Errand { client: case.client, command: case.command, ticket, part: Some(part) };
            link.send_with(case.thread, case.replies, errand, |out| write::request(out, &words));
            part += u32::try_from(count).expect("fewer shards than slots");
        }
    }
}

/// SCAN: the cursor names the slot, and so the shard. Slots are visited in their order, so that a slot that moves to
/// another shard meanwhile is not missed; at the end of a run of slots the next one's owner goes on. Plain Redis servers
/// are visited one after the other.
pub(crate) fn scan(case: &mut Case<'_>) {
    if case.thread.shard_count() == 0 {
        return case.homeless = true;
    }
    let word = case.request.word(1);
    let Some(number) = std::str::from_utf8(word).ok().and_then(|text| text.parse::<u64>().ok()) else {
        return case.refuse(slotway_commands::errors::INVALID_CURSOR.as_bytes());
    };
    if case.thread.kind() != Kind::Slotway {
        return scan_backend(case, number);
    }
    let database = case.client.database.get();
    if !case.thread.placement().is_spread(database) {
        return case.send_to(Placement::home(database));
    }
    let from = Cursor::decode(number);
    let owned = from
        .and_then(|from| Slot::all().skip(from.slot.index()).find(|&slot| case.thread.owner(slot).is_some()));
    let (Some(from), Some(slot)) = (from, owned) else { return case.say(empty_page) };
    let cursor = if slot == from.slot { number } else { Cursor::start_of(slot).encode() };
    let owner = case.thread.owner(slot);
    let behind = Slot::all().skip(slot.index()).find(|&slot| case.thread.owner(slot) != owner);
    let go_on = move |next: u64| {
        let behind = behind.map(|slot| Cursor::start_of(slot).encode());
        Some(match behind {
            None => next,
            Some(behind) if next == 0 => behind,
            Some(behind) => next.min(behind),
        })
    };
    scan_page(case, owner.unwrap_or(0), cursor, go_on);
}

/// One page of one shard: SCAN with its `cursor`; the cursor of the reply becomes what `go_on` makes of it (None: cannot
/// be told to a client).
fn scan_page(
    case: &mut Case<'_>,
    shard: usize,
    cursor: u64,
    go_on: impl FnOnce(u64) -> Option<u64> + 'static,
) {
    let rewrite = move |parts: Vec<Vec<u8>>, out: &mut Vec<u8>| {
        let Some((next, items)) = page(&parts[0]) else { return out.extend_from_slice(&parts[0]) };
        let Some(next) = go_on(next) else {
            return write::error(
                out,
                b"ERR this server's SCAN cursor is too large to travel through the proxy",
            );
        };
        write::array(out, 2);
        write::bulk(out, next.to_string().as_bytes());
        out.extend_from_slice(items);
    };
    let gather = Gather::new(1, Merge::Custom(Box::new(rewrite)), 0);
    let ticket = case.replies.gather(gather, case.heard);
    let link = case.link(shard);
    let errand = Errand { client: case.client, command: case.command, ticket, part: Some(0) };
    let request = case.request;
    link.send_with(case.thread, case.replies, errand, |out| {
        write::array(out, request.len());
        write::bulk(out, request.word(0));
        write::bulk(out, cursor.to_string().as_bytes());
        request.words().skip(2).for_each(|word| write::bulk(out, word));
    });
}

/// Nothing, and nothing behind it.
fn empty_page(out: &mut Vec<u8>) {
    write::array(out, 2);
    write::bulk(out, b"0");
    write::array(out, 0);
}

/// A plain server's own cursor travels inside ours, with the server's number.
fn scan_backend(case: &mut Case<'_>, number: u64) {
    let shards = shards_of_scan(case);
    let Some(BackendCursor { backend, cursor }) = BackendCursor::decode(number) else {
        return case.say(empty_page);
    };
    let Some(&shard) = shards.get(usize::from(backend)) else { return case.say(empty_page) };
    let last = usize::from(backend) + 1 == shards.len();
    scan_page(case, shard, cursor, move |next| match next {
        0 if last => Some(0),
        0 => BackendCursor { backend: backend.checked_add(1)?, cursor: 0 }.encode(),
        next => BackendCursor { backend, cursor: next }.encode(),
    });
}

/// The shards that SCAN visits, in order.
fn shards_of_scan(case: &Case<'_>) -> Vec<usize> {
    let database = case.client.database.get();
    if case.thread.placement().is_spread(database) {
        return (0..case.thread.shard_count()).collect();
    }
    case.thread.owner(Placement::home(database)).into_iter().collect()
}

/// The cursor and the encoded items of a SCAN reply.
fn page(reply: &[u8]) -> Option<(u64, &[u8])> {
    let body = reply.strip_prefix(b"*2\r\n$")?;
    let head = memchr::memchr(b'\n', body)?;
    let body = &body[head + 1..];
    let end = memchr::memchr(b'\r', body)?;
    let cursor = std::str::from_utf8(&body[..end]).ok()?.parse().ok()?;
    Some((cursor, &body[end + 2..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_taken_apart() {
        let reply = b"*2\r\n$2\r\n17\r\n*1\r\n$1\r\na\r\n";
        assert_eq!(page(reply), Some((17, b"*1\r\n$1\r\na\r\n".as_slice())));
        assert_eq!(page(b"-ERR x\r\n"), None);
    }
}
