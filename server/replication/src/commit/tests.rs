//! Transcripts, and a comparison with a slow model that keeps the whole history of acknowledgements.

use proptest::prelude::*;

use super::*;

const ME: u8 = 0;

fn node(number: u8) -> NodeId {
    NodeId::parse(format!("{number:040x}").as_bytes()).expect("hexadecimal")
}

fn link(number: u8) -> ReplicaId {
    ReplicaId(number.into())
}

/// Voters 0 (this node) to `voters - 1`.
fn config(version: u64, copies: usize, voters: u8, acks: Acks) -> VotingConfig {
    let durability = if copies == 0 { Durability::Async } else { Durability::Quorum { copies } };
    VotingConfig::new(version, durability, (0..voters).map(node).collect(), acks, None).expect("it makes sense")
}

fn begun(copies: usize, voters: u8, acks: Acks) -> Commit {
    let mut commit = Commit::begin(node(ME), Epoch(5), config(1, copies, voters, acks), Offset(10));
    for number in 1..voters {
        commit.joined(link(number), node(number));
    }
    commit
}

fn received(offset: u64) -> Copy {
    Copy { received: Offset(offset), held: Offset(offset), synced: Offset(0) }
}

/// Runs words against a mastership of epoch 5 whose barrier ends at 10: `w50` this node has written up to 50, `s50` and synced it, `a1:50` node 1
/// acknowledged 50 (`a1:50:40` synced 40), `o1:50` in an older epoch, `x1` its link ended, `j1` it is back, `c2:3:5` config 2 with 3 copies among 5
/// voters. Shown behind each: committed/confirmed/version in force.
fn check(mut commit: Commit, words: &str, expected: &str) {
    let (mut own, mut seen, acks) = (Copy::default(), Vec::new(), commit.config().acks());
    for word in words.split_whitespace() {
        let (verb, rest) = word.split_at(1);
        let numbers: Vec<u64> = rest.split(':').map(|number| number.parse().expect("a number")).collect();
        let at = |index: usize| numbers.get(index).copied().unwrap_or(0);
        let copy = Copy { received: Offset(at(1)), held: Offset(at(1)), synced: Offset(at(2)) };
        match verb {
            "w" => (own.received, own.held) = (Offset(at(0)), Offset(at(0))),
            "s" => own.synced = Offset(at(0)),
            "a" => commit.acked(link(at(0) as u8), Epoch(5), copy),
            "o" => commit.acked(link(at(0) as u8), Epoch(4), copy),
            "x" => commit.left(link(at(0) as u8)),
            "j" => commit.joined(link(at(0) as u8), node(at(0) as u8)),
            "c" => commit.adopt(config(at(0), at(1) as usize, at(2) as u8, acks)).expect("newer"),
            other => panic!("unknown word {other}"),
        }
        commit.advance(own.received.max(Offset(10)), own);
        seen.push(format!("{}/{}/{}", commit.committed(), commit.confirmed(), commit.in_force()));
    }
    assert_eq!(seen.join(" "), expected, "{words}");
}

/// I3: the W-th largest, this node's included.
#[test]
fn a_write_is_committed_when_enough_voters_hold_it() {
    check(begun(2, 3, Acks::Received), "w50 a1:20 a2:30 a1:50", "0/0/0 20/20/1 30/30/1 50/50/1");
    check(begun(3, 3, Acks::Received), "w50 a1:20 a2:30 a1:50", "0/0/0 0/0/0 20/20/1 30/30/1");
    check(begun(1, 3, Acks::Received), "w50 a1:20 a2:50", "50/50/1 50/50/1 50/50/1");
    check(begun(3, 5, Acks::Received), "w50 a1:20 a2:30 a4:40", "0/0/0 0/0/0 20/20/1 30/30/1");
}

/// I7: of two voters a later master needs the promise of one, so a read is confirmed by both: alone, a master that is cut off would not hear of its successor.
#[test]
fn a_read_is_confirmed_by_as_many_as_a_write() {
    check(begun(2, 2, Acks::Received), "w50 a1:20 x1 w60", "0/0/0 20/20/1 20/20/1 20/20/1");
}

