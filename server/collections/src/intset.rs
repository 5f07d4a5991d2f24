//! A sorted array of integers in the narrowest of three widths: Redis's intset, byte for byte (so RDB files take it verbatim).
//!
//! ```text
//! width in bytes u32 (2, 4 or 8) | count u32 | integers, ascending          all little-endian
//! ```
//!
//! The width only ever grows. Insertion and removal move what follows; whoever lets the set grow long pays for it.
use crate::Malformed;
use crate::thin::{LEN_MAX, MARKED, PREFIX, Thin};
use std::fmt;

const HEADER: usize = 8;

/// A set of integers.
#[derive(Clone)]
#[repr(transparent)]
pub struct IntSet {
    held: Thin<MARKED>,
}

impl IntSet {
    /// An empty set.
    pub fn new() -> Self {
        let mut held = Thin::new(PREFIX + HEADER);
        held.rest_mut()[0] = 2;
        IntSet { held }
    }

    /// Takes untrusted bytes, an RDB's or DUMP's.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Malformed> {
        const BAD: Malformed = Malformed("intset");
        if bytes.len() < HEADER || bytes.len() > LEN_MAX - PREFIX {
            return Err(BAD);
        }
        let mut held = Thin::new(PREFIX + bytes.len());
        held.rest_mut().copy_from_slice(&bytes);
        let (set, body) = (IntSet { held }, bytes.len() - HEADER);
        if !matches!(set.width(), 2 | 4 | 8) || body % set.width() != 0 {
            return Err(BAD);
        }
        let stated = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        if stated as usize != body / set.width() || !set.iter().is_sorted_by(|a, b| a < b) {
            return Err(BAD);
        }
        Ok(set)
    }

    /// The set in Redis's format.
    pub fn as_bytes(&self) -> &[u8] {
        &self.held.bytes()[PREFIX..]
    }

    /// Bytes of the allocation.
    pub fn memory(&self) -> usize {
        self.held.room()
    }

    /// How many integers.
    pub fn len(&self) -> usize {
        (self.as_bytes().len() - HEADER) / self.width()
    }

    /// No integers?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Is `value` here?
    pub fn contains(&self, value: i64) -> bool {
        self.search(value).is_ok()
    }

    /// Adds `value`; false when it was here.
    pub fn insert(&mut self, value: i64) -> bool {
        if width_of(value) > self.width() {
            self.widen(width_of(value));
        }
        let Err(at) = self.search(value) else { return false };
        let (width, offset) = (self.width(), self.offset(at));
        let before = self.as_bytes().len();
        self.held.resize(PREFIX + before + width);
        let bytes = self.held.rest_mut();
        bytes.copy_within(offset..before, offset + width);
        bytes[offset..offset + width].copy_from_slice(&value.to_le_bytes()[..width]);
        self.restate();
        true
    }

    /// Removes `value`; false when it was not here.
    pub fn remove(&mut self, value: i64) -> bool {
        let Ok(at) = self.search(value) else { return false };
        let (from, to) = (self.offset(at), self.offset(at + 1));
        let bytes = self.held.rest_mut();
        bytes.copy_within(to.., from);
        let left = bytes.len() - (to - from);
        self.held.resize(PREFIX + left);
        self.restate();
        true
    }

    /// The integer of rank `at`, in ascending order.
    pub fn get(&self, at: usize) -> Option<i64> {
        let bytes = self.as_bytes();
        let from = HEADER + at.checked_mul(self.width())?;
        Some(match self.width() {
            2 => i64::from(i16::from_le_bytes(*bytes.get(from..)?.first_chunk()?)),
            4 => i64::from(i32::from_le_bytes(*bytes.get(from..)?.first_chunk()?)),
            _ => i64::from_le_bytes(*bytes.get(from..)?.first_chunk()?),
        })
    }

    /// One integer, all equally likely.
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<i64> {
        if self.is_empty() { None } else { self.get(rng.usize(..self.len())) }
    }

    /// Ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + Clone + '_ {
        (0..self.len()).map(|at| self.get(at).expect("below the length"))
    }

    fn width(&self) -> usize {
        let [low, rest @ ..] = self.as_bytes().first_chunk::<4>().expect("a header");
        usize::from(*low) | usize::from(rest[0] | rest[1] | rest[2]) << 8
    }

    fn offset(&self, at: usize) -> usize {
        HEADER + at * self.width()
    }

    /// The rank of `value`, or the one it would have.
    fn search(&self, value: i64) -> Result<usize, usize> {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = from.midpoint(to);
            match self.get(middle).expect("below the length").cmp(&value) {
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => to = middle,
            }
        }
        Err(from)
    }

    fn widen(&mut self, width: usize) {
        let mut wider = Thin::new(PREFIX + HEADER + self.len() * width);
        let (header, body) = wider.rest_mut().split_at_mut(HEADER);
        header[0] = width as u8;
        header[4..].copy_from_slice(&self.as_bytes()[4..HEADER]);
        for (to, value) in body.chunks_exact_mut(width).zip(self.iter()) {
            to.copy_from_slice(&value.to_le_bytes()[..width]);
        }
        self.held = wider;
    }

    fn restate(&mut self) {
        let count = u32::try_from(self.len()).expect("callers convert a set long before it has 2^32 integers");
        self.held.rest_mut()[4..HEADER].copy_from_slice(&count.to_le_bytes());
    }
}

