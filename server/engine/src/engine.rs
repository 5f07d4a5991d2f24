//! The engine and its turn: inputs in, outputs out, in Redis's order.
//!
//! A turn is `begin(now)`, `feed(input)` for each thing that happened, `finish(outputs)`; `turn` does all three. The shell may read a socket
//! between two feeds, into one scratch buffer: commands are parsed in place unless the session already holds an unfinished one.
//!
//! Within a turn: each session's commands run in the order in which they came; after each command, whoever waited for a key that
//! it changed is served. At its end: sessions that may go on go on, a running snapshot advances, the stream goes to the AOF, then to
//! replicas; then replies are released (or held, if the AOF says so) and limits are applied.
//!
//! Bounds: commands are cut a window at a time (`batch.rs`); a session's unread bytes are bounded by client-query-buffer-limit, its unsent ones by
//! client-output-buffer-limit: who exceeds one is closed.

mod feed;

use std::time::Duration;

use quorate_config::ServerConfig;
use quorate_keyspace::{Keyspace, Limits as Encodings};
use quorate_resp::{Protocol, Writer};
use smallvec::SmallVec;

use crate::batch::{Lane, Received, Wanted};
use crate::blocking::Wake;
use crate::core::Core;
use crate::dispatch::{self, How};
use crate::holding::Verdict;
use crate::session::{Kind, Session};
use crate::{Closing, Effect, Host, Input, Now, Outputs, Refusal, SessionId, SocketName};

/// Keys looked at by one tick's active expiry.
const EXPIRE_BUDGET: usize = 400;
/// What a turn sends of a dataset to one replica: the kernel takes some 50 µs to carry it to one on the same machine.
const PAYLOAD_SHARE: usize = 128 * 1024;

/// The data node's mind.
pub struct Engine {
    keyspace: Keyspace,
    core: Core,
    /// Kept for the next window, so that cutting allocates nothing once warm.
    lanes: Vec<Lane>,
    wanted: Wanted,
    recycled: Vec<u8>,
}

/// What a session's `output` holds after some was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// Nothing that may be sent.
    Nothing,
    /// Perhaps more.
    Something,
    /// More of a dataset, for the next turn: clients come in between.
    Later,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("core", &self.core).finish_non_exhaustive()
    }
}

impl Engine {
    /// An empty engine. All its randomness, the tables' seed included, comes from `rng`.
    #[must_use]
    pub fn new(config: ServerConfig, host: Host, mut rng: fastrand::Rng) -> Engine {
        let seed = quorate_collections::HashSeed([rng.u64(..), rng.u64(..)]);
        let databases = u16::try_from(config.databases).unwrap_or(u16::MAX);
        let mut keyspace = Keyspace::new(databases, encodings(&config, seed), rng.fork());
        keyspace.set_access_meter(crate::evict::access_meter(&config));
        Engine {
            keyspace,
            core: Core::new(config, host, rng),
            lanes: Vec::new(),
            wanted: Wanted::default(),
            recycled: Vec::new(),
        }
    }

