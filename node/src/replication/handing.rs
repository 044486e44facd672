//! FAILOVER: a primary and one of its replicas change places, and nothing is lost.
//!
//! Writes wait from the asking on, so that the stream comes to an end. As soon as the replica has acknowledged all of it, or any
//! replica if none was named, this node follows it, and its question for the stream tells the other to lead (`PSYNC ...
//! FAILOVER`). Then the writes that waited are refused as a replica refuses them. If the other refuses, or cannot be asked for
//! `repl-timeout`, or an operator aborts it, this node is a primary again under a new name, and the writes run.
//!
//! When the time to wait is over everything stays as it was, unless the wish says `FORCE`: then the node follows the replica
//! whatever that holds, and what it lacks is lost. Managed nodes change places by their control group's order only.
//!
//! [`Desk`] decides, and [`run`] beside it does.

use std::{rc::Rc, time::Duration};

use slotway_cluster::replication::{Offset, primary::Stage};
use slotway_commands::errors;
use slotway_resp::Request;
use tokio::sync::Notify;

use super::replica::Primary;
use crate::{
    call::{Done, Millis, Refusal},
    keyspace::text::parse_integer,
    node::{self, Node},
    pause::{Pause, Purpose},
    thread::Thread,
};

/// `master_failover_state` of a node that does not.
pub(crate) const NO_FAILOVER: &str = "no-failover";

/// With whom a node changes places, and how long it waits for that one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Wish {
    /// None: whoever first holds everything.
    to: Option<Primary>,
    /// None: however long it takes.
    until: Option<Millis>,
    late: Late,
}

/// What is done when the time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Late {
    #[default]
    GivesUp,
    /// `FORCE`
    HandsOver,
}

impl Wish {
    /// The words behind FAILOVER.
    ///
    /// # Errors
    /// Redis's texts. A wish that contradicts itself is for [`begin`] to refuse: others are asked about first.
    pub(crate) fn parse(request: Request<'_>, now: Millis) -> Result<Wish, Refusal> {
        let mut wish = Wish::default();
        let mut at = 1;
        while at < request.len() {
            let (word, left) = (request.word(at).to_ascii_lowercase(), request.len() - at - 1);
            at += match word.as_slice() {
                b"timeout" if left > 0 && wish.until.is_none() => {
                    let millis =
                        u64::try_from(integer(request.word(at + 1))?).ok().filter(|&millis| millis > 0);
                    let millis = millis.ok_or("ERR FAILOVER timeout must be greater than 0")?;
                    wish.until = Some(Millis(now.0.saturating_add(millis)));
                    2
                }
                b"force" if wish.late == Late::GivesUp => {
                    wish.late = Late::HandsOver;
                    1
                }
                b"to" if left > 1 && wish.to.is_none() => {
                    let port = integer(request.word(at + 2))?;
                    let host = String::from_utf8_lossy(request.word(at + 1)).into_owned();
                    // What is no port is no replica's.
                    wish.to = Some(Primary { host, port: u16::try_from(port).unwrap_or(0) });
                    3
                }
                _ => return Err(errors::SYNTAX.into()),
            };
        }
        Ok(wish)
    }
}

fn integer(word: &[u8]) -> Result<i64, Refusal> {
    parse_integer(word).ok_or(Refusal::Borrowed(errors::NOT_INTEGER))
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum State {
    #[default]
    None,
    /// A replica is to hold everything.
    Waiting(Wish),
    /// The node follows it, and does not know yet whether it leads.
    Asking,
}

/// What the node's link to its new primary asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    ToLead,
    ForStream,
}

/// What follows from how far the replicas are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Waits,
    HandsTo(Primary),
    GivesUp,
}

/// The change of places that is under way.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    state: State,
    /// Rung when that is to be looked at.
    news: Rc<Notify>,
}

