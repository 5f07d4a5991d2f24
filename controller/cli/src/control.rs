//! The operators' API over gRPC: tries one sentinel after another until one answers.

use std::time::Duration;

use quorate_api::problem::PROBLEM_KEY;
use quorate_rpc::v1::control_client::ControlClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::Outcome;
use crate::args::Api;

/// How long to wait for a connection; beyond this the next sentinel is tried.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// How long to wait for the answer to a question: a sentinel that stands still takes connections and says nothing.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// A connected client.
pub type Client = ControlClient<InterceptedService<Channel, Bearer>>;

/// Puts the secret into each request.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    /// A secret that cannot stand in a header is refused.
    pub fn new(secret: Option<&str>) -> Result<Self, Outcome> {
        let value = secret.filter(|secret| !secret.is_empty()).map(|secret| format!("Bearer {secret}").parse());
        let value = value
            .transpose()
            .map_err(|_| Outcome::Usage("the secret holds bytes that a header cannot carry".into()))?;
        Ok(Self(value))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert(quorate_rpc::AUTHORIZATION, value.clone());
        }
        Ok(request)
    }
}

/// Whether a request that was lost on its way may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It only reads.
    Yes,
    /// It may have been carried out: only a sentinel that certainly did nothing is passed over.
    OnlyIfRefused,
}

/// Where the sentinels are.
#[derive(Clone)]
pub struct Control {
    addresses: Vec<String>,
    bearer: Bearer,
}

impl Control {
    /// From the command line's flags.
    pub fn new(api: &Api) -> Result<Self, Outcome> {
        Ok(Self { addresses: api.api.clone(), bearer: Bearer::new(api.secret.as_deref())? })
    }

    /// Of a local group without a secret.
    pub fn of(addresses: Vec<String>) -> Self {
        Self { addresses, bearer: Bearer(None) }
    }

    /// Runs `call` against one sentinel after another until one answers with more than "unavailable".
    pub async fn call<T>(
        &self,
        again: Again,
        mut call: impl AsyncFnMut(Client) -> Result<T, Status>,
    ) -> Result<T, Outcome> {
        let mut silent = Vec::new();
        for address in &self.addresses {
            let client = match self.connect(address).await {
                Ok(client) => client,
                Err(reason) => {
                    silent.push(format!("{address}: {reason}"));
                    continue;
                }
            };
            let answer = match again {
                Again::Yes => tokio::time::timeout(ANSWER_WITHIN, call(client)).await.unwrap_or_else(|_| {
                    Err(Status::unavailable(format!("no answer within {} s", ANSWER_WITHIN.as_secs())))
                }),
                // An order may rightly take as long as it takes.
                Again::OnlyIfRefused => call(client).await,
            };
            let status = match answer {
                Ok(value) => return Ok(value),
                Err(status) => status,
            };
            let reason = status.message().to_owned();
            // A sentinel's own refusal names the problem; a broken connection does not.
            let refused = status.metadata().contains_key(PROBLEM_KEY);
            match status.code() {
                Code::Unavailable if refused || again == Again::Yes => silent.push(format!("{address}: {reason}")),
                Code::Unavailable => {
                    return Err(Outcome::Failed(format!(
                        "{address} went away: it may still be carried out, see 'quorate history'"
                    )));
                }
                Code::Unauthenticated => {
                    return Err(Outcome::Unauthorized(format!("{reason} (--secret or QUORATE_SECRET)")));
                }
                _ => return Err(Outcome::Failed(reason)),
            }
        }
        Err(Outcome::Unreachable(format!("no sentinel could answer: {}", silent.join("; "))))
    }

    async fn connect(&self, address: &str) -> Result<Client, String> {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| "not host:port".to_owned())?;
        let channel = endpoint.connect_timeout(CONNECT_WITHIN).connect().await.map_err(|error| innermost(&error))?;
        Ok(ControlClient::with_interceptor(channel, self.bearer.clone()))
    }
}

/// tonic says "transport error"; what happened is at the end of its chain.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
