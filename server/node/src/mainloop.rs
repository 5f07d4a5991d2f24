//! The readiness loop: read every ready socket and run what is complete; then perform effects (AOF among them), replicas, and one write
//! per connection.
//!
//! Edge-triggered: a socket is read until a read comes back short. One that fills the scratch buffer is read again in the next turn, behind the others,
//! so that nobody starves. What many sockets hold is read into one buffer and handed to the engine together, which then fetches the keys of
//! all before it runs the first command. Bounds: `ACCEPTS` new connections and 64 KiB per connection and turn,
//! 256 KiB of a large argument, which is read to where it will lie.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use mio::event::Event;
use mio::net::{TcpListener, UnixListener};
use mio::{Events, Interest, Poll, Token, Waker};
use quorate_config::{Apply, ServerConfig};
use quorate_engine::{Closing, Effect, Engine, Filled, Input, Level, Outputs, Received, SessionId, SessionMap, Unsent};

use crate::conn::{Conn, Stream};
use crate::disk::{Disk, Then};
use crate::link::Link;
use crate::mailbox::{Mail, Mailbox};
use crate::member::Member;
use crate::signals::Signals;
use crate::{NodeError, background, host, listen};

/// One read takes at most this much. Source: Redis's PROTO_IOBUF_LEN is 16 KiB; a larger one saves calls behind deep pipelines.
const SHARE: usize = 64 * 1024;
/// One read of a large argument to where it will lie takes at most this much.
const SHARE_APART: usize = 4 * SHARE;
/// What several sockets hold is gathered up to this size before the engine gets it. Only what was read is ever touched.
const SCRATCH: usize = 16 * SHARE;
/// New connections taken in one turn. Source: Redis's MAX_ACCEPTS_PER_CALL.
const ACCEPTS: usize = 1000;
/// Events taken from one poll.
const EVENTS: usize = 1024;
/// Descriptors that are not clients' sockets. Source: Redis's CONFIG_MIN_RESERVED_FDS.
const RESERVED_FILES: u64 = 32;

const WAKER: Token = Token(usize::MAX);
const SIGNALS: Token = Token(usize::MAX - 1);
const LINK: Token = Token(usize::MAX - 2);
/// Listening sockets count down from here.
const LISTENERS: usize = usize::MAX - 16;

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The loop and everything it holds.
pub(crate) struct Mainloop {
    engine: Engine,
    poll: Poll,
    listeners: Vec<Listener>,
    conns: Vec<Option<Conn>>,
    free: Vec<usize>,
    places: SessionMap<usize>,
    next_id: u64,
    mail: Receiver<Mail>,
    signals: Signals,
    disk: Disk,
    link: Link,
    /// `Some`: a node of a group.
    member: Option<Member>,
    /// Sockets that may hold more than one turn's share.
    unread: Vec<usize>,
    /// Listeners that may hold more than one turn's share.
    unaccepted: Vec<usize>,
    /// Replicas that are sent a dataset, a share a turn.
    unflushed: Vec<SessionId>,
    /// Sessions whose sockets have ended; the engine hears of them in the next turn.
    gone: Vec<SessionId>,
    scratch: Vec<u8>,
    /// What of `scratch` is full, and whose it is: not yet with the engine.
    filled: usize,
    received: Vec<Received>,
    outputs: Outputs,
    next_tick: Duration,
    /// Something was said to the engine outside of a turn.
    due: bool,
    leaving: Option<i32>,
}

