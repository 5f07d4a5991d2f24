//! The watcher process.

pub mod front;
pub mod views;
pub mod watch;