impl Desk {
    /// INFO's `master_failover_state`.
    pub(crate) fn state(&self) -> &'static str {
        match self.state {
            State::None => NO_FAILOVER,
            State::Waiting(_) => "waiting-for-sync",
            State::Asking => "failover-in-progress",
        }
    }

    pub(super) fn asks(&self) -> Asks {
        match self.state {
            State::Asking => Asks::ToLead,
            State::None | State::Waiting(_) => Asks::ForStream,
        }
    }

    /// A replica has come further, or is gone.
    #[inline]
    pub(super) fn hear_of_replica(&self) {
        if matches!(self.state, State::Waiting(_)) {
            self.news.notify_one();
        }
    }

    /// When the time to wait is over.
    fn until(&self) -> Option<Millis> {
        match &self.state {
            State::Waiting(wish) => wish.until,
            State::None | State::Asking => None,
        }
    }

    /// `replicas` are those online, with how far they are in a stream that ends at `end`.
    fn judge(
        &self,
        now: Millis,
        end: Offset,
        mut replicas: impl Iterator<Item = (Primary, Offset)>,
    ) -> Verdict {
        let State::Waiting(wish) = &self.state else { return Verdict::Waits };
        if wish.until.is_some_and(|until| now >= until) {
            return match (wish.late, &wish.to) {
                (Late::HandsOver, Some(to)) => Verdict::HandsTo(to.clone()),
                (Late::HandsOver, None) | (Late::GivesUp, _) => Verdict::GivesUp,
            };
        }
        let is_it = |(replica, held): &(Primary, Offset)| {
            *held == end && wish.to.as_ref().is_none_or(|to| to == replica)
        };
        replicas.find(is_it).map_or(Verdict::Waits, |(replica, _)| Verdict::HandsTo(replica))
    }
}

/// The replicas that could lead, where they are reached, in which stage they are and how far. One that did not say its port
/// cannot be followed.
fn replicas(node: &Node) -> impl Iterator<Item = (Primary, Stage, Offset)> {
    node.replication.primary.replicas().filter_map(|(replica, link)| {
        let (host, port) = (link.introduction.ip(&link.client.peer), link.introduction.port);
        (port != 0).then_some((Primary { host, port }, replica.stage, replica.acked))
    })
}

/// FAILOVER is asked for. The error is Redis's text.
pub(crate) fn begin(node: &mut Node, wish: Wish) -> Done {
    if node.handing.state != State::None {
        return Err("ERR FAILOVER already in progress.".into());
    }
    if node.following.primary().is_some() {
        return Err("ERR FAILOVER is not valid when server is a replica.".into());
    }
    if node.replication.primary.replicas().next().is_none() {
        return Err("ERR FAILOVER requires connected replicas.".into());
    }
    if wish.late == Late::HandsOver && (wish.to.is_none() || wish.until.is_none()) {
        let text = "ERR FAILOVER with force option requires both a timeout and target HOST and IP.";
        return Err(text.into());
    }
    if let Some(to) = &wish.to {
        let mut known = replicas(node).filter(|(replica, ..)| replica == to).peekable();
        if known.peek().is_none() {
            return Err("ERR FAILOVER target HOST and PORT is not a replica.".into());
        }
        if !known.any(|(_, stage, _)| stage == Stage::Online) {
            return Err("ERR FAILOVER target replica is not online.".into());
        }
    }
    tracing::info!(?wish, "FAILOVER: writes wait until a replica holds everything");
    node.handing.state = State::Waiting(wish);
    node.handing.news.notify_one();
    node.pause(Purpose::Handing, Pause::Writes(Millis(u64::MAX)));
    Ok(())
}

/// It comes to nothing, and the node leads. False: there was none.
pub(crate) fn abort(node: &mut Node, why: &str) -> bool {
    let before = std::mem::take(&mut node.handing.state);
    if before == State::None {
        return false;
    }
    tracing::warn!(why, "the failover to a replica is given up");
    if before == State::Asking {
        node.follow_nobody();
    }
    node.unpause(Purpose::Handing);
    true
}

/// The replica leads.
pub(super) fn done(node: &mut Node) {
    tracing::info!("the replica leads, and this node follows it");
    end(node);
}

/// Whoever manages the node now says whom it follows.
pub(crate) fn end(node: &mut Node) {
    if std::mem::take(&mut node.handing.state) != State::None {
        node.unpause(Purpose::Handing);
    }
}

