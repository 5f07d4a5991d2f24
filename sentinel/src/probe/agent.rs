//! Heartbeats from a node's agent: its thread answers while a slow command holds the engine, and says at once what changed.

use std::sync::Arc;
use std::time::Duration;

use quorate_rpc::v1::{HeartbeatsRequest, NodeReport, agent_client::AgentClient};
use tokio::sync::mpsc;
use tonic::transport::Endpoint;

use crate::wire::authorized;

/// A report is a few hundred bytes; a peer that sends more is not ours.
pub(crate) const MAX_REPORT: usize = 64 << 10;

const DIAL_LIMIT: Duration = Duration::from_secs(1);
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// The endpoint of an agent; `None` when the host does not make a URI.
pub(crate) fn endpoint(host: &str, port: u16) -> Option<Endpoint> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let endpoint = Endpoint::from_shared(format!("http://{host}:{port}")).ok()?;
    Some(endpoint.connect_timeout(DIAL_LIMIT).tcp_nodelay(true))
}

/// Hands on reports for as long as it is polled. The queue holds the newest few; a reader that does not keep up holds the
/// stream back.
pub(crate) async fn listen(
    host: String,
    port: u16,
    secret: Option<Arc<str>>,
    period: Duration,
    out: mpsc::Sender<NodeReport>,
) {
    let Some(endpoint) = endpoint(&host, port) else { return };
    let mut pause = MIN_PAUSE;
    loop {
        if let Ok(channel) = endpoint.connect().await {
            let mut client = AgentClient::new(channel).max_decoding_message_size(MAX_REPORT);
            let period_ms = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
            let request = authorized(secret.as_deref(), HeartbeatsRequest { period_ms });
            match client.heartbeats(request).await {
                Ok(stream) => {
                    let mut stream = stream.into_inner();
                    while let Ok(Some(report)) = stream.message().await {
                        pause = MIN_PAUSE;
                        if out.send(report).await.is_err() {
                            return;
                        }
                    }
                }
                Err(status) => tracing::debug!(host, port, %status, "an agent refuses heartbeats"),
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}
