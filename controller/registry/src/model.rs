//! What the sentinels agree on: groups, their nodes, the sentinels themselves, and the history of events.
//!
//! Only [`Registry::apply`](crate::apply) changes it, from committed log entries, so it is the same on every sentinel.
//! Observations (who answers) are not here: see [`sights`](crate::sights).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::event::History;
use crate::failover::Failover;
use crate::names::{Epoch, GroupName, NodeId, NodeKey, RaftId, UnixMs};
use crate::settings::Settings;
use crate::voting::Voting;

/// The most groups on one set of sentinels; bounds the snapshot and the work of a step.
pub const MAX_GROUPS: usize = 1000;
/// The most nodes of one group; a master that lists more replicas than this keeps the surplus unwatched.
pub const MAX_NODES: usize = 64;
/// The most sentinels: Raft's cost and the drills know up to this many.
pub const MAX_SENTINELS: usize = 9;

/// The replicated state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Registry {
    /// Every watched group.
    pub groups: BTreeMap<GroupName, Group>,
    /// Every sentinel that is a member.
    pub sentinels: BTreeMap<RaftId, Member>,
    /// Members that an operator removed and that Raft still counts: forgotten once it does not.
    #[serde(default)]
    pub leaving: BTreeSet<RaftId>,
    /// The newest events, oldest first, bounded.
    pub history: History,
    /// The index of the last applied entry; an entry is never applied twice.
    pub applied: u64,
    /// The highest Raft id ever given out: ids are never reused, since a voter that lost its log must not vote again.
    pub highest_raft_id: u64,
}

/// One dataset: a master and its replicas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The epoch of `master`'s mastership, as published; 0 before the first assignment.
    pub epoch: Epoch,
    /// The highest epoch that any failover of this group ever claimed. Invariant: never less than `epoch`; a claimed
    /// epoch is never claimed again, so that an epoch has one master (I1).
    pub claimed: Epoch,
    /// What the operator set.
    pub settings: Settings,
    /// Who must hold a write, and who must promise (I3, I4, I9).
    #[serde(default)]
    pub voting: Voting,
    /// The longest lease that may have been granted in this epoch, whatever `down-after` was since (I8).
    #[serde(default = "longest_lease")]
    pub lease_ms: u64,
    /// Replicas that the operator removed, and that the master may still list: they are not discovered again.
    #[serde(default)]
    pub removed: BTreeSet<NodeKey>,
    /// The published master. Invariant: a key of `nodes`.
    pub master: NodeKey,
    /// Every known node, the master included.
    pub nodes: BTreeMap<NodeKey, NodeRecord>,
    /// The epoch of a barred node's mastership: it is handed on as soon as another may lead.
    #[serde(default)]
    pub interim: Option<Epoch>,
    /// The failover that is running.
    pub failover: Option<Failover>,
    /// Since when `quorum` sentinels agree that the master is down.
    pub down_since: Option<UnixMs>,
    /// How many failovers were aborted since the last that succeeded; spaces the retries.
    pub aborted: u32,
    /// Grows with every change of this group, so that a leader notices that its proposal was applied.
    pub revision: u64,
}

fn longest_lease() -> u64 {
    crate::settings::LEASE_MOST_MS
}

/// One known node of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Operator's tags; `nofailover` bars it from becoming master.
    #[serde(default)]
    pub tags: Vec<String>,
    /// What it said that it is, when it first answered and whenever that changed.
    pub identity: Option<Identity>,
    /// Whether it is to stay.
    #[serde(default)]
    pub membership: Membership,
}

/// Whether a node is to stay in its group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Membership {
    /// Yes.
    #[default]
    Stays,
    /// The operator removed it: it gives up its vote, and is then forgotten (I9).
    Leaves,
}

/// The lasting part of what a node says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Fresh for each process.
    pub run_id: String,
    /// Kept in the data directory; empty for a stock node.
    pub node_id: String,
    /// The agent's port; 0 for a stock Redis or Valkey node.
    pub agent_port: u16,
    /// `replica-priority`; 0 bars it from becoming master.
    pub priority: u32,
}

/// The tag that bars a node from becoming master.
pub const NOFAILOVER: &str = "nofailover";

impl NodeRecord {
    /// A stock Redis or Valkey node: it cannot promise (I2). Unknown until it first answered.
    pub fn stock(&self) -> bool {
        self.identity.as_ref().is_some_and(|identity| identity.agent_port == 0)
    }

    /// The name under which the node votes; `None` for a stock node, and before it first answered.
    pub fn id(&self) -> Option<NodeId> {
        self.identity.as_ref()?.node_id.parse().ok()
    }

    /// The operator said that this node must not become master.
    pub fn barred(&self) -> bool {
        self.tags.iter().any(|tag| tag == NOFAILOVER)
    }
}

impl Group {
    /// At least one node is a stock Redis or Valkey node: the group is `async` whatever its setting says.
    pub fn stock(&self) -> bool {
        self.nodes.values().any(NodeRecord::stock)
    }

    /// The known nodes other than the published master.
    pub fn replicas(&self) -> impl Iterator<Item = (&NodeKey, &NodeRecord)> {
        self.nodes.iter().filter(|(key, _)| **key != self.master)
    }

    /// How many nodes are more than half of all known ones.
    pub fn majority(&self) -> usize {
        self.nodes.len() / 2 + 1
    }
}

/// One sentinel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its number in Raft.
    pub raft_id: RaftId,
    /// 40 hexadecimal digits: SENTINEL MYID.
    pub sentinel_id: String,
    /// Where the peers reach its gRPC port, as host:port.
    pub address: String,
    /// Where clients reach its RESP port.
    pub resp: NodeKey,
}

impl Registry {
    /// The group of this name.
    pub fn group(&self, name: &GroupName) -> Option<&Group> {
        self.groups.get(name)
    }

    /// A sentinel had this Raft id and was removed, or replaced: ids are given out in order, and once.
    pub fn is_removed(&self, id: RaftId) -> bool {
        id.0 <= self.highest_raft_id && !self.sentinels.contains_key(&id)
    }

    /// A Raft id that no sentinel ever had.
    pub fn fresh_raft_id(&self) -> RaftId {
        RaftId(self.highest_raft_id + 1)
    }

    /// The highest epoch of any group: what SENTINEL INFO and hello messages call the current epoch.
    pub fn current_epoch(&self) -> Epoch {
        self.groups.values().map(|group| group.claimed).max().unwrap_or_default()
    }

    /// The state as a Raft snapshot carries it.
    pub fn snapshot(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("string keys and plain values always serialize")
    }

    /// Reads a snapshot back; it comes from a peer or a disk, so it may be malformed.
    pub fn restore(bytes: &[u8]) -> Result<Self, crate::command::DecodeError> {
        serde_json::from_slice(bytes).map_err(crate::command::DecodeError::from)
    }
}
