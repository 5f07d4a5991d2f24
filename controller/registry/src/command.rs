//! The entries of the Raft log: everything that may change the registry, as JSON.
//!
//! Each command that concerns a failover names the epoch that it belongs to; [`apply`](crate::apply) compares and refuses,
//! so a command that was proposed twice, late, or by a leader of the past changes nothing.

use serde::{Deserialize, Serialize};

use crate::failover::{AbortReason, Cause, End, Stage};
use crate::model::{Identity, Member};
use crate::names::{Epoch, GroupName, NodeKey, RaftId, UnixMs};
use crate::settings::Settings;
use crate::voting::Change;

/// One log entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The proposer's wall clock; it is shown in events and decides nothing.
    pub at: UnixMs,
    /// What to change.
    pub command: Command,
}

/// Bytes that are no log entry and no snapshot of this version.
#[derive(Debug, thiserror::Error)]
#[error("malformed registry data: {0}")]
pub struct DecodeError(#[from] serde_json::Error);

impl Entry {
    /// The entry's bytes in the log.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("string keys and plain values always serialize")
    }

    /// Reads an entry; it comes from a peer or a disk, so it may be malformed.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}

/// What a log entry changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Watches a group. Repeating it with the same master is accepted and changes nothing.
    MonitorGroup {
        /// Its name.
        group: GroupName,
        /// The master that the operator names; the first epoch's assignment may choose another (I11).
        master: NodeKey,
        /// The nodes that are known beforehand, the master's own tags included if it is listed.
        nodes: Vec<NodeSpec>,
        /// Its settings.
        settings: Settings,
    },
    /// Forgets a group.
    RemoveGroup {
        /// Its name.
        group: GroupName,
    },
    /// Changes settings, all or none; directive names of `sentinel.conf`.
    SetGroup {
        /// The group.
        group: GroupName,
        /// Directive and value.
        changes: Vec<(String, String)>,
    },
    /// SENTINEL RESET: the aborted attempts are forgotten. Dead replicas leave by [`Command::NodeForgotten`], one each (I9).
    ResetGroup {
        /// The group.
        group: GroupName,
    },
    /// A node was discovered, or a known one said something new of itself.
    NodeSeen {
        /// The group.
        group: GroupName,
        /// The node.
        node: NodeKey,
        /// What it says, if it has answered.
        identity: Option<Identity>,
    },
    /// A replica is no longer part of the group.
    NodeForgotten {
        /// The group.
        group: GroupName,
        /// The replica; the published master cannot be forgotten.
        node: NodeKey,
    },
    /// The operator adds a node: a learner until it holds the data and votes. Also takes back a removal.
    NodeAdded {
        /// The group.
        group: GroupName,
        /// The node.
        node: NodeSpec,
    },
    /// The operator removes a replica, dead or alive: it gives up its vote and is then forgotten (I9).
    NodeRemoved {
        /// The group.
        group: GroupName,
        /// The replica.
        node: NodeKey,
    },
    /// One voter joins or leaves, or the terms follow the settings: both configs bind from here on (I9).
    VotersChanged {
        /// The group.
        group: GroupName,
        /// The epoch in which the proposer saw cause for it.
        epoch: Epoch,
        /// What changes.
        change: Change,
        /// The version of the change under way whose place this one takes: too few of its voters are there to settle it.
        #[serde(default)]
        supersedes: Option<u64>,
    },
    /// The master of the epoch adopted the config: it alone binds from here on.
    VotersSettled {
        /// The group.
        group: GroupName,
        /// The master's epoch.
        epoch: Epoch,
        /// The config's version.
        version: u64,
    },
    /// The change under way is given up: a former config again, under a new version.
    VotersTurnedBack {
        /// The group.
        group: GroupName,
        /// The published epoch.
        epoch: Epoch,
        /// The version that is given up.
        version: u64,
        /// The version of the former config; the newest of those if it is not said.
        #[serde(default)]
        to: Option<u64>,
    },
    /// `quorum` sentinels agree that the master is down, and nothing can be done about it yet.
    MasterDown {
        /// The group.
        group: GroupName,
        /// The epoch of the mastership that is meant.
        epoch: Epoch,
        /// How many sentinels say so.
        votes: u32,
    },
    /// The master is no longer down.
    MasterUp {
        /// The group.
        group: GroupName,
        /// The epoch of the mastership that is meant.
        epoch: Epoch,
    },
    /// Starts a failover: claims the next epoch. Compare-and-set on the published epoch (I1).
    FailoverBegin {
        /// The group.
        group: GroupName,
        /// The published epoch that the proposer saw.
        expected: Epoch,
        /// The claimed epoch is above this one too: the highest that any node was seen to have promised.
        floor: Epoch,
        /// Why.
        cause: Cause,
        /// The operator's candidate; in a handover always present.
        wanted: Option<NodeKey>,
    },
    /// Handover: the candidate is close to the master.
    CaughtUp {
        /// The group.
        group: GroupName,
        /// The failover's epoch.
        epoch: Epoch,
    },
    /// The epoch's compare-and-set: this node, and no other, may be master in the claimed epoch (I1, I4).
    Chosen {
        /// The group.
        group: GroupName,
        /// The failover's epoch.
        epoch: Epoch,
        /// The master to be.
        candidate: NodeKey,
        /// Upon what it was chosen.
        #[serde(default)]
        ground: Ground,
    },
    /// The chosen node said that it is master: its address is published.
    Promoted {
        /// The group.
        group: GroupName,
        /// The failover's epoch.
        epoch: Epoch,
    },
    /// A replica was told of the new master, or follows it.
    Reconfigured {
        /// The group.
        group: GroupName,
        /// The failover's epoch.
        epoch: Epoch,
        /// The replica.
        node: NodeKey,
        /// How far it is.
        stage: Stage,
    },
    /// A node that was not what the record says was told so.
    Repaired {
        /// The group.
        group: GroupName,
        /// The published epoch.
        epoch: Epoch,
        /// The replica.
        node: NodeKey,
        /// What was wrong.
        fault: Fault,
    },
    /// The failover is over, with a new master.
    FailoverEnd {
        /// The group.
        group: GroupName,
        /// The failover's epoch.
        epoch: Epoch,
        /// How it ended.
        end: End,
    },
    /// The failover is over, without a new master. Its epoch is never used again.
    FailoverAbort {
        /// The group.
        group: GroupName,
        /// The failover's epoch.
        epoch: Epoch,
        /// Why.
        reason: AbortReason,
    },
    /// A sentinel became a member, or says a new address.
    MemberJoined(Member),
    /// An operator removed a sentinel: Raft is to stop counting it.
    MemberLeaves {
        /// Who.
        raft_id: RaftId,
    },
    /// A sentinel left: Raft counts it no more.
    MemberLeft {
        /// Who.
        raft_id: RaftId,
    },
}

