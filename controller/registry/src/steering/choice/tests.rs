use super::*;
use crate::command::Entry;
use crate::names::{GroupName, UnixMs};
use crate::settings::{Durability, Settings};
use crate::sights::Sights;
use crate::voting::{Voting, VotingConfig};
use crate::{Command, Registry};

/// Node `letter` of the group: its address and its name.
fn key(letter: char) -> NodeKey {
    format!("10.0.0.1:{}", 7000 + letter as u16).parse().expect("a key")
}

fn id(letter: char) -> NodeId {
    format!("{:040x}", letter as u32).parse().expect("40 digits")
}

/// What a write needs in the group of master `a`.
#[derive(Debug, Clone, Copy)]
struct Terms {
    copies: u32,
    /// Nodes and voters, `a` among them.
    voters: &'static str,
}

const ASYNC: Terms = Terms { copies: 1, voters: "abc" };
/// Two promises are enough.
const TWO_OF_THREE: Terms = Terms { copies: 2, voters: "abc" };
/// Here as well, and two more may stay away.
const THREE_OF_FOUR: Terms = Terms { copies: 3, voters: "abcd" };

fn registry(terms: Terms) -> Registry {
    let (mut registry, group): (_, GroupName) = (Registry::default(), "main".parse().expect("a name"));
    let nodes =
        terms.voters[1..].chars().map(|letter| crate::command::NodeSpec { node: key(letter), tags: vec![] }).collect();
    let command =
        Command::MonitorGroup { group: group.clone(), master: key('a'), nodes, settings: Settings::default() };
    registry.apply(1, Entry { at: UnixMs(0), command }).expect("a new group");
    let durability = if terms.copies > 1 { Durability::Quorum } else { Durability::Async };
    let voters = terms.voters.chars().map(id).collect();
    let config = VotingConfig { version: 1, durability, copies: terms.copies, voters, ..VotingConfig::default() };
    registry.groups.get_mut(&group).expect("just made").voting = Voting::Settled(config);
    registry
}

/// `a 2/100?`: node `a` promised with data of epoch 2 at offset 100, whose end it does not vouch for. `-`: it holds nothing; `!`: its priority is 0;
/// `~`: it is loading.
fn promised(text: &str) -> (NodeKey, NodeFacts) {
    let (letter, said) = text.split_once(' ').expect("a letter and what it said");
    let letter = letter.chars().next().expect("a letter");
    let numbers: String = said.chars().filter(|c| c.is_ascii_digit() || *c == '/').collect();
    let (epoch, offset) = numbers.split_once('/').unwrap_or(("0", "0"));
    let facts = NodeFacts {
        node_id: id(letter).to_string(),
        data_known: !said.contains('-'),
        data_epoch: Epoch(epoch.parse().expect("an epoch")),
        offset: Offset(offset.parse().expect("an offset")),
        tail_unsure: said.contains('?'),
        loading: said.contains('~'),
        priority: if said.contains('!') { 0 } else { 100 },
        ..NodeFacts::untold(&letter.to_string())
    };
    (key(letter), facts)
}

fn check_in(terms: Terms, cause: Cause, wanted: Option<char>, elapsed_ms: u64, said: &[&str], expected: &str) {
    let (registry, sights) = (registry(terms), Sights::default());
    let (name, group) = registry.groups.iter().next().expect("one group");
    let view = View { now: Duration::from_secs(100), name, group, sights: &sights };
    let (wanted, from) = (wanted.map(key), key('a'));
    let phase = crate::failover::Phase::Collecting;
    let failover = Failover { epoch: Epoch(9), cause, wanted, from, began: UnixMs(0), phase };
    let promises: Vec<_> = said.iter().map(|text| promised(text)).collect();
    let promises: Vec<Promise<'_>> = promises.iter().map(|(node, facts)| (node, facts)).collect();
    let decision = match decide(view, &failover, &promises, Duration::from_millis(elapsed_ms)) {
        Decision::Wait => "wait".to_owned(),
        Decision::Nobody => "nobody".to_owned(),
        Decision::Choose(node, ground) => {
            let letter = ('a'..='d').find(|letter| key(*letter) == node).expect("a node of the group");
            format!("{letter} by {ground:?}")
        }
    };
    assert_eq!(decision, expected, "{terms:?} {cause:?} after {elapsed_ms} ms: {said:?}");
}

/// A handover from `a` to `b`, before patience ends.
fn check_handover(terms: Terms, said: &[&str], expected: &str) {
    check_in(terms, Cause::Planned, Some('b'), 10, said, expected);
}

