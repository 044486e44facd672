//! Commands on HyperLogLogs, which are strings: what they say and how they change is [`crate::hyperloglog`]'s.

use std::borrow::Cow;

use slotway_commands::errors;
use slotway_resp::write;

use super::arguments::{WRONG_TYPE, is};
use crate::call::{Call, Done, Refusal};
use crate::hyperloglog::{self as sketch, Corrupt, Encoding, Observation, Union};
use crate::keyspace::Key;
use crate::keyspace::entry::Entry;
use crate::keyspace::text::Origin;

const CORRUPT: Refusal = Refusal::Borrowed(errors::CORRUPT_HYPERLOGLOG);
const NOT_SPARSE: &str = "ERR HLL encoding is not sparse";
const NO_KEY: &str = "ERR The specified key does not exist";

/// PFADD key [element ...]
pub(crate) fn pfadd(call: &mut Call<'_>) -> Done {
    let (key, bytes_max) = (call.key(), call.keyspace.settings.hyperloglog_sparse_bytes_max);
    let seen = call.request.words().skip(2).map(Observation::of);
    let mut changed = 0;
    let done = match call.keyspace.write(key, call.now) {
        Some(entry) => note(entry, seen, bytes_max, &mut changed)?,
        None => {
            // A new key is a change, also without elements.
            changed = 1;
            let mut entry = with_sketch(key, &sketch::empty());
            let done = note(&mut entry, seen, bytes_max, &mut changed)?;
            call.keyspace.insert(key, entry, call.now);
            done
        }
    };
    call.keyspace.changed(key, changed);
    done.map_err(|Corrupt| CORRUPT)?;
    write::integer(call.out, i64::from(changed > 0));
    Ok(())
}

/// Takes note of elements in a key's HyperLogLog, and counts how many changed it, also if one of them finds it corrupt.
/// If any did, or it was changed before, its cached count is out of date.
fn note(
    entry: &mut Entry,
    mut seen: impl Iterator<Item = Observation>,
    bytes_max: usize,
    changed: &mut u64,
) -> Result<Result<(), Corrupt>, Refusal> {
    let encoding = encoding(entry)?;
    let Some(text) = entry.text_mut() else { return Err(WRONG_TYPE) };
    if encoding == Encoding::Dense {
        *changed += seen.map(|seen| u64::from(sketch::note_dense(text, seen))).sum::<u64>();
        if *changed > 0 {
            sketch::forget_cached(text);
        }
        return Ok(Ok(()));
    }
    let mut text = Cow::Borrowed(&*text);
    let done = seen.try_for_each(|seen| {
        *changed += u64::from(sketch::note(&mut text, seen, bytes_max)?);
        Ok(())
    });
    if *changed > 0 {
        sketch::forget_cached(text.to_mut());
    }
    if let Cow::Owned(text) = text {
        drop(entry.set_text(&text, Origin::Edited));
    }
    Ok(done)
}

/// PFCOUNT key [key ...]
pub(crate) fn pfcount(call: &mut Call<'_>) -> Done {
    let count = if call.request.len() == 2 {
        count_one(call)?
    } else {
        let mut union = Union::default();
        merge_all(call, &mut union)?;
        union.count()
    };
    write::integer(call.out, count.cast_signed());
    Ok(())
}

/// The count of one key, which is kept in it.
fn count_one(call: &mut Call<'_>) -> Result<u64, Refusal> {
    let key = call.key();
    let Some(entry) = call.keyspace.read(key, call.now) else { return Ok(0) };
    encoding(entry)?;
    let Some(text) = call.keyspace.write_again(key).and_then(Entry::text_mut) else {
        return Err(WRONG_TYPE);
    };
    if let Some(count) = sketch::cached(text) {
        return Ok(count);
    }
    let count = sketch::count(text).map_err(|Corrupt| CORRUPT)?;
    sketch::cache(text, count);
    call.keyspace.changed(key, 1);
    Ok(count)
}

