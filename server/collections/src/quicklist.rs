//! A list as a deque of strips: Redis's quicklist, whose nodes are listpacks, without its compression of inner nodes.
//!
//! A node holds as many elements as the fill allows; an element too large for a packed node has a plain node of its own. Pushing
//! and popping at the ends touches one node. Reaching an index walks over the nodes' counts from the nearer end, then inside one node.
//! A node cut in two by an insertion is joined with its neighbours again where they fit together.
//!
//! Invariants: no node is empty; `len` is the sum of the nodes' counts.
use crate::listpack::Element;
use crate::strip::{self, Strip};
use std::collections::VecDeque;
use std::ops::Range;

/// Most bytes a node that is limited by its count of elements. Source: Redis, `SIZE_SAFETY_LIMIT`.
const COUNTED_NODE_MAX: usize = 8192;
/// Bytes a node for `list-max-listpack-size` -1 to -5. Source: redis.conf.
const SIZES: [usize; 5] = [4096, 8192, 16384, 32768, 65536];
/// Most elements a node: what the directive can say. Source: Redis, `FILL_MAX`.
const ENTRIES_MAX: i64 = 0x7fff;

/// How full a node may be (`list-max-listpack-size`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// At most so many bytes a node (negative sizes -1 to -5: 4, 8, 16, 32, 64 KB).
    Bytes(usize),
    /// At most so many elements a node, and no more than 8 KB.
    Entries(usize),
}

impl Fill {
    /// The directive's integer, as Redis reads it: 0 counts as 1, below -5 as -5.
    pub fn from_config(size: i64) -> Self {
        match size {
            ..0 => Fill::Bytes(SIZES[size.unsigned_abs().min(5) as usize - 1]),
            _ => Fill::Entries(size.clamp(1, ENTRIES_MAX) as usize),
        }
    }

    fn bytes_max(self) -> usize {
        match self {
            Fill::Bytes(bytes) => bytes,
            Fill::Entries(_) => COUNTED_NODE_MAX,
        }
    }

    fn entries_max(self) -> usize {
        match self {
            Fill::Bytes(_) => usize::MAX,
            Fill::Entries(entries) => entries,
        }
    }

    /// May a strip hold `count` elements in `byte_len` bytes? One element always fits in a node of its own.
    pub fn allows(self, byte_len: usize, count: usize) -> bool {
        byte_len <= self.bytes_max() && count <= self.entries_max()
    }
}

/// One node; an RDB file stores strips as listpacks.
#[derive(Debug, Clone)]
pub enum Node {
    /// Many elements.
    Packed(Strip),
    /// One element too large for a packed node.
    Plain(Vec<u8>),
}

/// A node with its count, which a strip of 65535 elements and more does not know.
#[derive(Debug, Clone)]
struct Counted {
    node: Node,
    count: usize,
}

impl Counted {
    /// A node of one element.
    fn of(text: &[u8], fill: Fill) -> Self {
        let node = if text.len() > fill.bytes_max() {
            Node::Plain(text.to_vec())
        } else {
            let mut pack = Strip::new();
            pack.push_back(text);
            Node::Packed(pack)
        };
        Counted { node, count: 1 }
    }

    /// The strip, if `text` may be added to it.
    fn with_room(&mut self, text: &[u8], fill: Fill) -> Option<&mut Strip> {
        match &mut self.node {
            Node::Packed(pack)
                if self.count < fill.entries_max() && Strip::fits(pack.byte_len(), text, fill.bytes_max()) =>
            {
                self.count += 1;
                Some(pack)
            }
            _ => None,
        }
    }

    fn range(&self, indexes: Range<usize>) -> NodeIter<'_> {
        match &self.node {
            Node::Packed(pack) if indexes == (0..self.count) => NodeIter::Packed(pack.iter()),
            Node::Packed(pack) => NodeIter::Packed(pack.range(indexes)),
            Node::Plain(bytes) => NodeIter::Plain((!indexes.is_empty()).then_some(bytes)),
        }
    }

    /// Cuts off the elements from `at` on (not the first).
    fn split_off(&mut self, at: usize) -> Counted {
        let Node::Packed(pack) = &mut self.node else { unreachable!("a plain node has one element") };
        let tail = pack.split_off(pack.nth(at).expect("inside the node"));
        let count = self.count - at;
        self.count = at;
        Counted { node: Node::Packed(tail), count }
    }
}

