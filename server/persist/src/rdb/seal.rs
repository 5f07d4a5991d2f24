//! The second stage of a snapshot, off the engine's thread: compression and the checksum.

use quorate_collections::{crc64::Crc64, lzf::Compressor};

use super::encode::{put_len, special, split};

/// Is the RDB summed? (`rdbchecksum`) Without it the eight bytes are zero, which a load takes as "not summed".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// The CRC-64 of all bytes follows them.
    Crc64,
    /// Eight zero bytes follow.
    None,
}

/// Turns an RDB writer's chunks, in order, into the bytes of an RDB.
pub struct Sealer {
    crc: Option<Crc64>,
    compressor: Compressor,
    packed: Vec<u8>,
}

impl Sealer {
    /// A sealer for one RDB.
    pub fn new(checksum: Checksum) -> Self {
        Sealer {
            crc: (checksum == Checksum::Crc64).then(Crc64::new),
            compressor: Compressor::default(),
            packed: Vec::new(),
        }
    }

    /// Appends the final bytes of `chunk`, one drained of the writer, to `out`.
    pub fn seal(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let from = out.len();
        out.reserve(chunk.len());
        let (bytes, marks) = split(chunk);
        let mut done = 0;
        for mark in marks {
            let (start, end) = (mark.start as usize, mark.end as usize);
            out.extend_from_slice(&bytes[done..start]);
            self.string(&bytes[start..end], out);
            done = end;
        }
        out.extend_from_slice(&bytes[done..]);
        if let Some(crc) = &mut self.crc {
            crc.update(&out[from..]);
        }
    }

    /// Appends the checksum: call it after the writer's last chunk.
    pub fn finish(self, out: &mut Vec<u8>) {
        let sum = self.crc.as_ref().map_or(0, |crc| crc.value());
        out.extend_from_slice(&sum.to_le_bytes());
    }

    fn string(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if self.compressor.compress(text, &mut self.packed) {
            out.push(special::LZF);
            put_len(out, self.packed.len() as u64);
            put_len(out, text.len() as u64);
            out.extend_from_slice(&self.packed);
        } else {
            put_len(out, text.len() as u64);
            out.extend_from_slice(text);
        }
    }
}
