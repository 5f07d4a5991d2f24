//! What this node tells of its replication: INFO, ROLE, the agent's report.

use std::fmt::Write as _;
use std::sync::PoisonError;
use std::time::Duration;

use quorate_replication::failover::Failover;
use quorate_replication::fence::Fence;
use quorate_replication::follower::Phase;
use quorate_replication::master::Replica;
use quorate_replication::{Address, Commit, NodeId};

use super::{Facts, NodeRole};
use crate::core::Core;

impl Core {
    /// What the node is: a plain node is a master or a replica, one of a group may be neither.
    #[must_use]
    pub fn role(&self) -> NodeRole {
        if self.replication.is_following() {
            NodeRole::Replica
        } else if self.is_fenced() {
            NodeRole::Fenced
        } else {
            NodeRole::Master
        }
    }

    /// Is this node anything but a master?
    pub(crate) fn is_replica(&self) -> bool {
        self.role() != NodeRole::Master
    }

    /// The report that the agent gives.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let replication = &self.replication;
        let fence = replication.fence.as_ref();
        let follower = replication.upstream.as_ref().map(|upstream| &upstream.follower);
        let link_up = follower.is_some_and(|follower| follower.phase() == Phase::Connected);
        let link_at = follower.map_or(self.now.mono, |follower| follower.down_since().unwrap_or(follower.heard_at()));
        Facts {
            role: self.role(),
            group: fence.map(Fence::group).unwrap_or_default().to_owned(),
            epoch: fence.map(Fence::epoch).unwrap_or_default(),
            promised: fence.map(Fence::promised).unwrap_or_default(),
            data_epoch: replication.history.data_epoch(),
            data_known: fence.is_none() || replication.data_known,
            held: replication.history.held(),
            master: self.master_address().cloned(),
            link_up,
            link_at,
            loading: self.standing.loading,
            paused: self.is_paused(),
            priority: self.config.replica_priority,
            config_version: self.config_version(),
            committed: replication.committed(),
            fsync_acks: self.config.appendonly,
            tail_unsure: replication.data_known && !replication.quorum.tail.is_sure(),
            dropped_tail: replication.quorum.dropped_tail,
        }
    }

    /// Whom this node follows, or followed before it was fenced.
    pub(crate) fn master_address(&self) -> Option<&Address> {
        match &self.replication.upstream {
            Some(upstream) => Some(upstream.follower.master()),
            None if self.is_fenced() => self.replication.fence.as_ref().and_then(Fence::master),
            None => None,
        }
    }

    /// ROLE's word for the state of the link. Source: Redis, the ROLE command.
    pub(crate) fn link_word(&self) -> &'static str {
        match self.replication.upstream.as_ref().map(|upstream| upstream.follower.phase()) {
            None | Some(Phase::Connect) => "connect",
            Some(Phase::Connecting) => "connecting",
            Some(Phase::Handshake) => "handshake",
            Some(Phase::Sync) => "sync",
            Some(Phase::Connected) => "connected",
        }
    }

    /// INFO's replication section, lines ended by CRLF.
    pub(crate) fn info_replication(&self) -> String {
        let mut text = String::new();
        if self.role() == NodeRole::Master {
            text += "role:master\r\n";
        } else {
            self.info_upstream(&mut text);
        }
        self.info_replicas(&mut text);
        self.info_history(&mut text);
        self.info_group(&mut text);
        text
    }

    fn info_upstream(&self, text: &mut String) {
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            let _ = write!(text, "{name}:{value}\r\n"); // writing to a String cannot fail
        };
        let (host, port) = self.master_address().map_or(("", 0), |master| (master.host.as_str(), master.port));
        let now = self.now.mono;
        let follower = self.replication.upstream.as_ref().map(|upstream| &upstream.follower);
        let phase = follower.map_or(Phase::Connect, |follower| follower.phase());
        let up = phase == Phase::Connected;
        let last_io = follower.filter(|_| up).map(|follower| now.saturating_sub(follower.heard_at()).as_secs());
        let offset = self.stream_position();
        line("role", &"slave");
        line("master_host", &host);
        line("master_port", &port);
        line("master_link_status", &if up { "up" } else { "down" });
        line("master_last_io_seconds_ago", &last_io.map_or(-1, |seconds| seconds as i64));
        line("master_sync_in_progress", &u8::from(phase == Phase::Sync));
        line("slave_read_repl_offset", &offset);
        line("slave_repl_offset", &offset);
        if phase == Phase::Sync {
            let (received, total) = follower.and_then(|follower| follower.transfer()).unwrap_or((0, None));
            let total = total.unwrap_or(0);
            line("master_sync_total_bytes", &total);
            line("master_sync_read_bytes", &received);
            line("master_sync_left_bytes", &(total.saturating_sub(received)));
            let percent = if total == 0 { 0.0 } else { received as f64 * 100.0 / total as f64 };
            line("master_sync_perc", &format_args!("{percent:.2}"));
            let idle = follower.map_or(Duration::ZERO, |follower| now.saturating_sub(follower.heard_at()));
            line("master_sync_last_io_seconds_ago", &idle.as_secs());
        }
        if !up {
            let since = follower.and_then(|follower| follower.down_since());
            let seconds = since.map_or(-1, |since| now.saturating_sub(since).as_secs() as i64);
            line("master_link_down_since_seconds", &seconds);
        }
        line("slave_priority", &self.config.replica_priority);
        line("slave_read_only", &u8::from(self.standing.read_only));
        line("replica_announced", &u8::from(self.config.replica_announced));
    }

    fn info_replicas(&self, text: &mut String) {
        let replicas = &self.replication.replicas;
        let now = self.now.mono;
        let _ = write!(text, "connected_slaves:{}\r\n", replicas.len());
        let (least, lag) = (self.config.min_replicas_to_write, self.config.min_replicas_max_lag_s);
        if least > 0 && lag > 0 {
            let good = replicas.count_good(now, Duration::from_secs(lag.into()) + Duration::from_millis(999));
            let _ = write!(text, "min_slaves_good_slaves:{good}\r\n");
        }
        for (index, (_, one)) in replicas.iter().enumerate() {
            let Address { host, port } = one.address();
            let state = one.state_name().unwrap_or("wait_bgsave");
            let _ = write!(
                text,
                "slave{index}:ip={host},port={port},state={state},offset={},lag={}\r\n",
                one.acked,
                lag_of(one, now)
            );
        }
    }

    fn info_history(&self, text: &mut String) {
        let history = &self.replication.history;
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            let _ = write!(text, "{name}:{value}\r\n");
        };
        line("master_failover_state", &Failover::name(self.replication.failover.as_ref()));
        line("master_replid", &history.replid());
        match history.second() {
            Some(second) => line("master_replid2", &second.replid),
            None => line("master_replid2", &"0".repeat(40)),
        }
        line("master_repl_offset", &self.stream_position());
        let second = history.second().map_or(-1, |second| second.upto.next_on_wire() as i64);
        line("second_repl_offset", &second);
        let backlog = history.backlog();
        line("repl_backlog_active", &u8::from(backlog.is_some()));
        line("repl_backlog_size", &self.config.repl_backlog_size);
        line("repl_backlog_first_byte_offset", &backlog.map_or(0, |backlog| backlog.start().next_on_wire()));
        line("repl_backlog_histlen", &backlog.map_or(0, |backlog| backlog.held()));
    }

    fn info_group(&self, text: &mut String) {
        let facts = self.facts();
        let state = match (facts.role, facts.group.is_empty()) {
            (_, true) => "standalone",
            (NodeRole::Master, _) => "master",
            (NodeRole::Replica, _) => "replica",
            (NodeRole::Fenced, _) => "fenced",
        };
        let _ = write!(
            text,
            "quorate_state:{state}\r\nquorate_group:{}\r\nquorate_epoch:{}\r\nquorate_promised_epoch:{}\r\nquorate_data_epoch:{}\r\n\
             quorate_data_known:{}\r\nquorate_node_id:{}\r\nquorate_agent_port:{}\r\n",
            facts.group,
            facts.epoch,
            facts.promised,
            facts.data_epoch,
            u8::from(facts.data_known),
            self.replication.quorum.node.map_or(String::new(), |node| node.to_string()),
            self.config.agent_port(),
        );
        if !facts.group.is_empty() {
            self.info_quorum(text, &facts);
        }
    }

    fn info_quorum(&self, text: &mut String, facts: &Facts) {
        let config = &self.replication.quorum.config;
        let voters: Vec<&str> = config.voters().iter().map(NodeId::as_str).collect();
        let lease = self.replication.lease();
        let lease = lease.lock().unwrap_or_else(PoisonError::into_inner).remaining(facts.epoch, (self.host.clock)());
        let _ = write!(
            text,
            "quorate_durability:{}\r\nquorate_copies:{}\r\nquorate_config_version:{}\r\nquorate_committed_offset:{}\r\n\
             quorate_lease_ms:{}\r\nquorate_tail_unsure:{}\r\nquorate_dropped_tail:{}\r\nquorate_voters:{}\r\n",
            if config.is_quorum() { "quorum" } else { "async" },
            config.copies(),
            facts.config_version,
            facts.committed,
            lease.as_millis(),
            u8::from(facts.tail_unsure),
            facts.dropped_tail,
            voters.join(","),
        );
    }

    /// The version of the config in force; of a node that is no master, of the one that it was told.
    fn config_version(&self) -> u64 {
        let quorum = &self.replication.quorum;
        quorum.commit.as_ref().map_or(quorum.config.version(), Commit::in_force)
    }
}

/// INFO's `lag`: whole seconds since the replica last spoke; 0 for one that is not online yet.
fn lag_of(replica: &Replica, now: Duration) -> u64 {
    if replica.is_online() { replica.lag(now).as_secs() } else { 0 }
}
