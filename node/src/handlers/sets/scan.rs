//! SSCAN: a set in steps.

use super::write_member;
use crate::call::{Call, Done};
use crate::handlers::arguments::WRONG_TYPE;
use crate::handlers::keys::{Filter, Scanned, begin_scanned, read_cursor};

/// SSCAN key cursor [MATCH pattern] [COUNT n]. A set that is no table is returned whole.
pub(crate) fn sscan(call: &mut Call<'_>) -> Done {
    let cursor = read_cursor(call.request.word(2))?;
    let (key, request) = (call.key(), call.request);
    let Some(entry) = call.keyspace.read(key, call.now) else {
        begin_scanned(call.out, 0, 0);
        return Ok(());
    };
    let set = entry.set().ok_or(WRONG_TYPE)?;
    let filter = Filter::parse(request.skip(3), Scanned::Fields)?;
    let mut found = Vec::new();
    let next = set.scan(cursor, filter.count, |member| {
        if member.with_text(|text| filter.matches(text)) {
            found.push(member);
        }
    });
    begin_scanned(call.out, next, found.len());
    found.into_iter().for_each(|member| write_member(call.out, member));
    Ok(())
}
