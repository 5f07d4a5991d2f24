//! The world: everything that there is, the one queue that moves it, and the run of a seed from its founding to its judgement.

use std::time::Duration;

use quorate_consensus::RaftId;
use quorate_registry::command::{Ground, NodeSpec};
use quorate_registry::steering::{Failure, Manner};
use quorate_registry::{Command, Durability, Entry, Registry, Settings, UnixMs};

use crate::check::discovery::Discovery;
use crate::check::establishment::Establishment;
use crate::check::histories::{Rest, Terms};
use crate::check::holdings::Holdings;
use crate::check::lease::CutOff;
use crate::check::one_master::OneMaster;
use crate::check::prefix::Prefix;
use crate::check::promises::Promises;
use crate::check::voters::{Master, Voters};
use crate::check::{Breach, control, converged, histories};
use crate::client::Client;
use crate::history::{Call, Key};
use crate::nemesis::Nemesis;
use crate::net::{Host, Net, Piece};
use crate::node::{self, Around, News, Node};
use crate::operator::member;
use crate::plan::Plan;
use crate::queue::{Event, Queue};
use crate::sentinel::{Applied, Sentinel, group_name};
use crate::time::Time;
use crate::trace::{Trace, digest_of};

/// A new group serves within this.
const FOUNDING: Duration = Duration::from_secs(15);
/// A healed group is at rest within this: the longest waits of the protocol (restart grace, retries up to ten seconds) one after the other.
const HEALING: Duration = Duration::from_secs(60);
/// How often an operator looks whether it is.
const LOOKS: Duration = Duration::from_secs(3);
/// Clients go on for so long after the heal, and then read everything once more.
const AFTER: Duration = Duration::from_millis(600);
/// Without sentinels a group goes on for longer than any lease, and is then asked whether it still does.
const ALONE: Duration = Duration::from_millis(2500);
/// The last reads take no longer.
const LAST_READS: Duration = Duration::from_secs(10);

/// What a run found.
#[derive(Debug, Clone)]
pub struct Report {
    /// The digest of everything that happened.
    pub digest: u64,
    /// How many events that was.
    pub events: u64,
    /// The first breach, if there was one.
    pub breach: Option<Breach>,
    /// Operations of clients, with an answer and without.
    pub operations: (usize, usize),
    /// Mishaps.
    pub mishaps: u64,
    /// Masterships.
    pub epochs: u64,
    /// So many voters lost their data that the group waits for an operator.
    pub is_stranded: bool,
    /// Comparisons of two nodes' data at the same place.
    pub compared: u64,
    /// Virtual time.
    pub took: Time,
}

/// See the module.
pub struct World {
    pub(crate) plan: Plan,
    pub(crate) queue: Queue,
    pub(crate) net: Net,
    pub(crate) nodes: Vec<Node>,
    pub(crate) sentinels: Vec<Sentinel>,
    clients: Vec<Client>,
    pub(crate) nemesis: Nemesis,
    pub(crate) trace: Trace,
    one_master: OneMaster,
    prefix: Prefix,
    promises: Promises,
    establishment: Establishment,
    voters: Voters,
    holdings: Holdings,
    discovery: Discovery,
    pub(crate) cut_off: CutOff,
    pub(crate) terms: Terms,
    /// What was committed, as soon as any sentinel applied it.
    applied: u64,
    pub(crate) registry: Registry,
    /// How many calls of each client were looked at.
    calls_seen: Vec<usize>,
    /// The master's address as its clients have it from elsewhere: sentinels that have lost their majority tell it to nobody (I14).
    heard: Option<usize>,
    /// From when on the group is at rest for good.
    rest: Time,
    breach: Option<Breach>,
}