/// Changes places when that is asked for, until its owner aborts it.
pub(crate) async fn run(thread: Rc<Thread>) {
    let news = Rc::clone(&thread.node.borrow().handing.news);
    loop {
        let rest = look(&thread);
        match rest {
            // Either will do: that it is time, or that there is something to look at.
            Some(rest) => drop(tokio::time::timeout(rest, news.notified()).await),
            None => news.notified().await,
        }
    }
}

/// Does what is to be done, and returns how long there is nothing more to do unless something happens.
fn look(thread: &Thread) -> Option<Duration> {
    let node = &mut *thread.node.borrow_mut();
    if !matches!(node.handing.state, State::Waiting(_)) {
        return None;
    }
    // What was executed before is in the stream.
    thread.deliver(node);
    let now = node::now();
    let online = replicas(node).filter(|(_, stage, _)| *stage == Stage::Online);
    let verdict =
        node.handing.judge(now, node.replication.offset, online.map(|(replica, _, held)| (replica, held)));
    match verdict {
        Verdict::Waits => {}
        Verdict::HandsTo(to) => {
            node.handing.state = State::Asking;
            node.follow(to);
        }
        Verdict::GivesUp => drop(abort(node, "no replica held everything in time")),
    }
    let until = node.handing.until()?;
    Some(Duration::from_millis(until.0.saturating_sub(now.0)))
}

#[cfg(test)]
mod tests {
    use slotway_resp::{Limits, Parser, write};

    use super::*;

    const NOW: Millis = Millis(1000);

    fn parse(line: &str) -> Result<Wish, Refusal> {
        let mut bytes = Vec::new();
        write::request(&mut bytes, &line.split(' ').collect::<Vec<_>>());
        let mut parser = Parser::default();
        let at = parser.next(&bytes, &Limits::CLIENT).unwrap().unwrap();
        Wish::parse(parser.request(&bytes, at), NOW)
    }

    fn to(port: u16) -> Primary {
        Primary { host: "10.0.0.1".into(), port }
    }

    fn check(line: &str, now: u64, replicas: &[(u16, u64)], expected: &Verdict) {
        let desk = Desk { state: State::Waiting(parse(line).unwrap()), news: Rc::default() };
        let replicas = replicas.iter().map(|&(port, held)| (to(port), Offset(held)));
        assert_eq!(desk.judge(Millis(now), Offset(50), replicas), *expected, "{line}");
    }

    #[test]
    fn the_words_come_in_any_order_and_each_once() {
        let all = Wish { to: Some(to(7)), until: Some(Millis(1500)), late: Late::HandsOver };
        assert_eq!(parse("FAILOVER timeout 500 FORCE To 10.0.0.1 7"), Ok(all));
        assert_eq!(parse("FAILOVER"), Ok(Wish::default()));
        for wrong in ["FORCE FORCE", "TO a 1 TO b 2", "TIMEOUT 1 TIMEOUT 1", "TO a", "TIMEOUT", "ABORT ABORT"]
        {
            assert_eq!(parse(&format!("FAILOVER {wrong}")), Err(errors::SYNTAX.into()), "{wrong}");
        }
    }

    #[test]
    fn the_first_replica_that_holds_everything_leads_or_the_one_that_was_named() {
        check("FAILOVER", 1000, &[], &Verdict::Waits);
        check("FAILOVER", 1000, &[(1, 49), (2, 50), (3, 50)], &Verdict::HandsTo(to(2)));
        check("FAILOVER TO 10.0.0.1 3", 1000, &[(2, 50), (3, 49)], &Verdict::Waits);
        check("FAILOVER TO 10.0.0.1 3", 1000, &[(2, 50), (3, 50)], &Verdict::HandsTo(to(3)));
    }

    #[test]
    fn when_the_time_is_over_only_force_hands_over() {
        check("FAILOVER TIMEOUT 5", 1004, &[(1, 49)], &Verdict::Waits);
        check("FAILOVER TIMEOUT 5", 1005, &[(1, 50)], &Verdict::GivesUp);
        check("FAILOVER TO 10.0.0.1 3 FORCE TIMEOUT 5", 1004, &[(3, 49)], &Verdict::Waits);
        check("FAILOVER TO 10.0.0.1 3 FORCE TIMEOUT 5", 1005, &[(3, 49)], &Verdict::HandsTo(to(3)));
    }
}
