//! A quorum group's promises, over engines joined in memory. A node that is frozen keeps its links and answers nothing.

use quorate_replication::commit::{Acks, Durability};
use quorate_replication::fence::{Refused, Standing};
use quorate_replication::tail::Holds;

use super::*;
use crate::replication::Denied;

/// Config `version` with `copies` among the first `voters` nodes; 0 copies: async.
fn config(version: u64, copies: usize, voters: usize) -> VotingConfig {
    config_with(version, copies, voters, Acks::Received, None)
}

fn config_with(version: u64, copies: usize, voters: usize, acks: Acks, timeout_ms: Option<u64>) -> VotingConfig {
    let durability = if copies == 0 { Durability::Async } else { Durability::Quorum { copies } };
    let timeout = timeout_ms.map(Duration::from_millis);
    VotingConfig::new(version, durability, (0..voters).map(node_id).collect(), acks, timeout).expect("it makes sense")
}

impl World {
    /// Node 0 is the master in epoch 1 under this config, the others follow.
    fn quorum(nodes: usize, config: VotingConfig) -> World {
        let mut world = World::group(nodes);
        world.found(config);
        world
    }

    fn found(&mut self, config: VotingConfig) {
        let nodes = self.nodes.len();
        assert_eq!(self.assign_with(0, 1, Role::Master, Some(config.clone())).refused, None);
        for node in 1..nodes {
            let role = Role::Replica(Address::new("m", port(0)));
            assert_eq!(self.assign_with(node, 1, role, Some(config.clone())).refused, None);
        }
        self.settle();
    }

    fn freeze(&mut self, nodes: &[usize]) {
        for &node in nodes {
            self.nodes[node].is_up = false;
        }
    }

    /// Lets a node go on, and everything happen that then happens.
    fn thaw(&mut self, node: usize) {
        self.nodes[node].is_up = true;
        while self.turn() {}
    }

    /// Grants node 0 the lease for a heartbeat that leaves now.
    fn grant(&mut self, epoch: u64, length_ms: u64) {
        let lease = self.nodes[0].engine.core().replication.lease();
        let mut lease = lease.lock().expect("one thread");
        let renewal = lease.renew(self.now.mono);
        lease.grant(Epoch(epoch), renewal, Duration::from_millis(length_ms), self.now.mono).expect("just asked for");
    }

    fn configure(&mut self, epoch: u64, config: VotingConfig) -> Report {
        self.order(0, Order::Configure { group: "main".into(), epoch: Epoch(epoch), config })
    }

    /// Says a command as a new session of node 0, which stays.
    fn client(&mut self, command: &str) -> (SessionId, String) {
        let id = self.session_of(0);
        let reply = self.say_as(0, id, command);
        (id, reply)
    }

    fn committed(&self) -> (u64, u64) {
        let facts = self.nodes[0].engine.core().facts();
        (facts.committed.0, facts.held.offset.0)
    }
}

/// I3: OK leaves when W voters hold the write, and not before.
#[test]
fn a_write_is_answered_when_enough_voters_hold_it() {
    let mut world = World::quorum(3, config(1, 2, 3));
    world.grant(1, 1_000_000);
    world.freeze(&[1, 2]);
    let (writer, reply) = world.client("set a 1");
    assert_eq!(reply, "nothing");
    world.thaw(2);
    assert_eq!(world.hear(0, writer), "+OK");
    let (committed, offset) = world.committed();
    assert_eq!(committed, offset);

    let mut world = World::quorum(3, config(1, 3, 3));
    world.freeze(&[1]);
    let (writer, reply) = world.client("set a 1");
    while world.turn() {}
    assert_eq!((reply.as_str(), world.hear(0, writer).as_str()), ("nothing", "nothing"));
    world.thaw(1);
    assert_eq!(world.hear(0, writer), "+OK");
}

