//! Voters that are lost for good, with their disks, while the voters or the terms change: I4 and I9 hold, and the group goes on.

use std::time::Duration;

use quorate_registry::failover::Failover;
use quorate_registry::steering::Manner;
use quorate_registry::{Ack, Durability, Rejected, Settings, Voting};

use crate::durability::{quorum, set};
use crate::world::{World, key};
use crate::{LONG, SOON};

/// A group of voters, its change under way and not adopted by the master, since none of `lagging` holds what it acknowledged.
fn changing(seed: u64, nodes: u16, settings: Settings, lagging: &[u16], changes: &[(&str, &str)]) -> World {
    let mut world = World::serving(seed, nodes, settings);
    for port in lagging {
        world.node(*port).lagging = true;
    }
    world.run_for(Duration::from_millis(200));
    set(&mut world, changes).expect("the group could give it");
    world.run_until("joint", SOON, |w| matches!(w.group().voting, Voting::Joint { .. }));
    world
}

/// Each comes back on an empty disk: under another name.
fn replace(world: &mut World, ports: &[u16]) {
    for port in ports {
        world.restart(*port, true);
        world.node(*port).lagging = false;
    }
}

/// No config of the change can be settled without the voter that is gone: one more step lets in its successor. Seeds 5177 and 64492 of the simulator.
#[test]
fn a_change_of_terms_that_lost_its_voter_is_superseded() {
    let mut world = changing(40, 2, quorum(), &[7002], &[("ack", "fsync")]);
    replace(&mut world, &[7002]);
    world.run_until("by fsync, with the successor", LONG, |w| {
        w.calm() && w.all_vote() && w.group().voting.config().ack == Ack::Fsync
    });
    assert_eq!(world.published(), Durability::Quorum);
    world.assert_nothing_lost("a step away from what nobody can settle");
}

/// The same while another `ack` is asked for besides: the voter that is lost need not acknowledge by it. Seed 1055 of the simulator.
#[test]
fn a_lost_voter_acknowledges_under_no_terms() {
    let mut world = World::serving(49, 3, Settings { ack: Ack::Fsync, ..quorum() });
    replace(&mut world, &[7003]);
    set(&mut world, &[("copies", "3"), ("ack", "receipt")]).expect("the group could give it");
    world.run_until("three copies by receipt, with the successor", LONG, |w| {
        let config = w.group().voting.config();
        w.calm() && w.all_vote() && config.copies == 3 && config.ack == Ack::Receipt
    });
    world.assert_nothing_lost("the successor had it all");
}

/// Back in `async` the change that was asked for is wanted again, and is not gone back to while its voter is not there. Seeds 2021, 65070 and 67379.
#[test]
fn a_change_to_quorum_that_lost_its_voter_is_settled_without_it() {
    let mut world = changing(41, 2, Settings::default(), &[7002], &[("durability", "quorum")]);
    replace(&mut world, &[7002]);
    world.run_until("quorum, with the successor", LONG, |w| {
        w.calm() && w.all_vote() && w.published() == Durability::Quorum
    });
}

/// So many voters are lost that no single successor makes up for them: the group goes through configs that nobody could settle.
#[test]
fn two_of_three_voters_are_lost_at_once() {
    let mut world = World::serving(42, 3, quorum());
    world.run_for(SOON);
    replace(&mut world, &[7002, 7003]);
    world.run_until("three again", LONG, |w| w.calm() && w.all_vote());
    world.assert_nothing_lost("the master held everything");
    assert_eq!(world.published(), Durability::Quorum);
}

/// The same while the terms change, and the master dies with the change: its successor was chosen by R of every config (I4).
#[test]
fn the_master_and_its_change_are_lost() {
    let mut world = changing(43, 3, quorum(), &[7003], &[("copies", "3")]);
    world.kill(7001);
    world.run_until("another leads", LONG, |w| w.group().epoch.0 == 2);
    replace(&mut world, &[7001]);
    world.node(7003).lagging = false;
    world.run_until("three copies", LONG, |w| w.calm() && w.all_vote() && w.group().voting.config().copies == 3);
    world.assert_nothing_lost("R of every config promised");
}

/// Nodes without a log are not let in to terms that they could not keep, and a change to such terms is not begun. Seed 64515.
#[test]
fn a_learner_is_not_let_in_to_terms_that_the_voters_cannot_keep() {
    let mut world = World::serving(44, 2, quorum());
    set(&mut world, &[("ack", "fsync")]).expect("both have logs");
    for port in [7001, 7002] {
        world.node(port).no_fsync = true; // turned off before anything came of it
    }
    replace(&mut world, &[7002]);
    world.run_for(LONG);
    assert!(matches!(world.group().voting, Voting::Settled(_)), "{:?}", world.group().voting);
    assert_eq!(world.group().voting.config().ack, Ack::Receipt);
}

