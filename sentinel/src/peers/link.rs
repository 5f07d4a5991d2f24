//! One link: this sentinel's messages to one other.
//!
//! ```text
//! Connecting ──stream open──> Up ──broken──> Down ──backoff──> Connecting
//!      └──────refused or slow──────────────────┘
//! ```
//! A process that broke the link and refuses the next one is gone, which Raft is told, too.
//! Raft is told of every break ([`driver::Handle::link_down`]); what was queued then is dropped, for it is old news.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quorate_consensus::{Outgoing, RaftId};
use quorate_rpc::v1::{self, raft_envelope::Body};
use tokio::{
    sync::{Notify, mpsc},
    task::AbortHandle,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{Badge, QUEUE, REMOVED, client, is_refused};
use crate::{clock::Clock, driver, views::PeerSeen};

/// First wait after a break; doubles up to [`BACKOFF_MOST`]. A restarted peer is found again within a heartbeat or two.
const BACKOFF: Duration = Duration::from_millis(20);
/// The longest wait: a peer that returns takes part again before anybody would miss it.
const BACKOFF_MOST: Duration = Duration::from_millis(250);
/// How long opening a stream may take, connection included.
const OPEN: Duration = Duration::from_secs(1);
/// Envelopes between the queue and HTTP/2: a few, so that the queue's bound is the bound.
const STREAM: usize = 8;

/// A link to one peer. Dropping it closes it.
pub struct Link {
    /// Where the peer is.
    pub address: String,
    queue: mpsc::Sender<Outgoing>,
    state: Arc<State>,
    task: AbortHandle,
}

/// Milliseconds since the process started, plus one; 0: never.
#[derive(Default)]
struct State {
    up_since: AtomicU64,
    last_up: AtomicU64,
}

/// Whom a link leads to, and what it says there.
pub(super) struct Way<'a> {
    pub id: RaftId,
    pub address: &'a str,
    pub hello: &'a v1::PeerHello,
    pub badge: &'a Badge,
}

impl Link {
    pub(super) fn open(
        Way { id, address, hello, badge }: Way<'_>,
        driver: &driver::Handle,
        clock: Clock,
        removed: &Arc<Notify>,
        runtime: &tokio::runtime::Handle,
    ) -> Self {
        let (queue, messages) = mpsc::channel(QUEUE);
        let state = Arc::new(State::default());
        let run = Run {
            id,
            address: address.to_owned(),
            hello: hello.clone(),
            badge: badge.clone(),
            driver: driver.clone(),
            clock,
            removed: removed.clone(),
            state: state.clone(),
            messages,
        };
        let task = runtime.spawn(run.forever()).abort_handle();
        Self { address: address.to_owned(), queue, state, task }
    }

    /// Queues a message; false when the link is down or too slow.
    pub fn send(&self, message: Outgoing) -> bool {
        self.state.up_since.load(Ordering::Relaxed) != 0 && self.queue.try_send(message).is_ok()
    }

    pub(super) fn seen(&self, clock: Clock) -> PeerSeen {
        let connected = self.state.up_since.load(Ordering::Relaxed) != 0;
        let last = self.state.last_up.load(Ordering::Relaxed);
        let heard = if connected { Some(clock.now()) } else { (last != 0).then(|| Duration::from_millis(last - 1)) };
        PeerSeen { heard, connected }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Run {
    id: RaftId,
    address: String,
    hello: v1::PeerHello,
    badge: Badge,
    driver: driver::Handle,
    clock: Clock,
    removed: Arc<Notify>,
    state: Arc<State>,
    messages: mpsc::Receiver<Outgoing>,
}

impl Run {
    async fn forever(mut self) {
        let mut backoff = BACKOFF;
        let mut broke = false;
        loop {
            match timeout(OPEN, self.connect()).await {
                Ok(Ok((stream, acks))) => {
                    tracing::info!(peer = %self.id, address = %self.address, "link up");
                    self.state.up_since.store(self.stamp(), Ordering::Relaxed);
                    let why = self.pump(stream, acks).await;
                    self.hear(&why);
                    let why = why.message();
                    self.state.up_since.store(0, Ordering::Relaxed);
                    self.state.last_up.store(self.stamp(), Ordering::Relaxed);
                    tracing::info!(peer = %self.id, address = %self.address, %why, "link down");
                    (backoff, broke) = (BACKOFF, true);
                }
                Ok(Err(status)) => {
                    if std::mem::take(&mut broke) && is_refused(&status) {
                        self.driver.peer_gone(self.id);
                    }
                    tracing::debug!(peer = %self.id, address = %self.address, %status, "cannot link");
                    self.hear(&status);
                    if matches!(status.code(), tonic::Code::PermissionDenied | tonic::Code::Unauthenticated) {
                        tracing::warn!(peer = %self.id, address = %self.address, why = status.message(), "a peer refuses this sentinel");
                        backoff = BACKOFF_MOST * 8;
                    }
                }
                Err(_) => tracing::debug!(peer = %self.id, address = %self.address, "no answer"),
            }
            while self.messages.try_recv().is_ok() {}
            self.driver.link_down(self.id);
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MOST);
        }
    }

    /// A removed sentinel must not go on asking for votes: it ends.
    fn hear(&self, status: &Status) {
        if status.code() == tonic::Code::PermissionDenied && status.message() == REMOVED {
            self.removed.notify_one();
        }
    }

    async fn connect(&self) -> Result<(mpsc::Sender<v1::RaftEnvelope>, tonic::Streaming<v1::RaftAck>), Status> {
        let (stream, envelopes) = mpsc::channel(STREAM);
        let hello = v1::RaftEnvelope { body: Some(Body::Hello(self.hello.clone())) };
        stream.try_send(hello).expect("the stream is empty");
        let mut client = client(&self.address, self.badge.clone()).await?;
        let acks = client.raft(ReceiverStream::new(envelopes)).await?.into_inner();
        Ok((stream, acks))
    }

    /// Carries messages until the stream breaks; says why it did.
    async fn pump(
        &mut self,
        stream: mpsc::Sender<v1::RaftEnvelope>,
        mut acks: tonic::Streaming<v1::RaftAck>,
    ) -> Status {
        loop {
            tokio::select! {
                // The other side never sends anything: what comes is the end.
                ended = acks.message() => match ended {
                    Ok(Some(_)) => {}
                    Ok(None) => return Status::aborted("closed by the peer"),
                    Err(status) => return status,
                },
                message = self.messages.recv() => {
                    let Some(message) = message else { return Status::cancelled("no longer wanted") };
                    let envelope = v1::RaftEnvelope { body: Some(Body::Message(message.bytes)) };
                    if stream.send(envelope).await.is_err() {
                        return Status::aborted("the stream ended");
                    }
                }
            }
        }
    }

    fn stamp(&self) -> u64 {
        u64::try_from(self.clock.now().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }
}
