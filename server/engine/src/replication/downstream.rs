//! This node as a master, or in the middle of a chain: PSYNC, payloads, the stream, acknowledgements, pings.
//!
//! A full resync's payload comes from the snapshot driver in pieces and goes through the session's own output, in front of the stream; the
//! stream itself is read from the backlog by `replica_stream`. Bounds: the driver stands still while a receiving session has more than
//! [`PAYLOAD_WAITING`] unsent bytes; a replica that lags by more than client-output-buffer-limit's hard limit is cut.

use std::time::Duration;

use quorate_keyspace::DbIndex;
use quorate_persist::rdb::ReplicationPoint;
use quorate_replication::commit::Copy;
use quorate_replication::framing::MARK_BYTES;
use quorate_replication::history::{Held, Reason, Verdict};
use quorate_replication::master::{AskedBy, GivenUp, PayloadFraming, ReplicaId, StreamBegins};
use quorate_replication::{Epoch, Offset};

use super::Peer;
use crate::core::Core;
use crate::effect::Level;
use crate::session::{Kind, Session};
use crate::{Closing, SessionId};

/// Unsent bytes of a payload at which the snapshot waits for the slowest receiver.
const PAYLOAD_WAITING: usize = 1 << 20;
/// A sign of life for whoever waits for a snapshot, once in this time. Source: Redis, replicationCron.
const NEWLINE_PERIOD: Duration = Duration::from_secs(1);

/// A master of a group that wrote nothing for so long says that it lives. Bound: at ten ticks a second a replica hears it every 300 ms.
const QUIET_MOST: Duration = Duration::from_millis(200);

/// A snapshot that is being sent to replicas.
#[derive(Debug)]
pub(crate) struct Payload {
    /// What ends the payload of those that find its end by a mark.
    mark: [u8; MARK_BYTES],
    /// The whole payload, for those that want its length first; filled only if there is one.
    whole: Option<Vec<u8>>,
}

/// PSYNC's answer is in the output; the session is a replica's now.
pub(crate) fn replica_id(session: &Session) -> ReplicaId {
    ReplicaId(session.id.0)
}

impl Core {
    /// Decides PSYNC (`held` is `None` for `? -1`) or SYNC of a session that has introduced itself. Returns the line to say, if any is due now.
    pub(crate) fn psync(&mut self, session: &mut Session, held: Option<Held>, by: AskedBy) -> Option<String> {
        self.record_stream();
        self.replication.history.record(self.config.repl_backlog_size);
        let (id, now) = (replica_id(session), self.now.mono);
        let verdict = self.replication.history.psync(held);
        let shared = held.and_then(|held| self.replication.history.shared_with(held));
        let replica = self.replication.replicas.introduce(id, &peer_ip(session), now);
        replica.asked_by = by;
        // Whoever belongs to a group is told what of its history is not ours (I12).
        replica.shared = shared.filter(|_| replica.node.is_some() && verdict == Verdict::Full(Reason::Diverged));
        self.replication.replicas.asked(id, verdict, now);
        session.kind = Kind::Replica(Box::new(Peer {}));
        self.replication.alone_since = None;
        match verdict {
            Verdict::Continue(offset) => {
                self.stats.sync_partial_ok += 1;
                self.log(Level::Notice, format!("replica {} goes on from offset {offset}", session.peer));
                Some(format!("+CONTINUE {}\r\n", self.replication.history.replid()))
            }
            Verdict::Full(reason) => {
                self.stats.sync_full += 1;
                if reason != Reason::Asked {
                    self.stats.sync_partial_err += 1;
                }
                self.log(Level::Notice, format!("replica {} needs a full resync: {reason:?}", session.peer));
                None
            }
        }
    }

    /// Is a snapshot wanted for replicas? Asked by the snapshot driver when none is running.
    pub(crate) fn replicas_want_snapshot(&self) -> bool {
        self.replication.replicas.snapshot_wanted()
    }

