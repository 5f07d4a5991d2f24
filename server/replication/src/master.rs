//! The replicas that follow this node: what they said of themselves, what they are being sent, what they acknowledged.
//!
//! ```text
//!   REPLCONF ──▶ Introduced ──PSYNC: Full──▶ WaitingForSnapshot ──begin_snapshot──▶ Receiving ──end, first ACK──▶ Online
//!                    └───────PSYNC: Continue───────────────────────────────────────────────────────────────────────▲
//! ```
//! A payload ends at a mark, and a stock replica finds the mark only if nothing follows it: so the stream begins with the
//! replica's first ACK after the payload. A replica without `capa eof` gets its payload with a length, and the stream at once.
//!
//! A replica is a cursor into the [backlog](crate::backlog): no bytes are kept for it. It is given up when it is silent for
//! `repl-timeout`, or when its cursor lags by more than the limit (`client-output-buffer-limit replica`).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::history::{History, Verdict};
use crate::id::{Address, NodeId, Offset};

/// The session that a replica is to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub u64);

/// All replicas, in the order of their connections.
#[derive(Debug, Default)]
pub struct Replicas {
    all: BTreeMap<ReplicaId, Replica>,
}

/// One replica.
#[derive(Debug)]
pub struct Replica {
    /// `REPLCONF listening-port`; 0 until it said so.
    pub port: u16,
    /// `REPLCONF ip-address`.
    pub ip: Option<String>,
    /// The other end of its connection, when it announced nothing.
    pub peer_ip: String,
    /// How it wants its payload framed.
    pub payload: PayloadFraming,
    /// How it asked.
    pub asked_by: AskedBy,
    /// `REPLCONF rdb-only 1`: it wants no stream (redis-cli --rdb).
    pub wants: Wants,
    /// Which node of the group it is, if it said so.
    pub node: Option<NodeId>,
    /// Up to where its history is ours, if it goes on differently (I12).
    pub shared: Option<Offset>,
    /// What it acknowledged, and when it last did.
    pub acked: Offset,
    /// When it last said anything.
    pub heard_at: Duration,
    state: State,
}

/// How a full resync's payload is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadFraming {
    /// `$<length>`.
    Length,
    /// `$EOF:<mark>`: it said `capa eof`.
    Mark,
}

/// The command that a replica asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedBy {
    /// It is answered by `+FULLRESYNC` or `+CONTINUE`.
    Psync,
    /// SYNC: it is answered by the payload alone, and never acknowledges.
    Sync,
}

/// What a replica wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// A dataset and then the stream.
    Stream,
    /// A dataset alone.
    DatasetOnly,
}

/// Every arrow is in the module's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Said REPLCONF, not yet PSYNC.
    Introduced,
    /// Waits for the next snapshot: `wait_bgsave`.
    WaitingForSnapshot,
    /// Is being sent the snapshot taken at `cursor`: `send_bulk`.
    Receiving {
        /// Where its stream will begin.
        cursor: Offset,
        /// Is the payload wholly sent?
        sent: Sent,
    },
    /// Is being sent the stream: `online`.
    Online {
        /// What it has been sent.
        cursor: Offset,
    },
}

/// How far the sending of a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Under way.
    Partly,
    /// All of it: its first ACK makes it online.
    Wholly,
}

/// Why a replica is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// Silent for `repl-timeout`.
    Silent,
    /// Behind by more than the limit.
    TooFarBehind,
}

impl Replica {
    fn new(peer_ip: String, now: Duration) -> Replica {
        Replica {
            port: 0,
            ip: None,
            peer_ip,
            payload: PayloadFraming::Length,
            asked_by: AskedBy::Psync,
            wants: Wants::Stream,
            node: None,
            shared: None,
            acked: Offset(0),
            heard_at: now,
            state: State::Introduced,
        }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Where it listens, as far as it said so.
    pub fn address(&self) -> Address {
        Address::new(self.ip.clone().unwrap_or_else(|| self.peer_ip.clone()), self.port)
    }

    /// INFO's `state` of a replica; `None` for one that has not asked for the stream.
    pub fn state_name(&self) -> Option<&'static str> {
        match self.state {
            State::Introduced => None,
            State::WaitingForSnapshot => Some("wait_bgsave"),
            State::Receiving { .. } => Some("send_bulk"),
            State::Online { .. } => Some("online"),
        }
    }

