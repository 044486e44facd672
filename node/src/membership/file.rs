//! `DIR/node.json`: which cluster this node belongs to, what it promised, and which life a restart may go on with.
//!
//! Whatever is not known to hold is not in the file: a life that a restart may not go on with is absent, a position that is no
//! longer the last one is absent. So a file that was read is believed, and who could make it untrue changes it first.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use serde_json::{Value, json};
use slotway_cluster::{
    Database, Epoch, Incarnation, NodeId, Position, Topology,
    replication::{Lineage, Offset},
    slot::DATABASES,
};

/// What the file holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NodeFile {
    pub(crate) node_id: NodeId,
    pub(crate) topology: Topology,
    pub(crate) led_by: LedBy,
    /// The highest epoch promised by [`Life::incarnation`].
    pub(crate) promised: Epoch,
    pub(crate) life: Option<Life>,
}

/// What tells the node its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LedBy {
    /// `SLOTWAY TOPOLOGY`: it serves and follows as the topology says, also after a restart.
    #[default]
    Topology,
    /// A control group, by orders on the pulse port: without them it does nothing.
    Orders,
}

/// A life that a restart may go on with: everything that was acknowledged and promised in it is on the disk.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Life {
    pub(crate) incarnation: Incarnation,
    /// Where it stood when it ended; None: the files say (they were synced before each acknowledgement).
    pub(crate) held: Option<Held>,
}

/// Where a node stood in its shard's stream, and where the data of that moment are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held {
    pub(crate) position: Position,
    /// The names of the stream up to there.
    pub(crate) lineage: Lineage,
    /// What the stream had selected.
    pub(crate) database: Database,
    pub(crate) kept_in: KeptIn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeptIn {
    Snapshot,
    Log,
}

impl LedBy {
    const ALL: [LedBy; 2] = [LedBy::Topology, LedBy::Orders];

    fn name(self) -> &'static str {
        match self {
            LedBy::Topology => "topology",
            LedBy::Orders => "orders",
        }
    }
}

impl KeptIn {
    const ALL: [KeptIn; 2] = [KeptIn::Snapshot, KeptIn::Log];

    fn name(self) -> &'static str {
        match self {
            KeptIn::Snapshot => "snapshot",
            KeptIn::Log => "log",
        }
    }
}

