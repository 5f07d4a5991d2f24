//! What one database holds: a table of entries, and the order in which some expire.

use crate::value::new_text;
use crate::{DbIndex, Hash, Limits, List, Set, StrRef, Text, UnixMs, Value, ValueRef, Zset, deadlines::Deadlines};
use quorate_collections::{Body, Entry, Held, NewValue, Table};
use std::sync::Arc;

/// A collection.
pub type Object = Body<List, Set, Hash, Zset>;
/// A collection in its entry.
pub type ObjectRef<'a> = Body<&'a List, &'a Set, &'a Hash, &'a Zset>;
/// A collection in its entry, to change.
pub type ObjectMut<'a> = Body<&'a mut List, &'a mut Set, &'a mut Hash, &'a mut Zset>;

/// A key with its value, expiry, access bits and snapshot mark.
pub type Slot = Entry<List, Set, Hash, Zset>;

/// How far a snapshot has walked a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// On its way: the table's cursor.
    At(u64),
    /// Every key that was here when the snapshot began is written.
    Done,
}

/// The contents of one database.
///
/// Invariant: `deadlines` holds exactly the slots of `table` that have an expiry.
pub struct Store {
    pub table: Table<Slot>,
    pub deadlines: Deadlines,
    /// Where the unmarked keys were when the running snapshot began.
    pub origin: DbIndex,
    pub walk: Walk,
}

impl Store {
    pub fn new(limits: &Limits, index: DbIndex) -> Self {
        Self { table: Table::new(limits.seed), deadlines: Deadlines::default(), origin: index, walk: Walk::Done }
    }

    /// Puts a slot under a key that is absent.
    pub fn add(&mut self, slot: Slot) {
        self.add_hashed(self.table.hash(slot.key()), slot);
    }

    /// The same with the key's hash.
    pub fn add_hashed(&mut self, hash: u64, slot: Slot) {
        self.deadlines.change(slot.key(), None, expiry(&slot));
        self.table.insert_absent(hash, slot);
    }

    /// Takes out the slot of a key whose hash is known.
    pub fn take(&mut self, hash: u64, key: &[u8]) -> Option<Slot> {
        let slot = self.table.remove_hashed(hash, key)?;
        self.deadlines.change(key, expiry(&slot), None);
        Some(slot)
    }

    /// Changes the expiry of a slot that is here.
    pub fn expire(&mut self, key: &[u8], at: Option<UnixMs>) {
        let slot = self.table.get_mut(key).expect("the caller found it");
        let old = expiry(slot);
        slot.set_expiry_ms(at.map(|at| at.0));
        self.deadlines.change(key, old, at);
    }
}

/// When a slot expires.
pub fn expiry(slot: &Slot) -> Option<UnixMs> {
    slot.expiry_ms().map(UnixMs)
}

/// What a slot holds.
pub fn value(slot: &Slot) -> ValueRef<'_> {
    match slot.value() {
        Held::Inline(bytes) => ValueRef::String(StrRef::Bytes(bytes)),
        Held::Shared(bytes) => ValueRef::String(StrRef::Bytes(bytes)),
        Held::Owned(bytes) => ValueRef::String(StrRef::Bytes(bytes)),
        Held::Int(number) => ValueRef::String(StrRef::Int(number)),
        Held::Object(Body::List(list)) => ValueRef::List(list),
        Held::Object(Body::Set(set)) => ValueRef::Set(set),
        Held::Object(Body::Hash(hash)) => ValueRef::Hash(hash),
        Held::Object(Body::Zset(zset)) => ValueRef::Zset(zset),
    }
}

/// The string in a slot, if that is what it holds.
#[inline]
pub fn text(slot: &Slot) -> Option<Text<'_>> {
    match slot.value() {
        Held::Inline(bytes) => Some(Text::Near(StrRef::Bytes(bytes))),
        Held::Shared(bytes) => Some(Text::Shared(bytes)),
        Held::Owned(bytes) => Some(Text::Near(StrRef::Bytes(bytes))),
        Held::Int(number) => Some(Text::Near(StrRef::Int(number))),
        Held::Object(_) => None,
    }
}

