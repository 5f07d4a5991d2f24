//! This sentinel as its fronts see it: reads from what is applied here, confirmations by a majority, orders through the leader.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use futures::{FutureExt, StreamExt, stream, stream::BoxStream};
use quorate_api::{
    plane::{ControlPlane, Outcome, Standing},
    problem::Problem,
    view,
};
use quorate_registry::{
    Command, Epoch, Group, GroupName, NodeKey, RaftId, Settings,
    command::NodeSpec,
    failover::{Cause, Failover, Phase},
};
use tokio::{
    sync::{Notify, broadcast},
    time::timeout,
};

use crate::{
    clock::Clock,
    driver,
    front::{GroupFacts, Tower},
    order::{Order, Orders, PATIENCE, Refusal},
    peers::Peers,
    views::{Scene, event_view},
    watch::Watch,
};

/// How long a majority may take to confirm a read: Raft itself gives up after as long.
const CONFIRM: Duration = Duration::from_secs(1);
/// The longest that a planned failover is waited for, whatever the group's own timeout.
const FAILOVER_MOST: Duration = Duration::from_secs(60);

/// The fronts' handle on this sentinel. Cheap to clone.
#[derive(Clone)]
pub struct Plane {
    /// Raft.
    pub driver: driver::Handle,
    /// The process's clocks.
    pub clock: Clock,
    /// What this sentinel itself sees.
    pub watch: Arc<Mutex<Watch>>,
    /// The links to the other members, once this sentinel is one.
    pub peers: Arc<OnceLock<Peers>>,
    /// The way to the leader.
    pub orders: Orders,
    /// SENTINEL MYID.
    pub sentinel_id: Arc<str>,
    /// Ends the process.
    pub quit: Arc<Notify>,
}

impl Plane {
    /// What the views are made of, now.
    fn scene<T>(&self, show: impl FnOnce(Scene<'_>) -> T) -> T {
        let view = self.driver.view();
        let peers = self.peers.get().map(Peers::seen).unwrap_or_default();
        let learners: Vec<RaftId> = view.status.members.learners.iter().map(|id| RaftId(id.0)).collect();
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        show(Scene {
            registry: &view.registry,
            watch: &watch,
            peers: &peers,
            now: self.clock.now(),
            wall: self.clock.wall(),
            me: RaftId(view.status.id.0),
            leader: view.status.leader.map(|id| RaftId(id.0)),
            term: view.status.term.0,
            learners: &learners,
        })
    }

    async fn order(&self, group: &str, command: Command) -> Result<(), Problem> {
        match self.orders.carry_out(Order::Command(command)).await {
            Ok(_) | Err(Refusal::Unchanged) => Ok(()),
            Err(why) => Err(problem(group, why)),
        }
    }

    /// An order for a node of a group; the group afterwards.
    fn order_node(&self, group: &str, node: &str, command: fn(GroupName, NodeKey) -> Command) -> Outcome<view::Group> {
        let (plane, name, node) = (self.clone(), group.to_owned(), node.to_owned());
        async move {
            let group = plane.known(&name)?;
            let node = node.parse().map_err(|why| Problem::invalid("node", format!("{why}")))?;
            plane.order(&name, command(group, node)).await?;
            plane.group(&name).ok_or_else(|| Problem::no_group(&name))
        }
        .boxed()
    }

    async fn order_failover(&self, name: String, order: view::FailoverOrder) -> Result<view::FailoverReport, Problem> {
        let group = self.known(&name)?;
        let bad = |_| Problem::invalid("candidate", "a node is named host:port");
        let candidate: Option<NodeKey> = order.candidate.map(|node| node.parse().map_err(bad)).transpose()?;
        let began = self.clock.now();
        let order =
            Order::Failover { group: group.clone(), candidate, force: order.force, accept_loss: order.accept_loss };
        self.orders.carry_out(order).await.map_err(|why| problem(&name, why))?;
        let limit =
            self.driver.view().registry.group(&group).map_or(FAILOVER_MOST, |group| group.settings.failover_timeout());
        let limit = limit.min(FAILOVER_MOST);
        match timeout(limit, self.follow(&group, began)).await {
            Ok(report) => report,
            Err(_) => Err(Problem::TimedOut { seconds: limit.as_secs() }),
        }
    }

    /// Follows the failover that was just committed until its master is published or it is aborted.
    async fn follow(&self, name: &GroupName, began: Duration) -> Result<view::FailoverReport, Problem> {
        let mut view = self.driver.watch();
        let mut claimed: Option<Epoch> = None;
        let mut paused_at: Option<Duration> = None;
        loop {
            let registry = view.borrow_and_update().registry.clone();
            let group = registry.group(name).ok_or_else(|| Problem::no_group(name.as_str()))?;
            let epoch = *claimed.get_or_insert(group.claimed);
            let now = self.clock.now();
            if group.epoch >= epoch {
                let paused = paused_at.map_or(Duration::ZERO, |since| now.saturating_sub(since));
                return Ok(report(name, group, now.saturating_sub(began), paused));
            }
            match group.failover.as_ref().filter(|failover| failover.epoch == epoch) {
                None => return Err(Problem::Aborted { group: name.to_string(), reason: self.why_aborted(name) }),
                Some(Failover { phase: Phase::Collecting, cause: Cause::Planned, .. }) => {
                    paused_at.get_or_insert(now);
                }
                Some(_) => {}
            }
            if view.changed().await.is_err() {
                return Err(Problem::NoQuorum);
            }
        }
    }

    /// The newest abort in the history.
    fn why_aborted(&self, name: &GroupName) -> String {
        let registry = self.driver.view().registry;
        let aborts = |event: &&quorate_registry::Event| {
            event.group.as_ref() == Some(name) && event.name.starts_with("-failover-abort")
        };
        registry.history.iter().rev().find(aborts).map_or("it was given up".into(), |event| event.name.clone())
    }

    fn known(&self, name: &str) -> Result<GroupName, Problem> {
        let group: GroupName = name.parse().map_err(|_| Problem::no_group(name))?;
        match self.driver.view().registry.group(&group) {
            Some(_) => Ok(group),
            None => Err(Problem::no_group(name)),
        }
    }
}

impl ControlPlane for Plane {
    fn groups(&self) -> Vec<view::Group> {
        self.scene(|scene| scene.groups())
    }

