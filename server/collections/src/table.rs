//! The hash table under every large collection and the keyspace itself: linear hashing over cache-line buckets.
//!
//! A bucket is one cache line: seven elements of pointer size, a one-byte tag of each element's hash, and a count. A full
//! bucket keeps six and turns its seventh slot into the address of an overflow bucket. A lookup reads one line, and then
//! only elements whose tag agrees.
//!
//! The table has any number of buckets, not a power of two: `size` lies in `N..2N`. Buckets below `size - N` and above
//! `N - 1` are *split* and use one more bit of the hash than the others. An insertion into a table that is too full splits
//! one bucket, a removal from one that is too empty merges up to two: no operation ever waits for a rehash, and there is
//! never a second table to look into. Buckets live in segments of 256 KB that come and go singly, so that neither the
//! allocation of a huge table nor its zeroing or release falls on one operation.
//!
//! Invariants: in a chain every bucket but the last holds six elements and a child, the last holds at least two unless it is the
//! only one; a tag is 0 exactly where a slot holds no element; `segments` covers exactly `size` buckets (the first segment alone
//! may be short: a power of two of at least `size` buckets).
//!
//! Not here: iteration while the table changes (use `scan`), several threads.
use crate::HashSeed;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

/// Elements a bucket: a cache line of 64 bytes less the head, in pointers.
const LANES: usize = 7;
/// Where a chained bucket keeps its child.
const CHILD: usize = LANES - 1;
/// Buckets a segment: 256 KB of pointer-sized elements.
const SEGMENT: usize = 1 << SEGMENT_BITS;
const SEGMENT_BITS: u32 = 12;
/// Elements a bucket, on average, above which an insertion splits one. Costs 13 bytes an element and chains about a tenth of the buckets.
const LOAD_MAX: usize = 5;
/// A removal merges buckets while there are fewer than `SPARSE_ELEMENTS` elements for every `SPARSE_BUCKETS` buckets: a quarter of
/// `LOAD_MAX`, so that a table at rest neither grows nor shrinks in turn.
const SPARSE_ELEMENTS: usize = 5;
const SPARSE_BUCKETS: usize = 4;
/// Merges a removal: two, so that shrinking outruns the removals that cause it.
const MERGES: usize = 2;
/// `random` accepts a lane of a bucket as likely as any of so many; longer chains are slightly disfavoured.
const RANDOM_LANES: usize = 16;
/// Tries of `random` before it takes the next best element: failing all has a probability below 1e-4 at the lowest load.
const RANDOM_TRIES: usize = 128;

/// Buckets that `scan_many` looks at together: their elements are about as many as the processor has reads under way at once.
pub const SCANNED: usize = 16;

/// Keys that `fetch` asks for together.
pub const FETCHED: usize = 32;

/// What a table needs to know of its elements.
pub trait Keyed {
    /// The bytes that identify the element. They must not change while it is in a table.
    fn key(&self) -> &[u8];

    /// Reads something of the place where the key lies, so that it is in the cache for whoever comes next.
    fn touch(&self) {}

    /// Asks for what is read of the element beside that place. Some work after `touch`.
    fn reach(&self) {}
}

/// A slot holds an element where its tag is not 0; slot `CHILD` of a chained bucket holds the child.
union Slot<E> {
    element: ManuallyDrop<E>,
    child: *mut Bucket<E>,
}

/// All zero is an empty bucket.
#[repr(C, align(64))]
struct Bucket<E> {
    /// Byte 0: count of elements, and `CHAINED`. Byte 1 + n: the tag of slot n.
    head: u64,
    slots: [Slot<E>; LANES],
}

const CHAINED: u64 = 0x80;
const COUNT: u64 = 0x0f;

impl<E> Bucket<E> {
    const LAYOUT: Layout = Layout::new::<Self>();

    fn count(&self) -> usize {
        (self.head & COUNT) as usize
    }

    fn child(&self) -> Option<*mut Bucket<E>> {
        if self.head & CHAINED == 0 {
            return None;
        }
        // SAFETY: a chained bucket's slot CHILD was written as a child.
        Some(unsafe { self.slots[CHILD].child })
    }

    fn tag(&self, lane: usize) -> u8 {
        (self.head >> (8 + 8 * lane)) as u8
    }

