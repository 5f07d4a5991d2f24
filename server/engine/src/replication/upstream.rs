//! This node as a replica: what the link's state machine wants is done here, and the master's stream is applied.
//!
//! The stream is passed on as it came (AOF, our own replicas), a command at a time, once it was applied; a transaction as a whole. So the
//! history's offset always stands between transactions, and a link that breaks within one asks for all of it again.
//!
//! A full resync's dataset is built by a loader beside the old one, which serves reads until the new one takes its place whole.

use std::time::Duration;

use quorate_keyspace::{DbIndex, ExpiryMode, Keyspace};
use quorate_persist::aof::load::{BARRIER, barrier};
use quorate_persist::rdb::RdbInfo;
use quorate_replication::follower::{Action, Follower, Introduction, LinkEvent, LinkId, Purpose};
use quorate_replication::history::{Held, Renamed};
use quorate_replication::{Address, Epoch};
use quorate_resp::{Limits, Partial, Requests};

use crate::batch::Argv;
use crate::core::Core;
use crate::effect::Level;
use crate::session::{Kind, Session};
use crate::{Effect, Refusal, SessionId, SocketName, dispatch};

/// Commands that are cut before the first of them is applied.
const BATCH: usize = 64;
/// The id of the master's session: no client's, those count from 1.
const MASTER: SessionId = SessionId(u64::MAX);

/// What happened on the connection to our master. What an older connection says is ignored by its [`LinkId`].
pub enum LinkInput<'a> {
    /// It is there.
    Connected(LinkId),
    /// The master sent something.
    Received(LinkId, &'a [u8]),
    /// It ended or could not be made; the operating system's text.
    Closed(LinkId, String),
    /// The loader has the dataset of a full resync.
    Loaded {
        /// Of which history it is.
        held: Held,
        /// The data.
        keyspace: Box<Keyspace>,
        /// What else the payload said.
        info: RdbInfo,
    },
    /// The loader could not load it.
    LoadFailed {
        /// Of which history it was to be.
        held: Held,
        /// Why.
        why: String,
    },
}

impl std::fmt::Debug for LinkInput<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LinkInput::Connected(link) => write!(f, "Connected({link:?})"),
            LinkInput::Received(link, bytes) => write!(f, "Received({link:?}, {} bytes)", bytes.len()),
            LinkInput::Closed(link, why) => write!(f, "Closed({link:?}, {why})"),
            LinkInput::Loaded { held, .. } => write!(f, "Loaded({held:?})"),
            LinkInput::LoadFailed { held, why } => write!(f, "LoadFailed({held:?}, {why})"),
        }
    }
}

/// What the shell shall do about the connection to our master, and the loader of a full resync.
pub enum LinkTask {
    /// Connect, dropping any earlier connection.
    Connect {
        /// The connection's name, for its inputs.
        link: LinkId,
        /// Whom to.
        master: Address,
    },
    /// Send bytes.
    Send(Vec<u8>),
    /// Drop the connection.
    Close,
    /// Read nothing more, until [`LinkTask::TakeMore`].
    TakeNoMore,
    /// Read again, starting with what waits in the socket.
    TakeMore,
    /// Start a loader that fills this keyspace from the payload.
    PayloadBegins {
        /// Of which history it is.
        held: Held,
        /// An empty keyspace.
        into: Box<Keyspace>,
    },
    /// The next piece of the payload, for the loader.
    Payload(Vec<u8>),
    /// The payload is complete.
    PayloadEnds,
    /// Stop the loader and forget what it has.
    PayloadLost,
    /// The dataset that a full resync replaced: to be freed on another thread.
    Free(Box<Keyspace>),
}