impl World {
    /// Everything is there and nothing runs.
    pub fn new(seed: u64, print: bool, adapt: impl FnOnce(&mut Plan)) -> World {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut plan = Plan::of(&mut rng);
        adapt(&mut plan);
        let net = Net::new(plan.watchers(), plan.machines(), plan.clients, rng.fork());
        let beat = (plan.down_after / 10).clamp(Duration::from_millis(50), Duration::from_millis(500));
        let nodes =
            (0..plan.machines()).map(|at| Node::new(at, plan.config(at), Plan::rate(&mut rng), beat, rng.fork()));
        let nodes: Vec<Node> = nodes.collect();
        let registry = founding(&plan);
        let disk = Sentinel::founding(plan.sentinels, &registry);
        // Each its own patience: two that wake together would split the votes forever.
        let watchers = plan.watchers();
        let mut elections: Vec<usize> = (0..watchers).map(|at| 6 + at).collect();
        rng.shuffle(&mut elections);
        let sentinels = elections
            .iter()
            .enumerate()
            .map(|(at, election)| Sentinel::new(at, watchers, *election, Plan::rate(&mut rng), rng.fork()));
        let mut sentinels: Vec<Sentinel> = sentinels.collect();
        for (at, sentinel) in sentinels.iter_mut().enumerate().take(plan.sentinels) {
            sentinel.admit(RaftId(at as u64 + 1), disk.clone());
        }
        let clients = (0..plan.clients).map(|at| Client::new(at, &plan, rng.fork())).collect();
        let calls_seen = vec![0; plan.clients];
        let nemesis = Nemesis::new(&plan, rng.fork());
        let trace = Trace::new(seed, print);
        World {
            plan,
            queue: Queue::default(),
            net,
            nodes,
            sentinels,
            clients,
            nemesis,
            trace,
            one_master: OneMaster::default(),
            prefix: Prefix::default(),
            promises: Promises::default(),
            establishment: Establishment::default(),
            voters: Voters::default(),
            holdings: Holdings::default(),
            discovery: Discovery::default(),
            cut_off: CutOff::default(),
            terms: Terms::default(),
            applied: 1,
            registry,
            calls_seen,
            heard: None,
            rest: Time(u64::MAX),
            breach: None,
        }
    }

    /// Runs the whole of it.
    pub fn run(mut self) -> Report {
        let plan = self.plan.clone();
        self.trace.line(Time(0), || format!("{plan:?}"));
        for host in self.net.hosts().collect::<Vec<_>>() {
            self.start(host);
        }
        let mut judged = self.story();
        let is_stranded = judged.as_ref().is_err_and(|breach| !breach.is_unsafe())
            && converged::is_stranded(&self.sentinels, &self.nodes);
        if is_stranded {
            (judged, self.breach) = (Ok(()), None);
        }
        if let Err(breach) = judged {
            let now = self.queue.now();
            self.trace.line(now, || format!("BREACH {breach}"));
            self.breach.get_or_insert(breach);
        }
        let calls: Vec<&Call> = self.clients.iter().flat_map(|client| &client.calls).collect();
        let known = calls.iter().filter(|call| call.ended.is_some()).count();
        Report {
            digest: self.trace.digest(),
            events: self.trace.events(),
            operations: (known, calls.len() - known),
            mishaps: self.nemesis.acts,
            epochs: self.registry.group(&group_name()).map_or(0, |group| group.epoch.0),
            is_stranded,
            compared: self.prefix.compared,
            took: self.queue.now(),
            breach: self.breach,
        }
    }

    fn story(&mut self) -> Result<(), Breach> {
        self.until("a new group serves", FOUNDING, |world| world.unrest().is_none())?;
        for at in 0..self.clients.len() {
            let mut around = Around { queue: &mut self.queue, net: &mut self.net };
            self.clients[at].start(&mut around);
        }
        self.chaos_begins();
        self.go_on(self.plan.chaos)?;
        self.chaos_ends();
        self.heals()?;
        let before: u64 = self.clients.iter().map(|client| client.written).sum();
        self.until("writes go on", LAST_READS, |world| {
            world.clients.iter().map(|client| client.written).sum::<u64>() > before
        })?;
        if self.plan.control_lost {
            // An operator's failover may have begun meanwhile; in the middle of one nobody stands in for the sentinels.
            self.until("the group is at rest once more", HEALING, |world| world.unrest().is_none())?;
            self.without_control()?;
        }
        self.rest = self.queue.now();
        self.go_on(AFTER)?;
        for at in 1..self.clients.len() {
            self.finish(at, false);
        }
        self.until("clients come to an end", LAST_READS, |world| world.clients[1..].iter().all(|c| c.is_done))?;
        self.finish(0, true);
        self.until("the last reads", LAST_READS, |world| world.clients[0].is_done)?;
        self.until("everybody is at rest", HEALING, |world| world.unrest().is_none())?;
        self.go_on(Duration::from_millis(1500))?;
        let group = self.registry.group(&group_name()).expect("it was founded");
        converged::same_data(group, &mut self.nodes)?;
        self.judge()
    }

