//! One key and its value in one thin allocation: what a table of keys holds in a slot.
//!
//! Layout, each part at its natural place in an allocation aligned to 8 bytes:
//!
//! ```text
//! Header (8) | expiry (8, if set) | key length (8, if above 65535) | value cell | key | string, if inline
//! value cell: Inline u32 length · Int i64 · Shared Arc<[u8]> · Owned Vec<u8> · List L · Set S · Hash H · Zset Z
//! ```
//!
//! A key of 16 bytes with a value of 3 takes 31 bytes. A string above `INLINE_MAX` lies in an allocation that counts its owners: whoever
//! sends it to a client holds it as long as that takes, whatever becomes of the key. One that was changed in place keeps an allocation of
//! its own, so that it may grow without moving the key. The key of an entry never changes.
use crate::table::prefetch_line;
use crate::text::{INT_TEXT_MAX, format_int};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// Longest string that is kept beside its key: beyond it the second allocation costs little in proportion.
pub const INLINE_MAX: usize = 1024;

/// A value on its way into an entry.
#[derive(Debug)]
pub enum NewValue<'a, O> {
    /// A string, copied in beside the key unless it is long.
    Bytes(&'a [u8]),
    /// A large string, shared with whoever else holds it.
    Shared(Arc<[u8]>),
    /// A string that keeps its own allocation, because it will grow.
    Owned(Vec<u8>),
    /// A string that is the canonical text of an integer, kept as the integer.
    Int(i64),
    /// Anything else.
    Object(O),
}

/// A value as an entry holds it; `O` is a [`Body`] of references.
#[derive(Debug, PartialEq, Eq)]
pub enum Held<'a, O> {
    /// A string beside its key.
    Inline(&'a [u8]),
    /// A large string that others may hold as well. Its bytes never change while they do.
    Shared(&'a Arc<[u8]>),
    /// A string that was changed in place at some time.
    Owned(&'a Vec<u8>),
    /// The integer whose text the string is.
    Int(i64),
    /// Anything else.
    Object(O),
}

/// One of four types of things that are no strings. Which it is stands in the entry's header, so that its cell has no more than the
/// thing itself; and so four types, by the names that the keyspace has for them, instead of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<L, S, H, Z> {
    /// A list.
    List(L),
    /// A set.
    Set(S),
    /// A hash.
    Hash(H),
    /// A sorted set.
    Zset(Z),
}

/// A key, its value, an optional expiry (ms of the wall clock), an 8-bit mark and 24 bits for eviction's clock. Pointer-sized.
pub struct Entry<L, S, H, Z> {
    at: NonNull<u8>,
    holds: PhantomData<Body<L, S, H, Z>>,
}

// SAFETY: an entry owns its allocation and what lies in it; it is not Sync, so that `set_mark` may take `&self`.
unsafe impl<L: Send, S: Send, H: Send, Z: Send> Send for Entry<L, S, H, Z> {}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Inline,
    Int,
    Shared,
    Owned,
    List,
    Set,
    Hash,
    Zset,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    kind: Kind,
    flags: u8,
    mark: u8,
    clock: [u8; 3],
    /// The key's length, unless `LONG_KEY` says that it has a word of its own.
    key_len: [u8; 2],
}

const HAS_EXPIRY: u8 = 1;
const LONG_KEY: u8 = 2;
/// Longest key whose length fits the header.
const SHORT_KEY_MAX: usize = u16::MAX as usize;
const ALIGN: usize = 8;
const WORD: usize = 8;

/// Where the parts of an allocation lie, in bytes from its start.
#[derive(Clone, Copy)]
struct Shape {
    value: usize,
    key: usize,
    key_len: usize,
    /// Where an inline string begins, and where the key ends.
    tail: usize,
}

impl<L, S, H, Z> Entry<L, S, H, Z> {
    const CELL_FITS: () = {
        let fits = align_of::<L>() <= ALIGN && align_of::<S>() <= ALIGN;
        assert!(
            fits && align_of::<H>() <= ALIGN && align_of::<Z>() <= ALIGN,
            "an object is aligned to 8 bytes at most"
        );
    };

