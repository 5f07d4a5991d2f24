//! A point-in-time image of the keyspace without fork.
//!
//! `Idle --begin--> Walking --(every database walked)--> Idle`, and `Walking --abort--> Idle`.
//! While walking, each key carries a mark: written (or born since the beginning), or not yet. The walk
//! writes unmarked keys a few at a time; a key about to change is written first. So the sink receives
//! the state at the beginning, each key exactly once, in no particular order.

use crate::{DbIndex, UnixMs, ValueRef};

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
