//! The process: opens the directory, listens, becomes a member, and runs every room until it is told to end.
//!
//! Order matters in three places. The ports listen before this sentinel is a member, since its founders ask it there. The identity is on the
//! disk before anybody is told of it. And Raft starts last, with everything that it could need running.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use quorate_api::{auth::Secret, plane::ControlPlane};
use quorate_config::{Ack, Durability, GroupConfig, HostPort, SentinelConfig};
use quorate_consensus::{Config, Limits, RaftId, Role, Timing};
use quorate_registry as registry;
use quorate_registry::{Command, GroupName, NodeKey, Registry, Settings, command::NodeSpec};
use quorate_rpc::v1::{self, peer_server::PeerServer};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::service::{Routes, interceptor::InterceptedService};

use crate::{
    clock::Clock,
    driver,
    effects::Messenger,
    entry::{Entrance, Standing},
    founding::Seat,
    front,
    keeper::{Admission, Keeper},
    nodes::{Eyes, Hands, Me, SeenSender},
    office::{self, Desk, Doors, Office},
    order::{Order, Orders, Refusal},
    peers::{Badge, MESSAGE_MOST, Peers, observe::Observer, server::PeerService},
    plane::Plane,
    probe::Probes,
    store::{Membership, Opened, Store, StoreError, random},
};

/// RESP clients at a time. Source: Redis, `maxclients 10000`.
const CLIENTS_MOST: usize = 10_000;
/// Between two tries to have the configured groups watched.
const NOMINATE: Duration = Duration::from_millis(200);
/// How long a leader that ends waits for another to take over.
const HAND_OVER: Duration = Duration::from_millis(500);

/// Why a sentinel could not start or go on. `Display` is the line that the operator sees.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration contradicts itself.
    #[error("{0}")]
    Config(String),
    /// A port is taken, or an address is not this machine's.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The system refused something that no sentinel can do without.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    /// The disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its membership is over.
    #[error("this sentinel was removed from the cluster; to let it join again as a new one, empty its directory")]
    Removed,
    /// A room ended that never should.
    #[error("{0} ended unexpectedly")]
    Ended(&'static str),
}

/// Makes the rooms that talk to data nodes.
pub type Limbs = Box<dyn FnOnce(Clock, Me, Option<Arc<str>>, SeenSender) -> (Arc<dyn Eyes>, Arc<dyn Hands>) + Send>;

/// Runs a sentinel until SIGTERM or SIGINT, or until it cannot go on.
pub fn run(config: SentinelConfig) -> Result<(), RunError> {
    let limbs: Limbs = Box::new(|clock, me, secret, seen| {
        (Arc::new(Probes::new(clock, me, secret.clone(), seen, None)), Arc::new(Messenger::new(secret)))
    });
    run_until(config, limbs, signalled())
}

/// Runs a sentinel with the given limbs until `quit`, on a runtime of its own: when this returns nothing of it is left.
pub fn run_until(config: SentinelConfig, limbs: Limbs, quit: impl Future<Output = ()> + Send) -> Result<(), RunError> {
    // Fronts and links are light; Raft has a thread of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(serve(config, limbs, quit));
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}

async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(term), Ok(int)) => (term, int),
        _ => return std::future::pending().await,
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

