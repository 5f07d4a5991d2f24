//! Replication as bytes and offsets: identities, the backlog, both ends of PSYNC, and the fence that a promise raises.
//!
//! This room knows no keys and no commands: the engine hands it the encoded stream and asks it what to send. It does no
//! I/O and reads no clock: times are `Duration`s since the process started, randomness is an argument.
//!
//! - [`id`]: [`ReplId`], [`Offset`], [`Epoch`].
//! - [`backlog`]: the newest part of the stream in shared blocks; replicas are cursors into it.
//! - [`history`]: which stream this dataset is a prefix of (replid, replid2, offset), and the answer to PSYNC.
//! - [`master`]: the replicas that follow us: handshake options, transfer, acknowledgements, timeouts.
//! - [`follower`]: our own link to a master, as a state machine over bytes.
//! - [`framing`]: the two framings of a full resync's payload.
//! - [`fence`]: promised epoch, epoch and role: what may change them and what refuses (I1, I2, I11).
//! - [`commit`]: which writes are held by enough voters, and which reads are confirmed (I3, I5, I7, I9).
//! - [`lease`]: until when the master may answer reads alone (I7, I8), and what an async master without one may do (I13).
//! - [`faults`]: switches for tests that break one invariant each; without the feature of that name they do not exist.
//! - [`tail`]: whether a node that restarts still holds what it acknowledged (I10).
//! - [`failover`]: the `FAILOVER` command's hand-over between two nodes, as Redis 6.2 has it.

pub mod backlog;
pub mod commit;
pub mod failover;
pub mod faults;
pub mod fence;
pub mod follower;
pub mod framing;
pub mod history;
pub mod id;
pub mod lease;
pub mod master;
pub mod tail;

pub use backlog::Backlog;
pub use commit::{Commit, VotingConfig};
pub use fence::Fence;
pub use follower::Follower;
pub use history::History;
pub use id::{Address, Epoch, NodeId, Offset, ReplId};
pub use lease::{Failsafe, Lease};
pub use master::Replicas;