    /// Everything is there again, and the group comes to rest; if so many voters lost their data that nobody can know what was acknowledged, once its
    /// operator has said that it may be lost.
    fn heals(&mut self) -> Result<(), Breach> {
        let end = self.queue.now().plus(HEALING);
        loop {
            let judged = self.until("the healed group is at rest", LOOKS, |world| world.unrest().is_none());
            if judged.is_ok() || self.breach.is_some() {
                return judged;
            }
            if self.queue.now() >= end {
                let why = self.unrest().unwrap_or_default();
                return Err(converged::breach(format!("not in {HEALING:?}: the healed group is at rest: {why}")));
            }
            if converged::is_lost(&self.sentinels, &self.nodes) {
                self.ask_failover(Manner::AcceptLoss);
            }
        }
    }

    /// I13: most sentinels are gone, and all nodes are there: the group goes on, under the same master.
    fn without_control(&mut self) -> Result<(), Breach> {
        let epoch = |world: &World| world.registry.group(&group_name()).map(|group| group.epoch);
        let (members, before) = (self.members(), epoch(self));
        let lost = &members[..members.len() / 2 + 1];
        for at in lost {
            self.sentinels[*at].die(&mut Around { queue: &mut self.queue, net: &mut self.net }, false);
        }
        self.heard = self.registry.group(&group_name()).map(|group| node::place(&group.master));
        self.go_on(ALONE)?;
        let written: u64 = self.clients.iter().map(|client| client.written).sum();
        self.go_on(AFTER)?;
        let after: u64 = self.clients.iter().map(|client| client.written).sum();
        self.heard = None;
        control::judge(before == epoch(self), after - written)?;
        for at in lost {
            self.start(Host::Sentinel(*at));
        }
        self.until("the sentinels are back", HEALING, |world| world.unrest().is_none())
    }

    /// The sentinels that are members.
    pub(crate) fn members(&self) -> Vec<usize> {
        (0..self.sentinels.len()).filter(|at| self.sentinels[*at].raft_id.is_some()).collect()
    }

    fn finish(&mut self, client: usize, read_all: bool) {
        let mut around = Around { queue: &mut self.queue, net: &mut self.net };
        self.clients[client].finish(&mut around, read_all);
    }

    /// What the clients were told, judged when everything is over.
    fn judge(&mut self) -> Result<(), Breach> {
        if let Some(strange) = self.clients.iter().flat_map(|client| &client.strange).next() {
            return Err(Breach::of("clients are answered as Redis would", strange.clone()));
        }
        let group = self.registry.group(&group_name()).expect("it was founded");
        let rest = Rest { from: self.rest, master: node::place(&group.master) };
        for key in Key::ALL {
            let calls = self.calls(key);
            if let Err(breach) = histories::judge(key, &calls, &self.terms, rest) {
                self.explain(&calls);
                return Err(breach);
            }
        }
        Ok(())
    }

    fn explain(&mut self, calls: &[Call]) {
        for call in calls {
            let ended = call.ended.map_or("-".to_owned(), |end| format!("{:.6}", end.0 as f64 / 1e6));
            self.trace.line(call.began, || format!("..{ended} client {} {:?} {:?}", call.client, call.key, call.op));
        }
    }

    fn calls(&self, key: Key) -> Vec<Call> {
        let mut calls: Vec<Call> = self
            .clients
            .iter()
            .flat_map(|client| client.calls.iter().filter(|call| call.key == key).cloned())
            .collect();
        calls.sort_by_key(|call| call.began);
        calls
    }