    /// An entry for `key`. A `Bytes` above `INLINE_MAX` becomes `Shared`.
    pub fn new(key: &[u8], value: NewValue<'_, Body<L, S, H, Z>>, expiry_ms: Option<u64>) -> Self {
        let header = Header { kind: Kind::Int, flags: 0, mark: 0, clock: [0; 3], key_len: [0; 2] };
        Self::build(header, key, value, expiry_ms)
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        let shape = self.shape();
        // SAFETY: the key lies there since `build` and never changes.
        unsafe { std::slice::from_raw_parts(self.part(shape.key), shape.key_len) }
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> Held<'_, Body<&L, &S, &H, &Z>> {
        let shape = self.shape();
        // SAFETY: the header's kind says what `build` or `set` wrote into the cell; the borrow of self keeps it there.
        unsafe {
            let cell = self.part(shape.value);
            match self.header().kind {
                Kind::Inline => Held::Inline(std::slice::from_raw_parts(self.part(shape.tail), cell_len(cell))),
                Kind::Int => Held::Int(cell.cast::<i64>().read()),
                Kind::Shared => Held::Shared(&*cell.cast()),
                Kind::Owned => Held::Owned(&*cell.cast()),
                Kind::List => Held::Object(Body::List(&*cell.cast())),
                Kind::Set => Held::Object(Body::Set(&*cell.cast())),
                Kind::Hash => Held::Object(Body::Hash(&*cell.cast())),
                Kind::Zset => Held::Object(Body::Zset(&*cell.cast())),
            }
        }
    }

