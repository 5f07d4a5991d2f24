//! The agent: answers the sentinels over gRPC on a thread of its own, so that a busy engine is not taken for a dead node.
//!
//! The lease is this thread's, too: a heartbeat is a renewal, counted from when it leaves, and a grant is taken without the engine (I8).
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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quorate_engine::{Control, Denied, Keep, NodeRole, Order, Report, Ticket};
use quorate_replication::history::Held;
use quorate_replication::{Epoch, Lease};
use quorate_rpc::v1;
use quorate_rpc::v1::agent_server::{Agent as AgentService, AgentServer};
use tokio::sync::oneshot;
use tokio_stream::{Stream, StreamExt, wrappers::IntervalStream, wrappers::WatchStream};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::Mail;

pub use state::{Kept, StateFile};
pub use vitals::Vitals;

/// The longest that an order waits for the engine, beyond the time that the order itself may take.
const ORDER_TIMEOUT: Duration = Duration::from_secs(10);
/// What the disk did not take is tried again after this.
const KEEP_AGAIN: Duration = Duration::from_secs(1);
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
    /// The lease, which the engine tests.
    pub lease: Arc<Mutex<Lease>>,
}

/// The engine's side of the agent.
pub struct Agent {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
}

struct Shared {
    run_id: String,
    node_id: String,
    secret: String,
    state: Mutex<StateFile>,
    vitals: Arc<Vitals>,
    lease: Arc<Mutex<Lease>>,
    tickets: AtomicU64,
    waiting: Mutex<HashMap<Ticket, oneshot::Sender<Report>>>,
    /// The newest of what the disk refused; a task tries it again.
    unkept: Mutex<Option<Keep>>,
    post: Box<dyn Fn(Mail) + Send + Sync>,
}

