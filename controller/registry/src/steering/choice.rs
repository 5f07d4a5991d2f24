//! Who becomes master (I4): of those who promised, the greatest (epoch of data, offset). Everything else breaks ties.
//!
//! Who may be chosen: a voter; a learner holds what it was sent, and nobody waited for it. How many voters must have promised
//! (R), each with data that it vouches for (I10):
//! - `quorum`: |V| − W + 1, so that every acknowledged write is held by one of them.
//! - `async`: every one that can be reached, at least one. Two nodes must fail over when one dies, as in Redis.
//! - while the voters change: as many as both configs ask for (I9).
//!
//! When a node that is barred holds more than all that may lead, it leads until one of those has caught up: nothing else could, and lose nothing.
//!
//! When the operator accepts that acknowledged writes are lost, since so many voters are lost for good: the greatest of all that answer, with a vote or
//! without, once every node that is not down has promised. A choice by promises comes first even then.
//!
//! A group without voters (a new one, or one of stock nodes) takes anyone with data. An `async` config whose voters all promised that they hold
//! nothing any more binds nobody: a learner's data may then be the best there is. Without any data at all, the configured master is taken as it is, when nobody
//! else can hold any: all known nodes have said so, or, in a group that never had an epoch, a majority has within the grace.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use super::View;
use crate::command::Ground;
use crate::failover::{Cause, Failover};
use crate::faults::{Fault, is_armed};
use crate::names::{Epoch, NodeId, NodeKey, Offset};
use crate::sights::NodeFacts;

/// How long promises of reachable nodes are waited for, once enough have come. A promise takes an fsync (a few
/// milliseconds); a node that needs more than this is too busy to be waited for.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);

/// In a handover the candidate fetches what it still lacks meanwhile; past this the old master stays.
const HANDOVER_PATIENCE: Duration = Duration::from_millis(1500);

/// After a restart every node that was known may be about to come up with newer data than those that are up (I11).
pub(super) const RESTART_GRACE: Duration = Duration::from_secs(3);

/// Collecting is given up after this. Source: Redis Sentinel's election timeout.
pub(super) const COLLECT_LIMIT: Duration = Duration::from_secs(10);

/// What the promises allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Not yet.
    Wait,
    /// This node.
    Choose(NodeKey, Ground),
    /// Nobody, and it is time to say so.
    Nobody,
}

/// A node that promised, with its report of that moment.
pub(super) type Promise<'a> = (&'a NodeKey, &'a NodeFacts);

/// Decides from the promises that came within `elapsed`.
pub(super) fn decide(view: View<'_>, failover: &Failover, promises: &[Promise<'_>], elapsed: Duration) -> Decision {
    let round = Round { view, failover, promises };
    if let Some(node) = round.early() {
        return Decision::Choose(node.clone(), Ground::Promises);
    }
    let patience = match failover.cause {
        Cause::Founding | Cause::Restarted | Cause::LossAccepted => RESTART_GRACE,
        Cause::Planned => HANDOVER_PATIENCE,
        Cause::Down { .. } | Cause::Forced | Cause::Barred => PATIENCE,
    };
    if round.awaits_someone() && elapsed < patience {
        return Decision::Wait;
    }
    if let Some(node) = round.best().or_else(|| round.heir()) {
        return Decision::Choose(node.clone(), Ground::Promises);
    }
    if let Some(node) = round.interim() {
        return Decision::Choose(node.clone(), Ground::Interim);
    }
    if let Some(node) = round.whoever_is_left() {
        return Decision::Choose(node.clone(), Ground::LossAccepted);
    }
    if let Some(node) = round.blank(elapsed) {
        return Decision::Choose(node.clone(), Ground::Blank);
    }
    let loading = promises.iter().any(|(_, facts)| facts.loading);
    if elapsed < COLLECT_LIMIT || loading { Decision::Wait } else { Decision::Nobody }
}

/// A node's data, as it is compared. Stock nodes know no epochs, so a group with one compares offsets alone.
fn data(facts: &NodeFacts, stock: bool) -> (Epoch, Offset) {
    (if stock { Epoch::default() } else { facts.data_epoch }, facts.offset)
}

