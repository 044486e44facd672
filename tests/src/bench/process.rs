//! A server that a measurement starts: on its core, until it answers, and never longer than the measurement.

use super::ask::ask;
use super::failure::{Failure, While};
use crate::syscall::{Core, Cores, die_with_parent, place_this_thread, thread_cores};
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The core of the measured process, and that of everything else.
pub const MEASURED: Core = Core(0);
pub const OTHERS: Core = Core(1);

/// How long a server may take until it answers PING.
const START_MAX: Duration = Duration::from_secs(30);

/// How long one may take until it has ended.
const END_MAX: Duration = Duration::from_secs(60);

/// A running server. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    port: u16,
    /// What it writes.
    log: PathBuf,
    /// It was to end, and has.
    has_ended: bool,
}

impl Process {
    /// Starts `command` on `core` and waits until its port answers PING.
    ///
    /// # Errors
    /// [`Failure::Missing`] when there is no such program, [`Failure::DidNotStart`] with the end of its output.
    pub fn start(
        name: &str,
        mut command: Command,
        port: u16,
        core: Core,
        scratch: &Scratch,
    ) -> Result<Process, Failure> {
        let log = scratch.path().join(format!("{port}.log"));
        let output = File::create(&log).during("creating a log")?;
        command.stdin(Stdio::null()).stderr(output.try_clone().during("creating a log")?).stdout(output);
        die_with_parent(&mut command);
        let child = on_core(core, || command.spawn())?.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(name, &command),
            _ => Failure::System { doing: format!("starting {name}"), error },
        })?;
        let mut process = Process { name: name.to_owned(), child, port, log, has_ended: false };
        process.wait_until_it_answers()?;
        Ok(process)
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    fn wait_until_it_answers(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + START_MAX;
        loop {
            let error = match ask(self.port, &["PING"]) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let ended = self.child.try_wait().during("looking at a child")?;
            let why = match ended {
                Some(status) => status.to_string(),
                None if Instant::now() > deadline => {
                    format!("no answer to PING on port {}: {error}", self.port)
                }
                None => {
                    thread::sleep(Duration::from_millis(20));
                    continue;
                }
            };
            return Err(Failure::DidNotStart { name: self.name.clone(), why, log: self.last_words() });
        }
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// [`Failure::Worthless`] when it does not.
    pub fn wait_for_end(mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + END_MAX;
        while self.child.try_wait().during("looking at a child")?.is_none() {
            if Instant::now() > deadline {
                return Err(Failure::Worthless(format!("{} did not end", self.name)));
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.has_ended = true;
        Ok(())
    }

    /// The end of what it wrote.
    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let last: Vec<&str> = text.lines().rev().take(20).collect();
        last.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        // Whatever went wrong with a measurement, this is why.
        if let Ok(Some(status)) = self.child.try_wait() {
            eprintln!("{} had ended by itself: {status}\n{}", self.name, self.last_words());
        }
        // Both only fail when it has ended already.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// What `run` starts inherits the core; the calling thread returns to where it was.
///
/// # Errors
/// When the core does not exist or is not allowed here.
pub fn on_core<T>(core: Core, run: impl FnOnce() -> T) -> Result<T, Failure> {
    let doing = format!("placing a process on core {} (two cores are needed)", core.0);
    let before = thread_cores().during(&doing)?;
    place_this_thread(Cores::from(core)).during(&doing)?;
    let result = run();
    place_this_thread(before).during(&doing)?;
    Ok(result)
}

fn missing(name: &str, command: &Command) -> Failure {
    let program = command.get_program().to_string_lossy();
    let remedy = match name {
        "redis-server" => "install Debian's redis-server".to_owned(),
        _ if name.starts_with("nutcracker") => "install Debian's nutcracker".to_owned(),
        _ => format!("build it (looked for {program})"),
    };
    Failure::Missing { program: name.to_owned(), remedy }
}

/// A port nobody listens on at the moment. (It is free until somebody else takes it: start soon.)
///
/// # Errors
/// When the machine is out of ports.
pub fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).during("finding a free port")?;
    Ok(listener.local_addr().during("finding a free port")?.port())
}

/// A directory for logs and configurations of children, removed with all it holds.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// # Errors
    /// When the directory for temporary files is not writable.
    pub fn new() -> Result<Scratch, Failure> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("slotway-bench-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(unique);
        fs::create_dir_all(&path).during(&format!("creating {}", path.display()))?;
        Ok(Scratch(path))
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_ends_at_once_is_reported_with_its_last_words() {
        let scratch = Scratch::new().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such setting >&2; exit 3"]);
        let port = free_port().unwrap();
        let failure = Process::start("some node", command, port, MEASURED, &scratch).unwrap_err().to_string();
        assert!(failure.starts_with("some node did not start: exit status: 3"), "{failure}");
        assert!(failure.contains("no such setting"), "{failure}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let scratch = Scratch::new().unwrap();
        let command = Command::new("/nowhere/nutcracker");
        let failure =
            Process::start("nutcracker -m 512", command, 1, MEASURED, &scratch).unwrap_err().to_string();
        assert_eq!(failure, "nutcracker -m 512 is not there: install Debian's nutcracker");
    }
}
