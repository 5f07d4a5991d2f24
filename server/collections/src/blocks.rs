//! Blocks for small things of which there are many: sizes 8 bytes apart up to 512 and 16 up to 1024, where a general allocator has four
//! sizes to a doubling and so wastes a tenth on average.
//!
//! ```text
//! chunk   a huge page of the system's, cut into slabs                   one lock for all
//! slab    16 KiB, a header and then blocks of one size                  in the depot of its size, which has a lock
//! rack    a few free blocks of each size that a thread keeps to itself  no lock
//! ```
//!
//! So seven calls of eight touch nothing shared. A block may be freed by another thread than the one that allocated it: it goes into that
//! one's rack. A slab without blocks in use goes back to its chunk, a chunk without slabs in use back to the system; one of
//! each is kept, so that a block that comes and goes does not take them with it. Larger sizes are the process's allocator's.
//!
//! Bounds: `RACK` blocks of a size in a rack; a thread that ends gives its own back.
mod pages;

use crate::counting::count;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Every block is an allocation of its own: for tools that watch each of them.
const PLAIN: bool = cfg!(any(miri, feature = "plain-blocks"));
/// Blocks are aligned to so many bytes.
pub(crate) const ALIGN: usize = 8;
/// Largest block that comes from a slab: beyond it the general allocator's rounding costs no more than a slab's own rest.
const BLOCK_MAX: usize = 1024;
/// Up to here sizes are `FINE` bytes apart, then `COARSE`.
const FINE_MAX: usize = 512;
const FINE: usize = 8;
const COARSE: usize = 16;
/// The smallest size above that.
const BLOCK_ABOVE: usize = BLOCK_MAX + 1;
const CLASSES: usize = FINE_MAX / FINE + (BLOCK_MAX - FINE_MAX) / COARSE + 1;
/// Bytes of a slab: what does not fit its last block is 3 % of it at worst.
const SLAB: usize = 16 * 1024;
/// Where its blocks begin.
const BODY: usize = 64;
/// Bytes of a chunk: a huge page, so that reading collections at random misses fewer translations of addresses.
const CHUNK: usize = 2 * 1024 * 1024;
const SLABS: usize = CHUNK / SLAB;
/// Larger sizes are rounded up to whole pages.
const ROUNDED_MAX: usize = 64 * 1024;
const PAGE: usize = 4096;
/// Blocks that go between rack and depot at a time.
const BATCH: usize = 8;
/// Most blocks of a size in a rack.
const RACK: usize = 2 * BATCH;

/// A block of `size` bytes, not initialised.
pub(crate) fn take(size: usize) -> NonNull<u8> {
    if size > BLOCK_MAX || PLAIN {
        let layout = layout(size);
        // SAFETY: the layout is never empty.
        return NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout));
    }
    let class = class_of(size);
    count(size_of_class(class) as isize);
    let taken = RACKS.try_with(|rack| rack.take(class));
    // A thread that is being torn down has no rack any more.
    taken.unwrap_or_else(|_| HEAP.depot(class).take(&HEAP, class)).cast()
}

/// Gives a block back.
///
/// # Safety
/// The block came from `take` or `resize` with this size, and is not used again.
pub(crate) unsafe fn give(block: NonNull<u8>, size: usize) {
    if size > BLOCK_MAX || PLAIN {
        // SAFETY: allocated in `take` or `resize` with this layout.
        return unsafe { dealloc(block.as_ptr(), layout(size)) };
    }
    let class = class_of(size);
    count(-(size_of_class(class) as isize));
    // SAFETY: blocks of this size come from slabs of this class; the caller gives up the block.
    unsafe {
        if RACKS.try_with(|rack| rack.give(class, block.cast())).is_err() {
            HEAP.depot(class).give(&HEAP, block.cast());
        }
    }
}

/// A block of another size that begins with what this one held.
///
/// # Safety
/// As `give`.
pub(crate) unsafe fn resize(block: NonNull<u8>, old: usize, new: usize) -> NonNull<u8> {
    if room(old) == room(new) {
        return block;
    }
    // SAFETY: the caller's promise; both blocks have room for the shorter of the two.
    unsafe {
        if old > BLOCK_MAX && new > BLOCK_MAX || PLAIN {
            let moved = realloc(block.as_ptr(), layout(old), room(new));
            return NonNull::new(moved).unwrap_or_else(|| handle_alloc_error(layout(new)));
        }
        let moved = take(new);
        ptr::copy_nonoverlapping(block.as_ptr(), moved.as_ptr(), old.min(new));
        give(block, old);
        moved
    }
}