impl std::fmt::Debug for LinkTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LinkTask::Connect { link, master } => write!(f, "Connect({link:?}, {master})"),
            LinkTask::Send(bytes) => write!(f, "Send({})", bytes.escape_ascii()),
            LinkTask::Close => f.write_str("Close"),
            LinkTask::TakeNoMore => f.write_str("TakeNoMore"),
            LinkTask::TakeMore => f.write_str("TakeMore"),
            LinkTask::PayloadBegins { held, .. } => write!(f, "PayloadBegins({held:?})"),
            LinkTask::Payload(bytes) => write!(f, "Payload({} bytes)", bytes.len()),
            LinkTask::PayloadEnds => f.write_str("PayloadEnds"),
            LinkTask::PayloadLost => f.write_str("PayloadLost"),
            LinkTask::Free(_) => f.write_str("Free"),
        }
    }
}

/// The link to our master and what is read from it.
#[derive(Debug)]
pub(super) struct Upstream {
    pub follower: Follower,
    /// Keeps the selected database and an open transaction.
    session: Box<Session>,
    requests: Requests,
    /// Bytes that are no whole command yet.
    rest: Vec<u8>,
    partial: Option<Partial>,
    /// An open transaction's bytes: applied and passed on with its EXEC.
    uncounted: Vec<u8>,
}

impl Upstream {
    /// What was read but not applied is asked for again by the next PSYNC.
    fn forget_unapplied(&mut self) {
        self.rest.clear();
        self.uncounted.clear();
        self.partial = None;
        self.session.multi = None;
    }
}

impl Core {
    /// Something happened on the connection to our master.
    pub(crate) fn link(&mut self, keyspace: &mut Keyspace, input: LinkInput<'_>) {
        let Some(mut upstream) = self.replication.upstream.take() else { return };
        let now = self.now.mono;
        let mut actions = Vec::new();
        let held = self.continuable();
        let follower = &mut upstream.follower;
        match input {
            LinkInput::Connected(link) => follower.on(now, link, LinkEvent::Connected, held, &mut actions),
            LinkInput::Received(link, bytes) => {
                self.stats.repl_input += bytes.len() as u64;
                follower.on(now, link, LinkEvent::Bytes(bytes), held, &mut actions);
            }
            LinkInput::Closed(link, why) => {
                if link == follower.link() {
                    self.log(Level::Notice, format!("replication link to {}: {why}", follower.master()));
                }
                follower.on(now, link, LinkEvent::Closed, held, &mut actions);
            }
            LinkInput::Loaded { held, keyspace: loaded, info } if follower.is_loading(held) => {
                self.adopt(keyspace, &mut upstream, held, loaded, &info);
                upstream.follower.loaded(now, &mut actions);
            }
            LinkInput::LoadFailed { held, why } if follower.is_loading(held) => {
                follower.fail(now, &format!("the dataset could not be loaded: {why}"), &mut actions);
            }
            LinkInput::Loaded { keyspace: unwanted, .. } => self.effects.push(Effect::Link(LinkTask::Free(unwanted))),
            LinkInput::LoadFailed { .. } => {}
        }
        self.perform_and_keep(keyspace, upstream, actions);
    }

    /// Becomes a replica of `master`, whatever this node was. Its own replicas stay: they get the master's stream, unless its name changes.
    pub(crate) fn follow(&mut self, keyspace: &mut Keyspace, master: Address) {
        self.follow_for(keyspace, master, Purpose::Follow);
    }

    pub(super) fn follow_for(&mut self, keyspace: &mut Keyspace, master: Address, purpose: Purpose) {
        self.record_stream();
        // A former master's stream goes on in the database that it had selected last.
        let db = if self.replication.is_following() {
            self.upstream_db()
        } else {
            self.propagation.selected().unwrap_or(self.replication.stream_db)
        };
        self.leave_upstream(keyspace);
        self.log(Level::Notice, format!("following {master}"));
        let (introduction, link, now) = (self.introduction(), self.replication.link, self.now);
        let mut session = Box::new(Session::new(MASTER, SocketName::None, SocketName::None, now));
        session.kind = Kind::Master;
        session.db = db;
        self.replication.history.record(self.config.repl_backlog_size);
        self.replication.upstream = Some(Upstream {
            follower: Follower::new(master, introduction, purpose, link, now.mono),
            session,
            requests: Requests::default(),
            rest: Vec::new(),
            partial: None,
            uncounted: Vec::new(),
        });
        self.propagation.set_suppressed(crate::propagation::Suppressed::Yes);
        self.unblock_all(&Refusal::RoleChanged);
        self.standing_changed(keyspace);
        self.tick_upstream(keyspace);
    }

