//! A short sequence of strings and numbers in one allocation that is read from front to back: small hashes, sets and sorted sets.
//!
//! ```text
//! total bytes u32 | elements u16 | element …                                       all little-endian
//! element: 0x00-0x7f            a string of that length, its bytes follow
//!          0x80-0xbf            an integer from 0 to 63
//!          0xc0 + n (1 to 8)    an integer, n bytes
//!          0xd0                 a double, 8 bytes
//!          0xe0                 a string, its length u32, its bytes
//! ```
//!
//! A [`listpack`](crate::listpack) takes two bytes an element where this takes one, because it can be walked backwards; its scores are texts. Files have
//! listpacks, so these are rewritten on the way out and in. Each string and each number has exactly one encoding, so that finding one is comparing bytes.
//!
//! Everything here is bounds-checked: a position that a change made stale may give nonsense or a panic, never more.
//! Finding an element is a walk; whoever lets it grow long pays for it.
use crate::listpack::Element;
use crate::text::{INT_TEXT_MAX, parse_int};
use crate::thin::{PREFIX, Thin};
use std::fmt;
use std::ops::Range;

const HEADER: usize = 6;
/// Most elements: what the header can say. Callers convert to another structure before.
pub const COUNT_MAX: usize = u16::MAX as usize;
const STRING_MAX: usize = 0x7f;
const INT_SMALL: u8 = 0x80;
const INT_SMALL_MAX: i64 = 0x3f;
const INT: u8 = 0xc0;
const DOUBLE: u8 = 0xd0;
const STRING_LONG: u8 = 0xe0;
/// Most bytes of an element before a string's own: a tag and an integer, or a tag and a length.
const HEAD_MAX: usize = 9;

/// Where an element begins. Any change before it makes a position meaningless (never unsafe).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pos(usize);

/// A sequence of elements. Below 2 GiB in all: callers convert to another structure long before.
#[derive(Clone)]
#[repr(transparent)]
pub struct Flat {
    held: Thin<0>,
}

impl Flat {
    /// An empty sequence.
    pub fn new() -> Self {
        Flat { held: Thin::new(HEADER) }
    }

