//! Short forms of `cargo xtask drill-proof`. Each run goes into namespaces of its own, which end with it; without namespaces it goes through a
//! proxy, and faults of disks are left out.

use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard};

/// One run at a time: each is a load for the whole machine.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(|failed| failed.into_inner())
}

/// A run with these arguments: its exit code and what it said. `None`: this machine lets nobody have disks of
/// their own, which one of the faults needs.
fn prove(arguments: &[&str]) -> Option<(i32, String)> {
    let _alone = alone();
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_drill-proof"))
        .args(["--program", env!("CARGO_BIN_EXE_quorate-drilled"), "--dir", env!("CARGO_TARGET_TMPDIR")])
        .args(arguments)
        .output()
        .expect("the program was built with this test");
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    if said.contains("needs a disk for each process, and this machine allows none") {
        eprintln!("skipped: {said}");
        return None;
    }
    Some((status.code().unwrap_or(-1), said))
}

/// A run in which nothing is lost, nothing is out of order, and the group recovers after every round.
#[track_caller]
fn clean(arguments: &[&str]) {
    if let Some((code, said)) = prove(arguments) {
        assert_eq!(code, 0, "{said}");
    }
}

/// Everything that is acknowledged is still there, in order, and reads never go back, whatever is broken.
#[test]
fn a_quorum_group_loses_nothing() {
    clean(&["--minutes", "4", "--durability", "quorum", "--seed", "1"]);
}

/// With `ack: fsync` the promise holds when every process is killed at once and no disk keeps what was not synced.
#[test]
fn a_quorum_on_disks_survives_the_loss_of_power() {
    let faults = "power-loss,kill,restart,isolate,slow-disk";
    clean(&["--minutes", "1", "--durability", "quorum", "--ack", "fsync", "--faults", faults, "--seed", "2"]);
}

/// A harness that sees no loss where there is one proves nothing. Not every partition makes Redis lose something, so several seeds have a try.
#[test]
fn what_redis_loses_in_a_partition_is_seen() {
    let mut heard = String::new();
    for seed in ["3", "4", "5", "6", "7"] {
        let against = ["--minutes", "0.7", "--against", "redis-sentinel", "--faults", "isolate,halves", "--seed", seed];
        let Some((code, said)) = prove(&against) else { return };
        if code == 1 && said.contains("was acknowledged at") {
            return;
        }
        heard.push_str(&said);
    }
    panic!("no loss was seen: {heard}");
}
