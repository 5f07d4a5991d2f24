//! The planned failover: the master stops writes, the candidate catches up, the master promises. Nothing is lost.
//!
//! The pause ends by itself, so that a vanished leader cannot stop a group for good; what makes the handover safe is not
//! the pause but the old master's promise, and the offset that it reports with it.

use std::time::Duration;

use super::phases::ORDER_LIMIT;
use super::soft::Kind;
use super::{Hand, Order};
use crate::command::Command;
use crate::failover::{AbortReason, Failover};
use crate::names::{NodeKey, Offset};
use crate::sights::NodeFacts;

/// A master that does not stop within this is not paused; the failover is aborted.
const PAUSE_LIMIT: Duration = Duration::from_secs(1);

/// A candidate that lacks more than it can fetch in this time is no candidate: clients wait meanwhile.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(1);

/// The pause ends by itself after this: longer than every step of a handover together.
pub(super) const PAUSE_ENDS: Duration = Duration::from_secs(5);

impl Hand<'_> {
    /// The master is asked to stop writes.
    pub(super) fn pausing(&mut self, failover: &Failover, candidate: &NodeKey) {
        let order = Order::Pause { limit: PAUSE_ENDS };
        let mastership = self.view.group.epoch;
        if let Some((facts, _)) = self.soft.answer(&failover.from, mastership, &order) {
            let (replid, offset) = (facts.replid.clone(), facts.offset);
            let group = self.view.name.clone();
            return self.propose(Command::Paused { group, epoch: failover.epoch, replid, offset });
        }
        let lost = self.view.is_objectively_down(&failover.from) || self.view.is_objectively_down(candidate);
        if lost || self.elapsed() > PAUSE_LIMIT {
            return self.give_up(failover, AbortReason::PauseFailed);
        }
        self.order(&failover.from, mastership, order, ORDER_LIMIT);
    }

    /// The candidate gets to where the master stopped.
    pub(super) fn catching_up(&mut self, failover: &Failover, candidate: &NodeKey, replid: &str, offset: Offset) {
        if self.caught_up(failover, candidate, replid, offset) {
            let group = self.view.name.clone();
            return self.propose(Command::CaughtUp { group, epoch: failover.epoch });
        }
        let lost = self.view.is_objectively_down(&failover.from) || self.view.is_objectively_down(candidate);
        if lost || self.elapsed() > CATCH_UP_LIMIT {
            self.give_up(failover, AbortReason::CandidateTimeout);
        }
    }

    /// Asks the candidate to get to an offset; true once it is there.
    fn caught_up(&mut self, failover: &Failover, candidate: &NodeKey, replid: &str, offset: Offset) -> bool {
        let order = Order::CatchUp { replid: replid.to_owned(), offset };
        let mastership = self.view.group.epoch;
        let holds = |facts: &NodeFacts| facts.replid == replid && facts.offset >= offset;
        match self.soft.answer(candidate, mastership, &order).map(|(facts, _)| holds(facts)) {
            Some(true) => return true,
            Some(false) => self.soft.discard(candidate, Kind::CatchUp),
            None => {}
        }
        debug_assert_eq!(failover.wanted.as_ref(), Some(candidate), "a handover has one candidate");
        self.order(candidate, mastership, order, ORDER_LIMIT);
        false
    }

    /// While promises are collected in a handover: true once the others may be asked, because the old master stopped for
    /// good and the candidate holds all that it has, or because that is not to be had (the choice then is as after a
    /// crash, and falls on the old master if it alone holds everything).
    pub(super) fn handed_over(&mut self, failover: &Failover) -> bool {
        let from = &failover.from;
        let Some(candidate) = &failover.wanted else { return true };
        if self.view.is_objectively_down(from) || self.elapsed() > CATCH_UP_LIMIT {
            return true;
        }
        self.ask_promise(failover.epoch, from);
        let Some(promise) = self.promise(failover.epoch, from) else { return false };
        let (replid, offset) = (promise.replid.clone(), promise.offset);
        self.view.is_objectively_down(candidate) || self.caught_up(failover, candidate, &replid, offset)
    }

    /// Before the compare-and-set a handover can be given up: the old master goes on.
    fn give_up(&mut self, failover: &Failover, reason: AbortReason) {
        self.order(&failover.from, self.view.group.epoch, Order::Resume, ORDER_LIMIT);
        self.propose(Command::FailoverAbort { group: self.view.name.clone(), epoch: failover.epoch, reason });
    }
}
