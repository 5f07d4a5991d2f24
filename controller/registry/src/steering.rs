//! What the Raft leader does about what it sees: proposals and effects, derived from the committed phase and the reports.
//!
//! All state here is soft. A new leader starts with an empty [`Steering`] and derives the same effects from the committed
//! phase; effects are idempotent and carry the epoch, so one that ran twice did no more than once.

//!
//! Per group and step: [`quiet`] looks for something to do when no failover runs, [`handover`] and [`phases`] drive one that
//! does, [`choice`] picks the master, [`lease`] keeps the old one's time, [`voters`] changes who counts, [`soft`] remembers what was asked of whom.

mod choice;
mod handover;
mod lease;
mod phases;
mod quiet;
mod request;
mod soft;
mod voters;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::command::Command;
use crate::failover::Phase;
use crate::faults::{Fault, is_armed};
use crate::model::{Group, Registry};
use crate::names::{Epoch, GroupName, NodeKey, Offset};
use crate::sights::{NodeFacts, Sights};
use crate::voting::VotingConfig;

pub use request::{Manner, request_failover, request_settings};
use soft::Soft;

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
    /// The copies that a write needs, as committed when the order was given: goes with every assignment.
    pub config: VotingConfig,
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
    AssignMaster {
        /// An `async` one that hears of no grant takes writes for so long (I13).
        lease: Duration,
    },
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
    /// Adopt the effect's config: to the master, within its epoch (I9).
    Configure {
        /// The config's version.
        version: u64,
    },
    /// Answer alone for this long since that heartbeat was sent (I7, I8).
    Grant {
        /// The heartbeat's number.
        renewal: u64,
        /// For how long.
        lease: Duration,
    },
    /// Wait until the node holds an offset; the outcome says where it stands either way.
    CatchUp {
        /// The history that the offset counts in.
        replid: String,
        /// How far.
        offset: Offset,
    },
}

impl Order {
    /// Must not leave before a majority confirmed the leader, in a round that began after the order was given: a leader of
    /// the past could else grant a lease that its successor knows nothing of (I8).
    pub fn is_confirmed(&self) -> bool {
        matches!(self, Order::Grant { .. }) && !is_armed(Fault::I8Unconfirmed)
    }
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
pub struct Steering {
    groups: BTreeMap<GroupName, Soft>,
    tickets: Tickets,
}

/// Gives out tickets, and knows whose they are until their outcome comes or they are given up.
#[derive(Debug, Default)]
struct Tickets {
    last: u64,
    open: BTreeMap<Ticket, (GroupName, NodeKey, soft::Kind)>,
}

impl Steering {
    /// What to do now. Called after every applied entry, report and outcome, and on a tick of at most 100 ms. `now` is
    /// monotonic, since the process started.
    pub fn step(&mut self, now: Duration, registry: &Registry, sights: &Sights) -> Vec<Action> {
        self.groups.retain(|name, _| registry.groups.contains_key(name));
        self.tickets.open.retain(|_, (name, ..)| registry.groups.contains_key(name));
        let mut actions = Vec::new();
        for (name, group) in &registry.groups {
            let soft = self.groups.entry(name.clone()).or_insert_with(|| Soft::new(now, group));
            soft.notice(now, group);
            let view = View { now, name, group, sights };
            let mut hand = Hand { view, soft, tickets: &mut self.tickets, actions: &mut actions };
            match &group.failover {
                None => hand.quiet(),
                Some(failover) => match &failover.phase {
                    Phase::CatchingUp { candidate } => hand.catching_up(failover, candidate),
                    Phase::Collecting => hand.collecting(failover),
                    Phase::Promoting { candidate } => hand.promoting(failover, candidate),
                    Phase::Reconfiguring { stages } => hand.reconfiguring(failover, stages),
                },
            }
        }
        actions
    }

