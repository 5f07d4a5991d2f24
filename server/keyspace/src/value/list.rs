//! A list: one strip (to clients a listpack) while it fits `list-max-listpack-size`, then a quicklist of strips.
//!
//! `listpack --(an element more would exceed the limit)--> quicklist --(shrunk to one node at half the limit)-->
//! listpack`. The half keeps a list at the edge from converting back and forth.

use super::walk::{Either, Window};
use crate::{Limits, StrRef};
use quorate_collections::{
    Apart, Compact,
    compact::Split,
    quicklist::{Fill, Node, QuickList},
    strip::Strip,
};
use std::{fmt, ops::Range};

/// A listpack bounded in elements is bounded in bytes too. Source: Redis's safety limit for quicklist nodes.
const COUNTED_BYTES_MAX: usize = 8192;

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The left end, where LPUSH puts.
    Head,
    /// The right end, where RPUSH puts.
    Tail,
}

/// A list. Indexes count from 0 at the head; callers resolve negative ones.
#[derive(Clone)]
pub struct List {
    inner: Compact<Strip, QuickList>,
}

impl Apart for List {
    #[inline]
    fn prefetch(&self) {
        self.inner.prefetch();
    }
}

impl List {
    /// An empty list.
    pub fn new() -> Self {
        Self { inner: Compact::small(Strip::new()) }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self.inner.split() {
            Split::Small(pack) => pack.len(),
            Split::Large(list) => list.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an element at an end.
    pub fn push(&mut self, limits: &Limits, end: End, element: &[u8]) {
        self.make_room(limits, element);
        match (self.inner.split_mut(), end) {
            (Split::Small(pack), End::Head) => pack.push_front(element),
            (Split::Small(pack), End::Tail) => pack.push_back(element),
            (Split::Large(list), End::Head) => list.push_front(element),
            (Split::Large(list), End::Tail) => list.push_back(element),
        }
    }

    /// Removes the element at an end.
    pub fn pop(&mut self, limits: &Limits, end: End) -> Option<Vec<u8>> {
        let popped = match (self.inner.split_mut(), end) {
            (Split::Small(pack), end) => {
                let at = match end {
                    End::Head => pack.first()?,
                    End::Tail => pack.last()?,
                };
                let element = pack.get(at).to_vec();
                pack.remove(at, 1);
                return Some(element);
            }
            (Split::Large(list), End::Head) => list.pop_front(),
            (Split::Large(list), End::Tail) => list.pop_back(),
        };
        self.shrink(limits);
        popped
    }

    /// The element at `index`.
    pub fn get(&self, index: usize) -> Option<StrRef<'_>> {
        match self.inner.split() {
            Split::Small(pack) => Some(pack.get(pack.nth(index)?)),
            Split::Large(list) => list.get(index),
        }
    }

    /// Replaces the element at `index`; false when there is none.
    pub fn replace(&mut self, limits: &Limits, index: usize, element: &[u8]) -> bool {
        if index >= self.len() {
            return false;
        }
        self.make_room(limits, element);
        match self.inner.split_mut() {
            Split::Small(pack) => {
                let at = pack.nth(index).expect("below the length");
                pack.replace(at, element);
            }
            Split::Large(list) => {
                list.set(index, element);
                self.shrink(limits);
            }
        }
        true
    }

    /// Inserts an element before `index`; `index == len` appends. Panics past that.
    pub fn insert(&mut self, limits: &Limits, index: usize, element: &[u8]) {
        assert!(index <= self.len(), "an index of the list");
        self.make_room(limits, element);
        match self.inner.split_mut() {
            Split::Small(pack) => match pack.nth(index) {
                Some(at) => {
                    pack.insert_before(at, element);
                }
                None => pack.push_back(element),
            },
            Split::Large(list) => list.insert(index, element),
        }
    }

    /// Removes the elements of a range that lies within the list.
    pub fn remove_range(&mut self, limits: &Limits, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        match self.inner.split_mut() {
            Split::Small(pack) => {
                if let Some(at) = pack.nth(range.start) {
                    pack.remove(at, range.len());
                }
            }
            Split::Large(list) => {
                list.remove_range(range);
                self.shrink(limits);
            }
        }
    }

    /// Removes up to `most` elements equal to `element`, starting from `from`, and says how many.
    pub fn remove_equal(&mut self, limits: &Limits, element: &[u8], from: End, most: usize) -> usize {
        let removed = match (self.inner.split_mut(), from) {
            (Split::Small(pack), from) => return remove_equal_small(pack, element, from, most),
            (Split::Large(list), End::Head) => list.remove_equal(element, most),
            (Split::Large(list), End::Tail) => list.remove_equal_back(element, most),
        };
        self.shrink(limits);
        removed
    }

    /// Every element from the head; reversible.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = StrRef<'_>> {
        self.range(0..self.len())
    }