    /// The object, when the value is one.
    pub fn object(&self) -> Option<Body<&L, &S, &H, &Z>> {
        match self.value() {
            Held::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The object, when the value is one.
    pub fn object_mut(&mut self) -> Option<Body<&mut L, &mut S, &mut H, &mut Z>> {
        let cell = self.part(self.shape().value);
        // SAFETY: the kind says what the cell holds, and `&mut self` that nobody else looks at it.
        unsafe {
            match self.header().kind {
                Kind::Inline | Kind::Int | Kind::Shared | Kind::Owned => None,
                Kind::List => Some(Body::List(&mut *cell.cast())),
                Kind::Set => Some(Body::Set(&mut *cell.cast())),
                Kind::Hash => Some(Body::Hash(&mut *cell.cast())),
                Kind::Zset => Some(Body::Zset(&mut *cell.cast())),
            }
        }
    }

    /// The string as a vector to change in place, copied out of the key's or the shared allocation first; `None` when the value is an object.
    pub fn bytes_mut(&mut self) -> Option<&mut Vec<u8>> {
        let moved = match self.value() {
            Held::Object(_) => return None,
            Held::Owned(_) => None,
            Held::Inline(bytes) => Some(bytes.to_vec()),
            Held::Shared(bytes) => Some(bytes.to_vec()),
            Held::Int(value) => Some(format_int(value, &mut [0; INT_TEXT_MAX]).to_vec()),
        };
        if let Some(moved) = moved {
            self.set(NewValue::Owned(moved));
        }
        // SAFETY: the kind is Owned now, or was before; `&mut self` excludes other references.
        Some(unsafe { &mut *self.part(self.shape().value).cast() })
    }

    /// Replaces the value; key, expiry, mark and clock stay.
    pub fn set(&mut self, value: NewValue<'_, Body<L, S, H, Z>>) {
        let cell = self.part(self.shape().value);
        match (self.header().kind, value) {
            // SAFETY: the kind says what the cell holds; here and below an assignment through its type drops the old value.
            (Kind::Int, NewValue::Int(new)) => unsafe { cell.cast::<i64>().write(new) },
            // SAFETY: as above.
            (Kind::Owned, NewValue::Owned(new)) => unsafe { *cell.cast::<Vec<u8>>() = new },
            (Kind::Inline, NewValue::Bytes(new)) if new.len() <= INLINE_MAX => self.set_inline(new),
            (Kind::Shared, NewValue::Bytes(new)) if new.len() > INLINE_MAX => {
                // SAFETY: as above, and `&mut self` excludes other references.
                let held = unsafe { &mut *cell.cast::<Arc<[u8]>>() };
                match Arc::get_mut(held) {
                    Some(old) if old.len() == new.len() => old.copy_from_slice(new),
                    _ => *held = Arc::from(new),
                }
            }
            // SAFETY: as above.
            (Kind::Shared, NewValue::Shared(new)) => unsafe { *cell.cast::<Arc<[u8]>>() = new },
            (_, value) => *self = Self::build(self.header(), self.key(), value, self.expiry_ms()),
        }
    }

    /// When the key expires, in ms of the wall clock.
    #[inline]
    pub fn expiry_ms(&self) -> Option<u64> {
        // SAFETY: the flag says that the first word holds an expiry.
        (self.header().flags & HAS_EXPIRY != 0).then(|| unsafe { self.part(size_of::<Header>()).cast::<u64>().read() })
    }

    /// Sets or clears the expiry. Setting the first and clearing move the entry.
    pub fn set_expiry_ms(&mut self, expiry_ms: Option<u64>) {
        match (self.expiry_ms(), expiry_ms) {
            (None, None) => {}
            // SAFETY: the flag says that there is a word for it.
            (Some(_), Some(new)) => unsafe { self.part(size_of::<Header>()).cast::<u64>().write(new) },
            _ => self.rebuild(None, expiry_ms),
        }
    }

    /// The same value, expiry, mark and clock under another key.
    pub fn with_key(mut self, key: &[u8]) -> Self {
        self.rebuild(Some(key), self.expiry_ms());
        self
    }

    /// The snapshot's mark; 0 in a new entry.
    pub fn mark(&self) -> u8 {
        self.header().mark
    }

    /// Sets the mark.
    pub fn set_mark(&self, mark: u8) {
        // SAFETY: only ever read as a copy; no reference into the header exists, and the entry is not Sync.
        unsafe { (*self.at.as_ptr().cast::<Header>()).mark = mark };
    }

    /// The 24 bits of eviction's clock; 0 in a new entry.
    pub fn clock(&self) -> u32 {
        let [low, middle, high] = self.header().clock;
        u32::from_le_bytes([low, middle, high, 0])
    }

    /// Sets eviction's clock (24 bits are kept).
    pub fn set_clock(&self, clock: u32) {
        let [low, middle, high, _] = clock.to_le_bytes();
        // SAFETY: as in `set_mark`.
        unsafe { (*self.at.as_ptr().cast::<Header>()).clock = [low, middle, high] };
    }

    /// Bytes of the allocation, and of a string that is held apart; an object's own are not known here.
    pub fn memory(&self) -> usize {
        let apart = match self.value() {
            Held::Shared(bytes) => bytes.len() + 2 * size_of::<usize>(), // two counts stand before the bytes
            Held::Owned(bytes) => bytes.capacity(),
            Held::Inline(_) | Held::Int(_) | Held::Object(_) => 0,
        };
        self.layout().size() + apart
    }

    #[inline]
    fn header(&self) -> Header {
        // SAFETY: every entry begins with a header.
        unsafe { self.at.as_ptr().cast::<Header>().read() }
    }

    #[inline]
    fn part(&self, offset: usize) -> *mut u8 {
        // SAFETY: offsets come from this entry's shape, inside its allocation.
        unsafe { self.at.as_ptr().add(offset) }
    }

    #[inline]
    fn shape(&self) -> Shape {
        let header = self.header();
        let mut value = size_of::<Header>();
        if header.flags & HAS_EXPIRY != 0 {
            value += WORD;
        }
        let key_len = if header.flags & LONG_KEY == 0 {
            usize::from(u16::from_le_bytes(header.key_len))
        } else {
            value += WORD;
            // SAFETY: the flag says that this word holds the key's length.
            unsafe { self.part(value - WORD).cast::<usize>().read() }
        };
        let key = value + Self::cell_size(header.kind);
        Shape { value, key, key_len, tail: key + key_len }
    }

    fn layout(&self) -> Layout {
        let shape = self.shape();
        let inline = match self.header().kind {
            // SAFETY: an inline string's cell is its length.
            Kind::Inline => unsafe { cell_len(self.part(shape.value)) },
            _ => 0,
        };
        layout(shape.tail + inline)
    }

    fn cell_size(kind: Kind) -> usize {
        match kind {
            Kind::Inline => size_of::<u32>(),
            Kind::Int => size_of::<i64>(),
            Kind::Shared => size_of::<Arc<[u8]>>(),
            Kind::Owned => size_of::<Vec<u8>>(),
            Kind::List => size_of::<L>(),
            Kind::Set => size_of::<S>(),
            Kind::Hash => size_of::<H>(),
            Kind::Zset => size_of::<Z>(),
        }
    }

    /// A new allocation with everything in it; `old` gives mark and clock.
    fn build(old: Header, key: &[u8], value: NewValue<'_, Body<L, S, H, Z>>, expiry_ms: Option<u64>) -> Self {
        const { Self::CELL_FITS };
        let value = match value {
            NewValue::Bytes(bytes) if bytes.len() > INLINE_MAX => NewValue::Shared(Arc::from(bytes)),
            value => value,
        };
        let (kind, inline) = match &value {
            NewValue::Bytes(bytes) => (Kind::Inline, bytes.len()),
            NewValue::Int(_) => (Kind::Int, 0),
            NewValue::Shared(_) => (Kind::Shared, 0),
            NewValue::Owned(_) => (Kind::Owned, 0),
            NewValue::Object(Body::List(_)) => (Kind::List, 0),
            NewValue::Object(Body::Set(_)) => (Kind::Set, 0),
            NewValue::Object(Body::Hash(_)) => (Kind::Hash, 0),
            NewValue::Object(Body::Zset(_)) => (Kind::Zset, 0),
        };
        let long_key = key.len() > SHORT_KEY_MAX;
        let words = usize::from(expiry_ms.is_some()) + usize::from(long_key);
        let cell = size_of::<Header>() + words * WORD;
        let key_at = cell + Self::cell_size(kind);
        let flags = if expiry_ms.is_some() { HAS_EXPIRY } else { 0 } | if long_key { LONG_KEY } else { 0 };
        let key_len = if long_key { [0; 2] } else { (key.len() as u16).to_le_bytes() };
        let layout = layout(key_at + key.len() + inline);
        // SAFETY: the allocation has room for every part, each written at the offset at which `shape` will find it, words and cell
        // aligned to 8 because header, words and ALIGN are.
        unsafe {
            let at = NonNull::new(alloc(layout)).unwrap_or_else(|| handle_alloc_error(layout));
            let part = |offset: usize| at.as_ptr().add(offset);
            part(0).cast::<Header>().write(Header { kind, flags, key_len, ..old });
            if let Some(expiry_ms) = expiry_ms {
                part(size_of::<Header>()).cast::<u64>().write(expiry_ms);
            }
            if long_key {
                part(cell - WORD).cast::<usize>().write(key.len());
            }
            match value {
                NewValue::Bytes(bytes) => {
                    part(cell).cast::<u32>().write(bytes.len() as u32);
                    ptr::copy_nonoverlapping(bytes.as_ptr(), part(key_at + key.len()), bytes.len());
                }
                NewValue::Int(value) => part(cell).cast::<i64>().write(value),
                NewValue::Shared(bytes) => part(cell).cast::<Arc<[u8]>>().write(bytes),
                NewValue::Owned(bytes) => part(cell).cast::<Vec<u8>>().write(bytes),
                NewValue::Object(Body::List(list)) => part(cell).cast::<L>().write(list),
                NewValue::Object(Body::Set(set)) => part(cell).cast::<S>().write(set),
                NewValue::Object(Body::Hash(hash)) => part(cell).cast::<H>().write(hash),
                NewValue::Object(Body::Zset(zset)) => part(cell).cast::<Z>().write(zset),
            }
            ptr::copy_nonoverlapping(key.as_ptr(), part(key_at), key.len());
            Entry { at, holds: PhantomData }
        }
    }

    /// Overwrites an inline string, resizing the allocation where the length changes.
    fn set_inline(&mut self, new: &[u8]) {
        let (old, shape) = (self.layout(), self.shape());
        let wanted = layout(shape.tail + new.len());
        // SAFETY: `old` is the layout of this allocation; what precedes the tail survives a realloc, and the tail has room for `new`.
        unsafe {
            if wanted.size() != old.size() {
                let at = realloc(self.at.as_ptr(), old, wanted.size());
                self.at = NonNull::new(at).unwrap_or_else(|| handle_alloc_error(wanted));
            }
            self.part(shape.value).cast::<u32>().write(new.len() as u32);
            ptr::copy_nonoverlapping(new.as_ptr(), self.part(shape.tail), new.len());
        }
    }

    /// Moves the value into a new allocation with another key or expiry.
    fn rebuild(&mut self, key: Option<&[u8]>, expiry_ms: Option<u64>) {
        let cell = self.part(self.shape().value);
        // SAFETY: the value is moved out bitwise, as the kind says, and the old allocation is freed without dropping it.
        unsafe {
            let value = match self.value() {
                Held::Inline(bytes) => NewValue::Bytes(bytes),
                Held::Int(value) => NewValue::Int(value),
                Held::Shared(_) => NewValue::Shared(cell.cast::<Arc<[u8]>>().read()),
                Held::Owned(_) => NewValue::Owned(cell.cast::<Vec<u8>>().read()),
                Held::Object(Body::List(_)) => NewValue::Object(Body::List(cell.cast::<L>().read())),
                Held::Object(Body::Set(_)) => NewValue::Object(Body::Set(cell.cast::<S>().read())),
                Held::Object(Body::Hash(_)) => NewValue::Object(Body::Hash(cell.cast::<H>().read())),
                Held::Object(Body::Zset(_)) => NewValue::Object(Body::Zset(cell.cast::<Z>().read())),
            };
            let new = Self::build(self.header(), key.unwrap_or(self.key()), value, expiry_ms);
            let old = ManuallyDrop::new(std::mem::replace(self, new));
            dealloc(old.at.as_ptr(), old.layout());
        }
    }
}

/// # Safety
/// `cell` is the value cell of an inline string.
unsafe fn cell_len(cell: *const u8) -> usize {
    // SAFETY: the caller's promise.
    unsafe { cell.cast::<u32>().read() as usize }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, ALIGN).expect("a key and a value fit the address space")
}

impl<L, S, H, Z> Drop for Entry<L, S, H, Z> {
    fn drop(&mut self) {
        let (kind, layout, cell) = (self.header().kind, self.layout(), self.part(self.shape().value));
        // SAFETY: the kind says what the cell holds; afterwards nobody looks at the allocation.
        unsafe {
            match kind {
                Kind::Inline | Kind::Int => {}
                Kind::Shared => ptr::drop_in_place(cell.cast::<Arc<[u8]>>()),
                Kind::Owned => ptr::drop_in_place(cell.cast::<Vec<u8>>()),
                Kind::List => ptr::drop_in_place(cell.cast::<L>()),
                Kind::Set => ptr::drop_in_place(cell.cast::<S>()),
                Kind::Hash => ptr::drop_in_place(cell.cast::<H>()),
                Kind::Zset => ptr::drop_in_place(cell.cast::<Z>()),
            }
            dealloc(self.at.as_ptr(), layout);
        }
    }
}

/// A collection whose elements lie in an allocation of their own.
pub trait Apart {
    /// Asks the processor for the begin of that allocation, without waiting.
    fn prefetch(&self);
}

/// Cache lines of a string that `reach` asks for; the processor finds the others by itself, since they are read in order.
const REACHED: usize = 4;
const LINE: usize = 64;

impl<L: Apart, S: Apart, H: Apart, Z: Apart> Entry<L, S, H, Z> {
    fn reach_value(&self) {
        let text = match self.value() {
            Held::Inline(text) => text,
            Held::Shared(text) => text,
            Held::Owned(text) => text,
            Held::Int(_) => return,
            Held::Object(Body::List(list)) => return list.prefetch(),
            Held::Object(Body::Set(set)) => return set.prefetch(),
            Held::Object(Body::Hash(hash)) => return hash.prefetch(),
            Held::Object(Body::Zset(zset)) => return zset.prefetch(),
        };
        if let Some(last) = text.last() {
            let lines = text.iter().step_by(LINE).take(REACHED).chain(std::iter::once(last));
            lines.for_each(|byte| prefetch_line(byte));
        }
    }
}

impl<L: Apart, S: Apart, H: Apart, Z: Apart> crate::Keyed for Entry<L, S, H, Z> {
    #[inline]
    fn key(&self) -> &[u8] {
        Entry::key(self)
    }

