//! Which writes are held by enough voters (I3), and until where it is confirmed that nobody else is the master (I7): the master's side of the gate.
//!
//! One [`Commit`] is one mastership's: it begins with the epoch's barrier, which is committed before anything else counts (I5). It knows no replies:
//! the engine asks how far it may let them go.
//!
//! ```text
//!   begin(barrier) ─▶ Establishing ──W voters hold the barrier──▶ Established
//!
//!   config:  Adopted{covers} ──W voters of it hold everything up to `covers`──▶ InForce ──adopt──▶ Adopted …
//! ```
//! - I3: `committed` is the W-th largest of what the voters of the newest config hold, this node included. It never goes back.
//! - I5: nothing is committed before the barrier is.
//! - I7: `confirmed` is the W-th largest of what voters have *received*, this node included: any W voters and the R that a later master needs the promises
//!   of have one in common, which had not promised. R of them would do only while no later master can change the voters: one that joins may
//!   establish it. A marker written behind a read and confirmed vouches for that read.
//! - I9: a config is in force once W of its voters hold everything that was acknowledged when it was adopted. Until then whoever chooses a master has
//!   to ask as both configs want it; so this is reported late, never early.
//! - An acknowledgement counts only if it names this epoch (I2) and comes over a link that is still up: whoever comes back may hold less (I10).
//!
//! Cost: nothing per write; a step of O(voters) in each turn that brought an acknowledgement or a write.

use crate::faults::{Fault, is_armed};
use crate::id::{Epoch, NodeId, Offset};
use crate::master::ReplicaId;
use std::time::Duration;

/// The most voters that a group may have: every step looks at all of them.
pub const VOTERS_MOST: usize = 64;

/// What a reply that says OK means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// This node holds the write.
    Async,
    /// So many voters hold it, this node included.
    Quorum {
        /// W.
        copies: usize,
    },
}

/// What a voter's acknowledgement has to mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// It has the bytes and applied them.
    Received,
    /// Its disk has them.
    Synced,
}

/// Who must hold a write before it is acknowledged, and who may be asked to promise. Its version grows with each change (I9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VotingConfig {
    version: u64,
    durability: Durability,
    /// Sorted, no name twice, this node's included if it is one.
    voters: Vec<NodeId>,
    acks: Acks,
    /// A held reply that is older becomes an error; `None`: it waits for ever.
    quorum_timeout: Option<Duration>,
}

/// Why a config makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadConfig {
    /// W has to be from 1 to |V|.
    #[error("{copies} copies among {voters} voters")]
    Copies {
        /// W.
        copies: usize,
        /// |V|.
        voters: usize,
    },
    /// Every step looks at all of them.
    #[error("{0} voters: at most {VOTERS_MOST}")]
    TooMany(usize),
    /// A name stands twice.
    #[error("voter {0} is named twice")]
    Twice(NodeId),
}

impl VotingConfig {
    /// Checks and sorts. An async config may have no voters.
    pub fn new(
        version: u64,
        durability: Durability,
        mut voters: Vec<NodeId>,
        acks: Acks,
        quorum_timeout: Option<Duration>,
    ) -> Result<VotingConfig, BadConfig> {
        if voters.len() > VOTERS_MOST {
            return Err(BadConfig::TooMany(voters.len()));
        }
        voters.sort_unstable();
        if let Some(twice) = voters.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(BadConfig::Twice(twice[0]));
        }
        if let Durability::Quorum { copies } = durability
            && !(1..=voters.len()).contains(&copies)
        {
            return Err(BadConfig::Copies { copies, voters: voters.len() });
        }
        Ok(VotingConfig { version, durability, voters, acks, quorum_timeout })
    }

    /// What holds until somebody says otherwise: Redis's own semantics, no voters.
    pub fn unset() -> VotingConfig {
        VotingConfig {
            version: 0,
            durability: Durability::Async,
            voters: Vec::new(),
            acks: Acks::Received,
            quorum_timeout: None,
        }
    }

    /// Grows with each change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What an acknowledged write means.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// V, sorted.
    pub fn voters(&self) -> &[NodeId] {
        &self.voters
    }

    /// What an acknowledgement has to mean.
    pub fn acks(&self) -> Acks {
        self.acks
    }

    /// How old a held reply may get.
    pub fn quorum_timeout(&self) -> Option<Duration> {
        self.quorum_timeout
    }

    /// Are replies held?
    pub fn is_quorum(&self) -> bool {
        matches!(self.durability, Durability::Quorum { .. })
    }

    /// W.
    pub fn copies(&self) -> usize {
        match self.durability {
            Durability::Async => 1,
            Durability::Quorum { copies } => copies,
        }
    }

    fn has(&self, node: &NodeId) -> bool {
        self.voters.binary_search(node).is_ok()
    }
}

