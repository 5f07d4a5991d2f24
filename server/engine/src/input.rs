//! What happens to the engine.

use std::time::Duration;

use quorate_keyspace::UnixMs;

use crate::{Control, DiskDone, LinkInput, Loaded, SessionId};

/// The time of a turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// The wall clock: expiry, TIME, LASTSAVE.
    pub wall: UnixMs,
    /// Since the process started, never backwards: timeouts, idle times, durations.
    pub mono: Duration,
}

/// One end of a connection, as CLIENT LIST shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketName {
    /// A TCP socket.
    Tcp(std::net::SocketAddr),
    /// A Unix socket's path.
    Unix(String),
    /// No socket: a loader, a script, a test.
    None,
}

impl SocketName {
    /// Whether the address is this machine's own (protected mode lets it in).
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            SocketName::Tcp(address) => address.ip().to_canonical().is_loopback(),
            SocketName::Unix(_) | SocketName::None => true,
        }
    }
}

impl std::fmt::Display for SocketName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SocketName::Tcp(address) => write!(f, "{address}"),
            SocketName::Unix(path) => write!(f, "{path}:0"),
            SocketName::None => f.write_str("?:0"),
        }
    }
}

/// One thing that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A client connected. `id` is new: ids only grow, and CLIENT ID shows them.
    Opened {
        /// Its id.
        id: SessionId,
        /// The client's end.
        peer: SocketName,
        /// Our end.
        local: SocketName,
    },
    /// Bytes arrived. Whole commands run at once; the rest is kept in the session.
    Received {
        /// From whom.
        id: SessionId,
        /// Not empty.
        bytes: &'a [u8],
    },
    /// The connection ended, from either side.
    Closed {
        /// Whose.
        id: SessionId,
    },
    /// Something happened to the connection to our master.
    Link(LinkInput<'a>),
    /// A disk effect has an outcome.
    Disk(DiskDone),
    /// A dataset was loaded on another thread.
    Loaded(Loaded),
    /// The agent asks for something.
    Control(Control),
    /// What the node has to remember is on disk, up to this revision ([`crate::Keep`]).
    Kept(u64),
    /// Time has passed: expiry, timeouts, periodic work. Ten times a second (`hz`), and when `Engine::next_deadline` says so.
    Tick,
    /// SIGTERM or SIGINT.
    Terminate,
}
