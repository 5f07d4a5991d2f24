//! One database, as commands see it.

use crate::{
    AccessMeter, DbIndex, Discarded, Hash, KeyHash, Keyspace, Kind, Limits, List, Set, StrRef, Text, Tuned, UnixMs,
    Value, ValueRef, WrongType, Zset,
    access::{self, Access},
    deadlines::Deadlines,
    keyspace::Shared,
    store::{self, Collection, Object, Slot, Store},
    value::new_text,
};
use quorate_collections::{FETCHED, NewValue};
use std::sync::Arc;
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

/// What a key that is to be changed was found to be, with its hash.
enum Found {
    Alive(u64),
    Absent(u64),
}

impl Found {
    fn hash(self) -> u64 {
        let (Found::Alive(hash) | Found::Absent(hash)) = self;
        hash
    }
}

/// A view of one database of a keyspace, made anew for each command. A key whose time has come is absent here,
/// as [`ExpiryMode`](crate::ExpiryMode) says. Reading a value counts as an access (OBJECT IDLETIME, FREQ)
/// except where a method says otherwise.
pub struct Db<'k> {
    keyspace: &'k mut Keyspace,
    index: DbIndex,
}

impl<'k> Db<'k> {
    pub(crate) fn new(keyspace: &'k mut Keyspace, index: DbIndex) -> Self {
        Self { keyspace, index }
    }

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

    /// Brings the key's table bucket into the cache: first step of a batch of commands.
    #[inline]
    pub fn prefetch(&self, key: &[u8]) -> KeyHash {
        let table = &self.store().table;
        let hash = table.hash(key);
        table.prefetch(hash);
        KeyHash::new(key, hash)
    }

    /// Brings the entries themselves into the cache: second step, some work after the first. All keys at once, so that memory
    /// serves them side by side.
    pub fn fetch(&self, hashes: &[KeyHash]) {
        let table = &self.store().table;
        for some in hashes.chunks(FETCHED) {
            table.fetch(some.iter().map(|hash| hash.hash));
        }
    }

