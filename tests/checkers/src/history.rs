//! What clients did and saw.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A moment, in nanoseconds on the one clock by which a whole history is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time(pub u64);

/// What a write wrote: unique within its key, so that a read names the write that it saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Value(pub u64);

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who called. It has one call open at a time; the judges do not use it, a reader of a history does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Client(pub u32);

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// It was acknowledged, at this moment at the latest.
    Ok(Time),
    /// It was refused in a way that says that it did not happen and never will.
    Refused,
    /// Nobody knows (a timeout, a closed connection, an answer that says so): it may take effect at any time after it began, or never.
    Unknown,
}

/// One call on a key. A read is in a history only when it was answered: its operation carries what it saw, and one that ended otherwise is
/// passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call<O> {
    /// Who called.
    pub client: Client,
    /// What was asked, and for a read what was seen.
    pub op: O,
    /// When it was sent, or before.
    pub began: Time,
    /// How it ended.
    pub end: End,
}

impl<O> Call<O> {
    /// When it was over for whoever called: after that moment nobody may act as if it had not happened. Never, unless it was acknowledged.
    pub(crate) fn over(&self) -> Time {
        match self.end {
            End::Ok(at) => at,
            End::Refused | End::Unknown => Time(u64::MAX),
        }
    }

    /// Was it acknowledged?
    pub(crate) fn acknowledged(&self) -> bool {
        matches!(self.end, End::Ok(_))
    }
}
