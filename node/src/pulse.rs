//! The pulse thread: answers for the node whatever the keyspace thread does.
//!
//! A thread with a runtime of its own listens on the pulse port. Proxies ask there how the node is, fence it and bring orders; the
//! primary of its shard asks for a lease; and from here this node asks its sync members when it is the primary. What follows from what
//! is said is decided by [`slotway_cluster::pulse::Pulse`]; [`core`] hands it what happens and does what it says, in its order.
//! [`session`] is one connection to this port, [`beats`] are the links to sync members.
//!
//! With the keyspace thread it shares [`Vitals`] and the owner of `node.json`, nothing else, and it waits for neither: only a
//! promise that must outlast the process waits for the disk.
//!
//! Only members speak here, so a node without the members' secret has no such port. A process whose files may let it go on with
//! an earlier life accepts nobody before it knows: until then it cannot say who it is.

use std::{io, rc::Rc, sync::Arc, thread::JoinHandle, time::Duration};

use slotway_cluster::pulse::Boot;
use slotway_config::Secret;
use slotway_link::{Acceptor, End, Listening};
use tokio::{net::TcpStream, runtime::LocalOptions, sync::oneshot, task::JoinSet};

use crate::{membership::Keeper, server, vitals::Vitals};

mod beats;
mod core;
mod outbox;
mod session;
#[cfg(test)]
mod tests;

use self::core::Core;

/// Connections at a time: some for each proxy of the largest group, the primary, and a few that have yet to prove themselves.
const CONNECTIONS_MAX: usize = 256;

/// What the thread is given.
pub(crate) struct Given {
    pub(crate) listening: Listening,
    pub(crate) secret: Secret,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) vitals: Arc<Vitals>,
    pub(crate) keeper: Arc<Keeper>,
}

/// The thread, as the keyspace thread holds it. Dropping it stops the thread without waiting.
pub(crate) struct PulseThread {
    begin: Option<oneshot::Sender<Boot>>,
    /// Dropped: the thread is to end.
    _stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
    thread: JoinHandle<io::Result<()>>,
}

/// Starts the thread. It accepts nobody before [`PulseThread::begin`].
pub(crate) fn start(given: Given) -> io::Result<PulseThread> {
    let (begin, begun) = oneshot::channel();
    let (stop, stopped) = oneshot::channel();
    let (alive, ended) = oneshot::channel();
    let thread = std::thread::Builder::new().name("pulse".into()).spawn(move || {
        // Dropped when the thread ends, in whatever way.
        let _alive: oneshot::Sender<()> = alive;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(async {
            tokio::select! {
                outcome = run(given, begun) => outcome,
                // Dropped, or said: the end.
                _ = stopped => Ok(()),
            }
        })
    })?;
    Ok(PulseThread { begin: Some(begin), _stop: stop, ended, thread })
}

impl PulseThread {
    /// It is known who this process is.
    pub(crate) fn begin(&mut self, boot: Boot) {
        if let Some(begin) = self.begin.take() {
            // A thread that has ended is noticed by [`PulseThread::ended`].
            let _ = begin.send(boot);
        }
    }

    /// Ready when the thread has ended, though nobody asked it to.
    pub(crate) async fn ended(&mut self) {
        let _ = (&mut self.ended).await;
    }

    /// Asks the thread to end, and hands out what to wait for.
    pub(crate) fn stop(self) -> JoinHandle<io::Result<()>> {
        self.thread
    }
}

async fn run(given: Given, begun: oneshot::Receiver<Boot>) -> io::Result<()> {
    let Given { listening, secret, keepalive, vitals, keeper } = given;
    // Sockets that are bound but not accepted from keep callers waiting, who then ask in vain, as of a node that is down.
    let Ok(boot) = begun.await else { return Ok(()) };
    let port = listening.port;
    let mut acceptor = Acceptor::new(listening)?;
    let core = Core::new(boot, vitals, keeper, secret);
    let mut tasks = JoinSet::new();
    tasks.spawn_local(core::keep_time(Rc::clone(&core)));
    tasks.spawn_local(core::hear_keyspace(Rc::clone(&core)));
    tracing::info!(port, "members reach the pulse on port {port}");
    loop {
        tokio::select! {
            (stream, peer) = acceptor.accept() => welcome(&core, &mut tasks, (stream, peer), keepalive),
            Some(ended) = tasks.join_next() => server::report(ended),
        }
    }
}

/// A new connection: its task, unless there are too many.
fn welcome(
    core: &Rc<Core>,
    tasks: &mut JoinSet<()>,
    (stream, peer): (TcpStream, End),
    keepalive: Option<Duration>,
) {
    if core.sessions() >= CONNECTIONS_MAX {
        tracing::warn!(%peer, max = CONNECTIONS_MAX, "the pulse port has too many connections");
        // A fresh socket takes a line at once, or its client is past caring.
        let _ = stream.try_write(b"-ERR max number of connections reached\r\n");
        return;
    }
    if let Err(error) = slotway_link::tune(&stream, keepalive) {
        tracing::debug!(%peer, %error, "a connection broke before it was served");
        return;
    }
    let met = core.meet();
    tasks.spawn_local(session::run((stream, peer), met, Rc::clone(core)));
}
