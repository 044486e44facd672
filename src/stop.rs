//! When to stop: SIGTERM, Ctrl-C, or the end of the program that started this one.
//!
//! `slotway up` gives each child a pipe as standard input and says so in [`PARENT_PIPE`]. The pipe closes when `up` wants
//! the child to stop, and the kernel closes it when `up` is killed: no child is ever left behind. (The kernel's own
//! way, a death signal, needs unsafe code and is bound to a thread rather than to the process.)

use std::{
    io::{self, Read},
    thread,
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::{Instant, sleep_until},
};

/// Set in the environment of a child whose standard input is such a pipe.
pub(crate) const PARENT_PIPE: &str = "SLOTWAY_PARENT_PIPE";

/// Whoever was told that its parent has ended, and still runs, is told again after this: a node that could not save.
const PARENT_AGAIN: Duration = Duration::from_secs(20);

/// Everything that can ask a program to stop or to look at its settings again.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    parent: watch::Receiver<Parent>,
    /// When the parent's end was told.
    told: Option<Instant>,
    /// Keeps the channel open where there is no parent to wait for.
    _parent_seen: Option<watch::Sender<Parent>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parent {
    Runs,
    Ended,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Finish what is in flight and end.
    Stop(Why),
    /// SIGHUP: read the settings again.
    Reload,
}

/// Who asked for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    Terminate,
    Interrupt,
    ParentEnded,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Why::Terminate => "SIGTERM",
            Why::Interrupt => "SIGINT",
            Why::ParentEnded => "the end of slotway up",
        })
    }
}

impl Signals {
    /// Must be called within a tokio runtime, once per process.
    pub(crate) fn listen() -> io::Result<Signals> {
        let (sender, parent) = watch::channel(Parent::Runs);
        let mut kept = None;
        match std::env::var_os(PARENT_PIPE) {
            None => kept = Some(sender),
            // A plain thread: tokio's stdin would keep its runtime from ending while a read is pending.
            Some(_) => drop(thread::Builder::new().name("parent".into()).spawn(move || {
                wait_for_end(io::stdin().lock());
                sender.send_replace(Parent::Ended);
            })?),
        }
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            parent,
            told: None,
            _parent_seen: kept,
        })
    }

    /// Waits for the next wish.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop(Why::Terminate),
            _ = self.interrupt.recv() => Asked::Stop(Why::Interrupt),
            _ = self.hangup.recv() => Asked::Reload,
            () = parent_ended(&mut self.parent, self.told) => {
                self.told = Some(Instant::now());
                Asked::Stop(Why::ParentEnded)
            }
        }
    }
}

/// A pipe stays closed: what was told of it is told again only to a program that has not ended for long.
async fn parent_ended(parent: &mut watch::Receiver<Parent>, told: Option<Instant>) {
    if let Some(told) = told {
        sleep_until(told + PARENT_AGAIN).await;
    }
    let _ = parent.wait_for(|parent| *parent == Parent::Ended).await;
}

/// Nothing is ever written to the pipe; what is, is ignored.
fn wait_for_end(mut pipe: impl Read) {
    let mut ignored = [0; 64];
    loop {
        match pipe.read(&mut ignored) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_end_of_the_parent_is_told_once_and_again_only_after_a_long_while() {
        let (sender, mut parent) = watch::channel(Parent::Runs);
        sender.send_replace(Parent::Ended);
        let soon = Duration::from_millis(20);
        assert!(timeout(soon, parent_ended(&mut parent, None)).await.is_ok());
        assert!(timeout(soon, parent_ended(&mut parent, Some(Instant::now()))).await.is_err());
        let long_ago = Instant::now() - PARENT_AGAIN;
        assert!(timeout(soon, parent_ended(&mut parent, Some(long_ago))).await.is_ok());
    }
}
