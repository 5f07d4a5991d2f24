//! Restarts, amnesia, strays, and nodes that are not ours.

use std::time::Duration;

use quorate_registry::sights::Role;
use quorate_registry::steering::Manner;
use quorate_registry::{Epoch, Settings};

use crate::world::{World, key};
use crate::{LONG, SOON};

#[test]
fn a_master_reborn_empty_is_replaced_by_a_replica_with_data() {
    let mut world = World::serving(5, 3, Settings::default());
    let held = world.acknowledged;
    world.restart(7001, true); // killed and started again between two looks
    world.run_until("a replica takes over", SOON, |w| w.calm() && w.group().master != key(7001));
    assert!(world.nodes.values().all(|node| node.offset >= held), "I10: nobody was wiped");
    world.run_until("the new process is known", SOON, |w| w.count("+reboot") == 1);
}

#[test]
fn a_master_that_restarts_with_its_data_stays_master_in_a_new_epoch() {
    let mut world = World::serving(5, 3, Settings::default());
    world.writes = false;
    world.run_for(Duration::from_millis(100));
    world.restart(7001, false);
    world.run_until("it serves again", SOON, |w| w.calm() && w.group().epoch == Epoch(2));
    assert_eq!(world.group().master, key(7001));
    assert_eq!(world.count("+switch-master"), 0);
}

#[test]
fn after_a_whole_restart_the_greatest_data_becomes_master() {
    let mut world = World::serving(5, 3, Settings::default());
    world.node(7002).lagging = true;
    world.run_for(Duration::from_millis(200));
    for port in [7001, 7002, 7003] {
        world.kill(port);
    }
    world.run_for(Duration::from_secs(2));
    world.restart(7001, true); // it lost its data
    world.restart(7002, false);
    world.node(7002).lagging = false;
    world.run_for(Duration::from_secs(1));
    assert_ne!(world.group().master, key(7002), "the grace is not over: 7003 may have more");
    world.restart(7003, false);
    world.run_until("the greatest serves", LONG, World::calm);
    assert_eq!(world.group().master, key(7003));
}

#[test]
fn after_the_grace_those_that_are_there_go_on() {
    let mut world = World::serving(5, 3, Settings::default());
    for port in [7001, 7002, 7003] {
        world.kill(port);
    }
    world.run_for(Duration::from_secs(1));
    world.restart(7001, false);
    world.restart(7002, false);
    let took = world.run_until("two of three serve", LONG, World::calm);
    assert!(took >= Duration::from_secs(3), "{took:?}: not before the grace");
}

#[test]
fn a_loading_node_is_waited_for_during_the_grace() {
    let mut world = World::serving(5, 2, Settings::default());
    world.node(7002).lagging = true;
    world.run_for(Duration::from_millis(200));
    world.restart(7001, false);
    world.node(7001).loading = true;
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.phase(), Some("collecting"));
    world.node(7001).loading = false;
    world.node(7002).lagging = false;
    world.run_until("loaded", SOON, World::calm);
    assert_eq!(world.group().master, key(7001));
}

#[test]
fn a_new_group_waits_for_nodes_that_may_hold_data() {
    let mut world = World::new(5, 3, Settings::default(), false);
    world.kill(7003);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.group().epoch, Epoch(0));
    {
        let node = world.node(7003);
        (node.data_known, node.offset, node.data_epoch) = (true, 500, Epoch(4));
        (node.epoch, node.promised) = (Epoch(4), Epoch(6));
    }
    world.restart(7003, false);
    world.run_until("the one with data", LONG, World::calm);
    assert_eq!(world.group().master, key(7003));
    assert_eq!(world.group().epoch, Epoch(7), "above whatever any node had promised");
}

#[test]
fn a_barred_master_is_established_anew() {
    let mut world = World::serving(5, 3, Settings::default());
    world.node(7003).promised = Epoch(9);
    world.run_until("a higher epoch", SOON, |w| w.calm() && w.group().epoch == Epoch(10));
    assert_eq!(world.group().master, key(7001));
}

#[test]
fn strays_are_told_what_they_are() {
    let mut world = World::serving(5, 3, Settings::default());
    world.node(7003).master = Some(key(7002));
    world.run_until("repointed", SOON, |w| w.calm() && w.count("+fix-slave-config") == 1);
    world.node(7003).role = Role::Fenced;
    world.run_until("assigned", SOON, World::calm);
    assert_eq!((world.count("+fix-slave-config"), world.count("+convert-to-slave")), (1, 0));
    assert_eq!(world.group().epoch, Epoch(1), "none of it was a failover");
}

#[test]
fn replicas_are_discovered_from_the_master() {
    let mut world = World::serving(5, 2, Settings::default());
    world.attach(7003);
    world.events.clear();
    world.run_until("found", SOON, |w| w.group().nodes.len() == 3);
    assert_eq!(world.events[0].name, "+slave");
    assert_eq!(world.events[0].text, "slave 10.0.0.1:7003 10.0.0.1 7003 @ main 10.0.0.1 7001");
    world.run_until("identified", SOON, |w| w.group().nodes[&key(7003)].identity.is_some());
}

#[test]
fn stock_nodes_fail_over_by_replicaof() {
    let mut world = World::new(5, 3, Settings::default(), true);
    world.run_until("identified", SOON, |w| w.group().nodes.values().all(|n| n.identity.is_some()));
    assert!(world.group().stock());
    assert_eq!(world.group().epoch, Epoch(0), "a master that serves is left as it is");
    world.kill(7001);
    world.run_until("a new master", SOON, |w| w.calm() && w.group().master != key(7001));
    world.restart(7001, false);
    world.run_until("converted", SOON, |w| w.calm() && w.count("+convert-to-slave") == 1);
    world.writes = false; // it cannot be fenced: what it takes after the pause ends would be lost
    world.ask_failover(Some(7001), Manner::Handover).expect("it is able");
    world.run_until("handed back", SOON, |w| w.calm() && w.group().master == key(7001));
}

#[test]
fn a_master_turned_replica_behind_our_back_is_restored() {
    let mut world = World::serving(5, 3, Settings::default());
    (world.node(7001).role, world.node(7001).master) = (Role::Replica, Some(key(7002)));
    world.run_until("restored", LONG, |w| w.calm() && w.group().epoch == Epoch(2));
}
