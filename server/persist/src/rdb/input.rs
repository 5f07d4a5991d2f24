//! Reading the format's small parts from an untrusted stream: counted, summed, and never allocating ahead of it.

use std::io::{self, BufRead};

use quorate_collections::{crc64::Crc64, lzf, text};

use super::RdbError;
use super::encode::special;

/// How much is read at once into a string whose length is only claimed.
const STEP: usize = 1024 * 1024;
/// Copied ahead of the source at once: it stays in the processor's cache.
const READY: usize = 64 * 1024;
/// LZF's best ratio: a back reference of three bytes stands for at most 264. So a longer claim is a lie.
const LZF_RATIO: u64 = 88;

/// A length, or how a string is encoded instead.
enum Length {
    Plain(u64),
    Special(u8),
}

pub(super) struct Input<'r> {
    source: &'r mut dyn BufRead,
    /// A copy of what the source has ready, so that the small steps of a parse do not ask it each time.
    ready: Vec<u8>,
    used: usize, // bytes of it that were read but not yet consumed and summed
    consumed: u64,
    crc: Crc64,
    packed: Vec<u8>,
}

impl<'r> Input<'r> {
    pub fn new(source: &'r mut dyn BufRead) -> Self {
        Input { source, ready: Vec::new(), used: 0, consumed: 0, crc: Crc64::new(), packed: Vec::new() }
    }

    pub fn offset(&self) -> u64 {
        self.consumed + self.used as u64
    }

    /// The checksum of all bytes read so far.
    pub fn checksum(&mut self) -> Result<u64, RdbError> {
        self.settle()?;
        Ok(self.crc.value())
    }

    pub fn corrupt(&self, what: &'static str) -> RdbError {
        RdbError::Corrupt { offset: self.offset(), what }
    }

    pub fn unsupported(&self, what: &'static str) -> RdbError {
        RdbError::Unsupported { offset: self.offset(), what }
    }

    /// Consumes exactly what was read: the source may hold something else after the RDB.
    pub fn settle(&mut self) -> Result<(), RdbError> {
        self.crc.update(&self.ready[..self.used]);
        self.source.consume(self.used);
        self.consumed += self.used as u64;
        self.ready.drain(..self.used);
        self.used = 0;
        Ok(())
    }

    /// At least one unread byte.
    fn window(&mut self) -> Result<&[u8], RdbError> {
        if self.used == self.ready.len() {
            self.refill()?;
        }
        Ok(&self.ready[self.used..])
    }

    #[cold]
    fn refill(&mut self) -> Result<(), RdbError> {
        self.settle()?;
        let fresh = buffered(self.source, self.consumed)?;
        if fresh.is_empty() {
            return Err(RdbError::Truncated { offset: self.consumed });
        }
        self.ready.extend_from_slice(&fresh[..fresh.len().min(READY)]);
        Ok(())
    }

    pub fn byte(&mut self) -> Result<u8, RdbError> {
        let byte = self.window()?[0];
        self.used += 1;
        Ok(byte)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], RdbError> {
        let mut array = [0; N];
        let mut filled = 0;
        while filled < N {
            let window = self.window()?;
            let taken = window.len().min(N - filled);
            array[filled..filled + taken].copy_from_slice(&window[..taken]);
            self.used += taken;
            filled += taken;
        }
        Ok(array)
    }

    /// Appends `len` bytes to `out`, which grows only as they arrive.
    fn append(&mut self, len: u64, out: &mut Vec<u8>) -> Result<(), RdbError> {
        let mut left = len;
        while left > 0 {
            let window = self.window()?;
            let taken = window.len().min(STEP).min(usize::try_from(left).unwrap_or(STEP));
            out.extend_from_slice(&window[..taken]);
            self.used += taken;
            left -= taken as u64;
        }
        Ok(())
    }

