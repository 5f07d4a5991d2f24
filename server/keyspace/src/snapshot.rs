//! A point-in-time image of the keyspace without fork.
//!
//! `Idle --begin--> Walking --(every database walked)--> Complete --end--> Idle`, and `Walking --end--> Idle` (given up).
//! While walking, each key carries a mark: written (or born since the beginning), or not yet. The walk
//! writes unmarked keys a few at a time; a key about to change is written first. So the sink receives
//! the state at the beginning, each key exactly once, in no particular order.

use quorate_collections::table::SCANNED;

use crate::{
    DbIndex, UnixMs, ValueRef,
    store::{Slot, Store, Walk, expiry, value},
};

/// One key as it stood when the snapshot began.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// The database that held the key when the snapshot began (SWAPDB notwithstanding).
    pub db: DbIndex,
    /// The key's name.
    pub key: &'a [u8],
    /// When it expires.
    pub expiry: Option<UnixMs>,
    /// What it holds.
    pub value: ValueRef<'a>,
}

/// Who encodes a snapshot: an RDB writer, an AOF rewriter.
///
/// Its output is memory until somebody drains it, so the owner of the turn steps a snapshot only while
/// [`pending`](ImageSink::pending) is below its bound. Pre-images come regardless of that bound.
pub trait ImageSink: Send {
    /// Encodes one key. Consecutive images may belong to different databases.
    fn image(&mut self, image: Image<'_>);
    /// Encodes what follows the last key.
    fn finish(&mut self);
    /// Bytes encoded and not yet drained.
    fn pending(&self) -> usize;
    /// Takes the encoded bytes.
    fn drain(&mut self) -> Vec<u8>;
}

/// What a step of a snapshot came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No snapshot is running.
    Idle,
    /// There is more to walk; the number is how many keys this step wrote.
    Walking(usize),
    /// Every key was written and the sink was told to finish: take it with `end_snapshot`.
    Complete,
}

/// The running snapshot and the marks by which it knows keys.
///
/// Invariant: while no snapshot runs, no key's mark is one that the next snapshot will use.
pub struct Recorder {
    /// Keys with this mark are written, or were born since. From 1 to 255, then 1 again.
    mark: u8,
    /// Snapshots given up since the last complete one: each leaves keys with one more old mark behind.
    given_up: u8,
    state: State,
}

enum State {
    Idle,
    Walking {
        sink: Box<dyn ImageSink>,
        /// Databases that were flushed before they were walked: the images of their keys are still to be written.
        flushed: Vec<Store>,
    },
    Complete {
        sink: Box<dyn ImageSink>,
        flushed: Vec<Store>,
    },
}

/// How many given-up snapshots in a row may pass before every key is marked anew; less than the number of marks.
const GIVEN_UP_MAX: u8 = 200;

impl Recorder {
    pub fn new() -> Self {
        Self { mark: 1, given_up: 0, state: State::Idle }
    }

    /// The mark of a key that is born.
    pub fn mark(&self) -> u8 {
        self.mark
    }

    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    pub fn begin(&mut self, stores: &mut [Store], sink: Box<dyn ImageSink>) {
        assert!(self.is_idle(), "one snapshot at a time");
        if self.given_up == GIVEN_UP_MAX {
            stores.iter().flat_map(|store| store.table.iter()).for_each(|slot| slot.set_mark(self.mark));
            self.given_up = 0;
        }
        self.mark = self.mark.checked_add(1).unwrap_or(1);
        for (number, store) in (0..).zip(stores) {
            store.origin = DbIndex(number);
            store.walk = Walk::At(0);
        }
        self.state = State::Walking { sink, flushed: Vec::new() };
    }

    /// A key is about to change: its image is written if it was not yet.
    #[inline]
    pub fn before_change(&mut self, origin: DbIndex, slot: &Slot) {
        if let State::Walking { sink, .. } = &mut self.state
            && slot.mark() != self.mark
        {
            write(sink.as_mut(), origin, slot, self.mark);
        }
    }

    /// A database was emptied: what it held is kept if the snapshot still needs it, else handed back.
    pub fn flushed(&mut self, store: Store) -> Option<Store> {
        match &mut self.state {
            State::Walking { flushed, .. } if store.walk != Walk::Done => {
                flushed.push(store);
                None
            }
            _ => Some(store),
        }
    }

    pub fn step(&mut self, stores: &mut [Store], budget: usize) -> Progress {
        let State::Walking { sink, flushed } = &mut self.state else {
            return if self.is_idle() { Progress::Idle } else { Progress::Complete };
        };
        let mut written = 0;
        let mut visits = 0; // buckets, so that an almost empty table costs no more than a full one
        for store in stores.iter_mut().chain(flushed.iter_mut()) {
            while let Walk::At(cursor) = store.walk {
                if written.max(visits) >= budget {
                    return Progress::Walking(written);
                }
                // A bucket has about four keys, so the budget is kept all but exactly.
                let buckets = ((budget - written.max(visits)) / 4).clamp(1, SCANNED);
                visits += buckets;
                let next = store.table.scan_many(cursor, buckets, &mut |slot| {
                    if slot.mark() != self.mark {
                        write(sink.as_mut(), store.origin, slot, self.mark);
                        written += 1;
                    }
                });
                store.walk = if next == 0 { Walk::Done } else { Walk::At(next) };
            }
        }
        sink.finish();
        let State::Walking { sink, flushed } = std::mem::replace(&mut self.state, State::Idle) else {
            unreachable!("it was walking")
        };
        self.state = State::Complete { sink, flushed };
        self.given_up = 0;
        Progress::Complete
    }

    pub fn sink(&mut self) -> Option<&mut dyn ImageSink> {
        match &mut self.state {
            State::Idle => None,
            State::Walking { sink, .. } | State::Complete { sink, .. } => Some(sink.as_mut()),
        }
    }

    pub fn end(&mut self) -> Option<(Box<dyn ImageSink>, Vec<Store>)> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => None,
            State::Walking { sink, flushed } => {
                self.given_up += 1;
                Some((sink, flushed))
            }
            State::Complete { sink, flushed } => Some((sink, flushed)),
        }
    }
}

fn write(sink: &mut dyn ImageSink, db: DbIndex, slot: &Slot, mark: u8) {
    sink.image(Image { db, key: slot.key(), expiry: expiry(slot), value: value(slot) });
    slot.set_mark(mark);
}
