//! Nodes of a group under the orders of a sentinel, played by the tests through the agent: fences, promotions, handovers.

mod support;

use std::time::{Duration, Instant};

use quorate_rpc::v1::{NodeReport, NodeRole};
use support::hand::Hand;
use support::{Server, be_a_node_if_asked, wait_until};
use tonic::Code;

/// Not a test of its own: what `Server::ours` starts.
#[test]
fn a_node_for_the_other_tests() {
    be_a_node_if_asked();
}

const READONLY: &str = "-READONLY You can't write against a read only replica.";

fn node() -> Server {
    Server::ours("--group main")
}

/// A master in epoch 1 with some data, and a replica that follows it.
fn pair() -> (Server, Server) {
    pair_of("--group main")
}

fn pair_of(options: &str) -> (Server, Server) {
    let (master, replica) = (Server::ours(options), Server::ours(options));
    for server in [&master, &replica] {
        Hand::on(server).wait_until("loaded", |report| !report.loading);
    }
    Hand::on(&master).master(1).expect("assigned");
    assert_eq!(master.say("set a 1"), "+OK");
    let mut hand = Hand::on(&replica);
    hand.replica_of(1, &master).expect("assigned");
    hand.wait_until("in step", |report| report.link_up && report.data_epoch == 1);
    (master, replica)
}

/// I10, I11: a node boots fenced, and one without data says that it cannot vouch for any.
#[test]
fn a_node_boots_fenced_until_it_is_told_what_it_is() {
    let node = node();
    let report = Hand::on(&node).describe();
    assert_eq!((report.role(), report.epoch, report.data_known), (NodeRole::Fenced, 0, false));
    assert_eq!(node.say("set a 1"), READONLY);
    assert_eq!((node.info("role"), node.info("quorate_state")), ("slave".into(), "fenced".into()));
    assert_eq!(node.say("role"), "[$slave $ :0 $connect :-1]");
    assert!(node.say("replicaof no one").starts_with("-ERR REPLICAOF not allowed"));
    assert!(node.say("failover").starts_with("-ERR FAILOVER not allowed"));

    let report = Hand::on(&node).master(1).expect("assigned");
    assert_eq!((report.role(), report.epoch, report.data_known, report.data_epoch), (NodeRole::Master, 1, true, 1));
    assert_eq!(node.say("set a 1"), "+OK");
    assert_eq!(node.info("quorate_state"), "master");
}

/// I2: whoever promised a higher epoch serves nothing below it, and remembers after a crash.
#[test]
fn a_promise_fences_and_outlives_a_crash() {
    let (mut master, replica) = pair();
    let mut client = master.client();
    let report = Hand::on(&master).promise(2).expect("promised");
    assert_eq!((report.role(), report.epoch, report.promised_epoch), (NodeRole::Fenced, 1, 2));
    assert!(client.closed(), "clients of a fenced master are sent to look for the new one");
    assert_eq!(master.say("set a 2"), READONLY);
    Hand::on(&replica).wait_until("cut", |report| !report.link_up);
    let refused = Hand::on(&master).master(1).expect_err("an old epoch");
    assert_eq!((refused.code(), refused.message()), (Code::FailedPrecondition, "epoch 2 was promised"));

    master.kill();
    master.restart();
    let report = Hand::on(&master).describe();
    assert_eq!((report.role(), report.epoch, report.promised_epoch), (NodeRole::Fenced, 1, 2));
    // It kept no data (this node saves none): it does not claim any (I10).
    assert!(!report.data_known);
    let refused = Hand::on(&master).promise(1).expect_err("an old epoch");
    assert_eq!(refused.code(), Code::FailedPrecondition);
}

