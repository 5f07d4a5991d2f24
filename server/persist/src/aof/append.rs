//! When to write and when to fsync the log: a pure state machine for the thread that owns the file.

use crate::rdb::ReplicationPoint;

/// `appendfsync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsyncPolicy {
    /// Replies wait until their bytes are synced.
    Always,
    /// Synced in the background once a second.
    Everysec,
    /// Left to the operating system.
    No,
}

/// An annotation line, skipped by Redis: the dataset at this byte of the log is `point` in `epoch`.
/// Shape: `#Q:<replid>:<offset>:<epoch>:<db>\r\n`.
pub fn annotation(point: &ReplicationPoint, epoch: u64) -> Vec<u8> {
    let _ = (point, epoch);
    todo!()
}
