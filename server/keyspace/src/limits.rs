//! Where a small encoding ends. Defaults and names: redis.conf of Redis 7.2.

use quorate_collections::HashSeed;

/// The thresholds past which a collection takes its large encoding, and the seed of its tables.
/// A keyspace has one set of them; a change reaches a collection when it next grows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `hash-max-listpack-entries`: fields of a hash kept in a listpack.
    pub hash_max_listpack_entries: usize,
    /// `hash-max-listpack-value`: bytes of a field or value kept in a listpack.
    pub hash_max_listpack_value: usize,
    /// `list-max-listpack-size`: positive, elements a node; -1 to -5, 4 to 64 KiB a node.
    pub list_max_listpack_size: i32,
    /// `set-max-intset-entries`: members of a set of integers kept in an intset.
    pub set_max_intset_entries: usize,
    /// `set-max-listpack-entries`: members of a set kept in a listpack.
    pub set_max_listpack_entries: usize,
    /// `set-max-listpack-value`: bytes of a member kept in a listpack.
    pub set_max_listpack_value: usize,
    /// `zset-max-listpack-entries`: members of a sorted set kept in a listpack.
    pub zset_max_listpack_entries: usize,
    /// `zset-max-listpack-value`: bytes of a member kept in a listpack.
    pub zset_max_listpack_value: usize,
    /// Key of the tables' hash function, drawn once a process.
    pub seed: HashSeed,
}

impl Limits {
    /// Redis 7.2's defaults.
    pub fn new(seed: HashSeed) -> Self {
        Self {
            hash_max_listpack_entries: 128,
            hash_max_listpack_value: 64,
            list_max_listpack_size: -2,
            set_max_intset_entries: 512,
            set_max_listpack_entries: 128,
            set_max_listpack_value: 64,
            zset_max_listpack_entries: 128,
            zset_max_listpack_value: 64,
            seed,
        }
    }
}