    /// The elements of a range that lies within the list; reversible. Starting costs a walk over nodes, not elements.
    pub fn range(&self, range: Range<usize>) -> impl DoubleEndedIterator<Item = StrRef<'_>> {
        let len = self.len();
        let end = range.end.min(len);
        let start = range.start.min(end);
        match self.inner.split() {
            Split::Small(pack) => Either::Small(Window::new(pack.iter(), start, end - start, len - end)),
            Split::Large(list) => Either::Large(list.range(start..end)),
        }
    }

    /// Appends a whole node, as an RDB file stores it. Empty listpacks are skipped.
    pub fn push_node(&mut self, limits: &Limits, node: Node) {
        if let Split::Small(pack) = self.inner.split_mut() {
            match node {
                Node::Packed(node) if pack.is_empty() && !exceeds(limits, node.listpack_len(), node.len()) => {
                    *pack = node;
                }
                Node::Packed(node) if node.is_empty() => {}
                node => self.enlarge(limits).push_node(node),
            }
        } else {
            self.enlarge(limits).push_node(node);
        }
    }

    /// The one strip, when that is the encoding.
    pub fn as_strip(&self) -> Option<&Strip> {
        match self.inner.split() {
            Split::Small(pack) => Some(pack),
            Split::Large(_) => None,
        }
    }

    /// The nodes for RDB's quicklist; none when the encoding is one listpack.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        match self.inner.split() {
            Split::Small(_) => Either::Small(std::iter::empty()),
            Split::Large(list) => Either::Large(list.nodes()),
        }
    }

    /// The encoding as OBJECT ENCODING names it: `listpack` or `quicklist`.
    pub fn encoding_name(&self) -> &'static str {
        match self.inner.split() {
            Split::Small(_) => "listpack",
            Split::Large(_) => "quicklist",
        }
    }

    /// Bytes on the heap.
    pub fn memory(&self) -> usize {
        match self.inner.split() {
            Split::Small(pack) => pack.memory(),
            Split::Large(list) => list.memory(),
        }
    }

    /// Takes the large encoding if a listpack with `element` in it would exceed the limit.
    fn make_room(&mut self, limits: &Limits, element: &[u8]) {
        if let Split::Small(pack) = self.inner.split()
            && exceeds(limits, pack.listpack_len() + element.len(), pack.len() + 1)
        {
            self.enlarge(limits);
        }
    }

    /// Takes the large encoding, if it is not there yet.
    fn enlarge(&mut self, limits: &Limits) -> &mut QuickList {
        if let Split::Small(pack) = self.inner.split_mut() {
            let fill = Fill::from_config(limits.list_max_listpack_size.into());
            let pack = std::mem::take(pack);
            let list = if pack.is_empty() { QuickList::new(fill) } else { QuickList::from_strip(fill, pack) };
            self.inner = Compact::large(list);
        }
        match self.inner.split_mut() {
            Split::Large(list) => list,
            Split::Small(_) => unreachable!("just enlarged"),
        }
    }

    /// Goes back to the small encoding when one node is left and half empty, or nothing at all.
    fn shrink(&mut self, limits: &Limits) {
        let Split::Large(list) = self.inner.split() else { return };
        if list.is_empty() {
            self.inner = Compact::small(Strip::new());
        } else if let Some(pack) = list.as_single_strip()
            && !exceeds(limits, 2 * pack.listpack_len(), 2 * pack.len())
        {
            self.inner = Compact::small(pack.clone());
        }
    }
}

/// Would a listpack of this size be too large for a small list?
fn exceeds(limits: &Limits, bytes: usize, count: usize) -> bool {
    match Fill::from_config(limits.list_max_listpack_size.into()) {
        Fill::Bytes(most) => bytes > most,
        Fill::Entries(most) => bytes > COUNTED_BYTES_MAX || count > most,
    }
}

