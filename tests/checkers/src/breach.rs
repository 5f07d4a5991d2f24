//! What a history may be guilty of.

use crate::history::{Time, Value};

/// One thing that no correct store shows. `Display` is the line in a report; moments in it are the history's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// An acknowledged write is not in the last read.
    #[error("{value} was acknowledged at {} and is not in the read that began at {}", acknowledged.0, read.0)]
    Lost {
        /// What was written.
        value: Value,
        /// When the client was told so.
        acknowledged: Time,
        /// When the read began that should have shown it.
        read: Time,
    },
    /// A value stands twice in a list.
    #[error("{value} stands more than once in the read that began at {}", read.0)]
    Duplicated {
        /// What stands there twice.
        value: Value,
        /// When the read began.
        read: Time,
    },
    /// One write was over before the other began, and yet took effect after it.
    #[error("{later} took effect before {earlier}, which was over before it began")]
    Reordered {
        /// Written first.
        earlier: Value,
        /// Written afterwards.
        later: Value,
    },
    /// Two reads cannot both have seen the same history.
    #[error("the reads that began at {} and {} contradict each other", one.0, other.0)]
    Contradiction {
        /// When one of them began.
        one: Time,
        /// When the other one began.
        other: Time,
    },
    /// A read saw less than what had been seen or acknowledged before it began, and what it missed was there afterwards.
    #[error("the read that began at {} saw an older state than what was seen or acknowledged before", read.0)]
    Stale {
        /// When it began.
        read: Time,
    },
    /// Nobody wrote what was read, or not yet.
    #[error("{value} was read (at {}) before anybody wrote it", read.0)]
    Invented {
        /// What was read.
        value: Value,
        /// When the read was over.
        read: Time,
    },
    /// A write that was refused took effect.
    #[error("{value} was refused and yet is in the read that began at {}", read.0)]
    Refused {
        /// What was refused.
        value: Value,
        /// When the read began.
        read: Time,
    },
    /// A transaction's own read does not end with its own append.
    #[error("the transaction that appended {value} did not read it as the last element")]
    NotAtomic {
        /// What it appended.
        value: Value,
    },
    /// Two compare-and-sets replaced the same value.
    #[error("both {one} and {other} replaced the same value by compare-and-set")]
    Forked {
        /// One successor.
        one: Value,
        /// The other one.
        other: Value,
    },
    /// Two values of a register were each seen after the other.
    #[error("{one} and {other} were each in the register after the other")]
    NotLinearizable {
        /// One of them; `None` is the register before any write.
        one: Seen,
        /// The other one.
        other: Seen,
    },
}

/// What a register held: `None` before any write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seen(pub Option<Value>);

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("nothing"),
        }
    }
}

/// What to count a breach as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An acknowledged write is gone.
    Lost,
    /// A write took effect twice.
    Duplicated,
    /// Writes, or what was seen of them, stand in an order that cannot be.
    Reordered,
    /// Anything else that is not linearizable: stale reads, values from nowhere.
    Inconsistent,
}

impl Breach {
    /// What to count it as.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Lost { .. } => Kind::Lost,
            Self::Duplicated { .. } => Kind::Duplicated,
            Self::Reordered { .. } | Self::Contradiction { .. } | Self::NotAtomic { .. } => Kind::Reordered,
            Self::Stale { .. }
            | Self::Invented { .. }
            | Self::Refused { .. }
            | Self::Forked { .. }
            | Self::NotLinearizable { .. } => Kind::Inconsistent,
        }
    }
}
