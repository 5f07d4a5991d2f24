//! I14: whoever asks a sentinel for the master is never told of a mastership that was over when it asked.

use std::collections::BTreeMap;

use quorate_registry::Epoch;

use super::Breach;

const PROPERTY: &str = "a sentinel names no master of the past";

/// What was published when each client asked.
#[derive(Debug, Default)]
pub struct Discovery {
    published: BTreeMap<(usize, u64), Epoch>,
}

impl Discovery {
    /// A client asks.
    pub fn asked(&mut self, client: usize, wish: u64, published: Epoch) {
        self.published.retain(|(other, _), _| *other != client);
        self.published.insert((client, wish), published);
    }

    /// It is told.
    pub fn told(&mut self, client: usize, wish: u64, epoch: Epoch) -> Result<(), Breach> {
        match self.published.get(&(client, wish)) {
            Some(published) if epoch < *published => {
                Err(Breach::of(PROPERTY, format!("{published} was published, and a client was told of {epoch}")))
            }
            _ => Ok(()),
        }
    }
}
