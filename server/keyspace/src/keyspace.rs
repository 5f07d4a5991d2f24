//! All databases of a node, and what they share: the clock of the turn, expiry mode, limits, snapshot.

use crate::{
    AccessMeter, Db, ImageSink, Limits, Progress, UnixMs,
    access::Access,
    snapshot::Recorder,
    store::{Object, Slot, Store, elements, expiry},
};
use quorate_collections::{Held, NewValue};
use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

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
/// thread for FLUSHALL ASYNC and UNLINK, where [`elements`](Discarded::elements) says that it is worth the trip.
#[derive(Default)]
#[must_use = "dropping it frees its memory here and now"]
pub struct Discarded {
    stores: Vec<Store>,
    slots: Vec<Slot>,
}

impl Discarded {
    /// How many allocations there are to free, about.
    pub fn elements(&self) -> usize {
        let of_slot = |slot: &Slot| match slot.value() {
            Held::Object(object) => elements(object),
            _ => 1,
        };
        let keys: usize = self.stores.iter().map(|store| store.table.len()).sum();
        keys + self.slots.iter().map(of_slot).sum::<usize>()
    }

    pub(crate) fn slot(slot: Slot) -> Self {
        Self { stores: Vec::new(), slots: vec![slot] }
    }
}

/// An index at or past the configured number of databases; `Display` is what SELECT replies after `ERR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("DB index is out of range")]
pub struct NoSuchDb;

/// Every database of a node. `Send`: a loader builds one on its own thread and hands it over whole.
pub struct Keyspace {
    stores: Vec<Store>,
    shared: Shared,
}

/// What all databases share.
pub(crate) struct Shared {
    pub now: UnixMs,
    pub mode: ExpiryMode,
    pub limits: Arc<Limits>,
    pub access: Access,
    pub recorder: Recorder,
    reaped: Vec<Reaped>,
    /// Expired keys that reads have met; they go at the next `take_reaped`, since a read borrows the keyspace shared.
    met: RefCell<Vec<Reaped>>,
    hits: Cell<u64>,
    misses: Cell<u64>,
    /// Invariant: `expected.hash` is the hash of the bytes that lie at `expected`'s place while a command runs.
    expected: KeyHash,
}

/// A key's hash, between the two steps of a prefetch and while its command runs. It knows its key by where that lies.
#[derive(Clone, Copy, Debug)]
pub struct KeyHash {
    /// The key's address: compared, never followed.
    at: usize,
    len: usize,
    pub(crate) hash: u64,
}

impl KeyHash {
    /// No key's.
    pub const NONE: KeyHash = KeyHash { at: 0, len: usize::MAX, hash: 0 };

    pub(crate) fn new(key: &[u8], hash: u64) -> KeyHash {
        KeyHash { at: key.as_ptr().addr(), len: key.len(), hash }
    }
}

impl Shared {
    /// Has this key's time come, and does it matter? Source: Redis expires a key once its time is past, not when it is reached.
    #[inline]
    pub fn is_dead(&self, slot: &Slot) -> bool {
        expiry(slot).is_some_and(|at| at < self.now) && self.mode != ExpiryMode::Ignore
    }

    /// A read has met a key whose time has come.
    pub fn note(&self, db: DbIndex, key: &[u8]) {
        if self.mode == ExpiryMode::Delete {
            self.met.borrow_mut().push(Reaped { db, key: key.into() });
        }
    }

    /// The hash of a key in any of the tables (they share a seed); known beforehand for the one that was expected.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        let expected = self.expected;
        if expected.at == key.as_ptr().addr() && expected.len == key.len() {
            debug_assert_eq!(expected.hash, self.limits.seed.hash(key), "an expectation outlived its command");
            return expected.hash;
        }
        self.limits.seed.hash(key)
    }

    /// A value was looked up to be read.
    #[inline]
    pub fn looked_up(&self, found: bool) {
        let count = if found { &self.hits } else { &self.misses };
        count.set(count.get() + 1);
    }

    /// A new key.
    pub fn born(&self, key: &[u8], value: NewValue<'_, Object>, at: Option<UnixMs>) -> Slot {
        let slot = Slot::new(key, value, at.map(|at| at.0));
        slot.set_mark(self.recorder.mark());
        slot.set_clock(self.access.born(self.now));
        slot
    }

    /// The key was accessed.
    #[inline]
    pub fn touch(&self, slot: &Slot) {
        let before = slot.clock();
        let after = self.access.touched(before, self.now);
        if after != before {
            slot.set_clock(after);
        }
    }

    /// Removes an expired key.
    pub fn reap(&mut self, store: &mut Store, db: DbIndex, key: &[u8]) {
        let Some(slot) = store.table.get(key) else { return };
        self.recorder.before_change(store.origin, slot);
        store.take(self.limits.seed.hash(key), key);
        if self.mode == ExpiryMode::Delete {
            self.reaped.push(Reaped { db, key: key.into() });
        }
    }
}

