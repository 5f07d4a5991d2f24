//! A data node: the real engine, and a thin model of the shell around it (`server/node`): its loop, its sockets, its link, its agent.
//!
//! A process may be stopped between any two stages of a turn: before it reads, after it has run what it read, before it sends. Each stage then
//! finds the clock where it is when it goes on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use quorate_config::ServerConfig;
use quorate_engine::{
    Closing, Control, Denied, DiskDone, Effect, Engine, Facts, Input, Keep, LinkInput, LinkTask, Loaded, NodeRole, Now,
    Order, Outputs, Promises, Report, SessionId, SocketName, Ticket,
};
use quorate_keyspace::{Keyspace, UnixMs};
use quorate_persist::rdb::read::{ExpiredKeys, LoadOptions, load};
use quorate_persist::rdb::seal::Checksum;
use quorate_registry as registry;
use quorate_registry::sights::{NodeFacts, Role};
use quorate_registry::steering::Failure;
use quorate_replication::commit::{Acks, Durability};
use quorate_replication::fence::{self, Durable};
use quorate_replication::follower::LinkId;
use quorate_replication::history::Held;
use quorate_replication::tail::BootId;
use quorate_replication::{Address, Epoch, Lease, NodeId, Offset, ReplId, VotingConfig};

use crate::disk::{Crashed, FileId, Later, State, Storage};
use crate::net::{End, Host, Net, Piece, Service, StreamId};
use crate::queue::{Call, Event, Queue};
use crate::time::{Clock, Time, host, show};

/// The first node's port; the others' follow.
pub const FIRST_PORT: u16 = 7001;
/// The wall clock at the beginning: expiry is not what this is about, so it only has to run.
const WALL_MS: u64 = 1_700_000_000_000;
/// From an input to the turn that takes it.
const WAKE_US: u64 = 20;
/// How often the facts are refreshed though nothing but times changed in them: `node::member::REFRESH`.
const REFRESH: Duration = Duration::from_millis(100);
/// Inputs that one turn takes.
const TURN_MOST: usize = 64;

/// The node's key in the registry, and its address for other nodes.
pub fn key(node: usize) -> registry::NodeKey {
    registry::NodeKey::new("node", FIRST_PORT + node as u16).expect("a port")
}

/// Whose key it is.
pub fn place(key: &registry::NodeKey) -> usize {
    usize::from(key.port() - FIRST_PORT)
}

/// What waits for the loop.
enum Mail {
    Opened(SessionId),
    Received(SessionId, Vec<u8>),
    Closed(SessionId),
    Link(LinkId, LinkNews),
    Resynced(Held, Box<Keyspace>, quorate_persist::rdb::RdbInfo),
    Restored(Box<Loaded>),
    Disk(DiskDone),
    Control(Control),
    Kept(u64),
}

enum LinkNews {
    Connected,
    Bytes(Vec<u8>),
    Closed(&'static str),
}

/// How far a turn is.
enum Stage {
    /// Nothing is being done.
    Idle,
    /// The clock was read; nothing else yet.
    Begun,
    /// Everything was run, nothing released.
    Fed,
    /// What is to be done is known, nothing of it done.
    Finished(Outputs),
}

/// What has to be remembered, on its way to the disk, and who waits for it.
struct Keeping {
    keep: Keep,
    waits: Option<(Call, Box<NodeFacts>)>,
}

/// One process.
struct Process {
    life: u64,
    clock: Clock,
    engine: Engine,
    stage: Stage,
    mail: VecDeque<Mail>,
    wake_at: Option<Time>,
    next_tick: Duration,
    sessions: BTreeMap<SessionId, StreamId>,
    streams: BTreeMap<StreamId, SessionId>,
    next_session: u64,
    link: Option<(LinkId, StreamId)>,
    link_held: bool,
    /// What arrived on the link while the engine wanted nothing.
    link_waiting: VecDeque<LinkNews>,
    payload: Option<(Held, Box<Keyspace>, Vec<u8>)>,
    loads: u64,
    /// The agent: who listens to heartbeats, who waits for an order's answer.
    listeners: Vec<StreamId>,
    calls: BTreeMap<Ticket, (Call, Epoch)>,
    tickets: u64,
    keeping: VecDeque<Keeping>,
    /// The revision of the state file, as this process counts.
    revision: u64,
    lease: Arc<Mutex<Lease>>,
    refreshed_at: Duration,
    facts: Facts,
    published: u64,
    run_id: String,
}

/// A data node's machine.
pub struct Node {
    /// Its place.
    pub place: usize,
    /// Its disk.
    pub storage: Storage,
    /// How long a sync takes, in microseconds: at least, and at most.
    pub sync_us: (u64, u64),
    /// The process is stopped until then.
    pub stopped_until: Option<Time>,
    /// Turns out of a thousand in which the process is stopped half way.
    pub stop_chance: u32,
    config: ServerConfig,
    rate: u64,
    beat: Duration,
    rng: fastrand::Rng,
    lives: u64,
    /// Names the machine's start.
    boot: u128,
    process: Option<Box<Process>>,
    /// What this life brought forth and somebody wants to know.
    pub news: Vec<News>,
}

/// What a checker wants to know of a node.
#[derive(Debug, Clone)]
pub enum News {
    /// A turn ended with the dataset here.
    Turned,
    /// Role, epoch, promise or link changed.
    Changed(Box<Facts>),
    /// This promise is on the disk.
    Kept(Epoch),
    /// The dataset on the disk cannot be loaded.
    Unloadable(String),
    /// A line for its log.
    Said(String),
    /// The process has ended by itself: it left, or died at its disk.
    Ended,
}

/// Everything around a node.
pub struct Around<'a> {
    /// What will happen.
    pub queue: &'a mut Queue,
    /// The network.
    pub net: &'a mut Net,
}

