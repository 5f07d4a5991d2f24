//! The thread that runs Raft: it owns the node, the disk and the registry, and nobody else touches them.
//!
//! A thread of its own with a runtime of its own, so that a slow disk or a busy front never delays a heartbeat, nor a heartbeat a front.
//! Everything else speaks to it through [`Handle`]: inputs by a bounded queue, the registry as an `Arc` in a watch channel (a reader
//! never waits for the driver), events by broadcast.
//!
//! One turn: take what is queued (at most [`TURN_MOST`] inputs, so that one fsync serves them all), then save, send and apply until nothing
//! is ready, then publish. A save that fails ends the thread, and with it the process: what the disk holds is then unknown.
//!
//! Bounds: [`QUEUE`] inputs (senders of Raft messages wait, everybody else is refused as busy), [`EVENTS`] events for a slow subscriber.

use std::{collections::BTreeMap, sync::Arc, thread, time::Duration};

use quorate_consensus::{
    Apply, Change, Config, Index, Kind, Members, Node, Outgoing, RaftId, Recovered, Refused, Role, Status, Term, Ticket,
};
use quorate_registry::{Entry, Event, Registry, Rejected};
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    time::MissedTickBehavior,
};

use crate::store::{Store, StoreError};

/// One tick of Raft. Shorter ones lose leaderships to slow disks; elections are counted in these (see `quorate_consensus::Timing`).
pub const TICK: Duration = Duration::from_millis(50);
/// Inputs that may wait for the driver.
const QUEUE: usize = 4096;
/// Inputs that one turn takes: a bound for the time between two ticks.
const TURN_MOST: usize = 256;
/// Live events that a slow subscriber may be behind.
const EVENTS: usize = 4096;

/// Takes messages to other members. Never blocks.
pub trait Outbox: Send + 'static {
    /// Queues a message; false when it was dropped.
    fn send(&self, message: Outgoing) -> bool;
}

/// What is applied and where this member stands, at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// The committed state.
    pub registry: Arc<Registry>,
    /// Where this member stands in Raft. Id 0 before it is a member.
    pub status: Status,
}

/// A committed command and what came of it, the same on every member.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Its place in the log.
    pub index: Index,
    /// The events that it caused, or why it changed nothing.
    pub outcome: Result<Vec<Event>, Rejected>,
}

/// Tells a stream of messages that one of them was malformed.
#[derive(Clone, Debug, Default)]
pub struct Spoiled(Arc<std::sync::atomic::AtomicBool>);

