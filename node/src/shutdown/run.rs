//! Ends the node as [`super`] decides it: waits for replicas, saves, has the log synced, and lets the node stop.
//!
//! Writes wait from the asking on, so that what replicas are to hold, and what is saved, is all there will be. The log is synced
//! by its own thread, and clients are served meanwhile: a disk that hangs delays the end, and nobody else.

use std::{rc::Rc, time::Duration};

use slotway_cluster::replication::Offset;
use slotway_commands::errors;
use slotway_config::Key;
use slotway_resp::write;
use tokio::sync::oneshot;

use super::Wish;
use crate::{
    call::Millis,
    client::{Blocked, Client, Fate},
    node::{self, Node},
    pause::{Pause, Purpose},
    persistence::save::run as save,
    thread::Thread,
};

/// However short `shutdown-timeout` is: the disk has so long to take what is written.
pub(crate) const DISK_PATIENCE_MIN: Duration = Duration::from_secs(1);

/// Why the node goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GoesOn {
    Aborted,
    CannotSave,
}

/// Somebody wants the node to end. A client that does is blocked until it is left, or the node goes on.
pub(crate) fn begin(node: &mut Node, wish: Wish, by: Option<&Client>) {
    let by = by.and_then(|client| {
        client.blocked.set(Blocked::Waiting);
        node.clients.get(client.id).map(Rc::clone)
    });
    let until = Millis(node::now().0 + u64::try_from(patience(node).as_millis()).unwrap_or(0));
    node.ending.begin(wish, by, until);
    node.pause(Purpose::Ending, Pause::Writes(Millis(u64::MAX)));
}

/// The node goes on after all. False: it was not about to end.
pub(crate) fn abort(node: &mut Node) -> bool {
    let is_ending = node.ending.present.is_some();
    if is_ending {
        tracing::info!("the shutdown was aborted");
        go_on(node);
    }
    is_ending
}

fn go_on(node: &mut Node) {
    let Some(ending) = node.ending.present.take() else { return };
    node.ending.news.notify_one();
    for client in ending.asked_by {
        let mut reply = Vec::new();
        write::error(&mut reply, errors::SHUTDOWN_FAILED.as_bytes());
        client.answer(reply);
    }
    node.unpause(Purpose::Ending);
}

/// `shutdown-timeout`
pub(crate) fn patience(node: &Node) -> Duration {
    Duration::from_secs(u64::try_from(node.settings.integer(Key::ShutdownTimeout)).unwrap_or(0))
}

/// Ends the node when that is asked for, until its owner aborts it.
pub(crate) async fn run(thread: Rc<Thread>) {
    let news = Rc::clone(&thread.node.borrow().ending.news);
    loop {
        news.notified().await;
        let number = thread.node.borrow().ending.present.as_ref().map(|ending| ending.number);
        let Some(number) = number else { continue };
        let outcome = end(&thread, number).await;
        let node = &mut *thread.node.borrow_mut();
        match outcome {
            Ok(()) => {
                let ending = node.ending.present.iter();
                ending.flat_map(|ending| &ending.asked_by).for_each(|client| client.decide(Fate::CloseNow));
                node.stop.notify_one();
                return;
            }
            Err(GoesOn::Aborted) => {}
            Err(GoesOn::CannotSave) => {
                tracing::error!("not stopping: what is only in memory would be lost");
                go_on(node);
            }
        }
    }
}

async fn end(thread: &Thread, number: u64) -> Result<(), GoesOn> {
    may_end(&thread.node.borrow(), number)?;
    replicas_caught_up(thread, number).await?;
    let saves = save_all(&mut thread.node.borrow_mut(), number)?;
    log_synced(thread, number).await?;
    thread.node.borrow_mut().saves_at_end = saves;
    Ok(())
}

/// Fails early where the end would fail in any case.
fn may_end(node: &Node, number: u64) -> Result<(), GoesOn> {
    let wish = node.ending.wish(number).ok_or(GoesOn::Aborted)?;
    if node.persistence.log.is_starting() {
        tracing::error!(
            "the first base of the append-only log is not written yet: without it the log is nothing"
        );
        if !wish.force {
            return Err(GoesOn::CannotSave);
        }
    }
    Ok(())
}

