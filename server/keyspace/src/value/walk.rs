//! Iterators that the small and large encodings share.

use quorate_collections::{NewValue, text::parse_int};

/// One of two iterators: a small and a large encoding behind one `impl Iterator`.
pub enum Either<A, B> {
    /// The small encoding's.
    Small(A),
    /// The large encoding's.
    Large(B),
}

impl<T, A: Iterator<Item = T>, B: Iterator<Item = T>> Iterator for Either<A, B> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        match self {
            Either::Small(a) => a.next(),
            Either::Large(b) => b.next(),
        }
    }
}

impl<T, A: DoubleEndedIterator<Item = T>, B: DoubleEndedIterator<Item = T>> DoubleEndedIterator for Either<A, B> {
    fn next_back(&mut self) -> Option<T> {
        match self {
            Either::Small(a) => a.next_back(),
            Either::Large(b) => b.next_back(),
        }
    }
}

/// Elements two by two: the fields and values, or members and scores, of a listpack.
#[derive(Clone)]
pub struct Pairs<I>(pub I);

impl<I: Iterator> Iterator for Pairs<I> {
    type Item = (I::Item, I::Item);
    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.next()?, self.0.next()?))
    }
}

impl<I: DoubleEndedIterator> DoubleEndedIterator for Pairs<I> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let second = self.0.next_back()?;
        Some((self.0.next_back()?, second))
    }
}

/// A window of an iterator whose length is known, reversible without `ExactSizeIterator`. Whichever end is
/// never asked is never walked.
pub struct Window<I> {
    inner: I,
    before: usize, // elements to skip at the front, before the first one is taken from there
    after: usize,  // likewise at the back
    left: usize,
}

impl<I> Window<I> {
    /// `take` elements of `inner`, which has `before` elements ahead of them and `after` behind.
    pub fn new(inner: I, before: usize, take: usize, after: usize) -> Self {
        Self { inner, before, after, left: take }
    }
}

impl<I: Iterator> Iterator for Window<I> {
    type Item = I::Item;
    fn next(&mut self) -> Option<I::Item> {
        self.left = self.left.checked_sub(1)?;
        self.inner.nth(std::mem::take(&mut self.before))
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<I: DoubleEndedIterator> DoubleEndedIterator for Window<I> {
    fn next_back(&mut self) -> Option<I::Item> {
        self.left = self.left.checked_sub(1)?;
        self.inner.nth_back(std::mem::take(&mut self.after))
    }
}

/// Text on its way into an entry; an integer's canonical text becomes the integer.
pub fn new_text<B>(text: &[u8]) -> NewValue<'_, B> {
    parse_int(text).map_or(NewValue::Bytes(text), NewValue::Int)
}
