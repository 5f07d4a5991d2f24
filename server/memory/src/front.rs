//! Which blocks will be touched next. Pure.
//!
//! The allocator fills a region chunk by chunk of 32 MiB, each with pieces of one size class, and a chunk from its front to its end
//! (mimalloc 3, `bitmap.c`: the lowest free slice of a chunk of the class, else the lowest chunk without a class). So what follows a block is the
//! next of its chunk, and behind a chunk's last the first of the lowest chunk that nobody has entered.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A huge page.
pub const BLOCK: usize = 2 << 20;
/// What the allocator reserves for a size class at a time.
pub const CHUNK: usize = 32 << 20;
/// Blocks that are entered before anyone leads, 128 MiB: a small process stays small, and a larger one grows by a few percent (a block for
/// each size class in use).
const UNLED: usize = 64;

/// Address space that the allocator uses. Both ends are multiples of `CHUNK`.
pub type Region = Range<usize>;

/// How far the regions have been entered.
#[derive(Debug, Default)]
pub struct Front {
    /// By each region's start.
    regions: BTreeMap<usize, Use>,
    /// The first blocks that were entered, up to `UNLED`: one may be entered again, after it was given back.
    entered: BTreeSet<usize>,
}

/// How far one region has been entered.
#[derive(Debug)]
struct Use {
    /// Address of the lowest chunk that nobody has entered.
    fresh: usize,
    /// Another region was asked for.
    followed: bool,
}

impl Front {
    /// Somebody is about to touch `entered`: the blocks that come next.
    pub fn behind(&mut self, region: Region, entered: Range<usize>) -> Vec<Range<usize>> {
        let last = (entered.end - 1) / BLOCK * BLOCK;
        let used = self.regions.entry(region.start).or_insert(Use { fresh: region.start, followed: false });
        used.fresh = used.fresh.max(last / CHUNK * CHUNK + CHUNK);
        let fresh = used.fresh;
        let first = entered.start / BLOCK * BLOCK;
        if self.entered.len() < UNLED {
            self.entered.extend((first..=last).step_by(BLOCK));
            return Vec::new();
        }
        // What was entered at once, beyond its first block, comes first. Then as much again: at 50 MB/s a single block lasts for 40 ms.
        let inside = (first + BLOCK..=last).step_by(BLOCK);
        let lead = (last - first) / BLOCK + 1;
        let next = (1..=lead).map(|step| {
            let next = last + step * BLOCK;
            let chunk_end = last / CHUNK * CHUNK + CHUNK;
            if next < chunk_end { next } else { fresh + (next - chunk_end) }
        });
        inside.chain(next).filter(|block| *block < region.end).map(|block| block..block + BLOCK).collect()
    }

    /// Is it time for another region? Said once of each.
    pub fn wants_another(&mut self, region: Region) -> bool {
        let size = region.end - region.start;
        let Some(used) = self.regions.get_mut(&region.start) else { return false };
        let is_due = region.end.saturating_sub(used.fresh) < size / 4;
        is_due && !std::mem::replace(&mut used.followed, is_due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: Region = 10 * CHUNK..20 * CHUNK;

    fn led() -> Front {
        Front { entered: (0..UNLED).collect(), ..Front::default() }
    }

    /// Enters `size` bytes at `at` (in blocks from the region's start) and compares the blocks that come next.
    fn check(front: &mut Front, at: usize, size: usize, expected: &[usize]) {
        let start = REGION.start + at * BLOCK;
        let blocks = front.behind(REGION, start..start + size);
        let numbers: Vec<usize> = blocks.iter().map(|block| (block.start - REGION.start) / BLOCK).collect();
        assert_eq!(numbers, expected);
        assert!(blocks.iter().all(|block| block.len() == BLOCK));
    }

    #[test]
    fn the_next_of_the_chunk_and_then_a_fresh_chunk() {
        let mut front = led();
        check(&mut front, 0, 64 << 10, &[1]);
        check(&mut front, 16, 512 << 10, &[17]); // a second class takes the second chunk
        check(&mut front, 14, 64 << 10, &[15]);
        check(&mut front, 15, 64 << 10, &[32]);
        check(&mut front, 32, 64 << 10, &[33]);
        check(&mut front, 28, 4 << 20, &[29, 30, 31]); // two blocks at once
        check(&mut front, 30, 4 << 20, &[31, 48, 49]);
        check(&mut front, 159, 64 << 10, &[]); // nothing comes behind the region's end
    }

    #[test]
    fn a_small_process_is_not_led() {
        let mut front = Front::default();
        for _ in 0..2 * UNLED {
            check(&mut front, 0, 64 << 10, &[]); // the same block again and again
        }
        for block in 0..UNLED {
            check(&mut front, block, 64 << 10, &[]);
        }
        check(&mut front, UNLED, 64 << 10, &[UNLED + 1]);
    }

    #[test]
    fn another_region_is_due_before_one_is_full() {
        let mut front = led();
        assert!(!front.wants_another(REGION));
        check(&mut front, 6 * 16, 64 << 10, &[97]);
        assert!(!front.wants_another(REGION));
        check(&mut front, 7 * 16, 64 << 10, &[113]);
        assert!(front.wants_another(REGION));
        assert!(!front.wants_another(REGION), "once");
    }
}
