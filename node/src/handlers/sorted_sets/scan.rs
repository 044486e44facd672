//! ZSCAN: a sorted set in steps.

use slotway_resp::{double, write};

use super::find;
use crate::call::{Call, Done};
use crate::handlers::double::print_17_digits;
use crate::handlers::keys::{Filter, Scanned, begin_scanned, read_cursor};

/// ZSCAN key cursor [MATCH pattern] [COUNT n]. A packed sorted set is returned whole.
///
/// Scores are text in both versions. Redis keeps those of a packed sorted set as text with the fewest digits; those of
/// others it prints with 17.
pub(crate) fn zscan(call: &mut Call<'_>) -> Done {
    let (request, key) = (call.request, call.key());
    let cursor = read_cursor(request.word(2))?;
    let Some(set) = find(call.keyspace, key, call.now)? else {
        begin_scanned(call.out, 0, 0);
        return Ok(());
    };
    let filter = Filter::parse(request.skip(3), Scanned::Fields)?;
    let mut found = Vec::new();
    let next = set.scan(cursor, filter.count, |score, member| {
        if filter.matches(member) {
            found.push((score, member));
        }
    });
    begin_scanned(call.out, next, 2 * found.len());
    let mut text = Vec::new();
    for (score, member) in found {
        write::bulk(call.out, member);
        if set.is_packed() {
            text.clear();
            double::write(&mut text, score);
            write::bulk(call.out, &text);
        } else {
            write::bulk(call.out, print_17_digits(score).as_bytes());
        }
    }
    Ok(())
}
