//! All databases of a node, and what they share: the clock of the turn, expiry mode, limits, snapshot.

use crate::{Db, ImageSink, Limits, Progress, UnixMs};
use std::sync::Arc;

/// Number of a database, as SELECT takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DbIndex(pub u16);

/// What happens when a lookup meets a key whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryMode {
    /// A master: the key is absent, and removed and reported in [`Keyspace::take_reaped`].
    Delete,
    /// A replica serving a client: the key is absent but stays until the master says DEL.
    Hide,
    /// Loading, or applying the master's stream: keys live until they are deleted.
    Ignore,
}

/// A key that expired and was removed: to be propagated as a deletion and announced as `expired`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaped {
    /// Where it was.
    pub db: DbIndex,
    /// Its name.
    pub key: Box<[u8]>,
}

/// Data taken out of the keyspace whose memory is still to be freed. Dropping it frees: do so on another
/// thread for FLUSHALL ASYNC and UNLINK.
#[derive(Default)]
pub struct Discarded {
    // filled in with the tables
}

/// An index at or past the configured number of databases; `Display` is what SELECT replies after `ERR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("DB index is out of range")]
pub struct NoSuchDb;

/// Every database of a node. `Send`: a loader builds one on its own thread and hands it over whole.
pub struct Keyspace {
    limits: Arc<Limits>,
}

impl Keyspace {
    /// An empty keyspace of `databases` databases. `rng` feeds LFU's counters and eviction samples.
    pub fn new(databases: u16, limits: Limits, rng: fastrand::Rng) -> Self {
        todo!("{databases} {limits:?} {rng:?}")
    }

    /// How many databases there are.
    pub fn databases(&self) -> u16 {
        todo!()
    }

    /// The index, if such a database exists.
    pub fn index(&self, number: i64) -> Result<DbIndex, NoSuchDb> {
        todo!("{number}")
    }

    /// A view of one database. The index is this keyspace's own, so it exists.
    pub fn db(&mut self, index: DbIndex) -> Db<'_> {
        todo!("{index:?}")
    }

    /// Keys of one database and how many of them expire: INFO's keyspace section and RDB's RESIZEDB.
    pub fn sizes(&self, index: DbIndex) -> (usize, usize) {
        todo!("{index:?}")
    }

    /// Keys of all databases.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether no database holds a key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The clock of this turn.
    pub fn now(&self) -> UnixMs {
        todo!()
    }

    /// Sets the clock: once a turn, before anything else.
    pub fn set_now(&mut self, now: UnixMs) {
        todo!("{now:?}")
    }

    /// What becomes of keys whose time has come.
    pub fn expiry_mode(&self) -> ExpiryMode {
        todo!()
    }

    /// Changes what becomes of keys whose time has come.
    pub fn set_expiry_mode(&mut self, mode: ExpiryMode) {
        todo!("{mode:?}")
    }

    /// The encodings' thresholds, for building collections outside a database.
    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// New thresholds (CONFIG SET); the seed must stay.
    pub fn set_limits(&mut self, limits: Limits) {
        todo!("{limits:?}")
    }

    /// Keys that expired since the last call, oldest first. To be called after each command and each
    /// [`expire_step`](Keyspace::expire_step); only [`ExpiryMode::Delete`] reaps.
    pub fn take_reaped(&mut self) -> Vec<Reaped> {
        todo!()
    }

    /// Active expiry: removes up to `budget` keys whose time has come and says how many. They are reported
    /// in [`take_reaped`](Keyspace::take_reaped). Does nothing unless in [`ExpiryMode::Delete`].
    pub fn expire_step(&mut self, budget: usize) -> usize {
        todo!("{budget}")
    }

    /// When the next key expires: no active expiry is due before.
    pub fn next_expiry(&self) -> Option<UnixMs> {
        todo!()
    }

    /// Empties every database.
    pub fn flush_all(&mut self) -> Discarded {
        todo!()
    }

    /// Exchanges two databases' contents (SWAPDB).
    pub fn swap(&mut self, a: DbIndex, b: DbIndex) {
        todo!("{a:?} {b:?}")
    }

    /// Begins a snapshot of the present state. Panics if one is running: ask [`snapshot_running`](Keyspace::snapshot_running).
    pub fn begin_snapshot(&mut self, sink: Box<dyn ImageSink>) {
        todo!("{}", sink.pending())
    }

    /// Whether a snapshot is running or complete and not yet taken.
    pub fn snapshot_running(&self) -> bool {
        todo!()
    }

    /// Walks up to about `budget` keys (a whole bucket at a time) and hands the unwritten ones to the sink.
    pub fn step_snapshot(&mut self, budget: usize) -> Progress {
        todo!("{budget}")
    }

    /// The running snapshot's sink, to drain its bytes.
    pub fn snapshot_sink(&mut self) -> Option<&mut dyn ImageSink> {
        todo!()
    }

    /// Ends the snapshot, complete or not, and gives the sink back; with it what the snapshot kept alive of flushed databases.
    pub fn end_snapshot(&mut self) -> Option<(Box<dyn ImageSink>, Discarded)> {
        todo!()
    }
}