impl Node {
    /// A machine that is off. `rate` is its clock's.
    pub fn new(place: usize, config: ServerConfig, rate: u64, beat: Duration, mut rng: fastrand::Rng) -> Node {
        let boot = rng.u128(..);
        let (storage, sync_us) = (Storage::new(), (300, 3000));
        let config = ServerConfig { port: FIRST_PORT + place as u16, ..config };
        Node {
            place,
            storage,
            sync_us,
            stopped_until: None,
            stop_chance: 0,
            config,
            rate,
            beat,
            rng,
            lives: 0,
            boot,
            process: None,
            news: Vec::new(),
        }
    }

    /// Is the process there, running or stopped?
    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Its facts as the agent tells them.
    pub fn facts(&self) -> Option<&Facts> {
        self.process.as_ref().map(|process| &process.facts)
    }

    /// The engine, if there is one.
    pub fn engine(&mut self) -> Option<&mut Engine> {
        self.process.as_mut().map(|process| &mut process.engine)
    }

    /// The process's life, if it lives.
    pub fn life(&self) -> Option<u64> {
        self.process.as_ref().map(|process| process.life)
    }

    fn host(&self) -> Host {
        Host::Node(self.place)
    }

    /// A process starts on what the disk holds: it boots fenced.
    pub fn start(&mut self, around: &mut Around<'_>) {
        let now = around.queue.now();
        self.lives += 1;
        self.stopped_until = None;
        let clock = Clock::starting(now, self.rate);
        show(Duration::ZERO);
        let mut engine = Engine::new(self.config.clone(), host(), self.rng.fork());
        let (state, memory) = match &self.storage.disk.state {
            Some(state) => (state.clone(), Promises::Kept),
            None => {
                let node_id: String =
                    (0..40).map(|_| char::from_digit(self.rng.u32(0..16), 16).expect("below 16")).collect();
                let state = State { node_id, durable: Durable::default() };
                self.storage.disk.state = Some(state.clone());
                (state, Promises::Lost)
            }
        };
        let node_id = NodeId::parse(state.node_id.as_bytes()).expect("forty digits");
        // Perhaps it got there as the process before this one died.
        self.news.push(News::Kept(state.durable.promised));
        let lease = Arc::new(Mutex::new(Lease::new(self.rng.u64(1..1 << 48))));
        let core = engine.core_mut();
        core.join_group(&self.config.group, node_id, state.durable.clone(), memory, Some(BootId(self.boot)));
        core.replication.set_lease(Arc::clone(&lease));
        let run_id = core.run_id.clone();
        engine.begin(wall_and(now, Duration::ZERO));
        if self.storage.has_something(&self.config) {
            engine.core_mut().loading_begins(wall(now));
            let at = now.plus_us(self.rng.u64(1000..30_000));
            around.queue.push(at, Event::Load { node: self.place, life: self.lives, number: 0 });
        } else {
            engine.restored(None);
        }
        let facts = engine.core().facts();
        self.process = Some(Box::new(Process {
            life: self.lives,
            clock,
            engine,
            stage: Stage::Idle,
            mail: VecDeque::new(),
            wake_at: None,
            next_tick: Duration::ZERO,
            sessions: BTreeMap::new(),
            streams: BTreeMap::new(),
            next_session: 1,
            link: None,
            link_held: false,
            link_waiting: VecDeque::new(),
            payload: None,
            loads: 0,
            listeners: Vec::new(),
            calls: BTreeMap::new(),
            tickets: 0,
            keeping: VecDeque::new(),
            revision: 0,
            lease,
            refreshed_at: Duration::ZERO,
            facts,
            published: u64::MAX,
            run_id,
        }));
        self.wake(around.queue, now);
        around.queue.push(now.plus(self.beat), Event::AgentBeat { node: self.place, life: self.lives });
    }

