//! While no failover runs: is there cause for one, who is new, and who is not what the record says?

use std::time::Duration;

use super::choice::{self, floor, prospects};
use super::phases::ORDER_LIMIT;
use super::soft::Kind;
use super::{Hand, Order};
use crate::apply::MAX_EPOCH;
use crate::command::{Command, Fault};
use crate::failover::Cause;
use crate::model::{Identity, MAX_NODES};
use crate::names::{Epoch, NodeKey};
use crate::sights::{NodeFacts, Role};

/// A master that says that it is a replica has this long, beyond down-after, to say otherwise. Source: Redis Sentinel,
/// two of its INFO periods while a node is in doubt.
const ROLE_GRACE: Duration = Duration::from_secs(2);

/// The wait before the next try doubles from here to [`RETRY_LIMIT`] with every failover that was aborted.
const RETRY_BASE: Duration = Duration::from_millis(100);
const RETRY_LIMIT: Duration = Duration::from_secs(10);

/// Between two tries to hand on what a barred node leads meanwhile: clients are answered in between.
const HAND_ON_AFTER: Duration = Duration::from_secs(1);

impl Hand<'_> {
    /// One look at a group without a failover.
    pub(super) fn quiet(&mut self) {
        self.renew_lease();
        if let Some(cause) = self.cause() {
            return self.begin(cause);
        }
        self.master_health();
        self.discover();
        if self.master_is_established() {
            self.end_forgotten_pause();
            self.repair();
            self.hand_on();
            self.tend_voters();
        }
    }

    /// Why a failover should begin now, if it should.
    fn cause(&mut self) -> Option<Cause> {
        let view = self.view;
        let master = &view.group.master;
        let verdict = view.sights.verdict(view.now, view.name, master);
        if verdict.is_down(view.group.settings.quorum) {
            if view.is_cut_off_alive() {
                return None;
            }
            return self.can_replace_master().then_some(Cause::Down { votes: verdict.down });
        }
        let (facts, heard_at) = view.facts(master)?;
        if !self.soft.heard_since_entered(heard_at) {
            return None;
        }
        if !facts.stock() && view.group.epoch == Epoch::default() {
            return Some(Cause::Founding);
        }
        if !self.soft.settled(heard_at) {
            return None;
        }
        if facts.role == Role::Fenced || self.has_lost_its_role(facts) {
            return Some(Cause::Restarted);
        }
        self.is_barred().then_some(Cause::Barred)
    }

    /// Someone could be chosen, by as many as are needed.
    fn can_replace_master(&self) -> bool {
        prospects(self.view).next().is_some() && choice::voters_suffice(self.view)
    }

    /// The master has been saying for a while that it is a replica: somebody told it so behind our back. A stock node that
    /// never had an epoch is left alone: the operator may have named a replica by mistake.
    fn has_lost_its_role(&mut self, facts: &NodeFacts) -> bool {
        let ours_to_mend = !facts.stock() || self.view.group.epoch > Epoch::default();
        if facts.role != Role::Replica || !ours_to_mend {
            self.soft.role_lost = None;
            return false;
        }
        let since = *self.soft.role_lost.get_or_insert(self.view.now);
        self.view.now.saturating_sub(since) > self.view.group.settings.down_after() + ROLE_GRACE
    }

    /// Some node promised an epoch above the published one and would refuse the master's stream for ever.
    fn is_barred(&self) -> bool {
        let view = self.view;
        view.group.nodes.keys().filter(|node| !view.is_down(node)).any(|node| {
            view.facts(node).is_some_and(|(facts, heard_at)| {
                let above = facts.promised > view.group.epoch && facts.promised < MAX_EPOCH;
                !facts.stock() && above && self.soft.settled(heard_at)
            })
        })
    }

    fn begin(&mut self, cause: Cause) {
        let group = self.view.group;
        let doublings = group.aborted.saturating_sub(1).min(16);
        let wait = if group.aborted == 0 { Duration::ZERO } else { RETRY_LIMIT.min(RETRY_BASE * (1 << doublings)) };
        if self.elapsed() < wait {
            return;
        }
        let floor = floor(self.view).max(self.soft.refused);
        let (group, expected) = (self.view.name.clone(), group.epoch);
        self.propose(Command::FailoverBegin { group, expected, floor, cause, wanted: None });
    }

    /// Publishes that the master is down when nothing else can be done, and that it is not any more.
    fn master_health(&mut self) {
        let (view, group) = (self.view, self.view.group);
        let verdict = view.sights.verdict(view.now, view.name, &group.master);
        let down = verdict.is_down(group.settings.quorum);
        if down && group.down_since.is_none() {
            self.propose(Command::MasterDown { group: view.name.clone(), epoch: group.epoch, votes: verdict.down });
        } else if !down && verdict.alive > 0 && group.down_since.is_some() {
            self.propose(Command::MasterUp { group: view.name.clone(), epoch: group.epoch });
        }
    }

    /// Records who the nodes are, and the replicas that the master lists. One at a time (I9).
    fn discover(&mut self) {
        let (view, group) = (self.view, self.view.group);
        for (node, record) in &group.nodes {
            let Some((facts, heard_at)) = view.facts(node) else { continue };
            let identity = identity(facts);
            // A report from before the last change may still be of the process before this one.
            let newer = record.identity.is_none() || self.soft.settled(heard_at);
            if newer && record.identity.as_ref() != Some(&identity) {
                let (group, node) = (view.name.clone(), node.clone());
                return self.propose(Command::NodeSeen { group, node, identity: Some(identity) });
            }
        }
        let Some((facts, _)) = view.facts(&group.master) else { return };
        if facts.role != Role::Master || !self.in_epoch(facts) || group.nodes.len() >= MAX_NODES {
            return;
        }
        let stranger = |node: &&NodeKey| !group.nodes.contains_key(*node) && !group.removed.contains(*node);
        if let Some(node) = facts.replicas.iter().find(stranger) {
            let (group, node) = (view.name.clone(), node.clone());
            self.propose(Command::NodeSeen { group, node, identity: None });
        }
    }

    fn in_epoch(&self, facts: &NodeFacts) -> bool {
        facts.stock() || facts.epoch == self.view.group.epoch
    }

    /// The published master serves as such: only then may anyone be pointed at it (I10).
    fn master_is_established(&self) -> bool {
        let master = &self.view.group.master;
        let serves = |facts: &NodeFacts| facts.role == Role::Master && self.in_epoch(facts) && !facts.loading;
        !self.view.is_down(master) && self.view.facts(master).is_some_and(|(facts, _)| serves(facts))
    }

    /// A barred node leads until another has caught up, by a handover as the operator's: nothing is lost in it.
    fn hand_on(&mut self) {
        let (view, group) = (self.view, self.view.group);
        let barred = view.facts(&group.master).is_some_and(|(facts, _)| facts.priority == 0)
            || group.nodes.get(&group.master).is_some_and(|record| record.barred());
        if group.interim != Some(group.epoch) || !barred || self.elapsed() < HAND_ON_AFTER {
            return;
        }
        let follows = |facts: &NodeFacts| facts.epoch == group.epoch && facts.link_up;
        let Some(wanted) = choice::successor(prospects(view).filter(|(_, facts)| follows(facts))).cloned() else {
            return;
        };
        let (group, expected, floor) = (view.name.clone(), group.epoch, floor(view));
        self.propose(Command::FailoverBegin { group, expected, floor, cause: Cause::Planned, wanted: Some(wanted) });
    }

    /// A leader that vanished in a handover may have left the master paused.
    fn end_forgotten_pause(&mut self) {
        let (master, epoch) = (&self.view.group.master, self.view.group.epoch);
        let Some((facts, heard_at)) = self.view.facts(master) else { return };
        if !facts.paused || !self.soft.heard_since_entered(heard_at) {
            return;
        }
        self.ask_again_if_newer(master, epoch, &Order::Resume, heard_at);
        self.order(master, epoch, Order::Resume, ORDER_LIMIT);
    }

    /// Tells every node that is not what the record says what it is.
    fn repair(&mut self) {
        let group = self.view.group;
        let order = Order::AssignReplica { master: group.master.clone() };
        for (node, _) in group.replicas() {
            let Some((facts, heard_at)) = self.view.facts(node) else { continue };
            if self.soft.answer(node, group.epoch, &order).is_some()
                && let Some(fault) = self.soft.mended.remove(node)
            {
                let (group, epoch, node) = (self.view.name.clone(), group.epoch, node.clone());
                self.propose(Command::Repaired { group, epoch, node, fault });
                continue;
            }
            if self.view.is_down(node) || !self.soft.settled(heard_at) {
                continue;
            }
            let fault = match facts.role {
                Role::Master => Some(Fault::RogueMaster),
                Role::Replica if facts.master.as_ref() != Some(&group.master) => Some(Fault::WrongMaster),
                Role::Replica if self.in_epoch(facts) => {
                    self.tell_of_config(node, facts, heard_at);
                    continue;
                }
                Role::Replica | Role::Fenced => None,
            };
            self.ask_again_if_newer(node, group.epoch, &order, heard_at);
            if let Some(fault) = fault
                && self.soft.answer(node, group.epoch, &order).is_none()
            {
                self.soft.mended.insert(node.clone(), fault);
            }
            self.order(node, group.epoch, order.clone(), ORDER_LIMIT);
        }
    }

    /// What the node says now is newer than its answer to this order: the order did not last, so it is given again.
    pub(super) fn ask_again_if_newer(&mut self, node: &NodeKey, epoch: Epoch, order: &Order, heard_at: Duration) {
        if self.soft.answer(node, epoch, order).is_some_and(|(_, at)| heard_at > at + choice::PATIENCE) {
            self.soft.discard(node, Kind::of(order));
        }
    }
}

/// The lasting part of what a node says.
fn identity(facts: &NodeFacts) -> Identity {
    Identity {
        run_id: facts.run_id.clone(),
        node_id: facts.node_id.clone(),
        agent_port: facts.agent_port,
        priority: facts.priority,
    }
}
