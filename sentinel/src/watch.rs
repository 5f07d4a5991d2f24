//! What this sentinel itself sees of every node: the newest sight, since when it finds the node down, since when the node
//! reports its role. Soft state: shown by the fronts, sent to the Raft leader, published as this sentinel's own events.
//!
//! Invariant: holds only nodes that the registry knows (see [`Watch::retain`]), so it is bounded as the registry is.

use std::{collections::BTreeMap, time::Duration};

use quorate_registry::{
    Event, GroupName, NodeKey, Registry, UnixMs, event,
    pulse::Liveness,
    sights::{Role, Sight},
};

/// One node as this sentinel sees it.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The newest sight.
    pub sight: Sight,
    /// When it was taken.
    pub at: Duration,
    /// Since when the node is down.
    pub down_since: Option<Duration>,
    /// What the node says that it is, and since when.
    pub role: Option<(Role, Duration)>,
}

impl Watched {
    /// How long nothing valid was heard, now.
    pub fn silent(&self, now: Duration) -> Duration {
        self.sight.silent + now.saturating_sub(self.at)
    }

    /// How old the facts are, now.
    pub fn facts_age(&self, now: Duration) -> Duration {
        self.sight.facts_age + now.saturating_sub(self.at)
    }
}

/// Every node as this sentinel sees it.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    groups: BTreeMap<GroupName, BTreeMap<NodeKey, Watched>>,
}

impl Watch {
    /// Takes a sight from a probe; returns what is to be published: +sdown, -sdown. A node that the registry does not know
    /// (any more) is not taken.
    pub fn observe(
        &mut self,
        now: Duration,
        wall: UnixMs,
        registry: &Registry,
        name: &GroupName,
        node: &NodeKey,
        sight: Sight,
    ) -> Vec<Event> {
        let Some(group) = registry.group(name).filter(|g| g.nodes.contains_key(node)) else { return vec![] };
        let nodes = self.groups.entry(name.clone()).or_default();
        let before = nodes.get(node);
        let was_down = before.and_then(|w| w.down_since);
        let is_down = sight.liveness.is_down();
        let role = sight.facts.as_ref().map(|facts| match before.and_then(|w| w.role) {
            Some((role, since)) if role == facts.role => (role, since),
            _ => (facts.role, now),
        });
        let down_since = is_down.then(|| was_down.unwrap_or(now));
        nodes.insert(node.clone(), Watched { sight, at: now, down_since, role });
        match (was_down, is_down) {
            (None, true) => vec![event::sdown(wall, name, group, node)],
            (Some(_), false) => vec![event::sdown_over(wall, name, group, node)],
            _ => vec![],
        }
    }

    /// One node.
    pub fn node(&self, group: &GroupName, node: &NodeKey) -> Option<&Watched> {
        self.groups.get(group)?.get(node)
    }

    /// Every node: what is reported to the Raft leader.
    pub fn iter(&self) -> impl Iterator<Item = (&GroupName, &NodeKey, &Watched)> {
        self.groups.iter().flat_map(|(group, nodes)| nodes.iter().map(move |(node, watched)| (group, node, watched)))
    }

    /// Forgets nodes that the registry no longer knows.
    pub fn retain(&mut self, registry: &Registry) {
        self.groups.retain(|name, nodes| match registry.group(name) {
            Some(group) => {
                nodes.retain(|node, _| group.nodes.contains_key(node));
                true
            }
            None => false,
        });
    }
}

/// Is the node connected, as far as this sentinel can tell?
pub(crate) fn connected(watched: Option<&Watched>) -> bool {
    watched.is_some_and(|w| w.sight.liveness == Liveness::Alive)
}
