//! What operators ask of the leader while the group runs: failovers, other terms, nodes and sentinels that come and go; and what becomes of the
//! machines when it is committed.

use std::time::Duration;

use quorate_consensus::RaftId;
use quorate_registry as registry;
use quorate_registry::command::NodeSpec;
use quorate_registry::steering::Manner;
use quorate_registry::{Ack, Command, Durability, Member, NodeKey};

use crate::net::Host;
use crate::node::{self, Around, place};
use crate::queue::{Event, Restore};
use crate::sentinel::{RaftDisk, group_name, place_of};
use crate::world::World;

/// An operator whose node was not added asks again.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How many sentinels stay at least.
const SENTINELS_LEAST: usize = 2;

/// The member that runs on a machine.
pub fn member(place: usize, id: u64) -> Member {
    Member {
        raft_id: registry::RaftId(id),
        sentinel_id: format!("{id:040x}"),
        address: format!("sentinel:{}", 27379 + place),
        resp: NodeKey::new("sentinel", 26379 + place as u16).expect("a port"),
    }
}

impl World {
    /// The leader of the newest term; of two that hold themselves for it, the one that is right.
    pub(crate) fn leader(&self) -> Option<usize> {
        let reigns = self.sentinels.iter().enumerate().filter_map(|(at, sentinel)| Some((sentinel.reign()?, at)));
        reigns.max().map(|(_, at)| at)
    }

    /// Is this machine one of the group's nodes, as far as anything is committed?
    pub(crate) fn is_in_group(&self, node: usize) -> bool {
        self.registry.group(&group_name()).is_some_and(|group| group.nodes.contains_key(&node::key(node)))
    }

    fn propose(&mut self, command: Command) {
        if let Some(leader) = self.leader() {
            let mut around = Around { queue: &mut self.queue, net: &mut self.net };
            self.sentinels[leader].propose(&mut around, command);
        }
    }

    pub(crate) fn ask_failover(&mut self, manner: Manner) {
        if let Some(leader) = self.leader() {
            let mut around = Around { queue: &mut self.queue, net: &mut self.net };
            // Refused as any operator's wish may be.
            let _ = self.sentinels[leader].ask_failover(&mut around, manner);
        }
    }

    /// Asks for other terms, one thing at a time.
    pub(crate) fn ask_settings(&mut self, rng: &mut fastrand::Rng) {
        let Some(settings) = self.registry.group(&group_name()).map(|group| group.settings.clone()) else { return };
        let nodes = self.plan.machines() as u32;
        let (option, value) = match rng.u8(..8) {
            0..4 if settings.durability == Durability::Quorum => ("durability", "async".to_owned()),
            0..4 => ("durability", "quorum".to_owned()),
            4 => ("copies", "majority".to_owned()),
            5 => ("copies", rng.u32(2..=nodes.max(2)).to_string()),
            6 if settings.ack == Ack::Fsync => ("ack", "receipt".to_owned()),
            6 => ("ack", "fsync".to_owned()),
            _ => ("quorum-timeout", rng.u32(..1500).to_string()),
        };
        if let Some(leader) = self.leader() {
            let mut around = Around { queue: &mut self.queue, net: &mut self.net };
            let changes = vec![(option.to_owned(), value)];
            let _ = self.sentinels[leader].ask_settings(&mut around, changes);
        }
    }

    /// A machine that is no member's takes part from now on, with whatever its disk holds from before.
    pub(crate) fn add_node(&mut self, rng: &mut fastrand::Rng) -> Option<usize> {
        let spare: Vec<usize> = (0..self.plan.machines()).filter(|node| !self.is_in_group(*node)).collect();
        let node = *rng.choice(&spare)?;
        if !self.nodes[node].is_up() && rng.bool() {
            self.nodes[node].wipe();
        }
        self.join(node);
        Some(node)
    }

    /// This machine takes part from now on; the operator asks until it does.
    pub(crate) fn join(&mut self, node: usize) {
        if self.is_in_group(node) {
            return;
        }
        self.start_node(node);
        let spec = NodeSpec { node: node::key(node), tags: vec![] };
        self.propose(Command::NodeAdded { group: group_name(), node: spec });
        let again = self.queue.now().plus(ASK_AGAIN);
        self.queue.push(again, Event::Restore(Restore::Join(node)));
    }

    /// A replica leaves.
    pub(crate) fn remove_node(&mut self, node: usize) {
        self.propose(Command::NodeRemoved { group: group_name(), node: node::key(node) });
    }

    /// A replica, as far as anything is committed.
    pub(crate) fn some_replica(&self, rng: &mut fastrand::Rng) -> Option<usize> {
        let group = self.registry.group(&group_name())?;
        let replicas: Vec<usize> = group.replicas().map(|(node, _)| place(node)).collect();
        rng.choice(&replicas).copied()
    }

    /// A machine that runs no sentinel gets one.
    pub(crate) fn add_sentinel(&mut self, rng: &mut fastrand::Rng) {
        let watchers = self.plan.watchers();
        let spare: Vec<usize> = (0..watchers).filter(|at| self.sentinels[*at].raft_id.is_none()).collect();
        let Some(at) = rng.choice(&spare).copied() else { return };
        let Some(leader) = self.leader().and_then(|leader| self.sentinels[leader].registry()) else { return };
        let first = leader.highest_raft_id + 1;
        let id = (first..).find(|id| place_of(RaftId(*id), watchers) == at).expect("each place comes again");
        self.propose(Command::MemberJoined(member(at, id)));
    }

    /// A sentinel leaves.
    pub(crate) fn remove_sentinel(&mut self, rng: &mut fastrand::Rng) {
        let Some(leader) = self.leader().and_then(|leader| self.sentinels[leader].registry()) else { return };
        if leader.sentinels.len() <= SENTINELS_LEAST || !leader.leaving.is_empty() {
            return;
        }
        let members: Vec<registry::RaftId> = leader.sentinels.keys().copied().collect();
        if let Some(raft_id) = rng.choice(&members).copied() {
            self.propose(Command::MemberLeaves { raft_id });
        }
    }

    /// Something was committed that concerns machines.
    pub(crate) fn carry_out(&mut self, command: &Command) {
        let watchers = self.plan.watchers();
        match command {
            // Whoever adds a node has it run.
            Command::NodeAdded { node, .. } => self.start_node(place(&node.node)),
            Command::MemberJoined(member) => {
                let id = RaftId(member.raft_id.0);
                let at = place_of(id, watchers);
                if self.sentinels[at].raft_id.is_none() {
                    self.sentinels[at].admit(id, RaftDisk::default());
                    self.start(Host::Sentinel(at));
                }
            }
            Command::MemberLeft { raft_id } => {
                let id = RaftId(raft_id.0);
                let at = place_of(id, watchers);
                if self.sentinels[at].raft_id == Some(id) {
                    let mut around = Around { queue: &mut self.queue, net: &mut self.net };
                    self.sentinels[at].retire(&mut around);
                }
            }
            _ => {}
        }
    }
}