/// I5: the first reply waits for the epoch's barrier, whatever it tells.
#[test]
fn nothing_is_served_before_the_barrier_is_committed() {
    let mut world = World::group(3);
    let config = config(1, 2, 3);
    assert_eq!(world.assign_with(0, 1, Role::Master, Some(config.clone())).refused, None);
    world.grant(1, 1_000_000);
    let (reader, reply) = world.client("get a");
    while world.turn() {}
    assert_eq!((reply.as_str(), world.hear(0, reader).as_str()), ("nothing", "nothing"));
    assert_eq!(
        (world.info(0, "quorate_committed_offset"), world.info(0, "quorate_config_version")),
        ("0".into(), "0".into())
    );
    assert_eq!(world.say(0, "ping"), "+PONG", "what tells nothing of the data waits for nothing");
    let role = Role::Replica(Address::new("m", port(0)));
    assert_eq!(world.assign_with(1, 1, role, Some(config)).refused, None);
    world.settle();
    assert_eq!(world.hear(0, reader), "nil");
    assert_eq!(world.info(0, "quorate_config_version"), "1");
}

/// I6, I7: a read waits for what it observed; one of an untouched key only asks the lease.
#[test]
fn a_read_waits_for_what_it_has_observed() {
    let mut world = World::quorum(3, config(1, 2, 3));
    world.grant(1, 1_000_000);
    let (setter, _) = world.client("mset a 0 b 0");
    while world.turn() {}
    assert_eq!(world.hear(0, setter), "+OK");
    world.freeze(&[1, 2]);
    world.client("set a 1");
    let waiting = ["get a", "mget b a", "exists a", "keys *", "dbsize", "setnx a 2", "scan 0", "randomkey"];
    let waiting = waiting.map(|command| (command, world.client(command)));
    for (command, (_, reply)) in &waiting {
        assert_eq!(reply, "nothing", "{command}");
    }
    assert_eq!(world.say(0, "get b"), "$0");
    assert_eq!(world.say(0, "strlen b"), ":1");
    assert_eq!(world.say(0, "echo x"), "$x");
    world.thaw(1);
    let heard = waiting.map(|(_, (id, _))| world.hear(0, id));
    assert_eq!(heard[..6], ["$1", "[$0 $1]", ":1", "[$a $b]", ":2", ":0"].map(String::from));
}

/// I6: a pipeline keeps its order: what stands behind a held reply waits with it.
#[test]
fn a_pipeline_keeps_its_order() {
    let mut world = World::quorum(3, config(1, 2, 3));
    world.grant(1, 1_000_000);
    world.freeze(&[1, 2]);
    let (client, reply) = world.client("set a 1");
    assert_eq!(reply, "nothing");
    for command in ["ping", "get b", "client reply skip", "ping", "get a"] {
        assert_eq!(world.say_as(0, client, command), "nothing", "{command}");
    }
    world.thaw(1);
    let heard: Vec<String> = (0..4).map(|_| world.hear(0, client)).collect();
    assert_eq!(heard, ["+OK", "+PONG", "nil", "$1"]);
    assert_eq!(world.hear(0, client), "nothing");
}

/// I6: transactions, waits that others end, messages and events.
#[test]
fn everything_that_tells_of_a_write_waits() {
    let mut world = World::quorum(3, config(1, 2, 3));
    world.grant(1, 1_000_000);
    let (popper, _) = world.client("blpop list 0");
    let (listener, subscribed) = world.client("psubscribe *");
    assert!(subscribed.contains("psubscribe"));
    world.nodes[0]
        .engine
        .core_mut()
        .config
        .set(&[("notify-keyspace-events", "KEA")], quorate_config::Origin::Local)
        .expect("right");
    let (transaction, _) = world.client("multi");
    world.say_as(0, transaction, "get a");
    world.say_as(0, transaction, "set a 1");
    world.freeze(&[1, 2]);
    assert_eq!(world.say_as(0, transaction, "exec"), "nothing");
    world.client("rpush list x");
    world.client("publish news y");
    assert_eq!([world.hear(0, popper), world.hear(0, listener)], ["nothing", "nothing"]);
    world.thaw(1);
    assert_eq!(world.hear(0, transaction), "[nil +OK]");
    assert_eq!(world.hear(0, popper), "[$list $x]");
    assert_eq!(world.hear(0, listener), "[$pmessage $* $__keyspace@0__:a $set]");
}

