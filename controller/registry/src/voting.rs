//! Who must hold a write before it is acknowledged (W), and how many must promise before a new master is chosen (R).
//!
//! ```text
//!              propose (one voter joins or leaves, or the terms change)
//!   Settled ─────────────────────────────────────────────────────────────▶ Joint
//!      ▲                                                                     │ │
//!      └───── settle: the master holds everything acknowledged before on ────┘ │ ↺ turn back: a former config again,
//!             the new config's copies, in the group's epoch (I9)               │   under a new version
//!                                                                              ┘ ↺ supersede: one more step, when too few
//!                                                                                  of the newest config's voters are there
//! ```
//! - R + W > |V|, always, so that of R voters that promised one holds every acknowledged write (I4).
//! - While the change is joint, promises must satisfy R of *every* config that the master may act upon, and nothing stronger
//!   is published than the weakest of them gives (I9). So a change is safe whoever crashes, whichever the master had adopted.
//! - A config that was superseded or turned back binds on until a newer one is settled: the master covers with the newer one
//!   whatever it acknowledged under those before, so a step may lead away from a config that nobody can settle any more,
//!   since a voter is lost for good; it needs no more and binds no less than a change that was never interrupted (I9).
//! - Voters are named by [`NodeId`]: a node that lost its directory comes back as nobody's voter (I10).
//! - A config without voters is that of a group that has none yet, or of stock nodes, which can neither promise nor
//!   withhold: it constrains nothing.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::faults::{Fault, is_armed};
use crate::names::NodeId;
use crate::settings::{Ack, Durability, Settings};

/// The most configs that bind at a time. At the bound a change under way can be settled or turned back only.
pub const PARTS_MOST: usize = 16;

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
    /// It was removed while it was let in.
    #[error("no node of that name is to stay in the group")]
    NotHere,
    /// A bound was reached.
    #[error("{PARTS_MOST} configs bind already: the change of the voters has to be settled, or turned back")]
    TooManyParts,
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

/// A group's config, and those before it while the change is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Voting {
    /// One config.
    Settled(VotingConfig),
    /// The master may act upon any of these.
    Joint {
        /// What the master is told.
        config: VotingConfig,
        /// What it was told before, newest first, none of which binds as another or as `config`; at least one.
        #[serde(deserialize_with = "one_or_several")]
        previous: Vec<VotingConfig>,
    },
}

