//! A hash: a flat sequence of fields and values while it is small, then a hash table. To clients and in files the small one is a listpack.
//!
//! `listpack --(a field or value too long, too many fields)--> hashtable`; never back. Source of both
//! thresholds: `hash-max-listpack-*`.

use super::{
    LISTPACK_BYTES_MAX, Malformed, check_distinct,
    walk::{Either, Pairs},
};
use crate::{Limits, StrRef};
use quorate_collections::{
    Apart, Compact, Flat, Leaf, Table,
    compact::Split,
    flat::{COUNT_MAX, Part},
    listpack::{self, Element, Writer},
};
use std::fmt;

/// Fields and their values.
pub struct Hash {
    inner: Compact<Flat, Table<Leaf>>,
}

impl Apart for Hash {
    #[inline]
    fn prefetch(&self) {
        self.inner.prefetch();
    }
}

impl Hash {
    /// An empty hash.
    pub fn new() -> Self {
        Self { inner: Compact::small(Flat::new()) }
    }

    /// A hash from an RDB file's listpack `field value field value …`; a table when past the thresholds.
    pub fn from_listpack(elements: listpack::Iter<'_>, limits: &Limits) -> Result<Self, Malformed> {
        let count = elements.clone().count();
        if count == 0 {
            return Err(Malformed::Empty);
        }
        if !count.is_multiple_of(2) {
            return Err(Malformed::Odd);
        }
        check_distinct(Pairs(elements.clone()).map(|(field, _)| field))?;
        let longest = elements.clone().map(|element| element.text_len()).max().unwrap_or(0);
        if count / 2 <= entries_max(limits) && longest <= limits.hash_max_listpack_value {
            return Ok(Self { inner: Compact::small(Flat::from_parts(elements.map(Part::of_element))) });
        }
        let mut hash = Self::new();
        let table = hash.enlarge(limits);
        for (field, value) in Pairs(elements) {
            table.insert(Leaf::field(field.text(&mut [0; _]), value));
        }
        Ok(hash)
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        match self.inner.split() {
            Split::Small(pairs) => pairs.len() / 2,
            Split::Large(table) => table.len(),
        }
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a field.
    pub fn get(&self, field: &[u8]) -> Option<StrRef<'_>> {
        match self.inner.split() {
            Split::Small(pairs) => {
                let value = pairs.next(pairs.find::<1>(field)?).expect("a field is followed by its value");
                Some(pairs.get(value))
            }
            Split::Large(table) => Some(pair(table.get(field)?).1),
        }
    }

    /// Whether the field exists.
    pub fn contains(&self, field: &[u8]) -> bool {
        match self.inner.split() {
            Split::Small(pairs) => pairs.find::<1>(field).is_some(),
            Split::Large(table) => table.contains(field),
        }
    }

    /// Sets a field; true when it is new.
    pub fn insert(&mut self, limits: &Limits, field: &[u8], value: &[u8]) -> bool {
        if let Split::Small(pairs) = self.inner.split_mut() {
            let longest = field.len().max(value.len());
            let bytes = pairs.byte_len() + field.len() + value.len();
            if longest <= limits.hash_max_listpack_value && bytes <= LISTPACK_BYTES_MAX {
                if let Some(at) = pairs.find::<1>(field) {
                    let at = pairs.next(at).expect("a field is followed by its value");
                    pairs.replace(at, Part::of(value));
                    return false;
                }
                if pairs.len() / 2 < entries_max(limits) {
                    pairs.push([Part::of(field), Part::of(value)]);
                    return true;
                }
            }
        }
        let table = self.enlarge(limits);
        let value = Element::of(value);
        let (leaf, new) = table.find_or_insert(field, || Leaf::field(field, value));
        if !new {
            leaf.set(value);
        }
        new
    }