    fn set_tag(&mut self, lane: usize, tag: u8) {
        let shift = 8 + 8 * lane;
        self.head = self.head & !(0xff << shift) | u64::from(tag) << shift;
    }

    /// Adds to a bucket that is not full and not chained.
    fn push(&mut self, tag: u8, element: ManuallyDrop<E>) -> usize {
        let lane = self.count();
        self.slots[lane].element = element;
        self.set_tag(lane, tag);
        self.head += 1;
        lane
    }

    /// Takes the last element of a bucket that is not chained and not empty, with its tag.
    fn pop(&mut self) -> (u8, ManuallyDrop<E>) {
        let lane = self.count() - 1;
        let tag = self.tag(lane);
        self.set_tag(lane, 0);
        self.head -= 1;
        // SAFETY: lanes below the count hold elements; the tag is gone, so nobody will read this one again.
        (tag, unsafe { ptr::read(&self.slots[lane].element) })
    }

    /// The lanes whose tag is `tag`: bit 7 of byte n for lane n. Exact: an empty lane's tag is 0 and `tag` is not.
    fn lanes_tagged(&self, tag: u8) -> u64 {
        const LOW: u64 = 0x0101_0101_0101_0101;
        const REST: u64 = 0x7f7f_7f7f_7f7f_7f7f;
        let differs = (self.head >> 8) ^ (LOW * u64::from(tag));
        !(((differs & REST) + REST) | differs | REST)
    }
}

/// Are two keys the same? Most are of 8 to 32 bytes: two overlapping reads of a fixed length spare a call.
#[inline]
fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match (a.first_chunk::<16>(), a.last_chunk::<16>(), b.first_chunk::<16>(), b.last_chunk::<16>()) {
        (Some(first), Some(last), Some(b_first), Some(b_last)) if a.len() <= 32 => first == b_first && last == b_last,
        _ => match (a.first_chunk::<8>(), a.last_chunk::<8>(), b.first_chunk::<8>(), b.last_chunk::<8>()) {
            (Some(first), Some(last), Some(b_first), Some(b_last)) if a.len() <= 16 => {
                first == b_first && last == b_last
            }
            _ => a == b,
        },
    }
}

/// The byte of a hash that a bucket keeps; never 0.
fn tag_of(hash: u64) -> u8 {
    ((hash >> 56) as u8).max(1)
}

/// Asks the processor for the cache line at an address, without waiting.
#[inline]
pub(crate) fn prefetch_line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address is a hint and never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// A set of elements, each found by its key.
pub struct Table<E> {
    seed: HashSeed,
    segments: Vec<NonNull<Bucket<E>>>,
    /// Buckets that the first segment has room for; all others have `SEGMENT`.
    first_capacity: usize,
    /// Buckets in use.
    size: usize,
    /// `N - 1`, N being the power of two with `N <= size < 2N` (0 while the table is empty).
    low: usize,
    len: usize,
    /// Overflow buckets.
    chained: usize,
    holds: PhantomData<E>,
}

// SAFETY: a table owns its buckets and elements; nothing is shared between tables.
unsafe impl<E: Send> Send for Table<E> {}

impl<E> Table<E> {
    /// An empty table; allocates nothing.
    pub fn new(seed: HashSeed) -> Self {
        Table { seed, segments: Vec::new(), first_capacity: 0, size: 0, low: 0, len: 0, chained: 0, holds: PhantomData }
    }

    /// The seed it hashes with.
    pub fn seed(&self) -> HashSeed {
        self.seed
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No elements?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of the buckets (elements not included).
    pub fn memory(&self) -> usize {
        let segments = self.segments.len().saturating_sub(1) * SEGMENT + self.first_capacity;
        (segments + self.chained) * size_of::<Bucket<E>>() + self.segments.capacity() * size_of::<usize>()
    }

    /// The hash of a key, for the `_hashed` functions and for prefetching.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.seed.hash(key)
    }

