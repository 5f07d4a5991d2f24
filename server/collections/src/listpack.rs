//! A short sequence of strings and integers as files have it: Redis's listpack. In memory are a [`Flat`](crate::Flat) or a [`Strip`](crate::Strip).
//!
//! ```text
//! total bytes u32 | elements u16 (65535: too many to say) | element … | 0xFF          all little-endian
//! element: encoding and data | length of that, backwards (7 bits a byte, so that a walk can go from the end to the front)
//! ```
//!
//! What is read comes from outside, and is walked once before anybody sees an element of it.
use crate::Malformed;
use crate::text::{INT_TEXT_MAX, format_int, parse_int};

/// Bytes of the length, and of all that stands before the elements.
const PREFIX: usize = 4;
const HEADER: usize = 6;
/// Most bytes that are taken: what is made of them is counted with 31 bits, and may take a little more.
const LEN_MAX: usize = 1 << 30;
const END: u8 = 0xff;
/// The count in the header when it does not fit there.
const COUNT_UNKNOWN: u16 = u16::MAX;
// First bytes of an element: source, the listpack specification.
const INT_13: u8 = 0b1100_0000; // 110xxxxx xxxxxxxx, signed
const STRING_6: u8 = 0b1000_0000; // 10xxxxxx
const STRING_12: u8 = 0b1110_0000; // 1110xxxx xxxxxxxx
const STRING_32: u8 = 0xf0;
const INT_16: u8 = 0xf1;
const INT_24: u8 = 0xf2;
const INT_32: u8 = 0xf3;
const INT_64: u8 = 0xf4;

/// One element as stored: an integer needs no formatting where an integer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element<'a> {
    /// Stored as an integer; its text is the canonical decimal.
    Int(i64),
    /// Stored as a string (never the canonical text of an i64 unless untrusted bytes brought it in).
    Bytes(&'a [u8]),
}

impl<'a> Element<'a> {
    /// The element that `text` is stored as.
    pub fn of(text: &'a [u8]) -> Self {
        parse_int(text).map_or(Element::Bytes(text), Element::Int)
    }

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

    /// The integer whose canonical text this is.
    pub fn int(&self) -> Option<i64> {
        match *self {
            Element::Int(value) => Some(value),
            Element::Bytes(bytes) => parse_int(bytes),
        }
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

/// The elements of untrusted bytes, of which every one was walked once.
pub fn read(bytes: &[u8]) -> Result<Iter<'_>, Malformed> {
    const BAD: Malformed = Malformed("listpack");
    if bytes.len() <= HEADER || bytes.len() > LEN_MAX || bytes[bytes.len() - 1] != END {
        return Err(BAD);
    }
    if u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize != bytes.len() {
        return Err(BAD);
    }
    let (mut at, mut count) = (HEADER, 0usize);
    while at < bytes.len() - 1 {
        let rest = &bytes[at..bytes.len() - 1];
        let length = checked_len(rest).ok_or(BAD)?;
        let back = Back::of(length);
        if rest[length..].get(..back.as_slice().len()) != Some(back.as_slice()) {
            return Err(BAD);
        }
        at += length + back.as_slice().len();
        count += 1;
    }
    let stated = u16::from_le_bytes([bytes[4], bytes[5]]);
    if stated != COUNT_UNKNOWN && usize::from(stated) != count {
        return Err(BAD);
    }
    Ok(Iter { bytes, front: HEADER, back: bytes.len() - 1 })
}

/// See [`read`].
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    front: usize,
    back: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        if self.front >= self.back {
            return None;
        }
        let here = self.front;
        self.front = after(self.bytes, here);
        Some(decode(&self.bytes[here..]))
    }
}

impl<'a> DoubleEndedIterator for Iter<'a> {
    fn next_back(&mut self) -> Option<Element<'a>> {
        if self.front >= self.back {
            return None;
        }
        self.back = before(self.bytes, self.back);
        Some(decode(&self.bytes[self.back..]))
    }
}

/// A listpack on its way into a file, written from front to back.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    count: usize,
}

impl Writer {
    /// An empty one, with room for so many bytes.
    pub fn new(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.extend_from_slice(&[0; HEADER]);
        Writer { bytes, count: 0 }
    }

    /// Appends an element.
    pub fn push(&mut self, element: Element<'_>) {
        let (head, data) = Head::of(element);
        let back = Back::of(head.as_slice().len() + data.len());
        for part in [head.as_slice(), data, back.as_slice()] {
            self.bytes.extend_from_slice(part);
        }
        self.count += 1;
    }

    /// The listpack in Redis's format. Below 4 GiB: its elements come from a collection that is shorter.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.push(END);
        let length = u32::try_from(self.bytes.len()).expect("what it is written from is below 2 GiB");
        self.bytes[..PREFIX].copy_from_slice(&length.to_le_bytes());
        let count = u16::try_from(self.count).unwrap_or(COUNT_UNKNOWN);
        self.bytes[PREFIX..HEADER].copy_from_slice(&count.to_le_bytes());
        self.bytes
    }
}

/// An element's encoding byte and what follows it but is not a string's text.
struct Head {
    bytes: [u8; 9],
    len: usize,
}

