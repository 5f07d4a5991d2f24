//! Judges of client histories: what clients saw of a register, a list that grows, a set that grows. The simulator and the drills over real
//! processes use the same ones.
//!
//! A history is the calls on *one* key ([`Call`]), in any order. Each judge is a pure function from a history to the [`Breach`]es in it: none
//! means that the history is linearizable and that no acknowledged write is missing from a read that had to show it. Judging is exact, not a
//! search: written values are unique within a key, so that every read names the write that it saw (P. Gibbons and E. Korach, "Testing shared
//! memories", SIAM J. Comput. 26, 1997). A general search over interleavings stands beside it in the tests.
//!
//! What a judge cannot see: a write that was acknowledged after the last read of its key began. Workloads end with a read of every key.

mod breach;
mod history;
mod order;
mod origins;

pub mod append;
pub mod register;
pub mod set;

#[cfg(test)]
mod testing;

pub use breach::{Breach, Kind};
pub use history::{Call, Client, End, Time, Value};
