//! A sorted array of integers, each kept as its distance from a base in the fewest bytes that all of them fit, one to eight.
//!
//! ```text
//! form u8: bytes a distance, and BASED if a base follows | base i64, unless it is 0 | distances, ascending     all little-endian
//! ```
//!
//! Sixteen identifiers that were given in a row take 16 bytes and a base, wherever they begin; Redis's intset, which files have, takes 2, 4
//! or 8 for each and is written and read here too. An integer that the form has no room for makes a new one; what the form could
//! hold beyond its members lies half below and half above them, so that members that come in order make few.
//! Insertion and removal move what follows; whoever lets the set grow long pays for it.
use crate::Malformed;
use crate::thin::{LEN_MAX, MARKED, PREFIX, Thin};
use std::fmt;

/// What stands before the base.
const HEADER: usize = PREFIX + 1;
const BASE: usize = size_of::<i64>();
const BASED: u8 = 0x10;
/// Bytes before the integers of Redis's intset: their width and their count.
const REDIS_HEADER: usize = 8;

/// A set of integers.
#[derive(Clone)]
#[repr(transparent)]
pub struct IntSet {
    held: Thin<MARKED>,
}

/// What a set consists of.
#[derive(Clone, Copy)]
struct Parts<'a> {
    base: i64,
    width: usize,
    distances: &'a [u8],
}

impl IntSet {
    /// An empty set.
    pub fn new() -> Self {
        let mut held = Thin::new(HEADER);
        held.rest_mut()[0] = 1;
        IntSet { held }
    }

    /// Takes untrusted bytes in Redis's format, an RDB's or DUMP's.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        const BAD: Malformed = Malformed("intset");
        let Some((header, body)) = bytes.split_first_chunk::<REDIS_HEADER>() else { return Err(BAD) };
        let [width @ (2 | 4 | 8), 0, 0, 0, count @ ..] = *header else { return Err(BAD) };
        let count = u32::from_le_bytes(count) as usize;
        // Here it takes no more than there, but for a base.
        if count.checked_mul(width.into()) != Some(body.len()) || body.len() > LEN_MAX - HEADER - BASE {
            return Err(BAD);
        }
        let values = body.chunks_exact(width.into()).map(|value| match *value {
            [low, high] => i64::from(i16::from_le_bytes([low, high])),
            [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
            _ => i64::from_le_bytes(value.try_into().expect("eight bytes")),
        });
        if !values.clone().is_sorted_by(|a, b| a < b) {
            return Err(BAD);
        }
        Ok(match (values.clone().next(), values.clone().next_back()) {
            (Some(first), Some(last)) => Self::formed(first, last, values),
            _ => Self::new(),
        })
    }

    /// The set in Redis's format.
    pub fn to_bytes(&self) -> Vec<u8> {
        let ends = [self.get(0), self.len().checked_sub(1).and_then(|last| self.get(last))];
        let width = ends.into_iter().flatten().map(redis_width).max().unwrap_or(2);
        let mut bytes = Vec::with_capacity(REDIS_HEADER + self.len() * width);
        bytes.extend_from_slice(&(width as u32).to_le_bytes());
        let count = u32::try_from(self.len()).expect("callers convert a set long before it has 2^32 integers");
        bytes.extend_from_slice(&count.to_le_bytes());
        for value in self.iter() {
            bytes.extend_from_slice(&value.to_le_bytes()[..width]);
        }
        bytes
    }

    /// Bytes of the allocation.
    pub fn memory(&self) -> usize {
        self.held.room()
    }

    /// How many integers.
    pub fn len(&self) -> usize {
        self.parts().len()
    }

    /// No integers?
    pub fn is_empty(&self) -> bool {
        self.parts().distances.is_empty()
    }

    /// Is `value` here?
    #[inline]
    pub fn contains(&self, value: i64) -> bool {
        self.parts().search(value).is_ok()
    }

    /// Adds `value`; false when it was here.
    pub fn insert(&mut self, value: i64) -> bool {
        let Err(at) = self.parts().search(value) else { return false };
        if self.parts().distance(value).is_none() {
            self.make_room(value);
        }
        let parts = self.parts();
        let (width, distance) = (parts.width, value.wrapping_sub(parts.base));
        let from = self.held.len() - parts.distances.len() + at * width;
        self.held.gap(from..from, width).copy_from_slice(&distance.to_le_bytes()[..width]);
        true
    }

    /// Removes `value`; false when it was not here.
    pub fn remove(&mut self, value: i64) -> bool {
        let parts = self.parts();
        let Ok(at) = parts.search(value) else { return false };
        let from = self.held.len() - parts.distances.len() + at * parts.width;
        let to = from + parts.width;
        self.held.gap(from..to, 0);
        true
    }

