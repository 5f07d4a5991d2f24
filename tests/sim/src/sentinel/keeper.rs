//! Who belongs to the cluster: the leader lets registered sentinels in, gives them their vote, and takes out those that leave; mirrors
//! `sentinel/src/keeper.rs`.

use quorate_consensus as consensus;
use quorate_consensus::{Change, RaftId};
use quorate_registry::{self as registry, Command};

use super::Sentinel;
use crate::node::Around;

/// What is due.
enum Step {
    Change(Change),
    Forget(registry::RaftId),
    HandOver(RaftId),
}

impl Sentinel {
    /// The next step, if one is due; Raft refuses a second change while one is under way.
    pub(super) fn keep_members(&mut self, around: &mut Around<'_>) {
        if !self.leads() {
            return;
        }
        let Some(process) = &mut self.process else { return };
        process.turns += 1;
        match next_step(&process.registry, &process.raft.status(), process.turns) {
            Some(Step::Change(change)) => {
                process.tickets += 1;
                let _refused_until_it_can_be = process.raft.change(&[change], consensus::Ticket(process.tickets));
            }
            Some(Step::HandOver(to)) => drop(process.raft.transfer(to)),
            Some(Step::Forget(raft_id)) => return self.propose(around, Command::MemberLeft { raft_id }),
            None => return,
        }
        self.pump(around);
    }
}

fn next_step(registry: &registry::Registry, status: &consensus::Status, turn: usize) -> Option<Step> {
    let members = &status.members;
    if !members.outgoing.is_empty() {
        return None;
    }
    let is_member = |id: &RaftId| members.voters.contains(id) || members.learners.contains(id);
    if let Some(leaver) = registry.leaving.first() {
        let id = RaftId(leaver.0);
        match (is_member(&id), id == status.id) {
            (false, _) => return Some(Step::Forget(*leaver)),
            (true, false) => return Some(Step::Change(Change::Remove(id))),
            (true, true) => {
                let stays = |heir: &RaftId| !registry.leaving.contains(&registry::RaftId(heir.0));
                let heirs: Vec<_> = members.voters.iter().copied().filter(stays).collect();
                if let Some(heir) = in_turn(&heirs, turn) {
                    return Some(Step::HandOver(heir));
                }
            }
        }
    }
    let registered = registry.sentinels.keys().map(|id| RaftId(id.0));
    if let Some(outside) = registered.into_iter().find(|id| !is_member(id)) {
        return Some(Step::Change(Change::AddLearner(outside)));
    }
    let learner = in_turn(&members.learners, turn)?;
    Some(Step::Change(match registry.sentinels.contains_key(&registry::RaftId(learner.0)) {
        true => Change::Promote(learner),
        false => Change::Remove(learner),
    }))
}

fn in_turn(list: &[RaftId], turn: usize) -> Option<RaftId> {
    list.get(turn % list.len().max(1)).copied()
}
