//! What the fronts need of the process that serves them. The sentinel implements it; tests implement it in memory.

use std::collections::BTreeMap;

use futures::{future::BoxFuture, stream::BoxStream};

use crate::{
    problem::Problem,
    view::{Event, FailoverOrder, FailoverReport, Group, MonitorOrder, Sentinel},
};

/// What an order or a confirmed read comes to.
pub type Outcome<T> = BoxFuture<'static, Result<T, Problem>>;

/// How a sentinel stands in the Raft group: for `/health`, `/ready`, `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Raft's term.
    pub term: u64,
    /// The leader's Raft id; 0 when none is known.
    pub leader: u64,
    /// This sentinel's Raft id.
    pub raft_id: u64,
    /// The last applied index.
    pub applied: u64,
}

impl Standing {
    /// Is this sentinel the Raft leader?
    pub fn leading(self) -> bool {
        self.leader != 0 && self.leader == self.raft_id
    }
}

/// The control plane as its fronts see it.
///
/// Reads answer from what this sentinel has applied; a front that must not answer from memory (I14) awaits
/// [`ControlPlane::confirm`] first. Orders are carried out by the Raft leader: an implementation forwards them.
pub trait ControlPlane: Send + Sync + 'static {
    /// Every group, by name.
    fn groups(&self) -> Vec<Group>;
    /// One group.
    fn group(&self, name: &str) -> Option<Group>;
    /// Every sentinel, this one included.
    fn sentinels(&self) -> Vec<Sentinel>;
    /// Where this sentinel stands; answers without a quorum too.
    fn standing(&self) -> Standing;
    /// Resolves once what this sentinel has applied is at least as new as every write that was committed before the
    /// call; [`Problem::NoQuorum`] when no majority confirms it in time.
    fn confirm(&self) -> Outcome<Standing>;
    /// Committed events, newest first, at most `limit`; of one group, or of all.
    fn history(&self, group: Option<&str>, limit: usize) -> Vec<Event>;
    /// Events with an index of at least `from` and then live ones; `None`: live ones only. A watcher that falls behind
    /// the bound of the live queue gets [`Problem::Gap`] as its last item.
    fn watch(&self, from: Option<u64>) -> Result<BoxStream<'static, Result<Event, Problem>>, Problem>;
    /// A planned failover.
    fn failover(&self, group: &str, order: FailoverOrder) -> Outcome<FailoverReport>;
    /// Starts to monitor a group.
    fn monitor(&self, order: MonitorOrder) -> Outcome<Group>;
    /// Stops monitoring a group.
    fn remove(&self, group: &str) -> Outcome<()>;
    /// Changes settings of a group; names and values as in sentinel.conf.
    fn set(&self, group: &str, settings: BTreeMap<String, String>) -> Outcome<Group>;
    /// Lets a node join a group: a learner until it holds the data.
    fn add_node(&self, group: &str, node: &str) -> Outcome<Group>;
    /// Has a replica leave its group, dead or alive.
    fn remove_node(&self, group: &str, node: &str) -> Outcome<Group>;
    /// Has a sentinel leave, dead or alive; named by its run id.
    fn remove_sentinel(&self, id: &str) -> Outcome<()>;
}
