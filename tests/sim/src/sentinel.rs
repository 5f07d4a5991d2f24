//! A sentinel: the real registry, steering and Raft, and a thin model of the shell around them (`sentinel/`): its driver, its office, its probes.

mod keeper;
mod questions;

use std::collections::BTreeMap;
use std::time::Duration;

use questions::Question;
use quorate_consensus as consensus;
use quorate_consensus::{
    Apply, Batch, Config, Elections, Index, Limits, Outcome as BatchOutcome, Outgoing, RaftId, Recovered, Timing,
};
use quorate_registry as registry;
use quorate_registry::sights::{NodeFacts, Sight, Sights};
use quorate_registry::steering::{Failure, Manner, request_failover, request_settings};
use quorate_registry::{Action, Command, Entry, GroupName, NodeKey, Outcome, Registry, Rejected, Steering, UnixMs};

use crate::net::{End, Host, Piece, StreamId};
use crate::node::{Around, place};
use crate::queue::{Call, Event};
use crate::time::{Clock, Time};
use crate::watcher::{Watcher, differs};

/// One tick of Raft: `sentinel::driver::TICK`.
const RAFT_TICK: Duration = Duration::from_millis(50);
/// How often a sentinel looks at everything; its office's own is 25 ms, steering's contract says 100 ms.
const LOOK: Duration = Duration::from_millis(50);

/// The group's name.
pub fn group_name() -> GroupName {
    "main".parse().expect("a word")
}

/// On which machine the member of this number is: ids are given out so that it shows.
pub fn place_of(id: RaftId, watchers: usize) -> usize {
    (id.0 as usize - 1) % watchers
}

/// What Raft has on the disk.
#[derive(Clone, Default)]
pub struct RaftDisk {
    snapshot: Option<Vec<u8>>,
    hard_state: Option<Vec<u8>>,
    entries: BTreeMap<u64, Vec<u8>>,
}

/// Where in a batch the process dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum CrashPoint {
    None,
    BeforeSave,
    AfterSave,
    BeforeSend,
}

/// One term of leadership.
struct Reign {
    term: consensus::Term,
    steering: Steering,
    /// Calls under way, with the effect that each carries out.
    calls: BTreeMap<u64, registry::Ticket>,
    /// Effects that wait until a majority has confirmed the leader (I8).
    unconfirmed: BTreeMap<consensus::Ticket, (registry::Ticket, registry::Effect)>,
}

struct Process {
    life: u64,
    clock: Clock,
    raft: consensus::Node,
    registry: Registry,
    sights: Sights,
    reign: Option<Reign>,
    watchers: BTreeMap<NodeKey, Watcher>,
    proposals: BTreeMap<consensus::Ticket, Option<GroupName>>,
    questions: BTreeMap<consensus::Ticket, Question>,
    tickets: u64,
    /// How often it looked after the members, as leader.
    turns: usize,
    calls: u64,
    looked_at: Duration,
    /// To whom the whole view was sent.
    reports_to: Option<RaftId>,
}

/// A committed command, as one sentinel applied it.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Its place in the log.
    pub index: u64,
    /// The command.
    pub command: Command,
    /// It changed something.
    pub changed: bool,
}

/// A sentinel's machine.
pub struct Sentinel {
    /// Its place.
    pub place: usize,
    /// The process is stopped until then.
    pub stopped_until: Option<Time>,
    /// How long a save takes, in microseconds at most.
    pub save_us: u64,
    /// Saves out of ten thousand at which the process dies.
    pub crash_chance: u32,
    /// What was applied here and somebody wants to know.
    pub news: Vec<Applied>,
    /// Its number in Raft; `None`: it is no member.
    pub raft_id: Option<RaftId>,
    /// How many machines there are for sentinels.
    watchers: usize,
    disk: RaftDisk,
    election: usize,
    rate: u64,
    rng: fastrand::Rng,
    lives: u64,
    process: Option<Box<Process>>,
}

