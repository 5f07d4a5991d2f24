//! One database, as commands see it.

use crate::{DbIndex, Discarded, Hash, Keyspace, Kind, List, Set, StrRef, UnixMs, Value, ValueRef, WrongType, Zset};
use std::time::Duration;

/// What a write does to the key's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// The key lives until it is deleted.
    Clear,
    /// As it was (KEEPTTL); a new key does not expire.
    Keep,
    /// It expires then.
    At(UnixMs),
}

/// May COPY overwrite its destination?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// The destination must be absent.
    No,
    /// Whatever is there goes.
    Yes,
}

/// What COPY came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// There is no such source key.
    NoSource,
    /// The destination exists and [`Replace::No`] was said.
    Exists,
    /// The destination now holds a copy.
    Done,
}

/// A view of one database of a keyspace, made anew for each command. A key whose time has come is absent here,
/// as [`ExpiryMode`](crate::ExpiryMode) says. Reading a value counts as an access (OBJECT IDLETIME, FREQ)
/// except where a method says otherwise.
pub struct Db<'k> {
    keyspace: &'k mut Keyspace,
    index: DbIndex,
}

impl<'k> Db<'k> {
    /// Which database this is.
    pub fn index(&self) -> DbIndex {
        self.index
    }

    /// The clock of this turn.
    pub fn now(&self) -> UnixMs {
        self.keyspace.now()
    }

    /// The keyspace around this database.
    pub fn keyspace(&mut self) -> &mut Keyspace {
        self.keyspace
    }

