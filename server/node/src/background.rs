//! Threads that work beside the loop: on snapshots, on a resync's dataset, on what is to be freed.
//!
//! Together with a busy loop and its clients they are more than many a machine has processors. A scheduler gives a thread slices of milliseconds,
//! and whoever wakes up meanwhile (the loop, for a client) may have to wait for the end of one. So they run at a lower priority, or
//! offer their processor to others every now and then ([`Breath`]), or both.
//!
//! Not among them: the log's thread, whose syncs replies wait for, and the loader at the start, when there is nobody to wait.

use std::io;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::host;

/// How much nicer than the loop: half of its share, where processors are scarce.
const NICER: i32 = 3;
/// Whoever keeps an offered processor for longer is no client's thread but somebody else at work.
const BRIEF: Duration = Duration::from_millis(1);
/// So many offers are then left out: giving way each time would leave a twentieth of the processor (a slice is up to 4 ms, a breath 0.2 ms apart).
const LEFT_OUT: u32 = 30;

/// Starts a thread of lower priority; those that it starts itself inherit its priority.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.to_owned()).spawn(move || {
        // A thread that may not be nicer works all the same.
        let _ = rustix::process::nice(NICER);
        work()
    })
}

/// A thread's habit of letting go of its processor, every fifth of a millisecond or so, for whoever waits for it.
#[derive(Debug, Default)]
pub(crate) struct Breath {
    left_out: u32,
}

impl Breath {
    /// Lets others in, unless they have turned out to stay.
    pub fn take(&mut self) {
        if self.left_out > 0 {
            self.left_out -= 1;
            return;
        }
        let before = host::clock();
        std::thread::yield_now();
        if host::clock().saturating_sub(before) > BRIEF {
            self.left_out = LEFT_OUT;
        }
    }
}
