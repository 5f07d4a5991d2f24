//! `/metrics`: gauges read at scrape time from what this sentinel has applied and observed. Nothing is kept between
//! scrapes but the failover counts, which come from the committed history and are the same on every sentinel.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::{
    service::Service,
    view::{Group, GroupStatus, Health, Node, Sentinel},
};

/// The media type of the text that [`render`] makes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct GroupLabel {
    group: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct NodeLabel {
    group: String,
    node: String,
    role: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SentinelLabel {
    sentinel: String,
    address: String,
}

#[derive(Default)]
struct Gauges {
    group_up: Family<GroupLabel, Gauge>,
    group_failing_over: Family<GroupLabel, Gauge>,
    group_epoch: Family<GroupLabel, Gauge>,
    group_quorum: Family<GroupLabel, Gauge>,
    group_copies: Family<GroupLabel, Gauge>,
    group_voters: Family<GroupLabel, Gauge>,
    group_settled: Family<GroupLabel, Gauge>,
    group_config: Family<GroupLabel, Gauge>,
    group_committed: Family<GroupLabel, Gauge>,
    group_lease: Family<GroupLabel, Gauge>,
    node_up: Family<NodeLabel, Gauge>,
    node_offset: Family<NodeLabel, Gauge>,
    node_lag: Family<NodeLabel, Gauge>,
    node_link_up: Family<NodeLabel, Gauge>,
    sentinel_up: Family<SentinelLabel, Gauge>,
    raft_term: Gauge,
    raft_leader: Gauge,
    raft_applied: Gauge,
}

impl Gauges {
    fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("quorate");
        r.register("group_up", "1 when the group's master answers", self.group_up.clone());
        r.register("group_failing_over", "1 while a failover runs", self.group_failing_over.clone());
        r.register("group_epoch", "The epoch of the present mastership", self.group_epoch.clone());
        r.register("group_durability_quorum", "1 while durability quorum is in force", self.group_quorum.clone());
        r.register("group_copies", "Copies of a write before it is acknowledged", self.group_copies.clone());
        r.register("group_voters", "Nodes whose copy and promise count", self.group_voters.clone());
        r.register("group_voters_settled", "0 while the voters change", self.group_settled.clone());
        r.register("group_config_version", "Version of the voting config", self.group_config.clone());
        r.register("group_committed_offset_bytes", "Held by enough voters up to here", self.group_committed.clone());
        r.register("group_lease_milliseconds", "What was left of the master's lease", self.group_lease.clone());
        r.register("node_up", "1 when the node answers this sentinel", self.node_up.clone());
        r.register("node_offset_bytes", "Replication offset", self.node_offset.clone());
        r.register("node_lag_bytes", "Bytes behind the master", self.node_lag.clone());
        r.register("node_link_up", "1 when the node's link to its master is up", self.node_link_up.clone());
        r.register("sentinel_up", "1 when the sentinel answers this one", self.sentinel_up.clone());
        r.register("raft_term", "Raft's term", self.raft_term.clone());
        r.register("raft_leader", "1 when this sentinel is the Raft leader", self.raft_leader.clone());
        r.register("raft_applied_index", "The last applied Raft index", self.raft_applied.clone());
    }

    fn group(&self, group: &Group) {
        let label = GroupLabel { group: group.name.clone() };
        self.group_up.get_or_create(&label).set((group.status == GroupStatus::Ok).into());
        self.group_failing_over.get_or_create(&label).set((group.status == GroupStatus::Failover).into());
        self.group_epoch.get_or_create(&label).set(saturated(group.epoch));
        let voting = &group.voting;
        self.group_quorum.get_or_create(&label).set((group.durability == "quorum").into());
        self.group_copies.get_or_create(&label).set(voting.copies.into());
        self.group_voters.get_or_create(&label).set(saturated(voting.voters.len() as u64));
        self.group_settled.get_or_create(&label).set(voting.settled.into());
        self.group_config.get_or_create(&label).set(saturated(voting.version));
        self.group_committed.get_or_create(&label).set(saturated(voting.committed_offset));
        self.group_lease.get_or_create(&label).set(saturated(voting.lease_ms));
        for node in &group.nodes {
            self.node(&group.name, node);
        }
    }

    fn node(&self, group: &str, node: &Node) {
        let label = NodeLabel { group: group.to_owned(), node: node.name.clone(), role: node.role.clone() };
        self.node_up.get_or_create(&label).set((node.health == Health::Online).into());
        self.node_offset.get_or_create(&label).set(saturated(node.offset));
        self.node_lag.get_or_create(&label).set(saturated(node.lag));
        self.node_link_up.get_or_create(&label).set(node.link_up.into());
    }

    fn sentinel(&self, sentinel: &Sentinel) {
        let label = SentinelLabel { sentinel: sentinel.id.clone(), address: sentinel.resp_address.clone() };
        self.sentinel_up.get_or_create(&label).set(sentinel.alive.into());
    }
}

/// Gauges are signed; no real figure comes near the bound.
fn saturated(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The metrics as OpenMetrics text.
pub fn render(service: &Service) -> String {
    let gauges = Gauges::default();
    service.groups_unconfirmed().iter().for_each(|g| gauges.group(g));
    service.sentinels().0.iter().for_each(|s| gauges.sentinel(s));
    let standing = service.standing();
    gauges.raft_term.set(saturated(standing.term));
    gauges.raft_leader.set(standing.leading().into());
    gauges.raft_applied.set(saturated(standing.applied));
    let mut registry = Registry::default();
    gauges.register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).expect("writing to a String cannot fail");
    text
}