/// Merges all keys of a request that are there; returns whether one of them is dense.
fn merge_all(call: &mut Call<'_>, union: &mut Union) -> Result<bool, Refusal> {
    let mut any_dense = false;
    for word in 1..call.request.len() {
        let key = call.nth_key(word - 1, word);
        let Some(entry) = call.keyspace.read(key, call.now) else { continue };
        any_dense |= encoding(entry)? == Encoding::Dense;
        union.merge(entry.text().ok_or(WRONG_TYPE)?).map_err(|Corrupt| CORRUPT)?;
    }
    Ok(any_dense)
}

/// PFMERGE destination [source ...]
pub(crate) fn pfmerge(call: &mut Call<'_>) -> Done {
    let (target, bytes_max) = (call.key(), call.keyspace.settings.hyperloglog_sparse_bytes_max);
    let mut union = Union::default();
    let any_dense = merge_all(call, &mut union)?;
    if call.keyspace.write(target, call.now).is_none() {
        call.keyspace.insert(target, with_sketch(target, &sketch::empty()), call.now);
    }
    if let Some(entry) = call.keyspace.write_again(target) {
        if any_dense && encoding(entry)? == Encoding::Sparse {
            make_dense(entry)?;
        }
        // Also what adds nothing counts as a change.
        note(entry, union.observations(), bytes_max, &mut 1)?.map_err(|Corrupt| CORRUPT)?;
    }
    call.keyspace.changed(target, 1);
    write::simple(call.out, "OK");
    Ok(())
}

/// PFDEBUG GETREG|DECODE|ENCODING|TODENSE key
pub(crate) fn pfdebug(call: &mut Call<'_>) -> Done {
    let (what, key) = (call.request.word(1), call.nth_key(0, 2));
    let entry = call.keyspace.write(key, call.now).ok_or(Refusal::Borrowed(NO_KEY))?;
    let encoding = encoding(entry)?;
    // As Redis unshares the string before it looks at it.
    let text = entry.text_mut().ok_or(WRONG_TYPE)?;
    let mut made_dense = false;
    if is(what, "ENCODING") {
        write::simple(call.out, if encoding == Encoding::Dense { "dense" } else { "sparse" });
    } else if is(what, "DECODE") {
        if encoding != Encoding::Sparse {
            return Err(NOT_SPARSE.into());
        }
        write::bulk(call.out, sketch::describe(text).as_bytes());
    } else if is(what, "GETREG") || is(what, "TODENSE") {
        made_dense = encoding == Encoding::Sparse;
        if made_dense {
            make_dense(entry)?;
        }
        if is(what, "TODENSE") {
            write::integer(call.out, i64::from(made_dense));
        } else {
            let mut registers = Vec::new();
            sketch::dense_values(entry.text().unwrap_or_default(), |value| registers.push(value));
            write::array(call.out, registers.len());
            registers.into_iter().for_each(|value| write::integer(call.out, i64::from(value)));
        }
    } else {
        let name = what.split(|&byte| byte == 0).next().unwrap_or_default();
        return Err(format!("ERR Unknown PFDEBUG subcommand '{}'", String::from_utf8_lossy(name)).into());
    }
    call.keyspace.changed(key, u64::from(made_dense));
    Ok(())
}

/// PFSELFTEST
pub(crate) fn pfselftest(call: &mut Call<'_>) -> Done {
    sketch::self_test().map_err(|failure| format!("TESTFAILED {failure}"))?;
    write::simple(call.out, "OK");
    Ok(())
}

fn with_sketch(key: Key<'_>, text: &[u8]) -> Entry {
    let mut entry = Entry::with_text(key.bytes, b"");
    drop(entry.set_text(text, Origin::Edited));
    entry
}

fn make_dense(entry: &mut Entry) -> Done {
    let dense = sketch::to_dense(entry.text().ok_or(WRONG_TYPE)?).map_err(|Corrupt| CORRUPT)?;
    drop(entry.set_text(&dense, Origin::Edited));
    Ok(())
}

/// How a key's HyperLogLog is kept; refuses other types and other strings.
fn encoding(entry: &Entry) -> Result<Encoding, Refusal> {
    let text = entry.text().ok_or(WRONG_TYPE)?;
    sketch::encoding(text).ok_or(Refusal::Borrowed(errors::NOT_HYPERLOGLOG))
}
