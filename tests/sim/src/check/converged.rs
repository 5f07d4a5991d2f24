//! Once everything is healed there is one master, everybody follows it and holds what it holds, and writes go on.

use std::collections::BTreeSet;

use quorate_engine::{Facts, NodeRole};

use quorate_registry::failover::Failover;
use quorate_registry::{Ack, Durability, Group, Membership, NodeId, NodeKey, RaftId, Voting, VotingConfig};

use super::Breach;
use super::prefix::digest;
use crate::node::{FIRST_PORT, Node, place};
use crate::sentinel::{Sentinel, group_name};

/// Its name.
pub const PROPERTY: &str = "healed: one master, whom all follow";

/// Why the group is not at rest; `None` when it is.
pub fn unrest(sentinels: &[Sentinel], nodes: &[Node]) -> Option<String> {
    let Some(leader) = sentinels.iter().find(|sentinel| sentinel.leads()) else { return Some("no leader".into()) };
    let registry = leader.registry().expect("a leader lives");
    let group = registry.group(&group_name())?;
    if let Some(failover) = &group.failover {
        return Some(format!("a failover for epoch {} is {}", failover.epoch, failover.phase.name()));
    }
    if leader.members_change() {
        return Some("sentinels are joining or leaving".into());
    }
    let counts = |one: &&Sentinel| one.raft_id.is_some_and(|id| registry.sentinels.contains_key(&RaftId(id.0)));
    let watching: Vec<&Sentinel> = sentinels.iter().filter(counts).collect();
    if watching.len() < registry.sentinels.len() {
        return Some("a sentinel is not there".into());
    }
    if watching.iter().any(|one| one.registry().is_none_or(|other| other.applied != registry.applied)) {
        return Some("the sentinels have not applied the same".into());
    }
    match &group.voting {
        Voting::Joint { .. } => return Some("the voters are changing".into()),
        Voting::Settled(config) if !group.is_settled() => return Some(format!("the group is at {config} still")),
        Voting::Settled(config) if config.voters != members(group, nodes) => {
            return Some(format!("not exactly the members vote: {:?}, not {:?}", config.voters, members(group, nodes)));
        }
        Voting::Settled(_) => {}
    }
    let master = place(&group.master);
    let may_lead = |key: &NodeKey| nodes[place(key)].facts().is_some_and(|facts| facts.priority != 0);
    if group.interim == Some(group.epoch) && !may_lead(&group.master) && group.nodes.keys().any(may_lead) {
        return Some(format!("node {master} leads and is barred"));
    }
    for (at, node) in group.nodes.keys().map(|key| (place(key), &nodes[place(key)])) {
        let Some(facts) = node.facts() else { return Some(format!("node {at} is down")) };
        let role = if at == master { NodeRole::Master } else { NodeRole::Replica };
        if facts.role != role || facts.epoch.0 != group.epoch.0 || facts.paused || facts.loading {
            let epoch = group.epoch;
            return Some(format!("node {at} is {:?} of epoch {}, not {role:?} of {epoch}", facts.role, facts.epoch));
        }
        let follows = facts.master.as_ref().is_some_and(|of| usize::from(of.port - FIRST_PORT) == master);
        if at != master && !(follows && facts.link_up) {
            return Some(format!("node {at} does not follow node {master}"));
        }
    }
    None
}

/// So many voters lost their data that no choice is safe: the operator has to say that what they held is lost.
pub fn is_lost(sentinels: &[Sentinel], nodes: &[Node]) -> bool {
    let Some(group) = sentinels.iter().find_map(|one| one.registry()?.group(&group_name())) else { return false };
    let is_lost = |config: &VotingConfig| {
        let vouching = config.voters.iter().filter_map(|id| vouching(id, nodes)).count();
        config.durability == Durability::Quorum && vouching < config.promises()
    };
    group.failover.as_ref().is_none_or(Failover::gives_way_to_loss) && group.voting.parts().any(is_lost)
}

/// No voter that vouches for its data may lead (priority 0), so that nobody may be chosen; or fewer nodes are to stay in the group than hold each
/// write, or was told to acknowledge by logs that it does not keep, before anybody knew: a case for the operator,
/// whatever heals.
pub fn is_stranded(sentinels: &[Sentinel], nodes: &[Node]) -> bool {
    let Some(group) = sentinels.iter().find_map(|one| one.registry()?.group(&group_name())) else { return false };
    let strands = |config: &VotingConfig| {
        let vouching: Vec<&Facts> = config.voters.iter().filter_map(|id| vouching(id, nodes)).collect();
        let barred = vouching.iter().all(|facts| facts.priority == 0);
        let masterless = !vouching.iter().any(|facts| facts.role == NodeRole::Master);
        let copies = config.copies as usize;
        let stay = group.nodes.values().filter(|record| record.membership == Membership::Stays).count();
        let too_few = vouching.len() < copies && stay < copies;
        (barred && masterless) || too_few
    };
    let facts = group.nodes.keys().filter_map(|key| nodes[place(key)].facts());
    let by_logs = group.settings.durability == Durability::Quorum && group.settings.ack == Ack::Fsync;
    let logless = by_logs && facts.into_iter().any(|facts| !facts.fsync_acks);
    logless || group.voting.parts().filter(|config| config.durability == Durability::Quorum).any(strands)
}

/// What the voter of this name says, if it vouches for its data.
fn vouching<'a>(id: &NodeId, nodes: &'a [Node]) -> Option<&'a Facts> {
    nodes.iter().find_map(|node| {
        let kept = node.storage.disk.state.as_ref().and_then(|state| state.node_id.parse::<NodeId>().ok());
        let facts = node.facts().filter(|_| kept.as_ref() == Some(id))?;
        (facts.data_known && !facts.tail_unsure).then_some(facts)
    })
}

/// The names under which the group's nodes have their data now: one that was emptied has another than before.
fn members(group: &Group, nodes: &[Node]) -> BTreeSet<NodeId> {
    let kept = group.nodes.keys().filter_map(|key| nodes[place(key)].storage.disk.state.as_ref());
    kept.filter_map(|state| state.node_id.parse().ok()).collect()
}

/// Every member holds the same; asked when nobody writes any more.
pub fn same_data(group: &Group, nodes: &mut [Node]) -> Result<(), Breach> {
    let mut first = None;
    for node in group.nodes.keys().map(place).collect::<Vec<_>>() {
        let node = &mut nodes[node];
        let at = node.place;
        let Some(engine) = node.engine() else { continue };
        let found = digest(engine);
        let (of, expected) = *first.get_or_insert((at, found));
        if found != expected {
            return Err(Breach::of(PROPERTY, format!("nodes {of} and {at} hold different data at the end")));
        }
    }
    Ok(())
}

/// It did not come to this in time.
pub fn breach(what: impl Into<String>) -> Breach {
    Breach::of(PROPERTY, what)
}
