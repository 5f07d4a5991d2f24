//! I9: the published voters are never weaker than those in use. A master acts upon one of the configs that the registry holds for binding, and a
//! config is settled only once the master has adopted it and its W voters hold everything that was acknowledged before.

use std::collections::BTreeMap;

use quorate_registry as registry;
use quorate_registry::command::Ground;
use quorate_registry::failover::Phase;
use quorate_registry::{Command, Group};
use quorate_replication::{Epoch, Offset, ReplId, VotingConfig};

use super::Breach;
use super::holdings::Holdings;
use crate::node::config_of;
use crate::sentinel::Applied;

const PROPERTY: &str = "published voters are never weaker than those in use";

/// What the master of an epoch acts upon.
#[derive(Debug)]
struct InUse {
    config: VotingConfig,
    replid: ReplId,
    /// What it may have acknowledged so far.
    acknowledged: Offset,
    /// What it may have acknowledged under other configs than this one.
    covers: Offset,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Voters {
    masters: BTreeMap<Epoch, InUse>,
}

/// A master, as its turn ends.
#[derive(Debug, Clone, Copy)]
pub struct Master<'a> {
    /// Its epoch.
    pub epoch: Epoch,
    /// What its acknowledgements follow.
    pub config: &'a VotingConfig,
    /// Its history.
    pub replid: ReplId,
    /// The stream's end.
    pub written: Offset,
    /// What W voters hold.
    pub committed: Offset,
}

impl Voters {
    /// A master's turn has ended. `group`: as it was committed first.
    pub fn turned(&mut self, master: Master<'_>, group: &Group) -> Result<(), Breach> {
        let Master { epoch, config, replid, written, committed } = master;
        let acknowledged = if config.is_quorum() { committed } else { written };
        // The same node may be told a second time, after a restart: it begins a new history behind all that it held.
        let is_news = match self.masters.get_mut(&epoch).filter(|known| known.replid == replid) {
            Some(known) if known.config.version() == config.version() => {
                known.acknowledged = acknowledged.max(known.acknowledged);
                false
            }
            Some(known) => {
                known.covers = known.acknowledged.max(known.covers);
                (known.config, known.acknowledged) = (config.clone(), acknowledged);
                true
            }
            // What earlier masters acknowledged stands in front of its barrier, which is all that it has written.
            None => {
                let config = config.clone();
                self.masters.insert(epoch, InUse { config, replid, acknowledged: committed, covers: written });
                true
            }
        };
        if is_news { self.expect_bound(group) } else { Ok(()) }
    }

    /// A sentinel applied a command; the group was so before, and is so now.
    pub fn applied(&mut self, one: &Applied, before: &Group, now: &Group, holdings: &Holdings) -> Result<(), Breach> {
        if let (Command::Chosen { ground: Ground::Blank | Ground::LossAccepted, .. }, true) =
            (&one.command, one.changed)
        {
            self.masters.clear(); // nobody holds anything, or what was held is given up; and every mastership so far is over
        }
        if let (Command::VotersSettled { epoch, version, .. }, true) = (&one.command, one.changed) {
            self.expect_settled(Epoch(epoch.0), *version, before, holdings)?;
        }
        self.expect_bound(now)
    }

    /// The masters that may serve act upon what is held for binding.
    fn expect_bound(&self, group: &Group) -> Result<(), Breach> {
        let chosen = group.failover.as_ref().filter(|failover| matches!(failover.phase, Phase::Promoting { .. }));
        // Once somebody is chosen, the mastership before is over: R have promised.
        let epoch = chosen.map_or(group.epoch, |failover| failover.epoch);
        let Some(InUse { config, .. }) = self.masters.get(&Epoch(epoch.0)) else { return Ok(()) };
        if group.voting.parts().any(|part| says_the_same(config, &config_of(part))) {
            return Ok(());
        }
        let what = format!("the master of epoch {epoch} acts upon {config:?}, and {:?} is published", group.voting);
        Err(Breach::of(PROPERTY, what))
    }

    fn expect_settled(&self, epoch: Epoch, version: u64, group: &Group, holdings: &Holdings) -> Result<(), Breach> {
        let config: &registry::VotingConfig = group.voting.config();
        let adopted = self.masters.get(&epoch).filter(|master| master.config.version() == version);
        let Some(InUse { replid, covers, .. }) = adopted else {
            return Err(Breach::of(PROPERTY, format!("config {version} was settled and not adopted in epoch {epoch}")));
        };
        let config = config_of(config);
        let held: Vec<Option<Offset>> = config.voters().iter().map(|voter| holdings.most(*voter, *replid)).collect();
        let count = held.iter().filter(|most| most.is_some_and(|most| most >= *covers)).count();
        if !config.is_quorum() || count >= config.copies() {
            return Ok(());
        }
        let needed = config.copies();
        let what = format!(
            "config {version} was settled with {count} of {needed} copies of what was acknowledged up to {covers}"
        );
        Err(Breach::of(PROPERTY, format!("{what}: the voters held {held:?}")))
    }
}

fn says_the_same(one: &VotingConfig, other: &VotingConfig) -> bool {
    let said = |config: &VotingConfig| (config.durability(), config.voters().to_vec(), config.acks());
    said(one) == said(other)
}
