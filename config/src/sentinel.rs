//! A sentinel's configuration.

use serde::Deserialize;

use crate::conf::Reader;
use crate::error::ConfigError;
use crate::sentinel_conf;
use crate::value::{HostPort, LogLevel};

/// What a group promises about acknowledged writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Redis's own semantics: a write is acknowledged by the master alone.
    #[default]
    Async,
    /// A write is acknowledged once `copies` nodes hold it.
    Quorum,
}

/// When a replica acknowledges what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// Once it received it.
    #[default]
    Receipt,
    /// Once its disk holds it.
    Fsync,
}

/// What a node of a group asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct AuthConfig {
    /// User; empty: the default user.
    pub user: String,
    /// Password; empty: none.
    pub password: String,
}

/// One of the sentinels that found the cluster, this one included: every file lists the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where its gRPC and HTTP port is.
    pub api: HostPort,
    /// Where clients find its RESP port.
    pub resp: HostPort,
}

/// A group to watch from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// Its name.
    pub name: String,
    /// Its nodes as far as known. The first is the master of a group that has no committed record yet and no node that says it is one.
    pub nodes: Vec<HostPort>,
    /// Sentinels that must agree that the master is down; `None`: a majority of the sentinels.
    pub quorum: Option<u32>,
    /// Silence after which a node is suspected, in milliseconds.
    pub down_after_ms: u64,
    /// Time for each part of a failover, in milliseconds.
    pub failover_timeout_ms: u64,
    /// Replicas that are repointed at a time.
    pub parallel_syncs: u32,
    /// What it promises.
    pub durability: Durability,
    /// How many nodes hold a write before `quorum` acknowledges it, the master included; `None`: a majority.
    pub copies: Option<u32>,
    /// When a replica acknowledges.
    pub ack: Ack,
    /// A reply that `quorum` holds for longer becomes an error, in milliseconds; 0: it waits for ever.
    pub quorum_timeout_ms: u32,
    /// What its nodes ask for.
    pub auth: AuthConfig,
    /// Secret of its nodes' agents; empty: the sentinel's own.
    pub secret: String,
}

/// A sentinel's configuration. From YAML with [`SentinelConfig::load`], from sentinel.conf likewise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentinelConfig {
    /// Its directory: log, hard state, snapshots, identity.
    pub dir: String,
    /// Addresses to listen on.
    pub bind: Vec<String>,
    /// RESP port.
    pub port: u16,
    /// gRPC and HTTP port; by default `port` + 1000.
    pub api_port: u16,
    /// Address that others are told; empty: the first of `bind` that is not a wildcard.
    pub announce_ip: String,
    /// RESP port that others are told; 0: `port`.
    pub announce_port: u16,
    /// Secret that peers, gRPC, HTTP writes and agents share; empty: none.
    pub secret: String,
    /// Password of the RESP port; empty: none.
    pub requirepass: String,
    /// Without a password, refuse RESP clients from other machines.
    pub protected_mode: bool,
    /// The founding sentinels; empty: this one alone.
    pub peers: Vec<Peer>,
    /// Groups to watch from the start.
    pub groups: Vec<GroupConfig>,
    /// Which log lines are written.
    pub loglevel: LogLevel,
    /// The log's file; empty: standard output.
    pub logfile: String,
    /// File for the process id; empty: none.
    pub pidfile: String,
    /// Go to the background.
    pub daemonize: bool,
}

impl Default for SentinelConfig {
    fn default() -> Self {
        Self {
            dir: ".".into(),
            bind: vec!["127.0.0.1".into()],
            port: 26379,
            api_port: 27379,
            announce_ip: String::new(),
            announce_port: 0,
            secret: String::new(),
            requirepass: String::new(),
            protected_mode: true,
            peers: Vec::new(),
            groups: Vec::new(),
            loglevel: LogLevel::Notice,
            logfile: String::new(),
            pidfile: String::new(),
            daemonize: false,
        }
    }
}

impl SentinelConfig {
    /// Builds a configuration from a file's text (YAML if its name ends in `.yaml` or `.yml`, else sentinel.conf), then the command line's
    /// options (`--port 26380 --sentinel monitor main 127.0.0.1 7001 2`), which win.
    pub fn load(file: Option<(&str, &str)>, options: &[String], read: Reader<'_>) -> Result<Self, ConfigError> {
        sentinel_conf::load(file, options, read)
    }

    /// The host that others are told: `announce-ip`, else the first address of `bind` that is not a wildcard, else loopback.
    pub fn announced_host(&self) -> &str {
        if !self.announce_ip.is_empty() {
            return &self.announce_ip;
        }
        let wildcard = |host: &str| matches!(host, "*" | "0.0.0.0" | "::" | "::*");
        let hosts = self.bind.iter().map(|host| host.trim_start_matches('-'));
        hosts.into_iter().find(|host| !wildcard(host)).unwrap_or("127.0.0.1")
    }

    /// Which of `peers` is this sentinel: the one with its API port and announced host, or the only one with its API port.
    pub fn own_peer(&self) -> Option<&Peer> {
        let mut mine = self.peers.iter().filter(|peer| peer.api.port == self.api_port);
        let (first, second) = (mine.next(), mine.next());
        if second.is_none() {
            return first;
        }
        let host = self.announced_host();
        self.peers.iter().find(|peer| peer.api.port == self.api_port && peer.api.host == host)
    }
}
