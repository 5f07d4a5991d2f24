//! What waits to be sent to one session.
//!
//! Replies are appended at the end and sent from the front. A prefix may leave at once; what is behind it is held until the
//! disk (appendfsync always) or the voters (a group's durability) have come far enough: one mark for all that a turn brought.
//!
//! Large values are not in the buffer but lent (`lent.rs`), each with its place in it. Around each stand its length and its line end, so no
//! mark of a piece is at such a place; of the marks only `sent` comes to one, when the value is next.
//!
//! Invariant: `sent <= free <= bytes.len()`, and the held marks grow in position.

use std::borrow::Cow;
use std::collections::VecDeque;

use quorate_replication::Offset;
use smallvec::SmallVec;

use crate::lent::{Lending, Loans};

/// Kept allocated for the next replies once everything has been sent.
const KEPT_CAPACITY: usize = 64 * 1024;
/// Pieces that are sent with one call. Below the 1024 that POSIX systems take (IOV_MAX), and as many as fill any socket's buffer.
const PIECES: usize = 128;

/// The output buffer of one session.
#[derive(Debug, Default)]
pub struct Output {
    pub(crate) bytes: Vec<u8>,
    sent: usize,
    free: usize,
    held: VecDeque<Held>,
    loans: Loans,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    hold: Hold,
    up_to: usize,
}

/// What a piece of output waits for; zeros wait for nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Hold {
    /// The disk has synced this ticket.
    pub ticket: u64,
    /// So much is committed (I3).
    pub commit: Offset,
    /// So much is confirmed (I7); what is committed is confirmed, too.
    pub confirm: Offset,
}

/// How far the disk and the voters are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    pub ticket: u64,
    pub committed: Offset,
    pub confirmed: Offset,
}

impl Hold {
    /// Is there nothing left to wait for?
    pub fn is_over(self, reached: &Reached) -> bool {
        self.ticket <= reached.ticket
            && self.commit <= reached.committed
            && self.confirm <= reached.confirmed.max(reached.committed)
    }
}

impl Output {
    /// How many bytes may be sent now.
    #[inline]
    #[must_use]
    pub fn sendable(&self) -> usize {
        let own = self.free - self.sent;
        if self.loans.is_empty() {
            own
        } else {
            own + self.loans.up_to(self.free).map(|(_, value)| value.len()).sum::<usize>()
        }
    }

    /// Whether nothing may be sent now. (A value is followed by its line end.)
    #[inline]
    #[must_use]
    pub(crate) fn is_quiet(&self) -> bool {
        self.sent == self.free
    }

    /// What may be sent now: `PIECES` of it at most.
    #[inline]
    pub(crate) fn pieces<'a>(&'a self, pieces: &mut SmallVec<[&'a [u8]; 2]>) {
        let mut from = self.sent;
        if !self.loans.is_empty() {
            for (at, value) in self.loans.up_to(self.free) {
                if pieces.len() + 2 >= PIECES {
                    return;
                }
                if from < at {
                    pieces.push(&self.bytes[from..at]);
                }
                pieces.push(value);
                from = at;
            }
        }
        if from < self.free {
            pieces.push(&self.bytes[from..self.free]);
        }
    }

    /// Values that the commands just run have lent.
    pub(crate) fn take_over(&mut self, lending: &mut Lending) {
        self.loans.take_over(lending);
    }

    /// Bytes that wait, held or not.
    #[inline]
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.bytes.len() - self.sent + self.loans.unsent()
    }

    /// Bytes of memory that the buffer takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// How many values are lent to it, and their bytes.
    #[must_use]
    pub fn lent(&self) -> (usize, usize) {
        (self.loans.len(), self.loans.memory())
    }

    /// The first `count` sendable bytes are on their way.
    #[inline]
    pub(crate) fn mark_sent(&mut self, count: usize) {
        let own = if self.loans.is_empty() { count } else { self.mark_loans_sent(count) };
        self.sent += own;
        assert!(self.sent <= self.free, "more was sent than was handed out");
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_CAPACITY);
            (self.sent, self.free) = (0, 0);
        } else if self.sent > KEPT_CAPACITY && self.sent > self.bytes.len() / 2 {
            // Moving the smaller half now and then keeps the cost of sending linear.
            self.bytes.drain(..self.sent);
            for held in &mut self.held {
                held.up_to -= self.sent;
            }
            self.loans.shift(self.sent);
            self.free -= self.sent;
            self.sent = 0;
        }
    }

    /// Of `count` sent bytes, those up to the last value among them; returns how many own bytes follow it.
    #[inline(never)]
    fn mark_loans_sent(&mut self, count: usize) -> usize {
        let mut left = count;
        while left > 0
            && let Some(at) = self.loans.first()
            && at <= self.sent + left
        {
            left -= at - self.sent;
            self.sent = at;
            left -= self.loans.mark_sent(left);
        }
        left
    }

    /// Everything written so far may leave, unless something before it is held.
    pub(crate) fn release(&mut self) {
        match self.held.back_mut() {
            None => self.free = self.bytes.len(),
            Some(last) => last.up_to = self.bytes.len(),
        }
    }

    /// Everything written since the last release waits. Returns whether there is anything, and nothing else waits for the same.
    pub(crate) fn hold(&mut self, hold: Hold) -> bool {
        let up_to = self.bytes.len();
        if up_to == self.held.back().map_or(self.free, |last| last.up_to) {
            return false;
        }
        match self.held.back_mut() {
            Some(last) if last.hold == hold => {
                last.up_to = up_to;
                false
            }
            _ => {
                self.held.push_back(Held { hold, up_to });
                true
            }
        }
    }

    /// What waits no longer may leave; returns whether there is something to send.
    pub(crate) fn reached(&mut self, reached: &Reached) -> bool {
        while let Some(held) = self.held.pop_front_if(|held| held.hold.is_over(reached)) {
            self.free = held.up_to;
        }
        self.free > self.sent
    }

    /// Forgets everything that may not leave: nobody will ever know whether it holds. Returns whether there was anything.
    pub(crate) fn drop_held(&mut self) -> bool {
        let any = self.bytes.len() > self.free;
        self.bytes.truncate(self.free);
        self.loans.truncate(self.free);
        self.held.clear();
        any
    }

    /// The oldest held piece, and what it waits for.
    pub(crate) fn oldest_held(&self) -> Option<(Cow<'_, [u8]>, Hold)> {
        let held = self.held.front()?;
        let mut from = self.free;
        let mut piece = Cow::Borrowed(&[][..]);
        for (at, value) in self.loans.up_to(held.up_to).filter(|(at, _)| *at >= self.free) {
            let piece = piece.to_mut();
            piece.extend_from_slice(&self.bytes[from..at]);
            piece.extend_from_slice(value);
            from = at;
        }
        let last = &self.bytes[from..held.up_to];
        if piece.is_empty() {
            piece = Cow::Borrowed(last);
        } else {
            piece.to_mut().extend_from_slice(last);
        }
        Some((piece, held.hold))
    }

    /// Puts `instead` in the place of the oldest held piece, which may then leave.
    pub(crate) fn replace_oldest_held(&mut self, instead: &[u8]) {
        let Some(held) = self.held.pop_front() else { return };
        self.bytes.splice(self.free..held.up_to, instead.iter().copied());
        let end = self.free + instead.len();
        self.loans.replace(self.free, held.up_to, end);
        for later in &mut self.held {
            later.up_to = later.up_to - held.up_to + end;
        }
        self.free = end;
    }
}

#[cfg(test)]
mod tests;