async fn serve(config: SentinelConfig, limbs: Limbs, quit: impl Future<Output = ()>) -> Result<(), RunError> {
    let clock = Clock::default();
    let badge = Badge::new(&config.secret, None).map_err(RunError::Config)?;
    let Opened { store, identity, recovered } = Store::open(Path::new(&config.dir))?;
    let (me, others) = seats(&config, &identity.sentinel_id)?;
    tracing::info!(id = identity.sentinel_id, api = me.address, resp = me.resp, "sentinel starts");

    let standing = Arc::new(Standing::new(&me));
    let (handle, seat) = driver::channels();
    let (doors, desk) = office::doors();
    let (admissions, wishes) = mpsc::channel(16);
    let peers = Arc::new(std::sync::OnceLock::new());
    let orders = Orders {
        peers: peers.clone(),
        driver: handle.clone(),
        asks: doors.asks.clone(),
        secret: config.secret.as_str().into(),
        standing: standing.clone(),
        clock,
    };
    let plane = Plane {
        driver: handle.clone(),
        clock,
        watch: Arc::default(),
        peers,
        orders: orders.clone(),
        sentinel_id: identity.sentinel_id.as_str().into(),
        quit: Arc::new(Notify::new()),
    };
    let service = PeerService::new(standing.clone(), handle.clone(), doors.reports.clone(), admissions, orders.clone());
    let mut rooms = listen(&config, &plane, service).await?;

    let entrance = Entrance { me: &me, others: &others, badge: &badge, standing: &standing, store: &store };
    tokio::pin!(quit);
    let (membership, recovered) = tokio::select! {
        entered = entrance.enter(&identity, recovered) => entered?,
        () = &mut quit => return Ok(()),
        () = plane.quit.notified() => return Ok(()),
        ended = rooms.join_next() => return Err(ended_room(ended)),
    };

    let removed = Arc::new(Notify::new());
    rooms.spawn(room("the membership", watch_membership(handle.clone(), membership.raft_id, removed.clone())));
    let peers = furnish(&mut rooms, &config, &plane, &membership, &me, limbs, (doors, desk), wishes, &removed)?;
    let raft = Config {
        id: membership.raft_id(),
        boot: u64::from_be_bytes(random()?),
        timing: Timing::default(),
        limits: Limits::default(),
        snapshot_is_sound: |state| Registry::restore(state).is_ok(),
    };
    let mut raft_ended = seat.drive(raft, recovered, store, Box::new(peers));
    tokio::select! {
        ended = &mut raft_ended => return ended.unwrap_or(Ok(())).map_err(RunError::Store).and(Err(RunError::Ended("raft"))),
        ended = rooms.join_next() => return Err(ended_room(ended)),
        () = removed.notified() => {
            handle.stop().await;
            let stored = raft_ended.await.unwrap_or(Ok(()));
            return stored.map_err(RunError::Store).and(Err(RunError::Removed));
        }
        () = &mut quit => {}
        () = plane.quit.notified() => {}
    }
    tracing::info!("sentinel ends");
    hand_over(&handle).await;
    handle.stop().await;
    raft_ended.await.unwrap_or(Ok(())).map_err(RunError::Store)
}

/// Opens every room that a member has, Raft excepted.
#[expect(clippy::too_many_arguments, reason = "each is used once, by the room that it is for")]
fn furnish(
    rooms: &mut JoinSet<&'static str>,
    config: &SentinelConfig,
    plane: &Plane,
    membership: &Membership,
    me: &Seat,
    limbs: Limbs,
    (doors, desk): (Doors, Desk),
    wishes: mpsc::Receiver<Admission>,
    removed: &Arc<Notify>,
) -> Result<Peers, RunError> {
    let secret = Some(config.secret.as_str()).filter(|secret| !secret.is_empty());
    let badge = Badge::new(&config.secret, Some(&membership.cluster_id)).map_err(RunError::Config)?;
    let hello = v1::PeerHello {
        cluster_id: membership.cluster_id.clone(),
        raft_id: membership.raft_id,
        sentinel_id: me.sentinel_id.clone(),
    };
    let peers = Peers::new(hello, badge.clone(), plane.driver.clone(), plane.clock, removed.clone());
    // Set once, here.
    let _ = plane.peers.set(peers.clone());
    let (observer, news) = mpsc::channel(1024);
    let resp = me.resp.parse().map_err(|why| RunError::Config(format!("{}: {why}", me.resp)))?;
    let who = Me { sentinel_id: me.sentinel_id.clone(), resp };
    let (eyes, hands) = limbs(plane.clock, who, secret.map(Arc::from), doors.seen.clone());
    let desk_of = Office {
        me: registry::RaftId(membership.raft_id),
        driver: plane.driver.clone(),
        clock: plane.clock,
        watch: plane.watch.clone(),
        eyes,
        hands,
        observer,
    };
    let reporter = Observer {
        raft_id: membership.raft_id,
        sentinel_id: me.sentinel_id.clone(),
        badge,
        driver: plane.driver.clone(),
        watch: plane.watch.clone(),
        clock: plane.clock,
    };
    let keeper = Keeper {
        driver: plane.driver.clone(),
        peers: peers.clone(),
        clock: plane.clock,
        cluster_id: membership.cluster_id.clone(),
    };
    rooms.spawn(room("the office", desk_of.run(desk)));
    rooms.spawn(room("the observer", reporter.run(news)));
    rooms.spawn(room("the keeper", keeper.run(wishes)));
    rooms.spawn(room("the links", link_members(plane.driver.clone(), peers.clone(), membership.clone())));
    // Ends when its work is done; it is no room.
    tokio::spawn(nominate(config.groups.clone(), config.peers.len().max(1), plane.clone()));
    Ok(peers)
}

