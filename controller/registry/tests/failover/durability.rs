//! Who votes, how that changes, and what a lease delays: invariants I4, I8, I9, I10, I13.

use std::time::Duration;

use quorate_registry::command::NodeSpec;
use quorate_registry::steering::{Manner, request_settings};
use quorate_registry::voting::{Change, ConfigError};
use quorate_registry::{Ack, Command, Durability, Epoch, Rejected, Settings, Voting};

use crate::world::{World, key};
use crate::{LONG, SOON};

pub fn quorum() -> Settings {
    Settings { durability: Durability::Quorum, ..Settings::default() }
}

pub fn set(world: &mut World, changes: &[(&str, &str)]) -> Result<(), Rejected> {
    let changes = changes.iter().map(|(option, value)| (option.to_string(), value.to_string())).collect();
    let leader = &world.sentinels[world.leader];
    let command = request_settings(world.now, &leader.registry, &leader.sights, &world.name, changes)?;
    world.commit(command);
    Ok(())
}

fn remove(world: &mut World, port: u16) {
    world.commit(Command::NodeRemoved { group: world.name.clone(), node: key(port) });
}

#[test]
fn voters_join_one_at_a_time_before_durability_is_published() {
    let mut world = World::new(1, 5, quorum(), false);
    let mut before = 0;
    while world.published() != Durability::Quorum || world.voters() < 5 {
        let voters = world.group().voting.config().voters.len();
        assert!(voters <= before + 1, "I9: {before} voters, then {voters}");
        before = voters;
        if world.published() == Durability::Quorum {
            let master = &world.nodes[&world.group().master];
            assert_eq!(master.in_force.durability, Durability::Quorum, "I9: published before it was in use");
        }
        assert!(world.now < LONG, "{:?}", world.group());
        world.step();
    }
    assert_eq!(world.group().voting.config().copies, 3, "a majority of five");
}

/// Both directions, while the world storms: see `chaos` for the storms.
#[test]
fn durability_changes_at_run_time_in_both_directions() {
    let mut world = World::serving(2, 3, Settings::default());
    assert_eq!(world.published(), Durability::Async);
    set(&mut world, &[("durability", "quorum")]).expect("three nodes of ours");
    world.run_until("quorum", SOON, |w| w.published() == Durability::Quorum && w.voters() == 3);
    set(&mut world, &[("copies", "3")]).expect("as many as there are");
    world.run_until("three copies", SOON, |w| w.group().voting.config().copies == 3 && w.voters() == 3);
    set(&mut world, &[("durability", "async")]).expect("always possible");
    world.run_until("async", SOON, |w| w.published() == Durability::Async && w.voters() == 3);
    assert_eq!(world.nodes[&key(7001)].in_force.durability, Durability::Async);
    assert_eq!(world.group().epoch, Epoch(1), "none of it was a failover");
}

/// A node that keeps no leases sends no renewals; one that votes and sends none for a while is not taken for that.
#[test]
fn a_voter_that_is_hardly_heard_does_not_stand_in_the_way_of_a_change() {
    let mut world = World::serving(2, 3, quorum());
    world.node(7003).mute = true;
    world.run_for(Duration::from_millis(300));
    set(&mut world, &[("copies", "3")]).expect("it votes");
    let mut world = World::new(1, 3, Settings::default(), false);
    world.node(7003).mute = true;
    world.run_for(SOON * 3);
    assert_eq!(set(&mut world, &[("durability", "quorum")]), Err(Rejected::TooOld(key(7003))));
}

#[test]
fn what_cannot_be_given_is_refused() {
    let refused =
        |world: &mut World, changes: &[(&str, &str)]| set(world, changes).expect_err("impossible").to_string();
    let mut world = World::serving(3, 3, Settings::default());
    assert_eq!(
        refused(&mut world, &[("durability", "quorum"), ("copies", "4")]),
        "durability quorum with 4 copies needs 4 nodes that can hold them; the group has 3"
    );
    world.node(7002).no_fsync = true;
    world.run_for(Duration::from_millis(300));
    assert_eq!(
        refused(&mut world, &[("durability", "quorum"), ("ack", "fsync")]),
        "10.0.0.1:7002 cannot acknowledge by fsync: its appendonly is off"
    );
    world.node(7002).no_fsync = false;
    world.run_for(Duration::from_millis(300));
    set(&mut world, &[("durability", "quorum"), ("ack", "fsync")]).expect("all can");
    world.run_until("by fsync", SOON, |w| w.published() == Durability::Quorum);
    assert_eq!(world.group().voting.config().ack, Ack::Fsync);

    let mut alone = World::serving(3, 1, Settings::default());
    assert_eq!(
        refused(&mut alone, &[("durability", "quorum")]),
        "durability quorum with 2 copies needs 2 nodes that can hold them; the group has 1"
    );
    let mut stock = World::new(3, 2, Settings::default(), true);
    stock.run_until("identified", SOON, |w| w.group().stock());
    assert_eq!(
        refused(&mut stock, &[("durability", "quorum")]),
        "durability quorum is impossible: 10.0.0.1:7001 is a stock Redis or Valkey node, which can neither promise nor withhold"
    );
}