    /// These elements, in one allocation of the right size. Panics above [`COUNT_MAX`] of them.
    pub fn from_parts<'a>(parts: impl Iterator<Item = Part<'a>> + Clone) -> Self {
        let length = parts.clone().map(|part| Encoded::of(part).len()).sum();
        let mut flat = Self::new();
        let mut room = flat.held.gap(HEADER..HEADER, length);
        let mut count = 0;
        for part in parts {
            room = Encoded::of(part).write(room);
            count += 1;
        }
        flat.restate(count);
        flat
    }

    /// Length in bytes.
    pub fn byte_len(&self) -> usize {
        self.held.len()
    }

    /// Bytes of the allocation.
    pub fn memory(&self) -> usize {
        self.held.room()
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        let bytes = self.held.bytes();
        usize::from(u16::from_le_bytes([bytes[4], bytes[5]]))
    }

    /// No elements?
    pub fn is_empty(&self) -> bool {
        self.held.len() == HEADER
    }

    /// The first element's position.
    pub fn first(&self) -> Option<Pos> {
        self.at(HEADER)
    }

    /// The position after `pos`.
    pub fn next(&self, pos: Pos) -> Option<Pos> {
        self.at(after(self.held.bytes(), pos.0))
    }

    /// The position of element `index`, counted from 0.
    pub fn nth(&self, index: usize) -> Option<Pos> {
        let bytes = self.held.bytes();
        let mut at = HEADER;
        for _ in 0..index {
            if at >= bytes.len() {
                return None;
            }
            at = after(bytes, at);
        }
        self.at(at)
    }

    /// The string or integer at `pos`. Panics on a double.
    pub fn get(&self, pos: Pos) -> Element<'_> {
        decode(self.held.bytes(), pos.0).0
    }

    /// The number at `pos`, as a double. Panics on a string.
    pub fn number(&self, pos: Pos) -> f64 {
        number(self.held.bytes(), pos.0)
    }

    /// The first element equal to `needle`, looking at the first and then at every `1 + SKIP`th (1: a hash's fields).
    pub fn find<const SKIP: usize>(&self, needle: &[u8]) -> Option<Pos> {
        let wanted = Encoded::of(Part::of(needle));
        let (tag, number, text) = (wanted.head[0], &wanted.head[1..wanted.head_len], wanted.data);
        match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
            // Most members: two reads of a fixed length, and no call.
            (Some(first), Some(last)) if text.len() <= 16 => self.find_by::<SKIP>(tag, |bytes| {
                let start = bytes.get(..text.len());
                start.is_some_and(|start| start.first_chunk() == Some(first) && start.last_chunk() == Some(last))
            }),
            _ => self.find_by::<SKIP>(tag, |bytes| {
                let behind = bytes.strip_prefix(number);
                behind.and_then(|bytes| bytes.get(..text.len())).is_some_and(|start| start == text)
            }),
        }
    }

    /// The first of these elements that begins with `tag` and goes on as `is_same` wants.
    #[inline]
    fn find_by<const SKIP: usize>(&self, tag: u8, is_same: impl Fn(&[u8]) -> bool) -> Option<Pos> {
        let bytes = self.held.bytes();
        let mut at = HEADER;
        while let Some(&first) = bytes.get(at) {
            if first == tag && is_same(&bytes[at + 1..]) {
                return Some(Pos(at));
            }
            at = after_tag(bytes, at, first);
            for _ in 0..SKIP {
                at = after(bytes, at);
            }
        }
        None
    }

    /// Of elements two by two, the second of each a number: where the first pair stands that comes after this one by number and then by text; nothing when
    /// none does. The pair itself may be among them.
    pub fn first_above(&self, text: &[u8], value: f64) -> Option<Pos> {
        let bytes = self.held.bytes();
        let mut at = HEADER;
        while at < bytes.len() {
            let number_at = after(bytes, at);
            let its = number(bytes, number_at);
            let above = its > value || its == value && decode(bytes, at).0.text(&mut [0; INT_TEXT_MAX]) > text;
            if above {
                return Some(Pos(at));
            }
            at = after(bytes, number_at);
        }
        None
    }

    /// Appends elements. Panics above [`COUNT_MAX`].
    pub fn push<const N: usize>(&mut self, parts: [Part<'_>; N]) {
        self.put(self.held.len()..self.held.len(), parts);
    }

    /// Inserts elements before `pos`. Panics above [`COUNT_MAX`].
    pub fn insert<const N: usize>(&mut self, pos: Pos, parts: [Part<'_>; N]) {
        self.put(pos.0..pos.0, parts);
    }

    /// Puts `part` in the place of the element at `pos`.
    pub fn replace(&mut self, pos: Pos, part: Part<'_>) {
        let old = pos.0..after(self.held.bytes(), pos.0);
        let new = Encoded::of(part);
        new.write(self.held.gap(old, new.len()));
    }

    /// Removes `count` elements from `pos` on; fewer when the end comes first.
    pub fn remove(&mut self, pos: Pos, count: usize) {
        let (bytes, mut to, mut removed) = (self.held.bytes(), pos.0, 0);
        while removed < count && to < bytes.len() {
            to = after(bytes, to);
            removed += 1;
        }
        self.held.gap(pos.0..to, 0);
        self.restate(self.len() - removed);
    }

    /// Moves what lies from `from` up to `end` (nothing: the end) before the element at `to`, which comes earlier or is nothing, the end.
    pub fn shift(&mut self, from: Pos, end: Option<Pos>, to: Option<Pos>) {
        let last = self.held.len();
        let (from, end, to) = (from.0, end.map_or(last, |pos| pos.0), to.map_or(last, |pos| pos.0));
        let bytes = self.held.rest_mut();
        if to <= from {
            bytes[to - PREFIX..end - PREFIX].rotate_right(end - from);
        } else {
            bytes[from - PREFIX..to - PREFIX].rotate_left(end - from);
        }
    }

    /// The elements in order. Panics on a double.
    pub fn iter(&self) -> Iter<'_> {
        Iter { bytes: self.held.bytes(), at: HEADER, left: self.len() }
    }

    /// The elements in order two by two, the second of each a number, from pair `skipped` on.
    pub fn scored(&self, skipped: usize) -> Scored<'_> {
        let bytes = self.held.bytes();
        let at = self.nth(2 * skipped).map_or(bytes.len(), |pos| pos.0);
        Scored { bytes, at }
    }

    fn at(&self, at: usize) -> Option<Pos> {
        (at < self.held.len()).then_some(Pos(at))
    }

    /// Puts elements in the place of the bytes `at`, which are none.
    fn put<const N: usize>(&mut self, at: Range<usize>, parts: [Part<'_>; N]) {
        let encoded = parts.map(Encoded::of);
        let count = self.len() + N;
        let mut room = self.held.gap(at, encoded.iter().map(Encoded::len).sum());
        for part in &encoded {
            room = part.write(room);
        }
        self.restate(count);
    }

    fn restate(&mut self, count: usize) {
        let count = u16::try_from(count).expect("callers convert before there are so many elements");
        self.held.rest_mut()[..HEADER - PREFIX].copy_from_slice(&count.to_le_bytes());
    }
}