    /// One turn: everything that happened, and what comes of it.
    pub fn turn<'a>(&mut self, now: Now, inputs: impl Iterator<Item = Input<'a>>, outputs: &mut Outputs) {
        self.begin(now);
        for input in inputs {
            self.feed(input);
        }
        self.finish(outputs);
    }

    /// Begins a turn.
    pub fn begin(&mut self, now: Now) {
        self.core.now = now;
        self.core.stats.turns += 1;
        self.core.gathering.clear();
        self.keyspace.set_now(now.wall);
        self.core.end_lease(&mut self.keyspace, now.mono);
    }

    /// Takes one thing that happened.
    pub fn feed(&mut self, input: Input<'_>) {
        match input {
            Input::Opened { id, peer, local } => self.opened(id, peer, local),
            Input::Received { id, bytes } => {
                self.feed_all(&[Received { id, bytes: 0..bytes.len() }], bytes);
            }
            Input::Closed { id } => self.closed(id),
            Input::Link(input) => self.link(input),
            Input::Disk(done) => self.core.disk(&mut self.keyspace, done),
            Input::Loaded(loaded) => self.core.loaded(&mut self.keyspace, loaded),
            Input::Control(control) => self.core.control(&mut self.keyspace, control),
            Input::Kept(revision) => self.core.kept(revision),
            Input::Tick => self.tick(),
            Input::Terminate => self.core.terminate(&mut self.keyspace),
        }
        self.serve();
    }

    /// Ends a turn: everything in `outputs` is new.
    pub fn finish(&mut self, outputs: &mut Outputs) {
        self.timeouts();
        self.core.give_up_waiting();
        if self.core.replication_deadline().is_some_and(|due| due <= self.core.now.mono) {
            self.core.replication_tick(&mut self.keyspace);
        }
        self.go_on();
        self.core.reap(&mut self.keyspace, None);
        self.serve();
        let alone = self.core.vouch();
        self.core.persistence_step(&mut self.keyspace);
        let recycled = std::mem::take(&mut self.recycled);
        let stream = self.core.propagation.take_stream(recycled);
        #[cfg(test)]
        self.core.streamed.extend_from_slice(&stream);
        let release = self.core.append(&stream);
        self.core.replicate(&stream);
        let verdict = self.core.verdict(release, alone, !stream.is_empty());
        self.recycled = stream;
        outputs.effects.clear();
        outputs.ready.clear();
        let listed = self.core.sessions.take_ready();
        for &id in &listed {
            self.release(id, &verdict, &mut outputs.ready);
        }
        self.core.sessions.give_back_ready(listed);
        outputs.effects.append(&mut self.core.effects);
    }

    /// What may be sent to a session now.
    #[must_use]
    pub fn output(&self, id: SessionId) -> SmallVec<[&[u8]; 2]> {
        let mut pieces = SmallVec::new();
        let Some(session) = self.core.sessions.get(id) else { return pieces };
        session.output.pieces(&mut pieces);
        if !session.is_replica() {
            return pieces;
        }
        if let [own] = &mut pieces[..]
            && own.len() > PAYLOAD_SHARE
        {
            *own = &own[..PAYLOAD_SHARE];
        } else if pieces.iter().map(|piece| piece.len()).sum::<usize>() == session.output.waiting() {
            // The stream stands behind what was said before it, and waits if that is held.
            let stream = self.core.replica_stream(id);
            if !stream.is_empty() {
                pieces.push(stream);
            }
        }
        pieces
    }

    /// The first `count` bytes of a session's `output` are on their way. Says whether `output` may have more.
    pub fn sent(&mut self, id: SessionId, count: usize) -> Unsent {
        let Some(session) = self.core.sessions.get_mut(id) else { return Unsent::Nothing };
        let own = if session.is_replica() { count.min(session.output.sendable()) } else { count };
        session.output.mark_sent(own);
        session.bytes_out += count as u64;
        self.core.stats.net_output += count as u64;
        self.core.stats.writes += 1;
        if !session.is_replica() && session.output.is_quiet() {
            return Unsent::Nothing;
        }
        if session.is_replica() && own == PAYLOAD_SHARE {
            return Unsent::Later;
        }
        if count > own {
            self.core.stats.repl_output += (count - own) as u64;
            self.core.replica_sent(id, count - own);
        }
        Unsent::Something
    }

    /// How many bytes wait to be sent to a session, held ones included.
    #[must_use]
    pub fn unsent(&self, id: SessionId) -> usize {
        self.core.sessions.get(id).map_or(0, |session| session.output.waiting())
    }

    /// When the next turn is due though nothing happens: a deadline of a waiting session or the end of a pause.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let pause = self.core.pause.map(|pause| pause.until);
        let replication = self.core.replication_deadline();
        let snapshot = self.core.persistence_deadline();
        let held = self.core.holding_deadline();
        self.core.blocking.next_deadline().into_iter().chain(pause).chain(replication).chain(snapshot).chain(held).min()
    }

    /// May the shell read more from our master? Not while a full resync's dataset is being loaded.
    #[must_use]
    pub fn takes_more_from_master(&self) -> bool {
        self.core.takes_more_from_master()
    }

    /// The dataset was loaded at the start, or there was none (`found` is `None` also for one that names no history).
    pub fn restored(&mut self, found: Option<crate::Found>) {
        self.core.restored(&mut self.keyspace, found);
    }

    /// The configuration as it stands.
    #[must_use]
    pub fn config(&self) -> &ServerConfig {
        &self.core.config
    }

    /// The engine without its data.
    #[must_use]
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// The engine without its data, for the shell to say what it found at the start (paths, identities).
    pub fn core_mut(&mut self) -> &mut Core {
        &mut self.core
    }

    /// The data.
    #[must_use]
    pub fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    /// The data, to be filled before the first turn.
    pub fn keyspace_mut(&mut self) -> &mut Keyspace {
        &mut self.keyspace
    }

    /// The data, taken out: a loader's engine has done its work.
    #[must_use]
    pub fn into_keyspace(self) -> Keyspace {
        self.keyspace
    }

    /// Runs a command of a stream that was accepted elsewhere (an AOF being loaded, our master): no gates, nothing propagated, no reply
    /// but an error, which says what was wrong with it. `session` keeps the selected database and an open transaction.
    pub fn apply(&mut self, session: &mut Session, argv: &[&[u8]]) -> Result<(), String> {
        dispatch::apply(&mut self.keyspace, &mut self.core, session, argv)
    }

    fn opened(&mut self, id: SessionId, peer: SocketName, local: SocketName) {
        let mut session = Session::new(id, peer, local, self.core.now);
        session.authenticated = self.core.config.requirepass.is_empty();
        let refused = if self.core.sessions.len() as u64 >= u64::from(self.core.config.maxclients) {
            self.core.stats.rejected_connections += 1;
            Some("ERR max number of clients reached")
        } else if self.core.config.protected_mode && session.authenticated && !session.peer.is_local() {
            Some(PROTECTED_MODE)
        } else {
            None
        };
        self.core.stats.connections += 1;
        if let Some(text) = refused {
            Writer::new(&mut session.output.bytes, Protocol::Resp2).error(text);
            self.core.close(&mut session, Closing::AfterFlush);
            self.core.sessions.list(&mut session);
        }
        self.core.sessions.insert(Box::new(session));
    }

    /// Serves whoever waits for what has become ready, until nothing new becomes ready.
    fn serve(&mut self) {
        while self.core.blocking.has_ready() {
            let (place, waiting) = self.core.blocking.take_ready();
            for id in waiting {
                if let Some((db, key)) = &place
                    && self.keyspace.db(*db).kind(key).is_none()
                {
                    break;
                }
                self.run_again(id, Wake::Ready);
            }
        }
    }

    /// A blocked command runs again.
    fn run_again(&mut self, id: SessionId, wake: Wake) {
        let Some(mut session) = self.core.sessions.take(id) else { return };
        let Some(blocked) = session.blocked.take() else {
            self.core.sessions.put_back(session);
            return;
        };
        let argv: SmallVec<[&[u8]; 16]> = blocked.argv.iter().map(|argument| &**argument).collect();
        let row = self.core.table.find(&argv).expect("a blocked command was found before");
        let mut out = std::mem::take(&mut session.output.bytes);
        self.core.lap.restart();
        let how = How::Alone(Some(wake));
        let again = dispatch::run(&mut self.keyspace, &mut self.core, &mut session, &mut out, &argv, row, how);
        session.output.bytes = out;
        session.output.take_over(&mut self.core.lent);
        drop(argv);
        if again.is_some() {
            assert_eq!(wake, Wake::Ready, "a command that timed out must reply");
            session.blocked = Some(blocked);
        } else {
            self.core.blocking.leave(id, &blocked);
            self.core.sessions.list(&mut session);
            self.core.resumed.push(id);
        }
        self.core.sessions.put_back(session);
    }

    /// Ends waits whose deadline has come, and a pause whose time is over.
    fn timeouts(&mut self) {
        let now = self.core.now.mono;
        for id in self.core.blocking.due(now) {
            self.run_again(id, Wake::TimedOut);
        }
        if self.core.pause.is_some_and(|pause| pause.until <= now) {
            self.core.unpause();
        }
        for id in std::mem::take(&mut self.core.to_time_out) {
            self.run_again(id, Wake::TimedOut);
        }
    }

    fn closed(&mut self, id: SessionId) {
        let Some(mut session) = self.core.sessions.remove(id) else { return };
        if let Some(blocked) = session.blocked.take() {
            self.core.blocking.leave(id, &blocked);
        }
        self.core.unwatch(&mut session);
        self.core.pubsub.forget(&mut session);
        if session.is_replica() {
            self.core.replica_gone(&session);
        }
    }

    fn link(&mut self, input: crate::LinkInput<'_>) {
        self.core.link(&mut self.keyspace, input);
    }

    fn tick(&mut self) {
        let now = self.core.now.mono;
        if self.core.active_expire {
            self.keyspace.expire_step(EXPIRE_BUDGET);
            self.core.reap(&mut self.keyspace, None);
        }
        self.core.stats.sample(now);
        self.core.stats.peak_memory = self.core.stats.peak_memory.max((self.core.host.used_memory)());
        self.core.persistence_tick(&mut self.keyspace);
        self.core.replication_tick(&mut self.keyspace);
        if now >= self.core.next_census {
            self.core.next_census = now + Duration::from_secs(1);
            self.core.census();
        }
    }

    /// Lets a session's output leave as far as it may, and closes it if there is too much of it.
    fn release(&mut self, id: SessionId, verdict: &Verdict, ready: &mut Vec<SessionId>) {
        let now = self.core.now.mono;
        if verdict.holds() {
            self.core.settle_output(id, verdict);
        }
        let Some(session) = self.core.sessions.get_mut(id) else { return };
        session.listed = false;
        if !verdict.holds() {
            session.output.release();
        }
        if session.is_replica() {
            // Replicas stand first.
            ready.insert(0, id);
        } else if !session.output.is_quiet() {
            ready.push(id);
        }
        let exceeded = session.exceeds_output_limit(&self.core.config, now);
        if exceeded && session.closing != Some(Closing::Now) {
            session.closing = Some(Closing::Now);
            self.core.stats.output_buffer_closed += 1;
            self.core.effects.push(Effect::Close { id, how: Closing::Now });
        }
    }
}

