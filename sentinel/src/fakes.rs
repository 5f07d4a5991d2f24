//! A fake RESP node and a fake agent on loopback, for the tests of what talks to nodes.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::Stream;
use quorate_registry::{Command, Entry, GroupName, NodeKey, Registry, UnixMs, model, settings::Settings};
use quorate_resp::Value;
use quorate_rpc::v1::{self, NodeReport, agent_server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// Far beyond anything that is waited for, so that a loaded machine fails no test.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) const ID: &str = "0123456789abcdef0123456789abcdef01234567";

pub(crate) fn name() -> GroupName {
    "main".parse().expect("a word")
}

pub(crate) fn local(port: u16) -> NodeKey {
    NodeKey::new("127.0.0.1", port).expect("a port")
}

/// A registry that knows one group with these nodes, the first the master.
pub(crate) fn registry(ports: &[u16], settings: &[(&str, &str)]) -> Arc<Registry> {
    let mut registry = Registry::default();
    let nodes =
        ports.iter().map(|port| quorate_registry::command::NodeSpec { node: local(*port), tags: vec![] }).collect();
    let mut known = Settings::default();
    for (option, value) in settings {
        known.set(option, value).expect("a directive");
    }
    let command = Command::MonitorGroup { group: name(), master: local(ports[0]), nodes, settings: known };
    registry.apply(1, Entry { at: UnixMs(0), command }).expect("a new group");
    assert!(registry.groups.len() <= model::MAX_GROUPS);
    Arc::new(registry)
}

/// What a fake node answers.
#[derive(Debug, Clone)]
pub(crate) struct Manners {
    pub info: String,
    /// The bytes in answer to PING.
    pub ping: Vec<u8>,
    /// It reads, and answers nothing.
    pub silent: bool,
    /// Said in answer to SUBSCRIBE, after the confirmation.
    pub message: Option<String>,
    /// The bytes in answer to SLAVEOF within MULTI, at EXEC.
    pub slaveof: &'static str,
}

/// A RESP server that does what it is told and notes what it was asked.
pub(crate) struct FakeNode {
    pub port: u16,
    pub manners: Arc<Mutex<Manners>>,
    pub heard: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn stock_info(role: &str, offset: u64) -> String {
    format!("run_id:{ID}\r\nrole:{role}\r\nmaster_repl_offset:{offset}\r\nslave_repl_offset:{offset}\r\n")
}

impl FakeNode {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let manners = Arc::new(Mutex::new(Manners {
            info: stock_info("master", 5),
            ping: b"+PONG\r\n".to_vec(),
            silent: false,
            message: None,
            slaveof: "+OK\r\n",
        }));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(accept(listener, manners.clone(), heard.clone()));
        Self { port, manners, heard, task }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.manners.lock().expect("no holder panics"));
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("no holder panics").clone()
    }

    /// The process dies: its connections break and new ones are refused.
    pub(crate) async fn kill(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

async fn accept(listener: TcpListener, manners: Arc<Mutex<Manners>>, heard: Arc<Mutex<Vec<String>>>) {
    let mut talks = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("a listener");
        talks.spawn(talk(stream, manners.clone(), heard.clone()));
    }
}

async fn talk(mut stream: TcpStream, manners: Arc<Mutex<Manners>>, heard: Arc<Mutex<Vec<String>>>) {
    let (mut input, mut queued) = (Vec::new(), None::<Vec<String>>);
    while matches!(stream.read_buf(&mut input).await, Ok(n) if n > 0) {
        while let Ok(Some((value, taken))) = Value::decode(&input) {
            input.drain(..taken);
            let words: Vec<String> = value
                .elements()
                .expect("clients send arrays")
                .iter()
                .map(|word| String::from_utf8_lossy(word.bytes().expect("of bulks")).into_owned())
                .collect();
            let line = words.join(" ");
            heard.lock().expect("no holder panics").push(line.clone());
            let manners = manners.lock().expect("no holder panics").clone();
            let reply = answer(&line, &manners, &mut queued);
            if !manners.silent && stream.write_all(&reply).await.is_err() {
                return;
            }
        }
    }
}

fn answer(line: &str, manners: &Manners, queued: &mut Option<Vec<String>>) -> Vec<u8> {
    let word = line.split(' ').next().unwrap_or_default();
    match (word, queued.as_mut()) {
        ("MULTI", None) => *queued = Some(Vec::new()),
        ("EXEC", Some(_)) => {
            let count = queued.take().map_or(0, |queued| queued.len());
            let rest = "+OK\r\n".repeat(count.saturating_sub(1));
            return format!("*{count}\r\n{}{rest}", manners.slaveof).into_bytes();
        }
        (_, Some(queued)) => {
            queued.push(line.to_owned());
            return b"+QUEUED\r\n".to_vec();
        }
        ("PING", None) => return manners.ping.clone(),
        ("INFO", None) => return format!("${}\r\n{}\r\n", manners.info.len(), manners.info).into_bytes(),
        ("SUBSCRIBE", None) => {
            let channel = crate::hello::CHANNEL;
            let mut reply = format!("*3\r\n$9\r\nsubscribe\r\n${}\r\n{channel}\r\n:1\r\n", channel.len());
            if let Some(text) = &manners.message {
                let message = format!("${}\r\n{channel}\r\n${}\r\n{text}\r\n", channel.len(), text.len());
                reply.push_str(&format!("*3\r\n$7\r\nmessage\r\n{message}"));
            }
            return reply.into_bytes();
        }
        _ => {}
    }
    b"+OK\r\n".to_vec()
}

/// What a fake agent says and does.
#[derive(Debug, Clone, Default)]
pub(crate) struct AgentState {
    pub report: NodeReport,
    pub heard: Vec<String>,
    /// It takes calls and never answers them.
    pub hangs: bool,
}

/// A node's agent that notes what it was told, keeps the promise, and wants the secret.
#[derive(Clone)]
pub(crate) struct FakeAgent {
    pub port: u16,
    pub state: Arc<Mutex<AgentState>>,
    pub changed: Arc<tokio::sync::Notify>,
}

pub(crate) const SECRET: &str = "open sesame";

impl FakeAgent {
    pub(crate) async fn start() -> (Self, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let report = NodeReport {
            node_id: ID.into(),
            run_id: ID.into(),
            group: "main".into(),
            role: v1::NodeRole::Fenced.into(),
            replid: ID.into(),
            data_known: true,
            priority: 100,
            ..NodeReport::default()
        };
        let state = Arc::new(Mutex::new(AgentState { report, ..AgentState::default() }));
        let agent = Self { port, state, changed: Arc::default() };
        let service = agent_server::AgentServer::new(agent.clone());
        let serving = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        let task = tokio::spawn(async move { serving.await.expect("serves until it is aborted") });
        (agent, task)
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut AgentState)) {
        change(&mut self.state.lock().expect("no holder panics"));
        self.changed.notify_waiters();
    }

    async fn called<T>(
        &self,
        request: &Request<T>,
        what: String,
        epoch: Option<u64>,
        change: impl FnOnce(&mut NodeReport),
    ) -> Result<Response<NodeReport>, Status> {
        let bearer = request.metadata().get(quorate_rpc::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if bearer != Some(&format!("Bearer {SECRET}")) {
            return Err(Status::unauthenticated("the secret is wrong"));
        }
        let hangs = self.state.lock().expect("no holder panics").hangs;
        if hangs {
            std::future::pending::<()>().await;
        }
        let mut state = self.state.lock().expect("no holder panics");
        state.heard.push(what);
        let promised = state.report.promised_epoch;
        if epoch.is_some_and(|epoch| epoch < promised) {
            return Err(Status::failed_precondition("a higher epoch was promised"));
        }
        change(&mut state.report);
        Ok(Response::new(state.report.clone()))
    }
}

#[tonic::async_trait]
impl agent_server::Agent for FakeAgent {
    async fn describe(&self, request: Request<v1::DescribeRequest>) -> Result<Response<NodeReport>, Status> {
        self.called(&request, "describe".into(), None, |_| {}).await
    }

    async fn promise(&self, request: Request<v1::PromiseRequest>) -> Result<Response<NodeReport>, Status> {
        let (what, epoch) = (format!("promise {}", request.get_ref().epoch), request.get_ref().epoch);
        self.called(&request, what, Some(epoch), |report| report.promised_epoch = epoch).await
    }

    async fn assign(&self, request: Request<v1::AssignRequest>) -> Result<Response<NodeReport>, Status> {
        let asked = request.get_ref().clone();
        let what = format!("assign {} {} {}:{}", asked.epoch, asked.role, asked.master_host, asked.master_port);
        self.called(&request, what, Some(asked.epoch), |report| {
            (report.role, report.epoch, report.promised_epoch) = (asked.role, asked.epoch, asked.epoch);
        })
        .await
    }

    async fn pause(&self, request: Request<v1::PauseRequest>) -> Result<Response<NodeReport>, Status> {
        let asked = request.get_ref().clone();
        let what = format!("pause {} for {} ms", asked.epoch, asked.timeout_ms);
        self.called(&request, what, Some(asked.epoch), |report| report.paused = true).await
    }

    async fn resume(&self, request: Request<v1::ResumeRequest>) -> Result<Response<NodeReport>, Status> {
        let epoch = request.get_ref().epoch;
        self.called(&request, format!("resume {epoch}"), Some(epoch), |report| report.paused = false).await
    }

    async fn catch_up(&self, request: Request<v1::CatchUpRequest>) -> Result<Response<NodeReport>, Status> {
        let asked = request.get_ref().clone();
        let what = format!("catch up to {}", asked.offset);
        self.called(&request, what, None, |report| report.offset = asked.offset).await
    }

    async fn configure(&self, request: Request<v1::ConfigureRequest>) -> Result<Response<NodeReport>, Status> {
        let (epoch, config) = (request.get_ref().epoch, request.get_ref().config.clone().unwrap_or_default());
        let what = format!("configure {epoch} {} {} of {:?}", config.durability, config.copies, config.voters);
        self.called(&request, what, Some(epoch), |report| report.config_version = config.version).await
    }

    async fn grant(&self, request: Request<v1::GrantRequest>) -> Result<Response<NodeReport>, Status> {
        let v1::GrantRequest { epoch, renewal, lease_ms, .. } = request.get_ref().clone();
        let what = format!("grant {epoch} {renewal} for {lease_ms} ms");
        self.called(&request, what, Some(epoch), |report| report.lease_remaining_ms = lease_ms.into()).await
    }

    type HeartbeatsStream = Pin<Box<dyn Stream<Item = Result<NodeReport, Status>> + Send>>;

    async fn heartbeats(
        &self,
        request: Request<v1::HeartbeatsRequest>,
    ) -> Result<Response<Self::HeartbeatsStream>, Status> {
        let period = Duration::from_millis(request.get_ref().period_ms.into());
        self.called(&request, "heartbeats".into(), None, |_| {}).await?;
        let agent = self.clone();
        let stream = futures::stream::unfold((agent, true), move |(agent, first)| async move {
            if !first {
                let _ = tokio::time::timeout(period, agent.changed.notified()).await;
            }
            let report = agent.state.lock().expect("no holder panics").report.clone();
            Some((Ok(report), (agent, false)))
        });
        Ok(Response::new(Box::pin(stream)))
    }
}
