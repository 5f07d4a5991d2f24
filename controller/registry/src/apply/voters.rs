//! Who belongs to a group, and who votes in it.

use super::{News, Rejected};
use crate::command::NodeSpec;
use crate::event::{instance_master, instance_replica};
use crate::failover::Phase;
use crate::model::{Group, MAX_NODES, Membership, NodeRecord};
use crate::names::{Epoch, GroupName, NodeKey};
use crate::settings::{Durability, Settings};
use crate::voting::{COPIES_LEAST, Change, ConfigError, Voting, VotingConfig};

impl Group {
    /// I9: who counts never changes while promises are collected or a chosen node has not said that it is master.
    fn expect_no_choice(&self) -> Result<(), Rejected> {
        match self.failover.as_ref().map(|failover| &failover.phase) {
            None | Some(Phase::Reconfiguring { .. }) => Ok(()),
            Some(_) => Err(Rejected::Phase),
        }
    }

    /// Could the group give what the settings ask for? Nodes that did not answer yet have the benefit of the doubt; until
    /// they vote the group stays `async`, and says so.
    pub(crate) fn expect_possible(&self, settings: &Settings) -> Result<(), Rejected> {
        if settings.durability == Durability::Async {
            return Ok(());
        }
        if let Some((node, _)) = self.nodes.iter().find(|(_, record)| record.stock()) {
            return Err(Rejected::StockNode(node.clone()));
        }
        // Whoever is to leave holds no copy for long.
        let leaving = |record: &&NodeRecord| record.membership == Membership::Leaves;
        let leavers: Vec<_> = self.nodes.values().filter(leaving).filter_map(NodeRecord::id).collect();
        let votes = self.voting.config().voters.iter().filter(|voter| !leavers.contains(voter)).count();
        let nodes = if self.voting.withholds() { votes } else { self.staying() };
        let copies = settings.copies.unwrap_or(COPIES_LEAST);
        if nodes < copies as usize {
            return Err(Rejected::TooFewNodes { copies, nodes });
        }
        Ok(())
    }

    /// The config is what the settings ask for and the voters can give, and the master has adopted it.
    pub fn is_settled(&self) -> bool {
        let Voting::Settled(config) = &self.voting else { return false };
        config.changed(&Change::Terms, &self.settings, self.known()).is_err()
    }

    pub(super) fn add(&mut self, name: &GroupName, spec: NodeSpec, news: &mut News) -> Result<(), Rejected> {
        if let Some(record) = self.nodes.get_mut(&spec.node) {
            if record.membership == Membership::Stays {
                return Err(Rejected::Unchanged);
            }
            record.membership = Membership::Stays; // the removal is taken back
            return Ok(());
        }
        if self.nodes.len() >= MAX_NODES {
            return Err(Rejected::TooMany("nodes"));
        }
        self.removed.remove(&spec.node);
        self.nodes.insert(spec.node.clone(), NodeRecord { tags: spec.tags, ..NodeRecord::default() });
        news.tell(name, self, "+slave", instance_replica(name, self, &spec.node));
        Ok(())
    }

    /// Whoever votes gives up its vote first: the leader sees to that, and has the node forgotten then.
    pub(super) fn remove(&mut self, name: &GroupName, node: NodeKey, news: &mut News) -> Result<(), Rejected> {
        self.expect_removable(&node)?;
        let Some(id) = self.nodes[&node].id().filter(|id| self.voting.knows(id)) else {
            let (left, copies) = (self.staying().saturating_sub(1), self.voting.config().copies);
            if self.voting.withholds() && left < copies as usize {
                return Err(ConfigError::TooFew { left, copies }.into()); // it is to take the place of a voter that was lost
            }
            return self.forget(name, node, news);
        };
        if self.nodes[&node].membership == Membership::Leaves {
            return Err(Rejected::Unchanged);
        }
        // Refused now rather than never carried out.
        let leaving = self.nodes.values().filter(|record| record.membership == Membership::Leaves);
        let leavers = leaving.filter_map(NodeRecord::id).chain([id]).map(Change::Leave);
        self.voting.config().expect_possible(leavers, &self.settings)?;
        self.nodes.get_mut(&node).expect("checked above").membership = Membership::Leaves;
        Ok(())
    }