/// A list of strings.
#[derive(Debug, Clone)]
pub struct QuickList {
    nodes: VecDeque<Counted>,
    len: usize,
    fill: Fill,
}

impl QuickList {
    /// An empty list.
    pub fn new(fill: Fill) -> Self {
        QuickList { nodes: VecDeque::new(), len: 0, fill }
    }

    /// A list that begins as one strip's elements (the small encoding grown too large).
    pub fn from_strip(fill: Fill, pack: Strip) -> Self {
        let mut list = Self::new(fill);
        list.push_node(Node::Packed(pack));
        list
    }

    /// Appends a whole node, as a file being loaded brings it. Empty strips are skipped.
    pub fn push_node(&mut self, node: Node) {
        let count = match &node {
            Node::Packed(pack) => pack.len(),
            Node::Plain(_) => 1,
        };
        if count > 0 {
            self.nodes.push_back(Counted { node, count });
            self.len += count;
        }
    }

    /// The nodes in order, for a file being written.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> + '_ {
        self.nodes.iter().map(|counted| &counted.node)
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No elements?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Approximate bytes held.
    pub fn memory(&self) -> usize {
        let held = self.nodes().map(|node| match node {
            Node::Packed(pack) => pack.memory(),
            Node::Plain(bytes) => bytes.capacity(),
        });
        size_of::<Self>() + self.nodes.capacity() * size_of::<Counted>() + held.sum::<usize>()
    }

    /// If one packed node holds everything: that node, for going back to the small encoding.
    pub fn as_single_strip(&self) -> Option<&Strip> {
        match self.nodes.front() {
            Some(Counted { node: Node::Packed(pack), .. }) if self.nodes.len() == 1 => Some(pack),
            _ => None,
        }
    }

    /// Prepends.
    pub fn push_front(&mut self, text: &[u8]) {
        match self.nodes.front_mut().and_then(|node| node.with_room(text, self.fill)) {
            Some(pack) => pack.push_front(text),
            None => self.nodes.push_front(Counted::of(text, self.fill)),
        }
        self.len += 1;
    }

    /// Appends.
    pub fn push_back(&mut self, text: &[u8]) {
        match self.nodes.back_mut().and_then(|node| node.with_room(text, self.fill)) {
            Some(pack) => pack.push_back(text),
            None => self.nodes.push_back(Counted::of(text, self.fill)),
        }
        self.len += 1;
    }

    /// Removes the first element.
    pub fn pop_front(&mut self) -> Option<Vec<u8>> {
        let popped = self.get(0)?.to_vec();
        self.remove_range(0..1);
        Some(popped)
    }

    /// Removes the last element.
    pub fn pop_back(&mut self) -> Option<Vec<u8>> {
        let last = self.len.checked_sub(1)?;
        let popped = self.get(last)?.to_vec();
        self.remove_range(last..self.len);
        Some(popped)
    }

