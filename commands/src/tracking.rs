//! CLIENT TRACKINGINFO and GETREDIR of a client that tracks no keys: all clients, as long as CLIENT TRACKING is not
//! built. A proxy answers for its clients as a node does.

use slotway_resp::{Version, write};

/// What Redis says where there is no connection to redirect messages to, because there are none.
pub const NO_REDIRECTION: i64 = -1;

/// The reply to CLIENT TRACKINGINFO.
pub fn write_off(out: &mut Vec<u8>, version: Version) {
    write::map(out, version, 3);
    write::bulk(out, b"flags");
    write::set(out, version, 1);
    write::bulk(out, b"off");
    write::bulk(out, b"redirect");
    write::integer(out, NO_REDIRECTION);
    write::bulk(out, b"prefixes");
    write::array(out, 0);
}