async fn room(name: &'static str, work: impl Future<Output = ()>) -> &'static str {
    work.await;
    name
}

fn ended_room(ended: Option<Result<&'static str, tokio::task::JoinError>>) -> RunError {
    match ended {
        Some(Ok(name)) => RunError::Ended(name),
        Some(Err(error)) => {
            tracing::error!(%error, "a room failed");
            RunError::Ended("a room")
        }
        None => RunError::Ended("everything"),
    }
}

/// This sentinel's seat, and the other founders' addresses. Without peers it founds a cluster of one.
fn seats(config: &SentinelConfig, sentinel_id: &str) -> Result<(Seat, Vec<String>), RunError> {
    let name = |at: &HostPort| NodeKey::new(&at.host, at.port).map(|key| key.to_string());
    let host = config.announced_host().to_owned();
    let resp_port = if config.announce_port == 0 { config.port } else { config.announce_port };
    let (address, resp_host, others) = match config.own_peer() {
        Some(own) => {
            let others = config.peers.iter().filter(|peer| *peer != own).map(|peer| name(&peer.api)).collect();
            (name(&own.api), own.api.host.clone(), others)
        }
        None if config.peers.is_empty() => {
            (name(&HostPort { host: host.clone(), port: config.api_port }), host, Ok(vec![]))
        }
        None => {
            let port = config.api_port;
            return Err(RunError::Config(format!("peers must list this sentinel too: {host}:{port} is not there")));
        }
    };
    let resp = name(&HostPort { host: resp_host, port: resp_port });
    let bad = |why: registry::names::NameError| RunError::Config(format!("peers: {why}"));
    let seat = Seat { address: address.map_err(bad)?, resp: resp.map_err(bad)?, sentinel_id: sentinel_id.to_owned() };
    Ok((seat, others.map_err(bad)?))
}

/// Opens every port and serves it.
async fn listen(
    config: &SentinelConfig,
    plane: &Plane,
    service: PeerService,
) -> Result<JoinSet<&'static str>, RunError> {
    let mut rooms = JoinSet::new();
    let secret = Secret::new(Some(&config.secret));
    let peer = PeerServer::new(service).max_decoding_message_size(MESSAGE_MOST).max_encoding_message_size(MESSAGE_MOST);
    let mut routes = Routes::default();
    routes = routes.add_service(InterceptedService::new(peer, secret.clone()));
    let control: Arc<dyn ControlPlane> = Arc::new(plane.clone());
    let router = quorate_api::router(control, secret, routes).await;
    for host in &config.bind {
        let api = bind(host, config.api_port).await?;
        let router = router.clone();
        rooms.spawn(room("the API", async move {
            use axum::serve::ListenerExt as _;
            let api = api.tap_io(|stream| drop(stream.set_nodelay(true)));
            if let Err(error) = axum::serve(api, router).await {
                tracing::error!(%error, "the API cannot go on");
            }
        }));
        let resp = bind(host, config.port).await?;
        let options = front::Options {
            password: config.requirepass.clone(),
            clients_most: CLIENTS_MOST,
            port: config.port,
            protected: config.protected_mode,
        };
        let tower = Arc::new(plane.clone());
        rooms.spawn(room("the RESP front", async move {
            if let Err(error) = front::serve(resp, tower, options).await {
                tracing::error!(%error, "the RESP front cannot go on");
            }
        }));
    }
    Ok(rooms)
}

/// `bind` as redis.conf writes it: `*` and `::*` are all addresses.
async fn bind(host: &str, port: u16) -> Result<TcpListener, RunError> {
    let host = host.trim_start_matches('-');
    let host = match host {
        "*" => "0.0.0.0",
        "::*" => "::",
        host => host,
    };
    let address = match host.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port).to_string(),
        Err(_) => format!("{host}:{port}"),
    };
    TcpListener::bind(&address).await.map_err(|source| RunError::Listen { address, source })
}

/// Tells when this sentinel applies its own removal. One that was away hears it from the others: see [`Peers`].
async fn watch_membership(driver: driver::Handle, me: u64, removed: Arc<Notify>) {
    let mut view = driver.watch();
    let gone = view.wait_for(|view| view.registry.is_removed(registry::RaftId(me))).await.map(drop);
    if gone.is_ok() {
        removed.notify_one();
    }
    std::future::pending().await
}

