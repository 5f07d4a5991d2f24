//! Who belongs to the cluster: lets new members in, gives them their vote, takes replaced ones out. Acts on the Raft leader only.
//!
//! ```text
//! Join ─> MemberJoined (fresh raft id) committed ─> AddLearner ─> caught up ─> Promote, with Remove of whoever had its address ─> MemberLeft
//! ```
//! MemberLeaves by an operator's order ─> Remove ─> MemberLeft
//! Each arrow is a committed step, and the next one is derived from the registry and the member list alone, so that a new leader goes on
//! where the last one stopped. The joint change keeps a majority of both the old and the new list at every moment: replacing a dead founder
//! of three never asks for three of four.
//!
//! A Raft id is given out once (the registry refuses a second owner), and only to a directory that says it is blank: see `founding`.

use std::{sync::Arc, time::Duration};

use quorate_consensus as consensus;
use quorate_consensus::{Change, Members, Role};
use quorate_registry::{Command, Entry, Member, NodeKey, RaftId, Registry};
use quorate_rpc::v1;
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, timeout},
};
use tonic::Status;

use crate::{clock::Clock, driver, peers::Peers};

/// How often the member list is compared with the registry.
const TICK: Duration = Duration::from_millis(200);
/// How long a committed step may take.
const STEP: Duration = Duration::from_secs(2);

/// A sentinel that wants in.
pub struct Admission {
    /// Who it is.
    pub joiner: v1::JoinRequest,
    /// What it is told.
    pub reply: oneshot::Sender<Result<v1::JoinReply, Status>>,
}

/// What keeping needs.
pub struct Keeper {
    /// Raft.
    pub driver: driver::Handle,
    /// The links to the other members.
    pub peers: Peers,
    /// For the time of proposals.
    pub clock: Clock,
    /// The cluster.
    pub cluster_id: String,
}

impl Keeper {
    /// Runs until dropped. Admissions are carried out one after the other.
    pub async fn run(self, mut admissions: mpsc::Receiver<Admission>) {
        let mut clock = tokio::time::interval(TICK);
        let mut turn = 0;
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                admission = admissions.recv() => {
                    let Some(Admission { joiner, reply }) = admission else { return };
                    let answer = self.admit(joiner).await;
                    if let Err(status) = &answer {
                        tracing::debug!(%status, "a sentinel was not let in");
                    }
                    let _ = reply.send(answer);
                }
                _ = clock.tick() => {
                    let view = self.driver.view();
                    if view.status.role == (Role::Leader { established: true }) {
                        self.tidy(&view.registry, &view.status.members, turn).await;
                        turn += 1;
                    }
                }
            }
        }
    }

    async fn admit(&self, joiner: v1::JoinRequest) -> Result<v1::JoinReply, Status> {
        let view = self.driver.view();
        if view.status.role != (Role::Leader { established: true }) {
            return Err(Status::failed_precondition("not the leader"));
        }
        let resp: NodeKey =
            joiner.resp_address.parse().map_err(|_| Status::invalid_argument("resp_address: host:port"))?;
        joiner.address.parse::<NodeKey>().map_err(|_| Status::invalid_argument("address: host:port"))?;
        if joiner.sentinel_id.len() != 40 || !joiner.sentinel_id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Status::invalid_argument("sentinel_id: 40 hexadecimal digits"));
        }
        let registry = view.registry;
        // It asked before and did not hear the answer: the same directory, still blank, so the id is still unused.
        let known = registry.sentinels.values().find(|member| member.sentinel_id == joiner.sentinel_id);
        let raft_id = match known {
            Some(member) => member.raft_id,
            None => self.register(&registry, &joiner, resp).await?,
        };
        let id = consensus::RaftId(raft_id.0);
        if !is_member(&view.status.members, raft_id) {
            // Refused while another change is under way: tidying does it later.
            let _ = timeout(STEP, self.driver.change(vec![Change::AddLearner(id)])).await;
        }
        let member = |member: &Member| v1::Member {
            raft_id: member.raft_id.0,
            sentinel_id: member.sentinel_id.clone(),
            address: member.address.clone(),
            resp_address: member.resp.to_string(),
        };
        let members = self.driver.view().registry.sentinels.values().map(member).collect();
        Ok(v1::JoinReply { raft_id: raft_id.0, members, cluster_id: self.cluster_id.clone() })
    }

    async fn register(&self, registry: &Registry, joiner: &v1::JoinRequest, resp: NodeKey) -> Result<RaftId, Status> {
        let seen = self.peers.seen();
        let at_home = |member: &&Member| member.address == joiner.address;
        if let Some(member) = registry.sentinels.values().find(at_home)
            && seen.get(&member.raft_id).is_some_and(|peer| peer.connected)
        {
            return Err(Status::already_exists(format!("a live member has the address {}", joiner.address)));
        }
        let raft_id = registry.fresh_raft_id();
        let member = Member { raft_id, sentinel_id: joiner.sentinel_id.clone(), address: joiner.address.clone(), resp };
        match self.propose(Command::MemberJoined(member)).await {
            Some(Ok(())) => Ok(raft_id),
            Some(Err(why)) => Err(Status::unavailable(why)),
            None => Err(Status::unavailable("no majority let the sentinel in")),
        }
    }

    /// The next step, if one is due: one at a time, since Raft takes one change at a time.
    async fn tidy(&self, registry: &Arc<Registry>, members: &Members, turn: usize) {
        if !members.outgoing.is_empty() {
            return; // a joint change is still being left
        }
        match next_step(registry, members, self.driver.view().status.id, turn) {
            Some(Step::Change(changes)) => match timeout(STEP, self.driver.change(changes.clone())).await {
                Ok(Ok(_)) => tracing::info!(?changes, "changed the members"),
                Ok(Err(why)) => tracing::debug!(?changes, %why, "the members stay as they are"),
                Err(_) => tracing::debug!(?changes, "no majority changed the members"),
            },
            Some(Step::HandOver(to)) => drop(self.driver.transfer(to).await),
            Some(Step::Forget(raft_id)) => drop(self.propose(Command::MemberLeft { raft_id }).await),
            None => {}
        }
    }

    async fn propose(&self, command: Command) -> Option<Result<(), String>> {
        let entry = Entry { at: self.clock.wall(), command };
        match timeout(STEP, self.driver.propose(&entry)).await.ok()? {
            Ok(applied) => Some(applied.outcome.map(drop).map_err(|why| why.to_string())),
            Err(_) => None,
        }
    }
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Change(Vec<Change>),
    Forget(RaftId),
    /// This leader itself was removed: another one takes it out.
    HandOver(consensus::RaftId),
}

