//! Commands of the group "server" that are no family of their own: TIME, SHUTDOWN, HELP.

use std::time::{SystemTime, UNIX_EPOCH};

use slotway_commands::{help, lookup};
use slotway_resp::write;

use super::connection::SYNTAX;
use crate::{call::Done, client::Fate, server_call::ServerCall};

/// Seconds since 1970 and microseconds within the second.
pub(crate) fn time(call: &mut ServerCall<'_>) -> Done {
    #[allow(clippy::disallowed_methods, reason = "TIME is asked for the clock")]
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    write::array(call.out, 2);
    write::bulk_integer(call.out, i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX));
    write::bulk_integer(call.out, i64::from(since_1970.subsec_micros()));
    Ok(())
}

/// HELP of a container.
pub(crate) fn help(call: &mut ServerCall<'_>) -> Done {
    if let Ok(row) = lookup::resolve(call.request) {
        help::answer(row, call.out);
    }
    Ok(())
}

/// `SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] [ABORT]`. Not answered: the connection closes when the node ends.
pub(crate) fn shutdown(call: &mut ServerCall<'_>) -> Done {
    let (mut save, mut nosave, mut abort, mut others) = (false, false, false, false);
    for word in call.request.words().skip(1) {
        match word.to_ascii_lowercase().as_slice() {
            b"save" => save = true,
            b"nosave" => nosave = true,
            b"abort" => abort = true,
            b"now" | b"force" => others = true,
            _ => return Err(SYNTAX.into()),
        }
    }
    if (save && nosave) || (abort && (save || nosave || others)) {
        return Err(SYNTAX.into());
    }
    if abort {
        return Err("ERR No shutdown in progress.".into());
    }
    if save {
        tracing::error!("SHUTDOWN SAVE refused: this version keeps its data in memory only");
        return Err("ERR Errors trying to SHUTDOWN. Check logs.".into());
    }
    tracing::info!(by = call.client.id.0, "a client asked for a shutdown");
    call.client.decide(Fate::CloseNow);
    call.node.stop.notify_one();
    Ok(())
}
