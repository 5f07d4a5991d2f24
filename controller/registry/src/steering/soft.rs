//! What the leader remembers of one group between steps: when the phase began, what it proposed, what it asked of whom.
//! All of it may be lost at any time; nothing but time is lost with it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::lease::Lease;
use super::{Failure, Order, Outcome, Ticket};
use crate::apply::MAX_EPOCH;
use crate::command::Fault;
use crate::model::Group;
use crate::names::{Epoch, NodeKey, Offset};
use crate::sights::NodeFacts;

/// A failed order is given again after this: long enough not to flood a node, short against a failover.
const RETRY: Duration = Duration::from_millis(100);

/// A report is taken for newer than a commit only if it was heard this much later: a watcher on a busy machine reads late.
const SETTLE: Duration = Duration::from_millis(300);

/// Soft state of one group. Bounded by its nodes times the kinds of order.
#[derive(Debug)]
pub(super) struct Soft {
    /// When this leader first saw the committed phase.
    pub entered: Duration,
    place: (Epoch, Epoch, Option<&'static str>),
    revision: u64,
    /// When the proposal that has not been applied yet was made.
    pub proposal: Option<Duration>,
    asked: BTreeMap<(NodeKey, Kind), Asked>,
    /// The highest epoch that a node refused us for.
    pub refused: Epoch,
    /// Since when the master says that it is a replica.
    pub role_lost: Option<Duration>,
    /// Nodes that were told what they are, with what was wrong, until that is published.
    pub mended: BTreeMap<NodeKey, Fault>,
    /// In a handover, where the candidate is to get before the master stops.
    pub target: Option<Target>,
    /// What the master of record may count upon (I8).
    pub lease: Lease,
    /// Since when the voters are as they are, and at which version.
    pub voting_since: Duration,
    voting_version: u64,
}

/// A place in a master's history.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The history that the offset counts in.
    pub replid: String,
    /// How far the master was.
    pub offset: Offset,
    /// When it was noted.
    pub since: Duration,
}

/// The kind of an order: one of each may be running at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Promise,
    Assign,
    Pause,
    CatchUp,
    Configure,
    Grant,
}

impl Kind {
    pub(super) fn of(order: &Order) -> Self {
        match order {
            Order::Promise => Kind::Promise,
            Order::AssignMaster { .. } | Order::AssignReplica { .. } => Kind::Assign,
            Order::Pause { .. } | Order::Resume => Kind::Pause,
            Order::CatchUp { .. } => Kind::CatchUp,
            Order::Configure { .. } => Kind::Configure,
            Order::Grant { .. } => Kind::Grant,
        }
    }
}

#[derive(Debug)]
struct Asked {
    ticket: Ticket,
    epoch: Epoch,
    order: Order,
    state: State,
}

#[derive(Debug)]
enum State {
    Running { until: Duration },
    Answered { at: Duration, facts: Box<NodeFacts> },
    Failed { at: Duration, promised: Option<Epoch> },
}

impl Soft {
    pub(super) fn new(now: Duration, group: &Group) -> Self {
        Self {
            entered: now,
            place: (Epoch::default(), Epoch::default(), None),
            revision: 0,
            proposal: None,
            asked: BTreeMap::new(),
            refused: Epoch::default(),
            role_lost: None,
            mended: BTreeMap::new(),
            target: None,
            lease: Lease::unknown(now, group),
            voting_since: now,
            voting_version: group.voting.config().version,
        }
    }

    /// Looks at what was committed since the last step.
    pub(super) fn notice(&mut self, now: Duration, group: &Group) {
        if self.revision != group.revision {
            self.revision = group.revision;
            self.proposal = None;
            self.asked.retain(|(node, _), _| group.nodes.contains_key(node));
            self.mended.retain(|node, _| group.nodes.contains_key(node));
        }
        let version = group.voting.config().version;
        if self.voting_version != version {
            (self.voting_version, self.voting_since) = (version, now);
        }
        self.lease.notice(now, group);
        let phase = group.failover.as_ref().map(|failover| failover.phase.name());
        let place = (group.epoch, group.claimed, phase);
        if self.place != place {
            self.place = place;
            self.entered = now;
            self.role_lost = None;
            self.target = None;
        }
    }