/// How much of the stream a node has, in three meanings. `synced <= held <= received` of one node at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copy {
    /// Applied to its dataset: what a marker is confirmed by.
    pub received: Offset,
    /// Held as its own persistence promises: in its log's file, or in memory if it has no log.
    pub held: Offset,
    /// On its disk for certain; zero if it does not say.
    pub synced: Offset,
}

impl Copy {
    fn by(self, acks: Acks) -> Offset {
        match acks {
            Acks::Received => self.held,
            Acks::Synced => self.synced,
        }
    }

    /// This and what it knew before: an acknowledgement that goes back is of no use.
    fn max(self, other: Copy) -> Copy {
        Copy {
            received: self.received.max(other.received),
            held: self.held.max(other.held),
            synced: self.synced.max(other.synced),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Commit {
    me: NodeId,
    epoch: Epoch,
    config: VotingConfig,
    force: Force,
    standing: Standing,
    /// The nodes that are linked, voters or not: bounded by the number of connections. One entry a node, its newest link's.
    links: Vec<Link>,
    own: Copy,
    /// The stream's end: nobody holds more.
    written: Offset,
    committed: Offset,
    confirmed: Offset,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    link: ReplicaId,
    node: NodeId,
    copy: Copy,
}

/// Every arrow is in the module's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Establishing { barrier: Offset },
    Established,
}

/// Every arrow is in the module's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Force {
    /// The newest config does not cover what was acknowledged before it yet; `before` is the newest that does, 0 for none in this epoch.
    Adopted {
        covers: Offset,
        before: u64,
    },
    InForce,
}

/// Why a config was not adopted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdopted {
    /// A newer one was.
    #[error("config {0} was adopted")]
    Older(u64),
    /// The same version with another content.
    #[error("config {0} says otherwise")]
    Differs(u64),
}

impl Commit {
    /// A mastership begins with its barrier, which ends at `barrier`.
    pub fn begin(me: NodeId, epoch: Epoch, config: VotingConfig, barrier: Offset) -> Commit {
        Commit {
            me,
            epoch,
            config,
            // What earlier masters acknowledged stands in front of the barrier.
            force: Force::Adopted { covers: barrier, before: 0 },
            standing: Standing::Establishing { barrier },
            links: Vec::new(),
            own: Copy::default(),
            written: barrier,
            committed: Offset(0),
            confirmed: Offset(0),
        }
    }

    /// The mastership's epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The newest config: what a write needs from now on.
    pub fn config(&self) -> &VotingConfig {
        &self.config
    }

    /// Everything up to here is held by W voters; zero until the barrier is (I5).
    pub fn committed(&self) -> Offset {
        self.committed
    }

    /// Markers up to here were received by R voters in this epoch.
    pub fn confirmed(&self) -> Offset {
        self.confirmed
    }

    /// The version of the config in force (I9); 0 for none in this epoch.
    pub fn in_force(&self) -> u64 {
        match self.force {
            _ if is_armed(Fault::I9Force) => self.config.version,
            Force::InForce => self.config.version,
            Force::Adopted { before, .. } => before,
        }
    }

    /// A newer config: it counts from now on. Everything that may have been acknowledged before has to be covered by it before it is in force.
    pub fn adopt(&mut self, config: VotingConfig) -> Result<(), NotAdopted> {
        if config.version < self.config.version {
            return Err(NotAdopted::Older(self.config.version));
        }
        if config.version == self.config.version {
            return if config == self.config { Ok(()) } else { Err(NotAdopted::Differs(config.version)) };
        }
        let acknowledged = match self.config.durability {
            Durability::Async => self.written,
            Durability::Quorum { .. } => self.committed,
        };
        let (covers, before) = match self.force {
            Force::Adopted { covers, before } => (covers.max(acknowledged), before),
            Force::InForce => (acknowledged, self.config.version),
        };
        self.config = config;
        self.force = Force::Adopted { covers, before };
        Ok(())
    }

