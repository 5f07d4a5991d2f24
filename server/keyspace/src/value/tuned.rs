//! A collection to change, together with the thresholds of the day.
//!
//! A collection keeps no thresholds itself: they would cost a small one half as much again. Whoever changes one names them, and what
//! a database hands out to be changed knows them already.

use super::{hash::Hash, list::End, list::List, set::Set, zset::Zset};
use crate::Limits;
use quorate_collections::quicklist::Node;
use std::ops::{Deref, DerefMut, Range};

/// A collection of a database, borrowed to be changed. What needs no thresholds is the collection's own.
#[derive(Debug)]
pub struct Tuned<'a, T> {
    it: &'a mut T,
    limits: &'a Limits,
}

impl<'a, T> Tuned<'a, T> {
    /// A collection under these thresholds.
    pub fn new(it: &'a mut T, limits: &'a Limits) -> Self {
        Self { it, limits }
    }
}

impl<T> Deref for Tuned<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.it
    }
}

impl<T> DerefMut for Tuned<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.it
    }
}

impl Tuned<'_, Hash> {
    /// [`Hash::insert`].
    pub fn insert(&mut self, field: &[u8], value: &[u8]) -> bool {
        self.it.insert(self.limits, field, value)
    }
}

impl Tuned<'_, Set> {
    /// [`Set::insert`].
    pub fn insert(&mut self, member: &[u8]) -> bool {
        self.it.insert(self.limits, member)
    }
}

impl Tuned<'_, Zset> {
    /// [`Zset::insert`].
    pub fn insert(&mut self, member: &[u8], score: f64) -> Option<f64> {
        self.it.insert(self.limits, member, score)
    }

    /// [`Zset::update`].
    pub fn update(&mut self, member: &[u8], decide: impl FnOnce(Option<f64>) -> Option<f64>) -> Option<f64> {
        self.it.update(self.limits, member, decide)
    }
}

impl Tuned<'_, List> {
    /// [`List::push`].
    pub fn push(&mut self, end: End, element: &[u8]) {
        self.it.push(self.limits, end, element);
    }

    /// [`List::pop`].
    pub fn pop(&mut self, end: End) -> Option<Vec<u8>> {
        self.it.pop(self.limits, end)
    }

    /// [`List::replace`].
    pub fn replace(&mut self, index: usize, element: &[u8]) -> bool {
        self.it.replace(self.limits, index, element)
    }

    /// [`List::insert`].
    pub fn insert(&mut self, index: usize, element: &[u8]) {
        self.it.insert(self.limits, index, element);
    }

    /// [`List::remove_range`].
    pub fn remove_range(&mut self, range: Range<usize>) {
        self.it.remove_range(self.limits, range);
    }

    /// [`List::remove_equal`].
    pub fn remove_equal(&mut self, element: &[u8], from: End, most: usize) -> usize {
        self.it.remove_equal(self.limits, element, from, most)
    }

    /// [`List::push_node`].
    pub fn push_node(&mut self, node: Node) {
        self.it.push_node(self.limits, node);
    }
}
