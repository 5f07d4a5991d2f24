//! The append-only log: Redis 7's multi-part files, as decisions and formats.
//!
//! A directory holds a manifest, one base file (an RDB, or commands), and incremental files of commands in RESP. What is
//! appended is the replication stream itself, so that a log's bytes after a `#Q:` annotation are the stream's bytes.

pub mod append;
pub mod load;
pub mod manifest;
pub mod rewrite;
