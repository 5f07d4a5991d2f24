//! Bytes in an allocation that begins with their count, so that their owner is one word where a `Vec` takes three.
//!
//! The first word of the allocation, 32 bits, little-endian, is the count of all bytes, itself included, with `MARK` added. Safe code
//! reaches only what follows it, so it is always true. The room of the allocation is a function of the count, which is why it
//! needs no place of its own.
use crate::blocks;
use std::ops::Range;
use std::ptr::NonNull;

/// Bytes of the count.
pub(crate) const PREFIX: usize = 4;
/// The bit of the first word that a mark may use; so a count is below 2^31.
pub(crate) const MARKED: u32 = 1 << 31;
/// Most bytes.
pub(crate) const LEN_MAX: usize = MARKED as usize - 1;

/// Bytes behind their count. `MARK` is 0 or [`MARKED`].
#[repr(transparent)]
pub(crate) struct Thin<const MARK: u32> {
    at: NonNull<u8>,
}

// SAFETY: it owns its allocation, and no reference into it outlives a borrow of it.
unsafe impl<const MARK: u32> Send for Thin<MARK> {}
// SAFETY: as above; nothing changes through a shared reference.
unsafe impl<const MARK: u32> Sync for Thin<MARK> {}

impl<const MARK: u32> Thin<MARK> {
    /// `len` bytes, the count and then zeros. Panics where `resize` does.
    pub fn new(len: usize) -> Self {
        let mut thin = Thin { at: blocks::take(check(len)) };
        // SAFETY: the block has so many bytes.
        unsafe { thin.at.as_ptr().write_bytes(0, len) };
        thin.state(len);
        thin
    }

    /// How many bytes, the count included.
    #[inline]
    pub fn len(&self) -> usize {
        // SAFETY: every allocation begins with its count and is aligned to 8.
        let word = unsafe { self.at.cast::<u32>().read() };
        (u32::from_le(word) & !MARKED) as usize
    }

    /// Bytes of the allocation.
    pub fn room(&self) -> usize {
        blocks::room(self.len())
    }

    /// All bytes, the count included.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes were initialised by `new` and `resize`.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len()) }
    }

    /// All bytes but the count.
    #[inline]
    pub fn rest_mut(&mut self) -> &mut [u8] {
        let len = self.len() - PREFIX;
        // SAFETY: as in `bytes`; `&mut self` excludes other references.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr().add(PREFIX), len) }
    }

    /// Cuts off the last bytes, or appends zeros. Panics above [`LEN_MAX`]: callers keep these bytes far shorter.
    pub fn resize(&mut self, len: usize) {
        let before = self.len();
        // SAFETY: the block has this length; the first `before` bytes survive unless they are cut off, and what is appended is zeroed
        // before anybody sees it.
        unsafe {
            self.at = blocks::resize(self.at, before, check(len));
            if len > before {
                self.at.as_ptr().add(before).write_bytes(0, len - before);
            }
        }
        self.state(len);
    }

    /// Widens or narrows the bytes `old`, which lie behind the count, to `length` and returns them.
    pub fn gap(&mut self, old: Range<usize>, length: usize) -> &mut [u8] {
        let (from, to, before) = (old.end, old.start + length, self.len());
        if to > from {
            self.resize(before + (to - from));
            self.rest_mut().copy_within(from - PREFIX..before - PREFIX, to - PREFIX);
        } else if to < from {
            self.rest_mut().copy_within(from - PREFIX.., to - PREFIX);
            self.resize(before - (from - to));
        }
        &mut self.rest_mut()[old.start - PREFIX..to - PREFIX]
    }

    fn state(&mut self, len: usize) {
        // SAFETY: as in `len`; the allocation has room for `len` bytes, all initialised.
        unsafe { self.at.cast::<u32>().write((len as u32 | MARK).to_le()) };
    }
}

impl<const MARK: u32> Drop for Thin<MARK> {
    fn drop(&mut self) {
        // SAFETY: taken with this length, and never used again.
        unsafe { blocks::give(self.at, self.len()) };
    }
}

impl<const MARK: u32> Clone for Thin<MARK> {
    fn clone(&self) -> Self {
        let mut copy = Self::new(self.len());
        copy.rest_mut().copy_from_slice(&self.bytes()[PREFIX..]);
        copy
    }
}

fn check(len: usize) -> usize {
    assert!((PREFIX..=LEN_MAX).contains(&len), "{len} bytes in a structure for short sequences");
    len
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn behaves_like_a_vector(lengths in prop::collection::vec(PREFIX..400usize, 1..20)) {
            let (mut thin, mut model) = (Thin::<MARKED>::new(PREFIX), vec![0u8; PREFIX]);
            for (turn, len) in lengths.into_iter().enumerate() {
                thin.resize(len);
                model.resize(len, 0);
                thin.rest_mut().iter_mut().step_by(3).for_each(|byte| *byte = turn as u8);
                model[PREFIX..].iter_mut().step_by(3).for_each(|byte| *byte = turn as u8);
                let copy = thin.clone();
                for view in [&thin, &copy] {
                    prop_assert_eq!(view.len(), model.len());
                    prop_assert_eq!(&view.bytes()[PREFIX..], &model[PREFIX..]);
                }
            }
        }
    }
}
