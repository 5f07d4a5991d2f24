//! A sorted array of integers in the narrowest of three widths: Redis's intset, byte for byte.
use crate::Malformed;

/// A set of integers. Bytes: width (2, 4 or 8) u32, length u32, then the sorted integers, all little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntSet {
    bytes: Vec<u8>,
}

impl IntSet {
    /// An empty set.
    pub fn new() -> Self {
        todo!()
    }
    /// Takes untrusted bytes, an RDB's or DUMP's.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Malformed> {
        let _ = bytes;
        todo!()
    }
    /// The set in Redis's format.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
    /// How many integers.
    pub fn len(&self) -> usize {
        todo!()
    }
    /// No integers?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Is `value` here?
    pub fn contains(&self, value: i64) -> bool {
        let _ = value;
        todo!()
    }
    /// Adds `value`; false when it was here.
    pub fn insert(&mut self, value: i64) -> bool {
        let _ = value;
        todo!()
    }
    /// Removes `value`; false when it was not here.
    pub fn remove(&mut self, value: i64) -> bool {
        let _ = value;
        todo!()
    }
    /// The integer of rank `at`, in ascending order.
    pub fn get(&self, at: usize) -> Option<i64> {
        let _ = at;
        todo!()
    }
    /// One integer, all equally likely.
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<i64> {
        let _ = rng;
        todo!()
    }
    /// Ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + '_ {
        (0..self.len()).map(|at| self.get(at).expect("below the length"))
    }
}

impl Default for IntSet {
    fn default() -> Self {
        Self::new()
    }
}