    /// Is it being sent the stream?
    pub fn is_online(&self) -> bool {
        matches!(self.state, State::Online { .. })
    }

    /// Seconds since it last acknowledged: INFO's `lag`.
    pub fn lag(&self, now: Duration) -> Duration {
        now.saturating_sub(self.heard_at)
    }
}

impl Replicas {
    /// The replica that this session is, made on its first REPLCONF, PSYNC or SYNC.
    pub fn introduce(&mut self, id: ReplicaId, peer_ip: &str, now: Duration) -> &mut Replica {
        self.all.entry(id).or_insert_with(|| Replica::new(peer_ip.to_owned(), now))
    }

    /// The replica that this session is.
    pub fn get(&self, id: ReplicaId) -> Option<&Replica> {
        self.all.get(&id)
    }

    /// Every one that asked for the stream, in the order of the connections.
    pub fn iter(&self) -> impl Iterator<Item = (ReplicaId, &Replica)> {
        self.all.iter().filter(|(_, one)| one.state != State::Introduced).map(|(id, one)| (*id, one))
    }

    /// Every one that said anything, in the order of the connections.
    pub fn introduced(&self) -> impl Iterator<Item = (ReplicaId, &Replica)> {
        self.all.iter().map(|(id, one)| (*id, one))
    }

    /// How many asked for the stream: `connected_slaves`.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Has nobody asked for the stream?
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The session is gone.
    pub fn remove(&mut self, id: ReplicaId) -> Option<Replica> {
        self.all.remove(&id)
    }

    /// The answer to PSYNC was decided: the replica goes on from its place, or waits for a snapshot.
    pub fn asked(&mut self, id: ReplicaId, verdict: Verdict, now: Duration) {
        let Some(one) = self.all.get_mut(&id) else {
            return;
        };
        one.heard_at = now;
        one.state = match verdict {
            Verdict::Continue(cursor) => {
                one.acked = cursor;
                State::Online { cursor }
            }
            Verdict::Full(_) => State::WaitingForSnapshot,
        };
    }

    /// Does anyone wait for a snapshot?
    pub fn snapshot_wanted(&self) -> bool {
        self.all.values().any(|one| one.state == State::WaitingForSnapshot)
    }

    /// A snapshot begins, of the dataset at `at`: everyone who waited gets it. Returns them with the framing each wants.
    pub fn begin_snapshot(&mut self, at: Offset) -> Vec<(ReplicaId, PayloadFraming)> {
        let mut taken = Vec::new();
        for (id, one) in &mut self.all {
            if one.state == State::WaitingForSnapshot {
                one.state = State::Receiving { cursor: at, sent: Sent::Partly };
                taken.push((*id, one.payload));
            }
        }
        taken
    }

    /// Those that the running snapshot is sent to.
    pub fn receiving(&self) -> impl Iterator<Item = (ReplicaId, &Replica)> {
        self.all
            .iter()
            .filter(|(_, one)| matches!(one.state, State::Receiving { sent: Sent::Partly, .. }))
            .map(|(id, one)| (*id, one))
    }

    /// The payload was wholly handed to the replica's connection. One whose payload has a length needs no ACK to begin the stream.
    pub fn payload_sent(&mut self, id: ReplicaId, now: Duration) {
        let Some(one) = self.all.get_mut(&id) else { return };
        if let State::Receiving { cursor, .. } = one.state {
            one.heard_at = now;
            one.state = match one.payload {
                PayloadFraming::Mark => State::Receiving { cursor, sent: Sent::Wholly },
                PayloadFraming::Length => State::Online { cursor },
            };
        }
    }

    /// Those that wait for a snapshot.
    pub fn waiting(&self) -> impl Iterator<Item = ReplicaId> {
        self.all.iter().filter(|(_, one)| one.state == State::WaitingForSnapshot).map(|(id, _)| *id)
    }

