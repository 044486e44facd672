//! `DIR/node.json`: which cluster this node belongs to, and the topology it last had.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use serde_json::{Value, json};
use slotway_cluster::{NodeId, Topology};

/// What the file holds.
#[derive(Debug, PartialEq)]
pub(super) struct NodeFile {
    pub(super) node_id: NodeId,
    pub(super) topology: Topology,
}

impl NodeFile {
    /// None when there is no file. The error says what is wrong with it.
    pub(super) fn read(path: &Path) -> Result<Option<NodeFile>, String> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
        };
        let wrong = |what: String| format!("{}: {what}", path.display());
        let mut value: Value = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        let node_id = value["node_id"].as_str().map(|id| NodeId(id.to_owned()));
        let node_id = node_id.ok_or_else(|| wrong("node_id is missing".into()))?;
        let topology: Topology =
            serde_json::from_value(value["topology"].take()).map_err(|error| wrong(error.to_string()))?;
        topology.validate().map_err(|bad| wrong(bad.to_string()))?;
        Ok(Some(NodeFile { node_id, topology }))
    }

    /// Replaces the file in one step: after a crash there is the old one or the new one, never half of it.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let value = json!({
            "cluster_id": self.topology.cluster_id,
            "node_id": self.node_id,
            "topology": self.topology,
        });
        let directory = path.parent().unwrap_or(Path::new("."));
        let fresh = path.with_extension("json.new");
        let mut file = File::create(&fresh)?;
        file.write_all(value.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        File::open(directory)?.sync_all()
    }
}
