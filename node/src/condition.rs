//! What the condition of a node forbids: it loads its data, or its disk takes no more.
//!
//! Asked of every request, and nearly always answered by one comparison: a sound node has an empty list. What a
//! trouble refuses is told here, who has it is told by those who notice it ([`crate::persistence`]). The order of the
//! questions, and with it which of several errors a client sees, is Redis's.

use slotway_commands::{Command, Id, errors, row::Flag};

use crate::{call::Refusal, client::Client, pause};

/// The answer to what nobody lets this node do for its shard.
pub(crate) const PARKED: &str = "TRYAGAIN this node may not serve its shard at present";

/// Something that keeps a node from doing all it should. In the order in which they are asked about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// The last snapshot could not be written, and `stop-writes-on-bgsave-error` says that writers are told.
    SnapshotFailed,
    /// The append-only file could not be written; the system's words for it.
    LogFailed(String),
    /// Nobody lets it serve, and that for long: what would have to wait is refused.
    Parked,
    /// Only its primary may change its keys: `replica-read-only` says so, or it is a member of a shard that another node leads.
    ReadOnly,
    /// Fewer replicas than `min-replicas-to-write` were heard of within `min-replicas-max-lag`.
    TooFewReplicas,
    /// Fewer members of the shard hold what is written than the cluster wants copies.
    TooFewCopies,
    /// It follows a primary and has lost it, and `replica-serve-stale-data` says that nobody is to see what it has.
    PrimaryLost,
    /// The data are being read from disk.
    Loading,
}

impl Trouble {
    /// Two of a kind are one trouble.
    fn is_like(&self, other: &Trouble) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    fn refuses(&self, row: &Command, client: &Client) -> Option<Refusal> {
        let executes = |flag| row.id == Id::Exec && client.transaction.holds(flag);
        let writes = || row.flags.has(Flag::Write) || executes(Flag::Write);
        match self {
            // A check that pings is to see it, too.
            Trouble::SnapshotFailed => {
                (writes() || row.id == Id::Ping).then(|| errors::SNAPSHOT_FAILED.into())
            }
            Trouble::LogFailed(why) => {
                (writes() || row.id == Id::Ping).then(|| errors::log_failed(why).into())
            }
            Trouble::Parked => pause::is_about_data(row).then(|| PARKED.into()),
            Trouble::TooFewReplicas | Trouble::TooFewCopies => writes().then(|| errors::NOREPLICAS.into()),
            Trouble::ReadOnly => writes().then(|| errors::READONLY.into()),
            Trouble::PrimaryLost => {
                let reads = !row.flags.has(Flag::Stale)
                    || row.id == Id::Exec && client.transaction.lacks(Flag::Stale);
                reads.then(|| errors::MASTERDOWN.into())
            }
            Trouble::Loading => {
                let needs_data =
                    !row.flags.has(Flag::Loading) || executes(Flag::Write) || executes(Flag::Readonly);
                needs_data.then(|| errors::LOADING.into())
            }
        }
    }
}

/// The troubles of a node.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    /// Sorted; one of each kind.
    troubles: Vec<Trouble>,
}

impl Condition {
    #[inline]
    pub(crate) fn is_sound(&self) -> bool {
        self.troubles.is_empty()
    }

    pub(crate) fn has(&self, trouble: &Trouble) -> bool {
        self.troubles.iter().any(|known| known.is_like(trouble))
    }

    /// There is such a trouble from now on, in place of what was known of its kind.
    pub(crate) fn note(&mut self, trouble: Trouble) {
        self.forget(&trouble);
        self.troubles.push(trouble);
        self.troubles.sort();
    }

    /// It is over, whatever its details were.
    pub(crate) fn forget(&mut self, trouble: &Trouble) {
        self.troubles.retain(|known| !known.is_like(trouble));
    }

