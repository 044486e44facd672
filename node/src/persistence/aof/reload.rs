//! DEBUG LOADAOF: what is there becomes what the log says, as at a start.
//!
//! The command is blocked, and from then on clients are told `-LOADING`, until it is done: first the log is synced, then
//! everything is forgotten and read. What is read is fed to nobody: the log has it, and replicas do. If the log cannot be read,
//! what it says is lost, and what was there is gone: the node ends without saving, and its next start says what is wrong.

use std::{rc::Rc, sync::Arc};

use slotway_resp::write;
use tokio::sync::Notify;

use super::{State, load};
use crate::{
    call::Done,
    client::{Blocked, Client},
    feed::Source,
    membership::MANAGED,
    node::Node,
    persistence::loading::{self, Loaded, read::Meter},
    replication::handing::NO_FAILOVER,
    thread::Thread,
};

const UNREADABLE: &str = "ERR Error trying to load the AOF files, check server logs.";

/// What is asked of the task that reads.
#[derive(Default)]
pub(crate) struct Desk {
    asked: Option<(Rc<Client>, Arc<Meter>)>,
    news: Rc<Notify>,
}

/// Somebody wants the log to be read; answered when it is.
pub(crate) fn begin(node: &mut Node, by: &Client) -> Done {
    if node.membership.adopted().is_some() {
        return Err(MANAGED.into());
    }
    if node.following.primary().is_some() {
        return Err("ERR a replica's data are its primary's, not its log's".into());
    }
    if node.handing.state() != NO_FAILOVER {
        return Err("ERR DEBUG LOADAOF not allowed while failing over.".into());
    }
    let log = &node.persistence.log;
    if !matches!(log.state, State::On(_)) || log.rewrites.is_running() || log.rewrites.is_scheduled() {
        return Err("ERR there is no append-only log, or it is being written anew".into());
    }
    if by.transaction.is_executing() {
        return Err("ERR DEBUG LOADAOF is not allowed in transactions".into());
    }
    let Some(by) = node.clients.get(by.id).map(Rc::clone) else { return Ok(()) };
    by.blocked.set(Blocked::Waiting);
    let meter = loading::enter(node, 0);
    let desk = &mut node.persistence.reload;
    desk.asked = Some((by, meter));
    desk.news.notify_one();
    Ok(())
}

/// Reads the log when that is asked for, until its owner aborts it.
pub(crate) async fn run(thread: Rc<Thread>) {
    let news = Rc::clone(&thread.node.borrow().persistence.reload.news);
    loop {
        news.notified().await;
        let asked = thread.node.borrow_mut().persistence.reload.asked.take();
        let Some((by, meter)) = asked else { continue };
        let mut reply = Vec::new();
        match reload(&thread, meter).await {
            Ok(()) => write::simple(&mut reply, "OK"),
            Err(why) => {
                tracing::error!(why, "DEBUG LOADAOF cannot load");
                write::error(&mut reply, UNREADABLE.as_bytes());
            }
        }
        by.answer(reply);
    }
}

async fn reload(thread: &Thread, meter: Arc<Meter>) -> Result<(), String> {
    let synced = {
        let node = &mut *thread.node.borrow_mut();
        thread.deliver(node);
        node.persistence.log.sync()
    };
    let is_synced = match synced {
        Some(synced) => synced.await.unwrap_or(false),
        None => false,
    };
    if !is_synced {
        loading::leave(&mut thread.node.borrow_mut(), Loaded::default());
        return Err("it could not be written first".into());
    }
    {
        let node = &mut *thread.node.borrow_mut();
        node.keyspace.flush_all();
        node.keyspace.feed.draw_from(Source::Primary);
        thread.end_turn(node);
    }
    let loaded = load::load(thread, meter).await;
    let node = &mut *thread.node.borrow_mut();
    if loaded.is_err() {
        node.stop.notify_one();
    }
    loaded.map_err(|error| error.to_string())?;
    node.take_role();
    loading::leave(node, Loaded::default());
    tracing::warn!(keys = node.keys(), "the data were loaded from the append-only log");
    Ok(())
}
