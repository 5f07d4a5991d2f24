//! Switches that break one invariant each, for the tests that must notice. Without the feature `faults`, which only tests
//! enable, none of them exists and every question is answered at compile time: no.

/// What to break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A failover claims the epoch after the published one, though it may have been claimed before.
    I1Cas,
    /// A master is chosen from the last reports, before anybody promised.
    I2ChooseFirst,
    /// Priority comes before data.
    I4Choice,
    /// One promise is enough.
    I4Promises,
    /// A new master is told at once, whatever lease is out.
    I8NoWait,
    /// A new leader does not wait for what its predecessor may have granted.
    I8NewLeader,
    /// Grants leave before a majority confirmed the leader.
    I8Unconfirmed,
    /// A change of the voters binds alone from the start.
    I9Two,
    /// A change of the voters is published before the master adopted it.
    I9Published,
    /// A node that cannot vouch for its data counts and may be chosen.
    I10Amnesia,
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
