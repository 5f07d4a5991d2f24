//! One key and its value in one thin allocation.
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A value on its way into an entry.
#[derive(Debug)]
pub enum NewValue<'a, B> {
    /// A string, copied in beside the key.
    Bytes(&'a [u8]),
    /// A string that keeps its own allocation, because it is large or will grow.
    Owned(Vec<u8>),
    /// A string that is the canonical text of an integer, kept as the integer.
    Int(i64),
    /// Anything else.
    Object(B),
}

/// A value as an entry holds it.
#[derive(Debug)]
pub enum Held<'a, B> {
    /// A string beside its key.
    Inline(&'a [u8]),
    /// A string with an allocation of its own: large, or changed in place at some time.
    Owned(&'a Vec<u8>),
    /// The integer whose text the string is.
    Int(i64),
    /// Anything else.
    Object(&'a B),
}

/// A key, its value, an optional expiry (ms of the wall clock), an 8-bit mark and 24 bits for eviction's clock. Pointer-sized.
pub struct Entry<B> {
    #[allow(dead_code)]
    at: NonNull<u8>,
    holds: PhantomData<B>,
}

// SAFETY: an entry owns its allocation and what lies in it; it is not Sync, so that `set_mark` may take `&self`.
unsafe impl<B: Send> Send for Entry<B> {}

impl<B> Entry<B> {
    /// An entry for `key`.
    pub fn new(key: &[u8], value: NewValue<'_, B>, expiry_ms: Option<u64>) -> Self {
        let _ = (key, value, expiry_ms);
        todo!()
    }
    /// The key.
    pub fn key(&self) -> &[u8] {
        todo!()
    }
    /// The value.
    pub fn value(&self) -> Held<'_, B> {
        todo!()
    }
    /// The object, when the value is one.
    pub fn object(&self) -> Option<&B> {
        todo!()
    }
    /// The object, when the value is one.
    pub fn object_mut(&mut self) -> Option<&mut B> {
        todo!()
    }
    /// The string as a vector to change in place, moved out of the key's allocation first; `None` when the value is an object.
    pub fn bytes_mut(&mut self) -> Option<&mut Vec<u8>> {
        todo!()
    }
    /// Replaces the value; key, expiry, mark and clock stay.
    pub fn set(&mut self, value: NewValue<'_, B>) {
        let _ = value;
        todo!()
    }
    /// When the key expires, in ms of the wall clock.
    pub fn expiry_ms(&self) -> Option<u64> {
        todo!()
    }
    /// Sets or clears the expiry; the first one moves the entry.
    pub fn set_expiry_ms(&mut self, expiry_ms: Option<u64>) {
        let _ = expiry_ms;
        todo!()
    }
    /// The same value, expiry, mark and clock under another key.
    pub fn with_key(self, key: &[u8]) -> Self {
        let _ = key;
        todo!()
    }
    /// The snapshot's mark; 0 in a new entry.
    pub fn mark(&self) -> u8 {
        todo!()
    }
    /// Sets the mark.
    pub fn set_mark(&self, mark: u8) {
        let _ = mark;
        todo!()
    }
    /// The 24 bits of eviction's clock; 0 in a new entry.
    pub fn clock(&self) -> u32 {
        todo!()
    }
    /// Sets eviction's clock (24 bits are kept).
    pub fn set_clock(&self, clock: u32) {
        let _ = clock;
        todo!()
    }
    /// Bytes of the allocation, and of a string that is held apart; an object's own are not known here.
    pub fn memory(&self) -> usize {
        todo!()
    }
}

impl<B> crate::Keyed for Entry<B> {
    fn key(&self) -> &[u8] {
        Entry::key(self)
    }
}
