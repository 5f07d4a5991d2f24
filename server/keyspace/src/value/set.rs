//! A set: an intset while all members are integers, a listpack while it is small, then a hash table.
//!
//! `intset --(too many)--> hashtable`, `intset --(a member that is no integer)--> listpack` or, past its
//! thresholds, `hashtable`; `listpack --(a member too long, too many)--> hashtable`. Never back.
//! Sources: `set-max-intset-entries`, `set-max-listpack-*`.

use super::{LISTPACK_BYTES_MAX, Malformed, check_distinct, walk::Either};
use crate::{Limits, StrRef};
use quorate_collections::{
    Entry, NewValue, Table,
    intset::IntSet,
    listpack::Listpack,
    text::{INT_TEXT_MAX, parse_int},
};
use std::{convert::Infallible, fmt, sync::Arc};

/// A member of a large set: an entry whose value is of no meaning.
type Member = Entry<Infallible>;

/// A set of distinct strings.
pub struct Set {
    pub(crate) limits: Arc<Limits>,
    inner: Inner,
}

enum Inner {
    Ints(IntSet),
    Small(Listpack),
    Large(Table<Member>),
}

impl Set {
    /// An empty set.
    pub fn new(limits: &Arc<Limits>) -> Self {
        Self { limits: Arc::clone(limits), inner: Inner::Ints(IntSet::new()) }
    }

    /// A set from an RDB file's intset; converted when past the thresholds.
    pub fn from_intset(members: IntSet, limits: &Arc<Limits>) -> Result<Self, Malformed> {
        if members.is_empty() {
            return Err(Malformed::Empty);
        }
        let mut set = Self { limits: Arc::clone(limits), inner: Inner::Ints(members) };
        if set.len() > limits.set_max_intset_entries {
            set.enlarge();
        }
        Ok(set)
    }

