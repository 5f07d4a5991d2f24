//! The RDB format: Redis's snapshot file, written as version 10 and read from version 6 to 12.
//!
//! Layout: `REDIS` and four decimal digits, auxiliary fields, then for each database a SELECTDB, a RESIZEDB and its keys
//! (an optional expiry, the type, the key, the value), an EOF opcode and the CRC-64 of everything before it.
//! Source: Redis's rdb.h and the files that Redis 6 to 7.4 write; numbers and names are the format's.

mod batch;
pub mod dump;
mod encode;
mod input;
pub mod object;
pub mod read;
pub mod seal;
pub mod write;
mod ziplist;

use std::io;

/// The version that is written: the newest that Redis 7.0 reads.
pub const WRITE_VERSION: u16 = 10;
/// Versions that are read. Source: 6 is Redis 2.6's (before it integers were laid out otherwise), 12 is Redis 7.4's.
pub const READ_VERSIONS: std::ops::RangeInclusive<u16> = 6..=12;

/// A place in a replication history: the dataset holds exactly the stream `replid` up to `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicationPoint {
    /// The history's id, forty hexadecimal digits.
    pub replid: [u8; 40],
    /// How many bytes of that history's stream the dataset holds.
    pub offset: u64,
    /// The database that the stream has selected at that offset.
    pub db: u32,
}

/// What an RDB says of itself beside its keys: written as auxiliary fields, and found again by a load.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RdbHeader {
    /// `redis-ver`: the Redis version that the writer answers to.
    pub redis_version: String,
    /// `ctime`: when the snapshot began, in seconds of Unix time.
    pub created_s: u64,
    /// `used-mem`: bytes that the writer's process used.
    pub used_memory: u64,
    /// `repl-id`, `repl-offset` and `repl-stream-db`.
    pub replication: Option<ReplicationPoint>,
    /// `quorate-epoch`: the group's epoch in which the last write of this dataset was made.
    pub epoch: Option<u64>,
    /// `aof-base`: this snapshot is the base file of an append-only log.
    pub aof_base: bool,
}

/// What a load found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RdbInfo {
    /// The format's version.
    pub version: u16,
    /// The auxiliary fields that we know.
    pub header: RdbHeader,
    /// Keys that were put into the keyspace.
    pub keys_loaded: u64,
    /// Keys that were left out because they had expired.
    pub keys_expired: u64,
    /// Function libraries that were left out: there is no scripting yet.
    pub functions_skipped: u64,
    /// Bytes read, the checksum included.
    pub bytes: u64,
}

/// Why an RDB could not be read. Offsets are bytes from the start of the RDB.
#[derive(Debug, thiserror::Error)]
pub enum RdbError {
    /// The reader failed.
    #[error("read error at byte {offset}: {source}")]
    Io {
        /// Where.
        offset: u64,
        /// What the reader said.
        source: io::Error,
    },
    /// The input ended in the middle.
    #[error("unexpected end of the RDB at byte {offset}")]
    Truncated {
        /// Where.
        offset: u64,
    },
    /// The input does not follow the format.
    #[error("corrupt RDB at byte {offset}: {what}")]
    Corrupt {
        /// Where.
        offset: u64,
        /// What was wrong.
        what: &'static str,
    },
    /// The input is well formed, but holds what this server has no type for.
    #[error("unsupported RDB content at byte {offset}: {what}")]
    Unsupported {
        /// Where.
        offset: u64,
        /// What it is.
        what: &'static str,
    },
    /// Not between the versions that are read.
    #[error("RDB version {0} cannot be read")]
    Version(u16),
    /// The checksum differs.
    #[error("wrong RDB checksum at byte {offset}: the file says {expected:016x}, its bytes sum to {found:016x}")]
    Checksum {
        /// Where the checksum stands.
        offset: u64,
        /// What the input claims.
        expected: u64,
        /// What its bytes sum to.
        found: u64,
    },
}

/// Opcodes that stand where a type could. Source: rdb.h.
pub(crate) mod opcode {
    pub const SLOT_INFO: u8 = 244;
    pub const FUNCTION2: u8 = 245;
    pub const FUNCTION_PRE_GA: u8 = 246;
    pub const MODULE_AUX: u8 = 247;
    pub const IDLE: u8 = 248;
    pub const FREQ: u8 = 249;
    pub const AUX: u8 = 250;
    pub const RESIZE_DB: u8 = 251;
    pub const EXPIRE_MS: u8 = 252;
    pub const EXPIRE_S: u8 = 253;
    pub const SELECT_DB: u8 = 254;
    pub const EOF: u8 = 255;
}

/// Types of values. Source: rdb.h.
pub(crate) mod kind {
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    pub const ZSET: u8 = 3;
    pub const HASH: u8 = 4;
    pub const ZSET_2: u8 = 5;
    pub const MODULE_PRE_GA: u8 = 6;
    pub const MODULE_2: u8 = 7;
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const ZSET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    pub const LIST_QUICKLIST: u8 = 14;
    pub const STREAM_LISTPACKS: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const ZSET_LISTPACK: u8 = 17;
    pub const LIST_QUICKLIST_2: u8 = 18;
    pub const STREAM_LISTPACKS_2: u8 = 19;
    pub const SET_LISTPACK: u8 = 20;
    pub const STREAM_LISTPACKS_3: u8 = 21;
    pub const HASH_METADATA_PRE_GA: u8 = 22;
    pub const HASH_LISTPACK_EX_PRE_GA: u8 = 23;
    pub const HASH_METADATA: u8 = 24;
    pub const HASH_LISTPACK_EX: u8 = 25;
}
