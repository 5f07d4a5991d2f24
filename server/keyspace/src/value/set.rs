//! A set: an intset while all members are integers, a listpack while it is small, then a hash table.

use super::Malformed;
use crate::{Limits, StrRef};
use quorate_collections::{intset::IntSet, listpack::Listpack};
use std::sync::Arc;

/// A set of distinct strings.
#[derive(Clone, Debug)]
pub struct Set {
    limits: Arc<Limits>,
}

impl Set {
    /// An empty set.
    pub fn new(limits: &Arc<Limits>) -> Self {
        Self { limits: Arc::clone(limits) }
    }

    /// A set from an RDB file's intset; converted when past the thresholds.
    pub fn from_intset(members: IntSet, limits: &Arc<Limits>) -> Result<Self, Malformed> {
        todo!("{members:?} {limits:?}")
    }

    /// A set from an RDB file's listpack of members; converted when past the thresholds.
    pub fn from_listpack(members: Listpack, limits: &Arc<Limits>) -> Result<Self, Malformed> {
        todo!("{members:?} {limits:?}")
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        todo!("{:?}", self.limits)
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `member` belongs to the set.
    pub fn contains(&self, member: &[u8]) -> bool {
        todo!("{member:?}")
    }

    /// Adds a member; true when it is new.
    pub fn insert(&mut self, member: &[u8]) -> bool {
        todo!("{member:?}")
    }

    /// Removes a member; true when it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        todo!("{member:?}")
    }

    /// Every member, in no particular order (integers of an intset ascend).
    pub fn iter(&self) -> impl Iterator<Item = StrRef<'_>> {
        std::iter::empty()
    }

    /// A member at random; none of an empty set.
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<StrRef<'_>> {
        todo!("{rng:?}")
    }

    /// One step of SSCAN; returns the next cursor, 0 at the end. A small encoding is visited whole.
    pub fn scan(&self, cursor: u64, visit: &mut dyn FnMut(StrRef<'_>)) -> u64 {
        visit(StrRef::Int(0));
        todo!("{cursor}")
    }

    /// The bytes of the intset, when that is the encoding.
    pub fn as_intset(&self) -> Option<&[u8]> {
        todo!()
    }

    /// The bytes of the listpack, when that is the encoding.
    pub fn as_listpack(&self) -> Option<&[u8]> {
        todo!()
    }

    /// The encoding as OBJECT ENCODING names it: `intset`, `listpack` or `hashtable`.
    pub fn encoding_name(&self) -> &'static str {
        todo!()
    }

    /// Bytes on the heap.
    pub fn memory(&self) -> usize {
        todo!()
    }
}
