//! All sessions. The one that runs is taken out, so that its command can reach the others.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::SessionId;
use crate::session::Session;

/// Something of each session, found by its id.
pub type SessionMap<T> = HashMap<SessionId, T, BuildHasherDefault<IdHasher>>;

/// Ids are ours and count up: spreading them by a multiplication is enough.
#[derive(Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only ids are hashed");
    }

    fn write_u64(&mut self, id: u64) {
        // Knuth's multiplicative hashing: 2^64 over the golden ratio.
        self.0 = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The table of sessions, and the list of those that got output in this turn.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    all: SessionMap<Option<Box<Session>>>,
    ready: Vec<SessionId>,
}

impl Sessions {
    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn insert(&mut self, session: Box<Session>) {
        let id = session.id;
        assert!(self.all.insert(id, Some(session)).is_none(), "session ids are never used twice");
    }

    pub fn remove(&mut self, id: SessionId) -> Option<Box<Session>> {
        self.all.remove(&id).flatten()
    }

    /// Takes a session out while it runs; `put_back` must follow.
    pub fn take(&mut self, id: SessionId) -> Option<Box<Session>> {
        self.all.get_mut(&id)?.take()
    }

    pub fn put_back(&mut self, session: Box<Session>) {
        let place = self.all.get_mut(&session.id).expect("a running session keeps its place");
        *place = Some(session);
    }

    /// A session that is not running.
    pub fn get(&self, id: SessionId) -> Option<&Session> {
        self.all.get(&id)?.as_deref()
    }

    /// A session that is not running.
    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.all.get_mut(&id)?.as_deref_mut()
    }

    /// Every session but the running one, by id.
    pub fn ids(&self) -> Vec<SessionId> {
        let mut ids: Vec<SessionId> = self.all.iter().filter(|(_, s)| s.is_some()).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    /// Every session but the running one, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.all.values().filter_map(|session| session.as_deref())
    }

    /// The session has output: it is to be written at the end of the turn.
    pub fn list(&mut self, session: &mut Session) {
        if !session.listed {
            session.listed = true;
            self.ready.push(session.id);
        }
    }

    /// The same for a session in the table.
    pub fn list_id(&mut self, id: SessionId) {
        if let Some(session) = self.all.get_mut(&id).and_then(Option::as_deref_mut)
            && !session.listed
        {
            session.listed = true;
            self.ready.push(id);
        }
    }

    /// Hands out the list; `give_back_ready` returns it, emptied, for the next turn.
    pub fn take_ready(&mut self) -> Vec<SessionId> {
        std::mem::take(&mut self.ready)
    }

    pub fn give_back_ready(&mut self, mut list: Vec<SessionId>) {
        // Nobody is listed between the two calls; were it so, that list must not be lost.
        list.clear();
        list.append(&mut self.ready);
        self.ready = list;
    }
}
