//! A list: one listpack while it is small, a quicklist of listpacks past `list-max-listpack-size`.

use crate::{Limits, StrRef};
use quorate_collections::quicklist::Node;
use std::{ops::Range, sync::Arc};

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The left end, where LPUSH puts.
    Head,
    /// The right end, where RPUSH puts.
    Tail,
}

/// A list. Indexes count from 0 at the head; callers resolve negative ones.
#[derive(Clone, Debug)]
pub struct List {
    limits: Arc<Limits>,
}

impl List {
    /// An empty list.
    pub fn new(limits: &Arc<Limits>) -> Self {
        Self { limits: Arc::clone(limits) }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        todo!("{:?}", self.limits)
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an element at an end.
    pub fn push(&mut self, end: End, element: &[u8]) {
        todo!("{end:?} {element:?}")
    }

    /// Removes the element at an end.
    pub fn pop(&mut self, end: End) -> Option<Vec<u8>> {
        todo!("{end:?}")
    }

    /// The element at `index`.
    pub fn get(&self, index: usize) -> Option<StrRef<'_>> {
        todo!("{index}")
    }

    /// Replaces the element at `index`; false when there is none.
    pub fn replace(&mut self, index: usize, element: &[u8]) -> bool {
        todo!("{index} {element:?}")
    }

    /// Inserts an element before `index`; `index == len` appends. Panics past that.
    pub fn insert(&mut self, index: usize, element: &[u8]) {
        todo!("{index} {element:?}")
    }

    /// Removes the elements of a range that lies within the list.
    pub fn remove_range(&mut self, range: Range<usize>) {
        todo!("{range:?}")
    }

    /// Removes up to `most` elements equal to `element`, starting from `from`, and says how many.
    pub fn remove_equal(&mut self, element: &[u8], from: End, most: usize) -> usize {
        todo!("{element:?} {from:?} {most}")
    }

    /// Every element from the head; reversible.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = StrRef<'_>> {
        self.range(0..self.len())
    }

    /// The elements of a range that lies within the list; reversible. Starting costs a walk over nodes, not elements.
    pub fn range(&self, range: Range<usize>) -> impl DoubleEndedIterator<Item = StrRef<'_>> {
        let _ = range;
        std::iter::empty()
    }

    /// Appends a whole node, as an RDB file stores it. Empty listpacks are skipped.
    pub fn push_node(&mut self, node: Node) {
        todo!("{node:?}")
    }

    /// The one listpack, when that is the encoding.
    pub fn as_listpack(&self) -> Option<&[u8]> {
        todo!()
    }

    /// The nodes for RDB's quicklist; none when the encoding is one listpack.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        std::iter::empty()
    }

    /// The encoding as OBJECT ENCODING names it: `listpack` or `quicklist`.
    pub fn encoding_name(&self) -> &'static str {
        todo!()
    }

    /// Bytes on the heap.
    pub fn memory(&self) -> usize {
        todo!()
    }
}