    /// Whether the key exists.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.read(key).is_some()
    }

    /// Whether the key exists, counted as a lookup but not as an access (EXISTS).
    pub fn exists(&self, key: &[u8]) -> bool {
        let found = self.find(key).is_some();
        self.keyspace.shared().looked_up(found);
        found
    }

    /// The key's value.
    #[inline]
    pub fn value(&self, key: &[u8]) -> Option<ValueRef<'_>> {
        self.read(key).map(store::value)
    }

    /// The key's value, without counting as an access (OBJECT, TYPE, DUMP, SCAN's TYPE).
    pub fn peek(&self, key: &[u8]) -> Option<ValueRef<'_>> {
        self.find(key).map(store::value)
    }

    /// The key's type, without counting as an access.
    pub fn kind(&self, key: &[u8]) -> Option<Kind> {
        self.peek(key).map(|value| value.kind())
    }

    /// A string to read.
    #[inline]
    pub fn string(&self, key: &[u8]) -> Result<Option<StrRef<'_>>, WrongType> {
        match self.value(key) {
            None => Ok(None),
            Some(ValueRef::String(text)) => Ok(Some(text)),
            Some(_) => Err(WrongType),
        }
    }

    /// A string to read, or to take a reference to if it is large.
    #[inline]
    pub fn text(&self, key: &[u8]) -> Result<Option<Text<'_>>, WrongType> {
        match self.read(key) {
            None => Ok(None),
            Some(slot) => store::text(slot).map(Some).ok_or(WrongType),
        }
    }

    /// A list to read.
    pub fn list(&self, key: &[u8]) -> Result<Option<&List>, WrongType> {
        self.collection(key)
    }

    /// A set to read.
    pub fn set(&self, key: &[u8]) -> Result<Option<&Set>, WrongType> {
        self.collection(key)
    }

    /// A hash to read.
    pub fn hash(&self, key: &[u8]) -> Result<Option<&Hash>, WrongType> {
        self.collection(key)
    }

    /// A sorted set to read.
    pub fn zset(&self, key: &[u8]) -> Result<Option<&Zset>, WrongType> {
        self.collection(key)
    }

    /// The bytes of a string to change in place (APPEND, SETRANGE, SETBIT), created empty when absent.
    /// Its encoding becomes `raw`; use [`put`](Db::put) to store an integer.
    pub fn string_mut(&mut self, key: &[u8]) -> Result<&mut Vec<u8>, WrongType> {
        let hash = self.before_change(key).hash();
        let (store, shared) = self.keyspace.parts(self.index);
        let make = || shared.born(key, NewValue::Owned(Vec::new()), None);
        let (slot, _) = store.table.find_or_insert_hashed(hash, key, make);
        shared.touch(slot);
        slot.bytes_mut().ok_or(WrongType)
    }

    /// A list to change, created empty when absent.
    pub fn list_mut(&mut self, key: &[u8]) -> Result<Tuned<'_, List>, WrongType> {
        self.collection_mut(key)
    }

    /// A set to change, created empty when absent.
    pub fn set_mut(&mut self, key: &[u8]) -> Result<Tuned<'_, Set>, WrongType> {
        self.collection_mut(key)
    }

    /// A hash to change, created empty when absent.
    pub fn hash_mut(&mut self, key: &[u8]) -> Result<Tuned<'_, Hash>, WrongType> {
        self.collection_mut(key)
    }

    /// A sorted set to change, created empty when absent.
    pub fn zset_mut(&mut self, key: &[u8]) -> Result<Tuned<'_, Zset>, WrongType> {
        self.collection_mut(key)
    }

    /// The bytes of a string to change in place, if it exists.
    pub fn string_existing_mut(&mut self, key: &[u8]) -> Result<Option<&mut Vec<u8>>, WrongType> {
        match self.slot_mut(key) {
            None => Ok(None),
            Some(slot) => slot.bytes_mut().map(Some).ok_or(WrongType),
        }
    }

    /// A list to change, if it exists.
    pub fn list_existing_mut(&mut self, key: &[u8]) -> Result<Option<Tuned<'_, List>>, WrongType> {
        self.collection_existing_mut(key)
    }

    /// A set to change, if it exists.
    pub fn set_existing_mut(&mut self, key: &[u8]) -> Result<Option<Tuned<'_, Set>>, WrongType> {
        self.collection_existing_mut(key)
    }

    /// A hash to change, if it exists.
    pub fn hash_existing_mut(&mut self, key: &[u8]) -> Result<Option<Tuned<'_, Hash>>, WrongType> {
        self.collection_existing_mut(key)
    }

    /// A sorted set to change, if it exists.
    pub fn zset_existing_mut(&mut self, key: &[u8]) -> Result<Option<Tuned<'_, Zset>>, WrongType> {
        self.collection_existing_mut(key)
    }

    /// Stores a value of any type under the key, whatever it held; true when the key existed. An empty
    /// collection removes the key instead.
    pub fn put(&mut self, key: &[u8], value: impl Into<Value>, ttl: Ttl) -> bool {
        store::with_new_value(value.into(), |value| match value {
            Some(value) => self.place(key, value, ttl),
            None => self.remove(key),
        })
    }

    /// Stores a string under the key, whatever it held; true when the key existed. An integer's canonical text is kept as a number.
    pub fn put_string(&mut self, key: &[u8], text: &[u8], ttl: Ttl) -> bool {
        self.place(key, new_text(text), ttl)
    }

    /// The same for a string that others may hold, too, and that is longer than any number's text. It is not copied.
    pub fn put_shared(&mut self, key: &[u8], text: Arc<[u8]>, ttl: Ttl) -> bool {
        self.place(key, NewValue::Shared(text), ttl)
    }

    /// Removes the key; true when it existed.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        self.take(key).is_some()
    }

    /// Removes the key and hands its memory out, to be freed elsewhere.
    pub fn unlink(&mut self, key: &[u8]) -> Option<Discarded> {
        self.take(key).map(Discarded::slot)
    }

    /// Removes the key if it holds a collection without elements; true when it did.
    pub fn remove_if_empty(&mut self, key: &[u8]) -> bool {
        let slot = self.store().table.get_hashed(self.keyspace.shared().hash(key), key);
        let empty = slot.and_then(Slot::object).is_some_and(|object| store::elements(object) == 0);
        empty && self.remove(key)
    }

    /// Gives the key's value and expiry a new name; `None` when there is no such key, else whether `to` existed
    /// and was overwritten. Renaming a key to itself changes nothing.
    pub fn rename(&mut self, from: &[u8], to: &[u8]) -> Option<bool> {
        if from == to {
            return self.contains(from).then_some(true);
        }
        let slot = self.take(from)?;
        let existed = self.remove(to);
        self.add(slot.with_key(to));
        Some(existed)
    }

    /// Copies value and expiry of `from` to `to` in database `into`, another key than the source.
    pub fn copy(&mut self, from: &[u8], into: DbIndex, to: &[u8], replace: Replace) -> Copied {
        assert!((self.index, from) != (into, to), "a key is not copied onto itself");
        if !self.contains(from) {
            return Copied::NoSource;
        }
        let exists = self.other(into).find(to).is_some();
        if exists && replace == Replace::No {
            return Copied::Exists;
        }
        self.other(into).remove(to);
        let slot = self.find(from).expect("just seen");
        let copy = self.keyspace.shared().born(to, store::duplicate(slot), store::expiry(slot));
        self.other(into).add(copy);
        Copied::Done
    }

    /// Moves the key to another database; false when it does not exist or exists there.
    pub fn move_to(&mut self, key: &[u8], into: DbIndex) -> bool {
        if into == self.index || !self.contains(key) || self.other(into).find(key).is_some() {
            return false;
        }
        let slot = self.take(key).expect("just seen");
        let mut other = self.other(into);
        other.remove_dead(key);
        other.add(slot);
        true
    }

    /// When the key expires: `None` for no such key, `Some(None)` for one that does not expire. No access.
    pub fn expiry(&self, key: &[u8]) -> Option<Option<UnixMs>> {
        self.find(key).map(store::expiry)
    }

    /// Lets the key expire at `at`, were it past; false when there is no such key.
    pub fn set_expiry(&mut self, key: &[u8], at: UnixMs) -> bool {
        let exists = matches!(self.before_change(key), Found::Alive(_));
        if exists {
            self.keyspace.parts(self.index).0.expire(key, Some(at));
        }
        exists
    }

    /// Takes the key's expiry away; false when there was none, or no such key.
    pub fn persist(&mut self, key: &[u8]) -> bool {
        let expires = matches!(self.expiry(key), Some(Some(_)));
        if expires {
            self.before_change(key);
            self.keyspace.parts(self.index).0.expire(key, None);
        }
        expires
    }

    /// A key at random that has not expired.
    pub fn random_key(&self, rng: &mut fastrand::Rng) -> Option<Vec<u8>> {
        const TRIES: usize = 100; // then most keys have expired, and a walk finds what is left
        let table = &self.store().table;
        let shared = self.keyspace.shared();
        for _ in 0..TRIES {
            let slot = table.random(rng)?;
            if !shared.is_dead(slot) {
                return Some(slot.key().to_vec());
            }
            shared.note(self.index, slot.key());
        }
        self.keys().next().map(|(key, _)| key.to_vec())
    }

    /// One step of SCAN over the keys that have not expired; returns the next cursor, 0 at the end. A key
    /// present from the first step to the last is visited at least once, whatever happens in between.
    pub fn scan(&self, cursor: u64, visit: &mut dyn FnMut(&[u8], ValueRef<'_>)) -> u64 {
        let shared = self.keyspace.shared();
        self.store().table.scan(cursor, &mut |slot| {
            if shared.is_dead(slot) {
                shared.note(self.index, slot.key());
            } else {
                visit(slot.key(), store::value(slot));
            }
        })
    }

    /// Every key that has not expired (KEYS), in no particular order. No access.
    pub fn keys(&self) -> impl Iterator<Item = (&[u8], ValueRef<'_>)> {
        let shared = self.keyspace.shared();
        let live = self.store().table.iter().filter(|slot| !shared.is_dead(slot));
        live.map(|slot| (slot.key(), store::value(slot)))
    }

    /// Empties this database and hands the memory out.
    pub fn flush(&mut self) -> Discarded {
        self.keyspace.flush(self.index)
    }

    /// The encoding's name (OBJECT ENCODING). No access.
    pub fn encoding(&self, key: &[u8]) -> Option<&'static str> {
        self.find(key).map(store::encoding)
    }

    /// Time since the last access (OBJECT IDLETIME); zero while frequency is measured. No access.
    pub fn idle(&self, key: &[u8]) -> Option<Duration> {
        let Shared { access, now, .. } = self.keyspace.shared();
        self.find(key).map(|slot| access.idle(slot.clock(), *now))
    }

    /// LFU's logarithmic access counter (OBJECT FREQ); 0 while recency is measured. No access.
    pub fn frequency(&self, key: &[u8]) -> Option<u8> {
        let Shared { access, now, .. } = self.keyspace.shared();
        self.find(key).map(|slot| access.count(slot.clock(), *now))
    }

    /// The key was last accessed so long ago (RESTORE's IDLETIME); nothing while frequency is measured.
    pub fn set_idle(&mut self, key: &[u8], idle: Duration) {
        let shared = self.keyspace.shared();
        if let (Some(slot), AccessMeter::Recency) = (self.find(key), shared.access.meter) {
            slot.set_clock(Access::idle_bits(idle, shared.now));
        }
    }

    /// The key's access counter (RESTORE's FREQ); nothing while recency is measured.
    pub fn set_frequency(&mut self, key: &[u8], count: u8) {
        let shared = self.keyspace.shared();
        if let (Some(slot), AccessMeter::Frequency { .. }) = (self.find(key), shared.access.meter) {
            slot.set_clock(access::count_bits(shared.now, count));
        }
    }

    /// Bytes that the key and its value take (MEMORY USAGE), an estimate. No access.
    pub fn memory(&self, key: &[u8]) -> Option<usize> {
        const TABLE_SHARE: usize = 64 / 7 + 1; // a bucket of 64 bytes has room for 7 entries
        let slot = self.find(key)?;
        let object = slot.object().map_or(0, store::memory);
        let deadline = store::expiry(slot).map_or(0, |_| Deadlines::memory_of(key));
        Some(slot.memory() + object + deadline + TABLE_SHARE)
    }

    fn store(&self) -> &Store {
        self.keyspace.store(self.index)
    }

    /// The key's slot, if its time has not come.
    #[inline]
    fn find(&self, key: &[u8]) -> Option<&Slot> {
        let shared = self.keyspace.shared();
        let slot = self.store().table.get_hashed(shared.hash(key), key)?;
        if shared.is_dead(slot) {
            shared.note(self.index, key);
            return None;
        }
        Some(slot)
    }

    /// The same, as an access.
    #[inline]
    fn read(&self, key: &[u8]) -> Option<&Slot> {
        let found = self.find(key);
        let shared = self.keyspace.shared();
        shared.looked_up(found.is_some());
        let slot = found?;
        shared.touch(slot);
        Some(slot)
    }

    /// What comes before each change of a key: an expired one goes, a live one is shown to the snapshot.
    #[inline]
    fn before_change(&mut self, key: &[u8]) -> Found {
        let (store, shared) = self.keyspace.parts(self.index);
        let hash = shared.hash(key);
        let Some(slot) = store.table.get_hashed(hash, key) else { return Found::Absent(hash) };
        if shared.is_dead(slot) {
            shared.reap(store, self.index, key);
            return Found::Absent(hash);
        }
        shared.recorder.before_change(store.origin, slot);
        Found::Alive(hash)
    }

    /// An expired key makes way for a new one.
    fn remove_dead(&mut self, key: &[u8]) {
        let (store, shared) = self.keyspace.parts(self.index);
        if store.table.get_hashed(shared.hash(key), key).is_some_and(|slot| shared.is_dead(slot)) {
            shared.reap(store, self.index, key);
        }
    }

    /// The slot of a key to change.
    fn slot_mut(&mut self, key: &[u8]) -> Option<&mut Slot> {
        let Found::Alive(hash) = self.before_change(key) else { return None };
        let (store, shared) = self.keyspace.parts(self.index);
        let slot = store.table.get_mut_hashed(hash, key)?;
        shared.touch(slot);
        Some(slot)
    }

    /// Takes a key's slot out of the database.
    fn take(&mut self, key: &[u8]) -> Option<Slot> {
        let Found::Alive(hash) = self.before_change(key) else { return None };
        self.keyspace.parts(self.index).0.take(hash, key)
    }

    /// Puts a slot that was just born or taken, so that a running snapshot has it, under a key that is absent.
    fn add(&mut self, slot: Slot) {
        self.keyspace.parts(self.index).0.add(slot);
    }

    fn place(&mut self, key: &[u8], value: NewValue<'_, Object>, ttl: Ttl) -> bool {
        let (store, shared) = self.keyspace.parts(self.index);
        let hash = shared.hash(key);
        let Some(slot) = store.table.get_mut_hashed(hash, key).filter(|slot| !shared.is_dead(slot)) else {
            self.place_new(hash, key, value, ttl);
            return false;
        };
        shared.recorder.before_change(store.origin, slot);
        slot.set(value);
        shared.touch(slot);
        match ttl {
            Ttl::Keep => {}
            Ttl::Clear if slot.expiry_ms().is_none() => {}
            Ttl::Clear => store.expire(key, None),
            Ttl::At(at) => store.expire(key, Some(at)),
        }
        true
    }

    /// Puts a value under a key that is absent or dead.
    fn place_new(&mut self, hash: u64, key: &[u8], value: NewValue<'_, Object>, ttl: Ttl) {
        self.remove_dead(key);
        let (store, shared) = self.keyspace.parts(self.index);
        let at = match ttl {
            Ttl::At(at) => Some(at),
            Ttl::Clear | Ttl::Keep => None,
        };
        store.add_hashed(hash, shared.born(key, value, at));
    }

    fn collection<T: Collection>(&self, key: &[u8]) -> Result<Option<&T>, WrongType> {
        let Some(slot) = self.read(key) else { return Ok(None) };
        slot.object().and_then(T::of).map(Some).ok_or(WrongType)
    }

    fn collection_mut<T: Collection>(&mut self, key: &[u8]) -> Result<Tuned<'_, T>, WrongType> {
        let hash = self.before_change(key).hash();
        let (store, shared) = self.keyspace.parts(self.index);
        let make = || shared.born(key, NewValue::Object(T::make()), None);
        let (slot, _) = store.table.find_or_insert_hashed(hash, key, make);
        shared.touch(slot);
        to_collection(slot, &shared.limits)
    }

    fn collection_existing_mut<T: Collection>(&mut self, key: &[u8]) -> Result<Option<Tuned<'_, T>>, WrongType> {
        let Found::Alive(hash) = self.before_change(key) else { return Ok(None) };
        let (store, shared) = self.keyspace.parts(self.index);
        let Some(slot) = store.table.get_mut_hashed(hash, key) else { return Ok(None) };
        shared.touch(slot);
        to_collection(slot, &shared.limits).map(Some)
    }
}

/// The collection in a slot, with the thresholds of today.
fn to_collection<'s, T: Collection>(slot: &'s mut Slot, limits: &'s Limits) -> Result<Tuned<'s, T>, WrongType> {
    let collection = slot.object_mut().and_then(T::of_mut).ok_or(WrongType)?;
    Ok(Tuned::new(collection, limits))
}
