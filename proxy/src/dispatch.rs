//! One request on its way: look up, check, route, send or split.
//!
//! The way of a request to one slot (by far the most) reads as a sentence in [`run`] and [`one_slot`] and allocates
//! nothing. Everything else branches off: what is no command, what a client has set apart ([`apart`]), and by the
//! command's policy ([`by_policy`]) to [`crate::split`], [`crate::every_shard`], [`crate::local`] and others. These
//! are functions of their own so that the short way saves no registers for them.

use std::rc::Rc;

use slotway_cluster::{Placement, Slot, slot::slot_of};
use slotway_commands::{Command, Id, keys, lookup, row::Policy};
use slotway_resp::{Request, write};

use crate::{
    client::{Client, ReplyMode},
    errors, every_shard,
    link::{Errand, Link},
    local,
    read_from::{self, ReadFrom},
    replies::{Heard, Replies},
    split,
    thread::Thread,
    transaction, wait,
};

/// What the client's task does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Look at the next request.
    Request,
    /// This request was not run: bring it again when nothing is in flight.
    AfterReplies,
    /// This request was not run: bring it again when CLIENT PAUSE is over.
    AfterPause,
    /// This request was not run: bring it again when the topology has changed, or when it was held for too long.
    AfterChange,
    /// Look at the next request when this one is answered.
    AfterThis,
    /// Close once all replies are sent.
    Close,
    /// Close without another byte.
    CloseNow,
}

/// One request with everything its treatment needs.
pub(crate) struct Case<'a> {
    pub(crate) thread: &'a Rc<Thread>,
    pub(crate) client: &'a Rc<Client>,
    pub(crate) replies: &'a mut Replies,
    pub(crate) command: &'static Command,
    pub(crate) request: Request<'a>,
    pub(crate) heard: Heard,
    /// It was not run: nobody owns its slot.
    pub(crate) homeless: bool,
}

/// Treats one request (of at least one word).
pub(crate) fn run(
    thread: &Rc<Thread>,
    client: &Rc<Client>,
    replies: &mut Replies,
    request: Request<'_>,
) -> Next {
    let command = match lookup::resolve(request) {
        Ok(command) => command,
        Err(error) => return no_command(thread, client, replies, request, &error.text),
    };
    client.last_command.set(Some(command.id));
    if !client.authenticated.get() && !command.is_no_auth() {
        replies.say(client.heard(), |out| write::error(out, slotway_commands::errors::NOAUTH.as_bytes()));
        return Next::Request;
    }
    if (client.apart.get() || client.read_apart.get().is_some() || !thread.pause.get().is_none())
        && let Some(next) = apart(thread, client, replies, command, request)
    {
        return next;
    }
    if command.proxy != Policy::OneSlot {
        return by_policy(thread, client, replies, command, request);
    }
    let mut case = Case { thread, client, replies, command, request, heard: client.heard(), homeless: false };
    one_slot(&mut case);
    if case.homeless {
        return hold(&mut case);
    }
    thread.counters.request(command.id);
    Next::Request
}

/// Nobody owns the request's slot: it waits for a topology that says who does, as requests wait for a shard that has no
/// primary, and is given up after as long.
#[cold]
fn hold(case: &mut Case<'_>) -> Next {
    let (thread, client) = (case.thread, case.client);
    if let Err(held_ms) = hold_homeless(thread, client) {
        thread.counters.request(case.command.id);
        if case.command.id == Id::Exec {
            transaction::abandon(thread, client);
        }
        case.say(|out| out.extend_from_slice(&errors::no_owner(held_ms)));
        return Next::Request;
    }
    if case.heard == Heard::Muted && client.reply_mode.get() == ReplyMode::On {
        // CLIENT REPLY SKIP is for this request still.
        client.reply_mode.set(ReplyMode::SkipNext);
    }
    Next::AfterChange
}

/// Err: the client's next request has been held for so many milliseconds, which is enough.
pub(crate) fn hold_homeless(thread: &Thread, client: &Client) -> Result<(), u64> {
    thread.shared.stale.notify_one();
    let now_us = thread.now_us();
    let since_us = client.homeless_since_us.get().unwrap_or(now_us);
    let held_us = now_us.saturating_sub(since_us);
    if held_us > thread.limits().hold_us_max {
        return Err(held_us / 1000);
    }
    client.homeless_since_us.set(Some(since_us));
    thread.has_homeless.set(true);
    Ok(())
}

