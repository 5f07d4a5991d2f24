//! RDB and AOF formats over `io::Read` and bytes: what a data node keeps on disk, and what a full resync sends.
//!
//! Nothing here opens a file, reads a clock or starts a thread. A snapshot is written in two stages: [`rdb::write::RdbWriter`]
//! takes the images that the keyspace hands out and encodes them on the engine's thread; [`rdb::seal::Sealer`] compresses
//! strings and sums the bytes on another one. Bytes that come from a disk or a peer are untrusted: whatever is wrong with
//! them is an error with its byte offset, and no length in them makes anything allocate more than the input can fill.

pub mod aof;
pub mod rdb;
