//! A sorted set: a listpack of members and scores while it is small, then a skip list beside a hash table.

use super::Malformed;
use crate::{Limits, StrRef};
use quorate_collections::{
    listpack::Listpack,
    skiplist::{LexBound, ScoreBound},
};
use std::{ops::Range, sync::Arc};

/// Members ordered by score, then by their bytes. Ranks count from 0 at the lowest.
///
/// Ranges by score and by member are first turned into ranks ([`score_ranks`](Zset::score_ranks),
/// [`lex_ranks`](Zset::lex_ranks)), then counted, read or removed as ranks.
#[derive(Clone, Debug)]
pub struct Zset {
    limits: Arc<Limits>,
}

impl Zset {
    /// An empty sorted set.
    pub fn new(limits: &Arc<Limits>) -> Self {
        Self { limits: Arc::clone(limits) }
    }

    /// A sorted set from an RDB file's listpack `member score member score …`; converted when past the thresholds.
    pub fn from_listpack(pairs: Listpack, limits: &Arc<Limits>) -> Result<Self, Malformed> {
        todo!("{pairs:?} {limits:?}")
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        todo!("{:?}", self.limits)
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A member's score.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        todo!("{member:?}")
    }

    /// Sets a member's score and says its old one. Panics on NaN.
    pub fn insert(&mut self, member: &[u8], score: f64) -> Option<f64> {
        todo!("{member:?} {score}")
    }

    /// Removes a member and says its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        todo!("{member:?}")
    }

    /// A member's rank.
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        todo!("{member:?}")
    }

    /// The ranks of the members whose scores lie in a range; empty when none do.
    pub fn score_ranks(&self, min: ScoreBound, max: ScoreBound) -> Range<usize> {
        todo!("{min:?} {max:?}")
    }

    /// The ranks of the members that lie in a range, provided that all scores are equal; empty when none do.
    pub fn lex_ranks(&self, min: LexBound<'_>, max: LexBound<'_>) -> Range<usize> {
        todo!("{min:?} {max:?}")
    }

    /// The members of a range of ranks within the set, with their scores; reversible.
    pub fn range(&self, ranks: Range<usize>) -> impl DoubleEndedIterator<Item = (StrRef<'_>, f64)> {
        let _ = ranks;
        std::iter::empty()
    }

    /// Every member with its score, lowest first; reversible.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (StrRef<'_>, f64)> {
        self.range(0..self.len())
    }

    /// Removes the members of a range of ranks within the set.
    pub fn remove_ranks(&mut self, ranks: Range<usize>) {
        todo!("{ranks:?}")
    }

    /// A member at random, with its score; none of an empty set.
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<(StrRef<'_>, f64)> {
        todo!("{rng:?}")
    }

    /// One step of ZSCAN; returns the next cursor, 0 at the end. A small encoding is visited whole.
    pub fn scan(&self, cursor: u64, visit: &mut dyn FnMut(StrRef<'_>, f64)) -> u64 {
        visit(StrRef::Int(0), 0.0);
        todo!("{cursor}")
    }

    /// The bytes of the listpack, when that is the encoding.
    pub fn as_listpack(&self) -> Option<&[u8]> {
        todo!()
    }

    /// The encoding as OBJECT ENCODING names it: `listpack` or `skiplist`.
    pub fn encoding_name(&self) -> &'static str {
        todo!()
    }

    /// Bytes on the heap.
    pub fn memory(&self) -> usize {
        todo!()
    }
}