impl Sentinel {
    /// A machine that is off, one of `watchers`, and no member yet. `election`: after how many ticks it stands, its own for each.
    pub fn new(place: usize, watchers: usize, election: usize, rate: u64, rng: fastrand::Rng) -> Sentinel {
        Sentinel {
            place,
            raft_id: None,
            watchers,
            stopped_until: None,
            save_us: 2000,
            crash_chance: 0,
            news: Vec::new(),
            disk: RaftDisk::default(),
            election,
            rate,
            rng,
            lives: 0,
            process: None,
        }
    }

    /// The disk of every founder.
    pub fn founding(sentinels: usize, registry: &Registry) -> RaftDisk {
        let voters: Vec<RaftId> = (1..=sentinels as u64).map(RaftId).collect();
        let recovered = Recovered::founding(&voters, registry.snapshot());
        RaftDisk {
            snapshot: Some(recovered.snapshot_bytes()),
            hard_state: Some(recovered.hard_state_bytes()),
            entries: BTreeMap::new(),
        }
    }

    /// Is the process there, running or stopped?
    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// The process's life, if it lives.
    pub fn life(&self) -> Option<u64> {
        self.process.as_ref().map(|process| process.life)
    }

    /// What is applied here.
    pub fn registry(&self) -> Option<&Registry> {
        self.process.as_ref().map(|process| &process.registry)
    }

    /// The term in which it leads, and knows all that was committed before.
    pub fn reign(&self) -> Option<u64> {
        let status = self.process.as_ref()?.raft.status();
        (status.role == consensus::Role::Leader { established: true }).then_some(status.term.0)
    }

    /// Does it lead, and know all that was committed before?
    pub fn leads(&self) -> bool {
        self.reign().is_some()
    }

    /// Members that Raft still brings up, or counts beside those that it will.
    pub fn members_change(&self) -> bool {
        let Some(process) = &self.process else { return false };
        let members = process.raft.status().members;
        let registered = process.registry.sentinels.len();
        !process.registry.leaving.is_empty() || !members.outgoing.is_empty() || members.voters.len() != registered
    }

    /// It is a member from now on: with a founder's disk, or with an empty one.
    pub fn admit(&mut self, raft_id: RaftId, disk: RaftDisk) {
        assert!(self.process.is_none(), "only a machine that is off gets another disk");
        (self.raft_id, self.disk) = (Some(raft_id), disk);
    }

    /// It was removed: its process ends and its directory goes.
    pub fn retire(&mut self, around: &mut Around<'_>) {
        self.die(around, false);
        (self.raft_id, self.disk) = (None, RaftDisk::default());
    }

    fn id(&self) -> RaftId {
        self.raft_id.expect("only members run")
    }

    /// A process starts on what the disk holds.
    pub fn start(&mut self, around: &mut Around<'_>) {
        self.lives += 1;
        self.stopped_until = None;
        let entries = self.disk.entries.iter().map(|(index, bytes)| (Index(*index), bytes.as_slice()));
        let recovered = Recovered::from_bytes(self.disk.snapshot.as_deref(), self.disk.hard_state.as_deref(), entries)
            .expect("what was saved can be read");
        let registry = recovered
            .state()
            .map_or_else(Registry::default, |(_, state)| Registry::restore(state).expect("saved by a sentinel"));
        let config = Config {
            id: self.id(),
            boot: self.rng.u64(..),
            timing: Timing { elections: Elections::Fixed(self.election), ..Timing::default() },
            limits: Limits { snapshot_every: 48, ..Limits::default() },
            snapshot_is_sound: |bytes| Registry::restore(bytes).is_ok(),
        };
        let now = around.queue.now();
        self.process = Some(Box::new(Process {
            life: self.lives,
            clock: Clock::starting(now, self.rate),
            raft: consensus::Node::new(&config, recovered),
            registry,
            sights: Sights::default(),
            reign: None,
            watchers: BTreeMap::new(),
            proposals: BTreeMap::new(),
            questions: BTreeMap::new(),
            tickets: 0,
            turns: 0,
            calls: 0,
            looked_at: Duration::ZERO,
            reports_to: None,
        }));
        let (sentinel, life) = (self.place, self.lives);
        let phase = self.rng.u64(..RAFT_TICK.as_micros() as u64);
        around.queue.push(now.plus_us(phase), Event::RaftTick { sentinel, life });
        around.queue.push(now.plus_us(phase / 2), Event::Look { sentinel, life });
    }