/// A request that is no command, or has too few or too many words.
#[cold]
fn no_command(
    thread: &Thread,
    client: &Client,
    replies: &mut Replies,
    request: Request<'_>,
    text: &[u8],
) -> Next {
    if is_http(request.word(0)) {
        tracing::warn!(peer = %client.peer, "possible cross-protocol attack: HTTP on the client port; closed");
        return Next::CloseNow;
    }
    thread.counters.unknown.add(1);
    let mut next = Next::Request;
    if client.apart.get() {
        next = transaction::refused(thread, client, replies, request);
    }
    replies.say(client.heard(), |out| write::error(out, text));
    next
}

/// What a request meets before it goes the usual way, while CLIENT PAUSE is in force or if its client is between MULTI and
/// EXEC, has a link of its own or reads from replicas. None: it goes that way.
#[cold]
fn apart(
    thread: &Rc<Thread>,
    client: &Rc<Client>,
    replies: &mut Replies,
    command: &'static Command,
    request: Request<'_>,
) -> Option<Next> {
    if thread.pause.get().at(thread.now_us()).holds(command, transaction::may_write(client)) {
        return Some(Next::AfterPause);
    }
    if transaction::is_queued(client, command.id) {
        return Some(transaction::queue(thread, client, replies, command, request));
    }
    if let Some(last) = client.read_apart.get() {
        if replies.has_answered(last) {
            client.read_apart.set(None);
        } else if command.may_write() || command.id == Id::Exec {
            // On another link it could run before what was read: a replica that refuses or is lost may still send the read to
            // the primary.
            return Some(Next::AfterReplies);
        }
    }
    if replies.outstanding() == 0 && command.id != Id::Multi {
        transaction::forget_failed_watch(thread, client);
    }
    None
}

/// Treats what does not simply go to one slot.
#[inline(never)]
fn by_policy(
    thread: &Rc<Thread>,
    client: &Rc<Client>,
    replies: &mut Replies,
    command: &'static Command,
    request: Request<'_>,
) -> Next {
    // A list of all clients is large, so a client gets one after the other; and it may be among those that it kills. With
    // WATCH it changes to another link, with WAIT to several, which must not overtake what it wrote.
    let alone = matches!(command.id, Id::ClientList | Id::ClientKill | Id::Watch | Id::Wait | Id::Waitaof);
    if (alone || matches!(command.proxy, Policy::ClientState)) && replies.outstanding() > 0 {
        return Next::AfterReplies;
    }
    let heard = client.heard();
    let mut case = Case { thread, client, replies, command, request, heard, homeless: false };
    case.present_lane();
    let next = treat(&mut case);
    if case.homeless {
        return hold(&mut case);
    }
    thread.counters.request(command.id);
    if next == Next::Request && alone && case.replies.outstanding() > 0 { Next::AfterThis } else { next }
}

fn treat(case: &mut Case<'_>) -> Next {
    let request = case.request;
    match case.command.proxy {
        Policy::OneSlot | Policy::LeasedWith(_) => one_slot(case),
        // A shared link never sees these, and there are no others yet.
        Policy::Leased => case.refuse(&slotway_commands::errors::unknown_command(request).text),
        Policy::Split(rule) => split::run(case, rule),
        Policy::EveryShard(rule) if case.command.is_blocking() => wait::run(case, rule),
        Policy::EveryShard(rule) => every_shard::run(case, rule),
        Policy::Scan => every_shard::scan(case),
        Policy::Config => local::config::run(case),
        Policy::Info => local::info::run(case),
        Policy::Latency => local::latency::run(case),
        Policy::AnyNode => any_node(case),
        Policy::NamedSlot => named_slot(case),
        Policy::Local | Policy::ClientState => match local::run(case) {
            Next::Request => {}
            next => return next,
        },
        Policy::Transaction => return transaction::run(case),
        Policy::Refused(reason) => case.refuse(format!("ERR {reason}").as_bytes()),
    }
    Next::Request
}

impl<'a> Case<'a> {
    /// Answers with an error: its text without `-` and line end.
    pub(crate) fn refuse(&mut self, text: &[u8]) {
        self.say(|out| write::error(out, text));
    }

