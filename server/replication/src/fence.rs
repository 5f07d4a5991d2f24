//! What a node of a group is, in which epoch, and what it has promised.
//!
//! ```text
//!            boot (I11)                 Assign MASTER                      Assign MASTER, higher epoch
//!   ───────────────────────▶ Fenced ───────────────────▶ Master ──┐ EnterEpoch
//!                              ▲ │ ▲      (Promote)       │  ▲  ◀─┘
//!        Promise, higher epoch │ │ └──────────────────────┘  │ Pause/Resume: the same state, writes stopped or not
//!                   (Fence)    │ │   Promise, higher epoch   │
//!                              │ ▼ Assign REPLICA            │ Assign MASTER, higher epoch (Promote)
//!                            Replica ◀───────────────────────┘
//!                              ▲ │   Assign REPLICA, higher epoch (Demote)
//!                              └─┘ Assign REPLICA: another master (Follow)
//! ```
//!
//! - I2: an order of an epoch lower than the promised one is refused. A node that promised a higher epoch than its own
//!   serves as neither master nor replica until it is assigned: no writes, no stream, no acknowledgement.
//! - I1: what a node was in an epoch never changes within it.
//! - I11: whatever the disk says, a node boots `Fenced`.
//!
//! Whoever performs a change makes [`Fence::durable`] durable before the order is answered. Doing it after the change in
//! memory is safe: a crash in between boots fenced, and nothing was answered.
//!
//! Invariants: `epoch <= promised`; unless `Fenced`, `epoch == promised`.

use std::time::Duration;

use crate::faults::{Fault, is_armed};
use crate::id::{Address, Epoch};
use crate::tail::Holds;

/// See the module. A node without a group has none.
#[derive(Clone, Debug)]
pub struct Fence {
    group: String,
    promised: Epoch,
    epoch: Epoch,
    /// What the node was told to be in `epoch`, which outlives a restart and a promise.
    told: Option<Role>,
    holds: Holds,
    standing: Standing,
}

/// What the node is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Read-only, following nobody, followed by nobody.
    Fenced,
    /// Takes writes, unless paused until that time.
    Master {
        /// When a handover's pause ends by itself.
        paused_until: Option<Duration>,
    },
    /// Follows [`Fence::master`].
    Replica,
}

/// A role as an order names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one that takes writes.
    Master,
    /// The one that follows this address.
    Replica(Address),
}

/// What has to survive a restart: kept in the node's state file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durable {
    /// Never serve an epoch below this (I2).
    pub promised: Epoch,
    /// The epoch of the last assignment.
    pub epoch: Epoch,
    /// What that assignment said.
    pub told: Option<Role>,
    /// What acknowledgements rely on (I10).
    pub holds: Holds,
}

/// What the engine has to do after an order was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: the order said what is so already.
    Nothing,
    /// Stop taking writes, drop the master's link and every replica's.
    Fence,
    /// Begin a new history (fresh replid), write the epoch's barrier, take writes.
    Promote,
    /// Already the master: write the new epoch's barrier and go on.
    EnterEpoch,
    /// Was the master: follow this one, and close the clients' connections.
    Demote(Address),
    /// Follow this one.
    Follow(Address),
    /// Hold writes until [`Change::Resume`] or the pause's end.
    Pause,
    /// Let writes go on.
    Resume,
}

/// Why an order was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another group's order.
    #[error("this node belongs to group '{0}'")]
    OtherGroup(String),
    /// I2.
    #[error("epoch {0} was promised")]
    Promised(Epoch),
    /// I1.
    #[error("the node was told otherwise in epoch {0}")]
    ToldOtherwise(Epoch),
    /// Pause and Resume are for the master of that very epoch.
    #[error("the node is not the master of epoch {0}")]
    NotMasterOf(Epoch),
    /// Epoch 0 is "never assigned".
    #[error("epochs start at 1")]
    NoEpoch,
}

