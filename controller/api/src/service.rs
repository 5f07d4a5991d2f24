//! The one layer under both fronts: parses what was asked, confirms that it may be answered, and answers.
//!
//! Reads are linearizable: each awaits a confirmation that this sentinel's state is as new as any committed write, so a
//! sentinel cut off from the others says so instead of answering from memory (I14). Health, metrics and the list of
//! sentinels answer without it, for they are what an operator looks at when there is no quorum.

use std::{collections::BTreeMap, sync::Arc};

use futures::stream::BoxStream;

use crate::{
    plane::{ControlPlane, Standing},
    problem::Problem,
    view::{Event, FailoverOrder, FailoverReport, Group, Master, MonitorOrder, Node, Sentinel},
};

/// How many history entries an answer holds when the request names no limit.
pub const HISTORY_DEFAULT: usize = 100;
/// How many history entries an answer holds at the most.
pub const HISTORY_MOST: usize = 1000;

/// What a load balancer asks of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleCheck {
    /// Is it the group's master, online?
    Primary,
    /// Is it a replica, online and with its link up?
    Replica,
}

/// The API's service layer.
#[derive(Clone)]
pub struct Service {
    plane: Arc<dyn ControlPlane>,
}

impl Service {
    /// A service layer over a control plane.
    pub fn new(plane: Arc<dyn ControlPlane>) -> Self {
        Self { plane }
    }

    /// Every group.
    pub async fn groups(&self) -> Result<Vec<Group>, Problem> {
        self.plane.confirm().await?;
        Ok(self.plane.groups())
    }

    /// One group.
    pub async fn group(&self, name: &str) -> Result<Group, Problem> {
        self.plane.confirm().await?;
        self.plane.group(name).ok_or_else(|| Problem::no_group(name))
    }

    /// A group's master.
    pub async fn master(&self, name: &str) -> Result<Master, Problem> {
        Ok(self.group(name).await?.master)
    }

    /// A group's nodes and its epoch.
    pub async fn nodes(&self, name: &str) -> Result<(Vec<Node>, u64), Problem> {
        let group = self.group(name).await?;
        Ok((group.nodes, group.epoch))
    }

    /// One node of a group.
    pub async fn node(&self, group: &str, node: &str) -> Result<Node, Problem> {
        let (nodes, _) = self.nodes(group).await?;
        nodes
            .into_iter()
            .find(|n| n.name == node)
            .ok_or_else(|| Problem::NotFound { what: "node", name: node.to_owned() })
    }

    /// Does a node have the role that a load balancer asks for, now?
    pub async fn has_role(&self, group: &str, node: &str, check: RoleCheck) -> Result<(Node, bool), Problem> {
        let node = self.node(group, node).await?;
        let online = node.health == crate::view::Health::Online;
        let fits = match check {
            RoleCheck::Primary => node.role == "master" && node.reported_role == "master",
            RoleCheck::Replica => node.role == "replica" && node.link_up,
        };
        Ok((node, online && fits))
    }

    /// Every sentinel. Answers without a quorum.
    pub fn sentinels(&self) -> (Vec<Sentinel>, u64) {
        (self.plane.sentinels(), self.plane.standing().term)
    }

    /// Committed events, newest first.
    pub async fn history(&self, group: Option<&str>, limit: usize) -> Result<Vec<Event>, Problem> {
        let limit = match limit {
            0 => HISTORY_DEFAULT,
            n if n <= HISTORY_MOST => n,
            n => return Err(Problem::invalid("limit", format!("{n} is more than {HISTORY_MOST}"))),
        };
        self.plane.confirm().await?;
        if let Some(name) = group
            && self.plane.group(name).is_none()
        {
            return Err(Problem::no_group(name));
        }
        Ok(self.plane.history(group, limit))
    }

