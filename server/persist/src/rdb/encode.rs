//! The format's small parts: lengths, strings, scores, as bytes of a chunk.

use quorate_collections::text::{self, parse_int};
use quorate_keyspace::StrRef;

use super::write::Compression;

/// Strings of up to this many bytes are tried as integers. Source: "-2147483648" is the longest that fits the encoding.
const INT_TEXT_MAX: usize = 11;
/// Shorter strings are not worth compressing. Source: Redis's rdbSaveRawString.
const COMPRESS_FROM: usize = 21;

/// Strings in their special encodings. Source: rdb.h.
pub(super) mod special {
    pub const INT8: u8 = 0xC0;
    pub const INT16: u8 = 0xC1;
    pub const INT32: u8 = 0xC2;
    pub const LZF: u8 = 0xC3;
}

/// Grows a chunk: bytes, and which strings in it still wait for their length and compression.
#[derive(Debug)]
pub(super) struct Encoder {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    compression: Compression,
}

/// A bare string in a chunk: its first byte and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub start: u64,
    pub end: u64,
}

impl Encoder {
    pub fn new(compression: Compression) -> Self {
        Encoder { bytes: Vec::new(), marks: Vec::new(), compression }
    }

    pub fn pending(&self) -> usize {
        self.bytes.len()
    }

    /// The chunk so far in one piece: its bytes, its marks, and their number. [`split`] takes it apart.
    pub fn drain(&mut self) -> Vec<u8> {
        // The next chunk will be about as long: it need not grow to that step by step.
        let next = Vec::with_capacity(self.bytes.len());
        let mut chunk = std::mem::replace(&mut self.bytes, next);
        if chunk.is_empty() {
            return chunk;
        }
        let count = self.marks.len() as u64;
        for mark in self.marks.drain(..) {
            chunk.extend_from_slice(&mark.start.to_le_bytes());
            chunk.extend_from_slice(&mark.end.to_le_bytes());
        }
        chunk.extend_from_slice(&count.to_le_bytes());
        chunk
    }

    pub fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn len(&mut self, len: u64) {
        put_len(&mut self.bytes, len);
    }

    pub fn string(&mut self, text: &[u8]) {
        if text.len() <= INT_TEXT_MAX
            && let Some(value) = parse_int(text)
            && self.small_int(value)
        {
            return;
        }
        self.blob(text);
    }

    /// A string that is no integer's text: a listpack, an intset, or one that was looked at already.
    pub fn blob(&mut self, text: &[u8]) {
        if self.compression == Compression::Lzf && text.len() >= COMPRESS_FROM {
            let start = self.bytes.len() as u64;
            self.marks.push(Mark { start, end: start + text.len() as u64 });
        } else {
            self.len(text.len() as u64);
        }
        self.raw(text);
    }

    pub fn stored(&mut self, text: StrRef<'_>) {
        match text {
            StrRef::Bytes(bytes) => self.string(bytes),
            StrRef::Int(value) if self.small_int(value) => {}
            StrRef::Int(_) => self.blob(text.text(&mut [0; text::INT_TEXT_MAX])),
        }
    }

    /// A score as eight bytes, the form of ZSET_2.
    pub fn score(&mut self, score: f64) {
        self.raw(&score.to_le_bytes());
    }

    fn small_int(&mut self, value: i64) -> bool {
        if let Ok(small) = i8::try_from(value) {
            self.byte(special::INT8);
            self.raw(&small.to_le_bytes());
        } else if let Ok(small) = i16::try_from(value) {
            self.byte(special::INT16);
            self.raw(&small.to_le_bytes());
        } else if let Ok(small) = i32::try_from(value) {
            self.byte(special::INT32);
            self.raw(&small.to_le_bytes());
        } else {
            return false;
        }
        true
    }
}

/// Takes apart what [`Encoder::drain`] gave: the bytes and their marks.
///
/// # Panics
/// On anything else: chunks stay within the process.
pub(super) fn split(chunk: &[u8]) -> (&[u8], impl Iterator<Item = Mark> + '_) {
    let (rest, count) = chunk.split_last_chunk::<8>().unwrap_or((&[], &[0; 8]));
    let table = usize::try_from(u64::from_le_bytes(*count)).expect("a chunk of this process") * 16;
    let (bytes, table) = rest.split_at(rest.len() - table);
    let (rows, _) = table.as_chunks::<8>();
    let marks =
        rows.chunks_exact(2).map(|row| Mark { start: u64::from_le_bytes(row[0]), end: u64::from_le_bytes(row[1]) });
    (bytes, marks)
}

/// Appends a length: two bits of form, then 6, 14, 32 or 64 bits, big-endian.
pub(super) fn put_len(out: &mut Vec<u8>, len: u64) {
    if len < 1 << 6 {
        out.push(len as u8);
    } else if len < 1 << 14 {
        out.extend_from_slice(&(len as u16 | 0x4000).to_be_bytes());
    } else if let Ok(len) = u32::try_from(len) {
        out.push(0x80);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(0x81);
        out.extend_from_slice(&len.to_be_bytes());
    }
}
