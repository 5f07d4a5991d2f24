//! The control API over HTTP, as a plain client sees it.

use std::time::Duration;

use serde_json::Value;

/// A status and a JSON body (null where the body is none).
pub type Answer = (u16, Value);

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(30)))
        .http_status_as_error(false)
        .build()
        .into()
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, String> {
    let mut response = response.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().map_err(|error| error.to_string())?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
}

/// `GET http://127.0.0.1:port/path`.
pub fn get(port: u16, path: &str) -> Result<Answer, String> {
    answer(agent().get(format!("http://127.0.0.1:{port}{path}")).call())
}

/// `PATCH` with a JSON body.
pub fn patch(port: u16, path: &str, body: &Value) -> Result<Answer, String> {
    answer(agent().patch(format!("http://127.0.0.1:{port}{path}")).send_json(body))
}

/// `POST` with a JSON body.
pub fn post(port: u16, path: &str, body: &Value) -> Result<Answer, String> {
    answer(agent().post(format!("http://127.0.0.1:{port}{path}")).send_json(body))
}