/// I7: without a lease a read waits for a marker behind it that R voters have received.
#[test]
fn without_a_lease_reads_are_confirmed() {
    let mut world = World::quorum(3, config(1, 2, 3));
    world.grant(1, 1000);
    assert_eq!(world.say(0, "get a"), "nil");
    world.pass(Duration::from_millis(950));
    world.freeze(&[1, 2]);
    let (reader, reply) = world.client("get a");
    assert_eq!(reply, "nothing");
    assert_eq!(world.info(0, "quorate_lease_ms"), "0");
    world.thaw(1);
    assert_eq!(world.hear(0, reader), "nil");
    // An acknowledgement of what was there before the read vouches for nothing.
    world.freeze(&[1, 2]);
    let (reader, reply) = world.client("get b");
    assert_eq!(reply, "nothing");
    let offset = world.committed().1;
    assert!(offset > world.committed().0, "a marker was written behind the read");
    world.thaw(2);
    assert_eq!(world.hear(0, reader), "nil");
}

/// I7: the lease is tested after the commands have run: a process that stood still in between serves nothing stale.
#[test]
fn the_lease_is_tested_when_the_turn_ends() {
    let mut world = World::quorum(3, config(1, 2, 3));
    world.grant(1, 1000);
    world.freeze(&[1, 2]);
    CLOCK.set(world.now.mono + Duration::from_millis(949));
    let (_, reply) = world.client("get a");
    assert_eq!(reply, "nil");
    CLOCK.set(world.now.mono + Duration::from_millis(950));
    let (_, reply) = world.client("get a");
    assert_eq!(reply, "nothing");
}

/// I7: a handover stops the stream, so that no marker can be written: a read without a lease then waits for what comes after.
#[test]
fn a_read_in_a_pause_is_not_confirmed_by_old_acknowledgements() {
    let mut world = World::quorum(3, config(1, 2, 3));
    let order = Order::Pause { group: "main".into(), epoch: Epoch(1), timeout: Duration::from_secs(5) };
    assert_eq!(world.order(0, order).refused, None);
    let (reader, reply) = world.client("get a");
    while world.turn() {}
    assert_eq!((reply.as_str(), world.hear(0, reader).as_str()), ("nothing", "nothing"));
    world.pass(Duration::from_secs(6));
    world.pass(Duration::from_secs(1));
    assert_eq!(world.hear(0, reader), "nil");
}

/// I2, I3: a promise elsewhere ends the mastership: what waits is never answered, and its connection ends without a word.
#[test]
fn a_promise_closes_who_waits() {
    let mut world = World::quorum(3, config(1, 2, 3));
    world.grant(1, 1_000_000);
    world.freeze(&[1, 2]);
    let (writer, reply) = world.client("set a 1");
    assert_eq!(reply, "nothing");
    let (blocked, _) = world.client("blpop b 0");
    world.say_as(0, writer, "blpop c 0");
    // A write in the very turn of the promise is not answered either.
    let same = world.session_of(0);
    world.nodes[0].events.push_back(Event::Received(same, b"set d 1\r\nget d\r\n".to_vec()));
    world.promise(0, 2);
    assert_eq!([world.hear(0, writer), world.hear(0, same)], ["nothing", "nothing"]);
    assert!(world.hear(0, blocked).starts_with("-UNBLOCKED"));
    for id in [writer, same, blocked] {
        assert!(world.nodes[0].closed.contains(&id), "{id:?} is closed");
    }
    world.thaw(1);
    assert_eq!(world.hear(0, writer), "nothing");
}

