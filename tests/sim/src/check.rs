//! What must always be so: one file a property. Each sees the world go by and speaks up at the first breach.

pub mod control;
pub mod converged;
pub mod discovery;
pub mod establishment;
pub mod histories;
pub mod holdings;
pub mod lease;
pub mod one_master;
pub mod prefix;
pub mod promises;
pub mod voters;

use std::fmt;

/// A property that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Which.
    pub property: &'static str,
    /// What was seen.
    pub what: String,
}

impl Breach {
    /// Of this property.
    pub fn of(property: &'static str, what: impl Into<String>) -> Breach {
        Breach { property, what: what.into() }
    }
}

impl Breach {
    /// Something happened that must not, rather than something that should have did not.
    pub fn is_unsafe(&self) -> bool {
        self.property != converged::PROPERTY
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.what)
    }
}
