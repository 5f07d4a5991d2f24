//! Who must hold a write before it is acknowledged (W), and how many must promise before a new master is chosen (R).
//!
//! ```text
//!              propose (one voter joins or leaves, or the terms change)
//!   Settled ─────────────────────────────────────────────────────────────▶ Joint
//!      ▲                                                                     │ │
//!      └───── settle: the master holds everything acknowledged before on ────┘ │ ↺ turn back: the former config again,
//!             the new config's copies, in the group's epoch (I9)               ┘   under a new version
//! ```
//! - R + W > |V|, always, so that of R voters that promised one holds every acknowledged write (I4).
//! - While the change is joint, promises must satisfy R of *both* configs, and nothing stronger is published than both
//!   give (I9). So a change is safe whoever crashes, whichever of the two the master had adopted.
//! - Voters are named by [`NodeId`]: a node that lost its directory comes back as nobody's voter (I10).
//! - A config without voters is that of a group that has none yet, or of stock nodes, which can neither promise nor
//!   withhold: it constrains nothing.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::faults::{Fault, is_armed};
use crate::names::NodeId;
use crate::settings::{Ack, Durability, Settings};

/// The fewest copies that are worth the name: one survives the loss of the other.
pub const COPIES_LEAST: u32 = 2;

/// What a write needs. Its version grows with each change and is never used twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VotingConfig {
    /// Grows by one with each change.
    pub version: u64,
    /// Whether acknowledged writes may be lost.
    pub durability: Durability,
    /// W: how many hold a write before it is acknowledged, the master included. 1 in `async`.
    pub copies: u32,
    /// V: who counts. The master of the group's epoch is one of them.
    pub voters: BTreeSet<NodeId>,
    /// When a replica acknowledges.
    pub ack: Ack,
    /// A held reply that is older becomes an explicit error; 0: it waits for ever.
    pub quorum_timeout_ms: u32,
}

/// How the voters change: one at a time (I9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A learner has caught up.
    Join(NodeId),
    /// A voter was removed, or another node took its place.
    Leave(NodeId),
    /// The settings ask for other terms.
    Terms,
}

/// Why a change of the voters was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// One change at a time (I9).
    #[error("another change of the voters is under way")]
    UnderWay,
    /// It is so already.
    #[error("nothing to change")]
    Unchanged,
    /// Those who are left would be fewer than the copies that acknowledged writes need.
    #[error("{left} voters cannot hold {copies} copies: lower `copies`, add a node, or go back to durability async")]
    TooFew {
        /// Voters that would be left.
        left: usize,
        /// Copies that are asked for.
        copies: u32,
    },
    /// What the master reports is not the change that is under way.
    #[error("no change of the voters to version {0} is under way")]
    OtherVersion(u64),
}

impl VotingConfig {
    /// R: how many voters must promise before a master is chosen. In `async` one must, as in Redis.
    pub fn promises(&self) -> usize {
        match self.durability {
            Durability::Async => 1,
            Durability::Quorum => self.voters.len() + 1 - self.copies as usize,
        }
    }

    /// Do these nodes' promises suffice? A config without voters constrains nothing.
    pub fn is_satisfied(&self, promised: &BTreeSet<NodeId>) -> bool {
        self.voters.is_empty() || self.voters.intersection(promised).count() >= self.promises()
    }

    /// Could a master serve without any sentinel, if exactly these voters acknowledged (I13)?
    pub fn can_serve_alone(&self, acks: &BTreeSet<NodeId>) -> bool {
        let count = self.voters.intersection(acks).count();
        match self.durability {
            Durability::Async => count == self.voters.len(),
            Durability::Quorum => count >= self.promises().max(self.copies as usize),
        }
    }

    /// Does it ask for the same copies and promises? How long replies wait binds nobody.
    pub(crate) fn binds_as(&self, other: &Self) -> bool {
        let Self { durability, copies, voters, ack, version: _, quorum_timeout_ms: _ } = other;
        (&self.durability, &self.copies, &self.voters, &self.ack) == (durability, copies, voters, ack)
    }

    /// W as the settings ask for it, with this many voters.
    fn copies(settings: &Settings, voters: usize) -> u32 {
        let majority = u32::try_from(voters / 2 + 1).unwrap_or(u32::MAX);
        settings.copies.unwrap_or(majority).max(COPIES_LEAST)
    }

    /// Could all these changes be made, one after the other?
    pub fn expect_possible(
        &self,
        changes: impl IntoIterator<Item = Change>,
        settings: &Settings,
    ) -> Result<(), ConfigError> {
        let mut config = self.clone();
        for change in changes {
            match config.changed(&change, settings, None) {
                Ok(next) => config = next,
                Err(ConfigError::Unchanged) => {}
                Err(why) => return Err(why),
            }
        }
        Ok(())
    }

