//! REPLICAOF, also called SLAVEOF: whom this node follows. FAILOVER: who leads instead of it.

use slotway_resp::write;

use super::arguments::{integer, is};
use crate::{
    call::Done,
    membership::MANAGED,
    node,
    replication::{
        handing::{self, NO_FAILOVER, Wish},
        replica::Primary,
    },
    server_call::ServerCall,
};

/// `REPLICAOF host port` and `REPLICAOF NO ONE`.
pub(crate) fn replicaof(call: &mut ServerCall<'_>) -> Done {
    let (host, port) = (call.request.word(1), call.request.word(2));
    if call.node.membership.adopted().is_some() {
        return Err(MANAGED.into());
    }
    if call.node.handing.state() != NO_FAILOVER {
        return Err("ERR REPLICAOF not allowed while failing over.".into());
    }
    if is(host, "NO") && is(port, "ONE") {
        call.node.follow_nobody();
        write::simple(call.out, "OK");
        return Ok(());
    }
    let port =
        integer(port).ok().and_then(|port| u16::try_from(port).ok()).ok_or("ERR Invalid master port")?;
    let host = String::from_utf8_lossy(host).into_owned();
    if host.contains(' ') {
        return Err("ERR Invalid master host".into());
    }
    let primary = Primary { host, port };
    if call.node.following.primary() == Some(&primary) {
        write::simple(call.out, "OK Already connected to specified master");
        return Ok(());
    }
    call.node.follow(primary);
    write::simple(call.out, "OK");
    Ok(())
}

/// `FAILOVER [TO host port [FORCE]] [TIMEOUT milliseconds]` and `FAILOVER ABORT`: a replica that holds everything leads from
/// then on, and this node follows it. Answered at once; INFO tells how far it is.
pub(crate) fn failover(call: &mut ServerCall<'_>) -> Done {
    if call.node.membership.adopted().is_some() {
        return Err(MANAGED.into());
    }
    if call.request.len() == 2 && is(call.request.word(1), "ABORT") {
        if !handing::abort(call.node, "FAILOVER ABORT") {
            return Err("ERR No failover in progress.".into());
        }
        write::simple(call.out, "OK");
        return Ok(());
    }
    let wish = Wish::parse(call.request, node::now())?;
    handing::begin(call.node, wish)?;
    write::simple(call.out, "OK");
    Ok(())
}
