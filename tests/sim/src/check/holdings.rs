//! No property: what each node ever held, by the name under which it has its data. Whoever acknowledged something held it then, whatever became of it.

use std::collections::{BTreeMap, BTreeSet};

use quorate_replication::{Epoch, NodeId, Offset, ReplId};

use crate::node::Holding;

/// See the module.
#[derive(Debug, Default)]
pub struct Holdings {
    most: BTreeMap<(NodeId, [u8; 40]), Offset>,
    epochs: BTreeMap<NodeId, BTreeSet<Epoch>>,
}

impl Holdings {
    /// A node's turn has run.
    pub fn holds(&mut self, node: NodeId, holding: &Holding) {
        let most = self.most.entry((node, bytes(holding.replid))).or_default();
        *most = holding.offset.max(*most);
        self.epochs.entry(node).or_default().insert(holding.epoch);
    }

    /// The most that it ever held of this history.
    pub fn most(&self, node: NodeId, replid: ReplId) -> Option<Offset> {
        self.most.get(&(node, bytes(replid))).copied()
    }

    /// Did it ever hold a write of this epoch, as its newest?
    pub fn held_epoch(&self, node: NodeId, epoch: Epoch) -> bool {
        self.epochs.get(&node).is_some_and(|epochs| epochs.contains(&epoch))
    }
}

/// A history's name, in an order.
pub fn bytes(replid: ReplId) -> [u8; 40] {
    replid.as_str().as_bytes().try_into().expect("forty digits")
}
