//! WAIT and WAITAOF: how many replicas of every shard hold what the client has written, or have it on their disks.
//!
//! It blocks the connection on which it is asked, so it takes a link of its own to each shard ([`crate::lease`]), and only once
//! everything that its client wrote is answered. A node that is asked by a proxy waits for its whole stream as it is when WAIT
//! arrives, in which the client's writes are: the links on which they came are shared, and tell nothing of one client.
//! The answer is the smallest number of all shards, each of which is asked with the same time.
//!
//! What stands behind WAIT waits until it is answered, as with Redis. A link to a node is as patient as WAIT's own time and the
//! usual one together; without a time only the client's leaving ends it, or a lost connection. If all links that may be leased
//! are in use WAIT is refused, as WATCH is: others may wait for ever.
//!
//! A Redis server waits for what it had written at the last command of the same connection. On a link that was leased just now
//! that may be older than what the client wrote, and WAIT would name replicas that do not hold it: there it is refused.

use std::rc::Rc;

use slotway_cluster::topology::Kind;
use slotway_commands::{errors, row::MergeRule};
use slotway_resp::{Request, number};

use crate::{
    client::Client,
    dispatch::Case,
    gather::{Gather, Merge},
    lease::{self, Condition, Lease},
    link::{Errand, unit::Unit},
    thread::Thread,
};

const OF_NODES: &str = "ERR WAIT through a proxy needs Slotway nodes behind it; ask the server itself";

/// The error for who stands in front of such servers, if WAIT means nothing there.
pub(crate) fn refused_by(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Slotway => None,
        Kind::Redis | Kind::Cluster => Some(OF_NODES),
    }
}

/// Nothing of the client is in flight.
pub(crate) fn run(case: &mut Case<'_>, rule: MergeRule) {
    let patience_us = match patience_us(case.request) {
        Ok(patience_us) => patience_us,
        Err(text) => return case.refuse(text.as_bytes()),
    };
    let shards = case.thread.shard_count();
    if shards == 0 {
        return case.homeless = true;
    }
    if let Some(text) = refused_by(case.thread.kind()) {
        return case.refuse(text.as_bytes());
    }
    let leases = match take(case, shards) {
        Ok(leases) => leases,
        Err(line) => return case.say(|out| out.extend_from_slice(&line)),
    };
    let gather = Gather::new(shards, Merge::Rule(rule), case.thread.random());
    let ticket = case.replies.gather(gather, case.heard);
    let request = case.request;
    for (part, lease) in (0u32..).zip(&leases) {
        let errand = Errand { client: case.client, command: case.command, ticket, part: Some(part) };
        let unit = Unit::Waiting(patience_us);
        lease.link.send_unit(case.thread, case.replies, errand, unit, |out| request.write(out));
    }
    *case.client.waits.borrow_mut() = leases;
    if case.replies.outstanding() == 0 {
        // No link has taken it on.
        settle(case.thread, case.client);
    }
}

/// `WAIT replicas milliseconds`, `WAITAOF own replicas milliseconds`: its own time. None: for ever.
fn patience_us(request: Request<'_>) -> Result<Option<u64>, &'static str> {
    let time = request.len() - 1;
    for at in 1..time {
        number::integer(request.word(at)).ok_or(errors::NOT_INTEGER)?;
    }
    let millis = number::integer(request.word(time)).ok_or(errors::TIMEOUT_NOT_INTEGER)?;
    let millis = u64::try_from(millis).map_err(|_| errors::TIMEOUT_NEGATIVE)?;
    Ok((millis > 0).then(|| millis.saturating_mul(1000)))
}

/// A link to every shard, or none. Err: the line for the client.
fn take(case: &Case<'_>, shards: usize) -> Result<Vec<Lease>, Vec<u8>> {
    let (thread, client): (&Rc<Thread>, &Client) = (case.thread, case.client);
    let mut leases = Vec::with_capacity(shards);
    for shard in 0..shards {
        match lease::take(thread, client, shard, client.database.get()) {
            Ok(lease) => leases.push(lease),
            Err(line) => {
                leases.into_iter().for_each(|lease| lease::give_back(thread, lease, Condition::Clean));
                return Err(line);
            }
        }
    }
    Ok(leases)
}

/// The client has been answered.
pub(crate) fn settle(thread: &Thread, client: &Client) {
    for lease in client.waits.take() {
        // A node that was not waited for to the end may still answer.
        let condition = if lease.link.is_settled() { Condition::Clean } else { Condition::OutOfStep };
        lease::give_back(thread, lease, condition);
    }
}

/// The client is gone: no node need wait any longer.
pub(crate) fn give_up(thread: &Thread, client: &Client) {
    for lease in client.waits.take() {
        if lease.link.is_settled() {
            lease::give_back(thread, lease, Condition::Clean);
        } else {
            lease.link.abandon();
            lease::give_back(thread, lease, Condition::OutOfStep);
        }
    }
}

#[cfg(test)]
mod tests {
    use slotway_resp::OwnedRequest;

    use super::*;

    fn check<const N: usize>(words: [&str; N], expected: Result<Option<u64>, &str>) {
        let request = OwnedRequest::new(words.into_iter().map(str::as_bytes));
        assert_eq!(patience_us(request.view()), expected, "{words:?}");
    }

    #[test]
    fn a_wait_has_its_own_time_or_none() {
        check(["WAIT", "1", "1500"], Ok(Some(1_500_000)));
        check(["WAIT", "1", "0"], Ok(None));
        check(["WAITAOF", "1", "2", "15"], Ok(Some(15_000)));
        check(["WAIT", "-1", "9223372036854775807"], Ok(Some(u64::MAX)));
    }

    #[test]
    fn what_is_no_number_is_refused_as_redis_does() {
        check(["WAIT", "x", "x"], Err("ERR value is not an integer or out of range"));
        check(["WAITAOF", "1", "x", "x"], Err("ERR value is not an integer or out of range"));
        check(["WAIT", "1", "1.5"], Err("ERR timeout is not an integer or out of range"));
        check(["WAIT", "1", "-1"], Err("ERR timeout is negative"));
    }
}
