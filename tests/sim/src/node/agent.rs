//! A node's agent: orders of sentinels, heartbeats that ask for the lease, and the state file that an answer waits for.

use std::time::Duration;

use quorate_engine::{Control, Denied, Facts, NodeRole, Order, Report, Ticket};
use quorate_registry as registry;
use quorate_registry::sights::{NodeFacts, Role};
use quorate_registry::steering::Failure;
use quorate_replication::commit::{Acks, Durability};
use quorate_replication::fence;
use quorate_replication::history::Held;
use quorate_replication::{Address, Epoch, NodeId, Offset, ReplId, VotingConfig};

use super::{Around, Keeping, Mail, News, Node};
use crate::net::{End, Host, Piece};
use crate::queue::{Call, Event, Queue};
use crate::time::Time;

impl Node {
    /// An order arrives at the agent.
    pub fn ordered(&mut self, around: &mut Around<'_>, call: Call, effect: &registry::Effect) {
        let Some(process) = &mut self.process else {
            let gone = Err(Failure::Unreachable("connection refused".to_owned()));
            return self.answer(around, call, gone);
        };
        let epoch = Epoch(effect.epoch.0);
        if let registry::Order::Grant { renewal, lease } = effect.order {
            let outcome = self.granted(around.queue.now(), epoch, renewal, lease);
            return self.answer(around, call, outcome);
        }
        process.tickets += 1;
        let ticket = Ticket(process.tickets);
        process.calls.insert(ticket, (call, epoch));
        let order = order_of(effect);
        self.mail(around.queue, Mail::Control(Control { ticket, order }));
    }

    /// A grant is the agent's own business: the engine may be busy.
    fn granted(&self, now: Time, epoch: Epoch, renewal: u64, length: Duration) -> Result<NodeFacts, Failure> {
        let process = self.process.as_ref().expect("asked of a process that lives");
        let facts = &process.facts;
        if facts.role != NodeRole::Master || facts.epoch != epoch {
            return Err(refused(facts, epoch, "not the master of that epoch"));
        }
        match process.lease().grant(epoch, renewal, length, process.clock.read(now)) {
            Ok(()) => {}
            Err(why) => return Err(refused(facts, epoch, &why.to_string())),
        }
        Ok(self.report(now, 0))
    }

    fn answer(&mut self, around: &mut Around<'_>, call: Call, result: Result<NodeFacts, Failure>) {
        let now = around.queue.now();
        for at in around.net.post(now, Host::Node(self.place), Host::Sentinel(call.sentinel)) {
            around.queue.push(at, Event::Answer { call, result: Box::new(result.clone()) });
        }
    }

    pub(super) fn answered(&mut self, around: &mut Around<'_>, ticket: Ticket, report: Report) {
        let Some(process) = &mut self.process else { return };
        let Some((call, epoch)) = process.calls.remove(&ticket) else { return };
        match report.refused {
            None => {}
            Some(later @ Denied::Loading) => {
                return self.answer(around, call, Err(Failure::Unreachable(later.to_string())));
            }
            Some(why) => return self.answer(around, call, Err(refused(&report.facts, epoch, &why.to_string()))),
        }
        let leased = Leased { renewal: 0, left: Duration::ZERO, idle: Duration::ZERO };
        let facts = Box::new(facts_of(&report.facts, &process.run_id.clone(), &self.node_id(), leased));
        match report.durable {
            Some(keep) => self.remember(around.queue, Keeping { keep, waits: Some((call, facts)) }),
            None => self.answer(around, call, Ok(*facts)),
        }
    }

    /// One write of the state file after the other.
    pub(super) fn remember(&mut self, queue: &mut Queue, keeping: Keeping) {
        let Some(process) = &mut self.process else { return };
        process.keeping.push_back(keeping);
        if process.keeping.len() == 1 {
            self.keep_next(queue);
        }
    }

    fn keep_next(&mut self, queue: &mut Queue) {
        let Some(process) = &self.process else { return };
        let Some(next) = process.keeping.front() else { return };
        let takes =
            if next.keep.revision <= process.revision { 1 } else { self.rng.u64(self.sync_us.0..=self.sync_us.1) };
        queue.push(queue.now().plus_us(takes), Event::StateKept { node: self.place, life: process.life });
    }

    /// The state file was written: the answer that waited for it leaves (I2).
    pub fn state_kept(&mut self, around: &mut Around<'_>) {
        let Some(process) = &mut self.process else { return };
        let Some(Keeping { keep, waits }) = process.keeping.pop_front() else { return };
        if keep.revision > process.revision && self.storage.is_full {
            process.unkept = Some(keep);
            if let Some((call, _)) = waits {
                self.answer(around, call, Err(refused_by_disk()));
            }
            return self.keep_next(around.queue);
        }
        if keep.revision > process.revision {
            process.revision = keep.revision;
            self.keep(&keep.durable);
            self.news.push(News::Kept(keep.durable.promised));
            if self.storage.operation().is_err() {
                return self.end(around);
            }
        }
        let revision = self.process.as_ref().expect("still").revision;
        self.mail(around.queue, Mail::Kept(revision));
        if let Some((call, facts)) = waits {
            self.answer(around, call, Ok(*facts));
        }
        self.keep_next(around.queue);
    }

