//! Everything that the load wrote, read back once all is well again.

use std::io;

use slotway_resp::Frame;

use super::{
    judge::Contents,
    load::Record,
    place::Door,
    request::{
        ACCOUNTS, COUNTERS, LISTS, REGISTERS, TRANSFERS_KEY, What, account_key, counter_key, list_key,
        once_key, register_key,
    },
    speak::Asker,
};

/// Questions that are under way at once.
const BATCH: usize = 500;

/// # Errors
/// When a question is not answered, or with an error.
pub fn read_back(door: &Door, record: &Record) -> io::Result<Contents> {
    let mut asker = Asker::connect(door)?;
    let mut numbers = |keys: Vec<String>| -> io::Result<Vec<Option<i64>>> {
        let mut found = Vec::new();
        for batch in keys.chunks(BATCH) {
            let words: Vec<[&str; 2]> = batch.iter().map(|key| ["GET", key.as_str()]).collect();
            let requests: Vec<&[&str]> = words.iter().map(<[&str; 2]>::as_slice).collect();
            asker.send(&requests)?;
            for key in batch {
                found.push(number(key, &asker.reply()?)?);
            }
        }
        Ok(found)
    };
    let whole = |found: Vec<Option<i64>>| -> Vec<u64> {
        found.into_iter().map(|value| u64::try_from(value.unwrap_or(0)).unwrap_or(0)).collect()
    };
    let registers = whole(numbers((0..REGISTERS).map(register_key).collect())?);
    let counters = whole(numbers((0..COUNTERS).map(counter_key).collect())?);
    let accounts = numbers((0..ACCOUNTS).map(account_key).collect())?;
    let asked = record.requests.iter().filter(|request| request.what == What::Once);
    let asked: Vec<u64> = asked.map(|request| request.number).collect();
    let once = numbers(asked.iter().map(|number| once_key(*number)).collect())?;
    let once = asked.into_iter().zip(once);
    let once = once.filter_map(|(number, value)| Some((number, u64::try_from(value?).ok()?)));
    Ok(Contents {
        registers,
        counters,
        once: once.collect(),
        accounts: accounts.into_iter().map(|value| value.unwrap_or(0)).collect(),
        lists: (0..LISTS).map(|list| list_of(&mut asker, &list_key(list))).collect::<io::Result<_>>()?,
        transfers: list_of(&mut asker, TRANSFERS_KEY)?,
    })
}

fn number(key: &str, reply: &Frame) -> io::Result<Option<i64>> {
    if let Some(error) = reply.as_error() {
        return Err(io::Error::other(format!("GET {key}: {}", String::from_utf8_lossy(error))));
    }
    Ok(reply.as_str().and_then(|text| text.parse().ok()))
}

fn list_of(asker: &mut Asker, key: &str) -> io::Result<Vec<u64>> {
    let reply = asker.must(&["LRANGE", key, "0", "-1"])?;
    let elements = reply.as_array().unwrap_or_default();
    Ok(elements.iter().filter_map(|element| element.as_str()?.parse().ok()).collect())
}