/// The longest string that OBJECT ENCODING calls `embstr`. Source: Redis, OBJ_ENCODING_EMBSTR_SIZE_LIMIT.
const EMBSTR_MAX: usize = 44;

/// The encoding as OBJECT ENCODING names it. A string that was changed in place is `raw` whatever its length.
pub fn encoding(slot: &Slot) -> &'static str {
    match slot.value() {
        Held::Inline(bytes) if bytes.len() <= EMBSTR_MAX => "embstr",
        Held::Inline(_) | Held::Shared(_) | Held::Owned(_) => "raw",
        Held::Int(_) => "int",
        Held::Object(Body::List(list)) => list.encoding_name(),
        Held::Object(Body::Set(set)) => set.encoding_name(),
        Held::Object(Body::Hash(hash)) => hash.encoding_name(),
        Held::Object(Body::Zset(zset)) => zset.encoding_name(),
    }
}

/// A copy of a slot's value; a large string is shared, not copied.
pub fn duplicate(slot: &Slot) -> NewValue<'_, Object> {
    match slot.value() {
        Held::Inline(bytes) => NewValue::Bytes(bytes),
        Held::Shared(bytes) => NewValue::Shared(Arc::clone(bytes)),
        Held::Owned(bytes) => NewValue::Owned(bytes.clone()),
        Held::Int(number) => NewValue::Int(number),
        Held::Object(object) => NewValue::Object(match object {
            Body::List(list) => Body::List(list.clone()),
            Body::Set(set) => Body::Set(set.clone()),
            Body::Hash(hash) => Body::Hash(hash.clone()),
            Body::Zset(zset) => Body::Zset(zset.clone()),
        }),
    }
}

/// Elements of a collection.
pub fn elements(object: ObjectRef<'_>) -> usize {
    match object {
        Body::List(list) => list.len(),
        Body::Set(set) => set.len(),
        Body::Hash(hash) => hash.len(),
        Body::Zset(zset) => zset.len(),
    }
}

/// Bytes of a collection beyond its place in the entry.
pub fn memory(object: ObjectRef<'_>) -> usize {
    match object {
        Body::List(list) => list.memory(),
        Body::Set(set) => set.memory(),
        Body::Hash(hash) => hash.memory(),
        Body::Zset(zset) => zset.memory(),
    }
}

/// How a value lies in an entry; `None` for a collection without elements.
pub fn with_new_value<R>(value: Value, with: impl FnOnce(Option<NewValue<'_, Object>>) -> R) -> R {
    let object = match value {
        Value::Bytes(bytes) => return with(Some(new_text(&bytes))),
        Value::Int(number) => return with(Some(NewValue::Int(number))),
        Value::List(list) => (!list.is_empty()).then_some(Object::List(list)),
        Value::Set(set) => (!set.is_empty()).then_some(Object::Set(set)),
        Value::Hash(hash) => (!hash.is_empty()).then_some(Object::Hash(hash)),
        Value::Zset(zset) => (!zset.is_empty()).then_some(Object::Zset(zset)),
    };
    with(object.map(NewValue::Object))
}

/// A collection type: how it is made and found.
pub trait Collection: Sized {
    /// An empty one.
    fn make() -> Object;
    /// It, if the object is one.
    fn of(object: ObjectRef<'_>) -> Option<&Self>;
    /// It, if the object is one.
    fn of_mut(object: ObjectMut<'_>) -> Option<&mut Self>;
}

macro_rules! collection {
    ($name:ident) => {
        impl Collection for $name {
            fn make() -> Object {
                Object::$name($name::new())
            }
            fn of(object: ObjectRef<'_>) -> Option<&Self> {
                if let Body::$name(it) = object { Some(it) } else { None }
            }
            fn of_mut(object: ObjectMut<'_>) -> Option<&mut Self> {
                if let Body::$name(it) = object { Some(it) } else { None }
            }
        }
    };
}
collection!(List);
collection!(Set);
collection!(Hash);
collection!(Zset);
