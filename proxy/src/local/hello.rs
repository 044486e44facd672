//! Who is calling, and in which version: AUTH and HELLO.

use slotway_commands::{errors, info::REDIS_VERSION};
use slotway_resp::{Version, write};

use crate::{dispatch::Case, local::password};

/// AUTH password | AUTH username password. There is one user, `default`.
pub(super) fn auth(case: &mut Case<'_>) {
    let request = case.request;
    let (user, given) = match request.len() {
        2 => (b"default".as_slice(), request.word(1)),
        3 => (request.word(1), request.word(2)),
        _ => return case.refuse(errors::SYNTAX.as_bytes()),
    };
    if request.len() == 2 && password(case).is_none() {
        return case.refuse(errors::NO_PASSWORD_SET.as_bytes());
    }
    match authenticate(case, user, given) {
        true => case.say(|out| write::simple(out, "OK")),
        false => case.refuse(errors::WRONGPASS.as_bytes()),
    }
}

/// Without a password the default user takes any.
fn authenticate(case: &Case<'_>, user: &[u8], given: &[u8]) -> bool {
    let accepted =
        user == b"default" && password(case).is_none_or(|password| same(password.as_bytes(), given));
    if accepted {
        case.client.authenticated.set(true);
    } else {
        tracing::info!(client = case.client.id, peer = %case.client.peer, "authentication failed");
    }
    accepted
}

/// Takes the same time wherever the first difference is.
fn same(password: &[u8], given: &[u8]) -> bool {
    let difference = password.iter().zip(given).fold(0, |found, (a, b)| found | (a ^ b));
    password.len() == given.len() && difference == 0
}

/// HELLO [protover [AUTH username password] [SETNAME clientname]]
pub(super) fn hello(case: &mut Case<'_>) {
    let request = case.request;
    let mut version = case.client.version.get();
    if let Some(word) = request.get(1) {
        version = match std::str::from_utf8(word).ok().and_then(|text| text.parse::<i64>().ok()) {
            Some(2) => Version::Resp2,
            Some(3) => Version::Resp3,
            Some(_) => return case.refuse(errors::NOPROTO.as_bytes()),
            None => return case.refuse(errors::PROTOCOL_NOT_INTEGER.as_bytes()),
        };
    }
    let mut name = None;
    let mut credentials = None;
    let mut at = 2;
    while at < request.len() {
        let (option, left) = (request.word(at), request.len() - at - 1);
        if option.eq_ignore_ascii_case(b"auth") && left >= 2 {
            credentials = Some((request.word(at + 1), request.word(at + 2)));
            at += 3;
        } else if option.eq_ignore_ascii_case(b"setname") && left >= 1 {
            name = Some(request.word(at + 1));
            at += 2;
        } else {
            return case.refuse(&errors::hello_option(option));
        }
    }
    if let Some((user, given)) = credentials
        && !authenticate(case, user, given)
    {
        return case.refuse(errors::WRONGPASS.as_bytes());
    }
    if !case.client.authenticated.get() {
        return case.refuse(errors::NOAUTH_HELLO.as_bytes());
    }
    if let Some(name) = name {
        if !super::clients::is_printable(name) {
            return case.refuse(errors::CLIENT_NAME.as_bytes());
        }
        case.client.identity.borrow_mut().name = name.to_vec();
    }
    case.client.version.set(version);
    let id = i64::try_from(case.client.id).unwrap_or(i64::MAX);
    case.say(|out| describe_server(out, version, id));
}

fn describe_server(out: &mut Vec<u8>, version: Version, id: i64) {
    write::map(out, version, 7);
    for (name, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        write::bulk(out, name.as_bytes());
        write::bulk(out, value.as_bytes());
    }
    let number = if version == Version::Resp3 { 3 } else { 2 };
    for (name, value) in [("proto", number), ("id", id)] {
        write::bulk(out, name.as_bytes());
        write::integer(out, value);
    }
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        write::bulk(out, name.as_bytes());
        write::bulk(out, value.as_bytes());
    }
    write::bulk(out, b"modules");
    write::array(out, 0);
}
