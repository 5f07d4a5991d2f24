//! Where chunks come from: whole huge pages of the system's, aligned to their size. Not of the process's allocator: it writes to the beginning
//! of what it hands out, and a page once touched in part stays cut into small ones.
//!
//! A process that has turned huge pages off (`MIMALLOC_ALLOW_THP=0`), or a system that has none to spare, gets the same bytes in small pages.
use super::CHUNK;
use std::alloc::{Layout, handle_alloc_error};
use std::ptr::NonNull;

/// A chunk of zeros.
#[cfg(target_os = "linux")]
pub(super) fn map() -> NonNull<u8> {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
    const ROOM: usize = 2 * CHUNK;
    // SAFETY: a new mapping, of which all but one aligned chunk is given back before anybody sees it.
    unsafe {
        let mapped = mmap_anonymous(std::ptr::null_mut(), ROOM, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        let Some(start) = mapped.ok().and_then(NonNull::new).map(NonNull::cast::<u8>) else {
            handle_alloc_error(layout())
        };
        let before = start.as_ptr().align_offset(CHUNK);
        let chunk = start.add(before);
        // What cannot be given back or become huge costs addresses or time, and nothing else.
        if before > 0 {
            let _ = munmap(start.as_ptr().cast(), before);
        }
        let _ = munmap(chunk.add(CHUNK).as_ptr().cast(), CHUNK - before);
        let _ = madvise(chunk.as_ptr().cast(), CHUNK, Advice::LinuxHugepage);
        chunk
    }
}

/// Gives a chunk back.
///
/// # Safety
/// It came from `map`, and is not used again.
#[cfg(target_os = "linux")]
pub(super) unsafe fn unmap(chunk: NonNull<u8>) {
    // SAFETY: the caller's promise. A refusal (too many mappings) leaves the chunk behind, unused.
    let _ = unsafe { rustix::mm::munmap(chunk.as_ptr().cast(), CHUNK) };
}

#[cfg(not(target_os = "linux"))]
pub(super) fn map() -> NonNull<u8> {
    // SAFETY: the layout is not empty.
    NonNull::new(unsafe { std::alloc::alloc_zeroed(layout()) }).unwrap_or_else(|| handle_alloc_error(layout()))
}

#[cfg(not(target_os = "linux"))]
pub(super) unsafe fn unmap(chunk: NonNull<u8>) {
    // SAFETY: the caller's promise; allocated in `map` with this layout.
    unsafe { std::alloc::dealloc(chunk.as_ptr(), layout()) };
}

fn layout() -> Layout {
    Layout::from_size_align(CHUNK, CHUNK).expect("a power of two")
}
