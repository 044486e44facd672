//! The admin vocabulary: what the admin API and `slotway ctl` show, as values.
//!
//! One struct per JSON shape of the admin API. The server writes them, `ctl` and the tests read them back, so the shapes
//! cannot drift apart. Two rules hold everywhere: an unknown value is `null`, never absent; and nothing here is
//! looked up: [`build`] makes every answer from a [`Topology`](crate::Topology) and [`Observations`], so that the whole
//! API is tested without a socket.

pub mod build;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    failover::OnTotalLoss,
    ids::{Epoch, NodeId, ProxyId, ShardId},
    ranges::SlotRange,
    slot::{Database, Slot},
    topology::Kind,
};

// --- what was seen -------------------------------------------------------------------------------------------------

/// What the watchers of a cluster saw last. Nodes and proxies that nobody has asked yet are absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observations {
    pub nodes: BTreeMap<NodeId, NodeObservation>,
    pub proxies: BTreeMap<ProxyId, ProxyObservation>,
    /// Of the shards that a control group decides about.
    pub shards: BTreeMap<ShardId, ShardObservation>,
    /// How many copies a write waits for; None while nodes do not replicate.
    pub durability: Option<Durability>,
    pub policy: Policy,
    /// The proxy that leads the control group; None while there is no group.
    pub leader: Option<ProxyId>,
    /// Name and version of the program that answers, e.g. `slotway 0.1.0`.
    pub software: String,
}

/// What the control group goes by, beside the durability; null where there is no group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Policy {
    /// Copies that a write needs, the primary's included. 0: by the number of a shard's nodes.
    pub min_copies: Option<usize>,
    pub on_total_loss: Option<OnTotalLoss>,
    pub busy_down_after_ms: Option<u64>,
}

/// What one storage node said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeObservation {
    pub health: Health,
    /// What the node takes itself for, which the topology may see otherwise.
    pub role: Option<ReportedRole>,
    /// Changes with each start of the process.
    pub incarnation: Option<String>,
    pub epoch: Option<Epoch>,
    /// Bytes of the replication stream written (primary) or applied (replica).
    pub offset: Option<u64>,
    pub keys: Option<u64>,
    pub memory_bytes: Option<u64>,
    /// e.g. `redis 7.0.15`
    pub software: Option<String>,
}

impl NodeObservation {
    /// A node of which nothing is known but how it is.
    pub fn only(health: Health) -> NodeObservation {
        NodeObservation {
            health,
            role: None,
            incarnation: None,
            epoch: None,
            offset: None,
            keys: None,
            memory_bytes: None,
            software: None,
        }
    }
}

/// What the control log and its primary say of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardObservation {
    /// Of its nodes, those whose acknowledgement counts.
    pub sync_set: Vec<NodeId>,
    pub acks_needed: usize,
    pub service: Service,
}

/// Whether a shard's requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// By its primary.
    Serving,
    /// Not for the moment, and they are held: its primary is being replaced.
    Changing,
    /// Nor soon.
    Absent,
}

/// What a node's own INFO says about replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportedRole {
    Primary,
    /// Follows a primary and its link is up.
    Following,
    /// Follows a primary that it cannot reach, or is still copying.
    Detached,
}

/// What is known of one proxy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProxyObservation {
    /// Topology version it routes by.
    pub version: Option<u64>,
    pub clients: Option<u64>,
    pub raft: Option<RaftRole>,
}

/// Keys of one slot, counted by the node that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SlotCount {
    /// Databases that hold keys in this slot.
    pub databases: BTreeMap<Database, u64>,
    pub bytes: Option<u64>,
}

// --- words ---------------------------------------------------------------------------------------------------------

/// How a cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterState {
    /// Every slot is served and every node of every shard is up.
    Ok,
    /// Every slot is served (or will be in a moment: a failover runs), but something is missing or suspected.
    Degraded,
    /// At least one slot is not served.
    Down,
}

/// How a shard is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShardState {
    /// The primary serves and every replica is up.
    Ok,
    /// The primary serves; a replica does not, or the primary is busy or suspected.
    Degraded,
    /// The primary is being replaced; requests are held.
    Failover,
    /// The primary does not serve, or has not been seen yet.
    Down,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    Up,
    /// Answers its pulse while a long command runs.
    Busy,
    /// Silent, not yet long enough to be called down.
    Suspected,
    Down,
    /// Reads its data from disk or from its primary.
    Loading,
}

/// What a node is for its shard, by the topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Primary,
    Replica,
    Learner,
    None,
}

/// A proxy's part in the control group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RaftRole {
    Leader,
    Voter,
    Learner,
    Unreachable,
}

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    Quorum,
    Async,
}

/// Whether a slot stays where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SlotState {
    Stable,
    Moving,
}

// --- GET bodies ----------------------------------------------------------------------------------------------------