impl Mainloop {
    pub fn start(mut config: ServerConfig, config_file: Option<PathBuf>) -> Result<Mainloop, NodeError> {
        let system = |what| move |error| NodeError::System(what, error);
        let listeners = listen::tcp(&config, config.port)?.into_iter().map(TcpListener::from_std).map(Listener::Tcp);
        let listeners: Vec<_> = listeners.chain(listen::unix(&config)?.map(Listener::Unix)).collect();
        raise_file_limit(&mut config);
        let poll = Poll::new().map_err(system("epoll"))?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(system("a waker"))?;
        let signals = Signals::register(poll.registry(), SIGNALS).map_err(system("signal handlers"))?;
        let (mailbox, mail) = Mailbox::new(waker);
        let mut engine = Engine::new(config, host::host(), host::rng());
        engine.core_mut().config_file = config_file.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let member = Member::join(&mut engine, &mailbox)?;
        let gauge = Arc::clone(&engine.core().persistence.gauge);
        let disk = Disk::start(engine.config(), &mailbox, gauge).map_err(system("the snapshot thread"))?;
        let now = host::now();
        engine.begin(now);
        if disk.load(engine.config(), host::rng()) {
            engine.core_mut().loading_begins(now.wall);
        } else {
            engine.restored(None);
            tracing::info!("Ready to accept connections");
        }
        let mut mainloop = Mainloop {
            engine,
            poll,
            listeners,
            conns: Vec::new(),
            free: Vec::new(),
            places: SessionMap::default(),
            next_id: 1,
            mail,
            signals,
            disk,
            link: Link::new(LINK, mailbox.clone()),
            member,
            unread: Vec::new(),
            unaccepted: Vec::new(),
            unflushed: Vec::new(),
            gone: Vec::new(),
            scratch: vec![0; SCRATCH],
            filled: 0,
            received: Vec::new(),
            outputs: Outputs::default(),
            next_tick: Duration::ZERO,
            due: true,
            leaving: None,
        };
        mainloop.register_listeners().map_err(system("epoll"))?;
        Ok(mainloop)
    }

