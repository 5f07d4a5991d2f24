//! What waits to be sent to one session.
//!
//! Replies are appended at the end and sent from the front. A prefix may leave at once; what is behind it is held until the
//! disk (appendfsync always) or replicas (a group's durability) have confirmed a ticket.
//!
//! Invariant: `sent <= free <= bytes.len()`, and the held marks grow in ticket and in position.

use std::collections::VecDeque;

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
    ticket: u64,
    up_to: usize,
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

    /// Everything written since the last release waits for `ticket`.
    pub(crate) fn hold(&mut self, ticket: u64) {
        let up_to = self.bytes.len();
        if up_to == self.held.back().map_or(self.free, |last| last.up_to) {
            return;
        }
        match self.held.back_mut() {
            Some(last) if last.ticket == ticket => last.up_to = up_to,
            _ => self.held.push_back(Held { ticket, up_to }),
        }
    }

    /// Everything that waits for a ticket up to `ticket` may leave; returns whether there is something to send.
    pub(crate) fn confirmed(&mut self, ticket: u64) -> bool {
        while let Some(held) = self.held.pop_front_if(|held| held.ticket <= ticket) {
            self.free = held.up_to;
        }
        self.free > self.sent
    }

    /// Whether something waits for a ticket.
    pub(crate) fn is_held(&self) -> bool {
        !self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(output: &mut Output, text: &str) {
        output.bytes.extend_from_slice(text.as_bytes());
    }

    #[test]
    fn held_replies_leave_in_order_once_confirmed() {
        let mut output = Output::default();
        written(&mut output, "a");
        output.release();
        written(&mut output, "b");
        output.hold(1);
        written(&mut output, "c");
        output.hold(2);
        written(&mut output, "d");
        output.release();
        assert_eq!(output.sendable(), b"a");
        assert!(output.confirmed(1));
        assert_eq!(output.sendable(), b"ab");
        output.mark_sent(2);
        assert!(output.confirmed(2));
        assert_eq!(output.sendable(), b"cd");
        output.mark_sent(2);
        assert_eq!((output.waiting(), output.is_held()), (0, false));
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
