//! I2, I4: nobody is chosen before enough voters have the promise on their disks: R = |V| - W + 1 of each config that may be in use. In `async` somebody
//! has: a voter, unless the operator or the voters' losses made the choice.

use std::collections::{BTreeMap, BTreeSet};

use quorate_registry::command::Ground;
use quorate_registry::{Command, Durability, Group, NodeId};

use super::Breach;
use crate::sentinel::Applied;

const PROPERTY: &str = "no promotion without promises";

/// The highest promise that each node, by its name, ever had on its disk.
#[derive(Debug, Default)]
pub struct Promises {
    kept: BTreeMap<NodeId, u64>,
}

impl Promises {
    /// A node's state file was written.
    pub fn kept(&mut self, node: NodeId, promised: u64) {
        let known = self.kept.entry(node).or_default();
        *known = promised.max(*known);
    }

    /// A sentinel applied a command, and its registry had this group before.
    pub fn applied(&self, one: &Applied, group: &Group) -> Result<(), Breach> {
        let Command::Chosen { epoch, candidate, ground, .. } = &one.command else { return Ok(()) };
        // Without any data there is nothing to lose, and nobody votes; and an operator may give up what too few are left to vouch for.
        if !one.changed || matches!(ground, Ground::Blank | Ground::LossAccepted) {
            return Ok(());
        }
        let promised: BTreeSet<NodeId> =
            self.kept.iter().filter(|(_, kept)| **kept >= epoch.0).map(|(node, _)| node.clone()).collect();
        for config in group.voting.parts().filter(|config| !config.voters.is_empty()) {
            let (needed, count) = match config.durability {
                Durability::Quorum => {
                    (config.voters.len() + 1 - config.copies as usize, config.voters.intersection(&promised).count())
                }
                Durability::Async => (1, promised.len()),
            };
            if count < needed {
                let what =
                    format!("{candidate} was chosen for epoch {epoch} with {count} promises of {needed} on disk");
                return Err(Breach::of(PROPERTY, what));
            }
        }
        Ok(())
    }
}
