//! A register: GET, SET, and compare-and-set through WATCH and MULTI. Is its history linearizable?
//!
//! Values being unique, all calls that wrote or saw one value form a *cluster*, which is contiguous in every linearization. A compare-and-set
//! puts its value's cluster right behind the one that it replaced: clusters so tied form a *block* with a fixed inner order. Block A must stand
//! before B when some call of A was over before some call of B began; A and B each before the other is the one way to fail, since a longer cycle
//! always holds a shorter one: of a cycle's blocks take the one whose calls begin last, and the next block points back at it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::breach::{Breach, Seen};
use crate::history::{Call, End, Time, Value};
use crate::order::{Placed, against_real_time};
use crate::origins::{self, Sight};

/// A call on a register. A compare-and-set that found another value is no write: what it saw is a read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Read this (`None`: no value was there).
    Read(Option<Value>),
    /// Writes this, whatever is there.
    Write(Value),
    /// Writes `to` in the same instant in which `from` is there.
    Cas {
        /// What it replaces.
        from: Option<Value>,
        /// What it writes.
        to: Value,
    },
}

impl Op {
    fn written(&self) -> Option<Value> {
        match self {
            Self::Write(to) | Self::Cas { to, .. } => Some(*to),
            Self::Read(_) => None,
        }
    }

    fn replaced(&self) -> Option<Seen> {
        match self {
            Self::Cas { from, .. } => Some(Seen(*from)),
            Self::Read(_) | Self::Write(_) => None,
        }
    }
}

/// What is wrong with a register's history. Empty: it is linearizable.
pub fn check(calls: &[Call<Op>]) -> Vec<Breach> {
    let writes: Writes<'_> = calls.iter().filter_map(|call| Some((call.op.written()?, call))).collect();
    let mut found = invented(calls, &writes);
    if !found.is_empty() {
        return found;
    }
    let clusters = clusters(calls, &writes);
    let blocks = match blocks(&clusters, &writes) {
        Ok(blocks) => blocks,
        Err(breach) => return vec![breach],
    };
    for block in &blocks {
        found.extend(inner_order(block, &clusters));
    }
    let zones: Vec<Zone> = blocks.iter().map(|block| Zone::of(block, &clusters)).collect();
    found.extend(crossings(&zones));
    found
}

type Writes<'a> = BTreeMap<Value, &'a Call<Op>>;

/// What was seen, or replaced by a write that surely happened, has an origin.
fn invented(calls: &[Call<Op>], writes: &Writes<'_>) -> Vec<Breach> {
    let written = writes.iter().map(|(value, call)| (*value, (call.began, call.end))).collect();
    let sight = |call: &Call<Op>| match &call.op {
        Op::Read(seen) | Op::Cas { from: seen, .. } => {
            seen.map(|value| Sight { value, began: call.began, over: call.over() })
        }
        Op::Write(_) => None,
    };
    origins::check(&written, calls.iter().filter(|call| call.acknowledged()).filter_map(sight))
}

/// The calls that wrote or saw a value.
type Clusters<'a> = BTreeMap<Seen, Vec<&'a Call<Op>>>;

/// The clusters of all that happened: acknowledged writes, and unknown ones that were seen. Of an unknown write that nobody saw, nothing is left.
fn clusters<'a>(calls: &'a [Call<Op>], writes: &Writes<'a>) -> Clusters<'a> {
    let mut clusters = Clusters::from([(Seen(None), Vec::new())]);
    let mut happened: Vec<Seen> = Vec::new();
    for call in calls.iter().filter(|call| call.acknowledged()) {
        match &call.op {
            Op::Read(seen) => {
                clusters.entry(Seen(*seen)).or_default().push(call);
                happened.push(Seen(*seen));
            }
            Op::Write(to) | Op::Cas { to, .. } => happened.push(Seen(Some(*to))),
        }
    }
    let mut written = BTreeSet::new();
    while let Some(seen) = happened.pop() {
        let Some(write) = seen.0.and_then(|value| writes.get(&value)) else { continue };
        if write.end != End::Refused && written.insert(seen) {
            clusters.entry(seen).or_default().push(write);
            happened.extend(write.op.replaced());
        }
    }
    clusters
}

