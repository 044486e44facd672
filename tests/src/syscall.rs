//! The system calls of Linux that std does not offer, and the only `unsafe` of this crate.
//!
//! A load generator that is to cost less than what it measures needs epoll without a runtime around it; a measurement
//! needs to place processes on cores and to read the CPU clock of another process. Every function here is one system
//! call (or one get/set pair) with its arguments checked by types; no pointer outlives the call it is passed to.
#![allow(unsafe_code, reason = "system calls without a wrapper in std; one call each, nothing is kept")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// What a registered socket is waited for: always for input, for room to write only while output is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    Read,
    ReadWrite,
}

/// Level-triggered epoll. Each socket is known by a token of the caller's choice.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

/// The room `Epoll::wait` writes into, made once and used again.
pub struct Events {
    room: Vec<libc::epoll_event>,
    filled: usize,
}

/// One ready socket. A socket that was closed or failed counts as readable: reading says what happened.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub token: u64,
    pub readable: bool,
    pub writable: bool,
}

impl Events {
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Events {
        Events { room: vec![libc::epoll_event { events: 0, u64: 0 }; capacity.max(1)], filled: 0 }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.filled
    }

    /// The `index`-th event of the last wait. By index, so that the caller may change its own state in between.
    #[must_use]
    pub fn get(&self, index: usize) -> Event {
        let event = self.room[..self.filled][index];
        let bits = event.events;
        Event { token: event.u64, readable: bits & READ_BITS != 0, writable: bits & bit(libc::EPOLLOUT) != 0 }
    }
}

const READ_BITS: u32 = bit(libc::EPOLLIN) | bit(libc::EPOLLHUP) | bit(libc::EPOLLERR);

/// libc declares the event bits as `int` and the event field as `uint32_t`.
const fn bit(flag: libc::c_int) -> u32 {
    flag.cast_unsigned()
}

impl Epoll {
    /// # Errors
    /// When the process is out of file descriptors.
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: no pointers; the result is checked before it is owned.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor was just made and nobody else has it.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Waits for input on `socket` from now on; its events carry `token`. Closing the socket ends it.
    ///
    /// # Errors
    /// When the socket is already registered, or the kernel's limit of watches is reached.
    pub fn add(&self, socket: impl AsFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, &socket, token, Interest::Read)
    }

    /// # Errors
    /// When the socket is not registered.
    pub fn rearm(&self, socket: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, &socket, token, interest)
    }

    /// Waits until something is ready or `timeout` has passed (`None`: for ever). A signal counts as nothing ready.
    ///
    /// # Errors
    /// Only when epoll itself is broken.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let room = libc::c_int::try_from(events.room.len()).unwrap_or(libc::c_int::MAX);
        let (epoll, entries) = (self.0.as_raw_fd(), events.room.as_mut_ptr());
        events.filled = 0;
        let ready = match timeout.map_or(Some(-1), whole_millis) {
            // SAFETY: `room` entries are valid and exclusively borrowed.
            Some(millis) => unsafe { libc::epoll_wait(epoll, entries, room, millis) },
            None => {
                let timeout = timespec(timeout.unwrap_or_default());
                // SAFETY: as above, and the timeout lives until the call is over.
                unsafe { libc::epoll_pwait2(epoll, entries, room, &raw const timeout, std::ptr::null()) }
            }
        };
        match check(ready) {
            Ok(ready) => events.filled = usize::try_from(ready).unwrap_or(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn control(
        &self,
        how: libc::c_int,
        socket: &impl AsFd,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        let events = match interest {
            Interest::Read => bit(libc::EPOLLIN),
            Interest::ReadWrite => bit(libc::EPOLLIN) | bit(libc::EPOLLOUT),
        };
        let mut event = libc::epoll_event { events, u64: token };
        let fd = socket.as_fd().as_raw_fd();
        // SAFETY: both descriptors are open (borrowed), the event is only read.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), how, fd, &raw mut event) }).map(drop)
    }
}

/// A core of this machine, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Core(pub usize);

/// The cores a thread may run on.
#[derive(Clone, Copy)]
pub struct Cores(libc::cpu_set_t);

impl From<Core> for Cores {
    fn from(core: Core) -> Cores {
        // SAFETY: cpu_set_t is plain bits, for which zero means "no core"; CPU_SET checks nothing, so we do.
        let mut set: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
        if core.0 < usize::try_from(libc::CPU_SETSIZE).unwrap_or(0) {
            // SAFETY: the index was just checked.
            unsafe { libc::CPU_SET(core.0, &mut set) };
        }
        Cores(set)
    }
}

/// The cores the calling thread may run on now.
///
/// # Errors
/// Never on a machine with at most 1024 cores.
pub fn thread_cores() -> io::Result<Cores> {
    // SAFETY: as above, zero is a valid set.
    let mut set: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the size is that of the set passed.
    check(unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) })?;
    Ok(Cores(set))
}

/// Places the calling thread. Threads and processes it starts later inherit the place.
///
/// # Errors
/// When none of these cores exists or is allowed here.
pub fn place_this_thread(cores: Cores) -> io::Result<()> {
    place_thread(0, cores)
}

