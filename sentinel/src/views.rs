//! From the committed registry and this sentinel's own sights to what the fronts show. Pure: a scene is a moment's view.

use std::{collections::BTreeMap, time::Duration};

use quorate_api::view;
use quorate_registry::{
    Group, GroupName, Member, NodeId, NodeKey, RaftId, Registry, UnixMs,
    failover::{Cause, Phase, Stage},
    model::Membership,
    pulse::Liveness,
    sights::Role,
};

use crate::{
    front::{GroupFacts, Instance, PeerFacts, ReplicaFacts},
    watch::{Watch, Watched, connected},
};

/// Another sentinel, as the Raft transport sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerSeen {
    /// When anything was last heard of it; `None`: never.
    pub heard: Option<Duration>,
    /// Is there a working connection to it?
    pub connected: bool,
}

/// Everything that a view is made of, at one moment.
pub struct Scene<'a> {
    /// The committed state as applied here.
    pub registry: &'a Registry,
    /// This sentinel's own sights.
    pub watch: &'a Watch,
    /// The other sentinels.
    pub peers: &'a BTreeMap<RaftId, PeerSeen>,
    /// Monotonic time.
    pub now: Duration,
    /// Wall-clock time.
    pub wall: UnixMs,
    /// This sentinel.
    pub me: RaftId,
    /// The Raft leader, if one is known.
    pub leader: Option<RaftId>,
    /// Raft's term.
    pub term: u64,
    /// Members that only learn.
    pub learners: &'a [RaftId],
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A node's role in Sentinel's words; a fenced node is a replica without a master.
fn role_word(role: Role) -> &'static str {
    match role {
        Role::Master => "master",
        Role::Replica | Role::Fenced => "slave",
    }
}

