//! This sentinel's sights to the Raft leader: all of them when a leader appears, then each as it is taken. Soft state: what is lost is
//! said again within half a second.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quorate_rpc::v1;
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{Badge, client};
use crate::{
    clock::Clock,
    driver::{self, View},
    nodes::Seen,
    watch::Watch,
    wire::sight_to_wire,
};

/// Wait before a broken stream is opened again.
const RETRY: Duration = Duration::from_millis(50);
/// How long opening a stream may take.
const OPEN: Duration = Duration::from_secs(1);
/// Sights that go into one observation when several wait.
const BATCH: usize = 256;
/// Observations between this task and HTTP/2.
const STREAM: usize = 8;

/// What observing needs.
pub struct Observer {
    /// This member.
    pub raft_id: u64,
    /// Its directory's id.
    pub sentinel_id: String,
    /// The secret and the cluster.
    pub badge: Badge,
    /// Who leads.
    pub driver: driver::Handle,
    /// Everything this sentinel sees.
    pub watch: Arc<Mutex<Watch>>,
    /// When.
    pub clock: Clock,
}

impl Observer {
    /// Runs until dropped. `news` are sights that [`Observer::watch`] holds already.
    pub async fn run(self, mut news: mpsc::Receiver<Seen>) {
        let mut view = self.driver.watch();
        loop {
            let leader = self.leader(&view.borrow_and_update());
            match leader {
                Some((id, address)) => {
                    if let Err(status) = self.report_to(id, &address, &mut view, &mut news).await {
                        tracing::debug!(leader = id, %status, "cannot report to the leader");
                    }
                    sleep(RETRY).await;
                }
                // Nobody to report to, or nobody else: what was seen meanwhile is in the watch.
                None => tokio::select! {
                    changed = view.changed() => if changed.is_err() { return },
                    seen = news.recv() => if seen.is_none() { return },
                },
            }
        }
    }

    /// The leader's id and address, if it is another.
    fn leader(&self, view: &View) -> Option<(u64, String)> {
        let id = view.status.leader?.0;
        let member = view.registry.sentinels.get(&quorate_registry::RaftId(id))?;
        (id != self.raft_id).then(|| (id, member.address.clone()))
    }

    /// Reports until the leader changes (Ok) or the stream breaks.
    async fn report_to(
        &self,
        id: u64,
        address: &str,
        view: &mut watch::Receiver<View>,
        news: &mut mpsc::Receiver<Seen>,
    ) -> Result<(), Status> {
        let (stream, observations) = mpsc::channel(STREAM);
        stream.try_send(self.observation(None)).expect("the stream is empty");
        let mut client = client(address, self.badge.clone()).await?;
        let opened = timeout(OPEN, client.observe(ReceiverStream::new(observations))).await;
        let mut acks = opened.map_err(|_| Status::deadline_exceeded("no answer"))??.into_inner();
        loop {
            tokio::select! {
                ack = acks.message() => if ack?.is_none() { return Err(Status::unavailable("closed by the leader")) },
                changed = view.changed() => {
                    let now = changed.ok().and_then(|()| self.leader(&view.borrow_and_update()));
                    if now.is_none_or(|(now, _)| now != id) {
                        return Ok(());
                    }
                }
                seen = news.recv() => {
                    let Some(seen) = seen else { return Ok(()) };
                    let mut batch = vec![seen];
                    while batch.len() < BATCH && let Ok(more) = news.try_recv() {
                        batch.push(more);
                    }
                    let sent = stream.send(self.observation(Some(&batch))).await;
                    sent.map_err(|_| Status::unavailable("the stream ended"))?;
                }
            }
        }
    }

    /// The named sights as they are now, or all.
    fn observation(&self, only: Option<&[Seen]>) -> v1::Observation {
        let now = self.clock.now();
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let aged = |group, node, watched: &crate::watch::Watched| {
            let mut sight = watched.sight.clone();
            (sight.silent, sight.facts_age) = (watched.silent(now), watched.facts_age(now));
            sight_to_wire(group, node, &sight)
        };
        let nodes = match only {
            None => watch.iter().map(|(group, node, watched)| aged(group, node, watched)).collect(),
            Some(batch) => {
                let held = batch.iter().filter_map(|seen| Some((seen, watch.node(&seen.group, &seen.node)?)));
                held.map(|(seen, watched)| aged(&seen.group, &seen.node, watched)).collect()
            }
        };
        v1::Observation { raft_id: self.raft_id, sentinel_id: self.sentinel_id.clone(), nodes }
    }
}
