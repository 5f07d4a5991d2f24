//! Whole groups in simulation: what Raft promises, through every kind of weather that a seed can make.

mod sim;

use prost011::Message as _;
use quorate_consensus::{BadMessage, Change, RaftId, Refused, Role};
use raft::eraftpb::{Entry, Message};
use sim::{CALM, STORM, Sim};

/// Proposals, reads and a storm; then good weather, in which all must agree again.
fn storm(seed: u64, voters: u64) -> Sim {
    let mut sim = Sim::new(seed, voters, STORM);
    let mut rng = fastrand::Rng::with_seed(!seed);
    for _ in 0..3000 {
        let id = RaftId(1 + rng.u64(..voters));
        match rng.u32(..20) {
            0..3 => sim.propose(id),
            3 => sim.read(id),
            4 if rng.u32(..20) == 0 => {
                if let Some(node) = sim.node(id) {
                    let _ = node.transfer(RaftId(1 + rng.u64(..voters)));
                }
            }
            4 => {
                // True or not: nothing may depend on it.
                if let Some(node) = sim.node(id) {
                    node.peer_gone(RaftId(1 + rng.u64(..voters)));
                }
            }
            _ => {}
        }
        sim.step();
    }
    settle(&mut sim);
    sim
}

/// Good weather until a last command is everywhere.
fn settle(sim: &mut Sim) {
    sim.heal();
    sim.until("a leader in good weather", 600, |sim| sim.leader().is_some());
    let before = sim.acked.len();
    sim.until("a command in good weather", 600, |sim| {
        if let Some(leader) = sim.leader()
            && sim.now % 20 == 0
        {
            sim.propose(leader);
        }
        sim.acked.len() > before
    });
    sim.run(1500); // reads that found no quorum are refused after 20 ticks, lost snapshots sent again after 40
    sim.check_agreement();
}

#[test]
fn three_members_agree_through_every_storm() {
    let (mut acked, mut reads, mut snapshots) = (0, 0, 0);
    for seed in 0..120 {
        let sim = storm(seed, 3);
        (acked, reads, snapshots) = (acked + sim.acked.len(), reads + sim.reads, snapshots + sim.snapshots_installed);
    }
    // The storms must not be so wild that nothing happens in them, nor so mild that nobody falls behind.
    assert!(acked > 4000 && reads > 2000 && snapshots > 20, "{acked} acked, {reads} reads, {snapshots} snapshots");
}

#[test]
fn five_members_agree_through_every_storm() {
    for seed in 1000..1040 {
        storm(seed, 5);
    }
}

#[test]
fn a_seed_is_a_whole_history() {
    assert_eq!(storm(7, 3).digest, storm(7, 3).digest);
}

#[test]
fn a_dead_leader_is_soon_replaced() {
    for seed in 0..20 {
        let mut sim = Sim::new(seed, 3, CALM);
        sim.until("a first leader", 400, |sim| sim.leader().is_some());
        let leader = sim.leader().expect("just seen");
        sim.crash(leader);
        let at = sim.now;
        sim.until("a second leader", 400, |sim| sim.leader().is_some());
        // 6 + 2 * 3 % 11 = 12 ticks is the slowest timeout here, of 10 units each.
        assert!(sim.now - at < 140, "{} units", sim.now - at);
    }
}

/// Who is told that the leader's process is gone waits for no silence.
#[test]
fn a_leader_that_is_known_to_be_gone_is_replaced_at_once() {
    for seed in 0..20 {
        let mut sim = Sim::new(seed, 3, CALM);
        sim.until("a first leader", 400, |sim| sim.leader().is_some());
        sim.run(50);
        let leader = sim.leader().expect("just seen");
        sim.crash(leader);
        let at = sim.now;
        for id in sim.ids().into_iter().filter(|id| *id != leader) {
            sim.node(id).expect("alive").peer_gone(leader);
            sim.run(7); // not everybody hears of it at the same time
        }
        sim.until("a second leader", 400, |sim| sim.leader().is_some());
        assert!(sim.now - at < 40, "{} units", sim.now - at);
    }
}