/// A node whose log is synced before it acknowledges holds less than it has received: a marker is confirmed by the latter.
#[test]
fn what_is_received_confirms_and_what_is_held_commits() {
    let mut commit = begun(2, 3, Acks::Received);
    commit.acked(link(1), Epoch(5), Copy { received: Offset(50), held: Offset(20), synced: Offset(20) });
    commit.advance(Offset(50), Copy { received: Offset(50), ..Copy::default() });
    assert_eq!((commit.committed(), commit.confirmed()), (Offset(0), Offset(0)));
    commit.advance(Offset(50), Copy { received: Offset(50), held: Offset(30), ..Copy::default() });
    assert_eq!((commit.committed(), commit.confirmed()), (Offset(20), Offset(50)));
}

/// I3: by fsync, this node's own disk included; a marker needs no disk.
#[test]
fn acknowledgements_by_fsync() {
    check(begun(2, 3, Acks::Synced), "w50 a1:50:0 a1:50:40 s45 a2:50:50", "0/0/0 0/0/0 0/0/0 40/50/1 45/50/1");
}

/// I5: whatever was written before the barrier is committed with it and not alone.
#[test]
fn the_barrier_comes_first() {
    check(begun(2, 3, Acks::Received), "w10 a1:9 a2:9 a1:10", "0/0/0 0/0/0 0/0/0 10/10/1");
}

/// I2: an acknowledgement of another epoch counts for nothing.
#[test]
fn only_this_epochs_acknowledgements_count() {
    check(begun(2, 3, Acks::Received), "w50 o1:50 a1:30", "0/0/0 0/0/0 30/30/1");
}

/// I10: whoever comes back may hold less than it once said. What was committed stays so.
#[test]
fn an_acknowledgement_goes_with_its_link() {
    check(
        begun(3, 3, Acks::Received),
        "w50 a1:50 x1 a2:50 j1 a1:20 a1:50",
        "0/0/0 0/0/0 0/0/0 0/0/0 0/0/0 20/20/1 50/50/1",
    );
}

/// I9: a config counts at once and is in force once it covers what was acknowledged before.
#[test]
fn a_config_is_in_force_when_it_covers_what_was_acknowledged() {
    let joined = |mut commit: Commit| {
        commit.joined(link(3), node(3));
        commit.joined(link(4), node(4));
        commit
    };
    check(
        joined(begun(2, 3, Acks::Received)),
        "w50 a1:50 c2:3:4 a3:49 a3:50 w60 a1:60 a3:60",
        "0/0/0 50/50/1 50/50/1 50/50/1 50/50/2 50/50/2 50/50/2 60/60/2",
    );
    // From async: everything that was written may have been acknowledged.
    check(
        begun(0, 3, Acks::Received),
        "w50 c2:2:3 a1:49 a2:50 w60 c3:0:3",
        "50/50/1 50/50/1 50/50/1 50/50/2 50/50/2 60/60/3",
    );
    // A second change before the first is in force: nothing is forgotten.
    check(
        joined(begun(0, 3, Acks::Received)),
        "w50 c2:2:3 c3:3:4 a1:50 a3:30 a3:50",
        "50/50/1 50/50/1 50/50/1 50/50/1 50/50/1 50/50/3",
    );
}

#[test]
fn an_older_or_other_config_is_refused() {
    let mut commit = begun(2, 3, Acks::Received);
    assert_eq!(commit.adopt(config(1, 2, 3, Acks::Received)), Ok(()));
    assert_eq!(commit.adopt(config(1, 3, 3, Acks::Received)), Err(NotAdopted::Differs(1)));
    commit.adopt(config(4, 3, 3, Acks::Received)).expect("newer");
    assert_eq!(commit.adopt(config(3, 2, 3, Acks::Received)), Err(NotAdopted::Older(4)));
    let voters = |count: u8| (0..count).map(node).collect::<Vec<_>>();
    let quorum = |copies, voters| VotingConfig::new(1, Durability::Quorum { copies }, voters, Acks::Received, None);
    assert_eq!(quorum(4, voters(3)), Err(BadConfig::Copies { copies: 4, voters: 3 }));
    assert_eq!(quorum(0, voters(3)), Err(BadConfig::Copies { copies: 0, voters: 3 }));
    assert_eq!(quorum(1, vec![node(1), node(1)]), Err(BadConfig::Twice(node(1))));
    assert_eq!(quorum(1, voters(65)), Err(BadConfig::TooMany(65)));
}

