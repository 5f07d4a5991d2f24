//! Between the registry's types and `quorate.v1`. What comes from the wire is validated here and nowhere else: a malformed
//! report is no report.

use std::time::Duration;

use quorate_registry::pulse::Liveness;
use quorate_registry::sights::{NodeFacts, Role, Sight};
use quorate_registry::{Ack, Epoch, GroupName, NodeKey, Offset, VotingConfig, model::MAX_NODES};
use quorate_rpc::{AUTHORIZATION, v1};
use tonic::metadata::MetadataValue;

/// The longest run id, node id or replid that is taken; real ones have 40 digits.
const MAX_ID: usize = 64;

/// A request that carries the shared secret, if there is one.
pub fn authorized<T>(secret: Option<&str>, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    if let Some(bearer) = secret.and_then(|secret| MetadataValue::try_from(format!("Bearer {secret}")).ok()) {
        request.metadata_mut().insert(AUTHORIZATION, bearer);
    }
    request
}

fn id(text: String) -> Option<String> {
    (text.len() <= MAX_ID && text.bytes().all(|b| b.is_ascii_graphic())).then_some(text)
}

fn node(host: &str, port: u32) -> Option<NodeKey> {
    NodeKey::new(host, u16::try_from(port).ok()?).ok()
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What a node's agent said, with what only INFO says.
pub fn facts_of_report(report: v1::NodeReport, agent_port: u16, replicas: Vec<NodeKey>) -> Option<NodeFacts> {
    let role = match v1::NodeRole::try_from(report.role).ok()? {
        v1::NodeRole::Master => Role::Master,
        v1::NodeRole::Replica => Role::Replica,
        v1::NodeRole::Fenced => Role::Fenced,
        v1::NodeRole::Unspecified => return None,
    };
    Some(NodeFacts {
        run_id: id(report.run_id)?,
        node_id: id(report.node_id)?,
        role,
        replid: id(report.replid)?,
        offset: Offset(report.offset),
        master: node(&report.master_host, report.master_port),
        link_up: report.link_up,
        link_down: Duration::from_millis(if report.link_up { 0 } else { report.link_idle_ms }),
        priority: report.priority,
        epoch: Epoch(report.epoch),
        promised: Epoch(report.promised_epoch),
        data_epoch: Epoch(report.data_epoch),
        data_known: report.data_known,
        agent_port,
        loading: report.loading,
        paused: report.paused,
        link_idle: Duration::from_millis(report.link_idle_ms),
        config_version: report.config_version,
        committed: Offset(report.committed_offset),
        renewal: report.renewal,
        lease_left: Duration::from_millis(report.lease_remaining_ms),
        fsync_acks: report.fsync_acks,
        tail_unsure: report.tail_unsure,
        replicas,
    })
}

/// A voting config for a node.
pub fn config_to_wire(config: &VotingConfig) -> v1::VotingConfig {
    v1::VotingConfig {
        version: config.version,
        durability: config.durability.as_str().to_owned(),
        copies: config.copies,
        voters: config.voters.iter().map(ToString::to_string).collect(),
        ack_fsync: config.ack == Ack::Fsync,
        quorum_timeout_ms: config.quorum_timeout_ms,
    }
}

/// One sentinel's view of one node, for the Raft leader.
pub fn sight_to_wire(group: &GroupName, node: &NodeKey, sight: &Sight) -> v1::NodeSight {
    let liveness = match sight.liveness {
        Liveness::Alive => v1::Liveness::Alive,
        Liveness::Suspect => v1::Liveness::Suspect,
        Liveness::Gone => v1::Liveness::Gone,
    };
    v1::NodeSight {
        group: group.to_string(),
        host: node.host().to_owned(),
        port: node.port().into(),
        liveness: liveness.into(),
        silent_ms: ms(sight.silent),
        facts: sight.facts.as_ref().map(facts_to_wire),
        facts_age_ms: ms(sight.facts_age),
    }
}

/// The view that a peer sent; `None` when it is malformed.
pub fn sight_from_wire(sight: v1::NodeSight) -> Option<(GroupName, NodeKey, Sight)> {
    let liveness = match v1::Liveness::try_from(sight.liveness).ok()? {
        v1::Liveness::Alive => Liveness::Alive,
        v1::Liveness::Suspect => Liveness::Suspect,
        v1::Liveness::Gone => Liveness::Gone,
        v1::Liveness::Unspecified => return None,
    };
    let facts = match sight.facts {
        Some(facts) => Some(facts_from_wire(facts)?),
        None => None,
    };
    let (silent, facts_age) = (Duration::from_millis(sight.silent_ms), Duration::from_millis(sight.facts_age_ms));
    let sight_here = Sight { liveness, silent, facts, facts_age };
    Some((sight.group.parse().ok()?, node(&sight.host, sight.port)?, sight_here))
}

fn facts_to_wire(facts: &NodeFacts) -> v1::NodeFacts {
    let role = match facts.role {
        Role::Master => "master",
        Role::Replica => "slave",
        Role::Fenced => "fenced",
    };
    let master = facts.master.as_ref();
    v1::NodeFacts {
        run_id: facts.run_id.clone(),
        node_id: facts.node_id.clone(),
        role: role.to_owned(),
        replid: facts.replid.clone(),
        offset: facts.offset.0,
        master_host: master.map(|m| m.host().to_owned()).unwrap_or_default(),
        master_port: master.map_or(0, |m| m.port().into()),
        link_up: facts.link_up,
        link_down_ms: ms(facts.link_down),
        priority: facts.priority,
        epoch: facts.epoch.0,
        data_epoch: facts.data_epoch.0,
        data_known: facts.data_known,
        agent_port: facts.agent_port.into(),
        loading: facts.loading,
        replicas: facts.replicas.iter().map(NodeKey::to_string).collect(),
        promised_epoch: facts.promised.0,
        paused: facts.paused,
        link_idle_ms: ms(facts.link_idle),
        config_version: facts.config_version,
        committed_offset: facts.committed.0,
        renewal: facts.renewal,
        lease_remaining_ms: ms(facts.lease_left),
        fsync_acks: facts.fsync_acks,
        tail_unsure: facts.tail_unsure,
    }
}

fn facts_from_wire(facts: v1::NodeFacts) -> Option<NodeFacts> {
    let role = match facts.role.as_str() {
        "master" => Role::Master,
        "slave" => Role::Replica,
        "fenced" => Role::Fenced,
        _ => return None,
    };
    Some(NodeFacts {
        run_id: id(facts.run_id)?,
        node_id: id(facts.node_id)?,
        role,
        replid: id(facts.replid)?,
        offset: Offset(facts.offset),
        master: node(&facts.master_host, facts.master_port),
        link_up: facts.link_up,
        link_down: Duration::from_millis(facts.link_down_ms),
        priority: facts.priority,
        epoch: Epoch(facts.epoch),
        promised: Epoch(facts.promised_epoch),
        data_epoch: Epoch(facts.data_epoch),
        data_known: facts.data_known,
        agent_port: u16::try_from(facts.agent_port).ok()?,
        loading: facts.loading,
        paused: facts.paused,
        link_idle: Duration::from_millis(facts.link_idle_ms),
        config_version: facts.config_version,
        committed: Offset(facts.committed_offset),
        renewal: facts.renewal,
        lease_left: Duration::from_millis(facts.lease_remaining_ms),
        fsync_acks: facts.fsync_acks,
        tail_unsure: facts.tail_unsure,
        replicas: facts.replicas.iter().take(MAX_NODES).filter_map(|node| node.parse().ok()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight() -> Sight {
        let facts = NodeFacts {
            run_id: "a".repeat(40),
            node_id: "b".repeat(40),
            role: Role::Fenced,
            replid: "c".repeat(40),
            offset: Offset(11),
            master: Some(NodeKey::new("h", 1).expect("a port")),
            link_up: true,
            link_down: Duration::from_millis(12),
            priority: 13,
            epoch: Epoch(14),
            promised: Epoch(15),
            data_epoch: Epoch(16),
            data_known: true,
            agent_port: 17,
            loading: true,
            paused: true,
            link_idle: Duration::from_millis(20),
            config_version: 21,
            committed: Offset(22),
            renewal: 23,
            lease_left: Duration::from_millis(24),
            fsync_acks: true,
            tail_unsure: true,
            replicas: vec![NodeKey::new("h", 2).expect("a port")],
        };
        let (silent, facts_age) = (Duration::from_millis(18), Duration::from_millis(19));
        Sight { liveness: Liveness::Suspect, silent, facts: Some(facts), facts_age }
    }

    #[test]
    fn a_sight_reads_back_what_it_writes() {
        let (group, node) = ("main".parse().expect("a word"), NodeKey::new("::1", 7001).expect("a port"));
        let read = sight_from_wire(sight_to_wire(&group, &node, &sight()));
        assert_eq!(read, Some((group, node, sight())));
    }

    #[test]
    fn malformed_sights_are_refused() {
        let good = || sight_to_wire(&"main".parse().expect("a word"), &NodeKey::new("h", 1).expect("a port"), &sight());
        assert!(sight_from_wire(good()).is_some());
        let with = |change: fn(&mut v1::NodeSight)| {
            let mut sight = good();
            change(&mut sight);
            sight_from_wire(sight)
        };
        assert_eq!(with(|s| s.group = "two words".into()), None);
        assert_eq!(with(|s| s.port = 70_000), None);
        assert_eq!(with(|s| s.liveness = 9), None);
        assert_eq!(with(|s| s.liveness = 0), None);
        assert_eq!(with(|s| s.facts.as_mut().expect("some").role = "king".into()), None);
        assert_eq!(with(|s| s.facts.as_mut().expect("some").run_id = "x".repeat(99)), None);
        assert_eq!(with(|s| s.facts.as_mut().expect("some").replid = "line\nbreak".into()), None);
    }
}