/// An element on its way in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Part<'a> {
    /// A string that is no integer's canonical text.
    Bytes(&'a [u8]),
    /// An integer, or the string that is its canonical text.
    Int(i64),
    /// A double.
    Double(f64),
}

impl<'a> Part<'a> {
    /// What a string is kept as.
    #[inline]
    pub fn of(text: &'a [u8]) -> Self {
        parse_int(text).map_or(Part::Bytes(text), Part::Int)
    }

    /// What an element of another encoding is kept as; it may come from a file and hold an integer's text as a string.
    pub fn of_element(element: Element<'a>) -> Self {
        match element {
            Element::Int(value) => Part::Int(value),
            Element::Bytes(bytes) => Part::of(bytes),
        }
    }

    /// What a score is kept as: an integer where it has no fraction.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "checked to be whole and within 2^62")]
    pub fn score(score: f64) -> Self {
        const WHOLE: f64 = (1u64 << 62) as f64;
        // Not `fract`, which is a call where the processor's own rounding may not be used.
        if score.abs() < WHOLE && (score as i64) as f64 == score {
            Part::Int(score as i64)
        } else {
            Part::Double(score)
        }
    }
}

/// An element's bytes: tag and number, and a string's own behind it.
struct Encoded<'a> {
    head: [u8; HEAD_MAX],
    head_len: usize,
    data: &'a [u8],
}

impl<'a> Encoded<'a> {
    #[inline]
    fn of(part: Part<'a>) -> Self {
        let mut head = [0; HEAD_MAX];
        let (head_len, data): (usize, &[u8]) = match part {
            Part::Bytes(data) if data.len() <= STRING_MAX => {
                head[0] = data.len() as u8;
                (1, data)
            }
            Part::Bytes(data) => {
                let length = u32::try_from(data.len()).expect("callers keep large strings out");
                head[0] = STRING_LONG;
                head[1..5].copy_from_slice(&length.to_le_bytes());
                (5, data)
            }
            Part::Int(value @ 0..=INT_SMALL_MAX) => {
                head[0] = INT_SMALL | value as u8;
                (1, &[])
            }
            Part::Int(value) => {
                let width = int_width(value);
                head[0] = INT + width as u8;
                head[1..].copy_from_slice(&value.to_le_bytes());
                (1 + width, &[])
            }
            Part::Double(value) => {
                head[0] = DOUBLE;
                head[1..].copy_from_slice(&value.to_le_bytes());
                (HEAD_MAX, &[])
            }
        };
        Encoded { head, head_len, data }
    }

    fn len(&self) -> usize {
        self.head_len + self.data.len()
    }

