//! Commands of the group "server" that are no family of their own: TIME, SHUTDOWN, HELP.

use std::time::{SystemTime, UNIX_EPOCH};

use slotway_commands::{help, lookup};
use slotway_resp::write;

use super::connection::SYNTAX;
use crate::{
    call::Done,
    server_call::ServerCall,
    shutdown::{self, Asked},
};

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

/// `SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] [ABORT]`. Answered only if
/// the node goes on: the connection closes when it ends.
pub(crate) fn shutdown(call: &mut ServerCall<'_>) -> Done {
    let wish = match shutdown::asked(call.request).ok_or(SYNTAX)? {
        Asked::End(wish) => wish,
        Asked::Abort if shutdown::run::abort(call.node) => {
            write::simple(call.out, "OK");
            return Ok(());
        }
        Asked::Abort => return Err("ERR No shutdown in progress.".into()),
    };
    tracing::info!(by = call.client.id.0, "a client asked for a shutdown");
    shutdown::run::begin(call.node, wish, Some(call.client));
    Ok(())
}
