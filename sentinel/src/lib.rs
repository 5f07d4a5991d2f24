//! The watcher process.

pub mod front;
