//! Operators' orders: carried out by the Raft leader, forwarded to it by whoever was asked.
//!
//! An order is answered once it is committed *and* applied at the sentinel that was asked, so that the operator's next question sees it.
//! An order whose outcome is unknown (the leader changed) is not repeated by itself: [`Refusal::Unknown`] says that it may have happened.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use quorate_consensus::{Refused, Role};
use quorate_registry as registry;
use quorate_registry::{Command, Entry, GroupName, NodeKey, Rejected, steering::Manner};
use quorate_rpc::v1;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout, timeout_at},
};

use crate::{
    clock::Clock,
    driver,
    entry::Standing,
    office::{Ask, Wish},
    peers::{Badge, Peers, client},
};

/// How long an order waits for a leader and its majority.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// Between two looks for a leader.
const RETRY: Duration = Duration::from_millis(50);

/// What an operator wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Order {
    /// Watch a group, forget one, change its settings, reset it.
    Command(Command),
    /// A failover, judged by the leader upon what it sees.
    Failover {
        /// The group.
        group: GroupName,
        /// Who is to take over.
        candidate: Option<NodeKey>,
        /// Go on without the master's help.
        force: bool,
        /// Go on though acknowledged writes may be lost.
        #[serde(default)]
        accept_loss: bool,
    },
    /// Take a sentinel out, judged by the leader upon who answers.
    RemoveSentinel {
        /// SENTINEL MYID of the one that leaves.
        sentinel_id: String,
    },
}

/// What came of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Committed.
    Done {
        /// Its place in the log.
        index: u64,
    },
    /// Not carried out, or perhaps.
    Refused(Refusal),
}

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// No such group.
    #[error("No such master with that name")]
    NoSuchGroup,
    /// No such sentinel.
    #[error("no such sentinel")]
    NoSuchSentinel,
    /// The group exists.
    #[error("Duplicate master name.")]
    Duplicate,
    /// A failover is running.
    #[error("Failover already in progress")]
    InProgress,
    /// Nobody to promote.
    #[error("No suitable replica to promote")]
    NoGoodReplica,
    /// A setting or an argument is wrong.
    #[error("{0}")]
    Invalid(String),
    /// Anything else that the registry refuses.
    #[error("{0}")]
    Conflict(String),
    /// It is so already.
    #[error("nothing to change")]
    Unchanged,
    /// No leader, or no majority behind it: nothing happened.
    #[error("no majority of the sentinels can be reached")]
    NoQuorum,
    /// The sentinel that was asked does not lead: nothing happened.
    #[error("not the leader")]
    NotLeader,
    /// The leader changed while the order was under way.
    #[error("the outcome is unknown: it may yet be carried out")]
    Unknown,
}

impl From<Rejected> for Refusal {
    fn from(why: Rejected) -> Self {
        match why {
            Rejected::NoSuchGroup(_) => Self::NoSuchGroup,
            Rejected::Duplicate(_) => Self::Duplicate,
            Rejected::InProgress(_) => Self::InProgress,
            Rejected::NoGoodReplica => Self::NoGoodReplica,
            Rejected::Setting(why) => Self::Invalid(why.to_string()),
            Rejected::NoSuchNode(node) => Self::Invalid(format!("no such replica: {node}")),
            Rejected::NoSuchSentinel(_) => Self::NoSuchSentinel,
            Rejected::Unchanged => Self::Unchanged,
            other => Self::Conflict(other.to_string()),
        }
    }
}

impl From<Refused> for Refusal {
    fn from(why: Refused) -> Self {
        match why {
            Refused::NotLeader { .. } => Self::NotLeader,
            Refused::Lost => Self::Unknown,
            Refused::TimedOut | Refused::Busy(_) => Self::NoQuorum,
            other @ (Refused::TooLarge { .. } | Refused::Members(_)) => Self::Invalid(other.to_string()),
        }
    }
}

impl Order {
    /// Reads an order that a peer sent; only what operators may order.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let order: Self = serde_json::from_slice(bytes).ok()?;
        order.is_operators().then_some(order)
    }

    fn is_operators(&self) -> bool {
        use Command::{MonitorGroup, NodeAdded, NodeRemoved, RemoveGroup, ResetGroup, SetGroup};
        match self {
            Self::Failover { .. } | Self::RemoveSentinel { .. } => true,
            Self::Command(
                MonitorGroup { .. }
                | RemoveGroup { .. }
                | SetGroup { .. }
                | ResetGroup { .. }
                | NodeAdded { .. }
                | NodeRemoved { .. },
            ) => true,
            Self::Command(_) => false,
        }
    }

    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("string keys and plain values always serialize")
    }
}

impl Answer {
    /// For the wire.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain values always serialize")
    }
}

/// Carries out orders, here or at the leader. Cheap to clone.
#[derive(Clone)]
pub struct Orders {
    /// Raft.
    pub driver: driver::Handle,
    /// The office, which judges failovers.
    pub asks: mpsc::Sender<Ask>,
    /// The secret; the cluster's id comes from the membership.
    pub secret: Arc<str>,
    /// This sentinel's membership.
    pub standing: Arc<Standing>,
    /// The links to the other members, once this sentinel is one.
    pub peers: Arc<OnceLock<Peers>>,
    /// For the time of proposals.
    pub clock: Clock,
}

