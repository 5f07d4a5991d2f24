//! Large arguments that arrive in several reads: each is gathered where it will lie as a value, not in the session's buffer.
//!
//! A command that has not arrived whole and whose next argument is large is kept without it: the bytes go into a block of their own, into which
//! the shell may read (`Engine::fill`), and the parser finds the argument empty. Once the command is whole, the block is put in the argument's
//! place, and a command that stores it as it is takes it over (`Call::put_string`); for all others it is an argument like any.
//!
//! Bounds: what was gathered counts for client-query-buffer-limit. Blocks are made as long as the argument is said to be while all of them
//! together are at most `AHEAD` longer than what has arrived; beyond that they grow by as much as has arrived. What has not arrived is memory that
//! nobody has touched, and does not count for maxmemory.

use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quorate_collections::{Filled, Filling};

use crate::session::Session;

/// Arguments at least so long are gathered in a block of their own. Source: Redis's PROTO_MBULK_BIG_ARG.
pub(crate) const LARGE: usize = 32 * 1024;
/// Bytes that all blocks together may be longer than what has arrived. Fifty clients that send a megabyte each are never behind it.
const AHEAD: usize = 64 * 1024 * 1024;

/// Bytes that were made room for before they arrived, of all sessions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ahead(Arc<AtomicUsize>);

impl Ahead {
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Room for so many bytes, if that is not too much.
    fn claim(&self, bytes: usize) -> Option<Claim> {
        (self.bytes() + bytes <= AHEAD).then(|| {
            self.0.fetch_add(bytes, Ordering::Relaxed);
            Claim { ahead: self.clone(), bytes }
        })
    }
}

/// One block's part of it.
#[derive(Debug)]
struct Claim {
    ahead: Ahead,
    bytes: usize,
}

impl Claim {
    /// So many have arrived.
    fn arrived(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.ahead.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.ahead.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Where an argument is missing from the session's buffer.
#[derive(Debug, Clone, Copy)]
struct Hole {
    /// The argument's number.
    argument: usize,
    /// Its place, counted from the command's first byte; arguments left out before it take none.
    at: usize,
}

/// An argument that is arriving.
#[derive(Debug)]
struct Arriving {
    hole: Hole,
    len: usize,
    /// Never full.
    block: Filling,
    /// `None`: the block grows by what arrives.
    claim: Option<Claim>,
}

impl Arriving {
    /// An argument of which `first` has arrived, not all.
    fn new(hole: Hole, len: usize, first: &[u8], ahead: &Ahead) -> Arriving {
        let claim = ahead.claim(len - first.len());
        let room = if claim.is_some() { len } else { len.min(2 * first.len().max(LARGE)) };
        let mut block = Filling::new(room);
        block.extend(first);
        Arriving { hole, len, block, claim }
    }

    fn missing(&self) -> usize {
        self.len - self.block.filled()
    }

    /// Makes room for what comes next.
    fn grow(&mut self, ahead: &Ahead) {
        let filled = self.block.filled();
        if filled == self.block.capacity() {
            self.claim = ahead.claim(self.missing());
            self.block.grow(if self.claim.is_some() { self.len } else { self.len.min(2 * filled) });
        }
    }

    fn count(&mut self, arrived: usize) {
        if let Some(claim) = &mut self.claim {
            claim.arrived(arrived);
        }
    }
}

/// The large arguments of one command.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    whole: Vec<(Hole, Arc<[u8]>)>,
    arriving: Option<Arriving>,
}

impl Gathered {
    /// Bytes that have arrived.
    pub fn len(&self) -> usize {
        self.of_whole() + self.arriving.as_ref().map_or(0, |arriving| arriving.block.filled())
    }

    /// Bytes that are allocated for them.
    pub fn memory(&self) -> usize {
        self.of_whole() + self.arriving.as_ref().map_or(0, |arriving| arriving.block.capacity())
    }

    fn of_whole(&self) -> usize {
        self.whole.iter().map(|(_, block)| block.len()).sum()
    }

