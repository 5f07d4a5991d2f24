//! I5: a `quorum` master has committed nothing in its epoch, and lets nobody see anything, before W voters hold the barrier of that epoch.

use std::collections::{BTreeMap, BTreeSet};

use quorate_replication::{Epoch, NodeId, Offset};

use super::Breach;
use super::holdings::{Holdings, bytes};
use super::voters::Master;
use crate::node::Holding;

const PROPERTY: &str = "nothing is committed before the barrier";

/// The epochs that have begun.
#[derive(Debug, Default)]
pub struct Establishment {
    begun: BTreeSet<Epoch>,
    acts_upon: BTreeMap<Epoch, u64>,
    last: BTreeMap<NodeId, Holding>,
    /// Where the histories begin that masters began: their barriers stand there.
    begins: BTreeMap<[u8; 40], Offset>,
}

impl Establishment {
    /// A node's turn has run.
    pub fn holds(&mut self, node: NodeId, holding: &Holding) {
        let before = self.last.insert(node, *holding);
        if let Some(before) = before.filter(|before| before.replid != holding.replid) {
            self.begins.entry(bytes(holding.replid)).or_insert(before.offset);
        }
    }

    /// A master's turn has ended, with so much committed.
    pub fn turned(
        &mut self,
        Master { epoch, config, replid, committed, .. }: Master<'_>,
        holdings: &Holdings,
    ) -> Result<(), Breach> {
        if config.is_quorum()
            && let Some(begin) = self.begins.get(&bytes(replid))
            && committed > Offset(0)
            && committed <= *begin
        {
            let what = format!("epoch {epoch} committed up to {committed}, and its barrier stands behind {begin}");
            return Err(Breach::of(PROPERTY, what));
        }
        // A config that it took within this turn may have been followed by another: what was committed was by the one between.
        let is_new = self.acts_upon.insert(epoch, config.version()) != Some(config.version());
        if committed == Offset(0) || !self.begun.insert(epoch) || !config.is_quorum() || is_new {
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
