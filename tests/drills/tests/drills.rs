//! The short forms of `quorate drill`: one round each over real processes. Bounds are generous, for debug builds on a loaded machine of two cores;
//! `quorate drill` on a release build shows the real figures.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use quorate_cli::args::Fault;
use quorate_cli::drill::{FaultReport, Plan, WriterKind, run};
use quorate_cli::local::Durability;

/// One group at a time: drills measure time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(|failed| failed.into_inner())
}

/// One round of a fault.
fn drill(fault: Fault, durability: Durability, writer: WriterKind) -> FaultReport {
    let _alone = alone();
    let plan = Plan {
        faults: vec![fault],
        rounds: 1,
        rate: 500,
        down_after_ms: 1000,
        durability,
        sentinels: 3,
        dir: None,
        program: PathBuf::from(env!("CARGO_BIN_EXE_quorate-drilled")),
        writer,
    };
    let mut report = run(&plan, &mut |line| eprintln!("{line}")).unwrap_or_else(|error| panic!("{error}"));
    report.faults.pop().expect("one fault was asked for")
}

/// The first write at the new master came in time, and no acknowledged write is missing.
#[track_caller]
fn recovers(fault: Fault, within_ms: f64) {
    let report = drill(fault, Durability::Async, WriterKind::RedisRs);
    let recovery = report.recovery_ms.expect("a write was acknowledged by another master");
    assert!(recovery.max < within_ms, "{report:?}");
    assert_eq!(report.lost, 0, "{report:?}");
    assert!(report.acknowledged > 100, "{report:?}");
}

#[test]
fn a_killed_master_is_replaced_at_once() {
    recovers(Fault::Kill, 1500.0);
}

#[test]
fn a_stopped_master_is_replaced_after_down_after() {
    recovers(Fault::Stop, 3000.0);
}

#[test]
fn a_master_that_is_cut_off_is_replaced_after_down_after() {
    let report = drill(Fault::Cut, Durability::Async, WriterKind::RedisRs);
    assert!(report.recovery_ms.is_some_and(|recovery| recovery.max < 3000.0), "{report:?}");
    // In an async group the cut may fall between an acknowledgement and its replication: a few writes, never more.
    assert!(report.lost <= 20, "{report:?}");
}

#[test]
fn a_handover_loses_nothing_and_is_hardly_noticed() {
    for durability in [Durability::Async, Durability::Quorum] {
        let report = drill(Fault::Handover, durability, WriterKind::RedisRs);
        assert!(report.gap_ms.is_some_and(|gap| gap.max < 1000.0), "{durability:?}: {report:?}");
        assert_eq!((report.lost, report.not_recovered), (0, 0), "{durability:?}: {report:?}");
    }
}

#[test]
fn the_next_leader_finishes_when_leader_and_master_die_together() {
    recovers(Fault::SentinelKill, 6000.0);
}

#[test]
fn a_rolling_restart_loses_nothing() {
    let report = drill(Fault::Rolling, Durability::Async, WriterKind::RedisRs);
    assert_eq!((report.lost, report.not_recovered), (0, 0), "{report:?}");
}

#[test]
fn redis_py_goes_on_at_the_new_master() {
    // .ci/run prepares an interpreter with redis-py; elsewhere there may be none.
    let Ok(python) = std::env::var("QUORATE_PYTHON") else {
        assert!(std::env::var_os("QUORATE_CI").is_none(), "QUORATE_PYTHON names no interpreter with redis-py");
        eprintln!("skipped: QUORATE_PYTHON names no interpreter with redis-py");
        return;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/writer.py").to_owned();
    let report = drill(Fault::Kill, Durability::Async, WriterKind::Program(vec![python, script]));
    assert!(report.recovery_ms.is_some_and(|recovery| recovery.max < 2000.0), "{report:?}");
    assert_eq!(report.lost, 0, "{report:?}");
}