    /// Why this request of this client may not run.
    #[cold]
    pub(crate) fn refuses(&self, row: &Command, client: &Client) -> Option<Refusal> {
        self.troubles.iter().find_map(|trouble| trouble.refuses(row, client))
    }
}

#[cfg(test)]
mod tests {
    use slotway_commands::lookup;
    use slotway_link::End;
    use slotway_resp::{Limits, Parser, write};

    use super::*;
    use crate::{call::Millis, client::ClientId};

    fn check(condition: &Condition, words: &[&str], starts_with: Option<&str>) {
        let mut bytes = Vec::new();
        write::request(&mut bytes, words);
        let mut parser = Parser::default();
        let at = parser.next(&bytes, &Limits::CLIENT).unwrap().unwrap();
        let row = lookup::resolve(parser.request(&bytes, at)).unwrap();
        let address = End::Tcp("127.0.0.1:6379".parse().unwrap());
        let client = Client::new(ClientId(1), address.clone(), address, 9, Millis(0));
        let refusal = condition.refuses(row, &client);
        match starts_with {
            Some(start) => {
                assert!(refusal.as_deref().is_some_and(|text| text.starts_with(start)), "{words:?}")
            }
            None => assert_eq!(refusal, None, "{words:?}"),
        }
    }

    #[test]
    fn while_a_node_loads_only_commands_that_need_no_data_run() {
        let mut condition = Condition::default();
        assert!(condition.is_sound());
        condition.note(Trouble::Loading);
        for refused in [&["GET", "k"][..], &["SET", "k", "v"], &["PING"], &["DBSIZE"], &["BGSAVE"]] {
            check(&condition, refused, Some("LOADING "));
        }
        for runs in [&["INFO"][..], &["CONFIG", "GET", "save"], &["SHUTDOWN"], &["MULTI"], &["LASTSAVE"]] {
            check(&condition, runs, None);
        }
        condition.forget(&Trouble::Loading);
        check(&condition, &["GET", "k"], None);
    }

    #[test]
    fn after_a_failed_snapshot_writers_and_pings_are_told_and_readers_served() {
        let mut condition = Condition::default();
        condition.note(Trouble::SnapshotFailed);
        check(&condition, &["SET", "k", "v"], Some("MISCONF Redis is configured to save RDB snapshots"));
        check(&condition, &["PING"], Some("MISCONF "));
        check(&condition, &["GET", "k"], None);
    }

    #[test]
    fn a_replica_refuses_writes_and_without_its_primary_all_that_would_show_its_keys() {
        let mut condition = Condition::default();
        condition.note(Trouble::ReadOnly);
        for refused in [&["SET", "k", "v"][..], &["FLUSHALL"], &["SORT", "k", "STORE", "l"]] {
            check(&condition, refused, Some("READONLY "));
        }
        for runs in [&["GET", "k"][..], &["PING"], &["CONFIG", "SET", "save", ""]] {
            check(&condition, runs, None);
        }
        condition.note(Trouble::PrimaryLost);
        check(&condition, &["SET", "k", "v"], Some("READONLY "));
        for refused in [&["GET", "k"][..], &["PING"], &["DBSIZE"]] {
            check(&condition, refused, Some("MASTERDOWN "));
        }
        for runs in
            [&["INFO"][..], &["REPLICAOF", "NO", "ONE"], &["CONFIG", "GET", "save"], &["MULTI"], &["EXEC"]]
        {
            check(&condition, runs, None);
        }
    }

    #[test]
    fn of_a_trouble_the_last_word_counts() {
        let mut condition = Condition::default();
        condition.note(Trouble::LogFailed("No space left on device".into()));
        condition.note(Trouble::LogFailed("Input/output error".into()));
        let expected = "MISCONF Errors writing to the AOF file: Input/output error";
        check(&condition, &["SET", "k", "v"], Some(expected));
        condition.forget(&Trouble::LogFailed(String::new()));
        assert!(condition.is_sound());
    }
}
