//! A sorted set in its large form: a skip list ordered by (score, member) with a table from member to node, so that each
//! member is stored once.
use crate::HashSeed;
use std::ops::Range;

/// One end of a range of scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ScoreBound {
    /// The score itself belongs to the range.
    Included(f64),
    /// It does not.
    Excluded(f64),
}

/// One end of a range of members, for sets whose scores are all equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// `-`: below every member.
    Lowest,
    /// `+`: above every member.
    Highest,
    /// `[member`
    Included(&'a [u8]),
    /// `(member`
    Excluded(&'a [u8]),
}

/// Members with scores, ordered by score and then member. A score is never NaN.
pub struct SkipList {
    #[allow(dead_code)]
    seed: HashSeed,
}

impl SkipList {
    /// An empty set.
    pub fn new(seed: HashSeed) -> Self {
        SkipList { seed }
    }
    /// How many members.
    pub fn len(&self) -> usize {
        todo!()
    }
    /// No members?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Bytes held.
    pub fn memory(&self) -> usize {
        todo!()
    }
    /// The member's score.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        let _ = member;
        todo!()
    }
    /// Gives `member` the score `score`; returns the score that it had. Panics on NaN.
    pub fn insert(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let _ = (member, score);
        todo!()
    }
    /// Removes `member`; returns its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let _ = member;
        todo!()
    }
    /// How many members stand before `member`.
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        let _ = member;
        todo!()
    }
    /// The member of rank `rank`.
    pub fn by_rank(&self, rank: usize) -> Option<(&[u8], f64)> {
        let _ = rank;
        todo!()
    }
    /// The ranks of the members whose scores lie between `min` and `max`; O(log n).
    pub fn score_ranks(&self, min: ScoreBound, max: ScoreBound) -> Range<usize> {
        let _ = (min, max);
        todo!()
    }
    /// The ranks of the members between `min` and `max`, all scores being equal; O(log n).
    pub fn lex_ranks(&self, min: LexBound<'_>, max: LexBound<'_>) -> Range<usize> {
        let _ = (min, max);
        todo!()
    }
    /// The members of these ranks (cut to the length) in order; reversible.
    pub fn range(&self, ranks: Range<usize>) -> impl DoubleEndedIterator<Item = (&[u8], f64)> + '_ {
        let _ = ranks;
        std::iter::empty()
    }
    /// All members in order; reversible.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], f64)> + '_ {
        self.range(0..self.len())
    }
    /// Removes the members of these ranks (cut to the length), showing each to `removed`.
    pub fn remove_range(&mut self, ranks: Range<usize>, removed: &mut dyn FnMut(&[u8], f64)) {
        let _ = (ranks, removed);
        todo!()
    }
    /// One step of a scan in table order; as [`crate::Table::scan`].
    pub fn scan(&self, cursor: u64, visit: &mut dyn FnMut(&[u8], f64)) -> u64 {
        let _ = (cursor, visit);
        todo!()
    }
    /// One member, all equally likely.
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<(&[u8], f64)> {
        let _ = rng;
        todo!()
    }
}