    /// The integer of rank `at`, in ascending order.
    pub fn get(&self, at: usize) -> Option<i64> {
        self.parts().get(at)
    }

    /// One integer, all equally likely.
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<i64> {
        if self.is_empty() { None } else { self.get(rng.usize(..self.len())) }
    }

    /// Ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + Clone + '_ {
        let parts = self.parts();
        (0..parts.len()).map(move |at| parts.get(at).expect("below the length"))
    }

    #[inline]
    fn parts(&self) -> Parts<'_> {
        let (&form, rest) = self.held.bytes()[PREFIX..].split_first().expect("every set has a form");
        let width = usize::from(form & !BASED);
        match rest.split_first_chunk::<BASE>() {
            Some((base, distances)) if form & BASED != 0 => Parts { base: i64::from_le_bytes(*base), width, distances },
            _ => Parts { base: 0, width, distances: rest },
        }
    }

    /// Takes a form that has room for `value`, too, which is not here.
    fn make_room(&mut self, value: i64) {
        let ends = (self.get(0), self.len().checked_sub(1).and_then(|last| self.get(last)));
        let (least, most) = (ends.0.unwrap_or(value).min(value), ends.1.unwrap_or(value).max(value));
        *self = Self::formed(least, most, self.iter());
    }

    /// A set of these values, ascending, with room for all from `least` to `most`.
    fn formed(least: i64, most: i64, values: impl ExactSizeIterator<Item = i64>) -> Self {
        let range = most.wrapping_sub(least) as u64;
        let width = (64 - range.leading_zeros() as usize).div_ceil(8).max(1);
        let spare = distance_max(width) - range;
        let base =
            if least >= 0 && most as u64 <= distance_max(width) { 0 } else { least.saturating_sub_unsigned(spare / 2) };
        let (based, base_len) = if base == 0 { (0, 0) } else { (BASED, BASE) };
        let mut held = Thin::new(HEADER + base_len + values.len() * width);
        let (form, rest) = held.rest_mut().split_first_mut().expect("room for the form");
        *form = width as u8 | based;
        let (to, distances) = rest.split_at_mut(base_len);
        to.copy_from_slice(&base.to_le_bytes()[..base_len]);
        for (to, value) in distances.chunks_exact_mut(width).zip(values) {
            to.copy_from_slice(&value.wrapping_sub(base).to_le_bytes()[..width]);
        }
        IntSet { held }
    }
}

impl Parts<'_> {
    fn len(self) -> usize {
        self.distances.len() / self.width
    }

    /// How far `value` lies above the base, if the form can say it.
    #[inline]
    fn distance(self, value: i64) -> Option<u64> {
        let distance = value.wrapping_sub(self.base) as u64;
        (value >= self.base && distance <= distance_max(self.width)).then_some(distance)
    }

    /// The rank of `value`, or the one it would have.
    #[inline]
    fn search(self, value: i64) -> Result<usize, usize> {
        match self.distance(value) {
            Some(distance) => match self.width {
                1 => search_in::<1>(self.distances, distance),
                2 => search_in::<2>(self.distances, distance),
                3 => search_in::<3>(self.distances, distance),
                4 => search_in::<4>(self.distances, distance),
                5 => search_in::<5>(self.distances, distance),
                6 => search_in::<6>(self.distances, distance),
                7 => search_in::<7>(self.distances, distance),
                _ => search_in::<8>(self.distances, distance),
            },
            None if value < self.base => Err(0),
            None => Err(self.len()),
        }
    }

    #[inline]
    fn get(self, at: usize) -> Option<i64> {
        let distance = match self.width {
            1 => nth::<1>(self.distances, at),
            2 => nth::<2>(self.distances, at),
            3 => nth::<3>(self.distances, at),
            4 => nth::<4>(self.distances, at),
            5 => nth::<5>(self.distances, at),
            6 => nth::<6>(self.distances, at),
            7 => nth::<7>(self.distances, at),
            _ => nth::<8>(self.distances, at),
        };
        distance.map(|distance| self.base.wrapping_add_unsigned(distance))
    }
}

fn search_in<const WIDTH: usize>(distances: &[u8], wanted: u64) -> Result<usize, usize> {
    let distances = distances.as_chunks::<WIDTH>().0;
    let at = distances.partition_point(|distance| wide(*distance) < wanted);
    if distances.get(at).is_some_and(|distance| wide(*distance) == wanted) { Ok(at) } else { Err(at) }
}

fn nth<const WIDTH: usize>(distances: &[u8], at: usize) -> Option<u64> {
    distances.as_chunks::<WIDTH>().0.get(at).map(|distance| wide(*distance))
}

