//! The connection to our master: one socket in the loop, driven by `LinkTask` and read into `LinkInput`.

use mio::{Registry, Token};
use quorate_engine::{Engine, LinkTask};

/// The link's place in the loop.
#[derive(Debug)]
pub(crate) struct Link {
    #[expect(dead_code, reason = "the replication glue connects with it")]
    token: Token,
}

impl Link {
    /// A link that is not connected; its socket will be registered under `token`.
    pub fn new(token: Token) -> Link {
        Link { token }
    }

    /// Does what the engine asks.
    pub fn perform(&mut self, task: LinkTask, _registry: &Registry) {
        match task {
            LinkTask::Connect { .. } | LinkTask::Send(_) | LinkTask::Close => {}
        }
    }

    /// The socket is ready: feeds the engine with what it says. Called between `begin` and `finish`.
    pub fn ready(&mut self, _engine: &mut Engine, _scratch: &mut [u8]) {}
}