impl Orders {
    /// Carries an order out wherever the leader is; answered once it is applied here too.
    pub async fn carry_out(&self, order: Order) -> Result<u64, Refusal> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer =
                timeout_at(deadline.into(), self.try_once(&order)).await.unwrap_or(Answer::Refused(Refusal::Unknown));
            match answer {
                Answer::Done { index } => return self.applied_here(index, deadline).await.map(|()| index),
                // Nothing happened: a leader may be on its way.
                Answer::Refused(Refusal::NotLeader | Refusal::NoQuorum) if Instant::now() + RETRY < deadline => {
                    sleep(RETRY).await
                }
                Answer::Refused(Refusal::NotLeader) => return Err(Refusal::NoQuorum),
                Answer::Refused(why) => return Err(why),
            }
        }
    }

    /// Carries an order out if this sentinel leads.
    pub async fn carry_out_here(&self, order: Order) -> Answer {
        match self.here(order).await {
            Ok(index) => Answer::Done { index },
            Err(why) => Answer::Refused(why),
        }
    }

    async fn here(&self, order: Order) -> Result<u64, Refusal> {
        let command = match order {
            Order::Command(Command::SetGroup { group, changes }) => self.judge(group, Wish::Settings(changes)).await?,
            Order::Command(command) => command,
            Order::Failover { group, candidate, force, accept_loss } => {
                let manner = match (accept_loss, force) {
                    (true, _) => Manner::AcceptLoss,
                    (false, true) => Manner::Force,
                    (false, false) => Manner::Handover,
                };
                self.judge(group, Wish::Failover { candidate, manner }).await?
            }
            Order::RemoveSentinel { sentinel_id } => self.judge_removal(&sentinel_id).await?,
        };
        let applied = self.driver.propose(&Entry { at: self.clock.wall(), command }).await?;
        applied.outcome?;
        Ok(applied.index.0)
    }

    /// Has the leader's office judge a wish upon what it sees.
    async fn judge(&self, group: GroupName, wish: Wish) -> Result<Command, Refusal> {
        let (reply, judged) = oneshot::channel();
        self.asks.try_send(Ask { group, wish, reply }).map_err(|_| Refusal::NoQuorum)?;
        Ok(judged.await.map_err(|_| Refusal::NotLeader)??)
    }

    /// May this sentinel leave? Those who stay must have a majority that answers, and must be able to find a master down. A
    /// leader hands leadership on first: whoever is asked next carries the order out.
    async fn judge_removal(&self, sentinel_id: &str) -> Result<Command, Refusal> {
        let view = self.driver.view();
        let registry = &view.registry;
        let leaver = registry.sentinels.values().find(|member| member.sentinel_id == sentinel_id);
        let raft_id = leaver.ok_or_else(|| Rejected::NoSuchSentinel(sentinel_id.to_owned()))?.raft_id;
        if let Some(other) = registry.leaving.iter().find(|id| **id != raft_id) {
            return Err(Rejected::SentinelLeaving(*other).into());
        }
        let stay = || registry.sentinels.keys().filter(|id| **id != raft_id);
        let peers = self.peers.get().map(Peers::seen).unwrap_or_default();
        let me = registry::RaftId(view.status.id.0);
        let alive = |id: &&registry::RaftId| **id == me || peers.get(*id).is_some_and(|peer| peer.connected);
        let (staying, answering) = (stay().count(), stay().filter(alive).count());
        if staying == 0 {
            return Err(Rejected::LastSentinel.into());
        }
        if answering * 2 <= staying {
            let why =
                format!("{answering} of the {staying} sentinels that would stay answer: no majority could decide");
            return Err(Refusal::Conflict(why));
        }
        if let Some((name, group)) = registry.groups.iter().find(|(_, g)| g.settings.quorum as usize > staying) {
            let quorum = group.settings.quorum;
            let why = format!("group {name} needs {quorum} sentinels to find its master down; {staying} would stay");
            return Err(Refusal::Conflict(why));
        }
        if raft_id == me {
            let heir = stay().find(alive).expect("a majority of those who stay answers");
            self.driver.transfer(quorate_consensus::RaftId(heir.0)).await?;
            return Err(Refusal::NotLeader);
        }
        Ok(Command::MemberLeaves { raft_id })
    }

    async fn try_once(&self, order: &Order) -> Answer {
        let view = self.driver.view();
        if matches!(view.status.role, Role::Leader { .. }) {
            return self.carry_out_here(order.clone()).await;
        }
        let leader = view.status.leader.and_then(|id| view.registry.sentinels.get(&registry::RaftId(id.0)));
        let (Some(leader), Some(membership)) = (leader, self.standing.membership()) else {
            return Answer::Refused(Refusal::NoQuorum);
        };
        let badge = Badge::new(&self.secret, Some(&membership.cluster_id)).expect("checked when the process started");
        let Ok(mut client) = client(&leader.address, badge).await else { return Answer::Refused(Refusal::NoQuorum) };
        match client.order(v1::OrderRequest { order: order.encode() }).await {
            Ok(reply) => serde_json::from_slice(&reply.get_ref().outcome).unwrap_or(Answer::Refused(Refusal::Unknown)),
            Err(status) => {
                tracing::debug!(%status, "the leader did not answer an order");
                Answer::Refused(Refusal::Unknown)
            }
        }
    }

    /// Waits until this sentinel has applied the entry; one that lags behind for longer answers all the same.
    async fn applied_here(&self, index: u64, deadline: Instant) -> Result<(), Refusal> {
        let mut view = self.driver.watch();
        let applied = view.wait_for(|view| view.status.applied.0 >= index);
        let _ = timeout(deadline.saturating_duration_since(Instant::now()), applied).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_operators_orders_are_taken_from_peers() {
        let group: GroupName = "main".parse().expect("a name");
        let honest = Order::Command(Command::RemoveGroup { group: group.clone() });
        assert_eq!(Order::decode(&honest.encode()), Some(honest));
        let forged = Order::Command(Command::FailoverAbort {
            group,
            epoch: registry::Epoch(1),
            reason: registry::failover::AbortReason::Superseded,
        });
        assert_eq!(Order::decode(&forged.encode()), None);
        assert_eq!(Order::decode(b"{"), None);
    }
}