    /// Asks the processor for the bucket of `hash`, without waiting: for where other work follows, and then `fetch`.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        if self.size > 0 {
            prefetch_line(self.bucket(self.index(hash)).cast());
        }
    }

    /// All elements, in no order.
    pub fn iter(&self) -> Iter<'_, E> {
        Iter { walk: Walk::new(self), holds: PhantomData }
    }

    /// All elements, in no order. Their keys must stay as they are.
    pub fn iter_mut(&mut self) -> IterMut<'_, E> {
        IterMut { walk: Walk::new(self), holds: PhantomData }
    }

    /// Drops every element and bucket.
    pub fn clear(&mut self) {
        *self = Table::new(self.seed);
    }

    /// Shows the elements of one bucket to `visit` and returns the cursor of the next; begins with 0, ends with 0.
    /// Every element that is in the table from the first call to the last is seen, however the table grows or shrinks in between;
    /// some may be seen twice.
    ///
    /// The cursor counts with its bits reversed. A bucket that uses n bits of the hash holds the hashes whose n lowest bits,
    /// reversed, begin a binary fraction: an interval of 0..1. The cursor is a point in 0..1 below which all is seen; growth halves
    /// intervals and shrinking joins them, and the point keeps its meaning.
    pub fn scan(&self, cursor: u64, visit: &mut dyn FnMut(&E)) -> u64 {
        if self.size == 0 {
            return 0;
        }
        let index = self.index(cursor);
        let mut bucket = Some(self.bucket(index));
        while let Some(at) = bucket {
            // SAFETY: `at` is a bucket of this table, which stays as it is while `visit` borrows its elements.
            let shown = unsafe { &*at };
            for slot in &shown.slots[..shown.count()] {
                // SAFETY: slots below the count hold elements.
                visit(unsafe { &slot.element });
            }
            bucket = shown.child();
        }
        self.after(cursor, index)
    }

    /// The cursor behind that of a bucket.
    fn after(&self, cursor: u64, index: usize) -> u64 {
        let mask = if self.is_split(index) { 2 * self.low + 1 } else { self.low };
        (cursor | !(mask as u64)).reverse_bits().wrapping_add(1).reverse_bits()
    }

    /// One element, all as good as equally likely.
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<&E> {
        if self.len <= RANDOM_LANES {
            return if self.len == 0 { None } else { self.iter().nth(rng.usize(..self.len)) };
        }
        for _ in 0..RANDOM_TRIES {
            let index = rng.usize(..self.size);
            let held = self.chain_len(index);
            let lane = rng.usize(..RANDOM_LANES.max(held));
            if lane < held {
                return self.chain_iter(index).nth(lane);
            }
        }
        let start = rng.usize(..self.size);
        (start..self.size).chain(0..start).find_map(|index| self.chain_iter(index).next())
    }

    #[inline]
    fn index(&self, hash: u64) -> usize {
        let index = hash as usize & (2 * self.low + 1);
        if index < self.size { index } else { index & self.low }
    }

    /// Does this bucket use one more bit of the hash than `low` has?
    fn is_split(&self, index: usize) -> bool {
        index > self.low || index + self.low + 1 < self.size
    }

    #[inline]
    fn bucket(&self, index: usize) -> *mut Bucket<E> {
        debug_assert!(index < self.size);
        // SAFETY: `segments` covers every index below `size`, and all callers take theirs from `index` or from 0..size.
        unsafe { self.segments[index >> SEGMENT_BITS].as_ptr().add(index & (SEGMENT - 1)) }
    }

    fn chain_len(&self, index: usize) -> usize {
        let (mut count, mut bucket) = (0, Some(self.bucket(index)));
        while let Some(at) = bucket {
            // SAFETY: a bucket of this table, borrowed for this statement.
            let shown = unsafe { &*at };
            count += shown.count();
            bucket = shown.child();
        }
        count
    }

    fn chain_iter(&self, index: usize) -> impl Iterator<Item = &E> {
        let walk = Walk { table: self, next_index: self.size, bucket: self.bucket(index), lane: 0 };
        Iter { walk, holds: PhantomData }
    }

    /// Adds to the chain of `index`; returns where the element went.
    fn put(&mut self, index: usize, tag: u8, element: ManuallyDrop<E>) -> *mut E {
        let mut at = self.bucket(index);
        // SAFETY: every bucket reached is this table's, and `&mut self` makes this the only reference.
        unsafe {
            while let Some(child) = (*at).child() {
                at = child;
            }
            if (*at).count() == LANES {
                let child = alloc_buckets::<E>(1).as_ptr();
                self.chained += 1;
                let (moved_tag, moved) = (*at).pop();
                (*child).push(moved_tag, moved);
                (*at).slots[CHILD].child = child;
                (*at).head |= CHAINED;
                at = child;
            }
            let lane = (*at).push(tag, element);
            (&raw mut (*at).slots[lane]).cast()
        }
    }

    /// Takes the element out of `lane` of `bucket`, a bucket of the chain that begins at `first`, and closes the gap with the chain's last.
    ///
    /// # Safety
    /// `first` is a bucket of this table's array, `bucket` in its chain, and `lane` holds an element.
    unsafe fn take(&mut self, first: *mut Bucket<E>, bucket: *mut Bucket<E>, lane: usize) -> E {
        let (mut tail, mut parent) = (first, ptr::null_mut::<Bucket<E>>());
        // SAFETY: the chain's buckets are this table's alone; the caller vouches for `lane`. `pop` and `push` keep tags and counts.
        unsafe {
            while let Some(child) = (*tail).child() {
                (parent, tail) = (tail, child);
            }
            let is_last = tail == bucket && lane == (*tail).count() - 1;
            let (tag, last) = (*tail).pop();
            let taken = if is_last {
                last
            } else {
                let taken = ptr::read(&(*bucket).slots[lane].element);
                (*bucket).slots[lane].element = last;
                (*bucket).set_tag(lane, tag);
                taken
            };
            if !parent.is_null() && (*tail).count() == 1 {
                let (tag, last) = (*tail).pop();
                (*parent).head &= !CHAINED;
                (*parent).push(tag, last);
                self.free_overflow(tail);
            }
            ManuallyDrop::into_inner(taken)
        }
    }

    /// # Safety
    /// `bucket` is an overflow bucket that nothing points to any more; its elements have been moved out.
    unsafe fn free_overflow(&mut self, bucket: *mut Bucket<E>) {
        self.chained -= 1;
        // SAFETY: allocated by `alloc_buckets(1)`, whose layout this is.
        unsafe { dealloc(bucket.cast(), Bucket::<E>::LAYOUT) };
    }

    /// Empties the chain of `index` into `each`, element by element with its tag.
    fn drain_chain(&mut self, index: usize, each: &mut dyn FnMut(&mut Self, u8, ManuallyDrop<E>)) {
        let first = self.bucket(index);
        // SAFETY: the head is copied out and zeroed before `each` may add to the same bucket, so every element has one owner;
        // children are freed once their elements are moved.
        unsafe {
            let mut held = ManuallyDrop::new(ptr::read(first));
            (*first).head = 0;
            loop {
                let child = held.child();
                for lane in 0..held.count() {
                    let element = ptr::read(&held.slots[lane].element);
                    each(self, held.tag(lane), element);
                }
                let Some(child) = child else { return };
                held = ManuallyDrop::new(ptr::read(child));
                self.free_overflow(child);
            }
        }
    }

    /// Makes room for bucket number `size`.
    fn extend(&mut self) {
        if self.segments.is_empty() {
            self.segments.push(alloc_buckets(1));
            self.first_capacity = 1;
        } else if self.first_capacity < SEGMENT && self.size == self.first_capacity {
            self.resize_first(self.first_capacity * 2);
        } else if self.size == self.segments.len() << SEGMENT_BITS {
            self.segments.push(alloc_buckets(SEGMENT));
        }
        self.size += 1;
    }

    /// Makes `size` empty buckets of a table that has none.
    fn lay_out(&mut self, size: usize) {
        self.first_capacity = size.next_power_of_two().min(SEGMENT);
        self.segments.push(alloc_buckets(self.first_capacity));
        self.segments.extend((1..size.div_ceil(SEGMENT)).map(|_| alloc_buckets::<E>(SEGMENT)));
        self.size = size;
        self.low = (1 << size.ilog2()) - 1;
    }

    /// Gives back what the buckets from `size` on took.
    fn retract(&mut self) {
        if self.segments.len() > 1 {
            if self.size <= (self.segments.len() - 1) << SEGMENT_BITS {
                let segment = self.segments.pop().expect("more than one");
                // SAFETY: a segment beyond the first has SEGMENT buckets; all were merged away, so they hold nothing.
                unsafe { dealloc(segment.as_ptr().cast(), segment_layout::<E>(SEGMENT)) };
            }
        } else if self.size * 4 <= self.first_capacity {
            self.resize_first(self.first_capacity / 2);
        }
    }

    /// Moves the first segment's buckets, at most 256 KB, into an allocation of another size.
    fn resize_first(&mut self, capacity: usize) {
        let (old, new) = (self.segments[0], alloc_buckets::<E>(capacity));
        // SAFETY: both allocations have room for `size` buckets; a bitwise copy moves them and the old ones are never looked at again.
        unsafe {
            ptr::copy_nonoverlapping(old.as_ptr(), new.as_ptr(), self.size);
            dealloc(old.as_ptr().cast(), segment_layout::<E>(self.first_capacity));
        }
        self.segments[0] = new;
        self.first_capacity = capacity;
    }

    /// Joins the last bucket to the one it was split from. Tags and index suffice: no element is touched.
    fn merge_last(&mut self) {
        if self.size == self.low + 1 {
            self.low >>= 1;
        }
        let last = self.size - 1;
        let into = last & self.low;
        self.drain_chain(last, &mut |table, tag, element| {
            table.put(into, tag, element);
        });
        self.size -= 1;
        self.retract();
    }
}

