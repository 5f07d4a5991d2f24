//! A list that only grows: RPUSH, LRANGE over all of it, and both in one MULTI.
//!
//! Every read must be a prefix of every longer one. The last read (the one that began last) is the truth against which losses are counted; a
//! value that an earlier read missed and the last one shows makes that read stale, not the value lost.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::breach::Breach;
use crate::history::{Call, End, Time, Value};
use crate::order::{Placed, breaches};
use crate::origins::{self, Sight};

/// A call on a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Appends a value.
    Append(Value),
    /// Appends a value and reads the whole list in the same transaction. Without an answer the list is not known (and empty here).
    AppendRead(Value, Vec<Value>),
    /// Read the whole list.
    Read(Vec<Value>),
}

impl Op {
    fn written(&self) -> Option<Value> {
        match self {
            Self::Append(value) | Self::AppendRead(value, _) => Some(*value),
            Self::Read(_) => None,
        }
    }

    fn seen(&self) -> Option<&[Value]> {
        match self {
            Self::AppendRead(_, list) | Self::Read(list) => Some(list),
            Self::Append(_) => None,
        }
    }
}

/// An answered read.
#[derive(Clone, Copy)]
struct Read<'a> {
    list: &'a [Value],
    began: Time,
    over: Time,
}

/// What is wrong with a list's history.
pub fn check(calls: &[Call<Op>]) -> Vec<Breach> {
    let mut reads: Vec<Read<'_>> = calls
        .iter()
        .filter(|call| call.acknowledged())
        .filter_map(|call| Some(Read { list: call.op.seen()?, began: call.began, over: call.over() }))
        .collect();
    reads.sort_by_key(|read| (read.began, read.over));
    let Some(last) = reads.last().copied() else { return Vec::new() };
    let mut found = Vec::new();
    found.extend(duplicates(&reads));
    found.extend(invented(calls, &reads));
    found.extend(calls.iter().filter_map(not_atomic));
    found.extend(losses(calls, last));
    found.extend(contradictions(&reads));
    found.extend(real_time(calls, &reads, last));
    found
}