impl Fence {
    /// A node of `group` that starts (I11). `data_epoch` is the loaded dataset's: writes of an epoch are proof that it began.
    pub fn boot(group: impl Into<String>, kept: Durable, data_epoch: Epoch) -> Fence {
        let promised = kept.promised.max(kept.epoch).max(data_epoch);
        let standing = match &kept.told {
            Some(Role::Master) if is_armed(Fault::I11Restart) => Standing::Master { paused_until: None },
            _ => Standing::Fenced,
        };
        Fence { group: group.into(), promised, epoch: kept.epoch, told: kept.told, holds: kept.holds, standing }
    }

    /// The dataset was loaded and holds writes of `epoch`, which proves that it began: never serve a lower one.
    pub fn prove(&mut self, epoch: Epoch) {
        let fenced = self.standing == Standing::Fenced || is_armed(Fault::I11Restart);
        assert!(fenced, "a dataset is loaded before anything is assigned");
        self.promised = self.promised.max(epoch);
    }

    /// The group's name.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The promised epoch.
    pub fn promised(&self) -> Epoch {
        self.promised
    }

    /// The epoch of the last accepted assignment.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What the node is.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Whom a replica was told to follow; still known, for reports, while the node is fenced.
    pub fn master(&self) -> Option<&Address> {
        match &self.told {
            Some(Role::Replica(master)) => Some(master),
            _ => None,
        }
    }

    /// What to write to the state file.
    pub fn durable(&self) -> Durable {
        Durable { promised: self.promised, epoch: self.epoch, told: self.told.clone(), holds: self.holds }
    }

    /// What acknowledgements rely on.
    pub fn relies_on(&self) -> Holds {
        self.holds
    }

    /// What acknowledgements rely on from now on.
    pub fn rely_on(&mut self, holds: Holds) {
        self.holds = holds;
    }

    /// `Promise`: never again serve an epoch lower than `epoch`. Asked again, it is the same promise.
    pub fn promise(&mut self, group: &str, epoch: Epoch) -> Result<Change, Refused> {
        self.admit(group, epoch)?;
        if epoch == self.promised {
            return Ok(Change::Nothing);
        }
        self.promised = epoch;
        if is_armed(Fault::I2Promise) {
            return Ok(Change::Nothing);
        }
        match std::mem::replace(&mut self.standing, Standing::Fenced) {
            Standing::Fenced => Ok(Change::Nothing),
            Standing::Master { .. } | Standing::Replica => Ok(Change::Fence),
        }
    }

    /// `Assign`: be `role` in `epoch`. Idempotent.
    pub fn assign(&mut self, group: &str, epoch: Epoch, role: Role) -> Result<Change, Refused> {
        self.admit(group, epoch)?;
        if epoch == self.epoch {
            match (&self.told, &role) {
                (None, _) | (Some(Role::Master), Role::Master) | (Some(Role::Replica(_)), Role::Replica(_)) => {}
                (Some(_), _) => return Err(Refused::ToldOtherwise(epoch)),
            }
        }
        let told_before = self.told.replace(role.clone());
        let epoch_before = std::mem::replace(&mut self.epoch, epoch);
        self.promised = epoch;
        let standing = match role {
            Role::Master => Standing::Master { paused_until: None },
            Role::Replica(_) => Standing::Replica,
        };
        Ok(match (std::mem::replace(&mut self.standing, standing), role) {
            (Standing::Master { paused_until }, Role::Master) if epoch == epoch_before => {
                self.standing = Standing::Master { paused_until };
                Change::Nothing
            }
            (Standing::Master { .. }, Role::Master) => Change::EnterEpoch,
            (Standing::Fenced | Standing::Replica, Role::Master) => Change::Promote,
            (Standing::Master { .. }, Role::Replica(master)) => Change::Demote(master),
            (Standing::Replica, Role::Replica(master)) if epoch == epoch_before && told_before == self.told => {
                let _ = master;
                Change::Nothing
            }
            (Standing::Fenced | Standing::Replica, Role::Replica(master)) => Change::Follow(master),
        })
    }

    /// Would an order of this epoch be obeyed, as far as the epoch goes (I2)?
    pub fn admits(&self, group: &str, epoch: Epoch) -> Result<(), Refused> {
        self.admit(group, epoch)
    }

