//! A set that only grows: SADD and SMEMBERS.
//!
//! Any two reads must be comparable: one holds the other. The last read (the one that began last) is the truth against which losses are counted,
//! as for lists.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::breach::Breach;
use crate::history::{Call, End, Time, Value};
use crate::order::{Placed, breaches};
use crate::origins::{self, Sight};

/// A call on a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Adds a member.
    Add(Value),
    /// Read all members.
    Read(BTreeSet<Value>),
}

impl Op {
    fn added(&self) -> Option<Value> {
        match self {
            Self::Add(value) => Some(*value),
            Self::Read(_) => None,
        }
    }
}

/// An answered read.
#[derive(Clone, Copy)]
struct Read<'a> {
    members: &'a BTreeSet<Value>,
    began: Time,
    over: Time,
    call: usize,
}

/// What is wrong with a set's history. Empty: it is linearizable.
pub fn check(calls: &[Call<Op>]) -> Vec<Breach> {
    let mut reads: Vec<Read<'_>> = calls.iter().enumerate().filter_map(|(index, call)| read(index, call)).collect();
    reads.sort_by_key(|read| (read.began, read.over));
    let Some(last) = reads.last().copied() else { return Vec::new() };
    let mut found = invented(calls, &reads);
    found.extend(calls.iter().filter_map(|call| lost(call, last)));
    // From here on in the order in which the set grew.
    reads.sort_by_key(|read| read.members.len());
    found.extend(
        reads
            .windows(2)
            .filter(|pair| !pair[0].members.is_subset(pair[1].members))
            .map(|pair| Breach::Contradiction { one: pair[0].began, other: pair[1].began }),
    );
    found.extend(real_time(calls, &reads, last));
    found
}

fn read(index: usize, call: &Call<Op>) -> Option<Read<'_>> {
    match &call.op {
        Op::Read(members) if call.acknowledged() => {
            Some(Read { members, began: call.began, over: call.over(), call: index })
        }
        Op::Read(_) | Op::Add(_) => None,
    }
}

