//! Between the wire's messages and the rooms' types: everything that arrives is checked here.

use std::time::Duration;

use quorate_engine::{Facts, NodeRole};
use quorate_replication::commit::{Acks, Durability};
use quorate_replication::fence::Role;
use quorate_replication::{Address, NodeId, VotingConfig};
use quorate_rpc::v1;
use tonic::Status;

use super::vitals::Busy;

/// The role that an Assign names.
pub(super) fn role(request: &v1::AssignRequest) -> Result<Role, Status> {
    match request.role() {
        v1::NodeRole::Master => Ok(Role::Master),
        v1::NodeRole::Replica => {
            let port = u16::try_from(request.master_port).ok().filter(|port| *port != 0);
            let port = port.ok_or_else(|| Status::invalid_argument("master_port: from 1 to 65535"))?;
            let host = request.master_host.as_str();
            if host.is_empty() || host.len() > 255 || host.chars().any(|c| c.is_whitespace() || c.is_control()) {
                return Err(Status::invalid_argument("master_host: a name or an address"));
            }
            Ok(Role::Replica(Address::new(host, port)))
        }
        v1::NodeRole::Unspecified | v1::NodeRole::Fenced => Err(Status::invalid_argument("role: MASTER or REPLICA")),
    }
}

/// The voting config that an order carries, if it carries one.
pub(super) fn config(config: Option<v1::VotingConfig>) -> Result<Option<VotingConfig>, Status> {
    let Some(config) = config else { return Ok(None) };
    let copies = config.copies as usize;
    let durability = match config.durability.as_str() {
        "async" => Durability::Async,
        "quorum" => Durability::Quorum { copies },
        _ => return Err(Status::invalid_argument("durability: async or quorum")),
    };
    let voters: Option<Vec<NodeId>> = config.voters.iter().map(|id| NodeId::parse(id.as_bytes())).collect();
    let voters = voters.ok_or_else(|| Status::invalid_argument("voters: node ids of 40 hexadecimal digits"))?;
    let acks = if config.ack_fsync { Acks::Synced } else { Acks::Received };
    let timeout = Some(config.quorum_timeout_ms).filter(|ms| *ms > 0).map(|ms| Duration::from_millis(ms.into()));
    let config = VotingConfig::new(config.version, durability, voters, acks, timeout);
    config.map(Some).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// What a report tells of the lease.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Leased {
    /// The heartbeat's number; 0 for what is no heartbeat.
    pub renewal: u64,
    /// How much longer the lease lasts.
    pub remaining: Duration,
}

/// The report of a node. `busy` is `None` in an answer of the engine itself: it has just ended its turn.
pub(super) fn report(
    (node_id, run_id): (&str, &str),
    facts: &Facts,
    busy: Option<Busy>,
    leased: Leased,
    now: Duration,
) -> v1::NodeReport {
    let role = match facts.role {
        NodeRole::Master => v1::NodeRole::Master,
        NodeRole::Replica => v1::NodeRole::Replica,
        NodeRole::Fenced => v1::NodeRole::Fenced,
    };
    let (master_host, master_port) = match &facts.master {
        Some(master) => (master.host.clone(), u32::from(master.port)),
        None => (String::new(), 0),
    };
    v1::NodeReport {
        node_id: node_id.to_owned(),
        run_id: run_id.to_owned(),
        group: facts.group.clone(),
        role: role.into(),
        epoch: facts.epoch.0,
        promised_epoch: facts.promised.0,
        data_epoch: facts.data_epoch.0,
        data_known: facts.data_known,
        replid: facts.held.replid.to_string(),
        offset: facts.held.offset.0,
        master_host,
        master_port,
        link_up: facts.link_up,
        link_idle_ms: now.saturating_sub(facts.link_at).as_millis() as u64,
        loading: facts.loading,
        paused: facts.paused,
        busy_ms: busy.map_or(0, |busy| busy.since.as_millis() as u64),
        priority: facts.priority,
        config_version: facts.config_version,
        committed_offset: facts.committed.0,
        renewal: leased.renewal,
        lease_remaining_ms: leased.remaining.as_millis() as u64,
        fsync_acks: facts.fsync_acks,
        dropped_tail: facts.dropped_tail,
        tail_unsure: facts.tail_unsure,
    }
}