    /// A view of another database of the same keyspace, for as long as it is borrowed.
    pub fn other(&mut self, index: DbIndex) -> Db<'_> {
        self.keyspace.db(index)
    }

    /// Keys stored, those that wait to be expired included (DBSIZE).
    pub fn len(&self) -> usize {
        self.keyspace.sizes(self.index).0
    }

    /// Whether no key is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Brings the key's table bucket into the cache, ahead of a batch of commands.
    pub fn prefetch(&self, key: &[u8]) {
        todo!("{key:?}")
    }

    /// Whether the key exists.
    pub fn contains(&self, key: &[u8]) -> bool {
        todo!("{key:?}")
    }

    /// The key's value.
    pub fn value(&self, key: &[u8]) -> Option<ValueRef<'_>> {
        todo!("{key:?}")
    }

    /// The key's value, without counting as an access (OBJECT, TYPE, DUMP, SCAN's TYPE).
    pub fn peek(&self, key: &[u8]) -> Option<ValueRef<'_>> {
        todo!("{key:?}")
    }

    /// The key's type, without counting as an access.
    pub fn kind(&self, key: &[u8]) -> Option<Kind> {
        self.peek(key).map(|value| value.kind())
    }

    /// A string to read.
    pub fn string(&self, key: &[u8]) -> Result<Option<StrRef<'_>>, WrongType> {
        todo!("{key:?}")
    }

    /// A list to read.
    pub fn list(&self, key: &[u8]) -> Result<Option<&List>, WrongType> {
        todo!("{key:?}")
    }

    /// A set to read.
    pub fn set(&self, key: &[u8]) -> Result<Option<&Set>, WrongType> {
        todo!("{key:?}")
    }

    /// A hash to read.
    pub fn hash(&self, key: &[u8]) -> Result<Option<&Hash>, WrongType> {
        todo!("{key:?}")
    }

    /// A sorted set to read.
    pub fn zset(&self, key: &[u8]) -> Result<Option<&Zset>, WrongType> {
        todo!("{key:?}")
    }

    /// The bytes of a string to change in place (APPEND, SETRANGE, SETBIT), created empty when absent.
    /// Its encoding becomes `raw`; use [`put`](Db::put) to store an integer.
    pub fn string_mut(&mut self, key: &[u8]) -> Result<&mut Vec<u8>, WrongType> {
        todo!("{key:?}")
    }

    /// A list to change, created empty when absent.
    pub fn list_mut(&mut self, key: &[u8]) -> Result<&mut List, WrongType> {
        todo!("{key:?}")
    }

    /// A set to change, created empty when absent.
    pub fn set_mut(&mut self, key: &[u8]) -> Result<&mut Set, WrongType> {
        todo!("{key:?}")
    }

    /// A hash to change, created empty when absent.
    pub fn hash_mut(&mut self, key: &[u8]) -> Result<&mut Hash, WrongType> {
        todo!("{key:?}")
    }

    /// A sorted set to change, created empty when absent.
    pub fn zset_mut(&mut self, key: &[u8]) -> Result<&mut Zset, WrongType> {
        todo!("{key:?}")
    }

    /// The bytes of a string to change in place, if it exists.
    pub fn string_existing_mut(&mut self, key: &[u8]) -> Result<Option<&mut Vec<u8>>, WrongType> {
        todo!("{key:?}")
    }

    /// A list to change, if it exists.
    pub fn list_existing_mut(&mut self, key: &[u8]) -> Result<Option<&mut List>, WrongType> {
        todo!("{key:?}")
    }

    /// A set to change, if it exists.
    pub fn set_existing_mut(&mut self, key: &[u8]) -> Result<Option<&mut Set>, WrongType> {
        todo!("{key:?}")
    }

    /// A hash to change, if it exists.
    pub fn hash_existing_mut(&mut self, key: &[u8]) -> Result<Option<&mut Hash>, WrongType> {
        todo!("{key:?}")
    }

    /// A sorted set to change, if it exists.
    pub fn zset_existing_mut(&mut self, key: &[u8]) -> Result<Option<&mut Zset>, WrongType> {
        todo!("{key:?}")
    }

    /// Stores a value of any type under the key, whatever it held; true when the key existed. An empty
    /// collection removes the key instead.
    pub fn put(&mut self, key: &[u8], value: impl Into<Value>, ttl: Ttl) -> bool {
        todo!("{key:?} {:?} {ttl:?}", value.into())
    }

    /// Stores a string under the key, whatever it held; true when the key existed. An integer's canonical text is kept as a number.
    pub fn put_string(&mut self, key: &[u8], text: &[u8], ttl: Ttl) -> bool {
        todo!("{key:?} {text:?} {ttl:?}")
    }

    /// Removes the key; true when it existed.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        self.unlink(key).is_some()
    }

    /// Removes the key and hands its memory out, to be freed elsewhere.
    pub fn unlink(&mut self, key: &[u8]) -> Option<Discarded> {
        todo!("{key:?}")
    }

    /// Removes the key if it holds a collection without elements; true when it did.
    pub fn remove_if_empty(&mut self, key: &[u8]) -> bool {
        todo!("{key:?}")
    }

    /// Gives the key's value and expiry a new name; `None` when there is no such key, else whether `to` existed
    /// and was overwritten. Renaming a key to itself changes nothing.
    pub fn rename(&mut self, from: &[u8], to: &[u8]) -> Option<bool> {
        todo!("{from:?} {to:?}")
    }

    /// Copies value and expiry of `from` to `to` in database `into`.
    pub fn copy(&mut self, from: &[u8], into: DbIndex, to: &[u8], replace: Replace) -> Copied {
        todo!("{from:?} {into:?} {to:?} {replace:?}")
    }

    /// Moves the key to another database; false when it does not exist or exists there.
    pub fn move_to(&mut self, key: &[u8], into: DbIndex) -> bool {
        todo!("{key:?} {into:?}")
    }

    /// When the key expires: `None` for no such key, `Some(None)` for one that does not expire. No access.
    pub fn expiry(&self, key: &[u8]) -> Option<Option<UnixMs>> {
        todo!("{key:?}")
    }

    /// Lets the key expire at `at`, were it past; false when there is no such key.
    pub fn set_expiry(&mut self, key: &[u8], at: UnixMs) -> bool {
        todo!("{key:?} {at:?}")
    }

    /// Takes the key's expiry away; false when there was none, or no such key.
    pub fn persist(&mut self, key: &[u8]) -> bool {
        todo!("{key:?}")
    }

    /// A key at random that has not expired.
    pub fn random_key(&self, rng: &mut fastrand::Rng) -> Option<Vec<u8>> {
        todo!("{rng:?}")
    }

    /// One step of SCAN over the keys that have not expired; returns the next cursor, 0 at the end. A key
    /// present from the first step to the last is visited at least once, whatever happens in between.
    pub fn scan(&self, cursor: u64, visit: &mut dyn FnMut(&[u8], ValueRef<'_>)) -> u64 {
        visit(&[], ValueRef::String(StrRef::Int(0)));
        todo!("{cursor}")
    }

    /// Every key that has not expired (KEYS), in no particular order. No access.
    pub fn keys(&self) -> impl Iterator<Item = (&[u8], ValueRef<'_>)> {
        std::iter::empty()
    }

    /// Empties this database and hands the memory out.
    pub fn flush(&mut self) -> Discarded {
        todo!()
    }

    /// The encoding's name (OBJECT ENCODING). No access.
    pub fn encoding(&self, key: &[u8]) -> Option<&'static str> {
        todo!("{key:?}")
    }

    /// Time since the last access (OBJECT IDLETIME). No access.
    pub fn idle(&self, key: &[u8]) -> Option<Duration> {
        todo!("{key:?}")
    }

    /// LFU's logarithmic access counter (OBJECT FREQ). No access.
    pub fn frequency(&self, key: &[u8]) -> Option<u8> {
        todo!("{key:?}")
    }

    /// Bytes that the key and its value take (MEMORY USAGE), an estimate. No access.
    pub fn memory(&self, key: &[u8]) -> Option<usize> {
        todo!("{key:?}")
    }
}
