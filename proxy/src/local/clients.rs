//! CLIENT: the client's own state, and the list of all clients of this proxy.

use std::rc::Rc;

use slotway_commands::{Id, errors, tracking};
use slotway_resp::{Request, Version, write};
use tokio::sync::oneshot;

use crate::{
    client::{Client, Fate, ReplyMode, card::Card},
    dispatch::Case,
    message::Message,
    replies::Ticket,
    thread::Thread,
};

pub(super) fn run(case: &mut Case<'_>) {
    let client = case.client;
    match case.command.id {
        Id::ClientId => {
            let id = i64::try_from(client.id).unwrap_or(i64::MAX);
            case.say(|out| write::integer(out, id));
        }
        Id::ClientGetname => getname(case),
        Id::ClientSetname => setname(case),
        Id::ClientSetinfo => setinfo(case),
        Id::ClientReply => reply(case),
        Id::ClientNoEvict => switch(case, |client, on| client.no_evict.set(on)),
        Id::ClientNoTouch => switch(case, Client::set_no_touch),
        Id::ClientInfo => {
            let (line, version) = (client.card(case.thread).line() + "\n", client.version.get());
            case.say(|out| write::verbatim(out, version, "txt", line.as_bytes()));
        }
        Id::ClientList => match Filter::of_list(case.request) {
            Ok(filter) => ask_all(case, move |cards, version, out, _| list(&filter, cards, version, out)),
            Err(text) => case.refuse(&text),
        },
        Id::ClientKill => kill(case),
        // Nobody is tracked.
        Id::ClientCaching => case.refuse(errors::CACHING_WITHOUT_TRACKING.as_bytes()),
        Id::ClientGetredir => case.say(|out| write::integer(out, tracking::NO_REDIRECTION)),
        Id::ClientTrackinginfo => {
            let version = case.client.version.get();
            case.say(|out| tracking::write_off(out, version));
        }
        _ => case.refuse(errors::SYNTAX.as_bytes()),
    }
}

/// What a name in CLIENT LIST may be made of: no spaces, nothing that does not print.
pub(super) fn is_printable(name: &[u8]) -> bool {
    name.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

fn getname(case: &mut Case<'_>) {
    let (name, version) = (case.client.identity.borrow().name.clone(), case.client.version.get());
    case.say(|out| match name.is_empty() {
        true => write::null(out, version),
        false => write::bulk(out, &name),
    });
}

fn setname(case: &mut Case<'_>) {
    let name = case.request.word(2);
    if !is_printable(name) {
        return case.refuse(errors::CLIENT_NAME.as_bytes());
    }
    case.client.identity.borrow_mut().name = name.to_vec();
    case.say(|out| write::simple(out, "OK"));
}

fn setinfo(case: &mut Case<'_>) {
    let (option, value) = (case.request.word(2), case.request.word(3));
    let attribute = match option.to_ascii_lowercase().as_slice() {
        b"lib-name" => "lib-name",
        b"lib-ver" => "lib-ver",
        _ => return case.refuse(&errors::client_setinfo_option(option)),
    };
    if !is_printable(value) {
        return case.refuse(errors::client_setinfo_value(attribute).as_bytes());
    }
    let mut identity = case.client.identity.borrow_mut();
    match attribute {
        "lib-name" => identity.library_name = value.to_vec(),
        _ => identity.library_version = value.to_vec(),
    }
    drop(identity);
    case.say(|out| write::simple(out, "OK"));
}

/// ON is answered, OFF and SKIP are not.
fn reply(case: &mut Case<'_>) {
    let mode = match case.request.word(2).to_ascii_lowercase().as_slice() {
        b"on" => ReplyMode::On,
        b"off" => ReplyMode::Off,
        // While replies are off, SKIP changes nothing.
        b"skip" if case.client.reply_mode.get() == ReplyMode::Off => ReplyMode::Off,
        b"skip" => ReplyMode::SkipNext,
        _ => return case.refuse(errors::SYNTAX.as_bytes()),
    };
    case.client.reply_mode.set(mode);
    if mode == ReplyMode::On {
        case.heard = case.client.heard();
        case.say(|out| write::simple(out, "OK"));
    }
}

fn switch(case: &mut Case<'_>, set: impl Fn(&Client, bool)) {
    match case.request.word(2).to_ascii_lowercase().as_slice() {
        b"on" => set(case.client, true),
        b"off" => set(case.client, false),
        _ => return case.refuse(errors::SYNTAX.as_bytes()),
    }
    case.say(|out| write::simple(out, "OK"));
}

/// Which clients are meant; None: all.
#[derive(Debug, Default)]
struct Filter {
    ids: Option<Vec<u64>>,
    peer: Option<String>,
    local: Option<String>,
    kind: Option<ClientType>,
    user: Option<Vec<u8>>,
    max_age_s: Option<u64>,
    skip_me: bool,
}

/// A proxy's clients are of the type `normal`, until pub/sub comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientType {
    Normal,
    Other,
}

