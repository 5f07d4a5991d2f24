//! A hash: a listpack of fields and values while it is small, then a hash table.
//!
//! `listpack --(a field or value too long, too many fields)--> hashtable`; never back. Source of both
//! thresholds: `hash-max-listpack-*`.

use super::{
    LISTPACK_BYTES_MAX, Malformed, check_distinct,
    walk::{Either, Pairs, held_text, new_text},
};
use crate::{Limits, StrRef};
use quorate_collections::{Body, Compact, NewValue, Pair, Table, compact::Split, listpack::Listpack};
use std::{convert::Infallible, fmt};

/// A field and its value in a large hash.
type Field = Pair;

/// Fields and their values.
pub struct Hash {
    inner: Compact<Table<Field>>,
}

impl Hash {
    /// An empty hash.
    pub fn new() -> Self {
        Self { inner: Compact::small(Listpack::new()) }
    }

    /// A hash from an RDB file's listpack `field value field value …`; converted when past the thresholds.
    pub fn from_listpack(pairs: Listpack, limits: &Limits) -> Result<Self, Malformed> {
        if pairs.is_empty() {
            return Err(Malformed::Empty);
        }
        if !pairs.len().is_multiple_of(2) {
            return Err(Malformed::Odd);
        }
        check_distinct(Pairs(pairs.iter()).map(|(field, _)| field))?;
        let mut hash = Self { inner: Compact::small(pairs) };
        let longest = hash.iter().map(|(field, value)| field.text_len().max(value.text_len())).max().unwrap_or(0);
        if hash.len() > limits.hash_max_listpack_entries || longest > limits.hash_max_listpack_value {
            hash.enlarge(limits);
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
                let value = pairs.next(pairs.find(field, 1)?).expect("a field is followed by its value");
                Some(pairs.get(value))
            }
            Split::Large(table) => Some(pair(table.get(field)?).1),
        }
    }

    /// Whether the field exists.
    pub fn contains(&self, field: &[u8]) -> bool {
        match self.inner.split() {
            Split::Small(pairs) => pairs.find(field, 1).is_some(),
            Split::Large(table) => table.contains(field),
        }
    }

    /// Sets a field; true when it is new.
    pub fn insert(&mut self, limits: &Limits, field: &[u8], value: &[u8]) -> bool {
        if let Split::Small(pairs) = self.inner.split_mut() {
            let longest = field.len().max(value.len());
            let bytes = pairs.byte_len() + field.len() + value.len();
            if longest <= limits.hash_max_listpack_value && bytes <= LISTPACK_BYTES_MAX {
                if let Some(at) = pairs.find(field, 1) {
                    let at = pairs.next(at).expect("a field is followed by its value");
                    pairs.replace(at, value);
                    return false;
                }
                if pairs.len() / 2 < limits.hash_max_listpack_entries {
                    pairs.push_back(field);
                    pairs.push_back(value);
                    return true;
                }
            }
        }
        let table = self.enlarge(limits);
        let (entry, new) = table.find_or_insert(field, || Field::new(field, new_text(value), None));
        if !new {
            entry.set(new_text(value));
        }
        new
    }

    /// Removes a field; true when it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        match self.inner.split_mut() {
            Split::Small(pairs) => match pairs.find(field, 1) {
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
            Split::Large(table) => table.scan(cursor, &mut |entry| {
                let (field, value) = pair(entry);
                visit(field, value);
            }),
        }
    }

    /// The bytes of the listpack, when that is the encoding.
    pub fn as_listpack(&self) -> Option<&[u8]> {
        match self.inner.split() {
            Split::Small(pairs) => Some(pairs.as_bytes()),
            Split::Large(_) => None,
        }
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
            Split::Large(table) => table.memory() + table.iter().map(Field::memory).sum::<usize>(),
        }
    }

    /// Takes the large encoding, if it is not there yet.
    fn enlarge(&mut self, limits: &Limits) -> &mut Table<Field> {
        if let Split::Small(pairs) = self.inner.split() {
            let mut table = Table::new(limits.seed);
            for (field, value) in Pairs(pairs.iter()) {
                table.insert(Field::new(field.text(&mut [0; _]), element(value), None));
            }
            self.inner = Compact::large(table);
        }
        match self.inner.split_mut() {
            Split::Large(table) => table,
            Split::Small(_) => unreachable!("just enlarged"),
        }
    }
}

/// The field and value of an entry.
fn pair(entry: &Field) -> (StrRef<'_>, StrRef<'_>) {
    (StrRef::Bytes(entry.key()), held_text(entry.value()).expect("Infallible has no objects"))
}

/// An entry of a hash holds nothing but strings.
type NoBody = Body<Infallible, Infallible, Infallible, Infallible>;

/// An element on its way from a listpack into a table.
fn element(value: StrRef<'_>) -> NewValue<'_, NoBody> {
    match value {
        StrRef::Int(number) => NewValue::Int(number),
        StrRef::Bytes(bytes) => new_text(bytes),
    }
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
                for entry in table.iter() {
                    copy.insert(Field::new(entry.key(), element(pair(entry).1), None));
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
    use crate::value::testing::{limits, text};
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
            let mut pack = Listpack::new();
            texts.iter().for_each(|text| pack.push_back(text.as_bytes()));
            Hash::from_listpack(pack, &limits()).map(|hash| hash.len())
        };
        assert_eq!(pack(&["a", "1", "b", "2"]), Ok(2));
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
