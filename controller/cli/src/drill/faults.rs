//! What a drill breaks, and how it is mended.

use std::time::{Duration, Instant};

use quorate_rpc::v1;

use super::{DrillError, SETTLE_WITHIN, Stage};
use crate::args::Fault;
use crate::control::Again;
use crate::{Outcome, operate};

/// How long a process may take to leave after SIGTERM.
const LEAVE_WITHIN: Duration = Duration::from_secs(30);

/// How long a restarted node may take to follow the master again.
const FOLLOW_WITHIN: Duration = Duration::from_secs(30);

/// When the fault struck, and what it broke.
pub(super) struct Struck {
    pub at: Instant,
    pub damage: Damage,
}

impl Struck {
    fn new(at: Instant, damage: Damage) -> Result<Self, DrillError> {
        Ok(Self { at, damage })
    }
}

/// What has to be mended after a fault.
pub(super) enum Damage {
    /// Nothing.
    None,
    /// These processes are gone.
    Dead(Vec<String>),
    /// This node stands still.
    Still(u16),
    /// This node's network is cut.
    Cut(u16),
}

impl Fault {
    /// Its name on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Cut => "cut",
            Self::Handover => "handover",
            Self::SentinelKill => "sentinel-kill",
            Self::Rolling => "rolling",
        }
    }
}

impl Stage<'_> {
    /// Breaks the group whose master is at this port. The time is taken right before the blow.
    pub(super) fn strike(&mut self, master: u16) -> Result<Struck, DrillError> {
        let now = Instant::now();
        match self.fault {
            Fault::Kill => Struck::new(now, Damage::Dead(vec![self.kill_node(master)?])),
            Fault::Stop => {
                self.node(master)?.pause();
                Struck::new(now, Damage::Still(master))
            }
            Fault::Cut => {
                let proxy =
                    self.proxy.as_ref().ok_or_else(|| DrillError::Other("no proxy stands before the nodes".into()))?;
                proxy.cut(master);
                Struck::new(now, Damage::Cut(master))
            }
            Fault::Handover => {
                self.hand_over()?;
                Struck::new(now, Damage::None)
            }
            Fault::SentinelKill => {
                let leader = self.leader()?;
                let now = Instant::now();
                let leader = self.kill_sentinel(leader)?;
                Struck::new(now, Damage::Dead(vec![leader, self.kill_node(master)?]))
            }
            Fault::Rolling => Struck::new(self.roll(master)?, Damage::None),
        }
    }

    /// Mends it.
    pub(super) fn heal(&mut self, damage: Damage) -> Result<(), DrillError> {
        match damage {
            Damage::None => {}
            Damage::Dead(names) => {
                for name in names {
                    self.group.restart(&name)?;
                }
            }
            Damage::Still(port) => self.node(port)?.resume(),
            Damage::Cut(port) => {
                if let Some(proxy) = &self.proxy {
                    proxy.mend(port);
                }
            }
        }
        Ok(())
    }

    fn node(&mut self, port: u16) -> Result<&mut crate::local::Child, DrillError> {
        self.group.node_at(port).ok_or_else(|| DrillError::Other(format!("no node of the group is at port {port}")))
    }

    fn kill_node(&mut self, port: u16) -> Result<String, DrillError> {
        let node = self.node(port)?;
        node.kill();
        Ok(node.name.clone())
    }

    fn hand_over(&mut self) -> Result<(), DrillError> {
        let request = v1::FailoverRequest { group: self.group.layout().name.clone(), ..Default::default() };
        let call =
            self.control.call(Again::OnlyIfRefused, async |mut client| Ok(client.failover(request.clone()).await?));
        match operate::block_on(call) {
            Ok(_) => Ok(()),
            Err(
                Outcome::Failed(reason)
                | Outcome::Unreachable(reason)
                | Outcome::Usage(reason)
                | Outcome::Unauthorized(reason),
            ) => Err(DrillError::Other(format!("the handover failed: {reason}"))),
            Err(Outcome::Done | Outcome::Unwell) => unreachable!("a failed call carries its reason"),
        }
    }

    /// The API port of the sentinels' Raft leader.
    fn leader(&mut self) -> Result<u16, DrillError> {
        let call = self.control.call(Again::Yes, async |mut client| {
            Ok(client.list_sentinels(v1::ListSentinelsRequest {}).await?.into_inner().sentinels)
        });
        let sentinels = operate::block_on(call).map_err(|outcome| DrillError::Other(format!("{outcome:?}")))?;
        let leader = sentinels.iter().find(|sentinel| sentinel.role == "leader");
        let port = leader.and_then(|leader| leader.api_address.rsplit_once(':')?.1.parse().ok());
        port.ok_or_else(|| DrillError::Other("no sentinel says that it is the leader".into()))
    }

    fn kill_sentinel(&mut self, api_port: u16) -> Result<String, DrillError> {
        let child = self.group.sentinel_at(api_port);
        let child =
            child.ok_or_else(|| DrillError::Other(format!("no sentinel of the group is at port {api_port}")))?;
        child.kill();
        Ok(child.name.clone())
    }

    /// Every replica is restarted, then the master hands over and is restarted, as an upgrade does it. Answers with when it handed over.
    fn roll(&mut self, master: u16) -> Result<Instant, DrillError> {
        let layout = self.group.layout();
        let ports: Vec<u16> = (layout.port..layout.port + layout.nodes).collect();
        for port in ports.into_iter().filter(|port| *port != master) {
            self.restart_gently(port)?;
        }
        let now = Instant::now();
        self.hand_over()?;
        self.restart_gently(master)?;
        Ok(now)
    }

    fn restart_gently(&mut self, port: u16) -> Result<(), DrillError> {
        let node = self.node(port)?;
        let name = node.name.clone();
        node.terminate();
        node.wait_ended(LEAVE_WITHIN).map_err(|_| DrillError::Other(format!("{name} did not leave after SIGTERM")))?;
        self.group.restart(&name)?;
        // The node is asked itself: what the sentinels say of it may be from before it left.
        self.group.wait(FOLLOW_WITHIN, |_| {
            if follows(port) { Ok(()) } else { Err(format!("{name} did not follow the master again")) }
        })?;
        self.group.wait_settled(SETTLE_WITHIN)?;
        Ok(())
    }
}

/// Does the node say that it is a replica whose link is up?
fn follows(port: u16) -> bool {
    let info = redis::Client::open(format!("redis://127.0.0.1:{port}"))
        .and_then(|client| client.get_connection_with_timeout(Duration::from_secs(1)))
        .and_then(|mut connection| redis::cmd("INFO").arg("replication").query::<String>(&mut connection));
    info.is_ok_and(|info| info.contains("role:slave") && info.contains("master_link_status:up"))
}