    /// Is this node the master of that very epoch?
    pub fn is_master_of(&self, group: &str, epoch: Epoch) -> Result<(), Refused> {
        self.admit(group, epoch)?;
        match self.standing {
            Standing::Master { .. } if self.epoch == epoch => Ok(()),
            _ => Err(Refused::NotMasterOf(epoch)),
        }
    }

    /// `Pause`: the master of `epoch` stops writes until `until`. Asked again, the later end counts.
    pub fn pause(&mut self, group: &str, epoch: Epoch, until: Duration) -> Result<Change, Refused> {
        self.admit(group, epoch)?;
        match &mut self.standing {
            Standing::Master { paused_until } if self.epoch == epoch => {
                *paused_until = Some(paused_until.map_or(until, |end| end.max(until)));
                Ok(Change::Pause)
            }
            _ => Err(Refused::NotMasterOf(epoch)),
        }
    }

    /// `Resume`: the handover was aborted.
    pub fn resume(&mut self, group: &str, epoch: Epoch) -> Result<Change, Refused> {
        self.admit(group, epoch)?;
        match &mut self.standing {
            Standing::Master { paused_until } if self.epoch == epoch => {
                Ok(if paused_until.take().is_some() { Change::Resume } else { Change::Nothing })
            }
            _ => Err(Refused::NotMasterOf(epoch)),
        }
    }

    /// Time has passed: ends a pause that nobody ended.
    pub fn tick(&mut self, now: Duration) -> Change {
        match &mut self.standing {
            Standing::Master { paused_until } if paused_until.is_some_and(|end| end <= now) => {
                *paused_until = None;
                Change::Resume
            }
            _ => Change::Nothing,
        }
    }

    /// When [`Fence::tick`] has something to do.
    pub fn due(&self) -> Option<Duration> {
        match self.standing {
            Standing::Master { paused_until } => paused_until,
            Standing::Fenced | Standing::Replica => None,
        }
    }

    /// May a replica that was assigned in `epoch` follow this node? Not if that epoch is not ours: this node's time is over (I2).
    pub fn admits_replica_of(&self, epoch: Epoch) -> bool {
        (self.standing != Standing::Fenced && epoch <= self.epoch) || is_armed(Fault::I2Stream)
    }