impl Head {
    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The shortest encoding of an element: head, and a string's text.
    fn of(element: Element<'_>) -> (Head, &[u8]) {
        let mut bytes = [0; 9];
        let (len, data): (usize, &[u8]) = match element {
            Element::Int(value) => (Self::int(value, &mut bytes), &[]),
            Element::Bytes(data) => {
                let length = data.len();
                let len = if length < 1 << 6 {
                    bytes[0] = STRING_6 | length as u8;
                    1
                } else if length < 1 << 12 {
                    bytes[0] = STRING_12 | (length >> 8) as u8;
                    bytes[1] = length as u8;
                    2
                } else {
                    let length = u32::try_from(length).expect("callers keep large strings out of listpacks");
                    bytes[0] = STRING_32;
                    bytes[1..5].copy_from_slice(&length.to_le_bytes());
                    5
                };
                (len, data)
            }
        };
        (Head { bytes, len }, data)
    }

    fn int(value: i64, bytes: &mut [u8; 9]) -> usize {
        match value {
            0..=127 => {
                bytes[0] = value as u8;
                return 1;
            }
            -4096..=4095 => {
                bytes[0] = INT_13 | (value >> 8) as u8 & 0x1f;
                bytes[1] = value as u8;
                return 2;
            }
            _ => {}
        }
        let (encoding, width) = match value {
            -0x8000..=0x7fff => (INT_16, 2),
            -0x80_0000..=0x7f_ffff => (INT_24, 3),
            -0x8000_0000..=0x7fff_ffff => (INT_32, 4),
            _ => (INT_64, 8),
        };
        bytes[0] = encoding;
        bytes[1..9].copy_from_slice(&value.to_le_bytes());
        1 + width
    }
}

/// The length of an element before it, readable backwards.
struct Back {
    bytes: [u8; 5],
    len: usize,
}

impl Back {
    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Bytes that a length takes. 2^14 - 1, 2^21 - 1, … take one more than they need: so Redis writes them, and so it checks them.
    fn width(length: usize) -> usize {
        match length {
            0..=127 => 1,
            128..16_383 => 2,
            16_383..2_097_151 => 3,
            2_097_151..268_435_455 => 4,
            _ => 5,
        }
    }

    /// Seven bits a byte, the lowest last; the bit 0x80 says that a byte of higher bits precedes.
    fn of(length: usize) -> Back {
        let len = Self::width(length);
        let mut bytes = [0; 5];
        for (place, byte) in bytes[..len].iter_mut().rev().enumerate() {
            let precedes = if place + 1 < len { 0x80 } else { 0 };
            *byte = (length >> (7 * place)) as u8 & 0x7f | precedes;
        }
        Back { bytes, len }
    }
}

/// Length of the element at the start of `bytes`, without what is for walking backwards.
fn len_of(bytes: &[u8]) -> usize {
    let first = bytes[0];
    match first {
        0x00..=0x7f => 1,
        0x80..=0xbf => 1 + usize::from(first & 0x3f),
        0xc0..=0xdf => 2,
        0xe0..=0xef => 2 + (usize::from(first & 0x0f) << 8 | usize::from(bytes[1])),
        STRING_32 => 5 + u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]) as usize,
        INT_16 => 3,
        INT_24 => 4,
        INT_32 => 5,
        INT_64 => 9,
        _ => panic!("no element begins with {first:#x}"),
    }
}

/// As `len_of`, for bytes that may hold anything.
fn checked_len(bytes: &[u8]) -> Option<usize> {
    let length = match *bytes {
        [0xf5..=0xff, ..] | [] => return None,
        [0xe0..=0xef] => return None,
        [STRING_32, ..] if bytes.len() < 5 => return None,
        _ => len_of(bytes),
    };
    (length <= bytes.len()).then_some(length)
}

fn decode(bytes: &[u8]) -> Element<'_> {
    let length = len_of(bytes);
    let data = &bytes[..length];
    match data[0] {
        small @ 0x00..=0x7f => Element::Int(i64::from(small)),
        0x80..=0xbf => Element::Bytes(&data[1..]),
        0xc0..=0xdf => {
            let value = u16::from_be_bytes([data[0], data[1]]) << 3;
            Element::Int(i64::from(value as i16 >> 3))
        }
        0xe0..=0xef => Element::Bytes(&data[2..]),
        STRING_32 => Element::Bytes(&data[5..]),
        _ => {
            let width = length - 1;
            let mut wide = [0; 8];
            wide[..width].copy_from_slice(&data[1..]);
            let unused = 64 - 8 * width as u32;
            Element::Int(i64::from_le_bytes(wide) << unused >> unused)
        }
    }
}

/// Where the element after the one at `at` begins.
fn after(bytes: &[u8], at: usize) -> usize {
    let length = len_of(&bytes[at..]);
    at + length + Back::width(length)
}

/// Where the element that ends before `at` begins.
fn before(bytes: &[u8], at: usize) -> usize {
    let (mut length, mut shift, mut last) = (0usize, 0, at - 1);
    loop {
        length |= usize::from(bytes[last] & 0x7f) << shift;
        if bytes[last] & 0x80 == 0 {
            return last - length;
        }
        shift += 7;
        last -= 1;
    }
}

#[cfg(test)]
mod tests;
