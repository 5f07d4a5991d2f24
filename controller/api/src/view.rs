//! What the API shows: plain records with the same fields over HTTP (JSON) and gRPC.
//!
//! Invariant I14: every record about a group carries the group's epoch. Units stand in the names; offsets are bytes of
//! the replication stream. The conversions to the generated messages are at the end, one for each record.

use quorate_rpc::v1;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who the master of a group is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Master {
    /// The group.
    pub group: String,
    /// Address to connect to.
    pub host: String,
    /// Port to connect to.
    pub port: u16,
    /// The epoch of this mastership.
    pub epoch: u64,
}

/// How a group is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum GroupStatus {
    /// The master answers.
    Ok,
    /// The sentinel that was asked finds the master down; too few others agree.
    Sdown,
    /// Enough sentinels find the master down.
    Odown,
    /// A failover is running.
    Failover,
}

/// How a node is doing, as the sentinel that was asked sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It answers.
    Online,
    /// It has been silent for longer than down-after.
    Suspect,
    /// Its connections were reset and new ones refused.
    Down,
    /// It never answered this sentinel.
    Unknown,
}

/// One data node of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// `host:port`: a node's name everywhere in the API.
    pub name: String,
    /// Its address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `master` or `replica`, as committed.
    pub role: String,
    /// What it last said that it is: `master`, `slave` or `fenced`; empty when it never answered.
    pub reported_role: String,
    /// How it is doing.
    pub health: Health,
    /// Its process's run id, 40 hexadecimal digits; empty when it never answered.
    pub run_id: String,
    /// Its replication offset in bytes.
    pub offset: u64,
    /// Bytes behind the master.
    pub lag: u64,
    /// Is its link to the master up? Always true of the master.
    pub link_up: bool,
    /// `replica-priority`; 0 is never promoted.
    pub priority: u32,
    /// The tags it was given.
    pub tags: Vec<String>,
    /// A Redis or Valkey node, not one of ours.
    pub stock: bool,
    /// It counts: its copy toward acknowledged writes, its promise toward a choice. Else it is a learner.
    pub voter: bool,
    /// It was removed, and has not given up its vote yet.
    pub leaving: bool,
}

/// Who must hold a write before it is acknowledged, and who must promise before a master is chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Voting {
    /// Grows with each change.
    pub version: u64,
    /// False while the config is not yet what was asked for, or the master has not adopted it: until the master has adopted it, the former config binds too.
    pub settled: bool,
    /// `async` or `quorum`, as the operator set it.
    pub wanted: String,
    /// How many hold a write before it is acknowledged, the master included; 1 in `async`.
    pub copies: u32,
    /// Who counts, as `host:port`; the id of a voter that no node has any more.
    pub voters: Vec<String>,
    /// `receipt` or `fsync`: when a replica acknowledges.
    pub ack: String,
    /// A reply that is held for longer becomes an error, in milliseconds; 0: it waits for ever.
    pub quorum_timeout_ms: u32,
    /// What the master last said: everything up to here is held by enough voters.
    pub committed_offset: u64,
    /// What was left of the master's lease then, in milliseconds.
    pub lease_ms: u64,
}

/// One group: a dataset with its master and replicas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// The epoch of the present mastership.
    pub epoch: u64,
    /// How it is doing.
    pub status: GroupStatus,
    /// `async` or `quorum`, as it is in force: never stronger than what the master does.
    pub durability: String,
    /// Does it hold a stock Redis or Valkey node? Such a group is always `async`.
    pub stock: bool,
    /// Its master.
    pub master: Master,
    /// Every node, the master first.
    pub nodes: Vec<Node>,
    /// How many sentinels must agree that the master is down.
    pub quorum: u32,
    /// Silence after which a node is suspect, in milliseconds.
    pub down_after_ms: u64,
    /// How long a failover may take, in milliseconds.
    pub failover_timeout_ms: u64,
    /// How many replicas are pointed at a new master at a time.
    pub parallel_syncs: u32,
    /// The phase of the running failover; empty when none runs.
    pub failover_phase: String,
    /// Who counts, and how many must.
    pub voting: Voting,
}