fn is_member(members: &Members, id: RaftId) -> bool {
    let id = consensus::RaftId(id.0);
    [&members.voters, &members.learners, &members.outgoing].iter().any(|list| list.contains(&id))
}

/// Compares who is registered with who is a member. A promotion is proposed until the learner has caught up; until then it is refused. Which of
/// several learners, or heirs, changes with `turn`: one that is dead holds up none of the others.
fn next_step(registry: &Registry, members: &Members, me: consensus::RaftId, turn: usize) -> Option<Step> {
    if let Some(leaver) = registry.leaving.first().copied() {
        let id = consensus::RaftId(leaver.0);
        if !is_member(members, leaver) {
            return Some(Step::Forget(leaver));
        }
        if id != me {
            return Some(Step::Change(vec![Change::Remove(id)]));
        }
        let stays = |heir: &consensus::RaftId| !registry.leaving.contains(&RaftId(heir.0));
        let heirs: Vec<_> = members.voters.iter().copied().filter(stays).collect();
        if let Some(heir) = in_turn(&heirs, turn) {
            return Some(Step::HandOver(heir));
        }
        // The only voter leaves: one of those who are to stay gets a vote first.
    }
    let outside = |member: &&Member| !is_member(members, member.raft_id);
    if let Some(member) = registry.sentinels.values().find(outside) {
        let replaced = registry.sentinels.values().any(|other| {
            other.address == member.address && other.raft_id > member.raft_id && is_member(members, other.raft_id)
        });
        return Some(match replaced {
            true => Step::Forget(member.raft_id),
            false => Step::Change(vec![Change::AddLearner(consensus::RaftId(member.raft_id.0))]),
        });
    }
    let learner = in_turn(&members.learners, turn)?;
    let Some(member) = registry.sentinels.get(&RaftId(learner.0)) else {
        return Some(Step::Change(vec![Change::Remove(learner)]));
    };
    let mut changes = vec![Change::Promote(learner)];
    let older =
        registry.sentinels.values().filter(|other| other.address == member.address && other.raft_id < member.raft_id);
    changes.extend(
        older
            .filter(|other| is_member(members, other.raft_id))
            .map(|other| Change::Remove(consensus::RaftId(other.raft_id.0))),
    );
    Some(Step::Change(changes))
}

