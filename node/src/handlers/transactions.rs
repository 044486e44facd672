//! MULTI, EXEC, DISCARD, WATCH, UNWATCH. What happens to the requests in between is in [`crate::transaction`].

use slotway_commands::errors;
use slotway_resp::write;

use crate::{
    call::{Done, Refusal},
    client::Client,
    execute,
    node::Node,
    server_call::ServerCall,
};

pub(crate) fn multi(call: &mut ServerCall<'_>) -> Done {
    if call.client.transaction.is_open() {
        return Err(errors::NESTED_MULTI.into());
    }
    call.client.transaction.begin(call.client.database.get());
    write::simple(call.out, "OK");
    Ok(())
}

pub(crate) fn discard(call: &mut ServerCall<'_>) -> Done {
    if !call.client.transaction.is_open() {
        return Err(errors::DISCARD_WITHOUT_MULTI.into());
    }
    call.client.transaction.discard(&mut call.node.keyspace);
    write::simple(call.out, "OK");
    Ok(())
}

pub(crate) fn watch(call: &mut ServerCall<'_>) -> Done {
    let (client, keyspace) = (call.client, &mut call.node.keyspace);
    if client.transaction.is_open() {
        return Err(errors::WATCH_INSIDE_MULTI.into());
    }
    for word in call.request.words().skip(1) {
        let key = keyspace.key(client.database.get(), word);
        client.transaction.watch(keyspace, key, call.now);
    }
    write::simple(call.out, "OK");
    Ok(())
}

pub(crate) fn unwatch(call: &mut ServerCall<'_>) -> Done {
    call.client.transaction.unwatch(&mut call.node.keyspace);
    write::simple(call.out, "OK");
    Ok(())
}

/// What EXEC is to do.
enum Verdict {
    Run,
    /// A watched key has changed.
    Changed,
}

/// Settles the client's replies (CLIENT REPLY) itself, piece by piece: a request of the queue may turn them off or on.
pub(crate) fn exec(call: &mut ServerCall<'_>) -> Done {
    let client = call.client;
    if !client.transaction.is_collecting() {
        return Err(errors::EXEC_WITHOUT_MULTI.into());
    }
    // Also that nothing ran tells of a write: of the one that changed a watched key.
    call.node.gate.touch();
    match judge(client, call) {
        Ok(Verdict::Run) => run_queue(call),
        Ok(Verdict::Changed) => {
            client.transaction.discard(&mut call.node.keyspace);
            let start = call.out.len();
            write::null_array(call.out, client.version.get());
            client.drop_unwanted(start, call.out);
        }
        Err(refusal) => {
            client.transaction.discard(&mut call.node.keyspace);
            return Err(refusal);
        }
    }
    Ok(())
}

fn judge(client: &Client, call: &mut ServerCall<'_>) -> Result<Verdict, Refusal> {
    let Node { membership, keyspace, transaction_room, .. } = &mut *call.node;
    // First of all, as in Redis: the client is to learn where the keys are rather than that it made mistakes.
    if let Some(adopted) = membership.adopted() {
        let (database, reads) = (client.database.get(), (client.reads.get(), client.link.get()));
        client.transaction.check_slots(adopted, database, reads, transaction_room)?;
    }
    if client.transaction.is_spoiled() {
        return Err(errors::EXECABORT.into());
    }
    match client.transaction.is_unchanged(keyspace, call.now) {
        true => Ok(Verdict::Run),
        false => Ok(Verdict::Changed),
    }
}

fn run_queue(call: &mut ServerCall<'_>) {
    let ServerCall { client, node, now, out, .. } = call;
    let transaction = &client.transaction;
    transaction.unwatch(&mut node.keyspace);
    let start = out.len();
    write::array(out, transaction.requests());
    client.drop_unwanted(start, out);
    let queue = transaction.start();
    let mut room = std::mem::take(&mut node.transaction_room);
    let read = room.read(&queue, |request| {
        execute::execute_queued(node, client, request, *now, out);
        Ok(())
    });
    debug_assert!(read.is_ok(), "running a request refuses nothing");
    transaction.finish(queue, &mut room);
    node.transaction_room = room;
}
