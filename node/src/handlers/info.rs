//! INFO: the rows of the commands crate filled with this node's numbers.
//!
//! Which sections and fields there are, and in which order, say the rows; here stands, section by section, what each
//! field is on this node. What a node of this version does not have (no replication, nothing on disk) is reported
//! as Redis reports it when it is not used, because monitoring asks for these fields by name.

use slotway_commands::info;

use slotway_resp::write;

use self::facts::Facts;
use crate::{call::Done, server_call::ServerCall};

mod facts;

/// `INFO [section ...]`
pub(crate) fn info(call: &mut ServerCall<'_>) -> Done {
    let sections = info::selected(call.request.words().skip(1));
    let facts = Facts::gather(call.node, call.now);
    let text = info::write(&sections, &|name| facts.value(name), &|pattern| facts.lines(pattern));
    write::verbatim(call.out, call.version(), "txt", text.as_bytes());
    Ok(())
}