impl<E: Keyed> Table<E> {
    /// Reads the buckets of these hashes, then the elements that may have them, then asks for what lies beyond: each step of all keys in a row,
    /// [`FETCHED`] of them at most, so that so many reads that do not depend on one another are under way at once. A processor
    /// drops prefetches that come too fast, or that miss its address cache; it drops no read (measured in three runs, 32 blocks of
    /// 1 M at a time: 15–25 ns each with reads, 36–110 with prefetches).
    pub fn fetch(&self, hashes: impl Iterator<Item = u64> + Clone) {
        if self.size == 0 {
            return;
        }
        for hash in hashes.clone().take(FETCHED) {
            // SAFETY: a bucket of this table.
            std::hint::black_box(unsafe { (*self.bucket(self.index(hash))).head });
        }
        let (mut found, mut count) = ([None; FETCHED], 0);
        for hash in hashes.take(FETCHED) {
            // SAFETY: a bucket of this table, borrowed with it.
            let bucket = unsafe { &*self.bucket(self.index(hash)) };
            let mut lanes = bucket.lanes_tagged(tag_of(hash));
            while lanes != 0 {
                // SAFETY: lanes that carry a tag hold elements.
                let element: &E = unsafe { &bucket.slots[lanes.trailing_zeros() as usize / 8].element };
                element.touch();
                if let Some(place) = found.get_mut(count) {
                    *place = Some(element);
                    count += 1;
                }
                lanes &= lanes - 1;
            }
            if let Some(child) = bucket.child() {
                prefetch_line(child.cast());
            }
        }
        found.iter().map_while(|element| *element).for_each(Keyed::reach);
    }

