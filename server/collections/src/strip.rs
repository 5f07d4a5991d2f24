//! A short sequence of strings and integers in one allocation that is read from either end: small lists, and the nodes of large ones.
//!
//! ```text
//! total bytes u32 | elements u16 (65535: too many to say) | link | data | link | … | data | link       all little-endian
//! link u8: the tag of the element before it XOR that of the element behind it; where there is none, 0 stands for it
//! tag, and data:   0x00-0x7f            a string of that length
//!                  0x80-0xbf            an integer from 0 to 63: none
//!                  0xc0 + n (1 to 8)    an integer, n bytes
//!                  0xe0 + n (0 to 30)   a string of 256 n bytes and as many as the byte before it says; it stands behind it, too
//!                  0xff                 a string, its length u32 before and behind it
//! ```
//!
//! Whoever comes from one side knows the tag there, and so learns the other one. A [`listpack`](crate::listpack) says each length twice,
//! which is a byte an element more; files have listpacks, so these are rewritten on the way out and in.
//!
//! Everything here is bounds-checked: a position that a change made stale may give nonsense or a panic, never more.
//! Finding an element is a walk; whoever lets a strip grow long pays for it.
use crate::flat::{int, int_width};
use crate::listpack::{Element, Writer};
use crate::text::parse_int;
use crate::thin::{PREFIX, Thin};
use std::fmt;
use std::ops::Range;

/// What stands before the first link.
const HEADER: usize = 6;
/// The count in the header when it does not fit there.
const COUNT_UNKNOWN: u16 = u16::MAX;
/// The tag that stands for no element; an empty string's is the same, and which it is says the place.
const NONE: u8 = 0;
const STRING_MAX: usize = 0x7f;
const INT_SMALL: u8 = 0x80;
const INT_SMALL_MAX: i64 = 0x3f;
const INT: u8 = 0xc0;
const STRING_MEDIUM: u8 = 0xe0;
const STRING_MEDIUM_MAX: usize = 0x1eff;
const STRING_LONG: u8 = 0xff;
/// Bytes of a long string's length.
const LONG: usize = size_of::<u32>();

/// Where an element's data begin, and its tag. Any change makes positions behind it meaningless (never unsafe).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pos {
    at: usize,
    tag: u8,
}

/// A sequence of elements. Below 2 GiB in all: callers convert to another structure long before.
#[derive(Clone)]
#[repr(transparent)]
pub struct Strip {
    held: Thin<0>,
}

impl Strip {
    /// An empty strip.
    pub fn new() -> Self {
        Strip { held: Thin::new(HEADER + 1) }
    }