    /// Stops following; the dataset stays what it is.
    pub(super) fn leave_upstream(&mut self, keyspace: &mut Keyspace) {
        let Some(mut upstream) = self.replication.upstream.take() else { return };
        self.replication.stream_db = upstream.session.db;
        upstream.forget_unapplied();
        self.replication.link = upstream.follower.link();
        let mut actions = Vec::new();
        upstream.follower.stop(&mut actions);
        for action in actions {
            self.perform_simple(keyspace, action);
        }
        self.propagation.set_suppressed(crate::propagation::Suppressed::No);
        self.propagation.forget_selected();
    }

    pub(super) fn tick_upstream(&mut self, keyspace: &mut Keyspace) {
        let introduction = self.introduction();
        let ack = self.ack();
        let Some(mut upstream) = self.replication.upstream.take() else { return };
        upstream.follower.introduce_as(introduction);
        let mut actions = Vec::new();
        upstream.follower.tick(self.now.mono, ack, &mut actions);
        self.perform_and_keep(keyspace, upstream, actions);
    }

    /// The end of a turn: what was applied is acknowledged if the master asked.
    pub(super) fn acknowledge_upstream(&mut self) {
        if self.replication.upstream.is_none() {
            return;
        }
        let ack = self.ack();
        let Some(upstream) = &mut self.replication.upstream else { return };
        let mut actions = Vec::new();
        if std::mem::take(&mut self.replication.ack_wanted) {
            upstream.follower.want_ack();
        }
        upstream.follower.end_of_turn(self.now.mono, ack, &mut actions);
        for action in actions {
            if let Action::Send(bytes) = action {
                self.effects.push(Effect::Link(LinkTask::Send(bytes)));
            }
        }
    }

    /// REPLCONF GETACK in the master's stream.
    pub(crate) fn ack_asked(&mut self) {
        self.replication.ack_wanted = true;
    }

    /// What PSYNC may ask to continue: nothing when it cannot be vouched for (I10).
    fn continuable(&self) -> Option<Held> {
        let replication = &self.replication;
        let vouched = replication.fence.is_none() || replication.data_known;
        let held = Held { offset: self.stream_position(), ..replication.history.held() };
        vouched.then_some(held)
    }

    fn introduction(&self) -> Introduction {
        let config = &self.config;
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let port = if config.replica_announce_port != 0 { config.replica_announce_port } else { config.port };
        Introduction {
            port,
            ip: some(&config.replica_announce_ip),
            user: some(&config.masteruser),
            password: some(&config.masterauth),
            timeout: Duration::from_secs(config.repl_timeout_s.into()),
            member: self
                .replication
                .quorum
                .node
                .zip(self.replication.fence.as_ref().map(quorate_replication::Fence::epoch)),
        }
    }

    /// Performs what the link wants, and puts it back in its place.
    fn perform_and_keep(&mut self, keyspace: &mut Keyspace, mut upstream: Upstream, actions: Vec<Action<'_>>) {
        let refused = actions.contains(&Action::HandOverRefused);
        self.perform(keyspace, &mut upstream, actions);
        let phase = upstream.follower.phase();
        self.replication.upstream = Some(upstream);
        if refused {
            self.hand_over_refused(keyspace);
        } else if self.replication.phase.replace(phase) != Some(phase) {
            self.replication.version += 1;
            self.standing_changed(keyspace);
        }
    }

