//! The network: hosts, directed paths that may be cut, datagrams that may be lost or doubled, and streams that behave as TCP does.
//!
//! A stream keeps its order. What is sent into a cut path is sent again once it heals, late and in order; a reset that is sent into one is lost,
//! which leaves a stream half open until somebody speaks into it. A process that dies resets its streams; a host that loses power says nothing.

use std::collections::{BTreeMap, VecDeque};

use quorate_registry::sights::NodeFacts;

use crate::queue::{Event, Queue};
use crate::time::Time;

/// A machine with one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// A sentinel, by its place.
    Sentinel(usize),
    /// A data node, by its place.
    Node(usize),
    /// A client, by its place.
    Client(usize),
}

/// Names a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// An end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Who connected.
    Dialer = 0,
    /// Who was connected to.
    Listener = 1,
}

impl End {
    /// The other one.
    pub fn other(self) -> End {
        match self {
            End::Dialer => End::Listener,
            End::Listener => End::Dialer,
        }
    }
}

/// What a stream carries.
#[derive(Debug, Clone)]
pub enum Piece {
    /// A connection is wanted, for this.
    Syn(Service),
    /// It is established.
    Accepted,
    /// Bytes of RESP.
    Bytes(Vec<u8>),
    /// A heartbeat of a node's agent.
    Beat(Box<NodeFacts>),
    /// The other end has closed.
    Fin,
    /// The other end's process is gone, or knows nothing of the stream; before `Accepted`: nobody listens.
    Reset,
}

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// A data node's port: clients and replicas.
    Resp,
    /// Heartbeats of a data node's agent.
    Beats,
}

/// One way of a stream.
#[derive(Debug, Default)]
struct Way {
    /// Nothing arrives before what was sent before it.
    last: Time,
    /// Sent while the path was cut.
    stalled: VecDeque<Piece>,
}

/// A connection.
#[derive(Debug)]
struct Stream {
    hosts: [Host; 2],
    open: [bool; 2],
    /// By the end that it leads to.
    ways: [Way; 2],
}

/// How bad the network is at the moment.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Microseconds from host to host at least.
    pub delay: u64,
    /// And at most so many more.
    pub jitter: u64,
    /// Datagrams out of a thousand that are lost.
    pub loss: u32,
    /// Datagrams out of a thousand that come twice.
    pub double: u32,
}

/// A local network on a good day.
pub const FAIR: Weather = Weather { delay: 100, jitter: 300, loss: 0, double: 0 };

/// The retransmission of what was stalled comes within this after the heal. Source: RFC 6298's minimum of a second is 200 ms in practice (Linux).
const RETRANSMIT_US: u64 = 200_000;

/// See the module.
pub struct Net {
    counts: (usize, usize),
    hosts: usize,
    cut: Vec<bool>,
    /// How bad it is.
    pub weather: Weather,
    rng: fastrand::Rng,
    streams: BTreeMap<StreamId, Stream>,
    next: u64,
}

impl Net {
    /// So many sentinels, nodes and clients, all connected.
    pub fn new(sentinels: usize, nodes: usize, clients: usize, rng: fastrand::Rng) -> Net {
        let hosts = sentinels + nodes + clients;
        let cut = vec![false; hosts * hosts];
        Net { counts: (sentinels, nodes), hosts, cut, weather: FAIR, rng, streams: BTreeMap::new(), next: 1 }
    }

    /// Every host.
    pub fn hosts(&self) -> impl Iterator<Item = Host> + use<> {
        let (sentinels, nodes) = self.counts;
        let clients = self.hosts - sentinels - nodes;
        let all = (0..sentinels).map(Host::Sentinel).chain((0..nodes).map(Host::Node));
        all.chain((0..clients).map(Host::Client))
    }

    fn place(&self, host: Host) -> usize {
        match host {
            Host::Sentinel(at) => at,
            Host::Node(at) => self.counts.0 + at,
            Host::Client(at) => self.counts.0 + self.counts.1 + at,
        }
    }

    /// Does nothing pass from one to the other?
    pub fn is_cut(&self, from: Host, to: Host) -> bool {
        self.cut[self.place(from) * self.hosts + self.place(to)]
    }

    /// Cuts or heals one direction.
    pub fn set_cut(&mut self, queue: &mut Queue, from: Host, to: Host, cut: bool) {
        let place = self.place(from) * self.hosts + self.place(to);
        let was = std::mem::replace(&mut self.cut[place], cut);
        if was && !cut {
            self.retransmit(queue, from, to);
        }
    }

    /// Everybody reaches everybody.
    pub fn heal(&mut self, queue: &mut Queue) {
        for from in self.hosts() {
            for to in self.hosts() {
                self.set_cut(queue, from, to, false);
            }
        }
    }

    fn retransmit(&mut self, queue: &mut Queue, from: Host, to: Host) {
        let now = queue.now();
        for (id, stream) in &mut self.streams {
            for end in [End::Dialer, End::Listener] {
                let (sender, receiver) = (stream.hosts[end.other() as usize], stream.hosts[end as usize]);
                let way = &mut stream.ways[end as usize];
                if (sender, receiver) != (from, to) || way.stalled.is_empty() {
                    continue;
                }
                way.last = way.last.max(now.plus_us(self.rng.u64(..RETRANSMIT_US)));
                for piece in way.stalled.drain(..) {
                    queue.push(way.last, Event::Arrived { stream: *id, end, piece });
                }
            }
        }
    }