    /// These elements, in one allocation of the right size.
    pub fn from_elements<'a>(elements: impl Iterator<Item = Element<'a>> + Clone) -> Self {
        let length: usize = elements.clone().map(|element| New::of(element).len() + 1).sum();
        let mut strip = Self::new();
        let room = strip.held.gap(HEADER..HEADER + 1, length + 1);
        let (mut at, mut before, mut count) = (0, NONE, 0);
        for element in elements {
            let new = New::of(element);
            let end = at + 1 + new.len();
            room[at] = before ^ new.tag;
            new.write(&mut room[at + 1..end]);
            (at, before, count) = (end, new.tag, count + 1);
        }
        room[at] = before;
        strip.restate(count);
        strip
    }

    /// As a file has it: a listpack.
    pub fn to_listpack(&self) -> Vec<u8> {
        let mut out = Writer::new(self.listpack_len());
        self.iter().for_each(|element| out.push(element));
        out.finish()
    }

    /// About how long that is: a byte an element more.
    pub fn listpack_len(&self) -> usize {
        self.byte_len() + self.len()
    }

    /// Length in bytes.
    pub fn byte_len(&self) -> usize {
        self.held.len()
    }

    /// Bytes of the allocation.
    pub fn memory(&self) -> usize {
        self.held.room()
    }

    /// Would a strip of this length in bytes still be at most `limit` with `text` added? An estimate from above.
    pub fn fits(byte_len: usize, text: &[u8], limit: usize) -> bool {
        const OVERHEAD_MAX: usize = 2 * LONG + 1;
        byte_len.saturating_add(text.len()).saturating_add(OVERHEAD_MAX) <= limit
    }

    /// How many elements. A walk when there are 65535 or more.
    pub fn len(&self) -> usize {
        match self.stated_count() {
            COUNT_UNKNOWN => self.iter().count(),
            count => usize::from(count),
        }
    }

    /// No elements?
    pub fn is_empty(&self) -> bool {
        self.held.len() == HEADER + 1
    }

    /// The first element's position.
    pub fn first(&self) -> Option<Pos> {
        self.behind(HEADER, NONE)
    }

    /// The last element's position.
    pub fn last(&self) -> Option<Pos> {
        before(self.held.bytes(), self.end(), NONE)
    }

    /// The position after `pos`.
    pub fn next(&self, pos: Pos) -> Option<Pos> {
        self.behind(after(self.held.bytes(), pos), pos.tag)
    }

    /// The position before `pos`.
    pub fn prev(&self, pos: Pos) -> Option<Pos> {
        before(self.held.bytes(), pos.at - 1, pos.tag)
    }

    /// The position of element `index`, counted from 0; walks from the nearer end.
    pub fn nth(&self, index: usize) -> Option<Pos> {
        let len = self.len();
        if index >= len {
            None
        } else if index < len / 2 {
            (0..index).try_fold(self.first()?, |pos, _| self.next(pos))
        } else {
            (index + 1..len).try_fold(self.last()?, |pos, _| self.prev(pos))
        }
    }

    /// The element at `pos`.
    pub fn get(&self, pos: Pos) -> Element<'_> {
        decode(self.held.bytes(), pos, after(self.held.bytes(), pos))
    }

    /// The first element equal to `needle`, from a position on.
    pub fn find_from(&self, from: Option<Pos>, needle: &[u8]) -> Option<Pos> {
        let (wanted, bytes) = (New::of_text(needle), self.held.bytes());
        let mut pos = from;
        while let Some(here) = pos {
            let is_same = || {
                let behind = bytes[here.at..].strip_prefix(wanted.number());
                behind.is_some_and(|bytes| bytes.starts_with(wanted.data))
            };
            if here.tag == wanted.tag && is_same() {
                return pos;
            }
            pos = self.next(here);
        }
        None
    }

    /// Appends; a string that is a canonical integer is stored as one.
    pub fn push_back(&mut self, text: &[u8]) {
        let end = self.end();
        let last = self.held.bytes()[end];
        self.put(end, last, text);
    }

    /// Prepends.
    pub fn push_front(&mut self, text: &[u8]) {
        self.put(HEADER, NONE, text);
    }

    /// Inserts before `pos`; returns the new element's position.
    pub fn insert_before(&mut self, pos: Pos, text: &[u8]) -> Pos {
        let link = pos.at - 1;
        self.put(link, self.held.bytes()[link] ^ pos.tag, text)
    }

    /// Inserts after `pos`; returns the new element's position.
    pub fn insert_after(&mut self, pos: Pos, text: &[u8]) -> Pos {
        self.put(after(self.held.bytes(), pos), pos.tag, text)
    }

    /// Puts `text` in the place of the element at `pos`; returns the new element's position.
    pub fn replace(&mut self, pos: Pos, text: &[u8]) -> Pos {
        let (new, end) = (New::of_text(text), after(self.held.bytes(), pos));
        let changes = pos.tag ^ new.tag;
        let bytes = self.held.rest_mut();
        bytes[pos.at - 1 - PREFIX] ^= changes;
        bytes[end - PREFIX] ^= changes;
        new.write(self.held.gap(pos.at..end, new.len()));
        Pos { at: pos.at, tag: new.tag }
    }

    /// Removes `count` elements from `pos` on (fewer when the end comes first); returns what now stands at `pos`.
    pub fn remove(&mut self, pos: Pos, count: usize) -> Option<Pos> {
        let bytes = self.held.bytes();
        let (mut next, mut removed, mut to) = (Some(pos), 0, pos.at - 1);
        let mut last = bytes[to] ^ pos.tag;
        while let Some(here) = next.filter(|_| removed < count) {
            (to, last) = (after(bytes, here), here.tag);
            removed += 1;
            next = self.behind(to, last);
        }
        if removed > 0 {
            let link = pos.at - 1;
            let (before, behind) = (bytes[link] ^ pos.tag, bytes[to] ^ last);
            self.held.gap(link..to, 0);
            self.held.rest_mut()[link - PREFIX] = before ^ behind;
            self.restate(-(removed as isize));
        }
        next.map(|next| Pos { at: pos.at, tag: next.tag })
    }

    /// Moves the elements from `pos` on into a strip of their own.
    pub fn split_off(&mut self, pos: Pos) -> Strip {
        let mut tail = Strip::new();
        let (link, end) = (pos.at - 1, self.end());
        let count = Iter { bytes: self.held.bytes(), front: Some(pos), back: end, back_tag: NONE }.count();
        let room = tail.held.gap(HEADER..HEADER + 1, end + 1 - link);
        room.copy_from_slice(&self.held.bytes()[link..]);
        room[0] = pos.tag;
        self.held.rest_mut()[link - PREFIX] ^= pos.tag;
        self.held.resize(link + 1);
        self.restate(-(count as isize));
        tail.restate(count as isize);
        tail
    }

    /// Appends all elements of another strip.
    pub fn append(&mut self, other: &Strip) {
        let (end, count) = (self.end(), other.len());
        let link = self.held.bytes()[end] ^ other.held.bytes()[HEADER];
        let moved = &other.held.bytes()[HEADER..];
        let room = self.held.gap(end..end + 1, moved.len());
        room.copy_from_slice(moved);
        room[0] = link;
        self.restate(count as isize);
    }

    /// The elements in order; reversible.
    pub fn iter(&self) -> Iter<'_> {
        Iter { bytes: self.held.bytes(), front: self.first(), back: self.end(), back_tag: NONE }
    }

    /// The elements of these indexes (cut to the length) in order; reversible.
    pub fn range(&self, indexes: Range<usize>) -> Iter<'_> {
        let front = self.nth(indexes.start).filter(|_| indexes.start < indexes.end);
        let (back, back_tag) = self.nth(indexes.end).map_or((self.end(), NONE), |pos| (pos.at - 1, pos.tag));
        Iter { bytes: self.held.bytes(), front, back, back_tag }
    }

    /// Offset of the last link.
    fn end(&self) -> usize {
        self.held.len() - 1
    }

    /// The element behind the link at `link`, before which one with this tag stands.
    #[inline]
    fn behind(&self, link: usize, tag: u8) -> Option<Pos> {
        (link < self.end()).then(|| Pos { at: link + 1, tag: self.held.bytes()[link] ^ tag })
    }

    fn stated_count(&self) -> u16 {
        let bytes = self.held.bytes();
        u16::from_le_bytes([bytes[4], bytes[5]])
    }

    /// Puts an element where the link at `link` is, behind an element with the tag `before`.
    fn put(&mut self, link: usize, before: u8, text: &[u8]) -> Pos {
        let new = New::of_text(text);
        let behind = self.held.bytes()[link] ^ before;
        let room = self.held.gap(link..link, 1 + new.len());
        room[0] = before ^ new.tag;
        new.write(&mut room[1..]);
        self.held.rest_mut()[link + 1 + new.len() - PREFIX] = new.tag ^ behind;
        self.restate(1);
        Pos { at: link + 1, tag: new.tag }
    }

    /// Writes the count after a change of `added` elements.
    fn restate(&mut self, added: isize) {
        if self.stated_count() != COUNT_UNKNOWN {
            let count = (self.stated_count() as isize + added).clamp(0, COUNT_UNKNOWN as isize) as u16;
            self.held.rest_mut()[..HEADER - PREFIX].copy_from_slice(&count.to_le_bytes());
        }
    }
}

