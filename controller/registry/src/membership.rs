//! Who belongs to the cluster of sentinels: what the Raft leader is to do next, from the registry and from who is a member alone, so that a new
//! leader goes on where the last one stopped.
//!
//! ```text
//! MemberJoined (fresh raft id) committed ─> AddLearner ─> caught up ─> Promote, in place of whoever had its address ─> Forget (MemberLeft)
//! MemberLeaves by an operator's order    ─> Remove, by another leader if it is this one                             ─> Forget (MemberLeft)
//! ```
//! Raft takes one change at a time. The change that replaces a member keeps a majority of both the old and the new list at every moment:
//! replacing a dead founder of three never asks for three of four.

use crate::model::{Member, Registry};
use crate::names::RaftId;

/// Who is a member, as Raft has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seats {
    /// Those whose votes count.
    pub voters: Vec<RaftId>,
    /// Those that only follow.
    pub learners: Vec<RaftId>,
    /// The former voters, while a change of several is under way; else empty.
    pub outgoing: Vec<RaftId>,
}

impl Seats {
    /// Is it a member, of whatever kind?
    pub fn contain(&self, id: RaftId) -> bool {
        [&self.voters, &self.learners, &self.outgoing].iter().any(|list| list.contains(&id))
    }
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It follows from now on.
    AddLearner(RaftId),
    /// It gets a vote, once it has caught up; until then Raft refuses that.
    Promote {
        /// Who.
        learner: RaftId,
        /// Members that leave with the same change.
        instead_of: Vec<RaftId>,
    },
    /// It is a member no more.
    Remove(RaftId),
    /// It is none, and the registry need not know it any more.
    Forget(RaftId),
    /// This leader itself was removed: another one takes it out.
    HandOver(RaftId),
}

/// The next step for the leader `me`. Which of several learners, or heirs, changes with `turn`: one that is dead holds up none of the others.
pub fn next_step(registry: &Registry, seats: &Seats, me: RaftId, turn: usize) -> Option<Step> {
    if !seats.outgoing.is_empty() {
        return None; // a joint change is still being left
    }
    if let Some(leaver) = registry.leaving.first().copied() {
        if !seats.contain(leaver) {
            return Some(Step::Forget(leaver));
        }
        if leaver != me {
            return Some(Step::Remove(leaver));
        }
        let heirs: Vec<_> = seats.voters.iter().copied().filter(|heir| !registry.leaving.contains(heir)).collect();
        if let Some(heir) = in_turn(&heirs, turn) {
            return Some(Step::HandOver(heir));
        }
        // The only voter leaves: one of those who are to stay gets a vote first.
    }
    let outside = |member: &&Member| !seats.contain(member.raft_id);
    if let Some(member) = registry.sentinels.values().find(outside) {
        let replaced = registry.sentinels.values().any(|other| {
            other.address == member.address && other.raft_id > member.raft_id && seats.contain(other.raft_id)
        });
        return Some(if replaced { Step::Forget(member.raft_id) } else { Step::AddLearner(member.raft_id) });
    }
    let learner = in_turn(&seats.learners, turn)?;
    let Some(member) = registry.sentinels.get(&learner) else { return Some(Step::Remove(learner)) };
    let older =
        |other: &&Member| other.address == member.address && other.raft_id < learner && seats.contain(other.raft_id);
    let instead_of = registry.sentinels.values().filter(older).map(|other| other.raft_id).collect();
    Some(Step::Promote { learner, instead_of })
}