/// One sentinel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sentinel {
    /// Its run id, 40 hexadecimal digits.
    pub id: String,
    /// Its Raft id.
    pub raft_id: u64,
    /// `host:port` of the Sentinel RESP protocol.
    pub resp_address: String,
    /// `host:port` of gRPC and HTTP.
    pub api_address: String,
    /// `leader`, `follower` or `learner`.
    pub role: String,
    /// Does it answer the sentinel that was asked?
    pub alive: bool,
    /// Is it the sentinel that was asked?
    #[serde(rename = "self")]
    pub is_self: bool,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its place in the history; the same on every sentinel. 0 for what one sentinel alone observed (such as +sdown).
    pub index: u64,
    /// When it was committed, or observed: milliseconds since 1970.
    pub unix_ms: u64,
    /// The group it is about; empty when it is about none.
    pub group: String,
    /// The Sentinel channel, such as `+switch-master`.
    pub name: String,
    /// The Sentinel payload.
    pub text: String,
    /// The group's epoch after it.
    pub epoch: u64,
}

/// The body of `POST /v1/groups/{name}/failover`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FailoverOrder {
    /// `host:port` of the replica to promote; absent: the sentinels choose.
    pub candidate: Option<String>,
    /// Fail over though the master does not answer, without a handover. Refused in a `quorum` group of which too few voters answer.
    pub force: bool,
    /// Then go on with whoever is left, as the others will never come back: acknowledged writes that only they hold are lost.
    pub accept_loss: bool,
}

/// What a planned failover came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailoverReport {
    /// The new master.
    pub master: Master,
    /// From the request to the end of the failover's decisive part, in milliseconds.
    pub took_ms: u64,
    /// How long writes were paused, in milliseconds; 0 when there was no handover.
    pub paused_ms: u64,
}

/// The body of `POST /v1/groups`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MonitorOrder {
    /// The new group's name.
    pub name: String,
    /// The master's address.
    pub host: String,
    /// The master's port.
    pub port: u16,
    /// How many sentinels must agree that the master is down.
    pub quorum: u32,
    /// Every node of the group, as `host:port`, the master included or not. Needed where the nodes are ours and new: nodes that
    /// were not told yet what they are follow nobody, so the master cannot name them.
    #[serde(default)]
    pub nodes: Vec<String>,
}

impl From<Master> for v1::Master {
    fn from(m: Master) -> Self {
        Self { group: m.group, host: m.host, port: m.port.into(), epoch: m.epoch }
    }
}

impl From<Node> for v1::Node {
    fn from(n: Node) -> Self {
        Self {
            health: n.health.word().to_owned(),
            name: n.name,
            host: n.host,
            port: n.port.into(),
            role: n.role,
            reported_role: n.reported_role,
            run_id: n.run_id,
            offset: n.offset,
            lag: n.lag,
            link_up: n.link_up,
            priority: n.priority,
            tags: n.tags,
            stock: n.stock,
            voter: n.voter,
            leaving: n.leaving,
        }
    }
}

impl From<Group> for v1::Group {
    fn from(g: Group) -> Self {
        Self {
            name: g.name,
            epoch: g.epoch,
            status: g.status.word().to_owned(),
            durability: g.durability,
            stock: g.stock,
            master: Some(g.master.into()),
            nodes: g.nodes.into_iter().map(Into::into).collect(),
            quorum: g.quorum,
            down_after_ms: g.down_after_ms,
            failover_timeout_ms: g.failover_timeout_ms,
            parallel_syncs: g.parallel_syncs,
            failover_phase: g.failover_phase,
            voting: Some(g.voting.into()),
        }
    }
}

impl From<Voting> for v1::Voting {
    fn from(v: Voting) -> Self {
        Self {
            version: v.version,
            settled: v.settled,
            wanted: v.wanted,
            copies: v.copies,
            voters: v.voters,
            ack: v.ack,
            quorum_timeout_ms: v.quorum_timeout_ms,
            committed_offset: v.committed_offset,
            lease_ms: v.lease_ms,
        }
    }
}

impl From<Sentinel> for v1::SentinelInfo {
    fn from(s: Sentinel) -> Self {
        Self {
            id: s.id,
            raft_id: s.raft_id,
            resp_address: s.resp_address,
            api_address: s.api_address,
            role: s.role,
            alive: s.alive,
            self_: s.is_self,
        }
    }
}

impl From<Event> for v1::Event {
    fn from(e: Event) -> Self {
        Self { index: e.index, unix_ms: e.unix_ms, group: e.group, name: e.name, text: e.text, epoch: e.epoch }
    }
}

impl From<FailoverReport> for v1::FailoverReply {
    fn from(r: FailoverReport) -> Self {
        Self { master: Some(r.master.into()), took_ms: r.took_ms, paused_ms: r.paused_ms }
    }
}

impl GroupStatus {
    /// The word that both fronts show.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Sdown => "sdown",
            Self::Odown => "odown",
            Self::Failover => "failover",
        }
    }
}

impl Health {
    /// The word that both fronts show.
    pub fn word(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}