    /// The element of `key`.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&E> {
        self.get_hashed(self.hash(key), key)
    }

    /// The element of `key`, whose hash is known.
    #[inline]
    pub fn get_hashed(&self, hash: u64, key: &[u8]) -> Option<&E> {
        let (bucket, lane) = self.find(hash, key)?;
        // SAFETY: `find` returns a lane that holds an element; the borrow of self lasts as long as the reference.
        Some(unsafe { &(*bucket).slots[lane].element })
    }

    /// The element of `key`. Its key must stay as it is.
    #[inline]
    pub fn get_mut(&mut self, key: &[u8]) -> Option<&mut E> {
        self.get_mut_hashed(self.hash(key), key)
    }

    /// The element of `key`, whose hash is known.
    #[inline]
    pub fn get_mut_hashed(&mut self, hash: u64, key: &[u8]) -> Option<&mut E> {
        let (bucket, lane) = self.find(hash, key)?;
        // SAFETY: as in `get_hashed`, and `&mut self` excludes other references.
        Some(unsafe { &mut (&mut (*bucket).slots)[lane].element })
    }

    /// Is `key` here?
    pub fn contains(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// Adds `element`, or puts it in the place of the one with its key, which is returned.
    pub fn insert(&mut self, element: E) -> Option<E> {
        let hash = self.hash(element.key());
        if let Some(held) = self.get_mut_hashed(hash, element.key()) {
            return Some(std::mem::replace(held, element));
        }
        self.insert_new(hash, element);
        None
    }

    /// Adds an element whose key, of this hash, is known to be absent.
    pub fn insert_absent(&mut self, hash: u64, element: E) {
        debug_assert!(self.get_hashed(hash, element.key()).is_none(), "the key was absent");
        self.insert_new(hash, element);
    }

    /// The element of `key`, made by `make` when absent (it must have that key); true when it was made.
    pub fn find_or_insert(&mut self, key: &[u8], make: impl FnOnce() -> E) -> (&mut E, bool) {
        self.find_or_insert_hashed(self.hash(key), key, make)
    }

    /// The same with the key's hash.
    pub fn find_or_insert_hashed(&mut self, hash: u64, key: &[u8], make: impl FnOnce() -> E) -> (&mut E, bool) {
        let (at, made) = match self.find(hash, key) {
            // SAFETY: the lane holds an element of this table.
            Some((bucket, lane)) => (unsafe { (&raw mut (*bucket).slots[lane]).cast::<E>() }, false),
            None => {
                let element = make();
                debug_assert_eq!(element.key(), key);
                (self.insert_new(hash, element), true)
            }
        };
        // SAFETY: `at` is the address of an element of this table, borrowed mutably with `self`.
        (unsafe { &mut *at }, made)
    }

    /// Removes the element of `key`.
    pub fn remove(&mut self, key: &[u8]) -> Option<E> {
        self.remove_hashed(self.hash(key), key)
    }

    /// The same with the key's hash.
    pub fn remove_hashed(&mut self, hash: u64, key: &[u8]) -> Option<E> {
        let (bucket, lane) = self.find(hash, key)?;
        let first = self.bucket(self.index(hash));
        // SAFETY: `find` searched the chain that begins at `first`.
        let taken = unsafe { self.take(first, bucket, lane) };
        self.len -= 1;
        for _ in 0..MERGES {
            if self.size > 1 && self.len * SPARSE_BUCKETS < self.size * SPARSE_ELEMENTS {
                self.merge_last();
            }
        }
        Some(taken)
    }

    /// As so many calls of [`scan`](Table::scan), [`SCANNED`] at most; but all that they will read is read beforehand, in a row, so that
    /// memory serves it side by side. The walk of a table that no cache holds is three times as fast.
    pub fn scan_many(&self, cursor: u64, buckets: usize, visit: &mut dyn FnMut(&E)) -> u64 {
        if self.size == 0 {
            return 0;
        }
        let (mut cursors, mut count, mut next) = ([0; SCANNED], 0, cursor);
        while count < buckets.clamp(1, SCANNED) && (count == 0 || next != 0) {
            cursors[count] = next;
            let index = self.index(next);
            // SAFETY: a bucket of this table.
            std::hint::black_box(unsafe { (*self.bucket(index)).head });
            next = self.after(next, index);
            count += 1;
        }
        for cursor in &cursors[..count] {
            self.chain_iter(self.index(*cursor)).for_each(|element| {
                std::hint::black_box(element.key().len());
            });
        }
        cursors[..count].iter().fold(cursor, |_, cursor| self.scan(*cursor, visit))
    }

    /// Makes room for `count` elements in all, so that a load of known size does not grow step by step. The count must be trusted.
    pub fn reserve(&mut self, count: usize) {
        if self.size == 0 && count > 0 {
            self.lay_out(count.div_ceil(LOAD_MAX));
        }
        while self.size * LOAD_MAX < count {
            self.split_next();
        }
    }

    #[inline]
    fn find(&self, hash: u64, key: &[u8]) -> Option<(*mut Bucket<E>, usize)> {
        if self.size == 0 {
            return None;
        }
        let tag = tag_of(hash);
        let mut at = self.bucket(self.index(hash));
        loop {
            // SAFETY: a bucket of this table, borrowed for this pass of the loop; lanes that carry a tag hold elements.
            let bucket = unsafe { &*at };
            let mut lanes = bucket.lanes_tagged(tag);
            while lanes != 0 {
                let lane = lanes.trailing_zeros() as usize / 8;
                // SAFETY: as above.
                if is_same(unsafe { bucket.slots[lane].element.key() }, key) {
                    return Some((at, lane));
                }
                lanes &= lanes - 1;
            }
            at = bucket.child()?;
        }
    }

    /// Adds an element whose key is not here.
    fn insert_new(&mut self, hash: u64, element: E) -> *mut E {
        if self.len >= self.size * LOAD_MAX {
            self.split_next();
        }
        self.len += 1;
        self.put(self.index(hash), tag_of(hash), ManuallyDrop::new(element))
    }

    /// Adds one bucket, with its share of the bucket that it is split from.
    fn split_next(&mut self) {
        if self.size == 0 {
            return self.extend();
        }
        let from = self.size - (self.low + 1);
        self.touch_chain(from);
        self.extend();
        if self.size == 2 * (self.low + 1) {
            self.low = 2 * self.low + 1;
        }
        self.drain_chain(from, &mut |table, tag, element| {
            let index = table.index(table.seed.hash(element.key()));
            table.put(index, tag, element);
        });
    }

    /// Reads something of all keys of a bucket's chain, so that their cache misses overlap.
    fn touch_chain(&self, index: usize) {
        self.chain_iter(index).for_each(Keyed::touch);
    }
}