/// A master that is no voter (it is being replaced) counts for nothing.
#[test]
fn a_master_that_is_no_voter_does_not_count() {
    let voters = vec![node(1), node(2), node(3)];
    let config = VotingConfig::new(1, Durability::Quorum { copies: 2 }, voters, Acks::Received, None);
    let mut commit = Commit::begin(node(ME), Epoch(5), config.expect("it makes sense"), Offset(10));
    commit.joined(link(1), node(1));
    commit.joined(link(2), node(2));
    check(commit, "w50 a1:50 a2:40", "0/0/0 0/0/0 40/40/1");
}

/// A node that dialled again may be heard over its older link after the newer one: that takes nothing away, and ends soon.
#[test]
fn a_node_counts_by_its_newest_link() {
    let mut commit = begun(2, 3, Acks::Received);
    commit.joined(link(12), node(2));
    commit.joined(link(11), node(2));
    commit.acked(link(12), Epoch(5), received(50));
    commit.left(link(11));
    commit.advance(Offset(50), received(50));
    assert_eq!(commit.committed(), Offset(50));
    commit.joined(link(13), node(2));
    commit.advance(Offset(60), received(60));
    commit.acked(link(12), Epoch(5), received(60));
    commit.advance(Offset(60), received(60));
    assert_eq!(commit.committed(), Offset(50), "the older one tells of nothing any more");
}

/// I13: all of them, each over a link that is up.
#[test]
fn everybody_has_received() {
    let mut commit = begun(0, 3, Acks::Received);
    commit.advance(Offset(50), received(50));
    assert_eq!(commit.all_received(), Some(Offset(0)));
    commit.acked(link(1), Epoch(5), received(40));
    commit.acked(link(2), Epoch(5), received(30));
    assert_eq!(commit.all_received(), Some(Offset(30)));
    commit.left(link(2));
    assert_eq!(commit.all_received(), None);
    let mut alone = begun(0, 1, Acks::Received);
    alone.advance(Offset(50), received(50));
    assert_eq!(alone.all_received(), Some(Offset(50)));
}

/// What happens to a mastership.
#[derive(Clone, Debug)]
enum Step {
    Write(u64),
    Sync,
    Ack { node: u8, back: u64, epoch: u64 },
    Cut(u8),
    Join(u8),
    Adopt { copies: usize, voters: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1..30_u64).prop_map(Step::Write),
        Just(Step::Sync),
        (1..6_u8, 0..40_u64, 4..6_u64).prop_map(|(node, back, epoch)| Step::Ack { node, back, epoch }),
        (1..6_u8).prop_map(Step::Cut),
        (1..6_u8).prop_map(Step::Join),
        (0..6_usize, 1..7_u8).prop_map(|(copies, voters)| Step::Adopt { copies, voters }),
    ];
    prop::collection::vec(step, 0..80)
}

/// The obvious way: who holds what is a table, and every question is answered by trying each offset and counting.
struct Model {
    acks: Acks,
    own: Copy,
    held: Vec<Option<Copy>>,
    committed: u64,
}

impl Model {
    fn holds(&self, voter: u8, offset: u64, acks: Acks) -> bool {
        let copy = if voter == ME { Some(self.own) } else { self.held[usize::from(voter)] };
        copy.is_some_and(|copy| copy.by(acks) >= Offset(offset))
    }

    fn count(&self, config: &VotingConfig, offset: u64, acks: Acks) -> usize {
        (0..6).filter(|number| config.has(&node(*number)) && self.holds(*number, offset, acks)).count()
    }

