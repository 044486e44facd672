//! DEBUG: what tests of clients and operators need; everything else is unknown, as on a Redis built without it.

use std::time::Duration;

use slotway_cluster::replication::HistoryId;
use slotway_commands::{errors, glob};
use slotway_config::Key;
use slotway_resp::write;

use super::{
    connection::{bad_subcommand, integer},
    help::write_help,
    keys::encoding,
};
use crate::{
    call::{Done, Refusal},
    client::Client,
    identity,
    keyspace::{
        entry::{Entry, Value},
        object::{self, Object},
        usage::idle_seconds,
    },
    node::Node,
    persistence::{
        aof::reload,
        loading::{self, Twice},
        save::run,
    },
    server_call::ServerCall,
};

/// `DEBUG subcommand ...`
pub(crate) fn debug(call: &mut ServerCall<'_>) -> Done {
    may_debug(call.node, call.client)?;
    let request = call.request;
    let subcommand = request.word(1);
    match (subcommand.to_ascii_lowercase().as_slice(), request.len()) {
        (b"reload", _) => reload(call)?,
        (b"loadaof", 2) => return reload::begin(call.node, call.client),
        (b"sleep", 3) => sleep(request.word(2)),
        (b"set-active-expire", 3) => call.node.active_expiry = request.word(2) != b"0",
        // Elements of every size are packed alike here, so there is nothing to set.
        (b"quicklist-packed-threshold", 3) => check_size(request.word(2))?,
        (b"change-repl-id", 2) => {
            call.node.replication.begin_anew(HistoryId::from_random(identity::random()))
        }
        (b"stringmatch-len", 4) => {
            write::integer(call.out, i64::from(glob::matches(request.word(2), request.word(3))));
            return Ok(());
        }
        (b"object", 3 | 4) => return object(call),
        (b"listpack", 3) => return listpack(call),
        (b"htstats", 3 | 4) => return htstats(call),
        (b"htstats-key", 3 | 4) => return htstats_key(call),
        (b"help", 2) => {
            help(call.out);
            return Ok(());
        }
        _ => return Err(bad_subcommand("DEBUG", subcommand)),
    }
    write::simple(call.out, "OK");
    Ok(())
}

/// `DEBUG RELOAD [MERGE] [NOFLUSH] [NOSAVE]`: what is there becomes what its file says. Nobody is served meanwhile.
fn reload(call: &mut ServerCall<'_>) -> Done {
    let (mut twice, mut saves, mut flushes) = (Twice::Refused, true, true);
    for word in call.request.words().skip(2) {
        match word.to_ascii_lowercase().as_slice() {
            b"merge" => twice = Twice::Replaced,
            b"nosave" => saves = false,
            b"noflush" => flushes = false,
            _ => {
                return Err("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.".into());
            }
        }
    }
    if saves {
        run::save_now(call.node).map_err(|error| {
            tracing::error!(%error, "DEBUG RELOAD cannot save");
            "ERR"
        })?;
    }
    if flushes {
        call.node.keyspace.flush_all();
    }
    loading::reload(call.node, twice).map_err(|error| {
        tracing::error!(%error, "DEBUG RELOAD cannot load");
        "ERR Error trying to load the RDB dump, check server logs."
    })?;
    tracing::warn!(by = call.client.id.0, "the data were reloaded");
    Ok(())
}

/// The point of it: nobody is served meanwhile.
fn sleep(seconds: &[u8]) {
    let seconds = std::str::from_utf8(seconds).ok().and_then(|text| text.parse::<f64>().ok());
    let wait = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    std::thread::sleep(wait.unwrap_or_default());
}

fn check_size(word: &[u8]) -> Done {
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let unit = word[digits..].to_ascii_lowercase();
    let known = [&b""[..], b"b", b"k", b"kb", b"m", b"mb", b"g", b"gb"];
    match digits > 0 && known.contains(&unit.as_slice()) {
        true => Ok(()),
        false => Err("ERR argument must be a memory value bigger than 1 and smaller than 4gb".into()),
    }
}

/// The entry of the key that is word 2. No use of it.
fn look<'n>(call: &'n mut ServerCall<'_>) -> Result<&'n Entry, Refusal> {
    call.node.gate.touch();
    let key = call.node.keyspace.key(call.client.database.get(), call.request.word(2));
    call.node.keyspace.look(key, call.now).ok_or(errors::NO_SUCH_KEY.into())
}