    fn admit(&self, group: &str, epoch: Epoch) -> Result<(), Refused> {
        if group != self.group {
            return Err(Refused::OtherGroup(self.group.clone()));
        }
        if epoch == Epoch(0) {
            return Err(Refused::NoEpoch);
        }
        if epoch < self.promised {
            return Err(Refused::Promised(self.promised)); // I2
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> Address {
        Address::new("127.0.0.1", port)
    }

    fn fresh() -> Fence {
        Fence::boot("main", Durable::default(), Epoch(0))
    }

    fn replica(port: u16) -> Role {
        Role::Replica(at(port))
    }

    /// Runs orders against a fresh node: `p3` promise, `m3` assign master, `r3:7001` assign replica, `z3` pause, `u3` resume.
    fn check(orders: &str, expected: &str) {
        let mut fence = fresh();
        let mut seen = Vec::new();
        for order in orders.split_whitespace() {
            let (verb, rest) = order.split_at(1);
            let (epoch, port) = rest.split_once(':').unwrap_or((rest, "0"));
            let epoch = Epoch(epoch.parse().expect("an epoch"));
            let outcome = match verb {
                "p" => fence.promise("main", epoch),
                "m" => fence.assign("main", epoch, Role::Master),
                "r" => fence.assign("main", epoch, replica(port.parse().expect("a port"))),
                "z" => fence.pause("main", epoch, Duration::from_secs(9)),
                "u" => fence.resume("main", epoch),
                other => panic!("unknown order {other}"),
            };
            seen.push(match outcome {
                Ok(Change::Demote(master)) => format!("Demote:{}", master.port),
                Ok(Change::Follow(master)) => format!("Follow:{}", master.port),
                Ok(change) => format!("{change:?}"),
                Err(refused) => format!("{refused:?}"),
            });
            assert!(fence.epoch() <= fence.promised());
            assert!(fence.standing() == Standing::Fenced || fence.epoch() == fence.promised());
        }
        assert_eq!(seen.join(" "), expected, "{orders}");
    }

    #[test]
    fn every_arrow() {
        check("m1", "Promote");
        check("r1:7", "Follow:7");
        check("m1 m1 m2", "Promote Nothing EnterEpoch");
        check("m1 r2:7", "Promote Demote:7");
        check("r1:7 r1:7 r1:8 r2:8", "Follow:7 Nothing Follow:8 Follow:8");
        check("r1:7 m2", "Follow:7 Promote");
        check("m1 p2 m2", "Promote Fence Promote");
        check("r1:7 p2 p3 r3:8", "Follow:7 Fence Nothing Follow:8");
        check("m1 z1 z1 u1 u1", "Promote Pause Pause Resume Nothing");
        check("m1 z1 p2 r2:7", "Promote Pause Fence Follow:7");
        check("m1 z1 m2 u2", "Promote Pause EnterEpoch Nothing");
    }

    /// I1, I2.
    #[test]
    fn refusals() {
        check("p3 p3 p2", "Nothing Nothing Promised(Epoch(3))");
        check("p3 m2 r2:7 m3", "Nothing Promised(Epoch(3)) Promised(Epoch(3)) Promote");
        check("m1 r1:7", "Promote ToldOtherwise(Epoch(1))");
        check("r1:7 m1", "Follow:7 ToldOtherwise(Epoch(1))");
        check("r1:7 z1", "Follow:7 NotMasterOf(Epoch(1))");
        check("m1 p2 z2 z1", "Promote Fence NotMasterOf(Epoch(2)) Promised(Epoch(2))");
        check("m1 z2", "Promote NotMasterOf(Epoch(2))");
        check("m0", "NoEpoch");
        assert_eq!(fresh().promise("other", Epoch(1)), Err(Refused::OtherGroup("main".into())));
    }

    /// I2, I11: a restart forgets neither the promise nor what the node was told, and it boots fenced.
    #[test]
    fn a_restart_keeps_the_promise() {
        let mut fence = fresh();
        fence.assign("main", Epoch(4), Role::Master).expect("fresh");
        fence.promise("main", Epoch(6)).expect("higher");
        let mut again = Fence::boot("main", fence.durable(), Epoch(4));
        assert_eq!(again.standing(), Standing::Fenced);
        assert_eq!(again.promise("main", Epoch(5)), Err(Refused::Promised(Epoch(6))));
        assert_eq!(again.assign("main", Epoch(6), Role::Master), Ok(Change::Promote));
        let mut again = Fence::boot("main", again.durable(), Epoch(6));
        assert_eq!(again.assign("main", Epoch(6), replica(7)), Err(Refused::ToldOtherwise(Epoch(6))));
        assert_eq!(again.assign("main", Epoch(6), Role::Master), Ok(Change::Promote));
    }

    /// A state file that was lost is replaced, as far as that is possible, by what the dataset proves.
    #[test]
    fn writes_of_an_epoch_prove_it() {
        let mut fence = Fence::boot("main", Durable::default(), Epoch(3));
        fence.prove(Epoch(5));
        assert_eq!(fence.assign("main", Epoch(4), Role::Master), Err(Refused::Promised(Epoch(5))));
    }

    #[test]
    fn a_pause_ends_by_itself() {
        let mut fence = fresh();
        fence.assign("main", Epoch(1), Role::Master).expect("fresh");
        fence.pause("main", Epoch(1), Duration::from_secs(5)).expect("master");
        assert_eq!(fence.due(), Some(Duration::from_secs(5)));
        assert_eq!(fence.tick(Duration::from_secs(4)), Change::Nothing);
        assert_eq!(fence.tick(Duration::from_secs(5)), Change::Resume);
        assert_eq!(fence.due(), None);
    }

    #[test]
    fn a_replica_of_a_later_epoch_is_not_served() {
        let mut fence = fresh();
        assert!(!fence.admits_replica_of(Epoch(0)));
        fence.assign("main", Epoch(2), Role::Master).expect("fresh");
        assert!(fence.admits_replica_of(Epoch(2)) && fence.admits_replica_of(Epoch(1)));
        assert!(!fence.admits_replica_of(Epoch(3)));
    }
}