    /// The process dies; what was saved stays.
    pub fn die(&mut self, around: &mut Around<'_>, with_power: bool) {
        if self.process.take().is_some() {
            self.stopped_until = None;
            around.net.died(around.queue, Host::Sentinel(self.place), with_power);
            if !with_power {
                self.tell_of_death(around);
            }
        }
    }

    /// The kernel resets a dead process's connections and refuses new ones: its peers need not wait for silence.
    fn tell_of_death(&self, around: &mut Around<'_>) {
        let Some(who) = self.raft_id else { return };
        for to in (0..self.watchers).filter(|to| *to != self.place) {
            let heard = around.net.post(around.queue.now(), Host::Sentinel(self.place), Host::Sentinel(to)).next();
            if let Some(at) = heard {
                around.queue.push(at, Event::Gone { who, to });
            }
        }
    }

    /// Another one is gone, as it seems from here.
    pub fn peer_gone(&mut self, around: &mut Around<'_>, who: RaftId) {
        let Some(process) = self.process.as_mut() else { return };
        process.raft.peer_gone(who);
        self.pump(around);
    }

    /// Raft's time passes.
    pub fn raft_tick(&mut self, around: &mut Around<'_>) {
        let Some(process) = &mut self.process else { return };
        process.raft.tick();
        let at = around.queue.now().plus(RAFT_TICK);
        around.queue.push(at, Event::RaftTick { sentinel: self.place, life: process.life });
        self.pump(around);
    }

    /// A message of another member.
    pub fn raft_message(&mut self, around: &mut Around<'_>, from: RaftId, to: RaftId, bytes: &[u8]) {
        let is_mine = self.raft_id == Some(to);
        let Some(process) = self.process.as_mut().filter(|_| is_mine) else { return };
        process.raft.step(from, bytes).unwrap_or_else(|bad| panic!("an honest message was refused: {bad}"));
        self.pump(around);
    }

    /// Saves, sends and applies until nothing is ready, perhaps dying on the way.
    fn pump(&mut self, around: &mut Around<'_>) {
        loop {
            let point = match self.crash_chance > 0 && self.rng.u32(..10_000) < self.crash_chance {
                true => [CrashPoint::BeforeSave, CrashPoint::AfterSave, CrashPoint::BeforeSend][self.rng.usize(..3)],
                false => CrashPoint::None,
            };
            let Some(process) = &mut self.process else { return };
            let Some(batch) = process.raft.ready() else { break };
            let (early, outcome) = save(batch, &mut self.disk, point);
            self.send(around, early, 0);
            let Some(outcome) = outcome else { return self.die(around, false) };
            let saved = self.rng.u64(50..=self.save_us);
            self.send(around, outcome.messages, saved);
            for step in outcome.apply {
                self.apply(around, step);
            }
            self.checkpoint();
        }
        self.succeed();
    }

    fn send(&mut self, around: &mut Around<'_>, messages: Vec<Outgoing>, after_us: u64) {
        let from = self.id();
        for message in messages {
            let to = place_of(message.to, self.watchers);
            let now = around.queue.now().plus_us(after_us);
            let mut lost = true;
            for at in around.net.post(now, Host::Sentinel(self.place), Host::Sentinel(to)) {
                lost = false;
                around.queue.push(at, Event::Raft { from, to, id: message.to, bytes: message.bytes.clone() });
            }
            // What a transport reports: a message that found no link.
            if lost && let Some(process) = &mut self.process {
                process.raft.link_down(message.to);
            }
        }
    }

