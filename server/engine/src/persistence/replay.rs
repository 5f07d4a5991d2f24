//! The engine of a loader: applies a log's commands to a keyspace on a thread of its own.

use std::time::Duration;

use quorate_config::ServerConfig;
use quorate_keyspace::{DbIndex, ExpiryMode, Keyspace, UnixMs};

use crate::session::{Kind, Session};
use crate::{Engine, Host, Now, SessionId, SocketName};

/// Builds a keyspace from a snapshot and the commands behind it.
#[derive(Debug)]
pub struct Replayer {
    engine: Engine,
    session: Session,
}

impl Replayer {
    /// With an empty keyspace of the shape that the configuration says.
    #[must_use]
    pub fn new(config: ServerConfig, rng: fastrand::Rng, now: UnixMs) -> Replayer {
        let mut engine = Engine::new(config, Host::still(), rng);
        let now = Now { wall: now, mono: Duration::ZERO };
        engine.begin(now);
        // Keys of a log expire by the DEL that it holds.
        engine.keyspace_mut().set_expiry_mode(ExpiryMode::Ignore);
        let mut session = Session::new(SessionId(u64::MAX), SocketName::None, SocketName::None, now);
        session.kind = Kind::Loader;
        session.authenticated = true;
        Replayer { engine, session }
    }

    /// The keyspace, for a snapshot to be loaded into.
    pub fn keyspace(&mut self) -> &mut Keyspace {
        self.engine.keyspace_mut()
    }

    /// The stream goes on in this database.
    pub fn select(&mut self, db: u32) -> Result<(), String> {
        let index = self.engine.keyspace().index(i64::from(db)).map_err(|error| error.to_string())?;
        self.session.db = index;
        Ok(())
    }

    /// Another file begins: in database 0, outside of any transaction.
    pub fn next_file(&mut self) {
        self.session.db = DbIndex(0);
        self.session.multi = None;
    }

    /// Applies a command.
    pub fn apply(&mut self, argv: &[&[u8]]) -> Result<(), String> {
        self.engine.apply(&mut self.session, argv)
    }

    /// The finished keyspace.
    #[must_use]
    pub fn into_keyspace(self) -> Keyspace {
        self.engine.into_keyspace()
    }
}
