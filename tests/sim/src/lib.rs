//! The simulator: sentinels and data nodes as their pure cores in one thread, on a virtual clock, network and disk, all from one seed.
//!
//! ```text
//! seed ─> Plan ─> World { Queue, Net, Node…, Sentinel…, Client…, Nemesis }
//!                   founding ─> chaos (clients work, the nemesis breaks things) ─> heal ─> rest ─> last reads ─> judgement
//! ```
//! * `queue.rs`, `time.rs`, `net.rs`, `disk.rs`: what a world is made of.
//! * `node.rs`, `sentinel.rs`, `watcher.rs`: the real cores in thin models of their shells.
//! * `client.rs`, `history.rs`: who works with the group, and what it was told.
//! * `plan.rs`, `nemesis.rs`, `operator.rs`: what goes wrong, and what operators ask for meanwhile.
//! * `check/`: one file a property.
//!
//! Nothing here reads a clock, a file or a socket, and no order of a hash table shows: the same seed gives the same run to the byte, which
//! [`Report::digest`] proves.

mod check;
mod client;
mod disk;
mod history;
#[cfg(feature = "faults")]
pub mod hunt;
mod nemesis;
mod net;
mod node;
mod operator;
mod plan;
mod queue;
mod sentinel;
mod time;
mod trace;
mod watcher;
mod world;

pub use check::Breach;
pub use time::Time;
pub use world::Report;
use world::World;

/// Runs one seed. `print`: every event that matters is printed.
pub fn run(seed: u64, print: bool) -> Report {
    World::new(seed, print, |_| ()).run()
}
