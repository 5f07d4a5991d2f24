//! The Peer service: what other sentinels may ask of this one.
//!
//! The secret is checked in front of it (an interceptor). Every call of a member carries the cluster's id; a Raft stream begins with
//! a hello whose Raft id and sentinel id must belong together in the registry, so that a sentinel that lost its directory cannot speak
//! under its old id, and one that was removed is told so. A malformed message ends its stream.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quorate_consensus::RaftId;
use quorate_registry as registry;
use quorate_rpc::v1::{self, peer_server::Peer, raft_envelope::Body};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{CLUSTER, REMOVED};
use crate::{
    driver::{self, Spoiled},
    entry::Standing,
    keeper::Admission,
    office::Report,
    order::{Order, Orders},
    store::Membership,
    wire::sight_from_wire,
};

/// How long a new stream may take to say hello.
const HELLO: Duration = Duration::from_secs(2);
/// Sights in one observation; an honest one has a few.
const SIGHTS_MOST: usize = registry::model::MAX_GROUPS * registry::model::MAX_NODES;
/// How long a joiner waits for the leader's answer.
const JOIN: Duration = Duration::from_secs(5);

/// Serves the other sentinels.
pub struct PeerService {
    standing: Arc<Standing>,
    driver: driver::Handle,
    reports: mpsc::Sender<Report>,
    admissions: mpsc::Sender<Admission>,
    orders: Orders,
    /// The newest Raft stream of each peer: an older one is a connection that it has given up.
    streams: Mutex<BTreeMap<RaftId, AbortHandle>>,
}

impl PeerService {
    /// Serves from the start; until this sentinel is a member, only [`Peer::founding`] answers.
    pub fn new(
        standing: Arc<Standing>,
        driver: driver::Handle,
        reports: mpsc::Sender<Report>,
        admissions: mpsc::Sender<Admission>,
        orders: Orders,
    ) -> Self {
        Self { standing, driver, reports, admissions, orders, streams: Mutex::default() }
    }

    /// This sentinel's membership, if the caller is of the same cluster.
    fn member<T>(&self, request: &Request<T>) -> Result<&Membership, Status> {
        let membership = self.standing.membership().ok_or_else(|| Status::unavailable("not a member yet"))?;
        let theirs = request.metadata().get(CLUSTER).and_then(|id| id.to_str().ok());
        if theirs != Some(membership.cluster_id.as_str()) {
            return Err(Status::permission_denied("this sentinel belongs to another cluster"));
        }
        Ok(membership)
    }

    fn check_hello(&self, membership: &Membership, hello: &v1::PeerHello) -> Result<RaftId, Status> {
        if hello.cluster_id != membership.cluster_id {
            return Err(Status::permission_denied("this sentinel belongs to another cluster"));
        }
        if hello.raft_id == 0 || hello.raft_id == membership.raft_id {
            return Err(Status::invalid_argument("a hello under our own raft id"));
        }
        let registry = self.driver.view().registry;
        match registry.sentinels.get(&registry::RaftId(hello.raft_id)) {
            Some(member) if member.sentinel_id == hello.sentinel_id => Ok(RaftId(hello.raft_id)),
            Some(_) => Err(Status::permission_denied("that raft id belongs to another sentinel")),
            // Not heard of yet, since this sentinel is behind or new; the id is fresh, so nobody else's.
            None if hello.raft_id > registry.highest_raft_id => Ok(RaftId(hello.raft_id)),
            None => Err(Status::permission_denied(REMOVED)),
        }
    }

    fn replace_stream(&self, peer: RaftId, stream: AbortHandle) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(older) = streams.insert(peer, stream) {
            older.abort();
        }
        streams.retain(|_, stream| !stream.is_finished());
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    type RaftStream = ReceiverStream<Result<v1::RaftAck, Status>>;

    async fn raft(&self, request: Request<Streaming<v1::RaftEnvelope>>) -> Result<Response<Self::RaftStream>, Status> {
        let membership = self.member(&request)?;
        let mut messages = request.into_inner();
        let first = timeout(HELLO, messages.message()).await.map_err(|_| Status::deadline_exceeded("no hello"))??;
        let Some(v1::RaftEnvelope { body: Some(Body::Hello(hello)) }) = first else {
            return Err(Status::invalid_argument("a stream begins with a hello"));
        };
        let peer = self.check_hello(membership, &hello)?;
        let (open, acks) = mpsc::channel(1);
        let task = tokio::spawn(receive(peer, messages, self.driver.clone(), open));
        self.replace_stream(peer, task.abort_handle());
        Ok(Response::new(ReceiverStream::new(acks)))
    }

    type ObserveStream = ReceiverStream<Result<v1::ObservationAck, Status>>;