    /// Numbers and bytes of the arguments; all have arrived.
    pub fn arguments(&self) -> impl Iterator<Item = (usize, &Arc<[u8]>)> {
        self.whole.iter().map(|(hole, block)| (hole.argument, block))
    }

    /// Puts the arguments back into the buffer that they were left out of, whose first byte is the command's.
    pub fn put_back(self, buffer: &mut Vec<u8>) {
        for (hole, block) in self.whole.iter().rev() {
            buffer.splice(hole.at..hole.at, block.iter().copied());
        }
    }

    /// Sorts in what is arriving if it is whole.
    fn settle(&mut self) {
        if let Some(Arriving { hole, block, .. }) = self.arriving.take_if(|arriving| arriving.missing() == 0) {
            self.whole.push((hole, block.finish()));
        }
    }
}

impl Session {
    /// Keeps bytes that are no whole command, of which nothing is kept yet: those of a large argument apart. Returns whether more of one is to come.
    #[inline]
    pub(crate) fn keep(&mut self, unread: &[u8], ahead: &Ahead) -> bool {
        if self.is_before_large() {
            return self.keep_apart(unread, ahead);
        }
        self.rest.extend_from_slice(unread);
        false
    }

    /// Whether the command at the start of what is unread ends within a large argument.
    #[inline]
    pub(crate) fn is_before_large(&self) -> bool {
        let arriving = self.partial.as_ref().and_then(|partial| partial.arriving());
        arriving.is_some_and(|(_, _, len)| len >= LARGE)
    }

    #[inline(never)]
    fn keep_apart(&mut self, unread: &[u8], ahead: &Ahead) -> bool {
        let partial = self.partial.as_mut().expect("just seen");
        let (argument, at, len) = partial.arriving().expect("just seen");
        partial.leave_out();
        let (before, bytes) = unread.split_at(at);
        let (own, behind) = bytes.split_at(len.min(bytes.len()));
        self.rest.extend_from_slice(before);
        self.rest.extend_from_slice(behind);
        let gathered = self.gathered.get_or_insert_default();
        let hole = Hole { argument, at };
        if own.len() == len {
            gathered.whole.push((hole, Arc::from(own)));
            return false;
        }
        gathered.arriving = Some(Arriving::new(hole, len, own, ahead));
        true
    }

    /// Takes what belongs to the large argument that is arriving off the front of `bytes`; returns the rest.
    #[inline]
    pub(crate) fn gather<'a>(&mut self, bytes: &'a [u8], ahead: &Ahead) -> &'a [u8] {
        if self.gathered.is_none() { bytes } else { self.gather_some(bytes, ahead) }
    }

    #[inline(never)]
    fn gather_some<'a>(&mut self, mut bytes: &'a [u8], ahead: &Ahead) -> &'a [u8] {
        let Some(gathered) = &mut self.gathered else { return bytes };
        while let Some(arriving) = &mut gathered.arriving
            && !bytes.is_empty()
        {
            arriving.grow(ahead);
            let fits = arriving.block.capacity() - arriving.block.filled();
            let (own, behind) = bytes.split_at(fits.min(bytes.len()));
            arriving.block.extend(own);
            arriving.count(own.len());
            bytes = behind;
            gathered.settle();
        }
        bytes
    }

    /// Lets `read` put the next bytes of the large argument that is arriving where they belong, at most so many.
    pub(crate) fn fill<E>(
        &mut self,
        at_most: usize,
        ahead: &Ahead,
        read: impl FnOnce(&mut [MaybeUninit<u8>]) -> Result<&mut [u8], E>,
    ) -> Option<Result<Filled, E>> {
        let gathered = self.gathered.as_mut()?;
        let arriving = gathered.arriving.as_mut()?;
        arriving.grow(ahead);
        let filled = arriving.block.fill(at_most, read);
        if let Ok(filled) = &filled {
            arriving.count(filled.count);
            gathered.settle();
        }
        Some(filled)
    }
}

#[cfg(test)]
mod tests;
