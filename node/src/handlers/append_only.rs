//! BGREWRITEAOF.

use slotway_resp::write;

use crate::{call::Done, persistence::aof::rewrite, server_call::ServerCall};

const IN_PROGRESS: &str = "ERR Background append only file rewriting already in progress";

/// Works without a log, too: then it leaves a base for a start with one.
pub(crate) fn bgrewriteaof(call: &mut ServerCall<'_>) -> Done {
    if call.node.persistence.log.rewrites.is_running() {
        return Err(IN_PROGRESS.into());
    }
    // As in Redis, one goes on at a time; and what half a transaction has done must not be in a file.
    let is_saving = call.node.persistence.saves.present().is_some();
    if is_saving || call.client.transaction.is_executing() {
        call.node.persistence.log.rewrites.ask();
        write::simple(call.out, "Background append only file rewriting scheduled");
        return Ok(());
    }
    rewrite::begin(call.node);
    write::simple(call.out, "Background append only file rewriting started");
    Ok(())
}
