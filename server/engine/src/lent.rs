//! Large values on their way to a client, sent from where they lie: the keyspace's entry holds one reference, the reply another.
//!
//! A command that replies with such a value writes the bulk string around it and leaves the value in `core.lent`; whoever ran the
//! command hands that to the session's output. Whatever becomes of the key meanwhile, the bytes stay what they were.
//!
//! What is not lent: strings that were changed in place (they may change again) and elements of collections. Bound: lent bytes count as
//! waiting output, for client-output-buffer-limit too.

use std::collections::VecDeque;
use std::sync::Arc;

use quorate_keyspace::{StrRef, Text};
use quorate_resp::Writer;

use crate::commands::write_text;

/// Strings at least so long are lent. Measured, CPU of a GET of 50 connections at pipelines 16 and 50 beside copying: 8 KiB 0.68 and 0.75,
/// 4 KiB 1.05 and 0.79.
pub(crate) const LENT_MIN: usize = 8 * 1024;

/// A value, and its place in the output buffer that it is lent to.
#[derive(Debug, Clone)]
pub(crate) struct Lent {
    at: usize,
    value: Arc<[u8]>,
}

/// What the commands of a session have lent and its output has not taken over yet.
#[derive(Debug, Default)]
pub(crate) struct Lending(Vec<Lent>);

impl Lending {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A string as a reply: copied, or lent if it is large.
    #[inline]
    pub fn write(&mut self, out: &mut Writer<'_>, text: Text<'_>) {
        let text = match text {
            Text::Near(text) => text,
            Text::Shared(value) if value.len() < LENT_MIN => StrRef::Bytes(value),
            Text::Shared(value) => return self.lend(out, value),
        };
        write_text(out, text);
    }

    /// Apart from `write`, so that what is copied passes little code.
    #[inline(never)]
    fn lend(&mut self, out: &mut Writer<'_>, value: &Arc<[u8]>) {
        self.0.push(Lent { at: out.bulk_around(value.len()), value: Arc::clone(value) });
    }

    /// What was written behind `len` is taken back.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        while self.0.pop_if(|lent| lent.at >= len).is_some() {}
    }
}

/// The values that lie in one session's output, in order of their places.
///
/// Invariants: `sent` is below the first one's length, and 0 if there is none; `unsent` is the sum of their lengths without `sent`.
#[derive(Debug, Default)]
pub(crate) struct Loans {
    queue: VecDeque<Lent>,
    sent: usize,
    unsent: usize,
}

impl Loans {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Bytes that are still to be sent.
    #[inline]
    pub fn unsent(&self) -> usize {
        self.unsent
    }

    /// Bytes that are held in memory, sent or not.
    pub fn memory(&self) -> usize {
        self.unsent + self.sent
    }

    #[inline(never)]
    pub fn take_over(&mut self, lending: &mut Lending) {
        self.unsent += lending.0.iter().map(|lent| lent.value.len()).sum::<usize>();
        self.queue.extend(lending.0.drain(..));
    }

    /// The places below `end`, with what is unsent of the values.
    pub fn up_to(&self, end: usize) -> impl Iterator<Item = (usize, &[u8])> {
        let sent = std::iter::once(self.sent).chain(std::iter::repeat(0));
        let loans = self.queue.iter().zip(sent).map(|(lent, sent)| (lent.at, &lent.value[sent..]));
        loans.take_while(move |(at, _)| *at < end)
    }

    /// The first one's place.
    pub fn first(&self) -> Option<usize> {
        self.queue.front().map(|lent| lent.at)
    }

    /// So many bytes of the first one, or as many as it has, are on their way: returns how many those are.
    pub fn mark_sent(&mut self, count: usize) -> usize {
        let Some(first) = self.queue.front() else { return 0 };
        let count = count.min(first.value.len() - self.sent);
        self.unsent -= count;
        self.sent += count;
        if self.sent == first.value.len() {
            self.queue.pop_front();
            self.sent = 0;
        }
        count
    }

    /// The first `count` bytes of the buffer are gone; no value lies there.
    pub fn shift(&mut self, count: usize) {
        self.queue.iter_mut().for_each(|lent| lent.at -= count);
    }

    /// The buffer was cut off at `len`.
    pub fn truncate(&mut self, len: usize) {
        self.replace(len, usize::MAX, len);
    }

    /// What lay from `start` to `end` of the buffer has given way to something else, without values, that ends at `new_end`.
    pub fn replace(&mut self, start: usize, end: usize, new_end: usize) {
        if self.first().is_some_and(|first| (start..end).contains(&first)) {
            assert_eq!(self.sent, 0, "what is on its way stays");
        }
        self.queue.retain(|lent| !(start..end).contains(&lent.at));
        self.queue.iter_mut().filter(|lent| lent.at >= end).for_each(|lent| lent.at = lent.at - end + new_end);
        self.unsent = self.queue.iter().map(|lent| lent.value.len()).sum::<usize>() - self.sent;
    }
}

#[cfg(test)]
mod tests;
