//! Between sentinels: Raft messages, observations, joining, and orders for the leader, over tonic.
//!
//! Every call carries the secret and the cluster's id; who lacks either is refused before anything is read. A link that breaks is
//! reported to Raft at once, queues are bounded and drop (Raft sends again), and nothing that a peer sends can stop the process.

pub mod link;
pub mod observe;
pub(crate) mod records;
pub mod server;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quorate_consensus::{Outgoing, RaftId};
use quorate_rpc::v1::{self, peer_client::PeerClient};
use tokio::sync::Notify;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use crate::{clock::Clock, driver, views::PeerSeen};

/// Metadata key of the cluster's id, on every call but those that precede membership.
pub const CLUSTER: &str = "quorate-cluster";
/// Said, with PERMISSION_DENIED, to a sentinel that was removed: it ends when it hears that.
pub const REMOVED: &str = "that sentinel was removed from the cluster";
/// The largest message between sentinels: a snapshot of the largest registry, several times over.
pub const MESSAGE_MOST: usize = 64 << 20;
/// How long a connection may take; loopback and one data centre need a hundredth.
const CONNECT: Duration = Duration::from_millis(500);
/// A dead link is noticed after the two together when no reset comes: less than `down-after`'s default.
const KEEP_ALIVE: Duration = Duration::from_millis(400);
/// Messages that may wait for one peer; more are dropped.
const QUEUE: usize = 512;

/// A client of another sentinel's Peer service.
pub type Client = PeerClient<InterceptedService<Channel, Badge>>;

/// What a caller shows: the secret, and the cluster that it belongs to.
#[derive(Clone, Debug, Default)]
pub struct Badge {
    secret: Option<MetadataValue<Ascii>>,
    cluster: Option<MetadataValue<Ascii>>,
}

impl Badge {
    /// `secret` empty: none is configured. A secret that no header can carry is refused when the process starts.
    pub fn new(secret: &str, cluster_id: Option<&str>) -> Result<Self, String> {
        let value = |text: String| text.parse().map_err(|_| "the secret must be printable ASCII".to_owned());
        let secret = (!secret.is_empty()).then(|| value(format!("Bearer {secret}"))).transpose()?;
        let cluster = cluster_id.map(|id| value(id.to_owned())).transpose()?;
        Ok(Self { secret, cluster })
    }
}

impl Interceptor for Badge {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(secret) = &self.secret {
            request.metadata_mut().insert(quorate_rpc::AUTHORIZATION, secret.clone());
        }
        if let Some(cluster) = &self.cluster {
            request.metadata_mut().insert(CLUSTER, cluster.clone());
        }
        Ok(request)
    }
}

/// A connected client for the sentinel at `address` (host:port). An error means that nothing was asked of it.
pub async fn client(address: &str, badge: Badge) -> Result<Client, Status> {
    let endpoint = Endpoint::from_shared(url(address))
        .map_err(|error| Status::invalid_argument(format!("{address} is not an address: {error}")))?
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    let channel = endpoint.connect().await.map_err(|error| {
        let mut status = Status::unavailable(error.to_string());
        status.set_source(Arc::new(error));
        status
    })?;
    let client = PeerClient::with_interceptor(channel, badge);
    Ok(client.max_decoding_message_size(MESSAGE_MOST).max_encoding_message_size(MESSAGE_MOST))
}

/// Was there nobody to take the connection? The host answers, and no process listens.
fn is_refused(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// An IPv6 address stands without brackets in our names, and with them in a URL.
fn url(address: &str) -> String {
    match address.rsplit_once(':') {
        Some((host, port)) if host.contains(':') && !host.starts_with('[') => format!("http://[{host}]:{port}"),
        _ => format!("http://{address}"),
    }
}

/// Links to the other members: one for each, made and dropped as members come and go.
#[derive(Clone)]
pub struct Peers {
    shared: Arc<Shared>,
}

struct Shared {
    hello: v1::PeerHello,
    badge: Badge,
    driver: driver::Handle,
    runtime: tokio::runtime::Handle,
    clock: Clock,
    removed: Arc<Notify>,
    links: Mutex<BTreeMap<RaftId, link::Link>>,
}

impl Peers {
    /// No links yet. `hello` is what each stream begins with; `removed` is told when a peer says that we were. Must be called from the runtime that is to carry the links.
    pub fn new(hello: v1::PeerHello, badge: Badge, driver: driver::Handle, clock: Clock, removed: Arc<Notify>) -> Self {
        let runtime = tokio::runtime::Handle::current();
        let links = Mutex::default();
        Self { shared: Arc::new(Shared { hello, badge, driver, runtime, clock, removed, links }) }
    }

    /// These are the other members now: opens what is missing, closes what is not wanted or has moved.
    pub fn update(&self, wanted: &BTreeMap<RaftId, String>) {
        let mut links = self.links();
        links.retain(|id, link| wanted.get(id) == Some(&link.address));
        for (id, address) in wanted {
            links.entry(*id).or_insert_with(|| self.open(*id, address));
        }
    }

    /// How each peer stands, for the fronts.
    pub fn seen(&self) -> BTreeMap<quorate_registry::RaftId, PeerSeen> {
        let links = self.links();
        links.iter().map(|(id, link)| (quorate_registry::RaftId(id.0), link.seen(self.shared.clock))).collect()
    }

    fn open(&self, id: RaftId, address: &str) -> link::Link {
        let shared = &self.shared;
        let way = link::Way { id, address, hello: &shared.hello, badge: &shared.badge };
        link::Link::open(way, &shared.driver, shared.clock, &shared.removed, &shared.runtime)
    }

    fn links(&self) -> std::sync::MutexGuard<'_, BTreeMap<RaftId, link::Link>> {
        // Only whole entries are put in and taken out: a panic elsewhere leaves the map sound.
        self.shared.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl driver::Outbox for Peers {
    fn send(&self, message: Outgoing) -> bool {
        self.links().get(&message.to).is_some_and(|link| link.send(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_becomes_a_url() {
        assert_eq!(url("127.0.0.1:27379"), "http://127.0.0.1:27379");
        assert_eq!(url("::1:27379"), "http://[::1]:27379");
        assert!(Badge::new("two\nlines", None).is_err());
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_refuses() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
        let status = client(&format!("127.0.0.1:{port}"), Badge::default()).await.expect_err("nobody listens any more");
        assert!(is_refused(&status), "{status:?}");
        assert!(!is_refused(&Status::unavailable("connection refused")));
    }
}
