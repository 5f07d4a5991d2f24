//! The newest part of the replication stream, in blocks that every replica reads from.
//!
//! A replica holds no bytes of its own: it is a cursor (an [`Offset`]) into these blocks. The backlog keeps at least
//! `size` bytes once it has seen that many, and more while a replica's cursor lies behind: how far behind one may fall
//! is the caller's limit (`client-output-buffer-limit replica`), after which the replica is dropped and not the memory kept.
//!
//! Invariant: the blocks are contiguous: each starts where the one before it ends, the first at `start`, the last ends at `end`.

use std::collections::VecDeque;

use crate::id::Offset;

/// Bytes in a block of a large backlog. A small backlog has smaller blocks, so that trimming stays near its size.
const BLOCK_BYTES: usize = 64 << 10;
/// Bytes in the smallest block.
const BLOCK_BYTES_MIN: usize = 1 << 10;

/// See the module. One for a node, fed by the master's own writes or by the stream that a replica has applied.
#[derive(Debug)]
pub struct Backlog {
    blocks: VecDeque<Block>,
    start: Offset,
    end: Offset,
    /// `repl-backlog-size`, in bytes.
    size: u64,
}

#[derive(Debug)]
struct Block {
    start: Offset,
    /// Never grows past its first capacity.
    bytes: Vec<u8>,
}

impl Block {
    fn end(&self) -> Offset {
        self.start.plus(self.bytes.len())
    }
}

impl Backlog {
    /// An empty backlog whose next byte is the one after `at`. `size` is `repl-backlog-size` in bytes.
    pub fn new(at: Offset, size: u64) -> Backlog {
        Backlog { blocks: VecDeque::new(), start: at, end: at, size }
    }

    /// Adds `bytes` at the end.
    pub fn append(&mut self, mut bytes: &[u8]) {
        let block_bytes = self.block_bytes();
        while !bytes.is_empty() {
            let room = self.blocks.back().map_or(0, |last| last.bytes.capacity() - last.bytes.len());
            if room == 0 {
                self.blocks.push_back(Block { start: self.end, bytes: Vec::with_capacity(block_bytes) });
                continue;
            }
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            let last = self.blocks.back_mut().expect("room was found in the last block");
            last.bytes.extend_from_slice(now);
            self.end = self.end.plus(now.len());
            bytes = rest;
        }
    }

    /// Forgets what is older than `size` bytes, except what `slowest` still has to read. Whole blocks only.
    pub fn trim(&mut self, slowest: Option<Offset>) {
        let keep = Offset(self.end.0.saturating_sub(self.size));
        let keep = slowest.map_or(keep, |at| keep.min(at));
        while self.blocks.len() > 1 && self.blocks[0].end() <= keep {
            let gone = self.blocks.pop_front().expect("more than one block");
            self.start = gone.end();
        }
    }

    /// The longest contiguous piece from `at` on: empty when `at` is the end, `None` when it is not held.
    pub fn read(&self, at: Offset) -> Option<&[u8]> {
        if at < self.start || at > self.end {
            return None;
        }
        let index = self.blocks.partition_point(|block| block.end() <= at);
        let Some(block) = self.blocks.get(index) else {
            return Some(&[]);
        };
        Some(&block.bytes[at.since(block.start) as usize..])
    }

    /// Is everything after `at` held?
    pub fn reaches(&self, at: Offset) -> bool {
        self.start <= at && at <= self.end
    }

    /// Where the first byte held follows: whoever is here can still be continued.
    pub fn start(&self) -> Offset {
        self.start
    }

    /// How much stream there has been.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Bytes held: `repl_backlog_histlen`.
    pub fn held(&self) -> u64 {
        self.end.since(self.start)
    }

    /// `repl-backlog-size`, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Sets `repl-backlog-size`; takes effect with the next append and trim.
    pub fn resize(&mut self, size: u64) {
        self.size = size;
    }

    /// Bytes of memory, for `mem_replication_backlog`.
    pub fn memory(&self) -> usize {
        self.blocks.iter().map(|block| block.bytes.capacity() + size_of::<Block>()).sum()
    }

    fn block_bytes(&self) -> usize {
        usize::try_from(self.size / 16).unwrap_or(BLOCK_BYTES).clamp(BLOCK_BYTES_MIN, BLOCK_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The byte at each offset, so that any piece can be checked alone.
    fn byte(at: u64) -> u8 {
        (at % 251) as u8
    }

    fn fill(backlog: &mut Backlog, bytes: usize) {
        let from = backlog.end().0;
        let piece: Vec<u8> = (from..from + bytes as u64).map(byte).collect();
        backlog.append(&piece);
    }

    fn read_all(backlog: &Backlog, mut at: Offset) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let piece = backlog.read(at).expect("the cursor is held");
            if piece.is_empty() {
                return all;
            }
            all.extend_from_slice(piece);
            at = at.plus(piece.len());
        }
    }

    #[test]
    fn every_offset_that_is_held_reads_on_to_the_end() {
        let mut backlog = Backlog::new(Offset(100), 16 << 10);
        for chunk in [1, 500, 1023, 1024, 1025, 5000] {
            fill(&mut backlog, chunk);
        }
        for at in 100..=backlog.end().0 {
            let expected: Vec<u8> = (at..backlog.end().0).map(byte).collect();
            assert_eq!(read_all(&backlog, Offset(at)), expected, "from {at}");
        }
        assert_eq!(backlog.read(Offset(99)), None);
        assert_eq!(backlog.read(backlog.end().plus(1)), None);
    }

    #[test]
    fn it_keeps_its_size_and_little_more() {
        let mut backlog = Backlog::new(Offset(0), 16 << 10);
        for _ in 0..100 {
            fill(&mut backlog, 777);
            backlog.trim(None);
        }
        assert!(backlog.held() >= 16 << 10 && backlog.held() < 18 << 10, "held {}", backlog.held());
        assert!(backlog.memory() < 20 << 10);
        assert!(backlog.reaches(backlog.start()) && !backlog.reaches(Offset(0)));
    }

    #[test]
    fn a_slow_cursor_keeps_what_it_has_not_read() {
        let mut backlog = Backlog::new(Offset(0), 16 << 10);
        fill(&mut backlog, 100 << 10);
        backlog.trim(Some(Offset(5000)));
        assert!(backlog.reaches(Offset(5000)));
        backlog.trim(None);
        assert!(!backlog.reaches(Offset(5000)));
    }

    #[test]
    fn a_resize_takes_effect() {
        let mut backlog = Backlog::new(Offset(0), 1 << 20);
        fill(&mut backlog, 1 << 20);
        backlog.resize(128 << 10);
        fill(&mut backlog, 100);
        backlog.trim(None);
        assert!(backlog.held() < 256 << 10, "held {}", backlog.held());
        assert_eq!(read_all(&backlog, backlog.start()).len() as u64, backlog.held());
    }
}