struct Round<'a> {
    view: View<'a>,
    failover: &'a Failover,
    promises: &'a [Promise<'a>],
}

impl<'a> Round<'a> {
    fn stock(&self) -> bool {
        let stock = self.view.group.stock() || self.promises.iter().any(|(_, facts)| facts.stock());
        stock && self.view.group.voting.is_open()
    }

    /// Acknowledged writes may be held by W voters and no more.
    fn withholds(&self) -> bool {
        self.view.group.voting.withholds()
    }

    /// R, of those among `promises` that hold data (I4, I10).
    fn suffice<'p>(&self, promises: impl IntoIterator<Item = &'p Promise<'p>>) -> bool {
        suffice(self.view, promises.into_iter().map(|(_, facts)| *facts).filter(|facts| Self::holds_data(facts)))
    }

    fn promise_of(&self, node: &NodeKey) -> Option<Promise<'a>> {
        self.promises.iter().copied().find(|(key, _)| *key == node)
    }

    fn holds_data(facts: &NodeFacts) -> bool {
        (facts.data_known || is_armed(Fault::I10Count)) && !facts.loading
    }

    /// May this node become master?
    fn eligible(&self, promise: Promise<'a>) -> bool {
        let forced = self.failover.cause == Cause::Forced;
        let votes = may_lead(self.view, promise.1) || (forced && !self.withholds());
        votes && self.is_able(promise)
    }

    /// Could it be master, if its vote did not matter? The master of record may stay it whatever its priority; it may not when the operator
    /// asked to go on without it, or when it is down.
    fn is_able(&self, (node, facts): Promise<'a>) -> bool {
        let from = *node == self.failover.from;
        let forced = self.failover.cause == Cause::Forced;
        let excluded = if from { forced } else { self.is_barred(node, facts) };
        Self::holds_data(facts) && !excluded && !self.view.is_down(node)
    }

    /// The operator said that it must not lead.
    fn is_barred(&self, node: &NodeKey, facts: &NodeFacts) -> bool {
        facts.priority == 0 || self.view.group.nodes.get(node).is_some_and(|record| record.barred())
    }

    /// A known node that may still promise.
    fn awaits_someone(&self) -> bool {
        let restart = matches!(self.failover.cause, Cause::Founding | Cause::Restarted);
        self.view.group.nodes.keys().any(|node| match self.promise_of(node) {
            // It answered this leader; the sentinels that hold it for down may just not have looked since.
            Some((_, facts)) => facts.loading || self.view.is_down(node),
            None => restart || !self.view.is_down(node),
        })
    }

    /// Choices that need not wait for anyone else: nobody's data can exceed these.
    fn early(&self) -> Option<&'a NodeKey> {
        let stock = self.stock();
        // I10: one that restarted since, with less or with nothing, does not know how far it had come.
        let from =
            self.promise_of(&self.failover.from).filter(|(_, facts)| Self::holds_data(facts) && !facts.tail_unsure)?;
        let node = match self.failover.cause {
            // The old master stopped and promised: who holds as much as it does holds everything.
            Cause::Planned => {
                let wanted = self.promise_of(self.failover.wanted.as_ref()?)?;
                let greatest = self.promises.iter().map(|(_, facts)| data(facts, stock)).max()?;
                (data(wanted.1, stock) >= greatest.max(data(from.1, stock))).then_some(wanted)?
            }
            // The old master served until it promised.
            Cause::Barred => from,
            Cause::Down { .. } | Cause::Forced | Cause::LossAccepted | Cause::Restarted | Cause::Founding => {
                return None;
            }
        };
        (self.suffice(self.promises) && self.eligible(node)).then_some(node.0)
    }

    /// I4.
    fn best(&self) -> Option<&'a NodeKey> {
        let stock = self.stock();
        let eligible: Vec<Promise<'a>> =
            self.promises.iter().copied().filter(|promise| self.eligible(*promise)).collect();
        let wanted = self.failover.wanted.as_ref();
        let best = eligible.iter().copied().max_by_key(|(node, facts)| {
            let tie = (Some(*node) == wanted, **node == self.failover.from);
            let data = data(facts, stock);
            let least = if is_armed(Fault::I4Greatest) { Some(Reverse(data)) } else { None };
            (least, data, tie, Reverse(facts.priority), Reverse(&facts.run_id))
        })?;
        if !self.covers(best) {
            return None;
        }
        if !self.withholds() && self.failover.cause == Cause::Forced {
            // The operator's word: the group is async, and it was asked to go on regardless.
            let named = eligible.iter().find(|(node, _)| Some(*node) == wanted);
            return Some(named.map_or(best.0, |(node, _)| node));
        }
        Some(best.0)
    }

    /// Is every acknowledged write in this node's data (I4)? Yes if it holds as much as each of R voters that promised. Whoever holds more, and may not
    /// become master, is none of them: what it alone holds was never acknowledged.
    fn covers(&self, best: Promise<'a>) -> bool {
        if self.failover.cause == Cause::Forced && !self.withholds() {
            return true;
        }
        let unbounded = !self.withholds() || is_armed(Fault::I4Greatest);
        let bounded = |(_, facts): &&Promise<'a>| unbounded || data(facts, false) <= data(best.1, false);
        self.suffice(self.promises.iter().filter(bounded))
    }

    /// `async`, and nobody who votes in some config has anything left: that config binds no more. The greatest of those who vote in what is left of
    /// them, or who hold data without a vote when nothing is.
    fn heir(&self) -> Option<&'a NodeKey> {
        let voting = &self.view.group.voting;
        if self.withholds() || voting.is_open() {
            return None;
        }
        let binding = || voting.parts().filter(|part| !part.voters.iter().all(|id| self.has_nothing(id)));
        let votes = |facts: &NodeFacts| facts.id().is_some_and(|id| binding().any(|part| part.voters.contains(&id)));
        let able = self.promises.iter().copied().filter(|promise| self.is_able(*promise));
        let mut able: Vec<Promise<'a>> = able.collect();
        if binding().next().is_some() {
            able.retain(|(_, facts)| votes(facts));
        }
        let ids = able.iter().filter_map(|(_, facts)| facts.id()).collect();
        let best = able
            .iter()
            .max_by_key(|(_, facts)| (data(facts, false), Reverse(facts.priority), Reverse(&facts.run_id)))?;
        binding().all(|part| part.is_satisfied(&ids)).then_some(best.0)
    }

    /// This voter promised that it holds nothing, or whoever promised in its place has another name.
    fn has_nothing(&self, voter: &NodeId) -> bool {
        let records = &self.view.group.nodes;
        let home = records.iter().find(|(_, record)| record.id().as_ref() == Some(voter));
        home.is_none_or(|(node, _)| {
            self.promise_of(node).is_some_and(|(_, facts)| {
                let is_other = facts.id().as_ref() != Some(voter);
                is_other || !(facts.data_known || facts.loading)
            })
        })
    }

    /// I4: the greatest of R voters that promised, which is barred, while another node is there that may lead once it has caught up from it.
    fn interim(&self) -> Option<&'a NodeKey> {
        let heir = |(node, facts): &Promise<'a>| !self.is_barred(node, facts) && !self.view.is_down(node);
        if !self.promises.iter().any(heir) {
            return None;
        }
        let excluded = |node: &NodeKey| self.failover.cause == Cause::Forced && *node == self.failover.from;
        let able = self.promises.iter().copied().filter(|(node, facts)| {
            Self::holds_data(facts) && may_lead(self.view, facts) && !excluded(node) && !self.view.is_down(node)
        });
        let greatest = able.max_by_key(|(_, facts)| (data(facts, false), Reverse(&facts.run_id)))?;
        self.covers(greatest).then_some(greatest.0)
    }

    /// The operator accepted the loss: the greatest of those that promised, or the one that he named. I2 fences the others, I10 bars who holds nothing.
    fn whoever_is_left(&self) -> Option<&'a NodeKey> {
        if self.failover.cause != Cause::LossAccepted || self.promises.iter().any(|(_, facts)| facts.loading) {
            return None; // it is chosen among those that are left, not among those that were quick
        }
        let wanted = self.failover.wanted.as_ref();
        let named = |(node, facts): &Promise<'a>| Some(*node) == wanted && Self::holds_data(facts);
        let able = self.promises.iter().copied();
        let able = able.filter(|promise| if wanted.is_some() { named(promise) } else { self.is_able(*promise) });
        let best = able.max_by_key(|(_, facts)| (data(facts, false), Reverse(facts.priority), Reverse(&facts.run_id)));
        best.map(|(node, _)| node)
    }

    /// Nobody holds data: the master of record, empty as it is.
    fn blank(&self, elapsed: Duration) -> Option<&'a NodeKey> {
        let someone = self.promises.iter().any(|(_, facts)| facts.data_known || facts.loading);
        let known = self.view.group.nodes.len();
        let all = self.promises.len() == known;
        let founding = self.failover.cause == Cause::Founding
            && elapsed >= RESTART_GRACE
            && self.promises.len() >= self.view.group.majority();
        if someone || !(all || founding) || self.failover.cause == Cause::Forced {
            return None;
        }
        self.promise_of(&self.failover.from).map(|(node, _)| node)
    }
}

