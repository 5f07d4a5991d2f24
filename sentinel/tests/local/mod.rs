//! Real sentinels in this process, each on a runtime of its own and real ports, without data nodes.

use std::{
    future::Future,
    net::TcpListener,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use quorate_config::{HostPort, Peer, SentinelConfig};
use quorate_registry::{Effect, Registry, sights::NodeFacts, steering::Failure};
use quorate_rpc::v1::{self, control_client::ControlClient};
use quorate_sentinel::{
    nodes::{Eyes, Hands},
    run::{Limbs, RunError, run_until},
};
use tokio::sync::oneshot;
use tonic::{Code, Status, transport::Channel};

/// What a loaded two-core machine may need for anything here.
pub const PATIENCE: Duration = Duration::from_secs(20);

struct Blind;

impl Eyes for Blind {
    fn look(&self, _: &Arc<Registry>) {}
}

impl Hands for Blind {
    fn carry_out(&self, _: Effect, _: Arc<Registry>) -> BoxFuture<'static, Result<NodeFacts, Failure>> {
        async { Err(Failure::Timeout) }.boxed()
    }
}

/// How to end it, and its thread.
type Running = (oneshot::Sender<()>, JoinHandle<Result<(), RunError>>);

/// One sentinel of a cluster.
pub struct Sentinel {
    pub config: SentinelConfig,
    running: Option<Running>,
}

/// Some sentinels with their directories.
pub struct Cluster {
    pub sentinels: Vec<Sentinel>,
    root: tempfile::TempDir,
    emptied: u32,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("loopback has free ports").port()
}

fn at(port: u16) -> HostPort {
    HostPort { host: "127.0.0.1".into(), port }
}

impl Cluster {
    /// Configured, not started.
    pub fn new(size: usize, secret: &str) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let ports: Vec<(u16, u16)> = (0..size).map(|_| (free_port(), free_port())).collect();
        let peers: Vec<Peer> = ports.iter().map(|(resp, api)| Peer { api: at(*api), resp: at(*resp) }).collect();
        let sentinel = |(n, (port, api_port)): (usize, &(u16, u16))| Sentinel {
            config: SentinelConfig {
                dir: root.path().join(n.to_string()).to_string_lossy().into_owned(),
                port: *port,
                api_port: *api_port,
                secret: secret.into(),
                peers: peers.clone(),
                ..Default::default()
            },
            running: None,
        };
        let sentinels = ports.iter().enumerate().map(sentinel).collect();
        Self { sentinels, root, emptied: 0 }
    }

    pub fn started(size: usize) -> Self {
        let mut cluster = Self::new(size, "");
        (0..size).for_each(|n| cluster.start(n));
        cluster
    }

    pub fn start(&mut self, n: usize) {
        let sentinel = &mut self.sentinels[n];
        assert!(sentinel.running.is_none(), "it runs already");
        let (quit, quitting) = oneshot::channel();
        let limbs: Limbs = Box::new(|_, _, _, _| (Arc::new(Blind), Arc::new(Blind)));
        let config = sentinel.config.clone();
        let until = async move { drop(quitting.await) };
        let thread = std::thread::spawn(move || {
            // Shown when a test fails: why one of its sentinels ended.
            run_until(config, limbs, until).inspect_err(|error| eprintln!("sentinel {n}: {error}"))
        });
        sentinel.running = Some((quit, thread));
    }

    pub fn stop(&mut self, n: usize) {
        let (quit, thread) = self.sentinels[n].running.take().expect("it runs");
        drop(quit);
        thread.join().expect("it does not panic").expect("it ends in order");
    }

    /// Waits for a sentinel that ends by itself.
    pub fn take_end(&mut self, n: usize) -> Result<(), RunError> {
        let (quit, thread) = self.sentinels[n].running.take().expect("it runs");
        let deadline = Instant::now() + PATIENCE;
        while !thread.is_finished() {
            assert!(Instant::now() < deadline, "sentinel {n} does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(quit);
        thread.join().expect("it does not panic")
    }

    /// Gives a stopped sentinel an empty directory.
    pub fn empty(&mut self, n: usize) {
        self.emptied += 1;
        let dir = self.root.path().join(format!("{n}-emptied-{}", self.emptied));
        self.sentinels[n].config.dir = dir.to_string_lossy().into_owned();
    }

    pub fn address(&self, n: usize) -> String {
        format!("http://127.0.0.1:{}", self.sentinels[n].config.api_port)
    }

    pub async fn control(&self, n: usize) -> Result<ControlClient<Channel>, Status> {
        ControlClient::connect(self.address(n)).await.map_err(|error| Status::unavailable(error.to_string()))
    }

    pub async fn sentinels(&self, n: usize) -> Result<Vec<v1::SentinelInfo>, Status> {
        let reply = self.control(n).await?.list_sentinels(v1::ListSentinelsRequest {}).await?;
        Ok(reply.into_inner().sentinels)
    }

    /// The leader's raft id as the sentinel knows it.
    pub async fn leader(&self, n: usize) -> Option<u64> {
        let sentinels = self.sentinels(n).await.ok()?;
        sentinels.into_iter().find(|sentinel| sentinel.role == "leader").map(|sentinel| sentinel.raft_id)
    }

    /// Who that is: its place in `sentinels`.
    pub async fn leader_place(&self, n: usize) -> Option<usize> {
        let sentinels = self.sentinels(n).await.ok()?;
        let leader = sentinels.into_iter().find(|sentinel| sentinel.role == "leader")?;
        let is = |sentinel: &Sentinel| leader.api_address.ends_with(&format!(":{}", sentinel.config.api_port));
        self.sentinels.iter().position(is)
    }

    /// A confirmed read.
    pub async fn group(&self, n: usize, name: &str) -> Result<v1::Group, Status> {
        let request = v1::GetGroupRequest { group: name.into() };
        Ok(self.control(n).await?.get_group(request).await?.into_inner())
    }

    pub async fn monitor(&self, n: usize, name: &str) -> Result<v1::Group, Status> {
        let nodes = vec!["127.0.0.1:7002".into()];
        let (group, host) = (name.into(), "127.0.0.1".into());
        let request = v1::MonitorGroupRequest { group, host, port: 7001, quorum: 2, nodes };
        Ok(self.control(n).await?.monitor_group(request).await?.into_inner())
    }

    /// Monitors a group, however long a leader takes to appear.
    pub async fn monitored(&self, n: usize, name: &str) {
        until("a group is watched", async || match self.monitor(n, name).await {
            Ok(_) => true,
            Err(status) => {
                let waits = [Code::Unavailable, Code::DeadlineExceeded].contains(&status.code());
                assert!(waits, "{status}");
                false
            }
        })
        .await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for n in 0..self.sentinels.len() {
            if let Some((quit, thread)) = self.sentinels[n].running.take() {
                drop(quit);
                // A test that fails already says why.
                let _ = thread.join();
            }
        }
    }
}

/// Polls until it holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// It must hold all the while.
pub async fn throughout(what: &str, time: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        assert!(holds().await, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Runs a test on a runtime.
pub fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
}
