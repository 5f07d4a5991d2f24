//! The one way to change the registry: a committed entry in, events out.

use crate::command::Entry;
use crate::event::Event;
use crate::model::Registry;
use crate::names::{Epoch, GroupName, NodeKey};
use crate::settings::SettingError;

/// Why a command changed nothing. Every sentinel refuses the same commands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Sentinel's text for a group that is not watched.
    #[error("No such master with that name")]
    NoSuchGroup(GroupName),
    /// Sentinel's text for a name that is taken.
    #[error("Duplicate master name.")]
    Duplicate(GroupName),
    /// Sentinel's text for a second failover.
    #[error("Failover already in progress")]
    InProgress(GroupName),
    /// Sentinel's text for a failover that has no one to choose.
    #[error("No suitable replica to promote")]
    NoGoodReplica,
    /// The compare-and-set on the epoch failed (I1).
    #[error("the group's epoch is {actual}, not {expected}")]
    Epoch {
        /// What the proposer saw.
        expected: Epoch,
        /// What is committed.
        actual: Epoch,
    },
    /// The failover's phase has no such arrow.
    #[error("the failover is not in a phase for that")]
    Phase,
    /// The group has no such node, or the command is not for its role.
    #[error("no such replica: {0}")]
    NoSuchNode(NodeKey),
    /// A bound was reached.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// A setting was refused.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The command says what is already so.
    #[error("nothing to change")]
    Unchanged,
}

impl Registry {
    /// Applies a committed entry: the events to publish, which are in the history too, or why nothing changed.
    /// An entry at or below [`Registry::applied`] was applied before and is refused.
    pub fn apply(&mut self, _index: u64, _entry: Entry) -> Result<Vec<Event>, Rejected> {
        todo!()
    }
}
