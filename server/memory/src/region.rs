//! Regions of address space that the allocator fills, and what is heard of it.
//!
//! The first region is handed over before `main`, and so before the allocator has anything of its own; further ones follow as each is nearly used up.
//! If one cannot be had, the allocator gets its memory as it would without this room, and nobody is ahead there.

use std::ffi::{c_int, c_void};
use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use mimalloc as _; // links the allocator that is declared below

use crate::front::{BLOCK, CHUNK, Region};

/// The first region has the size of what the allocator would reserve at a time, each further one doubles the whole up to its largest. Source:
/// mimalloc, `MI_DEFAULT_ARENA_RESERVE` and `MI_ARENA_MAX_SIZE`.
const FIRST: usize = 1 << 30;
const LARGEST: usize = 16 << 30;
/// Regions at most: a terabyte. Beyond it the allocator looks after itself.
const REGIONS: usize = 66;
/// The smallest page there is.
const PAGE: usize = 4096;
/// Entered blocks that are kept until the thread that is ahead hears of them; older ones are forgotten.
const KEPT: usize = 64;

unsafe extern "C" {
    fn mi_process_init();
    fn mi_manage_memory(
        start: *mut c_void,
        size: usize,
        is_committed: bool,
        is_pinned: bool,
        is_zero: bool,
        numa_node: c_int,
        exclusive: bool,
        commit: extern "C" fn(bool, *mut c_void, usize, *mut bool, *mut c_void) -> bool,
        commit_arg: *mut c_void,
        arena_id: *mut *mut c_void,
    ) -> bool;
}

/// Start and end of each region; zeros where there is none yet.
static STARTS: [AtomicUsize; REGIONS] = [const { AtomicUsize::new(0) }; REGIONS];
static ENDS: [AtomicUsize; REGIONS] = [const { AtomicUsize::new(0) }; REGIONS];
/// Entered memory, start and size, in a ring; `ENTERED` counts.
static AT: [AtomicUsize; KEPT] = [const { AtomicUsize::new(0) }; KEPT];
static SIZE: [AtomicUsize; KEPT] = [const { AtomicUsize::new(0) }; KEPT];
static ENTERED: AtomicUsize = AtomicUsize::new(0);
static WAKE: OnceLock<fn()> = OnceLock::new();

/// Runs before `main`.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

extern "C" fn before_main() {
    // SAFETY: takes nothing and may be called any number of times.
    unsafe { mi_process_init() };
    reserve(0, FIRST);
}

/// `wake` is called by whichever thread enters a new block, amid an allocation: it may not allocate. The first call counts.
pub fn wake_by(wake: fn()) {
    WAKE.get_or_init(|| wake);
}

/// The region that an address belongs to.
pub(crate) fn of(address: usize) -> Option<Region> {
    regions().find(|region| region.contains(&address))
}

fn regions() -> impl Iterator<Item = Region> {
    let ends = STARTS.iter().zip(&ENDS);
    let regions = ends.map(|(start, end)| start.load(Ordering::Acquire)..end.load(Ordering::Acquire));
    regions.take_while(|region| !region.is_empty())
}

/// Adds a region.
pub(crate) fn reserve_next() {
    let sizes: Vec<usize> = regions().map(|region| region.len()).collect();
    if sizes.len() < REGIONS {
        reserve(sizes.len(), sizes.iter().sum::<usize>().clamp(FIRST, LARGEST));
    }
}

