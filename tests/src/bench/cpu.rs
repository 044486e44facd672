//! What a measurement cost: CPU time of the measured process, of those behind it, and of strangers on its core.
//!
//! CPU time is read from the kernel's own account of the process, in nanoseconds, before and after. The strangers are
//! the honesty of a table: a core that something else used at the same time had cold caches, and its numbers show it.

use super::failure::{Failure, While};
use super::process::{MEASURED, Process};
use crate::syscall::process_cpu_time;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

/// CPU time used between `Meter::start` and `Meter::stop`.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    pub measured: Duration,
    pub behind: Duration,
    /// Part of the time, 0 to 1, in which the measured core worked for somebody else. In steps of the kernel's tick.
    pub strangers: f64,
}

pub struct Meter<'a> {
    measured: &'a Process,
    behind: &'a [Process],
    measured_before: Duration,
    behind_before: Duration,
    core_before: Duration,
    started: Instant,
}

impl<'a> Meter<'a> {
    /// # Errors
    /// When one of the processes is gone.
    pub fn start(measured: &'a Process, behind: &'a [Process]) -> Result<Meter<'a>, Failure> {
        Ok(Meter {
            measured_before: used_by(measured)?,
            behind_before: used_by_all(behind)?,
            core_before: core_busy().during("reading /proc/stat")?,
            started: Instant::now(),
            measured,
            behind,
        })
    }

    /// # Errors
    /// When one of the processes is gone.
    pub fn stop(self) -> Result<Spent, Failure> {
        let elapsed = self.started.elapsed();
        let measured = used_by(self.measured)?.saturating_sub(self.measured_before);
        let behind = used_by_all(self.behind)?.saturating_sub(self.behind_before);
        let busy = core_busy().during("reading /proc/stat")?.saturating_sub(self.core_before);
        let strangers = busy.saturating_sub(measured).as_secs_f64() / elapsed.as_secs_f64();
        Ok(Spent { measured, behind, strangers: strangers.min(1.0) })
    }
}

/// Resident bytes of a process.
///
/// # Errors
/// When the process is gone.
pub fn resident_bytes(process: &Process) -> Result<u64, Failure> {
    field_of_status(process, "VmRSS:")
}

/// The most that was resident since the process started, or since [`forget_peak`].
///
/// # Errors
/// When the process is gone.
pub fn peak_resident_bytes(process: &Process) -> Result<u64, Failure> {
    field_of_status(process, "VmHWM:")
}

/// From now on the peak is what is resident now (proc(5), `clear_refs`).
///
/// # Errors
/// When the process is gone, or is somebody else's.
pub fn forget_peak(process: &Process) -> Result<(), Failure> {
    fs::write(format!("/proc/{}/clear_refs", process.pid()), "5")
        .during(&format!("setting back the peak of {}", process.name()))
}

fn field_of_status(process: &Process, field: &str) -> Result<u64, Failure> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid()))
        .during(&format!("reading the memory of {}", process.name()))?;
    let kib =
        status.lines().find_map(|line| line.strip_prefix(field)?.split_whitespace().next()?.parse().ok());
    kib.map(|kib: u64| kib * 1024)
        .ok_or_else(|| Failure::Worthless(format!("{} has no memory any more", process.name())))
}

fn used_by(process: &Process) -> Result<Duration, Failure> {
    process_cpu_time(process.pid()).during(&format!("reading the CPU time of {}", process.name()))
}

fn used_by_all(processes: &[Process]) -> Result<Duration, Failure> {
    processes.iter().map(used_by).sum()
}

/// How long the measured core has worked since the machine started: for users, the kernel, interrupts, and other
/// machines on the same host (steal).
fn core_busy() -> io::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    busy_in(&stat, MEASURED.0).ok_or_else(|| io::Error::other("no line for the measured core"))
}

/// Columns of proc(5): user nice system idle iowait irq softirq steal, in hundredths of a second.
fn busy_in(stat: &str, core: usize) -> Option<Duration> {
    let name = format!("cpu{core}");
    let line = stat.lines().find(|line| line.split_whitespace().next() == Some(&name))?;
    let ticks: Vec<u64> =
        line.split_whitespace().skip(1).take(8).filter_map(|field| field.parse().ok()).collect();
    let idle: u64 = ticks.get(3..5)?.iter().sum();
    Some(Duration::from_millis((ticks.iter().sum::<u64>() - idle) * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_busy_when_it_is_neither_idle_nor_waiting_for_a_disk() {
        let stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 10 1 5 1000 50 2 3 4 0 0\ncpu1 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(busy_in(stat, 0), Some(Duration::from_millis(250)));
        assert_eq!(busy_in(stat, 2), None);
    }
}