    fn latency(&mut self) -> u64 {
        self.weather.delay + self.rng.u64(..=self.weather.jitter)
    }

    /// When the copies of a datagram arrive: none, one or two.
    pub fn post(&mut self, now: Time, from: Host, to: Host) -> impl Iterator<Item = Time> + use<> {
        let mut copies = [None, None];
        if !self.is_cut(from, to) && self.rng.u32(..1000) >= self.weather.loss {
            copies[0] = Some(now.plus_us(self.latency()));
            if self.rng.u32(..1000) < self.weather.double {
                // Now and then much later: from before a partition, or the last leader.
                let late = if self.rng.u8(..4) == 0 { self.rng.u64(..3_000_000) } else { 0 };
                copies[1] = Some(now.plus_us(self.latency() + late));
            }
        }
        copies.into_iter().flatten()
    }

    /// Opens a stream; its dialer hears `Accepted`, `Reset`, or nothing.
    pub fn dial(&mut self, queue: &mut Queue, from: Host, to: Host, service: Service) -> StreamId {
        let id = StreamId(self.next);
        self.next += 1;
        let stream = Stream { hosts: [from, to], open: [true, true], ways: Default::default() };
        self.streams.insert(id, stream);
        self.send(queue, id, End::Dialer, Piece::Syn(service));
        id
    }

    /// Sends from one end to the other.
    pub fn send(&mut self, queue: &mut Queue, id: StreamId, from: End, piece: Piece) {
        let latency = self.latency();
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.open[from as usize]) else { return };
        let to = from.other();
        let (sender, receiver) = (stream.hosts[from as usize], stream.hosts[to as usize]);
        let place = |host| match host {
            Host::Sentinel(at) => at,
            Host::Node(at) => self.counts.0 + at,
            Host::Client(at) => self.counts.0 + self.counts.1 + at,
        };
        let cut = self.cut[place(sender) * self.hosts + place(receiver)];
        let way = &mut stream.ways[to as usize];
        if cut || !way.stalled.is_empty() {
            if !matches!(piece, Piece::Reset) {
                way.stalled.push_back(piece);
            }
            return;
        }
        way.last = way.last.max(queue.now().plus_us(latency));
        queue.push(way.last, Event::Arrived { stream: id, end: to, piece });
    }

    /// One end closes in order: what it sent still arrives.
    pub fn close(&mut self, queue: &mut Queue, id: StreamId, end: End) {
        self.send(queue, id, end, Piece::Fin);
        self.shut(id, end);
    }

    /// One end breaks the stream: what it sent may be lost.
    pub fn reset(&mut self, queue: &mut Queue, id: StreamId, end: End) {
        self.send(queue, id, end, Piece::Reset);
        self.shut(id, end);
    }

    fn shut(&mut self, id: StreamId, end: End) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.open[end as usize] = false;
            if stream.open == [false, false] {
                self.streams.remove(&id);
            }
        }
    }

    /// Something arrives: the host and what it gets, unless nobody takes it there any more.
    pub fn arrive(&mut self, queue: &mut Queue, id: StreamId, end: End, piece: &Piece) -> Option<Host> {
        let stream = self.streams.get_mut(&id)?;
        let host = stream.hosts[end as usize];
        if !stream.open[end as usize] {
            if !matches!(piece, Piece::Reset | Piece::Fin) {
                // Whoever speaks into a stream that is not there is told so.
                self.say_gone(queue, id, end);
            }
            return None;
        }
        if matches!(piece, Piece::Reset | Piece::Fin) {
            self.shut(id, end);
        }
        Some(host)
    }

    /// Tells the other end that this one knows nothing of the stream, or that nobody listens here.
    pub fn say_gone(&mut self, queue: &mut Queue, id: StreamId, end: End) {
        let latency = self.latency();
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let (here, there) = (stream.hosts[end as usize], stream.hosts[end.other() as usize]);
        stream.open[end as usize] = false;
        let way = &mut stream.ways[end.other() as usize];
        way.last = way.last.max(queue.now().plus_us(latency));
        let at = way.last;
        if !self.is_cut(here, there) {
            queue.push(at, Event::Arrived { stream: id, end: end.other(), piece: Piece::Reset });
        }
    }

    /// The process of a host is gone. `quietly`: so is its kernel, which tells nobody.
    pub fn died(&mut self, queue: &mut Queue, host: Host, quietly: bool) {
        let open: Vec<(StreamId, End)> = self.ends_of(host);
        for (id, end) in open {
            if quietly {
                self.shut(id, end);
            } else {
                self.reset(queue, id, end);
            }
        }
    }

    /// A random stream with an end here breaks at both ends.
    pub fn break_one(&mut self, queue: &mut Queue, host: Host) {
        let open = self.ends_of(host);
        if open.is_empty() {
            return;
        }
        let (id, end) = open[self.rng.usize(..open.len())];
        self.say_gone(queue, id, end);
        self.say_gone(queue, id, end.other());
        // Both hear of it: neither end was shut by its own process.
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.open = [true, true];
        }
    }

    fn ends_of(&self, host: Host) -> Vec<(StreamId, End)> {
        let ends = self.streams.iter().flat_map(|(id, stream)| {
            [End::Dialer, End::Listener].map(|end| (*id, end, stream.hosts[end as usize], stream.open[end as usize]))
        });
        ends.filter(|(_, _, at, open)| *at == host && *open).map(|(id, end, ..)| (id, end)).collect()
    }
}