    fn register_listeners(&mut self) -> io::Result<()> {
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            let token = Token(LISTENERS - index);
            match listener {
                Listener::Tcp(listener) => self.poll.registry().register(listener, token, Interest::READABLE)?,
                Listener::Unix(listener) => self.poll.registry().register(listener, token, Interest::READABLE)?,
            }
        }
        Ok(())
    }

    pub fn run(mut self) -> Result<(), NodeError> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(NodeError::System("epoll", error)),
                _ => {}
            }
            let now = host::now();
            self.engine.begin(now);
            if let Some(member) = &self.member {
                member.turn_begins(now.mono);
            }
            self.due = false;
            if self.link.is_due() {
                self.link.ready(&mut self.engine, &mut self.scratch, self.poll.registry());
            }
            for id in std::mem::take(&mut self.gone) {
                self.engine.feed(Input::Closed { id });
            }
            for index in std::mem::take(&mut self.unaccepted) {
                self.accept(index);
            }
            for place in std::mem::take(&mut self.unread) {
                self.read_again(place);
            }
            for event in &events {
                match event.token() {
                    WAKER => {}
                    SIGNALS if self.signals.take() => self.engine.feed(Input::Terminate),
                    SIGNALS => {}
                    LINK => {
                        self.hand_over();
                        self.link.ready(&mut self.engine, &mut self.scratch, self.poll.registry());
                    }
                    Token(token) if token > LISTENERS - 16 => self.accept(LISTENERS - token),
                    Token(place) => self.ready(place, event),
                }
            }
            self.hand_over();
            self.read_mail();
            self.tick();
            let mut outputs = std::mem::take(&mut self.outputs);
            self.engine.finish(&mut outputs);
            self.perform(&mut outputs);
            for id in std::mem::take(&mut self.unflushed) {
                self.flush(id);
            }
            for id in outputs.ready.drain(..) {
                self.flush(id);
            }
            self.outputs = outputs;
            if let Some(member) = &mut self.member {
                member.turn_ended(&self.engine);
            }
            if let Some(code) = self.leaving {
                return self.leave(code);
            }
        }
    }

    fn timeout(&self) -> Duration {
        if self.due
            || !self.gone.is_empty()
            || !self.unread.is_empty()
            || !self.unaccepted.is_empty()
            || !self.unflushed.is_empty()
            || self.link.is_due()
        {
            return Duration::ZERO;
        }
        let next = self.engine.next_deadline().map_or(self.next_tick, |deadline| deadline.min(self.next_tick));
        // Rounded up: epoll counts in milliseconds, and waking early would spin.
        let wait = next.saturating_sub(host::clock());
        Duration::from_millis(wait.as_micros().div_ceil(1000) as u64)
    }

    fn tick(&mut self) {
        let now = host::clock();
        if now >= self.next_tick {
            let hz = self.engine.config().hz.clamp(1, 500);
            self.next_tick = now + Duration::from_secs(1) / hz;
            self.engine.feed(Input::Tick);
            self.disk.configure(self.engine.config());
            self.disk.tick();
        }
    }

    fn read_mail(&mut self) {
        while let Ok(mail) = self.mail.try_recv() {
            self.engine.feed(match mail {
                Mail::Disk(event) => match self.disk.event(event) {
                    Then::Nothing => continue,
                    Then::Done(done) => Input::Disk(done),
                    Then::Loaded(loaded) => {
                        tracing::info!("DB loaded: {} keys from RDB. Ready to accept connections", loaded.keys_loaded);
                        Input::Loaded(*loaded)
                    }
                    Then::Fail(error) => {
                        tracing::error!("Fatal error loading the DB, check server logs. Exiting. {error}");
                        self.leaving = Some(1);
                        continue;
                    }
                },
                Mail::Control(control) => Input::Control(control),
                Mail::Kept(revision) => Input::Kept(revision),
                Mail::Link(input) => Input::Link(input),
                Mail::LoaderCaughtUp => {
                    self.link.loader_caught_up();
                    continue;
                }
                Mail::Resolved(resolved) => {
                    self.link.resolved(resolved, self.poll.registry());
                    continue;
                }
            });
        }
    }

    fn accept(&mut self, index: usize) {
        for _ in 0..ACCEPTS {
            let accepted = match &self.listeners[index] {
                Listener::Tcp(listener) => listener.accept().map(|(stream, _)| Stream::Tcp(stream)),
                Listener::Unix(listener) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
            };
            match accepted {
                Ok(stream) => self.open(stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(error) => {
                    // Out of descriptors: tried again at the next tick, when somebody may have left.
                    tracing::warn!("Accepting client connection: {error}");
                    return;
                }
            }
        }
        self.unaccepted.push(index);
    }

    fn open(&mut self, stream: Stream) {
        let place = self.free.pop().unwrap_or(self.conns.len());
        let id = SessionId(self.next_id);
        let conn = match Conn::register(stream, id, Token(place), self.poll.registry()) {
            Ok(conn) => conn,
            Err(error) => {
                tracing::warn!("Error registering fd event for the new client: {error}");
                if place < self.conns.len() {
                    self.free.push(place);
                }
                return;
            }
        };
        self.next_id += 1;
        conn.configure(self.engine.config().tcp_keepalive_s);
        let (peer, local) = conn.names();
        if place == self.conns.len() {
            self.conns.push(Some(conn));
        } else {
            self.conns[place] = Some(conn);
        }
        self.places.insert(id, place);
        self.engine.feed(Input::Opened { id, peer, local });
    }

    fn ready(&mut self, place: usize, event: &Event) {
        let Some(conn) = self.conns.get_mut(place).and_then(Option::as_mut) else { return };
        let id = conn.id;
        conn.half_closed |= event.is_read_closed();
        if event.is_writable() && std::mem::take(&mut conn.choked) {
            self.flush(id);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.read(place);
        }
    }

    fn read_again(&mut self, place: usize) {
        if let Some(conn) = self.conns.get_mut(place).and_then(Option::as_mut)
            && std::mem::take(&mut conn.unread)
        {
            self.read(place);
        }
    }

    /// One read, behind what others have sent.
    fn read(&mut self, place: usize) {
        let Some(conn) = self.conns.get_mut(place).and_then(Option::as_mut) else { return };
        if conn.unread {
            return;
        }
        if self.filled + SHARE > self.scratch.len() {
            self.hand_over();
            return self.read(place);
        }
        if conn.gathers {
            return self.read_apart(place);
        }
        match conn.read(&mut self.scratch[self.filled..self.filled + SHARE]) {
            Ok(count @ 1..) => {
                // A short read has drained the socket, unless the end of the stream stands right behind it: no event
                // tells of that again (test: a_half_closed_client_still_gets_its_replies).
                if count == SHARE || conn.half_closed {
                    conn.unread = true;
                    self.unread.push(place);
                }
                self.received.push(Received { id: conn.id, bytes: self.filled..self.filled + count });
                self.filled += count;
            }
            nothing => self.read_nothing(place, nothing),
        }
    }

    /// One read of a large argument, to where it will lie; what follows the argument is read like all else.
    fn read_apart(&mut self, place: usize) {
        let Some(conn) = self.conns.get_mut(place).and_then(Option::as_mut) else { return };
        match self.engine.fill(conn.id, SHARE_APART, |room| conn.read_new(room)) {
            None => {
                conn.gathers = false;
                self.read(place);
            }
            // What ends the argument has come with it, nearly always.
            Some(Ok(Filled { count, room })) if count == room && room < SHARE_APART => self.read_apart(place),
            Some(Ok(Filled { count: count @ 1.., room })) => {
                if count == room || conn.half_closed {
                    conn.unread = true;
                    self.unread.push(place);
                }
            }
            Some(nothing) => self.read_nothing(place, nothing.map(|filled| filled.count)),
        }
    }

    /// A read brought nothing.
    fn read_nothing(&mut self, place: usize, outcome: io::Result<usize>) {
        match outcome {
            Ok(_) => self.end(place),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                if let Some(conn) = self.conns[place].as_mut() {
                    conn.unread = true;
                    self.unread.push(place);
                }
            }
            Err(error) => {
                tracing::debug!("Reading from client: {error}");
                self.end(place);
            }
        }
    }

    /// The engine gets what was read.
    fn hand_over(&mut self) {
        self.engine.feed_all(&self.received, &self.scratch[..self.filled]);
        self.received.clear();
        self.filled = 0;
        for id in self.engine.take_gathering() {
            if let Some(conn) = self.places.get(&id).and_then(|&place| self.conns[place].as_mut()) {
                conn.gathers = true;
            }
        }
    }

    /// Sends what the session has, as far as the socket takes it.
    fn flush(&mut self, id: SessionId) {
        let Some(&place) = self.places.get(&id) else { return };
        let Some(conn) = self.conns[place].as_mut() else { return };
        if conn.choked {
            return;
        }
        loop {
            let pieces = self.engine.output(id);
            let waiting: usize = pieces.iter().map(|piece| piece.len()).sum();
            if waiting == 0 {
                break;
            }
            let written = conn.write(&pieces);
            drop(pieces);
            match written {
                Ok(count) => {
                    let unsent = self.engine.sent(id, count);
                    if count < waiting {
                        conn.choked = true;
                        return;
                    }
                    match unsent {
                        Unsent::Nothing => break,
                        Unsent::Something => {}
                        Unsent::Later => {
                            if !self.unflushed.contains(&id) {
                                self.unflushed.push(id);
                            }
                            return;
                        }
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    conn.choked = true;
                    return;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::debug!("Error writing to client: {error}");
                    self.end(place);
                    return;
                }
            }
        }
        if conn.closing && self.engine.unsent(id) == 0 {
            self.end(place);
        }
    }

    fn end(&mut self, place: usize) {
        let Some(mut conn) = self.conns[place].take() else { return };
        conn.deregister(self.poll.registry());
        self.places.remove(&conn.id);
        self.gone.push(conn.id);
        self.free.push(place);
    }

    fn perform(&mut self, outputs: &mut Outputs) {
        for effect in outputs.effects.drain(..) {
            match effect {
                Effect::Close { id, how } => self.close(id, how),
                Effect::Disk(task) => self.disk.perform(task),
                Effect::Link(task) => self.link.perform(task, self.poll.registry()),
                Effect::Answer { ticket, report } => {
                    if let Some(member) = &self.member {
                        member.answer(ticket, *report);
                    }
                }
                Effect::Keep(keep) => {
                    if let Some(member) = &self.member {
                        member.keep(keep);
                    }
                }
                Effect::Free(memory) => free_elsewhere(memory),
                Effect::Apply(apply) => self.apply(apply),
                Effect::Shutdown(shutdown) => self.leaving = Some(shutdown.code),
                Effect::Log(level, line) => log(level, &line),
            }
        }
    }

    fn close(&mut self, id: SessionId, how: Closing) {
        let Some(&place) = self.places.get(&id) else { return };
        let Some(conn) = self.conns[place].as_mut() else { return };
        match how {
            Closing::AfterFlush if self.engine.unsent(id) > 0 => conn.closing = true,
            _ => self.end(place),
        }
    }

    /// A directive changed at run time: what only the shell can do about it. What it cannot do is undone and told in the log.
    fn apply(&mut self, apply: Apply) {
        match apply {
            Apply::Listen => self.listen_anew(),
            Apply::Dir => {
                let dir = self.engine.config().dir.clone();
                if let Err(error) = std::env::set_current_dir(&dir) {
                    tracing::warn!("Can't chdir to '{dir}': {error}");
                }
            }
            Apply::Tick => self.next_tick = Duration::ZERO,
            Apply::Log => {
                if let Some(change) = crate::LOG_LEVEL.get() {
                    change(self.engine.config().loglevel);
                }
            }
            Apply::Clients => raise_file_limit(&mut self.engine.core_mut().config),
            // Read where they are used, or applied by the engine itself.
            _ => {}
        }
    }

    fn listen_anew(&mut self) {
        let old = std::mem::take(&mut self.listeners);
        for listener in old {
            let _ = match listener {
                Listener::Tcp(mut listener) => self.poll.registry().deregister(&mut listener),
                Listener::Unix(mut listener) => self.poll.registry().deregister(&mut listener),
            };
        }
        self.unaccepted.clear();
        let config = self.engine.config();
        match listen::tcp(config, config.port) {
            Ok(tcp) => self.listeners.extend(tcp.into_iter().map(TcpListener::from_std).map(Listener::Tcp)),
            Err(error) => tracing::warn!("{error}"),
        }
        match listen::unix(config) {
            Ok(unix) => self.listeners.extend(unix.map(Listener::Unix)),
            Err(error) => tracing::warn!("{error}"),
        }
        if let Err(error) = self.register_listeners() {
            tracing::warn!("Listening: {error}");
        }
    }

    /// Sends what is left to send, as far as sockets take it at once, and ends.
    fn leave(mut self, code: i32) -> Result<(), NodeError> {
        let ids: Vec<SessionId> = self.places.keys().copied().collect();
        for id in ids {
            self.flush(id);
        }
        if !self.engine.config().unixsocket.is_empty() {
            let _ = std::fs::remove_file(&self.engine.config().unixsocket);
        }
        self.disk.finish();
        tracing::info!("bye bye...");
        if code == 0 { Ok(()) } else { Err(NodeError::Left(code)) }
    }
}

/// Freeing millions of values takes seconds: not on the engine's thread.
fn free_elsewhere(memory: quorate_engine::Memory) {
    // If no thread can be had, dropping here is slow but right: the closure is dropped with its capture.
    let _ = background::spawn("lazyfree", move || drop(memory));
}

/// Every client needs a descriptor: raises the limit, or lowers maxclients to what there is.
fn raise_file_limit(config: &mut ServerConfig) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = u64::from(config.maxclients) + RESERVED_FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let most = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let granted = match setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum }) {
        Ok(()) => most,
        Err(_) => limit.current.unwrap_or(RESERVED_FILES),
    };
    if granted < wanted {
        let clients = granted.saturating_sub(RESERVED_FILES).max(1) as u32;
        tracing::warn!(
            "The limit of open files is {granted}: maxclients is {clients} instead of {}",
            config.maxclients
        );
        config.maxclients = clients;
    }
}

fn log(level: Level, line: &str) {
    match level {
        Level::Debug | Level::Verbose => tracing::debug!("{line}"),
        Level::Notice => tracing::info!("{line}"),
        Level::Warning => tracing::warn!("{line}"),
    }
}