    /// What the agent says at any time.
    fn report(&self, now: Time, renewal: u64) -> NodeFacts {
        let process = self.process.as_ref().expect("asked of a process that lives");
        let (core, clock) = (process.engine.core(), process.clock.read(now));
        let left = process.lease().remaining(process.facts.epoch, clock);
        let leased = Leased { renewal, left, idle: clock.saturating_sub(process.facts.link_at) };
        let mut facts = facts_of(&process.facts, &process.run_id, &self.node_id(), leased);
        facts.offset = registry::Offset(core.replication.offset().0.max(facts.offset.0));
        facts.committed = registry::Offset(core.replication.committed().0);
        facts
    }

    /// A heartbeat: a report that asks for the lease from now on (I8).
    pub(super) fn renewed(&self, now: Time) -> Box<NodeFacts> {
        let process = self.process.as_ref().expect("asked of a process that lives");
        let renewal = process.lease().renew(process.clock.read(now));
        Box::new(self.report(now, renewal))
    }

    /// The agent's heartbeat, to all who listen.
    pub fn beat(&mut self, around: &mut Around<'_>) {
        self.send_beats(around);
        if let Some(keep) = self.process.as_mut().and_then(|process| process.unkept.take()) {
            self.remember(around.queue, Keeping { keep, waits: None });
        }
        if let Some(process) = &self.process {
            let event = Event::AgentBeat { node: self.place, life: process.life };
            around.queue.push(around.queue.now().plus(self.beat), event);
        }
    }

    pub(super) fn send_beats(&mut self, around: &mut Around<'_>) {
        let Some(process) = &self.process else { return };
        if process.listeners.is_empty() {
            return;
        }
        for stream in process.listeners.clone() {
            let facts = self.renewed(around.queue.now());
            around.net.send(around.queue, stream, End::Listener, Piece::Beat(facts));
        }
    }
}

fn refused_by_disk() -> Failure {
    Failure::Error("the promise could not be kept".to_owned())
}

/// The order as the agent hands it on.
fn order_of(effect: &registry::Effect) -> Order {
    let (group, epoch) = (effect.group.to_string(), Epoch(effect.epoch.0));
    let config = config_of(&effect.config);
    match &effect.order {
        registry::Order::Configure { .. } => Order::Configure { group, epoch, config },
        registry::Order::Grant { .. } => unreachable!("the agent's own"),
        registry::Order::Promise => Order::Promise { group, epoch },
        registry::Order::AssignMaster { lease } => {
            let role = fence::Role::Master;
            Order::Assign { group, epoch, role, config: Some(config), lease: Some(*lease) }
        }
        registry::Order::AssignReplica { master } => {
            let role = fence::Role::Replica(Address::new(master.host(), master.port()));
            Order::Assign { group, epoch, role, config: Some(config), lease: None }
        }
        registry::Order::Pause { limit } => Order::Pause { group, epoch, timeout: *limit },
        registry::Order::Resume => Order::Resume { group, epoch },
        registry::Order::CatchUp { replid, offset } => {
            let replid = ReplId::parse(replid.as_bytes()).expect("a node's own report named it");
            let held = Held { replid, offset: Offset(offset.0) };
            Order::CatchUp { held, timeout: effect.within.mul_f64(0.8) }
        }
    }
}

/// The registry's config as a node takes it.
pub fn config_of(config: &registry::VotingConfig) -> VotingConfig {
    let durability = match config.durability {
        registry::Durability::Async => Durability::Async,
        registry::Durability::Quorum => Durability::Quorum { copies: config.copies as usize },
    };
    let id = |id: &registry::NodeId| NodeId::parse(id.to_string().as_bytes()).expect("forty digits");
    let voters = config.voters.iter().map(id).collect();
    let acks = if config.ack == registry::Ack::Fsync { Acks::Synced } else { Acks::Received };
    let timeout = Some(config.quorum_timeout_ms).filter(|ms| *ms > 0).map(|ms| Duration::from_millis(ms.into()));
    VotingConfig::new(config.version, durability, voters, acks, timeout).expect("the registry's make sense")
}

/// A refusal, as the messenger understands it: it asks what was promised.
fn refused(facts: &Facts, epoch: Epoch, text: &str) -> Failure {
    if facts.promised > epoch {
        return Failure::Refused { promised: registry::Epoch(facts.promised.0) };
    }
    Failure::Error(text.to_owned())
}

/// What a report tells beside the facts.
struct Leased {
    renewal: u64,
    left: Duration,
    idle: Duration,
}

fn facts_of(facts: &Facts, run_id: &str, node_id: &str, leased: Leased) -> NodeFacts {
    NodeFacts {
        run_id: run_id.to_owned(),
        node_id: node_id.to_owned(),
        role: match facts.role {
            NodeRole::Master => Role::Master,
            NodeRole::Replica => Role::Replica,
            NodeRole::Fenced => Role::Fenced,
        },
        replid: facts.held.replid.to_string(),
        offset: registry::Offset(facts.held.offset.0),
        master: facts.master.as_ref().and_then(|at| registry::NodeKey::new(&at.host, at.port).ok()),
        link_up: facts.link_up,
        link_down: Duration::ZERO,
        priority: facts.priority,
        epoch: registry::Epoch(facts.epoch.0),
        promised: registry::Epoch(facts.promised.0),
        data_epoch: registry::Epoch(facts.data_epoch.0),
        data_known: facts.data_known,
        agent_port: 1,
        loading: facts.loading,
        paused: facts.paused,
        link_idle: leased.idle,
        config_version: facts.config_version,
        committed: registry::Offset(facts.committed.0),
        renewal: leased.renewal,
        lease_left: leased.left,
        fsync_acks: facts.fsync_acks,
        tail_unsure: facts.tail_unsure,
        replicas: Vec::new(),
    }
}
