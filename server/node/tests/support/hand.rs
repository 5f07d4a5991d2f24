//! A sentinel's hand on one node: the orders that it gives through the agent.

use std::time::{Duration, Instant};

use quorate_rpc::v1::agent_client::AgentClient;
use quorate_rpc::v1::{
    AssignRequest, CatchUpRequest, ConfigureRequest, DescribeRequest, GrantRequest, HeartbeatsRequest, NodeReport,
    NodeRole, PauseRequest, PromiseRequest, ResumeRequest, VotingConfig,
};
use tonic::Status;
use tonic::transport::Channel;

use super::{PATIENCE, Server};

/// A sentinel's hand on one node.
pub struct Hand {
    runtime: tokio::runtime::Runtime,
    agent: AgentClient<Channel>,
}

/// What an order came to.
pub type Answer = Result<NodeReport, Status>;

impl Hand {
    pub fn on(server: &Server) -> Hand {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let address = format!("http://127.0.0.1:{}", server.port + 1000);
        let deadline = Instant::now() + PATIENCE;
        let agent = loop {
            match runtime.block_on(AgentClient::connect(address.clone())) {
                Ok(agent) => break agent,
                Err(error) => assert!(Instant::now() < deadline, "the agent does not listen: {error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Hand { runtime, agent }
    }

    pub fn describe(&mut self) -> NodeReport {
        let answer = self.runtime.block_on(self.agent.describe(DescribeRequest {}));
        answer.expect("a report").into_inner()
    }

    pub fn promise(&mut self, epoch: u64) -> Answer {
        let request = PromiseRequest { group: "main".into(), epoch };
        self.runtime.block_on(self.agent.promise(request)).map(tonic::Response::into_inner)
    }

    pub fn master(&mut self, epoch: u64) -> Answer {
        self.assign(epoch, NodeRole::Master, 0)
    }

    pub fn replica_of(&mut self, epoch: u64, master: &Server) -> Answer {
        self.assign(epoch, NodeRole::Replica, master.port.into())
    }

    pub fn assign(&mut self, epoch: u64, role: NodeRole, master_port: u32) -> Answer {
        self.assign_under(None, epoch, role, master_port)
    }

    pub fn assign_under(
        &mut self,
        config: Option<VotingConfig>,
        epoch: u64,
        role: NodeRole,
        master_port: u32,
    ) -> Answer {
        let (group, master_host) = ("main".into(), "127.0.0.1".into());
        let request = AssignRequest { group, epoch, role: role.into(), master_host, master_port, config, lease_ms: 0 };
        self.runtime.block_on(self.agent.assign(request)).map(tonic::Response::into_inner)
    }

    pub fn pause(&mut self, epoch: u64, time: Duration) -> Answer {
        let request = PauseRequest { group: "main".into(), epoch, timeout_ms: time.as_millis() as u32 };
        self.runtime.block_on(self.agent.pause(request)).map(tonic::Response::into_inner)
    }

    pub fn resume(&mut self, epoch: u64) -> Answer {
        let request = ResumeRequest { group: "main".into(), epoch };
        self.runtime.block_on(self.agent.resume(request)).map(tonic::Response::into_inner)
    }

    pub fn catch_up(&mut self, to: &NodeReport) -> NodeReport {
        let request = CatchUpRequest { replid: to.replid.clone(), offset: to.offset, timeout_ms: 20_000 };
        let answer = self.runtime.block_on(self.agent.catch_up(request));
        answer.expect("a report").into_inner()
    }

    pub fn wait_until(&mut self, what: &str, mut check: impl FnMut(&NodeReport) -> bool) -> NodeReport {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let report = self.describe();
            if check(&report) {
                return report;
            }
            assert!(Instant::now() < deadline, "not {what}: {report:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn configure(&mut self, epoch: u64, config: VotingConfig) -> Answer {
        let request = ConfigureRequest { group: "main".into(), epoch, config: Some(config) };
        self.runtime.block_on(self.agent.configure(request)).map(tonic::Response::into_inner)
    }

    /// Grants the lease for a heartbeat that is asked for now.
    pub fn lease(&mut self, epoch: u64, lease: Duration) -> Answer {
        self.runtime.block_on(async {
            let mut beats = self.agent.heartbeats(HeartbeatsRequest { period_ms: 10 }).await?.into_inner();
            let beat = beats.message().await?.expect("heartbeats do not end");
            let lease_ms = lease.as_millis() as u32;
            let request = GrantRequest { group: "main".into(), epoch, renewal: beat.renewal, lease_ms };
            self.agent.grant(request).await.map(tonic::Response::into_inner)
        })
    }
}
