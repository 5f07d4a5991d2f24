//! Bodies and queries, refused with the field and the reason.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// Larger bodies are refused: the longest order is a few settings.
const BODY_MOST: usize = 64 * 1024;

/// A JSON body; an empty one reads as `{}`.
pub(super) struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|e| Problem::invalid("body", format!("could not be read: {e}")))?;
        if bytes.len() > BODY_MOST {
            return Err(Problem::invalid("body", format!("is longer than {BODY_MOST} bytes")));
        }
        let text: &[u8] = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { &bytes };
        serde_json::from_slice(text).map(Body).map_err(|e| Problem::invalid(field_of(&e.to_string()), e.to_string()))
    }
}

/// serde names the field between backquotes (``unknown field `x` ``, ``missing field `x` ``); otherwise it is the body.
fn field_of(message: &str) -> String {
    match message.split('`').nth(1) {
        Some(field) if message.contains("field `") => field.to_owned(),
        _ => "body".to_owned(),
    }
}

/// Query parameters.
pub(super) struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        axum::extract::Query::<T>::from_request_parts(parts, state).await.map(|q| Self(q.0)).map_err(|e| {
            let message = e.body_text();
            let message = message.strip_prefix("Failed to deserialize query string: ").unwrap_or(&message);
            let (field, reason) = message.split_once(": ").unwrap_or(("query", message));
            Problem::invalid(field, reason)
        })
    }
}
