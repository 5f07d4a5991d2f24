//! The watcher process: decides nothing itself, connects the rooms that do.
//!
//! ```text
//!   data nodes <── probe, hello, effects            RESP 26379 ── front ──┐
//!                     │        ↑                    HTTP, gRPC 27379 ── quorate-api ──┤
//!                   Seen    Effect                                        │
//!                     ↓        │                                        plane ── order (to the leader)
//!   other <── peers ── office (watch, sights, steering) ──────┐           │
//!   sentinels    ↑                                         driver ── view, events
//!                └────────── Raft messages ──────────────── (thread)
//!                                                              └── store (redb)
//! ```
//! - [`store`] and [`founding`]: who this sentinel is, and why it cannot vote under a name whose log it lost.
//! - [`entry`] makes it a member, [`keeper`] lets others in, [`driver`] runs Raft.
//! - [`office`] turns sights into decisions on the leader; [`plane`] is what the fronts see.

pub mod clock;
pub mod driver;
pub mod effects;
pub mod entry;
#[cfg(test)]
mod fakes;
pub mod founding;
pub mod front;
pub mod hello;
pub mod keeper;
pub mod nodes;
pub mod office;
pub mod order;
pub mod peers;
pub mod plane;
pub mod probe;
pub mod run;
pub mod store;
pub mod views;
pub mod watch;
pub mod wire;

pub use run::{RunError, run};