#[inline]
fn wide<const WIDTH: usize>(distance: [u8; WIDTH]) -> u64 {
    let mut wide = [0; 8];
    wide[..WIDTH].copy_from_slice(&distance);
    u64::from_le_bytes(wide)
}

/// The largest distance of so many bytes, 1 to 8.
#[inline]
fn distance_max(width: usize) -> u64 {
    u64::MAX >> (64 - 8 * width)
}

/// Bytes that Redis keeps an integer in.
fn redis_width(value: i64) -> usize {
    if i16::try_from(value).is_ok() {
        2
    } else if i32::try_from(value).is_ok() {
        4
    } else {
        8
    }
}

impl PartialEq for IntSet {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for IntSet {}

impl fmt::Debug for IntSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Default for IntSet {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Inserts in this order, and compares what Redis would write and how many bytes are held.
    #[track_caller]
    fn check(values: &[i64], redis: &[u8], held: usize) {
        let mut set = IntSet::new();
        values.iter().for_each(|&value| assert!(set.insert(value)));
        assert_eq!(set.to_bytes(), redis, "{values:?}");
        assert_eq!(set.held.len(), held, "{values:?}");
    }

    #[test]
    fn bytes_for_files_are_redis_s_and_those_held_are_few() {
        check(&[], &[2, 0, 0, 0, 0, 0, 0, 0], 5);
        check(&[3, 200], &[2, 0, 0, 0, 2, 0, 0, 0, 3, 0, 200, 0], 7);
        check(&[3, -1], &[2, 0, 0, 0, 2, 0, 0, 0, 0xff, 0xff, 3, 0], 15);
        check(&[3, 65539], &[4, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 3, 0, 1, 0], 11);
        check(&[1 << 40], &[8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0], 14);
        let ends = [8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 255, 255, 255, 255, 255, 255, 255, 127];
        check(&[i64::MAX, i64::MIN], &ends, 29);
    }

    /// Members that come in a row, either way, make a new form a few times, not each time.
    #[test]
    fn forms_are_made_seldom() {
        for sign in [1, -1] {
            let (mut set, mut forms, mut form) = (IntSet::new(), 0, None);
            for step in 0..256 {
                assert!(set.insert(sign * (5_000_000_000 + step)));
                let now = (set.parts().base, set.parts().width);
                forms += usize::from(form.replace(now) != Some(now));
            }
            assert!(forms <= 9 && set.parts().width == 1, "{forms} forms, the last of {} bytes", set.parts().width);
        }
    }

    #[test]
    fn hostile_bytes_are_refused() {
        let bad: [&[u8]; 9] = [
            &[],
            &[2, 0, 0, 0, 0, 0, 0],
            &[3, 0, 0, 0, 0, 0, 0, 0],
            &[2, 1, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0, 1, 0, 0, 0],
            &[2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0],
            &[2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 1, 0],
            &[2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 1, 0],
            &[8, 0, 0, 0, 255, 255, 255, 255, 1, 0, 0, 0, 0, 0, 0, 0],
        ];
        for bytes in bad {
            assert_eq!(IntSet::from_bytes(bytes), Err(Malformed("intset")), "{bytes:?}");
        }
    }

    fn value() -> impl Strategy<Value = i64> {
        let ends = prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0)];
        let near = (ends, -3..=3i64).prop_map(|(end, step)| end.wrapping_add(step));
        let shifted = (-20..20i64, 0..60u32).prop_map(|(value, shift)| value << shift);
        prop_oneof![4 => -20..20i64, 2 => shifted, 2 => 70_000_000_000..70_000_000_300i64, 1 => near]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(120))]

        #[test]
        fn behaves_like_a_sorted_set(steps in prop::collection::vec((0..3u8, value()), 0..150)) {
            let (mut set, mut model) = (IntSet::new(), BTreeSet::new());
            let mut rng = fastrand::Rng::with_seed(3);
            for (kind, value) in steps {
                if kind > 0 {
                    prop_assert_eq!(set.insert(value), model.insert(value));
                } else {
                    prop_assert_eq!(set.remove(value), model.remove(&value));
                }
                prop_assert_eq!(set.contains(value), kind > 0);
            }
            prop_assert_eq!(set.len(), model.len());
            prop_assert!(set.iter().eq(model.iter().copied()));
            prop_assert!(set.iter().rev().eq(model.iter().rev().copied()));
            prop_assert_eq!(set.get(set.len()), None);
            prop_assert_eq!(set.random(&mut rng).is_some_and(|value| model.contains(&value)), !model.is_empty());
            prop_assert_eq!(IntSet::from_bytes(&set.to_bytes()), Ok(set));
        }
    }
}