/// Takes address space and hands it to the allocator. What cannot be had is left to the allocator.
fn reserve(place: usize, size: usize) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a fresh mapping wherever the kernel likes.
    let mapped = unsafe { libc::mmap(ptr::null_mut(), size + CHUNK, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if mapped == libc::MAP_FAILED {
        return;
    }
    let start = (mapped as usize).next_multiple_of(CHUNK);
    let aligned = start as *mut c_void;
    // SAFETY: the region lies within the mapping, which is nobody else's; the advice changes no contents.
    unsafe { libc::madvise(aligned, size, libc::MADV_HUGEPAGE) };
    // Before it is handed over: its own book-keeping is its first commit.
    STARTS[place].store(start, Ordering::Release);
    ENDS[place].store(start + size, Ordering::Release);
    let (nobody, none) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: `size` bytes from `aligned` are mapped, zero, unused, and given away for the rest of the process's life.
    let taken = unsafe { mi_manage_memory(aligned, size, false, false, true, -1, false, commit, nobody, none) };
    if !taken {
        STARTS[place].store(0, Ordering::Release);
        ENDS[place].store(0, Ordering::Release);
        // SAFETY: the mapping of above, which nobody took.
        unsafe { libc::munmap(mapped, size + CHUNK) };
    }
}

/// The allocator begins to use memory of a region, or gives it back. Called on any thread, amid an allocation.
extern "C" fn commit(is_begin: bool, start: *mut c_void, size: usize, is_zero: *mut bool, _: *mut c_void) -> bool {
    if !is_begin {
        // SAFETY: the allocator says that nothing in there is used; the memory reads as zero afterwards.
        return unsafe { libc::madvise(start, size, libc::MADV_DONTNEED) } == 0;
    }
    // SAFETY: null, or a place for this answer.
    if let Some(is_zero) = unsafe { is_zero.as_mut() } {
        *is_zero = false; // parts of it may have been in use all the time
    }
    let (first, last) = (start as usize, start as usize + size - 1);
    // A block is entered by its first bytes, all of it being taken from front to end.
    if first.is_multiple_of(BLOCK) || first / BLOCK != last / BLOCK {
        let place = ENTERED.fetch_add(1, Ordering::AcqRel) % KEPT;
        SIZE[place].store(size, Ordering::Release);
        AT[place].store(first, Ordering::Release);
        if let Some(wake) = WAKE.get() {
            wake();
        }
    }
    true
}

/// The next entered memory since `heard`, which counts on.
pub(crate) fn next_entered(heard: &mut usize) -> Option<Range<usize>> {
    let entered = ENTERED.load(Ordering::Acquire);
    *heard = (*heard).max(entered.saturating_sub(KEPT));
    while *heard < entered {
        let place = *heard % KEPT;
        *heard += 1;
        let start = AT[place].swap(0, Ordering::AcqRel);
        if start != 0 {
            return Some(start..start + SIZE[place].load(Ordering::Acquire));
        }
    }
    None
}

/// Makes memory of a region present, whoever uses it, by writing what it holds.
///
/// Not by an advice to the kernel (MADV_POPULATE_WRITE): that keeps the address space locked while pages are cleared, and a thread of the lowest priority
/// that holds a lock holds up whoever needs it next (measured on a busy machine: a command of 0.7 s). A write locks nothing that others wait for.
pub(crate) fn fault_in(block: Range<usize>) {
    for page in block.step_by(PAGE) {
        // SAFETY: regions are mapped for the process's whole life. The byte may belong to another thread, which sees no difference: exchanging
        // 0 for 0 is one indivisible access that leaves every byte as it is.
        let byte = unsafe { AtomicU8::from_ptr(page as *mut u8) };
        // Its outcome does not matter: a byte that is not 0 was touched before.
        let _ = byte.compare_exchange(0, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// From now on this thread runs when no other wants its processor, and gives it up at once when one does.
pub fn run_when_idle() -> io::Result<()> {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: reads `param`, and concerns the calling thread alone.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const param) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// From now on this thread shares no open files with the process, and holds none.
///
/// The files of a process that is killed are closed once its last thread that shares them has run. One that runs when no other wants a processor
/// would keep the connections of a dead process open for as long as the machine is busy, and nobody would know of its death (measured: up to
/// 0.7 s instead of 2 ms). Source: close_range(2), Linux 5.9.
pub fn hold_no_files() -> io::Result<()> {
    // SAFETY: closes what is in a table of this thread's own; nobody else sees it.
    match unsafe { libc::syscall(libc::SYS_close_range, 0_u32, u32::MAX, libc::CLOSE_RANGE_UNSHARE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Is the page of this address present?
#[cfg(test)]
pub(crate) fn is_there(address: usize) -> bool {
    let mut present = 0u8;
    let page = address & !(PAGE - 1);
    // SAFETY: the kernel writes one byte for one page.
    let asked = unsafe { libc::mincore(page as *mut c_void, 1, &raw mut present) };
    asked == 0 && present & 1 == 1
}