/// Who is to take over in a handover: everyone may catch up, so the operator's preferences come before offsets.
pub(super) fn successor<'a>(prospects: impl Iterator<Item = Promise<'a>>) -> Option<&'a NodeKey> {
    let best = prospects.min_by_key(|(_, facts)| {
        let data = (facts.data_epoch, facts.offset);
        (facts.priority, Reverse(data), facts.run_id.clone())
    });
    best.map(|(node, _)| node)
}

/// Who could take over from the master, judged by the last reports alone: `None` of them makes a failover pointless.
pub(super) fn prospects<'a>(view: View<'a>) -> impl Iterator<Item = (&'a NodeKey, &'a NodeFacts)> {
    view.group.replicas().filter_map(move |(node, record)| {
        let (facts, _) = view.facts(node)?;
        let able = Round::holds_data(facts) && facts.priority != 0 && !record.barred() && may_lead(view, facts);
        (able && !view.is_down(node)).then_some((node, facts))
    })
}

/// A voter, of either config while they change; anyone in a group that has none.
fn may_lead(view: View<'_>, facts: &NodeFacts) -> bool {
    let voting = &view.group.voting;
    voting.is_open() || facts.id().is_some_and(|id| voting.knows(&id))
}

/// R of the voters hold data and answer, judged by the last reports alone.
pub(super) fn voters_suffice(view: View<'_>) -> bool {
    let answering = view.group.nodes.keys().filter(|node| !view.is_down(node));
    let holders = answering.filter_map(|node| view.facts(node)).filter(|(facts, _)| facts.data_known);
    suffice(view, holders.map(|(facts, _)| facts))
}

/// R, of nodes that hold data. An `async` group acknowledges alone, so what a node may have lost since was never safe.
fn suffice<'f>(view: View<'_>, holders: impl Iterator<Item = &'f NodeFacts>) -> bool {
    let voting = &view.group.voting;
    let (mut sure, mut unsure) = (BTreeSet::<NodeId>::new(), BTreeSet::new());
    for facts in holders {
        let doubted = facts.tail_unsure && voting.withholds() && !is_armed(Fault::I10Count);
        let ids = if doubted { &mut unsure } else { &mut sure };
        ids.extend(facts.id());
    }
    voting.is_satisfied_by(&sure, &unsure)
}

/// The highest epoch that any node was seen to have promised or to serve; the next one claimed must be above it.
pub(super) fn floor(view: View<'_>) -> Epoch {
    let seen = view.group.nodes.keys().filter_map(|node| view.facts(node));
    seen.map(|(facts, _)| facts.promised.max(facts.epoch))
        .filter(|epoch| *epoch < crate::apply::MAX_EPOCH) // not believed: a node cannot end a group's epochs
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
