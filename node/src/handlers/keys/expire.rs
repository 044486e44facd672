//! Deadlines: EXPIRE and its family, TTL and its family, PERSIST.

use slotway_commands::errors;
use slotway_resp::write;

use crate::call::{Call, Done, Millis, Refusal};
use crate::handlers::arguments::{integer, is};

/// Milliseconds per unit of the argument or the answer.
const SECOND: i64 = 1000;
const MILLISECOND: i64 = 1;

pub(crate) fn expire(call: &mut Call<'_>) -> Done {
    let now = unix(call.now);
    set_deadline(call, now, SECOND, "expire")
}

pub(crate) fn pexpire(call: &mut Call<'_>) -> Done {
    let now = unix(call.now);
    set_deadline(call, now, MILLISECOND, "pexpire")
}

pub(crate) fn expireat(call: &mut Call<'_>) -> Done {
    set_deadline(call, 0, SECOND, "expireat")
}

pub(crate) fn pexpireat(call: &mut Call<'_>) -> Done {
    set_deadline(call, 0, MILLISECOND, "pexpireat")
}

/// On what a new deadline depends.
#[derive(Debug, Clone, Copy, Default)]
struct Conditions {
    /// NX: there is none yet.
    absent: bool,
    /// XX: there is one.
    present: bool,
    /// GT: it is later than the one there is; none at all is later than any.
    later: bool,
    /// LT: it is earlier.
    earlier: bool,
}

/// EXPIRE key n [NX|XX] [GT|LT]. `base` is what the number counts from.
fn set_deadline(call: &mut Call<'_>, base: i64, unit: i64, command: &str) -> Done {
    let conditions = conditions(call)?;
    let at = integer(call.request.word(2))?
        .checked_mul(unit)
        .and_then(|time| time.checked_add(base))
        .ok_or_else(|| Refusal::from(errors::invalid_expire_time(command)))?;
    let key = call.key();
    let Some(entry) = call.keyspace.write(key, call.now) else {
        write::integer(call.out, 0);
        return Ok(());
    };
    let allowed = conditions.allow(entry.deadline(), at);
    if allowed {
        match u64::try_from(at).map(Millis) {
            Ok(at) if !call.keyspace.is_past(at, call.now) => {
                call.keyspace.set_deadline(key, Some(at), call.now);
                // PEXPIREAT says it already.
                if base != 0 || unit != MILLISECOND {
                    tell_unix_time(call, at);
                }
            }
            _ => {
                call.keyspace.delete(key, call.now);
                call.tell(&[call.keyspace.settings.removal_of_expired.command(), key.bytes]);
            }
        }
        call.keyspace.changed(key, 1);
    }
    write::integer(call.out, i64::from(allowed));
    Ok(())
}

/// The conditions stay: they hold elsewhere as they held here.
fn tell_unix_time(call: &mut Call<'_>, Millis(at): Millis) {
    let request = call.request;
    let mut digits = itoa::Buffer::new();
    let words = [b"PEXPIREAT", request.word(1), digits.format(at).as_bytes()].into_iter();
    call.tell_words(words.chain(request.words().skip(3)));
}

fn conditions(call: &Call<'_>) -> Result<Conditions, Refusal> {
    let mut conditions = Conditions::default();
    for word in call.request.words().skip(3) {
        match word {
            word if is(word, "NX") => conditions.absent = true,
            word if is(word, "XX") => conditions.present = true,
            word if is(word, "GT") => conditions.later = true,
            word if is(word, "LT") => conditions.earlier = true,
            _ => {
                let text = errors::unsupported_option(word);
                return Err(String::from_utf8_lossy(&text).into_owned().into());
            }
        }
    }
    if conditions.absent && (conditions.present || conditions.later || conditions.earlier) {
        return Err(errors::EXPIRE_NX_AND_OTHERS.into());
    }
    if conditions.later && conditions.earlier {
        return Err(errors::EXPIRE_GT_AND_LT.into());
    }
    Ok(conditions)
}

impl Conditions {
    fn allow(self, before: Option<Millis>, at: i64) -> bool {
        match before.map(unix) {
            None => !self.present && !self.later,
            Some(before) => !self.absent && (!self.later || at > before) && (!self.earlier || at < before),
        }
    }
}

pub(crate) fn ttl(call: &mut Call<'_>) -> Done {
    let now = unix(call.now);
    tell_deadline(call, now, SECOND)
}

pub(crate) fn pttl(call: &mut Call<'_>) -> Done {
    let now = unix(call.now);
    tell_deadline(call, now, MILLISECOND)
}

pub(crate) fn expiretime(call: &mut Call<'_>) -> Done {
    tell_deadline(call, 0, SECOND)
}

pub(crate) fn pexpiretime(call: &mut Call<'_>) -> Done {
    tell_deadline(call, 0, MILLISECOND)
}

/// -2: no such key. -1: no deadline. Seconds are rounded to the nearest.
fn tell_deadline(call: &mut Call<'_>, base: i64, unit: i64) -> Done {
    let key = call.key();
    let answer = match call.keyspace.peek(key, call.now).map(|entry| entry.deadline()) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => unix(at).saturating_sub(base).max(0).saturating_add(unit / 2) / unit,
    };
    write::integer(call.out, answer);
    Ok(())
}

pub(crate) fn persist(call: &mut Call<'_>) -> Done {
    let key = call.key();
    let had_deadline = call.keyspace.write(key, call.now).is_some_and(|entry| entry.deadline().is_some());
    if had_deadline {
        call.keyspace.set_deadline(key, None, call.now);
        call.keyspace.changed(key, 1);
    }
    write::integer(call.out, i64::from(had_deadline));
    Ok(())
}

fn unix(Millis(time): Millis) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}
