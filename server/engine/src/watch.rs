//! WATCH: optimistic locking by versions. A watched key has a version that each change raises; EXEC compares. Nobody else pays.

use std::collections::BTreeMap;

use quorate_keyspace::DbIndex;

/// A key that a session watches, with the version that it saw.
#[derive(Debug)]
pub(crate) struct Watched {
    pub db: DbIndex,
    pub key: Box<[u8]>,
    pub version: u64,
    /// It had expired already when it was watched: its removal is then no change.
    pub was_expired: bool,
}

#[derive(Debug)]
struct Entry {
    version: u64,
    watchers: usize,
}

/// Every watched key.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    keys: BTreeMap<DbIndex, BTreeMap<Box<[u8]>, Entry>>,
}

impl Watch {
    pub fn len(&self) -> usize {
        self.keys.values().map(BTreeMap::len).sum()
    }

    /// Begins to watch a key; returns its version now.
    pub fn add(&mut self, db: DbIndex, key: &[u8]) -> u64 {
        let entry = self.keys.entry(db).or_default().entry(key.into()).or_insert(Entry { version: 0, watchers: 0 });
        entry.watchers += 1;
        entry.version
    }

    pub fn remove(&mut self, db: DbIndex, key: &[u8]) {
        let keys = self.keys.get_mut(&db).expect("a watched key's database is known");
        let entry = keys.get_mut(key).expect("a watched key is known");
        entry.watchers -= 1;
        if entry.watchers == 0 {
            keys.remove(key);
        }
        if keys.is_empty() {
            self.keys.remove(&db);
        }
    }

    /// The key changed.
    #[inline]
    pub fn touch(&mut self, db: DbIndex, key: &[u8]) {
        if self.keys.is_empty() {
            return;
        }
        if let Some(entry) = self.keys.get_mut(&db).and_then(|keys| keys.get_mut(key)) {
            entry.version += 1;
        }
    }

    /// Every watched key of the database for which `concerned` holds changed: FLUSHDB, SWAPDB.
    pub fn touch_all(&mut self, db: DbIndex, mut concerned: impl FnMut(&[u8]) -> bool) {
        for (key, entry) in self.keys.get_mut(&db).into_iter().flatten() {
            if concerned(key) {
                entry.version += 1;
            }
        }
    }

    pub fn is_unchanged(&self, watched: &Watched) -> bool {
        self.keys[&watched.db][&watched.key].version == watched.version
    }
}
