//! One client's socket. The session behind it lives in the engine; here are only the descriptor and what is due on it.

use std::io::{self, IoSlice, Read, Write};

use mio::{
    Interest, Registry, Token,
    event::Source,
    net::{TcpStream, UnixStream},
};
use quorate_engine::SessionId;

/// A connected stream of either family.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Stream::Tcp(stream) => stream,
            Stream::Unix(stream) => stream,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, pieces: &[&[u8]]) -> io::Result<usize> {
        // One piece, the common case, needs no vector.
        if let [piece] = pieces {
            return match self {
                Stream::Tcp(stream) => stream.write(piece),
                Stream::Unix(stream) => stream.write(piece),
            };
        }
        let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        match self {
            Stream::Tcp(stream) => stream.write_vectored(&slices),
            Stream::Unix(stream) => stream.write_vectored(&slices),
        }
    }
}

/// What a read or a write came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// So many bytes, and there may be room or data for more.
    Some(usize),
    /// The kernel has no more for now: an event will come.
    Later,
    /// The connection has ended.
    Ended,
}

/// One client's socket.
#[derive(Debug)]
pub(crate) struct Conn {
    pub id: SessionId,
    stream: Stream,
    /// Bytes may be there: reading stopped at the end of the scratch buffer, not of the data.
    pub unread: bool,
    /// The kernel's buffer is full: wait for a writable event.
    pub full: bool,
    /// Close once the output has been sent.
    pub closing: bool,
    /// The peer has said that it will send no more.
    pub half_closed: bool,
}

impl Conn {
    pub fn new(id: SessionId, stream: Stream) -> Conn {
        Conn { id, stream, unread: false, full: false, closing: false, half_closed: false }
    }

    /// Both directions at once, edge-triggered: no further registration for the connection's whole life.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(self.stream.source(), token, Interest::READABLE | Interest::WRITABLE)
    }

    pub fn deregister(&mut self, registry: &Registry) {
        let _ = registry.deregister(self.stream.source());
    }

    /// One read.
    pub fn read(&mut self, buffer: &mut [u8]) -> Moved {
        loop {
            return match self.stream.read(buffer) {
                Ok(0) => Moved::Ended,
                Ok(count) => {
                    // A short read has drained the socket, unless the end of the stream stands right behind it.
                    self.unread = count == buffer.len() || self.half_closed;
                    Moved::Some(count)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unread = false;
                    Moved::Later
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => Moved::Ended,
            };
        }
    }

    /// One write.
    pub fn write(&mut self, pieces: &[&[u8]]) -> Moved {
        loop {
            return match self.stream.write(pieces) {
                Ok(0) => Moved::Ended,
                Ok(count) => Moved::Some(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.full = true;
                    Moved::Later
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => Moved::Ended,
            };
        }
    }
}