fn invented(calls: &[Call<Op>], reads: &[Read<'_>]) -> Vec<Breach> {
    let writes = calls.iter().filter_map(|call| Some((call.op.added()?, (call.began, call.end)))).collect();
    let sight = |read: &Read<'_>, value: &Value| Sight { value: *value, began: read.began, over: read.over };
    origins::check(&writes, reads.iter().flat_map(|read| read.members.iter().map(move |value| sight(read, value))))
}

fn lost(call: &Call<Op>, last: Read<'_>) -> Option<Breach> {
    let value = call.op.added()?;
    let acknowledged = call.over();
    let gone = acknowledged < last.began && !last.members.contains(&value);
    gone.then_some(Breach::Lost { value, acknowledged, read: last.began })
}

/// The order of effects, known from the reads in the order of their growth: an add stands right before the first read that shows it; an
/// acknowledged one that no read had to show stands after all of them. A lost one has no place: it is told of elsewhere.
fn real_time(calls: &[Call<Op>], grown: &[Read<'_>], last: Read<'_>) -> Vec<Breach> {
    let mut first_shown: BTreeMap<Value, (usize, bool)> = BTreeMap::new();
    let mut placed = Vec::new();
    for read in grown {
        let size = read.members.len();
        placed.push(Placed { began: read.began, over: read.over, place: (size, true), call: read.call });
        for value in read.members {
            first_shown.entry(*value).or_insert((size, false));
        }
    }
    for (index, call) in calls.iter().enumerate() {
        let Some(value) = call.op.added() else { continue };
        let place = match first_shown.get(&value) {
            _ if call.end == End::Refused => continue,
            Some(place) => *place,
            None if call.acknowledged() && call.over() >= last.began => (usize::MAX, false),
            None => continue,
        };
        placed.push(Placed { began: call.began, over: call.over(), place, call: index });
    }
    breaches(calls, &placed, Op::added)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Client;
    use crate::testing::{calls, linearizable, list, number, shown};

    /// `a1` adds 1, `r1,2` read {1, 2}.
    fn parse(word: &str) -> Op {
        match word.split_at(1) {
            ("a", value) => Op::Add(number(value)),
            ("r", values) => Op::Read(list(values).into_iter().collect()),
            other => panic!("{other:?}"),
        }
    }

    /// The set as a plain state, for the search.
    fn step(state: &BTreeSet<Value>, op: &Op) -> Option<BTreeSet<Value>> {
        match op {
            Op::Add(value) => Some(state.iter().copied().chain([*value]).collect()),
            Op::Read(members) => (members == state).then(|| state.clone()),
        }
    }

    #[track_caller]
    fn check(history: &str, expected: &str) {
        let calls = calls(history, parse);
        assert_eq!(shown(&super::check(&calls)), expected, "{history}");
        let search = linearizable(&calls, BTreeSet::new(), step);
        assert_eq!(search, expected.is_empty(), "the search disagrees about {history}");
    }

    #[test]
    fn good_histories() {
        check("", "");
        check("r 0..1 a1 2..3 a2 2..9 r1 4..5 r1,2 6..7 r1,2 10..11", "");
        check("a1 0..! r 2..3", "");
    }

    #[test]
    fn unknown_outcomes_may_happen_late_once_or_never() {
        check("a1 0..? a2 1..2 r2 3..4 r1,2 5..6", "");
        check("a1 0..? r 3..4", "");
        check(
            "a1 0..? r1 3..4 r 5..6",
            "the read that began at 5 saw an older state than what was seen or acknowledged before",
        );
    }

    #[test]
    fn losses_flicker_and_invention_are_seen() {
        check("a1 0..1 r 2..3", "1 was acknowledged at 1 and is not in the read that began at 2");
        check(
            "a1 0..1 r 2..3 r1 4..5",
            "the read that began at 2 saw an older state than what was seen or acknowledged before",
        );
        check("a1 0..9 a2 0..9 r1 1..2 r2 3..4 r1,2 10..11", "the reads that began at 1 and 3 contradict each other");
        check("a1 0..1 a2 2..3 r2 0..5", "2 took effect before 1, which was over before it began");
        check("r1 2..3", "1 was read (at 3) before anybody wrote it");
        check("a1 0..! r1 2..3", "1 was refused and yet is in the read that began at 2");
    }

    /// Small random histories, many of them wrong: the judge and a search over all interleavings agree on each.
    #[test]
    fn agrees_with_a_search_over_all_interleavings() {
        let mut verdicts = [0; 2];
        for seed in 0..20_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut members = BTreeSet::new();
            let mut calls = Vec::new();
            for at in 1..=random.u64(3..9) {
                let (began, length) = (at * 3 + random.u64(0..6), random.u64(1..16));
                let (op, end) = match random.u8(0..2) {
                    0 => {
                        let refused = random.u8(0..10) == 0;
                        members.insert(Value(at));
                        let end = [End::Ok(Time(began + length)), End::Unknown][usize::from(random.u8(0..5) == 0)];
                        (Op::Add(Value(at)), if refused { End::Refused } else { end })
                    }
                    _ => {
                        let mut seen = members.clone();
                        seen.retain(|_| random.u8(0..8) > 0);
                        (Op::Read(seen), End::Ok(Time(began + length)))
                    }
                };
                calls.push(Call { client: Client(0), op, began: Time(began), end });
            }
            let found = super::check(&calls);
            let search = linearizable(&calls, BTreeSet::new(), step);
            assert_eq!(search, found.is_empty(), "seed {seed}: {found:?} in {calls:#?}");
            verdicts[usize::from(found.is_empty())] += 1;
        }
        assert!(verdicts.iter().all(|count| *count > 500), "{verdicts:?}");
    }
}