/// I2: acknowledgements of a lower epoch do not count, and a node that promised a higher one gives none.
#[test]
fn an_acknowledgement_counts_in_its_epoch_only() {
    let mut world = World::quorum(3, config(1, 2, 3));
    world.grant(1, 1_000_000);
    world.promise(1, 2);
    world.freeze(&[2]);
    let (writer, reply) = world.client("set a 1");
    while world.turn() {}
    assert_eq!((reply.as_str(), world.hear(0, writer).as_str()), ("nothing", "nothing"));
    // The master goes on in epoch 2; its replica of epoch 1 follows, and counts when it is assigned.
    assert_eq!(world.assign_with(0, 2, Role::Master, None).refused, None);
    world.thaw(2);
    while world.turn() {}
    assert_eq!(world.hear(0, writer), "nothing");
    world.assign_replica(2, 2, 0);
    while world.turn() {}
    assert_eq!(world.hear(0, writer), "+OK");
}

/// I3: a reply that is too old becomes an error, one for each, and the guarantee is not weakened.
#[test]
fn quorum_timeout_tells_that_the_outcome_is_unknown() {
    let mut world = World::quorum(3, config_with(1, 2, 3, Acks::Received, Some(500)));
    world.grant(1, 1_000_000);
    world.freeze(&[1, 2]);
    let id = world.session_of(0);
    world.nodes[0].events.push_back(Event::Received(id, b"set a 1\r\nlrange none 0 -1\r\nget a\r\n".to_vec()));
    world.turn_of(0);
    assert_eq!(world.nodes[0].engine.next_deadline(), Some(world.now.mono + Duration::from_millis(500)));
    world.pass(Duration::from_millis(499));
    assert_eq!(world.hear(0, id), "nothing");
    let (later, _) = world.client("set b 2");
    world.pass(Duration::from_millis(1));
    for _ in 0..3 {
        assert!(world.hear(0, id).starts_with("-UNCERTAIN outcome unknown"));
    }
    assert_eq!([world.hear(0, id), world.hear(0, later)], ["nothing", "nothing"]);
    let (committed, offset) = world.committed();
    assert!(committed < offset, "the write is still not committed");
    world.thaw(1);
    assert_eq!([world.hear(0, id), world.hear(0, later)], ["nothing", "+OK"]);
    assert_eq!(world.say_as(0, id, "get a"), "$1");
}

/// I9: from async to quorum and back. What was acknowledged before is covered before the config is in force.
#[test]
fn a_config_changes_while_the_group_runs() {
    let mut world = World::quorum(3, config(1, 0, 3));
    world.freeze(&[1, 2]);
    assert_eq!(world.say(0, "set a 1"), "+OK");
    let report = world.configure(1, config(2, 2, 3));
    assert_eq!((report.refused, report.facts.config_version), (None, 1));
    world.grant(1, 1_000_000);
    let (writer, reply) = world.client("set b 1");
    assert_eq!((reply.as_str(), world.say(0, "get a").as_str()), ("nothing", "$1"));
    assert_eq!(
        world.info(0, "quorate_config_version"),
        "1",
        "it is not known yet that the voters have what was acknowledged"
    );
    world.thaw(1);
    assert_eq!(world.hear(0, writer), "+OK");
    assert_eq!(world.info(0, "quorate_config_version"), "2");
    world.freeze(&[1]);
    let (writer, reply) = world.client("set a 2");
    assert_eq!(reply, "nothing");
    let refused = world.configure(1, config(1, 0, 3)).refused;
    assert!(matches!(refused, Some(Denied::Config(_))), "{refused:?}");
    let refused = world.configure(2, config(3, 0, 3)).refused;
    assert_eq!(refused, Some(Denied::Fence(Refused::NotMasterOf(Epoch(2)))));
    assert_eq!(world.configure(1, config(3, 0, 3)).facts.config_version, 3);
    assert_eq!(world.hear(0, writer), "+OK");
    assert_eq!(world.info(0, "quorate_durability"), "async");
    assert_eq!(world.say(0, "set a 3"), "+OK");
}

