//! The second stage of a snapshot, off the engine's thread: compression and the checksum.

use super::write::Chunk;

/// Is the RDB summed? (`rdbchecksum`) Without it the eight bytes are zero, which a load takes as "not summed".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// The CRC-64 of all bytes follows them.
    Crc64,
    /// Eight zero bytes follow.
    None,
}

/// Turns raw chunks, in order, into the bytes of an RDB.
#[derive(Debug)]
pub struct Sealer {
    checksum: Checksum,
}

impl Sealer {
    /// A sealer for one RDB.
    pub fn new(checksum: Checksum) -> Self {
        Sealer { checksum }
    }

    /// Appends the final bytes of `chunk` to `out`.
    pub fn seal(&mut self, chunk: &Chunk, out: &mut Vec<u8>) {
        let _ = (chunk, out);
        todo!()
    }

    /// Appends the checksum: call it after the writer's last chunk.
    pub fn finish(self, out: &mut Vec<u8>) {
        let _ = (self.checksum, out);
        todo!()
    }
}