impl Core {
    /// SIGTERM or SIGINT.
    fn terminate(&mut self, keyspace: &mut Keyspace) {
        if !self.is_leaving() {
            let options = self.config.shutdown_on_sigterm;
            self.shutdown(keyspace, &options, None);
        }
    }

    /// Once a second: idle clients and slow readers are closed.
    fn census(&mut self) {
        let (now, idle) = (self.now.mono, Duration::from_secs(self.config.timeout_s.into()));
        let mut close = Vec::new();
        for session in self.sessions.iter() {
            let is_idle = !idle.is_zero()
                && now.saturating_sub(session.last_heard) > idle
                && session.blocked.is_none()
                && !session.is_subscriber();
            if session.is_client() && is_idle {
                close.push(session.id);
            }
        }
        for id in self.sessions.ids() {
            let session = self.sessions.get_mut(id).expect("just listed");
            if session.soft_limit_since.is_some() && session.exceeds_output_limit(&self.config, now) {
                self.stats.output_buffer_closed += 1;
                close.push(id);
            }
        }
        for id in close {
            let Some(mut session) = self.sessions.take(id) else { continue };
            self.close(&mut session, Closing::Now);
            self.sessions.put_back(session);
        }
    }

    /// Ends a pause: whoever was stopped by it goes on.
    pub(crate) fn unpause(&mut self) {
        self.pause = None;
        for id in self.sessions.ids() {
            let session = self.sessions.get_mut(id).expect("just listed");
            if std::mem::take(&mut session.postponed) {
                self.resumed.push(id);
            }
        }
        self.resumed.reverse();
    }

