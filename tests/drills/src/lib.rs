//! The proof over real processes: five nodes and three sentinels of the built binary, each on a host and a disk of its own, broken in every way
//! that a seed decides, while clients record what they do and see. `cargo xtask drill-proof` runs it; the same harness runs Redis with Redis
//! Sentinel, to show that it sees losses where there are some.
//!
//! [`world`]: namespaces, network, disks · [`system`]: what is put to the proof · [`cluster`]: its processes · [`members`]: who belongs to it · [`nemesis`]: faults ·
//! [`workload`]: clients over [`resp`] · [`judge`] and [`report`]: what the checkers say · [`proof`]: a run.

pub mod cluster;
pub mod judge;
pub mod members;
pub mod nemesis;
pub mod proof;
pub mod report;
pub mod resp;
pub mod system;
pub mod workload;
pub mod world;