/// The bytes that a block of `size` really has.
pub(crate) fn room(size: usize) -> usize {
    match size {
        ..=BLOCK_MAX => size_of_class(class_of(size)),
        // What the allocator would round up to anyway. Source: mimalloc, four size classes to a doubling and then pages.
        BLOCK_ABOVE..=ROUNDED_MAX => size.next_multiple_of(1 << ((size - 1).ilog2() - 2)),
        _ => size.next_multiple_of(PAGE),
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(room(size), ALIGN).expect("a block fits the address space")
}

fn class_of(size: usize) -> usize {
    match size {
        ..=FINE_MAX => size.div_ceil(FINE).max(1),
        _ => FINE_MAX / FINE + (size - FINE_MAX).div_ceil(COARSE),
    }
}

const fn size_of_class(class: usize) -> usize {
    if class <= FINE_MAX / FINE { class * FINE } else { FINE_MAX + (class - FINE_MAX / FINE) * COARSE }
}

/// What a free block holds.
struct Free {
    next: *mut Free,
}

/// A slab's header.
struct Slab {
    /// Blocks that came back.
    free: *mut Free,
    /// Its neighbours among the slabs of its depot that have room.
    prev: *mut Slab,
    next: *mut Slab,
    /// Bytes of a block.
    size: u32,
    /// Where those blocks begin that were never handed out.
    fresh: u32,
    /// Blocks handed out.
    used: u32,
}

impl Slab {
    fn has_room(&self) -> bool {
        !self.free.is_null() || self.fresh as usize + self.size as usize <= SLAB
    }

    /// A free block; the slab has room.
    ///
    /// # Safety
    /// `this` is a slab's header, and nobody else looks at it.
    unsafe fn pop(this: *mut Slab) -> NonNull<Free> {
        // SAFETY: the caller's promise; free blocks of this slab hold links, and fresh ones lie within it.
        unsafe {
            (*this).used += 1;
            match NonNull::new((*this).free) {
                Some(block) => {
                    (*this).free = block.as_ref().next;
                    block
                }
                None => {
                    let block = this.cast::<u8>().add((*this).fresh as usize);
                    (*this).fresh += (*this).size;
                    NonNull::new_unchecked(block.cast())
                }
            }
        }
    }
}

/// The slabs of one size that have room.
struct Depot {
    first: *mut Slab,
}

// SAFETY: it owns its slabs' headers and free blocks; nothing of them is tied to a thread.
unsafe impl Send for Depot {}

impl Depot {
    fn take(&mut self, heap: &Heap, class: usize) -> NonNull<Free> {
        if self.first.is_null() {
            let slab = heap.chunks().take_slab().cast::<Slab>();
            let (free, prev, next) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
            let header = Slab { free, prev, next, size: size_of_class(class) as u32, fresh: BODY as u32, used: 0 };
            // SAFETY: a slab that nobody uses, aligned to its size.
            unsafe { slab.write(header) };
            self.first = slab.as_ptr();
        }
        let slab = self.first;
        // SAFETY: the slabs of the list are this depot's, and have room.
        unsafe {
            let block = Slab::pop(slab);
            if !(*slab).has_room() {
                self.unlink(slab);
            }
            block
        }
    }

    /// # Safety
    /// The block came from a depot of this class, and is not used again.
    unsafe fn give(&mut self, heap: &Heap, block: NonNull<Free>) {
        let slab = block.as_ptr().map_addr(|address| address & !(SLAB - 1)).cast::<Slab>();
        // SAFETY: a block lies in a slab of its class, whose header stands at the slab's start and is this depot's.
        unsafe {
            let had_room = (*slab).has_room();
            block.write(Free { next: (*slab).free });
            (*slab).free = block.as_ptr();
            (*slab).used -= 1;
            if !had_room {
                (*slab).next = self.first;
                if let Some(first) = self.first.as_mut() {
                    first.prev = slab;
                }
                self.first = slab;
            }
            let is_only = self.first == slab && (*slab).next.is_null();
            if (*slab).used == 0 && !is_only {
                self.unlink(slab);
                heap.chunks().give_slab(NonNull::new_unchecked(slab.cast()));
            }
        }
    }

    /// Takes a slab out of the list.
    ///
    /// # Safety
    /// The slab is in it.
    unsafe fn unlink(&mut self, slab: *mut Slab) {
        // SAFETY: the neighbours of a listed slab are listed slabs of this depot.
        unsafe {
            let (prev, next) = ((*slab).prev, (*slab).next);
            ((*slab).prev, (*slab).next) = (ptr::null_mut(), ptr::null_mut());
            match prev.as_mut() {
                Some(prev) => prev.next = next,
                None => self.first = next,
            }
            if let Some(next) = next.as_mut() {
                next.prev = prev;
            }
        }
    }
}

/// A chunk, and a bit for each of its slabs that is free.
struct Chunk {
    at: NonNull<u8>,
    free: u128,
}

/// All chunks, by address.
struct Chunks {
    chunks: BTreeMap<usize, Chunk>,
    /// Those that have a free slab: the lowest is used first, so that the others may empty.
    with_free: BTreeSet<usize>,
    /// A chunk of which nothing is used.
    spare: Option<usize>,
}

// SAFETY: it owns its chunks, and nothing of them is tied to a thread.
unsafe impl Send for Chunks {}

const ALL_FREE: u128 = u128::MAX;
const _: () = assert!(SLABS == u128::BITS as usize);

impl Chunks {
    /// A slab that nobody uses, aligned to its size.
    fn take_slab(&mut self) -> NonNull<u8> {
        let base = self.with_free.first().copied().unwrap_or_else(|| self.add());
        let chunk = self.chunks.get_mut(&base).expect("a chunk with a free slab is a chunk");
        let number = chunk.free.trailing_zeros() as usize;
        chunk.free &= !(1 << number);
        if chunk.free == 0 {
            self.with_free.remove(&base);
        }
        self.spare = self.spare.filter(|&spare| spare != base);
        // SAFETY: a chunk has so many slabs.
        unsafe { chunk.at.add(number * SLAB) }
    }

    /// One chunk more.
    fn add(&mut self) -> usize {
        let at = pages::map();
        let base = at.addr().get();
        self.chunks.insert(base, Chunk { at, free: ALL_FREE });
        self.with_free.insert(base);
        base
    }

    /// # Safety
    /// The slab came from `take_slab`, and nothing in it is used.
    unsafe fn give_slab(&mut self, slab: NonNull<u8>) {
        let base = slab.addr().get() & !(CHUNK - 1);
        let chunk = self.chunks.get_mut(&base).expect("a slab lies in a chunk");
        chunk.free |= 1 << ((slab.addr().get() - base) / SLAB);
        let (at, empty) = (chunk.at, chunk.free == ALL_FREE);
        self.with_free.insert(base);
        if !empty {
            return;
        }
        if self.spare.is_none() {
            self.spare = Some(base);
            return;
        }
        self.chunks.remove(&base);
        self.with_free.remove(&base);
        // SAFETY: mapped in `add`; all its slabs are free.
        unsafe { pages::unmap(at) };
    }
}

/// What all threads share.
struct Heap {
    depots: [Mutex<Depot>; CLASSES],
    chunks: Mutex<Chunks>,
}

static HEAP: Heap = Heap::new();

impl Heap {
    const fn new() -> Self {
        let chunks = Chunks { chunks: BTreeMap::new(), with_free: BTreeSet::new(), spare: None };
        Heap { depots: [const { Mutex::new(Depot { first: ptr::null_mut() }) }; CLASSES], chunks: Mutex::new(chunks) }
    }

    fn depot(&self, class: usize) -> MutexGuard<'_, Depot> {
        self.depots[class].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chunks(&self) -> MutexGuard<'_, Chunks> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

thread_local! {
    static RACKS: Rack = const { Rack::new(&HEAP) };
}

/// Free blocks of each class.
struct Rack {
    heap: &'static Heap,
    shelves: [Cell<Shelf>; CLASSES],
}

#[derive(Clone, Copy)]
struct Shelf {
    first: *mut Free,
    count: usize,
}

impl Rack {
    const fn new(heap: &'static Heap) -> Self {
        Rack { heap, shelves: [const { Cell::new(Shelf { first: ptr::null_mut(), count: 0 }) }; CLASSES] }
    }

    #[inline]
    fn take(&self, class: usize) -> NonNull<Free> {
        let shelf = &self.shelves[class];
        let held = shelf.get();
        match NonNull::new(held.first) {
            // SAFETY: the blocks of a shelf are this rack's alone and hold links.
            Some(block) => unsafe {
                shelf.set(Shelf { first: block.as_ref().next, count: held.count - 1 });
                block
            },
            None => self.fill(class),
        }
    }

    /// # Safety
    /// The block is one of this class, and is not used again.
    #[inline]
    unsafe fn give(&self, class: usize, block: NonNull<Free>) {
        let shelf = &self.shelves[class];
        let held = shelf.get();
        // SAFETY: the block is free, and has room for a link.
        unsafe { block.write(Free { next: held.first }) };
        shelf.set(Shelf { first: block.as_ptr(), count: held.count + 1 });
        if held.count + 1 > RACK {
            self.empty(class, BATCH);
        }
    }

    /// Fetches a batch, and hands out one of it.
    #[cold]
    fn fill(&self, class: usize) -> NonNull<Free> {
        let mut depot = self.heap.depot(class);
        let mut held = Shelf { first: ptr::null_mut(), count: BATCH - 1 };
        for _ in 0..BATCH - 1 {
            let block = depot.take(self.heap, class);
            // SAFETY: a free block has room for a link.
            unsafe { block.write(Free { next: held.first }) };
            held.first = block.as_ptr();
        }
        self.shelves[class].set(held);
        depot.take(self.heap, class)
    }

    /// Brings some blocks back.
    #[cold]
    fn empty(&self, class: usize, most: usize) {
        let mut depot = self.heap.depot(class);
        let mut held = self.shelves[class].get();
        for _ in 0..most.min(held.count) {
            let block = NonNull::new(held.first).expect("as many blocks as are counted");
            // SAFETY: a block of this shelf, and so of this class and free.
            unsafe {
                held = Shelf { first: block.as_ref().next, count: held.count - 1 };
                depot.give(self.heap, block);
            }
        }
        self.shelves[class].set(held);
    }
}

impl Drop for Rack {
    fn drop(&mut self) {
        for (class, shelf) in self.shelves.iter().enumerate() {
            let held = shelf.get();
            if held.count > 0 {
                self.empty(class, held.count);
            }
        }
    }
}

#[cfg(test)]
mod tests;