    #[inline]
    fn touch(&self) {
        std::hint::black_box(self.header().flags);
    }

    #[inline]
    fn reach(&self) {
        self.reach_value();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::rc::Rc;

    /// The obvious entry: each part a field of its own.
    #[derive(Debug, Clone)]
    struct Model {
        key: Vec<u8>,
        value: Value,
        expiry_ms: Option<u64>,
    }

    #[derive(Debug, Clone)]
    enum Value {
        Text(Vec<u8>),
        Shared(Vec<u8>),
        Owned(Vec<u8>),
        Int(i64),
        Object(u32),
    }

    #[derive(Debug, Clone)]
    enum Step {
        Set(Value),
        Append(Vec<u8>),
        Expire(Option<u64>),
        Rename(Vec<u8>),
    }

    /// Objects of four sizes that count their owners, so that a leak or a double drop shows.
    type List = (Rc<()>, u32);
    type Set = Box<List>;
    type Hash = (List, u64);
    type Zset = Vec<List>;
    type Tested = Entry<List, Set, Hash, Zset>;

    fn new_value<'a>(value: &'a Value, owner: &Rc<()>) -> NewValue<'a, Body<List, Set, Hash, Zset>> {
        match value {
            Value::Text(text) => NewValue::Bytes(text),
            Value::Shared(text) => NewValue::Shared(Arc::from(&text[..])),
            Value::Owned(text) => NewValue::Owned(text.clone()),
            Value::Int(value) => NewValue::Int(*value),
            Value::Object(number) => {
                let list = (owner.clone(), *number);
                NewValue::Object(match number % 4 {
                    0 => Body::List(list),
                    1 => Body::Set(Box::new(list)),
                    2 => Body::Hash((list, 9)),
                    _ => Body::Zset(vec![list]),
                })
            }
        }
    }

