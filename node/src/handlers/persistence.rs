//! SAVE, BGSAVE, LASTSAVE.

use slotway_resp::write;

use super::connection::SYNTAX;
use crate::{call::Done, persistence::save::run, server_call::ServerCall};

const IN_PROGRESS: &str = "ERR Background save already in progress";

/// Redis's words: its children are our walks.
const OTHER_CHILD: &str = "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in \
                           order to schedule a BGSAVE whenever possible.";

/// Not served meanwhile are all others, as in Redis.
pub(crate) fn save(call: &mut ServerCall<'_>) -> Done {
    if call.node.persistence.saves.present().is_some() {
        return Err(IN_PROGRESS.into());
    }
    if let Err(error) = run::save_now(call.node) {
        tracing::error!(file = %run::target(call.node).display(), %error, "SAVE failed; the file before it stays");
        return Err("ERR".into());
    }
    write::simple(call.out, "OK");
    Ok(())
}

/// `BGSAVE [SCHEDULE]`
pub(crate) fn bgsave(call: &mut ServerCall<'_>) -> Done {
    match call.request.len() {
        1 => {}
        2 if call.request.word(1).eq_ignore_ascii_case(b"schedule") => {}
        _ => return Err(SYNTAX.into()),
    }
    if call.node.persistence.saves.present().is_some() {
        return Err(IN_PROGRESS.into());
    }
    // What half a transaction has done must not be in a file.
    let is_executing = call.client.transaction.is_executing();
    let is_rewriting = call.node.persistence.log.rewrites.is_running();
    if is_rewriting && !is_executing && call.request.len() == 1 {
        return Err(OTHER_CHILD.into());
    }
    if is_executing || is_rewriting || run::begin(call.node).is_err() {
        call.node.persistence.saves.schedule();
        write::simple(call.out, "Background saving scheduled");
        return Ok(());
    }
    write::simple(call.out, "Background saving started");
    Ok(())
}

/// When the last save succeeded, in seconds since 1970.
pub(crate) fn lastsave(call: &mut ServerCall<'_>) -> Done {
    let seconds = call.node.persistence.saves.succeeded().0 / 1000;
    write::integer(call.out, i64::try_from(seconds).unwrap_or(i64::MAX));
    Ok(())
}
