//! A set: an intset while all members are integers, a flat sequence while it is small (to clients a listpack), then a hash table.
//!
//! `intset --(too many)--> hashtable`, `intset --(a member that is no integer)--> listpack` or, past its
//! thresholds, `hashtable`; `listpack --(a member too long, too many)--> hashtable`. Never back.
//! Sources: `set-max-intset-entries`, `set-max-listpack-*`.

use super::{LISTPACK_BYTES_MAX, Malformed, check_distinct, walk::Either};
use crate::{Limits, StrRef};
use quorate_collections::{
    Apart, Compact, Flat, HashSeed, Leaf, Table,
    compact::View,
    flat::{COUNT_MAX, Part},
    intset::IntSet,
    listpack,
    text::{INT_TEXT_MAX, parse_int},
};
use std::fmt;

/// A set of distinct strings.
pub struct Set {
    inner: Compact<Flat, Table<Leaf>>,
}

impl Apart for Set {
    #[inline]
    fn prefetch(&self) {
        self.inner.prefetch();
    }
}

impl Set {
    /// An empty set.
    pub fn new() -> Self {
        Self { inner: Compact::ints(IntSet::new()) }
    }

    /// A set from an RDB file's intset; converted when past the thresholds.
    pub fn from_intset(members: IntSet, limits: &Limits) -> Result<Self, Malformed> {
        if members.is_empty() {
            return Err(Malformed::Empty);
        }
        let mut set = Self { inner: Compact::ints(members) };
        if set.len() > limits.set_max_intset_entries {
            set.enlarge(limits);
        }
        Ok(set)
    }

    /// A set from an RDB file's listpack of members; a table when past the thresholds.
    pub fn from_listpack(members: listpack::Iter<'_>, limits: &Limits) -> Result<Self, Malformed> {
        let count = members.clone().count();
        if count == 0 {
            return Err(Malformed::Empty);
        }
        check_distinct(members.clone())?;
        let longest = members.clone().map(|member| member.text_len()).max().unwrap_or(0);
        if count <= entries_max(limits) && longest <= limits.set_max_listpack_value {
            return Ok(Self { inner: Compact::small(Flat::from_parts(members.map(Part::of_element))) });
        }
        let mut set = Self::new();
        let table = set.enlarge(limits);
        for member in members {
            table.insert(Leaf::member(member.text(&mut [0; INT_TEXT_MAX])));
        }
        Ok(set)
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        match self.inner.view() {
            View::Ints(ints) => ints.len(),
            View::Small(members) => members.len(),
            View::Large(table) => table.len(),
        }
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `member` belongs to the set.
    pub fn contains(&self, member: &[u8]) -> bool {
        match self.inner.view() {
            View::Ints(ints) => parse_int(member).is_some_and(|number| ints.contains(number)),
            View::Small(members) => members.find::<0>(member).is_some(),
            View::Large(table) => table.contains(member),
        }
    }

    /// Adds a member; true when it is new.
    pub fn insert(&mut self, limits: &Limits, member: &[u8]) -> bool {
        if let View::Ints(ints) = self.inner.view_mut() {
            if let Some(number) = parse_int(member) {
                let new = ints.insert(number);
                if new && ints.len() > limits.set_max_intset_entries {
                    self.enlarge(limits);
                }
                return new;
            }
            self.leave_ints(limits, member);
        }
        if let View::Small(members) = self.inner.view_mut() {
            if members.find::<0>(member).is_some() {
                return false;
            }
            let fits = members.len() < entries_max(limits)
                && member.len() <= limits.set_max_listpack_value
                && members.byte_len() + member.len() <= LISTPACK_BYTES_MAX;
            if fits {
                members.push([Part::of(member)]);
                return true;
            }
        }
        self.enlarge(limits).find_or_insert(member, || Leaf::member(member)).1
    }

    /// Removes a member; true when it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self.inner.view_mut() {
            View::Ints(ints) => parse_int(member).is_some_and(|number| ints.remove(number)),
            View::Small(members) => match members.find::<0>(member) {
                Some(at) => {
                    members.remove(at, 1);
                    true
                }
                None => false,
            },
            View::Large(table) => table.remove(member).is_some(),
        }
    }

    /// Every member, in no particular order (integers of an intset ascend).
    pub fn iter(&self) -> impl Iterator<Item = StrRef<'_>> {
        match self.inner.view() {
            View::Ints(ints) => Either::Small(Either::Small(ints.iter().map(StrRef::Int))),
            View::Small(members) => Either::Small(Either::Large(members.iter())),
            View::Large(table) => Either::Large(table.iter().map(|member| StrRef::Bytes(member.key()))),
        }
    }

    /// A member at random; none of an empty set.
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<StrRef<'_>> {
        match self.inner.view() {
            View::Ints(ints) => ints.random(rng).map(StrRef::Int),
            View::Small(members) if members.is_empty() => None,
            View::Small(members) => members.nth(rng.usize(..members.len())).map(|at| members.get(at)),
            View::Large(table) => table.random(rng).map(|member| StrRef::Bytes(member.key())),
        }
    }

    /// One step of SSCAN; returns the next cursor, 0 at the end. A small encoding is visited whole.
    pub fn scan(&self, cursor: u64, visit: &mut dyn FnMut(StrRef<'_>)) -> u64 {
        match self.inner.view() {
            View::Large(table) => table.scan(cursor, &mut |member| visit(StrRef::Bytes(member.key()))),
            View::Ints(_) | View::Small(_) => {
                self.iter().for_each(visit);
                0
            }
        }
    }

    /// The integers, when the encoding is an intset.
    pub fn as_intset(&self) -> Option<&IntSet> {
        match self.inner.view() {
            View::Ints(ints) => Some(ints),
            _ => None,
        }
    }

    /// The encoding as OBJECT ENCODING names it: `intset`, `listpack` or `hashtable`.
    pub fn encoding_name(&self) -> &'static str {
        match self.inner.view() {
            View::Ints(_) => "intset",
            View::Small(_) => "listpack",
            View::Large(_) => "hashtable",
        }
    }

    /// Bytes on the heap.
    pub fn memory(&self) -> usize {
        match self.inner.view() {
            View::Ints(ints) => ints.memory(),
            View::Small(members) => members.memory(),
            View::Large(table) => table.memory() + table.iter().map(Leaf::memory).sum::<usize>(),
        }
    }

    /// An intset is about to take `coming`, which is no integer: it becomes a listpack, or a table if either does not fit one.
    fn leave_ints(&mut self, limits: &Limits, coming: &[u8]) {
        let View::Ints(ints) = self.inner.view() else { return };
        let ends = [ints.get(0), ints.len().checked_sub(1).and_then(|last| ints.get(last))];
        let longest = ends.into_iter().flatten().map(|end| StrRef::Int(end).text_len()).max().unwrap_or(0);
        let fits = ints.len() < entries_max(limits) && longest.max(coming.len()) <= limits.set_max_listpack_value;
        if !fits {
            self.enlarge(limits);
            return;
        }
        self.inner = Compact::small(Flat::from_parts(ints.iter().map(Part::Int)));
    }

    /// Takes the large encoding, if it is not there yet.
    fn enlarge(&mut self, limits: &Limits) -> &mut Table<Leaf> {
        if !matches!(self.inner.view(), View::Large(_)) {
            self.inner = Compact::large(self.to_table(limits.seed));
        }
        match self.inner.view_mut() {
            View::Large(table) => table,
            _ => unreachable!("just enlarged"),
        }
    }

    fn to_table(&self, seed: HashSeed) -> Table<Leaf> {
        let mut table = Table::new(seed);
        table.reserve(self.len());
        for member in self.iter() {
            table.insert(Leaf::member(member.text(&mut [0; INT_TEXT_MAX])));
        }
        table
    }
}