/// Places the thread with kernel id `thread`, of this or another process.
///
/// # Errors
/// When the thread is gone, not ours, or none of these cores exists.
pub fn place_thread(thread: u32, cores: Cores) -> io::Result<()> {
    let thread = libc::pid_t::try_from(thread).map_err(io::Error::other)?;
    // SAFETY: the size is that of the set passed, which is only read.
    check(unsafe { libc::sched_setaffinity(thread, size_of_val(&cores.0), &raw const cores.0) }).map(drop)
}

/// The CPU time a whole process has used: all its threads, ended ones too, user and system, in nanoseconds. The
/// same sum the kernel keeps in `/proc/PID/task/*/schedstat`, which not every kernel is built to show.
///
/// # Errors
/// When the process is gone.
pub fn process_cpu_time(pid: u32) -> io::Result<Duration> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    let mut clock: libc::clockid_t = 0;
    // SAFETY: the clock id is written before it is read. This call returns the error number itself.
    match unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) } {
        0 => read_clock(clock),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// The CPU time the calling thread has used.
///
/// # Errors
/// Never on Linux.
pub fn thread_cpu_time() -> io::Result<Duration> {
    read_clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Asks for as many open files as the hard limit allows (root may go past it), and returns what was granted.
///
/// # Errors
/// Never on Linux: `wanted` is cut to what is allowed.
pub fn raise_open_files(wanted: u64) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills in the struct it is given.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    if limit.rlim_cur >= wanted {
        return Ok(limit.rlim_cur);
    }
    let beyond = libc::rlimit { rlim_cur: wanted, rlim_max: limit.rlim_max.max(wanted) };
    // SAFETY: the struct is only read.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const beyond) } == 0 {
        return Ok(wanted);
    }
    limit.rlim_cur = limit.rlim_max.min(wanted);
    // SAFETY: as above.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(limit.rlim_cur)
}

/// Lets the calling thread's timeouts end when they should instead of up to 50 us later (the kernel's default).
///
/// # Errors
/// Never on Linux.
pub fn sharpen_timeouts() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64) }).map(drop)
}

/// Lets the calling thread run before every ordinary one. For a probe that sleeps nearly always.
///
/// # Errors
/// Without the right to do so, usually root's.
pub fn run_before_others() -> io::Result<()> {
    let lowest = libc::sched_param { sched_priority: 1 };
    // SAFETY: the struct is only read.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const lowest) }).map(drop)
}

/// Has the kernel kill the child when the thread that starts it ends, however it ends: a measurement that is itself
/// killed leaves no server behind. (The thread, not the process: start children from one that lives on.)
pub fn die_with_parent(command: &mut Command) {
    let ask = || {
        // SAFETY: no pointers; prctl may be called between fork and exec.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }).map(drop)
    };
    // SAFETY: the closure only makes one system call, and allocates only when it fails.
    unsafe { command.pre_exec(ask) };
}

/// Sends a signal. (A process that has ended but was not waited for takes any.)
///
/// # Errors
/// When there is no such process, or it is not ours.
pub fn send_signal(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    let number = match signal {
        Signal::Kill => libc::SIGKILL,
        Signal::Stop => libc::SIGSTOP,
        Signal::Continue => libc::SIGCONT,
    };
    // SAFETY: no pointers.
    check(unsafe { libc::kill(pid, number) }).map(drop)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Kill,
    Stop,
    Continue,
}

/// Puts the calling thread into a network of its own: no interface but a loopback that is down. Sockets it makes from
/// now on belong there, and what it starts lives there.
///
/// # Errors
/// Without root's rights.
pub fn leave_network() -> io::Result<()> {
    // SAFETY: no pointers; only the calling thread's network changes.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}

/// Puts the calling thread into the network that `network` (`/proc/thread-self/ns/net`, opened there) stands for.
///
/// # Errors
/// Without root's rights.
pub fn enter_network(network: impl AsFd) -> io::Result<()> {
    // SAFETY: the descriptor is open (borrowed).
    check(unsafe { libc::setns(network.as_fd().as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

/// Has the child live in that network.
pub fn live_in_network(command: &mut Command, network: &std::sync::Arc<std::fs::File>) {
    let network = std::sync::Arc::clone(network);
    // SAFETY: the closure makes one system call between fork and exec.
    unsafe { command.pre_exec(move || enter_network(&*network)) };
}

fn read_clock(clock: libc::clockid_t) -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills in the struct it is given.
    check(unsafe { libc::clock_gettime(clock, &raw mut time) })?;
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Ok(Duration::new(seconds, nanoseconds))
}

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(duration.subsec_nanos()),
    }
}

/// The timeout as the old call takes it, which tools like valgrind know; the new one is for parts of milliseconds.
fn whole_millis(timeout: Duration) -> Option<libc::c_int> {
    let whole = timeout.subsec_nanos().is_multiple_of(1_000_000);
    if whole { libc::c_int::try_from(timeout.as_millis()).ok() } else { None }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
