//! Failovers in a deterministic world: see [`world`].

mod chaos;
mod durability;
mod handover;
mod lost;
mod recovery;
mod world;

use std::time::Duration;

use quorate_registry::steering::Manner;
use quorate_registry::{Durability, Epoch, Rejected, Settings};
use world::{World, key};

const SOON: Duration = Duration::from_millis(1000);
const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_new_group_gets_its_configured_master() {
    let world = World::serving(1, 3, Settings::default());
    assert_eq!(world.group().epoch, Epoch(1));
    assert_eq!(world.count("+switch-master"), 0, "nobody was master before");
    assert_eq!(world.count("+monitor"), 1);
    assert!(world.rejected.is_empty(), "{:?}", world.rejected);
}

#[test]
fn a_dead_master_is_replaced_at_once_with_sentinels_events() {
    let mut world = World::serving(1, 3, Settings::default());
    world.node(7002).lagging = true; // so 7003 is the greatest
    world.run_for(Duration::from_millis(200));
    world.events.clear();
    world.kill(7001);
    let took = world.run_until("a new master", SOON, |w| w.group().master == key(7003));
    assert!(took <= Duration::from_millis(100), "{took:?}");
    world.node(7002).lagging = false;
    world.run_until("repointed", SOON, World::calm);
    assert_eq!(
        world.names(),
        [
            "+odown",
            "+new-epoch",
            "+try-failover",
            "+elected-leader",
            "+failover-state-select-slave",
            "+selected-slave",
            "+failover-state-send-slaveof-noone",
            "+failover-state-wait-promotion",
            "+promoted-slave",
            "+failover-state-reconf-slaves",
            "+switch-master",
            "+slave",
            "+slave",
            "+slave-reconf-sent",
            "+slave-reconf-inprog",
            "+slave-reconf-done",
            "+failover-end",
        ]
    );
    let switch = world.events.iter().find(|event| event.name == "+switch-master").expect("above");
    assert_eq!(switch.text, "main 10.0.0.1 7001 10.0.0.1 7003");
    assert_eq!(switch.epoch, Epoch(2));

    world.restart(7001, false);
    world.run_until("the old master follows", SOON, |w| w.calm() && w.nodes[&key(7001)].link_up);
    assert_eq!(world.group().master, key(7003));
}

#[test]
fn two_nodes_fail_over_when_the_master_dies() {
    let mut world = World::serving(1, 2, Settings::default());
    world.kill(7001);
    world.run_until("a new master", SOON, |w| w.group().master == key(7002));
    world.run_until("it serves alone", SOON, World::calm);
}

#[test]
fn a_quorum_group_needs_a_majority_with_data() {
    let settings = Settings { durability: Durability::Quorum, ..Settings::default() };
    let mut world = World::serving(1, 3, settings);
    world.kill(7002);
    world.kill(7001);
    world.run_for(LONG);
    assert_eq!(world.group().master, key(7001), "one of three may lack an acknowledged write");
    assert_eq!(world.count("+odown"), 1);
    world.restart(7002, true); // I10: it counts for nothing
    world.run_for(LONG);
    assert_eq!(world.group().master, key(7001));
    world.restart(7001, false);
    world.run_until("the majority is back", LONG, World::calm);
    assert_eq!(world.group().master, key(7001), "it has the greatest data");
}

#[test]
fn the_greatest_data_wins_before_priority() {
    let mut world = World::serving(1, 3, Settings::default());
    world.node(7002).priority = 1;
    world.node(7002).lagging = true;
    world.run_for(Duration::from_millis(300));
    world.kill(7001);
    world.run_until("the greatest", SOON, |w| w.group().master == key(7003));
}

#[test]
fn priority_breaks_ties_and_zero_excludes() {
    for (first, second, winner) in [(100, 1, 7003), (1, 100, 7002), (100, 100, 7002), (0, 100, 7003)] {
        let mut world = World::serving(1, 3, Settings::default());
        world.node(7002).priority = first;
        world.node(7003).priority = second;
        world.writes = false;
        world.run_for(Duration::from_millis(300));
        world.kill(7001);
        let what = format!("priorities {first} and {second}");
        world.run_until(&what, SOON, |w| w.group().master == key(winner));
    }
}

#[test]
fn nobody_to_choose_means_no_failover() {
    let mut world = World::serving(1, 3, Settings::default());
    world.node(7002).priority = 0;
    world.kill(7003);
    world.run_for(Duration::from_millis(300));
    assert_eq!(world.ask_failover(None, Manner::Handover), Err(Rejected::NoGoodReplica));
    world.kill(7001);
    world.run_for(LONG);
    assert_eq!((world.count("+odown"), world.count("+try-failover")), (1, 0));
    world.restart(7001, false);
    world.run_until("the master is back", LONG, World::calm);
    assert_eq!(world.group().master, key(7001));
    assert_eq!(world.count("-odown"), 1);
}

#[test]
fn a_silent_partition_is_handled_like_a_death_and_heals() {
    let mut world = World::serving(1, 3, Settings::default());
    world.node(7001).isolated = true;
    world.run_until("a new master", SOON * 2, |w| w.group().master != key(7001));
    world.run_for(Duration::from_secs(1));
    world.node(7001).isolated = false;
    world.run_until("the old master is demoted", SOON, |w| w.calm() && w.count("+convert-to-slave") == 1);
}

#[test]
fn forced_failover_leaves_the_master_out() {
    let mut world = World::serving(1, 3, Settings::default());
    world.ask_failover(Some(7003), Manner::Force).expect("7003 is able");
    assert_eq!(world.ask_failover(None, Manner::Force), Err(Rejected::InProgress(world.name.clone())));
    world.run_until("the named one", SOON, |w| w.group().master == key(7003));
    world.run_until("calm", SOON, World::calm);
}

#[test]
fn parallel_syncs_bounds_the_repointing() {
    let mut world = World::serving(1, 5, Settings::default());
    for port in 7003..=7005 {
        world.node(port).lagging = true;
    }
    world.run_for(Duration::from_millis(200));
    world.events.clear();
    world.kill(7001);
    world.run_until("a new master", SOON, |w| w.group().master == key(7002));
    let mut most = 0;
    while !world.calm() {
        let failover = world.group().failover.as_ref();
        if let Some(quorate_registry::failover::Phase::Reconfiguring { stages }) = failover.map(|f| &f.phase) {
            let sent = quorate_registry::failover::Stage::Sent;
            most = most.max(stages.values().filter(|stage| **stage == sent).count());
        }
        assert!(world.now < Duration::from_secs(60), "never calm");
        world.step();
    }
    assert!(most <= 1, "{most} at once");
    assert_eq!(world.count("+slave-reconf-done"), 3);
}
