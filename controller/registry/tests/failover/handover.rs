//! Planned failovers: nothing is lost, and the master goes on when they are given up.

use std::time::Duration;

use quorate_registry::sights::Role;
use quorate_registry::steering::Manner;
use quorate_registry::{Epoch, Settings};

use crate::world::{World, key};
use crate::{LONG, SOON};

#[test]
fn a_handover_loses_nothing_and_is_quick() {
    let mut world = World::serving(3, 3, Settings::default());
    world.ask_failover(Some(7003), Manner::Handover).expect("7003 is able");
    let took = world.run_until("7003 is master", SOON, |w| w.group().master == key(7003));
    assert!(took <= Duration::from_millis(150), "{took:?}");
    let held = world.nodes[&key(7003)].offset;
    assert!(held >= world.acknowledged, "{held} of {}", world.acknowledged);
    world.run_until("calm", SOON, World::calm);
    assert_eq!(world.count("+switch-master"), 1);
    assert_eq!(world.group().epoch, Epoch(2));
}

#[test]
fn the_operators_preference_counts_when_nobody_is_named() {
    let mut world = World::serving(3, 3, Settings::default());
    world.node(7003).priority = 1;
    world.run_for(Duration::from_millis(300));
    world.ask_failover(None, Manner::Handover).expect("both are able");
    world.run_until("the preferred one", SOON, |w| w.group().master == key(7003));
}

#[test]
fn a_candidate_that_cannot_catch_up_leaves_the_master_in_place() {
    let mut world = World::serving(3, 3, Settings::default());
    world.node(7003).lagging = true;
    world.run_for(Duration::from_millis(100));
    world.ask_failover(Some(7003), Manner::Handover).expect("7003 looks able");
    world.run_until("given up", LONG, |w| w.count("-failover-abort-slave-timeout") == 1);
    world.node(7003).lagging = false;
    let before = world.acknowledged;
    world.run_until("the master goes on", SOON, |w| w.calm() && w.acknowledged > before);
    assert_eq!(world.group().master, key(7001));
    assert_eq!(world.group().epoch, Epoch(1), "it was given up before the compare-and-set");
}

#[test]
fn a_candidate_that_stops_at_the_last_moment_leaves_the_master_in_place() {
    let mut world = World::serving(3, 3, Settings::default());
    world.ask_failover(Some(7003), Manner::Handover).expect("7003 is able");
    world.run_until("close", SOON, |w| w.phase() == Some("collecting"));
    world.node(7003).lagging = true;
    world.run_until("given up", LONG, |w| w.count("-failover-abort-slave-timeout") == 1);
    let before = world.acknowledged;
    world.run_until("the master goes on", SOON, |w| w.calm() && w.acknowledged > before);
    assert_eq!((world.group().master.clone(), world.group().epoch), (key(7001), Epoch(1)));
}

#[test]
fn an_aborted_handover_is_resumed_by_the_next_leader_too() {
    let mut world = World::serving(3, 3, Settings::default());
    world.node(7003).lagging = true;
    world.run_for(Duration::from_millis(100));
    world.ask_failover(Some(7003), Manner::Handover).expect("7003 looks able");
    world.run_until("paused", SOON, |w| w.phase() == Some("catching-up"));
    world.lose = 100; // the order to resume is carried out by nobody: the leader dies with it
    world.run_until("given up", LONG, |w| w.phase().is_none());
    world.depose();
    world.node(7001).paused_until = Some(world.now + LONG);
    world.lose = 0;
    world.node(7003).lagging = false;
    world.run_until("resumed", SOON, World::calm);
}

#[test]
fn a_candidate_that_dies_after_the_promise_gives_the_old_master_a_new_epoch() {
    let mut world = World::serving(3, 3, Settings::default());
    world.ask_failover(Some(7003), Manner::Handover).expect("7003 is able");
    world.run_until("promises", SOON, |w| w.phase() == Some("collecting"));
    world.kill(7003);
    world.run_until("someone serves", SOON, World::calm);
    let master = world.group().master.clone();
    assert!(world.nodes[&master].offset >= world.acknowledged, "nothing is lost");
    assert_ne!(master, key(7003));
}

#[test]
fn a_master_that_dies_in_a_handover_is_failed_over_from() {
    for phase in ["catching-up", "collecting", "promoting", "reconfiguring"] {
        let mut world = World::serving(3, 3, Settings::default());
        world.ask_failover(Some(7003), Manner::Handover).expect("7003 is able");
        world.run_until(phase, SOON, |w| w.phase() == Some(phase));
        world.kill(7001);
        world.run_until("a new master serves", LONG, World::calm);
        assert_ne!(world.group().master, key(7001), "{phase}");
    }
}

#[test]
fn the_next_leader_finishes_the_same_handover_from_every_phase() {
    for phase in ["catching-up", "collecting", "promoting", "reconfiguring"] {
        let mut world = World::serving(3, 3, Settings::default());
        world.ask_failover(Some(7002), Manner::Handover).expect("7002 is able");
        world.run_until(phase, SOON, |w| w.phase() == Some(phase));
        world.depose();
        world.run_until(phase, LONG, World::calm);
        assert_eq!(world.group().master, key(7002), "{phase}");
        assert_eq!(world.group().epoch, Epoch(2), "{phase}: the same failover");
        assert!(world.nodes[&key(7002)].offset >= world.acknowledged, "{phase}: nothing is lost");
        assert_eq!(world.nodes[&key(7001)].role, Role::Replica);
    }
}