impl Filter {
    fn of_list(request: Request<'_>) -> Result<Filter, Vec<u8>> {
        let mut filter = Filter::default();
        match request.get(2) {
            None => Ok(filter),
            Some(word) if word.eq_ignore_ascii_case(b"type") && request.len() == 4 => {
                filter.kind = Some(client_type(request.word(3))?);
                Ok(filter)
            }
            Some(word) if word.eq_ignore_ascii_case(b"id") && request.len() > 3 => {
                let ids: Option<Vec<u64>> = request.words().skip(3).map(number).collect();
                filter.ids = Some(ids.ok_or(errors::INVALID_CLIENT_ID.as_bytes())?);
                Ok(filter)
            }
            Some(_) => Err(errors::SYNTAX.into()),
        }
    }

    fn of_kill(request: Request<'_>) -> Result<Filter, Vec<u8>> {
        let mut filter = Filter { skip_me: true, ..Filter::default() };
        if !request.len().is_multiple_of(2) {
            return Err(errors::SYNTAX.into());
        }
        for at in (2..request.len()).step_by(2) {
            let (option, value) = (request.word(at), request.word(at + 1));
            match option.to_ascii_lowercase().as_slice() {
                b"id" => match number(value) {
                    Some(id) if id > 0 => filter.ids = Some(vec![id]),
                    _ => return Err(errors::CLIENT_ID_NOT_POSITIVE.into()),
                },
                b"type" => filter.kind = Some(client_type(value)?),
                b"addr" => filter.peer = Some(address(value)),
                b"laddr" => filter.local = Some(address(value)),
                b"user" if value == b"default" => filter.user = Some(value.to_vec()),
                b"user" => return Err(errors::no_such_user(value)),
                b"maxage" => filter.max_age_s = Some(number(value).ok_or(errors::NOT_INTEGER.as_bytes())?),
                b"skipme" => match value.to_ascii_lowercase().as_slice() {
                    b"yes" => filter.skip_me = true,
                    b"no" => filter.skip_me = false,
                    _ => return Err(errors::SYNTAX.into()),
                },
                _ => return Err(errors::SYNTAX.into()),
            }
        }
        Ok(filter)
    }

    fn matches(&self, card: &Card, me: u64) -> bool {
        self.ids.as_ref().is_none_or(|ids| ids.contains(&card.id))
            && self.peer.as_ref().is_none_or(|peer| card.peer.to_string() == *peer)
            && self.local.as_ref().is_none_or(|local| card.local.to_string() == *local)
            && self.kind.is_none_or(|kind| kind == ClientType::Normal)
            && self.max_age_s.is_none_or(|age| card.age_s >= age)
            && !(self.skip_me && card.id == me)
    }
}

/// As an end of a connection is shown.
fn address(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

fn client_type(name: &[u8]) -> Result<ClientType, Vec<u8>> {
    match name.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(ClientType::Normal),
        b"master" | b"replica" | b"slave" | b"pubsub" => Ok(ClientType::Other),
        _ => Err(errors::unknown_client_type(name)),
    }
}

