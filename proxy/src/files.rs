//! Room for clients among the process's open files: each client is one, each link to a node another.

use slotway_config::{Key, Settings};
use slotway_link::descriptors;

/// Files beside the clients: links, listening sockets, HTTP, logs.
const RESERVED_FILES: u64 = 256;

/// Raises the system's limit so far that this many clients fit. Err: so many do.
pub(crate) fn make_room(clients_max: u64) -> Result<(), u64> {
    // Where the system does not tell its limit, it will tell when it is reached.
    let files_max = descriptors::raise_to(clients_max.saturating_add(RESERVED_FILES)).unwrap_or(u64::MAX);
    let possible = files_max.saturating_sub(RESERVED_FILES).max(1);
    if clients_max <= possible { Ok(()) } else { Err(possible) }
}

/// At the start fewer clients are better than no proxy: `maxclients` becomes what the system allows.
pub(crate) fn fit(settings: &mut Settings) {
    let clients_max = u64::try_from(settings.integer(Key::Maxclients)).unwrap_or(0);
    let Err(possible) = make_room(clients_max) else { return };
    tracing::warn!(
        wanted = clients_max,
        possible,
        "the system allows too few open files for maxclients, which is lowered; raise the limit (ulimit -n)"
    );
    if let Err(error) = settings.record(Key::Maxclients, &possible.to_string()) {
        tracing::warn!(%error, "maxclients stays as it was");
    }
}
