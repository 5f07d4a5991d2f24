//! Quorum groups of real processes: what is held back, what frees it, and what is left after the power is gone.

mod support;

use std::time::Duration;

use quorate_rpc::v1::{NodeRole, VotingConfig};
use support::hand::Hand;
use support::{Server, be_a_node_if_asked, wait_until};

/// Not a test of its own: what `Server::ours` starts.
#[test]
fn a_node_for_the_other_tests() {
    be_a_node_if_asked();
}

/// How long silence has to last to be one: many round trips on a loaded machine.
const SILENCE: Duration = Duration::from_millis(300);

/// Three nodes, the first of which is the master in epoch 1, under a config that wants two copies.
struct Group {
    nodes: Vec<Server>,
    config: VotingConfig,
}

impl Group {
    fn new(options: &str, change: impl Fn(&mut VotingConfig)) -> Group {
        let nodes: Vec<Server> = (0..3).map(|_| Server::ours(&format!("--group main {options}"))).collect();
        let mut config = VotingConfig { version: 1, durability: "quorum".into(), copies: 2, ..VotingConfig::default() };
        for node in &nodes {
            config.voters.push(Hand::on(node).wait_until("loaded", |report| !report.loading).node_id);
        }
        change(&mut config);
        let group = Group { nodes, config };
        group.assign(0, 1);
        group
    }

    /// Makes a node the master of an epoch, and waits until its config is in force.
    fn assign(&self, master: usize, epoch: u64) {
        let port = self.nodes[master].port.into();
        let config = || Some(self.config.clone());
        let mut hand = Hand::on(&self.nodes[master]);
        hand.assign_under(config(), epoch, NodeRole::Master, 0).expect("assigned");
        for (index, node) in self.nodes.iter().enumerate() {
            if index != master {
                Hand::on(node).assign_under(config(), epoch, NodeRole::Replica, port).expect("assigned");
            }
        }
        hand.wait_until("in force", |report| report.config_version == 1);
        for (index, node) in self.nodes.iter().enumerate() {
            if index != master {
                Hand::on(node).wait_until("in step", |report| report.link_up && report.data_epoch == epoch);
            }
        }
    }

    fn master(&self) -> &Server {
        &self.nodes[0]
    }

    fn stop(&self) {
        self.nodes[1..].iter().for_each(Server::freeze);
    }

    fn go_on(&self) {
        self.nodes[1..].iter().for_each(Server::thaw);
    }

    fn lease(&self, lease: Duration) {
        Hand::on(self.master()).lease(1, lease).expect("granted");
    }
}

/// I3, I6: with both replicas stopped neither a write nor a read of it is answered; both are once they go on.
#[test]
fn a_write_is_held_until_a_replica_has_it() {
    let group = Group::new("", |_| {});
    group.lease(Duration::from_secs(3600));
    assert_eq!(group.master().say("set a 1"), "+OK");
    group.stop();
    let (mut writer, mut reader) = (group.master().client(), group.master().client());
    writer.send(&[b"SET", b"a", b"2"]);
    assert!(writer.silent_for(SILENCE), "two copies are needed");
    reader.send(&[b"GET", b"a"]);
    assert!(reader.silent_for(SILENCE), "what was read is not committed");
    assert_eq!(group.master().say("get b"), "nil", "an untouched key needs the lease only");
    group.nodes[2].thaw();
    assert_eq!((writer.hear().to_string(), reader.hear().to_string()), ("+OK".into(), "$2".into()));
    group.nodes[1].thaw();
    let report = Hand::on(group.master()).wait_until("committed", |report| report.committed_offset == report.offset);
    assert_eq!(report.config_version, 1);
}

/// I2: a promise elsewhere fences the master although nobody tells it: its writes find no copies, its reads no confirmation.
#[test]
fn a_promise_elsewhere_fences() {
    let group = Group::new("", |_| {});
    group.lease(Duration::from_millis(1));
    assert_eq!(group.master().say("set a 1"), "+OK");
    for node in &group.nodes[1..] {
        Hand::on(node).promise(2).expect("promised");
    }
    let (mut writer, mut reader) = (group.master().client(), group.master().client());
    reader.send(&[b"GET", b"a"]);
    writer.send(&[b"SET", b"a", b"lost"]);
    assert!(reader.silent_for(SILENCE) && writer.silent_for(SILENCE));
    let mut hand = Hand::on(&group.nodes[1]);
    hand.assign_under(Some(group.config.clone()), 2, NodeRole::Master, 0).expect("assigned");
    let port = group.nodes[1].port.into();
    Hand::on(&group.nodes[2]).assign_under(Some(group.config.clone()), 2, NodeRole::Replica, port).expect("assigned");
    assert_eq!(group.nodes[1].say("get a"), "$1", "confirmed by the other replica");
    assert_eq!(group.nodes[1].say("set a 2"), "+OK");
    Hand::on(group.master()).assign_under(Some(group.config.clone()), 2, NodeRole::Replica, port).expect("demoted");
    assert!(writer.closed() && reader.closed(), "closed without a word: the outcome is unknown");
    let report = Hand::on(group.master()).wait_until("in step", |report| report.link_up && report.data_epoch == 2);
    assert!(report.dropped_tail > 0, "I12: {report:?}");
    wait_until(|| match group.master().say("get a") {
        value if value == "$2" => Ok(()),
        value => Err(value),
    });
}

