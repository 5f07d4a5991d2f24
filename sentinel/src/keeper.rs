//! Who belongs to the cluster: lets new members in, and does on the Raft leader what `quorate_registry::membership` says is next: each step is
//! committed before the next one is derived.
//!
//! A Raft id is given out once (the registry refuses a second owner), and only to a directory that says it is blank: see `founding`.

use std::{sync::Arc, time::Duration};

use quorate_consensus as consensus;
use quorate_consensus::{Change, Members, Role};
use quorate_registry::membership::{self, Seats, Step};
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
        if !seats(&view.status.members).contain(raft_id) {
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

    /// The next step, if one is due.
    async fn tidy(&self, registry: &Arc<Registry>, members: &Members, turn: usize) {
        let raft = |id: RaftId| consensus::RaftId(id.0);
        let me = RaftId(self.driver.view().status.id.0);
        match membership::next_step(registry, &seats(members), me, turn) {
            Some(Step::AddLearner(id)) => self.change(vec![Change::AddLearner(raft(id))]).await,
            Some(Step::Promote { learner, instead_of }) => {
                let removed = instead_of.into_iter().map(|id| Change::Remove(raft(id)));
                self.change([Change::Promote(raft(learner))].into_iter().chain(removed).collect()).await;
            }
            Some(Step::Remove(id)) => self.change(vec![Change::Remove(raft(id))]).await,
            Some(Step::HandOver(to)) => drop(self.driver.transfer(raft(to)).await),
            Some(Step::Forget(raft_id)) => drop(self.propose(Command::MemberLeft { raft_id }).await),
            None => {}
        }
    }

    async fn change(&self, changes: Vec<Change>) {
        match timeout(STEP, self.driver.change(changes.clone())).await {
            Ok(Ok(_)) => tracing::info!(?changes, "changed the members"),
            Ok(Err(why)) => tracing::debug!(?changes, %why, "the members stay as they are"),
            Err(_) => tracing::debug!(?changes, "no majority changed the members"),
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

fn seats(members: &Members) -> Seats {
    let known = |ids: &[consensus::RaftId]| ids.iter().map(|id| RaftId(id.0)).collect();
    Seats { voters: known(&members.voters), learners: known(&members.learners), outgoing: known(&members.outgoing) }
}
