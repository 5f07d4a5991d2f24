//! Who belongs to the cluster: the leader does what the registry's rule says is next, as `sentinel/src/keeper.rs` does.

use quorate_consensus as consensus;
use quorate_consensus::Change;
use quorate_registry::membership::{Seats, Step, next_step};
use quorate_registry::{Command, RaftId};

use super::Sentinel;
use crate::node::Around;

impl Sentinel {
    /// The next step, if one is due; Raft refuses a second change while one is under way.
    pub(super) fn keep_members(&mut self, around: &mut Around<'_>) {
        if !self.leads() {
            return;
        }
        let Some(process) = &mut self.process else { return };
        let raft = |id: RaftId| consensus::RaftId(id.0);
        let known = |ids: &[consensus::RaftId]| ids.iter().map(|id| RaftId(id.0)).collect();
        let consensus::Status { id, members, .. } = process.raft.status();
        let seats = Seats {
            voters: known(&members.voters),
            learners: known(&members.learners),
            outgoing: known(&members.outgoing),
        };
        process.turns += 1;
        let changes = match next_step(&process.registry, &seats, RaftId(id.0), process.turns) {
            Some(Step::AddLearner(id)) => vec![Change::AddLearner(raft(id))],
            Some(Step::Promote { learner, instead_of }) => {
                let removed = instead_of.into_iter().map(|id| Change::Remove(raft(id)));
                [Change::Promote(raft(learner))].into_iter().chain(removed).collect()
            }
            Some(Step::Remove(id)) => vec![Change::Remove(raft(id))],
            Some(Step::HandOver(to)) => {
                let _asked_again_while_it_leads = process.raft.transfer(raft(to));
                return self.pump(around);
            }
            Some(Step::Forget(raft_id)) => return self.propose(around, Command::MemberLeft { raft_id }),
            None => return,
        };
        process.tickets += 1;
        let _refused_until_it_can_be = process.raft.change(&changes, consensus::Ticket(process.tickets));
        self.pump(around);
    }
}