/// I3: a reply that nobody confirms in time becomes an explicit error.
#[test]
fn quorum_timeout_gives_an_error() {
    let group = Group::new("", |config| config.quorum_timeout_ms = 200);
    group.stop();
    let mut client = group.master().client();
    let reply = client.say("set a 1");
    assert!(reply.starts_with("-UNCERTAIN outcome unknown"), "{reply}");
    group.go_on();
    assert_eq!(client.say("get a"), "$1");
}

/// I7: when the lease has run out, reads go on by confirming rounds; where there is nobody to confirm them, they wait.
#[test]
fn without_a_lease_reads_ask_the_voters() {
    let group = Group::new("", |_| {});
    assert_eq!(group.master().say("set a 1"), "+OK");
    group.lease(Duration::from_secs(3600));
    group.stop();
    assert_eq!(group.master().say("get a"), "$1", "the lease covers it");
    group.lease(Duration::from_millis(1)); // a newer heartbeat's counts, though it ends sooner
    group.master().wait_for("quorate_lease_ms", "0");
    let mut reader = group.master().client();
    reader.send(&[b"GET", b"a"]);
    assert!(reader.silent_for(SILENCE));
    group.nodes[1].thaw();
    assert_eq!(reader.hear().to_string(), "$1");
    group.nodes[2].thaw();
}

/// I10: by fsync, whatever was acknowledged is on enough disks: all processes die at once, and every node that comes back knows that it lacks nothing.
#[test]
fn acknowledged_by_fsync_survives_the_death_of_all() {
    let mut group = Group::new("--appendonly yes --appendfsync everysec", |config| config.ack_fsync = true);
    let mut client = group.master().client();
    for number in 1..=50 {
        assert_eq!(client.say("incr counter"), format!(":{number}"));
    }
    let acknowledged =
        Hand::on(group.master()).wait_until("committed", |report| report.committed_offset == report.offset);
    group.nodes.iter_mut().for_each(Server::kill);
    group.nodes.iter_mut().for_each(Server::restart);
    let reports: Vec<_> =
        group.nodes.iter().map(|node| Hand::on(node).wait_until("loaded", |report| !report.loading)).collect();
    assert!(reports.iter().all(|report| report.data_known && !report.tail_unsure && report.fsync_acks), "{reports:?}");
    let best = (0..3).max_by_key(|node| (reports[*node].data_epoch, reports[*node].offset)).expect("three");
    let holders = reports.iter().filter(|report| report.offset >= acknowledged.offset).count();
    assert!(holders >= 2, "two copies were asked for, {holders} are there");
    for node in &group.nodes {
        Hand::on(node).promise(2).expect("promised");
    }
    group.assign(best, 2);
    assert_eq!(group.nodes[best].say("incr counter"), ":51");
}

/// I10: a node that held its data in memory only says that it may lack some, until it has caught up.
#[test]
fn a_restart_without_a_log_is_unsure() {
    let mut group = Group::new("--save \"3600 1\"", |_| {});
    assert_eq!(group.master().say("set a 1"), "+OK");
    wait_until(|| if group.nodes[1].say("get a") == "$1" { Ok(()) } else { Err("behind".into()) });
    assert_eq!(group.nodes[1].say("save"), "+OK");
    group.nodes[1].kill();
    assert_eq!(group.master().say("set a 2"), "+OK", "the other replica has it");
    group.nodes[1].restart();
    let mut hand = Hand::on(&group.nodes[1]);
    let report = hand.wait_until("loaded", |report| !report.loading);
    assert!(report.data_known && report.tail_unsure, "{report:?}");
    let port = group.master().port.into();
    hand.assign_under(Some(group.config.clone()), 1, NodeRole::Replica, port).expect("assigned");
    hand.wait_until("sure", |report| report.link_up && !report.tail_unsure);
    assert_eq!(group.nodes[1].say("get a"), "$2");
}