    /// Has the barrier been committed (I5)?
    pub fn is_established(&self) -> bool {
        self.standing == Standing::Established
    }

    /// A node that follows said over this link who it is. It counts by its newest link: an older one may be heard of later, just before it ends.
    pub fn joined(&mut self, link: ReplicaId, node: NodeId) {
        if self.links.iter().any(|one| one.node == node && one.link > link) {
            return;
        }
        self.links.retain(|one| one.node != node && one.link != link);
        self.links.push(Link { link, node, copy: Copy::default() });
    }

    /// A link ended.
    pub fn left(&mut self, link: ReplicaId) {
        self.links.retain(|one| one.link != link);
    }

    /// An acknowledgement, of a node that was assigned in `epoch`: only this mastership's counts (I2). One that goes back is of no use.
    pub fn acked(&mut self, link: ReplicaId, epoch: Epoch, copy: Copy) {
        if epoch != self.epoch && !is_armed(Fault::I2Stream) {
            return;
        }
        if let Some(one) = self.links.iter_mut().find(|one| one.link == link) {
            one.copy = one.copy.max(copy);
        }
    }

    /// The stream ends at `written`, of which this node holds its `own` copy; call it in each turn that brought a write, an acknowledgement or a
    /// sync, before replies are let go.
    pub fn advance(&mut self, written: Offset, own: Copy) {
        assert!(written >= self.written, "a master's stream never goes back");
        assert!(own.received.max(own.held).max(own.synced) <= written, "nothing is held before it is written");
        (self.written, self.own) = (written, own);
        let copies = self.config.copies() - usize::from(is_armed(Fault::I3Copies) && self.config.copies() > 1);
        let held = match self.config.durability {
            Durability::Async => written,
            Durability::Quorum { .. } if is_armed(Fault::I3Early) => written,
            Durability::Quorum { .. } => self.rank(copies, |copy| copy.by(self.config.acks)),
        };
        if let Standing::Establishing { barrier } = self.standing {
            if held < barrier && !is_armed(Fault::I5Barrier) {
                return;
            }
            if held >= barrier {
                self.standing = Standing::Established;
            }
        }
        self.committed = self.committed.max(held);
        let confirmed = match self.config.durability {
            Durability::Async => written,
            Durability::Quorum { .. } => self.rank(self.config.copies(), |copy| copy.received),
        };
        self.confirmed = self.confirmed.max(confirmed);
        if let Force::Adopted { covers, .. } = self.force
            && held >= covers
        {
            self.force = Force::InForce;
        }
    }

    /// What every other voter has received; `None` while one of them is not linked (I13).
    pub fn all_received(&self) -> Option<Offset> {
        let mut others = self.config.voters.iter().filter(|voter| **voter != self.me);
        others.try_fold(self.written, |least, voter| {
            let link = self.links.iter().find(|one| one.node == *voter)?;
            Some(least.min(link.copy.received))
        })
    }

    /// The `rank`-th largest of what the voters hold; zero if so many hold nothing.
    fn rank(&self, rank: usize, what: impl Fn(Copy) -> Offset) -> Offset {
        assert!(rank >= 1, "somebody has to hold it");
        let mut held = [Offset(0); VOTERS_MOST];
        let own = self.config.has(&self.me).then_some(self.own);
        let linked = self.links.iter().filter(|one| one.node != self.me && self.config.has(&one.node));
        let mut count = 0;
        for copy in own.into_iter().chain(linked.map(|one| one.copy)) {
            // A replica cannot hold what was not written; whoever claims it is not believed beyond that.
            held[count] = what(copy).min(self.written);
            count += 1;
        }
        if rank > count {
            return Offset(0);
        }
        let (_, nth, _) = held[..count].select_nth_unstable_by(rank - 1, |a, b| b.cmp(a));
        *nth
    }
}

#[cfg(test)]
mod tests;
