//! CONFIG GET and SET: each setting where it belongs.
//!
//! A setting of the data path is the proxy's own; all others are the nodes'. GET shows the first primary's settings
//! with the proxy's own over them; SET goes to the owner: the proxy itself, or every node.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use slotway_cluster::ShardId;
use slotway_commands::{Id, errors, glob};
use slotway_config::{Key, SetError, Settings};
use slotway_resp::{Frame, Limits, Version, write};

use crate::{
    dispatch::Case,
    every_shard, files,
    gather::{self, Gather, Merge},
    link::Errand,
};

pub(crate) fn run(case: &mut Case<'_>) {
    match case.command.id {
        Id::ConfigGet => get(case),
        _ => set(case),
    }
}

/// Settings that a proxy has and that are not the nodes' business: those its own table owns.
fn is_own(settings: &Settings, name: &str) -> bool {
    settings.owns(name)
}

fn get(case: &mut Case<'_>) {
    let own = own(&case.thread.settings(), case.request.words().skip(2));
    let version = case.client.version.get();
    if case.thread.shard_count() == 0 {
        return case.say(|out| write_pairs(out, version, &own));
    }
    let merge = move |parts: Vec<Vec<u8>>, out: &mut Vec<u8>| {
        let mut all = own;
        match Frame::parse(&parts[0], &Limits::REPLY) {
            Ok(Some((frame @ (Frame::Array(_) | Frame::Map(_)), _))) => {
                for (name, value) in pairs(frame) {
                    if !all.keys().any(|own| own.eq_ignore_ascii_case(&name)) {
                        all.insert(name, value);
                    }
                }
                write_pairs(out, version, &all);
            }
            _ => out.extend_from_slice(&parts[0]),
        }
    };
    let gather = Gather::new(1, Merge::Custom(Box::new(merge)), 0);
    let ticket = case.replies.gather(gather, case.heard);
    let link = case.link(0);
    let errand = Errand { client: case.client, command: case.command, ticket, part: Some(0) };
    link.send(case.thread, case.replies, errand, case.request);
}

/// The proxy's own settings that these patterns match. As Redis does, a word that is no pattern is looked up and comes
/// back as it was spelt.
fn own<'a>(settings: &Settings, words: impl Iterator<Item = &'a [u8]>) -> BTreeMap<String, String> {
    let is_pattern = |word: &&[u8]| word.iter().any(|byte| b"*?[\\".contains(byte));
    let (patterns, names): (Vec<&[u8]>, Vec<&[u8]>) = words.partition(is_pattern);
    let matches = |name: &str| patterns.iter().any(|pattern| glob::matches_nocase(pattern, name.as_bytes()));
    let matching = settings.matching(matches).map(|(name, text)| (name.to_owned(), text));
    let named = names.iter().filter_map(|name| {
        let name = String::from_utf8_lossy(name).into_owned();
        settings.get(&name).map(|text| (name, text))
    });
    matching.chain(named).collect()
}

fn pairs(frame: Frame) -> Vec<(String, String)> {
    let text = |frame: &Frame| match frame {
        Frame::Bulk(bytes) | Frame::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    };
    match frame {
        Frame::Array(items) => items.chunks_exact(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
        Frame::Map(items) => items.iter().map(|(name, value)| (text(name), text(value))).collect(),
        _ => Vec::new(),
    }
}

fn write_pairs(out: &mut Vec<u8>, version: Version, pairs: &BTreeMap<String, String>) {
    write::map(out, version, pairs.len());
    for (name, value) in pairs {
        write::bulk(out, name.as_bytes());
        write::bulk(out, value.as_bytes());
    }
}

fn set(case: &mut Case<'_>) {
    let request = case.request;
    if !request.len().is_multiple_of(2) {
        return case.refuse(&errors::wrong_arity(case.command).text);
    }
    let settings = case.thread.settings();
    let name_of = |at: usize| String::from_utf8_lossy(request.word(at)).to_ascii_lowercase();
    let names: Vec<String> = (2..request.len()).step_by(2).map(name_of).collect();
    let own = names.iter().filter(|name| is_own(&settings, name)).count();
    match own {
        0 => {
            let shards: Vec<usize> = (0..case.thread.shard_count()).collect();
            let ids = case.thread.shard_ids();
            let merge = move |parts: Vec<Vec<u8>>, out: &mut Vec<u8>| outcome_of_set(&ids, &parts, out);
            every_shard::fan_out(case, &shards, Merge::Custom(Box::new(merge)));
        }
        _ if own < names.len() => {
            case.refuse(b"ERR CONFIG SET of the proxy's and the nodes' settings together is not atomic; set them one by one");
        }
        _ => set_own(case),
    }
}

/// OK when all say so, an error that all agree on as it is; otherwise whose error it is: the others have been set.
fn outcome_of_set(shards: &[ShardId], parts: &[Vec<u8>], out: &mut Vec<u8>) {
    let Some(error) = gather::first_error(parts) else { return out.extend_from_slice(&parts[0]) };
    if parts.iter().all(|part| part == error) {
        return out.extend_from_slice(error);
    }
    let shard = parts.iter().position(|part| part == error).and_then(|number| shards.get(number));
    let shard = shard.map_or_else(String::new, ShardId::to_string);
    out.extend_from_slice(format!("-ERR CONFIG SET failed on shard {shard} only: ").as_bytes());
    out.extend_from_slice(&error[1..]);
}

fn set_own(case: &mut Case<'_>) {
    let request = case.request;
    let texts: Vec<String> =
        request.words().skip(2).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let pairs: Vec<(&str, &str)> =
        texts.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
    // Two threads that change two settings at a time must not lose one of them.
    let shared = Arc::clone(&case.thread.shared);
    let _changing = shared.settings_change.lock().unwrap_or_else(PoisonError::into_inner);
    let mut fresh = Settings::clone(&case.thread.settings());
    match fresh.set(&pairs).and_then(|changed| make_room(&fresh, &changed).map(|()| changed)) {
        Ok(changed) => {
            let names: Vec<&str> = changed.iter().map(|key| key.name()).collect();
            tracing::info!(client = case.client.id, settings = names.join(" "), "CONFIG SET");
            shared.settings.store(Arc::new(fresh));
            case.say(|out| write::simple(out, "OK"));
        }
        Err(error) => case.refuse(error.to_string().as_bytes()),
    }
}

/// More clients need more open files.
fn make_room(fresh: &Settings, changed: &[Key]) -> Result<(), SetError> {
    let clients_max = u64::try_from(fresh.integer(Key::Maxclients)).unwrap_or(0);
    if !changed.contains(&Key::Maxclients) {
        return Ok(());
    }
    files::make_room(clients_max).map_err(|possible| {
        let why = format!(
            "The operating system is not able to handle the specified number of clients, try with {possible}"
        );
        SetError::failed(Key::Maxclients, why)
    })
}
