//! The agent: answers the sentinels over gRPC on a thread of its own, so that a busy engine is not taken for a dead node.
//!
//! Describe and Heartbeats answer from the [`Vitals`] that the engine's thread leaves behind after each turn. Orders go to the
//! engine as [`Control`]s and wait for its answer; what they changed is on disk ([`StateFile`]) before the answer leaves (I2).
//! Bounds: an order that the engine does not answer within [`ORDER_TIMEOUT`] is answered DEADLINE_EXCEEDED; a heartbeat's
//! period is at least [`PERIOD_MIN`]; a request is at most tonic's 4 MiB and every field of it is checked.

mod convert;
mod state;
mod vitals;

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quorate_engine::{Control, Denied, Order, Report, Ticket};
use quorate_replication::Epoch;
use quorate_replication::history::Held;
use quorate_rpc::v1;
use quorate_rpc::v1::agent_server::{Agent as AgentService, AgentServer};
use tokio::sync::oneshot;
use tokio_stream::{Stream, StreamExt, wrappers::IntervalStream, wrappers::WatchStream};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

pub use state::{Kept, StateFile};
pub use vitals::Vitals;

/// The longest that an order waits for the engine, beyond the time that the order itself may take.
const ORDER_TIMEOUT: Duration = Duration::from_secs(10);
/// The shortest heartbeat period; a smaller wish is raised to it.
const PERIOD_MIN: Duration = Duration::from_millis(10);
/// The heartbeat period of a request that names none.
const PERIOD_DEFAULT: Duration = Duration::from_millis(100);

/// What the agent is started with.
pub struct Settings {
    /// Addresses to listen on: the node's own, at the agent's port.
    pub listeners: Vec<TcpListener>,
    /// Callers have to carry it; empty for none.
    pub secret: String,
    /// This process.
    pub run_id: String,
    /// Where promises are kept.
    pub state: StateFile,
    /// What the engine's thread tells of itself.
    pub vitals: Arc<Vitals>,
}

/// The engine's side of the agent.
pub struct Agent {
    shared: Arc<Shared>,
}

struct Shared {
    run_id: String,
    node_id: String,
    secret: String,
    state: Mutex<StateFile>,
    vitals: Arc<Vitals>,
    tickets: AtomicU64,
    waiting: Mutex<HashMap<Ticket, oneshot::Sender<Report>>>,
    post: Box<dyn Fn(Control) + Send + Sync>,
}

impl Agent {
    /// Starts the agent's thread. `post` hands an order to the engine's loop and wakes it.
    pub fn start(settings: Settings, post: impl Fn(Control) + Send + Sync + 'static) -> io::Result<Agent> {
        let Settings { listeners, secret, run_id, state, vitals } = settings;
        let node_id = state.node_id().to_owned();
        let shared = Arc::new(Shared {
            run_id,
            node_id,
            secret,
            state: Mutex::new(state),
            vitals,
            tickets: AtomicU64::new(1),
            waiting: Mutex::default(),
            post: Box::new(post),
        });
        for listener in &listeners {
            listener.set_nonblocking(true)?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let service = Arc::clone(&shared);
        std::thread::Builder::new().name("agent".into()).spawn(move || runtime.block_on(serve(listeners, service)))?;
        Ok(Agent { shared })
    }

    /// The engine has answered.
    pub fn answer(&self, ticket: Ticket, report: Report) {
        let waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&ticket);
        if let Some(waiting) = waiting {
            let _gone = waiting.send(report); // the caller may have hung up
        }
    }
}

async fn serve(listeners: Vec<TcpListener>, shared: Arc<Shared>) {
    let servers = listeners.into_iter().map(|listener| {
        let shared = Arc::clone(&shared);
        async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let guard = Arc::clone(&shared);
            let service =
                AgentServer::with_interceptor(Service(shared), move |request: Request<()>| guard.admit(request));
            tonic::transport::Server::builder()
                .http2_keepalive_interval(Some(Duration::from_secs(5)))
                .add_service(service)
                .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
                .await
                .map_err(io::Error::other)
        }
    });
    let mut running = tokio::task::JoinSet::new();
    servers.for_each(|server| {
        running.spawn(server);
    });
    while let Some(ended) = running.join_next().await {
        if let Ok(Err(error)) = ended {
            tracing::error!("the agent stopped serving: {error}");
        }
    }
}

impl Shared {
    /// Lets in whoever carries the secret.
    fn admit(&self, request: Request<()>) -> Result<Request<()>, Status> {
        if self.secret.is_empty() {
            return Ok(request);
        }
        let carried = request.metadata().get(quorate_rpc::AUTHORIZATION).map(|value| value.as_bytes());
        let carried = carried.and_then(|value| value.strip_prefix(b"Bearer "));
        match carried {
            Some(secret) if same(secret, self.secret.as_bytes()) => Ok(request),
            _ => Err(Status::unauthenticated("the agent wants the group's secret as a bearer token")),
        }
    }

