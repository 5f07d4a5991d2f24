//! Leaders that die in every phase, answers that are lost or come twice, and two leaders at once.

use std::time::Duration;

use quorate_registry::steering::Manner;
use quorate_registry::{Durability, Epoch, Settings};

use crate::world::{World, key};
use crate::{LONG, SOON};

#[test]
fn the_next_leader_finishes_the_same_failover_from_every_phase() {
    for phase in ["collecting", "promoting", "reconfiguring"] {
        let mut world = World::serving(7, 3, Settings::default());
        world.kill(7001);
        world.run_until(phase, SOON, |w| w.phase() == Some(phase));
        world.depose();
        let took = world.run_until(phase, LONG, World::calm);
        assert!(took < Duration::from_secs(2), "{phase}: {took:?}");
        assert_eq!(world.group().epoch, Epoch(2), "{phase}: the same failover");
        assert_eq!(world.count("+switch-master"), 1, "{phase}");
    }
}

#[test]
fn a_leader_that_dies_before_the_failover_begins_leaves_it_to_the_next() {
    let mut world = World::serving(7, 3, Settings::default());
    world.kill(7001);
    world.depose();
    world.run_until("a new master", SOON, |w| w.calm() && w.group().master != key(7001));
}

#[test]
fn a_candidate_that_dies_while_promoted_costs_its_epoch() {
    for phase in ["promoting", "reconfiguring"] {
        let mut world = World::serving(7, 3, Settings::default());
        world.kill(7001);
        world.run_until(phase, SOON, |w| w.phase() == Some(phase));
        world.kill(7002); // the tie goes to the smaller run id
        world.run_until("the last one serves", LONG, |w| w.calm() && w.group().master == key(7003));
        assert_eq!(world.group().epoch, Epoch(3), "{phase}");
    }
}

#[test]
fn lost_and_repeated_answers_only_cost_time() {
    for seed in 0..40 {
        let mut world = World::serving(seed, 3, Settings::default());
        (world.lose, world.duplicate) = (40, 40);
        world.kill(7001);
        world.run_until(&format!("seed {seed}"), LONG, |w| w.calm() && w.group().master != key(7001));
        let candidate = if world.group().master == key(7002) { 7003 } else { 7002 };
        // It may be given up if answers are lost again and again; it may not hang, nor leave the group paused.
        world.ask_failover(Some(candidate), Manner::Handover).expect("it is able");
        world.run_until(&format!("seed {seed}, handover"), LONG, World::calm);
    }
}

#[test]
fn two_leaders_at_once_give_one_master() {
    for seed in 0..40 {
        let mut world = World::serving(seed, 3, Settings::default());
        world.usurper = Some((world.leader + 1) % 3);
        (world.lose, world.duplicate) = (20, 20);
        world.kill(7001);
        world.run_until(&format!("seed {seed}"), LONG, |w| w.calm() && w.group().master != key(7001));
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.count("+switch-master"), 1, "seed {seed}: {:?}", world.names());
        assert!(!world.rejected.is_empty(), "seed {seed}: the compare-and-set refused one of them");
    }
}

/// Random faults, then quiet: the group must be calm again, and a `quorum` group must hold what it acknowledged.
fn storm(seed: u64, nodes: u16, durability: Durability) {
    let mut world = World::serving(seed, nodes, Settings { durability, ..Settings::default() });
    (world.lose, world.duplicate) = (10, 10);
    for _ in 0..30 {
        let port = 7001 + world.rng.u16(..nodes);
        let up = world.nodes[&key(port)].up;
        match world.rng.u8(..8) {
            0 | 1 if up => world.kill(port),
            0 | 1 => world.restart(port, false),
            2 => world.node(port).isolated ^= true,
            3 => world.elect(),
            4 => world.usurper = world.rng.bool().then(|| world.rng.usize(..3)),
            5 => drop(world.ask_failover(None, Manner::Handover)),
            6 => drop(world.ask_failover(Some(port), Manner::Force)),
            _ => world.node(port).lagging ^= true,
        }
        let pause = world.rng.u64(10..1500);
        world.run_for(Duration::from_millis(pause));
    }
    (world.lose, world.duplicate, world.usurper) = (0, 0, None);
    for port in 7001..7001 + nodes {
        let node = world.node(port);
        (node.isolated, node.lagging) = (false, false);
        if !node.up {
            world.restart(port, false);
        }
    }
    let what = format!("calm after seed {seed}, {nodes} nodes, {durability:?}");
    world.run_until(&what, Duration::from_secs(60), World::calm);
    if durability == Durability::Quorum {
        world.assert_nothing_lost(&what);
    }
}

#[test]
fn storms_end_in_calm() {
    for seed in 0..20 {
        storm(seed, 2, Durability::Async);
        storm(seed, 3, Durability::Async);
        storm(seed, 3, Durability::Quorum);
        storm(seed, 5, Durability::Quorum);
    }
}
