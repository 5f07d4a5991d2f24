//! The bench: this project's node beside Valkey and Redis, measured in the same interleaved run.
//!
//! The figure is the *server's CPU time per operation*, which no generator and little noise can bend; throughput and latencies stand beside it.
//! All servers of a stage run at once, bound to one core; the generator (`load.rs`, `batch.rs`, `reply.rs`) has the other one. A round
//! measures every server once, in turn; ratios are taken round by round, and their median and spread reported.
//!
//! Where to put what: a workload is a row of a file in `parts/`; a new part is named in `parts.rs`.

#![warn(missing_docs)]

pub mod args;
pub mod batch;
pub mod bench;
pub mod error;
pub mod figure;
pub mod histogram;
pub mod instructions;
pub mod load;
pub mod open;
pub mod parts;
pub mod plot;
pub mod process;
pub mod publish;
pub mod reach;
pub mod reply;
pub mod server;
pub mod table;
