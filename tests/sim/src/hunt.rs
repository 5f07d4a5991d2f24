//! Does the net catch fish? Breaks one invariant in the rooms themselves and looks for a seed that notices, among plans that bring about what the
//! invariant is for.

use std::time::Duration;

use quorate_consensus::faults as raft;
use quorate_registry::faults as control;
use quorate_registry::{Ack, Durability};
use quorate_replication::faults as data;

use crate::World;
use crate::check::Breach;
use crate::plan::{Mishap, Plan};

/// What is broken: a switch of the data nodes, of the sentinels, or one of each where the one covers for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// In a data node.
    pub data: Option<data::Fault>,
    /// In the sentinels.
    pub control: Option<control::Fault>,
    /// In their Raft.
    pub raft: Option<raft::Fault>,
}

const WHOLE: Broken = Broken { data: None, control: None, raft: None };

impl Broken {
    /// Breaks this thread's rooms, or mends them.
    fn arm(self) {
        data::arm(self.data);
        control::arm(self.control);
        raft::arm(self.raft);
    }
}

/// A switch, and how it is hunted.
#[derive(Clone, Copy)]
pub struct Quarry {
    /// What is broken.
    pub broken: Broken,
    /// What the plans of its seeds are like.
    pub adapt: fn(&mut Plan),
}

const fn control(fault: control::Fault, adapt: fn(&mut Plan)) -> Quarry {
    Quarry { broken: Broken { control: Some(fault), ..WHOLE }, adapt }
}

const fn data(fault: data::Fault, adapt: fn(&mut Plan)) -> Quarry {
    Quarry { broken: Broken { data: Some(fault), ..WHOLE }, adapt }
}

/// Every switch but `I2Stream`: a node that promised takes no writes and has dropped its links, and whoever is assigned follows the new master's
/// address alone, so that what it breaks is kept twice (see docs/simulation.md).
pub const ALL: &[Quarry] = &[
    control(control::Fault::I1Cas, failovers),
    control(control::Fault::I4Promises, failovers),
    control(control::Fault::I4Greatest, laggards),
    control(control::Fault::I8Wait, long_leases),
    control(control::Fault::I8NewLeader, new_leaders),
    control(control::Fault::I8Unconfirmed, old_leaders),
    control(control::Fault::I9Settle, changes),
    control(control::Fault::I9Joint, joint),
    control(control::Fault::I10Count, amnesia),
    data(data::Fault::I2Promise, failovers),
    data(data::Fault::I3Copies, failovers),
    data(data::Fault::I3Early, failovers),
    data(data::Fault::I3Unsynced, power),
    data(data::Fault::I5Barrier, slow_disks),
    data(data::Fault::I6Reads, failovers),
    data(data::Fault::I7Lease, cut_masters),
    data(data::Fault::I7Early, stopped_turns),
    data(data::Fault::I8Arrival, stopped_masters),
    data(data::Fault::I9Force, changes),
    data(data::Fault::I10Tail, tails),
    data(data::Fault::I10Reborn, reborn),
    data(data::Fault::I11Restart, failovers),
    data(data::Fault::I12Diverged, failovers),
    data(data::Fault::I13GoesOn, async_cut),
    Quarry { broken: Broken { raft: Some(raft::Fault::I14Memory), ..WHOLE }, adapt: forgotten },
];

/// The first of so many seeds, and its breach, that shows what is broken. That a group does not come to rest is no proof.
pub fn hunt(quarry: &Quarry, from: u64, most: u64) -> Option<(u64, Breach)> {
    quarry.broken.arm();
    let caught = (from..from + most).find_map(|seed| {
        let report = World::new(seed, false, quarry.adapt).run();
        Some((seed, report.breach.filter(Breach::is_unsafe)?))
    });
    WHOLE.arm();
    caught
}

/// One seed of a quarry, broken or whole, for whoever wants to look.
pub fn replay(quarry: &Quarry, seed: u64, broken: bool) -> Option<Breach> {
    if broken {
        quarry.broken.arm();
    }
    let report = World::new(seed, true, quarry.adapt).run();
    WHOLE.arm();
    report.breach
}

/// A quorum group of three that nothing but these befalls.
fn group(plan: &mut Plan, mishaps: &[Mishap]) {
    (plan.sentinels, plan.nodes, plan.clients) = (3, 3, 4);
    plan.priorities = vec![100; plan.machines()];
    (plan.durability, plan.copies, plan.quorum_timeout_ms) = (Durability::Quorum, None, 0);
    (plan.patience_us, plan.readers, plan.reader_patience_us) = ((100_000, 400_000), 1, 4_000_000);
    (plan.mishaps, plan.control_lost) = (mishaps.to_vec(), false);
    (plan.pace_us, plan.chaos) = (plan.pace_us.min(700_000), Duration::from_secs(6));
}