    /// Answers at once.
    pub(crate) fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.replies.say(self.heard, write);
    }

    /// Sends the request as it is to the owner of `slot`.
    pub(crate) fn send_to(&mut self, slot: Slot) {
        let Some(shard) = self.thread.owner(slot) else {
            return self.homeless = true;
        };
        self.send_to_shard(shard);
    }

    /// Sends the request as it is to the primary of the shard with this index.
    pub(crate) fn send_to_shard(&mut self, shard: usize) {
        let link = self.link(shard);
        let ticket = self.replies.expect(self.heard);
        let errand = Errand { client: self.client, command: self.command, ticket, part: None };
        link.send(self.thread, self.replies, errand, self.request);
    }

    /// The link on which the client's requests to this shard travel: its own one, if it leads there; a replica's, if the
    /// request only reads and that is wanted.
    pub(crate) fn link(&self, shard: usize) -> Rc<Link> {
        if self.client.apart.get() {
            return self.link_apart(shard);
        }
        let (version, database) = (self.client.version.get(), self.client.database.get());
        if self.thread.read_from.get() != ReadFrom::Primary
            && let Some(link) = self.thread.reading_link(self.command, shard, version, database)
        {
            self.client.read_apart.set(Some(self.replies.next()));
            return link;
        }
        let usual = self.thread.link(shard, version, database);
        if usual.is_long() || self.client.may_go_beside() {
            return self.link_by_lane(usual);
        }
        usual
    }

    /// Whether such a command of this client goes to a replica as long as one is up.
    pub(crate) fn client_reads_from_replicas(&self, command: &Command) -> bool {
        let wanted = self.thread.read_from.get() != ReadFrom::Primary;
        wanted && !self.client.apart.get() && read_from::is_for_replicas(command)
    }

    #[cold]
    fn link_apart(&self, shard: usize) -> Rc<Link> {
        let (client, database) = (self.client, self.client.database.get());
        if let Some(leased) = &*client.lease.borrow() {
            let Link { key, .. } = &*leased.lease.link;
            let fits = key.version == client.version.get() && key.database == database;
            if fits && key.trace == client.trace() && self.thread.leads_to(&leased.lease.link, shard) {
                return Rc::clone(&leased.lease.link);
            }
        }
        self.thread.link_of(client, shard, database, self.present_lane())
    }

    /// The slot of a key in the client's database.
    pub(crate) fn slot_of(&self, placement: &Placement, key: &[u8]) -> Slot {
        slot_of(placement, self.client.database.get(), key)
    }
}

/// All keys lie in one slot, or the request is refused.
fn one_slot(case: &mut Case<'_>) {
    // Sending borrows the routes, of which the placement is a part: it is looked at in short moments.
    let database = case.client.database.get();
    if !case.thread.placement().is_spread(database) {
        return case.send_to(Placement::home(database));
    }
    let positions = match keys::positions(case.command, case.request) {
        Ok(positions) => positions,
        // The node says what is wrong with it.
        Err(_) => return any_node(case),
    };
    let request = case.request;
    let mut keys = positions.map(|index| request.word(index));
    let Some(first) = keys.next() else { return any_node(case) };
    let placement = case.thread.placement();
    let slot = case.slot_of(&placement, first);
    for other in keys {
        if case.slot_of(&placement, other) != slot {
            return case.refuse(&slotway_commands::errors::cross_slot(first, other));
        }
    }
    drop(placement);
    case.send_to(slot);
}

/// Any primary will do: the one that has owned its slots for longest is as good as another.
fn any_node(case: &mut Case<'_>) {
    match case.thread.shard_count() {
        0 => case.homeless = true,
        _ => case.send_to_shard(0),
    }
}

/// CLUSTER COUNTKEYSINSLOT and GETKEYSINSLOT: the owner of the slot that word 2 names.
fn named_slot(case: &mut Case<'_>) {
    match named(case.request) {
        Ok(slot) => case.send_to(slot),
        Err(text) => case.refuse(text.as_bytes()),
    }
}

/// The slot that word 2 names.
pub(crate) fn named(request: Request<'_>) -> Result<Slot, &'static str> {
    let number = std::str::from_utf8(request.word(2)).ok().and_then(|text| text.parse::<i64>().ok());
    let number = number.ok_or(slotway_commands::errors::NOT_INTEGER)?;
    u16::try_from(number).ok().and_then(Slot::new).ok_or("ERR Invalid slot")
}

/// Words with which HTTP requests begin: a browser was tricked into talking to a data store.
fn is_http(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"post") || word.eq_ignore_ascii_case(b"host:")
}

/// Commands that never count as activity of their own in CLIENT LIST.
pub(crate) fn shown_name(id: Option<Id>) -> &'static str {
    id.map_or("NULL", |id| Command::row(id).name)
}
