//! What `slotway up` starts, and on which ports.

use std::path::{Path, PathBuf};

use super::{check_listening, directory, file_of, secret_of};
use crate::bind::Bind;
use crate::mistakes::Mistakes;
use crate::row::Program;
use crate::rows::Key;
use crate::settings::Settings;
use crate::sources::{Layered, layer};

#[derive(Debug, Clone)]
pub struct UpConfig {
    pub settings: Settings,
    pub bind: Vec<Bind>,
    /// Of the first proxy; 0 asks for any free one, for every proxy.
    pub port: u16,
    /// Of the first proxy.
    pub admin_port: Option<u16>,
    /// Holds what HTTP callers must show; readable when it was looked at.
    pub admin_token_file: Option<PathBuf>,
    /// Of the first proxy.
    pub sentinel_port: Option<u16>,
    /// Of the first node.
    pub node_port: u16,
    /// Absolute; not necessarily there yet.
    pub dir: PathBuf,
    pub shards: usize,
    /// Per shard.
    pub replicas: usize,
    pub proxies: usize,
    pub durability: Durability,
    pub appendonly: bool,
    /// Start a child again that ended.
    pub restart: bool,
}

/// When a write is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Once enough copies have it.
    Quorum,
    /// Once the primary has it.
    Async,
}

impl UpConfig {
    /// # Errors
    /// All mistakes of file, environment and flags.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        flags: Vec<(String, String)>,
    ) -> Result<Self, Mistakes> {
        let mut layered = layer(Program::Up, file, environment, flags);
        check_listening(&mut layered);
        check_ports(&mut layered);
        check_copies(&mut layered);
        let dir = directory(&mut layered);
        let admin_token_file =
            secret_of(&mut layered, Key::AdminTokenFile).and(file_of(&layered, Key::AdminTokenFile));
        let settings = layered.settings;
        layered.mistakes.or(Self {
            bind: settings.bind(),
            port: settings.port(Key::Port),
            admin_port: settings.port_or_off(Key::AdminPort),
            admin_token_file,
            sentinel_port: settings.port_or_off(Key::SentinelPort),
            node_port: settings.port(Key::NodePort),
            dir,
            shards: settings.count(Key::Shards),
            replicas: settings.count(Key::Replicas),
            proxies: settings.count(Key::Proxies),
            durability: match settings.text(Key::Durability) {
                "async" => Durability::Async,
                _ => Durability::Quorum,
            },
            appendonly: settings.flag(Key::Appendonly),
            restart: !settings.flag(Key::NoRestart),
            settings,
        })
    }

    pub fn nodes(&self) -> usize {
        self.shards * (self.replicas + 1)
    }
}

/// More copies than there are nodes would hold back every write for ever.
fn check_copies(layered: &mut Layered) {
    let (wanted, nodes) = (layered.settings.count(Key::MinCopies), layered.settings.count(Key::Replicas) + 1);
    if wanted > nodes {
        let why =
            format!("a write would need {wanted} copies, and a shard has {nodes} nodes: raise --replicas");
        layered.blame(Key::MinCopies, why);
    }
}

/// A range of ports that children take one by one.
struct Range {
    key: Key,
    what: &'static str,
    first: usize,
    count: usize,
}

/// Every derived port must exist, and no two children may want the same one. 0 derives nothing.
fn check_ports(layered: &mut Layered) {
    let settings = &layered.settings;
    let proxies = settings.count(Key::Proxies);
    let nodes = settings.count(Key::Shards) * (settings.count(Key::Replicas) + 1);
    let port = usize::from(settings.port(Key::Port));
    let node_port = usize::from(settings.port(Key::NodePort));
    let or_off = |key| settings.port_or_off(key).map_or(0, usize::from);
    let control = if port == 0 { 0 } else { port + 10_000 };
    let node_admin = if node_port == 0 { 0 } else { node_port + 1000 };
    let pulse = if node_port == 0 { 0 } else { node_port + 10_000 };
    let mut ranges = vec![
        Range { key: Key::Port, what: "proxies", first: port, count: proxies },
        Range { key: Key::Port, what: "the proxies' control ports", first: control, count: proxies },
        Range {
            key: Key::AdminPort,
            what: "the proxies' admin ports",
            first: or_off(Key::AdminPort),
            count: proxies,
        },
        Range {
            key: Key::SentinelPort,
            what: "the proxies' Sentinel ports",
            first: or_off(Key::SentinelPort),
            count: proxies,
        },
        Range { key: Key::NodePort, what: "nodes", first: node_port, count: nodes },
        Range { key: Key::NodePort, what: "the nodes' admin ports", first: node_admin, count: nodes },
        Range { key: Key::NodePort, what: "the nodes' pulse ports", first: pulse, count: nodes },
    ];
    ranges.retain(|range| range.first != 0);
    for (at, range) in ranges.iter().enumerate() {
        let last = range.first + range.count - 1;
        if last > usize::from(u16::MAX) {
            layered.blame(range.key, format!("{} would need port {last}, above 65535", range.what));
        }
        let clash = ranges[..at].iter().find(|earlier| {
            earlier.first < range.first + range.count && range.first < earlier.first + earlier.count
        });
        if let Some(earlier) = clash {
            let port = range.first.max(earlier.first);
            layered.blame(range.key, format!("{} and {} both want port {port}", earlier.what, range.what));
        }
    }
}
