//! Glue between turns and the persist room: SAVE, BGSAVE, the AOF and its rewrite, loading.
//!
//! The frame calls in at fixed points: `Input::Disk` and `Input::Loaded` arrive in `Core::disk` and `Core::loaded`, the turn's stream in
//! `Core::append` (which may ask for the turn's replies to be held), each tick in `Core::persistence_tick`.

use quorate_keyspace::Keyspace;

use crate::Shutdown;
use crate::core::Core;

/// Work for the disk thread.
#[derive(Debug)]
pub enum DiskTask {}

/// The outcome of work for the disk thread.
#[derive(Debug)]
pub enum DiskDone {}

/// A dataset that was loaded on another thread.
pub struct Loaded {
    /// The data.
    pub keyspace: Keyspace,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Loaded")
    }
}

/// What is known about files.
#[derive(Debug, Default)]
pub struct Persistence {
    /// Changes since the last successful save: INFO's rdb_changes_since_last_save.
    pub dirty: u64,
}

/// Whether a turn's replies may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// At once.
    Now,
    /// When the disk has confirmed this ticket (`Engine::confirmed`).
    After(u64),
}

impl Core {
    /// A disk effect has an outcome.
    pub(crate) fn disk(&mut self, _keyspace: &mut Keyspace, done: DiskDone) {
        match done {}
    }

    /// A dataset was loaded: it becomes ours.
    pub(crate) fn loaded(&mut self, keyspace: &mut Keyspace, loaded: Loaded) {
        *keyspace = loaded.keyspace;
        self.standing.loading = false;
    }

    /// A full resync replaced the dataset: what is on disk is another history's.
    pub(crate) fn dataset_replaced(&mut self, _keyspace: &mut Keyspace) {}

    /// The turn's stream, before anybody else gets it: the AOF's bytes.
    pub(crate) fn append(&mut self, _stream: &[u8]) -> Release {
        Release::Now
    }

    /// Periodic work: save points, AOF rewrite, snapshot steps.
    pub(crate) fn persistence_tick(&mut self, _keyspace: &mut Keyspace) {}

    /// Advances a running snapshot within its budget, once a turn.
    pub(crate) fn persistence_step(&mut self, _keyspace: &mut Keyspace) {}

    /// SHUTDOWN or SIGTERM: saves if it should, then asks the shell to leave.
    pub(crate) fn shutdown(&mut self, _keyspace: &mut Keyspace, shutdown: Shutdown) {
        self.effects.push(crate::Effect::Shutdown(shutdown));
    }

    /// INFO's persistence section, lines ended by CRLF.
    pub(crate) fn info_persistence(&self) -> String {
        format!("loading:{}\r\n", u8::from(self.standing.loading))
    }
}
