//! A switch for the tests that must notice what breaks without a majority's confirmation. Without the feature `faults`, which only tests enable, it
//! does not exist.

/// What to break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A read is confirmed by nobody: it is answered with what is known here.
    I14Memory,
}

#[cfg(feature = "faults")]
thread_local! {
    static ARMED: std::cell::Cell<Option<Fault>> = const { std::cell::Cell::new(None) };
}

/// Breaks this thread's members, or mends them.
#[cfg(feature = "faults")]
pub fn arm(fault: Option<Fault>) {
    ARMED.set(fault);
}

/// Are they broken in this way?
#[cfg(feature = "faults")]
pub(crate) fn is_armed(fault: Fault) -> bool {
    ARMED.get() == Some(fault)
}

/// Are they broken in this way? Never: this is no test.
#[cfg(not(feature = "faults"))]
pub(crate) const fn is_armed(_: Fault) -> bool {
    false
}
