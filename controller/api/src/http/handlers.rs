//! One function a route; each documents itself for OpenAPI.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Shared,
    input::{Body, Query},
};
use crate::{
    metrics, openapi,
    problem::{Problem, ProblemBody},
    service::RoleCheck,
    view::{Event, FailoverOrder, FailoverReport, Group, Master, MonitorOrder, Node, Sentinel},
};

type Answer<T> = Result<Json<T>, Problem>;

/// Every group.
#[utoipa::path(get, path = "/v1/groups", responses((status = 200, body = Vec<Group>), (status = 503, body = ProblemBody)))]
pub(super) async fn list_groups(State(front): Shared) -> Answer<Vec<Group>> {
    Ok(Json(front.service.groups().await?))
}

/// Starts to monitor a group.
#[utoipa::path(post, path = "/v1/groups", request_body = MonitorOrder, responses(
    (status = 201, body = Group), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
    (status = 409, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn monitor_group(
    State(front): Shared,
    headers: HeaderMap,
    Body(order): Body<MonitorOrder>,
) -> Result<(StatusCode, Json<Group>), Problem> {
    front.secret.check(&headers)?;
    Ok((StatusCode::CREATED, Json(front.service.monitor(order).await?)))
}

/// One group with its nodes.
#[utoipa::path(get, path = "/v1/groups/{name}", params(("name" = String, Path)), responses(
    (status = 200, body = Group), (status = 404, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn get_group(State(front): Shared, Path(name): Path<String>) -> Answer<Group> {
    Ok(Json(front.service.group(&name).await?))
}

/// Changes a group's settings, by their names in sentinel.conf.
#[utoipa::path(patch, path = "/v1/groups/{name}", params(("name" = String, Path)), request_body = BTreeMap<String, String>, responses(
    (status = 200, body = Group), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
    (status = 404, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn set_group(
    State(front): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body(settings): Body<BTreeMap<String, String>>,
) -> Answer<Group> {
    front.secret.check(&headers)?;
    Ok(Json(front.service.set(&name, settings).await?))
}

/// Stops monitoring a group. Its nodes go on as they are.
#[utoipa::path(delete, path = "/v1/groups/{name}", params(("name" = String, Path)), responses(
    (status = 204), (status = 401, body = ProblemBody), (status = 404, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn remove_group(
    State(front): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    front.secret.check(&headers)?;
    front.service.remove(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The master's address and epoch.
#[utoipa::path(get, path = "/v1/groups/{name}/master", params(("name" = String, Path)), responses(
    (status = 200, body = Master), (status = 404, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn get_master(State(front): Shared, Path(name): Path<String>) -> Answer<Master> {
    Ok(Json(front.service.master(&name).await?))
}

/// A group's nodes, with the epoch they were read in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Nodes {
    /// The group's epoch.
    epoch: u64,
    /// The nodes, the master first.
    nodes: Vec<Node>,
}

/// The nodes of a group.
#[utoipa::path(get, path = "/v1/groups/{name}/nodes", params(("name" = String, Path)), responses(
    (status = 200, body = Nodes), (status = 404, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn list_nodes(State(front): Shared, Path(name): Path<String>) -> Answer<Nodes> {
    let (nodes, epoch) = front.service.nodes(&name).await?;
    Ok(Json(Nodes { epoch, nodes }))
}

/// One node.
#[utoipa::path(get, path = "/v1/groups/{name}/nodes/{node}", params(("name" = String, Path), ("node" = String, Path, description = "host:port")), responses(
    (status = 200, body = Node), (status = 404, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn get_node(State(front): Shared, Path((name, node)): Path<(String, String)>) -> Answer<Node> {
    Ok(Json(front.service.node(&name, &node).await?))
}

/// A node joins the group: a learner until it holds the data.
#[utoipa::path(post, path = "/v1/groups/{name}/nodes/{node}", params(("name" = String, Path), ("node" = String, Path, description = "host:port")), responses(
    (status = 201, body = Group), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 404, body = ProblemBody),
    (status = 409, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn add_node(
    State(front): Shared,
    Path((name, node)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<Group>), Problem> {
    front.secret.check(&headers)?;
    Ok((StatusCode::CREATED, Json(front.service.add_node(&name, &node).await?)))
}

/// A replica leaves the group, dead or alive: its vote first, then the node.
#[utoipa::path(delete, path = "/v1/groups/{name}/nodes/{node}", params(("name" = String, Path), ("node" = String, Path, description = "host:port")), responses(
    (status = 200, body = Group), (status = 401, body = ProblemBody), (status = 404, body = ProblemBody),
    (status = 409, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn remove_node(
    State(front): Shared,
    Path((name, node)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer<Group> {
    front.secret.check(&headers)?;
    Ok(Json(front.service.remove_node(&name, &node).await?))
}

/// Is the node the group's master? 200 when it is and answers, 503 otherwise: for load balancers.
#[utoipa::path(get, path = "/v1/groups/{name}/nodes/{node}/primary", params(("name" = String, Path), ("node" = String, Path, description = "host:port")), responses(
    (status = 200, body = Node), (status = 404, body = ProblemBody), (status = 503, body = Node)))]
pub(super) async fn is_primary(
    state: Shared,
    path: Path<(String, String)>,
) -> Result<(StatusCode, Json<Node>), Problem> {
    role(state, path, RoleCheck::Primary).await
}

/// Is the node a replica that follows its master? 200 when it does, 503 otherwise: for load balancers.
#[utoipa::path(get, path = "/v1/groups/{name}/nodes/{node}/replica", params(("name" = String, Path), ("node" = String, Path, description = "host:port")), responses(
    (status = 200, body = Node), (status = 404, body = ProblemBody), (status = 503, body = Node)))]
pub(super) async fn is_replica(
    state: Shared,
    path: Path<(String, String)>,
) -> Result<(StatusCode, Json<Node>), Problem> {
    role(state, path, RoleCheck::Replica).await
}

async fn role(
    State(front): Shared,
    Path((name, node)): Path<(String, String)>,
    check: RoleCheck,
) -> Result<(StatusCode, Json<Node>), Problem> {
    let (node, fits) = front.service.has_role(&name, &node, check).await?;
    Ok((if fits { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(node)))
}

/// Query of the history.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryQuery {
    /// At most this many entries, newest first; 100 when absent, 1000 at the most.
    #[serde(default)]
    limit: usize,
}

/// A group's committed events, newest first.
#[utoipa::path(get, path = "/v1/groups/{name}/history", params(("name" = String, Path), HistoryQuery), responses(
    (status = 200, body = Vec<Event>), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn group_history(
    State(front): Shared,
    Path(name): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Answer<Vec<Event>> {
    Ok(Json(front.service.history(Some(&name), query.limit).await?))
}

/// The committed events of all groups, newest first.
#[utoipa::path(get, path = "/v1/history", params(HistoryQuery), responses(
    (status = 200, body = Vec<Event>), (status = 400, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn history(State(front): Shared, Query(query): Query<HistoryQuery>) -> Answer<Vec<Event>> {
    Ok(Json(front.service.history(None, query.limit).await?))
}

/// Fails over as planned: pauses writes, lets the candidate catch up, promotes it; nothing is lost.
#[utoipa::path(post, path = "/v1/groups/{name}/failover", params(("name" = String, Path)), request_body = FailoverOrder, responses(
    (status = 200, body = FailoverReport), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
    (status = 404, body = ProblemBody), (status = 409, body = ProblemBody), (status = 503, body = ProblemBody), (status = 504, body = ProblemBody)))]
pub(super) async fn failover(
    State(front): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body(order): Body<FailoverOrder>,
) -> Answer<FailoverReport> {
    front.secret.check(&headers)?;
    Ok(Json(front.service.failover(&name, order).await?))
}

/// The sentinels as the asked one sees them. Answers without a quorum.
#[utoipa::path(get, path = "/v1/sentinels", responses((status = 200, body = Vec<Sentinel>)))]
pub(super) async fn list_sentinels(State(front): Shared) -> Json<Vec<Sentinel>> {
    Json(front.service.sentinels().0)
}

/// A sentinel leaves, dead or alive, named by its id. When it comes back it hears so, and ends.
#[utoipa::path(delete, path = "/v1/sentinels/{id}", params(("id" = String, Path)), responses(
    (status = 204), (status = 401, body = ProblemBody), (status = 404, body = ProblemBody),
    (status = 409, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn remove_sentinel(
    State(front): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    front.secret.check(&headers)?;
    front.service.remove_sentinel(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", responses((status = 200, description = "OpenAPI 3.1")))]
pub(super) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi::document())
}

/// How this sentinel stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`: the process answers.
    status: String,
    /// Its Raft id.
    raft_id: u64,
    /// Raft's term.
    term: u64,
    /// The leader's Raft id; 0 when none is known.
    leader: u64,
    /// The last applied index.
    applied: u64,
}

impl From<crate::plane::Standing> for Health {
    fn from(s: crate::plane::Standing) -> Self {
        Self { status: "ok".to_owned(), raft_id: s.raft_id, term: s.term, leader: s.leader, applied: s.applied }
    }
}

/// Does this process live? Answers without a quorum.
#[utoipa::path(get, path = "/health", responses((status = 200, body = Health)))]
pub(super) async fn health(State(front): Shared) -> Json<Health> {
    Json(front.service.standing().into())
}

/// Can this sentinel answer? 503 without a quorum.
#[utoipa::path(get, path = "/ready", responses((status = 200, body = Health), (status = 503, body = ProblemBody)))]
pub(super) async fn ready(State(front): Shared) -> Answer<Health> {
    Ok(Json(front.service.confirm().await?.into()))
}

/// Metrics in the OpenMetrics text format. Answers without a quorum.
#[utoipa::path(get, path = "/metrics", responses((status = 200, description = "OpenMetrics text", content_type = "application/openmetrics-text")))]
pub(super) async fn metrics(State(front): Shared) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render(&front.service)).into_response()
}