    fn group(&self, name: &str) -> Option<view::Group> {
        self.scene(|scene| scene.group(name))
    }

    fn sentinels(&self) -> Vec<view::Sentinel> {
        self.scene(|scene| scene.sentinels())
    }

    fn standing(&self) -> Standing {
        let status = self.driver.view().status;
        Standing {
            term: status.term.0,
            leader: status.leader.map_or(0, |id| id.0),
            raft_id: status.id.0,
            applied: status.applied.0,
        }
    }

    fn confirm(&self) -> Outcome<Standing> {
        let plane = self.clone();
        async move {
            match timeout(CONFIRM, plane.driver.read()).await {
                Ok(Ok(_)) => Ok(plane.standing()),
                _ => Err(Problem::NoQuorum),
            }
        }
        .boxed()
    }

    fn history(&self, group: Option<&str>, limit: usize) -> Vec<view::Event> {
        let registry = self.driver.view().registry;
        let wanted = |event: &&quorate_registry::Event| {
            group.is_none_or(|group| event.group.as_ref().is_some_and(|of| of.as_str() == group))
        };
        registry.history.iter().rev().filter(wanted).take(limit).map(event_view).collect()
    }

    fn watch(&self, from: Option<u64>) -> Result<BoxStream<'static, Result<view::Event, Problem>>, Problem> {
        // Subscribed before the history is read: an event is in one of them, or in both and then known by its index.
        let live = self.driver.events();
        let registry = self.driver.view().registry;
        let past: Vec<view::Event> = match from {
            None => Vec::new(),
            Some(from) => {
                let since = registry.history.since(from).map_err(|gap| Problem::Gap { oldest: gap.oldest })?;
                since.map(event_view).collect()
            }
        };
        let shown = past.last().map_or(0, |event| event.index);
        let least = from.unwrap_or(0);
        let live = stream::unfold(Some((live, self.driver.clone())), move |state| async move {
            let (mut live, driver) = state?;
            loop {
                match live.recv().await {
                    Ok(event) if event.index == 0 || (event.index > shown && event.index >= least) => {
                        return Some((Ok(event_view(&event)), Some((live, driver))));
                    }
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        let oldest = driver.view().registry.history.iter().next().map_or(0, |event| event.index);
                        return Some((Err(Problem::Gap { oldest }), None));
                    }
                }
            }
        });
        Ok(stream::iter(past.into_iter().map(Ok)).chain(live).boxed())
    }

    fn failover(&self, group: &str, order: view::FailoverOrder) -> Outcome<view::FailoverReport> {
        let (plane, name) = (self.clone(), group.to_owned());
        async move { plane.order_failover(name, order).await }.boxed()
    }

    fn monitor(&self, order: view::MonitorOrder) -> Outcome<view::Group> {
        let plane = self.clone();
        async move {
            let group: GroupName = order.name.parse().map_err(|why| Problem::invalid("name", format!("{why}")))?;
            let master =
                NodeKey::new(&order.host, order.port).map_err(|why| Problem::invalid("host", why.to_string()))?;
            let node = |name: &String| match name.parse() {
                Ok(node) => Ok(NodeSpec { node, tags: vec![] }),
                Err(why) => Err(Problem::invalid("nodes", format!("{name}: {why}"))),
            };
            let nodes = order.nodes.iter().map(node).collect::<Result<Vec<NodeSpec>, Problem>>()?;
            let settings = Settings { quorum: order.quorum, ..Settings::default() };
            plane.order(&order.name, Command::MonitorGroup { group, master, nodes, settings }).await?;
            plane.group(&order.name).ok_or_else(|| Problem::no_group(&order.name))
        }
        .boxed()
    }

    fn remove(&self, group: &str) -> Outcome<()> {
        let (plane, name) = (self.clone(), group.to_owned());
        async move {
            let group = name.parse().map_err(|_| Problem::no_group(&name))?;
            plane.order(&name, Command::RemoveGroup { group }).await
        }
        .boxed()
    }

    fn set(&self, group: &str, settings: BTreeMap<String, String>) -> Outcome<view::Group> {
        let (plane, name) = (self.clone(), group.to_owned());
        async move {
            let group = name.parse().map_err(|_| Problem::no_group(&name))?;
            let changes: Vec<(String, String)> = settings.into_iter().collect();
            plane.order(&name, Command::SetGroup { group, changes }).await?;
            plane.group(&name).ok_or_else(|| Problem::no_group(&name))
        }
        .boxed()
    }

    fn add_node(&self, group: &str, node: &str) -> Outcome<view::Group> {
        self.order_node(group, node, |group, node| Command::NodeAdded { group, node: NodeSpec { node, tags: vec![] } })
    }

    fn remove_node(&self, group: &str, node: &str) -> Outcome<view::Group> {
        self.order_node(group, node, |group, node| Command::NodeRemoved { group, node })
    }

    fn remove_sentinel(&self, id: &str) -> Outcome<()> {
        let (plane, sentinel_id) = (self.clone(), id.to_owned());
        async move {
            let order = Order::RemoveSentinel { sentinel_id: sentinel_id.clone() };
            plane.orders.carry_out(order).await.map(drop).map_err(|why| problem(&sentinel_id, why))
        }
        .boxed()
    }
}