    /// The process dies: killed, or with the power.
    pub fn die(&mut self, around: &mut Around<'_>, with_power: bool) {
        let Some(process) = self.process.take() else { return };
        // What was being renamed may be there or not.
        if let Some(keeping) = process.keeping.front()
            && self.rng.bool()
        {
            self.keep(&keeping.keep.durable.clone());
        }
        self.storage.process_died();
        if with_power {
            self.storage.disk.lose_power(&mut self.rng);
            self.boot = self.rng.u128(..);
        }
        self.stopped_until = None;
        around.net.died(around.queue, Host::Node(self.place), with_power);
    }

    fn end(&mut self, around: &mut Around<'_>) {
        self.news.push(News::Ended);
        self.die(around, false);
    }

    /// The directory is emptied, between two lives.
    pub fn wipe(&mut self) {
        assert!(self.process.is_none(), "only of a process that is gone");
        self.storage.disk = Default::default();
    }

    fn node_id(&self) -> String {
        self.storage.disk.state.as_ref().map(|state| state.node_id.clone()).unwrap_or_default()
    }

    fn keep(&mut self, durable: &Durable) {
        self.storage.disk.state.as_mut().expect("written at the first start").durable = durable.clone();
    }

    fn wake(&mut self, queue: &mut Queue, at: Time) {
        let Some(process) = &mut self.process else { return };
        if process.wake_at.is_none_or(|before| at < before) {
            process.wake_at = Some(at);
            queue.push(at, Event::Turn { node: self.place, life: process.life });
        }
    }

    fn mail(&mut self, queue: &mut Queue, mail: Mail) {
        if let Some(process) = &mut self.process {
            process.mail.push_back(mail);
            let at = queue.now().plus_us(WAKE_US);
            self.wake(queue, at);
        }
    }

    /// A piece of a stream arrives at this node's end.
    pub fn arrived(&mut self, around: &mut Around<'_>, stream: StreamId, end: End, piece: Piece) {
        let Some(process) = &mut self.process else {
            return around.net.say_gone(around.queue, stream, end);
        };
        if end == End::Dialer {
            return self.link_news(around, stream, piece);
        }
        match piece {
            Piece::Syn(Service::Beats) => {
                process.listeners.push(stream);
                around.net.send(around.queue, stream, end, Piece::Accepted);
                let facts = self.renewed(around.queue.now());
                around.net.send(around.queue, stream, end, Piece::Beat(facts));
            }
            Piece::Syn(Service::Resp) => {
                let id = SessionId(process.next_session);
                process.next_session += 1;
                process.sessions.insert(id, stream);
                process.streams.insert(stream, id);
                around.net.send(around.queue, stream, end, Piece::Accepted);
                self.mail(around.queue, Mail::Opened(id));
            }
            Piece::Bytes(bytes) => {
                if let Some(id) = process.streams.get(&stream).copied() {
                    self.mail(around.queue, Mail::Received(id, bytes));
                }
            }
            Piece::Fin | Piece::Reset => {
                process.listeners.retain(|one| *one != stream);
                if let Some(id) = process.streams.remove(&stream) {
                    process.sessions.remove(&id);
                    around.net.close(around.queue, stream, end);
                    self.mail(around.queue, Mail::Closed(id));
                }
            }
            Piece::Accepted | Piece::Beat(_) => {}
        }
    }

    fn link_news(&mut self, around: &mut Around<'_>, stream: StreamId, piece: Piece) {
        let Some(process) = &mut self.process else { return };
        let Some((link, _)) = process.link.filter(|(_, mine)| *mine == stream) else { return };
        let news = match piece {
            Piece::Accepted => LinkNews::Connected,
            Piece::Bytes(bytes) => LinkNews::Bytes(bytes),
            Piece::Fin => LinkNews::Closed("the master closed the connection"),
            Piece::Reset => LinkNews::Closed("connection reset by peer"),
            Piece::Syn(_) | Piece::Beat(_) => return,
        };
        if matches!(news, LinkNews::Closed(_)) {
            around.net.close(around.queue, stream, End::Dialer);
        }
        if process.link_held || !process.link_waiting.is_empty() {
            process.link_waiting.push_back(news);
        } else {
            self.mail(around.queue, Mail::Link(link, news));
        }
    }

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

