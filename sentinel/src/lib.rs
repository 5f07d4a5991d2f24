//! The watcher process.

pub mod clock;
pub mod effects;
#[cfg(test)]
mod fakes;
pub mod founding;
pub mod front;
pub mod hello;
pub mod nodes;
pub mod probe;
pub mod store;
pub mod views;
pub mod watch;
pub mod wire;
