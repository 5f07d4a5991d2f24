//! The operator's request for a failover.

use std::time::Duration;

use super::View;
use super::choice::{floor, prospects, successor, voters_suffice};
use crate::apply::Rejected;
use crate::command::Command;
use crate::failover::Cause;
use crate::model::Registry;
use crate::names::{GroupName, NodeKey};
use crate::settings::{Ack, Durability, concern_durability};
use crate::sights::{NodeFacts, Role, Sights};

/// How the operator wants a failover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Pause, catch up, promote: nothing is lost. A master that is down is gone on without, as there is no other way.
    Handover,
    /// Without the master's help.
    Force,
    /// With whoever is left, when too few voters are for anything else: what only the others hold is lost, though it was acknowledged.
    AcceptLoss,
}

/// The request as a command for the leader to propose, or why it cannot be: SENTINEL FAILOVER and the API.
pub fn request_failover(
    now: Duration,
    registry: &Registry,
    sights: &Sights,
    name: &GroupName,
    candidate: Option<&NodeKey>,
    manner: Manner,
) -> Result<Command, Rejected> {
    let group = registry.group(name).ok_or_else(|| Rejected::NoSuchGroup(name.clone()))?;
    let view = View { now, name, group, sights };
    let suffices = voters_suffice(view);
    let gives_way = manner == Manner::AcceptLoss && !suffices;
    if group.failover.as_ref().is_some_and(|running| !gives_way || !running.gives_way_to_loss()) {
        return Err(Rejected::InProgress(name.clone()));
    }
    if let Some(node) = candidate
        && (*node == group.master || !group.nodes.contains_key(node))
    {
        return Err(Rejected::NoSuchNode(node.clone()));
    }
    if manner == Manner::AcceptLoss && !suffices {
        return go_on_with_whoever_is_left(view, candidate);
    }
    if let Some(node) = candidate
        && !prospects(view).any(|(able, _)| able == node)
    {
        return Err(Rejected::NoGoodReplica);
    }
    let serves = view.facts(&group.master).is_some_and(|(facts, _)| facts.role == Role::Master);
    let handover = manner == Manner::Handover && serves && !view.is_down(&group.master);
    // I4: a choice that could only be refused is not begun, and which word would help is said.
    if !handover && group.voting.withholds() && !suffices {
        return Err(Rejected::WouldLose);
    }
    let able = prospects(view).filter(|(_, facts)| !handover || facts.link_up);
    let best = successor(able).ok_or(Rejected::NoGoodReplica)?;
    let (cause, wanted) = match handover {
        true => (Cause::Planned, Some(candidate.unwrap_or(best).clone())),
        false => (Cause::Forced, candidate.cloned()),
    };
    Ok(Command::FailoverBegin { group: name.clone(), expected: group.epoch, floor: floor(view), cause, wanted })
}

/// The operator knows what the sentinels cannot: those who are gone will not come back. Somebody has to hold data (I10): an empty node would wipe
/// what a lost one may yet bring.
fn go_on_with_whoever_is_left(view: View<'_>, candidate: Option<&NodeKey>) -> Result<Command, Rejected> {
    let group = view.group;
    let holds = |node: &NodeKey| view.facts(node).is_some_and(|(facts, _)| facts.data_known) && !view.is_down(node);
    if !group.nodes.keys().any(|node| holds(node) && candidate.is_none_or(|wanted| wanted == node)) {
        return Err(Rejected::NoGoodReplica);
    }
    let (group, expected) = (view.name.clone(), group.epoch);
    let (floor, wanted) = (floor(view), candidate.cloned());
    Ok(Command::FailoverBegin { group, expected, floor, cause: Cause::LossAccepted, wanted })
}

/// The request as a command for the leader to propose, or why it cannot be: SENTINEL SET and the API. What only the nodes
/// know is judged here; the rest when the command is applied.
pub fn request_settings(
    now: Duration,
    registry: &Registry,
    sights: &Sights,
    name: &GroupName,
    changes: Vec<(String, String)>,
) -> Result<Command, Rejected> {
    let group = registry.group(name).ok_or_else(|| Rejected::NoSuchGroup(name.clone()))?;
    let mut settings = group.settings.clone();
    for (option, value) in &changes {
        settings.set(option, value)?;
    }
    if settings.durability == Durability::Quorum && concern_durability(&changes) {
        group.expect_possible(&settings)?;
        let view = View { now, name, group, sights };
        let facts = |node: &NodeKey| view.facts(node).map(|(facts, _)| facts).filter(|facts| !facts.stock());
        let known = || group.nodes.keys().filter_map(|node| Some((node, facts(node)?)));
        // Of a voter whose heartbeats are cut off INFO may be all that is heard, and it is known to be able.
        let votes = |facts: &NodeFacts| facts.id().is_some_and(|id| group.voting.knows(&id));
        if let Some((node, _)) = known().find(|(_, facts)| facts.renewal == 0 && !votes(facts)) {
            return Err(Rejected::TooOld(node.clone()));
        }
        if let Some((node, _)) = known().find(|(_, facts)| settings.ack == Ack::Fsync && !facts.fsync_acks) {
            return Err(Rejected::NoFsync(node.clone()));
        }
    }
    Ok(Command::SetGroup { group: name.clone(), changes })
}
