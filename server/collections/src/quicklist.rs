//! A list as a deque of listpacks: Redis's quicklist.
use crate::listpack::{Element, Listpack};
use std::ops::Range;

/// How full a node may be (`list-max-listpack-size`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// At most so many bytes a node (negative sizes -1 to -5: 4, 8, 16, 32, 64 KB).
    Bytes(usize),
    /// At most so many elements a node, and no more than 8 KB.
    Entries(usize),
}

impl Fill {
    /// The directive's integer, as Redis reads it.
    pub fn from_config(size: i64) -> Self {
        let _ = size;
        todo!()
    }
}

/// One node, as an RDB file stores it.
#[derive(Debug, Clone)]
pub enum Node {
    /// Many elements.
    Packed(Listpack),
    /// One element too large for a packed node.
    Plain(Vec<u8>),
}

/// A list of strings.
#[derive(Debug, Clone)]
pub struct QuickList {
    #[allow(dead_code)]
    fill: Fill,
}

impl QuickList {
    /// An empty list.
    pub fn new(fill: Fill) -> Self {
        QuickList { fill }
    }
    /// A list that begins as one listpack's elements (the listpack encoding grown too large).
    pub fn from_listpack(fill: Fill, pack: Listpack) -> Self {
        let _ = (fill, pack);
        todo!()
    }
    /// Appends a whole node, as a file being loaded brings it. Empty listpacks are skipped.
    pub fn push_node(&mut self, node: Node) {
        let _ = node;
        todo!()
    }
    /// The nodes in order, for a file being written.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> + '_ {
        std::iter::empty()
    }
    /// How many elements.
    pub fn len(&self) -> usize {
        todo!()
    }
    /// No elements?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Approximate bytes held.
    pub fn memory(&self) -> usize {
        todo!()
    }
    /// If one packed node holds everything: that node, for going back to the listpack encoding.
    pub fn as_single_listpack(&self) -> Option<&Listpack> {
        todo!()
    }
    /// Prepends.
    pub fn push_front(&mut self, text: &[u8]) {
        let _ = text;
        todo!()
    }
    /// Appends.
    pub fn push_back(&mut self, text: &[u8]) {
        let _ = text;
        todo!()
    }
    /// Removes the first element.
    pub fn pop_front(&mut self) -> Option<Vec<u8>> {
        todo!()
    }
    /// Removes the last element.
    pub fn pop_back(&mut self) -> Option<Vec<u8>> {
        todo!()
    }
    /// The element at `index`.
    pub fn get(&self, index: usize) -> Option<Element<'_>> {
        let _ = index;
        todo!()
    }
    /// Replaces the element at `index`; false when there is none.
    pub fn set(&mut self, index: usize, text: &[u8]) -> bool {
        let _ = (index, text);
        todo!()
    }
    /// Inserts so that the new element has `index` (at most the length, which appends).
    pub fn insert(&mut self, index: usize, text: &[u8]) {
        let _ = (index, text);
        todo!()
    }
    /// Removes the elements of `range`, cut to the length.
    pub fn remove_range(&mut self, range: Range<usize>) {
        let _ = range;
        todo!()
    }
    /// Removes up to `limit` elements equal to `needle`, from the front; returns how many.
    pub fn remove_equal(&mut self, needle: &[u8], limit: usize) -> usize {
        let _ = (needle, limit);
        todo!()
    }
    /// Removes up to `limit` elements equal to `needle`, from the back; returns how many.
    pub fn remove_equal_back(&mut self, needle: &[u8], limit: usize) -> usize {
        let _ = (needle, limit);
        todo!()
    }
    /// The elements in order; reversible.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Element<'_>> + '_ {
        std::iter::empty()
    }
    /// The elements of `range` (cut to the length) in order; reversible. Finding its ends costs a walk over nodes, not elements.
    pub fn range(&self, range: Range<usize>) -> impl DoubleEndedIterator<Item = Element<'_>> + '_ {
        let _ = range;
        std::iter::empty()
    }
}
