//! The hash table under every large collection and the keyspace itself.
use crate::HashSeed;
use std::marker::PhantomData;

/// What a table needs to know of its elements.
pub trait Keyed {
    /// The bytes that identify the element. They must not change while it is in a table.
    fn key(&self) -> &[u8];
}

/// A set of elements, each found by its key.
pub struct Table<E> {
    seed: HashSeed,
    holds: PhantomData<E>,
}

impl<E: Keyed> Table<E> {
    /// An empty table; allocates nothing.
    pub fn new(seed: HashSeed) -> Self {
        Table { seed, holds: PhantomData }
    }
    /// The seed it hashes with.
    pub fn seed(&self) -> HashSeed {
        self.seed
    }
    /// How many elements.
    pub fn len(&self) -> usize {
        todo!()
    }
    /// No elements?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Bytes of the buckets (elements not included).
    pub fn memory(&self) -> usize {
        todo!()
    }
    /// The hash of a key, for the `_hashed` functions and for prefetching.
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.seed.hash(key)
    }
    /// Asks the processor for the bucket of `hash`. First step of a batch.
    pub fn prefetch(&self, hash: u64) {
        let _ = hash;
    }
    /// Asks the processor for the allocations of the elements that may have `hash`. Second step of a batch, some work after the first.
    pub fn prefetch_element(&self, hash: u64) {
        let _ = hash;
    }
    /// The element of `key`.
    pub fn get(&self, key: &[u8]) -> Option<&E> {
        self.get_hashed(self.hash(key), key)
    }
    /// The element of `key`, whose hash is known.
    pub fn get_hashed(&self, hash: u64, key: &[u8]) -> Option<&E> {
        let _ = (hash, key);
        todo!()
    }
    /// The element of `key`. Its key must stay as it is.
    pub fn get_mut(&mut self, key: &[u8]) -> Option<&mut E> {
        self.get_mut_hashed(self.hash(key), key)
    }
    /// The element of `key`, whose hash is known.
    pub fn get_mut_hashed(&mut self, hash: u64, key: &[u8]) -> Option<&mut E> {
        let _ = (hash, key);
        todo!()
    }
    /// Is `key` here?
    pub fn contains(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }
    /// Adds `element`, or puts it in the place of the one with its key, which is returned.
    pub fn insert(&mut self, element: E) -> Option<E> {
        let _ = element;
        todo!()
    }
    /// The element of `key`, made by `make` when absent (it must have that key); true when it was made.
    pub fn find_or_insert(&mut self, key: &[u8], make: impl FnOnce() -> E) -> (&mut E, bool) {
        let _ = (key, make);
        todo!()
    }
    /// Removes the element of `key`.
    pub fn remove(&mut self, key: &[u8]) -> Option<E> {
        let _ = key;
        todo!()
    }
    /// Drops every element and bucket.
    pub fn clear(&mut self) {
        todo!()
    }
    /// Makes room for `count` elements in all, so that a load of known size does not grow step by step. The count must be trusted.
    pub fn reserve(&mut self, count: usize) {
        let _ = count;
    }
    /// All elements, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &E> + '_ {
        std::iter::empty()
    }
    /// All elements, in no order. Their keys must stay as they are.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut E> + '_ {
        std::iter::empty()
    }
    /// Shows the elements of one bucket to `visit` and returns the cursor of the next; begins with 0, ends with 0.
    /// Every element that is in the table from the first call to the last is seen, however the table grows or shrinks in between;
    /// some may be seen twice.
    pub fn scan(&self, cursor: u64, visit: &mut dyn FnMut(&E)) -> u64 {
        let _ = (cursor, visit);
        todo!()
    }
    /// One element, all equally likely.
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<&E> {
        let _ = rng;
        todo!()
    }
}
