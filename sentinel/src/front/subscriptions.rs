//! What one client listens to: channels are the events' names; patterns are globs over them.

use std::collections::BTreeSet;

use quorate_api::view::Event;
use quorate_collections::glob::{Case, matches};
use quorate_resp::{Protocol, Writer};

/// The most channels and patterns of one client.
const MOST: usize = 1024;

/// One client's subscriptions.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    channels: BTreeSet<Vec<u8>>,
    patterns: BTreeSet<Vec<u8>>,
}

/// Channels or patterns?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// SUBSCRIBE and UNSUBSCRIBE.
    Channel,
    /// PSUBSCRIBE and PUNSUBSCRIBE.
    Pattern,
}

impl Subscriptions {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    fn of(&mut self, kind: Kind) -> &mut BTreeSet<Vec<u8>> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }

    /// Subscribes and confirms each name; an error when there would be too many.
    pub fn add(&mut self, kind: Kind, names: &[&[u8]], out: &mut Writer<'_>) {
        let word = if kind == Kind::Channel { "subscribe" } else { "psubscribe" };
        for name in names {
            if self.len() >= MOST {
                out.error(&format!("ERR more than {MOST} subscriptions"));
                return;
            }
            self.of(kind).insert(name.to_vec());
            confirm(out, word, Some(name), self.len());
        }
    }

    /// Unsubscribes and confirms each name; no name means all.
    pub fn remove(&mut self, kind: Kind, names: &[&[u8]], out: &mut Writer<'_>) {
        let word = if kind == Kind::Channel { "unsubscribe" } else { "punsubscribe" };
        let all: Vec<Vec<u8>> = match names {
            [] => self.of(kind).iter().cloned().collect(),
            some => some.iter().map(|n| n.to_vec()).collect(),
        };
        if all.is_empty() {
            confirm(out, word, None, self.len());
        }
        for name in all {
            self.of(kind).remove(&name);
            confirm(out, word, Some(&name), self.len());
        }
    }

    /// Forgets everything, as RESET does.
    pub fn clear(&mut self) {
        self.channels.clear();
        self.patterns.clear();
    }

    /// Writes an event to the client, once for its channel and once for each matching pattern.
    pub fn deliver(&self, event: &Event, out: &mut Writer<'_>) {
        let (channel, text) = (event.name.as_bytes(), event.text.as_bytes());
        if self.channels.contains(channel) {
            out.push(3);
            [b"message".as_slice(), channel, text].iter().for_each(|part| out.bulk(part));
        }
        for pattern in self.patterns.iter().filter(|p| matches(p, channel, Case::Sensitive)) {
            out.push(4);
            [b"pmessage".as_slice(), pattern, channel, text].iter().for_each(|part| out.bulk(part));
        }
    }
}

fn confirm(out: &mut Writer<'_>, word: &str, name: Option<&[u8]>, count: usize) {
    out.push(3);
    out.bulk(word.as_bytes());
    match name {
        Some(name) => out.bulk(name),
        None => out.null(),
    }
    out.int(i64::try_from(count).expect("bounded by MOST"));
}

/// In RESP2 a subscriber may only manage its subscriptions.
pub(super) fn allowed_while_subscribed(protocol: Protocol, command: &str) -> bool {
    protocol == Protocol::Resp3
        || matches!(command, "subscribe" | "psubscribe" | "unsubscribe" | "punsubscribe" | "ping" | "quit" | "reset")
}
