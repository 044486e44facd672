//! CLIENT: what a client may know and say of itself and of the others.

use std::{fmt::Write, rc::Rc};

use slotway_commands::{errors, tracking};
use slotway_resp::write;

use super::connection::{SYNTAX, bad_subcommand, integer};
use crate::{
    call::{Done, Millis, Refusal},
    client::{Class, Client, ClientId, Fate, Replies, Standing},
    membership::MEMBER,
    pause::{Pause, Purpose},
    server_call::ServerCall,
};

pub(crate) fn id(call: &mut ServerCall<'_>) -> Done {
    write::integer(call.out, i64::try_from(call.client.id.0).unwrap_or(i64::MAX));
    Ok(())
}

pub(crate) fn info(call: &mut ServerCall<'_>) -> Done {
    let mut line = Vec::new();
    call.client.describe(&call.node.keyspace, call.now, &mut line);
    line.push(b'\n');
    write::verbatim(call.out, call.version(), "txt", &line);
    Ok(())
}

/// `CLIENT LIST [TYPE type] [ID id ...]`.
pub(crate) fn list(call: &mut ServerCall<'_>) -> Done {
    let request = call.request;
    let mut lines = Vec::new();
    let mut describe = |client: &Client| {
        client.describe(&call.node.keyspace, call.now, &mut lines);
        lines.push(b'\n');
    };
    match request.get(2) {
        None => call.node.clients.iter().for_each(|client| describe(client)),
        Some(option) if option.eq_ignore_ascii_case(b"TYPE") && request.len() == 4 => {
            let class = class(request.word(3))?;
            let of_class = call.node.clients.iter().filter(|client| Some(client.class.get()) == class);
            of_class.for_each(|client| describe(client));
        }
        Some(option) if option.eq_ignore_ascii_case(b"ID") && request.len() > 3 => {
            let ids = request.words().skip(3).map(|word| client_id(word).ok_or("ERR Invalid client ID"));
            for id in ids.collect::<Result<Vec<_>, _>>()? {
                call.node.clients.get(id).into_iter().for_each(|client| describe(client));
            }
        }
        Some(_) => return Err(SYNTAX.into()),
    }
    write::verbatim(call.out, call.version(), "txt", &lines);
    Ok(())
}

/// The clients of this type; None: there are none of it.
fn class(kind: &[u8]) -> Result<Option<Class>, Refusal> {
    match kind.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(Some(Class::Normal)),
        b"replica" | b"slave" => Ok(Some(Class::Replica)),
        b"master" => Ok(Some(Class::Primary)),
        b"pubsub" => Ok(None),
        _ => Err(format!("ERR Unknown client type '{}'", String::from_utf8_lossy(kind)).into()),
    }
}

fn client_id(word: &[u8]) -> Option<ClientId> {
    let number = u64::try_from(integer(word)?).ok()?;
    (number > 0).then_some(ClientId(number))
}

pub(crate) fn getname(call: &mut ServerCall<'_>) -> Done {
    let name = call.client.name.borrow();
    match name.is_empty() {
        true => write::null(call.out, call.version()),
        false => write::bulk(call.out, &name),
    }
    Ok(())
}

pub(crate) fn setname(call: &mut ServerCall<'_>) -> Done {
    set_name(call.client, call.request.word(2))?;
    write::simple(call.out, "OK");
    Ok(())
}

/// An empty name is none.
pub(super) fn set_name(client: &Client, name: &[u8]) -> Result<(), Refusal> {
    if !is_printable(name) {
        return Err("ERR Client names cannot contain spaces, newlines or special characters.".into());
    }
    store(&mut client.name.borrow_mut(), name);
    Ok(())
}

