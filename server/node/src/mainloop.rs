//! The readiness loop: one thread, one turn of the engine an iteration, in Redis's order.
//!
//! ```text
//! poll → begin(now) → accept, read every ready socket (each read runs its commands), mail, tick → finish
//!      → effects in order (AOF first) → one write for each session with output → closed sockets reported next turn
//! ```
//! Bounds: [`ACCEPTS`] new clients and one read of [`SCRATCH`] bytes for each ready socket a turn; what is left over is
//! taken up in the next turn, which then does not wait. A socket whose kernel buffer is full is written again when it says so.
//! Source of the shape: a readiness loop with one write per connection and turn measured fastest at small pipelines.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    io,
    path::PathBuf,
    time::Duration,
};

use mio::{Events, Poll, Token};
use quorate_config::ServerConfig;
use quorate_engine::{Closing, Engine, Input, Outputs, SessionId, SocketName};

use crate::{
    conn::{Conn, Moved, Stream},
    host,
    listen::Listener,
    mailbox::{self, Letters, Mail},
    perform::{After, Performer},
    signals,
};

/// Connections accepted in one turn. Source: Redis, MAX_ACCEPTS_PER_CALL.
const ACCEPTS: usize = 1000;
/// Bytes read from one socket in one turn.
const SCRATCH: usize = 64 * 1024;
/// Events taken from the kernel at a time.
const EVENTS: usize = 1024;

const WAKER: Token = Token(0);
/// Listening sockets stand behind the waker, clients behind the listening sockets.
const FIRST_LISTENER: usize = 1;

/// Session ids count up: they are their own hash.
#[derive(Debug, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        // Spread over the high bits, which the map's control bytes are taken from.
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// The loop and everything that it owns.
pub(crate) struct MainLoop {
    poll: Poll,
    engine: Engine,
    performer: Performer,
    letters: Letters,
    listeners: Vec<Listener>,
    /// Listeners at which more clients may wait.
    crowded: Vec<usize>,
    conns: Vec<Option<Conn>>,
    free: Vec<usize>,
    places: HashMap<SessionId, usize, BuildHasherDefault<Identity>>,
    next_id: u64,
    /// Sockets with bytes left from an earlier turn.
    unread: VecDeque<usize>,
    /// Sessions whose socket ended since the last turn began.
    ended: Vec<SessionId>,
    scratch: Box<[u8]>,
    next_tick: Duration,
    /// An effect has already come to something: the next turn does not wait.
    again: bool,
}

impl MainLoop {
    /// Builds the engine and registers what it listens to.
    pub fn new(
        config: ServerConfig,
        config_file: Option<PathBuf>,
        mut listeners: Vec<Listener>,
    ) -> io::Result<MainLoop> {
        let poll = Poll::new()?;
        for (index, listener) in listeners.iter_mut().enumerate() {
            let token = Token(FIRST_LISTENER + index);
            match listener {
                Listener::Tcp(listener) => poll.registry().register(listener, token, mio::Interest::READABLE)?,
                Listener::Unix(listener, _) => poll.registry().register(listener, token, mio::Interest::READABLE)?,
            }
        }
        let (mailbox, letters) = mailbox::mailbox(poll.registry(), WAKER)?;
        signals::watch(mailbox)?;
        let engine = Engine::new(config, host::host(), fastrand::Rng::new());
        let performer = Performer::new(config_file)?;
        Ok(MainLoop {
            poll,
            engine,
            performer,
            letters,
            listeners,
            crowded: Vec::new(),
            conns: Vec::new(),
            free: Vec::new(),
            places: HashMap::default(),
            next_id: 1,
            unread: VecDeque::new(),
            ended: Vec::new(),
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            next_tick: Duration::ZERO,
            again: false,
        })
    }

    /// Runs until the engine asks to leave; returns the exit code.
    pub fn run(mut self) -> io::Result<i32> {
        let mut events = Events::with_capacity(EVENTS);
        let mut outputs = Outputs::default();
        tracing::info!("Ready to accept connections");
        loop {
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            self.again = false;
            self.engine.begin(host::now());
            self.feed(&events);
            self.engine.finish(&mut outputs);
            for effect in outputs.effects.drain(..) {
                match self.performer.perform(&mut self.engine, effect) {
                    After::Nothing => {}
                    After::Again => self.again = true,
                    After::Close(id, how) => self.close(id, how),
                    After::Leave(code) => {
                        self.farewell();
                        return Ok(code);
                    }
                }
            }
            for id in &outputs.ready {
                self.flush(*id);
            }
        }
    }

    /// How long the loop may sleep.
    fn timeout(&self) -> Option<Duration> {
        if !self.unread.is_empty() || !self.crowded.is_empty() || !self.ended.is_empty() || self.again {
            return Some(Duration::ZERO);
        }
        let due = self.engine.next_deadline().map_or(self.next_tick, |deadline| deadline.min(self.next_tick));
        Some(due.saturating_sub(host::mono()))
    }

