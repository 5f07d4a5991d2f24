//! What will happen, in the order in which it will.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use quorate_consensus::RaftId;
use quorate_engine::DiskDone;
use quorate_registry::sights::{NodeFacts, Sight};
use quorate_registry::steering::Failure;
use quorate_registry::{Effect, Epoch, NodeKey};

use crate::disk::FileId;
use crate::net::{End, Host, Piece, StreamId};
use crate::time::Time;

/// Names one call of a node's agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// Which sentinel calls.
    pub sentinel: usize,
    /// In which of its lives.
    pub life: u64,
    /// Its number in that life.
    pub number: u64,
}

/// One thing that will happen.
#[derive(Debug)]
pub enum Event {
    /// A stream's piece arrives.
    Arrived {
        /// On which stream.
        stream: StreamId,
        /// At which end.
        end: End,
        /// What.
        piece: Piece,
    },
    /// A message of Raft arrives.
    Raft {
        /// From whom.
        from: RaftId,
        /// At which machine.
        to: usize,
        /// For whom there.
        id: RaftId,
        /// What.
        bytes: Vec<u8>,
    },
    /// A sentinel's view of nodes arrives at the leader.
    Sights {
        /// Whose.
        from: RaftId,
        /// At whom.
        to: usize,
        /// What it sees.
        sights: Vec<(NodeKey, Sight)>,
    },
    /// An order arrives at a node's agent.
    Order {
        /// Whose call.
        call: Call,
        /// At which node.
        to: usize,
        /// The order.
        effect: Box<Effect>,
    },
    /// An agent's answer arrives.
    Answer {
        /// To which call.
        call: Call,
        /// The answer.
        result: Box<Result<NodeFacts, Failure>>,
    },
    /// A call's time is over.
    CallTimeout(Call),
    /// A node's loop wakes.
    Turn {
        /// Which node.
        node: usize,
        /// In which life.
        life: u64,
    },
    /// A node's agent sends its heartbeats.
    AgentBeat {
        /// Which node.
        node: usize,
        /// In which life.
        life: u64,
    },
    /// A node's state file has been written.
    StateKept {
        /// Which node.
        node: usize,
        /// In which life.
        life: u64,
    },
    /// A node's log thread is done with what it was doing.
    LogDone {
        /// Which node.
        node: usize,
        /// In which life.
        life: u64,
        /// Which file was synced.
        file: FileId,
        /// Up to where.
        synced: usize,
    },
    /// A node's snapshot thread has done something.
    DiskDone {
        /// Which node.
        node: usize,
        /// In which life.
        life: u64,
        /// What.
        done: DiskDone,
    },
    /// A node's dataset is ready to be loaded: at the start, or a full resync's.
    Load {
        /// Which node.
        node: usize,
        /// In which life.
        life: u64,
        /// Which load: a later one makes an earlier one void.
        number: u64,
    },
    /// A sentinel takes another one's process for gone: its connections broke, and new ones are refused.
    Gone {
        /// Who is gone.
        who: RaftId,
        /// Who hears of it.
        to: usize,
    },
    /// Raft's tick at a sentinel.
    RaftTick {
        /// Which sentinel.
        sentinel: usize,
        /// In which life.
        life: u64,
    },
    /// A sentinel looks at everything.
    Look {
        /// Which sentinel.
        sentinel: usize,
        /// In which life.
        life: u64,
    },
    /// A client acts, or its patience is over.
    Client {
        /// Which client.
        client: usize,
        /// Its number of this wish: an older one is void.
        wish: u64,
    },
    /// A sentinel told a client of a master.
    Told {
        /// Which client.
        client: usize,
        /// Its number of this wish.
        wish: u64,
        /// The mastership that it was told of.
        epoch: Epoch,
        /// The master's place.
        master: usize,
    },
    /// The nemesis acts.
    Nemesis,
    /// Paths are cut.
    Cut(Vec<(Host, Host)>),
    /// The operator loses patience with the master of this epoch.
    Operator(Epoch),
    /// Something that the nemesis broke comes back.
    Restore(Restore),
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restore {
    /// A process that died.
    Start(Host),
    /// The operator sees whether a node was added as he asked, and asks again.
    Join(usize),
    /// Paths that were cut, in one direction each.
    Paths(Vec<(Host, Host)>),
    /// The network's good weather.
    Weather,
    /// A node's disk.
    Disk(usize),
}

/// When something is, the order in which it was put in, and where it lies.
type Place = (Time, u64, usize);

/// The queue: by time, and among what happens at once by the order in which it was put in. What is ordered is small; events lie beside it.
#[derive(Default)]
pub struct Queue {
    now: Time,
    numbers: u64,
    heap: BinaryHeap<Reverse<Place>>,
    events: Vec<Option<Event>>,
    free: Vec<usize>,
}

impl Queue {
    /// The true time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Something will happen; not in the past.
    pub fn push(&mut self, at: Time, event: Event) {
        self.numbers += 1;
        let place = self.free.pop().unwrap_or(self.events.len());
        if place == self.events.len() {
            self.events.push(None);
        }
        self.events[place] = Some(event);
        self.heap.push(Reverse((at.max(self.now), self.numbers, place)));
    }

    /// The next thing, if it comes before `until`; the time is then its time.
    pub fn pop(&mut self, until: Time) -> Option<Event> {
        let next = self.heap.peek().map(|Reverse((at, ..))| *at).filter(|at| *at < until);
        let Some(at) = next else {
            self.now = self.now.max(until);
            return None;
        };
        let Reverse((_, _, place)) = self.heap.pop()?;
        self.now = at;
        self.free.push(place);
        self.events[place].take()
    }
}
