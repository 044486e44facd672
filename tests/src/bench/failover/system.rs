//! What a case of the campaign needs of the system it hurts.

use std::{
    fs, io, thread,
    time::{Duration, Instant},
};

use super::{load::Side, place::Door};
use crate::syscall::{Signal, send_signal};

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

/// How long a system may take until all of it serves, at its start and after its wounds.
pub const WHOLE_MAX: Duration = Duration::from_secs(45);

/// How long a process may take until it stands still.
const STOP_MAX: Duration = Duration::from_secs(5);

/// A running system of one shard. Dropping it kills all of it.
pub trait System {
    /// Where clients stand, and how many. The first side is where a fault is watched from.
    fn sides(&self) -> Vec<Side>;

    /// The process that leads, by the system's own account.
    ///
    /// # Errors
    /// When nobody says so.
    fn primary(&self) -> io::Result<String>;

    /// Sends a signal to one of its processes.
    ///
    /// # Errors
    /// When it does not run.
    fn signal(&self, id: &str, signal: Signal) -> io::Result<()>;

    /// Cuts what packets go from one of these to one of those, silently; the other way they pass.
    ///
    /// # Errors
    /// Where the system's processes do not stand apart.
    fn cut(&self, from: &[&str], to: &[&str]) -> io::Result<()>;

    /// Undoes every cut.
    ///
    /// # Errors
    /// As [`System::cut`].
    fn heal(&self) -> io::Result<()>;

    /// The client port of a storage process itself.
    ///
    /// # Errors
    /// When there is no such process.
    fn own_door(&self, id: &str) -> io::Result<Door>;

    /// Whether everybody who lives is where it belongs.
    fn is_whole(&self) -> bool;

    /// Where data are read back once all is whole.
    ///
    /// # Errors
    /// When nobody serves.
    fn reader(&self) -> io::Result<Door>;

    /// Where its logs are, for whoever has to explain what was found.
    fn directory(&self) -> &std::path::Path;
}

/// Sends a signal. SIGSTOP has acted when this returns: one thread must run to heed it before the others are told, which takes milliseconds on a
/// busy machine, and what they answer meanwhile is none of a process that stands still.
///
/// # Errors
/// When there is no such process, or it does not stop.
pub fn send(pid: u32, signal: Signal) -> io::Result<()> {
    send_signal(pid, signal)?;
    match signal {
        Signal::Stop => wait("all threads stand still", STOP_MAX, || stands_still(pid)).map(drop),
        Signal::Kill | Signal::Continue => Ok(()),
    }
}

fn stands_still(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    let mut states = threads.flatten().map(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    });
    states.all(|is_stopped| is_stopped)
}

/// Waits until `condition` holds.
///
/// # Errors
/// When it does not in time; the text says what was waited for.
pub fn wait(what: &str, within: Duration, mut condition: impl FnMut() -> bool) -> io::Result<Duration> {
    let began = Instant::now();
    while !condition() {
        if began.elapsed() > within {
            return Err(io::Error::other(format!("waited {within:?} in vain until {what}")));
        }
        thread::park_timeout(LOOK);
    }
    Ok(began.elapsed())
}
