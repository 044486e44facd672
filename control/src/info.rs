//! What a server says of itself in INFO, taken apart.
//!
//! INFO is lines of `field:value`; every Redis, Valkey and Slotway node answers it, with more or fewer fields. A field that
//! is missing is unknown, never a default.

use slotway_cluster::{
    Epoch,
    topology::Kind,
    view::{Health, NodeObservation, ReportedRole},
};
use slotway_config::Address;

/// One INFO answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) kind: Kind,
    pub(crate) observation: NodeObservation,
    /// `host:port` of those that replicate from it.
    pub(crate) replicas: Vec<String>,
    /// `host:port` of the primary it follows.
    pub(crate) follows: Option<String>,
}

impl Answer {
    pub(crate) fn parse(text: &str) -> Answer {
        let fields = Fields(text);
        let role = fields.role();
        let offset = match role {
            Some(ReportedRole::Following | ReportedRole::Detached) => "slave_repl_offset",
            Some(ReportedRole::Primary) | None => "master_repl_offset",
        };
        Answer {
            kind: fields.kind(),
            observation: NodeObservation {
                health: if fields.get("loading") == Some("1") { Health::Loading } else { Health::Up },
                role,
                incarnation: fields.get("run_id").map(str::to_owned),
                epoch: fields.number("slotway_epoch").map(Epoch),
                offset: fields.number(offset),
                keys: fields.keys(),
                memory_bytes: fields.number("used_memory"),
                software: fields.software(),
            },
            replicas: fields.replicas(),
            follows: fields
                .get("master_host")
                .zip(fields.number("master_port"))
                .and_then(|(host, port)| address(host, &port.to_string())),
        }
    }
}

struct Fields<'t>(&'t str);

impl<'t> Fields<'t> {
    fn all(&self) -> impl Iterator<Item = (&'t str, &'t str)> + use<'t> {
        self.0.lines().filter_map(|line| line.trim_end().split_once(':'))
    }

    fn get(&self, name: &str) -> Option<&'t str> {
        self.all().find_map(|(field, value)| (field == name).then_some(value))
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// A Slotway node says `redis_version` too, for clients that look there: its own field decides.
    fn kind(&self) -> Kind {
        match (self.get("slotway_version"), self.get("cluster_enabled")) {
            (Some(_), _) => Kind::Slotway,
            (None, Some("1")) => Kind::Cluster,
            (None, _) => Kind::Redis,
        }
    }

    fn software(&self) -> Option<String> {
        let named = |name: &str, field: &str| self.get(field).map(|version| format!("{name} {version}"));
        named("slotway", "slotway_version")
            .or_else(|| named("valkey", "valkey_version"))
            .or_else(|| named("redis", "redis_version"))
    }

    fn role(&self) -> Option<ReportedRole> {
        match (self.get("role")?, self.get("master_link_status")) {
            ("master", _) => Some(ReportedRole::Primary),
            ("slave", Some("up")) => Some(ReportedRole::Following),
            ("slave", _) => Some(ReportedRole::Detached),
            _ => None,
        }
    }

    /// The sum of `dbN:keys=5,expires=0,...`; an empty server has no such line, but says how many keys expired.
    fn keys(&self) -> Option<u64> {
        let databases = self.all().filter(|(field, _)| {
            field.strip_prefix("db").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        });
        let sum = databases.filter_map(|(_, value)| part(value, "keys")?.parse::<u64>().ok()).sum();
        let answered = self.get("used_memory").is_some();
        answered.then_some(sum)
    }

    /// `slave0:ip=127.0.0.1,port=7002,state=online,...`
    fn replicas(&self) -> Vec<String> {
        let lines = self
            .all()
            .filter(|(field, _)| field.strip_prefix("slave").is_some_and(|n| n.parse::<u32>().is_ok()));
        lines.filter_map(|(_, value)| address(part(value, "ip")?, part(value, "port")?)).collect()
    }
}

/// `name=value` among values separated by commas.
fn part<'t>(values: &'t str, name: &str) -> Option<&'t str> {
    values.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn address(host: &str, port: &str) -> Option<String> {
    let port = port.parse().ok().filter(|&port| port != 0)?;
    (!host.is_empty()).then(|| Address { host: host.to_owned(), port }.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIMARY: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\ncluster_enabled:0\r\n\r\n# Memory\r\n\
        used_memory:1000\r\nloading:0\r\nrole:master\r\nconnected_slaves:2\r\n\
        slave0:ip=127.0.0.1,port=7002,state=online,offset=10,lag=1\r\n\
        slave1:ip=::1,port=7003,state=wait_bgsave,offset=0,lag=0\r\n\
        slave_read_only:1\r\nmaster_repl_offset:42\r\n# Keyspace\r\ndb0:keys=5,expires=1,avg_ttl=0\r\ndb3:keys=2,expires=0\r\n";

    #[test]
    fn a_primary_tells_its_replicas_keys_and_memory() {
        let answer = Answer::parse(PRIMARY);
        assert_eq!(answer.kind, Kind::Redis);
        assert_eq!(answer.replicas, ["127.0.0.1:7002", "[::1]:7003"]);
        let seen = answer.observation;
        assert_eq!((seen.keys, seen.memory_bytes, seen.offset), (Some(7), Some(1000), Some(42)));
        assert_eq!((seen.role, seen.health), (Some(ReportedRole::Primary), Health::Up));
        assert_eq!(
            (seen.software.as_deref(), seen.incarnation.as_deref()),
            (Some("redis 7.0.15"), Some("abc"))
        );
    }

    #[test]
    fn a_replica_tells_whom_it_follows_and_how_far() {
        let text = "role:slave\nmaster_host:10.0.0.1\nmaster_port:6379\nmaster_link_status:up\nslave_repl_offset:40\n";
        let answer = Answer::parse(text);
        assert_eq!(answer.follows.as_deref(), Some("10.0.0.1:6379"));
        assert_eq!(
            (answer.observation.role, answer.observation.offset),
            (Some(ReportedRole::Following), Some(40))
        );
        let answer = Answer::parse(&text.replace(":up", ":down"));
        assert_eq!(answer.observation.role, Some(ReportedRole::Detached));
    }

    #[test]
    fn the_kind_of_a_server_shows_in_its_fields() {
        assert_eq!(
            Answer::parse("redis_version:7.2.0\nslotway_version:0.1.0\ncluster_enabled:1\n").kind,
            Kind::Slotway
        );
        assert_eq!(Answer::parse("redis_version:7.2.0\ncluster_enabled:1\n").kind, Kind::Cluster);
        let valkey = Answer::parse("redis_version:7.2.4\nvalkey_version:8.0.1\n");
        assert_eq!(
            (valkey.kind, valkey.observation.software.as_deref()),
            (Kind::Redis, Some("valkey 8.0.1"))
        );
    }

    #[test]
    fn what_is_not_said_is_unknown() {
        let answer = Answer::parse("nonsense\r\n:\r\nslavery:yes\r\nused_memory:lots\r\ndb:keys=1\r\n");
        assert_eq!(answer.observation.software, None);
        assert_eq!(answer.observation.memory_bytes, None);
        assert_eq!(answer.observation.keys, Some(0));
        assert_eq!(Answer::parse("").observation.keys, None);
        assert_eq!(Answer::parse("loading:1").observation.health, Health::Loading);
    }
}