    fn length(&mut self) -> Result<Length, RdbError> {
        let first = self.byte()?;
        Ok(match first >> 6 {
            0 => Length::Plain(u64::from(first)),
            1 => Length::Plain(u64::from(first & 0x3f) << 8 | u64::from(self.byte()?)),
            2 if first == 0x80 => Length::Plain(u64::from(u32::from_be_bytes(self.array()?))),
            2 if first == 0x81 => Length::Plain(u64::from_be_bytes(self.array()?)),
            2 => return Err(self.corrupt("unknown form of length")),
            _ => Length::Special(first),
        })
    }

    pub fn len(&mut self) -> Result<u64, RdbError> {
        match self.length()? {
            Length::Plain(len) => Ok(len),
            Length::Special(_) => Err(self.corrupt("an encoded string where a length must stand")),
        }
    }

    pub fn string(&mut self) -> Result<Vec<u8>, RdbError> {
        let mut out = Vec::new();
        self.string_into(&mut out)?;
        Ok(out)
    }

    /// Reads a string over the contents of `out`.
    pub fn string_into(&mut self, out: &mut Vec<u8>) -> Result<(), RdbError> {
        out.clear();
        self.string_onto(out)
    }

    /// Reads a string and appends it to `out`.
    pub fn string_onto(&mut self, out: &mut Vec<u8>) -> Result<(), RdbError> {
        let int = match self.length()? {
            Length::Plain(len) => return self.append(len, out),
            Length::Special(special::LZF) => return self.lzf_onto(out),
            Length::Special(special::INT8) => i64::from(i8::from_le_bytes(self.array()?)),
            Length::Special(special::INT16) => i64::from(i16::from_le_bytes(self.array()?)),
            Length::Special(special::INT32) => i64::from(i32::from_le_bytes(self.array()?)),
            Length::Special(_) => return Err(self.corrupt("unknown encoding of a string")),
        };
        out.extend_from_slice(text::format_int(int, &mut [0; text::INT_TEXT_MAX]));
        Ok(())
    }

    fn lzf_onto(&mut self, out: &mut Vec<u8>) -> Result<(), RdbError> {
        let packed_len = self.len()?;
        let len = self.len()?;
        if len > packed_len.saturating_mul(LZF_RATIO) {
            return Err(self.corrupt("a compressed string claims more than it can hold"));
        }
        let mut packed = std::mem::take(&mut self.packed);
        packed.clear();
        self.append(packed_len, &mut packed)?;
        let len = usize::try_from(len).map_err(|_| self.corrupt("a string is too long"))?;
        out.extend_from_slice(&lzf::decompress(&packed, len).map_err(|error| self.corrupt(error.0))?);
        self.packed = packed;
        Ok(())
    }

    /// A score as eight bytes (ZSET_2).
    pub fn score(&mut self) -> Result<f64, RdbError> {
        let score = f64::from_le_bytes(self.array()?);
        if score.is_nan() { Err(self.corrupt("a score that is not a number")) } else { Ok(score) }
    }

    /// A score as text behind a one-byte length (ZSET).
    pub fn score_text(&mut self) -> Result<f64, RdbError> {
        let len = match self.byte()? {
            255 => return Ok(f64::NEG_INFINITY),
            254 => return Ok(f64::INFINITY),
            253 => return Err(self.corrupt("a score that is not a number")),
            len => len,
        };
        let mut digits = Vec::new();
        self.append(u64::from(len), &mut digits)?;
        parse_score(&digits).ok_or_else(|| self.corrupt("a score that is not a number"))
    }
}

/// A score's text, as old files and listpacks hold it.
pub(super) fn parse_score(digits: &[u8]) -> Option<f64> {
    let score: f64 = std::str::from_utf8(digits).ok()?.trim_start().parse().ok()?;
    (!score.is_nan()).then_some(score)
}

fn buffered(source: &mut dyn BufRead, offset: u64) -> Result<&[u8], RdbError> {
    loop {
        match source.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(RdbError::Io { offset, source }),
        }
    }
    source.fill_buf().map_err(|source| RdbError::Io { offset, source })
}