/// An element on its way in.
struct New<'a> {
    tag: u8,
    /// An integer, or a string's length.
    number: [u8; 8],
    number_len: usize,
    /// A string's bytes.
    data: &'a [u8],
}

impl<'a> New<'a> {
    /// From a file may come an integer's text as a string.
    fn of(element: Element<'a>) -> Self {
        match element {
            Element::Int(value) => Self::of_int(value),
            Element::Bytes(text) => Self::of_text(text),
        }
    }

    #[inline]
    fn of_text(text: &'a [u8]) -> Self {
        if let Some(value) = parse_int(text) {
            return Self::of_int(value);
        }
        let length = text.len();
        let (tag, number_len) = if length <= STRING_MAX {
            (length as u8, 0)
        } else if length <= STRING_MEDIUM_MAX {
            (STRING_MEDIUM | (length >> 8) as u8, 1)
        } else {
            (STRING_LONG, LONG)
        };
        New { tag, number: (length as u64).to_le_bytes(), number_len, data: text }
    }

    #[inline]
    fn of_int(value: i64) -> Self {
        let (tag, number_len) = match value {
            0..=INT_SMALL_MAX => (INT_SMALL | value as u8, 0),
            _ => (INT + int_width(value) as u8, int_width(value)),
        };
        New { tag, number: value.to_le_bytes(), number_len, data: &[] }
    }

