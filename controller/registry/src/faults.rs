//! Switches that break one invariant each, for the tests that must notice. Without the feature `faults`, which only tests
//! enable, none of them exists and every question is answered at compile time: no.

/// What to break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A failover claims the epoch after the published one, though it may have been claimed before, and commands of any epoch
    /// are taken.
    I1Cas,
    /// A master is chosen from the newest reports, without waiting for R promises.
    I4Promises,
    /// The least data is chosen, not the greatest.
    I4Greatest,
    /// A new master is told at once, whatever lease is out.
    I8Wait,
    /// A new leader does not wait for what its predecessor may have granted.
    I8NewLeader,
    /// Grants leave before a majority confirmed the leader.
    I8Unconfirmed,
    /// A change of the voters is settled as soon as it is proposed, whatever the master does.
    I9Settle,
    /// While the voters change, promises need satisfy the new config alone.
    I9Joint,
    /// A node that cannot vouch for its data counts, votes, and may be chosen.
    I10Count,
}

#[cfg(feature = "faults")]
thread_local! {
    static ARMED: std::cell::Cell<Option<Fault>> = const { std::cell::Cell::new(None) };
}

/// Breaks this thread's registry in one way, or mends it.
#[cfg(feature = "faults")]
pub fn arm(fault: Option<Fault>) {
    ARMED.set(fault);
}

/// Is it broken in this way?
#[cfg(feature = "faults")]
pub(crate) fn is_armed(fault: Fault) -> bool {
    ARMED.get() == Some(fault)
}

/// Is it broken in this way? Never: this is no test.
#[cfg(not(feature = "faults"))]
pub(crate) const fn is_armed(_: Fault) -> bool {
    false
}
