//! Advice at start: what about this machine will hurt the node, and how to change it. The same things that a Redis
//! warns of.
//!
//! [`advise`] decides from values; [`apply`] reads them from the system, raises the open-file limit, lowers
//! `maxclients` if that does not suffice, and logs.

use std::fs;

use slotway_config::{Key, Settings};
use slotway_link::descriptors;

/// Files the process needs beside its clients: listening sockets, logs, snapshots, links to other nodes.
pub(crate) const RESERVED_FILES: u64 = 32;

/// What the system says. None: it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct System {
    /// `/proc/sys/net/core/somaxconn`
    somaxconn: Option<i64>,
    /// `/proc/sys/vm/overcommit_memory`
    overcommit_memory: Option<i64>,
    /// `/sys/kernel/mm/transparent_hugepage/enabled`, as it is: `always [madvise] never`
    huge_pages: Option<String>,
    /// Open files allowed, after raising.
    files_max: Option<u64>,
}

/// What the node is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    tcp_backlog: i64,
    clients_max: u64,
}

/// What follows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Advice {
    warnings: Vec<String>,
    /// As many clients as there can be, if that is fewer than wanted.
    lower_maxclients_to: Option<u64>,
}

/// Looks at the machine, says what should be changed, and lowers `maxclients` to what the open-file limit allows.
pub(crate) fn apply(settings: &mut Settings) {
    let wanted = Wanted {
        tcp_backlog: settings.integer(Key::TcpBacklog),
        clients_max: u64::try_from(settings.integer(Key::Maxclients)).unwrap_or(0),
    };
    let advice = advise(&read(wanted), wanted);
    for warning in &advice.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(clients_max) = advice.lower_maxclients_to {
        let recorded = settings.record(Key::Maxclients, &clients_max.to_string());
        debug_assert!(recorded.is_ok(), "at least one client is a valid value");
    }
}

fn read(wanted: Wanted) -> System {
    let text = |path: &str| fs::read_to_string(path).ok();
    let number = |path: &str| text(path)?.trim().parse().ok();
    System {
        somaxconn: number("/proc/sys/net/core/somaxconn"),
        overcommit_memory: number("/proc/sys/vm/overcommit_memory"),
        huge_pages: text("/sys/kernel/mm/transparent_hugepage/enabled"),
        files_max: descriptors::raise_to(wanted.clients_max.saturating_add(RESERVED_FILES)).ok(),
    }
}

fn advise(system: &System, wanted: Wanted) -> Advice {
    let mut advice = Advice::default();
    let mut warn = |text: String| advice.warnings.push(text);
    let Wanted { tcp_backlog, clients_max } = wanted;
    if let Some(somaxconn) = system.somaxconn.filter(|&somaxconn| somaxconn < tcp_backlog) {
        warn(format!(
            "tcp-backlog is {tcp_backlog}, but the system queues only {somaxconn} new connections per port: raise \
             net.core.somaxconn"
        ));
    }
    if system.overcommit_memory.is_some_and(|mode| mode != 1) {
        warn(
            "the system may refuse memory while some is still free: set vm.overcommit_memory = 1 (sysctl \
             vm.overcommit_memory=1, and in /etc/sysctl.conf)"
                .into(),
        );
    }
    if system.huge_pages.as_deref().is_some_and(|modes| modes.contains("[always]")) {
        warn(
            "transparent huge pages are always on, which costs memory and latency: echo madvise > \
             /sys/kernel/mm/transparent_hugepage/enabled, and at every boot"
                .into(),
        );
    }
    if let Some(files_max) =
        system.files_max.filter(|&files| files < clients_max.saturating_add(RESERVED_FILES))
    {
        let possible = files_max.saturating_sub(RESERVED_FILES).max(1);
        warn(format!(
            "maxclients {clients_max} needs {} open files, but the system allows {files_max}: maxclients is now \
             {possible}; raise the limit (ulimit -n) for more",
            clients_max.saturating_add(RESERVED_FILES)
        ));
        advice.lower_maxclients_to = Some(possible);
    }
    advice
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted = Wanted { tcp_backlog: 511, clients_max: 10_000 };

    fn good() -> System {
        System {
            somaxconn: Some(4096),
            overcommit_memory: Some(1),
            huge_pages: Some("always [madvise] never\n".into()),
            files_max: Some(10_032),
        }
    }

    fn check(system: System, warning: &str) {
        let advice = advise(&system, WANTED);
        assert_eq!(advice.warnings.len(), 1, "{advice:?}");
        assert!(advice.warnings[0].contains(warning), "{advice:?}");
    }

    #[test]
    fn a_machine_that_is_set_up_well_or_says_nothing_needs_no_advice() {
        assert_eq!(advise(&good(), WANTED), Advice::default());
        assert_eq!(advise(&System::default(), WANTED), Advice::default());
    }

    #[test]
    fn each_thing_that_hurts_is_named_with_its_remedy() {
        check(System { somaxconn: Some(128), ..good() }, "net.core.somaxconn");
        check(System { overcommit_memory: Some(0), ..good() }, "vm.overcommit_memory");
        check(System { huge_pages: Some("[always] madvise never".into()), ..good() }, "huge pages");
    }

    #[test]
    fn too_few_open_files_lower_maxclients() {
        let system = System { files_max: Some(1024), ..good() };
        check(system.clone(), "maxclients is now 992");
        assert_eq!(advise(&system, WANTED).lower_maxclients_to, Some(992));
        let hardly_any = System { files_max: Some(10), ..good() };
        assert_eq!(advise(&hardly_any, WANTED).lower_maxclients_to, Some(1));
    }
}