/// I4, I10: the old master's promise ends a handover early only if it vouches for all that it acknowledged, and nobody holds more.
#[test]
fn a_handover_waits_for_nobody_once_the_candidate_holds_everything() {
    check_handover(TWO_OF_THREE, &["a 1/100", "b 1/100"], "b by Promises");
    check_handover(TWO_OF_THREE, &["a 1/100", "b 1/100", "c 1/90"], "b by Promises");
    check_handover(TWO_OF_THREE, &["a 1/100", "b 1/90"], "wait");
    check_handover(TWO_OF_THREE, &["b 1/100", "c 1/100"], "wait");
    // All have promised: the greatest it is, whoever was asked for.
    check_handover(TWO_OF_THREE, &["a 1/100", "b 1/100", "c 1/110"], "c by Promises");
    check_handover(TWO_OF_THREE, &["a 1/100", "b 1/100", "c 2/10"], "c by Promises");
}

/// The handover's pause ended by itself, clients were answered, and the old master lost its disk: what it promised with bounds nothing.
#[test]
fn an_old_master_that_lost_its_data_vouches_for_no_candidate() {
    check_handover(THREE_OF_FOUR, &["a 1/100", "b 1/100"], "b by Promises");
    check_handover(THREE_OF_FOUR, &["a -", "b 1/90", "c 1/110"], "wait");
    check_handover(THREE_OF_FOUR, &["a 1/90", "b 1/90", "c 1/110"], "wait");
    for lost in ["a -", "a 1/100?", "a 1/100~"] {
        check_handover(THREE_OF_FOUR, &[lost, "b 1/110", "c 1/90"], "wait");
        // Once nobody is waited for any more, the greatest of R voters that promised with data.
        check_in(THREE_OF_FOUR, Cause::Planned, Some('b'), 2000, &[lost, "b 1/90", "c 1/110"], "c by Promises");
    }
    check_in(TWO_OF_THREE, Cause::Planned, Some('b'), 2000, &["a -", "b 1/100"], "wait");
}

#[test]
fn the_greatest_of_enough_promises_is_chosen() {
    let down = Cause::Down { votes: 2 };
    let check = |said: &[&str], expected: &str| {
        check_in(TWO_OF_THREE, down, None, 10, &said[..said.len().min(1)], "wait");
        check_in(TWO_OF_THREE, down, None, 300, said, expected);
    };
    check(&["b 1/100", "c 1/110"], "c by Promises");
    check(&["b 2/10", "c 1/110"], "b by Promises");
    check(&["a 1/120", "b 1/100", "c 1/110"], "a by Promises");
    // R is two: one that holds nothing counts for nobody, and one that doubts its end only beside all the others.
    check(&["b 1/100", "c -"], "wait");
    check(&["b 1/100", "c 1/100?"], "wait");
    check(&["a 1/90", "b 1/100", "c 1/100?"], "b by Promises");
    // Who is barred leads until another has caught up.
    check(&["b 1/110!", "c 1/100"], "b by Interim");
    check_in(TWO_OF_THREE, down, None, 11_000, &["b 1/100"], "nobody");
    check_in(ASYNC, down, None, 300, &["b 1/100"], "b by Promises");
}

/// The old master is out, and holds what it acknowledged to nobody: R others are enough, and one that is barred is one of them.
#[test]
fn a_forced_failover_leaves_behind_what_the_master_alone_holds() {
    let check = |said: &[&str], expected: &str| check_in(TWO_OF_THREE, Cause::Forced, None, 300, said, expected);
    check(&["a 1/120", "b 1/100", "c 1/100"], "b by Promises");
    check(&["a 1/120", "b 1/100!", "c 1/100"], "c by Promises");
    check(&["a 1/120", "b 1/110!", "c 1/100"], "b by Interim");
    check(&["a 1/120", "b 1/110!", "c -"], "wait");
    check(&["a 1/120", "c 1/100"], "wait");
    // What the first two hold may have been acknowledged.
    check(&["a 1/120", "b 1/110?", "c 1/100"], "wait");
    check(&["a 1/120", "b 1/100!"], "wait");
}

#[test]
fn an_accepted_loss_goes_by_who_is_left() {
    let check = |wanted, elapsed_ms, said: &[&str], expected: &str| {
        check_in(TWO_OF_THREE, Cause::LossAccepted, wanted, elapsed_ms, said, expected);
    };
    check(None, 10, &["b 1/100"], "wait");
    check(None, 3100, &["b 1/100"], "b by LossAccepted");
    check(None, 3100, &["b 1/100", "c -"], "b by LossAccepted");
    check(Some('c'), 3100, &["c 1/90"], "c by LossAccepted");
    // Two promises suffice: nothing need be lost.
    check(Some('c'), 3100, &["b 1/100", "c 1/90"], "b by Promises");
    check(None, 3100, &["b 1/100", "c 1/0~"], "wait");
}
