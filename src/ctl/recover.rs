//! `slotway ctl recover DIR`: a new control group from what one proxy's directory still holds.
//!
//! The one order of `ctl` that asks no proxy: there is none that could answer. When more than half of the voting proxies are gone for good,
//! nothing is decided any more, and only an operator can know that they are.

use std::path::PathBuf;

use slotway_control::group::{Recovered, recover};

#[derive(Debug, clap::Args)]
pub(super) struct RecoverArgs {
    /// Data directory of the proxy that is left; stop it first
    dir: PathBuf,
}

pub(super) fn run(args: &RecoverArgs, json: bool) -> anyhow::Result<String> {
    let Recovered { proxy, cluster } = recover(&args.dir)?;
    if json {
        let (shards, nodes) = (cluster.shards.len(), cluster.nodes.len());
        let told = serde_json::json!({
            "proxy": proxy, "cluster_id": cluster.cluster_id, "version": cluster.index, "shards": shards, "nodes": nodes,
        });
        return Ok(told.to_string());
    }
    Ok(format!(
        "{proxy} is the control group of cluster {} now: {} shards, {} nodes, version {}.\n\
         Start it. Every other proxy joins anew, with --join and an empty directory; none may run on with its old one.",
        cluster.cluster_id,
        cluster.shards.len(),
        cluster.nodes.len(),
        cluster.index
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_a_group_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let args = RecoverArgs { dir: dir.path().to_owned() };
        let error = run(&args, false).unwrap_err().to_string();
        assert_eq!(error, format!("{} belongs to no control group", dir.path().display()));
    }
}