impl NodeFile {
    /// None when there is no file. The error says what is wrong with it.
    pub(super) fn read(path: &Path) -> Result<Option<NodeFile>, String> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
        };
        let read = serde_json::from_slice(&text).map_err(|error| error.to_string());
        read.and_then(NodeFile::of).map(Some).map_err(|why| format!("{}: {why}", path.display()))
    }

    fn of(mut value: Value) -> Result<NodeFile, String> {
        let node_id = value["node_id"].as_str().ok_or("node_id is missing")?;
        let node_id = NodeId(node_id.to_owned());
        let led_by = match &value["led_by"] {
            // Before there were orders.
            Value::Null => LedBy::Topology,
            given => {
                let known = LedBy::ALL.into_iter().find(|one| given.as_str() == Some(one.name()));
                known.ok_or("led_by is neither topology nor orders")?
            }
        };
        let promised = Epoch(value["promised"].as_u64().unwrap_or(0));
        let life = match value["incarnation"].take() {
            Value::Null => None,
            given => Some(Life { incarnation: parsed(given)?, held: held(value["held"].take())? }),
        };
        let topology: Topology = parsed(value["topology"].take())?;
        topology.validate().map_err(|bad| bad.to_string())?;
        Ok(NodeFile { node_id, topology, led_by, promised, life })
    }

    /// Replaces the file in one step: after a crash there is the old one or the new one, never half of it.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let held = self.life.as_ref().and_then(|life| life.held.as_ref()).map(|held| {
            json!({
                "epoch": held.position.epoch,
                "offset": held.position.offset,
                "lineage": held.lineage,
                "database": held.database.0,
                "kept_in": held.kept_in.name(),
            })
        });
        let value = json!({
            "cluster_id": self.topology.cluster_id,
            "node_id": self.node_id,
            "led_by": self.led_by.name(),
            "promised": self.promised,
            "incarnation": self.life.as_ref().map(|life| life.incarnation),
            "held": held,
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

fn held(mut value: Value) -> Result<Option<Held>, String> {
    if value.is_null() {
        return Ok(None);
    }
    let number = |name: &str| value[name].as_u64().ok_or(format!("held.{name} is no number"));
    let position = Position { epoch: Epoch(number("epoch")?), offset: Offset(number("offset")?) };
    let database = u8::try_from(number("database")?).ok().filter(|&number| number < DATABASES);
    let database = Database(database.ok_or("held.database is no database")?);
    let kept_in = KeptIn::ALL.into_iter().find(|one| value["kept_in"].as_str() == Some(one.name()));
    let kept_in = kept_in.ok_or("held.kept_in is neither snapshot nor log")?;
    Ok(Some(Held { position, lineage: parsed(value["lineage"].take())?, database, kept_in }))
}

fn parsed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use slotway_cluster::{Placement, replication::HistoryId};

    use super::*;

    pub(in crate::membership) fn file() -> NodeFile {
        let topology = Topology {
            version: 4,
            cluster_id: "c".repeat(40),
            placement: Placement::default(),
            shards: Vec::new(),
            nodes: Vec::new(),
            proxies: Vec::new(),
        };
        let life = Some(Life { incarnation: Incarnation(7), held: Some(held_at(3, 900)) });
        NodeFile { node_id: NodeId("n1".into()), topology, led_by: LedBy::Orders, promised: Epoch(3), life }
    }

    pub(in crate::membership) fn held_at(epoch: u64, offset: u64) -> Held {
        let mut lineage = Lineage::new(HistoryId::from_random([1; 20]), Epoch(1), Offset(0));
        lineage.rename(HistoryId::from_random([2; 20]), Epoch(epoch), Offset(offset / 2));
        Held {
            position: Position { epoch: Epoch(epoch), offset: Offset(offset) },
            lineage,
            database: Database(2),
            kept_in: KeptIn::Log,
        }
    }

    #[test]
    fn a_file_reads_back_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.json");
        assert_eq!(NodeFile::read(&path), Ok(None));
        let mut written = file();
        for life in [written.life.clone(), Some(Life { incarnation: Incarnation(9), held: None }), None] {
            written.life = life;
            written.write(&path).unwrap();
            assert_eq!(NodeFile::read(&path), Ok(Some(written.clone())));
        }
    }

    #[test]
    fn a_file_of_before_there_were_orders_is_understood_and_a_damaged_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.json");
        let topology = serde_json::to_value(file().topology).unwrap();
        let read = |value: Value| {
            fs::write(&path, value.to_string()).unwrap();
            NodeFile::read(&path)
        };
        let old = read(json!({"cluster_id": "c", "node_id": "n1", "topology": topology})).unwrap().unwrap();
        assert_eq!((old.led_by, old.promised, old.life), (LedBy::Topology, Epoch(0), None));
        let whole = || json!({"node_id": "n1", "incarnation": "000000000000000a", "topology": topology});
        assert!(read(whole()).is_ok());
        for (name, value) in [
            ("node_id", json!(7)),
            ("led_by", json!("chance")),
            ("incarnation", json!("ten")),
            ("held", json!({"epoch": 1})),
            ("held", json!({"epoch": 1, "offset": 2, "database": 99, "kept_in": "log", "lineage": []})),
            ("topology", json!({})),
        ] {
            let mut damaged = whole();
            damaged[name] = value;
            let error = read(damaged).unwrap_err();
            assert!(error.contains("node.json: "), "{error}");
        }
        fs::write(&path, "{").unwrap();
        assert!(NodeFile::read(&path).is_err());
    }
}
