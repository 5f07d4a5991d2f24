//! Several engines joined in memory: every role, order and cut without a socket, a disk or a clock.
//!
//! A `World` plays the shell for each of its nodes: it carries bytes between their sessions and links, loads payloads, seals snapshots and
//! answers disk tasks, one turn a node at a time, until nothing moves any more.

mod quorum;

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use quorate_config::ServerConfig;
use quorate_keyspace::{Keyspace, UnixMs};
use quorate_persist::rdb::read::{ExpiredKeys, LoadOptions, load};
use quorate_persist::rdb::seal::{Checksum, Sealer};
use quorate_replication::fence::{Durable, Role};
use quorate_replication::follower::LinkId;
use quorate_replication::history::Held;
use quorate_replication::{Address, Epoch, NodeId, VotingConfig};
use quorate_resp::{Value, encode_command, split_line};

use super::{Control, LinkInput, LinkTask, NodeRole, Order, Report, Ticket};
use crate::persistence::{DiskDone, DiskTask, PassId, SnapshotTarget};
use crate::replication::Memory;
use crate::{Closing, Effect, Engine, Host, Input, Now, Outputs, SessionId, SocketName};

thread_local! {
    /// What every engine's clock says: the time of the turn, unless a process stood still within one.
    static CLOCK: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

fn host() -> Host {
    Host { clock: || CLOCK.get(), ..Host::still() }
}

/// What happens to a node next.
enum Event {
    Opened(SessionId),
    Received(SessionId, Vec<u8>),
    Closed(SessionId),
    Connected(LinkId),
    Linked(LinkId, Vec<u8>),
    Unlinked(LinkId),
    Loaded(Held, Box<Keyspace>, quorate_persist::rdb::RdbInfo),
    Disk(DiskDone),
    Control(Control),
    Kept(u64),
    Tick,
}

/// The other end of a link.
#[derive(Clone, Copy, PartialEq)]
struct Wire {
    link: LinkId,
    to: usize,
    session: SessionId,
}

struct Node {
    engine: Engine,
    events: VecDeque<Event>,
    wire: Option<Wire>,
    /// Sessions that are another node's link.
    fed: HashMap<SessionId, usize>,
    next_session: u64,
    /// What clients have received.
    heard: HashMap<SessionId, Vec<u8>>,
    closed: Vec<SessionId>,
    payload: Option<(Held, Box<Keyspace>, Vec<u8>)>,
    sealers: HashMap<PassId, Option<Sealer>>,
    answers: HashMap<Ticket, Report>,
    log: Vec<String>,
    is_up: bool,
}

struct World {
    nodes: Vec<Node>,
    now: Now,
    tickets: u64,
    /// How many bytes a node is handed at a time from a link's other end.
    piece: usize,
    /// Cut every link once so many bytes have gone over links.
    cut_after: Option<usize>,
    carried: usize,
}

fn node_id(node: usize) -> NodeId {
    NodeId::parse(format!("{node:040x}").as_bytes()).expect("hexadecimal")
}

fn port(node: usize) -> u16 {
    7000 + node as u16
}

impl World {
    fn new(nodes: usize) -> World {
        World::with(nodes, |_| ServerConfig::default())
    }

    fn with(nodes: usize, config: impl Fn(usize) -> ServerConfig) -> World {
        let now = Now { wall: UnixMs(1_700_000_000_000), mono: Duration::from_secs(1) };
        CLOCK.set(now.mono);
        let mut world = World { nodes: Vec::new(), now, tickets: 0, piece: 4096, cut_after: None, carried: 0 };
        for node in 0..nodes {
            let config = ServerConfig { port: port(node), ..config(node) };
            let mut engine = Engine::new(config, host(), fastrand::Rng::with_seed(node as u64));
            engine.begin(now);
            let node = Node {
                engine,
                events: VecDeque::new(),
                wire: None,
                fed: HashMap::new(),
                next_session: 1,
                heard: HashMap::new(),
                closed: Vec::new(),
                payload: None,
                sealers: HashMap::new(),
                answers: HashMap::new(),
                log: Vec::new(),
                is_up: true,
            };
            world.nodes.push(node);
        }
        world
    }

    /// A world of one group, everybody fenced.
    fn group(nodes: usize) -> World {
        let mut world = World::new(nodes);
        for (at, node) in world.nodes.iter_mut().enumerate() {
            node.engine.core_mut().join_group("main", node_id(at), Durable::default(), Memory::Lost, None);
            node.engine.restored(None);
        }
        world
    }

    /// One turn of every node that has something to do; returns whether any had.
    fn turn(&mut self) -> bool {
        let mut moved = false;
        for at in 0..self.nodes.len() {
            if self.nodes[at].is_up && !self.nodes[at].events.is_empty() {
                moved = true;
                self.turn_of(at);
            }
        }
        moved
    }

    fn turn_of(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.engine.begin(self.now);
        let events: Vec<Event> = node.events.drain(..).collect();
        for event in events {
            feed(&mut node.engine, event);
        }
        let mut outputs = Outputs::default();
        node.engine.finish(&mut outputs);
        for effect in outputs.effects {
            self.perform(at, effect);
        }
        for id in outputs.ready {
            self.flush(at, id);
        }
    }

    fn perform(&mut self, at: usize, effect: Effect) {
        match effect {
            Effect::Link(task) => self.link(at, task),
            Effect::Disk(task) => self.disk(at, task),
            Effect::Close { id, how } => {
                if how == Closing::AfterFlush {
                    self.flush(at, id);
                }
                self.close(at, id);
            }
            Effect::Answer { ticket, report } => {
                let kept = report.durable.as_ref().map(|keep| Event::Kept(keep.revision));
                self.nodes[at].events.extend(kept);
                self.nodes[at].answers.insert(ticket, *report);
            }
            Effect::Keep(keep) => self.nodes[at].events.push_back(Event::Kept(keep.revision)),
            Effect::Log(_, line) => self.nodes[at].log.push(line),
            _ => {}
        }
    }

    fn link(&mut self, at: usize, task: LinkTask) {
        match task {
            LinkTask::Connect { link, master } => {
                self.unwire(at);
                let to = usize::from(master.port.wrapping_sub(port(0)));
                if to >= self.nodes.len() || !self.nodes[to].is_up {
                    return self.nodes[at].events.push_back(Event::Unlinked(link));
                }
                let session = self.session_of(to);
                self.nodes[to].fed.insert(session, at);
                self.nodes[at].wire = Some(Wire { link, to, session });
                self.nodes[at].events.push_back(Event::Connected(link));
            }
            LinkTask::Send(bytes) => {
                if let Some(wire) = self.nodes[at].wire {
                    self.carry(wire.to, bytes, |piece| Event::Received(wire.session, piece));
                }
            }
            LinkTask::Close => self.unwire(at),
            LinkTask::PayloadBegins { held, into } => self.nodes[at].payload = Some((held, into, Vec::new())),
            LinkTask::Payload(bytes) => {
                self.nodes[at].payload.as_mut().expect("a payload has begun").2.extend_from_slice(&bytes);
            }
            LinkTask::PayloadEnds => {
                let (held, mut keyspace, bytes) = self.nodes[at].payload.take().expect("a payload has begun");
                let options = LoadOptions { now: self.now.wall, expired: ExpiredKeys::Keep, checksum: Checksum::Crc64 };
                let info = load(&mut &bytes[..], &mut keyspace, &options).expect("a snapshot loads");
                self.nodes[at].events.push_back(Event::Loaded(held, keyspace, info));
            }
            LinkTask::PayloadLost => self.nodes[at].payload = None,
            LinkTask::TakeNoMore | LinkTask::TakeMore | LinkTask::Free(_) => {}
        }
    }

    fn disk(&mut self, at: usize, task: DiskTask) {
        let node = &mut self.nodes[at];
        match task {
            DiskTask::PassBegins(plan) => {
                let sealer = Sealer::new(plan.checksum);
                node.sealers.insert(plan.pass, Some(sealer));
            }
            DiskTask::PassChunk { pass, bytes } => {
                let mut payload = Vec::new();
                let sealer = node.sealers.get_mut(&pass).and_then(Option::as_mut).expect("a pass has begun");
                sealer.seal(&bytes, &mut payload);
                node.events.push_back(Event::Disk(DiskDone::Sealed { pass, raw: bytes.len(), payload }));
            }
            DiskTask::PassEnds(pass) => {
                let mut payload = Vec::new();
                let sealer = node.sealers.get_mut(&pass).and_then(Option::take).expect("a pass has begun");
                sealer.finish(&mut payload);
                let outcome = Ok(payload.len() as u64);
                node.events.push_back(Event::Disk(DiskDone::Sealed { pass, raw: 0, payload }));
                let target = SnapshotTarget::Replicas;
                node.events.push_back(Event::Disk(DiskDone::Finished { pass, target, outcome }));
            }
            _ => {}
        }
    }

    /// Sends what a session has, to whoever is at its other end.
    fn flush(&mut self, at: usize, id: SessionId) {
        loop {
            let bytes = self.nodes[at].engine.output(id).concat();
            if bytes.is_empty() {
                return;
            }
            self.nodes[at].engine.sent(id, bytes.len());
            match self.nodes[at].fed.get(&id).copied() {
                Some(replica) => {
                    if let Some(wire) = self.nodes[replica].wire.filter(|wire| wire.to == at && wire.session == id) {
                        self.carry(replica, bytes, |piece| Event::Linked(wire.link, piece));
                    }
                }
                None => self.nodes[at].heard.entry(id).or_default().extend(bytes),
            }
        }
    }

    fn carry(&mut self, to: usize, bytes: Vec<u8>, event: impl Fn(Vec<u8>) -> Event) {
        for piece in bytes.chunks(self.piece) {
            if self.cut_after.is_some_and(|after| self.carried >= after) {
                self.cut_after = None;
                for node in 0..self.nodes.len() {
                    self.unwire_with_notice(node);
                }
                return;
            }
            self.carried += piece.len();
            self.nodes[to].events.push_back(event(piece.to_vec()));
        }
    }

    fn unwire(&mut self, at: usize) {
        if let Some(Wire { to, session, .. }) = self.nodes[at].wire.take() {
            self.nodes[to].fed.remove(&session);
            self.nodes[to].events.push_back(Event::Closed(session));
        }
    }

    fn unwire_with_notice(&mut self, at: usize) {
        if let Some(Wire { link, .. }) = self.nodes[at].wire {
            self.unwire(at);
            self.nodes[at].events.push_back(Event::Unlinked(link));
        }
    }

    fn close(&mut self, at: usize, id: SessionId) {
        match self.nodes[at].fed.get(&id).copied() {
            Some(replica) => self.unwire_with_notice(replica),
            None => {
                self.nodes[at].closed.push(id);
                self.nodes[at].events.push_back(Event::Closed(id));
            }
        }
    }

    fn session_of(&mut self, at: usize) -> SessionId {
        let id = SessionId(self.nodes[at].next_session);
        self.nodes[at].next_session += 1;
        self.nodes[at].events.push_back(Event::Opened(id));
        id
    }

    /// Lets everything settle; time passes while links wait for their next attempt.
    fn settle(&mut self) {
        for _ in 0..400 {
            let mut turns = 0;
            while self.turn() {
                turns += 1;
                assert!(turns < 100_000, "the world never comes to rest");
            }
            if self.is_quiet() {
                return;
            }
            self.pass(Duration::from_millis(50));
        }
        let logs: Vec<_> = self.nodes.iter().map(|node| &node.log).collect();
        panic!("the links never settle: {logs:#?}");
    }

    /// Does every replica stand where its master does, as far as its master lives?
    fn is_quiet(&self) -> bool {
        self.nodes.iter().filter(|node| node.is_up).all(|node| {
            let core = node.engine.core();
            let facts = core.facts();
            let Some(master) = facts.master.filter(|_| facts.role == NodeRole::Replica) else { return true };
            let master = usize::from(master.port.wrapping_sub(port(0)));
            match self.nodes.get(master).filter(|node| node.is_up) {
                Some(node) => facts.link_up && node.engine.core().facts().held == facts.held,
                None => true,
            }
        })
    }

    /// Time passes for everyone.
    fn pass(&mut self, time: Duration) {
        self.now.mono += time;
        self.now.wall = self.now.wall.plus(time);
        CLOCK.set(self.now.mono);
        for node in self.nodes.iter_mut().filter(|node| node.is_up) {
            node.events.push_back(Event::Tick);
        }
        while self.turn() {}
    }

    /// A client of its own says one command; its reply in short form, `nothing` if there is none yet.
    fn say(&mut self, at: usize, command: &str) -> String {
        let id = self.session_of(at);
        self.say_as(at, id, command)
    }

    fn say_as(&mut self, at: usize, id: SessionId, command: &str) -> String {
        let words = split_line(command.as_bytes()).expect("balanced quotes");
        let argv: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let mut bytes = Vec::new();
        encode_command(&mut bytes, &argv);
        self.nodes[at].events.push_back(Event::Received(id, bytes));
        self.turn_of(at);
        self.hear(at, id)
    }

    fn hear(&mut self, at: usize, id: SessionId) -> String {
        let heard = self.nodes[at].heard.entry(id).or_default();
        match Value::decode(heard).expect("the engine writes RESP") {
            Some((value, taken)) => {
                heard.drain(..taken);
                value.to_string()
            }
            None => "nothing".into(),
        }
    }

    fn follow(&mut self, replica: usize, master: usize) {
        assert_eq!(self.say(replica, &format!("replicaof m {}", port(master))), "+OK");
    }

    /// An order of the agent, and its answer once everything that is due has happened.
    fn order(&mut self, at: usize, order: Order) -> Report {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.nodes[at].events.push_back(Event::Control(Control { ticket, order }));
        self.turn_of(at);
        self.nodes[at].answers.remove(&ticket).expect("answered in its turn")
    }

    fn assign(&mut self, at: usize, epoch: u64, role: Role) -> Report {
        self.assign_with(at, epoch, role, None)
    }

    fn assign_with(&mut self, at: usize, epoch: u64, role: Role, config: Option<VotingConfig>) -> Report {
        self.order(at, Order::Assign { group: "main".into(), epoch: Epoch(epoch), role, config, lease: None })
    }

    fn assign_master(&mut self, at: usize, epoch: u64) {
        assert_eq!(self.assign(at, epoch, Role::Master).refused, None);
    }

    fn assign_replica(&mut self, at: usize, epoch: u64, master: usize) {
        let role = Role::Replica(Address::new("m", port(master)));
        assert_eq!(self.assign(at, epoch, role).refused, None);
    }

    fn promise(&mut self, at: usize, epoch: u64) -> Report {
        self.order(at, Order::Promise { group: "main".into(), epoch: Epoch(epoch) })
    }

    fn down(&mut self, at: usize) {
        self.nodes[at].is_up = false;
        self.unwire(at);
        for node in 0..self.nodes.len() {
            if self.nodes[node].wire.is_some_and(|wire| wire.to == at) {
                self.unwire_with_notice(node);
            }
        }
        self.nodes[at].events.clear();
    }

    fn info(&self, at: usize, field: &str) -> String {
        let text = self.nodes[at].engine.core().info_replication();
        let found = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        found.unwrap_or_else(|| panic!("no {field} in {text}")).to_owned()
    }

    fn stats(&self, at: usize) -> (u64, u64) {
        let stats = &self.nodes[at].engine.core().stats;
        (stats.sync_full, stats.sync_partial_ok)
    }

    /// The whole of a node's dataset, and of its stream's place.
    fn check_same(&mut self, a: usize, b: usize) {
        let held = |world: &World, at: usize| world.nodes[at].engine.core().facts().held;
        assert_eq!(held(self, a), held(self, b), "nodes {a} and {b}");
        let (left, right) = (self.dump(a), self.dump(b));
        assert_eq!(left, right, "nodes {a} and {b}");
    }

    fn dump(&mut self, at: usize) -> Vec<String> {
        let mut all = Vec::new();
        for db in [0, 3] {
            let id = self.session_of(at);
            self.say_as(at, id, &format!("select {db}"));
            let keys = self.say_as(at, id, "keys *");
            let mut keys: Vec<&str> = keys.trim_matches(['[', ']']).split(' ').filter(|key| !key.is_empty()).collect();
            keys.sort_unstable();
            for key in keys {
                let key = &key[1..];
                all.push(format!("{db} {key} {}", self.say_as(at, id, &format!("get {key}"))));
            }
        }
        all
    }
}

fn feed(engine: &mut Engine, event: Event) {
    match event {
        Event::Opened(id) => engine.feed(Input::Opened { id, peer: SocketName::None, local: SocketName::None }),
        Event::Received(id, bytes) => engine.feed(Input::Received { id, bytes: &bytes }),
        Event::Closed(id) => engine.feed(Input::Closed { id }),
        Event::Connected(link) => engine.feed(Input::Link(LinkInput::Connected(link))),
        Event::Linked(link, bytes) => engine.feed(Input::Link(LinkInput::Received(link, &bytes))),
        Event::Unlinked(link) => engine.feed(Input::Link(LinkInput::Closed(link, "cut".into()))),
        Event::Loaded(held, keyspace, info) => engine.feed(Input::Link(LinkInput::Loaded { held, keyspace, info })),
        Event::Disk(done) => engine.feed(Input::Disk(done)),
        Event::Control(control) => engine.feed(Input::Control(control)),
        Event::Kept(revision) => engine.feed(Input::Kept(revision)),
        Event::Tick => engine.feed(Input::Tick),
    }
}

/// Two databases, a transaction, a rewritten command.
fn write_some(world: &mut World, at: usize) {
    let id = world.session_of(at);
    for command in ["set a 1", "incr n", "select 3", "set c x ex 1000", "multi", "incr n", "select 0", "incr n", "exec"]
    {
        let reply = world.say_as(at, id, command);
        assert!(!reply.starts_with('-'), "{command}: {reply}");
    }
}

#[test]
fn a_replica_gets_everything_wherever_the_link_is_cut() {
    let total = {
        let mut world = World::new(2);
        write_some(&mut world, 0);
        world.follow(1, 0);
        world.settle();
        write_some(&mut world, 0);
        world.settle();
        world.check_same(0, 1);
        assert_eq!(world.stats(0), (1, 0));
        world.carried
    };
    assert!(total > 500, "{total} bytes");
    for cut in 0..total {
        let mut world = World::new(2);
        (world.piece, world.cut_after) = (7, Some(cut));
        write_some(&mut world, 0);
        world.follow(1, 0);
        world.settle();
        write_some(&mut world, 0);
        world.settle();
        world.check_same(0, 1);
        assert!(world.stats(0).0 <= 2, "cut after {cut}");
    }
}

#[test]
fn a_chain_passes_the_stream_on_byte_for_byte() {
    let mut world = World::new(3);
    write_some(&mut world, 0);
    world.follow(2, 1);
    world.follow(1, 0);
    world.settle();
    write_some(&mut world, 0);
    world.settle();
    world.check_same(0, 1);
    world.check_same(0, 2);
    // The middle one loses its master's link: its replica notices nothing.
    world.unwire_with_notice(1);
    write_some(&mut world, 0);
    world.settle();
    world.check_same(0, 2);
    assert_eq!((world.stats(0), world.stats(1).0), ((1, 1), 1));
}

#[test]
fn a_replica_refuses_writes_hides_what_expired_and_waits_for_its_master() {
    let mut world = World::new(2);
    world.say(0, "set a 1 px 500");
    world.follow(1, 0);
    world.settle();
    assert_eq!(world.say(1, "set b 1"), "-READONLY You can't write against a read only replica.");
    assert_eq!(world.say(1, "wait 0 0").split(' ').next(), Some("-ERR"));
    world.unwire_with_notice(1);
    world.down(0);
    world.pass(Duration::from_secs(1));
    assert_eq!((world.say(1, "get a"), world.say(1, "dbsize")), ("nil".into(), ":1".into()));
    assert_eq!(world.say(1, "replicaof no one"), "+OK");
    assert_eq!((world.say(1, "get a"), world.say(1, "dbsize")), ("nil".into(), ":0".into()));
}

#[test]
fn wait_counts_acknowledgements() {
    let mut world = World::new(3);
    world.follow(1, 0);
    world.follow(2, 0);
    world.settle();
    let id = world.session_of(0);
    assert_eq!(world.say_as(0, id, "set a 1"), "+OK");
    assert_eq!(world.say_as(0, id, "wait 2 0"), "nothing");
    while world.turn() {}
    assert_eq!(world.hear(0, id), ":2", "GETACK is answered within the replica's turn");
    world.down(2);
    assert_eq!(world.say_as(0, id, "set a 2"), "+OK");
    assert_eq!(world.say_as(0, id, "wait 2 100"), "nothing");
    while world.turn() {}
    world.pass(Duration::from_millis(200));
    assert_eq!(world.hear(0, id), ":1");
}

/// I12 over the engine: a sibling follows the promoted one by partial resync, a tail is dropped by a full one.
#[test]
fn siblings_and_former_masters_find_the_new_one() {
    let mut world = World::group(3);
    world.assign_master(0, 1);
    world.assign_replica(1, 1, 0);
    world.assign_replica(2, 1, 0);
    write_some(&mut world, 0);
    world.settle();
    world.unwire_with_notice(1);
    world.unwire_with_notice(2);
    world.promise(1, 2);
    world.promise(2, 2);
    world.say(0, "set tail lost");
    world.assign_master(1, 2);
    world.assign_replica(2, 2, 1);
    world.settle();
    assert_eq!(world.stats(1), (0, 1));
    assert_eq!(world.nodes[2].engine.core().facts().data_epoch, Epoch(2));
    let client = world.session_of(0);
    assert_eq!(world.say_as(0, client, "get tail"), "$lost");
    world.assign_replica(0, 2, 1);
    assert!(world.nodes[0].closed.contains(&client), "a demoted master closes its clients");
    world.settle();
    assert_eq!((world.stats(1), world.say(0, "get tail")), ((1, 1), "nil".into()));
    world.check_same(1, 0);
    world.check_same(1, 2);
}

/// I2: neither a stream nor a write from an epoch below the promised one.
#[test]
fn a_promise_ends_the_old_epoch() {
    let mut world = World::group(2);
    assert_eq!(world.say(0, "set a 1"), "-READONLY You can't write against a read only replica.");
    world.assign_master(0, 1);
    world.assign_replica(1, 1, 0);
    world.say(0, "set a 1");
    world.settle();
    let report = world.promise(1, 2);
    assert_eq!((report.facts.role, report.facts.link_up), (NodeRole::Fenced, false));
    assert_eq!(report.durable.map(|keep| keep.durable.promised), Some(Epoch(2)));
    world.say(0, "set a 2");
    // Told to follow a master that does not serve epoch 2: it is refused until that master is told, too.
    world.assign_replica(1, 2, 0);
    world.pass(Duration::from_secs(1));
    assert_eq!((world.say(1, "get a"), world.info(1, "master_link_status")), ("$1".into(), "down".into()));
    world.assign_master(0, 2);
    world.settle();
    assert_eq!(world.say(1, "get a"), "$2");
    let refused = world.assign(0, 1, Role::Master).refused.expect("an old epoch").to_string();
    assert_eq!(refused, "epoch 2 was promised");
}

/// The handover's steps, with a writer that keeps writing: the offset stands still from the pause to the promotion.
#[test]
fn a_handover_holds_the_offset() {
    let mut world = World::group(2);
    world.assign_master(0, 1);
    world.assign_replica(1, 1, 0);
    world.settle();
    let writer = world.session_of(0);
    world.say_as(0, writer, "incr n");
    world.say(0, "set mortal x px 100");
    let (group, epoch, timeout) = ("main".to_owned(), Epoch(1), Duration::from_secs(60));
    let paused = world.order(0, Order::Pause { group, epoch, timeout });
    assert!(paused.facts.paused);
    assert_eq!(world.say_as(0, writer, "incr n"), "nothing");
    world.pass(Duration::from_secs(15)); // a key expires, a ping is due: neither may move the offset
    assert_eq!(world.say(0, "get mortal"), "nil");
    let held = paused.facts.held;
    assert_eq!(world.nodes[0].engine.core().facts().held, held);
    let caught_up = world.order(1, Order::CatchUp { held, timeout: Duration::ZERO });
    assert_eq!(caught_up.facts.held, held);
    world.promise(0, 2);
    assert!(world.nodes[0].closed.contains(&writer));
    assert_eq!(world.hear(0, writer), "nothing", "what was paused is never acknowledged");
    world.assign_master(1, 2);
    assert_eq!(world.say(1, "incr n"), ":2");
    world.assign_replica(0, 2, 1);
    world.settle();
    world.check_same(1, 0);
    assert_eq!(world.stats(1), (0, 1));
}

#[test]
fn a_pause_ends_by_itself_and_lets_the_writes_go_on() {
    let mut world = World::group(1);
    world.assign_master(0, 1);
    let (group, epoch, timeout) = ("main".to_owned(), Epoch(1), Duration::from_secs(1));
    world.order(0, Order::Pause { group, epoch, timeout });
    let writer = world.session_of(0);
    assert_eq!(world.say_as(0, writer, "incr n"), "nothing");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.hear(0, writer), ":1");
    assert!(!world.nodes[0].engine.core().facts().paused);
}