impl<E> Drop for Table<E> {
    fn drop(&mut self) {
        for index in 0..self.size {
            self.drain_chain(index, &mut |_, _, element| drop(ManuallyDrop::into_inner(element)));
        }
        for (number, segment) in self.segments.iter().enumerate() {
            let buckets = if number == 0 { self.first_capacity } else { SEGMENT };
            // SAFETY: allocated with this layout; the elements are gone.
            unsafe { dealloc(segment.as_ptr().cast(), segment_layout::<E>(buckets)) };
        }
    }
}

fn segment_layout<E>(buckets: usize) -> Layout {
    Layout::array::<Bucket<E>>(buckets).expect("a segment is small")
}

/// Buckets of zeros, which are empty ones. Large allocations come zeroed from the system, page by page as they are touched.
fn alloc_buckets<E>(count: usize) -> NonNull<Bucket<E>> {
    let layout = segment_layout::<E>(count);
    // SAFETY: a bucket has a size, so the layout is not empty; zeros are a valid bucket.
    let at = unsafe { alloc_zeroed(layout) };
    NonNull::new(at.cast()).unwrap_or_else(|| handle_alloc_error(layout))
}

/// Goes through every slot that holds an element.
struct Walk<E> {
    table: *const Table<E>,
    next_index: usize,
    bucket: *mut Bucket<E>,
    lane: usize,
}