/// Waits until replicas hold what there was when the end was asked for.
async fn replicas_caught_up(thread: &Thread, number: u64) -> Result<(), GoesOn> {
    let (news, target, rest) = {
        let node = &mut *thread.node.borrow_mut();
        thread.deliver(node);
        let target = node.coming_offset();
        if node.replicas_hold(target) {
            return Ok(());
        }
        node.ask_for_last_acks();
        thread.deliver(node);
        let rest = node.ending.rest_millis(node::now()).unwrap_or(0);
        (Rc::clone(&node.ending.news), target, Duration::from_millis(rest))
    };
    let held = async {
        loop {
            {
                let node = thread.node.borrow();
                let wish = node.ending.wish(number).ok_or(GoesOn::Aborted)?;
                if wish.now || node.replicas_hold(target) {
                    return Ok(());
                }
            }
            news.notified().await;
        }
    };
    match tokio::time::timeout(rest, held).await {
        Ok(held) => held,
        Err(_) => {
            report_lagging(&thread.node.borrow(), target);
            Ok(())
        }
    }
}

fn report_lagging(node: &Node, target: Offset) {
    let replicas = node.replication.primary.machine().replicas();
    let lagging = replicas.iter().filter(|replica| replica.acked < target).count();
    tracing::warn!(
        replicas = replicas.len(),
        lagging,
        "not all replicas hold everything, and the time to wait for them is over"
    );
}

/// Returns whether what changes from now on is to be saved, too.
fn save_all(node: &mut Node, number: u64) -> Result<bool, GoesOn> {
    may_end(node, number)?;
    let wish = node.ending.wish(number).ok_or(GoesOn::Aborted)?;
    save::cancel(node);
    let saves = wish.saves(node);
    if saves && let Err(error) = save::save_now(node) {
        let file = save::target(node);
        tracing::error!(file = %file.display(), %error, "cannot save before the end; the file before it stays");
        if !wish.force {
            return Err(GoesOn::CannotSave);
        }
    }
    Ok(saves)
}

/// Who asked for the end takes it for done when its connection closes, and may end the process by force.
async fn log_synced(thread: &Thread, number: u64) -> Result<(), GoesOn> {
    let (synced, news, patience) = {
        let node = &mut *thread.node.borrow_mut();
        thread.deliver(node);
        let Some(synced) = node.persistence.log.sync() else { return Ok(()) };
        (synced, Rc::clone(&node.ending.news), patience(node).max(DISK_PATIENCE_MIN))
    };
    let outcome = tokio::time::timeout(patience, heard(thread, number, synced, &news)).await;
    let why = match outcome {
        Ok(Ok(true)) => return Ok(()),
        Ok(Err(goes_on)) => return Err(goes_on),
        Ok(Ok(false)) => "it could not be written",
        Err(_) => "the disk does not answer in time",
    };
    tracing::error!(why, "the append-only log lacks what was written last");
    match thread.node.borrow().ending.wish(number) {
        Some(wish) if wish.force => Ok(()),
        Some(_) => Err(GoesOn::CannotSave),
        None => Err(GoesOn::Aborted),
    }
}

/// The writer's word, unless the end is aborted before.
async fn heard(
    thread: &Thread,
    number: u64,
    mut synced: oneshot::Receiver<bool>,
    news: &tokio::sync::Notify,
) -> Result<bool, GoesOn> {
    loop {
        tokio::select! {
            // Of a writer that has panicked nothing is heard.
            said = &mut synced => return Ok(said.unwrap_or(false)),
            () = news.notified() => {}
        }
        thread.node.borrow().ending.wish(number).ok_or(GoesOn::Aborted)?;
    }
}

/// Behind the last request: saves what was changed since all was saved, or how far the stream has come since.
pub(crate) fn finish(node: &mut Node) {
    let is_behind = node.keyspace.stats.changes > 0 || node.persistence.saved_at != node.position_in_stream();
    if node.saves_at_end
        && is_behind
        && let Err(error) = save::save_now(node)
    {
        tracing::error!(%error, "cannot save what clients changed while the node was ending");
    }
}
