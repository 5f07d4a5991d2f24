//! Open-loop load: GETs at a fixed rate, whatever the server does, each timed from when it was *meant* to be sent. A stall of the server thus counts
//! for every request that fell into it, not for one (no coordinated omission).
//!
//! One thread sends on time, another receives: request `n` of a connection is its reply `n`, so the two share nothing.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::batch::{Batch, Space};
use crate::error::{BenchError, Tried};
use crate::histogram::Histogram;
use crate::load;
use crate::reply::Replies;

/// Requests a second: little beside what any of the servers can do.
pub const RATE: u64 = 5_000;
const CONNECTIONS: u64 = 8;
/// The receiver looks this often whether all is over.
const LOOK: Duration = Duration::from_millis(20);
/// After the last request so long, no reply comes any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running load.
#[derive(Debug)]
pub struct OpenLoad {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Result<u64, BenchError>>,
    receiver: JoinHandle<Result<(Histogram, u64), BenchError>>,
    done: Arc<std::sync::atomic::AtomicU64>,
}

impl OpenLoad {
    /// Begins to GET random keys.
    pub fn start(address: SocketAddr, space: Space) -> Result<OpenLoad, BenchError> {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(std::sync::atomic::AtomicU64::new(u64::MAX));
        let connect = || -> std::io::Result<std::net::TcpStream> {
            let stream = std::net::TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        };
        let streams = (0..CONNECTIONS).map(|_| connect()).collect::<std::io::Result<Vec<_>>>();
        let streams = streams.tried(|| format!("{address}"))?;
        let clones = streams.iter().map(std::net::TcpStream::try_clone).collect::<std::io::Result<Vec<_>>>();
        let clones = clones.tried(|| "a socket's clone".into())?;
        let begun = Instant::now();
        let (stopped, finished) = (Arc::clone(&stop), Arc::clone(&done));
        let sender = std::thread::spawn(move || {
            let sent = send(clones, space, begun, &stopped);
            finished.store(*sent.as_ref().unwrap_or(&0), Ordering::Release);
            sent
        });
        let finished = Arc::clone(&done);
        let receiver = std::thread::spawn(move || receive(streams, begun, &finished));
        Ok(OpenLoad { stop, sender, receiver, done })
    }

    /// Stops sending, waits for what is still out, and answers with all latencies.
    pub fn stop(self) -> Result<Histogram, BenchError> {
        self.stop.store(true, Ordering::Release);
        let sent = self.sender.join().expect("the sender does not panic")?;
        debug_assert_eq!(self.done.load(Ordering::Acquire), sent);
        let (latency, received) = self.receiver.join().expect("the receiver does not panic")?;
        if received == sent {
            Ok(latency)
        } else {
            Err(BenchError::Other(format!("{received} replies to {sent} requests of the open loop")))
        }
    }
}

/// When request `number` is meant to be sent.
fn due(begun: Instant, number: u64) -> Instant {
    begun + Duration::from_nanos(number * (1_000_000_000 / RATE))
}

fn send(
    mut streams: Vec<std::net::TcpStream>,
    space: Space,
    begun: Instant,
    stop: &AtomicBool,
) -> Result<u64, BenchError> {
    // The default slack of 50 µs would be part of every latency.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).tried(|| "timer slack".into())?;
    let mut batch = Batch::new(&["GET key:%k"], 1, space, 7);
    let mut number = 0;
    while !stop.load(Ordering::Acquire) {
        let at = due(begun, number);
        let now = Instant::now();
        if at > now {
            std::thread::sleep(at - now);
        }
        let stream = &mut streams[(number % CONNECTIONS) as usize];
        let bytes = batch.draw();
        let mut taken = 0;
        while taken < bytes.len() {
            match stream.write(&bytes[taken..]) {
                Ok(count) => taken += count,
                // The server has stood still so long that the socket is full. What is due meanwhile is sent late, and counts from when it was due.
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(1)),
                Err(error) => return Err(error).tried(|| "an open loop's GET".into()),
            }
        }
        number += 1;
    }
    Ok(number)
}

fn receive(
    streams: Vec<std::net::TcpStream>,
    begun: Instant,
    sent: &std::sync::atomic::AtomicU64,
) -> Result<(Histogram, u64), BenchError> {
    let mut poll = Poll::new().tried(|| "a poll".into())?;
    let mut connections = Vec::new();
    for (index, stream) in streams.into_iter().enumerate() {
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(index), Interest::READABLE).tried(|| "a poll".into())?;
        connections.push((stream, Replies::default(), 0));
    }
    let mut events = Events::with_capacity(64);
    let mut scratch = vec![0; 256 * 1024];
    let mut latency = Histogram::default();
    let mut heard = Instant::now();
    loop {
        poll.poll(&mut events, Some(LOOK)).tried(|| "poll".into())?;
        let now = Instant::now();
        for event in &events {
            heard = now;
            let (stream, replies, counted) = &mut connections[event.token().0];
            load::receive(stream, replies, &mut scratch).tried(|| "an open loop's reply".into())?;
            if let Some(complaint) = &replies.complaint {
                return Err(BenchError::Other(format!("the open loop was answered with {complaint}")));
            }
            while *counted < replies.whole {
                let number = *counted * CONNECTIONS + event.token().0 as u64;
                latency.record(now.saturating_duration_since(due(begun, number)));
                *counted += 1;
            }
        }
        if latency.len() >= sent.load(Ordering::Acquire) || heard.elapsed() > PATIENCE {
            return Ok((latency.clone(), latency.len()));
        }
    }
}