    fn answered(&mut self, around: &mut Around<'_>, ticket: Ticket, report: Report) {
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
    fn remember(&mut self, queue: &mut Queue, keeping: Keeping) {
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
    fn renewed(&self, now: Time) -> Box<NodeFacts> {
        let process = self.process.as_ref().expect("asked of a process that lives");
        let renewal = process.lease().renew(process.clock.read(now));
        Box::new(self.report(now, renewal))
    }

    /// The agent's heartbeat, to all who listen.
    pub fn beat(&mut self, around: &mut Around<'_>) {
        self.send_beats(around);
        if let Some(process) = &self.process {
            let event = Event::AgentBeat { node: self.place, life: process.life };
            around.queue.push(around.queue.now().plus(self.beat), event);
        }
    }

    fn send_beats(&mut self, around: &mut Around<'_>) {
        let Some(process) = &self.process else { return };
        if process.listeners.is_empty() {
            return;
        }
        for stream in process.listeners.clone() {
            let facts = self.renewed(around.queue.now());
            around.net.send(around.queue, stream, End::Listener, Piece::Beat(facts));
        }
    }

    /// A load has ended: the dataset of the start, or of a full resync.
    pub fn loaded(&mut self, around: &mut Around<'_>, number: u64) {
        let now = around.queue.now();
        let Some(process) = &mut self.process else { return };
        if number == 0 {
            let at = process.clock.read(now);
            match self.storage.load(at, wall(now), &self.config, self.rng.fork()) {
                Ok(loaded) => self.mail(around.queue, Mail::Restored(Box::new(loaded))),
                Err(why) => {
                    self.news.push(News::Unloadable(why));
                    self.end(around);
                }
            }
            return;
        }
        if number != process.loads {
            return;
        }
        let Some((held, mut keyspace, bytes)) = process.payload.take() else { return };
        let options = LoadOptions { now: wall(now), expired: ExpiredKeys::Keep, checksum: Checksum::Crc64 };
        let info = load(&mut &bytes[..], &mut keyspace, &options).expect("a payload that arrived whole can be read");
        self.mail(around.queue, Mail::Resynced(held, keyspace, info));
    }

    /// The log's thread has synced.
    pub fn log_synced(&mut self, around: &mut Around<'_>, file: FileId, up_to: usize) {
        let mut later = Vec::new();
        self.storage.synced(file, up_to, &mut later);
        self.follow_up(around.queue, later);
    }

    /// The snapshot's thread is done with something.
    pub fn disk_done(&mut self, around: &mut Around<'_>, done: DiskDone) {
        match self.storage.install_base(done) {
            Ok(done) => self.mail(around.queue, Mail::Disk(done)),
            Err(Crashed) => self.end(around),
        }
    }

    fn follow_up(&mut self, queue: &mut Queue, later: Vec<Later>) {
        let Some(life) = self.life() else { return };
        let mut at = queue.now().plus_us(30);
        for one in later {
            match one {
                Later::Done(done) => queue.push(at, Event::DiskDone { node: self.place, life, done }),
                Later::Syncing(file, synced) => {
                    let at = queue.now().plus_us(self.rng.u64(self.sync_us.0..=self.sync_us.1));
                    queue.push(at, Event::LogDone { node: self.place, life, file, synced });
                }
            }
            at = at.plus_us(5);
        }
    }

    /// The loop goes on: with a new turn, or with the rest of one in which the process was stopped.
    pub fn turn(&mut self, around: &mut Around<'_>) {
        let now = around.queue.now();
        let Some(process) = &mut self.process else { return };
        if process.wake_at.is_none_or(|at| at > now) {
            return; // an earlier one took its place
        }
        process.wake_at = None;
        let clock = process.clock.read(now);
        show(clock);
        if matches!(process.stage, Stage::Idle) {
            process.engine.begin(wall_and(now, clock));
            process.stage = Stage::Begun;
            if self.is_stopped_here(around.queue) {
                return;
            }
        }
        if matches!(self.process.as_ref().expect("still").stage, Stage::Begun) {
            self.feed(clock);
            self.process.as_mut().expect("still").stage = Stage::Fed;
            if self.is_stopped_here(around.queue) {
                return;
            }
        }
        let process = self.process.as_mut().expect("still");
        if matches!(process.stage, Stage::Fed) {
            let mut outputs = Outputs::default();
            process.engine.finish(&mut outputs);
            process.stage = Stage::Finished(outputs);
            if self.is_stopped_here(around.queue) {
                return;
            }
        }
        let process = self.process.as_mut().expect("still");
        let Stage::Finished(outputs) = std::mem::replace(&mut process.stage, Stage::Idle) else { return };
        if self.perform(around, clock, outputs).is_err() {
            return self.end(around);
        }
        self.turn_ended(around, clock);
    }

    /// Is the process stopped between two stages of this turn?
    fn is_stopped_here(&mut self, queue: &mut Queue) -> bool {
        if self.stop_chance == 0 || self.rng.u32(..1000) >= self.stop_chance {
            return false;
        }
        let until = queue.now().plus_us(self.rng.u64(1000..2_500_000));
        self.stopped_until = Some(until);
        self.wake(queue, until);
        true
    }

    fn feed(&mut self, clock: Duration) {
        let process = self.process.as_mut().expect("a turn is a living process's");
        let engine = &mut process.engine;
        for _ in 0..TURN_MOST {
            let Some(mail) = process.mail.pop_front() else { break };
            match mail {
                Mail::Opened(id) => {
                    engine.feed(Input::Opened { id, peer: SocketName::None, local: SocketName::None });
                }
                Mail::Received(id, bytes) => engine.feed(Input::Received { id, bytes: &bytes }),
                Mail::Closed(id) => engine.feed(Input::Closed { id }),
                Mail::Link(link, LinkNews::Connected) => engine.feed(Input::Link(LinkInput::Connected(link))),
                // What comes behind a payload waits in the socket until the payload is loaded.
                Mail::Link(_, news @ LinkNews::Bytes(_)) if !engine.takes_more_from_master() => {
                    process.link_held = true;
                    process.link_waiting.push_back(news);
                }
                Mail::Link(link, LinkNews::Bytes(bytes)) => {
                    engine.feed(Input::Link(LinkInput::Received(link, &bytes)));
                }
                Mail::Link(link, LinkNews::Closed(why)) => {
                    engine.feed(Input::Link(LinkInput::Closed(link, why.to_owned())));
                }
                Mail::Resynced(held, keyspace, info) => {
                    engine.feed(Input::Link(LinkInput::Loaded { held, keyspace, info }));
                }
                Mail::Restored(loaded) => engine.feed(Input::Loaded(*loaded)),
                Mail::Disk(done) => engine.feed(Input::Disk(done)),
                Mail::Control(control) => engine.feed(Input::Control(control)),
                Mail::Kept(revision) => engine.feed(Input::Kept(revision)),
            }
        }
        if clock >= process.next_tick {
            process.next_tick = clock + Duration::from_millis(100);
            engine.feed(Input::Tick);
        }
    }

    fn perform(&mut self, around: &mut Around<'_>, clock: Duration, outputs: Outputs) -> Result<(), Crashed> {
        let mut later = Vec::new();
        for effect in outputs.effects {
            match effect {
                Effect::Disk(task) => self.storage.perform(clock, task, &mut self.rng, &mut later)?,
                Effect::Link(task) => self.link(around, task),
                Effect::Answer { ticket, report } => self.answered(around, ticket, *report),
                Effect::Keep(keep) => self.remember(around.queue, Keeping { keep, waits: None }),
                Effect::Close { id, how } => {
                    if how == Closing::AfterFlush {
                        self.flush(around, id);
                    }
                    self.end_session(around, id);
                }
                Effect::Shutdown(_) => return Err(Crashed),
                Effect::Log(_, line) => self.news.push(News::Said(line)),
                Effect::Free(_) | Effect::Apply(_) => {}
            }
        }
        self.storage.tick(clock, &mut later);
        self.follow_up(around.queue, later);
        for id in outputs.ready {
            self.flush(around, id);
        }
        Ok(())
    }

    fn turn_ended(&mut self, around: &mut Around<'_>, clock: Duration) {
        let Some(process) = &mut self.process else { return };
        self.news.push(News::Turned);
        let version = process.engine.core().replication.version();
        if version != process.published {
            process.published = version;
            process.facts = process.engine.core().facts();
            self.news.push(News::Changed(Box::new(process.facts.clone())));
            self.send_beats(around);
        } else if clock >= process.refreshed_at + REFRESH {
            process.refreshed_at = clock;
            process.facts = process.engine.core().facts();
        }
        let process = self.process.as_mut().expect("still");
        let deadline = process.engine.next_deadline().map_or(process.next_tick, |due| due.min(process.next_tick));
        let at = process.clock.when(deadline.max(clock)).max(around.queue.now().plus_us(WAKE_US));
        let at = if process.mail.is_empty() { at } else { around.queue.now().plus_us(WAKE_US) };
        self.wake(around.queue, at);
    }

    fn flush(&mut self, around: &mut Around<'_>, id: SessionId) {
        let Some(process) = &mut self.process else { return };
        let Some(stream) = process.sessions.get(&id).copied() else { return };
        loop {
            let bytes = process.engine.output(id).concat();
            if bytes.is_empty() {
                return;
            }
            process.engine.sent(id, bytes.len());
            around.net.send(around.queue, stream, End::Listener, Piece::Bytes(bytes));
        }
    }

    fn end_session(&mut self, around: &mut Around<'_>, id: SessionId) {
        let Some(process) = &mut self.process else { return };
        if let Some(stream) = process.sessions.remove(&id) {
            process.streams.remove(&stream);
            around.net.close(around.queue, stream, End::Listener);
        }
        self.mail(around.queue, Mail::Closed(id));
    }

    fn link(&mut self, around: &mut Around<'_>, task: LinkTask) {
        let here = self.host();
        let Some(process) = &mut self.process else { return };
        match task {
            LinkTask::Connect { link, master } => {
                drop_link(process, around);
                (process.link_held, process.link_waiting) = (false, VecDeque::new());
                let to = Host::Node(usize::from(master.port.wrapping_sub(FIRST_PORT)));
                let stream = around.net.dial(around.queue, here, to, Service::Resp);
                process.link = Some((link, stream));
            }
            LinkTask::Send(bytes) => {
                if let Some((_, stream)) = process.link {
                    around.net.send(around.queue, stream, End::Dialer, Piece::Bytes(bytes));
                }
            }
            LinkTask::Close => drop_link(process, around),
            LinkTask::TakeNoMore => process.link_held = true,
            LinkTask::TakeMore => {
                process.link_held = false;
                if let Some((link, _)) = process.link {
                    let waiting = std::mem::take(&mut process.link_waiting);
                    process.mail.extend(waiting.into_iter().map(|news| Mail::Link(link, news)));
                }
            }
            LinkTask::PayloadBegins { held, into } => process.payload = Some((held, into, Vec::new())),
            LinkTask::Payload(bytes) => {
                if let Some((_, _, payload)) = &mut process.payload {
                    payload.extend_from_slice(&bytes);
                }
            }
            LinkTask::PayloadEnds => {
                process.loads += 1;
                let (number, life) = (process.loads, process.life);
                let at = around.queue.now().plus_us(self.rng.u64(500..50_000));
                around.queue.push(at, Event::Load { node: self.place, life, number });
            }
            LinkTask::PayloadLost => {
                process.payload = None;
                process.loads += 1;
            }
            LinkTask::Free(_) => {}
        }
    }
}

fn drop_link(process: &mut Process, around: &mut Around<'_>) {
    if let Some((_, stream)) = process.link.take() {
        around.net.close(around.queue, stream, End::Dialer);
    }
}

fn wall(now: Time) -> UnixMs {
    UnixMs(WALL_MS + now.0 / 1000)
}

fn wall_and(now: Time, mono: Duration) -> Now {
    Now { wall: wall(now), mono }
}

/// The order as the agent hands it on.
fn order_of(effect: &registry::Effect) -> Order {
    let (group, epoch) = (effect.group.to_string(), Epoch(effect.epoch.0));
    let config = config_of(&effect.config);
    match &effect.order {
        registry::Order::Configure { .. } => Order::Configure { group, epoch, config },
        registry::Order::Grant { .. } => unreachable!("the agent's own"),
        registry::Order::Promise => Order::Promise { group, epoch },
        registry::Order::AssignMaster => {
            Order::Assign { group, epoch, role: fence::Role::Master, config: Some(config) }
        }
        registry::Order::AssignReplica { master } => {
            let role = fence::Role::Replica(Address::new(master.host(), master.port()));
            Order::Assign { group, epoch, role, config: Some(config) }
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

fn config_of(config: &registry::VotingConfig) -> VotingConfig {
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

impl Process {
    fn lease(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().expect("no holder panics")
    }
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