    /// Why the group is not at rest.
    pub(crate) fn unrest(&self) -> Option<String> {
        let now = self.queue.now();
        let stops = self.nodes.iter().map(|node| node.stopped_until);
        if stops.chain(self.sentinels.iter().map(|sentinel| sentinel.stopped_until)).any(|until| until > Some(now)) {
            return Some("a process stands still".to_owned());
        }
        converged::unrest(&self.sentinels, &self.nodes)
    }

    fn go_on(&mut self, time: Duration) -> Result<(), Breach> {
        let end = self.queue.now().plus(time);
        self.until_time(end)
    }

    fn until_time(&mut self, end: Time) -> Result<(), Breach> {
        while let Some(event) = self.queue.pop(end) {
            self.happen(event);
            if let Some(breach) = &self.breach {
                return Err(breach.clone());
            }
        }
        Ok(())
    }

    fn until(&mut self, what: &str, limit: Duration, done: impl Fn(&World) -> bool) -> Result<(), Breach> {
        let end = self.queue.now().plus(limit);
        while !done(self) {
            if self.queue.now() >= end {
                let why = self.unrest().unwrap_or_else(|| "the group is at rest".to_owned());
                return Err(converged::breach(format!("not in {limit:?}: {what}: {why}")));
            }
            let next = self.queue.now().plus(Duration::from_millis(20));
            self.until_time(next)?;
        }
        Ok(())
    }

    /// A member's process starts, if it is not there.
    pub(crate) fn start(&mut self, host: Host) {
        let now = self.queue.now();
        let mut around = Around { queue: &mut self.queue, net: &mut self.net };
        match host {
            Host::Sentinel(at) if !self.sentinels[at].is_up() && self.sentinels[at].raft_id.is_some() => {
                self.sentinels[at].start(&mut around);
                self.trace.line(now, || format!("{host:?} starts"));
            }
            Host::Node(at) if self.is_in_group(at) => self.start_node(at),
            _ => {}
        }
    }

    /// A data node's process starts, member or not.
    pub(crate) fn start_node(&mut self, node: usize) {
        if self.nodes[node].is_up() {
            return;
        }
        let now = self.queue.now();
        self.nodes[node].start(&mut Around { queue: &mut self.queue, net: &mut self.net });
        self.trace.line(now, || format!("Node({node}) starts"));
        self.hear(node);
    }

    /// Until when whoever an event is for stands still.
    fn stopped(&self, event: &Event) -> Option<Time> {
        let of_node = |node: usize| self.nodes[node].stopped_until;
        let of_sentinel = |sentinel: usize| self.sentinels[sentinel].stopped_until;
        let until = match event {
            Event::Raft { to, .. } | Event::Sights { to, .. } | Event::Gone { to, .. } => of_sentinel(*to),
            Event::Answer { call, .. } | Event::CallTimeout(call) => of_sentinel(call.sentinel),
            Event::RaftTick { sentinel, .. } | Event::Look { sentinel, .. } => of_sentinel(*sentinel),
            Event::Order { to, .. } => of_node(*to),
            Event::Turn { node, .. }
            | Event::AgentBeat { node, .. }
            | Event::StateKept { node, .. }
            | Event::LogDone { node, .. }
            | Event::DiskDone { node, .. }
            | Event::Load { node, .. } => of_node(*node),
            _ => None,
        };
        until.filter(|until| *until > self.queue.now())
    }

    fn happen(&mut self, event: Event) {
        if let Some(until) = self.stopped(&event) {
            return self.queue.push(until, event);
        }
        let now = self.queue.now();
        let (kind, detail) = mark_of(&event);
        self.trace.mark(now, kind, detail);
        if let Some(node) = self.dispatch(event) {
            self.hear(node);
        }
        self.hear_sentinels();
    }

