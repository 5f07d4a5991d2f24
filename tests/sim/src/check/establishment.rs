//! I5: a `quorum` master has committed nothing in its epoch, and lets nobody see anything, before W voters hold the barrier of that epoch.

use std::collections::BTreeSet;

use quorate_replication::{Epoch, Offset, VotingConfig};

use super::Breach;
use super::holdings::Holdings;

const PROPERTY: &str = "nothing is committed before the barrier";

/// The epochs that have begun.
#[derive(Debug, Default)]
pub struct Establishment {
    begun: BTreeSet<Epoch>,
}

impl Establishment {
    /// A master's turn has ended, with so much committed.
    pub fn turned(
        &mut self,
        epoch: Epoch,
        config: &VotingConfig,
        committed: Offset,
        holdings: &Holdings,
    ) -> Result<(), Breach> {
        if committed == Offset(0) || !self.begun.insert(epoch) || !config.is_quorum() {
            return Ok(());
        }
        let count = config.voters().iter().filter(|voter| holdings.held_epoch(**voter, epoch)).count();
        if count >= config.copies() {
            return Ok(());
        }
        let needed = config.copies();
        Err(Breach::of(
            PROPERTY,
            format!("epoch {epoch} went to {committed} with its barrier in {count} of {needed} copies"),
        ))
    }
}
