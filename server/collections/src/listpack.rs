//! A short sequence of strings and integers in one allocation: Redis's listpack, byte for byte.
use crate::Malformed;
use crate::text::{INT_TEXT_MAX, format_int};

/// One element as stored: an integer needs no formatting where an integer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element<'a> {
    /// Stored as an integer; its text is the canonical decimal.
    Int(i64),
    /// Stored as a string (never the canonical text of an i64 unless untrusted bytes brought it in).
    Bytes(&'a [u8]),
}

impl<'a> Element<'a> {
    /// The element's text: a slice of the listpack, or of `buffer` for an integer.
    pub fn text<'b>(&self, buffer: &'b mut [u8; INT_TEXT_MAX]) -> &'b [u8]
    where
        'a: 'b,
    {
        match *self {
            Element::Int(value) => format_int(value, buffer),
            Element::Bytes(bytes) => bytes,
        }
    }
    /// The element's text, owned.
    pub fn to_vec(&self) -> Vec<u8> {
        self.text(&mut [0; INT_TEXT_MAX]).to_vec()
    }
    /// Is the element's text `bytes`?
    pub fn is(&self, bytes: &[u8]) -> bool {
        self.text(&mut [0; INT_TEXT_MAX]) == bytes
    }
    /// The length of its text.
    pub fn text_len(&self) -> usize {
        self.text(&mut [0; INT_TEXT_MAX]).len()
    }
}

/// Where an element begins. Any change of the listpack makes older positions meaningless (never unsafe).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pos(usize);

/// A sequence of elements. Bytes: total length u32, element count u16 (65535: unknown), elements, 0xFF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listpack {
    bytes: Vec<u8>,
}

impl Listpack {
    /// An empty listpack.
    pub fn new() -> Self {
        todo!()
    }
    /// Takes untrusted bytes and walks every element once.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Malformed> {
        let _ = bytes;
        todo!()
    }
    /// The listpack in Redis's format.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
    /// The bytes, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
    /// Length in bytes, header and end included.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }
    /// How many elements.
    pub fn len(&self) -> usize {
        todo!()
    }
    /// No elements?
    pub fn is_empty(&self) -> bool {
        self.first().is_none()
    }
    /// The first element's position.
    pub fn first(&self) -> Option<Pos> {
        todo!()
    }
    /// The last element's position.
    pub fn last(&self) -> Option<Pos> {
        todo!()
    }
    /// The position after `pos`.
    pub fn next(&self, pos: Pos) -> Option<Pos> {
        let _ = pos;
        todo!()
    }
    /// The position before `pos`.
    pub fn prev(&self, pos: Pos) -> Option<Pos> {
        let _ = pos;
        todo!()
    }
    /// The position of element `index`, counted from 0; walks from the nearer end.
    pub fn nth(&self, index: usize) -> Option<Pos> {
        let _ = index;
        todo!()
    }
    /// The element at `pos`.
    pub fn get(&self, pos: Pos) -> Element<'_> {
        let _ = pos;
        todo!()
    }
    /// The first element equal to `needle`, looking at the first and then at every `1 + skip`th (skip 1: a hash's fields).
    pub fn find(&self, needle: &[u8], skip: usize) -> Option<Pos> {
        let _ = (needle, skip);
        todo!()
    }
    /// Appends; a string that is a canonical integer is stored as one.
    pub fn push_back(&mut self, text: &[u8]) {
        let _ = text;
        todo!()
    }
    /// Appends an integer.
    pub fn push_back_int(&mut self, value: i64) {
        let _ = value;
        todo!()
    }
    /// Prepends.
    pub fn push_front(&mut self, text: &[u8]) {
        let _ = text;
        todo!()
    }
    /// Inserts before `pos`; returns the new element's position.
    pub fn insert_before(&mut self, pos: Pos, text: &[u8]) -> Pos {
        let _ = (pos, text);
        todo!()
    }
    /// Inserts after `pos`; returns the new element's position.
    pub fn insert_after(&mut self, pos: Pos, text: &[u8]) -> Pos {
        let _ = (pos, text);
        todo!()
    }
    /// Puts `text` in the place of the element at `pos`.
    pub fn replace(&mut self, pos: Pos, text: &[u8]) {
        let _ = (pos, text);
        todo!()
    }
    /// Removes `count` elements from `pos` on (fewer when the end comes first); returns what now stands at `pos`.
    pub fn remove(&mut self, pos: Pos, count: usize) -> Option<Pos> {
        let _ = (pos, count);
        todo!()
    }
    /// The elements in order; reversible.
    pub fn iter(&self) -> Iter<'_> {
        Iter { pack: self }
    }
    /// The elements in order, each with its position; reversible.
    pub fn positions(&self) -> impl DoubleEndedIterator<Item = (Pos, Element<'_>)> + '_ {
        let _ = self;
        std::iter::empty()
    }
}

impl Default for Listpack {
    fn default() -> Self {
        Self::new()
    }
}

/// See [`Listpack::iter`].
pub struct Iter<'a> {
    #[allow(dead_code)]
    pack: &'a Listpack,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;
    fn next(&mut self) -> Option<Element<'a>> {
        todo!()
    }
}
impl<'a> DoubleEndedIterator for Iter<'a> {
    fn next_back(&mut self) -> Option<Element<'a>> {
        todo!()
    }
}
