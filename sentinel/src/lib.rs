//! The watcher process.

pub mod founding;
pub mod front;
pub mod nodes;
pub mod store;
pub mod views;
pub mod watch;
