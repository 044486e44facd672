//! HSCAN: a hash in steps.

use crate::call::{Call, Done};
use crate::handlers::arguments::WRONG_TYPE;
use crate::handlers::keys::{Filter, Scanned, read_cursor, write_scanned};

/// HSCAN key cursor [MATCH pattern] [COUNT n]. A packed hash is returned whole.
pub(crate) fn hscan(call: &mut Call<'_>) -> Done {
    let cursor = read_cursor(call.request.word(2))?;
    let key = call.key();
    let request = call.request;
    let Some(entry) = call.keyspace.read(key, call.now) else {
        write_scanned(call.out, 0, &[]);
        return Ok(());
    };
    let hash = entry.hash().ok_or(WRONG_TYPE)?;
    let filter = Filter::parse(request.skip(3), Scanned::Fields)?;
    let mut found = Vec::new();
    let next = hash.scan(cursor, filter.count, |field, value| {
        if filter.matches(field) {
            found.extend([field, value]);
        }
    });
    write_scanned(call.out, next, &found);
    Ok(())
}
