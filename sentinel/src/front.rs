//! The Sentinel RESP front: what every Sentinel client already speaks, over plain TCP.
//!
//! Shapes and field orders are the reference's, byte for byte (clients read some by position). What differs is the source
//! of truth: the master's address comes from committed state, and a sentinel that has lost the quorum closes the connection
//! of a client that asks it for a master, so that the client tries the next sentinel (I14).
//!
//! One task a connection. Bounds: [`Options::clients_most`] connections; requests as `quorate_resp::Limits`; a client that
//! does not read is cut off when its unsent replies pass [`REPLIES_MOST`] or when it falls behind the event queue.

mod client;
mod commands;
mod conn;
mod facts;
mod info;
mod instances;
mod sentinel;
mod subscriptions;

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::{net::TcpListener, task::JoinSet};

pub use facts::{GroupFacts, Instance, PeerFacts, ReplicaFacts, Tower};

/// A client whose unsent replies pass this many bytes is cut off: the longest honest reply is a few hundred KiB.
pub const REPLIES_MOST: usize = 16 * 1024 * 1024;

/// How the front is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// `requirepass`: clients authenticate first. Empty: they need not.
    pub password: String,
    /// The most connections at a time; further ones are told so and closed. Source: Redis, maxclients.
    pub clients_most: usize,
    /// The port that INFO names.
    pub port: u16,
    /// `protected-mode`: without a password only this machine's own clients are served.
    pub protected: bool,
}

/// What all connections share.
struct Shared {
    tower: Arc<dyn Tower>,
    options: Options,
    started: Instant,
    next_client: AtomicU64,
    connected: AtomicUsize,
    accepted: AtomicU64,
    rejected: AtomicU64,
    commands: AtomicU64,
}

/// Serves clients until the future is dropped; dropping it closes every connection.
pub async fn serve(listener: TcpListener, tower: Arc<dyn Tower>, options: Options) -> io::Result<()> {
    let shared = Arc::new(Shared {
        tower,
        options,
        started: Instant::now(),
        next_client: AtomicU64::new(1),
        connected: AtomicUsize::new(0),
        accepted: AtomicU64::new(0),
        rejected: AtomicU64::new(0),
        commands: AtomicU64::new(0),
    });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(conn::run(shared.clone(), stream, peer));
                }
                // Out of descriptors, or the peer was gone already: the listener itself is sound.
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

impl Options {
    /// May a client from this address be served at all?
    fn serves(&self, peer: IpAddr) -> bool {
        !self.protected || !self.password.is_empty() || peer.to_canonical().is_loopback()
    }
}

impl Shared {
    /// Counts a connection in, or refuses it.
    fn admit(&self) -> bool {
        let admitted = self.connected.fetch_add(1, Ordering::Relaxed) < self.options.clients_most;
        if admitted {
            self.accepted.fetch_add(1, Ordering::Relaxed);
        } else {
            self.connected.fetch_sub(1, Ordering::Relaxed);
            self.rejected.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }
}

#[cfg(test)]
mod tests;
