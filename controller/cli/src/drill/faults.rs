//! What a drill breaks, and how it is mended.

use std::time::Duration;

use quorate_rpc::v1;

use super::{DrillError, SETTLE_WITHIN, Stage};
use crate::args::Fault;
use crate::control::Again;
use crate::{Outcome, operate};

/// How long a process may take to leave after SIGTERM.
const LEAVE_WITHIN: Duration = Duration::from_secs(30);

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
    /// Breaks the group whose master is at this port.
    pub(super) fn strike(&mut self, master: u16) -> Result<Damage, DrillError> {
        match self.fault {
            Fault::Kill => Ok(Damage::Dead(vec![self.kill_node(master)?])),
            Fault::Stop => {
                self.node(master)?.pause();
                Ok(Damage::Still(master))
            }
            Fault::Cut => {
                self.proxy
                    .as_ref()
                    .ok_or_else(|| DrillError::Other("no proxy stands before the nodes".into()))?
                    .cut(master);
                Ok(Damage::Cut(master))
            }
            Fault::Handover => {
                self.hand_over()?;
                Ok(Damage::None)
            }
            Fault::SentinelKill => {
                let leader = self.kill_leader()?;
                Ok(Damage::Dead(vec![leader, self.kill_node(master)?]))
            }
            Fault::Rolling => self.roll(master),
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

    fn kill_leader(&mut self) -> Result<String, DrillError> {
        let call = self.control.call(Again::Yes, async |mut client| {
            Ok(client.list_sentinels(v1::ListSentinelsRequest {}).await?.into_inner().sentinels)
        });
        let sentinels = operate::block_on(call).map_err(|outcome| DrillError::Other(format!("{outcome:?}")))?;
        let leader = sentinels.iter().find(|sentinel| sentinel.role == "leader");
        let port = leader.and_then(|leader| leader.api_address.rsplit_once(':')?.1.parse().ok());
        let child = port.and_then(|port| self.group.sentinel_at(port));
        let child = child.ok_or_else(|| DrillError::Other("no sentinel says that it is the leader".into()))?;
        child.kill();
        Ok(child.name.clone())
    }

    /// Every replica is restarted, then the master hands over and is restarted, as an upgrade does it.
    fn roll(&mut self, master: u16) -> Result<Damage, DrillError> {
        let layout = self.group.layout();
        let ports: Vec<u16> = (layout.port..layout.port + layout.nodes).collect();
        for port in ports.into_iter().filter(|port| *port != master) {
            self.restart_gently(port)?;
        }
        self.hand_over()?;
        self.restart_gently(master)?;
        Ok(Damage::None)
    }

    fn restart_gently(&mut self, port: u16) -> Result<(), DrillError> {
        let node = self.node(port)?;
        let name = node.name.clone();
        node.terminate();
        node.wait_ended(LEAVE_WITHIN).map_err(|_| DrillError::Other(format!("{name} did not leave after SIGTERM")))?;
        self.group.restart(&name)?;
        self.group.wait_settled(SETTLE_WITHIN)?;
        Ok(())
    }
}