fn failovers(plan: &mut Plan) {
    use Mishap::{Aside, CutMaster, Force, Handover, Isolate, KillNode};
    group(plan, &[CutMaster, KillNode, Isolate, Aside, Force, Handover]);
}

/// Nodes that lag behind when the master goes.
fn laggards(plan: &mut Plan) {
    group(plan, &[Mishap::Isolate, Mishap::StopNode, Mishap::CutMaster, Mishap::Force]);
}

/// What was received long ago is on the disk, and the barrier is not.
fn slow_disks(plan: &mut Plan) {
    group(plan, &[Mishap::SlowDisk, Mishap::SlowDisk, Mishap::Force, Mishap::Handover, Mishap::CutMaster]);
    (plan.appendonly, plan.appendfsync, plan.ack) = (true, "everysec", Ack::Fsync);
}

fn power(plan: &mut Plan) {
    group(plan, &[Mishap::PowerAll, Mishap::SlowDisk]);
    (plan.appendonly, plan.appendfsync, plan.ack, plan.pace_us) = (true, "everysec", Ack::Fsync, 3_000_000);
}

/// A master that answers alone while another is made.
fn cut_masters(plan: &mut Plan) {
    group(plan, &[Mishap::CutMaster]);
    (plan.down_after, plan.readers) = (Duration::from_millis(400), 2);
}

/// The same, while its lease lasts.
fn long_leases(plan: &mut Plan) {
    group(plan, &[Mishap::CutMaster]);
    (plan.down_after, plan.readers) = (Duration::from_millis(2000), 2);
    (plan.pace_us, plan.chaos) = (3_000_000, Duration::from_secs(12));
}

fn new_leaders(plan: &mut Plan) {
    long_leases(plan);
    plan.mishaps = vec![Mishap::CutMaster, Mishap::CutMaster, Mishap::KillSentinel];
}

/// The leader is cut off with the master, and another one forces it out: those who wait for that are quick.
fn old_leaders(plan: &mut Plan) {
    long_leases(plan);
    (plan.cut_leader, plan.patience_us) = (Some(true), (30_000, 60_000));
    // A leader that is cut off leads for some tenths of a second: a successor waits for a lease, and a tenth of it is what it has more.
    plan.down_after = Duration::from_millis(500);
}

/// A master that stands still between the beginning of a turn and its work, until another one has written.
fn stopped_turns(plan: &mut Plan) {
    group(plan, &[Mishap::CutMaster]);
    (plan.stands_in_turn, plan.cut_leader) = (true, Some(false));
    // Who asks while the process stands, and after another one wrote, has rested until then.
    (plan.down_after, plan.clients, plan.readers) = (Duration::from_millis(300), 6, 3);
    (plan.reader_rest_us, plan.pace_us) = (1_500_000, 2_500_000);
    plan.chaos = Duration::from_secs(12);
}

fn stopped_masters(plan: &mut Plan) {
    group(plan, &[Mishap::CutMaster]);
    (plan.down_after, plan.readers, plan.pace_us) = (Duration::from_millis(400), 2, 1_500_000);
}

/// Terms and members change.
fn changes(plan: &mut Plan) {
    use Mishap::{AddNode, Isolate, RemoveNode, Settings, StopNode};
    group(plan, &[Settings, AddNode, RemoveNode, StopNode, Isolate]);
}

/// They change, and the master goes before they have.
fn joint(plan: &mut Plan) {
    use Mishap::{AddNode, CutMaster, Isolate, RemoveNode, Settings, StopNode};
    group(plan, &[Settings, Settings, AddNode, RemoveNode, Isolate, StopNode, CutMaster]);
    plan.pace_us = 300_000;
}

/// Nodes that forget everything but their names.
fn amnesia(plan: &mut Plan) {
    group(plan, &[Mishap::KillNode, Mishap::CutMaster]);
    (plan.appendonly, plan.ack, plan.nodes) = (false, Ack::Receipt, 2);
    plan.priorities = vec![100; plan.machines()];
}

/// Nodes that lose the end of their logs.
fn tails(plan: &mut Plan) {
    group(plan, &[Mishap::PowerNode, Mishap::PowerNode, Mishap::Isolate, Mishap::CutMaster]);
    (plan.appendonly, plan.appendfsync, plan.ack) = (true, "everysec", Ack::Receipt);
    plan.pace_us = 600_000;
}

fn reborn(plan: &mut Plan) {
    group(plan, &[Mishap::KillChosen, Mishap::CutMaster, Mishap::Force]);
    (plan.appendonly, plan.ack) = (false, Ack::Receipt);
}

/// A sentinel that is cut off with clients, while the others make another master.
fn forgotten(plan: &mut Plan) {
    group(plan, &[Mishap::CutMaster, Mishap::Halves]);
    plan.cut_leader = Some(true);
}

fn async_cut(plan: &mut Plan) {
    group(plan, &[Mishap::CutMaster]);
    (plan.durability, plan.readers) = (Durability::Async, 0);
}