    /// A set from an RDB file's listpack of members; converted when past the thresholds.
    pub fn from_listpack(members: Listpack, limits: &Arc<Limits>) -> Result<Self, Malformed> {
        if members.is_empty() {
            return Err(Malformed::Empty);
        }
        check_distinct(members.iter())?;
        let mut set = Self { limits: Arc::clone(limits), inner: Inner::Small(members) };
        let longest = set.iter().map(|member| member.text_len()).max().unwrap_or(0);
        if set.len() > limits.set_max_listpack_entries || longest > limits.set_max_listpack_value {
            set.enlarge();
        }
        Ok(set)
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        match &self.inner {
            Inner::Ints(ints) => ints.len(),
            Inner::Small(members) => members.len(),
            Inner::Large(table) => table.len(),
        }
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `member` belongs to the set.
    pub fn contains(&self, member: &[u8]) -> bool {
        match &self.inner {
            Inner::Ints(ints) => parse_int(member).is_some_and(|number| ints.contains(number)),
            Inner::Small(members) => members.find(member, 0).is_some(),
            Inner::Large(table) => table.contains(member),
        }
    }

    /// Adds a member; true when it is new.
    pub fn insert(&mut self, member: &[u8]) -> bool {
        if let Inner::Ints(ints) = &mut self.inner {
            if let Some(number) = parse_int(member) {
                let new = ints.insert(number);
                if new && ints.len() > self.limits.set_max_intset_entries {
                    self.enlarge();
                }
                return new;
            }
            self.leave_ints(member);
        }
        if let Inner::Small(members) = &mut self.inner {
            if members.find(member, 0).is_some() {
                return false;
            }
            let fits = members.len() < self.limits.set_max_listpack_entries
                && member.len() <= self.limits.set_max_listpack_value
                && members.byte_len() + member.len() <= LISTPACK_BYTES_MAX;
            if fits {
                members.push_back(member);
                return true;
            }
        }
        self.enlarge().find_or_insert(member, || new_member(member)).1
    }

    /// Removes a member; true when it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.inner {
            Inner::Ints(ints) => parse_int(member).is_some_and(|number| ints.remove(number)),
            Inner::Small(members) => match members.find(member, 0) {
                Some(at) => {
                    members.remove(at, 1);
                    true
                }
                None => false,
            },
            Inner::Large(table) => table.remove(member).is_some(),
        }
    }

    /// Every member, in no particular order (integers of an intset ascend).
    pub fn iter(&self) -> impl Iterator<Item = StrRef<'_>> {
        match &self.inner {
            Inner::Ints(ints) => Either::Small(Either::Small(ints.iter().map(StrRef::Int))),
            Inner::Small(members) => Either::Small(Either::Large(members.iter())),
            Inner::Large(table) => Either::Large(table.iter().map(|member| StrRef::Bytes(member.key()))),
        }
    }

    /// A member at random; none of an empty set.
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<StrRef<'_>> {
        match &self.inner {
            Inner::Ints(ints) => ints.random(rng).map(StrRef::Int),
            Inner::Small(members) if members.is_empty() => None,
            Inner::Small(members) => members.nth(rng.usize(..members.len())).map(|at| members.get(at)),
            Inner::Large(table) => table.random(rng).map(|member| StrRef::Bytes(member.key())),
        }
    }

    /// One step of SSCAN; returns the next cursor, 0 at the end. A small encoding is visited whole.
    pub fn scan(&self, cursor: u64, visit: &mut dyn FnMut(StrRef<'_>)) -> u64 {
        match &self.inner {
            Inner::Large(table) => table.scan(cursor, &mut |member| visit(StrRef::Bytes(member.key()))),
            Inner::Ints(_) | Inner::Small(_) => {
                self.iter().for_each(visit);
                0
            }
        }
    }

    /// The bytes of the intset, when that is the encoding.
    pub fn as_intset(&self) -> Option<&[u8]> {
        match &self.inner {
            Inner::Ints(ints) => Some(ints.as_bytes()),
            _ => None,
        }
    }

    /// The bytes of the listpack, when that is the encoding.
    pub fn as_listpack(&self) -> Option<&[u8]> {
        match &self.inner {
            Inner::Small(members) => Some(members.as_bytes()),
            _ => None,
        }
    }

    /// The encoding as OBJECT ENCODING names it: `intset`, `listpack` or `hashtable`.
    pub fn encoding_name(&self) -> &'static str {
        match &self.inner {
            Inner::Ints(_) => "intset",
            Inner::Small(_) => "listpack",
            Inner::Large(_) => "hashtable",
        }
    }

    /// Bytes on the heap.
    pub fn memory(&self) -> usize {
        match &self.inner {
            Inner::Ints(ints) => ints.as_bytes().len(),
            Inner::Small(members) => members.byte_len(),
            Inner::Large(table) => table.memory() + table.iter().map(Member::memory).sum::<usize>(),
        }
    }

    /// An intset is about to take `coming`, which is no integer: it becomes a listpack, or a table if either does not fit one.
    fn leave_ints(&mut self, coming: &[u8]) {
        let Inner::Ints(ints) = &self.inner else { return };
        let ends = [ints.get(0), ints.len().checked_sub(1).and_then(|last| ints.get(last))];
        let longest = ends.into_iter().flatten().map(|end| StrRef::Int(end).text_len()).max().unwrap_or(0);
        let fits = ints.len() < self.limits.set_max_listpack_entries
            && longest.max(coming.len()) <= self.limits.set_max_listpack_value;
        if !fits {
            self.enlarge();
            return;
        }
        let mut members = Listpack::new();
        ints.iter().for_each(|number| members.push_back_int(number));
        self.inner = Inner::Small(members);
    }

    /// Takes the large encoding, if it is not there yet.
    fn enlarge(&mut self) -> &mut Table<Member> {
        if !matches!(self.inner, Inner::Large(_)) {
            self.inner = Inner::Large(self.to_table());
        }
        match &mut self.inner {
            Inner::Large(table) => table,
            _ => unreachable!("just enlarged"),
        }
    }

    fn to_table(&self) -> Table<Member> {
        let mut table = Table::new(self.limits.seed);
        table.reserve(self.len());
        for member in self.iter() {
            table.insert(new_member(member.text(&mut [0; INT_TEXT_MAX])));
        }
        table
    }
}

fn new_member(member: &[u8]) -> Member {
    Member::new(member, NewValue::Bytes(&[]), None)
}

impl Clone for Set {
    fn clone(&self) -> Self {
        let inner = match &self.inner {
            Inner::Ints(ints) => Inner::Ints(ints.clone()),
            Inner::Small(members) => Inner::Small(members.clone()),
            Inner::Large(_) => Inner::Large(self.to_table()),
        };
        Self { limits: Arc::clone(&self.limits), inner }
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
        let mut set = Set::new(&limits());
        members.into_iter().for_each(|member| {
            set.insert(member.as_bytes());
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
            let mut set = Set::new(&limits());
            let mut model = BTreeSet::new();
            for (insert, member) in steps {
                match insert {
                    true => prop_assert_eq!(set.insert(&member), model.insert(member)),
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
