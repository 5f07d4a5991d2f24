//! Is a local group in order? Asks its sentinels.

use std::time::Duration;

use quorate_rpc::v1;

use super::{Group, Layout, LocalError};
use crate::control::{Again, Control};
use crate::members::in_force;
use crate::{Outcome, operate};

impl Group {
    /// Waits until the group is in order and answers with how the sentinels see it.
    pub fn wait_settled(&mut self, within: Duration) -> Result<v1::Group, LocalError> {
        let control = Control::of(self.layout().api_addresses());
        self.wait(within, |group| settled(&control, group.layout()))
    }
}

/// The group once it is in order: a master, every replica linked to it, every sentinel alive; else what is missing.
pub fn settled(control: &Control, layout: &Layout) -> Result<v1::Group, String> {
    let request = v1::GetGroupRequest { group: layout.name.clone() };
    let answer = operate::block_on(control.call(Again::Yes, async |mut client| {
        let group = client.get_group(request.clone()).await?.into_inner();
        Ok((group, client.list_sentinels(v1::ListSentinelsRequest {}).await?.into_inner().sentinels))
    }));
    let (group, sentinels) = match answer {
        Ok(answer) => answer,
        Err(Outcome::Unreachable(_)) => return Err("the sentinels have not agreed on a leader yet".into()),
        Err(Outcome::Failed(reason) | Outcome::Unauthorized(reason) | Outcome::Usage(reason)) => return Err(reason),
        Err(Outcome::Done | Outcome::Unwell) => unreachable!("a failed call carries its reason"),
    };
    let alive = sentinels.iter().filter(|sentinel| sentinel.alive).count();
    if alive < usize::from(layout.sentinels) {
        return Err(format!("only {alive} of {} sentinels see each other", layout.sentinels));
    }
    let is_master =
        |node: &&v1::Node| node.role == "master" && node.reported_role == "master" && node.health == "online";
    if !group.nodes.iter().any(|node| is_master(&node)) {
        return Err("no node has been made the master yet".into());
    }
    let in_sync = |node: &&v1::Node| node.role == "replica" && node.reported_role == "slave" && node.link_up;
    let replicas = group.nodes.iter().filter(in_sync).filter(|node| node.health == "online").count();
    if replicas + 1 < usize::from(layout.nodes) {
        return Err(format!("only {replicas} of {} replicas follow the master", layout.nodes - 1));
    }
    let voters = group.voting.as_ref().map_or(0, |voting| voting.voters.len());
    if voters < usize::from(layout.nodes) {
        return Err(format!("{voters} of {} nodes vote", layout.nodes));
    }
    in_force(&group)?;
    if group.status != "ok" {
        return Err(format!("the group is in state '{}'", group.status));
    }
    Ok(group)
}