    /// A snapshot for replicas begins now: everyone who waits is told so. Returns what its header says of the stream.
    pub(crate) fn replicas_snapshot_begins(&mut self) -> (ReplicationPoint, Epoch, Payload) {
        self.record_stream();
        let held = self.replication.history.held();
        let mut mark = [0; MARK_BYTES];
        mark.copy_from_slice(self.fresh_replid().as_str().as_bytes());
        let mut payload = Payload { mark, whole: None };
        for (id, framing) in self.replication.replicas.begin_snapshot(held.offset) {
            let asked_by = self.replication.replicas.get(id).map(|one| one.asked_by);
            let mut text = String::new();
            if asked_by == Some(AskedBy::Psync) {
                let shared = self.replication.replicas.get(id).and_then(|one| one.shared);
                let shared = shared.map_or(String::new(), |shared| format!(" {shared}"));
                text = format!("+FULLRESYNC {} {}{shared}\r\n", held.replid, held.offset);
            }
            match framing {
                PayloadFraming::Mark => text += &format!("$EOF:{}\r\n", String::from_utf8_lossy(&mark)),
                PayloadFraming::Length => payload.whole = Some(Vec::new()),
            }
            self.say_to_replica(id, text.as_bytes());
        }
        let db = match &self.replication.upstream {
            Some(_) => self.upstream_db(),
            None => {
                // The replica starts with this snapshot: what follows has to name its database.
                self.propagation.forget_selected();
                DbIndex(0)
            }
        };
        let mut replid = [0; 40];
        replid.copy_from_slice(held.replid.as_str().as_bytes());
        let point = ReplicationPoint { replid, offset: held.offset.0, db: db.0.into() };
        (point, self.replication.history.data_epoch(), payload)
    }

    /// Must the snapshot wait for a slow receiver?
    pub(crate) fn replicas_are_behind(&self) -> bool {
        self.replication.replicas.receiving().any(|(id, _)| {
            self.sessions.get(SessionId(id.0)).is_some_and(|session| session.output.waiting() > PAYLOAD_WAITING)
        })
    }

    /// Does anyone still want the running snapshot?
    pub(crate) fn replicas_receive(&self) -> bool {
        self.replication.replicas.receiving().next().is_some()
    }

    /// The next bytes of the payload.
    pub(crate) fn replicas_payload(&mut self, payload: &mut Payload, bytes: &[u8]) {
        if let Some(whole) = &mut payload.whole {
            whole.extend_from_slice(bytes);
        }
        let now = self.now.mono;
        for (id, framing) in self.receiving() {
            if framing == PayloadFraming::Mark {
                self.say_to_replica(id, bytes);
            }
            self.replication.replicas.payload_taken(id, now);
        }
    }

    /// The payload is complete.
    pub(crate) fn replicas_snapshot_ends(&mut self, payload: Payload) {
        let now = self.now.mono;
        for (id, framing) in self.receiving() {
            match (framing, &payload.whole) {
                (PayloadFraming::Mark, _) => self.say_to_replica(id, &payload.mark),
                (PayloadFraming::Length, Some(whole)) => {
                    self.say_to_replica(id, format!("${}\r\n", whole.len()).as_bytes());
                    self.say_to_replica(id, whole);
                }
                (PayloadFraming::Length, None) => unreachable!("whoever wants a length made the payload be kept"),
            }
            self.replication.replicas.payload_sent(id, now);
        }
        self.replication.version += 1;
    }

    /// The snapshot failed: whoever was being sent it is cut and asks again.
    pub(crate) fn replicas_snapshot_failed(&mut self) {
        for id in self.replication.replicas.failed() {
            self.cut_replica(id);
        }
    }

    /// `REPLCONF ACK`; `synced` is what the replica's disk holds, if it acknowledges by that, `epoch` makes it count (I2).
    pub(crate) fn replica_acked(
        &mut self,
        session: &mut Session,
        offset: Offset,
        synced: Option<Offset>,
        epoch: Option<Epoch>,
    ) {
        if let Some(epoch) = epoch {
            let copy = Copy { received: offset, held: synced.unwrap_or(offset), synced: synced.unwrap_or(Offset(0)) };
            self.count_ack(replica_id(session), epoch, copy);
        }
        let now = self.now.mono;
        if self.replication.replicas.ack(replica_id(session), offset, now) == StreamBegins::Yes {
            self.log(Level::Notice, format!("replica {} is online", session.peer));
            self.sessions.list(session);
        }
        self.blocking.signal_acks();
    }

    /// Asks every replica to acknowledge, once a turn.
    pub(crate) fn ask_for_acks(&mut self) {
        if !std::mem::replace(&mut self.replication.asked_for_acks, true) && !self.is_paused() {
            let mut encoded = Vec::new();
            quorate_resp::encode_command(&mut encoded, &[b"REPLCONF", b"GETACK", b"*"]);
            self.propagation.append_raw(&encoded);
        }
    }

    /// A replica's session ended.
    pub(crate) fn replica_gone(&mut self, session: &Session) {
        self.replication.replicas.remove(replica_id(session));
        self.uncount(replica_id(session));
        if self.replication.replicas.is_empty() {
            self.replication.alone_since = Some(self.now.mono);
        }
    }

