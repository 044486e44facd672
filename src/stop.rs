//! When to stop: SIGTERM, Ctrl-C, or the end of the program that started this one.
//!
//! `slotway up` gives each child a pipe as standard input and says so in [`PARENT_PIPE`]. The pipe closes when `up` wants
//! the child to stop, and the kernel closes it when `up` is killed: no child is ever left behind. (The kernel's own
//! way, a death signal, needs unsafe code and is bound to a thread rather than to the process.)

use std::{
    io::{self, Read},
    thread,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

/// Set in the environment of a child whose standard input is such a pipe.
pub(crate) const PARENT_PIPE: &str = "SLOTWAY_PARENT_PIPE";

/// Everything that can ask a program to stop or to look at its settings again.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    parent: watch::Receiver<Parent>,
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
            _parent_seen: kept,
        })
    }

    /// Waits for the next wish.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop(Why::Terminate),
            _ = self.interrupt.recv() => Asked::Stop(Why::Interrupt),
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.parent.wait_for(|parent| *parent == Parent::Ended) => Asked::Stop(Why::ParentEnded),
        }
    }
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
