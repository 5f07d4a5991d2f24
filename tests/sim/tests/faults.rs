//! The net catches fish: every invariant is broken by a switch, and the simulator finds that within a bounded number of seeds.
#![cfg(feature = "faults")]

use quorate_sim::hunt::{ALL, hunt};

/// Seeds that a switch is hunted for at most; most are found within ten.
const MOST: u64 = 400;

fn check(part: usize, parts: usize) {
    let missed = ALL.iter().skip(part).step_by(parts).filter(|quarry| match hunt(quarry, 0, MOST) {
        Some((seed, breach)) => {
            println!("{:?}: seed {seed}: {breach}", quarry.broken);
            false
        }
        None => true,
    });
    let missed: Vec<String> = missed.map(|quarry| format!("{:?}", quarry.broken)).collect();
    assert!(missed.is_empty(), "not found in {MOST} seeds: {missed:?}");
}

#[test]
fn what_is_broken_is_found() {
    check(0, 2);
}

#[test]
fn what_else_is_broken_is_found() {
    check(1, 2);
}