/// Most members of a small set.
fn entries_max(limits: &Limits) -> usize {
    limits.set_max_listpack_entries.min(COUNT_MAX)
}

impl Default for Set {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Set {
    fn clone(&self) -> Self {
        let inner = match self.inner.view() {
            View::Ints(ints) => Compact::ints(ints.clone()),
            View::Small(members) => Compact::small(members.clone()),
            View::Large(table) => Compact::large(self.to_table(table.seed())),
        };
        Self { inner }
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::testing::{limits, text};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set(members: impl IntoIterator<Item = String>) -> Set {
        let mut set = Set::new();
        members.into_iter().for_each(|member| {
            set.insert(&limits(), member.as_bytes());
        });
        set
    }

    #[test]
    fn encodings_change_at_the_thresholds() {
        let numbers = |count: usize| (0..count).map(|number| number.to_string());
        let words = |count: usize| (0..count).map(|number| format!("w{number}"));
        let (ints, pack) = (limits().set_max_intset_entries, limits().set_max_listpack_entries);
        assert_eq!(set(numbers(ints)).encoding_name(), "intset");
        assert_eq!(set(numbers(ints + 1)).encoding_name(), "hashtable");
        assert_eq!(set(words(pack)).encoding_name(), "listpack");
        assert_eq!(set(words(pack + 1)).encoding_name(), "hashtable");
        assert_eq!(set(numbers(pack - 1).chain(words(1))).encoding_name(), "listpack");
        assert_eq!(set(numbers(pack).chain(words(1))).encoding_name(), "hashtable");
        assert_eq!(set(["x".repeat(limits().set_max_listpack_value + 1)]).encoding_name(), "hashtable");
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(steps in prop::collection::vec((prop::bool::weighted(0.75), text()), 0..60)) {
            let mut set = Set::new();
            let mut model = BTreeSet::new();
            for (insert, member) in steps {
                match insert {
                    true => prop_assert_eq!(set.insert(&limits(), &member), model.insert(member)),
                    false => prop_assert_eq!(set.remove(&member), model.remove(&member)),
                }
                prop_assert_eq!(set.len(), model.len());
            }
            let copy = set.clone();
            for view in [&set, &copy] {
                let all: Vec<_> = view.iter().map(|member| member.to_vec()).collect();
                prop_assert_eq!(all.len(), model.len());
                prop_assert_eq!(&all.into_iter().collect::<BTreeSet<_>>(), &model);
            }
            let mut seen = BTreeSet::new();
            let mut cursor = 0;
            loop {
                cursor = set.scan(cursor, &mut |member| { seen.insert(member.to_vec()); });
                if cursor == 0 { break; }
            }
            prop_assert_eq!(&seen, &model);
            prop_assert!(model.iter().all(|member| set.contains(member)));
            let random = set.random(&mut fastrand::Rng::with_seed(1)).map(|member| member.to_vec());
            prop_assert_eq!(random.is_none(), model.is_empty());
            prop_assert!(random.is_none_or(|member| model.contains(&member)));
        }
    }
}