/// A learner that follows is no voter until a config says so; then what it holds counts at once.
#[test]
fn a_learner_counts_when_it_is_a_voter() {
    let mut world = World::quorum(4, config(1, 2, 2));
    world.grant(1, 1_000_000);
    world.freeze(&[1]);
    let (writer, reply) = world.client("set a 1");
    while world.turn() {}
    assert_eq!((reply.as_str(), world.hear(0, writer).as_str()), ("nothing", "nothing"));
    assert_eq!(world.configure(1, config(2, 2, 3)).refused, None);
    assert_eq!(world.hear(0, writer), "+OK");
    assert_eq!(world.info(0, "quorate_voters").split(',').count(), 3);
}

/// I12: what a former master had beyond the new one's history is dropped, counted and told.
#[test]
fn a_dropped_tail_is_reported() {
    let mut world = World::quorum(3, config(1, 2, 3));
    let before = world.committed().1;
    world.promise(1, 2);
    world.promise(2, 2);
    world.client("set tail lost");
    let tail = world.committed().1 - before;
    assert!(tail > 0);
    assert_eq!(world.assign_with(1, 2, Role::Master, Some(config(1, 2, 3))).refused, None);
    world.assign_replica(2, 2, 1);
    world.settle();
    let writer = world.session_of(1);
    world.say_as(1, writer, "set b 2");
    while world.turn() {}
    assert_eq!(world.hear(1, writer), "+OK");
    world.assign_replica(0, 2, 1);
    world.settle();
    let facts = world.nodes[0].engine.core().facts();
    assert_eq!(facts.dropped_tail, tail);
    assert_eq!(world.info(0, "quorate_dropped_tail"), tail.to_string());
    assert_eq!([world.say(0, "get tail"), world.say(0, "get b")], ["nil", "$2"]);
}

/// I13: an async master whose lease ran out goes on while every member acknowledges, and stops when one does not.
#[test]
fn an_async_master_without_a_lease_needs_every_member() {
    let mut world = World::quorum(3, config(1, 0, 3));
    world.pass(Duration::from_secs(5));
    assert_eq!(world.say(0, "set a 1"), "+OK", "no sentinel ever granted a lease: there are none");
    world.grant(1, 1000);
    for _ in 0..40 {
        world.pass(Duration::from_millis(100));
        assert_eq!(world.say(0, "set a 2"), "+OK");
    }
    world.freeze(&[2]);
    for _ in 0..15 {
        world.pass(Duration::from_millis(100));
    }
    assert!(world.say(0, "set a 3").starts_with("-NOREPLICAS No sentinel has renewed the lease"));
    assert_eq!(world.say(0, "get a"), "$2");
    world.thaw(2);
    for _ in 0..6 {
        world.pass(Duration::from_millis(100));
    }
    assert_eq!(world.say(0, "set a 3"), "+OK");
    world.freeze(&[1]);
    world.grant(1, 1_000_000);
    for _ in 0..15 {
        world.pass(Duration::from_millis(100));
    }
    assert_eq!(world.say(0, "set a 4"), "+OK", "the lease is enough");
}

/// I13: the turn that finds the lease over takes no write any more, however long it is until the next tick.
#[test]
fn an_async_master_stops_when_its_lease_does() {
    let mut world = World::quorum(3, config(1, 0, 3));
    world.freeze(&[1, 2]);
    world.grant(1, 1000);
    world.now.mono += Duration::from_millis(949);
    assert_eq!(world.say(0, "set a 1"), "+OK");
    assert_eq!(world.nodes[0].engine.next_deadline(), Some(world.now.mono + Duration::from_millis(1)));
    world.now.mono += Duration::from_millis(1);
    assert!(world.say(0, "set a 2").starts_with("-NOREPLICAS No sentinel has renewed the lease"));
}

/// I13: what was asked for while the process stood still within a turn is not done by the lease of the turn's beginning.
#[test]
fn a_turn_that_outlives_the_lease_takes_no_writes() {
    let mut world = World::quorum(3, config(1, 0, 3));
    world.freeze(&[1, 2]);
    world.grant(1, 1000);
    CLOCK.set(world.now.mono + Duration::from_millis(949));
    assert_eq!(world.client("set a 1").1, "+OK");
    CLOCK.set(world.now.mono + Duration::from_millis(950));
    assert!(world.client("set a 2").1.starts_with("-NOREPLICAS No sentinel has renewed the lease"));
}