impl Scene<'_> {
    /// Every group for the API.
    pub fn groups(&self) -> Vec<view::Group> {
        self.registry.groups.iter().map(|(name, group)| self.group_view(name, group)).collect()
    }

    /// One group for the API.
    pub fn group(&self, name: &str) -> Option<view::Group> {
        let name: GroupName = name.parse().ok()?;
        Some(self.group_view(&name, self.registry.group(&name)?))
    }

    fn group_view(&self, name: &GroupName, group: &Group) -> view::Group {
        let master_down = self.watch.node(name, &group.master).is_some_and(|w| w.down_since.is_some());
        let status = match (&group.failover, group.down_since) {
            (Some(f), _) if !matches!(f.phase, Phase::Reconfiguring { .. }) => view::GroupStatus::Failover,
            (_, Some(_)) => view::GroupStatus::Odown,
            (_, None) if master_down => view::GroupStatus::Sdown,
            (_, None) => view::GroupStatus::Ok,
        };
        let mut nodes = vec![self.node_view(name, group, &group.master)];
        nodes.extend(group.replicas().map(|(key, _)| self.node_view(name, group, key)));
        view::Group {
            name: name.to_string(),
            epoch: group.epoch.0,
            status,
            durability: group.voting.published().as_str().to_owned(),
            stock: group.stock(),
            master: master_view(name, group),
            nodes,
            quorum: group.settings.quorum,
            down_after_ms: group.settings.down_after_ms,
            failover_timeout_ms: group.settings.failover_timeout_ms,
            parallel_syncs: group.settings.parallel_syncs,
            failover_phase: group.failover.as_ref().map(|f| f.phase.name().to_owned()).unwrap_or_default(),
            voting: self.voting_view(name, group),
        }
    }

    fn voting_view(&self, name: &GroupName, group: &Group) -> view::Voting {
        let config = group.voting.config();
        let named = |id: &NodeId| {
            let node = group.nodes.iter().find(|(_, record)| record.id().as_ref() == Some(id));
            node.map_or_else(|| id.to_string(), |(key, _)| key.to_string())
        };
        let master = self.watch.node(name, &group.master).and_then(|w| w.sight.facts.as_ref());
        view::Voting {
            version: config.version,
            settled: group.is_settled(),
            wanted: group.settings.durability.as_str().to_owned(),
            copies: config.copies,
            voters: config.voters.iter().map(named).collect(),
            ack: config.ack.as_str().to_owned(),
            quorum_timeout_ms: config.quorum_timeout_ms,
            committed_offset: master.map_or(0, |facts| facts.committed.0),
            lease_ms: master.map_or(0, |facts| ms(facts.lease_left)),
        }
    }

    fn node_view(&self, name: &GroupName, group: &Group, key: &NodeKey) -> view::Node {
        let record = &group.nodes[key];
        let watched = self.watch.node(name, key);
        let facts = watched.and_then(|w| w.sight.facts.as_ref());
        let is_master = *key == group.master;
        let offset = facts.map_or(0, |f| f.offset.0);
        let of_master =
            self.watch.node(name, &group.master).and_then(|w| w.sight.facts.as_ref()).map_or(0, |f| f.offset.0);
        view::Node {
            name: key.to_string(),
            host: key.host().to_owned(),
            port: key.port(),
            role: if is_master { "master" } else { "replica" }.to_owned(),
            reported_role: match facts.map(|f| f.role) {
                Some(Role::Fenced) => "fenced",
                Some(role) => role_word(role),
                None => "",
            }
            .to_owned(),
            health: match watched.map(|w| (w.sight.liveness, facts.is_some())) {
                None | Some((Liveness::Alive, false)) => view::Health::Unknown,
                Some((Liveness::Alive, true)) => view::Health::Online,
                Some((Liveness::Suspect, _)) => view::Health::Suspect,
                Some((Liveness::Gone, _)) => view::Health::Down,
            },
            run_id: record.identity.as_ref().map(|i| i.run_id.clone()).unwrap_or_default(),
            offset,
            lag: if is_master { 0 } else { of_master.saturating_sub(offset) },
            link_up: is_master || facts.is_some_and(|f| f.link_up),
            priority: record.identity.as_ref().map_or(100, |i| i.priority),
            tags: record.tags.clone(),
            stock: record.stock(),
            voter: record.id().is_some_and(|id| group.voting.knows(&id)),
            leaving: record.membership == Membership::Leaves,
        }
    }

    /// Every sentinel for the API.
    pub fn sentinels(&self) -> Vec<view::Sentinel> {
        let role = |id: RaftId| match self.leader {
            Some(leader) if leader == id => "leader",
            _ if self.learners.contains(&id) => "learner",
            _ => "follower",
        };
        let members = self.registry.sentinels.values();
        members
            .map(|member| view::Sentinel {
                id: member.sentinel_id.clone(),
                raft_id: member.raft_id.0,
                resp_address: member.resp.to_string(),
                api_address: member.address.clone(),
                role: role(member.raft_id).to_owned(),
                alive: member.raft_id == self.me || self.peers.get(&member.raft_id).is_some_and(|p| p.connected),
                is_self: member.raft_id == self.me,
            })
            .collect()
    }

    /// One group for the RESP front.
    pub fn facts(&self, name: &str) -> Option<GroupFacts> {
        let name: GroupName = name.parse().ok()?;
        Some(self.group_facts(&name, self.registry.group(&name)?))
    }

    /// Every group for the RESP front.
    pub fn all_facts(&self) -> Vec<GroupFacts> {
        self.registry.groups.iter().map(|(name, group)| self.group_facts(name, group)).collect()
    }

    fn group_facts(&self, name: &GroupName, group: &Group) -> GroupFacts {
        // Once the new master is published the failover is no news to clients: some reject a master that shows one.
        let failover = group.failover.as_ref().filter(|f| !matches!(f.phase, Phase::Reconfiguring { .. }));
        GroupFacts {
            master: self.instance(name, &group.master, group, name.as_str(), "master"),
            o_down_ms: group.down_since.map(|since| self.wall.0.saturating_sub(since.0)),
            failover_state: failover.map(|f| f.phase.sentinel_state()),
            failover_forced: failover
                .is_some_and(|f| matches!(f.cause, Cause::Forced | Cause::LossAccepted | Cause::Planned)),
            config_epoch: group.epoch.0,
            quorum: group.settings.quorum,
            down_after_ms: group.settings.down_after_ms,
            failover_timeout_ms: group.settings.failover_timeout_ms,
            parallel_syncs: group.settings.parallel_syncs,
            replicas: group.replicas().map(|(key, _)| self.replica_facts(name, group, key)).collect(),
            sentinels: self
                .registry
                .sentinels
                .values()
                .filter(|member| member.raft_id != self.me)
                .map(|member| self.peer_facts(group, member))
                .collect(),
        }
    }

    fn instance(&self, name: &GroupName, key: &NodeKey, group: &Group, shown: &str, role: &'static str) -> Instance {
        let watched = self.watch.node(name, key);
        let silent = watched.map_or(0, |w| ms(w.silent(self.now)));
        Instance {
            name: shown.to_owned(),
            host: key.host().to_owned(),
            port: key.port(),
            run_id: group.nodes[key].identity.as_ref().map(|i| i.run_id.clone()).unwrap_or_default(),
            disconnected: !connected(watched),
            last_ping_sent_ms: watched.filter(|w| w.down_since.is_some()).map_or(0, |w| ms(w.silent(self.now))),
            last_ok_ping_ms: silent,
            last_ping_ms: silent,
            s_down_ms: watched.and_then(|w| w.down_since).map(|since| ms(self.now.saturating_sub(since))),
            info_refresh_ms: watched.filter(|w| w.sight.facts.is_some()).map_or(0, |w| ms(w.facts_age(self.now))),
            role_reported: watched.and_then(|w| w.role).map_or(role, |(role, _)| role_word(role)),
            role_reported_ms: watched.and_then(|w| w.role).map_or(0, |(_, since)| ms(self.now.saturating_sub(since))),
        }
    }

    fn replica_facts(&self, name: &GroupName, group: &Group, key: &NodeKey) -> ReplicaFacts {
        let facts = self.watch.node(name, key).and_then(|w: &Watched| w.sight.facts.as_ref());
        let master = facts.and_then(|f| f.master.as_ref());
        ReplicaFacts {
            instance: self.instance(name, key, group, &key.to_string(), "slave"),
            link_down_ms: facts.filter(|f| !f.link_up).map_or(0, |f| ms(f.link_down)),
            link_up: facts.is_some_and(|f| f.link_up),
            master_host: master.map(|m| m.host().to_owned()).unwrap_or_default(),
            master_port: master.map_or(0, NodeKey::port),
            priority: facts.map_or(100, |f| f.priority),
            offset: facts.map_or(0, |f| f.offset.0),
            failover_flags: failover_flags(group, key),
        }
    }

    fn peer_facts(&self, group: &Group, member: &Member) -> PeerFacts {
        let seen = self.peers.get(&member.raft_id).copied().unwrap_or(PeerSeen { heard: None, connected: false });
        let silent = self.now.saturating_sub(seen.heard.unwrap_or_default());
        let down = silent.checked_sub(group.settings.down_after());
        let leader = self.leader.and_then(|id| self.registry.sentinels.get(&id));
        PeerFacts {
            instance: Instance {
                name: member.sentinel_id.clone(),
                host: member.resp.host().to_owned(),
                port: member.resp.port(),
                run_id: member.sentinel_id.clone(),
                disconnected: !seen.connected,
                last_ping_sent_ms: if seen.connected { 0 } else { ms(silent) },
                last_ok_ping_ms: ms(silent),
                last_ping_ms: ms(silent),
                s_down_ms: down.filter(|_| !seen.connected).map(ms),
                role_reported: "sentinel",
                ..Instance::default()
            },
            last_hello_ms: ms(silent),
            voted_leader: leader.map(|l| l.sentinel_id.clone()).unwrap_or_default(),
            voted_leader_epoch: self.term,
        }
    }
}

fn master_view(name: &GroupName, group: &Group) -> view::Master {
    let (host, port) = (group.master.host().to_owned(), group.master.port());
    view::Master { group: name.to_string(), host, port, epoch: group.epoch.0 }
}

/// The words that a running failover adds to a replica's flags.
fn failover_flags(group: &Group, key: &NodeKey) -> Vec<&'static str> {
    match group.failover.as_ref().map(|f| &f.phase) {
        Some(Phase::Promoting { candidate }) if candidate == key => vec!["promoted"],
        Some(Phase::Reconfiguring { stages }) => match stages.get(key) {
            Some(Stage::Sent) => vec!["reconf_sent"],
            // A sound replica's flags are exactly `slave`: a finished one shows no word.
            Some(Stage::Done) | None => vec![],
        },
        _ => vec![],
    }
}

/// A registry's event as the API shows it.
pub fn event_view(event: &quorate_registry::Event) -> view::Event {
    view::Event {
        index: event.index,
        unix_ms: event.at.0,
        group: event.group.as_ref().map(ToString::to_string).unwrap_or_default(),
        name: event.name.clone(),
        text: event.text.clone(),
        epoch: event.epoch.0,
    }
}

#[cfg(test)]
mod tests;
