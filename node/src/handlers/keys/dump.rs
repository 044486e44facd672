//! DUMP and RESTORE: a value as the bytes that stand for it in snapshots, for another key or another server.

use slotway_commands::errors;
use slotway_resp::write;

use crate::call::{Call, Done, Millis, Refusal};
use crate::handlers::arguments::{SYNTAX, integer, is};
use crate::keyspace::usage::Known;
use crate::rdb::{self, Form, Noted};

pub(crate) fn dump(call: &mut Call<'_>) -> Done {
    let (key, compress) = (call.key(), call.keyspace.settings.compress);
    match call.keyspace.read(key, call.now) {
        Some(entry) => {
            let mut payload = Vec::new();
            rdb::write::dump(&mut payload, entry, Form { compress, noted: Noted::Nothing });
            write::bulk(call.out, &payload);
        }
        None => write::null(call.out, call.version),
    }
    Ok(())
}

/// What stands behind the value in a RESTORE.
#[derive(Default)]
struct Options {
    replace: bool,
    /// The time to live is a time of the clock.
    absolute: bool,
    known: Option<Known>,
}

/// RESTORE key ttl value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ count]
pub(crate) fn restore(call: &mut Call<'_>) -> Done {
    let options = options(call)?;
    let (key, now) = (call.key(), call.now);
    if !options.replace && call.keyspace.write(key, now).is_some() {
        return Err(errors::BUSYKEY.into());
    }
    let deadline = deadline(call.request.word(2), &options, now)?;
    let body = rdb::read::dump_body(call.request.word(3)).map_err(|_| WRONG_FOOTER)?;
    let entry = rdb::read::dump(body, key.bytes, call.keyspace.seed(), call.keyspace.settings);
    let Ok(Some(entry)) = entry else { return Err(BAD_FORMAT) };
    let deleted = options.replace && call.keyspace.delete(key, now);
    match deadline {
        // It would have been deleted at once: only what it replaces is.
        Some(deadline) if call.keyspace.is_past(deadline, now) => {
            if deleted {
                call.tell(&[b"DEL", key.bytes]);
                call.keyspace.changed(key, 1);
            }
        }
        Some(deadline) => {
            call.keyspace.restore(key, entry.with_deadline(deadline), options.known, now);
            if !options.absolute {
                tell_absolute(call, deadline);
            }
            call.keyspace.changed(key, 1);
        }
        None => {
            call.keyspace.restore(key, entry, options.known, now);
            call.keyspace.changed(key, 1);
        }
    }
    write::simple(call.out, "OK");
    Ok(())
}

const WRONG_FOOTER: Refusal = Refusal::Borrowed("ERR DUMP payload version or checksum are wrong");
const BAD_FORMAT: Refusal = Refusal::Borrowed("ERR Bad data format");

fn options(call: &Call<'_>) -> Result<Options, Refusal> {
    let mut options = Options::default();
    let mut words = call.request.words().skip(4);
    while let Some(word) = words.next() {
        let known = options.known;
        // The first of the two that is named is the only one that may be.
        let idle_may_be = !matches!(known, Some(Known::Count(_))) && is(word, "IDLETIME");
        let count_may_be = !matches!(known, Some(Known::Idle(_))) && is(word, "FREQ");
        if is(word, "REPLACE") {
            options.replace = true;
        } else if is(word, "ABSTTL") {
            options.absolute = true;
        } else if idle_may_be && let Some(seconds) = words.next() {
            let seconds = u64::try_from(integer(seconds)?);
            options.known = Some(Known::Idle(seconds.map_err(|_| INVALID_IDLE_TIME)?));
        } else if count_may_be && let Some(count) = words.next() {
            let count = u8::try_from(integer(count)?);
            options.known = Some(Known::Count(count.map_err(|_| INVALID_FREQUENCY)?));
        } else {
            return Err(SYNTAX);
        }
    }
    Ok(options)
}

const INVALID_IDLE_TIME: Refusal = Refusal::Borrowed("ERR Invalid IDLETIME value, must be >= 0");
const INVALID_FREQUENCY: Refusal = Refusal::Borrowed("ERR Invalid FREQ value, must be >= 0 and <= 255");
const INVALID_TTL: Refusal = Refusal::Borrowed("ERR Invalid TTL value, must be >= 0");

/// 0: it shall have none.
fn deadline(word: &[u8], options: &Options, Millis(now): Millis) -> Result<Option<Millis>, Refusal> {
    let ttl = u64::try_from(integer(word)?).map_err(|_| INVALID_TTL)?;
    let deadline = if options.absolute { ttl } else { ttl.saturating_add(now) };
    Ok((ttl > 0).then_some(Millis(deadline)))
}

/// In the stream the time to live becomes a time of the clock.
fn tell_absolute(call: &mut Call<'_>, Millis(deadline): Millis) {
    if call.is_fed() {
        let (mut digits, request) = (itoa::Buffer::new(), call.request);
        let mut words: Vec<&[u8]> = request.words().collect();
        words[2] = digits.format(deadline).as_bytes();
        words.push(b"ABSTTL");
        call.tell(&words);
    }
}
