//! SET with its options, and the commands that are one of its forms: SETNX, SETEX, PSETEX, GETSET, GETDEL, GETEX.

use slotway_commands::errors;
use slotway_resp::write;

use super::reply_value;
use crate::call::{Call, Done, Millis, Refusal};
use crate::handlers::arguments::{SYNTAX, WRONG_TYPE, integer, is};
use crate::keyspace::Deadline;

/// When SET is to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    IfAbsent,
    IfPresent,
}

/// What SET's and GETEX's options say of the deadline. A time is not read before all options are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expiry<'a> {
    Unsaid,
    Keep,
    Persist,
    Time(Clock, &'a [u8]),
}

/// In what a time is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    Seconds,
    Millis,
    UnixSeconds,
    UnixMillis,
}

struct Options<'a> {
    condition: Condition,
    get: bool,
    expiry: Expiry<'a>,
}

/// SET key value [NX|XX] [GET] [EX n|PX n|EXAT n|PXAT n|KEEPTTL]
#[inline]
pub(crate) fn set(call: &mut Call<'_>) -> Done {
    if call.request.len() > 3 {
        return set_with_options(call);
    }
    let (key, value) = (call.key(), call.request.word(2));
    call.keyspace.set_text(key, value, Deadline::Clear, call.now);
    call.keyspace.changed(key, 1);
    write::simple(call.out, "OK");
    Ok(())
}

fn set_with_options(call: &mut Call<'_>) -> Done {
    let options = set_options(call)?;
    let deadline = match options.expiry {
        Expiry::Unsaid | Expiry::Persist => Deadline::Clear,
        Expiry::Keep => Deadline::Keep,
        Expiry::Time(clock, word) => Deadline::At(expire_at(clock, word, call.now, "set")?),
    };
    let (key, value) = (call.key(), call.request.word(2));
    if options.get {
        reply_value(call, key)?;
    }
    let allowed = match options.condition {
        Condition::Always => true,
        Condition::IfAbsent => call.keyspace.write(key, call.now).is_none(),
        // Its use is noted when it is set.
        Condition::IfPresent => call.keyspace.look(key, call.now).is_some(),
    };
    if allowed {
        call.keyspace.set_text(key, value, deadline, call.now);
        call.keyspace.changed(key, 1);
        match deadline {
            Deadline::At(Millis(at)) => call.tell_with(&[b"SET", key.bytes, value, b"PXAT"], at),
            Deadline::Keep | Deadline::Clear if options.get => tell_without_get(call),
            Deadline::Keep | Deadline::Clear => {}
        }
    }
    match (options.get, allowed) {
        (true, _) => {}
        (false, true) => write::simple(call.out, "OK"),
        (false, false) => write::null(call.out, call.version),
    }
    Ok(())
}

/// In the stream nobody wants to know what the key was before.
fn tell_without_get(call: &mut Call<'_>) {
    let words = call.request.words().enumerate();
    let words = words.filter(|(nth, word)| *nth < 3 || !is(word, "GET")).map(|(_, word)| word);
    call.tell_words(words);
}

/// An option may be said twice, and then the last one counts; what contradicts another is a syntax error.
fn set_options<'a>(call: &Call<'a>) -> Result<Options<'a>, Refusal> {
    let mut options = Options { condition: Condition::Always, get: false, expiry: Expiry::Unsaid };
    let mut words = call.request.words().skip(3);
    while let Some(word) = words.next() {
        match options.condition {
            Condition::Always | Condition::IfAbsent if is(word, "NX") => {
                options.condition = Condition::IfAbsent
            }
            Condition::Always | Condition::IfPresent if is(word, "XX") => {
                options.condition = Condition::IfPresent;
            }
            _ if is(word, "GET") => options.get = true,
            _ => match options.expiry {
                Expiry::Unsaid | Expiry::Keep if is(word, "KEEPTTL") => options.expiry = Expiry::Keep,
                _ => options.expiry = time_option(options.expiry, word, words.next())?,
            },
        }
    }
    Ok(options)
}

/// EX, PX, EXAT or PXAT behind what was said before.
fn time_option<'a>(before: Expiry<'_>, word: &[u8], time: Option<&'a [u8]>) -> Result<Expiry<'a>, Refusal> {
    let clock = match word {
        word if is(word, "EX") => Clock::Seconds,
        word if is(word, "PX") => Clock::Millis,
        word if is(word, "EXAT") => Clock::UnixSeconds,
        word if is(word, "PXAT") => Clock::UnixMillis,
        _ => return Err(SYNTAX),
    };
    let fits = match before {
        Expiry::Unsaid => true,
        Expiry::Time(earlier, _) => earlier == clock,
        Expiry::Keep | Expiry::Persist => false,
    };
    if fits { time.map(|time| Expiry::Time(clock, time)).ok_or(SYNTAX) } else { Err(SYNTAX) }
}