fn in_turn<T: Copy>(list: &[T], turn: usize) -> Option<T> {
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

    fn members(voters: &[u64], learners: &[u64]) -> Members {
        let ids = |ids: &[u64]| ids.iter().map(|id| consensus::RaftId(*id)).collect();
        Members { voters: ids(voters), learners: ids(learners), outgoing: vec![] }
    }

    #[test]
    fn a_replacement_goes_step_by_step_and_ends() {
        let id = consensus::RaftId;
        let founders = [(1, 11), (2, 12), (3, 13)];
        let next_step = |registry: &Registry, members: &Members| super::next_step(registry, members, id(1), 0);
        assert_eq!(next_step(&registry(&founders), &members(&[1, 2, 3], &[])), None);
        let joined = [(1, 11), (2, 12), (3, 13), (4, 13)];
        let step = |voters: &[u64], learners: &[u64]| next_step(&registry(&joined), &members(voters, learners));
        assert_eq!(step(&[1, 2, 3], &[]), Some(Step::Change(vec![Change::AddLearner(id(4))])));
        assert_eq!(step(&[1, 2, 3], &[4]), Some(Step::Change(vec![Change::Promote(id(4)), Change::Remove(id(3))])));
        assert_eq!(step(&[1, 2, 4], &[]), Some(Step::Forget(RaftId(3))));
        let left = [(1, 11), (2, 12), (4, 13)];
        assert_eq!(next_step(&registry(&left), &members(&[1, 2, 4], &[])), None);
    }

    #[test]
    fn a_sentinel_at_a_new_address_replaces_nobody() {
        let joined = registry(&[(1, 11), (2, 12), (3, 13), (4, 14)]);
        let promote = Step::Change(vec![Change::Promote(consensus::RaftId(4))]);
        assert_eq!(next_step(&joined, &members(&[1, 2, 3], &[4]), consensus::RaftId(1), 0), Some(promote));
    }

    /// A removed sentinel is taken out by one that stays.
    #[test]
    fn a_removed_sentinel_leaves_raft() {
        let id = consensus::RaftId;
        let mut all = registry(&[(1, 11), (2, 12), (3, 13)]);
        all.leaving.insert(RaftId(3));
        let remove = Step::Change(vec![Change::Remove(id(3))]);
        assert_eq!(next_step(&all, &members(&[1, 2, 3], &[]), id(1), 0), Some(remove));
        assert_eq!(next_step(&all, &members(&[1, 2, 3], &[]), id(3), 0), Some(Step::HandOver(id(1))));
        assert_eq!(next_step(&all, &members(&[1, 2], &[]), id(1), 0), Some(Step::Forget(RaftId(3))));
    }

    /// The only voter cannot go before somebody else has a vote, and a learner or an heir that is dead holds up no other.
    #[test]
    fn the_only_voter_leaves_once_another_has_a_vote() {
        let id = consensus::RaftId;
        let mut all = registry(&[(1, 11), (4, 14), (5, 15)]);
        all.leaving.insert(RaftId(1));
        let step = |voters: &[u64], learners: &[u64], turn| next_step(&all, &members(voters, learners), id(1), turn);
        let promote = |learner| Some(Step::Change(vec![Change::Promote(id(learner))]));
        assert_eq!(step(&[1], &[4, 5], 0), promote(4));
        assert_eq!(step(&[1], &[4, 5], 1), promote(5));
        assert_eq!(step(&[1], &[4], 0), Some(Step::Change(vec![Change::AddLearner(id(5))])));
        assert_eq!(step(&[1, 4, 5], &[], 0), Some(Step::HandOver(id(4))));
        assert_eq!(step(&[1, 4, 5], &[], 1), Some(Step::HandOver(id(5))));
    }

    /// Two leaders may propose the same fresh id, and a removed member's id must stay spent.
    #[test]
    fn a_raft_id_is_given_out_once() {
        let mut registry = registry(&[(1, 11), (2, 12), (3, 13)]);
        registry.highest_raft_id = 3;
        let mut index = 10;
        let mut apply = |command| {
            index += 1;
            registry.apply(index, Entry { at: quorate_registry::UnixMs(0), command }).map(drop)
        };
        let joined = |id: u64, who: u64| {
            let address = format!("h:{}", 20 + who);
            let resp = address.parse().expect("a key");
            Command::MemberJoined(Member { raft_id: RaftId(id), sentinel_id: format!("{who:040}"), address, resp })
        };
        assert_eq!(apply(joined(4, 40)), Ok(()));
        let used = |id| Err(quorate_registry::Rejected::RaftIdUsed(RaftId(id)));
        assert_eq!(apply(joined(4, 41)), used(4));
        assert_eq!(apply(Command::MemberLeft { raft_id: RaftId(4) }), Ok(()));
        assert_eq!(apply(joined(4, 40)), used(4));
        assert_eq!(apply(joined(5, 41)), Ok(()));
    }
}