    /// Writes it to the beginning of `room`; returns the rest.
    fn write<'r>(&self, room: &'r mut [u8]) -> &'r mut [u8] {
        let (to, room) = room.split_at_mut(self.head_len);
        to.copy_from_slice(&self.head[..self.head_len]);
        let (to, room) = room.split_at_mut(self.data.len());
        to.copy_from_slice(self.data);
        room
    }
}

/// Where the element after the one at `at` begins.
#[inline]
fn after(bytes: &[u8], at: usize) -> usize {
    after_tag(bytes, at, bytes[at])
}

/// The same, the element's first byte being known.
#[inline]
fn after_tag(bytes: &[u8], at: usize, tag: u8) -> usize {
    let data = match tag {
        0..=0x7f => usize::from(tag),
        0x80..=0xbf => 0,
        INT..DOUBLE => usize::from(tag - INT),
        DOUBLE => 8,
        _ => 4 + long_len(bytes, at),
    };
    at + 1 + data
}

fn long_len(bytes: &[u8], at: usize) -> usize {
    let length: [u8; 4] = bytes[at + 1..at + 5].try_into().expect("four bytes");
    u32::from_le_bytes(length) as usize
}

/// The element at `at`, and where the next one begins.
#[inline]
fn decode(bytes: &[u8], at: usize) -> (Element<'_>, usize) {
    let end = after(bytes, at);
    let element = match bytes[at] {
        0..=0x7f => Element::Bytes(&bytes[at + 1..end]),
        tag @ 0x80..=0xbf => Element::Int(i64::from(tag - INT_SMALL)),
        DOUBLE => unreachable!("a double is asked for as a number"),
        STRING_LONG => Element::Bytes(&bytes[at + 5..end]),
        _ => Element::Int(int(bytes, at + 1, end - at - 1)),
    };
    (element, end)
}

/// Bytes that an integer takes, 1 to 8.
#[inline]
pub(crate) fn int_width(value: i64) -> usize {
    // The bits that differ from the sign, and the sign.
    let bits = 65 - (value ^ (value >> 63)).leading_zeros() as usize;
    bits.div_ceil(8)
}

/// The integer of these bytes, 1 to 8 from `at` on.
#[inline]
pub(crate) fn int(bytes: &[u8], at: usize, width: usize) -> i64 {
    let mut wide = [0; 8];
    match bytes[at..].first_chunk::<8>() {
        // Whatever follows it is shifted out.
        Some(eight) => wide = *eight,
        None => wide[..width].copy_from_slice(&bytes[at..at + width]),
    }
    let unused = 64 - 8 * width as u32;
    i64::from_le_bytes(wide) << unused >> unused
}

#[inline]
#[allow(clippy::cast_precision_loss, reason = "an integer stands for the nearest double, as in Redis")]
fn number(bytes: &[u8], at: usize) -> f64 {
    match bytes[at] {
        tag @ 0x80..=0xbf => f64::from(tag - INT_SMALL),
        DOUBLE => f64::from_le_bytes(bytes[at + 1..at + 9].try_into().expect("eight bytes")),
        tag @ INT..DOUBLE => int(bytes, at + 1, usize::from(tag - INT)) as f64,
        _ => unreachable!("a string is no number"),
    }
}

/// See [`Flat::iter`].
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    at: usize,
    left: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (element, end) = decode(self.bytes, self.at);
        self.at = end;
        Some(element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// See [`Flat::scored`].
#[derive(Debug, Clone)]
pub struct Scored<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Scored<'a> {
    type Item = (Element<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let (member, score_at) = decode(self.bytes, self.at);
        self.at = after(self.bytes, score_at);
        Some((member, number(self.bytes, score_at)))
    }
}

impl PartialEq for Flat {
    fn eq(&self, other: &Self) -> bool {
        self.held.bytes() == other.held.bytes()
    }
}

impl Eq for Flat {}

impl fmt::Debug for Flat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Flat").field(&self.held.bytes()).finish()
    }
}

impl Default for Flat {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
