//! The agent's questions and orders, and what the node answers.

use std::time::Duration;

use quorate_replication::commit::NotAdopted;
use quorate_replication::fence::{Durable, Refused, Role};
use quorate_replication::history::Held;
use quorate_replication::{Address, Epoch, Offset, VotingConfig};

/// Names a question of the agent, for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A question or order of the agent. Every one is answered once, by an `Effect::Answer` with its ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// For the answer.
    pub ticket: Ticket,
    /// What is asked.
    pub order: Order,
}

/// What the agent asks for. The orders are a sentinel's, fenced by the promise (I2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Who are you and where do you stand?
    Describe,
    /// Never again serve a lower epoch.
    Promise {
        /// The sentinel's name of the group.
        group: String,
        /// The epoch.
        epoch: Epoch,
    },
    /// Be this in that epoch.
    Assign {
        /// The sentinel's name of the group.
        group: String,
        /// The epoch.
        epoch: Epoch,
        /// What to be.
        role: Role,
        /// The copies that a write needs; `None` leaves what was said before.
        config: Option<VotingConfig>,
        /// For so long an `async` master takes writes before it hears its first grant (I13); `None`: until it hears one.
        lease: Option<Duration>,
    },
    /// Take another voting config; to the master, within its epoch (I9).
    Configure {
        /// The sentinel's name of the group.
        group: String,
        /// The epoch that is going on.
        epoch: Epoch,
        /// The config.
        config: VotingConfig,
    },
    /// Stop writes for at most this long.
    Pause {
        /// The sentinel's name of the group.
        group: String,
        /// The epoch that is going on.
        epoch: Epoch,
        /// When the pause ends by itself.
        timeout: Duration,
    },
    /// End a pause.
    Resume {
        /// The sentinel's name of the group.
        group: String,
        /// The epoch that is going on.
        epoch: Epoch,
    },
    /// Answer when the dataset has come this far, or at the timeout.
    CatchUp {
        /// The history and the offset in it.
        held: Held,
        /// How long to wait at most.
        timeout: Duration,
    },
}

/// The answer to a [`Control`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Where the node stands after the order.
    pub facts: Facts,
    /// What has to be on disk before the answer leaves (I2); `None` for a node without a group.
    pub durable: Option<Keep>,
    /// Why the order was refused.
    pub refused: Option<Denied>,
}

/// What the node has to remember. Revisions only grow: an older one never replaces a newer one on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// For `Input::Kept`.
    pub revision: u64,
    /// For the state file.
    pub durable: Durable,
}

/// Why an order was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The fence refused.
    #[error(transparent)]
    Fence(#[from] Refused),
    /// Started without `--group`: a plain node, which has no epochs.
    #[error("this node was started without a group")]
    NoGroup,
    /// A config was refused (I9).
    #[error(transparent)]
    Config(#[from] NotAdopted),
    /// It was chosen upon what it held when it promised, and may hold less by now (I4, I10); or it served the epoch, and restarted (I11). Another epoch
    /// has to begin, with promises.
    #[error("epoch {0} was promised or served by an earlier process of this node")]
    EarlierLife(Epoch),
    /// Whoever was chosen has this node's address and not its data (I10).
    #[error("this node is no voter of the group")]
    NoVoter,
    /// What the dataset is will be known when it is loaded.
    #[error("the dataset is being loaded")]
    Loading,
}

/// What the node is, as reports tell it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NodeRole {
    /// Takes writes.
    Master,
    /// Follows a master.
    Replica,
    /// Of a group, and not told what it is.
    #[default]
    Fenced,
}

/// What the node knows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What it is.
    pub role: NodeRole,
    /// The group's name; empty without one.
    pub group: String,
    /// The epoch of the last accepted assignment.
    pub epoch: Epoch,
    /// The promised epoch.
    pub promised: Epoch,
    /// The epoch of the dataset's newest write.
    pub data_epoch: Epoch,
    /// Can the node vouch for its dataset (I10)?
    pub data_known: bool,
    /// The dataset's place.
    pub held: Held,
    /// Whom it follows.
    pub master: Option<Address>,
    /// Does the master's stream arrive?
    pub link_up: bool,
    /// Since the process started: when the link last carried data, or when it broke.
    pub link_at: Duration,
    /// Is a dataset being loaded?
    pub loading: bool,
    /// Are writes stopped by a handover?
    pub paused: bool,
    /// `replica-priority`.
    pub priority: u32,
    /// The version of the config in force; of a replica, of the one that it was told.
    pub config_version: u64,
    /// What W voters hold, as a master knows it.
    pub committed: Offset,
    /// Can it acknowledge by fsync?
    pub fsync_acks: bool,
    /// May it have acknowledged more than it holds (I10)?
    pub tail_unsure: bool,
    /// Bytes of its own that it dropped when it last left a history (I12).
    pub dropped_tail: u64,
}