/// `DEBUG OBJECT key [FAST]`. The length is that of the value in memory: there is no other form of it.
fn object(call: &mut ServerCall<'_>) -> Done {
    let now = call.now;
    let entry = look(call)?;
    let text = format!(
        "Value at:{:p} refcount:{} encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}",
        entry.key().as_ptr(),
        if entry.is_shared() { i32::MAX } else { 1 },
        encoding(entry),
        value_bytes(entry),
        entry.clock(),
        idle_seconds(entry, now),
    );
    write::simple(call.out, &text);
    Ok(())
}

fn value_bytes(entry: &Entry) -> usize {
    match entry.value() {
        Value::Text(bytes)
        | Value::PackedHash(bytes)
        | Value::PackedList(bytes)
        | Value::IntegerSet(bytes)
        | Value::PackedSet(bytes)
        | Value::PackedSortedSet(bytes) => bytes.len(),
        Value::Object(Object::Text(text)) => text.len(),
        Value::Object(_) => object::bytes(entry, 0) - entry.allocated(),
    }
}

/// `DEBUG LISTPACK key`: what a packed value takes. Its bytes are no listpack, so there is nothing to print.
fn listpack(call: &mut ServerCall<'_>) -> Done {
    let entry = look(call)?;
    if encoding(entry) != "listpack" {
        return Err("ERR Not a listpack encoded object.".into());
    }
    let text = format!("packed in {} bytes", value_bytes(entry));
    write::simple(call.out, &text);
    Ok(())
}

/// `DEBUG HTSTATS database [FULL]`
fn htstats(call: &mut ServerCall<'_>) -> Done {
    let number = integer(call.request.word(2)).ok_or(errors::NOT_INTEGER)?;
    let database = u8::try_from(number).ok().filter(|&number| number < slotway_cluster::slot::DATABASES);
    let database = slotway_cluster::Database(database.ok_or("ERR Out of range database")?);
    call.node.gate.touch();
    let keyspace = &call.node.keyspace;
    let (keys, expiring) = (keyspace.len(database), keyspace.deadlines(database));
    let text = format!(
        "[Dictionary HT]\n number of elements: {keys}\n[Expires HT]\n number of elements: {expiring}\n"
    );
    write::verbatim(call.out, call.version(), "txt", text.as_bytes());
    Ok(())
}

/// `DEBUG HTSTATS-KEY key [FULL]`
fn htstats_key(call: &mut ServerCall<'_>) -> Done {
    let entry = look(call)?;
    let len = match entry.value() {
        Value::Object(Object::Hash(table) | Object::Set(table)) => Some(table.len()),
        Value::Object(Object::SortedSet(set)) => Some(set.len()),
        _ => None,
    };
    let refusal = "ERR The value stored at the specified key is not represented using an hash table";
    let text = format!(" number of elements: {}\n", len.ok_or(refusal)?);
    write::verbatim(call.out, call.version(), "txt", text.as_bytes());
    Ok(())
}

fn help(out: &mut Vec<u8>) {
    write_help(
        out,
        "DEBUG",
        &[
            ("CHANGE-REPL-ID", "Give the node's history another id."),
            ("HTSTATS <database>", "How many keys, and keys with a deadline, a database has."),
            ("HTSTATS-KEY <key>", "How many elements the table of a value has."),
            ("LISTPACK <key>", "How many bytes a packed value takes."),
            ("LOADAOF", "Forget everything and load the append-only log."),
            ("OBJECT <key>", "How a value is kept and when it was used."),
            ("QUICKLIST-PACKED-THRESHOLD <size>", "Accepted: elements of all sizes are packed alike."),
            ("RELOAD [MERGE] [NOFLUSH] [NOSAVE]", "Save everything, forget it, and load it again."),
            ("SET-ACTIVE-EXPIRE (0|1)", "Whether expired keys are deleted before somebody asks for them."),
            ("SLEEP <seconds>", "Serve nobody for this long. Decimals are allowed."),
            ("STRINGMATCH-LEN <pattern> <text>", "Whether a pattern matches."),
        ],
    );
}

/// Whether `enable-debug-command` lets this client run DEBUG. Also asked when it is queued behind MULTI.
pub(crate) fn may_debug(node: &Node, client: &Client) -> Done {
    let allowed = match node.settings.text(Key::EnableDebugCommand) {
        "yes" => true,
        "local" => client.peer.is_local(),
        _ => false,
    };
    if allowed {
        return Ok(());
    }
    Err("ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a \
         local connection, otherwise you need to set this option in the configuration file, and then restart the \
         server."
        .into())
}
