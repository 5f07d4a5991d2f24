//! Who listens to which channel and pattern, and how a message reaches them.
//!
//! Invariant: a session stands in a channel's list exactly if the channel stands in the session's subscriptions.

use std::collections::BTreeMap;

use quorate_collections::glob::{self, Case};
use quorate_resp::{Protocol, Writer};

use crate::SessionId;
use crate::core::Core;
use crate::holding::Observed;
use crate::session::Session;

type Listeners = BTreeMap<Box<[u8]>, Vec<SessionId>>;

/// The three kinds of subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    /// SUBSCRIBE
    Channel,
    /// PSUBSCRIBE
    Pattern,
    /// SSUBSCRIBE
    Shard,
}

/// Every subscription.
#[derive(Debug, Default)]
pub(crate) struct Pubsub {
    channels: Listeners,
    patterns: Listeners,
    shards: Listeners,
}

impl Pubsub {
    pub fn listeners(&self, topic: Topic) -> &Listeners {
        match topic {
            Topic::Channel => &self.channels,
            Topic::Pattern => &self.patterns,
            Topic::Shard => &self.shards,
        }
    }

    fn listeners_mut(&mut self, topic: Topic) -> &mut Listeners {
        match topic {
            Topic::Channel => &mut self.channels,
            Topic::Pattern => &mut self.patterns,
            Topic::Shard => &mut self.shards,
        }
    }

    /// Returns whether the subscription is new.
    pub fn subscribe(&mut self, session: &mut Session, topic: Topic, name: &[u8]) -> bool {
        if !session.subscriptions.of(topic).insert(name.into()) {
            return false;
        }
        self.listeners_mut(topic).entry(name.into()).or_default().push(session.id);
        true
    }

    /// Returns whether there was such a subscription.
    pub fn unsubscribe(&mut self, session: &mut Session, topic: Topic, name: &[u8]) -> bool {
        if !session.subscriptions.of(topic).remove(name) {
            return false;
        }
        let all = self.listeners_mut(topic);
        let listeners = all.get_mut(name).expect("a session's subscription is known");
        listeners.retain(|id| *id != session.id);
        if listeners.is_empty() {
            all.remove(name);
        }
        true
    }

    /// Drops every subscription of a session: it ends, or says RESET.
    pub fn forget(&mut self, session: &mut Session) {
        for topic in [Topic::Channel, Topic::Pattern, Topic::Shard] {
            for name in session.subscriptions.of(topic).clone() {
                self.unsubscribe(session, topic, &name);
            }
        }
    }
}

impl crate::session::Subscriptions {
    /// The names of one kind.
    pub fn of(&mut self, topic: Topic) -> &mut std::collections::BTreeSet<Box<[u8]>> {
        match topic {
            Topic::Channel => &mut self.channels,
            Topic::Pattern => &mut self.patterns,
            Topic::Shard => &mut self.shards,
        }
    }
}

impl Core {
    /// Sends a message to everybody who listens to the channel; returns how many received it. `current` is the running session, which is
    /// not in the table: what it receives follows the reply of its own command.
    pub(crate) fn publish(&mut self, channel: &[u8], message: &[u8], current: Option<&mut Session>) -> usize {
        let mut to: Vec<(SessionId, Option<Box<[u8]>>)> = Vec::new();
        if let Some(listeners) = self.pubsub.channels.get(channel) {
            to.extend(listeners.iter().map(|id| (*id, None)));
        }
        for (pattern, listeners) in &self.pubsub.patterns {
            if glob::matches(pattern, channel, Case::Sensitive) {
                to.extend(listeners.iter().map(|id| (*id, Some(pattern.clone()))));
            }
        }
        let mut current = current;
        for (id, pattern) in &to {
            self.deliver(*id, current.as_deref_mut(), |out| match pattern {
                None => {
                    out.push(3);
                    out.bulk(b"message");
                    out.bulk(channel);
                    out.bulk(message);
                }
                Some(pattern) => {
                    out.push(4);
                    out.bulk(b"pmessage");
                    out.bulk(pattern);
                    out.bulk(channel);
                    out.bulk(message);
                }
            });
        }
        to.len()
    }

    /// The same for a shard channel, which has no patterns.
    pub(crate) fn publish_shard(&mut self, channel: &[u8], message: &[u8], current: &mut Session) -> usize {
        let to = self.pubsub.shards.get(channel).cloned().unwrap_or_default();
        for id in &to {
            self.deliver(*id, Some(current), |out| {
                out.push(3);
                out.bulk(b"smessage");
                out.bulk(channel);
                out.bulk(message);
            });
        }
        to.len()
    }

    fn deliver(&mut self, id: SessionId, current: Option<&mut Session>, write: impl FnOnce(&mut Writer<'_>)) {
        let holds = self.holding.is_on();
        match current {
            Some(session) if session.id == id => {
                if holds {
                    session.observed.add(Observed::CHANGE);
                }
                let protocol: Protocol = session.protocol;
                write(&mut Writer::new(&mut session.pushes, protocol));
            }
            _ => {
                let Some(session) = self.sessions.get_mut(id) else { return };
                if holds {
                    session.observed.add(Observed::CHANGE);
                }
                let protocol = session.protocol;
                write(&mut Writer::new(&mut session.output.bytes, protocol));
                self.sessions.list_id(id);
            }
        }
    }
}