/// Ties clusters into blocks. Every cluster is in exactly one.
fn blocks(clusters: &Clusters<'_>, writes: &Writes<'_>) -> Result<Vec<Vec<Seen>>, Breach> {
    let mut next: BTreeMap<Seen, Value> = BTreeMap::new();
    let mut heads = Vec::new();
    for seen in clusters.keys() {
        let write = seen.0.and_then(|value| Some((value, writes.get(&value)?)));
        match write.and_then(|(value, write)| Some((value, write.op.replaced()?))) {
            None => heads.push(*seen),
            Some((value, from)) => {
                // Known only by having been replaced, by a write whose outcome came to light: nobody sent it, or it was refused.
                if let (Some(value), false) = (from.0, clusters.contains_key(&from)) {
                    return Err(Breach::Invented { value, read: Time(u64::MAX) });
                }
                if let Some(other) = next.insert(from, value) {
                    return Err(Breach::Forked { one: other, other: value });
                }
            }
        }
    }
    let blocks: Vec<Vec<Seen>> = heads
        .into_iter()
        .map(|head| std::iter::successors(Some(head), |seen| next.get(seen).map(|value| Seen(Some(*value)))).collect())
        .collect();
    // Compare-and-sets in a ring: each replaced the next one's value, and none was first.
    let tied: BTreeSet<Seen> = blocks.iter().flatten().copied().collect();
    match next.iter().find(|(from, _)| !tied.contains(from)) {
        Some((from, to)) => Err(Breach::NotLinearizable { one: *from, other: Seen(Some(*to)) }),
        None => Ok(blocks),
    }
}

/// The order within a block is given: does real time agree?
fn inner_order(block: &[Seen], clusters: &Clusters<'_>) -> Vec<Breach> {
    let placed: Vec<Placed<usize>> = block
        .iter()
        .enumerate()
        .flat_map(|(place, seen)| {
            clusters[seen].iter().map(move |call| Placed { began: call.began, over: call.over(), place, call: place })
        })
        .collect();
    let crossed: BTreeSet<(usize, usize)> = against_real_time(&placed).into_iter().collect();
    crossed.into_iter().map(|(one, other)| Breach::NotLinearizable { one: block[one], other: block[other] }).collect()
}

/// A block in time: the first moment at which one of its calls was over, the last one at which one began. `None` is before all time.
#[derive(Clone, Copy)]
struct Zone {
    first_over: Option<Time>,
    last_began: Option<Time>,
    head: Seen,
}

impl Zone {
    fn of(block: &[Seen], clusters: &Clusters<'_>) -> Self {
        let calls = || block.iter().flat_map(|seen| &clusters[seen]);
        let head = block[0];
        // The register without a value was there before any call.
        let first_over = if head == Seen(None) { None } else { calls().map(|call| call.over()).min() };
        Self { first_over, last_began: calls().map(|call| call.began).max(), head }
    }

    /// Has the value surely been there for a while?
    fn is_forward(&self) -> bool {
        self.first_over < self.last_began
    }
}

