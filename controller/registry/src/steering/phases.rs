//! The phases that every failover goes through: promises, promotion, repointing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::choice::{self, Decision, PATIENCE};
use super::handover::Readiness;
use super::soft::Kind;
use super::{Hand, Order};
use crate::command::Command;
use crate::failover::{AbortReason, Cause, End, Failover, Stage};
use crate::faults::{Fault, is_armed};
use crate::names::{Epoch, NodeKey};
use crate::sights::{NodeFacts, Role};

/// A node's promise is one fsync and its promotion one turn of its engine; past this it is asked again.
pub(super) const ORDER_LIMIT: Duration = Duration::from_millis(500);

/// A candidate that is not master after this is given up, and the next failover chooses again.
const PROMOTE_LIMIT: Duration = Duration::from_secs(5);

/// A node of which nobody knows anything is not waited for any longer than this.
const UNKNOWN_LIMIT: Duration = Duration::from_secs(1);

impl Hand<'_> {
    /// Collects promises of the claimed epoch, then chooses (I4). In a handover the old master stops first.
    pub(super) fn collecting(&mut self, failover: &Failover) {
        if failover.cause == Cause::Planned
            && let Readiness::Waiting = self.handed_over(failover)
        {
            return;
        }
        let nodes: Vec<NodeKey> = self.view.group.nodes.keys().cloned().collect();
        for node in &nodes {
            self.ask_promise(failover.epoch, node);
        }
        let group = self.view.group;
        let superseded =
            group.nodes.keys().any(|node| self.soft.refusal(node, failover.epoch, &Order::Promise).is_some());
        let promises: Vec<(&NodeKey, &NodeFacts)> =
            group.nodes.keys().filter_map(|node| Some((node, self.promise(failover.epoch, node)?))).collect();
        let decision = choice::decide(self.view, failover, &promises, self.elapsed());
        let (group, epoch) = (self.view.name.clone(), failover.epoch);
        match decision {
            Decision::Choose(candidate, ground) => self.propose(Command::Chosen { group, epoch, candidate, ground }),
            _ if superseded && self.elapsed() > PATIENCE => {
                self.propose(Command::FailoverAbort { group, epoch, reason: AbortReason::Superseded });
            }
            Decision::Nobody => {
                self.propose(Command::FailoverAbort { group, epoch, reason: AbortReason::NoGoodReplica });
            }
            Decision::Wait => {}
        }
    }

    /// Asks for the promise, and again when the answer no longer holds: the node was loading, or restarted since.
    fn ask_promise(&mut self, epoch: Epoch, node: &NodeKey) {
        if let Some((said, at)) = self.soft.answer(node, epoch, &Order::Promise) {
            let restarted = self.view.facts(node).is_some_and(|(now, heard)| heard > at && now.run_id != said.run_id);
            if restarted || said.loading {
                self.soft.discard(node, Kind::Promise);
            }
        }
        self.order(node, epoch, Order::Promise, ORDER_LIMIT);
    }

    /// The node's report when it promised. A stock node cannot promise; its description stands for it.
    pub(super) fn promise(&self, epoch: Epoch, node: &NodeKey) -> Option<&NodeFacts> {
        if is_armed(Fault::I4Promises) {
            return self.view.facts(node).map(|(facts, _)| facts);
        }
        let (facts, _) = self.soft.answer(node, epoch, &Order::Promise)?;
        (facts.stock() || facts.promised >= epoch).then_some(facts)
    }

    /// Tells the chosen node that it is master, until it says so.
    pub(super) fn promoting(&mut self, failover: &Failover, candidate: &NodeKey) {
        let epoch = failover.epoch;
        if !self.lease_is_over(failover, candidate) {
            return; // I8: the old master may still answer alone
        }
        let order = Order::AssignMaster { lease: Duration::from_millis(self.view.group.settings.lease_ms()) };
        let accepted = self.soft.answer(candidate, epoch, &order).map(|(facts, _)| facts.role);
        if accepted == Some(Role::Master) {
            return self.propose(Command::Promoted { group: self.view.name.clone(), epoch });
        }
        if accepted.is_some() {
            self.soft.discard(candidate, Kind::Assign); // a stock node that is still on its way
        }
        let superseded = self.soft.refusal(candidate, epoch, &order).is_some();
        let lost = self.view.is_objectively_down(candidate) || self.elapsed() > PROMOTE_LIMIT;
        if superseded || lost {
            let reason = if superseded { AbortReason::Superseded } else { AbortReason::CandidateTimeout };
            return self.propose(Command::FailoverAbort { group: self.view.name.clone(), epoch, reason });
        }
        self.order(candidate, epoch, order, ORDER_LIMIT);
    }

    /// Points the other nodes at the new master, the old one first, `parallel-syncs` at a time.
    pub(super) fn reconfiguring(&mut self, failover: &Failover, stages: &BTreeMap<NodeKey, Stage>) {
        self.renew_lease();
        self.repoint_all(failover, stages);
        self.tend_voters();
    }

    fn repoint_all(&mut self, failover: &Failover, stages: &BTreeMap<NodeKey, Stage>) {
        let group = self.view.group;
        let epoch = failover.epoch;
        if let Some(end) = self.reconfiguring_is_over() {
            return self.propose(Command::FailoverEnd { group: self.view.name.clone(), epoch, end });
        }
        let mut nodes: Vec<&NodeKey> = group.replicas().map(|(node, _)| node).collect();
        nodes.sort_by_key(|node| **node != failover.from);
        let mut syncing =
            nodes.iter().filter(|node| stages.get(**node) == Some(&Stage::Sent) && !self.view.is_down(node)).count();
        // A `quorum` master serves nothing before as many follow as writes need: those are no burden to be spread.
        let needed = group.voting.parts().map(|part| part.copies.saturating_sub(1)).max().unwrap_or_default();
        let at_once = group.settings.parallel_syncs.max(needed) as usize;
        let mut unsettled = false;
        for node in nodes {
            if stages.get(node) == Some(&Stage::Done) || self.view.is_down(node) {
                continue;
            }
            let unknown = self.view.facts(node).is_none();
            unsettled |= !unknown || self.elapsed() < UNKNOWN_LIMIT;
            let sent = stages.contains_key(node);
            if !sent && node != &failover.from && syncing >= at_once {
                continue;
            }
            syncing += usize::from(!sent);
            self.repoint(epoch, node, sent);
        }
        if !unsettled {
            self.propose(Command::FailoverEnd { group: self.view.name.clone(), epoch, end: End::Complete });
        }
    }

    fn reconfiguring_is_over(&self) -> Option<End> {
        let master = &self.view.group.master;
        let fenced = self
            .view
            .facts(master)
            .is_some_and(|(facts, heard_at)| facts.role == Role::Fenced && self.soft.heard_since_entered(heard_at));
        if self.view.is_objectively_down(master) || fenced {
            return Some(End::Interrupted);
        }
        (self.elapsed() > self.view.group.settings.failover_timeout()).then_some(End::TimedOut)
    }

    /// Tells one replica of the new master, and notes when it follows.
    fn repoint(&mut self, epoch: Epoch, node: &NodeKey, sent: bool) {
        let master = self.view.group.master.clone();
        let order = Order::AssignReplica { master: master.clone() };
        let follows = |facts: &NodeFacts| facts.role == Role::Replica && facts.master.as_ref() == Some(&master);
        let in_epoch = |facts: &NodeFacts| facts.stock() || facts.epoch >= epoch;
        let seen = self.view.facts(node).map(|(facts, _)| facts);
        let told = self.soft.answer(node, epoch, &order).map(|(facts, _)| facts);
        let synced = [seen, told].into_iter().flatten().any(|f| follows(f) && in_epoch(f) && f.link_up);
        let stage = match (synced, sent, told) {
            (true, _, _) => Some(Stage::Done),
            (false, false, Some(_)) => Some(Stage::Sent),
            _ => None,
        };
        if let Some(stage) = stage {
            let (group, node) = (self.view.name.clone(), node.clone());
            return self.propose(Command::Reconfigured { group, epoch, node, stage });
        }
        if let Some((facts, heard_at)) = self.view.facts(node)
            && !follows(facts)
        {
            self.ask_again_if_newer(node, epoch, &order, heard_at); // it restarted since
        }
        // Told by a leader before this one, or lost on the way: it is asked again, which changes nothing if it knows.
        self.order(node, epoch, order, ORDER_LIMIT);
    }
}