/// I13: a master that is cut off before it hears its first grant has one lease from when it was made master.
#[test]
fn an_async_master_that_hears_no_grant_stops() {
    let mut world = World::quorum(3, config(1, 0, 3));
    world.freeze(&[1, 2]);
    let (role, lease) = (Role::Master, Some(Duration::from_millis(1000)));
    let order = Order::Assign { group: "main".into(), epoch: Epoch(2), role, config: None, lease };
    assert_eq!(world.order(0, order).refused, None);
    world.now.mono += Duration::from_millis(949);
    assert_eq!(world.say(0, "set a 1"), "+OK");
    world.now.mono += Duration::from_millis(1);
    assert!(world.say(0, "set a 2").starts_with("-NOREPLICAS No sentinel has renewed the lease"));
    world.grant(2, 1000);
    world.pass(Duration::from_millis(100));
    assert_eq!(world.say(0, "set a 3"), "+OK", "the lease has come");
}

/// I10: a node that may have lost what it acknowledged says so, is no master of the same epoch again, and is sure once it has caught up.
#[test]
fn a_restarted_node_is_unsure_until_it_has_caught_up() {
    let mut world = World::quorum(3, config(1, 2, 3));
    let writer = world.session_of(0);
    world.say_as(0, writer, "set a 1");
    while world.turn() {}
    let found = |world: &World, at: usize| {
        let facts = world.nodes[at].engine.core().facts();
        crate::Found { held: facts.held, epoch: facts.data_epoch, db: quorate_keyspace::DbIndex(0) }
    };
    let (old, reborn) = (found(&world, 0), found(&world, 1));
    for at in [0, 1] {
        world.down(at);
        let mut engine = Engine::new(
            ServerConfig { port: port(at), ..ServerConfig::default() },
            host(),
            fastrand::Rng::with_seed(9),
        );
        engine.begin(world.now);
        let told = if at == 0 { Role::Master } else { Role::Replica(Address::new("m", port(0))) };
        let kept = Durable { promised: Epoch(1), epoch: Epoch(1), told: Some(told), holds: Holds::Memory };
        engine.core_mut().join_group("main", node_id(at), kept, Memory::Kept, None);
        engine.restored(Some(if at == 0 { old } else { reborn }));
        world.nodes[at].engine = engine;
        world.nodes[at].is_up = true;
    }
    assert!(world.nodes[0].engine.core().facts().tail_unsure);
    let refused = world.assign_with(0, 1, Role::Master, Some(config(1, 2, 3))).refused;
    assert_eq!(refused, Some(Denied::EarlierLife(Epoch(1))));
    for at in [1, 2] {
        world.promise(at, 2);
    }
    assert_eq!(world.assign_with(2, 2, Role::Master, Some(config(1, 2, 3))).refused, None);
    assert!(world.nodes[1].engine.core().facts().tail_unsure);
    world.assign_replica(1, 2, 2);
    world.settle();
    let facts = world.nodes[1].engine.core().facts();
    assert_eq!((facts.tail_unsure, facts.data_epoch), (false, Epoch(2)));
    assert_eq!(
        world.nodes[2].engine.core().replication.fence.as_ref().map(|fence| fence.standing()),
        Some(Standing::Master { paused_until: None })
    );
}

/// I10: a start that ends before the node is assigned forgets nothing of what the life before relied on.
#[test]
fn a_fenced_node_changes_nothing_of_what_it_relied_on() {
    let mut world = World::new(1);
    let kept = Durable { promised: Epoch(1), epoch: Epoch(1), told: Some(Role::Master), holds: Holds::Disk };
    world.nodes[0].engine.core_mut().join_group("main", node_id(0), kept, Memory::Kept, None);
    world.nodes[0].engine.restored(None);
    world.pass(Duration::from_millis(100));
    let report = world.promise(0, 2);
    assert_eq!(report.durable.map(|keep| keep.durable.holds), Some(Holds::Disk));
    world.assign_master(0, 2);
    world.pass(Duration::from_millis(100));
    let report = world.promise(0, 2);
    assert_eq!(report.durable.map(|keep| keep.durable.holds), Some(Holds::Memory), "it keeps no log");
}