    fn number(&self) -> &[u8] {
        &self.number[..self.number_len]
    }

    /// Bytes beside the tag.
    fn len(&self) -> usize {
        let behind = if self.tag >= STRING_MEDIUM { self.number_len } else { 0 };
        self.number_len + self.data.len() + behind
    }

    /// Writes them.
    fn write(&self, room: &mut [u8]) {
        let (to, room) = room.split_at_mut(self.number_len);
        to.copy_from_slice(self.number());
        let (to, behind) = room.split_at_mut(self.data.len());
        to.copy_from_slice(self.data);
        if !behind.is_empty() {
            behind.copy_from_slice(self.number());
        }
    }
}

/// Bytes beside the tag of an element, where `number` is that of its length which one comes to first: the first of its data, or the last.
#[inline]
fn data_len(tag: u8, number: impl FnOnce(usize) -> usize) -> usize {
    match tag {
        0..INT_SMALL => usize::from(tag),
        INT_SMALL..INT => 0,
        INT..STRING_MEDIUM => usize::from(tag & 0x0f),
        STRING_MEDIUM..STRING_LONG => (usize::from(tag & 0x1f) << 8) + number(1) + 2,
        STRING_LONG => number(LONG) + 2 * LONG,
    }
}

/// A length of 1 or of `LONG` bytes.
fn length(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte))
}

/// The link behind the element at `pos`.
#[inline]
fn after(bytes: &[u8], pos: Pos) -> usize {
    pos.at + data_len(pos.tag, |width| length(&bytes[pos.at..pos.at + width]))
}

/// The element before the link at `link`, behind which one with this tag stands.
#[inline]
fn before(bytes: &[u8], link: usize, tag: u8) -> Option<Pos> {
    if link == HEADER {
        return None;
    }
    let tag = bytes[link] ^ tag;
    Some(Pos { at: link - data_len(tag, |width| length(&bytes[link - width..link])), tag })
}

/// The element at `pos`, whose data end at `end`.
#[inline]
fn decode(bytes: &[u8], pos: Pos, end: usize) -> Element<'_> {
    match pos.tag {
        0..INT_SMALL => Element::Bytes(&bytes[pos.at..end]),
        INT_SMALL..INT => Element::Int(i64::from(pos.tag - INT_SMALL)),
        INT..STRING_MEDIUM => Element::Int(int(bytes, pos.at, end - pos.at)),
        STRING_MEDIUM..STRING_LONG => Element::Bytes(&bytes[pos.at + 1..end - 1]),
        STRING_LONG => Element::Bytes(&bytes[pos.at + LONG..end - LONG]),
    }
}

/// See [`Strip::iter`].
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    front: Option<Pos>,
    /// The link at which it ends, and the tag behind that.
    back: usize,
    back_tag: u8,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        let here = self.front?;
        let end = after(self.bytes, here);
        self.front = (end < self.back).then(|| Pos { at: end + 1, tag: self.bytes[end] ^ here.tag });
        Some(decode(self.bytes, here, end))
    }
}

impl<'a> DoubleEndedIterator for Iter<'a> {
    #[inline]
    fn next_back(&mut self) -> Option<Element<'a>> {
        let front = self.front?;
        let here = before(self.bytes, self.back, self.back_tag)?;
        let end = self.back;
        (self.back, self.back_tag) = (here.at - 1, here.tag);
        if here.at <= front.at {
            self.front = None;
        }
        Some(decode(self.bytes, here, end))
    }
}

impl PartialEq for Strip {
    fn eq(&self, other: &Self) -> bool {
        self.held.bytes() == other.held.bytes()
    }
}

impl Eq for Strip {}

impl fmt::Debug for Strip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Default for Strip {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