#[test]
fn a_question_for_an_offset_is_answered_when_it_comes_or_too_late() {
    let mut world = World::group(2);
    world.assign_master(0, 1);
    world.assign_replica(1, 1, 0);
    world.settle();
    let mut held = world.nodes[1].engine.core().facts().held;
    held.offset.0 += 10;
    let ask = |world: &mut World| {
        world.tickets += 1;
        let order = Order::CatchUp { held, timeout: Duration::from_secs(2) };
        let control = Control { ticket: Ticket(world.tickets), order };
        world.nodes[1].events.push_back(Event::Control(control));
        while world.turn() {}
        Ticket(world.tickets)
    };
    let early = ask(&mut world);
    assert!(!world.nodes[1].answers.contains_key(&early));
    world.say(0, "set a 1");
    world.settle();
    assert!(world.nodes[1].answers.contains_key(&early));
    held.offset.0 += 10_000;
    let order = Order::CatchUp { held, timeout: Duration::from_secs(2) };
    world.nodes[1].events.push_back(Event::Control(Control { ticket: Ticket(99), order }));
    while world.turn() {}
    assert!(!world.nodes[1].answers.contains_key(&Ticket(99)));
    world.pass(Duration::from_secs(3));
    assert!(world.nodes[1].answers.contains_key(&Ticket(99)));
}