impl Tower for Plane {
    fn my_id(&self) -> String {
        self.sentinel_id.to_string()
    }

    fn facts(&self, group: &str) -> Option<GroupFacts> {
        self.scene(|scene| scene.facts(group))
    }

    fn all_facts(&self) -> Vec<GroupFacts> {
        self.scene(|scene| scene.all_facts())
    }

    fn shut_down(&self) {
        self.quit.notify_one();
    }
}

fn report(name: &GroupName, group: &Group, took: Duration, paused: Duration) -> view::FailoverReport {
    let master = view::Master {
        group: name.to_string(),
        host: group.master.host().to_owned(),
        port: group.master.port(),
        epoch: group.epoch.0,
    };
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    view::FailoverReport { master, took_ms: ms(took), paused_ms: ms(paused) }
}

fn problem(group: &str, why: Refusal) -> Problem {
    match why {
        Refusal::NoSuchGroup => Problem::no_group(group),
        Refusal::NoSuchSentinel => Problem::NotFound { what: "sentinel", name: group.to_owned() },
        Refusal::InProgress => Problem::InProgress { group: group.to_owned() },
        Refusal::NoGoodReplica => Problem::NoCandidate { group: group.to_owned() },
        Refusal::Invalid(why) => Problem::invalid("settings", why),
        Refusal::NoQuorum | Refusal::NotLeader => Problem::NoQuorum,
        Refusal::Unknown => Problem::TimedOut { seconds: PATIENCE.as_secs() },
        why @ (Refusal::Duplicate | Refusal::Conflict(_) | Refusal::Unchanged) => Problem::Conflict(why.to_string()),
    }
}