impl<E> Walk<E> {
    fn new(table: &Table<E>) -> Self {
        Walk { table, next_index: 0, bucket: ptr::null_mut(), lane: 0 }
    }

    /// # Safety
    /// The table still exists as it was.
    unsafe fn next(&mut self) -> Option<*mut E> {
        // SAFETY: the caller vouches for the table, and so for its buckets. No reference to a whole bucket is made: the caller may hold
        // a mutable one to an element in it.
        unsafe {
            loop {
                if self.bucket.is_null() {
                    if self.next_index >= (*self.table).size {
                        return None;
                    }
                    self.bucket = (*self.table).bucket(self.next_index);
                    self.next_index += 1;
                    self.lane = 0;
                }
                let head = (*self.bucket).head;
                if self.lane < (head & COUNT) as usize {
                    self.lane += 1;
                    return Some((&raw mut (*self.bucket).slots[self.lane - 1]).cast());
                }
                self.bucket = if head & CHAINED == 0 { ptr::null_mut() } else { (*self.bucket).slots[CHILD].child };
                self.lane = 0;
            }
        }
    }
}

/// See [`Table::iter`].
pub struct Iter<'a, E> {
    walk: Walk<E>,
    holds: PhantomData<&'a E>,
}

impl<'a, E> Iterator for Iter<'a, E> {
    type Item = &'a E;

    fn next(&mut self) -> Option<&'a E> {
        // SAFETY: the table is borrowed for 'a; the walk yields slots that hold elements.
        unsafe { self.walk.next().map(|at| &*at) }
    }
}

/// See [`Table::iter_mut`].
pub struct IterMut<'a, E> {
    walk: Walk<E>,
    holds: PhantomData<&'a mut E>,
}

impl<'a, E> Iterator for IterMut<'a, E> {
    type Item = &'a mut E;

    fn next(&mut self) -> Option<&'a mut E> {
        // SAFETY: the table is borrowed mutably for 'a; the walk yields every slot once.
        unsafe { self.walk.next().map(|at| &mut *at) }
    }
}

#[cfg(test)]
mod tests;
