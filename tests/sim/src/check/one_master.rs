//! I1: an epoch has one master, whoever asks: the nodes themselves and the registry that each sentinel applied.

use std::collections::BTreeMap;

use quorate_engine::{Facts, NodeRole};
use quorate_registry::Command;

use super::Breach;
use crate::node::place;
use crate::sentinel::Applied;

const PROPERTY: &str = "one master per epoch";

/// Who was master, by epoch.
#[derive(Debug, Default)]
pub struct OneMaster {
    served: BTreeMap<u64, usize>,
    chosen: BTreeMap<u64, usize>,
    applied: BTreeMap<u64, Command>,
}

impl OneMaster {
    /// A node says what it is.
    pub fn node(&mut self, node: usize, facts: &Facts) -> Result<(), Breach> {
        if facts.role != NodeRole::Master {
            return Ok(());
        }
        let first = *self.served.entry(facts.epoch.0).or_insert(node);
        if first == node {
            return Ok(());
        }
        Err(Breach::of(PROPERTY, format!("nodes {first} and {node} were both master of epoch {}", facts.epoch)))
    }

    /// A sentinel applied a command.
    pub fn applied(&mut self, one: &Applied) -> Result<(), Breach> {
        let first = self.applied.entry(one.index).or_insert_with(|| one.command.clone());
        if *first != one.command {
            return Err(Breach::of(PROPERTY, format!("two commands were committed at index {}", one.index)));
        }
        let Command::Chosen { epoch, candidate, .. } = &one.command else { return Ok(()) };
        if !one.changed {
            return Ok(());
        }
        let node = place(candidate);
        let first = *self.chosen.entry(epoch.0).or_insert(node);
        if first == node {
            return Ok(());
        }
        Err(Breach::of(PROPERTY, format!("epoch {epoch} was given to nodes {first} and {node}")))
    }
}
