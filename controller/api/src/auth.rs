//! The shared secret: who lacks it is refused. HTTP reads stay open (health checks and scrapers carry none); HTTP writes
//! and every gRPC call are guarded.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use tonic::{Request, Status, service::Interceptor};

use crate::problem::Problem;

/// The configured secret, or none.
#[derive(Clone, Default)]
pub struct Secret(Option<std::sync::Arc<str>>);

impl Secret {
    /// `None` or an empty text: nothing is guarded.
    pub fn new(secret: Option<&str>) -> Self {
        Self(secret.filter(|s| !s.is_empty()).map(Into::into))
    }

    /// Does the `authorization` value carry the secret?
    fn admits(&self, authorization: Option<&str>) -> Result<(), Problem> {
        let Some(secret) = &self.0 else { return Ok(()) };
        let given = authorization.and_then(|a| a.strip_prefix("Bearer ")).unwrap_or_default();
        if same(secret.as_bytes(), given.as_bytes()) { Ok(()) } else { Err(Problem::Unauthorized) }
    }

    /// Checks an HTTP request's headers.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        self.admits(headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()))
    }
}

/// Compares without telling by its duration how much was right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
}

impl Interceptor for Secret {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        self.admits(request.metadata().get("authorization").and_then(|v| v.to_str().ok()))?;
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bearer_of_the_secret_is_admitted() {
        let guarded = Secret::new(Some("s3cret"));
        for (given, admitted) in [
            (None, false),
            (Some(""), false),
            (Some("s3cret"), false),
            (Some("Bearer s3cre"), false),
            (Some("Bearer s3crets"), false),
            (Some("Bearer s3creT"), false),
            (Some("Bearer s3cret"), true),
        ] {
            assert_eq!(guarded.admits(given).is_ok(), admitted, "{given:?}");
            assert!(Secret::new(None).admits(given).is_ok());
            assert!(Secret::new(Some("")).admits(given).is_ok());
        }
    }
}
