//! CONFIG: the settings table, read and changed by clients.

use slotway_commands::glob;
use slotway_config::{Key, SetError};
use slotway_link::descriptors;
use slotway_resp::write;

use super::{connection::SYNTAX, help::write_help};
use crate::{
    advice::RESERVED_FILES, call::Done, client::Standing, node::Node, persistence::aof,
    server_call::ServerCall,
};

/// `CONFIG GET name-or-pattern ...`: a map in which no name stands twice.
pub(crate) fn get(call: &mut ServerCall<'_>) -> Done {
    let settings = &call.node.settings;
    let mut found: Vec<(String, String)> = Vec::new();
    for word in call.request.words().skip(2) {
        if word.iter().any(|byte| b"*?[".contains(byte)) {
            let matches = |name: &str| glob::matches_nocase(word, name.as_bytes());
            let fresh = settings.matching(matches).map(|(name, value)| (name.to_owned(), value));
            found.extend(fresh);
        } else if let Some(value) = std::str::from_utf8(word).ok().and_then(|name| settings.get(name)) {
            // Under the name that was asked for, letter by letter.
            found.push((String::from_utf8_lossy(word).into_owned(), value));
        }
    }
    found.sort_by_cached_key(|(name, _)| name.to_ascii_lowercase());
    found.dedup_by(|a, b| a.0.eq_ignore_ascii_case(&b.0));
    write::map(call.out, call.version(), found.len());
    for (name, value) in &found {
        write::bulk(call.out, name.as_bytes());
        write::bulk(call.out, value.as_bytes());
    }
    Ok(())
}

/// `CONFIG SET name value ...`: all or none.
pub(crate) fn set(call: &mut ServerCall<'_>) -> Done {
    if !call.request.len().is_multiple_of(2) {
        return Err(SYNTAX.into());
    }
    let words: Vec<_> = call.request.words().skip(2).map(String::from_utf8_lossy).collect();
    let pairs: Vec<(&str, &str)> =
        words.chunks_exact(2).map(|pair| (pair[0].as_ref(), pair[1].as_ref())).collect();
    let before = call.node.settings.clone();
    let changed = call.node.settings.set(&pairs).map_err(|error| error.to_string())?;
    if let Err(error) = make_room(call.node, &changed) {
        call.node.settings = before;
        return Err(error.to_string().into());
    }
    if let Err(error) = call.node.heed_syncing() {
        tracing::warn!(%error, "node.json would still say that everything is synced");
        call.node.settings = before;
        let key = if changed.contains(&Key::Appendfsync) { Key::Appendfsync } else { Key::Appendonly };
        return Err(SetError::failed(key, "node.json cannot be written. Check server logs.")
            .to_string()
            .into());
    }
    if changed.contains(&Key::Appendonly)
        && let Err(error) = aof::switch(call.node)
    {
        tracing::warn!(%error, "cannot turn the append-only log on");
        call.node.settings = before;
        let why = "Unable to turn on AOF. Check server logs.";
        return Err(SetError::failed(Key::Appendonly, why).to_string().into());
    }
    call.node.settings_changed();
    if changed.contains(&Key::Requirepass) && !call.node.bounds.password_set {
        // Without a password nobody is a stranger.
        let strangers = call.node.clients.iter().filter(|client| client.standing.get() == Standing::Stranger);
        strangers.for_each(|client| client.standing.set(Standing::User));
    }
    let names: Vec<&str> = changed.iter().map(|key| key.name()).collect();
    tracing::info!(by = call.client.id.0, settings = names.join(" "), "CONFIG SET");
    write::simple(call.out, "OK");
    Ok(())
}

/// More clients need more open files.
fn make_room(node: &Node, changed: &[Key]) -> Result<(), SetError> {
    if !changed.contains(&Key::Maxclients) {
        return Ok(());
    }
    let clients_max = u64::try_from(node.settings.integer(Key::Maxclients)).unwrap_or(0);
    let files_max = descriptors::raise_to(clients_max.saturating_add(RESERVED_FILES)).unwrap_or(u64::MAX);
    let possible = files_max.saturating_sub(RESERVED_FILES);
    if clients_max <= possible {
        return Ok(());
    }
    let why = format!(
        "The operating system is not able to handle the specified number of clients, try with {possible}"
    );
    Err(SetError::failed(Key::Maxclients, why))
}

pub(crate) fn resetstat(call: &mut ServerCall<'_>) -> Done {
    call.node.statistics.reset(call.now);
    let stats = &mut call.node.keyspace.stats;
    (stats.hits, stats.misses, stats.expired, stats.evicted) = (0, 0, 0, 0);
    call.node.persistence.log.rewrites.reset_statistics();
    call.node.exceeded.reset();
    call.node.persistence.saves.reset_statistics();
    write::simple(call.out, "OK");
    Ok(())
}

pub(crate) fn help(call: &mut ServerCall<'_>) -> Done {
    write_help(
        call.out,
        "CONFIG",
        &[
            ("GET <pattern> [...]", "The settings whose names match, and their values."),
            ("SET <name> <value> [...]", "Change settings: all of them or, after an error, none."),
            ("RESETSTAT", "Start the counters of INFO at zero again."),
        ],
    );
    Ok(())
}