    fn apply(&mut self, around: &mut Around<'_>, step: Apply) {
        let Some(process) = &mut self.process else { return };
        match step {
            Apply::Restore { state, .. } => {
                process.registry = Registry::restore(&state).expect("judged sound before it was saved");
            }
            Apply::Command { index, data, ticket } => {
                let entry = Entry::decode(&data).expect("proposed by a sentinel");
                let command = entry.command.clone();
                let changed = process.registry.apply(index.0, entry).is_ok();
                self.news.push(Applied { index: index.0, command, changed });
                let group = ticket.and_then(|ticket| process.proposals.remove(&ticket)).flatten();
                if let (Some(group), Some(reign), false) = (group, &mut process.reign, changed) {
                    reign.steering.proposal_failed(&group);
                }
            }
            Apply::Members { .. } => {}
            Apply::Read { ticket } => {
                self.confirmed(around, ticket);
                let Some(process) = &mut self.process else { return };
                let waits = process.reign.as_mut().and_then(|reign| reign.unconfirmed.remove(&ticket));
                if let Some((ticket, effect)) = waits {
                    self.run(around, ticket, effect);
                }
            }
            Apply::Refused { ticket, .. } => {
                process.questions.remove(&ticket);
                let now = process.clock.read(around.queue.now());
                if let Some(reign) = &mut process.reign
                    && let Some((ticket, _)) = reign.unconfirmed.remove(&ticket)
                {
                    let result = Err(Failure::Error("no majority confirmed the leader".to_owned()));
                    reign.steering.outcome(now, Outcome { ticket, result });
                }
                let group = process.proposals.remove(&ticket).flatten();
                if let (Some(group), Some(reign)) = (group, &mut process.reign) {
                    reign.steering.proposal_failed(&group);
                }
            }
        }
    }

    fn checkpoint(&mut self) {
        let Some(process) = &mut self.process else { return };
        if !process.raft.checkpoint_due() {
            return;
        }
        let (state, disk) = (process.registry.snapshot(), &mut self.disk);
        let saved: Result<(), ()> = process.raft.checkpoint(state).save(|compaction| {
            disk.snapshot = Some(compaction.snapshot());
            disk.entries = disk.entries.split_off(&(compaction.drop_up_to().0 + 1));
            Ok(())
        });
        saved.expect("this disk never fails");
    }

    /// Begins and ends reigns.
    fn succeed(&mut self) {
        let Some(process) = &mut self.process else { return };
        let status = process.raft.status();
        let leads = status.role == consensus::Role::Leader { established: true };
        if process.reign.as_ref().is_some_and(|reign| !leads || reign.term != status.term) {
            process.reign = None;
        }
        if leads && process.reign.is_none() {
            let (term, steering) = (status.term, Steering::default());
            process.reign = Some(Reign { term, steering, calls: BTreeMap::new(), unconfirmed: BTreeMap::new() });
        }
    }

    /// Steering is asked, and what it says is done.
    fn steer(&mut self, around: &mut Around<'_>) {
        let now = around.queue.now();
        let Some(process) = &mut self.process else { return };
        let local = process.clock.read(now);
        let Some(reign) = &mut process.reign else { return };
        let (mut proposed, mut runs) = (false, Vec::new());
        for action in reign.steering.step(local, &process.registry, &process.sights) {
            match action {
                Action::Propose(command) => {
                    let group = command.group().cloned();
                    let entry = Entry { at: UnixMs(now.0 / 1000), command };
                    process.tickets += 1;
                    let ticket = consensus::Ticket(process.tickets);
                    match process.raft.propose(entry.encode(), ticket) {
                        Ok(()) => drop(process.proposals.insert(ticket, group)),
                        Err(_) => group.iter().for_each(|group| reign.steering.proposal_failed(group)),
                    }
                    proposed = true;
                }
                Action::Run(ticket, effect) if effect.order.is_confirmed() => {
                    process.tickets += 1;
                    let read = consensus::Ticket(process.tickets);
                    match process.raft.read_index(read) {
                        Ok(()) => drop(reign.unconfirmed.insert(read, (ticket, effect))),
                        Err(why) => {
                            let result = Err(Failure::Error(why.to_string()));
                            reign.steering.outcome(local, Outcome { ticket, result });
                        }
                    }
                    proposed = true;
                }
                Action::Run(ticket, effect) => runs.push((ticket, effect)),
            }
        }
        for (ticket, effect) in runs {
            self.run(around, ticket, effect);
        }
        if proposed {
            self.pump(around);
        }
    }

