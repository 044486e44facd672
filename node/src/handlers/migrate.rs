//! MIGRATE: reads the request and takes the values; [`crate::migrate`] does the rest.

use std::{rc::Rc, time::Duration};

use slotway_cluster::Database;
use slotway_resp::write;

use super::arguments::{SYNTAX, integer, is};
use crate::{
    call::{Done, Millis, Refusal},
    client::Blocked,
    migrate::{Cargo, Job, Parcel, Request},
    rdb::{self, Form, Noted},
    server_call::ServerCall,
};

/// `MIGRATE host port key|"" database timeout [COPY] [REPLACE] [AUTH password | AUTH2 user password] [KEYS key ...]`
pub(crate) fn migrate(call: &mut ServerCall<'_>) -> Done {
    let request = read(call.request)?;
    if call.client.transaction.is_executing() {
        return Err(IN_TRANSACTION);
    }
    let (database, keys) = (call.client.database.get(), request.keys.clone());
    let mut cargo = Cargo::default();
    for at in keys {
        pack(call, &request, database, call.request.word(at), &mut cargo);
    }
    if cargo.parcels.is_empty() {
        write::simple(call.out, "NOKEY");
        return Ok(());
    }
    let client = Rc::clone(call.node.clients.get(call.client.id).expect("a client that asks is known"));
    if let Err(job) = call.node.migrations.begin(Job { client, request, database, cargo }) {
        job.cargo.parcels.iter().for_each(|parcel| call.node.keyspace.unwatch(&parcel.watch));
        return Err(TOO_MANY);
    }
    call.client.blocked.set(Blocked::Waiting);
    Ok(())
}

const IN_TRANSACTION: Refusal =
    Refusal::Borrowed("ERR MIGRATE waits for another server, which a transaction cannot");
const TOO_MANY: Refusal = Refusal::Borrowed("ERR Too many MIGRATEs are under way, try again later");

/// Adds the RESTORE of a key that is there.
fn pack(call: &mut ServerCall<'_>, request: &Request, database: Database, word: &[u8], cargo: &mut Cargo) {
    let now = call.now;
    let keyspace = &mut call.node.keyspace;
    let form = Form { compress: keyspace.settings.compress, noted: Noted::Nothing };
    let key = keyspace.key(database, word);
    let Some(entry) = keyspace.read(key, now) else { return };
    let mut payload = Vec::new();
    rdb::write::dump(&mut payload, entry, form);
    // At least a millisecond: 0 would be for ever.
    let ttl = entry.deadline().map_or(0, |Millis(at)| at.saturating_sub(now.0).max(1));
    let mut digits = itoa::Buffer::new();
    // A node of a cluster takes keys of slots that are on their way to it only so.
    let name: &[u8] = if call.node.membership.adopted().is_some() { b"RESTORE-ASKING" } else { b"RESTORE" };
    let mut words = vec![name, word, digits.format(ttl).as_bytes(), &payload];
    if request.replaces {
        words.push(b"REPLACE");
    }
    write::request(&mut cargo.restores, &words);
    let watch = call.node.keyspace.watch(key, now);
    cargo.parcels.push(Parcel { key: word.to_vec(), watch });
}

/// Where Redis's timeout is 0 or less.
const PATIENCE_MS: i64 = 1000;

const KEY_AND_KEYS: Refusal =
    Refusal::Borrowed("ERR When using MIGRATE KEYS option, the key argument must be set to the empty string");

/// `MIGRATE host port key|"" database timeout [COPY] [REPLACE] [AUTH password | AUTH2 user password] [KEYS key ...]`
fn read(request: slotway_resp::Request<'_>) -> Result<Request, Refusal> {
    let text = |at: usize| String::from_utf8_lossy(request.word(at)).into_owned();
    let (mut keeps, mut replaces, mut credentials, mut keys) = (false, false, Vec::new(), 3..4);
    let mut at = 6;
    while at < request.len() {
        let (word, behind) = (request.word(at), request.len() - at - 1);
        let mut used = 0;
        if is(word, "COPY") {
            keeps = true;
        } else if is(word, "REPLACE") {
            replaces = true;
        } else if is(word, "AUTH") && behind >= 1 {
            used = 1;
        } else if is(word, "AUTH2") && behind >= 2 {
            used = 2;
        } else if is(word, "KEYS") {
            if !request.word(3).is_empty() {
                return Err(KEY_AND_KEYS);
            }
            keys = at + 1..request.len();
            break;
        } else {
            return Err(SYNTAX);
        }
        if used > 0 {
            credentials = (at + 1..=at + used).map(|at| request.word(at).to_vec()).collect();
        }
        at += 1 + used;
    }
    let timeout = integer(request.word(5))?;
    let patience = if timeout <= 0 { PATIENCE_MS } else { timeout };
    Ok(Request {
        host: text(1),
        port: text(2),
        database: integer(request.word(4))?,
        patience: Duration::from_millis(patience.unsigned_abs()),
        keeps,
        replaces,
        credentials,
        keys,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn asked(words: &str) -> Result<Request, Refusal> {
        let words = words.split(' ').map(|word| if word == "_" { "" } else { word });
        read(slotway_resp::OwnedRequest::new(words).view())
    }
    #[test]
    fn a_request_is_read_as_redis_reads_it() {
        let read_well = asked("MIGRATE h 6379 k 0 50 copy AUTH2 u p REPLACE").unwrap();
        assert_eq!((read_well.keeps, read_well.replaces, read_well.keys), (true, true, 3..4));
        assert_eq!(read_well.credentials, [b"u".to_vec(), b"p".to_vec()]);
        assert_eq!(read_well.patience, Duration::from_millis(50));
        let many = asked("MIGRATE h 6379 _ 3 0 KEYS a b COPY").unwrap();
        assert_eq!((many.keys, many.database, many.keeps), (7..10, 3, false));
        assert_eq!(many.patience, Duration::from_secs(1));
        assert_eq!(asked("MIGRATE h 6379 k 0 0 KEYS a"), Err(KEY_AND_KEYS));
        for wrong in ["MIGRATE h 1 k 0 0 AUTH", "MIGRATE h 1 k 0 0 AUTH2 u", "MIGRATE h 1 k 0 0 MOVE"] {
            assert_eq!(asked(wrong), Err(SYNTAX), "{wrong}");
        }
        assert!(asked("MIGRATE h 1 k x 0").is_err() && asked("MIGRATE h 1 k 0 x").is_err());
    }
}
