//! The HTTP front: JSON over the service layer, server-sent events, role checks for load balancers.
//!
//! Reads are open; writes need the secret where one is configured. A refusal is a JSON problem that names the field.

pub mod events;
pub mod handlers;
mod input;

use axum::{
    Router,
    extract::State,
    http::{Method, Uri},
    routing::{MethodRouter, delete, get, patch, post},
};

use crate::{auth::Secret, problem::Problem, service::Service};

/// What every handler is given.
#[derive(Clone)]
pub struct Front {
    /// The service layer.
    pub(crate) service: Service,
    /// The secret that guards writes.
    pub(crate) secret: Secret,
}

/// Every route. The OpenAPI document is held against this table by a test.
fn routes() -> Vec<(Method, &'static str, MethodRouter<Front>)> {
    use handlers as h;
    vec![
        (Method::GET, "/v1/groups", get(h::list_groups)),
        (Method::POST, "/v1/groups", post(h::monitor_group)),
        (Method::GET, "/v1/groups/{name}", get(h::get_group)),
        (Method::PATCH, "/v1/groups/{name}", patch(h::set_group)),
        (Method::DELETE, "/v1/groups/{name}", delete(h::remove_group)),
        (Method::GET, "/v1/groups/{name}/master", get(h::get_master)),
        (Method::GET, "/v1/groups/{name}/nodes", get(h::list_nodes)),
        (Method::GET, "/v1/groups/{name}/nodes/{node}", get(h::get_node)),
        (Method::POST, "/v1/groups/{name}/nodes/{node}", post(h::add_node)),
        (Method::DELETE, "/v1/groups/{name}/nodes/{node}", delete(h::remove_node)),
        (Method::GET, "/v1/groups/{name}/nodes/{node}/primary", get(h::is_primary)),
        (Method::GET, "/v1/groups/{name}/nodes/{node}/replica", get(h::is_replica)),
        (Method::GET, "/v1/groups/{name}/history", get(h::group_history)),
        (Method::POST, "/v1/groups/{name}/failover", post(h::failover)),
        (Method::GET, "/v1/sentinels", get(h::list_sentinels)),
        (Method::DELETE, "/v1/sentinels/{id}", delete(h::remove_sentinel)),
        (Method::GET, "/v1/history", get(h::history)),
        (Method::GET, "/v1/events", get(events::events)),
        (Method::GET, "/v1/openapi.json", get(h::openapi)),
        (Method::GET, "/health", get(h::health)),
        (Method::GET, "/ready", get(h::ready)),
        (Method::GET, "/metrics", get(h::metrics)),
    ]
}

/// The HTTP router. Unknown paths and methods are answered with a problem.
pub(crate) fn router(service: Service, secret: Secret) -> Router {
    let mut router: Router<Front> = Router::new();
    for (_, path, route) in routes() {
        router = router.route(path, route);
    }
    router
        .fallback(async |uri: Uri| Problem::NotFound { what: "route", name: uri.path().to_owned() })
        .method_not_allowed_fallback(async |method: Method, uri: Uri| Problem::NotFound {
            what: "route",
            name: format!("{method} {}", uri.path()),
        })
        .with_state(Front { service, secret })
}

/// What handlers take their state as.
type Shared = State<Front>;

#[cfg(test)]
mod tests;
