//! Who votes (I9, I10): learners that have caught up are let in, removed and replaced nodes let out, terms brought in line
//! with the settings; one step at a time, each settled by the master before the next.
//!
//! A node becomes a voter once it is ours, keeps leases, vouches for its data, follows the master in the epoch with its link up, and lacks
//! little. It stays one while it is down: only the operator removes a vote, or a node with another id at its address.

use std::time::Duration;

use super::phases::ORDER_LIMIT;
use super::soft::Kind;
use super::{Hand, Order};
use crate::command::Command;
use crate::faults::{Fault, is_armed};
use crate::model::{Membership, NodeRecord};
use crate::names::{NodeId, NodeKey};
use crate::settings::{Ack, Durability};
use crate::sights::{NodeFacts, Role};
use crate::voting::{Change, PARTS_MOST, Voting, VotingConfig};

/// A learner that lacks no more than this has caught up: a few milliseconds of a fast link, and less than the backlog.
const LAG_MOST: u64 = 1 << 20;

/// A change that cannot be settled, since a voter went away meanwhile, is turned back or superseded after this.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);

impl Hand<'_> {
    /// The next step towards the voters that there should be.
    pub(super) fn tend_voters(&mut self) {
        let (view, group) = (self.view, self.view.group);
        let Some((facts, heard_at)) = view.facts(&group.master) else { return };
        let serves = facts.role == Role::Master && facts.epoch == group.epoch && !facts.stock();
        if !serves || view.is_down(&group.master) {
            return;
        }
        let version = group.voting.config().version;
        let order = Order::Configure { version };
        let adopted = |facts: &NodeFacts| facts.epoch == group.epoch && facts.config_version >= version;
        let answered = self.soft.answer(&group.master, group.epoch, &order).is_some_and(|(facts, _)| adopted(facts));
        if !adopted(facts) && !answered {
            self.ask_again_if_newer(&group.master, group.epoch, &order, heard_at);
            self.order(&group.master, group.epoch, order, ORDER_LIMIT);
        }
        let (name, epoch) = (view.name.clone(), group.epoch);
        match &group.voting {
            Voting::Joint { .. } if adopted(facts) || answered => {
                self.propose(Command::VotersSettled { group: name, epoch, version });
            }
            Voting::Joint { config, previous } => {
                if let Some(way) = self.way_out(config, previous, facts) {
                    self.propose(way);
                }
            }
            Voting::Settled(_) => {
                if let Some(change) = self.next_change(facts) {
                    self.propose(Command::VotersChanged { group: name, epoch, change, supersedes: None });
                } else if let Some(node) = self.leaver() {
                    self.propose(Command::NodeForgotten { group: name, node });
                }
            }
        }
    }

    /// Out of a change that cannot be what is wanted any more: the operator changed his mind, who was let in went away, or too few of those that it
    /// needs are there. Back to a former config that can be settled; or, when there is none, one step further (I9: all of them bind until then).
    fn way_out(&self, config: &VotingConfig, previous: &[VotingConfig], master: &NodeFacts) -> Option<Command> {
        let (view, epoch, version) = (self.view, self.view.group.epoch, config.version);
        let back = |part: &VotingConfig| {
            let (group, to) = (view.name.clone(), Some(part.version));
            Command::VotersTurnedBack { group, epoch, version, to }
        };
        let mut attainable = previous.iter().filter(|part| self.is_attainable(part));
        let wanted = view.group.settings.durability;
        if config.durability != wanted
            && let Some(part) = attainable.clone().find(|part| part.durability == wanted)
        {
            return Some(back(part));
        }
        let lost = |id: &NodeId| {
            let is_new = !previous.iter().any(|part| part.voters.contains(id));
            is_new && self.holder(id).is_none_or(|(node, _)| view.is_down(node))
        };
        let is_hopeless = !self.is_attainable(config) || config.voters.iter().any(lost);
        if !is_hopeless || view.now <= self.soft.voting_since + SETTLE_LIMIT {
            return None;
        }
        if let Some(part) = attainable.next() {
            return Some(back(part));
        }
        let change = self.next_change(master)?;
        Some(Command::VotersChanged { group: view.name.clone(), epoch, change, supersedes: Some(version) })
    }

    /// The node of this name.
    fn holder(&self, id: &NodeId) -> Option<(&NodeKey, &NodeRecord)> {
        self.view.group.nodes.iter().find(|(_, record)| record.id().as_ref() == Some(id))
    }

    /// The first step that is wanted and that could be settled: writes would else wait for nodes that are not there. When they do already, one of
    /// several that lead out of that together.
    fn next_change(&self, master: &NodeFacts) -> Option<Change> {
        let group = self.view.group;
        let config = group.voting.config();
        let known = self.known();
        let learners = group.nodes.keys().filter(|_| known.is_some());
        let joins = learners.filter_map(|node| self.caught_up_learner(node, master)).map(Change::Join);
        let leaves = |id: &&NodeId| self.holder(id).is_none_or(|(_, record)| record.membership == Membership::Leaves);
        let leavers = config.voters.iter().filter(leaves).cloned().map(Change::Leave);
        let steps: Vec<Change> = joins.chain(leavers).collect();
        let possible = |change: &&Change| {
            let next = config.changed(change, &group.settings, known);
            next.is_ok_and(|next| next.binds_as(config) || (self.is_attainable(&next) && self.is_acknowledged(&next)))
        };
        let first = steps.iter().chain(&[Change::Terms]).find(possible).cloned();
        first.or_else(|| self.first_of_several(config, steps))
    }

    /// How many nodes there are; `None` when one of them can never vote.
    fn known(&self) -> Option<usize> {
        let group = self.view.group;
        (!group.stock()).then_some(group.nodes.len())
    }

    /// None of these steps can be settled, and neither can the config as it is; but after some of them one can. Still one voter at a time, and what lies
    /// between binds and is passed over (I9).
    fn first_of_several(&self, config: &VotingConfig, steps: Vec<Change>) -> Option<Change> {
        let known = self.known();
        if self.is_attainable(config) || steps.len() + self.view.group.voting.parts().count() > PARTS_MOST {
            return None;
        }
        let mut reached = config.clone();
        for step in &steps {
            reached = reached.changed(step, &self.view.group.settings, known).ok()?;
            if self.is_attainable(&reached) {
                return steps.into_iter().next();
            }
        }
        None
    }

    /// So many of its voters are there that it can be settled, and writes go on under it. A node that came back under another name, which
    /// may not be committed yet, is not the voter that it was.
    fn is_attainable(&self, config: &VotingConfig) -> bool {
        let is_there = |id: &&NodeId| {
            let facts = self
                .holder(id)
                .filter(|(node, _)| !self.view.is_down(node))
                .and_then(|(node, _)| self.view.facts(node));
            facts.is_some_and(|(facts, _)| facts.id().as_ref() == Some(*id) && can_acknowledge(facts, config.ack))
        };
        config.voters.iter().filter(is_there).count() >= config.copies as usize
            || config.durability == Durability::Async
    }

    /// Every voter of it can acknowledge as it asks, if the one before did not ask for that: one that cannot would never count toward W.
    fn is_acknowledged(&self, next: &VotingConfig) -> bool {
        // Nobody has the name of one that is lost: it acknowledges nothing any more, under whatever terms.
        let able = |id: &NodeId| {
            self.holder(id).is_none_or(|(node, _)| {
                self.view.facts(node).is_some_and(|(facts, _)| can_acknowledge(facts, next.ack))
            })
        };
        let is_news = self.view.group.voting.config().ack != next.ack;
        !is_news || next.durability == Durability::Async || next.voters.iter().all(able)
    }

    /// The name of a node that may vote and does not yet.
    fn caught_up_learner(&self, node: &NodeKey, master: &NodeFacts) -> Option<NodeId> {
        let group = self.view.group;
        let (facts, heard_at) = self.view.facts(node)?;
        let record = &group.nodes[node];
        let votes = |id: &NodeId| group.voting.config().voters.contains(id);
        let id = facts.id().filter(|id| record.id().as_ref() == Some(id) && !votes(id))?;
        let fresh = !self.view.is_down(node) && self.soft.heard_since_entered(heard_at);
        let sound = (facts.data_known || is_armed(Fault::I10Count)) && !facts.loading && facts.epoch == group.epoch;
        let follows = facts.role == Role::Replica && facts.master.as_ref() == Some(&group.master) && facts.link_up;
        let close = facts.replid == master.replid && facts.offset.0.saturating_add(LAG_MOST) >= master.offset.0;
        let leads = *node == group.master && facts.role == Role::Master;
        let stays = record.membership == Membership::Stays;
        let able = facts.renewal != 0; // a version without leases withholds nothing, and could not settle what it is told
        (able && fresh && sound && stays && (leads || (follows && close))).then_some(id)
    }

    /// A removed node that gave up its vote.
    fn leaver(&self) -> Option<NodeKey> {
        let group = self.view.group;
        let voteless = |record: &NodeRecord| record.id().is_none_or(|id| !group.voting.knows(&id));
        let leaves = |record: &NodeRecord| record.membership == Membership::Leaves && voteless(record);
        group.replicas().find(|(_, record)| leaves(record)).map(|(node, _)| node.clone())
    }

    /// A replica must know how to acknowledge; it is told again when the config changed since.
    pub(super) fn tell_of_config(&mut self, node: &NodeKey, facts: &NodeFacts, heard_at: Duration) {
        let group = self.view.group;
        let config = group.voting.config();
        let matters = facts.config_version > 0 || config.ack == Ack::Fsync;
        if facts.stock() || !matters || facts.config_version >= config.version {
            return;
        }
        let order = Order::AssignReplica { master: group.master.clone() };
        if self.soft.answer(node, group.epoch, &order).is_none_or(|(_, at)| heard_at > at) {
            self.soft.discard(node, Kind::of(&order));
            self.order(node, group.epoch, order, ORDER_LIMIT);
        }
    }
}

/// The node can acknowledge so.
fn can_acknowledge(facts: &NodeFacts, ack: Ack) -> bool {
    ack == Ack::Receipt || facts.fsync_acks
}
