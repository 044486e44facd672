//! Commands of the group "connection" that make a client what it is: who it is, which database and protocol it uses.

use slotway_cluster::Database;
use slotway_config::Key;
use slotway_resp::{Version, write};

use crate::{
    call::{Done, Refusal},
    client::{Fate, Standing},
    membership::MEMBER,
    node::Node,
    server_call::ServerCall,
};

pub(super) const SYNTAX: &str = "ERR syntax error";
const NO_INTEGER: &str = "ERR value is not an integer or out of range";
const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

pub(crate) fn ping(call: &mut ServerCall<'_>) -> Done {
    match call.request.len() {
        1 => write::simple(call.out, "PONG"),
        2 => write::bulk(call.out, call.request.word(1)),
        _ => return Err("ERR wrong number of arguments for 'ping' command".into()),
    }
    Ok(())
}

pub(crate) fn echo(call: &mut ServerCall<'_>) -> Done {
    write::bulk(call.out, call.request.word(1));
    Ok(())
}

pub(crate) fn select(call: &mut ServerCall<'_>) -> Done {
    let number: i64 = integer(call.request.word(1)).ok_or(NO_INTEGER)?;
    let databases = call.node.settings.integer(Key::Databases);
    let database = u8::try_from(number).ok().filter(|_| number < databases);
    let database = database.filter(|&number| number < slotway_cluster::slot::DATABASES);
    call.client.database.set(Database(database.ok_or("ERR DB index is out of range")?));
    write::simple(call.out, "OK");
    Ok(())
}

/// `AUTH password` or `AUTH user password`.
pub(crate) fn auth(call: &mut ServerCall<'_>) -> Done {
    let request = call.request;
    let standing = match request.len() {
        2 if !call.node.bounds.password_set => {
            return Err(
                "ERR AUTH <password> called without any password configured for the default user. Are you \
                        sure your configuration is correct?"
                    .into(),
            );
        }
        2 => authenticate(call.node, b"default", request.word(1))?,
        3 => authenticate(call.node, request.word(1), request.word(2))?,
        _ => return Err(SYNTAX.into()),
    };
    call.client.standing.set(standing);
    write::simple(call.out, "OK");
    Ok(())
}

/// Who a user with this password is: the default user by `requirepass`, a member by the cluster's secret.
fn authenticate(node: &mut Node, user: &[u8], password: &[u8]) -> Result<Standing, Refusal> {
    let standing = match user {
        b"default" if !node.bounds.password_set => Some(Standing::User),
        b"default" => {
            same_secret(node.settings.text(Key::Requirepass).as_bytes(), password).then_some(Standing::User)
        }
        user if user == MEMBER.as_bytes() => {
            let secret = node.secret.as_ref();
            let proven = secret.is_some_and(|secret| same_secret(secret.reveal().as_bytes(), password));
            proven.then_some(Standing::Member)
        }
        _ => None,
    };
    if standing.is_none() {
        node.statistics.denied_logins += 1;
    }
    standing.ok_or(WRONG_PASSWORD.into())
}

/// Compares in a time that does not tell how much of a guess is right.
pub(crate) fn same_secret(secret: &[u8], guess: &[u8]) -> bool {
    let differing = secret.iter().zip(guess).fold(0, |differing, (a, b)| differing | (a ^ b));
    secret.len() == guess.len() && differing == 0
}

/// What HELLO was asked for.
struct Hello<'a> {
    version: Version,
    login: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

/// `HELLO [protocol [AUTH user password] [SETNAME name]]`: all or nothing.
pub(crate) fn hello(call: &mut ServerCall<'_>) -> Done {
    let asked = parse_hello(call)?;
    let standing = match asked.login {
        Some((user, password)) => authenticate(call.node, user, password)?,
        None if call.client.standing.get() == Standing::Stranger => {
            return Err("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
                        <proto> AUTH <user> <pass> option can be used to authenticate the client and select the \
                        RESP protocol version at the same time"
                .into());
        }
        None => call.client.standing.get(),
    };
    call.client.standing.set(standing);
    if let Some(name) = asked.name {
        super::client::set_name(call.client, name)?;
    }
    call.client.version.set(asked.version);
    answer_hello(call);
    Ok(())
}

fn parse_hello<'a>(call: &ServerCall<'a>) -> Result<Hello<'a>, Refusal> {
    let request = call.request;
    let mut asked = Hello { version: call.version(), login: None, name: None };
    let Some(version) = request.get(1) else { return Ok(asked) };
    asked.version = match integer(version) {
        Some(2) => Version::Resp2,
        Some(3) => Version::Resp3,
        Some(_) => return Err("NOPROTO unsupported protocol version".into()),
        None => return Err("ERR Protocol version is not an integer or out of range".into()),
    };
    let mut at = 2;
    while let Some(option) = request.get(at) {
        if option.eq_ignore_ascii_case(b"AUTH") && request.len() > at + 2 {
            asked.login = Some((request.word(at + 1), request.word(at + 2)));
            at += 3;
        } else if option.eq_ignore_ascii_case(b"SETNAME") && request.len() > at + 1 {
            asked.name = Some(request.word(at + 1));
            at += 2;
        } else {
            let option = String::from_utf8_lossy(option);
            return Err(format!("ERR Syntax error in HELLO option '{option}'").into());
        }
    }
    Ok(asked)
}

fn answer_hello(call: &mut ServerCall<'_>) {
    let version = call.version();
    let adopted = call.node.membership.adopted();
    let mode = if adopted.is_some() { "cluster" } else { "standalone" };
    let role = if adopted.is_none_or(|adopted| adopted.is_primary()) { "master" } else { "replica" };
    let out = &mut *call.out;
    let text = |out: &mut Vec<u8>, name: &str, value: &str| {
        write::bulk(out, name.as_bytes());
        write::bulk(out, value.as_bytes());
    };
    let number = |out: &mut Vec<u8>, name: &str, value: i64| {
        write::bulk(out, name.as_bytes());
        write::integer(out, value);
    };
    write::map(out, version, 7);
    text(out, "server", "redis");
    text(out, "version", slotway_commands::info::REDIS_VERSION);
    number(out, "proto", call.client.protocol());
    number(out, "id", i64::try_from(call.client.id.0).unwrap_or(i64::MAX));
    text(out, "mode", mode);
    text(out, "role", role);
    write::bulk(out, b"modules");
    write::array(out, 0);
}

pub(crate) fn reset(call: &mut ServerCall<'_>) -> Done {
    call.client.reset(call.node.fresh_standing(), &mut call.node.keyspace);
    write::simple(call.out, "RESET");
    Ok(())
}

pub(crate) fn quit(call: &mut ServerCall<'_>) -> Done {
    write::simple(call.out, "OK");
    call.client.decide(Fate::CloseAfterReply);
    Ok(())
}

/// A subcommand with a number of words that it does not take, where that is not told by its arity.
pub(super) fn bad_subcommand(command: &str, name: &[u8]) -> Refusal {
    slotway_commands::errors::bad_subcommand(command, name).into()
}

/// An integer as commands take it: digits with a sign at most, nothing around them.
pub(super) fn integer(word: &[u8]) -> Option<i64> {
    slotway_resp::number::integer(word)
}