    /// Was this order given in this epoch, whatever became of it?
    pub(super) fn was_asked(&self, node: &NodeKey, epoch: Epoch, order: &Order) -> bool {
        let asked = self.asked.get(&(node.clone(), Kind::of(order)));
        asked.is_some_and(|asked| asked.epoch == epoch && asked.order == *order)
    }

    /// The node's answer to this order in this epoch.
    pub(super) fn answer(&self, node: &NodeKey, epoch: Epoch, order: &Order) -> Option<(&NodeFacts, Duration)> {
        let asked = self.asked.get(&(node.clone(), Kind::of(order)))?;
        match &asked.state {
            State::Answered { at, facts } if asked.epoch == epoch && asked.order == *order => Some((facts, *at)),
            _ => None,
        }
    }

    /// The higher epoch for which the node refused this order.
    pub(super) fn refusal(&self, node: &NodeKey, epoch: Epoch, order: &Order) -> Option<Epoch> {
        let asked = self.asked.get(&(node.clone(), Kind::of(order)))?;
        match asked.state {
            State::Failed { promised, .. } if asked.epoch == epoch && asked.order == *order => promised,
            _ => None,
        }
    }

    /// Forgets an answer that no longer holds, so that the node is asked again after a pause.
    pub(super) fn discard(&mut self, node: &NodeKey, kind: Kind) {
        if let Some(asked) = self.asked.get_mut(&(node.clone(), kind))
            && let State::Answered { at, .. } = asked.state
        {
            asked.state = State::Failed { at, promised: None };
        }
    }

    /// Whether the order may be given now: not while the same one is running, once it is answered, or just after it failed.
    pub(super) fn may_ask(&self, now: Duration, node: &NodeKey, kind: Kind, epoch: Epoch, order: &Order) -> bool {
        let Some(asked) = self.asked.get(&(node.clone(), kind)) else { return true };
        if asked.epoch != epoch || asked.order != *order {
            return true;
        }
        match asked.state {
            State::Running { until } => now >= until,
            State::Answered { .. } => false,
            State::Failed { at, .. } => now >= at + RETRY,
        }
    }

    /// Notes a running order; the ticket of the one that it replaces, if any.
    #[expect(clippy::too_many_arguments, reason = "one row of the table, written in one place")]
    pub(super) fn asked(
        &mut self,
        now: Duration,
        node: &NodeKey,
        kind: Kind,
        ticket: Ticket,
        epoch: Epoch,
        order: Order,
        within: Duration,
    ) -> Option<Ticket> {
        // An outcome that was lost must not stop the group: past the deadline and a little more, it is asked again.
        let state = State::Running { until: now + within + RETRY };
        self.asked.insert((node.clone(), kind), Asked { ticket, epoch, order, state }).map(|old| old.ticket)
    }

    /// Takes an outcome for what is running.
    pub(super) fn outcome(&mut self, now: Duration, node: NodeKey, kind: Kind, outcome: Outcome) {
        let Some(asked) = self.asked.get_mut(&(node, kind)).filter(|asked| asked.ticket == outcome.ticket) else {
            return;
        };
        asked.state = match outcome.result {
            Ok(facts) => State::Answered { at: now, facts: Box::new(facts) },
            Err(Failure::Refused { promised }) => {
                if promised < MAX_EPOCH {
                    self.refused = self.refused.max(promised);
                }
                State::Failed { at: now, promised: Some(promised) }
            }
            Err(Failure::Unreachable(_) | Failure::Timeout | Failure::Error(_)) => {
                State::Failed { at: now, promised: None }
            }
        };
    }

    /// Reports from before the committed phase say nothing about it.
    pub(super) fn heard_since_entered(&self, heard_at: Duration) -> bool {
        heard_at >= self.entered
    }

    /// Nor do those that were on their way when it was committed: what would start a failover or an event must be newer.
    pub(super) fn settled(&self, heard_at: Duration) -> bool {
        heard_at >= self.entered + SETTLE
    }
}
