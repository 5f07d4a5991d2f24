//! Performs the engine's disk effects on a thread of its own.

use quorate_config::ServerConfig;
use quorate_engine::DiskTask;

use crate::Mailbox;

/// The disk thread's handle.
#[derive(Debug)]
pub(crate) struct Disk {}

impl Disk {
    /// Starts the thread; outcomes come back through the mailbox.
    pub fn start(_config: &ServerConfig, _mailbox: &Mailbox) -> Disk {
        Disk {}
    }

    /// Hands it work.
    pub fn perform(&mut self, task: DiskTask) {
        match task {}
    }
}