/// I4: when too few voters are left to know what was acknowledged, nobody is chosen, and force is no way around that; the operator's word is.
#[test]
fn only_the_operator_gives_up_what_is_lost() {
    let mut world = World::serving(45, 3, quorum());
    world.run_for(SOON);
    world.node(7003).lagging = true;
    world.run_for(Duration::from_millis(200));
    world.kill(7001);
    world.kill(7002);
    world.run_for(LONG);
    assert_eq!(world.ask_failover(None, Manner::Force), Err(Rejected::WouldLose));
    assert_eq!(world.ask_failover(None, Manner::Handover), Err(Rejected::WouldLose));
    assert_eq!((world.group().epoch.0, &world.group().failover), (1, &None));
    world.ask_failover(None, Manner::AcceptLoss).expect("7003 holds something");
    world.run_until("it leads", LONG, |w| w.group().master == key(7003));
    assert_eq!((world.count("+loss-accepted"), world.published()), (1, Durability::Async));
    // What it lacks was given up: from here on everything is as in a new group.
    world.committed.clear();
    world.acknowledged = 0;
    world.node(7003).lagging = false;
    replace(&mut world, &[7001, 7002]);
    world.run_until("quorum again", LONG, |w| w.calm() && w.all_vote() && w.published() == Durability::Quorum);
    world.assert_nothing_lost("since");
}

/// A failover that looks for promises in vain begins anew all the time: the operator's word takes it over.
#[test]
fn what_the_operator_gives_up_ends_a_vain_search() {
    let mut world = World::serving(48, 3, quorum());
    world.run_for(SOON);
    world.kill(7002);
    world.kill(7003);
    world.restart(7001, false); // fenced, and alone
    let searches = |w: &World| w.group().failover.as_ref().is_some_and(Failover::gives_way_to_loss);
    world.run_until("it looks for others", LONG, searches);
    let epoch = world.group().failover.as_ref().expect("just seen").epoch;
    assert!(matches!(world.ask_failover(None, Manner::Force), Err(Rejected::InProgress(_))));
    world.ask_failover(None, Manner::AcceptLoss).expect("7001 holds something");
    world.run_until("it leads", LONG, |w| w.group().epoch == epoch && w.calm());
    assert_eq!((world.group().master.clone(), world.count("+loss-accepted")), (key(7001), 1));
    world.assert_nothing_lost("it held everything");
}

/// Where nothing need be lost nothing is, whatever the operator accepts.
#[test]
fn a_loss_that_is_not_needed_is_not_taken() {
    let mut world = World::serving(46, 3, quorum());
    world.run_for(SOON);
    world.ask_failover(None, Manner::AcceptLoss).expect("two of three will do");
    world.run_until("another leads", LONG, |w| w.group().epoch.0 == 2 && w.calm());
    assert_eq!(world.count("+loss-accepted"), 0);
    assert_eq!(world.published(), Durability::Quorum);
    world.assert_nothing_lost("it was a failover as any other");
}

/// Not even then: an empty node would wipe what a lost one may yet bring (I10).
#[test]
fn an_empty_node_is_never_what_is_left() {
    let mut world = World::serving(47, 3, quorum());
    world.kill(7001);
    world.kill(7002);
    world.restart(7003, true);
    world.run_for(SOON * 3);
    assert_eq!(world.ask_failover(None, Manner::AcceptLoss), Err(Rejected::NoGoodReplica));
}

/// I4: who holds the most leads, though it is barred, for as long as it takes another to catch up; then it hands on, and nothing is lost.
#[test]
fn a_barred_node_that_holds_the_most_leads_until_another_can() {
    let mut world = World::serving(48, 3, quorum());
    world.node(7002).priority = 0;
    world.run_for(SOON);
    world.node(7003).lagging = true;
    world.run_for(Duration::from_millis(200));
    world.kill(7001);
    world.run_until("the barred one leads", LONG, |w| w.group().master == key(7002));
    world.run_for(SOON * 2);
    assert_eq!(world.group().interim, Some(world.group().epoch));
    world.node(7003).lagging = false;
    world.run_until("it has handed on", LONG, |w| w.calm() && w.group().master == key(7003));
    assert_eq!(world.group().interim, None);
    world.assert_nothing_lost("first the greatest, then a handover");
}

/// The same where the others have nothing left, `async` as the group is. Seed 7946 of the simulator.
#[test]
fn a_barred_node_that_alone_holds_data_leads_until_another_can() {
    let mut world = World::serving(49, 3, Settings::default());
    world.node(7003).priority = 0;
    world.run_for(SOON);
    world.kill(7001);
    world.kill(7002);
    replace(&mut world, &[7001, 7002]);
    world.run_until("the barred one leads", LONG, |w| w.group().master == key(7003));
    world.run_until("it has handed on", LONG, |w| w.calm() && w.all_vote() && w.group().master != key(7003));
    assert_eq!(world.group().interim, None);
}