    fn step(&mut self, config: &VotingConfig) {
        let written = self.own.received.0;
        let reached = (10..=written).rev().find(|offset| match config.durability() {
            Durability::Async => true,
            Durability::Quorum { copies } => self.count(config, *offset, self.acks) >= copies,
        });
        self.committed = self.committed.max(reached.unwrap_or(0));
    }
}

proptest! {
    /// I3, I5, I9 against the model.
    #[test]
    fn it_agrees_with_counting(steps in steps(), by_fsync in any::<bool>()) {
        let acks = if by_fsync { Acks::Synced } else { Acks::Received };
        let mut commit = begun(2, 3, acks);
        let mut model = Model { acks, own: received(10), held: vec![Some(Copy::default()); 6], committed: 0 };
        (3..6).for_each(|number| commit.joined(link(number), node(number)));
        let mut version = 1;
        // What the newest config has to cover before it is in force: the barrier, and whatever was acknowledged before it was adopted.
        let mut covers = 10;
        for step in steps {
            match step {
                Step::Write(bytes) => {
                    model.own.received = model.own.received.plus(bytes as usize);
                    model.own.held = model.own.received;
                }
                Step::Sync => model.own.synced = model.own.received,
                Step::Ack { node: number, back, epoch } => {
                    let received = Offset(model.own.received.0.saturating_sub(back));
                    let copy = Copy { received, held: received, synced: Offset(received.0.saturating_sub(back)) };
                    commit.acked(link(number), Epoch(epoch), copy);
                    if let Some(held) = &mut model.held[usize::from(number)] && epoch == 5 {
                        *held = held.max(copy);
                    }
                }
                Step::Cut(number) => {
                    commit.left(link(number));
                    model.held[usize::from(number)] = None;
                }
                Step::Join(number) => {
                    commit.joined(link(number), node(number));
                    model.held[usize::from(number)] = Some(Copy::default());
                }
                Step::Adopt { copies, voters } => {
                    version += 1;
                    let acknowledged = if commit.config().is_quorum() { model.committed } else { model.own.received.0 };
                    covers = covers.max(acknowledged);
                    let copies = copies.min(voters.into());
                    commit.adopt(config(version, copies, voters, acks)).expect("newer");
                }
            }
            let (before, was_in_force) = ((commit.committed(), commit.confirmed()), commit.in_force());
            commit.advance(model.own.received, model.own);
            model.step(commit.config());
            prop_assert!(commit.committed() >= before.0 && commit.confirmed() >= before.1);
            prop_assert_eq!(commit.committed(), Offset(model.committed));
            if commit.in_force() == version && was_in_force != version && commit.config().is_quorum() {
                prop_assert!(model.count(commit.config(), covers, acks) >= commit.config().copies());
            }
        }
    }
}

/// The switches that a simulation arms do what they say: each breaks its invariant, seen from here.
#[test]
fn every_fault_breaks_its_invariant() {
    use crate::faults::{Fault, arm};
    let seen = |fault: Fault, words: &str| {
        arm(Some(fault));
        let mut commit = begun(2, 3, Acks::Received);
        let mut own = Copy::default();
        for word in words.split_whitespace() {
            match word.split_once(':') {
                None => own = received(word.parse().expect("a number")),
                Some(("old", offset)) => {
                    commit.acked(link(1), Epoch(4), received(offset.parse().expect("a number")));
                }
                Some((_, offset)) => commit.acked(link(1), Epoch(5), received(offset.parse().expect("a number"))),
            }
            commit.advance(own.received.max(Offset(10)), own);
        }
        let found = (commit.committed().0, commit.in_force());
        arm(None);
        found
    };
    assert_eq!(seen(Fault::I3Copies, "50"), (50, 1));
    assert_eq!(seen(Fault::I3Early, "50"), (50, 1));
    assert_eq!(seen(Fault::I2Stream, "50 old:50"), (50, 1));
    assert_eq!(seen(Fault::I5Barrier, "10 a:9"), (9, 0));
    assert_eq!(seen(Fault::I9Force, "50"), (0, 1));
}