    pub(super) fn forget(&mut self, name: &GroupName, node: NodeKey, news: &mut News) -> Result<(), Rejected> {
        self.expect_no_choice()?;
        self.expect_removable(&node)?;
        if self.nodes[&node].id().is_some_and(|id| self.voting.knows(&id)) {
            return Err(Rejected::Phase); // I9: its vote goes first
        }
        if self.removed.len() >= MAX_NODES {
            self.removed.pop_first();
        }
        news.tell(name, self, "-slave", instance_replica(name, self, &node));
        self.nodes.remove(&node);
        self.removed.insert(node);
        Ok(())
    }

    fn expect_removable(&self, node: &NodeKey) -> Result<(), Rejected> {
        if *node == self.master {
            return Err(Rejected::IsMaster(node.clone()));
        }
        self.expect_replica(node)
    }

    fn staying(&self) -> usize {
        self.nodes.values().filter(|record| record.membership == Membership::Stays).count()
    }

    /// How many nodes there are; `None` when one of them can never vote.
    fn known(&self) -> Option<usize> {
        (!self.stock()).then_some(self.nodes.len())
    }

    /// A step of the voting, in the epoch in which its proposer saw cause for it; `event` tells what became of the voters.
    pub(super) fn vote(
        &mut self,
        name: &GroupName,
        epoch: Epoch,
        event: &str,
        step: impl FnOnce(&mut Self) -> Result<&VotingConfig, ConfigError>,
        news: &mut News,
    ) -> Result<(), Rejected> {
        self.expect_epoch(epoch)?;
        self.expect_no_choice()?;
        let told = step(self)?.to_string();
        news.tell(name, self, event, format!("{} {told}", instance_master(name, self)));
        Ok(())
    }

    /// One voter joins or leaves, or the terms change.
    pub(super) fn change_voters(
        &mut self,
        change: &Change,
        supersedes: Option<u64>,
    ) -> Result<&VotingConfig, ConfigError> {
        if let Change::Join(id) = change {
            let is_it =
                |record: &NodeRecord| record.membership == Membership::Stays && record.id().as_ref() == Some(id);
            if !self.nodes.values().any(is_it) {
                return Err(ConfigError::NotHere);
            }
        }
        let known = self.known();
        self.voting.propose(change, supersedes, &self.settings, known)
    }

    /// Back to the former config of version `to`, or to the newest, while `version` is being told.
    pub(super) fn turn_back_voters(&mut self, version: u64, to: Option<u64>) -> Result<&VotingConfig, ConfigError> {
        let Voting::Joint { config, previous } = &self.voting else { return Err(ConfigError::Unchanged) };
        if config.version != version {
            return Err(ConfigError::OtherVersion(version));
        }
        let to = to.or(previous.first().map(|part| part.version)).ok_or(ConfigError::Unchanged)?;
        self.voting.turn_back(to)
    }

    /// A master that votes in former configs alone was chosen while it was leaving: it stays.
    pub(super) fn keep_master_a_voter(&mut self, name: &GroupName, master: &NodeKey, news: &mut News) {
        let Some(record) = self.nodes.get_mut(master) else { return };
        record.membership = Membership::Stays;
        let Some(id) = record.id() else { return };
        if self.voting.config().voters.contains(&id) {
            return;
        }
        let Some(to) = self.voting.parts().find(|part| part.voters.contains(&id)).map(|part| part.version) else {
            return;
        };
        let told = self.voting.turn_back(to).expect("a former config, and no more of them than there were").to_string();
        news.tell(name, self, "-voters-change", format!("{} {told}", instance_master(name, self)));
    }
}
