//! OBJECT: how a value is kept and when it was used.

use slotway_commands::errors;
use slotway_resp::write;

use crate::call::{Call, Done};
use crate::handlers::help::write_help;
use crate::keyspace::entry::{CLOCK_MASK, Entry, Value};
use crate::keyspace::object::Object;
use crate::keyspace::text::TextEncoding;
use crate::keyspace::{Key, clock};

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

fn encoding(entry: &Entry) -> &'static str {
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

/// There is no LFU policy to select.
pub(crate) fn object_freq(call: &mut Call<'_>) -> Done {
    let key = object_key(call);
    if call.keyspace.peek(key, call.now).is_some() {
        return Err(errors::lfu_not_selected().into());
    }
    write::null(call.out, call.version);
    Ok(())
}

pub(crate) fn object_idletime(call: &mut Call<'_>) -> Done {
    let key = object_key(call);
    match call.keyspace.peek(key, call.now) {
        Some(entry) => {
            let seconds = clock(call.now).wrapping_sub(entry.clock()) & CLOCK_MASK;
            write::integer(call.out, i64::from(seconds));
        }
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