    /// Events from an index on (0: from now on), of one group or of all.
    pub fn watch(
        &self,
        group: Option<String>,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Event, Problem>>, Problem> {
        use futures::StreamExt;
        let events = self.plane.watch((from > 0).then_some(from))?;
        Ok(match group {
            None => events,
            Some(group) => {
                events.filter(move |e| futures::future::ready(e.as_ref().map_or(true, |e| e.group == group))).boxed()
            }
        })
    }

    /// A planned failover: parsed here, carried out by the leader.
    pub async fn failover(&self, group: &str, order: FailoverOrder) -> Result<FailoverReport, Problem> {
        let order = FailoverOrder { candidate: order.candidate.filter(|c| !c.is_empty()), ..order };
        let found = self.group(group).await?;
        if let Some(candidate) = &order.candidate {
            let Some(node) = found.nodes.iter().find(|n| n.name == *candidate) else {
                let known: Vec<_> = found.nodes.iter().map(|n| n.name.as_str()).collect();
                let reason = format!("'{candidate}' is not a node of group '{group}', which has {}", known.join(", "));
                return Err(Problem::invalid("candidate", reason));
            };
            if node.role == "master" {
                return Err(Problem::invalid("candidate", format!("'{candidate}' is the master already")));
            }
        }
        self.plane.failover(group, order).await
    }

    /// Starts to monitor a group.
    pub async fn monitor(&self, order: MonitorOrder) -> Result<Group, Problem> {
        if order.name.is_empty() || !order.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            return Err(Problem::invalid("name", "letters, digits, '-', '_' and '.' only"));
        }
        if order.host.is_empty() {
            return Err(Problem::invalid("host", "is empty"));
        }
        if order.port == 0 {
            return Err(Problem::invalid("port", "must be 1 to 65535"));
        }
        if order.quorum == 0 {
            return Err(Problem::invalid("quorum", "must be at least 1"));
        }
        if let Some(node) = order.nodes.iter().find(|node| !is_address(node)) {
            return Err(Problem::invalid("nodes", format!("'{node}' is not host:port")));
        }
        self.plane.monitor(order).await
    }

    /// Stops monitoring a group.
    pub async fn remove(&self, group: &str) -> Result<(), Problem> {
        self.group(group).await?;
        self.plane.remove(group).await
    }

    /// Changes a group's settings.
    pub async fn set(&self, group: &str, settings: BTreeMap<String, String>) -> Result<Group, Problem> {
        if settings.is_empty() {
            return Err(Problem::invalid("settings", "names no setting"));
        }
        self.group(group).await?;
        self.plane.set(group, settings).await
    }

    /// Lets a node join a group.
    pub async fn add_node(&self, group: &str, node: &str) -> Result<Group, Problem> {
        if !is_address(node) {
            return Err(Problem::invalid("node", format!("'{node}' is not host:port")));
        }
        let found = self.group(group).await?;
        if found.nodes.iter().any(|known| known.name == node && !known.leaving) {
            return Err(Problem::Conflict(format!("{node} is a node of group '{group}' already")));
        }
        self.plane.add_node(group, node).await
    }

    /// Has a replica leave its group.
    pub async fn remove_node(&self, group: &str, node: &str) -> Result<Group, Problem> {
        if self.node(group, node).await?.role == "master" {
            return Err(Problem::Conflict(format!("{node} is the master: fail over to another node first")));
        }
        self.plane.remove_node(group, node).await
    }

    /// Has a sentinel leave.
    pub async fn remove_sentinel(&self, id: &str) -> Result<(), Problem> {
        self.plane.confirm().await?;
        if !self.plane.sentinels().iter().any(|sentinel| sentinel.id == id) {
            return Err(Problem::NotFound { what: "sentinel", name: id.to_owned() });
        }
        self.plane.remove_sentinel(id).await
    }

    /// Where this sentinel stands, without asking anyone.
    pub fn standing(&self) -> Standing {
        self.plane.standing()
    }

    /// Is there a quorum?
    pub async fn confirm(&self) -> Result<Standing, Problem> {
        self.plane.confirm().await
    }

    /// What this sentinel has applied, unconfirmed: for metrics.
    pub fn groups_unconfirmed(&self) -> Vec<Group> {
        self.plane.groups()
    }
}

/// `host:port`.
fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}
