//! SLOWLOG: see [`crate::slow_log`].

use slotway_resp::write;

use super::connection;
use crate::{call::Done, server_call::ServerCall};

/// Entries that SLOWLOG GET shows when it is not told how many.
const USUAL_COUNT: usize = 10;

/// `SLOWLOG GET [count]`: the newest first; -1: all.
pub(crate) fn get(call: &mut ServerCall<'_>) -> Done {
    let request = call.request;
    if request.len() > 3 {
        return Err(connection::bad_subcommand("SLOWLOG", request.word(1)));
    }
    let count = match request.get(2) {
        None => USUAL_COUNT,
        Some(word) => match connection::integer(word) {
            Some(-1) => usize::MAX,
            Some(count) if count >= 0 => usize::try_from(count).unwrap_or(usize::MAX),
            _ => return Err("ERR count should be greater than or equal to -1".into()),
        },
    };
    let log = &call.node.slow_log;
    write::array(call.out, log.len().min(count));
    for entry in log.entries().take(count) {
        write::array(call.out, 6);
        write::integer(call.out, entry.id);
        for number in [entry.at_s, entry.micros] {
            write::integer(call.out, i64::try_from(number).unwrap_or(i64::MAX));
        }
        write::array(call.out, entry.words.len());
        entry.words.iter().for_each(|word| write::bulk(call.out, word));
        write::bulk(call.out, entry.peer.as_bytes());
        write::bulk(call.out, &entry.name);
    }
    Ok(())
}

pub(crate) fn len(call: &mut ServerCall<'_>) -> Done {
    write::integer(call.out, i64::try_from(call.node.slow_log.len()).unwrap_or(i64::MAX));
    Ok(())
}

pub(crate) fn reset(call: &mut ServerCall<'_>) -> Done {
    call.node.slow_log.clear();
    write::simple(call.out, "OK");
    Ok(())
}