    fn perform(&mut self, keyspace: &mut Keyspace, upstream: &mut Upstream, actions: Vec<Action<'_>>) {
        for action in actions {
            match action {
                Action::Stream(bytes) => {
                    if let Err(why) = self.apply_stream(keyspace, upstream, &bytes) {
                        let mut after = Vec::new();
                        upstream.follower.fail(self.now.mono, &why, &mut after);
                        upstream.forget_unapplied();
                        for action in after {
                            self.perform_simple(keyspace, action);
                        }
                        return;
                    }
                }
                Action::Close => {
                    upstream.forget_unapplied();
                    self.perform_simple(keyspace, Action::Close);
                }
                Action::HandOverRefused => {}
                other => self.perform_simple(keyspace, other),
            }
        }
    }

    /// What needs no link at hand.
    fn perform_simple(&mut self, keyspace: &mut Keyspace, action: Action<'_>) {
        let task = match action {
            Action::Connect(link, master) => LinkTask::Connect { link, master },
            Action::Send(bytes) => LinkTask::Send(bytes),
            Action::Close => LinkTask::Close,
            Action::TakeNoMore => LinkTask::TakeNoMore,
            Action::TakeMore => LinkTask::TakeMore,
            Action::PayloadBegins(held) => {
                self.log(Level::Notice, format!("full resync to offset {} of {}", held.offset, held.replid));
                LinkTask::PayloadBegins { held, into: Box::new(self.empty_keyspace(keyspace)) }
            }
            Action::Payload(bytes) => LinkTask::Payload(bytes.into_owned()),
            Action::PayloadEnds => LinkTask::PayloadEnds,
            Action::PayloadLost => LinkTask::PayloadLost,
            Action::Continue(replid) => {
                self.record_stream();
                if self.replication.history.adopt_continue(replid) == Renamed::Yes {
                    self.cut_replicas();
                }
                self.replication.quorum.dropping = None;
                self.log(Level::Notice, format!("partial resync from offset {}", self.replication.history.offset()));
                self.taken_over();
                return;
            }
            Action::Met(end) => return self.met(end),
            Action::Diverged(shared) => {
                let tail = self.stream_position().since(shared);
                self.replication.quorum.dropping = Some(tail);
                return;
            }
            Action::Log(line) => return self.log(Level::Warning, line),
            Action::Stream(_) | Action::HandOverRefused => unreachable!("these need the link at hand"),
        };
        self.effects.push(Effect::Link(task));
    }

    /// A keyspace of the same shape with nothing in it, for a loader.
    fn empty_keyspace(&mut self, like: &Keyspace) -> Keyspace {
        let seed = quorate_collections::HashSeed([self.rng.u64(..), self.rng.u64(..)]);
        let limits = quorate_keyspace::Limits { seed, ..quorate_keyspace::Limits::clone(like.limits()) };
        let mut empty = Keyspace::new(like.databases(), limits, self.rng.fork());
        empty.set_now(self.now.wall);
        empty.set_expiry_mode(ExpiryMode::Ignore);
        empty
    }

    /// The dataset of a full resync takes the old one's place.
    fn adopt(
        &mut self,
        keyspace: &mut Keyspace,
        upstream: &mut Upstream,
        held: Held,
        loaded: Box<Keyspace>,
        info: &RdbInfo,
    ) {
        self.record_stream();
        let mut loaded = *loaded;
        loaded.succeed(keyspace);
        let old = std::mem::replace(keyspace, loaded);
        self.effects.push(Effect::Link(LinkTask::Free(Box::new(old))));
        for db in 0..keyspace.databases() {
            self.watch.touch_all(DbIndex(db), |_| true);
        }
        let epoch = Epoch(info.header.epoch.unwrap_or(0));
        self.replication.history.adopt_full(held, epoch);
        self.replication.data_known = true;
        if let Some(bytes) = self.replication.quorum.dropping.take() {
            self.replication.quorum.dropped_tail = bytes;
            let line = format!("{bytes} bytes of this node's own history were not the master's: dropped");
            self.log(Level::Warning, line);
        }
        upstream.forget_unapplied();
        upstream.session.db = DbIndex(info.header.replication.map_or(0, |point| point.db as u16));
        self.cut_replicas();
        self.log(Level::Notice, format!("full resync: {} keys at offset {}", info.keys_loaded, held.offset));
        self.taken_over();
        self.dataset_replaced(keyspace);
    }