    /// Hands an event to whoever it is for; the node that it concerned, if it was one.
    fn dispatch(&mut self, event: Event) -> Option<usize> {
        let World { queue, net, nodes, sentinels, .. } = self;
        let around = &mut Around { queue, net };
        let lives = |node: usize, life: u64| nodes[node].life() == Some(life);
        match event {
            Event::Arrived { stream, end, piece } => return self.arrived(stream, end, piece),
            Event::Raft { from, to, id, bytes } => sentinels[to].raft_message(around, from, id, &bytes),
            Event::Sights { from, to, sights } => sentinels[to].reported(around, from, sights),
            Event::Gone { who, to } => sentinels[to].peer_gone(around, who),
            Event::Order { call, to, effect } => {
                nodes[to].ordered(around, call, &effect);
                return Some(to);
            }
            Event::Answer { call, result } => sentinels[call.sentinel].called(around, call, *result),
            Event::CallTimeout(call) => sentinels[call.sentinel].called(around, call, Err(Failure::Timeout)),
            Event::Turn { node, life } if lives(node, life) => {
                nodes[node].turn(around);
                return Some(node);
            }
            Event::AgentBeat { node, life } if lives(node, life) => nodes[node].beat(around),
            Event::StateKept { node, life } if lives(node, life) => {
                nodes[node].state_kept(around);
                return Some(node);
            }
            Event::LogDone { node, life, file, synced } if lives(node, life) => {
                nodes[node].log_synced(around, file, synced);
            }
            Event::DiskDone { node, life, done } if lives(node, life) => {
                nodes[node].disk_done(around, done);
                return Some(node);
            }
            Event::Load { node, life, number } if lives(node, life) => {
                nodes[node].loaded(around, number);
                return Some(node);
            }
            Event::RaftTick { sentinel, life } if sentinels[sentinel].life() == Some(life) => {
                sentinels[sentinel].raft_tick(around);
            }
            Event::Look { sentinel, life } if sentinels[sentinel].life() == Some(life) => {
                sentinels[sentinel].look(around);
            }
            Event::Client { client, wish } => self.client(client, wish),
            Event::Told { client, wish, epoch, master } if self.clients[client].wish() == wish => {
                if let Err(breach) = self.discovery.told(client, wish, epoch) {
                    self.breach.get_or_insert(breach);
                }
                self.clients[client].told(around, master);
            }
            Event::Nemesis => self.mishap(),
            Event::Cut(paths) => self.cut_paths(&paths),
            Event::Operator(epoch) => self.impatient(epoch),
            Event::Restore(restore) => self.restore(restore),
            _ => {} // of a process that is gone
        }
        None
    }

    fn arrived(&mut self, stream: crate::net::StreamId, end: crate::net::End, piece: Piece) -> Option<usize> {
        let host = self.net.arrive(&mut self.queue, stream, end, &piece)?;
        let around = &mut Around { queue: &mut self.queue, net: &mut self.net };
        match host {
            Host::Node(at) => {
                self.nodes[at].arrived(around, stream, end, piece);
                return Some(at);
            }
            Host::Sentinel(at) => self.sentinels[at].arrived(around, stream, end, piece),
            Host::Client(at) => {
                self.clients[at].arrived(around, stream, piece);
                self.told(at);
            }
        }
        None
    }

    /// A client may have been told that something is done.
    fn told(&mut self, client: usize) {
        let Some(lease) = self.registry.group(&group_name()).map(|group| Duration::from_millis(group.lease_ms)) else {
            return;
        };
        let calls = &mut self.clients[client].calls;
        for call in &mut calls[self.calls_seen[client]..] {
            let Some(node) = call.node.filter(|_| call.ended.is_some()) else { continue };
            let node = &mut self.nodes[node];
            let config = node.engine().and_then(|engine| engine.core().replication.voting());
            call.by_quorum = config.is_some_and(|config| config.is_quorum());
            // Alone it waits for nobody.
            let others = config.is_some_and(|config| config.voters().len() > 1);
            if others
                && call.op.is_write()
                && let Err(breach) = self.cut_off.acknowledged(call, lease)
            {
                self.breach.get_or_insert(breach);
            }
        }
        self.calls_seen[client] = calls.len();
    }

