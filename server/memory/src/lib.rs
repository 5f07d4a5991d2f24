//! Memory that is there before it is touched.
//!
//! The allocator takes memory from the kernel in huge pages, which halve the cost of finding a key among millions. The kernel clears such a page
//! when it is first touched: a sixth of a millisecond, and several where it has to get the memory from a hypervisor first (measured: 4 to 10).
//! Whoever touches it waits, and that would be the loop, within a command. So the allocator is given regions of address space
//! whose commits are heard of (`region.rs`), and a thread that runs when nothing else wants to touches what comes next (`front.rs`).
//! It is ahead by a few blocks; where it is late, the toucher waits as it would have anyway.
//!
//! The second room that may hold `unsafe`, after the collections: an allocator's callbacks and the kernel's calls have no safe form. It knows no data.
//!
//! Not here: which allocator is the program's (the node's `alloc.rs`), and the thread itself (its `ahead.rs`).
#![allow(unsafe_code)]

mod front;
mod region;

pub use region::{hold_no_files, run_when_idle, wake_by};

use front::Front;

/// What the thread that is ahead of the others knows.
#[derive(Debug, Default)]
pub struct Ahead {
    front: Front,
    heard: usize,
}

impl Ahead {
    /// Faults in what comes behind the blocks that were entered since the last call. To be called whenever `wake_by`'s function was.
    pub fn catch_up(&mut self) {
        while let Some(entered) = region::next_entered(&mut self.heard) {
            let Some(region) = region::of(entered.start) else { continue };
            for block in self.front.behind(region.clone(), entered) {
                region::fault_in(block);
            }
            if self.front.wants_another(region) {
                region::reserve_next();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

    /// Grows by small pieces, as a keyspace does, and counts how many of them lay on memory that was there already.
    fn there_already(pieces: usize, mut ahead: Option<Ahead>) -> usize {
        let mut held: Vec<Box<[u8; 4096]>> = Vec::with_capacity(pieces);
        let mut there = 0;
        for _ in 0..pieces {
            let mut piece: Box<std::mem::MaybeUninit<[u8; 4096]>> = Box::new_uninit();
            there += usize::from(region::is_there(piece.as_ptr() as usize));
            piece.write([1; 4096]);
            // SAFETY: written in full just now.
            held.push(unsafe { piece.assume_init() });
            if let Some(ahead) = &mut ahead {
                ahead.catch_up();
            }
        }
        there
    }

    #[test]
    fn what_is_touched_next_is_there_already() {
        const PIECES: usize = 64 << 10; // 256 MiB
        let alone = there_already(PIECES, None);
        let led = there_already(PIECES, Some(Ahead::default()));
        // Without a thread that is ahead, the first piece of each page is not there; with it only what comes before it has begun to lead.
        assert!(led >= alone, "{led} of {PIECES}, {alone} alone");
        assert!(led > PIECES - PIECES * 2 / 3, "{led} of {PIECES}");
    }

    /// What the process closes is closed although a thread that lives on was there when it was open, and the process's other files stay.
    #[test]
    fn a_thread_that_holds_no_files_keeps_none_open() {
        use std::io::{Read, Write};
        let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().expect("two sockets");
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            ready.send(hold_no_files()).expect("somebody waits");
            ends.recv().expect_err("it lives until the end");
        });
        is_ready.recv().expect("it runs").expect("Linux 5.9");
        ours.write_all(b"x").expect("the process's own files stay open");
        drop(theirs);
        ours.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("a timeout");
        let error = ours.read(&mut [0]).expect_err("what was sent was never read");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        drop(end);
        thread.join().expect("it does not panic");
    }
}