/// Pairs of zones that must each stand before the other: two forward ones that overlap, or a backward one inside a forward one.
fn crossings(zones: &[Zone]) -> Vec<Breach> {
    let (mut forward, backward): (Vec<&Zone>, Vec<&Zone>) = zones.iter().partition(|zone| zone.is_forward());
    forward.sort_by_key(|zone| (zone.first_over, zone.last_began));
    let mut found = Vec::new();
    for pair in forward.windows(2).filter(|pair| pair[1].first_over < pair[0].last_began) {
        found.push(Breach::NotLinearizable { one: pair[0].head, other: pair[1].head });
    }
    for zone in backward {
        let before = forward.partition_point(|forward| forward.first_over < zone.last_began);
        if let Some(around) = before.checked_sub(1).map(|index| forward[index])
            && zone.first_over < around.last_began
        {
            found.push(Breach::NotLinearizable { one: around.head, other: zone.head });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Client;
    use crate::testing::{calls, linearizable, number, shown};

    /// `w1` writes 1, `r1` read 1, `r` read nothing, `c1>2` replaces 1 by 2, `c>1` sets 1 where nothing is.
    fn parse(word: &str) -> Op {
        let value = |text: &str| (!text.is_empty()).then(|| number(text));
        match word.split_at(1) {
            ("w", to) => Op::Write(number(to)),
            ("r", seen) => Op::Read(value(seen)),
            ("c", rest) => {
                let (from, to) = rest.split_once('>').expect("a compare-and-set has a '>'");
                Op::Cas { from: value(from), to: number(to) }
            }
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn check(history: &str, expected: &str) {
        let calls = calls(history, parse);
        assert_eq!(shown(&super::check(&calls)), expected, "{history}");
        assert_eq!(linearizable(&calls, None, step), expected.is_empty(), "the search disagrees about {history}");
    }

    /// The register as a plain state, for the search.
    fn step(state: &Option<Value>, op: &Op) -> Option<Option<Value>> {
        match op {
            Op::Read(seen) => (seen == state).then_some(*state),
            Op::Write(to) => Some(Some(*to)),
            Op::Cas { from, to } => (from == state).then_some(Some(*to)),
        }
    }

    #[test]
    fn good_histories() {
        check("", "");
        check("r 0..1 w1 2..3 r1 4..5 w2 4..9 r2 6..7 r2 10..11", "");
        check("w1 0..9 w2 0..9 r1 1..2 r2 3..4", "");
        check("c>1 0..1 c1>2 2..3 r2 4..5 w3 2..9 r3 10..11", "");
        check("c>1 0..9 c1>2 0..9 c2>3 0..9 r1 3..4 r3 5..6", "");
    }

    #[test]
    fn unknown_outcomes_may_happen_late_once_or_never() {
        check("w1 0..1 w2 2..? r1 3..4 r1 5..6 r2 7..8", "");
        check("w1 0..1 w2 2..? r1 3..4", "");
        check("w1 0..1 c1>2 2..? w3 4..5 r3 6..7", "");
        check("w1 0..1 c1>2 2..? c2>3 4..? r3 6..7", "");
        check("w1 0..1 c1>2 2..? r1 3..4 r2 5..6", "");
        check("w1 0..1 w2 2..? r2 3..4 r1 5..6", "1 and 2 were each in the register after the other");
    }

    #[test]
    fn a_read_that_goes_back_in_time_is_seen() {
        check("w1 0..1 w2 2..3 r1 4..5", "1 and 2 were each in the register after the other");
        check("w1 0..1 r 2..3", "nothing and 1 were each in the register after the other");
        check("w1 0..0 r 2..3", "nothing and 1 were each in the register after the other");
        check("w1 0..9 w2 0..9 r1 1..2 r2 3..4 r1 5..6", "1 and 2 were each in the register after the other");
    }

    #[test]
    fn refused_writes_and_values_from_nowhere_are_seen() {
        check("w1 0..! r1 2..3", "1 was refused and yet is in the read that began at 2");
        check("r1 2..3", "1 was read (at 3) before anybody wrote it");
        check("r1 2..3 w1 4..5", "1 was read (at 3) before anybody wrote it");
        check("c7>1 2..3", "7 was read (at 3) before anybody wrote it");
        check("c>1 0..! c>2 2..3", "");
        check("c7>1 2..? r1 4..5", &format!("7 was read (at {}) before anybody wrote it", u64::MAX));
    }

    #[test]
    fn compare_and_sets_succeed_once_and_in_order() {
        check("w1 0..1 c1>2 2..3 c1>3 2..3", "both 2 and 3 replaced the same value by compare-and-set");
        check("c>1 4..5 c1>2 2..3", "1 was read (at 3) before anybody wrote it");
        check("c1>2 0..9 c2>1 0..9", "1 and 2 were each in the register after the other");
        check(
            "w1 0..1 c1>2 2..9 w3 3..4 r3 5..6 r1 7..8 r2 10..11",
            "1 and 3 were each in the register after the other",
        );
        check("w1 0..1 c1>2 0..9 r2 2..3 r1 5..6", "2 and 1 were each in the register after the other");
    }

    /// Small random histories, most of them wrong: the zones and a search over all interleavings agree on each.
    #[test]
    fn agrees_with_a_search_over_all_interleavings() {
        let mut verdicts = [0; 2];
        for seed in 0..30_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut calls = Vec::new();
            let near = |random: &mut fastrand::Rng, at: u64| {
                let value = random.u64(at.saturating_sub(3)..at + 2);
                (value > 0).then_some(Value(value))
            };
            for at in 1..=random.u64(3..10) {
                let (began, length) = (at * 3 + random.u64(0..6), random.u64(1..16));
                let op = match random.u8(0..6) {
                    0..2 => Op::Write(Value(at)),
                    2 => Op::Cas { from: near(&mut random, at), to: Value(at) },
                    _ => Op::Read(near(&mut random, at)),
                };
                let end = match random.u8(0..8) {
                    0 => End::Unknown,
                    1 if random.bool() => End::Refused,
                    _ => End::Ok(Time(began + length)),
                };
                calls.push(Call { client: Client(0), op, began: Time(began), end });
            }
            let found = super::check(&calls);
            assert_eq!(linearizable(&calls, None, step), found.is_empty(), "seed {seed}: {found:?} in {calls:#?}");
            verdicts[usize::from(found.is_empty())] += 1;
        }
        assert!(verdicts.iter().all(|count| *count > 2_000), "{verdicts:?}");
    }
}