/// Who is to leave is no place for a copy, although it still votes.
#[test]
fn a_node_that_leaves_counts_for_nothing_that_is_asked_for() {
    let mut world = World::serving(5, 3, quorum());
    remove(&mut world, 7003);
    assert_eq!(world.voters(), 3, "it votes still");
    let refusal = set(&mut world, &[("copies", "3")]).expect_err("two stay");
    assert_eq!(
        refusal.to_string(),
        "durability quorum with 3 copies needs 3 nodes that can hold them; the group has 2"
    );
    set(&mut world, &[("copies", "2")]).expect("two stay");
}

/// What a group promises is judged when it is changed, not whenever anything is.
#[test]
fn other_settings_are_not_held_up() {
    let settings = Settings { copies: Some(5), ..quorum() };
    let mut world = World::new(16, 3, settings, false);
    world.run_until("it serves", SOON * 5, |w| w.calm() && w.voters() == 3);
    assert_eq!(world.published(), Durability::Async, "three nodes cannot hold five copies");
    set(&mut world, &[("down-after-milliseconds", "700")]).expect("nothing to do with it");
    assert!(set(&mut world, &[("ack", "fsync")]).is_err());
}

/// I9: until the master has the new config's copies of everything, both bind and the weaker is published.
#[test]
fn a_change_that_cannot_settle_is_not_published_and_can_be_turned_back() {
    let mut world = World::serving(4, 3, Settings::default());
    for port in [7002, 7003] {
        world.node(port).lagging = true;
    }
    world.run_for(Duration::from_millis(200));
    set(&mut world, &[("durability", "quorum")]).expect("three nodes of ours");
    world.run_for(LONG);
    assert!(matches!(world.group().voting, Voting::Joint { .. }));
    assert_eq!(world.published(), Durability::Async, "I9");
    set(&mut world, &[("durability", "async")]).expect("always possible");
    world.run_until("turned back", SOON, |w| w.voters() == 3);
    assert_eq!(world.count("-voters-change"), 1);
}

/// I4 while the voters change: a failover needs promises that satisfy both configs.
#[test]
fn while_joint_both_configs_bind() {
    let mut world = World::serving(5, 3, Settings::default());
    for port in [7002, 7003] {
        world.node(port).lagging = true;
    }
    world.run_for(Duration::from_millis(200));
    set(&mut world, &[("durability", "quorum")]).expect("three nodes of ours");
    world.run_until("joint", SOON, |w| w.nodes[&key(7001)].told.durability == Durability::Quorum);
    // 7002 gets everything, so the master may adopt quorum and acknowledge with it, and nobody hears of that.
    world.node(7001).unseen = true;
    world.node(7002).lagging = false;
    world.run_until("adopted", SOON, |w| w.nodes[&key(7001)].in_force.durability == Durability::Quorum);
    world.kill(7002);
    world.kill(7001);
    world.run_for(LONG);
    assert_eq!(world.group().master, key(7001), "one promise of three could miss what was acknowledged");
    world.restart(7002, false);
    world.node(7003).lagging = false;
    world.run_until("two of three", LONG, World::calm);
    world.assert_nothing_lost("7002 holds it");
}

#[test]
fn a_node_joins_as_a_learner_and_leaves_once() {
    let mut world = World::serving(6, 3, quorum());
    remove(&mut world, 7003);
    world.run_until("it is gone", SOON, |w| !w.group().nodes.contains_key(&key(7003)));
    assert_eq!((world.voters(), world.group().voting.config().copies), (2, 2));
    world.run_for(LONG);
    assert_eq!(world.group().nodes.len(), 2, "the master lists it still, and it is not discovered again");
    remove(&mut world, 7002);
    let too_few = "1 voters cannot hold 2 copies: lower `copies`, add a node, or go back to durability async";
    assert_eq!(world.rejected.last().map(ToString::to_string).as_deref(), Some(too_few));
    remove(&mut world, 7001);
    assert_eq!(world.rejected.last(), Some(&Rejected::IsMaster(key(7001))));

    world.node(7003).lagging = true;
    let node = NodeSpec { node: key(7003), tags: vec![] };
    world.commit(Command::NodeAdded { group: world.name.clone(), node });
    world.restart(7003, true);
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.voters(), 2, "I10: a learner until it holds the data");
    world.node(7003).lagging = false;
    world.run_until("it votes", SOON, |w| w.voters() == 3);
}

