//! Committed commands in, events out: transcripts of the wire texts, and the compare-and-set under any sequence.

use std::collections::BTreeMap;

use proptest::prelude::*;
use quorate_registry::command::{Fault, Ground, NodeSpec};
use quorate_registry::event::{HISTORY_LEN, sdown, sdown_over};
use quorate_registry::failover::{AbortReason, Cause, End, Stage};
use quorate_registry::{
    Command, Entry, Epoch, GroupName, Identity, Member, NodeKey, RaftId, Registry, Settings, UnixMs,
};

fn name() -> GroupName {
    "main".parse().expect("a word")
}

fn key(n: u16) -> NodeKey {
    NodeKey::new("127.0.0.1", 7000 + n).expect("a port")
}

fn member(id: u64, port: u16) -> Member {
    let resp = NodeKey::new("127.0.0.1", port).expect("a port");
    Member { raft_id: RaftId(id), sentinel_id: "a".repeat(40), address: format!("127.0.0.1:{}", port + 1000), resp }
}

fn monitor(nodes: u16) -> Command {
    let nodes = (1..=nodes).map(|n| NodeSpec { node: key(n), tags: vec![] }).collect();
    Command::MonitorGroup { group: name(), master: key(1), nodes, settings: Settings::default() }
}

fn begin(expected: u64, floor: u64, cause: Cause, wanted: Option<u16>) -> Command {
    let (expected, floor) = (Epoch(expected), Epoch(floor));
    Command::FailoverBegin { group: name(), expected, floor, cause, wanted: wanted.map(key) }
}

/// Applies commands one after the other; each must publish exactly the lines beside it, or be refused with `! text`.
fn check(transcript: &[(Command, &str)]) -> Registry {
    let mut registry = Registry::default();
    for (index, (command, expected)) in transcript.iter().enumerate() {
        let before = registry.clone();
        let entry = Entry { at: UnixMs(1000), command: command.clone() };
        let entry = Entry::decode(&entry.encode()).expect("an entry reads back");
        let said = match registry.apply(index as u64 + 1, entry) {
            Ok(events) => events.iter().map(|event| format!("{} {}\n", event.name, event.text)).collect::<String>(),
            Err(refusal) => {
                let unchanged = Registry { applied: before.applied, ..registry.clone() };
                assert_eq!(unchanged, before, "a refused command changes nothing: {command:?}");
                format!("! {refusal}\n")
            }
        };
        let expected: String =
            expected.lines().map(str::trim).filter(|l| !l.is_empty()).fold(String::new(), |all, l| all + l + "\n");
        assert_eq!(said, expected, "{command:?}");
        let restored = Registry::restore(&registry.snapshot()).expect("a snapshot reads back");
        assert_eq!(restored, registry);
    }
    registry
}

