//! What the front shows of groups: this sentinel's own view, as in the reference, on top of the committed state.

use quorate_api::plane::ControlPlane;

/// A watched process: the fields that masters, replicas and sentinels have in common. Times are milliseconds ago.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instance {
    /// `mymaster`, `ip:port` or a sentinel's run id.
    pub name: String,
    /// Address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Run id; empty when it never answered.
    pub run_id: String,
    /// Is there no connection to it?
    pub disconnected: bool,
    /// When the oldest unanswered PING was sent; 0 when none is.
    pub last_ping_sent_ms: u64,
    /// When it last answered validly.
    pub last_ok_ping_ms: u64,
    /// When it last answered anything.
    pub last_ping_ms: u64,
    /// Since when this sentinel finds it down.
    pub s_down_ms: Option<u64>,
    /// When its INFO was last read.
    pub info_refresh_ms: u64,
    /// `master`, `slave` or `sentinel`.
    pub role_reported: &'static str,
    /// Since when it reports that role.
    pub role_reported_ms: u64,
}

/// A replica as this sentinel sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicaFacts {
    /// The common fields.
    pub instance: Instance,
    /// How long its link to the master has been down; 0 while it is up.
    pub link_down_ms: u64,
    /// Is its link to the master up?
    pub link_up: bool,
    /// The master that it says it follows.
    pub master_host: String,
    /// The master's port.
    pub master_port: u16,
    /// `replica-priority`.
    pub priority: u32,
    /// Its replication offset in bytes.
    pub offset: u64,
    /// The state words that a running failover adds to its flags: `promoted`, `reconf_sent`, `reconf_done`.
    pub failover_flags: Vec<&'static str>,
}

/// Another sentinel as this one sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerFacts {
    /// The common fields.
    pub instance: Instance,
    /// When it was last heard of.
    pub last_hello_ms: u64,
    /// The Raft leader that it follows, as a run id; empty when it has none.
    pub voted_leader: String,
    /// Raft's term.
    pub voted_leader_epoch: u64,
}

/// A group as this sentinel sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupFacts {
    /// The master.
    pub master: Instance,
    /// Do enough sentinels agree that the master is down? Since when.
    pub o_down_ms: Option<u64>,
    /// The running failover's state word, as the reference names it.
    pub failover_state: Option<&'static str>,
    /// Was the running failover ordered by an operator?
    pub failover_forced: bool,
    /// The epoch of the present mastership.
    pub config_epoch: u64,
    /// How many sentinels must agree that the master is down.
    pub quorum: u32,
    /// `down-after-milliseconds`.
    pub down_after_ms: u64,
    /// `failover-timeout`.
    pub failover_timeout_ms: u64,
    /// `parallel-syncs`.
    pub parallel_syncs: u32,
    /// The replicas.
    pub replicas: Vec<ReplicaFacts>,
    /// The other sentinels.
    pub sentinels: Vec<PeerFacts>,
}

impl GroupFacts {
    /// How many sentinels could take part in a failover now, this one included.
    pub fn usable_sentinels(&self) -> usize {
        1 + self.sentinels.iter().filter(|s| !s.instance.disconnected && s.instance.s_down_ms.is_none()).count()
    }

    /// How many sentinels must be there for a failover to be authorised.
    pub fn majority(&self) -> usize {
        let all = self.sentinels.len() + 1;
        all / 2 + 1
    }
}

/// The sentinel behind the front.
pub trait Tower: ControlPlane {
    /// This sentinel's run id: 40 hexadecimal digits.
    fn my_id(&self) -> String;
    /// A group with what this sentinel observed of it.
    fn facts(&self, group: &str) -> Option<GroupFacts>;
    /// Every group, by name.
    fn all_facts(&self) -> Vec<GroupFacts>;
    /// Ends the process, as SIGTERM does.
    fn shut_down(&self);
}