    /// The next config. `known`: how many nodes the group has; `None` when one of them can never vote. `quorum` begins once
    /// most of them do.
    pub(crate) fn changed(
        &self,
        change: &Change,
        settings: &Settings,
        known: Option<usize>,
    ) -> Result<Self, ConfigError> {
        let mut voters = self.voters.clone();
        match change {
            Change::Join(id) => drop(voters.insert(id.clone())),
            Change::Leave(id) => drop(voters.remove(id)),
            Change::Terms => {}
        }
        let copies = Self::copies(settings, voters.len());
        let enough = voters.len() >= copies as usize;
        let most = known.is_some_and(|known| voters.len() * 2 > known);
        let wanted = settings.durability == Durability::Quorum;
        let durability = match self.durability {
            // Never weakened by itself: only the operator's setting ends it.
            Durability::Quorum if wanted && !enough => {
                return Err(ConfigError::TooFew { left: voters.len(), copies });
            }
            Durability::Quorum if wanted => Durability::Quorum,
            Durability::Async if wanted && enough && most => Durability::Quorum,
            Durability::Async | Durability::Quorum => Durability::Async,
        };
        let next = Self {
            version: self.version + 1,
            durability,
            copies: if durability == Durability::Quorum { copies } else { 1 },
            voters,
            ack: settings.ack,
            quorum_timeout_ms: settings.quorum_timeout_ms,
        };
        if (Self { version: self.version, ..next.clone() }) == *self {
            return Err(ConfigError::Unchanged);
        }
        Ok(next)
    }
}

/// A group's config, and the one before it while the change is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Voting {
    /// One config.
    Settled(VotingConfig),
    /// The master may act upon either.
    Joint {
        /// What the master is told.
        config: VotingConfig,
        /// What it was told before.
        previous: VotingConfig,
    },
}

impl Default for Voting {
    fn default() -> Self {
        Self::Settled(VotingConfig { copies: 1, ..VotingConfig::default() })
    }
}

impl Voting {
    /// What a master is told.
    pub fn config(&self) -> &VotingConfig {
        match self {
            Voting::Settled(config) | Voting::Joint { config, .. } => config,
        }
    }

    /// Every config that a master may act upon.
    pub fn parts(&self) -> impl Iterator<Item = &VotingConfig> {
        let (config, previous) = match self {
            Voting::Settled(config) => (config, None),
            Voting::Joint { config, previous } => (config, Some(previous)),
        };
        std::iter::once(config).chain(previous)
    }

    /// What may be published: never stronger than what is in use (I9).
    pub fn published(&self) -> Durability {
        match self {
            Voting::Settled(config) => config.durability,
            Voting::Joint { config, previous } => config.durability.min(previous.durability),
        }
    }

    /// Some acknowledged write may be held by W voters and no more.
    pub fn withholds(&self) -> bool {
        self.parts().any(|part| part.durability == Durability::Quorum)
    }

    /// R of every part (I4, I9).
    pub fn is_satisfied(&self, promised: &BTreeSet<NodeId>) -> bool {
        if is_armed(Fault::I4Promises) {
            return true;
        }
        let parts = if is_armed(Fault::I9Joint) { 1 } else { 2 };
        self.parts().take(parts).all(|part| part.is_satisfied(promised))
    }

    /// R of every part, when some of those who promised may lack what they acknowledged: those count only if every voter
    /// promised, for then nobody holds more (I10).
    pub fn is_satisfied_by(&self, sure: &BTreeSet<NodeId>, unsure: &BTreeSet<NodeId>) -> bool {
        let all = sure | unsure;
        let everyone = self.parts().all(|part| part.voters.is_subset(&all));
        self.is_satisfied(sure) || (everyone && self.is_satisfied(&all))
    }

    /// There are no voters yet: a new group, or stock nodes.
    pub fn is_open(&self) -> bool {
        self.parts().all(|part| part.voters.is_empty())
    }

    /// The node votes in some part.
    pub fn knows(&self, id: &NodeId) -> bool {
        self.parts().any(|part| part.voters.contains(id))
    }

    /// Begins a change; `known` as many nodes as the group has, `None` when one of them can never vote.
    pub fn propose(
        &mut self,
        change: &Change,
        settings: &Settings,
        known: Option<usize>,
    ) -> Result<&VotingConfig, ConfigError> {
        let Voting::Settled(now) = self else { return Err(ConfigError::UnderWay) };
        let config = now.changed(change, settings, known)?;
        *self = match config.binds_as(now) || is_armed(Fault::I9Settle) {
            false => Voting::Joint { config, previous: now.clone() },
            true => Voting::Settled(config),
        };
        Ok(self.config())
    }

    /// The master adopted this version: what it acknowledged before is held by the new config's copies.
    pub fn settle(&mut self, version: u64) -> Result<&VotingConfig, ConfigError> {
        match self {
            Voting::Joint { config, .. } if config.version == version => *self = Voting::Settled(config.clone()),
            Voting::Joint { .. } | Voting::Settled(_) => return Err(ConfigError::OtherVersion(version)),
        }
        Ok(self.config())
    }

    /// Gives up the change that is under way: the former config again, as a new version, since the master may have adopted
    /// the other meanwhile. Both parts stay binding until it has adopted this one.
    pub fn turn_back(&mut self) -> Result<&VotingConfig, ConfigError> {
        let Voting::Joint { config, previous } = self else { return Err(ConfigError::Unchanged) };
        let back = VotingConfig { version: config.version + 1, ..previous.clone() };
        *self = Voting::Joint { config: back, previous: config.clone() };
        Ok(self.config())
    }

    /// Nobody holds any data: there is nothing to guard, and whoever voted is no more.
    pub(crate) fn begin_anew(&mut self) {
        let version = self.config().version + 1;
        *self = Voting::Settled(VotingConfig { version, copies: 1, ..VotingConfig::default() });
    }
}

/// As events and `status` show it.
impl std::fmt::Display for VotingConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { version, durability, copies, voters, .. } = self;
        write!(f, "version {version} durability {} copies {copies} voters {}", durability.as_str(), voters.len())
    }
}
