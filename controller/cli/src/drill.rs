//! `quorate drill`: starts a group of its own, lets clients write, breaks something, and measures what the clients notice.
//!
//! A round: the group is in order, writers write at a steady rate, the fault strikes, the round ends once the writers have been acknowledged by
//! the new master for a while; then the damage is healed, the group is in order again, and **every acknowledged write** is looked for.
//! *Recovery* is the time from the fault (a rolling restart's: the handover) to the first acknowledged write at another master than
//! before; *gap* is the longest time without an acknowledged write. Writers learn the master's address from the sentinels alone, as any client does.

mod faults;
mod ports;
mod proxy;
mod report;
mod writer;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::args::{Drill, Fault};
use crate::control::Control;
use crate::local::{Durability, Group, Layout, LocalError};
use crate::{Outcome, operate};

pub use ports::free_layout;
pub use report::{FaultReport, Report, Round, Spread};
pub use writer::WriterKind;

use faults::Struck;
use proxy::Proxy;
use writer::{Ack, Writer};

/// From the first process to a group in order, and from healing to that.
const SETTLE_WITHIN: Duration = Duration::from_secs(90);
/// A fault after which no write was acknowledged for this long counts as not recovered.
const RECOVER_WITHIN: Duration = Duration::from_secs(30);
/// How long writers write undisturbed before the fault, and go on after the recovery.
const STEADY: Duration = Duration::from_millis(1000);
/// How often the drill looks at what the writers have.
const POLL: Duration = Duration::from_millis(5);

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What to break, one after another.
    pub faults: Vec<Fault>,
    /// How often each.
    pub rounds: u32,
    /// Writes a second.
    pub rate: u32,
    /// The group's down-after.
    pub down_after_ms: u64,
    /// What the group promises.
    pub durability: Durability,
    /// Sentinels.
    pub sentinels: u16,
    /// Folder for the groups; a temporary one if absent, removed if all went well.
    pub dir: Option<PathBuf>,
    /// The `quorate` binary.
    pub program: PathBuf,
    /// Who writes.
    pub writer: WriterKind,
}

/// Why a drill could not be held.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The group did not start or did not come back.
    #[error(transparent)]
    Group(#[from] LocalError),
    /// Something else that the drill needs.
    #[error("{0}")]
    Other(String),
}

/// The command.
pub fn command(flags: &Drill) -> Outcome {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return Outcome::Failed(format!("cannot find the program's own file: {error}")),
    };
    let all = [Fault::Kill, Fault::Stop, Fault::Cut, Fault::Handover, Fault::SentinelKill, Fault::Rolling];
    let plan = Plan {
        faults: if flags.faults.is_empty() { all.to_vec() } else { flags.faults.clone() },
        rounds: flags.rounds,
        rate: flags.rate,
        down_after_ms: flags.down_after,
        durability: flags.durability,
        sentinels: 3,
        dir: flags.dir.clone(),
        program,
        writer: WriterKind::RedisRs,
    };
    // JSON is for programs: progress then goes to nobody.
    let report = match run(&plan, &mut |line| {
        if !flags.json {
            eprintln!("{line}")
        }
    }) {
        Ok(report) => report,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    if flags.json {
        println!("{}", serde_json::to_string(&report).expect("a report is plain data"));
    } else {
        anstream::print!("{}", report.table());
    }
    if report.is_well() { Outcome::Done } else { Outcome::Unwell }
}

/// Holds the drills of a plan, one group for each fault. `said` hears of progress.
pub fn run(plan: &Plan, said: &mut dyn FnMut(&str)) -> Result<Report, DrillError> {
    let (root, temporary) = match &plan.dir {
        Some(dir) => (dir.clone(), false),
        None => (ports::temporary_folder(), true),
    };
    let mut faults = Vec::new();
    for fault in &plan.faults {
        faults.push(drill(plan, *fault, &root.join(fault.word()), said)?);
    }
    if temporary {
        // What is left over is in the system's temporary folder, which the system clears.
        let _: std::io::Result<()> = std::fs::remove_dir_all(&root);
    }
    Ok(Report { down_after_ms: plan.down_after_ms, durability: plan.durability.as_str(), rate: plan.rate, faults })
}