/// The deadline that a time means. `command` is named in the error.
fn expire_at(clock: Clock, word: &[u8], Millis(now): Millis, command: &str) -> Result<Millis, Refusal> {
    let time = integer(word)?;
    let base = match clock {
        Clock::Seconds | Clock::Millis => i64::try_from(now).unwrap_or(i64::MAX),
        Clock::UnixSeconds | Clock::UnixMillis => 0,
    };
    let factor = match clock {
        Clock::Seconds | Clock::UnixSeconds => 1000,
        Clock::Millis | Clock::UnixMillis => 1,
    };
    Some(time)
        .filter(|&time| time > 0)
        .and_then(|time| time.checked_mul(factor)?.checked_add(base))
        .and_then(|at| u64::try_from(at).ok())
        .map(Millis)
        .ok_or_else(|| errors::invalid_expire_time(command).into())
}

pub(crate) fn setnx(call: &mut Call<'_>) -> Done {
    let (key, value) = (call.key(), call.request.word(2));
    let absent = call.keyspace.write(key, call.now).is_none();
    if absent {
        call.keyspace.set_text(key, value, Deadline::Clear, call.now);
        call.keyspace.changed(key, 1);
    }
    write::integer(call.out, i64::from(absent));
    Ok(())
}

pub(crate) fn setex(call: &mut Call<'_>) -> Done {
    set_for_a_time(call, Clock::Seconds, "setex")
}

pub(crate) fn psetex(call: &mut Call<'_>) -> Done {
    set_for_a_time(call, Clock::Millis, "psetex")
}

fn set_for_a_time(call: &mut Call<'_>, clock: Clock, command: &str) -> Done {
    let at = expire_at(clock, call.request.word(2), call.now, command)?;
    let (key, value) = (call.key(), call.request.word(3));
    call.keyspace.set_text(key, value, Deadline::At(at), call.now);
    call.keyspace.changed(key, 1);
    call.tell_with(&[b"SET", key.bytes, value, b"PXAT"], at.0);
    write::simple(call.out, "OK");
    Ok(())
}

pub(crate) fn getset(call: &mut Call<'_>) -> Done {
    let (key, value) = (call.key(), call.request.word(2));
    reply_value(call, key)?;
    call.keyspace.set_text(key, value, Deadline::Clear, call.now);
    call.keyspace.changed(key, 1);
    call.tell(&[b"SET", key.bytes, value]);
    Ok(())
}

pub(crate) fn getdel(call: &mut Call<'_>) -> Done {
    let key = call.key();
    reply_value(call, key)?;
    if call.keyspace.delete(key, call.now) {
        call.keyspace.changed(key, 1);
        call.tell(&[call.keyspace.settings.removal_by_request.command(), key.bytes]);
    }
    Ok(())
}

/// GETEX key [EX n|PX n|EXAT n|PXAT n|PERSIST]
pub(crate) fn getex(call: &mut Call<'_>) -> Done {
    let expiry = getex_options(call)?;
    let key = call.key();
    let Some(entry) = call.keyspace.read(key, call.now) else {
        write::null(call.out, call.version);
        return Ok(());
    };
    let text = entry.text().ok_or(WRONG_TYPE)?;
    let had_deadline = entry.deadline().is_some();
    let deadline = match expiry {
        Expiry::Time(clock, word) => Some(expire_at(clock, word, call.now, "getex")?),
        Expiry::Persist if had_deadline => None,
        Expiry::Unsaid | Expiry::Keep | Expiry::Persist => {
            write::bulk(call.out, text);
            return Ok(());
        }
    };
    write::bulk(call.out, text);
    match deadline {
        // A Unix time that has passed.
        Some(at) if at <= call.now => {
            call.keyspace.delete(key, call.now);
            call.tell(&[call.keyspace.settings.removal_of_expired.command(), key.bytes]);
        }
        Some(at) => {
            call.keyspace.set_deadline(key, Some(at), call.now);
            call.tell_with(&[b"PEXPIREAT", key.bytes], at.0);
        }
        None => {
            call.keyspace.set_deadline(key, None, call.now);
            call.tell(&[b"PERSIST", key.bytes]);
        }
    }
    call.keyspace.changed(key, 1);
    Ok(())
}

fn getex_options<'a>(call: &Call<'a>) -> Result<Expiry<'a>, Refusal> {
    let mut expiry = Expiry::Unsaid;
    let mut words = call.request.words().skip(2);
    while let Some(word) = words.next() {
        expiry = match expiry {
            Expiry::Unsaid | Expiry::Persist if is(word, "PERSIST") => Expiry::Persist,
            _ => time_option(expiry, word, words.next())?,
        };
    }
    Ok(expiry)
}
