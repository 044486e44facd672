//! COMMAND: answered from the table of commands.

use slotway_commands::{describe, lookup};

use crate::{call::Done, server_call::ServerCall};

/// COMMAND and all its subcommands.
pub(crate) fn command(call: &mut ServerCall<'_>) -> Done {
    if let Some(row) = lookup::find_in(call.request) {
        describe::answer(row, call.request, describe::Scope::Served, call.version(), call.out);
    }
    Ok(())
}
