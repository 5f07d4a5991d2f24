//! What every sentinel last reported of every node: the Raft leader's soft state, never logged.
//!
//! A report that was not repeated within [`STALE_AFTER`] counts as none, so a sentinel that went away cannot keep a node
//! down (nor up).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Registry;
use crate::names::{Epoch, GroupName, NodeId, NodeKey, Offset, RaftId};
use crate::pulse::Liveness;

/// Reports older than this are ignored. Source: Redis Sentinel, five of its one-second asking periods.
pub const STALE_AFTER: Duration = Duration::from_secs(5);

/// What a node says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// It takes writes.
    Master,
    /// It follows a master.
    Replica,
    /// It was not told yet what it is (I11).
    Fenced,
}

/// What a node last said of itself, by its agent or by INFO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// Fresh for each process.
    pub run_id: String,
    /// Kept in the data directory; empty for a stock node.
    pub node_id: String,
    /// What it says that it is.
    pub role: Role,
    /// The history that the offset counts in.
    pub replid: String,
    /// How far its dataset is.
    pub offset: Offset,
    /// Whom it follows.
    pub master: Option<NodeKey>,
    /// The link to its master is up.
    pub link_up: bool,
    /// For how long it has been down.
    pub link_down: Duration,
    /// `replica-priority`.
    pub priority: u32,
    /// The epoch of its last assignment.
    pub epoch: Epoch,
    /// The epoch that it promised (I2).
    pub promised: Epoch,
    /// The epoch of the newest write in its dataset.
    pub data_epoch: Epoch,
    /// It vouches for its dataset (I10).
    pub data_known: bool,
    /// The agent's port; 0 for a stock node.
    pub agent_port: u16,
    /// It is loading its dataset.
    pub loading: bool,
    /// A sentinel paused its writes.
    pub paused: bool,
    /// For how long the link to its master has carried nothing.
    pub link_idle: Duration,
    /// The voting config in force; of a replica the one that it was last told. 0: none.
    pub config_version: u64,
    /// Of a master: what is held by as many as the config asks for, in this epoch.
    pub committed: Offset,
    /// The heartbeat's number, for which a lease may be granted (I8); 0 for reports that are no heartbeats.
    pub renewal: u64,
    /// What is left of its lease.
    pub lease_left: Duration,
    /// It can acknowledge by fsync.
    pub fsync_acks: bool,
    /// It restarted and may lack some of what it acknowledged (I10).
    pub tail_unsure: bool,
    /// The replicas that it lists.
    pub replicas: Vec<NodeKey>,
}

impl NodeFacts {
    /// A process of ours as it is when it starts with nothing on its disk and was told nothing (I11): what a test says of a node it says on top of this.
    pub fn untold(run_id: &str) -> Self {
        Self {
            run_id: run_id.to_owned(),
            node_id: String::new(),
            role: Role::Fenced,
            replid: String::new(),
            offset: Offset(0),
            master: None,
            link_up: false,
            link_down: Duration::ZERO,
            priority: 100,
            epoch: Epoch(0),
            promised: Epoch(0),
            data_epoch: Epoch(0),
            data_known: false,
            agent_port: 1,
            loading: false,
            paused: false,
            link_idle: Duration::ZERO,
            config_version: 0,
            committed: Offset(0),
            renewal: 0,
            lease_left: Duration::ZERO,
            fsync_acks: false,
            tail_unsure: false,
            replicas: vec![],
        }
    }

    /// A stock Redis or Valkey node.
    pub fn stock(&self) -> bool {
        self.agent_port == 0
    }

    /// The name under which it votes.
    pub fn id(&self) -> Option<NodeId> {
        self.node_id.parse().ok()
    }
}

/// One sentinel's view of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// What it holds the node for.
    pub liveness: Liveness,
    /// How long nothing valid was heard, at the time of the report.
    pub silent: Duration,
    /// What the node last said, if it ever answered.
    pub facts: Option<NodeFacts>,
    /// How old that was, at the time of the report.
    pub facts_age: Duration,
}

/// What the sentinels together hold a node for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How many hold it for alive.
    pub alive: u32,
    /// How many hold it for suspect or gone.
    pub down: u32,
    /// How many of those for gone: its connections were reset and new ones refused.
    pub gone: u32,
}

impl Verdict {
    /// Objectively down: `quorum` sentinels agree.
    pub fn is_down(self, quorum: u32) -> bool {
        self.down >= quorum.max(1)
    }

    /// `quorum` sentinels know that its process is no more.
    pub fn is_gone(self, quorum: u32) -> bool {
        self.gone >= quorum.max(1)
    }

    /// At least half of those who report hold it for down: not worth waiting for. For replicas, where no quorum decides.
    pub fn is_mostly_down(self) -> bool {
        self.down > 0 && self.down >= self.alive
    }
}

/// Every sentinel's last report of every node.
#[derive(Debug, Clone, Default)]
pub struct Sights {
    seen: BTreeMap<(GroupName, NodeKey), BTreeMap<RaftId, (Duration, Sight)>>,
}

impl Sights {
    /// Takes a report that arrived now.
    pub fn report(&mut self, now: Duration, from: RaftId, group: &GroupName, node: &NodeKey, sight: Sight) {
        self.seen.entry((group.clone(), node.clone())).or_default().insert(from, (now, sight));
    }