impl Keyspace {
    /// An empty keyspace of `databases` databases. `rng` feeds LFU's counters.
    pub fn new(databases: u16, limits: Limits, rng: fastrand::Rng) -> Self {
        Self {
            stores: (0..databases).map(|number| Store::new(&limits, DbIndex(number))).collect(),
            shared: Shared {
                now: UnixMs(0),
                mode: ExpiryMode::Delete,
                limits: Arc::new(limits),
                access: Access::new(rng),
                recorder: Recorder::new(),
                reaped: Vec::new(),
                met: RefCell::default(),
                hits: Cell::new(0),
                misses: Cell::new(0),
                expected: KeyHash::NONE,
            },
        }
    }

    /// The next command will ask for this key, whose hash is known: it need not be computed again. Holds while the key's bytes
    /// stay where they are, so say [`KeyHash::NONE`] before they go.
    #[inline]
    pub fn expect(&mut self, key: KeyHash) {
        self.shared.expected = key;
    }

    /// How many databases there are.
    pub fn databases(&self) -> u16 {
        u16::try_from(self.stores.len()).expect("made from a u16")
    }

    /// The index, if such a database exists.
    pub fn index(&self, number: i64) -> Result<DbIndex, NoSuchDb> {
        u16::try_from(number).ok().filter(|number| *number < self.databases()).map(DbIndex).ok_or(NoSuchDb)
    }

