//! A data node: the real engine, and a thin model of the shell around it (`server/node`): its loop ([`turn`]), its sockets and its link
//! ([`streams`]), its agent ([`agent`]).
//!
//! A process may be stopped between any two stages of a turn: before it reads, after it has run what it read, before it sends. Each stage then
//! finds the clock where it is when it goes on.

mod agent;
mod streams;
mod turn;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use quorate_config::ServerConfig;
use quorate_engine::{Control, DiskDone, Engine, Facts, Keep, Loaded, Now, Outputs, Promises, SessionId, Ticket};
use quorate_keyspace::{Keyspace, UnixMs};
use quorate_registry as registry;
use quorate_registry::sights::NodeFacts;
use quorate_replication::fence::Durable;
use quorate_replication::follower::LinkId;
use quorate_replication::history::Held;
use quorate_replication::tail::BootId;
use quorate_replication::{Epoch, Lease, NodeId, Offset, ReplId};

pub use agent::config_of;

use crate::disk::{Crashed, Disk, FileId, Later, State, Storage};
use crate::net::{Host, Net, StreamId};
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
    /// What the full disk did not take: the agent tries again.
    unkept: Option<Keep>,
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
    /// The name under which it has its data, as of its last start.
    name: Option<NodeId>,
    holding: Option<Holding>,
    /// The next turn is stopped as soon as it has begun, until then.
    pub stands_in_turn_until: Option<Time>,
    /// What this life brought forth and somebody wants to know.
    pub news: Vec<News>,
}

/// What a checker wants to know of a node.
#[derive(Debug, Clone)]
pub enum News {
    /// A turn has run: what the node holds now, before it tells anybody.
    Holds(Holding),
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

/// How much of which history a node holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// The history.
    pub replid: ReplId,
    /// Up to where.
    pub offset: Offset,
    /// The epoch of its newest write.
    pub epoch: Epoch,
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
            name: None,
            holding: None,
            stands_in_turn_until: None,
            news: Vec::new(),
        }
    }

    /// Is the process there, running or stopped?
    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// The name under which it has its data; `None` before its first start.
    pub fn name(&self) -> Option<NodeId> {
        self.name
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
        (self.stopped_until, self.stands_in_turn_until) = (None, None);
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
        (self.name, self.holding) = (Some(node_id), None);
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
            unkept: None,
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
        (self.stopped_until, self.stands_in_turn_until) = (None, None);
        around.net.died(around.queue, Host::Node(self.place), with_power);
    }

    fn end(&mut self, around: &mut Around<'_>) {
        self.news.push(News::Ended);
        self.die(around, false);
    }

    /// The directory is emptied, between two lives.
    pub fn wipe(&mut self) {
        drop(self.take_disk());
    }

    /// The disk is taken out, between two lives.
    pub fn take_disk(&mut self) -> Disk {
        assert!(self.process.is_none(), "only of a process that is gone");
        std::mem::take(&mut self.storage.disk)
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
}

impl Process {
    fn lease(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().expect("no holder panics")
    }
}

fn wall(now: Time) -> UnixMs {
    UnixMs(WALL_MS + now.0 / 1000)
}

fn wall_and(now: Time, mono: Duration) -> Now {
    Now { wall: wall(now), mono }
}