    /// Applies whole commands of the stream and passes them on. An error is a stream that cannot be understood.
    fn apply_stream(&mut self, keyspace: &mut Keyspace, upstream: &mut Upstream, bytes: &[u8]) -> Result<(), String> {
        keyspace.set_expiry_mode(ExpiryMode::Ignore);
        let mut rest = std::mem::take(&mut upstream.rest);
        let outcome = if rest.is_empty() {
            let outcome = self.apply_buffer(keyspace, upstream, bytes);
            rest.extend_from_slice(&bytes[*outcome.as_ref().unwrap_or(&0)..]);
            outcome
        } else {
            rest.extend_from_slice(bytes);
            let outcome = self.apply_buffer(keyspace, upstream, &rest);
            rest.drain(..*outcome.as_ref().unwrap_or(&0));
            outcome
        };
        upstream.rest = rest;
        keyspace.set_expiry_mode(ExpiryMode::Hide);
        outcome.map(|_| ())
    }

    /// Returns how many bytes are spent.
    fn apply_buffer(
        &mut self,
        keyspace: &mut Keyspace,
        upstream: &mut Upstream,
        buffer: &[u8],
    ) -> Result<usize, String> {
        let limits = Limits::of_peer(i64::MAX);
        let mut requests = std::mem::take(&mut upstream.requests);
        let mut partial = upstream.partial.take();
        let mut used = 0;
        let outcome = loop {
            let unread = &buffer[used..];
            if unread.is_empty() {
                break Ok(used);
            }
            let parsed = requests.parse(partial.take(), unread, &limits, BATCH);
            let mut before = 0;
            let (mut argv, mut left) = (Argv::default(), requests.len());
            for command in requests.commands(unread) {
                left -= 1;
                self.apply_one(keyspace, &mut upstream.session, argv.of(&command));
                // Empty lines behind the batch's last command belong to it.
                let after = if left == 0 { requests.consumed() } else { command.consumed() };
                upstream.uncounted.extend_from_slice(&unread[before..after]);
                before = after;
                if upstream.session.multi.is_none() {
                    self.propagation.append_raw(&upstream.uncounted);
                    upstream.uncounted.clear();
                }
            }
            used += requests.consumed();
            if let Err(error) = parsed {
                break Err(format!("the master's stream is damaged: {error}"));
            }
            if requests.len() < BATCH {
                upstream.partial = requests.take_partial();
                break Ok(used);
            }
        };
        upstream.requests = requests;
        outcome
    }

    fn apply_one(&mut self, keyspace: &mut Keyspace, session: &mut Session, argv: &[&[u8]]) {
        if let Some(epoch) = barrier(argv).map(Epoch) {
            self.replication.history.enter_epoch(epoch);
            self.replication.version += 1;
            return;
        }
        if let Err(error) = dispatch::apply(keyspace, self, session, argv) {
            let name = argv[0][..argv[0].len().min(40)].escape_ascii();
            self.log(Level::Warning, format!("a command of the master's stream, '{name}', was refused: {error}"));
        }
    }

    pub(crate) fn takes_more_from_master(&self) -> bool {
        self.replication.upstream.as_ref().is_some_and(|upstream| upstream.follower.takes_more())
    }

    /// The database that the master's stream has selected.
    pub(super) fn upstream_db(&self) -> DbIndex {
        self.replication.upstream.as_ref().map_or(self.replication.stream_db, |upstream| upstream.session.db)
    }

    pub(super) fn log(&mut self, level: Level, line: String) {
        self.effects.push(Effect::Log(level, line));
    }
}

/// The barrier of `epoch`, encoded.
pub(super) fn encode_barrier(epoch: Epoch) -> Vec<u8> {
    let text = [BARRIER, epoch.to_string().as_bytes()].concat();
    let mut encoded = Vec::new();
    quorate_resp::encode_command(&mut encoded, &[b"PING", &text]);
    encoded
}
