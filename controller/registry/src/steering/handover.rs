//! The planned failover: the candidate gets close, the master stops writes, the candidate gets the rest, everybody promises.
//! Nothing is lost, and clients wait from the pause to the promotion only: no commit lies between the pause and the choice.
//!
//! The pause ends by itself, so that a vanished leader cannot stop a group for good; what makes the handover safe is not
//! the pause but the old master's promise, and the offset that it reports with it: nobody is chosen early who holds less.
//!
//! Until somebody was asked for a promise a handover can be given up: the old master goes on. What an earlier leader asked for
//! is not known, but seen: who promised says so, and the old master refuses to pause.

use std::time::Duration;

use super::phases::ORDER_LIMIT;
use super::soft::{Kind, Target};
use super::{Hand, Order};
use crate::command::Command;
use crate::failover::{AbortReason, Failover};
use crate::names::{Epoch, NodeKey, Offset};
use crate::sights::NodeFacts;

/// A master that does not stop within this is not paused; the failover is aborted.
const PAUSE_LIMIT: Duration = Duration::from_secs(1);

/// A candidate that lacks more than it can fetch in this time is no candidate: clients wait meanwhile.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(1);

/// A candidate that gets in this time to where the master was is close to it: it will hardly need longer for the rest. Heartbeats,
/// which tell where the master is, are as old.
const CLOSE: Duration = Duration::from_millis(100);

/// A candidate that does not get close within this time never will: the master writes faster than it follows.
const APPROACH_LIMIT: Duration = Duration::from_secs(3);

/// The pause ends by itself after this: longer than every step of a handover together.
pub(super) const PAUSE_ENDS: Duration = Duration::from_secs(5);

/// What a handover is waiting for before promises are collected.
pub(super) enum Readiness {
    /// The master's pause, or the candidate.
    Waiting,
    /// Nothing: the old master stopped and the candidate holds all that it has, or there is no way back any more (the choice
    /// then is as after a crash, and falls on the old master if it alone holds everything).
    Ready,
}

impl Hand<'_> {
    /// The candidate gets close to the master, which goes on writing.
    pub(super) fn catching_up(&mut self, failover: &Failover, candidate: &NodeKey) {
        let lost = self.view.is_objectively_down(&failover.from) || self.view.is_objectively_down(candidate);
        if lost || self.elapsed() > APPROACH_LIMIT {
            return self.give_up(failover, AbortReason::CandidateTimeout);
        }
        let Some(Target { replid, offset, since }) = self.target(&failover.from) else { return };
        if !self.holds(candidate, &replid, offset) {
            return;
        }
        if self.view.now.saturating_sub(since) <= CLOSE {
            let group = self.view.name.clone();
            return self.propose(Command::CaughtUp { group, epoch: failover.epoch });
        }
        self.soft.target = None; // it took its time: once more, for what was written meanwhile
    }

    /// Where the master was when this was asked first.
    fn target(&mut self, master: &NodeKey) -> Option<Target> {
        if self.soft.target.is_none() {
            let (facts, _) = self.view.facts(master)?;
            let (replid, offset) = (facts.replid.clone(), facts.offset);
            self.soft.target = Some(Target { replid, offset, since: self.view.now });
        }
        self.soft.target.clone()
    }

    /// Asks the candidate to get to an offset; true once it is there.
    fn holds(&mut self, candidate: &NodeKey, replid: &str, offset: Offset) -> bool {
        let order = Order::CatchUp { replid: replid.to_owned(), offset };
        let mastership = self.view.group.epoch;
        let holds = |facts: &NodeFacts| facts.replid == replid && facts.offset >= offset;
        match self.soft.answer(candidate, mastership, &order).map(|(facts, _)| holds(facts)) {
            Some(true) => return true,
            Some(false) => self.soft.discard(candidate, Kind::CatchUp),
            None => {}
        }
        self.order(candidate, mastership, order, ORDER_LIMIT);
        false
    }

    /// While promises are collected in a handover: may they be asked for? The master stops first, and the candidate gets to where
    /// it stopped, as it cannot once it promised.
    pub(super) fn handed_over(&mut self, failover: &Failover) -> Readiness {
        let (from, mastership) = (&failover.from, self.view.group.epoch);
        let Some(candidate) = &failover.wanted else { return Readiness::Ready };
        if self.view.is_objectively_down(from) || self.is_promised(failover.epoch) {
            return Readiness::Ready;
        }
        let pause = Order::Pause { limit: PAUSE_ENDS };
        if self.soft.refusal(from, mastership, &pause).is_some_and(|promised| promised >= failover.epoch) {
            return Readiness::Ready;
        }
        let lost = self.view.is_objectively_down(candidate);
        if let Some((facts, _)) = self.soft.answer(from, mastership, &pause) {
            let (replid, offset) = (facts.replid.clone(), facts.offset);
            if self.is_held(candidate, &replid, offset) {
                return Readiness::Ready;
            }
            if lost || self.elapsed() > CATCH_UP_LIMIT {
                self.give_up(failover, AbortReason::CandidateTimeout);
            }
        } else if lost || self.elapsed() > PAUSE_LIMIT {
            self.give_up(failover, AbortReason::PauseFailed);
        } else {
            self.order(from, mastership, pause, ORDER_LIMIT);
        }
        Readiness::Waiting
    }

    /// The candidate holds what the master stopped at, and so do as many others as a write needs: what clients wait for is then
    /// answered before promises end that.
    fn is_held(&mut self, candidate: &NodeKey, replid: &str, offset: Offset) -> bool {
        let group = self.view.group;
        let others = group.voting.parts().map(|part| part.copies.saturating_sub(2)).max().unwrap_or_default();
        let candidate_holds = self.holds(candidate, replid, offset);
        let mut holding = 0;
        for (node, _) in group.replicas().filter(|(node, _)| others > 0 && *node != candidate) {
            holding += u32::from(!self.view.is_down(node) && self.holds(node, replid, offset));
        }
        candidate_holds && holding >= others
    }

    /// Somebody promised the claimed epoch, or was asked to by this leader: the old master may be alone.
    fn is_promised(&self, epoch: Epoch) -> bool {
        let nodes = self.view.group.nodes.keys();
        let promised = |node| self.view.facts(node).is_some_and(|(facts, _)| facts.promised >= epoch);
        nodes.into_iter().any(|node| self.soft.was_asked(node, epoch, &Order::Promise) || promised(node))
    }

    /// Before the promises a handover can be given up: the old master goes on.
    fn give_up(&mut self, failover: &Failover, reason: AbortReason) {
        self.order(&failover.from, self.view.group.epoch, Order::Resume, ORDER_LIMIT);
        self.propose(Command::FailoverAbort { group: self.view.name.clone(), epoch: failover.epoch, reason });
    }
}