impl Agent {
    /// Starts the agent's thread. `post` hands an order, or news of what is on disk, to the engine's loop and wakes it.
    pub fn start(settings: Settings, post: impl Fn(Mail) + Send + Sync + 'static) -> io::Result<Agent> {
        let Settings { listeners, secret, run_id, state, vitals, lease } = settings;
        let node_id = state.node_id().to_owned();
        let shared = Arc::new(Shared {
            run_id,
            node_id,
            secret,
            state: Mutex::new(state),
            vitals,
            lease,
            tickets: AtomicU64::new(1),
            waiting: Mutex::default(),
            unkept: Mutex::default(),
            post: Box::new(post),
        });
        for listener in &listeners {
            listener.set_nonblocking(true)?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (service, handle) = (Arc::clone(&shared), runtime.handle().clone());
        std::thread::Builder::new().name("agent".into()).spawn(move || runtime.block_on(serve(listeners, service)))?;
        Ok(Agent { shared, runtime: handle })
    }

    /// Makes durable what changed beside any order.
    pub fn keep(&self, keep: Keep) {
        let shared = Arc::clone(&self.shared);
        self.runtime.spawn(async move {
            if let Err(error) = shared.keep(&keep) {
                shared.keep_later(keep, &error);
            }
        });
    }

    /// The engine has answered.
    pub fn answer(&self, ticket: Ticket, report: Report) {
        let waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&ticket);
        let unheard = match waiting {
            Some(waiting) => waiting.send(report).err(),
            None => Some(report),
        };
        // The caller has hung up; what the engine did has to be remembered nevertheless.
        if let Some(keep) = unheard.and_then(|report| report.durable) {
            self.keep(keep);
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

    /// Gives an order. A task of its own sees it through: what the engine did has to be remembered though the caller hangs up.
    async fn order(self: &Arc<Self>, order: Order, may_take: Duration) -> Result<Response<v1::NodeReport>, Status> {
        let obeying = tokio::spawn(Arc::clone(self).obey(order, may_take));
        obeying.await.unwrap_or_else(|ended| Err(Status::internal(format!("the agent is ending: {ended}"))))
    }

    /// Asks the engine, waits for its answer, and makes what it changed durable.
    async fn obey(self: Arc<Self>, order: Order, may_take: Duration) -> Result<Response<v1::NodeReport>, Status> {
        let ticket = Ticket(self.tickets.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(ticket, answer);
        (self.post)(Mail::Control(Control { ticket, order }));
        let report = match tokio::time::timeout(may_take + ORDER_TIMEOUT, answered).await {
            Ok(Ok(report)) => report,
            _ => {
                self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&ticket);
                return Err(Status::deadline_exceeded("the engine is busy"));
            }
        };
        // An order that was refused may have raised the promise before: that is kept, too.
        let kept =
            report.durable.map_or(Ok(()), |keep| self.keep(&keep).inspect_err(|error| self.keep_later(keep, error)));
        match report.refused {
            None => {}
            Some(later @ Denied::Loading) => return Err(Status::unavailable(later.to_string())),
            Some(refused) => return Err(Status::failed_precondition(refused.to_string())),
        }
        kept.map_err(|error| Status::internal(format!("the promise could not be kept: {error}")))?;
        Ok(Response::new(self.message(&report.facts, None, 0)))
    }

    /// What the disk refused is tried again until it is written, or something newer is: this node counts as no copy meanwhile, and whoever looks
    /// sees that the engine obeyed, and gives no order again. One task tries, and always the newest.
    fn keep_later(self: &Arc<Self>, keep: Keep, error: &io::Error) {
        let mut unkept = self.unkept.lock().unwrap_or_else(PoisonError::into_inner);
        let tries = unkept.is_some();
        if unkept.as_ref().is_none_or(|before| before.revision < keep.revision) {
            *unkept = Some(keep);
        }
        if !tries {
            tracing::error!("The state file could not be written, and is tried again: {error}");
            tokio::spawn(Arc::clone(self).keep_in_the_end());
        }
    }

    async fn keep_in_the_end(self: Arc<Self>) {
        loop {
            tokio::time::sleep(KEEP_AGAIN).await;
            let newest = self.unkept.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let Some(newest) = newest else { return };
            if self.keep(&newest).is_ok() {
                let mut unkept = self.unkept.lock().unwrap_or_else(PoisonError::into_inner);
                if unkept.as_ref().is_some_and(|keep| keep.revision == newest.revision) {
                    *unkept = None;
                    tracing::warn!("The state file could be written again");
                    return;
                }
            }
        }
    }

    /// A millisecond on a thread that has nothing else to do; the engine's goes on, and hears of it.
    fn keep(&self, keep: &Keep) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let revision = state.keep(keep)?;
        (self.post)(Mail::Kept(revision));
        Ok(())
    }

    fn lease(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn message(&self, facts: &quorate_engine::Facts, busy: Option<vitals::Busy>, renewal: u64) -> v1::NodeReport {
        let now = self.vitals.now();
        let remaining = self.lease().remaining(facts.epoch, now);
        convert::report((&self.node_id, &self.run_id), facts, busy, convert::Leased { renewal, remaining }, now)
    }

    /// The newest report, without asking the engine.
    fn glance(&self) -> v1::NodeReport {
        let (facts, busy) = self.vitals.look();
        self.message(&facts, Some(busy), 0)
    }

    /// A heartbeat: a report that asks for the lease from now on (I8).
    fn beat(&self) -> v1::NodeReport {
        let renewal = self.lease().renew(self.vitals.now());
        let (facts, busy) = self.vitals.look();
        self.message(&facts, Some(busy), renewal)
    }

    /// Refuses what is only for the master of that epoch.
    fn check_master(&self, group: &str, epoch: Epoch) -> Result<(), Status> {
        let (facts, _) = self.vitals.look();
        if facts.group == group && facts.role == NodeRole::Master && facts.epoch == epoch {
            return Ok(());
        }
        Err(Status::failed_precondition(format!("the node is not the master of epoch {epoch}")))
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
        let config = convert::config(request.config)?;
        let (group, epoch) = (request.group, Epoch(request.epoch));
        let lease = (request.lease_ms > 0).then(|| Duration::from_millis(request.lease_ms.into()));
        self.0.order(Order::Assign { group, epoch, role, config, lease }, Duration::ZERO).await
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

    async fn configure(&self, request: Request<v1::ConfigureRequest>) -> Result<Response<v1::NodeReport>, Status> {
        let v1::ConfigureRequest { group, epoch, config } = request.into_inner();
        let config = convert::config(config)?.ok_or_else(|| Status::invalid_argument("config: there is none"))?;
        self.0.order(Order::Configure { group, epoch: Epoch(epoch), config }, Duration::ZERO).await
    }

    async fn grant(&self, request: Request<v1::GrantRequest>) -> Result<Response<v1::NodeReport>, Status> {
        let v1::GrantRequest { group, epoch, renewal, lease_ms } = request.into_inner();
        self.0.check_master(&group, Epoch(epoch))?;
        let length = Duration::from_millis(lease_ms.into());
        let granted = self.0.lease().grant(Epoch(epoch), renewal, length, self.0.vitals.now());
        granted.map_err(|refused| Status::failed_precondition(refused.to_string()))?;
        Ok(Response::new(self.0.glance()))
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
        let beats = IntervalStream::new(clock).map(|_| ()).merge(changes).map(move |()| Ok(shared.beat()));
        Ok(Response::new(Box::pin(beats)))
    }
}

#[cfg(test)]
mod tests;