    /// A view of one database. The index is this keyspace's own, so it exists.
    pub fn db(&mut self, index: DbIndex) -> Db<'_> {
        assert!(index.0 < self.databases(), "an index comes from Keyspace::index");
        Db::new(self, index)
    }

    /// Keys of one database and how many of them expire: INFO's keyspace section and RDB's RESIZEDB.
    pub fn sizes(&self, index: DbIndex) -> (usize, usize) {
        let store = self.store(index);
        (store.table.len(), store.deadlines.len())
    }

    /// Keys of all databases.
    pub fn len(&self) -> usize {
        self.stores.iter().map(|store| store.table.len()).sum()
    }

    /// Whether no database holds a key.
    pub fn is_empty(&self) -> bool {
        self.stores.iter().all(|store| store.table.is_empty())
    }

    /// Makes room for so many keys in one database, so that a load does not grow step by step. The counts must be
    /// trusted, or bounded by the size of what is loaded.
    pub fn reserve(&mut self, index: DbIndex, keys: usize) {
        self.stores[usize::from(index.0)].table.reserve(keys);
    }

    /// Lookups for reading since the last `reset_lookups`: how many found their key, how many did not.
    pub fn lookups(&self) -> (u64, u64) {
        (self.shared.hits.get(), self.shared.misses.get())
    }

    /// Counts lookups anew (CONFIG RESETSTAT).
    pub fn reset_lookups(&mut self) {
        self.shared.hits.set(0);
        self.shared.misses.set(0);
    }

    /// Takes from the keyspace that this one replaces (a full resync, a load) what is not data: clock, access meter,
    /// counts of lookups. Expiry mode and thresholds stay.
    pub fn succeed(&mut self, old: &Keyspace) {
        self.shared.now = old.shared.now;
        self.shared.access.meter = old.shared.access.meter;
        self.shared.hits.set(old.shared.hits.get());
        self.shared.misses.set(old.shared.misses.get());
    }

    /// The clock of this turn.
    pub fn now(&self) -> UnixMs {
        self.shared.now
    }

    /// Sets the clock: once a turn, before anything else.
    pub fn set_now(&mut self, now: UnixMs) {
        self.shared.now = now;
    }

    /// What becomes of keys whose time has come.
    pub fn expiry_mode(&self) -> ExpiryMode {
        self.shared.mode
    }

    /// Changes what becomes of keys whose time has come.
    pub fn set_expiry_mode(&mut self, mode: ExpiryMode) {
        self.shared.mode = mode;
    }

    /// What is measured of accesses; follows `maxmemory-policy`.
    pub fn access_meter(&self) -> AccessMeter {
        self.shared.access.meter
    }

    /// Measures something else from now on; what was measured becomes meaningless, as in Redis.
    pub fn set_access_meter(&mut self, meter: AccessMeter) {
        self.shared.access.meter = meter;
    }

    /// The encodings' thresholds, for building collections outside a database.
    pub fn limits(&self) -> &Arc<Limits> {
        &self.shared.limits
    }

    /// New thresholds (CONFIG SET); the seed must stay.
    pub fn set_limits(&mut self, limits: Limits) {
        assert_eq!(limits.seed, self.shared.limits.seed, "one seed a process");
        self.shared.limits = Arc::new(limits);
    }

    /// Whether [`take_reaped`](Keyspace::take_reaped) would have something to do.
    #[inline]
    pub fn has_reaped(&mut self) -> bool {
        !self.shared.reaped.is_empty() || !self.shared.met.get_mut().is_empty()
    }

    /// Keys that expired since the last call, oldest first. To be called after each command and each
    /// [`expire_step`](Keyspace::expire_step); only [`ExpiryMode::Delete`] reaps.
    pub fn take_reaped(&mut self) -> Vec<Reaped> {
        if !self.shared.met.get_mut().is_empty() {
            for Reaped { db, key } in std::mem::take(self.shared.met.get_mut()) {
                let store = &mut self.stores[usize::from(db.0)];
                if store.table.get(&key).is_some_and(|slot| self.shared.is_dead(slot)) {
                    self.shared.reap(store, db, &key);
                }
            }
        }
        std::mem::take(&mut self.shared.reaped)
    }

    /// Active expiry: removes up to `budget` keys whose time has come, soonest first, and says how many. They are
    /// reported in [`take_reaped`](Keyspace::take_reaped). Does nothing unless in [`ExpiryMode::Delete`].
    pub fn expire_step(&mut self, budget: usize) -> usize {
        if self.shared.mode != ExpiryMode::Delete {
            return 0;
        }
        let now = self.shared.now;
        let mut left = budget;
        for (number, store) in (0..).zip(&mut self.stores) {
            while let Some((at, key)) = store.deadlines.first()
                && at < now
                && left > 0
            {
                let key: Box<[u8]> = key.into();
                self.shared.reap(store, DbIndex(number), &key);
                left -= 1;
            }
        }
        budget - left
    }

    /// When the next key expires: no active expiry is due before.
    pub fn next_expiry(&self) -> Option<UnixMs> {
        self.stores.iter().filter_map(|store| store.deadlines.first()).map(|(at, _)| at).min()
    }

    /// Empties every database.
    pub fn flush_all(&mut self) -> Discarded {
        let stores = (0..self.databases()).filter_map(|number| self.flush_store(DbIndex(number))).collect();
        Discarded { stores, slots: Vec::new() }
    }

    /// Empties one database.
    pub fn flush(&mut self, index: DbIndex) -> Discarded {
        Discarded { stores: self.flush_store(index).into_iter().collect(), slots: Vec::new() }
    }

    fn flush_store(&mut self, index: DbIndex) -> Option<Store> {
        let store = &mut self.stores[usize::from(index.0)];
        if store.table.is_empty() {
            return None;
        }
        let old = std::mem::replace(store, Store::new(&self.shared.limits, index));
        self.shared.recorder.flushed(old)
    }

    /// Exchanges two databases' contents (SWAPDB).
    pub fn swap(&mut self, a: DbIndex, b: DbIndex) {
        self.stores.swap(usize::from(a.0), usize::from(b.0));
    }

    /// Begins a snapshot of the present state. Panics if one is running: ask [`snapshot_running`](Keyspace::snapshot_running).
    pub fn begin_snapshot(&mut self, sink: Box<dyn ImageSink>) {
        self.shared.recorder.begin(&mut self.stores, sink);
    }

    /// Whether a snapshot is running or complete and not yet taken.
    pub fn snapshot_running(&self) -> bool {
        !self.shared.recorder.is_idle()
    }

    /// Walks up to about `budget` keys (a whole bucket at a time) and hands the unwritten ones to the sink.
    pub fn step_snapshot(&mut self, budget: usize) -> Progress {
        self.shared.recorder.step(&mut self.stores, budget)
    }

    /// The running snapshot's sink, to drain its bytes.
    pub fn snapshot_sink(&mut self) -> Option<&mut dyn ImageSink> {
        self.shared.recorder.sink()
    }

    /// Ends the snapshot, complete or not, and gives the sink back; with it what the snapshot kept alive of flushed databases.
    pub fn end_snapshot(&mut self) -> Option<(Box<dyn ImageSink>, Discarded)> {
        let (sink, stores) = self.shared.recorder.end()?;
        Some((sink, Discarded { stores, slots: Vec::new() }))
    }

    pub(crate) fn store(&self, index: DbIndex) -> &Store {
        &self.stores[usize::from(index.0)]
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn parts(&mut self, index: DbIndex) -> (&mut Store, &mut Shared) {
        (&mut self.stores[usize::from(index.0)], &mut self.shared)
    }
}
