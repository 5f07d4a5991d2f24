//! A large string that arrives in pieces, written at once to where it will stay: full, it is shared without having been copied.
//!
//! It deliberately knows nothing of how long the string will be: its owner makes it larger when it has reason to.

use std::mem::MaybeUninit;
use std::sync::Arc;

/// A block and how much of it is filled.
///
/// Invariants: `filled <= block.len()`; the first `filled` bytes are initialised; nobody else holds the block.
#[derive(Debug)]
pub struct Filling {
    block: Arc<[MaybeUninit<u8>]>,
    filled: usize,
}

/// How much a block was filled by one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filled {
    /// Bytes that were read.
    pub count: usize,
    /// Bytes that there was room for.
    pub room: usize,
}

impl Filling {
    /// An empty block for `len` bytes. None of its pages is touched yet.
    #[must_use]
    pub fn new(len: usize) -> Filling {
        Filling { block: Arc::new_uninit_slice(len), filled: 0 }
    }

    /// Bytes that it has room for, filled or not.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.block.len()
    }

    /// Bytes that are filled.
    #[must_use]
    pub fn filled(&self) -> usize {
        self.filled
    }

    /// Makes room for `len` bytes in all, at least as many as are filled. Copies what is filled.
    pub fn grow(&mut self, len: usize) {
        assert!(len >= self.filled, "what is filled is kept");
        let mut larger = Filling::new(len);
        // SAFETY: the first `filled` bytes are initialised, by the invariant.
        larger.extend(unsafe { self.block[..self.filled].assume_init_ref() });
        *self = larger;
    }

    /// Lets `read` fill at most so many bytes. It is given room that holds nothing yet, and returns what it has written at its front.
    pub fn fill<E>(
        &mut self,
        at_most: usize,
        read: impl FnOnce(&mut [MaybeUninit<u8>]) -> Result<&mut [u8], E>,
    ) -> Result<Filled, E> {
        let room = self.unfilled();
        let end = room.len().min(at_most);
        let room = &mut room[..end];
        let (place, len) = (room.as_ptr(), room.len());
        let written = read(room)?;
        // A slice of bytes at this place is initialised: so is that part of the block.
        let front = written.is_empty() || std::ptr::eq(written.as_ptr().cast(), place);
        assert!(front && written.len() <= len, "what was written stands at the front of the room");
        let count = written.len();
        self.filled += count;
        Ok(Filled { count, room: len })
    }

    /// Fills with these bytes, for which there is room.
    pub fn extend(&mut self, bytes: &[u8]) {
        let room = self.unfilled();
        assert!(bytes.len() <= room.len(), "there is room for what comes");
        room[..bytes.len()].write_copy_of_slice(bytes);
        self.filled += bytes.len();
    }

    /// The string. The block must be full.
    #[must_use]
    pub fn finish(self) -> Arc<[u8]> {
        assert_eq!(self.filled, self.block.len(), "a string is shared once it is whole");
        // SAFETY: all bytes are filled, and so initialised.
        unsafe { self.block.assume_init() }
    }

    fn unfilled(&mut self) -> &mut [MaybeUninit<u8>] {
        let block = Arc::get_mut(&mut self.block).expect("a block is shared once it is full");
        &mut block[self.filled..]
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Fills at most so many bytes with the front of `bytes`, where there is room.
    fn fill(filling: &mut Filling, at_most: usize, bytes: &[u8]) -> Filled {
        let filled = filling.fill(at_most, |room| {
            let count = room.len().min(bytes.len());
            Ok::<_, Infallible>(room[..count].write_copy_of_slice(&bytes[..count]))
        });
        filled.unwrap_or_else(|never| match never {})
    }

    /// Fills a block from `text` in pieces of `piece` bytes, every other one by reading, with a step of growth at half.
    fn check(text: &[u8], piece: usize) {
        let mut filling = Filling::new(text.len() / 2);
        for (number, piece) in text.chunks(piece).enumerate() {
            if filling.capacity() - filling.filled() < piece.len() {
                filling.grow(text.len());
            }
            if number % 2 == 0 {
                filling.extend(piece);
            } else {
                let room = (filling.capacity() - filling.filled()).min(2 * piece.len());
                assert_eq!(fill(&mut filling, 2 * piece.len(), piece), Filled { count: piece.len(), room });
            }
        }
        assert_eq!(filling.filled(), text.len());
        assert_eq!(filling.finish()[..], *text);
    }

    #[test]
    fn pieces_of_any_size_become_the_string() {
        let text: Vec<u8> = (0..1000u32).map(|n| (n * 7 % 251) as u8).collect();
        for piece in [1, 2, 3, 64, 499, 500, 501, 1000] {
            check(&text, piece);
        }
    }

    #[test]
    fn room_ends_with_the_block() {
        let mut filling = Filling::new(10);
        assert_eq!(fill(&mut filling, 4, b"abcdefgh"), Filled { count: 4, room: 4 });
        assert_eq!(fill(&mut filling, 100, b"efgh"), Filled { count: 4, room: 6 });
        assert_eq!(filling.fill(100, |_| Err(())), Err(()));
        filling.extend(b"ij");
        assert_eq!(fill(&mut filling, 100, b"k"), Filled { count: 0, room: 0 });
        assert_eq!(filling.finish()[..], *b"abcdefghij");
    }

    #[test]
    #[should_panic(expected = "stands at the front of the room")]
    fn what_was_written_elsewhere_fills_nothing() {
        let filled = Filling::new(10).fill(4, |room| Ok::<_, Infallible>(room[1..3].write_copy_of_slice(b"ab")));
        assert!(filled.is_ok());
    }

    #[test]
    #[should_panic(expected = "once it is whole")]
    fn half_a_string_is_not_shared() {
        drop(Filling::new(1).finish());
    }
}