#[test]
fn without_a_majority_nothing_is_committed_and_no_read_is_confirmed() {
    let mut sim = Sim::new(3, 3, CALM);
    sim.until("a leader", 400, |sim| sim.leader().is_some());
    let leader = sim.leader().expect("just seen");
    sim.run(50);
    for id in sim.ids().into_iter().filter(|id| *id != leader) {
        sim.crash(id);
    }
    sim.propose(leader);
    sim.read(leader);
    sim.run(600);
    assert_eq!((sim.acked.len(), sim.reads, sim.refused), (0, 0, 2));
    let status = sim.node(leader).expect("alive").status();
    assert!(!matches!(status.role, Role::Leader { .. }), "a leader without a quorum steps down");
    settle(&mut sim);
}

/// A voter lost its disk: a new member takes its place in one joint change, and is sent the snapshot that names it.
#[test]
fn a_new_member_replaces_one_that_lost_its_disk() {
    for seed in 0..30 {
        let mut sim = Sim::new(seed, 3, sim::Weather { crash: 0, partition: 0, ..STORM });
        sim.until("a leader", 2000, |sim| sim.leader().is_some());
        for _ in 0..40 {
            if let Some(leader) = sim.leader() {
                sim.propose(leader);
            }
            sim.run(5);
        }
        let lost = sim.ids().into_iter().find(|id| Some(*id) != sim.leader()).expect("three members");
        sim.members.remove(&lost);
        let new = RaftId(99);
        sim.add(new, sim::Disk::default());
        change_until(&mut sim, &[Change::AddLearner(new)], |m| m.learners.contains(&new));
        change_until(&mut sim, &[Change::Promote(new), Change::Remove(lost)], |m| {
            m.voters.contains(&new) && !m.voters.contains(&lost) && m.outgoing.is_empty()
        });
        assert!(sim.snapshots_installed > 0, "the new member starts from a snapshot");
        settle(&mut sim);
    }
}

/// Proposes a change at whoever leads, until the leader's list shows it.
fn change_until(sim: &mut Sim, changes: &[Change], shown: impl Fn(&quorate_consensus::Members) -> bool) {
    sim.until("a change of members", 6000, |sim| {
        let Some(leader) = sim.leader() else { return false };
        if shown(&sim.node(leader).expect("leading").status().members) {
            return true;
        }
        if sim.now % 50 == 0 {
            let _ = sim.change(leader, changes);
        }
        false
    });
}

/// A member may be elected with its own removal in its log, of a leader that died over it: once that is applied it leads nobody any more.
#[test]
fn a_leader_that_was_removed_steps_down() {
    let mut outside = 0;
    for seed in 0..120 {
        let mut sim = Sim::new(seed, 5, CALM);
        sim.until("a leader", 400, |sim| sim.leader().is_some());
        let first = sim.leader().expect("just seen");
        let removed = sim.ids().into_iter().find(|id| *id != first).expect("five members");
        sim.change(first, &[Change::Remove(removed)]).expect("a sound change");
        sim.run(1 + seed % 6);
        sim.crash(first);
        let leads_outside = |sim: &mut Sim| {
            let leader = sim.leader().filter(|leader| *leader != first)?;
            Some(!sim.node(leader)?.status().members.voters.contains(&leader))
        };
        for _ in 0..300 {
            sim.run(1);
            outside += u32::from(leads_outside(&mut sim) == Some(true));
        }
        sim.until("a leader with a vote", 2000, |sim| leads_outside(sim) == Some(false));
    }
    assert!(outside > 0, "none was elected with its removal before it");
}

