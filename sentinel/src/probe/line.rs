//! One connection to a node's RESP port that comes back by itself.
//!
//! ```text
//!   Waiting ──time──▶ Dialing ──ok──▶ Up ──broken──▶ Waiting
//!      ▲                 │ refused, failed, timed out
//!      └─────────────────┘
//! ```
//! After a connection that was of use breaks, the next is tried at once: a refusal then tells a dead process from a closed
//! connection. After that the pauses double up to [`MAX_PAUSE`].

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use quorate_registry::NodeKey;
use quorate_resp::{Value, encode_command};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

/// The longest pause between two attempts; a node that starts is noticed within it.
const MAX_PAUSE: Duration = Duration::from_millis(500);
const MIN_PAUSE: Duration = Duration::from_millis(20);

/// A host that does not answer at all is tried again after this.
const DIAL_LIMIT: Duration = Duration::from_secs(1);

/// The most that is kept of a reply that has not arrived whole. INFO of a node with hundreds of replicas is under 64 KiB.
const MAX_INPUT: usize = 1 << 20;

/// What happened on the line.
#[derive(Debug)]
pub(crate) enum LineEvent {
    /// Connected.
    Up,
    /// A new connection was refused.
    Refused,
    /// A new connection failed otherwise.
    Failed,
    /// The established connection broke, from the other side or because what came is no RESP.
    Broken,
    /// A reply or a message.
    Reply(Value),
}

type Dial = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

enum State {
    Waiting { until: Instant },
    Dialing(Dial),
    Up { stream: TcpStream, input: Vec<u8>, useful: bool },
}

/// A connection that comes back by itself.
pub(crate) struct Line {
    node: NodeKey,
    state: State,
    pause: Duration,
}

impl Line {
    pub(crate) fn new(node: NodeKey) -> Self {
        Self { node, state: State::Waiting { until: Instant::now() }, pause: Duration::ZERO }
    }

    /// Is it established?
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// Closes it from this side and dials again at once.
    pub(crate) fn redial(&mut self) {
        self.state = State::Waiting { until: Instant::now() + MIN_PAUSE };
    }

    /// Sends one command; it is dropped when the line is not up. A node that does not drain the little that we send is of no
    /// use on this connection: the line is redialled.
    pub(crate) fn send(&mut self, argv: &[Vec<u8>]) {
        let State::Up { stream, .. } = &self.state else { return };
        let argv: Vec<&[u8]> = argv.iter().map(Vec::as_slice).collect();
        let mut bytes = Vec::new();
        encode_command(&mut bytes, &argv);
        if !matches!(stream.try_write(&bytes), Ok(n) if n == bytes.len()) {
            self.redial();
        }
    }

    /// Waits for what happens next. Safe to cancel: nothing is lost.
    pub(crate) async fn event(&mut self) -> LineEvent {
        loop {
            match &mut self.state {
                State::Waiting { until } => {
                    sleep_until(*until).await;
                    self.state = State::Dialing(Box::pin(dial(self.node.clone())));
                }
                State::Dialing(dialing) => {
                    let result = dialing.await;
                    return self.dialled(result);
                }
                State::Up { stream, input, useful } => {
                    match Value::decode(input) {
                        Ok(Some((value, taken))) => {
                            input.drain(..taken);
                            *useful = true;
                            return LineEvent::Reply(value);
                        }
                        Ok(None) if input.len() < MAX_INPUT => {}
                        Ok(None) | Err(_) => return self.broken(),
                    }
                    if !matches!(stream.read_buf(input).await, Ok(n) if n > 0) {
                        return self.broken();
                    }
                }
            }
        }
    }

    fn dialled(&mut self, result: io::Result<TcpStream>) -> LineEvent {
        match result {
            Ok(stream) => {
                self.state = State::Up { stream, input: Vec::new(), useful: false };
                LineEvent::Up
            }
            Err(error) => {
                self.pause();
                if error.kind() == io::ErrorKind::ConnectionRefused { LineEvent::Refused } else { LineEvent::Failed }
            }
        }
    }

    fn broken(&mut self) -> LineEvent {
        if matches!(self.state, State::Up { useful: true, .. }) {
            self.pause = Duration::ZERO;
        }
        self.pause();
        LineEvent::Broken
    }

    /// Waits: not at all after a useful connection, then longer every time.
    fn pause(&mut self) {
        self.state = State::Waiting { until: Instant::now() + self.pause };
        self.pause = (self.pause * 2).clamp(MIN_PAUSE, MAX_PAUSE);
    }
}

async fn dial(node: NodeKey) -> io::Result<TcpStream> {
    let connecting = TcpStream::connect((node.host(), node.port()));
    let stream = timeout(DIAL_LIMIT, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}
