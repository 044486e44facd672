//! What makes a data directory a cluster: the claim on it, the members' secret, the topology.
//!
//! `DIR/secret` and the cluster id are made once and kept for ever. The topology follows the plan at each start: ports may
//! differ (port 0), replicas and proxies may be more or fewer; shards keep their slots, epochs and primaries. Each proxy gets a
//! copy of the topology in its own directory, from which it starts.

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail};
use slotway_cluster::{
    Epoch, ShardId, SlotRange, Topology,
    slot::Placement,
    topology::{Kind, Node, Proxy, Shard},
};
use slotway_control::topology_file::{self, FileError};

use super::{
    child,
    plan::{NodePlan, Plan},
    report::address,
};

/// Bytes of randomness in secret and cluster id.
const SECRET_BYTES: usize = 32;
const CLUSTER_ID_BYTES: usize = 20;

/// The sole right to a data directory, for as long as this lives: the kernel lets go of it with the process.
#[derive(Debug)]
pub(super) struct Claim {
    _lock: File,
}

/// Makes the directory, if it is missing, and claims it.
pub(super) fn claim(dir: &Path) -> anyhow::Result<Claim> {
    make_dir(dir)?;
    let path = dir.join("up.lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(Claim { _lock: lock }),
        Err(TryLockError::WouldBlock) => Err(anyhow!(
            "another `slotway up` runs on {}: stop it, or choose another directory with --dir",
            dir.display()
        )),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// The topology of an earlier start.
pub(super) fn previous(dir: &Path) -> anyhow::Result<Option<Topology>> {
    match topology_file::load(dir) {
        Ok(topology) => Ok(Some(topology)),
        Err(FileError::Absent(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn random_cluster_id() -> anyhow::Result<String> {
    random_hex(CLUSTER_ID_BYTES)
}

/// The topology to start with: the plan's addresses, and of the previous one what may not change.
pub(super) fn form(
    previous: Option<&Topology>,
    fresh_id: String,
    plan: &Plan,
    host: &str,
) -> anyhow::Result<Topology> {
    let shards = match previous {
        None => first_shards(plan),
        Some(previous) => same_shards(previous, plan)?,
    };
    let nodes = plan.nodes.iter().map(|node| Node {
        id: node.id.clone(),
        addr: address(child::NODE_HOST, node.port),
        admin_addr: Some(address(child::NODE_HOST, node.admin_port)),
    });
    let proxies = plan.proxies.iter().map(|proxy| Proxy {
        id: proxy.id.clone(),
        addr: address(host, proxy.port),
        admin_addr: proxy.admin_port.map(|port| address(host, port)),
        // Nobody listens there yet.
        sentinel_addr: None,
    });
    let mut topology = Topology {
        version: previous.map_or(1, |previous| previous.version),
        cluster_id: previous.map_or(fresh_id, |previous| previous.cluster_id.clone()),
        placement: previous.map_or_else(Placement::default, |previous| previous.placement.clone()),
        shards,
        nodes: nodes.collect(),
        proxies: proxies.collect(),
    };
    if previous.is_some_and(|previous| previous != &topology) {
        topology.version += 1;
    }
    topology.validate().context("the planned topology contradicts itself")?;
    Ok(topology)
}

fn first_shards(plan: &Plan) -> Vec<Shard> {
    let ranges = SlotRange::equal(plan.shards());
    let shard = |(number, range): (u32, SlotRange)| {
        let members: Vec<&NodePlan> =
            plan.nodes.iter().filter(|node| node.shard == ShardId(number)).collect();
        let (primary, replicas) = members.split_first()?;
        Some(Shard {
            id: ShardId(number),
            kind: Kind::Slotway,
            epoch: Epoch(1),
            primary: primary.id.clone(),
            replicas: replicas.iter().map(|node| node.id.clone()).collect(),
            slots: vec![range],
        })
    };
    (1..).zip(ranges).filter_map(shard).collect()
}

fn same_shards(previous: &Topology, plan: &Plan) -> anyhow::Result<Vec<Shard>> {
    let (had, wanted) = (previous.shards.len(), plan.shards());
    if had != wanted {
        bail!(
            "this directory holds a cluster of {had} shards: start it with --shards {had}, or choose another --dir"
        );
    }
    let with_planned_replicas = |shard: &Shard| {
        let members = plan.nodes.iter().filter(|node| node.shard == shard.id).map(|node| &node.id);
        let (primary, replicas): (Vec<_>, Vec<_>) = members.partition(|id| **id == shard.primary);
        if primary.is_empty() {
            bail!(
                "{}, the primary of shard {}, would not be started: raise --replicas",
                shard.primary,
                shard.id
            );
        }
        Ok(Shard { replicas: replicas.into_iter().cloned().collect(), ..shard.clone() })
    };
    previous.shards.iter().map(with_planned_replicas).collect()
}

/// Writes what the children start from: secret, topology, and a directory for each.
pub(super) fn write(dir: &Path, topology: &Topology, plan: &Plan) -> anyhow::Result<()> {
    make_secret(&secret_path(dir))?;
    make_dir(&dir.join("logs"))?;
    for node in &plan.nodes {
        make_dir(&super::child_dir(dir, &node.id.0))?;
    }
    for proxy in &plan.proxies {
        let own = super::child_dir(dir, &proxy.id.0);
        make_dir(&own)?;
        topology_file::store(&own, topology)?;
    }
    // Last: as long as this is the old one, a start that broke off begins again from it.
    topology_file::store(dir, topology)?;
    Ok(())
}

pub(super) fn secret_path(dir: &Path) -> PathBuf {
    dir.join("secret")
}

fn make_secret(path: &Path) -> anyhow::Result<()> {
    let doing = || format!("cannot make {}", path.display());
    if path.exists() {
        return Ok(());
    }
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&beside)
        .with_context(doing)?;
    let secret = random_hex(SECRET_BYTES)?;
    writeln!(file, "{secret}").and_then(|()| file.sync_all()).with_context(doing)?;
    fs::rename(&beside, path).with_context(doing)
}

/// Readable by its owner only: keys and the secret lie below it.
fn make_dir(path: &Path) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("cannot make the directory {}", path.display()))
}

fn random_hex(bytes: usize) -> anyhow::Result<String> {
    let mut random = vec![0; bytes];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .context("cannot read /dev/urandom")?;
    Ok(random.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use slotway_cluster::NodeId;

    use super::{super::plan::tests::plan, *};

    fn formed(previous: Option<&Topology>, flags: &[(&str, &str)]) -> anyhow::Result<Topology> {
        form(previous, "a".repeat(40), &plan(flags), "127.0.0.1")
    }

    #[test]
    fn a_first_start_spreads_the_slots_over_the_first_node_of_each_shard() {
        let topology = formed(None, &[]).unwrap();
        let shards: Vec<String> = topology
            .shards
            .iter()
            .map(|s| format!("{} {} {} {}", s.id, s.primary, s.replicas[0], s.slots[0]))
            .collect();
        assert_eq!(shards, ["1 n1 n4 0-5460", "2 n2 n5 5461-10921", "3 n3 n6 10922-16383"]);
        assert_eq!((topology.version, topology.cluster_id.len()), (1, 40));
        assert_eq!(topology.nodes[0].addr, "127.0.0.1:7001");
        assert_eq!(topology.proxies[0].admin_addr.as_deref(), Some("127.0.0.1:8080"));
    }

    #[test]
    fn a_second_start_changes_only_what_differs() {
        let first = formed(None, &[]).unwrap();
        let same = form(Some(&first), "b".repeat(40), &plan(&[]), "127.0.0.1").unwrap();
        assert_eq!(same, first, "same ports: same version, same cluster id");
        let moved =
            formed(Some(&first), &[("node-port", "7500"), ("proxies", "2"), ("replicas", "0")]).unwrap();
        assert_eq!((moved.version, &moved.cluster_id), (2, &first.cluster_id));
        assert_eq!(moved.nodes[0].addr, "127.0.0.1:7500");
        assert!(moved.shards.iter().all(|shard| shard.replicas.is_empty()));
        assert_eq!(moved.shards[2].slots, first.shards[2].slots);
    }

    #[test]
    fn slots_primaries_and_epochs_of_the_last_life_are_kept() {
        let mut first = formed(None, &[]).unwrap();
        first.shards[0].primary = NodeId("n4".into());
        first.shards[0].replicas = vec![NodeId("n1".into())];
        first.shards[0].epoch = Epoch(2);
        first.shards[0].slots = vec!["0-99".parse().unwrap()];
        let second = formed(Some(&first), &[("replicas", "2")]).unwrap();
        assert_eq!((&second.shards[0].primary.0[..], second.shards[0].epoch), ("n4", Epoch(2)));
        assert_eq!(second.shards[0].replicas, [NodeId("n1".into()), NodeId("n7".into())]);
        assert_eq!(second.shards[0].slots, first.shards[0].slots);
        let error = formed(Some(&first), &[("replicas", "0")]).unwrap_err().to_string();
        assert!(error.starts_with("n4, the primary of shard 1, would not be started"), "{error}");
    }

    #[test]
    fn another_number_of_shards_is_refused_with_the_right_flag() {
        let first = formed(None, &[("shards", "2")]).unwrap();
        let error = formed(Some(&first), &[]).unwrap_err().to_string();
        assert!(error.contains("start it with --shards 2"), "{error}");
    }

    #[test]
    fn a_directory_is_claimed_by_one_and_its_secret_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("data");
        let claimed = claim(&dir).unwrap();
        let error = claim(&dir).unwrap_err().to_string();
        assert!(error.starts_with("another `slotway up` runs on"), "{error}");
        drop(claimed);
        claim(&dir).unwrap();

        let (plan, topology) = (plan(&[]), formed(None, &[]).unwrap());
        write(&dir, &topology, &plan).unwrap();
        let secret = fs::read(secret_path(&dir)).unwrap();
        assert_eq!(secret.len(), 65);
        assert_eq!(fs::metadata(secret_path(&dir)).unwrap().permissions().mode() & 0o777, 0o600);
        write(&dir, &topology, &plan).unwrap();
        assert_eq!(fs::read(secret_path(&dir)).unwrap(), secret);
        assert_eq!(previous(&dir).unwrap().as_ref(), Some(&topology));
        assert_eq!(topology_file::load(&dir.join("p1")).unwrap(), topology);
    }
}