/// Upon what a master was chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ground {
    /// It holds the greatest data of those who promised (I4).
    #[default]
    Promises,
    /// Every known node said that it holds no data at all: whoever voted is no more.
    Blank,
    /// The same, and it is barred from leading (priority 0, or its tag): for as long as it takes another to catch up.
    Interim,
    /// The operator said that acknowledged writes may be lost (I4 is given up, this once): it holds the greatest data of those that answered, and whoever
    /// voted counts no more.
    LossAccepted,
}

/// A node that is named in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// Its address.
    pub node: NodeKey,
    /// Operator's tags.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// How a node differed from its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// It held itself for master.
    RogueMaster,
    /// It followed another master.
    WrongMaster,
}

impl Command {
    /// The group that the command concerns, if any.
    pub fn group(&self) -> Option<&GroupName> {
        match self {
            Command::MonitorGroup { group, .. }
            | Command::RemoveGroup { group }
            | Command::SetGroup { group, .. }
            | Command::ResetGroup { group }
            | Command::NodeSeen { group, .. }
            | Command::NodeForgotten { group, .. }
            | Command::NodeAdded { group, .. }
            | Command::NodeRemoved { group, .. }
            | Command::VotersChanged { group, .. }
            | Command::VotersSettled { group, .. }
            | Command::VotersTurnedBack { group, .. }
            | Command::MasterDown { group, .. }
            | Command::MasterUp { group, .. }
            | Command::FailoverBegin { group, .. }
            | Command::CaughtUp { group, .. }
            | Command::Chosen { group, .. }
            | Command::Promoted { group, .. }
            | Command::Reconfigured { group, .. }
            | Command::Repaired { group, .. }
            | Command::FailoverEnd { group, .. }
            | Command::FailoverAbort { group, .. } => Some(group),
            Command::MemberJoined(_) | Command::MemberLeaves { .. } | Command::MemberLeft { .. } => None,
        }
    }
}
