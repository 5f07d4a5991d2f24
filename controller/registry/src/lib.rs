//! Groups, nodes, epochs, detection and failover, as pure state machines: no clock, no socket, no randomness.
//!
//! - [`model`] is what the sentinels agree on, [`command`] is how it changes (one Raft entry each), [`apply`] changes it and
//!   says which [`event`]s to publish.
//! - [`membership`] is what the leader does for sentinels that join and leave.
//! - [`voting`] says how many nodes hold a write, and how many must promise.
//! - [`pulse`] is one watcher's opinion of one node, [`sights`] is everybody's.
//! - [`steering`] is the Raft leader's judgement: sights and registry in, proposals and effects out. [`failover`] draws the
//!   phases that it goes through.
//!
//! Times are monotonic `Duration`s since the process started, always arguments; wall-clock times ([`UnixMs`]) are for people.

pub mod apply;
pub mod command;
pub mod event;
pub mod failover;
pub mod faults;
pub mod membership;
pub mod model;
pub mod names;
pub mod pulse;
pub mod settings;
pub mod sights;
pub mod steering;
pub mod voting;

pub use apply::Rejected;
pub use command::{Command, Entry};
pub use event::Event;
pub use model::{Group, Identity, Member, Membership, NodeRecord, Registry};
pub use names::{Epoch, GroupName, NodeId, NodeKey, Offset, RaftId, UnixMs};
pub use settings::{Ack, Durability, Settings};
pub use steering::{Action, Effect, Order, Outcome, Reach, Steering, Ticket};
pub use voting::{Voting, VotingConfig};
