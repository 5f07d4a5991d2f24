//! `GET /v1/events`: events as server-sent events, resumed from an index or from the `Last-Event-ID` header.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse,
        sse::{Event as Sse, KeepAlive, Sse as Stream},
    },
};
use futures::StreamExt;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Shared, input::Query};
use crate::{problem::Problem, view::Event};

/// A comment is sent this often on a quiet stream, so that proxies keep it open and a dead client is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Query of `/v1/events`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Only this group's events.
    group: Option<String>,
    /// The first index wanted; absent: from now on, or after `Last-Event-ID`.
    from: Option<u64>,
}

/// Follows events.
#[utoipa::path(get, path = "/v1/events", params(EventsQuery), responses(
    (status = 200, description = "A stream of events; `id` is the index where there is one", content_type = "text/event-stream", body = Event),
    (status = 410, description = "The index is older than what is kept", body = crate::problem::ProblemBody)))]
pub(super) async fn events(
    State(front): Shared,
    headers: HeaderMap,
    Query(query): Query<EventsQuery>,
) -> Result<impl IntoResponse, Problem> {
    let from = match (query.from, headers.get("last-event-id")) {
        (Some(from), _) => from,
        (None, None) => 0,
        (None, Some(last)) => {
            let last = last.to_str().ok().and_then(|l| l.trim().parse::<u64>().ok());
            last.ok_or_else(|| Problem::invalid("Last-Event-ID", "is not an index"))? + 1
        }
    };
    let events = front.service.watch(query.group, from)?.map(|item| Ok::<_, Infallible>(frame(item)));
    Ok(Stream::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// An event as an SSE frame. Observed events carry no id, so that a resumed stream starts after the last committed one.
fn frame(item: Result<Event, Problem>) -> Sse {
    match item {
        Ok(event) => {
            let frame = Sse::default().event(&event.name);
            let frame = if event.index > 0 { frame.id(event.index.to_string()) } else { frame };
            frame.json_data(&event).expect("an event is plain JSON")
        }
        Err(problem) => Sse::default().event("problem").json_data(problem.body()).expect("a problem is plain JSON"),
    }
}