fn number(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn list(filter: &Filter, cards: &[Card], version: Version, out: &mut Vec<u8>) {
    let lines: String =
        cards.iter().filter(|card| filter.matches(card, 0)).map(|card| card.line() + "\n").collect();
    write::verbatim(out, version, "txt", lines.as_bytes());
}

/// CLIENT KILL addr:port, or filters; the old form says OK or that there is no such client.
fn kill(case: &mut Case<'_>) {
    let request = case.request;
    let old_form = request.len() == 3;
    let filter = if old_form {
        Ok(Filter { peer: Some(address(request.word(2))), ..Filter::default() })
    } else {
        Filter::of_kill(request)
    };
    let filter = match filter {
        Ok(filter) => filter,
        Err(text) => return case.refuse(&text),
    };
    let me = case.client.id;
    ask_all(case, move |cards, _, out, thread| {
        let ids: Vec<u64> =
            cards.iter().filter(|card| filter.matches(card, me)).map(|card| card.id).collect();
        match (old_form, ids.len()) {
            (true, 0) => write::error(out, errors::NO_SUCH_CLIENT.as_bytes()),
            (true, _) => write::simple(out, "OK"),
            (false, count) => write::integer(out, i64::try_from(count).unwrap_or(i64::MAX)),
        }
        end_clients(thread, me, ids);
    });
}

/// Ends clients wherever they are; the one that asked gets its reply first.
fn end_clients(thread: &Rc<Thread>, me: u64, mut ids: Vec<u64>) {
    if ids.contains(&me) {
        ids.retain(|&id| id != me);
        thread.clients().iter().filter(|client| client.id == me).for_each(|client| {
            client.decide(Fate::CloseAfterReplies);
        });
    }
    let threads = thread.shared.threads.get().cloned().unwrap_or_default();
    thread.spawn(async move {
        for sender in threads.iter().filter_map(tokio::sync::mpsc::WeakSender::upgrade) {
            // A thread that has ended has no clients.
            let _ = sender.send(Message::KillClients { ids: ids.clone() }).await;
        }
    });
}

/// Collects the cards of all threads' clients and answers when they are here.
fn ask_all(case: &mut Case<'_>, answer: impl FnOnce(&[Card], Version, &mut Vec<u8>, &Rc<Thread>) + 'static) {
    let ticket = case.replies.expect(case.heard);
    let (thread, client) = (Rc::clone(case.thread), Rc::clone(case.client));
    let work = collect(Rc::clone(&thread), client, ticket, answer);
    thread.spawn(work);
}

async fn collect(
    thread: Rc<Thread>,
    client: Rc<Client>,
    ticket: Ticket,
    answer: impl FnOnce(&[Card], Version, &mut Vec<u8>, &Rc<Thread>),
) {
    // Each copies what is known of all clients: one at a time. The semaphore is never closed.
    let _turn = thread.listings.acquire().await;
    let mut cards = Vec::new();
    let senders = thread.shared.threads.get().cloned().unwrap_or_default();
    for sender in senders.iter().filter_map(tokio::sync::mpsc::WeakSender::upgrade) {
        let (send, receive) = oneshot::channel();
        if sender.send(Message::ListClients { answer: send }).await.is_ok() {
            cards.extend(receive.await.unwrap_or_default());
        }
    }
    cards.sort_by_key(|card: &Card| card.id);
    let mut out = Vec::new();
    answer(&cards, client.version.get(), &mut out, &thread);
    deliver(&thread, &client, ticket, &out);
}

/// A client that has gone in the meantime is owed nothing.
pub(super) fn deliver(thread: &Thread, client: &Rc<Client>, ticket: Ticket, reply: &[u8]) {
    if client.fate.get() != Fate::CloseNow {
        client.replies.borrow_mut().deliver(ticket, reply);
        thread.turn.mark_client(client);
    }
}