    /// The snapshot failed: those that were being sent it. They are to be cut, and will ask again.
    pub fn failed(&self) -> Vec<ReplicaId> {
        self.receiving().map(|(id, _)| id).collect()
    }

    /// Every session that said anything as a replica.
    pub fn ids(&self) -> Vec<ReplicaId> {
        self.all.keys().copied().collect()
    }

    /// A piece of the payload went out: the replica is taking it, so it lives.
    pub fn payload_taken(&mut self, id: ReplicaId, now: Duration) {
        if let Some(one) = self.all.get_mut(&id) {
            one.heard_at = now;
        }
    }

    /// `REPLCONF ACK offset`. Returns whether the stream begins with it.
    pub fn ack(&mut self, id: ReplicaId, offset: Offset, now: Duration) -> StreamBegins {
        let Some(one) = self.all.get_mut(&id) else {
            return StreamBegins::No;
        };
        one.heard_at = now;
        one.acked = one.acked.max(offset);
        match one.state {
            State::Receiving { cursor, sent: Sent::Wholly } => {
                one.state = State::Online { cursor };
                StreamBegins::Yes
            }
            _ => StreamBegins::No,
        }
    }

    /// What is to be sent next to a replica that is online: one contiguous piece of the backlog, empty when it has all of it,
    /// and for everyone else. Call [`Replicas::sent`] with what the connection took, and ask again.
    pub fn unsent<'a>(&self, id: ReplicaId, history: &'a History) -> &'a [u8] {
        let Some(Replica { state: State::Online { cursor }, .. }) = self.all.get(&id) else { return &[] };
        history.backlog().and_then(|backlog| backlog.read(*cursor)).unwrap_or_default()
    }

    /// The first `count` bytes of [`Replicas::unsent`] are on their way.
    pub fn sent(&mut self, id: ReplicaId, count: usize) {
        if let Some(Replica { state: State::Online { cursor }, .. }) = self.all.get_mut(&id) {
            *cursor = cursor.plus(count);
        }
    }

    /// Every replica that is online: the stream has grown, so each of them has something to be sent.
    pub fn online(&self) -> impl Iterator<Item = ReplicaId> {
        self.all.iter().filter(|(_, one)| one.is_online()).map(|(id, _)| *id)
    }

    /// Where the slowest replica's stream goes on: the backlog keeps everything from there.
    pub fn slowest(&self) -> Option<Offset> {
        self.all.values().filter_map(Replica::cursor).min()
    }

    /// How many online replicas have acknowledged `offset`: WAIT's answer.
    pub fn count_acked(&self, offset: Offset) -> usize {
        self.all.values().filter(|one| one.is_online() && one.acked >= offset).count()
    }

    /// How many online replicas were heard within `max_lag`: `min-replicas-max-lag`.
    pub fn count_good(&self, now: Duration, max_lag: Duration) -> usize {
        self.all.values().filter(|one| one.is_online() && one.lag(now) <= max_lag).count()
    }

    /// Those that have to be given up. `limit` is the most bytes that one may lag behind; `None` for no limit.
    pub fn overdue(
        &self,
        now: Duration,
        timeout: Duration,
        end: Offset,
        limit: Option<u64>,
    ) -> Vec<(ReplicaId, GivenUp)> {
        let verdict = |one: &Replica| {
            let watched = !matches!(one.state, State::Introduced | State::WaitingForSnapshot);
            if watched && one.asked_by == AskedBy::Psync && one.lag(now) >= timeout {
                return Some(GivenUp::Silent);
            }
            let behind = one.cursor().map_or(0, |cursor| end.since(cursor));
            limit.is_some_and(|limit| behind > limit).then_some(GivenUp::TooFarBehind)
        };
        self.all.iter().filter_map(|(id, one)| Some((*id, verdict(one)?))).collect()
    }
}

impl Replica {
    fn cursor(&self) -> Option<Offset> {
        match self.state {
            State::Receiving { cursor, .. } | State::Online { cursor } => Some(cursor),
            State::Introduced | State::WaitingForSnapshot => None,
        }
    }
}

/// Does the stream begin now?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamBegins {
    /// Yes.
    Yes,
    /// No: it had begun, or is not due.
    No,
}
