//! The watcher process.

pub mod founding;
pub mod front;
pub mod store;
pub mod views;
pub mod watch;