fn remove_equal_small(pack: &mut Strip, element: &[u8], from: End, most: usize) -> usize {
    let mut removed = 0;
    let mut next = match from {
        End::Head => pack.first(),
        End::Tail => pack.last(),
    };
    while let Some(at) = next
        && removed < most
    {
        let equal = pack.get(at).is(element);
        // Positions before `at` survive its removal; what follows moves to `at`.
        next = match (from, equal) {
            (End::Head, true) => pack.remove(at, 1),
            (End::Head, false) => pack.next(at),
            (End::Tail, _) => {
                let before = pack.prev(at);
                if equal {
                    pack.remove(at, 1);
                }
                before
            }
        };
        removed += usize::from(equal);
    }
    removed
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::testing::{limits, text};
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[derive(Clone, Debug)]
    enum Step {
        Push(End, Vec<u8>),
        Pop(End),
        Replace(usize, Vec<u8>),
        Insert(usize, Vec<u8>),
        RemoveRange(usize, usize),
        RemoveEqual(Vec<u8>, End, usize),
        Node(Vec<Vec<u8>>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let end = || prop_oneof![Just(End::Head), Just(End::Tail)];
        prop_oneof![
            6 => (end(), text()).prop_map(|(end, element)| Step::Push(end, element)),
            3 => end().prop_map(Step::Pop),
            1 => (0..30usize, text()).prop_map(|(index, element)| Step::Replace(index, element)),
            2 => (0..30usize, text()).prop_map(|(index, element)| Step::Insert(index, element)),
            1 => (0..30usize, 0..6usize).prop_map(|(start, count)| Step::RemoveRange(start, count)),
            1 => (text(), end(), 0..4usize).prop_map(|(element, end, most)| Step::RemoveEqual(element, end, most)),
            1 => prop::collection::vec(text(), 0..5).prop_map(Step::Node),
        ]
    }

    fn apply(model: &mut VecDeque<Vec<u8>>, list: &mut List, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Push(end, element) => {
                list.push(&limits(), end, &element);
                match end {
                    End::Head => model.push_front(element),
                    End::Tail => model.push_back(element),
                }
            }
            Step::Pop(End::Head) => prop_assert_eq!(list.pop(&limits(), End::Head), model.pop_front()),
            Step::Pop(End::Tail) => prop_assert_eq!(list.pop(&limits(), End::Tail), model.pop_back()),
            Step::Replace(index, element) => {
                prop_assert_eq!(list.replace(&limits(), index, &element), index < model.len());
                if let Some(slot) = model.get_mut(index) {
                    *slot = element;
                }
            }
            Step::Insert(index, element) => {
                let index = index.min(model.len());
                list.insert(&limits(), index, &element);
                model.insert(index, element);
            }
            Step::RemoveRange(start, count) => {
                let range = start.min(model.len())..(start + count).min(model.len());
                list.remove_range(&limits(), range.clone());
                model.drain(range);
            }
            Step::RemoveEqual(element, from, most) => {
                let mut hits: Vec<_> = (0..model.len()).filter(|index| model[*index] == element).collect();
                if from == End::Tail {
                    hits.reverse();
                }
                hits.truncate(most);
                prop_assert_eq!(list.remove_equal(&limits(), &element, from, most), hits.len());
                hits.sort_unstable();
                hits.into_iter().rev().for_each(|index| {
                    model.remove(index);
                });
            }
            Step::Node(elements) => {
                let mut pack = Strip::new();
                elements.iter().for_each(|element| pack.push_back(element));
                list.push_node(&limits(), Node::Packed(pack));
                model.extend(elements);
            }
        }
        Ok(())
    }

    #[test]
    fn encodings_change_at_the_limit_and_at_half_of_it() {
        let mut list = List::new();
        for _ in 0..8 {
            list.push(&limits(), End::Tail, b"x");
        }
        assert_eq!(list.encoding_name(), "listpack");
        list.push(&limits(), End::Tail, b"x");
        assert_eq!(list.encoding_name(), "quicklist");
        for left in (5..9).rev() {
            list.pop(&limits(), End::Tail);
            assert_eq!((list.len(), list.encoding_name()), (left, "quicklist"));
        }
        list.pop(&limits(), End::Tail);
        assert_eq!((list.len(), list.encoding_name()), (4, "listpack"));

        let bytes = Limits { list_max_listpack_size: -2, ..(*limits()).clone() };
        let mut list = List::new();
        list.push(&bytes, End::Tail, &[b'x'; 8192]);
        assert_eq!(list.encoding_name(), "quicklist");
    }

    proptest! {
        #[test]
        fn behaves_as_a_deque(steps in prop::collection::vec(step(), 0..60), (start, count) in (0..30usize, 0..30usize)) {
            let mut list = List::new();
            let mut model = VecDeque::new();
            for step in steps {
                apply(&mut model, &mut list, step)?;
                prop_assert_eq!(list.len(), model.len());
            }
            let texts = |elements: &mut dyn Iterator<Item = StrRef<'_>>| elements.map(|element| element.to_vec()).collect::<Vec<_>>();
            prop_assert_eq!(texts(&mut list.clone().iter()), Vec::from(model.clone()));
            let range = start.min(model.len())..(start + count).min(model.len());
            let want: Vec<_> = model.range(range.clone()).cloned().collect();
            prop_assert_eq!(texts(&mut list.range(range.clone())), want.clone());
            prop_assert_eq!(texts(&mut list.range(range.clone()).rev()), want.into_iter().rev().collect::<Vec<_>>());
            prop_assert_eq!(list.get(start).map(|element| element.to_vec()), model.get(start).cloned());
        }
    }
}
