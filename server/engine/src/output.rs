//! What waits to be sent to one session.
//!
//! Replies are appended at the end and sent from the front. A prefix may leave at once; what is behind it is held until the
//! disk (appendfsync always) or the voters (a group's durability) have come far enough: one mark for all that a turn brought.
//!
//! Invariant: `sent <= free <= bytes.len()`, and the held marks grow in position.

use std::collections::VecDeque;

use quorate_replication::Offset;

/// Kept allocated for the next replies once everything has been sent.
const KEPT_CAPACITY: usize = 64 * 1024;

/// The output buffer of one session.
#[derive(Debug, Default)]
pub struct Output {
    pub(crate) bytes: Vec<u8>,
    sent: usize,
    free: usize,
    held: VecDeque<Held>,
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
    /// What may be sent now.
    #[must_use]
    pub fn sendable(&self) -> &[u8] {
        &self.bytes[self.sent..self.free]
    }

    /// Bytes that wait, held or not.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Bytes of memory that the buffer takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// The first `count` sendable bytes are on their way.
    pub(crate) fn mark_sent(&mut self, count: usize) {
        self.sent += count;
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
            self.free -= self.sent;
            self.sent = 0;
        }
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
        self.held.clear();
        any
    }

    /// The oldest held piece, and what it waits for.
    pub(crate) fn oldest_held(&self) -> Option<(&[u8], Hold)> {
        let held = self.held.front()?;
        Some((&self.bytes[self.free..held.up_to], held.hold))
    }

    /// Puts `instead` in the place of the oldest held piece, which may then leave.
    pub(crate) fn replace_oldest_held(&mut self, instead: &[u8]) {
        let Some(held) = self.held.pop_front() else { return };
        self.bytes.splice(self.free..held.up_to, instead.iter().copied());
        let end = self.free + instead.len();
        for later in &mut self.held {
            later.up_to = later.up_to - held.up_to + end;
        }
        self.free = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(ticket: u64) -> Hold {
        Hold { ticket, ..Hold::default() }
    }

    fn written(output: &mut Output, text: &str) {
        output.bytes.extend_from_slice(text.as_bytes());
    }

    #[test]
    fn held_replies_leave_in_order_once_confirmed() {
        let mut output = Output::default();
        written(&mut output, "a");
        output.release();
        written(&mut output, "b");
        assert!(output.hold(ticket(1)));
        written(&mut output, "c");
        assert!(output.hold(ticket(2)));
        written(&mut output, "d");
        output.release();
        assert!(!output.hold(ticket(3)), "nothing was written since");
        assert_eq!(output.sendable(), b"a");
        assert!(output.reached(&Reached { ticket: 1, ..Reached::default() }));
        assert_eq!(output.sendable(), b"ab");
        output.mark_sent(2);
        assert!(output.reached(&Reached { ticket: 2, ..Reached::default() }));
        assert_eq!(output.sendable(), b"cd");
        output.mark_sent(2);
        assert_eq!((output.waiting(), output.oldest_held()), (0, None));
    }

    #[test]
    fn a_piece_waits_for_the_disk_and_the_voters() {
        let hold = Hold { ticket: 3, commit: Offset(50), confirm: Offset(60) };
        let check = |ticket: u64, committed: u64, confirmed: u64, over: bool| {
            let reached = Reached { ticket, committed: Offset(committed), confirmed: Offset(confirmed) };
            assert_eq!(hold.is_over(&reached), over, "{reached:?}");
        };
        check(3, 50, 60, true);
        check(3, 60, 0, true);
        check(2, 60, 60, false);
        check(3, 49, 60, false);
        check(3, 50, 59, false);
    }

    #[test]
    fn a_piece_can_be_replaced_and_the_rest_dropped() {
        let mut output = Output::default();
        written(&mut output, "a");
        output.release();
        written(&mut output, "bbb");
        output.hold(ticket(1));
        written(&mut output, "c");
        output.hold(ticket(2));
        assert_eq!(output.oldest_held(), Some((&b"bbb"[..], ticket(1))));
        output.replace_oldest_held(b"x");
        assert_eq!(output.sendable(), b"ax");
        written(&mut output, "d");
        assert!(output.reached(&Reached { ticket: 2, ..Reached::default() }));
        assert_eq!(output.sendable(), b"axc");
        assert!(output.drop_held());
        assert!(!output.drop_held());
        assert_eq!((output.sendable(), output.waiting()), (&b"axc"[..], 3));
    }

    #[test]
    fn a_long_output_is_sent_in_pieces() {
        let mut output = Output { bytes: vec![7; 300_000], ..Output::default() };
        output.release();
        let mut sent = 0;
        while !output.sendable().is_empty() {
            let count = output.sendable().len().min(1000);
            output.mark_sent(count);
            sent += count;
        }
        assert_eq!((sent, output.waiting()), (300_000, 0));
        assert!(output.memory() <= KEPT_CAPACITY);
    }
}