impl Spoiled {
    fn spoil(&self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Was one of its messages refused?
    pub fn is_spoiled(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

enum Input {
    Step { from: RaftId, bytes: Vec<u8>, stream: Spoiled },
    LinkDown(RaftId),
    Gone(RaftId),
    Propose(Vec<u8>, oneshot::Sender<Result<Applied, Refused>>),
    Read(oneshot::Sender<Result<Arc<Registry>, Refused>>),
    Change(Vec<Change>, oneshot::Sender<Result<Members, Refused>>),
    Transfer(RaftId, oneshot::Sender<Result<(), Refused>>),
    Stop,
}

/// Everybody's way to the driver. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    inputs: mpsc::Sender<Input>,
    view: watch::Receiver<View>,
    events: broadcast::Sender<Event>,
}

/// The driver before its thread starts: the channels exist, so that fronts can be up (and say "no quorum") before this sentinel is a member.
pub struct Seat {
    inputs: mpsc::Receiver<Input>,
    view: watch::Sender<View>,
    events: broadcast::Sender<Event>,
}

/// Makes the channels.
pub fn channels() -> (Handle, Seat) {
    let (inputs, queue) = mpsc::channel(QUEUE);
    let nobody = Status {
        id: RaftId(0),
        role: Role::Learner,
        leader: None,
        term: Term(0),
        applied: Index(0),
        committed: Index(0),
        members: Members::default(),
    };
    let (view, receiver) = watch::channel(View { registry: Arc::default(), status: nobody });
    let events = broadcast::Sender::new(EVENTS);
    (Handle { inputs, view: receiver, events: events.clone() }, Seat { inputs: queue, view, events })
}

impl Handle {
    /// What is applied here now.
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Follows the view; a receiver sees the newest and skips what it was too slow for.
    pub fn watch(&self) -> watch::Receiver<View> {
        self.view.clone()
    }

    /// Committed events as they are applied here, from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Publishes an event that this sentinel alone observed.
    pub fn publish(&self, event: Event) {
        // Nobody listens: that is no error.
        let _ = self.events.send(event);
    }

    /// A Raft message from a member whom the transport has authenticated. Waits while the queue is full.
    pub async fn step(&self, from: RaftId, bytes: Vec<u8>, stream: &Spoiled) {
        let _ = self.inputs.send(Input::Step { from, bytes, stream: stream.clone() }).await;
    }

    /// The link to a member broke.
    pub fn link_down(&self, id: RaftId) {
        // A full queue: the next break, or Raft's own patience, does the same.
        let _ = self.inputs.try_send(Input::LinkDown(id));
    }

    /// A member's process is gone: the link broke, and a new one was refused.
    pub fn peer_gone(&self, id: RaftId) {
        // A full queue: silence will tell.
        let _ = self.inputs.try_send(Input::Gone(id));
    }

    /// Proposes a command here; only the leader takes it.
    pub async fn propose(&self, entry: &Entry) -> Result<Applied, Refused> {
        self.ask(|reply| Input::Propose(entry.encode(), reply)).await
    }

    /// The registry with everything in it that was committed anywhere before the call, confirmed by a majority.
    pub async fn read(&self) -> Result<Arc<Registry>, Refused> {
        self.ask(Input::Read).await
    }

    /// Changes the members; only the leader takes it.
    pub async fn change(&self, changes: Vec<Change>) -> Result<Members, Refused> {
        self.ask(|reply| Input::Change(changes, reply)).await
    }

    /// Hands leadership on; only the leader takes it.
    pub async fn transfer(&self, to: RaftId) -> Result<(), Refused> {
        self.ask(|reply| Input::Transfer(to, reply)).await
    }

    /// Ends the driver's thread.
    pub async fn stop(&self) {
        let _ = self.inputs.send(Input::Stop).await;
    }

    async fn ask<T>(&self, input: impl FnOnce(oneshot::Sender<Result<T, Refused>>) -> Input) -> Result<T, Refused> {
        let (reply, answer) = oneshot::channel();
        self.inputs.try_send(input(reply)).map_err(|_| Refused::Busy("the queue is full"))?;
        answer.await.unwrap_or(Err(Refused::Lost))
    }
}

impl Seat {
    /// Starts the thread. The receiver gets the thread's end: an error is the disk's.
    pub fn drive(
        self,
        config: Config,
        recovered: Recovered,
        store: Store,
        outbox: Box<dyn Outbox>,
    ) -> oneshot::Receiver<Result<(), StoreError>> {
        let (ended, end) = oneshot::channel();
        let driver = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            let runtime = runtime.expect("a runtime without I/O needs no more than memory");
            let mut driver = Driver::new(self, &config, recovered, store, outbox);
            let result = runtime.block_on(driver.run());
            // The file is closed before anybody hears of the end.
            drop(driver);
            let _ = ended.send(result);
        };
        thread::Builder::new().name("raft".into()).spawn(driver).expect("the process can start a thread");
        end
    }
}

/// Whom a ticket belongs to.
enum Waiting {
    Command(oneshot::Sender<Result<Applied, Refused>>),
    Read(oneshot::Sender<Result<Arc<Registry>, Refused>>),
    Change(oneshot::Sender<Result<Members, Refused>>),
}

struct Driver {
    node: Node,
    store: Store,
    registry: Arc<Registry>,
    outbox: Box<dyn Outbox>,
    seat: Seat,
    waiting: BTreeMap<Ticket, Waiting>,
    tickets: u64,
    /// Events of entries up to here were news in a former life of the process: they are in the history, but not published again.
    old_news: Index,
    /// Events of this turn.
    news: Vec<Event>,
}

impl Driver {
    fn new(seat: Seat, config: &Config, recovered: Recovered, store: Store, outbox: Box<dyn Outbox>) -> Self {
        let registry =
            recovered.state().map(|(_, state)| Registry::restore(state).expect("judged sound before it was saved"));
        let old_news = recovered.last();
        Self {
            node: Node::new(config, recovered),
            store,
            registry: Arc::new(registry.unwrap_or_default()),
            outbox,
            seat,
            waiting: BTreeMap::new(),
            tickets: 0,
            old_news,
            news: Vec::new(),
        }
    }