#[test]
fn a_dead_node_is_removed_once() {
    let mut world = World::serving(7, 3, quorum());
    world.kill(7003);
    remove(&mut world, 7003);
    world.run_until("it is gone", SOON, |w| w.group().nodes.len() == 2 && w.voters() == 2);
    world.kill(7001);
    world.run_until("one promise of two suffices", LONG, |w| w.calm() && w.group().master == key(7002));
    world.assert_nothing_lost("each voter held everything");
}

/// The leader lets a node in while the entry that removes it is on its way: nobody would take its vote away again.
#[test]
fn a_node_that_was_removed_is_not_let_in() {
    let mut world = World::serving(7, 3, quorum());
    let id = world.group().nodes[&key(7003)].id().expect("known");
    let (group, epoch) = (world.name.clone(), world.group().epoch);
    remove(&mut world, 7003);
    let join = Command::VotersChanged { group, epoch, change: Change::Join(id), supersedes: None };
    world.run_until("it is gone", SOON, |w| w.group().nodes.len() == 2 && w.voters() == 2);
    let before = world.group().voting.clone();
    world.commit(join);
    assert_eq!(world.group().voting, before);
    assert_eq!(world.rejected.last(), Some(&Rejected::Voters(ConfigError::NotHere)));
}

/// A node that lost its directory is no voter under its new name, but the only one that can take the place of the one that it was.
#[test]
fn who_takes_a_lost_voters_place_is_not_removed() {
    let mut world = World::serving(7, 2, quorum());
    world.node(7002).lagging = true;
    world.restart(7002, true);
    world.run_for(Duration::from_secs(2));
    remove(&mut world, 7002);
    assert_eq!(world.rejected.last(), Some(&Rejected::Voters(ConfigError::TooFew { left: 1, copies: 2 })));
    world.node(7002).lagging = false;
    world.run_until("it votes", SOON, |w| w.calm() && w.voters() == 2);
}

/// I10: a directory that is lost takes its vote along; the node at its address votes under a new name.
#[test]
fn a_node_reborn_empty_counts_for_nothing_until_it_is_whole() {
    let mut world = World::serving(8, 3, quorum());
    world.node(7003).lagging = true;
    world.restart(7003, true);
    world.kill(7001);
    world.run_for(LONG);
    assert_eq!(world.group().master, key(7001), "7002 alone could lack an acknowledged write");
    world.restart(7001, false);
    world.node(7003).lagging = false;
    world.run_until("whole again", LONG, |w| w.calm() && w.voters() == 3);
    let reborn = "0001000000000000000000000000000000007003".parse().expect("40 digits");
    assert!(world.group().voting.config().voters.contains(&reborn));
    world.assert_nothing_lost("7001 held everything");
}

/// I10: who may have lost what it acknowledged counts only when nobody can hold more.
#[test]
fn an_unsure_node_counts_only_when_every_voter_promised() {
    let mut world = World::serving(15, 3, quorum());
    world.writes = false;
    world.run_for(Duration::from_millis(100));
    for port in [7001, 7002, 7003] {
        world.kill(port);
    }
    world.run_for(SOON);
    for port in [7001, 7002] {
        world.restart(port, false);
        world.node(port).tail_unsure = true;
    }
    world.run_for(LONG);
    assert_eq!(world.group().epoch, Epoch(1), "7003 may hold what both lost");
    world.restart(7003, false);
    world.node(7003).tail_unsure = true;
    world.run_until("all are there", LONG, World::calm);
    world.assert_nothing_lost("nobody held more");
}

/// I4: only voters are chosen, since nobody waited for a learner.
#[test]
fn a_learner_never_becomes_master() {
    let mut world = World::serving(9, 3, Settings::default());
    let node = NodeSpec { node: key(7003), tags: vec![] };
    remove(&mut world, 7003);
    world.run_until("gone", SOON, |w| w.group().nodes.len() == 2);
    world.node(7003).lagging = true;
    world.commit(Command::NodeAdded { group: world.name.clone(), node });
    world.node(7001).offset += 4 << 20; // far beyond what a learner may lack
    world.run_for(SOON);
    assert_eq!(world.voters(), 2);
    world.kill(7002);
    world.kill(7001);
    world.run_for(LONG);
    assert_eq!(world.group().master, key(7001));
}

