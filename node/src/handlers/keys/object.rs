//! OBJECT: how a value is kept and when it was used.

use slotway_commands::errors;
use slotway_resp::write;

use crate::call::{Call, Done};
use crate::handlers::help::write_help;
use crate::keyspace::Key;
use crate::keyspace::entry::{Entry, Value};
use crate::keyspace::object::Object;
use crate::keyspace::text::TextEncoding;
use crate::keyspace::usage::idle_seconds;

/// What Redis says of an object that all keys with this value share.
const SHARED_REFERENCES: i64 = 2_147_483_647;

pub(crate) fn object_encoding(call: &mut Call<'_>) -> Done {
    let key = object_key(call);
    match call.keyspace.peek(key, call.now) {
        Some(entry) => write::bulk(call.out, encoding(entry).as_bytes()),
        None => write::null(call.out, call.version),
    }
    Ok(())
}

pub(in crate::handlers) fn encoding(entry: &Entry) -> &'static str {
    match entry.value() {
        Value::Text(_) | Value::Object(Object::Text(_)) => match entry.text_encoding() {
            Some(TextEncoding::Integer) => "int",
            Some(TextEncoding::Embedded) => "embstr",
            Some(TextEncoding::Raw) | None => "raw",
        },
        Value::PackedHash(_) | Value::PackedList(_) | Value::PackedSet(_) | Value::PackedSortedSet(_) => {
            "listpack"
        }
        Value::IntegerSet(_) => "intset",
        Value::Object(Object::Hash(_) | Object::Set(_)) => "hashtable",
        Value::Object(Object::List(_)) => "quicklist",
        Value::Object(Object::SortedSet(_)) => "skiplist",
    }
}

pub(crate) fn object_freq(call: &mut Call<'_>) -> Done {
    let key = object_key(call);
    let usage = call.keyspace.settings.usage;
    match call.keyspace.peek(key, call.now) {
        Some(entry) => {
            let frequency = usage.frequency(entry, call.now).ok_or_else(errors::lfu_not_selected)?;
            write::integer(call.out, i64::from(frequency));
        }
        None => write::null(call.out, call.version),
    }
    Ok(())
}

pub(crate) fn object_idletime(call: &mut Call<'_>) -> Done {
    let key = object_key(call);
    let counts_uses = call.keyspace.settings.policy.counts_uses();
    match call.keyspace.peek(key, call.now) {
        Some(_) if counts_uses => return Err(errors::lfu_selected().into()),
        Some(entry) => write::integer(call.out, i64::from(idle_seconds(entry, call.now))),
        None => write::null(call.out, call.version),
    }
    Ok(())
}

pub(crate) fn object_refcount(call: &mut Call<'_>) -> Done {
    let key = object_key(call);
    match call.keyspace.peek(key, call.now) {
        Some(entry) => {
            write::integer(call.out, if entry.is_shared() { SHARED_REFERENCES } else { 1 });
        }
        None => write::null(call.out, call.version),
    }
    Ok(())
}

pub(crate) fn object_help(call: &mut Call<'_>) -> Done {
    let subcommands = [
        ("ENCODING <key>", "How the value of the key is kept."),
        ("FREQ <key>", "How often the key is used, on a logarithmic scale; under an LFU policy."),
        ("IDLETIME <key>", "Seconds since the key was last used."),
        ("REFCOUNT <key>", "How many references the value has."),
    ];
    write_help(call.out, "OBJECT", &subcommands);
    Ok(())
}

fn object_key<'a>(call: &Call<'a>) -> Key<'a> {
    call.nth_key(0, 2)
}
