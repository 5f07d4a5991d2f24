//! A hash: a listpack of fields and values while it is small, then a hash table.

use super::Malformed;
use crate::{Limits, StrRef};
use quorate_collections::listpack::Listpack;
use std::sync::Arc;

/// Fields and their values.
#[derive(Clone, Debug)]
pub struct Hash {
    limits: Arc<Limits>,
}

impl Hash {
    /// An empty hash.
    pub fn new(limits: &Arc<Limits>) -> Self {
        Self { limits: Arc::clone(limits) }
    }

    /// A hash from an RDB file's listpack `field value field value …`; converted when past the thresholds.
    pub fn from_listpack(pairs: Listpack, limits: &Arc<Limits>) -> Result<Self, Malformed> {
        todo!("{pairs:?} {limits:?}")
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        todo!("{:?}", self.limits)
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a field.
    pub fn get(&self, field: &[u8]) -> Option<StrRef<'_>> {
        todo!("{field:?}")
    }

    /// Whether the field exists.
    pub fn contains(&self, field: &[u8]) -> bool {
        self.get(field).is_some()
    }

    /// Sets a field; true when it is new.
    pub fn insert(&mut self, field: &[u8], value: &[u8]) -> bool {
        todo!("{field:?} {value:?}")
    }

    /// Removes a field; true when it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        todo!("{field:?}")
    }

    /// Every field with its value: in order of insertion while small, in no particular order when large.
    pub fn iter(&self) -> impl Iterator<Item = (StrRef<'_>, StrRef<'_>)> {
        std::iter::empty()
    }

    /// A field at random, with its value; none of an empty hash.
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<(StrRef<'_>, StrRef<'_>)> {
        todo!("{rng:?}")
    }

    /// One step of HSCAN; returns the next cursor, 0 at the end. A small encoding is visited whole.
    pub fn scan(&self, cursor: u64, visit: &mut dyn FnMut(StrRef<'_>, StrRef<'_>)) -> u64 {
        visit(StrRef::Int(0), StrRef::Int(0));
        todo!("{cursor}")
    }

    /// The bytes of the listpack, when that is the encoding.
    pub fn as_listpack(&self) -> Option<&[u8]> {
        todo!()
    }

    /// The encoding as OBJECT ENCODING names it: `listpack` or `hashtable`.
    pub fn encoding_name(&self) -> &'static str {
        todo!()
    }

    /// Bytes on the heap.
    pub fn memory(&self) -> usize {
        todo!()
    }
}