    /// Every waiting session gets an error instead: the node became a replica.
    pub(crate) fn unblock_all(&mut self, refusal: &Refusal) {
        for id in self.sessions.ids() {
            self.unblock(id, refusal);
        }
    }

    /// A waiting session gets an error instead; returns whether it waited.
    pub(crate) fn unblock(&mut self, id: SessionId, refusal: &Refusal) -> bool {
        let Some(session) = self.sessions.get_mut(id) else { return false };
        let Some(blocked) = session.blocked.take() else { return false };
        Writer::new(&mut session.output.bytes, session.protocol).error(&refusal.to_string());
        self.blocking.leave(id, &blocked);
        self.sessions.list_id(id);
        self.resumed.push(id);
        true
    }

    /// The session watches nothing any more.
    pub(crate) fn unwatch(&mut self, session: &mut Session) {
        for watched in session.watched.drain(..) {
            self.watch.remove(watched.db, &watched.key);
        }
    }
}

impl Session {
    /// Whether its output is beyond client-output-buffer-limit, hard or soft. A soft limit begins to count at the first call.
    fn exceeds_output_limit(&mut self, config: &ServerConfig, now: Duration) -> bool {
        let limits = &config.client_output_buffer_limit;
        let limit = match &self.kind {
            Kind::Replica(_) => limits.replica,
            Kind::Normal if self.is_subscriber() => limits.pubsub,
            Kind::Normal => limits.normal,
            Kind::Master | Kind::Loader => return false,
        };
        let waiting = self.output.waiting() as u64;
        if limit.hard_bytes > 0 && waiting > limit.hard_bytes {
            return true;
        }
        if limit.soft_bytes == 0 || waiting <= limit.soft_bytes {
            self.soft_limit_since = None;
            return false;
        }
        let since = *self.soft_limit_since.get_or_insert(now);
        now.saturating_sub(since) > Duration::from_secs(limit.soft_seconds.into())
    }
}

