//! The thread that faults memory in before the loop touches it (`quorate_memory`). It runs when no other thread wants its processor: where none is
//! left for it, the loop waits for the kernel as it would without.

use std::io;
use std::sync::OnceLock;
use std::thread::{Builder, Thread};

use quorate_memory::Ahead;

static THREAD: OnceLock<Thread> = OnceLock::new();

/// Starts it.
pub(crate) fn start() -> io::Result<()> {
    Builder::new().name("ahead".into()).spawn(run).map(drop)
}

fn run() {
    // With any other priority it would hold up whom it is to help; with the process's files, the news of the process's death.
    if let Err(error) = quorate_memory::hold_no_files().and_then(|()| quorate_memory::run_when_idle()) {
        tracing::debug!("Memory is not faulted in ahead: {error}");
        return;
    }
    THREAD.get_or_init(std::thread::current);
    quorate_memory::wake_by(|| {
        if let Some(thread) = THREAD.get() {
            thread.unpark();
        }
    });
    let mut ahead = Ahead::default();
    loop {
        ahead.catch_up();
        std::thread::park();
    }
}
