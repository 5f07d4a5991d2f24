//! What the Raft leader does about what it sees: proposals and effects, derived from the committed phase and the reports.
//!
//! All state here is soft. A new leader starts with an empty [`Steering`] and derives the same effects from the committed
//! phase; effects are idempotent and carry the epoch, so one that ran twice did no more than once.

use std::time::Duration;

use crate::apply::Rejected;
use crate::command::Command;
use crate::model::Registry;
use crate::names::{Epoch, GroupName, NodeKey, Offset};
use crate::sights::{NodeFacts, Sights};

/// What the leader's shell is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Propose a command to Raft.
    Propose(Command),
    /// Run an effect, then feed its [`Outcome`] back.
    Run(Ticket, Effect),
}

/// Names one running effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Something to tell a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The group.
    pub group: GroupName,
    /// The node to tell.
    pub node: NodeKey,
    /// How to reach it.
    pub reach: Reach,
    /// The epoch that the order belongs to; the node refuses an order below its promise.
    pub epoch: Epoch,
    /// What to tell it.
    pub order: Order,
    /// Give up after this; the outcome is then [`Failure::Timeout`].
    pub within: Duration,
}

/// How a node takes orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Through the agent on this port.
    Agent(u16),
    /// A stock Redis or Valkey node: REPLICAOF, CLIENT PAUSE, INFO. It cannot promise.
    Stock,
}

/// What a node is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Promise the epoch (I2). A stock node is only described.
    Promise,
    /// Be the master of the epoch. Stock: REPLICAOF NO ONE.
    AssignMaster,
    /// Follow this master in the epoch. Stock: REPLICAOF.
    AssignReplica {
        /// Whom to follow.
        master: NodeKey,
    },
    /// Stop writes. Stock: CLIENT PAUSE … WRITE.
    Pause {
        /// The pause ends by itself after this.
        limit: Duration,
    },
    /// End a pause.
    Resume,
    /// Wait until the node holds an offset; the outcome says where it stands either way.
    CatchUp {
        /// The history that the offset counts in.
        replid: String,
        /// How far.
        offset: Offset,
    },
}

/// How an effect ended: the node's report after it, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Which effect.
    pub ticket: Ticket,
    /// The node's report.
    pub result: Result<NodeFacts, Failure>,
}

/// Why an effect did not happen, or may not have happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The node could not be reached.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// The node promised a higher epoch (I2).
    #[error("refused: epoch {promised} was promised")]
    Refused {
        /// What it promised.
        promised: Epoch,
    },
    /// No answer in time: it may have happened.
    #[error("no answer in time")]
    Timeout,
    /// The node answered with an error.
    #[error("{0}")]
    Error(String),
}

/// The leader's soft state.
#[derive(Debug, Default)]
pub struct Steering {}

impl Steering {
    /// What to do now. Called after every applied entry, report and outcome, and on a tick of at most 100 ms. `now` is
    /// monotonic, since the process started.
    pub fn step(&mut self, _now: Duration, _registry: &Registry, _sights: &Sights) -> Vec<Action> {
        todo!()
    }

    /// Takes the outcome of an effect; one that is unknown (an earlier leader's, a duplicate) changes nothing.
    pub fn outcome(&mut self, _now: Duration, _outcome: Outcome) {
        todo!()
    }

    /// A proposal for this group was dropped or refused: it may be proposed again.
    pub fn proposal_failed(&mut self, _group: &GroupName) {
        todo!()
    }
}

/// The operator's request as a command, or why it cannot be: SENTINEL FAILOVER and the API, at the leader.
/// A master that answers is handed over from; `force` goes on without it, and so does a master that is down.
pub fn request_failover(
    _now: Duration,
    _registry: &Registry,
    _sights: &Sights,
    _group: &GroupName,
    _candidate: Option<&NodeKey>,
    _manner: Manner,
) -> Result<Command, Rejected> {
    todo!()
}

/// How the operator wants a failover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Pause, catch up, promote: nothing is lost.
    Handover,
    /// Without the master's help.
    Force,
}