#[test]
fn unsafe_changes_are_refused() {
    let mut sim = Sim::new(5, 3, CALM);
    sim.until("a leader", 400, |sim| sim.leader().is_some());
    let leader = sim.leader().expect("just seen");
    let mut check = |changes: &[Change], why: &'static str| {
        assert_eq!(sim.change(leader, changes), Err(Refused::Members(why)));
    };
    check(&[], "nothing to change");
    check(&[Change::Promote(RaftId(9))], "only a learner can be promoted");
    check(&[Change::AddLearner(RaftId(2))], "it is a member already");
    check(&[Change::AddLearner(RaftId(0))], "member 0 does not exist");
    check(&[Change::Remove(RaftId(9))], "it is not a member");
    check(&[Change::Remove(leader)], "the leader does not remove itself: transfer first");
    check(&[Change::AddLearner(RaftId(9)), Change::AddLearner(RaftId(9))], "one member is named twice");
    // A learner that nobody can reach does not become a voter.
    sim.change(leader, &[Change::AddLearner(RaftId(9))]).expect("a sound change");
    assert!(matches!(sim.change(leader, &[Change::Remove(RaftId(9))]), Err(Refused::Busy(_))));
    sim.run(100);
    let promoted = sim.change(leader, &[Change::Promote(RaftId(9))]);
    assert_eq!(promoted, Err(Refused::Members("the learner has not caught up")));
    let follower = sim.ids().into_iter().find(|id| *id != leader).expect("three members");
    assert_eq!(sim.change(follower, &[]), Err(Refused::NotLeader { leader: Some(leader) }));
}

/// Honest messages with fields and bytes bent: refused or harmless, never a panic.
#[test]
fn no_message_panics_a_member() {
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut sim = Sim::new(seed, 3, sim::Weather { loss: 50, ..CALM });
        for _ in 0..60 {
            sim.run(10);
            if let Some(leader) = sim.leader() {
                sim.propose(leader);
                sim.read(leader);
            }
        }
        let tap = std::mem::take(&mut sim.tap);
        for _ in 0..400 {
            let (from, to, bytes) = &tap[rng.usize(..tap.len())];
            let bent = bend(bytes, &mut rng);
            if let Some(node) = sim.node(*to) {
                let taken = node.step(*from, &bent);
                node.tick();
                // The work that follows must be possible too.
                while let Some(batch) = sim.node(*to).and_then(|node| node.ready()) {
                    let saved: Result<_, ()> = batch.save(|_| Ok(()));
                    drop(saved.expect("nothing fails").finish());
                }
                assert!(!matches!(taken, Err(BadMessage::TooLarge)), "{taken:?}");
            }
        }
    }
}

fn bend(bytes: &[u8], rng: &mut fastrand::Rng) -> Vec<u8> {
    if rng.u32(..4) == 0 {
        let mut bent = bytes.to_vec();
        for _ in 0..=rng.usize(..3) {
            match bent.len() {
                0 => bent.push(rng.u8(..)),
                len => bent[rng.usize(..len)] = rng.u8(..),
            }
        }
        bent.truncate(rng.usize(..=bent.len()));
        return bent;
    }
    let mut message = Message::decode(bytes).expect("an honest message");
    let odd = [0, 1, 2, 3, 10, 40, 1 << 40, 1 << 60, u64::MAX][rng.usize(..9)];
    match rng.u32(..14) {
        0 => message.msg_type = rng.i32(-1..25),
        1 => message.term = message.term.wrapping_add(odd),
        2 => message.index = odd,
        3 => message.log_term = odd,
        4 => message.commit = odd,
        5 => message.reject = !message.reject,
        6 => message.reject_hint = odd,
        7 => message.request_snapshot = odd,
        8 => message.entries.push(Entry { index: odd, term: message.term, ..Default::default() }),
        9 => message.entries.truncate(1),
        10 => {
            for entry in &mut message.entries {
                entry.entry_type = rng.i32(..4);
                entry.data = vec![8, rng.u8(..), 18, 4, 8, rng.u8(..3), 16, rng.u8(..5)];
            }
        }
        11 => (message.commit, message.commit_term) = (odd, message.term),
        12 => message.context = b"CampaignTransfer".to_vec(),
        _ => {
            if let Some(meta) = message.snapshot.as_mut().and_then(|snapshot| snapshot.metadata.as_mut()) {
                meta.index = odd;
                meta.conf_state.get_or_insert_default().voters = vec![1, 2, odd];
            } else {
                message.msg_type = rng.i32(2..19);
            }
        }
    }
    message.encode_to_vec()
}