    fn client(&mut self, client: usize, wish: u64) {
        if self.clients[client].wish() != wish {
            return;
        }
        let World { queue, net, clients, sentinels, discovery, .. } = self;
        let around = &mut Around { queue, net };
        let Some(sentinel) = clients[client].act(around) else { return };
        let (wish, epoch) = (clients[client].wish(), self.registry.group(&group_name()).map(|group| group.epoch));
        let epoch = epoch.unwrap_or_default();
        if let Some(master) = self.heard {
            return queue.push(queue.now(), Event::Told { client, wish, epoch, master });
        }
        let (here, there) = (Host::Client(client), Host::Sentinel(sentinel));
        let asked = &mut sentinels[sentinel];
        let stands = asked.stopped_until.is_some_and(|until| until > around.queue.now());
        if !around.net.is_cut(here, there) && !stands {
            discovery.asked(client, wish, epoch);
            asked.asked(around, client, wish);
        }
    }

    /// What a node has brought forth.
    fn hear(&mut self, node: usize) {
        let now = self.queue.now();
        for news in std::mem::take(&mut self.nodes[node].news) {
            let judged = match news {
                News::Holds(holding) => {
                    let name = self.nodes[node].name().expect("it has started");
                    self.holdings.holds(name, &holding);
                    self.establishment.holds(name, &holding);
                    Ok(())
                }
                News::Turned => self.turned(node),
                News::Changed(facts) => {
                    self.trace.line(now, || {
                        let (role, epoch, promised) = (facts.role, facts.epoch, facts.promised);
                        let (held, known, link) = (facts.held, facts.data_known, facts.link_up);
                        let (unsure, config) = (facts.tail_unsure, facts.config_version);
                        format!(
                            "node {node}: {role:?} of {epoch}, promised {promised}, data of {} at {} of {:.6}, known {known}, link {link}, unsure {unsure}, config {config}",
                            facts.data_epoch, held.offset, held.replid.to_string()
                        )
                    });
                    self.one_master.node(node, &facts)
                }
                News::Unloadable(why) => {
                    self.trace.line(now, || format!("node {node} cannot load its log: {why}"));
                    Err(Breach::of("a log can be loaded", why))
                }
                News::Kept(promised) => {
                    if let Some(state) = &self.nodes[node].storage.disk.state {
                        let name = state.node_id.parse().expect("forty digits");
                        self.promises.kept(name, promised.0);
                    }
                    Ok(())
                }
                News::Said(line) => {
                    self.trace.line(now, || format!("node {node} says: {line}"));
                    Ok(())
                }
                News::Ended => {
                    self.trace.line(now, || format!("node {node} ends"));
                    self.start_again(Host::Node(node));
                    Ok(())
                }
            };
            if let Err(breach) = judged {
                self.breach.get_or_insert(breach);
            }
        }
    }

    /// A node's turn has ended.
    fn turned(&mut self, node: usize) -> Result<(), Breach> {
        let Some(engine) = self.nodes[node].engine() else { return Ok(()) };
        self.prefix.turned(node, engine)?;
        let replication = &engine.core().replication;
        let Some(config) = replication.voting() else { return Ok(()) };
        let held = replication.held();
        // A master's newest write is its barrier, or came behind it.
        let epoch = replication.data_epoch();
        let committed = replication.committed();
        let master = Master { epoch, config, replid: held.replid, written: held.offset, committed };
        self.establishment.turned(master, &self.holdings)?;
        match self.registry.group(&group_name()) {
            Some(group) => self.voters.turned(master, group),
            None => Ok(()),
        }
    }

    /// What sentinels have applied.
    fn hear_sentinels(&mut self) {
        for at in 0..self.sentinels.len() {
            if self.sentinels[at].news.is_empty() {
                continue;
            }
            for one in std::mem::take(&mut self.sentinels[at].news) {
                let judged = self.one_master.applied(&one).and_then(|()| self.committed(&one));
                if let Err(breach) = judged {
                    self.breach.get_or_insert(breach);
                }
            }
        }
    }