    fn number_of(object: Body<&List, &Set, &Hash, &Zset>) -> u32 {
        match object {
            Body::List(list) => list.1,
            Body::Set(set) => set.1,
            Body::Hash((list, nine)) if *nine == 9 => list.1,
            Body::Zset(zset) if zset.len() == 1 => zset[0].1,
            Body::Hash(_) | Body::Zset(_) => panic!("{object:?}"),
        }
    }

    fn number_mut<'a>(object: Body<&'a mut List, &'a mut Set, &'a mut Hash, &'a mut Zset>) -> &'a mut u32 {
        match object {
            Body::List(list) => &mut list.1,
            Body::Set(set) => &mut set.1,
            Body::Hash(hash) => &mut hash.0.1,
            Body::Zset(zset) => &mut zset[0].1,
        }
    }

    #[track_caller]
    fn check(entry: &Tested, model: &Model) {
        assert_eq!(entry.key(), model.key);
        assert_eq!(entry.expiry_ms(), model.expiry_ms);
        assert_eq!((entry.mark(), entry.clock()), (0xa5, 0x00c0_ffee));
        match (entry.value(), &model.value) {
            (Held::Inline(held), Value::Text(text)) if text.len() <= INLINE_MAX => assert_eq!(held, text),
            (Held::Shared(held), Value::Text(text)) if text.len() > INLINE_MAX => assert_eq!(held[..], text[..]),
            (Held::Shared(held), Value::Shared(text)) => assert_eq!(held[..], text[..]),
            (Held::Owned(held), Value::Owned(text)) => assert_eq!(held, text),
            (Held::Int(held), Value::Int(value)) => assert_eq!(held, *value),
            (Held::Object(held), Value::Object(number)) => assert_eq!(number_of(held), *number),
            (held, wanted) => panic!("{held:?} for {wanted:?}"),
        }
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            8 => prop::collection::vec(any::<u8>(), 0..60),
            1 => prop::collection::vec(any::<u8>(), INLINE_MAX - 2..INLINE_MAX + 3),
            1 => (65_530..65_540usize).prop_map(|length| vec![b'x'; length]),
        ]
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            text().prop_map(Value::Text),
            text().prop_map(Value::Shared),
            text().prop_map(Value::Owned),
            any::<i64>().prop_map(Value::Int),
            any::<u32>().prop_map(Value::Object),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => value().prop_map(Step::Set),
            1 => text().prop_map(Step::Append),
            2 => any::<Option<u64>>().prop_map(Step::Expire),
            1 => text().prop_map(Step::Rename),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn behaves_like_its_parts(key in text(), first in value(), steps in prop::collection::vec(step(), 0..12)) {
            let owner = Rc::new(());
            let mut entry = Tested::new(&key, new_value(&first, &owner), None);
            entry.set_mark(0xa5);
            entry.set_clock(0xffc0_ffee);
            let mut model = Model { key, value: first, expiry_ms: None };
            for step in steps {
                match step {
                    Step::Set(value) => {
                        entry.set(new_value(&value, &owner));
                        model.value = value;
                    }
                    Step::Append(more) => {
                        let held = match &model.value {
                            Value::Text(text) | Value::Shared(text) | Value::Owned(text) => Some(text.clone()),
                            Value::Int(value) => Some(value.to_string().into_bytes()),
                            Value::Object(_) => None,
                        };
                        match (entry.bytes_mut(), held) {
                            (Some(bytes), Some(mut held)) => {
                                bytes.extend_from_slice(&more);
                                held.extend_from_slice(&more);
                                model.value = Value::Owned(held);
                            }
                            (None, None) => {
                                let Value::Object(number) = &mut model.value else { unreachable!() };
                                *number ^= 4;
                                *number_mut(entry.object_mut().expect("an object")) ^= 4;
                            }
                            (found, wanted) => panic!("{found:?} for {wanted:?}"),
                        }
                    }
                    Step::Expire(expiry_ms) => {
                        entry.set_expiry_ms(expiry_ms);
                        model.expiry_ms = expiry_ms;
                    }
                    Step::Rename(key) => {
                        entry = entry.with_key(&key);
                        model.key = key;
                    }
                }
                check(&entry, &model);
            }
            let holds_object = entry.object().is_some();
            prop_assert_eq!(Rc::strong_count(&owner), 1 + usize::from(holds_object));
            drop(entry);
            prop_assert_eq!(Rc::strong_count(&owner), 1);
        }
    }

    #[test]
    fn whoever_holds_a_shared_string_sees_no_change() {
        let check = |what: &str, change: &dyn Fn(&mut Tested)| {
            let old = vec![b'a'; INLINE_MAX + 1];
            let mut entry = Tested::new(b"key", NewValue::Bytes(&old), None);
            let Held::Shared(shared) = entry.value() else { panic!("{what}: {:?}", entry.value()) };
            let held = Arc::clone(shared);
            change(&mut entry);
            assert_eq!(held[..], old, "{what}");
            drop(entry);
            assert_eq!(Arc::strong_count(&held), 1, "{what}");
        };
        check("changed in place", &|entry| entry.bytes_mut().expect("a string")[0] = b'b');
        check("overwritten, as long", &|entry| entry.set(NewValue::Bytes(&[b'b'; INLINE_MAX + 1])));
        check("overwritten, longer", &|entry| entry.set(NewValue::Bytes(&[b'b'; INLINE_MAX + 2])));
        check("overwritten, short", &|entry| entry.set(NewValue::Bytes(b"b")));
        check("moved", &|entry| entry.set_expiry_ms(Some(1)));
    }

    #[test]
    fn a_string_that_nobody_else_holds_is_overwritten_where_it_lies() {
        let mut entry = Tested::new(b"key", NewValue::Bytes(&[b'a'; INLINE_MAX + 1]), None);
        let place = |entry: &Tested| match entry.value() {
            Held::Shared(bytes) => bytes.as_ptr(),
            other => panic!("{other:?}"),
        };
        let before = place(&entry);
        entry.set(NewValue::Bytes(&[b'b'; INLINE_MAX + 1]));
        assert_eq!((place(&entry), entry.value()), (before, Held::Shared(&Arc::from([b'b'; INLINE_MAX + 1]))));
    }

    #[test]
    fn is_as_thin_as_the_header_says() {
        let entry = Tested::new(b"key:000000000000", NewValue::Bytes(b"xxx"), None);
        assert_eq!(entry.memory(), 31);
        assert_eq!(size_of::<Tested>(), 8);
        assert_eq!(size_of::<Header>(), 8);
    }
}