#[test]
fn failover_hands_over_and_a_dead_target_does_not() {
    let mut world = World::new(2);
    write_some(&mut world, 0);
    world.follow(1, 0);
    world.settle();
    world.pass(Duration::from_secs(2));
    assert_eq!(world.say(0, "failover to m 7009"), "-ERR FAILOVER target HOST and PORT is not a replica.");
    assert_eq!(world.say(0, "failover force"), "-ERR syntax error");
    assert_eq!(world.say(0, "failover timeout 0"), "-ERR FAILOVER timeout must be greater than 0");
    assert_eq!(world.say(0, "failover abort"), "-ERR No failover in progress.");
    assert_eq!(world.say(1, "failover"), "-ERR FAILOVER is not valid when server is a replica.");
    assert_eq!(world.say(0, "failover"), "+OK");
    world.settle();
    assert_eq!((world.info(0, "role"), world.info(1, "role")), ("slave".into(), "master".into()));
    assert_eq!((world.info(0, "master_failover_state"), world.stats(1)), ("no-failover".into(), (0, 1)));
    world.check_same(0, 1);

    // The other way, while the replica lags: the deadline ends it, and writes go on.
    world.pass(Duration::from_secs(2));
    world.down(0);
    world.nodes[0].is_up = false;
    assert_eq!(world.say(1, "failover timeout 500"), "-ERR FAILOVER requires connected replicas.");
}

#[test]
fn a_failover_whose_replica_lags_is_given_up() {
    let mut world = World::new(2);
    world.follow(1, 0);
    world.settle();
    world.say(0, "set a 1");
    world.nodes[1].is_up = false; // stands still, its connection open
    assert_eq!(world.say(0, "failover timeout 500"), "+OK");
    assert_eq!(world.info(0, "master_failover_state"), "waiting-for-sync");
    let writer = world.session_of(0);
    assert_eq!(world.say_as(0, writer, "set a 2"), "nothing");
    world.pass(Duration::from_millis(600));
    assert_eq!((world.hear(0, writer), world.info(0, "master_failover_state")), ("+OK".into(), "no-failover".into()));
}

#[test]
fn an_order_to_a_plain_node_is_refused() {
    let mut world = World::new(1);
    let report = world.promise(0, 1);
    assert_eq!(report.refused.expect("no group").to_string(), "this node was started without a group");
    assert_eq!((report.facts.role, report.facts.data_known, report.durable), (NodeRole::Master, true, None));
}