    /// The element at `index`.
    pub fn get(&self, index: usize) -> Option<Element<'_>> {
        if index >= self.len {
            return None;
        }
        let (at, offset) = self.find(index);
        Some(match &self.nodes[at].node {
            Node::Packed(pack) => pack.get(pack.nth(offset).expect("inside the node")),
            Node::Plain(bytes) => Element::Bytes(bytes),
        })
    }

    /// Replaces the element at `index`; false when there is none.
    pub fn set(&mut self, index: usize, text: &[u8]) -> bool {
        if index >= self.len {
            return false;
        }
        let (at, offset) = self.find(index);
        let bytes_max = self.fill.bytes_max();
        match &mut self.nodes[at].node {
            Node::Packed(pack) if Strip::fits(pack.byte_len(), text, bytes_max) => {
                pack.replace(pack.nth(offset).expect("inside the node"), text);
            }
            Node::Plain(bytes) if text.len() > bytes_max => *bytes = text.to_vec(),
            _ => {
                self.remove_range(index..index + 1);
                self.insert(index, text);
            }
        }
        true
    }

    /// Inserts so that the new element has `index` (at most the length, which appends).
    pub fn insert(&mut self, index: usize, text: &[u8]) {
        assert!(index <= self.len, "insertion at {index} of {}", self.len);
        if index == 0 {
            return self.push_front(text);
        }
        if index == self.len {
            return self.push_back(text);
        }
        // At a boundary the node before may have the room that the node behind lacks.
        let (at, offset) = self.find(index);
        let before = if offset == 0 { self.nodes[at - 1].with_room(text, self.fill) } else { None };
        if let Some(pack) = before {
            pack.push_back(text);
        } else if let Some(pack) = self.nodes[at].with_room(text, self.fill) {
            pack.insert_before(pack.nth(offset).expect("inside the node"), text);
        } else {
            self.insert_node(at, offset, Counted::of(text, self.fill));
        }
        self.len += 1;
    }

    /// Removes the elements of `range`, cut to the length.
    pub fn remove_range(&mut self, range: Range<usize>) {
        let end = range.end.min(self.len);
        if range.start >= end {
            return;
        }
        let (first, mut offset) = self.find(range.start);
        let mut left = end - range.start;
        self.len -= left;
        // Whole nodes go at once; at most the first and the last lose a part.
        let mut emptied = first..first;
        for at in first.. {
            let node = &mut self.nodes[at];
            let removed = left.min(node.count - offset);
            if removed == node.count {
                emptied = if emptied.is_empty() { at..at + 1 } else { emptied.start..at + 1 };
            } else if let Node::Packed(pack) = &mut node.node {
                pack.remove(pack.nth(offset).expect("inside the node"), removed);
                node.count -= removed;
            }
            (left, offset) = (left - removed, 0);
            if left == 0 {
                break;
            }
        }
        self.nodes.drain(emptied);
        if self.nodes.capacity() > 4 * self.nodes.len() + 16 {
            self.nodes.shrink_to(2 * self.nodes.len());
        }
    }

    /// Removes up to `limit` elements equal to `needle`, from the front; returns how many.
    pub fn remove_equal(&mut self, needle: &[u8], limit: usize) -> usize {
        let mut removed = 0;
        for node in &mut self.nodes {
            if removed == limit {
                break;
            }
            let before = removed;
            match &mut node.node {
                Node::Plain(bytes) => removed += usize::from(bytes == needle),
                Node::Packed(pack) => {
                    let mut from = pack.first();
                    while removed < limit
                        && let Some(found) = pack.find_from(from, needle)
                    {
                        from = pack.remove(found, 1);
                        removed += 1;
                    }
                }
            }
            node.count -= removed - before;
        }
        self.removed(removed)
    }

    /// Removes up to `limit` elements equal to `needle`, from the back; returns how many.
    pub fn remove_equal_back(&mut self, needle: &[u8], limit: usize) -> usize {
        let mut removed = 0;
        for node in self.nodes.iter_mut().rev() {
            if removed == limit {
                break;
            }
            let before = removed;
            match &mut node.node {
                Node::Plain(bytes) => removed += usize::from(bytes == needle),
                Node::Packed(pack) => {
                    let mut next = pack.last();
                    while removed < limit
                        && let Some(here) = next
                    {
                        // From the back on, so that the positions before stay true.
                        next = pack.prev(here);
                        if pack.get(here).is(needle) {
                            pack.remove(here, 1);
                            removed += 1;
                        }
                    }
                }
            }
            node.count -= removed - before;
        }
        self.removed(removed)
    }

    /// The elements in order; reversible.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Element<'_>> + '_ {
        self.range(0..self.len)
    }

    /// The elements of `range` (cut to the length) in order; reversible. Finding its ends costs a walk over nodes, not elements.
    pub fn range(&self, range: Range<usize>) -> impl DoubleEndedIterator<Item = Element<'_>> + '_ {
        let end = range.end.min(self.len);
        let (first, from, nodes, to) = if range.start >= end {
            (0, 0, 0..0, 0)
        } else {
            let ((first, from), (last, to)) = (self.find(range.start), self.find(end - 1));
            (first, from, first..last + 1, to + 1)
        };
        let last = nodes.end;
        nodes.flat_map(move |at| {
            let node = &self.nodes[at];
            let from = if at == first { from } else { 0 };
            let to = if at + 1 == last { to } else { node.count };
            node.range(from..to)
        })
    }

    /// The node of element `index`, which exists, and the element's place in the node.
    fn find(&self, index: usize) -> (usize, usize) {
        debug_assert!(index < self.len);
        if index < self.len / 2 {
            let mut before = 0;
            for (at, node) in self.nodes.iter().enumerate() {
                if index < before + node.count {
                    return (at, index - before);
                }
                before += node.count;
            }
        } else {
            let mut from = self.len;
            for (at, node) in self.nodes.iter().enumerate().rev() {
                from -= node.count;
                if index >= from {
                    return (at, index - from);
                }
            }
        }
        unreachable!("the nodes' counts add up to the length");
    }

    /// Puts a node before element `offset` of node `at`, cutting that in two if need be, and joins what fits together.
    fn insert_node(&mut self, at: usize, offset: usize, node: Counted) {
        if offset == 0 {
            return self.nodes.insert(at, node);
        }
        let tail = self.nodes[at].split_off(offset);
        self.nodes.insert(at + 1, tail);
        self.nodes.insert(at + 1, node);
        self.join_with_next(at + 2);
        self.join_with_next(at + 1);
        self.join_with_next(at);
        if at > 0 {
            self.join_with_next(at - 1);
        }
    }

    fn join_with_next(&mut self, at: usize) {
        let (Some(here), Some(next)) = (self.nodes.get(at), self.nodes.get(at + 1)) else { return };
        let (Node::Packed(pack), Node::Packed(more)) = (&here.node, &next.node) else { return };
        let count = here.count + next.count;
        if !self.fill.allows(pack.byte_len() + more.byte_len(), count) {
            return;
        }
        let Some(Counted { node: Node::Packed(more), .. }) = self.nodes.remove(at + 1) else { unreachable!("seen") };
        let Node::Packed(pack) = &mut self.nodes[at].node else { unreachable!("seen") };
        pack.append(&more);
        self.nodes[at].count = count;
    }

    /// After elements were removed here and there.
    fn removed(&mut self, removed: usize) -> usize {
        if removed > 0 {
            self.nodes.retain(|node| node.count > 0);
            self.len -= removed;
        }
        removed
    }
}