/// `async`: where every voter lost what it held, a learner's data is the best that is left; a group in `quorum` waits for its operator.
#[test]
fn a_learner_inherits_when_no_voter_has_anything() {
    for (durability, other_name, heir) in
        [(Durability::Async, true, 7002), (Durability::Async, false, 7002), (Durability::Quorum, false, 7001)]
    {
        let mut world = World::serving(17, 3, Settings { durability, ..Settings::default() });
        world.kill(7003);
        remove(&mut world, 7003);
        world.run_until("two are left", SOON, |w| w.voters() == 2);
        world.restart(7002, true);
        // The master dies once the learner has everything, before it votes.
        world.run_until("whole", SOON, |w| w.nodes[&key(7002)].data_known);
        let reborn = world.nodes[&key(7002)].births;
        assert_eq!(reborn, 1);
        world.kill(7001);
        world.run_for(SOON);
        world.restart(7001, other_name);
        let emptied = world.node(7001);
        (emptied.data_known, emptied.offset, emptied.data_epoch) = (false, 0, Epoch(0));
        world.acknowledged = 0;
        world.committed.clear();
        match durability {
            Durability::Async => drop(world.run_until("the learner leads", LONG, |w| w.calm() && w.voters() == 2)),
            Durability::Quorum => world.run_for(LONG),
        }
        assert_eq!(world.group().master, key(heir), "{durability:?}");
    }
}

/// The same while the voters change: a config whose voters have nothing left binds nobody.
#[test]
fn a_voter_inherits_from_a_config_that_has_nothing_left() {
    let mut world = World::serving(18, 2, Settings::default());
    world.kill(7002);
    remove(&mut world, 7002);
    world.run_until("one is left", SOON, |w| w.voters() == 1 && w.group().nodes.len() == 1);
    world.restart(7002, true);
    world.commit(Command::NodeAdded { group: world.name.clone(), node: NodeSpec { node: key(7002), tags: vec![] } });
    world.run_until("joint", SOON, |w| matches!(w.group().voting, Voting::Joint { .. }));
    assert!(world.nodes[&key(7002)].data_known);
    world.kill(7001);
    world.run_for(SOON);
    assert!(matches!(world.group().voting, Voting::Joint { .. }), "the master died before it was told");
    world.restart(7001, false);
    let emptied = world.node(7001);
    (emptied.data_known, emptied.offset, emptied.data_epoch) = (false, 0, Epoch(0));
    world.acknowledged = 0;
    world.run_until("the new voter leads", LONG, |w| w.calm() && w.voters() == 2);
    assert_eq!(world.group().master, key(7002));
}

/// I4, I9: whoever is leaving may be the one that holds everything; it becomes master in a config in which it votes.
#[test]
fn a_node_that_is_leaving_may_be_chosen() {
    let mut world = World::serving(19, 3, quorum());
    world.node(7003).lagging = true;
    world.run_for(Duration::from_millis(200));
    remove(&mut world, 7002);
    world.run_until("joint", SOON, |w| matches!(w.group().voting, Voting::Joint { .. }));
    world.kill(7001);
    world.run_until("it stays", LONG, |w| w.group().master == key(7002));
    world.node(7003).lagging = false;
    world.restart(7001, false);
    world.run_until("calm", LONG, |w| w.calm() && w.voters() == 3);
    world.assert_nothing_lost("7002 held everything");
}

/// A change whose voters went away for good is turned back, and one that they could not settle is not begun.
#[test]
fn a_change_that_lost_its_voters_is_turned_back() {
    let mut world = World::serving(20, 3, quorum());
    world.node(7003).lagging = true;
    world.run_for(Duration::from_millis(200));
    remove(&mut world, 7002);
    world.run_until("joint", SOON, |w| matches!(w.group().voting, Voting::Joint { .. }));
    world.restart(7003, true);
    world.node(7003).lagging = false;
    world.run_until("7002 left once 7003 was whole", LONG, |w| {
        w.voters() == 2 && !w.group().nodes.contains_key(&key(7002)) && w.calm()
    });
    assert!(world.count("-voters-change") >= 1);
    world.kill(7003);
    set(&mut world, &[("quorum-timeout", "700")]).expect("any time");
    world.run_until("told", SOON, |w| w.nodes[&key(7001)].told.quorum_timeout_ms == 700);
    assert_eq!(world.voters(), 2, "how long replies wait needs nobody's copy");
    set(&mut world, &[("ack", "fsync")]).expect("7003 could");
    world.run_for(SOON);
    assert_eq!(world.voters(), 2, "not begun while 7003 is down");
    world.restart(7003, false);
    world.run_until("by fsync", LONG, |w| w.group().voting.config().ack == Ack::Fsync && w.voters() == 2);
}

