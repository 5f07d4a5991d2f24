//! Glue between sessions and the replication room: replicas that follow us, the link to our master, the agent's questions.
//!
//! The frame calls in at fixed points: `Input::Link` and `Input::Control` arrive in `Core::link` and `Core::control`, the turn's stream in
//! `Core::replicate`, a closed replica in `Core::replica_gone`, each tick in `Core::replication_tick`.

use quorate_keyspace::Keyspace;

use crate::SessionId;
use crate::core::Core;
use crate::session::Session;

/// What happened on the connection to our master.
#[derive(Debug)]
pub enum LinkInput<'a> {
    /// It is there.
    Connected,
    /// The master sent something.
    Received(&'a [u8]),
    /// It ended or could not be made; the operating system's text.
    Closed(String),
}

/// What the shell shall do about the connection to our master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkTask {
    /// Connect, dropping any earlier connection.
    Connect {
        /// Name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// Send bytes.
    Send(Vec<u8>),
    /// Drop the connection.
    Close,
}

/// Names a question of the agent, for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A question or order of the agent.
#[derive(Debug)]
pub enum Control {
    /// Who are you and where do you stand?
    Describe(Ticket),
}

/// The node's answer to the agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {}

/// What a replica's session carries.
#[derive(Debug)]
pub struct Peer {}

/// The node's place in a replication group.
#[derive(Debug, Default)]
pub struct Replication {}

impl Core {
    /// Something happened on the connection to our master.
    pub(crate) fn link(&mut self, _keyspace: &mut Keyspace, _input: LinkInput<'_>) {}

    /// The agent asks for something.
    pub(crate) fn control(&mut self, _keyspace: &mut Keyspace, _control: Control) {}

    /// The turn's stream, right after the AOF got it: feeds the backlog. Sessions of replicas are then listed as ready.
    pub(crate) fn replicate(&mut self, _stream: &[u8]) {}

    /// A replica's session ended.
    pub(crate) fn replica_gone(&mut self, _session: &Session) {}

    /// Periodic work: pings, timeouts, acknowledgements.
    pub(crate) fn replication_tick(&mut self, _keyspace: &mut Keyspace) {}

    /// What waits to be sent to a replica beyond its session's own output: bytes of the backlog. Empty for others.
    pub(crate) fn replica_stream(&self, _id: SessionId) -> &[u8] {
        &[]
    }

    /// `count` bytes of `replica_stream` are on their way.
    pub(crate) fn replica_sent(&mut self, _id: SessionId, _count: usize) {}

    /// Whether the node follows a master, or waits to be told whom to follow.
    pub(crate) fn is_replica(&self) -> bool {
        self.standing.read_only
    }

    /// INFO's replication section, lines ended by CRLF.
    pub(crate) fn info_replication(&self) -> String {
        String::new()
    }
}