#[test]
fn groups_come_and_go() {
    let set = |changes: &[(&str, &str)]| Command::SetGroup {
        group: name(),
        changes: changes.iter().map(|(option, value)| (option.to_string(), value.to_string())).collect(),
    };
    check(&[
        (Command::RemoveGroup { group: name() }, "! No such master with that name"),
        (Command::MemberJoined(member(1, 26379)), ""),
        (
            monitor(2),
            "+monitor master main 127.0.0.1 7001 quorum 2
                      +slave slave 127.0.0.1:7002 127.0.0.1 7002 @ main 127.0.0.1 7001",
        ),
        (monitor(2), "! nothing to change"),
        (
            Command::MonitorGroup { group: name(), master: key(9), nodes: vec![], settings: Settings::default() },
            "! Duplicate master name.",
        ),
        (
            Command::MemberJoined(member(2, 26380)),
            "+sentinel sentinel aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 127.0.0.1 26380 @ main 127.0.0.1 7001",
        ),
        (Command::MemberJoined(member(2, 26380)), "! nothing to change"),
        (
            Command::MemberJoined(member(2, 26390)),
            "+sentinel-address-switch master main 127.0.0.1 7001 ip 127.0.0.1 port 26390 for aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
        (Command::MemberLeaves { raft_id: RaftId(2) }, ""),
        (Command::MemberLeaves { raft_id: RaftId(2) }, "! nothing to change"),
        (Command::MemberLeaves { raft_id: RaftId(1) }, "! sentinel 2 is leaving: one at a time"),
        (
            Command::MemberLeft { raft_id: RaftId(2) },
            "-sentinel sentinel aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 127.0.0.1 26390 @ main 127.0.0.1 7001",
        ),
        (Command::MemberLeaves { raft_id: RaftId(2) }, "! nothing to change"),
        (Command::MemberLeaves { raft_id: RaftId(1) }, "! the last sentinel cannot be removed"),
        (
            set(&[("quorum", "1"), ("auth-pass", "secret")]),
            "+set master main 127.0.0.1 7001 quorum 1
             +set master main 127.0.0.1 7001 auth-pass ******",
        ),
        (set(&[("quorum", "3"), ("quorum", "none")]), "! Invalid argument 'none' for SENTINEL SET 'quorum'"),
        (Command::ResetGroup { group: name() }, "+reset-master master main 127.0.0.1 7001"),
        (
            Command::NodeForgotten { group: name(), node: key(1) },
            "! 127.0.0.1:7001 is the master: fail over to another node first",
        ),
        (
            Command::NodeForgotten { group: name(), node: key(2) },
            "-slave slave 127.0.0.1:7002 127.0.0.1 7002 @ main 127.0.0.1 7001",
        ),
        (Command::RemoveGroup { group: name() }, "-monitor master main 127.0.0.1 7001"),
    ]);
}

#[test]
fn nodes_are_seen_and_repaired() {
    let seen = |run_id: &str| Command::NodeSeen {
        group: name(),
        node: key(2),
        identity: Some(Identity { run_id: run_id.into(), node_id: "n".into(), agent_port: 8002, priority: 100 }),
    };
    let repaired = |epoch, fault| Command::Repaired { group: name(), epoch: Epoch(epoch), node: key(2), fault };
    check(&[
        (monitor(1), "+monitor master main 127.0.0.1 7001 quorum 2"),
        (
            Command::NodeSeen { group: name(), node: key(2), identity: None },
            "+slave slave 127.0.0.1:7002 127.0.0.1 7002 @ main 127.0.0.1 7001",
        ),
        (Command::NodeSeen { group: name(), node: key(2), identity: None }, "! nothing to change"),
        (seen("one"), ""),
        (seen("one"), "! nothing to change"),
        (seen("two"), "+reboot slave 127.0.0.1:7002 127.0.0.1 7002 @ main 127.0.0.1 7001"),
        (
            repaired(0, Fault::RogueMaster),
            "+convert-to-slave slave 127.0.0.1:7002 127.0.0.1 7002 @ main 127.0.0.1 7001",
        ),
        (
            repaired(0, Fault::WrongMaster),
            "+fix-slave-config slave 127.0.0.1:7002 127.0.0.1 7002 @ main 127.0.0.1 7001",
        ),
        (repaired(1, Fault::WrongMaster), "! the group's epoch is 0, not 1"),
    ]);
}

#[test]
fn a_failover_from_begin_to_end() {
    let chosen = |epoch, node| Command::Chosen {
        group: name(),
        epoch: Epoch(epoch),
        candidate: key(node),
        ground: Ground::Promises,
    };
    let promoted = |epoch| Command::Promoted { group: name(), epoch: Epoch(epoch) };
    let told = |stage| Command::Reconfigured { group: name(), epoch: Epoch(1), node: key(3), stage };
    let end = Command::FailoverEnd { group: name(), epoch: Epoch(1), end: End::Complete };
    let registry = check(&[
        (
            monitor(3),
            "+monitor master main 127.0.0.1 7001 quorum 2
                      +slave slave 127.0.0.1:7002 127.0.0.1 7002 @ main 127.0.0.1 7001
                      +slave slave 127.0.0.1:7003 127.0.0.1 7003 @ main 127.0.0.1 7001",
        ),
        (promoted(0), "! the group's epoch is 0, not 0"),
        (
            Command::MasterDown { group: name(), epoch: Epoch(0), votes: 2 },
            "+odown master main 127.0.0.1 7001 #quorum 2/2",
        ),
        (begin(3, 0, Cause::Down { votes: 2 }, None), "! the group's epoch is 0, not 3"),
        (
            begin(0, 0, Cause::Down { votes: 2 }, None),
            "+new-epoch 1
             +try-failover master main 127.0.0.1 7001
             +elected-leader master main 127.0.0.1 7001
             +failover-state-select-slave master main 127.0.0.1 7001",
        ),
        (begin(0, 0, Cause::Forced, None), "! Failover already in progress"),
        (promoted(1), "! the failover is not in a phase for that"),
        (Command::NodeForgotten { group: name(), node: key(2) }, "! the failover is not in a phase for that"),
        (chosen(1, 9), "! no such replica: 127.0.0.1:7009"),
        (
            chosen(1, 2),
            "+selected-slave slave 127.0.0.1:7002 127.0.0.1 7002 @ main 127.0.0.1 7001
             +failover-state-send-slaveof-noone slave 127.0.0.1:7002 127.0.0.1 7002 @ main 127.0.0.1 7001
             +failover-state-wait-promotion slave 127.0.0.1:7002 127.0.0.1 7002 @ main 127.0.0.1 7001",
        ),
        (chosen(1, 3), "! the failover is not in a phase for that"),
        (
            promoted(1),
            "+promoted-slave slave 127.0.0.1:7002 127.0.0.1 7002 @ main 127.0.0.1 7001
             +failover-state-reconf-slaves master main 127.0.0.1 7001
             +switch-master main 127.0.0.1 7001 127.0.0.1 7002
             +slave slave 127.0.0.1:7001 127.0.0.1 7001 @ main 127.0.0.1 7002
             +slave slave 127.0.0.1:7003 127.0.0.1 7003 @ main 127.0.0.1 7002",
        ),
        (told(Stage::Sent), "+slave-reconf-sent slave 127.0.0.1:7003 127.0.0.1 7003 @ main 127.0.0.1 7002"),
        (told(Stage::Sent), "! the failover is not in a phase for that"),
        (
            told(Stage::Done),
            "+slave-reconf-inprog slave 127.0.0.1:7003 127.0.0.1 7003 @ main 127.0.0.1 7002
             +slave-reconf-done slave 127.0.0.1:7003 127.0.0.1 7003 @ main 127.0.0.1 7002",
        ),
        (end.clone(), "+failover-end master main 127.0.0.1 7002"),
        (end, "! the group's epoch is 1, not 1"),
    ]);
    let group = registry.group(&name()).expect("monitored");
    assert_eq!((group.epoch, &group.master, group.down_since), (Epoch(1), &key(2), None));
    let indexes: Vec<u64> = registry.history.iter().map(|event| event.index).collect();
    assert!(indexes.windows(2).all(|pair| pair[0] < pair[1]), "{indexes:?}");
    let resumed = registry.history.since(indexes[5]).expect("kept").next().map(|event| event.index);
    assert_eq!(resumed, Some(indexes[5]));
    let soft = [sdown(UnixMs(7), &name(), group, &key(2)), sdown_over(UnixMs(8), &name(), group, &key(1))];
    assert_eq!((soft[0].name.as_str(), soft[0].text.as_str()), ("+sdown", "master main 127.0.0.1 7002"));
    assert_eq!(soft[1].text, "slave 127.0.0.1:7001 127.0.0.1 7001 @ main 127.0.0.1 7002");
}

#[test]
fn a_handover_given_up_and_one_that_ends_late() {
    let planned = |wanted| begin(0, 6, Cause::Planned, wanted);
    let abort = |epoch, reason| Command::FailoverAbort { group: name(), epoch: Epoch(epoch), reason };
    let tried = "+try-failover master main 127.0.0.1 7001
                 +elected-leader master main 127.0.0.1 7001
                 +failover-state-select-slave master main 127.0.0.1 7001";
    check(&[
        (
            monitor(2),
            "+monitor master main 127.0.0.1 7001 quorum 2
                      +slave slave 127.0.0.1:7002 127.0.0.1 7002 @ main 127.0.0.1 7001",
        ),
        (planned(None), "! No suitable replica to promote"),
        (planned(Some(1)), "! no such replica: 127.0.0.1:7001"),
        (planned(Some(2)), &format!("+new-epoch 7\n{tried}")),
        (Command::CaughtUp { group: name(), epoch: Epoch(7) }, ""),
        (Command::CaughtUp { group: name(), epoch: Epoch(7) }, "! the failover is not in a phase for that"),
        (abort(7, AbortReason::CandidateTimeout), "-failover-abort-slave-timeout master main 127.0.0.1 7001"),
        (begin(0, 0, Cause::Forced, None), &format!("+new-epoch 8\n{tried}")),
        (abort(7, AbortReason::NoGoodReplica), "! the group's epoch is 8, not 7"),
        (abort(8, AbortReason::NoGoodReplica), "-failover-abort-no-good-slave master main 127.0.0.1 7001"),
        (begin(0, u64::MAX, Cause::Forced, None), "! too many epochs"),
        (begin(0, 0, Cause::Restarted, None), "+new-epoch 9"),
        (
            Command::Chosen { group: name(), epoch: Epoch(9), candidate: key(1), ground: Ground::LossAccepted },
            "! too few voters answer: acknowledged writes that only the others hold would be lost. If those will never come back, say that it may be (accept-loss)",
        ),
        (Command::Chosen { group: name(), epoch: Epoch(9), candidate: key(1), ground: Ground::Promises }, ""),
        (Command::Promoted { group: name(), epoch: Epoch(9) }, ""),
        (Command::FailoverEnd { group: name(), epoch: Epoch(9), end: End::TimedOut }, ""),
        (Command::MasterUp { group: name(), epoch: Epoch(9) }, "! nothing to change"),
    ]);
}

#[test]
fn the_history_is_bounded_and_says_what_it_forgot() {
    let mut registry = check(&[(monitor(1), "+monitor master main 127.0.0.1 7001 quorum 2")]);
    for index in 2..HISTORY_LEN as u64 + 10 {
        let command = Command::ResetGroup { group: name() };
        registry.apply(index, Entry { at: UnixMs(index), command }).expect("reset");
    }
    assert_eq!(registry.history.iter().count(), HISTORY_LEN);
    let oldest = registry.history.iter().next().expect("full").index;
    assert!(registry.history.since(oldest).is_ok());
    assert_eq!(registry.history.since(oldest - 1).map(|_| ()).expect_err("dropped").oldest, oldest);
    let again = Entry { at: UnixMs(0), command: Command::ResetGroup { group: name() } };
    assert!(registry.apply(5, again).is_err(), "an entry is applied once");
}

/// Commands around the running failover, most of them fitting, some stale, early or from nowhere.
fn any_command() -> impl Strategy<Value = (u8, u64, u16, u8)> {
    (0..12u8, 0..3u64, 1..5u16, 0..6u8)
}

fn shaped(registry: &Registry, (kind, skew, node, detail): (u8, u64, u16, u8)) -> Command {
    let group = name();
    let known = registry.group(&group);
    let published = known.map_or(0, |known| known.epoch.0);
    let running = known.and_then(|known| known.failover.as_ref()).map_or(published, |failover| failover.epoch.0);
    let epoch = Epoch(if skew == 0 { running.saturating_sub(1) } else { running });
    let node = key(node);
    let cause =
        [Cause::Down { votes: 2 }, Cause::Planned, Cause::Forced, Cause::Restarted, Cause::Founding, Cause::Barred];
    match kind {
        0 => monitor(3),
        1 => Command::NodeSeen { group, node, identity: None },
        2 => Command::NodeForgotten { group, node },
        3 | 4 => {
            let wanted = (skew == 1).then_some(node);
            let expected = Epoch(published + u64::from(skew == 2 && detail == 5));
            let floor = Epoch(u64::from(detail));
            Command::FailoverBegin { group, expected, floor, cause: cause[usize::from(detail)], wanted }
        }
        5 | 6 => Command::CaughtUp { group, epoch },
        7 => Command::Chosen { group, epoch, candidate: node, ground: Ground::Promises },
        8 => Command::Promoted { group, epoch },
        9 => Command::Reconfigured { group, epoch, node, stage: Stage::Done },
        10 => Command::FailoverEnd { group, epoch, end: End::Complete },
        _ if detail == 0 => Command::RemoveGroup { group },
        _ => Command::FailoverAbort { group, epoch, reason: AbortReason::NoGoodReplica },
    }
}

proptest! {
    /// I1: whatever is committed in whatever order, an epoch has one master, and epochs only grow.
    #[test]
    fn no_sequence_gives_an_epoch_two_masters(seeds in proptest::collection::vec(any_command(), 1..200)) {
        let mut registry = Registry::default();
        let mut chosen: BTreeMap<Epoch, NodeKey> = BTreeMap::new();
        let mut epoch = Epoch(0);
        for (index, seed) in seeds.into_iter().enumerate() {
            let command = shaped(&registry, seed);
            let applied = registry.apply(index as u64 + 1, Entry { at: UnixMs(0), command: command.clone() });
            if applied.is_ok() {
                match command {
                    Command::Chosen { epoch, candidate, .. } => {
                        prop_assert_eq!(chosen.insert(epoch, candidate), None);
                    }
                    // Monitored anew, a group starts over; its nodes still refuse what is below their promises.
                    Command::RemoveGroup { .. } => (chosen, epoch) = (BTreeMap::new(), Epoch(0)),
                    _ => {}
                }
            }
            if let Some(group) = registry.group(&name()) {
                prop_assert!(group.epoch >= epoch && group.claimed >= group.epoch);
                prop_assert!(group.nodes.contains_key(&group.master));
                if group.epoch > epoch {
                    prop_assert_eq!(chosen.get(&group.epoch), Some(&group.master));
                }
                epoch = group.epoch;
            }
        }
    }

    /// Bytes from a peer or a disk are refused, never a crash.
    #[test]
    fn malformed_entries_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Entry::decode(&bytes).is_err());
        prop_assert!(Registry::restore(&bytes).is_err());
    }
}