/// I4, I10, I12: a master dies, its replica is promoted, and the old one comes back empty: it wipes nobody.
#[test]
fn a_master_reborn_empty_follows_and_wipes_nobody() {
    let (mut old, new) = pair();
    let mut hand = Hand::on(&new);
    old.kill();
    let promised = hand.promise(2).expect("promised");
    assert_eq!((promised.data_epoch, promised.data_known), (1, true));
    hand.master(2).expect("assigned");
    assert_eq!(new.say("set b 2"), "+OK");
    old.restart();
    assert_eq!(old.say("set c 3"), READONLY);
    let mut old_hand = Hand::on(&old);
    old_hand.replica_of(2, &new).expect("assigned");
    let report = old_hand.wait_until("in step", |report| report.link_up && report.data_epoch == 2);
    assert!(report.data_known);
    assert_eq!((old.say("get a"), old.say("get b"), new.say("get a")), ("$1".into(), "$2".into(), "$1".into()));
}

/// I2: a replica assigned in an epoch does not follow a node that does not serve it.
#[test]
fn a_replica_of_a_new_epoch_refuses_the_old_master() {
    let (master, replica) = pair();
    let mut hand = Hand::on(&replica);
    hand.promise(2).expect("promised");
    hand.replica_of(2, &master).expect("assigned");
    master.say("set a stale");
    let received = || master.info("total_connections_received").parse::<u64>().expect("a number");
    let (before, mut asked) = (received(), 0);
    wait_until(|| {
        asked += 1; // a connection, too
        let attempts = received() - before - asked;
        if attempts >= 5 { Ok(()) } else { Err(format!("{attempts} attempts to follow")) }
    });
    assert!(!hand.describe().link_up);
    assert_eq!(replica.say("get a"), "$1");
    Hand::on(&master).master(2).expect("now it serves that epoch");
    hand.wait_until("in step", |report| report.link_up && report.data_epoch == 2);
    wait_until(|| if replica.say("get a") == "$stale" { Ok(()) } else { Err("not yet".into()) });
}

#[test]
fn a_pause_stops_the_offset_and_ends_by_itself() {
    let (master, _replica) = pair();
    let mut hand = Hand::on(&master);
    let (length, since) = (Duration::from_millis(400), Instant::now());
    let paused = hand.pause(1, length).expect("paused");
    assert!(paused.paused);
    let mut client = master.client();
    client.send(&[b"SET", b"a", b"2"]);
    // Whatever is said while the pause certainly lasts is of one offset; how often that is asked depends on the machine.
    wait_until(|| {
        let offset = hand.describe().offset;
        if since.elapsed() >= length {
            return Ok(());
        }
        assert_eq!(offset, paused.offset);
        Err("it lasts".into())
    });
    assert_eq!(client.hear().to_string(), "+OK");

    hand.pause(1, Duration::from_secs(3600)).expect("paused");
    client.send(&[b"SET", b"a", b"3"]);
    hand.resume(1).expect("resumed");
    assert_eq!(client.hear().to_string(), "+OK");
    assert_eq!(hand.pause(2, Duration::from_secs(1)).expect_err("another epoch").code(), Code::FailedPrecondition);
}

/// The planned failover: pause, catch up, promise, promote, repoint. Nothing acknowledged is lost, and the old master goes on by partial resync.
#[test]
fn a_handover_loses_nothing() {
    let (old, new) = pair();
    let (mut old_hand, mut new_hand) = (Hand::on(&old), Hand::on(&new));
    let mut writer = old.client();
    let mut acknowledged = 0;
    for _ in 0..200 {
        assert!(writer.say("incr counter").starts_with(':'));
        acknowledged += 1;
    }
    let began = Instant::now();
    let paused = old_hand.pause(1, Duration::from_secs(20)).expect("paused");
    writer.send(&[b"INCR", b"counter"]);
    let caught_up = new_hand.catch_up(&paused);
    assert_eq!((caught_up.offset, caught_up.replid), (paused.offset, paused.replid));
    old_hand.promise(2).expect("promised");
    assert!(writer.closed(), "a write that was never run is never acknowledged");
    new_hand.master(2).expect("promoted");
    assert_eq!(new.say("incr counter"), format!(":{}", acknowledged + 1));
    let took = began.elapsed();
    old_hand.replica_of(2, &new).expect("repointed");
    let report = old_hand.wait_until("in step", |report| report.link_up && report.data_epoch == 2);
    assert_eq!(
        (report.role(), new.info("sync_partial_ok"), new.info("sync_full")),
        (NodeRole::Replica, "1".into(), "0".into())
    );
    wait_until(
        || if old.say("get counter") == format!("${}", acknowledged + 1) { Ok(()) } else { Err("behind".into()) },
    );
    println!("handover: {took:?}");
}