/// The configured thresholds of small encodings.
pub(crate) fn encodings(config: &ServerConfig, seed: quorate_collections::HashSeed) -> Encodings {
    Encodings {
        hash_max_listpack_entries: config.hash_max_listpack_entries,
        hash_max_listpack_value: config.hash_max_listpack_value,
        list_max_listpack_size: config.list_max_listpack_size,
        set_max_intset_entries: config.set_max_intset_entries,
        set_max_listpack_entries: config.set_max_listpack_entries,
        set_max_listpack_value: config.set_max_listpack_value,
        zset_max_listpack_entries: config.zset_max_listpack_entries,
        zset_max_listpack_value: config.zset_max_listpack_value,
        seed,
    }
}

/// What a stranger from another machine is told. Source: Redis's protected mode, whose first sentence clients recognise.
const PROTECTED_MODE: &str = "DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default user. In this mode connections are only accepted from the loopback interface. If you want to connect from external computers, either set a password with 'requirepass', or disable protected mode with 'CONFIG SET protected-mode no' from the loopback interface or '--protected-mode no' at the start, knowing that everybody who reaches this port then owns the data.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Stage;
    use crate::effect::Closing::{AfterFlush, Now as AtOnce};

    fn closed(stage: &Stage, id: u64) -> Option<Closing> {
        stage.effects.iter().find_map(|effect| match effect {
            Effect::Close { id: of, how } if of.0 == id => Some(*how),
            _ => None,
        })
    }

    /// A client that reads nothing.
    fn deaf(stage: &mut Stage, id: u64, bytes: &[u8]) {
        let mut outputs = Outputs::default();
        let input = Input::Received { id: SessionId(id), bytes };
        stage.engine.turn(stage.now, std::iter::once(input), &mut outputs);
        stage.effects.append(&mut outputs.effects);
    }

    #[test]
    fn commands_in_pieces_and_in_pipelines() {
        let mut stage = Stage::new();
        let bytes = b"*3\r\n$3\r\nset\r\n$1\r\na\r\n$5\r\nhello\r\nget a\r\n*2\r\n$3\r\nget\r\n$1\r\na\r\n";
        for byte in bytes {
            stage.send(1, std::slice::from_ref(byte));
        }
        stage.send(1, &bytes.repeat(100));
        for _ in 0..101 {
            assert_eq!([stage.hear(1), stage.hear(1), stage.hear(1)], ["+OK", "$hello", "$hello"]);
        }
    }

    #[test]
    fn a_protocol_error_is_told_and_ends_the_connection() {
        let mut stage = Stage::new();
        stage.send(1, b"ping\r\n*1\r\n!\r\nping\r\n");
        assert_eq!(stage.hear(1), "+PONG");
        assert_eq!(stage.hear(1), "-ERR Protocol error: expected '$', got '!'");
        assert_eq!(stage.hear(1), "nothing");
        assert_eq!(closed(&stage, 1), Some(AfterFlush));
    }

    #[test]
    fn too_much_unread_input_ends_the_connection() {
        let mut stage = Stage::new();
        stage.say(1, "config set client-query-buffer-limit 1mb");
        stage.say(2, "blpop a 0");
        stage.send(2, &b"ping\r\n".repeat(1000));
        assert_eq!(closed(&stage, 2), None);
        stage.send(2, &b"ping\r\n".repeat(200_000));
        assert_eq!(closed(&stage, 2), Some(AtOnce));
    }

    #[test]
    fn unsent_output_is_bounded_hard_and_soft() {
        let mut stage = Stage::new();
        stage.say(1, "config set client-output-buffer-limit \"normal 10000 1000 1\"");
        stage.say(2, "ping");
        deaf(&mut stage, 2, &b"ping\r\n".repeat(500));
        assert_eq!(closed(&stage, 2), None);
        stage.wait(Duration::from_millis(1100));
        stage.wait(Duration::from_millis(1100));
        assert_eq!(closed(&stage, 2), Some(AtOnce));
        stage.say(3, "ping");
        deaf(&mut stage, 3, &b"ping\r\n".repeat(2000));
        assert_eq!(closed(&stage, 3), Some(AtOnce));
    }

    #[test]
    fn clients_beyond_the_limit_are_turned_away() {
        let mut stage = Stage::new();
        stage.say(1, "config set maxclients 1");
        assert_eq!(stage.say(2, "ping"), "-ERR max number of clients reached");
        assert_eq!(closed(&stage, 2), Some(AfterFlush));
    }

    #[test]
    fn strangers_from_elsewhere_are_turned_away_in_protected_mode() {
        let mut stage = Stage::new();
        let peer = SocketName::Tcp("192.0.2.1:5".parse().expect("an address"));
        let id = SessionId(1);
        let mut outputs = Outputs::default();
        let opened = Input::Opened { id, peer, local: SocketName::None };
        stage.engine.turn(stage.now, std::iter::once(opened), &mut outputs);
        assert!(stage.engine.output(id).concat().starts_with(b"-DENIED Redis is running in protected mode"));
    }

    #[test]
    fn idle_clients_are_closed_but_not_those_that_wait() {
        let mut stage = Stage::new();
        stage.say(1, "config set timeout 5");
        stage.say(2, "blpop a 0");
        stage.say(3, "subscribe a");
        stage.wait(Duration::from_secs(6));
        assert_eq!([closed(&stage, 1), closed(&stage, 2), closed(&stage, 3)], [Some(AtOnce), None, None]);
    }
}
