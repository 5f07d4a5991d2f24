//! Performs the leader's effects: over the agent for our own nodes, over RESP for stock ones. Each has a deadline, and each
//! ends in an outcome, whatever the node does.

mod stock;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use quorate_registry::sights::NodeFacts;
use quorate_registry::steering::Failure;
use quorate_registry::{Effect, Epoch, NodeKey, Order, Reach, Registry};
use quorate_rpc::v1::{self, agent_client::AgentClient};
use tokio::time::{Instant, timeout_at};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::nodes::Hands;
use crate::probe::{MAX_REPORT, endpoint};
use crate::wire::{authorized, config_to_wire, facts_of_report};

/// Tells nodes what was decided: the leader's hands. Cheap to clone; connections to agents are kept and shared.
#[derive(Clone, Default)]
pub struct Messenger {
    secret: Option<Arc<str>>,
    channels: Arc<Mutex<BTreeMap<(NodeKey, u16), Channel>>>,
}

impl Hands for Messenger {
    fn carry_out(&self, effect: Effect, registry: Arc<Registry>) -> BoxFuture<'static, Result<NodeFacts, Failure>> {
        let messenger = self.clone();
        Box::pin(async move {
            messenger.forget_strangers(&registry);
            let settings = registry.group(&effect.group).map(|group| group.settings.clone()).unwrap_or_default();
            let deadline = Instant::now() + effect.within;
            let told = async {
                match effect.reach {
                    Reach::Agent(port) => messenger.tell_agent(port, &effect, deadline).await,
                    Reach::Stock => stock::tell(&effect, &settings, deadline).await,
                }
            };
            let result = timeout_at(deadline, told).await.unwrap_or(Err(Failure::Timeout));
            if let Err(failure) = &result {
                let (group, node, order) = (&effect.group, &effect.node, &effect.order);
                tracing::debug!(%group, %node, ?order, %failure, "an order was not carried out");
            }
            result
        })
    }
}

impl Messenger {
    /// `secret` is what the agents ask for.
    pub fn new(secret: Option<Arc<str>>) -> Self {
        Self { secret, channels: Arc::default() }
    }

    /// Connections to nodes that no group has are closed: keeps them as bounded as the registry.
    fn forget_strangers(&self, registry: &Registry) {
        let known = |node: &NodeKey| registry.groups.values().any(|group| group.nodes.contains_key(node));
        self.channels.lock().expect("no holder panics").retain(|(node, _), _| known(node));
    }

    fn client(&self, node: &NodeKey, port: u16) -> Result<AgentClient<Channel>, Failure> {
        let mut channels = self.channels.lock().expect("no holder panics");
        let channel = match channels.get(&(node.clone(), port)) {
            Some(channel) => channel.clone(),
            None => {
                let endpoint = endpoint(node.host(), port)
                    .ok_or_else(|| Failure::Unreachable("its host name makes no URI".into()))?;
                let channel = endpoint.connect_lazy();
                channels.insert((node.clone(), port), channel.clone());
                channel
            }
        };
        Ok(AgentClient::new(channel).max_decoding_message_size(MAX_REPORT))
    }

    async fn tell_agent(&self, port: u16, effect: &Effect, deadline: Instant) -> Result<NodeFacts, Failure> {
        let mut client = self.client(&effect.node, port)?;
        match self.call(&mut client, effect, deadline).await {
            Ok(report) => facts_of_report(report, port, Vec::new())
                .ok_or_else(|| Failure::Error("the agent's report is malformed".into())),
            Err(status) if status.code() == Code::FailedPrecondition => {
                // What it promised is in its report, not in its refusal.
                let describe = authorized(self.secret.as_deref(), v1::DescribeRequest {});
                let promised = client.describe(describe).await.map(|report| report.into_inner().promised_epoch);
                match promised.map(Epoch) {
                    Ok(promised) if promised > effect.epoch => Err(Failure::Refused { promised }),
                    _ => Err(Failure::Error(status.message().to_owned())),
                }
            }
            Err(status) => Err(failure(&status)),
        }
    }

    async fn call(
        &self,
        client: &mut AgentClient<Channel>,
        effect: &Effect,
        deadline: Instant,
    ) -> Result<v1::NodeReport, Status> {
        let secret = self.secret.as_deref();
        let (group, epoch) = (effect.group.to_string(), effect.epoch.0);
        let config = || config_to_wire(&effect.config);
        let assign = |role: v1::NodeRole, master: Option<&NodeKey>, lease: Duration| v1::AssignRequest {
            group: effect.group.to_string(),
            epoch,
            role: role.into(),
            master_host: master.map(|m| m.host().to_owned()).unwrap_or_default(),
            master_port: master.map_or(0, |m| m.port().into()),
            config: Some(config()),
            lease_ms: millis(lease),
        };
        let response = match &effect.order {
            Order::Promise => client.promise(authorized(secret, v1::PromiseRequest { group, epoch })).await?,
            Order::AssignMaster { lease } => {
                client.assign(authorized(secret, assign(v1::NodeRole::Master, None, *lease))).await?
            }
            Order::AssignReplica { master } => {
                client.assign(authorized(secret, assign(v1::NodeRole::Replica, Some(master), Duration::ZERO))).await?
            }
            Order::Pause { limit } => {
                let timeout_ms = millis(*limit);
                client.pause(authorized(secret, v1::PauseRequest { group, epoch, timeout_ms })).await?
            }
            Order::Resume => client.resume(authorized(secret, v1::ResumeRequest { group, epoch })).await?,
            Order::Configure { .. } => {
                let request = v1::ConfigureRequest { group, epoch, config: Some(config()) };
                client.configure(authorized(secret, request)).await?
            }
            Order::Grant { renewal, lease } => {
                let request = v1::GrantRequest { group, epoch, renewal: *renewal, lease_ms: millis(*lease) };
                client.grant(authorized(secret, request)).await?
            }
            Order::CatchUp { replid, offset } => {
                // The node gives up before we do, so that its answer says how far it came.
                let left = deadline.saturating_duration_since(Instant::now());
                let timeout_ms = millis(left.saturating_sub(left / 5));
                let request = v1::CatchUpRequest { replid: replid.clone(), offset: offset.0, timeout_ms };
                client.catch_up(authorized(secret, request)).await?
            }
        };
        Ok(response.into_inner())
    }
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// A status that is no refusal by epoch.
fn failure(status: &Status) -> Failure {
    match status.code() {
        Code::Unavailable => Failure::Unreachable(status.message().to_owned()),
        Code::DeadlineExceeded | Code::Cancelled => Failure::Timeout,
        _ => Failure::Error(status.message().to_owned()),
    }
}
