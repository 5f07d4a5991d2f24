//! What is published: the events of Sentinel's channels, and the bounded history of them.
//!
//! Names and payloads are Sentinel's, byte for byte (reference: Redis Sentinel documentation, "Pub/Sub messages").
//! `%@` of that documentation is [`instance_master`], [`instance_replica`] or [`instance_sentinel`].

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::model::{Group, Member};
use crate::names::{Epoch, GroupName, NodeKey, UnixMs};

/// How many events the history keeps; the oldest leave first. A day of drills, and 200 KB in a snapshot.
pub const HISTORY_LEN: usize = 1000;

/// One published event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The Raft index of the cause shifted left by 8, with the event's place among that entry's events below (at most
    /// 255: later ones share it); 0 for a soft event, which is one sentinel's own and is not in the history.
    pub index: u64,
    /// When the cause was proposed.
    pub at: UnixMs,
    /// The group that it concerns.
    pub group: Option<GroupName>,
    /// The channel, for example `+switch-master`.
    pub name: String,
    /// The payload.
    pub text: String,
    /// The group's epoch after the event (I14).
    pub epoch: Epoch,
}

/// The newest events, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History(VecDeque<Event>);

/// The events asked for are no longer kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("events before index {oldest} are no longer kept")]
pub struct Forgotten {
    /// The oldest index that is kept.
    pub oldest: u64,
}

impl History {
    /// Appends an event, dropping the oldest beyond [`HISTORY_LEN`].
    pub(crate) fn push(&mut self, event: Event) {
        if self.0.len() == HISTORY_LEN {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }

    /// Every kept event, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.0.iter()
    }

    /// The events from an index on, oldest first; an error when some of them may have been dropped.
    pub fn since(&self, index: u64) -> Result<impl Iterator<Item = &Event>, Forgotten> {
        if let Some(first) = self.0.front()
            && self.0.len() == HISTORY_LEN
            && index < first.index
        {
            return Err(Forgotten { oldest: first.index });
        }
        Ok(self.0.iter().filter(move |event| event.index >= index))
    }
}

/// `%@` for a group's published master.
pub fn instance_master(name: &GroupName, group: &Group) -> String {
    let master = &group.master;
    format!("master {name} {} {}", master.host(), master.port())
}

/// `%@` for a replica of a group.
pub fn instance_replica(name: &GroupName, group: &Group, node: &NodeKey) -> String {
    let master = &group.master;
    format!("slave {node} {} {} @ {name} {} {}", node.host(), node.port(), master.host(), master.port())
}

/// `%@` for a sentinel, as seen from a group.
pub fn instance_sentinel(name: &GroupName, group: &Group, member: &Member) -> String {
    let (resp, master) = (&member.resp, &group.master);
    format!(
        "sentinel {} {} {} @ {name} {} {}",
        member.sentinel_id,
        resp.host(),
        resp.port(),
        master.host(),
        master.port()
    )
}

/// `%@` for a node, whichever its role in the record is.
pub fn instance(name: &GroupName, group: &Group, node: &NodeKey) -> String {
    if *node == group.master { instance_master(name, group) } else { instance_replica(name, group, node) }
}

/// A soft event: one sentinel's own observation, published by it alone and kept by nobody.
fn soft(at: UnixMs, name: &str, group_name: &GroupName, group: &Group, text: String) -> Event {
    Event { index: 0, at, group: Some(group_name.clone()), name: name.to_owned(), text, epoch: group.epoch }
}

/// This sentinel alone holds the node for down.
pub fn sdown(at: UnixMs, name: &GroupName, group: &Group, node: &NodeKey) -> Event {
    soft(at, "+sdown", name, group, instance(name, group, node))
}

/// This sentinel no longer holds the node for down.
pub fn sdown_over(at: UnixMs, name: &GroupName, group: &Group, node: &NodeKey) -> Event {
    soft(at, "-sdown", name, group, instance(name, group, node))
}