/// I12: a former master with a tail that nobody has drops it and resynchronises whole.
#[test]
fn a_former_masters_tail_is_dropped() {
    let (old, new) = pair();
    let mut new_hand = Hand::on(&new);
    new_hand.promise(2).expect("promised"); // the link is cut: what follows reaches nobody
    assert_eq!(old.say("set tail lost"), "+OK");
    new_hand.master(2).expect("promoted");
    assert_eq!(new.say("set b 2"), "+OK");
    let mut old_hand = Hand::on(&old);
    let client = old.client();
    old_hand.replica_of(2, &new).expect("demoted");
    assert!({ client }.closed(), "clients of a demoted master are sent to look for the new one");
    old_hand.wait_until("in step", |report| report.link_up && report.data_epoch == 2);
    assert_eq!((old.say("get tail"), old.say("get b")), ("nil".into(), "$2".into()));
    assert_eq!(new.info("sync_full"), "1");
}

/// The report of a node that nobody writes to, once it tells of everything: a reply may come before the report does.
fn told_of_all(node: &Server) -> NodeReport {
    let end: u64 = node.info("master_repl_offset").parse().expect("a number");
    Hand::on(node).wait_until("told of all", |report| report.offset == end)
}

/// I10, I12: a node that kept its data says how far it goes, and goes on by partial resync if that is a prefix of the new history.
#[test]
fn a_node_that_kept_its_data_goes_on_where_it_was() {
    let (mut old, mut new) = pair_of("--group main --appendonly yes");
    assert_eq!(old.say("set b 2"), "+OK");
    let held = told_of_all(&old);
    let mut new_hand = Hand::on(&new);
    new_hand.catch_up(&held);
    old.kill();
    new_hand.promise(2).expect("promised");
    new_hand.master(2).expect("promoted");
    assert_eq!(new.say("set c 3"), "+OK");

    old.restart();
    let mut old_hand = Hand::on(&old);
    let report = old_hand.wait_until("loaded", |report| !report.loading && report.data_known);
    assert_eq!((report.role(), report.epoch, report.data_epoch), (NodeRole::Fenced, 1, 1));
    assert_eq!((report.replid.as_str(), report.offset), (held.replid.as_str(), held.offset));
    assert!(old.say("get b").starts_with("-MASTERDOWN"), "I6: what it holds may be the past");
    old_hand.replica_of(2, &new).expect("assigned");
    old_hand.wait_until("in step", |report| report.link_up && report.data_epoch == 2);
    assert_eq!((new.info("sync_partial_ok"), new.info("sync_full")), ("1".into(), "0".into()));
    wait_until(|| if old.say("get c") == "$3" { Ok(()) } else { Err("behind".into()) });

    // The new master comes back as well: it knows its epoch, and is the master again only when it is told so (I11).
    let held = told_of_all(&new);
    new.kill();
    new.restart();
    let mut new_hand = Hand::on(&new);
    let report = new_hand.wait_until("loaded", |report| !report.loading && report.data_known);
    assert_eq!((report.role(), report.epoch, report.data_epoch), (NodeRole::Fenced, 2, 2));
    assert_eq!((report.replid, report.offset), (held.replid, held.offset));
    assert_eq!(new.say("set d 4"), READONLY);
    new_hand.promise(3).expect("promised");
    new_hand.master(3).expect("assigned");
    old_hand.promise(3).expect("promised");
    old_hand.replica_of(3, &new).expect("assigned");
    old_hand.wait_until("in step", |report| report.link_up && report.data_epoch == 3);
    assert_eq!(new.info("sync_full"), "0");
}