    /// Removes a field; true when it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        match self.inner.split_mut() {
            Split::Small(pairs) => match pairs.find::<1>(field) {
                Some(at) => {
                    pairs.remove(at, 2);
                    true
                }
                None => false,
            },
            Split::Large(table) => table.remove(field).is_some(),
        }
    }

    /// Every field with its value: in order of insertion while small, in no particular order when large.
    pub fn iter(&self) -> impl Iterator<Item = (StrRef<'_>, StrRef<'_>)> {
        match self.inner.split() {
            Split::Small(pairs) => Either::Small(Pairs(pairs.iter())),
            Split::Large(table) => Either::Large(table.iter().map(pair)),
        }
    }

    /// A field at random, with its value; none of an empty hash.
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<(StrRef<'_>, StrRef<'_>)> {
        match self.inner.split() {
            Split::Small(_) if self.is_empty() => None,
            Split::Small(pairs) => {
                let field = pairs.nth(2 * rng.usize(..self.len())).expect("below the length");
                let value = pairs.next(field).expect("a field is followed by its value");
                Some((pairs.get(field), pairs.get(value)))
            }
            Split::Large(table) => table.random(rng).map(pair),
        }
    }

    /// One step of HSCAN; returns the next cursor, 0 at the end. A small encoding is visited whole.
    pub fn scan(&self, cursor: u64, visit: &mut dyn FnMut(StrRef<'_>, StrRef<'_>)) -> u64 {
        match self.inner.split() {
            Split::Small(pairs) => {
                Pairs(pairs.iter()).for_each(|(field, value)| visit(field, value));
                0
            }
            Split::Large(table) => table.scan(cursor, &mut |leaf| {
                let (field, value) = pair(leaf);
                visit(field, value);
            }),
        }
    }

    /// Whether the encoding is the small one.
    pub fn is_small(&self) -> bool {
        matches!(self.inner.split(), Split::Small(_))
    }

    /// The listpack of an RDB file, when the encoding is the small one.
    pub fn listpack(&self) -> Option<Vec<u8>> {
        let Split::Small(pairs) = self.inner.split() else { return None };
        let mut out = Writer::new(pairs.byte_len() + pairs.len() + 1);
        pairs.iter().for_each(|element| out.push(element));
        Some(out.finish())
    }

    /// The encoding as OBJECT ENCODING names it: `listpack` or `hashtable`.
    pub fn encoding_name(&self) -> &'static str {
        match self.inner.split() {
            Split::Small(_) => "listpack",
            Split::Large(_) => "hashtable",
        }
    }

    /// Bytes on the heap.
    pub fn memory(&self) -> usize {
        match self.inner.split() {
            Split::Small(pairs) => pairs.memory(),
            Split::Large(table) => table.memory() + table.iter().map(Leaf::memory).sum::<usize>(),
        }
    }

    /// Takes the large encoding, if it is not there yet.
    fn enlarge(&mut self, limits: &Limits) -> &mut Table<Leaf> {
        if let Split::Small(pairs) = self.inner.split() {
            let mut table = Table::new(limits.seed);
            for (field, value) in Pairs(pairs.iter()) {
                table.insert(Leaf::field(field.text(&mut [0; _]), value));
            }
            self.inner = Compact::large(table);
        }
        match self.inner.split_mut() {
            Split::Large(table) => table,
            Split::Small(_) => unreachable!("just enlarged"),
        }
    }
}

/// Most fields of a small hash.
fn entries_max(limits: &Limits) -> usize {
    limits.hash_max_listpack_entries.min(COUNT_MAX / 2)
}

/// The field and value of a leaf.
fn pair(leaf: &Leaf) -> (StrRef<'_>, StrRef<'_>) {
    (StrRef::Bytes(leaf.key()), leaf.value())
}