    /// What waits to be sent to a replica beyond its session's own output: bytes of the backlog. Empty for others.
    pub(crate) fn replica_stream(&self, id: SessionId) -> &[u8] {
        self.replication.replicas.unsent(ReplicaId(id.0), &self.replication.history)
    }

    /// `count` bytes of `replica_stream` are on their way.
    pub(crate) fn replica_sent(&mut self, id: SessionId, count: usize) {
        self.replication.replicas.sent(ReplicaId(id.0), count);
    }

    /// Every replica is cut: the history has another name, which they learn by asking again.
    pub(super) fn cut_replicas(&mut self) {
        for id in self.replication.replicas.ids() {
            self.cut_replica(id);
        }
    }

    fn cut_replica(&mut self, id: ReplicaId) {
        self.replication.replicas.remove(id);
        self.uncount(id);
        let id = SessionId(id.0);
        if let Some(mut session) = self.sessions.take(id) {
            if session.is_replica() {
                self.close(&mut session, Closing::Now);
            }
            self.sessions.put_back(session);
        }
    }

    pub(super) fn tick_downstream(&mut self) {
        let now = self.now.mono;
        let sessions = &self.sessions;
        let gone: Vec<ReplicaId> =
            self.replication.replicas.ids().into_iter().filter(|id| sessions.get(SessionId(id.0)).is_none()).collect();
        for id in gone {
            self.replication.replicas.remove(id);
            self.uncount(id);
        }
        let pings = Duration::from_secs(self.config.repl_ping_replica_period_s.into());
        let timeout = Duration::from_secs(self.config.repl_timeout_s.into());
        let limit = Some(self.config.client_output_buffer_limit.replica.hard_bytes).filter(|limit| *limit > 0);
        let end = self.replication.history.offset();
        for (id, why) in self.replication.replicas.overdue(now, timeout, end, limit) {
            let why = match why {
                GivenUp::Silent => "it was silent for repl-timeout",
                GivenUp::TooFarBehind => "it is further behind than client-output-buffer-limit allows",
            };
            self.log(Level::Warning, format!("replica session {} is cut: {why}", id.0));
            self.cut_replica(id);
        }
        let waiting: Vec<ReplicaId> = self.replication.replicas.waiting().collect();
        for id in waiting {
            let heard_at = self.replication.replicas.get(id).map_or(now, |one| one.heard_at);
            if now >= heard_at + NEWLINE_PERIOD {
                self.replication.replicas.payload_taken(id, now);
                self.say_to_replica(id, b"\n");
            }
        }
        let is_source = !self.replication.is_following() && !self.replication.replicas.is_empty() && !self.is_paused();
        // The replicas of a group are asked by the sentinels whether they still hear their master: they have to know within a fraction of a second.
        let quiet = self.replication.fence.is_some() && now >= self.replication.wrote_at + QUIET_MOST;
        if is_source && (quiet || now >= self.replication.pinged_at + pings) {
            self.replication.pinged_at = now;
            self.propagation.append_raw(b"*1\r\n$4\r\nPING\r\n");
        }
        self.tick_backlog();
    }

    /// A plain master that nobody follows gives its backlog back after repl-backlog-ttl.
    fn tick_backlog(&mut self) {
        let ttl = Duration::from_secs(self.config.repl_backlog_ttl_s.into());
        let replication = &self.replication;
        let is_plain = replication.fence.is_none() && !replication.is_following();
        let alone_for = replication.alone_since.map(|since| self.now.mono.saturating_sub(since));
        if is_plain && !ttl.is_zero() && replication.history.is_recorded() && alone_for.is_some_and(|time| time >= ttl)
        {
            let fresh = self.fresh_replid();
            self.replication.history.forget(fresh);
        }
    }

    fn receiving(&self) -> Vec<(ReplicaId, PayloadFraming)> {
        self.replication.replicas.receiving().map(|(id, one)| (id, one.payload)).collect()
    }

    fn say_to_replica(&mut self, id: ReplicaId, bytes: &[u8]) {
        let id = SessionId(id.0);
        if let Some(session) = self.sessions.get_mut(id) {
            session.output.bytes.extend_from_slice(bytes);
            self.sessions.list_id(id);
        }
    }
}

fn peer_ip(session: &Session) -> String {
    match &session.peer {
        crate::SocketName::Tcp(address) => address.ip().to_canonical().to_string(),
        crate::SocketName::Unix(_) | crate::SocketName::None => "127.0.0.1".to_owned(),
    }
}

/// Introduces a session as a replica: REPLCONF's first word from it.
pub(crate) fn introduce<'a>(core: &'a mut Core, session: &Session) -> &'a mut quorate_replication::master::Replica {
    core.replication.replicas.introduce(replica_id(session), &peer_ip(session), core.now.mono)
}
