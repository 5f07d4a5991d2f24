//! MULTI: commands queued by a session until EXEC.

use crate::command::Command;

/// One queued command.
#[derive(Debug)]
pub(crate) struct Queued {
    pub argv: Vec<Box<[u8]>>,
    pub row: Row,
}

/// A row of the table.
pub(crate) type Row = &'static Named;

/// A command under its full name.
pub(crate) struct Named {
    pub number: usize,
    pub command: &'static Command,
    pub name: &'static str,
}

impl std::fmt::Debug for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// A transaction that is being collected. Bounded by the session's query buffer limit, which counts `bytes`.
#[derive(Debug, Default)]
pub(crate) struct Multi {
    pub queue: Vec<Queued>,
    /// A command was refused while it was queued: EXEC will refuse all.
    pub spoilt: bool,
    pub bytes: usize,
}