/// `GET /v1/cluster`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterView {
    pub cluster_id: String,
    pub version: u64,
    pub state: ClusterState,
    pub durability: Option<Durability>,
    #[serde(flatten)]
    pub policy: Policy,
    pub slots_assigned: usize,
    /// How many there are; so too `nodes` and `proxies`.
    pub shards: usize,
    pub nodes: usize,
    pub proxies: usize,
    /// Keys of all primaries; null while one has not told.
    pub keys: Option<u64>,
    /// Memory of all primaries: each key is counted once.
    pub memory_bytes: Option<u64>,
    pub leader: Option<ProxyId>,
    pub software: String,
}

/// `GET /v1/shards`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardsView {
    pub version: u64,
    pub shards: Vec<ShardView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardView {
    pub id: ShardId,
    /// The name under which the Sentinel port knows it: `shard-1`.
    pub name: String,
    pub kind: Kind,
    pub state: ShardState,
    pub epoch: Epoch,
    pub primary: NodeId,
    pub replicas: Vec<NodeId>,
    /// Replicas whose acknowledgement counts. Empty while nodes do not acknowledge.
    pub sync_set: Vec<NodeId>,
    pub acks_needed: usize,
    pub slots: Vec<SlotRange>,
    pub slot_count: usize,
    pub keys: Option<u64>,
    pub memory_bytes: Option<u64>,
}

/// `GET /v1/nodes`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodesView {
    pub nodes: Vec<NodeView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    pub id: NodeId,
    pub addr: String,
    pub admin_addr: Option<String>,
    pub shard: Option<ShardId>,
    pub role: Role,
    /// null until the node has been asked once.
    pub health: Option<Health>,
    pub epoch: Option<Epoch>,
    pub incarnation: Option<String>,
    pub offset: Option<u64>,
    /// How far a replica is behind its primary; null for a primary and for a node that follows nobody.
    pub lag_bytes: Option<u64>,
    pub lag_ms: Option<u64>,
    pub keys: Option<u64>,
    pub memory_bytes: Option<u64>,
    pub kind: Option<Kind>,
    pub software: Option<String>,
}

/// `GET /v1/slots`: who holds what, in the order of slots. Slots without an owner are in no range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotsView {
    pub version: u64,
    pub ranges: Vec<SlotRangeView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRangeView {
    pub slots: SlotRange,
    pub shard: ShardId,
    pub node: NodeId,
    pub addr: Option<String>,
    pub state: SlotState,
    pub to: Option<ShardId>,
    pub migration: Option<String>,
}

/// `GET /v1/slots/{n}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotView {
    pub slot: Slot,
    /// null when nobody owns the slot; so too `node`.
    pub shard: Option<ShardId>,
    pub node: Option<NodeId>,
    pub state: SlotState,
    pub to: Option<ShardId>,
    pub migration: Option<String>,
    /// null when the node did not answer or cannot count; so too `bytes` and `databases`.
    pub keys: Option<u64>,
    pub bytes: Option<u64>,
    pub databases: Option<BTreeMap<Database, u64>>,
}

/// `GET /v1/keys/{key}/slot?db=0`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySlotView {
    /// The key as text; percent-encoded, as in the path, if it is no valid UTF-8.
    pub key: String,
    pub db: Database,
    pub slot: Slot,
    pub shard: Option<ShardId>,
    pub node: Option<NodeId>,
}

/// `GET /v1/proxies`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxiesView {
    pub proxies: Vec<ProxyView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyView {
    pub id: ProxyId,
    pub addr: String,
    pub admin_addr: Option<String>,
    pub sentinel_addr: Option<String>,
    pub raft: Option<RaftRole>,
    pub version: Option<u64>,
    pub clients: Option<u64>,
}

// --- errors --------------------------------------------------------------------------------------------------------

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    pub error: ErrorView,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorView {
    pub code: ErrorCode,
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The part of the request that is wrong.
    pub field: Option<String>,
    /// The job that is in the way.
    pub job: Option<String>,
}

/// Kinds of refusal; each has one HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    BadRequest,
    Unauthorized,
    NotFound,
    MethodNotAllowed,
    Conflict,
    TooLarge,
    Invalid,
    Unavailable,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [ErrorCode; 8] = [
        ErrorCode::BadRequest,
        ErrorCode::Unauthorized,
        ErrorCode::NotFound,
        ErrorCode::MethodNotAllowed,
        ErrorCode::Conflict,
        ErrorCode::TooLarge,
        ErrorCode::Invalid,
        ErrorCode::Unavailable,
    ];

    pub fn http_status(self) -> u16 {
        match self {
            ErrorCode::BadRequest => 400,
            ErrorCode::Unauthorized => 401,
            ErrorCode::NotFound => 404,
            ErrorCode::MethodNotAllowed => 405,
            ErrorCode::Conflict => 409,
            ErrorCode::TooLarge => 413,
            ErrorCode::Invalid => 422,
            ErrorCode::Unavailable => 503,
        }
    }
}

impl ErrorView {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> ErrorView {
        ErrorView { code, message: message.into(), hint: None, field: None, job: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> ErrorView {
        self.hint = Some(hint.into());
        self
    }

    /// Names the part of the request that is wrong.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> ErrorView {
        self.field = Some(field.into());
        self
    }
}
