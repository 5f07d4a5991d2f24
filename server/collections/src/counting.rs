//! An allocator that counts: INFO's `used_memory` and `maxmemory`'s measure.
//!
//! Each thread keeps its own balance and hands it to the common total once it exceeds [`SLACK`], so that counting costs no
//! shared cache line. The total is therefore off by at most `SLACK` a thread. A thread that ends takes its last balance
//! (less than `SLACK`) with it.

use std::{
    alloc::{GlobalAlloc, Layout},
    cell::Cell,
    sync::atomic::{AtomicIsize, Ordering},
};

/// The balance in bytes that a thread keeps to itself.
pub const SLACK: isize = 32 * 1024;

static TOTAL: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    // Const and without a destructor: reading it never allocates, so it may be used inside an allocator.
    static BALANCE: Cell<isize> = const { Cell::new(0) };
}

/// Wraps an allocator and counts what it hands out.
#[derive(Debug, Default)]
pub struct Counting<A>(pub A);

/// Bytes handed out and not given back yet, as asked for (not as rounded up by the allocator).
#[must_use]
pub fn used_memory() -> usize {
    let own = BALANCE.try_with(Cell::get).unwrap_or(0);
    usize::try_from(TOTAL.load(Ordering::Relaxed) + own).unwrap_or(0)
}

/// So many bytes more are in use.
#[inline]
pub(crate) fn count(bytes: isize) {
    // A thread that is being torn down counts nothing any more.
    let _ = BALANCE.try_with(|balance| {
        let sum = balance.get() + bytes;
        if sum.abs() < SLACK {
            balance.set(sum);
        } else {
            balance.set(0);
            TOTAL.fetch_add(sum, Ordering::Relaxed);
        }
    });
}

/// A layout's size: never more than `isize::MAX`, as `Layout` promises.
fn size(layout: Layout) -> isize {
    layout.size() as isize
}

// SAFETY: every call goes to the wrapped allocator unchanged and its answer is returned unchanged; counting touches only a
// const thread-local cell and an atomic, so it neither allocates nor unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(size(layout));
        // SAFETY: the caller's promises are passed on.
        unsafe { self.0.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(size(layout));
        // SAFETY: the caller's promises are passed on.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-size(layout));
        // SAFETY: the caller's promises are passed on.
        unsafe { self.0.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size as isize - size(layout));
        // SAFETY: the caller's promises are passed on.
        unsafe { self.0.realloc(block, layout, new_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::System;

    #[test]
    fn what_is_given_back_is_no_longer_counted() {
        let heap = Counting(System);
        // So much that it stands out from what other tests do meanwhile; nobody touches it, so that it costs no memory.
        const MUCH: usize = 1 << 28;
        let layout = Layout::from_size_align(MUCH, 8).expect("a layout");
        let before = used_memory();
        // SAFETY: the block is used with the layout that it was made with, and freed once.
        let during = unsafe {
            let block = heap.realloc(heap.alloc(layout), layout, 2 * layout.size());
            let during = used_memory();
            let grown = Layout::from_size_align(2 * layout.size(), 8).expect("a layout");
            heap.dealloc(block, grown);
            during
        };
        assert!(during >= before + 2 * MUCH - MUCH / 8, "{before} {during}");
        assert!(used_memory() <= before + MUCH / 8);
    }
}