enum NodeIter<'a> {
    Packed(strip::Iter<'a>),
    Plain(Option<&'a Vec<u8>>),
}

impl<'a> Iterator for NodeIter<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        match self {
            NodeIter::Packed(iter) => iter.next(),
            NodeIter::Plain(bytes) => bytes.take().map(|bytes| Element::Bytes(bytes)),
        }
    }
}

impl DoubleEndedIterator for NodeIter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            NodeIter::Packed(iter) => iter.next_back(),
            NodeIter::Plain(_) => self.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The nodes keep to the fill, and the list reads as the model does from both ends.
    #[track_caller]
    fn check(list: &QuickList, model: &[Vec<u8>]) {
        for counted in &list.nodes {
            match &counted.node {
                Node::Packed(pack) => {
                    assert_eq!(pack.len(), counted.count);
                    assert!(counted.count > 0);
                    // One element that almost fills a node may pass the limit by its own few bytes.
                    assert!(counted.count == 1 || list.fill.allows(pack.byte_len(), counted.count));
                }
                Node::Plain(bytes) => assert!(counted.count == 1 && bytes.len() > list.fill.bytes_max()),
            }
        }
        assert_eq!(list.len(), model.len());
        assert_eq!(list.iter().map(|element| element.to_vec()).collect::<Vec<_>>(), model);
        assert!(list.iter().rev().map(|element| element.to_vec()).eq(model.iter().rev().cloned()));
    }

    #[derive(Debug, Clone)]
    enum Step {
        PushBack(Vec<u8>),
        PushFront(Vec<u8>),
        PopBack,
        PopFront,
        Insert(usize, Vec<u8>),
        Set(usize, Vec<u8>),
        RemoveRange(usize, usize),
        RemoveEqual(Vec<u8>, usize),
        RemoveEqualBack(Vec<u8>, usize),
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            6 => (0..6u8).prop_map(|digit| vec![b'0' + digit]),
            3 => prop::collection::vec(any::<u8>(), 0..8),
            2 => (20..50usize).prop_map(|length| vec![b'y'; length]),
            1 => (60..70usize).prop_map(|length| vec![b'z'; length]),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => text().prop_map(Step::PushBack),
            3 => text().prop_map(Step::PushFront),
            1 => Just(Step::PopBack),
            1 => Just(Step::PopFront),
            5 => (any::<usize>(), text()).prop_map(|(at, text)| Step::Insert(at, text)),
            2 => (any::<usize>(), text()).prop_map(|(at, text)| Step::Set(at, text)),
            1 => (any::<usize>(), 0..15usize).prop_map(|(at, count)| Step::RemoveRange(at, count)),
            1 => (text(), 0..4usize).prop_map(|(text, limit)| Step::RemoveEqual(text, limit)),
            1 => (text(), 0..4usize).prop_map(|(text, limit)| Step::RemoveEqualBack(text, limit)),
        ]
    }

    /// The positions of up to `limit` elements equal to `needle`, in the order given.
    fn equal(model: &[Vec<u8>], needle: &[u8], limit: usize, order: impl Iterator<Item = usize>) -> Vec<usize> {
        let mut found: Vec<usize> = order.filter(|&at| model[at] == needle).take(limit).collect();
        found.sort_unstable();
        found
    }

    fn apply(list: &mut QuickList, model: &mut Vec<Vec<u8>>, step: Step) {
        let len = model.len();
        match step {
            Step::PushBack(text) => {
                list.push_back(&text);
                model.push(text);
            }
            Step::PushFront(text) => {
                list.push_front(&text);
                model.insert(0, text);
            }
            Step::PopBack => assert_eq!(list.pop_back(), model.pop()),
            Step::PopFront => assert_eq!(list.pop_front(), (len > 0).then(|| model.remove(0))),
            Step::Insert(at, text) => {
                list.insert(at % (len + 1), &text);
                model.insert(at % (len + 1), text);
            }
            Step::Set(at, text) => {
                let at = at % (len + 1);
                assert_eq!(list.set(at, &text), at < len);
                if let Some(held) = model.get_mut(at) {
                    *held = text;
                }
            }
            Step::RemoveRange(at, count) => {
                let at = at % (len + 1);
                list.remove_range(at..at + count);
                model.drain(at..(at + count).min(len));
            }
            Step::RemoveEqual(text, limit) => {
                let found = equal(model, &text, limit, 0..len);
                assert_eq!(list.remove_equal(&text, limit), found.len());
                found.iter().rev().for_each(|&at| drop(model.remove(at)));
            }
            Step::RemoveEqualBack(text, limit) => {
                let found = equal(model, &text, limit, (0..len).rev());
                assert_eq!(list.remove_equal_back(&text, limit), found.len());
                found.iter().rev().for_each(|&at| drop(model.remove(at)));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(80))]

        /// With nodes so small that every case has many of them, plain ones among them.
        #[test]
        fn behaves_like_a_list(
            fill in prop_oneof![Just(Fill::Bytes(64)), Just(Fill::Entries(3)), Just(Fill::Bytes(8192))],
            steps in prop::collection::vec(step(), 0..150),
            from in 0..40usize,
            to in 0..60usize,
        ) {
            let (mut list, mut model) = (QuickList::new(fill), Vec::new());
            for step in steps {
                apply(&mut list, &mut model, step);
            }
            check(&list, &model);
            for index in 0..=model.len() {
                prop_assert_eq!(list.get(index).map(|element| element.to_vec()), model.get(index).cloned());
            }
            let cut: Vec<_> = model.iter().take(to).skip(from).cloned().collect();
            prop_assert_eq!(list.range(from..to).map(|element| element.to_vec()).collect::<Vec<_>>(), cut.clone());
            prop_assert!(list.range(from..to).rev().map(|element| element.to_vec()).eq(cut.into_iter().rev()));
        }
    }

    #[test]
    fn the_directive_as_redis_reads_it() {
        for (size, fill) in [
            (-2, Fill::Bytes(8192)),
            (-5, Fill::Bytes(65536)),
            (-9, Fill::Bytes(65536)),
            (i64::MIN, Fill::Bytes(65536)),
            (0, Fill::Entries(1)),
            (128, Fill::Entries(128)),
            (1 << 40, Fill::Entries(0x7fff)),
        ] {
            assert_eq!(Fill::from_config(size), fill, "{size}");
        }
    }

    #[test]
    fn nodes_travel_whole() {
        let mut list = QuickList::new(Fill::Bytes(8192));
        (0..5000).for_each(|number| list.push_back(format!("element {number}").as_bytes()));
        list.push_back(&vec![b'x'; 10_000]);
        assert_eq!(list.as_single_strip(), None);
        let mut copy = QuickList::new(Fill::Bytes(8192));
        copy.push_node(Node::Packed(Strip::new()));
        list.nodes().for_each(|node| copy.push_node(node.clone()));
        assert!(copy.iter().eq(list.iter()));
        assert_eq!(copy.len(), 5001);
        assert!(matches!(copy.nodes().last(), Some(Node::Plain(_))));
        assert!(list.memory() < 120_000, "{}", list.memory());
        list.remove_range(3..usize::MAX);
        assert_eq!(list.as_single_strip().map(Strip::len), Some(3));
    }
}
