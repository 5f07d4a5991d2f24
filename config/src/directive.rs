//! One row of the table: what a directive is called, what it takes, and how far this program honours it.

use crate::table::ServerConfig;

/// What values a directive takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number within the bounds, both inclusive.
    Int(i64, i64),
    /// Bytes, with an optional unit (`b k kb m mb g gb`), within the bounds.
    Memory(u64, u64),
    /// File permissions in octal.
    Octal,
    /// `yes` or `no`.
    Bool,
    /// One of these words.
    Enum(&'static [&'static str]),
    /// Any text, one word.
    Text,
    /// Several words with a syntax of their own.
    Words,
}

/// When a directive may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// In files and on the command line only.
    Startup,
    /// Also by CONFIG SET.
    Runtime,
    /// By CONFIG SET where `enable-protected-configs` allows it.
    Protected,
}

/// How far this program honours a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It does what Redis's documentation says.
    Works,
    /// Accepted, remembered and shown, but nothing changes, for this reason.
    Inert(&'static str),
    /// Only the default is accepted, for this reason.
    DefaultOnly(&'static str),
}

/// What the process must do when a directive has changed at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apply {
    /// Nothing: the value is read where it is used.
    Stored,
    /// Open and close listening sockets (`bind`, `port`, `unixsocket`).
    Listen,
    /// Compare the memory in use with the new limit and evict.
    Memory,
    /// The rule for periodic snapshots changed.
    Snapshots,
    /// Start or stop the append-only file.
    Aof,
    /// The log's level or file changed.
    Log,
    /// Raise or lower the limit of clients.
    Clients,
    /// Set the password of the default user.
    Password,
    /// The classes of keyspace events changed.
    Events,
    /// The loop's frequency changed.
    Tick,
    /// Resize the replication backlog.
    Backlog,
    /// Tell the master about priority or announced address; recount good replicas.
    Replication,
    /// Change the working directory.
    Dir,
    /// Trim the slow log or the latency record to the new bound.
    Trim,
}

/// One directive of the data node. The static table is [`crate::DIRECTIVES`].
pub struct Directive {
    /// The name that files and replies use.
    pub name: &'static str,
    /// Other names accepted and shown by CONFIG GET (`slave-…`, `…-ziplist-…`).
    pub aliases: &'static [&'static str],
    /// What values it takes.
    pub kind: Kind,
    /// The default, as in a file.
    pub default: &'static str,
    /// When it may change.
    pub when: When,
    /// What to do after a change at run time.
    pub apply: Apply,
    /// How far it is honoured.
    pub support: Support,
    /// One sentence on what it does.
    pub summary: &'static str,
    /// Whether several words make its value, so that CONFIG SET splits its argument.
    pub(crate) many: bool,
    pub(crate) read: fn(&ServerConfig) -> String,
    pub(crate) lines: fn(&ServerConfig) -> Vec<String>,
    pub(crate) write: fn(&mut ServerConfig, &[&str], Turn) -> Result<(), String>,
}

/// Whether a line is the first of its directive in this configuration (it replaces the default) or a further one, which
/// directives of several lines (`save`) add to what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    First,
    Further,
}

impl Directive {
    /// The directive of this name or alias, whatever its letters' case.
    pub fn find(name: &str) -> Option<&'static Directive> {
        crate::table::DIRECTIVES
            .iter()
            .find(|directive| directive.names().any(|known| known.eq_ignore_ascii_case(name)))
    }

    /// Its name, then its aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Writes a value, refusing what this program could not honour.
    pub(crate) fn write_checked(&self, config: &mut ServerConfig, words: &[&str], turn: Turn) -> Result<(), String> {
        (self.write)(config, words, turn)?;
        if let Support::DefaultOnly(reason) = self.support
            && (self.read)(config) != (self.read)(&ServerConfig::default())
        {
            return Err(format!("only '{}' is supported: {reason}", self.default));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Directive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directive").field("name", &self.name).finish_non_exhaustive()
    }
}

impl PartialEq for Directive {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
