//! The open-file limit: every connection is a file, and most systems allow a process 1024 of them.
//!
//! Linux lets a process raise its own soft limit up to the hard one. The two system calls have no safe form in the
//! standard library, so this module holds them, and nothing else.

use std::io;

/// Raises the limit to `wanted` open files, or as near to it as the system allows. Returns what holds now.
///
/// # Errors
/// The system does not even tell the limit.
pub fn raise_to(wanted: u64) -> io::Result<u64> {
    let mut limit = get()?;
    if limit.rlim_cur >= wanted {
        return Ok(limit.rlim_cur);
    }
    let soft = limit.rlim_cur;
    let hard = limit.rlim_max;
    limit.rlim_cur = wanted;
    limit.rlim_max = hard.max(wanted);
    // Only a privileged process may pass the hard limit; everyone may go up to it.
    if set(&limit).is_err() {
        limit.rlim_cur = wanted.min(hard);
        limit.rlim_max = hard;
        if set(&limit).is_err() {
            return Ok(soft);
        }
    }
    Ok(limit.rlim_cur)
}

fn get() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    #[allow(
        unsafe_code,
        reason = "no safe form exists; the pointer is to a local of the type that is written"
    )]
    let status = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if status == 0 { Ok(limit) } else { Err(io::Error::last_os_error()) }
}

fn set(limit: &libc::rlimit) -> io::Result<()> {
    #[allow(unsafe_code, reason = "no safe form exists; the pointer is to a live value that is only read")]
    let status = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, std::ptr::from_ref(limit)) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_high_enough_is_left_alone() {
        let now = raise_to(1).unwrap();
        assert!(now >= 1);
        assert_eq!(raise_to(1).unwrap(), now);
    }
}
