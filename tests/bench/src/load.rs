//! The generator: connections that each keep one pipeline in flight until a fixed number of batches is answered.
//!
//! Every server gets the same commands in the same order a connection, so that it does the same work; what differs is how long it takes. An edge
//! of the poll means new bytes: a read that does not fill the buffer has emptied the socket, so one read and one write a
//! batch is all that this end costs.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::batch::Batch;
use crate::error::{BenchError, Tried};
use crate::histogram::Histogram;
use crate::reply::Replies;

/// Nothing for so long: the server hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// What one read may take; larger than a pipeline's replies in all but the largest workloads.
const SCRATCH: usize = 256 * 1024;

/// Connections to one server.
#[derive(Debug)]
pub struct Clients {
    server: &'static str,
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    replies: Replies,
    /// Replies that will have come once the batch in flight is answered, and when it was sent.
    in_flight: Option<(u64, Instant)>,
    /// What the socket has not taken yet.
    unsent: Vec<u8>,
}

/// What a run of batches was like.
#[derive(Debug)]
pub struct Ran {
    /// Commands answered.
    pub commands: u64,
    /// From the first batch sent to the last one answered.
    pub took: Duration,
    /// From sending a batch to its last reply.
    pub latency: Histogram,
    /// Null replies.
    pub nulls: u64,
    /// This thread's share of the time: at 1 the generator may have been the bottleneck.
    pub busy: f64,
}

impl Clients {
    /// Opens `count` connections.
    pub fn connect(server: &'static str, address: SocketAddr, count: usize) -> Result<Clients, BenchError> {
        let poll = Poll::new().tried(|| "a poll".into())?;
        let connections = (0..count).map(|index| {
            let connect = || -> io::Result<TcpStream> {
                let stream = std::net::TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                let mut stream = TcpStream::from_std(stream);
                poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
                Ok(stream)
            };
            let stream = connect().tried(|| format!("connection {index} to {server}"))?;
            Ok(Connection { stream, replies: Replies::default(), in_flight: None, unsent: Vec::new() })
        });
        let connections = connections.collect::<Result<Vec<_>, BenchError>>()?;
        let events = Events::with_capacity(count.clamp(64, 1024));
        Ok(Clients { server, poll, events, connections, scratch: vec![0; SCRATCH] })
    }

    /// Sends `batches` batches and waits for all replies. An error among them fails the run: it would not have measured what it says.
    pub fn run(&mut self, what: &str, batch: &mut Batch, batches: u64) -> Result<Ran, BenchError> {
        let nulls_before = self.nulls();
        let own_before = own_cpu();
        let begun = Instant::now();
        let mut left = batches;
        let mut flying = 0;
        let mut latency = Histogram::default();
        let fault = |error: io::Error| BenchError::Io { what: what.to_owned(), error };
        for connection in self.connections.iter_mut().take(batches as usize) {
            connection.send(batch).map_err(fault)?;
            left -= 1;
            flying += 1;
        }
        while flying > 0 {
            self.poll.poll(&mut self.events, Some(PATIENCE)).tried(|| "poll".into())?;
            if self.events.is_empty() {
                return Err(self.stalled(what));
            }
            for event in &self.events {
                let connection = &mut self.connections[event.token().0];
                connection.flush().map_err(fault)?;
                if !event.is_readable() {
                    continue;
                }
                receive(&mut connection.stream, &mut connection.replies, &mut self.scratch).map_err(fault)?;
                let Some((awaited, sent_at)) = connection.in_flight else { continue };
                if connection.replies.whole < awaited {
                    continue;
                }
                latency.record(sent_at.elapsed());
                connection.in_flight = None;
                if left > 0 {
                    connection.send(batch).map_err(fault)?;
                    left -= 1;
                } else {
                    flying -= 1;
                }
            }
        }
        let took = begun.elapsed();
        self.refuse_errors(what)?;
        let busy = own_cpu().saturating_sub(own_before).as_secs_f64() / took.as_secs_f64();
        let commands = batches * batch.commands() as u64;
        Ok(Ran { commands, took, latency, nulls: self.nulls() - nulls_before, busy })
    }

    fn nulls(&self) -> u64 {
        self.connections.iter().map(|connection| connection.replies.nulls).sum()
    }

    fn refuse_errors(&self, what: &str) -> Result<(), BenchError> {
        match self.connections.iter().find(|connection| connection.replies.errors > 0) {
            None => Ok(()),
            Some(connection) => {
                let reply = connection.replies.complaint.clone().unwrap_or_else(|| "an error within a reply".into());
                Err(BenchError::Refused { server: self.server, command: what.to_owned(), reply })
            }
        }
    }

    fn stalled(&self, what: &str) -> BenchError {
        BenchError::Stalled { server: self.server, command: what.to_owned(), seconds: PATIENCE.as_secs() }
    }
}

/// The CPU time of this thread.
fn own_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

impl Connection {
    fn send(&mut self, batch: &mut Batch) -> io::Result<()> {
        self.in_flight = Some((self.replies.whole + batch.commands() as u64, Instant::now()));
        let bytes = batch.draw();
        let taken = if self.unsent.is_empty() { write_some(&mut self.stream, bytes)? } else { 0 };
        self.unsent.extend_from_slice(&bytes[taken..]);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.unsent.is_empty() {
            let taken = write_some(&mut self.stream, &self.unsent)?;
            self.unsent.drain(..taken);
        }
        Ok(())
    }
}

/// Reads what a socket has, which an edge of the poll announced.
pub(crate) fn receive(stream: &mut TcpStream, replies: &mut Replies, scratch: &mut [u8]) -> io::Result<()> {
    loop {
        match stream.read(scratch) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                replies.feed(&scratch[..count]);
                if count < scratch.len() {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// As much as the socket takes at once.
fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut taken = 0;
    while taken < bytes.len() {
        match stream.write(&bytes[taken..]) {
            Ok(count) => taken += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}