/// Snapshots from before a change could be superseded hold one.
fn one_or_several<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<VotingConfig>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Previous {
        One(VotingConfig),
        Several(Vec<VotingConfig>),
    }
    Ok(match Previous::deserialize(from)? {
        Previous::One(config) => vec![config],
        Previous::Several(configs) => configs,
    })
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
        let (config, previous): (_, &[VotingConfig]) = match self {
            Voting::Settled(config) => (config, &[]),
            Voting::Joint { config, previous } => (config, previous),
        };
        std::iter::once(config).chain(previous)
    }

    /// What may be published: never stronger than what is in use (I9).
    pub fn published(&self) -> Durability {
        self.parts().map(|part| part.durability).min().expect("there is a newest config")
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
        let parts = if is_armed(Fault::I9Joint) { 1 } else { PARTS_MOST };
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

    /// Begins a change; `known` as many nodes as the group has, `None` when one of them can never vote. `supersedes`: the version
    /// of the change under way whose place this one takes, `None` when none is under way.
    pub fn propose(
        &mut self,
        change: &Change,
        supersedes: Option<u64>,
        settings: &Settings,
        known: Option<usize>,
    ) -> Result<&VotingConfig, ConfigError> {
        match (&*self, supersedes) {
            (Voting::Settled(_), None) => {}
            (Voting::Joint { config, .. }, Some(version)) if config.version == version => {}
            (Voting::Joint { .. }, None) => return Err(ConfigError::UnderWay),
            (Voting::Joint { .. } | Voting::Settled(_), Some(version)) => {
                return Err(ConfigError::OtherVersion(version));
            }
        }
        let config = self.config().changed(change, settings, known)?;
        self.tell(config)
    }

    /// The newest config gives way to this one. I9: whatever the master may have acted upon binds on; of two that bind alike one is enough.
    fn tell(&mut self, config: VotingConfig) -> Result<&VotingConfig, ConfigError> {
        let previous: Vec<VotingConfig> = self.parts().filter(|part| !part.binds_as(&config)).cloned().collect();
        if previous.len() >= PARTS_MOST {
            return Err(ConfigError::TooManyParts);
        }
        *self = match previous.is_empty() || is_armed(Fault::I9Settle) {
            false => Voting::Joint { config, previous },
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

    /// Gives up the change that is under way: the former config of version `to` again, as a new version, since the master may have
    /// adopted the other meanwhile. All stay binding until it has adopted this one.
    pub fn turn_back(&mut self, to: u64) -> Result<&VotingConfig, ConfigError> {
        let Voting::Joint { config, previous } = self else { return Err(ConfigError::Unchanged) };
        let back = previous.iter().find(|part| part.version == to).ok_or(ConfigError::OtherVersion(to))?;
        let back = VotingConfig { version: config.version + 1, ..back.clone() };
        self.tell(back)
    }

    /// Nobody holds any data, so that there is nothing to guard; or the operator gave up what is lost. Whoever voted is no more.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> NodeId {
        format!("{n:040}").parse().expect("40 digits")
    }

    fn ids(of: &[u8]) -> BTreeSet<NodeId> {
        of.iter().map(|n| id(*n)).collect()
    }

    fn quorum() -> Settings {
        Settings { durability: Durability::Quorum, ..Settings::default() }
    }

    fn settled(voters: &[u8], copies: u32) -> Voting {
        let config = VotingConfig {
            version: 1,
            durability: Durability::Quorum,
            copies,
            voters: ids(voters),
            ..VotingConfig::default()
        };
        Voting::Settled(config)
    }

    /// Steps `+n` and `-n` one on top of the other, then whose promises suffice and whose do not.
    fn check(voters: &[u8], copies: u32, steps: &[i8], enough: &[&[u8]], too_few: &[&[u8]]) -> Voting {
        let mut voting = settled(voters, copies);
        for step in steps {
            let who = id(step.unsigned_abs());
            let change = if *step > 0 { Change::Join(who) } else { Change::Leave(who) };
            let supersedes = matches!(voting, Voting::Joint { .. }).then(|| voting.config().version);
            voting.propose(&change, supersedes, &quorum(), Some(9)).expect("possible");
        }
        for promised in enough {
            assert!(voting.is_satisfied(&ids(promised)), "{promised:?} of {voting:?}");
        }
        for promised in too_few {
            assert!(!voting.is_satisfied(&ids(promised)), "{promised:?} of {voting:?}");
        }
        voting
    }

    /// I9: what the master may have acted upon binds until something newer is settled.
    #[test]
    fn every_config_that_may_be_in_use_binds() {
        check(&[1, 2], 2, &[3], &[&[1, 2], &[2, 3]], &[&[1], &[3]]);
        let mut voting = check(&[1, 2, 3], 2, &[4, 5], &[&[1, 2, 4], &[2, 3, 5]], &[&[1, 4, 5], &[1, 2]]);
        assert_eq!(voting.parts().map(|part| part.voters.len()).collect::<Vec<_>>(), [5, 4, 3]);
        assert!(voting.settle(2).is_err(), "it is superseded");
        voting.settle(3).expect("the newest");
        assert!(voting.is_satisfied(&ids(&[3, 4, 5])) && !voting.is_satisfied(&ids(&[4, 5])));
    }

    #[test]
    fn a_config_that_is_returned_to_counts_once() {
        let mut voting = check(&[1, 2, 3], 2, &[4, 5], &[], &[]);
        voting.turn_back(1).expect("it is one of them");
        assert_eq!(
            voting.parts().map(|part| (part.version, part.voters.len())).collect::<Vec<_>>(),
            [(4, 3), (3, 5), (2, 4)]
        );
        assert_eq!(voting.turn_back(1), Err(ConfigError::OtherVersion(1)), "it is version 4 now");
        voting.turn_back(2).expect("another");
        assert_eq!(voting.parts().map(|part| part.version).collect::<Vec<_>>(), [5, 4, 3]);
    }

    /// A proposal that saw another change under way, or none, is one of the past.
    #[test]
    fn a_change_supersedes_only_what_its_proposer_saw() {
        let mut voting = check(&[1, 2], 2, &[3], &[], &[]);
        let mut propose = |supersedes| voting.propose(&Change::Join(id(4)), supersedes, &quorum(), Some(9)).err();
        assert_eq!(propose(None), Some(ConfigError::UnderWay));
        assert_eq!(propose(Some(1)), Some(ConfigError::OtherVersion(1)));
        assert_eq!(propose(Some(2)), None);
        let mut voting = settled(&[1, 2], 2);
        assert!(voting.propose(&Change::Join(id(3)), Some(1), &quorum(), Some(9)).is_err(), "nothing is under way");
    }

    #[test]
    fn no_more_configs_bind_than_a_choice_can_look_at() {
        let mut voting = settled(&[1, 2], 2);
        let mut refused = None;
        for n in 3..30 {
            let supersedes = matches!(voting, Voting::Joint { .. }).then(|| voting.config().version);
            refused = voting.propose(&Change::Join(id(n)), supersedes, &quorum(), Some(2)).err();
            if refused.is_some() {
                break;
            }
        }
        assert_eq!(refused, Some(ConfigError::TooManyParts));
        assert_eq!(voting.parts().count(), PARTS_MOST);
        voting.turn_back(1).expect("that makes them no more");
        assert_eq!(voting.parts().count(), PARTS_MOST);
    }

    /// What is published is the weakest that may be in use.
    #[test]
    fn the_weakest_config_is_published() {
        let mut voting = settled(&[1, 2, 3], 2);
        voting.propose(&Change::Terms, None, &Settings::default(), Some(3)).expect("back to async");
        assert_eq!(voting.published(), Durability::Async);
        voting.propose(&Change::Terms, Some(2), &quorum(), Some(3)).expect("changed his mind");
        assert_eq!(voting.published(), Durability::Async);
        voting.settle(3).expect("the newest");
        assert_eq!(voting.published(), Durability::Quorum);
    }

    #[test]
    fn a_snapshot_with_one_former_config_is_read() {
        let voting = check(&[1, 2], 2, &[3], &[], &[]);
        let written = serde_json::to_string(&voting).expect("plain values");
        assert_eq!(serde_json::from_str::<Voting>(&written).expect("its own"), voting);
        let of_old = written.replace("\"previous\":[{", "\"previous\":{").replace("}]}}", "}}}");
        assert_ne!(of_old, written);
        assert_eq!(serde_json::from_str::<Voting>(&of_old).expect("one of old"), voting);
    }
}
