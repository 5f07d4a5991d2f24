//! Does the net catch fish? Breaks one invariant in the rooms themselves and looks for a seed that notices.

use quorate_registry::faults as control;
use quorate_replication::faults as data;

use crate::check::Breach;

/// A switch of either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// In a data node.
    Data(data::Fault),
    /// In the sentinels.
    Control(control::Fault),
}

/// Every switch.
pub const ALL: &[Broken] = &[
    Broken::Control(control::Fault::I1Cas),
    Broken::Control(control::Fault::I2ChooseFirst),
    Broken::Control(control::Fault::I4Choice),
    Broken::Control(control::Fault::I4Promises),
    Broken::Control(control::Fault::I8NoWait),
    Broken::Control(control::Fault::I8NewLeader),
    Broken::Control(control::Fault::I8Unconfirmed),
    Broken::Control(control::Fault::I9Two),
    Broken::Control(control::Fault::I9Published),
    Broken::Control(control::Fault::I10Amnesia),
    Broken::Data(data::Fault::I2Promise),
    Broken::Data(data::Fault::I2Stream),
    Broken::Data(data::Fault::I3Copies),
    Broken::Data(data::Fault::I3Early),
    Broken::Data(data::Fault::I3Unsynced),
    Broken::Data(data::Fault::I5Barrier),
    Broken::Data(data::Fault::I6Reads),
    Broken::Data(data::Fault::I7Lease),
    Broken::Data(data::Fault::I7Early),
    Broken::Data(data::Fault::I8Arrival),
    Broken::Data(data::Fault::I9Force),
    Broken::Data(data::Fault::I10Tail),
    Broken::Data(data::Fault::I10Reborn),
    Broken::Data(data::Fault::I11Restart),
    Broken::Data(data::Fault::I12Diverged),
    Broken::Data(data::Fault::I13GoesOn),
];

/// The first of so many seeds, and its breach, that shows what is broken. That a group does not come to rest is no proof.
pub fn hunt(broken: Broken, from: u64, most: u64) -> Option<(u64, Breach)> {
    match broken {
        Broken::Data(fault) => data::arm(Some(fault)),
        Broken::Control(fault) => control::arm(Some(fault)),
    }
    let caught = (from..from + most).find_map(|seed| {
        let breach = crate::run(seed, false).breach.filter(Breach::is_unsafe)?;
        Some((seed, breach))
    });
    data::arm(None);
    control::arm(None);
    caught
}
