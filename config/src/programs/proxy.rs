//! What a proxy starts with.

use std::path::{Path, PathBuf};

use super::{check_listening, directory, secret_of};
use crate::address::Address;
use crate::bind::Bind;
use crate::mistakes::Mistakes;
use crate::row::Program;
use crate::rows::Key;
use crate::secret::Secret;
use crate::settings::Settings;
use crate::sources::{Layered, layer};

#[derive(Debug, Clone)]
pub struct ProxyConfig {
    pub settings: Settings,
    pub bind: Vec<Bind>,
    /// 0 asks for any free port.
    pub port: u16,
    pub admin_port: Option<u16>,
    pub sentinel_port: Option<u16>,
    pub control_port: Option<u16>,
    /// Absolute; not necessarily there yet.
    pub dir: PathBuf,
    /// The host that others are told, if it is not the one listened on.
    pub announce: Option<String>,
    pub upstream: Upstream,
    pub kind: BackendKind,
    /// Control ports of proxies whose group to join.
    pub join: Vec<Address>,
    /// Data threads, at least 1.
    pub threads: usize,
    pub node_user: Option<String>,
    pub node_password: Option<Secret>,
    /// What members of the cluster prove themselves with.
    pub secret: Option<Secret>,
    /// What HTTP callers must show.
    pub admin_token: Option<Secret>,
}

/// What the proxy stands in front of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// Primaries, in the order of their slot ranges.
    Backends(Vec<Address>),
    /// Nodes to ask for the topology of their Redis Cluster.
    Cluster(Vec<Address>),
    /// What the control group or `dir` knows.
    Topology,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendKind {
    /// Ask the backends.
    Auto,
    Slotway,
    Redis,
    Cluster,
}

impl ProxyConfig {
    /// # Errors
    /// All mistakes of file, environment and flags.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        flags: Vec<(String, String)>,
    ) -> Result<Self, Mistakes> {
        let mut layered = layer(Program::Proxy, file, environment, flags);
        check_listening(&mut layered);
        check_backoff(&mut layered);
        let kind = backend_kind(&layered.settings);
        let upstream = upstream(&mut layered, kind);
        let dir = directory(&mut layered);
        let secret = secret_of(&mut layered, Key::SecretFile);
        let admin_token = secret_of(&mut layered, Key::AdminTokenFile);
        let node_password = secret_of(&mut layered, Key::NodePasswordFile);
        let given = |key| Some(layered.settings.text(key).to_owned()).filter(|text| !text.is_empty());
        let (announce, node_user) = (given(Key::Announce), given(Key::NodeUser));
        if node_user.is_some() && layered.settings.text(Key::NodePasswordFile).is_empty() {
            layered.blame(Key::NodeUser, "a user needs a password: give node-password-file too");
        }
        let settings = layered.settings;
        layered.mistakes.or(Self {
            bind: settings.bind(),
            port: settings.port(Key::Port),
            admin_port: settings.port_or_off(Key::AdminPort),
            sentinel_port: settings.port_or_off(Key::SentinelPort),
            control_port: settings.port_or_off(Key::ControlPort),
            dir,
            announce,
            upstream,
            kind,
            join: settings.addresses(Key::Join).to_vec(),
            threads: threads(settings.count(Key::Threads)),
            node_user,
            node_password,
            secret,
            admin_token,
            settings,
        })
    }
}

/// 0 is half of the cores: the other half serves the nodes, the kernel's network and everything else.
fn threads(given: usize) -> usize {
    match given {
        0 => (std::thread::available_parallelism().map_or(1, usize::from) / 2).clamp(1, 8),
        given => given,
    }
}

fn backend_kind(settings: &Settings) -> BackendKind {
    match settings.text(Key::BackendKind) {
        "slotway" => BackendKind::Slotway,
        "redis" => BackendKind::Redis,
        "cluster" => BackendKind::Cluster,
        _ => BackendKind::Auto,
    }
}

fn upstream(layered: &mut Layered, kind: BackendKind) -> Upstream {
    let backends = layered.settings.addresses(Key::Backends).to_vec();
    let cluster = layered.settings.addresses(Key::Cluster).to_vec();
    let twice = backends.iter().enumerate().find(|(at, address)| backends[..*at].contains(address));
    if let Some((_, twice)) = twice {
        layered.blame(Key::Backends, format!("{twice} is named twice"));
    }
    if !backends.is_empty() && !cluster.is_empty() {
        layered.blame(Key::Cluster, "give backends or cluster, not both");
    }
    match kind {
        BackendKind::Cluster if !backends.is_empty() => {
            layered.blame(Key::BackendKind, "name the nodes of a cluster with cluster, not with backends");
        }
        BackendKind::Cluster if cluster.is_empty() => {
            layered.blame(Key::BackendKind, "name some nodes of the cluster with cluster");
        }
        BackendKind::Slotway | BackendKind::Redis if !cluster.is_empty() => {
            layered.blame(
                Key::BackendKind,
                "the nodes behind cluster are of kind cluster; name others with backends",
            );
        }
        BackendKind::Auto | BackendKind::Slotway | BackendKind::Redis | BackendKind::Cluster => {}
    }
    match (backends.is_empty(), cluster.is_empty()) {
        (false, _) => Upstream::Backends(backends),
        (true, false) => Upstream::Cluster(cluster),
        (true, true) => Upstream::Topology,
    }
}

fn check_backoff(layered: &mut Layered) {
    let min = layered.settings.integer(Key::ReconnectBackoffMsMin);
    let max = layered.settings.integer(Key::ReconnectBackoffMsMax);
    if min > max {
        let blamed = match layered.places.contains_key(&Key::ReconnectBackoffMsMin) {
            true => Key::ReconnectBackoffMsMin,
            false => Key::ReconnectBackoffMsMax,
        };
        let text = format!("reconnect-backoff-ms-min ({min}) is above reconnect-backoff-ms-max ({max})");
        layered.blame(blamed, text);
    }
}
