//! One failover of one group, as committed phases. A step consumes the phase, so that a forgotten transition does not
//! compile; the arrows are committed commands, and every effect between them is derived from the phase alone, so that a
//! new leader goes on where the last one stopped.
//!
//! ```text
//!  FailoverBegin                       FailoverBegin
//!  (planned: the master answers)       (down, forced, loss accepted, restarted, founding, barred)
//!        │                                   │
//!        ▼                                   ▼
//!    CatchingUp ────────CaughtUp───────▶ Collecting ──Chosen──▶ Promoting ──Promoted──▶ Reconfiguring ──FailoverEnd──▶ ∎
//!        │                                   │                     │                         ↺ Reconfigured
//!        └──────────────FailoverAbort────────┴─────────────────────┘
//!                              ▼
//!                              ∎ (the claimed epoch is spent)
//! ```
//!
//! - CatchingUp: the candidate gets close to the master, which goes on writing.
//! - Collecting: in a handover the master stops writes and the candidate gets to where it stopped; up to here it can be given
//!   up. Then promises of the claimed epoch are collected *before* anyone is chosen (I2, I4): the old master may be fenced,
//!   so a handover that fails now chooses the old master again, in the claimed epoch. Nothing is committed between the
//!   master's last write and the choice: clients wait meanwhile, and where the master stopped is known best from its promise.
//! - Promoting: `Chosen` was the compare-and-set. The candidate is told, and it alone, until it says that it is master; if
//!   it cannot, the epoch is spent and the next failover claims a higher one.
//! - Reconfiguring: the new master is published; the other nodes are pointed at it, `parallel-syncs` at a time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::names::{Epoch, NodeKey, UnixMs};

/// A running failover.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failover {
    /// The epoch that it claimed.
    pub epoch: Epoch,
    /// Why it began.
    pub cause: Cause,
    /// The operator's candidate.
    pub wanted: Option<NodeKey>,
    /// The master when it began.
    pub from: NodeKey,
    /// When it began.
    pub began: UnixMs,
    /// How far it is.
    pub phase: Phase,
}

impl Failover {
    /// It looks for promises that may never come: an operator who accepts the loss need not wait until it ends, only to begin again.
    pub fn gives_way_to_loss(&self) -> bool {
        self.phase == Phase::Collecting && !matches!(self.cause, Cause::Planned | Cause::LossAccepted)
    }
}

/// Why a failover began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// `quorum` sentinels agree that the master is down.
    Down {
        /// How many say so.
        votes: u32,
    },
    /// The operator asked for a handover: nothing is lost.
    Planned,
    /// The operator asked to go on without the master.
    Forced,
    /// The operator asked to go on with whoever is left: too few voters are there to choose safely, and will not come back.
    LossAccepted,
    /// The master answers and is master no more: its process restarted, so it is fenced (I11).
    Restarted,
    /// The group never had an epoch.
    Founding,
    /// A node promised an epoch above the published one, so it would refuse the published master for ever.
    Barred,
}

/// How far a failover is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Phase {
    /// Handover: the candidate is getting close to the master.
    CatchingUp {
        /// Who takes over.
        candidate: NodeKey,
    },
    /// Handover: the master stops writes. Then promises are collected.
    Collecting,
    /// The candidate is being told that it is master.
    Promoting {
        /// The only node that may be master in this epoch.
        candidate: NodeKey,
    },
    /// The other nodes are being pointed at the new master.
    Reconfiguring {
        /// How far each is; one that is absent was not told yet.
        stages: BTreeMap<NodeKey, Stage>,
    },
}

/// How far a replica's repointing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// It was told, and accepted.
    Sent,
    /// It follows the new master and its link is up.
    Done,
}

/// How a failover with a new master ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Every reachable node follows the new master.
    Complete,
    /// `failover-timeout` passed; the rest is repaired later.
    TimedOut,
    /// The new master failed too: the next failover begins.
    Interrupted,
}

/// Why a failover ended without a new master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AbortReason {
    /// Nobody who may become master answered.
    NoGoodReplica,
    /// The candidate did not do its part in time.
    CandidateTimeout,
    /// The master could not be paused, or not long enough.
    PauseFailed,
    /// A node promised a higher epoch.
    Superseded,
}

/// What was committed about a running failover.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// The candidate is close to the master.
    CaughtUp,
    /// Promises were collected and this node chosen.
    Chosen(NodeKey),
    /// The chosen node is master.
    Promoted,
    /// A replica was repointed.
    Reconfigured(NodeKey, Stage),
    /// The end.
    Ended(End),
    /// The end, without a new master.
    Aborted(AbortReason),
}

/// What follows a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// The failover goes on in this phase.
    Phase(Phase),
    /// It is over, with a new master.
    Over(End),
    /// It is over, without one.
    Aborted(AbortReason),
}

impl Phase {
    /// The phase after something was committed; `None` when no arrow leads there, so that the command is refused.
    pub fn step(self, seen: Seen) -> Option<Next> {
        let phase = match (self, seen) {
            (Phase::CatchingUp { .. }, Seen::CaughtUp) => Phase::Collecting,
            (Phase::Collecting, Seen::Chosen(candidate)) => Phase::Promoting { candidate },
            (Phase::Promoting { .. }, Seen::Promoted) => Phase::Reconfiguring { stages: BTreeMap::new() },
            (Phase::Reconfiguring { mut stages }, Seen::Reconfigured(node, stage)) => {
                if stages.get(&node).is_some_and(|known| *known >= stage) {
                    return None;
                }
                stages.insert(node, stage);
                Phase::Reconfiguring { stages }
            }
            (Phase::Reconfiguring { .. }, Seen::Ended(end)) => return Some(Next::Over(end)),
            (Phase::CatchingUp { .. } | Phase::Collecting | Phase::Promoting { .. }, Seen::Aborted(reason)) => {
                return Some(Next::Aborted(reason));
            }
            (
                Phase::CatchingUp { .. } | Phase::Collecting | Phase::Promoting { .. } | Phase::Reconfiguring { .. },
                _,
            ) => return None,
        };
        Some(Next::Phase(phase))
    }

    /// The phase under Sentinel's name, for the `failover-state` field.
    pub fn sentinel_state(&self) -> &'static str {
        match self {
            Phase::CatchingUp { .. } => "wait_start",
            Phase::Collecting => "select_slave",
            Phase::Promoting { .. } => "wait_promotion",
            Phase::Reconfiguring { .. } => "reconf_slaves",
        }
    }

    /// The phase under its own name, for the API.
    pub fn name(&self) -> &'static str {
        match self {
            Phase::CatchingUp { .. } => "catching-up",
            Phase::Collecting => "collecting",
            Phase::Promoting { .. } => "promoting",
            Phase::Reconfiguring { .. } => "reconfiguring",
        }
    }
}