/// I6: a node that serves no epoch serves no reads: it may hold the past, or what was never acknowledged.
#[test]
fn a_fenced_node_serves_no_reads() {
    let mut world = World::quorum(2, config(1, 2, 2));
    world.promise(0, 2);
    for command in ["get a", "keys *", "dbsize"] {
        assert!(world.say(0, command).starts_with("-MASTERDOWN"), "{command}");
    }
    assert!(world.say(0, "set a 1").starts_with("-READONLY"));
    assert_eq!(world.say(0, "ping"), "+PONG");
    assert_eq!(world.say(1, "get a"), "nil", "a replica serves reads, as stale as it is");
}

/// I2: what is acknowledged waits for the state file: until then the node follows and counts for nothing.
#[test]
fn a_node_counts_when_its_epoch_is_on_disk() {
    let mut world = World::quorum(2, config(1, 2, 2));
    world.grant(1, 1_000_000);
    let order = |ticket| {
        let role = Role::Replica(Address::new("m", port(0)));
        Event::Control(Control {
            ticket,
            order: Order::Assign { group: "main".into(), epoch: Epoch(2), role, config: None, lease: None },
        })
    };
    assert_eq!(world.assign_with(0, 2, Role::Master, None).refused, None);
    while world.turn() {}
    // The assignment is obeyed, and its state file written later.
    world.nodes[1].events.push_back(order(Ticket(900)));
    world.turn_of(1);
    world.nodes[1].events.retain(|event| !matches!(event, Event::Kept(_)));
    let (writer, reply) = world.client("set a 1");
    while world.turn() {}
    assert_eq!((reply.as_str(), world.hear(0, writer).as_str()), ("nothing", "nothing"));
    let revision = world.nodes[1].answers[&Ticket(900)].durable.as_ref().expect("of a group").revision;
    world.nodes[1].events.push_back(Event::Kept(revision));
    while world.turn() {}
    assert_eq!(world.hear(0, writer), "+OK");
}

/// I4, I10: a master is chosen upon what it held when it promised. A process that started since may hold less, and one that lost its directory is
/// nobody's choice.
#[test]
fn a_promise_is_no_title_for_the_next_process() {
    let reborn_under = |copies: usize, kept: Durable, memory: Memory, name: usize| {
        let mut world = World::group(1);
        world.nodes[0].engine.core_mut().join_group("main", node_id(name), kept, memory, None);
        world.nodes[0].engine.restored(None);
        world.assign_with(0, 5, Role::Master, Some(config(1, copies, 3))).refused
    };
    let reborn = |kept: Durable, memory: Memory, name: usize| reborn_under(2, kept, memory, name);
    let promised = |epoch| Durable { promised: Epoch(epoch), ..Durable::default() };
    assert_eq!(reborn(promised(5), Memory::Kept, 0), Some(Denied::EarlierLife(Epoch(5))));
    assert_eq!(reborn_under(0, promised(5), Memory::Kept, 0), Some(Denied::EarlierLife(Epoch(5))), "async, too");
    let served = Durable { epoch: Epoch(5), told: Some(Role::Master), holds: Holds::Disk, ..promised(5) };
    assert_eq!(reborn_under(0, served.clone(), Memory::Kept, 0), Some(Denied::EarlierLife(Epoch(5))), "who served it");
    assert_eq!(reborn(served, Memory::Kept, 0), Some(Denied::EarlierLife(Epoch(5))), "with all that it held");
    assert_eq!(reborn(promised(4), Memory::Kept, 0), None);
    assert_eq!(reborn(Durable::default(), Memory::Lost, 7), Some(Denied::NoVoter));
    assert_eq!(reborn(Durable::default(), Memory::Lost, 0), None);
}