/// Whoever is removed once it is chosen stays: it is the master.
#[test]
fn a_chosen_node_is_not_removed() {
    let mut world = World::serving(21, 3, quorum());
    world.kill(7001);
    world.run_until("chosen", LONG, |w| w.phase() == Some("promoting"));
    for port in [7002, 7003] {
        remove(&mut world, port);
    }
    world.run_until("promoted", LONG, |w| w.phase().is_none() && w.group().master != key(7001));
    let master = world.group().master.clone();
    let refused = world.rejected.len();
    world.run_for(SOON);
    assert!(world.group().nodes.contains_key(&master));
    assert!(world.rejected.len() <= refused + 1, "nothing is asked for in vain: {:?}", world.rejected.last());
}

/// I8: an operator's failover of a master that nobody can reach waits for the lease; one that promised is not waited for.
#[test]
fn a_lease_delays_a_forced_failover_and_no_handover() {
    let mut world = World::serving(10, 3, Settings::default());
    world.run_until("a lease", SOON, |w| w.nodes[&key(7001)].lease_until > w.now);
    world.node(7001).isolated = true;
    world.run_for(Duration::from_millis(20));
    let until = world.nodes[&key(7001)].lease_until;
    world.ask_failover(Some(7003), Manner::Force).expect("7003 is able");
    world.run_until("the named one", SOON, |w| w.group().master == key(7003));
    assert!(world.now >= until, "I8");
    world.node(7001).isolated = false;
    world.run_until("calm", SOON, World::calm);
    world.run_until("a lease", SOON, |w| w.nodes[&key(7003)].lease_until > w.now);
    world.ask_failover(Some(7002), Manner::Handover).expect("7002 is able");
    let took = world.run_until("handed over", SOON, |w| w.group().master == key(7002));
    assert!(took <= Duration::from_millis(150), "{took:?}: a promise ends the lease");
}

/// I8: whoever leads next waits a full lease from its election.
#[test]
fn a_new_leader_waits_for_what_it_cannot_know() {
    let mut world = World::serving(11, 3, Settings::default());
    world.run_until("a lease", SOON, |w| w.nodes[&key(7001)].lease_until > w.now);
    world.node(7001).isolated = true;
    world.depose();
    let elected = world.now;
    world.ask_failover(Some(7003), Manner::Force).expect("7003 is able");
    world.run_until("the named one", SOON * 2, |w| w.group().master == key(7003));
    assert!(world.now >= elected + Duration::from_millis(525), "half of down-after and five percent");
}

/// A master that the sentinels lost and its replicas still hear is not dead; one that they lost too is.
#[test]
fn a_master_cut_off_from_the_sentinels_alone_is_left_alone() {
    for settings in [Settings::default(), quorum()] {
        let mut world = World::serving(12, 3, settings);
        world.node(7001).unseen = true;
        world.run_for(LONG);
        assert_eq!(world.group().master, key(7001));
        assert_eq!((world.count("+odown"), world.count("+try-failover")), (1, 0));
        world.node(7001).unseen = false;
        world.run_until("seen again", SOON, |w| w.count("-odown") == 1);
        world.node(7001).unseen = true;
        world.run_for(LONG);
        world.node(7001).isolated = true;
        world.run_until("replaced", SOON * 2, |w| w.group().master != key(7001));
    }
}

/// An `async` master serves without a lease only while all acknowledge (I13): once one does not, it would only stop.
#[test]
fn an_async_master_that_one_voter_lost_is_replaced() {
    let mut world = World::serving(13, 3, Settings::default());
    world.node(7001).unseen = true;
    world.run_for(SOON * 3);
    assert_eq!(world.group().master, key(7001));
    world.kill(7003);
    world.run_until("replaced", SOON * 2, |w| w.group().master == key(7002));
}

/// Nobody holds any data any more: the group starts over instead of waiting for voters that are no more.
#[test]
fn a_group_that_lost_every_directory_starts_over() {
    let mut world = World::serving(14, 3, quorum());
    world.writes = false;
    for port in [7001, 7002, 7003] {
        world.kill(port);
    }
    world.run_for(SOON);
    for port in [7001, 7002, 7003] {
        world.restart(port, true);
    }
    world.committed.clear();
    world.run_until("it starts over", LONG, |w| w.calm() && w.published() == Durability::Quorum && w.voters() == 3);
    assert_eq!(world.group().master, key(7001));
}
