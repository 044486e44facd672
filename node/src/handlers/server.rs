//! Commands of the group "server" that are no family of their own: TIME, DEBUG, SHUTDOWN.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use slotway_commands::{help, lookup};
use slotway_config::Key;
use slotway_resp::write;

use super::{connection::SYNTAX, help::write_help};
use crate::{
    call::Done,
    client::{Client, Fate},
    node::Node,
    server_call::ServerCall,
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

/// What tests of clients and operators need; everything else is unknown, as on a Redis built without it.
pub(crate) fn debug(call: &mut ServerCall<'_>) -> Done {
    may_debug(call.node, call.client)?;
    let request = call.request;
    let subcommand = request.word(1);
    if subcommand.eq_ignore_ascii_case(b"sleep") && request.len() == 3 {
        let seconds = std::str::from_utf8(request.word(2)).ok().and_then(|text| text.parse::<f64>().ok());
        let wait = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default();
        // The point of it: nobody is served meanwhile.
        std::thread::sleep(wait);
    } else if subcommand.eq_ignore_ascii_case(b"set-active-expire") && request.len() == 3 {
        call.node.active_expiry = request.word(2) != b"0";
    } else if subcommand.eq_ignore_ascii_case(b"help") {
        write_help(
            call.out,
            "DEBUG",
            &[
                ("SLEEP <seconds>", "Serve nobody for this long. Decimals are allowed."),
                (
                    "SET-ACTIVE-EXPIRE (0|1)",
                    "Whether expired keys are deleted before somebody asks for them.",
                ),
            ],
        );
        return Ok(());
    } else {
        let name = String::from_utf8_lossy(subcommand).into_owned();
        let name: String = name.chars().take(128).collect();
        return Err(format!(
            "ERR unknown subcommand or wrong number of arguments for '{name}'. Try DEBUG HELP."
        )
        .into());
    }
    write::simple(call.out, "OK");
    Ok(())
}

/// Whether `enable-debug-command` lets this client run DEBUG. Also asked when it is queued behind MULTI.
pub(crate) fn may_debug(node: &Node, client: &Client) -> Done {
    let allowed = match node.settings.text(Key::EnableDebugCommand) {
        "yes" => true,
        "local" => client.peer.ip().is_loopback(),
        _ => false,
    };
    if allowed {
        return Ok(());
    }
    Err("ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a \
         local connection, otherwise you need to set this option in the configuration file, and then restart the \
         server."
        .into())
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
