//! The clocks that std does not have. That of leases and grants never goes back and runs while the machine is suspended; a thread's
//! own says how long it ran, whoever else had the core meanwhile.
//!
//! `std::time::Instant` stands still during suspend on Linux: a primary that was put to sleep would wake with a lease that ran out
//! hours ago and take it for valid. `CLOCK_BOOTTIME` goes on. The call has no safe form in the standard library, so this module
//! holds it. The last part tells lives of the machine apart.

use std::time::Duration;

/// Time since the machine was started, suspended or not.
#[inline]
pub fn boottime() -> Duration {
    read(libc::CLOCK_BOOTTIME)
}

/// Processor time that the calling thread has used.
pub fn thread_cpu() -> Duration {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

#[inline]
fn read(clock: libc::clockid_t) -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[allow(
        unsafe_code,
        reason = "no safe form exists; the pointer is to a local of the type that is written"
    )]
    let status = unsafe { libc::clock_gettime(clock, &raw mut now) };
    assert_eq!(status, 0, "every Linux since 2.6.39 has these clocks");
    let seconds = u64::try_from(now.tv_sec).expect("what has passed is not negative");
    let nanos = u32::try_from(now.tv_nsec).expect("nanoseconds of a second are less than 10^9");
    Duration::new(seconds, nanos)
}

/// What the kernel drew when the machine was started; None where it does not tell.
pub fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let id = text.trim();
    (!id.is_empty()).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_back_and_the_boot_has_one_name() {
        let (one, other) = (boottime(), boottime());
        assert!(one > Duration::ZERO && other >= one);
        let cpu = thread_cpu();
        assert!(thread_cpu() >= cpu && cpu <= boottime());
        assert!(boot_id().is_some());
        assert_eq!(boot_id(), boot_id());
    }
}
