//! What a handler of the server itself is given: one request, the client that sent it, and the whole node.
//!
//! Commands on data get a [`crate::call::Call`], which holds no more than they need; what reads or changes the
//! connection, the settings, the statistics or the cluster gets this.

use slotway_resp::{Request, Version};

use crate::{call::Millis, client::Client, node::Node};

/// One request on its way through a handler. As with data: exactly one reply in `out`, or a refusal and none.
pub(crate) struct ServerCall<'a> {
    pub(crate) request: Request<'a>,
    pub(crate) client: &'a Client,
    pub(crate) node: &'a mut Node,
    pub(crate) now: Millis,
    pub(crate) out: &'a mut Vec<u8>,
}

impl ServerCall<'_> {
    pub(crate) fn version(&self) -> Version {
        self.client.version.get()
    }
}
