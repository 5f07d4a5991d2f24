//! The first stage of a snapshot: images of keys in, raw chunks out, on the engine's thread.
//!
//! The writer copies bytes and nothing more. Strings that are worth compressing are left bare in the chunk and marked;
//! [`super::seal::Sealer`] gives them their length or their LZF form. Nothing is lost when a chunk is taken at any moment:
//! chunks end between keys, and the taker decides how many bytes may wait (it stops stepping the snapshot meanwhile).

use std::ops::Range;

use super::RdbHeader;

/// Are long strings compressed? (`rdbcompression`)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Strings of more than twenty bytes are compressed with LZF where that makes them shorter.
    Lzf,
    /// Never.
    None,
}

/// Raw bytes of an RDB whose marked strings still lack their length or their LZF form.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chunk {
    pub(super) bytes: Vec<u8>,
    pub(super) strings: Vec<Range<usize>>, // invariant: ascending, disjoint, within `bytes`
}

impl Chunk {
    /// How many bytes it holds before compression.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Is there nothing in it?
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Encodes a snapshot. The keyspace's `ImageSink`.
#[derive(Debug)]
pub struct RdbWriter {
    chunk: Chunk,
    compression: Compression,
    db: Option<u32>,
    keys: u64,
}

impl RdbWriter {
    /// Starts an RDB: its magic and auxiliary fields are the first bytes.
    pub fn new(header: &RdbHeader, compression: Compression) -> Self {
        let _ = header;
        RdbWriter { chunk: Chunk::default(), compression, db: None, keys: 0 }
    }

    /// How many raw bytes wait to be taken.
    pub fn pending(&self) -> usize {
        self.chunk.len()
    }

    /// How many keys were written so far.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// Takes what was encoded since the last call.
    pub fn take(&mut self) -> Chunk {
        let _ = (self.compression, self.db);
        std::mem::take(&mut self.chunk)
    }

    /// Ends the RDB and takes its last chunk. The checksum is the sealer's to add.
    pub fn finish(self) -> Chunk {
        todo!()
    }
}
