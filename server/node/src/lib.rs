//! The data node's shell: sockets, disk, links and the agent. It moves bytes and performs effects; every decision is the engine's.
//!
//! One thread runs the engine over a readiness loop (`mainloop.rs`): it reads every ready socket and runs what is complete, then hands the turn's
//! bytes to AOF and replicas, then writes once per connection. Whatever may wait (disk, agent, name resolution) lives on threads of its own and
//! reaches the loop through the mailbox.

#![warn(missing_docs)]

pub mod agent;
mod ahead;
mod alloc;
mod background;
mod conn;
mod disk;
mod host;
mod link;
mod listen;
mod mailbox;
mod mainloop;
mod member;
mod signals;

use std::path::PathBuf;
use std::sync::OnceLock;

use quorate_config::{LogLevel, ServerConfig};

pub use alloc::used_memory;
pub use listen::ListenError;
pub use mailbox::{Mail, Mailbox};

/// Why a node could not start or go on. `Display` is one line for a person.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The working directory cannot be entered.
    #[error("Can't chdir to '{0}': {1}")]
    Directory(String, std::io::Error),
    /// The operating system refused something that a node cannot do without.
    #[error("{0}: {1}")]
    System(&'static str, std::io::Error),
    /// The state file cannot be used.
    #[error("{0}")]
    State(std::io::Error),
    /// The node left with a failure that the log tells of.
    #[error("the node left with exit code {0}")]
    Left(i32),
}

static LOG_LEVEL: OnceLock<fn(LogLevel)> = OnceLock::new();

/// Whoever owns the log says here how its level is changed: CONFIG SET loglevel calls it. The first call counts.
pub fn on_log_level(change: fn(LogLevel)) {
    LOG_LEVEL.get_or_init(|| change);
}

/// Runs a data node in this thread until it is told to leave. `config_file` is what CONFIG REWRITE writes.
pub fn run(config: ServerConfig, config_file: Option<PathBuf>) -> Result<(), NodeError> {
    // Resolved before `dir` is entered, since it is relative to where the program was started.
    let config_file = config_file.map(|path| std::path::absolute(&path).unwrap_or(path));
    if config.dir != "." {
        std::env::set_current_dir(&config.dir).map_err(|error| NodeError::Directory(config.dir.clone(), error))?;
    }
    if let Err(error) = ahead::start() {
        tracing::debug!("Memory is not faulted in ahead: {error}");
    }
    mainloop::Mainloop::start(config, config_file)?.run()
}