    /// Calls the agent of the node that an effect is for.
    fn run(&mut self, around: &mut Around<'_>, ticket: registry::Ticket, effect: registry::Effect) {
        let now = around.queue.now();
        let Some(process) = &mut self.process else { return };
        let Some(reign) = &mut process.reign else { return };
        process.calls += 1;
        reign.calls.insert(process.calls, ticket);
        let call = Call { sentinel: self.place, life: process.life, number: process.calls };
        let (to, timeout) = (place(&effect.node), process.clock.when(process.clock.read(now) + effect.within));
        around.queue.push(timeout, Event::CallTimeout(call));
        let effect = Box::new(effect);
        for at in around.net.post(now, Host::Sentinel(self.place), Host::Node(to)) {
            around.queue.push(at, Event::Order { call, to, effect: effect.clone() });
        }
    }

    /// A call has ended, one way or the other.
    pub fn called(&mut self, around: &mut Around<'_>, call: Call, result: Result<NodeFacts, Failure>) {
        let now = around.queue.now();
        let Some(process) = self.process.as_mut().filter(|process| process.life == call.life) else { return };
        let Some(reign) = &mut process.reign else { return };
        let Some(ticket) = reign.calls.remove(&call.number) else { return };
        reign.steering.outcome(process.clock.read(now), Outcome { ticket, result });
        self.steer(around);
    }

    /// What another sentinel sees.
    pub fn reported(&mut self, around: &mut Around<'_>, from: RaftId, sights: Vec<(NodeKey, Sight)>) {
        let Some(process) = &mut self.process else { return };
        let (now, group) = (process.clock.read(around.queue.now()), group_name());
        for (node, sight) in sights {
            process.sights.report(now, registry::RaftId(from.0), &group, &node, sight);
        }
        self.steer(around);
    }

    /// Looks at everything that time alone changes.
    pub fn look(&mut self, around: &mut Around<'_>) {
        let here = Host::Sentinel(self.place);
        let Some(process) = &mut self.process else { return };
        let now = process.clock.read(around.queue.now());
        let late = now.saturating_sub(process.looked_at + LOOK);
        process.looked_at = now;
        let at = process.clock.when(now + LOOK);
        around.queue.push(at, Event::Look { sentinel: self.place, life: process.life });
        if let Some(group) = process.registry.groups.get(&group_name()) {
            let down_after = group.settings.down_after();
            process.watchers.retain(|node, _| group.nodes.contains_key(node));
            for node in group.nodes.keys() {
                if !process.watchers.contains_key(node) {
                    process.watchers.insert(node.clone(), Watcher::new(now, place(node), down_after));
                }
            }
            for watcher in process.watchers.values_mut() {
                watcher.tick(around, here, now, late, down_after);
            }
        }
        process.sights.retain(&process.registry);
        self.tell(around);
        self.steer(around);
        self.keep_members(around);
    }

    /// A stream's piece arrives: a heartbeat, or news of the connection.
    pub fn arrived(&mut self, around: &mut Around<'_>, stream: StreamId, end: End, piece: Piece) {
        let Some(process) = &mut self.process else {
            return around.net.say_gone(around.queue, stream, end);
        };
        let now = process.clock.read(around.queue.now());
        for watcher in process.watchers.values_mut().filter(|watcher| watcher.stream() == Some(stream)) {
            watcher.on(around, now, piece.clone());
        }
        self.tell(around);
        self.steer(around);
    }

