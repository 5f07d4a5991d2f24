//! What is put to the proof: this project's nodes and sentinels, or Redis with Redis Sentinel. Their configurations and command lines.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use quorate_cli::local::{Durability, Kind};

use crate::world::Host;

/// The group's name.
pub const GROUP: &str = "main";
/// Every node's port: each has a host of its own.
pub const NODE_PORT: u16 = 7000;
/// Every sentinel's port.
pub const SENTINEL_PORT: u16 = 26379;
/// Where sentinels have their API, and nodes their agent: so much above their port.
pub const SIDE: u16 = 1000;
/// Silence after which a node is suspected, of both systems.
const DOWN_AFTER_MS: u64 = 1000;
/// Redis Sentinel's default is three minutes; a failover that failed would not be tried again within a round.
const REDIS_FAILOVER_TIMEOUT_MS: u64 = 10_000;

/// When a replica of ours acknowledges a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Ack {
    /// When it has received it.
    Receipt,
    /// When its disk holds it.
    Fsync,
}

/// A system under proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum System {
    /// Ours.
    Quorate {
        /// The `quorate` binary.
        program: PathBuf,
        /// What the group promises.
        durability: Durability,
        /// When replicas acknowledge.
        ack: Ack,
    },
    /// `redis-server` from PATH, as nodes and as sentinels.
    Redis,
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quorate { durability: Durability::Quorum, ack: Ack::Receipt, .. } => {
                f.write_str("quorate, durability quorum")
            }
            Self::Quorate { durability: Durability::Quorum, ack: Ack::Fsync, .. } => {
                f.write_str("quorate, durability quorum, ack fsync")
            }
            Self::Quorate { durability: Durability::Async, .. } => f.write_str("quorate, durability async"),
            Self::Redis => f.write_str("Redis with Redis Sentinel"),
        }
    }
}

/// Who is where.
pub struct Plan {
    /// The nodes' hosts; the first one is the first master.
    pub nodes: Vec<Host>,
    /// The sentinels' hosts.
    pub sentinels: Vec<Host>,
}

impl System {
    /// The name of a process's configuration file.
    pub fn file(&self, kind: Kind) -> &'static str {
        match (self, kind) {
            (_, Kind::Node) => "redis.conf",
            (Self::Quorate { .. }, Kind::Sentinel) => "sentinel.yaml",
            (Self::Redis, Kind::Sentinel) => "sentinel.conf",
        }
    }

    /// The configuration of the process on this host. Its data goes to `data`, which is a disk of its own.
    pub fn config(&self, kind: Kind, host: Host, plan: &Plan) -> String {
        match (self, kind) {
            (Self::Quorate { .. }, Kind::Node) => format!("{}group {GROUP}\n", node(host)),
            (Self::Redis, Kind::Node) => match plan.nodes[0] {
                first if first == host => node(host),
                first => format!("{}replicaof {} {NODE_PORT}\n", node(host), first.address()),
            },
            (Self::Quorate { durability, ack, .. }, Kind::Sentinel) => our_sentinel(host, plan, *durability, *ack),
            (Self::Redis, Kind::Sentinel) => redis_sentinel(host, plan),
        }
    }

    /// How the process is started.
    pub fn command(&self, kind: Kind, config: &Path) -> Command {
        let (program, before, after) = match (self, kind) {
            (Self::Quorate { program, .. }, Kind::Node) => (program.clone(), Some("server"), None),
            (Self::Quorate { program, .. }, Kind::Sentinel) => (program.clone(), Some("sentinel"), None),
            (Self::Redis, Kind::Node) => ("redis-server".into(), None, None),
            // The program that a system's `redis-sentinel` is a link to.
            (Self::Redis, Kind::Sentinel) => ("redis-server".into(), None, Some("--sentinel")),
        };
        let mut command = Command::new(program);
        command.args(before).arg(config).args(after);
        command
    }
}

/// What both kinds of nodes understand. Snapshots are made on demand alone, so that a full disk meets the append-only file.
fn node(host: Host) -> String {
    format!(
        "port {NODE_PORT}\nbind {address}\nprotected-mode no\ndir data\nappendonly yes\nappendfsync everysec\nsave \"\"\n\
         repl-timeout 10\nrepl-ping-replica-period 1\nreplica-announce-ip {known}\n",
        address = host.listens(),
        known = host.address(),
    )
}

fn our_sentinel(host: Host, plan: &Plan, durability: Durability, ack: Ack) -> String {
    let list = |hosts: &[Host], port: u16| {
        hosts.iter().map(|host| format!("{}:{port}", host.address())).collect::<Vec<_>>().join(", ")
    };
    let durability = match (durability, ack) {
        (Durability::Async, _) => "async",
        (Durability::Quorum, Ack::Receipt) => "quorum",
        (Durability::Quorum, Ack::Fsync) => "quorum\n    ack: fsync",
    };
    format!(
        "port: {SENTINEL_PORT}\nbind: {address}\nannounce-ip: {known}\nprotected-mode: false\ndir: data\npeers: [{peers}]\ngroups:\n  - name: {GROUP}\n    \
         nodes: [{nodes}]\n    down-after-milliseconds: {DOWN_AFTER_MS}\n    durability: {durability}\n",
        address = host.listens(),
        known = host.address(),
        peers = list(&plan.sentinels, SENTINEL_PORT + SIDE),
        nodes = list(&plan.nodes, NODE_PORT),
    )
}

fn redis_sentinel(host: Host, plan: &Plan) -> String {
    format!(
        "port {SENTINEL_PORT}\nbind {address}\nsentinel announce-ip {known}\nprotected-mode no\ndir data\nsentinel monitor {GROUP} {master} {NODE_PORT} 2\n\
         sentinel down-after-milliseconds {GROUP} {DOWN_AFTER_MS}\nsentinel failover-timeout {GROUP} {REDIS_FAILOVER_TIMEOUT_MS}\n\
         sentinel parallel-syncs {GROUP} 1\n",
        address = host.listens(),
        known = host.address(),
        master = plan.nodes[0].address(),
    )
}
