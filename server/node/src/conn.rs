//! One client's socket. It holds no protocol state: sessions live in the engine.

use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use quorate_engine::{SessionId, SocketName};

/// A connected stream of either kind.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection, registered for both directions, edge-triggered.
#[derive(Debug)]
pub(crate) struct Conn {
    pub id: SessionId,
    pub stream: Stream,
    /// The last write did not take everything: the next is due when the socket says so.
    pub choked: bool,
    /// End once everything was sent.
    pub closing: bool,
    /// Stands in the list of sockets that may hold more to read.
    pub unread: bool,
    /// A large argument is arriving: the engine may have room for it where it will lie.
    pub gathers: bool,
    /// The peer has said that it will send no more.
    pub half_closed: bool,
}

impl Conn {
    pub fn register(mut stream: Stream, id: SessionId, token: Token, registry: &Registry) -> io::Result<Conn> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match &mut stream {
            Stream::Tcp(stream) => registry.register(stream, token, interest)?,
            Stream::Unix(stream) => registry.register(stream, token, interest)?,
        }
        Ok(Conn { id, stream, choked: false, closing: false, unread: false, gathers: false, half_closed: false })
    }

    /// Small replies leave at once, and a peer that vanished is noticed.
    pub fn configure(&self, keepalive_s: u32) {
        let Stream::Tcp(stream) = &self.stream else { return };
        // Refused options cost latency or a dead peer's slot, not correctness.
        let _ = stream.set_nodelay(true);
        if keepalive_s > 0 {
            let time = Duration::from_secs(keepalive_s.into());
            let keepalive = socket2::TcpKeepalive::new().with_time(time);
            let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive);
        }
    }

    /// Both ends, as CLIENT LIST shows them: the client's, ours.
    pub fn names(&self) -> (SocketName, SocketName) {
        let name = |address: io::Result<SocketAddr>| address.map_or(SocketName::None, SocketName::Tcp);
        match &self.stream {
            Stream::Tcp(stream) => (name(stream.peer_addr()), name(stream.local_addr())),
            Stream::Unix(stream) => {
                let path =
                    stream.local_addr().ok().and_then(|address| address.as_pathname().map(|p| p.display().to_string()));
                let path = path.unwrap_or_default();
                (SocketName::Unix(path.clone()), SocketName::Unix(path))
            }
        }
    }

    pub fn read(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.read(scratch),
            Stream::Unix(stream) => stream.read(scratch),
        }
    }

    /// Reads into room that holds nothing yet; returns what was read.
    pub fn read_new<'r>(&self, room: &'r mut [MaybeUninit<u8>]) -> io::Result<&'r mut [u8]> {
        let read = match &self.stream {
            Stream::Tcp(stream) => rustix::io::read(stream, room),
            Stream::Unix(stream) => rustix::io::read(stream, room),
        };
        Ok(read?.0)
    }

    pub fn write(&mut self, pieces: &[&[u8]]) -> io::Result<usize> {
        if let [piece] = pieces {
            return match &mut self.stream {
                Stream::Tcp(stream) => stream.write(piece),
                Stream::Unix(stream) => stream.write(piece),
            };
        }
        let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_vectored(&slices),
            Stream::Unix(stream) => stream.write_vectored(&slices),
        }
    }

    pub fn deregister(&mut self, registry: &Registry) {
        // Dropping the stream deregisters it anyway; an error here has no one to tell.
        let _ = match &mut self.stream {
            Stream::Tcp(stream) => registry.deregister(stream),
            Stream::Unix(stream) => registry.deregister(stream),
        };
    }
}