    /// Takes the outcome of an effect; one that is unknown (an earlier leader's, a duplicate) changes nothing.
    pub fn outcome(&mut self, now: Duration, outcome: Outcome) {
        let Some((name, node, kind)) = self.tickets.open.remove(&outcome.ticket) else { return };
        if let Some(soft) = self.groups.get_mut(&name) {
            soft.outcome(now, node, kind, outcome);
        }
    }

    /// A proposal for this group was dropped or refused: it may be proposed again at once.
    pub fn proposal_failed(&mut self, group: &GroupName) {
        if let Some(soft) = self.groups.get_mut(group) {
            soft.proposal = None;
        }
    }
}

/// One group as the leader sees it now.
#[derive(Clone, Copy)]
struct View<'a> {
    now: Duration,
    name: &'a GroupName,
    group: &'a Group,
    sights: &'a Sights,
}

impl<'a> View<'a> {
    /// What the node last said, and when.
    fn facts(&self, node: &NodeKey) -> Option<(&'a NodeFacts, Duration)> {
        let (facts, age) = self.sights.facts(self.now, self.name, node)?;
        Some((facts, self.now.saturating_sub(age)))
    }

    /// `quorum` sentinels hold the node for down.
    fn is_objectively_down(&self, node: &NodeKey) -> bool {
        self.sights.verdict(self.now, self.name, node).is_down(self.group.settings.quorum)
    }

    /// Not worth waiting for: by quorum for the master, by most reporters for a replica.
    fn is_down(&self, node: &NodeKey) -> bool {
        self.is_objectively_down(node) || self.sights.verdict(self.now, self.name, node).is_mostly_down()
    }

    /// How the node takes orders; `None` until it has answered anyone, ever.
    fn reach(&self, node: &NodeKey) -> Option<Reach> {
        let said = self.facts(node).map(|(facts, _)| facts.agent_port);
        let recorded = || self.group.nodes.get(node)?.identity.as_ref().map(|identity| identity.agent_port);
        Some(match said.or_else(recorded)? {
            0 => Reach::Stock,
            port => Reach::Agent(port),
        })
    }
}

/// The leader's hand on one group during one step.
struct Hand<'a> {
    view: View<'a>,
    soft: &'a mut Soft,
    tickets: &'a mut Tickets,
    actions: &'a mut Vec<Action>,
}

/// A proposal that was not applied after this is proposed again; a commit takes a few milliseconds (reference/measured.md).
const PROPOSE_AGAIN: Duration = Duration::from_millis(300);

impl Hand<'_> {
    /// Proposes, unless a proposal for this group is still on its way: what follows depends on it.
    fn propose(&mut self, command: Command) {
        let now = self.view.now;
        if self.soft.proposal.is_some_and(|at| now < at + PROPOSE_AGAIN) {
            return;
        }
        self.soft.proposal = Some(now);
        self.actions.push(Action::Propose(command));
    }

    /// Gives an order, unless the same one is running, was carried out, or failed a moment ago.
    fn order(&mut self, node: &NodeKey, epoch: Epoch, order: Order, within: Duration) {
        let view = self.view;
        let Some(reach) = view.reach(node) else { return };
        let kind = soft::Kind::of(&order);
        if !self.soft.may_ask(view.now, node, kind, epoch, &order) {
            return;
        }
        self.tickets.last += 1;
        let ticket = Ticket(self.tickets.last);
        if let Some(old) = self.soft.asked(view.now, node, kind, ticket, epoch, order.clone(), within) {
            self.tickets.open.remove(&old);
        }
        self.tickets.open.insert(ticket, (view.name.clone(), node.clone(), kind));
        let (group, config) = (view.name.clone(), view.group.voting.config().clone());
        let effect = Effect { group, node: node.clone(), reach, epoch, order, config, within };
        self.actions.push(Action::Run(ticket, effect));
    }

    /// For how long the committed phase has been this one, as far as this leader knows.
    fn elapsed(&self) -> Duration {
        self.view.now.saturating_sub(self.soft.entered)
    }
}
