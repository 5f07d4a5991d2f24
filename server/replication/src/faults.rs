//! Switches that break one invariant each. They exist with the cargo feature `faults` only, which nothing but tests enables: a simulation arms
//! one and has to notice. Without the feature `is_armed` is a constant and nothing of this is in the binary.

/// What can be broken, named after the invariant that it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A promise is answered and written down, and the node goes on in the epoch before.
    I2Promise,
    /// A fenced or older master's stream is served, and followed.
    I2Stream,
    /// One acknowledgement fewer than the config asks for commits a write.
    I3Copies,
    /// Replies leave before anything is committed.
    I3Early,
    /// A node says of what it has received that its disk holds it.
    I3Unsynced,
    /// Acknowledgements commit what is older than the epoch's barrier although the barrier is not committed.
    I5Barrier,
    /// Reads leave although what they observed is not committed.
    I6Reads,
    /// Reads are answered without a lease and without a confirming round.
    I7Lease,
    /// The lease is tested when the turn begins, before its commands run.
    I7Early,
    /// The lease is counted from the grant's arrival.
    I8Arrival,
    /// A config is reported as in force when it is adopted.
    I9Force,
    /// A node vouches for a dataset that may lack what it acknowledged.
    I10Tail,
    /// A node becomes the master though it restarted since it promised, or lost its directory.
    I10Reborn,
    /// A node boots as what it was.
    I11Restart,
    /// Whoever holds writes that the master does not have goes on by partial resync.
    I12Diverged,
    /// An async master goes on without a lease, whoever acknowledges.
    I13GoesOn,
}

#[cfg(any(test, feature = "faults"))]
mod switch {
    use std::cell::Cell;

    use super::Fault;

    thread_local! {
        static ARMED: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    /// Arms one fault on this thread, or none.
    pub fn arm(fault: Option<Fault>) {
        ARMED.set(fault);
    }

    /// Is it armed?
    pub fn is_armed(fault: Fault) -> bool {
        ARMED.get() == Some(fault)
    }
}

#[cfg(any(test, feature = "faults"))]
pub use switch::{arm, is_armed};

/// Nothing is ever armed in a program that is not a test.
#[cfg(not(any(test, feature = "faults")))]
pub const fn is_armed(_: Fault) -> bool {
    false
}
