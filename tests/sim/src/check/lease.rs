//! An `async` master that is cut off with a client loses no more than one lease of its writes: nothing is acknowledged that was asked for later.
//!
//! Cut off is a node that nothing reaches, of any sentinel or other node: no grant, and no acknowledgement that could stand for one (I13).

use std::collections::BTreeMap;
use std::time::Duration;

use super::Breach;
use crate::history::Call;
use crate::time::Time;

const PROPERTY: &str = "a master that is cut off loses one lease of its writes at most";

/// From an input to the turn that takes it, and back: nothing of it is counted.
const TURN: Duration = Duration::from_millis(1);

/// Since when each node is cut off.
#[derive(Debug, Default)]
pub struct CutOff {
    since: BTreeMap<usize, Time>,
    /// How many acknowledgements were looked at.
    pub seen: u64,
}

impl CutOff {
    /// Paths were cut or healed.
    pub fn paths_changed(&mut self, now: Time, nodes: usize, is_cut_off: impl Fn(usize) -> bool) {
        for node in 0..nodes {
            if is_cut_off(node) {
                self.since.entry(node).or_insert(now);
            } else {
                self.since.remove(&node);
            }
        }
    }

    /// Since when this node is.
    pub fn since(&self, node: usize) -> Option<Time> {
        self.since.get(&node).copied()
    }

    /// A client was told that its write is done.
    pub fn acknowledged(&mut self, call: &Call, lease: Duration) -> Result<(), Breach> {
        let Some(node) = call.node else { return Ok(()) };
        let Some(since) = self.since(node) else { return Ok(()) };
        self.seen += 1;
        if call.began < since.plus(lease).plus(TURN) {
            return Ok(());
        }
        let late = Duration::from_micros(call.began.0 - since.0);
        let what = format!("node {node} took {:?} {late:?} after it was cut off, with a lease of {lease:?}", call.op);
        Err(Breach::of(PROPERTY, what))
    }
}