    /// Asks the engine, waits for its answer, and makes what it changed durable.
    async fn order(&self, order: Order, may_take: Duration) -> Result<Response<v1::NodeReport>, Status> {
        let ticket = Ticket(self.tickets.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(ticket, answer);
        (self.post)(Control { ticket, order });
        let report = match tokio::time::timeout(may_take + ORDER_TIMEOUT, answered).await {
            Ok(Ok(report)) => report,
            _ => {
                self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&ticket);
                return Err(Status::deadline_exceeded("the engine is busy"));
            }
        };
        match report.refused {
            None => {}
            Some(later @ Denied::Loading) => return Err(Status::unavailable(later.to_string())),
            Some(refused) => return Err(Status::failed_precondition(refused.to_string())),
        }
        if let Some(durable) = &report.durable {
            // A millisecond on a thread that has nothing else to do; the engine's goes on.
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.keep(durable).map_err(|error| Status::internal(format!("the promise could not be kept: {error}")))?;
        }
        Ok(Response::new(self.message(&report.facts, None)))
    }

    fn message(&self, facts: &quorate_engine::Facts, busy: Option<vitals::Busy>) -> v1::NodeReport {
        convert::report(&self.node_id, &self.run_id, facts, busy, self.vitals.now())
    }

    /// The newest report, without asking the engine.
    fn glance(&self) -> v1::NodeReport {
        let (facts, busy) = self.vitals.look();
        self.message(&facts, Some(busy))
    }
}

/// Compares without telling by its time where the difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y)) == 0
}

/// The generated trait's implementation.
struct Service(Arc<Shared>);

#[tonic::async_trait]
impl AgentService for Service {
    async fn describe(&self, _: Request<v1::DescribeRequest>) -> Result<Response<v1::NodeReport>, Status> {
        Ok(Response::new(self.0.glance()))
    }

    async fn promise(&self, request: Request<v1::PromiseRequest>) -> Result<Response<v1::NodeReport>, Status> {
        let v1::PromiseRequest { group, epoch } = request.into_inner();
        self.0.order(Order::Promise { group, epoch: Epoch(epoch) }, Duration::ZERO).await
    }

    async fn assign(&self, request: Request<v1::AssignRequest>) -> Result<Response<v1::NodeReport>, Status> {
        let request = request.into_inner();
        let role = convert::role(&request)?;
        let (group, epoch) = (request.group, Epoch(request.epoch));
        self.0.order(Order::Assign { group, epoch, role }, Duration::ZERO).await
    }

    async fn pause(&self, request: Request<v1::PauseRequest>) -> Result<Response<v1::NodeReport>, Status> {
        let v1::PauseRequest { group, epoch, timeout_ms } = request.into_inner();
        let timeout = Duration::from_millis(timeout_ms.into());
        self.0.order(Order::Pause { group, epoch: Epoch(epoch), timeout }, Duration::ZERO).await
    }

    async fn resume(&self, request: Request<v1::ResumeRequest>) -> Result<Response<v1::NodeReport>, Status> {
        let v1::ResumeRequest { group, epoch } = request.into_inner();
        self.0.order(Order::Resume { group, epoch: Epoch(epoch) }, Duration::ZERO).await
    }

    async fn catch_up(&self, request: Request<v1::CatchUpRequest>) -> Result<Response<v1::NodeReport>, Status> {
        let v1::CatchUpRequest { replid, offset, timeout_ms } = request.into_inner();
        let replid = quorate_replication::ReplId::parse(replid.as_bytes())
            .ok_or_else(|| Status::invalid_argument("replid: 40 letters or digits"))?;
        let held = Held { replid, offset: quorate_replication::Offset(offset) };
        let timeout = Duration::from_millis(timeout_ms.into());
        self.0.order(Order::CatchUp { held, timeout }, timeout).await
    }

    async fn configure(&self, _: Request<v1::ConfigureRequest>) -> Result<Response<v1::NodeReport>, Status> {
        Err(Status::unimplemented("this node withholds no replies: its groups are async"))
    }

    async fn grant(&self, _: Request<v1::GrantRequest>) -> Result<Response<v1::NodeReport>, Status> {
        Err(Status::unimplemented("this node keeps no lease"))
    }

    async fn release(&self, _: Request<v1::ReleaseRequest>) -> Result<Response<v1::NodeReport>, Status> {
        Err(Status::unimplemented("this node keeps no lease"))
    }

    type HeartbeatsStream = Pin<Box<dyn Stream<Item = Result<v1::NodeReport, Status>> + Send>>;

    async fn heartbeats(
        &self,
        request: Request<v1::HeartbeatsRequest>,
    ) -> Result<Response<Self::HeartbeatsStream>, Status> {
        let period = match request.into_inner().period_ms {
            0 => PERIOD_DEFAULT,
            wanted => Duration::from_millis(wanted.into()).max(PERIOD_MIN),
        };
        let mut clock = tokio::time::interval(period);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let changes = WatchStream::from_changes(self.0.vitals.changes()).map(|_| ());
        let shared = Arc::clone(&self.0);
        let beats = IntervalStream::new(clock).map(|_| ()).merge(changes).map(move |()| Ok(shared.glance()));
        Ok(Response::new(Box::pin(beats)))
    }
}

#[cfg(test)]
mod tests;
