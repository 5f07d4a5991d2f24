//! Glue between sessions and the replication room: replicas that follow us, the link to our master, the agent's orders.
//!
//! The frame calls in at fixed points: `Input::Link` and `Input::Control` arrive in `Core::link` and `Core::control`, the turn's stream in
//! `Core::replicate`, a closed replica in `Core::replica_gone`, each tick in `Core::replication_tick`.
//!
//! * `upstream.rs`: this node as a replica: the link's actions, applying the stream, a full resync's dataset.
//! * `downstream.rs`: this node as a master (or the middle of a chain): PSYNC, payloads, acknowledgements, pings.
//! * `orders.rs`: what a node of a group is told by the sentinels, and how roles change.
//! * `quorum.rs`: what is committed, which copies count, and what the lease lets a master do;
//! * `info.rs`: INFO, ROLE and the agent's report.
//!
//! The stream of a group has one thing that Redis's has not: each mastership begins with a barrier (I5), `PING quorate-epoch:<n>`, which
//! any Redis replica applies as a PING. Whoever has applied it holds data of that epoch.

mod control;
mod downstream;
mod info;
mod orders;
mod quorum;
#[cfg(test)]
mod tests;
mod upstream;

use std::time::Duration;

use quorate_keyspace::{DbIndex, Keyspace};
use quorate_persist::rdb::ReplicationPoint;
use quorate_replication::failover::Failover;
use quorate_replication::fence::{Durable, Fence};
use quorate_replication::follower::LinkId;
use quorate_replication::history::Held;
use quorate_replication::tail::{BootId, Source};
use quorate_replication::{Epoch, History, NodeId, Offset, ReplId, Replicas};

pub use control::{Control, Denied, Facts, Keep, NodeRole, Order, Report, Ticket};
pub(crate) use downstream::{Payload, introduce};
pub use upstream::{LinkInput, LinkTask};

use crate::core::Core;
use orders::CatchUp;
use quorum::Quorum;
use upstream::Upstream;

/// What marks a replica's session; its state is in [`Replicas`], by the session's id.
#[derive(Debug)]
pub struct Peer {}

/// The node's place in replication.
#[derive(Debug)]
pub struct Replication {
    pub(crate) history: History,
    pub(crate) replicas: Replicas,
    /// `Some`: this node is a replica.
    upstream: Option<Upstream>,
    /// What its phase was when it was last looked at.
    phase: Option<quorate_replication::follower::Phase>,
    /// `Some`: this node belongs to a group.
    fence: Option<Fence>,
    /// FAILOVER, while it is under way.
    failover: Option<Failover>,
    /// Does a node of a group remember its promises?
    memory: Memory,
    /// Can the node vouch for its dataset (I10)? Only asked of a node of a group; not before it is loaded.
    data_known: bool,
    /// How many bytes of the turn's stream the history has.
    fed: usize,
    /// The database that the stream has selected at the history's offset, as far as it came from elsewhere.
    stream_db: DbIndex,
    /// The newest link's name: none is used twice.
    link: LinkId,
    /// The master's stream asked for an acknowledgement in this turn.
    ack_wanted: bool,
    /// REPLCONF GETACK stands in this turn's stream already.
    asked_for_acks: bool,
    pinged_at: Duration,
    /// When the last replica went; `None` while there is one.
    alone_since: Option<Duration>,
    catching_up: Vec<CatchUp>,
    /// Grows with each change that heartbeats tell of.
    version: u64,
    quorum: Quorum,
    /// When the stream was last written.
    wrote_at: Duration,
}

/// Where a dataset that was loaded at the start stands in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The history and how much of it.
    pub held: Held,
    /// The epoch of its newest write.
    pub epoch: Epoch,
    /// The database that the stream has selected there.
    pub db: DbIndex,
}

/// Does the node remember its promises?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Its state file was found.
    Kept,
    /// It was not: whatever was promised is lost, so the dataset does not count either (I10).
    Lost,
}

impl Replication {
    pub(crate) fn new(replid: ReplId) -> Replication {
        Replication {
            history: History::new(replid),
            replicas: Replicas::default(),
            upstream: None,
            phase: None,
            fence: None,
            failover: None,
            memory: Memory::Lost,
            data_known: false,
            fed: 0,
            stream_db: DbIndex(0),
            link: LinkId(0),
            ack_wanted: false,
            asked_for_acks: false,
            pinged_at: Duration::ZERO,
            alone_since: Some(Duration::ZERO),
            catching_up: Vec::new(),
            version: 0,
            quorum: Quorum::new(),
            wrote_at: Duration::ZERO,
        }
    }

    /// Grows with each change of role, epoch or link: the shell then publishes [`Core::facts`] at once.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How much of its history the dataset holds.
    #[must_use]
    pub fn offset(&self) -> Offset {
        self.history.offset()
    }

    /// Somebody reads the stream from here on, as tests do.
    #[cfg(test)]
    pub(crate) fn record(&mut self) {
        self.history.record(1 << 20);
    }

    /// Whether the stream is kept for replicas.
    #[inline]
    pub(crate) fn is_recorded(&self) -> bool {
        self.history.is_recorded()
    }

    /// Which history the dataset belongs to, and how much of it that is.
    #[must_use]
    pub fn held(&self) -> Held {
        self.history.held()
    }

    /// The epoch of the dataset's newest write.
    #[must_use]
    pub fn data_epoch(&self) -> Epoch {
        self.history.data_epoch()
    }