fn in_turn(list: &[RaftId], turn: usize) -> Option<RaftId> {
    list.get(turn % list.len().max(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(members: &[(u64, u16)]) -> Registry {
        let mut registry = Registry::default();
        for (id, port) in members {
            let raft_id = RaftId(*id);
            let address = format!("h:{port}");
            let resp = address.parse().expect("a key");
            registry.highest_raft_id = registry.highest_raft_id.max(*id);
            registry.sentinels.insert(raft_id, Member { raft_id, sentinel_id: format!("{id:040}"), address, resp });
        }
        registry
    }

    fn ids(ids: &[u64]) -> Vec<RaftId> {
        ids.iter().map(|id| RaftId(*id)).collect()
    }

    fn check(registry: &Registry, voters: &[u64], learners: &[u64], me: u64, turn: usize, expected: Option<Step>) {
        let seats = Seats { voters: ids(voters), learners: ids(learners), outgoing: vec![] };
        assert_eq!(next_step(registry, &seats, RaftId(me), turn), expected, "{seats:?}, turn {turn}");
        let joint = Seats { outgoing: seats.voters.clone(), ..seats };
        assert_eq!(next_step(registry, &joint, RaftId(me), turn), None, "one change at a time");
    }

    fn promote(learner: u64, instead_of: &[u64]) -> Option<Step> {
        Some(Step::Promote { learner: RaftId(learner), instead_of: ids(instead_of) })
    }

    #[test]
    fn a_replacement_goes_step_by_step_and_ends() {
        check(&registry(&[(1, 11), (2, 12), (3, 13)]), &[1, 2, 3], &[], 1, 0, None);
        let joined = registry(&[(1, 11), (2, 12), (3, 13), (4, 13)]);
        check(&joined, &[1, 2, 3], &[], 1, 0, Some(Step::AddLearner(RaftId(4))));
        check(&joined, &[1, 2, 3], &[4], 1, 0, promote(4, &[3]));
        check(&joined, &[1, 2, 4], &[], 1, 0, Some(Step::Forget(RaftId(3))));
        check(&registry(&[(1, 11), (2, 12), (4, 13)]), &[1, 2, 4], &[], 1, 0, None);
    }

    #[test]
    fn a_sentinel_at_a_new_address_replaces_nobody() {
        check(&registry(&[(1, 11), (2, 12), (3, 13), (4, 14)]), &[1, 2, 3], &[4], 1, 0, promote(4, &[]));
    }

    #[test]
    fn a_learner_that_nobody_knows_is_taken_out() {
        check(&registry(&[(1, 11), (2, 12)]), &[1, 2], &[4], 1, 0, Some(Step::Remove(RaftId(4))));
    }

    /// A removed sentinel is taken out by one that stays.
    #[test]
    fn a_removed_sentinel_leaves_raft() {
        let mut all = registry(&[(1, 11), (2, 12), (3, 13)]);
        all.leaving.insert(RaftId(3));
        check(&all, &[1, 2, 3], &[], 1, 0, Some(Step::Remove(RaftId(3))));
        check(&all, &[1, 2, 3], &[], 3, 0, Some(Step::HandOver(RaftId(1))));
        check(&all, &[1, 2], &[], 1, 0, Some(Step::Forget(RaftId(3))));
    }

    /// The only voter cannot go before somebody else has a vote, and a learner or an heir that is dead holds up no other.
    #[test]
    fn the_only_voter_leaves_once_another_has_a_vote() {
        let mut all = registry(&[(1, 11), (4, 14), (5, 15)]);
        all.leaving.insert(RaftId(1));
        check(&all, &[1], &[4, 5], 1, 0, promote(4, &[]));
        check(&all, &[1], &[4, 5], 1, 1, promote(5, &[]));
        check(&all, &[1], &[4], 1, 0, Some(Step::AddLearner(RaftId(5))));
        check(&all, &[1, 4, 5], &[], 1, 0, Some(Step::HandOver(RaftId(4))));
        check(&all, &[1, 4, 5], &[], 1, 1, Some(Step::HandOver(RaftId(5))));
    }

    /// Two leaders may propose the same fresh id, and a removed member's id must stay spent.
    #[test]
    fn a_raft_id_is_given_out_once() {
        use crate::{Command, Entry, Rejected, UnixMs};

        let mut registry = registry(&[(1, 11), (2, 12), (3, 13)]);
        registry.highest_raft_id = 3;
        let mut index = 10;
        let mut apply = |command| {
            index += 1;
            registry.apply(index, Entry { at: UnixMs(0), command }).map(drop)
        };
        let joined = |id: u64, who: u64| {
            let address = format!("h:{}", 20 + who);
            let resp = address.parse().expect("a key");
            Command::MemberJoined(Member { raft_id: RaftId(id), sentinel_id: format!("{who:040}"), address, resp })
        };
        assert_eq!(apply(joined(4, 40)), Ok(()));
        let used = |id| Err(Rejected::RaftIdUsed(RaftId(id)));
        assert_eq!(apply(joined(4, 41)), used(4));
        assert_eq!(apply(Command::MemberLeft { raft_id: RaftId(4) }), Ok(()));
        assert_eq!(apply(joined(4, 40)), used(4));
        assert_eq!(apply(joined(5, 41)), Ok(()));
    }
}