fn drill(
    plan: &Plan,
    fault: Fault,
    dir: &std::path::Path,
    said: &mut dyn FnMut(&str),
) -> Result<FaultReport, DrillError> {
    let behind_proxy = fault == Fault::Cut;
    let layout = Layout {
        sentinels: plan.sentinels,
        down_after_ms: plan.down_after_ms,
        durability: plan.durability,
        behind_proxy,
        ..ports::free_layout().ok_or_else(|| DrillError::Other("no free ports were found".into()))?
    };
    said(&format!("{}: starting a group in {}", fault.word(), dir.display()));
    let proxy = if behind_proxy { Some(Proxy::start(&layout)?) } else { None };
    let mut group = Group::start(dir, layout, &plan.program)?;
    group.wait_settled(SETTLE_WITHIN)?;
    let mut stage = Stage { plan, fault, control: Control::of(group.layout().api_addresses()), group, proxy };
    let mut rounds = Vec::new();
    for number in 1..=plan.rounds {
        let round = stage.round(number)?;
        said(&format!("{} {number}/{}: {round}", fault.word(), plan.rounds));
        rounds.push(round);
    }
    stage.group.stop();
    Ok(FaultReport::new(fault, rounds))
}

/// A group under drill.
struct Stage<'a> {
    plan: &'a Plan,
    fault: Fault,
    control: Control,
    group: Group,
    proxy: Option<Proxy>,
}

impl Stage<'_> {
    fn round(&mut self, number: u32) -> Result<Round, DrillError> {
        let before = self.group.wait_settled(SETTLE_WITHIN)?;
        let master = before.master.ok_or_else(|| DrillError::Other("a settled group has a master".into()))?;
        let master_port =
            u16::try_from(master.port).map_err(|_| DrillError::Other("the master's port is no port".into()))?;
        let old = format!("{}:{}", master.host, master.port);
        let prefix = format!("drill:{}:{number}", self.fault.word());
        let writer = Writer::start(&self.plan.writer, self.group.layout(), &prefix, self.plan.rate)?;
        self.warm_up(&writer)?;

        let began_at = Instant::now();
        let Struck { at: struck_at, damage } = self.strike(master_port)?;
        let deadline = Instant::now() + RECOVER_WITHIN;
        while writer.first_ack_elsewhere(&old, struck_at).is_none() && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        self.keep_writing();
        let acks = writer.stop();
        self.heal(damage)?;
        let lost = self.look_for(&prefix, &acks)?;
        Ok(Round::measure(&acks, &old, began_at, struck_at, lost))
    }

    fn keep_writing(&self) {
        std::thread::sleep(STEADY);
    }

    /// Until writes have been acknowledged for a while.
    fn warm_up(&self, writer: &Writer) -> Result<(), DrillError> {
        let deadline = Instant::now() + RECOVER_WITHIN;
        while !writer.steady_for(STEADY) {
            if Instant::now() > deadline {
                let last = writer.last_error().unwrap_or_else(|| "it said nothing".into());
                return Err(DrillError::Other(format!("the writer cannot write to the healthy group: {last}")));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// How many acknowledged writes the present master does not have.
    fn look_for(&mut self, prefix: &str, acks: &[Ack]) -> Result<u64, DrillError> {
        let after = self.group.wait_settled(SETTLE_WITHIN)?;
        let master = after.master.unwrap_or_default();
        let address = format!("{}:{}", master.host, master.port);
        let lost = operate::block_on(writer::missing(&address, prefix, acks));
        lost.map_err(|error| DrillError::Other(format!("cannot read back from {address}: {error}")))
    }
}
