//! Elements at random, as HRANDFIELD, SRANDMEMBER, ZRANDMEMBER and SPOP choose them.

use std::collections::BTreeSet;

use quorate_resp::parse_int;

use crate::Refusal;

/// Most elements that a negative count may ask for. Redis has no bound and answers until its memory ends.
const REPEATED_MAX: usize = 1 << 24;
/// Up to this length a collection is gone through once rather than drawn from: it may be a listpack, where each draw is a walk.
const WALKED_MAX: usize = 512;
/// A collection is drawn from when at most one in so many elements is wanted; else most draws would be repetitions.
const SPARSE: usize = 3;

/// What a count asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A count: so many different elements, or all.
    Distinct(usize),
    /// A negative count: exactly so many, the same one perhaps several times.
    Repeated(usize),
}

impl Wanted {
    /// Reads a count. Its bounds are Redis's: a negative one can be turned round.
    pub fn parse(count: &[u8]) -> Result<Wanted, Refusal> {
        const BOUNDS: Refusal = Refusal::fixed(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        );
        let count = parse_int(count).ok_or(Refusal::NotInteger)?;
        let size = usize::try_from(count.checked_abs().ok_or(BOUNDS)?).unwrap_or(usize::MAX);
        if count >= 0 {
            Ok(Wanted::Distinct(size))
        } else if size <= REPEATED_MAX {
            Ok(Wanted::Repeated(size))
        } else {
            Err(Refusal::OutOfRange)
        }
    }

    /// The same for a reply that shows each element with its value: twice as many must still be countable.
    fn parse_pairs(count: &[u8]) -> Result<Wanted, Refusal> {
        let wanted = Wanted::parse(count)?;
        match wanted {
            Wanted::Distinct(size) if size > i64::MAX as usize / 2 => Err(Refusal::OutOfRange),
            wanted => Ok(wanted),
        }
    }
}

/// What HRANDFIELD and ZRANDMEMBER ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Without a count, one element.
    pub wanted: Option<Wanted>,
    /// Is each element shown with its value?
    pub with_values: bool,
}

impl Asked {
    /// Reads `[count [<option>]]`, `option` being WITHVALUES or WITHSCORES.
    pub fn parse(words: &[&[u8]], option: &str) -> Result<Asked, Refusal> {
        let [count, options @ ..] = words else { return Ok(Asked { wanted: None, with_values: false }) };
        let wanted = Wanted::parse(count)?;
        match options {
            [] => Ok(Asked { wanted: Some(wanted), with_values: false }),
            [word] if word.eq_ignore_ascii_case(option.as_bytes()) => {
                Ok(Asked { wanted: Some(Wanted::parse_pairs(count)?), with_values: true })
            }
            _ => Err(Refusal::Syntax),
        }
    }
}

/// `count` different elements of a collection of `len`, every choice equally likely: `all` goes through it, `draw` takes one at random,
/// `name` tells elements apart.
pub(crate) fn distinct<T>(
    count: usize,
    len: usize,
    all: impl Iterator<Item = T>,
    mut draw: impl FnMut(&mut fastrand::Rng) -> T,
    name: impl Fn(&T) -> Vec<u8>,
    rng: &mut fastrand::Rng,
) -> Vec<T> {
    let count = count.min(len);
    let mut chosen = Vec::with_capacity(count);
    if len > WALKED_MAX && count <= len / SPARSE {
        let mut seen = BTreeSet::new();
        while chosen.len() < count {
            let drawn = draw(rng);
            if seen.insert(name(&drawn)) {
                chosen.push(drawn);
            }
        }
        return chosen;
    }
    // Knuth, The Art of Computer Programming 3.4.2, algorithm S.
    for (passed, element) in all.enumerate() {
        if rng.usize(..len - passed) < count - chosen.len() {
            chosen.push(element);
        }
    }
    chosen
}

/// Shows `count` elements of a collection of `len`, each drawn anew. A short collection is gone through once instead, as above.
pub(crate) fn repeated<T: Copy>(
    count: usize,
    len: usize,
    all: impl Iterator<Item = T>,
    mut draw: impl FnMut(&mut fastrand::Rng) -> T,
    rng: &mut fastrand::Rng,
    mut show: impl FnMut(T),
) {
    if len > WALKED_MAX {
        return (0..count).for_each(|_| show(draw(rng)));
    }
    let elements: Vec<T> = all.collect();
    (0..count).for_each(|_| show(elements[rng.usize(..len)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws often; every number must be chosen about equally often and never twice at once.
    #[track_caller]
    fn check(count: usize, len: usize) {
        let mut rng = fastrand::Rng::with_seed(4);
        let mut times = vec![0u32; len];
        let rounds = 100 * len / count.max(1);
        for _ in 0..rounds {
            let mut chosen =
                distinct(count, len, 0..len, |rng| rng.usize(..len), |n| n.to_be_bytes().to_vec(), &mut rng);
            assert_eq!(chosen.len(), count.min(len));
            chosen.iter().for_each(|&n| times[n] += 1);
            chosen.sort_unstable();
            chosen.dedup();
            assert_eq!(chosen.len(), count.min(len));
        }
        if count > 0 {
            assert!(times.iter().all(|times| (40..=160).contains(times)), "{count} of {len}: {times:?}");
        }
    }

    #[test]
    fn choices_are_fair_and_distinct() {
        check(0, 10);
        check(1, 10);
        check(7, 10);
        check(10, 10);
        check(1, 1);
        check(5, 600);
        check(200, 600);
        check(201, 600);
        check(599, 600);
    }

    #[test]
    fn repetitions_are_fair() {
        let mut rng = fastrand::Rng::with_seed(4);
        for len in [1, 7, 600] {
            let mut times = vec![0u32; len];
            repeated(100 * len, len, 0..len, |rng| rng.usize(..len), &mut rng, |n| times[n] += 1);
            assert_eq!(times.iter().sum::<u32>(), 100 * len as u32);
            assert!(times.iter().all(|times| (50..=150).contains(times)), "{len}: {times:?}");
        }
    }
}
