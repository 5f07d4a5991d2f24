//! The data node's shell: sockets, disk, links and the agent around the pure engine.
//!
//! One thread runs the engine over a readiness loop (`mainloop`): every ready socket is read and what is complete runs, then
//! the effects (AOF first), then one write for each connection. Other threads (disk, loader, agent, signals) never touch the
//! engine: they put a [`mailbox::Mail`] into its mailbox, which wakes the loop.
//!
//! Not here: what a command does (engine), formats (persist), protocol (resp).

mod conn;
pub mod host;
pub mod listen;
pub mod mailbox;
mod mainloop;
mod perform;
mod signals;

use std::{io, path::PathBuf};

use mimalloc::MiMalloc;
use quorate_collections::counting::Counting;
use quorate_config::ServerConfig;

/// The process's allocator: mimalloc (the fastest measured on the data path), counted for INFO and maxmemory.
#[global_allocator]
static ALLOCATOR: Counting<MiMalloc> = Counting(MiMalloc);

/// Why a node could not start or had to stop. `Display` is one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// No listening socket.
    #[error("{0}")]
    Listen(#[from] listen::ListenError),
    /// The working directory cannot be used.
    #[error("can't use directory '{dir}': {source}")]
    Dir {
        /// `dir`.
        dir: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The readiness loop failed.
    #[error("event loop: {0}")]
    Loop(io::Error),
}

/// Runs a data node until it is told to stop; returns the process's exit code. `config_file` is where the configuration
/// came from: CONFIG REWRITE writes it.
pub fn run(config: ServerConfig, config_file: Option<PathBuf>) -> Result<i32, NodeError> {
    let config_file = config_file.map(|path| std::path::absolute(&path).unwrap_or(path));
    let dir = &config.dir;
    std::env::set_current_dir(dir).map_err(|source| NodeError::Dir { dir: dir.clone(), source })?;
    host::set_config_file(config_file.clone());
    let listeners = listen::open(&config)?;
    tracing::info!("Server initialized, PID: {}", std::process::id());
    let mainloop = mainloop::MainLoop::new(config, config_file, listeners).map_err(NodeError::Loop)?;
    mainloop.run().map_err(NodeError::Loop)
}