    async fn run(&mut self) -> Result<(), StoreError> {
        let mut clock = tokio::time::interval(TICK);
        // After a stall, ticks are not made up for: that would start elections that the stall alone is to blame for.
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.publish();
        loop {
            tokio::select! {
                _ = clock.tick() => self.node.tick(),
                input = self.seat.inputs.recv() => match input {
                    Some(Input::Stop) | None => return Ok(()),
                    Some(input) => self.take(input),
                },
            }
            for _ in 0..TURN_MOST {
                match self.seat.inputs.try_recv() {
                    Ok(Input::Stop) => return Ok(()),
                    Ok(input) => self.take(input),
                    Err(_) => break,
                }
            }
            self.turn()?;
            self.publish();
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Step { from, bytes, stream } => {
                if let Err(bad) = self.node.step(from, &bytes) {
                    tracing::warn!(%from, %bad, "refused a Raft message");
                    stream.spoil();
                }
            }
            Input::LinkDown(id) => self.node.link_down(id),
            Input::Gone(id) => self.node.peer_gone(id),
            Input::Propose(data, reply) => {
                let ticket = self.ticket();
                match self.node.propose(data, ticket) {
                    Ok(()) => drop(self.waiting.insert(ticket, Waiting::Command(reply))),
                    Err(refused) => drop(reply.send(Err(refused))),
                }
            }
            Input::Read(reply) => {
                let ticket = self.ticket();
                match self.node.read_index(ticket) {
                    Ok(()) => drop(self.waiting.insert(ticket, Waiting::Read(reply))),
                    Err(refused) => drop(reply.send(Err(refused))),
                }
            }
            Input::Change(changes, reply) => {
                let ticket = self.ticket();
                match self.node.change(&changes, ticket) {
                    Ok(()) => drop(self.waiting.insert(ticket, Waiting::Change(reply))),
                    Err(refused) => drop(reply.send(Err(refused))),
                }
            }
            Input::Transfer(to, reply) => drop(reply.send(self.node.transfer(to))),
            Input::Stop => unreachable!("the loop takes it"),
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Saves, sends and applies until nothing is ready.
    fn turn(&mut self) -> Result<(), StoreError> {
        while let Some(mut batch) = self.node.ready() {
            let mut lost = Vec::new();
            send(&*self.outbox, batch.take_messages(), &mut lost);
            let store = &self.store;
            let outcome = batch.save(|write| store.save(write))?.finish();
            send(&*self.outbox, outcome.messages, &mut lost);
            for step in outcome.apply {
                self.apply(step);
            }
            lost.into_iter().for_each(|id| self.node.link_down(id));
            if self.node.checkpoint_due() {
                let state = self.registry.snapshot();
                let store = &self.store;
                self.node.checkpoint(state).save(|compaction| store.checkpoint(compaction))?;
            }
        }
        Ok(())
    }

    fn apply(&mut self, step: Apply) {
        match step {
            Apply::Restore { index, state } => self.restore(index, &state),
            Apply::Command { index, data, ticket } => {
                let outcome = self.apply_command(index, &data);
                if let Some(Waiting::Command(reply)) = ticket.and_then(|ticket| self.waiting.remove(&ticket)) {
                    let _ = reply.send(Ok(Applied { index, outcome }));
                }
            }
            Apply::Members { index, members, ticket } => {
                tracing::info!(voters = ?members.voters, learners = ?members.learners, index = index.0, "members changed");
                if let Some(Waiting::Change(reply)) = ticket.and_then(|ticket| self.waiting.remove(&ticket)) {
                    let _ = reply.send(Ok(members));
                }
            }
            Apply::Read { ticket } => {
                if let Some(Waiting::Read(reply)) = self.waiting.remove(&ticket) {
                    let _ = reply.send(Ok(self.registry.clone()));
                }
            }
            Apply::Refused { ticket, why } => match self.waiting.remove(&ticket) {
                Some(Waiting::Command(reply)) => drop(reply.send(Err(why))),
                Some(Waiting::Read(reply)) => drop(reply.send(Err(why))),
                Some(Waiting::Change(reply)) => drop(reply.send(Err(why))),
                None => {}
            },
        }
    }

    fn apply_command(&mut self, index: Index, data: &[u8]) -> Result<Vec<Event>, Rejected> {
        let entry = match Entry::decode(data) {
            Ok(entry) => entry,
            Err(error) => {
                // The same on every member: it changes nothing anywhere.
                tracing::error!(index = index.0, %error, "a committed entry is unreadable");
                return Err(Rejected::Unchanged);
            }
        };
        let outcome = Arc::make_mut(&mut self.registry).apply(index.0, entry);
        match &outcome {
            Ok(events) if index > self.old_news => self.news.extend(events.iter().cloned()),
            Ok(_) => {}
            Err(why) => tracing::debug!(index = index.0, %why, "a committed command changed nothing"),
        }
        outcome
    }

    fn restore(&mut self, index: Index, state: &[u8]) {
        let registry = Registry::restore(state).expect("judged sound before it was saved");
        let known = self.registry.history.iter().next_back().map_or(self.old_news.0 << 8, |event| event.index);
        // A member that was away hears of what it missed; one that starts with nothing has missed nothing.
        if self.registry.applied > 0 {
            self.news.extend(registry.history.iter().filter(|event| event.index > known).cloned());
        }
        tracing::info!(index = index.0, "restored the registry from the leader's snapshot");
        self.registry = Arc::new(registry);
    }

    /// The view first: whoever hears of an event finds its cause applied.
    fn publish(&mut self) {
        let view = View { registry: self.registry.clone(), status: self.node.status() };
        self.seat.view.send_if_modified(|now| {
            let changed = now.status != view.status || !Arc::ptr_eq(&now.registry, &view.registry);
            if changed {
                *now = view;
            }
            changed
        });
        for event in self.news.drain(..) {
            let _ = self.seat.events.send(event);
        }
        self.waiting.retain(|_, waiting| !waiting.is_closed());
    }
}

impl Waiting {
    /// Did whoever asked give up?
    fn is_closed(&self) -> bool {
        match self {
            Self::Command(reply) => reply.is_closed(),
            Self::Read(reply) => reply.is_closed(),
            Self::Change(reply) => reply.is_closed(),
        }
    }
}

/// A lost snapshot must be reported, or Raft waits for its receiver forever; anything else it sends again by itself.
fn send(outbox: &dyn Outbox, messages: Vec<Outgoing>, lost: &mut Vec<RaftId>) {
    for message in messages {
        let (to, kind) = (message.to, message.kind);
        if !outbox.send(message) && kind == Kind::Snapshot {
            lost.push(to);
        }
    }
}
