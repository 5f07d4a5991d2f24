//! The OpenAPI document, made from the handlers' own annotations.

use std::sync::OnceLock;

use utoipa::OpenApi;

use crate::http::handlers as h;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Quorate",
        description = "Groups, their masters, failover, history and events. Any sentinel answers; one without a quorum says so."
    ),
    paths(
        h::list_groups,
        h::monitor_group,
        h::get_group,
        h::set_group,
        h::remove_group,
        h::get_master,
        h::list_nodes,
        h::get_node,
        h::add_node,
        h::remove_node,
        h::is_primary,
        h::is_replica,
        h::group_history,
        h::failover,
        h::list_sentinels,
        h::remove_sentinel,
        h::history,
        crate::http::events::events,
        h::openapi,
        h::health,
        h::ready,
        h::metrics,
    )
)]
struct Document;

/// The document as JSON text; made once.
pub fn document() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| Document::openapi().to_pretty_json().expect("the document is plain JSON"))
}