    /// What changed goes into this sentinel's own view, and to the leader if that is another.
    fn tell(&mut self, around: &mut Around<'_>) {
        let watchers = self.watchers;
        let Some(me) = self.raft_id else { return };
        let Some(process) = &mut self.process else { return };
        let (now, group) = (process.clock.read(around.queue.now()), group_name());
        let leader = process.raft.status().leader.filter(|leader| *leader != me);
        let all = leader != process.reports_to;
        process.reports_to = leader;
        let mut news = Vec::new();
        for (node, watcher) in &mut process.watchers {
            let sight = watcher.sight(now);
            let is_news = watcher.reported.as_ref().is_none_or(|before| differs(before, &sight));
            if !is_news && !all && now < watcher.report_due {
                continue;
            }
            let down_after = process.registry.group(&group).map_or(Duration::ZERO, |group| group.settings.down_after());
            watcher.told(now, &sight, down_after);
            process.sights.report(now, registry::RaftId(me.0), &group, node, sight.clone());
            news.push((node.clone(), sight));
        }
        let Some(leader) = leader.filter(|_| !news.is_empty()) else { return };
        let to = place_of(leader, watchers);
        for at in around.net.post(around.queue.now(), Host::Sentinel(self.place), Host::Sentinel(to)) {
            around.queue.push(at, Event::Sights { from: me, to, sights: news.clone() });
        }
    }

    /// The operator asks for a failover.
    pub fn ask_failover(&mut self, around: &mut Around<'_>, manner: Manner) -> Result<(), Rejected> {
        let Some(process) = &self.process else { return Ok(()) };
        let now = process.clock.read(around.queue.now());
        let command = request_failover(now, &process.registry, &process.sights, &group_name(), None, manner)?;
        self.propose(around, command);
        Ok(())
    }

    /// The operator asks for other settings.
    pub fn ask_settings(&mut self, around: &mut Around<'_>, changes: Vec<(String, String)>) -> Result<(), Rejected> {
        let Some(process) = &self.process else { return Ok(()) };
        let now = process.clock.read(around.queue.now());
        let command = request_settings(now, &process.registry, &process.sights, &group_name(), changes)?;
        self.propose(around, command);
        Ok(())
    }

    /// The operator's command, if this sentinel leads.
    pub fn propose(&mut self, around: &mut Around<'_>, command: Command) {
        let Some(process) = &mut self.process else { return };
        process.tickets += 1;
        let ticket = consensus::Ticket(process.tickets);
        let entry = Entry { at: UnixMs(around.queue.now().0 / 1000), command };
        if process.raft.propose(entry.encode(), ticket).is_ok() {
            process.proposals.insert(ticket, None);
            self.pump(around);
        }
    }
}

/// One batch: what may leave before the save, and what follows it unless the process died.
fn save(mut batch: Batch<'_>, disk: &mut RaftDisk, point: CrashPoint) -> (Vec<Outgoing>, Option<BatchOutcome>) {
    let early = batch.take_messages();
    if point == CrashPoint::BeforeSave {
        return (early, None);
    }
    let saved: Result<_, ()> = batch.save(|write| {
        if let Some(snapshot) = write.snapshot() {
            disk.snapshot = Some(snapshot);
        }
        if let Some(Index(from)) = write.replace_from() {
            disk.entries.split_off(&from);
        }
        disk.entries.extend(write.entries().map(|(index, bytes)| (index.0, bytes)));
        if let Some(hard_state) = write.hard_state() {
            disk.hard_state = Some(hard_state);
        }
        Ok(())
    });
    let saved = saved.expect("this disk never fails");
    match point {
        CrashPoint::AfterSave => (early, None),
        CrashPoint::BeforeSend => {
            let _lost = saved.finish();
            (early, None)
        }
        _ => (early, Some(saved.finish())),
    }
}