    /// A sentinel applied a command, perhaps as the first one.
    fn committed(&mut self, one: &Applied) -> Result<(), Breach> {
        if one.index <= self.applied {
            return Ok(());
        }
        self.applied = one.index;
        let now = self.queue.now();
        self.trace.line(now, || format!("committed {}: {:?} {}", one.index, one.command, one.changed));
        let before = self.registry.group(&group_name()).cloned();
        let entry = Entry { at: UnixMs(now.0 / 1000), command: one.command.clone() };
        let changed = self.registry.apply(one.index, entry).is_ok();
        assert_eq!(changed, one.changed, "a registry applies as every other");
        if !changed {
            return Ok(());
        }
        if let Some(before) = &before {
            self.promises.applied(one, before)?;
        }
        self.carry_out(&one.command);
        let Some(group) = self.registry.group(&group_name()) else { return Ok(()) };
        self.terms.publish(now, group.voting.published() == Durability::Quorum);
        let Some(before) = before else { return Ok(()) };
        self.voters.applied(one, &before, group, &self.holdings)?;
        if let Command::Chosen { candidate, ground, .. } = &one.command {
            if !before.voting.withholds() || *ground == Ground::LossAccepted {
                self.terms.waive(now);
            }
            let candidate = node::place(candidate);
            self.chosen(candidate);
        }
        Ok(())
    }
}

/// The registry that every founder begins with: the sentinels, and the group.
fn founding(plan: &Plan) -> Registry {
    let mut registry = Registry { highest_raft_id: plan.sentinels as u64, ..Registry::default() };
    for at in 0..plan.sentinels {
        let member = member(at, at as u64 + 1);
        registry.sentinels.insert(member.raft_id, member);
    }
    let nodes = (0..plan.nodes).map(|at| NodeSpec { node: node::key(at), tags: vec![] }).collect();
    let settings = Settings {
        quorum: (plan.sentinels / 2 + 1) as u32,
        down_after_ms: plan.down_after.as_millis() as u64,
        durability: plan.durability,
        copies: plan.copies,
        ack: plan.ack,
        quorum_timeout_ms: plan.quorum_timeout_ms,
        parallel_syncs: 2,
        ..Settings::default()
    };
    let command = Command::MonitorGroup { group: group_name(), master: node::key(0), nodes, settings };
    registry.apply(1, Entry { at: UnixMs(0), command }).expect("a new group is watched");
    registry
}

/// What the digest of a run takes of an event.
fn mark_of(event: &Event) -> (u64, u64) {
    match event {
        Event::Arrived { stream, piece, .. } => match piece {
            Piece::Bytes(bytes) => (1, digest_of(bytes) ^ stream.0),
            Piece::Beat(facts) => (2, facts.offset.0 ^ stream.0 << 40),
            Piece::Syn(_) => (3, stream.0),
            Piece::Accepted => (4, stream.0),
            Piece::Fin | Piece::Reset => (5, stream.0),
        },
        Event::Raft { from, to, bytes, .. } => (6, digest_of(bytes) ^ from.0 << 8 ^ *to as u64),
        Event::Sights { from, to, sights } => (7, (sights.len() * 64 + from.0 as usize * 8 + to) as u64),
        Event::Order { call, to, .. } => (8, call.number << 8 | *to as u64),
        Event::Answer { call, result } => (9, call.number << 1 | u64::from(result.is_ok())),
        Event::CallTimeout(call) => (10, call.number),
        Event::Turn { node, life } => (11, life << 8 | *node as u64),
        Event::AgentBeat { node, .. } => (12, *node as u64),
        Event::StateKept { node, .. } => (13, *node as u64),
        Event::LogDone { synced, .. } => (14, *synced as u64),
        Event::DiskDone { node, .. } => (15, *node as u64),
        Event::Load { node, number, .. } => (16, number << 8 | *node as u64),
        Event::RaftTick { sentinel, .. } => (17, *sentinel as u64),
        Event::Look { sentinel, .. } => (18, *sentinel as u64),
        Event::Client { client, wish } => (19, wish << 8 | *client as u64),
        Event::Told { client, master, .. } => (20, (client << 8 | master) as u64),
        Event::Nemesis => (21, 0),
        Event::Operator(_) => (23, 0),
        Event::Cut(_) => (24, 0),
        Event::Gone { who, to } => (25, who.0 << 8 ^ *to as u64),
        Event::Restore(_) => (22, 0),
    }
}
