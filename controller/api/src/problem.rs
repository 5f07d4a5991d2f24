//! Why a request was not served: one enum, told to HTTP clients as a JSON problem and to gRPC clients as a status.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

/// Every way in which the API refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The request itself is wrong.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field, parameter or header at fault.
        field: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// No such group, node or route.
    #[error("no such {what}: {name}")]
    NotFound {
        /// `group`, `node` or `route`.
        what: &'static str,
        /// The name that was asked for.
        name: String,
    },
    /// The secret is configured and was not given, or is wrong.
    #[error("a valid secret is required: send it as 'Authorization: Bearer <secret>'")]
    Unauthorized,
    /// This sentinel cannot reach a majority of the sentinels: it does not answer from memory (I14).
    #[error("this sentinel has no quorum: a majority of the sentinels cannot be reached")]
    NoQuorum,
    /// A failover of the group is already running.
    #[error("a failover of group '{group}' is already in progress")]
    InProgress {
        /// The group's name.
        group: String,
    },
    /// There is no replica that may be promoted.
    #[error("no suitable replica to promote in group '{group}'")]
    NoCandidate {
        /// The group's name.
        group: String,
    },
    /// The group cannot take this request in the state it is in.
    #[error("{0}")]
    Conflict(String),
    /// The watched index is older than what the history keeps.
    #[error("events before index {oldest} are no longer kept")]
    Gap {
        /// The oldest index that can still be read.
        oldest: u64,
    },
    /// It was tried and did not succeed.
    #[error("failover of group '{group}' was aborted: {reason}")]
    Aborted {
        /// The group's name.
        group: String,
        /// Why, as committed in the history.
        reason: String,
    },
    /// No outcome within the deadline; it may still happen.
    #[error("no outcome within {seconds} s: the request may still be carried out")]
    TimedOut {
        /// The deadline, in seconds.
        seconds: u64,
    },
}

/// The body of every refusal over HTTP, after RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemBody {
    /// A stable word for programs, such as `no-quorum`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status once more.
    pub status: u16,
    /// One sentence for people.
    pub detail: String,
    /// The field at fault, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong with the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Problem {
    /// Shorthand for [`Problem::Invalid`].
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }

    /// Shorthand for an unknown group.
    pub fn no_group(name: impl Into<String>) -> Self {
        Self::NotFound { what: "group", name: name.into() }
    }

    /// The stable word, the HTTP status and the gRPC code of each refusal.
    fn codes(&self) -> (&'static str, StatusCode, tonic::Code) {
        use tonic::Code;
        match self {
            Self::Invalid { .. } => ("invalid", StatusCode::BAD_REQUEST, Code::InvalidArgument),
            Self::NotFound { .. } => ("not-found", StatusCode::NOT_FOUND, Code::NotFound),
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED, Code::Unauthenticated),
            Self::NoQuorum => ("no-quorum", StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
            Self::InProgress { .. } => ("in-progress", StatusCode::CONFLICT, Code::AlreadyExists),
            Self::NoCandidate { .. } => ("no-candidate", StatusCode::CONFLICT, Code::FailedPrecondition),
            Self::Conflict(_) => ("conflict", StatusCode::CONFLICT, Code::FailedPrecondition),
            Self::Gap { .. } => ("gap", StatusCode::GONE, Code::OutOfRange),
            Self::Aborted { .. } => ("aborted", StatusCode::CONFLICT, Code::Aborted),
            Self::TimedOut { .. } => ("timed-out", StatusCode::GATEWAY_TIMEOUT, Code::DeadlineExceeded),
        }
    }

    /// The HTTP body.
    pub fn body(&self) -> ProblemBody {
        let (kind, status, _) = self.codes();
        let (field, reason) = match self {
            Self::Invalid { field, reason } => (Some(field.clone()), Some(reason.clone())),
            _ => (None, None),
        };
        ProblemBody { kind: kind.to_owned(), status: status.as_u16(), detail: self.to_string(), field, reason }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (_, status, _) = self.codes();
        (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(self.body())).into_response()
    }
}

/// Metadata key of the stable word in a gRPC status.
pub const PROBLEM_KEY: &str = "quorate-problem";
/// Metadata key of the field at fault in a gRPC status.
pub const FIELD_KEY: &str = "quorate-field";

impl From<Problem> for tonic::Status {
    fn from(problem: Problem) -> Self {
        let (kind, _, code) = problem.codes();
        let mut status = Self::new(code, problem.to_string());
        status.metadata_mut().insert(PROBLEM_KEY, tonic::metadata::MetadataValue::from_static(kind));
        if let Problem::Invalid { field, .. } = &problem
            && let Ok(value) = field.parse()
        {
            status.metadata_mut().insert(FIELD_KEY, value);
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_the_same_over_http_and_grpc() {
        let cases = [
            (Problem::invalid("candidate", "not host:port"), 400, tonic::Code::InvalidArgument, "invalid"),
            (Problem::no_group("x"), 404, tonic::Code::NotFound, "not-found"),
            (Problem::NoQuorum, 503, tonic::Code::Unavailable, "no-quorum"),
            (Problem::Gap { oldest: 7 }, 410, tonic::Code::OutOfRange, "gap"),
            (Problem::TimedOut { seconds: 3 }, 504, tonic::Code::DeadlineExceeded, "timed-out"),
        ];
        for (problem, http, grpc, kind) in cases {
            let body = problem.body();
            assert_eq!((body.status, body.kind.as_str()), (http, kind));
            assert_eq!(body.detail, problem.to_string());
            let status = tonic::Status::from(problem);
            assert_eq!((status.code(), status.message()), (grpc, body.detail.as_str()));
            assert_eq!(status.metadata().get(PROBLEM_KEY).and_then(|v| v.to_str().ok()), Some(kind));
        }
    }

    #[test]
    fn an_invalid_field_is_named() {
        let body = Problem::invalid("candidate", "not host:port").body();
        assert_eq!((body.field.as_deref(), body.reason.as_deref()), (Some("candidate"), Some("not host:port")));
    }
}
