//! Which keys expire, soonest first: active expiry takes exactly those whose time has come, and nothing is sampled.
//! It holds a second copy of each expiring key's name.

use crate::UnixMs;
use std::{borrow::Borrow, cmp::Ordering, collections::BTreeSet, ops::Bound};

/// The expiring keys of one database.
#[derive(Default)]
pub struct Deadlines {
    order: BTreeSet<Due>,
}

struct Due {
    at: UnixMs,
    key: Box<[u8]>,
}

/// A [`Due`] whose key is borrowed: lets a lookup do without a copy.
trait Point {
    fn point(&self) -> (UnixMs, &[u8]);
}

impl Point for Due {
    fn point(&self) -> (UnixMs, &[u8]) {
        (self.at, &self.key)
    }
}

impl Point for (UnixMs, &[u8]) {
    fn point(&self) -> (UnixMs, &[u8]) {
        *self
    }
}

impl<'a> Borrow<dyn Point + 'a> for Due {
    fn borrow(&self) -> &(dyn Point + 'a) {
        self
    }
}

impl Ord for dyn Point + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.point().cmp(&other.point())
    }
}

impl PartialOrd for dyn Point + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Point + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.point() == other.point()
    }
}

impl Eq for dyn Point + '_ {}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        self.point().cmp(&other.point())
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.point() == other.point()
    }
}

impl Eq for Due {}

impl Deadlines {
    /// How many keys expire.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// The key's deadline was `old` and is `new`.
    pub fn change(&mut self, key: &[u8], old: Option<UnixMs>, new: Option<UnixMs>) {
        if old == new {
            return;
        }
        if let Some(at) = old {
            let known = self.order.remove(&(at, key) as &dyn Point);
            assert!(known, "a key that expires has its deadline here");
        }
        if let Some(at) = new {
            self.order.insert(Due { at, key: key.into() });
        }
    }

    /// The soonest deadline and its key.
    pub fn first(&self) -> Option<(UnixMs, &[u8])> {
        self.order.first().map(Due::point)
    }

    /// The latest deadline and its key.
    pub fn last(&self) -> Option<(UnixMs, &[u8])> {
        self.order.last().map(Due::point)
    }

    /// The first key that is due at this instant or later.
    pub fn next_from(&self, at: UnixMs) -> Option<&[u8]> {
        let from: &dyn Point = &(at, &[][..]);
        self.order.range::<dyn Point, _>((Bound::Included(from), Bound::Unbounded)).next().map(|due| &*due.key)
    }

    /// Bytes that one expiring key takes here, about: its tree slot and its name.
    pub fn memory_of(key: &[u8]) -> usize {
        size_of::<Due>() * 3 / 2 + key.len()
    }
}