    /// Drops what concerns groups, nodes and sentinels that the registry does not know: keeps this bounded.
    pub fn retain(&mut self, registry: &Registry) {
        self.seen.retain(|(group, node), _| registry.group(group).is_some_and(|group| group.nodes.contains_key(node)));
        for by_sentinel in self.seen.values_mut() {
            by_sentinel.retain(|from, _| registry.sentinels.contains_key(from));
        }
    }

    /// One sentinel's fresh view of a node.
    pub fn seen_by(&self, now: Duration, from: RaftId, group: &GroupName, node: &NodeKey) -> Option<&Sight> {
        let (at, sight) = self.seen.get(&(group.clone(), node.clone()))?.get(&from)?;
        fresh(now, *at).then_some(sight)
    }

    /// What the sentinels together hold a node for; nobody's fresh report gives no votes at all.
    pub fn verdict(&self, now: Duration, group: &GroupName, node: &NodeKey) -> Verdict {
        self.fresh(now, group, node).fold(Verdict::default(), |verdict, (_, sight)| {
            let down = u32::from(sight.liveness.is_down());
            let gone = u32::from(sight.liveness == Liveness::Gone);
            Verdict { alive: verdict.alive + 1 - down, down: verdict.down + down, gone: verdict.gone + gone }
        })
    }

    /// The newest that any sentinel heard from the node, with its age.
    pub fn facts(&self, now: Duration, group: &GroupName, node: &NodeKey) -> Option<(&NodeFacts, Duration)> {
        self.fresh(now, group, node)
            .filter_map(|(at, sight)| Some((sight.facts.as_ref()?, sight.facts_age + now.saturating_sub(at))))
            .min_by_key(|(_, age)| *age)
    }

    fn fresh(&self, now: Duration, group: &GroupName, node: &NodeKey) -> impl Iterator<Item = (Duration, &Sight)> {
        self.seen
            .get(&(group.clone(), node.clone()))
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter(move |(at, _)| fresh(now, *at))
            .map(|(at, sight)| (*at, sight))
    }
}

fn fresh(now: Duration, at: Duration) -> bool {
    now.saturating_sub(at) <= STALE_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(liveness: Liveness, facts: Option<(u64, u64)>) -> Sight {
        let facts = facts.map(|(offset, age_ms)| {
            let facts = NodeFacts { offset: Offset(offset), ..NodeFacts::untold("r") };
            (facts, Duration::from_millis(age_ms))
        });
        let (facts, facts_age) = facts.map_or((None, Duration::ZERO), |(facts, age)| (Some(facts), age));
        Sight { liveness, silent: Duration::ZERO, facts, facts_age }
    }

    /// Reports `(sentinel, at_ms, sight)`, then the verdict and the newest offset with its age at `now_ms`.
    fn check(reports: &[(u64, u64, Sight)], now_ms: u64, verdict: (u32, u32), newest: Option<(u64, u64)>) {
        let (group, node) = ("main".parse().expect("a word"), NodeKey::new("h", 1).expect("a port"));
        let mut sights = Sights::default();
        for (from, at, sight) in reports {
            sights.report(Duration::from_millis(*at), RaftId(*from), &group, &node, sight.clone());
        }
        let now = Duration::from_millis(now_ms);
        let seen = sights.verdict(now, &group, &node);
        assert_eq!((seen.alive, seen.down), verdict);
        let facts = sights.facts(now, &group, &node).map(|(facts, age)| (facts.offset.0, age.as_millis() as u64));
        assert_eq!(facts, newest);
    }

    #[test]
    fn down_needs_a_quorum_of_fresh_reports() {
        use Liveness::{Alive, Gone, Suspect};
        check(&[], 0, (0, 0), None);
        check(
            &[(1, 0, sight(Gone, None)), (2, 0, sight(Suspect, None)), (3, 0, sight(Alive, None))],
            5000,
            (1, 2),
            None,
        );
        check(&[(1, 0, sight(Gone, None)), (2, 9, sight(Suspect, None))], 5001, (0, 1), None);
        check(&[(1, 0, sight(Gone, None)), (1, 1, sight(Alive, None))], 2, (1, 0), None);
        let verdict = Verdict { alive: 1, down: 2, gone: 1 };
        assert!(verdict.is_down(2) && !verdict.is_down(3) && verdict.is_mostly_down());
        assert!(verdict.is_gone(1) && !verdict.is_gone(2));
        assert!(!Verdict::default().is_down(0), "no reports are no agreement");
    }

    #[test]
    fn the_newest_facts_count_whoever_reports_them() {
        let alive = |offset, age| sight(Liveness::Alive, Some((offset, age)));
        check(&[(1, 100, alive(7, 90)), (2, 50, alive(9, 10))], 200, (2, 0), Some((9, 160)));
        check(&[(1, 100, alive(7, 0)), (2, 50, alive(9, 10))], 200, (2, 0), Some((7, 100)));
        check(&[(1, 0, alive(7, 0))], 5001, (0, 0), None);
    }

    #[test]
    fn what_the_registry_does_not_know_is_dropped() {
        let (group, node) = ("main".parse().expect("a word"), NodeKey::new("h", 1).expect("a port"));
        let mut sights = Sights::default();
        sights.report(Duration::ZERO, RaftId(1), &group, &node, sight(Liveness::Alive, None));
        sights.retain(&Registry::default());
        assert!(sights.seen_by(Duration::ZERO, RaftId(1), &group, &node).is_none());
    }
}
