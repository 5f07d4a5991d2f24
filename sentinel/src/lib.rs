//! The watcher process.
