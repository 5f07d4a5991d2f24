//! Strings on their way into a database, some at a time, so that the memory that they go to is asked for together.

use quorate_keyspace::{DbIndex, KeyHash, Keyspace, Ttl};

/// Strings put in together: more would fall out of the nearest cache again before they are put in.
const ROWS: usize = 32;
/// Bytes of keys and strings at which they are put in whatever their number.
const BYTES: usize = 64 * 1024;

/// Strings that were parsed and not put in yet.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    rows: Vec<Row>,
    hashes: Vec<KeyHash>,
}

#[derive(Debug)]
struct Row {
    ttl: Ttl,
    key_end: usize,
    text_end: usize,
}

/// A key of a batch was there before.
#[derive(Debug)]
pub(super) struct Twice;

impl Batch {
    /// Where the next key, and then its string, are to be appended.
    pub fn room(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Forgets the bytes of `room` from `from` on.
    pub fn cut(&mut self, from: usize) {
        self.bytes.truncate(from);
    }

    /// What was appended to `room` since the last time is a key, up to `key_end`, and its string.
    pub fn push(&mut self, key_end: usize, ttl: Ttl) {
        self.rows.push(Row { ttl, key_end, text_end: self.bytes.len() });
    }

    /// Is it time to put them in?
    pub fn is_full(&self) -> bool {
        self.rows.len() >= ROWS || self.bytes.len() >= BYTES
    }

    /// Puts them in; returns how many they were.
    pub fn put(&mut self, keyspace: &mut Keyspace, db: DbIndex) -> Result<u64, Twice> {
        let starts = std::iter::once(0).chain(self.rows.iter().map(|row| row.text_end));
        let keys = starts.zip(&self.rows).map(|(start, row)| &self.bytes[start..row.key_end]);
        self.hashes.clear();
        let view = keyspace.db(db);
        self.hashes.extend(keys.map(|key| view.prefetch(key)));
        view.fetch(&self.hashes);
        let mut start = 0;
        for (row, hash) in self.rows.iter().zip(&self.hashes) {
            let (key, text) = (&self.bytes[start..row.key_end], &self.bytes[row.key_end..row.text_end]);
            keyspace.expect(*hash);
            let existed = keyspace.db(db).put_string(key, text, row.ttl);
            keyspace.expect(KeyHash::NONE);
            if existed {
                return Err(Twice);
            }
            start = row.text_end;
        }
        let count = self.rows.len() as u64;
        self.rows.clear();
        self.bytes.clear();
        self.bytes.shrink_to(2 * BYTES);
        Ok(count)
    }
}