impl Default for Hash {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Hash {
    fn clone(&self) -> Self {
        let inner = match self.inner.split() {
            Split::Small(pairs) => Compact::small(pairs.clone()),
            Split::Large(table) => {
                let mut copy = Table::new(table.seed());
                copy.reserve(table.len());
                for leaf in table.iter() {
                    copy.insert(Leaf::field(leaf.key(), leaf.value()));
                }
                Compact::large(copy)
            }
        };
        Self { inner }
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::testing::{limits, listpack, text};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(Vec<u8>, Vec<u8>),
        Remove(Vec<u8>),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (text(), text()).prop_map(|(field, value)| Step::Insert(field, value)),
            1 => text().prop_map(Step::Remove),
        ]
    }

    #[test]
    fn encodings_change_at_the_thresholds() {
        let limits = limits();
        let mut hash = Hash::new();
        for i in 0..limits.hash_max_listpack_entries {
            assert!(hash.insert(&limits, format!("f{i}").as_bytes(), b"v"));
        }
        assert_eq!(hash.encoding_name(), "listpack");
        assert!(!hash.insert(&limits, b"f0", b"w"), "an update stays small");
        assert_eq!(hash.encoding_name(), "listpack");
        assert!(hash.insert(&limits, b"one more", b"v"));
        assert_eq!(hash.encoding_name(), "hashtable");

        let mut hash = Hash::new();
        hash.insert(&limits, b"f", &vec![b'x'; limits.hash_max_listpack_value]);
        assert_eq!(hash.encoding_name(), "listpack");
        hash.insert(&limits, b"f", &vec![b'x'; limits.hash_max_listpack_value + 1]);
        assert_eq!(hash.encoding_name(), "hashtable");
        assert_eq!(hash.len(), 1);
    }

    #[test]
    fn a_listpack_must_hold_pairs_of_distinct_fields() {
        let pack = |texts: &[&str]| {
            let bytes = listpack(texts);
            let hash = Hash::from_listpack(listpack::read(&bytes).expect("well-formed"), &limits())?;
            assert!(hash.listpack().is_none_or(|back| back == bytes), "back as it came");
            Ok((hash.len(), hash.is_small()))
        };
        assert_eq!(pack(&["a", "1", "b", "2"]), Ok((2, true)));
        assert_eq!(pack(&["a", "xxxxxxxxxxxxx"]), Ok((1, false)), "a value above the threshold");
        assert_eq!(pack(&["a", "1", "b"]), Err(Malformed::Odd));
        assert_eq!(pack(&["a", "1", "a", "2"]), Err(Malformed::Duplicate));
        assert_eq!(pack(&[]), Err(Malformed::Empty));
    }

    proptest! {
        #[test]
        fn behaves_as_a_map(steps in prop::collection::vec(step(), 0..60)) {
            let (mut hash, limits) = (Hash::new(), limits());
            let mut model = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Insert(field, value) => {
                        prop_assert_eq!(hash.insert(&limits, &field, &value), model.insert(field, value).is_none());
                    }
                    Step::Remove(field) => prop_assert_eq!(hash.remove(&field), model.remove(&field).is_some()),
                }
                prop_assert_eq!(hash.len(), model.len());
            }
            let copy = hash.clone();
            for view in [&hash, &copy] {
                let all: BTreeMap<_, _> = view.iter().map(|(field, value)| (field.to_vec(), value.to_vec())).collect();
                prop_assert_eq!(&all, &model);
            }
            for (field, value) in &model {
                prop_assert!(hash.get(field).is_some_and(|held| held.is(value)));
            }
            let mut seen = BTreeMap::new();
            let mut cursor = 0;
            loop {
                cursor = hash.scan(cursor, &mut |field, value| { seen.insert(field.to_vec(), value.to_vec()); });
                if cursor == 0 { break; }
            }
            prop_assert_eq!(&seen, &model);
            if let Some((field, value)) = hash.random(&mut fastrand::Rng::with_seed(1)) {
                prop_assert_eq!(model.get(&field.to_vec()), Some(&value.to_vec()));
            }
        }
    }
}