    /// Everything that happened since the last turn.
    fn feed(&mut self, events: &Events) {
        for id in std::mem::take(&mut self.ended) {
            self.engine.feed(Input::Closed { id });
        }
        for index in std::mem::take(&mut self.crowded) {
            self.accept(index);
        }
        for _ in 0..self.unread.len() {
            let place = self.unread.pop_front().expect("counted");
            self.read(place);
        }
        let first_client = FIRST_LISTENER + self.listeners.len();
        for event in events {
            match event.token() {
                WAKER => {}
                Token(token) if token < first_client => self.accept(token - FIRST_LISTENER),
                Token(token) => self.ready(token - first_client, event),
            }
        }
        for _ in 0..mailbox::BATCH {
            let Some(mail) = self.letters.next() else { break };
            self.engine.feed(match mail {
                Mail::Disk(done) => Input::Disk(done),
                Mail::Loaded(loaded) => Input::Loaded(loaded),
                Mail::Control(control) => Input::Control(control),
                Mail::Terminate => Input::Terminate,
            });
        }
        let now = host::mono();
        if now >= self.next_tick {
            self.engine.feed(Input::Tick);
            let hz = self.engine.config().hz.clamp(1, 500);
            self.next_tick = now + Duration::from_secs(1) / hz;
        }
    }

    /// Accepts the clients that wait at a listener.
    fn accept(&mut self, index: usize) {
        for _ in 0..ACCEPTS {
            let accepted = match &self.listeners[index] {
                Listener::Tcp(listener) => listener.accept().map(|(stream, peer)| {
                    let _ = stream.set_nodelay(true);
                    let local = stream.local_addr().map_or(SocketName::None, SocketName::Tcp);
                    self.performer.keep_alive(&stream, self.engine.config().tcp_keepalive_s);
                    (Stream::Tcp(stream), SocketName::Tcp(peer), local)
                }),
                Listener::Unix(listener, path) => listener.accept().map(|(stream, _)| {
                    let name = SocketName::Unix(path.clone());
                    (Stream::Unix(stream), name.clone(), name)
                }),
            };
            match accepted {
                Ok((stream, peer, local)) => self.open(stream, peer, local),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                // Out of descriptors: whoever waits is accepted when the next client comes, as in Redis.
                Err(error) => return tracing::warn!("Accepting client connection: {error}"),
            }
        }
        self.crowded.push(index);
    }

    fn open(&mut self, stream: Stream, peer: SocketName, local: SocketName) {
        let id = SessionId(self.next_id);
        self.next_id += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.conns.push(None);
            self.conns.len() - 1
        });
        let mut conn = Conn::new(id, stream);
        let token = Token(FIRST_LISTENER + self.listeners.len() + place);
        if let Err(error) = conn.register(self.poll.registry(), token) {
            tracing::warn!("Registering client connection: {error}");
            self.free.push(place);
            return;
        }
        self.conns[place] = Some(conn);
        self.places.insert(id, place);
        self.engine.feed(Input::Opened { id, peer, local });
    }

    /// An event on a client's socket.
    fn ready(&mut self, place: usize, event: &mio::event::Event) {
        // The socket may have been closed earlier in this turn.
        let Some(conn) = self.conns.get_mut(place).and_then(Option::as_mut) else { return };
        if event.is_read_closed() {
            conn.half_closed = true;
        }
        if event.is_writable() && conn.full {
            conn.full = false;
            let id = conn.id;
            self.flush(id);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.read(place);
        }
    }

    /// One read; what is complete runs.
    fn read(&mut self, place: usize) {
        let Some(conn) = self.conns.get_mut(place).and_then(Option::as_mut) else { return };
        let id = conn.id;
        match conn.read(&mut self.scratch) {
            Moved::Some(count) => {
                if conn.unread {
                    self.unread.push_back(place);
                }
                self.engine.feed(Input::Received { id, bytes: &self.scratch[..count] });
            }
            Moved::Later => {}
            Moved::Ended => self.end(id),
        }
    }

    /// One write; a session that is to be closed behind its output is closed when all of it has left.
    fn flush(&mut self, id: SessionId) {
        let Some(place) = self.places.get(&id) else { return };
        let Some(conn) = self.conns[*place].as_mut() else { return };
        if conn.full {
            return;
        }
        let outcome = loop {
            let moved = {
                let pieces = self.engine.output(id);
                if pieces.is_empty() {
                    break if conn.closing { Moved::Ended } else { Moved::Later };
                }
                conn.write(&pieces)
            };
            // A short write filled the kernel's buffer: the next one says so, which arms the event.
            match moved {
                Moved::Some(count) => self.engine.sent(id, count),
                other => break other,
            }
        };
        if outcome == Moved::Ended {
            self.end(id);
        }
    }

    fn close(&mut self, id: SessionId, how: Closing) {
        match how {
            Closing::Now => self.end(id),
            Closing::AfterFlush => {
                let Some(place) = self.places.get(&id) else { return };
                if let Some(conn) = self.conns[*place].as_mut() {
                    conn.closing = true;
                }
                self.flush(id);
            }
        }
    }

    /// Drops a socket; the engine is told at the beginning of the next turn.
    fn end(&mut self, id: SessionId) {
        let Some(place) = self.places.remove(&id) else { return };
        if let Some(mut conn) = self.conns[place].take() {
            conn.deregister(self.poll.registry());
        }
        self.free.push(place);
        self.ended.push(id);
    }

    /// Sends what can be sent at once before the process leaves.
    fn farewell(&mut self) {
        let ids: Vec<SessionId> = self.places.keys().copied().collect();
        for id in ids {
            self.flush(id);
        }
    }
}