/// Keeps a link to every other member.
async fn link_members(driver: driver::Handle, peers: Peers, membership: Membership) {
    let mut view = driver.watch();
    loop {
        let registry = view.borrow_and_update().registry.clone();
        let mut wanted: BTreeMap<RaftId, String> = match registry.sentinels.is_empty() {
            // Nothing was received yet: whoever let this sentinel in said who the others are.
            true => {
                membership.contacts.iter().map(|contact| (RaftId(contact.raft_id), contact.address.clone())).collect()
            }
            false => {
                registry.sentinels.values().map(|member| (RaftId(member.raft_id.0), member.address.clone())).collect()
            }
        };
        wanted.remove(&membership.raft_id());
        peers.update(&wanted);
        if view.changed().await.is_err() {
            return;
        }
    }
}

/// Has the configured groups watched, unless an operator had one removed since.
async fn nominate(groups: Vec<GroupConfig>, sentinels: usize, plane: Plane) {
    let mut missing: Vec<(GroupName, Command)> = Vec::new();
    for group in groups {
        match monitor(&group, sentinels) {
            Ok(entry) => missing.push(entry),
            Err(why) => tracing::error!(group = group.name, why, "the configured group cannot be watched"),
        }
    }
    while !missing.is_empty() {
        if let Ok(registry) = plane.driver.read().await {
            let removed = |name: &GroupName| {
                let about =
                    |event: &&registry::Event| event.group.as_ref() == Some(name) && event.name.ends_with("monitor");
                registry.history.iter().rev().find(about).is_some_and(|event| event.name == "-monitor")
            };
            missing.retain(|(name, _)| !registry.groups.contains_key(name) && !removed(name));
            if let Some((name, command)) = missing.first() {
                match plane.orders.carry_out(Order::Command(command.clone())).await {
                    Ok(_) => tracing::info!(group = %name, "watches a configured group"),
                    // Another sentinel was first, or nobody leads: looked at again.
                    Err(Refusal::Unchanged | Refusal::Duplicate | Refusal::NoQuorum | Refusal::Unknown) => {}
                    Err(why) => {
                        tracing::error!(group = %name, %why, "the configured group cannot be watched");
                        missing.remove(0);
                    }
                }
                continue;
            }
        }
        sleep(NOMINATE).await;
    }
}

fn monitor(group: &GroupConfig, sentinels: usize) -> Result<(GroupName, Command), String> {
    let name: GroupName = group.name.parse().map_err(|why| format!("{why}"))?;
    let key = |at: &HostPort| NodeKey::new(&at.host, at.port).map_err(|why| why.to_string());
    let nodes: Vec<NodeKey> = group.nodes.iter().map(key).collect::<Result<_, _>>()?;
    let master = nodes.first().ok_or("it has no nodes")?.clone();
    let majority = u32::try_from(sentinels / 2 + 1).map_err(|_| "too many sentinels")?;
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let settings = Settings {
        quorum: group.quorum.unwrap_or(majority),
        down_after_ms: group.down_after_ms,
        failover_timeout_ms: group.failover_timeout_ms,
        parallel_syncs: group.parallel_syncs,
        durability: match group.durability {
            Durability::Async => registry::Durability::Async,
            Durability::Quorum => registry::Durability::Quorum,
        },
        copies: group.copies,
        ack: match group.ack {
            Ack::Receipt => registry::Ack::Receipt,
            Ack::Fsync => registry::Ack::Fsync,
        },
        quorum_timeout_ms: group.quorum_timeout_ms,
        auth_user: text(&group.auth.user),
        auth_pass: text(&group.auth.password),
        ..Settings::default()
    };
    let nodes = nodes.into_iter().map(|node| NodeSpec { node, tags: vec![] }).collect();
    Ok((name.clone(), Command::MonitorGroup { group: name, master, nodes, settings }))
}

/// A leader that ends on purpose hands leadership on first: nobody has to notice its absence.
async fn hand_over(handle: &driver::Handle) {
    let status = handle.view().status;
    if !matches!(status.role, Role::Leader { .. }) {
        return;
    }
    let Some(heir) = status.members.voters.iter().find(|id| **id != status.id) else { return };
    let mut view = handle.watch();
    if handle.transfer(*heir).await.is_ok() {
        let _ = timeout(HAND_OVER, view.wait_for(|view| !matches!(view.status.role, Role::Leader { .. }))).await;
    }
}