impl PartialEq for IntSet {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
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

fn width_of(value: i64) -> usize {
    if i16::try_from(value).is_ok() {
        2
    } else if i32::try_from(value).is_ok() {
        4
    } else {
        8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[track_caller]
    fn check(values: &[i64], want: &[u8]) {
        let mut set = IntSet::new();
        values.iter().for_each(|&value| assert!(set.insert(value)));
        assert_eq!(set.as_bytes(), want, "{values:?}");
    }

    #[test]
    fn bytes_are_redis_s() {
        check(&[], &[2, 0, 0, 0, 0, 0, 0, 0]);
        check(&[3, -1], &[2, 0, 0, 0, 2, 0, 0, 0, 0xff, 0xff, 3, 0]);
        check(&[3, 65536], &[4, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 1, 0]);
        check(&[1 << 40], &[8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn hostile_bytes_are_refused() {
        let bad: [&[u8]; 8] = [
            &[],
            &[2, 0, 0, 0, 0, 0, 0],
            &[3, 0, 0, 0, 0, 0, 0, 0],
            &[2, 1, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0, 1, 0, 0, 0],
            &[2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0],
            &[2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 1, 0],
            &[2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 1, 0],
        ];
        for bytes in bad {
            assert_eq!(IntSet::from_bytes(bytes.to_vec()), Err(Malformed("intset")), "{bytes:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn behaves_like_a_sorted_set(steps in prop::collection::vec((any::<bool>(), -20..20i64, 0..60u32), 0..120)) {
            let (mut set, mut model) = (IntSet::new(), BTreeSet::new());
            let mut rng = fastrand::Rng::with_seed(3);
            for (inserts, value, shift) in steps {
                let value = if shift > 40 { value << shift } else { value };
                if inserts {
                    prop_assert_eq!(set.insert(value), model.insert(value));
                } else {
                    prop_assert_eq!(set.remove(value), model.remove(&value));
                }
                prop_assert_eq!(set.contains(value), inserts);
            }
            prop_assert_eq!(set.len(), model.len());
            prop_assert!(set.iter().eq(model.iter().copied()));
            prop_assert!(set.iter().rev().eq(model.iter().rev().copied()));
            prop_assert_eq!(set.get(set.len()), None);
            prop_assert_eq!(set.random(&mut rng).is_some_and(|value| model.contains(&value)), !model.is_empty());
            prop_assert_eq!(IntSet::from_bytes(set.as_bytes().to_vec()), Ok(set));
        }
    }
}
