//! The gRPC front: `quorate.v1.Control` over the service layer.

use futures::{StreamExt, stream::BoxStream};
use quorate_rpc::v1::{self, control_server::Control};
use tonic::{Request, Response, Status};

use crate::{
    problem::Problem,
    service::Service,
    view::{FailoverOrder, MonitorOrder},
};

/// Serves `quorate.v1.Control`.
pub struct ControlFront(pub(crate) Service);

type Answer<T> = Result<Response<T>, Status>;

/// gRPC has no optional scalars here: an empty text is "absent".
fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[tonic::async_trait]
impl Control for ControlFront {
    async fn list_groups(&self, _: Request<v1::ListGroupsRequest>) -> Answer<v1::ListGroupsReply> {
        let groups = self.0.groups().await?.into_iter().map(Into::into).collect();
        Ok(Response::new(v1::ListGroupsReply { groups }))
    }

    async fn get_group(&self, request: Request<v1::GetGroupRequest>) -> Answer<v1::Group> {
        Ok(Response::new(self.0.group(&request.get_ref().group).await?.into()))
    }

    async fn get_master(&self, request: Request<v1::GetMasterRequest>) -> Answer<v1::Master> {
        Ok(Response::new(self.0.master(&request.get_ref().group).await?.into()))
    }

    async fn list_nodes(&self, request: Request<v1::ListNodesRequest>) -> Answer<v1::ListNodesReply> {
        let (nodes, epoch) = self.0.nodes(&request.get_ref().group).await?;
        Ok(Response::new(v1::ListNodesReply { nodes: nodes.into_iter().map(Into::into).collect(), epoch }))
    }

    async fn list_sentinels(&self, _: Request<v1::ListSentinelsRequest>) -> Answer<v1::ListSentinelsReply> {
        let (sentinels, term) = self.0.sentinels();
        Ok(Response::new(v1::ListSentinelsReply { sentinels: sentinels.into_iter().map(Into::into).collect(), term }))
    }

    async fn history(&self, request: Request<v1::HistoryRequest>) -> Answer<v1::HistoryReply> {
        let v1::HistoryRequest { group, limit } = request.into_inner();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let entries = self.0.history(given(group).as_deref(), limit).await?;
        Ok(Response::new(v1::HistoryReply { entries: entries.into_iter().map(Into::into).collect() }))
    }

    type WatchStream = BoxStream<'static, Result<v1::Event, Status>>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Answer<Self::WatchStream> {
        let v1::WatchRequest { group, from_index } = request.into_inner();
        let events = self.0.watch(given(group), from_index)?;
        Ok(Response::new(events.map(|e| e.map(Into::into).map_err(Into::into)).boxed()))
    }

    async fn failover(&self, request: Request<v1::FailoverRequest>) -> Answer<v1::FailoverReply> {
        let v1::FailoverRequest { group, candidate, force, accept_loss } = request.into_inner();
        let order = FailoverOrder { candidate: given(candidate), force, accept_loss };
        Ok(Response::new(self.0.failover(&group, order).await?.into()))
    }

    async fn monitor_group(&self, request: Request<v1::MonitorGroupRequest>) -> Answer<v1::Group> {
        let v1::MonitorGroupRequest { group, host, port, quorum, nodes } = request.into_inner();
        let port = u16::try_from(port).map_err(|_| Problem::invalid("port", "must be 1 to 65535"))?;
        Ok(Response::new(self.0.monitor(MonitorOrder { name: group, host, port, quorum, nodes }).await?.into()))
    }

    async fn remove_group(&self, request: Request<v1::RemoveGroupRequest>) -> Answer<v1::RemoveGroupReply> {
        self.0.remove(&request.get_ref().group).await?;
        Ok(Response::new(v1::RemoveGroupReply {}))
    }

    async fn set_group(&self, request: Request<v1::SetGroupRequest>) -> Answer<v1::Group> {
        let v1::SetGroupRequest { group, settings } = request.into_inner();
        Ok(Response::new(self.0.set(&group, settings.into_iter().collect()).await?.into()))
    }

    async fn add_node(&self, request: Request<v1::NodeRequest>) -> Answer<v1::Group> {
        let v1::NodeRequest { group, node } = request.get_ref();
        Ok(Response::new(self.0.add_node(group, node).await?.into()))
    }

    async fn remove_node(&self, request: Request<v1::NodeRequest>) -> Answer<v1::Group> {
        let v1::NodeRequest { group, node } = request.get_ref();
        Ok(Response::new(self.0.remove_node(group, node).await?.into()))
    }

    async fn remove_sentinel(&self, request: Request<v1::RemoveSentinelRequest>) -> Answer<v1::RemoveSentinelReply> {
        self.0.remove_sentinel(&request.get_ref().id).await?;
        Ok(Response::new(v1::RemoveSentinelReply {}))
    }
}
