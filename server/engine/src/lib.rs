//! The data node's mind: commands, sessions and the turn. No I/O.
//!
//! ```text
//! Input ──> Engine::feed ──> Session (parse) ──> gates ──> Command::run(&mut Call) ──> Reply
//!                                                             │ call.changed(…): the one door
//!                              WATCH, keyspace events, blocked sessions, dirty count, propagation
//! Engine::finish ──> Outputs: AOF bytes, then replicas, then the sessions that have something to be sent
//! ```
//!
//! Where to put what:
//! * a command: its row and its function in `commands/<family>.rs` (a new family is named in `commands.rs` and `table.rs`);
//! * what a command may do to its surroundings: `call.rs`; what it may be refused: `refusal.rs`; what stops it before it runs: `gates.rs`;
//! * waiting for keys: `blocking.rs`; bytes for AOF and replicas: `propagation.rs`;
//! * what a reply waits for before it leaves: `holding.rs`;
//! * RDB, AOF and their effects: `persistence.rs`; links to master and replicas, the agent: `replication.rs`.
//!
//! Invariants: nothing here reads a clock, a socket, a file or unseeded randomness; every change of stored data is told through
//! `Call::changed` (or `Core::changed` outside of commands); replies leave after the AOF bytes and the replication stream of their turn.

#![warn(missing_docs)]

mod batch;
mod blocking;
mod call;
#[cfg(test)]
mod check;
mod command;
mod commands;
mod core;
mod decimal;
mod dispatch;
mod effect;
mod engine;
mod evict;
mod gates;
mod gather;
mod holding;
mod host;
mod info;
mod input;
mod lent;
mod multi;
mod notify;
mod output;
mod persistence;
mod propagation;
mod pubsub;
mod refusal;
mod replication;
mod reply;
mod session;
mod sessions;
mod stats;
mod table;
mod watch;

pub use batch::Received;
pub use blocking::{Timeout, Unit};
pub use call::Call;
pub use command::{Arity, Categories, Command, Flags, Group, Keys};
pub use core::{Core, Standing};
pub use effect::{Closing, Effect, Level, Memory, Outputs, Shutdown};
pub use engine::{Engine, Unsent};
pub use host::{Host, HostFacts};
pub use input::{Input, Now, SocketName};
pub use output::Output;
pub use persistence::{
    DiskDone, DiskTask, Gauge, Incr, Loaded, LogPlan, LogSizes, PassId, PassPlan, Persistence, Replayer, SnapshotTarget,
};
pub use propagation::Propagation;
pub use quorate_collections::Filled;
pub use refusal::Refusal;
pub use replication::{
    Control, Denied, Facts, Found, Keep, LinkInput, LinkTask, Memory as Promises, NodeRole, Order, Replication, Report,
    Ticket,
};
pub use reply::Reply;
pub use session::{Kind, Session, SessionId};
pub use sessions::SessionMap;
pub use table::Table;

/// The version of Redis whose behaviour a client may expect: what HELLO and INFO say.
pub const REDIS_VERSION: &str = "7.2.0";
