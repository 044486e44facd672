//! What INFO, ROLE and the metrics say of a replica.

use std::time::Duration;

use slotway_cluster::{
    pulse::wire::UpstreamState,
    replication::replica::{Phase, Replica},
};
use slotway_config::Key;
use slotway_resp::write;

use super::role::Transfer;
use crate::node::Node;

impl Node {
    /// The fields of INFO replication that only a replica has.
    pub(crate) fn replica_fact(&self, name: &str) -> Option<String> {
        let primary = self.following.primary()?;
        let is_up = self.following.is_connected();
        let offset = || self.replication.offset.to_string();
        Some(match name {
            "master_host" => primary.host.clone(),
            "master_port" => primary.port.to_string(),
            "master_link_status" => if is_up { "up" } else { "down" }.to_owned(),
            "master_last_io_seconds_ago" => match is_up {
                true => self.seconds_since_primary().to_string(),
                false => "-1".to_owned(),
            },
            "master_sync_in_progress" => u8::from(self.following.phase() == Some(Phase::Sync)).to_string(),
            "master_link_down_since_seconds" if !is_up => match self.following.down_since {
                Some(since) => self.following.now().saturating_sub(since).as_secs().to_string(),
                None => "-1".to_owned(),
            },
            "slave_read_repl_offset" | "slave_repl_offset" => offset(),
            "slave_priority" => self.settings.show(Key::ReplicaPriority),
            "slave_read_only" => u8::from(self.settings.flag(Key::ReplicaReadOnly)).to_string(),
            "replica_announced" => u8::from(self.settings.flag(Key::ReplicaAnnounced)).to_string(),
            _ => return None,
        })
    }

    /// The lines about a snapshot on its way; none: there is none.
    pub(crate) fn sync_facts(&self) -> Vec<(String, String)> {
        let Some(Transfer { total_bytes, read_bytes }) = self.following.transfer else { return Vec::new() };
        let total = total_bytes.unwrap_or(0);
        let percent = match total {
            0 => 0,
            total => u128::from(read_bytes) * 10_000 / u128::from(total),
        };
        let left = i128::from(total) - i128::from(read_bytes);
        let line = |name: &str, value: String| (format!("master_sync_{name}"), value);
        vec![
            line("total_bytes", total.to_string()),
            line("read_bytes", read_bytes.to_string()),
            line("left_bytes", left.to_string()),
            line("perc", format!("{}.{:02}", percent / 100, percent % 100)),
            line("last_io_seconds_ago", self.seconds_since_primary().to_string()),
        ]
    }

    /// Seconds since the primary last sent something.
    pub(crate) fn seconds_since_primary(&self) -> u64 {
        self.since_primary().as_secs()
    }

    /// Since the primary last sent something.
    pub(crate) fn since_primary(&self) -> Duration {
        let heard = self.following.machine_ref().map(Replica::heard);
        heard.map_or(Duration::ZERO, |heard| self.following.now().saturating_sub(heard))
    }

    /// What a member tells of the link to its primary. None: it follows nobody.
    pub(crate) fn upstream_state(&self) -> Option<UpstreamState> {
        Some(match self.following.phase()? {
            Phase::Connected => UpstreamState::Up,
            Phase::Sync => UpstreamState::Syncing,
            Phase::Connect | Phase::Connecting | Phase::Handshake if self.following.is_turned_away => {
                UpstreamState::Refused
            }
            Phase::Connect | Phase::Connecting | Phase::Handshake => UpstreamState::Silent,
        })
    }

    /// ROLE of a replica; false: it is none, and nothing is written.
    pub(crate) fn write_replica_role(&self, out: &mut Vec<u8>) -> bool {
        let (Some(primary), Some(phase)) = (self.following.primary(), self.following.phase()) else {
            return false;
        };
        let offset = match self.following.is_connected() {
            true => i64::try_from(self.replication.offset.0).unwrap_or(i64::MAX),
            false => -1,
        };
        write::array(out, 5);
        write::bulk(out, b"slave");
        write::bulk(out, primary.host.as_bytes());
        write::integer(out, i64::from(primary.port));
        write::bulk(out, phase.name().as_bytes());
        write::integer(out, offset);
        true
    }
}
