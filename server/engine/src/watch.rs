//! WATCH: optimistic locking by versions. A watched key has a version that each change raises; EXEC compares. Nobody else pays.

use std::collections::BTreeMap;

use quorate_keyspace::DbIndex;

/// A key that a session watches, with the version that it saw.
#[derive(Debug)]
pub(crate) struct Watched {
    pub db: DbIndex,
    pub key: Box<[u8]>,
    pub version: u64,
    /// How often it had expired. Of no interest if it was absent, or dead already, when it was watched: whoever makes it raises the version.
    pub expired: u64,
    pub was_absent: bool,
}

#[derive(Debug)]
struct Entry {
    version: u64,
    expired: u64,
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

    /// Begins to watch a key, as it stands now.
    pub fn add(&mut self, db: DbIndex, key: &[u8], was_absent: bool) -> Watched {
        let new = Entry { version: 0, expired: 0, watchers: 0 };
        let entry = self.keys.entry(db).or_default().entry(key.into()).or_insert(new);
        entry.watchers += 1;
        Watched { db, key: key.into(), version: entry.version, expired: entry.expired, was_absent }
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

    /// The key's time had come, and it was removed.
    pub fn expired(&mut self, db: DbIndex, key: &[u8]) {
        if let Some(entry) = self.keys.get_mut(&db).and_then(|keys| keys.get_mut(key)) {
            entry.expired += 1;
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
        let entry = &self.keys[&watched.db][&watched.key];
        entry.version == watched.version && (watched.was_absent || entry.expired == watched.expired)
    }
}
