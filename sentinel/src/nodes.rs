//! The seam between the sentinel's core and the rooms that talk to data nodes (probes, effects, hello messages).
//!
//! [`Eyes`] watch nodes and send what they see into a channel; [`Hands`] carry out what the Raft leader's steering decided. The core
//! (`office`, `run`) knows these two traits only; tests give it others.

use std::sync::Arc;

use futures::future::BoxFuture;
use quorate_registry::{
    Effect, GroupName, NodeKey, Registry,
    sights::{NodeFacts, Sight},
    steering::Failure,
};
use tokio::sync::mpsc;

/// One node as this sentinel just saw it: sent when something changed (liveness, role, run id, link, …) at once, and else each
/// period of at most a second.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The group that it is watched in.
    pub group: GroupName,
    /// The node.
    pub node: NodeKey,
    /// What was seen.
    pub sight: Sight,
}

/// Where eyes put what they see. Bounded: a full channel means that the core is behind, and the next period's sight replaces this one.
pub type SeenSender = mpsc::Sender<Seen>;

/// Who this sentinel is, for hello messages.
#[derive(Debug, Clone)]
pub struct Me {
    /// SENTINEL MYID.
    pub sentinel_id: String,
    /// Where clients find its RESP port.
    pub resp: NodeKey,
}

/// Watches nodes.
pub trait Eyes: Send + Sync + 'static {
    /// The registry changed: start watching nodes that are new in it, stop watching those that left, take over new settings and new
    /// masters. Called from the runtime; must not block.
    fn look(&self, registry: &Arc<Registry>);
}

/// Tells nodes what was decided.
pub trait Hands: Send + Sync + 'static {
    /// Carries out one effect within [`Effect::within`]. `registry` has the group's credentials. Dropping the future gives it up.
    fn carry_out(&self, effect: Effect, registry: Arc<Registry>) -> BoxFuture<'static, Result<NodeFacts, Failure>>;
}
