//! Orders to stock Redis and Valkey nodes, as their own sentinels give them: SLAVEOF with CONFIG REWRITE and CLIENT KILL in
//! one transaction, CLIENT PAUSE, INFO. Nothing here fences: see no-loss-failover, "Stock Redis and Valkey nodes".

use std::time::Duration;

use quorate_registry::sights::NodeFacts;
use quorate_registry::steering::Failure;
use quorate_registry::{Effect, NodeKey, Order, Settings};
use quorate_resp::{Value, encode_command};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::probe::{auth_command, command, parse_info};

/// INFO is a few kilobytes; more than this is no reply to anything that we ask.
const MAX_REPLY: usize = 1 << 20;

/// How often a replica that is catching up is asked where it stands.
const POLL: Duration = Duration::from_millis(5);

/// Gives the order; the node's INFO after it. The caller keeps the deadline; `CatchUp` ends a little before it.
pub(super) async fn tell(effect: &Effect, settings: &Settings, deadline: Instant) -> Result<NodeFacts, Failure> {
    let mut talk = Talk::open(&effect.node, settings).await?;
    match &effect.order {
        Order::Promise => {}
        Order::AssignMaster { .. } => talk.follow("NO", "ONE").await?,
        Order::AssignReplica { master } => {
            talk.follow(master.host(), &master.port().to_string()).await?;
            let _ = talk.ask("CLIENT", &["UNPAUSE"]).await?; // whoever it paused is refused now, not held
        }
        Order::Pause { limit } => {
            expect_ok(talk.ask("CLIENT", &["PAUSE", &limit.as_millis().to_string(), "WRITE"]).await?)?;
        }
        Order::Configure { .. } | Order::Grant { .. } => {
            return Err(Failure::Error("a stock node neither withholds replies nor keeps a lease".into()));
        }
        Order::Resume => expect_ok(talk.ask("CLIENT", &["UNPAUSE"]).await?)?,
        Order::CatchUp { offset, .. } => {
            let left = deadline.saturating_duration_since(Instant::now());
            let stop = deadline.checked_sub(left / 5).unwrap_or(deadline);
            loop {
                let facts = talk.info().await?;
                if facts.offset >= *offset || Instant::now() >= stop {
                    return Ok(facts);
                }
                sleep(POLL).await;
            }
        }
    }
    talk.info().await
}

fn unreachable(error: std::io::Error) -> Failure {
    Failure::Unreachable(error.to_string())
}

fn expect_ok(value: Value) -> Result<(), Failure> {
    match value {
        Value::Error(text) => Err(Failure::Error(text)),
        _ => Ok(()),
    }
}

/// A conversation: one command, one reply.
struct Talk<'a> {
    stream: TcpStream,
    input: Vec<u8>,
    settings: &'a Settings,
}

impl<'a> Talk<'a> {
    async fn open(node: &NodeKey, settings: &'a Settings) -> Result<Self, Failure> {
        let stream = TcpStream::connect((node.host(), node.port())).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let mut talk = Talk { stream, input: Vec::new(), settings };
        if let Some(auth) = auth_command(settings) {
            expect_ok(talk.send(&auth).await?)?;
        }
        Ok(talk)
    }

    async fn ask(&mut self, name: &str, arguments: &[&str]) -> Result<Value, Failure> {
        self.send(&command(self.settings, name, arguments)).await
    }

    async fn send(&mut self, argv: &[Vec<u8>]) -> Result<Value, Failure> {
        let argv: Vec<&[u8]> = argv.iter().map(Vec::as_slice).collect();
        let mut bytes = Vec::new();
        encode_command(&mut bytes, &argv);
        self.stream.write_all(&bytes).await.map_err(unreachable)?;
        loop {
            match Value::decode(&self.input) {
                Ok(Some((value, taken))) => {
                    self.input.drain(..taken);
                    return Ok(value);
                }
                Ok(None) if self.input.len() < MAX_REPLY => {}
                Ok(None) => return Err(Failure::Error("the reply is too long".into())),
                Err(error) => return Err(Failure::Error(error.to_string())),
            }
            if self.stream.read_buf(&mut self.input).await.map_err(unreachable)? == 0 {
                return Err(Failure::Unreachable("the connection was closed".into()));
            }
        }
    }

    async fn info(&mut self) -> Result<NodeFacts, Failure> {
        let value = self.ask("INFO", &[]).await?;
        if let Value::Error(text) = value {
            return Err(Failure::Error(text));
        }
        let text = value.bytes().and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.and_then(parse_info).ok_or_else(|| Failure::Error("INFO lacks a role or a run id".into()))
    }

    /// SLAVEOF and what goes with it, all or nothing. A node without a configuration file cannot rewrite it: only SLAVEOF's
    /// own reply counts.
    async fn follow(&mut self, host: &str, port: &str) -> Result<(), Failure> {
        expect_ok(self.ask("MULTI", &[]).await?)?;
        expect_ok(self.ask("SLAVEOF", &[host, port]).await?)?;
        for (name, arguments) in [
            ("CONFIG", ["REWRITE"].as_slice()),
            ("CLIENT", ["KILL", "TYPE", "normal"].as_slice()),
            ("CLIENT", ["KILL", "TYPE", "pubsub"].as_slice()),
        ] {
            expect_ok(self.ask(name, arguments).await?)?;
        }
        match self.ask("EXEC", &[]).await? {
            Value::Array(replies) => match replies.into_iter().next() {
                Some(Value::Error(text)) => Err(Failure::Error(text)),
                Some(_) => Ok(()),
                None => Err(Failure::Error("EXEC was empty".into())),
            },
            Value::Error(text) => Err(Failure::Error(text)),
            _ => Err(Failure::Error("EXEC was discarded".into())),
        }
    }
}