    async fn observe(
        &self,
        request: Request<Streaming<v1::Observation>>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        self.member(&request)?;
        let (open, acks) = mpsc::channel(4);
        tokio::spawn(take_observations(request.into_inner(), self.driver.clone(), self.reports.clone(), open));
        Ok(Response::new(ReceiverStream::new(acks)))
    }

    async fn join(&self, request: Request<v1::JoinRequest>) -> Result<Response<v1::JoinReply>, Status> {
        let membership = self.standing.membership().ok_or_else(|| Status::unavailable("not a member yet"))?;
        let joiner = request.into_inner();
        if joiner.cluster_id != membership.cluster_id {
            return Err(Status::permission_denied("this sentinel belongs to another cluster"));
        }
        let (reply, answer) = oneshot::channel();
        let admission = Admission { joiner, reply };
        self.admissions.try_send(admission).map_err(|_| Status::resource_exhausted("others are joining"))?;
        match timeout(JOIN, answer).await {
            Ok(Ok(answer)) => answer.map(Response::new),
            _ => Err(Status::unavailable("no majority let the sentinel in")),
        }
    }

    async fn founding(&self, _: Request<v1::FoundingRequest>) -> Result<Response<v1::FoundingReply>, Status> {
        Ok(Response::new(self.standing.reply()))
    }

    async fn order(&self, request: Request<v1::OrderRequest>) -> Result<Response<v1::OrderReply>, Status> {
        self.member(&request)?;
        let order = Order::decode(&request.get_ref().order).ok_or_else(|| Status::invalid_argument("not an order"))?;
        let outcome = self.orders.carry_out_here(order).await;
        Ok(Response::new(v1::OrderReply { outcome: outcome.encode() }))
    }
}

/// Carries a peer's Raft messages to the driver until the stream ends. Dropping `open` ends the answer stream, which is how the
/// sender learns of it.
async fn receive(
    peer: RaftId,
    mut messages: Streaming<v1::RaftEnvelope>,
    driver: driver::Handle,
    open: mpsc::Sender<Result<v1::RaftAck, Status>>,
) {
    let stream = Spoiled::default();
    let mut view = driver.watch();
    loop {
        let envelope = tokio::select! {
            envelope = messages.message() => envelope,
            () = open.closed() => return,
            // It may have nothing left to say, and must hear of it all the same.
            () = removal(&mut view, peer) => {
                let _ = open.send(Err(Status::permission_denied(REMOVED))).await;
                return;
            }
        };
        match envelope {
            Ok(Some(v1::RaftEnvelope { body: Some(Body::Message(bytes)) })) => {
                driver.step(peer, bytes, &stream).await;
            }
            Ok(Some(_)) => {
                let _ = open.send(Err(Status::invalid_argument("only Raft messages follow a hello"))).await;
                return;
            }
            Ok(None) | Err(_) => return,
        }
        if stream.is_spoiled() {
            let _ = open.send(Err(Status::invalid_argument("malformed Raft message"))).await;
            return;
        }
    }
}

/// Returns once a member was removed.
async fn removal(view: &mut watch::Receiver<driver::View>, peer: RaftId) {
    let removed = view.wait_for(|view| view.registry.is_removed(registry::RaftId(peer.0))).await.is_ok();
    if !removed {
        std::future::pending().await // the driver ends, and this process with it
    }
}

async fn take_observations(
    mut observations: Streaming<v1::Observation>,
    driver: driver::Handle,
    reports: mpsc::Sender<Report>,
    open: mpsc::Sender<Result<v1::ObservationAck, Status>>,
) {
    loop {
        let observation = tokio::select! {
            observation = observations.message() => observation,
            () = open.closed() => return,
        };
        let Ok(Some(observation)) = observation else { return };
        let view = driver.view();
        let from = registry::RaftId(observation.raft_id);
        let known = view.registry.sentinels.get(&from).is_some_and(|m| m.sentinel_id == observation.sentinel_id);
        let parsed: Option<Vec<_>> = (known && observation.nodes.len() <= SIGHTS_MOST)
            .then(|| observation.nodes.into_iter().map(sight_from_wire).collect())
            .flatten();
        let Some(sights) = parsed else {
            let _ = open.send(Err(Status::invalid_argument("malformed observation"))).await;
            return;
        };
        // A full queue: the next report, at most half a second later, says the same.
        let _ = reports.try_send(Report { from, sights });
        let leader = view.status.leader.map_or(0, |id| id.0);
        // Nobody waits for an ack: one that does not fit is left out.
        let _ = open.try_send(Ok(v1::ObservationAck { term: view.status.term.0, leader }));
    }
}
