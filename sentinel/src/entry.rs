//! How this sentinel becomes a member: it asks its peers, and does what [`founding`](crate::founding) decides.
//!
//! While it asks, it answers the same question to others ([`Standing`]); what it answers is on its disk before.

use std::{
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use quorate_consensus::Recovered;
use quorate_rpc::v1;
use tokio::time::{sleep, timeout};

use crate::{
    founding::{Decision, Heard, Record, Seat, decide},
    peers::{
        Badge, client,
        records::{heard_from_wire, record_to_wire},
    },
    store::{self, Contact, Identity, Membership, Store, StoreError},
};

/// Between two rounds of asking, when something moved.
const ASK_SOON: Duration = Duration::from_millis(30);
/// Between two rounds of asking, when nothing did.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// How long a peer may take to say where it stands.
const ANSWER: Duration = Duration::from_millis(700);
/// How long a leader may take to let a sentinel in.
const JOIN: Duration = Duration::from_secs(6);
/// Between two lines about what this sentinel waits for.
const COMPLAIN: u32 = 25;

/// Where this sentinel stands, for whoever asks.
pub struct Standing {
    reply: Mutex<v1::FoundingReply>,
    membership: OnceLock<Membership>,
}

impl Standing {
    /// Before anything is decided.
    pub fn new(seat: &Seat) -> Self {
        let reply = v1::FoundingReply {
            sentinel_id: seat.sentinel_id.clone(),
            address: seat.address.clone(),
            resp_address: seat.resp.clone(),
            ..Default::default()
        };
        Self { reply: Mutex::new(reply), membership: OnceLock::new() }
    }

    /// What to tell a peer.
    pub fn reply(&self) -> v1::FoundingReply {
        self.reply.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The membership, once there is one.
    pub fn membership(&self) -> Option<&Membership> {
        self.membership.get()
    }

    fn pledged(&self, record: &Record) {
        self.reply.lock().unwrap_or_else(PoisonError::into_inner).pledge = Some(record_to_wire(record));
    }

    fn joined(&self, membership: &Membership) {
        let mut reply = self.reply.lock().unwrap_or_else(PoisonError::into_inner);
        reply.cluster_id = membership.cluster_id.clone();
        reply.founded = membership.founded.as_ref().map(record_to_wire);
        self.membership.get_or_init(|| membership.clone());
    }
}

/// What entering needs.
pub struct Entrance<'a> {
    /// This sentinel's address and directory.
    pub me: &'a Seat,
    /// The other founders' addresses, as configured.
    pub others: &'a [String],
    /// The secret.
    pub badge: &'a Badge,
    /// What others are told.
    pub standing: &'a Standing,
    /// Where it is written down.
    pub store: &'a Store,
}

impl Entrance<'_> {
    /// Returns once this sentinel is a member, with the state that it starts from. Waits for peers as long as it takes.
    pub async fn enter(
        &self,
        identity: &Identity,
        recovered: Recovered,
    ) -> Result<(Membership, Recovered), StoreError> {
        let mut pledge = match &identity.standing {
            store::Standing::Member(membership) => {
                self.standing.joined(membership);
                return Ok((membership.clone(), recovered));
            }
            store::Standing::Pledged(record) => {
                self.standing.pledged(record);
                Some(record.clone())
            }
            store::Standing::Blank => None,
        };
        let mut rounds = 0u32;
        loop {
            let heard = self.ask_all().await;
            match decide(self.me, pledge.as_ref(), &heard) {
                Decision::Pledge(record) => {
                    self.store.pledge(&record)?;
                    self.standing.pledged(&record);
                    pledge = Some(record);
                    continue; // the answers that count are those given after the pledge
                }
                Decision::Found(record) => return self.found(&record),
                Decision::Join { cluster_id } => {
                    if let Some(membership) = self.ask_to_join(&cluster_id).await {
                        return self.become_member(membership, Recovered::blank());
                    }
                }
                Decision::Divided => tracing::error!("the configured peers belong to different clusters"),
                Decision::Wait => self.complain(rounds, &heard),
            }
            rounds += 1;
            sleep(if rounds < 20 { ASK_SOON } else { ASK_AGAIN }).await;
        }
    }

    fn found(&self, record: &Record) -> Result<(Membership, Recovered), StoreError> {
        let membership =
            Membership::founder(record, &self.me.sentinel_id).expect("only a record with our seat is founded");
        tracing::info!(cluster = membership.cluster_id, raft_id = membership.raft_id, "founded the cluster");
        self.become_member(membership, record.state())
    }

    fn become_member(&self, membership: Membership, state: Recovered) -> Result<(Membership, Recovered), StoreError> {
        self.store.join(&membership, &state)?;
        self.standing.joined(&membership);
        Ok((membership, state))
    }

    async fn ask_all(&self) -> Vec<Option<Heard>> {
        join_all(self.others.iter().map(|address| self.ask(address))).await
    }

    async fn ask(&self, address: &str) -> Option<Heard> {
        let asked = async { client(address, self.badge.clone()).await?.founding(v1::FoundingRequest {}).await };
        match timeout(ANSWER, asked).await.ok()? {
            Ok(reply) => heard_from_wire(reply.into_inner()),
            Err(status) => {
                tracing::debug!(address, %status, "a peer did not say where it stands");
                None
            }
        }
    }

    /// Asks every configured peer; only the leader lets anybody in.
    async fn ask_to_join(&self, cluster_id: &str) -> Option<Membership> {
        let request = v1::JoinRequest {
            cluster_id: cluster_id.to_owned(),
            sentinel_id: self.me.sentinel_id.clone(),
            address: self.me.address.clone(),
            resp_address: self.me.resp.clone(),
        };
        for address in self.others {
            let asked = async { client(address, self.badge.clone()).await?.join(request.clone()).await };
            match timeout(JOIN, asked).await {
                Ok(Ok(reply)) => {
                    let reply = reply.into_inner();
                    let contact = |member: v1::Member| Contact { raft_id: member.raft_id, address: member.address };
                    tracing::info!(cluster = cluster_id, raft_id = reply.raft_id, "joins the cluster as a new member");
                    return (reply.raft_id != 0).then(|| Membership {
                        raft_id: reply.raft_id,
                        cluster_id: cluster_id.to_owned(),
                        founded: None,
                        contacts: reply.members.into_iter().map(contact).collect(),
                    });
                }
                Ok(Err(status)) if status.code() == tonic::Code::FailedPrecondition => {} // not the leader
                Ok(Err(status)) => tracing::warn!(address, why = status.message(), "not let in"),
                Err(_) => tracing::warn!(address, "no answer to the wish to join"),
            }
        }
        None
    }

    fn complain(&self, rounds: u32, heard: &[Option<Heard>]) {
        if rounds % COMPLAIN == COMPLAIN - 1 {
            let silent: Vec<&String> = self
                .others
                .iter()
                .zip(heard)
                .filter(|(_, heard)| heard.is_none())
                .map(|(address, _)| address)
                .collect();
            tracing::info!(?silent, "a cluster is founded once all its founders have met; waiting");
        }
    }
}