/// `CLIENT SETINFO LIB-NAME name` or `LIB-VER version`.
pub(crate) fn setinfo(call: &mut ServerCall<'_>) -> Done {
    let (option, value) = (call.request.word(2), call.request.word(3));
    let (cell, name) = if option.eq_ignore_ascii_case(b"lib-name") {
        (&call.client.library_name, "lib-name")
    } else if option.eq_ignore_ascii_case(b"lib-ver") {
        (&call.client.library_version, "lib-ver")
    } else {
        return Err(format!("ERR Unrecognized option '{}'", String::from_utf8_lossy(option)).into());
    };
    if !is_printable(value) {
        return Err(format!("ERR {name} cannot contain spaces, newlines or special characters.").into());
    }
    store(&mut cell.borrow_mut(), value);
    write::simple(call.out, "OK");
    Ok(())
}

/// What may stand in a line of CLIENT LIST without breaking it.
fn is_printable(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

fn store(place: &mut Vec<u8>, text: &[u8]) {
    place.clear();
    place.extend_from_slice(text);
}

/// `CLIENT REPLY ON|OFF|SKIP`. Only ON is answered; the others are dropped behind the handler.
pub(crate) fn reply(call: &mut ServerCall<'_>) -> Done {
    let mode = call.request.word(2);
    let replies = &call.client.replies;
    if mode.eq_ignore_ascii_case(b"on") {
        // Said behind SKIP in one transaction it does not take that back.
        replies.set(match replies.get() {
            Replies::On | Replies::Off | Replies::Skip => Replies::On,
            Replies::SkipNext | Replies::SkipBoth => Replies::SkipNext,
        });
        write::simple(call.out, "OK");
    } else if mode.eq_ignore_ascii_case(b"off") {
        replies.set(Replies::Off);
    } else if mode.eq_ignore_ascii_case(b"skip") {
        replies.set(match replies.get() {
            Replies::On | Replies::SkipNext => Replies::SkipNext,
            Replies::Off => Replies::Off,
            Replies::Skip | Replies::SkipBoth => Replies::SkipBoth,
        });
    } else {
        return Err(SYNTAX.into());
    }
    Ok(())
}

pub(crate) fn no_evict(call: &mut ServerCall<'_>) -> Done {
    call.client.no_evict.set(on_or_off(call.request.word(2))?);
    write::simple(call.out, "OK");
    Ok(())
}

pub(crate) fn no_touch(call: &mut ServerCall<'_>) -> Done {
    call.client.no_touch.set(on_or_off(call.request.word(2))?);
    write::simple(call.out, "OK");
    Ok(())
}

/// `CLIENT PAUSE milliseconds [WRITE|ALL]`
pub(crate) fn pause(call: &mut ServerCall<'_>) -> Done {
    let request = call.request;
    let kind: fn(Millis) -> Pause = match request.get(3) {
        _ if request.len() > 4 => return Err(bad_subcommand("CLIENT", request.word(1))),
        Some(mode) if mode.eq_ignore_ascii_case(b"write") => Pause::Writes,
        Some(mode) if !mode.eq_ignore_ascii_case(b"all") => {
            return Err(errors::PAUSE_MODE.into());
        }
        _ => Pause::All,
    };
    let millis = integer(request.word(2)).ok_or(errors::TIMEOUT_NOT_INTEGER)?;
    let millis = u64::try_from(millis).map_err(|_| errors::TIMEOUT_NEGATIVE)?;
    let until =
        i64::try_from(millis.saturating_add(call.now.0)).map_err(|_| "ERR timeout is out of range")?;
    call.node.pause(Purpose::Operator, kind(Millis(until.unsigned_abs())));
    tracing::info!(by = call.client.id.0, pause = ?call.node.pauses.present(), "CLIENT PAUSE");
    write::simple(call.out, "OK");
    Ok(())
}

pub(crate) fn unpause(call: &mut ServerCall<'_>) -> Done {
    call.node.unpause(Purpose::Operator);
    write::simple(call.out, "OK");
    Ok(())
}

/// Nobody is tracked.
pub(crate) fn trackinginfo(call: &mut ServerCall<'_>) -> Done {
    tracking::write_off(call.out, call.client.version.get());
    Ok(())
}

pub(crate) fn getredir(call: &mut ServerCall<'_>) -> Done {
    write::integer(call.out, tracking::NO_REDIRECTION);
    Ok(())
}

pub(crate) fn caching(_: &mut ServerCall<'_>) -> Done {
    Err(errors::CACHING_WITHOUT_TRACKING.into())
}

fn on_or_off(word: &[u8]) -> Result<bool, Refusal> {
    match word.to_ascii_lowercase().as_slice() {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(SYNTAX.into()),
    }
}

/// Which clients CLIENT KILL means. None: whatever it is.
#[derive(Default)]
struct Filter {
    id: Option<ClientId>,
    peer: Option<String>,
    local: Option<String>,
    user: Option<&'static str>,
    /// Within: none are of the type that was asked for.
    class: Option<Option<Class>>,
    /// The client that asks is spared.
    skip_me: bool,
}

impl Filter {
    fn covers(&self, client: &Client, me: &Client) -> bool {
        self.id.is_none_or(|id| client.id == id)
            && self.peer.as_ref().is_none_or(|peer| client.peer.to_string() == *peer)
            && self.local.as_ref().is_none_or(|local| client.local.to_string() == *local)
            && self
                .user
                .is_none_or(|user| client.standing.get() != Standing::Stranger && client.user() == user)
            && self.class.is_none_or(|class| class == Some(client.class.get()))
            && !(self.skip_me && client.id == me.id)
    }
}

/// `CLIENT KILL address` or `CLIENT KILL filter value ...`.
pub(crate) fn kill(call: &mut ServerCall<'_>) -> Done {
    if call.request.len() == 3 {
        let peer = Some(String::from_utf8_lossy(call.request.word(2)).into_owned());
        return match kill_covered(call, &Filter { peer, ..Filter::default() }) {
            0 => Err("ERR No such client".into()),
            _ => {
                write::simple(call.out, "OK");
                Ok(())
            }
        };
    }
    let filter = parse_filter(call)?;
    let killed = kill_covered(call, &filter);
    write::integer(call.out, killed);
    Ok(())
}

fn parse_filter(call: &ServerCall<'_>) -> Result<Filter, Refusal> {
    let mut filter = Filter { skip_me: true, ..Filter::default() };
    let mut words = call.request.words().skip(2);
    while let Some(name) = words.next() {
        let value = words.next().ok_or(SYNTAX)?;
        let text = || String::from_utf8_lossy(value).into_owned();
        match name.to_ascii_lowercase().as_slice() {
            b"id" => filter.id = Some(client_id(value).ok_or("ERR client-id should be greater than 0")?),
            b"type" => filter.class = Some(class(value)?),
            b"addr" => filter.peer = Some(text()),
            b"laddr" => filter.local = Some(text()),
            b"user" => {
                let known = ["default", MEMBER].into_iter().find(|known| known.as_bytes() == value);
                filter.user = Some(known.ok_or_else(|| format!("ERR No such user '{}'", text()))?);
            }
            b"skipme" => {
                filter.skip_me = match value.to_ascii_lowercase().as_slice() {
                    b"yes" => true,
                    b"no" => false,
                    _ => return Err(SYNTAX.into()),
                }
            }
            _ => return Err(SYNTAX.into()),
        }
    }
    Ok(filter)
}

/// Closes them and says how many there were. The client that asks still gets its reply.
fn kill_covered(call: &ServerCall<'_>, filter: &Filter) -> i64 {
    let covered = call.node.clients.iter().filter(|client| filter.covers(client, call.client));
    let covered: Vec<&Rc<Client>> = covered.filter(|client| client.fate.get() != Fate::CloseNow).collect();
    for client in &covered {
        match client.id == call.client.id {
            true => client.decide(Fate::CloseAfterReply),
            false => client.decide(Fate::CloseNow),
        }
    }
    if !covered.is_empty() {
        let ids = covered.iter().fold(String::new(), |mut ids, client| {
            let written = write!(ids, " {}", client.id.0);
            debug_assert!(written.is_ok(), "a String takes every character");
            ids
        });
        tracing::info!(by = call.client.id.0, "CLIENT KILL closes{ids}");
    }
    i64::try_from(covered.len()).unwrap_or(i64::MAX)
}
