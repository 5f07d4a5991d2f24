//! Views of a group of three nodes, as one of three sentinels sees it.

use std::{collections::BTreeMap, time::Duration};

use quorate_registry::{
    Epoch, Group, GroupName, Identity, Member, NodeKey, NodeRecord, Offset, RaftId, Registry, Settings, UnixMs, Voting,
    failover::{Cause, Failover, Phase, Stage},
    pulse::Liveness,
    sights::{NodeFacts, Role, Sight},
};

use super::{PeerSeen, Scene};
use crate::watch::Watch;

fn key(port: u16) -> NodeKey {
    NodeKey::new("127.0.0.1", port).expect("a key")
}

fn main_group() -> GroupName {
    "main".parse().expect("a name")
}

fn registry() -> Registry {
    let identity =
        |port: u16| Identity { run_id: format!("{port:040}"), agent_port: 1, priority: 100, ..Identity::default() };
    let record = |port| NodeRecord { identity: Some(identity(port)), ..NodeRecord::default() };
    let group = Group {
        epoch: Epoch(3),
        claimed: Epoch(3),
        settings: Settings::default(),
        voting: Voting::default(),
        lease_ms: 500,
        removed: Default::default(),
        master: key(7002),
        nodes: [7001, 7002, 7003].map(|port| (key(port), record(port))).into(),
        failover: None,
        down_since: None,
        interim: None,
        aborted: 0,
        revision: 1,
    };
    let member = |id: u64| Member {
        raft_id: RaftId(id),
        sentinel_id: format!("{id:040}"),
        address: format!("127.0.0.1:{}", 27378 + id),
        resp: key(26378 + u16::try_from(id).expect("small")),
    };
    Registry {
        groups: [(main_group(), group)].into(),
        sentinels: [1, 2, 3].map(|id| (RaftId(id), member(id))).into(),
        ..Registry::default()
    }
}

fn sight(liveness: Liveness, role: Role, offset: u64) -> Sight {
    let facts = NodeFacts {
        role,
        replid: "h".repeat(40),
        offset: Offset(offset),
        master: (role == Role::Replica).then(|| key(7002)),
        link_up: role == Role::Replica,
        priority: 90,
        epoch: Epoch(3),
        promised: Epoch(3),
        data_epoch: Epoch(3),
        data_known: true,
        ..NodeFacts::untold(&"r".repeat(40))
    };
    Sight { liveness, silent: Duration::from_millis(20), facts: Some(facts), facts_age: Duration::from_millis(30) }
}

struct Fixture {
    registry: Registry,
    watch: Watch,
    peers: BTreeMap<RaftId, PeerSeen>,
}

impl Fixture {
    /// All nodes answer at 1 s; sentinel 2 is connected, 3 never was.
    fn new() -> Self {
        let seen = PeerSeen { heard: Some(Duration::from_millis(900)), connected: true };
        let peers = [(RaftId(2), seen), (RaftId(3), PeerSeen { heard: None, connected: false })].into();
        let mut stage = Self { registry: registry(), watch: Watch::default(), peers };
        stage.see(1000, 7002, sight(Liveness::Alive, Role::Master, 500));
        stage.see(1000, 7001, sight(Liveness::Alive, Role::Replica, 480));
        stage.see(1000, 7003, sight(Liveness::Alive, Role::Fenced, 0));
        stage
    }

    fn see(&mut self, at: u64, port: u16, sight: Sight) -> Vec<String> {
        let now = Duration::from_millis(at);
        let events = self.watch.observe(now, UnixMs(at), &self.registry, &main_group(), &key(port), sight);
        events.into_iter().map(|e| format!("{} {}", e.name, e.text)).collect()
    }

    fn group(&mut self) -> &mut Group {
        self.registry.groups.get_mut(&main_group()).expect("the group")
    }

    fn scene(&self, at: u64) -> Scene<'_> {
        Scene {
            registry: &self.registry,
            watch: &self.watch,
            peers: &self.peers,
            now: Duration::from_millis(at),
            wall: UnixMs(at),
            me: RaftId(1),
            leader: Some(RaftId(2)),
            term: 7,
            learners: &[RaftId(3)],
        }
    }
}