fn duplicates(reads: &[Read<'_>]) -> Vec<Breach> {
    let mut doubled: BTreeMap<Value, Time> = BTreeMap::new();
    for read in reads {
        let mut seen = BTreeSet::new();
        for value in read.list.iter().filter(|value| !seen.insert(**value)) {
            doubled.entry(*value).or_insert(read.began);
        }
    }
    doubled.into_iter().map(|(value, read)| Breach::Duplicated { value, read }).collect()
}

fn invented(calls: &[Call<Op>], reads: &[Read<'_>]) -> Vec<Breach> {
    let writes = calls.iter().filter_map(|call| Some((call.op.written()?, (call.began, call.end)))).collect();
    let sight = |read: &Read<'_>, value: &Value| Sight { value: *value, began: read.began, over: read.over };
    origins::check(&writes, reads.iter().flat_map(|read| read.list.iter().map(move |value| sight(read, value))))
}

fn not_atomic(call: &Call<Op>) -> Option<Breach> {
    let Op::AppendRead(value, list) = &call.op else { return None };
    (call.acknowledged() && list.last() != Some(value)).then_some(Breach::NotAtomic { value: *value })
}

fn losses(calls: &[Call<Op>], last: Read<'_>) -> Vec<Breach> {
    let held: BTreeSet<Value> = last.list.iter().copied().collect();
    let gone = |call: &Call<Op>| {
        let value = call.op.written()?;
        let over = call.over();
        (over < last.began && !held.contains(&value)).then_some(Breach::Lost {
            value,
            acknowledged: over,
            read: last.began,
        })
    };
    calls.iter().filter_map(gone).collect()
}

/// Reads that are not a prefix of the next longer one: each read is told once.
fn contradictions(reads: &[Read<'_>]) -> Vec<Breach> {
    let mut by_length: Vec<&Read<'_>> = reads.iter().collect();
    by_length.sort_by_key(|read| (read.list.len(), read.began));
    let differs = |pair: &[&Read<'_>]| {
        let (short, long) = (pair[0], pair[1]);
        (!long.list.starts_with(short.list)).then_some(Breach::Contradiction { one: short.began, other: long.began })
    };
    by_length.windows(2).filter_map(differs).collect()
}

/// The order of effects, known from the longest read: an append stands where its value stands, a read after what it saw; an acknowledged
/// append that no read had to show stands after all of them. A lost one has no place: it is told of elsewhere.
fn real_time(calls: &[Call<Op>], reads: &[Read<'_>], last: Read<'_>) -> Vec<Breach> {
    let longest = reads.iter().max_by_key(|read| read.list.len()).map_or(&[][..], |read| read.list);
    let position: BTreeMap<Value, usize> = longest.iter().enumerate().map(|(index, value)| (*value, index)).collect();
    let place = |call: &Call<Op>| match &call.op {
        Op::Append(value) | Op::AppendRead(value, _) => match position.get(value) {
            _ if call.end == End::Refused => None,
            Some(index) => Some((index + 1, false)),
            None => (call.acknowledged() && call.over() >= last.began).then_some((usize::MAX, false)),
        },
        Op::Read(list) => call.acknowledged().then_some((list.len(), true)),
    };
    let placed: Vec<Placed<(usize, bool)>> = calls
        .iter()
        .enumerate()
        .filter_map(|(index, call)| {
            Some(Placed { began: call.began, over: call.over(), place: place(call)?, call: index })
        })
        .collect();
    breaches(calls, &placed, Op::written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Client;
    use crate::testing::{calls, linearizable, list, number, shown};

    /// `a1` appends 1, `r1,2` read [1, 2], `t2=1,2` appended 2 and read [1, 2] in one transaction.
    fn parse(word: &str) -> Op {
        match word.split_at(1) {
            ("a", value) => Op::Append(number(value)),
            ("r", values) => Op::Read(list(values)),
            ("t", rest) => {
                let (value, values) = rest.split_once('=').unwrap_or((rest, ""));
                Op::AppendRead(number(value), list(values))
            }
            other => panic!("{other:?}"),
        }
    }

    /// The list as a plain state, for the search. A transaction without an answer has no list that could disagree.
    fn step(state: &[Value], op: &Op) -> Option<Vec<Value>> {
        let mut next = state.to_vec();
        next.extend(op.written());
        let agrees = match op {
            Op::Append(_) => true,
            Op::AppendRead(_, list) => list.is_empty() || *list == next,
            Op::Read(list) => *list == next,
        };
        agrees.then_some(next)
    }

    #[track_caller]
    fn check(history: &str, expected: &str) {
        let calls = calls(history, parse);
        assert_eq!(shown(&super::check(&calls)), expected, "{history}");
        let search = linearizable(&calls, Vec::new(), |state: &Vec<Value>, op| step(state, op));
        assert_eq!(search, expected.is_empty(), "the search disagrees about {history}");
    }

    #[test]
    fn good_histories() {
        check("", "");
        check("a1 0..5", "");
        check("a1 0..5 a2 2..4 r2,1 6..7", "");
        check("t1=1 0..5 t2=1,2 3..9 r1 4..6 r1,2 10..11", "");
        check("r 0..1 a1 0..9 r 2..3 r1 4..5 r1 6..7", "");
        check("a1 0..! r 2..3", "");
    }

    #[test]
    fn unknown_outcomes_may_happen_late_once_or_never() {
        check("a1 0..? r 5..6 r1 7..8", "");
        check("a1 0..? a2 3..4 r2 5..6 r2,1 7..8", "");
        check("a1 0..? r 5..6", "");
        check("t1 0..? r 5..6 r1 7..8", "");
        check(
            "a1 0..? r1 5..6 r 7..8",
            "the read that began at 7 saw an older state than what was seen or acknowledged before",
        );
    }

    #[test]
    fn losses_are_counted_by_the_last_read() {
        check("a1 0..1 r 2..3", "1 was acknowledged at 1 and is not in the read that began at 2");
        check(
            "a1 0..1 a2 2..3 r 4..5 r2 6..7",
            "1 was acknowledged at 1 and is not in the read that began at 6; \
             the read that began at 4 saw an older state than what was seen or acknowledged before",
        );
        check(
            "a1 0..1 r 2..3 r1 4..5",
            "the read that began at 2 saw an older state than what was seen or acknowledged before",
        );
    }

    #[test]
    fn duplicates_disorder_and_invention_are_seen() {
        check("a1 0..1 r1,1 2..3", "1 stands more than once in the read that began at 2");
        check("a1 0..? r1,1 2..3", "1 stands more than once in the read that began at 2");
        check("a1 0..1 a2 2..3 r2,1 4..5", "2 took effect before 1, which was over before it began");
        check("a1 0..1 a2 2..3 r2 1..5", "2 took effect before 1, which was over before it began");
        check("a1 0..9 a2 0..9 r1 1..2 r2,1 3..4", "the reads that began at 1 and 3 contradict each other");
        check("r1 2..3", "1 was read (at 3) before anybody wrote it");
        check("a1 0..! r1 2..3", "1 was refused and yet is in the read that began at 2");
        check(
            "t1=1 0..9 t2=2,1 0..9",
            "the transaction that appended 2 did not read it as the last element; the reads that began at 0 and 0 contradict each other",
        );
    }

    /// Small random histories around a true order, many of them wrong: the judge and a search over all interleavings agree on each.
    #[test]
    fn agrees_with_a_search_over_all_interleavings() {
        let mut verdicts = [0; 2];
        for seed in 0..20_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let count = random.u64(2..5);
            let mut order: Vec<Value> = (1..=count).map(Value).collect();
            if random.u8(0..3) == 0 {
                random.shuffle(&mut order);
            }
            let mut calls = Vec::new();
            for at in 0..count + random.u64(1..5) {
                let (began, length) = (at * 3 + random.u64(0..6), random.u64(1..16));
                let mut seen = order[..random.usize(0..=order.len())].to_vec();
                if seen.len() > 1 && random.u8(0..6) == 0 {
                    seen.remove(random.usize(0..seen.len()));
                }
                let end = if random.u8(0..6) == 0 { End::Unknown } else { End::Ok(Time(began + length)) };
                let op = match at < count {
                    true if random.u8(0..4) == 0 && end != End::Unknown => Op::AppendRead(Value(at + 1), seen),
                    true => Op::Append(Value(at + 1)),
                    false => Op::Read(seen),
                };
                let end = if matches!(op, Op::Read(_)) { End::Ok(Time(began + length)) } else { end };
                calls.push(Call { client: Client(0), op, began: Time(began), end });
            }
            let found = super::check(&calls);
            // An empty list in an acknowledged transaction is wrong in itself; the search takes it for unknown.
            if calls.iter().any(|call| matches!(&call.op, Op::AppendRead(_, list) if list.is_empty())) {
                assert!(!found.is_empty(), "seed {seed}: {calls:#?}");
                continue;
            }
            assert_eq!(
                linearizable(&calls, Vec::new(), |state: &Vec<Value>, op| step(state, op)),
                found.is_empty(),
                "seed {seed}: {found:?} in {calls:#?}"
            );
            verdicts[usize::from(found.is_empty())] += 1;
        }
        assert!(verdicts.iter().all(|count| *count > 500), "{verdicts:?}");
    }
}
