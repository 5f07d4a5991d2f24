//! Values, databases, expiry, snapshots: the sole owner of stored data.
//!
//! * [`Keyspace`] holds the numbered databases, the clock of the turn and the running snapshot.
//! * [`Db`] is a borrowed view of one database: every read and every change goes through it.
//! * [`List`], [`Set`], [`Hash`], [`Zset`] are collections in a small and a large encoding; each knows
//!   its own thresholds ([`Limits`]), so that callers never convert anything.
//! * [`StrRef`] is a string or an element as it is stored: bytes, or an integer that was written as one.
//!
//! Invariants between this room and its callers:
//! * a change of a stored value is made through `Db` only, which shows the old image to the snapshot first;
//! * a collection may be left empty by a command; the caller then says [`Db::remove_if_empty`];
//! * nothing here reads a clock: [`Keyspace::set_now`] is told the time once a turn.

mod access;
mod db;
mod deadlines;
mod evict;
mod keyspace;
mod limits;
mod snapshot;
mod store;
mod time;
mod value;

pub use access::AccessMeter;
pub use db::{Copied, Db, Replace, Ttl};
pub use evict::{Candidates, Worst};
pub use keyspace::{DbIndex, Discarded, ExpiryMode, KeyHash, Keyspace, NoSuchDb, Reaped};
pub use limits::Limits;
pub use snapshot::{Image, ImageSink, Progress};
pub use time::UnixMs;
pub use value::{Kind, Malformed, Text, Value, ValueRef, WrongType};
pub use value::{
    hash::Hash,
    list::{End, List},
    set::Set,
    tuned::Tuned,
    zset::Zset,
};

/// A string or an element as it is stored: bytes, or an integer that stands for its decimal text.
pub use quorate_collections::listpack::Element as StrRef;
pub use quorate_collections::{
    HashSeed, IntSet, Strip, listpack,
    quicklist::Node as ListNode,
    skiplist::{LexBound, ScoreBound},
};