#[test]
fn a_sound_group() {
    let stage = Fixture::new();
    let scene = stage.scene(1100);
    let group = scene.group("main").expect("the group");
    assert_eq!((group.epoch, group.status.word(), group.master.port, group.master.epoch), (3, "ok", 7002, 3));
    let rows: Vec<_> = group.nodes.iter().map(|n| (n.port, n.role.as_str(), n.reported_role.as_str(), n.lag)).collect();
    assert_eq!(rows, [(7002, "master", "master", 0), (7001, "replica", "slave", 20), (7003, "replica", "fenced", 500)]);
    assert!(scene.group("other").is_none() && scene.group("no name").is_none());

    let facts = scene.facts("main").expect("the group");
    assert_eq!((facts.master.last_ok_ping_ms, facts.master.info_refresh_ms), (120, 130));
    assert_eq!((facts.master.disconnected, facts.master.s_down_ms, facts.failover_state), (false, None, None));
    assert_eq!((facts.replicas[0].offset, facts.replicas[0].priority, facts.replicas[0].master_port), (480, 90, 7002));
    assert_eq!((facts.usable_sentinels(), facts.majority()), (2, 2));
    assert_eq!(facts.sentinels[0].voted_leader, format!("{:040}", 2));

    let roles: Vec<_> = scene.sentinels().into_iter().map(|s| (s.raft_id, s.role, s.alive, s.is_self)).collect();
    let expected = [(1, "follower", true, true), (2, "leader", true, false), (3, "learner", false, false)];
    assert_eq!(roles, expected.map(|(id, role, alive, me)| (id, role.to_owned(), alive, me)));
}

#[test]
fn down_is_published_once_each_way() {
    let mut stage = Fixture::new();
    let gone = || sight(Liveness::Gone, Role::Master, 500);
    assert_eq!(stage.see(2000, 7002, gone()), ["+sdown master main 127.0.0.1 7002"]);
    assert!(stage.see(2100, 7002, gone()).is_empty());
    let facts = stage.scene(2300).facts("main").expect("the group");
    assert_eq!((facts.master.s_down_ms, facts.master.disconnected), (Some(300), true));
    assert_eq!(stage.scene(2300).group("main").expect("the group").status.word(), "sdown");
    stage.group().down_since = Some(UnixMs(2200));
    assert_eq!(stage.scene(2300).group("main").expect("the group").status.word(), "odown");
    assert_eq!(stage.scene(2300).facts("main").expect("the group").o_down_ms, Some(100));
    let back = stage.see(2400, 7002, sight(Liveness::Alive, Role::Master, 500));
    assert_eq!(back, ["-sdown master main 127.0.0.1 7002"]);
    let replica = stage.see(2500, 7001, sight(Liveness::Suspect, Role::Replica, 480));
    assert_eq!(replica, ["+sdown slave 127.0.0.1:7001 127.0.0.1 7001 @ main 127.0.0.1 7002"]);
    assert!(stage.see(2500, 7009, gone()).is_empty(), "an unknown node is not taken");
}

#[test]
fn a_failover_shows_until_the_new_master_is_published() {
    let mut stage = Fixture::new();
    let failover = |phase| Failover {
        epoch: Epoch(4),
        cause: Cause::Planned,
        wanted: None,
        from: key(7002),
        began: UnixMs(1),
        phase,
    };
    stage.group().failover = Some(failover(Phase::Promoting { candidate: key(7001) }));
    let facts = stage.scene(1100).facts("main").expect("the group");
    assert_eq!((facts.failover_state, facts.failover_forced), (Some("wait_promotion"), true));
    assert_eq!(facts.replicas[0].failover_flags, ["promoted"]);
    let group = stage.scene(1100).group("main").expect("the group");
    assert_eq!((group.status.word(), group.failover_phase.as_str()), ("failover", "promoting"));

    let stages = [(key(7003), Stage::Sent), (key(7001), Stage::Done)].into();
    stage.group().failover = Some(failover(Phase::Reconfiguring { stages }));
    let facts = stage.scene(1100).facts("main").expect("the group");
    assert_eq!(facts.failover_state, None, "clients reject a master that shows a failover");
    assert_eq!(facts.replicas[1].failover_flags, ["reconf_sent"]);
    assert!(facts.replicas[0].failover_flags.is_empty());
    let group = stage.scene(1100).group("main").expect("the group");
    assert_eq!((group.status.word(), group.failover_phase.as_str()), ("ok", "reconfiguring"));
}

#[test]
fn forgotten_nodes_are_not_kept() {
    let mut stage = Fixture::new();
    assert_eq!(stage.watch.iter().count(), 3);
    stage.group().nodes.remove(&key(7003));
    stage.watch.retain(&stage.registry);
    assert_eq!(stage.watch.iter().count(), 2);
    stage.registry.groups.clear();
    stage.watch.retain(&stage.registry);
    assert_eq!(stage.watch.iter().count(), 0);
}