    /// Is this node a replica?
    #[must_use]
    pub fn is_following(&self) -> bool {
        self.upstream.is_some()
    }
}

impl Core {
    /// Before the first turn, for a node of a group: it boots fenced (I11). `kept` is its state file's content, `boot` names the machine's start.
    pub fn join_group(&mut self, group: &str, node: NodeId, kept: Durable, memory: Memory, boot: Option<BootId>) {
        self.replication.quorum.join(node, &kept, boot);
        self.replication.fence = Some(Fence::boot(group, kept, Epoch(0)));
        self.replication.memory = memory;
        self.replication.history.record(self.config.repl_backlog_size);
        self.standing.read_only = true;
    }

    /// The dataset was loaded at the start, or there was none. A node of a group goes on under the history that it found; a plain master
    /// begins a new one that continues it, because what it wrote behind the last sync may be lost; a plain replica follows its master.
    pub(crate) fn restored(&mut self, keyspace: &mut Keyspace, found: Option<Found>) {
        let size = self.config.repl_backlog_size;
        if let Some(found) = found {
            self.replication.history = History::restored(found.held, found.epoch);
            self.replication.stream_db = found.db;
            self.replication.history.record(size);
        }
        let following = self.config.replicaof.clone();
        match (&mut self.replication.fence, following) {
            (Some(fence), _) => {
                fence.prove(found.map_or(Epoch(0), |found| found.epoch));
                self.replication.data_known = found.is_some() && self.replication.memory == Memory::Kept;
                let source = if self.persistence.has_log() { Source::Log } else { Source::Other };
                self.replication.quorum.found(source, self.replication.memory, fence.epoch());
                self.replication.version += 1;
            }
            (None, Some(master)) => self.follow(keyspace, quorate_replication::Address::new(master.host, master.port)),
            (None, None) if found.is_some() => {
                let fresh = self.fresh_replid();
                self.replication.history.promote(fresh);
            }
            (None, None) => {}
        }
        self.standing_changed(keyspace);
    }

    /// The turn's stream, right after the AOF got it: feeds the backlog. Sessions of replicas are then listed as ready.
    pub(crate) fn replicate(&mut self, stream: &[u8]) {
        let replication = &mut self.replication;
        replication.history.append(&stream[replication.fed..]);
        replication.fed = 0;
        replication.asked_for_acks = false;
        if !stream.is_empty() {
            replication.wrote_at = self.now.mono;
            for id in replication.replicas.online() {
                self.sessions.list_id(crate::SessionId(id.0));
            }
        }
        replication.history.trim(replication.replicas.slowest());
        if self.replication.fence.is_some() && !self.standing.loading {
            self.tail_applied();
            self.rely();
        }
        self.acknowledge_upstream();
        self.answer_catch_ups();
    }

    /// Brings the history up to what this turn has written so far, so that its offset is exact in the middle of a turn.
    pub(crate) fn record_stream(&mut self) {
        let stream = self.propagation.stream();
        self.replication.history.append(&stream[self.replication.fed..]);
        self.replication.fed = stream.len();
    }

    /// The offset behind everything written so far.
    pub(crate) fn stream_position(&self) -> Offset {
        let unfed = self.propagation.stream().len() - self.replication.fed;
        self.replication.history.offset().plus(unfed)
    }

    /// Where the dataset stands once all of the turn's stream, `length` bytes, is in the history, and the epoch of its last write: what
    /// log and RDB files note. `None` while no history is recorded.
    pub(crate) fn point_behind(&self, length: usize) -> Option<(ReplicationPoint, Epoch)> {
        let history = &self.replication.history;
        if !history.is_recorded() {
            return None;
        }
        let mut replid = [0; 40];
        replid.copy_from_slice(history.replid().as_str().as_bytes());
        let db = match self.replication.upstream {
            Some(_) => self.upstream_db(),
            None => self.propagation.selected().unwrap_or(self.replication.stream_db),
        };
        let offset = self.end_behind(length).0;
        Some((ReplicationPoint { replid, offset, db: db.0.into() }, history.data_epoch()))
    }

    /// Where the stream stands once all of the turn's, `length` bytes, is in the history.
    pub(crate) fn end_behind(&self, length: usize) -> Offset {
        self.replication.history.offset().plus(length - self.replication.fed)
    }

    /// When `replication_tick` has something to do.
    pub(crate) fn replication_deadline(&self) -> Option<Duration> {
        let replication = &self.replication;
        let link = replication.upstream.as_ref().map(|upstream| upstream.follower.due());
        let pause = replication.fence.as_ref().and_then(Fence::due);
        let catch_ups = replication.catching_up.iter().map(|one| one.deadline);
        link.into_iter().chain(pause).chain(catch_ups).chain(self.lease_deadline()).min()
    }

    /// Periodic work: pings, timeouts, acknowledgements, reconnections.
    pub(crate) fn replication_tick(&mut self, keyspace: &mut Keyspace) {
        self.tick_upstream(keyspace);
        self.tick_downstream();
        self.tick_orders(keyspace);
        self.tick_failover(keyspace);
        self.tick_lease();
        self.standing_changed(keyspace);
    }

    pub(crate) fn fresh_replid(&mut self) -> ReplId {
        let mut bits = [0; 20];
        self.rng.fill(&mut bits);
        ReplId::from_random(bits)
    }
}
